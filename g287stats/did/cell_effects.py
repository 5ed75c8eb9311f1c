"""Effects of the cells of a group-time grid: from long differences of units, or from repeated cross sections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats.design.prepare import Design
from g287stats.did.comparisons import Grid, by_unit_and_period, cells_by_units, centred, refuse_collinear
from g287stats.errors import Problems
from g287stats.estimate.blocks import BlockedInfluence
from g287stats.numerics import cross_sections, two_by_two
from g287stats.numerics.memory import room
from g287stats.numerics.threads import one_thread
from g287stats.regression.regression import unit_keys


@dataclass(frozen=True)
class CellEffects:
    """Points (NaN where not identified), influence, and the overlap and problem of every cell of the grid."""

    point: np.ndarray
    influence: BlockedInfluence
    max_propensity: np.ndarray
    effective_controls: np.ndarray
    problem: np.ndarray
    share: np.ndarray  # (G,) cohort masses
    share_influence: np.ndarray  # rows × G


def by_long_differences(design: Design, grid: Grid, method: two_by_two.Method) -> CellEffects:
    """Long differences: cells of the same units together, which in a balanced panel are all of them."""
    n, p = design.n_units, design.covariates.shape[1]
    order = np.argsort(-design.cohort, kind="stable")
    w = _fixed_weights(design)
    y = room(len(grid.periods), n)
    for row, column in zip(y, by_unit_and_period(design, grid.periods, design.y).T):
        np.take(column, order, out=row, mode="clip")
    y -= y[np.argmax(~np.isnan(y), axis=0), np.arange(n)]  # levels drop out of long differences, digits do not
    x = centred(_regressors(design, grid.periods)[:, :, order], w[order])
    refuse_collinear(design, np.nan_to_num(x), w[order])
    use: two_by_two.Method = "reg" if p == 0 else method
    point, overlap = np.zeros(len(grid.t)), np.zeros((2, len(grid.t)))
    problem = np.full(len(grid.t), "", dtype=object)
    parts = []
    for units, live in cells_by_units(grid, ~np.isnan(y)):
        if not len(live):
            continue
        data, cells = _part(grid, live, units, y, x, w[order], design.cohort[order])
        with one_thread():
            fit = two_by_two.fit(data, cells, use)
        point[live] = fit.att
        overlap[:, live] = fit.max_propensity, fit.effective_controls
        problem[live[fit.collinear]] = "collinear"
        problem[live[fit.separated]] = "separated"
        good = np.flatnonzero(~(fit.collinear | fit.separated))
        fit = two_by_two.Fit(*(getattr(fit, f)[good] for f in two_by_two.Fit.__dataclass_fields__))
        parts.append((units, live[good], data, cells.take(good), fit))

    blocks = partial(_long_difference_blocks, parts, use, n)
    influence = BlockedInfluence(blocks, len(grid.t), order, _unit_keys(design), design.unit_labels)
    return CellEffects(point, influence, overlap[0], overlap[1], problem, *_shares(design.cohort, w, grid.cohorts))


def _shares(cohort: np.ndarray, w: np.ndarray, cohorts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted shares of the cohorts (G,) and their influence, rows × G."""
    member = np.multiply(cohort[:, None] == cohorts, w[:, None], out=room(len(w), len(cohorts)))
    share = member.mean(axis=0)
    member -= share
    member /= len(w)
    return share, member


def _long_difference_blocks(
    parts: Sequence[tuple[Any, ...]], method: two_by_two.Method, n: int, into: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(Cells, influence of all n units) from fits on some of the units."""
    for units, live, data, cells, fit in parts:
        whole_panel = len(parts) == 1 and len(units) == n
        for rows, psi in two_by_two.influence(data, cells, fit, method, into if whole_panel else None):
            if len(units) == n:
                yield live[rows], psi
                continue
            whole = np.zeros((len(rows), n))
            whole[:, units] = psi
            yield live[rows], whole


def _part(
    grid: Grid,
    live: np.ndarray,
    units: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    cohort: np.ndarray,
) -> tuple[two_by_two.Panel, two_by_two.Comparisons]:
    """The cells ``live`` on the columns ``units``, with the periods and the cohorts that they need."""
    t, b = np.searchsorted(grid.periods, grid.t[live]), np.searchsorted(grid.periods, grid.b[live])
    periods, place = np.unique(np.concatenate([t, b]), return_inverse=True)
    groups, group = np.unique(grid.group[live], return_inverse=True)
    if len(units) < len(cohort) or len(periods) < len(y):
        y = y[np.ix_(periods, units)]
        x = x[:, :, units] if len(x) == 1 else x[periods][:, :, units]
        w, cohort = w[units], cohort[units]
    descending, firsts = -cohort, -grid.cohorts[groups]
    start, stop = (np.searchsorted(descending, firsts, side=side) for side in ("left", "right"))
    n_control = np.searchsorted(descending, -grid.latest[live], side="left")
    t, b = place[: len(live)], place[len(live) :]
    version = b if len(x) > 1 else np.zeros_like(b)
    return two_by_two.Panel(np.ascontiguousarray(y), x, w, start, stop), two_by_two.Comparisons(
        group=group, t=t, b=b, n_control=n_control, version=version
    )


def _regressors(design: Design, periods: np.ndarray) -> np.ndarray:
    """Constant and covariates, versions × columns × units: one version when they are fixed in units, else by period."""
    columns = design.covariates.T
    fixed = [c for c in map(design.rows.at_units, columns) if c is not None]
    if len(fixed) == len(columns):
        return np.stack([np.ones(design.n_units), *fixed])[None]
    constant = by_unit_and_period(design, periods, np.ones(design.n))  # missing where there is no row
    return np.stack([constant.T, *(by_unit_and_period(design, periods, c).T for c in columns)], axis=1)


def _fixed_weights(design: Design) -> np.ndarray:
    """Weights by unit with mean one; weights that change within units are an error."""
    if design.weights is None:
        return np.ones(design.n_units)
    w = np.empty(design.n_units)
    w[design.unit] = design.weights
    changing = np.unique(design.unit[design.weights != w[design.unit]])
    if len(changing):
        problems = Problems(f"design for {design.outcome!r}")
        remedy = "Fix them at one period: df['w'] = df.groupby(unit)['w'].transform('first')"
        problems.add("weights change within units", design.unit_labels[changing], remedy)
        problems.raise_if_any()
    return w / w.mean()


def by_cross_sections(design: Design, grid: Grid, method: cross_sections.Method, *, by_unit: bool) -> CellEffects:
    """Repeated cross sections; influence by row, or summed by unit."""
    n_periods, count, unit = len(grid.periods), len(grid.t), design.unit
    cohort = design.cohort[unit]
    w = np.ones(design.n) if design.weights is None else design.weights / design.weights.mean()
    x = centred(np.vstack([np.ones(design.n), design.covariates.T])[None], w)[0]
    refuse_collinear(design, x[None], w)
    period = np.searchsorted(grid.periods, design.time)
    rows = np.lexsort((unit, -cohort, period))
    offset = np.searchsorted(period[rows], np.arange(n_periods + 1))
    distinct = np.unique(-design.cohort)
    key = period[rows] * (len(distinct) + 1) + np.searchsorted(distinct, -cohort[rows])

    def position(q: np.ndarray, codes: np.ndarray, side: Literal["left", "right"]) -> np.ndarray:
        """Rows before those of a cohort in a period (left), or up to its last (right)."""
        return np.searchsorted(key, q * (len(distinct) + 1) + np.searchsorted(distinct, -codes, side=side))

    start, stop = (position(np.arange(n_periods)[:, None], grid.cohorts[None, :], side) for side in ("left", "right"))
    order = np.argsort(-design.cohort, kind="stable") if by_unit else rows
    target = np.empty(len(order), dtype=np.int64)
    target[order] = np.arange(len(order))
    target = target[unit[rows]] if by_unit else np.arange(design.n)
    data = cross_sections.Sections(design.y[rows], x[:, rows], w[rows], offset, start, stop, target)
    live = np.flatnonzero(~grid.reference & ~grid.empty)
    periods = np.searchsorted(grid.periods, np.stack([grid.b[live], grid.t[live]]))
    n_control = position(periods, grid.latest[live], "left") - offset[periods]
    cells = cross_sections.Comparisons(grid.group[live], periods, n_control)
    with one_thread():
        fit = cross_sections.fit(data, cells, method)
    point, overlap = np.zeros(count), np.zeros((2, count))
    problem = np.full(count, "", dtype=object)
    point[live], problem[live] = fit.att, fit.problem
    overlap[:, live] = fit.max_propensity, fit.effective_controls

    blocks = partial(_cross_section_blocks, live, data, cells, fit, method)
    n = len(order)
    weight = np.bincount(unit, w) / np.bincount(unit) if by_unit else w
    if by_unit:
        keys, names = _unit_keys(design), design.unit_labels
    else:
        keys, names = {"observation": np.arange(n), **design.clusters}, None
    influence = BlockedInfluence(blocks, count, order, keys, names)
    shares = _shares(design.cohort if by_unit else cohort, weight, grid.cohorts)
    return CellEffects(point, influence, overlap[0], overlap[1], problem, *shares)


def _cross_section_blocks(
    live: np.ndarray,
    data: cross_sections.Sections,
    cells: cross_sections.Comparisons,
    fit: cross_sections.Fit,
    method: cross_sections.Method,
    _: np.ndarray | None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(Cells, influence of all rows or units)."""
    for some, psi in cross_sections.influence(data, cells, fit, method):
        yield live[some], psi


def _unit_keys(design: Design) -> dict[str, np.ndarray]:
    """Codes of every cluster level by unit; a level that changes within units is an error."""
    for level in design.clusters:
        if design.unit_level(level) is None:
            distinct = pd.Series(design.clusters[level]).groupby(design.unit).nunique()
            moving = design.unit_labels[distinct.index[distinct > 1]]
            problems = Problems(f"design for {design.outcome!r}")
            problems.add(f"cluster {level!r} changes within units", moving, "Cluster by a level that units stay in")
            problems.raise_if_any()
    return unit_keys(design)
