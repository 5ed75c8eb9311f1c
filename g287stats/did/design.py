"""``prepare``: the one door through which data enter the mathematics.

Past this door nothing checks types again. Labels become integer codes in sorted order (so results cannot depend
on the order of rows), the calendar becomes positions 0 … T−1 with gaps kept, and every row that does not pass is
counted with its reason in :class:`SampleFlow`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from g287stats.errors import DesignError, DesignWarning, Problems

NEVER = np.iinfo(np.int64).max
"""Cohort code of units that are never treated."""


@dataclass(frozen=True)
class SampleFlow:
    """Rows from the frame offered to the sample used: ``steps`` of (reason, rows, units, listing).

    ``listing`` holds the labels of the affected rows or units, all of them.
    """

    found: int
    kept: int
    steps: tuple[tuple[str, int, int, tuple[str, ...]], ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return the flow as a table: found, each drop with its reason, kept."""
        names = ["found", *(reason for reason, *_ in self.steps), "kept"]
        rows = np.array([self.found, *(-n for _, n, *_ in self.steps), self.kept])
        units = np.array([np.nan, *(float(u) for _, _, u, _ in self.steps), np.nan])
        return pd.DataFrame({"step": names, "rows": rows, "units": units})


@dataclass(frozen=True)
class Design:
    """Prepared arrays, rows sorted by unit and time.

    Attributes
    ----------
    y
        Outcome, (n,).
    unit, time
        Codes, (n,): unit 0 … N−1 in label order; time 0 … T−1, positions on the calendar (gaps keep their place).
    unit_labels, calendar
        Labels of the codes, (N,) and (T,).
    cohort
        Per unit, (N,): position of the first treated period; negative or 0 when treated from the first period
        on or earlier, ≥ T when treated after the panel ends, :data:`NEVER` when never treated.
    treatment
        Treatment by row, (n,), or None: for estimators on a treatment variable rather than cohorts.
    covariates, covariate_names
        (n, p) and their names.
    weights
        Observation weights, (n,), or None for equal weights.
    clusters
        Codes by row of every cluster level asked for, in label order; the unit level is always there under
        the unit's column name.
    effects
        Codes by row of further fixed effects (``state×year``), keyed by name.
    exposure
        Exposure by row for count models, (n,), or None.
    """

    outcome: str
    unit_name: str
    time_name: str
    y: np.ndarray
    unit: np.ndarray
    time: np.ndarray
    unit_labels: pd.Index
    calendar: pd.Index
    cohort: np.ndarray
    treatment: np.ndarray | None
    covariates: np.ndarray
    covariate_names: tuple[str, ...]
    weights: np.ndarray | None
    clusters: Mapping[str, np.ndarray]
    effects: Mapping[str, np.ndarray]
    exposure: np.ndarray | None
    flow: SampleFlow
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of observations."""
        return len(self.y)

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.unit_labels)

    @property
    def n_periods(self) -> int:
        """Number of periods on the calendar, gaps included."""
        return len(self.calendar)

    @property
    def balanced(self) -> bool:
        """Whether every unit is observed in every observed period."""
        return self.n == self.n_units * self.n_observed_periods

    @cached_property
    def n_observed_periods(self) -> int:
        """Number of periods with a row, gaps not counted."""
        return int((np.bincount(self.time, minlength=self.n_periods) > 0).sum())

    @property
    def treated_unit(self) -> np.ndarray:
        """Boolean (N,): ever treated, at any date."""
        return self.cohort != NEVER

    def period_label(self, position: int) -> Any:
        """Label of a calendar position, also outside the panel."""
        if 0 <= position < self.n_periods:
            return self.calendar[position]
        return self.calendar[0] + int(position)

    def unit_level(self, level: str) -> np.ndarray | None:
        """Codes of a cluster level per unit (N,), or None when it varies within units."""
        return self._unit_levels[level]

    @cached_property
    def _unit_levels(self) -> dict[str, np.ndarray | None]:
        out: dict[str, np.ndarray | None] = {}
        for level, codes in self.clusters.items():
            if level == self.unit_name:
                out[level] = np.arange(self.n_units)
            elif self.fixed_in_units(codes):
                at_unit = np.empty(self.n_units, dtype=codes.dtype)
                at_unit[self.unit] = codes
                out[level] = at_unit
            else:
                out[level] = None
        return out

    def fixed_in_units(self, values: np.ndarray) -> bool:
        """Whether a variable by row (n,) takes one value in every unit."""
        return not _moves(self.unit, values).any()

    def restrict(self, keep: np.ndarray, reason: str) -> Design:
        """Return the design on the rows ``keep`` (boolean), the others counted in ``flow`` under ``reason``.

        Units left without rows leave; the calendar stays.
        """
        if keep.all():
            return self
        present = np.bincount(self.unit[keep], minlength=self.n_units) > 0
        if not present.any():
            raise DesignError(f"design for {self.outcome!r}: no rows left after: {reason}")
        lost = np.unique(self.unit[~keep])
        names = self.unit_labels[self.unit[~keep]]
        listing = tuple(f"{u} {t}" for u, t in zip(names, self.calendar[self.time[~keep]]))
        flow = SampleFlow(
            self.flow.found, int(keep.sum()), (*self.flow.steps, (reason, int((~keep).sum()), len(lost), listing))
        )
        recode = np.cumsum(present) - 1

        def level(codes: np.ndarray) -> np.ndarray:
            return np.unique(codes[keep], return_inverse=True)[1].reshape(-1)

        def rows(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[keep]

        unit = recode[self.unit[keep]]
        return replace(
            self,
            y=self.y[keep],
            unit=unit,
            time=self.time[keep],
            unit_labels=self.unit_labels[present],
            cohort=self.cohort[present],
            treatment=rows(self.treatment),
            covariates=self.covariates[keep],
            weights=rows(self.weights),
            clusters={k: unit if k == self.unit_name else level(v) for k, v in self.clusters.items()},
            effects={k: level(v) for k, v in self.effects.items()},
            exposure=rows(self.exposure),
            flow=flow,
        )

    def sample(self) -> dict[str, Any]:
        """Counts for ``Estimate.sample``."""
        if self.treatment is None:
            treated = self.cohort < self.n_periods
        else:
            treated = np.bincount(self.unit, self.treatment != 0, self.n_units) > 0
        return {
            "n_obs": self.n,
            "n_units": self.n_units,
            "n_periods": self.n_observed_periods,
            "n_treated": int(treated.sum()),
            "balanced": self.balanced,
            "flow": self.flow.to_frame(),
        }


def prepare(
    data: Any,
    outcome: str,
    *,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    covariates: Sequence[str] = (),
    weights: str | None = None,
    cluster: str | Sequence[str] | None = None,
    fixed_effects: Sequence[str | tuple[str, ...]] = (),
    exposure: str | None = None,
) -> Design:
    """Check and code a panel; the only place where labels become integers.

    Parameters
    ----------
    data
        A DataFrame, or anything with ``.frame`` and the key names ``.unit`` and ``.time`` (a ``CountyPanel``).
        Never modified.
    outcome, unit, time, cohort, treatment, covariates, weights, cluster, fixed_effects, exposure
        Column names. ``cohort`` holds the first treated period of the unit on the scale of ``time``; missing
        means never treated (0 and infinity are read as never, with a counted warning). ``time`` is an integer
        (a year), a ``Period`` or a datetime; it must count consecutive periods by ones. A tuple in
        ``fixed_effects`` is an interaction: ``("state", "year")``.

    Raises
    ------
    DesignError
        One message listing every problem: absent or non-numeric columns, infinite values, duplicate
        unit-periods, a cohort that changes within a unit, a time that is not a calendar, weights or exposure
        that are not positive.
    """
    frame: pd.DataFrame = data if isinstance(data, pd.DataFrame) else data.frame
    unit = unit or getattr(data, "unit", None)
    time = time or getattr(data, "time", None)
    if cohort is None and treatment is None and not isinstance(data, pd.DataFrame):
        cohort = "cohort"
    if unit is None or time is None:
        raise DesignError('name the keys of the frame: unit="county_fips", time="year"')
    clusters = (cluster,) if isinstance(cluster, str) else tuple(cluster or ())
    clusters = tuple(unit if c in ("unit", "county") and c not in frame else c for c in clusters)
    numeric = [outcome, *covariates, *(c for c in (treatment, weights, exposure) if c)]
    effect_columns = [c for e in fixed_effects for c in ((e,) if isinstance(e, str) else e)]
    groups = dict.fromkeys([*clusters, *effect_columns])
    wanted = dict.fromkeys([unit, time, *numeric, *groups, *([cohort] if cohort else [])])
    problems = Problems(f"design for {outcome!r}")

    absent = [c for c in wanted if c not in frame.columns]
    if absent:
        problems.add("columns not in the frame", absent, f"Columns are {list(map(str, frame.columns[:15]))}")
        problems.raise_if_any()
    if frame.empty:
        raise DesignError(f"design for {outcome!r}: the frame has no rows")
    numeric = list(dict.fromkeys(numeric))
    coded_columns = [unit, *(c for c in groups if c != unit)]
    floats = np.empty((len(numeric), len(frame)))  # one block for all columns: new memory is dear by the page
    integers = np.empty((len(coded_columns) + 1, len(frame)), dtype=np.int64)
    for row, c in zip(floats, numeric):
        row[:] = _numeric(frame[c], c, problems)
    values = dict(zip(numeric, floats))
    for key in (unit, time):
        if frame[key].dtype.kind in "iu" and isinstance(frame[key].dtype, np.dtype):
            continue
        gone = frame[key].isna().to_numpy()
        if gone.any():
            rows = np.flatnonzero(gone).tolist()
            problems.add(f"key {key!r} is missing in rows", rows, f"df = df.dropna(subset=[{key!r}])")
    problems.raise_if_any()
    positions, origin = _calendar(frame[time], time, problems)
    problems.raise_if_any()
    unit_codes, offered = _codes(frame[unit], integers[0])
    order = _sorting(unit_codes, positions)

    def ordered(array: np.ndarray) -> np.ndarray:
        return array if order is None else array[order]

    notes: list[str] = []
    steps: list[tuple[str, int, int, tuple[str, ...]]] = []
    unit_codes, positions = ordered(unit_codes), ordered(positions)
    values = {c: ordered(v) for c, v in values.items()}

    def where(rows: np.ndarray) -> list[str]:
        return [f"{u} {origin.label(p)}" for u, p in zip(offered[unit_codes[rows]], positions[rows])]

    complete = {name: bool(np.isfinite(column).all()) for name, column in values.items()}
    for name, column in values.items():
        if complete[name]:
            continue
        infinite = np.isinf(column)
        if infinite.any():
            remedy = f"df[{name!r}] = df[{name!r}].replace([np.inf, -np.inf], np.nan)"
            problems.add(f"infinite values in {name!r}", where(infinite), remedy)
    again = _same(unit_codes) & _same(positions)
    if again.any():
        again = np.r_[False, again]
        remedy = f"One row per unit and period: df = df.drop_duplicates([{unit!r}, {time!r}]) or aggregate first"
        problems.add("duplicate unit-periods", dict.fromkeys(where(again)), remedy)
    for positive in filter(None, (weights, exposure)):
        if (values[positive] <= 0).any():
            problems.add(f"{positive!r} must be positive; it is not at", where(values[positive] <= 0))
    cohort_position = None
    if cohort:
        cohort_position = ordered(_cohorts(frame[cohort], cohort, origin, problems, notes, frame[unit]))
        moving = np.unique(unit_codes[1:][_moves(unit_codes, cohort_position)])
        if len(moving):
            remedy = "The cohort is the first treated period of the unit and the same in all its rows"
            problems.add(f"cohort {cohort!r} changes within units", offered[moving], remedy)
    problems.raise_if_any()

    coded = {c: _codes(frame[c], row) for row, c in zip(integers[1:], coded_columns[1:])}
    keep = np.ones(len(unit_codes), dtype=bool)
    reasons: list[tuple[str, np.ndarray]] = [
        (f"missing {name}", np.isnan(column)) for name, column in values.items() if not complete[name]
    ]
    reasons += [(f"missing {c}", ordered(codes) < 0) for c, (codes, _) in coded.items() if codes.min() < 0]
    for reason, gone in reasons:
        gone = gone & keep
        if gone.any():
            steps.append((reason, int(gone.sum()), len(np.unique(unit_codes[gone])), tuple(where(gone))))
            keep &= ~gone
    if not keep.any():
        raise DesignError(f"design for {outcome!r}: no complete rows; " + "; ".join(f"{s[0]}: {s[1]}" for s in steps))
    everything = bool(keep.all())

    def taken(array: np.ndarray) -> np.ndarray:
        return array if everything else array[keep]

    present = np.ones(len(offered), dtype=bool)
    if not everything:
        present = np.bincount(unit_codes[keep], minlength=len(offered)) > 0
    unit_labels = offered[present]
    if len(unit_labels) < len(offered):
        notes.append(f"{len(offered) - len(unit_labels)} of {len(offered)} units have no complete row")
    unit_sorted = unit_codes if everything else (np.cumsum(present) - 1)[unit_codes[keep]]
    pos = taken(positions)
    first, last = int(pos.min()), int(pos.max())
    pos = np.subtract(pos, first, out=integers[-1][: len(pos)])
    hole = np.flatnonzero(np.bincount(pos) == 0)
    if len(hole):
        shown = ", ".join(str(origin.label(first + p)) for p in hole[:8])
        notes.append(f"calendar has {len(hole)} gaps, kept as gaps: {shown}")
    cohort_units = np.full(len(unit_labels), NEVER, dtype=np.int64)
    if cohort_position is not None:
        at_unit = np.full(len(offered), NEVER, dtype=np.int64)
        at_unit[unit_codes] = cohort_position
        at_unit = at_unit[present]
        cohort_units = np.where(at_unit == NEVER, NEVER, at_unit - first)
    early = int(((cohort_units <= 0) & (cohort_units != NEVER)).sum())
    if early:
        notes.append(f"{early} units are treated from the first period on or earlier")
    late = int(((cohort_units > last - first) & (cohort_units != NEVER)).sum())
    if late:
        notes.append(f"{late} units are first treated after the last period {origin.label(last)}")
    levels = {unit: unit_sorted}
    for name in clusters:
        if name != unit:
            levels[name] = ordered(coded[name][0])
            if not everything:
                levels[name] = _dense(levels[name][keep])
            moving = np.unique(unit_sorted[1:][_moves(unit_sorted, levels[name])])
            if len(moving) and name != time:
                names = ", ".join(str(u) for u in unit_labels[moving[:8]])
                notes.append(f"cluster {name!r} changes within {len(moving)} units: {names}")
    effects = {}
    for effect in fixed_effects:
        parts = (effect,) if isinstance(effect, str) else tuple(effect)
        codes = np.zeros(len(pos), dtype=np.int64)
        for part in parts:
            column = unit_sorted if part == unit else _dense(taken(ordered(coded[part][0])))
            codes = _dense(codes * (int(column.max()) + 1) + column)
        effects["×".join(parts)] = codes
    for note in notes:
        warnings.warn(f"{outcome}: {note}", DesignWarning, stacklevel=3)
    return Design(
        outcome=outcome,
        unit_name=unit,
        time_name=time,
        y=taken(values[outcome]),
        unit=unit_sorted,
        time=pos,
        unit_labels=pd.Index(unit_labels, name=unit),
        calendar=pd.Index([origin.label(p) for p in range(first, last + 1)], name=time),
        cohort=cohort_units,
        treatment=taken(values[treatment]) if treatment else None,
        covariates=np.column_stack([taken(values[c]) for c in covariates]) if covariates else np.empty((len(pos), 0)),
        covariate_names=tuple(covariates),
        weights=taken(values[weights]) if weights else None,
        clusters=levels,
        effects=effects,
        exposure=taken(values[exposure]) if exposure else None,
        flow=SampleFlow(len(frame), len(pos), tuple(steps)),
        notes=tuple(notes),
        provenance=dict(getattr(data, "provenance", {}) or {}),
    )


def _codes(column: pd.Series, out: np.ndarray) -> tuple[np.ndarray, pd.Index]:
    """Codes of a column in the sorted order of its labels (missing: −1), written to ``out``, and the labels."""
    if column.dtype.kind in "iu" and isinstance(column.dtype, np.dtype):
        values = column.to_numpy()
        new = ~_same(values)
        heads = np.r_[0, np.flatnonzero(new) + 1]
        if len(heads) <= len(values) // 2:
            codes, found = pd.factorize(values[heads], sort=True)
            out[0] = 0
            np.cumsum(new, out=out[1:])
            if not (codes == np.arange(len(heads))).all():
                out[:] = codes[out]
            return out, pd.Index(found)
    codes, labels = pd.factorize(column, sort=True)
    out[:] = codes
    return out, pd.Index(labels)


def _sorting(unit: np.ndarray, time: np.ndarray) -> np.ndarray | None:
    """Row order by unit and time, or None when the rows are in it."""
    same = _same(unit)
    if ((unit[1:] > unit[:-1]) | (same & (time[1:] >= time[:-1]))).all():
        return None
    return np.lexsort((time, unit))


def _same(values: np.ndarray) -> np.ndarray:
    """Whether each row but the first equals the row before it: boolean (n − 1,)."""
    return values[1:] == values[:-1]


def _moves(unit: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Whether a variable changes from the row before within the same unit (rows sorted by unit): (n − 1,)."""
    return ~_same(values) & _same(unit)


def _dense(codes: np.ndarray) -> np.ndarray:
    """Renumber codes 0 … in their order, leaving no number unused."""
    size = int(codes.max()) + 1
    if size > 4 * len(codes) + 1_000:
        return np.unique(codes, return_inverse=True)[1].reshape(-1)
    used = np.bincount(codes, minlength=size) > 0
    return codes if used.all() else (np.cumsum(used) - 1)[codes]


@dataclass(frozen=True)
class _Origin:
    """How a time label maps to an integer: plain integers, or ordinals of a Period frequency."""

    freq: str | None

    def label(self, position: int) -> Any:
        return int(position) if self.freq is None else pd.Period(ordinal=int(position), freq=self.freq)


def _numeric(column: pd.Series, name: str, problems: Problems) -> np.ndarray:
    """Return the column as numbers with NaN for missing, perhaps a view; non-numeric cells are a problem."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return column.to_numpy()
    if column.dtype.kind in "biuf":
        return column.to_numpy(dtype=float, na_value=np.nan)
    converted = pd.to_numeric(column, errors="coerce")
    bad = converted.isna() & column.notna()
    if bad.any():
        problems.add(f"{name!r} is not numeric", [repr(v) for v in column[bad].unique()])
    return converted.to_numpy(dtype=float, na_value=np.nan)


def _calendar(column: pd.Series, name: str, problems: Problems) -> tuple[np.ndarray, _Origin]:
    """Return integer positions that count periods by ones, and the way back to labels."""
    number: np.ndarray
    if isinstance(column.dtype, pd.PeriodDtype):
        return np.asarray(column.array.asi8, dtype=np.int64), _Origin(pd.PeriodIndex(column.array).freqstr)
    if column.dtype == object and len(column) and all(isinstance(v, pd.Period) for v in column):
        typed = column.astype(pd.PeriodDtype(column.iloc[0].freqstr))
        return _calendar(typed, name, problems)
    if column.dtype.kind == "M":
        remedy = f'df[{name!r}] = df[{name!r}].dt.to_period("M")  (or "Q", "Y")'
        problems.add(f"{name!r} holds dates, which do not say their frequency", (), remedy)
        return np.zeros(len(column), dtype=np.int64), _Origin(None)
    if column.dtype.kind in "iu":
        number = column.to_numpy(dtype=np.int64)
    else:
        number = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    if number.dtype.kind == "f" and (np.isnan(number).any() or (number != np.round(number)).any()):
        remedy = "Time is an integer that counts periods (a year), or a pandas Period"
        bad = column[np.isnan(number) | (number != np.round(number))].astype(str).unique()
        problems.add(f"{name!r} is not a calendar", bad, remedy)
        return np.zeros(len(column), dtype=np.int64), _Origin(None)
    whole = number.astype(np.int64, copy=False)
    if (
        len(whole)
        and whole.min() > 9999
        and (whole < 999999).all()
        and ((whole % 100 >= 1) & (whole % 100 <= 12)).all()
    ):
        remedy = f'df[{name!r}] = pd.to_datetime(df[{name!r}].astype(str), format="%Y%m").dt.to_period("M")'
        problems.add(f"{name!r} looks like YYYYMM, where 201301 - 201212 would count as 89 months", (), remedy)
    return whole, _Origin(None)


def _cohorts(
    column: pd.Series, name: str, origin: _Origin, problems: Problems, notes: list[str], units: pd.Series
) -> np.ndarray:
    """Return each row's cohort as a calendar integer, :data:`NEVER` where missing (or 0, or infinite)."""
    missing = column.isna().to_numpy()
    if origin.freq is not None:
        out = np.full(len(column), NEVER, dtype=np.int64)
        present = column[~missing]
        numbers = pd.to_numeric(present, errors="coerce") if present.dtype == object else None
        if present.dtype.kind in "iuf" or (numbers is not None and numbers.notna().any()):
            problems.add(f"cohort {name!r} is a number but time is a Period", (), "Give the cohort as Period too")
            return out
        if len(present):
            try:
                out[~missing] = pd.PeriodIndex(present, freq=origin.freq).asi8
            except (ValueError, TypeError, pd.errors.ParserError) as error:
                problems.add(f"cohort {name!r} cannot be read at frequency {origin.freq}: {error}")
        return out
    number = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    bad = np.isnan(number) & ~missing
    if bad.any():
        problems.add(f"cohort {name!r} is not numeric", [repr(v) for v in column[bad].unique()])
    for label, coded in (("0", number == 0), ("infinity", np.isinf(number))):
        if coded.any():
            count = units[coded].nunique()
            notes.append(f"cohort coded {label} in {count} units is read as never treated")
            missing = missing | coded
    fraction = ~missing & ~bad & np.isfinite(number) & (number != np.round(number))
    if fraction.any():
        problems.add(f"cohort {name!r} is not a whole period", column[fraction].unique())
    return np.where(missing | bad, NEVER, np.nan_to_num(number, nan=0, posinf=0, neginf=0).astype(np.int64))
