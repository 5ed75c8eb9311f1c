"""Who was treated when, and who else could have been: treatment paths and their reassignment to units."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from g287stats.errors import DesignError

_CHUNK = 1 << 21


@dataclass(frozen=True)
class Paths:
    """Treatment paths of units.

    Attributes
    ----------
    table
        Distinct paths, (P, T); row 0 is never treated.
    of_unit
        Row of ``table`` of each unit, (N,).
    """

    table: np.ndarray
    of_unit: np.ndarray

    @property
    def treated(self) -> np.ndarray:
        """Positions of the treated units, in label order."""
        return np.flatnonzero(self.of_unit > 0)


def treatment_paths(design: Any) -> Paths:
    """Read each unit's treatment path over the calendar from a prepared design.

    With cohorts the path is known in every period. With a treatment variable every unit must be observed in every
    period.
    """
    n, t = design.n_units, design.n_periods
    if design.treatment is None:
        grid = (np.arange(t)[None, :] >= design.cohort[:, None]).astype(float)
    else:
        if design.n != n * t:
            raise DesignError(
                "treatment paths of units with missing periods are unknown when treatment is a variable: name "
                "cohort= in the estimator, or balance the panel"
            )
        grid = design.treatment.reshape(n, t)
    treated = grid.any(axis=1)
    if not treated.any():
        raise DesignError("no unit is treated: there is nothing to reassign")
    if treated.all():
        raise DesignError("every unit is treated at some time: the reassignment needs untreated units")
    distinct, index = np.unique(grid[treated], axis=0, return_inverse=True)
    of_unit = np.zeros(n, dtype=np.int64)
    of_unit[treated] = index.reshape(-1) + 1
    return Paths(np.vstack([np.zeros(t), distinct]), of_unit)


def count_arrangements(labels: np.ndarray, strata: np.ndarray | None = None) -> int:
    """Number of distinct reassignments of ``labels`` within strata."""
    total = 1
    for part in _parts(labels, strata):
        left = len(part)
        for size in np.unique(labels[part], return_counts=True)[1]:
            total *= math.comb(left, int(size))
            left -= int(size)
    return total


def _parts(labels: np.ndarray, strata: np.ndarray | None) -> list[np.ndarray]:
    if strata is None:
        return [np.arange(len(labels))]
    return [np.flatnonzero(strata == s) for s in np.unique(strata)]


def all_arrangements(labels: np.ndarray, strata: np.ndarray | None = None) -> np.ndarray:
    """Every distinct reassignment once, (count, N)."""
    parts = _parts(labels, strata)
    lists = [list(_arrange(len(part), *np.unique(labels[part], return_counts=True))) for part in parts]
    out = np.empty((math.prod(map(len, lists)), len(labels)), dtype=labels.dtype)
    for row, choice in enumerate(itertools.product(*lists)):
        for part, values in zip(parts, choice):
            out[row, part] = values
    return out


def _arrange(n: int, values: np.ndarray, counts: np.ndarray) -> Iterator[np.ndarray]:
    """Distinct arrangements of a multiset; its most frequent value fills what the others leave."""
    order = np.argsort(counts, kind="stable")
    values, counts = values[order], counts[order]

    def place(free: tuple[int, ...], which: int, row: np.ndarray) -> Iterator[np.ndarray]:
        if which == len(values) - 1:
            yield row.copy()
            return
        for chosen in itertools.combinations(free, int(counts[which])):
            row[list(chosen)] = values[which]
            taken = set(chosen)
            yield from place(tuple(i for i in free if i not in taken), which + 1, row)
            row[list(chosen)] = values[-1]

    yield from place(tuple(range(n)), 0, np.full(n, values[-1]))


def random_arrangements(
    labels: np.ndarray, draws: int, seed: int, strata: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Random reassignments within strata in chunks (rows × N)."""
    rng = np.random.default_rng(seed)
    parts = _parts(labels, strata)
    chunk = max(1, _CHUNK // len(labels))
    for done in range(0, draws, chunk):
        out = np.tile(labels, (min(chunk, draws - done), 1))
        for part in parts:
            out[:, part] = rng.permuted(out[:, part], axis=1)
        yield out


def given_arrangements(paths: Paths, units: np.ndarray, unit_labels: Any) -> np.ndarray:
    """Reassignments from a table of unit labels: column j receives the path of the j-th treated unit."""
    table = np.atleast_2d(np.asarray(units))
    treated = paths.treated
    if table.shape[1] != len(treated):
        raise DesignError(f"assignments have {table.shape[1]} units a row; {len(treated)} units are treated")
    where = unit_labels.get_indexer(table.reshape(-1))
    if (where < 0).any():
        unknown = np.unique(table.reshape(-1)[where < 0])[:8]
        raise DesignError(f"assignments name units that are not in the panel: {unknown.tolist()}")
    where = where.reshape(table.shape)
    if any(len(set(row)) < len(row) for row in where.tolist()):
        raise DesignError("assignments name the same unit twice in a row")
    out = np.zeros((len(table), len(paths.of_unit)), dtype=np.int64)
    out[np.arange(len(table))[:, None], where] = paths.of_unit[treated]
    return out
