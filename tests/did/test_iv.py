"""Instrumental variables with fixed effects."""

import warnings

import numpy as np
import pandas as pd
import pytest
from linearmodels.iv import IV2SLS, IVGMM
from scipy import stats

from g287stats.did.iv import iv_did
from g287stats.did.twfe import twfe
from g287stats.errors import DesignError, IdentificationError, InferenceWarning
from g287stats.inference.small_sample import bias_reduced
from g287stats.inference.wild import wild_bootstrap

KEYS = {"unit": "county", "time": "year"}
pytestmark = pytest.mark.filterwarnings("ignore::g287stats.errors.DesignWarning")


def endogenous(seed=0, n=80, t=6, strength=1.0, noise=1.0):
    rng = np.random.default_rng(seed)
    shape = (n, t)
    z, z2, x, hidden = (rng.normal(size=shape) for _ in range(4))
    d = strength * z + 0.5 * strength * z2 + 0.3 * x + hidden
    y = 2 * d + 0.5 * x - noise * 3 * hidden + rng.normal(size=n)[:, None] + 0.2 * np.arange(t)
    y = y + noise * rng.normal(size=shape)
    columns = {"z": z, "z2": z2, "x": x, "d": d, "y": y}
    frame = pd.DataFrame({k: v.ravel() for k, v in columns.items()})
    return frame.assign(county=np.repeat(np.arange(n), t), year=np.tile(np.arange(t), n), w=1 + frame.index % 3)


def sargan(y, exog, endog, instruments, w):
    """n e'P e / e'e with e the residuals of 2SLS and P the projection on the instruments, all times √w."""
    root = np.sqrt(np.ones(len(y)) if w is None else w.to_numpy())[:, None]
    y, exog, endog, instruments = (
        np.asarray(v, dtype=float).reshape(len(y), -1) * root for v in (y, exog, endog, instruments)
    )
    q = np.linalg.qr(np.hstack([exog, instruments]))[0]
    x = np.hstack([exog, endog])
    e = y - x @ np.linalg.lstsq(q.T @ x, q.T @ y, rcond=None)[0]
    return len(y) * float(((q.T @ e) ** 2).sum() / (e**2).sum())


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("instruments", [["z"], ["z", "z2"]])
def test_matches_linearmodels_with_dummies(instruments, weights):
    data = endogenous()
    e = iv_did(data, "y", treatment="d", instruments=instruments, covariates=["x"], weights=weights, **KEYS)
    dummies = pd.get_dummies(data[["county", "year"]].astype(str), drop_first=True).astype(float)
    exog = pd.concat([data[["x"]], dummies], axis=1).assign(one=1.0)
    w = None if weights is None else data["w"]
    fit = IV2SLS(data["y"], exog, data["d"], data[instruments], weights=w)
    fit = fit.fit(cov_type="clustered", clusters=data["county"], debiased=False)
    assert e.point[0] == pytest.approx(fit.params["d"], rel=1e-10)
    assert e.se.iloc[0] / np.sqrt(e.rule.factor()) == pytest.approx(fit.std_errors["d"], rel=1e-10)
    if len(instruments) > 1:
        found = e.sample["overidentification"]
        assert found["sargan"] == pytest.approx(sargan(data["y"], exog, data["d"], data[instruments], w), rel=1e-9)
        assert found["p_value_sargan"] == pytest.approx(stats.chi2.sf(found["sargan"], 1), rel=1e-10)
        if weights is None:  # versions of linearmodels differ with weights
            assert found["sargan"] == pytest.approx(fit.sargan.stat, rel=1e-10)


def test_clusters_that_cut_across_each_other_match_linearmodels():
    """Two-way clusters, errors shared by periods, a covariate in other units; cov = V_county + V_year − V_both."""
    data = endogenous(11, n=40, t=12)
    data["y"] += np.random.default_rng(5).normal(size=12)[data["year"]] * data["z"]
    data["x"] = 1e6 * data["x"] + 3e6
    data["county"] = data["county"].to_numpy()[::-1]
    kw = {"treatment": "d", "instruments": ["z", "z2"], "covariates": ["x"], "cluster": ["county", "year"]}
    e = iv_did(data, "y", small_sample="unadjusted", **kw, **KEYS)
    model = IV2SLS(data["y"], explicit(data.assign(x=data["x"] / 1e6)), data["d"], data[["z", "z2"]])
    pairs = data["county"] * 12 + data["year"]
    fits = (model.fit(cov_type="clustered", clusters=c) for c in (data["county"], data["year"], pairs))
    one, two, both = (float(fit.cov.loc["d", "d"]) for fit in fits)
    assert e.cov().to_numpy()[0, 0] == pytest.approx(one + two - both, rel=1e-10)


def test_first_stage_and_reduced_form_are_regressions():
    data = endogenous(1)
    e = iv_did(data, "y", treatment="d", instruments="z", covariates=["x"], **KEYS)
    first = twfe(data, "d", treatment="z", covariates=["x"], **KEYS)
    reduced = twfe(data, "y", treatment="z", covariates=["x"], **KEYS)
    assert e.point[0] == pytest.approx(reduced.point[0] / first.point[0], abs=1e-12)
    strength = e.sample["strength"].iloc[0]
    assert strength["F"] == pytest.approx((first.point[0] / first.se.iloc[0]) ** 2)
    assert strength["conditional_F"] == strength["F"] == pytest.approx(strength["effective_F"])
    for ours, theirs in ((e.sample["first_stage"]["d"], first), (e.sample["reduced_form"], reduced)):
        assert ours.point[0] == pytest.approx(theirs.point[0], abs=1e-13)
        assert ours.se.iloc[0] == pytest.approx(theirs.se.iloc[0], abs=1e-13)
        assert ours.outcome == theirs.outcome
    assert e.sample["anderson_rubin"]["p_value"] == pytest.approx(reduced.p_values().iloc[0])


def test_anderson_rubin_set_is_the_inversion_of_the_test():
    for strength in (1.0, 0.1):
        data = endogenous(2, strength=strength)
        e = iv_did(data, "y", treatment="d", instruments="z", **KEYS)
        p = lambda b, data=data: twfe(data.assign(r=data["y"] - b * data["d"]), "r", treatment="z", **KEYS).p_values()
        for low, high in e.sample["anderson_rubin"]["set"].to_numpy():
            for bound in (low, high):
                if np.isfinite(bound):
                    assert p(bound).iloc[0] == pytest.approx(0.05, abs=1e-9)


def test_weak_instruments_are_said_to_be():
    data = endogenous(3, strength=0.01)
    with pytest.warns(InferenceWarning, match="weak instruments: effective first-stage F"):
        e = iv_did(data, "y", treatment="d", instruments="z", **KEYS)
    ends = e.sample["anderson_rubin"]["set"].to_numpy().ravel()
    assert np.inf in ends
    assert any("weak" in n for n in e.notes)


def test_noiseless_truth_and_overidentification():
    data = endogenous(4, noise=0)
    e = iv_did(data, "y", treatment="d", instruments=["z", "z2"], covariates=["x"], **KEYS)
    assert e.point[0] == pytest.approx(2, abs=1e-10)
    data = endogenous(5)
    good = iv_did(data, "y", treatment="d", instruments=["z", "z2"], **KEYS).sample["overidentification"]
    bad = iv_did(data.assign(y=data["y"] + 2 * data["z2"]), "y", treatment="d", instruments=["z", "z2"], **KEYS)
    assert good["df"] == 1
    assert good["p_value"] > 0.05 > bad.sample["overidentification"]["p_value"]


def test_what_must_not_matter():
    data = endogenous(6)
    one, before = iv_did(data, "y", treatment="d", instruments="z", **KEYS), data.copy()
    two = iv_did(data.sample(frac=1, random_state=1), "y", treatment="d", instruments="z", **KEYS)
    pd.testing.assert_frame_equal(data, before)
    assert np.array_equal(one.point, two.point)
    assert np.array_equal(one.se, two.se)
    scaled = iv_did(data.assign(z=100 * data["z"] + 7), "y", treatment="d", instruments="z", **KEYS)
    assert scaled.point[0] == pytest.approx(one.point[0], abs=1e-10)
    assert scaled.se.iloc[0] == pytest.approx(one.se.iloc[0], abs=1e-10)


def test_refusals():
    data = endogenous(7)
    with pytest.raises(IdentificationError, match="twice"):
        iv_did(data.assign(twice=2 * data["z"]), "y", treatment="d", instruments=["z", "twice"], **KEYS)
    with pytest.raises(IdentificationError, match="fixed do not vary after the fixed effects"):
        iv_did(data.assign(fixed=data["county"]), "y", treatment="d", instruments="fixed", **KEYS)
    with pytest.raises(DesignError, match="other than the treatment"):
        iv_did(data, "y", treatment="d", instruments="d", **KEYS)


def two_treatments(seed=0, n=60, t=6, apart=1.0):
    """Two endogenous treatments and three instruments; ``apart``: how far the instruments move them separately."""
    rng = np.random.default_rng(1000 + seed)
    data = endogenous(seed, n=n, t=t)
    data["z3"] = rng.normal(size=len(data))
    hidden = rng.normal(size=len(data))
    data["d1"] = data["z"] + 0.5 * data["z2"] + 0.2 * data["x"] + hidden
    data["d2"] = data["d1"] * 0.7 + apart * (data["z3"] - 0.4 * data["z"]) + rng.normal(size=len(data))
    data["y"] = 2 * data["d1"] - data["d2"] + 0.5 * data["x"] - 2 * hidden + rng.normal(size=len(data))
    return data


MANY = {"treatment": ["d1", "d2"], "instruments": ["z", "z2", "z3"], "covariates": ["x"]}


def explicit(data, columns=("x",)):
    dummies = pd.get_dummies(data[["county", "year"]].astype(str), drop_first=True).astype(float)
    return pd.concat([data[list(columns)], dummies], axis=1).assign(one=1.0)


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("instruments", [["z", "z3"], ["z", "z2", "z3"]])
def test_several_treatments_match_linearmodels_with_dummies(instruments, weights):
    data = two_treatments()
    e = iv_did(data, "y", **{**MANY, "instruments": instruments}, weights=weights, **KEYS)
    w = None if weights is None else data["w"]
    fit = IV2SLS(data["y"], explicit(data), data[["d1", "d2"]], data[instruments], weights=w)
    fit = fit.fit(cov_type="clustered", clusters=data["county"], debiased=False)
    assert e.terms == ["d1", "d2"]
    assert e.point == pytest.approx(fit.params[["d1", "d2"]].to_numpy(), rel=1e-10)
    assert e.cov().to_numpy() / e.rule.factor() == pytest.approx(
        fit.cov.loc[["d1", "d2"], ["d1", "d2"]].to_numpy(), rel=1e-10
    )
    if len(instruments) == 3:
        found = e.sample["overidentification"]["sargan"]
        by_hand = sargan(data["y"], explicit(data), data[["d1", "d2"]], data[instruments], w)
        assert found == pytest.approx(by_hand, rel=1e-9)
    if len(instruments) == 2:  # just identified: first stages times effects are the reduced form
        first = np.array([e.sample["first_stage"][d].point for d in ("d1", "d2")])
        assert first.T @ e.point == pytest.approx(e.sample["reduced_form"].point, abs=1e-10)
        assert "overidentification" not in e.sample


def test_by_hand():
    """Two periods: changes in z 0 0 1 1, in d 0 1 2 3, in y 1 2 4 7; (5.5 - 1.5) / (2.5 - 0.5) = 2."""
    data = pd.DataFrame({"county": np.repeat(list("abcd"), 2), "year": [0, 1] * 4})
    for name, change in {"z": [0, 0, 1, 1], "d": [0, 1, 2, 3], "y": [1, 2, 4, 7]}.items():
        data[name] = np.where(data["year"] == 1, np.repeat(change, 2), 0) + np.repeat([3.0, 1, 4, 1], 2)
    e = iv_did(data, "y", treatment="d", instruments="z", small_sample="unadjusted", **KEYS)
    assert e.point[0] == pytest.approx(2, abs=1e-12)
    assert e.sample["n_treated"] == 4
    # first stage 2; changes about the means of their groups are ±.5 and z about its mean ±.5: V = 4 · (.5/2)² = 1/4
    assert e.sample["first_stage"]["d"].point[0] == pytest.approx(2, abs=1e-12)
    assert e.sample["strength"]["F"].iloc[0] == pytest.approx(2**2 / 0.25, abs=1e-10)
    # û of changes: y - 2d about its mean: 1 0 0 1 less .5 → ±.5 with D̂ - mean = ±1, Σ D̂² = 4: V = 4 · (.5)² / 16
    assert e.se.iloc[0] == pytest.approx(np.sqrt(4 * 0.25 / 16), abs=1e-12)


def test_conditional_strength_is_the_joint_test_on_what_the_others_leave():
    """The residual of 2SLS of d1 on d2, regressed on the instruments with explicit dummies: Wald / (3 - 2 + 1)."""
    data = two_treatments(1)
    e = iv_did(data, "y", **MANY, **KEYS)
    served = iv_did(data, "d1", treatment="d2", instruments=MANY["instruments"], covariates=["x"], **KEYS).point[0]
    x = pd.concat([data[MANY["instruments"]], explicit(data)], axis=1).to_numpy(float)
    target = (data["d1"] - served * data["d2"]).to_numpy()
    inverse = np.linalg.inv(x.T @ x)
    b = inverse @ x.T @ target
    scores = pd.DataFrame(x * (target - x @ b)[:, None]).groupby(data["county"].to_numpy()).sum().to_numpy()
    n, g, k = len(data), 60, 3 + 1 + 6
    v = inverse @ scores.T @ scores @ inverse * g / (g - 1) * (n - 1) / (n - k)
    f = b[:3] @ np.linalg.solve(v[:3, :3], b[:3]) / 2
    row = e.sample["strength"].set_index("treatment").loc["d1"]
    assert row["conditional_F"] == pytest.approx(f, rel=1e-9)
    assert row["p_value_conditional"] == pytest.approx(stats.f.sf(f, 2, 59), rel=1e-8)
    assert row["F"] > 10


def test_instruments_that_move_treatments_together_are_weak_for_each():
    data = two_treatments(2, apart=0.02)
    with pytest.warns(InferenceWarning, match="weak instruments: conditional first-stage F = d1: "):
        e = iv_did(data, "y", **MANY, **KEYS)
    assert (e.sample["strength"]["F"] > 20).all()
    assert (e.sample["strength"]["conditional_F"] < 10).all()
    with pytest.raises(IdentificationError, match="only together"):
        iv_did(data.assign(d2=data["d1"] * 3 + data["county"]), "y", **MANY, **KEYS)
    with pytest.raises(DesignError, match=r"2 treatments .* need 2 instruments"):
        iv_did(data, "y", treatment=["d1", "d2"], instruments="z", **KEYS)


@pytest.mark.parametrize("weights", [None, "w"])
def test_overidentification_is_hansens_j_by_linearmodels(weights):
    data = two_treatments(3)
    found = iv_did(data, "y", **MANY, weights=weights, **KEYS).sample["overidentification"]
    left = pd.DataFrame(index=data.index)
    dummies = explicit(data)
    w = np.ones(len(data)) if weights is None else data["w"].to_numpy(float)
    root = np.sqrt(w)
    for name in ("y", "d1", "d2", "z", "z2", "z3"):  # two-step GMM is the same after partialling out (Frisch–Waugh)
        fit = np.linalg.lstsq(dummies.to_numpy(float) * root[:, None], data[name] * root, rcond=None)[0]
        left[name] = data[name] - dummies.to_numpy(float) @ fit
    weighted = None if weights is None else data["w"]
    gmm = IVGMM(
        left["y"],
        None,
        left[["d1", "d2"]],
        left[["z", "z2", "z3"]],
        weights=weighted,
        weight_type="clustered",
        clusters=data["county"].to_numpy(),
    ).fit(iter_limit=2)
    assert found["df"] == 1
    assert found["J"] == pytest.approx(gmm.j_stat.stat, rel=1e-8)
    assert found["p_value"] == pytest.approx(gmm.j_stat.pval, rel=1e-8)


def test_anderson_rubin_with_several_instruments_inverts_the_joint_test():
    for seed, strength in ((2, 1.0), (8, 0.12), (9, 0.02)):
        data = endogenous(seed, strength=strength)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InferenceWarning)
            keys = {"treatment": "d", "instruments": ["z", "z2"], **KEYS}
            e = iv_did(data, "y", **keys)
            test = lambda b, d=data, k=keys: (
                iv_did(d.assign(r=d["y"] - b * d["d"]), "r", **k).sample["reduced_form"].test().p_value
            )
            ends = e.sample["anderson_rubin"]["set"].to_numpy().ravel()
            for bound in ends:
                if np.isfinite(bound):
                    assert test(bound) == pytest.approx(0.05, abs=1e-9)
            for b in np.linspace(-20, 20, 41):
                inside = any(low <= b <= high for low, high in e.sample["anderson_rubin"]["set"].to_numpy())
                assert inside == (test(b) >= 0.05)


def test_bootstrap_and_corrections_take_the_reduced_form_not_the_second_stage():
    e = iv_did(endogenous(1), "y", treatment="d", instruments="z", **KEYS)
    for inference in (wild_bootstrap, bias_reduced):
        with pytest.raises(DesignError, match="reduced_form"):
            inference(e)
    reduced = twfe(endogenous(1), "y", treatment="z", **KEYS)
    assert wild_bootstrap(e.sample["reduced_form"], draws=99).p_value == wild_bootstrap(reduced, draws=99).p_value
    assert bias_reduced(e.sample["reduced_form"]).df == pytest.approx(bias_reduced(reduced).df)


def test_instruments_that_disagree_leave_the_anderson_rubin_set_empty():
    data = endogenous(5)
    with pytest.warns(InferenceWarning, match="no effect agrees with every instrument"):
        e = iv_did(data.assign(y=data["y"] + 2 * data["z2"]), "y", treatment="d", instruments=["z", "z2"], **KEYS)
    assert e.sample["anderson_rubin"]["set"].empty
    assert e.sample["overidentification"]["p_value"] < 1e-6
