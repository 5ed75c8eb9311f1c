"""The identity between recorded crime, victimization and reporting; bounds; power and exaggeration."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from g287stats.errors import DesignError
from g287stats.victimization.power import detectable_ratio, exaggeration, implied_error, meaning_of_ratio, tension
from g287stats.victimization.wedge import log_ratio, reporting_wedge


def test_published_numbers_imply_a_fall_in_recorded_crime():
    """Victimization +16 %, reporting −30 %: recorded crime 1.16 · 0.70 = 0.812."""
    w = reporting_wedge((np.log(1.16), 0.05), (np.log(0.70), 0.10))
    row = w["recorded"]
    assert row.percent == pytest.approx(-18.8)
    assert row.log_se == pytest.approx(np.hypot(0.05, 0.10))
    assert row.percent_high == pytest.approx(100 * (0.812 * np.exp(1.959964 * np.hypot(0.05, 0.1)) - 1), rel=1e-6)
    assert any("independent" in n for n in w.notes)


def test_a_null_in_police_data_with_a_known_fall_in_reporting():
    w = reporting_wedge(recorded=(0.0, 0.03), reporting=(np.log(0.7), 0.0))
    assert w["victimization"].percent == pytest.approx(100 * (1 / 0.7 - 1))


def test_correlation_and_the_test_of_three():
    plus = reporting_wedge((0.1, 0.2), (0.1, 0.1), correlation=1.0)["recorded"].log_se
    minus = reporting_wedge((0.1, 0.2), (0.1, 0.1), correlation=-1.0)["recorded"].log_se
    assert (plus, minus) == (pytest.approx(0.3), pytest.approx(0.1))
    # victimization = recorded − reporting: the sign of the correlation turns
    assert reporting_wedge(recorded=(0.1, 0.2), reporting=(0.1, 0.1), correlation=1.0)[
        "victimization"
    ].log_se == pytest.approx(0.1)
    w = reporting_wedge((0.1, 0.03), (-0.2, 0.04), (0.0, 0.12))
    assert w["recorded over implied"].log_effect == pytest.approx(0.1)
    assert w["recorded over implied"].p_value == pytest.approx(2 * stats.norm.sf(0.1 / 0.13))


def test_bounds_left_open_by_a_null():
    """Recorded crime unchanged, reporting between −30 % and unchanged: victimization between 0 and +42.9 %."""
    row = reporting_wedge(recorded=(0.0, 0.02), reporting_range=(0.7, 1.0))["victimization"]
    assert row.set_low == pytest.approx(0)
    assert row.set_high == pytest.approx(100 * (1 / 0.7 - 1))
    z = 1.6449  # a wide set needs the one-sided value
    assert row.percent_low == pytest.approx(100 * np.expm1(-z * 0.02), abs=1e-3)
    point = reporting_wedge(recorded=(0.0, 0.02), reporting_range=(1.0, 1.0))["victimization"]
    assert point.percent_high == pytest.approx(100 * np.expm1(1.959964 * 0.02), rel=1e-5)  # a point needs the two-sided
    open_end = reporting_wedge(recorded=(0.0, 0.02), baseline_reporting=0.46)["victimization"]
    assert open_end.set_low == pytest.approx(100 * (0.46 - 1))
    assert np.isinf(open_end.set_high)
    with pytest.raises(DesignError, match="bounds nothing"):
        reporting_wedge(recorded=(0.0, 0.02))
    with pytest.raises(DesignError, match="give two of"):
        reporting_wedge((0.1, 0.1))


def test_bounds_cover_every_point_of_the_set():
    low, high, error = 0.9, 1.0, 0.04
    for reporting in (low, high):
        covered = 0
        for q in (np.arange(400) + 0.5) / 400:  # quantiles of the estimate when victimization is unchanged
            draw = np.log(reporting) + error * stats.norm.ppf(q)
            row = reporting_wedge(recorded=(draw, error), reporting_range=(low, high))["victimization"]
            covered += row.percent_low <= 0 <= row.percent_high
        assert covered / 400 == pytest.approx(0.95, abs=0.005)


def test_published_forms():
    assert log_ratio(111, p_value=0.05) == (pytest.approx(np.log(2.11)), pytest.approx(0.381, abs=5e-4))
    assert log_ratio(86, p_value=0.05)[1] == pytest.approx(0.3166, abs=5e-4)
    se = log_ratio(16, conf_int=(2, 32))[1]
    assert se == pytest.approx((np.log(1.32) - np.log(1.02)) / (2 * 1.959964), rel=1e-6)
    assert log_ratio(16, std_error=5)[1] == pytest.approx(0.05 / 1.16)
    with pytest.raises(DesignError, match="exactly one"):
        log_ratio(16)
    with pytest.raises(DesignError, match="no logarithm"):
        log_ratio(-100, p_value=0.5)


def test_exaggeration_against_simulation():
    rng = np.random.default_rng(1)
    for truth in (0.05, 0.2, 0.6):
        draws = rng.normal(truth, 0.25, 2_000_000)
        significant = draws[np.abs(draws) > 1.959964 * 0.25]
        e = exaggeration(truth, 0.25)
        assert e.power == pytest.approx(len(significant) / len(draws), abs=1e-3)
        assert e.wrong_sign == pytest.approx((significant < 0).mean(), abs=4e-3)
        assert e.exaggeration == pytest.approx(np.abs(significant).mean() / truth, rel=5e-3)
    zero = exaggeration(0.0, 0.25)
    assert (zero.power, zero.wrong_sign, np.isinf(zero.exaggeration)) == (pytest.approx(0.05), pytest.approx(0.5), True)


def test_what_plus_111_percent_would_mean():
    table = meaning_of_ratio(2.11, 0.25).set_index("true_percent")
    assert table.index.tolist() == [0.0, pytest.approx(20), pytest.approx(50)]
    assert table.power.is_monotonic_increasing
    assert table.exaggeration.is_monotonic_decreasing
    assert (table.p_significant_this_large <= 1).all()
    assert implied_error(2.11) == pytest.approx(0.381, abs=5e-4)
    ratio = detectable_ratio(0.25)
    assert exaggeration(np.log(ratio), 0.25).power == pytest.approx(0.8, abs=1e-9)
    assert ratio == pytest.approx(np.exp((1.959964 + 0.841621) * 0.25), rel=1e-4)
    t = tension(1.86, 0.3166, 1.16, 0.07)
    assert t.ratio_of_ratios == pytest.approx(1.86 / 1.16)
    assert t.p_value > 0.05
    with pytest.raises(DesignError, match="not positive"):
        exaggeration(0.1, 0)
    assert isinstance(table, pd.DataFrame)
