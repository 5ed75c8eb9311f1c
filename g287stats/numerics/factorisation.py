"""The Schur complements of a projection: its main effect in blocks, and what remains given that one.

See :mod:`g287stats.numerics.within` for the notation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from g287stats.numerics.memory import ELEMENTS
from g287stats.numerics.schur import FEW, Block, Components, Coupling, Pair

if TYPE_CHECKING:
    from g287stats.numerics.within import Projection


def main_blocks(projection: Projection) -> list[Block] | list[Components]:
    """Schur complement of the main effect in blocks of levels that share no unit."""
    main, pairs = projection._main, projection._pairs[projection._main]
    mass, laplacian = projection.level_weight[main], projection._slopes is None

    def like(k: int) -> Callable[[], Block] | None:
        def block() -> Block:
            found = projection._structure._blocks[k]
            assert isinstance(found, Block)
            return found

        return None if projection.weights is None else block

    if isinstance(pairs[0].matrix, np.ndarray):
        schur = np.diag(mass)
        step = max(1, 2 * ELEMENTS // len(mass))
        for p in pairs:
            for start in range(0, projection.n_units, step):
                part = p.take(slice(start, start + step)).scaled()
                schur -= part.T @ part
        return [Block(np.arange(projection.sizes[main]), schur, mass, like(0), laplacian)]
    graph = sparse.csr_array(
        (np.ones(projection.n, dtype=np.int32), (projection.unit, projection._code(main) + projection.n_units)),
        shape=(projection.n_units + projection.sizes[main],) * 2,
    )
    _, label = sparse.csgraph.connected_components(graph, directed=False)
    if projection._slopes is None and np.bincount(label[: projection.n_units]).max() <= FEW:
        return [Components(sparse.csr_array(pairs[0].scaled()), mass, label[: projection.n_units])]
    by_unit = np.argsort(label[: projection.n_units], kind="stable")
    by_level = np.argsort(label[projection.n_units :], kind="stable")
    unit_label, level_label = label[: projection.n_units][by_unit], label[projection.n_units :][by_level]
    blocks: list[Block] = []
    for c in np.unique(level_label):
        units = by_unit[np.searchsorted(unit_label, c) : np.searchsorted(unit_label, c, "right")]
        levels = by_level[np.searchsorted(level_label, c) : np.searchsorted(level_label, c, "right")]
        schur = np.diag(mass[levels])
        for p in pairs:
            part = p.take(units).scaled()[:, levels]
            if part.shape[0] * part.shape[1] <= max(8 * part.nnz, 200_000):
                dense = part.toarray()
                schur -= dense.T @ dense
            else:
                schur -= (part.T @ part).toarray()
        blocks.append(Block(levels, schur, mass[levels], like(len(blocks)), laplacian))
    return blocks


def border(projection: Projection) -> tuple[Pair | Coupling, Block]:
    """Coupling of the main effect with the remaining ones, and their Schur complement given the main one."""
    ones = np.ones(projection.n) if projection.weights is None else projection.weights
    total = int(projection._offset[-1])
    mass = np.concatenate([projection.level_weight[j] for j in projection._rest])
    unweighted = projection._structure._border if projection.stiff else None
    model = None if unweighted is None else unweighted[1]
    if isinstance(main := projection._blocks[0], Components):
        coupling, schur = main.border(*_sums_of_rest(projection, ones))
        return coupling, Block(np.arange(total), schur, mass, model)
    dense = np.zeros((projection.sizes[projection._main], total))
    schur = np.zeros((total, total))
    for a, j in enumerate(projection._rest):
        here = slice(projection._offset[a], projection._offset[a + 1])
        dense[:, here] = _together(projection, projection._main, j, ones)
        for b, i in enumerate(projection._rest):
            schur[here, projection._offset[b] : projection._offset[b + 1]] = _together(projection, j, i, ones)
    for block in projection._blocks:
        schur -= dense[block.levels].T @ block.solve(dense[block.levels])
    return Pair(dense), Block(np.arange(total), schur, mass, model)


def _sums_of_rest(projection: Projection, ones: np.ndarray) -> tuple[sparse.csr_array, np.ndarray, np.ndarray]:
    """Weighted sums of the remaining levels by main level, by unit in its basis, and by each other."""
    code = [projection._code(j) + projection._offset[a] for a, j in enumerate(projection._rest)]
    total, k = int(projection._offset[-1]), len(code)
    pairs = (np.tile(projection._code(projection._main), k), np.concatenate(code))
    by_main = sparse.csr_array((np.tile(ones, k), pairs), (projection.sizes[projection._main], total))
    by_unit = np.hstack([projection._pairs[j][0].dense() for j in projection._rest])
    cross = sum(np.bincount(i * total + j, ones, total * total) for i in code for j in code)
    return by_main, by_unit, np.asarray(cross).reshape(total, total)


def _together(projection: Projection, i: int, j: int, ones: np.ndarray) -> np.ndarray:
    """Cross product V_i' W M_U V_j."""
    pair = projection._code(i) * projection.sizes[j] + projection._code(j)
    out = np.bincount(pair, ones, projection.sizes[i] * projection.sizes[j]).reshape(
        projection.sizes[i], projection.sizes[j]
    )
    for p, q in zip(projection._pairs[i], projection._pairs[j]):
        out = out - p.cross(q)
    return out
