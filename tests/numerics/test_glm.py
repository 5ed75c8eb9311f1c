"""Logits: against statsmodels, against each other, and where no maximum exists."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import linprog

from g287stats.numerics.glm import deficient, logit, outer_rows, shared_logits


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


@pytest.mark.parametrize("n_shared", [400, 330])
@pytest.mark.parametrize("warm", [False, True])
def test_shared_logits_are_the_separate_ones(n_shared, warm):
    """Treated units inside the shared columns (0–39 …) and outside (from n_shared on)."""
    x, w, rng = data()
    groups = [np.arange(k * 7, k * 7 + 7) for k in range(8)] + [
        np.arange(n_shared + k * 5, n_shared + 5 + k * 5) for k in range(13)
    ]
    groups = [g for g in groups if g[-1] < 400]
    case, unit = np.repeat(np.arange(len(groups)), [len(g) for g in groups]), np.concatenate(groups)
    start = rng.normal(scale=0.3, size=(len(groups), 3)) - [4, 0, 0] if warm else None
    fitted = shared_logits(x, w, n_shared, case, unit, len(groups), start)
    assert not fitted.separated.any()
    for k, group in enumerate(groups):
        members = np.union1d(np.arange(n_shared), group)
        coef, _, _ = logit(x[:, members], np.isin(members, group).astype(float), w[members])
        np.testing.assert_allclose(fitted.coef[k], coef, atol=1e-9)


def test_a_bad_start_is_rescued():
    x, w, _ = data()
    case, unit = np.zeros(30, dtype=int), np.arange(0, 300, 10)
    good = shared_logits(x, w, 400, case, unit, 1)
    bad = shared_logits(x, w, 400, case, unit, 1, np.array([[9.0, -30.0, 30.0]]))
    assert not bad.separated.any()
    np.testing.assert_allclose(bad.coef, good.coef, atol=1e-9)


def test_separation_is_found_and_rare_treatment_is_not():
    x, w, _ = data()
    top = np.argsort(-x[1])[:12]
    one = np.argsort(np.abs(x[1:]).sum(axis=0))[:1]  # one treated unit in the middle: extreme, but a maximum exists
    case, unit = np.repeat([0, 1], [12, 1]), np.concatenate([top, one])
    fitted = shared_logits(x, w, 400, case, unit, 2)
    assert fitted.separated.tolist() == [True, False]
    for group, separated in ((top, True), (one, False)):
        d = np.zeros(400)
        d[group] = 1
        coef, _, found = logit(x, d, w)
        assert found is separated
        if not separated:
            np.testing.assert_allclose(coef, by_statsmodels(x, d, w).params, atol=1e-7)
    quasi = np.vstack([x, np.isin(np.arange(400), top)])  # an indicator true for treated units only
    d = np.isin(np.arange(400), np.r_[top, 50:80]).astype(float)
    assert logit(quasi, d, w)[2]


def told_apart(x, d):
    """By linear programming: no treated unit below the hyperplane, no control above, some treated unit off it."""
    sign = np.where(d > 0, 1, -1)
    solved = linprog(-x[:, d > 0].sum(axis=1), A_ub=-(sign * x).T, b_ub=np.zeros(len(d)), bounds=(-1, 1))
    return -solved.fun > 1e-7


def both(x, d, w):
    """Separation as found alone and with shared controls."""
    unit = np.flatnonzero(d)
    return logit(x, d, w)[2], shared_logits(x, w, len(d), np.zeros(len(unit), dtype=int), unit, 1).separated[0]


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
        if np.linalg.matrix_rank(x[:, d == 0]) < k + 1 or not d.any():
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
