"""Logits: against statsmodels, against each other, and where no maximum exists."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import linprog

from g287stats.numerics.glm import Treated, deficient, logit, newton, outer_rows
from g287stats.numerics.propensities import Comparisons, Layout, Monomials, Panel, reweighted


def data(n=400, p=3, seed=1):
    rng = np.random.default_rng(seed)
    x = np.vstack([np.ones(n), rng.normal(size=(p - 1, n))])
    return x, rng.uniform(0.5, 2, n), rng


def by_statsmodels(x, d, w):
    model = sm.GLM(d, x.T, family=sm.families.Binomial(), freq_weights=w)
    return model.fit(tol=1e-14, maxiter=100)


def test_one_logit_is_statsmodels():
    x, w, rng = data()
    d = (rng.uniform(size=400) < 1 / (1 + np.exp(2 - x[1]))).astype(float)
    coef, hessian, separated = logit(x, d, w)
    peer = by_statsmodels(x, d, w)
    np.testing.assert_allclose(coef, peer.params, atol=1e-10)
    np.testing.assert_allclose(np.linalg.inv(hessian), peer.cov_params(), atol=1e-9)
    assert not separated


def cells_of(groups, n_control):
    """One cell in one set of controls for every group; outcomes do not matter."""
    zero = np.zeros(len(groups), dtype=int)
    return Comparisons(np.asarray(groups), zero + 1, zero, np.broadcast_to(n_control, len(groups)), zero)


def spans_of(x, w, start, stop):
    y = np.random.default_rng(0).normal(size=(2, x.shape[1]))
    return Panel(y, x[None], w, np.asarray(start), np.asarray(stop))


def brute(panel, group, n):
    """Coefficients, and the sums over controls at them, of one group."""
    x, w = panel.x[0], panel.w
    own = np.arange(panel.start[group], panel.stop[group])
    rows = np.union1d(np.arange(n), own)
    coef, _, _ = logit(x[:, rows], np.isin(rows, own).astype(float), w[rows])
    controls = np.setdiff1d(np.arange(n), own)
    xc, o = x[:, controls], np.exp(coef @ x[:, controls]) * w[controls]
    p = 1 / (1 + np.exp(-coef @ x[:, rows]))
    change = panel.y[1] - panel.y[0]
    return {
        "coef": coef,
        "moments": (xc * o) @ xc.T,
        "hessian": (x[:, rows] * (w[rows] * p * (1 - p))) @ x[:, rows].T,
        "kish": o @ o,
        "largest": (o / w[controls] / (1 + o / w[controls])).max(),
        "change": xc @ (o * change[controls]),
    }


@pytest.mark.parametrize("p", [2, 3, 6, 8])
@pytest.mark.parametrize("sizes", [(400,), (400, 380, 379, 300)])
def test_propensities_and_their_sums_are_those_of_each_group_alone(p, sizes):
    """Treated units inside the shared columns and outside, cold and after units have left."""
    x, w, _ = data(p=p)
    start = np.r_[np.arange(8) * 7, 400 - 13 * 5 + np.arange(13) * 5]
    panel = spans_of(x, w, start, start + np.r_[np.full(8, 7), np.full(13, 5)])
    cells = cells_of(np.tile(np.arange(21), len(sizes)), np.repeat(sizes, 21))
    layout = Layout(cells)
    found = reweighted(panel, layout)
    assert not found.separated.any()
    for j, cell in enumerate(layout.order):
        expected = brute(panel, cells.group[cell], cells.n_control[cell])
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(found, name)[j], value, rtol=2e-9, atol=1e-9, err_msg=name)


def test_monomials_are_every_product_once():
    x, w, _ = data(p=4)
    positions = Monomials.of(4)
    assert len(positions) == 20 and Monomials.of(7).three is None and len(Monomials.of(7)) == 28
    values = positions.values(x, w)
    np.testing.assert_allclose(values[:4], x * w)
    for a, b, c in np.ndindex(4, 4, 4):
        np.testing.assert_allclose(values[positions.three[a, b, c]], w * x[a] * x[b] * x[c], atol=1e-15)
        np.testing.assert_allclose(values[positions.two[a, b]], w * x[a] * x[b], atol=1e-15)
    assert positions.two.max() == 9


def test_a_bad_start_is_rescued():
    x, w, _ = data()
    own = np.arange(0, 300, 10)
    d = np.isin(np.arange(400), own) * 1.0
    treated = Treated(np.zeros(30, dtype=int), x[:, own], w[own], np.zeros(30, dtype=bool))

    def shared(coef, _):
        with np.errstate(over="ignore"):
            p = 1 / (1 + np.exp(-coef @ x))
        return (p * w) @ x.T, np.einsum("kn,an,bn->kab", p * (1 - p) * w, x, x)

    coef = np.array([[9.0, -30.0, 30.0]])
    _, _, failed = newton(coef, treated, shared, lambda k: (x, d, w))
    assert not failed.any()
    np.testing.assert_allclose(coef[0], logit(x, d, w)[0], atol=1e-9)


def test_separation_is_found_and_rare_treatment_is_not():
    x, w, _ = data()
    top = np.argsort(-x[1])[:12]
    one = np.argsort(np.abs(x[1:]).sum(axis=0))[:1]  # one treated unit in the middle: extreme, but a maximum exists
    for group, separated in ((top, True), (one, False)):
        d = np.zeros(400)
        d[group] = 1
        coef, _, found = logit(x, d, w)
        assert found is separated
        assert both(x, d, w) == (separated, separated)
        if not separated:
            np.testing.assert_allclose(coef, by_statsmodels(x, d, w).params, atol=1e-7)
    quasi = np.vstack([x, np.isin(np.arange(400), top)])  # an indicator true for treated units only
    d = np.isin(np.arange(400), np.r_[top, 50:80]).astype(float)
    assert logit(quasi, d, w)[2]


def test_separated_groups_do_not_disturb_the_others():
    """One group told apart among five, in every set of controls: the rest is as without it."""
    x, w, _ = data()
    x = x[:, np.argsort(-np.abs(x[1]), kind="stable")]
    x[1, 395:] = 40.0
    panel = spans_of(x, w, 375 + 5 * np.arange(5), 380 + 5 * np.arange(5))
    sizes = (370, 360, 350)
    with_it = Layout(cells_of(np.tile(np.arange(5), 3), np.repeat(sizes, 5)))
    without = Layout(cells_of(np.tile(np.arange(4), 3), np.repeat(sizes, 4)))
    a, b = reweighted(panel, with_it), reweighted(panel, without)
    assert a.separated.tolist() == [False] * 4 + [True] + [False] * 4 + [True] + [False] * 4 + [True]
    for name in ("coef", "moments", "hessian", "change"):
        np.testing.assert_allclose(getattr(a, name)[~a.separated], getattr(b, name), rtol=1e-9, atol=1e-9)


def told_apart(x, d):
    """By linear programming: no treated unit below the hyperplane, no control above, some treated unit off it."""
    sign = np.where(d > 0, 1, -1)
    solved = linprog(-x[:, d > 0].sum(axis=1), A_ub=-(sign * x).T, b_ub=np.zeros(len(d)), bounds=(-1, 1))
    return -solved.fun > 1e-7


def both(x, d, w):
    """Separation as found alone and with shared controls."""
    order, n = np.argsort(d, kind="stable"), len(d)  # treated last, yet among the shared columns
    panel = spans_of(x[:, order], w[order], [n - int(d.sum())], [n])
    return logit(x, d, w)[2], reweighted(panel, Layout(cells_of([0], n))).separated[0]


@pytest.mark.parametrize("size", [5, 50, 1000])
@pytest.mark.parametrize("unit", [1.0, 1e4, 1e-4])
def test_groups_ten_apart_are_separated(size, unit):
    z = np.random.default_rng(size).normal(size=size)
    d = np.repeat([0.0, 1.0], size)
    x = np.vstack([np.ones(2 * size), unit * np.r_[z, z + 10]])
    for weight in (1.0, 1e4):
        assert both(x, d, np.full(2 * size, weight)) == (True, True)
    far = x[:, size - 1 :]  # one control, and one treated unit a long way off
    assert both(far, d[size - 1 :], np.ones(size + 1)) == (True, True)
    assert both(x[:, : size + 1], d[: size + 1], np.ones(size + 1)) == (True, True)


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e-3])
@pytest.mark.parametrize("count", [1, 3, 20])
def test_a_few_treated_told_apart_are_separated_and_controls_are_not(scale, count):
    """An indicator of some treated units has no finite coefficient; one of some controls gives them odds of zero."""
    rng = np.random.default_rng(count)
    z, d = rng.normal(size=200), (rng.random(200) < 0.4) * 1.0
    for value, separated in ((1.0, True), (0.0, False)):
        some = np.zeros(200)
        some[np.flatnonzero(d == value)[:count]] = scale
        assert both(np.vstack([np.ones(200), z, some]), d, np.ones(200)) == (separated, separated)


@pytest.mark.parametrize("recode", [lambda v: 1 - v, lambda v: v + 3, lambda v: 5 * v - 3])
def test_separation_does_not_depend_on_where_zero_is(recode):
    """An indicator of controls, of some treated, of all treated, of none in particular, coded one way or another."""
    rng = np.random.default_rng(4)
    n = 300
    z, d = rng.normal(size=n), (rng.random(n) < 0.2) * 1.0
    cases = {
        "controls": ((d == 0) & (rng.random(n) < 0.5), False),
        "some treated": ((d == 1) & (rng.random(n) < 0.5), True),
        "all treated": (d == 1, True),
        "both": (rng.random(n) < 0.5, False),
    }
    for name, (some, separated) in cases.items():
        for values in (some * 1.0, recode(some * 1.0)):
            x = np.vstack([np.ones(n), z, values])
            assert both(x, d, np.ones(n)) == (separated, separated), name


@pytest.mark.parametrize("combine", [lambda a, b: (a, b), lambda a, b: (a, a - b), lambda a, b: (a + b, a + 3 * b)])
def test_controls_unlike_any_treated_in_a_combination_are_no_separation(combine):
    """Nested indicators: no treated unit in the south off the border, and some controls there."""
    rng = np.random.default_rng(3)
    n = 400
    d = (rng.random(n) < 0.2) * 1.0
    south = rng.random(n) < 0.6
    border = south & ((rng.random(n) < 0.5) | (d == 1))
    x = np.vstack([np.ones(n), rng.normal(size=n), *combine(south * 1.0, border * 1.0)])
    assert both(x, d, np.ones(n)) == (False, False)


def test_separation_is_what_linear_programming_finds():
    found = {True: 0, False: 0}
    for seed in range(250):
        rng = np.random.default_rng(seed)
        n, k = int(rng.integers(8, 60)), int(rng.integers(1, 4))
        values = rng.normal(size=(k, n)) if seed % 2 else rng.integers(0, 3, size=(k, n)).astype(float)
        if seed % 5 == 0:
            values[0] = np.exp(2 * values[0])  # outliers: fitted probabilities of one with a finite maximum
        x = np.vstack([np.ones(n), values])
        with np.errstate(over="ignore"):
            d = (rng.random(n) < 1 / (1 + np.exp(-x[1] * rng.normal() * 2 + 1))) * 1.0
        if d.all() or not d.any() or np.linalg.matrix_rank(x[:, d == 0]) < k + 1:
            continue
        truth = told_apart(x, d)
        if not truth and told_apart(x, 1 - d):
            continue  # controls told apart: either answer will do
        found[truth] += 1
        assert both(x, d, rng.uniform(0.2, 3, n)) == (truth, truth), seed
    assert min(found.values()) > 15


def test_deficient_is_free_of_units():
    x, _, _ = data()
    gram = x @ x.T
    scale = np.diag([1.0, 1e6, 1e-5])
    assert not deficient(np.array([gram, scale @ gram @ scale]), 1e-12).any()
    flat = np.vstack([x, x[1] - 2 * x[2]])
    assert deficient((flat @ flat.T)[None], 1e-12).all()
    assert deficient(np.zeros((1, 2, 2)), 1e-12).all()
    assert deficient(np.full((1, 2, 2), np.nan), 1e-12).all()


def test_outer_rows():
    x = np.array([[1.0, 2], [3, 4]])
    np.testing.assert_array_equal(outer_rows(x), [[1, 4], [3, 8], [3, 8], [9, 16]])
