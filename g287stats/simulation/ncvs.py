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
from typing import Literal, get_args

import numpy as np
import pandas as pd

from g287stats.catalog import read_released
from g287stats.errors import DesignError, choose
from g287stats.outcomes.ncvs.files import NcvsFile, ncvs_from_frame
from g287stats.panel.exposure import Exposure, intervals
from g287stats.policies import SECURE_COMMUNITIES_END
from g287stats.simulation.design_ncvs import Places, allocate, draw_counties
from g287stats.simulation.ncvs_tables import GROUPS, achieved, household_table, incident_table, person_table
from g287stats.survey.design import year_group
from g287stats.victimization.window import month_intervals, window_shares

WAVES, RECALL = 7, 6
LAST_DAY = pd.Timestamp("2014-12-31")
NON_INTERVIEWS = 0.01  # assumption: rows without an interview beside every interview
Dates = Literal["agreements", "assumed"]
Scale = Literal["odds_ratio", "risk_ratio"]


@dataclass(frozen=True)
class PlantedEffects:
    """Planted effects of a full window of treatment.

    ``victimization`` maps (treatment, group) to an odds ratio of being a victim (``scale="odds_ratio"``) or a
    ratio of probabilities (``"risk_ratio"``); ``reporting`` maps (treatment, group) to a ratio of the probability
    that a victimization is reported. Treatments are TFM, JEM and SC; groups latino, black, white, other or ``all``.
    """

    victimization: Mapping[tuple[str, str], float] = field(default_factory=dict)
    reporting: Mapping[tuple[str, str], float] = field(default_factory=dict)
    scale: Scale = "odds_ratio"

    def __post_init__(self) -> None:
        choose("scale", self.scale, get_args(Scale))
        for table in (self.victimization, self.reporting):
            for (treatment, group), ratio in table.items():
                if treatment not in ("TFM", "JEM", "SC") or group not in (*GROUPS, "all") or not ratio > 0:
                    raise DesignError(
                        f"planted effect {(treatment, group)}: {ratio} is not understood; treatments TFM, JEM, SC, "
                        f"groups {(*GROUPS, 'all')}, ratios above zero"
                    )


@dataclass(frozen=True)
class CountyShocks:
    """Shocks to the log odds by county and half-year: standard deviation, and correlation from one half to the next."""

    sd: float
    persistence: float = 0.8

    def __post_init__(self) -> None:
        if not self.sd >= 0 or not 0 <= self.persistence < 1:
            raise DesignError(
                f"shocks of sd {self.sd} and persistence {self.persistence}: sd ≥ 0, persistence in [0, 1)"
            )

    def draw(self, rng: np.random.Generator, counties: int, halves: int) -> np.ndarray:
        """A stationary first-order autoregression for each county, (counties, halves)."""
        fresh = rng.normal(0, self.sd, (counties, halves))
        out = fresh.copy()
        for t in range(1, halves):
            out[:, t] = self.persistence * out[:, t - 1] + np.sqrt(1 - self.persistence**2) * fresh[:, t]
        return out


@dataclass(frozen=True, eq=False)
class Latent:
    """What stands behind each person row: marginal log odds, household and person effects, county, half-year."""

    logit: np.ndarray
    effect: np.ndarray
    county: np.ndarray
    half: np.ndarray
    answered: np.ndarray
    sigma: float

    def redraw(self, rng: np.random.Generator, shocks: CountyShocks) -> np.ndarray:
        """Draw again who is a victim, (n,), with shocks by county and half-year; planted effects stay."""
        shock = shocks.draw(rng, int(self.county.max()) + 1, int(self.half.max()) + 1)[self.county, self.half]
        eta = conditional_intercept(self.logit + shock, self.sigma) + self.effect
        return (rng.random(len(eta)) < 1 / (1 + np.exp(-eta))) & self.answered


@dataclass(frozen=True)
class SimulatedNcvs:
    """Simulated tables with what was planted.

    Attributes
    ----------
    person, incident, household
        Tables in the schema of the real file (:class:`~g287stats.outcomes.ncvs.files.NcvsFile`, ``simulated=True``);
        person and household rows carry ``county_fips``.
    treatments
        Days under treatment by county for TFM, JEM and SC: ``county_fips``, ``start``, ``end``.
    effects
        What was planted.
    moments
        Every moment: target, achieved, unit, status and source.
    settings
        Seed and size.
    latent
        What stands behind each person row, for drawing outcomes again on the same sample.
    """

    person: NcvsFile
    incident: NcvsFile
    household: NcvsFile
    treatments: Mapping[str, pd.DataFrame] = field(repr=False)
    effects: PlantedEffects
    moments: pd.DataFrame = field(repr=False)
    settings: Mapping[str, object]
    latent: Latent = field(repr=False)


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
    county_shocks: CountyShocks | None = None,
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
    county_shocks
        Shocks by county and half-year (:class:`CountyShocks`); none by default. Sizes have not been measured on
        county-coded interviews.
    """
    choose("dates", dates, get_args(Dates))
    if only_group is not None:
        choose("only_group", only_group, GROUPS)
    rng = np.random.Generator(np.random.PCG64(seed))
    shocks = (county_shocks or CountyShocks(0.0)).draw(np.random.Generator(np.random.PCG64([seed, 1])), n_counties, 20)
    effects = effects or PlantedEffects()
    table = read_released("ncvs_moments").set_index("moment")
    m = pd.to_numeric(table["value"], errors="coerce")
    places = draw_counties(rng, n_counties)
    treatments = _treatments(rng, places, dates, exposure or {}, secure_communities, m)
    houses = _households(rng, m, places, size)
    people = _persons(rng, m, houses, places)
    rows = _interviews(rng, m, people, houses, size, only_group)
    share = _shares(rows, houses, people, places, treatments)
    _victimize(rng, m, rows, people, houses, places, share, effects, rate, shocks)
    person, household = person_table(rows, people, houses, places), household_table(rows, people, houses, places)
    incident, true = incident_table(rng, m, rows, share, effects.reporting, person, table)
    moments = achieved(rows, people, true, table)
    provenance = {"producer": "SIMULATED by g287stats.simulation.ncvs", "seed": seed, "size": size, "dates": dates}
    geography = {"county_fips": "county_fips"}
    files = [
        ncvs_from_frame(t, table=v, geography=g, columns="all", provenance=provenance)
        for t, v, g in ((person, "person", geography), (incident, "incident", {}), (household, "household", geography))
    ]
    settings = {
        "seed": seed,
        "size": size,
        "rate": rate,
        "dates": dates,
        "n_counties": n_counties,
        "only_group": only_group,
        "county_shocks": county_shocks,
    }
    latent = _latent(m, rows, people, houses)
    return SimulatedNcvs(files[0], files[1], files[2], treatments, effects, moments, settings, latent)


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
    else:
        halves = pd.date_range("2005-01-01", "2020-01-01", freq="6MS")
        tf = rng.random(len(places.fips)) < m["task_force_county_share"]
        jem = rng.random(len(places.fips)) < m["jail_model_county_share"]
        end = np.where(rng.random(len(tf)) < 0.3, rng.integers(11, 16, len(tf)), 16)  # 2010H2 … ; by 2012-12-31
        for name, who, last, stop in (("TFM", tf, 11, end), ("JEM", jem, 12, np.full(len(jem), 30))):
            first = rng.integers(4, last, len(who))
            frame = {"county_fips": places.fips[who], "start": halves[first[who]], "end": halves[stop[who]]}
            out[name] = pd.DataFrame(frame)
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
    rng: np.random.Generator,
    m: pd.Series,
    people: pd.DataFrame,
    houses: pd.DataFrame,
    size: float,
    only_group: str | None,
) -> pd.DataFrame:
    """Person-interviews: households in their seven waves, thinned to the published number a year, sorted.

    A few further rows are non-interviews: in the file with weight zero, as in the real one.
    """
    home = people["home"].to_numpy()
    first = houses["first"].to_numpy()
    kept = np.ones(len(houses), dtype=int)
    if only_group is not None:
        kept = (houses["group"].to_numpy() == GROUPS.index(only_group)).astype(int)
    parts = []
    for half in range(20):
        active = (first <= half) & (first > half - WAVES)
        wanted = m[f"persons_interviewed_{2005 + half // 2}"] / 2 * size
        order = np.flatnonzero(active)[np.argsort(rng.random(int(active.sum())))]
        reached = np.cumsum(houses["size"].to_numpy()[order])
        state = np.zeros(len(houses), dtype=int)
        state[order[reached <= (1 + NON_INTERVIEWS) * wanted]] = 1
        state[order[reached <= wanted]] = 2
        who = np.flatnonzero((state * kept)[home])
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
    shocks: np.ndarray,
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
        + shocks[houses["county"].to_numpy()[home], rows["half"].to_numpy()]
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


def _latent(m: pd.Series, rows: pd.DataFrame, people: pd.DataFrame, houses: pd.DataFrame) -> Latent:
    person = rows["person"].to_numpy()
    home = people["home"].to_numpy()[person]
    return Latent(
        logit=rows["logit"].to_numpy(),
        effect=houses["effect"].to_numpy()[home] + people["effect"].to_numpy()[person],
        county=houses["county"].to_numpy()[home],
        half=rows["half"].to_numpy(),
        answered=rows["answered"].to_numpy(),
        sigma=float(np.hypot(m["sigma_household"], m["sigma_person"])),
    )


def _count_distribution(m: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    names = [k for k in m.index if k.startswith("victim_interviews_with_count_")]
    counts = np.array([int(k.rsplit("_", 1)[1]) for k in names])
    order = np.argsort(counts)
    weight = m[names].to_numpy(float)[order]
    return counts[order], weight / weight.sum()
