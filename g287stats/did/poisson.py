"""Fixed-effects Poisson (pseudo maximum likelihood) for counts with exposure.

    E[y_it] = exposure_it · exp(τ D_it + x_it'β + α_i + λ_t)

Estimated by iteratively reweighted least squares, each step one exact weighted projection on the fixed effects. Only
the conditional mean must be right; counts need not be Poisson (Gourieroux, Monfort and Trognon 1984), and standard
errors are clustered. Coefficients are log points: exp(τ) − 1 is the proportional effect on the rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats.did.design import Design
from g287stats.did.regression import Block, Regression, absorb_design, by_time, regress, tell
from g287stats.did.twfe import _options, _prepare, _switching, event_block, with_average
from g287stats.errors import DesignError, IdentificationError
from g287stats.inference.covariance import SmallSample
from g287stats.inference.estimate import Estimate, Method

METHOD = Method(
    "poisson",
    "Fixed-effects Poisson (PPML)",
    (
        "Wooldridge, J. M. (1999). Distribution-free estimation of some nonlinear panel data models. "
        "Journal of Econometrics 90(1), 77–97. doi:10.1016/S0304-4076(98)00033-5",
        "Correia, S., Guimarães, P., and Zylkin, T. (2020). Fast Poisson estimation with high-dimensional fixed "
        "effects. Stata Journal 20(1), 95–115. doi:10.1177/1536867X20909691",
        "Correia, S., Guimarães, P., and Zylkin, T. (2021). Verifying the existence of maximum likelihood estimates "
        "for generalized linear models. arXiv:1903.01633.",
    ),
)
MAX_STEPS = 60


def poisson(
    data: Any,
    outcome: str,
    *,
    effects: Literal["static", "event"] = "static",
    exposure: str | None = None,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    window: tuple[int, int] | None = None,
    ends: Literal["bin", "drop"] = "bin",
    reference: int | Sequence[int] = -1,
    covariates: Sequence[str] = (),
    covariates_by_time: Sequence[str] = (),
    fixed_effects: Sequence[str | tuple[str, ...]] = (),
    unit_trends: bool = False,
    weights: str | None = None,
    cluster: str | Sequence[str] | None = None,
    small_sample: SmallSample = "nonnested",
) -> Estimate:
    """Fixed-effects Poisson regression of a count, static or by event time.

    Parameters
    ----------
    outcome
        A column of non-negative numbers (counts; whole numbers are not required).
    exposure
        Column of positive numbers at risk (population); its log enters with coefficient one.
    effects
        ``static``: one coefficient. ``event``: one per event time, with ``window``, ``ends`` and ``reference`` as in
        :func:`~g287stats.did.twfe.event_study`.
    data, unit, time, cohort, treatment, covariates, covariates_by_time, fixed_effects, unit_trends, weights, cluster, \
small_sample
        As in :func:`~g287stats.did.twfe.twfe`.

    Returns
    -------
    Estimate
        Coefficients in log points. Rows that the model fits with a mean of zero (separation) carry no information
        and are set aside: units, periods or effects without a single event, and zeros that a combination of
        regressors predicts perfectly. They are counted in ``sample["flow"]`` and named in ``notes``.

    Raises
    ------
    DesignError
        Negative outcomes, by row.
    IdentificationError
        Columns without independent variation once separated rows are out, by name.

    References
    ----------
    Wooldridge (1999); Correia, Guimarães and Zylkin (2020, 2021).
    """
    if effects not in ("static", "event"):
        raise DesignError(f"effects={effects!r}: choose 'static' or 'event'")
    keys = {"unit": unit, "time": time, "cohort": cohort, "treatment": treatment}
    design = _prepare(data, outcome, keys, covariates, covariates_by_time, weights, cluster, fixed_effects, exposure)
    negative = np.flatnonzero(design.y < 0)
    if len(negative):
        shown = [f"{design.unit_labels[design.unit[r]]} {design.calendar[design.time[r]]}" for r in negative[:8]]
        raise DesignError(f"{outcome!r} is negative in {len(negative)} rows: {', '.join(map(str, shown))}")
    references = (reference,) if isinstance(reference, int) else tuple(reference)
    spec = _Spec(
        effects, treatment, window, ends, references, tuple(covariates), tuple(covariates_by_time), unit_trends
    )
    design, notes = _without_empty(design)
    while True:
        try:
            design, blocks, events = spec.blocks(design)
            result = _ppml(design, blocks, spec.covariates, unit_trends)
        except IdentificationError as error:
            before = f". Before that: {'; '.join(notes)}" if notes else ""
            raise IdentificationError(f"{error}{before}") from None
        if isinstance(result, Regression):
            break
        where = ", ".join(
            f"{design.unit_labels[design.unit[r]]} {design.calendar[design.time[r]]}"
            for r in np.flatnonzero(result)[:8].tolist()
        )
        notes.append(
            f"{int(result.sum())} rows are separated: a combination of regressors predicts their zeros perfectly "
            f"({where}); they carry no information and are left out"
        )
        design, more = _without_empty(design.restrict(~result, "separated by the regressors"))
        notes += more
    if treatment and effects == "static":
        notes += _switching(design, design.treatment if design.treatment is not None else np.zeros(design.n))
    tell(design, notes)
    names = list(blocks[0].names)
    labels = None if events is None else pd.DataFrame({"term": names, "event_time": events})
    options: dict[str, Any] = {"exposure": exposure} if exposure else {}
    if effects == "event":
        options |= {"reference": reference} | ({"window": window, "ends": ends} if window else {})
    estimate = result.estimate(
        names,
        kind=effects,
        method=METHOD,
        labels=labels,
        cluster=cluster,
        small_sample=small_sample,
        options=options | _options(covariates, covariates_by_time, fixed_effects, unit_trends, weights),
        notes=notes,
        reference=references if effects == "event" else (),
    )
    return with_average(estimate) if effects == "event" else estimate


@dataclass(frozen=True)
class _Spec:
    """The regressors as functions of the sample, which separation may shrink."""

    effects: str
    treatment: str | None
    window: tuple[int, int] | None
    ends: str
    references: tuple[int, ...]
    covariates: tuple[str, ...]
    by_period: tuple[str, ...]
    unit_trends: bool

    def blocks(self, design: Design) -> tuple[Design, list[Block], np.ndarray | None]:
        if self.effects == "event":
            design, block, events = event_block(design, self.window, self.ends, self.references)
            return design, [block, *by_time(design, self.by_period, unit_trends=self.unit_trends)], events
        dose = design.treatment
        if dose is None:
            dose = (design.time >= design.cohort[design.unit]).astype(float)
        if not (dose != dose[0]).any():
            raise IdentificationError(f"{self.treatment or 'att'!r} is {dose[0]:g} in every row: nothing to compare")
        block = Block((self.treatment or "att",), columns=dose[:, None])
        return design, [block, *by_time(design, self.by_period, unit_trends=self.unit_trends)], None


def _without_empty(design: Design) -> tuple[Design, list[str]]:
    """Set aside units, periods and effect levels in which nothing ever happens: their effect is minus infinity."""
    notes: list[str] = []
    while True:
        y, found = design.y, False
        for name, codes in ((design.unit_name, design.unit), (design.time_name, design.time), *design.effects.items()):
            size = int(codes.max()) + 1
            empty = (np.bincount(codes, y, size) == 0) & (np.bincount(codes, minlength=size) > 0)
            if empty.any():
                which = np.flatnonzero(empty)
                labels = {design.unit_name: design.unit_labels, design.time_name: design.calendar}.get(name, which)
                shown = ", ".join(str(labels[int(v)]) for v in which[:8]) if name not in design.effects else ""
                more = f", … {len(which) - 8} more" if len(which) > 8 and shown else ""
                notes.append(
                    f"{len(which)} levels of {name} have no event at all and are left out (separated)"
                    + (f": {shown}{more}" if shown else "")
                )
                design = design.restrict(~empty[codes], f"{name} without any event")
                found = True
                break
        if not found:
            return design, notes


def _ppml(
    design: Design, blocks: Sequence[Block], covariates: Sequence[str], unit_trends: bool
) -> Regression | np.ndarray:
    """Iterate to the maximum; returns the last weighted regression, or the separated rows (boolean)."""
    y, prior = design.y, design.weights
    offset = None if design.exposure is None else np.log(design.exposure)
    eta = _start(design)
    if offset is not None:
        eta += offset
    mu = np.exp(eta)
    objective = _objective(y, eta, mu, prior)
    surplus, working, new_eta, new_mu = np.empty((4, design.n))
    for step in range(MAX_STEPS):
        w = mu if prior is None else mu * prior
        np.divide(y, mu, out=surplus)
        surplus -= 1.0
        np.add(surplus, eta, out=working)
        if offset is not None:
            working -= offset
        projection = absorb_design(design, weights=w, unit_trends=unit_trends)
        fit = regress(design, blocks, covariates=covariates, unit_trends=unit_trends, y=working, projection=projection)
        move = np.subtract(surplus, fit.fit.residual, out=surplus)
        size, length = float(max(move.max(), -move.min())), 1.0
        np.add(eta, move, out=new_eta)
        for _ in range(12):
            with np.errstate(over="ignore"):
                np.exp(new_eta, out=new_mu)
            new_objective = _objective(y, new_eta, new_mu, prior)
            if new_objective <= objective + 1e-9 * abs(objective):
                break
            length /= 2
            np.add(eta, length * move, out=new_eta)
        np.maximum(new_mu, 1e-300, out=new_mu)
        (eta, new_eta), (mu, new_mu), objective = (new_eta, eta), (new_mu, mu), new_objective
        if size < 1e-7 and length == 1.0:
            return fit
        if step >= 8 and (move[y == 0] < -0.5).any():
            separated = _separated(design, blocks, covariates, unit_trends)
            if separated.any():
                return separated
    raise IdentificationError(
        f"Poisson regression of {design.outcome!r} did not settle in {MAX_STEPS} steps (last change {size:.2g} log "
        "points). Look for regressors on very different scales"
    )


def _start(design: Design) -> np.ndarray:
    """Log rates of a unit × period table with the observed margins: exact for a complete table without regressors."""
    prior, exposure = design.weights, design.exposure
    count = design.y if prior is None else prior * design.y
    at_risk = exposure if prior is None or exposure is None else exposure * prior
    at_risk = prior if at_risk is None else at_risk
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.bincount(design.time, count) / np.bincount(design.time, at_risk)
        expected = rate[design.time]
        if at_risk is not None:
            expected *= at_risk
        level = np.bincount(design.unit, count) / np.bincount(design.unit, expected)
        out = np.log(level)[design.unit]
        out += np.take(np.log(rate), design.time, out=expected)
    return out


def _objective(y: np.ndarray, eta: np.ndarray, mu: np.ndarray, prior: np.ndarray | None) -> float:
    """Negative log likelihood up to a constant."""
    return float(mu.sum() - y @ eta if prior is None else prior @ mu - (prior * y) @ eta)


def _separated(design: Design, blocks: Sequence[Block], covariates: Sequence[str], unit_trends: bool) -> np.ndarray:
    """Zeros that a combination of regressors and effects predicts perfectly (iterative rectifier).

    Correia, Guimarães and Zylkin (2021), algorithm 1: regress a non-negative target on the model with large weights
    on positive outcomes; a non-negative fit that vanishes on them is a certificate of separation.
    """
    zero = design.y == 0
    weights = np.where(zero, 1.0, 1e8)
    projection = absorb_design(design, weights=weights, unit_trends=unit_trends)
    target = zero.astype(float)
    for _ in range(500):
        fit = regress(design, blocks, covariates=covariates, unit_trends=unit_trends, y=target, projection=projection)
        value = target - fit.fit.residual
        value[~zero] = 0.0
        value[np.abs(value) < 1e-6] = 0.0
        if (value >= 0).all():
            return value > 0
        target = np.maximum(value, 0.0)
    return np.zeros(design.n, dtype=bool)
