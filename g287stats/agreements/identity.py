"""Printed agency → agency, county, ORI: few readable rules, then tables of corrections with their evidence.

Identity comes before termination: only after every spelling, renaming and wrong state of an agency leads to one
``agency_id`` can a missing row be called an exit.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from g287stats import catalog
from g287stats.agreements.memoranda import Signings, read_signings
from g287stats.agreements.rosters import clean

STATE_NAMES = {
    "ALABAMA": "AL",
    "ALASKA": "AK",
    "ARIZONA": "AZ",
    "ARKANSAS": "AR",
    "CALIFORNIA": "CA",
    "COLORADO": "CO",
    "CONNECTICUT": "CT",
    "DELAWARE": "DE",
    "DISTRICT OF COLUMBIA": "DC",
    "FLORIDA": "FL",
    "GEORGIA": "GA",
    "GUAM": "GU",
    "HAWAII": "HI",
    "IDAHO": "ID",
    "ILLINOIS": "IL",
    "INDIANA": "IN",
    "IOWA": "IA",
    "KANSAS": "KS",
    "KENTUCKY": "KY",
    "LOUISIANA": "LA",
    "MAINE": "ME",
    "MARYLAND": "MD",
    "MASSACHUSETTS": "MA",
    "MICHIGAN": "MI",
    "MINNESOTA": "MN",
    "MISSISSIPPI": "MS",
    "MISSOURI": "MO",
    "MONTANA": "MT",
    "NEBRASKA": "NE",
    "NEVADA": "NV",
    "NEW HAMPSHIRE": "NH",
    "NEW JERSEY": "NJ",
    "NEW MEXICO": "NM",
    "NEW YORK": "NY",
    "NORTH CAROLINA": "NC",
    "NORTH DAKOTA": "ND",
    "NORTHERN MARIANA ISLANDS": "MP",
    "OHIO": "OH",
    "OKLAHOMA": "OK",
    "OREGON": "OR",
    "PENNSYLVANIA": "PA",
    "PUERTO RICO": "PR",
    "RHODE ISLAND": "RI",
    "SOUTH CAROLINA": "SC",
    "SOUTH DAKOTA": "SD",
    "TENNESSEE": "TN",
    "TEXAS": "TX",
    "UTAH": "UT",
    "VERMONT": "VT",
    "VIRGIN ISLANDS": "VI",
    "VIRGINIA": "VA",
    "WASHINGTON": "WA",
    "WEST VIRGINIA": "WV",
    "WISCONSIN": "WI",
    "WYOMING": "WY",
    "AMERICAN SAMOA": "AS",
}
USPS = frozenset(STATE_NAMES.values())
NO_COUNTY = {"", "#NA", "#N/A", "N/A", "NA", "COUNTY", "NONE"}

_WORDS = {
    "pd": "police department",
    "dept": "department",
    "dep": "department",
    "departent": "department",
    "deparment": "department",
    "departement": "department",
    "co": "county",
    "couny": "county",
    "twp": "township",
    "boro": "borough",
    "ft": "fort",
    "st": "saint",
    "mt": "mount",
    "so": "south",
    "dps": "department of public safety",
    "pct": "precinct",
    "and": "",
}
_RULES = (
    (re.compile(r"\(addendum\)"), " "),
    (re.compile(r"'"), ""),
    (re.compile(r"[^a-z0-9]+"), " "),
    (re.compile(r"\b(county|parish|co) so$"), r"\1 sheriff"),
)
_AFTER = (
    (re.compile(r"\bsheriffs?( s)? (office|offic|ofice|department|division)\b"), "sheriff"),
    (re.compile(r"\bsheriffs\b"), "sheriff"),
    (re.compile(r"\bconstable(s|ss|bales)?( s)?( office)?\b"), "constable"),
    (re.compile(r"^(city|town|village|borough) of (?=.*(police|public safety|marshal))"), ""),
    (re.compile(r"\bcounty county\b"), "county"),
)


def _lines(frame: pd.DataFrame) -> Iterator[Any]:
    return frame.itertuples(index=False)


@cache
def name_key(name: str) -> str:
    """Return the comparison form of an agency name.

    Lower case; apostrophes and punctuation dropped; usual abbreviations spelt out; "Sheriff's Office" and
    "Sheriff's Department" become "sheriff"; a leading "City of" before a police department is dropped.

    >>> name_key("Alamance County Sheriff’s Department") == name_key("ALAMANCE CO. SHERIFFS OFFICE")
    True
    """
    text = clean(name).lower()
    for pattern, by in _RULES:
        text = pattern.sub(by, text).strip()
    text = " ".join(_WORDS.get(w, w) for w in text.split())
    for pattern, by in _AFTER:
        text = pattern.sub(by, text)
    return " ".join(text.split())


def agency_id(state: str, name: str) -> str:
    """Return the stable identifier of an agency, e.g. ``NC-alamance-county-sheriff``."""
    return f"{state}-{name_key(name).replace(' ', '-')}"


def display_name(name: str) -> str:
    """Return the printed name tidied for people: spaces, apostrophes, no "(Addendum)" mark."""
    return clean(re.sub(r"\(addendum\)", "", name, flags=re.IGNORECASE))


class Alias(NamedTuple):
    """What a printed name really is, and the kind of correction (typo, renamed, relabelled, state, artefact)."""

    state: str
    agency: str
    kind: str


class Resolved(NamedTuple):
    """One printed row resolved: agency, model, signing date, and which corrections were used."""

    state: str
    agency_id: str
    agency: str
    model: str
    fixes: tuple[str, ...]


@dataclass(frozen=True)
class Fixes:
    """The correction tables of ``data/fixes``; every row names the wrong value, the right one and the evidence."""

    states: Mapping[str, str]
    models: Mapping[str, str]
    aliases: Mapping[tuple[str, str], list[tuple[str, str, Alias]]]
    dates: Mapping[tuple[str, str, str, str], str]
    county_names: Mapping[tuple[str, str], str]
    agency_counties: Mapping[str, str]
    oris: Mapping[str, str]
    list_dates: Mapping[tuple[str, str], str]
    signings: Signings

    @classmethod
    def load(cls, folder: Path | None = None) -> Fixes:
        """Read the tables from ``folder`` (default: those released with the package)."""
        base = folder or catalog.released_dir() / "fixes"
        aliases: dict[tuple[str, str], list[tuple[str, str, Alias]]] = {}
        for r in _rows(base / "agency_aliases.csv"):
            alias = Alias(r["to_state"] or r["state"], r["to_agency"], r["kind"])
            aliases.setdefault((r["state"], name_key(r["printed"])), []).append((r["model"], r["signed"], alias))
        for options in aliases.values():  # the most specific correction first
            options.sort(key=lambda o: (o[0] == "", o[1] == ""))
        return cls(
            states={r["printed"]: r["state"] for r in _rows(base / "states.csv")},
            models={r["printed"].lower(): r["model"] for r in _rows(base / "models.csv")},
            aliases=aliases,
            dates={
                (r["state"], name_key(r["agency"]), r["model"], r["printed"]): r["signed_date"]
                for r in _rows(base / "signed_dates.csv")
            },
            county_names={(r["state"], r["printed"].upper()): r["county"] for r in _rows(base / "county_names.csv")},
            agency_counties={
                agency_id(r["state"], r["agency"]): r["county_fips"] for r in _rows(base / "agency_counties.csv")
            },
            oris={agency_id(r["state"], r["agency"]): r["ori"] for r in _rows(base / "agency_oris.csv")},
            list_dates={(r["kind"], r["file"]): r["list_date"] for r in _rows(base / "list_dates.csv")},
            signings=read_signings((agency_id(r["state"], r["agency"]), r) for r in _rows(base / "signings.csv")),
        )

    def state(self, printed: str) -> str | None:
        """Return the USPS code of a printed state, or ``None`` if it is unknown."""
        text = clean(printed).upper()
        return STATE_NAMES.get(text) or (text if text in USPS else self.states.get(text))

    def model(self, printed: str) -> str | None:
        """Return JEM, TFM or WSO, or ``None`` for a model never seen."""
        return self.models.get(clean(printed).lower())

    def agency(self, state: str, printed: str, model: str = "", signed: str = "") -> Alias:
        """Return the agency a printed name stands for (itself when no correction applies)."""
        for only_model, only_signed, alias in self.aliases.get((state, name_key(printed)), ()):
            if only_model in ("", model) and only_signed in ("", signed):
                return alias
        return Alias(state, display_name(printed), "")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


# --- what kind of agency ------------------------------------------------------------------------------------

_TYPES: tuple[tuple[str, str, str], ...] = (  # pattern on the key, agency_type, jurisdiction; first match wins
    (r"\buniversity\b|\bcollege\b|\bschools?\b|\bcampus\b", "campus", "campus"),
    (r"\bconstable\b", "constable", "constable"),
    (r"\bregional (adult detention|jail)|\bdistrict jail\b", "county_jail", "regional"),
    (r"state attorney .*circuit|district attorney .*district$|judicial district", "other", "regional"),
    (r"\bairport\b|\bport authority\b|\bairport authority\b", "other", "special"),
    (r"district attorney|prosecutor|county attorney|\bcounty attorneys", "other", "county"),
    (r"\bsheriff\b", "sheriff", "county"),
    (r"criminal justice authority|\b(county|parish)\b.*\b(jail|prison|detention|correction)", "county_jail", "county"),
    (r"miami dade corrections", "county_jail", "county"),
    (r"\bcounty department of detention", "county_jail", "county"),
    (r"las vegas metropolitan police", "county_police", "county"),
    (r"(county|parish) police|police cooperative|metro police authority", "county_police", "county"),
    (r"task force", "other", "county"),
)
_TYPES_COMPILED = tuple((re.compile(p), t, j) for p, t, j in _TYPES)
_STATE_WORDS = re.compile(
    r"\bstate (police|highway|patrol|guard|fire)|\bhighway (state )?patrol|\bnational guard\b|\bmilitary department\b|"
    r"\bbureau of (investigation|narcotics)\b|\boffice of the attorney general\b|attorney generals office|"
    r"\bdepartment of (corrections?|correctional services|public safety|justice|safety|financial|environmental|"
    r"agriculture|homeland|law enforcement|lottery|highway|wildlife|state police)\b|\bcorrections department\b|"
    r"\b(fire marshal|state auditor|alcohol|gaming control|wildlife|marine resources|law enforcement division|"
    r"law enforcement services|law enforcement standards|agricultural law enforcement|criminal investigation)\b|"
    r"division of corrections rehabilitation"
)


def classify(key: str, printed_type: str = "") -> tuple[str, str]:
    """Return ``(agency_type, jurisdiction)`` of an agency from its key and the TYPE ICE prints.

    Jurisdictions: county, municipal, campus, constable (a ward, precinct or township officer), regional (several
    counties), special (ports and airports), state.
    """
    for pattern, kind, where in _TYPES_COMPILED:
        if pattern.search(key):
            return kind, where
    statewide = clean(printed_type).lower() in {"state", "state agency"}
    local = re.search(r"\bpolice department\b|\bmarshals?\b|\bpolice services\b", key) and not re.search(
        r"\bstate (highway )?(police|patrol)\b|department of state police|highway patrol|state fire marshal", key
    )
    if _STATE_WORDS.search(key) and not local and (statewide or not _municipal_dps(key)):
        if "correction" in key:
            return "state_corrections", "state"
        if re.search(
            r"state police|state (highway )?patrol|highway (state )?patrol|\bdepartment of (public )?safety", key
        ):
            return "state_police", "state"
        return "state_other", "state"
    if re.search(r"police|public safety|marshal", key):
        return "municipal_police", "municipal"
    if statewide:
        return "state_other", "state"
    return "other", "county" if re.search(r"\b(county|parish)\b", key) else "municipal"


def _municipal_dps(key: str) -> bool:
    """Is this a town's department of public safety rather than a state's?"""
    match = re.match(r"(.*?) (division|department) of public safety", key)
    return match is not None and match.group(1).upper() not in {*STATE_NAMES, "CNMI", "LOUISIANA", "MINNESOTA"}


# --- where ----------------------------------------------------------------------------------------------------

_COUNTY_WORDS = re.compile(r"\b(county|parish|borough|census area|municipality|city and borough|city)\b")


def _place_key(text: str) -> str:
    """Comparison form of a county or place name: "St. Mary's" and "Saint Marys", "De Soto" and "DeSoto" agree."""
    text = re.sub(r"[^a-z0-9 ]", "", clean(text).lower().replace(".", "").replace("-", " "))
    text = re.sub(r"^st\b|\bst(?= )", "saint", text)
    text = re.sub(r"^ste\b", "sainte", text)
    return text.replace(" ", "")


class Counties:
    """Names of counties and independent cities → codes, within a state."""

    def __init__(self, counties: pd.DataFrame):
        """``counties`` is the released county list (``county_fips``, ``name``, ``state``, ``unit_fips``)."""
        self.by_name: dict[tuple[str, str], list[str]] = {}
        self.cities: dict[tuple[str, str], str] = {}
        self.name_of: dict[str, str] = dict(zip(counties["county_fips"], counties["name"]))
        self.state: dict[str, str] = {}
        self._found: dict[tuple[str, str], str | None] = {}
        current = counties[counties["unit_fips"].eq(counties["county_fips"])]
        for fips, name, state in _lines(current[["county_fips", "name", "state"]]):
            self.state[fips] = state
            if name.endswith(" city") or name == "Carson City":
                self.cities[state, _place_key(re.sub(r" [Cc]ity$", "", name))] = fips
            base = _place_key(_COUNTY_WORDS.sub("", name.lower()))
            self.by_name.setdefault((state, base), []).append(fips)

    def find(self, state: str, name: str) -> str | None:
        """Return the code of ``name`` ("Fairfax County", "Fairfax city", "DeKalb") in ``state``, or ``None``.

        Where a county and an independent city share a name, the county is meant unless "city" is said.
        """
        if (state, name) not in self._found:
            self._found[state, name] = self._find(state, name)
        return self._found[state, name]

    def _find(self, state: str, name: str) -> str | None:
        text = clean(name).lower()
        if not text:
            return None
        base = _place_key(_COUNTY_WORDS.sub("", text))
        if re.search(r"\bcity$", text):
            city = self.cities.get((state, base))
            if city:
                return city
            whole = self.by_name.get((state, _place_key(text)))
            return whole[0] if whole else None
        found = self.by_name.get((state, base)) or self.by_name.get((state, _place_key(text)), [])
        if len(found) > 1:
            found = [f for f in found if f != self.cities.get((state, base))]
        return found[0] if len(found) == 1 else None

    def names(self, codes: str) -> str:
        """Return the names of ``codes`` (separated by semicolons), in their order."""
        return "; ".join(self.name_of[c] for c in codes.split(";")) if codes else ""

    def city(self, state: str, name: str) -> str | None:
        """Return the code of an independent city, or ``None``."""
        return self.cities.get((state, _place_key(name)))


_LOCAL_SUFFIX = re.compile(
    r"\b(police services department|police departments?|police|department of public safety|division of public safety"
    r".*|public safety department|public safety|marshals? office|marshals?|constable.*)\b.*$"
)


def place_of(key: str) -> str:
    """Return the place a municipal agency is named after (``"mohawk village police department"`` → village)."""
    return re.sub(r"^(city|town|village|borough|township) of ", "", _LOCAL_SUFFIX.sub("", key)).strip()


class FbiAgencies:
    """The FBI's agency list: ORI and counties of an agency by state, name and kind."""

    def __init__(self, frame: pd.DataFrame, counties: Counties):
        """``frame`` is the released table ``fbi_agencies`` (``ori``, ``agency``, ``state``, ``counties``, ``kind``)."""
        self.places: dict[tuple[str, str], list[tuple[str, tuple[str, ...]]]] = {}
        self.sheriffs: dict[tuple[str, str], list[tuple[str, tuple[str, ...]]]] = {}
        self.campuses: dict[tuple[str, str], list[tuple[str, tuple[str, ...]]]] = {}
        numbers = ["ori", "population", "officers", "year"]
        self.staff = {r.ori: r for r in _lines(frame[numbers])} if set(numbers) <= set(frame) else {}
        columns = ["ori", "agency", "state", "counties", "kind"]
        singles: dict[str, dict[str, int]] = {}
        kept = []
        for ori, name, state, where, kind in _lines(frame[columns].fillna("")):
            found = tuple(dict.fromkeys(f for f in (counties.find(state, w) for w in where.split(",")) if f))
            kept.append((ori, name, state, kind, found))
            if len(found) == 1:
                votes = singles.setdefault(ori[:5], {})
                votes[found[0]] = votes.get(found[0], 0) + 1
        seat = {prefix: max(sorted(v), key=lambda f: v[f]) for prefix, v in singles.items()}
        for ori, name, state, kind, found in kept:
            principal = seat.get(ori[:5])
            if principal in found:  # characters 3–5 of the ORI number the agency's county
                found = (principal, *(f for f in found if f != principal))
            base = re.sub(r",.*$", "", name)
            entry = (ori, found)
            if kind == "City":
                for form in {name_key(name), name_key(base), place_of(name_key(base))}:
                    self.places.setdefault((state, form), []).append(entry)
            elif kind == "County":
                self.sheriffs.setdefault((state, _place_key(_COUNTY_WORDS.sub("", base.lower()))), []).append(entry)
                if "police" in name.lower():
                    self.places.setdefault((state, place_of(name_key(base))), []).append(entry)
            elif kind == "University or College":
                self.campuses.setdefault((state, name_key(base)), []).append(entry)

    def match(self, state: str, key: str, kind: str, county: str | None) -> tuple[str, tuple[str, ...], int]:
        """Return ``(ori, counties, candidates)``; ORI and counties are empty unless one candidate is left.

        ``county``, where known from another source, chooses among agencies of one name.
        """
        if kind == "sheriff":
            base = _place_key(_COUNTY_WORDS.sub("", key.replace("sheriff", "")))
            options = [o for o in self.sheriffs.get((state, base), []) if o[0].endswith("00")]
        elif kind == "campus":
            base = re.sub(r" (police department|police|board of trustees|department of public safety)$", "", key)
            options = self.campuses.get((state, base), [])
        else:
            place = place_of(key)
            options = self.places.get((state, place), [])
            if not options:
                short = re.sub(r" (borough|township|village|town|city)$", "", place)
                options = self.places.get((state, short), []) or self.places.get((state, f"{place} borough"), [])
        options = sorted(dict(options).items())
        if county and len(options) > 1:
            options = [o for o in options if county in o[1]]
        if len(options) != 1:
            return "", (), len(options)
        return options[0][0], options[0][1], 1


class Located(NamedTuple):
    """Where an agency is: codes (principal first), how they were found, ORI, and what disagreed."""

    county_fips: str
    basis: str
    ori: str
    printed: str
    named: str
    fbi: str
    conflict: str


def locate(
    agency: str,
    state: str,
    key: str,
    kind: str,
    jurisdiction: str,
    printed: Iterable[str],
    fixes: Fixes,
    counties: Counties,
    fbi: FbiAgencies,
) -> Located:
    """Find the county of one agency by cascade: correction table, county in the name, printed county, FBI list.

    ``printed`` are the COUNTY cells of the agency, latest last; the latest that can be read counts. A county
    agency's own name outranks ICE's cell; a city is matched as a city before it is matched as a county. A
    municipal agency carries every county the FBI names for it, the principal one first. Statewide agencies have
    no county. Disagreements between the sources are returned in ``conflict``, never settled silently.
    """
    if jurisdiction == "state":
        return Located("", "statewide", "", "", "", "", "")
    cells = [clean(c) for c in printed if clean(c).upper() not in NO_COUNTY]
    read = [
        c for c in (counties.find(state, fixes.county_names.get((state, cell.upper()), cell)) for cell in cells) if c
    ]
    from_cell = read[-1] if read else ""
    named = ""
    match = re.match(r"(?:county of )?(.*?\b(?:county|parish))\b", key)
    if match and jurisdiction in ("county", "constable", "campus", "special"):
        text = fixes.county_names.get((state, match.group(1).upper()), match.group(1))
        named = counties.find(state, text) or (counties.city(state, match.group(1).replace(" county", "")) or "")
    if not named and kind == "sheriff":
        base = key.replace(" sheriff", "")
        named = counties.find(state, base + (" city" if base.endswith(" city") else "")) or ""
    if jurisdiction in ("municipal", "campus") and not named:
        named = counties.city(state, place_of(key).replace(" city", "")) or ""
    ori, fbi_counties, candidates = fbi.match(state, key, kind, from_cell or named or None)
    if jurisdiction in ("constable", "special", "regional") or (kind == "other"):
        ori, fbi_counties, candidates = "", (), 0
    fixed = fixes.agency_counties.get(agency, "")
    every = {c for c in (from_cell, named, *(fbi_counties[:1] if not from_cell else ())) if c}
    disagreement = ""
    if len(every) > 1 or (from_cell and fbi_counties and from_cell not in fbi_counties):
        disagreement = "sources disagree"
    elif len(set(read)) > 1:
        disagreement = "ICE printed more than one county"
    elif cells and not read:
        disagreement = "printed county not in the county list"
    elif candidates > 1 and not (from_cell or named):
        disagreement = f"{candidates} FBI agencies of this name"
    if fixed:
        chosen, basis = fixed, "correction table"
    elif named:
        chosen, basis = named, "county in the name"
    elif from_cell:
        chosen, basis = from_cell, "printed county"
    elif fbi_counties:
        chosen, basis = ";".join(fbi_counties), "FBI agency list"
    else:
        chosen, basis = "", "none"
    if chosen and not fixed and jurisdiction == "municipal" and chosen in fbi_counties:
        chosen = ";".join([chosen, *(f for f in fbi_counties if f != chosen)])
    return Located(chosen, basis, ori, from_cell, named, ";".join(fbi_counties), disagreement)


_COMMON = re.compile(
    r"\b(police|department|sheriff|county|parish|constable|office|township|borough|city|town|village|of|the|"
    r"public safety|marshals?)\b"
)


class KnownNames:
    """Agencies by what is their own in their names, to find the one a misspelt name may mean.

    Words that most names share do not count: Morven and Molena are not alike because both have police departments.
    """

    def __init__(self, states: Iterable[str], names: Iterable[str], ids: Iterable[str]):
        """``states``, ``names`` and ``ids`` of the agencies known, in the same order."""
        self.pool: dict[str, dict[str, str]] = {}
        for state, name, identifier in zip(states, names, ids):
            self.pool.setdefault(state, {}).setdefault(_own_words(name), identifier)

    def near(self, state: str, name: str) -> list[str]:
        """Return the agencies of ``state`` within a few letters of ``name``, the nearest first."""
        pool = self.pool.get(state, {})
        return [pool[k] for k in difflib.get_close_matches(_own_words(name), sorted(pool), n=3, cutoff=0.85)]


def _own_words(name: str) -> str:
    return _COMMON.sub("", name_key(name)).replace(" ", "")
