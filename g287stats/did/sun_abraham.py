"""Interaction-weighted event study (Sun and Abraham 2021).

    y_it = Σ_g Σ_{e ≠ ref} δ_{g,e} 1{g_i = g} 1{t − g = e} + x_it'β + α_i + λ_t + ε_it

with never-treated units (or the last cohort, before it is treated) as controls. The regression is saturated in
cohort × period, so it falls apart into one two-way regression per cohort: with ``μ_c`` the period effects of cohort
c and 0 the controls,

    δ_{g,e} = (μ_{g,g+e} − μ_{g,g+ref}) − (μ_{0,g+e} − μ_{0,g+ref}),

exactly, also with weights and gaps. With a linear trend in every unit, leads and lags of a cohort add up to a trend,
so that effects are relative to the line through two reference periods: μ_{g,g+e} less its interpolation between them,
for the cohort and for the controls. Nothing of the size rows × parameters is ever formed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from g287stats.arguments import documented
from g287stats.design.coding import reference_times
from g287stats.design.keys import Data
from g287stats.design.prepare import Design
from g287stats.design.wide import dated, labelled
from g287stats.errors import DesignError, IdentificationError, first_of
from g287stats.estimate.covariance import SmallSample
from g287stats.estimate.degenerate import ALONE
from g287stats.estimate.estimate import Cells, Estimate, Method
from g287stats.estimate.factored import FactoredInfluence, Term
from g287stats.estimate.fit import Averages
from g287stats.numerics.least_squares import Factor, LeastSquares
from g287stats.numerics.within import Projection, absorb
from g287stats.regression.event import FITS, chosen_options, plain, prepare_regression
from g287stats.regression.first_stage import fitted_values, unit_levels
from g287stats.regression.regression import (
    Block,
    Regression,
    by_time,
    clustered,
    parameter_count,
    regress,
    tell,
    unit_keys,
)

METHOD = Method(
    "sun_abraham",
    "Interaction-weighted event study (Sun and Abraham)",
    (
        "Sun, L., and Abraham, S. (2021). Estimating dynamic treatment effects in event studies with heterogeneous "
        "treatment effects. Journal of Econometrics 225(2), 175–199. doi:10.1016/j.jeconom.2020.09.006",
    ),
)


@documented()
def sun_abraham(
    data: Data,
    outcome: str,
    *,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    control: Literal["never", "last"] = "never",
    reference: int | Sequence[int] = -1,
    covariates: Sequence[str] = (),
    covariates_by_time: Sequence[str] = (),
    fixed_effects: Sequence[str | tuple[str, ...]] = (),
    unit_trends: bool = False,
    weights: str | None = None,
    cluster: str | Sequence[str] | None = None,
    small_sample: SmallSample = "nonnested",
) -> Estimate:
    """Cohort × period effects from the interacted regression, to be aggregated.

    Parameters
    ----------
    control
        ``never``: units never treated (or first treated after the panel). ``last``: the last cohort to be treated;
        periods from its treatment on are set aside, as in the paper.
    reference
        Event time each cohort is normalised at, or several.
    unit_trends
        Add a linear trend for every unit; needs two references, ``reference=(-1, -4)``, because a cohort's leads and
        lags otherwise add up to its units' trends.
    covariates, covariates_by_time, fixed_effects
        Common to all cohorts. Further fixed effects, and more references than are needed, take the general regression,
        with one column per effect.
    cluster
        Column, or two columns, of the clusters, which must contain units; default the unit.

    Returns
    -------
    Estimate
        One parameter per cohort and period, in outcome units; ``overall`` is the average over treated rows and
        ``.aggregate("event" | "cohort" | "calendar")`` weights by (weighted) rows, as fixest's ``sunab``. Cohorts
        without a reference period (always treated) are left out and counted; effects without a valid comparison
        are listed in ``notes``. Wild bootstrap, CR2 and CR3 take any effect, and the averages by event time, cohort and
        calendar time, through the interacted regression, which they form when it is not too large.

    References
    ----------
    Sun and Abraham (2021), equations (24)–(26); weights are treated as fixed.
    """
    keys = {"unit": unit, "time": time, "cohort": cohort, "treatment": treatment}
    design = prepare_regression(data, outcome, keys, covariates, covariates_by_time, weights, cluster, fixed_effects)
    references = reference_times(reference)
    if len(references) < 1 + unit_trends:
        raise IdentificationError(
            "with unit_trends a cohort's leads and lags add up to its units' trends: give two references, "
            "reference=(-1, -4)"
        )
    design, is_control, notes = _comparison(design, control, references)
    levels = unit_levels(design, cluster)
    groups = _groups(design, is_control, unit_trends)
    plan, dropped = _plan(design, groups, references, 1 + unit_trends)
    notes += dropped
    tell(design, notes)
    interacted = Interacted(design, plan, tuple(covariates), tuple(covariates_by_time), unit_trends, not dropped)
    if fixed_effects or len(references) > 1 + unit_trends:
        point, influence, n_more = general(interacted)
    else:
        point, influence, n_more = by_cohort(design, groups, plan, covariates, covariates_by_time, unit_trends)
    n_regressors = len(plan.frame) + n_more
    rule = clustered(
        design,
        levels,
        small_sample,
        lambda at, convention: parameter_count(design, n_regressors, at, convention, unit_trends=unit_trends),
    )
    estimate = Estimate(
        labels=plan.frame[["term", "cohort", "time", "event_time"]],
        point=point,
        influence=influence,
        rule=rule,
        kind="group_time",
        method=METHOD,
        outcome=outcome,
        sample=design.sample(),
        floor=design.rounding,
        options={"control": control, "reference": plain(references)}
        | chosen_options(covariates, covariates_by_time, fixed_effects, unit_trends, weights),
        cells=Cells(plan.frame[["cohort", "time", "event_time", "mass"]]),
        reference=references,
        notes=tuple(dict.fromkeys((*design.notes, *notes))),
        provenance=design.provenance,
        regression=interacted,
        averages=Averages(tuple(plan.frame["term"])),
    )
    mass = np.where(plan.event >= 0, plan.frame["mass"].to_numpy(), 0.0)
    if not mass.any():
        return estimate
    return replace(estimate, overall=estimate.combine(mass[None, :] / mass.sum(), ["att"], kind="simple"))


# ---- who is compared with whom --------------------------------------------------------------------------------------
def _comparison(design: Design, control: str, references: tuple[int, ...]) -> tuple[Design, np.ndarray, list[str]]:
    """Set aside cohorts without a reference period (and, for the last cohort, its treated periods)."""
    if control not in ("never", "last"):
        raise DesignError(f"control={control!r}: choose 'never' or 'last'")
    design = dated(design, FITS)
    notes = []
    inside = design.cohort < design.n_periods
    if not inside.any():
        raise IdentificationError("no unit is treated inside the panel")
    if len(np.unique(design.cohort)) == 1 and inside.all():
        raise IdentificationError(f"{design.outcome}: {ALONE}")
    if control == "last":
        last = int(design.cohort[inside].max())
        label = design.period_label(last)
        is_last = design.cohort == last
        keep = (design.time < last) & (inside[design.unit])
        notes.append(
            f"cohort {label} ({int(is_last.sum())} units) is the control; periods from {label} on are left out"
        )
        design = design.restrict(keep, f"control cohort: never treated, or from {label} on")
        is_control = design.cohort == last
    else:
        is_control = ~inside
        if not is_control.any():
            raise IdentificationError(
                'no never-treated unit: use control="last" (the last cohort as control), or g.imputation / '
                'g.att_gt(control="notyet"), which use not-yet-treated units'
            )
    observed = np.bincount(design.time, minlength=design.n_periods) > 0
    usable = ~is_control
    for e in references:
        at = np.where(usable, design.cohort + e, 0)
        inside = (at >= 0) & (at < design.n_periods)
        usable &= inside & observed[np.where(inside, at, 0)]
    out = ~usable & ~is_control
    times = " and ".join(map(str, references))
    if out.any():
        n_cohorts = len(np.unique(design.cohort[out]))
        notes.append(
            f"{int(out.sum())} units in {n_cohorts} cohorts have no period at event time {times} "
            f"and are left out, {_share(design, out)}: {labelled(design, out)}"
        )
        is_control = is_control[~out]
        design = design.restrict(~out[design.unit], f"cohort has no period at event time {times}")
    if is_control.all():
        raise IdentificationError("no treated cohort has a reference period: nothing to estimate")
    return design, is_control, notes


def _share(design: Design, units: np.ndarray) -> str:
    """Words for the share of (weighted) treated rows that units, a boolean mask, hold."""
    treated = design.time >= design.cohort[design.unit]
    w = treated * (1.0 if design.weights is None else design.weights)
    total = float(w.sum())
    return f"{100 * float(w[units[design.unit]].sum()) / total if total else 0.0:.3g} % of the treated rows"


@dataclass(frozen=True)
class _Group:
    """One cohort (or the controls): its units, rows and absorbed two-way effects."""

    cohort: int
    units: np.ndarray
    rows: np.ndarray
    projection: Projection


def _groups(design: Design, is_control: np.ndarray, unit_trends: bool) -> list[_Group]:
    """The controls first, then the cohorts in order."""
    label = np.where(is_control, -1, design.cohort)
    found, by_unit = np.unique(label, return_inverse=True)
    by_unit = by_unit.reshape(-1)
    local = np.empty(design.n_units, dtype=np.int64)
    members = []
    for g in range(len(found)):
        units = np.flatnonzero(by_unit == g)
        local[units] = np.arange(len(units))
        members.append(units)
    by_row = by_unit.astype(np.int16 if len(found) < 32_000 else np.int64)[design.unit]
    order = np.argsort(by_row, kind="stable")
    pieces = np.split(order, np.cumsum(np.bincount(by_row, minlength=len(found)))[:-1])
    return [
        _Group(
            int(found[g]),
            units,
            rows,
            absorb(
                local[design.unit[rows]],
                design.time[rows],
                n_units=len(units),
                n_periods=design.n_periods,
                weights=None if design.weights is None else design.weights[rows],
                trends=design.time[rows].astype(float) if unit_trends else None,
            ),
        )
        for g, (units, rows) in enumerate(zip(members, pieces))
    ]


@dataclass(frozen=True)
class _Plan:
    """The parameters: cohort, period and event time of each, the combination of period effects it is, their table.

    ``at`` and ``share`` (k, references): an effect is ``μ[time] − Σ share · μ[at]``, cohort less controls.
    """

    group: np.ndarray
    time: np.ndarray
    at: np.ndarray
    share: np.ndarray
    event: np.ndarray
    frame: pd.DataFrame

    def relative(self, mu: np.ndarray, group: np.ndarray | int) -> np.ndarray:
        """The combination of period effects ``mu`` (groups, periods, …) for every parameter."""
        which = np.broadcast_to(group, len(self.time))
        out = mu[which, self.time]
        for at, share in zip(self.at.T, self.share.T):
            out = out - mu[which, at] * share.reshape(-1, *[1] * (mu.ndim - 2))
        return np.asarray(out)

    def contrast(self, here: np.ndarray, n_periods: int) -> np.ndarray:
        """The combinations of the parameters ``here`` as columns (periods, parameters)."""
        out = np.zeros((n_periods, len(here)))
        columns = np.arange(len(here))
        out[self.time[here], columns] = 1.0
        for at, share in zip(self.at[here].T, self.share[here].T):
            out[at, columns] -= share
        return out


def _interpolation(n_periods: int, at: np.ndarray) -> np.ndarray:
    """Weights of the reference periods in each period: one, or two on the line through them: (T, len(at))."""
    if len(at) == 1:
        return np.ones((n_periods, 1))
    along = (np.arange(n_periods) - at[0]) / (at[1] - at[0])
    return np.column_stack([1 - along, along])


def _linked(projection: Projection, at: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Which periods' effects the sample determines relative to the references: boolean (T,)."""
    null = projection._null[0]
    seen = projection.level_weight[0] > 0
    return np.asarray(seen & seen[at].all() & (np.abs(null - share @ null[at]) < 1e-6).all(axis=1))


def _plan(design: Design, groups: list[_Group], references: tuple[int, ...], needed: int) -> tuple[_Plan, list[str]]:
    """Every cohort × period effect with a valid comparison; the others in a note."""
    controls = groups[0].projection
    group, time, anchors, shares, mass, lost, lost_mass = [], [], [], [], [], [], 0.0
    links: dict[int, np.ndarray] = {}
    for g, member in enumerate(groups[1:], start=1):
        every = member.cohort + np.array(references)
        ref = every[:needed]
        share = _interpolation(design.n_periods, ref)
        if member.cohort not in links:
            links[member.cohort] = _linked(controls, ref, share)
        weight = member.projection.level_weight[0]
        known = _linked(member.projection, ref, share) & links[member.cohort]
        wanted = weight > 0
        wanted[every] = False
        gone = np.flatnonzero(wanted & ~known)
        lost += [(member.cohort, t) for t in gone]
        lost_mass += float(weight[gone[gone >= member.cohort]].sum())
        shown = np.flatnonzero(wanted & known)
        group.append(np.full(len(shown), g))
        time.append(shown)
        anchors.append(np.broadcast_to(ref, (len(shown), needed)))
        shares.append(share[shown])
        mass.append(weight[shown])
    notes = []
    if lost:
        kept = sum(float(m[t >= groups[g[0]].cohort].sum()) for g, t, m in zip(group, time, mass) if len(g))
        part = 100 * lost_mass / (lost_mass + kept) if lost_mass else 0.0
        shown_names = first_of(f"({design.period_label(c)}, {design.calendar[int(t)]})" for c, t in lost)
        notes.append(
            f"{len(lost)} cohort × period effects have no valid comparison and are left out of every average, "
            f"{part:.3g} % of the treated rows: {shown_names}"
        )
    which, t = np.concatenate(group), np.concatenate(time)
    if not len(which):
        raise IdentificationError("no cohort × period effect has a valid comparison")
    cohort = np.array([m.cohort for m in groups])[which]
    names = {p: design.period_label(p) for p in sorted({*cohort.tolist(), *t.tolist()})}
    cohort_labels, time_labels = [names[c] for c in cohort.tolist()], [names[p] for p in t.tolist()]
    frame = pd.DataFrame(
        {
            "term": [f"att({c},{p})" for c, p in zip(cohort_labels, time_labels)],
            "cohort": cohort_labels,
            "time": time_labels,
            "event_time": (t - cohort).astype(int),
            "mass": np.concatenate(mass),
        }
    )
    return _Plan(which, t, np.concatenate(anchors), np.concatenate(shares), t - cohort, frame), notes


# ---- two ways to the same numbers -----------------------------------------------------------------------------------
def by_cohort(
    design: Design,
    groups: list[_Group],
    plan: _Plan,
    covariates: Sequence[str],
    by_period: Sequence[str],
    unit_trends: bool,
) -> tuple[np.ndarray, FactoredInfluence, int]:
    """Effects and influence from one two-way regression per cohort; returns also the number of covariates."""
    y, terms, slopes, n_more = design.rows.less_first(design.y), [], None, 0
    everyone, everything = np.arange(design.n_units), np.arange(len(plan.frame))
    if covariates or by_period:
        codes = np.empty(design.n, dtype=np.int64)
        for g, member in enumerate(groups):
            codes[member.rows] = g * design.n_periods + design.time[member.rows]
        saturated = absorb(
            design.unit,
            codes,
            n_units=design.n_units,
            n_periods=len(groups) * design.n_periods,
            weights=design.weights,
            trends=design.time.astype(float) if unit_trends else None,
        )
        blocks = by_time(design, by_period, unit_trends=unit_trends)
        fit = regress(design, blocks, covariates=covariates, projection=saturated).fit
        where = [design.covariate_names.index(c) for c in covariates]
        dense = design.covariates[:, where]
        parts = [*blocks, *([Block(tuple(covariates), columns=dense)] if covariates else [])]
        y = y - fitted_values(parts, fit.beta)
        levels = [fit.factor_effects.levels[0]] if fit.factor_effects is not None else []
        if covariates:
            levels.append(saturated.coefficients(dense).levels[0])
        slopes = np.hstack(levels)
        n_more = len(fit.beta)
    n_periods = design.n_periods
    base = np.zeros((len(groups), n_periods))
    for g, member in enumerate(groups):
        p = member.projection
        base[g] = p.coefficients(y[member.rows]).levels[0][:, 0]
        error = p.unit_level(p.weighted(p.residualize(y[member.rows])))
        here = everything if g == 0 else np.flatnonzero(plan.group == g)
        if not len(here):
            continue
        right = p.solve_levels((plan.contrast(here, n_periods),))[0]
        terms.append(Term(member.units, here, error, -right if g == 0 else right))
    point = plan.relative(base, plan.group) - plan.relative(base, 0)
    if slopes is not None:
        by_group = slopes.reshape(len(groups), n_periods, -1)
        reaction = plan.relative(by_group, plan.group) - plan.relative(by_group, 0)
        terms.append(Term(everyone, everything, fit.unit_influence(), -reaction.T))
    influence = FactoredInfluence(terms, design.n_units, len(plan.frame), unit_keys(design), design.unit_labels)
    return point, influence, n_more


def general(interacted: Interacted) -> tuple[np.ndarray, FactoredInfluence, int]:
    """The interacted regression as it is written, one dummy per effect."""
    design, names, fit = interacted.design, interacted.plan.frame["term"], interacted.regression
    at = fit.position(names)
    psi = fit.fit.unit_scores() @ fit.fit.bread[:, at]
    whole = Term(np.arange(design.n_units), np.arange(len(names)), psi)
    influence = FactoredInfluence([whole], design.n_units, len(names), unit_keys(design), design.unit_labels)
    return fit.fit.beta[at], influence, len(fit.names) - len(names)


@dataclass(frozen=True)
class Interacted:
    """The regression with a dummy per cohort × period effect, formed when inference asks for it.

    Attributes
    ----------
    design
        The prepared panel.
    whole
        Whether every cohort × period effect has a comparison, so that its dummies say all there is.
    """

    design: Design
    plan: _Plan
    covariates: tuple[str, ...]
    by_period: tuple[str, ...]
    unit_trends: bool
    whole: bool

    @cached_property
    def regression(self) -> Regression:
        """Fit it; one column per effect and row must fit into memory."""
        design, plan = self.design, self.plan
        effect = np.full((design.n_periods, design.n_periods), -1)
        effect[plan.time - plan.event, plan.time] = np.arange(len(plan.frame))
        cohort = design.cohort[design.unit]
        inside = cohort < design.n_periods
        codes = np.where(inside, effect[np.where(inside, cohort, 0), design.time], -1)
        names = tuple(plan.frame["term"])
        blocks = [
            Block(names, Factor(codes, len(names))),
            *by_time(design, self.by_period, unit_trends=self.unit_trends),
        ]
        return regress(design, blocks, covariates=self.covariates, unit_trends=self.unit_trends)

    @cached_property
    def fit(self) -> LeastSquares:
        """Its least squares, for inference that needs the regressors by row."""
        n, k = self.design.n, len(self.plan.frame)
        if n * k > LARGEST:
            raise DesignError(
                f"the interacted regression has {k} cohort × period effects on {n} rows, more than is formed. The "
                "influence functions serve .bands(), .test(), clustering at any level, g.bootstrap_se and "
                "g.multiple_testing; g.stacked and g.event_study take the wild bootstrap and CR2"
            )
        if not self.whole:
            raise DesignError(
                "some periods have no valid comparison (see the notes of the estimate), so the interacted regression "
                "does not give these effects: leave those periods out of the panel first"
            )
        return self.regression.fit

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients, effects first."""
        return self.regression.names

    @property
    def exact(self) -> bool:
        """Whether the residuals are zero, up to rounding."""
        residual, y = self.fit.residual, self.design.y
        return bool(residual @ residual <= 1e-26 * (y @ y))

    @property
    def kind(self) -> Literal["linear", "working", "instrumented"]:
        """Least squares of the outcome."""
        return "linear"


LARGEST = 50_000_000
"""Most rows × effects of the interacted regression that are formed."""
