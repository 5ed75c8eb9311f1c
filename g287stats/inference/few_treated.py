"""Few treated units: learn the noise from the controls (Conley and Taber 2011; Ferman and Pinto 2019).

Cluster-robust standard errors need many treated units. With one or a few, the estimate is not consistent, but its
distribution is that of treated units' noise, which the many controls reveal — if noise is alike across units
(Conley and Taber) or differs through size only (Ferman and Pinto). Both papers speak of groups, the level at which
treatment is given: where whole clusters of units are treated, noise is that of cluster means.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

from g287stats.arguments import documented
from g287stats.design.prepare import Design
from g287stats.errors import DesignError, InferenceWarning, caution, first_of
from g287stats.estimate.estimate import Estimate
from g287stats.inference.assignment import Paths, treatment_paths
from g287stats.numerics.inversion import invert, warn_unbounded
from g287stats.regression.fitted import Fitted, fitted, static_effect
from g287stats.shown import Shown


@dataclass(frozen=True)
class FewTreated(Shown):
    """Inference with few treated units.

    Attributes
    ----------
    term, outcome, estimate
        The difference-in-differences coefficient, in units of the outcome.
    p_value
        Two-sided p-value of no effect.
    conf_low, conf_high
        Interval at ``level``; missing when not asked for.
    assign_by, n_treated, n_controls
        Level at which treatment was given, and how many groups of it are treated and how many are controls.
    draws, enumerated, seed
        Number of draws, whether they are all combinations of controls, and how they were drawn.
    drawn
        Simulated deviations of the estimate from the truth, (draws,).
    variance
        Ferman–Pinto: coefficients ``A`` and ``B`` of var(W) = A + B/size; else empty.
    """

    method: str
    term: str
    outcome: str
    estimate: float
    p_value: float
    conf_low: float
    conf_high: float
    level: float
    assign_by: str
    n_treated: int
    n_controls: int
    draws: int
    enumerated: bool
    seed: int | None
    variance: dict[str, float]
    drawn: np.ndarray = field(repr=False)

    @property
    def sd(self) -> float:
        """Standard deviation of the simulated deviations."""
        return float(self.drawn.std(ddof=1))

    def tidy(self) -> pd.DataFrame:
        """One row."""
        return super().tidy().assign(**self.variance)

    def _words(self) -> str:
        how = "all" if self.enumerated else f"{self.draws:,} draws of"
        return (
            f"{self.term}: {self.estimate:.4g}, {self.method} p = {self.p_value:.4g}, {100 * self.level:g} % interval "
            f"[{self.conf_low:.4g}, {self.conf_high:.4g}] "
            f"({self.n_treated} {self.assign_by!r} treated, {how} {self.n_controls} controls)"
        )


@documented()
def conley_taber(
    est: Estimate,
    *,
    draws: int = 999,
    positions: np.ndarray | None = None,
    assign_by: str | None = None,
    level: float = 0.95,
    seed: int = 287,
) -> FewTreated:
    """Conley–Taber inference: deviations of the estimate simulated from residuals of the controls.

    Each draw gives every treated group's adoption path to the residuals of an independently drawn control:

        a* = Σ_j n_j Σ_t (d_jt − d̄_j) η_l(j),t / Σ_j n_j Σ_t (d_jt − d̄_j)²,

    with η the group means of the residuals of the regression that includes the treatment and n_j the number of units
    in the group (one where groups are units), the weight it has in the estimate. Reject no effect when ``|a*|`` is
    rarely as large as ``|a|``; the interval subtracts quantiles of ``a*`` (inverted distribution function) from the
    estimate.

    Parameters
    ----------
    est
        ``g.twfe`` with unit and period effects (covariates allowed) on a complete, unweighted panel.
    draws
        Number of draws; when controls^treated is at most that many, all combinations are used.
    positions
        Stored draws: rows of zero-based positions in the label-ordered list of controls, column j for the j-th
        treated group.
    assign_by
        Level at which treatment was given, as in :func:`g287stats.randomization_test`: by default the cluster level of
        the estimate when all units of every cluster have the same path, otherwise the unit.

    Notes
    -----
    Assumes noise that is alike in treated and control groups: with counties, or clusters, of very different size use
    :func:`ferman_pinto`. Needs many controls, and warns where leaving out the noise of their mean makes a 5 % test
    reject more than 7 % of true nulls.

    References
    ----------
    Conley, T. and Taber, C. (2011). Inference with "difference in differences" with a small number of policy
    changes. Review of Economics and Statistics 93, 113–125.
    """
    f, paths = _few(est, "Conley–Taber inference", assign_by)
    residual = _group_means(f.fit.residual.reshape(f.design.n_units, f.design.n_periods), paths)
    treated, controls = paths.treated, np.flatnonzero(paths.of_group == 0)
    path = paths.table[paths.of_group[treated]]
    centred = path - path.mean(axis=1, keepdims=True)
    weighted = centred * paths.n_units[treated, None]
    score = residual[controls] @ weighted.T / (weighted * centred).sum()
    k = len(treated)
    if k > len(controls):
        raise DesignError(
            f"{k} {paths.assign_by!r} treated and {len(controls)} controls: Conley–Taber needs many controls"
        )
    _warn_few_controls(k, len(controls), paths.assign_by)
    enumerated = positions is None and k * math.log(len(controls)) <= math.log(draws)
    if positions is not None:
        chosen = _stored(positions, k, len(controls), f"treated {paths.assign_by!r}", "controls")
    elif enumerated:
        chosen = np.array(list(product(range(len(controls)), repeat=k)))
    else:
        chosen = np.random.default_rng(seed).integers(0, len(controls), (draws, k))
    deviations = score[chosen, np.arange(k)].sum(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(deviations, [tail, 1 - tail], method="inverted_cdf")
    return FewTreated(
        method="Conley–Taber",
        term=f.term,
        outcome=est.outcome,
        estimate=f.estimate,
        p_value=_share(deviations, f.estimate),
        conf_low=f.estimate - float(high),
        conf_high=f.estimate - float(low),
        level=level,
        assign_by=paths.assign_by,
        n_treated=k,
        n_controls=len(controls),
        draws=len(deviations),
        enumerated=enumerated,
        seed=None if enumerated or positions is not None else seed,
        variance={},
        drawn=deviations,
    )


@documented()
def ferman_pinto(
    est: Estimate,
    size: pd.Series | None = None,
    *,
    draws: int = 999,
    positions: np.ndarray | None = None,
    assign_by: str | None = None,
    level: float = 0.95,
    seed: int = 287,
    ci: bool = True,
) -> FewTreated:
    """Ferman–Pinto inference: as Conley–Taber, for noise whose variance falls with the group's size.

    With one adoption date and W_j the change from before to after of the mean of group j (a unit, or a cluster of
    units treated together) less the mean change of all units (the null imposed), var(W_j) = A + B/size_j is fitted by
    least squares of W² on (1, 1/size); a negative coefficient is set to zero and the other refitted. With one treated
    group the controls' W, rescaled to its variance, are its reference distribution. With several, residuals of all
    groups are normalised, drawn with replacement, rescaled, and the estimate recomputed, groups weighted by their
    number of units.

    Parameters
    ----------
    est
        ``g.twfe`` with unit and period effects only, one adoption date, on a complete, unweighted panel.
    size
        Size by unit (population, residents): a Series indexed by unit labels, positive, summed over the units of a
        group. Left out where groups are clusters of units: the number of units, right for noise that is that of the
        cluster (A) and of each unit alike (B).
    positions
        Stored draws: rows of zero-based positions in the label-ordered list of groups, a column each.
    assign_by
        Level at which treatment was given, as in :func:`conley_taber`.
    ci
        Invert the test; constant effects not rejected at 1 − ``level``.

    References
    ----------
    Ferman, B. and Pinto, C. (2019). Inference in differences-in-differences with few treated groups and
    heteroskedasticity. Review of Economics and Statistics 101, 452–467.
    """
    f, paths = _few(est, "Ferman–Pinto inference", assign_by)
    design = f.design
    if f.fit.bread.shape != (1, 1):
        raise DesignError(
            "Ferman–Pinto inference is for a regression without covariates: residualise the outcome first"
        )
    if len(paths.table) != 2:
        raise DesignError(
            f"Ferman–Pinto inference needs one adoption date; the panel has {len(paths.table) - 1} treatment paths. "
            "Use g.conley_taber or g.randomization_test, or one cohort at a time"
        )
    m = _sizes(size, design, paths)
    n, n_units = len(paths.of_group), paths.n_units
    post = paths.table[1] > 0
    if np.diff(post.astype(int)).min() < 0:
        raise DesignError("Ferman–Pinto inference needs a treatment that stays on")
    y = _group_means(design.y.reshape(design.n_units, design.n_periods), paths)
    change = y[:, post].mean(axis=1) - y[:, ~post].mean(axis=1)
    treated = paths.of_group > 0
    k = int(treated.sum())
    if positions is not None:
        chosen = _stored(positions, n, n, repr(paths.assign_by), "all of them")
    elif k > 1:
        chosen = np.random.default_rng(seed).integers(0, n, (draws, n))
    else:
        chosen = np.empty((0, n), dtype=np.int64)
    weight = np.where(treated, n_units / n_units[treated].sum(), -n_units / n_units[~treated].sum())
    estimate = float(weight @ change)

    def test(null: float) -> tuple[float, np.ndarray, tuple[float, float]]:
        w = change - null * treated
        w = w - np.average(w, weights=n_units)
        a, b = _variance(w, m)
        sd = np.sqrt(a + b / m)
        normal = w / sd
        if k == 1:
            reference = float(w[treated][0])
            stat = normal[~treated] * sd[treated][0]
            return _share(np.r_[stat, reference], reference), stat, (a, b)
        stat = normal[chosen] @ (sd * weight)
        return _share(stat, estimate - null), stat, (a, b)

    p, deviations, (a, b) = test(0.0)
    interval = (np.nan, np.nan)
    if ci:
        step = float(np.std(deviations)) or abs(estimate) or 1.0
        interval = (
            invert(lambda v: test(v)[0], estimate, -step, 1 - level),
            invert(lambda v: test(v)[0], estimate, step, 1 - level),
        )
        warn_unbounded(interval, f.term, f"{n - k} controls", level)
    return FewTreated(
        method="Ferman–Pinto",
        term=f.term,
        outcome=est.outcome,
        estimate=estimate,
        p_value=p,
        conf_low=interval[0],
        conf_high=interval[1],
        level=level,
        assign_by=paths.assign_by,
        n_treated=k,
        n_controls=n - k,
        draws=len(deviations),
        enumerated=k == 1,
        seed=None if k == 1 or positions is not None else seed,
        variance={"A": a, "B": b},
        drawn=deviations,
    )


def _variance(w: np.ndarray, size: np.ndarray) -> tuple[float, float]:
    """Least squares of w² on (1, 1/size) with non-negative coefficients."""
    z = np.column_stack([np.ones(len(size)), 1 / size])
    a, b = np.linalg.lstsq(z, w**2, rcond=None)[0]
    if b < 0:
        return float((w**2).mean()), 0.0
    if a < 0:
        return 0.0, float((w**2 @ z[:, 1]) / (z[:, 1] @ z[:, 1]))
    return float(a), float(b)


def _share(draws: np.ndarray, observed: float) -> float:
    """Share of draws at least as large in absolute value, ties (relative 1e-12) counted."""
    return float((np.abs(draws) >= abs(observed) * (1 - 1e-12)).mean())


def _group_means(values: np.ndarray, paths: Paths) -> np.ndarray:
    """Means over the units of each group, (G, T), of values by unit, (N, T)."""
    out = np.zeros((len(paths.of_group), values.shape[1]))
    np.add.at(out, paths.group, values)
    return out / paths.n_units[:, None]


def _warn_few_controls(k: int, m: int, name: str) -> None:
    """Warn where the noise of the controls' mean, which Conley–Taber draws leave out, is not small.

    With alike noise the estimate has variance σ²(1/k + 1/m), and draws σ²(1 − 1/m)/k with σ² learned from m controls.
    """
    ratio = math.sqrt((1 + k / m) * m / (m - 1)) if m > 1 else math.inf
    size = 2 * stats.t.sf(stats.norm.ppf(0.975) / ratio, max(m - 1, 1))
    if size > 0.07:
        caution(
            f"Conley–Taber draws leave out the noise of the controls' mean: with {k} treated and {m} control "
            f"{name!r} a 5 % test rejects about {100 * size:.0f} % of true nulls (normal noise). See "
            'g.ferman_pinto, g.randomization_test(statistic="t")',
            InferenceWarning,
        )


def _few(est: Estimate, what: str, assign_by: str | None) -> tuple[Fitted, Paths]:
    """The regression and its treatment paths; refuses what the formulas do not cover."""
    static_effect(est, what, "any estimator can be given to g.placebo_test")
    f = fitted(est, None, what)
    design, p = f.design, f.projection
    if p.weights is not None or len(p.codes) > 1 or p.rank != design.n_units + design.n_periods - 1:
        raise DesignError(f"{what} is for unweighted regressions with unit and period effects only")
    if design.n != design.n_units * design.n_periods:
        raise DesignError(
            f"{what} needs a complete panel: {design.n_units} units × {design.n_periods} periods are "
            f"{design.n_units * design.n_periods} rows, {design.n} are there. Keep the units observed throughout, "
            "or use g.randomization_test"
        )
    return f, treatment_paths(est, f, assign_by)


def _stored(positions: np.ndarray, width: int, n: int, columns: str, pool: str) -> np.ndarray:
    chosen = np.asarray(positions, dtype=np.int64)
    if chosen.ndim != 2 or chosen.shape[1] != width:
        raise DesignError(f"positions must have {width} columns, one per {columns}; got shape {chosen.shape}")
    if chosen.min() < 0 or chosen.max() >= n:
        raise DesignError(f"positions must lie between 0 and {n - 1} ({pool})")
    return chosen


def _sizes(size: pd.Series | None, design: Design, paths: Paths) -> np.ndarray:
    """Sizes of the groups in their order; every problem in one message."""
    if size is None and len(paths.of_group) < design.n_units:
        return paths.n_units.astype(float)
    if not isinstance(size, pd.Series):
        raise DesignError(f'size= is a Series by unit: df.groupby({design.unit_name!r})["population"].mean()')
    if not size.index.is_unique:
        raise DesignError("size= has repeated unit labels")
    values = size.reindex(design.unit_labels).to_numpy(dtype=float, na_value=np.nan)
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        names = first_of(design.unit_labels[bad])
        raise DesignError(f"size= is missing or not positive for {int(bad.sum())} units: {names}")
    return np.bincount(paths.group, values)
