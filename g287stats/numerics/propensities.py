"""Propensities of many groups that share their controls, and sums over the controls reweighted by their odds.

Staggered designs need one propensity score per cohort and control group, and they come in a row: the next control
group is the last one less the units treated meanwhile. So groups are fitted together, a fit starts from Newton's step
over the units that left, and as a rule one pass over the data is enough: what is wanted at the maximum γ are sums of
a function of the odds ``o = exp(x·γ)``, and they follow from the sums at the last coefficients tried, γ − δ, and from
their derivatives,

    Σ o m  →  Σ o m + Σ o (x·δ) m,

with an error of the order of (x·δ)². The derivatives are sums of products of three regressors. Where the last step was
longer than :data:`NEAR`, or there are so many regressors that their products of three cost more than another pass, the
sums are evaluated at the maximum itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement, product

import numpy as np

from g287stats.numerics.glm import Treated, newton, rows_at_once, solve_each
from g287stats.numerics.memory import room

NEAR = 3e-5
"""Largest |x·δ| of the last step from which sums are moved to the maximum: they are off by half its square."""
THIRD = 6
"""Number of regressors up to which products of three are formed."""
SURE = 10.0
"""Log odds of a treated unit from which a fit is no start for the next: it may be one of separated groups."""
LARGE = 700.0
"""Log odds beyond which odds are infinite."""


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

    def members(self, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flat list of (position in ``group``, unit) over the treated units of each group."""
        size = (self.stop - self.start)[group]
        case = np.repeat(np.arange(len(group)), size)
        first = np.repeat(np.cumsum(size) - size, size)
        return case, self.start[group][case] + np.arange(len(case)) - first


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


class Layout:
    """Cells with the same controls and version together, the largest control group first, by group and time.

    Cells of one group in a set share the propensity, a *fit*.

    Attributes
    ----------
    order
        (K,) the cells in this order.
    cells
        The same as :class:`Comparisons`.
    fit
        (K,) number of the fit of each.
    first
        (F,) the first cell of each fit, as a position in ``order``.
    sets
        (first fit, last fit + 1, first cell, last cell + 1) of each set of controls.
    """

    def __init__(self, cells: Comparisons):
        self.order = np.lexsort((cells.t, cells.group, -cells.n_control, cells.version))
        self.cells = cells.take(self.order)
        key = np.stack([self.cells.version, self.cells.n_control, self.cells.group])
        changed = key[:, 1:] != key[:, :-1]
        new_set = np.concatenate([[True], changed[:2].any(axis=0)])
        new_fit = np.concatenate([[True], changed.any(axis=0)])
        self.fit = np.cumsum(new_fit) - 1
        self.first = np.flatnonzero(new_fit)
        heads = np.append(np.flatnonzero(new_set), len(self.order)).tolist()
        fits = [*self.fit[heads[:-1]].tolist(), len(self.first)]
        self.sets = list(zip(fits[:-1], fits[1:], heads[:-1], heads[1:]))


@dataclass(frozen=True)
class Reweighted:
    """F fits, and their cells in the order of a :class:`Layout`.

    ``coef`` (F, p); ``separated`` (F,); ``moments`` Σ w o x x' over controls and ``hessian`` of the logits (F, p, p);
    ``kish`` Σ (w o)² over controls and ``largest`` propensity among them (F,); ``change`` Σ w o x (y_t − y_b) over
    controls by cell (K, p).
    """

    coef: np.ndarray
    separated: np.ndarray
    moments: np.ndarray
    hessian: np.ndarray
    kish: np.ndarray
    largest: np.ndarray
    change: np.ndarray


def reweighted(panel: Panel, layout: Layout) -> Reweighted:
    """Fit all propensities and sum over the reweighted controls."""
    work = _Work(panel, layout)
    with np.errstate(over="ignore", invalid="ignore"):  # groups told apart from all others
        for first, last, *_ in layout.sets:
            work.controls(layout.first[first])
            for lo in range(first, last, work.at_once):
                work.fit(slice(lo, min(lo + work.at_once, last)))
        return work.at_maximum()


@dataclass(frozen=True)
class Monomials:
    """Products of three of p regressors, each once; the first regressor is one.

    Those with the constant come first: the first p are the regressors, the first p (p + 1) / 2 their products of two.
    ``two`` (p, p) and ``three`` (p, p, p) are positions, ``three`` is None when only products of two are formed.
    """

    two: np.ndarray
    three: np.ndarray | None
    factors: tuple[tuple[int, ...], ...]

    @staticmethod
    @cache
    def of(p: int) -> Monomials:
        """Positions for p regressors."""
        factors: list[tuple[int, ...]] = [(0, *pair) for pair in combinations_with_replacement(range(p), 2)]
        if p <= THIRD:
            factors += combinations_with_replacement(range(1, p), 3)
        place = {f: j for j, f in enumerate(factors)}

        def positions(n: int) -> np.ndarray:
            every = [place[(*(0,) * (3 - n), *sorted(f))] for f in product(range(p), repeat=n)]
            return np.array(every).reshape((p,) * n)

        return Monomials(positions(2), positions(3) if p <= THIRD else None, tuple(factors))

    def __len__(self) -> int:
        return len(self.factors)

    def values(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Weighted products of the rows of ``x`` (p, n): (len(self), n)."""
        p = len(x)
        out = np.empty((len(self), x.shape[1]))
        np.multiply(x, w, out=out[:p])
        for j, (a, b, c) in enumerate(self.factors[p:], start=p):
            np.multiply(out[self.two[a, b]], x[c], out=out[j])
        return out


class _Work:
    """Fits under way: what every pass over the data leaves behind, in tables of F fits by m monomials."""

    def __init__(self, panel: Panel, layout: Layout):
        p, n_units = panel.x.shape[1], len(panel.w)
        self.panel, self.layout, self.monomials = panel, layout, Monomials.of(p)
        n_fits, m = len(layout.first), len(self.monomials)
        cells = layout.cells
        self.group, self.version = cells.group[layout.first], cells.version[layout.first]
        self.n_control = cells.n_control[layout.first]
        self.at_once = min(rows_at_once(n_units), max(last - first for first, last, *_ in layout.sets))
        self.buffers = room(3, self.at_once * n_units)
        # at the coefficients ``tried``: Σ w p m, Σ w p² m and Σ w p³ m over the first units, Σ w o m over the controls
        self.sums = np.zeros((4, n_fits, m))
        self.squared = np.empty((n_fits, p))  # Σ (w o)² x over the controls
        pairs = p if self.monomials.three is None else min(-(-(p * (p + 1) // 2) // 4) * 4, m)  # fours are quickest
        self.change = np.empty((len(layout.order), pairs))  # Σ w o (y_t − y_b) m over the controls of a cell
        self.top = np.empty(n_fits, dtype=np.int64)  # control with the largest odds
        self.coef, self.tried, self.last = np.empty((3, n_fits, p))
        self.before = np.zeros((n_fits, p, p))  # Hessian where the last step began
        self.separated = np.zeros(n_fits, dtype=bool)
        self.latest = np.full(len(panel.start), -1)  # the last fit of each group that the next may start from
        self.mass = np.concatenate([[0.0], np.cumsum(panel.w)])
        self.spans = list(zip(panel.start.tolist(), panel.stop.tolist()))
        self.x = np.empty((p, 0))
        self.now = -1  # version of x
        self.treated: tuple[bytes, np.ndarray, Treated] | None = None

    def controls(self, cell: int) -> None:
        """Turn to the controls of a cell."""
        self.n = int(self.layout.cells.n_control[cell])
        version = int(self.layout.cells.version[cell])
        if version != self.now:
            self.now, self.x, self.treated = version, self.panel.x[version], None
            self.columns = self.monomials.values(self.x, self.panel.w)
            self.squares = self.columns[: len(self.x)] * self.panel.w
            self.reach = np.abs(self.x).max(axis=1)

    def fit(self, fits: slice) -> None:
        """Fit some propensities with the controls at hand, and sum over these."""
        n, groups = self.n, self.group[fits]
        unit, treated = self._treated(groups)
        coef = self._begin(groups, treated)
        odds, prob, square = (v[: len(coef) * n].reshape(len(coef), n) for v in self.buffers)
        x, columns, two = self.x[:, :n], self.columns[:, :n].T, self.monomials.two
        one_p, two_p, three_p, with_odds = (s[fits] for s in self.sums)
        tried = self.tried[fits]

        def shared(some: np.ndarray, cases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            whole = len(cases) == len(tried)
            o, q, s = (odds, prob, square) if whole else np.empty((3, len(cases), n))
            np.matmul(some, x, out=o)
            if (np.abs(some) @ self.reach).max() > LARGE:
                np.minimum(o, LARGE, out=o)
            np.exp(o, out=o)
            np.add(o, 1.0, out=q)
            np.divide(o, q, out=q)
            np.multiply(q, q, out=s)
            if not whole:
                odds[cases], prob[cases], square[cases] = o, q, s
            ones, twos = q @ columns, s @ columns
            tried[cases], one_p[cases], two_p[cases] = some, ones, twos
            return ones[:, : len(x)], (ones - twos)[:, two]

        def alone(k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            own = unit[treated.case == k]
            rows = np.union1d(np.arange(n), own)
            return self.x[:, rows], np.isin(rows, own).astype(float), self.panel.w[rows]

        self.last[fits], self.before[fits], self.separated[fits] = newton(coef, treated, shared, alone)
        self.coef[fits] = coef
        if self.monomials.three is None or (np.abs(coef - tried) @ self.reach).max() > NEAR:
            shared(coef, np.arange(len(coef)))
        else:
            square *= prob
            np.matmul(square, columns, out=three_p)
        for k, group in enumerate(groups.tolist()):
            first, last = self.spans[group]
            odds[k, first : min(last, n)] = 0.0
        np.matmul(odds, columns, out=with_odds)
        np.multiply(odds, odds, out=square)
        for j, column in enumerate(self.squares[:, :n]):  # a few columns are quickest one by one
            np.matmul(square, column, out=self.squared[fits, j])
        self.top[fits] = odds.argmax(axis=1)
        self.latest[groups] = np.arange(fits.start, fits.stop)
        sure = treated.log_odds(coef) > SURE
        if sure.any():
            self.latest[groups[treated.case[sure]]] = -1
        self._change(fits, odds, columns)

    def _change(self, fits: slice, odds: np.ndarray, columns: np.ndarray) -> None:
        """Sums over the controls of odds times the change of the outcome."""
        fit, cells, y, n = self.layout.fit, self.layout.cells, self.panel.y, self.n
        first, last = np.searchsorted(fit, (fits.start, fits.stop)).tolist()
        one_each = last - first == len(odds)
        for lo in range(first, last, self.at_once):
            now = slice(lo, min(lo + self.at_once, last))
            wide = self.buffers[1:, : (now.stop - lo) * y.shape[1]].reshape(2, -1, y.shape[1])
            t, b = cells.t[now], cells.b[now]
            before = np.take(y, b, axis=0, out=wide[0], mode="clip")[:, :n]
            same = (t == t[0]).all()
            after = y[t[0], :n] if same else np.take(y, t, axis=0, out=wide[1], mode="clip")[:, :n]
            change = np.subtract(after, before, out=before)
            room_ = wide[1].ravel()[: change.size].reshape(change.shape)
            change *= odds if one_each else np.take(odds, fit[now] - fits.start, axis=0, out=room_, mode="clip")
            np.matmul(change, columns[:, : self.change.shape[1]], out=self.change[now])

    # ---- where to begin ------------------------------------------------------------------------------------------
    def _treated(self, groups: np.ndarray) -> tuple[np.ndarray, Treated]:
        """Units of the groups, and the same as successes; those at hand when the groups are the same."""
        key = groups.tobytes()
        if self.treated is None or self.treated[0] != key:
            case, unit = self.panel.members(groups)
            self.treated = key, unit, Treated(case, self.x[:, unit], self.panel.w[unit], unit >= self.n)
        else:
            self.treated[2].outside = self.treated[1] >= self.n
        return self.treated[1:]

    def _begin(self, groups: np.ndarray, treated: Treated) -> np.ndarray:
        """Coefficients to start from."""
        last = self.latest[groups]
        n = self.n_control[last]
        if (last >= 0).all() and (n == n[0]).all() and n[0] > self.n and (self.version[last] == self.now).all():
            return self._without(groups, last, slice(self.n, int(n[0])))
        coef = treated.cold(self.mass[self.n])
        known = np.flatnonzero(last >= 0)
        if len(known):
            mine, fits = groups[known], last[known]
            more = np.log(self._controls(mine, n[known]) / self._controls(mine, np.full(len(mine), self.n)))
            coef[known] = self.coef[fits]
            coef[known, 0] += more
        return coef

    def _controls(self, groups: np.ndarray, n: np.ndarray) -> np.ndarray:
        """Mass of the first ``n`` units less the group's own."""
        start, stop = self.panel.start[groups], self.panel.stop[groups]
        own = np.where(start < n, self.mass[stop] - self.mass[start], 0.0)
        return np.maximum(self.mass[n] - own, 1e-300)

    def _without(self, groups: np.ndarray, last: np.ndarray, gone: slice) -> np.ndarray:
        """Newton's step from the last maximum when the units ``gone`` leave, from sums over these alone.

        The step is taken in the odds: with m its value at the controls' mean, odds rise by the factor 1 + m there.
        """
        two = self.monomials.two
        coef, mean = self.coef[last], self.sums[3, last, : len(two)]
        odds = np.exp(coef @ self.x[:, gone])
        prob = odds / (1.0 + odds)
        for k, group in enumerate(groups.tolist()):
            first, stop = self.spans[group]
            if gone.start <= first < gone.stop:
                prob[k, first - gone.start : stop - gone.start] = 0.0
        columns = self.columns[: two.max() + 1, gone].T
        score = prob @ columns
        prob *= prob
        hessian = self.before[last] - (score - prob @ columns)[:, two]
        step, _ = solve_each(hessian, score[:, : len(two)])
        m = np.maximum(np.einsum("kp,kp->k", step, mean) / mean[:, 0], -0.5)
        rise = 1.0 + m
        coef += step / rise[:, None]
        coef[:, 0] += np.log(rise) - m / rise
        return coef

    # ---- at the maximum ------------------------------------------------------------------------------------------
    def at_maximum(self) -> Reweighted:
        """Move all sums from the coefficients tried last to the maximum."""
        two, three, p = self.monomials.two, self.monomials.three, len(self.x)
        case, unit = self.panel.members(self.group)
        x = self.panel.x[self.version[case], :, unit].T
        treated = Treated(case, x, self.panel.w[unit], unit >= self.n_control[case])
        separated = self.separated | treated.told_apart(self.coef, self.last, self.before)
        moved = np.where(separated[:, None], 0.0, self.coef - self.tried)
        one, squares, cubes, with_odds = self.sums
        moments, hessian, change = with_odds[:, two], (one - squares)[:, two], self.change[:, :p]
        if three is not None:
            slope = one - 3.0 * squares + 2.0 * cubes
            moments += np.einsum("kabc,kc->kab", with_odds[:, three], moved)
            hessian += np.einsum("kabc,kc->kab", slope[:, three], moved)
            change = change + np.einsum("kab,kb->ka", self.change[:, two], moved[self.layout.fit])
        hessian += treated.sums(self.coef)[1]
        hessian[separated] = np.eye(p)
        kish = self.squared[:, 0] + 2.0 * np.einsum("kp,kp->k", self.squared, moved)
        top = np.einsum("kp,kp->k", self.coef, self.panel.x[self.version, :, self.top])
        return Reweighted(self.coef, separated, moments, hessian, kish, 1.0 / (1.0 + np.exp(-top)), change)
