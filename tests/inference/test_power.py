"""Smallest detectable effects against closed forms (``mde``)."""

import json

import numpy as np
import pytest
from reference_did import _expected, agree
from scipy import stats

from g287stats.errors import DesignError
from g287stats.inference.power import minimum_detectable_effect, rejection_probability
from g287stats.inference.target import from_moments

ROWS = _expected()[lambda d: d["estimator"] == "mde"]


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
