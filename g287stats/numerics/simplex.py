"""Least squares with weights on the simplex, solved exactly."""

from __future__ import annotations

import numpy as np

from g287stats.errors import IdentificationError


def simplex_least_squares(a: np.ndarray, b: np.ndarray, *, ridge: float = 0.0, intercept: bool = False) -> np.ndarray:
    """Return the w ≥ 0, sum w = 1 that minimises mean((a w + w0 − b)²) + ridge · |w|², exactly.

    ``a`` is T × k, ``b`` is (T,), ``w0`` is free with ``intercept`` and zero without. Because the weights add up to
    one the problem is to find the point of smallest norm in the convex hull of k points, and Wolfe's (1976) finite
    algorithm solves it: a support with positive weights is improved one point at a time until no point lowers the
    norm. It starts from the support left by eliminating negative weights. Without ridge and with k > T the minimiser
    need not be unique.
    """
    periods, k = a.shape
    if intercept:
        a, b = a - a.mean(0), b - b.mean()
    points = (a - b[:, None]) / np.sqrt(periods)
    if ridge > 0:
        points = np.vstack([points, np.sqrt(ridge) * np.eye(k)])
    size = np.einsum("ij,ij->j", points, points)
    if k == 1:
        return np.ones(1)
    tolerance = 1e-14 * max(size.max(), np.finfo(float).tiny)

    def affine(support: np.ndarray) -> np.ndarray:
        """Weights of the smallest point in the affine hull of the support."""
        first, rest = support[0], support[1:]
        if not len(rest):
            return np.ones(1)
        z = np.linalg.lstsq(points[:, rest] - points[:, [first]], -points[:, first], rcond=None)[0]
        return np.r_[1.0 - z.sum(), z]

    support = np.arange(k)
    w = affine(support)
    while (w <= 0).any():
        support = support[w > 0]
        w = affine(support)
    for _ in range(50 * k):
        x = points[:, support] @ w
        slack = points.T @ x
        level = float(x @ x)
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
        raise IdentificationError(f"the simplex weights of {k} controls did not settle: the controls are degenerate")
    out = np.zeros(k)
    out[support] = w
    return out / out.sum()
