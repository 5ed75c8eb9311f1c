"""Treatments of differing intensity: effects by dose, relative to the untreated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats.arguments import documented
from g287stats.design.coding import event_window, whole
from g287stats.design.keys import Data
from g287stats.design.prepare import Design, prepare
from g287stats.design.wide import labelled, matrix, must_stay_on, places, unit_weights
from g287stats.errors import DesignError, IdentificationError, choose
from g287stats.estimate.covariance import Clustered, Influence, Neyman
from g287stats.estimate.estimate import Estimate, Method
from g287stats.regression.regression import tell
from g287stats.regression.together import unit_codes

METHOD = Method(
    "intensity_did",
    "Difference-in-differences by treatment intensity",
    (
        "Callaway, B., Goodman-Bacon, A. and Sant'Anna, P. H. C. (2024). Difference-in-differences with a continuous "
        "treatment. NBER Working Paper 32117. doi:10.3386/w32117",
    ),
)


@documented()
def intensity_did(
    data: Data,
    outcome: str,
    *,
    dose: str,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    curve: Literal["bins", "polynomial"] = "bins",
    bins: int | Sequence[float] = 4,
    degree: int = 1,
    at: Sequence[float] | None = None,
    control: Literal["never", "notyet"] = "notyet",
    window: tuple[int, int] | None = None,
    weights: str | None = None,
    cluster: str | None = None,
    small_sample: Literal["did", "neyman"] = "did",
) -> Estimate:
    """Average effect after treatment as a function of the dose.

    For every treated unit the outcome's change since the period before treatment is compared, period by period, with
    the change of untreated units, and averaged over its treated periods:

        Δ_i = mean over t ≥ g_i of [ (Y_it − Y_i,g−1) − mean over untreated of (Y_t − Y_g−1) ].

    ``bins`` averages Δ within bins of dose; ``polynomial`` regresses Δ on powers of dose and reports the fit at doses
    ``at`` and its average slope. Each ATT(d) is the effect, on units with that dose, of having it rather than none,
    under parallel trends with the untreated. Differences between doses — and the slope — are effects of dose only
    under *strong* parallel trends: units with different doses would have had the same effect at the same dose.

    Parameters
    ----------
    dose
        Column: positive and the same in all treated rows of a unit (average a varying dose first and say so). Values
        in untreated rows are not used.
    cohort
        First treated period; missing = never.
    curve
        ``bins`` or ``polynomial``, see above.
    bins
        Number of equally filled bins, or increasing inner and outer edges.
    degree, at
        Of the polynomial; doses at which to report it (default: quartiles of the treated doses).
    control
        ``notyet``: units not treated by t (and the whole comparison); ``never``: within the panel.
    window
        First and last event time averaged, ``(0, 4)``; default all.
    weights
        Unit weights (the mean of a unit's rows).
    cluster
        Level fixed within units; default the unit.
    small_sample
        ``did``: no factor, t with clusters less one degrees of freedom. ``neyman``: the influence of the n comparison
        units of a period is scaled by √(n/(n − 1)) and that of the n treated on the average by the same, t with
        Satterthwaite's degrees of freedom by parameter (treated less the terms of the shape, others less one). For
        units independent of each other.

    Returns
    -------
    Estimate
        ``att[low, high]`` by bin, or ``att(d)`` and ``slope``; ``overall`` is the average effect over treated units.
        Influence functions count the estimation of the comparison means and of the dose distribution.

    Raises
    ------
    DesignError
        Doses that are missing, not positive, or change within treated rows, naming the units.
    IdentificationError
        No untreated comparison for any unit; too few different doses for the shape.
    """
    choose("curve", curve, ("bins", "polynomial"))
    control = choose("control", control, ("never", "notyet"))
    choose("small_sample", small_sample, ("did", "neyman"))
    degree = whole("degree", degree, 1)
    if not isinstance(bins, Sequence | np.ndarray):
        bins = whole("bins", bins, 1)
    neyman = small_sample == "neyman"
    window = event_window(window)
    low, high = window or (0, np.iinfo(np.int32).max)
    if low < 0:
        raise DesignError(f"window={window}: event times averaged start at 0 or later")
    design = prepare(data, outcome, unit=unit, time=time, cohort=cohort, weights=weights, cluster=cluster)
    must_stay_on(design, "use g.switching_did")
    notes = list(design.notes)
    doses = _doses(data, design, dose)
    w = unit_weights(design, notes)
    if neyman and cluster not in (None, design.unit_name):
        raise DesignError(f'small_sample="neyman" takes units as independent; cluster={cluster!r} says they are not')
    delta, pull, alone = _changes(design, doses, w, control, low, int(high), neyman)
    for start, units in alone.items():
        notes.append(
            f"cohort {start}: {units} units without an untreated comparison in some or all periods, left out there"
        )
    used = ~np.isnan(delta)
    if not used.any():
        raise IdentificationError(
            f"{outcome}: no treated unit has a period before, a period after and an untreated control"
        )
    d, v, mass = doses[used], delta[used], w[used]
    rows = np.flatnonzero(used)
    total = mass.sum()

    if curve == "bins":
        basis, labels = _bins(d, mass, bins)
        report = np.eye(basis.shape[1])
    else:
        points = np.quantile(d, (0.25, 0.5, 0.75)) if at is None else np.asarray(at, dtype=float)
        if len(np.unique(d)) <= degree:
            raise IdentificationError(
                f"{len(np.unique(d))} different doses cannot carry a polynomial of degree {degree}"
            )
        far = points[(points < d.min()) | (points > d.max())]
        if len(far):
            notes.append(
                f"at= asks for {len(far)} doses beyond the treated ones, from {d.min():g} to {d.max():g}: "
                f"{', '.join(f'{x:g}' for x in far[:8])}; their effects extrapolate the polynomial"
            )
        centre, scale = d.mean(), d.std()
        power = lambda x: ((np.asarray(x) - centre) / scale)[:, None] ** np.arange(degree + 1)
        slope = (
            ((d - centre) / scale)[:, None] ** np.maximum(np.arange(degree + 1) - 1, 0) * np.arange(degree + 1) / scale
        )
        basis = power(d)
        report = np.vstack([power(points), mass @ slope / total])
        labels = pd.DataFrame({"term": [*(f"att({p:g})" for p in points), "slope"], "dose": [*points, np.nan]})
    bread = np.linalg.inv((basis * mass[:, None]).T @ basis)
    theta = bread @ (basis.T @ (mass * v))
    # (treated × parameters) derivative of the parameters in each unit's change, then the two sources of noise
    lever = (basis * mass[:, None]) @ bread
    psi = np.zeros((design.n_units, basis.shape[1]))
    room = 1 - np.einsum("ij,ij->i", lever, basis)
    exact = room < 1e-9
    if exact.any():
        notes.append(
            f"{int(exact.sum())} treated units are alone at their dose and fitted exactly, so no standard error counts "
            f"their noise: {labelled(design, rows[exact])}"
        )
    psi[rows] = lever * ((v - basis @ theta) / np.sqrt(np.where(exact, 1.0, room)))[:, None]
    psi += pull(rows, lever)
    influence = psi @ report.T
    if curve == "polynomial":
        influence[rows, -1] += mass * (slope @ theta - report[-1] @ theta) / total
    mean = float(mass @ v / total)
    mean_psi = pull(rows, (mass / total)[:, None])[:, 0]
    within = np.sqrt(len(v) / (len(v) - 1)) if neyman and len(v) > 1 else 1.0
    mean_psi[rows] += within * mass * (v - mean) / total

    tell(design, notes[len(design.notes) :])
    level = cluster or design.unit_name
    codes = unit_codes(design, level)
    counts = {k: int(c.max()) + 1 for k, c in codes.items()}
    if neyman and (len(rows) <= basis.shape[1] or design.n_units - len(rows) < 2):
        raise IdentificationError(
            f'small_sample="neyman" needs more than {basis.shape[1]} treated and more than one other unit; there '
            f'are {len(rows)} and {design.n_units - len(rows)}. Use small_sample="did" and see few_treated'
        )

    def rule(n_terms: int) -> Clustered:
        if not neyman:
            return Clustered((level,), "did", design.n, {}, counts)
        freedom = np.array([len(rows) - n_terms, design.n_units - len(rows) - 1.0])
        return Neyman((level,), "did", design.n, {}, counts, False, (~used).astype(np.int64), freedom)

    overall = Estimate(
        labels=pd.DataFrame({"term": ["att"]}),
        point=np.array([mean]),
        influence=Influence(mean_psi[:, None], codes, design.unit_labels),
        rule=rule(1),
        kind="simple",
        method=METHOD,
        outcome=outcome,
        sample=design.sample() | {"n_treated": len(rows)},
        floor=design.rounding,
        options={"curve": curve, "control": control, "window": window, "weights": weights}
        | {"small_sample": small_sample},
        notes=tuple(notes),
        provenance=design.provenance,
    )
    return replace(
        overall,
        labels=labels,
        point=report @ theta,
        influence=Influence(influence, codes, design.unit_labels),
        rule=rule(basis.shape[1]),
        kind="other",
        overall=overall,
    )


def _doses(data: Data, design: Design, dose: str) -> np.ndarray:
    """Dose of every treated unit, NaN for others; every problem at once."""
    frame: pd.DataFrame = data if isinstance(data, pd.DataFrame) else data.frame
    if dose not in frame:
        raise DesignError(f"dose column {dose!r} is not in the frame")
    values = pd.to_numeric(frame[dose], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    unit, time = places(design, frame)
    inside = (unit >= 0) & (time >= 0)
    status = np.full((design.n_units, design.n_periods), np.nan)
    status[unit[inside], time[inside]] = values[inside]
    on = np.zeros_like(status, dtype=bool)
    on[design.unit, design.time] = design.time >= design.cohort[design.unit]
    treated = on.any(1) & (design.cohort > 0)
    seen = np.where(on, status, np.nan)
    first = np.full(design.n_units, np.nan)
    has = (~np.isnan(seen)).any(1)
    first[has] = seen[has, (~np.isnan(seen[has])).argmax(1)]
    gap = np.where(on & ~np.isnan(seen), np.abs(seen - first[:, None]), 0.0).max(1)
    lines = []
    for what, bad in (
        ("have no dose in a treated row", treated & (on & np.isnan(status)).any(1)),
        ("have a dose that is not positive", treated & (first <= 0)),
        (
            "have a dose that changes while treated; average it by unit and say so",
            treated & (gap > 1e-12 * (1 + np.abs(np.nan_to_num(first)))),
        ),
    ):
        if bad.any():
            lines.append(f"{int(bad.sum())} units {what}: {labelled(design, bad)}")
    if lines:
        raise DesignError(f"dose {dose!r}: " + "; ".join(lines))
    return np.where(treated, first, np.nan)


def _changes(
    design: Design, doses: np.ndarray, w: np.ndarray, control: str, low: int, high: int, neyman: bool
) -> tuple[np.ndarray, Any, dict[Any, int]]:
    """Return Δ by unit (NaN: not used), the influence of comparison means, and cohorts without a comparison.

    The second is a function of (rows, lever): with ``lever`` the derivative of m parameters in Δ of the units in
    ``rows``, it returns units × m.
    """
    y, t = matrix(design), design.n_periods
    n = design.n_units
    total, count = np.zeros(n), np.zeros(n)
    cells: list[tuple[np.ndarray, np.ndarray]] = []
    alone: dict[Any, int] = {}
    for g in np.unique(design.cohort[~np.isnan(doses)]):
        mine = (design.cohort == g) & ~np.isnan(doses)
        lost = np.zeros(n, dtype=bool)
        for s in range(g + low, min(t, g + high + 1)):
            move = y[:, s] - y[:, g - 1]
            here = mine & ~np.isnan(move)
            free = (design.cohort >= t) if control == "never" else (design.cohort > s)
            free &= ~np.isnan(move)
            if not here.any():
                continue
            if not free.any():
                lost |= here
                continue
            share = np.where(free, w, 0.0) / w[free].sum()
            base = float(share[free] @ move[free])
            total[here] += move[here] - base
            count[here] += 1
            deviation = np.zeros(n)
            deviation[free] = share[free] * (move[free] - base)
            if neyman:
                deviation *= np.sqrt(free.sum() / max(free.sum() - 1, 1))
            cells.append((here, deviation))
        if lost.any():
            alone[design.calendar[g]] = int(lost.sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        delta = np.where(count > 0, total / count, np.nan)

    def pull(rows: np.ndarray, lever: np.ndarray) -> np.ndarray:
        out = np.zeros((n, lever.shape[1]))
        per_period = lever / count[rows][:, None]
        for here, deviation in cells:
            out -= deviation[:, None] * (here[rows].astype(float) @ per_period)
        return out

    return delta, pull, alone


def _bins(d: np.ndarray, mass: np.ndarray, bins: int | Sequence[float]) -> tuple[np.ndarray, pd.DataFrame]:
    """Dummies of the bins and their labels; every treated unit is in one."""
    if isinstance(bins, int):
        edges = np.unique(np.quantile(d, np.linspace(0, 1, bins + 1), method="inverted_cdf"))
        if len(edges) < 2:
            edges = np.array([d.min(), d.max()])
    else:
        edges = np.asarray(bins, dtype=float)
        outside = (d < edges[0]) | (d > edges[-1])
        if (np.diff(edges) <= 0).any() or outside.any():
            raise DesignError(
                f"bins={list(map(float, edges))} must increase and hold every dose; {int(outside.sum())} treated doses "
                f"from {d.min():g} to {d.max():g} lie outside"
            )
    code = np.clip(np.searchsorted(edges, d, side="right") - 1, 0, max(len(edges) - 2, 0))
    size = np.bincount(code, minlength=max(len(edges) - 1, 1))
    if (size == 0).any():
        empty = [f"[{edges[k]:g}, {edges[k + 1]:g}]" for k in np.flatnonzero(size == 0)]
        raise IdentificationError(f"no treated unit has a dose in {', '.join(empty)}: use wider bins")
    basis = (code[:, None] == np.arange(len(size))).astype(float)
    labels = pd.DataFrame(
        {
            "term": [
                f"att[{edges[k]:g}, {edges[k + 1]:g}{']' if k == len(size) - 1 else ')'}" for k in range(len(size))
            ],
            "dose": (basis * mass[:, None]).T @ d / (basis.T @ mass),
            "dose_low": edges[:-1],
            "dose_high": edges[1:],
            "n_units": size,
        }
    )
    return basis, labels
