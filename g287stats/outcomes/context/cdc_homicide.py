"""Homicide deaths by county of residence: a CDC WONDER export, the measure that does not depend on police reporting.

The export is tab-separated, grouped by County and Year, with total rows marked in ``Notes`` and the query printed
under a line of dashes. Counts of nine or fewer print ``Suppressed``: they are missing, bounded by 0 and 9. A county
that is not printed is missing too (WONDER leaves out zero rows unless asked). NCHS's terms forbid publishing counts
of nine or fewer and rates based on them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from g287stats.catalog import codebook, missing, read_kept
from g287stats.catalog import table as declared
from g287stats.catalog.archives import Member
from g287stats.catalog.readers import cells
from g287stats.catalog.store import Part, kept
from g287stats.errors import Problems, SourceError
from g287stats.flow import Flow, Step
from g287stats.geography import harmonise
from g287stats.outcomes.table import OutcomeTable, select_years

TABLE = "cdc-county-homicide"
SUPPRESSED_AT_MOST = 9
_NEEDED = ("County", "County Code", "Year", "Deaths", "Population")
_HOMICIDE = re.compile(r"(?i)homicide|assault|\bX8[5-9]|\bX9\d|\bY0\d")


def parse(members: Sequence[Member]) -> list[Part]:
    """Read exports, one part each; all problems of all files at once."""
    problems = Problems(TABLE)
    parts = []
    for member in members:
        own = Problems(member.label)
        frame = _read(member, own)
        if own or frame is None:
            problems.lines += [f"{member.label}: {line}" for line in own.lines]
            continue
        years = sorted({int(y) for y in frame["year"]})
        report = {
            "years": f"{years[0]}–{years[-1]}",
            "counties": frame["code"].nunique(),
            "suppressed": int(frame["suppressed"].sum()),
        }
        parts.append(Part(f"{years[0]}-{years[-1]}", frame, member, report))
    for n, one in enumerate(parts):
        for other in parts[:n]:
            both = set(one.frame["year"]) & set(other.frame["year"])
            if both:
                problems.add(
                    f"{one.source.label} and {other.source.label} both hold {min(both)}–{max(both)}",
                    remedy="Name one export a year",
                )
    problems.raise_if_any(SourceError)
    return parts


def _read(member: Member, problems: Problems) -> pd.DataFrame | None:
    text = member.path.read_text(encoding="utf-8-sig", errors="replace")
    lines = text.splitlines()
    end = next((n for n, line in enumerate(lines) if line.strip().strip('"') == "---"), None)
    if end is None:
        problems.add("no closing line '---' with the query: truncated, or not a WONDER export")
        return None
    table = [[c.strip().strip('"') for c in line.split("\t")] for line in lines[:end] if line.strip()]
    head = table[0] if table else []
    absent = [c for c in _NEEDED if c not in head]
    if absent:
        problems.add("columns are absent: group the export by County and by Year", absent)
        return None
    if not _HOMICIDE.search("\n".join(lines[end:])):
        problems.add("the query printed at the foot does not name homicide or ICD-10 X85–Y09: another cause of death")
        return None
    ragged = [n + 2 for n, row in enumerate(table[1:]) if len(row) not in (len(head), len(head) - 1)]
    if ragged:
        problems.add("lines have another number of cells than the heading", ragged)
        return None
    raw = pd.DataFrame([row + [""] * (len(head) - len(row)) for row in table[1:]], columns=head)
    if "Notes" in raw:
        raw = raw[raw["Notes"] == ""]
    raw = raw[raw["County Code"] != ""].reset_index(drop=True)
    bad = ~raw["County Code"].str.fullmatch(r"\d{5}")
    if bad.any():
        problems.add("county codes are not five digits", raw.loc[bad, "County Code"])
    year = raw["Year"].str.extract(r"^((?:19|20)\d\d)", expand=False)
    if year.isna().any():
        problems.add("years that are no years", sorted(set(raw.loc[year.isna(), "Year"])))
    suppressed = raw["Deaths"] == "Suppressed"
    deaths = pd.to_numeric(raw["Deaths"].where(~suppressed & (raw["Deaths"] != "Missing")), errors="coerce")
    wrong = deaths.isna() & ~suppressed & (raw["Deaths"] != "Missing")
    if wrong.any():
        problems.add("deaths that are no numbers", cells(raw["Deaths"], wrong))
    people = pd.to_numeric(raw["Population"], errors="coerce")
    unknown = people.isna() & ~raw["Population"].isin(["Missing", "Not Available", "Not Applicable", "Suppressed"])
    if unknown.any():
        problems.add("populations that are no numbers", raw.loc[unknown, "Population"])
    if raw.empty:
        problems.add("no county rows")
    if not problems and raw.assign(_y=year).duplicated(["County Code", "_y"]).any():
        problems.add("county-years repeat: the export is grouped by more than County and Year")
    if problems:
        return None
    return pd.DataFrame(
        {
            "code": raw["County Code"],
            "year": year.astype("int64"),
            "homicide_deaths": deaths,
            "population": people,
            "suppressed": suppressed,
        }
    )


def load_cdc_homicide(years: tuple[int, int] | Iterable[int] | None = None) -> OutcomeTable:
    """Return homicide deaths by county of residence and year, with bounds where NCHS suppresses the count."""
    have = kept(TABLE)
    if not have:
        raise missing(TABLE)
    rows = pd.concat(read_kept(TABLE).values(), ignore_index=True)
    chosen = select_years("cdc_homicide", years, rows["year"].unique())
    rows = rows[rows["year"].isin(chosen)].copy()
    flow = [Step("county rows of the exports", len(rows), f"{chosen[0]}–{chosen[-1]}")]
    rows["county_fips"] = harmonise(rows["code"], rows["year"], warn=False)
    unknown = rows["county_fips"].isna()
    listing = tuple((rows["code"] + " " + rows["year"].astype(str))[unknown])
    rows = rows[~unknown]
    flow.append(Step("in a harmonised county", len(rows), "codes without a unit", listing))
    rows["homicide_deaths_low"] = rows["homicide_deaths"].where(~rows["suppressed"], 0)
    rows["homicide_deaths_high"] = rows["homicide_deaths"].where(~rows["suppressed"], SUPPRESSED_AT_MOST)
    sums = ["homicide_deaths", "homicide_deaths_low", "homicide_deaths_high", "population"]
    groups = rows.groupby(["county_fips", "year"])
    frame = groups[sums].sum().mask(rows[sums].isna().groupby([rows["county_fips"], rows["year"]]).any())
    frame["suppressed"] = groups["suppressed"].any()
    frame = frame.reset_index()
    frame[sums] = frame[sums].round().astype("Int64")
    frame["coverage"] = 1.0
    frame["imputed"] = "none"
    frame["doubt"] = np.where(frame["suppressed"], "suppressed: 0 to 9 deaths", "")
    flow.append(Step("county-years", len(frame), f"{int(frame['suppressed'].sum())} suppressed"))
    source = "CDC WONDER"
    columns = [
        "county_fips",
        "year",
        "homicide_deaths",
        "homicide_deaths_low",
        "homicide_deaths_high",
        "population",
        "suppressed",
        "coverage",
        "imputed",
        "doubt",
    ]
    book = codebook(
        columns,
        source,
        county_fips={"note": "residence"},
        year={"note": "of death"},
        population={"note": "as WONDER prints them"},
        coverage={"note": "vital registration is complete: 1"},
        imputed={"note": "nothing is imputed"},
    )
    return OutcomeTable(
        name="cdc_homicide",
        frame=frame[columns],
        counts=("homicide_deaths",),
        codebook=book,
        provenance={
            "table": TABLE,
            "citation": declared(TABLE).citation,
            "terms": declared(TABLE).terms,
            "files": {k: {"file": v.source_member, "sha256": v.source_sha256} for k, v in have.items()},
        },
        coverage="coverage",
        denominator="population",
        flow=Flow(tuple(flow)),
    )
