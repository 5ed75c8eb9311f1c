"""Treatments that switch on and off: separate effects of starting and of ending (de Chaisemartin–D'Haultfœuille)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from g287stats.arguments import documented
from g287stats.design.coding import event_window
from g287stats.design.keys import Data
from g287stats.design.prepare import Design, prepare
from g287stats.design.wide import labelled, matrix, quiet_prepare, unit_weights
from g287stats.errors import DesignError, DesignWarning, IdentificationError, Problems, caution, choose
from g287stats.estimate.covariance import Clustered, Influence, Neyman
from g287stats.estimate.estimate import Estimate, Method

Effect = Literal["start", "end", "first_switch"]

_INTERTEMPORAL = (
    "de Chaisemartin, C. and D'Haultfœuille, X. (2026). Difference-in-differences estimators of intertemporal "
    "treatment effects. Review of Economics and Statistics 108(4), 863–880. doi:10.1162/rest_a_01414"
)
_SWITCHERS = (
    "de Chaisemartin, C. and D'Haultfœuille, X. (2020). Two-way fixed effects estimators with heterogeneous "
    "treatment effects. American Economic Review 110(9), 2964–2996. doi:10.1257/aer.20181169"
)
METHOD = Method("switching_did", "Switching treatment (de Chaisemartin–D'Haultfœuille)", (_INTERTEMPORAL, _SWITCHERS))
_LATE = np.iinfo(np.int64).max


@dataclass(frozen=True)
class _Paths:
    """Treatment histories, one entry per unit: positions on the calendar, :data:`_LATE` for never."""

    status: np.ndarray
    first_seen: np.ndarray
    known_until: np.ndarray
    on_at_first: np.ndarray
    start: np.ndarray
    end: np.ndarray


@dataclass(frozen=True)
class _Choices:
    """What the caller chose, beside the kinds of switch."""

    history: str
    window: tuple[int, int] | None
    normalize: bool
    neyman: bool


@dataclass(frozen=True)
class _Panel:
    """Outcomes (units × periods), weights and histories on the calendar of known treatment."""

    design: Design
    y: np.ndarray
    w: np.ndarray
    paths: _Paths
    offset: int

    def period(self, at: int) -> str:
        """Label of a position on this calendar, which begins ``offset`` periods before the design's."""
        return self.design.period_label(int(at) - self.offset)


@dataclass(frozen=True)
class _Cohort:
    """Units ``alike`` in their history, of whom those with ``when == switch`` switch in that period."""

    switch: int
    sign: float
    alike: np.ndarray
    when: np.ndarray
    usable_from: np.ndarray


@dataclass(frozen=True)
class _Comparison:
    """Changes ``move`` of the switchers of one cohort, and of those ``stays`` that they are held against."""

    switch: int
    switchers: np.ndarray
    stays: np.ndarray
    move: np.ndarray


@dataclass(frozen=True)
class _Delta:
    """δ(e) and its influence, with the weight (zero: does not switch) and the dose of every unit."""

    event_time: int
    point: float
    psi: np.ndarray
    weight: np.ndarray
    dose: np.ndarray
    mean_dose: float
    n_controls: int


@documented()
def switching_did(
    data: Data,
    outcome: str,
    *,
    treatment: str,
    unit: str | None = None,
    time: str | None = None,
    effects: Effect | Sequence[Effect] = ("start", "end"),
    history: Literal["same", "any"] = "same",
    window: tuple[int, int] | None = None,
    normalize: bool = False,
    weights: str | None = None,
    cluster: str | None = None,
    small_sample: Literal["did", "neyman"] = "did",
) -> Estimate:
    """Effects of starting and of ending a 0/1 treatment that may switch on and off (DID_ℓ).

    For a unit whose switch is in period F, the outcome change from F − 1 to F + e is compared with the change of units
    that had the same treatment history up to F − 1 and have not switched by F + e; changes are averaged over switchers:

        δ(e) = mean over switchers i of [ (Y_i,F+e − Y_i,F−1) − mean over comparable not-yet-switchers of the same ].

    - ``start``: the first period with treatment of units seen untreated before; comparable units are untreated so far.
    - ``end``: the first period without treatment after a spell of it; with ``history="same"`` comparable units started
      in the same period (or are treated since they are first seen) and are treated still; with ``history="any"`` all
      units treated since at least F − 1, which adds the assumption that their effects no longer change.
      The sign is that of the change when treatment **ends**.
    - ``first_switch``: DID_ℓ of the paper: starts of units first seen untreated and, with the sign reversed, ends of
      units first seen treated.

    What happens after the switch (ending again, restarting) is part of the path whose effect δ(e) is; the column
    ``dose`` gives the mean number of periods with changed treatment from F to F + e, and ``normalize=True`` divides by
    it. Negative event times are placebos: the change from F + e to F − 1 with the comparison units of the mirror-image
    effect, as in the paper.

    Assumes no anticipation and parallel trends, without a further switch, between units with the same history.

    Parameters
    ----------
    data, outcome, treatment, unit, time
        Panel and columns; ``treatment`` is 0 or 1. A unit with a period in which treatment is unknown is used up to
        that period. Missing outcomes leave out only the comparisons that need them.
    effects, history, normalize
        See above.
    window
        First and last event time; default all that have a comparison.
    weights
        Unit weights (the mean of a unit's rows).
    cluster
        Level of clustering, constant within units; default the unit.
    small_sample
        ``did``: no factor, t with clusters less one degrees of freedom; too short with few switchers of one history.
        ``neyman``: a unit's influence is scaled by √(n/(n − 1)), n the switchers or the comparison units of its
        comparison, so that the variance is Neyman's unbiased one; t with Satterthwaite's degrees of freedom by
        parameter. For units independent of each other.

    Returns
    -------
    Estimate
        Event-time effects, ``group`` naming the kind of switch, with ``n_switchers``, ``n_controls``, ``dose``.
        ``overall`` averages the non-negative event times when one kind is asked for. Influence functions count the
        sampling of units and of their switches. Switches without a comparison are listed in ``notes``.

    Raises
    ------
    DesignError
        Treatment other than 0/1.
    IdentificationError
        Treatment that never switches in an asked way; no valid comparison for any switch of a kind; with ``neyman``,
        comparisons of a single switcher or a single comparison unit, by name. The message says which of the asked
        ``effects`` can be estimated.
    """
    kinds = _kinds(effects)
    choose("history", history, ("same", "any"))
    choose("small_sample", small_sample, ("did", "neyman"))
    window, neyman = event_window(window), small_sample == "neyman"
    design = prepare(data, outcome, unit=unit, time=time, treatment=treatment, weights=weights, cluster=cluster)
    notes = list(design.notes)
    panel = _read(data, design, treatment, notes)
    if neyman and cluster not in (None, "unit", design.unit_name):
        raise DesignError(f'small_sample="neyman" takes units as independent; cluster={cluster!r} says they are not')
    deltas = _of_kinds(kinds, _Choices(history, window, normalize, neyman), panel, notes)
    frame, codes = _labels(deltas), _codes(design, cluster or design.unit_name)
    ever = (panel.paths.start < _LATE) | panel.paths.on_at_first
    result = Estimate(
        labels=frame,
        point=np.array([d.point for _, d in deltas]),
        influence=Influence(np.array([d.psi for _, d in deltas]).T, codes, design.unit_labels),
        rule=_rule(panel, codes, cluster or design.unit_name, kinds, neyman),
        kind="event",
        method=METHOD,
        outcome=outcome,
        sample=design.sample() | {"n_treated": int(ever.sum())},
        floor=design.rounding,
        options={"effects": kinds, "history": history, "window": window, "normalize": normalize, "weights": weights}
        | {"small_sample": small_sample},
        reference=(-1,),
        notes=tuple(notes),
        provenance=design.provenance,
    )
    after = frame["event_time"].to_numpy() >= 0
    if len(kinds) > 1 or not after.any():
        return result
    mean = result.combine(after / after.sum(), [f"average after {kinds[0]}"], kind="simple")
    return result.combine(np.eye(len(after)), frame, kind="event", overall=mean, reference=(-1,))


def _kinds(effects: Effect | Sequence[Effect]) -> tuple[Effect, ...]:
    kinds: tuple[Effect, ...] = (effects,) if isinstance(effects, str) else tuple(effects)
    unknown = [k for k in kinds if k not in ("start", "end", "first_switch")]
    if unknown or not kinds:
        raise DesignError(f"effects are 'start', 'end', 'first_switch'; got {unknown or 'none'}")
    return kinds


def _read(data: Data, design: Design, treatment: str, notes: list[str]) -> _Panel:
    """Outcomes and treatment of the design's units: treatment also from periods in which no outcome is seen."""
    seen = quiet_prepare(data, treatment, unit=design.unit_name, time=design.time_name)
    status = matrix(seen)[seen.unit_labels.get_indexer(design.unit_labels)]
    offset = int(np.flatnonzero(seen.calendar == design.calendar[0])[0])
    y = np.full(status.shape, np.nan)
    y[:, offset : offset + design.n_periods] = matrix(design)
    paths = _histories(status, treatment, design, notes)
    return _Panel(design, y, unit_weights(design, notes), paths, offset)


def _histories(status: np.ndarray, name: str, design: Design, notes: list[str]) -> _Paths:
    """Read starts and ends of treatment from its status (units × periods), up to the first period it is unknown in."""
    known = ~np.isnan(status)
    values = np.unique(status[known])
    if not np.isin(values, (0.0, 1.0)).all():
        raise DesignError(f"{name!r} must be 0 or 1; found {values[:6].tolist()}. For doses use g.intensity_did")
    n, t = status.shape
    clock = np.arange(t)
    first_seen = known.argmax(1)
    hole = ~known & (clock[None, :] > first_seen[:, None])
    known_until = np.where(hole.any(1), hole.argmax(1) - 1, t - 1)
    usable = known & (clock[None, :] <= known_until[:, None])
    broken = (known & ~usable).any(1)
    if broken.any():
        note = (
            f"treatment is unknown in some period of {int(broken.sum())} units, which are used up to that period: "
            f"{labelled(design, broken)}"
        )
        caution(f"{design.outcome}: {note}", DesignWarning)
        notes.append(note)
    on, off = usable & (status == 1), usable & (status == 0)
    on_at_first = on[np.arange(n), first_seen]
    begin = np.where(on.any(1), on.argmax(1), _LATE)
    ended = off & (clock[None, :] > begin[:, None])
    end = np.where(ended.any(1), ended.argmax(1), _LATE)
    return _Paths(status, first_seen, known_until, on_at_first, np.where(on_at_first, _LATE, begin), end)


def _switches(kind: Effect, history: str, p: _Paths) -> list[tuple[float, np.ndarray, np.ndarray, np.ndarray]]:
    """Kinds of event as (sign, period of the switch, history key, first usable period), all by unit.

    Units with key −1 have no part in it. Units that never switch have period :data:`_LATE`.
    """
    untreated = np.where(p.on_at_first, -1, 0)
    since = np.where(p.on_at_first, 0, np.where(p.start < _LATE, p.start + 1, -1))
    if kind == "start":
        return [(1.0, p.start, untreated, p.first_seen)]
    if kind == "end":
        if history == "same":
            return [(1.0, p.end, since, p.first_seen)]
        begin = np.where(p.on_at_first, p.first_seen, p.start)
        return [(1.0, p.end, np.where(since >= 0, 0, -1), begin)]
    stayers = np.where(p.on_at_first, 0, -1)
    return [(1.0, p.start, untreated, p.first_seen), (-1.0, p.end, stayers, p.first_seen)]


def _cohorts(kind: Effect, history: str, p: _Paths) -> list[_Cohort]:
    """Every history with every period in which a unit of this history switches."""
    return [
        _Cohort(switch, sign, key == k, when, usable_from)
        for sign, when, key, usable_from in _switches(kind, history, p)
        for k in np.unique(key[key >= 0])
        for switch in np.unique(when[(key == k) & (when < _LATE)])
    ]


def _compare(c: _Cohort, e: int, panel: _Panel) -> _Comparison:
    """The change from F − 1 to F + e of a cohort's switchers and of those alike who have not switched by then."""
    f = c.switch
    move = c.sign * (panel.y[:, f + e] - panel.y[:, f - 1])
    member = c.alike & ~np.isnan(move) & (c.usable_from <= min(f - 1, f + e))
    last = f + e if e >= 0 else f - 2 - e  # a placebo's comparison units are those of its mirror image
    stays = member & (c.when > max(last, f)) & (panel.paths.known_until >= last)
    return _Comparison(f, member & (c.when == f), stays, move)


def _comparisons(cohorts: Sequence[_Cohort], e: int, panel: _Panel) -> tuple[list[_Comparison], list[int]]:
    """Comparisons at an event time, and the periods of switches that nobody can be held against."""
    inside = [c for c in cohorts if c.switch >= 1 and 0 <= c.switch + e < panel.y.shape[1]]
    made = [c for c in (_compare(c, e, panel) for c in inside) if c.switchers.any()]
    return [c for c in made if c.stays.any()], [c.switch for c in made if not c.stays.any()]


def _delta(e: int, comparisons: Sequence[_Comparison], dose: np.ndarray, w: np.ndarray, neyman: bool) -> _Delta:
    """δ(e): the mean over switchers of their change less that of their comparison units; and its influence.

    A comparison unit has minus its switchers' weight times its own deviation from the comparison mean; a switcher its
    deviation from the mean effect of its comparison, and of that from δ(e).
    """
    n = len(w)
    psi, effect, centre, weight = (np.zeros(n) for _ in range(4))
    for c in comparisons:
        own, share = c.switchers, w * c.stays / (w @ c.stays)
        moved = np.where(c.stays, c.move, 0.0)
        base = share @ moved
        effect[own], weight[own] = c.move[own] - base, w[own]
        centre[own] = w[own] @ effect[own] / w[own].sum()
        psi -= _scale(c.stays, neyman) * (w @ own) * share * (moved - base)
        psi[own] += _scale(own, neyman) * w[own] * (effect[own] - centre[own])
    total = weight.sum()
    point = float(weight @ effect / total)
    spread = np.sqrt(n / (n - 1)) if neyman else 1.0  # of the shares of the comparisons, as in att_gt
    psi = (psi + spread * weight * (centre - point)) / total
    mean_dose = float(weight @ np.where(weight > 0, dose, 0) / total) if e >= 0 else np.nan
    return _Delta(e, point, psi, weight, dose, mean_dose, sum(int(c.stays.sum()) for c in comparisons))


def _scale(members: np.ndarray, neyman: bool) -> float:
    """√(n/(n − 1)) with Neyman's variance, else one; a single member is refused by name later."""
    n = int(members.sum())
    return float(np.sqrt(n / (n - 1))) if neyman and n > 1 else 1.0


def _doses(kind: Effect, e: int, comparisons: Sequence[_Comparison], p: _Paths) -> np.ndarray:
    """Periods from F to F + e with treatment other than before the switch, by switcher; NaN where unknown."""
    dose = np.full(len(p.start), np.nan)
    for c in comparisons if e >= 0 else ():
        before = p.on_at_first if kind == "first_switch" else p.status[:, c.switch - 1]
        moved = np.abs(p.status[:, c.switch : c.switch + e + 1] - before[:, None])
        dose[c.switchers] = moved[c.switchers].sum(1)
    return dose


def _per_dose(d: _Delta, design: Design) -> _Delta:
    """δ(e) divided by the mean dose, whose estimation the influence counts; placebos have no dose and stay."""
    if d.event_time < 0:
        return d
    if np.isnan(d.mean_dose):
        raise DesignError(
            f"normalize=True needs the treatment path after the switch; it is unknown at event time {d.event_time}: "
            f"{labelled(design, (d.weight > 0) & np.isnan(d.dose))}. Narrow the window"
        )
    point = d.point / d.mean_dose
    spread = np.where(d.weight > 0, d.dose - d.mean_dose, 0)
    return replace(d, point=point, psi=(d.psi - point * d.weight * spread / d.weight.sum()) / d.mean_dose)


def _of_kinds(kinds: Sequence[Effect], how: _Choices, panel: _Panel, notes: list[str]) -> list[tuple[Effect, _Delta]]:
    """Effects of all kinds; when one cannot be estimated, say which can."""
    found: list[tuple[Effect, _Delta]] = []
    possible, refused = [], []
    for kind in kinds:
        try:
            found += [(kind, d) for d in _of_kind(kind, how, panel, notes)]
            possible.append(kind)
        except IdentificationError as problem:
            refused.append(str(problem))
    if refused:
        rest = possible[0] if len(possible) == 1 else tuple(possible)
        also = f". What can be estimated here: effects={rest!r}".replace("'", '"') if possible else ""
        raise IdentificationError("; ".join(refused) + also)
    return found


def _of_kind(kind: Effect, how: _Choices, panel: _Panel, notes: list[str]) -> list[_Delta]:
    """Effects of one kind of switch, by event time."""
    cohorts = _cohorts(kind, how.history, panel.paths)
    outcome, t = panel.design.outcome, panel.y.shape[1]
    if not cohorts:
        what = {"start": "starts", "end": "ends", "first_switch": "switches"}[kind]
        raise IdentificationError(
            f"{outcome}: treatment never {what} in any unit observed before and after; nothing to estimate"
        )
    low, high = how.window or (-(t - 1), t - 1)
    deltas: list[_Delta] = []
    without: dict[int, list[int]] = {}
    single: list[str] = []
    for e in (e for e in range(low, high + 1) if e != -1):
        comparisons, alone = _comparisons(cohorts, e, panel)
        for switch in alone:
            without.setdefault(switch, []).append(e)
        if comparisons:
            delta = _delta(e, comparisons, _doses(kind, e, comparisons, panel.paths), panel.w, how.neyman)
            deltas.append(_per_dose(delta, panel.design) if how.normalize else delta)
            single += _singles(kind, e, comparisons, panel)
    if how.neyman and single:
        problems = Problems(f'switching_did of {outcome!r} with small_sample="neyman"')
        problems.add("a single unit has no variance", single, 'Narrow the window, or use small_sample="did"')
        problems.raise_if_any(IdentificationError)
    notes += _left_out(kind, without, panel)
    if not any(d.event_time >= 0 for d in deltas):
        raise IdentificationError(
            f"{outcome}: no switch ({kind}) has a comparable unit that has not switched yet. "
            + ('With history="any" all units still treated are comparable' if kind == "end" else "Widen the window")
        )
    return deltas


def _singles(kind: Effect, e: int, comparisons: Sequence[_Comparison], panel: _Panel) -> list[str]:
    """Comparisons of a single unit, on either side."""
    out = []
    for c in comparisons:
        where = f"{kind} in {panel.period(c.switch)}, event time {e}"
        out += [f"comparison of {where}"] if c.stays.sum() < 2 else []
        out += [where] if c.switchers.sum() < 2 else []
    return out


def _left_out(kind: Effect, without: dict[int, list[int]], panel: _Panel) -> list[str]:
    """Switches without a comparison, by period."""
    out = []
    for switch, missing in without.items():
        span = f"{min(missing)} to {max(missing)}" if len(missing) > 1 else str(missing[0])
        out.append(
            f"{kind} in {panel.period(switch)}: no comparable unit that has not switched at event times {span}; left "
            "out there"
        )
    return out


def _labels(deltas: Sequence[tuple[Effect, _Delta]]) -> pd.DataFrame:
    rows = [
        {
            "term": f"{kind} {d.event_time:+d}",
            "group": kind,
            "event_time": d.event_time,
            "n_switchers": int((d.weight > 0).sum()),
            "n_controls": d.n_controls,
            "dose": d.mean_dose,
        }
        for kind, d in deltas
    ]
    return pd.DataFrame(rows)


def _codes(design: Design, level: str) -> dict[str, np.ndarray]:
    """Codes by unit of units and of the level of clustering."""
    codes = {design.unit_name: np.arange(design.n_units)}
    if level != design.unit_name:
        by_unit = design.unit_level(level)
        if by_unit is None:
            raise DesignError(f"cluster {level!r} changes within units; influence functions here are by unit")
        codes[level] = by_unit
    return codes


def _rule(
    panel: _Panel, codes: dict[str, np.ndarray], level: str, kinds: Sequence[Effect], neyman: bool
) -> Clustered | Neyman:
    """Sums by cluster; with Neyman's variance, Satterthwaite's groups are the units with the same switches.

    Their degrees of freedom are their number less one (at least one).
    """
    counts = {v: len(np.unique(c)) for v, c in codes.items()}
    if not neyman:
        return Clustered((level,), small_sample="did", n_obs=panel.design.n, n_clusters=counts)
    p = panel.paths
    history = np.column_stack([p.on_at_first, p.start, p.start if tuple(kinds) == ("start",) else p.end])
    groups = np.unique(history, axis=0, return_inverse=True)[1].reshape(-1)
    freedom = np.maximum(np.bincount(groups) - 1.0, 1.0)
    return Neyman((level,), "did", panel.design.n, {}, counts, False, groups, freedom)
