"""Extended two-way fixed effects (Wooldridge): one coefficient per cohort and period, linear or Poisson."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from g287stats.arguments import documented
from g287stats.design.keys import Data
from g287stats.design.prepare import NEVER, Design, prepare
from g287stats.design.wide import dated, labelled
from g287stats.errors import DesignError, IdentificationError, choose
from g287stats.estimate.covariance import SmallSample
from g287stats.estimate.degenerate import ALONE
from g287stats.estimate.estimate import Cells, Estimate, Method
from g287stats.numerics.least_squares import Factor
from g287stats.regression.event import chosen_options
from g287stats.regression.ppml import ppml, without_empty
from g287stats.regression.regression import Block, Regression, by_time, regress, tell

METHOD = Method(
    "etwfe",
    "Extended two-way fixed effects",
    (
        "Wooldridge, J. M. (2025). Two-way fixed effects, the two-way Mundlak regression, and "
        "difference-in-differences estimators. Empirical Economics 69(5), 2545–2587. doi:10.1007/s00181-025-02807-z",
        "Wooldridge, J. M. (2023). Simple approaches to nonlinear difference-in-differences with panel data. "
        "Econometrics Journal 26(3), C31–C66. doi:10.1093/ectj/utad016",
    ),
)


@documented()
def etwfe(
    data: Data,
    outcome: str,
    *,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    model: Literal["linear", "poisson"] = "linear",
    control: Literal["never", "notyet"] = "notyet",
    covariates: Sequence[str] = (),
    at_risk: str | None = None,
    weights: str | None = None,
    cluster: str | Sequence[str] | None = None,
    small_sample: SmallSample = "nonnested",
) -> Estimate:
    """Two-way fixed effects with a coefficient for every treated cohort × period cell.

        y_it = Σ_{g,t} [ τ_gt + (x_i − x̄_g)'κ_gt ] 1{g_i = g} 1{period t} + x_i'π_t + α_i + λ_t + ε_it

    With ``control="notyet"`` cells start with treatment, so that not-yet-treated and never-treated rows together
    stand for the untreated path (the most efficient choice when errors are neither correlated nor heteroskedastic;
    its averages equal the imputation estimator's in a balanced panel). With ``control="never"`` every period of a
    cohort but the one before treatment has a cell, leads included, and only never-treated units are comparison.
    ``model="poisson"`` puts the same terms in the log of the mean (with log ``at_risk`` as offset): parallel trends
    then hold in ratios and τ is in log points.

    Parameters
    ----------
    model, control
        See above.
    covariates
        Interacted with every cell, deviations from the cohort's mean (so that τ is the cohort's average effect), and
        with every period. Variables that change over time must not respond to treatment.
    at_risk
        Only for Poisson: the number at risk, in the units the rate is wanted in.

    Returns
    -------
    Estimate
        ``kind="group_time"``; terms ``att(g,t)``. Aggregate with ``.aggregate(…)``; cells weigh as their number of
        observations (times weights), which is treated as fixed.

    Raises
    ------
    DesignError, IdentificationError
        Treatment that ends; no untreated comparison; cells or covariates that are not identified, by name.
    """
    choose("model", model, ("linear", "poisson"))
    control = choose("control", control, ("never", "notyet"))
    if at_risk and model == "linear":
        raise DesignError('at_risk= goes with model="poisson"; divide the outcome by it for a linear model of rates')
    design = prepare(
        data,
        outcome,
        unit=unit,
        time=time,
        cohort=cohort,
        treatment=treatment,
        covariates=covariates,
        weights=weights,
        cluster=cluster,
        at_risk=at_risk,
    )
    design = dated(design, "use g.switching_did")
    design, notes = _comparable(design, control)
    if model == "linear":
        blocks, frame = _blocks(design, control, covariates)
        fit = regress(design, blocks, covariates=())
    else:
        fit, blocks, frame, more = _poisson(design, control, covariates)
        notes += more
    tell(design, notes)
    names = blocks[0].names
    return fit.estimate(
        names,
        kind="group_time",
        method=METHOD,
        labels=frame.drop(columns="mass").assign(term=list(names)),
        cluster=cluster,
        small_sample=small_sample,
        options={"model": model, "control": control, **chosen_options(covariates, (), (), False, weights)},
        notes=notes,
        cells=Cells(frame),
        reference=(-1,) if control == "never" else (),
    )


def _blocks(design: Design, control: str, covariates: Sequence[str]) -> tuple[list[Block], pd.DataFrame]:
    """Cell dummies first, then their products with covariates and the covariates by period; the cells' table."""
    cells, codes = _cells(design, control)
    names = tuple(f"att({design.calendar[g]},{design.calendar[t]})" for g, t in cells)
    blocks = [Block(names, Factor(codes, len(names)))]
    weight = np.ones(design.n) if design.weights is None else design.weights
    group = np.unique(design.cohort[design.unit], return_inverse=True)[1].reshape(-1)
    for x in covariates:
        value = design.covariates[:, design.covariate_names.index(x)]
        mean = np.bincount(group, weight * value) / np.bincount(group, weight)
        blocks.append(Block(tuple(f"{n}×{x}" for n in names), Factor(codes, len(names), value - mean[group])))
    blocks += by_time(design, covariates)
    frame = pd.DataFrame(
        {
            "cohort": [design.calendar[g] for g, _ in cells],
            "time": [design.calendar[t] for _, t in cells],
            "event_time": [t - g for g, t in cells],
            "mass": np.bincount(codes + 1, weight, len(names) + 1)[1:],
        }
    )
    return blocks, frame


def _poisson(
    design: Design, control: str, covariates: Sequence[str]
) -> tuple[Regression, list[Block], pd.DataFrame, list[str]]:
    """Fit by pseudo maximum likelihood; separated rows leave, counted, and the cells are those of the rest."""
    if (design.y < 0).any():
        raise DesignError(f"{design.outcome!r} is negative in {int((design.y < 0).sum())} rows; Poisson is for counts")
    design, notes = without_empty(design)
    while True:
        blocks, frame = _blocks(design, control, covariates)
        if not len(frame):
            raise IdentificationError(
                f"{design.outcome}: no cohort × period cell is left to estimate. Before that: {'; '.join(notes)}"
            )
        result = ppml(design, blocks, (), False)
        if isinstance(result, Regression):
            return result, blocks, frame, notes
        notes.append(f"{int(result.sum())} rows are separated (zeros predicted perfectly) and are left out")
        design, more = without_empty(design.restrict(~result, "separated by the regressors"))
        notes += more


def _comparable(design: Design, control: str) -> tuple[Design, list[str]]:
    """Leave out units never seen untreated and, without never-treated units, the periods when all are treated."""
    notes = []
    always = design.cohort <= 0
    if always.any():
        treated = (design.time >= design.cohort[design.unit]) * (1.0 if design.weights is None else design.weights)
        share = 100 * treated[always[design.unit]].sum() / treated.sum()
        notes.append(
            f"{int(always.sum())} units treated from the first period on are left out, {share:.3g} % of the treated "
            f"rows: {labelled(design, always)}"
        )
        design = design.restrict(~always[design.unit], "treated from the first period on")
    t = design.n_periods
    cohort = np.where(design.cohort >= t, NEVER, design.cohort)
    if not (cohort < t).any():
        raise IdentificationError(f"{design.outcome}: no unit starts treatment inside the panel")
    if not (cohort == NEVER).any():
        if control == "never":
            raise IdentificationError(
                f"{design.outcome}: every unit is treated by the end of the panel, so no unit is never treated; "
                'use control="notyet"'
            )
        last = int(cohort.max())
        if not (cohort < last).any():
            raise IdentificationError(f"{design.outcome}: {ALONE}")
        label = design.calendar[last]
        notes.append(
            f"no unit is untreated from {label} on: these periods are left out and cohort {label} is comparison"
        )
        design = design.restrict(design.time < last, f"no untreated unit from {label} on")
        cohort = np.where(design.cohort >= last, NEVER, design.cohort)
    return replace(design, cohort=cohort), notes


def _cells(design: Design, control: str) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Cohort × period cells with a coefficient, and each row's cell (−1: none)."""
    cohort = design.cohort[design.unit]
    treated = cohort != NEVER
    event = design.time - np.where(treated, cohort, 0)
    inside = treated & ((event >= 0) if control == "notyet" else (event != -1))
    key = cohort[inside] * design.n_periods + design.time[inside]
    found, code = np.unique(key, return_inverse=True)
    codes = np.full(design.n, -1)
    codes[inside] = code.reshape(-1)
    return [(int(k // design.n_periods), int(k % design.n_periods)) for k in found], codes
