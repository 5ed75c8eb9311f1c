"""Keys, columns, arrangement: what passes the door is known by name, is a number where it must be, and stands in order.

Every reader of who is treated when comes through :func:`admit`: estimators (through
:func:`~g287stats.design.prepare.prepare`) as well as tests that exchange treatments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from g287stats.design.coding import (
    NEVER,
    Arrangement,
    Origin,
    arrange,
    calendar,
    cohorts,
    factorize,
    moves,
    numeric,
)
from g287stats.design.keys import Keys
from g287stats.errors import DesignError, Problems, first_of
from g287stats.flow import Flow, Step
from g287stats.numerics.memory import room
from g287stats.numerics.rows import Rows
from g287stats.words import nearest


@dataclass(frozen=True)
class Admitted:
    """Every row of the frame in order, its columns coded; nothing is dropped yet.

    Attributes
    ----------
    keys
        The frame and its keys.
    placed, origin
        Rows sorted by unit and period, and the way from their integers to the calendar's labels.
    columns
        The columns used, as offered.
    values, complete
        Numbers by row (NaN: missing), and whether each column has no missing one.
    source
        Columns whose numbers are used where they are.
    cohort
        First treated period of each unit, (N,): an integer of the calendar, or ``NEVER``.
    notes
        What was counted on the way.
    """

    keys: Keys
    placed: Arrangement
    origin: Origin
    columns: Mapping[str, pd.Series]
    values: dict[str, np.ndarray]
    complete: Mapping[str, bool]
    source: tuple[pd.Series, ...]
    cohort: np.ndarray
    notes: tuple[str, ...]

    @property
    def rows(self) -> Rows:
        """Unit and period of every row."""
        return self.placed.rows

    @property
    def flow(self) -> Flow:
        """How the rows came here."""
        return self.keys.flow + [Step("found", len(self.keys.frame), kind="found", block="design")]

    def where(self, some: np.ndarray) -> list[str]:
        """Unit and period of some rows, in words."""
        rows, labels, first = self.rows, self.placed.labels, self.placed.first
        return [f"{u} {self.origin.label(first + p)}" for u, p in zip(labels[rows.unit[some]], rows.time[some])]

    def level(self, name: str) -> np.ndarray:
        """Codes of a grouping column in the order of its labels: by unit (N,) when that is at hand, else by row."""
        by_unit = self.placed.by_unit(self.columns[name])
        if by_unit is not None and not np.isnan(by_unit).any():
            return np.unique(by_unit, return_inverse=True)[1]
        return self.placed.by_row(factorize(self.columns[name])[0])


def admit(
    keys: Keys, where: str, *, numbers: Sequence[str] = (), positive: Sequence[str] = (), groups: Sequence[str] = ()
) -> Admitted:
    """Find the columns, read their numbers, sort the rows and read the cohorts; every problem in one message.

    ``numbers`` must be numeric (``positive`` ones among them above zero), ``groups`` may hold anything; ``where`` heads
    the message.
    """
    problems = Problems(where)
    wanted = [keys.unit, keys.time, *numbers, *groups, *([keys.cohort] if keys.cohort else [])]
    columns = _find(keys.frame, dict.fromkeys(wanted), problems)
    offered = {c: numeric(columns[c], c, problems) for c in numbers}
    unit, time = columns[keys.unit], columns[keys.time]
    complete = _check_numbers(offered, positive, unit, time, problems)
    positions, origin = _calendar(keys, unit, time, problems)
    placed = arrange(unit, positions)
    values, source = _floats(placed, offered, columns)
    notes: list[str] = []
    out = Admitted(keys, placed, origin, columns, values, complete, source, np.zeros(0), ())
    rows = placed.rows
    if not rows.complete:
        again = np.r_[False, (rows.unit[1:] == rows.unit[:-1]) & (rows.time[1:] == rows.time[:-1])]
        if again.any():
            problems.add("duplicate unit-periods", dict.fromkeys(out.where(again)), _once(keys))
    cohort = _cohort_of_units(out, problems, notes)
    problems.raise_if_any()
    return replace(out, cohort=cohort, notes=tuple(notes))


def _find(frame: pd.DataFrame, wanted: Mapping[str, None], problems: Problems) -> dict[str, pd.Series]:
    """The columns wanted; absent ones and those that occur twice are raised, for nothing else can be said then."""
    found: dict[Any, pd.Series] = {}
    for name, column in frame.items():
        if name in wanted:
            if name in found:
                problems.add("columns that occur more than once", [name], "df = df.loc[:, ~df.columns.duplicated()]")
            found[name] = column
    absent = [c for c in wanted if c not in found]
    if absent:
        hints = [f"Write {c!r} as {tuple(c.split('^'))!r}." for c in absent if "^" in str(c)]
        near = {c: nearest(str(c), map(str, frame.columns)) for c in absent}
        hints += [f"Did you mean {close!r} for {c!r}?" for c, close in near.items() if close]
        hints.append(f"Columns are {first_of(frame.columns, 15)}")
        problems.add("columns not in the frame", absent, " ".join(hints))
    problems.raise_if_any()
    if frame.empty:
        raise DesignError(f"{problems.where}: the frame has no rows")
    return found


def _check_numbers(
    offered: Mapping[str, np.ndarray], positive: Sequence[str], unit: pd.Series, time: pd.Series, problems: Problems
) -> dict[str, bool]:
    """Record infinite values, and values that are not positive where they must be; whether each column is complete."""
    with np.errstate(invalid="ignore", over="ignore"):
        complete = {
            c: v.dtype.kind != "f" or bool(np.isfinite(v.sum()) or np.isfinite(v).all()) for c, v in offered.items()
        }
    for name, column in offered.items():
        infinite = np.zeros(0, dtype=bool) if complete[name] else np.isinf(column)
        if infinite.any():
            remedy = f"df[{name!r}] = df[{name!r}].replace([np.inf, -np.inf], np.nan)"
            problems.add(f"infinite values in {name!r}", _named(unit, time, infinite), remedy)
    for name in positive:
        if (offered[name] <= 0).any():
            problems.add(f"{name!r} must be positive; it is not at", _named(unit, time, offered[name] <= 0))
    return complete


def _calendar(keys: Keys, unit: pd.Series, time: pd.Series, problems: Problems) -> tuple[np.ndarray, Origin]:
    """Periods as integers; without keys nothing can be put in order, and all problems so far are raised."""
    before = len(problems.lines)
    for name, key in ((keys.unit, unit), (keys.time, time)):
        if key.dtype.kind in "iu" and isinstance(key.dtype, np.dtype):
            continue
        gone = key.isna().to_numpy()
        if gone.any():
            lost = np.flatnonzero(gone).tolist()
            problems.add(f"key {name!r} is missing in rows", lost, f"df = df.dropna(subset=[{name!r}])")
    positions, origin = calendar(time, keys.time, problems)
    if len(problems.lines) > before:
        again = pd.DataFrame({"unit": unit, "time": time}).dropna().duplicated().to_numpy()
        if again.any():
            rows_twice = np.flatnonzero(unit.notna() & time.notna())[again]
            problems.add("duplicate unit-periods", _named(unit, time, rows_twice), _once(keys))
        problems.raise_if_any()
    return positions, origin


def _once(keys: Keys) -> str:
    return f"One row per unit and period: df = df.drop_duplicates([{keys.unit!r}, {keys.time!r}]) or aggregate first"


def _cohort_of_units(seen: Admitted, problems: Problems, notes: list[str]) -> np.ndarray:
    """First treated period of each unit as an integer of the calendar, (N,); it may not move within units."""
    name, placed, rows = seen.keys.cohort, seen.placed, seen.rows
    out = np.full(len(placed.labels), NEVER, dtype=np.int64)
    if name is None:
        return out
    span = (placed.first, placed.first + rows.n_periods - 1)
    column, unit = seen.columns[name], seen.columns[seen.keys.unit]
    by_unit = placed.by_unit(column)
    if by_unit is not None:
        return cohorts(pd.Series(by_unit), name, seen.origin, problems, notes, placed.labels, span)
    by_row = placed.by_row(cohorts(column, name, seen.origin, problems, notes, unit, span))
    moving = np.unique(rows.unit[1:][moves(rows.unit, by_row)])
    if len(moving):
        remedy = "The cohort is the first treated period of the unit and the same in all its rows"
        problems.add(f"cohort {name!r} changes within units", placed.labels[moving], remedy)
    out[rows.unit] = by_row
    return out


def _named(unit: pd.Series, time: pd.Series, rows: np.ndarray) -> list[str]:
    """Unit and period of some rows, in the order of their text."""
    return sorted(f"{u} {t}" for u, t in zip(unit.array[rows], time.array[rows]))


def _floats(
    placed: Arrangement, offered: Mapping[str, np.ndarray], columns: Mapping[str, pd.Series]
) -> tuple[dict[str, np.ndarray], tuple[pd.Series, ...]]:
    """Numbers in the order of the rows, (n,) each, and the columns whose numbers are used where they are.

    Where pandas copies on write it hands out arrays that cannot be written to, and the frame's own memory stays as it
    is as long as the Series lives. Everything else is copied.
    """
    here = [
        name
        for name, v in offered.items()
        if placed.order is None and v.dtype == np.float64 and v.flags.c_contiguous and not v.flags.writeable
    ]
    copied = [name for name in offered if name not in here]
    values = {name: offered[name] for name in here}
    for name, row in zip(copied, room(len(copied), placed.rows.n)):
        row[:] = placed.by_row(offered[name])
        values[name] = row
    return {name: values[name] for name in offered}, tuple(columns[name] for name in here)
