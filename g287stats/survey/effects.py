"""What coefficients mean: average effects, percentage changes, odds and risk ratios, and two kinds of error.

A coefficient of a logit is a log odds ratio at given effects; the average effect on the probability, the ratio of
average risks and the odds ratio are three different quantities and have three different functions here. Averages
over the sample need the influence of the absorbed effects too. For a functional Σ g_i η_i of the linear
predictor, the influence of row i is ``(P h)_i s_i`` with h = g / W, P the weighted projection on covariates and
effects together, W the working weights and s the score residual: one more projection, and still no county column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from g287stats.errors import DesignError, choose
from g287stats.estimate.estimate import Estimate
from g287stats.survey.regression import GlmEstimate, GlmFit

Quantity = Literal["difference", "risk_ratio"]
Covariates = Literal["sampled", "fixed"]


def average_effect(
    estimate: Estimate,
    variable: str,
    *,
    change: tuple[float, float] = (0.0, 1.0),
    over: Any = None,
    quantity: Quantity = "difference",
    covariates: Covariates = "sampled",
) -> Estimate:
    """Average effect of setting ``variable`` from one value to another, with its design-based error.

    Parameters
    ----------
    estimate
        A linearised :func:`~g287stats.survey.regression.glm` fit.
    variable
        A covariate; products that contain it (``hisp:tf`` for ``tf``) change with it.
    change
        The two values compared.
    over
        Rows averaged over (mask over the sample, or an expression such as ``"hisp == 1 and tf > 0"``); default
        all rows of the fit.
    quantity
        ``difference`` of the two average predictions (on the outcome's scale: probability, count), or their
        ``risk_ratio``, the second over the first, reported as its logarithm.
    covariates
        ``sampled`` counts the sampling of the rows averaged over as a source of error; ``fixed`` does not.
    """
    choose("quantity", quantity, get_args(Quantity))
    choose("covariates", covariates, get_args(Covariates))
    estimate, fit = _fit(estimate)
    inside, levels, slopes = _predictions(estimate, fit, variable, change, over)
    a = np.where(inside, fit.sample.weights[fit.rows], 0.0)
    a /= a.sum()
    by_cell = np.bincount(fit.cell, a, len(fit.x))
    means = [float(by_cell @ m) for m in levels]
    # one row-level influence for each of the two average predictions
    influence = np.column_stack([_mean_influence(fit, by_cell * d, shift) * fit.score for d, shift in slopes])
    if covariates == "sampled":
        influence += a[:, None] * (np.column_stack(levels)[fit.cell] - means)
    if quantity == "difference":
        weights, point, term = np.array([[-1.0, 1.0]]), means[1] - means[0], f"average effect of {variable}"
    else:
        weights = np.array([[-1 / means[0], 1 / means[1]]])
        point, term = float(np.log(means[1] / means[0])), f"log risk ratio of {variable}"
    labels = pd.DataFrame({"term": [term], "from": [change[0]], "to": [change[1]]})
    labels["mean_from"], labels["mean_to"] = means
    return replace(
        estimate,
        labels=labels,
        point=np.array([point]),
        influence=fit.sample.influence(influence @ weights.T, fit.rows),
        kind="other",
        options=dict(estimate.options) | {"quantity": quantity, "covariates": covariates},
        sample=dict(estimate.sample) | {"n_averaged": int(inside.sum())},
        model=None,
    )


def ratios(estimate: Estimate, terms: Sequence[str] | None = None, level: float = 0.95) -> pd.DataFrame:
    """Exponentiate coefficients, under their right name: odds ratio, rate ratio or hazard ratio.

    Intervals are the exponentials of the limits; the standard error is that of the log. ``percent`` is
    100·(ratio − 1), with ``percent_se`` by the delta method. None of them is a risk ratio unless the family is
    Poisson: see :func:`average_effect` with ``quantity="risk_ratio"``.
    """
    family = estimate.options.get("family")
    names = {"logit": "odds ratio", "poisson": "rate ratio", "cloglog": "hazard ratio"}
    if family not in names:
        raise DesignError(f"coefficients of a {family} regression are differences; they have no ratio")
    picked = estimate if terms is None else estimate.select(list(terms))
    interval = picked.conf_int(level)
    out = pd.DataFrame(
        {"scale": names[family], "log": picked.point, "log_se": picked.se, "ratio": np.exp(picked.point)}
    )
    out["conf_low"], out["conf_high"] = np.exp(interval["conf_low"]), np.exp(interval["conf_high"])
    out["percent"], out["percent_se"] = 100 * (out["ratio"] - 1), 100 * out["ratio"] * out["log_se"]
    out["percent_low"], out["percent_high"] = 100 * (out["conf_low"] - 1), 100 * (out["conf_high"] - 1)
    return out


def percent_change(estimate: Estimate, terms: Sequence[str] | None = None) -> Estimate:
    """Return coefficients as percentage effects, 100·(exp(b) − 1), with their delta-method errors.

    Of odds for a logit, of rates or risks for a Poisson, of hazards for a cloglog; the term says which.
    """
    scale = {"logit": "odds", "poisson": "rate", "cloglog": "hazard"}.get(str(estimate.options.get("family")))
    if scale is None:
        raise DesignError("percentage effects need a logit, Poisson or cloglog fit")
    picked = estimate if terms is None else estimate.select(list(terms))
    factor = 100 * np.exp(picked.point)
    names = [f"{t}, percent change of the {scale}" for t in picked.terms]
    moved = picked.combine(np.diag(factor), picked.labels.assign(term=names), kind=picked.kind)
    return replace(moved, point=factor - 100)


def both_errors(estimate: Estimate, cluster: str) -> pd.DataFrame:
    """Put the design's standard errors beside those clustered by ``cluster`` (the county of the treatment).

    Pseudo-PSUs split large counties and pool small ones, so the design alone need not carry county shocks;
    ``headline`` is the larger of the two.
    """
    estimate, fit = _fit(estimate)
    mask = np.zeros(fit.sample.n, dtype=bool)
    mask[fit.rows] = True
    design = estimate.with_rule(fit.sample.rule(mask))
    county = estimate.with_rule(fit.sample.rule(mask, cluster))
    out = pd.DataFrame({"estimate": estimate.params, "design_se": design.se, f"{cluster}_se": county.se})
    out["headline_se"] = np.fmax(out["design_se"], out[f"{cluster}_se"])
    out["headline"] = np.where(out["design_se"] >= out[f"{cluster}_se"], "design", cluster)
    out["df_design"], out[f"df_{cluster}"] = design.df, county.df
    return out


def headline_error(estimate: Estimate, term: str, cluster: str) -> Estimate:
    """Return one coefficient under the larger of its two errors: the design's, or clustered by ``cluster``."""
    larger = both_errors(estimate, cluster).loc[term, "headline"]
    _, fit = _fit(estimate)
    mask = np.zeros(fit.sample.n, dtype=bool)
    mask[fit.rows] = True
    return estimate.with_rule(fit.sample.rule(mask, "psu" if larger == "design" else cluster)).select([term])


def _fit(estimate: Estimate) -> tuple[GlmEstimate, GlmFit]:
    if not isinstance(estimate, GlmEstimate) or estimate.model is None:
        raise DesignError("effects need the fit: pass the result of glm itself, not a combination of it")
    if estimate.options.get("variance") == "replicates":
        raise DesignError("average effects are linearised; fit with variance='linearized'")
    return estimate, estimate.model


def _predictions(
    estimate: Estimate, fit: GlmFit, variable: str, change: tuple[float, float], over: Any
) -> tuple[np.ndarray, list[np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
    """Rows averaged over; by cell predictions at the two values, and for each the slope and the shift of covariates."""
    names = estimate.terms
    parts = [n.split(":") for n in names]
    touched = [j for j, p in enumerate(parts) if variable in p]
    if not touched or [variable] not in parts:
        raise DesignError(f"{variable!r} is not a covariate of the fit: {names[:12]}")
    mask = fit.sample.domain(over)[fit.rows]
    if not mask.any():
        raise DesignError("no rows of the fit in over=")
    current = fit.x[:, parts.index([variable])]
    levels, slopes = [], []
    for value in change:
        shift = np.zeros_like(fit.x)
        for j in touched:
            others = np.ones(len(fit.x))
            for name in parts[j]:
                if name != variable:
                    others = others * _column(fit, names, name)
            shift[:, j] = (value - current) * others
        eta = fit.eta + shift @ estimate.point
        levels.append(fit.family.mean(eta))
        slopes.append((fit.family.slope(eta), shift))
    return mask, levels, slopes


def _column(fit: GlmFit, names: list[str], name: str) -> np.ndarray:
    if name in names:
        return fit.x[:, names.index(name)]
    first = np.zeros(len(fit.x), dtype=np.int64)
    first[fit.cell[::-1]] = fit.rows[::-1]
    return pd.to_numeric(fit.sample.frame[name]).to_numpy(float)[first]


def _mean_influence(fit: GlmFit, g: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Influence of Σ a μ(η + shift β) by unit of score residual, for each row used; gradient ``g`` on η and shift·β."""
    h = g / fit.working
    on_eta = h - _residual(fit, h)
    on_slopes = fit.projected @ (fit.bread @ (shift.T @ g))
    return (on_eta + on_slopes)[fit.cell]


def _residual(fit: GlmFit, h: np.ndarray) -> np.ndarray:
    """Residual of the weighted projection of ``h`` on covariates and absorbed effects together."""
    inner = h if fit.absorbed is None else fit.absorbed.residual(h[:, None], fit.working)[:, 0]
    return inner - fit.projected @ (fit.bread @ (fit.projected.T @ (fit.working * inner)))
