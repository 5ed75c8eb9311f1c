"""Difference-in-differences on the survey: county and period effects, treatment by the share of the window.

For person-interview i in county c and half-year t, with D the share of the six-month reference window under
treatment k,

    E[y_ict] = F(a_c + d_t + Σ_k b_k D_ict^k + X_i'g),

fitted with the survey weights on one group (``subgroup``), on all groups with effects by group (``contrast``), or
as a triple difference (``triple``). All treatments stand side by side: an effect of task forces that leaves out
Secure Communities measures both. Errors are the design's, with those clustered by county beside them: see
:func:`~g287stats.survey.effects.both_errors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from g287stats import survey
from g287stats.errors import DesignError, choose
from g287stats.estimate.estimate import Estimate, Method
from g287stats.survey.design import SurveySample
from g287stats.survey.moments import Variance
from g287stats.survey.regression import FamilyName
from g287stats.victimization.interviews import GROUPS, Interviews, ncvs_sample
from g287stats.victimization.window import treatment_share

CONTROLS = ("C(age_band)", "female", "incoming")
REFERENCES = (
    "Baumer, E. P. and Xie, M. (2023). Federal-local partnerships on immigration law enforcement: Are the policies "
    "effective in reducing violent victimization? Criminology & Public Policy, 22(3). doi:10.1111/1745-9133.12629",
    "Puhani, P. A. (2012). The treatment effect, the cross difference, and the interaction term in nonlinear "
    "'difference-in-differences' models. Economics Letters, 115(1), 85–87. doi:10.1016/j.econlet.2011.11.025",
)
Comparison = Literal["subgroup", "contrast", "triple"]


@dataclass(frozen=True, eq=False)
class TreatedSample:
    """A survey sample whose frame carries the treated share of each window, one column per treatment."""

    sample: SurveySample
    treatments: tuple[str, ...]
    days: Mapping[str, pd.DataFrame]
    county: str
    month: str | None


def treated_sample(
    interviews: Interviews,
    treatments: Mapping[str, pd.DataFrame],
    *,
    county: str = "county_fips",
    month: str | None = "month",
    shift: int = 0,
    **design: Any,
) -> TreatedSample:
    """Join treatments to interviews by county and reference window, and describe the sample.

    Parameters
    ----------
    interviews
        From :func:`~g287stats.victimization.interviews.person_interviews`, with a county column.
    treatments
        Name → days under treatment (``county_fips``, ``start``, ``end``). Names become columns and terms.
    month
        Column with the interview month; None averages over the quarter.
    shift
        Months by which every treatment is moved (placebo dates).
    design
        Passed to :func:`~g287stats.victimization.interviews.ncvs_sample` (strata, psu, singleton).
    """
    frame = interviews.frame
    columns = {
        name: treatment_share(frame, days, county=county, month=month, shift=shift) for name, days in treatments.items()
    }
    taken = sorted(set(columns) & set(frame.columns))
    if taken:
        raise DesignError(f"treatments {taken} have the names of columns of the file; choose others")
    added = replace(interviews, frame=frame.assign(**columns))
    added.frame.attrs.update(frame.attrs)
    sample = ncvs_sample(added, cluster=county, **design)
    return TreatedSample(sample, tuple(columns), dict(treatments), county, month)


def victimization_did(
    treated: TreatedSample,
    *,
    group: str = "latino",
    comparison: Comparison = "subgroup",
    family: FamilyName = "logit",
    outcome: str = "victim",
    period: str = "half",
    controls: Sequence[str] = CONTROLS,
    domain: Any = None,
    treatments: Sequence[str] | None = None,
    variance: Variance = "linearized",
    leverage: bool = False,
) -> Estimate:
    """Estimate the effect of each treatment, for a full reference window under it.

    Parameters
    ----------
    group
        ``latino``, ``black``, ``white``, ``other`` or ``all``.
    comparison
        ``subgroup``: rows of ``group`` only, county and period effects; terms ``TFM``. ``contrast``: all rows,
        county and group × period effects; terms ``TFM:latino`` … for every group, so that groups can be
        compared with their covariance. ``triple``: all rows, county × group and group × period effects besides
        the effect on everybody; term ``latino:TFM`` is the difference between ``group`` and the others.
    family
        ``logit``, ``cloglog``, ``linear`` or ``poisson`` (with ``outcome="victim"`` risk ratios, with
        ``outcome="adjusted"`` rate ratios of victimizations).
    controls
        Covariates (see :func:`~g287stats.survey.regression.glm`); those the file lacks or that do not vary are an
        error, so state them: ``incoming`` needs the household file.
    variance
        ``linearized``, or ``replicates``: refits under the sample's replicate weights (the 52-MSA file).
    leverage
        Correct for the leverage of counties: when few of them carry the treatment, errors clustered by county
        are too small. See :func:`~g287stats.survey.regression.glm`.

    Counties without events in the rows used leave the sum and are counted (``notes``).
    """
    choose("comparison", comparison, get_args(Comparison))
    choose("group", group, (*GROUPS, "all"))
    sample, county = treated.sample, treated.county
    corrected = county if leverage and variance == "linearized" else None
    names = tuple(treatments or treated.treatments)
    frame = sample.frame
    absent = [c for c in (outcome, period, "group") if c not in frame]
    if absent:
        raise DesignError(f"columns {absent} are not in the sample")
    asked = sample.domain(domain)
    if comparison == "subgroup":
        mask = asked if group == "all" else asked & (frame["group"] == group).to_numpy(dtype=bool, na_value=False)
        e = survey.glm(
            sample,
            outcome,
            [*names, *controls],
            family=family,
            fixed_effects=(county, period),
            domain=mask,
            variance=variance,
            leverage=corrected,
        )
        return _named(e, names, group, comparison)
    extra = frame.assign(group_period=frame["group"].astype(object) + " " + frame[period].astype(str))
    if comparison == "contrast":
        for g in GROUPS:
            extra[g] = (frame["group"] == g).to_numpy(dtype=float, na_value=0.0)
        terms = [f"{t}:{g}" for t in names for g in GROUPS]
        effects: tuple[str, ...] = (county, "group_period")
    else:
        if group not in GROUPS:
            raise DesignError(f"a triple difference contrasts one group with the others: choose one of {GROUPS}")
        extra[group] = (frame["group"] == group).to_numpy(dtype=float, na_value=0.0)
        extra["county_group"] = frame[county].astype(object) + " " + extra[group].astype(int).astype(str)
        terms = [*names, *(f"{group}:{t}" for t in names)]
        effects = ("county_group", "group_period")
    wider = replace(sample, frame=extra)
    mask = asked & frame["group"].notna().to_numpy()
    e = survey.glm(
        wider,
        outcome,
        [*terms, *controls],
        family=family,
        fixed_effects=effects,
        domain=mask,
        variance=variance,
        leverage=corrected,
    )
    return _named(e, tuple(terms), group, comparison)


def victimization_event_study(
    treated: TreatedSample,
    treatment: str,
    *,
    window: tuple[int, int] = (-4, 4),
    width: int = 6,
    group: str = "latino",
    family: FamilyName = "logit",
    outcome: str = "victim",
    period: str = "half",
    controls: Sequence[str] = CONTROLS,
    domain: Any = None,
    after_end: bool = True,
    leverage: bool = False,
) -> Estimate:
    """Leads and lags of one treatment since its first day, the others held beside it.

    Bin k is the share of the reference window between k and k + 1 steps of ``width`` months after the county's
    first activation; the end bins are open. The reference is k = −1 (the step before) together with never treated
    counties. With ``after_end`` days after the last agreement ended are a term of their own; otherwise they stay
    in their bin, as under absorption.
    """
    choose("group", group, (*GROUPS, "all"))
    sample = treated.sample
    if treatment not in treated.treatments:
        raise DesignError(f"{treatment!r} is not among the treatments {treated.treatments}")
    if window[0] > -2 or window[1] < 0:
        raise DesignError(f"window {window} has no lead besides the reference, or no lag; use (-4, 4)")
    days = treated.days[treatment]
    spell = days.groupby("county_fips").agg(start=("start", "min"), end=("end", "max")).reset_index()
    columns: dict[str, np.ndarray] = {}
    labels: list[tuple[str, int | None]] = []
    far = pd.Timestamp("1990-01-01"), pd.Timestamp("2100-01-01")

    def share(begin: pd.Series, stop: pd.Series) -> np.ndarray:
        part = pd.DataFrame({"county_fips": spell["county_fips"], "start": begin, "end": stop})
        part = part[part["start"] < part["end"]]
        return treatment_share(sample.frame, part, county=treated.county, month=treated.month)

    limit = spell["end"] if after_end else pd.Series(far[1], index=spell.index)
    for k in range(window[0], window[1] + 1):
        if k == -1:
            continue
        begin = spell["start"] + pd.DateOffset(months=width * k)
        stop = spell["start"] + pd.DateOffset(months=width * (k + 1))
        if k == window[0]:
            begin = pd.Series(far[0], index=spell.index)
        if k == window[1]:
            stop = pd.Series(far[1], index=spell.index)
        name = f"{treatment}[{k:+d}]"
        columns[name] = share(begin, stop if k < 0 else stop.where(stop < limit, limit))
        labels.append((name, k))
    if after_end:
        columns[f"{treatment}[ended]"] = share(limit, pd.Series(far[1], index=spell.index))
        labels.append((f"{treatment}[ended]", None))
    silent = [n for n, v in columns.items() if not np.nanmax(v, initial=0.0) > 0]
    used = [n for n in columns if n not in silent]
    others = [t for t in treated.treatments if t != treatment]
    wider = replace(sample, frame=sample.frame.assign(**columns))
    mask = sample.domain(domain)
    if group != "all":
        mask = mask & (sample.frame["group"] == group).to_numpy(dtype=bool, na_value=False)
    e: Estimate = survey.glm(
        wider,
        outcome,
        [*used, *others, *controls],
        family=family,
        fixed_effects=(treated.county, period),
        domain=mask,
        leverage=treated.county if leverage else None,
    )
    event = dict(labels)
    e = e.select([n for n in used if event[n] is not None])
    frame = e.labels.assign(event_time=[event[n] for n in e.terms], treatment=treatment, group=group)
    notes = e.notes + tuple(f"bin {n} is empty" for n in silent)
    return replace(e, labels=frame, kind="event", reference=(-1,), notes=notes, method=_method("event study", family))


def _named(e: Estimate, terms: Sequence[str], group: str, comparison: str) -> Estimate:
    """Order the treatment terms first and say what was compared."""
    labels = e.labels.assign(treatment=[t if t in terms else "" for t in e.terms], group=group)
    family = str(e.options["family"])
    options = dict(e.options) | {"comparison": comparison, "group": group}
    return replace(e, labels=labels, options=options, method=_method(comparison, family))


def _method(what: str, family: str) -> Method:
    return Method(f"victimization_{family}", f"Victimization difference-in-differences ({what}, {family})", REFERENCES)
