"""County sums of printed agencies: what is summed, what it covers, what drops out."""

import numpy as np
import pandas as pd
import pytest

from g287stats.outcomes import checks, load_outcome
from g287stats.outcomes.fbi import county_sums as fbi_county_sums
from g287stats.outcomes.fbi.county_sums import COUNTS, agency_coverage, load_fbi_county_sums
from g287stats.outcomes.fbi.implausible import found_by_roll
from g287stats.outcomes.fbi.roll import printed_agencies, roll


@pytest.fixture(scope="module")
def sums():
    return load_outcome("fbi_county_sums")


def test_a_county_is_the_sum_of_its_agencies(sums):
    agencies = printed_agencies()
    alamance = agencies[(agencies["county_fips"] == "37001") & (agencies["year"] == 2012)]
    row = sums.frame.query("county_fips == '37001' and year == 2012")
    assert row["property"].item() == alamance["property"].sum()
    assert row["agencies_reporting"].item() == len(alamance)
    assert {"NC Burlington (city)", "37001 county"} <= set(alamance["agency_id"])


def test_drop_outs_of_treated_counties_are_listed(sums):
    lost = fbi_county_sums.dropouts(sums).set_index(["county_fips", "year"])["coverage"]
    # the county police of Cobb and Gaston, the cities of Guilford and Cabarrus, a withheld figure in Benton AR
    for county, year in (("13067", 2010), ("37071", 2010), ("37081", 2011), ("37025", 2012), ("05007", 2010)):
        assert lost[county, year] < 0.8
    assert lost["13067", 2010] < 0.3 and lost["37071", 2010] < 0.2 and lost["37025", 2012] < 0.4


def test_withheld_figures_are_missing_unless_small():
    expected = pd.DataFrame(
        {
            "agency_id": ["A", "B"],
            "county_fips": "37119",
            "part": "city",
            "year": 2012,
            "residents": [90_000.0, 10_000.0],
            "printed": True,
        }
    )
    agencies = pd.DataFrame({"agency_id": ["A", "B"], "county_fips": "37119", "year": 2012, "notes": pd.NA})
    for name in fbi_county_sums.COUNTS:
        agencies[name] = pd.array([5, 7], dtype="Int64")
    agencies.loc[1, "violent"] = pd.NA  # 10 % withhold
    agencies.loc[0, "property"] = pd.NA  # 90 % withhold
    out, listed = fbi_county_sums.sum_agencies(agencies, expected, 0.9)
    assert out["violent"].item() == 5
    assert pd.isna(out["property"].item())
    assert listed == ["37119 2012 property"]
    assert out["told"].item() == pytest.approx(0.1)
    assert out["covered_population"].item() == 10_000
    strict, listed = fbi_county_sums.sum_agencies(agencies, expected, 0.95)
    assert pd.isna(strict["violent"].item()) and "37119 2012 violent" in listed


def test_minnesota_has_no_violent_total_but_the_series_without_rape(sums):
    minnesota = sums.frame[sums.frame["county_fips"].str.startswith("27") & sums.frame["year"].between(2006, 2012)]
    small = minnesota[~minnesota["county_fips"].isin(["27053", "27123"])]  # Minneapolis, St. Paul do print one
    assert small["violent"].isna().mean() > 0.99
    assert minnesota["violent_ex_rape"].notna().mean() > 0.95


def test_balanced_keeps_agencies_with_every_year():
    table = load_outcome("fbi_county_sums", (2009, 2012), balanced=True)
    per_county = table.frame.groupby("county_fips")["agencies_reporting"].nunique()
    assert (per_county == 1).all()  # the same number of agencies every year
    assert table.frame.groupby("county_fips")["year"].nunique().eq(4).all()
    assert table.frame[["violent_ex_rape", "property"]].notna().all().all()
    assert "NC Charlotte-Mecklenburg (city)" not in table.flow.listed("balanced")


def test_table_is_described_and_years_are_checked(sums):
    assert sums.years == tuple(range(2005, 2020))
    assert set(sums.frame.columns) == set(sums.codebook)
    assert sums.frame["coverage"].dropna().between(0, 1).all()
    assert not sums.frame["county_fips"].isin(checks.NYC[1:3]).any()  # no row for Kings and New York County


@pytest.mark.private_data
def test_sums_against_the_private_county_files(nacjd_crimes):
    both = checks.pair_county_sums()
    year = checks.ratios(both, "year")
    documented = {  # a county-year without sums counts as nothing told; 2007 lacks Connecticut and Rhode Island
        "property": [0.933, 0.930, 0.922, 0.917, 0.930, 0.921, 0.923, 0.917],
        "violent": [0.912, 0.904, 0.905, 0.902, 0.907, 0.904, 0.909, 0.911],
    }
    for name, shares in documented.items():
        assert (year[name] - pd.Series(shares, range(2005, 2013))).abs().max() < 0.002
    county = checks.county_ratios(both)
    assert county["median"].between(0.955, 0.975).all()
    state = checks.ratios(both, "state")["property"]
    assert state[["WV", "HI", "DE", "VT"]].max() < 0.65  # states to distrust
    assert state[["NC", "VA", "FL", "CA"]].min() > 0.9


def test_an_agency_that_is_not_printed_is_missed():
    coverage = load_fbi_county_sums().frame.set_index(["county_fips", "year"])["coverage"]
    assert coverage["37071"][2018] < 0.5 and coverage["37071"][2019] < 0.1  # Gastonia and the county police are absent
    assert coverage["01089"][2017] > 0.99 and coverage["01089"][2018] < 0.34  # Madison AL: Huntsville
    assert coverage["06019"][2018] == 1 and coverage["06019"][2019] < 0.5  # Fresno
    assert coverage["37063"][[2007, 2013, 2016]].max() < 0.2  # Durham


def test_the_roll_never_looks_at_offences_of_a_year():
    roll.cache_clear(), printed_agencies.cache_clear()
    before = roll()
    cells = printed_agencies()
    cells.loc[cells["part"] == "city", list(COUNTS)] = 0
    roll.cache_clear()
    try:
        pd.testing.assert_frame_equal(roll(), before)
    finally:
        roll.cache_clear(), printed_agencies.cache_clear()


def test_the_roll_finds_implausible_county_years_and_masks_few_others():
    table = found_by_roll().sum()
    assert table["found"] >= 0.8 * table["implausible"] > 80
    assert table["others_masked"] < 0.02 * table["county_years"]


def test_one_agency_under_several_spellings_is_one():
    lives = agency_coverage().groupby("agency_id")
    assert "NJ Dover Township (city)" in lives.groups  # no rule knows that it became Toms River
    millcreek = agency_coverage().query("county_fips == '42049' and agency_id.str.contains('Millcreek')")
    assert millcreek["agency_id"].nunique() == 1 and len(millcreek) == 15
    assert not agency_coverage().duplicated(["agency_id", "year"]).any()


def test_coverage_by_agency_adds_up_to_the_countys():
    cells = agency_coverage().query("printed and tells_property and tells_violent")
    people = cells.groupby(["county_fips", "year"])["residents"].sum()
    frame = load_fbi_county_sums().frame.set_index(["county_fips", "year"])
    np.testing.assert_allclose(
        people.reindex(frame.index).fillna(0), frame["covered_population"].astype(float), atol=0.5
    )


def test_who_is_printed_is_on_the_roll_whatever_is_known_of_its_life():
    printed = printed_agencies().query("county_fips.notna() and not repeated")[["agency_id", "year"]]
    known = agency_coverage()[["agency_id", "year"]].drop_duplicates()
    assert printed.merge(known, how="left", indicator=True)["_merge"].eq("both").all()


def test_a_county_far_below_its_own_history_is_in_doubt():
    frame = load_fbi_county_sums((2019, 2019)).frame.set_index("county_fips")
    assert "property 432 is under 0.1 of the county's median" in frame.loc["37071", "doubt"]
    assert frame.loc["37119", "doubt"] == ""
