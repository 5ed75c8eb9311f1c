"""County sums of the agencies the FBI prints: cities (Table 8) plus sheriffs and county police (Table 10).

Years 2006 and 2009–2019 (Table 8 of 2007 and 2008 is not in hand). Nothing is imputed: a county's figure is the
sum of the agencies printed that year, and ``coverage`` says what share of its residents live where one of them
polices. Campuses, state police and tribal agencies are not in it (about 3 points of property crime); a city in
several counties is counted whole in one of them; New York City is in none of its five.

An agency that stops reporting looks like falling crime. ``balanced=True`` keeps only agencies printed in every
year asked for; :func:`dropouts` lists the county-years in which a large part of a county goes missing.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from g287stats.catalog import codebook, schema
from g287stats.errors import SourceError
from g287stats.flow import Flow, Step
from g287stats.outcomes.context.population import load_population
from g287stats.outcomes.fbi.cities import load_fbi_cities
from g287stats.outcomes.fbi.table10 import (
    FIGURES,
    break_text,
    expected_forces,
    join_codes,
    load_fbi_table10_agencies,
)
from g287stats.outcomes.table import OutcomeTable, select_years

COUNTS = ("violent", "violent_ex_rape", *(f for f in FIGURES[1:] if f != "arson"))


def load_fbi_county_sums(
    years: tuple[int, int] | Iterable[int] | None = None, balanced: bool = False, min_told: float = 0.9
) -> OutcomeTable:
    """Return county sums of cities, sheriffs and county police, 2006 and 2009–2019.

    Every agency stands for residents: a city for its own, the sheriff and county police for the rest of the county,
    shared by their usual offences. An agency is expected from its first to its last printed year.

    ``coverage`` = residents of the agencies that print property and violent crime (without rape), over the Census
    population, at most 1. A printed agency may still withhold an offence; its sum is then over the agencies that
    tell it, and missing where these stand for less than ``min_told`` of the printed agencies' residents
    (Minnesota's violent crime to 2012; ``rape_legacy`` and ``rape_revised`` in 2013–2016 where a county uses both
    definitions). ``told`` is the smaller of the two shares, of property and of violent without rape.
    With ``balanced`` only agencies that print both in every year asked for are summed; the others are listed in the
    flow, as are agencies without a county.
    """
    agencies = _agencies()
    chosen = select_years("fbi_county_sums", years, agencies["year"])
    flow = [Step("agency rows printed", len(agencies), "FBI Tables 8 and 10, years of Table 8")]
    nowhere = agencies["county_fips"].isna()
    listed = agencies[nowhere].groupby(["state", "agency"]).size().reset_index(name="years")
    agencies = agencies[~nowhere & ~agencies["repeated"]]
    flow.append(
        Step(
            "placed in a county",
            len(agencies),
            "no county found, New York City, or printed twice",
            tuple(f"{s} {a} ({n} years)" for s, a, n in listed.itertuples(index=False)),
        )
    )
    expected = _expected(agencies)
    agencies = agencies[agencies["year"].isin(chosen)]
    flow.append(Step("in the years asked for", len(agencies), f"{chosen[0]}–{chosen[-1]}"))
    if balanced:
        told = agencies.dropna(subset=["violent_ex_rape", "property"]).groupby("agency_id")["year"].nunique()
        full = agencies["agency_id"].isin(told.index[told == len(chosen)])
        lost = sorted(set(agencies.loc[~full, "agency_id"]))
        agencies = agencies[full]
        flow.append(Step("of agencies with every year", len(agencies), "balanced", tuple(lost)))
    frame, withheld = _sum(agencies, expected, min_told)
    flow.append(
        Step("county-years", len(frame), f"listed: sums missing, told by under {min_told:.0%}", tuple(withheld))
    )
    return OutcomeTable(
        name="fbi_county_sums",
        frame=frame,
        counts=COUNTS,
        codebook=_codebook(),
        provenance={
            "table": "fbi_city_offences, fbi_table10",
            "sources": schema("fbi_city_offences")["sources"] + schema("fbi_table10")["sources"],
            "population": "offences known to the cities, sheriffs and county police printed; nothing imputed",
            "balanced": balanced,
            "min_told": min_told,
        },
        coverage="coverage",
        flow=Flow(tuple(flow)),
    )


def dropouts(table: OutcomeTable, below: float = 0.8, drop: float = 0.2) -> pd.DataFrame:
    """Return county-years whose coverage is under ``below`` and ``drop`` or more under the county's own median.

    Columns: county_fips, year, coverage, usual_coverage, agencies_reporting, agencies_expected.
    """
    if "agencies_expected" not in table.frame:
        raise SourceError(f"{table.name} does not say which agencies are expected; use fbi_county_sums")
    frame = table.frame.assign(
        usual_coverage=table.frame.groupby("county_fips")["coverage"].transform("median").astype("float64")
    )
    short = (frame["coverage"] < below) & (frame["coverage"] <= frame["usual_coverage"] - drop)
    columns = ["county_fips", "year", "coverage", "usual_coverage", "agencies_reporting", "agencies_expected"]
    return frame.loc[short, columns].reset_index(drop=True)


def _agencies() -> pd.DataFrame:
    """Cities and county agencies in one frame, in the years both tables have."""
    cities = load_fbi_cities().assign(part="city", repeated=False)
    cities["agency_id"] = cities["state"] + " " + cities["agency"] + " (city)"
    forces = load_fbi_table10_agencies().assign(part="county")
    forces["population"] = pd.array([pd.NA] * len(forces), dtype="Int64")
    forces = forces[forces["year"].isin(cities["year"].unique())]
    forces["agency_id"] = forces["county_fips"] + " " + forces["kind"]
    columns = [
        "county_fips", "year", "state", "agency", "agency_id", "part", "population", "repeated", "notes", *COUNTS,
    ]  # fmt: skip
    both = pd.concat([cities[columns], forces[columns]], ignore_index=True)
    return both.astype({"year": "int64", "repeated": bool})


def _expected(agencies: pd.DataFrame) -> pd.DataFrame:
    """One row an agency and year from its first to its last printed year: cities with residents, forces with weight.

    A city's residents in an unprinted year are those of its nearest printed year (the earlier of two).
    """
    years = sorted(agencies["year"].unique())
    cities = agencies[agencies["part"] == "city"]
    spans = cities.groupby(["agency_id", "county_fips"])["year"].agg(["min", "max"]).reset_index()
    full = spans.merge(pd.DataFrame({"year": years}), how="cross")
    full = full[(full["year"] >= full["min"]) & (full["year"] <= full["max"])]
    known = cities.dropna(subset=["population"])[["agency_id", "year", "population"]]
    known = known.astype({"population": "float64"}).rename(columns={"population": "residents"}).sort_values("year")
    nearest = pd.merge_asof(full.sort_values("year"), known, on="year", by="agency_id", direction="nearest")
    forces = expected_forces(load_fbi_table10_agencies().query("year >= 2005"))
    forces = forces[forces["year"].isin(years)]
    forces["agency_id"] = forces["county_fips"] + " " + forces["kind"]
    both = [nearest.assign(part="city"), forces.assign(part="county")]
    return pd.concat(both, ignore_index=True)[["agency_id", "county_fips", "part", "year", "residents", "weight"]]


def _sum(agencies: pd.DataFrame, expected: pd.DataFrame, min_told: float) -> tuple[pd.DataFrame, list[str]]:
    """Sum agencies to counties with coverage; list the cells left missing ("county year offence")."""
    key = ["county_fips", "year"]
    people = load_population().astype({"year": "int64"}).set_index(key)["population"].astype("float64")
    city = expected["part"] == "city"
    rest = people.sub(expected[city].groupby(key)["residents"].sum(), fill_value=0.0).clip(lower=0)
    share = expected["weight"] / expected.groupby([*key, "part"])["weight"].transform("sum")
    of_rest = rest.reindex(pd.MultiIndex.from_frame(expected[key])).to_numpy() * share
    stands = expected.assign(stands=expected["residents"].where(city, of_rest))
    rows = agencies.merge(stands[["agency_id", "year", "stands"]], on=["agency_id", "year"], how="left")
    rows["stands"] = rows["stands"].fillna(0.0)
    grouped = rows.groupby(key)
    out = pd.DataFrame({"agencies_reporting": grouped.size(), "printed": grouped["stands"].sum()})
    shares = {}
    withheld: list[str] = []
    for name in COUNTS:
        told = rows[name].notna()
        standing = rows["stands"].where(told, 0.0).groupby([rows[k] for k in key]).sum()
        # a county whose printed agencies stand for nobody on record is judged by their number
        share = (standing / out["printed"]).where(out["printed"] > 0, told.groupby([rows[k] for k in key]).mean())
        total = grouped[name].sum(min_count=1).astype("Int64")
        out[name] = total.where(share >= min_told)
        shares[name] = share
        if not name.startswith("rape"):
            gone = out.index[(share < min_told).to_numpy()]
            withheld += [f"{c} {y} {name}" for c, y in gone]
    both = rows["property"].notna() & rows["violent_ex_rape"].notna()
    out["told"] = np.minimum(shares["property"], shares["violent_ex_rape"])
    out["covered_population"] = rows["stands"].where(both, 0.0).groupby([rows[k] for k in key]).sum()
    out["population"] = people.reindex(out.index)
    out["coverage"] = (out["covered_population"] / out["population"]).clip(upper=1.0)
    out["agencies_expected"] = expected.groupby(key).size().reindex(out.index)
    out["notes"] = join_codes(agencies, key)
    out["imputed"] = "none"
    out["coverage_of"] = "residents"
    out["break_in_series"] = break_text(out["notes"])
    whole = ["population", "covered_population", "agencies_expected"]
    out[whole] = out[whole].round().astype("Int64")
    order = ["agencies_reporting", "agencies_expected", "population", "covered_population", "coverage", "told", "notes"]
    order += ["coverage_of", "imputed", "break_in_series"]
    out = out[[*COUNTS, *order]].reset_index()
    out["year"] = out["year"].astype("int64")
    return out, sorted(withheld)


def _codebook() -> dict[str, dict[str, str]]:
    columns = [
        *COUNTS, "county_fips", "year", "violent_ex_rape", "agencies_reporting", "agencies_expected", "population",
        "covered_population", "told", "coverage", "notes", "coverage_of", "imputed", "break_in_series",
    ]  # fmt: skip
    return codebook(
        columns,
        "FBI, Crime in the United States, Tables 8 and 10",
        "fbi_city_offences",
        agencies_reporting="agencies_printed",
        agencies_expected="agencies_seen",
        population={"note": "on 1 July", "source": "US Census Bureau"},
        covered_population={"note": "agencies that print property and violent (without rape)", "source": "computed"},
        coverage="coverage_of_residents",
        coverage_of={"source": "computed"},
        imputed={"note": "nothing is imputed"},
        break_in_series={"note": "the FBI's footnote that an agency's figures are not comparable with previous years"},
    )
