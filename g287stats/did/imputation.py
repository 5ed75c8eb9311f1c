"""Imputation estimators: fit the untreated outcome on untreated rows, subtract it from the treated ones.

First stage, on rows not (yet) treated:   y_it = α_i + λ_t + x_it'β + ε_it
Effect of a treated row:                  τ̂_it = y_it − α̂_i − λ̂_t − x_it'β̂

``imputation`` (Borusyak, Jaravel and Spiess 2024) averages the effects by cohort and period; ``two_stage`` (Gardner
2022) regresses them on treatment or event time. Points agree; the standard errors differ: the former centres the
effects of treated rows at their cohort × period mean (conservative), the latter at the coefficient (GMM).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from g287stats.arguments import documented
from g287stats.design.coding import NEVER, reference_times, whole
from g287stats.design.keys import Data
from g287stats.errors import DesignError, IdentificationError, Problems, choose
from g287stats.estimate.covariance import Clustered, Influence
from g287stats.estimate.estimate import Cells, Estimate, Method
from g287stats.estimate.factored import FactoredInfluence, Term
from g287stats.numerics.least_squares import Factor
from g287stats.regression.event import chosen_options, must_occur, prepare_regression, with_average
from g287stats.regression.first_stage import FirstStage, first_stage, unit_levels
from g287stats.regression.regression import (
    Block,
    by_time,
    clustered,
    regress,
    unit_keys,
)

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
        "Butts, K., and Gardner, J. (2022). did2s: Two-stage difference-in-differences. The R Journal 14(3), 162–173. "
        "doi:10.32614/RJ-2022-048",
    ),
)


@documented()
def imputation(
    data: Data,
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
    choose("small_sample", small_sample, ("unadjusted", "leave_out"))
    leads = whole("leads", leads, 0)
    keys = {"unit": unit, "time": time, "cohort": cohort, "treatment": treatment}
    design = prepare_regression(data, outcome, keys, covariates, covariates_by_time, weights, cluster, fixed_effects)
    stage, notes = first_stage(design, covariates, covariates_by_time, unit_trends)
    design = stage.design
    levels = unit_levels(design, cluster)
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
        floor=design.rounding,
        options=chosen_options(covariates, covariates_by_time, fixed_effects, unit_trends, weights)
        | {"small_sample": small_sample}
        | ({"leads": leads} if leads else {}),
        cells=Cells(frame[["cohort", "time", "event_time", "mass"]]),
        notes=tuple(dict.fromkeys((*design.notes, *notes))),
        provenance=design.provenance,
    )
    after = frame["event_time"].to_numpy() >= 0
    share = np.where(after, frame["mass"].to_numpy(dtype=float), 0.0)
    overall = estimate.combine(share[None, :] / share.sum(), ["att"], kind="simple")
    return replace(estimate, overall=overall)


@documented()
def two_stage(
    data: Data,
    outcome: str,
    *,
    shape: Literal["static", "event"] = "static",
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
    shape
        ``static``: one coefficient on treatment. ``event``: one per event time of treated units, leads included,
        except ``reference`` (which must occur); each is the average adjusted outcome at that event time.

    Returns
    -------
    Estimate
        ``att``, or one parameter per event time with ``overall`` the plain average over event times ≥ 0.

    References
    ----------
    Gardner (2022); Butts and Gardner (2022).
    """
    if shape not in ("static", "event"):
        raise DesignError(f"shape={shape!r}: choose 'static' or 'event'")
    keys = {"unit": unit, "time": time, "cohort": cohort, "treatment": treatment}
    design = prepare_regression(data, outcome, keys, covariates, covariates_by_time, weights, cluster, fixed_effects)
    stage, notes = first_stage(design, covariates, covariates_by_time, unit_trends)
    design = stage.design
    levels = unit_levels(design, cluster)
    references: tuple[int, ...] = ()
    if shape == "static":
        rows, column = np.flatnonzero(stage.treated), np.zeros(int(stage.treated.sum()), dtype=np.int64)
        labels = pd.DataFrame({"term": ["att"]})
    else:
        references = reference_times(reference)
        event = stage.event_time()
        shown = np.unique(event[design.treated_unit[design.unit]])
        must_occur(references, shown)
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
        kind=shape,
        method=GARDNER,
        outcome=outcome,
        sample=design.sample(),
        floor=design.rounding,
        options=chosen_options(covariates, covariates_by_time, fixed_effects, unit_trends, weights),
        reference=references,
        notes=tuple(dict.fromkeys((*design.notes, *notes))),
        provenance=design.provenance,
    )
    return with_average(estimate) if shape == "event" else estimate


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
    error = p.weighted(stage.residual)
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
    earliest = int(-event[event > -NEVER].min(initial=-1))
    if leads >= earliest:
        raise IdentificationError(
            f"leads={leads}: the earliest event time is {-earliest} and one must stay to compare with; leads= can be "
            f"at most {earliest - 1} here"
        )
    names = tuple(str(e) for e in range(-leads, 0))
    codes = np.where((event >= -leads) & (event < 0), event + leads, -1)
    blocks = [Block(names, Factor(codes, leads)), *by_time(design, by_period, unit_trends=unit_trends)]
    fit = regress(design, blocks, covariates=covariates, unit_trends=unit_trends)
    labels = pd.DataFrame({"term": names, "event_time": range(-leads, 0)})
    return fit.estimate(names, kind="event", method=BJS, labels=labels, cluster=cluster)


def _lead_mass(stage: FirstStage, events: pd.Series) -> np.ndarray:
    event, w = stage.event_time()[~stage.treated], stage.row_weights()[~stage.treated]
    return np.array([w[event == e].sum() for e in events])
