"""A county-coded National Crime Victimization Survey, SIMULATED, with known effects on real activation dates.

What no public file offers, county codes, is drawn; what is known is matched: persons interviewed a year, violent
rates, ages, counts per victim, clustering within households and persons, seven interviews six months apart,
unbounded first interviews, weights, strata and half-samples redrawn in 2006 (``ncvs_moments``, each with its
status). The result has the tables and columns of the real file plus ``county_fips``, so the code that reads one
reads the other, and a column ``SIMULATED`` that every estimate carries on.

The probability of being a victim in the six months before an interview is logistic in year, age, group, county,
pseudo-PSU and the planted effects times the treated share of the window. It is the *marginal* probability over
household and person effects: the conditional intercept is solved for, so a planted odds ratio of 2.11 is what a
logit without household effects estimates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from g287stats.catalog import read_released
from g287stats.errors import DesignError
from g287stats.outcomes.ncvs import SIMULATED, NcvsFile, ncvs_from_frame
from g287stats.panel.exposure import Exposure, intervals
from g287stats.simulation.design_ncvs import Places, allocate, draw_counties
from g287stats.survey.design import year_group
from g287stats.victimization.window import month_intervals, window_shares

GROUPS = ("latino", "black", "white", "other")
WAVES, RECALL = 7, 6
LAST_DAY = pd.Timestamp("2014-12-31")
NON_INTERVIEWS = 0.01  # assumption: rows without an interview beside every interview
SECURE_COMMUNITIES_END = "2014-11-20"
Dates = Literal["agreements", "assumed"]


@dataclass(frozen=True)
class PlantedEffects:
    """Planted effects of a full window of treatment.

    ``victimization`` maps (treatment, group) to an odds ratio of being a victim (``scale="odds_ratio"``) or a
    ratio of probabilities (``"risk_ratio"``); ``reporting`` maps (treatment, group) to a ratio of the probability
    that a victimization is reported. Treatments are TFM, JEM and SC; groups latino, black, white, other or ``all``.
    """

    victimization: Mapping[tuple[str, str], float] = field(default_factory=dict)
    reporting: Mapping[tuple[str, str], float] = field(default_factory=dict)
    scale: Literal["odds_ratio", "risk_ratio"] = "odds_ratio"

    def __post_init__(self) -> None:
        for table in (self.victimization, self.reporting):
            for (treatment, group), ratio in table.items():
                if treatment not in ("TFM", "JEM", "SC") or group not in (*GROUPS, "all") or not ratio > 0:
                    raise DesignError(
                        f"planted effect {(treatment, group)}: {ratio} is not understood; treatments TFM, JEM, SC, "
                        f"groups {(*GROUPS, 'all')}, ratios above zero"
                    )


@dataclass(frozen=True)
class SimulatedNcvs:
    """Simulated tables with what was planted.

    Attributes
    ----------
    person, incident, household
        Tables in the schema of the real file (:class:`~g287stats.outcomes.ncvs.NcvsFile`, ``simulated=True``);
        person and household rows carry ``county_fips``.
    treatments
        Days under treatment by county for TFM, JEM and SC: ``county_fips``, ``start``, ``end``.
    effects
        What was planted.
    moments
        Every moment: target, achieved, unit, status and source.
    settings
        Seed and size.
    """

    person: NcvsFile
    incident: NcvsFile
    household: NcvsFile
    treatments: Mapping[str, pd.DataFrame] = field(repr=False)
    effects: PlantedEffects
    moments: pd.DataFrame = field(repr=False)
    settings: Mapping[str, object]


def simulate_ncvs(
    *,
    seed: int,
    effects: PlantedEffects | None = None,
    size: float = 1.0,
    rate: float = 1.0,
    dates: Dates = "agreements",
    exposure: Mapping[str, Exposure] | None = None,
    secure_communities: pd.DataFrame | None = None,
    n_counties: int = 600,
    only_group: str | None = None,
) -> SimulatedNcvs:
    """Simulate the survey of 2005–2014 with county codes.

    Parameters
    ----------
    seed
        Same seed, same tables.
    effects
        Planted effects; none by default.
    size
        Share of the published number of person-interviews (1 is 1.46 million).
    rate
        Multiplies the published violent rates: a small file with a high rate has the information of a larger one.
    dates
        ``agreements``: TFM and JEM from the released agreement table, to the day. ``assumed``: the timing of the
        moments table (9 % and 7 % of counties), for studies of estimators rather than of this programme.
    exposure
        How agreements treat a county, by treatment: default ``Exposure(models=("TFM",))`` and ``("JEM",)`` of
        county agencies, from the signing date.
    secure_communities
        Columns ``county_fips`` and ``month`` (``2010-06``) of activation. Default with ``dates="agreements"``:
        the released months (not yet verified against ICE's list), and January 2013, when ICE declared the
        programme active everywhere, for counties without one; with ``"assumed"``: drawn from the moments table.
    n_counties
        Sampled counties: the largest with certainty, others in proportion to residents.
    only_group
        Keep the rows of one group, for studies of a subgroup estimate over many seeds; sampling units without a
        member of the group are then absent from the file.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    effects = effects or PlantedEffects()
    table = read_released("ncvs_moments").set_index("moment")
    m = pd.to_numeric(table["value"], errors="coerce")
    places = draw_counties(rng, n_counties)
    treatments = _treatments(rng, places, dates, exposure or {}, secure_communities, m)
    houses = _households(rng, m, places, size)
    people = _persons(rng, m, houses, places)
    rows = _interviews(rng, m, people, houses, size)
    if only_group is not None:
        if only_group not in GROUPS:
            raise DesignError(f"only_group={only_group!r}: choose one of {GROUPS}")
        member = houses["group"].to_numpy() == GROUPS.index(only_group)
        rows = rows[member[people["home"].to_numpy()[rows["person"].to_numpy()]]].reset_index(drop=True)
    share = _shares(rows, houses, people, places, treatments)
    _victimize(rng, m, rows, people, houses, places, share, effects, rate)
    person, household = _person_table(rows, people, houses, places), _household_table(rows, people, houses, places)
    incident, true = _incident_table(rng, m, rows, people, share, effects, person, table)
    achieved = _achieved(rows, people, true, table)
    provenance = {"producer": "SIMULATED by g287stats.simulation.ncvs", "seed": seed, "size": size, "dates": dates}
    geography = {"county_fips": "county_fips"}
    files = [
        ncvs_from_frame(t, level=v, geography=g, columns="all", provenance=provenance)
        for t, v, g in ((person, "person", geography), (incident, "incident", {}), (household, "household", geography))
    ]
    settings = {
        "seed": seed,
        "size": size,
        "rate": rate,
        "dates": dates,
        "n_counties": n_counties,
        "only_group": only_group,
    }
    return SimulatedNcvs(files[0], files[1], files[2], treatments, effects, achieved, settings)


# ---- who is treated, when --------------------------------------------------------------------------------------
def _treatments(
    rng: np.random.Generator,
    places: Places,
    dates: Dates,
    exposure: Mapping[str, Exposure],
    sc: pd.DataFrame | None,
    m: pd.Series,
) -> dict[str, pd.DataFrame]:
    out: dict[str, pd.DataFrame] = {}
    if dates == "agreements":
        spells = read_released("agreements")
        for name in ("TFM", "JEM"):
            chosen = exposure.get(name, Exposure(models=(name,)))
            days = intervals(spells, chosen, pd.Timestamp("2026-01-01")).frame
            days = days[days["county_fips"].isin(places.fips) & (days["start"] < LAST_DAY)]
            out[name] = days[["county_fips", "start", "end"]].reset_index(drop=True)
    elif dates == "assumed":
        halves = pd.date_range("2005-01-01", "2020-01-01", freq="6MS")
        tf = rng.random(len(places.fips)) < m["task_force_county_share"]
        jem = rng.random(len(places.fips)) < m["jail_model_county_share"]
        end = np.where(rng.random(len(tf)) < 0.3, rng.integers(11, 16, len(tf)), 16)  # 2010H2 … ; by 2012-12-31
        for name, who, last, stop in (("TFM", tf, 11, end), ("JEM", jem, 12, np.full(len(jem), 30))):
            first = rng.integers(4, last, len(who))
            frame = {"county_fips": places.fips[who], "start": halves[first[who]], "end": halves[stop[who]]}
            out[name] = pd.DataFrame(frame)
    else:
        raise DesignError(f"dates={dates!r}: choose 'agreements' or 'assumed'")
    if sc is None and dates == "agreements":
        released = read_released("secure_communities").set_index("county_fips")["month"].astype(str)
        month = released.reindex(places.fips).fillna("2013-01")
        sc = pd.DataFrame({"county_fips": places.fips, "month": month.to_numpy()})
    if sc is None:
        half = np.clip(np.round(rng.normal(13, 2.2, len(places.fips))), 7, 16).astype(int)
        month = pd.PeriodIndex.from_ordinals(half * 6 + pd.Period("2005-01", "M").ordinal, freq="M")
        sc = pd.DataFrame({"county_fips": places.fips, "month": month.astype(str)})
    sc = sc[sc["county_fips"].isin(places.fips)]
    out["SC"] = month_intervals(sc, "county_fips", "month", SECURE_COMMUNITIES_END)
    return out


# ---- who is interviewed ----------------------------------------------------------------------------------------
def _households(rng: np.random.Generator, m: pd.Series, places: Places, size: float) -> pd.DataFrame:
    """Addresses: first half-year (from −6), month within the half, county, stratum and half-sample by year group."""
    target = np.array([m[f"persons_interviewed_{y}"] for y in range(2005, 2015)]).max() / 2 * size
    cohort = int(np.ceil(target / m["persons_per_household"] / WAVES * 1.04))
    n = cohort * (20 + WAVES - 1)
    county = rng.choice(len(places.fips), n, p=places.share)
    out = pd.DataFrame({"first": np.repeat(np.arange(1 - WAVES, 20), cohort), "county": county})
    out["offset"] = rng.integers(0, 6, n)
    latino = places.latino[county] * (m["latino_share_12plus_2010"] / (places.share @ places.latino))
    drift = m["latino_share_12plus_2014"] / m["latino_share_12plus_2005"]
    out["latino"] = rng.random(n) < latino * drift ** ((out["first"].to_numpy() - 7) / 20)
    other = rng.random(n)
    black, rest = m["black_share_non_latino"], m["other_share_non_latino"]
    group = np.where(out["latino"], 0, np.where(other < black, 1, np.where(other < black + rest, 3, 2)))
    out["group"] = group
    out["log_weight"] = rng.normal(0, m["weight_log_sd_household"], n)
    out["effect"] = rng.normal(0, m["sigma_household"], n)
    for name in (2, 3):  # year groups: 2005, and 2006 on
        out[f"psu_{name}"] = allocate(rng, places, county, int(m["n_pseudo_strata"]))
    more = rng.random(n)
    mean = m["persons_per_household"]
    out["size"] = 1 + (more < 0.5) + (more < (mean - 1.5))  # 1, 2 or 3 persons with the published mean
    return out


def _persons(rng: np.random.Generator, m: pd.Series, houses: pd.DataFrame, places: Places) -> pd.DataFrame:
    home = np.repeat(np.arange(len(houses)), houses["size"])
    n = len(home)
    bands = np.array([(12, 17), (18, 24), (25, 34), (35, 49), (50, 64), (65, 90)])
    share = np.array([m[f"population_share_age_{a}_{b}"] for a, b in bands])
    band = rng.choice(len(bands), n, p=share / share.sum())
    low, high = bands[band].T
    out = pd.DataFrame({"home": home, "band": band})
    out["line"] = np.arange(n) - np.searchsorted(home, home) + 1
    out["age"] = low + (rng.random(n) * (high - low + 1)).astype(int)
    out["female"] = rng.random(n) >= m["male_share"]
    out["effect"] = rng.normal(0, m["sigma_person"], n)
    out["log_weight"] = rng.normal(0, m["weight_log_sd_person"], n)
    return out


def _interviews(
    rng: np.random.Generator, m: pd.Series, people: pd.DataFrame, houses: pd.DataFrame, size: float
) -> pd.DataFrame:
    """Person-interviews: households in their seven waves, thinned to the published number a year, sorted.

    A few further rows are non-interviews: in the file with weight zero, as in the real one.
    """
    home = people["home"].to_numpy()
    first = houses["first"].to_numpy()
    parts = []
    for half in range(20):
        active = (first <= half) & (first > half - WAVES)
        wanted = m[f"persons_interviewed_{2005 + half // 2}"] / 2 * size
        order = np.flatnonzero(active)[np.argsort(rng.random(int(active.sum())))]
        reached = np.cumsum(houses["size"].to_numpy()[order])
        state = np.zeros(len(houses), dtype=int)
        state[order[reached <= (1 + NON_INTERVIEWS) * wanted]] = 1
        state[order[reached <= wanted]] = 2
        who = np.flatnonzero(state[home])
        parts.append(pd.DataFrame({"person": who, "half": half, "answered": state[home[who]] == 2}))
    out = pd.concat(parts, ignore_index=True)
    h = home[out["person"].to_numpy()]
    out["wave"] = out["half"].to_numpy() - first[h] + 1
    out["year"] = 2005 + out["half"] // 2
    out["month"] = out["half"] % 2 * 6 + houses["offset"].to_numpy()[h] + 1
    return out.sort_values(["half", "person"], kind="mergesort", ignore_index=True)


def _shares(
    rows: pd.DataFrame,
    houses: pd.DataFrame,
    people: pd.DataFrame,
    places: Places,
    treatments: Mapping[str, pd.DataFrame],
) -> dict[str, np.ndarray]:
    months = pd.period_range("2005-01", "2014-12", freq="M")
    county = houses["county"].to_numpy()[people["home"].to_numpy()[rows["person"].to_numpy()]]
    column = (rows["year"].to_numpy() - 2005) * 12 + rows["month"].to_numpy() - 1
    out = {}
    for name, days in treatments.items():
        table = window_shares(days, months, RECALL).reindex(places.fips, fill_value=0.0).to_numpy()
        out[name] = table[county, column]
    return out


# ---- who is victimized -----------------------------------------------------------------------------------------
def conditional_intercept(logit: np.ndarray, sigma: float) -> np.ndarray:
    """Intercept κ with ∫ expit(κ + σz) φ(z) dz = expit(logit), by interpolation on a fine grid (error < 1e-9)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    grid = np.linspace(-25, 12, 4000)
    mean = (1 / (1 + np.exp(-(grid[:, None] + sigma * nodes)))) @ (weights / weights.sum())
    return np.interp(logit, np.log(mean / (1 - mean)), grid)


def _victimize(
    rng: np.random.Generator,
    m: pd.Series,
    rows: pd.DataFrame,
    people: pd.DataFrame,
    houses: pd.DataFrame,
    places: Places,
    share: Mapping[str, np.ndarray],
    effects: PlantedEffects,
    rate: float,
) -> None:
    """Add ``weight``, ``psu``, ``p`` (marginal probability, as reported) and ``n`` (victimizations) to ``rows``."""
    person = rows["person"].to_numpy()
    home = people["home"].to_numpy()[person]
    year = rows["year"].to_numpy()
    group = houses["group"].to_numpy()[home]
    rows["group"] = group
    first, later = houses["psu_2"].to_numpy()[home], houses["psu_3"].to_numpy()[home]
    rows["psu"] = np.where(year_group(year) == 2, first, later)
    base = np.exp(houses["log_weight"].to_numpy()[home] + people["log_weight"].to_numpy()[person]) * rows["answered"]
    base = base.to_numpy()
    total = np.bincount(year - 2005, base, 10)  # with only_group: the group's weights, inflated alike
    population = np.array([m[f"population_12plus_{y}"] for y in range(2005, 2015)])
    rows["weight"] = np.round(base * (population / total)[year - 2005], 4)

    bands = [("12", "17"), ("18", "24"), ("25", "34"), ("35", "49"), ("50", "64"), ("65", "90")]
    age = np.array([m[f"violent_rate_age_{a}_{b}"] for a, b in bands]) / 19.6
    relative = np.array([m[f"relative_rate_{g}"] for g in GROUPS])
    psu_effect = rng.normal(0, m["sigma_psu"], (2, int(rows["psu"].max()) + 1))
    county_effect = rng.normal(0, m["sigma_county"], len(places.fips))
    log_odds = (
        np.log(age[people["band"].to_numpy()[person]])
        + np.log(relative[group])
        + county_effect[houses["county"].to_numpy()[home]]
        + psu_effect[(year > 2005).astype(int), rows["psu"].to_numpy()]
    )
    counts, chance = _count_distribution(m)
    incoming = rows["wave"].to_numpy() == 1
    bounding = np.where(incoming, m["bounding_factor_wave_1"], m["bounding_factor_later_waves"])
    planted = np.zeros(len(rows))
    for (treatment, who), ratio in effects.victimization.items():
        inside = np.ones(len(rows), dtype=bool) if who == "all" else group == GROUPS.index(who)
        planted += np.where(inside, np.log(ratio) * share[treatment], 0.0)
    # intercepts by year: the untreated, bounded, weighted rate is the published one
    wanted = rate * np.array([m[f"violent_rate_{y}"] for y in range(2005, 2015)]) / 2000 / (counts @ chance)
    w = rows["weight"].to_numpy()
    intercept = np.zeros(10)
    for y in range(10):
        here = year == 2005 + y
        low, high = -12.0, 3.0
        for _ in range(50):
            middle = (low + high) / 2
            p = np.average(1 / (1 + np.exp(-(middle + log_odds[here]))), weights=w[here])
            low, high = (middle, high) if p < wanted[y] else (low, middle)
        intercept[y] = middle
    logit = intercept[year - 2005] + log_odds - np.log(bounding)
    if effects.scale == "odds_ratio":
        logit = logit + planted
    else:
        p = np.exp(planted) / (1 + np.exp(-logit))
        if (p >= 1).any():
            raise DesignError("planted risk ratios push probabilities above one")
        logit = np.log(p / (1 - p))
    rows["logit"] = logit
    rows["bounding"] = bounding
    h, q = houses["effect"].to_numpy(), people["effect"].to_numpy()
    sigma = float(np.hypot(m["sigma_household"], m["sigma_person"]))
    eta = conditional_intercept(logit, sigma) + h[home] + q[person]
    victim = (rng.random(len(rows)) < 1 / (1 + np.exp(-eta))) & rows["answered"].to_numpy()
    rows["n"] = 0
    rows.loc[victim, "n"] = rng.choice(counts, int(victim.sum()), p=chance)


def _count_distribution(m: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    names = [k for k in m.index if k.startswith("victim_interviews_with_count_")]
    counts = np.array([int(k.rsplit("_", 1)[1]) for k in names])
    order = np.argsort(counts)
    weight = m[names].to_numpy(float)[order]
    return counts[order], weight / weight.sum()


# ---- tables in the schema of the real file ---------------------------------------------------------------------
def _identifiers(people: pd.DataFrame, houses: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """25-character household and 27-character person identifiers, as text."""
    home = np.array([f"{9_287_000_000_000_000_000_000_000 + i:025d}" for i in range(len(houses))], dtype=object)
    line = np.array([f"{n:02d}" for n in range(10)], dtype=object)
    return home, home[people["home"].to_numpy()] + line[people["line"].to_numpy()]


def _person_table(rows: pd.DataFrame, people: pd.DataFrame, houses: pd.DataFrame, places: Places) -> pd.DataFrame:
    person = rows["person"].to_numpy()
    home = people["home"].to_numpy()[person]
    idhh, idper = _identifiers(people, houses)
    group = rows["group"].to_numpy()
    return pd.DataFrame(
        {
            "V3001": 3.0,
            "YEARQ": _yearq(rows),
            "IDHH": idhh[home],
            "IDPER": idper[person],
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


def _household_table(rows: pd.DataFrame, people: pd.DataFrame, houses: pd.DataFrame, places: Places) -> pd.DataFrame:
    home = people["home"].to_numpy()[rows["person"].to_numpy()]
    key = rows["half"].to_numpy().astype(np.int64) * len(houses) + home
    first = np.unique(key, return_index=True)[1]
    r, h = rows.iloc[first], home[first]
    idhh, _ = _identifiers(people.iloc[:0], houses)
    return pd.DataFrame(
        {
            "V2001": 2.0,
            "YEARQ": _yearq(r),
            "IDHH": idhh[h],
            "V2124": np.where(r["wave"] == 1, 1.0, 2.0),
            "V2130": r["month"].to_numpy().astype(float),
            "WGTHHCY": r["weight"].to_numpy(),
            "V2117": (r["psu"].to_numpy() // 4 + 1).astype(float),
            "V2118": (r["psu"].to_numpy() % 4 + 1).astype(float),
            "county_fips": places.fips[houses["county"].to_numpy()[h]],
            SIMULATED: 1.0,
        }
    )


def _incident_table(
    rng: np.random.Generator,
    m: pd.Series,
    rows: pd.DataFrame,
    people: pd.DataFrame,
    share: Mapping[str, np.ndarray],
    effects: PlantedEffects,
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
    for (treatment, who), ratio in effects.reporting.items():
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


def _achieved(rows: pd.DataFrame, people: pd.DataFrame, true: Mapping[str, float], table: pd.DataFrame) -> pd.DataFrame:
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
