"""From columns to numbers: labels become codes in sorted order, calendars integers that count periods by ones.

Problems are collected, not raised; :func:`~g287stats.design.prepare.prepare` tells all of a frame at once.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from g287stats.errors import DesignError, Problems
from g287stats.numerics.rows import Rows

NEVER = np.iinfo(np.int64).max
"""Cohort code of units that are never treated."""


@dataclass(frozen=True)
class Origin:
    """How a time label maps to an integer: plain integers, or ordinals of a Period frequency."""

    freq: str | None

    def label(self, position: int) -> Any:
        """Label of an integer on the calendar."""
        return int(position) if self.freq is None else pd.Period(ordinal=int(position), freq=self.freq)

    def index(self, first: int, n_periods: int, name: str) -> pd.Index:
        """Labels of ``n_periods`` consecutive integers from ``first`` on."""
        if self.freq is None:
            return pd.Index(np.arange(first, first + n_periods), name=name)
        return pd.Index([self.label(first + p) for p in range(n_periods)], name=name)


@dataclass(frozen=True)
class Arrangement:
    """Rows sorted by unit and period.

    ``rows`` has their codes, ``labels`` the units' names, ``first`` the first period on the calendar; ``order`` is the
    order of the offered rows, None when they come sorted.
    """

    rows: Rows
    labels: pd.Index
    first: int
    order: np.ndarray | None

    def by_row(self, values: np.ndarray) -> np.ndarray:
        """Values by offered row, sorted."""
        return values if self.order is None else values[self.order]

    def by_unit(self, column: pd.Series) -> np.ndarray | None:
        """A numeric column of a complete panel offered in order, by unit (N,), or None when it moves within units."""
        if not self.rows.complete or self.order is not None or not _plain(column):
            return None
        values = column.to_numpy()
        moving = values[1:] != values[:-1]
        moving[self.rows.n_periods - 1 :: self.rows.n_periods] = False  # from one unit to the next
        if moving.any() and not (np.isnan(values[1:]) & np.isnan(values[:-1]))[moving].all():
            return None
        return values[:: self.rows.n_periods].copy()


def arrange(unit: pd.Series, positions: np.ndarray) -> Arrangement:
    """Code the units and sort the rows; ``positions`` are periods on the calendar, (n,)."""
    n_periods = _in_order(unit, positions)
    if n_periods:
        labels = pd.Index(unit.to_numpy()[::n_periods].copy(), name=unit.name)
        return Arrangement(Rows(len(labels), n_periods), labels, int(positions[0]), None)
    codes, found = factorize(unit)
    order = _sorting(codes, positions)
    first, last = int(positions.min()), int(positions.max())
    if order is not None:
        codes, positions = codes[order], positions[order]
    rows = Rows(len(found), last - first + 1, codes, positions - first)
    return Arrangement(rows, found.rename(unit.name), first, order)


def _in_order(unit: pd.Series, positions: np.ndarray) -> int:
    """Number of periods T when rows are every integer unit in the same T consecutive periods, sorted; otherwise 0."""
    if unit.dtype.kind not in "iu" or not isinstance(unit.dtype, np.dtype):
        return 0
    values = unit.to_numpy()
    length = int(np.searchsorted(values, values[0], side="right"))
    if length < 1 or len(values) % length:
        return 0
    heads, tails = values[::length], values[length - 1 :: length]
    if not (values[1:] >= values[:-1]).all() or not (heads == tails).all() or not (heads[1:] > tails[:-1]).all():
        return 0
    first = positions[:length]
    if not (first == first[0] + np.arange(length)).all():
        return 0
    return length if (positions[length:] == positions[:-length]).all() else 0


def factorize(column: pd.Series) -> tuple[np.ndarray, pd.Index]:
    """Codes of a column in the sorted order of its labels (missing: −1), and the labels."""
    if _plain(column) and column.dtype.kind in "iu":
        values = column.to_numpy()
        new = values[1:] != values[:-1]
        heads = np.r_[0, np.flatnonzero(new) + 1]
        if len(heads) <= len(values) // 2:  # runs of equal values: code the runs
            found, run_codes = np.unique(values[heads], return_inverse=True)
            return np.repeat(run_codes, np.diff(np.r_[heads, len(values)])), pd.Index(found)
    codes, labels = pd.factorize(column, sort=True)
    return codes.astype(np.int64, copy=False), pd.Index(labels)


def _plain(column: pd.Series) -> bool:
    return isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf"


def _sorting(unit: np.ndarray, time: np.ndarray) -> np.ndarray | None:
    """Row order by unit and time, or None when the rows are in it."""
    if ((unit[1:] > unit[:-1]) | ((unit[1:] == unit[:-1]) & (time[1:] >= time[:-1]))).all():
        return None
    return np.lexsort((time, unit))


def dense(codes: np.ndarray) -> np.ndarray:
    """Renumber codes 0 … in their order, leaving no number unused."""
    size = int(codes.max()) + 1
    if size > 4 * len(codes) + 1_000:
        return np.unique(codes, return_inverse=True)[1].reshape(-1)
    used = np.bincount(codes, minlength=size) > 0
    return codes if used.all() else (np.cumsum(used) - 1)[codes]


def moves(unit: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Whether a variable changes from the row before within the same unit (rows sorted by unit): (n − 1,)."""
    return (values[1:] != values[:-1]) & (unit[1:] == unit[:-1])


def constant_within(inner: np.ndarray, outer: np.ndarray, look: int = 2048) -> bool:
    """Whether ``inner`` takes one value within each level of ``outer``; the first rows usually tell."""
    value = np.zeros(int(outer.max()) + 1, dtype=inner.dtype)
    for rows in (slice(look), slice(None)):
        value[outer[rows]] = inner[rows]
        if not (value[outer[rows]] == inner[rows]).all():
            return False
    return True


def several(argument: str, given: Any) -> tuple[Any, ...]:
    """The column names of an argument that takes several; a bare text is an error that says how to write it."""
    if isinstance(given, str):
        raise DesignError(f"{argument}={given!r} takes a list of columns: {argument}=[{given!r}]")
    return tuple(given)


def whole(argument: str, given: Any, least: int) -> int:
    """A count given as an argument: a whole number (numpy's too) of ``least`` or more."""
    if not _is_whole(given) or given < least:
        raise DesignError(f"{argument}={given!r}: give a whole number, {least} or more")
    return int(given)


def reference_times(given: Any) -> tuple[int, ...]:
    """Reference event times: one whole number or several, numpy's too, each once."""
    times = tuple(given) if np.ndim(given) else (given,)
    if not all(_is_whole(e) for e in times):
        raise DesignError(f"reference={given!r}: give an event time or several, whole numbers: reference=(-1, -4)")
    return tuple(dict.fromkeys(int(e) for e in times))


def event_window(given: Any) -> tuple[int, int] | None:
    """First and last event time, or None where all are wanted."""
    return None if given is None else window_pair(given)


def window_pair(given: Any) -> tuple[int, int]:
    """First and last event time, whole numbers (numpy's too)."""
    pair = tuple(given) if np.ndim(given) == 1 else ()
    if len(pair) != 2 or not all(_is_whole(e) for e in pair):
        raise DesignError(f"window={given!r}: give the first and the last event time, whole numbers: window=(-4, 4)")
    low, high = (int(e) for e in pair)
    if low > high:
        raise DesignError(f"window={(low, high)}: the first event time comes after the last")
    return low, high


def _is_whole(given: Any) -> bool:
    return isinstance(given, Integral) and not isinstance(given, bool)


def numeric(column: pd.Series, name: str, problems: Problems) -> np.ndarray:
    """Return the column as numbers with NaN for missing, perhaps a view; non-numeric cells are a problem."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return column.to_numpy()
    if column.dtype.kind in "biuf":
        return column.to_numpy(dtype=float, na_value=np.nan)
    if column.dtype.kind in "mMc":
        problems.add(f"{name!r} is not numeric but {column.dtype}")
        return np.full(len(column), np.nan)
    converted = pd.to_numeric(column, errors="coerce")
    bad = converted.isna() & column.notna()
    if bad.any():
        problems.add(f"{name!r} is not numeric", [repr(v) for v in column[bad].unique()])
    return converted.to_numpy(dtype=float, na_value=np.nan)


def calendar(column: pd.Series, name: str, problems: Problems) -> tuple[np.ndarray, Origin]:
    """Return integer positions that count periods by ones, and the way back to labels."""
    column = _unwrapped(column)
    if column.dtype == object:
        known = column.dropna()
        if len(known) and all(isinstance(v, pd.Period) for v in known):
            kinds = known.map(lambda p: p.freqstr).value_counts().index.tolist()
            if len(kinds) > 1:
                remedy = f"One frequency for all: df[{name!r}] = df[{name!r}].map(lambda p: p.asfreq({kinds[0]!r}))"
                problems.add(f"{name!r} mixes Periods of several frequencies", kinds, remedy)
                return np.zeros(len(column), dtype=np.int64), Origin(None)
            column = column.astype(pd.PeriodDtype(kinds[0]))
    if isinstance(column.dtype, pd.PeriodDtype):
        freq = pd.PeriodIndex(column.array).freqstr
        ordinal = np.asarray(column.array.asi8, dtype=np.int64)
        _sparse(ordinal if column.notna().all() else ordinal[column.notna().to_numpy()], name, freq, problems)
        return ordinal, Origin(freq)
    if column.dtype.kind == "M":
        remedy = f'df[{name!r}] = df[{name!r}].dt.to_period("M")  (or "Q", "Y")'
        problems.add(f"{name!r} holds dates, which do not say their frequency", (), remedy)
        return np.zeros(len(column), dtype=np.int64), Origin(None)
    if _plain(column) and column.dtype.kind in "iu":
        whole = column.to_numpy().astype(np.int64, copy=False)
    else:
        number = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        known = column.notna().to_numpy()  # a missing key is told by prepare
        bad = known & (~np.isfinite(number) | (number != np.round(number)))
        if bad.any():
            remedy = "Time is an integer that counts periods (a year), or a pandas Period"
            problems.add(f"{name!r} is not a calendar", column[bad].astype(str).unique(), remedy)
        if bad.any() or not known.all():
            return np.zeros(len(column), dtype=np.int64), Origin(None)
        whole = number.astype(np.int64)
    stamp = _digits_of_a_date(whole)
    if stamp:
        written, counted = ("%Y%m", "201301 - 201212 would count as 89 months")
        if stamp == "YYYYMMDD":
            written, counted = ("%Y%m%d", "20130101 - 20121231 would count as 8,870 days")
        remedy = f'df[{name!r}] = pd.to_datetime(df[{name!r}].astype(str), format="{written}").dt.to_period("M")'
        problems.add(f"{name!r} looks like {stamp}, where {counted}", (), remedy)
    else:
        _sparse(whole, name, None, problems)
    return whole, Origin(None)


def _unwrapped(column: pd.Series) -> pd.Series:
    """A categorical of Periods, dates or objects as what it holds; any other column as it is."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        held = column.cat.categories.dtype
        if isinstance(held, pd.PeriodDtype) or held.kind in "OM":
            return column.astype(held)
    return column


def _digits_of_a_date(whole: np.ndarray) -> str | None:
    """``YYYYMM`` or ``YYYYMMDD`` when every number can be read so and none is a year."""
    if not len(whole) or whole.min() <= 9999:
        return None
    if whole.max() < 999999:
        return "YYYYMM" if ((whole % 100 >= 1) & (whole % 100 <= 12)).all() else None
    if whole.min() < 10_000_000 or whole.max() > 99_991_231:
        return None
    month, day = whole // 100 % 100, whole % 100
    return "YYYYMMDD" if ((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all() else None


def _sparse(positions: np.ndarray, name: str, freq: str | None, problems: Problems) -> None:
    """Refuse a calendar with over a hundred empty periods for each one that has rows: it counts something finer."""
    span = int(positions.max()) - int(positions.min()) + 1 if len(positions) else 0
    if span <= 1000:
        return
    distinct = len(np.unique(positions))
    if span > 100 * distinct:
        what = "an integer that counts periods by ones (a year), or a pandas Period"
        if freq is not None:
            coarser = f'df[{name!r}] = df[{name!r}].map(lambda p: p.asfreq("Y"))'
            what = f'of the frequency of the data: {coarser}  (or "Q", "M")'
        unit = "" if freq is None else f" ({freq})"
        problems.add(f"{name!r} has rows in {distinct:,} of the {span:,} periods{unit} it spans", (), f"Time is {what}")


def cohorts(
    column: pd.Series,
    name: str,
    origin: Origin,
    problems: Problems,
    notes: list[str],
    units: pd.Index | pd.Series,
    span: tuple[int, int],
) -> np.ndarray:
    """Return each row's cohort as a calendar integer, :data:`NEVER` where missing (or 0, or infinite).

    ``span`` is the first and last integer of the calendar: 0 is a period when it lies between them.
    """
    column = _unwrapped(column)
    if origin.freq is not None:
        return _cohort_periods(column, name, origin.freq, column.isna().to_numpy(), problems, notes)
    dated = _dated(column)
    if dated:
        year = f'df[{name!r}].map(lambda p: p.year, na_action="ignore")'
        if column.dtype != object:
            year = f"df[{name!r}].dt.year.where(df[{name!r}].notna())"
        remedy = f"Where time is a year: df[{name!r}] = {year}; else make time a Period of that frequency"
        problems.add(f"cohort {name!r} is a {dated} but time is a number", (), remedy)
        return np.full(len(column), NEVER, dtype=np.int64)
    if _plain(column):
        number = column.to_numpy().astype(float)
        missing = np.isnan(number)
    else:
        missing = column.isna().to_numpy()
        number = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    bad = np.isnan(number) & ~missing
    if bad.any():
        problems.add(f"cohort {name!r} is not numeric", [repr(v) for v in column[bad].unique()])
    zero = number == 0
    if zero.any() and span[0] <= 0 <= span[1]:
        remedy = f"If it means never treated, say so: df[{name!r}] = df[{name!r}].replace(0, np.nan); else shift time"
        problems.add(f"cohort {name!r} is 0, which is a period, in units", units[zero].unique(), remedy)
    for label, coded in (("0", zero), ("infinity", np.isinf(number))):
        if coded.any():
            notes.append(f"cohort coded {label} in {len(units[coded].unique())} units is read as never treated")
            missing = missing | coded
    whole = np.where(missing | bad, 0.0, number)
    fraction = whole != np.round(whole)
    if fraction.any():
        problems.add(f"cohort {name!r} is not a whole period", column[fraction].unique())
    return np.where(missing | bad, NEVER, whole.astype(np.int64))


def _dated(column: pd.Series) -> str | None:
    """``Period`` or ``date`` when the column holds such, whatever its dtype."""
    if _plain(column) or column.isna().all():
        return None
    if isinstance(column.dtype, pd.PeriodDtype):
        return "Period"
    if column.dtype.kind == "M" or (isinstance(column.dtype, pd.ArrowDtype) and "date" in str(column.dtype)):
        return "date"
    if column.dtype != object:
        return None
    first = next((v for v in column if isinstance(v, (pd.Period, datetime.date)) and not pd.isna(v)), None)
    return None if first is None else "Period" if isinstance(first, pd.Period) else "date"


def _cohort_periods(
    column: pd.Series, name: str, freq: str, missing: np.ndarray, problems: Problems, notes: list[str]
) -> np.ndarray:
    """Cohorts on a calendar of periods; one at another frequency would have to be re-dated and is a problem."""
    out = np.full(len(column), NEVER, dtype=np.int64)
    present = column[~missing]
    if not len(present):
        return out
    if present.dtype.kind in "iuf" or any(isinstance(v, (int, float, np.number)) for v in present.unique()):
        problems.add(f"cohort {name!r} is a number but time is a Period", (), "Give the cohort as Period too")
        return out
    given = [p for p in _as_periods(present.unique()) if p.freqstr != freq]
    coarse = [p for p in given if p.asfreq(freq, "start") != p.asfreq(freq, "end")]
    if coarse:
        remedy = f'Say which one is meant: df[{name!r}] = df[{name!r}].dt.asfreq({freq!r}, how="start")'
        problems.add(f"cohort {name!r} spans several periods of time ({freq})", coarse, remedy)
        return out
    if given:
        kinds = ", ".join(sorted({p.freqstr for p in given}))
        notes.append(f"cohort {name!r} of frequency {kinds} is read as the period ({freq}) that contains it")
    try:
        out[~missing] = pd.PeriodIndex(present, freq=freq).asi8
    except (ValueError, TypeError, pd.errors.ParserError) as error:
        problems.add(f"cohort {name!r} cannot be read at frequency {freq}: {error}")
    return out


def _as_periods(values: Any) -> list[pd.Period]:
    """Periods among the values, and texts read at the frequency they are written in; dates have none."""
    out = []
    for v in values:
        if isinstance(v, pd.Period):
            out.append(v)
        elif isinstance(v, str):
            try:
                out.append(pd.Period(v))
            except ValueError:
                continue
    return out
