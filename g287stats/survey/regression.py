"""Design-weighted regression with absorbed effects: linear, logit, Poisson and complementary log-log.

The estimating equations are the weighted score equations of the family (pseudo-maximum likelihood, Binder 1983),

    sum over i of w_i (y_i − μ_i) (dμ/dη)_i / V(μ_i) · (x_i, county, period) = 0,

solved by iteratively reweighted least squares. Effects are projected out with the working weights at every step
(Stammann 2018; Correia, Guimarães and Zylkin 2020): a county effect is never a column. At the solution the
influence function of the slopes is ``(X̃'WX̃)⁻¹ X̃_i s_i`` with X̃ the projected covariates and s_i the score
residual, which equals that of the regression with all dummies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy import linalg

from g287stats.errors import DesignError, IdentificationError, Problems, choose
from g287stats.estimate.covariance import Influence
from g287stats.estimate.estimate import Estimate, Method
from g287stats.numerics.within import absorb
from g287stats.survey.design import SurveySample
from g287stats.survey.moments import LINEARISATION, Variance
from g287stats.survey.replicates import replicate_influence
from g287stats.survey.terms import design_matrix

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
    """What a fit leaves for effects and diagnostics; arrays over the rows used (m of them).

    ``rows`` are their positions in the sample; ``projected`` (m × k) the covariates with effects removed at the
    working weights; ``score`` the score residuals; ``bread`` the inverse of X̃'WX̃.
    """

    sample: SurveySample
    family: Family
    rows: np.ndarray
    x: np.ndarray
    eta: np.ndarray
    offset: np.ndarray
    working: np.ndarray
    projected: np.ndarray
    score: np.ndarray
    bread: np.ndarray
    project: Callable[[np.ndarray, np.ndarray], np.ndarray] | None
    iterations: int


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
    absent = [c for c in (outcome, *levels, *([offset] if offset else [])) if c not in frame]
    if absent:
        raise DesignError(f"survey_glm: columns {absent} are not in the sample's frame")
    x, names, complete = design_matrix(frame, covariates, intercept=not levels)
    y = pd.to_numeric(frame[outcome]).to_numpy(dtype=float, na_value=np.nan)
    off = np.zeros(sample.n) if offset is None else pd.to_numeric(frame[offset]).to_numpy(float, na_value=np.nan)
    usable = complete & ~np.isnan(y) & ~np.isnan(off)
    for level in levels:
        usable &= frame[level].notna().to_numpy()
    rows = asked & usable & (sample.weights > 0)
    _check_outcome(chosen, outcome, y[rows])
    coded = {level: pd.factorize(frame[level], sort=True) for level in levels}
    rows, dropped = _informative(chosen, y, rows, coded)
    index = np.flatnonzero(rows)
    if not len(index):
        raise IdentificationError(f"survey_glm of {outcome!r}: no rows left in the domain")
    xs, ys, offs = x[index], y[index], off[index]
    del x
    _check_separation(chosen, xs, ys, names, outcome)
    project = _projector([c[index] for c, _ in coded.values()]) if levels else None

    largest = None
    if levels and family != "linear":
        largest = max((c[index] for c, _ in coded.values()), key=lambda c: int(c.max()))

    def fit(weights: np.ndarray, start: np.ndarray | None = None) -> _Solution:
        return _irls(chosen, ys, xs, weights[index], offs, project, names, start, largest)

    solution = fit(sample.weights)
    beta, eta, working, projected, bread, iterations = solution
    mu = chosen.mean(eta)
    score = sample.weights[index] * (ys - mu) * chosen.slope(eta) / chosen.variance(mu)
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
    counts["n_events"] = int((ys > 0).sum())
    influence: Influence
    rule: Any
    if variance == "replicates":
        if sample.replicates is None:
            raise DesignError("the sample has no replicate weights: sample(…, replicates=replicate_weights(…))")
        influence, rule = replicate_influence(sample.replicates, beta, lambda w: fit(w, eta).beta)
    else:
        influence = sample.influence(projected * score[:, None], index)
        if leverage is None:
            influence = influence.combine(bread)
        else:
            influence, alone = _leave_one_out(sample, influence, leverage, index, projected, working, bread)
            if alone:
                notes.append(
                    f"{alone} levels of {leverage} alone identify a coefficient; their leverage is not corrected"
                )
        rule = sample.rule(rows, cluster or "psu")
    keep = GlmFit(sample, chosen, index, xs, eta, offs, working, projected, score, bread, project, iterations)
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
            "iterations": iterations,
            "leverage": leverage,
        },
        notes=tuple(notes),
        provenance=sample.provenance,
        model=keep,
    )


@dataclass(frozen=True)
class _Solution:
    beta: np.ndarray
    eta: np.ndarray
    working: np.ndarray
    projected: np.ndarray
    bread: np.ndarray
    iterations: int

    def __iter__(self) -> Any:
        return iter((self.beta, self.eta, self.working, self.projected, self.bread, self.iterations))


def _irls(
    family: Family,
    y: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    offset: np.ndarray,
    project: Callable[[np.ndarray, np.ndarray], np.ndarray] | None,
    names: Sequence[str],
    start: np.ndarray | None = None,
    group: np.ndarray | None = None,
    limit: int = 100,
) -> _Solution:
    """Iteratively reweighted least squares to machine precision of the linear predictor."""
    if start is not None:
        eta = start
    elif family.name == "linear":
        eta = np.zeros_like(y)
    else:
        eta = offset + _start(family, y, w, group)
    block = np.column_stack([y, x])
    previous, beta = np.inf, np.full(x.shape[1], np.nan)
    best = -np.inf if family.name == "linear" else float(w @ family.likelihood(y, eta))
    for iteration in range(1, limit + 1):
        mu, slope = family.mean(eta), family.slope(eta)
        if not (slope > 1e-100).all() or not (family.variance(mu) > 1e-100).all():
            break  # predictions of exactly 0 or 1: the likelihood has no maximum
        working = w * slope**2 / family.variance(mu)
        z = eta - offset + (y - mu) / slope
        block[:, 0] = z
        projected = block if project is None else project(block, working)
        xt, zt = projected[:, 1:], projected[:, 0]
        weighted = xt * working[:, None]
        gram = xt.T @ weighted
        bread = _inverse(gram, x, working, names)
        beta = bread @ (weighted.T @ zt)
        new = z - (zt - xt @ beta) + offset
        if not np.isfinite(new).all():
            break
        if group is not None and np.max(np.abs(new - eta)) > 1:
            new = _settle(family, y, w, new, group)
        value = float(w @ family.likelihood(y, new))
        if family.name != "linear":
            for _ in range(40):  # a step that overshoots is halved
                if value >= best - 1e-9 * abs(best):
                    break
                new = (new + eta) / 2
                value = float(w @ family.likelihood(y, new))
        best = value
        step = float(np.max(np.abs(new - eta)))
        eta = new
        if family.name == "linear" or (step < 1e-9 and previous < 1e-9):
            mu, slope = family.mean(eta), family.slope(eta)
            working = w * slope**2 / family.variance(mu)
            if family.name != "linear":
                xt = x if project is None else project(x, working)
                bread = _inverse((xt * working[:, None]).T @ xt, x, working, names)
            return _Solution(beta, eta, working, np.ascontiguousarray(xt), bread, iteration)
        previous = step
    large = [n for n, b in zip(names, np.abs(beta) * x.std(axis=0)) if not np.isfinite(b) or b > 10]
    raise IdentificationError(
        f"{family.name} regression did not converge in {limit} steps; coefficients run away for {large or names}. "
        "A combination of covariates separates events from non-events: drop it or use family='linear'"
    )


def _start(family: Family, y: np.ndarray, w: np.ndarray, group: np.ndarray | None) -> np.ndarray:
    """Linear predictor to start from: the overall mean, by group of the largest effect shrunk towards it."""
    centre = float(np.average(y, weights=w))
    if group is None:
        return np.full_like(y, family.link(np.array(centre)))
    prior = float(w.mean()) / (min(centre, 1 - centre) if family.binary else centre)
    mean = (np.bincount(group, w * y) + prior * centre) / (np.bincount(group, w) + prior)
    return family.link(mean)[group]


def _leave_one_out(
    sample: SurveySample,
    influence: Influence,
    level: str,
    index: np.ndarray,
    projected: np.ndarray,
    working: np.ndarray,
    bread: np.ndarray,
) -> tuple[Influence, int]:
    """Turn collapsed scores into influence with (H − H_g)⁻¹ for each group g; count groups that cannot be left out."""
    if level not in sample.cluster:
        raise DesignError(f"leverage={level!r}: the sample keeps {sorted(sample.cluster)}; cluster=({level!r},)")
    codes = sample.cluster[level][index]
    size, k = int(codes.max()) + 1, projected.shape[1]
    root = linalg.cholesky(bread, lower=True)  # H⁻¹ = R R'
    moved = projected @ root
    shares = np.empty((size, k, k))
    for i in range(k):
        for j in range(i, k):
            shares[:, i, j] = shares[:, j, i] = np.bincount(codes, working * moved[:, i] * moved[:, j], size)
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


def _inverse(gram: np.ndarray, x: np.ndarray, working: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Invert X̃'WX̃; a rank deficiency names the columns."""
    raw = np.einsum("ij,ij,i->j", x, x, working)
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


def _check_separation(family: Family, x: np.ndarray, y: np.ndarray, names: Sequence[str], outcome: str) -> None:
    """Refuse indicators that meet no event (or, for binary outcomes, no non-event)."""
    if family.name == "linear":
        return
    problems = Problems(f"{family.name} regression of {outcome!r}")
    for j, name in enumerate(names):
        inside = x[:, j] != 0
        if inside.all() or not inside.any():
            continue
        if y[inside].max() <= 0 or (family.binary and y[inside].min() >= 1):
            what = "no event" if y[inside].max() <= 0 else "only events"
            problems.add(f"{name}: {what} among its {int(inside.sum()):,} rows, so its coefficient is infinite")
    problems.raise_if_any(IdentificationError)


def _projector(codes: Sequence[np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the weighted projection off one or more effects, through the kernel; the largest is eliminated."""
    coded = [np.unique(c, return_inverse=True)[1].reshape(-1) for c in codes]
    coded.sort(key=lambda c: -int(c.max()))
    unit, *others = coded
    time = others[0] if others else np.zeros_like(unit)
    sizes = int(unit.max()) + 1, int(time.max()) + 1

    def project(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        kernel = absorb(unit, time, n_units=sizes[0], n_periods=sizes[1], weights=weights, effects=others[1:])
        return kernel.residualize(columns)

    return project
