"""Compare the bundled outcomes with the private county files: aggregates only.

``G287STATS_SOURCES=DIR python -m g287stats.outcomes.checks`` prints ratios by year, state and size class. No
figure of a private row is printed or written.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pandas as pd

from g287stats.errors import SourceError
from g287stats.geography import harmonise
from g287stats.outcomes.fbi_msa import load_fbi_msa_counties

STUDIES = {
    3451: 2000, 3721: 2001, 4009: 2002, 4360: 2003, 4466: 2004, 4717: 2005, 23780: 2006, 25114: 2007, 27644: 2008,
    30763: 2009, 33523: 2010, 34582: 2011, 35019: 2012,
}  # fmt: skip


def read_private_counties(sources: Path) -> pd.DataFrame:
    """Return usable ICPSR county-years 2000–2012: county_fips, year, violent, property, covered population.

    Parts, never the index columns; usable = COVIND > 0 and CPOPCRIM > 0; codes 777 and 999 left out.
    """
    folder = sources / "crime" / "icpsr_county_crimes"
    spans = [
        (10, 12),
        (12, 15),
        (23, 31),
        (37, 45),
        (57, 61),
        (61, 65),
        (65, 70),
        (70, 75),
        (75, 81),
        (81, 87),
        (87, 93),
    ]
    names = ["st", "cty", "pop", "covind", "murder", "rape", "robbery", "assault", "burglary", "larceny", "mvt"]
    pieces = []
    for study, year in STUDIES.items():
        path = folder / f"{study:05d}-0004-Data.txt"
        if not path.is_file():
            raise SourceError(f"{path}: no such file; --sources must hold the county crime files")
        pieces.append(pd.read_fwf(path, colspecs=spans, names=names, dtype=str).assign(year=year))
    raw = pd.concat(pieces, ignore_index=True)
    raw["county_fips"] = raw["st"].str.zfill(2) + raw["cty"].str.zfill(3)
    raw = raw[~raw["cty"].str.zfill(3).isin(["777", "999"])]
    for name in names[2:]:
        raw[name] = pd.to_numeric(raw[name])
    raw = raw[(raw["covind"] > 0) & (raw["pop"] > 0)]
    raw["county_fips"] = harmonise(raw["county_fips"], warn=False)
    raw["violent"] = raw[["murder", "rape", "robbery", "assault"]].sum(axis=1)
    raw["property"] = raw[["burglary", "larceny", "mvt"]].sum(axis=1)
    keep = ["violent", "property", "murder", "pop"]
    return raw.dropna(subset=["county_fips"]).groupby(["county_fips", "year"], as_index=False)[keep].sum()


def compare_msa(sources: Path) -> pd.DataFrame:
    """Single-county metropolitan totals over the private county files: n, median ratio, shares within 2 and 5 %."""
    ours = load_fbi_msa_counties()
    both = ours.merge(read_private_counties(sources), on=["county_fips", "year"], suffixes=("", "_icpsr"))
    rows = []
    for name in ("violent", "property"):
        ratio = (both[name] / both[f"{name}_icpsr"]).dropna().astype(float)
        ratio = ratio[both.loc[ratio.index, f"{name}_icpsr"] > 0]
        off = (ratio - 1).abs()
        rows.append((name, len(ratio), ratio.median(), (off <= 0.02).mean(), (off <= 0.05).mean()))
    return pd.DataFrame(rows, columns=["offence", "county_years", "median_ratio", "within_2pct", "within_5pct"])


def main() -> None:
    """Print every comparison."""
    folder = os.environ.get("G287STATS_SOURCES")
    if not folder:
        sys.exit("set G287STATS_SOURCES to the folder of the raw inputs")
    sources = Path(folder)
    print("Single-county metropolitan areas (FBI Table 6) / ICPSR county files, 2000–2012")
    print(compare_msa(sources).to_string(index=False))


if __name__ == "__main__":
    main()
