"""The simulated survey written in the schema of the real file, and its moments measured."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from g287stats.outcomes.ncvs.files import SIMULATED
from g287stats.simulation.design_ncvs import Places

GROUPS = ("latino", "black", "white", "other")


def _households(home: np.ndarray) -> np.ndarray:
    """25-character household identifiers, as text."""
    used, place = np.unique(home, return_inverse=True)
    names = np.array([f"{9_287_000_000_000_000_000_000_000 + i:025d}" for i in used.tolist()], dtype=object)
    return names[place.reshape(-1)]


def _persons(person: np.ndarray, people: pd.DataFrame) -> np.ndarray:
    """27-character person identifiers: the household's and the line number."""
    used, place = np.unique(person, return_inverse=True)
    line = np.array([f"{n:02d}" for n in range(10)], dtype=object)
    names = _households(people["home"].to_numpy()[used]) + line[people["line"].to_numpy()[used]]
    return names[place.reshape(-1)]


def person_table(rows: pd.DataFrame, people: pd.DataFrame, houses: pd.DataFrame, places: Places) -> pd.DataFrame:
    """One row per person-interview, non-interviews included."""
    person = rows["person"].to_numpy()
    home = people["home"].to_numpy()[person]
    group = rows["group"].to_numpy()
    return pd.DataFrame(
        {
            "V3001": 3.0,
            "YEARQ": _yearq(rows),
            "IDHH": _households(home),
            "IDPER": _persons(person, people),
            "V3014": np.minimum(people["age"].to_numpy()[person] + rows["wave"].to_numpy() // 2, 90).astype(float),
            "V3018": np.where(people["female"].to_numpy()[person], 2.0, 1.0),
            "V3023A": np.array([1.0, 2.0, 1.0, 4.0])[group],
            "V3024": np.where(group == 0, 1.0, 2.0),
            "WGTPERCY": rows["weight"].to_numpy(),
            "V2117": (rows["psu"].to_numpy() // 4 + 1).astype(float),
            "V2118": (rows["psu"].to_numpy() % 4 + 1).astype(float),
            "county_fips": places.fips[houses["county"].to_numpy()[home]],
            SIMULATED: 1.0,
        }
    )


def household_table(rows: pd.DataFrame, people: pd.DataFrame, houses: pd.DataFrame, places: Places) -> pd.DataFrame:
    """One row per household interview, with its month and whether it is the first."""
    home = people["home"].to_numpy()[rows["person"].to_numpy()]
    key = rows["half"].to_numpy().astype(np.int64) * len(houses) + home
    first = np.unique(key, return_index=True)[1]
    r, h = rows.iloc[first], home[first]
    return pd.DataFrame(
        {
            "V2001": 2.0,
            "YEARQ": _yearq(r),
            "IDHH": _households(h),
            "V2124": np.where(r["wave"] == 1, 1.0, 2.0),
            "V2130": r["month"].to_numpy().astype(float),
            "WGTHHCY": r["weight"].to_numpy(),
            "V2117": (r["psu"].to_numpy() // 4 + 1).astype(float),
            "V2118": (r["psu"].to_numpy() % 4 + 1).astype(float),
            "county_fips": places.fips[houses["county"].to_numpy()[h]],
            SIMULATED: 1.0,
        }
    )


def incident_table(
    rng: np.random.Generator,
    m: pd.Series,
    rows: pd.DataFrame,
    share: Mapping[str, np.ndarray],
    reporting: Mapping[tuple[str, str], float],
    person: pd.DataFrame,
    table: pd.DataFrame,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """One record per victimization, one for a series of six or more (up to ten; the rest as single records)."""
    victim = np.flatnonzero(rows["n"].to_numpy() > 0)
    n = rows["n"].to_numpy()[victim]
    series = n >= 6
    records = np.where(series, 1 + np.maximum(n - 10, 0), n)
    at = np.repeat(victim, records)
    number = np.arange(len(at)) - np.repeat(np.cumsum(records) - records, records) + 1
    is_series = np.repeat(series, records) & (number == 1)
    times = np.where(is_series, np.minimum(np.repeat(n, records), 10), 1)
    abroad = np.flatnonzero(rng.random(len(at)) < m["share_outside_US_V4022_1"])
    at = np.concatenate([at, at[abroad]])
    outside = np.arange(len(at)) >= len(number)
    number = np.concatenate([number, 50 + np.arange(len(abroad)) % 50])
    is_series, times = (np.concatenate([a, np.zeros(len(abroad), a.dtype)]) for a in (is_series, times))
    codes = sorted(int(k.rsplit("_", 1)[1]) for k in table.index if k.startswith("type_of_crime_share_V4529_"))
    chance = np.array([m[f"type_of_crime_share_V4529_{c}"] for c in codes])
    report = np.full(len(at), m["share_reported_to_police"])
    group = rows["group"].to_numpy()[at]
    for (treatment, who), ratio in reporting.items():
        inside = np.ones(len(at), dtype=bool) if who == "all" else group == GROUPS.index(who)
        report *= np.where(inside, ratio ** share[treatment][at], 1.0)
    draw = rng.random(len(at))
    weight = rows["weight"].to_numpy()[at] * 2 * rows["bounding"].to_numpy()[at]
    out = pd.DataFrame(
        {
            "V4001": 4.0,
            "YEARQ": person["YEARQ"].to_numpy()[at],
            "IDHH": person["IDHH"].to_numpy()[at],
            "IDPER": person["IDPER"].to_numpy()[at],
            "V4012": number.astype(float),
            "V4016": np.where(is_series, times, 1).astype(float),
            "V4017": np.where(is_series, 2.0, 1.0),
            "V4018": np.where(is_series, 1.0, np.nan),
            "V4019": np.where(is_series, 2.0, np.nan),
            "V4022": np.where(outside, 1.0, 3.0),
            "V4399": np.where(draw < report, 1.0, np.where(draw < report + 0.02, 3.0, 2.0)),
            "V4529": rng.choice(codes, len(at), p=chance / chance.sum()).astype(float),
            "WGTVICCY": np.round(weight, 4),
            "V2117": person["V2117"].to_numpy()[at],
            "V2118": person["V2118"].to_numpy()[at],
            SIMULATED: 1.0,
        }
    )
    order = np.lexsort((number, at))
    inside = ~outside
    true = {
        "series_share": float(is_series[inside].mean()) if inside.any() else np.nan,
        "share_reported_to_police": float((out["V4399"] == 1)[inside].mean()) if inside.any() else np.nan,
        "share_outside_US_V4022_1": float(outside.sum() / max(inside.sum(), 1)),
    }
    return out.iloc[order].reset_index(drop=True), true


def _yearq(rows: pd.DataFrame) -> np.ndarray:
    return np.round(rows["year"].to_numpy() + (1 + (rows["month"].to_numpy() - 1) // 3) / 10, 1)


def achieved(rows: pd.DataFrame, people: pd.DataFrame, true: Mapping[str, float], table: pd.DataFrame) -> pd.DataFrame:
    """Put the achieved value beside every moment that can be measured on the simulated tables."""
    out = table.reset_index()[["moment", "value", "unit", "status", "source"]].rename(columns={"value": "target"})
    year, w, n = (rows[c].to_numpy() for c in ("year", "weight", "n"))
    have: dict[str, float] = dict(true)
    adjusted = 2 * rows["bounding"].to_numpy() * n
    for y in range(2005, 2015):
        here = year == y
        have[f"persons_interviewed_{y}"] = float((here & (w > 0)).sum())
        have[f"violent_rate_{y}"] = float(1000 * (w[here] * adjusted[here]).sum() / w[here].sum())
        have[f"population_12plus_{y}"] = float(w[here].sum())
        have[f"latino_share_12plus_{y}"] = float(
            (w[here] * (rows["group"].to_numpy()[here] == 0)).sum() / w[here].sum()
        )
    home = people["home"].to_numpy()[rows["person"].to_numpy()]
    interviewed = len(np.unique(rows["half"].to_numpy().astype(np.int64) * (home.max() + 1) + home))
    have["persons_per_household"] = len(rows) / interviewed
    have["six_month_prevalence_violent_2005_2014"] = float((n[w > 0] > 0).mean())
    have["mean_count_per_victim_interview"] = float(n[n > 0].mean()) if (n > 0).any() else np.nan
    have["n_pseudo_strata"] = float(len(np.unique(rows["psu"].to_numpy() // 4)))
    have["male_share"] = float(1 - people["female"].to_numpy()[rows["person"].to_numpy()].mean())
    out["simulated"] = out["moment"].map(have)
    return out
