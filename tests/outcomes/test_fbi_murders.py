"""Murders and clearances: what an absent row is, and what was not reported."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from g287stats.catalog import read_released
from g287stats.errors import DesignError, IdentityError
from g287stats.outcomes import load_outcome
from g287stats.outcomes.fbi import murders
from g287stats.outcomes.fbi.cities import load_fbi_cities


@pytest.fixture(scope="module")
def table():
    return load_outcome("fbi_murders").frame.set_index(["county_fips", "year"])


def test_an_absent_row_is_zero_where_reporting_is_known_and_missing_elsewhere(table):
    absent = table["agencies_counting"].isna()
    assert (table.loc[absent & (table["coverage"] >= 0.8), "murder"] == 0).all()
    assert table.loc[absent & ~(table["coverage"] >= 0.8), "murder"].isna().all()
    assert table.loc[absent & (table.index.get_level_values("year") < 2005), "murder"].isna().all()
    zero = load_outcome("fbi_murders", absent="zero").frame
    assert zero["murder"].notna().all()
    assert load_outcome("fbi_murders", absent="missing").frame["murder"].isna().sum() == absent.sum()
    with pytest.raises(DesignError, match="absent"):
        murders.load_fbi_murders(absent="none")


def test_clearances_not_reported_are_not_none(table):
    chicago = table.loc["17031"]
    assert chicago.loc[2001, "murder"] == 666 and np.isnan(chicago.loc[2001, "clearance_rate"])
    assert table["murder_cleared"].isna().sum() > table["murder"].isna().sum()


def test_rates_are_of_the_year_and_missing_without_murders(table):
    told = table["clearance_rate"].notna()
    assert (table.loc[told, "murder"] > 0).all() and table["clearance_rate"].max() > 1
    assert not set(table.index.get_level_values(0)) & {"36061", "36005"}


def test_the_nation_is_about_the_fbis(table):
    estimates = read_released("fbi_state_estimates").query("state != 'PR'").groupby("year")["murder"].sum()
    cities = load_fbi_cities()
    new_york = cities[(cities["state"] == "NY") & (cities["agency"] == "New York")].set_index("year")["murder"]
    ours = table["murder"].groupby(level="year").sum()
    for year in (2012, 2013, 2014, 2015):
        assert 0.95 < ours[year] / (estimates[year] - new_york[year]) < 1.01


def test_places_that_match_no_county_are_an_error(tmp_path):
    path = tmp_path / "md.csv.gz"
    rows = 'ori,name,year,mrd,clr,state,county,agency\nXX1,A,2005,1,1,Ohio,"Nowhere, OH",A\n'
    path.write_bytes(gzip.compress(rows.encode()))
    with pytest.raises(IdentityError, match="Nowhere, OH"):
        murders.read(path)


@pytest.mark.private_data
@pytest.mark.skipif("G287STATS_SOURCES" not in os.environ, reason="set G287STATS_SOURCES to the raw inputs")
def test_the_released_table_is_what_the_source_gives():
    source = Path(os.environ["G287STATS_SOURCES"]) / "crime/murders_clearances_1965_2016/md_clearances.csv.gz"
    built = murders.read(source).set_index(["county_fips", "year"])["murder"]
    released = (
        murders.read_released("fbi_murders").astype({"year": "int64"}).set_index(["county_fips", "year"])["murder"]
    )
    assert built.astype(int).equals(released.astype(int))
