"""What a pre-trend test would have missed, and what passing it does to the estimates (Roth 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, special

from g287stats.arguments import documented
from g287stats.errors import DesignError
from g287stats.estimate.degenerate import refuse_low_rank
from g287stats.estimate.estimate import Estimate
from g287stats.inference.honest import EventVector, event_vector
from g287stats.shown import Shown


@dataclass(frozen=True)
class PretrendPower(Shown):
    """Power of a pre-trend test and the bias it leaves.

    Attributes
    ----------
    slopes
        Slope of a linear violation (units of the outcome per period) that the test detects with each power.
    trend
        The violation studied, by event time (0 in the reference period).
    power
        Probability that at least one lead is significant under ``trend``.
    bayes_factor
        Probability of passing under ``trend`` over that under parallel trends.
    likelihood_ratio
        Density of the estimated leads under ``trend`` over that under parallel trends.
    frame
        One row per event time: ``event_time``, ``estimate``, ``trend``, ``mean_after_pretest`` (expected
        coefficient under ``trend`` and no effect, given that the test was passed).
    bias, bias_after_pretest
        Bias of the target under ``trend``, and the same given that the test was passed.
    threshold
        Absolute t statistic above which a lead counts as significant.
    """

    slopes: pd.Series
    trend: pd.Series
    power: float
    bayes_factor: float
    likelihood_ratio: float
    frame: pd.DataFrame
    bias: float
    bias_after_pretest: float
    threshold: float
    outcome: str

    @property
    def sentence(self) -> str:
        """The sentence to write."""
        lines = "; ".join(
            f"{v:.3g} per period with power {100 * p:.0f} %" for p, v in zip(self.slopes.index, self.slopes)
        )
        return (
            f"The leads would have revealed a linear trend in {self.outcome} of {lines}. A trend of the kind studied "
            f"passes the pre-test with probability {1 - self.power:.2g} and would then bias the effect by "
            f"{self.bias_after_pretest:.3g} (without the pre-test {self.bias:.3g})."
        )

    def _words(self) -> str:
        return self.sentence

    def _table(self) -> pd.DataFrame:
        return self.frame


@documented()
def pretrend_power(
    es: Estimate,
    *,
    power: Sequence[float] = (0.5, 0.8),
    slope: float | None = None,
    trend: Mapping[int, float] | None = None,
    target: Any = "average",
    threshold: float = 1.96,
) -> PretrendPower:
    """Power of the usual pre-trend test (any lead individually significant) against violations.

    Parameters
    ----------
    es
        Event study normalised to one reference period.
    power
        Powers for which to report the slope of a linear violation.
    slope, trend
        The violation to study: linear with ``slope`` per period, or ``trend`` as event time → deviation (all
        estimated event times). Default: linear with the slope that the test detects half of the time.
    target
        ``average`` of the effects at event times 0, 1, …; ``first`` (event time 0); one event time; or a mapping
        event time → weight.
    threshold
        Absolute t statistic from which the test rejects.

    References
    ----------
    Roth, J. (2022). Pretest with caution: event-study estimates after testing for parallel trends. American
    Economic Review: Insights 4, 305–322.
    """
    v = event_vector(es, target)
    times = np.r_[v.pre, v.post]
    refuse_low_rank(v.cov[: v.n_pre, : v.n_pre], v.pre.tolist(), "pretrend_power")
    distance = (times - v.reference).astype(float)
    if any(not 0.05 < p < 1 for p in power):
        raise DesignError(f"power must lie between 0.05 and 1; got {list(power)}")
    slopes = pd.Series([slope_for_power(v, p, threshold) for p in power], index=pd.Index(power, name="power"))
    slopes.name = "slope"
    if trend is not None:
        absent = sorted(set(times.tolist()) - set(trend))
        if absent:
            raise DesignError(f"trend= must name every event time; it lacks {absent}")
        delta = np.array([float(trend[t]) for t in times])
    else:
        delta = distance * (slope_for_power(v, 0.5, threshold) if slope is None else slope)
    n = v.n_pre
    cov = v.cov[:n, :n]
    bound = threshold * np.sqrt(np.diag(cov))
    passing = box_probability(-bound, bound, delta[:n], cov)
    passing_null = box_probability(-bound, bound, np.zeros(n), cov)
    mean_pre = truncated_mean(-bound, bound, delta[:n], cov)
    mean_post = delta[n:] + v.cov[n:, :n] @ np.linalg.solve(cov, mean_pre - delta[:n])
    beta = v.beta[:n]
    log_ratio = delta[:n] @ np.linalg.solve(cov, beta - delta[:n] / 2)
    frame = pd.DataFrame(
        {
            "event_time": np.r_[v.pre, v.reference, v.post],
            "estimate": np.r_[beta, 0.0, v.beta[n:]],
            "trend": np.r_[delta[:n], 0.0, delta[n:]],
            "mean_after_pretest": np.r_[mean_pre, 0.0, mean_post],
        }
    )
    return PretrendPower(
        slopes=slopes,
        trend=pd.Series(delta, index=pd.Index(times, name="event_time"), name="trend"),
        power=1 - passing,
        bayes_factor=passing / passing_null,
        likelihood_ratio=float(np.exp(log_ratio)),
        frame=frame,
        bias=float(v.weights @ delta[n:]),
        bias_after_pretest=float(v.weights @ mean_post),
        threshold=threshold,
        outcome=es.outcome,
    )


def slope_for_power(v: EventVector, power: float, threshold: float = 1.96) -> float:
    """Slope of a linear violation for which some lead is significant with probability ``power``."""
    n = v.n_pre
    cov = v.cov[:n, :n]
    bound = threshold * np.sqrt(np.diag(cov))
    distance = (v.pre - v.reference).astype(float)

    unit = float((bound / np.abs(distance)).min())  # the slope of a lead at its threshold: the search is free of scale

    def gap(steps: float) -> float:
        return 1 - box_probability(-bound, bound, steps * unit * distance, cov) - power

    if gap(0.0) > 0:
        raise DesignError(f"the pre-test rejects more often than {power:g} already without a violation")
    high = 1.0
    while gap(high) < 0:
        high *= 2
    return unit * float(optimize.brentq(gap, 0.0, high, xtol=1e-12))


# ---- the multivariate normal on a box -----------------------------------------------------------------------------
_POINTS = 1 << 14
_PRIMES = np.array([2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97])


def box_probability(lower: np.ndarray, upper: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> float:
    """Probability that N(mean, cov) lies in a box; deterministic (Genz 1992 on a fixed Richtmyer lattice).

    One variable is exact; otherwise the error is about 1e-5 for up to a dozen variables.
    """
    k = len(mean)
    if k == 0:
        return 1.0
    lo, hi = np.asarray(lower) - mean, np.asarray(upper) - mean
    root = np.linalg.cholesky(cov)
    points = np.arange(1, _POINTS + 1)
    d, e = special.ndtr(lo[0] / root[0, 0]), special.ndtr(hi[0] / root[0, 0])
    if k == 1:
        return float(e - d)
    primes = _PRIMES if k <= len(_PRIMES) else _first_primes(k)
    y = np.empty((k - 1, _POINTS))
    low, width = np.full(_POINTS, d), np.full(_POINTS, e - d)
    total = width.copy()
    for j in range(1, k):
        u = np.abs(2 * np.modf(points * np.sqrt(primes[j - 1]))[0] - 1)
        y[j - 1] = special.ndtri(np.clip(low + u * width, 1e-300, 1 - 1e-16))
        shift = root[j, :j] @ y[:j]
        low = special.ndtr((lo[j] - shift) / root[j, j])
        width = special.ndtr((hi[j] - shift) / root[j, j]) - low
        total *= width
    return float(total.mean())


def _first_primes(k: int) -> np.ndarray:
    found: list[int] = []
    candidate = 2
    while len(found) < k:
        if all(candidate % p for p in found):
            found.append(candidate)
        candidate += 1
    return np.array(found)


def truncated_mean(lower: np.ndarray, upper: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """Mean of N(mean, cov) given that it lies in the box (Tallis 1961).

    E[x] = mean + cov (F(lower) − F(upper)) with F_k(c) the density of x_k at c times the probability that the
    others lie in the box given x_k = c, over the probability of the box.
    """
    k = len(mean)
    whole = box_probability(lower, upper, mean, cov)
    edge = np.zeros(k)
    for j in range(k):
        rest = np.arange(k) != j
        slope = cov[rest, j] / cov[j, j]
        conditional = cov[np.ix_(rest, rest)] - np.outer(slope, cov[rest, j])
        sd = np.sqrt(cov[j, j])
        for sign, c in ((1.0, lower[j]), (-1.0, upper[j])):
            z = (c - mean[j]) / sd
            density = np.exp(-0.5 * z * z) / (np.sqrt(2 * np.pi) * sd)
            inside = box_probability(lower[rest], upper[rest], mean[rest] + slope * (c - mean[j]), conditional)
            edge[j] += sign * density * inside
    return mean + cov @ edge / whole
