"""Policies that meet the agreements: Secure Communities by county, state laws and federal programmes by date.

Both tables carry how far they are verified, and that status travels with them. The Secure Communities months are
facts of ICE's activation list of January 2013, taken through a research repository and not yet checked against
the list itself; months only, 41 counties absent (all of Alaska and Hawaii among them). The state events are dated
from secondary sources; fewer than half of the days are checked against the statute.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from g287stats.catalog import read_released, write_released
from g287stats.errors import Problems, SourceError
from g287stats.geography import STATES, harmonise, load_counties

SC_ENDED = pd.Period("2014-11", "M")  # announced 20 November 2014, replaced by the Priority Enforcement Program
SECURE_COMMUNITIES_END = "2014-11-20"
SC_RESTORED = pd.Period("2017-02", "M")  # Executive Order 13768 of 25 January 2017: first full month


def load_secure_communities() -> pd.DataFrame:
    """Return every harmonised county with its activation month under Secure Communities.

    Columns: ``county_fips``, ``month`` (monthly Period; missing where the source has none), ``status``
    (``unverified`` or ``absent from source``). A missing month is not "never activated": ICE declared the programme
    active everywhere on 22 January 2013.
    """
    table = read_released("secure_communities")
    months = dict(zip(table["county_fips"], table["month"]))
    status = dict(zip(table["county_fips"], table["status"]))
    out = load_counties()[["county_fips"]].copy()
    out["month"] = pd.PeriodIndex([months.get(c, pd.NaT) for c in out["county_fips"]], freq="M")
    out["status"] = out["county_fips"].map(status).fillna("absent from source")
    return out


def secure_communities_by_year(years: Iterable[int], restored: bool = True) -> pd.DataFrame:
    """Return months (0–12) of each year in which Secure Communities was active, by county.

    Active from the activation month through October 2014, and with ``restored`` again from February 2017 for every
    county (both federal dates are unverified events). Missing where the source has no month. Columns
    ``county_fips``, ``year``, ``months``.
    """
    counties = load_secure_communities()
    start = counties["month"]
    rows = []
    for year in sorted({int(y) for y in years}):
        active = pd.Series(0, index=counties.index)
        for month in pd.period_range(f"{year}-01", f"{year}-12", freq="M"):
            on = (start <= month) & (month < SC_ENDED)
            active += (on | (restored and month >= SC_RESTORED)).astype(int)
        months = active.where(start.notna()).astype("Int64")
        rows.append(pd.DataFrame({"county_fips": counties["county_fips"], "year": year, "months": months}))
    return pd.concat(rows, ignore_index=True).sort_values(["county_fips", "year"], ignore_index=True)


def load_policy_events(
    kinds: str | tuple[str, ...] | None = None, states: tuple[str, ...] | None = None, min_status: str = "unverified"
) -> pd.DataFrame:
    """Return dated state and federal policy events with their verification status.

    ``kinds`` and ``states`` select (``"US"`` is federal); ``min_status`` is ``"unverified"`` (all), ``"partly"``
    (at least the year agrees with an independent source) or ``"verified"``. Columns as in
    ``data/schema/state_policy_events.json``.
    """
    table = read_released("state_policy_events")
    order = ["unverified", "partly", "verified"]
    if min_status not in order:
        raise SourceError(f"min_status={min_status!r}: choose one of {order}")
    wanted = (kinds,) if isinstance(kinds, str) else kinds
    known = sorted(table["kind"].unique())
    if wanted is not None and set(wanted) - set(known):
        raise SourceError(f"no event is of kind {sorted(set(wanted) - set(known))}; kinds are {known}")
    keep = table["status"].map(order.index) >= order.index(min_status)
    if wanted is not None:
        keep &= table["kind"].isin(wanted)
    if states is not None:
        keep &= table["state"].isin(states)
    return table[keep].reset_index(drop=True)


# ---------------------------------------------------------------- build


def build(sources: Path, out: Path) -> list[Path]:
    """Build ``secure_communities`` and ``state_policy_events``."""
    folder = sources / "policies"
    return [
        write_released(
            read_secure_communities(folder / "secure_communities_county_month.csv"), "secure_communities", out
        ),
        write_released(read_events(folder / "state_policy_events_draft.csv"), "state_policy_events", out),
    ]


def read_secure_communities(path: Path) -> pd.DataFrame:
    """Parse ``fips, ym``; codes to units, the earlier month where two codes are one unit."""
    raw = pd.read_csv(path, dtype=str)
    problems = Problems(path.name)
    if list(raw.columns[:2]) != ["fips", "ym"]:
        raise SourceError(f"{path.name}: the columns are {list(raw.columns)}, not fips, ym")
    bad = ~raw["ym"].fillna("").str.fullmatch(r"20(08|09|10|11|12|13)-(0[1-9]|1[0-2])")
    if bad.any():
        problems.add("months that are no YYYY-MM of 2008–2013 in rows", (raw.index[bad] + 2).tolist())
    if raw["fips"].duplicated().any():
        problems.add("counties repeat", raw.loc[raw["fips"].duplicated(), "fips"].tolist())
    unit = harmonise(raw["fips"], warn=False)
    if unit.isna().any():
        problems.add("codes without a unit", raw.loc[unit.isna(), "fips"].tolist())
    problems.raise_if_any(SourceError)
    months = raw.assign(county_fips=unit).groupby("county_fips", as_index=False).agg(month=("ym", "min"))
    return months.assign(status="unverified")


_STATUS = (  # first pattern that fits the source's remark
    ("verified", r"^yes: (?!.*CONFLICTS)"),
    ("unverified", r"Urban dates"),
    ("partly", r"CONFLICTS|Urban|year only|statute text yes|effective date seen|signing date"),
    ("unverified", r"^no$"),
)
_CHECKED = {
    "no": "nothing checked",
    "year only": "year only",
    "yes: flsenate.gov": "signing and deadline on the state senate's site",
    "statute text yes, date no": "text of the statute, not its day",
    "yes: signing date; effective date CONFLICTS": "signing day; sources disagree on the effective day",
    "yes: billtrack50/jdkey": "signing, effective day and deadline on two bill trackers",
    "effective date seen (leginfo citation); signing date no": "effective day, not the signing day",
}


def _checked(remark: str) -> str:
    if "Urban dates" in remark:
        return "the Urban Institute dates the first public mandate earlier"
    return _CHECKED.get(remark, "year agrees with the Urban Institute's table of state policies")


_ALTERNATIVE = {("GA", "HB 1105"): "2024-07-01"}


def read_events(path: Path) -> pd.DataFrame:
    """Parse the draft of events; every remark on checking becomes a status."""
    raw = pd.read_csv(path, dtype=str)
    problems = Problems(path.name)
    for column in ("signed", "effective", "ended"):
        bad = raw[column].notna() & ~raw[column].fillna("").str.fullmatch(r"\d{4}-\d{2}-\d{2}")
        if bad.any():
            problems.add(f"{column} is no day in rows", (raw.index[bad] + 2).tolist())
    strange = sorted(set(raw["state"]) - set(STATES.values()) - {"US"})
    if strange:
        problems.add("states unknown", strange)
    remarks = raw["checked"].fillna("no")
    status = [next((s for s, pattern in _STATUS if re.search(pattern, r)), None) for r in remarks]
    unread = sorted({r for r, s in zip(remarks, status) if s is None})
    if unread:
        problems.add("remarks on checking that no rule reads", unread, "Add a pattern to policies._STATUS")
    problems.raise_if_any(SourceError)
    out = raw[["state", "kind", "name", "signed", "effective", "ended", "note"]].copy()
    for column in ("signed", "effective", "ended"):
        out[column] = pd.to_datetime(out[column])
    other = pd.Series([_ALTERNATIVE.get(k) for k in zip(out["state"], out["name"])], index=out.index, dtype="object")
    out["effective_alternative"] = pd.to_datetime(other)
    out["status"] = status
    out["checked"] = [_checked(r) for r in remarks]
    return out
