"""Group-time average treatment effects (Callaway and Sant'Anna 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats.arguments import documented
from g287stats.design.keys import Data
from g287stats.design.prepare import Design, prepare
from g287stats.did.cell_effects import CellEffects, by_cross_sections, by_long_differences
from g287stats.did.comparisons import (
    Grid,
    all_cells,
    describe_problem,
    pair_units,
    refuse_dependence,
    refuse_exits,
    restrict_sample,
    small_cohorts,
)
from g287stats.errors import DesignError, DesignWarning, IdentificationError, Problems, caution, choose, first_of
from g287stats.estimate.blocks import BlockedInfluence
from g287stats.estimate.covariance import Clustered, Neyman
from g287stats.estimate.estimate import Cells, Estimate, Method
from g287stats.regression.regression import tell

METHOD = Method(
    key="att_gt",
    title="Callaway–Sant'Anna group-time effects",
    references=(
        "Callaway, B. and Sant'Anna, P. H. C. (2021). Difference-in-Differences with multiple time periods. "
        "Journal of Econometrics 225(2), 200–230. doi:10.1016/j.jeconom.2020.12.001",
        "Sant'Anna, P. H. C. and Zhao, J. (2020). Doubly robust difference-in-differences estimators. "
        "Journal of Econometrics 219(1), 101–122. doi:10.1016/j.jeconom.2020.06.003",
    ),
)
_NONE_REFUSED = pd.DataFrame({"cohort": [], "time": [], "reason": []})


@documented()
def att_gt(
    data: Data,
    outcome: str,
    *,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    control: Literal["never", "notyet"] = "never",
    method: Literal["dr", "ipw", "reg"] = "dr",
    base: Literal["varying", "universal"] = "varying",
    anticipation: int = 0,
    covariates: Sequence[str] = (),
    weights: str | None = None,
    cluster: str | None = None,
    panel: Literal["balanced_only", "pairwise", "keep_unbalanced", "cross_section"] = "balanced_only",
    exit: str | None = None,
    treatment: str | None = None,
    small_sample: Literal["did", "neyman"] = "did",
    on_unidentified: Literal["error", "drop"] = "error",
) -> Estimate:
    r"""Average effect of treatment on each cohort in each period, by separate two-group comparisons.

    For cohort *g* (first treated in *g*) and period *t*,

        ATT(g, t) = E[Y_t − Y_b | G = g] − E[Y_t − Y_b | controls],

    the control side adjusted for covariates by outcome regression (``reg``), inverse probability weighting
    (``ipw``) or both (``dr``). It is the average effect on cohort *g* in period *t* when, given the covariates, the
    cohort and its controls would have moved in parallel, and nothing was anticipated more than ``anticipation``
    periods ahead. Nothing is trimmed. Aggregate with ``.aggregate("simple" | "event" | "cohort" | "calendar")``.

    Parameters
    ----------
    cohort
        First treated period; missing: never treated. Units treated from the first period on (or within
        ``anticipation`` of it) have no untreated period: they leave the sample, counted and listed.
    control
        ``never``: units never treated within the panel. ``notyet``: also units whose treatment (less
        ``anticipation``) begins after both periods of the comparison.
    method
        How covariates enter. Without covariates the three are the same.
    base
        ``varying``: the last untreated period for t ≥ g − anticipation; the preceding period before that (each
        lead is a one-period placebo). ``universal``: the last untreated period throughout (leads are long
        differences, as in a regression event study; the base itself is zero by normalisation).
    anticipation
        Periods before g in which units may already respond.
    covariates
        Columns, read in the base period of each comparison. A constant is always included.
    weights
        Column of weights, constant within units (in ``keep_unbalanced`` and ``cross_section``: by row).
    cluster
        Level to cluster by, constant within units; default the unit.
    panel
        ``balanced_only``: long differences within units; units not observed in every period leave the sample,
        counted and listed. ``pairwise``: long differences within the units observed in both periods of a cell;
        cells differ in their units, and units in no cell leave, counted and listed. ``keep_unbalanced``: all rows,
        compared as repeated cross sections, with influence summed by unit. ``cross_section``: rows are different
        observations throughout; cohort shares are shares of rows.
    exit
        Column with the first period in which the unit is no longer treated (missing or 0: never). The estimator
        assumes that treatment stays on: any exit within the panel is an error that lists the units.
    treatment
        Column with the treatment in force by row (0 before the first treated period, positive from it on): an exit, or
        a row where it differs from what ``cohort`` says, is an error that lists the rows.
    small_sample
        ``did``: no factor and normal critical values, as in R ``did``; too short with few counties in a cohort.
        ``neyman``: a unit's influence is scaled by √(n_g/(n_g − 1)) among the n_g treated of its cohort and by
        √(n_c/(n_c − 1 − p)) among the n_c controls of a cell with p covariates, so that without covariates the
        variance is Neyman's unbiased one; t quantiles with Satterthwaite's degrees of freedom by parameter. For
        ``balanced_only`` or ``pairwise``, and units that are independent of each other.
    on_unidentified
        What to do with cohorts whose comparison exists but cannot be computed (collinear covariates, no overlap):
        ``error``, or ``drop``, which lists them and leaves them out of every aggregate with their weight.

    Returns
    -------
    Estimate
        ``kind="group_time"``; terms ``att(g,t)``, in units of the outcome. ``sample["overlap"]`` has the largest
        propensity and the smallest effective number of controls by cohort, ``sample["refused"]`` the cells
        without a valid comparison, ``sample["flow"]`` every unit that left. Standard errors come from influence
        functions summed by cluster.

    Raises
    ------
    DesignError
        Exits; weights or clusters that change within units; no unit observed throughout.
    IdentificationError
        No controls, collinear covariates (named), no overlap (cohort and covariates named).
    """
    control = choose("control", control, ("never", "notyet"))
    choose("method", method, ("dr", "ipw", "reg"))
    choose("base", base, ("varying", "universal"))
    choose("panel", panel, ("balanced_only", "pairwise", "keep_unbalanced", "cross_section"))
    choose("small_sample", small_sample, ("did", "neyman"))
    choose("on_unidentified", on_unidentified, ("error", "drop"))
    if anticipation < 0 or int(anticipation) != anticipation:
        raise DesignError(f"anticipation={anticipation}: a whole number of periods, 0 or more")
    if isinstance(covariates, str):
        covariates = (covariates,)
    if cluster is not None and not isinstance(cluster, str):
        raise DesignError(f"cluster={cluster!r}: att_gt sums influence by one level; name one column")
    if cohort is None and isinstance(data, pd.DataFrame):
        raise DesignError('name the cohort column: cohort="first_treated" (missing: never treated)')
    design = prepare(
        data, outcome, unit=unit, time=time, cohort=cohort, covariates=covariates, weights=weights, cluster=cluster
    )
    refuse_exits(data, design, exit, treatment)
    if small_sample == "neyman":
        refuse_dependence(design, panel)
    design, notes = restrict_sample(design, anticipation, panel)
    grid = all_cells(design, control, base, anticipation)
    if small_sample == "did":
        notes += small_cohorts(design, grid, len(covariates))
    if panel == "pairwise":
        design, grid, unpaired = pair_units(design, grid)
        notes += unpaired
    tell(design, notes)
    if panel in ("balanced_only", "pairwise"):
        result = by_long_differences(design, grid, method)
    else:
        result = by_cross_sections(design, grid, method, by_unit=panel == "keep_unbalanced")
    return _labelled(
        design,
        notes,
        grid,
        result,
        on_unidentified,
        options={
            "control": control,
            "method": method,
            "base": base,
            "anticipation": anticipation,
            "covariates": tuple(covariates),
            "weights": weights,
            "cluster": cluster,
            "panel": panel,
            "small_sample": small_sample,
        },
    )


# ---- labels ----------------------------------------------------------------------------------------------------------
def _labelled(
    design: Design,
    notes: list[str],
    grid: Grid,
    result: CellEffects,
    on_unidentified: str,
    options: dict[str, Any],
) -> Estimate:
    names = [str(label) for label in design.calendar]
    cohort_position = grid.cohorts[grid.group]
    event_time = grid.t - cohort_position
    problem = result.problem.copy()
    problem[grid.empty] = np.where(grid.treated[grid.empty] == 0, "no treated", "no controls")
    more: list[str] = []

    failed = (problem != "") & ~grid.empty
    if failed.any():
        pairs = pd.DataFrame({"c": cohort_position[failed], "p": problem[failed]}).drop_duplicates()
        problems = Problems(f"att_gt of {design.outcome!r}")
        for c, kind in pairs.itertuples(index=False):
            problems.add(describe_problem(design, int(c), kind))
        if on_unidentified == "error":
            problems.add('Use fewer covariates, method="reg", or on_unidentified="drop" to leave these cells out')
            problems.raise_if_any(IdentificationError)
        more += [f"left out: {line}" for line in problems.lines]
    if grid.empty.any():
        cells = [f"({names[c]},{names[t]})" for c, t in zip(cohort_position[grid.empty], grid.t[grid.empty])]
        shown = first_of(cells, 6)
        lack = "controls" if grid.treated[grid.empty].all() else "treated or no controls"
        more.append(f"{len(cells)} cohort × time cells have no {lack} and are left out of every aggregate: {shown}")
    for note in more:
        caution(
            f"{design.outcome}: {note}",
            DesignWarning,
        )

    sound = problem == ""
    sound &= np.isin(grid.group, grid.group[sound & ~grid.reference])  # a base alone is no effect of its cohort
    keep = np.flatnonzero(sound)
    if not len(keep):
        raise IdentificationError(f"att_gt of {design.outcome!r}: no cohort × time cell has a valid comparison")
    columns = {"cohort": design.calendar[cohort_position], "time": design.calendar[grid.t], "event_time": event_time}
    bad = np.flatnonzero(problem != "")
    refused = _NONE_REFUSED.copy()
    if len(bad):
        refused = pd.DataFrame({k: columns[k][bad] for k in ("cohort", "time")} | {"reason": problem[bad]})
    overlap = _overlap(grid, result, np.flatnonzero((problem == "") & ~grid.reference), design.calendar)
    kept = {k: v[keep] for k, v in (columns | {"reference": grid.reference}).items()}
    text = np.array(names, dtype=object)
    terms = "att(" + text[cohort_position[keep]] + "," + text[grid.t[keep]] + ")"
    mass = result.share[grid.group[keep]]
    influence = result.influence if len(keep) == len(problem) else _subset(result.influence, keep)
    level = options["cluster"] or next(iter(influence.keys))
    level = level if level in influence.keys else next(iter(influence.keys))
    counts = {k: int(v.max()) + 1 for k, v in influence.keys.items()}
    rule = Clustered((level,), small_sample="did", n_obs=design.n, n_clusters=counts, normal=True)
    shares = result.share_influence
    if options["small_sample"] == "neyman":
        rule = _neyman_rule(design, grid, keep, rule)
        influence = _neyman_influence(design, grid, keep, influence)
        shares = shares * np.sqrt(len(shares) / (len(shares) - 1))
    present = np.unique(grid.group[keep])
    treated = np.isin(design.cohort, grid.cohorts[present])
    return Estimate(
        labels={"term": terms} | kept,
        point=result.point[keep],
        influence=influence,
        rule=rule,
        kind="group_time",
        method=METHOD,
        outcome=design.outcome,
        sample={
            "n_obs": design.n,
            "n_units": design.n_units,
            "n_periods": len(grid.periods),
            "n_treated": int(treated.sum()),
            "n_cohorts": len(present),
            "outcome_mean": float(design.y.mean()),
            "balanced": design.balanced,
            "flow": design.flow,
            "overlap": overlap,
            "refused": refused,
        },
        options=options,
        cells=Cells(
            frame=pd.DataFrame(kept | {"mass": mass}),
            mass_group=grid.group[keep],
            mass_influence=shares,
        ),
        reference=tuple(terms[kept["reference"]]),
        notes=(*design.notes, *notes, *more),
        provenance=design.provenance,
        floor=design.rounding,
    )


def _overlap(grid: Grid, result: CellEffects, cells: np.ndarray, calendar: pd.Index) -> pd.DataFrame:
    """By cohort: the largest propensity among controls, the smallest effective number of controls."""
    largest, fewest = np.zeros(len(grid.cohorts)), np.full(len(grid.cohorts), np.inf)
    np.maximum.at(largest, grid.group[cells], result.max_propensity[cells])
    np.minimum.at(fewest, grid.group[cells], result.effective_controls[cells])
    present = np.isfinite(fewest)
    return pd.DataFrame(
        {
            "cohort": calendar[grid.cohorts[present]],
            "max_propensity": largest[present],
            "effective_controls": fewest[present],
        }
    )


def _subset(influence: BlockedInfluence, keep: np.ndarray) -> BlockedInfluence:
    """Influence of the parameters ``keep``; blocks never hold the others."""
    place = np.full(influence.n_params, -1)
    place[keep] = np.arange(len(keep))

    blocks = partial(_renumbered, influence, place)
    return BlockedInfluence(blocks, len(keep), influence.order, influence.keys, influence.labels)


def _renumbered(
    influence: BlockedInfluence, place: np.ndarray, _: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for columns, values in influence.blocks():
        yield place[columns], values


# ---- Neyman's variance -----------------------------------------------------------------------------------------------
def _neyman_rule(design: Design, grid: Grid, keep: np.ndarray, rule: Clustered) -> Neyman:
    """Groups are the cohorts with effects and everybody else; a group too small for a variance is refused."""
    p = design.covariates.shape[1]
    problems = Problems(f'att_gt of {design.outcome!r} with small_sample="neyman"')
    live = keep[~grid.reference[keep]]
    present = np.unique(grid.group[live])
    alone = np.unique(grid.group[live[grid.treated[live] < 2]])
    if len(alone):
        names = [design.period_label(int(c)) for c in grid.cohorts[alone]]
        problems.add("cohorts of one unit have no variance within", names, 'Leave them out, or use small_sample="did"')
    few = live[grid.controls[live] < 2 + p]
    if len(few):
        pairs = zip(grid.cohorts[grid.group[few]], grid.t[few])
        names = [f"({design.period_label(int(c))},{design.period_label(int(t))})" for c, t in pairs]
        problems.add(f"cells with fewer than {2 + p} controls", names, 'Use fewer covariates or small_sample="did"')
    problems.raise_if_any(IdentificationError)
    cohorts = grid.cohorts[present]
    place = np.searchsorted(cohorts, design.cohort)
    groups = np.where(np.isin(design.cohort, cohorts), place, len(cohorts))
    size = np.bincount(groups)
    freedom = size - 1.0
    freedom[len(cohorts) :] = np.maximum(freedom[len(cohorts) :] - p, 1.0)
    return Neyman(rule.levels, "did", rule.n_obs, n_clusters=rule.n_clusters, groups=groups, group_df=freedom)


def _neyman_influence(design: Design, grid: Grid, keep: np.ndarray, influence: BlockedInfluence) -> BlockedInfluence:
    """Scale the influence of treated and of controls, cell by cell, to unbiased variances of their means."""
    p = design.covariates.shape[1]
    descending = -design.cohort[influence.order]
    cohort = grid.cohorts[grid.group[keep]]
    start, stop = (np.searchsorted(descending, -cohort, side=side) for side in ("left", "right"))
    treated, controls = grid.treated[keep], np.maximum(grid.controls[keep], 2 + p)  # base cells have no influence
    treated_factor = np.sqrt(treated / np.maximum(treated - 1, 1))
    control_factor = np.sqrt(controls / (controls - 1 - p))

    blocks = partial(_scaled, influence, control_factor, treated_factor, start, stop)
    return BlockedInfluence(blocks, len(keep), influence.order, influence.keys, influence.labels)


def _scaled(
    influence: BlockedInfluence,
    control_factor: np.ndarray,
    treated_factor: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    _: np.ndarray | None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Influence times the factor of the controls, of the treated in columns ``start`` to ``stop`` of each cell."""
    for columns, values in influence.blocks():
        scaled = values * control_factor[columns][:, None]
        for k, j in enumerate(columns):
            own = slice(start[j], stop[j])
            scaled[k, own] = values[k, own] * treated_factor[j]
        yield columns, scaled
