"""Logistic regression by iteratively reweighted least squares, one at a time or many that share their controls.

Staggered designs need one propensity score per cohort and control group. They differ in a handful of treated
units, so they are fitted together: :func:`newton` takes sums over the rows they share from its caller and adds those
over the treated outside. :mod:`g287stats.numerics.propensities` and ``cross_sections`` are the callers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

DECREMENT = 1e-9
"""Convergence: the last step's squared length in units of the coefficients' own standard errors, as they are when the
treated weigh one each. Newton's method converges quadratically, so the distance left after that step is of the order
of this number itself."""

CERTAIN = 1e-6
"""Separated: the treated are fitted as treated with certainty, up to this share of them …"""
MOVING = 0.01
"""… or the log odds of a treated unit still rise by this share of themselves in the last step (towards infinity
Newton's method goes about one per step, towards a maximum the steps vanish) …"""
FLAT = 1e-9
"""… or the likelihood is flat in a direction in which the treated differ (eigenvalue of the correlation form of the
Hessian, of regressors less their means among the treated)."""

ALIKE = 1e-5
"""Share of the largest regressor up to which treated units do not differ in a direction."""

MAX_ITERATIONS = 60
BLOCK = 1 << 16
"""Elements of one temporary array; small enough to stay in cache."""


def rows_at_once(n: int) -> int:
    """Rows of length n handled together: temporaries stay in cache."""
    return max(1, BLOCK // max(n, 1))


def outer_rows(x: np.ndarray) -> np.ndarray:
    """Products of all pairs of rows of ``x`` (p × n): (p², n)."""
    p, n = x.shape
    return (x[:, None, :] * x[None, :, :]).reshape(p * p, n)


class Treated:
    """The successes of K logits.

    Parameters
    ----------
    case
        (J,) ascending from 0, leaving none out: success j belongs to logit ``case[j]``.
    x, w
        (p, J) regressors, the first row ones, and (J,) weights.
    outside
        (J,) whether it is not among the rows that the logits share.
    """

    def __init__(self, case: np.ndarray, x: np.ndarray, w: np.ndarray, outside: np.ndarray):
        self.case, self.x, self.w = case, x, w
        self.heads = np.flatnonzero(np.concatenate([[True], case[1:] != case[:-1]]))
        self.total = np.add.reduceat(x * w, self.heads, axis=1).T
        self.outside = outside
        self.lightness = np.minimum(self.total[:, 0] / np.diff(np.append(self.heads, len(case))), 1.0)
        self._products = outer_rows(x) * w

    def cold(self, shared: float | np.ndarray) -> np.ndarray:
        """Start (K, p) at the weighted share of treated and zero slopes; ``shared`` is the weight of shared rows."""
        share = self.total[:, 0] / (shared + np.add.reduceat(self.w * self.outside, self.heads))
        coef = np.zeros_like(self.total)
        coef[:, 0] = np.log(share / np.maximum(1 - share, 1e-12))
        return coef

    def log_odds(self, coef: np.ndarray) -> np.ndarray:
        """Each at the coefficients (K, p) of its logit, (J,)."""
        return np.einsum("jp,pj->j", coef.take(self.case, axis=0), self.x)

    def sums(self, coef: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Σ w p x (K, p) and Σ w p (1 − p) x x' (K, p, p) over those outside."""
        p = len(self.x)
        prob = sigmoid(self.log_odds(coef))
        part = self._products * (prob * self.outside)
        score = np.add.reduceat(part[:p], self.heads, axis=1).T
        part *= np.subtract(1.0, prob, out=prob)
        return score, np.add.reduceat(part, self.heads, axis=1).T.reshape(-1, p, p)

    def told_apart(self, coef: np.ndarray, last: np.ndarray, hessian: np.ndarray) -> np.ndarray:
        """Whether some combination of regressors tells successes, all or a few, apart from the other rows: (K,).

        ``last`` is the step that led to ``coef``. Then no finite maximum exists. The reverse, failures unlike any
        success, is no reason: their odds are zero in the limit, which is the weight they should have.
        """
        eta = self.log_odds(coef)
        out = np.zeros(len(coef), dtype=bool)
        out[self.case[self.log_odds(last) > MOVING * np.maximum(eta, 1.0)]] = True
        lost = self.total[:, 0] - np.add.reduceat(sigmoid(eta) * self.w, self.heads)
        out |= lost < CERTAIN * self.total[:, 0]
        ends = np.append(self.heads, len(self.case))
        for k in np.flatnonzero(deficient(hessian, FLAT)):
            mine = slice(ends[k], ends[k + 1])
            out[k] |= flat(hessian[k], self.x[:, mine], self.w[mine])
        return out


def newton(
    coef: np.ndarray,
    treated: Treated,
    shared: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    alone: Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit K logits at once from ``coef`` (K, p), which is changed in place.

    ``shared(coef, cases)`` returns Σ w p x (k, p) and Σ w p (1 − p) x x' (k, p, p) over the shared rows of some cases;
    ``alone(k)`` the x, success and w of all rows of one case, as :func:`logit` takes them: a case whose steps do not
    lead to a maximum is fitted alone with damped ones.

    Returns
    -------
    tuple
        The last steps (K, p), zero for cases fitted alone; the Hessians where these steps began (K, p, p); which cases
        were found separated when fitted alone (K,). For the others ask :meth:`Treated.told_apart`.
    """
    hessian, last = np.zeros((len(coef), *coef.shape[1:] * 2)), np.zeros_like(coef)
    failed = np.zeros(len(coef), dtype=bool)
    open_ = np.arange(len(coef))
    for _ in range(MAX_ITERATIONS):
        score, gram = shared(coef[open_], open_)
        if treated.outside.any():
            more = treated.sums(coef)
            score, gram = score + more[0][open_], gram + more[1][open_]
        score = treated.total[open_] - score
        step, singular = solve_each(gram, score)
        decrement = np.einsum("kp,kp->k", step, score)
        hessian[open_] = gram
        if not np.abs(step).max() < 1e3 or singular.any():
            bad = singular | ~(np.abs(step) < 1e3).all(axis=1)
            failed[open_[bad]] = True
            open_, step, decrement = open_[~bad], step[~bad], decrement[~bad]
        coef[open_] += step
        last[open_] = step
        open_ = open_[decrement > DECREMENT * treated.lightness[open_]]
        if not len(open_):
            break
    failed[open_] = True
    for k in np.flatnonzero(failed).tolist():  # Newton without damping can overshoot: only a damped fit may refuse
        coef[k], hessian[k], failed[k] = logit(*alone(k))
        last[k] = 0.0
    return last, hessian, failed


def logit(x: np.ndarray, success: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """Fit one logit by Newton's method with step halving.

    ``x`` is (p, n) with a first row of ones, ``success`` 0/1, ``w`` positive weights. Returns coefficients (p,),
    Hessian (p, p) and whether successes are separated (see :meth:`Treated.told_apart`).
    """
    centre = x @ (w * success) / (w @ success)
    centre[0] = 0.0
    coef, hessian, separated = _logit(x - centre[:, None], success, w)
    coef[0] -= centre @ coef
    back = np.eye(len(x))
    back[1:, 0] = centre[1:]
    return coef, back @ hessian @ back.T, separated


def _logit(x: np.ndarray, success: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """The same for regressors measured from their means among the successes."""
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
    enough = DECREMENT * min(float(w[success > 0].mean()), 1.0)
    h = np.zeros((p, p))
    for _ in range(2 * MAX_ITERATIONS):
        prob = sigmoid(coef @ x)
        h = (x * (w * prob * (1 - prob))) @ x.T
        score = x @ (w * (success - prob))
        if not np.isfinite(h).all():
            return coef, scale * h, True
        step = solve_flat(h[None], score[None])
        decrement = float(step[0] @ score)
        if decrement < enough and (step[0] @ treated > MOVING * np.maximum(coef @ treated, 1.0)).any():
            return coef, scale * h, True
        size = 1.0
        while value(coef + size * step[0]) < current - 1e-12 * abs(current) and size > 1e-6:
            size /= 2
        coef = coef + size * step[0]
        current = value(coef)
        if decrement < DECREMENT * enough:  # alone, one more step costs nothing and leaves the Hessian exact
            lost = w[success > 0] @ (1 - sigmoid(coef @ treated))
            return coef, scale * h, flat(h, treated, w[success > 0]) or bool(lost < CERTAIN * (w @ success))
    return coef, scale * h, True


def flat(hessian: np.ndarray, treated: np.ndarray, w: np.ndarray) -> bool:
    """Whether the likelihood with this Hessian (p, p) is flat in a direction in which successes ``treated`` differ.

    Then those that differ are fitted with certainty. Failures unlike any success leave it flat in a direction in which
    all successes (p, J) are alike, which is no separation. Regressors are measured from their means among the
    successes, weighted by ``w``, and each by its own curvature.
    """
    centre = treated @ w / w.sum()
    shift = np.eye(len(hessian))
    shift[1:, 0] = -centre[1:]
    curved = shift @ hessian @ shift.T
    size = np.sqrt(np.maximum(np.diag(curved), 0.0))
    scale = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
    value, vector = np.linalg.eigh(curved * scale[:, None] * scale)
    z = (shift @ treated) * scale[:, None]
    z[scale == 0] = 0.0
    moved = np.abs(vector[:, value < FLAT].T @ z)
    return bool(moved.size and moved.max() > ALIKE * np.abs(z).max()) or not np.isfinite(curved).all()


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


def solve_flat(gram: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve many small symmetric systems, one that is singular in a direction in which nothing happens without it."""
    out, singular = solve_each(gram, right)
    for k in np.flatnonzero(singular):
        size = np.sqrt(np.maximum(np.diag(gram[k]), 0.0))
        scale = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
        inverse = np.linalg.pinv(gram[k] * scale[:, None] * scale, rcond=1e-12, hermitian=True)
        out[k] = scale * (inverse @ (scale * right[k]))
    return out
