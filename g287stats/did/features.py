"""Who is treated when, and what was measured before: the features that weights balance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from g287stats.design.keys import Data, frame_of
from g287stats.design.prepare import NEVER, Design, prepare
from g287stats.design.wide import UNDATED, matrix, place_of, quiet_prepare, unit_weights
from g287stats.errors import DesignError, DesignWarning, IdentificationError, caution, first_of
from g287stats.flow import holding

Kind = Literal["levels", "growth", "trends"]


class Features(NamedTuple):
    """Units that can be balanced: their codes ``labels`` in ``design``, features (units × p), base weights …

    ``size`` (p,) is the largest absolute value of the variable that a feature is made of.
    """

    design: Design
    names: list[str]
    x: np.ndarray
    size: np.ndarray
    treated: np.ndarray
    labels: np.ndarray
    base: np.ndarray
    groups: np.ndarray
    left_out: pd.DataFrame
    notes: list[str]


def read_features(
    data: Data,
    variables: Sequence[str],
    on: Kind | Sequence[Kind] | Mapping[str, Kind | Sequence[Kind]],
    periods: tuple[Any, Any] | None,
    *,
    unit: str | None,
    time: str | None,
    cohort: str | None,
    treatment: str | None,
    weights: str | None,
    exact: Sequence[str],
) -> Features:
    """Read who is treated when from all rows of the frame, and each feature from the rows that have its variable."""
    variables = [variables] if isinstance(variables, str) else list(variables)
    if not variables:
        raise DesignError("name the variables to balance")
    frame = frame_of(data)
    every = next(name for k in range(len(frame.columns) + 1) if (name := f"balance{k or ''}") not in frame.columns)
    frame = frame.assign(**{every: 1.0})
    design = prepare(
        holding(data, frame), every, unit=unit, time=time, cohort=cohort, treatment=treatment, clustered=False
    )
    notes = list(design.notes)
    for s in design.flow.dropped("design"):
        notes.append(f"{s.step} in {s.rows} rows of {s.units} units, whose treatment is read from their other rows")
        caution(
            notes[-1],
            DesignWarning,
        )
    onset = design.cohort if design.treatment is None else _first_treated(design)
    t = design.n_periods
    starts = onset[(onset > 0) & (onset < t)]
    if not len(starts):
        raise IdentificationError("no unit starts treatment inside the panel")
    first, last = (0, int(starts.min()) - 1) if periods is None else (_position(design, p) for p in periods)
    if first > last:
        raise DesignError(f"periods={periods}: the first comes after the last")
    early = onset <= last
    reasons = np.where(early, f"treated by {design.calendar[last]}", "").astype(object)
    columns: list[np.ndarray] = []
    names: list[str] = []
    size: list[float] = []
    levels = _matrices(frame, design, variables)[:, :, first : last + 1]
    window = f"{design.calendar[first]} to {design.calendar[last]}"
    lacks: list[list[str]] = [[] for _ in range(design.n_units)]
    for n, variable in enumerate(variables):
        before = len(columns)
        kinds = on.get(variable, ()) if isinstance(on, Mapping) else on
        kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        if not kinds or any(k not in ("levels", "growth", "trends") for k in kinds):
            raise DesignError(f"on={kinds!r} for {variable!r}: choose from 'levels', 'growth', 'trends'")
        there = ~np.isnan(levels[n]).all(axis=0)
        if not there.any():
            raise DesignError(f"{variable!r} is not observed in the window {window}: choose periods=")
        value, clock = levels[n][:, there], first + np.flatnonzero(there)
        seen = ~np.isnan(value)
        count = seen.sum(1)
        filled = np.where(seen, value, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = filled.sum(1) / count
            if "levels" in kinds:
                columns.append(mean)
                names.append(variable)
            if "growth" in kinds:
                centre = np.where(seen, clock - (seen * clock).sum(1, keepdims=True) / count[:, None], 0.0)
                columns.append((centre * filled).sum(1) / (centre**2).sum(1))
                names.append(f"{variable} growth")
            if "trends" in kinds:
                columns += list(value.T)
                names += [f"{variable} {design.calendar[int(p)]}" for p in clock]
        size += [float(np.abs(filled).max())] * (len(columns) - before)
        for i in np.flatnonzero(np.isnan(np.column_stack(columns[before:])).any(1)):
            lacks[i].append(variable)
    for i in np.flatnonzero(reasons == ""):
        if lacks[i]:
            reasons[i] = f"not observed enough in the window {window}: {', '.join(lacks[i])}"
    x = np.column_stack(columns)
    base = np.ones(design.n_units)
    if weights:
        seen = quiet_prepare(frame, every, unit=design.unit_name, time=design.time_name, weights=weights)
        base = _at_units(design, seen, unit_weights(seen, notes))
        reasons[np.isnan(base) & (reasons == "")] = f"missing {weights}"
    groups = np.zeros(design.n_units, dtype=int)
    for column in exact:
        seen = quiet_prepare(frame, every, unit=design.unit_name, time=design.time_name, cluster=(column,))
        codes = seen.unit_level(column)
        if codes is None:
            raise DesignError(f"exact column {column!r} changes within units")
        of_unit = _at_units(design, seen, codes)
        reasons[np.isnan(of_unit) & (reasons == "")] = f"missing {column}"
        pairs = np.column_stack([groups, np.nan_to_num(of_unit, nan=-1).astype(int)])
        groups = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    kept = np.flatnonzero(reasons == "")
    gone = np.flatnonzero(reasons != "")
    left_out = pd.DataFrame({design.unit_name: design.unit_labels[gone], "reason": reasons[gone]})
    unknown = pd.Index(frame[design.unit_name].unique()).difference(design.unit_labels)
    if len(unknown):
        bare = pd.DataFrame({design.unit_name: unknown, "reason": f"missing {treatment} in every row"})
        left_out = pd.concat([left_out, bare], ignore_index=True)
    if len(left_out):
        note = (
            f"{len(left_out)} units are left out of balancing (see .left_out): {first_of(left_out[design.unit_name])}"
        )
        caution(
            note,
            DesignWarning,
        )
        notes.append(note)
    treated = onset[kept] < t
    if not treated.any() or treated.all():
        raise IdentificationError(
            f"after leaving out {len(left_out)} units no {'treated' if not treated.any() else 'control'} is left"
        )
    return Features(design, names, x[kept], np.array(size), treated, kept, base[kept], groups[kept], left_out, notes)


def _first_treated(design: Design) -> np.ndarray:
    """First position with treatment by unit, (N,); treated before the panel when never seen otherwise."""
    status = matrix(design, design.treatment)
    on = status > 0
    first = np.where(on.any(1), on.argmax(1), NEVER)
    return np.where(first == (~np.isnan(status)).argmax(1), UNDATED, first)


def _matrices(frame: pd.DataFrame, design: Design, variables: Sequence[str]) -> np.ndarray:
    """Variables × units × periods of the design, NaN where missing; the problems of all variables in one message."""
    out = np.full((len(variables), design.n_units, design.n_periods), np.nan)
    problems = []
    for values, variable in zip(out, variables):
        try:
            seen = quiet_prepare(frame, variable, unit=design.unit_name, time=design.time_name)
        except DesignError as problem:
            problems.append(str(problem))
            continue
        unit = design.unit_labels.get_indexer(seen.unit_labels)[seen.unit]
        time = seen.time + place_of(design, seen)
        inside = (unit >= 0) & (time >= 0) & (time < design.n_periods)
        values[unit[inside], time[inside]] = seen.y[inside]
    if problems:
        raise DesignError("\n".join(problems))
    return out


def _at_units(design: Design, seen: Design, values: np.ndarray) -> np.ndarray:
    """Values by unit of another reading of the frame, as numbers by unit of the design (NaN: not there)."""
    place = seen.unit_labels.get_indexer(design.unit_labels)
    return np.where(place >= 0, values[place].astype(float), np.nan)


def _position(design: Design, label: Any) -> int:
    """Calendar position of a period label."""
    where = np.flatnonzero(design.calendar == label)
    if not len(where):
        raise DesignError(f"period {label!r} is not on the calendar {design.calendar[0]} … {design.calendar[-1]}")
    return int(where[0])
