"""Least squares with weights on the simplex, solved exactly."""

from __future__ import annotations

import numpy as np

from g287stats.errors import IdentificationError

_MANY = 40
"""Controls from which a ridge problem is solved in its dual, whose size is the number of periods."""


def simplex_least_squares(a: np.ndarray, b: np.ndarray, *, ridge: float = 0.0, intercept: bool = False) -> np.ndarray:
    """Return the w ≥ 0, sum w = 1 that minimises mean((a w + w0 − b)²) + ridge · |w|², exactly.

    ``a`` is T × k, ``b`` is (T,), ``w0`` is free with ``intercept`` and zero without. Because the weights add up to
    one the problem is to find the point of smallest norm in the convex hull of k points. Two finite algorithms:

    - Wolfe's (1976): a support with positive weights is improved one point at a time until no point lowers the norm.
    - with many controls and a ridge that is not negligible, or where rounding keeps Wolfe's from an end, Newton's
      method on the dual, w_j = max(0, μ − a_j'x) in the T + 1 unknowns (x, μ): the dual is piecewise quadratic, so that
      the last step is exact. Where rounding leaves it short of that, Wolfe's algorithm goes on from its support.

    Without ridge and with k > T the minimiser need not be unique; the smallest ridge picks the one of smallest |w|.
    """
    periods, k = a.shape
    if k == 1:
        return np.ones(1)
    if intercept:
        a, b = a - a.mean(0), b - b.mean()
    points = (a - b[:, None]) / np.sqrt(periods)
    if len(points) > k:  # the norm of every combination is kept
        points = np.linalg.qr(points, mode="r")
    scale = float(np.einsum("ij,ij->j", points, points).max())
    w = None if k >= _MANY and ridge > 1e-8 * scale else wolfe(points, ridge, 5 * k)
    if w is None and ridge > 0:
        w = _dual_newton(points, ridge)
        if w is not None and not _smallest(points, ridge, w):
            w = wolfe(points, ridge, 50 * k, np.flatnonzero(w))
    if w is None:
        w = wolfe(points, ridge, 50 * k)
    if w is None:
        raise IdentificationError(f"the simplex weights of {k} controls did not settle: the controls are degenerate")
    return w


def _dual_newton(points: np.ndarray, ridge: float) -> np.ndarray | None:
    """Minimise Φ(x, μ) = ridge |x|²/2 + Σ max(0, μ − p_j'x)²/2 − μ; None when rounding stops the search early."""
    rows, k = points.shape
    p = np.vstack([points, -np.ones(k)])  # slack = −p'(x, μ), which are the weights
    penalty = np.r_[np.full(rows, ridge), 0.0]

    def value(v: np.ndarray) -> tuple[float, np.ndarray]:
        slack = np.maximum(-(v @ p), 0.0)
        return float(penalty @ v**2 + slack @ slack) / 2 - float(v[-1]), slack

    mean = points.mean(1)
    starts = np.r_[np.zeros(rows), 1 / k], np.r_[mean, (mean @ points).mean() + ridge / k] / ridge
    z = min(starts, key=lambda v: value(v)[0])
    level, slack = value(z)
    for _ in range(200):
        on = slack > 0
        active = p[:, on]
        gradient = penalty * z - active @ slack[on]
        gradient[-1] -= 1.0
        hessian = active @ active.T + np.diag(penalty)
        try:
            step = -np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            return None
        decrease = float(gradient @ step)
        size, trial = 1.0, z + step
        high, slack = value(trial)
        while high > level + 1e-4 * size * decrease + 1e-15 * abs(level):
            size /= 2
            if size < 1e-12:
                return None
            trial = z + size * step
            high, slack = value(trial)
        z, level = trial, high
        if size == 1.0 and ((slack > 0) == on).all():
            return slack / slack.sum()
    return None


def _smallest(points: np.ndarray, ridge: float, w: np.ndarray) -> bool:
    """Whether no control could lower the norm: what is true of the exact weights, up to rounding."""
    x = points @ w
    slack = points.T @ x + ridge * w
    size = float(np.einsum("ij,ij->j", points, points).max()) + ridge
    return bool(slack.min() >= float(x @ x + ridge * (w @ w)) - 1e-14 * size)


def wolfe(points: np.ndarray, ridge: float, steps: int, start: np.ndarray | None = None) -> np.ndarray | None:
    """Weights of the point of smallest norm in the convex hull of ``points`` (columns), ridge added.

    ``start`` are columns among which most of those with weight are thought to be. None when ``steps`` do not do.
    """
    rows, k = points.shape
    root = np.sqrt(ridge)
    size = np.einsum("ij,ij->j", points, points) + ridge
    tolerance = 1e-14 * max(size.max(), np.finfo(float).tiny)

    def affine(support: np.ndarray) -> np.ndarray:
        """Weights of the smallest point in the affine hull of the support."""
        m = len(support) - 1
        if not m:
            return np.ones(1)
        if ridge > 0 and m > rows:  # (P'P + ridge I) w ∝ 1 by the small side: what P cannot see of a constant
            here = points[:, support]
            v = 1.0 - here.T @ np.linalg.lstsq(here @ here.T + ridge * np.eye(rows), here.sum(1), rcond=None)[0]
            return v / v.sum()
        edges = points[:, support[1:]] - points[:, [support[0]]]
        goal = -points[:, support[0]]
        if ridge > 0:
            edges = np.vstack([edges, np.full((1, m), -root), root * np.eye(m)])
            goal = np.r_[goal, -root, np.zeros(m)]
        z = np.linalg.lstsq(edges, goal, rcond=None)[0]
        return np.r_[1.0 - z.sum(), z]

    if k <= rows + 1 or ridge > 0:  # start from the support that eliminating negative weights leaves
        support = np.arange(k) if start is None else start
        w = affine(support)
        while (w <= 0).any():
            support = support[w > 0]
            w = affine(support)
    else:
        support, w = np.array([np.argmin(size)]), np.ones(1)
    for _ in range(steps):
        x = points[:, support] @ w
        slack = points.T @ x
        slack[support] += ridge * w
        level = float(x @ x + ridge * (w @ w))
        best = int(np.argmin(slack))
        if slack[best] > level - tolerance or best in support:
            break
        support, w = np.r_[support, best], np.r_[w, 0.0]
        while True:
            target = affine(support)
            if (target > 0).all():
                w = target
                break
            blocked = target <= 0
            ratio = w[blocked] / (w[blocked] - target[blocked])
            step = float(ratio.min())
            w = (1 - step) * w + step * target
            gone = np.flatnonzero(blocked)[np.argmin(ratio)]
            stay = np.arange(len(support)) != gone
            support, w = support[stay], w[stay]
    else:
        return None
    out = np.zeros(k)
    out[support] = w
    return out / out.sum()
