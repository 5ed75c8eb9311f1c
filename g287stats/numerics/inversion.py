"""Confidence intervals by inverting a test."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from g287stats.errors import InferenceWarning, caution

TIES = 1e-9
"""Two statistics closer than this share of their size are tied."""


def invert(p_value: Callable[[float], float], start: float, step: float, alpha: float) -> float:
    """Bound of the values not rejected at ``alpha``, searching from ``start`` in the direction of ``step``.

    The set is taken to be an interval around ``start``. The search grows by half its length a step from
    ``step`` to 85,000 steps; when nothing is rejected on the way the bound is infinite.
    """
    high = start + step
    for _ in range(28):
        if p_value(high) <= alpha:
            break
        high = start + 1.5 * (high - start)
    else:
        return float(np.copysign(np.inf, step))
    low = start
    for _ in range(60):
        middle = (low + high) / 2
        if not min(low, high) < middle < max(low, high):
            break
        low, high = (middle, high) if p_value(middle) > alpha else (low, middle)
    return (low + high) / 2


def warn_unbounded(interval: tuple[float, float], term: str, resource: str, level: float) -> None:
    """Warn when an inverted test rejects no value on one side."""
    if not np.isfinite(interval).all():
        caution(
            f"interval for {term!r} is unbounded: {resource} cannot reject any value at {1 - level:.3g}",
            InferenceWarning,
        )


def not_rejected(lines: np.ndarray, error: float, alpha: float, added: int) -> tuple[float, float]:
    """Smallest interval that holds every c = estimate − null whose p-value exceeds ``alpha``.

    The statistic is c/``error``, that of a draw (b + c·d)/√(v₀ + 2c·v₁ + c²·v₂) with ``lines`` the rows b, d, v₀, v₁
    and v₂, (5, draws); p(c) = (``added`` + draws at least as extreme)/(``added`` + draws), ties counted. A draw begins
    or ceases to be at least as extreme where

        (b + c·d)²·error² = c²·(v₀ + 2c·v₁ + c²·v₂),

    a polynomial of degree four (two, where coefficients are compared: v₀ = 1, v₁ = v₂ = 0). Between the roots of all
    draws p is constant, so that counting there is exact whatever the shape of the set; p(0) is one.
    """
    b, d, v0, v1, v2 = lines
    unit = float(np.abs(b).max()) or 1.0  # of c, in the polynomials
    tied = ((1 - TIES) * unit) ** 2
    powers = [-tied * unit**2 * v2, -2 * tied * unit * v1, (error * unit * d) ** 2 - tied * v0]
    powers += [2 * error**2 * unit * b * d, (error * b) ** 2]
    edges = unit * _between_roots(np.stack(powers if v2.any() else powers[2:]))
    borders = np.unique(edges)
    finite = borders[1:-1] if len(borders) > 2 else np.zeros(1)
    closed = np.clip(edges, finite[0] - unit, finite[-1] + unit)
    c = (closed[:, :-1] + closed[:, 1:]) / 2
    spread = np.sqrt(np.maximum(v0[:, None] + 2 * c * v1[:, None] + c * c * v2[:, None], 0.0))
    extreme = np.abs(b[:, None] + c * d[:, None]) * error >= (1 - TIES) * np.abs(c) * spread
    extreme &= edges[:, :-1] < edges[:, 1:]
    steps = np.zeros(len(borders), dtype=np.int64)
    np.add.at(steps, np.searchsorted(borders, edges[:, :-1][extreme]), 1)
    np.add.at(steps, np.searchsorted(borders, edges[:, 1:][extreme]), -1)
    p = (added + np.cumsum(steps)[:-1]) / (added + len(b))
    kept = np.flatnonzero(p > alpha + 1e-12)
    return float(borders[kept[0]]), float(borders[kept[-1] + 1])


def _between_roots(powers: np.ndarray) -> np.ndarray:
    """Real roots of polynomials (a column each, highest power first) in order, after −∞ and before ∞, which repeats."""
    size = np.abs(powers).max(axis=0)
    lead = np.where(np.abs(powers[0]) > 1e-14 * size, powers[0], np.where(size > 0, -1e-14 * size, 1.0))
    degree, n = len(powers) - 1, powers.shape[1]
    companion = np.zeros((n, degree, degree))
    companion[:, 0] = (-powers[1:] / lead).T
    companion[:, np.arange(1, degree), np.arange(degree - 1)] = 1.0
    roots = np.linalg.eigvals(companion)
    real = np.where(np.abs(roots.imag) <= 1e-7 * np.abs(roots), roots.real, np.inf)
    return np.hstack([np.full((n, 1), -np.inf), np.sort(real, axis=1), np.full((n, 1), np.inf)])
