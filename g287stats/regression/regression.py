"""From a prepared design and its regressors to an Estimate: the plumbing every regression estimator shares.

``regress`` fits; ``Regression.estimate`` labels. Between the two stand the conventions: which fixed effects count in
K, when rows instead of units must carry the influence, and how a rank deficiency is told to the reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats.design.coding import constant_within
from g287stats.design.prepare import Design
from g287stats.errors import DesignError, DesignWarning, IdentificationError, caution, first_of
from g287stats.estimate.covariance import (
    Clustered,
    CovarianceRule,
    Heteroskedastic,
    Homoskedastic,
    Influence,
    SmallSample,
)
from g287stats.estimate.estimate import Cells, Estimate, Method
from g287stats.estimate.fit import Averages
from g287stats.numerics.least_squares import Collinear, Factor, LeastSquares, least_squares
from g287stats.numerics.within import Projection, absorb_rows

Vcov = Literal["cluster", "iid", "HC1"]


@dataclass(frozen=True)
class Block:
    """Regressors with names: dummies (``factor``) or dense ``columns`` (n, p), and one name per column."""

    names: tuple[str, ...]
    factor: Factor | None = None
    columns: np.ndarray | None = None


@dataclass(frozen=True)
class Regression:
    """A fitted regression on a design, before labels.

    Attributes
    ----------
    design
        The prepared data.
    projection
        The absorbed fixed effects.
    fit
        Coefficients, bread, residuals, scores; columns in the order of ``names``.
    names
        One name per coefficient: factor blocks first, then dense blocks.
    y
        The dependent variable of the fit, (n,).
    kind
        Whether it is of the design's outcome, or the last step of a count model, or of two-stage least squares.
    n_slopes
        Unit-specific slopes absorbed (per unit).
    """

    design: Design
    projection: Projection
    fit: LeastSquares
    names: tuple[str, ...]
    y: np.ndarray = field(repr=False)
    kind: Literal["linear", "working", "instrumented"] = "linear"
    n_slopes: int = 0

    def position(self, names: Sequence[str]) -> np.ndarray:
        """Positions of named coefficients."""
        lookup = {name: j for j, name in enumerate(self.names)}
        return np.array([lookup[name] for name in names], dtype=int)

    def estimate(
        self,
        focal: Sequence[str],
        *,
        kind: str,
        method: Method,
        labels: pd.DataFrame | None = None,
        cluster: str | Sequence[str] | None = None,
        small_sample: SmallSample = "nonnested",
        vcov: Vcov = "cluster",
        options: Mapping[str, Any] | None = None,
        notes: Sequence[str] = (),
        cells: Cells | None = None,
        reference: tuple[Any, ...] = (),
    ) -> Estimate:
        """Label the ``focal`` coefficients as an estimate with influence functions and a covariance rule.

        Influence rows are units when every cluster level is constant within units, and observations otherwise.
        ``labels`` has one row per focal coefficient and a ``term`` column (default: the names).
        """
        at = self.position(focal)
        levels = cluster_levels(self.design, cluster)
        if vcov != "cluster" and cluster is not None:
            raise DesignError(f"vcov={vcov!r} does not use clusters: drop cluster={cluster!r}, or vcov")
        rule = covariance_rule(self, levels, small_sample, vcov)
        if vcov == "cluster" and all(self.design.unit_level(v) is not None for v in levels):
            psi, keys = self.fit.unit_scores() @ self.fit.bread[:, at], unit_keys(self.design)
        else:
            rows = self.fit.columns() @ self.fit.bread[:, at]
            error = rule.error if isinstance(rule, Homoskedastic) else self.fit.weighted_residual
            psi, keys = rows * error[:, None], row_keys(self.design)
        told = (*self.design.notes, *notes, *self.unidentified())
        return Estimate(
            labels=tuple(focal) if labels is None else labels.reset_index(drop=True),
            point=self.fit.beta[at],
            influence=Influence(psi, keys, self.design.unit_labels),
            rule=rule,
            kind=kind,
            method=method,
            outcome=self.design.outcome,
            sample=self.design.sample(),
            options=dict(options or {}),
            cells=cells,
            reference=reference,
            notes=tuple(dict.fromkeys(told)),
            provenance=self.design.provenance,
            regression=self,
            averages=Averages(tuple(focal)),
            floor=np.inf if self.exact else 0.0,
        )

    @property
    def exact(self) -> bool:
        """Whether the residuals are zero, up to rounding."""
        return bool(self.fit.residual @ self.fit.residual <= 1e-26 * (self.y @ self.y))

    def unidentified(self) -> list[str]:
        """Notes on effects that fit a single row or cannot be told apart: counted, named, never dropped."""
        p, d = self.projection, self.design
        notes = []
        if len(p.singletons):
            notes.append(f"{len(p.singletons)} units are observed once and inform no effect: {_few(d, p.singletons)}")
        if len(p.flat_units):
            notes.append(f"unit trend not identified in {len(p.flat_units)} units: {_few(d, p.flat_units)}")
        for j, name in enumerate(d.effects, start=1):
            single = p.level_singletons(j)
            if len(single):
                notes.append(f"{len(single)} levels of {name} are observed once")
        return notes


def regress(
    design: Design,
    blocks: Sequence[Block],
    *,
    covariates: Sequence[str] | None = None,
    unit_trends: bool = False,
    y: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    projection: Projection | None = None,
    workspace: np.ndarray | None = None,
) -> Regression:
    """Least squares of the outcome on the blocks and the covariates after unit, period and further fixed effects.

    Parameters
    ----------
    design
        From :func:`~g287stats.design.prepare.prepare`; ``design.effects`` are absorbed too.
    blocks
        Regressors of interest. Factor blocks come first in ``names``.
    covariates
        Names among ``design.covariate_names`` to enter linearly (default: all).
    unit_trends
        Absorb a linear trend in time for every unit.
    y, weights
        Replace the design's outcome and weights (working response of a count model).
    projection
        Fixed effects already absorbed.
    workspace
        Array that the residuals are written to, see :func:`~g287stats.numerics.least_squares.least_squares`.

    Raises
    ------
    IdentificationError
        Names the columns that the fixed effects or earlier columns determine.
    """
    kind: Literal["linear", "working"] = "linear" if y is None else "working"
    y = design.y if y is None else y
    weights = design.weights if weights is None else weights
    if projection is None:
        projection = absorb_design(design, weights=weights, unit_trends=unit_trends)
    chosen = design.covariate_names if covariates is None else tuple(covariates)
    where = [design.covariate_names.index(c) for c in chosen]
    dense = [b for b in blocks if b.columns is not None]
    if chosen:
        dense.append(Block(chosen, columns=design.covariates[:, where]))
    factors = [b for b in blocks if b.factor is not None]
    names = tuple(n for b in (*factors, *dense) for n in b.names)
    columns = [b.columns for b in dense if b.columns is not None]
    try:
        fit = least_squares(
            projection,
            design.rows.less_first(y) if factors else y,  # dummies are summed as they are, with the level's rounding
            side_by_side(columns),
            [b.factor for b in factors if b.factor is not None],
            workspace=workspace,
        )
    except Collinear as problem:
        raise IdentificationError(_collinear(design, names, problem)) from None
    return Regression(design, projection, fit, names, y, kind, int(unit_trends))


def side_by_side(columns: Sequence[np.ndarray]) -> np.ndarray | None:
    """Dense regressors as one array, or None."""
    if len(columns) <= 1:
        return columns[0] if columns else None
    return np.hstack(columns)


def absorb_design(design: Design, *, weights: np.ndarray | None = None, unit_trends: bool = False) -> Projection:
    """Absorb unit, period and further effects of a design (linear unit trends on request)."""
    return absorb_rows(
        design.rows,
        weights=design.weights if weights is None else weights,
        effects=tuple(design.effects.values()),
        trends=design.time.astype(float) if unit_trends else None,
    )


def by_time(
    design: Design, names: Sequence[str], *, rows: np.ndarray | None = None, unit_trends: bool = False
) -> list[Block]:
    """Covariates interacted with period dummies, one block each.

    A covariate fixed within units leaves out the first observed period, to which the others are relative, because
    the unit effects absorb its level; with ``unit_trends`` it leaves out the first two. ``rows`` (boolean)
    restricts which periods count as observed.
    """
    blocks: list[Block] = []
    if not names:
        return blocks
    seen = design.time if rows is None else design.time[rows]
    present = np.flatnonzero(np.bincount(seen, minlength=design.n_periods))
    for name in names:
        x = design.covariates[:, design.covariate_names.index(name)]
        x = x - x.mean()  # the period effects take up the level, which would hide how much it varies
        used = present[1 + unit_trends :] if design.fixed_in_units(x) else present
        lookup = np.full(design.n_periods, -1)
        lookup[used] = np.arange(len(used))
        terms = tuple(f"{name}×{design.calendar[t]}" for t in used)
        blocks.append(Block(terms, Factor(lookup[design.time], len(used), x)))
    return blocks


def cluster_levels(design: Design, cluster: str | Sequence[str] | None) -> tuple[str, ...]:
    """Cluster levels asked for, by the names under which the design carries them; default the unit."""
    asked = (cluster,) if isinstance(cluster, str) else tuple(cluster or (design.unit_name,))
    levels = tuple(design.unit_name if c not in design.clusters and c in ("unit", "county") else c for c in asked)
    if len(levels) > 2:
        raise DesignError(f"clustering by {len(levels)} levels {levels}: give one level or two")
    return levels


def unit_keys(design: Design) -> dict[str, np.ndarray]:
    """Influence keys when rows are units: the unit, and every cluster level constant within units."""
    keys = {design.unit_name: np.arange(design.n_units)}
    for level in design.clusters:
        codes = design.unit_level(level)
        if codes is not None and level != design.unit_name:
            keys[level] = codes
    return keys


def row_keys(design: Design) -> dict[str, np.ndarray]:
    """Influence keys when rows are observations."""
    return {design.unit_name: design.unit, **{k: v for k, v in design.clusters.items() if k != design.unit_name}}


def covariance_rule(
    regression: Regression, levels: tuple[str, ...], small_sample: SmallSample, vcov: Vcov
) -> CovarianceRule:
    """Build the covariance rule with K counted by the convention asked for."""
    design, n_regressors, trends = regression.design, len(regression.names), bool(regression.n_slopes)

    def count(levels: tuple[str, ...], convention: SmallSample) -> int:
        return parameter_count(design, n_regressors, levels, convention, unit_trends=trends)

    if vcov in ("iid", "HC1") and design.n <= count((), "full"):
        raise DesignError(f"{count((), 'full')} parameters on {design.n} observations leave no residual variance")
    if vcov == "iid":
        fit = regression.fit
        return Homoskedastic.from_residuals(fit.residual, fit.projection.weights, design.n - count((), "full"))
    if vcov == "HC1":
        return Heteroskedastic(design.n, count((), "full"))
    if vcov != "cluster":
        raise DesignError(f"vcov={vcov!r}: choose 'cluster', 'iid' or 'HC1'")
    return clustered(design, levels, small_sample, count)


def clustered(
    design: Design,
    levels: tuple[str, ...],
    small_sample: SmallSample,
    count: Callable[[tuple[str, ...], SmallSample], int],
    *,
    normal: bool = False,
) -> Clustered:
    """Clustered rule on the levels a design carries, K from ``count(levels, small_sample)``.

    One cluster, or a convention that counts as many parameters as observations, is an error that says so.
    """
    sizes = {v: design.clusters.size(v) for v in design.clusters}
    if small_sample in ("did", "unadjusted"):
        return Clustered(levels, small_sample, design.n, {}, sizes, normal)
    k = {v: count((v,), small_sample) for v in design.clusters}
    name = "&".join(levels)
    if name not in k:
        k[name] = count(levels, small_sample)
    if design.n <= k[name]:
        raise DesignError(
            f"small_sample={small_sample!r} counts {k[name]} parameters on {design.n} observations; "
            "use small_sample='nonnested' or fewer fixed effects"
        )
    return Clustered(levels, small_sample, design.n, k, sizes, normal)


def parameter_count(
    design: Design,
    n_regressors: int,
    levels: tuple[str, ...],
    small_sample: SmallSample,
    *,
    unit_trends: bool = False,
) -> int:
    """K of the small-sample factor (n−1)/(n−K).

    ``full`` counts every level of every effect, less one per effect after the first; ``nonnested`` counts one for
    an effect nested in a cluster level; ``none`` counts regressors only. An effect that is constant within
    another one (year within state × year) adds nothing and is not counted.
    """
    if small_sample == "none":
        return n_regressors
    sizes = [design.n_units, design.n_observed_periods, *(int(c.max()) + 1 for c in design.effects.values())]
    kept = [
        a
        for a, size in enumerate(sizes)
        if not any(
            size <= other and (size < other or b < a) and _effect_within(design, a, b)
            for b, other in enumerate(sizes)
            if b != a
        )
    ]
    if unit_trends:
        sizes[0] *= 2
    total = n_regressors + sum(sizes[a] for a in kept) - (len(kept) - 1)
    if small_sample == "nonnested":
        total -= sum(sizes[a] - 1 for a in kept if any(_nested(design, level, a) for level in levels))
    return total


def _effect(design: Design, j: int) -> np.ndarray:
    """Codes by row of the unit (0), the period (1) or a further effect."""
    return (design.time if j else design.unit) if j < 2 else list(design.effects.values())[j - 2]


def _effect_within(design: Design, inner: int, outer: int) -> bool:
    """Whether an effect is constant within the levels of another one."""
    if design.rows.complete and {inner, outer} == {0, 1}:
        return (design.n_units, design.n_periods)[inner] == 1
    return constant_within(_effect(design, inner), _effect(design, outer))


def _nested(design: Design, level: str, effect: int) -> bool:
    """Whether every level of a fixed effect lies in one cluster."""
    by_unit = design.unit_level(level)
    if effect == 0:
        return by_unit is not None
    if effect == 1 and design.rows.complete and by_unit is not None:
        return design.clusters.size(level) == 1
    return constant_within(design.clusters[level], _effect(design, effect))


def tell(design: Design, notes: Sequence[str]) -> None:
    """Warn of every note (they also travel with the estimate)."""
    for note in notes:
        caution(
            f"{design.outcome}: {note}",
            DesignWarning,
        )


def _few(design: Design, units: np.ndarray, show: int = 8) -> str:
    return first_of(design.unit_labels[units], show)


def _collinear(design: Design, names: Sequence[str], problem: Collinear) -> str:
    columns = [names[j] for j in problem.columns]
    shown = first_of(columns, 12)
    if len(problem.absorbed):
        return (
            f"rank deficiency: {shown} do not vary after the fixed effects ({design.absorbed}). A treatment that all "
            "take up at once has no comparison; drop a covariate, or let one fixed within units enter as "
            "covariates_by_time"
        )
    return (
        f"rank deficiency: {shown} are combinations of the fixed effects ({design.absorbed}) and of the columns before "
        "them"
    )
