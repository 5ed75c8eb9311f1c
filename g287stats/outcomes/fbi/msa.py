"""County totals of single-county metropolitan areas: the FBI's Table 6, 2000–2017.

Where a metropolitan statistical area (or metropolitan division) consists of one county, the FBI's total of
the area is a complete county total: all agencies, with estimates for those that did not report. The county
is read from the "Includes … County" text, never from the area's name, since the composition of areas changes
in 2003, 2005 and 2013; an area that "Includes part of" a county is left out.

Source: FBI, *Crime in the United States*, Table 6 (Table 4 in 2016).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from g287stats.catalog import codebook, read_released, released_dir, schema, write_released
from g287stats.errors import IdentityError, SourceError
from g287stats.flow import Flow, Step
from g287stats.geography import county_by_name
from g287stats.outcomes.fbi.sheets import _text, _word, find_header, read_rows
from g287stats.outcomes.fbi.table10 import violent_ex_rape
from g287stats.outcomes.table import OutcomeTable, select_years

FIGURES = (
    "violent",
    "murder",
    "rape_legacy",
    "rape_mixed",
    "rape_revised",
    "robbery",
    "assault",
    "property",
    "burglary",
    "larceny",
    "motor_vehicle_theft",
)
COUNTS = ("violent", "violent_ex_rape", *FIGURES[1:])
_ONE = re.compile(r"^\(?\s*Includes ([^,;]+?) (County|Parish|Borough)\W*$|^\(?\s*Includes (Carson City)\W*$")
_AREA = re.compile(r",\s*((?:[A-Z]{2}-)*[A-Z]{2}|Puerto Rico)\d*,?\s*(C\.?|P\.?)?\s*M\.\s?(S\.\s?A|D)\.?")
_HEAD = {
    "population": r"^population",
    "violent": r"^violent",
    "murder": r"^murder",
    "rape": r"rape",
    "robbery": r"^robbery",
    "assault": r"assault",
    "property": r"^property",
    "burglary": r"^burglary",
    "larceny": r"^larceny",
    "motor_vehicle_theft": r"^motor",
}


def load_fbi_msa_counties() -> pd.DataFrame:
    """Return the released table: one row a single-county area and year. Schema ``data/schema/fbi_msa_county.json``."""
    frame = read_released("fbi_msa_county")
    return frame.assign(violent_ex_rape=violent_ex_rape(frame))


def load_fbi_msa(years: tuple[int, int] | Iterable[int] | None = None) -> OutcomeTable:
    """Return complete county totals 2000–2017 of counties that are a metropolitan area by themselves.

    ``coverage`` is the share of the area's population in agencies that reported all twelve months; the rest is
    the FBI's estimate (``estimated``). ``population`` is the FBI's figure for the area.
    """
    table = load_fbi_msa_counties()
    chosen = select_years("fbi_msa", years, table["year"])
    frame = table[table["year"].isin(chosen)].drop(columns=["row"]).reset_index(drop=True)
    frame["year"] = frame["year"].astype("int64")
    frame = frame.rename(columns={"reporting_share": "coverage"})
    frame["coverage_of"] = "residents"
    frame["imputed"] = frame["estimated"].map({True: "producer", False: "none"})
    book = codebook(
        frame.columns,
        "FBI, Crime in the United States, Table 6",
        "fbi_msa_county",
        coverage="reporting_share",
        imputed={"note": "producer: the FBI's estimates for agencies that did not report are included"},
    )
    estimated = frame[frame["estimated"].fillna(False).astype(bool)]
    return OutcomeTable(
        name="fbi_msa",
        frame=frame,
        counts=COUNTS,
        codebook=book,
        provenance={
            "table": "fbi_msa_county",
            "sources": schema("fbi_msa_county")["sources"],
            "population": "all agencies of counties that are a metropolitan area by themselves",
        },
        coverage="coverage",
        denominator="population",
        flow=Flow(
            (
                Step("single-county areas printed", len(table), "FBI Table 6, 2000–2017"),
                Step("in the years asked for", len(frame), f"{chosen[0]}–{chosen[-1]}"),
                Step(
                    "of these partly estimated by the FBI",
                    len(estimated),
                    "reporting share below 1",
                    tuple(f"{a} {b}" for a, b in zip(estimated["county_fips"], estimated["year"])),
                ),
            )
        ),
    )


# ---------------------------------------------------------------- build


def build(sources: Path, out: Path) -> list[Path]:
    """Build ``fbi_msa_county`` from ``sources/crime/fbi_table06_msa``."""
    folder = sources / "crime" / "fbi_table06_msa"
    table = pd.concat([read_year(path) for path in sorted(folder.iterdir())], ignore_index=True)
    return [write_released(table, "fbi_msa_county", out)]


def read_year(path: Path) -> pd.DataFrame:
    """Return the single-county areas of one year's Table 6; the year is in the file name."""
    found = re.search(r"(19|20)\d{2}", path.name)
    if found is None:
        raise SourceError(f"{path.name}: the file name must hold the year, as FBI_Crime_2009.xls")
    year = int(found[0])
    rows = read_rows(path)
    at = find_header(path, rows)
    columns = _header(path, [_word(c) for c in rows[at]])
    text = [[_text(c) for c in row] for row in rows]
    dash_is_zero = any(re.search(r"Dashes? \(-+\) indicates? a zero", c) for row in text for c in row)
    fixes = pd.read_csv(released_dir() / "fixes" / "fbi_county_names.csv", dtype=str)
    alias = {(r.state, r.printed): r.county_fips for r in fixes.itertuples()}
    records: list[dict[str, Any]] = []
    lost: list[str] = []
    area = states = None
    area_population: int | None = None
    current: dict[str, Any] | None = None
    for number, row in enumerate(text[at + 1 :], at + 2):
        label = next((c for c in row if c), "")
        match = _AREA.search(" ".join(label.split()))
        if match:
            area = " ".join(label.split())[: match.end()]
            states = () if match[1] == "Puerto Rico" else tuple(match[1].split("-"))
            area_population = _whole(row[columns["population"]], dash_is_zero)
            current = None
        county = _single(row, bool(match), columns)
        if county and states:
            fips = next(
                (f for s in states if (f := alias.get((s, county)) or county_by_name(s, county)) is not None), None
            )
            if fips is None:
                lost.append(f"row {number}: {county} ({area})")
            else:
                current = {"year": year, "row": number, "county_fips": fips, "area": area}
                current["kind"] = "division" if re.search(r"M\.\s?D", area or "") else "area"
                current["population"] = area_population
        elif current is not None and label.startswith("Total area actually reporting"):
            share = row[columns["population"]]
            current["reporting_share"] = float(share) if re.fullmatch(r"[\d.]+", share) else None
            current["estimated"] = False
            current |= _figures(row, columns, year, dash_is_zero)
            records.append(current)
        elif current is not None and label.startswith("Estimated total"):
            current["estimated"] = True
            current |= _figures(row, columns, year, dash_is_zero)
        elif label.startswith("Rate per"):
            current = None
    if lost:
        raise IdentityError(f"{path.name}: {len(lost)} single-county areas match no county: {', '.join(lost)}")
    if not records:
        raise SourceError(f"{path.name}: no single-county area. Is this the metropolitan table?")
    frame = pd.DataFrame(records)
    for name in ("population", *FIGURES):
        frame[name] = frame[name].astype("Int64")
    return frame


def _header(path: Path, header: list[str]) -> dict[str, int]:
    out: dict[str, int] = {}
    for name, pattern in _HEAD.items():
        at = next((i for i, word in enumerate(header) if re.search(pattern, word)), None)
        if at is None:
            raise SourceError(f"{path.name}: no column for {name}; the header reads {header}")
        out[name] = at
    return out


def _single(row: list[str], is_area_row: bool, columns: dict[str, int]) -> str | None:
    """Return the county when the row says the area is one county: "Includes Taylor County", or (2005) column B."""
    for cell in row[: columns["population"]]:
        match = _ONE.match(re.sub(r"(?<=[a-z.)])[\d, ]+$", "", " ".join(cell.split())))
        if match and not match[1]:
            return match[3]
        if match and not re.search(r"\bpart of\b|\band\b", match[1]):
            return re.sub(r"\d+$", "", match[1])
    if is_area_row and columns["population"] == 2 and row[1]:  # the 2005 layout
        names = " ".join(row[1].split())
        if not re.search(r"[,;]|\band\b|\bpart of\b|Division", names):
            return re.sub(r"(?<=[a-z])\d+$", "", names)
    return None


def _whole(text: str, dash_is_zero: bool) -> int | None:
    digits = text.replace(",", "")
    if dash_is_zero and digits == "-":
        return 0
    return int(digits) if re.fullmatch(r"\d+", digits) else None


def _figures(row: list[str], columns: dict[str, int], year: int, dash_is_zero: bool) -> dict[str, Any]:
    out = {name: _whole(row[at], dash_is_zero) for name, at in columns.items() if name not in ("population", "rape")}
    rape = _whole(row[columns["rape"]], dash_is_zero)
    for name, span in (("rape_legacy", (0, 2012)), ("rape_mixed", (2013, 2016)), ("rape_revised", (2017, 9999))):
        out[name] = rape if span[0] <= year <= span[1] else None
    return out
