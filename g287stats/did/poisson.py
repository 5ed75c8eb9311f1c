"""Fixed-effects Poisson (pseudo maximum likelihood) for counts.

    E[y_it] = at_risk_it · exp(τ D_it + x_it'β + α_i + λ_t)

Estimated by iteratively reweighted least squares, each step one exact weighted projection on the fixed effects. Only
the conditional mean must be right; counts need not be Poisson (Gourieroux, Monfort and Trognon 1984), and standard
errors are clustered. Coefficients are log points: exp(τ) − 1 is the proportional effect on the rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats.arguments import documented
from g287stats.design.coding import event_window, reference_times
from g287stats.design.keys import Data
from g287stats.design.prepare import Design
from g287stats.errors import DesignError, IdentificationError, first_of
from g287stats.estimate.covariance import SmallSample
from g287stats.estimate.estimate import Estimate, Method
from g287stats.regression.event import (
    chosen_options,
    event_block,
    plain,
    prepare_regression,
    switching_notes,
    with_average,
)
from g287stats.regression.ppml import ppml, without_empty
from g287stats.regression.regression import Block, Regression, by_time, tell

METHOD = Method(
    "poisson",
    "Fixed-effects Poisson (PPML)",
    (
        "Wooldridge, J. M. (1999). Distribution-free estimation of some nonlinear panel data models. "
        "Journal of Econometrics 90(1), 77–97. doi:10.1016/S0304-4076(98)00033-5",
        "Correia, S., Guimarães, P., and Zylkin, T. (2020). Fast Poisson estimation with high-dimensional fixed "
        "effects. Stata Journal 20(1), 95–115. doi:10.1177/1536867X20909691",
        "Correia, S., Guimarães, P., and Zylkin, T. (2021). Verifying the existence of maximum likelihood estimates "
        "for generalized linear models. arXiv:1903.01633.",
    ),
)


@documented()
def poisson(
    data: Data,
    outcome: str,
    *,
    shape: Literal["static", "event"] = "static",
    at_risk: str | None = None,
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
) -> Estimate:
    """Fixed-effects Poisson regression of a count, static or by event time.

    Parameters
    ----------
    outcome
        A column of non-negative numbers (counts; whole numbers are not required).
    at_risk
        Column of positive numbers at risk (population); its log enters with coefficient one.
    shape
        ``static``: one coefficient. ``event``: one per event time, with ``window``, ``ends`` and ``reference`` as in
        :func:`~g287stats.did.twfe.event_study`.

    Returns
    -------
    Estimate
        Coefficients in log points. Rows that the model fits with a mean of zero (separation) carry no information
        and are set aside: units, periods or effects without a single event, and zeros that a combination of
        regressors predicts perfectly. They are counted in ``sample["flow"]`` and named in ``notes``.

    Raises
    ------
    DesignError
        Negative outcomes, by row.
    IdentificationError
        Columns without independent variation once separated rows are out, by name.

    References
    ----------
    Wooldridge (1999); Correia, Guimarães and Zylkin (2020, 2021).
    """
    if shape not in ("static", "event"):
        raise DesignError(f"shape={shape!r}: choose 'static' or 'event'")
    keys = {"unit": unit, "time": time, "cohort": cohort, "treatment": treatment}
    design = prepare_regression(
        data, outcome, keys, covariates, covariates_by_time, weights, cluster, fixed_effects, at_risk
    )
    negative = np.flatnonzero(design.y < 0)
    if len(negative):
        raise DesignError(f"{outcome!r} is negative in {len(negative)} rows: {_rows_named(design, negative)}")
    references, window = reference_times(reference), event_window(window)
    spec = _Spec(shape, treatment, window, ends, references, tuple(covariates), tuple(covariates_by_time), unit_trends)
    design, notes = without_empty(design)
    while True:
        try:
            design, blocks, events = spec.blocks(design)
            result = ppml(design, blocks, spec.covariates, unit_trends)
        except IdentificationError as error:
            before = f". Before that: {'; '.join(notes)}" if notes else ""
            raise IdentificationError(f"{error}{before}") from None
        if isinstance(result, Regression):
            break
        notes.append(
            f"{int(result.sum())} rows are separated: a combination of regressors predicts their zeros perfectly "
            f"({_rows_named(design, np.flatnonzero(result))}); they carry no information and are left out"
        )
        design, more = without_empty(design.restrict(~result, "separated by the regressors"))
        notes += more
    if treatment and shape == "static":
        notes += switching_notes(design, design.treatment if design.treatment is not None else np.zeros(design.n))
    tell(design, notes)
    names = list(blocks[0].names)
    labels = None if events is None else pd.DataFrame({"term": names, "event_time": events})
    options: dict[str, Any] = {"at_risk": at_risk} if at_risk else {}
    if shape == "event":
        options |= {"reference": plain(references)} | ({"window": window, "ends": ends} if window else {})
    estimate = result.estimate(
        names,
        kind=shape,
        method=METHOD,
        labels=labels,
        cluster=cluster,
        small_sample=small_sample,
        options=options | chosen_options(covariates, covariates_by_time, fixed_effects, unit_trends, weights),
        notes=notes,
        reference=references if shape == "event" else (),
    )
    return with_average(estimate) if shape == "event" else estimate


def _rows_named(design: Design, rows: np.ndarray) -> str:
    return first_of(f"{design.unit_labels[design.unit[r]]} {design.calendar[design.time[r]]}" for r in rows.tolist())


@dataclass(frozen=True)
class _Spec:
    """The regressors as functions of the sample, which separation may shrink."""

    shape: str
    treatment: str | None
    window: tuple[int, int] | None
    ends: str
    references: tuple[int, ...]
    covariates: tuple[str, ...]
    by_period: tuple[str, ...]
    unit_trends: bool

    def blocks(self, design: Design) -> tuple[Design, list[Block], np.ndarray | None]:
        if self.shape == "event":
            design, block, events = event_block(design, self.window, self.ends, self.references)
            return design, [block, *by_time(design, self.by_period, unit_trends=self.unit_trends)], events
        dose = design.treatment
        if dose is None:
            dose = (design.time >= design.cohort[design.unit]).astype(float)
        if not (dose != dose[0]).any():
            raise IdentificationError(f"{self.treatment or 'att'!r} is {dose[0]:g} in every row: nothing to compare")
        block = Block((self.treatment or "att",), columns=dose[:, None])
        return design, [block, *by_time(design, self.by_period, unit_trends=self.unit_trends)], None
