"""Group-time average treatment effects (Callaway and Sant'Anna 2021)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats.did.design import NEVER, Design, prepare
from g287stats.errors import DesignError, DesignWarning, IdentificationError, Problems
from g287stats.inference.blocks import BlockedInfluence
from g287stats.inference.covariance import Clustered, Neyman
from g287stats.inference.estimate import Cells, Estimate, Method
from g287stats.numerics import cross_sections, two_by_two
from g287stats.numerics.glm import deficient

METHOD = Method(
    key="att_gt",
    title="Callaway–Sant'Anna group-time effects",
    references=(
        "Callaway, B. and Sant'Anna, P. H. C. (2021). Difference-in-Differences with multiple time periods. "
        "Journal of Econometrics 225(2), 200–230.",
        "Sant'Anna, P. H. C. and Zhao, J. (2020). Doubly robust difference-in-differences estimators. "
        "Journal of Econometrics 219(1), 101–122.",
    ),
)


def att_gt(
    data: Any,
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
    panel: Literal["balanced_only", "keep_unbalanced", "cross_section"] = "balanced_only",
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
    data, outcome, unit, time, cohort
        See :func:`g287stats.did.design.prepare`. Units treated from the first period on (or within
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
        counted and listed. ``keep_unbalanced``: all rows, compared as repeated cross sections, with influence
        summed by unit. ``cross_section``: rows are different observations throughout; cohort shares are shares
        of rows.
    exit
        Column with the first period in which the unit is no longer treated (missing or 0: never). The estimator
        assumes that treatment stays on: any exit within the panel is an error that lists the units.
    treatment
        Column with the treatment in force by row (0/1), checked against ``cohort`` in the same way.
    small_sample
        ``did``: no factor and normal critical values, as in R ``did``; too short with few counties in a cohort.
        ``neyman``: a unit's influence is scaled by √(n_g/(n_g − 1)) among the n_g treated of its cohort and by
        √(n_c/(n_c − 1 − p)) among the n_c controls of a cell with p covariates, so that without covariates the
        variance is Neyman's unbiased one; t quantiles with Satterthwaite's degrees of freedom by parameter. For
        ``balanced_only`` and units that are independent of each other.
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
    _choose("control", control, ("never", "notyet"))
    _choose("method", method, ("dr", "ipw", "reg"))
    _choose("base", base, ("varying", "universal"))
    _choose("panel", panel, ("balanced_only", "keep_unbalanced", "cross_section"))
    _choose("small_sample", small_sample, ("did", "neyman"))
    _choose("on_unidentified", on_unidentified, ("error", "drop"))
    if anticipation < 0 or int(anticipation) != anticipation:
        raise DesignError(f"anticipation={anticipation}: a whole number of periods, 0 or more")
    if isinstance(covariates, str):
        covariates = (covariates,)
    if cohort is None and isinstance(data, pd.DataFrame):
        raise DesignError('name the cohort column: cohort="first_treated" (missing: never treated)')
    design = prepare(
        data, outcome, unit=unit, time=time, cohort=cohort, covariates=covariates, weights=weights, cluster=cluster
    )
    _refuse_exits(data, design, exit, treatment)
    if small_sample == "neyman":
        _refuse_dependence(design, panel)
    sample = _sample(design, anticipation, panel)
    grid = _grid(design, sample, control, base, anticipation)
    fitted = _estimate_panel if panel == "balanced_only" else _estimate_rows
    result = fitted(design, sample, grid, method)
    return _labelled(
        design,
        sample,
        grid,
        result,
        on_unidentified,
        options={
            "control": control, "method": method, "base": base, "anticipation": anticipation,
            "covariates": tuple(covariates), "weights": weights, "cluster": cluster, "panel": panel,
            "small_sample": small_sample,
        },
    )  # fmt: skip


# ---- who takes part --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Sample:
    """Units and rows that take part, ordered so that controls come first.

    ``rows`` positions in the design, by unit and time; ``units`` codes in label order (N,); ``order`` positions in
    ``units`` from the never treated to the earliest cohort; ``periods`` observed positions of the calendar.
    """

    rows: np.ndarray
    units: np.ndarray
    order: np.ndarray
    periods: np.ndarray
    cohort: np.ndarray
    notes: tuple[str, ...]
    steps: tuple[tuple[str, int, int, tuple[str, ...]], ...]
    mode: str


def _sample(design: Design, anticipation: int, panel: str) -> _Sample:
    """Drop always-treated and, for ``balanced_only``, units with gaps; count and list both."""
    keep = np.ones(design.n_units, dtype=bool)
    notes, steps = [], []
    periods = np.unique(design.time)

    def drop(gone: np.ndarray, reason: str, what: str) -> None:
        listed = tuple(str(label) for label in design.unit_labels[gone])
        shown = ", ".join(listed[:8]) + (", …" if len(listed) > 8 else "")
        steps.append((reason, int(gone[design.unit].sum()), int(gone.sum()), listed))
        notes.append(f"{gone.sum()} units {what}: {shown}")
        keep[gone] = False

    always = (design.cohort != NEVER) & (design.cohort <= anticipation)
    if always.any():
        when = "from the first period on" + (f" or within {anticipation} of it" if anticipation else "")
        drop(always, "always treated", f"treated {when} have no untreated period and leave the sample")
    if panel == "balanced_only":
        short = keep & (np.bincount(design.unit, minlength=design.n_units) < len(periods))
        if short.any():
            if short.sum() == keep.sum():
                raise DesignError(
                    f"no {design.unit_name} is observed in all {len(periods)} periods; "
                    'use panel="keep_unbalanced", or restrict the years'
                )
            text = "not observed in every period leave the sample (panel='keep_unbalanced' keeps them)"
            drop(short, "not in every period", text)
    if len(periods) < 2:
        raise DesignError(f"one period ({design.period_label(int(periods[0]))}): a comparison needs two")
    for note in notes:
        warnings.warn(f"{design.outcome}: {note}", DesignWarning, stacklevel=4)
    units = np.flatnonzero(keep)
    rows = np.flatnonzero(keep[design.unit])
    cohort = design.cohort[units]
    return _Sample(
        rows=rows,
        units=units,
        order=np.argsort(-cohort, kind="stable"),
        periods=periods,
        cohort=cohort,
        notes=tuple(notes),
        steps=tuple(steps),
        mode=panel,
    )


@dataclass(frozen=True)
class _Grid:
    """All cohort × time cells: calendar positions of cohort, period and base; ``latest`` = the control rule.

    Controls of a cell are units with cohort > ``latest`` (never-treated: ``latest`` is the last period), except
    the cell's own cohort. ``reference`` marks base cells, zero by normalisation; ``treated`` and ``controls`` count
    the units of each cell.
    """

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
        """Cells without control."""
        return (self.controls == 0) & ~self.reference


def _grid(design: Design, sample: _Sample, control: str, base: str, anticipation: int) -> _Grid:
    periods = sample.periods
    last = int(periods[-1])
    cohorts = np.unique(sample.cohort[sample.cohort <= last])
    if not len(cohorts):
        raise IdentificationError("no unit is first treated within the panel after its first period")
    if control == "never" and not (sample.cohort > last + anticipation).any():
        raise IdentificationError(
            'no unit is never treated within the panel; use control="notyet" to compare with later cohorts'
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
    ascending = np.sort(sample.cohort)
    own = np.searchsorted(ascending, g, side="right") - np.searchsorted(ascending, g, side="left")
    controls = len(ascending) - np.searchsorted(ascending, latest, side="right") - np.where(g > latest, own, 0)
    return _Grid(cohorts, group, t, b, latest, reference=t == b, treated=own, controls=controls)


# ---- estimation ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Result:
    """Points (NaN where not identified), influence, and the overlap and problem of every cell of the grid."""

    point: np.ndarray
    influence: BlockedInfluence
    max_propensity: np.ndarray
    effective_controls: np.ndarray
    problem: np.ndarray
    share: np.ndarray  # (G,) cohort masses
    share_influence: np.ndarray  # rows × G
    n_rows: int


def _estimate_panel(design: Design, sample: _Sample, grid: _Grid, method: two_by_two.Method) -> _Result:
    """Balanced panel: long differences, all cells together."""
    n, n_periods = len(sample.units), len(sample.periods)
    order = sample.order
    y = np.ascontiguousarray(design.y[sample.rows].reshape(n, n_periods)[order].T)
    w = np.ones(n)
    if design.weights is not None:
        by_time = design.weights[sample.rows].reshape(n, n_periods)
        changing = (by_time != by_time[:, :1]).any(axis=1)
        if changing.any():
            problems = Problems(f"design for {design.outcome!r}")
            remedy = "Fix them at one period: df['w'] = df.groupby(unit)['w'].transform('first')"
            problems.add("weights change within units", design.unit_labels[sample.units[changing]], remedy)
            problems.raise_if_any()
        w = by_time[:, 0] / by_time[:, 0].mean()
    p = design.covariates.shape[1]
    x = design.covariates[sample.rows].reshape(n, n_periods, p)
    fixed = bool((x == x[:, :1]).all())
    x = x[:, :1] if fixed else x
    regressors = np.ones((x.shape[1], p + 1, n))
    regressors[:, 1:] = x[order].transpose(1, 2, 0)
    _refuse_collinear(design, regressors, w[order])

    cohort = sample.cohort[order]
    descending = -cohort
    start = np.searchsorted(descending, -grid.cohorts, side="left")
    stop = np.searchsorted(descending, -grid.cohorts, side="right")
    data = two_by_two.Panel(y, regressors, w[order], start, stop)
    live = np.flatnonzero(~grid.reference & ~grid.empty)
    position = np.searchsorted(sample.periods, grid.b[live])
    cells = two_by_two.Comparisons(
        group=grid.group[live],
        t=np.searchsorted(sample.periods, grid.t[live]),
        b=position,
        n_control=np.searchsorted(descending, -grid.latest[live], side="left"),
        version=np.zeros_like(position) if fixed else position,
    )
    use: two_by_two.Method = "reg" if p == 0 else method
    fit = two_by_two.fit(data, cells, use)

    point = np.zeros(len(grid.t))
    point[live] = fit.att
    overlap = np.zeros((2, len(grid.t)))
    overlap[:, live] = fit.max_propensity, fit.effective_controls
    problem = np.full(len(grid.t), "", dtype=object)
    problem[live[fit.collinear]] = "collinear"
    problem[live[fit.separated]] = "separated"
    good = np.flatnonzero(~(fit.collinear | fit.separated))
    cells, live = cells.take(good), live[good]
    fit = two_by_two.Fit(*(getattr(fit, f)[good] for f in two_by_two.Fit.__dataclass_fields__))

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for rows, psi in two_by_two.influence(data, cells, fit, use):
            yield live[rows], psi

    keys = _keys(design, sample)
    member = (sample.cohort[:, None] == grid.cohorts) * w[:, None]
    share = member.mean(axis=0)
    influence = BlockedInfluence(blocks, len(grid.t), order, keys, design.unit_labels[sample.units])
    return _Result(point, influence, overlap[0], overlap[1], problem, share, (member - share) / n, len(sample.rows))


def _estimate_rows(design: Design, sample: _Sample, grid: _Grid, method: cross_sections.Method) -> _Result:
    """Repeated cross sections, one cell at a time; influence by row, or summed by unit."""
    rows = sample.rows
    y, time = design.y[rows], design.time[rows]
    unit = np.searchsorted(sample.units, design.unit[rows])
    cohort = sample.cohort[unit]
    w = np.ones(len(rows)) if design.weights is None else design.weights[rows] / design.weights[rows].mean()
    x = np.vstack([np.ones(len(rows)), design.covariates[rows].T])
    _refuse_collinear(design, x[None], w)
    by_unit = sample.mode == "keep_unbalanced"
    target = unit if by_unit else np.arange(len(rows))
    n = len(sample.units) if by_unit else len(rows)
    at = {int(period): np.flatnonzero(time == period) for period in sample.periods}

    def cell(j: int | np.integer[Any]) -> tuple[np.ndarray, cross_sections.CrossSection]:
        g = grid.cohorts[grid.group[j]]
        use = np.concatenate([at[grid.b[j]], at[grid.t[j]]])
        use = use[(cohort[use] == g) | (cohort[use] > grid.latest[j])]
        post = time[use] == grid.t[j]
        return use, cross_sections.compare(y[use], post, cohort[use] == g, x[:, use], w[use], method)

    count = len(grid.t)
    point, overlap = np.zeros(count), np.zeros((2, count))
    problem = np.full(count, "", dtype=object)
    live = []
    for j in np.flatnonzero(~grid.reference & ~grid.empty):
        _, found = cell(j)
        point[j], overlap[0, j], overlap[1, j] = found.att, found.max_propensity, found.effective_controls
        problem[j] = found.problem
        if not found.problem:
            live.append(int(j))

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for j in live:
            use, found = cell(j)
            yield np.array([j]), np.bincount(target[use], found.psi, n)[None, :]

    weight = np.bincount(unit, w) / np.bincount(unit) if by_unit else w
    member = ((sample.cohort if by_unit else cohort)[:, None] == grid.cohorts) * weight[:, None]
    share = member.mean(axis=0)
    keys = _keys(design, sample)
    influence = BlockedInfluence(
        blocks, count, np.arange(n), keys, design.unit_labels[sample.units] if by_unit else None
    )
    return _Result(point, influence, overlap[0], overlap[1], problem, share, (member - share) / n, len(rows))


def _keys(design: Design, sample: _Sample) -> dict[str, np.ndarray]:
    """Codes of every cluster level by influence row, recoded to those present."""
    if sample.mode == "cross_section":
        out: dict[str, np.ndarray] = {"observation": np.arange(len(sample.rows))}
        return out | {k: np.unique(v[sample.rows], return_inverse=True)[1] for k, v in design.clusters.items()}
    out = {design.unit_name: np.arange(len(sample.units))}
    for level in design.clusters:
        if level == design.unit_name:
            continue
        codes = design.unit_level(level)
        if codes is None:
            moving = _changing_units(design, level)
            problems = Problems(f"design for {design.outcome!r}")
            problems.add(f"cluster {level!r} changes within units", moving, "Cluster by a level that units stay in")
            problems.raise_if_any()
        else:
            out[level] = np.unique(codes[sample.units], return_inverse=True)[1]
    return out


def _changing_units(design: Design, level: str) -> list[str]:
    codes = pd.Series(design.clusters[level]).groupby(design.unit).nunique()
    return [str(design.unit_labels[k]) for k in codes.index[codes > 1]]


# ---- refusals --------------------------------------------------------------------------------------------------------
def _choose(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise DesignError(f"{name}={value!r}: choose from {', '.join(map(repr, allowed))}")


def _refuse_exits(data: Any, design: Design, exit: str | None, treatment: str | None) -> None:
    """Treatment that switches off is not what this estimator assumes: name the units and the ways out."""
    frame: pd.DataFrame = data if isinstance(data, pd.DataFrame) else data.frame
    if treatment is None and not isinstance(data, pd.DataFrame) and "treated" in frame:
        treatment = "treated"
    keys = frame[design.unit_name]
    gone: list[str] = []
    for name in (exit, treatment):
        if name and name not in frame:
            raise DesignError(f"no column {name!r} in the frame; columns are {list(map(str, frame.columns[:15]))}")
    if exit:
        value = frame[exit]
        numeric = value.dtype.kind in "iuf"
        there = value.notna() & (value != 0) & np.isfinite(value) if numeric else value.notna()
        last = design.period_label(design.n_periods - 1)
        inside = np.array([bool(t) and v <= last for t, v in zip(there, value)])
        gone = sorted({str(k) for k in keys[inside].unique()})
    if treatment and not gone:
        on = pd.DataFrame({"unit": keys, "time": frame[design.time_name], "on": frame[treatment]}).dropna()
        on = on.sort_values(["unit", "time"], kind="stable")
        state = on["on"].to_numpy(dtype=float) > 0
        off = (on["unit"].to_numpy()[1:] == on["unit"].to_numpy()[:-1]) & state[:-1] & ~state[1:]
        gone = sorted({str(k) for k in on["unit"].to_numpy()[1:][off]})
    if gone:
        problems = Problems(f"design for {design.outcome!r}")
        remedy = (
            "att_gt assumes that treatment stays on. Use g.switching_did for treatments that switch, "
            "end each unit's record at its exit (g.Exposure(on_exit='censor') with panel='keep_unbalanced'), "
            "or state that exposure is absorbing (g.Exposure(on_exit='absorbing')) and leave the column out"
        )
        problems.add("treatment switches off", gone, remedy)
        problems.raise_if_any()


def _refuse_dependence(design: Design, panel: str) -> None:
    """Neyman's variance is that of independent units with long differences."""
    coarser = [level for level in design.clusters if level != design.unit_name]
    if panel != "balanced_only" or coarser:
        found = f"cluster={coarser[0]!r}" if coarser else f"panel={panel!r}"
        raise DesignError(
            f'small_sample="neyman" is for independent units in a balanced panel, not {found}; use small_sample="did", '
            "with few clusters g.randomization_test or g.wild_bootstrap of a regression"
        )


def _refuse_collinear(design: Design, x: np.ndarray, w: np.ndarray) -> None:
    """Covariates that are collinear (with the constant or each other) in every version: name the columns."""
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


def _describe_problem(design: Design, sample: _Sample, cohort: int, kind: str) -> str:
    """Words for a cohort that is not identified: what is missing and, for overlap, which covariate tells it apart."""
    size = int((sample.cohort == cohort).sum())
    units = "1 unit" if size == 1 else f"{size} units"
    label = design.period_label(int(cohort))
    if kind == "empty":
        return f"cohort {label} ({units}): no row of the cohort or of its controls in one of the two periods"
    names = ", ".join(map(repr, design.covariate_names))
    if kind == "collinear":
        return f"cohort {label} ({units}): too few units, or too little variation, to fit {names}"
    unit = np.searchsorted(sample.units, design.unit[sample.rows])
    treated = sample.cohort[unit] == cohort
    x = design.covariates[sample.rows]
    outside = [
        f"{name!r} ({x[treated, k].min():.4g} to {x[treated, k].max():.4g} against "
        f"{x[~treated, k].min():.4g} to {x[~treated, k].max():.4g} elsewhere)"
        for k, name in enumerate(design.covariate_names)
        if x[treated, k].min() > x[~treated, k].max() or x[treated, k].max() < x[~treated, k].min()
    ]
    why = f"told apart by {', '.join(outside)}" if outside else f"told apart by a combination of {names}"
    return f"cohort {label} ({units}): no overlap with its controls, {why}"


# ---- labels ----------------------------------------------------------------------------------------------------------
def _labelled(
    design: Design,
    sample: _Sample,
    grid: _Grid,
    result: _Result,
    on_unidentified: str,
    options: dict[str, Any],
) -> Estimate:
    calendar = [design.period_label(int(p)) for p in range(design.n_periods)]
    names = [str(label) for label in calendar]
    cohort_position = grid.cohorts[grid.group]
    event_time = grid.t - cohort_position
    problem = result.problem.copy()
    problem[grid.empty] = "no controls"
    notes = [*design.notes, *sample.notes]

    failed = (problem != "") & (problem != "no controls")
    if failed.any():
        pairs = pd.DataFrame({"c": cohort_position[failed], "p": problem[failed]}).drop_duplicates()
        problems = Problems(f"att_gt of {design.outcome!r}")
        for c, kind in pairs.itertuples(index=False):
            problems.add(_describe_problem(design, sample, int(c), kind))
        if on_unidentified == "error":
            problems.add('Use fewer covariates, method="reg", or on_unidentified="drop" to leave these cells out')
            problems.raise_if_any(IdentificationError)
        notes += [f"left out: {line}" for line in problems.lines]
    if grid.empty.any():
        cells = [f"({names[c]},{names[t]})" for c, t in zip(cohort_position[grid.empty], grid.t[grid.empty])]
        shown = ", ".join(cells[:6]) + (", …" if len(cells) > 6 else "")
        notes.append(f"{len(cells)} cohort × time cells have no controls and are left out of every aggregate: {shown}")
    for note in notes[len(design.notes) + len(sample.notes) :]:
        warnings.warn(f"{design.outcome}: {note}", DesignWarning, stacklevel=3)

    keep = np.flatnonzero(problem == "")
    if not len(keep):
        raise IdentificationError(f"att_gt of {design.outcome!r}: no cohort × time cell has a valid comparison")
    frame = pd.DataFrame(
        {
            "cohort": _take(calendar, cohort_position),
            "time": _take(calendar, grid.t),
            "event_time": event_time,
            "reference": grid.reference,
        }
    )
    refused = frame.loc[problem != "", ["cohort", "time"]].assign(reason=problem[problem != ""])
    overlap = _overlap(grid, result, np.flatnonzero((problem == "") & ~grid.reference), calendar)
    labels = frame.iloc[keep].reset_index(drop=True)
    text = np.array(names, dtype=object)
    labels.insert(0, "term", "att(" + text[cohort_position[keep]] + "," + text[grid.t[keep]] + ")")
    mass = result.share[grid.group[keep]]
    influence = result.influence if len(keep) == len(problem) else _subset(result.influence, keep)
    level = options["cluster"] or next(iter(influence.keys))
    level = level if level in influence.keys else next(iter(influence.keys))
    counts = {k: int(v.max()) + 1 for k, v in influence.keys.items()}
    rule = Clustered((level,), small_sample="did", n_obs=result.n_rows, n_clusters=counts, normal=True)
    shares = result.share_influence
    if options["small_sample"] == "neyman":
        rule = _neyman_rule(design, sample, grid, keep, rule)
        influence = _neyman_influence(sample, grid, keep, influence, design.covariates.shape[1])
        shares = shares * np.sqrt(len(shares) / (len(shares) - 1))
    present = np.unique(grid.group[keep])
    treated = np.isin(sample.cohort, grid.cohorts[present])
    return Estimate(
        labels=labels,
        point=result.point[keep],
        influence=influence,
        rule=rule,
        kind="group_time",
        method=METHOD,
        outcome=design.outcome,
        sample={
            "n_obs": result.n_rows,
            "n_units": len(sample.units),
            "n_periods": len(sample.periods),
            "n_treated": int(treated.sum()),
            "n_cohorts": len(present),
            "balanced": sample.mode == "balanced_only",
            "flow": _flow(design, sample, result.n_rows),
            "overlap": overlap,
            "refused": refused.reset_index(drop=True),
        },
        options=options,
        cells=Cells(
            frame=labels.drop(columns="term").assign(mass=mass),
            mass_group=grid.group[keep],
            mass_influence=shares,
        ),
        reference=tuple(labels.loc[labels["reference"], "term"]),
        notes=tuple(notes),
        provenance=design.provenance,
        design=design,
    )


def _overlap(grid: _Grid, result: _Result, cells: np.ndarray, calendar: list[Any]) -> pd.DataFrame:
    """By cohort: the largest propensity among controls, the smallest effective number of controls."""
    largest, fewest = np.zeros(len(grid.cohorts)), np.full(len(grid.cohorts), np.inf)
    np.maximum.at(largest, grid.group[cells], result.max_propensity[cells])
    np.minimum.at(fewest, grid.group[cells], result.effective_controls[cells])
    present = np.isfinite(fewest)
    return pd.DataFrame(
        {
            "cohort": _take(calendar, grid.cohorts[present]),
            "max_propensity": largest[present],
            "effective_controls": fewest[present],
        }
    )


def _take(calendar: list[Any], positions: np.ndarray) -> Any:
    """Labels at calendar positions, typed (integers, or a PeriodIndex)."""
    if calendar and isinstance(calendar[0], pd.Period):
        return pd.PeriodIndex(calendar)[positions]
    return np.asarray(calendar)[positions]


def _subset(influence: BlockedInfluence, keep: np.ndarray) -> BlockedInfluence:
    """Influence of the parameters ``keep``; blocks never hold the others."""
    place = np.full(influence.n_params, -1)
    place[keep] = np.arange(len(keep))

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for columns, values in influence.blocks():
            yield place[columns], values

    return BlockedInfluence(blocks, len(keep), influence.order, influence.keys, influence.labels)


# ---- Neyman's variance -----------------------------------------------------------------------------------------------
def _neyman_rule(design: Design, sample: _Sample, grid: _Grid, keep: np.ndarray, rule: Clustered) -> Neyman:
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
    place = np.searchsorted(cohorts, sample.cohort)
    groups = np.where(np.isin(sample.cohort, cohorts), place, len(cohorts))
    size = np.bincount(groups)
    freedom = size - 1.0
    freedom[len(cohorts) :] = np.maximum(freedom[len(cohorts) :] - p, 1.0)
    return Neyman(rule.levels, "did", rule.n_obs, n_clusters=rule.n_clusters, groups=groups, group_df=freedom)


def _neyman_influence(
    sample: _Sample, grid: _Grid, keep: np.ndarray, influence: BlockedInfluence, p: int
) -> BlockedInfluence:
    """Scale the influence of treated and of controls, cell by cell, to unbiased variances of their means."""
    descending = -sample.cohort[influence.order]
    cohort = grid.cohorts[grid.group[keep]]
    start, stop = (np.searchsorted(descending, -cohort, side=side) for side in ("left", "right"))
    treated, controls = grid.treated[keep], np.maximum(grid.controls[keep], 2 + p)  # base cells have no influence
    treated_factor = np.sqrt(treated / np.maximum(treated - 1, 1))
    control_factor = np.sqrt(controls / (controls - 1 - p))

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for columns, values in influence.blocks():
            scaled = values * control_factor[columns][:, None]
            for k, j in enumerate(columns):
                own = slice(start[j], stop[j])
                scaled[k, own] = values[k, own] * treated_factor[j]
            yield columns, scaled

    return BlockedInfluence(blocks, len(keep), influence.order, influence.keys, influence.labels)


def _flow(design: Design, sample: _Sample, kept: int) -> pd.DataFrame:
    """Rows and units from the frame offered to the sample used."""
    table = design.flow.to_frame()
    more = [(reason, -rows, units) for reason, rows, units, _ in sample.steps]
    last = pd.DataFrame([*more, ("kept", kept, len(sample.units))], columns=table.columns)
    return pd.concat([table.iloc[:-1], last], ignore_index=True)
