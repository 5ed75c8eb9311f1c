"""Read the sheets of the FBI's *Crime in the United States* tables by rule, whatever the year.

The header is the row with the word "Violent"; columns are recognised by their words, not their place; state
cells are merged (filled down); footnote digits stick to names, states and headers; footnotes follow the data.
An empty figure is missing, not zero. Nothing here knows a county.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from python_calamine import CalamineWorkbook

from g287stats.errors import Problems, SourceError
from g287stats.geography import STATE_NAMES

_USPS = {name.upper(): usps for usps, name in STATE_NAMES.items()} | {
    "MASSACHUSETTES": "MA",  # so printed in 2014
    "PUERTO RICO AND OTHER OUTLYING AREAS": "PR",
    "FEDERAL AGENCIES": "US",
}
_COLUMNS = (  # first pattern that fits names the column; order matters
    ("violent", r"violent"),
    ("murder", r"murder"),
    ("rape_revised", r"rape.*revised"),
    ("rape_legacy", r"rape.*legacy|forcible ?rape"),
    ("rape_revised", r"^rape"),  # from 2017 the only definition
    ("robbery", r"robbery"),
    ("assault", r"assault"),
    ("property", r"property"),
    ("burglary", r"burglary"),
    ("larceny", r"larceny"),
    ("motor_vehicle_theft", r"motor"),
    ("arson", r"arson"),
    ("population", r"population|student ?enrollment"),
)
OFFENCES = tuple(dict.fromkeys(name for name, _ in _COLUMNS if name != "population"))
_MARKS = re.compile(r"(?<=[^\d\s,])\s?(\d{1,2}(?:\s*,\s*\d{1,2})*)\s*,?\s*$")
_FOOTNOTE = re.compile(r"^\s*(\d{1,2})\s{0,3}(\D.{20,})$", re.S)
NOTE_KINDS = (  # code -> words of the FBI's footnote
    ("over", r"over-?reported|inflated"),
    ("under", r"under-?reported"),
    ("mvt_elsewhere", r"motor vehicle thefts for this county|collects the motor vehicle thefts"),
    ("break", r"changes in (the )?(state/)?(local )?.*reporting practices|not (be )?comparable"),
    ("rape_mixed", r"began the year submitting rape"),
    ("rape_method", r"rape.*does not comply|legacy UCR definition; therefore"),
    ("not_ucr", r"did not follow|does not follow|unable to report|according to the UCR definition"),
)


@dataclass(frozen=True)
class Sheet:
    """Rows of one table: ``frame`` with ``state``, ``area``, ``agency``, figures, ``notes``; its footnotes."""

    path: str
    frame: pd.DataFrame
    footnotes: dict[str, str]
    unread: tuple[str, ...] = field(default_factory=tuple)


def read_rows(path: Path) -> list[list[Any]]:
    """Return all rows of the first sheet (``.xls``, ``.xlsx``) or of a CSV export, as lists of cells."""
    if path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as handle:
            return [list(row) for row in csv.reader(handle)]
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(path.read_bytes()))  # what it is, whatever it is called
        return book.get_sheet_by_index(0).to_python(skip_empty_area=False)
    except Exception as error:
        raise SourceError(f"{path.name}: not a readable workbook ({error}). Fetch the file again") from error


def parse(path: Path, names: tuple[str, ...] = ("county", "city")) -> Sheet:
    """Parse one table of offences by agency; ``names`` are the header words of the agency column(s).

    Returns one row for each printed agency: ``state`` (USPS), ``area`` (metropolitan, nonmetropolitan or
    missing), ``agency`` (footnote digits removed), ``unit`` (campus or unit where the table has the column),
    figures as ``Int64`` and ``notes`` (codes of :data:`NOTE_KINDS`, ``;``-separated). Raises
    :class:`SourceError` listing every unreadable state or figure.
    """
    rows = read_rows(path)
    header_at = find_header(path, rows)
    header = [_word(c) for c in rows[header_at]]
    figures, places = _columns(path, header, names)
    footnotes: dict[str, str] = {}
    records: list[dict[str, Any]] = []
    unread: list[str] = []
    problems = Problems(path.name)
    bad_states: list[str] = []
    bad_cells: list[str] = []
    state = area = state_marks = None
    in_notes = False
    above = ""
    for number, row in enumerate(rows[header_at + 1 :], header_at + 2):
        cells = [_text(c) for c in row]
        if not any(cells):
            continue
        first = next(c for c in cells if c)
        note = _FOOTNOTE.match(first)
        if note and sum(bool(c) for c in cells) <= 2:
            footnotes[note[1]] = " ".join(note[2].split())
            in_notes = True
            continue
        numbers = {name: cells[at] for name, at in figures.items() if at < len(cells)}
        heading = sum(bool(c) for c in cells) == 1
        printed = cells[places["state"]] if "state" in places else (first if heading else "")
        if printed and (heading or "state" in places):
            found = _state(printed)
            if found is None:
                if heading and (in_notes or not any(numbers.values())):
                    unread.append(f"row {number}: {first[:60]}")
                else:
                    bad_states.append(f"row {number}: {printed!r}")
                continue
            new_state, new_area, state_marks = found
            state, area = (new_state or state), (new_area if new_area or new_state else area)
            if "state" not in places:
                continue
        name = cells[places["agency"]] if places["agency"] < len(cells) else ""
        unit = cells[places["unit"]] if "unit" in places else ""
        if not name and not unit:
            if any(numbers.values()):
                unread.append(f"row {number}: figures without a name")
            continue
        clean, marks = strip_marks(name)
        unit, unit_marks = strip_marks(unit)
        if clean:
            above = clean.removesuffix(":")
        clean = above  # campuses of one university are printed under its name
        every = [*(state_marks or []), *marks, *unit_marks]
        record: dict[str, Any] = {"state": state, "area": area, "agency": clean, "unit": unit or None, "_marks": every}
        for column, value in numbers.items():
            record[column] = _figure(value)
            if record[column] == "bad":
                bad_cells.append(f"row {number} {column}: {value!r}")
        if state is None:
            bad_states.append(f"row {number}: no state before {name!r}")
        records.append(record)
    if bad_states:
        problems.add("cells that name no state", bad_states)
    if bad_cells:
        problems.add("figures that are no numbers", bad_cells)
    if not records:
        problems.add("no agency rows after the header")
    problems.raise_if_any(SourceError)
    kinds = {mark: _kind(text) for mark, text in footnotes.items()}
    frame = pd.DataFrame(records)
    frame["notes"] = [
        ";".join(dict.fromkeys(k for m in marks if (k := kinds.get(m)))) or None for marks in frame.pop("_marks")
    ]
    for column in figures:
        frame[column] = frame[column].astype("Int64")
    for column in ("rape_legacy", "rape_revised", "arson"):
        if column not in frame:
            frame[column] = pd.array([pd.NA] * len(frame), dtype="Int64")
    return Sheet(path.name, frame, footnotes, tuple(unread))


def find_header(path: Path, rows: list[list[Any]]) -> int:
    """Return the index of the header: the row with "Violent" and "Robbery" (2003 has a group heading above)."""
    for index, row in enumerate(rows):
        words = " ".join(_word(c) for c in row)
        if "violent" in words and "robbery" in words:
            return index
    raise SourceError(f"{path.name}: no header row holds the words 'Violent' and 'Robbery'. Is this an offence table?")


def _columns(path: Path, header: list[str], names: tuple[str, ...]) -> tuple[dict[str, int], dict[str, int]]:
    figures: dict[str, int] = {}
    for at, word in enumerate(header):
        name = next((n for n, pattern in _COLUMNS if re.search(pattern, word)), None)
        if name and name not in figures:
            figures[name] = at
    places: dict[str, int] = {}
    for at, word in enumerate(header):
        is_state = word.startswith("state") and "/" not in word and not any(n in word for n in names)
        if is_state and not places:
            places["state"] = at
            continue
        if "agency" not in places and any(word.startswith(n) or n in word for n in names):
            places["agency"] = at
        elif word.startswith(("campus", "unit")):
            places["unit"] = at
    problems = Problems(path.name)
    lacking = [
        n for n in ("violent", "murder", "robbery", "assault", "property", "burglary", "larceny") if n not in figures
    ]
    if "rape_legacy" not in figures and "rape_revised" not in figures:
        lacking.append("rape")
    if lacking:
        problems.add("no column for", lacking, f"The header reads {header}")
    if "agency" not in places:
        problems.add(f"no column is headed {' or '.join(names)}", remedy=f"The header reads {header}")
    problems.raise_if_any(SourceError)
    return figures, places


def _word(cell: Any) -> str:
    return " ".join(_text(cell).lower().replace("- ", "").split())


def _text(cell: Any) -> str:
    if isinstance(cell, float):
        return repr(int(cell)) if cell.is_integer() else repr(cell)
    return str(cell).replace("\xa0", " ").strip()


def _figure(text: str) -> Any:
    if text in ("", "-", "–"):
        return None
    digits = text.replace(",", "")
    return int(digits) if re.fullmatch(r"\d+", digits) else "bad"


def strip_marks(text: str) -> tuple[str, list[str]]:
    """Split ``"Geneva2,3"`` into the name and its footnote digits; ``"District 1"`` is a name."""
    match = _MARKS.search(text)
    if not match or re.search(r"(?i)\b(district|area|region|zone|precinct|troop|unit|no\.?|number)\s*\d*$", text):
        return " ".join(text.split()), []
    return " ".join(text[: match.start()].rstrip(" ,").split()), re.findall(r"\d+", match[1])


def _state(text: str) -> tuple[str | None, str | None, list[str]] | None:
    """``"ALABAMA - Metropolitan Counties2"`` → (AL, metropolitan, ["2"]); None when it names neither."""
    marks = re.findall(r"\d+", text)
    bare = re.sub(r"[\d,]+", " ", text)
    area = None
    bare = re.sub(r"(?i)\b(state|tribal|other) agenc\w+", " ", bare)
    split = re.search(r"(?i)(non-?\s?metropolitan|metropolitan)\s+count", bare)
    if split:
        area = "nonmetropolitan" if split[1].lower().startswith("non") else "metropolitan"
        bare = bare[: split.start()]
    name = " ".join(re.sub(r"[^A-Za-z ]+", " ", bare).split()).upper()
    if not name:
        return (None, area, marks) if area else None
    usps = _USPS.get(name)
    return (usps, area, marks) if usps else None


def _kind(text: str) -> str | None:
    return next((code for code, words in NOTE_KINDS if re.search(words, text, re.I | re.S)), None)
