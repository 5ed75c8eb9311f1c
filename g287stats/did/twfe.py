"""Two-way fixed effects: one treatment effect, or one per event time.

Static:       y_it = τ D_it + x_it'β + α_i + λ_t + ε_it
Event study:  y_it = Σ_{e ≠ ref} τ_e 1{t − g_i = e} + x_it'β + α_i + λ_t + ε_it

With effects that differ between cohorts or grow over time, τ is a weighted average that can put negative weight on
some effects (Goodman-Bacon 2021; de Chaisemartin and D'Haultfœuille 2020; for the event study Sun and Abraham 2021);
``g.bacon`` shows the weights, and ``g.att_gt``, ``g.sun_abraham`` and ``g.imputation`` do not have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats.design.coding import event_window, reference_times, several
from g287stats.design.prepare import NEVER, Design, prepare
from g287stats.design.wide import UNDATED, dated, must_stay_on
from g287stats.errors import DesignError, IdentificationError
from g287stats.estimate.covariance import SmallSample
from g287stats.estimate.estimate import Estimate, Method
from g287stats.numerics.least_squares import Factor
from g287stats.regression.regression import Block, Vcov, by_time, regress, tell

STATIC = Method(
    "twfe",
    "Two-way fixed effects",
    (
        "Wooldridge, J. M. (2010). Econometric Analysis of Cross Section and Panel Data, 2nd ed. MIT Press, ch. 10.",
        "Goodman-Bacon, A. (2021). Difference-in-differences with variation in treatment timing. "
        "Journal of Econometrics 225(2), 254–277. doi:10.1016/j.jeconom.2021.03.014",
        "de Chaisemartin, C., and D'Haultfœuille, X. (2020). Two-way fixed effects estimators with heterogeneous "
        "treatment effects. American Economic Review 110(9), 2964–2996. doi:10.1257/aer.20181169",
    ),
)
EVENT = Method(
    "event_study",
    "Two-way fixed effects event study",
    (
        "Sun, L., and Abraham, S. (2021). Estimating dynamic treatment effects in event studies with heterogeneous "
        "treatment effects. Journal of Econometrics 225(2), 175–199. doi:10.1016/j.jeconom.2020.09.006",
        "Schmidheiny, K., and Siegloch, S. (2023). On event studies and distributed-lags in two-way fixed effects "
        "models: Identification, equivalence, and generalization. Journal of Applied Econometrics 38(5), 695–713. "
        "doi:10.1002/jae.2971",
    ),
)
FITS = "g.switching_did fits treatments that end"


def twfe(
    data: Any,
    outcome: str,
    *,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    covariates: Sequence[str] = (),
    covariates_by_time: Sequence[str] = (),
    fixed_effects: Sequence[str | tuple[str, ...]] = (),
    unit_trends: bool = False,
    weights: str | None = None,
    cluster: str | Sequence[str] | None = None,
    small_sample: SmallSample = "nonnested",
    vcov: Vcov = "cluster",
) -> Estimate:
    """Static two-way fixed effects regression.

    Parameters
    ----------
    data
        A DataFrame, or a ``CountyPanel``. Rows with a missing value in a column used are set aside and counted.
    outcome
        Column of the dependent variable; τ is in its units.
    unit, time
        Key columns (default: those of the panel).
    cohort, treatment
        Either the first treated period (missing: never treated), for D = 1{t ≥ cohort}; or the column of D itself,
        binary or not, which may switch on and off.
    covariates
        Columns that enter linearly.
    covariates_by_time
        Columns with a coefficient of their own in every period.
    fixed_effects
        Further effects beyond unit and period; a tuple is an interaction, ``[("state", "year")]``.
    unit_trends
        Add a linear trend for every unit.
    weights
        Positive weights by row.
    cluster
        One level or two (columns); default the unit.
    small_sample
        ``nonnested`` (fixest, reghdfe), ``full``, ``none`` or ``unadjusted``; see
        :class:`~g287stats.estimate.covariance.Clustered`.
    vcov
        ``cluster``, or ``iid`` or ``HC1`` for comparison with printed results.

    Returns
    -------
    Estimate
        One parameter, named after ``treatment`` or ``att``.

    Raises
    ------
    DesignError, IdentificationError
        All problems of the frame at once; columns that the fixed effects determine, by name.

    References
    ----------
    Wooldridge (2010), chapter 10; Goodman-Bacon (2021).
    """
    keys = {"unit": unit, "time": time, "cohort": cohort, "treatment": treatment}
    design = _prepare(data, outcome, keys, covariates, covariates_by_time, weights, cluster, fixed_effects)
    name = treatment or "att"
    if design.treatment is None:
        dose = (design.time >= design.cohort[design.unit]).astype(float)
    else:
        dose = design.treatment
    if not (dose != dose[0]).any():
        raise IdentificationError(f"{name!r} is {dose[0]:g} in every row: nothing to compare")
    notes = _switching(design, dose) if treatment else []
    tell(design, notes)
    fit = regress(
        design,
        [Block((name,), columns=dose[:, None]), *by_time(design, covariates_by_time, unit_trends=unit_trends)],
        covariates=covariates,
        unit_trends=unit_trends,
    )
    return fit.estimate(
        [name],
        kind="static",
        method=STATIC,
        cluster=cluster,
        small_sample=small_sample,
        vcov=vcov,
        options=_options(covariates, covariates_by_time, fixed_effects, unit_trends, weights),
        notes=notes,
    )


def event_study(
    data: Any,
    outcome: str,
    *,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    window: tuple[int, int] | None = None,
    ends: Literal["bin", "drop"] = "bin",
    reference: int | Sequence[int] = -1,
    covariates: Sequence[str] = (),
    covariates_by_time: Sequence[str] = (),
    fixed_effects: Sequence[str | tuple[str, ...]] = (),
    unit_trends: bool = False,
    weights: str | None = None,
    cluster: str | Sequence[str] | None = None,
    small_sample: SmallSample = "nonnested",
    vcov: Vcov = "cluster",
) -> Estimate:
    """Two-way fixed effects event study.

    Parameters
    ----------
    window
        Event times shown, ``(-4, 4)``; default all.
    ends
        What happens to treated rows outside the window: ``bin`` gives them the first or last event time of the
        window (then named ``<=-4``, ``>=4``), ``drop`` sets the rows aside (counted in the sample flow).
    reference
        Event time normalised to zero, or several. Never-treated units are in the reference throughout. Without
        never-treated units a second reference is needed, because leads and lags then add up to a trend.
    cohort, treatment
        The first treated period, or a 0/1 treatment that stays on; one that ends is an error naming the units.
    data, outcome, unit, time, covariates, covariates_by_time, fixed_effects, unit_trends, weights, cluster, \
small_sample, vcov
        As in :func:`twfe`.

    Returns
    -------
    Estimate
        One parameter per event time (``event_time``); ``overall`` is the plain average over event times ≥ 0.

    References
    ----------
    Schmidheiny and Siegloch (2023); Sun and Abraham (2021) on what the coefficients mix.
    """
    keys = {"unit": unit, "time": time, "cohort": cohort, "treatment": treatment}
    design = _prepare(data, outcome, keys, covariates, covariates_by_time, weights, cluster, fixed_effects)
    references, window = reference_times(reference), event_window(window)
    design, block, event_times = event_block(design, window, ends, references)
    fit = regress(
        design,
        [block, *by_time(design, covariates_by_time, unit_trends=unit_trends)],
        covariates=covariates,
        unit_trends=unit_trends,
    )
    options = _options(covariates, covariates_by_time, fixed_effects, unit_trends, weights)
    estimate = fit.estimate(
        block.names,
        kind="event",
        method=EVENT,
        labels=pd.DataFrame({"term": list(block.names), "event_time": event_times}),
        cluster=cluster,
        small_sample=small_sample,
        vcov=vcov,
        options={"reference": _plain(references), **({"window": window, "ends": ends} if window else {}), **options},
        reference=references,
    )
    return with_average(estimate)


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
    if treated.all() and len(references) < 2 and window is None:
        raise IdentificationError(
            "every unit is treated at some time, so leads and lags add up to a linear trend: give a second "
            f"reference, reference=(-1, {found[0]}), or a window that bins the ends"
        )
    shown = found[~np.isin(found, references)]
    lookup = np.full(found[-1] - found[0] + 1, -1)
    lookup[shown - found[0]] = np.arange(len(shown))
    codes = np.where(treated, lookup[np.where(treated, event - found[0], 0)], -1)
    names = [str(e) for e in shown]
    if window is not None and ends == "bin":
        names = [f"<={e}" if e == low else f">={e}" if e == high else str(e) for e in shown]
    return design, Block(tuple(names), Factor(codes, len(shown))), shown.astype(int)


def must_occur(references: tuple[int, ...], found: np.ndarray) -> None:
    """Refuse reference event times that no treated unit has."""
    absent = [r for r in references if r not in found]
    if absent:
        listed = ", ".join(map(str, found[:12])) + (", …" if len(found) > 12 else "")
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
    cohort = design.cohort[design.unit]
    return np.where(cohort == NEVER, NEVER, design.time - np.where(cohort == NEVER, 0, cohort))


def _prepare(
    data: Any,
    outcome: str,
    keys: dict[str, Any],
    covariates: Sequence[str],
    by_time: Sequence[str],
    weights: str | None,
    cluster: Any,
    fixed_effects: Any,
    exposure: str | None = None,
) -> Design:
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
        exposure=exposure,
        **keys,
    )
    must_stay_on(design, FITS)
    return design


def _switching(design: Design, dose: np.ndarray) -> list[str]:
    """Note when a treatment falls within units: the coefficient then mixes starting and ending."""
    if design.rows.complete:
        falls = dose[1:] < dose[:-1]
        falls[design.n_periods - 1 :: design.n_periods] = False  # from one unit to the next
        units = np.unique(np.flatnonzero(falls) // design.n_periods)
    else:
        units = np.unique(design.unit[1:][(dose[1:] < dose[:-1]) & (design.unit[1:] == design.unit[:-1])])
    if not len(units):
        return []
    names = ", ".join(str(v) for v in design.unit_labels[units[:8]])
    more = f", … {len(units) - 8} more" if len(units) > 8 else ""
    return [
        f"treatment switches off in {len(units)} units ({names}{more}); the coefficient mixes starting and ending. "
        "g.switching_did separates them"
    ]


def _plain(references: tuple[int, ...]) -> int | tuple[int, ...]:
    """References as one writes them: a single one without a tuple."""
    return references[0] if len(references) == 1 else references


def _options(
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
