"""County sums of the agencies the FBI prints: cities (Table 8) plus sheriffs and county police (Table 10), 2005–2019.

Nothing is imputed: a county's figure is the sum of the agencies printed that year, and ``coverage`` says what share of
its residents they police, of all who live there. Who should have been printed is told by the roll of agencies
(:mod:`g287stats.outcomes.fbi.roll`). Campuses, state police and tribal agencies are not in it (about 3 points of
property crime); a city in several counties is counted whole in one of them; New York City is in none of its five.

An agency that stops reporting looks like falling crime. ``balanced=True`` keeps only agencies printed in every
year asked for; :func:`dropouts` lists the county-years in which a large part of a county goes missing.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from g287stats.catalog import codebook, schema
from g287stats.errors import SourceError
from g287stats.flow import Flow, Step
from g287stats.outcomes.context.population import load_population
from g287stats.outcomes.coverage import doubt, doubt_step
from g287stats.outcomes.fbi.roll import printed_agencies, roll
from g287stats.outcomes.fbi.table10 import FIGURES, break_text, join_codes
from g287stats.outcomes.table import OutcomeTable, Years, select_years

COUNTS = ("violent", "violent_ex_rape", *(f for f in FIGURES[1:] if f != "arson"))


def load_fbi_county_sums(years: Years = None, balanced: bool = False, min_told: float = 0.9) -> OutcomeTable:
    """Return county sums of cities, sheriffs and county police, 2005–2019.

    Every agency stands for residents: a city for its own, the sheriff and county police for the rest of the county,
    shared by their usual offences.

    ``coverage`` = residents of the agencies that print property and violent crime (without rape), over the Census
    population, at most 1; missing where a printed agency or the county has no known population. A printed agency may
    still withhold an offence; its sum is then over the agencies that
    tell it, and missing where these stand for less than ``min_told`` of the printed agencies' residents
    (Minnesota's violent crime to 2012; ``rape_legacy`` and ``rape_revised`` in 2013–2016 where a county uses both
    definitions). ``told`` is the smaller of the two shares, of property and of violent without rape.
    ``doubt`` says where a county reports far below its own history (:func:`g287stats.outcomes.coverage.doubt`).
    With ``balanced`` only agencies that print both in every year asked for are summed; the others are listed in the
    flow, as are agencies without a county. Which agencies exist, and which of them are printed:
    :func:`agency_coverage`.
    """
    agencies = printed_agencies()
    chosen = select_years("fbi_county_sums", years, agencies["year"])
    flow = [Step("agency rows printed", len(agencies), "FBI Tables 8 and 10, 2005–2019", kind="found")]
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
    agencies = agencies[agencies["year"].isin(chosen)]
    flow.append(Step("in the years asked for", len(agencies), f"{chosen[0]}–{chosen[-1]}"))
    if balanced:
        told = agencies.dropna(subset=["violent_ex_rape", "property"]).groupby("agency_id")["year"].nunique()
        full = agencies["agency_id"].isin(told.index[told == len(chosen)])
        lost = sorted(set(agencies.loc[~full, "agency_id"]))
        agencies = agencies[full]
        flow.append(Step("of agencies with every year", len(agencies), "balanced", tuple(lost)))
    frame, withheld = sum_agencies(agencies, roll(), min_told)
    frame["doubt"] = doubt(frame if balanced else _history(), of=frame)
    doubted = frame["doubt"].ne("")
    flow.append(
        Step("county-years", len(frame), f"listed: sums missing, told by under {min_told:.0%}", tuple(withheld))
    )
    flow.append(doubt_step(frame[doubted]))
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


def agency_coverage(years: Years = None) -> pd.DataFrame:
    """Return the roll by agency and year: who exists, whom it polices, whether it is printed and what it tells.

    Columns: county_fips, year, agency_id, part (``city``, ``county``), residents (missing: unknown), printed,
    tells_property, tells_violent (without rape).

    >>> gaston = agency_coverage((2008, 2009)).query("county_fips == '37071' and part == 'county'")
    >>> gaston[["year", "agency_id", "printed"]].values.tolist()[0]
    [2008, '37071 county_name_only', True]
    """
    chosen = select_years("fbi_county_sums", years, range(2005, 2020))
    listed = roll()
    listed = listed[listed["year"].isin(chosen)]
    told = printed_agencies().query("not repeated").set_index(["agency_id", "year"])[["property", "violent_ex_rape"]]
    tells = told[~told.index.duplicated()].notna().reindex(pd.MultiIndex.from_frame(listed[["agency_id", "year"]]))
    out = listed.assign(
        tells_property=tells["property"].eq(True).to_numpy(), tells_violent=tells["violent_ex_rape"].eq(True).to_numpy()
    )
    return out.reset_index(drop=True)


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


@lru_cache(maxsize=1)
def _history() -> pd.DataFrame:
    """Property and violent (without rape) of all counties and years: what doubt is judged by."""
    rows = printed_agencies().query("county_fips.notna() and not repeated")
    return rows.groupby(["county_fips", "year"])[["property", "violent_ex_rape"]].sum(min_count=1).reset_index()


def sum_agencies(agencies: pd.DataFrame, exist: pd.DataFrame, min_told: float = 0.9) -> tuple[pd.DataFrame, list[str]]:
    """Sum agencies to counties, with coverage by the roll ``exist``; list the cells left missing."""
    key = ["county_fips", "year"]
    people = load_population().astype({"year": "int64"}).set_index(key)["population"].astype("float64")
    stands = exist[["agency_id", "year", "residents"]].rename(columns={"residents": "stands"})
    rows = agencies.merge(stands, on=["agency_id", "year"], how="left", validate="many_to_one")
    by = [rows[k] for k in key]
    grouped = rows.groupby(key)
    out = pd.DataFrame({"agencies_reporting": grouped.size()})
    printed = _known_sum(rows["stands"], by)
    shares = {}
    withheld: list[str] = []
    for name in COUNTS:
        told = rows[name].notna()
        standing = _known_sum(rows["stands"].where(told, 0.0), by)
        # printed agencies whose residents are unknown, or nobody, are judged by their number
        share = (standing / printed).where(printed > 0, told.groupby(by).mean())
        total = grouped[name].sum(min_count=1).astype("Int64")
        out[name] = total.where(share >= min_told)
        shares[name] = share
        if not name.startswith("rape"):
            gone = out.index[(share < min_told).to_numpy()]
            withheld += [f"{c} {y} {name}" for c, y in gone]
    both = rows["property"].notna() & rows["violent_ex_rape"].notna()
    out["told"] = np.minimum(shares["property"], shares["violent_ex_rape"])
    out["covered_population"] = _known_sum(rows["stands"].where(both, 0.0), by)
    out["population"] = people.reindex(out.index)
    out["coverage"] = (out["covered_population"] / out["population"]).clip(upper=1.0)
    out["agencies_expected"] = exist.groupby(key).size().reindex(out.index)
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


def _known_sum(values: pd.Series, by: list[pd.Series]) -> pd.Series:
    """Sum by groups, missing where a summand is: an unknown number of residents is not none."""
    return values.groupby(by).sum().where(values.notna().groupby(by).all())


def _codebook() -> dict[str, dict[str, str]]:
    columns = [
        *COUNTS,
        "county_fips",
        "year",
        "violent_ex_rape",
        "agencies_reporting",
        "agencies_expected",
        "population",
        "covered_population",
        "told",
        "coverage",
        "notes",
        "doubt",
        "coverage_of",
        "imputed",
        "break_in_series",
    ]
    return codebook(
        columns,
        "FBI, Crime in the United States, Tables 8 and 10",
        "fbi_city_offences",
        agencies_reporting="agencies_printed",
        agencies_expected="agencies_on_roll",
        population={"note": "on 1 July", "source": "US Census Bureau"},
        covered_population={"note": "agencies that print property and violent (without rape)", "source": "computed"},
        coverage="coverage_of_residents",
        coverage_of={"source": "computed"},
        imputed={"note": "nothing is imputed"},
        break_in_series={"note": "the FBI's footnote that an agency's figures are not comparable with previous years"},
    )
