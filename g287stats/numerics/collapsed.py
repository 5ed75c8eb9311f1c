"""Least squares and Newton steps on rows collapsed to distinct cells, absorbed effects eliminated by their sums.

Rows that agree in their effects and covariates enter a score only through their sums, so they are collapsed once. Every
step then needs sums over *blocks*, the combinations of effects that occur. With A the diagonal weight of the places,
C the weights by place and other level and B those by pairs of other levels, the normal equations of the effects are

    (A  C ) (a)   (g_a)                         (B − C'A⁻¹C) b = g_b − C'A⁻¹ g_a,    a = A⁻¹(g_a − C b),
    (C' B ) (b) = (g_b) ,   so that

and no projected column is formed before the solution.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from g287stats.numerics.schur import Block


class Effects:
    """Absorbed effects of cells that are sorted by the combination of their codes; the first effect is eliminated.

    Parameters
    ----------
    codes
        One code a cell for each effect, (n,); the first should be that with most levels.
    """

    def __init__(self, codes: Sequence[np.ndarray]):
        self.n = len(codes[0])
        new = np.zeros(self.n - 1, dtype=bool)
        for code in codes:
            new |= code[1:] != code[:-1]
        starts = np.flatnonzero(np.r_[True, new])
        self.bounds = np.r_[starts, self.n]
        self.length = np.diff(self.bounds)
        self.place = codes[0][starts]
        self.n_places = int(self.place.max()) + 1
        others = [np.asarray(c)[starts] for c in codes[1:]]
        first = np.cumsum([0, *(int(c.max()) + 1 for c in others)])
        self.others = [c + f for c, f in zip(others, first)]  # levels of the other effects, numbered through
        self.n_others = int(first[-1])

    def sums(self, weight: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Sums of ``weight · x`` over blocks, (blocks, k)."""
        block = sparse.csr_array((weight, np.arange(self.n), self.bounds), shape=(len(self.length), self.n))
        return block @ x

    def spread(self, by_block: np.ndarray) -> np.ndarray:
        """Values of blocks given to their cells."""
        return np.repeat(by_block, self.length, axis=0)

    def by_place(self, by_block: np.ndarray) -> np.ndarray:
        """Sums over places of values by block, (places, k)."""
        return np.column_stack([np.bincount(self.place, v, self.n_places) for v in by_block.T])

    def by_other(self, by_block: np.ndarray) -> np.ndarray:
        """Sums over levels of the other effects, (levels, k)."""
        out = np.zeros((self.n_others, by_block.shape[1]))
        for code in self.others:
            out += np.column_stack([np.bincount(code, v, self.n_others) for v in by_block.T])
        return out


class Elimination:
    """The effects' normal equations at given weights, factorised."""

    def __init__(self, effects: Effects, weight: np.ndarray):
        self.effects = effects
        block = np.add.reduceat(weight, effects.bounds[:-1])
        self.mass = np.bincount(effects.place, block, effects.n_places)
        self.inverse = np.divide(1.0, self.mass, out=np.zeros_like(self.mass), where=self.mass > 0)
        levels = effects.n_others
        if not levels:
            return
        size = effects.n_places * levels
        self.cross = np.zeros((effects.n_places, levels))
        between = np.zeros((levels, levels))
        for code in effects.others:
            self.cross += np.bincount(effects.place * levels + code, block, size).reshape(-1, levels)
            for other in effects.others:
                between += np.bincount(code * levels + other, block, levels**2).reshape(levels, levels)
        schur = between - self.cross.T @ (self.cross * self.inverse[:, None])
        self.block = Block(np.arange(levels), schur, np.diag(between).copy())

    def solve(self, by_block: np.ndarray) -> np.ndarray:
        """Fitted values by block of the regression on the effects, from block sums of weight times variable."""
        e = self.effects
        a = e.by_place(by_block)
        if not e.n_others:
            return (a * self.inverse[:, None])[e.place]
        b = self.block.solve(e.by_other(by_block) - self.cross.T @ (a * self.inverse[:, None]))
        a = (a - self.cross @ b) * self.inverse[:, None]
        fitted = a[e.place]
        for code in e.others:
            fitted = fitted + b[code]
        return fitted

    def residual(self, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Residuals by cell of columns ``x`` (n, k) from the regression on the effects."""
        return x - self.effects.spread(self.solve(self.effects.sums(weight, x)))
