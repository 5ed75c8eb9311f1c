"""What the Bureau of Justice Statistics published about victimization, and the moments the simulation is built on.

Three released tables: ``ncvs_published`` (rates, prevalence, sample sizes with their standard errors),
``ncvs_gvf`` (parameters of the variance functions, 1993–2012) and ``ncvs_moments`` (moments of the simulated
survey, each with its status: sourced, derived or assumption).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from g287stats.catalog import read_released, write_released
from g287stats.errors import DesignError, UnavailableError, choose
from g287stats.survey.gvf import GvfParameters

SETS = {1: "overall_person", 2: "person_crime_domain", 3: "overall_property", 4: "property_crime_domain"}


def published_rates(measure: str = "violent_rate", group: str = "total") -> pd.DataFrame:
    """Return a published series: ``year``, ``value``, ``std_error``, ``unit``, ``comparable``, ``source``.

    ``measure`` is one of ``violent_rate``, ``violent_reported_rate`` (per 1,000 persons 12 or older),
    ``violent_prevalence`` (annual, percent), ``persons_interviewed``, ``households_interviewed``,
    ``population_12plus``. 2006 is marked not comparable: the survey's methods changed that year.
    """
    table = read_released("ncvs_published")
    picked = table[(table.measure == measure) & (table.group == group)]
    if picked.empty:
        have = sorted({f"{m}/{g}" for m, g in zip(table.measure, table.group)})
        raise UnavailableError(f"nothing is published here for {measure}/{group}. There is: {', '.join(have)}")
    return picked.drop(columns=["measure", "group"]).reset_index(drop=True)


def gvf_parameters(years: int | Iterable[int], which: str = "overall_person", rho: float = 0.47) -> GvfParameters:
    """Return the variance-function parameters of a year, or pooled over several years of one sample.

    ``which`` is ``overall_person``, ``person_crime_domain``, ``overall_property`` or ``property_crime_domain``.
    Years after 2012 raise :class:`UnavailableError`: pass ``GvfParameters(a, b, c)`` from the producer.
    """
    wanted = [int(y) for y in (years if isinstance(years, Iterable) else [years])]
    choose("which", which, SETS.values())
    twice = sorted({y for y in wanted if wanted.count(y) > 1})
    if twice:
        raise DesignError(f"years {twice} are given twice: each counts once in a pooled error")
    if any(y <= 2005 for y in wanted) and any(y >= 2006 for y in wanted):
        raise DesignError(
            f"{min(wanted)}–{max(wanted)} lie on both sides of the redrawn sample of 2006: their errors are not pooled "
            "with one correlation. Pool each side and add the variances"
        )
    table = read_released("ncvs_gvf").set_index(["year", "label"])
    absent = [y for y in wanted if (y, which) not in table.index]
    if absent:
        raise UnavailableError(
            f"no variance-function parameters {which!r} for {absent}; 1993–2012 are released. Take later ones from "
            "the file's documentation (ICPSR) and pass GvfParameters(a, b, c)"
        )
    rows = table[["a", "b", "c"]].reindex([(y, which) for y in wanted]).to_numpy(float)
    return GvfParameters.pooled([GvfParameters(a, b, c) for a, b, c in rows], rho)


def build(sources: Path, out: Path) -> list[Path]:
    """Build the three tables from the folder ``victimization`` beside ``sources``."""
    folder = sources.parent / "victimization"
    rates = pd.read_csv(folder / "benchmarks" / "bjs_violent_rate_1993_2017.csv")
    parts = [
        _long(rates, "violent_rate", "violent_rate_per_1000", "se", "per 1,000 persons 12 or older"),
        _long(rates, "violent_reported_rate", "reported_rate_per_1000", "reported_se", "per 1,000 persons 12 or older"),
    ]
    size = pd.read_csv(folder / "benchmarks" / "bjs_sample_size_1993_2021.csv")
    for who in ("persons", "households"):
        parts.append(_long(size, f"{who}_interviewed", f"{who}_interviewed", None, f"{who} interviewed"))
    for name, measure, unit in (
        ("bjs_violent_rate_by_group_2015_2017.csv", "violent_rate", "per 1,000 persons 12 or older"),
        ("bjs_violent_prevalence_pct_by_group_2015_2017.csv", "violent_prevalence", "percent of persons 12 or older"),
    ):
        wide = pd.read_csv(folder / "benchmarks" / name)
        for year in (2015, 2016, 2017):
            part = wide.rename(columns={f"y{year}": "value", f"se{year}": "std_error"})
            part = part[["group", "value", "std_error", "source"]].assign(measure=measure, unit=unit, year=year)
            parts.append(part[~((part.group == "Total") & (measure == "violent_rate"))])
    moments = pd.read_csv(folder / "simulator_moments.csv", dtype={"value": str})
    people = moments[moments.moment.str.startswith("population_12plus") & (moments.status == "sourced")]
    parts.append(
        pd.DataFrame(
            {
                "measure": "population_12plus",
                "year": people.moment.str[-4:].astype(int),
                "value": people.value.astype(float),
                "unit": "persons 12 or older",
                "source": people.source,
            }
        )
    )
    table = pd.concat(parts, ignore_index=True)
    table["group"] = table["group"].fillna("total").str.lower()
    table["comparable"] = ~((table.year == 2006) & table.measure.str.startswith("violent"))
    gvf = pd.read_csv(folder / "benchmarks" / "gvf_parameters_1993_2012.csv")
    gvf["source"] = "BJS, NCVS generalized variance function parameters (supplied with the public-use files)"
    return [
        write_released(table, "ncvs_published", out),
        write_released(gvf, "ncvs_gvf", out),
        write_released(moments, "ncvs_moments", out),
    ]


def _long(wide: pd.DataFrame, measure: str, value: str, error: str | None, unit: str) -> pd.DataFrame:
    columns = {value: "value"} | ({error: "std_error"} if error else {})
    out = wide.rename(columns=columns)
    return out[["year", *columns.values(), "source"]].assign(measure=measure, unit=unit)
