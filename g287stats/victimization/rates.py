"""Victimization rates, prevalence, shares reported to the police, changes and trends, with design-based errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats import survey
from g287stats.errors import DesignError, UnavailableError
from g287stats.estimate.estimate import Estimate
from g287stats.outcomes.ncvs.files import NcvsFile, require_years
from g287stats.survey.design import SurveySample
from g287stats.survey.gvf import GvfParameters, gvf_se_rate

BREAK_2006 = (
    "2006 is in the years: a new sample and changed methods make its estimates incomparable (34.1 violent "
    "victimizations per 1,000 against 28.4 and 27.2 around it). Leave it out, or say include_2006=True"
)


def victimization_rate(
    sample: SurveySample,
    *,
    by: str | Sequence[str] = (),
    domain: Any = None,
    include_2006: bool = False,
    variance: Literal["linearized", "replicates"] = "linearized",
) -> Estimate:
    """Victimizations per 1,000 persons 12 or older, series counted and bounding-adjusted.

    ``sample`` comes from :func:`~g287stats.victimization.interviews.ncvs_sample`. A table ``by="year"`` is a
    trend: with 2006 among the years it needs ``include_2006=True``.
    """
    groups = _by(sample, by, domain, include_2006)
    e = survey.mean(sample, "adjusted", scale=1000, by=groups, domain=domain, variance=variance)
    return replace(e, outcome="victimizations per 1,000 persons 12 or older")


def prevalence(
    sample: SurveySample,
    period: Literal["six_month", "annual"],
    *,
    by: str | Sequence[str] = (),
    domain: Any = None,
    include_2006: bool = False,
) -> Estimate:
    """Percent of persons victimized at least once, in six months or in a year.

    ``six_month``: the weighted mean of 1[n > 0] over person-interviews, each of which looks back six months.
    ``annual``: a person counts as a victim in all interviews of the collection year when one of them reports a
    victimization (the bureau's older definition, with WGTPERCY; its newer one needs the OVAM weight, which
    the public files before 2017 do not carry). The two differ by a factor near two: the label says which.
    """
    groups = _by(sample, by, domain, include_2006)
    if period == "six_month":
        e = survey.mean(sample, "victim", scale=100, by=groups, domain=domain)
        return replace(e, outcome="percent of person-interviews with a victimization in the last six months")
    if period != "annual":
        raise DesignError('say which prevalence: period="six_month" or period="annual"')
    frame = sample.frame
    once = frame.groupby(["year", "IDPER"], sort=False)["victim"].transform("max")
    yearly = replace(sample, frame=frame.assign(victim_in_year=once))
    e = survey.mean(yearly, "victim_in_year", scale=100, by=groups, domain=domain)
    return replace(e, outcome="percent of persons victimized in the collection year (older BJS definition)")


def share_reported(
    sample: SurveySample,
    *,
    by: str | Sequence[str] = (),
    domain: Any = None,
    include_2006: bool = False,
    unknown: Literal["in_denominator", "left_out"] = "in_denominator",
) -> Estimate:
    """Percent of victimizations reported to the police.

    ``unknown`` says what becomes of victimizations whose answer is "do not know" or missing: counted as not
    reported in the denominator (the bureau's tables), or left out.
    """
    groups = _by(sample, by, domain, include_2006)
    below = "adjusted" if unknown == "in_denominator" else "known"
    e = survey.ratio(sample, "reported", below, scale=100, by=groups, domain=domain)
    return replace(e, outcome="percent of victimizations reported to the police")


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


def _by(sample: SurveySample, by: str | Sequence[str], domain: Any, include_2006: bool) -> tuple[str, ...]:
    groups = (by,) if isinstance(by, str) else tuple(by)
    frame = sample.frame
    for name in groups:
        if name not in frame and "year" in frame:
            require_years(name, sorted(int(y) for y in frame["year"].unique()))
    timed = {"year", "quarter", "half", "yr_grp", "YEARQ"} & set(groups)
    if timed and not include_2006 and "year" in frame:
        present = frame["year"].to_numpy()[sample.domain(domain)]
        if (present == 2006).any():
            raise DesignError(BREAK_2006)
    return groups


def _cell(estimate: Estimate, value: Any) -> int:
    if isinstance(value, str) and value in estimate.terms:
        return estimate.terms.index(value)
    for column in estimate.labels.columns[1:]:
        hits = np.flatnonzero((estimate.labels[column] == value).to_numpy())
        if len(hits) == 1:
            return int(hits[0])
    raise DesignError(f"no cell {value!r}: cells are {estimate.terms}")
