"""The sample design of the simulated survey: which counties, which strata, which half-samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from g287stats.catalog import read_released

YEAR = 2010


@dataclass(frozen=True)
class Places:
    """Sampled counties (C,): code, share of interviews (adding to one), Latino share of residents."""

    fips: np.ndarray
    share: np.ndarray
    latino: np.ndarray


def draw_counties(rng: np.random.Generator, n: int) -> Places:
    """Draw counties in proportion to residents of 2010, the largest with certainty; Latino shares are the Census's.

    A certainty county stands for itself; a drawn one for its inverse inclusion probability, so that shares of
    interviews are shares of population.
    """
    people = read_released("population")
    people = people[people["year"] == YEAR].set_index("county_fips")["population"].astype(float)
    origin = read_released("hispanic_population")
    origin = origin[origin["year"] == YEAR].set_index("county_fips")
    latino = (origin["hispanic"].astype(float) / origin["total"].astype(float)).reindex(people.index)
    known = latino.notna() & (people > 0)
    people, latino = people[known].sort_index(), latino[known].sort_index()
    size = people.to_numpy()
    n = min(n, len(size))
    certain = np.zeros(len(size), dtype=bool)
    while True:  # certainty counties, until the rest can be drawn with probability below one
        rest = n - certain.sum()
        chance = np.where(certain, 1.0, rest * size / size[~certain].sum()) if rest > 0 else certain.astype(float)
        new = (chance >= 1) & ~certain
        if not new.any():
            break
        certain |= new
    steps = np.cumsum(np.where(certain, 0.0, chance))
    picked = certain.copy()
    ticks = rng.random() + np.arange(int(rest))
    picked[np.searchsorted(steps, ticks, side="right").clip(max=len(size) - 1)] = True
    weight = size[picked] / chance[picked]
    return Places(people.index.to_numpy(dtype=object)[picked], weight / weight.sum(), latino.to_numpy()[picked])


def treated_draws(counties: Sequence[str], *, n: int = 600, draws: int = 200, seed: int = 287) -> pd.DataFrame:
    """How many of ``counties`` a sample of ``n`` counties holds, and how evenly Latino residents spread over them.

    One row a draw: ``drawn``, ``effective_number`` ((Σ e)²/Σ e² with e a county's share of interviews times its Latino
    share), and ``largest``, the largest county's part. SIMULATED sample, real counties.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    rows = []
    for _ in range(draws):
        places = draw_counties(rng, n)
        inside = np.isin(places.fips, list(counties))
        part = (places.share * places.latino)[inside]
        part = part / part.sum()
        rows.append({"drawn": len(part), "effective_number": 1 / (part**2).sum(), "largest": part.max()})
    return pd.DataFrame(rows)


def allocate(rng: np.random.Generator, places: Places, county: np.ndarray, n_strata: int) -> np.ndarray:
    """Give each household a pseudo-PSU: code 4·stratum + half-sample.

    Large counties are strata of their own whose households fall into two half-samples at random; small ones are
    grouped in code order into strata of about equal size, whole counties in one half-sample. One stratum in
    sixteen has three half-samples.
    """
    own = places.share >= 1 / n_strata
    number = np.maximum((places.share * n_strata).astype(int), 1)
    stratum_first = np.zeros(len(places.share), dtype=int)
    next_stratum = 0
    for c in np.flatnonzero(own):
        stratum_first[c] = next_stratum
        next_stratum += number[c]
    left = max(n_strata - next_stratum, 1)
    small = np.flatnonzero(~own)
    shuffled = small[np.argsort(small // 40 + rng.random(len(small)))]  # neighbours by code, redrawn each time
    before = np.cumsum(places.share[shuffled]) - places.share[shuffled]
    group = (before / places.share[shuffled].sum() * left).astype(int) if len(small) else small
    stratum_first[shuffled] = next_stratum + group
    half_of = np.zeros(len(places.share), dtype=int)
    for g in range(left):
        members = shuffled[group == g]
        filled = np.zeros(3 if g % 16 == 0 and len(members) >= 3 else 2)
        for c in members[np.argsort(-places.share[members], kind="stable")]:
            half_of[c] = int(filled.argmin())
            filled[half_of[c]] += places.share[c]
        if len(members) == 1:
            own = own.copy()
            own[members] = True
    draw = rng.random(len(county))
    stratum = stratum_first[county] + np.where(own[county], (draw * number[county]).astype(int), 0)
    inner = (draw * number[county]) % 1
    halves = np.where(stratum % 16 == 0, 3, 2)
    half = np.where(own[county], (inner * halves).astype(int), half_of[county])
    return 4 * stratum + half
