"""Which cells may be used, and why not: one vocabulary of coverage over all producers.

A loader gives, as far as its source allows, the columns of :data:`VOCABULARY`; the panel applies a threshold
with :func:`apply_coverage`, which lists every cell it drops. Improving coverage looks like rising crime: the
column ``coverage`` is an outcome like any other, and whether reporting changes when agreements start is
estimated on it with the same estimator and design as the crime rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import pandas as pd

from g287stats.errors import CoverageError, DesignError, Problems

OnLowCoverage = Literal["error", "drop", "keep"]

VOCABULARY = (
    "agencies_expected", "agencies_reporting", "months_reported", "covered_population", "coverage", "coverage_of",
    "imputed", "break_in_series", "doubt",
)  # fmt: skip
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

    ``kept`` is the frame that goes on (all rows under ``"keep"``); ``low`` has one row a cell below the
    threshold: county_fips, name, the period, the coverage, reason, action (dropped, kept).
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
    unit: str = "county_fips",
    time: str = "year",
    names: Mapping[str, str] | None = None,
    what: str = "of the county's agencies reported",
) -> CoverageResult:
    """Hold every county-period against the coverage a design asks for. ``frame`` is not changed.

    A cell is low when the share in column ``coverage`` is below ``min_coverage`` or unknown. ``"error"`` raises
    :class:`CoverageError` naming the cells, ``"drop"`` removes and lists them, ``"keep"`` lists them only.
    ``min_coverage=None`` asks for nothing: every row is kept and nothing is listed. ``names`` maps county
    codes to names for messages; ``what`` is what the share is a share of, unless a column ``coverage_of`` says it
    cell by cell.
    """
    if on_low_coverage not in ("error", "drop", "keep"):
        raise DesignError(f"on_low_coverage={on_low_coverage!r}; it is one of 'error', 'drop', 'keep'")
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
    low["action"] = "dropped" if on_low_coverage == "drop" else "kept"
    low = low.sort_values([unit, time], ignore_index=True)
    if on_low_coverage == "error" and len(low):
        raise CoverageError(_message(low, coverage, unit, time, min_coverage))
    kept = frame[~below].copy() if on_low_coverage == "drop" else frame.copy()
    return CoverageResult(kept, low)


_WORDS = {"months": "of the county's agencies reported", "residents": "of the county's residents are covered"}


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
    remedy = f"Use min_coverage={lowest:g}, or drop" if lowest > 0 else "Drop"
    if len(low) == 1:
        return f'{cells[0]}; the design asks for {asked}. {remedy} it: on_low_coverage="drop".'
    more = f"\n  … {len(low) - 8} more" if len(low) > 8 else ""
    listed = "".join(f"\n  {c}" for c in cells[:8])
    return (
        f"{len(low)} county-periods are below the coverage the design asks for ({asked}):{listed}{more}\n"
        f'{remedy} them: on_low_coverage="drop".'
    )


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
