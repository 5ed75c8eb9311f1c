"""Labels, never positions: rows, codes, days and years are read by one reader each."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from g287stats import labels
from g287stats.errors import DesignError

ROWS = pd.Index([10, 20, 30])


def test_a_series_is_put_in_the_order_of_the_rows_whatever_its_own():
    shuffled = pd.Series([3.0, 1.0, 2.0, 9.0], index=[30, 10, 20, 40])
    assert labels.aligned(shuffled, ROWS, "weights=").tolist() == [1.0, 2.0, 3.0]
    assert labels.mask(pd.Series([True, False, False], index=[30, 20, 10]), ROWS, "domain=").tolist() == [0, 0, 1]


def test_arrays_have_no_labels_and_count_by_position():
    assert labels.aligned([1, 2, 3], ROWS, "x=").index.equals(ROWS)
    assert labels.mask(np.array([0, 1, 0]), ROWS, "x=").tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (pd.Series([1, 2, 3]), "3 of 3 rows have no value under their label: 10, 20, 30; the Series has 0, 1, 2"),
        (pd.Series([1, 2], index=[10, 20]), "1 of 3 rows have no value under their label: 30"),
        (pd.Series([1, 2, 3, 4], index=[10, 20, 30, 30]), "labels repeat"),
        (pd.DataFrame({"a": [1, 2, 3]}), "give one of its columns: \\['a'\\]"),
        ([1, 2], "2 values for 3 rows"),
        (5, "one values for 3 rows"),
    ],
)
def test_what_does_not_carry_the_rows_labels_is_refused(given, words):
    with pytest.raises(DesignError, match=words):
        labels.aligned(given, ROWS, "weights=")


@pytest.mark.parametrize(
    ("given", "words"),
    [([True, None, False], "1 of 3 are missing"), (["yes", "no", "no"], "must be true or false; found 'yes', 'no'")],
)
def test_a_mask_says_true_or_false_for_every_row(given, words):
    with pytest.raises(DesignError, match=words):
        labels.mask(given, ROWS, "domain=")


@pytest.mark.parametrize("given", [[1001, 37119], [1001.0, 37119.0], ["1001", "37119"], ["01001", " 37119 "]])
def test_county_codes_of_any_type_are_the_same_counties(given):
    assert labels.county_codes(given).tolist() == ["01001", "37119"]


def test_county_codes_keep_missing_and_list_what_is_none():
    assert labels.county_codes([37001, np.nan]).tolist() == ["37001", None]
    with pytest.raises(DesignError, match=r"not a county FIPS code \(3\): 'Alamance', 3.5, 7"):
        labels.county_codes(["Alamance", 7, 3.5, 37001])


@pytest.mark.parametrize(
    "given", [[2010, 2011], [2010.0, 2011.0], ["2010", "2011"], pd.period_range("2010", "2011", freq="Y")]
)
def test_years_of_any_type_are_the_same_years(given):
    assert labels.periods(given, "Y").tolist() == [2010, 2011]


def test_months_are_read_and_neither_days_nor_years_stand_for_them():
    assert labels.periods(["2010-05", pd.Period("2010-06", "M"), dt.date(2010, 7, 1)], "M").astype(str).tolist() == [
        "2010-05",
        "2010-06",
        "2010-07",
    ]
    with pytest.raises(DesignError, match="not a month"):
        labels.periods([2010, dt.date(2010, 7, 4)], "M")


@pytest.mark.parametrize(
    "given", ["2012-06-30", dt.date(2012, 6, 30), pd.Timestamp("2012-06-30 17:00"), np.datetime64("2012-06-30")]
)
def test_a_day_is_a_day(given):
    assert labels.day(given) == pd.Timestamp("2012-06-30")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (2012, 'the number 2012, no day; a year has many days: write "2012-06-30"'),
        (20120630, 'write it as "2012-06-30"'),
        ("2012", "is a year, no day"),
        ("2012-06", "is a month, no day"),
        (None, "is None, no day"),
        (pd.NaT, "is NaT, no day"),
        ("31 Feb", "no day this package reads"),
        ("2012-02-31", "there is no such day"),
        ("nonsense", "no day this package reads"),
        ("03/04/2025", 'may be two days; write "2025-03-04" or "2025-04-03"'),
        ("13/04/2025", 'write "2025-04-13"'),
        (pd.Period("2012-06", "M"), "is a Period"),
    ],
)
def test_what_is_no_day_is_refused_with_what_to_type(given, words):
    with pytest.raises(DesignError, match=words):
        labels.day(given, "on")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (2010, (2010, 2010)),
        ("2010", (2010, 2010)),
        ((2005, 2012), (2005, 2012)),
        ([2005, 2012], [2005, 2012]),
        (range(2005, 2008), [2005, 2006, 2007]),
        (None, None),
    ],
)
def test_years_are_one_a_span_or_a_list(given, read):
    assert labels.years(given) == read


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((2010, np.inf), "inf is no year. Leave years out for all there are"),
        ("2005-2012", r"write years=\(2005, 2012\)"),
        ((2012, 2005), "runs backwards"),
        ([], "is empty"),
        (True, "True is no year"),
        ((2005, None), "None is no year"),
    ],
)
def test_what_is_no_span_of_years_is_refused_with_what_to_type(given, words):
    with pytest.raises(DesignError, match=words):
        labels.years(given)
