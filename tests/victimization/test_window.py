"""The treated share of the reference window, to the day."""

import numpy as np
import pandas as pd
import pytest

from g287stats.errors import DesignError
from g287stats.victimization.window import month_intervals, treatment_share, window_shares


def day(text):
    return pd.Timestamp(text)


DAYS = pd.DataFrame(
    {
        "county_fips": ["01001", "01001", "37119"],
        "start": [day("2008-03-16"), day("2008-04-01"), day("2007-02-27")],
        "end": [day("2008-05-01"), day("2008-05-11"), day("2012-12-31")],
    }
)


def test_by_hand():
    """An interview in June 2008 asks about 1 December 2007 to 31 May 2008: 183 days; 16 March to 10 May is 56."""
    shares = window_shares(DAYS, pd.period_range("2008-06", "2008-06", freq="M"))
    assert shares.loc["01001"].iloc[0] == pytest.approx(56 / 183)
    assert shares.loc["37119"].iloc[0] == 1


def test_brute_force():
    rng = np.random.default_rng(0)
    start = day("2006-01-01") + pd.to_timedelta(rng.integers(0, 2000, 30), "D")
    days = pd.DataFrame({"county_fips": rng.choice(["01001", "06037", "37119"], 30), "start": start})
    days["end"] = days.start + pd.to_timedelta(rng.integers(1, 400, 30), "D")
    months = pd.period_range("2006-01", "2012-12", freq="M")
    shares = window_shares(days, months)
    for county in shares.index:
        mine = days[days.county_fips == county]
        covered = {d for s, e in zip(mine.start, mine.end) for d in pd.date_range(s, e, inclusive="left")}
        for month in months[::7]:
            window = pd.date_range((month - 6).start_time, month.start_time, inclusive="left")
            assert shares.loc[county, month] == pytest.approx(len(covered & set(window)) / len(window))


def test_rows_without_a_month_average_over_the_quarter():
    frame = pd.DataFrame(
        {"county_fips": ["01001", "01001", "99999"], "year": 2008, "YEARQ": 2008.2, "month": [6.0, np.nan, 6]}
    )
    got = treatment_share(frame, DAYS)
    each = window_shares(DAYS, pd.period_range("2008-04", "2008-06", freq="M")).loc["01001"]
    assert got.tolist() == pytest.approx([56 / 183, each.mean(), 0.0])
    assert np.isnan(treatment_share(frame.assign(county_fips=[None, "01001", "01001"]), DAYS)[0])
    with pytest.raises(DesignError, match="public files carry no county"):
        treatment_share(frame.drop(columns="county_fips"), DAYS)
    with pytest.raises(DesignError, match="month"):
        treatment_share(frame.drop(columns="YEARQ"), DAYS)


def test_shift_moves_treatment():
    frame = pd.DataFrame({"county_fips": ["01001"], "year": 2008, "YEARQ": 2008.2, "month": [6.0]})
    later = treatment_share(frame, DAYS, shift=12)
    assert later[0] == 0


def test_months_to_days():
    sc = pd.DataFrame({"fips": ["01001"], "ym": ["2011-04"]})
    out = month_intervals(sc, "fips", "ym", "2014-11-20")
    assert out.start[0] == day("2011-04-01")
    assert out.end[0] == day("2014-11-20")


def test_a_county_with_an_unknown_month_is_missing_not_untreated():
    sc = pd.DataFrame({"fips": ["01001", "02020"], "ym": ["2011-04", None]})
    days = month_intervals(sc, "fips", "ym", "2014-11-20")
    frame = pd.DataFrame({"county_fips": ["01001", "02020", "06037"], "year": 2012, "YEARQ": 2012.1, "month": 1.0})
    share = treatment_share(frame, days)
    assert share[0] == 1
    assert np.isnan(share[1])
    assert share[2] == 0
