"""Identifications and removals, 2006-2013."""

import pandas as pd
import pytest

from g287stats.agreements.removals import apportion_removals, load_removals


@pytest.fixture(scope="module")
def removals():
    return load_removals()


def test_sums_by_fiscal_year(removals):
    sums = removals.groupby("fiscal_year")[["identified", "removed"]].sum()
    assert sums["identified"].tolist() == [6154, 22338, 45666, 60223, 48169, 39341, 30893, 15281]
    assert sums["removed"].tolist() == [4219, 16377, 36509, 42487, 26871, 23745, 13129, 11767]


def test_every_agency_is_matched(removals):
    assert len(removals) == 584
    assert removals["agency_id"].nunique() == 73
    assert removals.loc[removals["county_fips"].isna(), "agency_id"].nunique() == 12
    assert removals.loc[removals["county_fips"].isna(), "jurisdiction"].eq("state").all()


def test_blank_is_missing(removals):
    assert removals["identified"].isna().sum() == 166
    assert not removals.loc[removals["fiscal_year"] < 2011, "identified"].eq(0).any()


def test_apportioning_by_hand():
    # fiscal year 2009 is 365 days, 92 of them in 2008; 2010 likewise, 92 in 2009
    years = pd.DataFrame(
        {
            "agency_id": "x",
            "state": "NC",
            "county_fips": "37001",
            "fiscal_year": [2009, 2010],
            "start_date": pd.to_datetime(["2008-10-01", "2009-10-01"]),
            "end_date": pd.to_datetime(["2009-09-30", "2010-09-30"]),
            "identified": pd.array([365, 730], "Int64"),
            "removed": pd.array([365, None], "Int64"),
        }
    )
    out = apportion_removals(years, "Y").set_index("period")
    assert out["identified"].tolist() == pytest.approx([92, 273 + 184, 546])
    assert out["days_covered"].tolist() == pytest.approx([92 / 366, 1, 273 / 365])
    assert out["removed"].isna().tolist() == [False, True, True]
    assert apportion_removals(years, "Q")["identified"].sum() == pytest.approx(1095)


def test_unknown_frequency(removals):
    with pytest.raises(ValueError, match="'Y', 'Q' or 'M'"):
        apportion_removals(removals, "W")
