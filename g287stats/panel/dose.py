"""How much of the programme a county had: ICE's 287(g) identifications and removals by county and calendar year."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from g287stats.agreements.removals import apportion_removals, load_removals
from g287stats.agreements.table import Agreements, load_agreements
from g287stats.errors import DesignError, choose
from g287stats.geography import load_counties
from g287stats.labels import years as read_years
from g287stats.outcomes.context.population import load_population
from g287stats.outcomes.table import Years
from g287stats.panel.exposure import LEVELS, Exposure, exposure_shares, intervals

FIRST, LAST = 2006, 2012
"""Calendar years that lie whole in the fiscal years in hand, October 2005 to September 2013."""


def removals_dose(
    years: Years = (FIRST, LAST),
    measure: Literal["removed", "identified"] = "removed",
    *,
    agreements: Agreements | None = None,
) -> pd.DataFrame:
    """Return the dose of every county and year: people removed (or identified) through its own agencies' agreements.

    ICE gives counts by agency and fiscal year; they are spread over calendar years in proportion to days, which assumes
    an even flow within each fiscal year, and summed over a county's agencies. State agencies have no county and are
    left out. The rule for what is not in the table:

    * a count is the sum of the county's agencies, missing where one of them is blank (a blank is neither zero nor
      proof that there was no agreement) or belongs to several counties;
    * without a count, zero where no agreement of a county, municipal or other local agency was in force on any day of
      the year, missing where one was.

    Counts follow arrests and arrests follow crime: the dose is an outcome of the county as well as a treatment.

    Parameters
    ----------
    years
        Calendar years 2006–2012.
    measure
        ``"removed"`` or ``"identified"``.
    agreements
        The record that says which agreements were in force (default: the released table).

    Returns
    -------
    DataFrame
        ``county_fips``, ``year``, ``dose`` (people a year), ``dose_rate`` (per 100,000 residents), ``basis``
        (``counted``, ``no agreement in force``, ``blank``, ``agency of several counties``, ``in force, not counted``).

    Examples
    --------
    >>> dose = removals_dose((2008, 2009)).set_index(["county_fips", "year"])
    >>> float(dose["dose"]["37119", 2008]) > 0, float(dose["dose"]["53033", 2008])
    (True, 0.0)
    """
    choose("measure", measure, ("removed", "identified"))
    asked = read_years(years)
    chosen = range(FIRST, LAST + 1) if asked is None else asked
    chosen = list(range(chosen[0], chosen[1] + 1)) if isinstance(chosen, tuple) else list(chosen)
    if chosen[0] < FIRST or chosen[-1] > LAST:
        raise DesignError(f"removals_dose: years {chosen[0]}–{chosen[-1]}; counts make whole years {FIRST}–{LAST}")
    index = pd.MultiIndex.from_product([load_counties()["county_fips"], chosen], names=["county_fips", "year"])
    total, blank, several = _counts(measure)
    force = _in_force(agreements or load_agreements(), chosen).reindex(index, fill_value=0.0) > 0
    out = pd.DataFrame({"dose": total.reindex(index), "basis": "counted"}, index=index)
    out.loc[out["dose"].isna(), "basis"] = "blank"
    uncounted = ~out.index.isin(total.index)
    out.loc[uncounted, "basis"] = np.where(force[uncounted], "in force, not counted", "no agreement in force")
    out.loc[uncounted & ~force.to_numpy(), "dose"] = 0.0
    shared = out.index.isin(several)
    out.loc[shared, "dose"], out.loc[shared, "basis"] = np.nan, "agency of several counties"
    idle = out.index.isin(blank) & ~force.to_numpy()  # a blank before the first signing or after the last end
    out.loc[idle, "dose"], out.loc[idle, "basis"] = 0.0, "no agreement in force"
    people = load_population().astype({"year": "int64"}).set_index(["county_fips", "year"])["population"]
    out["dose_rate"] = 100_000 * out["dose"] / people.reindex(index).astype("float64")
    return out.reset_index()[["county_fips", "year", "dose", "dose_rate", "basis"]]


def _counts(measure: str) -> tuple[pd.Series, pd.MultiIndex, pd.MultiIndex]:
    """Sum by county and year (missing where an agency is blank), keys with a blank, keys of agencies of several."""
    spread = apportion_removals(load_removals())
    spread = spread[spread["county_fips"].notna()].assign(year=spread["period"].dt.year)
    parts = spread.assign(county_fips=spread["county_fips"].str.split(";")).explode("county_fips")
    key = ["county_fips", "year"]
    sums = parts.groupby(key)[measure].agg(lambda v: v.sum(skipna=False))
    several = parts[parts["agency_id"].isin(spread.loc[spread["county_fips"].str.contains(";"), "agency_id"])]
    return sums, sums.index[sums.isna()], pd.MultiIndex.from_frame(several[key])


def _in_force(record: Agreements, years: list[int]) -> pd.Series:
    """Share of each year's days on which a local agreement was in force, by county and year."""
    local = Exposure(level=tuple(level for level in LEVELS if level != "state"))
    horizon = pd.Timestamp(years[-1] + 1, 1, 1)
    days = intervals(record.frame[record.frame["signed_date"] < horizon], local, horizon).frame
    shares = exposure_shares(days, "county_fips", pd.PeriodIndex([str(y) for y in years], freq="Y"))
    shares.columns = pd.Index(years, name="year")
    return shares.stack()
