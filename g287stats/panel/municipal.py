"""Municipal agreements cover part of a county: the share of its residents that the signing agencies police.

A city police department polices the city's residents (the FBI's Table 8 population, latest year in hand) out of the
county's (Census, the same year); a county-level agency counts as the whole county. A city over county lines counts
for the county the FBI's agency list places it in. A municipal agency without a Table 8 population has an unknown
share: it is listed, and leaves the share a lower bound.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from g287stats.catalog import read_released
from g287stats.outcomes.context.population import load_population
from g287stats.panel.exposure import exposure_shares


def policed_weights(days: pd.DataFrame) -> pd.Series:
    """Share of the county's residents policed by the agency of each interval (index of ``days``); NaN: unknown.

    ``days`` has ``county_fips``, ``jurisdiction``, ``ori``.
    """
    cities = read_released("fbi_city_agencies").dropna(subset=["ori", "population"])
    cities = cities.sort_values(["ori", "last_year"]).drop_duplicates("ori", keep="last").set_index("ori")
    residents = (
        load_population().astype({"year": int, "population": float}).set_index(["county_fips", "year"])["population"]
    )
    city = cities["population"].astype(float).reindex(days["ori"]).to_numpy()
    year = cities["last_year"].astype(float).reindex(days["ori"]).fillna(2019).astype(int)
    county = residents.reindex(pd.MultiIndex.from_arrays([days["county_fips"], year])).to_numpy()
    home = cities["county_fips"].reindex(days["ori"]).astype(object).fillna("").to_numpy()
    placed = home == days["county_fips"].astype(object).to_numpy()
    share = np.where(placed, np.minimum(city / county, 1.0), np.nan)
    return pd.Series(np.where(days["jurisdiction"] == "county", 1.0, share), index=days.index)


def policed_shares(
    days: pd.DataFrame, weights: pd.Series, periods: pd.PeriodIndex, until: pd.Timestamp | None = None
) -> pd.DataFrame:
    """Share of residents × days under an agreement, counties × periods: agencies add up, capped at one.

    Two agreements of one agency count once; agencies of unknown share add nothing (a lower bound).
    """
    known = weights.notna()
    agency = days.loc[known].assign(place=days["county_fips"] + "|" + days["agency_id"])
    if agency.empty:
        return pd.DataFrame(0.0, index=pd.Index([], name="county_fips"), columns=periods)
    by_agency = exposure_shares(agency, "place", periods, until)
    weight = weights[known].groupby(agency["place"]).max()
    weighted = by_agency.mul(weight.reindex(by_agency.index), axis=0)
    county = pd.Index(by_agency.index.str.split("|").str[0], name="county_fips")
    return weighted.groupby(county, sort=True).sum().clip(upper=1.0)
