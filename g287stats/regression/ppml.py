"""Poisson pseudo maximum likelihood after fixed effects: the iterations, and the rows without information.

Iteratively reweighted least squares, each step one exact weighted projection on the fixed effects. Where a complete
panel allows it, nothing is looked up by row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from g287stats.design.prepare import Design
from g287stats.errors import IdentificationError, first_of
from g287stats.numerics.memory import inner, room
from g287stats.regression.regression import Block, Regression, absorb_design, regress

MAX_STEPS = 60


def ppml(
    design: Design, blocks: Sequence[Block], covariates: Sequence[str], unit_trends: bool
) -> Regression | np.ndarray:
    """Iterate to the maximum; returns the last weighted regression, or the separated rows (boolean, (n,)).

    The design has no unit, period or effect level without events (:func:`without_empty`). Parameters are those of
    :func:`~g287stats.regression.regression.regress`; ``design.y`` is the count, ``design.at_risk`` the number at risk.

    Raises
    ------
    IdentificationError
        No maximum within :data:`MAX_STEPS` steps.
    """
    y, prior = design.y, design.weights
    offset = None if design.at_risk is None else np.log(design.at_risk)
    eta, mu, surplus, working = room(4, design.n)
    _start(design, eta)
    if offset is not None:
        eta += offset
    np.exp(eta, out=mu)
    objective = _objective(y, eta, mu, prior)
    n_dense = sum(b.columns.shape[1] for b in blocks if b.columns is not None) + len(covariates)
    workspace = room(1 + n_dense, design.n)
    for step in range(MAX_STEPS):
        np.divide(y, mu, out=surplus)
        surplus -= 1.0
        np.add(surplus, eta, out=working)
        if offset is not None:
            working -= offset
        projection = absorb_design(design, weights=mu if prior is None else mu * prior, unit_trends=unit_trends)
        fit = regress(
            design,
            blocks,
            covariates=covariates,
            unit_trends=unit_trends,
            y=working,
            projection=projection,
            workspace=workspace,
        )
        move = np.subtract(surplus, fit.fit.residual, out=surplus)
        size, length = float(max(move.max(), -move.min())), 1.0
        if size < 1e-7:
            return fit
        eta += move
        for _ in range(12):
            with np.errstate(over="ignore"):
                np.exp(eta, out=mu)
            new_objective = _objective(y, eta, mu, prior)
            if new_objective <= objective + 1e-9 * abs(objective):
                break
            length /= 2
            eta -= length * move
        np.maximum(mu, 1e-300, out=mu)
        objective = new_objective
        if step >= 8 and (move[y == 0] < -0.5).any():
            separated = _separated(design, blocks, covariates, unit_trends)
            if separated.any():
                return separated
    raise IdentificationError(
        f"Poisson regression of {design.outcome!r} did not settle in {MAX_STEPS} steps (last change {size:.2g} log "
        "points). Look for regressors on very different scales"
    )


def without_empty(design: Design) -> tuple[Design, list[str]]:
    """Set aside units, periods and effect levels in which nothing ever happens: their effect is minus infinity.

    Returns the design on the other rows and a note per kind of level.
    """
    notes: list[str] = []
    while True:
        rows, y = design.rows, design.y
        margins = {
            design.unit_name: (rows.unit_sums(y), rows.unit_sums(), design.unit_labels),
            design.time_name: (rows.period_sums(y), rows.period_sums(), design.calendar),
        }
        for name, codes in design.effects.items():
            margins[name] = (np.bincount(codes, y), np.bincount(codes), None)
        empty = {k: np.flatnonzero((events == 0) & (count > 0)) for k, (events, count, _) in margins.items()}
        if not any(map(len, empty.values())):
            return design, notes
        name = next(k for k, levels in empty.items() if len(levels))
        which, labels = empty[name], margins[name][2]
        shown = "" if labels is None else f": {first_of(labels[v] for v in which.tolist())}"
        notes.append(f"{len(which)} levels of {name} have no event at all and are left out (separated){shown}")
        codes = {design.unit_name: rows.unit, design.time_name: rows.time, **design.effects}[name]
        design = design.restrict(~np.isin(codes, which), f"{name} without any event")


def _start(design: Design, out: np.ndarray) -> None:
    """Log rates of a unit × period table with the observed margins: exact for a complete table without regressors."""
    prior, at_risk, rows = design.weights, design.at_risk, design.rows
    count = design.y if prior is None else prior * design.y
    at_risk = at_risk if prior is None or at_risk is None else at_risk * prior
    at_risk = prior if at_risk is None else at_risk
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = rows.period_sums(count) / rows.period_sums(at_risk)
        expected = out.reshape(rows.shape)
        expected[:] = rows.take_period(rate)
        if at_risk is not None:
            expected *= at_risk.reshape(rows.shape)
        level = rows.unit_sums(count) / rows.unit_sums(out)
        np.add(rows.take_unit(np.log(level)), rows.take_period(np.log(rate)), out=expected)


def _objective(y: np.ndarray, eta: np.ndarray, mu: np.ndarray, prior: np.ndarray | None) -> float:
    """Negative log likelihood up to a constant."""
    return float(mu.sum()) - inner(y, eta) if prior is None else inner(prior, mu) - inner(prior, y, eta)


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
