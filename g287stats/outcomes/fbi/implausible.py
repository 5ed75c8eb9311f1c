"""What the roll of agencies finds: ``python -m g287stats.outcomes.fbi.implausible``.

County-years whose property crime is under 40 % of the county's own median (500 or more offences) although their
coverage is 0.8 or more look like reports with an agency missing. The roll never sees an offence of the year; this
module holds its coverage against such county-years afterwards, and counts what else falls below 0.8.
"""

from __future__ import annotations

import pandas as pd

from g287stats.outcomes.fbi.county_sums import sum_agencies
from g287stats.outcomes.fbi.roll import printed_agencies, roll

EDITIONS_BEFORE = (2006, *range(2009, 2020))
"""Years in hand before the cities of 2005, 2007 and 2008."""


def found_by_roll(years: tuple[int, ...] = EDITIONS_BEFORE) -> pd.DataFrame:
    """Return one row a year: county-years, implausible ones by the old coverage, those found, others masked."""
    rows = printed_agencies().query("county_fips.notna() and not repeated")
    rows = rows[rows["year"].isin(years)]
    key = ["county_fips", "year"]
    before = sum_agencies(rows, roll(only_between_prints=True))[0].set_index(key)
    after = sum_agencies(rows, roll())[0].set_index(key)["coverage"]
    figure = before["property"].astype("float64")
    usual = figure.groupby(level=0).transform("median")
    kept = before["coverage"] >= 0.8
    implausible = kept & (usual >= 500) & (figure < 0.4 * usual)
    gone = ~(after >= 0.8)
    table = pd.DataFrame(
        {
            "county_years": kept & (usual >= 500),
            "implausible": implausible,
            "found": implausible & gone,
            "others_masked": kept & gone & ~implausible & (usual >= 500),
            "small_masked": kept & gone & ~(usual >= 500),
        }
    )
    return table.groupby(level="year").sum()


if __name__ == "__main__":
    for span in (EDITIONS_BEFORE, tuple(range(2005, 2020))):
        table = found_by_roll(span)
        print(table.to_string())
        print(f"{span[0]}–{span[-1]}, {len(span)} years:", table.sum().to_dict(), end="\n\n")
