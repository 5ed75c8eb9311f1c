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
from typing import Literal

import numpy as np

from g287stats.numerics.glm import deficient, outer_rows, rows_at_once, shared_logits

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
    sums = _group_sums(panel)
    warm = np.full((len(panel.start), p + 1), np.nan)  # coefficients and log mass of the controls, by group
    mass_before = np.concatenate([[0.0], np.cumsum(panel.w)])
    own = mass_before[panel.stop] - mass_before[panel.start]
    for rows in _same_controls(cells):
        version = int(cells.version[rows[0]])
        n = int(cells.n_control[rows[0]])
        mass = np.log(np.maximum(mass_before[n] - np.where(panel.start < n, own, 0.0), 1e-300))
        start = warm[:, :p].copy()
        start[:, 0] += warm[:, p] - mass  # fewer controls: the odds of treatment rise by as much
        _fit_shared(panel, cells, rows, method, sums[version], start, out)
        if method != "reg":
            known = rows[~out.separated[rows] & ~out.collinear[rows]]
            warm[cells.group[known], :p] = out.gamma[known]
            warm[cells.group[known], p] = mass[cells.group[known]]
    lost = out.collinear | out.separated
    for name in ("att", "beta", "gamma", "h", "a", "mean_treated", "mean_control"):
        getattr(out, name)[lost] = np.nan
    return out


def influence(panel: Panel, cells: Comparisons, fitted: Fit, method: Method) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (cells, ψ) in blocks: ψ has one row per cell and one column per unit, zero outside the comparison.

    The array is reused: use or copy it before asking for the next.
    """
    n_units = panel.y.shape[1]
    at_once = rows_at_once(n_units, panel.x.shape[1])
    unweighted = bool((panel.w == 1.0).all())
    psi = np.empty((at_once, n_units))
    room = [np.empty(at_once * n_units) for _ in range(4)]
    for shared in _same_controls(cells):
        n, version = int(cells.n_control[shared[0]]), int(cells.version[shared[0]])
        xs, w = panel.x[version][:, :n], panel.w[:n]
        case, unit, value = _treated_influence(panel, cells, shared, fitted, method)
        new = np.concatenate([[True], cells.group[shared][1:] != cells.group[shared][:-1]])
        distinct = np.cumsum(new) - 1  # cells of one group share propensity and a
        firsts = shared[new]
        bounds = np.searchsorted(case, np.arange(0, len(shared) + at_once, at_once))
        for block, lo in enumerate(range(0, len(shared), at_once)):
            rows = shared[lo : lo + at_once]
            k = len(rows)
            out = psi[:k]
            r = out[:, :n]
            term, odds, prob, slope = (v[: k * n].reshape(k, n) for v in room)
            earlier = room[0][: k * n_units].reshape(k, n_units)
            np.take(panel.y, cells.t[rows], axis=0, out=out, mode="clip")
            np.take(panel.y, cells.b[rows], axis=0, out=earlier, mode="clip")
            np.subtract(earlier[:, :n], r, out=r)
            if method == "reg":  # −r x·a
                np.matmul(fitted.beta[rows], xs, out=term)
                r += term
                np.matmul(fitted.a[rows], xs, out=term)
                r *= term
            else:  # −o (r − η_c)/N_c − r x·a + p x·h  =  −r (o/N_c + x·a) + η_c o/N_c + p x·h
                first, last = distinct[lo], distinct[lo + k - 1] + 1
                some, m = firsts[first:last], last - first
                odds, prob, slope = odds[:m], prob[:m], slope[:m]
                _scaled_odds(fitted, some, xs, odds)
                np.add(odds, 1.0 / fitted.n_weighted[some][:, None], out=prob)
                np.divide(odds, prob, out=prob)
                if method == "dr":
                    np.matmul(fitted.beta[rows], xs, out=term)
                    r += term
                    np.matmul(fitted.a[some], xs, out=slope)
                    slope += odds
                else:
                    slope = odds
                every = slice(None) if m == k else distinct[lo : lo + k] - first
                r *= slope[every]
                np.matmul(fitted.h[rows], xs, out=term)
                term *= prob[every]
                r += term
                np.multiply(odds[every], fitted.mean_control[rows][:, None], out=term)
                r += term
            if not unweighted:
                r *= w
            out[:, n:] = 0.0
            mine = slice(bounds[block], bounds[block + 1])
            out[case[mine] - lo, unit[mine]] = value[mine]
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
    x = panel.x[int(cells.version[rows[0]])][:, unit]
    r = panel.y[cells.t[cell], unit] - panel.y[cells.b[cell], unit]
    r -= np.einsum("jp,pj->j", fitted.beta[cell], x)
    value = (r - fitted.mean_treated[cell]) / fitted.n_treated[cell]
    if method != "reg":
        odds = np.exp(np.einsum("jp,pj->j", fitted.gamma[cell], x))
        value -= np.einsum("jp,pj->j", fitted.h[cell], x) / (1.0 + odds)
    return case, unit, value * panel.w[unit]


@dataclass(frozen=True)
class _GroupSums:
    """Weighted sums over each treated group, for one version of x: w, w x, w x x', w x y by period."""

    w: np.ndarray  # (G,)
    x: np.ndarray  # (G, p)
    xx: np.ndarray  # (G, p, p)
    xy: np.ndarray  # (G, T, p)
    shared: dict[int, tuple[np.ndarray, np.ndarray]]  # n_control -> (p, p), (T, p) over the first columns


def _group_sums(panel: Panel) -> list[_GroupSums]:
    out = []
    p = panel.x.shape[1]
    for x in panel.x:
        xw = x * panel.w
        groups = [slice(a, b) for a, b in zip(panel.start, panel.stop)]
        out.append(
            _GroupSums(
                w=np.array([panel.w[g].sum() for g in groups]),
                x=np.array([xw[:, g].sum(axis=1) for g in groups]).reshape(-1, p),
                xx=np.array([xw[:, g] @ x[:, g].T for g in groups]).reshape(-1, p, p),
                xy=np.array([panel.y[:, g] @ xw[:, g].T for g in groups]).reshape(-1, len(panel.y), p),
                shared={},
            )
        )
    return out


def _same_controls(cells: Comparisons) -> Iterator[np.ndarray]:
    """Positions of cells with the same controls and version, the largest control group first."""
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


def _fit_shared(
    panel: Panel,
    cells: Comparisons,
    rows: np.ndarray,
    method: Method,
    sums: _GroupSums,
    start: np.ndarray,
    out: Fit,
) -> None:
    """Fill ``out`` for cells that share controls and regressors; ``start`` (G, p) starts the logits, NaN: cold."""
    n, version = int(cells.n_control[rows[0]]), int(cells.version[rows[0]])
    x, w = panel.x[version], panel.w
    p = len(x)
    group, t, b = cells.group[rows], cells.t[rows], cells.b[rows]
    inside = panel.start[group] < n  # the group itself is among the first n: a later cohort
    xs, xw = x[:, :n], x[:, :n] * w[:n]
    n1 = sums.w[group]
    x1 = sums.x[group] / n1[:, None]
    dxy1 = sums.xy[group, t] - sums.xy[group, b]
    dy1 = dxy1[:, 0] / n1
    out.n_treated[rows] = n1

    if method != "ipw":
        if n not in sums.shared:
            sums.shared[n] = (xw @ xs.T, panel.y[:, :n] @ xw.T)
        gram, xy = sums.shared[n]
        a_gram = gram - np.where(inside[:, None, None], sums.xx[group], 0.0)
        right = xy[t] - xy[b] - np.where(inside[:, None], dxy1, 0.0)
        flat = deficient(a_gram, 1e-12)
        out.collinear[rows] |= flat
        a_gram = np.where(flat[:, None, None], np.eye(p), a_gram)
        beta = np.linalg.solve(a_gram, right[:, :, None])[:, :, 0]
        out.beta[rows] = beta
    else:
        beta = np.zeros((len(rows), p))
    eta1 = dy1 - np.einsum("kp,kp->k", beta, x1)
    out.mean_treated[rows] = eta1

    if method == "reg":
        out.att[rows] = eta1
        out.a[rows] = np.linalg.solve(a_gram, x1[:, :, None])[:, :, 0]
        own = np.where(inside, sums.w[group], 0.0)
        own_squares = np.array([(w[panel.start[g] : panel.stop[g]] ** 2).sum() for g in range(len(panel.start))])
        out.effective_controls[rows] = (w[:n].sum() - own) ** 2 / (
            (w[:n] ** 2).sum() - np.where(inside, own_squares[group], 0.0)
        )
        return

    # one propensity per group: cells of the group in other periods share it
    distinct, cell_of = np.unique(group, return_inverse=True)
    case, unit = _members(panel, distinct)
    warm = None if np.isnan(start[distinct]).any() else start[distinct]
    logits = shared_logits(x, w, n, case, unit, len(distinct), warm)
    out.separated[rows] |= logits.separated[cell_of]
    out.gamma[rows] = logits.coef[cell_of]
    xx = outer_rows(xs) * w[:n]
    at_once = rows_at_once(n, p)
    moments, hessian = np.empty((2, len(distinct), p * p))
    m_xy = np.empty((len(rows), p))
    by_group = np.argsort(cell_of, kind="stable")
    ends = np.searchsorted(cell_of[by_group], np.arange(len(distinct) + 1))
    for lo in range(0, len(distinct), at_once):
        hi = min(lo + at_once, len(distinct))
        odds = logits.coef[lo:hi] @ xs
        with np.errstate(over="ignore"):
            np.exp(odds, out=odds)
        mine = (case >= lo) & (case < hi) & (unit < n)
        odds[case[mine] - lo, unit[mine]] = 0.0
        moments[lo:hi] = odds @ xx.T
        largest = odds.max(axis=1)
        some = by_group[ends[lo] : ends[hi]]
        for at in range(0, len(some), at_once):
            now = some[at : at + at_once]
            dy = panel.y[t[now], :n]
            dy -= panel.y[b[now], :n]
            dy *= odds[cell_of[now] - lo]
            m_xy[now] = dy @ xw.T
        one_more = odds + 1.0
        share = odds / one_more
        share /= one_more  # p (1 − p)
        hessian[lo:hi] = share @ xx.T
        odds *= w[:n]
        squares = np.einsum("kn,kn->k", odds, odds)
        out.max_propensity[rows[some]] = (largest / (1 + largest))[cell_of[some] - lo]
        out.effective_controls[rows[some]] = (moments[lo:hi, 0] ** 2 / squares)[cell_of[some] - lo]
    x_treated = x[:, unit]
    odds = np.exp(np.einsum("jp,pj->j", logits.coef[case], x_treated))
    spread = outer_rows(x_treated) * (w[unit] * odds / (1 + odds) ** 2)
    hessian += np.stack([np.bincount(case, row, len(distinct)) for row in spread], axis=1)
    hessian = np.where(logits.separated[:, None, None], np.eye(p), hessian.reshape(-1, p, p))
    m_xx = moments.reshape(-1, p, p)[cell_of]
    nc = m_xx[:, 0, 0]
    xc = m_xx[:, 0] / nc[:, None]
    m_xr = m_xy - np.einsum("kpq,kq->kp", m_xx, beta)
    eta_c = m_xr[:, 0] / nc
    covariance = m_xr / nc[:, None] - eta_c[:, None] * xc
    out.h[rows] = np.linalg.solve(hessian[cell_of], covariance[:, :, None])[:, :, 0]
    if method == "dr":
        out.a[rows] = np.linalg.solve(a_gram, (x1 - xc)[:, :, None])[:, :, 0]
    out.n_weighted[rows], out.mean_control[rows] = nc, eta_c
    out.att[rows] = eta1 - eta_c
