"""Pre-trend power against R pretrends and against simulation."""

import numpy as np
import pandas as pd
import pytest
from reference_did import FOLDER, agree, expected, load_panel
from scipy import stats

from g287stats.did.group_time import att_gt
from g287stats.errors import DesignError
from g287stats.inference.honest import event_vector
from g287stats.inference.pretrends import box_probability, pretrend_power, slope_for_power, truncated_mean
from g287stats.inference.target import from_moments


def event_study():
    b = load_panel("es_betahat")
    sigma = np.loadtxt(FOLDER / "data" / "es_sigma.csv", delimiter=",")
    labels = pd.DataFrame({"term": [f"event {e}" for e in b["rel"]], "event_time": b["rel"]})
    return from_moments(b["beta"], sigma, labels=labels, outcome="y", kind="event", reference=(-1,))


@pytest.mark.parametrize("power", [0.5, 0.8])
def test_slope(power):
    r = pretrend_power(event_study(), power=[power])
    agree(r.slopes.iloc[0], None, expected("es_vector", "pretrends.slope", f"power{power}").loc["slope"])


def test_given_slope():
    r = pretrend_power(event_study(), slope=0.05)
    rows = expected("es_vector", "pretrends.linear", "slope0.05")
    agree(r.power, None, rows.loc["Power"])
    agree(r.bayes_factor, None, rows.loc["Bayes.Factor"])
    agree(r.likelihood_ratio, None, rows.loc["Likelihood.Ratio"])
    rows = expected("es_vector", "pretrends.mean_after_pretest", "slope0.05")
    means = r.frame.set_index("event_time")["mean_after_pretest"]
    for quantity, row in rows.iterrows():
        agree(means[int(quantity)], None, row)


def test_box_probability_and_mean_by_simulation():
    rng = np.random.default_rng(11)
    a = rng.normal(size=(4, 4))
    cov, mean = a @ a.T + np.eye(4), rng.normal(size=4)
    lower, upper = mean - rng.uniform(0.5, 3, 4), mean + rng.uniform(0.5, 3, 4)
    x = rng.multivariate_normal(mean, cov, 400_000)
    inside = ((x > lower) & (x < upper)).all(axis=1)
    assert box_probability(lower, upper, mean, cov) == pytest.approx(inside.mean(), abs=4 * 0.5 / np.sqrt(400_000))
    np.testing.assert_allclose(truncated_mean(lower, upper, mean, cov), x[inside].mean(axis=0), atol=0.02)


def test_box_probability_closed_forms():
    one = box_probability(np.array([-1.0]), np.array([2.0]), np.array([0.0]), np.eye(1))
    assert one == pytest.approx(stats.norm.cdf(2) - stats.norm.cdf(-1))
    k = 8
    diagonal = box_probability(-np.ones(k), np.ones(k), np.zeros(k), np.eye(k))
    assert diagonal == pytest.approx((stats.norm.cdf(1) - stats.norm.cdf(-1)) ** k, rel=1e-12)
    # orthant of an equicorrelated (1/2) normal in k dimensions: 1/(k + 1)
    cov = 0.5 * np.eye(5) + 0.5
    assert box_probability(np.zeros(5), np.full(5, 50.0), np.zeros(5), cov) == pytest.approx(1 / 6, abs=2e-5)
    # univariate truncated mean
    m = truncated_mean(np.array([-1.0]), np.array([1.0]), np.array([0.4]), np.array([[2.0]]))
    expect = stats.truncnorm.mean((-1 - 0.4) / 2**0.5, (1 - 0.4) / 2**0.5, 0.4, 2**0.5)
    assert m[0] == pytest.approx(expect, rel=1e-10)


def test_default_trend_is_detected_half_of_the_time():
    r = pretrend_power(event_study())
    assert r.power == pytest.approx(0.5, abs=1e-6)
    assert "power 50 %" in r.sentence
    assert r.slopes.is_monotonic_increasing
    assert slope_for_power(event_vector(event_study()), 0.5) == pytest.approx(r.slopes.iloc[0])


def test_any_trend_and_refusals():
    es = event_study()
    trend = {t: 0.1 * (t + 1) for t in (-4, -3, -2, 0, 1, 2, 3)}
    assert pretrend_power(es, trend=trend).power == pytest.approx(pretrend_power(es, slope=0.1).power)
    with pytest.raises(DesignError, match="lacks"):
        pretrend_power(es, trend={-4: 0.1})
    with pytest.raises(DesignError, match="power"):
        pretrend_power(es, power=[0.01])


@pytest.mark.parametrize("scale", [1e-10, 1e-7, 1e6])
def test_slopes_are_in_units_of_the_outcome_however_small(scale):
    b = load_panel("es_betahat")
    sigma = np.loadtxt(FOLDER / "data" / "es_sigma.csv", delimiter=",")
    labels = pd.DataFrame({"term": [f"event {e}" for e in b["rel"]], "event_time": b["rel"]})
    scaled = from_moments(b["beta"] * scale, sigma * scale**2, labels=labels, kind="event", reference=(-1,))
    ours, plain = pretrend_power(scaled), pretrend_power(event_study())
    np.testing.assert_allclose(ours.slopes / scale, plain.slopes, rtol=1e-10)
    assert ours.power == pytest.approx(plain.power, rel=1e-8) == pytest.approx(0.5, abs=1e-6)
    assert ours.bias_after_pretest / scale == pytest.approx(plain.bias_after_pretest, rel=1e-8)


@pytest.mark.parametrize("base", ["varying", "universal"])
def test_leads_in_which_a_response_is_allowed_are_not_tested_for_parallel_trends(base):
    d = load_panel("panel_small")
    d["y"] += 3.0 * (d["year"] == d["g"] - 1)  # one period ahead, as anticipation=1 allows
    cells = att_gt(d, "y", unit="county", time="year", cohort="g", anticipation=1, base=base)
    for e in (cells, cells.aggregate("event")):
        early = (e.labels["event_time"].to_numpy() < -1) & np.isfinite(e.se.to_numpy())
        assert e.pretrend_test() == e.pretrend_test(anticipation=1) == e.test(early)
        assert e.pretrend_test().p_value > 0.01 > 1e-6 > e.pretrend_test(anticipation=0).p_value
        assert e.pretrend_test(anticipation=0) == e.test(e.labels["event_time"].lt(0).to_numpy() & np.isfinite(e.se))
    with pytest.raises(DesignError, match=r"no estimated leads before event time -1 \(anticipation=1\)"):
        cells.aggregate("event", window=(-1, 2)).pretrend_test()
    with pytest.raises(DesignError, match="anticipation=-1"):
        cells.pretrend_test(anticipation=-1)
