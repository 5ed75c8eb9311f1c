"""Resolved rows and historical spells → the released tables of the room and their ``qa`` companions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from g287stats import catalog
from g287stats.agreements import spells
from g287stats.agreements.history import FIRST_LIST
from g287stats.agreements.identity import Counties, FbiAgencies, Fixes, classify, locate, name_key
from g287stats.agreements.memoranda import Signings, with_memoranda
from g287stats.agreements.record import Interruption, Record, fold, verdict
from g287stats.agreements.rosters import PrintedList
from g287stats.agreements.spells import lines
from g287stats.errors import DataWarning, Problems, SourceError, caution


def assemble(
    lists: pd.DataFrame,
    rows: pd.DataFrame,
    pending_lists: pd.DataFrame,
    pending_rows: pd.DataFrame,
    past: pd.DataFrame,
    fixes: Fixes,
    counties: Counties,
    fbi: FbiAgencies,
) -> dict[str, pd.DataFrame]:
    """Return every table of the room by name.

    ``lists`` and ``pending_lists`` are captured lists in order (``seq``), ``rows`` and ``pending_rows`` their
    resolved lines, ``past`` the historical spells.
    """
    check_dates(rows, lists)
    rows = spells.mark_doubled(rows)
    doubled = rows[rows["slot"].str.startswith("line")]
    agencies = _agencies(rows, lists, pending_rows, pending_lists, past, fixes, counties, fbi)
    record = fold(spells.captured_lists(rows, lists))
    agreements, dates = agreements_table(record, past, agencies, fixes.signings)
    presence = presence_table(record, agreements)
    applications, pending_presence, pending_doubled = _applications(pending_rows, pending_lists, agreements, agencies)
    every = pd.concat([lists, pending_lists], ignore_index=True)
    sizes = pd.concat([rows, pending_rows]).groupby("table").size()
    every["table_rows"] = every["table"].map(sizes).fillna(0).astype(int)
    no_county = agencies["county_fips"].eq("") & ~agencies["jurisdiction"].isin(("state", "territory"))
    if no_county.any():
        caution(
            f"{no_county.sum()} of {agencies['jurisdiction'].ne('state').sum()} non-state agencies have no county: "
            f"{', '.join(agencies.loc[no_county, 'agency_id'].head(8))}. Listed in data/qa/agency_counties.csv; "
            "add rows with evidence to data/fixes/agency_counties.csv",
            DataWarning,
        )
    tables = {
        "agreements": agreements,
        "agencies": agencies,
        "applications": applications,
        "ice_lists": every,
        "list_presence": pd.concat([presence, pending_presence], ignore_index=True),
        "qa_exits": exits_table(record, agreements, lists),
        "qa_list_counts": list_counts(lists, doubled, presence, sizes),
        "qa_signing_dates": dates,
        "qa_interruptions": interruptions_table(record),
        "qa_doubled_rows": pd.concat([doubled.assign(kind="participating"), pending_doubled.assign(kind="pending")]),
        "qa_agency_counties": agencies[agencies["conflict"].ne("") | no_county],
        "qa_agency_spellings": _spellings(rows, lists, pending_rows, pending_lists),
    }
    return {name: declared(name, frame) for name, frame in tables.items()}


def declared(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of ``frame`` that the table ``name`` declares."""
    return frame[[f["name"] for f in catalog.schema(name)["schema"]["fields"]]]


def check_dates(rows: pd.DataFrame, lists: pd.DataFrame) -> None:
    """Raise if a table holds a signing date after the first day it was printed."""
    first = lists.groupby("table")["list_date"].min()
    late = rows[rows["signed_date"] > rows["table"].map(first)]
    problems = Problems("signing dates")
    if len(late):
        problems.add(
            "signed after the day of the list",
            [f"{r.table} row {r.row}: {r.agency_printed} {r.signed_date:%Y-%m-%d}" for r in late.itertuples()],
            "The list is older than its name says, or the date needs a row in data/fixes/signed_dates.csv",
        )
    problems.raise_if_any(SourceError)


def _seen(rows: pd.DataFrame, lists: pd.DataFrame) -> pd.DataFrame:
    """Attach to each row the first and last list number and day of its table."""
    by = lists.groupby("table").agg(
        first_seq=("seq", "min"), last_seq=("seq", "max"), first=("list_date", "min"), last=("list_date", "max")
    )
    return rows.join(by, on="table")


# --- agencies -------------------------------------------------------------------------------------------------


def _agencies(
    rows: pd.DataFrame,
    lists: pd.DataFrame,
    pending_rows: pd.DataFrame,
    pending_lists: pd.DataFrame,
    past: pd.DataFrame,
    fixes: Fixes,
    counties: Counties,
    fbi: FbiAgencies,
) -> pd.DataFrame:
    """One row an agency ever listed, pending or in the historical record: kind, place, ORI and how found."""
    printed = pd.concat(
        [_seen(pending_rows, pending_lists).assign(rank=0), _seen(rows, lists).assign(rank=1)]
    ).sort_values(["rank", "last", "table", "row"], kind="stable")
    history = past.groupby("agency_id").first()
    listed = set(rows["agency_id"])
    records = []
    groups: dict[Any, Any] = dict(iter(printed.groupby("agency_id", sort=True)))
    for identifier in sorted(set(groups) | set(history.index)):
        group = groups.get(identifier)
        before: Any = history.loc[identifier] if identifier in history.index else None
        name = group["agency"].iloc[-1] if group is not None else before["agency"]
        state = group["state"].iloc[-1] if group is not None else before["state"]
        types = [t for t in group["type_printed"] if t not in NO_TYPE] if group is not None else ["State"]
        cells = list(dict.fromkeys(reversed(group["county_printed"].tolist())))[::-1] if group is not None else []
        kind = classify(name_key(name), types[-1] if types else "")
        home = before["county_fips"] if before is not None else ""
        records.append(
            agency_row(identifier, state, name, kind, cells, home, fixes, counties, fbi)
            | {
                "cells": "; ".join(c for c in cells if c),
                "ever_listed": identifier in listed,
                "in_history": before is not None,
                "spellings": group["agency_printed"].nunique() if group is not None else 0,
            }
        )
    return pd.DataFrame(records)


NO_TYPE = ("", "#NA")
TERRITORIES = ("AS", "GU", "MP", "PR", "VI")


def agency_row(
    identifier: str,
    state: str,
    name: str,
    kind: tuple[str, str],
    cells: list[str],
    home: str,
    fixes: Fixes,
    counties: Counties,
    fbi: FbiAgencies,
) -> dict[str, Any]:
    """Place one agency: ``kind`` is its type and jurisdiction, ``cells`` the county cells printed, the latest last.

    ``home`` is the county of the historical record, which stands where ICE prints none.
    """
    agency_type, where = kind
    place = locate(identifier, state, name_key(name), agency_type, where, cells, fixes, counties, fbi)
    fips, basis = place.county_fips, place.basis
    if home and where != "state":
        if fips and fips.split(";")[0] != home.split(";")[0]:
            place = place._replace(conflict="historical record disagrees")
        if not fips or basis == "FBI agency list" or place.printed == "":
            fips, basis = home, "historical record"
    if where == "state" and state in TERRITORIES:
        where = "territory"
    ori = fixes.oris.get(identifier, place.ori)
    staff = fbi.staff.get(ori)
    return {
        "agency_id": identifier,
        "agency": name,
        "agency_type": agency_type,
        "jurisdiction": where,
        "state": state,
        "county_fips": fips,
        "county_name": counties.names(fips),
        "county_basis": basis,
        "ori": ori,
        "ori_basis": "correction table" if identifier in fixes.oris else "FBI agency list" if ori else "none",
        "residents": staff.population if staff else pd.NA,
        "officers": staff.officers if staff else pd.NA,
        "fbi_year": staff.year if staff else pd.NA,
        "county_printed": place.printed,
        "county_in_name": place.named,
        "county_fbi": place.fbi,
        "conflict": place.conflict,
    }


def _spellings(
    rows: pd.DataFrame, lists: pd.DataFrame, pending_rows: pd.DataFrame, pending_lists: pd.DataFrame
) -> pd.DataFrame:
    seen = pd.concat([_seen(rows, lists), _seen(pending_rows, pending_lists)])
    by = ["agency_id", "state_printed", "agency_printed", "alias"]
    out = seen.groupby(by).agg(first_seen=("first", "min"), last_seen=("last", "max"), tables=("table", "nunique"))
    return out.reset_index().rename(columns={"alias": "correction"})


# --- agreements -----------------------------------------------------------------------------------------------


def agreements_table(
    record: Record, past: pd.DataFrame, agencies: pd.DataFrame, signings: Signings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the spells of the lists joined to the historical record, and every other date printed for them.

    A historical agreement that stood on the first list is one spell with its listing: the first signing is the
    historical one and the dates printed later are re-signings. Rows carry ``spell``, its number in the record.
    """
    waiting = {(p["agency_id"], p["model"]): p for p in past.to_dict("records") if p["continues"]}
    records, changes = [], []
    for number, s in enumerate(record.spells):
        before = waiting.pop(s.key[:2], None) if s.first_seq == 1 else None
        spell, superseded = _spell(record, number, before)
        spell = with_memoranda(spell, signings)
        records.append(spell | _end(record, number, spell))
        for d, kind in [*((d, "corrected by ICE") for d in superseded), *((d, "re-signed") for d in spell["again"])]:
            changes.append(
                {
                    "agency_id": s.key[0],
                    "model": s.key[1],
                    "signed_date": spell["signed_date"],
                    "other_date": d,
                    "kind": kind,
                    "first_listed": record.day[s.first_seq],
                }
            )
    if waiting:
        problems = Problems("historical records")
        problems.add(f"said to stand on the list of {FIRST_LIST:%Y-%m-%d}, but do not", [" ".join(k) for k in waiting])
        problems.raise_if_any(SourceError)
    for early in past[~past["continues"]].to_dict("records"):
        p = with_memoranda(early, signings)
        records.append(
            p
            | {
                "slot": "",
                "spell": -1,
                "first_seq": 0,
                "last_seq": 0,
                "first_listed": pd.NaT,
                "last_listed": p["end_not_before"],
                "gone_by": p["end_by"],
                "exit": "real" if pd.notna(p["ended_date"]) or pd.notna(p["end_by"]) else "",
            }
        )
    columns = ["agency_id", "model", "signed_date", "other_date", "kind", "first_listed"]
    return _finish(pd.DataFrame(records), record, agencies), pd.DataFrame(changes, columns=columns)


def _spell(record: Record, number: int, before: dict[Any, Any] | None) -> tuple[dict[str, Any], list[Any]]:
    """Return one listed agreement without its end, and the dates ICE corrected."""
    s = record.spells[number]
    agency, model, slot = s.key
    censored = s.first_seq == 1
    printed = [run.line.signed_date for run in s.runs]
    signed, again, superseded = spells.first_signing(printed, record.linked(number))
    changed = not censored and signed > record.day[s.first_seq]
    out: dict[str, Any] = {
        "agency_id": agency,
        "model": model,
        "slot": slot,
        "spell": number,
        "first_seq": s.first_seq,
        "last_seq": record.last_seq(number),
        "signed_date": signed,
        "signed_precision": "day",
        "signed_not_before": pd.NaT,
        "signed_basis": "ICE list, re-dated after listing" if changed else "ICE list",
        "resigned": again,
        "again": again,
        "moa_id": "",
        "first_listed": pd.NaT if censored else record.day[s.first_seq],
        "last_listed": record.day[record.last_seq(number)],
        "ended_date": pd.NaT,
        "end_not_before": pd.NaT,
        "end_by": pd.NaT,
        "confidence": "high",
        "sources": "ICE lists",
    }
    if before is not None:
        every = sorted({*before["resigned"], *(d for d in printed if d > before["signed_date"])})
        out |= {
            k: before[k]
            for k in ("signed_date", "signed_precision", "signed_not_before", "signed_basis", "moa_id", "confidence")
        }
        sources = "ICE lists" if before["sources"] == "ICE lists" else f"{before['sources']}; ICE lists"
        out |= {"resigned": every, "sources": sources}
    elif censored and model == "JEM":
        out |= {"confidence": "medium", "signed_basis": "ICE list; no earlier signing found"}
    return out, superseded


_END_BASIS = {
    "real": "gone from ICE's lists",
    "re-dated": "superseded by the same model's other listing",
    "corrected": "listing withdrawn by ICE",
    "artefact": "second line removed by ICE",
}


def _end(record: Record, number: int, spell: dict[str, Any]) -> dict[str, Any]:
    """Return when and how a listed agreement left the lists."""
    last = record.spells[number].last_seq
    if last is None:
        return {"gone_by": pd.NaT, "exit": "", "end_basis": ""}
    event = next(e for e in reversed(record.exits) if e.spell == number and e.after is None)
    found = verdict(event, record)
    return {
        "gone_by": record.day[last + 1],
        "exit": found.exit,
        "end_basis": _END_BASIS[found.exit],
        "confidence": spell["confidence"] if found.linked else "medium",
    }


def _finish(spells_: pd.DataFrame, record: Record, agencies: pd.DataFrame) -> pd.DataFrame:
    """Add identifiers, the agency's columns and how precisely the end of each spell is known."""
    out = spells_.sort_values(["agency_id", "model", "signed_date", "first_seq"], kind="stable").reset_index(drop=True)
    out["listed_from"] = out["first_seq"].map(record.day)
    out["agreement_id"] = out["agency_id"] + "." + out["model"] + "." + out["signed_date"].dt.strftime("%Y-%m-%d")
    second = out["slot"].ne("")
    main = out[~second & out["last_seq"].gt(0)]
    out["duplicate_of"] = ""
    label: Any
    for label in out.index[second]:
        r: Any = out.loc[label]
        same = main[main["agency_id"].eq(r["agency_id"]) & main["model"].eq(r["model"])]
        same = same[same["first_seq"].le(r["first_seq"]) & same["last_seq"].ge(r["first_seq"])]
        out.loc[label, "duplicate_of"] = same["agreement_id"].iloc[0]
    out.loc[second, "agreement_id"] += "." + out.loc[second, "slot"]
    out["moa_id"] = out["moa_id"].where(out["moa_id"].ne(""), out["agreement_id"])
    for column in ("signed_agency", "signed_ice", "expires"):
        out[column] = pd.to_datetime(out[column]) if column in out else pd.NaT
    out["moa_dates"] = [";".join(f"{d:%Y-%m-%d}" for d in ds) for ds in out["moa_dates"]]
    out["resigned_dates"] = [";".join(f"{d:%Y-%m-%d}" for d in ds) for ds in out["resigned"]]
    out["end_precision"] = "open"
    out.loc[out["gone_by"].notna(), "end_precision"] = "window"
    out.loc[out["ended_date"].notna(), "end_precision"] = "day"
    blank = out["ended_date"].isna() & out["end_by"].notna() & out["end_basis"].eq("")
    out.loc[blank, "end_basis"] = "absent from the next ICE list in hand"
    keep = ["agency_id", "agency", "agency_type", "jurisdiction", "state", "county_fips", "county_name", "ori"]
    out = out.drop(columns=[c for c in keep[1:] if c in out])
    return out.merge(agencies[keep], on="agency_id", how="left", validate="many_to_one")


def presence_table(record: Record, agreements: pd.DataFrame) -> pd.DataFrame:
    """Runs of lists on which each agreement is printed, in each printed form."""
    name = dict(zip(agreements["spell"], agreements["agreement_id"]))
    rows = [
        {
            "kind": "participating",
            "record_id": name[number],
            "first_seq": run.first_seq,
            "last_seq": last,
            "state_printed": run.line.state_printed,
            "agency_printed": run.line.agency_printed,
            "county_printed": run.line.county_printed,
            "signed_printed": run.line.signed_printed,
            "signed_date": run.line.signed_date,
            "linked": record.linked(number, by=last),
        }
        for number, run, last in record.runs()
    ]
    return pd.DataFrame(rows)


def list_counts(lists: pd.DataFrame, doubled: pd.DataFrame, presence: pd.DataFrame, sizes: pd.Series) -> pd.DataFrame:
    """Every captured list: lines printed, lines of its table, agreements here, and what makes the difference."""
    twice = doubled.groupby("table")["agency_printed"].agg(lambda names: "; ".join(sorted(set(names))))
    out = lists.assign(table_rows=lists["table"].map(sizes))
    steps = np.zeros(int(out["seq"].max()) + 2, int)
    np.add.at(steps, presence["first_seq"].to_numpy(int), 1)
    np.add.at(steps, presence["last_seq"].to_numpy(int) + 1, -1)
    out = out.assign(agreements=np.cumsum(steps)[out["seq"].to_numpy(int)])
    explained = []
    for r in lines(out):
        why = []
        if r.printed_rows == 2 * r.table_rows:
            why.append("the record of this capture counts every line twice")
        elif r.printed_rows == r.table_rows + 1:
            why.append("the record of this capture counts a blank line")
        elif r.printed_rows != r.table_rows:
            why.append("UNEXPLAINED: printed lines differ from the table")
        if r.table in twice.index:
            why.append(f"one agreement on two lines, both counted as ICE does: {twice[r.table]}")
        if r.table_rows != r.agreements:
            why.append("UNEXPLAINED: agreements differ from the table")
        explained.append("; ".join(why))
    return out.assign(difference=out["printed_rows"] - out["agreements"], explanation=explained)


def exits_table(record: Record, agreements: pd.DataFrame, lists: pd.DataFrame) -> pd.DataFrame:
    """Every disappearance of a printed line with its verdict and the pair of lists that shows it."""
    name = dict(zip(agreements["spell"], agreements["agreement_id"]))
    file = dict(zip(lists["seq"], lists["file"]))
    rows = [
        verdict(e, record)._asdict()
        | {
            "agreement_id": name[e.spell],
            "state_printed": e.line.state_printed,
            "agency_printed": e.line.agency_printed,
            "model": e.line.model,
            "signed_printed": e.line.signed_printed,
            "last_list": record.day[e.last_seq],
            "last_file": file[e.last_seq],
            "gone_list": record.day[e.last_seq + 1],
            "gone_file": file[e.last_seq + 1],
        }
        for e in record.exits
    ]
    return pd.DataFrame(rows)


def interruptions_table(record: Record) -> pd.DataFrame:
    """Every agreement left out of some lists and printed again as the same, with the days and how it was read."""
    rows = [
        i._asdict()
        | {
            "last_list": record.day[i.last_seq],
            "absent_from": record.day[i.last_seq + 1],
            "back_on": record.day[i.back_seq],
            "lists_missed": i.back_seq - i.last_seq - 1,
            "reading": "omitted: same signing date" if i.same_date else "re-signed",
        }
        for i in record.interruptions
    ]
    columns = [*Interruption._fields, "last_list", "absent_from", "back_on", "lists_missed", "reading"]
    return pd.DataFrame(rows, columns=columns)


# --- pending --------------------------------------------------------------------------------------------------


def _applications(
    rows: pd.DataFrame, lists: pd.DataFrame, agreements: pd.DataFrame, agencies: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Pending lines → one application per agency and model (two where an agreement was listed in between)."""
    rows = rows.sort_values(["table", "agency_id", "model", "row"], kind="stable")
    twice = rows.duplicated(["table", "agency_id", "model"])
    doubled, rows = rows[twice], rows[~twice]
    day = lists.set_index("seq")["list_date"]
    last_seq = int(lists["seq"].max())
    runs = spells.presence(rows, lists, ["agency_id", "model"])
    by_key = _by_agency_and_model(agreements)
    records: list[dict[str, Any]] = []
    for key, group in runs.groupby(["agency_id", "model"], sort=True):
        starts = [spell.listed_from for spell in by_key.get(key, ())]
        current: dict[str, Any] | None = None
        for run in lines(group):
            first, last = day[run.first_seq], day[run.last_seq]
            if current and not any(current["last_pending"] <= s < first for s in starts):
                current |= {"last_pending": last, "last_seq": run.last_seq}
                current["lists"] += int(run.last_seq) - int(run.first_seq) + 1
                continue
            current = {
                "agency_id": key[0],
                "model": key[1],
                "first_pending": first,
                "last_pending": last,
                "first_seq": run.first_seq,
                "last_seq": run.last_seq,
                "lists": run.last_seq - run.first_seq + 1,
            }
            records.append(current)
    out = pd.DataFrame(records)
    out["application_id"] = (
        out["agency_id"] + "." + out["model"].replace("", "none") + "." + out["first_pending"].dt.strftime("%Y-%m-%d")
    )
    out["gone_by"] = [day[s + 1] if s < last_seq else pd.NaT for s in out["last_seq"]]
    out = with_outcomes(out, agreements, agencies)
    forms = spells.presence(rows, lists, ["agency_id", "model", "state_printed", "agency_printed", "county_printed"])
    forms = forms.merge(
        out[["application_id", "agency_id", "model", "first_seq", "last_seq"]],
        on=["agency_id", "model"],
        suffixes=("", "_spell"),
    )
    forms = forms[(forms["first_seq"] >= forms["first_seq_spell"]) & (forms["last_seq"] <= forms["last_seq_spell"])]
    forms = forms.assign(
        kind="pending", signed_printed="", signed_date=pd.Series(pd.NaT, index=forms.index), linked=False
    )
    return out, forms.rename(columns={"application_id": "record_id"}), doubled


def with_outcomes(applications: pd.DataFrame, agreements: pd.DataFrame, agencies: pd.DataFrame) -> pd.DataFrame:
    """Say of every application how it ended, and where its agency is."""
    by_key = _by_agency_and_model(agreements)
    keep = ["agency", "agency_type", "jurisdiction", "state", "county_fips", "ori"]
    out = applications.drop(columns=[c for c in [*keep, "outcome", "agreement_id", "signed_date"] if c in applications])
    found = [_outcome(r, by_key.get((r.agency_id, r.model), [])) for r in lines(out)]
    out[["outcome", "agreement_id", "signed_date"]] = pd.DataFrame(found, index=out.index)
    return out.merge(agencies[["agency_id", *keep]], on="agency_id", how="left", validate="many_to_one")


def _by_agency_and_model(agreements: pd.DataFrame) -> dict[tuple[str, str], list[Any]]:
    by_key: dict[tuple[str, str], list[Any]] = {}
    for spell in lines(agreements[agreements["last_seq"] > 0].sort_values(["listed_from", "agreement_id"])):
        by_key.setdefault((spell.agency_id, spell.model), []).append(spell)
    return by_key


def _outcome(application: Any, agreements: list[Any]) -> tuple[str, str, Any]:
    """How an application ended: an agreement of the same model listed at or after it, still pending, or left."""
    week, half_year = pd.Timedelta(days=7), pd.Timedelta(days=180)
    for spell in agreements:
        listed_after = spell.listed_from >= application.first_pending - week
        if listed_after and spell.signed_date >= application.first_pending - half_year:
            return "signed", spell.agreement_id, spell.signed_date
    return ("pending" if pd.isna(application.gone_by) else "left the list"), "", pd.NaT


# --- repairs --------------------------------------------------------------------------------------------------


def repairs_table(rows: pd.DataFrame, pending_rows: pd.DataFrame, tables: dict[str, PrintedList]) -> pd.DataFrame:
    """Every repair made in reading, once per distinct cell, with the number of lines and the first of them."""
    out: list[tuple[Any, ...]] = []
    both = pd.concat([rows.assign(kind="participating"), pending_rows.assign(kind="pending")])
    both = both[both["repair"].ne("")]
    for (kind, repair), group in both.groupby(["kind", "repair"]):
        first = group.sort_values(["table", "row"]).iloc[0]
        out.append((kind, repair, len(group), first["table"], first["row"]))
    out += [(table.kind, r, 1, name, pd.NA) for name, table in tables.items() for r in table.repairs]
    return pd.DataFrame(out, columns=["kind", "repair", "lines", "first_table", "first_row"])
