"""Victimization rates, prevalence, shares reported to the police, changes and trends, with design-based errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from g287stats import survey
from g287stats.errors import DesignError, UnavailableError, choose
from g287stats.estimate.estimate import Estimate
from g287stats.outcomes.ncvs.files import NcvsFile, require_years
from g287stats.survey.design import FACTS, SurveySample
from g287stats.survey.gvf import GvfParameters, gvf_se_rate
from g287stats.survey.moments import Variance

Period = Literal["six_month", "annual"]
Unknown = Literal["in_denominator", "left_out"]
BREAK_2006 = (
    "2006 is in the years: a new sample and changed methods make its estimates incomparable (34.1 violent "
    "victimizations per 1,000 against 28.4 and 27.2 around it). Leave it out, or say include_2006=True"
)
NEW_INSTRUMENT = (
    "the years cross the new questionnaire: half of the 2024 sample and everybody from 2025 on answered it, and its "
    "screening questions find more crimes. Estimate the sides apart, or say across_instruments=True"
)


def victimization_rate(
    sample: SurveySample,
    *,
    by: str | Sequence[str] = (),
    domain: Any = None,
    include_2006: bool = False,
    across_instruments: bool = False,
    variance: Variance = "linearized",
) -> Estimate:
    """Victimizations per 1,000 persons 12 or older (or households), series counted and bounding-adjusted.

    Parameters
    ----------
    sample
        From :func:`~g287stats.victimization.interviews.ncvs_sample`: of person-interviews for crimes against
        persons, of household interviews for property crimes; the outcome says which.
    by, domain, variance
        As in :func:`~g287stats.survey.moments.ratio`.
    include_2006
        2006 stands among other years; the result says so. Without it such years are refused.
    across_instruments
        Years before 2024 and from 2024 on stand together; the result says so. Without it they are refused.
    """
    groups, notes = _years(sample, by, domain, include_2006, across_instruments)
    e = survey.mean(sample, "adjusted", scale=1000, by=groups, domain=domain, variance=variance)
    whom = "households" if _unit(sample) == "household" else "persons 12 or older"
    return replace(e, outcome=f"{_types(sample)}victimizations per 1,000 {whom}", notes=(*e.notes, *notes))


def prevalence(
    sample: SurveySample,
    period: Period,
    *,
    by: str | Sequence[str] = (),
    domain: Any = None,
    include_2006: bool = False,
    across_instruments: bool = False,
) -> Estimate:
    """Percent of persons (or households) victimized at least once, in six months or in a year.

    ``six_month``: the weighted mean of 1[n > 0] over person-interviews, each of which looks back six months.
    ``annual``: a person counts as a victim in all interviews of the collection year when one of them reports a
    victimization (the bureau's older definition, with WGTPERCY; its newer one needs the OVAM weight, which
    the public files before 2017 do not carry). The two differ by a factor near two: the label says which.
    """
    choose("period", period, get_args(Period))
    groups, notes = _years(sample, by, domain, include_2006, across_instruments)
    unit = _unit(sample)
    if period == "six_month":
        e = survey.mean(sample, "victim", scale=100, by=groups, domain=domain)
        what = f"percent of {unit}-interviews with a {_types(sample)}victimization in the last six months"
        return replace(e, outcome=what, notes=(*e.notes, *notes))
    frame = sample.frame
    key = "IDHH" if unit == "household" else "IDPER"
    once = frame.groupby(["year", key], sort=False)["victim"].transform("max")
    yearly = replace(sample, frame=_with_facts(frame.assign(victim_in_year=once), frame))
    e = survey.mean(yearly, "victim_in_year", scale=100, by=groups, domain=domain)
    what = f"percent of {unit}s with a {_types(sample)}victimization in the collection year (older BJS definition)"
    return replace(e, outcome=what, notes=(*e.notes, *notes))


def share_reported(
    sample: SurveySample,
    *,
    by: str | Sequence[str] = (),
    domain: Any = None,
    include_2006: bool = False,
    across_instruments: bool = False,
    unknown: Unknown = "in_denominator",
) -> Estimate:
    """Percent of victimizations reported to the police.

    ``unknown`` says what becomes of victimizations whose answer is "do not know", residue or missing: counted as not
    reported in the denominator (the bureau's tables), or left out.
    """
    choose("unknown", unknown, get_args(Unknown))
    groups, notes = _years(sample, by, domain, include_2006, across_instruments)
    below = "adjusted" if unknown == "in_denominator" else "known"
    e = survey.ratio(sample, "reported", below, scale=100, by=groups, domain=domain)
    what = f"percent of {_types(sample)}victimizations reported to the police"
    return replace(e, outcome=what, notes=(*e.notes, *notes))


def change(estimate: Estimate, first: Any, second: Any, *, percent: bool = False) -> Estimate:
    """Difference between two cells of a table (years, groups), with the covariance of the two.

    ``percent`` gives 100·(second/first − 1) by the delta method.
    """
    a, b = (_cell(estimate, v) for v in (first, second))
    row = np.zeros((1, len(estimate.point)))
    label = f"{estimate.terms[b]} - {estimate.terms[a]}"
    if not percent:
        row[0, a], row[0, b] = -1, 1
        return estimate.combine(row, [label])
    x, y = estimate.point[a], estimate.point[b]
    row[0, a], row[0, b] = -100 * y / x**2, 100 / x
    e = estimate.combine(row, [f"percent change, {label}"])
    return replace(e, point=np.array([100 * (y / x - 1)]))


def linear_trend(estimate: Estimate, years: Sequence[int] | None = None) -> Estimate:
    """Least-squares slope per year through the yearly cells of a table, with their covariance."""
    if "year" not in estimate.labels:
        raise DesignError('a trend needs yearly cells: victimization_rate(sample, by="year")')
    t = estimate.labels["year"].to_numpy(float)
    use = np.ones(len(t), dtype=bool) if years is None else np.isin(t, list(years))
    centred = np.where(use, t - t[use].mean(), 0.0)
    return estimate.combine((centred / (centred @ centred))[None, :], ["slope per year"])


def select_rate(
    victims: NcvsFile,
    population: NcvsFile,
    parameters: GvfParameters,
    *,
    domain: str | None = None,
    violent: bool = True,
) -> pd.DataFrame:
    """Rate from NCVS Select tables, with the error of the generalized variance function.

    ``Σ newwgt / Σ wgtpercy · 1000`` over ``domain``, an expression both tables can answer
    (``"year == 2019 and hispanic == 1"``). One year at a time unless ``parameters`` are pooled.
    """
    for file, level in ((victims, "select_personal"), (population, "select_personal_population")):
        if file.table != level:
            raise DesignError(f"expected the {level} table, found {file.table}")
    v, p = victims.frame, population.frame
    if domain is not None and any(c in domain for c in ("citizen",)):
        require_years("citizen", sorted(p["year"].unique()))
    v, p = (f if domain is None else f.query(domain) for f in (v, p))
    v = v[v["newcrime"] == 1] if violent else v
    residents = float(p["wgtpercy"].sum())
    if residents <= 0:
        raise UnavailableError("no residents in the domain of the population table")
    rate = 1000 * float(v["newwgt"].sum()) / residents
    return pd.DataFrame(
        {
            "rate": [rate],
            "std_error": gvf_se_rate(np.array([rate]), residents, parameters),
            "population": residents,
            "n_cases": len(v),
            "error": "generalized variance function",
        }
    )


def _years(
    sample: SurveySample, by: str | Sequence[str], domain: Any, include_2006: bool, across_instruments: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Check groups and years; return the groups and a note for every break the years cross."""
    groups = (by,) if isinstance(by, str) else tuple(by)
    frame = sample.frame
    if "year" not in frame:
        return groups, ()
    for name in groups:
        if name not in frame:
            require_years(name, sorted(int(y) for y in frame["year"].unique()))
    inside = sample.domain(domain) & (sample.weights != 0)
    present = set(np.unique(frame["year"].to_numpy()[inside]).astype(int))
    notes = []
    if 2006 in present and len(present) > 1:
        if not include_2006:
            raise DesignError(BREAK_2006)
        notes.append("2006 is among the years; its methods differ from those before and after (include_2006=True)")
    new = {y for y in present if y >= 2024}
    if 2024 in present:
        notes.append("2024 is a split sample: half of it answered the new questionnaire")
    if (new and present - new) or (2024 in present and len(new) > 1):
        if not across_instruments:
            raise DesignError(f"{sorted(present)[0]}–{sorted(present)[-1]}: {NEW_INSTRUMENT}")
        notes.append("years of the old and the new questionnaire stand together (across_instruments=True)")
    elif new - {2024}:
        notes.append("new questionnaire (2025 on): not comparable with years before 2024")
    return groups, tuple(notes)


def _unit(sample: SurveySample) -> str:
    """Whose interviews the sample holds: person or household."""
    return str(sample.frame.attrs.get(FACTS, {}).get("unit", "person"))


def _types(sample: SurveySample) -> str:
    name = str(sample.frame.attrs.get(FACTS, {}).get("types", ""))
    return f"{name.replace('_', ' ')} " if name else ""


def _with_facts(frame: pd.DataFrame, source: pd.DataFrame) -> pd.DataFrame:
    frame.attrs.update(source.attrs)
    return frame


def _cell(estimate: Estimate, value: Any) -> int:
    if isinstance(value, str) and value in estimate.terms:
        return estimate.terms.index(value)
    for column in estimate.labels.columns[1:]:
        hits = np.flatnonzero((estimate.labels[column] == value).to_numpy())
        if len(hits) == 1:
            return int(hits[0])
    raise DesignError(f"no cell {value!r}: cells are {estimate.terms}")
