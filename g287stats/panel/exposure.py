"""From agreement spells to county × period exposure: who is treated, when, for what share of the period.

Everything is computed on days. A spell covers the days from its start (the stated date, plus a lag) up to, not
including, its end. A county's exposure in a period is the share of the period's days on which at least one
qualifying agreement is in force.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats.arguments import guided_class
from g287stats.errors import DesignError
from g287stats.flow import EMPTY, Flow, Step

MODELS = ("JEM", "TFM", "WSO")
LEVELS = ("county", "municipal", "constable", "campus", "regional", "special", "state")
DAY = np.timedelta64(1, "D")


@guided_class
@dataclass(frozen=True)
class Exposure:
    """Which agreements treat a county, from which day, and what their ending does.

    Parameters
    ----------
    models
        ``"any"`` or some of ``("JEM", "TFM", "WSO")``.
    level
        Jurisdictions whose agreements count: ``"county"`` (sheriffs, county police, county jails),
        ``"municipal"``, ``"constable"``, ``"campus"``, ``"regional"`` (jails of several counties),
        ``"special"``, or several of them. ``"state"`` is the exposure of every county of a state to the
        agreements of statewide agencies; it stands alone, because a statewide agency treats no county in
        particular.
    date
        ``"signed"``: the first signature. ``"first_listed"``: the first ICE list that prints the agreement. No
        source has the day an agreement became operational.
    lag
        Days added to the start (training, installation).
    on_exit
        What the end of the last agreement in force does. ``"absorbing"``: nothing, treatment is having started.
        ``"censor"``: the county leaves the sample in the first period not treated. ``"switching"``: treatment
        switches off, and on again if an agreement returns.
    min_share
        A period counts as treated when the share of its days under an agreement is positive and at least
        ``min_share``: 0 takes the first partial period as the first treated one, 1 the first full period.
    end_window
        The end of a spell known only to lie between two days: the ``"first"`` day possible (after the last list with
        it), the ``"last"`` (the first list without it), their ``"midpoint"``, or ``"both"``: the midpoint, with the
        share under either end beside it (``exposure_share_first``, ``exposure_share_last``).
    beyond
        Periods that end after the last day the record is certain of. ``"missing"``: their shares are missing,
        and so is ``treated`` where the certain days do not settle it. ``"flag"``: the share of the certain days, and
        whoever was not treated then counts as untreated. Either way ``exposure_known`` is false there.
    of
        Whose agreements: the county's ``"own"``, those of ``"adjacent"`` counties (a land border, 2010),
        ``"adjacent_or_water"``, or of counties in a ring ``(more than, up to)`` kilometres away between centres
        of population. A neighbour exposure is the share of days with an agreement in at least one such county.
    """

    models: Literal["any"] | tuple[str, ...] = "any"
    level: str | tuple[str, ...] = "county"
    date: Literal["signed", "first_listed"] = "signed"
    lag: int = 0
    on_exit: Literal["absorbing", "censor", "switching"] = "absorbing"
    min_share: float = 0.0
    end_window: Literal["first", "midpoint", "last", "both"] = "midpoint"
    beyond: Literal["missing", "flag"] = "missing"
    of: Literal["own", "adjacent", "adjacent_or_water"] | tuple[float, float] = "own"

    def __post_init__(self) -> None:
        models = MODELS if self.models == "any" else _tuple(self.models)
        levels = _tuple(self.level)
        wrong = [f"model {m!r}" for m in models if m not in MODELS]
        wrong += [f"level {v!r}" for v in levels if v not in LEVELS]
        if wrong:
            raise DesignError(f"Exposure: unknown {', '.join(wrong)}. Models are {MODELS}, levels {LEVELS}")
        if "state" in levels and len(levels) > 1:
            raise DesignError(
                'Exposure: level="state" stands alone; give it as an exposure of its own: '
                'exposure={"county": Exposure(), "state": Exposure(level="state")}'
            )
        if isinstance(self.lag, bool) or not isinstance(self.lag, (int, np.integer)):
            raise DesignError(f"Exposure: lag={self.lag!r} is not a whole number of days; lag=90 starts 90 days later")
        if not 0 <= self.min_share <= 1:
            raise DesignError(f"Exposure: min_share={self.min_share} is not a share; use a number from 0 to 1")
        ring = isinstance(self.of, tuple) and len(self.of) == 2 and 0 <= self.of[0] < self.of[1]
        if not ring and self.of not in ("own", "adjacent", "adjacent_or_water"):
            raise DesignError(f'Exposure: of={self.of!r}; use "own", "adjacent", "adjacent_or_water" or (0, 50) in km')
        if self.of != "own" and "state" in levels:
            raise DesignError('Exposure: level="state" already covers every county of a state; use of="own"')
        for name, value, allowed in (
            ("date", self.date, ("signed", "first_listed")),
            ("on_exit", self.on_exit, ("absorbing", "censor", "switching")),
            ("end_window", self.end_window, ("first", "midpoint", "last", "both")),
            ("beyond", self.beyond, ("missing", "flag")),
        ):
            if value not in allowed:
                raise DesignError(f"Exposure: {name}={value!r}; choose one of {allowed}")
        object.__setattr__(self, "models", models)
        object.__setattr__(self, "level", levels)

    def describe(self) -> str:
        """Return the definition in one sentence, for codebooks and notes."""
        what = "any model" if set(self.models) == set(MODELS) else "/".join(self.models)
        lag = f" plus {self.lag} days" if self.lag else ""
        where = {
            "own": "",
            "adjacent": " in an adjacent county",
            "adjacent_or_water": " in a county adjacent by land or water",
        }
        place = where[self.of] if isinstance(self.of, str) else f" in a county {self.of[0]:g} to {self.of[1]:g} km away"
        first = "any day" if self.min_share == 0 else f"at least {self.min_share:.0%} of days"
        return (
            f"287(g) agreement ({what}) of a {' or '.join(self.level)} agency{place}, from {self.date} date{lag}; "
            f"treated with {first} under it; exits: {self.on_exit}; ends known to a window: {self.end_window}"
        )


@dataclass(frozen=True)
class Intervals:
    """Days under qualifying agreements: ``frame`` with county_fips (or state), start, end, agreement_id.

    ``flow`` counts spells and lists those that could not be placed, by agreement.
    """

    frame: pd.DataFrame
    flow: Flow = EMPTY


def intervals(spells: pd.DataFrame, exposure: Exposure, horizon: pd.Timestamp) -> Intervals:
    """Select the spells that qualify and give each its first day and its end (exclusive) per county.

    Parameters
    ----------
    spells
        Agreement spells (the released table's columns).
    exposure
        The definition.
    horizon
        Day after the last day the record covers; open spells end there.

    Returns
    -------
    Intervals
        One row per spell and county (per spell and state when ``level="state"``). Spells without a usable start
        and spells of sub-state agencies without a county are listed in the flow.
    """
    flow = [Step("spells in the table", len(spells), kind="found")]
    here = spells[spells["model"].isin(exposure.models) & spells["jurisdiction"].isin(_levels(exposure))].copy()
    flow.append(Step("qualify by model and level", len(here)))
    if exposure.date == "signed":
        start = here["signed_date"].fillna(here["first_listed"])
        fallback = here["signed_date"].isna() & here["first_listed"].notna()
        if fallback.any():
            flow.append(_spells("no signing date: first list used", here[fallback], "noted"))
    else:
        start = here["first_listed"]
        before = start.isna()
        if before.any():
            flow.append(_spells("never on a dated list: left out", here[before]))
    here["start"] = start + pd.to_timedelta(exposure.lag, unit="D")
    here["end"] = _ends(here, exposure, horizon)
    undated = here["start"].isna()
    if exposure.date == "signed" and undated.any():
        flow.append(_spells("no start date: left out", here[undated]))
    here = here[~undated]
    empty = here["start"] >= here["end"]
    if empty.any():
        flow.append(_spells("ended before it started (after the lag)", here[empty]))
        here = here[~empty]
    place = "state" if "state" in exposure.level else "county_fips"
    if place == "county_fips":
        nowhere = here["county_fips"].isna()
        if nowhere.any():
            flow.append(_spells("no county: left out", here[nowhere]))
        here = here[~nowhere]
        here = here.assign(county_fips=here["county_fips"].str.split(";")).explode("county_fips")
    kept = [place, "start", "end", "agreement_id", "model", "agency_id", "jurisdiction", "ori"]
    out = here[kept].sort_values([place, "start", "end", "agreement_id"])
    flow.append(Step(f"{place} × spell intervals", len(out)))
    return Intervals(out.reset_index(drop=True), Flow(tuple(flow)))


def _spells(step: str, rows: pd.DataFrame, kind: Literal["dropped", "noted"] = "dropped") -> Step:
    return Step(step, len(rows), "", tuple(rows["agreement_id"]), kind)


def spread(days: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Hand each county's intervals to the counties that ``pairs`` (county_fips, source_fips) link to it."""
    linked = pairs.merge(days.rename(columns={"county_fips": "source_fips"}), on="source_fips", how="inner")
    return linked[list(days.columns)].sort_values(["county_fips", "start", "end", "agreement_id"], ignore_index=True)


def exposure_shares(
    days: pd.DataFrame, place: str, periods: pd.PeriodIndex, until: pd.Timestamp | None = None
) -> pd.DataFrame:
    """Share of each period's days under at least one interval, for each place with any interval.

    ``until`` is the day after the record ends: the share of a period it cuts is of the days before it.
    Returns a frame with index ``place`` and one column per period; values in [0, 1].
    """
    first = periods.start_time.to_numpy().astype("datetime64[D]")
    last = periods.end_time.to_numpy().astype("datetime64[D]") + DAY
    if until is not None:
        last = np.minimum(last, np.datetime64(until, "D"))
    length = (last - first) / DAY
    merged = _merge(days, place)
    start = merged["start"].to_numpy().astype("datetime64[D]")[:, None]
    end = merged["end"].to_numpy().astype("datetime64[D]")[:, None]
    covered = np.clip((np.minimum(end, last) - np.maximum(start, first)) / DAY, 0, None) / length
    wide = pd.DataFrame(covered, columns=periods, index=pd.Index(merged[place], name=place))
    return wide.groupby(level=0, sort=True).sum().clip(upper=1.0)


def treatment_table(shares: pd.DataFrame, exposure: Exposure) -> pd.DataFrame:
    """From shares (places × periods) to long treatment: place, period, share, treated, cohort, first_share, after_exit.

    ``cohort`` is the first treated period. ``treated`` follows ``on_exit``. ``after_exit`` marks periods after
    the first treated run has ended (to be censored, or where absorption is an assumption).
    """
    values = shares.to_numpy()
    on = (values > 0) & (values >= exposure.min_share - 1e-12)
    periods = shares.columns
    ever = on.any(axis=1)
    first = np.where(ever, on.argmax(axis=1), -1)
    column = np.arange(len(periods))[None, :]
    since = ever[:, None] & (column >= first[:, None])
    after_exit = since & (np.cumsum(since & ~on, axis=1) > 0)
    treated = on if exposure.on_exit == "switching" else since
    n, t = values.shape
    cohort = pd.array([periods[f] if f >= 0 else pd.NaT for f in first], dtype=periods.dtype)
    first_share = np.where(ever, values[np.arange(n), np.maximum(first, 0)], np.nan)
    return pd.DataFrame(
        {
            shares.index.name: np.repeat(shares.index.to_numpy(), t),
            "period": np.tile(periods.to_numpy(), n),
            "exposure_share": values.ravel(),
            "treated": treated.ravel(),
            "cohort": cohort.repeat(t),
            "first_share": np.repeat(first_share, t),
            "after_exit": after_exit.ravel(),
        }
    ).astype({"period": periods.dtype})


def _merge(days: pd.DataFrame, place: str) -> pd.DataFrame:
    """Union of overlapping or touching intervals within each place."""
    ordered = days.sort_values([place, "start", "end"], kind="mergesort")
    rows: list[list[Any]] = []
    for where, start, end in zip(ordered[place], ordered["start"], ordered["end"]):
        if rows and rows[-1][0] == where and start <= rows[-1][2]:
            rows[-1][2] = max(rows[-1][2], end)
        else:
            rows.append([where, start, end])
    return pd.DataFrame(rows, columns=[place, "start", "end"])


def _ends(spells: pd.DataFrame, exposure: Exposure, horizon: pd.Timestamp) -> pd.Series:
    """End of each spell (exclusive): the dated end, a point of its window, or the horizon when open."""
    high = spells["gone_by"]
    low = (spells["last_listed"].fillna(spells["signed_date"])) + pd.Timedelta(days=1)
    low = low.where(~(low > high), high)  # two lists of one day
    window = {
        "first": low.fillna(high),
        "last": high.fillna(low),
        "midpoint": (low + (high - low) / 2).dt.floor("D").fillna(high).fillna(low),
    }["midpoint" if exposure.end_window == "both" else exposure.end_window]
    is_open = spells["end_precision"].eq("open")
    return spells["ended_date"].fillna(window).where(~is_open, horizon).fillna(horizon)


def _levels(exposure: Exposure) -> tuple[str, ...]:
    return _tuple(exposure.level)


def _tuple(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
