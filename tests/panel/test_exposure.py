"""Exposure worked by hand: days, shares, first periods, exits."""

import numpy as np
import pandas as pd
import pytest

from g287stats.errors import DesignError
from g287stats.panel.exposure import Exposure, exposure_shares, intervals, spread, treatment_table
from g287stats.panel.municipal import policed_shares

HORIZON = pd.Timestamp("2026-05-19")


def spell(agreement_id, county, model, signed, ended=None, *, jurisdiction="county", state="NC", **kw):
    row = {
        "agreement_id": agreement_id,
        "agency_id": agreement_id,
        "ori": None,
        "state": state,
        "county_fips": county,
        "model": model,
        "jurisdiction": jurisdiction,
        "signed_date": pd.Timestamp(signed),
        "first_listed": pd.NaT,
        "last_listed": pd.NaT,
        "gone_by": pd.NaT,
        "ended_date": pd.Timestamp(ended) if ended else pd.NaT,
        "end_precision": "day" if ended else "open",
    }
    return row | {k: pd.Timestamp(v) if k.endswith(("listed", "by", "date")) else v for k, v in kw.items()}


def table(*rows):
    return pd.DataFrame(list(rows))


def years(first, last):
    return pd.period_range(str(first), str(last), freq="Y")


def shares(spells, definition, periods):
    return exposure_shares(intervals(spells, definition, HORIZON).frame, "county_fips", periods)


def test_share_counts_days_from_signing_to_the_day_before_the_end():
    # 2007 has 365 days; from 10 January on 356 of them. 2012 to 18 September (exclusive) has 261 of 366.
    got = shares(table(spell("A", "37001", "JEM", "2007-01-10", "2012-09-18")), Exposure(), years(2006, 2013))
    expected = [0, 356 / 365, 1, 1, 1, 1, 261 / 366, 0]
    np.testing.assert_allclose(got.loc["37001"], expected, rtol=0, atol=1e-15)


def test_overlapping_agreements_count_once():
    # 1 July to 31 December is 184 of 365 days in 2010, whoever else signs in between
    both = table(spell("A", "37001", "JEM", "2010-07-01"), spell("B", "37001", "TFM", "2010-09-01", "2010-10-01"))
    assert shares(both, Exposure(), years(2010, 2010)).iloc[0, 0] == pytest.approx(184 / 365, abs=1e-15)


def test_months_and_quarters_sum_to_the_year():
    spells = table(spell("A", "37001", "JEM", "2008-02-15", "2009-11-03"))
    monthly = shares(spells, Exposure(), pd.period_range("2008-01", "2009-12", freq="M"))
    days = monthly.columns.days_in_month.to_numpy()
    yearly = shares(spells, Exposure(), years(2008, 2009))
    by_hand = [(monthly.to_numpy()[0, :12] @ days[:12]) / 366, (monthly.to_numpy()[0, 12:] @ days[12:]) / 365]
    np.testing.assert_allclose(yearly.to_numpy()[0], by_hand, atol=1e-14)


def test_first_full_period_against_first_partial():
    spells = table(spell("A", "37001", "JEM", "2007-01-10"))
    wide = shares(spells, Exposure(), years(2006, 2009))
    partial = treatment_table(wide, Exposure())
    full = treatment_table(wide, Exposure(min_share=1.0))
    assert partial["cohort"].iloc[0] == pd.Period("2007")
    assert full["cohort"].iloc[0] == pd.Period("2008")
    assert partial["first_share"].iloc[0] == pytest.approx(356 / 365)


def test_exits_absorb_censor_or_switch():
    spells = table(spell("A", "37001", "TFM", "2008-01-01", "2010-01-01"), spell("B", "37001", "TFM", "2012-01-01"))
    wide = shares(spells, Exposure(), years(2007, 2012))
    absorbing = treatment_table(wide, Exposure())
    switching = treatment_table(wide, Exposure(on_exit="switching"))
    assert absorbing["treated"].tolist() == [False, True, True, True, True, True]
    assert switching["treated"].tolist() == [False, True, True, False, False, True]
    assert absorbing["after_exit"].tolist() == [False, False, False, True, True, True]


def test_end_known_to_a_window_is_a_stated_choice():
    row = spell(
        "A", "37001", "JEM", "2008-01-01", last_listed="2010-01-01", gone_by="2010-01-11", end_precision="window"
    )
    ends = {
        choice: intervals(table(row), Exposure(end_window=choice), HORIZON).frame["end"].iloc[0]
        for choice in ("first", "midpoint", "last", "both")
    }
    assert ends["first"] == pd.Timestamp("2010-01-02")  # in force on the last list, so to the day after
    assert ends["last"] == pd.Timestamp("2010-01-11")
    assert ends["midpoint"] == ends["both"] == pd.Timestamp("2010-01-06")


def test_models_levels_and_several_counties():
    spells = table(
        spell("A", "48113;48085", "TFM", "2008-01-01", jurisdiction="municipal"),
        spell("B", "37001", "JEM", "2008-01-01"),
        spell("C", None, "TFM", "2009-01-01", jurisdiction="state"),
        spell("D", None, "TFM", "2009-01-01"),
    )
    county = intervals(spells, Exposure(), HORIZON)
    assert county.frame["county_fips"].tolist() == ["37001"]
    assert county.flow.listed("no county: left out") == ("D",)  # listed, not silent
    both = intervals(spells, Exposure(level=("county", "municipal")), HORIZON)
    assert both.frame["county_fips"].tolist() == ["37001", "48085", "48113"]
    state = intervals(spells, Exposure(level="state"), HORIZON)
    assert state.frame["state"].tolist() == ["NC"]
    assert intervals(spells, Exposure(models=("TFM",)), HORIZON).frame.empty


def test_signed_without_date_falls_back_and_says_so():
    row = spell("A", "37001", "JEM", "2008-01-01") | {"signed_date": pd.NaT, "first_listed": pd.Timestamp("2021-01-13")}
    got = intervals(table(row), Exposure(), HORIZON)
    assert got.frame["start"].iloc[0] == pd.Timestamp("2021-01-13")
    assert got.flow.listed("no signing date: first list used") == ("A",)
    lagged = intervals(table(row), Exposure(date="first_listed", lag=30), HORIZON)
    assert lagged.frame["start"].iloc[0] == pd.Timestamp("2021-02-12")


def test_row_order_does_not_matter():
    rows = [spell(f"A{i}", f"370{i:02d}", "JEM", f"20{6 + i % 6:02d}-03-0{1 + i % 8}") for i in range(1, 20)]
    first = shares(table(*rows), Exposure(), years(2005, 2013))
    second = shares(table(*rows[::-1]), Exposure(), years(2005, 2013))
    pd.testing.assert_frame_equal(first, second, check_exact=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"models": ("XYZ",)}, "model 'XYZ'"),
        ({"level": "planet"}, "level 'planet'"),
        ({"level": ("county", "state")}, "stands alone"),
        ({"min_share": 2}, "not a share"),
        ({"on_exit": "forget"}, "on_exit='forget'"),
    ],
)
def test_refusals_say_what_to_type(arguments, words):
    with pytest.raises(DesignError, match=words):
        Exposure(**arguments)


def test_neighbour_exposure_counts_days_with_an_agreement_next_door():
    spells = table(spell("A", "37001", "JEM", "2007-07-01"), spell("B", "37003", "JEM", "2007-01-01", "2007-03-01"))
    own = intervals(spells, Exposure(), HORIZON).frame
    pairs = pd.DataFrame({"county_fips": ["37005", "37005", "37007"], "source_fips": ["37001", "37003", "37001"]})
    wide = exposure_shares(spread(own, pairs), "county_fips", years(2007, 2007))
    # next to both: 184 days from July and 59 days of January and February; next to A alone: 184
    assert wide.loc["37005"].iloc[0] == pytest.approx((184 + 59) / 365, abs=1e-15)
    assert wide.loc["37007"].iloc[0] == pytest.approx(184 / 365, abs=1e-15)
    assert "37001" not in wide.index


def test_municipal_agreements_cover_the_residents_they_police():
    days = pd.DataFrame(
        {
            "county_fips": ["37001"] * 4,
            "agency_id": ["a", "a", "b", "c"],
            "jurisdiction": "municipal",
            "ori": None,
            "start": pd.to_datetime(["2010-01-01", "2010-01-01", "2010-07-01", "2010-01-01"]),
            "end": pd.to_datetime(["2011-01-01"] * 4),
        }
    )
    weights = pd.Series([0.2, 0.2, 0.5, np.nan])
    # a polices 20 % all year (two agreements count once), b 50 % for 184 of 365 days, c is unknown and adds nothing
    got = policed_shares(days, weights, years(2010, 2010))
    assert got.loc["37001"].iloc[0] == pytest.approx(0.2 + 0.5 * 184 / 365, abs=1e-15)
    capped = policed_shares(days, pd.Series([0.9, 0.9, 0.9, np.nan]), years(2010, 2010))
    assert capped.loc["37001"].iloc[0] == 1.0
