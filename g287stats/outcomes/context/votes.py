"""Presidential votes by county: the returns compiled by the MIT Election Data and Science Lab (MEDSL).

Rules of the file ``countypres_2000-20XX``, which this module follows:

- Votes are printed by ``mode``. Where a place has rows of mode ``TOTAL``, these are its votes; where it has none
  (whole states from 2020 on), its modes are added. A blank mode printed once a candidate is a total; printed more
  than once, or beside named modes that do not add up to it, it is one more mode.
- Rows that agree in every cell are one row, except under a blank mode, where they may be two modes.
- Alaska counts by district, under numbers that collide with county codes: left out.
- Rows without a code (write-ins, overseas ballots, federal precincts) and with a code of no county of their state
  (Kansas City MO: 36000 or 2938000) have no county. Kansas City lies mostly in Jackson County, whose own row holds
  it or not depending on the release, so Jackson is missing in elections that print the city apart.
- A code that bears two names in one election (Sharp and St. Francis AR) tells neither county.

What is left out is listed in :attr:`PresidentialVotes.set_aside`. Votes count the two parties only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from g287stats.catalog import missing, read_kept
from g287stats.catalog import table as declared
from g287stats.catalog.archives import Member
from g287stats.catalog.readers import as_numbers, cells, read_named
from g287stats.catalog.store import Part, kept
from g287stats.errors import Problems, SourceError
from g287stats.geography import STATE_FIPS, harmonise
from g287stats.outcomes.table import select_years

TABLE = "presidential-votes"
COLUMNS = (
    "year",
    "state",
    "state_po",
    "county_name",
    "county_fips",
    "office",
    "candidate",
    "party",
    "candidatevotes",
    "totalvotes",
    "version",
    "mode",
)
_FORMATS = (".csv", ".tsv", ".tab")
_OFFICES = {"US PRESIDENT", "PRESIDENT"}
_PARTIES = {"DEMOCRAT": "votes_democratic", "REPUBLICAN": "votes_republican"}
_STATES = {usps for usps, fips in STATE_FIPS.items() if fips < "60"}
_PLACE = ["state", "code", "county_name"]
_APART = {("MO", "KANSAS CITY"): "29095"}  # printed apart from the county it mostly lies in


@dataclass(frozen=True)
class PresidentialVotes:
    """Votes by county and election, and every place of the files that is not among them.

    ``frame``: ``county_fips``, ``year``, ``votes_democratic``, ``votes_republican``, ``republican_share`` (of the
    two-party vote), ``counted`` (printed total, or sum over modes), ``doubt``. ``set_aside``: ``state``,
    ``county_name``, ``code``, ``year``, ``reason``.
    """

    frame: pd.DataFrame
    set_aside: pd.DataFrame
    provenance: dict[str, Any]


def load_presidential_votes(years: tuple[int, int] | Iterable[int] | None = None) -> PresidentialVotes:
    """Return votes by harmonised county for the elections in hand, from the file added as ``presidential-votes``.

    A county is absent, not zero, in an election where any part of it was set aside. Raises
    :class:`UnavailableError` naming study, file and command when nothing was added.
    """
    have = kept(TABLE)
    if not have:
        raise missing(TABLE)
    chosen = select_years("presidential_votes", years, [int(k) for k in have])
    parts = read_kept(TABLE, [str(y) for y in chosen])
    rows = pd.concat([f.assign(year=int(k)) for k, f in parts.items()], ignore_index=True)
    countable = ~rows["set_aside"].isin([_ALASKA, _NO_CODE, _CITY, _FOREIGN])
    rows["county_fips"] = harmonise(rows["code"].where(countable), warn=False)
    rows.loc[countable & rows["county_fips"].isna(), "set_aside"] = "code without a harmonised county"
    out = rows["set_aside"] != ""
    units = rows.dropna(subset=["county_fips"]).groupby(["county_fips", "year"])
    frame = units[list(_PARTIES.values())].sum()
    frame["counted"] = units["counted"].agg(lambda s: "; ".join(sorted(set(s))))
    frame["doubt"] = units["doubt"].agg(lambda s: "; ".join(sorted({x for x in s if x})))
    frame = frame[~units["set_aside"].agg(lambda s: (s != "").any())].reset_index()
    two = frame["votes_democratic"] + frame["votes_republican"]
    frame.insert(4, "republican_share", (frame["votes_republican"] / two).astype("float64"))
    listed = rows.loc[out, ["state", "county_name", "code", "year", "set_aside"]]
    return PresidentialVotes(
        frame=frame,
        set_aside=listed.rename(columns={"set_aside": "reason"}).sort_values(
            ["year", "state", "code", "county_name"], ignore_index=True
        ),
        provenance={
            "table": TABLE,
            "citation": declared(TABLE).citation,
            "terms": declared(TABLE).terms,
            "files": {
                str(y): {
                    "file": have[str(y)].source_member,
                    "sha256": have[str(y)].source_sha256,
                    "version": have[str(y)].report["version"],
                }
                for y in chosen
            },
        },
    )


def parse(members: Sequence[Member]) -> list[Part]:
    """Read one release among ``members`` (CSV before tab-separated), one part an election; all problems at once."""
    problems = Problems(TABLE)
    releases = {PurePosixPath(m.name).stem.lower(): m for m in sorted(members, key=_order, reverse=True)}
    if len(releases) > 1:
        labels = [m.label for m in releases.values()]
        problems.add("more than one release", labels, "Name the latest: each holds all elections from 2000")
        problems.raise_if_any(SourceError)
    member = next(iter(releases.values()))
    rows = _read(member, problems)
    problems.raise_if_any(SourceError)
    parts = []
    for year, election in rows.groupby("year"):
        places, repeated = _places(election)
        report = {
            "places": len(places),
            "summed_over_modes": int((places["counted"] == _SUMMED).sum()),
            "set_aside": int((places["set_aside"] != "").sum()),
            "doubtful": int((places["doubt"] != "").sum()),
            "repeated_rows": repeated,
            "version": ", ".join(sorted(set(election["version"]))),
        }
        parts.append(Part(str(year), places, member, report))
    return parts


def _order(member: Member) -> tuple[int, str, str]:
    return (_FORMATS.index(member.suffix), str(member.origin), member.name)


def _read(member: Member, problems: Problems) -> pd.DataFrame:
    """Read and check the file; what is wrong goes to ``problems``."""
    raw = read_named(member)
    raw = raw.rename(columns={c: str(c).strip().lower() for c in raw.columns})
    absent = [c for c in COLUMNS if c not in raw]
    if absent:
        problems.add("columns are absent", absent, "Take the release 2000–2020 or a later one, unedited")
        return raw
    if raw.empty:
        problems.add("no rows")
        return raw
    rows = pd.DataFrame({c: raw[c].str.strip() for c in COLUMNS})
    rows["party"], rows["mode"] = rows["party"].str.upper(), rows["mode"].str.upper().replace("NA", "")
    rows["code"] = rows["county_fips"].replace("NA", "")
    number = pd.to_numeric(rows["year"], errors="coerce")
    wrong = {
        "years that are no presidential election": (rows["year"], ~((number >= 2000) & (number % 4 == 0))),
        "states that are none of the 50 and DC": (rows["state_po"], ~rows["state_po"].isin(_STATES)),
        "county codes that are no numbers": (rows["county_fips"], ~rows["code"].str.fullmatch(r"\d{0,7}")),
        "offices other than the presidency": (rows["office"], ~rows["office"].str.upper().isin(_OFFICES)),
    }
    for what, (column, where) in wrong.items():
        if where.any():
            problems.add(what, cells(column, where))
    numbers = as_numbers(rows, ["candidatevotes", "totalvotes"], problems, integer=["candidatevotes", "totalvotes"])
    for column in numbers:
        if (numbers[column] < 0).any():
            problems.add(f"column {column} holds negative values", cells(rows[column], numbers[column] < 0))
    if problems:
        return rows
    short = rows["code"].str.len().between(1, 5)
    rows.loc[short, "code"] = rows.loc[short, "code"].str.zfill(5)
    foreign = (rows["code"] != "") & ~_of_its_state(rows["code"], rows["state_po"])
    if foreign.mean() > 0.1:
        problems.add(f"{100 * foreign.mean():.0f} % of rows carry a county code of another state: columns are shifted")
    for year, election in rows.groupby("year"):
        gone = sorted(_STATES - set(election["state_po"]))
        if gone:
            problems.add(f"{year}: states are absent", gone, "Truncated or filtered: download it again")
        unnamed = sorted(set(_PARTIES) - set(election["party"]))
        if unnamed:
            problems.add(f"{year}: no rows of party", unnamed)
    return rows.assign(**{c: numbers[c] for c in numbers}, state=rows["state_po"], year=rows["year"].astype("int64"))


def _of_its_state(code: pd.Series, state: pd.Series) -> pd.Series:
    return (code.str.len() == 5) & (code.str[:2] == state.map(STATE_FIPS))


_TOTAL, _SUMMED = "printed total", "sum over modes"
_ALASKA, _NO_CODE = "Alaska counts by district", "no county code"
_CITY, _FOREIGN = "a city printed apart from its county", "not a county code of the state"


def _places(rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Votes of the two parties by printed place of one election, and how many repeated rows were dropped."""
    repeated = rows.duplicated() & (rows["mode"] != "")
    rows = rows[~repeated]
    rows = rows.assign(kind=np.select([rows["mode"] == "TOTAL", rows["mode"] == ""], ["total", "blank"], "named"))
    printed = rows[rows["party"].isin(_PARTIES)].groupby([*_PLACE, "party", "kind"])["candidatevotes"]
    every = rows[_PLACE].drop_duplicates().merge(pd.DataFrame({"party": list(_PARTIES)}), how="cross")
    index = pd.MultiIndex.from_frame(every.sort_values([*_PLACE, "party"]))
    kinds = ["total", "blank", "named"]
    votes = printed.sum().where(printed.count() == printed.size()).unstack("kind").reindex(index, columns=kinds)
    n = printed.size().unstack("kind").reindex(index, columns=kinds).fillna(0)

    modes = votes[["blank", "named"]].fillna(0).sum(axis=1)
    unknown = (n[["blank", "named"]] > 0) & votes[["blank", "named"]].isna()
    modes = modes.where((n["blank"] + n["named"] > 0) & ~unknown.any(axis=1))
    has_total = (n["total"] > 0).groupby(level=_PLACE).transform("any")
    one_blank = (n["blank"] == 1) & ((n["named"] == 0) | (votes["blank"] == votes["named"]))
    blank_is_total = one_blank.groupby(level=_PLACE).transform("all") & ~has_total
    figure = modes.where(~blank_is_total, votes["blank"]).where(~has_total, votes["total"])

    def any_party(flag: pd.Series) -> pd.Series:
        return flag.groupby(level=_PLACE).any()

    out = figure.unstack("party").rename(columns=_PARTIES)[list(_PARTIES.values())]
    both = out.sum(axis=1, min_count=2)
    out["counted"] = np.where(any_party(has_total | blank_is_total), _TOTAL, _SUMMED)
    differ = any_party(has_total & modes.notna() & (modes != votes["total"]))
    out["doubt"] = np.select(
        [differ, both > _printed_total(rows, any_party(has_total))],
        ["modes do not add up to the printed total", "two-party votes exceed the printed total of votes"],
        default="",
    )
    twice = any_party(n["total"] > 1).to_numpy()
    out = out.reset_index()
    apart = pd.MultiIndex.from_arrays([out["state"], out["county_name"].str.upper()])
    city = apart.isin(list(_APART))
    parents = [_APART[place] for place in apart[city]]
    out["set_aside"] = np.select(
        [
            out["state"] == "AK",
            city,
            out["code"] == "",
            ~_of_its_state(out["code"], out["state"]),
            out.groupby("code")["county_name"].transform("nunique") > 1,
            out["code"].isin(parents),
            twice,
            both.isna().to_numpy(),
            (both == 0).to_numpy(),
        ],
        [
            _ALASKA,
            _CITY,
            _NO_CODE,
            _FOREIGN,
            "code bears two county names",
            "a city of the county is printed apart",
            "two totals for one party",
            "no figure for one party",
            "no vote for either party",
        ],
        default="",
    )
    out["doubt"] = out["doubt"].where(out["set_aside"] == "", "")
    return out.astype(dict.fromkeys(_PARTIES.values(), "Int64")), int(repeated.sum())


def _printed_total(rows: pd.DataFrame, has_total: pd.Series) -> pd.Series:
    """Most votes the file prints for a place, whether ``totalvotes`` is that of the county or of a mode."""
    total = rows[rows["mode"] == "TOTAL"].groupby(_PLACE)["totalvotes"].max().reindex(has_total.index)
    summed = rows.groupby([*_PLACE, "candidate", "party"])["totalvotes"].sum().groupby(level=_PLACE).max()
    return total.where(has_total, summed)
