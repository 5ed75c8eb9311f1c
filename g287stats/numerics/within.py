"""Exact projection on fixed effects: the one kernel under every regression.

The model matrix of the effects is ``F = [U V]``: ``U`` holds one intercept per unit (and, on request, unit-specific
slopes), ``V`` the dummies of the period and of any further effects. Units are many and each row has one, so ``U`` is
eliminated in closed form; what is left is the Schur complement

    S = V'W M_U V,      M_U = I − U (U'WU)⁻¹ U'W,

a period-by-period matrix, factorised once by a pivoted Cholesky decomposition. There is no iteration and no
tolerance to choose. Where levels fall into blocks that share no unit (state × year, cohort × period) the largest
effect is factorised block by block and the remaining ones through a second Schur complement, so that the cost is
linear in rows and in blocks. Blocks of a few units (place × period, two series each) are solved through their units.

Everything here is codes and floats; labels are unknown. Any row order is accepted, sums run in the given order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from g287stats.numerics.memory import ELEMENTS, inner, room
from g287stats.numerics.rows import Rows
from g287stats.numerics.schur import (
    Block,
    Components,
    Coupling,
    Effects,
    Flat,
    Pair,
    UnitSlopes,
    border,
    main_blocks,
)
from g287stats.numerics.threads import one_thread

PASSES = 3
"""How often what is left is projected again where weights differ by many orders of magnitude."""


@dataclass(frozen=True)
class Moments:
    """Weighted sums of k columns over the effects: ``unit`` (1+p, N, k) in the units' basis, ``levels`` (L_j, k)."""

    unit: np.ndarray
    levels: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Coefficients:
    """Coefficients of the effects for k columns, same shapes as :class:`Moments`; a redundant level has zero."""

    unit: np.ndarray
    levels: tuple[np.ndarray, ...]


def absorb(
    unit: np.ndarray,
    time: np.ndarray,
    *,
    n_units: int,
    n_periods: int,
    weights: np.ndarray | None = None,
    effects: Sequence[np.ndarray] = (),
    sizes: Sequence[int] | None = None,
    trends: np.ndarray | None = None,
) -> Projection:
    """Factorise the fixed effects of a panel.

    Parameters
    ----------
    unit, time
        Integer codes, (n,). Codes need not all occur. ``time`` may be any second effect (cohort × period).
    n_units, n_periods
        Number of codes, N and T.
    weights
        Positive weights, (n,), or None for equal weights.
    effects
        Codes of further effects, each (n,) with values 0 … L−1.
    sizes
        L for each of ``effects`` (default: the largest code that occurs, plus one).
    trends
        Variables with a slope of their own in every unit, (n,) or (n, p); ``time`` gives linear unit trends.

    Returns
    -------
    Projection
        With ``residualize``, ``coefficients``, ``rank`` and what is not identified.
    """
    rows = Rows(n_units, n_periods, np.asarray(unit), np.asarray(time))
    return absorb_rows(rows, weights=weights, effects=effects, sizes=sizes, trends=trends)


def absorb_rows(
    rows: Rows,
    *,
    weights: np.ndarray | None = None,
    effects: Sequence[np.ndarray] = (),
    sizes: Sequence[int] | None = None,
    trends: np.ndarray | None = None,
) -> Projection:
    """The same for rows that are coded already."""
    weights = None if weights is None else np.asarray(weights, dtype=float)
    columns = None if trends is None else np.atleast_2d(np.asarray(trends, dtype=float).T)
    codes = tuple(np.asarray(e) for e in effects)
    found = (int(e.max()) + 1 if len(e) else 0 for e in codes)
    return Projection(rows, codes, tuple(found if sizes is None else sizes), weights, columns)


class Projection:
    """Orthogonal projection off the fixed effects; made by :func:`absorb`.

    Attributes
    ----------
    n, n_units
        Rows and units (N, absent ones included).
    codes, sizes
        Codes by row and number of levels of the period and of every further effect.
    weights
        Weights by row or None.
    """

    def __init__(
        self,
        rows: Rows,
        effects: tuple[np.ndarray, ...],
        sizes: tuple[int, ...],
        weights: np.ndarray | None,
        trends: np.ndarray | None,
    ):
        self.rows, self._further, self.weights, self._trends = rows, effects, weights, trends
        self.n, self.n_units = rows.n, rows.n_units
        self.sizes = (rows.n_periods, *sizes)
        self._grid = rows.complete
        mass = self._counts(None) if weights is None else self.rows.unit_sums(weights)
        self.unit_weight = mass
        with np.errstate(divide="ignore"):
            self._scale = np.where(mass > 0, 1 / np.sqrt(mass), 0.0)
        self._slopes = None if trends is None else UnitSlopes(rows, self.weighted, mass, self._scale, trends)
        self.level_weight = tuple(
            self._counts(j) if weights is None else self._level_sums(weights, j) for j in range(len(self.sizes))
        )
        main = int(np.argmax(self.sizes))
        self._main, self._rest = main, tuple(j for j in range(len(self.sizes)) if j != main)
        self._offset = np.concatenate([[0], np.cumsum([self.sizes[j] for j in self._rest])]).astype(int)
        # complete panel whose weights do not change within units: unit means do not depend on the period
        self._even = self._grid and main == 0 and trends is None and self._constant_in_unit()

    @property
    def unit(self) -> np.ndarray:
        """Unit code by row, (n,)."""
        return self.rows.unit

    @property
    def codes(self) -> tuple[np.ndarray, ...]:
        """Codes by row of the period and of every further effect."""
        return (self.rows.time, *self._further)

    def _code(self, effect: int) -> np.ndarray:
        return self._further[effect - 1] if effect else self.rows.time

    def _counts(self, effect: int | None) -> np.ndarray:
        """Rows by level of an effect (None: by unit)."""
        if not effect:
            return (self.rows.unit_sums() if effect is None else self.rows.period_sums()).astype(float)
        return np.bincount(self._code(effect), minlength=self.sizes[effect]).astype(float)

    # ---- sums over units and levels -----------------------------------------------------------------------------
    def weighted(self, values: np.ndarray) -> np.ndarray:
        """Values (n,) times the weights, or as they are."""
        return values if self.weights is None else values * self.weights

    def inner(self, a: np.ndarray, b: np.ndarray) -> float:
        """Weighted inner product of two (n,) arrays."""
        return inner(a, b) if self.weights is None else inner(a, b, self.weights)

    def unit_products(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Sum the products of two (n,) arrays by unit: (N,)."""
        if self._grid:
            shape = (self.n_units, self.sizes[0])
            return np.einsum("ij,ij->i", a.reshape(shape), b.reshape(shape))
        return np.bincount(self.unit, a * b, self.n_units)

    def _level_sums(self, values: np.ndarray, effect: int) -> np.ndarray:
        """Sum an (n,) array by level of one effect: (L,)."""
        if effect == 0:
            return self.rows.period_sums(values)
        return np.bincount(self._code(effect), values, self.sizes[effect])

    def _take_level(self, values: np.ndarray, effect: int) -> np.ndarray:
        return values[self._code(effect)].reshape(self._shape) if effect else self.rows.take_period(values)

    def unit_level(self, values: np.ndarray, effect: int = 0) -> np.ndarray | sparse.csr_array:
        """Sum an (n,) array by unit and level: (N, L), dense when that is not much larger than the rows."""
        size = self.sizes[effect]
        if self._grid and effect == 0:
            return values.reshape(self.n_units, size)
        if self.n_units * size <= max(8 * self.n, 200_000):
            pair = self.unit * size + self._code(effect)
            return np.bincount(pair, values, self.n_units * size).reshape(self.n_units, size)
        return sparse.csr_array((values, (self.unit, self._code(effect))), shape=(self.n_units, size))

    # ---- factorisation ------------------------------------------------------------------------------------------
    @cached_property
    def _pairs(self) -> list[list[Pair]]:
        """Unit × level sums of every effect, one matrix per basis function of the units."""
        if not self._even:
            return [self._pair_matrices(j) for j in range(len(self.sizes))]
        equal = Flat(np.sqrt(self.unit_weight / self.sizes[0] ** 2), self.sizes[0])
        return [[equal], *(self._pair_matrices(j) for j in self._rest)]

    @property
    def _effects(self) -> Effects:
        return Effects(
            self.rows,
            self.weights,
            self._further,
            self.sizes,
            self.level_weight,
            self._main,
            self._rest,
            self._offset,
            self._pairs,
            self._slopes is not None,
        )

    def _unweighted_block(self, k: int) -> Block:
        found = self._structure.blocks[k]  # made when it is asked for
        assert isinstance(found, Block)
        return found

    @cached_property
    def blocks(self) -> list[Block] | list[Components]:
        """Factorised Schur complement of the main effect."""
        if not self._even:
            with one_thread():
                return main_blocks(self._effects, None if self.weights is None else self._unweighted_block)
        size, mass = self.sizes[0], self.level_weight[0]
        schur = mass[0] * (np.eye(size) - 1 / size)
        return [Block(np.arange(size), schur, mass)]

    def _constant_in_unit(self) -> bool:
        if self.weights is None:
            return True
        w = self.weights.reshape(self.n_units, -1)
        return bool((w[:, 0] == w[:, -1]).all() and (w == w[:, :1]).all())

    def _basis(self) -> list[np.ndarray]:
        """Weighted orthonormal unit basis by row: the intercept, then the slopes. Each (n,)."""
        first = np.broadcast_to(self.rows.take_unit(self._scale), self._shape).reshape(-1)
        return [first, *([] if self._slopes is None else self._slopes.q)]

    @property
    def _shape(self) -> tuple[int, ...]:
        return self.rows.shape

    def _pair_matrices(self, effect: int) -> list[Pair]:
        ones = np.ones(self.n) if self.weights is None else self.weights
        pairs = [Pair(self.unit_level(ones, effect), self._scale)]
        if self._slopes is not None:
            pairs += [Pair(self.unit_level(ones * q, effect)) for q in self._slopes.q]
        return pairs

    @cached_property
    def _border(self) -> tuple[Pair | Coupling, Block] | None:
        """Coupling of the main effect with the remaining ones, and their Schur complement given the main one."""
        if not self._rest:
            return None
        unweighted = self._structure._border if self.stiff else None
        return border(self._effects, self.blocks, None if unweighted is None else unweighted[1])

    # ---- what is identified -------------------------------------------------------------------------------------
    @cached_property
    def _structure(self) -> Projection:
        """The same effects without weights, which decide nothing about what is identified."""
        return Projection(self.rows, self._further, self.sizes[1:], None, self._trends)

    @cached_property
    def stiff(self) -> bool:
        """Whether weights differ so much that the factorisation alone loses digits."""
        return self.weights is not None and any(block.stiff for block in self.blocks)

    @cached_property
    def rank(self) -> int:
        """Number of independent effects: unit intercepts and slopes that exist, plus independent levels."""
        if self.stiff:
            return self._structure.rank
        units = int((self.unit_weight > 0).sum()) + (0 if self._slopes is None else self._slopes.rank)
        border = 0 if self._border is None else self._border[1].rank
        return units + sum(b.rank for b in self.blocks) + border

    @cached_property
    def singletons(self) -> np.ndarray:
        """Codes of units observed once; their own effect fits them exactly."""
        return np.flatnonzero(self._counts(None) == 1)

    def level_singletons(self, effect: int = 0) -> np.ndarray:
        """Codes of levels of an effect observed once."""
        return np.flatnonzero(self._counts(effect) == 1)

    @cached_property
    def flat_units(self) -> np.ndarray:
        """Codes of units in which a unit-specific slope is not identified (too few distinct rows)."""
        return np.empty(0, dtype=int) if self._slopes is None else self._slopes.missing

    @cached_property
    def _null(self) -> tuple[np.ndarray, ...]:
        """Directions of the levels that the data cannot tell from the units' effects, per effect (L_j, m)."""
        if self.stiff:
            return self._structure._null
        out = []
        for block in self.blocks:
            for v in block.null().T:
                full = np.zeros(sum(self.sizes))
                full[self._place(self._main)][block.levels] = v
                out.append(full)
        if self._border is not None:
            coupling, border = self._border
            for v in border.null().T:
                full = np.zeros(sum(self.sizes))
                for a, j in enumerate(self._rest):
                    full[self._place(j)] = v[self._offset[a] : self._offset[a + 1]]
                main, moved = full[self._place(self._main)], coupling.dot(v[:, None])
                for block in self.blocks:
                    main[block.levels] = -block.solve(moved[block.levels])[:, 0]
                out.append(full)
        stacked = np.array(out).T if out else np.zeros((sum(self.sizes), 0))
        return tuple(stacked[self._place(j)] for j in range(len(self.sizes)))

    def _place(self, effect: int) -> slice:
        start = sum(self.sizes[:effect])
        return slice(start, start + self.sizes[effect])

    def identified(
        self,
        unit: np.ndarray,
        time: np.ndarray,
        effects: Sequence[np.ndarray] = (),
        trends: np.ndarray | None = None,
    ) -> np.ndarray:
        """Which rows, perhaps outside the sample, have a fitted value the sample determines: boolean (m,)."""
        if self.stiff:
            return self._structure.identified(unit, time, effects, trends)
        codes = (time, *effects)
        ok = self.unit_weight[unit] > 0
        for j, code in enumerate(codes):
            ok &= self.level_weight[j][code] > 0
        if self._slopes is not None:
            ok &= ~np.isin(unit, self._slopes.missing)
        if not self._null[0].shape[1]:
            return ok
        q = self._rows_basis(unit, trends)
        gap = sum(n[code] for n, code in zip(self._null, codes))
        for k, basis in enumerate(q):
            held = np.asarray(sum(self._pairs[j][k].dot(n) for j, n in enumerate(self._null)))
            gap = gap - basis[:, None] * held[unit]
        return ok & (np.abs(gap) < 1e-6).all(axis=1)

    def linked(self, reference: int) -> np.ndarray:
        """Which periods' coefficients the sample can compare with that of ``reference``: boolean (T,)."""
        null = self._null[0]
        seen = self.level_weight[0] > 0
        return seen & seen[reference] & (np.abs(null - null[reference]) < 1e-6).all(axis=1)

    # ---- projection ---------------------------------------------------------------------------------------------
    def residualize(self, a: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Residuals of columns ``a``, (n,) or (n, k), after the fixed effects. Never modifies ``a``.

        ``out`` (n,) receives the residuals of a single column.
        """
        columns = np.asarray(a, dtype=float)
        if columns.ndim == 1:
            return self._residual(np.ascontiguousarray(columns), out)
        out = room(columns.shape[1], self.n)
        for j, row in enumerate(out):
            self._residual(np.ascontiguousarray(columns[:, j]), row)
        return out.T

    def _residual(self, a: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Residuals of one contiguous column, written to ``out`` (n,) when given."""
        out = (room(self.n) if out is None else out).reshape(self._shape)
        if self._even and not self._rest:
            return self._demeaned(a.reshape(self._shape), out)
        left = self._less_fit(a, out)
        for _ in range(PASSES if self.stiff else 0):
            left = self._less_fit(left, out)
        return left

    def _less_fit(self, a: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Less the effects as the factorisation solves them; ``out`` may be ``a``."""
        solved = self.solve(self._moments([a]))
        own = solved.unit[0, :, 0] * self._scale
        if self._grid:
            self._less(a.reshape(self._shape), own, solved.levels[0][:, 0], out)
        else:
            np.subtract(a, own[self.unit], out=out)
            out -= solved.levels[0][self.rows.time, 0]
        if self._slopes is not None:
            for q, c in zip(self._slopes.q, solved.unit[1:, :, 0]):
                out -= (q * c[self.unit]).reshape(self._shape)
        for j, lam in enumerate(solved.levels[1:], start=1):
            out -= self._take_level(lam[:, 0], j)
        return out.reshape(-1)

    def _less(self, table: np.ndarray, unit: np.ndarray, level: np.ndarray, out: np.ndarray) -> None:
        """A complete panel (N, T) less one number by unit and one by period; both passes while rows are in cache."""
        step = max(1, ELEMENTS // self.sizes[0])
        for start in range(0, self.n_units, step):
            part = out[start : start + step]
            np.subtract(table[start : start + step], unit[start : start + step, None], out=part)
            part -= level

    def _demeaned(self, table: np.ndarray, out: np.ndarray) -> np.ndarray:
        """A complete panel (N, T) with weights fixed in units less its unit and (weighted) period means."""
        size = self.sizes[0]
        mean = np.einsum("ij->i", table) / size
        if self.weights is None:
            level = np.einsum("ij->j", table) / self.n_units
        else:
            level = np.einsum("i,ij->j", self.unit_weight, table) / self.unit_weight.sum()
        self._less(table, mean, level - level.mean(), out)
        return out.reshape(-1)

    def _moments(self, columns: list[np.ndarray]) -> Moments:
        """Weighted sums over the effects of columns, each (n,), on the sample's rows."""
        parts = [self._column_moments(c) for c in columns]
        by_unit = np.stack([u for u, _ in parts], axis=-1)
        return Moments(by_unit, tuple(np.column_stack(level) for level in zip(*(v for _, v in parts))))

    def _column_moments(self, a: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """The same for one column: (1+p, N) in the units' basis, and (L,) per effect."""
        if self._grid and self._slopes is None and len(self.sizes) == 1 and self.weights is not None:
            shape = (self.n_units, self.sizes[0])
            w, a = self.weights.reshape(shape), a.reshape(shape)
            return (np.einsum("ij,ij->i", w, a) * self._scale)[None, :], [np.einsum("ij,ij->j", w, a)]
        w = self.weighted(a)
        by_unit = [self.rows.unit_sums(w) * self._scale]
        if self._slopes is not None:
            by_unit += [self.rows.unit_sums(w * q) for q in self._slopes.q]
        return np.stack(by_unit), [self._level_sums(w, j) for j in range(len(self.sizes))]

    def solve_levels(self, b: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """Solve ``S x = b`` for right-hand sides already off the units, per effect (L_j, k).

        With b the weights of a linear combination of level coefficients, the estimate of the combination reacts to a
        weighted residual of unit i and level l by ``x[l]``.
        """
        out = [np.zeros_like(v) for v in b]
        main = out[self._main]
        for block in self.blocks:
            main[block.levels] = block.solve(b[self._main][block.levels])
        if self._border is not None:
            coupling, border = self._border
            rest = np.concatenate([b[j] for j in self._rest])
            x = border.solve(rest - coupling.tdot(main))
            for a, j in enumerate(self._rest):
                out[j] = x[self._offset[a] : self._offset[a + 1]]
            moved = coupling.dot(x)
            for block in self.blocks:
                main[block.levels] -= block.solve(moved[block.levels])
        return tuple(out)

    # ---- coefficients, for prediction outside the sample ----------------------------------------------------------
    def coefficients(self, a: np.ndarray) -> Coefficients:
        """Coefficients of the effects in the regression of ``a``, (n,) or (n, k), on them."""
        columns = np.asarray(a, dtype=float).reshape(self.n, -1)
        found = self.solve(self._moments([np.ascontiguousarray(c) for c in columns.T]))
        for _ in range(PASSES if self.stiff else 0):
            left = columns - self.evaluate(found)
            more = self.solve(self._moments([np.ascontiguousarray(c) for c in left.T]))
            levels = tuple(one + other for one, other in zip(found.levels, more.levels))
            found = Coefficients(found.unit + more.unit, levels)
        return found

    def gather(
        self,
        values: np.ndarray,
        unit: np.ndarray,
        time: np.ndarray,
        effects: Sequence[np.ndarray] = (),
        trends: np.ndarray | None = None,
    ) -> Moments:
        """Sums ``F'values`` over any rows (m, k) with these codes: the adjoint of :meth:`evaluate`."""
        by_unit = [_sum_rows(values * b[:, None], unit, self.n_units) for b in self._rows_basis(unit, trends)]
        levels = (_sum_rows(values, code, size) for code, size in zip((time, *effects), self.sizes))
        return Moments(np.stack(by_unit), tuple(levels))

    def functional(
        self,
        unit: np.ndarray,
        time: np.ndarray,
        column: np.ndarray,
        values: np.ndarray,
        n_columns: int,
        effects: Sequence[np.ndarray] = (),
        trends: np.ndarray | None = None,
    ) -> tuple[np.ndarray, ...]:
        """Level coefficients of ``(F'WF)⁻¹ F₁'v`` per effect, (L_j, k), for rows that each feed one of k columns.

        The rows, (m,), may lie outside the sample; ``values`` are their v, ``column`` says which functional they
        belong to. Predictions ``v'F₁c`` react to a residual e of the sample by ``(F c)'W e``; as weighted residuals
        add up to zero within units, the sums by unit and level times these coefficients are all of it.
        """
        units, inside = np.unique(unit, return_inverse=True)
        flat = inside.reshape(-1) * n_columns + column
        by_unit = [
            np.bincount(flat, values * b, len(units) * n_columns).reshape(len(units), n_columns)
            for b in self._rows_basis(unit, trends)
        ]
        b = []
        for j, code in enumerate((time, *effects)):
            size = self.sizes[j]
            sums = np.bincount(code * n_columns + column, values, size * n_columns).reshape(size, n_columns)
            b.append(sums - sum(p.take(units).tdot(u) for p, u in zip(self._pairs[j], by_unit)))
        return self.solve_levels(tuple(b))

    def solve(self, moments: Moments) -> Coefficients:
        """Solve the normal equations ``F'WF c = moments`` for k right-hand sides."""
        with one_thread():
            b = tuple(
                level - sum(p.tdot(u) for p, u in zip(self._pairs[j], moments.unit))
                for j, level in enumerate(moments.levels)
            )
            levels = self.solve_levels(b)
            by_unit = [
                u - sum(self._pairs[j][k].dot(lam) for j, lam in enumerate(levels)) for k, u in enumerate(moments.unit)
            ]
        return Coefficients(np.stack(by_unit), levels)

    def evaluate(
        self,
        coefficients: Coefficients,
        unit: np.ndarray | None = None,
        time: np.ndarray | None = None,
        effects: Sequence[np.ndarray] = (),
        trends: np.ndarray | None = None,
    ) -> np.ndarray:
        """Fitted values (m, k) on the sample's rows, or on any rows with these codes (see :meth:`identified`)."""
        if unit is None or time is None:
            unit, codes, q = self.unit, self.codes, self._basis()
        else:
            codes, q = (time, *effects), self._rows_basis(unit, trends)
        out = sum(b[:, None] * c[unit] for b, c in zip(q, coefficients.unit))
        for lam, code in zip(coefficients.levels, codes):
            out = out + lam[code]
        return np.asarray(out)

    def _rows_basis(self, unit: np.ndarray, trends: np.ndarray | None) -> list[np.ndarray]:
        first = self._scale[unit]
        if self._slopes is None:
            return [first]
        if trends is None:
            raise ValueError("the projection has unit trends: give the trend variables of these rows")
        return [first, *self._slopes.transform(np.atleast_2d(np.asarray(trends, dtype=float).T), unit)]


def _sum_rows(values: np.ndarray, codes: np.ndarray, size: int) -> np.ndarray:
    """Sum rows (m, k) with the same code: (size, k)."""
    rows = sparse.csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(size, len(codes)))
    return rows @ values
