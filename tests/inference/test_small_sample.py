"""CR2 and CR3 against the definition with dense matrices, and CR3 against leave-one-cluster-out refits."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from linearmodels.panel import PanelOLS
from reference_did import load_panel
from scipy import stats

from g287stats.did.twfe import event_study, twfe
from g287stats.errors import DesignError
from g287stats.inference import small_sample
from g287stats.inference.small_sample import bias_reduced
from g287stats.inference.wild import wild_bootstrap

KEYS = {"unit": "county", "time": "year", "cohort": "cohort"}


def panel(name="panel_small"):
    d = load_panel(name)
    return d.assign(cohort=d["g"].where(d["g"] > 0))


def dense(d, x, others, cluster, w, kind):
    """Standard error and degrees of freedom of x from the textbook formulas, hat matrix and all."""
    s = np.sqrt(w)
    design = np.column_stack([x, others]) * s[:, None]
    y = d["y"].to_numpy() * s
    k = np.linalg.pinv(design.T @ design)
    off = np.eye(len(y)) - design @ k @ design.T
    u = off @ y
    weight = design @ k[:, 0]
    total, p = 0.0, np.zeros((len(y), cluster.max() + 1))
    for g in range(cluster.max() + 1):
        rows = np.flatnonzero(cluster == g)
        value, vector = np.linalg.eigh(off[np.ix_(rows, rows)])
        power = -0.5 if kind == "CR2" else -1.0
        a = (vector * np.where(value > 1e-9, np.maximum(value, 1e-300) ** power, 0)) @ vector.T
        p[rows, g] = a @ weight[rows]
        total += (p[rows, g] @ u[rows]) ** 2
    q = p.T @ off @ p
    freedom = np.trace(q) ** 2 / (q**2).sum()
    n = cluster.max() + 1
    return np.sqrt(total * ((n - 1) / n if kind == "CR3" else 1)), freedom


@pytest.mark.parametrize("kind", ["CR2", "CR3"])
@pytest.mark.parametrize("case", ["plain", "weights", "covariate", "region_year", "trends", "unbalanced", "county"])
def test_definition(case, kind):
    d = panel("panel_unbalanced" if case == "unbalanced" else "panel_small")
    if case == "unbalanced":
        d = d[(d["g"] != 2000) & (d["county"] % 4 == 0) & d["y"].notna()]
    d = d.sort_values(["county", "year"]).reset_index(drop=True)
    d["z"] = np.cos(np.arange(len(d)))
    d["region"] = d["state"] % 3
    options = {
        "weights": {"weights": "weight"},
        "covariate": {"covariates": ["z"]},
        "region_year": {"fixed_effects": [("region", "year")]},
        "trends": {"unit_trends": True},
    }.get(case, {})
    level = "county" if case == "county" else "state"
    est = twfe(d, "y", cluster=level, **KEYS, **options)
    x = (d["year"] >= d["cohort"]).to_numpy(float)
    columns = [pd.get_dummies(d["county"]), pd.get_dummies(d["year"])]
    if case == "covariate":
        columns.append(d[["z"]])
    if case == "region_year":
        columns.append(pd.get_dummies(d["region"] * 10000 + d["year"]))
    if case == "trends":
        columns.append(pd.get_dummies(d["county"]).astype(float).mul(d["year"] - 2009.5, axis=0))
    w = d["weight"].to_numpy(float) if case == "weights" else np.ones(len(d))
    others = np.column_stack([c.to_numpy(float) for c in columns])
    cluster = pd.factorize(d[level], sort=True)[0]
    se, freedom = dense(d, x, others, cluster, w, kind)
    r = bias_reduced(est, kind)
    assert r.se.iloc[0] == pytest.approx(se, rel=1e-7)
    assert r.df == pytest.approx(freedom, rel=1e-6)
    assert r.point[0] == est.point[0]


def test_cr3_is_the_cluster_jackknife():
    d = panel()
    est = twfe(d, "y", cluster="state", **KEYS)
    without = [twfe(d[d["state"] != s], "y", cluster="state", **KEYS).point[0] for s in d["state"].unique()]
    g = len(without)
    jackknife = np.sqrt((g - 1) / g * ((np.array(without) - est.point[0]) ** 2).sum())
    assert bias_reduced(est, "CR3").se.iloc[0] == pytest.approx(jackknife, rel=1e-9)


@pytest.mark.slow
def test_unbiased_under_equal_variances():
    """CR2 is exactly unbiased when errors are independent with equal variance."""
    d = panel().sort_values(["county", "year"]).reset_index(drop=True)
    d = d[d["county"] <= 20]
    d.loc[d["county"] == 20, "cohort"] = 2010.0
    rng = np.random.default_rng(1)
    variances, points = [], []
    for _ in range(1500):
        d["y"] = rng.normal(size=len(d))
        r = bias_reduced(twfe(d, "y", **KEYS))
        variances.append(r.se.iloc[0] ** 2)
        points.append(r.point[0])
    assert np.mean(variances) == pytest.approx(np.var(points), rel=0.12)
    # Bell–McCaffrey: the variance estimate behaves like a chi-squared with these degrees of freedom
    assert 2 * np.mean(variances) ** 2 / np.var(variances) == pytest.approx(r.df, rel=0.25)


def test_vector_carries_the_smallest_df():
    es = event_study(panel(), "y", cluster="state", **KEYS)
    r = bias_reduced(es, terms=["0", "1", "2"])
    freedom = r.options["df"]
    assert r.df == min(freedom.values())
    one = bias_reduced(es, terms=["1"])
    assert one.df == pytest.approx(freedom["1"])
    assert one.se.iloc[0] == pytest.approx(r.se["1"])
    half = stats.t.ppf(0.975, one.df) * one.se.iloc[0]
    assert one.conf_int().iloc[0]["conf_high"] == pytest.approx(one.point[0] + half)
    assert "CR2" in one.rule.label
    # linear combinations keep the adjustment: the covariance matrix is that of the adjusted scores
    both = r.combine(np.array([[0.5, 0.5, 0.0]]), ["mean"])
    assert both.se.iloc[0] == pytest.approx(np.sqrt(np.array([0.5, 0.5, 0]) @ r.cov() @ np.array([0.5, 0.5, 0])))


def test_refusals():
    d = panel()
    with pytest.raises(DesignError, match="lie within"):
        bias_reduced(twfe(d, "y", cluster=["county", "year"], **KEYS), cluster="year")
    with pytest.raises(DesignError, match="choose"):
        bias_reduced(twfe(d, "y", **KEYS), "CR1")
    es = event_study(d, "y", **KEYS)
    with pytest.raises(DesignError, match=r"no such coefficients: .*first"):
        bias_reduced(es, terms=["first"])


def test_an_estimate_states_which_combinations_of_coefficients_it_is():
    """Combined, selected and renamed parameters are looked up by what they are made of, not by their names."""
    es = event_study(panel(), "y", cluster="state", **KEYS)
    weights = np.random.default_rng(1).normal(size=(2, len(es.point)))
    both = es.combine(weights, ["1", "b"])
    assert bias_reduced(both, terms=["1"]).point[0] == pytest.approx(both.point[0], abs=1e-12)
    both = both.combine(np.array([[2.0, -1.0]]), ["c"])
    parts = dict(zip(es.terms, 2 * weights[0] - weights[1]))
    assert both.averages.parts(0) == pytest.approx(parts)
    one, two = wild_bootstrap(both, draws=99), wild_bootstrap(es, parts, draws=99)
    assert (one.estimate, one.p_value) == (pytest.approx(two.estimate, abs=1e-14), two.p_value)
    assert one.estimate == pytest.approx(both.point[0], abs=1e-12)
    assert bias_reduced(both).point[0] == pytest.approx(both.point[0], abs=1e-12)
    assert es.select(["1"]).averages.parts(0) == {"1": 1.0}
    assert es.combine(weights[:1], ["a"], extra=np.zeros((len(es.influence.psi), 1))).averages is None


def test_the_average_after_treatment_is_a_combination_of_the_event_study():
    es = event_study(panel(), "y", window=(-3, 3), ends="drop", cluster="state", **KEYS)
    one = bias_reduced(es.overall)
    after = np.array([int(t) >= 0 for t in es.terms], dtype=float)
    two = bias_reduced(es).combine(after[None, :] / after.sum(), ["mean"])
    assert one.point[0] == pytest.approx(es.overall.point[0], abs=1e-12)
    assert one.se.iloc[0] == pytest.approx(two.se.iloc[0], rel=1e-10)
    assert one.df != pytest.approx(two.df)  # its own degrees of freedom, not the smallest of the parts
    same = wild_bootstrap(es, {t: 1 / after.sum() for t, a in zip(es.terms, after) if a}, draws=199)
    assert wild_bootstrap(es.overall, draws=199).p_value == same.p_value


@pytest.mark.parametrize("kind", ["CR2", "CR3"])
@pytest.mark.parametrize("case", ["one_treated_cluster", "covariate", "trends", "weights"])
def test_products_and_eigenvectors_give_the_same_numbers(case, kind, monkeypatch):
    """Few coefficients go by products with the hat matrix, many by one eigenproblem a cluster."""
    d = panel().assign(z=lambda f: np.cos(np.arange(len(f))))
    options = {"covariate": {"covariates": ["z"]}, "trends": {"unit_trends": True}, "weights": {"weights": "weight"}}
    if case == "one_treated_cluster":
        d["cohort"] = np.where(d["state"] == d["state"].min(), 2008.0, np.nan)
    window = {"window": (-3, 3)} if case != "trends" else {"window": (-3, 3), "reference": (-3, -1)}
    est = event_study(d, "y", cluster="state", **KEYS, **window, **options.get(case, {}))
    results = []
    for cost in (1e-9, 1e9):
        monkeypatch.setattr(small_sample, "PASS", cost)
        results.append(bias_reduced(est, kind))
    one, two = results
    assert one.se.to_numpy() == pytest.approx(two.se.to_numpy(), rel=1e-11)
    assert list(one.options["df"].values()) == pytest.approx(list(two.options["df"].values()), rel=1e-11)


def test_many_clusters_by_many_columns_are_refused_before_the_memory_is_taken(monkeypatch):
    monkeypatch.setattr(small_sample, "LARGEST", 100)
    with pytest.raises(DesignError, match=r"keep \d+ clusters × \d+ columns"):
        bias_reduced(twfe(panel(), "y", **KEYS))


def test_conventions_are_those_of_the_software_named_on_the_page():
    """statsmodels with dummies and linearmodels count every effect; Stata's formulas are written out."""
    d = panel().sort_values(["county", "year"])
    d["d"] = (d["year"] >= d["cohort"]).astype(float)
    se = {c: twfe(d, "y", small_sample=c, **KEYS).se.iloc[0] for c in ("nonnested", "full", "none", "unadjusted")}
    x = np.column_stack([d["d"], pd.get_dummies(d["county"]), pd.get_dummies(d["year"]).iloc[:, 1:]]).astype(float)
    ols = sm.OLS(d["y"].to_numpy(), x).fit(cov_type="cluster", cov_kwds={"groups": d["county"].to_numpy()})
    assert se["full"] == pytest.approx(ols.bse[0], rel=1e-10)
    model = PanelOLS.from_formula("y ~ d + EntityEffects + TimeEffects", d.set_index(["county", "year"]))
    fit = model.fit(cov_type="clustered", cluster_entity=True, group_debias=True)
    assert se["full"] == pytest.approx(fit.std_errors["d"], rel=1e-10)
    n, g, t = len(d), d["county"].nunique(), d["year"].nunique()
    for name, k in (("full", g + t), ("nonnested", 1 + t), ("none", 1)):  # areg; xtreg, fe and reghdfe; no effect
        assert (se[name] / se["unadjusted"]) ** 2 == pytest.approx(g / (g - 1) * (n - 1) / (n - k), rel=1e-12)


def test_clusters_with_one_regressor_matrix_are_solved_once(monkeypatch):
    """Counties of a cohort share theirs; one that differs by a covariate does not."""
    est = event_study(panel(), "y", window=(-3, 3), **KEYS)
    solved = []
    adjusted = small_sample.adjusted_directions
    monkeypatch.setattr(small_sample, "PASS", 1e9)
    monkeypatch.setattr(small_sample, "adjusted_directions", lambda *a: solved.append(1) or adjusted(*a))
    together = bias_reduced(est)
    assert len(solved) == panel()["g"].nunique()
    alone = [bias_reduced(est, terms=[t]) for t in est.terms]  # one coefficient is not looked up
    assert together.se.to_numpy() == pytest.approx([a.se.iloc[0] for a in alone], rel=1e-11)
    assert list(together.options["df"].values()) == pytest.approx([a.df for a in alone], rel=1e-11)
    solved.clear()
    d = panel().assign(z=lambda f: np.cos(np.arange(len(f))))
    bias_reduced(event_study(d, "y", window=(-3, 3), covariates=["z"], **KEYS))
    assert len(solved) == d["county"].nunique()
