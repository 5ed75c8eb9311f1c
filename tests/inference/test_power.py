"""Smallest detectable effects against closed forms (``mde``)."""

import json

import numpy as np
import pandas as pd
import pytest
from reference_did import agree, load_panel, stored
from scipy import stats

from g287stats.did.twfe import twfe
from g287stats.errors import DesignError
from g287stats.inference.power import minimum_detectable_effect, power_simulation, rejection_probability
from g287stats.inference.randomization import randomization_test
from g287stats.inference.target import from_moments

ROWS = stored()[lambda d: d["estimator"] == "mde"]


@pytest.mark.parametrize("variant", sorted(set(zip(ROWS["dataset"], ROWS["variant"]))))
def test_reference(variant):
    rows = ROWS[(ROWS["dataset"] == variant[0]) & (ROWS["variant"] == variant[1])].set_index("quantity")
    o = json.loads(rows["options"].iloc[0])
    r = minimum_detectable_effect(from_moments([0.3], [o["se"]], df=float(o["df"])), power=o["power"])
    agree(r.exact, None, rows.loc["exact"])
    agree(r.two_quantiles, None, rows.loc["two_quantiles"])


def test_power_function_by_simulation():
    """The t-test of a noncentral t variable rejects as often as the formula says."""
    rng = np.random.default_rng(7)
    df, shift = 9, 2.5
    t = (rng.normal(size=400_000) + shift) / np.sqrt(rng.chisquare(df, 400_000) / df)
    share = (np.abs(t) > stats.t.ppf(0.975, df)).mean()
    assert rejection_probability(shift, 1.0, df) == pytest.approx(share, abs=4 * np.sqrt(0.25 / 400_000))
    assert rejection_probability(0.0, 1.0, df) == pytest.approx(0.05)


def test_detectable_effect_does_not_depend_on_the_estimate():
    a = minimum_detectable_effect(from_moments([0.0], [0.2], df=11))
    b = minimum_detectable_effect(from_moments([9.0], [0.2], df=11))
    assert a.exact == b.exact
    assert a.power_at(a.exact) == pytest.approx(0.8)
    assert "80 %" in a.sentence
    with pytest.raises(DesignError):
        minimum_detectable_effect(from_moments([0.0], [0.2]), power=0.01)


KEYS = {"unit": "county", "time": "year", "cohort": "cohort"}


def noise(n=120, treated=30, periods=6, seed=3):
    rng = np.random.default_rng(seed)
    d = pd.DataFrame({"county": np.repeat(np.arange(n), periods), "year": np.tile(range(2001, 2001 + periods), n)})
    d["y"] = rng.normal(size=len(d)) + 10
    d["cohort"] = np.repeat(
        np.where(np.arange(n) < treated, np.where(np.arange(n) % 2, 2003.0, 2005.0), np.nan), periods
    )
    return d


def test_simulated_power_agrees_with_the_formula():
    """On independent noise the simulated power curve is the analytic one."""
    d = noise()
    est = lambda f: twfe(f, "y", **KEYS)
    r = power_simulation(d, est, [0.2, 0.4], outcome="y", draws=150, **KEYS)
    assert r.frame["effect"].tolist() == [0.0, 0.2, 0.4]
    se = r.frame["sd_estimate"].mean()
    for row in r.frame.itertuples():
        assert row.mean_estimate == pytest.approx(row.effect, abs=4 * se / np.sqrt(150))
        wanted = rejection_probability(row.effect, se, 89)
        assert row.power == pytest.approx(wanted, abs=4 * np.sqrt(0.25 / 150))
    assert r.n_units == 90
    assert r.n_treated == 30


def test_detectable_effect_interpolates():
    d = noise()
    r = power_simulation(d, lambda f: twfe(f, "y", **KEYS), [0.3, 0.6, 0.9], outcome="y", draws=60, **KEYS)
    low, high = r.frame["effect"][r.frame["power"] < 0.8].max(), r.frame["effect"][r.frame["power"] >= 0.8].min()
    assert low < r.detectable < high
    none = power_simulation(d, lambda f: twfe(f, "y", **KEYS), [0.01], outcome="y", draws=20, **KEYS)
    assert np.isnan(none.detectable)
    assert "not reached" in str(none)


def test_true_effects_stay_out_and_rows_do_not_matter():
    d = noise()
    d["y"] += 50.0 * (d["year"] >= d["cohort"])  # never-treated units do not carry it
    est = lambda f: twfe(f, "y", **KEYS)
    a = power_simulation(d, est, [0.5], outcome="y", draws=30, **KEYS)
    b = power_simulation(d.sample(frac=1, random_state=2), est, [0.5], outcome="y", draws=30, **KEYS)
    pd.testing.assert_frame_equal(a.frame, b.frame)
    assert abs(a.frame["mean_estimate"].iloc[0]) < 0.2
    original = noise()
    assert not original.equals(d)
    before = d.copy()
    power_simulation(d, est, [0.1], outcome="y", draws=2, **KEYS)
    pd.testing.assert_frame_equal(d, before)


def test_relative_effects_periods_and_other_tests():
    d = noise(n=40, treated=4)
    d["y"] = np.exp(d["y"] / 10)
    d["month"] = pd.PeriodIndex([f"{y}-01" for y in d["year"]], freq="Y")
    d["first"] = pd.PeriodIndex([pd.NaT if np.isnan(c) else pd.Period(str(int(c)), "Y") for c in d["cohort"]], freq="Y")
    keys = {"unit": "county", "time": "month", "cohort": "first"}
    test = lambda f: randomization_test(twfe(f, "y", **keys), draws=39, ci=False)
    r = power_simulation(d, test, [1.0], outcome="y", scale="relative", units="all", draws=10, **keys)
    assert r.frame["power"].iloc[1] == 1.0
    assert r.frame["mean_estimate"].iloc[1] == pytest.approx(d["y"].mean(), rel=0.3)


def test_failures_are_counted_and_refusals():
    d = noise()
    calls = iter(range(10**6))

    def flaky(f):
        if next(calls) % 4 == 3:
            raise DesignError("no luck")
        return twfe(f, "y", **KEYS)

    r = power_simulation(d, flaky, [0.5], outcome="y", draws=10, **KEYS)
    assert len(r.failures) == 5
    assert "5 runs failed, first: no luck" in str(r)
    with pytest.raises(DesignError, match="cannot stand in"):
        power_simulation(noise(n=60), flaky, [0.5], outcome="y", **KEYS)
    with pytest.raises(DesignError, match="name the keys"):
        power_simulation(d, flaky, [0.5], outcome="y")
    panel = load_panel("panel_small")
    with pytest.raises(DesignError, match="both treated and never-treated"):
        power_simulation(panel.assign(cohort=np.nan), flaky, [0.5], outcome="y", **KEYS)


def test_keys_in_the_index_too_do_no_harm():
    frame = pd.DataFrame({"county": np.repeat(np.arange(12), 4), "year": np.tile(np.arange(4), 12)})
    frame["g"] = frame["county"].map({0: 2.0, 1: 2.0, 2: 2.0})
    frame["y"] = np.random.default_rng(1).normal(size=len(frame))
    keys = {"unit": "county", "time": "year", "cohort": "g"}

    def run(data):
        fit = lambda f: twfe(f, "y", **keys)
        return power_simulation(data, fit, [0.0, 1.0], outcome="y", draws=9, seed=1, **keys).frame

    pd.testing.assert_frame_equal(run(frame), run(frame.set_index(["county", "year"], drop=False)))
