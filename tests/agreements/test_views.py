"""The record as people ask for it: like a frame, by county, by agency, as a timeline, by what changed."""

import pandas as pd
import pytest

from g287stats.agreements.table import load_agreements
from g287stats.errors import DesignError, UnavailableError


@pytest.fixture(scope="module")
def agreements():
    return load_agreements()


def test_it_behaves_like_a_frame(agreements, tmp_path):
    assert len(agreements.head()) == 5 and list(agreements.columns) == list(agreements.frame.columns)
    assert agreements["model"].equals(agreements.frame["model"])
    assert set(agreements[["agency", "state"]].columns) == {"agency", "state"}
    rensselaer = agreements.query("state == 'NY' and model == 'JEM' and end_precision == 'open'")
    assert rensselaer["agency"].tolist() == ["Rensselaer County Sheriff's Office"]
    written = pd.read_csv(agreements.to_csv(tmp_path / "a.csv"), dtype=str)
    assert len(written) == len(agreements) and written["signed_date"].str.fullmatch(r"\d{4}-\d\d-\d\d").all()


@pytest.mark.parametrize("name", ["Gaston, NC", "gaston county, nc", "37071"])
def test_a_county_by_name_or_code(agreements, name):
    assert set(agreements.county(name)["agency_id"]) == {"NC-gaston-county-sheriff"}


def test_a_city_over_the_county_line_is_in_both(agreements):
    for county in ("Dallas, TX", "Denton, TX"):
        assert "TX-carrollton-police-department" in set(agreements.county(county)["agency_id"])


def test_names_that_are_not_there(agreements):
    with pytest.raises(UnavailableError, match=r"no county 'Gastn' in NC\. Near: Gaston County"):
        agreements.county("Gastn, NC")
    with pytest.raises(DesignError, match="name and state are wanted"):
        agreements.county("Gaston")
    with pytest.raises(UnavailableError, match="Near: NC-gaston-county-sheriff"):
        agreements.agency("Gastonn County Sheriff, NC")
    with pytest.raises(UnavailableError, match="no agency"):
        agreements.history("Atlantis, NC")


@pytest.mark.parametrize(
    "name", ["NC-gaston-county-sheriff", "Gaston County Sheriff's Office, NC", "gaston co. sheriff, NC"]
)
def test_an_agency_by_name_or_identifier(agreements, name):
    assert set(agreements.agency(name)["model"]) == {"JEM"}


def test_a_timeline_prints_itself(agreements):
    text = str(agreements.history("Broome, NY"))
    assert "2025-03-10  signed       WSO  Broome County Sheriff's Office" in text
    assert "2026-09-08  gone by      WSO  Broome County Sheriff's Office (ICE counted no WSO agreement of NY" in text
    frame = agreements.history("NC-gaston-county-sheriff").frame
    assert frame["date"].is_monotonic_increasing and frame["event"].tolist().count("signed again") == 4


def test_changes_since_a_day(agreements):
    found = agreements.changes(since="2026-05-01")
    assert found["date"].gt("2026-05-01").all() and found["date"].is_monotonic_decreasing
    listed = found[found["event"].eq("listed")]
    lists = agreements.frame["first_listed"].gt("2026-05-01") & agreements.frame["duplicate_of"].isna()
    assert len(listed) == lists.sum()
    assert agreements.changes("2018-01-01", "2018-02-05")["event"].eq("signed").any()
