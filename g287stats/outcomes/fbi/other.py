"""Campuses (Table 9) and state, tribal and other agencies (Table 11), 2013–2015, with the county where it is told.

They add about 3 points of property and 4 of violent crime to cities and sheriffs, in three years only, so they are
not in the county sums. A unit is placed when it is named for a county, when the FBI's agency list has the name in
one county, or (campuses) when it is named for a city of the state. State police posts named for a town often serve
several counties and are not placed by the town.

Source: FBI, *Crime in the United States*, Tables 9 and 11, editions 2013–2015.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from g287stats.catalog import read_released, write_released
from g287stats.errors import SourceError
from g287stats.geography import county_by_name, name_key
from g287stats.outcomes.fbi.cities import AgencyList
from g287stats.outcomes.fbi.sheets import parse


def load_fbi_other() -> pd.DataFrame:
    """Return Tables 9 and 11 as printed, one row an agency-year. Schema ``data/schema/fbi_other_agencies.json``."""
    return read_released("fbi_other_agencies")


def build(sources: Path, out: Path) -> list[Path]:
    """Build ``fbi_other_agencies``; needs ``fbi_city_agencies``, built before."""
    folder = sources / "crime" / "fbi_tables_2013_2015"
    paths = sorted(folder.glob("Table_9_*.xls")) + sorted(folder.glob("Table_11_*.xls"))
    table = pd.concat([read(path) for path in paths], ignore_index=True)
    cities = read_released("fbi_city_agencies", out if (out / "schema").is_dir() else None)
    return [write_released(place(table, AgencyList(sources), cities), "fbi_other_agencies", out)]


def read(path: Path) -> pd.DataFrame:
    """Parse one table; number and year are in the file name as the FBI gives it."""
    found = re.match(r"Table_(9|11)_.*(20\d\d)\.xls$", path.name)
    if found is None:
        raise SourceError(f"{path.name}: the file name must read Table_9_…YYYY.xls or Table_11_…YYYY.xls")
    frame = parse(path, ("university", "agenc")).frame.drop(columns=["area"])
    frame = frame.rename(columns={"population": "enrollment"})
    frame.insert(0, "year", int(found[2]))
    frame.insert(1, "fbi_table", int(found[1]))
    frame["row"] = range(1, len(frame) + 1)
    if "enrollment" not in frame:
        frame["enrollment"] = pd.array([pd.NA] * len(frame), dtype="Int64")
    return frame


def place(table: pd.DataFrame, listed: AgencyList, cities: pd.DataFrame) -> pd.DataFrame:
    """Add ``county_fips`` and ``placed_by`` (missing where no rule places the unit)."""
    placed = cities.dropna(subset=["county_fips"])
    city = {(s, name_key(a)): c for s, a, c in placed[["state", "agency", "county_fips"]].itertuples(index=False)}
    rows = []
    for number, state, agency, unit in table[["fbi_table", "state", "agency", "unit"]].itertuples(index=False):
        county = how = None
        named = unit if isinstance(unit, str) else None
        if named and re.search(r"(County|Parish|Borough)$", named):
            county, how = county_by_name(state, named), "unit is a county"
        if county is None:
            names = [f"{agency}: {named}", f"{agency} {named}"] if named else [agency]
            for name in names:
                found = {a.county_fips for a in listed.any.get((state, name_key(name)), [])}
                if len(found) == 1 and isinstance(only := found.pop(), str):
                    county, how = only, "agency list"
                    break
        if county is None and number == 9 and named:
            county, how = city.get((state, name_key(named))), "unit is a city"
        rows.append((county, how if county else None))
    return pd.concat([table, pd.DataFrame(rows, columns=["county_fips", "placed_by"], index=table.index)], axis=1)
