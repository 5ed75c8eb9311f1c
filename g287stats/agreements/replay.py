"""Released tables → the lists and the history they were made of, so that the same steps can be taken again.

``list_presence`` says who stood on which list in which words: with it a release can be folded over any prefix of its
lists (:meth:`Agreements.as_known`) or taken one list further (:func:`update_agreements`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from g287stats.agreements.history import COLUMNS, FIRST_LIST
from g287stats.agreements.identity import Fixes
from g287stats.agreements.record import CapturedList, Line

FROM_LISTS = ("ICE list", "ICE list, re-dated after listing", "ICE list; no earlier signing found")
"""``signed_basis`` of agreements whose first signing the lists alone give."""


def printed_lists(
    frame: pd.DataFrame, presence: pd.DataFrame, lists: pd.DataFrame, fixes: Fixes | None = None
) -> Iterator[CapturedList]:
    """Yield the participating lists of ``lists`` in order, with the lines ``presence`` says they print.

    With ``fixes`` the lines say which kind of name correction they need.
    """
    lists = lists[lists["kind"].eq("participating")].sort_values("seq")
    runs = presence[presence["kind"].eq("participating")]
    who = frame.set_index("agreement_id")[["agency_id", "model", "duplicate_of"]].astype(object)
    known = who.loc[runs["record_id"]]
    second = known["duplicate_of"].notna()
    slot = [r.rsplit(".", 1)[1] if s else "" for r, s in zip(runs["record_id"], second)]
    text = runs[["state_printed", "agency_printed", "county_printed", "signed_printed"]].fillna("").astype(object)
    begins: dict[int, list[Line]] = {}
    ends: dict[int, list[Line]] = {}
    cells = zip(
        known["agency_id"],
        known["model"],
        slot,
        text["state_printed"],
        text["agency_printed"],
        text["county_printed"],
        text["signed_printed"],
        runs["signed_date"],
        runs["linked"].astype(bool),
    )
    for (*words, linked), first, last in zip(cells, runs["first_seq"], runs["last_seq"]):
        line = Line(*words, linked=linked, alias="")  # type: ignore[misc, arg-type]
        if fixes is not None:
            signed = f"{line.signed_date:%Y-%m-%d}"
            line = line._replace(alias=fixes.agency(line.state_printed, line.agency_printed, line.model, signed).kind)
        begins.setdefault(first, []).append(line)
        ends.setdefault(last + 1, []).append(line)
    printed = CapturedList.of(0, pd.NaT, ())
    for seq, day in zip(lists["seq"], lists["list_date"]):
        if seq in begins or seq in ends:
            held = printed.lines.difference(ends.get(seq, ())).union(begins.get(seq, ()))
            printed = CapturedList.of(int(seq), day, held)
        yield replace(printed, seq=int(seq), day=day)


def history_of(frame: pd.DataFrame, presence: pd.DataFrame, until: pd.Timestamp | None = None) -> pd.DataFrame:
    """Return the historical spells behind ``frame`` (columns of :data:`history.COLUMNS`), as known at ``until``.

    Signings and ends after ``until`` are left out. Before the first list, what already stood on it is known from
    its own dates.
    """
    listed = frame["agreement_id"].isin(presence.loc[presence["kind"].eq("participating"), "record_id"])
    before_lists = until is not None and until < FIRST_LIST
    wanted = ~listed | (frame["first_listed"].isna() & ~frame["signed_basis"].isin(FROM_LISTS))
    if before_lists:
        wanted |= frame["first_listed"].isna()
    rows = []
    for r, continues in zip(frame[wanted].to_dict("records"), listed[wanted]):
        if until is not None and (r["signed_date"] > until or pd.notna(r["first_listed"])):
            continue
        again = [pd.Timestamp(d) for d in _text(r["resigned_dates"]).split(";") if d]
        row = r | {
            "resigned": [d for d in again if until is None or d <= until],
            "end_not_before": r["last_listed"],
            "end_by": r["gone_by"],
            "end_basis": _text(r["end_basis"]),
            "moa_id": "" if r["moa_id"] == r["agreement_id"] else r["moa_id"],
            "sources": r["sources"].removesuffix("; ICE lists"),
            "continues": bool(continues) and not before_lists,
        }
        if continues:  # an end without a linked memorandum lowered it; the end is said anew by the lists
            row["confidence"] = "medium" if r["signed_precision"] == "window" else "high"
        rows.append(_still_open(row, until) if _ended_later(r, until, continues) else row)
    return pd.DataFrame(rows, columns=COLUMNS).astype({"continues": bool})


def _ended_later(row: dict[Any, Any], until: pd.Timestamp | None, continues: bool) -> bool:
    if continues or until is None:
        return bool(continues)
    end = row["ended_date"] if pd.notna(row["ended_date"]) else row["gone_by"]
    return not (pd.notna(end) and end <= until)


def _still_open(row: dict[Any, Any], until: pd.Timestamp | None) -> dict[Any, Any]:
    seen = row["end_not_before"] if until is not None and row["end_not_before"] <= until else pd.NaT
    return row | {"ended_date": pd.NaT, "end_not_before": seen, "end_by": pd.NaT, "end_basis": ""}


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
