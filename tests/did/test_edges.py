"""Degenerate results are refused with one set of words, advice works when followed, late cohorts are untreated."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

import g287stats as g
from g287stats.errors import DesignError, DesignWarning, G287Warning, IdentificationError, InferenceWarning

K = {"unit": "i", "time": "t", "cohort": "g"}
pytestmark = pytest.mark.filterwarnings("ignore::g287stats.errors.G287Warning")


def panel(n=40, periods=8, cohorts=(2004, 2006), share=0.25, seed=0):
    """Counties of two cohorts, the rest never treated; a count ``c`` and a covariate ``x``."""
    rng = np.random.default_rng(seed)
    place = np.arange(n) / n
    start = np.full(n, np.nan)
    for k, cohort in enumerate(cohorts):
        start[(place >= k * share) & (place < (k + 1) * share)] = cohort
    d = pd.DataFrame({"i": np.repeat(np.arange(n), periods), "t": np.tile(np.arange(2000, 2000 + periods), n)})
    d["g"] = start[d["i"]]
    d["y"] = rng.normal(size=n)[d["i"]] + 0.3 * (d["t"] - 2000) + 2 * (d["t"] >= d["g"]) + rng.normal(size=len(d))
    return d.assign(x=rng.normal(size=len(d)), c=rng.poisson(5, len(d)) + 1, s=d["i"] % 3)


LEVEL = {
    "twfe": lambda d, x: g.twfe(d, "y", covariates_by_time=[x], **K),
    "imputation": lambda d, x: g.imputation(d, "y", covariates_by_time=[x], **K),
    "sun_abraham": lambda d, x: g.sun_abraham(d, "y", covariates_by_time=[x], **K),
    "etwfe": lambda d, x: g.etwfe(d, "y", covariates=[x], **K),
    "etwfe poisson": lambda d, x: g.etwfe(d, "c", covariates=[x], model="poisson", **K),
    "att_gt": lambda d, x: g.att_gt(d, "y", covariates=[x], **K),
}


@pytest.mark.parametrize("name", LEVEL)
def test_the_level_of_a_covariate_does_not_hide_that_it_varies(name):
    d = panel(60)
    plain, far = LEVEL[name](d, "x"), LEVEL[name](d.assign(q=d["x"] + 1e5), "q")
    np.testing.assert_allclose(far.point, plain.point, rtol=1e-6, atol=1e-8)


LATE = {
    "event_study": lambda d: g.event_study(d, "y", **K),
    "event_study window": lambda d: g.event_study(d, "y", window=(-3, 2), **K),
    "poisson": lambda d: g.poisson(d, "c", shape="event", **K),
    "two_stage": lambda d: g.two_stage(d, "y", shape="event", **K),
    "sun_abraham": lambda d: g.sun_abraham(d, "y", **K),
    "imputation": lambda d: g.imputation(d, "y", leads=3, **K),
    "att_gt": lambda d: g.att_gt(d, "y", **K),
    "etwfe": lambda d: g.etwfe(d, "y", **K),
    "stacked": lambda d: g.stacked(d, "y", window=(-2, 1), **K),
    "lp_did": lambda d: g.lp_did(d, "y", window=(-2, 1), **K),
    "triple": lambda d: g.triple_difference(
        d.assign(e=d["i"] % 2, p=d["i"] // 2), "y", eligible="e", place="p", shape="event", **K
    ),
}


@pytest.mark.parametrize("first", [2008, 2030])
@pytest.mark.parametrize("name", LATE)
def test_cohorts_after_the_panel_are_untreated_in_it(name, first):
    never = panel()
    late = never.assign(g=never["g"].where(never["i"] < 36, first))
    one, other = LATE[name](never), LATE[name](late)
    assert one.terms == other.terms
    np.testing.assert_allclose(other.point, one.point, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "test", [g.wild_bootstrap, g.randomization_test, g.conley_taber, g.ferman_pinto, g.equivalence]
)
@pytest.mark.parametrize("outcome", ["constant", "exact"])
def test_an_exact_fit_has_no_noise_to_test_against(test, outcome):
    d = panel()
    d["y"] = 1.0 if outcome == "constant" else d["i"] + 0.3 * (d["t"] - 2000) + 2.0 * (d["t"] >= d["g"])
    e = g.twfe(d, "y", **K)
    with pytest.raises(DesignError, match=r"fits the outcome exactly \(residuals are zero\)"):
        test(e, 0.1) if test is g.equivalence else test(e)


def test_no_cell_left_is_refused_with_what_left_before():
    d = panel()
    d.loc[d["t"] >= d["g"], "c"] = 0
    with pytest.raises(IdentificationError, match=r"no cohort × period cell is left .* Before that: .*separated"):
        g.etwfe(d, "c", model="poisson", **K)


def test_errors_of_low_rank_are_refused_or_said():
    e = g.event_study(panel(), "y", cluster="s", **K)
    words = "terms have a covariance of rank 2: -6, -5"
    with pytest.raises(DesignError, match=f"pretrend_power needs errors of full rank; 5 {words}"):
        g.pretrend_power(e)
    with pytest.raises(DesignError, match=f"honest_did needs errors of full rank; 9 {words}"):
        g.honest_did(e, kind="smoothness")
    with pytest.warns(InferenceWarning, match=f"9 {words}"):
        g.honest_did(e)


@pytest.mark.parametrize("cluster", ["s", None])
def test_the_original_interval_is_the_estimates_own(cluster):
    e = g.event_study(panel(), "y", cluster=cluster, **K)
    row = g.honest_did(e, Mbar=[0.0]).tidy().iloc[0]
    np.testing.assert_allclose([row["conf_low"], row["conf_high"]], e.overall.conf_int().iloc[0], rtol=1e-12)


together = panel(20, cohorts=(2004,), share=1.0)
apart = panel(30, cohorts=(2003, 2005), share=0.5)
near = panel(30, cohorts=(2003, 2004), share=0.5)
gaps = panel().assign(x=lambda d: d["x"].where(d["g"].notna() | (d["t"] != 2003)))
ADVICE = {  # estimator, frame, options; then the advice in the message and what following it means, or None
    "never, later cohorts": (g.att_gt, near, {}, 'control="notyet"', {"control": "notyet"}),
    "sun_abraham": (g.sun_abraham, near, {}, 'control="last"', {"control": "last"}),
    "event study": (g.event_study, near, {}, "reference=(-1, -4)", {"reference": (-1, -4)}),
    "event study, window": (g.event_study, near, {}, "a window that bins the ends", {"window": (-2, 2)}),
    "cohorts two apart": (g.event_study, apart, {}, "reference=(-1, -2, -5)", {"reference": (-1, -2, -5)}),
    "half of the advice": (
        g.event_study, apart, {"reference": (-1, -5)}, "reference=(-1, -2, -5)", {"reference": (-1, -2, -5)},
    ),
    "leads": (g.imputation, panel(), {"leads": 20}, "at most 5", {"leads": 5}),
    "missing x": (g.att_gt, gaps, {"covariates": ["x"]}, 'panel="pairwise"', {"panel": "pairwise"}),
    "all together, att_gt": (g.att_gt, together, {}, "all units start treatment together", None),
    "all together, notyet": (g.att_gt, together, {"control": "notyet"}, "all units start treatment together", None),
    "all together, event": (g.event_study, together, {}, "all units start treatment together", None),
    "all together, binned": (g.event_study, together, {"window": (-2, 2)}, "all units start treatment together", None),
    "all together, sun": (g.sun_abraham, together, {}, "all units start treatment together", None),
    "all together, last": (g.sun_abraham, together, {"control": "last"}, "all units start treatment together", None),
    "all together, etwfe": (g.etwfe, together, {}, "all units start treatment together", None),
    "anticipation": (g.att_gt, panel(), {"anticipation": 10}, "its anticipation=10", {"anticipation": 2}),
}  # fmt: skip


@pytest.mark.parametrize("name", ADVICE)
def test_advice_works_when_followed(name):
    """Each refusal that suggests an argument is followed; one that has no remedy says so and suggests none."""
    estimator, data, options, advice, remedy = ADVICE[name]
    with pytest.raises(IdentificationError, match=re.escape(advice)) as error:
        estimator(data, "y", **options, **K)
    if remedy is None:
        assert not re.search(r"\b\w+=[\"'(]", str(error.value))
    else:
        assert len(estimator(data, "y", **{**options, **remedy}, **K).point) > 0


def test_a_rank_deficiency_names_the_cohort_behind_it():
    early = panel().assign(g=lambda d: d["g"].where(d["i"] >= 3, 1995))
    with pytest.raises(IdentificationError, match="cohort 1995 has no untreated period"):
        g.event_study(early, "y", **K)
    b = panel(periods=12, cohorts=(2004, 2007))
    with pytest.raises(IdentificationError, match="cohort 2004 is never seen at event time -1"):
        g.event_study(b[b["t"] % 2 == 0], "y", **K)


def test_who_left_is_said_before_advice():
    with pytest.raises(IdentificationError, match="20 units left before: missing x"):
        g.att_gt(gaps, "y", covariates=["x"], **K)


def test_small_cohorts_are_named_and_large_ones_are_not():
    d = panel()
    with pytest.warns(DesignWarning, match=r"cohorts with few units: 2005 \(1\).*small_sample=\"neyman\""):
        e = g.att_gt(d.assign(g=d["g"].mask(d["i"] == 39, 2005)), "y", **K)
    assert any("2005 (1)" in n for n in e.notes)
    with warnings.catch_warnings():
        warnings.simplefilter("error", G287Warning)
        assert not g.att_gt(d, "y", **K).notes
