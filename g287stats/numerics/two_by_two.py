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

from g287stats.numerics.glm import deficient, rows_at_once, solve_flat
from g287stats.numerics.memory import room
from g287stats.numerics.propensities import Comparisons, Layout, Panel, reweighted

Method = Literal["dr", "ipw", "reg"]


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
        att=zeros(k),
        beta=zeros((k, p)),
        gamma=zeros((k, p)),
        h=zeros((k, p)),
        a=zeros((k, p)),
        mean_treated=zeros(k),
        mean_control=zeros(k),
        n_treated=zeros(k),
        n_weighted=np.ones(k),
        max_propensity=zeros(k),
        effective_controls=zeros(k),
        collinear=zeros(k, dtype=bool),
        separated=zeros(k, dtype=bool),
    )
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
        layout = Layout(cells)
        found = reweighted(panel, layout)
        fit_of = np.empty(k, dtype=np.int64)
        fit_of[layout.order] = layout.fit
        m_xx, m_xy = found.moments[fit_of], np.empty((k, p))
        m_xy[layout.order] = found.change
        nc = m_xx[:, 0, 0]
        xc = m_xx[:, 0] / nc[:, None]
        m_xr = m_xy - np.einsum("kpq,kq->kp", m_xx, out.beta)
        eta_c = m_xr[:, 0] / nc
        covariance = m_xr / nc[:, None] - eta_c[:, None] * xc
        out.h[:] = solve_flat(found.hessian[fit_of], covariance)
        out.gamma[:], out.separated[:], out.max_propensity[:] = (
            v[fit_of] for v in (found.coef, found.separated, found.largest)
        )
        out.effective_controls[:] = (found.moments[:, 0, 0] ** 2 / found.kish)[fit_of]
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
    at_once = min(rows_at_once(n_units), len(cells.t))
    unweighted = bool((panel.w == 1.0).all())
    psi, *buffers = room(4, at_once * n_units)
    psi = psi.reshape(at_once, n_units)
    layout = Layout(cells)
    numbers = _Numbers.of(fitted, layout, method)
    case, unit, value = _treated_influence(panel, cells, layout.order, fitted, method)
    for _, _, first, last in layout.sets:
        n, version = int(layout.cells.n_control[first]), int(layout.cells.version[first])
        xs, w = panel.x[version][:, :n], panel.w[:n]
        for lo in range(first, last, at_once):
            hi = min(lo + at_once, last)
            k = hi - lo
            out = psi[:k] if into is None else into[lo:hi]
            r = out[:, :n]
            wide = buffers[0][: k * n_units].reshape(k, n_units)
            term, slope, odds = (v[: k * n].reshape(k, n) for v in buffers)
            # minus the residual, plus the controls' mean η_c when they are reweighted
            np.matmul(numbers.beta[lo:hi], xs, out=r)
            t, b = layout.cells.t[lo:hi], layout.cells.b[lo:hi]
            r += np.take(panel.y, b, axis=0, out=wide, mode="clip")[:, :n]
            same = (t == t[0]).all()
            r -= panel.y[t[0], :n] if same else np.take(panel.y, t, axis=0, out=wide, mode="clip")[:, :n]
            if method == "reg":  # −r x·a
                r *= np.matmul(numbers.a[lo:hi], xs, out=term)
            else:  # −(r − η_c) (o/N_c + x·a) − η_c x·a + p x·h
                fits = slice(int(layout.fit[lo]), int(layout.fit[hi - 1]) + 1)
                m = fits.stop - fits.start
                every = slice(None) if m == k else layout.fit[lo:hi] - fits.start
                odds, slope = odds[:m], slope[:m]
                np.exp(np.matmul(numbers.gamma[fits], xs, out=odds), out=odds)  # over N_c
                np.add(odds, numbers.one[fits], out=slope)
                prob = np.divide(odds, slope, out=slope)
                np.matmul(numbers.h[lo:hi], xs, out=term)
                term *= prob[every]
                if method == "dr":
                    np.matmul(numbers.slope[fits], xs, out=slope)
                    odds += slope
                    r *= odds[every]
                    r += term
                    r -= np.matmul(numbers.a[lo:hi], xs, out=term)
                else:
                    r *= odds[every]
                    r += term
            if not unweighted:
                r *= w
            out[:, n:] = 0.0
            mine = slice(*np.searchsorted(case, (lo, hi)).tolist())
            out[case[mine] - lo, unit[mine]] = value[mine]
            yield layout.order[lo:hi], out


@dataclass(frozen=True)
class _Numbers:
    """What the influence of controls is made of, in the order of a layout.

    By cell, (K, p): ``beta`` (plus η_c in the constant), ``h``, and ``a`` (times η_c; for ``reg`` as it is). By fit:
    ``gamma`` (less log N_c in the constant) and ``slope``, the a of its cells, (F, p); ``one``, 1/N_c, (F, 1).
    """

    beta: np.ndarray
    h: np.ndarray
    a: np.ndarray
    gamma: np.ndarray
    slope: np.ndarray
    one: np.ndarray

    @classmethod
    def of(cls, fitted: Fit, layout: Layout, method: Method) -> _Numbers:
        order = layout.order
        fits = order[layout.first]
        beta, gamma, a = fitted.beta[order], fitted.gamma[fits], fitted.a[order]
        beta[:, 0] += fitted.mean_control[order]
        gamma[:, 0] -= np.log(fitted.n_weighted[fits])
        if method == "dr":
            a *= fitted.mean_control[order][:, None]
        return cls(beta, fitted.h[order], a, gamma, fitted.a[fits], 1.0 / fitted.n_weighted[fits][:, None])


def _treated_influence(
    panel: Panel, cells: Comparisons, rows: np.ndarray, fitted: Fit, method: Method
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat (position in ``rows``, unit, ψ) over the treated units of each cell."""
    case, unit = panel.members(cells.group[rows])
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
        w_treated=total(w, groups)[cells.group],
        x_treated=np.empty((k, p)),
        y_treated=np.empty(k),
        xx=np.empty((k, p, p)),
        xy=np.empty((k, p)),
        w_controls=controls(every, total(w, parts), total(w, groups)),
        w2_controls=controls(every, total(w * w, parts), total(w * w, groups)),
    )
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
