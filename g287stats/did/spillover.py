"""Spillovers: own treatment and any exposure to the treatment of others, estimated together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from g287stats.arguments import documented
from g287stats.design.coding import event_window, reference_times, whole
from g287stats.design.keys import Data
from g287stats.design.prepare import NEVER, Design, Path, prepare
from g287stats.design.wide import UNDATED, onsets, place_of, places, quiet_prepare
from g287stats.errors import DesignError, IdentificationError, choose, first_of
from g287stats.estimate.covariance import SmallSample
from g287stats.estimate.estimate import Estimate, Method
from g287stats.flow import Step, holding
from g287stats.regression.event import chosen_options, event_block, plain
from g287stats.regression.regression import Block, regress, tell

METHOD = Method(
    "spillover_did",
    "Difference-in-differences with spillovers",
    (
        "Butts, K. (2021). Difference-in-differences estimation with spatial spillovers. arXiv:2105.03737.",
        "Clarke, D. (2017). Estimating difference-in-differences in the presence of spillovers. MPRA Paper 81604.",
    ),
)
DYNAMIC = Method("spillover_event_study", "Event study with spillovers", METHOD.references)


@documented()
def exposure_map(
    data: Data,
    neighbours: pd.DataFrame,
    treatment: str,
    *,
    unit: str | None = None,
    time: str | None = None,
    rings: int = 2,
    how: Literal["any", "share"] = "any",
    unknown: Literal["missing", "untreated"] = "missing",
) -> Data:
    """Return the frame with ``ring_1`` … ``ring_k``: treatment among units one, two, … steps away.

    Parameters
    ----------
    neighbours
        Two columns, a unit and its neighbour, in either direction (read as symmetric; a unit is not its own neighbour).
        Any relation will do: adjacency, distance bands, commuting.
    treatment
        Numeric column of the frame; 0 is untreated.
    rings
        How many. Ring k holds the units k steps away and no fewer. Units without any unit in a ring have exposure 0.
    how
        ``any``: 1 if the largest treatment in the ring is positive; ``share``: mean treatment over the ring.
    unknown
        Ring members that are not in the frame in that period: ``missing`` makes the exposure missing unless it is
        already decided (``any`` with a treated member), ``untreated`` counts them as 0.

    Returns
    -------
    DataFrame or CountyPanel
        The rows of the data with the new columns; a panel stays one. Pairs with a unit that is not in the frame are
        counted and named in a warning; ``.attrs["notes"]`` of the frame keeps it, ``.attrs["pairs_not_in_frame"]``
        lists all of them.

    Raises
    ------
    DesignError
        Labels of another type (numbers for texts), which match nobody.
    """
    frame: pd.DataFrame = data if isinstance(data, pd.DataFrame) else data.frame
    choose("how", how, ("any", "share"))
    choose("unknown", unknown, ("missing", "untreated"))
    rings = whole("rings", rings, 1)
    design = prepare(data, treatment, unit=unit, time=time)
    pairs, notes, strangers = _pairs(neighbours, frame[design.unit_name], design.unit_name, unknown)
    tell(design, notes)
    labels = pd.Index(np.unique(np.concatenate([design.unit_labels, pairs.iloc[:, 0], pairs.iloc[:, 1]])))
    a, b = labels.get_indexer(pairs.iloc[:, 0]), labels.get_indexer(pairs.iloc[:, 1])
    n = len(labels)
    apart = a != b
    step = sparse.csr_array((np.ones(apart.sum()), (a[apart], b[apart])), shape=(n, n))
    step = ((step + step.T) > 0).astype(float)
    own = labels.get_indexer(design.unit_labels)
    value, known = np.zeros((n, design.n_periods)), np.zeros((n, design.n_periods))
    value[own[design.unit], design.time] = design.y
    known[own[design.unit], design.time] = 1.0
    seen = sparse.csr_array((np.ones(n), (np.arange(n), np.arange(n))), shape=(n, n))
    ring = seen
    out = frame.copy()
    described: dict[str, dict[str, str]] = {}
    row = np.full((design.n_units, design.n_periods), -1)
    row[design.unit, design.time] = np.arange(design.n)
    unit_of, time_of = places(design, frame)
    place = np.where((unit_of >= 0) & (time_of >= 0), row[unit_of, time_of], -1)
    for k in range(1, rings + 1):
        reached = ((ring @ step) > 0).astype(float)
        ring = reached - reached.multiply(seen > 0)
        ring.eliminate_zeros()
        seen = seen + ring
        size = ring.sum(axis=1)[:, None]
        total, found = ring @ value, ring @ known
        hit = ring @ (value > 0).astype(float) > 0
        exposure = hit.astype(float) if how == "any" else total / np.where(size > 0, size, 1)
        if unknown == "missing":
            open_ = (found < size) & (~hit if how == "any" else np.ones_like(hit))
            exposure = np.where(open_, np.nan, exposure)
        by_row = exposure[own[design.unit], design.time]
        out[f"ring_{k}"] = np.where(place >= 0, by_row[place], np.nan)
        text = f"{treatment} of units {k} steps away: {how}"
        described[f"ring_{k}"] = {"description": text, "unit": "0 to 1", "source": "computed from pairs of neighbours"}
    steps = [Step("pairs with a unit not in the frame", len(strangers), "", strangers, "noted", block="neighbours")]
    held = holding(data, out, steps, described)
    (held if held is out else held.frame).attrs |= {"notes": tuple(notes), "pairs_not_in_frame": strangers}
    return held


def _pairs(
    neighbours: pd.DataFrame, units: pd.Series, name: str, unknown: str
) -> tuple[pd.DataFrame, list[str], tuple[str, ...]]:
    """Return the complete pairs, notes on those that are not complete or not of the frame, and a list of the latter."""
    given = neighbours.iloc[:, :2]
    pairs = given.dropna()
    own = _kind(units)
    for column in pairs.columns if len(pairs) else ():
        if _kind(pairs[column]) != own:
            raise DesignError(
                f"neighbours: {column!r} holds {_kind(pairs[column])} ({pairs[column].iloc[0]}), the units {name!r} "
                f"{own} ({units.iloc[0]}): no pair can match. Write both alike, as text with leading zeros: "
                "column.astype(str).str.zfill(5)"
            )
    notes = []
    if len(pairs) < len(given):
        notes.append(
            f"{len(given) - len(pairs)} of {len(given)} pairs of neighbours have a missing label and are left out"
        )
    known = pairs.isin(units.unique().tolist())
    outside = ~known.all(axis=1).to_numpy()
    strangers = tuple(f"{a} {b}" for a, b in pairs[outside].itertuples(index=False))
    if strangers:
        neither = int((~known.any(axis=1)).sum())
        listed = first_of(strangers)
        notes.append(
            f"{len(strangers)} of {len(pairs)} pairs of neighbours name a unit that is not in the frame, {neither} of "
            f"them two, which connect nobody; the others are read with unknown={unknown!r}: {listed}"
        )
    return pairs, notes, strangers


def _kind(labels: pd.Series) -> str:
    """Whether labels are text, numbers, or something else, which pandas names."""
    found = pd.api.types.infer_dtype(np.asarray(labels.dropna().unique(), dtype=object))
    numbers = {"integer": "numbers", "floating": "numbers", "mixed-integer-float": "numbers"}
    return {"string": "text", **numbers}.get(found, found)


@documented()
def spillover_did(
    data: Data,
    outcome: str,
    *,
    exposures: Sequence[str],
    unit: str | None = None,
    time: str | None = None,
    covariates: Sequence[str] = (),
    fixed_effects: Sequence[str | tuple[str, ...]] = (),
    weights: str | None = None,
    cluster: str | Sequence[str] | None = None,
    small_sample: SmallSample = "nonnested",
) -> Estimate:
    """Two-way fixed effects on own treatment and on exposures to the treatment of others.

        y_it = Σ_k τ_k E_k,it + x_it'β + α_i + λ_t + ε_it,    E = (own, neighbour, ring, …)

    Comparison is with rows in which every exposure is zero: parallel trends are assumed of those, and no effect reaches
    beyond the exposures listed. Leaving a ring out whose units are affected moves them to the comparison group and
    biases the others towards its effect. Exposures add up; put their product in ``exposures`` to free the interaction.

    Parameters
    ----------
    exposures
        Columns, own treatment first; see :func:`exposure_map` for rings of neighbours.
    cluster
        Column, or two columns, of the clusters; default the unit. Shocks shared by neighbours argue for a larger
        area.

    Returns
    -------
    Estimate
        One parameter per exposure. ``sample`` counts the units with the first exposure as treated and has
        ``n_clean_units``, the units with no exposure in any period, and
        ``exposed``: rows and units with each exposure.

    Raises
    ------
    IdentificationError
        No row without exposure in some period with exposure (no valid controls); exposures that are combinations.
    """
    names, design, dose = _read(data, outcome, exposures, unit, time, covariates, fixed_effects, weights, cluster)
    notes, facts = _comparison(design, names, dose)
    tell(design, notes)
    fit = regress(design, [Block(names, columns=dose)], covariates=covariates)
    estimate = fit.estimate(
        names,
        kind="other",
        method=METHOD,
        labels=pd.DataFrame({"term": names, "treatment": names}),
        cluster=cluster,
        small_sample=small_sample,
        notes=notes,
        options={"exposures": names, **chosen_options(covariates, (), fixed_effects, False, weights)},
    )
    return replace(estimate, sample={**estimate.sample, **facts})


@documented()
def spillover_event_study(
    data: Data,
    outcome: str,
    *,
    exposures: Sequence[str],
    unit: str | None = None,
    time: str | None = None,
    window: tuple[int, int] | None = None,
    ends: Literal["bin", "drop"] = "bin",
    reference: int | Sequence[int] = -1,
    covariates: Sequence[str] = (),
    fixed_effects: Sequence[str | tuple[str, ...]] = (),
    unit_trends: bool = False,
    weights: str | None = None,
    cluster: str | Sequence[str] | None = None,
    small_sample: SmallSample = "nonnested",
) -> Estimate:
    """Effects of own treatment and of every exposure by the time since each began, in one regression.

        y_it = Σ_k Σ_{e ≠ ref} τ_k,e 1{t − g_k,i = e} + x_it'β + α_i + λ_t + ε_it,

    g_k,i the first period with E_k,it = 1.

    Comparison is with units without any exposure (and with the reference period of the others). The leads of an
    exposure test parallel trends of the units it reaches. With one exposure it is
    :func:`~g287stats.did.twfe.event_study`.

    Parameters
    ----------
    exposures
        Columns of 0 and 1 that stay on, own treatment first. For a share, say what counts as exposed: ``share > 0.5``.
    window, ends, reference
        Of every exposure, as in :func:`g287stats.did.twfe.event_study`; ``drop`` sets a row aside when any exposure is
        outside the window.

    Returns
    -------
    Estimate
        One parameter per exposure and event time (columns ``treatment``, ``event_time``); ``.plot()`` draws a line per
        exposure. ``overall`` has one parameter per exposure, named after it: the plain average over event times ≥ 0.
        ``sample`` as in :func:`spillover_did`.

    Raises
    ------
    DesignError
        An exposure that is not 0/1 or that ends, naming the units.
    IdentificationError
        No valid control; leads and lags that add up to a trend because every unit is exposed.

    References
    ----------
    Butts (2021), section 5.
    """
    references, window = reference_times(reference), event_window(window)
    names, design, dose = _read(data, outcome, exposures, unit, time, covariates, fixed_effects, weights, cluster)
    dates = [_dates(data, design, n) for n in names]
    design = replace(design, notes=(*design.notes, *(note for _, told in dates for note in told)))
    designs = _within_window(design, names, [first for first, _ in dates], window, ends)
    design = designs[0]
    tell(design, [note for note in design.notes if note.startswith("exposure ")])
    dose = design.covariates[:, : len(names)]
    notes, facts = _comparison(design, names, dose)
    if not facts["n_clean_units"] and len(references) < 2 and window is None:
        raise IdentificationError(
            "every unit is exposed at some time, so leads and lags of the exposures add up to a linear trend: give a "
            "second reference, reference=(-1, -4), a window that bins the ends, or smaller rings"
        )
    tell(design, notes)
    blocks, labels = [], []
    for name, mine in zip(names, designs):
        try:
            _, block, event_times = event_block(mine, window, ends, references)
        except IdentificationError as problem:
            raise IdentificationError(f"exposure {name!r}: {problem}") from None
        terms = tuple(f"{name}: {e}" for e in block.names)
        blocks.append(replace(block, names=terms))
        labels.append(pd.DataFrame({"term": terms, "treatment": name, "event_time": event_times}))
    fit = regress(design, blocks, covariates=covariates, unit_trends=unit_trends)
    table = pd.concat(labels, ignore_index=True)
    estimate = fit.estimate(
        table["term"].tolist(),
        kind="event",
        method=DYNAMIC,
        labels=table,
        cluster=cluster,
        small_sample=small_sample,
        options={
            "exposures": names,
            "reference": plain(references),
            **({"window": window, "ends": ends} if window else {}),
            **chosen_options(covariates, (), fixed_effects, unit_trends, weights),
        },
        notes=notes,
        reference=references,
    )
    after = table["event_time"].to_numpy() >= 0
    mean = np.array([after & (table["treatment"] == name).to_numpy() for name in names], dtype=float)
    mean /= mean.sum(axis=1, keepdims=True)
    frame = pd.DataFrame({"term": names, "treatment": names})
    overall = estimate.combine(mean, frame, kind="simple")
    return replace(estimate, overall=overall, sample={**estimate.sample, **facts})


def _read(
    data: Data,
    outcome: str,
    exposures: Sequence[str],
    unit: str | None,
    time: str | None,
    covariates: Sequence[str],
    fixed_effects: Sequence[str | tuple[str, ...]],
    weights: str | None,
    cluster: str | Sequence[str] | None,
) -> tuple[tuple[str, ...], Design, np.ndarray]:
    """Names of the exposures, the design, and the exposures by row (n, k), each of which varies."""
    names = tuple(dict.fromkeys(exposures))
    if isinstance(exposures, str) or not names:
        raise DesignError('name the exposures: exposures=("own", "neighbour")')
    design = prepare(
        data,
        outcome,
        unit=unit,
        time=time,
        covariates=(*names, *covariates),
        weights=weights,
        cluster=cluster,
        fixed_effects=fixed_effects,
    )
    dose = design.covariates[:, : len(names)]
    for name, column in zip(names, dose.T):
        if not (column != column[0]).any():
            raise IdentificationError(f"{name!r} is {column[0]:g} in every row: nothing to compare")
    return names, design, dose


def _comparison(design: Design, names: tuple[str, ...], dose: np.ndarray) -> tuple[list[str], dict[str, Any]]:
    """Notes on who is left to compare with, and the counts for ``sample``; no valid control is an error."""
    exposed = (dose != 0).any(1)
    free = np.bincount(design.time, ~exposed, design.n_periods)
    busy = np.bincount(design.time, exposed, design.n_periods)
    full = np.flatnonzero((busy > 0) & (free == 0))
    notes = []
    if len(full) == np.count_nonzero(busy):
        raise IdentificationError(
            f"{design.outcome}: in no period with exposure is any row without {' or '.join(names)}, so there is no "
            "valid control. Use fewer or smaller rings"
        )
    if len(full):
        notes.append(f"{len(full)} periods have no row without exposure: {first_of(design.calendar[p] for p in full)}")
    ever = np.bincount(design.unit, exposed, design.n_units) > 0
    if ever.all():
        notes.append("every unit is exposed at some time: comparison is with units not exposed yet or any more")
    table = pd.DataFrame(
        {
            "exposure": names,
            "n_obs": (dose != 0).sum(0),
            "n_units": [len(np.unique(design.unit[c != 0])) for c in dose.T],
        }
    )
    counts = {"n_treated": int(table["n_units"].iloc[0]), "n_clean_units": int((~ever).sum())}
    return notes, {**counts, "exposed": table}


def _within_window(
    design: Design, names: tuple[str, ...], cohorts: list[np.ndarray], window: tuple[int, int] | None, ends: str
) -> list[Design]:
    """The design once per exposure with its cohorts.

    Units exposed in their first row have no event time and leave, and so do rows outside the window of any exposure
    when these go.
    """
    for name in names:
        undated = cohorts[names.index(name)] == UNDATED
        if undated.any():
            if (undated == (cohorts[names.index(name)] != NEVER)).all():
                raise IdentificationError(
                    f"exposure {name!r}: every exposed unit ({int(undated.sum())}) is exposed in its first row, so no "
                    "event time is known. Without this exposure they would count as unexposed: leave them out"
                )
            note = (
                f"exposure {name!r}: {int(undated.sum())} units exposed in their first row have no event time and are "
                "left out"
            )
            reason = f"{name} in its first row: event time unknown"
            design = replace(design, notes=(*design.notes, note)).restrict(~undated[design.unit], reason)
            cohorts = [first[~undated] for first in cohorts]
    keep = np.ones(design.n, dtype=bool)
    if window is not None and ends == "drop":
        for first in cohorts:
            never = (first == NEVER)[design.unit]
            event = design.time - np.where(first == NEVER, 0, first)[design.unit]
            keep &= never | ((event >= window[0]) & (event <= window[1]))
    reason = f"event time of an exposure outside {window[0]}…{window[1]}" if window else ""
    return [replace(design, cohort=first).restrict(keep, reason) for first in cohorts]


def _dates(data: Data, design: Design, name: str) -> tuple[np.ndarray, list[str]]:
    """First exposed position of every unit, read from all rows, and notes; errors and notes name the exposure."""
    seen = quiet_prepare(data, name, unit=design.unit_name, time=design.time_name)
    path = Path(seen.rows, seen.y, seen.unit_labels, place_of(design, seen))
    try:
        cohort, notes = onsets(design, path, "g.spillover_did takes exposures that end")
    except DesignError as problem:
        raise DesignError(f"exposure {name!r}: {problem}") from None
    return cohort, [f"exposure {name!r}: {note}" for note in notes]
