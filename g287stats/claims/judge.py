"""From a published claim and our numbers to a replication status: one rule for nulls, signs and sizes.

A row (one specification) is read against the margin *m*, the smallest effect worth speaking of, which is declared
before estimating, with its confidence interval [l, u] and the effect it would detect with 80 % probability, d:

    decline        u < 0 and the estimate is −m or less
    rise           l > 0 and the estimate is m or more
    negligible     −m < l, u < m and d ≤ m
    uninformative  everything else: the interval reaches from nothing to more than m, so the row cannot tell

Swapping the sign of the data swaps decline and rise; a longer interval only turns a row into *uninformative*.

A grid is read by its rows. Point estimates alone sort each row into decline, rise or negligible. When three quarters
of the rows fall into one sort the grid says that, if at least half of its rows say so with their intervals too. When
they do not, the grid *depends on the design* if half of the rows are decided and decide differently, or an axis of
the grid moves the estimate by at least m and by more than its error allows. Otherwise it is *uninformative*.
The error of an axis comes from joint influence functions: specifications share counties, and a difference between
two of them is known better than either.

A published null, sign or size is then held against what the grid says, in the same way for all three.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from g287stats.claims.vocabulary import STATUS
from g287stats.errors import G287Error

CONCORD = 0.75
"""Share of specifications whose point estimates must agree in sort."""
DECIDED = 0.5
"""Share of specifications whose intervals must decide."""
_DETECT = (1.959963984540054 + 0.8416212335729143) / 1.959963984540054
"""Effect detected with 80 % probability over half the length of a 95 % interval."""


@dataclass(frozen=True)
class Verdict:
    """Replication status with the reason in words and the distance in standard errors (NaN without one)."""

    status: str
    reason: str
    distance_se: float = float("nan")

    def __post_init__(self) -> None:
        if self.status not in STATUS:
            raise G287Error(f"{self.status!r} is not a replication status; these are: {', '.join(STATUS)}")


@dataclass(frozen=True)
class GridReading:
    """What a grid says: ``reading`` (one of READINGS, or ``depends``), shares of rows, the axis that decides."""

    reading: str
    n: int
    shares: dict[str, float] = field(default_factory=dict)
    median: float = float("nan")
    axis: dict[str, Any] | None = None


def detectable(low: float, high: float) -> float:
    """Effect detected with 80 % probability at 5 %, from the ends of a 95 % interval."""
    return (high - low) / 2 * _DETECT


def read_row(estimate: float, low: float, high: float, margin: float) -> str:
    """Say what one specification says (see the rule at the top of this file)."""
    if not all(map(math.isfinite, (estimate, low, high))):
        return "uninformative"
    if high < 0 and estimate <= -margin:
        return "decline"
    if low > 0 and estimate >= margin:
        return "rise"
    if -margin < low and high < margin and detectable(low, high) <= margin:
        return "negligible"
    return "uninformative"


def sort_of(estimate: float, margin: float) -> str:
    """Sort a point estimate alone: decline, rise or negligible."""
    return "decline" if estimate <= -margin else "rise" if estimate >= margin else "negligible"


def read_grid(rows: pd.DataFrame, margin: float, axes: pd.DataFrame | None = None) -> GridReading:
    """Say what a grid says.

    Parameters
    ----------
    rows
        One row a specification, with ``estimate``, ``conf_low``, ``conf_high``.
    margin
        Smallest effect worth speaking of, in their units.
    axes
        Contrasts by axis: ``axis``, ``level``, ``other``, ``difference``, ``std_error``, ``p_value`` (adjusted).
    """
    numbers = rows[["estimate", "conf_low", "conf_high"]].astype(float).dropna()
    if numbers.empty:
        return GridReading("uninformative", 0)
    readings = pd.Series([read_row(e, low, high, margin) for e, low, high in numbers.to_numpy()])
    sorts = pd.Series([sort_of(e, margin) for e in numbers["estimate"]])
    shares = {r: float((readings == r).mean()) for r in ("decline", "negligible", "rise", "uninformative")}
    common = sorts.value_counts(normalize=True)
    axis = _deciding(axes, margin)
    middle = float(numbers["estimate"].median())
    if common.iloc[0] >= CONCORD:
        most = str(common.index[0])
        says = most if shares[most] >= DECIDED else "uninformative"
        return GridReading(says, len(numbers), shares, middle)
    kinds = sum(shares[r] > 0 for r in ("decline", "negligible", "rise"))
    if axis is not None or (kinds > 1 and 1 - shares["uninformative"] >= DECIDED):
        return GridReading("depends", len(numbers), shares, middle, axis)
    return GridReading("uninformative", len(numbers), shares, middle)


def _deciding(axes: pd.DataFrame | None, margin: float) -> dict[str, Any] | None:
    if axes is None or axes.empty:
        return None
    found = axes[(axes["difference"].abs() >= margin) & (axes["p_value"] < 0.05)]
    if found.empty:
        return None
    return dict(found.loc[found["difference"].abs().idxmax()])


def claimed_margin(claim: pd.Series, margin: float) -> float:
    """Margin for a claim: the declared one, or half of a published size when that is smaller."""
    size = _size(claim)
    return margin if size is None or size == 0 else min(margin, abs(size) / 2)


def judge_grid(
    claim: pd.Series, rows: pd.DataFrame, margin: float, axes: pd.DataFrame | None = None, *, explained: str = ""
) -> Verdict:
    """Hold a published null, sign or size (percent) against a grid of specifications.

    *consistent*: the grid says what was published, and for a size its median lies within half of the size (or the
    margin, if larger) of it. *different*: the grid says something else. *depends on the design* and *uninformative*
    are what the grid itself says; so no published number gains from a grid that cannot tell.
    """
    margin = claimed_margin(claim, margin)
    wanted, size = _wanted(claim, margin), _size(claim)
    grid = read_grid(rows, margin, axes)
    if grid.n == 0:
        return Verdict("needs data", "no specification of the grid could be estimated with the data here")
    words = _words(grid, margin)
    first = rows.iloc[0]
    half = (float(first["conf_high"]) - float(first["conf_low"])) / (2 * 1.959963984540054)
    distance = (float(first["estimate"]) - (size or 0.0)) / half if half > 0 else float("nan")
    if grid.reading == "uninformative":
        return Verdict("uninformative", words, distance)
    if grid.reading == "depends":
        return Verdict("depends on the design", words, distance)
    if grid.reading != wanted:
        return _different(words, explained, distance)
    if size is not None and abs(grid.median - size) > max(margin, abs(size) / 2):
        return _different(f"{words}; the median {grid.median:+.1f} is not near {size:+g}", explained, distance)
    return Verdict("consistent", words, distance)


def _words(grid: GridReading, margin: float) -> str:
    share = {k: round(100 * v) for k, v in grid.shares.items()}
    text = (
        f"of {grid.n} specifications {share['decline']} % say decline, {share['negligible']} % negligible, "
        f"{share['rise']} % rise and {share['uninformative']} % cannot tell (margin {margin:g}); "
        f"median {grid.median:+.1f}"
    )
    if grid.axis:
        a = grid.axis
        text += (
            f"; {a['axis']} decides: {a['level']} against {a['other']} moves the estimate by {a['difference']:+.1f} "
            f"(se {a['std_error']:.1f})"
        )
    return text


def _wanted(claim: pd.Series, margin: float) -> str:
    size = _size(claim)
    if size is not None:
        return sort_of(size, margin)
    sign = {"+": "rise", "-": "decline", "0": "negligible"}.get(str(claim["expected_sign"]))
    if sign is None:
        raise G287Error(f"claim {claim['claim_id']} states neither number nor sign; it cannot be judged")
    return sign


def _size(claim: pd.Series) -> float | None:
    """Published size of an effect in percent, or None where only a sign was published."""
    value = _number(claim["estimate"])
    if value is None or str(claim["scale"]) == "direction_only":
        return None
    if str(claim["scale"]) == "log_points":
        return 100 * value
    return value


def judge_number(
    claim: pd.Series, ours: float | tuple[float, float], *, explained: str = "", related: bool = False
) -> Verdict:
    """Judge a count or share that carries no sampling error.

    *reproduced*: equal at the precision printed. *consistent*: within a published bound, or the published value
    lies between two figures of ours that bracket its date. Otherwise *different*, explained when ``explained``
    names the reason (a heading of the analysis's ``DIFFERENCES.md``). With ``related`` our number is a related
    quantity, or follows from figures printed beside the published one: equality is then *consistent* at most.
    """
    point, low, high = (_number(claim[c]) for c in ("estimate", "estimate_low", "estimate_high"))
    if point is None and low is None and high is None:
        raise G287Error(f"claim {claim['claim_id']} states no number; it cannot be judged by one")
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


def _different(reason: str, explained: str, distance: float = float("nan")) -> Verdict:
    status = "different, explained" if explained else "different, unexplained"
    return Verdict(status, f"{reason}{'; ' + explained if explained else ''}", distance)


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _decimals(value: float) -> int:
    text = f"{value:.10f}".rstrip("0")
    return len(text.split(".")[1])


def contrasts(rows: pd.DataFrame, cov: np.ndarray, axes: tuple[str, ...]) -> pd.DataFrame:
    """How far each axis moves the estimate: pairs of specifications that differ in this axis alone.

    Parameters
    ----------
    rows
        Specifications with the ``axes`` as columns and ``estimate``, ``std_error``, ``inflation``, in the order
        of ``cov``.
    cov
        Joint covariance of the estimates.

    Returns
    -------
    DataFrame
        For each axis the two levels furthest apart: ``axis``, ``level``, ``other``, ``pairs``, ``difference`` (mean
        over pairs, first less second), ``std_error``, ``p_value`` (normal; times the pairs of levels of the axis,
        then Holm over axes).
    """
    from scipy import special

    from g287stats.inference.multiplicity import holm

    found = []
    for axis in axes:
        rest = ["outcome", *(a for a in axes if a != axis)]
        wide = rows.assign(position=np.arange(len(rows))).pivot_table(
            index=rest, columns=axis, values="position", aggfunc="first", observed=True
        )
        levels = [v for v in rows[axis].drop_duplicates() if v in wide]
        pairs = [(a, b) for i, a in enumerate(levels) for b in levels[i + 1 :]]
        options = [c for c in (_contrast(rows, cov, wide, axis, a, b) for a, b in pairs) if c is not None]
        if options:
            best = max(options, key=lambda c: abs(c["difference"]))
            z = abs(best["difference"]) / best["std_error"] if best["std_error"] > 0 else 0.0
            p = min(1.0, 2 * float(special.ndtr(-z)) * len(options))
            found.append({**best, "p_value": p})
    columns = ["axis", "level", "other", "pairs", "difference", "std_error", "p_value"]
    out = pd.DataFrame(found, columns=columns)
    out["p_value"] = holm(out["p_value"]).to_numpy() if len(out) else out["p_value"]
    return out


def _contrast(
    rows: pd.DataFrame, cov: np.ndarray, wide: pd.DataFrame, axis: str, level: str, other: str
) -> dict[str, Any] | None:
    both = wide[[level, other]].dropna().astype(int)
    if both.empty:
        return None
    load = np.zeros(len(rows))
    np.add.at(load, both[level].to_numpy(), 1 / len(both))
    np.add.at(load, both[other].to_numpy(), -1 / len(both))
    used = both.to_numpy().ravel()
    inflation = float(rows["inflation"].iloc[used].median())
    se = float(np.sqrt(max(load @ cov @ load, 0.0))) * inflation
    difference = float(load @ rows["estimate"].to_numpy(dtype=float))
    return {"axis": axis, "level": level, "other": other, "pairs": len(both), "difference": difference, "std_error": se}
