"""Murders and murders cleared by county, 1998–2016: FBI Return A, with the Murder Accountability Project's additions.

The source has one row an agency and year in which a murder or a clearance was counted, and none otherwise: a year
without murder and a year without report look the same. Reporting is known from the FBI's other tables: from 2005 on a
county-year without a row has no murder where ``coverage`` of the county sums says that its agencies reported, and is
missing where it says that they did not. Before 2005 no table in hand says who reported.

An agency that counts ten or more murders in a year and not one clearance did not report clearances (Chicago: 666
murders, none cleared, in 2001): the county's clearances are then missing. Clearances are of the year and may belong to
murders of earlier years; some county-years clear more than they count.
New York City, one agency for five counties, is in none of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd

from g287stats.catalog import codebook, read_released, schema, write_released
from g287stats.errors import IdentityError, SourceError, choose, first_of
from g287stats.flow import Flow, Step
from g287stats.geography import county_by_name, load_counties
from g287stats.outcomes.fbi.county_sums import load_fbi_county_sums
from g287stats.outcomes.table import OutcomeTable, Years, select_years

KEY = ["county_fips", "year"]
FIRST_KNOWN = 2005
_BY_HAND = {
    ("FL", "Dade"): "12086",
    ("AK", "Juneau"): "02110",
    ("AK", "Sitka"): "02220",
    ("NV", "Carson City"): "32510",
    ("NV", "Carson City city"): "32510",
    ("AK", "Anchorage"): "02020",
    ("District of Columbia", ""): "11001",
}
SILENT = 10
"""Murders of an agency and year from which on no clearance at all means that clearances were not reported."""


def load_fbi_murders(years: Years = None, absent: Literal["known", "zero", "missing"] = "known") -> OutcomeTable:
    """Return murders and murders cleared by county and year, 1998–2016.

    Parameters
    ----------
    years
        First and last year, or a list; default all.
    absent
        What a county-year without a row is. ``"known"``: zero where the FBI's other tables show that the county's
        agencies reported (coverage of ``fbi_county_sums`` at least 0.8, from 2005 on), otherwise missing. ``"zero"``:
        zero everywhere. ``"missing"``: missing everywhere.

    Returns
    -------
    OutcomeTable
        Every county of the list in every year. ``murder``, ``murder_cleared``; ``clearance_rate`` = cleared of the year
        over murders of the year, missing without murders, above 1 where earlier murders are cleared. ``coverage`` is
        that of the county sums; missing before 2005, so that a panel of those years needs ``min_coverage=None``.
    """
    choose("absent", absent, ("known", "zero", "missing"))
    table = read_released("fbi_murders").astype({"year": "int64"})
    chosen = select_years("fbi_murders", years, table["year"])
    grid = pd.MultiIndex.from_product([sorted(load_counties()["county_fips"]), chosen], names=KEY)
    grid = grid[~grid.get_level_values(0).isin(_NEW_YORK)]
    frame = table.set_index(KEY).reindex(grid)
    counted = frame["murder"].notna()
    known = load_fbi_county_sums().frame.set_index(KEY)["coverage"]
    frame["coverage"] = known.reindex(grid)
    frame.loc[frame["coverage"].isna() & (grid.get_level_values(1) >= FIRST_KNOWN), "coverage"] = 0.0  # not printed
    zero = ~counted & {"known": frame["coverage"] >= 0.8, "zero": True, "missing": False}[absent]
    frame.loc[zero, ["murder", "murder_cleared"]] = 0
    murders = frame["murder"].astype("float64")
    frame["clearance_rate"] = frame["murder_cleared"].astype("float64") / murders.where(murders > 0)
    frame = frame.reset_index()
    gone = frame["murder"].isna()
    listing = tuple(f"{c} {y}" for c, y in zip(frame.loc[gone, "county_fips"], frame.loc[gone, "year"]))
    return OutcomeTable(
        name="fbi_murders",
        frame=frame[[*KEY, "murder", "murder_cleared", "clearance_rate", "agencies_counting", "coverage"]],
        counts=("murder", "murder_cleared"),
        codebook=_codebook(),
        provenance={
            "table": "fbi_murders",
            "sources": schema("fbi_murders")["sources"],
            "population": "murders known to all agencies of the county, New York City left out",
            "absent": absent,
        },
        coverage="coverage",
        flow=Flow(
            (
                Step("county-years with a row", len(table), "1998–2016", kind="found"),
                Step("county-years asked for", len(frame), f"{chosen[0]}–{chosen[-1]}"),
                Step("without a row: zero", int(zero.sum()), f'absent="{absent}"', kind="noted"),
                Step("without a row: missing", int(gone.sum()), f'absent="{absent}"', listing, "noted"),
            )
        ),
    )


_NEW_YORK = ("36005", "36047", "36061", "36081", "36085")


def _codebook() -> dict[str, dict[str, str]]:
    return codebook(
        [*KEY, "murder", "murder_cleared", "clearance_rate", "agencies_counting", "coverage"],
        "FBI, Return A; Murder Accountability Project",
        "fbi_murders",
        coverage="coverage_of_residents",
    )


# ---------------------------------------------------------------- build


def build(sources: Path, out: Path) -> list[Path]:
    """Build ``fbi_murders``: agency-years summed to counties, 1998–2016."""
    path = sources / "crime" / "murders_clearances_1965_2016" / "md_clearances.csv.gz"
    return [write_released(read(path), "fbi_murders", out)]


def read(path: Path) -> pd.DataFrame:
    """Sum agency-years to counties by the printed "County, ST"; a name that matches none is an error."""
    raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    lacking = [c for c in ("ori", "year", "mrd", "clr", "county") if c not in raw]
    if lacking:
        raise SourceError(f"{path.name}: columns {lacking} are absent; they are {list(raw.columns)}")
    raw = raw.astype({"year": "int64", "mrd": "int64", "clr": "int64"})
    raw = raw[raw["year"].between(1998, 2016)].drop_duplicates(["ori", "year"])
    codes = {text: _county(text) for text in raw["county"].unique()}
    raw["county_fips"] = raw["county"].map(codes)
    lost = raw[raw["county_fips"].isna()]
    if len(lost) > 0.002 * len(raw):
        raise IdentityError(f"{len(lost)} rows match no county: {first_of(sorted(set(lost['county'])), 12)}")
    rows = raw[raw["county_fips"].notna() & ~raw["county_fips"].isin(_NEW_YORK)]
    sums = rows.groupby(KEY).agg(
        murder=("mrd", "sum"), murder_cleared=("clr", "sum"), agencies_counting=("ori", "size")
    )
    silent = ((rows["mrd"] >= SILENT) & (rows["clr"] == 0)).groupby([rows[k] for k in KEY]).any()
    sums["murder_cleared"] = sums["murder_cleared"].astype("Int64").mask(silent)
    return sums.reset_index().astype({"murder": "Int64", "murder_cleared": "Int64", "agencies_counting": "Int64"})


def _county(text: str) -> str | None:
    name, _, state = text.rpartition(", ")
    by_hand = _BY_HAND.get((state, name))
    return by_hand or county_by_name(state, name) or county_by_name(state, f"{name} city")
