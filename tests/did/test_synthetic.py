"""Synthetic control and synthetic DiD: exact weights, placebo and jackknife inference."""

import warnings

import numpy as np
import pandas as pd
import pytest
from reference_did import agree, expected, load_panel
from scipy import optimize, stats

from g287stats.did.synthetic import synthetic_control, synthetic_did
from g287stats.did.synthetic_weights import block, effects
from g287stats.errors import DesignError, DesignWarning, IdentificationError, InferenceWarning
from g287stats.numerics.simplex import simplex_least_squares, wolfe
from g287stats.simulation.panels import noise

KEYS = {"unit": "county", "time": "year", "treatment": "d"}
FITS = {
    "sdid": synthetic_did,
    "sc": synthetic_control,
    "did": lambda *a, **k: synthetic_did(*a, scheme="uniform", **k),
}


@pytest.fixture(scope="module")
def single():
    return {kind: fit(load_panel("single_unit"), "y", **KEYS) for kind, fit in FITS.items()}


@pytest.mark.parametrize("kind", FITS)
def test_one_treated_county_matches_the_exact_solution(single, kind):
    e = single[kind]
    agree(e.point[0], None, expected("single_unit", f"{kind}.exact", "point").loc["att"])
    agree(float(e.se.iloc[0]), None, expected("single_unit", f"{kind}.exact.placebo_se", "enumerated").loc["se"])
    agree(e.synthetic.p_value, None, expected("single_unit", f"{kind}.exact.placebo_p", "enumerated").loc["p"])


@pytest.mark.parametrize("kind", FITS)
def test_one_treated_county_is_near_r_synthdid_which_stops_early(single, kind):
    e = single[kind]
    agree(e.point[0], None, expected("single_unit", kind, "point").loc["att"])
    agree(float(e.se.iloc[0]), None, expected("single_unit", f"{kind}.placebo_se", "enumerated").loc["se"])
    agree(e.synthetic.p_value, None, expected("single_unit", f"{kind}.placebo_p", "enumerated").loc["p"])
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
    ours = single[kind].synthetic.placebos.set_index("treated_as")["estimate"]
    assert len(ours) == 23
    agree(ours[county], None, expected("single_unit", f"{kind}.placebo", "each_control").loc[county])


@pytest.mark.parametrize("kind", ["sdid", "did"])
def test_twelve_treated_counties_with_the_jackknife(kind):
    e = FITS[kind](load_panel("panel_null"), "y", **KEYS)
    assert e.options["inference"] == "jackknife"
    agree(e.point[0], None, expected("panel_null", f"{kind}.exact", "point").loc["att"])
    agree(e.point[0], float(e.se.iloc[0]), expected("panel_null", kind, "jackknife").loc["att"])


def test_one_treated_county_is_not_told_about_clusters(single):
    assert not any("clusters" in n for e in single.values() for n in e.notes)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DesignWarning)
        synthetic_did(load_panel("single_unit"), "y", inference="none", **KEYS)


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
    assert e.synthetic.unit_weights["weight"].tolist() == pytest.approx([0.5, 0.5], abs=1e-9)


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


@pytest.mark.parametrize("many", [60, 280, 590])
@pytest.mark.parametrize("size", [1e-13, 1e-10, 1e-6, 1e-2])
def test_weights_settle_with_many_controls_and_few_periods(many, size):
    """Perfect weights abound and the ridge that chooses among them is next to nothing."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        a = rng.normal(size=many) + rng.normal(size=(5, 1)) + 0.5 * rng.normal(size=(5, many))
        b = 0.7 * (seed % 3) * rng.normal() + a.mean(1) + 0.5 * rng.normal(size=5)
        points = (a - b[:, None]) / np.sqrt(5)
        scale = float((points**2).sum(axis=0).max())
        w = simplex_least_squares(a, b, ridge=size * scale)
        slack = points.T @ (points @ w) + size * scale * w
        assert w.min() >= 0 and w.sum() == pytest.approx(1)
        assert slack.min() >= slack @ w - 1e-13 * scale  # no control could lower the norm


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
        e = synthetic_control(noiseless([8]), "y", unit="county", time="year", cohort="g", shape="event")
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
    event = synthetic_did(data, "y", shape="event", draws=20, **keys)
    assert event.options["inference"] == "placebo"
    assert event.overall.options["seed"] == 287
    again = synthetic_did(data, "y", shape="event", draws=20, **keys)
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


# ---- inference ------------------------------------------------------------------------------------------------------
def two_cohorts(seed=4, n=14, t=10):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, 1)) + rng.normal(size=(n, t)).cumsum(1)
    g = np.full(n, np.nan)
    g[:5] = [5, 5, 7, 7, 7]
    frame = {"county": np.repeat(np.arange(n), t), "year": np.tile(np.arange(t), n), "y": y.ravel()}
    return pd.DataFrame(frame).assign(g=np.repeat(g, t))


BY_COHORT = {"unit": "county", "time": "year", "cohort": "g"}


def test_jackknife_is_leaving_out_one_unit_at_a_time_with_the_weights_held():
    """Recomputed from the weights the estimate reports, one unit at a time."""
    data = two_cohorts()
    e = synthetic_did(data, "y", shape="event", **BY_COHORT)
    y = data.pivot(index="county", columns="year", values="y")
    omega = e.synthetic.unit_weights.pivot(index="county", columns="cohort", values="weight")
    lam = {c: t.set_index("year")["weight"] for c, t in e.synthetic.time_weights.groupby("cohort")}
    members = {5: [0, 1], 7: [2, 3, 4]}

    def estimates(left_out):
        total, mass, at_one = 0.0, 0, {}
        for c, who in members.items():
            who = [u for u in who if u != left_out]
            w = omega[c].drop(index=left_out, errors="ignore")
            gap = y.loc[who].mean() - (w / w.sum()) @ y.loc[w.index]
            gap = gap - lam[c] @ gap[lam[c].index]
            total, mass = total + len(who) * gap[gap.index >= c].sum(), mass + len(who) * (10 - c)
            at_one[c] = (len(who), gap[c + 1])
        return total / mass, sum(n * v for n, v in at_one.values()) / sum(n for n, _ in at_one.values())

    by_hand = np.array([estimates(u) for u in range(14)])
    assert e.synthetic.placebos["estimate"].to_numpy() == pytest.approx(by_hand[:, 0], abs=1e-12)
    spread = np.sqrt(13 / 14 * ((by_hand - by_hand.mean(0)) ** 2).sum(0))
    assert e.overall.se.iloc[0] == pytest.approx(spread[0], abs=1e-12)
    assert e.se["event +1"] == pytest.approx(spread[1], abs=1e-12)


def test_degrees_of_freedom_by_hand():
    """Satterthwaite over the two cohorts and the controls; the normal of the paper on request."""
    data = two_cohorts()
    e = synthetic_did(data, "y", **BY_COHORT)
    squares = pd.Series((e.influence.psi[:, 0]) ** 2, index=range(14))
    part = np.array([squares[[0, 1]].sum(), squares[[2, 3, 4]].sum(), squares[5:].sum()])
    omega = e.synthetic.unit_weights.pivot(index="county", columns="cohort", values="weight")
    c = ((2 * 5 * omega[5] + 3 * 3 * omega[7]) / 19) ** 2
    freedom = part.sum() ** 2 / (part**2 / np.array([1, 2, c.sum() ** 2 / (c**2).sum() - 1])).sum()
    assert e.df == pytest.approx(freedom, rel=1e-10)
    low, high = e.conf_int().iloc[0]
    assert high - low == pytest.approx(2 * stats.t.ppf(0.975, freedom) * e.se.iloc[0])
    normal = synthetic_did(data, "y", distribution="normal", **BY_COHORT)
    assert normal.df == np.inf
    assert normal.se.iloc[0] == e.se.iloc[0]
    placebo = synthetic_did(data, "y", inference="placebo", draws=30, **BY_COHORT)
    assert placebo.df == 8  # nine controls
    assert synthetic_did(data, "y", inference="placebo", draws=6, **BY_COHORT).df == 5  # six placements
    with pytest.raises(DesignError, match="choose 't' or 'normal'"):
        synthetic_did(data, "y", distribution="gaussian", **BY_COHORT)


@pytest.mark.parametrize("kind", FITS)
def test_placebo_interval_holds_the_values_that_the_placebo_test_does_not_reject(single, kind):
    """With 23 controls the test at 5 % rejects when no placebo is as large: the interval is ± the largest."""
    e = single[kind]
    low, high = e.synthetic.conf_int_placebo().loc["ATT"]
    largest = e.synthetic.placebos["estimate"].abs().max()
    assert (low, high) == pytest.approx((e.point[0] - largest, e.point[0] + largest), abs=1e-12)
    data = load_panel("single_unit")
    for value, inside in ((low + 1e-6, True), (low - 1e-6, False), (high - 1e-6, True), (high + 1e-6, False)):
        without = data.assign(y=data["y"] - value * data["d"])
        assert (FITS[kind](without, "y", **KEYS).synthetic.p_value > 0.05) == inside
    second, third = e.synthetic.placebos["estimate"].abs().nlargest(3).iloc[1:]
    for level, half in ((0.9, second), (0.87, third)):  # ⌊0.1 · 24⌋ = 2, ⌊0.13 · 24⌋ = 3
        assert e.synthetic.conf_int_placebo(level)["conf_high"].iloc[0] - e.point[0] == pytest.approx(half)


def test_too_few_placebos_bound_nothing():
    data = load_panel("single_unit")
    few = synthetic_did(data[data["county"] <= 18], "y", **KEYS)  # 17 controls
    with pytest.warns(InferenceWarning, match="placebo test with 17 placements cannot reject any value at 0.05"):
        assert few.synthetic.conf_int_placebo().to_numpy().tolist() == [[-np.inf, np.inf]]
    jackknife = synthetic_did(load_panel("panel_null"), "y", **KEYS)
    with pytest.raises(DesignError, match='needs inference="placebo"'):
        jackknife.synthetic.conf_int_placebo()


def test_placements_of_one_unit_are_drawn_without_repetition_when_there_are_many():
    e = synthetic_did(load_panel("single_unit"), "y", draws=10, **KEYS)
    assert e.synthetic.placebos["treated_as"].nunique() == 10
    assert not e.rule.enumerated
    assert (11 * e.synthetic.p_value) % 1 == pytest.approx(0, abs=1e-9)
    again = synthetic_did(load_panel("single_unit"), "y", draws=10, **KEYS)
    pd.testing.assert_frame_equal(e.synthetic.placebos, again.synthetic.placebos)
    other = synthetic_did(load_panel("single_unit"), "y", draws=10, seed=1, **KEYS)
    assert set(other.synthetic.placebos["treated_as"]) != set(e.synthetic.placebos["treated_as"])


@pytest.mark.parametrize("seed", range(12))
def test_many_controls_solve_the_same_problem_in_its_dual(seed):
    rng = np.random.default_rng(seed)
    t, k = rng.integers(3, 120), rng.integers(40, 400)
    a, b = rng.normal(size=(t, k)).cumsum(0), rng.normal(size=t).cumsum()
    ridge = [0.5, 3.0, 40.0][seed % 3]
    a, b = a - a.mean(0), b - b.mean()
    w = simplex_least_squares(a, b, ridge=ridge, intercept=True)
    points = (a - b[:, None]) / np.sqrt(t)
    assert w == pytest.approx(wolfe(points, ridge, 10_000), abs=1e-10)
    gradient = a.T @ (a @ w - b) / t + ridge * w
    assert w.min() >= 0
    assert w.sum() == pytest.approx(1, abs=1e-12)
    assert np.ptp(gradient[w > 1e-10]) < 1e-9 * np.abs(a).max() ** 2
    assert gradient[w <= 1e-10].min(initial=np.inf) >= gradient[w > 1e-10].mean() - 1e-9 * np.abs(a).max() ** 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sdid", "sc"])
def test_placebo_test_keeps_its_size_with_and_without_the_treated_among_the_donors(kind):
    """One of twenty exchangeable units: putting the treated among the donors is exact, leaving it out is no worse."""
    rng = np.random.default_rng(5)
    n, t, start, draws = 20, 12, 8, 3000
    everyone, exact, ours = np.arange(n), [], []

    def effect(y, unit, donors):
        return abs(effects(y, [block(y, np.array([unit]), donors, start, kind)], np.arange(0))[0])

    for _ in range(draws):
        y = rng.normal(size=(n, 1)) * (1 + np.linspace(0, 1, t)) + noise(rng, n, t)
        among = np.array([effect(y, i, np.delete(everyone, i)) for i in everyone])
        without = np.array([effect(y, i, np.delete(everyone, [0, i])) for i in everyone[1:]])
        exact.append((among >= among[0]).mean() <= 0.05)
        ours.append((1 + (without >= among[0]).sum()) / n <= 0.05)
    sizes = 100 * np.array([np.mean(exact), np.mean(ours)])
    print(
        f"\n{kind}, {draws} panels: size with the treated among the donors {sizes[0]:.1f} %, without {sizes[1]:.1f} %"
    )
    assert (abs(sizes - 5) < 100 * 3 * np.sqrt(0.05 * 0.95 / draws)).all(), sizes


@pytest.mark.parametrize(("periods", "controls", "level"), [(5, 60, 100.0), (3, 12, 0.0), (8, 400, 0.0)])
def test_the_smallest_ridge_picks_the_most_even_of_the_perfect_weights(periods, controls, level):
    """With more controls than periods many weights fit exactly; the limit of the ridge is the smallest of them."""
    r = np.random.default_rng(5)
    a, b = level + 3 * r.normal(size=(periods, controls)), level + r.normal(size=periods)
    w = simplex_least_squares(a, b, ridge=1e-12)
    assert w.min() >= 0 and w.sum() == pytest.approx(1, abs=1e-14)
    np.testing.assert_allclose(a @ w, b, atol=1e-10)
    # min |w|² subject to a w = b, Σ w = 1, w ≥ 0 is w = max(0, A'ν): on the support w lies in A's row space
    rows = np.vstack([a, np.ones(controls)])
    on = w > 0
    nu = np.linalg.lstsq(rows[:, on].T, w[on], rcond=None)[0]
    np.testing.assert_allclose(rows[:, on].T @ nu, w[on], atol=1e-10)
    assert (rows[:, ~on].T @ nu).max(initial=-1.0) <= 1e-10
