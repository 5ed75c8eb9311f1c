"""The inference recommended for the number of treated units, written once.

Errors clustered by county are too small when few counties are treated, and their weights decide how few: one county
with most of the weight is one county. The rule, by the effective number of treated units (Kish 1965):

* an estimator with its own degrees of freedom (``small_sample="neyman"``) keeps them;
* otherwise the clustered error is multiplied by √(n/(n − 1)) and t with n − 1 degrees of freedom is used, n the
  effective number: the treated side's share of Bell and McCaffrey's correction, which dominates when controls are
  many;
* with fewer than ten treated units a static two-way regression is read by permutation: the treatment paths that
  occurred are given to other units, and the test on the t statistic is inverted into an interval (MacKinnon and Webb
  2020). The wild bootstrap's p-value is printed beside it.

References
----------
Bell, R. and McCaffrey, D. (2002). Survey Methodology 28, 169–181. Kish, L. (1965). Survey Sampling. Wiley.
MacKinnon, J. and Webb, M. (2020). Randomization inference for difference-in-differences with few treated clusters.
Journal of Econometrics 218, 435–450.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from g287stats.errors import IdentificationError
from g287stats.estimate.estimate import Estimate

FEW = 10
"""Fewer treated units than this: permutation, where it applies."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval in units of the estimate, its p-value against zero, and how it was made."""

    low: float
    high: float
    p_value: float
    how: str


def effective_number(weights: np.ndarray) -> float:
    """Kish's effective number: (Σw)² / Σw²."""
    w = np.asarray(weights, dtype=float)
    w = w[np.isfinite(w) & (w > 0)]
    return float(w.sum() ** 2 / (w**2).sum()) if len(w) else 0.0


def recommended(est: Estimate, effective: float) -> Interval:
    """Interval of a one-parameter estimate by the rule above (the permutation apart, see :func:`permuted`)."""
    point, se = float(est.point[0]), float(est.se.iloc[0])
    if not np.isfinite(se):
        raise IdentificationError(f"{est.method.title}: no standard error for {est.terms[0]!r}")
    if est.options.get("small_sample") == "neyman" or type(est.rule).__name__ == "Neyman":
        ends = est.conf_int().iloc[0]
        p = float(est.p_values().iloc[0])
        return Interval(float(ends["conf_low"]), float(ends["conf_high"]), p, f"Neyman, t({est.df:.1f})")
    if not effective > 1.5:
        raise IdentificationError(
            f"effective number of treated units {effective:.1f}: no error can be estimated from one unit; "
            "use g.synthetic_control with placebo ranks, or g.randomization_test"
        )
    df = effective - 1
    wide = se * np.sqrt(effective / df)
    half = float(stats.t.ppf(0.975, df)) * wide
    p = 2 * float(stats.t.sf(abs(point) / wide, df))
    return Interval(point - half, point + half, p, f"clustered, treated-side t({df:.1f})")


def permuted(est: Estimate, *, draws: int = 999, seed: int = 287, within: str | None = None) -> Interval:
    """Interval of a static two-way regression by permutation of treatment paths over units."""
    from g287stats.inference.randomization import randomization_test
    from g287stats.inference.wild import wild_bootstrap

    test = randomization_test(est, statistic="t", draws=draws, seed=seed, within=within)
    wild = wild_bootstrap(est, draws=999, seed=seed, ci=False)
    how = f"permutation by {test.assign_by}, {test.n_treated} of {test.n_assigned}; wild bootstrap p {wild.p_value:.3f}"
    return Interval(test.conf_low, test.conf_high, test.p_value, how)
