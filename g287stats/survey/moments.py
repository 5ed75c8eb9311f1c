"""Totals, means, ratios and prevalences with design-based errors, for the population and for its parts.

Each estimator is a smooth function of weighted totals; its influence functions are, for row i with weight w,

    total  w·y,        ratio N/D  w·(y − R·x)/D,

zero outside the domain. All cells of a ``by`` table are estimated together, so that differences, trends and
contrasts between them carry their covariance (years that share sampling units are correlated).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from g287stats.errors import DesignError, Problems, choose, first_of
from g287stats.estimate.covariance import Influence
from g287stats.estimate.estimate import Estimate, Method
from g287stats.survey.design import SurveySample, as_numbers
from g287stats.survey.replicates import replicate_influence

LINEARISATION = (
    "Binder, D. A. (1983). On the variances of asymptotically normal estimators from complex surveys. "
    "International Statistical Review, 51(3), 279–292. doi:10.2307/1402588",
    "Lumley, T. (2010). Complex Surveys: A Guide to Analysis Using R. Wiley.",
)
Variance = Literal["linearized", "replicates"]


def total(sample: SurveySample, outcome: str, **how: Any) -> Estimate:
    """Estimate the population total of ``outcome``. See :func:`ratio` for the further arguments."""
    return _estimate(sample, outcome, None, "survey_total", "Survey total", 1.0, **how)


def mean(sample: SurveySample, outcome: str, *, scale: float = 1.0, **how: Any) -> Estimate:
    """Estimate the population mean of ``outcome``, times ``scale`` (1000 for a rate per 1,000 residents).

    See :func:`ratio` for the further arguments.
    """
    return _estimate(sample, outcome, 1.0, "survey_mean", "Survey mean", scale, **how)


def ratio(
    sample: SurveySample,
    numerator: str,
    denominator: str,
    *,
    by: str | Sequence[str] = (),
    domain: Any = None,
    scale: float = 1.0,
    variance: Variance = "linearized",
) -> Estimate:
    """Estimate the ratio of two population totals.

    Parameters
    ----------
    numerator, denominator
        Columns of the sample's frame.
    by
        Column or columns; one parameter for each combination that occurs in the domain.
    domain
        Mask over all rows (array, column name or expression); rows outside keep their sampling unit. Rows with
        a missing outcome are outside too, and counted in ``sample["n_missing"]``.
    scale
        Multiplies the ratio (1000, 100).
    variance
        ``linearized`` (Taylor) or ``replicates`` (the sample's replicate weights).
    """
    return _estimate(
        sample,
        numerator,
        denominator,
        "survey_ratio",
        "Survey ratio",
        scale,
        by=by,
        domain=domain,
        variance=variance,
    )


def _estimate(
    sample: SurveySample,
    numerator: str,
    denominator: str | float | None,
    key: str,
    title: str,
    scale: float,
    *,
    by: str | Sequence[str] = (),
    domain: Any = None,
    variance: Variance = "linearized",
) -> Estimate:
    choose("variance", variance, get_args(Variance))
    groups = (by,) if isinstance(by, str) else tuple(by)
    columns = [numerator, *([denominator] if isinstance(denominator, str) else [])]
    numbers = outcome_columns(sample, columns, groups, title)
    y, x = numbers[0], numbers[1] if len(numbers) > 1 else np.ones(sample.n)
    asked = sample.domain(domain)
    rows = domain_rows(sample, asked, (y, x), groups, f"{title} of {numerator!r}")
    labels, cell = label_cells(sample.frame, groups, rows)
    k = len(labels)
    index = np.flatnonzero(rows)
    yr, xr = y[index], x[index]

    def totals(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.bincount(cell, w[index] * yr, k), np.bincount(cell, w[index] * xr, k)

    def point(w: np.ndarray) -> np.ndarray:
        top, bottom = totals(w)
        if denominator is None:
            return top
        with np.errstate(invalid="ignore", divide="ignore"):
            return scale * top / bottom

    theta = point(sample.weights)
    if not np.isfinite(theta).all():
        empty = labels["term"][~np.isfinite(theta)].tolist()
        raise DesignError(f"{title} of {numerator!r}: the denominator is zero in {empty[:8]}")
    w = sample.weights[index]
    if denominator is None:
        value = w * yr
    else:
        value = w * (scale * yr - theta[cell] * xr) / totals(sample.weights)[1][cell]
    rule: Any
    if variance == "replicates":
        if sample.replicates is None:
            raise DesignError("the sample has no replicate weights: sample(…, replicates=replicate_weights(…))")
        influence, rule = replicate_influence(sample.replicates, theta, point)
    else:
        influence, rule = sample.influence(value, index, cell), sample.rule(rows)
    labels["n_cases"] = np.bincount(cell, (yr != 0) & (w != 0), k).astype(int)
    missing = int((asked & ~rows & (sample.weights != 0)).sum())
    return with_zeros_noted(
        Estimate(
            labels=labels,
            point=theta,
            influence=influence,
            rule=rule,
            kind="other",
            method=Method(key, title, LINEARISATION),
            outcome=numerator if not isinstance(denominator, str) else f"{numerator} / {denominator}",
            sample=sample.counts(rows) | {"n_missing": missing},
            options={"by": groups, "scale": scale, "variance": variance, "domain": domain is not None},
            notes=sample.notes,
            provenance=sample.provenance,
        )
    )


def outcome_columns(
    sample: SurveySample, columns: Sequence[str], groups: Sequence[str], title: str
) -> list[np.ndarray]:
    """Return columns as numbers; absent columns, absent groups and text are one error."""
    frame, problems = sample.frame, Problems(title)
    absent = [c for c in (*columns, *groups) if c not in frame.columns]
    if absent:
        problems.add("columns are not in the file", absent, f"It has {list(map(str, frame.columns[:20]))}")
    problems.raise_if_any()
    out = [as_numbers(frame[c], problems) for c in columns]
    problems.raise_if_any()
    return out


def domain_rows(
    sample: SurveySample, asked: np.ndarray, numbers: Sequence[np.ndarray], groups: Sequence[str], what: str
) -> np.ndarray:
    """Rows of the domain with every number and every group known; none with a weight is an error."""
    rows = asked.copy()
    for values in numbers:
        rows &= ~np.isnan(values)
    for name in groups:
        rows &= sample.frame[name].notna().to_numpy()
    if not (rows & (sample.weights != 0)).any():
        raise DesignError(f"{what}: no rows with an outcome and a weight in the domain")
    return rows


def with_zeros_noted(estimate: Estimate) -> Estimate:
    """Say in a note when a standard error is zero because nothing varies from sample to sample."""
    zero = [t for t, s in zip(estimate.terms, estimate.se) if s == 0]
    if not zero:
        return estimate
    why = "its strata are taken whole, contribute nothing by the rule for single units, or nothing varies within them"
    note = f"standard error 0 for {first_of(zero)}: {why}"
    return replace(estimate, notes=(*estimate.notes, note))


def label_cells(frame: pd.DataFrame, groups: tuple[str, ...], rows: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Label the cells of ``groups`` that occur in ``rows`` (last group varies slowest) and code the rows."""
    if not groups:
        return pd.DataFrame({"term": ["all"]}), np.zeros(int(rows.sum()), dtype=int)
    table = frame.loc[rows, list(groups)]
    cell = table.groupby(list(reversed(groups)), sort=True, observed=True).ngroup().to_numpy()
    first = np.unique(cell, return_index=True)[1]
    labels = table.iloc[first].reset_index(drop=True)
    text = [", ".join(f"{g}={v}" for g, v in zip(groups, row)) for row in labels.itertuples(index=False)]
    labels.insert(0, "term", text)
    return labels, cell


def log_transform(estimate: Estimate) -> Estimate:
    """Return the estimate on the log scale (delta method): differences are then proportional changes."""
    if (estimate.point <= 0).any():
        raise DesignError("logs need positive estimates: " + ", ".join(np.array(estimate.terms)[estimate.point <= 0]))
    psi = estimate.influence.psi / estimate.point
    labels = estimate.labels.assign(term=["log " + t for t in estimate.terms])
    influence = Influence(psi, estimate.influence.keys, estimate.influence.labels)
    return replace(estimate, labels=labels, point=np.log(estimate.point), influence=influence)


def proportion_interval(estimate: Estimate, level: float = 0.95) -> pd.DataFrame:
    """Confidence intervals of proportions on the logit scale, transformed back; they stay within 0 and 1."""
    p = estimate.point
    if ((p <= 0) | (p >= 1)).any():
        raise DesignError("a logit interval needs proportions strictly between 0 and 1")
    half = estimate.critical_value(level) * estimate.se.to_numpy() / (p * (1 - p))
    centre = np.log(p / (1 - p))
    low, high = (1 / (1 + np.exp(-(centre + s * half))) for s in (-1, 1))
    return pd.DataFrame({"estimate": p, "conf_low": low, "conf_high": high}, index=estimate.params.index)


def design_effect(sample: SurveySample, estimate: Estimate, outcome: str, *, domain: Any = None) -> float:
    """Design effect of a mean: its variance over that of a simple random sample with replacement of that size."""
    y = outcome_columns(sample, [outcome], (), "Design effect")[0]
    rows = sample.domain(domain) & ~np.isnan(y) & (sample.weights != 0)
    w, v = sample.weights[rows], y[rows] * estimate.options["scale"]
    n = len(v)
    centre = np.average(v, weights=w)
    spread = np.average((v - centre) ** 2, weights=w) * n / (n - 1)
    return float(estimate.se.to_numpy()[0] ** 2 / (spread / n))


def reliability(estimate: Estimate, *, percent: bool = False) -> pd.DataFrame:
    """Flag estimates that BJS would caution against.

    The relative standard error exceeds 30 %, or at most 10 sample cases stand behind the estimate. For
    percentages the relative error is that of log(P), or of log(100 − P) above 50 % (``percent=True``; the
    estimate must be in percent).
    """
    p, se = estimate.point, estimate.se.to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        if percent:
            inner = np.where(p > 50, 100 - p, p) / 100
            rse = (se / 100 / inner) / np.abs(np.log(inner))
        else:
            rse = se / np.abs(p)
    out = pd.DataFrame({"estimate": p, "std_error": se, "rse_percent": 100 * rse}, index=estimate.params.index)
    cases = estimate.labels["n_cases"].to_numpy() if "n_cases" in estimate.labels else np.full(len(p), -1)
    out["n_cases"] = cases
    out["caution"] = (100 * rse > 30) | np.isnan(rse) | ((cases >= 0) & (cases <= 10))
    return out
