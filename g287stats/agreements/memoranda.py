"""What memoranda and addenda say of signings: rows of ``data/fixes/signings.csv``, each with its evidence.

A row names an agreement by agency, model and the first signing the record has (``record_date``), and says one thing:

* ``first``: the first signing was on ``date`` instead;
* ``re-signed``: it was signed again on ``date``; ``re-signed as``: the re-signing the record has on ``record_date``
  was on ``date``; ``not re-signed``: ``date`` is no new signing (an extension, a misprint);
* ``extended``: an addendum of ``date`` extends it to ``expires``, so that it stood on that day;
* ``signed``: ``date`` is right, and the two signatures are of the days named.

``signed_ice`` is the countersignature, the day a memorandum takes effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from g287stats.errors import Problems, SourceError

KINDS = ("first", "re-signed", "re-signed as", "not re-signed", "extended", "signed")


class Signing(NamedTuple):
    """One row of ``data/fixes/signings.csv``."""

    record_date: pd.Timestamp
    kind: str
    date: pd.Timestamp
    signed_agency: Any
    signed_ice: Any
    expires: Any
    evidence: str


Signings = Mapping[tuple[str, str], list[Signing]]


def read_signings(rows: Iterable[tuple[str, dict[str, str]]]) -> Signings:
    """Return the rows by agency and model; ``rows`` are pairs of ``agency_id`` and the row as read."""
    out: dict[tuple[str, str], list[Signing]] = {}
    problems = Problems("data/fixes/signings.csv")
    for identifier, r in rows:
        if r["kind"] not in KINDS:
            problems.add(f"{identifier}: kind {r['kind']!r} is none of {', '.join(KINDS)}")
            continue
        agency, ice, expires = (
            pd.Timestamp(r[c]) if r[c] else pd.NaT for c in ("signed_agency", "signed_ice", "expires")
        )
        first, day = pd.Timestamp(r["record_date"]), pd.Timestamp(r["date"])
        signing = Signing(first, r["kind"], day, agency, ice, expires, r["evidence"])
        out.setdefault((identifier, r["model"]), []).append(signing)
    problems.raise_if_any(SourceError)
    return out


def with_memoranda(spell: dict[Any, Any], signings: Signings) -> dict[Any, Any]:
    """Return one spell with what its memoranda say. Applying the rows twice changes nothing."""
    out = spell | {"moa_dates": [], "resigned": list(spell["resigned"])}
    for row in signings.get((spell["agency_id"], spell["model"]), ()):
        known = {row.record_date, row.date} if row.kind in ("first", "signed") else {row.record_date}
        if row.kind == "re-signed as":
            if row.record_date in out["resigned"] or row.date in out["resigned"]:
                out["resigned"] = sorted({*(d for d in out["resigned"] if d != row.record_date), row.date})
                out["moa_dates"] = [*out["moa_dates"], row.date]
            continue
        if out["signed_date"] not in known:
            continue
        out |= _one(out, row)
    out["moa_dates"] = sorted(set(out["moa_dates"]))
    if any(d > out.pop("expires_since", d) for d in out["resigned"]):
        out["expires"] = pd.NaT  # signed again after the document that printed it
    return out


def _one(spell: dict[Any, Any], row: Signing) -> dict[str, Any]:
    if row.kind == "not re-signed":
        return {"resigned": [d for d in spell["resigned"] if d != row.date]}
    changed: dict[str, Any] = {"moa_dates": [*spell["moa_dates"], row.date]}
    if row.kind in ("first", "signed"):
        changed |= {"signed_agency": row.signed_agency, "signed_ice": row.signed_ice}
    if row.kind == "first":
        changed |= {
            "signed_date": row.date,
            "signed_precision": "day",
            "signed_not_before": pd.NaT,
            "signed_basis": "memorandum",
            "confidence": "high",
            "resigned": [d for d in spell["resigned"] if d > row.date],
        }
    if row.kind == "re-signed":
        changed["resigned"] = sorted({*spell["resigned"], row.date})
    if pd.notna(row.expires):
        changed |= {"expires": row.expires, "expires_since": row.date}
    if row.kind in ("re-signed", "extended") and pd.isna(spell["ended_date"]) and pd.notna(spell["end_by"]):
        seen = spell["end_not_before"]
        if row.date < spell["end_by"] and not seen >= row.date:
            changed["end_not_before"] = row.date
    return changed
