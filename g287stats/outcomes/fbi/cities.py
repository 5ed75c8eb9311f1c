"""Offences known to city police: the FBI's Table 8 (2005–2019), with the county of each city.

A city gets its county from the FBI's agency list: the agency's ORI carries a county code (characters 3–5), which
is translated by the agencies that list a single county. What the list does not name is found in California's
own agency table, by the printed "…, X County", or by hand in ``data/fixes/fbi_city_counties.csv``; the rest is
listed as unmatched. A city in several counties goes whole to one of them and is marked; New York City, one
agency for five counties, goes to none. The editions of 2005 and 2007 are read from the FBI's HTML tables, which carry
no footnotes (no notes on breaks in series); that of 2007 lacks Connecticut and Rhode Island.

Source: FBI, *Crime in the United States*, Table 8 (Table 6 in 2016); FBI agency list.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pandas as pd

from g287stats.catalog import read_released, released_dir, write_released
from g287stats.catalog.text import csv
from g287stats.catalog.writing import write
from g287stats.errors import SourceError
from g287stats.geography import county_by_name, name_key
from g287stats.outcomes.fbi.sheets import parse
from g287stats.outcomes.fbi.table10 import check_totals, violent_ex_rape

_SUFFIX = re.compile(
    r"(?i)[, ]+(metropolitan police department|police department|town & village|village|town|township|borough|"
    r"city|metropolitan|metro|regional)$"
)


def load_fbi_cities() -> pd.DataFrame:
    """Return Table 8 as printed, one row a city-year, with ``county_fips``, ``counties``, ``ori``, ``violent_ex_rape``.

    Schemas: ``data/schema/fbi_city_offences.json`` and ``fbi_city_agencies.json``. ``county_fips`` is missing for
    New York City and for cities no rule places (see :func:`unplaced`).
    """
    offences = read_released("fbi_city_offences")
    agencies = read_released("fbi_city_agencies")
    out = offences.merge(
        agencies[["state", "agency", "county_fips", "counties", "ori"]],
        on=["state", "agency"],
        how="left",
        validate="m:1",
    )
    return out.assign(violent_ex_rape=violent_ex_rape(out))


def unplaced() -> pd.DataFrame:
    """Return the cities without a county: state, agency, years printed, largest population."""
    agencies = read_released("fbi_city_agencies")
    return agencies[agencies["county_fips"].isna()].sort_values("population", ascending=False, ignore_index=True)


# ---------------------------------------------------------------- build


def build(sources: Path, out: Path) -> list[Path]:
    """Build ``fbi_city_offences`` and ``fbi_city_agencies``."""
    folder = sources / "crime" / "fbi_table08_cities"
    table = pd.concat([read_year(path) for path in sorted(folder.iterdir())], ignore_index=True)
    off = pd.concat([check_totals(str(year), rows) for year, rows in table.groupby("year")])
    qa = out / "qa" / "fbi_city_totals.csv"
    write(qa, csv(off))
    cities = (
        table.groupby(["state", "agency"])
        .agg(
            years=("year", "size"),
            first_year=("year", "min"),
            last_year=("year", "max"),
            population=("population", "max"),
        )
        .reset_index()
    )
    placed = place(cities, AgencyList(sources))
    return [
        write_released(table.drop(columns=["area"]), "fbi_city_offences", out),
        write_released(placed, "fbi_city_agencies", out),
        qa,
    ]


def read_year(path: Path) -> pd.DataFrame:
    """Parse one year's Table 8; the year is in the file name. Rows are numbered in print order."""
    year = re.search(r"(19|20)\d{2}", path.name)
    if year is None:
        raise SourceError(f"{path.name}: the file name must hold the year, as table08_2009.xls")
    frame = parse(path, ("city",)).frame.drop(columns=["unit"])
    if "population" not in frame:
        raise SourceError(f"{path.name}: no column for population; this is not the table of cities")
    frame.insert(0, "year", int(year[0]))
    frame["row"] = range(1, len(frame) + 1)
    twice = frame.duplicated(["state", "agency"])
    if twice.any():
        raise SourceError(f"{path.name}: cities repeat: {frame.loc[twice, ['state', 'agency']].agg(' '.join, axis=1)}")
    return frame


class AgencyList:
    """The FBI's agency list and California's, indexed by state and name, each agency with its county."""

    def __init__(self, sources: Path):
        raw = pd.read_csv(sources / "geography" / "fbi_agencies_latest.csv", dtype=str)
        raw["state"] = raw["state_abbr"].replace({"NB": "NE"})
        raw["named"] = [_named(s, t) for s, t in zip(raw["state"], raw["county_name"].fillna(""))]
        raw["code"] = raw["ori"].str[2:5]
        votes: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        row: Any
        for row in raw.itertuples():
            if len(row.named) == 1 and row.code.isdigit() and row.state != "CT":
                votes[(row.state, row.code)][row.named[0]] += 1
        # A code that several counties share (Virginia's cities, code 001 of Alaska) decides nothing.
        self.by_code = {
            key: count.most_common(1)[0][0]
            for key, count in votes.items()
            if count.most_common(1)[0][1] >= 0.8 * sum(count.values())
        }
        raw["county_fips"] = [self._county(row) for row in raw.itertuples()]
        self.agencies = raw
        self.city: dict[tuple[str, str], list[Any]] = defaultdict(list)
        self.any: dict[tuple[str, str], list[Any]] = defaultdict(list)
        self.stem: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for row in raw.itertuples():
            key = (row.state, name_key(row.pub_agency_name))
            self.any[key].append(row)
            if row.agency_type_name == "City":
                self.city[key].append(row)
                self.stem[(row.state, name_key(stem(row.pub_agency_name)))].append(row)
        california = pd.read_csv(
            sources / "crime" / "california_doj" / "crimes_and_clearances_1985_2022.csv.gz",
            dtype=str,
            usecols=["County", "NCICCode"],
        ).drop_duplicates()
        self.california: dict[str, set[str | None]] = defaultdict(set)
        for county, agency in california.itertuples(index=False):
            self.california[name_key(agency)].add(county_by_name("CA", county))

    def _county(self, row: Any) -> str | None:
        if row.state == "CT":  # listed by planning region, and the ORI numbers towns: by hand
            return None
        if len(row.named) == 1:
            return row.named[0]
        return self.by_code.get((row.state, row.code))


def place(cities: pd.DataFrame, listed: AgencyList) -> pd.DataFrame:
    """Add ``ori``, ``county_fips``, ``counties`` and ``placed_by`` to cities with state, agency and population."""
    fixes = pd.read_csv(released_dir() / "fixes" / "fbi_city_counties.csv", dtype=str)
    hand = {
        (r.state, r.printed): (r.county_fips if isinstance(r.county_fips, str) else None) for r in fixes.itertuples()
    }
    several = {"NY": ("36005", "36047", "36061", "36081", "36085")}
    rows = []
    city: Any
    for city in cities.itertuples():
        key = (city.state, name_key(city.agency))
        ori = county = how = None
        counties: tuple[str, ...] = ()
        said = re.search(r",\s*(.+?) County$", city.agency)
        exact = listed.city.get(key, [])
        if (city.state, city.agency) in hand:
            county, how = hand[(city.state, city.agency)], "hand"
            counties = several.get(city.state, ()) if county is None else ()
            if len(exact) == 1:
                ori, counties = exact[0].ori, tuple(exact[0].named) or counties
        elif said and county_by_name(city.state, said[1]):
            county, how = county_by_name(city.state, said[1]), "printed county"
        else:
            for rule, found in (
                ("agency list", exact),
                (
                    "agency list, shortened name",
                    _same_size(listed.stem.get((key[0], name_key(stem(city.agency))), []), city),
                ),
                ("agency list, other type", listed.any.get(key, [])),
            ):
                places = {f.county_fips for f in found}
                if len(places) == 1 and isinstance(only := places.pop(), str):
                    county, how = only, rule
                    counties = tuple(found[0].named) if len(found) == 1 else ()
                    ori = found[0].ori if len(found) == 1 else None
                    break
            if county is None and city.state == "CA" and len(listed.california.get(key[1], ())) == 1:
                county, how = next(iter(listed.california[key[1]])), "California DOJ"
        rows.append((ori, county, ";".join(counties) if len(counties) > 1 else None, how))
    found_columns = pd.DataFrame(rows, columns=["ori", "county_fips", "counties", "placed_by"], index=cities.index)
    return pd.concat([cities, found_columns], axis=1)


def _named(state: str, text: str) -> list[str]:
    found = [county_by_name(state, n) or county_by_name(state, f"{n.strip()} city") for n in text.split(",")]
    return [f for f in found if f]


def stem(name: str) -> str:
    """Return a printed name without words as *Township* or *Police Department* at its end."""
    while _SUFFIX.search(name):
        name = _SUFFIX.sub("", name)
    return name


def _same_size(found: list[Any], city: Any) -> list[Any]:
    """Keep shortened-name matches only when one of them has 0.4 to 2.5 times the printed residents."""
    if pd.isna(city.population):
        return []
    ratios = [city.population / float(f.population) for f in found if float(f.population or 0) > 0]
    return found if any(0.4 <= r <= 2.5 for r in ratios) else []
