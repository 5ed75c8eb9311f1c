"""Compare the bundled outcomes with the private county files: aggregates only.

``python -m g287stats.outcomes.checks --sources DIR`` prints ratios by year, state and size class, from the files
added as ``icpsr-county-crimes`` (``--sources`` adds them first). No figure of a private row is printed.
"""

from __future__ import annotations

import pandas as pd

from g287stats.geography import load_counties, state_of
from g287stats.outcomes import load_outcome
from g287stats.outcomes.context.population import load_population
from g287stats.outcomes.fbi.county_sums import dropouts
from g287stats.outcomes.fbi.msa import load_fbi_msa_counties
from g287stats.outcomes.nacjd.checks import add_sources, county_years, early_counties


def compare_msa() -> pd.DataFrame:
    """Single-county metropolitan totals over the private county files: n, median ratio, shares within 2 and 5 %."""
    ours = load_fbi_msa_counties()
    both = ours.merge(county_years(), on=["county_fips", "year"], suffixes=("", "_icpsr"))
    rows = []
    for name in ("violent", "property"):
        ratio = (both[name] / both[f"{name}_icpsr"]).dropna().astype(float)
        ratio = ratio[both.loc[ratio.index, f"{name}_icpsr"] > 0]
        off = (ratio - 1).abs()
        rows.append((name, len(ratio), ratio.median(), (off <= 0.02).mean(), (off <= 0.05).mean()))
    return pd.DataFrame(rows, columns=["offence", "county_years", "median_ratio", "within_2pct", "within_5pct"])


def compare_states() -> pd.DataFrame:
    """California's and Maryland's own tables over the private county files: totals, median, share within 2 %."""
    theirs = county_years()
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


def pair_county_sums(min_told: float = 0.0) -> pd.DataFrame:
    """County-years of the FBI county sums beside the private files, New York City left out; absent sums missing."""
    ours = load_outcome("fbi_county_sums", min_told=min_told).frame[
        ["county_fips", "year", "violent", "property", "coverage", "population"]
    ]
    theirs = county_years()
    theirs = theirs[theirs["year"].between(2005, 2012) & ~theirs["county_fips"].isin(NYC)]
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
        {
            "counties": grouped.size(),
            "p10": grouped.quantile(0.1),
            "median": grouped.median(),
            "share_below_0.8": grouped.agg(lambda r: (r < 0.8).mean()),
        }
    ).round(3)


def always_close(both: pd.DataFrame, at_least: float = 0.9) -> tuple[int, int]:
    """Counties whose property sum is ``at_least`` of the private figure in all five years, and counties compared."""
    ratio = (both["property"].astype("float64") / both["property_icpsr"]).where(both["property_icpsr"] > 0)
    worst = ratio.fillna(0.0).groupby(both["county_fips"]).min()
    return int((worst >= at_least).sum()), len(worst)


def early_dropouts() -> pd.DataFrame:
    """Drop-outs of the FBI county sums among counties with an agreement before 2013, up to 2012."""
    lost = dropouts(load_outcome("fbi_county_sums", (2006, 2012)))
    lost = lost[lost["county_fips"].isin(early_counties())]
    names = load_counties().set_index("county_fips")
    lost.insert(1, "county", [f"{names.at[c, 'name']}, {names.at[c, 'state']}" for c in lost["county_fips"]])
    return lost.round(3)


def main() -> None:
    """Print every comparison."""
    add_sources(__doc__)
    print("Single-county metropolitan areas (FBI Table 6) / ICPSR county files, 2000–2012")
    print(compare_msa().to_string(index=False))
    print("\nState tables / ICPSR county files, 2000–2012")
    print(compare_states().round(4).to_string(index=False))
    print("\nFBI county sums (cities, sheriffs, county police) / ICPSR county files, New York City left out")
    print("Sums as the loader gives them (missing where told by under 90 % of the printed agencies' residents)")
    print(ratios(pair_county_sums(0.9), "year").T.to_string())
    both = pair_county_sums()
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
