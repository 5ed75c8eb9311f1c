"""Two-group, two-period comparisons of repeated cross sections, thousands at a time (Sant'Anna and Zhao 2020).

Rows are observations. One comparison (a *cell*) sets a treated group against controls in a period (``post``, 1) and a
base period (0). With regressors ``x`` (first one constant), weights ``w`` and weighted means over the treated (t₁ in
the period, t₀ in the base, t both) and over the controls reweighted by the odds o of the propensity (k₁, k₀),

    reg   att = t₁y − t₀y − t(c₁ − c₀)
    ipw   att = t₁y − t₀y − (k₁y − k₀y)
    dr    att = t₁(y − c₁) − t₀(y − c₀) − (k₁(y − c₁) − k₀(y − c₀))
                + t(a₁ − c₁) − t₁(a₁ − c₁) − (t(a₀ − c₀) − t₀(a₀ − c₀))      locally efficient

where c = xβ (a = xα) are least-squares predictions fitted on controls (treated) of one period. The influence of a row
is the derivative of the estimate in its weight: with r = y − xβ, e = y − xα (α = 0 but for dr) and ± for the period
and the base

    treated    w [ ±(e − ē)/N_t± + x·v  e + (x − x̄_t)·d/N_t + (1 − p) x·h ]
    control    w [ ∓o (r − r̄_k)/N_k + x·u  r − p x·h ]
    h = H⁻¹ Σ ∓w o (r − r̄_k) x / N_k          H: Hessian of the logit, over the rows of both periods
    v = A⁻¹ (±x̄_t ∓ x̄_t±)                      A: Σ w x x' among the treated
    u = C⁻¹ (±x̄_k ∓ x̄_t)  (reg: ∓C⁻¹ x̄_t)      C: Σ w x x' among the controls
    d = (α₁ − β₁) − (α₀ − β₀)                  (reg: β₀ − β₁)

Within a period rows are ordered so that the controls of every cell are the first so many, less the cell's own group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Literal

import numpy as np

from g287stats.numerics.glm import Treated, deficient, newton, outer_rows, rows_at_once, sigmoid, solve_flat
from g287stats.numerics.memory import room

Method = Literal["dr", "ipw", "reg"]


@dataclass(frozen=True)
class Sections:
    """Rows sorted by period, and within it in the order the comparisons need.

    Attributes
    ----------
    y, w
        (n,) outcomes and weights.
    x
        (p, n) regressors, ``x[0] == 1``.
    offset
        (T + 1,) first row of each period, and n.
    start, stop
        (T, G) rows of each treated group in each period.
    target
        (n,) to which column of the influence each row belongs, ascending within a period, each at most once in it.
    """

    y: np.ndarray
    x: np.ndarray
    w: np.ndarray
    offset: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    target: np.ndarray


@dataclass(frozen=True)
class Comparisons:
    """K cells: treated ``group`` (K,); ``period`` (2, K), base first; ``n_control`` (2, K) first rows of each."""

    group: np.ndarray
    period: np.ndarray
    n_control: np.ndarray

    def take(self, rows: np.ndarray) -> Comparisons:
        """Return the cells ``rows``."""
        return Comparisons(self.group[rows], self.period[:, rows], self.n_control[:, rows])


@dataclass(frozen=True)
class Fit:
    """Estimates and the numbers behind the influence functions; K cells last, base and period first.

    ``att`` (K,); ``beta``, ``alpha``, ``u``, ``v`` (2, K, p); ``gamma``, ``h``, ``d`` (K, p); ``mean_control`` r̄_k,
    ``n_weighted`` N_k, ``mean_treated`` ē, ``n_treated`` N_t± (2, K); ``mean_d`` x̄_t·d (K,); ``max_propensity`` the
    largest fitted propensity among the controls, ``effective_controls`` (Σk)²/Σk² (K,), the smaller of the two periods
    (reg: of the period). ``problem`` (K,) is empty or says why the cell is not identified; its numbers are NaN.
    """

    att: np.ndarray
    beta: np.ndarray
    alpha: np.ndarray
    u: np.ndarray
    v: np.ndarray
    gamma: np.ndarray
    h: np.ndarray
    d: np.ndarray
    mean_control: np.ndarray
    n_weighted: np.ndarray
    mean_treated: np.ndarray
    n_treated: np.ndarray
    mean_d: np.ndarray
    max_propensity: np.ndarray
    effective_controls: np.ndarray
    problem: np.ndarray

    def take(self, rows: np.ndarray) -> Fit:
        """Return the cells ``rows``."""
        two = ("beta", "alpha", "u", "v", "mean_control", "n_weighted", "mean_treated", "n_treated")
        return Fit(**{f.name: getattr(self, f.name)[(slice(None),) * (f.name in two) + (rows,)] for f in fields(self)})


SIGN = np.array([-1.0, 1.0])  # base, period


def fit(data: Sections, cells: Comparisons, method: Method) -> Fit:
    """Estimate all cells; those without rows of treated and controls in both periods are ``empty``."""
    k, p = len(cells.group), len(data.x)
    control, treated = _plain_sums(data, cells)
    problem = np.full(k, "", dtype=object)
    problem[~_rows_in_all(data, cells)] = "empty"
    full = problem == ""

    def solve(gram: np.ndarray, right: np.ndarray) -> np.ndarray:
        gram = np.where((problem == "")[:, None, None], gram, np.eye(p))
        return np.linalg.solve(gram, right[..., None])[..., 0]

    zeros = np.zeros((2, k, p))
    if method != "ipw":
        for sums in (control, treated) if method == "dr" else (control,):
            for gram in sums.xx:
                problem[full] = np.where(deficient(gram[full], 1e-12), "collinear", problem[full])
                full = problem == ""
    gamma, reweighted, hessian = zeros[0], control, np.empty((k, p, p))
    max_propensity = treated.w.sum(axis=0) / (treated.w + control.w).sum(axis=0)
    effective = control.w[1] ** 2 / control.w2[1]
    live = np.flatnonzero(full)
    if method != "reg" and len(live):
        found = _reweighted(data, cells.take(live))
        problem[live] = np.where(found.separated, "separated", "")
        full = problem == ""
        gamma, reweighted = np.zeros((k, p)), _Sums.ones(k, p)
        hessian[:] = np.eye(p)
        gamma[live], hessian[live] = found.gamma, found.hessian
        reweighted.set(live, found.sums)
        max_propensity[live] = found.max_propensity
        effective[live] = (found.sums.w**2 / found.sums.w2).min(axis=0)

    with np.errstate(all="ignore"):  # cells with a problem
        beta = np.array([solve(control.xx[s], control.xy[s]) for s in (0, 1)]) if method != "ipw" else zeros
        alpha = np.array([solve(treated.xx[s], treated.xy[s]) for s in (0, 1)]) if method == "dr" else zeros
        x_side, x_all = treated.x / treated.w[..., None], treated.x.sum(axis=0) / treated.w.sum(axis=0)[:, None]
        mean_treated = treated.y / treated.w - np.einsum("skp,skp->sk", alpha, x_side)
        d = {"dr": alpha - beta, "reg": -beta, "ipw": zeros}[method]
        d = d[1] - d[0]
        att = mean_treated[1] - mean_treated[0] + np.einsum("kp,kp->k", d, x_all)
        u, v, h, mean_control, n_weighted = zeros, zeros, zeros[0], zeros[0, :, :1], np.ones((2, k))
        if method == "reg":
            u = np.array([solve(control.xx[s], -SIGN[s] * x_all) for s in (0, 1)])
            mean_control = np.zeros((2, k))
        else:
            n_weighted = reweighted.w
            x_control = reweighted.x / n_weighted[..., None]
            score = reweighted.xy - np.einsum("skpq,skq->skp", reweighted.xx, beta)
            mean_control = score[..., 0] / n_weighted
            att = att - mean_control[1] + mean_control[0]
            centred = score / n_weighted[..., None] - mean_control[..., None] * x_control
            h = solve_flat(np.where(full[:, None, None], hessian, np.eye(p)), centred[0] - centred[1])
            if method == "dr":
                u = np.array([solve(control.xx[s], SIGN[s] * (x_control[s] - x_all)) for s in (0, 1)])
                v = np.array([solve(treated.xx[s], SIGN[s] * (x_all - x_side[s])) for s in (0, 1)])
        mean_d = np.einsum("kp,kp->k", d, x_all)
    return Fit(
        np.where(full, att, np.nan),
        beta,
        alpha,
        u,
        v,
        gamma,
        h,
        d,
        mean_control,
        n_weighted,
        mean_treated,
        treated.w,
        mean_d,
        np.where(full, max_propensity, 0.0),
        np.where(full, effective, 0.0),
        problem,
    )


def influence(
    data: Sections, cells: Comparisons, fitted: Fit, method: Method
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (cells, ψ) in blocks, of identified cells only: ψ has one row per cell and one column per target.

    The array is reused: use or copy it before asking for the next.
    """
    n = int(data.target.max()) + 1
    good = np.flatnonzero(fitted.problem == "")
    order = good[np.lexsort((cells.period[1, good], cells.period[0, good]))]
    at_once = min(rows_at_once(n), max(len(order), 1))
    psi = room(at_once * n).reshape(at_once, n)
    for lo in range(0, len(order), at_once):
        rows = order[lo : lo + at_once]
        some, numbers = cells.take(rows), fitted.take(rows)
        out = psi[: len(rows)]
        out[...] = 0.0
        for block in _blocks(data, some):
            _add_controls(data, block, numbers, method, out)
        _add_treated(data, some, numbers, method, out)
        yield rows, out


# ---- what a block is ---------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Block:
    """Cells with one period in one role, and the rows from the first that are controls of some of them."""

    side: int
    cells: np.ndarray
    rows: slice
    cuts: tuple[tuple[int, int], ...]  # from this cell on only so many rows
    own: tuple[np.ndarray, np.ndarray]  # (position in ``cells``, row) of the cells' own groups among the rows

    def clear(self, values: np.ndarray) -> None:
        """Set to zero what is not a control of the cell."""
        for position, n in self.cuts:
            values[position:, n:] = 0.0
        values[self.own] = 0.0


def _blocks(data: Sections, cells: Comparisons) -> list[_Block]:
    out = []
    for side in (0, 1):
        period, n_control = cells.period[side], cells.n_control[side]
        order = np.lexsort((cells.group, -n_control, period))
        for same in np.split(order, np.flatnonzero(np.diff(period[order])) + 1):
            lo = 0
            while lo < len(same):
                n = int(n_control[same[lo]])
                some = same[lo : lo + rows_at_once(n)]
                lo += len(some)
                first, q = int(data.offset[period[some[0]]]), period[some[0]]
                cuts = np.flatnonzero(np.diff(n_control[some])) + 1
                start = data.start[q, cells.group[some]] - first
                stop = np.minimum(data.stop[q, cells.group[some]] - first, n)
                case, row = _ranges(start, np.maximum(stop - start, 0))
                numbers = tuple((int(c), int(n_control[some[c]])) for c in cuts)
                out.append(_Block(side, some, slice(first, first + n), numbers, (case, row)))
    return out


def _ranges(start: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat list of (position, number) over the ranges of ``size`` numbers from ``start`` on."""
    case = np.repeat(np.arange(len(size)), size)
    first = np.repeat(np.cumsum(size) - size, size)
    return case, start[case] + np.arange(len(case)) - first


def _members(data: Sections, cells: Comparisons) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat list of (cell, side, row) over the treated rows of each cell, ascending in cells."""
    start = data.start[cells.period, cells.group].T.ravel()
    stop = data.stop[cells.period, cells.group].T.ravel()
    place, row = _ranges(start, stop - start)
    return place // 2, place % 2, row


def _rows_in_all(data: Sections, cells: Comparisons) -> np.ndarray:
    """Whether a cell has treated rows and controls in both periods: boolean (K,)."""
    start, stop = data.start[cells.period, cells.group], data.stop[cells.period, cells.group]
    inside = start - data.offset[cells.period] < cells.n_control
    own = np.where(inside, stop - start, 0)
    return ((stop > start) & (cells.n_control > own)).all(axis=0)


# ---- sums --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Sums:
    """Sums over some rows of each side of each cell; the first regressor is one."""

    xx: np.ndarray  # (2, K, p, p)
    xy: np.ndarray  # (2, K, p)
    w2: np.ndarray  # (2, K) squared weights

    @classmethod
    def ones(cls, k: int, p: int) -> _Sums:
        return cls(np.ones((2, k, p, p)), np.ones((2, k, p)), np.ones((2, k)))

    def set(self, cells: np.ndarray, other: _Sums) -> None:
        self.xx[:, cells], self.xy[:, cells], self.w2[:, cells] = other.xx, other.xy, other.w2

    @property
    def x(self) -> np.ndarray:
        return self.xx[:, :, 0]

    @property
    def w(self) -> np.ndarray:
        return self.xx[:, :, 0, 0]

    @property
    def y(self) -> np.ndarray:
        return self.xy[:, :, 0]


def _plain_sums(data: Sections, cells: Comparisons) -> tuple[_Sums, _Sums]:
    """Sums over the controls and over the treated."""
    k, p = len(cells.group), len(data.x)
    width = p * p + p + 1
    control, treated = np.zeros((2, 2, k, width))
    for q, (lo, hi) in enumerate(pairwise(data.offset.tolist())):
        users = [np.flatnonzero(cells.period[side] == q) for side in (0, 1)]
        if not len(users[0]) and not len(users[1]):
            continue
        x, y, w = data.x[:, lo:hi], data.y[lo:hi], data.w[lo:hi]
        terms = np.concatenate([outer_rows(x) * w, x * (w * y), [w * w]])
        groups = np.array([terms[:, a:b].sum(axis=1) for a, b in zip(data.start[q] - lo, data.stop[q] - lo)])
        sizes = np.unique(np.concatenate([cells.n_control[side, users[side]] for side in (0, 1)]))
        parts = [terms[:, a:b].sum(axis=1) for a, b in pairwise([0, *sizes.tolist()])]
        leading = np.cumsum(np.array(parts).reshape(-1, width), axis=0)
        for side in (0, 1):
            some = users[side]
            n, group = cells.n_control[side, some], cells.group[some]
            inside = data.start[q, group] - lo < n
            treated[side, some] = groups[group]
            control[side, some] = leading[np.searchsorted(sizes, n)] - np.where(inside[:, None], groups[group], 0.0)

    def split(sums: np.ndarray) -> _Sums:
        return _Sums(sums[..., : p * p].reshape(2, k, p, p), sums[..., p * p : -1], sums[..., -1])

    return split(control), split(treated)


@dataclass(frozen=True)
class _Reweighted:
    gamma: np.ndarray
    separated: np.ndarray
    sums: _Sums  # over controls, weighted by w o
    hessian: np.ndarray
    max_propensity: np.ndarray


def _reweighted(data: Sections, cells: Comparisons) -> _Reweighted:
    """Fit the propensities of all cells together, and sum over their reweighted controls."""
    k, p = len(cells.group), len(data.x)
    products = outer_rows(data.x) * data.w
    blocks = _blocks(data, cells)
    buffers = room(2, max(len(b.cells) * (b.rows.stop - b.rows.start) for b in blocks))

    def views(block: _Block) -> np.ndarray:
        n = block.rows.stop - block.rows.start
        return buffers[:, : len(block.cells) * n].reshape(2, len(block.cells), n)

    def shared(coef: np.ndarray, open_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sums, squares = np.zeros((2, k, p * p))
        place = np.full(k, -1)
        place[open_] = np.arange(len(open_))
        for block in blocks:
            if (place[block.cells] < 0).all():
                continue
            prob = views(block)[0]
            ww = products[:, block.rows].T
            sigmoid(np.matmul(coef[place[block.cells]], data.x[:, block.rows], out=prob))
            block.clear(prob)
            sums[block.cells] += prob @ ww
            prob *= prob
            squares[block.cells] += prob @ ww
        return sums[open_, :p], (sums[open_] - squares[open_]).reshape(-1, p, p)

    case, _, row = _members(data, cells)
    treated = Treated(case, data.x[:, row], data.w[row], np.ones(len(row), dtype=bool))

    def alone(j: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        first = data.offset[cells.period[:, j]]
        near = np.concatenate([np.arange(f, f + n) for f, n in zip(first, cells.n_control[:, j])])
        own = row[case == j]
        rows = np.union1d(near, own)
        return data.x[:, rows], np.isin(rows, own).astype(float), data.w[rows]

    control, _ = _plain_sums(data, cells)
    coef = treated.cold(control.w.sum(axis=0))
    last, before, separated = newton(coef, treated, shared, alone)
    separated |= treated.told_apart(coef, last, before)
    xx, xy, w2 = np.zeros((2, k, p * p)), np.zeros((2, k, p)), np.zeros((2, k))
    hessian, largest = np.zeros((k, p * p)), np.zeros(k)
    with np.errstate(over="ignore", invalid="ignore"):
        for block in blocks:
            odds, other = views(block)
            w, y, ww = data.w[block.rows], data.y[block.rows], products[:, block.rows].T
            np.exp(np.matmul(coef[block.cells], data.x[:, block.rows], out=odds), out=odds)
            block.clear(odds)
            side_, some = block.side, block.cells
            xx[side_, some] = odds @ ww
            xy[side_, some] = np.multiply(odds, y, out=other) @ ww[:, :p]
            w2[side_, some] = np.multiply(odds, odds, out=other) @ (w * w)
            largest[some] = np.maximum(largest[some], odds.max(axis=1))
            np.add(odds, 1.0, out=other)
            odds /= other
            odds /= other
            hessian[some] += odds @ ww
        hessian = hessian.reshape(k, p, p) + treated.sums(coef)[1]
    hessian[separated] = np.eye(p)
    sums = _Sums(xx.reshape(2, k, p, p), xy, w2)
    return _Reweighted(coef, separated, sums, hessian, largest / (1 + largest))


# ---- influence -----------------------------------------------------------------------------------------------------
def _add_controls(data: Sections, block: _Block, fitted: Fit, method: Method, out: np.ndarray) -> None:
    """Add ∓o (r − r̄_k)/N_k + x·u r − p x·h over the controls of one block, in the order of the cells of ``fitted``."""
    side, some = block.side, block.cells
    x, w = data.x[:, block.rows], data.w[block.rows]
    r = data.y[block.rows] - fitted.beta[side, some] @ x
    if method == "reg":
        r *= fitted.u[side, some] @ x
    else:
        odds = np.exp(fitted.gamma[some] @ x)
        prob = odds / (1.0 + odds)
        prob *= fitted.h[some] @ x
        odds *= (-SIGN[side] / fitted.n_weighted[side, some])[:, None]
        centred = odds * fitted.mean_control[side, some][:, None]
        if method == "dr":
            odds += fitted.u[side, some] @ x
        r *= odds
        r -= centred
        r -= prob
    r *= w
    block.clear(r)
    target = data.target[block.rows]
    if len(target) and target[-1] - target[0] == len(target) - 1:
        out[some, target[0] : target[-1] + 1] += r
    else:
        out[some[:, None], target] += r


def _add_treated(data: Sections, cells: Comparisons, fitted: Fit, method: Method, out: np.ndarray) -> None:
    """Add the influence of the treated rows of each cell."""
    case, side, row = _members(data, cells)
    x = data.x[:, row]

    def times(coef: np.ndarray) -> np.ndarray:
        return np.einsum("jp,pj->j", coef, x)

    e = data.y[row] - times(fitted.alpha[side, case])
    value = SIGN[side] * (e - fitted.mean_treated[side, case]) / fitted.n_treated[side, case]
    value += (times(fitted.d[case]) - fitted.mean_d[case]) / fitted.n_treated.sum(axis=0)[case]
    value += e * times(fitted.v[side, case])
    if method != "reg":
        value += times(fitted.h[case]) / (1.0 + np.exp(times(fitted.gamma[case])))
    value *= data.w[row]
    for s in (0, 1):  # a unit may be in both periods, and in each once
        mine = side == s
        out[case[mine], data.target[row[mine]]] += value[mine]
