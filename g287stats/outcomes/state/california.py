"""California's own agency table, 1985–2022: offences and clearances.

The only clearances in hand. Counties are named, not coded; the column called ``NCICCode`` holds the agency's
name. Offences are net of later corrections, so a few agency-years are below zero by one or a few (kept as
published). Clearances of a year may belong to offences of an earlier one and can exceed them. An agency may be
printed with zeros throughout: right for a railway police in an empty county, silence for a city; ``silent`` marks
all-zero rows of agencies that usually have 50 offences or more, and they count as missing. ``ForRape`` follows the
revised definition of rape from about 2014–15 (not checked against the state's documentation).

Source: California Department of Justice, OpenJustice, *Crimes and Clearances* (a state record; cite it).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from g287stats.catalog import codebook, read_released, schema, write_released
from g287stats.errors import Problems, SourceError
from g287stats.flow import Flow, Step
from g287stats.geography import county_by_name
from g287stats.outcomes.fbi.table10 import strict_sum, violent_ex_rape
from g287stats.outcomes.table import OutcomeTable, select_years

OFFENCES = {
    "violent": "Violent",
    "murder": "Homicide",
    "rape": "ForRape",
    "robbery": "Robbery",
    "assault": "AggAssault",
    "property": "Property",
    "burglary": "Burglary",
    "larceny": "LTtotal",
    "motor_vehicle_theft": "VehicleTheft",
}
CLEARED = tuple(f"{name}_cleared" for name in OFFENCES)
COUNTS = (
    "violent",
    "violent_ex_rape",
    "murder",
    "rape_legacy",
    "rape_mixed",
    "rape_revised",
    "robbery",
    "assault",
    "property",
    "burglary",
    "larceny",
    "motor_vehicle_theft",
)
_RAPE = {"rape_legacy": (0, 2013), "rape_mixed": (2014, 2015), "rape_revised": (2016, 9999)}


def load_california_agencies() -> pd.DataFrame:
    """Return the released table, one row an agency-year. Schema ``data/schema/california_agencies.json``."""
    frame = read_released("california_agencies")
    return frame.assign(violent_ex_rape=violent_ex_rape(frame))


def load_california(years: tuple[int, int] | Iterable[int] | None = None) -> OutcomeTable:
    """Return offences and clearances of California's 58 counties, 1985–2022: the sum of all agencies.

    ``<offence>_cleared`` are clearances of the year. ``coverage`` is the share of the expected agencies' usual
    offences (violent without rape plus property) that lies with agencies printed and not silent; an agency is
    expected from its first to its last printed year.
    """
    table = load_california_agencies().astype({"year": "int64"})
    chosen = select_years("california", years, table["year"])
    table["size"] = (table["violent_ex_rape"] + table["property"]).astype("float64")
    spoken = table[~table["silent"]]
    usual = spoken.groupby(["county_fips", "agency"]).agg(
        first=("year", "min"), last=("year", "max"), weight=("size", "mean")
    )
    expected = usual.reset_index().merge(pd.DataFrame({"year": chosen}), how="cross")
    expected = expected[(expected["year"] >= expected["first"]) & (expected["year"] <= expected["last"])]
    there = set(zip(spoken["county_fips"], spoken["agency"], spoken["year"]))
    keys = zip(expected["county_fips"], expected["agency"], expected["year"])
    expected["there"] = expected["weight"] * [float(k in there) for k in keys]
    by = ["county_fips", "year"]
    weight = expected.groupby(by)[["weight", "there"]].sum()
    rows = spoken[spoken["year"].isin(chosen)]
    frame = strict_sum(rows, by, [*OFFENCES, "violent_ex_rape", *CLEARED])
    frame["agencies_reporting"] = rows.groupby(by).size()
    frame["agencies_expected"] = expected.groupby(by).size()
    frame["coverage"] = weight["there"] / weight["weight"]
    frame = frame.reset_index()
    for name, (first, last) in _RAPE.items():
        frame[name] = frame["rape"].where(frame["year"].between(first, last))
    silent = table[table["silent"] & table["year"].isin(chosen)]
    listing = tuple(f"{a} {b} {c}" for a, b, c in silent[["county_fips", "agency", "year"]].itertuples(index=False))
    return OutcomeTable(
        name="california",
        frame=frame[[*by, *COUNTS, *CLEARED, "agencies_reporting", "agencies_expected", "coverage"]],
        counts=COUNTS,
        codebook=_codebook(),
        provenance={
            "table": "california_agencies",
            "sources": schema("california_agencies")["sources"],
            "population": "offences reported by all California agencies, with clearances",
        },
        coverage="coverage",
        flow=Flow(
            (
                Step("agency rows published", len(table), "1985–2022"),
                Step("in the years asked for", len(rows) + len(silent), f"{chosen[0]}–{chosen[-1]}"),
                Step("not silent", len(rows), "all figures zero where the agency usually has 50 or more", listing),
                Step("county-years", len(frame), "agencies summed"),
            )
        ),
    )


def _codebook() -> dict[str, dict[str, str]]:
    return codebook(
        [*COUNTS, *CLEARED, "county_fips", "year", "agencies_reporting", "agencies_expected", "coverage"],
        "California Department of Justice, Crimes and Clearances",
        "california_agencies",
        rape_legacy={"is": "rape", "note": "to 2013"},
        rape_mixed={"is": "rape", "note": "2014–2015, definition in transition"},
        rape_revised={"is": "rape", "note": "from 2016"},
        agencies_reporting={"is": "agencies_printed", "note": "not silent"},
        agencies_expected="agencies_seen",
        coverage={"is": "coverage_of_offences", "note": "not silent"},
    )


# ---------------------------------------------------------------- build


def build(sources: Path, out: Path) -> list[Path]:
    """Build ``california_agencies``."""
    path = sources / "crime" / "california_doj" / "crimes_and_clearances_1985_2022.csv.gz"
    return [write_released(read(path), "california_agencies", out)]


def read(path: Path) -> pd.DataFrame:
    """Parse the state's file; every problem of the file is reported at once."""
    raw = pd.read_csv(path, dtype=str)
    names = {new: f"{old}_sum" for new, old in OFFENCES.items()}
    names |= {f"{new}_cleared": f"{old}Clr_sum" for new, old in OFFENCES.items()}
    problems = Problems(path.name)
    lacking = [c for c in ["Year", "County", "NCICCode", *names.values()] if c not in raw]
    if lacking:
        problems.add("columns are absent", lacking)
        problems.raise_if_any(SourceError)
    out = pd.DataFrame({"year": raw["Year"], "agency": raw["NCICCode"].str.strip()})
    out["county_fips"] = raw["County"].map({c: county_by_name("CA", c) for c in raw["County"].unique()})
    unknown = sorted(raw.loc[out["county_fips"].isna(), "County"].unique())
    if unknown:
        problems.add("counties unknown", unknown)
    for new, old in {"year": "Year", **names}.items():
        bad = ~raw[old].fillna("").str.fullmatch(r"-?\d+")
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
    if out.duplicated(["county_fips", "agency", "year"]).any():
        problems.add("agency-years repeat", out.loc[out.duplicated(["county_fips", "agency", "year"]), "agency"])
    problems.raise_if_any(SourceError)
    offences = out["violent"] + out["property"]
    usual = offences.where(offences > 0).groupby([out["county_fips"], out["agency"]]).transform("median")
    out["silent"] = (out[list(OFFENCES)].eq(0).all(axis=1) & (usual >= 50).fillna(False)).astype(bool)
    return out
