"""Parts of the projection on fixed effects: the units' basis, its sums by level, and the Schur complement of levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import linalg, sparse

from g287stats.numerics.memory import ELEMENTS
from g287stats.numerics.rows import Rows

RANK = 1e-9
"""A level whose pivot falls below this share of its own weight is a combination of the levels before it."""

LOSS = 1e-6
"""With weights, smaller pivots may be small because weights differ by many orders of magnitude: they decide nothing."""

FEW = 16
"""Components of at most so many units are solved through their units, all at once."""


class UnitSlopes:
    """Orthonormal basis, within each unit, of the variables with unit-specific slopes (off the intercept)."""

    def __init__(
        self,
        rows: Rows,
        weighted: Callable[[np.ndarray], np.ndarray],
        unit_weight: np.ndarray,
        unit_scale: np.ndarray,
        trends: np.ndarray,
    ):
        self.steps: list[tuple[np.ndarray, list[np.ndarray], np.ndarray]] = []
        self.q: list[np.ndarray] = []
        self.rank = 0
        missing = np.zeros(rows.n_units, dtype=bool)
        sums, unit = rows.unit_sums, rows.unit
        for z in trends:
            mean = sums(weighted(z)) * unit_scale**2
            left = z - mean[unit]
            scale = sums(weighted(z * z))
            parts = [np.zeros(rows.n_units) for _ in self.q]
            for _ in range(2):
                for k, q in enumerate(self.q):
                    c = sums(weighted(left) * q)
                    left = left - q * c[unit]
                    parts[k] += c
            norm = sums(weighted(left * left))
            exists = norm > 1e-20 * scale
            missing |= ~exists & (unit_weight > 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                inverse = np.where(exists, 1 / np.sqrt(norm), 0.0)
            self.steps.append((mean, parts, inverse))
            self.q.append(left * inverse[unit])
            self.rank += int(exists.sum())
        self.missing = np.flatnonzero(missing)

    def transform(self, trends: np.ndarray, unit: np.ndarray) -> list[np.ndarray]:
        """The basis on other rows."""
        out: list[np.ndarray] = []
        for z, (mean, parts, inverse) in zip(trends, self.steps):
            left = z - mean[unit]
            for q, c in zip(out, parts):
                left = left - q * c[unit]
            out.append(left * inverse[unit])
        return out


class Pair:
    """Unit × level sums of one basis function, dense or sparse: rows of ``matrix`` times ``scale``."""

    def __init__(self, matrix: np.ndarray | sparse.csr_array, scale: np.ndarray | None = None):
        self.matrix, self.scale = matrix, scale

    def take(self, units: np.ndarray | slice) -> Pair:
        """Some of the units."""
        return Pair(self.matrix[units], None if self.scale is None else self.scale[units])

    def scaled(self) -> np.ndarray | sparse.csr_array:
        """Rows times scale."""
        if self.scale is None:
            return self.matrix
        if isinstance(self.matrix, np.ndarray):
            return self.matrix * self.scale[:, None]
        return sparse.csr_array(sparse.diags_array(self.scale) @ self.matrix)

    def dense(self) -> np.ndarray:
        """Rows times scale as an array (N, L)."""
        part = self.scaled()
        return part if isinstance(part, np.ndarray) else part.toarray()

    def dot(self, levels: np.ndarray) -> np.ndarray:
        """From levels (L, k) to units (N, k)."""
        out = self.matrix @ levels
        return out if self.scale is None else (out.T * self.scale).T

    def tdot(self, units: np.ndarray) -> np.ndarray:
        """From units (N, k) to levels (L, k)."""
        return self.matrix.T @ (units if self.scale is None else (units.T * self.scale).T)

    def cross(self, other: Pair) -> np.ndarray:
        """Products of the columns of two matrices of the same units, (L, M)."""
        return self.tdot(other.dense())


class Flat(Pair):
    """A pair matrix with equal columns: a complete panel whose weights do not change within units."""

    def __init__(self, column: np.ndarray, n_levels: int):
        self.column, self.n_levels = column, n_levels

    def take(self, units: np.ndarray | slice) -> Pair:
        """Some of the units."""
        return Flat(self.column[units], self.n_levels)

    def dense(self) -> np.ndarray:
        """Rows times scale as an array (N, L)."""
        return np.repeat(self.column[:, None], self.n_levels, axis=1)

    def dot(self, levels: np.ndarray) -> np.ndarray:
        """From levels (L, k) to units (N, k)."""
        return np.outer(self.column, levels.sum(axis=0))

    def tdot(self, units: np.ndarray) -> np.ndarray:
        """From units (N, k) to levels (L, k)."""
        return np.repeat((self.column @ units)[None, :], self.n_levels, axis=0)


class Block:
    """A block of levels with its Schur complement, factorised with pivoting.

    ``like``, the block of the same effects without weights, decides which levels are redundant; a function that returns
    it is asked only if a pivot is small or more than one level is redundant (``stiff``). ``laplacian`` says that the
    columns of the matrix add up to zero, off-diagonal elements being negative: its diagonal is known without
    cancellation.
    """

    def __init__(
        self,
        levels: np.ndarray,
        schur: np.ndarray,
        mass: np.ndarray,
        like: Block | Callable[[], Block] | None = None,
        laplacian: bool = False,
    ):
        self.levels, self.stiff = levels, False
        with np.errstate(divide="ignore"):
            self.scale = np.where(mass > 0, 1 / np.sqrt(mass), 0.0)
        scaled = schur * self.scale[:, None] * self.scale
        scaled = (scaled + scaled.T) / 2
        factor, pivot, rank, _ = linalg.lapack.dpstrf(scaled, tol=RANK, lower=0)
        if np.diag(scaled).max(initial=0.0) <= RANK:  # the routine never tests its first pivot
            rank = 0
        self.kept, self.dropped = pivot[:rank] - 1, pivot[rank:] - 1
        self.factor = np.triu(factor[:rank, :rank])
        small = rank < (mass > 0).sum() - 1 or bool((np.diag(self.factor) ** 2 < LOSS).any())
        if isinstance(like, Block) or (like and small):
            model = like if isinstance(like, Block) else like()
            self.stiff, self.kept, self.dropped = True, model.kept, model.dropped
            if laplacian:
                np.fill_diagonal(schur, 0.0)
                np.fill_diagonal(schur, -schur.sum(axis=0))
                own = np.diag(schur)
                self.scale = np.divide(1.0, np.sqrt(own), out=np.zeros(len(own)), where=own > 0)
                scaled = schur * self.scale[:, None] * self.scale
            factor, pivot, rank, _ = linalg.lapack.dpstrf(scaled[np.ix_(self.kept, self.kept)], tol=0.0, lower=0)
            self.kept = self.kept[pivot[:rank] - 1]
            self.factor = np.triu(factor[:rank, :rank])
        self._link = scaled[np.ix_(self.kept, self.dropped)]
        self.rank = int(rank)

    def solve(self, b: np.ndarray) -> np.ndarray:
        """Coefficients (L, k) with redundant levels at zero."""
        out = np.zeros_like(b)
        if self.rank:
            scaled = b[self.kept] * self.scale[self.kept, None]
            x = linalg.cho_solve((self.factor, False), scaled, check_finite=False)
            out[self.kept] = x * self.scale[self.kept, None]
        return out

    def null(self) -> np.ndarray:
        """Null directions in the levels' own scale, one column per redundant level that occurs."""
        present = self.scale[self.dropped] > 0
        out = np.zeros((len(self.levels), int(present.sum())))
        if out.shape[1] and self.rank:
            x = linalg.cho_solve((self.factor, False), self._link[:, present], check_finite=False)
            out[self.kept] = -x * self.scale[self.kept, None]
        for m, level in enumerate(self.dropped[present]):
            out[level, m] = self.scale[level]
        size = np.abs(out).max(axis=0, initial=0.0)
        return out / np.where(size > 0, size, 1.0)


class Components:
    """The Schur complement of the levels in many components of few units, solved through the units.

    With D the weight of the levels and P (units × levels) the scaled sums of the units, S = D − P'P and

        S⁻ = D⁻¹ + D⁻¹P' C⁺ P D⁻¹,      C = I − P D⁻¹ P',

    where C has a small block for each component with one null direction n, which gives that of S, D⁻¹P'n. This is what
    results when the levels are eliminated before the units.

    Parameters
    ----------
    p
        P, (N, L).
    mass
        Weight of the levels, (L,).
    component
        Component of each unit, (N,).
    """

    def __init__(self, p: sparse.csr_array, mass: np.ndarray, component: np.ndarray):
        self.levels = slice(None)
        self.inverse = np.divide(1.0, mass, out=np.zeros(len(mass)), where=mass > 0)
        self.p = p
        self.mean = sparse.csr_array((p.data * self.inverse[p.indices], p.indices, p.indptr), shape=p.shape)
        size = np.bincount(component)
        order = np.argsort(component, kind="stable")
        start = np.cumsum(size) - size
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order)) - start[component[order]]
        gram = sparse.coo_array(self.mean @ p.T)
        row, column = gram.coords
        size_of_unit = np.asarray(p.sum(axis=1))  # the root of its weight
        self.stiff = False
        self.parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        for u in np.unique(size[size > 0]).tolist():
            alike = np.flatnonzero(size == u)
            number = np.full(len(size), -1)
            number[alike] = np.arange(len(alike))
            here = number[component[row]] >= 0
            c = np.zeros((len(alike), u, u))
            c[number[component[row[here]]], place[row[here]], place[column[here]]] = -gram.data[here]
            root = size_of_unit[members := order[start[alike][:, None] + np.arange(u)]]
            there = root[:, 0] > 0
            c[:, np.arange(u), np.arange(u)] = 0.0
            own = -np.einsum("kij,kj->ki", c, root) / np.where(root > 0, root, 1.0)
            c[:, np.arange(u), np.arange(u)] = np.where(there[:, None], own, 1.0)
            value, vector = np.linalg.eigh(c)
            lost = np.zeros(value.shape, dtype=bool)
            lost[:, 0] = there
            self.stiff |= bool((value[there, 1:] < LOSS).any())
            inverse = np.divide(1.0, value, out=np.zeros_like(value), where=~lost)
            self.parts.append((members, vector, inverse, lost))
        self.rank = int((mass > 0).sum()) - sum(int(lost.sum()) for *_, lost in self.parts)

    def _units(self, b: np.ndarray) -> np.ndarray:
        """C⁺ times (N, k)."""
        out = np.empty_like(b)
        for members, vector, inverse, _ in self.parts:
            inner = np.matmul(vector.transpose(0, 2, 1), b[members]) * inverse[:, :, None]
            out[members] = np.matmul(vector, inner)
        return out

    def solve(self, b: np.ndarray) -> np.ndarray:
        """Coefficients (L, k)."""
        return self.inverse[:, None] * b + self.mean.T @ self._units(self.mean @ b)

    def null(self) -> np.ndarray:
        """Null directions in the levels' own scale, one column each."""
        columns = []
        for members, vector, _, lost in self.parts:
            for component, j in np.argwhere(lost):
                at = np.zeros(self.mean.shape[0])
                at[members[component]] = vector[component, :, j]
                columns.append(self.mean.T @ at)
        out = np.array(columns).T if columns else np.zeros((self.mean.shape[1], 0))
        size = np.abs(out).max(axis=0, initial=0.0)
        return out[:, size > 0] / size[size > 0]

    def border(self, a: sparse.csr_array, q: np.ndarray, cross: np.ndarray) -> tuple[Coupling, np.ndarray]:
        """Coupling with other levels and their Schur complement, from sums by level (L, M) and unit (N, M).

        ``cross`` (M, M) holds the sums by pairs of the other levels.
        """
        left = q - self.mean @ a
        scaled = sparse.csr_array(sparse.diags_array(self.inverse) @ a)
        schur = cross - (a.T @ scaled).toarray() - left.T @ self._units(left)
        return Coupling(a, self.p, q), schur


class Coupling:
    """Cross product A − P'Q of the main levels and the others off the units, never formed."""

    def __init__(self, a: sparse.csr_array, p: sparse.csr_array, q: np.ndarray):
        self.a, self.p, self.q = a, p, q

    def dot(self, others: np.ndarray) -> np.ndarray:
        """From the others (M, k) to the main levels (L, k)."""
        return self.a @ others - self.p.T @ (self.q @ others)

    def tdot(self, levels: np.ndarray) -> np.ndarray:
        """From the main levels (L, k) to the others (M, k)."""
        return self.a.T @ levels - self.q.T @ (self.p @ levels)


@dataclass(frozen=True)
class Effects:
    """The effects of a projection with their sums, as its Schur complements read them.

    Attributes
    ----------
    rows, weights
        Units and periods by row, and weights by row or None.
    further, sizes
        Codes by row of the effects beyond the period, and number of levels of the period and of each of them.
    level_weight
        Weight of every level, by effect.
    main, rest, offset
        The effect with most levels, the others, and where the levels of each of these start when put side by side.
    pairs
        Unit × level sums of every effect, one matrix per basis function of the units.
    sloped
        Whether units have slopes.
    """

    rows: Rows
    weights: np.ndarray | None
    further: tuple[np.ndarray, ...]
    sizes: tuple[int, ...]
    level_weight: tuple[np.ndarray, ...]
    main: int
    rest: tuple[int, ...]
    offset: np.ndarray
    pairs: Sequence[Sequence[Pair]]
    sloped: bool

    def code(self, effect: int) -> np.ndarray:
        """Codes by row of one effect."""
        return self.further[effect - 1] if effect else self.rows.time


def main_blocks(effects: Effects, unweighted: Callable[[int], Block] | None) -> list[Block] | list[Components]:
    """Schur complement of the main effect in blocks of levels that share no unit.

    ``unweighted`` gives the same block without weights, which decides its rank where weights are stiff.
    """
    main, pairs, rows = effects.main, effects.pairs[effects.main], effects.rows
    mass, laplacian = effects.level_weight[main], not effects.sloped

    def like(k: int) -> Callable[[], Block] | None:
        return None if unweighted is None else partial(unweighted, k)

    if isinstance(pairs[0].matrix, np.ndarray):
        schur = np.diag(mass)
        step = max(1, 2 * ELEMENTS // len(mass))
        for p in pairs:
            for start in range(0, rows.n_units, step):
                part = p.take(slice(start, start + step)).scaled()
                schur -= part.T @ part
        return [Block(np.arange(effects.sizes[main]), schur, mass, like(0), laplacian)]
    graph = sparse.csr_array(
        (np.ones(rows.n, dtype=np.int32), (rows.unit, effects.code(main) + rows.n_units)),
        shape=(rows.n_units + effects.sizes[main],) * 2,
    )
    _, label = sparse.csgraph.connected_components(graph, directed=False)
    if laplacian and np.bincount(label[: rows.n_units]).max() <= FEW:
        return [Components(sparse.csr_array(pairs[0].scaled()), mass, label[: rows.n_units])]
    by_unit = np.argsort(label[: rows.n_units], kind="stable")
    by_level = np.argsort(label[rows.n_units :], kind="stable")
    unit_label, level_label = label[: rows.n_units][by_unit], label[rows.n_units :][by_level]
    blocks: list[Block] = []
    for c in np.unique(level_label):
        units = by_unit[np.searchsorted(unit_label, c) : np.searchsorted(unit_label, c, "right")]
        levels = by_level[np.searchsorted(level_label, c) : np.searchsorted(level_label, c, "right")]
        schur = np.diag(mass[levels])
        for p in pairs:
            scaled = p.take(units).scaled()
            assert not isinstance(scaled, np.ndarray)
            part = scaled[:, levels]
            if part.shape[0] * part.shape[1] <= max(8 * part.nnz, 200_000):
                dense = part.toarray()
                schur -= dense.T @ dense
            else:
                schur -= (part.T @ part).toarray()
        blocks.append(Block(levels, schur, mass[levels], like(len(blocks)), laplacian))
    return blocks


def border(
    effects: Effects, blocks: list[Block] | list[Components], model: Block | None
) -> tuple[Pair | Coupling, Block]:
    """Coupling of the main effect with the remaining ones, and their Schur complement given the main one."""
    ones = np.ones(effects.rows.n) if effects.weights is None else effects.weights
    total = int(effects.offset[-1])
    mass = np.concatenate([effects.level_weight[j] for j in effects.rest])
    if isinstance(main := blocks[0], Components):
        coupling, schur = main.border(*_sums_of_rest(effects, ones))
        return coupling, Block(np.arange(total), schur, mass, model)
    dense = np.zeros((effects.sizes[effects.main], total))
    schur = np.zeros((total, total))
    for a, j in enumerate(effects.rest):
        here = slice(effects.offset[a], effects.offset[a + 1])
        dense[:, here] = _together(effects, effects.main, j, ones)
        for b, i in enumerate(effects.rest):
            schur[here, effects.offset[b] : effects.offset[b + 1]] = _together(effects, j, i, ones)
    for block in blocks:
        schur -= dense[block.levels].T @ block.solve(dense[block.levels])
    return Pair(dense), Block(np.arange(total), schur, mass, model)


def _sums_of_rest(effects: Effects, ones: np.ndarray) -> tuple[sparse.csr_array, np.ndarray, np.ndarray]:
    """Weighted sums of the remaining levels by main level, by unit in its basis, and by each other."""
    code = [effects.code(j) + effects.offset[a] for a, j in enumerate(effects.rest)]
    total, k = int(effects.offset[-1]), len(code)
    pairs = (np.tile(effects.code(effects.main), k), np.concatenate(code))
    by_main = sparse.csr_array((np.tile(ones, k), pairs), (effects.sizes[effects.main], total))
    by_unit = np.hstack([effects.pairs[j][0].dense() for j in effects.rest])
    cross = sum(np.bincount(i * total + j, ones, total * total) for i in code for j in code)
    return by_main, by_unit, np.asarray(cross).reshape(total, total)


def _together(effects: Effects, i: int, j: int, ones: np.ndarray) -> np.ndarray:
    """Cross product V_i' W M_U V_j."""
    pair = effects.code(i) * effects.sizes[j] + effects.code(j)
    out = np.bincount(pair, ones, effects.sizes[i] * effects.sizes[j]).reshape(effects.sizes[i], effects.sizes[j])
    for p, q in zip(effects.pairs[i], effects.pairs[j]):
        out = out - p.cross(q)
    return out
