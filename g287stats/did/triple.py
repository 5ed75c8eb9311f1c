"""Triple differences: treated and untreated places, eligible and ineligible groups, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from g287stats.arguments import documented
from g287stats.design.coding import event_window, reference_times
from g287stats.design.keys import Data, read_keys
from g287stats.design.prepare import prepare
from g287stats.design.wide import must_stay_on
from g287stats.errors import DesignError, IdentificationError
from g287stats.estimate.covariance import SmallSample
from g287stats.estimate.estimate import Estimate, Method
from g287stats.numerics.least_squares import Factor
from g287stats.regression.event import event_block, with_average
from g287stats.regression.regression import Block, regress

METHOD = Method(
    "triple_difference",
    "Triple differences",
    (
        "Gruber, J. (1994). The incidence of mandated maternity benefits. American Economic Review 84(3), 622–641.",
        "Olden, A. and Møen, J. (2022). The triple difference estimator. Econometrics Journal 25(3), 531–553. "
        "doi:10.1093/ectj/utac010",
    ),
)


@documented()
def triple_difference(
    data: Data,
    outcome: str,
    *,
    eligible: str,
    place: str,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    shape: Literal["static", "event"] = "static",
    window: tuple[int, int] | None = None,
    reference: int | Sequence[int] = -1,
    covariates: Sequence[str] = (),
    weights: str | None = None,
    cluster: str | Sequence[str] | None = None,
    small_sample: SmallSample = "nonnested",
) -> Estimate:
    """Difference between eligible and ineligible groups of the difference-in-differences between places.

        y_it = τ D_pt E_i + x_it'β + α_i + μ_{place × time} + ν_{eligible × time} + ε_it

    A unit i is a series: a county's Hispanic residents, an agency's serious offences; ``place`` is where the policy is
    set (county, state). Everything that moves a place in a period, or a group in a period, is absorbed. τ is the
    average effect on the eligible in treated places if, without treatment, the gap between eligible and ineligible had
    moved alike in treated and untreated places, and the ineligible are not affected. With effects that differ between
    cohorts τ mixes them as two-way fixed effects do.

    Parameters
    ----------
    eligible
        Column, 1 for units the policy is about and 0 for the comparison group; fixed within units.
    place
        Column of the level at which treatment is set.
    treatment, cohort
        0/1 (or any) treatment of the row's place; or the place's first treated period (needed for ``event``).
    shape, window, reference
        ``event``: one τ per event time, window ends binned, as in :func:`g287stats.did.twfe.event_study`.
    cluster
        Default: the place.

    Raises
    ------
    DesignError
        Eligibility other than 0/1 or changing within units.
    IdentificationError
        No eligible or no ineligible units in treated places; treatment that the absorbed effects determine.
    """
    if bool(treatment) == bool(cohort):
        raise DesignError("give treatment= (a column) or cohort= (first treated period), one of them")
    if shape not in ("static", "event"):
        raise DesignError(f"shape={shape!r}: choose 'static' or 'event'")
    if shape == "event" and not cohort:
        raise DesignError("an event study needs cohort= (the place's first treated period)")
    keys = read_keys(data, unit=unit, time=time)
    clusters = (cluster,) if isinstance(cluster, str) else tuple(cluster or (place,))
    design = prepare(
        data,
        outcome,
        unit=unit,
        time=time,
        treatment=treatment,
        cohort=cohort,
        covariates=(eligible, *covariates),
        weights=weights,
        cluster=tuple(dict.fromkeys((*clusters, place))),
        fixed_effects=[(place, keys.time), (eligible, keys.time)],
    )
    must_stay_on(design, "give treatment=, which may switch")
    group = design.covariates[:, 0]
    if not np.isin(group, (0.0, 1.0)).all():
        raise DesignError(f"{eligible!r} must be 0 or 1; found {np.unique(group)[:6].tolist()}")
    if not design.fixed_in_units(group):
        raise DesignError(f"{eligible!r} changes within units: a unit is one series of one group")
    on = design.treatment
    dose = (design.time >= design.cohort[design.unit]).astype(float) if on is None else on
    codes = design.clusters[place]
    ever = (np.bincount(codes, dose != 0) > 0)[codes]
    if not ever.any():
        raise IdentificationError(f"{outcome}: no place is treated inside the panel")
    for value, word in ((1, "eligible"), (0, "ineligible")):
        if not (ever & (group == value)).any():
            raise IdentificationError(f"{outcome}: no {word} units in treated places to compare the others with")
    if shape == "static":
        name = treatment or "att"
        fit = regress(design, [Block((f"{name}×{eligible}",), columns=(dose * group)[:, None])], covariates=covariates)
        return fit.estimate(
            fit.names[:1],
            kind="static",
            method=METHOD,
            cluster=clusters,
            small_sample=small_sample,
            options={"eligible": eligible, "place": place, "weights": weights, "covariates": tuple(covariates)},
        )
    references, window = reference_times(reference), event_window(window)
    design, block, events = event_block(design, window, "bin", references)
    assert block.factor is not None
    factor = Factor(block.factor.codes, block.factor.n_levels, design.covariates[:, 0])
    fit = regress(design, [Block(block.names, factor)], covariates=covariates)
    result = fit.estimate(
        block.names,
        kind="event",
        method=METHOD,
        cluster=clusters,
        small_sample=small_sample,
        labels=pd.DataFrame({"term": list(block.names), "event_time": events}),
        options={"eligible": eligible, "place": place, "window": window, "weights": weights},
        reference=references,
    )
    return with_average(result)
