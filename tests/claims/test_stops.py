"""The stops design finds an effect that was planted in authored stops, without bias and with the error it claims."""

import numpy as np
import pandas as pd
import pytest

from g287stats.claims.recommended import recommended
from g287stats.claims.stops import hispanic_share

PLANTED = 2.0  # percentage points


def authored(seed, counties=60, months=48, treated=20, effect=PLANTED):
    """Simulated stops: county shares of 5–35 %, Poisson traffic, an effect on the share from some month on."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.05, 0.35, counties)[:, None] + 0.01 * np.sin(np.arange(months) / 4)[None, :]
    share = share + rng.normal(0, 0.005, (counties, months))
    start = np.where(np.arange(counties) < treated, rng.integers(12, 36, counties), months)
    active = (np.arange(months)[None, :] >= start[:, None]).astype(float)
    both = rng.poisson(rng.uniform(80, 1500, counties)[:, None] * np.ones(months))
    hispanic = rng.binomial(both, np.clip(share + active * effect / 100, 0, 1))
    month = np.tile(pd.period_range("2006-01", periods=months, freq="M"), counties)
    return pd.DataFrame(
        {
            "county_fips": np.repeat([f"{37001 + 2 * i:05d}" for i in range(counties)], months),
            "period": month,
            "stops_hispanic": hispanic.ravel(),
            "stops_white": (both - hispanic).ravel(),
            "active": active.ravel(),
        }
    )


def fitted(seed, effect=PLANTED):
    est = hispanic_share(authored(seed, effect=effect))
    interval = recommended(est, 15.0)
    return float(est.point[0]), interval.low <= effect <= interval.high


def test_a_planted_effect_is_found():
    points = np.array([fitted(s)[0] for s in range(8)])
    assert abs(points.mean() - PLANTED) < 4 * points.std(ddof=1) / np.sqrt(len(points))


def test_months_without_a_stop_are_left_out():
    frame = authored(1)
    empty = frame.assign(**{c: frame[c].where(frame.index >= 3, 0) for c in ("stops_hispanic", "stops_white")})
    assert hispanic_share(empty).sample["n_obs"] == len(frame) - 3


@pytest.mark.slow
@pytest.mark.parametrize("effect", [0.0, PLANTED])
def test_planted_effects_over_200_seeds(effect):
    found = [fitted(s, effect) for s in range(200)]
    points = np.array([p for p, _ in found])
    covered = np.mean([c for _, c in found])
    error = points.std(ddof=1) / np.sqrt(len(points))
    assert abs(points.mean() - effect) < 3 * error
    assert abs(covered - 0.95) < 3 * np.sqrt(0.95 * 0.05 / len(found)) + 0.02
    print(
        f"simulated: planted {effect}, mean {points.mean():.4f} (Monte-Carlo error {error:.4f}), covered {covered:.3f}"
    )
