"""The interacted event study worked by hand, and its choice of controls."""

import numpy as np
import pandas as pd
import pytest
from panels_by_hand import table
from reference_did import load_panel

from g287stats.did import sun_abraham as module
from g287stats.did.etwfe import etwfe
from g287stats.did.sun_abraham import sun_abraham
from g287stats.did.twfe import twfe
from g287stats.errors import DesignError, IdentificationError
from g287stats.inference.honest import honest_did
from g287stats.inference.pretrends import pretrend_power
from g287stats.inference.small_sample import bias_reduced
from g287stats.inference.wild import wild_bootstrap

KEYS = {"unit": "county", "time": "year", "cohort": "g"}


def six_counties():
    return table(
        {
            "a": [1, 2, 6, 9],
            "b": [3, 4, 8, 9],
            "e": [0, 1, 1, 6],
            "f": [2, 3, 5, 6],
            "m": [1, 1, 2, 2],
            "n": [0, 2, 2, 4],
        },
        {"a": 2003, "b": 2003, "e": 2004, "f": 2004},
    )


def test_effects_by_hand():
    # means  cohort 2003: 2 3 7 9   cohort 2004: 1 2 3 6   never: 0.5 1.5 2 3
    # cohort 2003 relative to 2002: −1 . +4 +6, never −1 . +0.5 +1.5  →  2001: 0, 2003: 3.5, 2004: 4.5
    # cohort 2004 relative to 2003: −2 −1 . +3, never −1.5 −0.5 . +1  →  2001: −0.5, 2002: −0.5, 2004: 2
    estimate = sun_abraham(six_counties(), "y", **KEYS)
    assert dict(estimate.params) == pytest.approx(
        {
            "att(2003,2001)": 0.0,
            "att(2003,2003)": 3.5,
            "att(2003,2004)": 4.5,
            "att(2004,2001)": -0.5,
            "att(2004,2002)": -0.5,
            "att(2004,2004)": 2.0,
        },
        abs=1e-13,
    )
    assert estimate.overall.point[0] == pytest.approx(10 / 3)
    assert dict(estimate.aggregate("event").params) == pytest.approx({"-3": -0.5, "-2": -0.25, "0": 2.75, "1": 4.5})


def test_influence_by_hand():
    # att(2003,2003) is a difference of mean changes from 2002 to 2003: a 4, b 4 (mean 4); m 1, n 0 (mean 0.5);
    # a county's influence is ± (change − mean)/2: a 0, b 0, m −1/4, n +1/4
    estimate = sun_abraham(six_counties(), "y", **KEYS)
    psi = estimate.influence.psi[:, estimate.terms.index("att(2003,2003)")]
    assert psi == pytest.approx([0, 0, 0, 0, -0.25, 0.25], abs=1e-14)


def test_last_cohort_as_control():
    # without m and n, periods before 2004: cohort 2003 from 2002 to 2003 +4, cohort 2004 +1 → 3
    frame = six_counties()
    estimate = sun_abraham(frame[frame["g"].notna()], "y", **KEYS, control="last")
    assert dict(estimate.params) == pytest.approx({"att(2003,2001)": 0.0, "att(2003,2003)": 3.0}, abs=1e-13)
    assert any("is the control" in n for n in estimate.notes)


def test_last_cohort_leaves_never_treated_out():
    frame = six_counties()
    estimate = sun_abraham(frame, "y", **KEYS, control="last")
    assert estimate.params["att(2003,2003)"] == pytest.approx(3.0)
    assert estimate.sample["n_units"] == 4


def test_always_treated_are_left_out_and_named():
    frame = load_panel("panel_unbalanced")
    with pytest.warns(Warning, match="have no period at event time -1"):
        estimate = sun_abraham(frame, "y", **KEYS)
    without = sun_abraham(frame[frame["g"] != 2000], "y", **KEYS)
    np.testing.assert_array_equal(estimate.point, without.point)
    np.testing.assert_array_equal(estimate.se, without.se)


def test_effects_without_comparison_are_listed():
    frame = six_counties()
    frame = frame[~(frame["county"].isin(["m", "n"]) & (frame["year"] == 2004))]
    # a and b are treated in 2003 and 2004, e and f in 2004: what is lost in 2004 is 4 of 6 treated rows
    with pytest.warns(Warning, match=r"2 cohort × period effects have no valid comparison.*66.7 % of the treated rows"):
        estimate = sun_abraham(frame, "y", **KEYS)
    assert "att(2003,2004)" not in estimate.terms and "att(2003,2003)" in estimate.terms


def test_further_fixed_effects_take_the_general_regression():
    frame = load_panel("panel_small")
    frame["region"] = frame["state"] % 2
    estimate = sun_abraham(frame, "y", **KEYS, fixed_effects=[("region", "year")])
    alone = sun_abraham(frame, "y", **KEYS)
    assert estimate.terms == alone.terms
    assert np.abs(estimate.point - alone.point).max() > 1e-3
    doubled = sun_abraham(frame.assign(region=0), "y", **KEYS, fixed_effects=[("region", "year")])
    np.testing.assert_allclose(doubled.point, alone.point, atol=1e-12)
    np.testing.assert_allclose(doubled.se, alone.se, atol=1e-12)


def test_choices_are_checked():
    with pytest.raises(DesignError, match="choose 'never' or 'last'"):
        sun_abraham(six_counties(), "y", **KEYS, control="notyet")


TRENDS = {"unit_trends": True, "reference": (-1, -3)}


def trending(name="panel_small"):
    frame = load_panel(name)
    frame = frame[frame["g"] != 2000] if name == "panel_unbalanced" else frame
    return frame.assign(z=np.sin(np.arange(len(frame))))


@pytest.mark.parametrize("extra", [{}, {"weights": "weight"}, {"covariates": ["z"]}])
def test_unit_trends_are_least_squares_on_explicit_trends(extra):
    frame = trending()
    frame = frame[frame["y"].notna()].sort_values(["county", "year"])
    estimate = sun_abraham(frame, "y", **KEYS, **TRENDS, **extra)
    frame = frame[(frame["g"] == 0) | frame["g"].isin(estimate.labels["cohort"])]  # the others lack a reference period
    counties = pd.get_dummies(frame["county"]).to_numpy(float)
    years = pd.get_dummies(frame["year"]).to_numpy(float)[:, 1:]
    cells = [
        ((frame["g"] == g) & (frame["year"] == t)).to_numpy(float)
        for g, t in zip(estimate.labels["cohort"], estimate.labels["time"])
    ]
    others = [counties, counties * (frame["year"].to_numpy()[:, None] - 2009.5), years]
    others += [frame[["z"]].to_numpy()] if "covariates" in extra else []
    root = np.sqrt(frame["weight"].to_numpy()) if "weights" in extra else np.ones(len(frame))
    x = np.column_stack([*cells, *others])
    explicit = np.linalg.lstsq(x * root[:, None], frame["y"].to_numpy() * root, rcond=None)[0]
    np.testing.assert_allclose(estimate.point, explicit[: len(cells)], atol=1e-9)
    assert not {-1, -3} & set(estimate.labels["event_time"])
    assert estimate.reference == (-1, -3)


def test_unit_trends_remove_trends_and_need_two_references():
    frame = trending()
    plain = sun_abraham(frame, "y", **KEYS, **TRENDS)
    slope = np.random.default_rng(0).normal(size=frame["county"].nunique())
    tilted = frame.assign(y=frame["y"] + slope[pd.factorize(frame["county"], sort=True)[0]] * frame["year"])
    np.testing.assert_allclose(sun_abraham(tilted, "y", **KEYS, **TRENDS).point, plain.point, atol=1e-8)
    with pytest.raises(IdentificationError, match=r"two references, reference=\(-1, -4\)"):
        sun_abraham(frame, "y", **KEYS, unit_trends=True)


def test_more_references_than_needed_are_a_restriction():
    frame = trending()
    estimate = sun_abraham(frame, "y", **KEYS, reference=(-1, -2))
    assert not {-1, -2} & set(estimate.labels["event_time"])
    assert len(estimate.point) == len(sun_abraham(frame, "y", **KEYS).point) - frame["g"].nunique() + 1


def stacked_dummies(frame, estimate):
    """The same effects in g.twfe: one cell as the treatment, the other cells as covariates."""
    cells = {
        t: ((frame["g"] == g) & (frame["year"] == when)).astype(float)
        for t, g, when in zip(estimate.terms, estimate.labels["cohort"], estimate.labels["time"])
    }
    return frame.assign(**cells), list(cells)


def test_wild_bootstrap_and_corrections_work_through_the_interacted_regression():
    frame = trending()
    estimate = sun_abraham(frame, "y", **KEYS, cluster="state")
    data, cells = stacked_dummies(frame, estimate)
    keys = {"unit": "county", "time": "year", "cluster": "state"}
    term, rest = cells[5], [*cells[:5], *cells[6:]]
    alone = twfe(data, "y", treatment=term, covariates=rest, **keys)
    ours, theirs = wild_bootstrap(estimate, term, draws=199), wild_bootstrap(alone, draws=199)
    assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-8)
    assert ours.p_value == theirs.p_value
    ours, theirs = bias_reduced(estimate, terms=[term]), bias_reduced(alone)
    assert ours.se.iloc[0] == pytest.approx(theirs.se.iloc[0], rel=1e-8)
    assert ours.df == pytest.approx(theirs.df, rel=1e-8)


@pytest.mark.parametrize("kind", ["event", "cohort", "calendar", "simple"])
def test_averages_take_the_wild_bootstrap_and_corrections_too(kind):
    frame = trending("panel_unbalanced")
    estimate = sun_abraham(frame, "y", **KEYS, cluster="state", weights="weight")
    average = estimate.aggregate(kind)
    corrected = bias_reduced(average, terms=average.terms[-1:])
    assert corrected.point[0] == pytest.approx(average.point[-1], abs=1e-10)
    psi = average.influence.sums(average.influence.codes("state"))[:, -1]
    boot = wild_bootstrap(average, average.terms[-1], draws=99)
    assert boot.estimate == pytest.approx(average.point[-1], abs=1e-10)
    assert boot.statistic == pytest.approx(average.point[-1] / np.sqrt((psi**2).sum()), rel=1e-8)
    assert corrected.df < estimate.df


def test_what_the_interacted_regression_cannot_serve_says_what_does(monkeypatch):
    estimate = sun_abraham(trending(), "y", **KEYS)
    averages = [estimate.aggregate(kind).overall for kind in ("event", "cohort", "calendar")]
    for overall in (*averages, estimate.overall, estimate.aggregate("event", window=(0, 1)).overall):
        boot = wild_bootstrap(overall, draws=99)
        assert boot.estimate == pytest.approx(overall.point[0], abs=1e-12)
        assert bias_reduced(overall).point[0] == pytest.approx(overall.point[0], abs=1e-12)
    monkeypatch.setattr(module, "LARGEST", 100)
    estimate = sun_abraham(trending(), "y", **KEYS)
    with pytest.raises(DesignError, match=r"more than is formed.*g\.bootstrap_se.*g\.stacked"):
        wild_bootstrap(estimate, estimate.terms[0])
    with pytest.raises(DesignError, match="more than is formed"):
        bias_reduced(estimate)


def test_cohorts_left_out_are_named_with_their_weight():
    # m is treated in all four periods: 4 of 10 treated rows, 8 of 14 when its rows weigh double
    frame = six_counties()
    frame.loc[frame["county"] == "m", "g"] = 2001
    with pytest.warns(Warning, match="event time -1 and are left out, 40 % of the treated rows: m"):
        sun_abraham(frame, "y", **KEYS)
    with pytest.warns(Warning, match=r"left out, 57.1 % of the treated rows: m"):
        sun_abraham(frame.assign(w=1.0 + (frame["county"] == "m")), "y", **KEYS, weights="w")
    with pytest.warns(Warning, match="from the first period on are left out, 40 % of the treated rows: m"):
        etwfe(frame, "y", **KEYS)


def test_event_times_know_their_reference():
    """Leads are relative to event time -1, so that sensitivity analysis and pre-trend power take them."""
    frame = trending()
    for estimate in (sun_abraham(frame, "y", **KEYS), etwfe(frame, "y", **KEYS, control="never")):
        study = estimate.aggregate("event", window=(-3, 3))
        assert study.reference == (-1,)
        assert np.isfinite(honest_did(study, kind="smoothness", M=[0.0]).frame["conf_low"]).all()
        assert len(pretrend_power(study).frame)
        assert estimate.aggregate("event", window=(0, 3)).reference == ()
    assert etwfe(frame, "y", **KEYS).aggregate("event").reference == ()
