"""Listings and history → agreement spells: one agency × one model × one uninterrupted period.

Pure functions on frames. ``rows`` are resolved listings (one row a printed line of a distinct table), ``lists``
the captured lists in order. Nothing here reads files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

REJOIN_DAYS = 31
"""An agreement absent from the lists for longer, and back with a new signing date, is a second spell."""


def lines(frame: pd.DataFrame) -> Iterator[Any]:
    """Iterate over rows as named tuples."""
    return frame.itertuples(index=False)


def order_lists(lists: pd.DataFrame) -> pd.DataFrame:
    """Sort captured lists by day and time of day and number them from 1 in ``seq``."""
    ordered = lists.sort_values(["list_date", "time", "file"], kind="stable").reset_index(drop=True)
    return ordered.assign(seq=np.arange(1, len(ordered) + 1))


SAME_MEMORANDUM_DAYS = 31
"""Two lines of one list for one agency and model signed no further apart are one agreement printed twice."""


def mark_doubled(rows: pd.DataFrame) -> pd.DataFrame:
    """Tell apart the lines of a table that are of the same agency and model: returns ``rows`` with ``slot``.

    ``slot`` is empty for the agreement. A second line signed within :data:`SAME_MEMORANDUM_DAYS` days of the first
    is the same agreement printed twice and has slot ``line2`` (the line without a linked memorandum, or the later
    signed, is the second). A line signed further away is another agreement; its slot is its signing date.
    """
    keys = ["table", "agency_id", "model"]
    rows = rows.assign(_l=~rows["linked"]).sort_values([*keys, "_l", "signed_date", "row"], kind="stable")
    slots = pd.Series("", index=rows.index, dtype=object)
    apart: dict[tuple[str, str], set[pd.Timestamp]] = {}
    double = rows[rows.duplicated(keys, keep=False)]
    key: Any
    for key, group in double.groupby(keys, sort=True):
        _, agency, model = key
        kept: list[pd.Timestamp] = []
        label: Any
        for label, signed in group["signed_date"].items():
            near = [k for k in kept if abs((signed - k).days) <= SAME_MEMORANDUM_DAYS]
            if near:
                slots[label] = f"line{sum(s.startswith('line') for s in slots[group.index]) + 2}"
            else:
                kept.append(signed)
        if len(kept) > 1:
            apart.setdefault((agency, model), set()).update(kept)
    for (agency, model), dates in apart.items():
        own = rows["agency_id"].eq(agency) & rows["model"].eq(model) & slots.eq("") & rows["signed_date"].isin(dates)
        slots[own] = rows.loc[own, "signed_date"].dt.strftime("%Y-%m-%d")
    return rows.drop(columns="_l").assign(slot=slots)


def presence(rows: pd.DataFrame, lists: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return runs of consecutive lists on which each combination of ``by`` is printed.

    One row a run: ``by``, ``first_seq``, ``last_seq``.
    """
    on = {t: g.tolist() for t, g in lists.groupby("table")["seq"]}
    found: dict[tuple[Any, ...], set[str]] = {}
    for *columns, table in zip(*(rows[c].tolist() for c in by), rows["table"].tolist()):
        found.setdefault(tuple(columns), set()).add(table)
    records: list[tuple[Any, ...]] = []
    for key in sorted(found, key=lambda k: tuple(map(str, k))):
        seqs = sorted(n for t in found[key] for n in on[t])
        start = seqs[0]
        for n, following in zip(seqs, [*seqs[1:], None]):
            if following != n + 1:
                records.append((*key, start, n))
                start = following
    return pd.DataFrame(records, columns=[*by, "first_seq", "last_seq"])


def listed_spells(rows: pd.DataFrame, lists: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join runs of presence into spells; return ``(spells, interruptions)``.

    A run that resumes with the signing date it had is the same agreement, omitted meanwhile. One that resumes
    with a new date within :data:`REJOIN_DAYS` days is a re-signing; later, a second spell.
    Spells carry ``first_seq``, ``last_seq`` and ``dates``: the signing dates printed, in order of appearance.
    """
    day = lists.set_index("seq")["list_date"].to_dict()
    key_columns = ["agency_id", "model", "slot"]
    printed: dict[tuple[str, ...], list[tuple[int, int, pd.Timestamp]]] = {}
    for *key, signed, first, last in lines(presence(rows, lists, [*key_columns, "signed_date"])):
        printed.setdefault(tuple(key), []).append((first, last, signed))
    spells: list[dict[str, Any]] = []
    interruptions: list[dict[str, Any]] = []
    current: dict[str, Any] = {}
    for *key, first, last in lines(presence(rows, lists, key_columns)):
        here = list(dict.fromkeys(d for a, b, d in sorted(printed[tuple(key)]) if a <= last and b >= first))
        name = dict(zip(key_columns, key))
        if name.items() <= current.items():
            days = (day[first] - day[current["last_seq"] + 1]).days
            same = here[0] == current["dates"][-1]
            if same or days <= REJOIN_DAYS:
                interruptions.append(
                    name | {"last_seq": current["last_seq"], "back_seq": first, "days": days, "same_date": same}
                )
                current["last_seq"] = last
                current["dates"] += [d for d in here if d not in current["dates"]]
                continue
        current = name | {"first_seq": first, "last_seq": last, "dates": here}
        spells.append(current)
    columns = ["agency_id", "model", "slot", "last_seq", "back_seq", "days", "same_date"]
    return pd.DataFrame(spells), pd.DataFrame(interruptions, columns=columns)


def first_signing(
    dates: Iterable[pd.Timestamp], first_listed: pd.Timestamp, censored: bool
) -> tuple[pd.Timestamp, list[pd.Timestamp], list[pd.Timestamp]]:
    """Split the printed signing dates of a spell: ``(signed, re-signed, superseded by correction)``.

    A date after the first listing cannot be the first signing: it is a re-signing. Of the dates up to the first
    listing the last printed is ICE's corrected one. For a spell already listed when the lists begin
    (``censored``) the earliest printed date counts as the signing and later ones as re-signings.
    """
    dates = list(dates)
    known = [d for d in dates if pd.notna(d)]
    if censored:
        signed = min(known)
        return signed, sorted(d for d in known if d > signed), []
    before = [d for d in known if d <= first_listed]
    signed = before[-1] if before else known[0]
    again = sorted(d for d in known if d > first_listed and d != signed)
    return signed, again, [d for d in before if d != signed]


def printed_exits(rows: pd.DataFrame, lists: pd.DataFrame) -> pd.DataFrame:
    """Return every disappearance of a printed line (state, agency, model, date as printed) between two lists.

    One row an event: the identity of the line, its ``agency_id`` and ``slot``, ``last_seq`` (last list with it).
    """
    by = ["state_printed", "agency_printed", "model", "signed_printed", "agency_id", "slot", "alias"]
    runs = presence(rows, lists, by)
    return runs[runs["last_seq"] < lists["seq"].max()].reset_index(drop=True)


def adjudicate(exits: pd.DataFrame, spells: pd.DataFrame, rows: pd.DataFrame, lists: pd.DataFrame) -> pd.DataFrame:
    """Say of every disappearance whether it is real, renamed, re-dated, corrected or an artefact, and why.

    * the agreement stands on the next list under another name: *renamed*, or *corrected* for a misspelling, a
      wrong state or another agency's name; with another signing date: *re-dated*;
    * it was the second line of an agreement printed twice, or returns later with the same date: *artefact*;
    * it ends: *re-dated* if the agency holds the same model under another signing date on that list; *corrected*
      if no memorandum was ever linked and the agency stays listed under another model; otherwise *real*.
    """
    table = lists.set_index("seq")["table"]
    on_table = dict(iter(rows.groupby("table")))
    here = {
        t: dict(
            zip(zip(g["agency_id"], g["model"], g["slot"]), zip(g["agency_printed"], g["signed_printed"], g["alias"]))
        )
        for t, g in on_table.items()
    }
    agencies = {t: set(zip(g["agency_id"], g["model"])) for t, g in on_table.items()}
    names = {t: set(g["agency_id"]) for t, g in on_table.items()}
    ever_linked = rows.groupby(["agency_id", "model", "slot"])["linked"].any()
    spell_of = {k: g.sort_values("first_seq") for k, g in spells.groupby(["agency_id", "model", "slot"])}
    records = []
    for e in lines(exits):
        key = (e.agency_id, e.model, e.slot)
        after = table[e.last_seq + 1]
        stands = here[after].get(key)
        linked = bool(ever_linked[key])
        owner = spell_of[key]
        owner = owner[(owner["first_seq"] <= e.last_seq) & (owner["last_seq"] >= e.last_seq)].iloc[0]
        if stands is not None:
            name, signed, alias = stands
            renamed, dated = name != e.agency_printed, signed != e.signed_printed
            if dated and not renamed:
                kind, why = "re-dated", f"printed as signed {signed} on the next list"
            elif renamed and "renamed" in (e.alias, alias):
                kind, why = "renamed", f"printed as {name!r} on the next list"
            elif renamed:
                kind, why = "corrected", f"printed as {name!r} on the next list"
            else:
                kind, why = "corrected", "another cell of the line was corrected on the next list"
            if renamed and dated:
                why += f", signed {signed}"
        elif e.slot.startswith("line"):
            kind, why = "artefact", "second line of an agreement printed twice"
        elif owner["last_seq"] > e.last_seq:
            kind, why = "artefact", "omitted, and printed again later"
        elif (e.agency_id, e.model) in agencies[after]:
            kind, why = "re-dated", "the agency holds this model under another signing date on the next list"
        elif e.agency_id in names[after] and not linked:
            kind, why = "corrected", "no memorandum was ever linked; the agency stays listed under another model"
        elif linked:
            kind, why = "real", "memorandum linked while listed, then gone"
        else:
            kind, why = "real", "gone; no memorandum was ever linked"
        ends = owner["last_seq"] == e.last_seq and stands is None
        records.append(e._asdict() | {"exit": kind, "reason": why, "ends_spell": ends, "linked": linked})
    return pd.DataFrame(records)
