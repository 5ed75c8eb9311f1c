"""Resolved rows of workbooks → captured lists in order, and the rules of dates.

Pure functions on frames. ``rows`` are resolved listings (one row a printed line of a distinct table), ``lists``
the captured lists in order. Nothing here reads files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from g287stats.agreements.record import CapturedList, Line


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

    ``slot`` is empty for an agreement. A second line signed within :data:`SAME_MEMORANDUM_DAYS` days of the first
    is the same agreement printed twice and has slot ``line2`` (the line without a linked memorandum, or the later
    signed, is the second). A line signed further away is another agreement.
    """
    keys = ["table", "agency_id", "model"]
    slots = pd.Series("", index=rows.index, dtype=object)
    double = rows[rows.duplicated(keys, keep=False)]
    double = double.assign(_l=~double["linked"]).sort_values([*keys, "_l", "signed_date", "row"], kind="stable")
    for _, group in double.groupby(keys, sort=True):
        kept: list[pd.Timestamp] = []
        second = 1
        for label, signed in group["signed_date"].items():
            if any(abs((signed - k).days) <= SAME_MEMORANDUM_DAYS for k in kept):
                second += 1
                slots[label] = f"line{second}"
            else:
                kept.append(signed)
    return rows.assign(slot=slots)


def captured_lists(rows: pd.DataFrame, lists: pd.DataFrame) -> Iterator[CapturedList]:
    """Yield the captured lists in order from the resolved ``rows`` of their tables (with ``slot``)."""
    by_table: dict[str, list[Line]] = {}
    columns = (rows[c].astype(object) for c in ("table", *Line._fields))
    for table, *cells in zip(*columns):
        by_table.setdefault(table, []).append(Line(*cells))
    tables = {t: CapturedList.of(0, pd.NaT, held) for t, held in by_table.items()}
    for seq, day, table in lines(lists.sort_values("seq")[["seq", "list_date", "table"]]):
        yield replace(tables[table], seq=int(seq), day=day)


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


RESIGNED_AFTER_DAYS = 366
"""A printed date followed by one at least so much later was a signing of its own; nearer, ICE took it back."""


def first_signing(
    printed: Iterable[pd.Timestamp], linked: bool
) -> tuple[pd.Timestamp, list[pd.Timestamp], list[pd.Timestamp]]:
    """Split the signing dates printed for a spell: ``(signed, re-signed, taken back)``.

    ``printed`` are the dates in the order of the lists, ``linked`` whether a memorandum was ever linked. A date ICE
    printed for a while and replaced is not a signing: the one printed last counts, also where it is an earlier one
    printed again. A new date is a re-signing only if a memorandum is linked and a year has passed since the date
    before; memoranda in ``data/fixes/signings.csv`` say of others that they are.
    """
    dates = list(printed)
    signed = [dates[0]]
    taken_back: list[pd.Timestamp] = []
    for date in dates[1:]:
        if date == signed[-1]:
            continue
        if linked and (date - signed[-1]).days >= RESIGNED_AFTER_DAYS:
            signed.append(date)
        else:
            taken_back.append(signed[-1])
            signed[-1] = date
    again = sorted(set(signed[1:]) - {signed[0]})
    return signed[0], again, list(dict.fromkeys(d for d in taken_back if d not in signed))
