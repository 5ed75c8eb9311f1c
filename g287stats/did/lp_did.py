"""Local-projections difference-in-differences (Dube, Girardi, Jordà and Taylor)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats.arguments import documented
from g287stats.design.coding import window_pair
from g287stats.design.keys import Data
from g287stats.design.prepare import Design, prepare
from g287stats.design.wide import dated, matrix
from g287stats.errors import DesignError, IdentificationError, choose
from g287stats.estimate.covariance import SmallSample
from g287stats.estimate.estimate import Estimate, Method
from g287stats.numerics.rows import Levels, Rows
from g287stats.regression.event import with_average
from g287stats.regression.regression import Block, regress, tell
from g287stats.regression.together import together, unit_codes

METHOD = Method(
    "lp_did",
    "Local-projections difference-in-differences",
    (
        "Dube, A., Girardi, D., Jordà, Ò. and Taylor, A. M. (2025). A local projections approach to "
        "difference-in-differences. Journal of Applied Econometrics 40(7), 741–758. doi:10.1002/jae.70000",
    ),
)


@documented()
def lp_did(
    data: Data,
    outcome: str,
    *,
    window: tuple[int, int],
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    control: Literal["never", "notyet"] = "notyet",
    scheme: Literal["variance", "equal"] = "variance",
    covariates: Sequence[str] = (),
    weights: str | None = None,
    cluster: str | None = None,
    small_sample: SmallSample = "nonnested",
) -> Estimate:
    """One regression of a long difference on starting treatment per horizon, with clean controls.

    For horizon h, over units that start treatment in t and units not treated by max(t, t + h),

        y_i,t+h − y_i,t−1 = β_h ΔD_it + x_i,t−1'γ_h + δ_t^h + e_it^h.

    β_h averages the effects of the cohorts at event time h, with weights n₁n₀/n by period (``variance``), or by
    treated units (``equal``: rows are weighted by n/n₀; the points then equal Callaway–Sant'Anna event-time effects
    with the same controls). Assumes parallel trends given covariates and no anticipation; treatment absorbing.

    Parameters
    ----------
    window
        First and last horizon, ``(-2, 3)``; −1 is the base.
    control
        ``notyet``: everyone not treated by max(t, t + h); ``never``: units never treated within the panel.
    scheme
        Weights of the periods, see above.
    covariates, weights
        Columns read in t − 1.
    cluster
        Level constant within units; default the unit.

    Returns
    -------
    Estimate
        One parameter per horizon (``event_time``), ``overall`` their plain average after treatment. The influence
        functions, by unit, carry the small-sample factor of their own regression.

    Raises
    ------
    DesignError, IdentificationError
        Treatment that ends; a horizon without treated or control differences, by name.
    """
    low, high = window = window_pair(window)
    if low > high or high < 0:
        raise DesignError(f"window={window} must end at 0 or later: window=(-2, 3)")
    control = choose("control", control, ("never", "notyet"))
    choose("scheme", scheme, ("variance", "equal"))
    design = prepare(
        data,
        outcome,
        unit=unit,
        time=time,
        cohort=cohort,
        treatment=treatment,
        covariates=covariates,
        weights=weights,
        cluster=cluster,
    )
    design = dated(design, "use g.switching_did")
    level = cluster or design.unit_name
    unit_codes(design, level)
    notes = list(design.notes)
    fits, rows = [], []
    for h in range(low, high + 1):
        if h == -1:
            continue
        local, on, units, alone = _differences(design, h, control, scheme)
        if len(alone):
            notes.append(f"horizon {h}: no clean control for units starting in {', '.join(map(str, alone))}; left out")
        if not on.any():
            what = f"units starting in {', '.join(map(str, alone))} have no clean control" if alone else "nobody starts"
            raise IdentificationError(f"{outcome}: at horizon {h}, with both periods observed, {what}")
        fit = regress(local, [Block((str(h),), columns=on[:, None].astype(float))])
        one = fit.estimate([str(h)], kind="static", method=METHOD, cluster=level, small_sample=small_sample)
        fits.append((one, units))
        rows.append((str(h), h, int(on.sum()), int((~on).sum())))
    influence, rule = together(design, level, fits, small_sample)
    tell(design, notes[len(design.notes) :])
    result = Estimate(
        labels=pd.DataFrame(rows, columns=["term", "event_time", "n_switches", "n_clean"]),
        point=np.array([one.point[0] for one, _ in fits]),
        influence=influence,
        rule=rule,
        kind="event",
        method=METHOD,
        outcome=outcome,
        sample=design.sample(),
        floor=max(one.floor for one, _ in fits),
        options={"window": window, "control": control, "scheme": scheme, "weights": weights},
        reference=(-1,),
        notes=tuple(notes),
        provenance=design.provenance,
    )
    return with_average(result)


def _differences(design: Design, h: int, control: str, scheme: str) -> tuple[Design, np.ndarray, np.ndarray, list[Any]]:
    """Return the design of one horizon (its unit effect is the period), which rows start treatment, their units.

    Last, the periods whose starters have no clean control and are left out.
    """
    t = design.n_periods
    y = matrix(design)
    row = matrix(design, np.arange(design.n, dtype=float))
    periods = np.arange(max(1, -h), min(t, t - h))
    start = design.cohort[:, None] == periods
    last = np.maximum(periods, periods + h)
    clean = (design.cohort >= t)[:, None] if control == "never" else design.cohort[:, None] > last
    change = y[:, periods + h] - y[:, periods - 1]
    where, unit = np.nonzero(((start | clean) & ~np.isnan(change)).T)
    on = start[unit, where]
    base = row[unit, periods[where] - 1].astype(int)
    mass = np.ones(len(on)) if design.weights is None else design.weights[base]
    free = np.bincount(where, mass * ~on, len(periods))
    alone = [design.calendar[periods[p]] for p in np.unique(where[on]) if free[p] == 0]
    if scheme == "equal":
        total = np.bincount(where, mass, len(periods))
        mass = mass * total[where] / np.where(free > 0, free, 1.0)[where]
    kept = np.flatnonzero(free[where] > 0)
    where, unit, on, base, mass = where[kept], unit[kept], on[kept], base[kept], mass[kept]
    effect = np.unique(where, return_inverse=True)[1].reshape(-1)
    present = np.unique(where)
    name = f"{design.time_name} of horizon {h}"
    levels = {v: np.unique(c[base], return_inverse=True)[1].reshape(-1) for v, c in design.clusters.items()}
    rows = Rows(len(present), 1, effect, np.zeros(len(on), dtype=np.int64))
    local = replace(
        design,
        unit_name=name,
        y=change[unit, where],
        rows=rows,
        unit_labels=pd.Index([design.calendar[p] for p in periods[present]], name=name),
        calendar=design.calendar[:1],
        cohort=np.zeros(len(present), dtype=np.int64),
        covariates=design.covariates[base],
        weights=None if design.weights is None and scheme == "variance" else mass,
        clusters=Levels(rows, {name: effect, **levels}),
    )
    return local, on, unit, alone
