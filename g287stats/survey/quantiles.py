"""Quantiles with Woodruff's intervals.

The p-quantile is the smallest value at which the weighted distribution function reaches p. Its interval inverts that of
the distribution function there (Woodruff 1952): the quantiles at F ± t·se(F). The standard error is the interval's
length over 2t, and its ratio to se(F), an estimate of one over the density, carries the influence functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from g287stats.errors import DesignError, check_level
from g287stats.estimate.covariance import Influence
from g287stats.estimate.estimate import Estimate, Method
from g287stats.survey.design import SurveySample
from g287stats.survey.moments import domain_rows, label_cells, outcome_columns, with_zeros_noted

REFERENCES = (
    "Woodruff, R. S. (1952). Confidence intervals for medians and other position measures. Journal of the American "
    "Statistical Association, 47(260), 635–646. doi:10.1080/01621459.1952.10483443",
    "Francisco, C. A. and Fuller, W. A. (1991). Quantile estimation with a complex survey design. Annals of "
    "Statistics, 19(1), 454–469. doi:10.1214/aos/1176347993",
)


def quantile(
    sample: SurveySample,
    outcome: str,
    q: float | Sequence[float] = 0.5,
    *,
    by: str | Sequence[str] = (),
    domain: Any = None,
    level: float = 0.95,
) -> Estimate:
    """Estimate quantiles of ``outcome`` in the population or its parts.

    Parameters
    ----------
    q
        Shares between 0 and 1: 0.5 is the median.
    by, domain
        As in :func:`~g287stats.survey.moments.ratio`.
    level
        Confidence level of Woodruff's interval, from which the standard error comes.

    Returns
    -------
    Estimate
        One parameter for each cell and share; ``labels`` has ``q``, ``woodruff_low`` and ``woodruff_high``. The
        interval need not be symmetric; ``conf_int()`` is the symmetric one from the standard error.

    Examples
    --------
    >>> import pandas as pd
    >>> from g287stats.survey import sample
    >>> d = pd.DataFrame({"h": [1, 1, 2, 2], "u": [1, 2, 1, 2], "y": [1.0, 2.0, 3.0, 9.0]})
    >>> float(quantile(sample(d, strata="h", psu="u"), "y").point[0])
    2.0
    """
    check_level(level)
    shares = [float(v) for v in np.atleast_1d(np.asarray(q, dtype=float))]
    if not shares or not all(0 < v < 1 for v in shares):
        raise DesignError(f"q={q}: quantiles are asked for by shares between 0 and 1, q=0.5")
    groups = (by,) if isinstance(by, str) else tuple(by)
    y = outcome_columns(sample, [outcome], groups, "Survey quantile")[0]
    asked = sample.domain(domain)
    rows = domain_rows(sample, asked, (y,), groups, f"quantile of {outcome!r}")
    labels, cell = label_cells(sample.frame, groups, rows)
    index = np.flatnonzero(rows)
    values, w, rule = y[index], sample.weights[index], sample.rule(rows)
    ordered = [_ordered(values[cell == c], w[cell == c]) for c in range(len(labels))]
    critical = _critical(rule.df, level)
    parts, tables = [], []
    for share in shares:
        at = np.array([_inverse(v, cumulative, share) for v, cumulative in ordered])
        below = (values <= at[cell]).astype(float)
        size = np.bincount(cell, w, len(labels))
        reached = np.bincount(cell, w * below, len(labels)) / size
        psi = sample.influence(w * (below - reached[cell]) / size[cell], index, cell)
        spread = np.sqrt(rule.variances(psi))
        low, high = (
            np.array([_inverse(v, c, r + s * critical * e) for (v, c), r, e in zip(ordered, reached, spread)])
            for s in (-1, 1)
        )
        slope = np.divide((high - low) / (2 * critical), spread, out=np.zeros(len(at)), where=spread > 0)
        parts.append((at, -psi.psi * slope))
        term = [f"{t}, q={share:g}" if groups else f"q={share:g}" for t in labels["term"]]
        tables.append(labels.assign(term=term, q=share, woodruff_low=low, woodruff_high=high))
    influence = Influence(np.hstack([p for _, p in parts]), psi.keys)
    return with_zeros_noted(
        Estimate(
            labels=pd.concat(tables, ignore_index=True),
            point=np.concatenate([a for a, _ in parts]),
            influence=influence,
            rule=rule,
            kind="other",
            method=Method("survey_quantile", "Survey quantile", REFERENCES),
            outcome=outcome,
            sample=sample.counts(rows) | {"n_missing": int((asked & ~rows & (sample.weights != 0)).sum())},
            options={"by": groups, "q": tuple(shares), "level": level, "domain": domain is not None},
            notes=sample.notes,
            provenance=sample.provenance,
        )
    )


def _critical(df: float, level: float) -> float:
    from scipy import stats

    if df < 1:
        raise DesignError("no degrees of freedom: as many strata as sampling units hold the domain")
    return float(stats.t(df).ppf(0.5 + level / 2))


def _ordered(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values in order and the share of weight up to each; rows without weight are left out."""
    values, weights = values[weights > 0], weights[weights > 0]
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    return values[order], cumulative / cumulative[-1]


def _inverse(values: np.ndarray, cumulative: np.ndarray, share: float) -> float:
    """Smallest value at which the distribution function reaches ``share``."""
    spot = int(np.searchsorted(cumulative, share - 1e-12))
    return float(values[min(spot, len(values) - 1)])
