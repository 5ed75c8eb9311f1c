"""Randomisation inference: compare the estimate with what other assignments of the same treatments would give."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats.errors import DesignError, check_draws, check_level
from g287stats.inference.assignment import (
    Paths,
    all_arrangements,
    count_arrangements,
    given_arrangements,
    random_arrangements,
    treatment_paths,
)
from g287stats.inference.estimate import Estimate
from g287stats.inference.fitted import Fitted, fitted, static_effect
from g287stats.inference.inversion import TIES, not_rejected, warn_unbounded
from g287stats.inference.shown import Shown
from g287stats.inference.target import scalar

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
    placements
        Labels of the units that receive treatment in each reassignment when few enough to list
        (one treated unit), else None.
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

    def tidy(self) -> pd.DataFrame:
        """One row."""
        return pd.DataFrame([{k: v for k, v in vars(self).items() if k not in ("drawn", "placements")}])

    def _words(self) -> str:
        how = f"all {self.draws:,} placements" if self.enumerated else f"{self.draws:,} reassignments"
        interval = f", {100 * self.level:g} % interval [{self.conf_low:.4g}, {self.conf_high:.4g}]"
        return (
            f"{self.term}: {self.estimate:.4g}, randomisation p = {self.p_value:.4g} ({self.compared}, {how})"
            f"{'' if np.isnan(self.conf_low) else interval}"
        )


def randomization_test(
    est: Estimate,
    *,
    statistic: Statistic = "coefficient",
    draws: int = 999,
    assignments: Any = None,
    within: str | None = None,
    null: float = 0.0,
    seed: int = 287,
    cluster: str | None = None,
    ci: bool = True,
    level: float = 0.95,
) -> RandomizationTest:
    """Reassign the treatment paths that occurred to other units and refit.

    Every reassignment gives the same number of units the same adoption dates. When there are at most ``draws``
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
        treated unit in label order.
    within
        A level (``"state"``) constant within units inside which paths are exchanged.
    null
        Constant effect under the sharp null.
    cluster
        Level of the t statistic (default: the estimate's first).
    ci, level
        Invert the test of a constant effect into an interval of this level; infinite, with a warning, when there are
        too few reassignments to reject anything. Exact for the reassignments used, and no refits: see
        :func:`~g287stats.inference.inversion.not_rejected`.

    Notes
    -----
    Exact when assignment was exchangeable (within strata). With counties that chose to sign it is a test of the
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
    paths = treatment_paths(design)
    strata = None
    if within is not None:
        strata = design.unit_level(f.codes(within)[0])
        if strata is None:
            raise DesignError(f"within={within!r} changes within units")
    enumerated = False
    if assignments is not None:
        batches: Iterable[np.ndarray] = [given_arrangements(paths, assignments, design.unit_labels)]
        total = len(next(iter(batches)))
    elif count_arrangements(paths.of_unit, strata) <= draws:
        enumerated = True
        batches = [all_arrangements(paths.of_unit, strata)]
        total = len(next(iter(batches)))
    else:
        batches, total = random_arrangements(paths.of_unit, draws, seed, strata), draws
    _, cluster_codes = f.codes(cluster)
    model = _Refit(f, paths, cluster_codes, statistic == "t")
    placements = None
    parts = []
    from tqdm import tqdm

    with tqdm(total=total, desc="randomisation", unit="draw", disable=None if model.slow else True) as bar:
        for batch in batches:
            parts.append(model.lines(batch, bar))
            if enumerated and len(paths.treated) == 1:
                placements = design.unit_labels[batch.argmax(axis=1)]
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

    def __init__(self, f: Fitted, paths: Paths, clusters: np.ndarray, with_t: bool):
        self.f, self.paths, self.with_t = f, paths, with_t
        design, p = f.design, f.projection
        self.clusters = clusters
        self.n_clusters = int(clusters.max()) + 1
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
        if self.grid:
            self._prepare_grid()

    def _prepare_grid(self) -> None:
        """On a complete panel, projecting a rearranged treatment rearranges the projected one."""
        design, paths = self.f.design, self.paths
        n, t = design.n_units, design.n_periods
        share = np.bincount(paths.of_unit, minlength=len(paths.table)) / n
        centred = paths.table - paths.table.mean(axis=1, keepdims=True)
        self.off = centred - share @ centred  # residualised path of a unit that has it
        self.cross_e = self.e.reshape(n, t) @ self.off.T
        self.cross_d = self.d.reshape(n, t) @ self.off.T
        self.norm = (self.off**2).sum(axis=1)

    def lines(self, batch: np.ndarray, bar: Any) -> np.ndarray:
        """b_e, b_d, v₀, v₁ and v₂ of every reassignment, (5, draws)."""
        if not self.grid:
            return self._by_projection(batch, bar)
        rows, q = np.arange(batch.shape[1]), self.f.scale
        s_e, s_d = self.cross_e[rows, batch], self.cross_d[rows, batch]
        out = np.zeros((5, len(batch)))
        out[0], out[1], out[2] = s_e.sum(axis=1) / q, s_d.sum(axis=1) / q, 1.0
        if self.with_t:
            norm = self.norm[batch]
            s_e -= out[0][:, None] * norm
            s_d -= out[1][:, None] * norm
            unit_cluster = np.zeros(batch.shape[1], dtype=np.int64)
            unit_cluster[self.f.design.unit] = self.clusters
            if self.n_clusters < batch.shape[1]:
                add = np.zeros((batch.shape[1], self.n_clusters))
                add[rows, unit_cluster] = 1.0
                s_e, s_d = s_e @ add, s_d @ add
            out[2:] = [np.einsum("ij,ij->i", a, b) / q**2 for a, b in ((s_e, s_e), (s_e, s_d), (s_d, s_d))]
        bar.update(len(batch))
        return out

    def _by_projection(self, batch: np.ndarray, bar: Any) -> np.ndarray:
        f, design, p = self.f, self.f.design, self.f.projection
        others = self._others()
        out = np.zeros((5, len(batch)))
        out[2] = 1.0
        for j, arrangement in enumerate(batch):
            x = p.residualize(self.paths.table[arrangement[design.unit], design.time])
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


def placebo_test(
    data: Any,
    estimator: Callable[[pd.DataFrame], Any],
    *,
    unit: str | None = None,
    cohort: str | None = None,
    draws: int = 199,
    within: str | None = None,
    seed: int = 287,
) -> RandomizationTest:
    """Randomisation test for any estimator: exchange the cohorts of units and run it again.

    Parameters
    ----------
    data
        A DataFrame (``unit=`` and ``cohort=`` named) or a ``CountyPanel``.
    estimator
        Callable from a frame to an Estimate with one parameter, or to a number:
        ``lambda f: g.att_gt(f, "rate", unit="fips", time="year", cohort="cohort").aggregate("simple")``.
    draws, within, seed
        As in :func:`randomization_test`; all distinct reassignments are enumerated when at most ``draws``.

    Raises
    ------
    DesignError
        When a cohort changes within a unit or every unit is treated; an error of the estimator in some draw is
        raised with the number of the draw.
    """
    frame: pd.DataFrame = data if isinstance(data, pd.DataFrame) else data.frame
    unit = unit or getattr(data, "unit", None)
    cohort = cohort or ("cohort" if not isinstance(data, pd.DataFrame) else None)
    if unit is None or cohort is None:
        raise DesignError('name the keys of the frame: unit="county_fips", cohort="cohort"')
    codes, labels = pd.factorize(frame[unit], sort=True)
    first = frame.groupby(codes, sort=True)
    if (first[cohort].nunique(dropna=False) > 1).any():
        raise DesignError(f"cohort {cohort!r} changes within units")
    by_unit = first[cohort].first()
    kinds = pd.factorize(by_unit, sort=True)[0] + 1  # 0 is never treated
    if (kinds > 0).all() or not (kinds > 0).any():
        raise DesignError("the reassignment needs both treated and never-treated units")
    strata = None if within is None else pd.factorize(first[within].first(), sort=True)[0]
    example = np.zeros(int(kinds.max()) + 1, dtype=np.int64)  # a unit of each kind
    example[kinds] = np.arange(len(kinds))

    def run(assignment: np.ndarray) -> float:
        column = by_unit.iloc[example[assignment[codes]]].set_axis(frame.index)
        changed = frame.assign(**{cohort: column})
        result = estimator(changed)
        return scalar(result).estimate if isinstance(result, Estimate) else float(result)

    actual = estimator(frame)
    observed = scalar(actual).estimate if isinstance(actual, Estimate) else float(actual)
    enumerated = count_arrangements(kinds, strata) <= draws
    listed = all_arrangements(kinds, strata) if enumerated else None
    batches = random_arrangements(kinds, draws, seed, strata) if listed is None else [listed]
    values_drawn: list[float] = []
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
                bar.update(1)
            if enumerated and (kinds > 0).sum() == 1:
                placements = pd.Index(labels[batch.argmax(axis=1)], name=unit)
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
        drawn=np.array(values_drawn),
        placements=placements,
    )
