"""Labels, never positions: one reader for every argument that is a Series, a mask, a frame, a day or a span of years.

Two tables that belong together are joined by what their rows are called. A Series or frame that does not carry the
labels of the rows it is meant for is refused, with labels of both sides; a bare array has no labels and counts by
position, so its length must be right.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from g287stats.errors import DesignError, G287Error, Problems

ISO = 'write it as "2012-06-30" (year, month, day)'


# ---- rows ------------------------------------------------------------------------------------------------------------
def aligned(values: Any, index: pd.Index, what: str, kind: type[G287Error] = DesignError) -> pd.Series:
    """Return ``values`` in the order of ``index``.

    Parameters
    ----------
    values
        A Series with the labels of ``index`` in any order (further labels are left), or an array or list with one
        value a row.
    index
        Labels of the rows the values are meant for.
    what
        How the argument is called, for messages: ``"domain="``.
    kind
        Error class to raise.

    Raises
    ------
    DesignError
        Rows without a label in the Series, labels that repeat in another order than the rows', a wrong length.

    Examples
    --------
    >>> aligned(pd.Series([1, 2], index=["b", "a"]), pd.Index(["a", "b"]), "weights=").tolist()
    [2, 1]
    """
    if isinstance(values, pd.DataFrame):
        raise kind(f"{what} is a DataFrame; give one of its columns: {list(map(str, values.columns[:8]))}")
    if not isinstance(values, pd.Series):
        array = np.asarray(values, dtype=None if isinstance(values, np.ndarray) else object)
        if array.ndim != 1 or len(array) != len(index):
            shape = "×".join(map(str, array.shape)) or "one"
            raise kind(f"{what} has {shape} values for {len(index)} rows; give one a row, or a Series with their index")
        return pd.Series(array, index=index).infer_objects()
    if values.index.equals(index):
        return values
    if not values.index.is_unique or not index.is_unique:
        raise kind(
            f"{what}: the index is not the rows' own and labels repeat, so that it cannot be put in order. "
            "Compute it from the same frame, or df.reset_index(drop=True) before both"
        )
    lost = index.difference(values.index, sort=False)
    if len(lost):
        raise kind(
            f"{what}: {len(lost)} of {len(index)} rows have no value under their label: {_some(lost)}; the Series has "
            f"{_some(values.index)}. Give it the index of the rows"
        )
    return values.reindex(index)


def mask(values: Any, index: pd.Index, what: str, kind: type[G287Error] = DesignError) -> np.ndarray:
    """Return a true/false argument as an array in the order of ``index``, read like :func:`aligned`.

    Raises
    ------
    DesignError
        Missing values, or values other than true and false (0 and 1 are read as these).
    """
    series = aligned(values, index, what, kind)
    gone = series.isna()
    if gone.any():
        raise kind(f"{what}: {int(gone.sum())} of {len(series)} are missing; say .fillna(False) where that is meant")
    if series.dtype.name not in ("bool", "boolean") and not series.isin([0, 1]).all():
        other = series[~series.isin([0, 1])].unique()
        raise kind(f"{what} must be true or false; found {_some(other)}")
    return series.to_numpy(dtype=bool)


def _some(items: Iterable[Any], n: int = 3) -> str:
    listed = list(items)
    return ", ".join(repr(i) for i in listed[:n]) + (", …" if len(listed) > n else "")


# ---- counties and periods as keys ------------------------------------------------------------------------------------
def county_codes(values: Sequence[Any] | pd.Series | pd.Index, what: str = "county codes") -> pd.Series:
    """Return county FIPS codes as 5-character text, from text, padded or not, from integers or from whole floats.

    Missing stays missing. Raises :class:`DesignError` listing every value that is no code.

    >>> county_codes([1001, "37119", 6037.0]).tolist()
    ['01001', '37119', '06037']
    """
    given = pd.Series(values).reset_index(drop=True)
    read = {v: _county_code(v) for v in pd.unique(given[given.notna()])}
    bad = [repr(v) for v, code in read.items() if code is None]
    problems = Problems(what)
    if bad:
        problems.add("not a county FIPS code", sorted(bad), 'A code is state and county, "37119" or 37119')
    problems.raise_if_any()
    return given.map(read).astype(object).where(given.notna(), None)


def _county_code(value: Any) -> str | None:
    if isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, (int, np.integer, float, np.floating)):
        if not math.isfinite(value) or value != int(value):
            return None
        value = str(int(value))
    text = re.sub(r"\.0+$", "", str(value).strip())
    return text.zfill(5) if re.fullmatch(r"\d{4,5}", text) else None


def periods(values: Sequence[Any] | pd.Series | pd.Index, freq: str, what: str = "periods") -> pd.Series:
    """Return periods of one frequency: years as integers, quarters and months as ``Period``.

    Reads integers, whole floats, text (``"2010"``, ``"2010-05"``, ``"2010Q2"``), ``Period`` and timestamps. A finer
    value than asked for is refused, a coarser one too: neither is the period meant.

    >>> periods(["2010", 2011.0], "Y").tolist()
    [2010, 2011]
    """
    given = pd.Series(values).reset_index(drop=True)
    read = {v: _period(v, freq) for v in pd.unique(given[given.notna()])}
    bad = [repr(v) for v, p in read.items() if p is None]
    problems = Problems(what)
    if bad:
        example = {"Y": "2010", "Q": '"2010Q2"', "M": '"2010-05"'}[freq]
        problems.add(f"not a {_WORD[freq]}", sorted(bad), f"Give {example}")
    problems.raise_if_any()
    found = given.map(read)
    return found.astype("Int64" if freq == "Y" else f"period[{freq}]")


_WORD = {"Y": "year", "Q": "quarter", "M": "month"}
_SHAPE = {"Y": r"\d{4}(\.0+)?", "Q": r"\d{4}-?[Qq][1-4]", "M": r"\d{4}-\d{1,2}"}


def _period(value: Any, freq: str) -> Any:
    if isinstance(value, pd.Period):
        if value.freqstr[0] != freq:
            return None
        return value.year if freq == "Y" else value
    if isinstance(value, (dt.date, np.datetime64)):
        stamp = pd.Timestamp(value)
        first = stamp == pd.Period(stamp, freq=freq).start_time
        return (stamp.year if freq == "Y" else pd.Period(stamp, freq=freq)) if first else None
    if isinstance(value, (bool, np.bool_)):
        return None
    text = str(value).strip()
    if not re.fullmatch(_SHAPE[freq], text):
        return None
    if freq == "Y":
        return int(float(text))
    try:
        return pd.Period(text, freq=freq)
    except ValueError:
        return None


# ---- days and spans of years -----------------------------------------------------------------------------------------
def day(value: Any, what: str = "date") -> pd.Timestamp:
    """Return a day, from ``"2012-06-30"``, a date, a timestamp or a daily ``Period``; the time of day is dropped.

    Raises
    ------
    DesignError
        A number (a year is no day), nothing, a day that does not exist, a month, and text that could be two days
        (``03/04/2025``): says what was read and what to type.

    Examples
    --------
    >>> day("2012-06-30").date().isoformat()
    '2012-06-30'
    """
    return moment(value, what).normalize()


def moment(value: Any, what: str = "date") -> pd.Timestamp:
    """Return a day read like :func:`day`, with its time of day where one is given (``"2025-08-28 09:30"``)."""
    if isinstance(value, (dt.date, np.datetime64)) and not pd.isna(value):
        return pd.Timestamp(value).tz_localize(None)
    if isinstance(value, pd.Period) and value.freqstr == "D":
        return value.start_time
    if isinstance(value, str):
        return _day_of_text(value.strip(), what)
    if value is None or (np.ndim(value) == 0 and pd.isna(value)):
        raise DesignError(f"{what} is {value!r}, no day; {ISO}")
    if isinstance(value, (int, np.integer, float, np.floating)) and not isinstance(value, bool):
        number = f"{float(value):.15g}"
        hint = ISO
        if re.fullmatch(r"\d{4}", number):
            hint = f'a year has many days: write "{number}-06-30", say'
        elif re.fullmatch(r"(19|20)\d{6}", number):
            hint = f'write it as "{number[:4]}-{number[4:6]}-{number[6:]}"'
        raise DesignError(f"{what} is the number {number}, no day; {hint}")
    raise DesignError(f"{what} is a {type(value).__name__} ({value!r}), no day; {ISO}")


def _day_of_text(text: str, what: str) -> pd.Timestamp:
    whole = re.fullmatch(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d\d)(?::(\d\d))?)?", text)
    if whole:
        return _exists([int(part or 0) for part in whole.groups()], text, what)
    slashed = re.fullmatch(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})", text)
    if slashed:
        a, b, year = (int(part) for part in slashed.groups())
        read = {f"{year}-{m:02d}-{d:02d}" for m, d in ((a, b), (b, a)) if m <= 12 and d <= 31}
        ways = " or ".join(f'"{r}"' for r in sorted(read)) or '"2012-06-30"'
        lead = "may be two days" if len(read) > 1 else "does not say which number is the month"
        raise DesignError(f"{what}={text!r} {lead}; write {ways}")
    if re.fullmatch(r"\d{4}(-\d{1,2})?", text):
        size = "month" if "-" in text else "year"
        raise DesignError(f"{what}={text!r} is a {size}, no day; {ISO}")
    raise DesignError(f"{what}={text!r} is no day this package reads; {ISO}")


def _exists(parts: list[int], text: str, what: str) -> pd.Timestamp:
    try:
        year, month, day, hour, minute, second = (*parts, 0, 0, 0)[:6]
        return pd.Timestamp(dt.datetime(year, month, day, hour, minute, second))
    except ValueError as error:
        raise DesignError(f"{what}={text!r}: there is no such day ({error}); {ISO}") from None


def years(value: Any, what: str = "years") -> tuple[int, int] | list[int] | None:
    """Read the argument ``years``: None (all), one year, first and last as a tuple, any other iterable of years.

    Returns None, a tuple ``(first, last)``, or an ascending list.

    >>> years(2010), years((2005, "2012")), years([2010, 2008])
    ((2010, 2010), (2005, 2012), [2008, 2010])
    """
    if value is None:
        return None
    remedy = f"{what}=2010, {what}=(2005, 2012) for first and last, or a list of years"
    if isinstance(value, str) and not re.fullmatch(r"\s*\d{4}\s*", value):
        pair = re.fullmatch(r"\s*(\d{4})\s*[-–:]\s*(\d{4})\s*", value)
        raise DesignError(f"{what}={value!r}: write {f'{what}=({pair[1]}, {pair[2]})' if pair else remedy}")
    if isinstance(value, (str, int, float, np.number, pd.Period)):
        return (_year(value, what, remedy),) * 2
    try:
        given = list(value)
    except TypeError:
        raise DesignError(f"{what} is a {type(value).__name__} ({value!r}): {remedy}") from None
    if not given:
        raise DesignError(f"{what} is empty: {remedy}")
    found = [_year(v, what, remedy) for v in given]
    if isinstance(value, tuple) and len(found) == 2:
        if found[0] > found[1]:
            raise DesignError(f"{what}={value!r} runs backwards; give (first, last)")
        return found[0], found[1]
    return sorted(set(found))


def _year(value: Any, what: str, remedy: str) -> int:
    if isinstance(value, (float, np.floating)) and math.isinf(value):
        raise DesignError(
            f"{what}: {value} is no year. Leave {what} out for all there are, or name the last one: {remedy}"
        )
    read = _period(value, "Y") if not pd.isna(value) else None
    if read is None:
        raise DesignError(f"{what}: {value!r} is no year. {remedy}")
    return int(read)
