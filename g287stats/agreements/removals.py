"""ICE's 287(g) identifications and removals by agency and fiscal year, 2006–2013: the dose of the programme."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from g287stats import catalog
from g287stats.agreements.identity import Fixes, agency_id
from g287stats.agreements.spells import lines
from g287stats.errors import IdentityError, Problems, SourceError

COLUMNS = ["state", "agency", "fiscal_year", "identified", "removed", "footnoted"]


def build(sources: Path, out: Path, fixes: Fixes, agencies: pd.DataFrame) -> Path:
    """Write ``removals`` into ``out``: one row an agency and fiscal year, matched to ``agencies``.

    Raises :class:`IdentityError` naming the agencies that match none.
    """
    path = sources / "agreements" / "ice_removals_by_agency_fy2006_2013.csv"
    raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(raw.columns) != COLUMNS:
        raise SourceError(f"{path.name}: columns are {list(raw.columns)}; expected {COLUMNS}")
    where = agencies.set_index("agency_id")
    records, problems = [], Problems(path.name)
    unknown = []
    for r in lines(raw):
        alias = fixes.agency(r.state, r.agency)
        name = agency_id(alias.state, alias.agency)
        if name not in where.index:
            unknown.append(f"{r.state} {r.agency}")
            continue
        year = int(r.fiscal_year)
        records.append(
            {
                "agency_id": name,
                "agency": where.at[name, "agency"],
                "agency_printed": r.agency,
                "agency_type": where.at[name, "agency_type"],
                "jurisdiction": where.at[name, "jurisdiction"],
                "state": alias.state,
                "county_fips": where.at[name, "county_fips"],
                "fiscal_year": year,
                "start_date": pd.Timestamp(year - 1, 10, 1),
                "end_date": pd.Timestamp(year, 9, 30),
                "identified": int(r.identified) if r.identified else pd.NA,
                "removed": int(r.removed) if r.removed else pd.NA,
                "footnoted": r.footnoted == "TRUE",
            }
        )
    if unknown:
        problems.add("agencies match none of ours", dict.fromkeys(unknown), "Add them to data/fixes/agency_aliases.csv")
    problems.raise_if_any(IdentityError)
    columns = [f["name"] for f in catalog.schema("removals")["schema"]["fields"]]
    return catalog.write_released(pd.DataFrame(records, columns=columns), "removals", out)


def load_removals(folder: Path | None = None) -> pd.DataFrame:
    """Load identifications and removals by agency and federal fiscal year (1 October to 30 September).

    A blank count is missing: neither zero nor proof that there was no agreement.
    """
    return catalog.read_released("removals", folder)


def apportion_removals(removals: pd.DataFrame, freq: str = "Y") -> pd.DataFrame:
    """Spread fiscal-year counts over calendar periods in proportion to days.

    This assumes an even flow within each fiscal year; the source has no finer dates. ``freq`` is ``"Y"``, ``"Q"`` or
    ``"M"``. Returns one row an agency and period with ``identified`` and ``removed`` (numbers, no longer whole) and
    ``days_covered``, the share of the period's days that fall in the fiscal years in hand. A period with a day in
    a fiscal year whose count is missing has a missing count.
    """
    if freq not in ("Y", "Q", "M"):
        raise ValueError(f"freq={freq!r}; use 'Y', 'Q' or 'M'")
    parts = []
    for r in lines(removals):
        total = (r.end_date - r.start_date).days + 1
        for period in pd.period_range(r.start_date, r.end_date, freq=freq):
            first = max(period.start_time.normalize(), r.start_date)
            last = min(period.end_time.normalize(), r.end_date)
            days = (last - first).days + 1
            share = days / total
            parts.append(
                {
                    "agency_id": r.agency_id,
                    "state": r.state,
                    "county_fips": r.county_fips,
                    "period": period,
                    "identified": float("nan") if pd.isna(r.identified) else r.identified * share,
                    "removed": float("nan") if pd.isna(r.removed) else r.removed * share,
                    "days_covered": days / ((period.end_time.normalize() - period.start_time).days + 1),
                }
            )
    frame = pd.DataFrame(parts)
    keys = ["agency_id", "state", "county_fips", "period"]
    grouped = frame.groupby(keys, dropna=False, sort=True)
    out = grouped[["identified", "removed"]].agg(lambda v: v.sum(skipna=False))
    return out.assign(days_covered=grouped["days_covered"].sum()).reset_index()
