"""How much could parallel trends fail before the conclusion changes? (Rambachan and Roth 2023.)

Notation of the paper: ``beta`` are event-study coefficients before and after the reference period, ``delta`` the
bias of each from a failure of parallel trends (0 in the reference period), ``l`` the weights of the target
``theta = l'(beta_post - delta_post)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

from g287stats.arguments import documented
from g287stats.errors import DesignError, InferenceWarning, caution, check_level, choose
from g287stats.estimate.degenerate import low_rank, rank_of, refuse_low_rank
from g287stats.estimate.estimate import Estimate
from g287stats.shown import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Kind = Literal["smoothness", "relative_magnitude"]

HYBRID_SHARE = 0.1
"""Share of alpha spent on the least-favourable first stage (kappa = alpha/10, the authors' recommendation)."""

_NODES, _NODE_WEIGHTS = (a / 2 for a in np.polynomial.legendre.leggauss(160))
_NODES = _NODES + 0.5


@dataclass(frozen=True)
class EventVector:
    """Coefficients split at the reference period.

    ``beta`` (pre then post, in calendar order), ``cov``, event times ``pre`` (…, r−1) and ``post`` (r+1, …),
    ``weights`` of the target on the post periods, ``at`` the positions of
    all of them among the parameters of the estimate.
    """

    beta: np.ndarray
    cov: np.ndarray
    pre: np.ndarray
    post: np.ndarray
    reference: int
    weights: np.ndarray
    at: np.ndarray

    @property
    def n_pre(self) -> int:
        """Number of leads."""
        return len(self.pre)


@dataclass(frozen=True)
class HonestDiD(Shown):
    """Robust confidence intervals for a target under bounded violations of parallel trends.

    Attributes
    ----------
    kind
        ``smoothness``: the trend's slope changes by at most M a period. ``relative_magnitude``: between any two
        consecutive post periods the trend moves by at most Mbar times its largest pre-period move.
    frame
        One row per bound: ``bound``, ``conf_low``, ``conf_high``.
    conf_low_original, conf_high_original
        Interval under exact parallel trends (normal).
    breakdown
        Smallest bound whose interval contains ``value``; 0 when the interval at bound 0 already does, infinite
        when none up to the largest bound searched does.
    target
        Weight of each post-period event time in the target.
    level, value, outcome, estimate
        Confidence level, the value tested (0), the outcome, and the target's point estimate.
    """

    kind: Kind
    frame: pd.DataFrame
    conf_low_original: float
    conf_high_original: float
    breakdown: float
    target: pd.Series
    level: float
    value: float
    outcome: str
    estimate: float

    @property
    def sentence(self) -> str:
        """The sentence to write."""
        name = "M" if self.kind == "smoothness" else "Mbar"
        low, high = self.conf_low_original, self.conf_high_original
        if low <= self.value <= high:
            return (
                f"The interval under exact parallel trends ({low:.4g} to {high:.4g}) already contains "
                f"{self.value:g}: there is no sign to overturn."
            )
        if self.breakdown == 0 and self.kind == "smoothness":
            return f"The effect on {self.outcome} does not survive a linear difference in trends (M = 0)."
        if np.isinf(self.breakdown):
            return f"The sign of the effect on {self.outcome} survives every bound searched."
        what = (
            f"a change of slope of {self.breakdown:.3g} per period"
            if self.kind == "smoothness"
            else f"post-treatment violations {self.breakdown:.3g} times the largest pre-treatment violation"
        )
        return f"The sign of the effect on {self.outcome} survives up to {what} ({name} = {self.breakdown:.3g})."

    def tidy(self) -> pd.DataFrame:
        """The original interval and one row per bound."""
        ends = {"conf_low": self.conf_low_original, "conf_high": self.conf_high_original}
        first = {"bound": np.nan, **ends, "method": "original"}
        method = "FLCI" if self.kind == "smoothness" else "C-LF"
        return pd.concat([pd.DataFrame([first]), self.frame.assign(method=method)], ignore_index=True)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Robust intervals against the bound, the original at left; returns the matplotlib axes."""
        from g287stats.inference.plots import plot_honest

        bounds = {"smoothness": "M: largest change of slope"}
        what = bounds.get(self.kind, "Mbar: multiple of the largest lead violation")
        ends = (self.conf_low_original, self.conf_high_original)
        return plot_honest(ax, self.frame, ends, value=self.value, name=what, outcome=self.outcome)

    def _words(self) -> str:
        return self.sentence

    def _table(self) -> pd.DataFrame:
        return self.tidy()


@documented()
def honest_did(
    es: Estimate,
    *,
    kind: Kind = "relative_magnitude",
    Mbar: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0),
    M: Sequence[float] | None = None,
    target: Literal["average", "first"] | int | Mapping[int, float] = "average",
    level: float = 0.95,
    value: float = 0.0,
) -> HonestDiD:
    """Confidence intervals robust to violations of parallel trends.

    Parameters
    ----------
    es
        Event study normalised to one reference period (``event_study``; ``att_gt(base="universal")`` aggregated
        by event time), with consecutive event times on both sides.
    kind
        ``relative_magnitude`` (bounds ``Mbar``; conditional least-favourable hybrid intervals) or
        ``smoothness`` (bounds ``M``, in units of the outcome per period squared; fixed-length intervals).
    Mbar
        Bounds in multiples of the largest violation before treatment.
    M
        Default: 0, ¼, ½, 1 and 2 times the largest estimated change of slope before treatment.
    target
        ``average`` of the effects at event times 0, 1, …; ``first`` (event time 0); one event time; or a mapping
        event time → weight.
    value
        Value of the target whose inclusion defines the breakdown bound.

    Raises
    ------
    DesignError
        Without leads, without a reference period, or with gaps in event time.

    References
    ----------
    Rambachan, A. and Roth, J. (2023). A more credible approach to parallel trends. Review of Economic
    Studies 90, 2555–2591. Andrews, I., Roth, J. and Pakes, A. (2023). Inference for linear conditional moment
    inequalities. Review of Economic Studies 90, 2763–2791. Armstrong, T. and Kolesár, M. (2018). Optimal
    inference in a class of regression models. Econometrica 86, 655–683.
    """
    check_level(level)
    alpha = 1 - level
    v = event_vector(es, target)
    point = float(v.weights @ v.beta[v.n_pre :])
    se = float(np.sqrt(v.weights @ v.cov[v.n_pre :, v.n_pre :] @ v.weights))
    times = [*v.pre.tolist(), *v.post.tolist()]
    if kind == "smoothness":
        refuse_low_rank(v.cov, times, "honest_did")
    elif (rank := rank_of(v.cov)) < len(times):
        caution(
            f"{es.outcome}: {low_rank(times, rank)}: with so few clusters the intervals are too short",
            InferenceWarning,
        )
    share = np.zeros((1, len(es.point)))
    share[0, v.at[v.n_pre :]] = v.weights
    own = es.combine(share, ["target"]).conf_int(level).to_numpy()[0]
    choose("kind", kind, ("smoothness", "relative_magnitude"))
    if kind == "relative_magnitude" and M is not None:
        raise DesignError("M= bounds changes of slope: add kind='smoothness', or give Mbar=")
    if kind == "smoothness":
        default = [share * largest_slope_change(v) for share in (0.0, 0.25, 0.5, 1.0, 2.0)]
        bounds, interval = np.atleast_1d(default if M is None else M).tolist(), lambda m: flci(v, m, alpha)
        start = max(largest_slope_change(v), se)
    else:
        bounds, interval = np.atleast_1d(Mbar).tolist(), lambda m: relative_magnitude_interval(v, m, alpha)
        start = 1.0
    if not bounds or min(bounds) < 0:
        raise DesignError(f"bounds must be non-negative numbers; got {bounds}")
    rows = [(m, *interval(m)) for m in bounds]
    return HonestDiD(
        kind=kind,
        frame=pd.DataFrame(rows, columns=["bound", "conf_low", "conf_high"]),
        conf_low_original=float(own[0]),
        conf_high_original=float(own[1]),
        breakdown=_breakdown(interval, value, start),
        target=pd.Series(v.weights, index=pd.Index(v.post, name="event_time"), name="weight"),
        level=level,
        value=value,
        outcome=es.outcome,
        estimate=point,
    )


def event_vector(es: Estimate, target: Any = "average") -> EventVector:
    """Split an event study at its reference period and put the target's weights beside it."""
    if "event_time" not in es.labels:
        raise DesignError("sensitivity to parallel trends needs event times: use .aggregate('event') first")
    if es.labels["event_time"].duplicated().any():
        named = next((c for c in ("treatment", "group") if c in es.labels), None)
        if named is not None:
            several = list(dict.fromkeys(es.labels[named]))
            raise DesignError(
                f"event times repeat because several effects are in the estimate ({', '.join(map(str, several))}): "
                f'choose one, es.select(es.labels["{named}"] == {several[0]!r})'
            )
        raise DesignError("event times repeat (cohort × time cells): use .aggregate('event') first")
    binned = [t for t in es.terms if t.rpartition(": ")[2].startswith(("<=", ">="))]
    if binned:
        caution(
            f"{', '.join(binned)} pool several event times and are treated as one period each; "
            "fit with ends='drop' to keep single periods",
            InferenceWarning,
        )
    times = es.labels["event_time"].to_numpy()
    free = np.isfinite(es.se.to_numpy())
    fixed = {int(t) for t in es.reference} | {int(t) for t in times[~free]}
    times = times[free].astype(int)
    order = np.argsort(times, kind="stable")
    times, index = times[order], np.flatnonzero(free)[order]
    fixed = {t for t in fixed if t not in set(times.tolist()) and t < 0}
    if len(fixed) != 1:
        raise DesignError(
            "the event study must be normalised to one reference period before treatment; "
            f"found {sorted(fixed) or 'none'}. "
            "Leads that are not relative to one common period, as those of att_gt(base='varying'), imputation or "
            "etwfe, say nothing about trends that go on: use att_gt(base='universal'), sun_abraham or event_study"
        )
    reference = fixed.pop()
    pre, post = times[times < reference], times[times > reference]
    whole = np.arange(times.min(), times.max() + 1)
    if len(pre) == 0 or len(post) == 0 or not np.array_equal(np.sort(np.r_[times, reference]), whole):
        raise DesignError(
            f"need consecutive event times on both sides of {reference}; have {times.tolist()}. "
            "Choose a window without gaps"
        )
    weights = np.zeros(len(post))
    if target == "average":
        weights[post >= 0] = 1 / max((post >= 0).sum(), 1)
    elif isinstance(target, Mapping):
        unknown = set(target) - set(post.tolist())
        if unknown:
            raise DesignError(f"target names event times {sorted(unknown)}; post periods are {post.tolist()}")
        for t, w in target.items():
            weights[post == t] = w
    else:
        wanted = 0 if target == "first" else target
        if wanted not in post.tolist():
            raise DesignError(f"target {target!r} is not an event time after the reference: {post.tolist()}")
        weights[post == wanted] = 1.0
    cov = es.cov().to_numpy()[np.ix_(index, index)]
    return EventVector(es.point[index], cov, pre, post, reference, weights, index)


def largest_slope_change(v: EventVector) -> float:
    """Largest absolute second difference of the coefficients up to the reference period."""
    path = np.r_[v.beta[: v.n_pre], 0.0]
    return float(np.abs(np.diff(path, n=2)).max()) if len(path) > 2 else float(np.abs(np.diff(path)).max())


# ---- smoothness: fixed-length intervals -------------------------------------------------------------------------
def folded_normal_quantile(t: float, alpha: float) -> float:
    """The 1 − alpha quantile of |N(t, 1)|."""
    t = abs(t)
    if t > 8:
        return t + float(stats.norm.ppf(1 - alpha))
    z = float(stats.norm.ppf(1 - alpha / 2))
    f = lambda c: special.ndtr(c - t) - special.ndtr(-c - t) - (1 - alpha)
    return float(optimize.brentq(f, 0.0, t + z + 1e-9, xtol=1e-15, rtol=1e-14))


def flci(v: EventVector, bound: float, alpha: float = 0.05) -> tuple[float, float]:
    """Shortest fixed-length interval when the trend's slope changes by at most ``bound`` a period.

    The estimator is ``l'beta_post + a'beta_pre``. Write delta as a linear trend plus second differences u: the
    trend's coefficient must vanish (or the bias is unbounded), and the worst-case bias is
    ``bound * (|l on post u's|_1 + |w|_1)`` with ``w = C a``, ``w_j = sum_{k>j} (k − j) a_k``. The first element of
    w is fixed by the trend constraint; the rest minimise the half length s·cv(bias/s), a convex function.
    """
    unit = 2.0 ** np.round(np.log2(np.sqrt(np.trace(v.cov) / len(v.cov))))
    if unit != 1.0:  # the search has tolerances of its own: in units in which standard errors are about one
        low, high = flci(replace(v, beta=v.beta / unit, cov=v.cov / unit**2), bound / unit, alpha)
        return low * unit, high * unit
    k_pre = (v.reference - v.pre).astype(float)  # distance before the reference, decreasing to 1
    k_post = (v.post - v.reference).astype(float)
    lags = np.arange(v.n_pre)
    c = np.maximum(k_pre[None, :] - lags[:, None], 0.0)
    c_inv = np.linalg.inv(c)
    slope = float(v.weights @ k_post)
    post_u = np.array([v.weights @ np.maximum(k_post - j, 0.0) for j in range(1, len(k_post))])
    fixed_bias = float(np.abs(post_u).sum()) + abs(slope)
    # variance of l'b_post + a'b_pre with a = c_inv w, w = (slope, w_free)
    s_pp, s_pq = v.cov[: v.n_pre, : v.n_pre], v.cov[: v.n_pre, v.n_pre :]
    q_full = c_inv.T @ s_pp @ c_inv
    g_full = c_inv.T @ s_pq @ v.weights
    base = float(v.weights @ v.cov[v.n_pre :, v.n_pre :] @ v.weights)
    base += 2 * slope * g_full[0] + slope**2 * q_full[0, 0]
    q, g = q_full[1:, 1:], g_full[1:] + slope * q_full[1:, 0]
    n = len(g)
    scale = 1 / np.sqrt(np.diag(q)) if n else np.empty(0)

    def half_length(x: np.ndarray) -> tuple[float, np.ndarray]:
        free = (x[:n] - x[n:]) * scale
        bias = bound * (fixed_bias + float(scale @ (x[:n] + x[n:])))
        qx = q @ free
        s = np.sqrt(base + 2 * g @ free + free @ qx)
        t = bias / s
        cv = folded_normal_quantile(t, alpha)
        d_bias = np.tanh(cv * t)
        d_s = cv - t * d_bias
        grad = d_s * (g + qx) / s * scale
        return s * cv, np.r_[grad + d_bias * bound * scale, -grad + d_bias * bound * scale]

    best: tuple[float, np.ndarray] = (half_length(np.zeros(2 * n))[0], np.zeros(2 * n))
    if n:
        least = -np.linalg.solve(q, g) / scale
        for start in (np.r_[np.maximum(least, 0), np.maximum(-least, 0)], np.zeros(2 * n)):
            options = {"maxiter": 5000, "maxfun": 50000, "ftol": 1e-15, "gtol": 1e-12, "maxcor": 30}
            r = optimize.minimize(
                half_length, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * (2 * n), options=options
            )
            if r.fun < best[0]:
                best = (float(r.fun), r.x)
    half, x = best
    w = np.r_[slope, (x[:n] - x[n:]) * scale]
    centre = float(v.weights @ v.beta[v.n_pre :] + (c_inv @ w) @ v.beta[: v.n_pre])
    return centre - half, centre + half


# ---- relative magnitudes: conditional least-favourable hybrid ------------------------------------------------------
def relative_magnitude_interval(v: EventVector, bound: float, alpha: float = 0.05) -> tuple[float, float]:
    """Hull of the C-LF hybrid confidence set when post-period moves are at most ``bound`` pre-period moves.

    The set of trends is a union over which pre-period move is the largest and its sign; the confidence set is
    the union of those of each part.
    """
    path = np.zeros((v.n_pre, len(v.beta)))  # moves beta_{s+1} − beta_s before treatment, the reference being 0
    for s in range(v.n_pre):
        path[s, s] = -1.0
        if s + 1 < v.n_pre:
            path[s, s + 1] = 1.0
    lows, highs = [], []
    for s in range(v.n_pre):
        for sign in (1.0, -1.0):
            low, high = part_interval(v, bound, sign * path[s], alpha)
            lows.append(low)
            highs.append(high)
            if bound == 0:  # every part is the same set
                return low, high
    if np.isnan(lows).all():
        return np.nan, np.nan
    return float(np.nanmin(lows)), float(np.nanmax(highs))


def part_interval(v: EventVector, bound: float, move: np.ndarray, alpha: float) -> tuple[float, float]:
    """C-LF hybrid set for ``|delta_t − delta_{t−1}| <= bound · move'delta`` at every post t.

    With Y the 2n moment inequalities (post moves up and down) and X the nuisance directions that leave the
    target fixed, the test statistic min_tau max_j (Y − X tau)_j/sd_j equals the maximum of γ'Y over the vertices of
    {γ >= 0, X'γ = 0, sd'γ = 1}. X'γ = 0 forces γ_up − γ_down to be proportional to the tail sums L of l, so that
    the vertices are known: two that identify the target (its upper and lower bound) and one per post period that
    does not (it tests that the chosen pre-period move has its sign). Conditioning sets then have closed forms.
    """
    n = len(v.weights)
    moves = np.zeros((n, len(v.beta)))
    moves[np.arange(n), v.n_pre + np.arange(n)] = 1.0
    moves[np.arange(1, n), v.n_pre + np.arange(n - 1)] = -1.0
    rows = np.vstack([moves, -moves]) - bound * move
    sd = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", rows, v.cov, rows), 0.0))
    tail = np.cumsum(v.weights[::-1])[::-1]
    up = np.r_[np.maximum(tail, 0), np.maximum(-tail, 0)]
    down = np.r_[np.maximum(-tail, 0), np.maximum(tail, 0)]
    both = np.hstack([np.eye(n), np.eye(n)])
    gamma = np.vstack([up / (sd @ up), down / (sd @ down), both / (both @ sd)[:, None]])
    kappa = np.r_[1 / (sd @ up), -1 / (sd @ down), np.zeros(n)]
    combos = gamma @ rows  # vertices as linear functions of beta
    levels = combos @ v.beta
    cov = combos @ v.cov @ combos.T
    critical = least_favourable_value(v, bound, move, kappa, 2 / (both @ sd).min(), np.abs(tail).sum(), alpha)
    if levels[2:].max() > critical:
        return np.nan, np.nan
    low = (levels[0] - critical) / kappa[0]
    high = (critical - levels[1]) / -kappa[1]
    if not low < high:
        return np.nan, np.nan

    def accepted(theta: np.ndarray) -> np.ndarray:
        return ~rejects(levels[:, None] - kappa[:, None] * theta, cov, critical, alpha)

    grid = np.linspace(low, high, 2001)
    inside = np.flatnonzero(accepted(grid))
    if len(inside) == 0:
        return np.nan, np.nan
    first, last = inside[0], inside[-1]
    ends = []
    for index, neighbour in ((first, first - 1), (last, last + 1)):
        good = grid[index]
        if 0 <= neighbour < len(grid):
            bad = grid[neighbour]
            for _ in range(40):
                middle = (good + bad) / 2
                good, bad = (middle, bad) if accepted(np.array([middle]))[0] else (good, middle)
        ends.append(float(good))
    return ends[0], ends[1]


def least_favourable_value(
    v: EventVector, bound: float, move: np.ndarray, kappa: np.ndarray, steepest: float, span: float, alpha: float
) -> float:
    """Critical value c with Pr(max over vertices <= c) = 1 − kappa when every moment binds.

    The vertices are functions of two normals, the target T and the move m: k0 (T − bound·span·m),
    −k1 (T + bound·span·m) with k1 < 0, and −bound·steepest·m; the probability is a one-dimensional integral.
    """
    combo = np.r_[np.zeros(v.n_pre), v.weights]
    var_t, var_m = combo @ v.cov @ combo, move @ v.cov @ move
    covariance = combo @ v.cov @ move
    sd_m = np.sqrt(var_m)
    load = covariance / sd_m
    rest = np.sqrt(max(var_t - load**2, 1e-300))
    level = 1 - HYBRID_SHARE * alpha

    def inside(c: float) -> float:
        start = -9.0
        if bound > 0:  # below, the moment on the move fails, or the bounds on the target cross
            crossing = c * (1 / kappa[0] - 1 / kappa[1]) / (2 * span)
            start = max(start, -min(c / steepest, crossing) / (bound * sd_m))
        z = start + (9.0 - start) * _NODES
        m = bound * span * sd_m * z
        top = (c / kappa[0] + m - load * z) / rest
        bottom = (c / kappa[1] - m - load * z) / rest
        density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
        return float((9.0 - start) * (_NODE_WEIGHTS @ (density * (special.ndtr(top) - special.ndtr(bottom)))))

    return float(optimize.brentq(lambda c: inside(c) - level, 0.0, 12.0, xtol=1e-9))


def rejects(values: np.ndarray, cov: np.ndarray, critical: float, alpha: float) -> np.ndarray:
    """Hybrid test for each column of ``values`` (vertices × nulls).

    Reject when the maximum exceeds the least-favourable critical value; otherwise compare it with the
    (1 − alpha~) quantile of a normal truncated to the values for which the same vertex stays the maximum.
    """
    size = (alpha - HYBRID_SHARE * alpha) / (1 - HYBRID_SHARE * alpha)
    top = values.argmax(axis=0)
    columns = np.arange(values.shape[1])
    stat = values[top, columns]
    variance = np.diag(cov)[top]
    reject = stat > critical
    flat = variance <= 1e-14 * max(np.diag(cov).max(), 1e-300)
    reject = np.where(flat, stat > 1e-12, reject)
    with np.errstate(divide="ignore", invalid="ignore"):
        pull = cov[:, top] / variance  # how each vertex moves with the maximal one
        residual = values - pull * stat
        edge = residual / (1 - pull)
    keep = np.abs(1 - pull) > 1e-10
    low = np.where(keep & (1 - pull > 0), edge, -np.inf).max(axis=0)
    high = np.minimum(np.where(keep & (1 - pull < 0), edge, np.inf).min(axis=0), critical)
    with np.errstate(divide="ignore", invalid="ignore"):
        s = np.sqrt(variance)
        log_low, log_high = special.log_ndtr(-low / s), special.log_ndtr(-high / s)
        log_tail = np.logaddexp(np.log(size) + log_low, np.log1p(-size) + log_high)
        quantile = np.maximum(-special.ndtri_exp(np.minimum(log_tail, -1e-300)), 0.0)
        conditional = stat / s > quantile
    return np.where(flat | reject, reject, conditional)


def _breakdown(interval: Any, value: float, start: float) -> float:
    """Smallest bound whose interval contains ``value``, by doubling and bisection (to 1e-4 of the bound)."""

    def contains(bound: float) -> bool:
        low, high = interval(bound)
        return bool(low <= value <= high)

    if contains(0.0):
        return 0.0
    high = start
    for _ in range(12):
        if contains(high):
            break
        high *= 2
    else:
        return np.inf
    low = 0.0
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if contains(middle) else (middle, high)
    return high
