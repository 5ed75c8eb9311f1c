"""Residents by county and year, and the share of Hispanic origin.

Three vintages of the Census Bureau's estimates, each for its own decade: Vintage 2009 (2000–2009, postcensal:
made before the 2010 census and not revised to it), Vintage 2019 (2010–2019), Vintage 2024 (2020–2024). Levels
step between vintages; ``vintage`` says which one a row comes from. Connecticut is counted by planning region in
Vintage 2024, so its eight counties end in 2019; the regions are in ``population_connecticut_regions``.

Agreements may move people, so the population of the year is itself an outcome: pass ``base_year`` for a fixed
denominator. Nothing is interpolated unless asked for, and what is interpolated is flagged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from g287stats.catalog import read_released, write_released
from g287stats.errors import Problems, SourceError
from g287stats.geography import harmonise
from g287stats.outcomes.table import select_years

VINTAGES = {2009: (2000, 2009), 2019: (2010, 2019), 2024: (2020, 2024)}


def load_population(years: tuple[int, int] | Iterable[int] | None = None, base_year: int | None = None) -> pd.DataFrame:
    """Return residents by harmonised county and year: ``county_fips``, ``year``, ``population``, ``vintage``.

    With ``base_year`` every year carries that year's population (and vintage): a fixed denominator. Units are
    residents on 1 July. Connecticut counties have no rows after 2019.
    """
    table = read_released("population")
    chosen = select_years("population", years, table["year"])
    if base_year is None:
        return table[table["year"].isin(chosen)].reset_index(drop=True)
    select_years("population", [base_year], table["year"])
    base = table[table["year"] == base_year].drop(columns="year")
    return (
        base.merge(pd.DataFrame({"year": pd.array(chosen, dtype="Int64")}), how="cross")[list(table.columns)]
        .sort_values(["county_fips", "year"])
        .reset_index(drop=True)
    )


def load_hispanic(years: tuple[int, int] | Iterable[int] | None = None, interpolate: bool = False) -> pd.DataFrame:
    """Return Hispanic residents and their share by county: the American Community Survey, 5-year files.

    ``year`` is the last of the five years pooled (2009–2015 in hand), so a row is an average of ``year - 4`` to
    ``year``. With ``interpolate`` a share missing between two years of the same county is filled linearly and
    flagged ``interpolated``; years outside 2009–2015 are never extrapolated. Columns: ``county_fips``,
    ``year``, ``total``, ``hispanic``, ``hispanic_moe`` (90 % margin; missing where the Census controls the
    figure), ``hispanic_share``, ``interpolated``.
    """
    table = read_released("hispanic_population")
    table["hispanic_share"] = (table["hispanic"] / table["total"]).astype("float64")
    table["interpolated"] = False
    if interpolate:
        table = interpolate_linear(table, ["hispanic_share"])
    chosen = select_years("hispanic_population", years, table["year"])
    return table[table["year"].isin(chosen)].reset_index(drop=True)


def interpolate_linear(frame: pd.DataFrame, columns: list[str], unit: str = "county_fips") -> pd.DataFrame:
    """Fill gaps between two known years of a unit linearly; rows with a filled cell are flagged.

    Years absent from ``frame`` inside a unit's span are added. Nothing is filled before the first or after the
    last known year.
    """
    pieces = []
    for _, rows in frame.groupby(unit, sort=True):
        rows = rows.set_index("year").sort_index()
        full = rows.reindex(range(int(rows.index.min()), int(rows.index.max()) + 1))
        full[unit] = rows[unit].iloc[0]
        before = full[columns].isna()
        full[columns] = full[columns].astype("float64").interpolate(method="linear", limit_area="inside")
        filled = (before & full[columns].notna()).any(axis=1)
        old = full["interpolated"].eq(True) if "interpolated" in full else False
        full["interpolated"] = filled | old
        pieces.append(full.rename_axis("year").reset_index())
    columns_out = list(dict.fromkeys([*frame.columns, "interpolated"]))
    return pd.concat(pieces, ignore_index=True)[columns_out] if pieces else frame.assign(interpolated=False)


# ---------------------------------------------------------------- build


def build(sources: Path, out: Path) -> list[Path]:
    """Build ``population``, ``population_connecticut_regions`` and ``hispanic_population``."""
    folder = sources / "population"
    raw = pd.concat([read_vintage(folder / f"co-est{v}-alldata.csv", v) for v in VINTAGES], ignore_index=True)
    region = raw["county_fips"].str.fullmatch(r"091[1-9]0")
    units, unknown = _to_units(raw[~region])
    if unknown:
        raise SourceError(f"population: codes {unknown} have no harmonised unit; add them to geography.UNIT_OF")
    acs = [read_acs(path) for path in sorted((folder / "acs_b03002").glob("acs5_b03002_county_*.csv"))]
    return [
        write_released(units, "population", out),
        write_released(
            raw[region].rename(columns={"county_fips": "region_fips"}), "population_connecticut_regions", out
        ),
        write_released(_hispanic_units(pd.concat(acs, ignore_index=True)), "hispanic_population", out),
    ]


def read_vintage(path: Path, vintage: int) -> pd.DataFrame:
    """Return ``county_fips``, ``year``, ``population``, ``vintage`` of one Census file, without its state rows."""
    first, last = VINTAGES[vintage]
    raw = pd.read_csv(path, dtype=str, encoding="latin-1")
    columns = [f"POPESTIMATE{y}" for y in range(first, last + 1)]
    problems = Problems(path.name)
    lacking = [c for c in ["SUMLEV", "STATE", "COUNTY", *columns] if c not in raw]
    if lacking:
        problems.add("columns are absent", lacking)
    problems.raise_if_any(SourceError)
    raw = raw[raw["SUMLEV"].str.zfill(3) == "050"]
    raw = raw.assign(county_fips=raw["STATE"].str.zfill(2) + raw["COUNTY"].str.zfill(3))
    bad = raw[columns].apply(lambda c: ~c.str.fullmatch(r"\d+").fillna(False)).any(axis=1)
    if bad.any():
        problems.add("populations that are no whole numbers, in counties", raw.loc[bad, "county_fips"])
    if raw["county_fips"].duplicated().any():
        problems.add("counties repeat", raw.loc[raw["county_fips"].duplicated(), "county_fips"])
    problems.raise_if_any(SourceError)
    long = raw.melt("county_fips", columns, "year", "population")
    long["year"] = long["year"].str[-4:].astype(int)
    long["population"] = long["population"].astype(int)
    return long.assign(vintage=vintage)


def _to_units(raw: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    unit = harmonise(raw["county_fips"], warn=False)
    unknown = sorted(unit.attrs["harmonised"]["unknown"])
    merged = raw.assign(unit=unit.to_numpy())
    grouped = merged.groupby(["unit", "year", "vintage"])
    sums = grouped["population"].sum().reset_index().rename(columns={"unit": "county_fips"})
    own = (
        merged[merged["county_fips"] != merged["unit"]]
        .groupby(["unit", "year"])["county_fips"]
        .agg(lambda s: ";".join(sorted(s)))
    )
    keys = pd.MultiIndex.from_frame(sums[["county_fips", "year"]])
    sums["includes"] = own.reindex(keys).to_numpy()
    return sums, unknown


def read_acs(path: Path) -> pd.DataFrame:
    """Return county totals and Hispanic residents of one ACS table B03002 (second header row skipped)."""
    year = re.search(r"(\d{4})\.csv$", path.name)
    if year is None:
        raise SourceError(f"{path.name}: the file name must end with the last year, as acs5_b03002_county_2012.csv")
    raw = pd.read_csv(path, dtype=str, encoding="latin-1")
    lacking = [c for c in ("GEO.id2", "HD01_VD01", "HD01_VD12", "HD02_VD12") if c not in raw]
    if lacking:
        raise SourceError(f"{path.name}: columns {lacking} are absent; this is not table B03002 as downloaded")
    raw = raw[raw["GEO.id2"].str.fullmatch(r"\d{5}")]
    raw = raw[raw["GEO.id2"] < "60"]
    return pd.DataFrame(
        {
            "county_fips": raw["GEO.id2"],
            "year": int(year[1]),
            "total": raw["HD01_VD01"].astype(int),
            "hispanic": raw["HD01_VD12"].astype(int),
            "hispanic_moe": pd.to_numeric(raw["HD02_VD12"].replace("*****", None)),
        }
    ).reset_index(drop=True)


def _hispanic_units(raw: pd.DataFrame) -> pd.DataFrame:
    unit = harmonise(raw["county_fips"], warn=False)
    if unit.isna().any():
        raise SourceError(f"ACS: no harmonised unit for {sorted(raw.loc[unit.isna(), 'county_fips'].unique())}")
    raw = raw.assign(county_fips=unit.to_numpy(), square=raw["hispanic_moe"] ** 2)
    out = raw.groupby(["county_fips", "year"], as_index=False).agg(
        total=("total", "sum"), hispanic=("hispanic", "sum"), square=("square", lambda s: s.sum(min_count=len(s)))
    )
    out["hispanic_moe"] = np.sqrt(out.pop("square")).round().astype("Int64")
    return out
