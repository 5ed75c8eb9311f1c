"""Agency-months of the Real-Time Crime Index (AH Datalytics).

A sample of mostly large cities, by label ("Abilene, TX"), without ORI, FIPS or clearances. The file also carries
national aggregates as if they were agencies; they are left out and counted. An empty figure is not reported; the
printed totals are often empty where every part is there, so violent and property are summed from parts. Figures are
early counts that agencies revise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from g287stats.catalog import missing, read_kept, read_released
from g287stats.catalog import table as declared
from g287stats.catalog.archives import Member
from g287stats.catalog.readers import as_numbers, cells, labels, read_named
from g287stats.catalog.store import Part, kept
from g287stats.errors import Problems, SourceError
from g287stats.flow import Flow, Step
from g287stats.geography import STATE_FIPS, county_by_name
from g287stats.outcomes.agency.reports import AgencyReports, Rule, attach_counties, county_from_agencies
from g287stats.outcomes.table import OutcomeTable, select_years

TABLE = "rtci-agency-months"
_COUNTS = {
    "murder": "murder",
    "rape": "rape_mixed",
    "robbery": "robbery",
    "aggravated_assault": "assault",
    "burglary": "burglary",
    "theft": "larceny",
    "motor_vehicle_theft": "motor_vehicle_theft",
    "violent_crime": "violent",
    "property_crime": "property",
}
_NEEDED = ("date", "agency_name", "state_abbr", *_COUNTS)


def parse(members: Sequence[Member]) -> list[Part]:
    """Read the agency file; more than one is refused, since editions overlap."""
    problems = Problems(TABLE)
    if len(members) > 1:
        problems.add("one edition at a time", [m.label for m in members], "Name the latest")
        problems.raise_if_any(SourceError)
    (member,) = members
    raw = read_named(member)
    problems = Problems(member.label)
    absent = [c for c in _NEEDED if c not in raw]
    if absent:
        problems.add("columns are absent: not the agency file of the Real-Time Crime Index", absent)
        problems.raise_if_any(SourceError)
    numbers = as_numbers(raw, list(_COUNTS), problems, integer=list(_COUNTS))
    date = pd.to_datetime(raw["date"], format="%Y-%m-%d", errors="coerce")
    if date.isna().any():
        problems.add("dates that are no dates", cells(raw["date"], date.isna()))
    aggregate = ~raw["state_abbr"].isin(set(STATE_FIPS))
    frame = pd.DataFrame({"agency": raw["agency_name"] + ", " + raw["state_abbr"], "aggregate": aggregate})
    frame["year"], frame["month"] = date.dt.year.astype("Int64"), date.dt.month.astype("Int64")
    for theirs, ours in _COUNTS.items():
        frame[ours] = numbers[theirs]
    sums = {
        "violent": ("murder", "rape_mixed", "robbery", "assault"),
        "property": ("burglary", "larceny", "motor_vehicle_theft"),
    }
    for total, of in sums.items():
        whole = frame[[total, *of]].notna().all(axis=1)
        off = whole & (frame[total] != frame[list(of)].sum(axis=1))
        if off.sum() > 0.01 * max(int(whole.sum()), 1):
            problems.add(f"{total} is not the sum of its parts in {int(off.sum())} rows: columns are out of place")
    twice = frame.duplicated(["agency", "year", "month"])
    if twice.any():
        problems.add("agency-months repeat", labels(frame.loc[twice, ["agency", "year", "month"]]))
    problems.raise_if_any(SourceError)
    updated = sorted(raw["Last Updated"].dropna().unique()) if "Last Updated" in raw else []
    report = {
        "agencies": frame.loc[~aggregate, "agency"].nunique(),
        "aggregates": frame.loc[aggregate, "agency"].nunique(),
        "aggregate_rows": int(aggregate.sum()),
        "without_violent": int(frame.loc[~aggregate, "violent"].isna().sum()),
        "updated": str(updated[-1]) if updated else "",
    }
    return [Part("agency-months", frame, member, report)]


def load_rtci_reports(
    years: tuple[int, int] | Iterable[int] | None = None, *, agencies: pd.DataFrame | None = None
) -> AgencyReports:
    """Return agency-months without the national aggregates.

    ``agencies`` maps ``agency`` (``"Abilene, TX"``) to ``county_fips``; default: the county in which the FBI's city
    of that name is placed (released table ``fbi_city_agencies``), or the county a label names. Agencies carry no
    population, so a county's coverage counts agencies, and only those of the sample are expected: a county's
    figure is the sample's cities, never the county.
    """
    have = kept(TABLE)
    if not have:
        raise missing(TABLE)
    frame = read_kept(TABLE)["agency-months"]
    flow = [Step("rows of the file", len(frame))]
    named = tuple(sorted(set(frame.loc[frame["aggregate"], "agency"])))
    dropped = int(frame["aggregate"].sum())
    frame = frame[~frame["aggregate"]].reset_index(drop=True)
    flow.append(Step("without national aggregates", len(frame), f"{dropped} rows count agencies again", named))
    chosen = select_years("rtci", years, frame["year"].unique())
    frame = frame[frame["year"].isin(chosen)].reset_index(drop=True)
    counts = list(_COUNTS.values())
    frame["violent"] = frame[["murder", "rape_mixed", "robbery", "assault"]].sum(axis=1, min_count=4)
    frame["property"] = frame[["burglary", "larceny", "motor_vehicle_theft"]].sum(axis=1, min_count=3)
    frame["violent_ex_rape"] = frame[["murder", "robbery", "assault"]].sum(axis=1, min_count=3)
    frame["period"] = pd.PeriodIndex.from_fields(  # type: ignore[attr-defined]
        year=frame["year"].astype("int64"), month=frame["month"].astype("int64"), freq="M"
    )
    frame["reported"] = frame[counts].notna().any(axis=1)
    by_name = _cities() if agencies is None else agencies
    placed = attach_counties(frame["agency"], by_name, "label, as 'Abilene, TX'")
    frame["county_fips"] = placed.where(placed.notna(), frame["agency"].map(_county_in_label))
    frame["population"] = float("nan")
    flow.append(Step("agency-months with a figure", int(frame["reported"].sum()), "every figure empty"))
    return AgencyReports(
        name="rtci",
        frame=frame[["agency", "period", "reported", "county_fips", "population", *counts, "violent_ex_rape"]],
        counts=(*counts, "violent_ex_rape"),
        freq="M",
        provenance={
            "table": TABLE,
            "citation": declared(TABLE).citation,
            "terms": declared(TABLE).terms,
            "files": {k: {"file": v.source_member, "sha256": v.source_sha256} for k, v in have.items()},
        },
        flow=Flow(tuple(flow)),
    )


def _cities() -> pd.DataFrame:
    cities = read_released("fbi_city_agencies")[["state", "agency", "county_fips"]].dropna()
    return pd.DataFrame({"agency": cities["agency"] + ", " + cities["state"], "county_fips": cities["county_fips"]})


def _county_in_label(label: str) -> str | None:
    name, _, state = label.rpartition(", ")
    return county_by_name(state, name) if name.endswith((" County", " Parish", " Borough")) else None


def load_rtci(
    years: tuple[int, int] | Iterable[int] | None = None,
    *,
    agencies: pd.DataFrame | None = None,
    rule: Rule = "full_reporters",
    min_months: int = 12,
    shares: pd.DataFrame | None = None,
) -> OutcomeTable:
    """Return county-years constructed from the sample's agencies; see :func:`county_from_agencies`."""
    reports = load_rtci_reports(years, agencies=agencies)
    return county_from_agencies(reports, rule=rule, min_months=min_months, shares=shares)
