"""Imputation estimators: fit the untreated outcome on untreated rows, subtract it from the treated ones.

First stage, on rows not (yet) treated:   y_it = α_i + λ_t + x_it'β + ε_it
Effect of a treated row:                  τ̂_it = y_it − α̂_i − λ̂_t − x_it'β̂

``imputation`` (Borusyak, Jaravel and Spiess 2024) averages the effects by cohort and period; ``two_stage`` (Gardner
2022) regresses them on treatment or event time. Points agree; the standard errors differ: the former centres the
effects of treated rows at their cohort × period mean (conservative), the latter at the coefficient (GMM).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats.did.design import NEVER, Design
from g287stats.did.regression import (
    Block,
    by_time,
    cluster_levels,
    clustered,
    regress,
    tell,
    unit_keys,
)
from g287stats.did.twfe import _options, _prepare, with_average
from g287stats.did.wide import absorbing_cohort
from g287stats.errors import DesignError, IdentificationError, Problems
from g287stats.inference.covariance import Clustered, Influence
from g287stats.inference.estimate import Cells, Estimate, Method
from g287stats.inference.factored import FactoredInfluence, Term
from g287stats.numerics.least_squares import Collinear, Factor, LeastSquares, least_squares
from g287stats.numerics.within import Projection, absorb

BJS = Method(
    "imputation",
    "Imputation (Borusyak, Jaravel and Spiess)",
    (
        "Borusyak, K., Jaravel, X., and Spiess, J. (2024). Revisiting event-study designs: Robust and efficient "
        "estimation. Review of Economic Studies 91(6), 3253–3285. doi:10.1093/restud/rdae007",
    ),
)
GARDNER = Method(
    "two_stage",
    "Two-stage difference-in-differences (Gardner)",
    (
        "Gardner, J. (2022). Two-stage differences in differences. arXiv:2207.05943.",
        "Butts, K., and Gardner, J. (2022). did2s: Two-stage difference-in-differences. The R Journal 14(3), 162–173.",
    ),
)
FITS = "g.switching_did fits treatments that end"


def imputation(
    data: Any,
    outcome: str,
    *,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    leads: int = 0,
    covariates: Sequence[str] = (),
    covariates_by_time: Sequence[str] = (),
    fixed_effects: Sequence[str | tuple[str, ...]] = (),
    unit_trends: bool = False,
    weights: str | None = None,
    cluster: str | Sequence[str] | None = None,
    small_sample: Literal["unadjusted", "leave_out"] = "unadjusted",
) -> Estimate:
    """Imputation estimator of cohort × period effects.

    Parameters
    ----------
    leads
        Number of pre-trend coefficients, event times −leads … −1, from a separate regression on untreated rows (all
        earlier event times and never-treated units are their reference). They appear among the parameters with
        negative event times and in ``.aggregate("event")``; they test the assumptions and are not comparable in
        size with the effects.
    covariates, covariates_by_time, fixed_effects, unit_trends
        Part of the first stage, fitted on untreated rows.
    weights
        Positive weights by row, in the first stage and in the averages.
    cluster
        One level that is constant within units; default the unit.
    small_sample
        ``unadjusted``: the paper's main variance, normal critical values; too short with few units in a cohort.
        ``leave_out``: the mean at which a treated row's effect is centred leaves the row's own unit out (the paper's
        appendix A.9), t with clusters less one degrees of freedom.
    data, outcome, unit, time, cohort, treatment
        As in :func:`~g287stats.did.twfe.twfe`; treatment must stay on.

    Returns
    -------
    Estimate
        One parameter per cohort and period, in outcome units. ``overall`` is the average over treated rows;
        ``.aggregate("event" | "cohort" | "calendar")`` weights cells by their (weighted) rows. Units without an
        untreated row, and treated rows whose untreated outcome no untreated row informs, are counted in
        ``sample["flow"]`` and in ``notes``.

    Notes
    -----
    Standard errors follow the paper's equation (10) with the effects of treated rows centred at their weighted
    cohort × period mean. Leads carry the cluster factor of the regression that makes them.

    References
    ----------
    Borusyak, Jaravel and Spiess (2024).
    """
    if small_sample not in ("unadjusted", "leave_out"):
        raise DesignError(f"small_sample={small_sample!r}: choose 'unadjusted' or 'leave_out'")
    keys = {"unit": unit, "time": time, "cohort": cohort, "treatment": treatment}
    design = _prepare(data, outcome, keys, covariates, covariates_by_time, weights, cluster, fixed_effects)
    stage, notes = _first_stage(design, covariates, covariates_by_time, unit_trends)
    design = stage.design
    levels = _levels(design, cluster)
    cell, frame = _cells(stage)
    effect = stage.effect[stage.treated]
    w = stage.row_weights()[stage.treated]
    mass = np.bincount(cell, w)
    v = w / mass[cell]
    point = np.bincount(cell, v * effect)
    squares = np.bincount(cell, v**2)
    deviation = effect - (np.bincount(cell, v**2 * effect) / squares)[cell]
    if small_sample == "leave_out":
        deviation = _leave_out(deviation, v**2 / squares[cell], frame, cell)
    terms = _cell_terms(stage, cell, v, v * deviation)
    frame = frame.assign(mass=mass)
    keys_by_level = unit_keys(design)
    influence: Influence = FactoredInfluence(terms, design.n_units, len(frame), keys_by_level, design.unit_labels)
    if leads:
        before = _leads(stage, leads, covariates, covariates_by_time, unit_trends, cluster)
        head = before.labels.assign(cohort=None, time=None, mass=_lead_mass(stage, before.labels["event_time"]))
        frame = pd.concat([head[frame.columns], frame.astype({"cohort": object, "time": object})], ignore_index=True)
        point = np.r_[before.point, point]
        # the regression's own small-sample factor travels inside the influence of the leads
        factor = before.rule.factor() if isinstance(before.rule, Clustered) else 1.0
        first = Term(np.arange(design.n_units), np.arange(len(head)), np.sqrt(factor) * before.influence.psi)
        moved = [replace(t, columns=t.columns + len(head)) for t in terms]
        influence = FactoredInfluence([first, *moved], design.n_units, len(frame), keys_by_level, design.unit_labels)
    estimate = Estimate(
        labels=frame[["term", "cohort", "time", "event_time"]],
        point=point,
        influence=influence,
        rule=clustered(design, levels, "unadjusted", lambda *_: 0, normal=small_sample == "unadjusted"),
        kind="group_time",
        method=BJS,
        outcome=outcome,
        sample=design.sample(),
        options=_options(covariates, covariates_by_time, fixed_effects, unit_trends, weights)
        | {"small_sample": small_sample}
        | ({"leads": leads} if leads else {}),
        cells=Cells(frame[["cohort", "time", "event_time", "mass"]]),
        notes=tuple(dict.fromkeys((*design.notes, *notes))),
        provenance=design.provenance,
        design=stage,
    )
    after = frame["event_time"].to_numpy() >= 0
    share = np.where(after, frame["mass"].to_numpy(dtype=float), 0.0)
    overall = estimate.combine(share[None, :] / share.sum(), ["att"], kind="simple")
    return replace(estimate, overall=overall)


def two_stage(
    data: Any,
    outcome: str,
    *,
    effects: Literal["static", "event"] = "static",
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    reference: int | Sequence[int] = -1,
    covariates: Sequence[str] = (),
    covariates_by_time: Sequence[str] = (),
    fixed_effects: Sequence[str | tuple[str, ...]] = (),
    unit_trends: bool = False,
    weights: str | None = None,
    cluster: str | Sequence[str] | None = None,
) -> Estimate:
    """Two-stage difference-in-differences with GMM standard errors.

    Parameters
    ----------
    effects
        ``static``: one coefficient on treatment. ``event``: one per event time of treated units, leads included,
        except ``reference``; each is the average adjusted outcome at that event time.
    data, outcome, unit, time, cohort, treatment, covariates, covariates_by_time, fixed_effects, unit_trends, weights, \
cluster
        As in :func:`imputation`.

    Returns
    -------
    Estimate
        ``att``, or one parameter per event time with ``overall`` the plain average over event times ≥ 0.

    References
    ----------
    Gardner (2022); Butts and Gardner (2022).
    """
    if effects not in ("static", "event"):
        raise DesignError(f"effects={effects!r}: choose 'static' or 'event'")
    keys = {"unit": unit, "time": time, "cohort": cohort, "treatment": treatment}
    design = _prepare(data, outcome, keys, covariates, covariates_by_time, weights, cluster, fixed_effects)
    stage, notes = _first_stage(design, covariates, covariates_by_time, unit_trends)
    design = stage.design
    levels = _levels(design, cluster)
    references: tuple[int, ...] = ()
    if effects == "static":
        rows, column = np.flatnonzero(stage.treated), np.zeros(int(stage.treated.sum()), dtype=np.int64)
        labels = pd.DataFrame({"term": ["att"]})
    else:
        references = (reference,) if isinstance(reference, int) else tuple(reference)
        event = stage.event_time()
        rows = np.flatnonzero(design.treated_unit[design.unit] & ~np.isin(event, references))
        found, column = np.unique(event[rows], return_inverse=True)
        column = column.reshape(-1)
        labels = pd.DataFrame({"term": [str(e) for e in found], "event_time": found.astype(int)})
    w = stage.row_weights()[rows]
    v = w / np.bincount(column, w)[column]
    adjusted = stage.effect[rows]
    point = np.bincount(column, v * adjusted)
    k = len(point)
    second = np.bincount(design.unit[rows] * k + column, v * (adjusted - point[column]), design.n_units * k).reshape(
        design.n_units, k
    )
    terms = [
        Term(np.arange(design.n_units), np.arange(k), second),
        *stage.first_stage_terms(rows, column, v, np.arange(k)),
    ]
    psi = FactoredInfluence(terms, design.n_units, k, unit_keys(design)).psi
    estimate = Estimate(
        labels=labels,
        point=point,
        influence=Influence(psi, unit_keys(design), design.unit_labels),
        rule=clustered(design, levels, "unadjusted", lambda *_: 0, normal=True),
        kind=effects,
        method=GARDNER,
        outcome=outcome,
        sample=design.sample(),
        options=_options(covariates, covariates_by_time, fixed_effects, unit_trends, weights),
        reference=references,
        notes=tuple(dict.fromkeys((*design.notes, *notes))),
        provenance=design.provenance,
        design=stage,
    )
    return with_average(estimate) if effects == "event" else estimate


# ---- first stage ------------------------------------------------------------------------------------------------
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
        """Periods since first treatment by row; very negative for never-treated units."""
        cohort = self.design.cohort[self.design.unit]
        return np.where(cohort == NEVER, -NEVER, self.design.time - np.where(cohort == NEVER, 0, cohort))

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
        error = p._weighted(self.residual)
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


def _first_stage(
    design: Design, covariates: Sequence[str], by_period: Sequence[str], unit_trends: bool
) -> tuple[FirstStage, list[str]]:
    """Fit the untreated outcome; units and treated rows it cannot inform leave, counted and named."""
    if design.treatment is not None:
        design = replace(design, cohort=absorbing_cohort(design, FITS), treatment=None)
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
        listed = ", ".join(str(design.calendar[t]) for t in periods[:8])
        notes.append(
            f"{int((~known).sum())} treated rows in {len(periods)} periods ({listed}) have no untreated comparison "
            "and are left out of every average"
        )
        design = design.restrict(keep, "no untreated comparison")
        treated = design.time >= design.cohort[design.unit]
        if not treated.any():
            raise IdentificationError("no treated row has an untreated comparison: nothing to impute")
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
            listed = ", ".join(names[j] for j in problem.columns[:12])
            raise IdentificationError(
                f"rank deficiency on the untreated rows: {listed}. The first stage is fitted without treated rows; "
                "drop these columns"
            ) from None
        y = y - _fitted(blocks, fit.beta)
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


def _fitted(blocks: Sequence[Block], beta: np.ndarray) -> np.ndarray:
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


# ---- cells --------------------------------------------------------------------------------------------------------
def _cells(stage: FirstStage) -> tuple[np.ndarray, pd.DataFrame]:
    """Cell of every treated row, and the cells: cohort, time, event time, ordered by cohort and time."""
    d = stage.design
    cohort, time = d.cohort[d.unit[stage.treated]], d.time[stage.treated]
    key = cohort * d.n_periods + time
    used = np.bincount(key) > 0
    found = np.flatnonzero(used)
    cell = (np.cumsum(used) - 1)[key]
    cohorts, times = found // d.n_periods, found % d.n_periods
    names = {p: d.period_label(p) for p in sorted({*cohorts.tolist(), *times.tolist()})}
    cohort_labels, time_labels = [names[c] for c in cohorts.tolist()], [names[t] for t in times.tolist()]
    frame = pd.DataFrame(
        {
            "term": [f"att({c},{t})" for c, t in zip(cohort_labels, time_labels)],
            "cohort": cohort_labels,
            "time": time_labels,
            "event_time": (times - cohorts).astype(int),
        }
    )
    return cell, frame


def _leave_out(deviation: np.ndarray, share: np.ndarray, frame: pd.DataFrame, cell: np.ndarray) -> np.ndarray:
    """Deviations from the mean of the other rows, from those from the mean of all and the row's share in it."""
    alone = np.unique(cell[share > 1 - 1e-12])
    if len(alone):
        problems = Problems('imputation with small_sample="leave_out"')
        names = frame["term"].iloc[alone].tolist()
        problems.add("cells of one unit have no other to centre at", names, 'Use small_sample="unadjusted"')
        problems.raise_if_any(IdentificationError)
    return deviation / (1 - share)


def _cell_terms(stage: FirstStage, cell: np.ndarray, v: np.ndarray, own: np.ndarray) -> list[Term]:
    """Influence of all cells: the first stage through period coefficients, the treated rows by cohort."""
    d, p = stage.design, stage.projection
    rows = np.flatnonzero(stage.treated)
    cohort = d.cohort[d.unit[rows]]
    n_cells = int(cell.max()) + 1
    rights = [np.empty((size, n_cells)) for size in p.sizes]
    slopes = None if stage.fit is None else np.empty((len(stage.fit.beta), n_cells))
    terms = []
    order = np.argsort(cohort, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(cohort[order])) + 1):
        first, last = int(cell[members].min()), int(cell[members].max())
        k, column = last - first + 1, cell[members] - first
        here = rows[members]
        for right, lam in zip(rights, p.functional(column=column, values=v[members], n_columns=k, **stage.rows(here))):
            right[:, first : last + 1] = -lam
        if slopes is not None:
            slopes[:, first : last + 1] = -stage.slope(here, column, v[members], k)
        units, inside = np.unique(d.unit[here], return_inverse=True)
        left = np.bincount(inside.reshape(-1) * k + column, own[members], len(units) * k).reshape(len(units), k)
        terms.append(Term(units, np.arange(first, last + 1), left))
    everyone, everything = np.arange(d.n_units), np.arange(n_cells)
    error = p._weighted(stage.residual)
    for j, right in enumerate(rights):
        terms.append(Term(everyone, everything, p.unit_level(error, j), right))
    if stage.fit is not None and slopes is not None:
        terms.append(Term(everyone, everything, stage.fit.unit_scores(), slopes))
    return terms


# ---- leads --------------------------------------------------------------------------------------------------------
def _leads(
    stage: FirstStage,
    leads: int,
    covariates: Sequence[str],
    by_period: Sequence[str],
    unit_trends: bool,
    cluster: str | Sequence[str] | None,
) -> Estimate:
    """Coefficients on event times −leads … −1 in the regression on untreated rows."""
    design = stage.design.restrict(~stage.treated, "treated")
    event = stage.event_time()[~stage.treated]
    names = tuple(str(e) for e in range(-leads, 0))
    codes = np.where((event >= -leads) & (event < 0), event + leads, -1)
    blocks = [Block(names, Factor(codes, leads)), *by_time(design, by_period, unit_trends=unit_trends)]
    fit = regress(design, blocks, covariates=covariates, unit_trends=unit_trends)
    labels = pd.DataFrame({"term": names, "event_time": range(-leads, 0)})
    return fit.estimate(names, kind="event", method=BJS, labels=labels, cluster=cluster)


def _lead_mass(stage: FirstStage, events: pd.Series) -> np.ndarray:
    event, w = stage.event_time()[~stage.treated], stage.row_weights()[~stage.treated]
    return np.array([w[event == e].sum() for e in events])


def _levels(design: Design, cluster: str | Sequence[str] | None) -> tuple[str, ...]:
    levels = cluster_levels(design, cluster)
    moving = [v for v in levels if design.unit_level(v) is None]
    if moving:
        raise DesignError(f"cluster {', '.join(moving)} changes within units; this estimator clusters units")
    return levels


def _named(design: Design, units: np.ndarray, what: str, show: int = 8) -> str:
    codes = np.flatnonzero(units)
    names = ", ".join(str(v) for v in design.unit_labels[codes[:show]])
    return f"{len(codes)} units {what}: {names}" + (f", … {len(codes) - show} more" if len(codes) > show else "")
