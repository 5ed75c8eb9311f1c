"""Aggregates of the county crime files against published figures: ``python -m g287stats.outcomes.nacjd.checks``.

Prints nothing but totals and counts, so the output may be quoted. Reads the files added as ``icpsr-county-crimes``;
``--sources DIR`` (or the environment variable G287STATS_SOURCES) adds those of a folder of raw inputs first.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from g287stats.catalog import data_add, missing, read_kept, read_released
from g287stats.geography import harmonise
from g287stats.outcomes.nacjd.county import load_icpsr_county
from g287stats.outcomes.nacjd.files import CRIMES, reported

FBI_NATIONAL = {  # Crime in the United States 2013, Table 1 (1994–2013): violent, property; estimated totals
    2000: (1_425_486, 10_182_584), 2001: (1_439_480, 10_437_189), 2002: (1_423_677, 10_455_277),
    2003: (1_383_676, 10_442_862), 2004: (1_360_088, 10_319_386), 2005: (1_390_745, 10_174_754),
    2006: (1_435_123, 10_019_601), 2007: (1_422_970, 9_882_212), 2008: (1_394_461, 9_774_152),
    2009: (1_325_896, 9_337_060), 2010: (1_251_248, 9_112_625), 2011: (1_206_005, 9_052_743),
    2012: (1_217_067, 9_001_992),
}  # fmt: skip


@dataclass(frozen=True)
class Checks:
    """What was measured. Rows are county-years of the source's own codes (without 777 and 999)."""

    rows: int
    usable: int
    rows_2003_2012: int
    usable_2003_2012: int
    balanced: int
    balanced_2003_2012: int
    by_year: pd.DataFrame
    treated_counties: int
    treated_present: int
    treated_usable: int
    treated_always_usable: int
    doubtful: pd.DataFrame

    def __str__(self) -> str:
        lines = [
            f"county-years {self.rows:,}, usable {self.usable:,}; "
            f"2003–2012 {self.rows_2003_2012:,}, usable {self.usable_2003_2012:,}",
            f"counties usable in every year: {self.balanced:,}; in 2003–2012 {self.balanced_2003_2012:,}",
            "national totals (all rows of the files) as a share of the FBI's estimates:",
            self.by_year.to_string(index=False),
        ]
        lines.append(
            f"counties with an agreement before 2013: {self.treated_counties}; present {self.treated_present}; "
            f"usable in at least one year {self.treated_usable}, in every year {self.treated_always_usable}"
        )
        lines.append(f"their county-years with coverage below 90 % or no report: {len(self.doubtful)}")
        return "\n".join(lines)


def county_years() -> pd.DataFrame:
    """Usable county-years of the added files as published: ``county_fips``, ``year``, ``violent``, ``property``."""
    frame = load_icpsr_county(september_11="as_published").frame
    usable = frame.loc[frame["usable"], ["county_fips", "year", "violent", "property"]]
    return usable.astype({"violent": "float64", "property": "float64"}).reset_index(drop=True)


def early_counties() -> list[str]:
    """Counties of agencies that signed before 2013 (any model, statewide agencies left out)."""
    agreements = read_released("agreements")
    early = agreements[(agreements["signed_date"] < "2013-01-01") & agreements["county_fips"].notna()]
    codes = early["county_fips"].str.split(";").explode()
    return sorted(set(harmonise(codes[codes != ""], warn=False).dropna()))


def measure() -> Checks:
    """Measure the added county crime files."""
    parts = read_kept(CRIMES)
    if not parts:
        raise missing(CRIMES)
    rows = pd.concat([f.assign(year=int(k)) for k, f in parts.items()], ignore_index=True)
    rows["violent"] = rows[["MURDER", "RAPE", "ROBBERY", "AGASSLT"]].sum(axis=1)
    rows["property"] = rows[["BURGLRY", "LARCENY", "MVTHEFT"]].sum(axis=1)
    by_year = rows.groupby("year", as_index=False).agg(
        violent=("violent", "sum"), property=("property", "sum"), murder=("MURDER", "sum")
    )
    for n, name in enumerate(("violent", "property")):
        by_year[f"fbi_{name}"] = by_year["year"].map({y: v[n] for y, v in FBI_NATIONAL.items()})
        by_year[f"{name}_share"] = (100 * by_year[name] / by_year[f"fbi_{name}"]).astype("float64").round(2)
    county = rows[~rows["FIPS_CTY"].isin([777, 999])]
    usable = county[reported(county, "4")]
    late, late_usable = county["year"].between(2003, 2012), usable["year"].between(2003, 2012)

    def balanced(frame: pd.DataFrame) -> int:
        years = frame.groupby(["FIPS_ST", "FIPS_CTY"])["year"].nunique()
        return int((years == frame["year"].nunique()).sum())

    treated = early_counties()
    frame = load_icpsr_county().frame
    mine = frame[frame["county_fips"].isin(treated)]
    low = mine[(mine["coverage"] < 0.9)][["county_fips", "year", "coverage", "doubt"]].reset_index(drop=True)
    return Checks(
        rows=len(county),
        usable=len(usable),
        rows_2003_2012=int(late.sum()),
        usable_2003_2012=int(late_usable.sum()),
        balanced=balanced(usable),
        balanced_2003_2012=balanced(usable[late_usable]),
        by_year=by_year,
        treated_counties=len(treated),
        treated_present=mine["county_fips"].nunique(),
        treated_usable=mine.loc[mine["usable"], "county_fips"].nunique(),
        treated_always_usable=int(mine.groupby("county_fips")["usable"].all().sum()),
        doubtful=low,
    )


def add_sources(description: str | None) -> None:
    """Add the county files of the folder that ``--sources`` or G287STATS_SOURCES names, if either does."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--sources", type=Path, default=os.environ.get("G287STATS_SOURCES"), help="folder of the raw inputs (crime/)"
    )
    sources = parser.parse_args().sources
    if sources:
        start = time.perf_counter()
        added = data_add(CRIMES, [Path(sources) / "crime" / "icpsr_county_crimes"])
        print(f"{len(added.parts)} files checked, parsed and kept in {time.perf_counter() - start:.1f} s")


def main() -> None:
    """Print the aggregates."""
    add_sources(__doc__)
    print(measure())


if __name__ == "__main__":
    main()
