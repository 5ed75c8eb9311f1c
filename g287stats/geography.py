"""Counties: one harmonised unit, changes of codes, neighbours, distances.

The unit is the county as it stood in 2010–2019 (3,142 units): Bedford city (51515) belongs to Bedford County
(51019), Clifton Forge (51560) to Alleghany (51005), Shannon (46113) is Oglala Lakota (46102), Wade Hampton
(02270) is Kusilvak (02158), Chugach and Copper River (02063, 02066) are Valdez-Cordova (02261), Connecticut
keeps its eight counties. Connecticut's planning regions (from 2022) and Alaska areas split before 2010 have
no unit: they need a town-level crosswalk, and are listed, never guessed. Broomfield (08014) exists from
2001-11-15 and is not back-cast.

Sources: US Census Bureau county list 2010, county adjacency files 2010 and 2024, centres of population 2010,
cartographic boundaries 2017 (topology only).
"""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from g287stats.catalog import read_released, write_released
from g287stats.errors import DataWarning, Problems, SourceError, caution
from g287stats.labels import aligned

STATES = {  # FIPS -> USPS
    "01": "AL",
    "02": "AK",
    "04": "AZ",
    "05": "AR",
    "06": "CA",
    "08": "CO",
    "09": "CT",
    "10": "DE",
    "11": "DC",
    "12": "FL",
    "13": "GA",
    "15": "HI",
    "16": "ID",
    "17": "IL",
    "18": "IN",
    "19": "IA",
    "20": "KS",
    "21": "KY",
    "22": "LA",
    "23": "ME",
    "24": "MD",
    "25": "MA",
    "26": "MI",
    "27": "MN",
    "28": "MS",
    "29": "MO",
    "30": "MT",
    "31": "NE",
    "32": "NV",
    "33": "NH",
    "34": "NJ",
    "35": "NM",
    "36": "NY",
    "37": "NC",
    "38": "ND",
    "39": "OH",
    "40": "OK",
    "41": "OR",
    "42": "PA",
    "44": "RI",
    "45": "SC",
    "46": "SD",
    "47": "TN",
    "48": "TX",
    "49": "UT",
    "50": "VT",
    "51": "VA",
    "53": "WA",
    "54": "WV",
    "55": "WI",
    "56": "WY",
    "60": "AS",
    "66": "GU",
    "69": "MP",
    "72": "PR",
    "78": "VI",
}
STATE_NAMES = {
    "AL": "Alabama",
    "AK": "Alaska",
    "AZ": "Arizona",
    "AR": "Arkansas",
    "CA": "California",
    "CO": "Colorado",
    "CT": "Connecticut",
    "DE": "Delaware",
    "DC": "District of Columbia",
    "FL": "Florida",
    "GA": "Georgia",
    "HI": "Hawaii",
    "ID": "Idaho",
    "IL": "Illinois",
    "IN": "Indiana",
    "IA": "Iowa",
    "KS": "Kansas",
    "KY": "Kentucky",
    "LA": "Louisiana",
    "ME": "Maine",
    "MD": "Maryland",
    "MA": "Massachusetts",
    "MI": "Michigan",
    "MN": "Minnesota",
    "MS": "Mississippi",
    "MO": "Missouri",
    "MT": "Montana",
    "NE": "Nebraska",
    "NV": "Nevada",
    "NH": "New Hampshire",
    "NJ": "New Jersey",
    "NM": "New Mexico",
    "NY": "New York",
    "NC": "North Carolina",
    "ND": "North Dakota",
    "OH": "Ohio",
    "OK": "Oklahoma",
    "OR": "Oregon",
    "PA": "Pennsylvania",
    "RI": "Rhode Island",
    "SC": "South Carolina",
    "SD": "South Dakota",
    "TN": "Tennessee",
    "TX": "Texas",
    "UT": "Utah",
    "VT": "Vermont",
    "VA": "Virginia",
    "WA": "Washington",
    "WV": "West Virginia",
    "WI": "Wisconsin",
    "WY": "Wyoming",
    "AS": "American Samoa",
    "GU": "Guam",
    "MP": "Northern Mariana Islands",
    "PR": "Puerto Rico",
    "VI": "Virgin Islands",
}
STATE_FIPS = {usps: fips for fips, usps in STATES.items()}

UNIT_OF = {  # codes that are not units but lie wholly in one
    "51515": "51019",
    "51560": "51005",
    "51780": "51083",
    "46113": "46102",
    "02270": "02158",
    "02063": "02261",
    "02066": "02261",
    "12025": "12086",
}
_EARTH_KM = 6371.0088


def state_of(fips: str) -> str:
    """Return the USPS code of the state (or territory) of a county or state FIPS code.

    >>> state_of("37119"), state_of("48")
    ('NC', 'TX')
    """
    usps = STATES.get(str(fips)[:2])
    if usps is None:
        raise SourceError(f"{fips!r} does not begin with a state FIPS code; county codes are text like '01001'")
    return usps


def load_counties(all_codes: bool = False) -> pd.DataFrame:
    """Return the harmonised counties, or with ``all_codes=True`` every code of every vintage.

    Columns: ``county_fips``, ``name``, ``state``, ``state_fips``, ``unit_fips`` (the harmonised unit the code
    belongs to; missing where none), ``is_unit``, ``valid_from``, ``valid_to`` (missing: since before 2000,
    still valid), ``lat``, ``lon`` (degrees, centre of population 2010), ``note``.
    """
    table = _county_list()
    return (table if all_codes else table[table["is_unit"]]).reset_index(drop=True).copy()


def load_county_changes() -> pd.DataFrame:
    """Return the changes of county codes since 1995 with what this package does about each."""
    return read_released("county_changes")


@lru_cache(maxsize=1)
def _county_list() -> pd.DataFrame:
    return read_released("county_list")


def harmonise(fips: pd.Series, year: pd.Series | int | None = None, *, warn: bool = True) -> pd.Series:
    """Map county codes of any vintage to harmonised units.

    ``fips`` holds 5-character text; integers and short text are refused, not padded. With ``year``, codes
    used outside the years they were in force are counted too (they are mapped all the same: many producers
    back-cast). The result keeps the index; codes without a unit become missing. ``result.attrs["harmonised"]``
    is ``{"recoded": {"51515->51019": n}, "unknown": {code: n}, "outside_validity": {code: n}}``, and a
    :class:`DataWarning` lists the unknown codes.
    """
    given = fips.dropna()
    bad = given[~given.map(lambda v: isinstance(v, str) and bool(re.fullmatch(r"\d{5}", v)))]
    problems = Problems("county codes")
    if len(bad):
        problems.add(
            "not 5-character text", sorted({repr(v) for v in bad}), "frame['county_fips'].astype(str).str.zfill(5)"
        )
    problems.raise_if_any(SourceError)
    table = _county_list().set_index("county_fips")
    unit = table["unit_fips"]
    out = fips.map(unit.to_dict()).astype("object").where(fips.notna(), None)
    out = out.where(out.notna(), None)
    out.name = fips.name
    recoded = (out != fips) & out.notna()
    unknown = fips.notna() & out.isna()
    report: dict[str, dict[str, int]] = {
        "recoded": {f"{a}->{b}": int(n) for (a, b), n in _count(fips[recoded], out[recoded]).items()},
        "unknown": {str(a): int(n) for a, n in fips[unknown].value_counts().sort_index().items()},
        "outside_validity": {},
    }
    if year is not None:
        years = (
            pd.Series(year, index=fips.index) if np.isscalar(year) else aligned(year, fips.index, "harmonise: year=")
        )
        first = fips.map(table["valid_from"].dt.year.to_dict())
        last = fips.map(table["valid_to"].dt.year.to_dict())
        outside = (years < first) | (years > last)
        report["outside_validity"] = {
            str(a): int(n) for a, n in fips[outside.fillna(False)].value_counts().sort_index().items()
        }
    out.attrs["harmonised"] = report
    if warn and report["unknown"]:
        listed = ", ".join(f"{c} ({n})" for c, n in report["unknown"].items())
        caution(
            f"county codes without a harmonised unit, set to missing: {listed}",
            DataWarning,
        )
    return out


def _count(old: pd.Series, new: pd.Series) -> dict[Any, Any]:
    pairs = pd.DataFrame({"old": old, "new": new})
    return pairs.groupby(["old", "new"]).size().to_dict()


def name_key(name: str) -> str:
    """Reduce a county name to what spellings share: lower case, letters and digits, ``St`` for ``Saint``."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"\bsaint\b", "st", plain)
    plain = re.sub(r"\bsainte\b", "ste", plain)
    return re.sub(r"[^a-z0-9]", "", plain)


_COUNTY_WORD = re.compile(
    r"\s+(County|Parish|Borough|City and Borough|Municipality|Census Area|Planning Region)$", re.I
)


@lru_cache(maxsize=1)
def _names() -> dict[tuple[str, str], str]:
    codes = _county_list()
    units = codes.dropna(subset=["unit_fips"])
    out: dict[tuple[str, str], str] = {}
    for state, name, unit in units[["state", "name", "unit_fips"]].itertuples(index=False):
        key = (state, name_key(_COUNTY_WORD.sub("", name)))
        if out.setdefault(key, unit) != unit:
            raise SourceError(f"two counties of {state} are called {name!r}")
    return out


def county_by_name(state: str, name: str) -> str | None:
    """Return the harmonised county of USPS ``state`` called ``name``, or None.

    ``"Lee"`` and ``"Lee County"`` are the same; an independent city needs the word (``"Richmond"`` is the
    county, ``"Richmond city"`` the city, except where only a city bears the name, as Carson City).
    """
    return _names().get((state, name_key(_COUNTY_WORD.sub("", name.strip()))))


def neighbours(vintage: int = 2010, water: bool = False, harmonised: bool = True) -> pd.DataFrame:
    """Return adjacent county pairs, each in both directions.

    ``vintage`` is 2010 or 2024 (Census county adjacency files). Pairs that meet only across water (Cook IL and
    Berrien MI, say) are left out unless ``water=True``. With ``harmonised`` the codes are units; planning
    regions of Connecticut (2024) have none and are dropped, so prefer 2010 there. Columns ``county_fips``,
    ``neighbour_fips``, ``touches_land``, ``shares_edge`` (false: a corner or water).
    """
    table = read_released("county_neighbours")
    known = sorted(int(v) for v in table["vintage"].unique())
    if vintage not in known:
        raise SourceError(f"no adjacency vintage {vintage}; vintages are {known}")
    pairs = table[table["vintage"] == vintage].drop(columns="vintage")
    if not water:
        pairs = pairs[pairs["touches_land"]]
    if harmonised:
        for column in ("county_fips", "neighbour_fips"):
            pairs = pairs.assign(**{column: harmonise(pairs[column], warn=False)})
        pairs = pairs.dropna(subset=["county_fips", "neighbour_fips"])
        pairs = pairs[pairs["county_fips"] != pairs["neighbour_fips"]]
    flipped = pairs.rename(columns={"county_fips": "neighbour_fips", "neighbour_fips": "county_fips"})
    both = pd.concat([pairs, flipped[list(pairs.columns)]])
    both = both.groupby(["county_fips", "neighbour_fips"], as_index=False).max()
    return both.astype({"touches_land": bool, "shares_edge": bool})


def county_distances(county_fips: Any = None, max_km: float = 150.0) -> pd.DataFrame:
    """Return great-circle distances in km between counties' 2010 centres of population, up to ``max_km``.

    ``county_fips`` restricts the first column (treated counties, to build rings around them); default all.
    Columns ``county_fips``, ``other_fips``, ``km``; a county's distance to itself is left out.
    """
    counties = load_counties().dropna(subset=["lat", "lon"]).reset_index(drop=True)
    start = counties if county_fips is None else counties[counties["county_fips"].isin(set(county_fips))]
    if county_fips is not None:
        absent = sorted(set(county_fips) - set(start["county_fips"]))
        if absent:
            raise SourceError(f"no harmonised county {absent}; map codes with geography.harmonise first")
    there = np.radians(counties[["lat", "lon"]].to_numpy())
    pieces = []
    for code, lat, lon in start[["county_fips", "lat", "lon"]].itertuples(index=False):
        la, lo = np.radians(lat), np.radians(lon)
        h = np.sin((there[:, 0] - la) / 2) ** 2 + np.cos(la) * np.cos(there[:, 0]) * np.sin((there[:, 1] - lo) / 2) ** 2
        km = 2 * _EARTH_KM * np.arcsin(np.sqrt(h))
        near = (km <= max_km) & (counties["county_fips"] != code).to_numpy()
        pieces.append(pd.DataFrame({"county_fips": code, "other_fips": counties["county_fips"][near], "km": km[near]}))
    out = pd.concat(pieces) if pieces else pd.DataFrame(columns=["county_fips", "other_fips", "km"])
    return out.sort_values(["county_fips", "km", "other_fips"], ignore_index=True)


# ---------------------------------------------------------------- build


def build(sources: Path, out: Path) -> list[Path]:
    """Build ``county_list``, ``county_changes`` and ``county_neighbours`` from ``sources/geography``."""
    folder = sources / "geography"
    changes = _read_changes(folder / "county_changes.csv")
    counties = _build_list(folder, changes)
    pairs = _build_neighbours(folder)
    _county_list.cache_clear()
    _names.cache_clear()
    return [
        write_released(counties, "county_list", out),
        write_released(changes, "county_changes", out),
        write_released(pairs, "county_neighbours", out),
    ]


# Bedford: the Census Bureau's note to its 2020 counts; Oglala Lakota: press report of the day
_DAY_CHECKED = {"51515", "46113"}
_TREATMENT = {
    "51780": "recoded to 51083",
    "12025": "recoded to 12086",
    "30113": "no unit: split between two counties",
    "51560": "recoded to 51005",
    "08001|08013|08059|08123": "08014 is a unit from 2001; its parents are not back-cast",
    "02232": "no unit: split; successors are units",
    "02280": "no unit: split; successors are units",
    "02201": "no unit: split; successors are units",
    "02195|02105": "codes kept; boundary change ignored",
    "51515": "recoded to 51019",
    "46113": "recoded to 46102",
    "02270": "recoded to 02158",
    "02261": "02063 and 02066 are summed to 02261",
    "09001|09003|09005|09007|09009|09011|09013|09015": "the eight counties are the unit; regions have none",
}


def _read_changes(path: Path) -> pd.DataFrame:
    raw = pd.read_csv(path, dtype=str)
    unknown = sorted(set(raw["old_fips"]) - set(_TREATMENT))
    if unknown:
        raise SourceError(f"{path.name}: changes of {unknown} have no stated treatment in geography._TREATMENT")
    return pd.DataFrame(
        {
            "effective": pd.to_datetime(raw["effective"]),
            "old_fips": raw["old_fips"].str.replace("|", ";"),
            "new_fips": raw["new_fips"].str.replace("|", ";"),
            "kind": raw["kind"],
            "treatment": raw["old_fips"].map(_TREATMENT),
            "date_status": ["verified" if f in _DAY_CHECKED else "unverified" for f in raw["old_fips"]],
            "note": raw["note"],
        }
    )


def _build_list(folder: Path, changes: pd.DataFrame) -> pd.DataFrame:
    names = pd.read_csv(
        folder / "census_national_county_2010.txt",
        names=["state", "state_fips", "county", "name", "class"],
        dtype=str,
    )
    names["county_fips"] = names["state_fips"] + names["county"]
    every = pd.read_csv(folder / "census_fips_codes_all_vintages.csv", dtype=str)
    every["county_fips"] = every["state_code"] + every["county_code"]
    # The 2010 list decides names; codes of other vintages are added from the all-vintages list and by hand.
    extra = every[~every["county_fips"].isin(names["county_fips"]) & (every["state_code"] < "60")]
    inside = names["state_fips"] < "60"
    rows: dict[str, str] = dict(zip(names["county_fips"][inside], names["name"][inside]))
    rows |= dict(zip(extra["county_fips"], extra["county"]))
    rows |= {
        code: name
        for code, name in {
            "12025": "Dade County",
            "51780": "South Boston city",
            "30113": "Yellowstone National Park",
            "02201": "Prince of Wales-Outer Ketchikan Census Area",
            "02280": "Wrangell-Petersburg Census Area",
            "02232": "Skagway-Hoonah-Angoon Census Area",
        }.items()
        if code not in rows
    }
    regions = {f"09{n}" for n in range(110, 200, 10)}
    no_unit = regions | {"30113", "02201", "02231", "02232", "02280"}
    out = pd.DataFrame({"county_fips": sorted(rows)})
    out["name"] = out["county_fips"].map(rows)
    out["state_fips"] = out["county_fips"].str[:2]
    out["state"] = out["state_fips"].map(STATES)
    out["unit_fips"] = out["county_fips"].map(lambda c: None if c in no_unit else UNIT_OF.get(c, c))
    out["is_unit"] = out["unit_fips"] == out["county_fips"]
    start, end = _validity(changes)
    out["valid_from"] = pd.to_datetime(out["county_fips"].map(start))
    out["valid_to"] = pd.to_datetime(out["county_fips"].map(end))
    centres = pd.read_csv(folder / "census_county_centers_2000_2010.csv", dtype={"fips": str})
    for column, source in (("lat", "pclat10"), ("lon", "pclon10")):
        at = dict(zip(centres["fips"], centres[source]))
        at |= {new: at[old] for old, new in (("46113", "46102"), ("02270", "02158")) if pd.isna(at.get(new))}
        out[column] = out["county_fips"].map(at)
    notes = dict.fromkeys(UNIT_OF, "recoded") | dict.fromkeys(no_unit, "no harmonised unit")
    out["note"] = out["county_fips"].map(notes)
    return out


def _validity(changes: pd.DataFrame) -> tuple[dict[str, Any], dict[str, Any]]:
    """First and last day of codes that begin or end since 2000, from the table of changes."""
    start: dict[str, Any] = {}
    end: dict[str, Any] = {}
    row: Any
    for row in changes.itertuples():
        old, new = set(row.old_fips.split(";")), set(row.new_fips.split(";"))
        if row.kind in ("merge", "rename", "split", "redefine"):
            for code in old - new:
                end[code] = row.effective - pd.Timedelta(days=1)
        if row.kind in ("rename", "split", "split_from", "redefine"):
            for code in new - old - {"02130"}:  # Ketchikan Gateway existed before it was enlarged
                start[code] = min(start.get(code, row.effective), row.effective)
    return start, end


# pairs of Connecticut planning regions that meet New York only across Long Island Sound
_SOUND = {"36059", "36103"}


def _build_neighbours(folder: Path) -> pd.DataFrame:
    edge, corner = _shared_borders(folder / "us_atlas_counties_10m.json")
    vintages = {
        2010: _read_adjacency_2010(folder / "census_county_adjacency_2010.txt"),
        2024: _read_adjacency_2024(folder / "census_county_adjacency_2024.txt"),
    }
    # The shapes are of 2017: Kusilvak and Oglala Lakota under their new codes, Valdez-Cordova whole.
    shape = {"46113": "46102", "02270": "02158", "51515": "51019", "02063": "02261", "02066": "02261"}
    rows = []
    for vintage, pairs in vintages.items():
        for a, b in sorted(pairs):
            s, t = sorted((shape.get(a, a), shape.get(b, b)))
            regions = [c for c in (a, b) if re.fullmatch(r"091[1-9]0", c)]
            if s == t:  # the city within its county, the two halves of Valdez-Cordova
                touches = shares = True
            elif regions:
                touches = shares = not ({a, b} & _SOUND)
            else:
                shares = (s, t) in edge
                touches = shares or (s, t) in corner
            rows.append((vintage, a, b, touches, shares))
    return pd.DataFrame(rows, columns=["vintage", "county_fips", "neighbour_fips", "touches_land", "shares_edge"])


def _read_adjacency_2010(path: Path) -> set[tuple[str, str]]:
    pairs: set[tuple[str, str]] = set()
    current = ""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        cells = line.split("\t")
        if len(cells) != 4:
            raise SourceError(f"{path.name}: expected four tab-separated cells, found {line!r}")
        current = cells[1].strip() or current
        _add_pair(pairs, current, cells[3].strip())
    return pairs


def _read_adjacency_2024(path: Path) -> set[tuple[str, str]]:
    pairs: set[tuple[str, str]] = set()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
        _, a, _, b = line.split("|")
        _add_pair(pairs, a, b)
    return pairs


def _add_pair(pairs: set[tuple[str, str]], a: str, b: str) -> None:
    if a != b and a < "60" and b < "60":
        pairs.add((min(a, b), max(a, b)))


def _shared_borders(path: Path) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Pairs of counties sharing an arc, and pairs sharing a vertex, of the topology in ``path``."""
    topology = json.loads(path.read_text(encoding="utf-8"))
    vertices = []
    for arc in topology["arcs"]:
        vertices.append(list(zip(*(itertools.accumulate(c) for c in zip(*arc)))))
    by_arc: dict[Any, set[str]] = defaultdict(set)
    by_vertex: dict[Any, set[str]] = defaultdict(set)
    for county in topology["objects"]["counties"]["geometries"]:
        code = str(county["id"]).zfill(5)
        for index in _flat(county.get("arcs", [])):
            arc = index if index >= 0 else ~index
            by_arc[arc].add(code)
            for point in vertices[arc]:
                by_vertex[point].add(code)

    def pairs(owners: dict[Any, set[str]]) -> set[tuple[str, str]]:
        return {pair for group in owners.values() for pair in itertools.combinations(sorted(group), 2)}

    return pairs(by_arc), pairs(by_vertex)


def _flat(nested: Any) -> Any:
    for item in nested:
        if isinstance(item, list):
            yield from _flat(item)
        else:
            yield item
