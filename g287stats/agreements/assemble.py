"""Resolved rows and historical spells → the released tables of the room and their ``qa`` companions."""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd

from g287stats import catalog
from g287stats.agreements import spells
from g287stats.agreements.history import FIRST_LIST
from g287stats.agreements.identity import Counties, FbiAgencies, Fixes, classify, locate, name_key
from g287stats.agreements.rosters import PrintedList
from g287stats.agreements.spells import lines
from g287stats.errors import DataWarning, Problems, SourceError


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
    listed, interruptions = spells.listed_spells(rows, lists)
    exits = spells.adjudicate(spells.printed_exits(rows, lists), listed, rows, lists)
    agreements, dates = _join_history(listed, past, lists)
    agreements = _finish(agreements, agencies, exits, lists)
    presence = _presence(rows, lists, agreements)
    applications, pending_presence, pending_doubled = _applications(pending_rows, pending_lists, agreements, agencies)
    every = pd.concat([lists, pending_lists], ignore_index=True)
    sizes = pd.concat([rows, pending_rows]).groupby("table").size()
    every["table_rows"] = every["table"].map(sizes).fillna(0).astype(int)
    no_county = agencies["county_fips"].eq("") & agencies["jurisdiction"].ne("state")
    if no_county.any():
        warnings.warn(
            f"{no_county.sum()} of {agencies['jurisdiction'].ne('state').sum()} non-state agencies have no county: "
            f"{', '.join(agencies.loc[no_county, 'agency_id'].head(8))}. Listed in data/qa/agency_counties.csv; "
            "add rows with evidence to data/fixes/agency_counties.csv",
            DataWarning,
            stacklevel=3,
        )
    tables = {
        "agreements": agreements,
        "agencies": agencies,
        "applications": applications,
        "ice_lists": every,
        "list_presence": pd.concat([presence, pending_presence], ignore_index=True),
        "qa_exits": _exits_table(exits, lists, agreements),
        "qa_list_counts": _list_counts(lists, doubled, presence, sizes),
        "qa_signing_dates": dates,
        "qa_interruptions": _interruptions_table(interruptions, lists),
        "qa_doubled_rows": pd.concat([doubled.assign(kind="participating"), pending_doubled.assign(kind="pending")]),
        "qa_agency_counties": agencies[agencies["conflict"].ne("") | no_county],
        "qa_agency_spellings": _spellings(rows, lists, pending_rows, pending_lists),
    }
    return {name: frame[_declared(name)] for name, frame in tables.items()}


def _declared(name: str) -> list[str]:
    return [f["name"] for f in catalog.schema(name)["schema"]["fields"]]


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
    printed = pd.concat([
        _seen(pending_rows, pending_lists).assign(rank=0), _seen(rows, lists).assign(rank=1)
    ]).sort_values(["rank", "last", "table", "row"], kind="stable")  # fmt: skip
    history = past.groupby("agency_id").first()
    listed = set(rows["agency_id"])
    records = []
    groups: dict[Any, Any] = dict(iter(printed.groupby("agency_id", sort=True)))
    for identifier in sorted(set(groups) | set(history.index)):
        group = groups.get(identifier)
        before: Any = history.loc[identifier] if identifier in history.index else None
        name = group["agency"].iloc[-1] if group is not None else before["agency"]
        state = group["state"].iloc[-1] if group is not None else before["state"]
        types = [t for t in group["type_printed"] if t not in ("", "#NA")] if group is not None else ["State"]
        kind, where = classify(name_key(name), types[-1] if types else "")
        cells = list(dict.fromkeys(reversed(group["county_printed"].tolist())))[::-1] if group is not None else []
        place = locate(identifier, state, name_key(name), kind, where, cells, fixes, counties, fbi)
        fips, basis = place.county_fips, place.basis
        if before is not None and before["county_fips"] and where != "state":
            if fips and fips.split(";")[0] != before["county_fips"].split(";")[0]:
                place = place._replace(conflict="historical record disagrees")
            if not fips or basis == "FBI agency list" or place.printed == "":
                fips, basis = before["county_fips"], "historical record"
        records.append({
            "agency_id": identifier, "agency": name, "agency_type": kind, "jurisdiction": where, "state": state,
            "county_fips": fips, "county_basis": basis, "ori": place.ori, "county_printed": place.printed,
            "county_in_name": place.named, "county_fbi": place.fbi, "conflict": place.conflict,
            "cells": "; ".join(c for c in cells if c),
            "ever_listed": identifier in listed, "in_history": before is not None,
            "spellings": group["agency_printed"].nunique() if group is not None else 0,
        })  # fmt: skip
    return pd.DataFrame(records)


def _spellings(
    rows: pd.DataFrame, lists: pd.DataFrame, pending_rows: pd.DataFrame, pending_lists: pd.DataFrame
) -> pd.DataFrame:
    seen = pd.concat([_seen(rows, lists), _seen(pending_rows, pending_lists)])
    by = ["agency_id", "state_printed", "agency_printed", "alias"]
    out = seen.groupby(by).agg(first_seen=("first", "min"), last_seen=("last", "max"), tables=("table", "nunique"))
    return out.reset_index().rename(columns={"alias": "correction"})


# --- agreements -----------------------------------------------------------------------------------------------


def _join_history(listed: pd.DataFrame, past: pd.DataFrame, lists: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join the spells of the lists to those of the historical record; return ``(spells, date changes)``.

    A historical agreement that stood on the first list is one spell with its listing: the first signing is the
    historical one and the dates printed later are re-signings.
    """
    day = lists.set_index("seq")["list_date"]
    waiting = {(p["agency_id"], p["model"]): p for p in past.to_dict("records") if p["continues"]}
    records, changes = [], []
    last_seq = int(lists["seq"].max())
    for s in lines(listed):
        censored = s.first_seq == 1
        before = waiting.pop((s.agency_id, s.model), None) if censored else None
        signed, again, superseded = spells.first_signing(s.dates, day[s.first_seq], censored)
        record: dict[str, Any] = {
            "agency_id": s.agency_id, "model": s.model, "slot": s.slot, "first_seq": s.first_seq,
            "last_seq": s.last_seq, "signed_date": signed, "signed_precision": "day",
            "signed_not_before": pd.NaT, "signed_basis": "ICE list", "resigned": again, "moa_id": "",
            "first_listed": pd.NaT if censored else day[s.first_seq], "last_listed": day[s.last_seq],
            "gone_by": day[s.last_seq + 1] if s.last_seq < last_seq else pd.NaT,
            "ended_date": pd.NaT, "end_not_before": pd.NaT, "end_by": pd.NaT, "end_basis": "",
            "confidence": "high", "sources": "ICE lists",
        }  # fmt: skip
        if before is not None:
            every = sorted({*before["resigned"], *(d for d in s.dates if d > before["signed_date"])})
            record |= {k: before[k] for k in ("signed_date", "signed_precision", "signed_not_before", "signed_basis",
                                              "moa_id", "confidence")}  # fmt: skip
            record |= {"resigned": every, "sources": f"{before['sources']}; ICE lists"}
        elif censored and s.model == "JEM":
            record |= {"confidence": "medium", "signed_basis": "ICE list; no earlier signing found"}
        records.append(record)
        for d, kind in [*((d, "corrected by ICE") for d in superseded), *((d, "re-signed") for d in again)]:
            changes.append({"agency_id": s.agency_id, "model": s.model, "signed_date": record["signed_date"],
                            "other_date": d, "kind": kind, "first_listed": day[s.first_seq]})  # fmt: skip
    if waiting:
        problems = Problems("historical records")
        problems.add(f"said to stand on the list of {FIRST_LIST:%Y-%m-%d}, but do not", [" ".join(k) for k in waiting])
        problems.raise_if_any(SourceError)
    for p in past[~past["continues"]].to_dict("records"):
        records.append({k: p[k] for k in records[0] if k in p} | {"slot": "", "first_seq": 0, "last_seq": 0})
    columns = ["agency_id", "model", "signed_date", "other_date", "kind", "first_listed"]
    return pd.DataFrame(records), pd.DataFrame(changes, columns=columns)


def _finish(agreements: pd.DataFrame, agencies: pd.DataFrame, exits: pd.DataFrame, lists: pd.DataFrame) -> pd.DataFrame:
    """Add identifiers, the agency's columns and the end of each spell."""
    out = agreements.sort_values(["agency_id", "model", "signed_date", "first_seq"], kind="stable").copy()
    day = out["signed_date"].dt.strftime("%Y-%m-%d")
    out["listed_from"] = out["first_seq"].map(lists.set_index("seq")["list_date"])
    out["agreement_id"] = out["agency_id"] + "." + out["model"] + "." + day
    second = out["slot"].str.startswith("line")
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
    out["resigned_dates"] = [";".join(f"{d:%Y-%m-%d}" for d in ds) for ds in out["resigned"]]
    final = exits[exits["ends_spell"]].set_index(["agency_id", "model", "slot", "last_seq"])
    final = final[~final.index.duplicated()]
    keys = list(zip(out["agency_id"], out["model"], out["slot"], out["last_seq"]))
    verdict: list[Any] = [final.at[k, "exit"] if k in final.index else "" for k in keys]
    linked = [bool(final.at[k, "linked"]) if k in final.index else True for k in keys]
    seen_gone = out["gone_by"].notna()
    past_window = out["ended_date"].isna() & out["end_by"].notna()
    out["exit"] = verdict
    out.loc[out["last_seq"].eq(0), "exit"] = "real"
    old = out["last_seq"].eq(0)
    out.loc[old, "last_listed"] = out.loc[old, "end_not_before"]
    out.loc[old, "gone_by"] = out.loc[old, "end_by"]
    out["end_precision"] = "open"
    out.loc[out["ended_date"].notna(), "end_precision"] = "day"
    out.loc[out["ended_date"].isna() & out["gone_by"].notna(), "end_precision"] = "window"
    basis = {"real": "gone from ICE's lists", "re-dated": "superseded by the same model's other listing",
             "corrected": "listing withdrawn by ICE", "artefact": "second line removed by ICE"}  # fmt: skip
    out.loc[seen_gone, "end_basis"] = [basis.get(v, v) for v, s in zip(verdict, seen_gone) if s]
    blank = past_window & out["end_basis"].eq("")
    out.loc[blank, "end_basis"] = "absent from the next ICE list in hand"
    out.loc[[s and not n for s, n in zip(seen_gone, linked)], "confidence"] = "medium"
    keep = ["agency_id", "agency", "agency_type", "jurisdiction", "state", "county_fips", "ori"]
    return out.merge(agencies[keep], on="agency_id", how="left", validate="many_to_one")


def _presence(rows: pd.DataFrame, lists: pd.DataFrame, agreements: pd.DataFrame) -> pd.DataFrame:
    """Runs of lists on which each agreement is printed, in each printed form."""
    by = ["agency_id", "model", "slot", "agency_printed", "county_printed", "signed_printed", "signed_date"]
    runs = spells.presence(rows, lists, by)
    owners = agreements[agreements["last_seq"] > 0][
        ["agreement_id", "agency_id", "model", "slot", "first_seq", "last_seq"]
    ]
    runs = runs.merge(owners, on=["agency_id", "model", "slot"], suffixes=("", "_spell"))
    runs = runs[(runs["first_seq"] >= runs["first_seq_spell"]) & (runs["last_seq"] <= runs["last_seq_spell"])]
    linked = spells.presence(rows[rows["linked"]], lists, ["agency_id", "model", "slot"])
    first = linked.groupby(["agency_id", "model", "slot"])["first_seq"].min().to_dict()
    keys = zip(runs["agency_id"], runs["model"], runs["slot"], runs["last_seq"])
    runs = runs.assign(linked=[first.get((a, m, s), n + 1) <= n for a, m, s, n in keys])
    return runs.assign(kind="participating").rename(columns={"agreement_id": "record_id"})


def _list_counts(lists: pd.DataFrame, doubled: pd.DataFrame, presence: pd.DataFrame, sizes: pd.Series) -> pd.DataFrame:
    """Every captured list: lines printed, lines of its table, agreements here, and what makes the difference."""
    twice = doubled.groupby("table")["agency_printed"].agg(lambda names: "; ".join(sorted(set(names))))
    out = lists.assign(table_rows=lists["table"].map(sizes))
    held: dict[int, set[str]] = {n: set() for n in out["seq"]}
    for record, first, last in lines(presence[["record_id", "first_seq", "last_seq"]]):
        for n in range(first, last + 1):
            held[n].add(record)
    out = out.assign(agreements=[len(held[n]) for n in out["seq"]])
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


def _exits_table(exits: pd.DataFrame, lists: pd.DataFrame, agreements: pd.DataFrame) -> pd.DataFrame:
    day, file = lists.set_index("seq")["list_date"], lists.set_index("seq")["file"]
    spans = agreements[agreements["last_seq"] > 0]
    owner: dict[tuple[str, str, str], list[tuple[int, int, str]]] = {}
    for r in lines(spans):
        owner.setdefault((r.agency_id, r.model, r.slot), []).append((r.first_seq, r.last_seq, r.agreement_id))
    found = [next(i for a, b, i in owner[e.agency_id, e.model, e.slot] if a <= e.last_seq <= b) for e in lines(exits)]
    return exits.assign(
        agreement_id=found,
        last_list=exits["last_seq"].map(day), last_file=exits["last_seq"].map(file),
        gone_list=(exits["last_seq"] + 1).map(day), gone_file=(exits["last_seq"] + 1).map(file),
    )  # fmt: skip


def _interruptions_table(interruptions: pd.DataFrame, lists: pd.DataFrame) -> pd.DataFrame:
    day = lists.set_index("seq")["list_date"]
    return interruptions.assign(
        last_list=interruptions["last_seq"].map(day), absent_from=(interruptions["last_seq"] + 1).map(day),
        back_on=interruptions["back_seq"].map(day),
        lists_missed=interruptions["back_seq"] - interruptions["last_seq"] - 1,
        reading=interruptions["same_date"].map({True: "omitted: same signing date", False: "re-signed"}),
    )  # fmt: skip


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
    by_key: dict[tuple[str, str], list[Any]] = {}
    for spell in lines(agreements[agreements["last_seq"] > 0].sort_values(["listed_from", "agreement_id"])):
        by_key.setdefault((spell.agency_id, spell.model), []).append(spell)
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
            current = {"agency_id": key[0], "model": key[1], "first_pending": first, "last_pending": last,
                       "first_seq": run.first_seq, "last_seq": run.last_seq,
                       "lists": run.last_seq - run.first_seq + 1}  # fmt: skip
            records.append(current)
    out = pd.DataFrame(records)
    out["application_id"] = (
        out["agency_id"] + "." + out["model"].replace("", "none") + "." + out["first_pending"].dt.strftime("%Y-%m-%d")
    )
    found = [_outcome(r, by_key.get((r.agency_id, r.model), []), last_seq) for r in lines(out)]
    out[["outcome", "agreement_id", "signed_date"]] = pd.DataFrame(found, index=out.index)
    out["gone_by"] = [day[s + 1] if s < last_seq else pd.NaT for s in out["last_seq"]]
    keep = ["agency_id", "agency", "agency_type", "jurisdiction", "state", "county_fips", "ori"]
    out = out.merge(agencies[keep], on="agency_id", how="left", validate="many_to_one")
    forms = spells.presence(rows, lists, ["agency_id", "model", "agency_printed", "county_printed"])
    forms = forms.merge(out[["application_id", "agency_id", "model", "first_seq", "last_seq"]],
                        on=["agency_id", "model"], suffixes=("", "_spell"))  # fmt: skip
    forms = forms[(forms["first_seq"] >= forms["first_seq_spell"]) & (forms["last_seq"] <= forms["last_seq_spell"])]
    forms = forms.assign(
        kind="pending", signed_printed="", signed_date=pd.Series(pd.NaT, index=forms.index), linked=False
    )
    return out, forms.rename(columns={"application_id": "record_id"}), doubled


def _outcome(application: Any, agreements: list[Any], last_seq: int) -> tuple[str, str, Any]:
    """How an application ended: an agreement of the same model listed at or after it, still pending, or left."""
    week, half_year = pd.Timedelta(days=7), pd.Timedelta(days=180)
    for spell in agreements:
        listed_after = spell.listed_from >= application.first_pending - week
        if listed_after and spell.signed_date >= application.first_pending - half_year:
            return "signed", spell.agreement_id, spell.signed_date
    return ("pending" if application.last_seq == last_seq else "left the list"), "", pd.NaT


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
