"""Treatments that switch on and off: separate effects of starting and of ending (de Chaisemartin–D'Haultfœuille)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

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
    kinds: tuple[Effect, ...] = (effects,) if isinstance(effects, str) else tuple(effects)
    unknown = [k for k in kinds if k not in ("start", "end", "first_switch")]
    if unknown or not kinds:
        raise DesignError(f"effects are 'start', 'end', 'first_switch'; got {unknown or 'none'}")
    choose("history", history, ("same", "any"))
    choose("small_sample", small_sample, ("did", "neyman"))
    window = event_window(window)
    keys = {"unit": unit, "time": time}
    design = prepare(data, outcome, treatment=treatment, weights=weights, cluster=cluster, **keys)  # type: ignore[arg-type]
    seen = quiet_prepare(data, treatment, **keys)
    notes = list(design.notes)
    status, y, offset = _align(design, seen)
    paths = _histories(status, treatment, design, notes)
    w = unit_weights(design, notes)

    neyman = small_sample == "neyman"
    if neyman and cluster not in (None, "unit", design.unit_name):
        raise DesignError(f'small_sample="neyman" takes units as independent; cluster={cluster!r} says they are not')
    rows, psi = [], []
    possible, refused = [], []
    for kind in kinds:
        try:
            labels, influence = _event_effects(
                kind, history, window, normalize, y, paths, w, design, notes, offset, neyman
            )
        except IdentificationError as problem:
            refused.append(str(problem))
            continue
        possible.append(kind)
        rows += labels
        psi += influence
    if refused:
        rest = possible[0] if len(possible) == 1 else tuple(possible)
        also = f". What can be estimated here: effects={rest!r}".replace("'", '"') if possible else ""
        raise IdentificationError("; ".join(refused) + also)
    frame = pd.DataFrame(rows)
    points = frame.pop("point").to_numpy()
    level = cluster or design.unit_name
    codes = {design.unit_name: np.arange(design.n_units)}
    if level != design.unit_name:
        by_unit = design.unit_level(level)
        if by_unit is None:
            raise DesignError(f"cluster {level!r} changes within units; influence functions here are by unit")
        codes[level] = by_unit
    counts = {v: len(np.unique(c)) for v, c in codes.items()}
    rule = Clustered((level,), small_sample="did", n_obs=design.n, n_clusters=counts)
    if neyman:
        rule = Neyman(rule.levels, "did", design.n, {}, counts, False, *_groups(paths, kinds))
    sample = design.sample() | {"n_treated": int((paths.start < _LATE).sum() + paths.on_at_first.sum())}
    result = Estimate(
        labels=frame,
        point=points,
        influence=Influence(np.array(psi).T, codes, design.unit_labels),
        rule=rule,
        kind="event",
        method=Method(
            "switching_did", "Switching treatment (de Chaisemartin–D'Haultfœuille)", (_INTERTEMPORAL, _SWITCHERS)
        ),
        outcome=outcome,
        sample=sample,
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
    return result.combine(np.eye(len(points)), frame, kind="event", overall=mean, reference=(-1,))


def _align(design: Design, seen: Design) -> tuple[np.ndarray, np.ndarray, int]:
    """Treatment status and outcome of the design's units on the calendar of known treatment, and its offset."""
    rows = seen.unit_labels.get_indexer(design.unit_labels)
    status = matrix(seen)[rows]
    offset = int(np.flatnonzero(seen.calendar == design.calendar[0])[0])
    y = np.full(status.shape, np.nan)
    y[:, offset : offset + design.n_periods] = matrix(design)
    return status, y, offset


def _histories(status: np.ndarray, name: str, design: Design, notes: list[str]) -> _Paths:
    known = ~np.isnan(status)
    values = np.unique(status[known])
    if not np.isin(values, (0.0, 1.0)).all():
        raise DesignError(f"{name!r} must be 0 or 1; found {values[:6].tolist()}. For doses use g.intensity_did")
    n, t = status.shape
    clock = np.arange(t)
    first_seen = known.argmax(1)
    hole = ~known & (clock[None, :] > first_seen[:, None])
    known_until = np.where(hole.any(1), hole.argmax(1) - 1, t - 1)
    inner = known & (clock[None, :] > known_until[:, None])
    broken = inner.any(1)
    if broken.any():
        note = (
            f"treatment is unknown in some period of {int(broken.sum())} units, which are used up to that period: "
            f"{labelled(design, broken)}"
        )
        caution(
            f"{design.outcome}: {note}",
            DesignWarning,
        )
        notes.append(note)
    usable = known & (clock[None, :] <= known_until[:, None])
    on, off = usable & (status == 1), usable & (status == 0)
    on_at_first = on[np.arange(n), first_seen]
    begin = np.where(on.any(1), on.argmax(1), _LATE)
    ended = off & (clock[None, :] > begin[:, None])
    end = np.where(ended.any(1), ended.argmax(1), _LATE)
    start = np.where(on_at_first, _LATE, begin)
    return _Paths(status, first_seen, known_until, on_at_first, start, end)


def _switches(kind: Effect, history: str, p: _Paths) -> list[tuple[str, float, np.ndarray, np.ndarray, np.ndarray]]:
    """Kinds of event as (name, sign, period of the switch, history key, first usable period), all by unit.

    Units with key −1 have no part in it. Units that never switch have period :data:`_LATE`.
    """
    nobody = np.full(len(p.start), -1)
    untreated = np.where(p.on_at_first, nobody, 0)
    since = np.where(p.on_at_first, 0, np.where(p.start < _LATE, p.start + 1, -1))
    if kind == "start":
        return [("start", 1.0, p.start, untreated, p.first_seen)]
    if kind == "end":
        if history == "same":
            return [("end", 1.0, p.end, since, p.first_seen)]
        begin = np.where(p.on_at_first, p.first_seen, p.start)
        return [("end", 1.0, p.end, np.where(since >= 0, 0, -1), begin)]
    stayers = np.where(p.on_at_first, 0, -1)
    return [("start", 1.0, p.start, untreated, p.first_seen), ("end", -1.0, p.end, stayers, p.first_seen)]


def _groups(p: _Paths, kinds: Sequence[Effect]) -> tuple[np.ndarray, np.ndarray]:
    """Units with the same switches, and their number less one (at least one): Satterthwaite's groups."""
    history = np.column_stack([p.on_at_first, p.start, p.start if tuple(kinds) == ("start",) else p.end])
    groups = np.unique(history, axis=0, return_inverse=True)[1].reshape(-1)
    return groups, np.maximum(np.bincount(groups) - 1.0, 1.0)


def _event_effects(
    kind: Effect,
    history: str,
    window: tuple[int, int] | None,
    normalize: bool,
    y: np.ndarray,
    p: _Paths,
    w: np.ndarray,
    design: Design,
    notes: list[str],
    offset: int,
    neyman: bool,
) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """Label rows (with their point) and influence functions of one kind of switch, by event time."""
    n, t = y.shape
    events = _switches(kind, history, p)
    if not any(((when < _LATE) & (key >= 0)).any() for _, _, when, key, _ in events):
        what = {"start": "starts", "end": "ends", "first_switch": "switches"}[kind]
        raise IdentificationError(
            f"{design.outcome}: treatment never {what} in any unit observed before and after; nothing to estimate"
        )
    changed = np.abs(p.status - p.on_at_first[:, None]) if kind == "first_switch" else None
    low, high = window or (-(t - 1), t - 1)
    labels, influence = [], []
    without: dict[Any, list[int]] = {}
    single: list[str] = []

    def factor(members: np.ndarray, what: str) -> float:
        """√(n/(n − 1)) with Neyman's variance, else one."""
        n_members = int(members.sum())
        if neyman and n_members < 2:
            single.append(what)
        return float(np.sqrt(n_members / (n_members - 1))) if neyman and n_members > 1 else 1.0

    for e in range(low, high + 1):
        if e == -1:
            continue
        change, weight = np.zeros(n), np.zeros(n)
        n_controls, parts = 0, []
        for _, sign, when, key, usable_from in events:
            for k in np.unique(key[key >= 0]):
                for f in np.unique(when[(key == k) & (when < _LATE)]):
                    if f - 1 < 0 or not 0 <= f + e < t:
                        continue
                    move = sign * (y[:, f + e] - y[:, f - 1])
                    member = (key == k) & ~np.isnan(move) & (usable_from <= min(f - 1, f + e))
                    treated = member & (when == f)
                    last = f + e if e >= 0 else f - 2 - e
                    stays = member & (when > max(last, f)) & (p.known_until >= last)
                    if not treated.any():
                        continue
                    if not stays.any():
                        without.setdefault(f, []).append(e)
                        continue
                    parts.append((treated, stays, move, f))
                    n_controls += int(stays.sum())
        if not parts:
            continue
        psi = np.zeros(n)
        dose = np.full(n, np.nan)
        centre = np.zeros(n)
        for treated, stays, move, f in parts:
            where = f"{kind} in {design.period_label(int(f) - offset)}, event time {e}"
            share = w * stays / (w @ stays)
            base = share @ np.where(stays, move, 0.0)
            change[treated] = move[treated] - base
            weight[treated] = w[treated]
            centre[treated] = w[treated] @ change[treated] / w[treated].sum()
            psi -= factor(stays, f"comparison of {where}") * (w @ treated) * share * (np.where(stays, move, 0.0) - base)
            psi[treated] += factor(treated, where) * w[treated] * (change[treated] - centre[treated])
            if e >= 0:
                path = p.status[:, f : f + e + 1]
                moved = np.abs(path - p.status[:, [f - 1]]) if changed is None else changed[:, f : f + e + 1]
                dose[treated] = moved[treated].sum(1)
        total = weight.sum()
        point = float(weight @ change / total)
        spread = np.sqrt(n / (n - 1)) if neyman else 1.0  # of the shares of the comparisons, as in att_gt
        psi = (psi + spread * weight * (centre - point)) / total
        mean_dose = float(weight @ np.where(weight > 0, dose, 0) / total) if e >= 0 else np.nan
        if normalize and e >= 0:
            if np.isnan(mean_dose):
                raise DesignError(
                    f"normalize=True needs the treatment path after the switch; it is unknown at event time {e}: "
                    f"{labelled(design, (weight > 0) & np.isnan(dose))}. Narrow the window"
                )
            point /= mean_dose
            psi = (psi - point * weight * np.where(weight > 0, dose - mean_dose, 0) / total) / mean_dose
        labels.append(
            {
                "term": f"{kind} {e:+d}",
                "group": kind,
                "event_time": e,
                "n_switchers": int((weight > 0).sum()),
                "n_controls": n_controls,
                "dose": mean_dose,
                "point": point,
            }
        )
        influence.append(psi)
    if single:
        problems = Problems(f'switching_did of {design.outcome!r} with small_sample="neyman"')
        problems.add("a single unit has no variance", single, 'Narrow the window, or use small_sample="did"')
        problems.raise_if_any(IdentificationError)
    for f, missing in without.items():
        span = f"{min(missing)} to {max(missing)}" if len(missing) > 1 else str(missing[0])
        notes.append(
            f"{kind} in {design.period_label(int(f) - offset)}: no comparable unit that has not switched at event "
            f"times {span}; left out there"
        )
    if not np.any(np.array([row["event_time"] for row in labels]) >= 0):
        raise IdentificationError(
            f"{design.outcome}: no switch ({kind}) has a comparable unit that has not switched yet. "
            + ('With history="any" all units still treated are comparable' if kind == "end" else "Widen the window")
        )
    return labels, influence
