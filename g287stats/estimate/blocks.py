"""Influence functions too large to keep: made block by block from the few numbers that define them.

Three thousand counties times fourteen thousand cohort × month cells are 350 MB, although a dozen coefficients per
cell determine every entry. :class:`BlockedInfluence` keeps the coefficients and makes columns when asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.linalg.blas import daxpy

from g287stats.estimate.covariance import Influence
from g287stats.numerics.memory import room
from g287stats.numerics.threads import one_thread

Blocks = Callable[[np.ndarray | None], Iterator[tuple[np.ndarray, np.ndarray]]]

_KEEP = 1 << 21
"""Influence of at most this many elements (16 MB) is kept once made."""


class BlockedInfluence(Influence):
    """An :class:`~g287stats.estimate.covariance.Influence` whose columns are made on demand.

    Parameters
    ----------
    blocks
        Call to iterate over (columns, values): the positions of some parameters and their influence, one row per
        parameter and one column per unit in the order ``order``. Every call gives the same blocks, each only
        valid until the next one; blocks may be put one under another into the array (parameters × units) that the
        call is given, and stay valid then. Parameters in no block are fixed by normalisation (influence zero).
    n_params
        Number of parameters.
    order
        Row (in the sense of ``keys``) of each column of a block.
    keys, labels
        As in ``Influence``.
    """

    def __init__(
        self,
        blocks: Blocks,
        n_params: int,
        order: np.ndarray,
        keys: Mapping[str, np.ndarray],
        labels: pd.Index | None = None,
    ):
        object.__setattr__(self, "_make", blocks)
        object.__setattr__(self, "_kept", [])
        object.__setattr__(self, "_n_params", n_params)
        object.__setattr__(self, "order", order)
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "labels", labels)

    order: np.ndarray
    _make: Blocks
    _kept: list[tuple[np.ndarray, np.ndarray]]
    _n_params: int

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Iterate over (columns, values); a small influence is kept and comes in one block once made."""
        if self._kept:
            yield from self._kept
            return
        if self._n_params * len(self.order) > _KEEP:
            yield from self._make(None)
            return
        store = room(self._n_params, len(self.order))
        made: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
        done = 0
        for columns, values in self._make(store):
            mine = store[done : done + len(columns)]
            if values.ctypes.data != mine.ctypes.data:
                mine[...] = values
            yield columns, mine
            made.append(columns)
            done += len(columns)
        self._kept[:] = [(np.concatenate(made), store[:done])]

    @property
    def n_params(self) -> int:
        """Number of parameters."""
        return self._n_params

    @property
    def psi(self) -> np.ndarray:  # type: ignore[override]
        """All influence functions at once (rows × parameters); made anew at every call."""
        out = np.zeros((self._n_params, len(self.order)))
        with one_thread():
            for columns, values in self.blocks():
                out[columns[:, None], self.order] = values
        return out.T

    def sums(self, codes: np.ndarray) -> np.ndarray:
        """Sum over rows with the same code: (groups × parameters)."""
        if _one_row_each(codes):
            return self.psi
        out = np.zeros((self._n_params, int(codes.max()) + 1))
        add = self._adder(codes)
        with one_thread():
            for columns, values in self.blocks():
                out[columns] = (add @ values.T).T
        return out.T

    def sum_squares(self, codes: np.ndarray) -> np.ndarray:
        """Sum over groups of the squared sums, (k,)."""
        out = np.zeros(self._n_params)
        add = None if _one_row_each(codes) else self._adder(codes)
        with one_thread():
            for columns, values in self.blocks():
                s = values if add is None else (add @ values.T).T
                out[columns] = np.matmul(s[:, None, :], s[:, :, None])[:, 0, 0]
        return out

    def combine(self, weights: np.ndarray | sparse.spmatrix, extra: np.ndarray | None = None) -> Influence:
        """Influence of ``weights @ params`` (weights m × k), plus ``extra`` (rows × m) when given."""
        total = room(weights.shape[0], len(self.order))
        total[...] = 0.0
        rows = list(total)
        by_parameter = sparse.csc_matrix(weights)
        sparse_enough = by_parameter.nnz <= 2 * self._n_params  # averages over disjoint sets of parameters
        row, weight = by_parameter.indices.tolist(), by_parameter.data.tolist()
        start = by_parameter.indptr.tolist()
        with one_thread():
            for columns, values in self.blocks():
                if sparse_enough:
                    for column, value in zip(columns.tolist(), values):
                        for k in range(start[column], start[column + 1]):
                            daxpy(value, rows[row[k]], a=weight[k])
                else:
                    part = by_parameter[:, columns]
                    touched = np.unique(part.indices)
                    total[touched] += part[touched].toarray() @ values
        psi = room(*total.shape[::-1])
        psi[self.order] = total.T
        if extra is not None:
            psi += extra
        return Influence(psi, self.keys, self.labels)

    def _adder(self, codes: np.ndarray) -> sparse.csr_matrix:
        """Groups × block columns indicator."""
        n = len(codes)
        return sparse.csr_matrix((np.ones(n), (codes[self.order], np.arange(n))), shape=(int(codes.max()) + 1, n))


def _one_row_each(codes: np.ndarray) -> bool:
    return len(codes) == int(codes.max()) + 1 and bool((codes == np.arange(len(codes))).all())
