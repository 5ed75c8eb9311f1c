"""Instrumental variables with fixed effects."""

import numpy as np
import pandas as pd
import pytest
from linearmodels.iv import IV2SLS

from g287stats.did.iv import iv_did
from g287stats.did.twfe import twfe
from g287stats.errors import DesignError, IdentificationError, InferenceWarning

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
    assert e.point[0] == pytest.approx(fit.params["d"], abs=1e-9)
    assert e.se.iloc[0] / np.sqrt(e.rule.factor()) == pytest.approx(fit.std_errors["d"], abs=1e-9)


def test_first_stage_and_reduced_form_are_regressions():
    data = endogenous(1)
    e = iv_did(data, "y", treatment="d", instruments="z", covariates=["x"], **KEYS)
    first = twfe(data, "d", treatment="z", covariates=["x"], **KEYS)
    reduced = twfe(data, "y", treatment="z", covariates=["x"], **KEYS)
    assert e.point[0] == pytest.approx(reduced.point[0] / first.point[0], abs=1e-12)
    stage = e.sample["first_stage"]
    assert stage["F"] == pytest.approx((first.point[0] / first.se.iloc[0]) ** 2)
    assert stage["effective_F"] == pytest.approx(stage["F"])
    assert e.sample["anderson_rubin"]["p_value"] == pytest.approx(reduced.p_values().iloc[0])


def test_anderson_rubin_set_is_the_inversion_of_the_test():
    for strength in (1.0, 0.1):
        data = endogenous(2, strength=strength)
        e = iv_did(data, "y", treatment="d", instruments="z", **KEYS)
        p = lambda b, data=data: twfe(data.assign(r=data["y"] - b * data["d"]), "r", treatment="z", **KEYS).p_values()
        for low, high in e.sample["anderson_rubin"]["set"]:
            for bound in (low, high):
                if np.isfinite(bound):
                    assert p(bound).iloc[0] == pytest.approx(0.05, abs=1e-9)


def test_weak_instruments_are_said_to_be():
    data = endogenous(3, strength=0.01)
    with pytest.warns(InferenceWarning, match="weak instruments: effective first-stage F"):
        e = iv_did(data, "y", treatment="d", instruments="z", **KEYS)
    ends = [b for part in e.sample["anderson_rubin"]["set"] for b in part]
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


@pytest.mark.slow
@pytest.mark.parametrize(("n", "draws"), [(60, 1000), (3100, 1000)])
def test_intervals_cover(n, draws):
    inside = []
    for s in range(draws):
        e = iv_did(endogenous(50_000 + s, n=n), "y", treatment="d", instruments="z", covariates=["x"], **KEYS)
        low, high = e.conf_int().iloc[0]
        inside.append([low <= 2 <= high, any(a <= 2 <= b for a, b in e.sample["anderson_rubin"]["set"])])
    assert (np.mean(inside, axis=0) >= 0.93).all(), np.mean(inside, axis=0)
    assert (np.mean(inside, axis=0) <= 0.97).all(), np.mean(inside, axis=0)
