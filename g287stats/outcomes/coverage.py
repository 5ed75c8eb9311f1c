"""Which cells may be used, and why not: one vocabulary of coverage over all producers.

A loader gives, as far as its source allows, the columns of :data:`VOCABULARY`; the panel applies a threshold
with :func:`apply_coverage`, which lists every cell it drops. Improving coverage looks like rising crime: the
column ``coverage`` is an outcome like any other, and whether reporting changes when agreements start is
estimated on it with the same estimator and design as the crime rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from g287stats.errors import CoverageError, DesignError, Problems, choose
from g287stats.flow import Step

OnLowCoverage = Literal["missing", "error", "drop", "keep"]

VOCABULARY = (
    "agencies_expected",
    "agencies_reporting",
    "months_reported",
    "covered_population",
    "coverage",
    "coverage_of",
    "imputed",
    "break_in_series",
    "doubt",
)
"""The columns of coverage; ``data/fields.json`` says what each is."""

BREAKS: tuple[tuple[str, int, str], ...] = (
    ("nacjd", 1994, "imputation algorithm and coverage indicator replaced; not comparable with 1993 and before"),
    ("fbi", 2013, "rape: revised definition; agencies change over in 2013–2016"),
    ("fbi", 2017, "rape: revised definition only"),
    ("fbi", 2021, "summary reporting replaced by incident reporting (NIBRS); many agencies absent"),
)
"""Breaks known by producer family: (family, first year after the break, what changed)."""


class CoverageResult(NamedTuple):
    """Frame after the coverage rule, and every cell that fell below it.

    ``kept`` is the frame that goes on (all rows but under ``"drop"``); ``low`` has one row a cell below the
    threshold: county_fips, name, the period, the coverage, reason, action (set missing, dropped, kept).
    """

    kept: pd.DataFrame
    low: pd.DataFrame

    def summary(self) -> pd.DataFrame:
        """Number of low cells by reason and action."""
        short = self.low.assign(reason=self.low["reason"].str.replace(r"^[\d.]+ % ", "", regex=True))
        return short.groupby(["reason", "action"], as_index=False).size().rename(columns={"size": "cells"})


def apply_coverage(
    frame: pd.DataFrame,
    coverage: str,
    min_coverage: float | None,
    on_low_coverage: OnLowCoverage = "error",
    *,
    counts: Iterable[str] = (),
    unit: str = "county_fips",
    time: str = "year",
    names: Mapping[str, str] | None = None,
    what: str = "of the county's agencies reported",
) -> CoverageResult:
    """Hold every county-period against the coverage a design asks for. ``frame`` is not changed.

    A cell is low when the share in column ``coverage`` is below ``min_coverage`` or unknown: its counts are those of a
    part of the county. ``"missing"`` sets the columns ``counts`` missing and lists the cells, ``"error"`` raises
    :class:`CoverageError` naming them, ``"drop"`` removes and lists them, ``"keep"`` lists them only.
    ``min_coverage=None`` asks for nothing: every row is kept and nothing is listed. ``names`` maps county
    codes to names for messages; ``what`` is what the share is a share of, unless a column ``coverage_of`` says it
    cell by cell.
    """
    choose("on_low_coverage", on_low_coverage, ("missing", "error", "drop", "keep"))
    if on_low_coverage == "missing" and not (counts := list(counts)):
        raise DesignError('on_low_coverage="missing": name the columns to set missing, counts=["violent", …]')
    absent = [c for c in (unit, time, coverage) if c not in frame.columns]
    if absent:
        raise DesignError(f"coverage rule: columns {absent} are not in the frame")
    if min_coverage is None:
        empty = pd.DataFrame(columns=[unit, "name", time, coverage, "reason", "action"])
        return CoverageResult(frame.copy(), empty)
    if not 0 <= min_coverage <= 1:
        raise DesignError(f"min_coverage={min_coverage}; it is a share between 0 and 1")
    share = frame[coverage].astype("float64")
    outside = share.notna() & ((share < 0) | (share > 1 + 1e-9))
    if outside.any():
        cells = (frame[unit].astype(str) + " " + frame[time].astype(str))[outside] + f": {coverage} "
        problems = Problems("coverage rule")
        problems.add(f"{coverage} is not a share between 0 and 1", cells + share[outside].astype(str))
        problems.raise_if_any(DesignError)
    below = (share < min_coverage) | share.isna()
    low = frame.loc[below, [unit, time, coverage]].copy()
    low.insert(1, "name", [(names or {}).get(u, "") for u in low[unit]])
    low["reason"] = _reasons(frame.loc[below], share[below], what)
    low["action"] = {"missing": "set missing", "drop": "dropped"}.get(on_low_coverage, "kept")
    low = low.sort_values([unit, time], ignore_index=True)
    if on_low_coverage == "error" and len(low):
        raise CoverageError(_message(low, coverage, unit, time, min_coverage))
    kept = frame[~below].copy() if on_low_coverage == "drop" else frame.copy()
    if on_low_coverage == "missing":
        kept[list(counts)] = kept[list(counts)].mask(below)
    return CoverageResult(kept, low)


def kept_message(low: pd.DataFrame, min_coverage: float, unit: str = "county_fips", time: str = "year") -> str:
    """Name the counties whose rates are those of a part of them, every one of them once."""
    spans = low.groupby([unit, "name"])[time].agg(lambda t: ", ".join(map(str, t)))
    named = [f"{code} {name}: {when}".replace("  ", " ") for (code, name), when in spans.items()]
    more = f"; … {len(named) - 12} more counties, all in the flow" if len(named) > 12 else ""
    return (
        f"{len(low)} county-periods under {100 * min_coverage:g} % coverage are kept, so that crime of the police who "
        f"did not report counts as none: {'; '.join(named[:12])}{more}"
    )


_WORDS = {
    "agencies": "of the county's agencies count",
    "months": "of the county's agencies reported",
    "residents": "of the county's residents are covered",
}


def _reasons(rows: pd.DataFrame, share: pd.Series, what: str) -> list[str]:
    doubt = rows["doubt"].fillna("").astype(str) if "doubt" in rows else pd.Series("", index=rows.index)
    words = rows["coverage_of"].map(_WORDS).fillna(what) if "coverage_of" in rows else pd.Series(what, index=rows.index)
    out = []
    for value, why, text in zip(share, doubt, words, strict=True):
        if math.isnan(value):
            out.append("coverage unknown")
        elif value == 0:
            out.append(f"nothing reported{f' ({why})' if why else ''}")
        else:
            out.append(f"{100 * value:.1f} % {text}")
    return out


def _message(low: pd.DataFrame, coverage: str, unit: str, time: str, min_coverage: float) -> str:
    """Say it in the words of the design: which cells, how far below, what to type next."""
    asked = f"{100 * min_coverage:g} %"
    name = low["name"].str.replace(r" (County|Parish)$", "", regex=True)
    cells = [
        " ".join(filter(None, (str(u), n, str(t)))) + f": {why}"
        for u, n, t, why in zip(low[unit], name, low[time], low["reason"], strict=True)
    ]
    known = low[coverage].dropna().astype("float64")
    lowest = math.floor(10 * float(known.min())) / 10 if len(known) == len(low) else 0.0
    remedy = f"Use min_coverage={lowest:g}, or set" if lowest > 0 else "Set"
    if len(low) == 1:
        return f'{cells[0]}; the design asks for {asked}. {remedy} it missing: on_low_coverage="missing".'
    more = f"\n  … {len(low) - 8} more" if len(low) > 8 else ""
    listed = "".join(f"\n  {c}" for c in cells[:8])
    return (
        f"{len(low)} county-periods are below the coverage the design asks for ({asked}):{listed}{more}\n"
        f'{remedy} them missing: on_low_coverage="missing".'
    )


def doubt(
    history: pd.DataFrame,
    counts: Iterable[str] = ("property", "violent_ex_rape"),
    *,
    of: pd.DataFrame | None = None,
    below: float = 0.1,
    least: float = 100.0,
    unit: str = "county_fips",
    time: str = "year",
) -> pd.Series:
    """Say which county-periods report far below their own history; empty text elsewhere.

    A figure is doubtful when it is under ``below`` of the county's own median over all periods of ``history`` that have
    one, where that median is at least ``least``: a fall by nine tenths of a hundred or more offences is how a report
    that was cut short looks. Nothing is changed; a count may be true.

    After Targonski, J. (2011), A Comparison of Imputation Methodologies in the Offenses-Known Uniform Crime Reports,
    who judges outliers against the agency's own series, and Kaplan, J., Uniform Crime Reporting Program Data: A
    Practitioner's Guide, on implausibly low counts of agencies that report; both cited from general knowledge, the
    numbers ``below`` and ``least`` are ours.

    ``of``: rows to answer for (default ``history``), matched on ``unit`` and ``time``.
    """
    rows = history if of is None else of
    said = pd.Series("", index=rows.index, dtype=object)
    for name in counts:
        value = history.set_index([unit, time])[name].astype("float64")
        usual = value.groupby(level=0).median()
        here = value.reindex(pd.MultiIndex.from_frame(rows[[unit, time]])).to_numpy()
        own = usual.reindex(rows[unit]).to_numpy()
        low = (here < below * own) & (own >= least)
        for at in np.flatnonzero(low):
            text = f"{name} {here[at]:g} is under {below:g} of the county's median {own[at]:g}"
            said.iloc[at] = "; ".join(filter(None, (said.iloc[at], text)))
    return said


def doubt_step(rows: pd.DataFrame, time: str = "year") -> Step:
    """Return the step of a flow that counts and lists doubtful cells."""
    listing = tuple(f"{c} {t}: {why}" for c, t, why in zip(rows["county_fips"], rows[time], rows["doubt"]))
    return Step("county-periods in doubt", len(rows), "far below their own history", listing, "noted")


def coverage_by_period(frame: pd.DataFrame, *, time: str = "year", coverage: str = "coverage") -> pd.DataFrame:
    """Describe coverage period by period: cells, cells without any report, mean, and share at least 0.8 / 0.95.

    A rising mean is a warning: it imitates rising crime.
    """
    share = frame[coverage].astype("float64")
    table = pd.DataFrame(
        {
            time: frame[time],
            "cells": 1,
            "no_report": (share == 0) | share.isna(),
            "mean": share,
            "at_least_80": (share >= 0.8).astype(float),
            "at_least_95": (share >= 0.95).astype(float),
        }
    )
    return table.groupby(time, as_index=False).agg(
        cells=("cells", "sum"),
        no_report=("no_report", "sum"),
        mean_coverage=("mean", "mean"),
        at_least_80=("at_least_80", "mean"),
        at_least_95=("at_least_95", "mean"),
    )


def break_labels(family: str, years: pd.Series) -> pd.Series:
    """Label the first year after each known break of a producer family; other years are empty text."""
    known = {year: text for name, year, text in BREAKS if name == family}
    return years.map(known).fillna("").astype(object)
