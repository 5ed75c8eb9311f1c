"""Exchange the treatments of units in a frame, for inference that runs any estimator again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from g287stats.design.admit import Admitted, admit
from g287stats.design.coding import NEVER
from g287stats.design.keys import Data, read_keys, refuse_exits
from g287stats.errors import DesignError, DesignWarning, Problems, caution, first_of
from g287stats.estimate.estimate import Estimate
from g287stats.inference.assignment import by_group, level_of_assignment, shared

FITS = "exchange paths of treatment="


@dataclass(frozen=True)
class Treatments:
    """Who is treated when in a frame, as the estimators read it.

    Attributes
    ----------
    frame
        The rows, sorted by unit and period.
    unit, columns
        Name of the unit, and of the columns that are exchanged (cohort, treatment or both).
    code, labels
        Unit of each row (n,), and the units' labels in order.
    kinds
        Distinct treatment of each unit, (N,); 0 is never treated.
    """

    frame: pd.DataFrame
    unit: str
    columns: tuple[str, ...]
    code: np.ndarray
    labels: pd.Index
    kinds: np.ndarray
    _source: Mapping[str, np.ndarray]  # rows to copy a column from: (N, 1) or (N, T)
    _on: np.ndarray  # whether units are treated, (N, T)
    _period: np.ndarray

    def _example(self, kinds: np.ndarray) -> np.ndarray:
        """A unit of each kind."""
        return by_group(np.arange(len(self.kinds)), self.kinds)[kinds]

    def given(self, kinds: np.ndarray, rows: np.ndarray) -> dict[str, pd.Series]:
        """The exchanged columns on ``rows`` when their units are of ``kinds``, (rows,)."""
        example, out = self._example(kinds), {}
        for name, source in self._source.items():
            at = self._period[rows] if source.shape[1] > 1 else 0
            out[name] = self.frame[name].iloc[source[example, at]].set_axis(self.frame.index[rows])
        return out

    def on(self, kinds: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Whether ``rows`` are treated when their units are of ``kinds``, (rows,)."""
        return self._on[self._example(kinds), self._period[rows]]

    def level(self, assign_by: str | None, result: Any) -> tuple[str, np.ndarray, pd.Index]:
        """Level of assignment, the group of each unit (N,) and the groups' labels.

        The default is read from the clusters of the estimator's ``result`` on the data.
        """
        found = {self.unit: (np.arange(len(self.labels)), self.labels)}
        for name in _clusters(result):
            if name not in found and name in self.frame and (at := self._fixed(name)) is not None:
                found[name] = at
        asked = None
        if assign_by is not None:
            assign_by = self.unit if assign_by == "unit" and assign_by not in self.frame else assign_by
            if assign_by not in found:
                found[assign_by] = self.fixed("assign_by", assign_by)
            asked = (assign_by, found[assign_by][0])
        clusters = {name: codes for name, (codes, _) in found.items() if asked is None or name in _clusters(result)}
        name, group = level_of_assignment(self.kinds, self.unit, self.labels, clusters, asked)
        return name, group, found[name][1].rename(name)

    def fixed(self, argument: str, name: str) -> tuple[np.ndarray, pd.Index]:
        """Codes by unit and labels of a column that must not change within units."""
        found = self._fixed(name)
        if found is None:
            codes = pd.factorize(self.frame[name], sort=True, use_na_sentinel=False)[0]
            moving = np.unique(self.code[by_group(codes, self.code)[self.code] != codes])
            some = first_of(self.labels[moving])
            raise DesignError(f"{argument}={name!r} changes within {len(moving)} units: {some}")
        return found

    def _fixed(self, name: str) -> tuple[np.ndarray, pd.Index] | None:
        codes, labels = pd.factorize(self.frame[name], sort=True, use_na_sentinel=False)
        return (by_group(codes, self.code), pd.Index(labels)) if shared(codes, self.code) else None

    def refuse_unread(self, what: str, value: float) -> None:
        """The error when no exchange changed what the estimator returned."""
        names = " and ".join(map(repr, self.columns))
        raise DesignError(
            f"{what} of {names} gave the same estimate to the last bit ({value:.6g}): the estimator does not read "
            f'{names}. Name the column that it reads: cohort="first_treated", or treatment="treated"'
        )


def _clusters(result: Any) -> tuple[str, ...]:
    """Names of the levels that a result clusters by, or was assigned by."""
    if isinstance(result, Estimate):
        return result.rule.levels
    return tuple(v for v in (getattr(result, "assign_by", None), getattr(result, "cluster", None)) if v)


def read_treatments(
    data: Data,
    what: str,
    *,
    unit: str | None,
    time: str | None,
    cohort: str | None,
    treatment: str | None,
    also: Sequence[str | None] = (),
) -> Treatments:
    """Read who is treated when through the door of the estimators; every problem in one message.

    A cohort after the last period is never treated, in these data; a treatment needs every unit in every period.
    ``also`` are further columns that must be there.
    """
    keys = read_keys(data, unit=unit, time=time, cohort=cohort, treatment=treatment)
    if keys.cohort is None and treatment is None:
        raise DesignError('say who is treated when: cohort="first_year" (missing = never) or treatment="treated"')
    refuse_exits(keys.exits, what, FITS)
    seen = admit(keys, what, numbers=[treatment] if treatment else [], groups=[c for c in also if c is not None])
    rows, labels, order = seen.rows, seen.placed.labels, seen.placed.order
    source, parts, notes = {}, [], list(seen.notes)
    on = np.zeros((rows.n_units, rows.n_periods), dtype=bool)
    if keys.cohort is not None:
        start = _starts(seen, notes)
        parts.append(np.unique(np.append(start, NEVER), return_inverse=True)[1][:-1])
        parts[0] = np.where(start == NEVER, 0, parts[0] + 1)
        on = np.arange(rows.n_periods) >= np.where(start == NEVER, NEVER, start - seen.placed.first)[:, None]
        source[keys.cohort] = np.unique(rows.unit, return_index=True)[1][:, None]
    if treatment is not None:
        path, at = _paths(seen, what, treatment)
        on = np.zeros_like(on)
        on[:, rows.per_period > 0] = path != 0
        kinds = np.unique(path, axis=0, return_inverse=True)[1].reshape(-1)
        parts.append(np.where(path.any(axis=1), kinds + 1, 0))
        source[treatment] = at
    for note in notes:
        caution(
            f"{what}: {note}",
            DesignWarning,
        )
    frame = (keys.frame if order is None else keys.frame.iloc[order]).reset_index(drop=True)
    kinds = _joint(np.column_stack(parts))
    if kinds.all() or not kinds.any():
        found = f"all {len(labels)} units are treated" if kinds.any() else f"none of {len(labels)} units is treated"
        raise DesignError(f"{what} needs both treated and never-treated units: {found} ({', '.join(source)})")
    return Treatments(frame, keys.unit, tuple(source), rows.unit, labels, kinds, source, on, rows.time)


def _starts(seen: Admitted, notes: list[str]) -> np.ndarray:
    """First treated period of each unit, (N,); none for those that start after the last period."""
    late = (seen.cohort != NEVER) & (seen.cohort >= seen.placed.first + seen.rows.n_periods)
    if late.any():
        notes.append(f"{int(late.sum())} units are first treated after the last period: never, in these data")
    return np.where(late, NEVER, seen.cohort)


def _paths(seen: Admitted, what: str, treatment: str) -> tuple[np.ndarray, np.ndarray]:
    """Treatment of units by observed period, (N, observed), and the row of each on the calendar, (N, T)."""
    rows, values = seen.rows, seen.values[treatment]
    problems = Problems(what)
    unknown = int(np.isnan(values).sum())
    if unknown:
        problems.add(f"treatment {treatment!r} is missing in {unknown} rows", (), f"df.dropna(subset=[{treatment!r}])")
    short = rows.unit_sums() < (rows.per_period > 0).sum()
    if short.any():
        remedy = "Every unit is needed in every period to exchange paths, or name cohort= instead"
        problems.add(f"paths of {treatment!r} are unknown in units", seen.placed.labels[short], remedy)
    problems.raise_if_any()
    at = np.zeros((rows.n_units, rows.n_periods), dtype=np.int64)
    at[rows.unit, rows.time] = np.arange(rows.n)
    return values.reshape(rows.n_units, -1), at


def _joint(parts: np.ndarray) -> np.ndarray:
    """One code for each combination of codes by unit, (N, parts), in their order; 0 where all are."""
    kinds = np.zeros(len(parts), dtype=np.int64)
    some = parts.any(axis=1)
    if some.any():
        kinds[some] = np.unique(parts[some], axis=0, return_inverse=True)[1].reshape(-1) + 1
    return kinds
