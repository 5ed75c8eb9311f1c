"""Maryland's own county table, 1975–2019: all agencies of a county, with its population.

Twenty-four jurisdictions by name (Baltimore is both a city and a county). State Police offences are in their
county, unlike the FBI's city and sheriff tables. The file does not say which definition of rape it follows after
2012, so ``rape_legacy`` ends there and later figures are ``rape_mixed``.

Source: State of Maryland, *Violent Crime & Property Crime by County, 1975 to Present* (opendata.maryland.gov).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from g287stats.catalog import codebook, read_released, schema, write_released
from g287stats.errors import Problems, SourceError
from g287stats.flow import Flow, Step
from g287stats.geography import county_by_name
from g287stats.outcomes.fbi.table10 import violent_ex_rape
from g287stats.outcomes.table import OutcomeTable, select_years

COLUMNS = {
    "population": "POPULATION",
    "violent": "VIOLENT CRIME TOTAL",
    "murder": "MURDER",
    "rape": "RAPE",
    "robbery": "ROBBERY",
    "assault": "AGG. ASSAULT",
    "property": "PROPERTY CRIME TOTALS",
    "burglary": "B & E",
    "larceny": "LARCENY THEFT",
    "motor_vehicle_theft": "M/V THEFT",
}
COUNTS = (
    "violent",
    "violent_ex_rape",
    "murder",
    "rape_legacy",
    "rape_mixed",
    "robbery",
    "assault",
    "property",
    "burglary",
    "larceny",
    "motor_vehicle_theft",
)


def load_maryland(years: tuple[int, int] | Iterable[int] | None = None) -> OutcomeTable:
    """Return offences of Maryland's 24 jurisdictions, 1975–2019, with the state's population figures."""
    table = read_released("maryland_counties").astype({"year": "int64"})
    chosen = select_years("maryland", years, table["year"])
    frame = table[table["year"].isin(chosen)].reset_index(drop=True)
    frame["violent_ex_rape"] = violent_ex_rape(frame)
    frame["rape_legacy"] = frame["rape"].where(frame["year"] <= 2012)
    frame["rape_mixed"] = frame["rape"].where(frame["year"] > 2012)
    book = codebook(
        ["county_fips", "year", *COUNTS, "population"],
        "State of Maryland, Violent Crime & Property Crime by County",
        "maryland_counties",
        rape_legacy={"is": "rape", "note": "to 2012"},
        rape_mixed={"is": "rape", "note": "from 2013, definition not stated"},
    )
    return OutcomeTable(
        name="maryland",
        frame=frame[["county_fips", "year", *COUNTS, "population"]],
        counts=COUNTS,
        codebook=book,
        provenance={
            "table": "maryland_counties",
            "sources": schema("maryland_counties")["sources"],
            "population": "offences reported by all agencies of each Maryland county",
        },
        denominator="population",
        flow=Flow(
            (
                Step("county-years published", len(table), "1975–2019"),
                Step("in the years asked for", len(frame), f"{chosen[0]}–{chosen[-1]}"),
            )
        ),
    )


# ---------------------------------------------------------------- build


def build(sources: Path, out: Path) -> list[Path]:
    """Build ``maryland_counties``."""
    path = sources / "crime" / "maryland_counties_1975_2019.csv"
    return [write_released(read(path), "maryland_counties", out)]


def read(path: Path) -> pd.DataFrame:
    """Parse the state's file: counts and population only; its rates and percentages are left out."""
    raw = pd.read_csv(path, dtype=str)
    problems = Problems(path.name)
    lacking = [c for c in ["JURISDICTION", "YEAR", *COLUMNS.values()] if c not in raw]
    if lacking:
        problems.add("columns are absent", lacking)
        problems.raise_if_any(SourceError)
    place = raw["JURISDICTION"].map({n: county_by_name("MD", n) for n in raw["JURISDICTION"].dropna().unique()})
    if place.isna().any():
        problems.add("jurisdictions unknown", sorted(raw.loc[place.isna(), "JURISDICTION"].astype(str).unique()))
    out = pd.DataFrame({"county_fips": place})
    for new, old in {"year": "YEAR", **COLUMNS}.items():
        bad = ~raw[old].fillna("").str.fullmatch(r"\d+")
        if bad.any():
            problems.add(f"{old} is no whole number in rows", (raw.index[bad] + 2).tolist())
        else:
            out[new] = raw[old].astype("Int64")
    problems.raise_if_any(SourceError)
    sums = {
        "violent": ["murder", "rape", "robbery", "assault"],
        "property": ["burglary", "larceny", "motor_vehicle_theft"],
    }
    for total, parts in sums.items():
        off = out[parts].sum(axis=1) != out[total]
        if off.any():
            problems.add(f"{total} is not the sum of its parts in rows", (out.index[off] + 2).tolist())
    problems.raise_if_any(SourceError)
    return out
