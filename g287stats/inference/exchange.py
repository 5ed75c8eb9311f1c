"""Exchange the treatments of units in a frame, for inference that runs any estimator again."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from g287stats.errors import DesignError, DesignWarning, Problems
from g287stats.estimate.estimate import Estimate
from g287stats.inference.assignment import by_group, level_of_assignment, shared


@dataclass(frozen=True)
class Treatments:
    """Who is treated when in a frame.

    Attributes
    ----------
    frame
        The rows.
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
    _source: dict[str, np.ndarray]  # rows to copy a column from: (N, 1) or (N, T)
    _period: np.ndarray

    def given(self, kinds: np.ndarray, rows: np.ndarray) -> dict[str, pd.Series]:
        """The exchanged columns on ``rows`` when their units are of ``kinds``, (rows,)."""
        example = np.zeros(int(self.kinds.max()) + 1, dtype=np.int64)  # a unit of each kind
        example[self.kinds] = np.arange(len(self.kinds))
        out = {}
        for name in self.columns:
            source = self._source[name]
            at = self._period[rows] if source.shape[1] > 1 else 0
            out[name] = self.frame[name].iloc[source[example[kinds], at]].set_axis(self.frame.index[rows])
        return out

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
            some = ", ".join(str(v) for v in self.labels[moving[:8]])
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
            f'{names}. Name the column that it reads: cohort="first_treated", or treatment="treated", time="year"'
        )


def _clusters(result: Any) -> tuple[str, ...]:
    """Names of the levels that a result clusters by, or was assigned by."""
    if isinstance(result, Estimate):
        rule = result.rule
        return tuple(getattr(rule, "levels", None) or filter(None, [getattr(rule, "level", None)]))
    return tuple(v for v in (getattr(result, "assign_by", None), getattr(result, "cluster", None)) if v)


def read_treatments(
    data: Any,
    what: str,
    *,
    unit: str | None,
    time: str | None,
    cohort: str | None,
    treatment: str | None,
    also: Sequence[str | None] = (),
    ordered: bool = False,
) -> Treatments:
    """Check and code the treatments of a frame; every problem in one message.

    A cohort that is missing, infinite, or 0 where 0 is no period, is never treated, as for the estimators; a treatment
    needs every unit in every period. ``also`` are further columns that must be there; ``ordered`` sorts the rows by
    unit and time.
    """
    frame = data if isinstance(data, pd.DataFrame) else getattr(data, "frame", None)
    if not isinstance(frame, pd.DataFrame):
        raise DesignError(f"data is a {type(data).__name__}: give a pandas DataFrame or a CountyPanel")
    if frame is not data:  # a panel knows its keys; a frame may have columns of these names
        unit, time = unit or getattr(data, "unit", None), time or getattr(data, "time", None)
        cohort = "cohort" if cohort is None and treatment is None else cohort
    if unit is None or (cohort is None and treatment is None) or (ordered and time is None):
        with_time = ', time="year"' if ordered else ""
        raise DesignError(f'name the keys of the frame: unit="county_fips"{with_time}, cohort="cohort"')
    if treatment is not None and time is None:
        raise DesignError(f'paths of treatment={treatment!r} are exchanged over time: name it, time="year"')
    wanted = dict.fromkeys([unit, time, cohort, treatment, *also])
    problems = Problems(what)
    absent = [str(c) for c in wanted if c is not None and c not in frame]
    if absent:
        problems.add("columns not in the frame", absent, f"Columns are {list(map(str, frame.columns[:15]))}")
    for key in (unit, time):
        if key is not None and key in frame and (gone := frame[key].isna().to_numpy()).any():
            remedy = f"df = df.dropna(subset=[{key!r}])"
            problems.add(f"key {key!r} is missing in rows", np.flatnonzero(gone).tolist(), remedy)
    problems.raise_if_any()
    frame = frame.reset_index(drop=True) if ordered else frame  # keys may be in the index too
    if ordered:
        frame = frame.sort_values([unit, time], kind="stable").reset_index(drop=True)
    code, labels = pd.factorize(frame[unit], sort=True)
    head = np.unique(code, return_index=True)[1]
    source: dict[str, np.ndarray] = {}
    parts = []
    period = np.zeros(len(frame), dtype=np.int64)
    if cohort is not None:
        codes = _cohorts(frame, unit, time, cohort, problems)
        parts.append(by_group(codes, code))
        moving = np.unique(code[parts[-1][code] != codes])
        if len(moving):
            remedy = "The cohort is the first treated period of the unit and the same in all its rows"
            problems.add(f"cohort {cohort!r} changes within units", labels[moving], remedy)
        source[cohort] = head[:, None]
    if treatment is not None:
        period = pd.factorize(frame[time], sort=True)[0]
        shape = (len(labels), int(period.max()) + 1)
        values = pd.to_numeric(frame[treatment], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        if np.isnan(values).any():
            problems.add(f"treatment {treatment!r} is missing or not numeric in {int(np.isnan(values).sum())} rows")
        row = np.full(shape, -1)
        row[code, period] = np.arange(len(frame))
        if len(frame) != row.size or row.min() < 0:
            gaps = labels[(row < 0).any(axis=1)] if row.min() < 0 else labels[np.bincount(code) > shape[1]]
            remedy = "Every unit once in every period is needed to exchange paths, or name cohort= instead"
            problems.add(f"paths of {treatment!r} are unknown or given twice in units", gaps, remedy)
        problems.raise_if_any()
        paths, which = np.unique(values[row], axis=0, return_inverse=True)
        never = np.flatnonzero(~paths.any(axis=1))
        parts.append(np.where(np.isin(which.reshape(-1), never), 0, which.reshape(-1) + 1))
        source[treatment] = row
    problems.raise_if_any()
    joint = np.column_stack(parts)
    kinds = np.zeros(len(labels), dtype=np.int64)
    some = joint.any(axis=1)
    if some.any():
        kinds[some] = np.unique(joint[some], axis=0, return_inverse=True)[1].reshape(-1) + 1
    if some.all() or not some.any():
        found = f"all {len(labels)} units are treated" if some.any() else f"none of {len(labels)} units is treated"
        raise DesignError(f"{what} needs both treated and never-treated units: {found} ({', '.join(source)})")
    return Treatments(frame, unit, tuple(source), code, pd.Index(labels, name=unit), kinds, source, period)


def _cohorts(frame: pd.DataFrame, unit: str, time: str | None, cohort: str, problems: Problems) -> np.ndarray:
    """Code of each row's cohort in the order of cohorts; 0 is never treated."""
    column = frame[cohort]
    never = column.isna().to_numpy()
    if not _dated(column):
        number = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        zero = number == 0
        if zero.any() and time is not None and _between(frame[time]):
            remedy = f"If it means never treated, say so: df[{cohort!r}] = df[{cohort!r}].replace(0, np.nan)"
            problems.add(f"cohort {cohort!r} is 0, which is a period, in units", frame[unit][zero].unique(), remedy)
        for label, coded in (("0", zero), ("infinity", np.isinf(number))):
            if coded.any():
                note = f"cohort coded {label} in {frame[unit][coded].nunique()} units is read as never treated"
                warnings.warn(note, DesignWarning, stacklevel=4)
                never = never | coded
    if time is not None:
        clock, start = _on_one_calendar(frame[time], column)
        late = ~never & (start > clock.max())
        if late.any():
            note = f"{frame[unit][late].nunique()} units are first treated after the last period: never, in these data"
            warnings.warn(note, DesignWarning, stacklevel=4)
            never = never | late
    codes = np.zeros(len(frame), dtype=np.int64)
    codes[~never] = pd.factorize(column[~never], sort=True)[0] + 1
    return codes


def since(time: pd.Series, cohort: pd.Series) -> np.ndarray:
    """Whether each row's cohort is known and has come, as the estimators read the two."""
    clock, start = _on_one_calendar(time, cohort)
    return clock >= start  # NaN has not come


def _on_one_calendar(time: pd.Series, cohort: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Numbers that compare: of periods where time is one, a finer cohort being the period that contains it."""
    if not _dated(time):
        pair = (pd.to_numeric(c, errors="coerce").to_numpy(dtype=float, na_value=np.nan) for c in (time, cohort))
        return tuple(pair)  # type: ignore[return-value]
    freq = time.dropna().iloc[0].freq if len(time.dropna()) else None
    known = {v: pd.Period(v, freq=freq) if not isinstance(v, pd.Period) else v.asfreq(freq) for v in _values(cohort)}
    start = cohort.map(lambda v: known[v].ordinal if v in known else np.nan)
    return time.map(lambda v: v.ordinal).to_numpy(dtype=float), start.to_numpy(dtype=float)


def _values(column: pd.Series) -> list:
    return [v for v in column.unique() if not pd.isna(v)]


def _dated(column: pd.Series) -> bool:
    """Whether a column holds periods or dates."""
    if column.dtype == object:
        return bool(column.map(type).eq(pd.Period).any())
    return isinstance(column.dtype, pd.PeriodDtype) or column.dtype.kind in "mM"


def _between(time: pd.Series) -> bool:
    """Whether 0 lies on the calendar."""
    if _dated(time):
        return False
    number = pd.to_numeric(time, errors="coerce")
    return bool(number.min() <= 0 <= number.max())
