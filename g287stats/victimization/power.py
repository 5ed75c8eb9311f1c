"""What a significant estimate means when the study is small: power, wrong sign, exaggeration.

With the estimate normal around a true effect θ with standard error s, the study is significant when |estimate| >
z·s. Given significance, the estimate has the wrong sign with a probability (type S) and is too large by a factor (type
M) that depend on θ/s alone (Gelman and Carlin 2014; closed forms as in Lu, Qiu and Deng 2019).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import optimize, stats

from g287stats.errors import DesignError

REFERENCES = (
    "Gelman, A. and Carlin, J. (2014). Beyond power calculations: assessing type S (sign) and type M (magnitude) "
    "errors. Perspectives on Psychological Science, 9(6), 641–651. doi:10.1177/1745691614551642",
    "Lu, J., Qiu, Y. and Deng, A. (2019). A note on type S/M errors in hypothesis testing. British Journal of "
    "Mathematical and Statistical Psychology, 72(1), 1–17. doi:10.1111/bmsp.12132",
)


def exaggeration(truth: float, std_error: float, *, alpha: float = 0.05) -> pd.Series:
    """Power, probability of the wrong sign and exaggeration of significant estimates of a true effect.

    Returns ``power``; ``wrong_sign``, the probability that a significant estimate has the wrong sign (one half
    when the truth is zero); ``exaggeration``, the mean absolute significant estimate over the absolute truth
    (infinite when the truth is zero); ``mean_significant``, that mean.
    """
    if not std_error > 0:
        raise DesignError(f"standard error {std_error} is not positive")
    z = stats.norm.ppf(1 - alpha / 2)
    t = abs(truth) / std_error
    up, down = stats.norm.sf(z - t), stats.norm.cdf(-z - t)
    power = up + down
    # E[|X|; |X| > z] for X ~ N(t, 1)
    mean = (t * up + stats.norm.pdf(z - t) - t * down + stats.norm.pdf(z + t)) / power
    return pd.Series(
        {
            "power": power,
            "wrong_sign": down / power,
            "exaggeration": mean / t if t > 0 else np.inf,
            "mean_significant": mean * std_error,
        }
    )


def meaning_of_ratio(
    ratio: float, std_error: float, truths: Sequence[float] = (1.0, 1.2, 1.5), *, alpha: float = 0.05
) -> pd.DataFrame:
    """What a study that reports ``ratio`` would be showing if the true ratio were each of ``truths``.

    ``std_error`` is that of the logarithm. Besides :func:`exaggeration`: ``p_this_large``, the probability of an
    estimate at least as large as ``ratio``; ``p_significant_this_large``, the same among significant estimates of
    the same sign; ``median_significant_percent``, the typical significant increase, in percent.
    """
    rows = []
    z = stats.norm.ppf(1 - alpha / 2)
    for truth in truths:
        theta = float(np.log(truth))
        row = exaggeration(theta, std_error, alpha=alpha)
        large = stats.norm.sf((np.log(ratio) - theta) / std_error)
        positive = stats.norm.sf(z - theta / std_error)
        middle = theta + std_error * stats.norm.isf(positive / 2)
        rows.append(
            {
                "true_percent": 100 * (truth - 1),
                **row.drop("mean_significant").to_dict(),
                "p_this_large": large,
                "p_significant_this_large": min(large / positive, 1.0),
                "median_significant_percent": 100 * (np.exp(middle) - 1),
            }
        )
    return pd.DataFrame(rows)


def implied_error(ratio: float, p_below: float = 0.05) -> float:
    """Largest standard error of the logarithm with which ``ratio`` is significant at ``p_below``."""
    return float(abs(np.log(ratio)) / stats.norm.ppf(1 - p_below / 2))


def detectable_ratio(std_error: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Smallest ratio above one that is detected with probability ``power`` at this standard error of the log."""

    def gap(log_ratio: float) -> float:
        return float(exaggeration(log_ratio, std_error, alpha=alpha)["power"]) - power

    return float(np.exp(optimize.brentq(gap, 1e-9 * std_error, 20 * std_error)))


def tension(first: float, first_se: float, second: float, second_se: float) -> pd.Series:
    """How far two published ratios of the same quantity are apart: ratio of ratios, z and two-sided p.

    Standard errors are those of the logarithms; the studies are taken as independent, which is generous to the
    tension when they share respondents.
    """
    gap = float(np.log(first) - np.log(second))
    se = float(np.hypot(first_se, second_se))
    return pd.Series({"ratio_of_ratios": np.exp(gap), "z": gap / se, "p_value": 2 * stats.norm.sf(abs(gap) / se)})
