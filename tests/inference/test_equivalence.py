"""Equivalence tests against closed forms (``tost``) and by hand."""

import json

import numpy as np
import pytest
from reference_did import agree, stored

from g287stats.errors import DesignError
from g287stats.inference.equivalence import equivalence
from g287stats.inference.target import from_moments

ROWS = stored()[lambda d: d["estimator"] == "tost"]


@pytest.mark.parametrize("variant", sorted(set(zip(ROWS["dataset"], ROWS["variant"]))))
def test_reference(variant):
    rows = ROWS[(ROWS["dataset"] == variant[0]) & (ROWS["variant"] == variant[1])].set_index("quantity")
    o = json.loads(rows["options"].iloc[0])
    est = from_moments([o["estimate"]], [o["se"]], df=float(o["df"]))
    r = equivalence(est, o["margin"])
    got = {
        "p_lower": r.p_value_lower,
        "p_upper": r.p_value_upper,
        "p": r.p_value,
        "ci90_lo": r.conf_low,
        "ci90_hi": r.conf_high,
        "smallest_margin": r.smallest_margin,
    }
    for quantity, row in rows.iterrows():
        agree(got[quantity], None, row)


def test_by_hand():
    # b = 0.1, s = 0.05, margin 0.2, normal: z_lower = 0.3/0.05 = 6, z_upper = -0.1/0.05 = -2, p = 0.02275.
    r = equivalence(from_moments([0.1], [0.05]), 0.2)
    assert r.p_value == pytest.approx(0.022750131948179)
    assert r.equivalent
    assert "within ±0.2" in r.sentence
    assert "below 0.002002 and above 0.198 are excluded at 95 %" in r.sentence
    assert not equivalence(from_moments([0.1], [0.05]), 0.15).equivalent


def test_decision_is_the_interval():
    """Equivalence at alpha holds exactly when the 1 - 2 alpha interval lies inside the margin."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        b, s, m, df = rng.normal(), rng.uniform(0.1, 1), rng.uniform(0.1, 3), rng.integers(3, 40)
        r = equivalence(from_moments([b], [s], df=df), m)
        assert r.equivalent == (r.conf_low > -m and r.conf_high < m)
        at_smallest = equivalence(from_moments([b], [s], df=df), r.smallest_margin)
        assert at_smallest.p_value == pytest.approx(0.05)


def test_asymmetric_margin_and_refusals():
    est = from_moments([0.1, 0.2], [0.05, 0.05])
    with pytest.raises(DesignError, match="name one with term="):
        equivalence(est, 0.1)
    assert equivalence(est, (-0.1, 0.5), term="b2").margin == (-0.1, 0.5)
    with pytest.raises(DesignError, match="margin"):
        equivalence(est, -0.1, term="b1")
    with pytest.raises(DesignError, match="no standard error"):
        equivalence(from_moments([0.0], [0.0]), 0.1)
