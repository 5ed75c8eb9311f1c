"""``prepare``: the one door through which data enter the mathematics.

Past this door nothing checks types again. Labels become integer codes in sorted order (so results cannot depend
on the order of rows), the calendar becomes positions 0 … T−1 with gaps kept, and every row that does not pass is
counted with its reason in :class:`~g287stats.flow.Flow`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from g287stats.design.coding import (
    NEVER,
    Arrangement,
    arrange,
    calendar,
    cohorts,
    constant_within,
    dense,
    factorize,
    moves,
    numeric,
    several,
)
from g287stats.errors import DesignError, DesignWarning, FewTreatedWarning, Problems
from g287stats.flow import Flow, Step
from g287stats.numerics.memory import room
from g287stats.numerics.rows import Levels, Rows

FEW = 10
"""Treated clusters below which a design is told to have few (MacKinnon and Webb 2018)."""


@dataclass(frozen=True)
class Path:
    """Treatment in every row offered, those set aside for another reason included: what dates its onset.

    ``values`` (NaN: unknown) are by row of ``rows``; ``first`` is the place of their first period on the calendar of
    the design, 0 or earlier.
    """

    rows: Rows
    values: np.ndarray
    unit_labels: pd.Index
    first: int


@dataclass(frozen=True)
class Design:
    """Prepared arrays, rows sorted by unit and time.

    Attributes
    ----------
    y
        Outcome, (n,).
    rows
        Unit and period of every row: ``unit`` 0 … N−1 in label order, ``time`` 0 … T−1, positions on the calendar
        (gaps keep their place), each (n,) and also there as ``design.unit`` and ``design.time``.
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
    path
        Treatment in every row offered, or None without a treatment column.
    exits
        Units of a panel object whose own ``treated`` ends, while the cohort they are given by goes on.
    source
        Columns of the frame whose numbers are used where they are; alive, so that pandas copies them on write.
    """

    outcome: str
    unit_name: str
    time_name: str
    y: np.ndarray
    rows: Rows
    unit_labels: pd.Index
    calendar: pd.Index
    cohort: np.ndarray
    treatment: np.ndarray | None
    covariates: np.ndarray
    covariate_names: tuple[str, ...]
    weights: np.ndarray | None
    clusters: Levels
    effects: Mapping[str, np.ndarray]
    exposure: np.ndarray | None
    flow: Flow
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = field(default=None, repr=False)
    exits: tuple[str, ...] = ()
    source: tuple[pd.Series, ...] = field(default=(), repr=False)

    @property
    def n(self) -> int:
        """Number of observations."""
        return len(self.y)

    @property
    def unit(self) -> np.ndarray:
        """Unit code by row, (n,)."""
        return self.rows.unit

    @property
    def time(self) -> np.ndarray:
        """Position on the calendar by row, (n,)."""
        return self.rows.time

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
        return int((self.rows.per_period > 0).sum())

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
        return self.clusters.at_units(level)

    def fixed_in_units(self, values: np.ndarray) -> bool:
        """Whether a variable by row (n,) takes one value in every unit."""
        return self.rows.at_units(values) is not None

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
        flow = self.flow.dropping(_leaving(reason, int((~keep).sum()), len(lost), listing))
        recode = np.cumsum(present) - 1

        def level(codes: np.ndarray) -> np.ndarray:
            return np.unique(codes[keep], return_inverse=True)[1].reshape(-1)

        def rows(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[keep]

        unit = recode[self.unit[keep]]
        kept = Rows(int(present.sum()), self.n_periods, unit, self.time[keep])
        return replace(
            self,
            y=self.y[keep],
            rows=kept,
            unit_labels=self.unit_labels[present],
            cohort=self.cohort[present],
            treatment=rows(self.treatment),
            covariates=self.covariates[keep],
            weights=rows(self.weights),
            clusters=Levels(kept, {k: unit if k == self.unit_name else level(v) for k, v in self.clusters.items()}),
            effects={k: level(v) for k, v in self.effects.items()},
            exposure=rows(self.exposure),
            flow=flow,
        )

    @property
    def absorbed(self) -> str:
        """Names of the unit, of time and of further fixed effects, for messages."""
        return ", ".join([self.unit_name, self.time_name, *self.effects])

    @property
    def rounding(self) -> float:
        """Size up to which a number in units of the outcome is rounding."""
        return 1e-13 * float(np.sqrt(self.y @ self.y / self.n))

    def sample(self) -> dict[str, Any]:
        """Counts for ``Estimate.sample``."""
        if self.treatment is None:
            treated = self.cohort < self.n_periods
        else:
            treated = self.rows.nonzero_units(self.treatment)
        return {
            "n_obs": self.n,
            "n_units": self.n_units,
            "n_periods": self.n_observed_periods,
            "n_treated": int(treated.sum()),
            "outcome_mean": float(self.y.mean()),
            "balanced": self.balanced,
            "flow": self.flow,
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
    clustered: bool = True,
) -> Design:
    """Check and code a panel; the only place where labels become integers.

    Parameters
    ----------
    data
        A DataFrame, or anything with ``.frame`` and the key names ``.unit`` and ``.time`` (a ``CountyPanel``).
        Never modified.
    outcome, unit, time, cohort, treatment, covariates, weights, cluster, fixed_effects, exposure
        Column names. ``cohort`` holds the first treated period of the unit on the scale of ``time``; missing
        means never treated (infinity, and 0 where 0 is no period, are read as never, with a counted warning; a Period
        that spans several periods of ``time`` is refused, a finer one is read as the period that contains it, with a
        note). ``time`` is an integer (a year) or a ``Period``; it must count consecutive periods by ones. A tuple in
        ``fixed_effects`` is an interaction: ``("state", "year")``.
    clustered
        Whether clustered standard errors will be taken, of which few treated clusters are to be told
        (``FewTreatedWarning``).

    Raises
    ------
    DesignError
        One message listing every problem: absent or non-numeric columns, infinite values, duplicate
        unit-periods, a cohort that changes within a unit or would have to be dated, a time that is not a calendar,
        weights or exposure that are not positive.
    """
    frame: pd.DataFrame = data if isinstance(data, pd.DataFrame) else getattr(data, "frame", None)
    if not isinstance(frame, pd.DataFrame):
        raise DesignError(f"data is a {type(data).__name__}: give a pandas DataFrame or a CountyPanel")
    if not isinstance(data, pd.DataFrame):  # where .unit may be a column
        unit, time = unit or getattr(data, "unit", None), time or getattr(data, "time", None)
    if cohort is None and treatment is None and not isinstance(data, pd.DataFrame):
        cohort = "cohort"
    if unit is None or time is None:
        raise DesignError('name the keys of the frame: unit="county_fips", time="year"')
    own = None  # a panel's own treatment beside the cohort, named like it: cohort_tfm, treated_tfm
    if cohort and not isinstance(data, pd.DataFrame):
        own = f"treated{cohort.removeprefix('cohort')}" if cohort.startswith("cohort") else "treated"
        own = own if own in frame else None
    clusters = (cluster,) if isinstance(cluster, str) else tuple(cluster or ())
    clusters = tuple(unit if c in ("unit", "county") and c not in frame else c for c in clusters)
    problems = Problems(f"design for {outcome!r}")
    columns = [outcome, *several("covariates", covariates), *(c for c in (treatment, weights, exposure) if c)]
    columns = list(dict.fromkeys(columns))
    parts_of = [(e,) if isinstance(e, str) else tuple(e) for e in several("fixed_effects", fixed_effects)]
    groups = dict.fromkeys([*clusters, *(c for parts in parts_of for c in parts)])
    wanted = dict.fromkeys([unit, time, *columns, *groups, *(c for c in (cohort, own) if c)])

    found: dict[Any, pd.Series] = {}
    for name, column in frame.items():
        if name in wanted:
            if name in found:
                problems.add("columns that occur more than once", [name], "df = df.loc[:, ~df.columns.duplicated()]")
            found[name] = column
    absent = [c for c in wanted if c not in found]
    if absent:
        hint = next((f" Write {c!r} as {tuple(c.split('^'))!r}." for c in absent if "^" in str(c)), "")
        problems.add("columns not in the frame", absent, f"Columns are {list(map(str, frame.columns[:15]))}.{hint}")
    problems.raise_if_any()
    if frame.empty:
        raise DesignError(f"design for {outcome!r}: the frame has no rows")

    offered = {c: numeric(found[c], c, problems) for c in columns}
    complete = _check_numbers(offered, (weights, exposure), found[unit], found[time], problems)
    before = len(problems.lines)
    for key in (unit, time):
        if found[key].dtype.kind in "iu" and isinstance(found[key].dtype, np.dtype):
            continue
        gone = found[key].isna().to_numpy()
        if gone.any():
            lost = np.flatnonzero(gone).tolist()
            problems.add(f"key {key!r} is missing in rows", lost, f"df = df.dropna(subset=[{key!r}])")
    positions, origin = calendar(found[time], time, problems)
    once = f"One row per unit and period: df = df.drop_duplicates([{unit!r}, {time!r}]) or aggregate first"
    if len(problems.lines) > before:  # without keys nothing can be put in order
        again = pd.DataFrame({"unit": found[unit], "time": found[time]}).dropna().duplicated().to_numpy()
        if again.any():
            rows_twice = np.flatnonzero(found[unit].notna() & found[time].notna())[again]
            problems.add("duplicate unit-periods", _named(found[unit], found[time], rows_twice), once)
        problems.raise_if_any()
    placed = arrange(found[unit], positions)
    rows, labels, first = placed.rows, placed.labels, placed.first
    values, kept = _floats(placed, offered, found)

    notes: list[str] = []
    flow = getattr(data, "flow", Flow()) + [Step("found", len(frame), kind="found", block="design")]

    def where(some: np.ndarray) -> list[str]:
        return [f"{u} {origin.label(first + p)}" for u, p in zip(labels[rows.unit[some]], rows.time[some])]

    if not rows.complete:
        again = np.r_[False, (rows.unit[1:] == rows.unit[:-1]) & (rows.time[1:] == rows.time[:-1])]
        if again.any():
            problems.add("duplicate unit-periods", dict.fromkeys(where(again)), once)
    at_unit = np.full(len(labels), NEVER, dtype=np.int64)
    if cohort:
        span = (first, first + rows.n_periods - 1)
        by_unit = placed.by_unit(found[cohort])
        if by_unit is not None:
            at_unit = cohorts(pd.Series(by_unit), cohort, origin, problems, notes, labels, span)
        else:
            by_row = placed.by_row(cohorts(found[cohort], cohort, origin, problems, notes, found[unit], span))
            moving = np.unique(rows.unit[1:][moves(rows.unit, by_row)])
            if len(moving):
                remedy = "The cohort is the first treated period of the unit and the same in all its rows"
                problems.add(f"cohort {cohort!r} changes within units", labels[moving], remedy)
            at_unit[rows.unit] = by_row
    problems.raise_if_any()

    path = Path(rows, values[treatment], labels, first) if treatment else None
    exits = _exits(rows, placed.by_row(numeric(found[own], own, problems)), labels) if own else ()
    coded = {c: _level(found[c], placed) for c in groups if c != unit}
    reasons = [(f"missing {name}", np.isnan(column)) for name, column in values.items() if not complete[name]]
    reasons += [(f"missing {c}", _by_row(rows, codes) < 0) for c, codes in coded.items() if codes.min() < 0]
    if reasons:
        keep = np.ones(len(frame), dtype=bool)
        for reason, gone in reasons:
            gone = gone & keep
            if gone.any():
                units = len(np.unique(rows.unit[gone]))
                flow = flow.dropping(_leaving(reason, int(gone.sum()), units, tuple(where(gone))))
                keep &= ~gone
        if not keep.any():
            told = "; ".join(f"{s.step}: {s.rows}" for s in flow.dropped("design"))
            raise DesignError(f"design for {outcome!r}: no complete rows; {told}")
        present = np.bincount(rows.unit[keep], minlength=len(labels)) > 0
        if not present.all():
            notes.append(f"{int((~present).sum())} of {len(labels)} units have no complete row")
        values = {c: v[keep] for c, v in values.items()}
        coded = {c: dense(_by_row(rows, codes)[keep]) for c, codes in coded.items()}
        pos = rows.time[keep]
        first, n_periods = first + int(pos.min()), int(np.ptp(pos)) + 1
        rows = Rows(int(present.sum()), n_periods, (np.cumsum(present) - 1)[rows.unit[keep]], pos - pos.min())
        labels, at_unit = labels[present], at_unit[present]
    hole = np.flatnonzero(rows.per_period == 0)
    if len(hole):
        shown = ", ".join(str(origin.label(first + p)) for p in hole[:8])
        notes.append(f"calendar has {len(hole)} gaps, kept as gaps: {shown}")
    cohort_units = np.where(at_unit == NEVER, NEVER, at_unit - first)
    early = int(((cohort_units <= 0) & (cohort_units != NEVER)).sum())
    if early:
        notes.append(f"{early} units are treated from the first period on or earlier")
    late = int(((cohort_units >= rows.n_periods) & (cohort_units != NEVER)).sum())
    if late:
        last = origin.label(first + rows.n_periods - 1)
        notes.append(f"{late} units are first treated after the last period {last}")
    given = {unit: np.arange(len(labels)), **{c: coded[c] for c in clusters if c != unit}}
    fixed = frozenset(c for c, codes in given.items() if len(codes) < rows.n)
    levels = Levels(rows, given, fixed)
    for name in clusters:
        if name not in (unit, time) and levels.at_units(name) is None:
            moving = np.unique(rows.unit[1:][moves(rows.unit, levels[name])])
            names = ", ".join(str(u) for u in labels[moving[:8]])
            notes.append(f"cluster {name!r} changes within {len(moving)} units: {names}")
    few: list[str] = []
    if clustered and (cohort or treatment):
        treated = (cohort_units > 0) & (cohort_units < rows.n_periods)
        if treatment:
            treated = rows.nonzero_units(values[treatment])
        few = _few_treated(treated, levels, clusters or (unit,))
        notes += few
    effects = {}
    for parts in parts_of:
        codes = np.zeros(rows.n, dtype=np.int64)
        for part in parts:
            column = rows.unit if part == unit else dense(_by_row(rows, coded[part]))
            codes = dense(codes * (int(column.max()) + 1) + column)
        name = "×".join(parts)
        effects[name] = codes
        inside = unit if rows.at_units(codes) is not None else time if constant_within(codes, rows.time) else ""
        if inside:
            notes.append(
                f"fixed effect {name!r} does not change within {inside!r}, which is absorbed already: it adds nothing. "
                f'An interaction is a tuple, fixed_effects=[("state", {time!r})]'
            )
    for note in notes:
        warnings.warn(f"{outcome}: {note}", FewTreatedWarning if note in few else DesignWarning, stacklevel=3)
    return Design(
        outcome=outcome,
        unit_name=unit,
        time_name=time,
        y=values[outcome],
        rows=rows,
        unit_labels=labels,
        calendar=origin.index(first, rows.n_periods, time),
        cohort=cohort_units,
        treatment=values[treatment] if treatment else None,
        covariates=_side_by_side([values[c] for c in covariates], rows.n),
        covariate_names=tuple(covariates),
        weights=values[weights] if weights else None,
        clusters=levels,
        effects=effects,
        exposure=values[exposure] if exposure else None,
        flow=flow if flow[-1].kind == "kept" else flow + [Step("kept", rows.n, block="design")],
        notes=tuple(notes),
        provenance={} if isinstance(data, pd.DataFrame) else dict(getattr(data, "provenance", {}) or {}),
        path=path and replace(path, first=path.first - first),
        exits=exits,
        source=tuple(kept),
    )


def _leaving(reason: str, rows: int, units: int, listing: tuple[str, ...]) -> Step:
    return Step(reason, rows, "", listing, "dropped", units, "design")


def _exits(rows: Rows, treated: np.ndarray, labels: pd.Index) -> tuple[str, ...]:
    """Units that are seen untreated after they were treated."""
    known = ~np.isnan(treated.astype(float))
    unit, on = rows.unit[known], treated[known] > 0
    off = (unit[1:] == unit[:-1]) & on[:-1] & ~on[1:]
    return tuple(str(u) for u in labels[np.unique(unit[1:][off])])


def _few_treated(treated: np.ndarray, levels: Levels, clusters: Sequence[str]) -> list[str]:
    """Note for each cluster level with fewer than :data:`FEW` clusters that hold a treated unit."""
    notes = []
    for name in clusters:
        at_unit = levels.at_units(name)
        count = 0 if at_unit is None else int((np.bincount(at_unit[treated]) > 0).sum())
        if 0 < count < FEW:
            notes.append(
                f"only {count} treated clusters ({name!r}): clustered standard errors and their critical values rest "
                "on many and reject too often; see g.randomization_test, g.ferman_pinto, g.wild_bootstrap"
            )
    return notes


def _check_numbers(
    offered: Mapping[str, np.ndarray],
    positive: Sequence[str | None],
    unit: pd.Series,
    time: pd.Series,
    problems: Problems,
) -> dict[str, bool]:
    """Record infinite values, and values that are not positive where they must be; whether each column is complete."""
    with np.errstate(invalid="ignore", over="ignore"):
        complete = {
            c: v.dtype.kind != "f" or bool(np.isfinite(v.sum()) or np.isfinite(v).all()) for c, v in offered.items()
        }
    for name, column in offered.items():
        infinite = np.zeros(0, dtype=bool) if complete[name] else np.isinf(column)
        if infinite.any():
            remedy = f"df[{name!r}] = df[{name!r}].replace([np.inf, -np.inf], np.nan)"
            problems.add(f"infinite values in {name!r}", _named(unit, time, infinite), remedy)
    for name in filter(None, positive):
        if (offered[name] <= 0).any():
            problems.add(f"{name!r} must be positive; it is not at", _named(unit, time, offered[name] <= 0))
    return complete


def _named(unit: pd.Series, time: pd.Series, rows: np.ndarray) -> list[str]:
    """Unit and period of some rows, in the order of their text."""
    return sorted(f"{u} {t}" for u, t in zip(unit.array[rows], time.array[rows]))


def _floats(
    placed: Arrangement, offered: Mapping[str, np.ndarray], columns: Mapping[str, pd.Series]
) -> tuple[dict[str, np.ndarray], list[pd.Series]]:
    """Numbers in the order of the rows, (n,) each, and the columns whose numbers are used where they are.

    Where pandas copies on write it hands out arrays that cannot be written to, and the frame's own memory stays as it
    is as long as the Series lives. Everything else is copied.
    """
    here = [
        name
        for name, v in offered.items()
        if placed.order is None and v.dtype == np.float64 and v.flags.c_contiguous and not v.flags.writeable
    ]
    copied = [name for name in offered if name not in here]
    values = {name: offered[name] for name in here}
    for name, row in zip(copied, room(len(copied), placed.rows.n)):
        row[:] = placed.by_row(offered[name])
        values[name] = row
    return {name: values[name] for name in offered}, [columns[name] for name in here]


def _level(column: pd.Series, placed: Arrangement) -> np.ndarray:
    """Codes of a grouping column in the sorted order of its labels: by unit (N,) when that is at hand, else by row."""
    by_unit = placed.by_unit(column)
    if by_unit is not None and not np.isnan(by_unit).any():
        return np.unique(by_unit, return_inverse=True)[1]
    return placed.by_row(factorize(column)[0])


def _side_by_side(columns: Sequence[np.ndarray], n: int) -> np.ndarray:
    """Columns (n,) as an array (n, p) whose columns are contiguous; one column stays where it is."""
    if len(columns) == 1:
        return columns[0][:, None]
    out = room(len(columns), n)
    for row, column in zip(out, columns):
        row[:] = column
    return out.T


def _by_row(rows: Rows, codes: np.ndarray) -> np.ndarray:
    return codes if len(codes) == rows.n else rows.spread(codes)
