"""Equivalence tests: is a null informative? (Two one-sided tests, Schuirmann 1987.)"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from g287stats.arguments import documented
from g287stats.errors import DesignError
from g287stats.estimate.estimate import Estimate, reference_distribution
from g287stats.inference.target import scalar
from g287stats.shown import Shown


@dataclass(frozen=True)
class Equivalence(Shown):
    """Two one-sided tests that an effect lies inside ``(margin[0], margin[1])``.

    Attributes
    ----------
    term, outcome, estimate, std_error, df
        The parameter, in units of the outcome.
    margin
        Lower and upper bound of effects regarded as negligible.
    alpha
        Level of each one-sided test; the interval has ``level`` 1 − 2·alpha.
    p_value_lower, p_value_upper
        P-values of "the effect is at or below the lower margin" and "at or above the upper margin".
    p_value
        The larger of the two: the p-value of non-equivalence.
    conf_low, conf_high
        The 1 − 2·alpha confidence interval (90 % at the default); equivalence holds exactly when it lies inside
        the margin.
    conf_low_95, conf_high_95
        The 95 % interval: what is excluded at 95 %.
    smallest_margin
        Smallest symmetric margin for which equivalence would be concluded at ``alpha``.
    """

    term: str
    outcome: str
    estimate: float
    std_error: float
    df: float
    margin: tuple[float, float]
    alpha: float
    p_value_lower: float
    p_value_upper: float
    p_value: float
    conf_low: float
    conf_high: float
    conf_low_95: float
    conf_high_95: float
    smallest_margin: float

    @property
    def level(self) -> float:
        """Confidence level of ``conf_low`` and ``conf_high``: 1 − 2·alpha."""
        return 1 - 2 * self.alpha

    @property
    def equivalent(self) -> bool:
        """Whether non-equivalence is rejected at ``alpha``."""
        return self.p_value < self.alpha

    @property
    def sentence(self) -> str:
        """The sentence to write: what is excluded at 95 %, and whether the effect is within the margin."""
        lower, upper = self.margin
        span = f"±{upper:.4g}" if lower == -upper else f"{lower:.4g} to {upper:.4g}"
        verdict = (
            f"The effect is within {span} (equivalence test, p = {self.p_value:.3g})."
            if self.equivalent
            else f"An effect beyond {span} is not excluded (equivalence test, p = {self.p_value:.3g}); "
            f"the smallest margin that could be claimed is ±{self.smallest_margin:.4g}."
        )
        return (
            f"Estimate {self.estimate:.4g} (standard error {self.std_error:.4g}): effects on {self.outcome} below "
            f"{self.conf_low_95:.4g} and above {self.conf_high_95:.4g} are excluded at 95 %. {verdict}"
        )

    def tidy(self) -> pd.DataFrame:
        """One row with every number."""
        row = {k: v for k, v in vars(self).items() if not isinstance(v, tuple)}
        row |= {"margin_low": self.margin[0], "margin_high": self.margin[1], "equivalent": self.equivalent}
        return pd.DataFrame([row | {"level": self.level}])

    def _words(self) -> str:
        return self.sentence


@documented()
def equivalence(
    est: Estimate, margin: float | tuple[float, float], *, alpha: float = 0.05, term: str | int | None = None
) -> Equivalence:
    """Test that an effect is smaller than ``margin`` (two one-sided tests).

    Non-equivalence, "the effect is at or beyond a margin", is the null hypothesis; it is rejected when both
    one-sided tests reject. With b the estimate, s its standard error and T the reference distribution,

        p_lower = 1 − T((b − low)/s),   p_upper = T((b − high)/s),   p = max(p_lower, p_upper).

    Parameters
    ----------
    est
        An estimate with one parameter (``es.overall``, ``gt.aggregate("simple")``), or name ``term``.
    margin
        Largest effect regarded as negligible, in units of the outcome: a positive number for a symmetric
        margin, or ``(low, high)``. It belongs to the question and must be stated before looking.
    alpha
        Level of each one-sided test.

    References
    ----------
    Schuirmann, D. J. (1987). A comparison of the two one-sided tests procedure and the power approach.
    Journal of Pharmacokinetics and Biopharmaceutics 15, 657–680.
    """
    low, high = (-margin, margin) if isinstance(margin, (int, float, np.number)) else margin
    low, high = float(low), float(high)
    if not (np.isfinite([low, high]).all() and low < high):
        raise DesignError(f"margin must be positive, or (low, high) with low < high; got {margin!r}")
    if not 0 < alpha < 0.5:
        raise DesignError(f"alpha must lie between 0 and 0.5; got {alpha}")
    s = scalar(est, term)
    dist = reference_distribution(s.df)
    p_lower = float(dist.sf((s.estimate - low) / s.std_error))
    p_upper = float(dist.cdf((s.estimate - high) / s.std_error))
    half = float(dist.ppf(1 - alpha)) * s.std_error
    half95 = float(dist.ppf(0.975)) * s.std_error
    return Equivalence(
        term=s.term,
        outcome=s.outcome,
        estimate=s.estimate,
        std_error=s.std_error,
        df=s.df,
        margin=(low, high),
        alpha=alpha,
        p_value_lower=p_lower,
        p_value_upper=p_upper,
        p_value=max(p_lower, p_upper),
        conf_low=s.estimate - half,
        conf_high=s.estimate + half,
        conf_low_95=s.estimate - half95,
        conf_high_95=s.estimate + half95,
        smallest_margin=abs(s.estimate) + half,
    )
