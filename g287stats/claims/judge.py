"""From a published claim and our number to a replication status, by rules stated here once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from g287stats.claims.vocabulary import STATUS
from g287stats.errors import G287Error


@dataclass(frozen=True)
class Verdict:
    """Replication status with the reason in words and the distance in standard errors (NaN without one)."""

    status: str
    reason: str
    distance_se: float = float("nan")


def judge_number(
    claim: pd.Series, ours: float | tuple[float, float], *, explained: str = "", related: bool = False
) -> Verdict:
    """Judge a count or share that carries no sampling error.

    *reproduced*: equal at the precision printed. *consistent*: within a published bound, or the published value
    lies between two figures of ours that bracket its date. Otherwise *different*, explained when ``explained``
    names the reason (a heading of the analysis's ``DIFFERENCES.md``). With ``related`` our number is a related
    quantity, not the published one: equality is then *consistent* at most.
    """
    point, low, high = (_number(claim[c]) for c in ("estimate", "estimate_low", "estimate_high"))
    if isinstance(ours, tuple):
        inside = min(ours) <= point <= max(ours) if point is not None else False
        if inside:
            return Verdict("consistent", f"bracketed by {min(ours):g} and {max(ours):g}; no record of the day itself")
        return _different(f"outside {min(ours):g} to {max(ours):g}", explained)
    if point is not None:
        step = 10.0 ** -_decimals(point)
        if abs(ours - point) <= step / 2 * (1 + 1e-9):
            if related:
                return Verdict("consistent", "a related quantity, equal at the precision printed")
            return Verdict("reproduced", "equal at the precision printed")
        return _different(f"ours is {ours:g}, published {point:g}", explained)
    if (low is None or ours >= low) and (high is None or ours <= high):
        return Verdict("consistent", "within the published bound")
    return _different(f"ours is {ours:g}, outside the published bound", explained)


def judge_effect(
    claim: pd.Series, ours: float, std_error: float, critical: float = 1.96, *, explained: str = ""
) -> Verdict:
    """Judge an estimated effect against a published sign or size.

    Published "no significant effect": *consistent* when our interval covers zero (which is not evidence of no
    effect: read it with the smallest detectable effect). Published sign: *consistent* when ours has that sign and
    its interval excludes zero. Published size: *consistent* when it lies in our interval. *Reproduced* is kept
    for equality of numbers on the same data and design, which no published 287(g) crime estimate allows yet.
    """
    low, high = ours - critical * std_error, ours + critical * std_error
    size, sign = _number(claim["estimate"]), str(claim["expected_sign"])
    if size is not None and str(claim["scale"]) != "direction_only":
        distance = (ours - size) / std_error
        if abs(distance) <= critical:
            return Verdict("consistent", f"published value inside our interval [{low:.3g}, {high:.3g}]", distance)
        return _different(f"published value outside our interval [{low:.3g}, {high:.3g}]", explained, distance)
    distance = ours / std_error
    if sign == "0":
        if low <= 0 <= high:
            return Verdict("consistent", f"our interval [{low:.3g}, {high:.3g}] covers zero", distance)
        return _different(f"our interval [{low:.3g}, {high:.3g}] excludes zero", explained, distance)
    wanted = {"+": 1, "-": -1}.get(sign)
    if wanted is None:
        raise G287Error(f"claim {claim['claim_id']} states neither number nor sign; it cannot be judged")
    if np.sign(ours) == wanted and not low <= 0 <= high:
        return Verdict("consistent", f"same sign, interval [{low:.3g}, {high:.3g}] excludes zero", distance)
    return _different(f"our interval is [{low:.3g}, {high:.3g}]", explained, distance)


def _different(reason: str, explained: str, distance: float = float("nan")) -> Verdict:
    status = "different, explained" if explained else "different, unexplained"
    assert status in STATUS
    return Verdict(status, f"{reason}{'; ' + explained if explained else ''}", distance)


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _decimals(value: float) -> int:
    text = f"{value:.10f}".rstrip("0")
    return len(text.split(".")[1])
