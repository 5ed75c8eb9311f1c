"""The reporting wedge: police count what is reported, so an effect on recorded crime is two effects.

Recorded crime is victimization times the share reported (times the share of reports recorded, taken as unchanged),
so in logarithms

    Δ ln recorded = Δ ln victimization + Δ ln reporting.

Given any two, the third follows with its error; given all three, the identity can be tested. Without a reporting
estimate a null in police data leaves a range of victimization effects open, and how wide it is depends on how far
reporting may have moved.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats

from g287stats.errors import DesignError
from g287stats.estimate.estimate import Estimate


@dataclass(frozen=True)
class Wedge:
    """Effects on victimization, reporting and recorded crime, given and implied.

    ``frame`` has one row per quantity: ``basis`` (given, implied, bounds, test), ``log_effect``, ``log_se``,
    ``percent`` with ``percent_low`` and ``percent_high`` at the level asked for, and ``p_value`` for a test.
    ``notes`` say what was assumed.
    """

    frame: pd.DataFrame
    level: float
    notes: tuple[str, ...] = field(default_factory=tuple)

    def __getitem__(self, quantity: str) -> pd.Series:
        return self.frame.set_index("quantity").loc[quantity]

    def __str__(self) -> str:
        shown = self.frame.round(4).to_string(index=False)
        return "\n".join([f"Reporting wedge ({100 * self.level:.0f} % intervals, percent)", shown, *self.notes])


def log_ratio(
    percent: float,
    *,
    std_error: float | None = None,
    conf_int: tuple[float, float] | None = None,
    p_value: float | None = None,
    level: float = 0.95,
) -> tuple[float, float]:
    """Turn a published percent change into (log effect, standard error of the log).

    Give one of: ``std_error`` in percentage points (delta method), ``conf_int`` in percent, or ``p_value`` (the
    error that makes the change exactly that significant: an upper bound when the paper prints p < 0.05).
    """
    if percent <= -100:
        raise DesignError(f"a change of {percent} % has no logarithm")
    effect = float(np.log1p(percent / 100))
    given = [v is not None for v in (std_error, conf_int, p_value)]
    if sum(given) != 1:
        raise DesignError("give exactly one of std_error=, conf_int=, p_value=")
    if std_error is not None:
        return effect, float(std_error / 100 / np.exp(effect))
    if conf_int is not None:
        low, high = (np.log1p(v / 100) for v in conf_int)
        return effect, float((high - low) / 2 / stats.norm.ppf(0.5 + level / 2))
    assert p_value is not None
    return effect, float(abs(effect) / stats.norm.isf(p_value / 2))


def reporting_wedge(
    victimization: Estimate | tuple[float, float] | None = None,
    reporting: Estimate | tuple[float, float] | None = None,
    recorded: Estimate | tuple[float, float] | None = None,
    *,
    reporting_range: tuple[float, float] | None = None,
    baseline_reporting: float | None = None,
    correlation: float = 0.0,
    level: float = 0.95,
) -> Wedge:
    """Reconcile effects on victimization, on reporting to the police and on recorded crime.

    Parameters
    ----------
    victimization, reporting, recorded
        Effects as one-parameter estimates on the log scale, or (log effect, standard error); see
        :func:`log_ratio`. Two of the three give the third; three give a test of the identity; ``recorded`` with
        ``reporting_range`` gives bounds.
    reporting_range
        Ratios of reporting held possible, (0.7, 1.0) for "unchanged or down by up to 30 %".
    baseline_reporting
        Share reported before (0.46). Reporting cannot exceed one, so its ratio cannot exceed 1/baseline: with no
        range given this alone bounds victimization from below.
    correlation
        Correlation of the two given estimates (from one sample they are not independent).
    level
        Confidence level. Bounds widen each end by the one-sided quantile that covers a point of the identified
        set (Imbens and Manski 2004, with the critical value of the worse end).

    Notes
    -----
    Recorded crime counts offences by place, the survey victims by residence, and both miss some: the identity is
    about the same crimes against the same people.
    """
    given = {
        name: _effect(name, value)
        for name, value in (("victimization", victimization), ("reporting", reporting), ("recorded", recorded))
        if value is not None
    }
    if not -1 <= correlation <= 1:
        raise DesignError(f"correlation {correlation} is outside -1 and 1")
    z = float(stats.norm.ppf(0.5 + level / 2))
    rows = [_row(name, "given", b, s, z) for name, (b, s) in given.items()]
    notes = ["recording by the police, given a report, is taken as unchanged"]
    if len(given) == 3:
        (v, sv), (r, sr), (c, sc) = (given[k] for k in ("victimization", "reporting", "recorded"))
        implied = _sum(v, sv, r, sr, correlation)
        rows.append(_row("recorded, implied", "implied", *implied, z))
        gap, se = c - implied[0], float(np.hypot(sc, implied[1]))
        test = _row("recorded over implied", "test", gap, se, z)
        test["p_value"] = float(2 * stats.norm.sf(abs(gap) / se)) if se > 0 else np.nan
        rows.append(test)
        notes.append("the test takes recorded crime as independent of the survey")
    elif len(given) == 2:
        missing = next(k for k in ("victimization", "reporting", "recorded") if k not in given)
        if missing == "recorded":
            value = _sum(*given["victimization"], *given["reporting"], correlation)
        else:
            other = "reporting" if missing == "victimization" else "victimization"
            b, s = given[other]
            value = _sum(*given["recorded"], -b, s, -correlation)
        rows.append(_row(missing, "implied", *value, z))
        if correlation == 0:
            notes.append("the two given effects are taken as independent")
    elif "recorded" in given:
        low, high = _range(reporting_range, baseline_reporting)
        rows.append(_bounds(*given["recorded"], low, high, level))
        says = "any fall" if low == 0 else f"a ratio of {low:g}"
        notes.append(f"reporting may have moved from {says} to a ratio of {high:g}")
    else:
        raise DesignError(
            "give two of victimization=, reporting=, recorded=, or recorded= with reporting_range= or "
            "baseline_reporting="
        )
    return Wedge(pd.DataFrame(rows), level, tuple(notes))


def _effect(name: str, value: Estimate | tuple[float, float]) -> tuple[float, float]:
    if isinstance(value, Estimate):
        if len(value.point) != 1:
            raise DesignError(f"{name}: the estimate has {len(value.point)} parameters; use estimate.select([term])")
        return float(value.point[0]), float(value.se.iloc[0])
    effect, error = (float(v) for v in value)
    if not np.isfinite(effect) or not error >= 0:
        raise DesignError(f"{name}: ({effect}, {error}) is not a log effect with its standard error")
    return effect, error


def _sum(a: float, sa: float, b: float, sb: float, rho: float) -> tuple[float, float]:
    return a + b, float(np.sqrt(max(sa**2 + sb**2 + 2 * rho * sa * sb, 0.0)))


def _row(quantity: str, basis: str, effect: float, error: float, z: float) -> dict[str, object]:
    return {
        "quantity": quantity,
        "basis": basis,
        "log_effect": effect,
        "log_se": error,
        "percent": 100 * float(np.expm1(effect)),
        "percent_low": 100 * float(np.expm1(effect - z * error)),
        "percent_high": 100 * float(np.expm1(effect + z * error)),
        "p_value": np.nan,
    }


def _range(given: tuple[float, float] | None, baseline: float | None) -> tuple[float, float]:
    if baseline is not None and not 0 < baseline <= 1:
        raise DesignError(f"baseline_reporting={baseline} is not a share above zero")
    if given is None and baseline is None:
        raise DesignError("a null in police data alone bounds nothing: give reporting_range= or baseline_reporting=")
    low, high = given if given is not None else (0.0, np.inf)
    if not 0 <= low <= high:
        raise DesignError(f"reporting_range={given} is not a range of ratios")
    if baseline is not None:
        high = min(high, 1 / baseline)
    return low, high


def _bounds(effect: float, error: float, low: float, high: float, level: float) -> dict[str, object]:
    """Identified set of the victimization effect and an interval that covers a point of it."""
    below = effect - np.log(high)
    above = effect - np.log(low) if low > 0 else np.inf
    width = (above - below) / error if error > 0 else np.inf

    def coverage(c: float) -> float:
        return float(stats.norm.cdf(c + width) - stats.norm.cdf(-c)) - level

    from scipy.optimize import brentq

    critical = float(brentq(coverage, 0.0, 10.0))
    return {
        "quantity": "victimization",
        "basis": "bounds",
        "log_effect": np.nan,
        "log_se": error,
        "percent": np.nan,
        "set_low": 100 * float(np.expm1(below)),
        "set_high": 100 * float(np.expm1(above)),
        "percent_low": 100 * float(np.expm1(below - critical * error)),
        "percent_high": 100 * float(np.expm1(above + critical * error)),
        "p_value": np.nan,
    }
