"""Randomisation inference: compare the estimate with what other assignments of the same treatments would give."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from g287stats.arguments import documented
from g287stats.design.keys import Data
from g287stats.errors import DesignError, check_draws, check_level, first_of
from g287stats.estimate.estimate import Estimate
from g287stats.inference.assignment import (
    CHUNK,
    Paths,
    all_arrangements,
    by_group,
    count_arrangements,
    given_arrangements,
    random_arrangements,
    strata_of,
    treatment_paths,
)
from g287stats.inference.exchange import read_treatments
from g287stats.inference.target import scalar
from g287stats.numerics.inversion import TIES, not_rejected, warn_unbounded
from g287stats.regression.fitted import Fitted, fitted, static_effect
from g287stats.shown import Shown

if TYPE_CHECKING:
    from tqdm import tqdm

Statistic = Literal["coefficient", "t"]


@dataclass(frozen=True)
class RandomizationTest(Shown):
    """Result of a randomisation test of the sharp null that no unit is affected (or by ``null``, constant).

    Attributes
    ----------
    term, outcome, estimate
        The coefficient, in units of the outcome.
    compared, statistic
        What is compared (``coefficient`` or ``t``), and its value under the actual assignment.
    null
        Constant effect tested.
    p_value
        Two-sided: under enumeration the share of assignments at least as extreme, the actual one included; with
        random draws (1 + count)/(1 + draws).
    p_value_share
        Count/draws without the added one.
    p_value_right, p_value_left
        One-sided, same convention as ``p_value``.
    conf_low, conf_high
        Ends of the smallest interval that holds every constant effect not rejected at 1 − ``level``; missing when
        not asked for, and for a placebo test.
    draws, enumerated, seed
        Number of reassignments, whether they are all of them, and how they were drawn.
    drawn
        The statistic under each reassignment, (draws,).
    assign_by, n_treated, n_assigned
        Level whose whole paths are exchanged, how many groups of it are treated, and how many there are.
    placements
        What receives treatment in each reassignment when there is one such group, else None: labels of units; a
        coarser group is named by its first unit (in :func:`placebo_test` by its own label).
    """

    term: str
    outcome: str
    estimate: float
    compared: Statistic
    statistic: float
    null: float
    p_value: float
    p_value_share: float
    p_value_right: float
    p_value_left: float
    conf_low: float
    conf_high: float
    level: float
    draws: int
    enumerated: bool
    seed: int | None
    assign_by: str
    n_treated: int
    n_assigned: int
    drawn: np.ndarray = field(repr=False)
    placements: pd.Index | None = field(default=None, repr=False)

    @property
    def sd(self) -> float:
        """Standard deviation of the reassignment distribution."""
        return float(self.drawn.std(ddof=1))

    @property
    def frame(self) -> pd.DataFrame:
        """One row per reassignment, with the treated unit when there is one."""
        out = pd.DataFrame({"statistic": self.drawn})
        if self.placements is not None:
            out.insert(0, self.placements.name or "unit", self.placements)
        return out

    def _words(self) -> str:
        how = f"all {self.draws:,} placements" if self.enumerated else f"{self.draws:,} reassignments"
        how += f", {self.n_treated} of {self.n_assigned} {self.assign_by!r} treated"
        interval = f", {100 * self.level:g} % interval [{self.conf_low:.4g}, {self.conf_high:.4g}]"
        return (
            f"{self.term}: {self.estimate:.4g}, randomisation p = {self.p_value:.4g} ({self.compared}, {how})"
            f"{'' if np.isnan(self.conf_low) else interval}"
        )


@documented()
def randomization_test(
    est: Estimate,
    *,
    statistic: Statistic = "coefficient",
    draws: int = 999,
    assignments: np.ndarray | None = None,
    assign_by: str | None = None,
    within: str | pd.Series | None = None,
    null: float = 0.0,
    seed: int = 287,
    cluster: str | None = None,
    ci: bool = True,
    level: float = 0.95,
) -> RandomizationTest:
    """Reassign the treatment paths that occurred to other units, or other groups of units, and refit.

    Every reassignment gives the same number of groups the same adoption dates. When there are at most ``draws``
    distinct ones they are enumerated, the actual one included.

    Parameters
    ----------
    est
        A static two-way fixed effects estimate (``g.twfe``).
    statistic
        ``coefficient`` or ``t`` (cluster-robust, MacKinnon and Webb's RI-t: better when treated units differ in
        size or variance from the others).
    assignments
        Stored reassignments instead of random ones: rows of unit labels, column j receiving the path of the j-th
        treated unit (or group, which any of its units names) in label order.
    assign_by
        Level at which treatment was given, whose whole paths are exchanged. Default: the (coarsest) cluster level of
        the estimate when all units of every cluster have the same path, otherwise the unit. Asking for a finer one
        than that warns: the test is then not valid for shocks that a cluster's units share.
    within
        A level (``"state"``), constant within units and within ``assign_by``, inside which paths are exchanged: the
        name of a cluster level that the estimate carries, or a Series of strata indexed by unit.
    null
        Constant effect under the sharp null.
    cluster
        Level of the t statistic (default: the estimate's first).
    ci, level
        Invert the test of a constant effect into an interval of this level; infinite, with a warning, when there are
        too few reassignments to reject anything. Exact for the reassignments used, and no refits: see
        :func:`~g287stats.numerics.inversion.not_rejected`.

    Notes
    -----
    Exact when assignment was exchangeable between the groups of ``assign_by`` (within strata), whatever their sizes and
    whatever noise their units share. With counties that chose to sign it is a test of the
    sharp null under an assumption about choice, not by design.

    References
    ----------
    Fisher, R. A. (1935). The Design of Experiments. MacKinnon, J. and Webb, M. (2020). Randomization inference for
    difference-in-differences with few treated clusters. Journal of Econometrics 218, 435–450.
    """
    check_draws(draws)
    check_level(level)
    static_effect(est, "randomisation inference", "any estimator can be given to g.placebo_test")
    f = fitted(est, None, "randomisation inference")
    if statistic not in ("coefficient", "t"):
        raise DesignError(f"statistic={statistic!r}: choose 'coefficient' or 't'")
    design = f.design
    paths = treatment_paths(est, f, assign_by)
    labels = paths.of_group
    strata = None
    if within is not None:
        name, by_unit = _strata(within, f)
        strata = strata_of(name, by_unit, paths.group, labels, paths.assign_by)
    enumerated = False
    if assignments is not None:
        batches: Iterable[np.ndarray] = [given_arrangements(paths, assignments, design.unit_labels)]
        total = len(next(iter(batches)))
    elif count_arrangements(labels, strata) <= draws:
        enumerated = True
        batches = [all_arrangements(labels, strata)]
        total = len(next(iter(batches)))
    else:
        batches, total = random_arrangements(labels, draws, seed, strata), draws
    model = _Refit(f, paths, f.codes(cluster)[0], statistic == "t")
    placements = None
    parts = []
    from tqdm import tqdm

    with tqdm(total=total, desc="randomisation", unit="draw", disable=None if model.slow else True) as bar:
        for batch in batches:
            parts.append(model.lines(batch, bar))
            if enumerated and len(paths.treated) == 1:
                head = np.unique(paths.group, return_index=True)[1]
                placements = design.unit_labels[head[batch.argmax(axis=1)]]
    lines = np.hstack(parts)
    gap = f.estimate - null
    values = (lines[0] + gap * lines[1]) / np.sqrt(lines[2] + 2 * gap * lines[3] + gap * gap * lines[4])
    observed = gap / model.error
    p, share, right, left = _p_values(values, observed, enumerated)
    low, high = np.nan, np.nan
    if ci:
        gaps = not_rejected(lines, model.error, 1 - level, added=0 if enumerated else 1)
        low, high = f.estimate - gaps[1], f.estimate - gaps[0]
        warn_unbounded((low, high), f.term, f"{total:,} reassignments", level)
    return RandomizationTest(
        term=f.term,
        outcome=est.outcome,
        estimate=f.estimate,
        compared=statistic,
        statistic=observed,
        null=null,
        p_value=p,
        p_value_share=share,
        p_value_right=right,
        p_value_left=left,
        conf_low=low,
        conf_high=high,
        level=level,
        draws=total,
        enumerated=enumerated,
        seed=None if enumerated or assignments is not None else seed,
        assign_by=paths.assign_by,
        n_treated=len(paths.treated),
        n_assigned=len(labels),
        drawn=values,
        placements=placements,
    )


def _p_values(draws: np.ndarray, observed: float, enumerated: bool) -> tuple[float, float, float, float]:
    """Two-sided, share, right and left p-values; ties (relative 1e-9) count as extreme."""
    tie = TIES * abs(observed)
    n = len(draws)
    counts = [
        int((np.abs(draws) >= abs(observed) - tie).sum()),
        int((draws >= observed - tie).sum()),
        int((draws <= observed + tie).sum()),
    ]
    extra = 0 if enumerated else 1
    both, right, left = ((extra + c) / (extra + n) for c in counts)
    return both, counts[0] / n, right, left


class _Refit:
    """Statistics of the regression when the treatment is another arrangement of the paths.

    With e the residual, d the actual treatment off everything else and τ the estimate, the outcome less a constant
    effect τ − c is e + c·d up to what the regression absorbs. On a reassigned treatment it has the coefficient
    b_e + c·b_d with variance v₀ + 2c·v₁ + c²·v₂ (one where coefficients are compared): five numbers a draw serve every
    null. ``error`` is the standard error of the actual coefficient, which no null changes (one likewise).
    """

    def __init__(self, f: Fitted, paths: Paths, cluster: str, with_t: bool):
        self.f, self.paths, self.with_t = f, paths, with_t
        design, p = f.design, f.projection
        self.clusters = clusters = f.codes(cluster)[1]
        self.n_clusters = int(clusters.max()) + 1
        unit_cluster = design.unit_level(cluster) if with_t else np.zeros(design.n_units, dtype=np.int64)
        wx = f.weighted_direction
        dose = paths.table[paths.of_unit[design.unit], design.time]
        actual = f.direction @ (dose if p.weights is None else dose * p.weights) / f.scale
        if abs(actual - 1) > 1e-8:
            raise DesignError(
                "the coefficient is not that of the treatment path itself (a dose that is not a 0/1 path?); "
                "any estimator can be given to g.placebo_test"
            )
        self.e, self.d = f.fit.residual, f.direction
        flat = p.weights is None and len(p.codes) == 1 and f.fit.bread.shape == (1, 1)
        self.grid = (
            flat and design.n == design.n_units * design.n_periods and p.rank == design.n_units + design.n_periods - 1
        )
        self.grid = self.grid and unit_cluster is not None
        self.slow = not self.grid
        self.error = 1.0
        if with_t:
            scores = np.bincount(clusters, wx * self.e, self.n_clusters)
            self.error = float(np.sqrt((scores**2).sum()) / f.scale)
            if self.error <= 1e-13 * float(np.abs(design.y).max()):
                raise DesignError(
                    "there is no t statistic: the clustered variance is zero up to rounding (an exact fit, or two "
                    'clusters). Use statistic="coefficient"'
                )
        if self.grid and unit_cluster is not None:
            self._prepare_grid(unit_cluster)

    def _prepare_grid(self, unit_cluster: np.ndarray) -> None:
        """On a complete panel a rearranged treatment is projected by centring it in units and in periods.

        A reassigned path k, less its mean over periods, is c_k; less the mean over units too, c_k − m with m the c_k
        weighted by the shares of units that have them. Sums are kept by cell: the units of a group in a cluster of the
        t statistic.
        """
        design, paths = self.f.design, self.paths
        n, t = design.n_units, design.n_periods
        key = paths.group * (int(unit_cluster.max()) + 1) + unit_cluster
        _, head, cell = np.unique(key, return_index=True, return_inverse=True)
        cell = cell.reshape(-1)
        self.cell_group, self.cell_cluster = paths.group[head], unit_cluster[head]
        self.cell_size = np.bincount(cell)
        centred = paths.table - paths.table.mean(axis=1, keepdims=True)

        def crossed(rows: np.ndarray) -> np.ndarray:
            by_unit = rows.reshape(n, t) @ centred.T
            if len(head) == n:
                return by_unit[head]
            return np.column_stack([np.bincount(cell, column) for column in by_unit.T])

        self.cross_e, self.cross_d = crossed(self.e), crossed(self.d)
        self.products = centred @ centred.T

    def lines(self, batch: np.ndarray, bar: tqdm) -> np.ndarray:
        """b_e, b_d, v₀, v₁ and v₂ of every reassignment (rows of paths by group), (5, draws)."""
        if not self.grid:
            return self._by_projection(batch, bar)
        step = max(1, CHUNK // len(self.cell_group))
        parts = []
        for first in range(0, len(batch), step):
            parts.append(self._on_grid(batch[first : first + step]))
            bar.update(parts[-1].shape[1])
        return np.hstack(parts)

    def _on_grid(self, batch: np.ndarray) -> np.ndarray:
        kinds, n_units = batch[:, self.cell_group], self.paths.n_units
        share = np.bincount(self.paths.of_group, n_units, len(self.products))[None, :]
        if n_units.min() < n_units.max():  # how many units are treated depends on the draw
            share = np.column_stack([(batch == k) @ n_units for k in range(len(self.products))])
        share = share / n_units.sum()
        mean_square = np.einsum("ij,jk,ik->i", share, self.products, share)
        norm = np.diag(self.products) - 2 * share @ self.products + mean_square[:, None]  # |c_k − m|²
        q = n_units.sum() * (share * norm).sum(axis=1)
        rows = np.arange(len(self.cell_group))
        s_e, s_d = self.cross_e[rows, kinds], self.cross_d[rows, kinds]
        out = np.zeros((5, len(batch)))
        out[0], out[1], out[2] = s_e.sum(axis=1) / q, s_d.sum(axis=1) / q, 1.0
        if self.with_t:
            wide = np.broadcast_to(norm, (len(batch), norm.shape[1]))
            size = np.take_along_axis(wide, kinds, axis=1) * self.cell_size
            s_e -= share @ self.cross_e.T + out[0][:, None] * size
            s_d -= share @ self.cross_d.T + out[1][:, None] * size
            if self.n_clusters < len(rows):
                add = np.zeros((len(rows), self.n_clusters))
                add[rows, self.cell_cluster] = 1.0
                s_e, s_d = s_e @ add, s_d @ add
            out[2:] = [np.einsum("ij,ij->i", a, b) / q**2 for a, b in ((s_e, s_e), (s_e, s_d), (s_d, s_d))]
        return out

    def _by_projection(self, batch: np.ndarray, bar: tqdm) -> np.ndarray:
        f, design, p = self.f, self.f.design, self.f.projection
        others, group = self._others(), self.paths.group[design.unit]
        out = np.zeros((5, len(batch)))
        out[2] = 1.0
        for j, arrangement in enumerate(batch):
            x = p.residualize(self.paths.table[arrangement[group], design.time])
            w = x if p.weights is None else x * p.weights
            if others is not None:
                x = x - others @ (others.T @ w)
                w = x if p.weights is None else x * p.weights
            q = w @ x
            if q <= 1e-12 * f.scale:
                raise DesignError("a reassigned treatment does not vary after the fixed effects; use within=")
            out[:2, j] = w @ self.e / q, w @ self.d / q
            if self.with_t:
                left = (self.e - out[0, j] * x, self.d - out[1, j] * x)
                e, d = (np.bincount(self.clusters, w * v, self.n_clusters) / q for v in left)
                out[2:, j] = e @ e, e @ d, d @ d
            bar.update(1)
        return out

    def _others(self) -> np.ndarray | None:
        """Orthonormal basis (weighted) of the regressors other than the treatment, or None."""
        f = self.f
        if f.fit.bread.shape == (1, 1):
            return None
        columns = f.fit.columns()
        w = f.weighted_direction
        off = columns - np.outer(f.direction, w @ columns / f.scale)
        sw = off if f.projection.weights is None else off * np.sqrt(f.projection.weights)[:, None]
        _, size, right = np.linalg.svd(sw, full_matrices=False)
        keep = size > 1e-10 * size[0]
        return off @ (right[keep].T / size[keep])


def _strata(within: str | pd.Series, f: Fitted) -> tuple[str, np.ndarray]:
    """Name and codes by unit of the strata."""
    design = f.design
    if isinstance(within, pd.Series):
        name = str(within.name or "strata")
        found = within[~within.index.duplicated()].reindex(design.unit_labels)
        if found.isna().any() or within.index.duplicated().any():
            gone = [*design.unit_labels[found.isna()], *within.index[within.index.duplicated()].unique()]
            some = first_of(gone)
            raise DesignError(f"within: no single stratum for {len(gone)} units: {some}. One row per unit is needed")
        return name, pd.factorize(found, sort=True)[0]
    if within not in design.clusters:
        raise DesignError(
            f"within={within!r}: the estimate carries {sorted(design.clusters)}. Give the strata as a Series by unit: "
            f"within=df.drop_duplicates({design.unit_name!r}).set_index({design.unit_name!r})[{within!r}]"
        )
    by_unit = design.unit_level(within)
    if by_unit is None:
        raise DesignError(f"within={within!r} changes within units")
    return within, by_unit


@documented()
def placebo_test(
    data: Data,
    estimator: Callable[[pd.DataFrame], Any],
    *,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    draws: int = 199,
    assign_by: str | None = None,
    within: str | None = None,
    seed: int = 287,
) -> RandomizationTest:
    """Randomisation test for any estimator: exchange the treatments of units and run it again.

    Parameters
    ----------
    data
        A DataFrame (``unit=``, ``time=`` and ``cohort=`` named) or a ``CountyPanel``.
    estimator
        Callable from a frame to an Estimate with one parameter, or to a number:
        ``lambda f: g.att_gt(f, "rate", unit="fips", time="year", cohort="cohort").aggregate("simple")``.
    cohort, treatment
        The column that the estimator reads, or both columns: what is exchanged. A cohort that is missing, 0 or
        infinite, or after the last period, is never treated; paths of a ``treatment`` are exchanged whole.
    assign_by
        Column with the level at which treatment was given, as in :func:`randomization_test`. The default reads the
        clusters of the estimate; with an estimator that returns a number it is the unit.
    draws
        Number of draws; all distinct reassignments are enumerated when at most ``draws``.
    within
        Column, constant within units and within ``assign_by``, inside whose levels treatments are exchanged.

    Raises
    ------
    DesignError
        What an estimator refuses of keys, cohorts and treatments; when ``within`` or ``assign_by`` changes within a
        unit, every unit is treated, or no reassignment changes the estimate, whose estimator then reads another column.
        An error of the estimator in some draw is raised with the number of the draw.
    """
    check_draws(draws)
    also = (None if assign_by == "unit" else assign_by, within)
    who = read_treatments(data, "placebo test", unit=unit, time=time, cohort=cohort, treatment=treatment, also=also)
    rows = np.arange(len(who.frame))
    actual = estimator(who.frame)
    observed = scalar(actual).estimate if isinstance(actual, Estimate) else float(actual)
    level, group, labels = who.level(assign_by, actual)
    kinds = by_group(who.kinds, group)
    strata = None if within is None else strata_of(within, who.fixed("within", within)[0], group, kinds, level)

    def run(assignment: np.ndarray) -> float:
        result = estimator(who.frame.assign(**who.given(assignment[group[who.code]], rows)))
        return scalar(result).estimate if isinstance(result, Estimate) else float(result)

    enumerated = count_arrangements(kinds, strata) <= draws
    listed = all_arrangements(kinds, strata) if enumerated else None
    batches = random_arrangements(kinds, draws, seed, strata) if listed is None else [listed]
    values_drawn: list[float] = []
    exchanged = 0
    placements = None
    from tqdm import tqdm

    with tqdm(total=draws if listed is None else len(listed), desc="placebo", unit="draw", disable=None) as bar:
        for batch in batches:
            for row in batch:
                try:
                    values_drawn.append(run(row))
                except Exception as error:
                    error.add_note(f"in reassignment {len(values_drawn) + 1} of the placebo test")
                    raise
                exchanged += bool((row != kinds).any())
                bar.update(1)
            if enumerated and (kinds > 0).sum() == 1:
                placements = labels[batch.argmax(axis=1)]
    if exchanged and all(value == observed for value in values_drawn):
        who.refuse_unread("every reassignment", observed)
    p, share, right, left = _p_values(np.array(values_drawn), observed, enumerated)
    return RandomizationTest(
        term=actual.terms[0] if isinstance(actual, Estimate) else "statistic",
        outcome=actual.outcome if isinstance(actual, Estimate) else "",
        estimate=observed,
        compared="coefficient",
        statistic=observed,
        null=0.0,
        p_value=p,
        p_value_share=share,
        p_value_right=right,
        p_value_left=left,
        conf_low=np.nan,
        conf_high=np.nan,
        level=0.95,
        draws=len(values_drawn),
        enumerated=enumerated,
        seed=None if enumerated else seed,
        assign_by=level,
        n_treated=int((kinds > 0).sum()),
        n_assigned=len(kinds),
        drawn=np.array(values_drawn),
        placements=placements,
    )
