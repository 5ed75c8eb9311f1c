"""The roll of agencies: which police exist in a county in a year, whether the FBI prints them or not.

A department that is not printed is not missed by looking at those that are. The roll says who should be there, by one
rule that never looks at offences of the year:

* an agency exists in every year 2005–2019 when the FBI's agency list, dated 2018–2025, still names it: it was not
  dissolved;
* one that list does not name exists from the year before it is first printed to the year after it is last printed;
* what is known of foundings, mergers and respellings (``data/fixes/fbi_agency_lives.csv``) goes before both;
* a sheriff or county police ever printed exists in every year;
* one agency under successive spellings (the same name but for words as *Township*, the same ORI, never two of them in
  a year) is one agency.

An agency counts by the residents it polices: a city its own, the sheriff and county police the rest of the county,
shared by their usual yearly offences over all years.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import pandas as pd

from g287stats.catalog import released_dir
from g287stats.geography import name_key
from g287stats.outcomes.context.population import load_population
from g287stats.outcomes.fbi.cities import load_fbi_cities, stem
from g287stats.outcomes.fbi.table10 import COUNTS, expected_forces, load_fbi_table10_agencies

FIRST, LAST = 2005, 2019
KEY = ["county_fips", "year"]
_COUNTY = re.compile(r",[^,]+ County$")


@lru_cache(maxsize=1)
def printed_agencies() -> pd.DataFrame:
    """Return cities, sheriffs and county police as printed in 2005–2019, each under one ``agency_id`` for its life.

    Columns: county_fips (missing: not placed), year, state, agency, agency_id, part (``city``, ``county``),
    population, repeated, listed (the FBI's list of 2018–2025 names it), notes and the offences.
    """
    cities = load_fbi_cities().assign(part="city", repeated=False)
    cities["agency_id"] = one_life(cities)
    cities["listed"] = cities["ori"].notna().groupby(cities["agency_id"]).transform("any")
    forces = load_fbi_table10_agencies().assign(part="county", population=pd.NA, listed=False)
    forces = forces[forces["year"] >= FIRST].astype({"population": "Int64"})
    forces["agency_id"] = forces["county_fips"] + " " + forces["force"]
    columns = [*KEY, "state", "agency", "agency_id", "part", "population", "repeated", "listed", "notes", *COUNTS]
    both = pd.concat([cities[columns], forces[columns]], ignore_index=True)
    return both.astype({"year": "int64", "repeated": bool})


def one_life(cities: pd.DataFrame) -> pd.Series:
    """Return an identifier of each printed city that outlives its respellings: its newest spelling."""
    rows = pd.DataFrame({"own": cities["state"] + " " + cities["agency"] + " (city)", "year": cities["year"]})
    bare = cities["agency"].map({n: name_key(stem(_COUNTY.sub("", n))) for n in cities["agency"].unique()})
    rows["name"] = cities["state"] + cities["county_fips"].fillna("") + bare
    rows["ori"] = cities["ori"].fillna(rows["own"])
    life = rows["own"]
    for same in ("name", "ori"):
        group = rows[same].groupby(life).transform("first")
        twice = rows.assign(group=group).duplicated(["group", "year"], keep=False)
        alone = twice.groupby(group).transform("any")
        life = life.where(alone, group)
    newest = rows.assign(life=life).sort_values("year").drop_duplicates("life", keep="last").set_index("life")["own"]
    return life.map(newest)


@lru_cache(maxsize=2)
def roll(only_between_prints: bool = False) -> pd.DataFrame:
    """Return the agencies that exist, one row an agency and year 2005–2019, printed or not.

    ``only_between_prints`` knows an agency from its first to its last printed year only: the rule this one replaces,
    kept to measure what the roll finds (``python -m g287stats.outcomes.fbi.implausible``).

    Columns: county_fips, year, agency_id, part, residents (whom it polices; missing where the county's population or
    the city's is unknown) and printed.
    """
    printed = printed_agencies()
    printed = printed[printed["county_fips"].notna() & ~printed["repeated"]]
    both = pd.concat([_cities(printed[printed["part"] == "city"]), _forces()], ignore_index=True)
    if only_between_prints:
        seen = printed.groupby("agency_id")["year"].agg(["min", "max"]).reindex(both["agency_id"]).to_numpy()
        both = both[(both["year"] >= seen[:, 0]) & (both["year"] <= seen[:, 1])]
    people = load_population().astype({"year": "int64"}).set_index(KEY)["population"].astype("float64")
    city = both["part"] == "city"
    in_cities = both[city].groupby(KEY)["own"].sum(min_count=1)
    index = pd.MultiIndex.from_frame(both[KEY])
    of_cities = in_cities.reindex(index).to_numpy()
    rest = people.reindex(index).to_numpy() - np.where(np.isnan(of_cities), 0.0, of_cities)
    share = both["weight"] / both.groupby([*KEY, "part"])["weight"].transform("sum")
    both["residents"] = both["own"].where(city, np.clip(rest, 0.0, None) * share)
    there = printed[["agency_id", "year"]].assign(printed=True)
    both = both.merge(there, on=["agency_id", "year"], how="left", validate="one_to_one")
    both["printed"] = both["printed"].eq(True)
    order = [*KEY, "agency_id", "part", "residents", "printed"]
    return both[order].sort_values([*KEY, "part", "agency_id"], ignore_index=True)


def _cities(printed: pd.DataFrame) -> pd.DataFrame:
    """City agencies by year of their lives, with the residents of the nearest printed year (the earlier of two)."""
    spans = printed.groupby(["agency_id", "county_fips"])["year"].agg(["min", "max"]).reset_index()
    lives = _known_lives(printed)
    still = spans["agency_id"].isin(printed.loc[printed["listed"], "agency_id"])
    first = (spans["min"] - 1).clip(lower=FIRST).where(~still, FIRST)
    last = (spans["max"] + 1).clip(upper=LAST).where(~still, LAST)
    prints = spans[["min", "max"]]  # who is printed exists, whatever is known of its life
    spans = spans.assign(
        min=np.minimum(spans["agency_id"].map(lives["first_year"]).fillna(first), prints["min"]),
        max=np.maximum(spans["agency_id"].map(lives["last_year"]).fillna(last), prints["max"]),
    )
    full = spans.merge(pd.DataFrame({"year": range(FIRST, LAST + 1)}), how="cross")
    full = full[full["year"].between(full["min"], full["max"])]
    known = printed.dropna(subset=["population"])[["agency_id", "year", "population"]]
    known = known.astype({"population": "float64"}).rename(columns={"population": "own"}).sort_values("year")
    near = pd.merge_asof(full.sort_values("year"), known, on="year", by="agency_id", direction="nearest")
    return near.assign(part="city", weight=np.nan)[[*KEY, "agency_id", "part", "own", "weight"]]


def _known_lives(printed: pd.DataFrame) -> pd.DataFrame:
    fixes = pd.read_csv(released_dir() / "fixes" / "fbi_agency_lives.csv", dtype={"state": str, "printed": str})
    lives = printed[["state", "agency", "agency_id"]].drop_duplicates()
    return fixes.merge(lives, left_on=["state", "printed"], right_on=["state", "agency"]).set_index("agency_id")


def _forces() -> pd.DataFrame:
    forces = expected_forces(load_fbi_table10_agencies().query("year >= @FIRST"))
    forces["agency_id"] = forces["county_fips"] + " " + forces["force"]
    return forces.assign(part="county", own=np.nan)[[*KEY, "agency_id", "part", "own", "weight"]]
