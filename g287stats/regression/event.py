"""Event terms: what regressions on time since treatment share, whatever they are fitted by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from g287stats.design.coding import several
from g287stats.design.keys import Data
from g287stats.design.prepare import NEVER, Design, prepare
from g287stats.design.wide import UNDATED, dated, must_stay_on
from g287stats.errors import DesignError, IdentificationError, first_of
from g287stats.estimate.degenerate import ALONE
from g287stats.estimate.estimate import Estimate
from g287stats.numerics.least_squares import Factor
from g287stats.regression.regression import Block, tell

FITS = "g.switching_did fits treatments that end"


def with_average(estimate: Estimate) -> Estimate:
    """Attach the plain average over event times ≥ 0 as ``overall``."""
    after = estimate.labels["event_time"].to_numpy() >= 0
    if not after.any():
        return estimate
    overall = estimate.combine(after[None, :] / after.sum(), ["overall"], kind="simple")
    return replace(estimate, overall=overall)


def event_block(
    design: Design, window: tuple[int, int] | None, ends: str, references: tuple[int, ...]
) -> tuple[Design, Block, np.ndarray]:
    """Event-time dummies of a design; returns the design (rows outside the window may go), block, event times."""
    if ends not in ("bin", "drop"):
        raise DesignError(f"ends={ends!r}: choose 'bin' or 'drop'")
    design = _with_known_start(dated(design, FITS))
    if not design.treated_unit.any():
        raise IdentificationError("no unit is ever treated: an event study needs cohorts")
    low, high = window or (-NEVER, NEVER)
    if window is not None and not (low < high and all(low <= r <= high for r in references)):
        raise DesignError(f"window={window} must be increasing and contain the reference {references}")
    event = _event_times(design)
    treated = event != NEVER
    if window is not None and ends == "drop":
        outside = treated & ((event < low) | (event > high))
        design = design.restrict(~outside, f"event time outside {low}…{high}")
        event = _event_times(design)
        treated = event != NEVER
    if window is not None:
        event = np.where(treated, np.clip(event, low, high), NEVER)
    found = np.unique(event[treated])
    must_occur(references, found)
    if treated.all():
        _refuse_unanchored(design, references if window is None else None, int(found[0]))
    shown = found[~np.isin(found, references)]
    lookup = np.full(found[-1] - found[0] + 1, -1)
    lookup[shown - found[0]] = np.arange(len(shown))
    codes = np.where(treated, lookup[np.where(treated, event - found[0], 0)], -1)
    names = [str(e) for e in shown]
    if window is not None and ends == "bin":
        names = [f"<={e}" if e == low else f">={e}" if e == high else str(e) for e in shown]
    return design, Block(tuple(names), Factor(codes, len(shown))), shown.astype(int)


def _refuse_unanchored(design: Design, references: tuple[int, ...] | None, first: int) -> None:
    """Refuse event times that unit and period effects reproduce where every unit is treated at some time.

    With cohorts d periods apart (the greatest common divisor) those are a linear trend and every pattern of period d,
    which takes d + 1 reference periods; a window that bins its ends (``references`` None) ends the trend. A single
    cohort has no comparison at all.
    """
    cohorts = np.unique(design.cohort)
    if len(cohorts) == 1:
        raise IdentificationError(f"{design.outcome}: {ALONE}")
    apart = int(np.gcd.reduce(np.diff(cohorts)))
    if references is None or len(references) > apart:
        return
    enough = (*range(-1, -apart - 1, -1), first)
    way = f"reference={enough}, or " if first < -apart else ""
    raise IdentificationError(
        "every unit is treated at some time, so that leads and lags add up to a linear trend"
        + (f", and to patterns that repeat every {apart} periods, as all cohorts are apart" if apart > 1 else "")
        + f": give more references, {way}a window that bins the ends"
    )


def causes(design: Design, references: tuple[int, ...]) -> str:
    """Say which cohorts cannot be told from unit and period effects, to stand behind a rank deficiency."""
    event = _event_times(design)
    found = []
    for g in np.unique(design.cohort[design.treated_unit]):
        mine = design.cohort[design.unit] == g
        seen, label = event[mine], design.period_label(int(g))
        if len(seen) and seen.min() >= 0:
            found.append(f"cohort {label} has no untreated period")
        elif len(seen) and not np.isin(references, seen).any():
            found.append(f"cohort {label} is never seen at event time {' or '.join(map(str, references))}")
    return f". {'; '.join(found)}: leave it out, or choose another reference=" if found else ""


def must_occur(references: tuple[int, ...], found: np.ndarray) -> None:
    """Refuse reference event times that no treated unit has."""
    absent = [r for r in references if r not in found]
    if absent:
        listed = first_of(found, 12)
        raise IdentificationError(f"reference event times {absent} do not occur; choose reference= among {listed}")


def _with_known_start(design: Design) -> Design:
    """Set aside units whose treatment column never shows them untreated: they have no event time."""
    undated = design.cohort == UNDATED
    if not undated.any():
        return design
    remedy = "With cohort= their event times count from the first treated period given there"
    if not (design.treated_unit & ~undated).any():
        raise IdentificationError(
            f"every treated unit ({int(undated.sum())}) is treated in its first row, so that no event time is known. "
            + remedy
        )
    note = f"{int(undated.sum())} units treated in their first row have no event time and are left out. {remedy}"
    tell(design, [note])
    design = replace(design, notes=(*design.notes, note))
    return design.restrict(~undated[design.unit], "treated in its first row: event time unknown")


def _event_times(design: Design) -> np.ndarray:
    """Periods since first treatment by row; NEVER for units not treated within the panel."""
    cohort, inside = design.cohort[design.unit], design.treated_unit[design.unit]
    return np.where(inside, design.time - np.where(inside, cohort, 0), NEVER)


def prepare_regression(
    data: Data,
    outcome: str,
    keys: dict[str, Any],
    covariates: Sequence[str],
    by_time: Sequence[str],
    weights: str | None,
    cluster: str | Sequence[str] | None,
    fixed_effects: Sequence[str | tuple[str, ...]],
    at_risk: str | None = None,
) -> Design:
    """Prepare a panel for a regression on a treatment, or on cohorts that must stay treated."""
    if keys["cohort"] and keys["treatment"]:
        raise DesignError("give cohort= (first treated period) or treatment= (a column that may switch), not both")
    if isinstance(data, pd.DataFrame) and not (keys["cohort"] or keys["treatment"]):
        raise DesignError('say who is treated when: cohort="first_year" (missing = never) or treatment="treated"')
    design = prepare(
        data,
        outcome,
        covariates=tuple(dict.fromkeys([*several("covariates", covariates), *several("covariates_by_time", by_time)])),
        weights=weights,
        cluster=cluster,
        fixed_effects=fixed_effects,
        at_risk=at_risk,
        **keys,
    )
    must_stay_on(design, FITS)
    return design


def switching_notes(design: Design, dose: np.ndarray) -> list[str]:
    """Note when a treatment falls within units: the coefficient then mixes starting and ending."""
    if design.rows.complete:
        falls = dose[1:] < dose[:-1]
        falls[design.n_periods - 1 :: design.n_periods] = False  # from one unit to the next
        units = np.unique(np.flatnonzero(falls) // design.n_periods)
    else:
        units = np.unique(design.unit[1:][(dose[1:] < dose[:-1]) & (design.unit[1:] == design.unit[:-1])])
    if not len(units):
        return []
    names = first_of(design.unit_labels[units])
    return [
        f"treatment switches off in {len(units)} units ({names}); the coefficient mixes starting and ending. "
        "g.switching_did separates them"
    ]


def plain(references: tuple[int, ...]) -> int | tuple[int, ...]:
    """References as one writes them: a single one without a tuple."""
    return references[0] if len(references) == 1 else references


def chosen_options(
    covariates: Sequence[str], by_time: Sequence[str], effects: Sequence[Any], trends: bool, weights: str | None
) -> dict[str, Any]:
    """The choices that differ from the plain regression."""
    chosen = {
        "covariates": tuple(covariates),
        "covariates_by_time": tuple(by_time),
        "fixed_effects": tuple(effects),
        "unit_trends": trends,
        "weights": weights,
    }
    return {k: v for k, v in chosen.items() if v}
