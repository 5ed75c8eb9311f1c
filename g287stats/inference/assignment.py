"""Who was treated when, and who else could have been: treatment paths, the level they are given at, and their exchange.

Treatment is often given to whole groups of units: a law treats every county of a state. Then states, not counties,
could have exchanged their paths, and noise that counties of a state share is noise of the assignment.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from g287stats.errors import DesignError, InferenceWarning, caution, first_of
from g287stats.estimate.estimate import Estimate
from g287stats.regression.fitted import Fitted

CHUNK = 1 << 21
"""Most numbers of a batch of reassignments."""


@dataclass(frozen=True)
class Paths:
    """Treatment paths and the groups of units that have them.

    Attributes
    ----------
    table
        Distinct paths, (P, T); row 0 is never treated.
    of_group
        Row of ``table`` of each group, (G,); groups are units unless assignment was coarser.
    group
        Group of each unit, (N,).
    assign_by
        Name of the level the groups are of.
    """

    table: np.ndarray
    of_group: np.ndarray
    group: np.ndarray
    assign_by: str

    @property
    def of_unit(self) -> np.ndarray:
        """Row of ``table`` of each unit, (N,)."""
        return self.of_group[self.group]

    @property
    def treated(self) -> np.ndarray:
        """Positions of the treated groups, in label order."""
        return np.flatnonzero(self.of_group > 0)

    @property
    def n_units(self) -> np.ndarray:
        """Number of units in each group, (G,)."""
        return np.bincount(self.group)


def treatment_paths(est: Estimate, f: Fitted, assign_by: str | None) -> Paths:
    """Read each unit's treatment path over the calendar from a fitted regression, and the level that shares it.

    With cohorts the path is known in every period. With a treatment variable every unit must be observed in every
    period.
    """
    design = f.design
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
    clusters = {}
    for name in (f.level, *est.rule.levels):
        codes = design.unit_level(name) if name in design.clusters else None
        if codes is not None:
            clusters[name] = codes
    asked = None
    if assign_by is not None:
        name, _ = f.codes(assign_by)
        codes = design.unit_level(name)
        if codes is None:
            raise DesignError(f"assign_by={assign_by!r} changes within units")
        asked = (name, codes)
    level, group = level_of_assignment(of_unit, design.unit_name, design.unit_labels, clusters, asked)
    return Paths(np.vstack([np.zeros(t), distinct]), by_group(of_unit, group), group, level)


def by_group(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The value of each group, (G,), of what is the same in all its units, (N,)."""
    out = np.zeros(int(group.max()) + 1, dtype=values.dtype)
    out[group] = values
    return out


def shared(values: np.ndarray, group: np.ndarray) -> bool:
    """Whether all units of every group have the same value."""
    return bool((by_group(values, group)[group] == values).all())


def level_of_assignment(
    kinds: np.ndarray,
    unit: str,
    labels: pd.Index,
    clusters: Mapping[str, np.ndarray],
    asked: tuple[str, np.ndarray] | None,
) -> tuple[str, np.ndarray]:
    """Name of the level at which treatment was given, and the group of each unit (N,).

    By default the coarsest of ``clusters`` (codes by unit) in which all units have the same treatment, otherwise the
    unit, with a warning when most treated units are in clusters treated alike all the same. A finer one that is
    ``asked`` for is used with a warning; one within which treatment differs is refused.
    """
    coarsest = (unit, np.arange(len(kinds)))
    for name, codes in clusters.items():
        if shared(kinds, codes) and codes.max() < coarsest[1].max():
            coarsest = (name, codes)
    if asked is None:
        for name, codes in clusters.items():
            if codes.max() < coarsest[1].max():
                _warn_mostly_whole(kinds, name, codes, unit)
        return coarsest
    name, codes = asked
    if not shared(kinds, codes):
        differ = by_group(kinds, codes)[codes] != kinds
        groups = np.unique(codes[differ])
        some = first_of(labels[np.isin(codes, groups)])
        raise DesignError(
            f"assign_by={name!r}: treatment differs between the units of {len(groups)} of {codes.max() + 1} groups "
            f"(units {some}): whole groups cannot exchange it. Leave assign_by= out, or exchange within= them"
        )
    if codes.max() > coarsest[1].max():
        caution(
            f"treatment is the same in all units of every {coarsest[0]!r} ({coarsest[1].max() + 1} of them): "
            f"exchanging it between {codes.max() + 1} {name!r} is not valid when units of a {coarsest[0]!r} share "
            f"shocks, and rejects far too often; assign_by={coarsest[0]!r}",
            InferenceWarning,
        )
    return name, codes


def _warn_mostly_whole(kinds: np.ndarray, name: str, codes: np.ndarray, unit: str) -> None:
    """Warn when more than half of the treated units of clusters of several are in clusters treated alike."""
    differs = np.bincount(codes[by_group(kinds, codes)[codes] != kinds], minlength=int(codes.max()) + 1) > 0
    several = np.bincount(codes) > 1
    treated = np.bincount(codes[kinds > 0], minlength=len(several)) * several
    whole = treated[~differs].sum()
    if 2 * whole > treated.sum() and differs.any():
        caution(
            f"treatment is the same in all units of {int((treated[~differs] > 0).sum())} of {int((treated > 0).sum())} "
            f"treated {name!r} but not of the others, so that single {unit!r} are exchanged: not valid when units of a "
            f"{name!r} share shocks. See g.wild_bootstrap, g.bias_reduced",
            InferenceWarning,
        )


def strata_of(within: str, by_unit: np.ndarray, group: np.ndarray, kinds: np.ndarray, assign_by: str) -> np.ndarray:
    """Stratum of each group (G,); refused when it changes within groups or leaves nothing to exchange."""
    if not shared(by_unit, group):
        raise DesignError(
            f"within={within!r} changes within {assign_by!r}, whose whole paths are exchanged: name a coarser level"
        )
    strata = by_group(by_unit, group)
    if count_arrangements(kinds, strata) == 1:
        raise DesignError(
            f"within={within!r} leaves nothing to exchange: in each of its groups all {assign_by!r} are treated alike"
        )
    return strata


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
    """Every distinct reassignment once, (count, G)."""
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
    """Random reassignments within strata in chunks (rows × G)."""
    rng = np.random.default_rng(seed)
    parts = _parts(labels, strata)
    chunk = max(1, CHUNK // len(labels))
    for done in range(0, draws, chunk):
        out = np.tile(labels, (min(chunk, draws - done), 1))
        for part in parts:
            out[:, part] = rng.permuted(out[:, part], axis=1)
        yield out


def given_arrangements(paths: Paths, units: np.ndarray, unit_labels: pd.Index) -> np.ndarray:
    """Reassignments from a table of unit labels: the group of column j receives the path of the j-th treated group."""
    table = np.atleast_2d(np.asarray(units))
    treated = paths.treated
    if table.shape[1] != len(treated):
        finer = "" if len(paths.of_group) == len(paths.group) else ". Name one unit of each, or assign_by= the unit"
        raise DesignError(
            f"assignments have {table.shape[1]} units a row; {len(treated)} {paths.assign_by!r} are treated{finer}"
        )
    where = unit_labels.get_indexer(table.reshape(-1))
    if (where < 0).any():
        unknown = np.unique(table.reshape(-1)[where < 0])
        raise DesignError(f"assignments name {len(unknown)} units that are not in the panel: {first_of(unknown)}")
    where = paths.group[where].reshape(table.shape)
    if any(len(set(row)) < len(row) for row in where.tolist()):
        raise DesignError(f"assignments name the same {paths.assign_by!r} twice in a row")
    out = np.zeros((len(table), len(paths.of_group)), dtype=np.int64)
    out[np.arange(len(table))[:, None], where] = paths.of_group[treated]
    return out
