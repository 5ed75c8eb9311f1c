"""Unit × period matrices from a prepared design, for estimators that compare whole paths of units."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from g287stats.design.coding import calendar
from g287stats.design.keys import Data, refuse_exits
from g287stats.design.prepare import NEVER, Design, Path, prepare
from g287stats.errors import DesignError, DesignWarning, Problems, caution, first_of


def matrix(design: Design, values: np.ndarray | None = None) -> np.ndarray:
    """Return ``values`` (default: the outcome) as units × calendar positions, NaN where there is no row."""
    out = np.full((design.n_units, design.n_periods), np.nan)
    out[design.unit, design.time] = design.y if values is None else values
    return out


def unit_weights(design: Design, problems_to: list[str] | None = None) -> np.ndarray:
    """Return one weight per unit, (N,): the mean of its observation weights; ones when there are none.

    Weights that change within units are averaged, and counted in ``problems_to``.
    """
    if design.weights is None:
        return np.ones(design.n_units)
    rows = np.bincount(design.unit, minlength=design.n_units)
    mean = np.bincount(design.unit, design.weights, design.n_units) / rows
    moving = np.zeros(design.n_units, dtype=bool)
    moving[design.unit[~np.isclose(design.weights, mean[design.unit], rtol=1e-12, atol=0)]] = True
    if moving.any() and problems_to is not None:
        problems_to.append(f"weights change within {int(moving.sum())} units; their mean over the unit's rows is used")
    return mean


def labelled(design: Design, units: np.ndarray, show: int = 8) -> str:
    """Return the first ``show`` labels of ``units`` (codes or mask) for a message."""
    codes = np.flatnonzero(units) if units.dtype == bool else units
    return first_of(design.unit_labels[codes], show)


UNDATED = -(1 << 40)
"""Cohort code of units treated in their first row with a known treatment: since when is unknown."""


def dated(design: Design, fits: str) -> Design:
    """Return the design by cohorts: its own, or those of a 0/1 treatment that stays on, with the notes of dating it.

    Raises
    ------
    DesignError
        A treatment that is not 0/1, or that switches off, naming the units and ``fits``: what to use instead.
    """
    if design.treatment is None:
        must_stay_on(design, fits)
        return design
    assert design.path is not None
    cohort, notes = onsets(design, design.path, fits)
    for note in notes:
        caution(
            f"{design.outcome}: {note}",
            DesignWarning,
        )
    return replace(design, cohort=cohort, treatment=None, path=None, notes=(*design.notes, *notes))


def must_stay_on(design: Design, fits: str) -> None:
    """Refuse a panel object given by cohorts whose own treatment switches off, naming the units."""
    refuse_exits(design.exits, f"design for {design.outcome!r}", fits)


def onsets(design: Design, path: Path, fits: str) -> tuple[np.ndarray, list[str]]:
    """Return each unit's first treated period, (N,), read from every row with a known treatment, and what to tell.

    Positions count from the design's first period and may lie before or after its calendar; :data:`UNDATED` are units
    never seen untreated. A treatment that ends is an error when it does so before the unit's last row in the design.
    """
    known = ~np.isnan(path.values)
    value, unit, time = path.values[known], path.rows.unit[known], path.rows.time[known] + path.first
    found = np.unique(value)
    if not np.isin(found, (0.0, 1.0)).all():
        raise DesignError(f"treatment must be 0 or 1 here; found {found[:6].tolist()}. For doses use g.intensity_did")
    place = path.unit_labels.get_indexer(design.unit_labels)
    on = np.flatnonzero(value == 1)
    started, where = np.unique(unit[on], return_index=True)
    at = on[where]
    start = np.full(len(path.unit_labels), NEVER)
    start[started] = time[at]
    last = np.full(len(path.unit_labels), -NEVER)
    np.maximum.at(last, place[design.unit], design.time)
    over = np.zeros(len(path.unit_labels), dtype=bool)
    over[unit[(value == 0) & (time > start[unit]) & (time <= last[unit])]] = True
    ends = over[place]
    if ends.any():
        raise DesignError(
            f"treatment switches off in {int(ends.sum())} units: {labelled(design, ends)}. "
            f"This estimator assumes it stays on; {fits}, or recode it as absorbing (ever treated) and say so"
        )
    before = (at > 0) & (unit[at - 1] == started)
    start[started[~before]] = UNDATED
    unseen = np.zeros(len(path.unit_labels), dtype=bool)
    unseen[started[before & (time[at] - time[at - 1] > 1)]] = True
    cohort, unseen = start[place], unseen[place]
    notes = []
    early, undated = (cohort <= 0), cohort == UNDATED
    late = (cohort >= design.n_periods) & (cohort != NEVER)
    if early.any():
        notes.append(f"{int(early.sum())} units are treated from the first period on or earlier")
    if undated.any():
        notes.append(
            f"{int(undated.sum())} units are treated in their first row with a known treatment, since when is unknown: "
            f"{labelled(design, undated)}"
        )
    if late.any():
        notes.append(f"{int(late.sum())} units are first treated after the last period {design.calendar[-1]}")
    if unseen.any():
        notes.append(
            f"treatment is not known in the period before the first treated row of {int(unseen.sum())} units, which "
            f"are dated at that row and may have started earlier: {labelled(design, unseen)}"
        )
    return cohort, notes


def places(design: Design, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit and the calendar position of every row of the frame, as the design reads them; −1: not in it."""
    unit = design.unit_labels.get_indexer(frame[design.unit_name])
    first = getattr(design.calendar[0], "ordinal", design.calendar[0])
    time = calendar(frame[design.time_name], design.time_name, Problems(design.outcome))[0] - int(first)
    return unit, np.where((time >= 0) & (time < design.n_periods), time, -1)


def place_of(design: Design, seen: Design) -> int:
    """Return the position of the first period of ``seen``, of the same frame, on the calendar of ``design``."""
    first, other = design.calendar[0], seen.calendar[0]
    return int(other.ordinal - first.ordinal) if hasattr(first, "ordinal") else int(other) - int(first)


def quiet_prepare(data: Data, outcome: str, **keys: Any) -> Design:
    """Prepare a second column of the same frame without repeating the warnings of the first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        return prepare(data, outcome, **keys)
