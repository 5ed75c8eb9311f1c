"""Two-way fixed effects: one treatment effect, or one per event time.

Static:       y_it = τ D_it + x_it'β + α_i + λ_t + ε_it
Event study:  y_it = Σ_{e ≠ ref} τ_e 1{t − g_i = e} + x_it'β + α_i + λ_t + ε_it

With effects that differ between cohorts or grow over time, τ is a weighted average that can put negative weight on
some effects (Goodman-Bacon 2021; de Chaisemartin and D'Haultfœuille 2020; for the event study Sun and Abraham 2021);
``g.bacon`` shows the weights, and ``g.att_gt``, ``g.sun_abraham`` and ``g.imputation`` do not have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd

from g287stats.arguments import documented
from g287stats.design.coding import event_window, reference_times
from g287stats.design.keys import Data
from g287stats.errors import IdentificationError
from g287stats.estimate.covariance import SmallSample
from g287stats.estimate.estimate import Estimate, Method
from g287stats.regression.event import (
    causes,
    chosen_options,
    event_block,
    plain,
    prepare_regression,
    switching_notes,
    with_average,
)
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


@documented()
def twfe(
    data: Data,
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
    cohort, treatment
        Either the first treated period (missing: never treated), for D = 1{t ≥ cohort}; or the column of D itself,
        binary or not, which may switch on and off.

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
    design = prepare_regression(data, outcome, keys, covariates, covariates_by_time, weights, cluster, fixed_effects)
    name = treatment or "att"
    if design.treatment is None:
        dose = (design.time >= design.cohort[design.unit]).astype(float)
    else:
        dose = design.treatment
    if not (dose != dose[0]).any():
        raise IdentificationError(f"{name!r} is {dose[0]:g} in every row: nothing to compare")
    notes = switching_notes(design, dose) if treatment else []
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
        options=chosen_options(covariates, covariates_by_time, fixed_effects, unit_trends, weights),
        notes=notes,
    )


@documented()
def event_study(
    data: Data,
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

    Returns
    -------
    Estimate
        One parameter per event time (``event_time``); ``overall`` is the plain average over event times ≥ 0.

    References
    ----------
    Schmidheiny and Siegloch (2023); Sun and Abraham (2021) on what the coefficients mix.
    """
    keys = {"unit": unit, "time": time, "cohort": cohort, "treatment": treatment}
    design = prepare_regression(data, outcome, keys, covariates, covariates_by_time, weights, cluster, fixed_effects)
    references, window = reference_times(reference), event_window(window)
    design, block, event_times = event_block(design, window, ends, references)
    blocks = [block, *by_time(design, covariates_by_time, unit_trends=unit_trends)]
    try:
        fit = regress(design, blocks, covariates=covariates, unit_trends=unit_trends)
    except IdentificationError as error:
        raise IdentificationError(f"{error}{causes(design, references)}") from None
    options = chosen_options(covariates, covariates_by_time, fixed_effects, unit_trends, weights)
    estimate = fit.estimate(
        block.names,
        kind="event",
        method=EVENT,
        labels=pd.DataFrame({"term": list(block.names), "event_time": event_times}),
        cluster=cluster,
        small_sample=small_sample,
        vcov=vcov,
        options={"reference": plain(references), **({"window": window, "ends": ends} if window else {}), **options},
        reference=references,
    )
    return with_average(estimate)
