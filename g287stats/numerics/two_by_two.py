"""Two-group, two-period comparisons of a balanced panel, thousands at a time (Sant'Anna and Zhao 2020).

One comparison (a *cell*) sets a treated group against controls in periods ``t`` and ``b``. With long differences
``Δ = y_t − y_b``, weights ``w``, ``D`` = 1 for the treated, regressors ``x`` (first one constant):

    reg   att = mean_D(Δ − xβ)                      β: least squares of Δ on x among controls
    ipw   att = mean_D(Δ) − mean_k(Δ)               k = w p / (1 − p) for controls, p: logit of D on x
    dr    att = mean_D(Δ − xβ) − mean_k(Δ − xβ)     both

Units are ordered so that the controls of every cell are the first ``n_control`` of them, less the cell's own group
when that is a later cohort. Cells with the same controls share their moments, and their propensities are fitted
together. The influence function of a cell (``att − truth ≈ Σ ψ``) is, with ``r = Δ − xβ``,

    treated    w [ (r − η₁)/N₁ − (1 − p) x·h ]
    control    w [ −o (r − η_c)/N_c + p x·h − r x·a ]         o = p/(1−p), N₁ = Σ wD, N_c = Σ w o
    h = H⁻¹ Σ w o (r − η_c) x / N_c                           H: Hessian of the logit
    a = A⁻¹ (mean_D x − mean_k x)  (reg: A⁻¹ mean_D x)        A = Σ w x x' among controls

so a dozen numbers per cell (:class:`Fit`) are enough to make it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from g287stats.numerics.glm import Logits, deficient, outer_rows, rows_at_once, shared_logits, solve_each
from g287stats.numerics.memory import room

Method = Literal["dr", "ipw", "reg"]


@dataclass(frozen=True)
class Panel:
    """A balanced panel in the order the comparisons need.

    Attributes
    ----------
    y
        (T, N) outcomes.
    x
        (V, p, N) regressors, ``x[:, 0] == 1``; V = 1 when they do not vary over time, else one version per period.
    w
        (N,) weights with mean one.
    start, stop
        (G,) columns of each treated group.
    """

    y: np.ndarray
    x: np.ndarray
    w: np.ndarray
    start: np.ndarray
    stop: np.ndarray


@dataclass(frozen=True)
class Comparisons:
    """K cells: treated ``group``, period ``t``, base ``b``, ``n_control`` first columns, ``version`` of x."""

    group: np.ndarray
    t: np.ndarray
    b: np.ndarray
    n_control: np.ndarray
    version: np.ndarray

    def take(self, rows: np.ndarray) -> Comparisons:
        """Return the cells ``rows``."""
        return Comparisons(*(getattr(self, f)[rows] for f in ("group", "t", "b", "n_control", "version")))


@dataclass(frozen=True)
class Fit:
    """Estimates and the numbers behind the influence functions, one row per cell.

    ``att`` (K,); ``beta``, ``gamma``, ``h``, ``a`` (K, p); ``mean_treated`` η₁, ``mean_control`` η_c,
    ``n_treated`` N₁, ``n_weighted`` N_c (K,); ``max_propensity`` the largest fitted propensity among the controls,
    ``effective_controls`` (Σk)²/Σk² (K,). ``collinear`` and ``separated`` (K,) mark cells that are not identified;
    their numbers are NaN.
    """

    att: np.ndarray
    beta: np.ndarray
    gamma: np.ndarray
    h: np.ndarray
    a: np.ndarray
    mean_treated: np.ndarray
    mean_control: np.ndarray
    n_treated: np.ndarray
    n_weighted: np.ndarray
    max_propensity: np.ndarray
    effective_controls: np.ndarray
    collinear: np.ndarray
    separated: np.ndarray


def fit(panel: Panel, cells: Comparisons, method: Method) -> Fit:
    """Estimate all cells. Controls must not be empty."""
    k, p = len(cells.t), panel.x.shape[1]
    zeros = np.zeros
    out = Fit(
        att=zeros(k), beta=zeros((k, p)), gamma=zeros((k, p)), h=zeros((k, p)), a=zeros((k, p)),
        mean_treated=zeros(k), mean_control=zeros(k), n_treated=zeros(k), n_weighted=np.ones(k),
        max_propensity=zeros(k), effective_controls=zeros(k),
        collinear=zeros(k, dtype=bool), separated=zeros(k, dtype=bool),
    )  # fmt: skip
    sums = _plain_sums(panel, cells)
    out.n_treated[:] = sums.w_treated
    x1 = sums.x_treated / sums.w_treated[:, None]
    if method != "ipw":
        out.collinear[:] = deficient(sums.xx, 1e-12)
        sums.xx[out.collinear] = np.eye(p)
        out.beta[:] = np.linalg.solve(sums.xx, sums.xy[:, :, None])[:, :, 0]
    eta1 = sums.y_treated / sums.w_treated - np.einsum("kp,kp->k", out.beta, x1)
    out.mean_treated[:] = eta1
    if method == "reg":
        out.att[:] = eta1
        out.a[:] = np.linalg.solve(sums.xx, x1[:, :, None])[:, :, 0]
        out.effective_controls[:] = sums.w_controls**2 / sums.w2_controls
    else:
        m_xx, m_xy, hessian = _reweighted_sums(panel, cells, out)
        nc = m_xx[:, 0, 0]
        xc = m_xx[:, 0] / nc[:, None]
        m_xr = m_xy - np.einsum("kpq,kq->kp", m_xx, out.beta)
        eta_c = m_xr[:, 0] / nc
        covariance = m_xr / nc[:, None] - eta_c[:, None] * xc
        out.h[:] = np.linalg.solve(hessian, covariance[:, :, None])[:, :, 0]
        if method == "dr":
            out.a[:] = np.linalg.solve(sums.xx, (x1 - xc)[:, :, None])[:, :, 0]
        out.n_weighted[:], out.mean_control[:] = nc, eta_c
        out.att[:] = eta1 - eta_c
    lost = out.collinear | out.separated
    for name in ("att", "beta", "gamma", "h", "a", "mean_treated", "mean_control"):
        getattr(out, name)[lost] = np.nan
    return out


def influence(
    panel: Panel, cells: Comparisons, fitted: Fit, method: Method, into: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (cells, ψ) in blocks: ψ has one row per cell and one column per unit, zero outside the comparison.

    Blocks stand one under another in ``into`` (cells or more × units); without it the array is reused: use or copy it
    before asking for the next.
    """
    n_units = panel.y.shape[1]
    at_once = min(rows_at_once(n_units, panel.x.shape[1]), len(cells.t))
    unweighted = bool((panel.w == 1.0).all())
    psi, *buffers = room(4, at_once * n_units)
    psi = psi.reshape(at_once, n_units)
    sets = list(_same_controls(cells))
    case, unit, value = _treated_influence(panel, cells, np.concatenate(sets), fitted, method)
    done = 0
    for shared in sets:
        n, version = int(cells.n_control[shared[0]]), int(cells.version[shared[0]])
        xs, w = panel.x[version][:, :n], panel.w[:n]
        new = np.concatenate([[True], cells.group[shared][1:] != cells.group[shared][:-1]])
        distinct = np.cumsum(new) - 1  # cells of one group share propensity and a
        firsts = shared[new]
        for lo in range(0, len(shared), at_once):
            rows = shared[lo : lo + at_once]
            k = len(rows)
            out = psi[:k] if into is None else into[done : done + k]
            r = out[:, :n]
            wide = buffers[0][: k * n_units].reshape(k, n_units)
            term, slope, odds = (v[: k * n].reshape(k, n) for v in buffers)
            # minus the residual, less the controls' mean η_c when they are reweighted
            beta = fitted.beta[rows]
            beta[:, 0] += fitted.mean_control[rows]
            np.matmul(beta, xs, out=r)
            t, b = cells.t[rows], cells.b[rows]
            r += np.take(panel.y, b, axis=0, out=wide, mode="clip")[:, :n]
            same = (t == t[0]).all()
            r -= panel.y[t[0], :n] if same else np.take(panel.y, t, axis=0, out=wide, mode="clip")[:, :n]
            if method == "reg":  # −r x·a
                r *= np.matmul(fitted.a[rows], xs, out=term)
            else:  # −(r − η_c) (o/N_c + x·a) − η_c x·a + p x·h
                first, last = distinct[lo], distinct[lo + k - 1] + 1
                some, m = firsts[first:last], last - first
                every = slice(None) if m == k else distinct[lo : lo + k] - first
                odds, slope = odds[:m], slope[:m]
                _scaled_odds(fitted, some, xs, odds)
                np.add(odds, 1.0 / fitted.n_weighted[some][:, None], out=slope)
                prob = np.divide(odds, slope, out=slope)
                np.matmul(fitted.h[rows], xs, out=term)
                term *= prob[every]
                if method == "dr":
                    np.matmul(fitted.a[some], xs, out=slope)
                    odds += slope
                    r *= odds[every]
                    r += term
                    r -= np.matmul(fitted.a[rows] * fitted.mean_control[rows][:, None], xs, out=term)
                else:
                    r *= odds[every]
                    r += term
            if not unweighted:
                r *= w
            out[:, n:] = 0.0
            mine = slice(*np.searchsorted(case, (done, done + k)))
            out[case[mine] - done, unit[mine]] = value[mine]
            done += k
            yield rows, out


def _scaled_odds(fitted: Fit, rows: np.ndarray, xs: np.ndarray, out: np.ndarray) -> None:
    """Odds of treatment over N_c, for each of ``rows`` and each column of ``xs``."""
    gamma = fitted.gamma[rows]
    gamma[:, 0] -= np.log(fitted.n_weighted[rows])
    np.matmul(gamma, xs, out=out)
    np.exp(out, out=out)


def _treated_influence(
    panel: Panel, cells: Comparisons, rows: np.ndarray, fitted: Fit, method: Method
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat (position in ``rows``, unit, ψ) over the treated units of each cell."""
    case, unit = _members(panel, cells.group[rows])
    cell = rows[case]
    x = panel.x[cells.version[cell], :, unit].T
    r = panel.y[cells.t[cell], unit] - panel.y[cells.b[cell], unit]
    r -= np.einsum("jp,pj->j", fitted.beta[cell], x)
    value = (r - fitted.mean_treated[cell]) / fitted.n_treated[cell]
    if method != "reg":
        odds = np.exp(np.einsum("jp,pj->j", fitted.gamma[cell], x))
        value -= np.einsum("jp,pj->j", fitted.h[cell], x) / (1.0 + odds)
    return case, unit, value * panel.w[unit]


@dataclass(frozen=True)
class _PlainSums:
    """Weighted sums behind each cell: over its treated, and over its controls."""

    w_treated: np.ndarray  # (K,)
    x_treated: np.ndarray  # (K, p)
    y_treated: np.ndarray  # (K,) Σ w Δ
    xx: np.ndarray  # (K, p, p) over controls
    xy: np.ndarray  # (K, p) Σ w x Δ over controls
    w_controls: np.ndarray  # (K,)
    w2_controls: np.ndarray  # (K,)


def _plain_sums(panel: Panel, cells: Comparisons) -> _PlainSums:
    k, p = len(cells.t), panel.x.shape[1]
    w = panel.w
    groups = [slice(a, b) for a, b in zip(panel.start.tolist(), panel.stop.tolist())]
    sizes, place = np.unique(cells.n_control, return_inverse=True)
    ends = [0, *sizes.tolist()]
    parts = [slice(a, b) for a, b in pairwise(ends)]  # the controls of a cell are the first so many
    inside = panel.start[cells.group] < cells.n_control  # the group itself is among them: a later cohort

    def controls(rows: np.ndarray, by_part: np.ndarray, by_group: np.ndarray, *period: np.ndarray) -> np.ndarray:
        """Sums over the leading parts of each cell, less its own group."""
        leading = np.cumsum(by_part, axis=0)[(place[rows], *period)]
        own = by_group[(cells.group[rows], *period)]
        return leading - np.where(inside[rows].reshape(-1, *[1] * (own.ndim - 1)), own, 0.0)

    def total(values: np.ndarray, over: list[slice]) -> np.ndarray:
        return np.array([values[s].sum() for s in over])

    every = np.arange(k)
    out = _PlainSums(
        w_treated=total(w, groups)[cells.group], x_treated=np.empty((k, p)), y_treated=np.empty(k),
        xx=np.empty((k, p, p)), xy=np.empty((k, p)),
        w_controls=controls(every, total(w, parts), total(w, groups)),
        w2_controls=controls(every, total(w * w, parts), total(w * w, groups)),
    )  # fmt: skip
    for version in np.unique(cells.version).tolist():
        rows = np.flatnonzero(cells.version == version)
        group, t, b = cells.group[rows], cells.t[rows], cells.b[rows]
        x = panel.x[version]
        xw = x * w
        xx = [np.array([xw[:, s] @ x[:, s].T for s in over]) for over in (parts, groups)]
        xy = [np.array([panel.y[:, s] @ xw[:, s].T for s in over]) for over in (parts, groups)]
        out.x_treated[rows] = xx[1][group, 0]
        out.y_treated[rows] = xy[1][group, t, 0] - xy[1][group, b, 0]
        out.xx[rows] = controls(rows, *xx)
        out.xy[rows] = controls(rows, *xy, t) - controls(rows, *xy, b)
    return out


def _reweighted_sums(panel: Panel, cells: Comparisons, out: Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit the propensities; return Σ w o x x' (K, p, p), Σ w o x Δ (K, p) over controls, and Hessians (K, p, p).

    Fills ``gamma``, ``separated``, ``max_propensity`` and ``effective_controls`` of ``out``.
    """
    k, p, n_units = len(cells.t), panel.x.shape[1], panel.y.shape[1]
    at_once = min(rows_at_once(n_units, p), k)
    buffers = room(3, at_once * n_units)
    m_xx, hessian = np.empty((2, k, p * p))
    m_xy = np.empty((k, p))
    starts = _Starts(panel)
    version = -1
    for rows in _same_controls(cells):
        n = int(cells.n_control[rows[0]])
        if cells.version[rows[0]] != version:
            version = int(cells.version[rows[0]])
            x = panel.x[version]
            products = outer_rows(x) * panel.w
            squares = products[0] * panel.w
        # one propensity per group: cells of the group in other periods share it
        new = np.concatenate([[True], cells.group[rows[1:]] != cells.group[rows[:-1]]])
        groups, cell_of = cells.group[rows[new]], np.cumsum(new) - 1
        case, unit = _members(panel, groups)
        start = starts.at(groups, version, n, products)
        logits = shared_logits(x, panel.w, n, case, unit, len(groups), start, products=products, room=buffers[0])
        moments, spread = np.empty((2, len(groups), p * p))
        largest, kish = np.empty((2, len(groups)))
        ends = np.searchsorted(cell_of, np.arange(len(groups) + 1)).tolist()
        heads = np.searchsorted(case, np.arange(len(groups) + 1)).tolist()
        xx, xw = products[:, :n].T, products[:p, :n].T
        for lo in range(0, len(groups), at_once):
            hi = min(lo + at_once, len(groups))
            odds, other = (v[: (hi - lo) * n].reshape(-1, n) for v in buffers[:2])
            np.matmul(logits.coef[lo:hi], x[:, :n], out=odds)
            with np.errstate(over="ignore"):
                np.exp(odds, out=odds)
            own = heads[lo] + np.flatnonzero(unit[heads[lo] : heads[hi]] < n)
            odds[case[own] - lo, unit[own]] = 0.0
            np.matmul(odds, xx, out=moments[lo:hi])
            largest[lo:hi] = odds.max(axis=1)
            np.add(odds, 1.0, out=other)
            np.divide(1.0, other, out=other)
            share = np.multiply(other, other, out=buffers[2][: odds.size].reshape(-1, n))
            share *= odds  # p (1 − p)
            np.matmul(share, xx, out=spread[lo:hi])
            kish[lo:hi] = np.multiply(odds, odds, out=other) @ squares[:n]
            for at in range(ends[lo], ends[hi], at_once):
                now = slice(at, min(at + at_once, ends[hi]))
                wide = buffers[1:, : (now.stop - at) * n_units].reshape(2, -1, n_units)
                t, b = cells.t[rows[now]], cells.b[rows[now]]
                before = np.take(panel.y, b, axis=0, out=wide[0], mode="clip")[:, :n]
                same = (t == t[0]).all()
                after = panel.y[t[0], :n] if same else np.take(panel.y, t, axis=0, out=wide[1], mode="clip")[:, :n]
                dy = np.subtract(after, before, out=before)
                dy *= odds if len(rows) == len(groups) else odds[cell_of[now] - lo]
                m_xy[rows[now]] = dy @ xw
        treated = x[:, unit]
        prob = 1.0 / (1.0 + np.exp(-np.einsum("jp,pj->j", logits.coef[case], treated)))
        spread += np.add.reduceat(products[:, unit] * (prob - prob * prob), heads[:-1], axis=1).T
        spread[logits.separated] = np.eye(p).ravel()
        starts.learn(groups, n, logits, moments, spread)
        out.separated[rows], out.gamma[rows] = logits.separated[cell_of], logits.coef[cell_of]
        out.max_propensity[rows] = (largest / (1 + largest))[cell_of]
        out.effective_controls[rows] = (moments[:, 0] ** 2 / kish)[cell_of]
        m_xx[rows], hessian[rows] = moments[cell_of], spread[cell_of]
    return m_xx.reshape(k, p, p), m_xy, hessian.reshape(k, p, p)


class _Starts:
    """Where the logits of each group begin, from its last fit: with other controls, maybe with other regressors."""

    def __init__(self, panel: Panel):
        groups, p = len(panel.start), panel.x.shape[1]
        self.panel, self.version = panel, -1
        self.n = np.full(groups, -1)
        self.coef = np.full((groups, p), np.nan)
        self.moments, self.hessian = np.full((2, groups, p * p), np.nan)
        self.mass = np.concatenate([[0.0], np.cumsum(panel.w)])

    def learn(self, groups: np.ndarray, n: int, logits: Logits, moments: np.ndarray, hessian: np.ndarray) -> None:
        """Keep what was fitted on the first ``n`` units."""
        known = ~logits.separated
        groups = groups[known]
        self.n[groups], self.coef[groups] = n, logits.coef[known]
        self.moments[groups], self.hessian[groups] = moments[known], hessian[known]

    def at(self, groups: np.ndarray, version: int, n: int, products: np.ndarray) -> np.ndarray:
        """Coefficients to start from with the first ``n`` units as controls, NaN for groups never fitted."""
        coef, before = self.coef[groups], self.n[groups]
        same = (before > n) & (before == before.max()) & (version == self.version)
        self.version = version
        other = ~same
        if other.any():
            coef[other, 0] += np.log(self._controls(groups, before) / self._controls(groups, n))[other]
        if same.any():
            coef[same] = self._without(groups[same], slice(n, int(before.max())), version, products)
        return coef

    def _controls(self, groups: np.ndarray, n: np.ndarray | int) -> np.ndarray:
        """Mass of the first ``n`` units less the group's own."""
        start, stop = self.panel.start[groups], self.panel.stop[groups]
        own = np.where(start < n, self.mass[stop] - self.mass[start], 0.0)
        return np.maximum(self.mass[n] - own, 1e-300)

    def _without(self, groups: np.ndarray, gone: slice, version: int, products: np.ndarray) -> np.ndarray:
        """Newton's step from the last maximum when the units ``gone`` leave, from sums over these alone.

        The step is taken in the odds: with m its value at the controls' mean, odds rise by the factor 1 + m there.
        """
        p = self.coef.shape[1]
        coef, moments = self.coef[groups], self.moments[groups]
        prob = 1.0 / (1.0 + np.exp(-(coef @ self.panel.x[version][:, gone])))
        for k in np.flatnonzero((self.panel.start[groups] >= gone.start) & (self.panel.start[groups] < gone.stop)):
            own = slice(self.panel.start[groups[k]] - gone.start, self.panel.stop[groups[k]] - gone.start)
            prob[k, own] = 0.0
        score = prob @ products[:, gone].T
        spread = self.hessian[groups] - score + (prob * prob) @ products[:, gone].T
        step, _ = solve_each(spread.reshape(-1, p, p), score[:, :p])
        m = np.maximum(np.einsum("kp,kp->k", step, moments[:, :p]) / moments[:, 0], -0.5)
        coef += step / (1.0 + m)[:, None]
        coef[:, 0] += np.log1p(m) - m / (1.0 + m)
        return coef


def _same_controls(cells: Comparisons) -> Iterator[np.ndarray]:
    """Positions of cells with the same controls and version, the largest control group first, by group and time."""
    order = np.lexsort((cells.t, cells.group, -cells.n_control, cells.version))
    key = np.column_stack([cells.version, cells.n_control])[order]
    cuts = np.flatnonzero((key[1:] != key[:-1]).any(axis=1)) + 1
    yield from np.split(order, cuts)


def _members(panel: Panel, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat list of (position in ``group``, unit) over the treated units of each group."""
    size = (panel.stop - panel.start)[group]
    case = np.repeat(np.arange(len(group)), size)
    first = np.repeat(np.cumsum(size) - size, size)
    return case, panel.start[group][case] + np.arange(len(case)) - first
