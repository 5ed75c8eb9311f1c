"""Which units and cells a group-time comparison has, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from g287stats.design.coding import calendar, cohorts, factorize, numeric
from g287stats.design.keys import Data
from g287stats.design.prepare import NEVER, Design
from g287stats.design.wide import matrix, must_stay_on
from g287stats.errors import DesignError, IdentificationError, Problems, first_of
from g287stats.estimate.degenerate import ALONE
from g287stats.numerics.glm import deficient

FITS = "use g.switching_did for treatments that switch"
ROUNDING = 8 * np.finfo(float).eps
"""A covariate that moves by less than this share of its size is constant up to rounding."""


# ---- who takes part --------------------------------------------------------------------------------------------
def restrict_sample(design: Design, anticipation: int, panel: str) -> tuple[Design, list[str]]:
    """Drop always-treated and, for ``balanced_only``, units with gaps; return the rest and a note for each."""
    notes = []

    def drop(gone: np.ndarray, reason: str, what: str) -> Design:
        listed = design.unit_labels[gone]
        notes.append(f"{len(listed)} units {what}: {first_of(listed)}")
        return design.restrict(~gone[design.unit], reason)

    def always() -> np.ndarray:
        first = np.flatnonzero(design.rows.per_period)[0]
        return (design.cohort != NEVER) & (design.cohort <= int(first) + anticipation)

    when = "from the first period on" + (f" or within {anticipation} of it" if anticipation else "")
    while (gone := always()).any():  # again, should nobody else be observed in the first period
        design = drop(gone, "always treated", f"treated {when} have no untreated period and leave the sample")
    periods = np.flatnonzero(design.rows.per_period)
    if len(periods) < 2:
        raise DesignError(f"one period ({design.period_label(int(periods[0]))}): a comparison needs two")
    if panel == "balanced_only":
        short = design.rows.unit_sums() < len(periods)
        if short.all():
            raise DesignError(
                f"no {design.unit_name} is observed in all {len(periods)} periods; "
                'use panel="pairwise" or "keep_unbalanced", or restrict the years'
            )
        if short.any():
            text = "not observed in every period leave the sample (panel='pairwise' and 'keep_unbalanced' keep them)"
            design = drop(short, "not in every period", text)
    return design, notes


@dataclass(frozen=True)
class Grid:
    """All cohort × time cells: calendar positions of cohort, period and base; ``latest`` = the control rule.

    ``periods`` are the observed positions of the calendar, ``cohorts`` those of the cohorts, ``group`` indexes them.
    Controls of a cell are units with cohort > ``latest`` (never-treated: ``latest`` is the last period), except
    the cell's own cohort. ``reference`` marks base cells, zero by normalisation; ``treated`` and ``controls`` count
    the units of each cell.
    """

    periods: np.ndarray
    cohorts: np.ndarray
    group: np.ndarray
    t: np.ndarray
    b: np.ndarray
    latest: np.ndarray
    reference: np.ndarray
    treated: np.ndarray
    controls: np.ndarray

    @property
    def empty(self) -> np.ndarray:
        """Cells without control or, of incomplete panels, without a treated unit."""
        return ((self.controls == 0) | (self.treated == 0)) & ~self.reference


def small_cohorts(design: Design, grid: Grid, n_covariates: int) -> list[str]:
    """Note cohorts too small for normal critical values, by R did's count: fewer units than 5 and the covariates."""
    size = np.array([(design.cohort == c).sum() for c in grid.cohorts])
    few = [f"{design.calendar[c]} ({n})" for c, n in zip(grid.cohorts, size) if n < 5 + n_covariates]
    if not few:
        return []
    shown = first_of(few)
    return [
        f"cohorts with few units: {shown}. Their standard errors are too small and joint tests over their cells reject "
        'far too often; small_sample="neyman" counts the degrees of freedom of cohorts of two or more units'
    ]


def _who_left(design: Design) -> str:
    """Words for the units that left before, by reason, and what keeps those with gaps."""
    steps = list(design.flow.dropped("design"))
    gone = "".join(f"; {s.units} units left before: {s.step}" for s in steps)
    gaps = any("period" in s.step and "treated" not in s.step for s in steps)
    return gone + ('. panel="pairwise" keeps units with gaps' if gaps else "")


def all_cells(design: Design, control: str, base: str, anticipation: int) -> Grid:
    """Lay out the cells; no cohort inside the panel, or no unit that is never treated when asked for, is an error."""
    periods = np.flatnonzero(design.rows.per_period)
    last = int(periods[-1])
    cohorts = np.unique(design.cohort[design.cohort <= last])
    if not len(cohorts):
        early = f" and its anticipation={anticipation}" if anticipation else ""
        raise IdentificationError(
            f"no unit is first treated within the panel after its first period{early}{_who_left(design)}"
        )
    if not (design.cohort > last + anticipation).any():
        if len(cohorts) == 1:
            raise IdentificationError(f"{design.outcome}: {ALONE}{_who_left(design)}")
        if control == "never":
            raise IdentificationError(
                f'no unit is never treated within the panel{_who_left(design)}; use control="notyet" to compare with '
                "later cohorts"
            )
    group, position = (a.ravel() for a in np.meshgrid(np.arange(len(cohorts)), np.arange(len(periods)), indexing="ij"))
    g = cohorts[group]
    t = periods[position]
    final = periods[np.searchsorted(periods, cohorts - anticipation) - 1][group]
    before = periods[np.maximum(position - 1, 0)]
    b = np.where((t >= g - anticipation) | (base == "universal"), final, before)
    keep = (position > 0) | (base == "universal")
    group, g, t, b = group[keep], g[keep], t[keep], b[keep]
    latest = np.maximum(t, b) + anticipation if control == "notyet" else np.full(len(t), last + anticipation)
    latest = np.minimum(latest, NEVER - 1)
    ascending = np.sort(design.cohort)
    own = np.searchsorted(ascending, g, side="right") - np.searchsorted(ascending, g, side="left")
    controls = len(ascending) - np.searchsorted(ascending, latest, side="right") - np.where(g > latest, own, 0)
    return Grid(periods, cohorts, group, t, b, latest, reference=t == b, treated=own, controls=controls)


# ---- incomplete panels -------------------------------------------------------------------------------------------
def by_unit_and_period(design: Design, periods: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values by row as units × observed periods, NaN where there is no row."""
    if design.n == design.n_units * len(periods):
        return values.reshape(design.n_units, len(periods))
    return matrix(design, values)[:, periods]


def cells_by_units(grid: Grid, seen: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (units, cells): the cells that can be estimated, those of the same units together.

    ``seen`` (periods × units) tells where there is a row.
    """
    live = np.flatnonzero(~grid.reference & ~grid.empty)
    if seen.all():
        yield np.arange(seen.shape[1]), live
        return
    t, b = np.searchsorted(grid.periods, grid.t), np.searchsorted(grid.periods, grid.b)
    members: dict[bytes, list[int]] = {}
    for j in live.tolist():
        members.setdefault((seen[t[j]] & seen[b[j]]).tobytes(), []).append(j)
    for mask, cells in members.items():
        yield np.flatnonzero(np.frombuffer(mask, dtype=bool)), np.array(cells)


def pair_units(design: Design, grid: Grid) -> tuple[Design, Grid, list[str]]:
    """Count the units observed in both periods of each cell; units in no cell leave, with a note."""
    seen = ~np.isnan(by_unit_and_period(design, grid.periods, design.y))
    t, b = np.searchsorted(grid.periods, grid.t), np.searchsorted(grid.periods, grid.b)
    g = grid.cohorts[grid.group]
    treated, controls = np.zeros((2, len(grid.t)), dtype=np.int64)
    used = np.zeros(design.n_units, dtype=bool)
    for j in range(len(grid.t)):
        both = seen[:, t[j]] & seen[:, b[j]]
        own = both & (design.cohort == g[j])
        other = both & (design.cohort > grid.latest[j]) & (design.cohort != g[j])
        treated[j], controls[j] = own.sum(), other.sum()
        if treated[j] and controls[j]:
            used |= own | other
    grid = replace(grid, treated=treated, controls=controls)
    if used.all():
        return design, grid, []
    if not used.any():
        raise IdentificationError("no unit is observed in both periods of any comparison")
    left = design.unit_labels[~used]
    note = f"{len(left)} units are not observed in both periods of any cell and leave the sample: {first_of(left)}"
    return design.restrict(used[design.unit], "in no comparison"), grid, [note]


# ---- refusals --------------------------------------------------------------------------------------------------------
def refuse_exits(data: Data, design: Design, exit: str | None, treatment: str | None) -> None:
    """Treatment that switches off, or is not in force from the cohort on, is not what this estimator assumes.

    Units are named, with the ways out.
    """
    must_stay_on(design, FITS)
    frame: pd.DataFrame = data if isinstance(data, pd.DataFrame) else data.frame
    for name in (exit, treatment):
        if name and name not in frame:
            raise DesignError(f"no column {name!r} in the frame; columns are {first_of(frame.columns, 15)}")
    if exit is None and treatment is None:
        return
    problems = Problems(f"design for {design.outcome!r}")
    keys = frame[design.unit_name]
    period, origin = calendar(frame[design.time_name], design.time_name, problems)
    first = int(calendar(design.calendar[:1].to_series(), design.time_name, problems)[0][0])
    gone, other = np.zeros((2, len(frame)), dtype=bool)
    codes = factorize(keys)[0]
    if exit:
        ends = cohorts(frame[exit], exit, origin, problems, [], keys, (first, first + design.n_periods - 1))
        gone |= ends < first + design.n_periods
    if treatment:
        dose = numeric(frame[treatment], treatment, problems)
        problems.raise_if_any()
        rows = np.flatnonzero(~np.isnan(dose.astype(float)))
        rows = rows[np.lexsort((period[rows], codes[rows]))]
        on, unit = dose[rows] > 0, codes[rows]
        gone[rows[1:]] |= (unit[1:] == unit[:-1]) & on[:-1] & ~on[1:]
        place = design.unit_labels.get_indexer(pd.Index(keys.iloc[rows]))
        start = np.where(design.cohort == NEVER, NEVER, design.cohort + first)[place]
        other[rows] = (place >= 0) & (on != (period[rows] >= start))
    problems.raise_if_any()
    if gone.any():
        remedy = (
            f"att_gt assumes that treatment stays on; {FITS}, end each unit's record at its exit "
            "(g.Exposure(on_exit='censor') with panel='keep_unbalanced'), "
            "or state that exposure is absorbing (g.Exposure(on_exit='absorbing')) and leave the column out"
        )
        problems.add("treatment switches off", sorted({str(k) for k in keys[gone].unique()}), remedy)
    elif other.any():
        rows = np.flatnonzero(other)
        rows = rows[np.lexsort((period[rows], codes[rows]))]
        found = [f"{keys.iloc[i]} {origin.label(int(period[i]))}" for i in rows]
        remedy = "Treatment is to be 0 before the cohort's first treated period and positive from it on"
        problems.add(f"treatment {treatment!r} is not what the cohort says", found, remedy)
    problems.raise_if_any()


def refuse_dependence(design: Design, panel: str) -> None:
    """Neyman's variance is that of independent units with long differences."""
    coarser = [level for level in design.clusters if level != design.unit_name]
    if panel not in ("balanced_only", "pairwise") or coarser:
        found = f"cluster={coarser[0]!r}" if coarser else f"panel={panel!r}"
        raise DesignError(
            f'small_sample="neyman" is for long differences of independent units, not {found}; use small_sample="did", '
            "with few clusters g.randomization_test or g.wild_bootstrap of a regression"
        )


def centred(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Covariates less their weighted mean, so that no level hides how they vary; what is only rounding becomes zero.

    ``x`` is versions × columns × units, the first column the constant, which makes up for the shift; NaN marks rows
    that are not there.
    """
    out = x.copy()
    for version in out:
        there = ~np.isnan(version[0])
        weight = w[there] / w[there].sum()
        for column in version[1:]:
            left = column[there] - column[there][0]  # twice: the mean of large numbers is rounded as they are
            left -= weight @ left
            size = np.abs(column[there]).max()
            column[there] = 0.0 if np.abs(left).max() <= ROUNDING * size else left
    return out


def refuse_collinear(design: Design, x: np.ndarray, w: np.ndarray) -> None:
    """Covariates (see :func:`centred`) collinear with the constant or each other in any version: name the columns."""
    if x.shape[1] == 1:
        return
    for version in x:
        gram = (version * w) @ version.T
        if not deficient(gram[None], 1e-12)[0]:
            continue
        bad, good = [], [0]
        for k in range(1, len(gram)):
            trial = [*good, k]
            if deficient(gram[np.ix_(trial, trial)][None], 1e-12)[0]:
                bad.append(design.covariate_names[k - 1])
            else:
                good.append(k)
        raise IdentificationError(
            f"covariates are collinear with the constant or with each other: {', '.join(map(repr, bad))}. "
            "Drop them from covariates="
        )


def describe_problem(design: Design, cohort: int, kind: str) -> str:
    """Words for a cohort that is not identified: what is missing and, for overlap, which covariate tells it apart."""
    size = int((design.cohort == cohort).sum())
    units = "1 unit" if size == 1 else f"{size} units"
    label = design.period_label(int(cohort))
    if kind == "empty":
        return f"cohort {label} ({units}): no row of the cohort or of its controls in one of the two periods"
    names = ", ".join(map(repr, design.covariate_names))
    if kind == "collinear":
        return f"cohort {label} ({units}): too few units, or too little variation, to fit {names}"
    treated = design.cohort[design.unit] == cohort
    x = design.covariates
    outside = [
        f"{name!r} ({x[treated, k].min():.4g} to {x[treated, k].max():.4g} against "
        f"{x[~treated, k].min():.4g} to {x[~treated, k].max():.4g} elsewhere)"
        for k, name in enumerate(design.covariate_names)
        if x[treated, k].min() > x[~treated, k].max() or x[treated, k].max() < x[~treated, k].min()
    ]
    why = f"told apart by {', '.join(outside)}" if outside else f"told apart by a combination of {names}"
    return f"cohort {label} ({units}): no overlap with its controls, {why}"
