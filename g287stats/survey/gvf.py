"""Generalized variance functions (GVF): standard errors from three published parameters a year.

With N the population, for a rate r per 1,000, a total t and a percentage p of a base of N,

    V(r) = b r(1000 − r)/N + c r(√(1000 r) − r)/√N
    V(t) = a t² + b t + c t^1.5
    V(p) = b p(100 − p)/N + c p(√(100 p) − p)/√N

(BJS, NCVS Generalized Variance Function Parameters User's Guide). They serve files without design variables, such
as NCVS Select, and no regression. Parameters of 1993–2012 are released in ``ncvs_gvf``; later ones are arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from g287stats.errors import DesignError


@dataclass(frozen=True)
class GvfParameters:
    """The parameters a, b, c of one year and set."""

    a: float
    b: float
    c: float

    @staticmethod
    def pooled(years: Sequence[GvfParameters], rho: float = 0.47) -> GvfParameters:
        """Parameters for an estimate pooled over n years of one sample with year-to-year correlation ``rho``.

        With m = n + ρ(3n − 4): the mean of b times m/n, of c times m/n^1.5, of a times m/n². The rate is the
        average over the years and N the population summed over them.
        """
        n = len(years)
        if n < 1 or not 0 <= rho < 1:
            raise DesignError(f"{n} years with rho={rho}: give at least one year and a correlation in [0, 1)")
        mean = {k: float(np.mean([getattr(y, k) for y in years])) for k in "abc"}
        if n == 1:
            return GvfParameters(mean["a"], mean["b"], mean["c"])
        m = n + rho * (3 * n - 4)
        return GvfParameters(mean["a"] * m / n**2, mean["b"] * m / n, mean["c"] * m / n**1.5)


def gvf_se_rate(rate: float | np.ndarray, population: float | np.ndarray, p: GvfParameters) -> np.ndarray:
    """Standard error of a rate per 1,000."""
    r, n = np.asarray(rate, float), np.asarray(population, float)
    return _root(p.b * r * (1000 - r) / n + p.c * r * (np.sqrt(1000 * r) - r) / np.sqrt(n))


def gvf_se_total(total: float | np.ndarray, p: GvfParameters) -> np.ndarray:
    """Standard error of a number of victimizations."""
    t = np.asarray(total, float)
    return _root(p.a * t**2 + p.b * t + p.c * t**1.5)


def gvf_se_percent(percent: float | np.ndarray, base: float | np.ndarray, p: GvfParameters) -> np.ndarray:
    """Standard error of a percentage of ``base`` (a number of persons or victimizations)."""
    q, n = np.asarray(percent, float), np.asarray(base, float)
    return _root(p.b * q * (100 - q) / n + p.c * q * (np.sqrt(100 * q) - q) / np.sqrt(n))


def _root(variance: np.ndarray) -> np.ndarray:
    if (variance < 0).any():
        raise DesignError("the variance function is negative here: parameters and estimate do not belong together")
    return np.sqrt(variance)
