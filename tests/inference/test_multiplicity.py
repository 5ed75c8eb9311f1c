"""Joint influence and multiple testing: alignment, closed forms, error rates."""

import numpy as np
import pandas as pd
import pytest
from reference_did import load_panel

from g287stats.did.etwfe import etwfe
from g287stats.did.group_time import att_gt
from g287stats.did.imputation import imputation, two_stage
from g287stats.did.intensity import intensity_did
from g287stats.did.lp_did import lp_did
from g287stats.did.poisson import poisson
from g287stats.did.stacked import stacked
from g287stats.did.sun_abraham import sun_abraham
from g287stats.did.switching import switching_did
from g287stats.did.twfe import event_study, twfe
from g287stats.errors import DesignError
from g287stats.inference.multiplicity import holm, joint, multiple_testing, romano_wolf
from g287stats.inference.target import from_moments, unit_labels

KEYS = {"unit": "county", "time": "year", "cohort": "cohort"}


def panel():
    d = load_panel("panel_small")
    return d.assign(cohort=d["g"].where(d["g"] > 0), y2=d["y"] + np.sin(np.arange(len(d))), y3=-d["y"])


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.5
    out = holm([0.03, 0.01, np.nan, 0.5, 0.02])
    np.testing.assert_allclose(out, [0.06, 0.04, np.nan, 0.5, 0.06])
    assert holm([0.6, 0.7]).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("cluster", ["county", "state"])
def test_joint_keeps_each_standard_error(cluster):
    d = panel()
    parts = {
        "a": twfe(d, "y", cluster=cluster, **KEYS),
        "b": twfe(d[d["county"] > 6], "y2", cluster=cluster, **KEYS),
        "c": att_gt(d, "y", cluster=cluster, **KEYS).aggregate("simple"),
    }
    whole = joint(parts)
    for name, part in parts.items():
        assert whole.params[name] == part.point[0]
        assert whole.se[name] == pytest.approx(part.se.iloc[0], rel=1e-12)
    assert whole.sample["n_clusters"] == (60 if cluster == "county" else 12)


def test_a_common_level_can_be_named():
    d = panel()
    two_way = twfe(d, "y", cluster=["state", "year"], **KEYS)
    whole = joint({"a": two_way, "b": twfe(d, "y", cluster="state", **KEYS)}, cluster="state")
    s = two_way.influence.sums(two_way.influence.codes("state"))
    assert whole.se["a"] == pytest.approx(np.sqrt(12 / 11 * (s**2).sum()), rel=1e-12)
    assert whole.df == 11


def test_joint_covariance_is_that_of_a_stacked_regression():
    """Two outcomes in one stacked regression with all effects interacted: its clustered covariance is the joint one."""
    d = panel()
    parts = {k: twfe(d, k, cluster="county", small_sample="unadjusted", **KEYS) for k in ("y", "y2")}
    whole = joint(parts)
    long = pd.concat([d.assign(out=d["y"], eq=0), d.assign(out=d["y2"], eq=1)], ignore_index=True)
    long["cell"] = long["county"] * 10 + long["eq"]
    on = (long["year"] >= long["cohort"]).astype(float)
    long["d0"], long["d1"] = on * (long["eq"] == 0), on * (long["eq"] == 1)
    long["t"] = long["eq"] * 100 + long["year"]
    stacked = twfe(
        long,
        "out",
        unit="cell",
        time="t",
        treatment="d0",
        covariates=["d1"],
        cluster="county",
        small_sample="unadjusted",
    )
    fit = stacked.regression.fit
    at = [list(stacked.regression.names).index(c) for c in ("d0", "d1")]
    codes = stacked.regression.design.clusters["county"]
    score = np.zeros((60, 2))
    np.add.at(score, codes, fit.row_influence()[:, at])
    np.testing.assert_allclose(whole.cov().to_numpy(), score.T @ score, rtol=1e-9)
    # and the difference of the two effects
    gap = whole.combine(np.array([[1.0, -1.0]]), ["gap"])
    direct = twfe(d.assign(gap=d["y"] - d["y2"]), "gap", cluster="county", small_sample="unadjusted", **KEYS)
    assert gap.se.iloc[0] == pytest.approx(direct.se.iloc[0], rel=1e-9)


def test_identical_hypotheses_cost_nothing():
    """Romano–Wolf knows that y and −y are one hypothesis; Holm does not."""
    d = panel()
    e = twfe(d, "y", cluster="state", **KEYS)
    same = {"y": e, "minus y": twfe(d, "y3", cluster="state", **KEYS)}
    r = multiple_testing(same, draws=1999).frame
    alone = multiple_testing({"y": e}, draws=1999).frame
    assert r["p_value_romano_wolf"].tolist() == [alone["p_value_romano_wolf"].iloc[0]] * 2
    assert r["p_value_holm"].iloc[0] == pytest.approx(2 * r["p_value"].iloc[0])


def test_single_step_and_monotone():
    rng = np.random.default_rng(6)
    est = from_moments(rng.normal(size=6) * 1.5, np.eye(6))
    p = romano_wolf(est, draws=4999, multipliers="gaussian")
    t = np.abs(est.point)
    assert (np.diff(p[np.argsort(-t)]) >= 0).all()
    # independent normals: the largest is compared with the maximum of six
    from scipy import stats

    exact = 1 - (2 * stats.norm.cdf(t.max()) - 1) ** 6
    assert p[t.argmax()] == pytest.approx(exact, abs=0.03)


def test_familywise_error():
    rng = np.random.default_rng(12)
    cov = 0.7 * np.ones((5, 5)) + 0.3 * np.eye(5)
    root = np.linalg.cholesky(cov)
    draws = 400
    wrong = {"romano_wolf": np.zeros(draws), "holm": np.zeros(draws), "none": np.zeros(draws)}
    for i in range(draws):
        est = from_moments(root @ rng.normal(size=5), cov)
        p = est.p_values()
        wrong["none"][i] = (p < 0.05).any()
        wrong["holm"][i] = (holm(p) < 0.05).any()
        wrong["romano_wolf"][i] = (romano_wolf(est, draws=399) < 0.05).any()
    allowed = 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)
    assert wrong["romano_wolf"].mean() <= allowed
    assert wrong["holm"].mean() <= allowed
    assert wrong["none"].mean() > allowed  # else the test could not fail
    more = wrong["romano_wolf"] - wrong["holm"]  # on the same draws: Romano–Wolf rejects no less, up to its simulation
    assert more.mean() >= -3 * more.std() / np.sqrt(draws)


def test_stacked_panels_are_matched_by_county():
    d = panel().assign(county=lambda f: "c" + f["county"].astype(str).str.zfill(3))
    parts = {"stacked": stacked(d, "y", window=(-1, 1), shape="static", **KEYS), "twfe": twfe(d, "y", **KEYS)}
    whole = joint(parts)
    assert whole.sample["n_units"] == 60
    assert whole.se["stacked"] == pytest.approx(parts["stacked"].se.iloc[0], rel=1e-12)
    assert abs(whole.cov().iloc[0, 1]) > 0.2 * whole.se.prod()
    numbered = {k: e(panel(), "y", **KEYS) for k, e in (("twfe", twfe), ("att_gt", att_gt))}
    numbered["stacked"] = stacked(panel(), "y", window=(-1, 1), shape="static", **KEYS)
    assert joint(numbered).se["stacked"] == pytest.approx(whole.se["stacked"], rel=1e-12)


ESTIMATORS = {
    "twfe": lambda d: twfe(d, "y", **KEYS),
    "rows": lambda d: twfe(d, "y", cluster=["county", "year"], **KEYS),
    "event study": lambda d: event_study(d, "y", **KEYS).overall,
    "poisson": lambda d: poisson(d, "count", **KEYS),
    "etwfe": lambda d: etwfe(d, "y", **KEYS),
    "imputation": lambda d: imputation(d, "y", **KEYS),
    "imputation, leads": lambda d: imputation(d, "y", leads=2, **KEYS),
    "two stage": lambda d: two_stage(d, "y", **KEYS),
    "sun_abraham": lambda d: sun_abraham(d, "y", **KEYS),
    "stacked": lambda d: stacked(d, "y", window=(-1, 1), **KEYS),
    "stacked, rows": lambda d: stacked(d, "y", window=(-1, 1), cluster=["county", "year"], **KEYS),
    "lp_did": lambda d: lp_did(d, "y", window=(-1, 1), **KEYS),
    "intensity": lambda d: intensity_did(d, "y", dose="dose", bins=2, **KEYS),
    "switching": lambda d: switching_did(d, "y", treatment="d", effects="start", unit="county", time="year"),
    "att_gt": lambda d: att_gt(d, "y", **KEYS),
    "att_gt, aggregate": lambda d: att_gt(d, "y", **KEYS).aggregate("event").overall,
    "att_gt, cell left out": lambda d: att_gt(d.dropna(subset=["cohort"]), "y", control="notyet", **KEYS),
    "att_gt, unbalanced": lambda d: att_gt(d, "y", panel="keep_unbalanced", **KEYS),
}


@pytest.mark.filterwarnings("ignore::g287stats.errors.G287Warning")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_influence_carries_the_labels_of_its_units(name):
    """Names that turn the order of the counties round move rows of the influence with them, also of those left out."""
    d = panel().drop(index=[50, 200, 201])
    d["cohort"] = d["cohort"].mask(d["county"].isin([3, 20, 41]), d["year"].min())  # always treated
    d["d"] = (d["year"] >= d["cohort"]).astype(int)
    d["dose"] = d["d"] * (1.0 + d["county"] % 5)
    d["count"] = np.exp(d["y"] / d["y"].std()).round() + 1
    by_unit = []
    for renamed in (d["county"], 1000 - d["county"]):
        e = ESTIMATORS[name](d.assign(county=renamed))
        psi = e.influence.sums(e.influence.codes(e.influence.unit))
        by_unit.append(pd.DataFrame(psi, index=unit_labels(e)))
    back = by_unit[1].set_axis(1000 - by_unit[1].index).sort_index()
    np.testing.assert_array_equal(by_unit[0].index, back.index)
    np.testing.assert_allclose(by_unit[0], back, atol=1e-9 * np.abs(psi).max())


def test_vectors_rows_and_refusals():
    d = panel()
    es = event_study(d, "y", **KEYS)
    whole = joint([es, event_study(d, "y2", **KEYS)])
    assert len(whole.point) == 2 * len(es.point)
    shuffled = joint([event_study(d.sample(frac=1, random_state=1), "y", **KEYS), event_study(d, "y2", **KEYS)])
    np.testing.assert_array_equal(romano_wolf(whole, draws=99), romano_wolf(shuffled, draws=99))
    assert multiple_testing([es, event_study(d, "y2", **KEYS)], term="0", draws=99).frame.shape[0] == 2
    with pytest.raises(DesignError, match="different levels"):
        joint([es, twfe(d, "y2", cluster="state", **KEYS)])
    with pytest.raises(DesignError, match="one level"):
        joint([twfe(d, "y", cluster=["county", "year"], **KEYS)])
    with pytest.raises(DesignError, match="labels of its units"):
        joint([from_moments([1.0], [1.0])])
