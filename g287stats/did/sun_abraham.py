"""Interaction-weighted event study (Sun and Abraham 2021).

    y_it = Σ_g Σ_{e ≠ ref} δ_{g,e} 1{g_i = g} 1{t − g = e} + x_it'β + α_i + λ_t + ε_it

with never-treated units (or the last cohort, before it is treated) as controls. The regression is saturated in
cohort × period, so it falls apart into one two-way regression per cohort: with ``μ_c`` the period effects of cohort
c and 0 the controls,

    δ_{g,e} = (μ_{g,g+e} − μ_{g,g+ref}) − (μ_{0,g+e} − μ_{0,g+ref}),

exactly, also with weights and gaps. Nothing of the size rows × parameters is ever formed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats.did.design import Design
from g287stats.did.imputation import _fitted, _levels
from g287stats.did.regression import Block, by_time, clustered, parameter_count, regress, tell, unit_keys
from g287stats.did.twfe import FITS, _options, _prepare
from g287stats.did.wide import absorbing_cohort, labelled
from g287stats.errors import DesignError, IdentificationError
from g287stats.inference.covariance import SmallSample
from g287stats.inference.estimate import Cells, Estimate, Method
from g287stats.inference.factored import FactoredInfluence, Term
from g287stats.numerics.least_squares import Factor
from g287stats.numerics.within import Projection, absorb

METHOD = Method(
    "sun_abraham",
    "Interaction-weighted event study (Sun and Abraham)",
    (
        "Sun, L., and Abraham, S. (2021). Estimating dynamic treatment effects in event studies with heterogeneous "
        "treatment effects. Journal of Econometrics 225(2), 175–199. doi:10.1016/j.jeconom.2020.09.006",
    ),
)


def sun_abraham(
    data: Any,
    outcome: str,
    *,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    control: Literal["never", "last"] = "never",
    reference: int = -1,
    covariates: Sequence[str] = (),
    covariates_by_time: Sequence[str] = (),
    fixed_effects: Sequence[str | tuple[str, ...]] = (),
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
        Event time each cohort is normalised at.
    covariates, covariates_by_time, fixed_effects
        Common to all cohorts. Further fixed effects take the general regression, with one column per effect.
    data, outcome, unit, time, cohort, treatment, weights, cluster, small_sample
        As in :func:`~g287stats.did.twfe.twfe`; treatment must stay on and clusters must contain units.

    Returns
    -------
    Estimate
        One parameter per cohort and period, in outcome units; ``overall`` is the average over treated rows and
        ``.aggregate("event" | "cohort" | "calendar")`` weights by (weighted) rows, as fixest's ``sunab``. Cohorts
        without a reference period (always treated) are left out and counted; effects without a valid comparison
        are listed in ``notes``.

    References
    ----------
    Sun and Abraham (2021), equations (24)–(26); weights are treated as fixed.
    """
    keys = {"unit": unit, "time": time, "cohort": cohort, "treatment": treatment}
    design = _prepare(data, outcome, keys, covariates, covariates_by_time, weights, cluster, fixed_effects)
    design, is_control, notes = _comparison(design, control, reference)
    levels = _levels(design, cluster)
    groups = _groups(design, is_control)
    plan, dropped = _plan(design, groups, reference)
    notes += dropped
    tell(design, notes)
    if fixed_effects:
        point, influence, n_more = _general(design, plan, covariates, covariates_by_time)
    else:
        point, influence, n_more = _by_cohort(design, groups, plan, covariates, covariates_by_time)
    n_regressors = len(plan.frame) + n_more
    rule = clustered(
        design,
        levels,
        small_sample,
        lambda at, convention: parameter_count(design, n_regressors, at, convention),
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
        options={"control": control, "reference": reference}
        | _options(covariates, covariates_by_time, fixed_effects, False, weights),
        cells=Cells(plan.frame[["cohort", "time", "event_time", "mass"]]),
        reference=(reference,),
        notes=tuple(dict.fromkeys((*design.notes, *notes))),
        provenance=design.provenance,
    )
    mass = np.where(plan.event >= 0, plan.frame["mass"].to_numpy(), 0.0)
    if not mass.any():
        return estimate
    return replace(estimate, overall=estimate.combine(mass[None, :] / mass.sum(), ["att"], kind="simple"))


# ---- who is compared with whom --------------------------------------------------------------------------------------
def _comparison(design: Design, control: str, reference: int) -> tuple[Design, np.ndarray, list[str]]:
    """Set aside cohorts without a reference period (and, for the last cohort, its treated periods)."""
    if control not in ("never", "last"):
        raise DesignError(f"control={control!r}: choose 'never' or 'last'")
    if design.treatment is not None:
        design = replace(design, cohort=absorbing_cohort(design, FITS), treatment=None)
    notes = []
    inside = design.cohort < design.n_periods
    if not inside.any():
        raise IdentificationError("no unit is treated inside the panel")
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
    at = design.cohort + reference
    usable = np.zeros(design.n_units, dtype=bool)
    able = ~is_control & (at >= 0) & (at < design.n_periods)
    usable[able] = observed[at[able]]
    out = ~usable & ~is_control
    if out.any():
        n_cohorts = len(np.unique(design.cohort[out]))
        notes.append(
            f"{int(out.sum())} units in {n_cohorts} cohorts have no period at event time {reference} "
            f"and are left out: {labelled(design, out)}"
        )
        is_control = is_control[~out]
        design = design.restrict(~out[design.unit], f"cohort has no period at event time {reference}")
    if is_control.all():
        raise IdentificationError("no treated cohort has a reference period: nothing to estimate")
    return design, is_control, notes


@dataclass(frozen=True)
class _Group:
    """One cohort (or the controls): its units, rows and absorbed two-way effects."""

    cohort: int
    units: np.ndarray
    rows: np.ndarray
    projection: Projection


def _groups(design: Design, is_control: np.ndarray) -> list[_Group]:
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
            ),
        )
        for g, (units, rows) in enumerate(zip(members, pieces))
    ]


@dataclass(frozen=True)
class _Plan:
    """The parameters: cohort, period and reference period of each, and their table."""

    group: np.ndarray
    time: np.ndarray
    at: np.ndarray
    event: np.ndarray
    frame: pd.DataFrame


def _plan(design: Design, groups: list[_Group], reference: int) -> tuple[_Plan, list[str]]:
    """Every cohort × period effect with a valid comparison; the others in a note."""
    controls = groups[0].projection
    group, time, at, mass, lost = [], [], [], [], []
    links: dict[int, np.ndarray] = {}
    for g, member in enumerate(groups[1:], start=1):
        ref = member.cohort + reference
        if ref not in links:
            links[ref] = controls.linked(ref)
        weight = member.projection.level_weight[0]
        known = member.projection.linked(ref) & links[ref]
        wanted = weight > 0
        wanted[ref] = False
        lost += [(member.cohort, t) for t in np.flatnonzero(wanted & ~known)]
        shown = np.flatnonzero(wanted & known)
        group.append(np.full(len(shown), g))
        time.append(shown)
        at.append(np.full(len(shown), ref))
        mass.append(weight[shown])
    notes = []
    if lost:
        shown_names = ", ".join(f"({design.period_label(c)}, {design.calendar[int(t)]})" for c, t in lost[:8])
        notes.append(
            f"{len(lost)} cohort × period effects have no valid comparison and are left out of every average: "
            f"{shown_names}"
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
    return _Plan(which, t, np.concatenate(at), t - cohort, frame), notes


# ---- two ways to the same numbers -----------------------------------------------------------------------------------
def _by_cohort(
    design: Design, groups: list[_Group], plan: _Plan, covariates: Sequence[str], by_period: Sequence[str]
) -> tuple[np.ndarray, FactoredInfluence, int]:
    """Effects and influence from one two-way regression per cohort; returns also the number of covariates."""
    y, terms, slopes, n_more = design.y, [], None, 0
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
        )
        blocks = by_time(design, by_period)
        fit = regress(design, blocks, covariates=covariates, projection=saturated).fit
        where = [design.covariate_names.index(c) for c in covariates]
        dense = design.covariates[:, where]
        parts = [*blocks, *([Block(tuple(covariates), columns=dense)] if covariates else [])]
        y = y - _fitted(parts, fit.beta)
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
        error = p.unit_level(p._weighted(p.residualize(y[member.rows])))
        here = everything if g == 0 else np.flatnonzero(plan.group == g)
        if not len(here):
            continue
        contrast = np.zeros((n_periods, len(here)))
        contrast[plan.time[here], np.arange(len(here))] = 1.0
        contrast[plan.at[here], np.arange(len(here))] -= 1.0
        right = p.solve_levels((contrast,))[0]
        terms.append(Term(member.units, here, error, -right if g == 0 else right))
    point = base[plan.group, plan.time] - base[plan.group, plan.at] - base[0, plan.time] + base[0, plan.at]
    if slopes is not None:
        own, ref = plan.group * n_periods + plan.time, plan.group * n_periods + plan.at
        reaction = slopes[own] - slopes[ref] - slopes[plan.time] + slopes[plan.at]
        terms.append(Term(everyone, everything, fit.unit_influence(), -reaction.T))
    influence = FactoredInfluence(terms, design.n_units, len(plan.frame), unit_keys(design), design.unit_labels)
    return point, influence, n_more


def _general(
    design: Design, plan: _Plan, covariates: Sequence[str], by_period: Sequence[str]
) -> tuple[np.ndarray, FactoredInfluence, int]:
    """The interacted regression as it is written, one dummy per effect."""
    effect = np.full((design.n_periods, design.n_periods), -1)
    effect[plan.time - plan.event, plan.time] = np.arange(len(plan.frame))
    cohort = design.cohort[design.unit]
    inside = cohort < design.n_periods
    codes = np.where(inside, effect[np.where(inside, cohort, 0), design.time], -1)
    names = tuple(plan.frame["term"])
    blocks = [Block(names, Factor(codes, len(names))), *by_time(design, by_period)]
    fit = regress(design, blocks, covariates=covariates)
    at = fit.position(names)
    psi = fit.fit.unit_scores() @ fit.fit.bread[:, at]
    whole = Term(np.arange(design.n_units), np.arange(len(names)), psi)
    influence = FactoredInfluence([whole], design.n_units, len(names), unit_keys(design), design.unit_labels)
    return fit.fit.beta[at], influence, len(fit.names) - len(names)
