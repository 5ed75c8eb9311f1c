"""Influence functions as products of thin arrays, for estimators with thousands of cohort × time effects.

Regression-type estimators have ``psi = Σ_b L_b R_b``: residuals of some units by period (``L``) times what each
parameter makes of a period (``R``). Eighty cohorts × 180 months of 3,100 counties are 350 MB as one array and a few
as factors; linear combinations act on ``R`` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from g287stats.estimate.covariance import Influence


@dataclass(frozen=True)
class Term:
    """A block of the influence: rows × columns += ``left @ right``.

    Attributes
    ----------
    rows, columns
        Positions of the block's rows and parameters (each without repetition).
    left
        (rows, r).
    right
        (r, columns), or None for the identity.
    """

    rows: np.ndarray
    columns: np.ndarray
    left: np.ndarray | sparse.csr_array
    right: np.ndarray | None = None


class FactoredInfluence(Influence):
    """An :class:`~g287stats.estimate.covariance.Influence` kept as a sum of :class:`Term` products.

    ``n_rows`` rows (units) by ``n_params`` parameters; ``keys`` and ``labels`` as in ``Influence``.
    """

    terms: tuple[Term, ...]
    n_rows: int
    _n_params: int

    def __init__(
        self,
        terms: Sequence[Term],
        n_rows: int,
        n_params: int,
        keys: Mapping[str, np.ndarray],
        labels: pd.Index | None = None,
    ):
        values = {"terms": tuple(terms), "n_rows": n_rows, "_n_params": n_params, "keys": keys, "labels": labels}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def n_params(self) -> int:
        """Number of parameters."""
        return self._n_params

    @property
    def psi(self) -> np.ndarray:  # type: ignore[override]
        """All influence functions at once (rows × parameters), made anew at every call."""
        return self._sum(self.terms, self.n_rows)

    def _sum(self, terms: Sequence[Term], n_rows: int) -> np.ndarray:
        out = np.zeros((n_rows, self._n_params))
        for t in terms:
            out[t.rows[:, None], t.columns] += _product(t.left, t.right)
        return out

    def _grouped(self, codes: np.ndarray) -> list[Term]:
        """The same terms with rows summed by code."""
        out = []
        for t in self.terms:
            groups, inside = np.unique(codes[t.rows], return_inverse=True)
            add = sparse.csr_array((np.ones(len(inside)), (inside, np.arange(len(inside)))))
            out.append(Term(groups, t.columns, add @ t.left, t.right))
        return out

    def sums(self, codes: np.ndarray) -> np.ndarray:
        """Sum over rows with the same code: (groups × parameters)."""
        n_groups = int(codes.max()) + 1
        if len(codes) == n_groups and (codes == np.arange(n_groups)).all():
            return self.psi
        return self._sum(self._grouped(codes), n_groups)

    def sum_squares(self, codes: np.ndarray) -> np.ndarray:
        """Sum over groups of the squared sums, (k,), by blocks of parameters."""
        n_groups = int(codes.max()) + 1
        one_each = len(codes) == n_groups and bool((codes == np.arange(n_groups)).all())
        terms = list(self.terms) if one_each else self._grouped(codes)
        out = np.empty(self._n_params)
        for columns, part in _parameter_blocks(terms, n_groups, self._n_params):
            out[columns] = np.einsum("ij,ij->j", part, part)
        return out

    def combine(self, weights: np.ndarray | sparse.csr_array, extra: np.ndarray | None = None) -> Influence:
        """Influence of ``weights @ params`` (weights m × k), plus ``extra`` (rows × m) when given."""
        by_column = sparse.csc_array(weights)
        psi = np.zeros((self.n_rows, by_column.shape[0]))
        for t in self.terms:
            mixed = by_column[:, t.columns].T
            psi[t.rows] += t.left @ (mixed.toarray() if t.right is None else t.right @ mixed)
        return Influence(psi if extra is None else psi + extra, self.keys, self.labels)


def _product(left: np.ndarray | sparse.csr_array, right: np.ndarray | None) -> np.ndarray:
    if right is not None:
        return left @ right
    return left if isinstance(left, np.ndarray) else left.toarray()


def _parameter_blocks(
    terms: Sequence[Term], n_rows: int, n_params: int, width: int = 512
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (parameters, rows × parameters) for consecutive blocks of at most ``width`` parameters."""
    for start in range(0, n_params, width):
        stop = min(start + width, n_params)
        out = np.zeros((n_rows, stop - start))
        for t in terms:
            inside = np.flatnonzero((t.columns >= start) & (t.columns < stop))
            if len(inside):
                left = t.left if t.right is not None else t.left[:, inside]
                right = None if t.right is None else t.right[:, inside]
                out[t.rows[:, None], t.columns[inside] - start] += _product(left, right)
        yield slice(start, stop), out
