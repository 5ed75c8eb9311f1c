"""``prepare``: the one door through which data enter the mathematics.

Past this door nothing checks types again. Labels become integer codes in sorted order (so results cannot depend
on the order of rows), the calendar becomes positions 0 … T−1 with gaps kept, and every row that does not pass is
counted with its reason in :class:`~g287stats.flow.Flow`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from g287stats.design.admit import Admitted, admit
from g287stats.design.coding import NEVER, constant_within, dense, moves, several
from g287stats.design.keys import Data, Keys, read_keys
from g287stats.errors import DesignError, DesignWarning, FewTreatedWarning, caution, first_of
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
    at_risk
        Population or time at risk by row, for count models, (n,), or None.
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
    at_risk: np.ndarray | None
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
        """Boolean (N,): treated within the panel; who is treated only after its last period is untreated in it."""
        return self.cohort < self.n_periods

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
            at_risk=rows(self.at_risk),
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
    data: Data,
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
    at_risk: str | None = None,
    clustered: bool = True,
) -> Design:
    """Check and code a panel; the only place where labels become integers.

    Parameters
    ----------
    data
        A DataFrame, or anything with ``.frame``, ``.keys``, ``.provenance`` and ``.exits`` (a ``CountyPanel``, see
        :class:`~g287stats.design.keys.Panel`). Never modified.
    outcome, unit, time, cohort, treatment, covariates, weights, cluster, fixed_effects, at_risk
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
        weights or at_risk that are not positive.
    """
    keys = read_keys(data, unit=unit, time=time, cohort=cohort, treatment=treatment)
    clusters = tuple(keys.level(c) for c in ((cluster,) if isinstance(cluster, str) else cluster or ()))
    parts_of = [(e,) if isinstance(e, str) else tuple(e) for e in several("fixed_effects", fixed_effects)]
    groups = list(dict.fromkeys([*clusters, *(part for parts in parts_of for part in parts)]))
    numbers = [outcome, *several("covariates", covariates), *(c for c in (treatment, weights, at_risk) if c)]
    positive = [c for c in (weights, at_risk) if c]
    where = f"design for {outcome!r}"
    seen = admit(keys, where, numbers=list(dict.fromkeys(numbers)), positive=positive, groups=groups)
    kept = _drop(seen, [c for c in groups if c != keys.unit], where)
    rows, values = kept.rows, kept.values
    levels = _cluster_levels(kept, keys.unit, clusters)
    effects = _effects(kept, keys.unit, parts_of)
    few: list[str] = []
    if clustered and (keys.cohort or treatment):
        treated = (kept.cohort > 0) & (kept.cohort < rows.n_periods)
        treated = rows.nonzero_units(values[treatment]) if treatment else treated
        few = _few_treated(treated, levels, clusters or (keys.unit,))
    notes = (
        *seen.notes,
        *kept.notes,
        *_calendar_notes(kept, seen),
        *_moving_clusters(kept, levels, keys, clusters),
        *few,
        *_idle_effects(effects, rows, keys),
    )
    for note in notes:
        caution(
            f"{outcome}: {note}",
            FewTreatedWarning if note in few else DesignWarning,
        )
    return Design(
        outcome=outcome,
        unit_name=keys.unit,
        time_name=keys.time,
        y=values[outcome],
        rows=rows,
        unit_labels=kept.labels,
        calendar=seen.origin.index(kept.first, rows.n_periods, keys.time),
        cohort=kept.cohort,
        treatment=values[treatment] if treatment else None,
        covariates=_side_by_side([values[c] for c in covariates], rows.n),
        covariate_names=tuple(covariates),
        weights=values[weights] if weights else None,
        clusters=levels,
        effects=effects,
        at_risk=values[at_risk] if at_risk else None,
        flow=kept.flow,
        notes=notes,
        provenance=keys.provenance,
        path=_path(seen, kept, treatment) if treatment else None,
        exits=keys.exits,
        source=seen.source,
    )


@dataclass(frozen=True)
class _Kept:
    """The complete rows: positions from their first period ``first`` on, and what they say of the others."""

    rows: Rows
    labels: pd.Index
    first: int
    cohort: np.ndarray
    values: dict[str, np.ndarray]
    coded: dict[str, np.ndarray]
    flow: Flow
    notes: tuple[str, ...] = ()


def _drop(seen: Admitted, groups: Sequence[str], where: str) -> _Kept:
    """Set aside rows with a missing value, counted by the first reason and listed; units without rows leave."""
    rows, labels, first, values = seen.rows, seen.placed.labels, seen.placed.first, seen.values
    coded = {c: seen.level(c) for c in groups}
    reasons = [(f"missing {name}", np.isnan(column)) for name, column in values.items() if not seen.complete[name]]
    reasons += [(f"missing {c}", _by_row(rows, codes) < 0) for c, codes in coded.items() if codes.min() < 0]
    if not reasons:
        kept = Step("kept", rows.n, block="design")
        return _Kept(rows, labels, first, _since(seen.cohort, first), values, coded, seen.flow + [kept])
    keep = np.ones(rows.n, dtype=bool)
    flow = seen.flow
    for reason, gone in reasons:
        gone = gone & keep
        if gone.any():
            units = len(np.unique(rows.unit[gone]))
            flow = flow.dropping(_leaving(reason, int(gone.sum()), units, tuple(seen.where(gone))))
            keep &= ~gone
    if not keep.any():
        told = "; ".join(f"{s.step}: {s.rows}" for s in flow.dropped("design"))
        raise DesignError(f"{where}: no complete rows; {told}")
    present = np.bincount(rows.unit[keep], minlength=len(labels)) > 0
    bare = int((~present).sum())
    at = rows.time[keep]
    first += int(at.min())
    return _Kept(
        rows=Rows(int(present.sum()), int(np.ptp(at)) + 1, (np.cumsum(present) - 1)[rows.unit[keep]], at - at.min()),
        labels=labels[present],
        first=first,
        cohort=_since(seen.cohort[present], first),
        values={c: v[keep] for c, v in values.items()},
        coded={c: dense(_by_row(rows, codes)[keep]) for c, codes in coded.items()},
        flow=flow,
        notes=(f"{bare} of {len(labels)} units have no complete row",) if bare else (),
    )


def _leaving(reason: str, rows: int, units: int, listing: tuple[str, ...]) -> Step:
    return Step(reason, rows, "", listing, "dropped", units, "design")


def _since(cohort: np.ndarray, first: int) -> np.ndarray:
    """Cohorts as positions from ``first`` on."""
    return np.where(cohort == NEVER, NEVER, cohort - first)


def _path(seen: Admitted, kept: _Kept, treatment: str) -> Path:
    """Treatment in every row offered, on the calendar of the rows kept."""
    return Path(seen.rows, seen.values[treatment], seen.placed.labels, seen.placed.first - kept.first)


def _cluster_levels(kept: _Kept, unit: str, clusters: Sequence[str]) -> Levels:
    """Codes of the cluster levels, the unit's among them."""
    given = {unit: np.arange(len(kept.labels)), **{c: kept.coded[c] for c in clusters if c != unit}}
    return Levels(kept.rows, given, frozenset(c for c, codes in given.items() if len(codes) < kept.rows.n))


def _effects(kept: _Kept, unit: str, effects: Sequence[tuple[str, ...]]) -> dict[str, np.ndarray]:
    """Codes by row of further fixed effects, interactions among them, by name."""
    out = {}
    for parts in effects:
        codes = np.zeros(kept.rows.n, dtype=np.int64)
        for part in parts:
            column = kept.rows.unit if part == unit else dense(_by_row(kept.rows, kept.coded[part]))
            codes = dense(codes * (int(column.max()) + 1) + column)
        out["×".join(parts)] = codes
    return out


def _calendar_notes(kept: _Kept, seen: Admitted) -> Iterator[str]:
    """Gaps, and units whose treatment starts outside the periods observed."""
    cohort, t = kept.cohort, kept.rows.n_periods
    hole = np.flatnonzero(kept.rows.per_period == 0)
    if len(hole):
        shown = first_of(seen.origin.label(kept.first + p) for p in hole.tolist())
        yield f"calendar has {len(hole)} gaps, kept as gaps: {shown}"
    early = int(((cohort <= 0) & (cohort != NEVER)).sum())
    if early:
        yield f"{early} units are treated from the first period on or earlier"
    late = int(((cohort >= t) & (cohort != NEVER)).sum())
    if late:
        yield f"{late} units are first treated after the last period {seen.origin.label(kept.first + t - 1)}"


def _moving_clusters(kept: _Kept, levels: Levels, keys: Keys, clusters: Sequence[str]) -> Iterator[str]:
    """Cluster levels that change within units."""
    for name in clusters:
        if name not in (keys.unit, keys.time) and levels.at_units(name) is None:
            moving = np.unique(kept.rows.unit[1:][moves(kept.rows.unit, levels[name])])
            yield f"cluster {name!r} changes within {len(moving)} units: {first_of(kept.labels[moving])}"


def _idle_effects(effects: Mapping[str, np.ndarray], rows: Rows, keys: Keys) -> Iterator[str]:
    """Fixed effects that add nothing to those of units and periods."""
    for name, codes in effects.items():
        inside = keys.unit if rows.at_units(codes) is not None else ""
        inside = inside or (keys.time if constant_within(codes, rows.time) else "")
        if inside:
            yield (
                f"fixed effect {name!r} does not change within {inside!r}, which is absorbed already: it adds nothing. "
                f'An interaction is a tuple, fixed_effects=[("state", {keys.time!r})]'
            )


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
