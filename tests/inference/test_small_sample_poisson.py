"""Bias-reduced errors of Poisson: those of the weighted regression at the last step (Kauermann and Carroll 2001)."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from g287stats.did.poisson import poisson
from g287stats.did.twfe import twfe
from g287stats.inference.small_sample import bias_reduced

KEYS = {"unit": "county", "time": "year", "cohort": "g"}


def counts(n=18, t=5):
    rng = np.random.default_rng(2)
    d = pd.DataFrame({"county": np.repeat(np.arange(n), t), "year": np.tile(np.arange(t), n)})
    d["g"] = np.where(d["county"] < 6, 2.0, np.nan)
    d["people"] = np.exp(rng.normal(size=n))[d["county"]]
    d["d"] = (d["year"] >= d["g"]).astype(float)
    d["y"] = rng.poisson(d["people"] * np.exp(2 + 0.3 * d["d"] + 0.3 * rng.normal(size=len(d)))).astype(float)
    return d


@pytest.mark.parametrize("kind", ["CR2", "CR3"])
def test_equals_the_weighted_regression_of_the_last_step(kind):
    d = counts()
    x = pd.get_dummies(d[["county", "year"]].astype(str), drop_first=True).astype(float).assign(one=1.0, d=d["d"])
    fit = sm.GLM(d["y"], x, sm.families.Poisson(), offset=np.log(d["people"])).fit(tol=1e-14)
    mu = fit.mu
    step = d.assign(z=np.log(mu / d["people"]) + (d["y"] - mu) / mu, w=mu)
    theirs = bias_reduced(twfe(step, "z", weights="w", **KEYS), kind)
    ours = bias_reduced(poisson(d, "y", at_risk="people", **KEYS), kind)
    assert ours.point[0] == pytest.approx(fit.params["d"], abs=1e-8)
    assert ours.se.iloc[0] == pytest.approx(theirs.se.iloc[0], rel=1e-7)
    assert ours.df == pytest.approx(theirs.df, rel=1e-6)
