"""County crimes and arrests: the producer's missing rule, denominators, September 2001, units; private figures."""

import numpy as np
import pandas as pd
import pytest
from fixtures import nacjd

import g287stats.outcomes as outcomes
from g287stats import catalog
from g287stats.catalog import store
from g287stats.errors import SourceError, UnavailableError
from g287stats.outcomes.context.population import load_population
from g287stats.outcomes.coverage import apply_coverage
from g287stats.outcomes.nacjd.county import load_icpsr_arrests, load_icpsr_county, split_proportionally


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(store.DATA_DIR_VARIABLE, str(tmp_path / "home"))


def add(tmp_path, frames):
    catalog.data_add("icpsr-county-crimes", [nacjd.write_crimes(tmp_path, y, f) for y, f in frames.items()])


def cell(table, fips, year):
    return table.frame.set_index(["county_fips", "year"]).loc[(fips, year)]


def put(frame, fips, **values):
    here = (frame["FIPS_ST"] == int(fips[:2])) & (frame["FIPS_CTY"] == int(fips[2:]))
    for name, value in values.items():
        frame.loc[here, name] = value


QUIET = dict.fromkeys(["MURDER", "RAPE", "ROBBERY", "AGASSLT", "BURGLRY", "LARCENY", "MVTHEFT", "ARSON"], 0)
SOME = QUIET | {"MURDER": 1, "RAPE": 2, "ROBBERY": 3, "AGASSLT": 4, "BURGLRY": 5, "LARCENY": 6, "MVTHEFT": 7}


def test_without_files_the_error_says_how_to_get_them():
    with pytest.raises(UnavailableError, match="g287stats data add icpsr-county-crimes"):
        outcomes.load_outcome("icpsr_county")
    with pytest.raises(UnavailableError, match="g287stats data add icpsr-county-arrests"):
        outcomes.load_outcome("icpsr_arrests")


def test_parts_missing_rule_denominators_and_doubt(tmp_path):
    frame = nacjd.crimes(2006)
    put(frame, "01001", **SOME, COVIND=100.0, CPOPCRIM=1000, CPOPARST=2000)
    put(frame, "01003", **SOME, COVIND=80.0, CPOPCRIM=1000)
    put(frame, "01005", **QUIET, COVIND=50.0, CPOPCRIM=0)
    put(frame, "01007", **QUIET, COVIND=0.0, CPOPCRIM=1000)
    put(frame, "01009", **SOME, COVIND=0.0, CPOPCRIM=1000)
    put(frame, "01011", **QUIET, COVIND=100.0, CPOPCRIM=1000)
    add(tmp_path, {2006: nacjd.with_totals(frame, 2006)})
    table = load_icpsr_county(coverage_of="months")
    one = cell(table, "01001", 2006)
    assert (one["violent"], one["violent_ex_rape"], one["property"], one["rape_legacy"]) == (10, 8, 18, 2)
    assert (one["population"], one["arrest_population"], one["coverage"]) == (1000, 2000, 1.0)
    assert (one["imputed"], one["doubt"]) == ("none", "")
    low = cell(table, "01003", 2006)
    assert (low["violent"], low["imputed"], low["doubt"]) == (10, "producer", "coverage 80.0 % of months")
    reasons = {
        "01005": "COVIND above 0 without covered population",
        "01007": "no report",
        "01009": "COVIND 0 although figures are printed",
    }
    for fips, why in reasons.items():
        gone = cell(table, fips, 2006)
        assert pd.isna(gone["violent"])
        assert pd.isna(gone["murder"])
        assert (gone["coverage"], gone["usable"], gone["doubt"]) == (0.0, False, why)
    zero = cell(table, "01011", 2006)
    assert (zero["violent"], zero["usable"]) == (0, True)
    assert table.denominator == "population"


def test_tribal_and_statewide_rows_are_dropped_and_listed(tmp_path):
    add(tmp_path, {2006: None, 2010: None})
    table = load_icpsr_county()
    steps = {s.step: s for s in table.flow}
    assert "04777 2010" in steps["without tribal agencies (county code 777)"].listing
    assert len(steps["without statewide agencies (county code 999)"].listing) == 8
    assert not table.frame["county_fips"].str.endswith(("777", "999")).any()


def test_codes_become_harmonised_units(tmp_path):
    frame = nacjd.crimes(2000)
    put(frame, "51019", **SOME, COVIND=100.0, CPOPCRIM=3000, CPOPARST=3000, AG_OFF=2)
    put(frame, "51515", **SOME, COVIND=60.0, CPOPCRIM=1000, CPOPARST=1000, AG_OFF=1)
    put(frame, "51005", **SOME, COVIND=100.0, CPOPCRIM=3000, CPOPARST=3000)
    put(frame, "51560", **QUIET, COVIND=0.0, CPOPCRIM=0, CPOPARST=1000)
    put(frame, "46113", **SOME, COVIND=100.0, CPOPCRIM=3000)
    add(tmp_path, {2000: nacjd.with_totals(frame, 2000)})
    table = load_icpsr_county(coverage_of="months")
    bedford = cell(table, "51019", 2000)
    assert (bedford["violent"], bedford["population"], bedford["agencies_reporting"]) == (20, 4000, 3)
    assert bedford["coverage"] == pytest.approx((3000 * 100 + 1000 * 60) / 4000 / 100)
    alleghany = cell(table, "51005", 2000)
    assert (alleghany["violent"], alleghany["population"]) == (10, 3000)
    assert alleghany["coverage"] == pytest.approx(0.75)
    assert alleghany["doubt"].startswith("part of the unit did not report")
    assert cell(table, "46102", 2000)["violent"] == 10
    assert not set(table.frame["county_fips"]) & {"51515", "51560", "46113", "02270"}


def test_september_2001_is_an_argument(tmp_path):
    frame = nacjd.crimes(2001)
    murders = {"36005": 600, "36047": 1000, "36061": 700, "36081": 900, "36085": 100}
    for fips, n in murders.items():
        put(frame, fips, **(SOME | {"MURDER": n}), COVIND=100.0, CPOPCRIM=5000)
    put(frame, "42111", **(SOME | {"MURDER": 40}), COVIND=100.0, CPOPCRIM=5000)
    add(tmp_path, {2001: nacjd.with_totals(frame, 2001), 2002: None})
    blank = load_icpsr_county()
    for fips in [*murders, "42111"]:
        row = cell(blank, fips, 2001)
        assert pd.isna(row["murder"])
        assert pd.isna(row["violent"])
        assert pd.isna(row["violent_ex_rape"])
        assert row["property"] == 18
        assert row["doubt"].startswith("murders of 11 September 2001: missing")
    assert not pd.isna(cell(blank, "36061", 2002)["murder"])
    printed = load_icpsr_county(september_11="as_published")
    assert cell(printed, "36061", 2001)["murder"] == 700
    less = load_icpsr_county(september_11="subtract")
    city = sum(cell(less, f, 2001)["murder"] for f in murders)
    assert city == sum(murders.values()) - 2823
    assert cell(less, "42111", 2001)["murder"] == 0
    assert less.provenance["settings"]["september_11"] == "subtract"
    assert any("not checked" in c for c in less.provenance["caveats"])
    assert "2,823" in str(catalog.data_describe("icpsr-county-crimes"))  # and says so before anything is loaded
    with pytest.raises(SourceError, match="one of 'missing'"):
        load_icpsr_county(september_11="drop")


def test_split_is_exact_and_proportional():
    parts = split_proportionally(10, np.array([1, 1, 1]))
    assert parts.tolist() == [4, 3, 3]
    assert split_proportionally(2823, np.array([600, 1000, 700, 900, 100])).sum() == 2823


def test_coverage_of_months_residents_or_the_lower(tmp_path):
    autauga, baldwin = load_population([2006]).set_index("county_fips")["population"][["01001", "01003"]]
    frame = nacjd.crimes(2006)
    put(frame, "01001", **SOME, COVIND=100.0, CPOPCRIM=autauga // 4)
    put(frame, "01003", **SOME, COVIND=40.0, CPOPCRIM=2 * baldwin)
    add(tmp_path, {2006: nacjd.with_totals(frame, 2006)})
    both, months, residents = (load_icpsr_county(coverage_of=of) for of in ("both", "months", "residents"))
    assert cell(both, "01001", 2006)["coverage"] == pytest.approx(0.25, abs=1e-4)
    assert cell(both, "01003", 2006)["coverage"] == 0.40
    assert [cell(months, f, 2006)["coverage"] for f in ("01001", "01003")] == [1.0, 0.40]
    assert cell(residents, "01003", 2006)["coverage"] == 1.0
    assert [cell(both, f, 2006)["coverage_of"] for f in ("01001", "01003")] == ["residents", "months"]
    low = apply_coverage(both.frame, "coverage", 0.5, "drop").low.set_index("county_fips")["reason"]
    assert low["01001"] == "25.0 % of the county's residents are covered"
    assert low["01003"] == "40.0 % of the county's agencies reported"
    assert both.provenance["settings"]["coverage_of"] == "both"
    with pytest.raises(SourceError, match="one of 'months'"):
        load_icpsr_county(coverage_of="all")


def test_row_order_does_not_matter_and_years_are_checked(tmp_path):
    frame = nacjd.crimes(2006)
    add(tmp_path, {2006: frame})
    one = load_icpsr_county().frame
    add(tmp_path, {2006: frame.sample(frac=1, random_state=1)})
    pd.testing.assert_frame_equal(one, load_icpsr_county().frame)
    with pytest.raises(UnavailableError, match=r"2005 \(study 04717\) is not in hand"):
        load_icpsr_county(years=(2005, 2006))
    with pytest.raises(UnavailableError, match=r"2005 \(study 04717\), 2007 \(study 25114\) is not in hand"):
        load_icpsr_county(years=[2005, 2006, 2007])
    with pytest.raises(SourceError, match="covers 2006–2006"):
        load_icpsr_county(years=(1990, 1992))


def test_arrests_missing_rule_and_florida(tmp_path):
    catalog.data_add("icpsr-county-arrests", [nacjd.write_arrests(tmp_path, 2006)])
    table = load_icpsr_arrests()
    florida = table.frame[table.frame["county_fips"].str.startswith("12")]
    assert florida["arrests"].isna().all()
    assert not florida["usable"].any()
    imputed = cell(table, "48001", 2006)
    assert imputed["usable"]
    assert imputed["doubt"] == "fully imputed (COVIND 0 with counts)"
    assert imputed["arrests"] > 0
    assert "CPOPARST" in table.codebook["population"]["description"]
    assert any("Kaplan" in c for c in table.provenance["caveats"])


@pytest.mark.private_data
def test_private_files_give_the_known_figures(sources):
    from g287stats.outcomes.nacjd.checks import measure

    catalog.data_add("icpsr-county-crimes", [sources / "crime" / "icpsr_county_crimes"])
    m = measure()
    assert (m.rows, m.usable, m.rows_2003_2012, m.usable_2003_2012) == (40_858, 38_123, 31_430, 29_690)
    assert (m.balanced, m.balanced_2003_2012) == (2_606, 2_704)
    year = m.by_year.set_index("year")
    assert (year.loc[2008, "violent"], year.loc[2008, "fbi_violent"]) == (1_360_531, 1_394_461)
    shares = year.loc[[2000, 2012], ["violent_share", "property_share"]].round(1).to_numpy().tolist()
    assert shares == [[95.4, 93.4], [99.1, 98.4]]
    assert year.loc[2001, "murder"] == 18_230
    # The historical records name 61 counties; Harford, Salem and Lubbock signed in 2016 only, which leaves 58.
    assert (m.treated_counties, m.treated_present, m.treated_usable) == (58, 58, 58)
    flagged = {(r.county_fips, r.year) for r in m.doubtful.itertuples()}
    assert {("37071", 2006), ("37071", 2009), ("37071", 2010), ("37063", 2007)} <= flagged


@pytest.mark.private_data
def test_private_arrests(sources):
    catalog.data_add("icpsr-county-arrests", [sources / "crime" / "icpsr_county_arrests"])
    kept = catalog.read_kept("icpsr-county-arrests", ["2008"])["2008"]
    assert int(kept["GRNDTOT"].sum()) == 12_707_113
    table = load_icpsr_arrests(years=[2008])
    assert table.frame.loc[table.frame["county_fips"].str.startswith("12"), "arrests"].isna().all()
