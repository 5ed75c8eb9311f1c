"""Logistic regression by iteratively reweighted least squares, one at a time or many that share their controls.

Staggered designs need one propensity score per cohort and control group. They differ in a handful of treated
units, so they are fitted together: one matrix product gives the linear predictors of all of them, another all
their Hessians, and a fit starts from the coefficients of the neighbouring control group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

DECREMENT = 1e-9
"""Convergence: the last step's squared length in units of the coefficients' own standard errors. Newton's method
converges quadratically, so the distance left after that step is of the order of this number itself."""

CERTAIN = 1e-6
"""Separated: the treated are fitted as treated with certainty, up to this share of them …"""
MOVING = 0.01
"""… or the log odds of a treated unit still rise by this share of themselves in the last step (towards infinity
Newton's method goes about one per step, towards a maximum the steps vanish) …"""
FLAT = 1e-9
"""… or the likelihood is flat in some direction (smallest eigenvalue of the correlation form of the Hessian)."""

MAX_ITERATIONS = 60
BLOCK = 1 << 16
"""Elements of one temporary array; small enough to stay in cache."""


@dataclass(frozen=True)
class Logits:
    """K fitted logits.

    Attributes
    ----------
    coef
        (K, p) coefficients.
    separated
        (K,) True where no finite maximum exists because some combination of covariates tells treated units, all or
        a few, apart from the others. The reverse, controls unlike any treated unit, is no reason: their odds are zero
        in the limit, which is the weight they should have.
    """

    coef: np.ndarray
    separated: np.ndarray


def rows_at_once(n: int, p: int) -> int:
    """Rows of length n handled together: temporaries stay in cache, products with the p² moments in one thread."""
    return max(1, BLOCK // max(n, 1) * 4 // max(4, p * p))


def outer_rows(x: np.ndarray) -> np.ndarray:
    """Products of all pairs of rows of ``x`` (p × n): (p², n)."""
    p, n = x.shape
    return (x[:, None, :] * x[None, :, :]).reshape(p * p, n)


def shared_logits(
    x: np.ndarray,
    w: np.ndarray,
    n_shared: int,
    case: np.ndarray,
    unit: np.ndarray,
    n_cases: int,
    start: np.ndarray | None = None,
    *,
    products: np.ndarray | None = None,
    room: np.ndarray | None = None,
) -> Logits:
    """Fit ``n_cases`` logits that share the first ``n_shared`` columns of ``x``.

    Parameters
    ----------
    x
        (p, n) regressors, one column per unit, the first row ones.
    w
        (n,) positive weights.
    n_shared
        Columns 0 … n_shared−1 enter every logit, as failures unless listed as treated.
    case, unit
        Flat lists of the treated: unit ``unit[j]`` is a success in logit ``case[j]``. It may lie among the shared
        columns (a later cohort among the not yet treated) or outside. ``case`` ascends from 0 and leaves none out.
    start
        (K, p) starting values; where NaN and by default the weighted share of treated and zero slopes.
    products
        ``outer_rows(x) * w``, when made before.
    room
        Memory for temporaries, some multiple of ``n_shared`` elements.
    """
    p = len(x)
    xs = x[:, :n_shared]
    ww = outer_rows(xs) * w[:n_shared] if products is None else products[:, :n_shared]  # the first p rows are w x
    if room is None:
        room = np.empty(min(rows_at_once(n_shared, p), n_cases) * n_shared)
    rows = min(len(room) // n_shared, n_cases)

    def shared(coef: np.ndarray, _: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sums, squares = np.empty((2, len(coef), p * p))
        for lo in range(0, len(coef), rows):
            some = slice(lo, lo + rows)
            prob = room[: len(coef[some]) * n_shared].reshape(-1, n_shared)
            sigmoid(np.matmul(coef[some], xs, out=prob))
            np.matmul(prob, ww.T, out=sums[some])
            prob *= prob
            np.matmul(prob, ww.T, out=squares[some])
        return sums, squares

    def alone(k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        members = np.unique(np.concatenate([np.arange(n_shared), unit[case == k]]))
        return x[:, members], np.isin(members, unit[case == k]).astype(float), w[members]

    outside = np.where(unit >= n_shared, w[unit], 0.0)
    treated = Treated(case, x[:, unit], w[unit], outside)
    coef = treated.cold(w[:n_shared].sum(), n_cases) if start is None or np.isnan(start).any() else start.copy()
    if start is not None:
        known = ~np.isnan(start).any(axis=1)
        coef[known] = start[known]
    return newton(coef, treated, shared, alone)


@dataclass(frozen=True)
class Treated:
    """The successes of K logits: flat, ``case`` ascending from 0 and leaving none out.

    ``x`` (p, J), weights ``w`` (J,), and ``outside`` (J,) the same weights, zero for those among the shared rows.
    """

    case: np.ndarray
    x: np.ndarray
    w: np.ndarray
    outside: np.ndarray

    def cold(self, shared: float | np.ndarray, n_cases: int) -> np.ndarray:
        """Start (K, p) at the weighted share of treated and zero slopes; ``shared`` is the weight of shared rows."""
        heads = np.searchsorted(self.case, np.arange(n_cases))
        share = np.add.reduceat(self.w, heads) / (shared + np.add.reduceat(self.outside, heads))
        coef = np.zeros((n_cases, len(self.x)))
        coef[:, 0] = np.log(share / np.maximum(1 - share, 1e-12))
        return coef


def newton(
    coef: np.ndarray,
    treated: Treated,
    shared: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    alone: Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> Logits:
    """Fit K logits at once from ``coef`` (K, p).

    ``shared(coef, cases)`` returns Σ w p x x' and Σ w p² x x' over the shared rows of some cases, (k, p²) each;
    ``alone(k)`` the x, success and w of all rows of one case, as :func:`logit` takes them.
    """
    n_cases, p = coef.shape
    case = treated.case
    heads = np.searchsorted(case, np.arange(n_cases))
    total = np.add.reduceat(treated.x * treated.w, heads, axis=1).T
    outside = outer_rows(treated.x) * treated.outside if treated.outside.any() else None
    hessian = np.zeros((n_cases, p, p))
    last = np.zeros((n_cases, p))
    open_ = np.arange(n_cases)
    separated = np.zeros(n_cases, dtype=bool)
    for _ in range(MAX_ITERATIONS):
        sums, squares = shared(coef[open_], open_)
        if outside is not None:
            prob = sigmoid(np.einsum("jp,pj->j", coef[case], treated.x))
            part = outside * prob
            sums += np.add.reduceat(part, heads, axis=1).T[open_]
            part *= prob
            squares += np.add.reduceat(part, heads, axis=1).T[open_]
        score = total[open_] - sums[:, :p]
        grams = (sums - squares).reshape(-1, p, p)
        hessian[open_] = grams
        step, singular = solve_each(grams, score)
        decrement = np.einsum("kp,kp->k", step, score)
        bad = singular | ~np.isfinite(decrement) | (np.abs(step) > 1e3).any(axis=1)
        coef[open_[~bad]] += step[~bad]
        last[open_[~bad]] = step[~bad]
        separated[open_[bad]] = True
        open_ = open_[~bad & (decrement > DECREMENT)]
        if not len(open_):
            break
    separated[open_] = True
    for k in np.flatnonzero(separated).tolist():  # Newton without damping can overshoot: only a damped fit may refuse
        coef[k], hessian[k], separated[k] = logit(*alone(k))
        last[k] = 0.0
    eta = np.einsum("jp,pj->j", coef[case], treated.x)
    separated[case[np.einsum("jp,pj->j", last[case], treated.x) > MOVING * np.maximum(eta, 1.0)]] = True
    lost = total[:, 0] - np.add.reduceat(sigmoid(eta) * treated.w, heads)
    separated |= (lost < CERTAIN * total[:, 0]) | deficient(hessian, FLAT)
    return Logits(coef, separated)


def logit(x: np.ndarray, success: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """Fit one logit by Newton's method with step halving.

    ``x`` is (p, n) with a first row of ones, ``success`` 0/1, ``w`` positive weights. Returns coefficients (p,),
    Hessian (p, p) and whether successes are separated (see :class:`Logits`).
    """
    p = len(x)
    scale = w.mean()
    w = w / scale
    share = np.clip(success @ w / w.sum(), 1e-12, 1 - 1e-12)
    coef = np.zeros(p)
    coef[0] = np.log(share / (1 - share))
    treated = x[:, success > 0]

    def value(b: np.ndarray) -> float:
        eta = b @ x
        return float(w @ (success * eta - np.logaddexp(0, eta)))

    current = value(coef)
    h = np.zeros((p, p))
    for _ in range(2 * MAX_ITERATIONS):
        prob = sigmoid(coef @ x)
        h = (x * (w * prob * (1 - prob))) @ x.T
        score = x @ (w * (success - prob))
        step, singular = solve_each(h[None], score[None])
        if singular[0]:
            return coef, scale * h, True
        decrement = float(step[0] @ score)
        if decrement < DECREMENT and (step[0] @ treated > MOVING * np.maximum(coef @ treated, 1.0)).any():
            return coef, scale * h, True
        size = 1.0
        while value(coef + size * step[0]) < current - 1e-12 * abs(current) and size > 1e-6:
            size /= 2
        coef = coef + size * step[0]
        current = value(coef)
        if decrement < DECREMENT**2:  # alone, one more step costs nothing and leaves the Hessian exact
            lost = w[success > 0] @ (1 - sigmoid(coef @ treated))
            return coef, scale * h, bool(deficient(h[None], FLAT)[0] or lost < CERTAIN * (w @ success))
    return coef, scale * h, True


def deficient(gram: np.ndarray, tolerance: float) -> np.ndarray:
    """Which of the Gram matrices (K, p, p) are singular, judged free of the units of the columns."""
    out = np.zeros(len(gram), dtype=bool)
    diagonal = np.einsum("kpp->kp", gram)
    with np.errstate(over="ignore", invalid="ignore"):  # Hadamard: det ≤ product of the diagonal
        sound = (diagonal > 0).all(axis=1) & (np.linalg.det(gram) > 1e-4 * diagonal.prod(axis=1))
    suspect = np.flatnonzero(~sound)
    if len(suspect):
        diagonal, gram = diagonal[suspect], gram[suspect]
        lost = ~(diagonal > 0).all(axis=1) | ~np.isfinite(gram).all(axis=(1, 2))
        scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        correlation = gram / scale[:, :, None] / scale[:, None, :]
        correlation[lost] = np.eye(gram.shape[1])
        out[suspect] = lost | (np.linalg.eigvalsh(correlation)[:, 0] < tolerance)
    return out


def sigmoid(eta: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(−eta)), in place."""
    np.negative(eta, out=eta)
    with np.errstate(over="ignore"):
        np.exp(eta, out=eta)
    eta += 1.0
    return np.divide(1.0, eta, out=eta)


def solve_each(gram: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solve many small symmetric systems; singular ones are flagged and get a zero solution."""
    try:
        return np.linalg.solve(gram, right[:, :, None])[:, :, 0], np.zeros(len(gram), dtype=bool)
    except np.linalg.LinAlgError:
        singular = deficient(gram, 1e-14)
        safe = np.where(singular[:, None, None], np.eye(gram.shape[1]), gram)
        out = np.linalg.solve(safe, right[:, :, None])[:, :, 0]
        return np.where(singular[:, None], 0.0, out), singular
