"""Cities of Table 8: rows as printed, and the county of each."""

import pandas as pd
import pytest

from g287stats.catalog import read_released, released_dir
from g287stats.outcomes.fbi import cities as fbi_cities

ROWS = {
    2005: 8173,
    2006: 8252,
    2007: 8538,  # without Connecticut and Rhode Island
    2008: 8772,
    2009: 9146,
    2010: 9310,
    2011: 9314,
    2012: 9491,
    2013: 9292,
    2014: 9347,
    2015: 9395,
    2016: 9579,
    2017: 9579,
    2018: 9251,
    2019: 8105,
}
RESIDENTS = {
    2005: 178.7,
    2006: 181.0,
    2007: 181.0,
    2008: 187.6,
    2009: 193.6,
    2010: 196.3,
    2011: 197.5,
    2012: 198.8,
    2013: 199.0,
    2014: 199.2,
    2015: 203.3,
    2016: 207.6,
    2017: 209.4,
    2018: 206.9,
    2019: 194.5,
}
BLANK_VIOLENT = {
    2005: 29,
    2006: 237,
    2007: 238,
    2008: 229,
    2009: 336,
    2010: 229,
    2011: 209,
    2012: 222,
    2013: 4,
    2014: 4,
    2015: 2,
    2016: 8,
    2017: 257,
    2018: 189,
    2019: 21,
}


@pytest.fixture(scope="module")
def cities():
    return fbi_cities.load_fbi_cities()


def test_rows_residents_and_blanks_by_year(cities):
    by_year = cities.groupby("year")
    assert by_year.size().to_dict() == ROWS
    assert (by_year["population"].sum() / 1e6).astype(float).round(1).to_dict() == RESIDENTS
    assert cities["violent"].isna().groupby(cities["year"]).sum().to_dict() == BLANK_VIOLENT
    carolina = cities[(cities["state"] == "NC") & cities["violent"].isna()].groupby("year").size()
    assert carolina.loc[2017] == 188 and carolina.loc[2018] == 148


def test_known_holes_are_holes(cities):
    have = cities.groupby(["state", "year"]).size()
    assert all(("HI", y) not in have.index for y in range(2011, 2015))
    assert ("IA", 2018) not in have.index
    assert have["AL", 2019] == 1


@pytest.mark.parametrize(
    "state, city, county",
    [
        ("TX", "Houston", "48201"),
        ("TX", "Dallas", "48113"),
        ("TX", "San Antonio", "48029"),
        ("GA", "Atlanta", "13121"),
        ("MO", "Kansas City", "29095"),
        ("OH", "Columbus", "39049"),
        ("NV", "Las Vegas Metropolitan Police Department", "32003"),
        ("TN", "Nashville", "47037"),
        ("GA", "Macon", "13021"),
        ("NJ", "Camden", "34007"),
        ("NM", "Las Cruces", "35013"),
        ("MI", "East Lansing", "26065"),
        ("NC", "Charlotte-Mecklenburg", "37119"),
        ("NC", "Burlington", "37001"),  # also in Guilford; whole to Alamance
        ("NC", "Mebane", "37001"),
        ("VA", "Richmond", "51760"),  # the city, not Richmond County
        ("VA", "Manassas", "51683"),
        ("MD", "Baltimore", "24510"),
        ("MO", "St. Louis", "29510"),
        ("CA", "Moreno Valley", "06065"),  # policed by the sheriff: known from California's own list
        ("CT", "Stamford", "09001"),
        ("DC", "Washington", "11001"),
    ],
)
def test_cities_are_placed(state, city, county):
    agencies = read_released("fbi_city_agencies").set_index(["state", "agency"])
    assert agencies.loc[(state, city), "county_fips"] == county


def test_several_counties_are_said_and_new_york_goes_nowhere(cities):
    agencies = read_released("fbi_city_agencies").set_index(["state", "agency"])
    assert pd.isna(agencies.loc[("NY", "New York"), "county_fips"])
    assert agencies.loc[("NY", "New York"), "counties"] == "36005;36047;36061;36081;36085"
    assert agencies.loc[("NC", "Burlington"), "counties"] == "37001;37081"
    assert fbi_cities.unplaced()["agency"].iloc[0] == "New York"


def test_almost_all_residents_are_placed(cities):
    assert round(cities["county_fips"].notna().mean(), 3) == 0.977
    outside = cities[cities["agency"] != "New York"]
    placed = outside["population"].where(outside["county_fips"].notna()).sum() / outside["population"].sum()
    assert round(placed, 3) == 0.998
    # the county is in the state
    state = (
        cities["county_fips"].str[:2].map({r.state_fips: r.state for r in read_released("county_list").itertuples()})
    )
    assert (state == cities["state"])[cities["county_fips"].notna()].all()


def test_totals_that_are_not_their_parts_are_listed():
    listed = pd.read_csv(released_dir() / "qa" / "fbi_city_totals.csv")
    assert listed[["state", "agency", "year", "offence"]].to_numpy().tolist() == [
        ["AK", "Unalaska", 2008, "property"],
        ["GA", "Mount Airy", 2008, "property"],
        ["MI", "Eastpointe", 2015, "property"],
    ]


@pytest.mark.private_data
def test_rebuild_gives_the_released_bytes(sources, tmp_path):
    for path in fbi_cities.build(sources, tmp_path):
        assert path.read_bytes() == (released_dir() / path.relative_to(tmp_path)).read_bytes(), path.name
