"""Design-weighted regression with absorbed effects: linear, logit, Poisson and complementary log-log.

The estimating equations are the weighted score equations of the family (pseudo-maximum likelihood, Binder 1983),

    sum over i of w_i (y_i − μ_i) (dμ/dη)_i / V(μ_i) · (x_i, county, period) = 0,

solved by Fisher scoring (Newton's method for logit and Poisson). Rows that agree in effects and covariates are
collapsed to cells first, and at every step the effects are eliminated from the normal equations through their sums
(Stammann 2018; Correia, Guimarães and Zylkin 2020): a county effect is never a column. At the solution the influence
function of the slopes is ``(X̃'WX̃)⁻¹ X̃_i s_i`` with X̃ the covariates less their projection on the effects and s_i the
score residual, which equals that of the regression with all dummies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy import linalg, sparse

from g287stats.errors import DesignError, IdentificationError, Problems, choose
from g287stats.estimate.covariance import Influence
from g287stats.estimate.estimate import Estimate, Method
from g287stats.numerics.collapsed import Effects, Elimination
from g287stats.survey.design import SurveySample
from g287stats.survey.moments import LINEARISATION, Variance, outcome_columns
from g287stats.survey.replicates import replicate_influence
from g287stats.survey.terms import combine, covariate_columns, design_matrix, ranks

FamilyName = Literal["linear", "logit", "poisson", "cloglog"]
REFERENCES = (
    *LINEARISATION,
    "Correia, S., Guimarães, P. and Zylkin, T. (2020). Fast Poisson estimation with high-dimensional fixed "
    "effects. Stata Journal, 20(1), 95–115. doi:10.1177/1536867X20909691",
    "Stammann, A. (2018). Fast and feasible estimation of generalized linear models with high-dimensional k-way "
    "fixed effects. arXiv:1707.01815.",
)


@dataclass(frozen=True)
class Family:
    """A mean function with its derivative and variance; ``binary`` outcomes lie in [0, 1]."""

    name: FamilyName
    mean: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    variance: Callable[[np.ndarray], np.ndarray]
    link: Callable[[np.ndarray], np.ndarray]
    likelihood: Callable[[np.ndarray, np.ndarray], np.ndarray]
    binary: bool = False
    ratio: str = ""


def _expit(eta: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(eta, -700, 700)))


def _cloglog_slope(eta: np.ndarray) -> np.ndarray:
    bounded = np.clip(eta, -700, 6)
    return np.exp(bounded - np.exp(bounded))


FAMILIES: Mapping[str, Family] = {
    "linear": Family(
        "linear",
        lambda e: e,
        np.ones_like,
        np.ones_like,
        lambda m: m,
        lambda y, e: -((y - e) ** 2) / 2,
        ratio="difference",
    ),
    "logit": Family(
        "logit",
        _expit,
        lambda e: _expit(e) * _expit(-e),
        lambda m: m * (1 - m),
        lambda m: np.log(m / (1 - m)),
        lambda y, e: y * e - np.logaddexp(0, e),
        binary=True,
        ratio="odds ratio",
    ),
    "poisson": Family(
        "poisson",
        lambda e: np.exp(np.clip(e, -700, 50)),
        lambda e: np.exp(np.clip(e, -700, 50)),
        lambda m: m,
        np.log,
        lambda y, e: y * e - np.exp(np.clip(e, -700, 50)),
        ratio="rate ratio",
    ),
    "cloglog": Family(
        "cloglog",
        lambda e: -np.expm1(-np.exp(np.clip(e, -700, 6))),
        _cloglog_slope,
        lambda m: m * (1 - m),
        lambda m: np.log(-np.log1p(-m)),
        lambda y, e: y * np.log(-np.expm1(-np.exp(np.clip(e, -700, 6)))) - (1 - y) * np.exp(np.clip(e, -700, 6)),
        binary=True,
        ratio="hazard ratio",
    ),
}


@dataclass(frozen=True, eq=False)
class GlmFit:
    """What a fit leaves for effects and diagnostics: n cells of equal rows, m rows used.

    ``rows`` are their positions in the sample, ``cell`` the cell of each, ``score`` (m,) their score residuals. By
    cell: ``x`` (n × k) the covariates, ``eta`` the linear predictor, ``working`` the sum of working weights,
    ``projected`` (n × k) the covariates less their projection on the effects. ``bread`` is the inverse of X̃'WX̃,
    ``absorbed`` the effects at the working weights, or None.
    """

    sample: SurveySample
    family: Family
    rows: np.ndarray
    cell: np.ndarray
    x: np.ndarray
    eta: np.ndarray
    working: np.ndarray
    projected: np.ndarray
    score: np.ndarray
    bread: np.ndarray
    absorbed: Elimination | None


@dataclass(frozen=True, eq=False, kw_only=True)
class GlmEstimate(Estimate):
    """Coefficients of a fit, with what it leaves for effects; a quantity computed from them has none."""

    model: GlmFit | None = field(repr=False)


def glm(
    sample: SurveySample,
    outcome: str,
    covariates: Sequence[str],
    *,
    family: FamilyName = "logit",
    fixed_effects: str | Sequence[str] = (),
    offset: str | None = None,
    domain: Any = None,
    variance: Variance = "linearized",
    cluster: str | None = None,
    leverage: str | None = None,
) -> GlmEstimate:
    """Fit a design-weighted generalized linear model; returns the slopes as an :class:`Estimate`.

    Parameters
    ----------
    sample
        From :func:`~g287stats.survey.design.sample`.
    outcome
        Column: 0/1 (or a share) for ``logit`` and ``cloglog``, a count for ``poisson``.
    covariates
        Columns; ``"a:b"`` is a product, ``"C(half)"`` indicators of all but the first level.
    family
        ``linear``, ``logit``, ``poisson``, ``cloglog``.
    fixed_effects
        Columns whose effects are absorbed (``("county_fips", "quarter")``); with none an intercept is added.
    offset
        Column added to the linear predictor with coefficient one.
    domain
        Mask over all rows of the sample.
    variance
        ``linearized``, or ``replicates`` (refits under every replicate weight).
    cluster
        Use this level's clusters instead of the design's PSUs; ``result.with_rule(sample.rule(cluster="…"))`` gives
        the other. See :func:`both_errors`.
    leverage
        A level (``county_fips``) whose influence is corrected for its own leverage: with H the information and
        H_g that of county g, (H − H_g)⁻¹ replaces H⁻¹ in its influence, a one-step leave-one-out (the cluster
        jackknife CV3 of MacKinnon, Nielsen and Webb 2023, and Bell and McCaffrey 2002). Without it (default, as R
        ``survey``) errors are too small when few counties carry the treatment.

    Raises
    ------
    IdentificationError
        Collinear covariates, a covariate without variation in the outcome (separation), or no convergence.

    Notes
    -----
    Counties or periods without any event cannot inform a logit, cloglog or Poisson model with their effect; their
    rows leave the sum (weight zero, sampling units kept) and are counted in ``sample`` and ``notes``.
    """
    choose("family", family, get_args(FamilyName))
    choose("variance", variance, get_args(Variance))
    chosen = FAMILIES[family]
    levels = (fixed_effects,) if isinstance(fixed_effects, str) else tuple(fixed_effects)
    frame, asked = sample.frame, sample.domain(domain)
    given = [outcome, *([offset] if offset else [])]
    absent = [c for c in (*given, *levels) if c not in frame]
    if absent:
        raise DesignError(f"survey.glm: columns {absent} are not in the sample's frame")
    if variance == "replicates" and sample.replicates is None:
        raise DesignError("the sample has no replicate weights: sample(…, replicates=replicate_weights(…))")
    y, *offsets = outcome_columns(sample, given, (), "survey.glm")
    usable = ~np.isnan(y)
    for column in (*covariate_columns(frame, covariates), *levels, *([offset] if offset else [])):
        if column not in sample.cluster:
            usable &= frame[column].notna().to_numpy()
    rows = asked & usable & (sample.weights > 0)
    _check_outcome(chosen, outcome, y[rows])
    coded = {level: _level_codes(sample, level) for level in levels}
    rows, dropped = _informative(chosen, y, rows, coded)
    index = np.flatnonzero(rows)
    if not len(index):
        raise IdentificationError(f"survey.glm of {outcome!r}: no rows left in the domain")
    cells = _collapse(sample, index, [c for c, _ in coded.values()], covariates, offsets)
    x, names = cells.x, cells.names
    _check_separation(chosen, cells, y[index], outcome)

    def fit(weights: np.ndarray, start: np.ndarray | None = None) -> _Solution:
        w = weights[index]
        mass = np.bincount(cells.row, w, cells.count)
        return _scoring(chosen, cells, mass, np.bincount(cells.row, w * y[index], cells.count), start)

    solution = fit(sample.weights)
    beta, eta = solution.beta, solution.eta
    mu = chosen.mean(eta)
    lift = chosen.slope(eta) / chosen.variance(mu)
    score = sample.weights[index] * (y[index] - mu[cells.row]) * lift[cells.row]
    notes = list(sample.notes)
    counts = sample.counts(rows)
    counts["n_missing"] = int((asked & ~usable & (sample.weights > 0)).sum())
    for level, (groups, lost) in dropped.items():
        counts[f"n_obs_{level}_without_events"] = lost
        notes.append(
            f"{len(groups)} levels of {level} without events carry no information ({lost:,} rows): "
            + ", ".join(map(str, groups[:10]))
            + (" …" if len(groups) > 10 else "")
        )
    counts["n_events"] = int((y[index] > 0).sum())
    influence: Influence
    rule: Any
    if variance == "replicates":
        assert sample.replicates is not None
        influence, rule = replicate_influence(sample.replicates, beta, lambda w: fit(w, eta).beta)
    else:
        influence = sample.influence_of_cells(solution.projected, cells.row, score, index)
        if leverage is None:
            influence = influence.combine(solution.bread)
        else:
            influence, alone = _leave_one_out(sample, influence, leverage, index, cells, solution)
            if alone:
                notes.append(
                    f"{alone} levels of {leverage} alone identify a coefficient; their leverage is not corrected"
                )
        rule = sample.rule(rows, cluster or "psu")
    keep = GlmFit(
        sample,
        chosen,
        index,
        cells.row,
        x,
        eta,
        solution.working,
        solution.projected,
        score,
        solution.bread,
        solution.absorbed,
    )
    return GlmEstimate(
        labels=pd.DataFrame({"term": names}),
        point=beta,
        influence=influence,
        rule=rule,
        kind="static",
        method=Method(f"survey_{family}", f"Design-weighted {family} regression", REFERENCES),
        outcome=outcome,
        sample=counts,
        options={
            "family": family,
            "fixed_effects": levels,
            "variance": variance,
            "iterations": solution.iterations,
            "leverage": leverage,
            "cells": cells.count,
        },
        notes=tuple(notes),
        provenance=sample.provenance,
        model=keep,
    )


@dataclass(frozen=True, eq=False)
class _Cells:
    """Rows that agree in effects, covariates and offset: the cell of each row, and by cell what they share."""

    row: np.ndarray
    count: int
    x: np.ndarray
    names: list[str]
    offset: np.ndarray
    effects: Effects | None


@dataclass(frozen=True, eq=False)
class _Solution:
    beta: np.ndarray
    eta: np.ndarray
    working: np.ndarray
    projected: np.ndarray
    bread: np.ndarray
    absorbed: Elimination | None
    iterations: int


def _level_codes(sample: SurveySample, level: str) -> tuple[np.ndarray, pd.Index]:
    """Code an effect by the sorted order of its labels; clusters of the sample are coded already."""
    if level not in sample.cluster:
        return pd.factorize(sample.frame[level], sort=True)
    code = sample.cluster[level]
    first = np.zeros(int(code.max()) + 1, dtype=np.int64)
    first[code[::-1]] = np.arange(len(code) - 1, -1, -1)
    return code, pd.Index(sample.frame[level].iloc[first])


def _collapse(
    sample: SurveySample,
    index: np.ndarray,
    effects: Sequence[np.ndarray],
    covariates: Sequence[str],
    offsets: Sequence[np.ndarray],
) -> _Cells:
    """Collapse the rows used, sorted by their effects, the largest first."""
    inside = sorted((c[index] for c in effects), key=lambda c: -int(c.max()))
    values = [sample.frame[c].to_numpy()[index] for c in covariate_columns(sample.frame, covariates)]
    values += [v[index] for v in offsets]
    codes = [*inside, *(ranks(v)[0] for v in values)]
    row, first = combine(codes or [np.zeros(len(index), dtype=np.int64)])
    x, names, _ = design_matrix(sample.frame.iloc[index[first]], covariates, intercept=not effects)
    offset = offsets[0][index[first]] if offsets else np.zeros(len(first))
    absorbed = None
    if effects:
        absorbed = Effects([np.unique(c[first], return_inverse=True)[1].reshape(-1) for c in inside])
    return _Cells(row, len(first), np.ascontiguousarray(x), names, offset, absorbed)


def _scoring(
    family: Family,
    cells: _Cells,
    mass: np.ndarray,
    total: np.ndarray,
    start: np.ndarray | None = None,
    limit: int = 100,
) -> _Solution:
    """Maximise the weighted likelihood of the cells' sums of weights and of weights times outcome.

    Steps are Fisher's. The error after a Newton step is the square of the step, so one below 1e-7 is the last; scoring
    of a complementary log-log shrinks by a factor and goes on to 1e-11.
    """
    mean = np.divide(total, mass, out=np.zeros_like(mass), where=mass > 0)
    small = 1e-11 if family.name == "cloglog" else 1e-7
    place = None if cells.effects is None else cells.effects.spread(cells.effects.place)
    eta = start if start is not None else _start(family, cells.offset, mass, total, place)
    beta, x = np.zeros(cells.x.shape[1]), cells.x
    best = float(mass @ family.likelihood(mean, eta))
    if start is not None or family.name == "linear":
        beta = np.full(x.shape[1], np.nan)  # told by the last step, not by the sum of the steps
    for iteration in range(1, limit + 1):
        mu, slope = family.mean(eta), family.slope(eta)
        spread = family.variance(mu)
        if not (slope > 1e-100).all() or not (spread > 1e-100).all():
            break  # predictions of exactly 0 or 1: the likelihood has no maximum
        step = _step(cells, mass * slope**2 / spread, (total - mass * mu) * slope / spread)
        new = eta + step.eta
        if not np.isfinite(new).all():
            break
        if place is not None and family.name != "linear" and np.max(np.abs(step.eta)) > 1:
            new = _settle(family, mean, mass, new, place)
        value = float(mass @ family.likelihood(mean, new))
        for _ in range(40 if family.name != "linear" else 0):  # a step that overshoots is halved
            if value >= best - 1e-9 * abs(best):
                break
            new = (new + eta) / 2
            value = float(mass @ family.likelihood(mean, new))
        best, moved = value, float(np.max(np.abs(new - eta)))
        eta = new
        if family.name == "linear" or moved < small:
            return _solution(family, cells, mass, eta, iteration)
    beta = _slopes(cells, mass, eta)
    large = [n for n, b in zip(cells.names, np.abs(beta) * x.std(axis=0)) if not np.isfinite(b) or b > 10]
    raise IdentificationError(
        f"{family.name} regression did not converge in {limit} steps; coefficients run away for {large or cells.names}"
        ". A combination of covariates separates events from non-events: drop it or use family='linear'"
    )


@dataclass(frozen=True, eq=False)
class _Step:
    eta: np.ndarray
    gram: np.ndarray
    fitted: np.ndarray | None
    absorbed: Elimination | None


def _step(cells: _Cells, working: np.ndarray, residual: np.ndarray) -> _Step:
    """One step of scoring: slopes first, then the effects that go with them."""
    x = cells.x
    gram = (x * working[:, None]).T @ x
    raw = np.diag(gram).copy()
    if cells.effects is None:
        return _Step(x @ (_inverse(gram, raw, cells.names) @ (x.T @ residual)), gram, None, None)
    absorbed = Elimination(cells.effects, working)
    by_block = cells.effects.sums(working, x)
    fitted = absorbed.solve(by_block)
    gram = gram - fitted.T @ by_block
    left = np.add.reduceat(residual, cells.effects.bounds[:-1])
    slopes = _inverse(gram, raw, cells.names) @ (x.T @ residual - fitted.T @ left)
    effect = absorbed.solve(left[:, None])[:, 0] - fitted @ slopes
    return _Step(x @ slopes + cells.effects.spread(effect), gram, fitted, absorbed)


def _solution(family: Family, cells: _Cells, mass: np.ndarray, eta: np.ndarray, iterations: int) -> _Solution:
    """Working weights, projected covariates and slopes at the maximum."""
    working = mass * family.slope(eta) ** 2 / family.variance(family.mean(eta))
    x, absorbed = cells.x, None
    projected = x
    if cells.effects is not None:
        absorbed = Elimination(cells.effects, working)
        projected = absorbed.residual(x, working)
    weighted = projected * working[:, None]
    bread = _inverse(weighted.T @ projected, np.einsum("ij,ij,i->j", x, x, working), cells.names)
    beta = bread @ (weighted.T @ (eta - cells.offset))
    return _Solution(beta, eta, working, projected, bread, absorbed, iterations)


def _slopes(cells: _Cells, mass: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Slopes behind a linear predictor that is a combination of covariates, effects and offset."""
    x = cells.x
    if cells.effects is not None:
        x = Elimination(cells.effects, mass).residual(x, mass)
    return np.linalg.lstsq((x * mass[:, None]).T @ x, (x * mass[:, None]).T @ (eta - cells.offset), rcond=None)[0]


def _start(
    family: Family, offset: np.ndarray, mass: np.ndarray, total: np.ndarray, group: np.ndarray | None
) -> np.ndarray:
    """Linear predictor to start from: the overall mean, by group of the largest effect shrunk towards it."""
    if family.name == "linear":
        return np.zeros_like(mass)
    centre = float(total.sum() / mass.sum())
    if group is None:
        return offset + np.full_like(mass, family.link(np.array(centre)))
    prior = float(mass.sum() / len(mass)) / (min(centre, 1 - centre) if family.binary else centre)
    mean = (np.bincount(group, total) + prior * centre) / (np.bincount(group, mass) + prior)
    return offset + family.link(mean)[group]


def _leave_one_out(
    sample: SurveySample,
    influence: Influence,
    level: str,
    index: np.ndarray,
    cells: _Cells,
    solution: _Solution,
) -> tuple[Influence, int]:
    """Turn collapsed scores into influence with (H − H_g)⁻¹ for each group g; count groups that cannot be left out."""
    if level not in sample.cluster:
        raise DesignError(f"leverage={level!r}: the sample keeps {sorted(sample.cluster)}; cluster=({level!r},)")
    codes = sample.cluster[level]
    size, k = int(codes.max()) + 1, solution.projected.shape[1]
    root = linalg.cholesky(solution.bread, lower=True)  # H⁻¹ = R R'
    moved = solution.projected @ root
    w = sample.weights[index]
    unit = np.divide(solution.working, np.bincount(cells.row, w, cells.count))[cells.row] * w  # working weight of a row
    part = sparse.csr_array((unit, (codes[index], cells.row)), shape=(size, cells.count))
    shares = np.empty((size, k, k))
    for i in range(k):
        for j in range(i, k):
            shares[:, i, j] = shares[:, j, i] = part @ (moved[:, i] * moved[:, j])
    rest = np.eye(k) - shares
    alone = np.linalg.eigvalsh(rest)[:, 0] < 1e-3
    rest[alone] = np.eye(k)
    inverse = root @ np.linalg.inv(rest) @ root.T
    psi = np.einsum("ri,rij->rj", influence.psi, inverse[influence.codes(level)])
    return Influence(psi, influence.keys), int(alone.sum())


def _settle(family: Family, y: np.ndarray, w: np.ndarray, eta: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Move each group's own effect towards its score equation, by bounded Newton steps.

    A full step can throw the effect of a small county so far that its working weights vanish and it can never
    come back; one dimension at a time it always can.
    """
    eta = eta.copy()
    rows = np.arange(len(eta))
    for _ in range(60):
        mu, slope = family.mean(eta[rows]), np.maximum(family.slope(eta[rows]), 1e-200)
        variance = np.maximum(family.variance(mu), 1e-200)
        size = int(group.max()) + 1
        score = np.bincount(group[rows], w[rows] * (y[rows] - mu) * slope / variance, size)
        information = np.bincount(group[rows], w[rows] * slope**2 / variance, size)
        move = np.clip(np.divide(score, information, out=np.zeros(size), where=information > 0), -2, 2)
        eta[rows] += move[group[rows]]
        rows = rows[np.abs(move[group[rows]]) > 0.05]
        if not len(rows):
            break
    return eta


def _inverse(gram: np.ndarray, raw: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Invert X̃'WX̃ (raw: the diagonal before projection); a rank deficiency names the columns."""
    scale = np.sqrt(np.where(raw > 0, raw, 1))
    unit = gram / scale[:, None] / scale
    _, r, order = linalg.qr(unit, pivoting=True)
    diagonal = np.abs(np.diag(r))
    bad = diagonal < 1e-11 * max(1.0, diagonal[0] if len(diagonal) else 1.0)
    if bad.any() or not np.isfinite(diagonal).all():
        lost = [names[order[i]] for i in np.flatnonzero(bad)]
        raise IdentificationError(
            f"covariates {lost} are combinations of the others and of the absorbed effects: drop them"
        )
    return linalg.inv(unit) / scale[:, None] / scale


def _check_outcome(family: Family, outcome: str, y: np.ndarray) -> None:
    problems = Problems(f"{family.name} regression of {outcome!r}")
    if family.binary and ((y < 0) | (y > 1)).any():
        problems.add("outcome outside 0 and 1", np.unique(y[(y < 0) | (y > 1)]).tolist(), "Use family='poisson'")
    if family.name == "poisson" and (y < 0).any():
        problems.add("negative outcome", np.unique(y[y < 0]).tolist())
    if family.name != "linear" and len(y) and (y.max() <= 0 or (family.binary and y.min() >= 1)):
        problems.add("the outcome does not vary in the domain")
    problems.raise_if_any(IdentificationError)


def _informative(
    family: Family, y: np.ndarray, rows: np.ndarray, coded: Mapping[str, tuple[np.ndarray, pd.Index]]
) -> tuple[np.ndarray, dict[str, tuple[list[Any], int]]]:
    """Leave out groups whose effect would be infinite, until none is left; list them by level."""
    dropped: dict[str, tuple[list[Any], int]] = {}
    if family.name == "linear":
        return rows, dropped
    rows, again = rows.copy(), True
    while again:
        again = False
        for level, (code, labels) in coded.items():
            number = np.bincount(code[rows], minlength=len(labels))
            events = np.bincount(code[rows], y[rows], len(labels))
            hopeless = (number > 0) & (events <= 0)
            if family.binary:
                hopeless |= (number > 0) & (events >= number)
            if hopeless.any():
                gone = rows & hopeless[code]
                listed, lost = dropped.get(level, ([], 0))
                dropped[level] = (listed + list(labels[hopeless]), lost + int(gone.sum()))
                rows &= ~gone
                again = True
    return rows, dropped


def _check_separation(family: Family, cells: _Cells, y: np.ndarray, outcome: str) -> None:
    """Refuse indicators that meet no event (or, for binary outcomes, no non-event)."""
    if family.name == "linear":
        return
    number = np.bincount(cells.row, minlength=cells.count).astype(float)
    events = np.bincount(cells.row, y > 0, cells.count)
    whole = np.bincount(cells.row, y >= 1, cells.count)
    problems = Problems(f"{family.name} regression of {outcome!r}")
    for j, name in enumerate(cells.names):
        inside = cells.x[:, j] != 0
        if inside.all() or not inside.any():
            continue
        rows = number[inside].sum()
        if events[inside].sum() == 0 or (family.binary and whole[inside].sum() == rows):
            what = "no event" if events[inside].sum() == 0 else "only events"
            problems.add(f"{name}: {what} among its {int(rows):,} rows, so its coefficient is infinite")
    problems.raise_if_any(IdentificationError)
