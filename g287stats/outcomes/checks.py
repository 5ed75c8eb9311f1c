"""Compare the bundled outcomes with the private county files: aggregates only.

``G287STATS_SOURCES=DIR python -m g287stats.outcomes.checks`` prints ratios by year, state and size class. No
figure of a private row is printed or written.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pandas as pd

from g287stats.catalog import read_released
from g287stats.errors import SourceError
from g287stats.geography import harmonise, load_counties, state_of
from g287stats.outcomes import load_outcome
from g287stats.outcomes.fbi_county_sums import dropouts
from g287stats.outcomes.fbi_msa import load_fbi_msa_counties
from g287stats.outcomes.population import load_population

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


def compare_states(sources: Path) -> pd.DataFrame:
    """California's and Maryland's own tables over the private county files: totals, median, share within 2 %."""
    theirs = read_private_counties(sources)
    rows = []
    for state in ("california", "maryland"):
        both = load_outcome(state).frame.merge(theirs, on=["county_fips", "year"], suffixes=("", "_icpsr"))
        for name in ("violent", "property"):
            mine, other = both[name].astype("float64"), both[f"{name}_icpsr"].astype("float64")
            ratio = (mine / other)[other > 0]
            close = ((ratio - 1).abs() <= 0.02).mean()
            rows.append((state, name, len(both), mine.sum() / other.sum(), ratio.median(), close))
    columns = ["state", "offence", "county_years", "ratio", "median_ratio", "within_2pct"]
    return pd.DataFrame(rows, columns=columns)


NYC = ("36005", "36047", "36061", "36081", "36085")
SIZES = (0, 10_000, 50_000, 250_000, float("inf"))


def pair_county_sums(sources: Path, min_told: float = 0.0) -> pd.DataFrame:
    """County-years of the FBI county sums beside the private files, New York City left out; absent sums missing."""
    ours = load_outcome("fbi_county_sums", min_told=min_told).frame[
        ["county_fips", "year", "violent", "property", "coverage", "population"]
    ]
    theirs = read_private_counties(sources)
    theirs = theirs[theirs["year"].isin([2006, 2009, 2010, 2011, 2012]) & ~theirs["county_fips"].isin(NYC)]
    both = theirs.merge(ours, on=["county_fips", "year"], how="left", suffixes=("_icpsr", ""))
    people = load_population().astype({"year": "int64"})
    both = both.drop(columns="population").merge(people[["county_fips", "year", "population"]], how="left")
    both["state"] = both["county_fips"].map(state_of)
    both["size"] = pd.cut(both["population"].astype(float), SIZES, labels=["<10k", "10-50k", "50-250k", "250k+"])
    return both


def ratios(both: pd.DataFrame, by: str) -> pd.DataFrame:
    """Totals of the county sums over those of the private files, by ``by``; absent sums count as nothing reported."""
    grouped = both.groupby(by, observed=True)
    out = pd.DataFrame({"county_years": grouped.size()})
    for name in ("violent", "property"):
        out[name] = grouped[name].sum().astype(float) / grouped[f"{name}_icpsr"].sum()
    return out.round(3)


def county_ratios(both: pd.DataFrame, least: int = 50_000) -> pd.DataFrame:
    """Distribution of county ratios of property crime in counties of ``least`` residents, by year."""
    large = both[(both["population"] >= least) & (both["property_icpsr"] > 0)]
    ratio = (large["property"].astype("float64") / large["property_icpsr"]).fillna(0.0)
    grouped = ratio.groupby(large["year"])
    return pd.DataFrame(
        {"counties": grouped.size(), "p10": grouped.quantile(0.1), "median": grouped.median(),
         "share_below_0.8": grouped.agg(lambda r: (r < 0.8).mean())}
    ).round(3)  # fmt: skip


def always_close(both: pd.DataFrame, at_least: float = 0.9) -> tuple[int, int]:
    """Counties whose property sum is ``at_least`` of the private figure in all five years, and counties compared."""
    ratio = (both["property"].astype("float64") / both["property_icpsr"]).where(both["property_icpsr"] > 0)
    worst = ratio.fillna(0.0).groupby(both["county_fips"]).min()
    return int((worst >= at_least).sum()), len(worst)


def early_counties() -> list[str]:
    """Counties of agencies that signed before 2013 (any model, statewide agencies left out)."""
    agreements = read_released("agreements")
    early = agreements[(agreements["signed_date"] < "2013-01-01") & agreements["county_fips"].notna()]
    codes = early["county_fips"].str.split(";").explode()
    return sorted(set(harmonise(codes[codes != ""], warn=False).dropna()))


def early_dropouts() -> pd.DataFrame:
    """Drop-outs of the FBI county sums among counties with an agreement before 2013, up to 2012."""
    lost = dropouts(load_outcome("fbi_county_sums", (2006, 2012)))
    lost = lost[lost["county_fips"].isin(early_counties())]
    names = load_counties().set_index("county_fips")
    lost.insert(1, "county", [f"{names.at[c, 'name']}, {names.at[c, 'state']}" for c in lost["county_fips"]])
    return lost.round(3)


def main() -> None:
    """Print every comparison."""
    folder = os.environ.get("G287STATS_SOURCES")
    if not folder:
        sys.exit("set G287STATS_SOURCES to the folder of the raw inputs")
    sources = Path(folder)
    print("Single-county metropolitan areas (FBI Table 6) / ICPSR county files, 2000–2012")
    print(compare_msa(sources).to_string(index=False))
    print("\nState tables / ICPSR county files, 2000–2012")
    print(compare_states(sources).round(4).to_string(index=False))
    print("\nFBI county sums (cities, sheriffs, county police) / ICPSR county files, New York City left out")
    print("Sums as the loader gives them (missing where told by under 90 % of the printed agencies' residents)")
    print(ratios(pair_county_sums(sources, 0.9), "year").T.to_string())
    both = pair_county_sums(sources)
    print("Sums of whatever is printed")
    for by in ("year", "size", "state"):
        print(ratios(both, by).T.to_string() if by != "state" else ratios(both, by).to_string())
    print("\nProperty, counties of 50,000 and more, county by county")
    print(county_ratios(both).to_string())
    print("Counties at 0.9 or more in all five years: {} of {}".format(*always_close(both)))
    early = both[both["county_fips"].isin(early_counties())]
    ratio = (early["property"].astype("float64") / early["property_icpsr"]).groupby(early["year"]).median()
    print("\nCounties with an agreement before 2013: median property ratio by year", ratio.round(3).to_dict())
    print("of them at 0.9 or more in all five years: {} of {}".format(*always_close(early)))
    print("\nDrop-outs among them (released data)")
    print(early_dropouts().to_string(index=False))


if __name__ == "__main__":
    main()
