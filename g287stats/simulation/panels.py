"""Simulated county panels with known effects, quick enough to draw by the thousand.

Every panel is a frame with ``county``, ``year`` (0 … T − 1) and ``y``, counties in blocks of T rows. Unless said
otherwise errors are AR(1) with coefficient 0.5 and variance one, counties and years have effects of their own, and
adoption is staggered: a quarter of the counties start in year 3, a quarter in year 5, half never.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
import pandas as pd

PERIODS = 8
COHORTS = (3, 5)
Rng = np.random.Generator
Drawn = tuple[pd.DataFrame, Mapping[str, float]]
"""A panel and the true value of every parameter that is looked at."""


@lru_cache(maxsize=4)
def _keys(n: int, periods: int) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat(np.arange(n), periods), np.tile(np.arange(periods), n)


def frame(n: int, periods: int, **columns: np.ndarray) -> pd.DataFrame:
    """Frame of (n, periods) or (n,) arrays."""
    county, year = _keys(n, periods)
    wide = {k: np.repeat(v, periods) if v.ndim == 1 else v.reshape(-1) for k, v in columns.items()}
    return pd.DataFrame({"county": county, "year": year, **wide}, copy=False)


def noise(rng: Rng, n: int, periods: int = PERIODS, rho: float = 0.5) -> np.ndarray:
    """Stationary AR(1) errors with variance one, (n, periods)."""
    e = rng.normal(size=(periods, n))
    for t in range(1, periods):
        e[t] = rho * e[t - 1] + np.sqrt(1 - rho**2) * e[t]
    return e.T


def untreated(rng: Rng, n: int, periods: int = PERIODS) -> np.ndarray:
    """County effect + year effect + AR(1) error, (n, periods)."""
    return rng.normal(size=(n, 1)) + 0.2 * np.arange(periods) + noise(rng, n, periods)


def starts(rng: Rng, n: int, share: float = 0.25) -> np.ndarray:
    """First treated year of every county, NaN: never; each cohort with probability ``share``."""
    return rng.choice([*COHORTS, np.nan], size=n, p=[share, share, 1 - 2 * share])


def event_time(g: np.ndarray, periods: int = PERIODS) -> np.ndarray:
    """Years since the start, (n, periods); very negative for never."""
    return np.arange(periods) - np.where(np.isnan(g), 1_000, g)[:, None]


def constant(event: np.ndarray, g: np.ndarray) -> np.ndarray:
    """One for everyone."""
    return np.ones_like(event)


def dynamic(event: np.ndarray, g: np.ndarray) -> np.ndarray:
    """1 + event time / 4, alike in both cohorts."""
    return 1 + event / 4


def by_cohort(event: np.ndarray, g: np.ndarray) -> np.ndarray:
    """1 + event time / 4, half a unit more in the later cohort."""
    return 1 + event / 4 + 0.5 * (g == COHORTS[1])[:, None]


def staggered(rng: Rng, n: int, effect: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Drawn:
    """Staggered adoption; the truth is that of the treated counties drawn.

    ``rows`` averages over treated rows, ``overall`` over event times.
    """
    g = starts(rng, n)
    event = event_time(g)
    on, tau = event >= 0, effect(event, g)
    truth = {f"event {e}": float(tau[event == e].mean()) for e in (0, 2)}
    truth["rows"] = float(tau[on].mean())
    truth["overall"] = float(np.mean([tau[event == e].mean() for e in range(PERIODS - COHORTS[0])]))
    return frame(n, PERIODS, y=untreated(rng, n) + on * tau, g=g, d=on.astype(float)), truth


def covariate_trends(rng: Rng, n: int) -> Drawn:
    """Trends grow with a covariate that makes treatment likelier; the truth is that of equally likely cohorts."""
    x = rng.normal(size=n)
    score = 0.5 * x[:, None] * np.array([1, 1, -1]) + rng.gumbel(size=(n, 3)) + np.log([1, 1, 2])
    g = np.array([*COHORTS, np.nan])[np.argmax(score, axis=1)]
    event = event_time(g)
    y = untreated(rng, n) + 0.2 * x[:, None] * np.arange(PERIODS) + (event >= 0) * by_cohort(event, g)
    at = {e: 1.25 + e / 4 if e < PERIODS - COHORTS[1] else 1 + e / 4 for e in range(PERIODS - COHORTS[0])}
    truth = {"event 0": at[0], "event 2": at[2], "overall": float(np.mean(list(at.values())))}
    return frame(n, PERIODS, y=y, g=g, x=x), truth


def similar(rng: Rng, n: int) -> Drawn:
    """One adoption year (4); trends grow with a covariate by which a third of the counties are treated."""
    x = rng.normal(size=n)
    g = np.where(rng.random(n) < 1 / (1 + np.exp(0.8 - 0.7 * x)), 4.0, np.nan)
    on = event_time(g) >= 0
    y = untreated(rng, n) + 0.1 * x[:, None] * np.arange(PERIODS) + on
    return frame(n, PERIODS, y=y, g=g, x=x), {"overall": 1.0}


def counts(rng: Rng, n: int, spread: float) -> Drawn:
    """Poisson counts, overdispersed by log-normal AR(1) shocks; effect 0.3 log points; population as exposure.

    ``spread`` is the standard deviation of log population: with 1 a sixth of the counties has half of the people.
    """
    g = starts(rng, n)
    people = np.exp(spread * rng.normal(size=n))
    shock = np.exp(0.3 * noise(rng, n) - 0.045)
    mean = people[:, None] * shock * np.exp(2 + 0.05 * np.arange(PERIODS) + 0.3 * (event_time(g) >= 0))
    truth = dict.fromkeys(("rows", "event 0", "event 2"), 0.3)
    return frame(n, PERIODS, y=rng.poisson(mean).astype(float), g=g, people=people), truth


def switching(rng: Rng, n: int) -> Drawn:
    """A third start in year 3, a quarter in year 5; two of five of each end three years on.

    Starting adds 1, ending takes 0.4 back. Shares are exact, so that every comparison has several units.
    """
    periods = 10
    rank = np.argsort(rng.permutation(n)) / n
    first = np.where(rank < 0.35, 3.0, np.where(rank < 0.6, 5.0, np.nan))
    stops = (rank < 0.14) | ((rank >= 0.35) & (rank < 0.45))
    event = event_time(first, periods)
    gone = (event >= 3) & stops[:, None]
    d = (event >= 0) & ~gone
    y = untreated(rng, n, periods) + (event >= 0) - 0.4 * gone
    return frame(n, periods, y=y, d=d.astype(float)), {"start 0": 1, "start 1": 1, "end 0": -0.4, "end 1": -0.4}


def two_treatments(rng: Rng, n: int) -> Drawn:
    """Two treatments, adopted independently; constant effects that add up."""
    on = [event_time(starts(rng, n)) >= 0 for _ in range(2)]
    y = untreated(rng, n) + 1.0 * on[0] - 0.5 * on[1]
    return frame(n, PERIODS, y=y, a=on[0].astype(float), b=on[1].astype(float)), {"a": 1.0, "b": -0.5}


def groups(rng: Rng, n: int) -> Drawn:
    """County series in places, half of each eligible; shocks to place × year and group × year, an effect on one group.

    Places of two series, of twenty in large panels. The place adopts.
    """
    size = 2 if n < 1_000 else 20
    place = np.repeat(np.arange(n // size), size)
    on = event_time(starts(rng, n // size)) >= 0
    shared = 2 * noise(rng, n // size)
    eligible = np.arange(len(place)) % 2
    y = untreated(rng, len(place)) + shared[place] + eligible[:, None] * (on[place] + np.arange(PERIODS) % 3)
    columns = {"d": on[place].astype(float), "eligible": eligible.astype(float), "place": place}
    return frame(len(place), PERIODS, y=y, **columns), {"overall": 1.0}


def doses(rng: Rng, n: int) -> Drawn:
    """Doses uniform on [1, 5]; an effect of half the dose."""
    g = starts(rng, n)
    dose = np.where(np.isnan(g), 0.0, rng.uniform(1, 5, size=n))
    y = untreated(rng, n) + 0.5 * dose[:, None] * (event_time(g) >= 0)
    return frame(n, PERIODS, y=y, g=g, dose=dose), {"att(2)": 1.0, "att(4)": 2.0, "slope": 0.5, "overall": 1.5}


def neighbours(rng: Rng, n: int) -> Drawn:
    """Counties on a circle; own treatment adds 1, a treated neighbour 0.4."""
    on = event_time(starts(rng, n, share=0.15)) >= 0
    near = np.roll(on, 1, axis=0) | np.roll(on, -1, axis=0)
    y = untreated(rng, n) + 1.0 * on + 0.4 * near
    return frame(n, PERIODS, y=y, own=on.astype(float), near=near.astype(float)), {"own": 1.0, "near": 0.4}


def endogenous(rng: Rng, n: int) -> Drawn:
    """A treatment moved by an instrument and by a shock that moves the outcome too; effect 2."""
    z, x, hidden = noise(rng, n), noise(rng, n), noise(rng, n)
    d = z + 0.3 * x + hidden
    return frame(n, PERIODS, y=untreated(rng, n) + 2 * d + 0.5 * x - 2 * hidden, d=d, z=z, x=x), {"overall": 2.0}


def factor(
    rng: Rng, n: int, *, cohorts: tuple[int, ...], treated: int, periods: int = 24, selected: bool = False
) -> Drawn:
    """A common factor, a sine of twelve years that a county follows by its loading, beside the rest; no effect.

    ``treated`` counties (five times as many with 3,100) adopt; with ``selected`` a loading one standard deviation
    larger multiplies the odds of being next to adopt by e^½, otherwise treated and controls are exchangeable.
    """
    loading = rng.normal(size=n)
    number = treated * (5 if selected and n > 1_000 else 1)
    order = np.argsort(-(0.5 * selected * loading + rng.gumbel(size=n)))
    g = np.full(n, np.nan)
    g[order[:number]] = np.resize(np.array(cohorts, dtype=float), number)
    path = 2 * np.sin(np.arange(periods) * np.pi / 6)
    return frame(n, periods, y=untreated(rng, n, periods) + loading[:, None] * path, g=g), {"overall": 0.0}
