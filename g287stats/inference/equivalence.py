"""Equivalence tests: is a null informative? (Two one-sided tests, Schuirmann 1987.)"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from g287stats.errors import DesignError
from g287stats.inference.estimate import Estimate, _reference_distribution
from g287stats.inference.shown import Shown
from g287stats.inference.target import scalar


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
        Level of each one-sided test; ``interval`` has level 1 − 2·alpha.
    p_lower, p_upper
        P-values of "the effect is at or below the lower margin" and "at or above the upper margin".
    p
        The larger of the two: the p-value of non-equivalence.
    interval
        The 1 − 2·alpha confidence interval (90 % at the default); equivalence holds exactly when it lies inside
        the margin.
    interval95
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
    p_lower: float
    p_upper: float
    p: float
    interval: tuple[float, float]
    interval95: tuple[float, float]
    smallest_margin: float

    @property
    def equivalent(self) -> bool:
        """Whether non-equivalence is rejected at ``alpha``."""
        return self.p < self.alpha

    @property
    def sentence(self) -> str:
        """The sentence to write: what is excluded at 95 %, and whether the effect is within the margin."""
        low, high = self.interval95
        lower, upper = self.margin
        span = f"±{upper:.4g}" if lower == -upper else f"{lower:.4g} to {upper:.4g}"
        verdict = (
            f"The effect is within {span} (equivalence test, p = {self.p:.3g})."
            if self.equivalent
            else f"An effect beyond {span} is not excluded (equivalence test, p = {self.p:.3g}); "
            f"the smallest margin that could be claimed is ±{self.smallest_margin:.4g}."
        )
        return (
            f"Estimate {self.estimate:.4g} (standard error {self.std_error:.4g}): effects on {self.outcome} below "
            f"{low:.4g} and above {high:.4g} are excluded at 95 %. {verdict}"
        )

    def tidy(self) -> pd.DataFrame:
        """One row with every number."""
        row = {k: v for k, v in vars(self).items() if not isinstance(v, tuple)}
        row |= {"margin_low": self.margin[0], "margin_high": self.margin[1], "equivalent": self.equivalent}
        row |= {"conf_low": self.interval[0], "conf_high": self.interval[1]}
        row |= {"conf95_low": self.interval95[0], "conf95_high": self.interval95[1]}
        return pd.DataFrame([row])

    def _words(self) -> str:
        return self.sentence


def equivalence(
    est: Estimate, margin: float | tuple[float, float], *, alpha: float = 0.05, term: str | None = None
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
    dist = _reference_distribution(s.df)
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
        p_lower=p_lower,
        p_upper=p_upper,
        p=max(p_lower, p_upper),
        interval=(s.estimate - half, s.estimate + half),
        interval95=(s.estimate - half95, s.estimate + half95),
        smallest_margin=abs(s.estimate) + half,
    )
