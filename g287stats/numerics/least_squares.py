"""Least squares after the fixed effects: coefficients, bread, residuals and scores.

Regressors are dense columns, or :class:`Factor` blocks (dummies of a code, perhaps times a variable). Dense columns are
residualised; factors never are: their cross products after the effects follow from sums by unit and by level, so
that an event study with hundreds of event times needs no rows × columns array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from g287stats.numerics.memory import room, subtract
from g287stats.numerics.within import Coefficients, Moments, Projection


@dataclass(frozen=True)
class Factor:
    """The regressors ``values × 1[codes == j]``, j = 0 … n_levels − 1; a negative code is none of them.

    ``codes`` (n,) integers; ``values`` (n,) or None for plain dummies.
    """

    codes: np.ndarray
    n_levels: int
    values: np.ndarray | None = None


class Collinear(Exception):
    """Columns (positions in ``columns``) are combinations of the fixed effects and of earlier columns."""

    def __init__(self, columns: np.ndarray, absorbed: np.ndarray):
        self.columns, self.absorbed = columns, absorbed
        super().__init__(f"{len(columns)} collinear columns")


@dataclass(frozen=True)
class LeastSquares:
    """Weighted least squares of y on q factor columns and p dense columns, after the effects of ``projection``.

    Attributes
    ----------
    beta
        Coefficients, (q + p,): factors first, in order, then dense columns.
    bread
        Inverse of the weighted cross product of the residualised regressors, (q + p, q + p).
    residual
        Regression residuals by row, (n,).
    """

    projection: Projection
    factors: tuple[Factor, ...]
    dense: np.ndarray
    beta: np.ndarray
    bread: np.ndarray
    residual: np.ndarray
    factor_effects: Coefficients | None

    @property
    def n_factors(self) -> int:
        """Number of factor columns, q."""
        return sum(f.n_levels for f in self.factors)

    @cached_property
    def weighted_residual(self) -> np.ndarray:
        """Residual times weight, (n,)."""
        return self.projection.weighted(self.residual)

    def unit_scores(self) -> np.ndarray:
        """Sum over the rows of each unit of weight × residual × residualised regressor, (N, q + p)."""
        p, e = self.projection, self.weighted_residual
        out = np.empty((p.n_units, len(self.beta)))
        q = self.n_factors
        if self.factor_effects is not None:
            out[:, :q] = _by_unit(self.factors, p, e)
            for j, lam in enumerate(self.factor_effects.levels):
                out[:, :q] -= p.unit_level(e, j) @ lam
        for j in range(self.dense.shape[1]):
            out[:, q + j] = p.unit_products(e, self.dense[:, j])
        return out

    def unit_influence(self) -> np.ndarray:
        """Influence of each unit on the coefficients, (N, q + p)."""
        return self.unit_scores() @ self.bread

    def columns(self) -> np.ndarray:
        """The residualised regressors by row, (n, q + p); large when there are many factor levels."""
        q, p = self.n_factors, self.projection
        out = np.zeros((p.n, q + self.dense.shape[1]))
        rows, start = np.arange(p.n), 0
        for f in self.factors:
            on = f.codes >= 0
            out[rows[on], start + f.codes[on]] = 1.0 if f.values is None else f.values[on]
            start += f.n_levels
        if self.factor_effects is not None:
            out[:, :q] -= p.evaluate(self.factor_effects)
        out[:, q:] = self.dense
        return out

    def row_influence(self) -> np.ndarray:
        """Influence of each row on the coefficients, (n, q + p)."""
        return (self.columns() @ self.bread) * self.weighted_residual[:, None]


def least_squares(
    projection: Projection,
    y: np.ndarray,
    dense: np.ndarray | None = None,
    factors: Sequence[Factor] = (),
    *,
    tolerance: float = 1e-9,
    workspace: np.ndarray | None = None,
) -> LeastSquares:
    """Regress ``y`` (n,) on factors and on dense columns (n, p) after the fixed effects of ``projection``.

    ``workspace`` (1 + p, n) receives the residuals of ``y`` and of the dense columns; a fit that is superseded can
    hand on its own.

    Raises
    ------
    Collinear
        Naming by position the columns whose residual variance is less than ``tolerance`` of their variance given
        the effects and the earlier columns.
    """
    factors = tuple(factors)
    q = sum(f.n_levels for f in factors)
    raw = np.empty((projection.n, 0)) if dense is None else np.asarray(dense, dtype=float)
    p = raw.shape[1]
    left = room(p + 1, projection.n) if workspace is None else workspace
    for row, column in zip(left, (y, *raw.T)):
        projection.residualize(column, out=row)
    y_left, z = left[0], left[1:].T
    gram, rhs, size = np.zeros((q + p, q + p)), np.zeros(q + p), np.zeros(q + p)
    effects = None
    if q:
        moments, cross = _factor_moments(factors, projection)
        effects = projection.solve(moments)
        size[:q] = np.diag(cross)
        cross = cross - sum(u.T @ c for u, c in zip(moments.unit, effects.unit))
        for level, c in zip(moments.levels, effects.levels):
            cross -= level.T @ c
        gram[:q, :q] = (cross + cross.T) / 2
        rhs[:q] = _factor_sums(factors, projection.weighted(y_left))
    for j in range(p):
        gram[q:, q + j] = [projection.inner(z[:, i], z[:, j]) for i in range(p)]
        if q:
            gram[:q, q + j] = gram[q + j, :q] = _factor_sums(factors, projection.weighted(z[:, j]))
        rhs[q + j] = projection.inner(z[:, j], y_left)
        size[q + j] = projection.inner(raw[:, j], raw[:, j])
    floor = np.r_[np.full(q, 1e-10), np.full(p, 1e-18)] * size
    bread = _inverse(gram, floor, tolerance)
    beta = bread @ rhs
    for column, b in zip(left[1:], beta[q:]):
        subtract(y_left, column, b)
    if q:
        y_left -= projection.residualize(_factor_fit(factors, beta[:q], projection.n))
    return LeastSquares(projection, factors, z, beta, bread, y_left, effects)


def _inverse(gram: np.ndarray, floor: np.ndarray, tolerance: float) -> np.ndarray:
    """Invert a cross product; raise :class:`Collinear` when columns are absorbed (below floor) or combinations."""
    diagonal = np.diag(gram)
    absorbed = diagonal <= floor
    if absorbed.any():
        raise Collinear(np.flatnonzero(absorbed), np.flatnonzero(absorbed))
    if len(gram) < 2:
        return 1 / gram
    scale = 1 / np.sqrt(diagonal)
    scaled = gram * scale[:, None] * scale
    factor, info = linalg.lapack.dpotrf(scaled, lower=1)
    if info or (np.diag(factor) ** 2).min() < tolerance:
        raise Collinear(_combinations(scaled, tolerance), np.empty(0, dtype=int))
    inverse = linalg.cho_solve((factor, True), np.eye(len(gram)), check_finite=False)
    return (inverse + inverse.T) / 2 * scale[:, None] * scale


def _combinations(scaled: np.ndarray, tolerance: float) -> np.ndarray:
    """Positions of columns that are combinations of earlier ones, by sweeping in order."""
    a, out = scaled.copy(), []
    for j in range(len(a)):
        if a[j, j] < tolerance:
            out.append(j)
            a[j, :] = a[:, j] = 0.0
            continue
        a = a - np.outer(a[:, j], a[j]) / a[j, j]
    return np.array(out, dtype=int)


def _factor_sums(factors: Sequence[Factor], w: np.ndarray) -> np.ndarray:
    """Factor columns' inner products with ``w`` (n,): (q,)."""
    parts = []
    for f in factors:
        v = w if f.values is None else w * f.values
        parts.append(np.bincount(f.codes + 1, v, f.n_levels + 1)[1:])
    return np.concatenate(parts) if parts else np.empty(0)


def _factor_fit(factors: Sequence[Factor], beta: np.ndarray, n: int) -> np.ndarray:
    out, start = np.zeros(n), 0
    for f in factors:
        by_code = np.r_[0.0, beta[start : start + f.n_levels]][f.codes + 1]
        out += by_code if f.values is None else by_code * f.values
        start += f.n_levels
    return out


def _group_sums(f: Factor, w: np.ndarray, codes: np.ndarray, size: int) -> np.ndarray:
    """Sum ``w × column`` by group: (size, n_levels)."""
    v = w if f.values is None else w * f.values
    width = f.n_levels + 1
    return np.bincount(codes * width + f.codes + 1, v, size * width).reshape(size, width)[:, 1:]


def _by_unit(factors: Sequence[Factor], projection: Projection, w: np.ndarray) -> np.ndarray:
    return np.hstack([_group_sums(f, w, projection.unit, projection.n_units) for f in factors])


def _factor_moments(factors: Sequence[Factor], projection: Projection) -> tuple[Moments, np.ndarray]:
    ones = np.ones(projection.n) if projection.weights is None else projection.weights
    unit = np.stack([_by_unit(factors, projection, ones * b) for b in projection._basis()])
    levels = tuple(
        np.hstack([_group_sums(f, ones, code, size) for f in factors])
        for code, size in zip(projection.codes, projection.sizes)
    )
    rows = []
    for f in factors:
        w = ones if f.values is None else ones * f.values
        codes = np.where(f.codes >= 0, f.codes, f.n_levels)
        rows.append(np.hstack([_group_sums(g, w, codes, f.n_levels + 1)[:-1] for g in factors]))
    return Moments(unit, levels), np.vstack(rows)
