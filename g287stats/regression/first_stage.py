"""The untreated-outcome model of imputation estimators, fitted on untreated rows and predicted on treated ones.

First stage, on rows not (yet) treated:   y_it = α_i + λ_t + x_it'β + ε_it
Effect of a treated row:                  τ̂_it = y_it − α̂_i − λ̂_t − x_it'β̂
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from g287stats.design.prepare import NEVER, Design
from g287stats.design.wide import dated
from g287stats.errors import DesignError, IdentificationError, first_of
from g287stats.estimate.factored import Term
from g287stats.numerics.least_squares import Collinear, Factor, LeastSquares, least_squares
from g287stats.numerics.within import Projection, absorb
from g287stats.regression.event import FITS
from g287stats.regression.regression import Block, by_time, cluster_levels, tell


@dataclass(frozen=True)
class FirstStage:
    """The untreated-outcome model and what it leaves.

    Attributes
    ----------
    design
        The rows used, treated and untreated.
    treated
        Boolean (n,).
    projection
        Fixed effects absorbed on the untreated rows.
    fit
        Covariate coefficients on the untreated rows, or None without covariates.
    blocks
        The covariates, on all rows.
    residual
        Residuals of the untreated rows, (n₀,).
    effect
        Outcome less its fitted untreated value, (n,).
    unit_trends
        Whether unit trends are in the model.
    """

    design: Design
    treated: np.ndarray
    projection: Projection
    fit: LeastSquares | None
    blocks: tuple[Block, ...]
    residual: np.ndarray
    effect: np.ndarray
    unit_trends: bool

    def row_weights(self) -> np.ndarray:
        """Weights by row (ones when there are none)."""
        return np.ones(self.design.n) if self.design.weights is None else self.design.weights

    def event_time(self) -> np.ndarray:
        """Periods since first treatment by row; very negative for units not treated within the panel."""
        cohort, inside = self.design.cohort[self.design.unit], self.design.treated_unit[self.design.unit]
        return np.where(inside, self.design.time - np.where(inside, cohort, 0), -NEVER)

    def rows(self, rows: np.ndarray) -> dict[str, Any]:
        """Codes of some rows, as the projection's methods take them."""
        d = self.design
        return {
            "unit": d.unit[rows],
            "time": d.time[rows],
            "effects": tuple(e[rows] for e in d.effects.values()),
            "trends": d.time[rows].astype(float) if self.unit_trends else None,
        }

    def first_stage_terms(self, rows: np.ndarray, column: np.ndarray, v: np.ndarray, columns: np.ndarray) -> list[Term]:
        """Influence of the first stage's residuals on the sums of ``v × effect`` over rows, by column."""
        p, everyone = self.projection, np.arange(self.design.n_units)
        error = p.weighted(self.residual)
        levels = p.functional(column=column, values=v, n_columns=len(columns), **self.rows(rows))
        terms = [Term(everyone, columns, p.unit_level(error, j), -lam) for j, lam in enumerate(levels)]
        if self.fit is not None:
            terms.append(Term(everyone, columns, self.fit.unit_scores(), -self.slope(rows, column, v, len(columns))))
        return terms

    def slope(self, rows: np.ndarray, column: np.ndarray, v: np.ndarray, k: int) -> np.ndarray:
        """What each covariate coefficient contributes to the sums of ``v × fitted``, times the bread: (p, k)."""
        assert self.fit is not None
        x = _dense(self.blocks, rows)
        untreated = _dense(self.blocks, np.flatnonzero(~self.treated))
        x = x - self.projection.evaluate(self.projection.coefficients(untreated), **self.rows(rows))
        sums = np.stack([np.bincount(column, v * x[:, j], k) for j in range(x.shape[1])])
        return self.fit.bread @ sums


def first_stage(
    design: Design, covariates: Sequence[str], by_period: Sequence[str], unit_trends: bool
) -> tuple[FirstStage, list[str]]:
    """Fit the untreated outcome; units and treated rows it cannot inform leave, counted and named."""
    design = dated(design, FITS)
    notes = []
    treated = design.time >= design.cohort[design.unit]
    if not treated.any():
        raise IdentificationError("no treated row: nothing to impute")
    if treated.all():
        raise IdentificationError("every row is treated: no untreated row to learn from")
    no_untreated = np.bincount(design.unit[~treated], minlength=design.n_units) == 0
    if no_untreated.any():
        notes.append(_named(design, no_untreated, "have no untreated row and are left out"))
        design = design.restrict(~no_untreated[design.unit], "unit has no untreated row")
        treated = design.time >= design.cohort[design.unit]
    if not treated.any():
        raise IdentificationError(
            "no unit is treated after a period in which it was not: nothing to impute"
            + "".join(f"; {n}" for n in notes)
        )
    stage = _fit(design, treated, covariates, by_period, unit_trends)
    rows = np.flatnonzero(treated)
    known = stage.projection.identified(**stage.rows(rows))
    known &= _periods_known(stage, rows)
    if not known.all():
        keep = np.ones(design.n, dtype=bool)
        keep[rows[~known]] = False
        periods = np.unique(design.time[rows[~known]]).tolist()
        listed = first_of(design.calendar[t] for t in periods)
        notes.append(
            f"{int((~known).sum())} treated rows in {len(periods)} periods ({listed}) have no untreated comparison "
            "and are left out of every average"
        )
        design = design.restrict(keep, "no untreated comparison")
        treated = design.time >= design.cohort[design.unit]
        if not treated.any():
            raise IdentificationError(
                f"no treated row has an untreated comparison within the fixed effects ({design.absorbed}): nothing to "
                "impute. Where treatment is set by a level, its effects by period leave nobody to compare with"
            )
        stage = _fit(design, treated, covariates, by_period, unit_trends)
    single = stage.projection.singletons
    if len(single):
        mask = np.isin(np.arange(design.n_units), single) & design.treated_unit
        if mask.any():
            notes.append(_named(design, mask, "have one untreated row, which fixes their level alone"))
    tell(design, notes)
    return stage, notes


def _fit(
    design: Design, treated: np.ndarray, covariates: Sequence[str], by_period: Sequence[str], unit_trends: bool
) -> FirstStage:
    free = ~treated
    projection = absorb(
        design.unit[free],
        design.time[free],
        n_units=design.n_units,
        n_periods=design.n_periods,
        weights=None if design.weights is None else design.weights[free],
        effects=tuple(e[free] for e in design.effects.values()),
        sizes=[int(e.max()) + 1 for e in design.effects.values()],
        trends=design.time[free].astype(float) if unit_trends else None,
    )
    blocks = by_time(design, by_period, rows=free, unit_trends=unit_trends)
    if covariates:
        where = [design.covariate_names.index(c) for c in covariates]
        blocks.append(Block(tuple(covariates), columns=design.covariates[:, where]))
    y, fit = design.rows.less_first(design.y), None
    if blocks:
        factors = [_restrict(b.factor, free) for b in blocks if b.factor is not None]
        dense = [b.columns[free] for b in blocks if b.columns is not None]
        try:
            fit = least_squares(projection, y[free], np.hstack(dense) if dense else None, factors)
        except Collinear as problem:
            names = [n for b in blocks for n in b.names]
            listed = first_of((names[j] for j in problem.columns), 12)
            raise IdentificationError(
                f"rank deficiency on the untreated rows: {listed}. The first stage is fitted without treated rows; "
                "drop these columns"
            ) from None
        y = y - fitted_values(blocks, fit.beta)
    coefficients = projection.coefficients(y[free])
    stage = FirstStage(design, treated, projection, fit, tuple(blocks), np.empty(0), np.empty(0), unit_trends)
    effect = y - projection.evaluate(coefficients, **stage.rows(np.arange(design.n)))[:, 0]
    residual = projection.residualize(y[free])
    effect[free] = residual
    return replace(stage, residual=residual, effect=effect)


def _periods_known(stage: FirstStage, rows: np.ndarray) -> np.ndarray:
    """Whether the period-specific coefficients a row needs are fitted (its period has untreated rows)."""
    if not any(b.factor is not None for b in stage.blocks):
        return np.ones(len(rows), dtype=bool)
    seen = np.bincount(stage.design.time[~stage.treated], minlength=stage.design.n_periods) > 0
    return seen[stage.design.time[rows]]


def _restrict(factor: Factor, rows: np.ndarray) -> Factor:
    return Factor(factor.codes[rows], factor.n_levels, None if factor.values is None else factor.values[rows])


def fitted_values(blocks: Sequence[Block], beta: np.ndarray) -> np.ndarray:
    """What the covariates contribute to the fit of every row, (n,)."""
    out, start = np.zeros(0), 0
    for b in blocks:
        part = beta[start : start + len(b.names)]
        start += len(b.names)
        if b.factor is not None:
            value = np.r_[0.0, part][b.factor.codes + 1]
            fit = value if b.factor.values is None else value * b.factor.values
        else:
            fit = np.asarray(b.columns) @ part
        out = out + fit if len(out) else fit
    return out


def _dense(blocks: Sequence[Block], rows: np.ndarray) -> np.ndarray:
    """Covariates of some rows as columns."""
    parts = []
    for b in blocks:
        if b.factor is not None:
            part = np.zeros((len(rows), b.factor.n_levels))
            codes = b.factor.codes[rows]
            on = np.flatnonzero(codes >= 0)
            part[on, codes[on]] = 1.0 if b.factor.values is None else b.factor.values[rows][on]
            parts.append(part)
        else:
            parts.append(np.asarray(b.columns)[rows])
    return np.hstack(parts)


def unit_levels(design: Design, cluster: str | Sequence[str] | None) -> tuple[str, ...]:
    """Cluster levels asked for; one that changes within units is an error."""
    levels = cluster_levels(design, cluster)
    moving = [v for v in levels if design.unit_level(v) is None]
    if moving:
        raise DesignError(f"cluster {', '.join(moving)} changes within units; this estimator clusters units")
    return levels


def _named(design: Design, units: np.ndarray, what: str, show: int = 8) -> str:
    codes = np.flatnonzero(units)
    return f"{len(codes)} units {what}: {first_of(design.unit_labels[codes], show)}"
