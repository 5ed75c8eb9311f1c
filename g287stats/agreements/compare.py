"""Two agreement records side by side: every disagreement, by kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from g287stats import labels
from g287stats.agreements.table import Agreements

KINDS = ("missing in a", "missing in b", "model", "date", "county", "exit")
COLUMNS = ["kind", "state", "agency", "model", "a_value", "b_value", "days", "a_id", "b_id"]


@dataclass(frozen=True)
class AgreementComparison:
    """Disagreements of two records.

    ``rows`` has one row a disagreement (``kind``, agency, both values, their distance in ``days`` where they are dates,
    both identifiers); ``counts`` the number by kind, with ``matched``, the spells paired.
    """

    rows: pd.DataFrame
    counts: pd.DataFrame
    names: tuple[str, str]

    def __repr__(self) -> str:
        a, b = self.names
        return f"<AgreementComparison: a = {a}, b = {b}>\n{self.counts.to_string()}"

    def _repr_html_(self) -> str:
        return f"<p>a = {self.names[0]}, b = {self.names[1]}</p>{self.counts.to_html()}"


def compare_agreements(
    a: Agreements, b: Agreements, *, tolerance_days: int = 0, since: Any = None, until: Any = None
) -> AgreementComparison:
    """Pair the spells of two records and list where they disagree.

    Spells are paired within agency and model, nearest signing first, if signed within a year of each other or active at
    the same time. An unpaired spell whose agency signed another model within 31 days in the other record, itself
    unpaired, is a disagreement on the *model*; any other is *missing* in one record. Paired spells are compared on
    signing *date*, *county* (the sets of codes) and *exit* (open against ended, or the end date: the day where
    known, else the first list without). Dates closer than ``tolerance_days`` agree. ``since`` and ``until`` keep spells
    signed in that interval by either record.
    """
    left, right = _keep(a.frame, since, until), _keep(b.frame, since, until)
    pairs, only_a, only_b = _pair(left, right)
    rows: list[dict[str, Any]] = []
    for x, y in _other_model(only_a, only_b):
        rows.append(_row("model", x, y, x["model"], y["model"]))
    rows += [_row("missing in b", x, None, _day(x["signed_date"]), "") for x in only_a]
    rows += [_row("missing in a", None, y, "", _day(y["signed_date"])) for y in only_b]
    for x, y in pairs:
        apart = abs((x["signed_date"] - y["signed_date"]).days) if _both(x, y, "signed_date") else None
        if apart is None or apart > tolerance_days:
            rows.append(_row("date", x, y, _day(x["signed_date"]), _day(y["signed_date"]), apart))
        if _codes(x) != _codes(y):
            rows.append(_row("county", x, y, ";".join(sorted(_codes(x))), ";".join(sorted(_codes(y)))))
        ends = _end(x), _end(y)
        if pd.isna(ends[0]) != pd.isna(ends[1]):
            rows.append(_row("exit", x, y, _day(ends[0]) or "open", _day(ends[1]) or "open"))
        elif pd.notna(ends[0]) and abs((ends[0] - ends[1]).days) > tolerance_days:
            rows.append(_row("exit", x, y, _day(ends[0]), _day(ends[1]), abs((ends[0] - ends[1]).days)))
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame["kind"] = pd.Categorical(frame["kind"], KINDS, ordered=True)
    frame = frame.sort_values(["kind", "state", "agency", "model", "a_id", "b_id"], ignore_index=True)
    frame["days"] = frame["days"].astype("Int64")
    tally = frame["kind"].value_counts().reindex(KINDS, fill_value=0)
    counts = pd.concat([pd.Series({"matched": len(pairs)}), tally]).rename("spells").to_frame()
    return AgreementComparison(frame, counts, (a.release, b.release))


def _keep(frame: pd.DataFrame, since: Any, until: Any) -> list[dict[Any, Any]]:
    keep = frame["duplicate_of"].isna()
    if since is not None:
        keep &= frame["signed_date"].ge(labels.day(since, "since"))
    if until is not None:
        keep &= frame["signed_date"].le(labels.day(until, "until"))
    return frame[keep].sort_values("agreement_id").to_dict("records")


def _pair(
    left: list[dict[Any, Any]], right: list[dict[Any, Any]]
) -> tuple[list[tuple[dict[Any, Any], dict[Any, Any]]], list[dict[Any, Any]], list[dict[Any, Any]]]:
    by_key: dict[tuple[str, str], list[dict[Any, Any]]] = {}
    for y in right:
        by_key.setdefault((y["agency_id"], y["model"]), []).append(y)
    options = []
    for i, x in enumerate(left):
        for y in by_key.get((x["agency_id"], x["model"]), ()):
            apart = abs((x["signed_date"] - y["signed_date"]).days) if _both(x, y, "signed_date") else 10_000
            if apart <= 366 or _overlap(x, y):
                options.append((apart, x["agreement_id"], y["agreement_id"], i, x, y))
    pairs, used_a, used_b = [], set(), set()
    for _, x_id, y_id, _, x, y in sorted(options, key=lambda o: o[:4]):
        if x_id not in used_a and y_id not in used_b:
            used_a.add(x_id)
            used_b.add(y_id)
            pairs.append((x, y))
    return (
        pairs,
        [x for x in left if x["agreement_id"] not in used_a],
        [y for y in right if y["agreement_id"] not in used_b],
    )


def _other_model(
    only_a: list[dict[Any, Any]], only_b: list[dict[Any, Any]]
) -> list[tuple[dict[Any, Any], dict[Any, Any]]]:
    """Take out of both lists the pairs that differ in model alone."""
    found = []
    for x in list(only_a):
        for y in list(only_b):
            near = _both(x, y, "signed_date") and abs((x["signed_date"] - y["signed_date"]).days) <= 31
            if x["agency_id"] == y["agency_id"] and near:
                only_a.remove(x)
                only_b.remove(y)
                found.append((x, y))
                break
    return found


def _end(spell: dict[Any, Any]) -> Any:
    return spell["ended_date"] if pd.notna(spell["ended_date"]) else spell["gone_by"]


def _both(x: dict[Any, Any], y: dict[Any, Any], column: str) -> bool:
    return bool(pd.notna(x[column]) and pd.notna(y[column]))


def _overlap(x: dict[Any, Any], y: dict[Any, Any]) -> bool:
    far = pd.Timestamp("2200-01-01")
    spans = [(s["signed_date"], _end(s) if pd.notna(_end(s)) else far) for s in (x, y)]
    if any(pd.isna(s) for s, _ in spans):
        return True
    return bool(max(s for s, _ in spans) < min(e for _, e in spans))


def _codes(spell: dict[Any, Any]) -> frozenset[str]:
    return frozenset() if pd.isna(spell["county_fips"]) else frozenset(spell["county_fips"].split(";"))


def _day(value: Any) -> str:
    return "" if pd.isna(value) else f"{value:%Y-%m-%d}"


def _row(kind: str, x: Any, y: Any, a_value: str, b_value: str, days: int | None = None) -> dict[str, Any]:
    named = x or y
    return {
        "kind": kind,
        "state": named["state"],
        "agency": named["agency"],
        "model": named["model"],
        "a_value": a_value,
        "b_value": b_value,
        "days": days,
        "a_id": x["agreement_id"] if x else "",
        "b_id": y["agreement_id"] if y else "",
    }
