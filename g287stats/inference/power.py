"""What a design could have detected: analytic smallest detectable effects, and power by simulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize, stats

from g287stats.errors import DesignError
from g287stats.inference.estimate import Estimate, _reference_distribution
from g287stats.inference.target import scalar


def rejection_probability(effect: float, se: float, df: float = np.inf, alpha: float = 0.05) -> float:
    """Probability that a two-sided test at level ``alpha`` rejects zero when the true effect is ``effect``.

    Noncentral t with ``df`` degrees of freedom (normal when infinite), both tails counted.
    """
    c = float(_reference_distribution(df).ppf(1 - alpha / 2))
    shift = abs(effect) / se
    if not np.isfinite(df):
        return float(stats.norm.sf(c - shift) + stats.norm.cdf(-c - shift))
    near, far = stats.nct.cdf(c, df, shift), stats.nct.cdf(-c, df, shift)
    return float(1 - near + (far if np.isfinite(far) else 0.0))


@dataclass(frozen=True)
class DetectableEffect:
    """Smallest detectable effect of a two-sided test, in units of the outcome.

    ``exact`` solves the power function (noncentral t, both tails); ``two_quantiles`` is the textbook
    (q(1 − alpha/2) + q(power)) · se.
    """

    term: str
    outcome: str
    estimate: float
    std_error: float
    df: float
    power: float
    alpha: float
    exact: float
    two_quantiles: float

    @property
    def sentence(self) -> str:
        """The sentence to write beside a null."""
        return (
            f"The design would have detected an effect of ±{self.exact:.4g} on {self.outcome} with "
            f"probability {100 * self.power:.0f} % (two-sided test at {100 * self.alpha:.0f} %, "
            f"standard error {self.std_error:.4g})."
        )

    def power_at(self, effect: float) -> float:
        """Power against a true effect of ``effect``."""
        return rejection_probability(effect, self.std_error, self.df, self.alpha)

    def tidy(self) -> pd.DataFrame:
        """One row with every number."""
        return pd.DataFrame([vars(self)])

    def __str__(self) -> str:
        return self.sentence


def minimum_detectable_effect(
    est: Estimate, *, power: float = 0.8, alpha: float = 0.05, term: str | None = None
) -> DetectableEffect:
    """Smallest effect that the design behind ``est`` detects with probability ``power``.

    Uses the standard error and degrees of freedom of the estimate, not the estimate itself: it describes the
    design. With few treated counties the standard error may itself be wrong; see :func:`power_simulation`.

    References
    ----------
    Bloom, H. S. (1995). Minimum detectable effects. Evaluation Review 19, 547–556.
    """
    if not (0 < alpha < 1 and alpha < power < 1):
        raise DesignError(f"need 0 < alpha < power < 1; got alpha={alpha}, power={power}")
    s = scalar(est, term)
    dist = _reference_distribution(s.df)
    quantiles = float(dist.ppf(1 - alpha / 2) + dist.ppf(power))

    def gap(multiple: float) -> float:
        return rejection_probability(multiple, 1.0, s.df, alpha) - power

    upper = max(1.5 * quantiles, 1.0)
    while gap(upper) < 0:
        upper *= 2
    exact = optimize.brentq(gap, 0.0, upper, xtol=1e-14, rtol=1e-13)
    return DetectableEffect(
        s.term, s.outcome, s.estimate, s.std_error, s.df, power, alpha, exact * s.std_error, quantiles * s.std_error
    )
