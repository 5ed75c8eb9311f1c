"""Sheriffs and county police: the released table and its county sums."""

import pandas as pd
import pytest

from g287stats.catalog import read_released, released_dir
from g287stats.errors import IdentityError, SourceError
from g287stats.outcomes import load_outcome
from g287stats.outcomes.fbi import table10 as fbi_table10

ROWS = (2287, 2257, 2374, 2328, 2468, 2520, 2577, 2575, 2537, 2579, 2587, 2612, 2517, 2356, 2203)  # 2005 … 2019


@pytest.fixture(scope="module")
def agencies():
    return fbi_table10.load_fbi_table10_agencies()


@pytest.fixture(scope="module")
def counties():
    return load_outcome("fbi_table10")


def test_rows_by_year_are_the_printed_ones(agencies):
    counts = agencies.groupby("year").size()
    assert counts.loc[2005:].tolist() == list(ROWS)
    assert counts.loc[2004] == 1071
    assert counts.loc[2005:].sum() == 36_777


def test_every_row_has_its_county(agencies):
    assert agencies["county_fips"].notna().mean() == 1.0  # 99.8 % were promised
    wrong_state = agencies["county_fips"].str[:2].map(lambda s: s) != agencies["state"].map(
        {r.state: r.state_fips for r in read_released("county_list").itertuples()}
    )
    assert not wrong_state.any()


def test_blank_violent_is_missing_not_zero(agencies):
    table = agencies[agencies["year"] <= 2012]
    minnesota = table[(table["state"] == "MN") & (table["year"] >= 2006)]
    assert minnesota["violent"].isna().mean() > 0.95
    assert (minnesota["violent"] == 0).sum() == 0
    assert minnesota["violent_ex_rape"].notna().mean() > 0.98
    illinois = table[(table["state"] == "IL") & (table["year"] == 2009)]
    assert illinois["violent"].isna().all()
    for year in (2017, 2018):
        carolina = agencies[(agencies["state"] == "NC") & (agencies["year"] == year)]
        assert carolina["violent"].isna().all()
        assert len(carolina) == {2017: 70, 2018: 48}[year]


def test_rape_columns_follow_the_years(agencies):
    filled = agencies.groupby("year")[["rape_legacy", "rape_revised"]].agg(lambda s: s.notna().any())
    assert filled["rape_legacy"].tolist() == [y <= 2016 for y in filled.index]
    assert filled["rape_revised"].tolist() == [y >= 2013 for y in filled.index]


def test_two_agencies_of_a_county_are_summed_and_an_absent_one_flagged(counties):
    gaston = counties.frame[counties.frame["county_fips"] == "37071"].set_index("year")
    # 2011: sheriff 4 violent, county police 201; 2010: the county police are not printed
    assert gaston.loc[2011, "violent"] == 205
    assert gaston.loc[2011, "coverage"] == 1
    assert gaston.loc[2010, ["agencies_reporting", "agencies_expected"]].tolist() == [1, 2]
    assert gaston.loc[2010, "coverage"] < 0.01  # the sheriff's handful of cases is not the county force's
    assert gaston.loc[2017, "coverage"] > 0.99  # the sheriff is absent, the county police printed
    assert 2015 not in gaston.index  # no row is no figure
    assert "13067 Cobb 2010" in counties.flow.listed(
        "an expected agency is absent"
    )  # Cobb's county police dropped out in 2010


def test_rows_printed_twice_count_once(agencies, counties):
    twice = agencies[agencies["repeated"]]
    assert twice[["state", "agency", "year"]].to_numpy().tolist() == [["IN", "Clark", 2011], ["IA", "Story", 2011]]
    story = counties.frame.query("county_fips == '19169' and year == 2011")
    assert story["violent"].item() == 9


def test_county_sums_are_missing_when_a_part_is():
    frame = pd.DataFrame(
        {"county_fips": ["a", "a", "b"], "year": [1, 1, 1], "x": pd.array([1, None, 3], dtype="Int64")}
    )
    out = fbi_table10.strict_sum(frame, ["county_fips", "year"], ["x"])
    assert out["x"].isna().tolist() == [True, False]
    assert out.loc[("b", 1), "x"] == 3


def test_outcome_table_is_complete(counties):
    assert counties.years == tuple(range(2005, 2020))
    assert not counties.frame.duplicated(["county_fips", "year"]).any()
    assert set(counties.frame.columns) == set(counties.codebook)
    assert load_outcome("fbi_table10", (2006, 2016)).years == tuple(range(2006, 2017))
    assert load_outcome("fbi_table10", [2004]).frame["year"].eq(2004).all()
    with pytest.raises(SourceError, match="2004–2019"):
        load_outcome("fbi_table10", (2000, 2016))
    with pytest.raises(SourceError, match="fbi_msa"):
        load_outcome("fbi_table9")


def test_totals_that_are_not_their_parts_are_listed():
    listed = pd.read_csv(released_dir() / "qa" / "fbi_table10_totals.csv")
    assert listed[["state", "agency", "year", "offence"]].to_numpy().tolist() == [["CO", "Jackson", 2013, "property"]]


def test_misplaced_columns_are_refused(agencies):
    year = agencies[agencies["year"] == 2010]
    swapped = year.rename(
        columns={"murder": "robbery", "robbery": "assault", "assault": "violent", "violent": "murder"}
    )
    with pytest.raises(SourceError, match="not the sum of its parts"):
        fbi_table10.check_totals("shuffled", swapped)


def test_unmatched_rows_name_the_remedy():
    table = pd.DataFrame({"state": ["NC", "NC"], "agency": ["Nowhere", "Gaston"], "county_fips": [None, "37071"]})
    with pytest.raises(IdentityError, match=r"NC Nowhere[\s\S]*fbi_county_names"):
        fbi_table10.unmatched(table)


@pytest.mark.private_data
def test_rebuild_gives_the_released_bytes(sources, tmp_path):
    for path in fbi_table10.build(sources, tmp_path):
        assert path.read_bytes() == (released_dir() / path.relative_to(tmp_path)).read_bytes(), path.name
