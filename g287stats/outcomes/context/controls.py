"""Controls by county: unemployment, income, rural–urban codes, a profile of 2008–2013.

One table a producer, on harmonised counties; what cannot be placed is listed in ``data/qa/controls_dropped.csv``.

- Unemployment: BLS Local Area Unemployment Statistics, annual averages 2000–2020. Fourteen Louisiana parish-years
  (2005–06) are not published.
- Income: BEA CAINC1 per capita, nominal dollars, 2000–2018. BEA joins 51 Virginia counties and cities into 23
  areas, and two pairs elsewhere; members carry the area's figure and ``combined`` is true: Prince William with
  Manassas and Fairfax with Fairfax City cannot be told apart.
- Rural–urban: USDA ERS continuum and influence codes 2003 and 2013.
- Profile: Census QuickFacts, shares in percent, one cross-section.

Presidential votes are the user's to add: :mod:`g287stats.outcomes.context.votes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from g287stats.catalog import read_released, write_released
from g287stats.catalog.text import csv
from g287stats.catalog.writing import write
from g287stats.errors import Problems, SourceError
from g287stats.geography import harmonise
from g287stats.outcomes.table import select_years


def load_unemployment(years: tuple[int, int] | Iterable[int] | None = None) -> pd.DataFrame:
    """Return ``county_fips``, ``year``, ``labor_force``, ``unemployed``, ``unemployment_rate`` (percent)."""
    out = _years(read_released("unemployment"), "unemployment", years)
    rate = 100 * out["unemployed"].astype("float64") / out["labor_force"].astype("float64")
    return out.assign(unemployment_rate=rate)


def load_income(years: tuple[int, int] | Iterable[int] | None = None) -> pd.DataFrame:
    """Return ``county_fips``, ``year``, ``income_per_capita`` (nominal dollars), ``bea_fips``, ``combined``."""
    return _years(read_released("income"), "income", years)


def load_rural_urban() -> pd.DataFrame:
    """Return ``county_fips`` with ``rucc_2003``, ``rucc_2013`` (1–9) and ``uic_2003``, ``uic_2013`` (1–12)."""
    return read_released("rural_urban")


def load_profile() -> pd.DataFrame:
    """Return the QuickFacts cross-section: Hispanic 2013; foreign-born, bachelor's, poverty, income 2008–2012."""
    return read_released("county_profile")


def _years(table: pd.DataFrame, name: str, years: Any) -> pd.DataFrame:
    chosen = select_years(name, years, table["year"])
    return table[table["year"].isin(chosen)].reset_index(drop=True)


# ---------------------------------------------------------------- build


def build(sources: Path, out: Path) -> list[Path]:
    """Build the four tables of controls and the list of what could not be placed."""
    folder = sources / "controls"
    dropped: list[pd.DataFrame] = []
    combined = pd.read_csv(sources / "geography" / "bea_combined_counties.csv", dtype=str)
    laus = pd.concat([read_laus(p) for p in sorted((folder / "laus").glob("*.txt"))], ignore_index=True)
    bea = pd.concat([read_bea(p) for p in sorted((folder / "bea_cainc1").glob("*.csv"))], ignore_index=True)
    written = [
        write_released(_sum_units(laus, "unemployment", dropped), "unemployment", out),
        write_released(_income_units(bea, combined, dropped), "income", out),
        write_released(_first_units(read_ers(folder), "rural_urban", dropped), "rural_urban", out),
        write_released(_first_units(read_quickfacts(folder), "county_profile", dropped), "county_profile", out),
    ]
    qa = out / "qa" / "controls_dropped.csv"
    listed = pd.concat(dropped, ignore_index=True).sort_values(["table", "code"])
    write(qa, csv(listed))
    return [*written, qa]


_LAUS = re.compile(
    r"^(CN\d{13})\s+(\d\d)\s+(\d{3})\s+(.+?)\s+((?:19|20)\d\d)\s+([\d,]+|N\.A\.)\s+([\d,]+|N\.A\.)\s+([\d,]+|N\.A\.)"
    r"\s+([\d.]+|N\.A\.)\s*$"
)


def read_laus(path: Path) -> pd.DataFrame:
    """Parse one year of BLS's fixed-width county file (Puerto Rico left out); unread data lines are an error."""
    rows, bad = [], []
    for number, line in enumerate(path.read_text(encoding="latin-1").splitlines(), 1):
        match = _LAUS.match(line)
        if match:
            rows.append((match[2] + match[3], int(match[5]), _number(match[6]), _number(match[8])))
        elif line.startswith("CN"):
            bad.append(number)
    problems = Problems(path.name)
    if bad:
        problems.add("lines that do not fit the layout", bad)
    if not rows:
        problems.add("no line of the LAUS layout (CN code, state, county, name, year, four figures)")
    elif {r[1] for r in rows} != {int(path.stem)}:
        problems.add(f"the file name says {path.stem}, its lines", sorted({r[1] for r in rows}))
    problems.raise_if_any(SourceError)
    out = pd.DataFrame(rows, columns=["county_fips", "year", "labor_force", "unemployed"])
    out = out[out["county_fips"] < "60"]
    return out.astype({"labor_force": "Int64", "unemployed": "Int64"}).reset_index(drop=True)


def read_bea(path: Path) -> pd.DataFrame:
    """Return per-capita income (line 3) by BEA area and year from 2000; state rows and notes dropped."""
    raw = pd.read_csv(path, dtype=str, encoding="latin-1", skipinitialspace=True)
    lacking = [c for c in ("GeoFIPS", "LineCode", "2000") if c not in raw]
    if lacking:
        raise SourceError(f"{path.name}: columns {lacking} are absent; this is not CAINC1 as downloaded")
    raw["bea_fips"] = raw["GeoFIPS"].str.replace(r'[" ]', "", regex=True)
    raw = raw[raw["bea_fips"].str.fullmatch(r"\d{5}") & ~raw["bea_fips"].str.endswith("000").fillna(True)]
    raw = raw[raw["LineCode"].str.strip() == "3"]
    years = [c for c in raw.columns if re.fullmatch(r"20\d\d", c)]
    long = raw.melt("bea_fips", years, "year", "income_per_capita")
    long["year"] = long["year"].astype(int)
    figure = long["income_per_capita"].str.strip()
    figure = figure.where(~figure.isin(["(NA)", "(L)"]))
    if (figure.notna() & ~figure.fillna("0").str.fullmatch(r"\d+")).any():
        raise SourceError(f"{path.name}: incomes that are no whole numbers: {figure[figure.notna()].unique()[:5]}")
    return long.assign(income_per_capita=figure.astype("Int64"))


def read_ers(folder: Path) -> pd.DataFrame:
    """Return the rural–urban continuum and urban influence codes of 2003 and 2013 (UTF-8 with a mark)."""
    raw = pd.read_csv(folder / "ers_county_classifications_2003_2013.csv", dtype=str, encoding="utf-8-sig")
    out = pd.DataFrame({"county_fips": raw["FIPStxt"].str.zfill(5)})
    for new, old in {
        "rucc_2003": "RuralUrbanContinuumCode2003",
        "rucc_2013": "RuralUrbanContinuumCode2013",
        "uic_2003": "UrbanInfluenceCode2003",
        "uic_2013": "UrbanInfluenceCode2013",
    }.items():
        out[new] = pd.to_numeric(raw[old], errors="coerce").astype("Int64")
    return out[out["county_fips"] < "60"].reset_index(drop=True)


def read_quickfacts(folder: Path) -> pd.DataFrame:
    """Return five percentages and one dollar figure of the QuickFacts file; nation and states dropped."""
    raw = pd.read_csv(folder / "census_quickfacts_county.csv", dtype=str)
    raw = raw[~raw["fips"].str.endswith("000")]
    names = {
        "hispanic_pct_2013": "RHI725213",
        "foreign_born_pct_2012": "POP645212",
        "bachelors_pct_2012": "EDU685212",
        "poverty_pct_2012": "PVY020212",
        "median_household_income_2012": "INC110212",
    }
    out = pd.DataFrame({"county_fips": raw["fips"]})
    for new, old in names.items():
        out[new] = pd.to_numeric(raw[old])
    return out.astype({"median_household_income_2012": "Int64"}).reset_index(drop=True)


def _number(text: str) -> int | None:
    return None if text == "N.A." else int(text.replace(",", ""))


def _drop(frame: pd.DataFrame, unit: pd.Series, table: str, dropped: list[pd.DataFrame], reason: str) -> pd.DataFrame:
    gone = frame.loc[unit.isna(), "county_fips"].value_counts().sort_index()
    dropped.append(pd.DataFrame({"table": table, "code": gone.index, "rows": gone.to_numpy(), "reason": reason}))
    return frame.assign(county_fips=unit)[unit.notna()]


def _sum_units(frame: pd.DataFrame, table: str, dropped: list[pd.DataFrame]) -> pd.DataFrame:
    unit = harmonise(frame["county_fips"], warn=False)
    placed = _drop(frame, unit, table, dropped, "no harmonised county")
    values = [c for c in frame.columns if c not in ("county_fips", "year")]
    grouped = placed.groupby(["county_fips", "year"])[values]
    told = grouped.count().eq(placed.groupby(["county_fips", "year"]).size(), axis=0)
    return grouped.sum().where(told).astype("Int64").reset_index()


def _first_units(frame: pd.DataFrame, table: str, dropped: list[pd.DataFrame]) -> pd.DataFrame:
    """Keep a unit's own row where several codes make it up (codes and shares cannot be added)."""
    unit = harmonise(frame["county_fips"], warn=False)
    placed = _drop(frame, unit, table, dropped, "no harmonised county").assign(code=frame["county_fips"])
    placed["own"] = placed["code"] == placed["county_fips"]
    placed = placed.sort_values(["county_fips", "own", "code"], ascending=[True, False, True])
    second = placed.duplicated("county_fips")
    dropped.append(
        pd.DataFrame(
            {
                "table": table,
                "code": placed.loc[second, "code"],
                "rows": 1,
                "reason": "merged into a county with its own row",
            }
        )
    )
    return placed[~second].drop(columns=["code", "own"]).reset_index(drop=True)


def _income_units(bea: pd.DataFrame, combined: pd.DataFrame, dropped: list[pd.DataFrame]) -> pd.DataFrame:
    """Give members of BEA's combined areas the area's income; other codes to units."""
    members = bea.merge(combined[["bea_fips", "county_fips"]], on="bea_fips").assign(combined=True)
    alone = bea[~bea["bea_fips"].isin(combined["bea_fips"])].dropna(subset=["income_per_capita"])
    alone = alone.assign(county_fips=alone["bea_fips"], combined=False)
    both = pd.concat([members, alone], ignore_index=True)
    unit = harmonise(both["county_fips"], warn=False)
    placed = _drop(both, unit, "income", dropped, "no harmonised county").assign(code=both["county_fips"])
    placed["own"] = placed["code"] == placed["county_fips"]
    placed = placed.sort_values(["county_fips", "year", "combined", "own"], ascending=[True, True, False, False])
    second = placed.duplicated(["county_fips", "year"])
    gone = placed.loc[second, "code"].value_counts().sort_index()
    dropped.append(
        pd.DataFrame(
            {
                "table": "income",
                "code": gone.index,
                "rows": gone.to_numpy(),
                "reason": "merged into a county with its own row",
            }
        )
    )
    return placed.loc[~second, ["county_fips", "year", "income_per_capita", "bea_fips", "combined"]]
