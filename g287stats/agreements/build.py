"""Build the agreement tables from the raw sources: ``build(sources, out)``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from g287stats import catalog
from g287stats.agreements import history, removals, spells
from g287stats.agreements.assemble import assemble, repairs_table
from g287stats.agreements.counts import read_counts
from g287stats.agreements.identity import Counties, FbiAgencies, Fixes, agency_id, name_key
from g287stats.agreements.rosters import PrintedList, clean, name_date, parse_date, read_list
from g287stats.agreements.spells import lines
from g287stats.errors import Problems, SourceError

LINKED = re.compile(r"link(?! pending)|https?:", re.IGNORECASE)


def build(sources: Path, out: Path) -> list[Path]:
    """Read ``sources/agreements`` and write the agreement tables and their ``qa/`` companions into ``out``.

    Writes agreements, agencies, applications, ice_lists, list_presence, removals and the qa tables of the room.
    Rebuilding from the same sources writes the same bytes. Raises :class:`SourceError` or :class:`IdentityError`
    listing every row that cannot be read; warns (:class:`DataWarning`) with the count of agencies without a county.
    """
    folder = sources / "agreements"
    fixes = Fixes.load(out / "fixes" if (out / "fixes" / "agency_aliases.csv").is_file() else None)
    counties = Counties(catalog.read_released("county_list", out if (out / "county_list.csv").is_file() else None))
    fbi_list = fbi_agencies(sources / "geography" / "fbi_agencies_latest.csv")
    fbi = FbiAgencies(fbi_list, counties)

    lists, tables = participating(folder, fixes)
    rows = resolve(tables, fixes, dated=True)
    pending_lists, pending_tables = pending(folder, fixes)
    pending_rows = resolve(pending_tables, fixes, dated=False)
    past, withheld = history.read_history(folder, fixes)
    result = assemble(lists, rows, pending_lists, pending_rows, past, fixes, counties, fbi)
    result["fbi_agencies"] = fbi_list
    result["ice_counts"] = read_counts(folder / "evidence" / "state_counts_after_2026_05_18.csv", fixes)
    result["qa_withheld"] = withheld
    result["qa_repairs"] = repairs_table(rows, pending_rows, tables | pending_tables)
    written = [catalog.write_released(result[name], name, out) for name in sorted(result)]
    return [*written, removals.build(sources, out, fixes, result["agencies"])]


def fbi_agencies(path: Path) -> pd.DataFrame:
    """Read the FBI's list of agencies: number, name, state, counties, kind, residents policed and officers."""
    raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    columns = {
        "ori": "ori",
        "pub_agency_name": "agency",
        "state_abbr": "state",
        "county_name": "counties",
        "agency_type_name": "kind",
        "data_year": "year",
        "population": "population",
        "officer_ct": "officers",
    }
    out = raw.reindex(columns=list(columns), fill_value="").rename(columns=columns)
    out["state"] = out["state"].replace("NB", "NE")
    for column in ("year", "population", "officers"):
        out[column] = pd.to_numeric(out[column]).astype("Int64")
    return out


# --- reading --------------------------------------------------------------------------------------------------


def participating(folder: Path, fixes: Fixes) -> tuple[pd.DataFrame, dict[str, PrintedList]]:
    """Read the record of captured lists and every distinct workbook behind it."""
    seen = pd.read_csv(folder / "list_observations.csv", dtype=str)
    lists = pd.DataFrame(
        {
            "kind": "participating",
            "list_date": pd.to_datetime(seen["list_date"]),
            "time": [name_date(f)[1] for f in seen["file"]],
            "file": seen["file"],
            "table": seen["same_table_as"],
            "printed_rows": seen["rows"].astype(int),
        }
    )
    problems = Problems("list_observations.csv")
    have = {p.name for p in (folder / "rosters").glob("*.xlsx")}
    absent = sorted(set(lists["table"]) - have)
    if absent:
        problems.add("workbooks are named but not in rosters/", absent)
    unseen = sorted(have - set(lists["table"]))
    if unseen:
        problems.add("workbooks in rosters/ are on no list day", unseen, "Add their row to list_observations.csv")
    problems.raise_if_any(SourceError)
    return spells.order_lists(lists), {t: read_list(folder / "rosters" / t) for t in sorted(set(lists["table"]))}


def pending(folder: Path, fixes: Fixes) -> tuple[pd.DataFrame, dict[str, PrintedList]]:
    """Read every pending sheet, dated by its name after corrections; those that are not pending are left out."""
    records, tables = [], {}
    problems = Problems("pending/")
    for path in sorted((folder / "pending").glob("*.xlsx")):
        day, time = name_date(path.name)
        corrected = fixes.list_dates.get(("pending", path.name))
        if corrected == "":
            continue  # listed in data/fixes/list_dates.csv with the reason
        if corrected:
            day = pd.Timestamp(corrected)
        if day is None:
            problems.add(f"{path.name}: no date in the name", [], "Add it to data/fixes/list_dates.csv")
            continue
        table = read_list(path, "pending")
        tables[path.name] = table
        records.append(
            {
                "kind": "pending",
                "list_date": day,
                "time": time,
                "file": path.name,
                "table": path.name,
                "printed_rows": len(table.rows),
            }
        )
    problems.raise_if_any(SourceError)
    return spells.order_lists(pd.DataFrame(records)), tables


def resolve(tables: dict[str, PrintedList], fixes: Fixes, dated: bool) -> pd.DataFrame:
    """Resolve printed rows to agency, model and signing date; raise with all unreadable cells at once.

    Columns: table, row, state_printed (USPS), agency_printed, county_printed, type_printed, signed_printed, linked,
    state, agency_id, agency, model, signed_date, alias (kind of name correction), repair.
    """
    raw = pd.concat([t.rows.assign(table=name) for name, t in tables.items() if len(t.rows)], ignore_index=True)
    problems = Problems("pending lists" if not dated else "participating lists")
    cache: dict[tuple[Any, ...], dict[str, Any]] = {}
    records = []
    bad: dict[str, list[str]] = {}
    columns = ["table", "row", "state", "agency", "type", "county", "model", "signed", "moa"]
    for table, row, state, agency, kind, county, model, signed, moa in lines(raw[columns]):
        key = (state, agency, model, signed if dated else "")
        if key not in cache:
            cache[key] = _resolve_one(*key, dated, fixes)
        one = cache[key]
        if one["problem"]:
            bad.setdefault(one["problem"], []).append(f"{table} row {row}")
        records.append(
            (table, row, clean(county), clean(kind), bool(LINKED.search(clean(moa))), *(one[c] for c in _RESOLVED))
        )
    for what, where in bad.items():
        problems.add(what, where, "Add a row with its evidence to data/fixes", show=3)
    problems.raise_if_any(SourceError)
    return pd.DataFrame(records, columns=["table", "row", "county_printed", "type_printed", "linked", *_RESOLVED])


_RESOLVED = (
    "state_printed",
    "agency_printed",
    "signed_printed",
    "state",
    "agency_id",
    "agency",
    "model",
    "signed_date",
    "alias",
    "repair",
)


def _resolve_one(state: Any, agency: Any, model: Any, signed: Any, dated: bool, fixes: Fixes) -> dict[str, Any]:
    """Resolve one distinct printed line; ``problem`` is empty when everything could be read."""
    problem, repairs = "", []
    usps = fixes.state(state)
    if usps is None:
        problem = f"state {clean(state)!r} is not known"
    elif clean(state).upper() in fixes.states:
        repairs.append(f"state {clean(state)!r} read as {usps}")
    code = fixes.model(model)
    if code is None:
        if dated or clean(model):
            problem = problem or f"model {clean(model)!r} was never seen"
        else:
            repairs.append("no model printed")
    elif clean(model) not in ("Jail Enforcement Model", "Task Force Model", "Warrant Service Officer"):
        repairs.append(f"model {clean(model)!r} read as {code}")
    if not clean(agency):
        problem = problem or "agency is blank"
    stamp: pd.Timestamp | None = None
    printed = ""
    if dated and usps and code:
        printed = signed.isoformat()[:10] if hasattr(signed, "isoformat") else clean(signed)
        fixed = fixes.dates.get((usps, name_key(agency), code, printed))
        if fixed:
            stamp = pd.Timestamp(fixed)
            repairs.append(f"signing date {printed!r} read as {fixed}")
        else:
            stamp, how = parse_date(signed)
            if stamp is None:
                problem = problem or f"signing date of {usps} {clean(agency)} cannot be read: {how}"
            elif how:
                repairs.append(how)
    alias = fixes.agency(usps or "", clean(agency), code or "", f"{stamp:%Y-%m-%d}" if stamp is not None else "")
    return {
        "state_printed": usps or "",
        "agency_printed": clean(agency),
        "signed_printed": printed,
        "state": alias.state,
        "agency_id": agency_id(alias.state, alias.agency),
        "agency": alias.agency,
        "model": code or "",
        "signed_date": stamp if stamp is not None else pd.NaT,
        "alias": alias.kind,
        "repair": "; ".join(repairs),
        "problem": problem,
    }
