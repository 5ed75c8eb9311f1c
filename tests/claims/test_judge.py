"""The judge: one rule for nulls, signs and sizes, which noise and the sign of the data cannot bend."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g287stats.claims.judge import claimed_margin, contrasts, judge_grid, read_grid, read_row
from g287stats.claims.vocabulary import READINGS
from g287stats.errors import G287Error

Z = 1.959963984540054
NUMBER = st.floats(-40, 40).filter(lambda v: abs(v) > 1e-3)
ERROR = st.floats(0.05, 20)
ROW = st.tuples(NUMBER, ERROR)
CLAIMS = [
    {"expected_sign": "0"},
    {"expected_sign": "-"},
    {"expected_sign": "+"},
    {"estimate": -4.0, "scale": "pct_change"},
    {"estimate": 27.0, "scale": "pct_change"},
    {"estimate": -0.09, "scale": "log_points"},
]


def claim(**kw):
    row = {"claim_id": "x", "estimate": np.nan, "estimate_low": np.nan, "estimate_high": np.nan}
    return pd.Series(row | {"scale": "direction_only", "expected_sign": None} | kw)


def mirror(c):
    sign = {"+": "-", "-": "+"}.get(c["expected_sign"], c["expected_sign"])
    return claim(**{**c, "expected_sign": sign, "estimate": -c["estimate"]})


def frame(rows, widen=1.0):
    e, s = np.array(rows).T
    half = Z * s * widen
    return pd.DataFrame({"estimate": e, "conf_low": e - half, "conf_high": e + half})


def axis(difference, se, widen=1.0):
    from scipy import special

    p = 2 * special.ndtr(-abs(difference) / (se * widen))
    return pd.DataFrame(
        [
            {
                "axis": "trends",
                "level": "none",
                "other": "county",
                "difference": difference,
                "std_error": se * widen,
                "p_value": p,
            }
        ]
    )


def negated(rows):
    return pd.DataFrame({"estimate": -rows["estimate"], "conf_low": -rows["conf_high"], "conf_high": -rows["conf_low"]})


@pytest.mark.parametrize(
    ("estimate", "se", "reading"),
    [
        (-8, 2, "decline"),
        (8, 2, "rise"),
        (-8, 5, "uninformative"),
        (8, 5, "uninformative"),
        (0, 1, "negligible"),
        (0, 2, "uninformative"),  # the interval lies inside the margin of 5, but 5.6 is what it would detect
        (-3, 0.5, "negligible"),  # below zero for certain, and not worth speaking of
        (3, 0.5, "negligible"),
        (-3, 1.4, "uninformative"),  # from 0.3 to 5.7: neither nothing nor something
        (-5, 1, "decline"),
        (5, 1, "rise"),
        (-4.99, 1, "uninformative"),
    ],
)
def test_a_row_reads_the_same_on_both_sides(estimate, se, reading):
    assert read_row(estimate, estimate - Z * se, estimate + Z * se, 5.0) == reading
    swapped = {"decline": "rise", "rise": "decline"}.get(reading, reading)
    assert read_row(-estimate, -estimate - Z * se, -estimate + Z * se, 5.0) == swapped


def test_low_power_favours_nobody():
    wide = frame([(0.5, 12)] * 10)
    for published in CLAIMS:
        assert judge_grid(claim(**published), wide, 5.0).status == "uninformative"


@pytest.mark.parametrize(
    ("published", "rows", "status"),
    [
        ({"expected_sign": "0"}, [(0.2, 1)] * 4, "consistent"),
        ({"expected_sign": "0"}, [(-9, 2)] * 4, "different, unexplained"),
        ({"expected_sign": "0"}, [(9, 2)] * 4, "different, unexplained"),
        ({"expected_sign": "-"}, [(-9, 2)] * 4, "consistent"),
        ({"expected_sign": "-"}, [(9, 2)] * 4, "different, unexplained"),
        ({"expected_sign": "-"}, [(0.2, 1)] * 4, "different, unexplained"),
        ({"expected_sign": "+"}, [(9, 2)] * 4, "consistent"),
        ({"estimate": -27.0, "scale": "pct_change"}, [(-20, 4)] * 4, "consistent"),
        ({"estimate": -27.0, "scale": "pct_change"}, [(-60, 4)] * 4, "different, unexplained"),
        ({"estimate": -27.0, "scale": "pct_change"}, [(0, 1)] * 4, "different, unexplained"),
        ({"estimate": 27.0, "scale": "pct_change"}, [(-27, 4)] * 4, "different, unexplained"),
        ({"expected_sign": "0"}, [(-9, 2)] * 2 + [(9, 2)] * 2, "depends on the design"),
        ({"expected_sign": "-"}, [(-9, 2)] * 2 + [(0, 1)] * 2, "depends on the design"),
    ],
)
def test_claims_are_judged_over_the_whole_grid(published, rows, status):
    assert judge_grid(claim(**published), frame(rows), 5.0).status == status


def test_an_axis_that_moves_the_estimate_decides_though_few_rows_do():
    rows = frame([(-9, 5)] * 3 + [(-1, 5)] * 3)
    assert judge_grid(claim(expected_sign="0"), rows, 5.0).status == "uninformative"
    verdict = judge_grid(claim(expected_sign="0"), rows, 5.0, axis(-8, 2))
    assert verdict.status == "depends on the design"
    assert "trends decides: none against county" in verdict.reason
    assert judge_grid(claim(expected_sign="0"), rows, 5.0, axis(-8, 5)).status == "uninformative"
    assert judge_grid(claim(expected_sign="0"), rows, 5.0, axis(-4, 1)).status == "uninformative"


@settings(max_examples=120, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=12), which=st.sampled_from(CLAIMS), shift=NUMBER, se=ERROR)
def test_swapping_the_sign_of_the_data_changes_no_status(rows, which, shift, se):
    published, data = claim(**which), frame(rows)
    here = judge_grid(published, data, 5.0, axis(shift, se))
    there = judge_grid(mirror(published), negated(data), 5.0, axis(-shift, se))
    assert here.status == there.status
    assert here.distance_se == pytest.approx(-there.distance_se)
    a, b = read_grid(data, 5.0, axis(shift, se)), read_grid(negated(data), 5.0, axis(-shift, se))
    assert a.shares["decline"] == b.shares["rise"] and a.shares["rise"] == b.shares["decline"]
    assert a.shares["negligible"] == b.shares["negligible"]


@settings(max_examples=120, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=12), shift=NUMBER, se=ERROR)
def test_a_null_is_judged_alike_for_declines_and_rises(rows, shift, se):
    null, data = claim(expected_sign="0"), frame(rows)
    here = judge_grid(null, data, 5.0, axis(shift, se)).status
    assert here == judge_grid(null, negated(data), 5.0, axis(-shift, se)).status


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(ROW, min_size=1, max_size=12),
    which=st.sampled_from(CLAIMS),
    shift=NUMBER,
    se=ERROR,
    widen=st.floats(1, 30),
)
def test_more_noise_only_moves_towards_uninformative(rows, which, shift, se, widen):
    published = claim(**which)
    sharp = judge_grid(published, frame(rows), 5.0, axis(shift, se)).status
    blurred = judge_grid(published, frame(rows, widen), 5.0, axis(shift, se, widen)).status
    assert blurred in (sharp, "uninformative")


def test_the_margin_of_a_published_size_is_half_of_it_when_smaller():
    assert claimed_margin(claim(estimate=-4.0, scale="pct_change"), 5.0) == 2.0
    assert claimed_margin(claim(estimate=4.0, scale="pct_change"), 5.0) == 2.0
    assert claimed_margin(claim(estimate=-27.0, scale="pct_change"), 10.0) == 10.0
    assert claimed_margin(claim(expected_sign="0"), 5.0) == 5.0
    assert claimed_margin(claim(estimate=-0.06, scale="log_points"), 5.0) == 3.0


def test_a_claim_without_number_or_sign_is_refused():
    with pytest.raises(G287Error, match="neither number nor sign"):
        judge_grid(claim(), frame([(0, 1)]), 5.0)


def test_a_grid_without_estimates_needs_data():
    empty = pd.DataFrame({"estimate": [np.nan], "conf_low": [np.nan], "conf_high": [np.nan]})
    assert judge_grid(claim(expected_sign="0"), empty, 5.0).status == "needs data"


def test_contrasts_by_hand():
    # two axes, four rows; within pairs trends moves the estimate by −4 (1 and 5 → −5 less 1 …), data by 2
    rows = pd.DataFrame(
        {
            "outcome": "o",
            "data": ["a", "a", "b", "b"],
            "trends": ["none", "county"] * 2,
            "estimate": [-5.0, -1.0, -7.0, -3.0],
            "inflation": 1.0,
        }
    )
    cov = np.full((4, 4), 0.9) + 0.1 * np.eye(4)  # variances 1, covariances 0.9
    out = contrasts(rows, cov, ("data", "trends")).set_index("axis")
    # mean of two differences, each of variance 0.2, independent: variance 0.1
    assert out.loc["trends", "difference"] == pytest.approx(-4)
    assert out.loc["trends", "std_error"] == pytest.approx(np.sqrt(0.1))
    assert out.loc["data", "difference"] == pytest.approx(2)
    assert out.loc["data", "pairs"] == 2
    assert set(READINGS) >= {read_row(-5, -6, -4, 5.0)}


def test_contrasts_compare_only_rows_that_differ_in_the_axis_alone():
    rows = pd.DataFrame(
        {"outcome": "o", "data": ["a", "b"], "trends": ["none", "county"], "estimate": [1.0, 2.0], "inflation": 1.0}
    )
    assert contrasts(rows, np.eye(2), ("data", "trends")).empty
