"""Stacked difference-in-differences: every cohort with its own clean controls in its own window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import pandas as pd

from g287stats.arguments import documented
from g287stats.design.coding import window_pair
from g287stats.design.keys import Data
from g287stats.design.prepare import Design, prepare
from g287stats.design.wide import dated
from g287stats.errors import DesignError, IdentificationError, choose
from g287stats.estimate.covariance import Influence, SmallSample
from g287stats.estimate.estimate import Estimate, Method
from g287stats.numerics.least_squares import Factor
from g287stats.numerics.rows import Levels, Rows
from g287stats.regression.event import with_average
from g287stats.regression.regression import Block, regress, tell

Corrective = Literal["none", "aggregate", "sample_share"]

METHOD = Method(
    "stacked",
    "Stacked difference-in-differences",
    (
        "Cengiz, D., Dube, A., Lindner, A. and Zipperer, B. (2019). The effect of minimum wages on low-wage jobs. "
        "Quarterly Journal of Economics 134(3), 1405–1454. doi:10.1093/qje/qjz014",
        "Wing, C., Freedman, S. M. and Hollingsworth, A. (2024). Stacked difference-in-differences. NBER Working Paper "
        "32054. doi:10.3386/w32054",
    ),
)


@documented()
def stacked(
    data: Data,
    outcome: str,
    *,
    window: tuple[int, int],
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    control: Literal["never", "notyet"] = "notyet",
    shape: Literal["event", "static"] = "event",
    corrective: Corrective = "none",
    covariates: Sequence[str] = (),
    weights: str | None = None,
    cluster: str | Sequence[str] | None = None,
    small_sample: SmallSample = "nonnested",
) -> Estimate:
    """Stack one data set per cohort and estimate one event study on the stack.

    The data set of cohort g holds the periods g + window[0] … g + window[1] of the units first treated in g and of
    its clean controls. With s a data set, on all of them,

        y_its = Σ_{e ≠ −1} τ_e 1{i in cohort of s} 1{t − g_s = e} + α_is + λ_ts + ε_its   (Cengiz et al. 2019).

    With corrective weights (Wing, Freedman and Hollingsworth 2024) λ is common to all data sets by event time, and
    controls are weighted so that their composition over data sets is that of the treated: τ_e then is an average of
    cohort effects with stated shares rather than with those of least squares.

    Parameters
    ----------
    window
        First and last event time, ``(-3, 2)``. Cohorts whose window leaves the calendar are left out and listed, so
        that every event time is about the same cohorts.
    control
        ``never`` treated within the panel, or also those ``notyet`` treated by the end of the window.
    shape
        ``event``: one parameter per event time, ``overall`` their average after treatment; ``static``: one parameter.
    corrective
        ``none``; ``aggregate``: cohorts weigh as their treated units; ``sample_share``: as all units of their data
        set.
    cluster
        Column, or two columns, of the clusters; default the unit, which repeats across data sets.

    Returns
    -------
    Estimate
        Influence functions are by unit, summed over data sets. ``sample`` counts the rows of the stack as ``n_obs``,
        ``n_stacks`` and, under ``stacks``, treated and control units of each.

    Raises
    ------
    DesignError
        A window without a period before or after treatment; treatment that ends.
    IdentificationError
        No cohort with its window inside the panel and clean controls.
    """
    choose("shape", shape, ("event", "static"))
    control = choose("control", control, ("never", "notyet"))
    choose("corrective", corrective, get_args(Corrective))
    low, high = window = window_pair(window)
    if low > -1 or high < 0:
        raise DesignError(f"window={window} must hold a period before and one after treatment: window=(-3, 2)")
    design = prepare(
        data,
        outcome,
        unit=unit,
        time=time,
        cohort=cohort,
        treatment=treatment,
        covariates=covariates,
        weights=weights,
        cluster=cluster,
    )
    design = dated(design, "use g.switching_did")
    stack, event, table, notes = _stack(design, window, control, corrective)
    tell(design, notes)
    treated = stack.cohort[stack.unit] == 0
    if shape == "static":
        fit = regress(stack, [Block(("att",), columns=(treated & (event >= 0)).astype(float)[:, None])])
        names: tuple[str, ...] = ("att",)
        labels = pd.DataFrame({"term": ["att"]})
    else:
        shown = [e for e in range(low, high + 1) if e != -1]
        lookup = np.full(high - low + 1, -1)
        lookup[np.array(shown) - low] = np.arange(len(shown))
        names = tuple(str(e) for e in shown)
        fit = regress(stack, [Block(names, Factor(np.where(treated, lookup[event - low], -1), len(shown)))])
        labels = pd.DataFrame({"term": names, "event_time": shown})
    result = fit.estimate(
        names,
        kind=shape,
        method=METHOD,
        labels=labels,
        cluster=cluster or design.unit_name,
        small_sample=small_sample,
        options={"window": window, "control": control, "corrective": corrective, "weights": weights},
        notes=notes,
        reference=(-1,) if shape == "event" else (),
    )
    counts = {"n_stacks": len(table), "n_obs": stack.n, "n_treated": int(table["n_treated"].sum()), "stacks": table}
    used = np.unique(stack.clusters[design.unit_name])
    result = replace(_by_unit(result, design, stack), sample=design.sample() | counts | {"n_units": len(used)})
    return with_average(result) if shape == "event" else result


def _stack(
    design: Design, window: tuple[int, int], control: str, corrective: Corrective
) -> tuple[Design, np.ndarray, pd.DataFrame, list[str]]:
    """Return the stacked design, event times by row, a table of its data sets, and notes.

    In the stacked design a unit is a unit in one data set, its ``cohort`` is 0 when treated there and 1 otherwise,
    ``time`` is the effect λ (data set × period, or event time).
    """
    low, high = window
    t = design.n_periods
    starts = np.unique(design.cohort[(design.cohort > 0) & (design.cohort < t)])
    notes, sets = [], []
    for g in starts:
        name = design.calendar[g]
        if g + low < 0 or g + high >= t:
            units = int((design.cohort == g).sum())
            notes.append(f"cohort {name} ({units} units) is left out: its window {window} leaves the calendar")
            continue
        clean = design.cohort >= t if control == "never" else design.cohort > g + high
        mine = design.cohort == g
        rows = np.flatnonzero((mine | clean)[design.unit] & (design.time >= g + low) & (design.time <= g + high))
        here = np.unique(design.unit[rows])
        n_treated, n_control = int(mine[here].sum()), int(clean[here].sum())
        if not n_treated or not n_control:
            what = "clean controls" if n_treated else "observations in its window"
            notes.append(f"cohort {name} is left out: no {what}")
            continue
        sets.append((g, rows, n_treated, n_control))
    if not sets:
        raise IdentificationError(
            f"{design.outcome}: no cohort has the window {window} inside the panel and clean controls; "
            + ("; ".join(notes) or "no unit starts treatment inside the panel")
        )
    table = pd.DataFrame(
        [(design.calendar[g], n1, n0, len(rows)) for g, rows, n1, n0 in sets],
        columns=["cohort", "n_treated", "n_control", "n_obs"],
    )
    rows = np.concatenate([s[1] for s in sets])
    number = np.repeat(np.arange(len(sets)), table["n_obs"])
    start = np.array([s[0] for s in sets])[number]
    event = design.time[rows] - start
    pair, unit = np.unique(number * design.n_units + design.unit[rows], return_inverse=True)
    unit = unit.reshape(-1)
    own = (design.cohort[design.unit[rows]] == start).astype(int)
    is_treated = np.zeros(len(pair), dtype=int)
    is_treated[unit] = own
    length = high - low + 1
    period = event - low if corrective != "none" else number * length + event - low
    n_periods = length if corrective != "none" else length * len(sets)
    weights = None if design.weights is None else design.weights[rows]
    if corrective != "none":
        factor = _corrective(table, corrective)[own, number]
        weights = factor if weights is None else weights * factor
    levels = {k: np.unique(v[rows], return_inverse=True)[1].reshape(-1) for k, v in design.clusters.items()}
    name = f"{design.unit_name}×stack"
    at = Rows(len(pair), n_periods, unit, period)
    stack = replace(
        design,
        unit_name=name,
        y=design.y[rows],
        rows=at,
        unit_labels=design.unit_labels[pair % design.n_units].rename(name),
        calendar=pd.RangeIndex(n_periods, name=f"{design.time_name}×stack"),
        cohort=1 - is_treated,
        covariates=design.covariates[rows],
        weights=weights,
        clusters=Levels(at, {name: unit, **levels}),
    )
    return stack, event, table, notes


def _corrective(table: pd.DataFrame, kind: Corrective) -> np.ndarray:
    """Weights (2 × data sets) of control (row 0) and treated (row 1) units in each data set."""
    n1, n0 = table["n_treated"].to_numpy(float), table["n_control"].to_numpy(float)
    share = (n1 if kind == "aggregate" else n1 + n0) / (n1.sum() if kind == "aggregate" else (n1 + n0).sum())
    return np.array([share / (n0 / n0.sum()), share / (n1 / n1.sum())])


def _by_unit(estimate: Estimate, design: Design, stack: Design) -> Estimate:
    """Sum influence over the data sets in which a unit appears, where clusters are constant within units."""
    psi, keys = estimate.influence.psi, estimate.influence.keys
    codes = keys[design.unit_name]
    by_level = {
        v: keys[v] for v in (design.unit_name, *(k for k in keys if k not in (stack.unit_name, design.unit_name)))
    }
    if len(psi) == stack.n_units:
        psi = estimate.influence.sums(codes)
        first = np.unique(codes, return_index=True)[1]
        by_level = {v: c[first] for v, c in by_level.items()}
    present = np.zeros(design.n_units, dtype=bool)
    present[design.unit_labels.get_indexer(stack.unit_labels)] = True
    return replace(estimate, influence=Influence(psi, by_level, design.unit_labels[present]))
