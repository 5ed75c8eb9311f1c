"""Confidence intervals by inverting a test."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from g287stats.errors import InferenceWarning


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
        warnings.warn(
            f"interval for {term!r} is unbounded: {resource} cannot reject any value at {1 - level:.3g}",
            InferenceWarning,
            stacklevel=3,
        )
