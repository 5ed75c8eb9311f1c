"""Treatments of differing intensity: effects by dose, relative to the untreated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
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


@dataclass(frozen=True)
class _Changes:
    """Δ by unit (NaN: not used), over how many periods, and what the comparison means add to the influence.

    ``cells`` holds, for every cohort and period, which units were held against the comparison, and how far each
    comparison unit lies from its mean, times its share of it. ``alone`` counts units without a comparison by cohort.
    """

    delta: np.ndarray
    count: np.ndarray
    cells: list[tuple[np.ndarray, np.ndarray]]
    alone: dict[Any, int]

    def comparison(self, rows: np.ndarray, lever: np.ndarray) -> np.ndarray:
        """What the comparison means add to the influence of m parameters, units × m.

        ``lever`` (rows × m) is the derivative of the parameters in Δ of ``rows``. The units of a cohort share the
        comparison of a period, so that their levers are added up first.
        """
        out = np.zeros((len(self.delta), lever.shape[1]))
        per_period = lever / self.count[rows][:, None]
        for here, deviation in self.cells:
            out -= deviation[:, None] * (here[rows].astype(float) @ per_period)
        return out


@dataclass(frozen=True)
class _Treated:
    """Treated units that are used: their rows among the units, doses, Δ and weights."""

    rows: np.ndarray
    dose: np.ndarray
    delta: np.ndarray
    mass: np.ndarray


@dataclass(frozen=True)
class _Curve:
    """Shape of the effect in the dose: Δ is regressed on ``basis`` (treated × terms), ``report`` @ terms is reported.

    ``slope`` (treated × terms) is the basis's derivative in the dose, where the last parameter is its average.
    """

    basis: np.ndarray
    report: np.ndarray
    labels: pd.DataFrame
    slope: np.ndarray | None = None


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
    window, neyman = event_window(window), small_sample == "neyman"
    if window and window[0] < 0:
        raise DesignError(f"window={window}: event times averaged start at 0 or later")
    design = prepare(data, outcome, unit=unit, time=time, cohort=cohort, weights=weights, cluster=cluster)
    must_stay_on(design, "use g.switching_did")
    notes = list(design.notes)
    doses = _doses(data, design, dose)
    w = unit_weights(design, notes)
    if neyman and cluster not in (None, design.unit_name):
        raise DesignError(f'small_sample="neyman" takes units as independent; cluster={cluster!r} says they are not')
    changes = _changes(design, doses, w, control, window or (0, np.iinfo(np.int32).max), neyman)
    treated = _used(changes, doses, w, outcome, notes)
    shape = _bins(treated, bins) if curve == "bins" else _polynomial(treated, degree, at, notes)
    point, psi = _fit(treated, shape, changes, design, notes)
    mean, mean_psi = _average(treated, changes, neyman)
    tell(design, notes[len(design.notes) :])
    level = cluster or design.unit_name
    codes = unit_codes(design, level)
    rule = partial(_rule, design, codes, level, treated, neyman)
    joint = rule(shape.basis.shape[1])
    overall = Estimate(
        labels=pd.DataFrame({"term": ["att"]}),
        point=mean,
        influence=Influence(mean_psi, codes, design.unit_labels),
        rule=rule(1),
        kind="simple",
        method=METHOD,
        outcome=outcome,
        sample=design.sample() | {"n_treated": len(treated.rows)},
        floor=design.rounding,
        options={"curve": curve, "control": control, "window": window, "weights": weights}
        | {"small_sample": small_sample},
        notes=tuple(notes),
        provenance=design.provenance,
    )
    influence = Influence(psi, codes, design.unit_labels)
    return replace(
        overall, labels=shape.labels, point=point, influence=influence, rule=joint, kind="other", overall=overall
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
    design: Design, doses: np.ndarray, w: np.ndarray, control: str, window: tuple[int, int], neyman: bool
) -> _Changes:
    """Δ_i of the page: mean over treated periods of the change since before treatment less that of untreated units."""
    y, t, cohort, dosed = matrix(design), design.n_periods, design.cohort, ~np.isnan(doses)
    total, count = np.zeros(len(y)), np.zeros(len(y))
    cells: list[tuple[np.ndarray, np.ndarray]] = []
    alone: dict[Any, int] = {}
    for g in np.unique(cohort[dosed]):
        lost = np.zeros(len(y), dtype=bool)
        for s in range(g + window[0], min(t, g + window[1] + 1)):
            move = y[:, s] - y[:, g - 1]
            seen = ~np.isnan(move)
            here = (cohort == g) & dosed & seen
            free = (cohort >= t if control == "never" else cohort > s) & seen
            if not free.any():
                lost |= here
            elif here.any():
                base, deviation = _comparison_mean(move, free, w, neyman)
                total[here] += move[here] - base
                count[here] += 1
                cells.append((here, deviation))
        if lost.any():
            alone[design.calendar[g]] = int(lost.sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        return _Changes(np.where(count > 0, total / count, np.nan), count, cells, alone)


def _comparison_mean(move: np.ndarray, free: np.ndarray, w: np.ndarray, neyman: bool) -> tuple[float, np.ndarray]:
    """Mean change of the units ``free`` of treatment, and its influence by unit."""
    share = np.where(free, w, 0.0) / w[free].sum()
    base = float(share[free] @ move[free])
    deviation = np.zeros(len(move))
    deviation[free] = share[free] * (move[free] - base)
    if neyman:
        deviation *= np.sqrt(free.sum() / max(free.sum() - 1, 1))
    return base, deviation


def _used(changes: _Changes, doses: np.ndarray, w: np.ndarray, outcome: str, notes: list[str]) -> _Treated:
    """Treated units with a comparison; who has none is noted."""
    for start, units in changes.alone.items():
        notes.append(
            f"cohort {start}: {units} units without an untreated comparison in some or all periods, left out there"
        )
    rows = np.flatnonzero(~np.isnan(changes.delta))
    if not len(rows):
        raise IdentificationError(
            f"{outcome}: no treated unit has a period before, a period after and an untreated control"
        )
    return _Treated(rows, doses[rows], changes.delta[rows], w[rows])


def _fit(
    treated: _Treated, shape: _Curve, changes: _Changes, design: Design, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted least squares of Δ on the basis: what is reported of it, and its influence, units × parameters.

    ``lever`` (treated × terms) is the derivative of the terms in each unit's Δ. Noise reaches them through a treated
    unit's own residual (HC2: over √(1 − leverage)), through the comparison means, and through the sample of doses
    that a slope is averaged over.
    """
    rows, v, mass, basis = treated.rows, treated.delta, treated.mass, shape.basis
    bread = np.linalg.inv((basis * mass[:, None]).T @ basis)
    theta = bread @ (basis.T @ (mass * v))
    lever = (basis * mass[:, None]) @ bread
    room = 1 - np.einsum("ij,ij->i", lever, basis)
    exact = room < 1e-9
    if exact.any():
        notes.append(
            f"{int(exact.sum())} treated units are alone at their dose and fitted exactly, so no standard error counts "
            f"their noise: {labelled(design, rows[exact])}"
        )
    psi = np.zeros((design.n_units, basis.shape[1]))
    psi[rows] = lever * ((v - basis @ theta) / np.sqrt(np.where(exact, 1.0, room)))[:, None]
    psi += changes.comparison(rows, lever)
    influence = psi @ shape.report.T
    if shape.slope is not None:
        influence[rows, -1] += mass * (shape.slope @ theta - shape.report[-1] @ theta) / mass.sum()
    return shape.report @ theta, influence


def _average(treated: _Treated, changes: _Changes, neyman: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean of Δ over the treated, (1,), and its influence, units × 1."""
    v, mass, n = treated.delta, treated.mass, len(treated.rows)
    total = mass.sum()
    mean = float(mass @ v / total)
    psi = changes.comparison(treated.rows, (mass / total)[:, None])
    within = np.sqrt(n / (n - 1)) if neyman and n > 1 else 1.0
    psi[treated.rows, 0] += within * mass * (v - mean) / total
    return np.array([mean]), psi


def _rule(
    design: Design, codes: Mapping[str, np.ndarray], level: str, treated: _Treated, neyman: bool, n_terms: int
) -> Clustered:
    """Sums by cluster; with Neyman's variance, degrees of freedom of the treated about n terms, and of the others."""
    counts = {k: int(c.max()) + 1 for k, c in codes.items()}
    if not neyman:
        return Clustered((level,), "did", design.n, {}, counts)
    n, others = len(treated.rows), design.n_units - len(treated.rows)
    if n <= n_terms or others < 2:
        raise IdentificationError(
            f'small_sample="neyman" needs more than {n_terms} treated and more than one other unit; there are {n} and '
            f'{others}. Use small_sample="did" and see few_treated'
        )
    group = np.ones(design.n_units, dtype=np.int64)
    group[treated.rows] = 0
    return Neyman((level,), "did", design.n, {}, counts, False, group, np.array([n - n_terms, others - 1.0]))


def _polynomial(treated: _Treated, degree: int, at: Sequence[float] | None, notes: list[str]) -> _Curve:
    """Powers of the dose, reported at doses ``at``, and the average slope; in standard units, which keeps digits."""
    d, mass = treated.dose, treated.mass
    points = np.quantile(d, (0.25, 0.5, 0.75)) if at is None else np.asarray(at, dtype=float)
    different = len(np.unique(d))
    if different <= degree:
        raise IdentificationError(f"{different} different doses cannot carry a polynomial of degree {degree}")
    far = points[(points < d.min()) | (points > d.max())]
    if len(far):
        notes.append(
            f"at= asks for {len(far)} doses beyond the treated ones, from {d.min():g} to {d.max():g}: "
            f"{', '.join(f'{x:g}' for x in far[:8])}; their effects extrapolate the polynomial"
        )
    centre, scale, powers = d.mean(), d.std(), np.arange(degree + 1)
    z = ((d - centre) / scale)[:, None]
    slope = z ** np.maximum(powers - 1, 0) * powers / scale
    report = np.vstack([((points - centre) / scale)[:, None] ** powers, mass @ slope / mass.sum()])
    labels = pd.DataFrame({"term": [*(f"att({p:g})" for p in points), "slope"], "dose": [*points, np.nan]})
    return _Curve(z**powers, report, labels, slope)


def _bins(treated: _Treated, bins: int | Sequence[float]) -> _Curve:
    """Dummies of the bins and their labels; every treated unit is in one."""
    d, mass = treated.dose, treated.mass
    edges = _edges(d, bins)
    last = max(len(edges) - 2, 0)
    code = np.clip(np.searchsorted(edges, d, side="right") - 1, 0, last)
    size = np.bincount(code, minlength=last + 1)
    if (size == 0).any():
        empty = [f"[{edges[k]:g}, {edges[k + 1]:g}]" for k in np.flatnonzero(size == 0)]
        raise IdentificationError(f"no treated unit has a dose in {', '.join(empty)}: use wider bins")
    basis = (code[:, None] == np.arange(len(size))).astype(float)
    labels = pd.DataFrame(
        {
            "term": [f"att[{edges[k]:g}, {edges[k + 1]:g}{']' if k == last else ')'}" for k in range(len(size))],
            "dose": (basis * mass[:, None]).T @ d / (basis.T @ mass),
            "dose_low": edges[:-1],
            "dose_high": edges[1:],
            "n_units": size,
        }
    )
    return _Curve(basis, np.eye(len(size)), labels)


def _edges(d: np.ndarray, bins: int | Sequence[float]) -> np.ndarray:
    """Increasing edges: those given, or quantiles of the treated doses."""
    if isinstance(bins, int):
        edges = np.unique(np.quantile(d, np.linspace(0, 1, bins + 1), method="inverted_cdf"))
        return edges if len(edges) > 1 else np.array([d.min(), d.max()])
    edges = np.asarray(bins, dtype=float)
    outside = (d < edges[0]) | (d > edges[-1])
    if (np.diff(edges) <= 0).any() or outside.any():
        raise DesignError(
            f"bins={list(map(float, edges))} must increase and hold every dose; {int(outside.sum())} treated doses "
            f"from {d.min():g} to {d.max():g} lie outside"
        )
    return edges
