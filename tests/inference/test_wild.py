"""The wild cluster bootstrap against full enumeration, and against refitting with explicit dummies."""

import itertools

import numpy as np
import pandas as pd
import pytest
from reference_did import agree, expected, load_panel

from g287stats.did.group_time import att_gt
from g287stats.did.twfe import event_study, twfe
from g287stats.errors import DesignError, InferenceWarning
from g287stats.inference.wild import wild_bootstrap

KEYS = {"unit": "county", "time": "year", "cohort": "cohort"}


def panel(name):
    d = load_panel(name)
    return d.assign(cohort=d["g"].where(d["g"] > 0))


@pytest.mark.parametrize("name", ["panel_small", "panel_null"])
@pytest.mark.parametrize("impose", [True, False])
def test_reference(name, impose):
    est = twfe(panel(name), "y", cluster="state", **KEYS)
    r = wild_bootstrap(est, impose_null=impose)
    rows = expected(name, "wild_cluster_bootstrap", "state.null_imposed" if impose else "state.unrestricted")
    got = {
        "beta": r.estimate,
        "t": r.statistic,
        "p_ge": r.p_value,
        "p_gt": r.p_value_strict,
        "p_equal_tail": r.p_value_equal_tail,
        "ci95_lo": r.conf_low,
        "ci95_hi": r.conf_high,
    }
    assert r.enumerated
    assert r.draws == 4096
    for quantity, row in rows.iterrows():
        agree(got[quantity], None, row)


def dummies(*codes):
    return np.hstack([pd.get_dummies(pd.Series(c)).to_numpy(float) for c in codes])


def refit_t(y, x, others, cluster, w):
    """t of x in the weighted regression on x and others, all of them explicit columns."""
    s = np.sqrt(w)[:, None]
    off = lambda a: a - others @ np.linalg.lstsq(others * s, a * s, rcond=None)[0]
    x, y = off(x[:, None])[:, 0], off(y[:, None])[:, 0]
    q = x @ (w * x)
    b = x @ (w * y) / q
    scores = np.bincount(cluster, w * x * (y - b * x))
    return b, b * q / np.sqrt((scores**2).sum())


@pytest.mark.parametrize("impose", [True, False])
@pytest.mark.parametrize("extra", ["plain", "weights", "covariate", "state_year", "trends", "unbalanced"])
def test_each_draw_is_a_refit(extra, impose):
    d = panel("panel_unbalanced" if extra == "unbalanced" else "panel_small")
    d = d[d["g"] != d["year"].min()] if extra == "unbalanced" else d
    rng = np.random.default_rng(2)
    d["z"] = rng.normal(size=len(d)) + 0.3 * (d["year"] - 2008)
    d["region"] = d["state"] % 3 if extra == "state_year" else d["state"]
    options = {
        "plain": {},
        "unbalanced": {},
        "weights": {"weights": "weight"},
        "covariate": {"covariates": ["z"], "weights": "weight"},
        "state_year": {"fixed_effects": [("region", "year")]},
        "trends": {"unit_trends": True},
    }[extra]
    est = twfe(d, "y", cluster="state", **options, **KEYS)
    r = wild_bootstrap(est, draws=40, seed=5, impose_null=impose, ci=False)
    d = d[d["y"].notna()].sort_values(["county", "year"]).reset_index(drop=True)
    y, x = d["y"].to_numpy(), (d["year"] >= d["cohort"]).to_numpy(float)
    w = d["weight"].to_numpy(float) if "weights" in options else np.ones(len(d))
    others = dummies(d["county"], d["year"])
    if extra == "covariate":
        others = np.column_stack([others, d["z"]])
    if extra == "state_year":
        others = np.column_stack([others, dummies(d["region"] * 10000 + d["year"])])
    if extra == "trends":
        others = np.column_stack([others, dummies(d["county"]) * (d["year"] - 2009).to_numpy()[:, None]])
    cluster = pd.factorize(d["state"], sort=True)[0]
    b, t = refit_t(y, x, others, cluster, w)
    assert r.estimate == pytest.approx(b, abs=1e-9)
    assert r.statistic == pytest.approx(t, rel=1e-8)
    s = np.sqrt(w)[:, None]
    columns = others if impose else np.column_stack([others, x])
    fitted = columns @ np.linalg.lstsq(columns * s, y[:, None] * s, rcond=None)[0][:, 0]
    from g287stats.estimate.bootstrap import multiplier_draws

    signs = multiplier_draws(np.random.default_rng(5), 40, int(cluster.max()) + 1, "rademacher")
    for j in (0, 7, 23, 39):
        y_star = fitted + signs[j][cluster] * (y - fitted) - (0.0 if impose else b) * x
        assert r.drawn[j] == pytest.approx(refit_t(y_star, x, others, cluster, w)[1], rel=1e-7, abs=1e-9)


def test_combination_of_coefficients():
    """The average of two event-time effects equals the coefficient of a reparametrised regression."""
    d = panel("panel_small")
    es = event_study(d, "y", cluster="state", **KEYS)
    post = dict.fromkeys(("0", "1", "2", "3"), 1 / 4)
    r = wild_bootstrap(es, post, ci=False)
    assert r.estimate == pytest.approx(np.mean([es.params[t] for t in post]))
    # t of the combination equals the ratio to the unadjusted sandwich of the same combination
    weights = np.array([[post.get(t, 0.0) for t in es.terms]])
    from g287stats.estimate.covariance import Clustered

    mean = es.combine(weights, ["mean"]).with_rule(Clustered(("state",), "unadjusted", n_clusters={"state": 12}))
    assert r.statistic == pytest.approx(r.estimate / mean.se.iloc[0], rel=1e-10)
    with pytest.raises(DesignError, match="name one coefficient"):
        wild_bootstrap(es)


def test_interval_inverts_the_test():
    est = twfe(panel("panel_null"), "y", cluster="state", **KEYS)
    r = wild_bootstrap(est)
    for end, inward in ((r.conf_low, 1e-6), (r.conf_high, -1e-6)):
        assert wild_bootstrap(est, null=end + inward, ci=False).p_value > 0.05
        assert wild_bootstrap(est, null=end - inward, ci=False).p_value <= 0.05


def test_rows_and_labels_do_not_matter():
    d = panel("panel_small")
    one = wild_bootstrap(twfe(d, "y", cluster="state", **KEYS), draws=999)
    shuffled = d.sample(frac=1, random_state=3)
    two = wild_bootstrap(twfe(shuffled, "y", cluster="state", **KEYS), draws=999)
    np.testing.assert_array_equal(one.drawn, two.drawn)
    assert (one.conf_low, one.conf_high) == (two.conf_low, two.conf_high)
    assert not one.enumerated
    three = wild_bootstrap(twfe(d.assign(y=d["y"] * 10 + 3), "y", cluster="state", **KEYS), draws=999)
    assert three.p_value == one.p_value
    assert (three.conf_low, three.conf_high) == pytest.approx((10 * one.conf_low, 10 * one.conf_high), rel=1e-8)


def test_webb_is_enumerated_when_that_is_small():
    d = panel("panel_small")
    d["group"] = d["state"] % 4
    r = wild_bootstrap(twfe(d, "y", cluster="group", **KEYS), multipliers="webb", ci=False)
    assert r.enumerated
    assert r.draws == 6**4


def test_too_few_clusters_are_told():
    """With four clusters no pattern is rarer than 2/16, so that nothing is ever rejected at 5 %."""
    d = panel("panel_small").assign(group=lambda d: d["state"] % 4)
    with pytest.warns(InferenceWarning, match="unbounded"):
        r = wild_bootstrap(twfe(d, "y", cluster="group", **KEYS))
    assert (r.conf_low, r.conf_high) == (-np.inf, np.inf)


def test_one_treated_cluster_is_told():
    """One treated county: hopelessly wide with the null imposed, far too short without; both are flagged."""
    est = twfe(load_panel("single_unit"), "y", unit="county", time="year", treatment="d")
    with pytest.warns(InferenceWarning, match="effectively 1.1 of 24"):
        wide = wild_bootstrap(est)
    with pytest.warns(InferenceWarning, match="too often"):
        short = wild_bootstrap(est, impose_null=False)
    assert wide.conf_high - wide.conf_low > 10 * (short.conf_high - short.conf_low)


def test_subcluster_draws_are_refits():
    d = panel("panel_small")
    est = twfe(d, "y", cluster="state", **KEYS)
    r = wild_bootstrap(est, draw_by="county", draws=30, seed=9, ci=False)
    d = d.sort_values(["county", "year"]).reset_index(drop=True)
    y, x, others = d["y"].to_numpy(), (d["year"] >= d["cohort"]).to_numpy(float), dummies(d["county"], d["year"])
    fitted = others @ np.linalg.lstsq(others, y, rcond=None)[0]
    from g287stats.estimate.bootstrap import multiplier_draws

    unit, cluster = pd.factorize(d["county"], sort=True)[0], pd.factorize(d["state"], sort=True)[0]
    signs = multiplier_draws(np.random.default_rng(9), 30, int(unit.max()) + 1, "rademacher")
    for j in (0, 11, 29):
        y_star = fitted + signs[j][unit] * (y - fitted)
        assert r.drawn[j] == pytest.approx(refit_t(y_star, x, others, cluster, np.ones(len(d)))[1], rel=1e-8)


def test_refusals():
    d = panel("panel_small")
    est = twfe(d, "y", cluster="state", **KEYS)
    with pytest.raises(DesignError, match="cuts across"):
        wild_bootstrap(twfe(d, "y", cluster=["county", "year"], **KEYS), cluster="county", draw_by="year")
    with pytest.raises(DesignError, match="constant within units"):
        wild_bootstrap(twfe(d, "y", cluster=["county", "year"], **KEYS), cluster="year")
    with pytest.raises(DesignError, match="no cluster level"):
        wild_bootstrap(est, cluster="region")
    with pytest.raises(DesignError, match="is not one"):
        wild_bootstrap(att_gt(d, "y", **KEYS))
    with pytest.raises(DesignError, match="rademacher"):
        wild_bootstrap(est, multipliers="mammen")


def test_all_sign_patterns():
    from g287stats.inference.wild import sign_patterns

    signs = next(sign_patterns(3, 999, "rademacher", 1, True))
    assert {tuple(s) for s in signs} == set(itertools.product((1.0, -1.0), repeat=3))


def test_unit_and_county_name_the_unit_as_in_the_estimators():
    est = twfe(load_panel("panel_small").rename(columns={"county": "fips"}), "y", unit="fips", time="year", cohort="g")
    assert wild_bootstrap(est, cluster="county", draws=99).cluster == "fips"
    assert wild_bootstrap(est, cluster="unit", draws=99).p_value == wild_bootstrap(est, draws=99).p_value


def test_no_interval_is_told_when_none_was_asked_for():
    est = twfe(panel("panel_small"), "y", cluster="state", **KEYS)
    without, with_one = (str(wild_bootstrap(est, draws=99, ci=ci)) for ci in (False, True))
    assert "interval" not in without and "nan" not in without
    assert "95 % interval [" in with_one
