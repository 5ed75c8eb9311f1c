"""Least squares inside least squares: gradient, kinks, and a search that random starts do not beat."""

import numpy as np
import pytest
from scipy import optimize

from g287stats.numerics.nested import descend, matching_weights, shares
from g287stats.numerics.simplex import simplex_least_squares

RIDGE = 1e-8


def problem(seed, k=5, columns=9, periods=8):
    rng = np.random.default_rng(seed)
    paths = rng.normal(size=(columns, periods)).cumsum(1)
    a = rng.normal(size=(k, columns)) + 0.5 * rng.normal(size=(k, periods)) @ paths.T / periods
    own = rng.dirichlet(np.ones(columns))
    return a, a @ own + 0.3 * rng.normal(size=k), own @ paths + 0.3 * rng.normal(size=periods), paths


def loss(parts, v):
    a, b, goal, paths = parts
    root = np.sqrt(v / v.sum())
    w = simplex_least_squares(root[:, None] * a, root * b, ridge=RIDGE)
    return float(np.mean((goal - w @ paths) ** 2))


@pytest.mark.parametrize("seed", range(6))
def test_no_random_start_of_another_method_ends_lower(seed):
    parts = problem(seed)
    ours = loss(parts, matching_weights(*parts, RIDGE))
    rng = np.random.default_rng(seed)
    for _ in range(6):
        start = rng.uniform(-8, 0, 5)
        other = optimize.minimize(
            lambda u: loss(parts, shares(u)), start, method="Nelder-Mead", options={"maxfev": 300}
        )
        assert ours <= other.fun * (1 + 1e-5)


def test_the_search_ends_where_no_weights_fit_better():
    """A predictor that is an earlier outcome among others: the best weights of all can be reached."""
    a, b, goal, paths = problem(1, k=8)
    a, b = paths.T.copy(), goal.copy()
    ideal = simplex_least_squares(paths.T, goal, ridge=RIDGE)
    assert loss((a, b, goal, paths), matching_weights(a, b, goal, paths, RIDGE)) == pytest.approx(
        float(np.mean((goal - ideal @ paths) ** 2)), rel=1e-5
    )


def test_descent_is_not_stopped_by_a_kink():
    def ridges(x):  # |x| + a valley, steepest across its kink
        return abs(x[0] - x[1]) * 10 + (x[0] - 3) ** 2, lambda: np.array(
            [10 * np.sign(x[0] - x[1]) + 2 * (x[0] - 3), -10 * np.sign(x[0] - x[1])]
        )

    value, place = descend(ridges, np.array([-2.0, 5.0]), gain=1e-12, steps=300)
    assert value < 1e-4
    np.testing.assert_allclose(place, [3, 3], atol=0.02)


def test_same_at_every_call_and_whatever_the_units():
    a, b, goal, paths = problem(4)
    one = matching_weights(a, b, goal, paths, RIDGE)
    assert np.array_equal(one, matching_weights(a, b, goal, paths, RIDGE))
    assert loss((a, b, goal, paths), one) == pytest.approx(
        loss((a, b, goal, paths), matching_weights(a, b, 100 * goal, 100 * paths, RIDGE)), rel=1e-6
    )
