"""Offences known to sheriffs' offices and county police: the FBI's Table 10, 2004–2019.

The table does "not reflect county totals": it is the agency that signs the agreements, without the cities of
its county. Missing rows and blank figures are missing, never zero: Minnesota prints no violent total to 2012,
Illinois none in 2009, North Carolina none in 2017 and 2018. The definition of rape changes between 2013 and
2017; ``violent_ex_rape`` = murder + robbery + aggravated assault is the consistent series. The 2004 edition
has nonmetropolitan counties only from 25,000 residents, so county rows start in 2005 unless asked otherwise.

Source: FBI, *Crime in the United States*, Table 10 (Table 8 in 2016).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from g287stats.catalog import codebook, read_released, released_dir, schema, write_released
from g287stats.catalog.text import csv
from g287stats.catalog.writing import write
from g287stats.errors import IdentityError, Problems, SourceError, first_of
from g287stats.flow import Flow, Step
from g287stats.geography import county_by_name
from g287stats.outcomes.coverage import doubt, doubt_step
from g287stats.outcomes.fbi.sheets import parse
from g287stats.outcomes.table import OutcomeTable, select_years

FIGURES = (
    "violent",
    "murder",
    "rape_legacy",
    "rape_revised",
    "robbery",
    "assault",
    "property",
    "burglary",
    "larceny",
    "motor_vehicle_theft",
    "arson",
)
COUNTS = ("violent", "violent_ex_rape", *FIGURES[1:])
_FORCE = re.compile(
    r"(?i)\s*(County)?\s+(Unified Police Department|Police Department|Bureau of Police|Public Safety|County)$"
)


def load_fbi_table10_agencies() -> pd.DataFrame:
    """Return Table 10 as printed, one row an agency-year, with ``county_fips``, ``violent_ex_rape`` and ``force``.

    ``force`` tells the county's forces apart: a sheriff and county police are two only where a year prints both;
    otherwise one force under two spellings.

    Schema: ``data/schema/fbi_table10.json``.
    """
    frame = read_released("fbi_table10")
    return frame.assign(violent_ex_rape=violent_ex_rape(frame), force=_force(frame))


def _force(frame: pd.DataFrame) -> pd.Series:
    """Return which force of its county a row is: ``county``, or by ``kind`` where a year prints both kinds."""
    kinds = frame.groupby(["county_fips", "year"])["kind"].nunique().groupby(level=0).max()
    return frame["kind"].where(frame["county_fips"].map(kinds).gt(1), "county")


def load_fbi_table10(years: tuple[int, int] | Iterable[int] | None = None) -> OutcomeTable:
    """Return Table 10 by county and year: the sum of a county's sheriff and county police.

    ``years=None`` gives 2005–2019; 2004, incomplete, must be asked for.

    A force printed in any year is expected in all of them, and ``coverage`` is the share
    of the expected forces' usual offences that lies with those printed: 1 for most, 0.008 for Gaston NC in
    2010, when the county police are absent and the sheriff, who rarely investigates there, is printed. A sum over
    agencies is missing where one of them prints no figure. Rows printed twice count once and are listed in the
    flow. ``doubt`` says where a county reports far below its own history.
    """
    agencies = load_fbi_table10_agencies()
    chosen = select_years("fbi_table10", (2005, 2019) if years is None else years, agencies["year"])
    flow = [Step("agency rows printed", len(agencies), "FBI Table 10, 2004–2019")]
    expected = _forces_by_year(agencies)
    history = strict_sum(_usable(agencies), ["county_fips", "year"], COUNTS).reset_index()
    agencies = agencies[agencies["year"].isin(chosen)]
    flow.append(Step("in the years asked for", len(agencies), f"{chosen[0]}–{chosen[-1]}"))
    unmatched = agencies[agencies["county_fips"].isna()]
    repeated = agencies[agencies["repeated"]]
    agencies = _usable(agencies)
    flow.append(Step("matched to a county", len(agencies) + len(repeated), "no county of that name", _list(unmatched)))
    flow.append(Step("without rows printed twice", len(agencies), "same figures, two areas", _list(repeated)))
    by_county = agencies.groupby(["county_fips", "year"])
    frame = strict_sum(agencies, ["county_fips", "year"], COUNTS)
    frame["agencies_reporting"] = by_county.size()
    names = by_county["agency"].agg("; ".join)
    frame = frame.join(expected)
    frame["area"] = by_county["area"].first().mask(by_county["area"].nunique() > 1, "both")
    frame["agency_names"] = names
    frame["notes"] = join_codes(agencies, ["county_fips", "year"])
    frame["imputed"] = "none"
    frame["break_in_series"] = break_text(frame["notes"])
    frame = frame.reset_index()
    frame["year"] = frame["year"].astype("int64")
    frame["doubt"] = doubt(history, of=frame)
    short = frame[frame["coverage"] < 1]
    flow.append(Step("county-years", len(frame), "agencies summed; listed: an expected agency is absent", _list(short)))
    flow.append(doubt_step(frame[frame["doubt"].ne("")]))
    return OutcomeTable(
        name="fbi_table10",
        frame=frame,
        counts=COUNTS,
        codebook=_codebook(),
        provenance={
            "table": "fbi_table10",
            "sources": schema("fbi_table10")["sources"],
            "population": "offences known to sheriffs' offices and county police, not county totals",
        },
        coverage="coverage",
        flow=Flow(tuple(flow)),
    )


def _usable(agencies: pd.DataFrame) -> pd.DataFrame:
    return agencies[agencies["county_fips"].notna() & ~agencies["repeated"]]


def strict_sum(frame: pd.DataFrame, keys: list[str], columns: Iterable[str]) -> pd.DataFrame:
    """Return sums by ``keys``, missing wherever a summed cell is missing."""
    names = list(columns)
    grouped = frame.groupby(keys)[names]
    sums, told = grouped.sum(), grouped.count()
    size = frame.groupby(keys).size()
    return sums.where(told.eq(size, axis=0)).astype("Int64")


def join_codes(frame: pd.DataFrame, keys: list[str]) -> pd.Series:
    """Return the distinct note codes by ``keys``, ``;``-separated, missing where none."""
    noted = frame.dropna(subset=["notes"])
    codes = noted.assign(notes=noted["notes"].str.split(";")).explode("notes").drop_duplicates([*keys, "notes"])
    return codes.groupby(keys)["notes"].agg(";".join)


def break_text(notes: pd.Series) -> pd.Series:
    """Say where the FBI's footnotes call a figure not comparable with earlier years; missing elsewhere."""
    broken = notes.fillna("").str.split(";").map(lambda codes: "break" in codes)
    text = "the FBI notes that figures are not comparable with previous years"
    return pd.Series([text if b else None for b in broken], index=notes.index, dtype="object")


def violent_ex_rape(frame: pd.DataFrame) -> pd.Series:
    """Return murder + robbery + aggravated assault, missing where a part is missing."""
    return (frame["murder"] + frame["robbery"] + frame["assault"]).astype("Int64")


def expected_forces(agencies: pd.DataFrame) -> pd.DataFrame:
    """Return the county forces that exist: one row a force ever printed and year of the table.

    ``weight`` is the force's usual yearly offences (mean of violent without rape plus property over the years it
    prints both; at least 1), ``printed`` whether it has a row. Columns: county_fips, force, year, weight, printed.
    """
    rows = _usable(agencies)
    key = ["county_fips", "force"]
    usual = (rows["violent_ex_rape"] + rows["property"]).astype("float64").groupby([rows[k] for k in key]).mean()
    forces = usual.fillna(1.0).clip(lower=1.0).rename("weight").reset_index()
    out = forces.merge(pd.DataFrame({"year": sorted(agencies["year"].astype(int).unique())}), how="cross")
    seen = set(zip(rows["county_fips"], rows["force"], rows["year"].astype(int)))
    out["printed"] = [k in seen for k in zip(out["county_fips"], out["force"], out["year"])]
    return out[[*key, "year", "weight", "printed"]]


def _forces_by_year(agencies: pd.DataFrame) -> pd.DataFrame:
    """Number of forces that exist and the share of their usual offences that lies with forces printed."""
    forces = expected_forces(agencies)
    forces["there"] = forces["weight"].where(forces["printed"], 0.0)
    out = forces.groupby(["county_fips", "year"]).agg(
        agencies_expected=("weight", "size"), weight=("weight", "sum"), there=("there", "sum")
    )
    return out.assign(coverage=out["there"] / out["weight"])[["agencies_expected", "coverage"]]


def _list(frame: pd.DataFrame) -> tuple[str, ...]:
    who = "agency" if "agency" in frame else "agency_names"
    lead = frame["county_fips"].fillna(frame["state"]) if "state" in frame else frame["county_fips"]
    return tuple(f"{a} {b} {c}" for a, b, c in zip(lead, frame[who], frame["year"]))


def _codebook() -> dict[str, dict[str, str]]:
    columns = [
        *FIGURES,
        "county_fips",
        "year",
        "violent_ex_rape",
        "agencies_reporting",
        "agencies_expected",
        "coverage",
        "doubt",
        "area",
        "agency_names",
        "notes",
        "imputed",
        "break_in_series",
    ]
    return codebook(
        columns,
        "FBI, Crime in the United States, Table 10",
        "fbi_table10",
        agencies_reporting="agencies_printed",
        agencies_expected="agencies_on_roll",
        coverage="coverage_of_offences",
        imputed={"note": "nothing is imputed"},
        break_in_series={"note": "the FBI's footnote that figures are not comparable with previous years"},
    )


# ---------------------------------------------------------------- build


def build(sources: Path, out: Path) -> list[Path]:
    """Build ``fbi_table10`` from ``sources/crime/fbi_table10_counties``."""
    folder = sources / "crime" / "fbi_table10_counties"
    pieces = [read_year(path) for path in sorted(folder.iterdir())]
    if not pieces:
        raise SourceError(f"{folder}: no files")
    table = pd.concat(pieces, ignore_index=True)
    table["county_fips"] = match_counties(table["state"], table["agency"])
    unmatched(table)
    off = pd.concat([check_totals(str(year), rows) for year, rows in table.groupby("year")])
    qa = out / "qa" / "fbi_table10_totals.csv"
    write(qa, csv(off))
    return [write_released(table, "fbi_table10", out), qa]


def read_year(path: Path) -> pd.DataFrame:
    """Parse one year's table; the year is in the file name. Rows are numbered in print order."""
    year = re.search(r"(19|20)\d{2}", path.name)
    if year is None:
        raise SourceError(f"{path.name}: the file name must hold the year, as table10_2009.xls")
    frame = parse(path, ("county",)).frame.drop(columns=["unit", "population"], errors="ignore")
    frame.insert(0, "year", int(year[0]))
    frame["row"] = range(1, len(frame) + 1)
    frame["kind"] = frame["agency"].map(
        lambda n: "county_police" if re.search(r"(?i)police|public safety", n) else "county_name_only"
    )
    same = ["state", "agency", *FIGURES]
    frame["repeated"] = frame.duplicated(same) & frame[["violent", "property"]].notna().any(axis=1)
    return frame


def check_totals(where: str, frame: pd.DataFrame, most: float = 0.005) -> pd.DataFrame:
    """Return the rows whose printed total is not the sum of its printed parts.

    More than the share ``most`` of them, or two figures for rape in one row, means misplaced columns and raises
    :class:`SourceError`. Columns of the result: year, row, state, agency, offence, printed, sum_of_parts.
    """
    rape = frame[["rape_legacy", "rape_revised"]].sum(axis=1)
    sums = {
        "violent": frame["murder"] + frame["robbery"] + frame["assault"] + rape,
        "property": frame["burglary"] + frame["larceny"] + frame["motor_vehicle_theft"],
    }
    problems = Problems(where)
    found = []
    for name, parts in sums.items():
        wrong = (parts != frame[name]).fillna(False).astype(bool)
        rows = frame.loc[wrong, ["year", "row", "state", "agency"]]
        found.append(rows.assign(offence=name, printed=frame.loc[wrong, name], sum_of_parts=parts[wrong]))
        if len(rows) > most * len(frame):
            who = rows[["state", "agency"]].agg(" ".join, axis=1).tolist()
            problems.add(f"{name} is not the sum of its parts; are the columns in their places?", who)
    both = ((frame["rape_legacy"] > 0) & (frame["rape_revised"] > 0)).fillna(False)  # one of them 0 does occur
    if both.any():
        problems.add("two figures for rape", frame.loc[both, "agency"].tolist())
    problems.raise_if_any(SourceError)
    return pd.concat(found, ignore_index=True)


def match_counties(states: pd.Series, names: pd.Series) -> pd.Series:
    """Return the harmonised county of each printed county or county force; missing where no rule resolves it."""
    fixes = pd.read_csv(released_dir() / "fixes" / "fbi_county_names.csv", dtype=str)
    alias = {(r.state, r.printed): r.county_fips for r in fixes.itertuples()}
    out = []
    for state, name in zip(states, names):
        short = _FORCE.sub("", name)
        out.append(
            alias.get((state, name))
            or county_by_name(state, name)
            or alias.get((state, short))
            or county_by_name(state, short)
        )
    return pd.Series(out, index=names.index, dtype="object")


def unmatched(table: pd.DataFrame, most: float = 0.002) -> pd.DataFrame:
    """Return the rows without a county; raise :class:`IdentityError` when they exceed the share ``most``."""
    rows = table[table["county_fips"].isna()]
    if len(rows) > most * len(table):
        listed = sorted(set(rows["state"] + " " + rows["agency"]))
        raise IdentityError(
            f"{len(rows)} of {len(table)} rows match no county: {first_of(listed, 12)}. "
            "Add them to data/fixes/fbi_county_names.csv with a reason"
        )
    return rows
