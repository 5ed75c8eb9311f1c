"""Police stops from the Stanford Open Policing Project, summed to counties.

One row a stop; files are large, so they are read in pieces and only sums are kept: by county name, department, month,
type of stop and race. The project codes race asian/pacific islander, black, hispanic, white, other, unknown; a missing
race is counted as unknown, a stop without date or county is counted and listed, never placed. What is missing in a file
as a whole (searches, say) is missing, not zero. Coverage is unknown: agencies in a file vary by year.

Reference: Pierson, E., et al. (2020), "A large-scale analysis of racial disparities in police stops across the
United States", Nature Human Behaviour 4, 736–745.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from g287stats.catalog import codebook, missing, read_kept
from g287stats.catalog import table as declared
from g287stats.catalog.archives import Member
from g287stats.catalog.readers import cells, check_last_line, read_named
from g287stats.catalog.store import Part, kept
from g287stats.errors import Problems, SourceError, choose
from g287stats.flow import Flow, Step
from g287stats.geography import STATE_FIPS, county_by_name
from g287stats.outcomes.table import OutcomeTable, select_years

TABLE = "open-policing-stops"
_COLUMNS = ("date", "county_name", "department_name", "subject_race", "type", "search_conducted", "arrest_made")
_KEYS = ["county_name", "department_name", "month", "type", "race"]
_STATE = r"state (?:police|patrol|trooper)|highway patrol|public safety|\b(?:chp|dps|isp|csp|nchp|fhp)\b"
_SHERIFF = r"sheriff|\bso\b|county police|county pd"
_NEEDED = ("date", "subject_race")
RACES = {
    "hispanic": "hispanic",
    "black": "black",
    "white": "white",
    "asian/pacific islander": "asian",
    "other": "other",
    "other/unknown": "other",
    "unknown": "unknown",
}
PIECE = 500_000


def parse(members: Sequence[Member]) -> list[Part]:
    """Read stop files, one part a state or city; all problems of all files at once."""
    problems = Problems(TABLE)
    parts: dict[str, Part] = {}
    for member in members:
        own = Problems(member.label)
        name = re.sub(r"^yg821jf8611_", "", member.name.rsplit("/", 1)[-1].lower())
        place = re.match(r"([a-z]{2}_[a-z_]+?)_\d{4}_\d\d_\d\d\.", name)
        key = place[1] if place else name
        if key[:2].upper() not in STATE_FIPS:
            own.add(f"the name does not begin with a state: {key[:2]!r}")
        frame = None if own else _sum(member, own)
        if own or frame is None:
            problems.lines += [f"{member.label}: {line}" for line in own.lines]
            continue
        if key in parts:
            problems.add(f"{member.label} and {parts[key].source.label} are both {key}", remedy="Name the later one")
        dated = frame[frame["month"] != ""]
        report = {
            "stops": int(frame["stops"].sum()),
            "first": dated["month"].min() if len(dated) else "",
            "last": dated["month"].max() if len(dated) else "",
            "without_date": int(frame.loc[frame["month"] == "", "stops"].sum()),
            "without_county": int(frame.loc[frame["county_name"] == "", "stops"].sum()),
        }
        parts[key] = Part(key, frame, member, report)
    problems.raise_if_any(SourceError)
    return [parts[k] for k in sorted(parts)]


def _pieces(member: Member) -> Iterator[pd.DataFrame]:
    if member.suffix == ".csv":
        check_last_line(member.path, ",", member.label)
        yield from pd.read_csv(
            member.path,
            dtype=str,
            keep_default_na=False,
            usecols=lambda c: c in _COLUMNS,
            chunksize=PIECE,
            encoding="utf-8",
        )
    else:
        yield read_named(member, _COLUMNS).astype("string").fillna("").astype(object)


def _sum(member: Member, problems: Problems) -> pd.DataFrame | None:
    sums = []
    row = 0
    try:
        for piece in _pieces(member):
            absent = [c for c in _NEEDED if c not in piece]
            if absent:
                problems.add("columns are absent: not a stop file of the project", absent)
                return None
            sums.append(_count(piece.replace("NA", ""), row, problems))
            row += len(piece)
            if problems:
                return None
    except SourceError as error:
        problems.add(str(error).removeprefix(f"{member.label}: "))
        return None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        problems.add(f"cannot be read ({type(error).__name__}: {error}). Truncated: download it again")
        return None
    if not row:
        problems.add("no stops")
        return None
    return pd.concat(sums).groupby(_KEYS, as_index=False, dropna=False).sum(min_count=1)


def _count(piece: pd.DataFrame, before: int, problems: Problems) -> pd.DataFrame:
    given = piece["date"] != ""
    date = pd.to_datetime(piece["date"].where(given), format="%Y-%m-%d", errors="coerce")
    bad = given & date.isna()
    if bad.any():
        problems.add("dates that are no dates", cells(piece["date"], bad, before + 2))
    race = piece["subject_race"].str.lower()
    strange = ~race.isin([*RACES, ""])
    if strange.any():
        problems.add("races outside the project's list (columns out of place?)", sorted(set(race[strange])))
    out = pd.DataFrame(
        {
            "county_name": piece.get("county_name", pd.Series("", index=piece.index)),
            "department_name": piece.get("department_name", pd.Series("", index=piece.index)).str.strip(),
            "month": date.dt.strftime("%Y-%m").fillna(""),
            "type": piece.get("type", pd.Series("vehicular", index=piece.index)),
            "race": race.map(RACES).fillna("unknown"),
            "stops": 1.0,
        }
    )
    for theirs, ours in (("search_conducted", "searches"), ("arrest_made", "arrests")):
        values = piece[theirs].str.upper() if theirs in piece else pd.Series("", index=piece.index)
        wrong = ~values.isin(["TRUE", "FALSE", "", "1", "0", "1.0", "0.0"])
        if wrong.any():
            problems.add(f"{theirs} is neither TRUE nor FALSE", sorted(set(values[wrong])))
        out[ours] = values.map({"TRUE": 1.0, "1": 1.0, "1.0": 1.0, "FALSE": 0.0, "0": 0.0, "0.0": 0.0})
    return out.groupby(_KEYS, as_index=False).sum(min_count=1)


def agency_types(department: pd.Series, place: pd.Series) -> pd.Series:
    """Return ``state``, ``county`` or ``city`` for the department of each row.

    State police and highway patrols, sheriffs and county police are told by their names; a named department that is
    neither is a city's. A file without departments is of the state's force when statewide, of the city's otherwise.

    >>> names = pd.Series(["NC State Highway Patrol", "Wake County Sheriff's Office", "Raleigh Police Department", ""])
    >>> agency_types(names, pd.Series(["nc_statewide"] * 3 + ["nc_durham"])).tolist()
    ['state', 'county', 'city', 'city']
    """
    name = department.fillna("").str.lower()
    kind = pd.Series("city", index=department.index, dtype=object)
    kind[name.str.contains(_SHERIFF)] = "county"
    kind[name.str.contains(_STATE)] = "state"
    kind[(name == "") & place.str.endswith("_statewide")] = "state"
    return kind


def load_open_policing(
    years: tuple[int, int] | Iterable[int] | None = None,
    *,
    freq: Literal["M", "Y"] = "Y",
    type: Literal["vehicular", "pedestrian", "all"] = "vehicular",
    agency_type: Literal["all", "state", "county", "city"] = "all",
    departments: Sequence[str] | None = None,
    places: dict[str, str] | None = None,
) -> OutcomeTable:
    """Return stops by county and period: all, by race, with searches and arrests.

    ``agency_type`` keeps the stops of state troopers (``"state"``), of sheriffs and county police (``"county"``) or of
    city police, told by :func:`agency_types`; ``departments`` those of the departments named, as printed. A county's
    searches and arrests are missing where one of its departments does not record them.

    ``places`` names the county of city files, which rarely print one: ``{"nc_durham": "37063"}``. Overlapping
    statewide and city files are both counted, so add one or the other.
    """
    have = kept(TABLE)
    if not have:
        raise missing(TABLE)
    if type not in ("vehicular", "pedestrian", "all"):
        raise SourceError(f"type={type!r}; it is one of 'vehicular', 'pedestrian', 'all'")
    pieces = [f.assign(place=k, state=k[:2].upper()) for k, f in read_kept(TABLE).items()]
    rows = pd.concat(pieces, ignore_index=True)
    flow = [Step("stops in the files", int(rows["stops"].sum()), ", ".join(sorted(have)))]
    choose("agency_type", agency_type, ("all", "state", "county", "city"))
    if agency_type != "all":
        rows = rows[agency_types(rows["department_name"], rows["place"]) == agency_type]
        flow.append(Step(f"stops of {agency_type} police", int(rows["stops"].sum()), "other agencies"))
    if departments is not None:
        absent = sorted(set(departments) - set(rows["department_name"]))
        if absent:
            known = sorted(set(rows["department_name"]))
            raise SourceError(f"no stops of departments {absent}; the files have {known[:12]}")
        rows = rows[rows["department_name"].isin(set(departments))]
        flow.append(Step("stops of the departments named", int(rows["stops"].sum()), "other departments"))
    if type != "all":
        rows = rows[rows["type"] == type]
        flow.append(Step(f"{type} stops", int(rows["stops"].sum()), "other types of stop"))
    rows = rows[rows["month"] != ""]
    flow.append(Step("with a date", int(rows["stops"].sum()), "no date"))
    chosen = select_years("open_policing", years, rows["month"].str[:4].astype(int).unique())
    rows = rows[rows["month"].str[:4].astype(int).isin(chosen)].copy()
    names = rows[["place", "state", "county_name"]].drop_duplicates()
    names["county_fips"] = [
        county_by_name(s, n) if n else (places or {}).get(p)
        for p, s, n in zip(names["place"], names["state"], names["county_name"], strict=True)
    ]
    rows = rows.merge(names, on=["place", "state", "county_name"], how="left")
    nowhere = rows["county_fips"].isna()
    lost = rows[nowhere].groupby(["place", "county_name"], as_index=False)["stops"].sum()
    listing = tuple(f"{r.place} {r.county_name or '(no county)'}: {int(r.stops)}" for r in lost.itertuples())
    rows = rows[~nowhere]
    flow.append(Step("in a county", int(rows["stops"].sum()), "no county, or a name not matched", listing))
    if rows.empty:
        raise SourceError("no stop has a county. City files need places={'nc_durham': '37063'}")
    time = "year" if freq == "Y" else "period"
    month = pd.PeriodIndex(rows["month"], freq="M")
    rows[time] = month.year if freq == "Y" else month
    groups = rows.groupby(["county_fips", time])
    recorded = rows[["searches", "arrests"]].notna().groupby([rows["county_fips"], rows[time]]).all()
    frame = groups[["stops", "searches", "arrests"]].sum(min_count=1)
    frame[["searches", "arrests"]] = frame[["searches", "arrests"]].where(recorded)
    for race in dict.fromkeys(RACES.values()):
        of = rows[rows["race"] == race].groupby(["county_fips", time])[["stops", "searches"]].sum(min_count=1)
        frame[f"stops_{race}"] = of["stops"].reindex(frame.index).fillna(0)
        frame[f"searches_{race}"] = of["searches"].reindex(frame.index).where(frame["searches"].notna())
    frame["months_reported"] = groups["month"].nunique()
    frame = frame.reset_index()
    counts = [c for c in frame.columns if c not in ("county_fips", time, "months_reported")]
    frame[counts] = frame[counts].astype("Int64")
    frame["doubt"] = np.where((frame["months_reported"] < 12) & (freq == "Y"), "fewer than 12 months in the file", "")
    if freq == "Y":
        frame["year"] = frame["year"].astype("int64")
    source = "Stanford Open Policing Project"
    book = codebook(["county_fips", time, "months_reported", "doubt"], source, months_reported={"note": "with a stop"})
    for c in counts:
        what = c.partition("_")[0]
        words = {"note": c.replace("_", ", race ", 1), "unit": f"{what} a {'year' if freq == 'Y' else 'month'}"}
        book |= codebook([c], source, **{c: {"is": "stops", **words}})
    return OutcomeTable(
        name="open_policing",
        frame=frame,
        counts=tuple(counts),
        codebook=book,
        provenance={
            "table": TABLE,
            "citation": declared(TABLE).citation,
            "files": {k: {"file": v.source_member, "sha256": v.source_sha256} for k, v in have.items()},
            "settings": {"freq": freq, "type": type, "agency_type": agency_type, "places": dict(places or {})}
            | ({} if departments is None else {"departments": list(departments)}),
        },
        freq=freq,
        flow=Flow(tuple(flow)),
    )
