"""Triple differences."""

import numpy as np
import pandas as pd
import pytest
from simulated_did import staggered

from g287stats.did.triple import triple_difference
from g287stats.did.twfe import event_study, twfe
from g287stats.errors import DesignError, IdentificationError

KEYS = {"unit": "series", "time": "year", "eligible": "e", "place": "county"}


def two_groups(seed=0, noise=1.0, effect=2.0, cohorts=(4, 6), n=40):
    """Each county has an eligible and an ineligible series; county-year shocks and group trends are common."""
    base = staggered(seed, n=n, t=8, cohorts=cohorts, effect=0.0)
    rng = np.random.default_rng(seed + 1)
    shock = rng.normal(size=len(base)) * 5
    rows = []
    for e in (0, 1):
        y = shock + 0.7 * e * base["year"] ** 2 + 3 * e + noise * rng.normal(size=len(base)) + effect * e * base["d"]
        rows.append(base.assign(e=e, y=y, series=base["county"].astype(str) + "-" + str(e)))
    return pd.concat(rows, ignore_index=True)


def test_by_hand():
    """Treated place: eligible 10 to 17, ineligible 4 to 6; untreated: eligible 8 to 10, ineligible 3 to 4.

    (7 - 2) - (2 - 1) = 4.
    """
    values = {("p", 1): (10, 17), ("p", 0): (4, 6), ("q", 1): (8, 10), ("q", 0): (3, 4)}
    rows = [
        (f"{p}{e}{c}", p, e, t, v[t] + c, int(p == "p" and t))
        for (p, e), v in values.items()
        for t in (0, 1)
        for c in (0, 1)
    ]
    data = pd.DataFrame(rows, columns=["series", "county", "e", "year", "y", "d"])
    assert triple_difference(data, "y", treatment="d", **KEYS).point[0] == pytest.approx(4)


@pytest.mark.parametrize("n", [40, 400])  # few places, and so many that they are solved through their units
def test_equals_two_way_effects_on_the_gap_between_groups(n):
    data = two_groups(n=n)
    ddd = triple_difference(data, "y", treatment="d", **KEYS)
    wide = data.pivot(index=["county", "year", "d", "g"], columns="e", values="y").reset_index()
    gap = twfe(wide.assign(gap=wide[1] - wide[0]), "gap", unit="county", time="year", treatment="d")
    assert ddd.point[0] == pytest.approx(gap.point[0], abs=1e-12)
    raw = [e.se.iloc[0] / np.sqrt(e.rule.factor()) for e in (ddd, gap)]
    assert raw[0] == pytest.approx(raw[1], abs=1e-12)
    assert ddd.rule.levels == ("county",)
    es = triple_difference(data, "y", cohort="g", shape="event", window=(-3, 3), **KEYS)
    other = event_study(
        wide.assign(gap=wide[1] - wide[0]), "gap", unit="county", time="year", cohort="g", window=(-3, 3)
    )
    assert es.point == pytest.approx(other.point, abs=1e-11)
    assert es.overall.point[0] == pytest.approx(other.overall.point[0], abs=1e-11)


def test_noiseless_truth_and_what_must_not_matter():
    data = two_groups(3, noise=0)
    assert triple_difference(data, "y", treatment="d", **KEYS).point[0] == pytest.approx(2, abs=1e-10)
    data = two_groups(4)
    one, before = triple_difference(data, "y", treatment="d", **KEYS), data.copy()
    two = triple_difference(data.sample(frac=1, random_state=1), "y", treatment="d", **KEYS)
    assert np.array_equal(one.point, two.point)
    pd.testing.assert_frame_equal(data, before)
    shocked = data.assign(y=data["y"] + 10.0 * data["county"] * data["year"] + 4.0 * data["e"] * data["year"])
    assert triple_difference(shocked, "y", treatment="d", **KEYS).point[0] == pytest.approx(one.point[0], abs=1e-8)


def test_a_state_policy_with_county_series():
    """Eligibility differs between counties of a state; the policy is the state's."""
    data = staggered(5, n=60, t=8, effect=0.0)
    rng = np.random.default_rng(0)
    data["e"] = data["county"] % 2
    data["d"] = ((data["state"] < 3) & (data["year"] >= 4)).astype(int)
    data["y"] = 2.0 * data["d"] * data["e"] + data["state"] * data["year"] + rng.normal(size=60)[data["county"]]
    e = triple_difference(data, "y", eligible="e", place="state", unit="county", time="year", treatment="d")
    assert e.point[0] == pytest.approx(2, abs=1e-11)


def test_refusals():
    data = two_groups(6)
    only = data[(data["e"] == 1) | (data.groupby("county")["d"].transform("max") == 0)]
    with pytest.raises(IdentificationError, match="no ineligible units in treated places"):
        triple_difference(only, "y", treatment="d", **KEYS)
    with pytest.raises(DesignError, match="must be 0 or 1"):
        triple_difference(data.assign(e=data["e"] * 2), "y", treatment="d", **KEYS)
    with pytest.raises(DesignError, match="changes within units"):
        triple_difference(data.assign(e=(data["year"] > 3) * 1), "y", treatment="d", **KEYS)
    with pytest.raises(DesignError, match="one of them"):
        triple_difference(data, "y", **KEYS)
    with pytest.raises(IdentificationError, match="d×e do not vary"):
        triple_difference(data.assign(d=1), "y", treatment="d", **KEYS)
