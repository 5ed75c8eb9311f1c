"""Counties built from agencies: every step by hand."""

import numpy as np
import pandas as pd
import pytest

from g287stats.errors import DataWarning, SourceError
from g287stats.flow import Step
from g287stats.outcomes.agency.reports import AgencyReports, agency_years, compare_constructions, county_from_agencies

GASTON, DURHAM = "37071", "37063"


def reports(rows, freq="M"):
    """Rows (agency, county, year, months reported, population, thefts a month) as monthly reports."""
    out = []
    for agency, county, year, told, population, thefts in rows:
        for month in range(1, 13):
            on = month <= told
            out.append((agency, county, pd.Period(f"{year}-{month:02d}", "M"), on, population, thefts if on else None))
    names = ["agency", "county_fips", "period", "reported", "population", "larceny"]
    return AgencyReports("authored", pd.DataFrame(out, columns=names), ("larceny",), freq, {"table": "authored"})


def cell(table, county=GASTON, year=2006):
    return table.frame.set_index(["county_fips", "year"]).loc[(county, year)]


BASE = [
    ("A", GASTON, 2006, 12, 1000, 10),  # 120 in the year
    ("B", GASTON, 2006, 6, 3000, 20),  # 120 in six months
    ("A", GASTON, 2007, 12, 1000, 10),
    ("B", GASTON, 2007, 12, 3000, 20),
]


def test_full_reporters_and_their_coverage():
    table = county_from_agencies(reports(BASE))
    first, second = cell(table), cell(table, year=2007)
    # 2006: only A counts: 120 thefts, 1,000 of 4,000 residents; B's six months stay out.
    assert (first["larceny"], first["population"], first["coverage"]) == (120, 1000, 0.25)
    assert (first["agencies_expected"], first["agencies_reporting"]) == (2, 2)
    assert first["months_reported"] == (1000 * 12 + 3000 * 6) / 4000
    assert (second["larceny"], second["coverage"]) == (120 + 240, 1.0)
    listing = {s.step: s.listing for s in table.flow}["agency-years that count"]
    assert listing == ("B 2006: 6 months",)


def test_balanced_keeps_only_agencies_complete_in_every_year():
    table = county_from_agencies(reports(BASE), rule="balanced")
    assert cell(table)["larceny"] == 120
    assert cell(table, year=2007)["larceny"] == 120
    assert cell(table, year=2007)["coverage"] == 0.25


def test_weighted_scales_by_months():
    table = county_from_agencies(reports(BASE), rule="weighted", min_months=3)
    assert cell(table)["larceny"] == 120 + 120 * 12 / 6
    assert cell(table)["imputed"] == "weighted to 12 months"


def test_bounds_hold_what_can_have_been_recorded():
    first = cell(county_from_agencies(reports(BASE)))
    # low: reported months only, 120 + 120; high: B's six silent months at its highest month, 20 each.
    assert (first["larceny_low"], first["larceny_high"]) == (240, 120 + 120 + 6 * 20)
    silent = county_from_agencies(reports([*BASE, ("C", GASTON, 2007, 12, 500, 1)]))
    # C reported nothing in 2006, so no upper bound exists; it is expected and counted in coverage.
    assert pd.isna(cell(silent)["larceny_high"])
    assert cell(silent)["agencies_expected"] == 3
    assert cell(silent)["coverage"] == 1000 / 4500


def test_true_total_lies_within_the_bounds():
    whole = county_from_agencies(reports([(a, c, y, 12, p, t) for a, c, y, _, p, t in BASE]))
    partial = county_from_agencies(reports(BASE))
    assert cell(partial)["larceny_low"] <= cell(whole)["larceny"] <= cell(partial)["larceny_high"]


def test_apportioned_agency_is_divided_and_nothing_is_lost():
    shares = pd.DataFrame({"agency": ["B", "B"], "county_fips": [GASTON, DURHAM], "share": [0.25, 0.75]})
    table = county_from_agencies(reports(BASE), shares=shares)
    assert cell(table, GASTON, 2007)["larceny"] == 120 + 0.25 * 240
    assert cell(table, DURHAM, 2007)["larceny"] == 0.75 * 240
    assert cell(table, DURHAM, 2007)["population"] == 0.75 * 3000
    whole = county_from_agencies(reports(BASE))
    assert table.frame.query("year == 2007")["larceny"].sum() == whole.frame.query("year == 2007")["larceny"].sum()
    with pytest.raises(SourceError, match=r"sum to 1 \(1\): B: 0.5"):
        county_from_agencies(reports(BASE), shares=shares.assign(share=0.25))


def test_a_figure_lacking_in_one_month_blanks_the_county_not_shrinks_it():
    given = reports(BASE)
    given.frame.loc[5, "larceny"] = None  # A reported June 2006, but not this figure
    years = agency_years(given).set_index(["agency", "year"])
    assert years.loc[("A", 2006), "months_reported"] == 12
    assert years.loc[("A", 2006), "larceny_months"] == 11
    first = cell(county_from_agencies(given))
    assert pd.isna(first["larceny"])
    assert (first["larceny_low"], first["larceny_high"]) == (110 + 120, 110 + 10 + 120 + 6 * 20)


def test_agency_without_county_is_listed_and_none_at_all_refused():
    table = county_from_agencies(reports([*BASE, ("State", None, 2007, 12, 0, 1)]))
    assert {s.step: s.listing for s in table.flow}["agency-years in a county"] == ("State",)
    with pytest.raises(SourceError, match="Pass agencies="):
        county_from_agencies(reports([("State", None, 2007, 12, 0, 1)]))


def test_without_population_coverage_counts_agencies():
    table = county_from_agencies(reports([("A", GASTON, 2006, 12, None, 1), ("B", GASTON, 2006, 3, None, 1)]))
    assert cell(table)["coverage"] == 0.5
    assert cell(table)["months_reported"] == 7.5


def test_row_order_and_agency_labels_do_not_matter():
    one = county_from_agencies(reports(BASE)).frame
    given = reports(BASE)
    frame = given.frame.sample(frac=1, random_state=0).replace({"agency": {"A": "Z"}})
    two = county_from_agencies(AgencyReports("authored", frame, ("larceny",), "M", {})).frame
    pd.testing.assert_frame_equal(one, two)


def test_arguments_and_duplicates_are_refused():
    with pytest.raises(SourceError, match="one of 'full_reporters'"):
        county_from_agencies(reports(BASE), rule="all")
    with pytest.raises(SourceError, match="from 1 to 12"):
        county_from_agencies(reports(BASE), min_months=0)
    with pytest.raises(SourceError, match=r"agency-periods repeat \(12\)"):
        reports([BASE[0], BASE[0]])
    with pytest.raises(SourceError, match="covers 2006–2007"):
        county_from_agencies(reports(BASE), years=(2005, 2007))


def test_constructions_stand_side_by_side():
    full = county_from_agencies(reports(BASE))
    weighted = county_from_agencies(reports(BASE), rule="weighted", min_months=3)
    table = compare_constructions({"full": full, "weighted": weighted}, "larceny").set_index("year")
    assert table.loc[2006, "ratio_weighted"] == 360 / 120
    assert table.loc[2007, "ratio_weighted"] == 1
    with pytest.raises(SourceError, match="murder is not in"):
        compare_constructions({"full": full}, "murder")


def test_flow_begins_with_the_loaders_own_steps():
    given = reports(BASE)
    given = AgencyReports("authored", given.frame, given.counts, "M", {}, (Step("rows of the file", 48),))
    assert county_from_agencies(given).flow[0].step == "rows of the file"


def _yearly(*rows):
    names = ("agency", "county_fips", "population", "year", "months_reported", "murder")
    return AgencyReports("t", pd.DataFrame([dict(zip(names, r)) for r in rows]), ("murder",), "Y", {})


def test_an_agency_whose_county_code_changes_is_placed_by_year():
    # Broomfield became a county in November 2001
    table = county_from_agencies(
        _yearly(
            ("CITY", "08013", 40_000, 2000, 12, 1), ("CITY", "08014", 41_000, 2002, 12, 2),
            ("SHERIFF", "08013", 90_000, 2000, 12, 5), ("SHERIFF", "08013", 91_000, 2002, 12, 6),
        )
    ).frame.set_index(["county_fips", "year"])  # fmt: skip
    assert table["murder"].to_dict() == {("08013", 2000): 6, ("08013", 2002): 6, ("08014", 2002): 2}
    assert table["population"].to_dict() == {("08013", 2000): 130_000, ("08013", 2002): 91_000, ("08014", 2002): 41_000}


def test_unknown_residents_make_denominator_and_coverage_unknown_not_larger_or_complete():
    silent = county_from_agencies(_yearly(("A", "01001", np.nan, 2010, 0, np.nan), ("B", "01001", 1000, 2010, 12, 3)))
    assert np.isnan(silent.frame["coverage"].item()) and "1 of 2 agencies" in silent.frame["doubt"].item()
    both = county_from_agencies(_yearly(("A", "01001", np.nan, 2010, 12, 3), ("B", "01001", 1000, 2010, 12, 3)))
    assert both.frame["murder"].item() == 6 and np.isnan(both.frame["population"].item())
    nobody = county_from_agencies(_yearly(("A", "01001", np.nan, 2010, 0, np.nan), ("B", "01001", np.nan, 2010, 12, 3)))
    assert nobody.frame["coverage"].item() == 0.5 and nobody.frame["coverage_of"].item() == "agencies"


def test_an_agency_that_moves_within_a_year_is_placed_where_it_has_most_months_and_told():
    months = pd.period_range("2001-01", "2001-12", freq="M")
    rows = pd.DataFrame(
        {
            "agency": "CITY",
            "period": months,
            "reported": True,
            "population": 40_000,
            "murder": 1,
            "county_fips": ["08013"] * 10 + ["08014"] * 2,
        }
    )
    with pytest.warns(DataWarning, match="CITY 2001"):
        out = agency_years(AgencyReports("t", rows, ("murder",), "M", {}))
    assert out["county_fips"].item() == "08013" and out["murder"].item() == 12
