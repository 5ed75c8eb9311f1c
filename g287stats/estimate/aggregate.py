"""Aggregation of cohort × time effects, written once for every estimator that has them.

Within each output the cells are averaged with weights proportional to their mass. When the masses are estimated
(cohort shares, Callaway and Sant'Anna 2021), the influence function of the shares is added: with ``S`` the sum of
the masses and ``θ`` the average, moving the mass of cell j by one moves the average by ``(att_j − θ) / S``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd
from scipy import sparse

from g287stats.design.coding import window_pair
from g287stats.errors import DesignError, choose
from g287stats.estimate.estimate import Aggregation, Cells
from g287stats.numerics.memory import room

if TYPE_CHECKING:
    from g287stats.estimate.estimate import Estimate


def aggregate(
    estimate: Estimate,
    kind: Aggregation = "simple",
    *,
    window: tuple[int, int] | None = None,
    balance: int | None = None,
) -> Estimate:
    """Average cohort × time effects.

    ``simple``
        one number: every treated cell (event time ≥ 0), weighted by mass.
    ``event``
        one effect per event time, cohorts weighted by mass. ``overall`` is the plain average over event times
        ≥ 0. ``window=(-4, 4)`` keeps event times in the closed interval, also in ``overall``. ``balance=e`` keeps
        the cohorts observed at least ``e`` periods after treatment and event times up to ``e``, so that the same
        cohorts stand behind 0 … e.
    ``cohort``
        one effect per cohort, its treated cells weighted by mass (equally, when a cohort's mass is its share).
        ``overall`` weights cohorts by their mass, averaged over their cells.
    ``calendar``
        one effect per period, the cohorts treated by then weighted by mass; ``overall`` is the plain average.

    Returns an :class:`~g287stats.estimate.estimate.Estimate`; the scalar summary is in ``.overall``.
    """
    if estimate.cells is None:
        raise DesignError(
            f"a {estimate.kind!r} estimate of {estimate.method.key} has no cohort × time cells to aggregate; "
            "aggregate the group-time estimate itself (att_gt, sun_abraham, imputation)"
        )
    kind = choose("kind", kind, get_args(Aggregation))
    if kind != "event" and (window is not None or balance is not None):
        raise DesignError(f"window= and balance= go with 'event', not {kind!r}")
    cells = estimate.cells
    frame = cells.frame
    event = frame["event_time"].to_numpy()
    keep = np.ones(len(frame), dtype=bool) if kind == "event" else event >= 0
    if window is not None:
        low, high = window = window_pair(window)
        keep &= (event >= low) & (event <= high)
    if balance is not None:
        last = frame["event_time"].groupby(frame["cohort"].to_numpy()).transform("max").to_numpy()
        keep &= (last >= balance) & (event <= balance)
    if not keep.any():
        raise DesignError(f"no cells to aggregate to {kind!r}: event times run from {event.min()} to {event.max()}")
    mass = frame["mass"].to_numpy(dtype=float)

    if kind == "simple":
        return _averages(estimate, [np.flatnonzero(keep)], mass, {"term": ["att"]}, kind)

    column = {"event": "event_time", "cohort": "cohort", "calendar": "time"}[kind]
    members = _members(frame[column], keep)
    values = list(members)
    labels: dict[str, list[Any]] = {"term": [str(v) for v in values], column: values}
    fixed = frame["reference"].to_numpy(dtype=bool) if "reference" in frame else np.zeros(len(frame), dtype=bool)
    normalised = tuple(v for v, rows in members.items() if fixed[rows].all())
    if kind == "event":  # references that have no cells: effects are relative to them
        from_, to = window or (-np.inf, np.inf)
        times = [e for e in estimate.reference if isinstance(e, (int, np.integer))]
        normalised += tuple(e for e in times if e not in members and from_ <= e <= to)
    out = _averages(estimate, list(members.values()), mass, labels, kind, reference=normalised)

    if kind == "event":
        after = np.array(values, dtype=int) >= 0
        weights = after / after.sum() if after.any() else None
        extra = None
    elif kind == "cohort":
        share = np.array([mass[rows].mean() for rows in members.values()])
        weights = share / share.sum()
        extra = _share_influence(cells, list(members.values()), out.point, share)
    else:
        weights, extra = np.full(len(values), 1 / len(values)), None
    if weights is None:
        return out
    overall = out.combine(weights[None, :], ["overall"], kind="simple", extra=extra)
    return replace(out, overall=overall, labels=labels)


def _members(column: pd.Series, keep: np.ndarray) -> dict[object, np.ndarray]:
    """Positions of the kept cells by sorted value of ``column``."""
    kept = np.flatnonzero(keep)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf":
        values, codes = np.unique(column.to_numpy()[kept], return_inverse=True)
        labels = values.tolist()
    else:
        codes, labels = pd.factorize(column.iloc[kept], sort=True)
    order = np.argsort(codes, kind="stable")
    pieces = np.split(kept[order], np.cumsum(np.bincount(codes, minlength=len(labels)))[:-1])
    return dict(zip(labels, pieces))


def _averages(
    estimate: Estimate,
    members: list[np.ndarray],
    mass: np.ndarray,
    labels: dict[str, list[Any]],
    kind: str,
    reference: tuple[object, ...] = (),
) -> Estimate:
    """Mass-weighted averages of the cells listed in ``members``, with the influence of estimated masses."""
    totals = np.array([mass[cells].sum() for cells in members])
    if not (totals > 0).all():
        raise DesignError(f"the cells behind {labels['term'][int(np.argmin(totals))]!r} have no mass")
    size = [len(cells) for cells in members]
    cell, row = np.concatenate(members), np.repeat(np.arange(len(members)), size)
    start = np.concatenate([[0], np.cumsum(size)])
    weights = sparse.csr_matrix((mass[cell] / totals[row], cell, start), shape=(len(members), len(mass)))
    point = np.bincount(row, weights.data * estimate.point[cell], len(members))
    extra = None
    cells = estimate.cells
    if cells is not None and cells.mass_influence is not None and cells.mass_group is not None:
        slope = np.zeros((len(members), cells.mass_influence.shape[1]))
        np.add.at(slope, (row, cells.mass_group[cell]), (estimate.point[cell] - point[row]) / totals[row])
        extra = np.matmul(cells.mass_influence, slope.T, out=room(len(cells.mass_influence), len(members)))
    return replace(
        estimate,
        labels=labels,
        point=point,
        influence=estimate.influence.combine(weights, extra),
        averages=None if estimate.averages is None or extra is not None else estimate.averages.through(weights),
        kind=kind,
        cells=None,
        overall=None,
        reference=reference,
    )


def _share_influence(cells: Cells, members: list[np.ndarray], att: np.ndarray, share: np.ndarray) -> np.ndarray | None:
    """The same for the average over cohorts, each cohort being one group of mass."""
    if cells.mass_influence is None or cells.mass_group is None:
        return None
    gap = (att - share @ att / share.sum()) / share.sum()
    groups = [int(cells.mass_group[rows[0]]) for rows in members]
    return cells.mass_influence[:, groups] @ gap[:, None]
