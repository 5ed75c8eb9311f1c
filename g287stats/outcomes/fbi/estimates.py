"""The FBI's estimated offences by state, 2008–2019 (Tables 5 and 4): a check on how complete a table of agencies is.

Table 5 prints its own year, Table 4 two years; the later edition's figure of a year is kept. Estimates include agencies
that did not report, so a ratio below one is what a table misses.

Source: FBI, *Crime in the United States*, Table 5, editions 2008–2019, and Table 4, 2013–2015.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from g287stats.catalog import read_released, write_released
from g287stats.errors import Problems, SourceError
from g287stats.geography import STATE_NAMES, state_of
from g287stats.outcomes.fbi.sheets import _text, _word, find_header, read_rows
from g287stats.outcomes.table import OutcomeTable

FIGURES = (
    "violent",
    "murder",
    "rape_revised",
    "rape_legacy",
    "robbery",
    "assault",
    "property",
    "burglary",
    "larceny",
    "motor_vehicle_theft",
)
_USPS = {name.lower(): usps for usps, name in STATE_NAMES.items()}
_HEAD = {
    "population": r"^population",
    "violent": r"^violent",
    "murder": r"^murder",
    "rape_revised": r"^rape.*revised",
    "rape_legacy": r"^rape.*legacy|^forcible",
    "robbery": r"^robbery",
    "assault": r"^aggravated",
    "property": r"^property",
    "burglary": r"^burglary",
    "larceny": r"^larceny",
    "motor_vehicle_theft": r"^motor",
}


def load_state_estimates() -> pd.DataFrame:
    """Return the FBI's estimates by state and year. Schema ``data/schema/fbi_state_estimates.json``."""
    return read_released("fbi_state_estimates")


def state_completeness(table: OutcomeTable, offences: tuple[str, ...] = ("violent", "property")) -> pd.DataFrame:
    """Return by state and year what share of the FBI's estimated offences is in ``table`` (2008–2019).

    Columns ``state``, ``year`` and one ratio an offence; a state without any county in ``table`` is 0.
    """
    estimates = load_state_estimates().astype({"year": "int64"})
    years = sorted(set(table.years) & set(estimates["year"]))
    if not years:
        raise SourceError(f"{table.name} has none of the years {sorted(set(estimates['year']))} of the FBI's estimates")
    frame = table.frame.assign(state=table.frame["county_fips"].map(state_of))
    sums = frame[frame["year"].isin(years)].groupby(["state", "year"])[list(offences)].sum()
    wanted = estimates[estimates["year"].isin(years)].set_index(["state", "year"])[list(offences)]
    ratio = sums.reindex(wanted.index).fillna(0).astype("float64") / wanted.astype("float64")  # no county: nothing told
    return ratio.reset_index()


# ---------------------------------------------------------------- build


def build(sources: Path, out: Path) -> list[Path]:
    """Build ``fbi_state_estimates``."""
    folder = sources / "crime" / "fbi_tables_2013_2015"
    paths = sorted(folder.glob("Table_4_*.xls"), key=lambda p: p.name[-8:])
    totals = sorted((sources / "crime" / "fbi_table05_states").glob("table05_state_*.xls"))
    both = pd.concat([*(read_totals(path) for path in totals), *(read(path) for path in paths)], ignore_index=True)
    latest = both.sort_values("edition").drop_duplicates(["state", "year"], keep="last")
    return [write_released(latest, "fbi_state_estimates", out)]


def read_totals(path: Path) -> pd.DataFrame:
    """Parse the state totals of one edition of Table 5; areas, rates and shares reporting are left out."""
    rows = read_rows(path)
    at = find_header(path, rows)
    places = _places(path, [_word(c) for c in rows[at]], one_rape=True)
    year = int(path.stem[-4:])
    records: list[dict[str, Any]] = []
    bad: list[str] = []
    state = None
    for number, row in enumerate(rows[at + 1 :], at + 2):
        cells = [_text(c) for c in row]
        area = re.sub(r"[\d,]+\s*", "", cells[0]).strip().lower()
        state = _USPS.get(area, state) if area else state
        if state is None or not any(re.fullmatch(r"(?i)(state )?total", c.strip()) for c in cells[:3]):
            continue
        texts = {name: cells[place].replace(",", "") for name, place in places.items()}
        bad += [f"row {number} {n}: {t!r}" for n, t in texts.items() if t and not re.fullmatch(r"\d+", t)]
        numbers = {n: int(t) if re.fullmatch(r"\d+", t) else None for n, t in texts.items()}
        records.append({"state": state, "year": year, "edition": year} | numbers)
    return _checked(path, records, bad)


def read(path: Path) -> pd.DataFrame:
    """Parse one edition: two years a state; regions, divisions, rates and changes dropped."""
    rows = read_rows(path)
    at = find_header(path, rows)
    places = _places(path, [_word(c) for c in rows[at]])
    edition = int(path.stem[-4:])
    records: list[dict[str, Any]] = []
    state = None
    bad: list[str] = []
    for number, row in enumerate(rows[at + 1 :], at + 2):
        cells = [_text(c) for c in row]
        area = re.sub(r"[\d,]+\s*", "", cells[0]).strip().lower()
        if area:
            state = _USPS.get(area)
        if state is None or not re.fullmatch(r"20\d\d", cells[1]):
            continue
        record: dict[str, Any] = {"state": state, "year": int(cells[1]), "edition": edition}
        for name, place in places.items():
            text = cells[place].replace(",", "")
            if name == "rape_revised" and record["year"] < 2013:
                text = ""  # not collected yet; the 2013 edition prints -100 for Wyoming
            if text and not re.fullmatch(r"\d+", text):
                bad.append(f"row {number} {name}: {text!r}")
            record[name] = int(text) if re.fullmatch(r"\d+", text) else None
        records.append(record)
    return _checked(path, records, bad)


def _places(path: Path, header: list[str], one_rape: bool = False) -> dict[str, int]:
    """Columns of the figures; with ``one_rape`` the only column for rape is legacy to 2012, revised from 2017."""
    places: dict[str, int] = {}
    for name, pattern in _HEAD.items():
        found = next((i for i, word in enumerate(header) if re.search(pattern, word)), None)
        if found is None and one_rape and name == "rape_revised":
            found = next((i for i, word in enumerate(header) if re.fullmatch(r"rape\d*", word)), None)
        if found is None and not (one_rape and name.startswith("rape")):
            raise SourceError(f"{path.name}: no column for {name}; the header reads {header}")
        if found is not None:
            places[name] = found
    return places


def _checked(path: Path, records: list[dict[str, Any]], bad: list[str]) -> pd.DataFrame:
    problems = Problems(path.name)
    if bad:
        problems.add("figures that are no whole numbers", bad)
    states = {r["state"] for r in records}
    missing = [s for s in STATE_NAMES if s not in states | {"AS", "GU", "MP", "PR", "VI"}]
    if missing:
        problems.add("states are absent", missing)
    problems.raise_if_any(SourceError)
    frame = pd.DataFrame(records).reindex(columns=["state", "year", "edition", "population", *FIGURES])
    return frame.astype(dict.fromkeys(["population", *FIGURES], "Int64"))
