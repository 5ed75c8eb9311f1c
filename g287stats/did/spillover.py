"""Spillovers: own treatment and any exposure to the treatment of others, estimated together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from g287stats.did.design import prepare
from g287stats.did.regression import Block, regress
from g287stats.errors import DesignError, DesignWarning, IdentificationError
from g287stats.inference.covariance import SmallSample
from g287stats.inference.estimate import Estimate, Method

METHOD = Method(
    "spillover_did",
    "Difference-in-differences with spillovers",
    (
        "Butts, K. (2021). Difference-in-differences estimation with spatial spillovers. arXiv:2105.03737.",
        "Clarke, D. (2017). Estimating difference-in-differences in the presence of spillovers. MPRA Paper 81604.",
    ),
)


def exposure_map(
    data: Any,
    neighbours: pd.DataFrame,
    treatment: str,
    *,
    unit: str | None = None,
    time: str | None = None,
    rings: int = 2,
    how: Literal["any", "share"] = "any",
    unknown: Literal["missing", "untreated"] = "missing",
) -> pd.DataFrame:
    """Return the frame with ``ring_1`` … ``ring_k``: treatment among units one, two, … steps away.

    Parameters
    ----------
    neighbours
        Two columns, a unit and its neighbour, in either direction (read as symmetric; a unit is not its own neighbour).
        Any relation will do: adjacency, distance bands, commuting.
    treatment
        Numeric column of the frame; 0 is untreated.
    rings
        Ring k holds the units k steps away and no fewer. Units without any unit in a ring have exposure 0.
    how
        ``any``: 1 if the largest treatment in the ring is positive; ``share``: mean treatment over the ring.
    unknown
        Ring members that are not in the frame in that period: ``missing`` makes the exposure missing unless it is
        already decided (``any`` with a treated member), ``untreated`` counts them as 0.
    """
    frame: pd.DataFrame = data if isinstance(data, pd.DataFrame) else data.frame
    if how not in ("any", "share") or unknown not in ("missing", "untreated") or rings < 1:
        raise DesignError(f"how={how!r}, unknown={unknown!r}, rings={rings}: see the documentation for the choices")
    design = prepare(data, treatment, unit=unit, time=time)
    pairs = neighbours.iloc[:, :2].dropna()
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
    keys = pd.MultiIndex.from_arrays([frame[design.unit_name], frame[design.time_name]])
    rows = pd.MultiIndex.from_arrays([design.unit_labels[design.unit], design.calendar[design.time]])
    place = rows.get_indexer(keys)
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
    return out


def spillover_did(
    data: Any,
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
    covariates, fixed_effects, weights, cluster, small_sample
        As in :func:`g287stats.did.twfe.twfe`. Shocks shared by neighbours argue for clustering by a larger area.

    Returns
    -------
    Estimate
        One parameter per exposure. ``sample`` has ``n_clean_units``, the units with no exposure in any period, and
        ``exposed``: rows and units with each exposure.

    Raises
    ------
    IdentificationError
        No row without exposure in some period with exposure (no valid controls); exposures that are combinations.
    """
    names = tuple(dict.fromkeys(exposures))
    if not names:
        raise DesignError('name the exposures: exposures=("own", "neighbour")')
    design = prepare(
        data, outcome, unit=unit, time=time, covariates=(*names, *covariates), weights=weights, cluster=cluster,
        fixed_effects=fixed_effects,
    )  # fmt: skip
    dose = design.covariates[:, : len(names)]
    for name, column in zip(names, dose.T):
        if not (column != column[0]).any():
            raise IdentificationError(f"{name!r} is {column[0]:g} in every row: nothing to compare")
    exposed = (dose != 0).any(1)
    free = np.bincount(design.time, ~exposed, design.n_periods)
    busy = np.bincount(design.time, exposed, design.n_periods)
    full = np.flatnonzero((busy > 0) & (free == 0))
    notes = []
    if len(full) == np.count_nonzero(busy):
        raise IdentificationError(
            f"{outcome}: in no period with exposure is any row without {' or '.join(names)}, so there is no valid "
            "control. Use fewer or smaller rings"
        )
    if len(full):
        notes.append(
            f"{len(full)} periods have no row without exposure: {', '.join(str(design.calendar[p]) for p in full[:8])}"
        )
    ever = np.bincount(design.unit, exposed, design.n_units) > 0
    if ever.all():
        notes.append("every unit is exposed at some time: comparison is with units not exposed yet or any more")
    for note in notes:
        warnings.warn(f"{outcome}: {note}", DesignWarning, stacklevel=2)
    fit = regress(design, [Block(names, columns=dose)], covariates=covariates)
    estimate = fit.estimate(
        names, kind="other", method=METHOD, labels=pd.DataFrame({"term": names, "treatment": names}), cluster=cluster,
        small_sample=small_sample, notes=notes,
        options={"exposures": names, "covariates": tuple(covariates), "weights": weights},
    )  # fmt: skip
    table = pd.DataFrame(
        {
            "exposure": names,
            "n_obs": (dose != 0).sum(0),
            "n_units": [len(np.unique(design.unit[c != 0])) for c in dose.T],
        }
    )
    return replace(estimate, sample={**estimate.sample, "n_clean_units": int((~ever).sum()), "exposed": table})
