"""ICE workbooks → printed rows: one reader for participating and pending lists, strict about what it meets.

A workbook is checked before it is parsed (size, archive integrity, extent of the sheet, formulas), so that a
damaged or hostile file costs bounded time and memory. Whatever is repaired or left out is returned as a list
beside the rows; whatever cannot be read is raised, all problems of the file together.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import unicodedata
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from python_calamine import CalamineError, CalamineWorkbook

from g287stats.catalog.workbooks import Limits, checked
from g287stats.errors import Problems, SourceError

COLUMNS = {
    "STATE": "state",
    "LAW ENFORCEMENT AGENCY": "agency",
    "TYPE": "type",
    "COUNTY": "county",
    "SUPPORT TYPE": "model",
    "SIGNED": "signed",
    "MOA": "moa",
    "ADDENDUM": "addendum",
}
REQUIRED = {
    "participating": ("STATE", "LAW ENFORCEMENT AGENCY", "SUPPORT TYPE", "SIGNED"),
    "pending": ("STATE", "LAW ENFORCEMENT AGENCY", "SUPPORT TYPE"),
}
ROW_FIELDS = ["row", *COLUMNS.values()]

LIMITS = Limits(packed=16 << 20, unpacked=96 << 20, rows=100_000, columns=64)
"""The largest workbook ICE has published is under 0.3 MB."""


@dataclass(frozen=True)
class PrintedList:
    """The rows of one workbook as printed, and what was repaired to read them.

    ``rows`` has the columns of :data:`ROW_FIELDS` (``row`` is the line in the sheet; ``signed`` is a date cell,
    or text as printed). ``repairs`` are sentences; an empty tuple means nothing was touched.
    """

    file: str
    kind: str
    rows: pd.DataFrame
    repairs: tuple[str, ...] = ()


def clean(value: Any) -> str:
    """Return a cell as text: compatible characters unified, straight apostrophes, single spaces."""
    return _clean_text("" if value is None else str(value))


@lru_cache(maxsize=1 << 16)
def _clean_text(text: str) -> str:
    text = unicodedata.normalize("NFKC", text)
    for curly in "‘’ʼ`´":
        text = text.replace(curly, "'")
    return re.sub(r"\s+", " ", text.replace("–", "-")).strip()


def read_list(path: Path, kind: str = "participating") -> PrintedList:
    """Read one ICE workbook.

    ``kind`` is ``"participating"`` or ``"pending"``. The table is the one sheet whose first row has the required
    headings; other sheets are named in ``repairs``. Blank rows are dropped and counted. Raises
    :class:`SourceError` for a file that is not an intact workbook, is larger or wider than a list can be, holds
    formulas, has unknown or missing columns, or is a list of the other kind.
    """
    if not Path(path).exists():
        raise SourceError(f"{path}: no such file")
    data = checked(Path(path), LIMITS)
    name = Path(path).name
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
        sheets = {s: book.get_sheet_by_name(s).to_python(skip_empty_area=False) for s in book.sheet_names}
    except (CalamineError, zipfile.BadZipFile, ValueError, OSError) as error:
        raise SourceError(f"{name}: not a readable workbook ({error}). Fetch the file again") from error
    repairs: list[str] = []
    tables = {s: rows for s, rows in sheets.items() if rows and {"STATE"} <= {clean(c).upper() for c in rows[0]}}
    if len(tables) != 1:
        raise SourceError(
            f"{name}: {len(tables)} of the sheets {list(sheets)} start with ICE's headings; one must. "
            "Is this the workbook ICE publishes?"
        )
    repairs += [f"sheet {s!r} left out: no list" for s in sheets if s not in tables and sheets[s]]
    (rows,) = tables.values()
    header = [clean(c).upper() for c in rows[0]]
    _check_header(name, kind, header)
    width = len(header)
    body, blank = [], 0
    for number, cells in enumerate(rows[1:], start=2):
        cells = list(cells[:width]) + [""] * (width - len(cells))
        if not any(clean(c) for c in cells):
            blank += 1
            continue
        record = {COLUMNS[h]: c for h, c in zip(header, cells) if h}
        body.append({f: record.get(f, "") for f in ROW_FIELDS} | {"row": number})
    if blank:
        repairs.append(f"{blank} blank rows dropped")
    frame = pd.DataFrame(body, columns=ROW_FIELDS, dtype=object)
    return PrintedList(name, kind, frame, tuple(repairs))


def _check_header(name: str, kind: str, header: list[str]) -> None:
    problems = Problems(name)
    unknown = [h for h in header if h and h not in COLUMNS]
    if unknown:
        problems.add("unknown columns", unknown, f"A list has {', '.join(COLUMNS)}")
    twice = sorted({h for h in header if h and header.count(h) > 1})
    if twice:
        problems.add("columns printed twice", twice)
    absent = [h for h in REQUIRED[kind] if h not in header]
    if kind == "participating" and absent == ["SIGNED"]:
        problems.add("no SIGNED column: this is a pending list offered as participating")
    elif absent:
        problems.add("columns are missing", absent)
    if kind == "pending" and "SIGNED" in header:
        problems.add("a SIGNED column: this is a participating list offered as pending")
    problems.raise_if_any(SourceError)


_TEXT_DATES = (
    (re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[ T]00:00(?::00)?)?"), (0, 1, 2)),
    (re.compile(r"(\d{1,2})/(\d{1,2})/?((?:19|20)\d{2})"), (2, 0, 1)),
)


def parse_date(value: Any) -> tuple[pd.Timestamp | None, str]:
    """Read a SIGNED cell: ``(date, repair)``; the date is ``None`` when it cannot be read.

    Understood: date cells; ISO text; ``M/D/YYYY`` text, also with the second slash missing (``05/082025``);
    spreadsheet day numbers. ``repair`` is empty for a date cell or ISO text and a sentence otherwise.
    """
    if isinstance(value, dt.date | dt.datetime):
        return _timestamp(value.year, value.month, value.day), ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 36_000 <= value <= 60_000:  # 1998 to 2064 as spreadsheet day numbers
            return pd.Timestamp("1899-12-30") + pd.Timedelta(days=int(value)), f"day number {value:g} read as a date"
        return None, f"number {value!r}"
    text = clean(value)
    for n, (pattern, order) in enumerate(_TEXT_DATES):
        match = pattern.fullmatch(text)
        if match:
            year, month, day = (int(match.group(i + 1)) for i in order)
            stamp = _timestamp(year, month, day)
            if stamp is None:
                break
            return stamp, "" if n == 0 else f"text {text!r} read as {stamp:%Y-%m-%d}"
    return None, f"text {text!r}"


def _timestamp(year: int, month: int, day: int) -> pd.Timestamp | None:
    try:
        return pd.Timestamp(year=year, month=month, day=day) if 1900 <= year <= 2200 else None
    except ValueError:
        return None


_STAMP = re.compile(r"-(\d{8})(\d{6})\b")
_NAMED = (  # pattern of a day in a file name, and where year, month and day stand
    (re.compile(r"(?<!\d)(\d{2})(\d{2})(20\d{2})"), (3, 1, 2)),
    (re.compile(r"(?<!\d)(20\d{2})[-_. ]?(\d{2})[-_. ]?(\d{2})(?!\d)"), (1, 2, 3)),
    (re.compile(r"(?<!\d)(\d{1,2})[-_. ](\d{1,2})[-_. ](20\d{2}|\d{2})(?!\d)"), (3, 1, 2)),
    (re.compile(r"(?<!\d)(\d{2})(\d{2})(\d{2})(?!\d)"), (3, 1, 2)),
)
_HALF_DAY = {"am": "0900", "mid": "1200", "pm": "1500"}


def name_date(file: str) -> tuple[pd.Timestamp | None, str]:
    """Read list date and time of day from a file name: ``(date, "HHMM" + suffix)``; date ``None`` if absent.

    ICE's own names end in month, day, year and am, mid or pm (taken as 09:00, 12:00 and 15:00); archived copies
    carry the second of their capture. Years of two digits, dashes, dots and the order year-month-day are read too.
    What follows (``pm2``, ``pm_b``) orders lists within the half-day.

    >>> [f"{name_date(f)[0]:%Y-%m-%d}" for f in ("participatingAgencies06012026am.xlsx", "287g-2026-06-01 (1).xlsx")]
    ['2026-06-01', '2026-06-01']
    """
    stem = Path(file).stem
    match = _STAMP.search(stem)
    if match:
        day, time = match.groups()
        return _timestamp(int(day[:4]), int(day[4:6]), int(day[6:])), time[:4]
    for pattern, order in _NAMED:
        match = pattern.search(stem)
        if match:
            year, month, date = (int(match.group(i)) for i in order)
            found = _timestamp(year + (2000 if year < 100 else 0), month, date)
            if found is None:
                continue
            rest = re.match(r"[-_. ]?(am|mid|pm)?(.*)", stem[match.end() :].lower())
            part, tail = rest.groups() if rest else (None, "")
            return found, _HALF_DAY[part or "mid"] + tail.strip()
    match = re.search(r"(am|mid|pm)\w*$", stem, re.IGNORECASE)
    return None, _HALF_DAY[match.group(1).lower()] if match else "1200"


def list_day(file: str, corrected: Mapping[tuple[str, str], str]) -> pd.Timestamp:
    """Return the day of a participating list from its name, after ``corrected`` names (``data/fixes/list_dates.csv``).

    Raises :class:`SourceError` for a name without a day.
    """
    known = corrected.get(("participating", file))
    day = pd.Timestamp(known) if known else name_date(file)[0]
    if day is None:
        raise SourceError(f"{file}: no day in the name. Say it: --as-of YYYY-MM-DD")
    return day
