"""State estimates as a check of completeness; campuses and state agencies."""

import csv

import pandas as pd
import pytest

from g287stats.catalog import released_dir
from g287stats.errors import SourceError
from g287stats.outcomes import load_outcome
from g287stats.outcomes.fbi import estimates as fbi_estimates
from g287stats.outcomes.fbi import other as fbi_other
from g287stats.outcomes.fbi.cities import load_fbi_cities
from g287stats.outcomes.fbi.table10 import load_fbi_table10_agencies


def test_two_years_a_state_latest_edition_kept():
    table = fbi_estimates.load_state_estimates()
    # the edition of 2010 prints no total for Puerto Rico
    assert table.groupby("year").size().to_dict() == dict.fromkeys(range(2008, 2020), 52) | {2010: 51}
    edition = table.groupby("year")["edition"].unique().map(list).to_dict()
    assert edition == {y: [y] for y in range(2008, 2020)} | {2012: [2013], 2013: [2014], 2014: [2015]}
    states = table[table["state"] != "PR"].groupby("year")[["violent", "property"]].sum()
    # the table's own United States total of 2015: 1,231,566 violent and 7,993,631 property
    assert states.loc[2015].tolist() == [1_231_566, 7_993_631]
    assert table.loc[table["year"] == 2012, "rape_revised"].isna().all()  # Wyoming's printed -100 is no figure


def test_completeness_of_all_printed_agencies_by_state():
    """Cities, sheriffs, campuses and state agencies together, against the FBI's estimates (documented ratios)."""
    parts = [load_fbi_cities(), load_fbi_table10_agencies(), fbi_other.load_fbi_other()]
    rows = pd.concat([p[["state", "year", "property"]] for p in parts])
    sums = rows.groupby(["state", "year"])["property"].sum()
    estimates = fbi_estimates.load_state_estimates().set_index(["state", "year"])["property"]
    ratio = (sums / estimates).astype("float64")
    said = {
        # documented for 2013: WV .50 and NM .72, on the 2013 edition's estimates, which the 2014 edition raised
        2013: {"WV": 0.48, "MS": 0.60, "VT": 0.62, "OH": 0.70, "NM": 0.70, "MD": 0.77, "NC": 0.81, "IN": 0.83},
        2015: {"OR": 0.50, "MS": 0.53, "HI": 0.68, "WV": 0.69, "NC": 0.69, "MD": 0.76, "OH": 0.78, "IN": 0.86},
    }
    for year, states in said.items():
        for state, value in states.items():
            assert ratio[state, year] == pytest.approx(value, abs=0.006), (state, year)


def test_completeness_of_an_outcome_table():
    ratio = fbi_estimates.state_completeness(load_outcome("fbi_county_sums", (2012, 2015)))
    assert sorted(ratio["year"].unique()) == [2012, 2013, 2014, 2015]
    lowest = ratio[(ratio["year"] == 2013) & (ratio["state"] != "PR")].nsmallest(4, "property")["state"].tolist()
    assert set(lowest) <= {"HI", "WV", "VT", "NY", "DE"}
    with pytest.raises(SourceError, match="2008"):
        fbi_estimates.state_completeness(load_outcome("fbi_county_sums", (2005, 2007)))


def test_states_whose_sums_are_far_below_the_fbis_totals_are_those_to_distrust():
    ratio = fbi_estimates.state_completeness(load_outcome("fbi_county_sums", (2008, 2012)))
    mean = ratio[ratio["state"] != "PR"].groupby("state")["property"].mean()
    assert {"WV", "VT", "DE", "NY"} <= set(mean.nsmallest(8).index)
    assert mean[["CA", "FL", "VA", "TX"]].min() > 0.85
    assert ratio["property"].max() < 1.1


def test_other_agencies_rows_and_places():
    table = fbi_other.load_fbi_other()
    rows = table.groupby(["fbi_table", "year"]).size().to_dict()
    assert rows == {
        (9, 2013): 631,
        (9, 2014): 652,
        (9, 2015): 680,
        (11, 2013): 1990,
        (11, 2014): 2023,
        (11, 2015): 2347,
    }
    berkeley = table[(table["agency"] == "University of California") & (table["unit"] == "Berkeley")]
    assert berkeley["county_fips"].unique().tolist() == ["06001"]  # campuses stand under the university's name
    assert table.loc[table["state"] == "US", "county_fips"].isna().all()
    known = table[table["county_fips"].notna()]
    assert (known["placed_by"].notna()).all()


def test_outlying_headings_and_a_misprinted_state_are_read(tmp_path):
    head = "State,University/College,Campus,Student enrollment1,Violent crime,Murder,Rape,Robbery,Aggravated assault,"
    head += "Property crime,Burglary,Larceny-theft,Motor vehicle theft,Arson"
    path = tmp_path / "Table_9_made_up_2014.csv"
    with path.open("w", newline="") as handle:
        out = csv.writer(handle)
        out.writerow(head.split(","))
        out.writerow(["MASSACHUSETTES", "University of Here:", "North2", 500, 1, 0, 0, 0, 1, 3, 1, 1, 1, ""])
        out.writerow(["", "", "South", 400, 1, 0, 0, 0, 1, 3, 1, 1, 1, ""])
    from g287stats.outcomes.fbi.sheets import parse

    frame = parse(path, ("university",)).frame
    assert frame["state"].tolist() == ["MA", "MA"]
    assert frame[["agency", "unit"]].to_numpy().tolist() == [
        ["University of Here", "North"],
        ["University of Here", "South"],
    ]


@pytest.mark.private_data
def test_rebuild_gives_the_released_bytes(sources, tmp_path):
    for module in (fbi_estimates, fbi_other):
        for path in module.build(sources, tmp_path):
            assert path.read_bytes() == (released_dir() / path.name).read_bytes(), path.name
