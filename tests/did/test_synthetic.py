"""Synthetic control and synthetic DiD: exact weights, placebo and jackknife inference."""

import numpy as np
import pandas as pd
import pytest
from reference_did import agree, expected, load_panel
from scipy import optimize

from g287stats.did.synthetic import synthetic_control, synthetic_did
from g287stats.errors import DesignError, DesignWarning, IdentificationError
from g287stats.numerics.simplex import simplex_least_squares

KEYS = {"unit": "county", "time": "year", "treatment": "d"}
FITS = {
    "sdid": synthetic_did,
    "sc": synthetic_control,
    "did": lambda *a, **k: synthetic_did(*a, weights="uniform", **k),
}


@pytest.fixture(scope="module")
def single():
    return {kind: fit(load_panel("single_unit"), "y", **KEYS) for kind, fit in FITS.items()}


@pytest.mark.parametrize("kind", FITS)
def test_one_treated_county_matches_the_exact_solution(single, kind):
    e = single[kind]
    agree(e.point[0], None, expected("single_unit", f"{kind}.exact", "point").loc["att"])
    agree(float(e.se.iloc[0]), None, expected("single_unit", f"{kind}.exact.placebo_se", "enumerated").loc["se"])
    agree(e.design.p_value, None, expected("single_unit", f"{kind}.exact.placebo_p", "enumerated").loc["p"])


@pytest.mark.parametrize("kind", FITS)
def test_one_treated_county_is_near_r_synthdid_which_stops_early(single, kind):
    e = single[kind]
    agree(e.point[0], None, expected("single_unit", kind, "point").loc["att"])
    agree(float(e.se.iloc[0]), None, expected("single_unit", f"{kind}.placebo_se", "enumerated").loc["se"])
    agree(e.design.p_value, None, expected("single_unit", f"{kind}.placebo_p", "enumerated").loc["p"])
    agree(float(e.se.iloc[0]), None, expected("single_unit", f"{kind}.placebo_se", "random_200_seed1").loc["se"])


EARLY_STOP = (
    "R synthdid stops after a fixed decrease; its objective is above the minimum here and the gap is 2e-3 to 7e-3"
)
STOPPED = {("sc", "4"), ("sc", "5")}
PLACEBOS = [
    pytest.param(
        kind, county, marks=pytest.mark.xfail(strict=True, reason=EARLY_STOP) if (kind, county) in STOPPED else ()
    )
    for kind in FITS
    for county in expected("single_unit", f"{kind}.placebo", "each_control").index
]


@pytest.mark.parametrize(("kind", "county"), PLACEBOS)
def test_each_placebo_is_near_r_synthdid(single, kind, county):
    ours = single[kind].design.placebos.set_index("treated_as")["estimate"]
    assert len(ours) == 23
    agree(ours[county], None, expected("single_unit", f"{kind}.placebo", "each_control").loc[county])


@pytest.mark.parametrize("kind", ["sdid", "did"])
def test_twelve_treated_counties_with_the_jackknife(kind):
    e = FITS[kind](load_panel("panel_null"), "y", **KEYS)
    assert e.options["inference"] == "jackknife"
    agree(e.point[0], None, expected("panel_null", f"{kind}.exact", "point").loc["att"])
    agree(e.point[0], float(e.se.iloc[0]), expected("panel_null", kind, "jackknife").loc["att"])


def test_weights_that_are_not_unique_are_said_to_be():
    with pytest.warns(DesignWarning, match="not unique"):
        e = synthetic_control(load_panel("panel_null"), "y", inference="none", **KEYS)
    assert "not unique" in e.notes[-1]
    assert np.isnan(e.se.iloc[0])


def test_by_hand():
    """Two controls, two periods before, one after. Control a: 0, 0, 1; b: 2, 4, 4; treated: 1, 2, 9.

    The treated path before is the midpoint (1, 2) of a = (0, 0) and b = (2, 4), so synthetic control puts one half on
    each; the synthetic value after is (1 + 4) / 2 = 2.5 and the effect 9 - 2.5 = 6.5.
    """
    y = {"a": (0, 0, 1), "b": (2, 4, 4), "t": (1, 2, 9)}
    rows = [(u, 2000 + k, v, int(u == "t" and k == 2)) for u, path in y.items() for k, v in enumerate(path)]
    data = pd.DataFrame(rows, columns=["county", "year", "y", "d"])
    with pytest.warns(DesignWarning, match="not unique"):
        e = synthetic_control(data, "y", **KEYS)
    assert e.point[0] == pytest.approx(6.5, abs=1e-9)
    assert e.design.unit_weights["weight"].tolist() == pytest.approx([0.5, 0.5], abs=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_simplex_solution_satisfies_the_optimality_conditions(seed):
    rng = np.random.default_rng(seed)
    t, k = rng.integers(3, 30), rng.integers(2, 40)
    a, b = rng.normal(size=(t, k)).cumsum(0), rng.normal(size=t).cumsum()
    ridge = [0.0, 1e-8, 0.5][seed % 3]
    w = simplex_least_squares(a, b, ridge=ridge, intercept=seed % 2 == 0)
    if seed % 2 == 0:
        a, b = a - a.mean(0), b - b.mean()
    gradient = a.T @ (a @ w - b) / t + ridge * w
    assert w.min() >= 0
    assert w.sum() == pytest.approx(1, abs=1e-12)
    on = w > 1e-9
    assert np.ptp(gradient[on]) < 1e-9 * np.abs(a).max() ** 2
    assert gradient[~on].min(initial=np.inf) >= gradient[on].mean() - 1e-9 * np.abs(a).max() ** 2


def test_simplex_agrees_with_a_general_solver():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(8, 5)), rng.normal(size=8)
    loss = lambda w: np.mean((a @ w - b) ** 2) + 0.1 * w @ w
    sum_to_one = {"type": "eq", "fun": lambda w: w.sum() - 1}
    other = optimize.minimize(loss, np.full(5, 0.2), bounds=[(0, 1)] * 5, constraints=sum_to_one, tol=1e-14)
    assert loss(simplex_least_squares(a, b, ridge=0.1)) <= other.fun + 1e-12


def test_what_must_not_matter(single):
    data = load_panel("single_unit")
    before = data.copy()
    shuffled = data.sample(frac=1, random_state=1)
    again = synthetic_did(shuffled, "y", **KEYS)
    assert np.array_equal(again.point, single["sdid"].point)
    assert np.array_equal(again.se, single["sdid"].se)
    moved = data.assign(y=5.0 + 3.0 * data["y"], county="c" + data["county"].astype(str))
    other = synthetic_did(moved, "y", **KEYS)
    assert other.point[0] == pytest.approx(3 * single["sdid"].point[0], abs=1e-9)
    assert other.se.iloc[0] == pytest.approx(3 * single["sdid"].se.iloc[0], abs=1e-9)
    pd.testing.assert_frame_equal(data, before)


def noiseless(cohorts, n_periods=12, seed=0):
    """Two-factor panel in which every treated county is a mixture of never-treated ones; effects 1 + event time."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(12, 2)) @ rng.normal(size=(2, n_periods)).cumsum(1)
    rows = []
    for u in range(len(y)):
        rows += [(f"u{u:02d}", t, y[u, t], np.nan) for t in range(n_periods)]
    for j, c in enumerate(cohorts):
        w = np.zeros(len(y))
        w[[j, j + 3, j + 5]] = (0.5, 0.3, 0.2)
        path = w @ y + np.where(np.arange(n_periods) >= c, 1.0 + np.arange(n_periods) - c, 0)
        rows += [(f"v{j}", t, path[t], c) for t in range(n_periods)]
    return pd.DataFrame(rows, columns=["county", "year", "y", "g"])


def test_noiseless_synthetic_control_returns_the_truth():
    with pytest.warns(DesignWarning, match="not unique"):
        e = synthetic_control(noiseless([8]), "y", unit="county", time="year", cohort="g", effects="event")
    after = e.labels["event_time"] >= 0
    assert e.point[after] == pytest.approx([1, 2, 3, 4], abs=1e-8)
    assert e.point[~after] == pytest.approx(np.zeros(8), abs=1e-8)
    assert e.overall.point[0] == pytest.approx(2.5, abs=1e-8)


def test_several_cohorts_are_averaged_by_treated_periods():
    data = noiseless([6, 8, 8], seed=2)
    keys = {"unit": "county", "time": "year", "cohort": "g"}
    both = synthetic_did(data, "y", inference="none", **keys).point[0]
    early = synthetic_did(data[data["g"].isna() | (data["g"] == 6)], "y", inference="none", **keys).point[0]
    late = synthetic_did(data[data["g"].isna() | (data["g"] == 8)], "y", inference="none", **keys).point[0]
    assert both == pytest.approx((6 * early + 2 * 4 * late) / 14, abs=1e-12)
    event = synthetic_did(data, "y", effects="event", draws=20, **keys)
    assert event.options["inference"] == "placebo"
    assert event.overall.options["seed"] == 287
    again = synthetic_did(data, "y", effects="event", draws=20, **keys)
    assert np.array_equal(event.se, again.se)


def test_refusals():
    data = load_panel("single_unit")
    ends = data.assign(d=((data["county"] == 17) & data["year"].between(2010, 2014)).astype(int))
    with pytest.raises(DesignError, match=r"switches off in 1 units: 17.*switching_did"):
        synthetic_did(ends, "y", **KEYS)
    with pytest.raises(DesignError, match=r"1 units are not observed in every period: 3\b"):
        synthetic_did(data[~((data["county"] == 3) & (data["year"] == 1999))], "y", **KEYS)
    with pytest.raises(IdentificationError, match="no unit starts treatment"):
        synthetic_did(data[data["county"] != 17], "y", **KEYS)
    with pytest.raises(IdentificationError, match="no unit is left"):
        synthetic_did(data[data["county"] == 17], "y", **KEYS)
    with pytest.raises(IdentificationError, match=r'cohorts 2010 have only one: use inference="placebo"'):
        synthetic_did(data, "y", inference="jackknife", **KEYS)
