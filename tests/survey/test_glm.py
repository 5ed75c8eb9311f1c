"""Regression with absorbed effects against dummies, statsmodels and by-hand delta methods."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from g287stats import survey as sv
from g287stats.errors import DesignError, IdentificationError


def panel(n=4000, seed=1, n_county=12, n_time=6):
    rng = np.random.default_rng(seed)
    d = pd.DataFrame({"county": rng.integers(0, n_county, n), "t": rng.integers(0, n_time, n)})
    d["x"] = rng.normal(size=n)
    d["hisp"] = (rng.random(n) < 0.4) * 1.0
    d["tf"] = ((d.county < 5) & (d.t > 2)) * rng.random(n).round(1)
    eta = -1 + 0.2 * d.county / n_county + 0.1 * d.t + 0.4 * d.x + 0.5 * d.hisp * d.tf
    d["y"] = (rng.random(n) < 1 / (1 + np.exp(-eta))) * 1.0
    d["k"] = rng.poisson(np.exp(eta)) * 1.0
    d["w"] = rng.gamma(4, 0.25, n)
    d["stratum"] = d.county // 2
    d["psu"] = d.county
    return d


@pytest.fixture(scope="module")
def data():
    return panel()


@pytest.fixture(scope="module")
def sample(data):
    return sv.sample(data, weights="w", strata="stratum", psu="psu", cluster="county")


COVARIATES = ["x", "hisp", "tf", "hisp:tf"]
SM = {
    "linear": ("y", sm.families.Gaussian()),
    "logit": ("y", sm.families.Binomial()),
    "poisson": ("k", sm.families.Poisson()),
    "cloglog": ("y", sm.families.Binomial(sm.families.links.CLogLog())),
}


def dummies(data):
    x = data.assign(**{"hisp:tf": data.hisp * data.tf})[COVARIATES]
    return pd.concat(
        [
            x,
            pd.get_dummies(data.county, prefix="c", dtype=float),
            pd.get_dummies(data.t, prefix="t", dtype=float).iloc[:, 1:],
        ],
        axis=1,
    )


@pytest.mark.parametrize("family", SM)
def test_absorbed_equals_dummies_equals_statsmodels(data, sample, family):
    outcome, sm_family = SM[family]
    ours = sv.glm(sample, outcome, COVARIATES, family=family, fixed_effects=("county", "t"))
    spelled = sv.glm(sample, outcome, [*COVARIATES, "C(county)", "C(t)"], family=family)
    np.testing.assert_allclose(ours.point, spelled.params[COVARIATES], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.cov(), spelled.cov().loc[COVARIATES, COVARIATES], rtol=1e-6, atol=1e-12)
    theirs = sm.GLM(data[outcome], dummies(data), family=sm_family, freq_weights=data.w).fit(tol=1e-14, maxiter=200)
    np.testing.assert_allclose(ours.point, theirs.params[COVARIATES], rtol=1e-7, atol=1e-9)


def test_third_effect_and_one_effect(data, sample):
    three = sv.glm(sample, "y", ["x", "tf"], fixed_effects=("county", "t", "hisp"))
    two = sv.glm(sample, "y", ["x", "tf", "hisp"], fixed_effects=("county", "t"))
    np.testing.assert_allclose(three.point, two.params[["x", "tf"]], rtol=1e-9)
    one = sv.glm(sample, "y", ["x", "tf", "hisp", "C(t)"], fixed_effects="county")
    np.testing.assert_allclose(one.params[["x", "tf"]], two.params[["x", "tf"]], rtol=1e-9)


@pytest.mark.parametrize("family", ["linear", "logit", "poisson", "cloglog"])
@pytest.mark.parametrize("covariates", ["sampled", "fixed"])
def test_average_effect_equals_the_delta_method_with_all_dummies(data, sample, family, covariates):
    outcome = SM[family][0]
    absorbed = sv.glm(sample, outcome, COVARIATES, family=family, fixed_effects=("county", "t"))
    spelled = sv.glm(sample, outcome, [*COVARIATES, "C(county)", "C(t)"], family=family)
    for quantity in ("difference", "risk_ratio"):
        how = {"over": "hisp == 1 and tf > 0", "covariates": covariates, "quantity": quantity}
        a, b = (sv.average_effect(e, "tf", **how) for e in (absorbed, spelled))
        np.testing.assert_allclose(a.point, b.point, rtol=1e-9)
        np.testing.assert_allclose(a.se, b.se, rtol=1e-7)


def test_average_effect_by_numerical_gradient(data, sample):
    """The fixed-covariates error is the delta method of the average prediction, gradient by differences."""
    e = sv.glm(sample, "y", [*COVARIATES, "C(county)", "C(t)"])
    ame = sv.average_effect(e, "tf", over="hisp == 1", covariates="fixed")
    x = e.model.x[e.model.cell]
    inside = data.hisp.to_numpy() == 1
    a = data.w.to_numpy() * inside / data.w[inside].sum()
    j, k = e.terms.index("tf"), e.terms.index("hisp:tf")

    def effect(beta):
        out = []
        for value in (0.0, 1.0):
            z = x.copy()
            z[:, j], z[:, k] = value, value * data.hisp
            out.append(a @ (1 / (1 + np.exp(-z @ beta))))
        return out[1] - out[0]

    step = 1e-5
    gradient = np.array([(effect(e.point + d) - effect(e.point - d)) / (2 * step) for d in step * np.eye(len(e.point))])
    assert ame.point[0] == pytest.approx(effect(e.point), rel=1e-12)
    assert ame.se.iloc[0] == pytest.approx(np.sqrt(gradient @ e.cov().to_numpy() @ gradient), rel=1e-6)


def test_linear_average_effect_is_the_coefficient(sample):
    e = sv.glm(sample, "y", ["x", "tf"], family="linear", fixed_effects=("county", "t"))
    ame = sv.average_effect(e, "tf", covariates="fixed")
    assert ame.point[0] == pytest.approx(e.params["tf"], rel=1e-10)
    assert ame.se.iloc[0] == pytest.approx(e.se["tf"], rel=1e-9)


def test_odds_and_risk_ratios_are_different_things(sample):
    logit = sv.glm(sample, "y", COVARIATES, fixed_effects=("county", "t"))
    table = sv.ratios(logit, ["hisp:tf"])
    assert table.scale.iloc[0] == "odds ratio"
    assert table.percent.iloc[0] == pytest.approx(100 * (np.exp(logit.params["hisp:tf"]) - 1))
    risk = np.exp(sv.average_effect(logit, "x", quantity="risk_ratio").point[0])
    odds = sv.ratios(logit, ["x"]).ratio.iloc[0]
    assert 1 < risk < odds
    with pytest.raises(DesignError, match="differences"):
        sv.ratios(sv.glm(sample, "y", ["x"], family="linear"))


def test_county_beside_design(sample):
    e = sv.glm(sample, "y", COVARIATES, fixed_effects=("county", "t"))
    both = sv.both_errors(e, "county")
    assert (both.headline_se >= both[["design_se", "county_se"]].max(axis=1) - 1e-15).all()
    direct = sv.glm(sample, "y", COVARIATES, fixed_effects=("county", "t"), cluster="county")
    np.testing.assert_allclose(direct.se, both.county_se)


def test_counties_without_events_are_listed_not_lost(data):
    d = data.copy()
    d.loc[d.county == 3, "y"] = 0.0
    s = sv.sample(d, weights="w", strata="stratum", psu="psu")
    e = sv.glm(s, "y", ["x", "hisp"], fixed_effects=("county", "t"))
    assert e.sample["n_obs_county_without_events"] == (d.county == 3).sum()
    assert "county without events" in e.notes[0]
    assert len(e.rule.stratum) == 12  # the sampling unit stays
    rest = sv.glm(s, "y", ["x", "hisp"], fixed_effects=("county", "t"), domain=d.county != 3)
    np.testing.assert_allclose(e.se, rest.se, rtol=1e-12)


def test_refusals(data, sample):
    with pytest.raises(IdentificationError, match="combinations"):
        sv.glm(sv.sample(data.assign(twice=2 * data.x), weights="w"), "y", ["x", "twice"])
    with pytest.raises(IdentificationError, match="combinations"):
        s = sv.sample(data.assign(state=data.county // 4 * 1.0), weights="w")
        sv.glm(s, "y", ["x", "state"], fixed_effects="county")
    d = data.assign(rare=((data.county == 1) & (data.y == 0)) * 1.0)
    with pytest.raises(IdentificationError, match="rare: no event among its"):
        sv.glm(sv.sample(d, weights="w"), "y", ["x", "rare"])
    d = data.assign(oracle=data.y + 0.1 * data.x)
    with pytest.raises(IdentificationError, match="did not converge"):
        sv.glm(sv.sample(d, weights="w"), "y", ["oracle", "x"])
    with pytest.raises(IdentificationError, match="outside 0 and 1"):
        sv.glm(sample, "k", ["x"], family="logit")
    with pytest.raises(DesignError, match=r"\['nope'\]|nope"):
        sv.glm(sample, "y", ["nope"])


def test_what_must_not_matter(data):
    """Row order, labels and the scale of the weights do not touch points or errors."""
    how = {"weights": "w", "strata": "stratum", "psu": "psu"}
    base = sv.glm(sv.sample(data, **how), "y", COVARIATES, fixed_effects=("county", "t"))
    for other in (
        data.sample(frac=1, random_state=3),
        data.assign(w=7 * data.w),
        data.assign(county=(50 - data.county).astype(str), psu=100 - data.psu),
    ):
        e = sv.glm(sv.sample(other, **how), "y", COVARIATES, fixed_effects=("county", "t"))
        np.testing.assert_allclose(e.point, base.point, rtol=1e-9)
        np.testing.assert_allclose(e.se, base.se, rtol=1e-8)


def test_inputs_are_not_modified(data):
    before = data.copy(deep=True)
    s = sv.sample(data, weights="w", strata="stratum", psu="psu")
    sv.glm(s, "y", COVARIATES, fixed_effects=("county", "t"))
    sv.mean(s, "y", by="t")
    pd.testing.assert_frame_equal(data, before)


@pytest.mark.parametrize("fixed_effects", [(), ("county",)])
def test_leverage_is_the_exact_leave_one_out_of_a_linear_fit(data, sample, fixed_effects):
    """Sums of corrected influence by county are β − β without that county, refitted."""
    how = {"family": "linear", "fixed_effects": fixed_effects}
    e = sv.glm(sample, "y", ["x", "hisp"], leverage="county", **how)
    sums = e.influence.sums(e.influence.codes("county"))
    for g, county in enumerate(sorted(data.county.unique())):
        without = sv.glm(sample, "y", ["x", "hisp"], domain=data.county != county, **how)
        np.testing.assert_allclose(sums[g], e.point - without.point, rtol=1e-8, atol=1e-12)
    plain = sv.glm(sample, "y", ["x", "hisp"], **how)
    assert (e.se >= plain.se).all()
    np.testing.assert_array_equal(e.point, plain.point)


def test_a_county_that_alone_identifies_is_noted(data):
    d = data.assign(only=((data.county == 2) & (data.t > 2)) * 1.0)
    s = sv.sample(d, weights="w", strata="stratum", psu="psu", cluster="county")
    e = sv.glm(s, "y", ["x", "only"], fixed_effects="county", leverage="county")
    assert any("alone identify" in n for n in e.notes)
    with pytest.raises(DesignError, match="leverage='state'"):
        sv.glm(s, "y", ["x"], leverage="state")
