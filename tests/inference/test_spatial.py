"""Conley standard errors against double sums, their limits, and a simulation."""

import numpy as np
import pandas as pd
import pytest
from reference_did import load_panel

from g287stats.did.group_time import att_gt
from g287stats.did.twfe import event_study, twfe
from g287stats.errors import DesignError
from g287stats.estimate.covariance import Clustered
from g287stats.inference.spatial import EARTH_RADIUS_KM, conley, distances_km

KEYS = {"unit": "county", "time": "year", "cohort": "cohort"}


def panel():
    d = load_panel("panel_small")
    return d.assign(cohort=d["g"].where(d["g"] > 0))


def places(units, seed=1):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {"latitude": rng.uniform(30, 45, len(units)), "longitude": rng.uniform(-110, -80, len(units))}, index=units
    )


def haversine(a, b):
    la, lo, lb, ob = np.radians([a["latitude"], a["longitude"], b["latitude"], b["longitude"]])
    h = np.sin((lb - la) / 2) ** 2 + np.cos(la) * np.cos(lb) * np.sin((ob - lo) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(h))


def test_distances_by_haversine():
    xy = places(["a", "b", "c", "d"])
    d = distances_km(xy)
    for i in xy.index:
        for j in xy.index:
            assert d.loc[i, j] == pytest.approx(haversine(xy.loc[i], xy.loc[j]), abs=1e-6)


@pytest.mark.parametrize("kernel", ["bartlett", "uniform"])
def test_double_sum(kernel):
    d = panel()
    es = event_study(d, "y", **KEYS)
    xy = places(np.sort(d["county"].unique()))
    r = conley(es, xy.sample(frac=1, random_state=2), 600, kernel=kernel)
    km = distances_km(xy).to_numpy()
    k = np.where(km <= 600, 1 - km / 600 if kernel == "bartlett" else 1.0, 0.0)
    psi = es.influence.psi
    np.testing.assert_allclose(r.cov().to_numpy(), psi.T @ k @ psi, atol=1e-15)
    assert r.overall.se.iloc[0] == pytest.approx(
        np.sqrt(r.overall.influence.psi[:, 0] @ k @ r.overall.influence.psi[:, 0])
    )
    assert "neighbours a unit" in r.rule.label


def test_limits():
    """Cutoff zero is clustering by unit; the uniform kernel on states that are single points is clustering by state."""
    d = panel()
    est = twfe(d, "y", cluster="state", **KEYS)
    xy = places(np.sort(d["county"].unique()))
    by_unit = est.with_rule(Clustered(("county",), "unadjusted"))
    assert conley(est, xy, 0).se.iloc[0] == pytest.approx(by_unit.se.iloc[0], rel=1e-12)
    state = d.drop_duplicates("county").set_index("county")["state"]
    points = pd.DataFrame({"latitude": state * 5.0, "longitude": -100.0})
    by_state = est.with_rule(Clustered(("state",), "unadjusted"))
    assert conley(est, points, 1, kernel="uniform").se.iloc[0] == pytest.approx(by_state.se.iloc[0], rel=1e-10)


def test_any_estimator_and_rows():
    d = panel()
    xy = places(np.sort(d["county"].unique()))
    gt = conley(att_gt(d, "y", **KEYS), xy, 500)
    assert np.isfinite(gt.aggregate("simple").se.iloc[0])
    a, b = conley(twfe(d, "y", **KEYS), xy, 500), conley(twfe(d.sample(frac=1, random_state=0), "y", **KEYS), xy, 500)
    assert a.se.iloc[0] == b.se.iloc[0]


def test_spatial_noise_is_seen():
    """With noise shared by neighbours the plain clustered error is too small and Conley's is close to the truth.

    The reach of the noise is a tenth of the map; with a longer reach, or the Bartlett kernel, it stays below the truth.
    """
    rng = np.random.default_rng(4)
    n, periods = 400, 4
    grid = np.array([(i // 20, i % 20) for i in range(n)])
    xy = pd.DataFrame({"latitude": 35 + grid[:, 0] * 0.5, "longitude": -100 + grid[:, 1] * 0.6}, index=range(n))
    km = distances_km(xy).to_numpy()
    root = np.linalg.cholesky(np.exp(-km / 60) + 1e-9 * np.eye(n))
    treated = (grid[:, 1] % 10 >= 5).astype(float)
    points, plain, spatial = [], [], []
    for _ in range(150):
        y = root @ rng.normal(size=(n, periods))
        d = pd.DataFrame(
            {"county": np.repeat(np.arange(n), periods), "year": np.tile(range(2001, 2005), n), "y": y.ravel()}
        )
        d["cohort"] = np.repeat(np.where(treated > 0, 2003.0, np.nan), periods)
        est = twfe(d, "y", **KEYS)
        points.append(est.point[0])
        plain.append(est.se.iloc[0])
        spatial.append(conley(est, xy, 200, kernel="uniform").se.iloc[0])
    truth = np.std(points)
    assert np.mean(plain) < 0.7 * truth
    assert 0.8 * truth < np.mean(spatial) < 1.15 * truth, (np.mean(plain) / truth, np.mean(spatial) / truth)


def test_refusals():
    d = panel()
    est = twfe(d, "y", **KEYS)
    xy = places(np.sort(d["county"].unique()))
    with pytest.raises(DesignError, match="out of range for 1 units: 3"):
        conley(est, xy.assign(latitude=xy["latitude"].where(xy.index != 3, 200)), 100)
    with pytest.raises(DesignError, match="lack columns"):
        conley(est, xy.drop(columns="latitude"), 100)
    with pytest.raises(DesignError, match="repeated"):
        conley(est, pd.concat([xy, xy]), 100)
    with pytest.raises(DesignError, match="kernel"):
        conley(est, xy, 100, kernel="gauss")
