"""The panel on the released data: keys, rates, flow, refusals."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fixtures import votes

import g287stats as g
from g287stats.errors import CoverageError, DataWarning, DesignError, SourceError, UnavailableError


@pytest.fixture(scope="module")
def panel():
    return g.county_panel("fbi_table10", (2005, 2015))


def test_keys_are_unique_and_every_cell_is_accounted_for(panel):
    frame = panel.frame
    assert not frame.duplicated(["county_fips", "year"]).any()
    assert frame["county_fips"].str.fullmatch(r"\d{5}").all()
    assert len(frame) == frame["county_fips"].nunique() * 11
    flow = panel.flow.to_frame().set_index("step")["rows"]
    figures = flow["county-periods with a figure"]
    assert figures + flow["county-periods without a figure"] == len(frame) == flow["rows kept"]


def test_every_column_is_described(panel):
    assert set(panel.frame.columns) <= set(panel.codebook)
    assert "per 100,000" in panel.describe("property_rate")["description"]
    with pytest.raises(DesignError, match="no column 'crime'"):
        panel.describe("crime")


def test_rate_is_offences_per_100_000_residents(panel):
    row = panel.frame.dropna(subset=["property"]).iloc[0]
    assert row["property_rate"] == pytest.approx(100_000 * row["property"] / row["population"], rel=1e-15)


def test_missing_is_not_zero(panel):
    frame = panel.frame
    absent = frame["violent"].isna()
    assert absent.any()
    assert frame.loc[absent, "violent_rate"].isna().all()


def test_alamance_is_treated_from_2007_and_keeps_its_exit(panel):
    alamance = panel.frame.query("county_fips == '37001'").set_index("year")
    assert alamance["cohort"].dropna().unique().tolist() == [2007]
    assert alamance.loc[2007, "exposure_share"] == pytest.approx(356 / 365)
    assert alamance.loc[2012, "exposure_share"] == pytest.approx(261 / 366)
    assert alamance.index[alamance["after_exit"]].tolist() == [2013, 2014, 2015]


def test_later_adopters_are_not_yet_treated_in_an_early_panel(panel):
    # hundreds of counties first sign in 2025; in a panel to 2015 they have no cohort
    assert panel.frame["cohort"].max() <= 2015


def test_several_exposures_carry_their_names():
    both = g.county_panel(
        years=(2006, 2013),
        exposure={"tfm": g.Exposure(models=("TFM",), on_exit="switching"), "state": g.Exposure(level="state")},
    ).frame
    on = both.groupby("year")["treated_tfm"].sum()
    assert on[2011] > 0
    assert on[2013] == 0  # ICE let every task-force memorandum lapse on 31 December 2012
    florida = both[both["county_fips"].str[:2] == "12"]
    assert florida["treated_state"].all()  # the Florida Department of Law Enforcement signed in 2002


def test_months_count_like_the_year():
    monthly = g.county_panel(years=(2007, 2007), freq="M").frame.query("county_fips == '37001'")
    days = monthly["period"].dt.days_in_month.to_numpy()
    assert monthly["exposure_share"].to_numpy() @ days / 365 == pytest.approx(356 / 365, abs=1e-12)
    assert monthly["cohort"].iloc[0] == pd.Period("2007-01", "M")


def test_censoring_lists_the_rows_it_removes():
    censored = g.county_panel("fbi_table10", (2005, 2015), exposure=g.Exposure(on_exit="censor"))
    (step,) = (s for s in censored.flow.of("exposure") if s.step == "rows censored after exit")
    listing = step.listing
    assert step.rows == len(listing) > 0
    assert "37001 2013" in listing
    assert censored.frame.query("county_fips == '37001'")["year"].max() == 2012


def test_neighbours_are_treated_by_the_county_next_door():
    near = g.county_panel(years=(2007, 2007), exposure=g.Exposure(of="adjacent")).frame.set_index("county_fips")
    assert near.loc["37135", "treated"]  # Orange NC borders Alamance
    assert not near.loc["53033", "treated"]  # King WA borders no treated county in 2007


def test_fixed_denominator_changes_rates_only():
    moving = g.county_panel("fbi_table10", (2009, 2010)).frame
    fixed = g.county_panel("fbi_table10", (2009, 2010), denominator=2009).frame
    assert (fixed.groupby("county_fips")["population"].nunique() <= 1).all()
    pd.testing.assert_series_equal(moving["property"], fixed["property"])
    first = moving["year"] == 2009
    np.testing.assert_array_equal(moving.loc[first, "property_rate"], fixed.loc[first, "property_rate"])


def test_coverage_is_an_argument_and_drops_are_listed():
    with pytest.raises(CoverageError, match="13067"):
        g.county_panel("fbi_table10", (2009, 2011), min_coverage=1.0, on_low_coverage="error")
    dropped = g.county_panel("fbi_table10", (2009, 2011), min_coverage=1.0, on_low_coverage="drop")
    assert any("13067 2010" in entry for entry in dropped.flow.listed("coverage below"))


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"outcomes": "fbi_table10", "years": (2005, 2023)}, SourceError, "covers"),
        ({"outcomes": "fbi_table10", "years": (2005, 2015), "freq": "M"}, DesignError, "frequency 'Y'"),
        ({"years": (2020, 2030)}, SourceError, "record ends"),
        ({}, DesignError, "needs years"),
        ({"outcomes": "homicide_in_mars"}, SourceError, "Known outcomes"),
        ({"outcomes": "fbi_table10", "denominator": 1890}, DesignError, "population is in hand for"),
    ],
)
def test_refusals(arguments, kind, words):
    with pytest.raises(kind, match=words):
        g.county_panel(**arguments)


def test_exports_bring_their_codebook(panel, tmp_path):
    small = panel.query("county_fips == '37001'")
    for write, name in ((small.to_csv, "p.csv"), (small.to_parquet, "p.parquet"), (small.to_stata, "p.dta")):
        target, book = write(tmp_path / name)
        assert target.stat().st_size > 0
        assert "per 100,000" in book.read_text()
    back = pd.read_stata(tmp_path / "p.dta")
    assert back["year"].tolist() == list(range(2005, 2016))


def test_last_period_is_a_share_of_the_days_the_record_covers():
    frame = g.county_panel(years=(2026, 2026), exposure=g.Exposure(beyond="flag")).frame.set_index("county_fips")
    assert frame.loc["37001", "exposure_share"] == 1.0  # in force on every day of 2026 to the last list


def test_controls_keep_missing_missing_and_say_where_they_come_from():
    names = [
        "unemployment_rate",
        "hispanic_share",
        "secure_communities",
        "mandate_287g",
        "rucc_2003",
    ]
    panel = g.county_panel("fbi_table10", (2005, 2015), controls=names)
    frame = panel.frame.set_index(["county_fips", "year"])
    assert set(names) <= set(panel.codebook)
    assert np.isnan(frame.loc[("37001", 2005), "hispanic_share"])  # first five-year file ends in 2009
    # Harris County TX activated Secure Communities in October 2008: three months of twelve; ended in November 2014
    assert frame.loc[("48201", 2008), "secure_communities"] == pytest.approx(3 / 12)
    assert frame.loc[("48201", 2014), "secure_communities"] == pytest.approx(10 / 12)
    assert not frame["mandate_287g"].any()
    counted = {s.step: s.rows for s in panel.flow.of("hispanic_share")}
    assert counted["county-periods without a value"] == frame["hispanic_share"].isna().sum()


def test_votes_are_the_users_to_add_and_those_of_the_last_election(tmp_path, monkeypatch):
    monkeypatch.setenv("G287STATS_DATA", str(tmp_path / "home"))
    with pytest.raises(UnavailableError, match="g287stats data add presidential-votes"):
        g.county_panel("fbi_table10", (2007, 2016), controls=["republican_share"])
    assert "republican_share" in set(g.data.known_controls()["control"])  # known without the file
    rows = votes.plain(2008) + votes.plain(2012) + votes.place(2012, "NC", "GASTON", "37071", 250, 750)
    path = tmp_path / "countypres_2000-2012.csv"
    votes.table(rows).to_csv(path, index=False)
    g.catalog.data_add("presidential-votes", [path])
    panel = g.county_panel("fbi_table10", (2007, 2016), controls=["republican_share"])
    frame = panel.frame.set_index(["county_fips", "year"])["republican_share"]
    assert frame["37001"].loc[2008:2015].tolist() == [0.6] * 8
    assert np.isnan(frame["37001"][2007])  # the election of 2004 is not in hand
    assert np.isnan(frame["37001"][2016])  # nor that of 2016: an older one does not stand in for it
    assert frame["37071"].loc[2011:2013].tolist()[1:] == [0.75, 0.75] and np.isnan(frame["37071"][2011])
    assert "VOQCHQ" in panel.describe("republican_share")["source"]


def test_florida_mandates_agreements_from_2022():
    frame = g.county_panel(years=(2021, 2023), controls=["mandate_287g"]).frame
    florida = frame[frame["state"] == "FL"].groupby("year")["mandate_287g"].all()
    assert florida.tolist() == [False, True, True]


def test_unknown_control_lists_the_known_ones():
    with pytest.raises(DesignError, match="unemployment_rate"):
        g.county_panel("fbi_table10", (2005, 2006), controls=["happiness"])
    assert {"control", "source"} <= set(g.data.known_controls().columns)


def test_rates_can_be_per_resident_covered_or_are_refused():
    california = g.county_panel("fbi_msa", (2005, 2006), denominator="covered").frame.dropna(subset=["property"])
    row = california.iloc[0]
    assert row["property_rate"] == pytest.approx(100_000 * row["property"] / row["covered_population"])
    with pytest.raises(DesignError, match="states no residents"):
        g.county_panel("fbi_table10", (2010, 2011), denominator="covered")


def test_a_plain_and_a_named_exposure_live_side_by_side():
    frame = g.county_panel(years=(2007, 2007), exposure={"": g.Exposure(), "near": g.Exposure(of="adjacent")}).frame
    row = frame.set_index("county_fips").loc["37135"]
    assert not row["treated"] and row["treated_near"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"outcomes": "fbi_table10", "years": (2010, np.inf)}, "inf is no year"),
        ({"outcomes": "fbi_table10", "years": "2005-2012"}, r"write years=\(2005, 2012\)"),
        ({"outcomes": ["fbi_table10", "fbi_table10"], "years": (2008, 2009)}, "fbi_table10 twice"),
        ({"years": 2010, "exposure": "TFM"}, "give an Exposure"),
    ],
)
def test_arguments_of_the_first_hour_are_answered(arguments, words):
    with pytest.raises(DesignError, match=words):
        g.county_panel(**arguments)
    with pytest.raises(DesignError, match="lag='2012'"):
        g.Exposure(lag="2012")


def test_one_year_is_a_panel_of_one_year_and_its_columns_are_at_hand():
    panel = g.county_panel(years=2010)
    assert panel["year"].unique().tolist() == [2010] and len(panel.head()) == 5
    with pytest.raises(DesignError, match="no column 'crime'"):
        panel["crime"]


@pytest.mark.parametrize("on", [2012, 20120630, pd.NaT, None, "31 Feb", "nonsense", "03/04/2025"])
@pytest.mark.parametrize("ask", ["active", "pending", "as_known", "list_in_force"])
def test_every_question_of_a_day_reads_it_alike(on, ask):
    with pytest.raises(DesignError, match="day"):
        getattr(g.load_agreements(), ask)(on)


def test_a_county_whose_police_did_not_report_is_no_county_without_crime():
    panel = g.county_panel("fbi_table10", (2005, 2012))
    frame = panel.frame.set_index(["county_fips", "year"])
    gone = [("13067", 2010), ("37071", 2008), ("37071", 2009), ("37071", 2010)]
    assert frame.loc[gone, ["property", "property_rate", "violent_rate"]].isna().all().all()
    assert (frame.loc[gone, "coverage"] < 0.01).all()
    listed = panel.flow.listed("coverage below 80%")
    assert all(any(f"{c} {y}" in text for text in listed) for c, y in gone)


def test_low_coverage_kept_is_warned_about_once_by_name():
    with pytest.warns(DataWarning, match="Cobb County: 2010") as told:
        kept = g.county_panel("fbi_table10", (2005, 2012), on_low_coverage="keep")
    assert sum("are kept" in str(w.message) for w in told) == 1
    assert kept.frame.set_index(["county_fips", "year"]).loc[("13067", 2010), "property"] == 0
    with pytest.raises(CoverageError, match='missing: on_low_coverage="missing"'):
        g.county_panel("fbi_table10", (2005, 2012), on_low_coverage="error")


def test_doubtful_cells_are_counted_and_left_out_by_one_argument():
    kept = g.county_panel("fbi_table10", (2005, 2012))
    out = g.county_panel("fbi_table10", (2005, 2012), on_doubt="missing")
    doubted = kept.frame["doubt"].fillna("").ne("")
    assert kept.frame.loc[doubted, "property"].notna().any() and out.frame.loc[doubted, "property"].isna().all()
    pd.testing.assert_series_equal(kept.frame.loc[~doubted, "property"], out.frame.loc[~doubted, "property"])
    assert len(out.flow.listed("in doubt")) >= int(doubted.sum())


def test_a_column_made_of_the_panels_own_columns_keeps_their_rows():
    panel = g.county_panel("fbi_table10", (2011, 2012))
    doubled = panel.with_column("twice", 2 * panel["population"], description="twice the residents")
    assert (doubled["twice"] == 2 * doubled["population"]).all()
    shuffled = replace(panel, frame=panel.frame.sample(frac=1, random_state=1))
    again = shuffled.with_column("twice", 2 * panel["population"].loc[shuffled.frame.index], description="the same")
    assert (again["twice"] == 2 * again["population"]).all()
