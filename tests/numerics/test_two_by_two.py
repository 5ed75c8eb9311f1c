"""Long differences: all cells together against each alone, and how little is done twice."""

import numpy as np
import pytest

from g287stats.numerics import propensities
from g287stats.numerics.two_by_two import Comparisons, Panel, fit, influence

SIZES = (150, 60, 20, 40, 10, 30)  # never treated, then groups 0 … 4, the latest treated first


def panel(p, weighted, versions, seed=1):
    rng = np.random.default_rng(seed)
    n, periods = sum(SIZES), 7
    ends = np.cumsum(SIZES)
    group = np.repeat(np.arange(6), SIZES)
    x = rng.normal(size=(versions, p, n)) + 8.0  # far from zero: the constant is no centre
    x += 0.1 * group
    x[:, 0] = 1.0
    w = rng.uniform(0.5, 2, n) if weighted else np.ones(n)
    return Panel(rng.normal(size=(periods, n)).cumsum(axis=0) + x[0].sum(axis=0), x, w, ends[:-1], ends[1:])


def comparisons(versions):
    """Every group in every pair of neighbouring periods; with time more and more groups leave the controls."""
    t, group = (a.ravel() for a in np.meshgrid(np.arange(1, 7), np.arange(5), indexing="ij"))
    left = np.array([310, 310, 280, 230, 230, 150])  # a seventh to half of the controls leave at once
    return Comparisons(group, t, t - 1, left[t - 1], (t - 1) % versions)


@pytest.mark.parametrize("method", ["dr", "ipw", "reg"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("versions", [1, 3])
def test_cells_together_are_the_cells_alone(method, weighted, versions):
    data, cells = panel(3, weighted, versions), comparisons(versions)
    found = fit(data, cells, method)
    psi = np.empty((len(cells.t), data.y.shape[1]))
    for rows, values in influence(data, cells, found, method):
        psi[rows] = values
    assert not (found.collinear | found.separated).any()
    for j in range(len(cells.t)):
        cell = cells.take(np.array([j]))
        alone = fit(data, cell, method)
        assert found.att[j] == pytest.approx(alone.att[0], abs=1e-10)
        assert found.max_propensity[j] == pytest.approx(alone.max_propensity[0], abs=1e-10)
        assert found.effective_controls[j] == pytest.approx(alone.effective_controls[0], rel=1e-9)
        ((_, own),) = influence(data, cell, alone, method)
        np.testing.assert_allclose(psi[j], own[0], atol=1e-10)


def test_a_start_from_the_units_that_left_takes_one_pass(monkeypatch):
    """A few of many controls leave at a time: after the first, sets are gone through once, now and then twice."""
    rng = np.random.default_rng(2)
    n = 3000
    starts = np.arange(2800, 3000, 20)
    x = np.vstack([np.ones(n), 8.0 + rng.normal(size=n)])
    data = Panel(rng.normal(size=(11, n)), x[None], np.ones(n), starts, starts + 20)
    t, group = (a.ravel() for a in np.meshgrid(np.arange(1, 11), np.arange(10), indexing="ij"))
    cells = Comparisons(group, t, t - 1, 3000 - 20 * (t - 1), np.zeros_like(t))
    logits = []
    newton = propensities.newton
    moved = []

    def counted(coef, treated, shared, alone):
        logits.append(0)

        def once(*arguments):
            logits[-1] += 1
            return shared(*arguments)

        found = newton(coef, treated, once, alone)
        moved.append((np.abs(found[0]) @ np.abs(x).max(axis=1)).max())
        return found

    monkeypatch.setattr(propensities, "newton", counted)
    fit(data, cells, "dr")
    assert logits[0] > 2
    assert len(logits) == 10
    assert sum(logits[1:]) <= 10
    assert sum(m <= propensities.NEAR for m in moved[1:]) >= 8  # and their sums need no other pass
