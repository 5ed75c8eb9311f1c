"""Dated evidence on signings, read from a folder of the user's, and where it differs from the record.

Compilations of memoranda name thousands of documents, and their terms let single dates be cited but not the tables be
passed on: none is part of the package. ``read_evidence`` turns a folder of them into one table, a row a dated
document; ``compare_evidence`` holds the record against it. What the record took over from single documents is in
``data/fixes/signings.csv`` and ``data/fixes/signed_dates.csv``, each row with its reason.

Files are known by name: ``moa_files*.json`` (files of ICE's memoranda by agency), ``moa-signatures.csv`` (the two
signatures read from memoranda), ``moa-addenda.csv``, ``signing-date-corrections.csv``, ``moa_after*.csv`` (memoranda
posted after the last list). See ``docs/agreements.md`` for where they come from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from g287stats.agreements.counts import LATER, UNSEEN
from g287stats.agreements.identity import STATE_NAMES, Fixes, agency_id
from g287stats.agreements.table import Agreements
from g287stats.errors import UnavailableError

COLUMNS = [
    "agency_id",
    "state",
    "agency",
    "model",
    "kind",
    "date",
    "signed_agency",
    "signed_ice",
    "expires",
    "document",
    "source",
]
DIFFERENCES = ["agreement_id", "model", "signed_date", "kind", "date", "days", "reading", "document", "source"]
_MODELS = {"jail": "JEM", "task": "TFM", "warrant": "WSO"}
Row = dict[str, Any]


def read_evidence(folder: Path | str) -> pd.DataFrame:
    """Read every known file of ``folder`` into one table, a row a dated document and model.

    ``kind`` is ``file`` (the date in a file's name), ``memorandum``, ``addendum``, ``list`` (a printed date another
    project corrected) or ``posted`` (posted after the last list); ``date`` is the countersignature where both
    signatures were read. Agencies get identifiers by the rules of the record. Raises :class:`UnavailableError` for a
    folder without a known file.
    """
    base, fixes = Path(folder), Fixes.load()
    frames = []
    for pattern, reader in _READERS.items():
        for path in sorted(base.glob(pattern)):
            rows = [r | {"source": path.name} for r in reader(path, fixes)]
            frames.append(pd.DataFrame(rows, columns=COLUMNS))
    if not frames:
        raise UnavailableError(f"{base} holds none of {', '.join(_READERS)}: see docs/agreements.md, Evidence")
    out = pd.concat(frames, ignore_index=True)
    for column in ("date", "signed_agency", "signed_ice", "expires"):
        out[column] = pd.to_datetime(out[column], errors="coerce")
    return out[out["date"].notna()].sort_values(["agency_id", "model", "date", "document"], ignore_index=True)


@dataclass(frozen=True)
class EvidenceComparison:
    """Where evidence and record differ.

    ``rows``: one row a document and the agreement it is nearest to, with the distance in ``days`` of its date from
    the nearest date the record has of the agreement (first signing, re-signings, cited memoranda), and a ``reading``.
    ``counts``: documents by size of the difference. ``unmatched``: documents of no agreement in the record.
    """

    rows: pd.DataFrame
    counts: pd.DataFrame
    unmatched: pd.DataFrame

    def __repr__(self) -> str:
        return f"<EvidenceComparison: {len(self.rows):,} documents>\n{self.counts.to_string()}"

    def differing(self, days: int = 0) -> pd.DataFrame:
        """Return the documents further than ``days`` days from the record."""
        return self.rows[self.rows["days"].abs().gt(days)].reset_index(drop=True)


SIZES = (0, 1, 7, 31, 366)


def compare_evidence(agreements: Agreements, evidence: pd.DataFrame) -> EvidenceComparison:
    """Hold the record against dated documents: the nearest date of the nearest agreement of agency and model.

    A document that gives both signatures agrees if either is a date of the record. ``reading`` says of every document
    that differs why, as far as another document, the lists or the name of the file show it, or *not explained*.
    """
    known = _known_dates(agreements)
    signatures = evidence[evidence["signed_agency"].notna() | evidence["signed_ice"].notna()]
    signed = dict(iter(signatures.groupby(["agency_id", "model"])))
    printed = agreements.presence[agreements.presence["kind"].eq("participating")]
    shown = {r: set(d) for r, d in printed.groupby("record_id")["signed_date"]}
    seen = agreements.frame.set_index("agreement_id")["first_listed"].to_dict()
    rows: list[tuple[Any, ...]] = []
    unmatched: list[Any] = []
    for e in evidence.itertuples():
        options = known.get((e.agency_id, e.model), [])
        if not options:
            unmatched.append(e.Index)
            continue
        dates = [d for d in (e.date, e.signed_agency, e.signed_ice) if pd.notna(d)]
        apart = (((d - at).days, name, first) for name, first, at in options for d in dates)
        days, name, first = min(apart, key=lambda o: (abs(o[0]), o[1]))
        reading = "" if days == 0 else _reading(e, days, name, signed.get((e.agency_id, e.model)), shown, seen[name])
        rows.append((name, e.model, first, e.kind, e.date, days, reading, e.document, e.source))
    frame = pd.DataFrame(rows, columns=DIFFERENCES)
    edges = [-1, *SIZES, float("inf")]
    names = ["same day", "1 day", "2 to 7 days", "8 to 31 days", "32 days to a year", "more"]
    size = pd.cut(frame["days"].abs(), edges, labels=names)
    counts = pd.crosstab(size, frame["kind"], dropna=False).reindex(names, fill_value=0)
    return EvidenceComparison(frame, counts, evidence.loc[unmatched].reset_index(drop=True))


def _known_dates(agreements: Agreements) -> dict[tuple[str, str], list[tuple[str, Any, Any]]]:
    """(agreement, first signing, date) of every date the record has, by agency and model."""
    known: dict[tuple[str, str], list[tuple[str, Any, Any]]] = {}
    frame = agreements.frame[agreements.frame["duplicate_of"].isna()]
    for r in frame.itertuples():
        again = [pd.Timestamp(d) for c in (r.resigned_dates, r.moa_dates) if pd.notna(c) for d in c.split(";")]
        cited = [d for d in (r.signed_agency, r.signed_ice) if pd.notna(d)]
        for day in dict.fromkeys([r.signed_date, *cited, *again]):
            known.setdefault((r.agency_id, r.model), []).append((r.agreement_id, r.signed_date, day))
    return known


EARLY_NAMES = (pd.Timestamp("2025-02-01"), pd.Timestamp("2025-03-31"))
"""Files named by days of these months often carry an earlier day than ICE prints; those of later months ICE's."""


def _reading(e: Any, days: int, name: str, signed: pd.DataFrame | None, shown: dict[str, set[Any]], seen: Any) -> str:
    if e.kind in ("file", "posted") and signed is not None:
        for column, words in (("signed_ice", "the countersignature"), ("signed_agency", "the agency's signature")):
            if signed[column].eq(e.date).any():
                return f"{words}; ICE prints another day"
    if e.date in shown.get(name, ()):
        return "a day ICE printed and took back"
    if abs(days) in (365, 366):
        return "the year is misprinted in the file's name"
    if abs(days) > 366:
        return "another document of the agency"
    if "_LEA" in str(e.document):
        return "the file is named by the agency's signature"
    if e.kind == "addendum" or (pd.notna(seen) and e.date > seen):
        return "a later document: after the agreement was first listed"
    if e.kind == "file" and days < 0 and EARLY_NAMES[0] <= e.date <= EARLY_NAMES[1]:
        return "a file of February or March 2025: an earlier day than ICE prints"
    return "not explained"


def with_evidence(agreements: Agreements, evidence: pd.DataFrame) -> Agreements:
    """Return the record with what the evidence adds, never in place of what it has.

    ``signed_agency``, ``signed_ice``, ``moa_dates`` and ``expires`` are filled where they are empty and a document of
    the agreement gives them; memoranda posted after the last list whose agency and model are on no list become
    ``memoranda`` (in :attr:`Agreements.later` and the named part of the curve). No listed count changes.
    """
    frame = agreements.frame.copy()
    found = compare_evidence(agreements, evidence).rows
    near = evidence.assign(_at=range(len(evidence)))
    close = found[found["days"].abs().le(31)]
    documents = near.merge(
        close[["agreement_id", "document", "model", "date", "kind"]].drop_duplicates(),
        on=["document", "model", "date", "kind"],
    )
    first = frame.set_index("agreement_id")["signed_date"]
    for name, group in documents.groupby("agreement_id"):
        at = frame.index[frame["agreement_id"].eq(name)]
        own = group[group["date"].sub(first[name]).abs().dt.days.le(31) & group["kind"].ne("addendum")]
        for column in ("signed_agency", "signed_ice", "expires"):
            values = (own if column != "expires" else group)[column].dropna()
            if len(values) and frame.loc[at, column].isna().all():
                frame.loc[at, column] = values.iloc[-1]
        old = frame.loc[at, "moa_dates"].fillna("").iloc[0]
        days = {*filter(None, old.split(";")), *group["date"].dt.strftime("%Y-%m-%d")}
        frame.loc[at, "moa_dates"] = ";".join(sorted(days))
    return Agreements(
        frame,
        agreements.applications,
        agreements.lists,
        agreements.presence,
        f"{agreements.release}, with evidence",
        agreements.counts,
        _unseen(agreements, evidence),
    )


def _unseen(agreements: Agreements, evidence: pd.DataFrame) -> pd.DataFrame:
    """Memoranda posted after the last list, of agencies and models that the last list does not print."""
    standing = agreements.frame[agreements.frame["end_precision"].eq("open")]
    held = set(zip(standing["agency_id"], standing["model"]))
    posted = evidence[evidence["kind"].eq("posted")].drop_duplicates(["agency_id", "model"], keep="last")
    posted = posted[[k not in held for k in zip(posted["agency_id"], posted["model"])]]
    places = agreements.frame.drop_duplicates("agency_id", keep="last").set_index("agency_id")["county_fips"]
    return posted.assign(
        agreement_id=pd.NA,
        county_fips=posted["agency_id"].map(places),
        standing=UNSEEN,
        signed_date=posted["date"],
        not_before=pd.NaT,
        by=pd.NaT,
        source="memorandum " + posted["document"],
    )[LATER].reset_index(drop=True)


# --- readers --------------------------------------------------------------------------------------------------


def _who(state: str, agency: str, fixes: Fixes) -> Row | None:
    usps = fixes.state(state)
    if usps is None or not agency.strip():
        return None
    full = next(n for n, code in STATE_NAMES.items() if code == usps)
    alias = fixes.agency(usps, re.sub(rf"\b{usps}\b|,? {full.title()}$", " ", agency))
    return {"agency_id": agency_id(alias.state, alias.agency), "state": alias.state, "agency": alias.agency}


def _models(text: str) -> list[str]:
    low = text.lower()
    return [m for word, m in _MODELS.items() if word in low] or [m for m in _MODELS.values() if m.lower() in low]


def _file_day(file: str) -> Any:
    """Return the day in a file's name, if its digits are one (ICE has posted ``121020225`` and ``0922225``)."""
    for digits in re.findall(r"\d{6,}", file.replace(".", "")):
        form = {6: "%m%d%y", 8: "%m%d%Y"}.get(len(digits))
        day = pd.to_datetime(digits, format=form, errors="coerce") if form else pd.NaT
        if pd.notna(day) and 2002 <= day.year <= 2100:
            return day
    return pd.NaT


def _moa_files(path: Path, fixes: Fixes) -> Iterator[Row]:
    for key, files in json.loads(path.read_text(encoding="utf-8")).items():
        state, agency = key.split("|", 1)
        who = _who(state, agency, fixes)
        for f in files if who else ():
            day = _file_day(f["filename"])
            yield who | {"model": f["model"], "kind": "file", "date": day, "document": f["filename"]}  # type: ignore[operator]


def _signatures(path: Path, fixes: Fixes) -> Iterator[Row]:
    for r in _records(path):
        who = _who(r["state"], r["agency_named"], fixes)
        kind = "addendum" if re.search("addendum|modif", r["doc_kind"]) else "memorandum"
        for model in _models(r["functions"]) if who and "not an MOA" not in r["doc_kind"] else ():
            yield who | {  # type: ignore[operator]
                "model": model,
                "kind": kind,
                "date": r["ice_signed"] or r["agency_signed"],
                "signed_agency": r["agency_signed"],
                "signed_ice": r["ice_signed"],
                "document": r["file"],
            }


def _addenda(path: Path, fixes: Fixes) -> Iterator[Row]:
    for r in _records(path):
        who = _who(r["state"], r["agency"], fixes)
        until = re.search(r"extends it to (\d{4}-\d{2}-\d{2})", r["note"])
        for model in _models(r["support_type"]) if who else ():
            yield who | {  # type: ignore[operator]
                "model": model,
                "kind": "addendum",
                "date": r["addendum_signed"],
                "expires": until.group(1) if until else None,
                "document": r["addendum_url"].rsplit("/", 1)[-1],
            }


def _corrections(path: Path, fixes: Fixes) -> Iterator[Row]:
    for r in _records(path, sep="|"):
        who = _who(r["state"], r["agency"], fixes)
        if who:
            yield who | {
                "model": r["model"],
                "kind": "list",
                "date": r["signed"],
                "document": f"printed {r['printed']}",
            }


def _posted(path: Path, fixes: Fixes) -> Iterator[Row]:
    for r in _records(path):
        who = _who(r["state"], r["agency"], fixes)
        if who:
            yield who | {"model": r["model"], "kind": "posted", "date": r["file_date"], "document": r["file"]}


def _records(path: Path, sep: str = ",") -> list[dict[str, str]]:
    frame = pd.read_csv(path, sep=sep, dtype=str, keep_default_na=False)
    return [{str(k): str(v) for k, v in r.items()} for r in frame.to_dict("records")]


_READERS: dict[str, Callable[[Path, Fixes], Iterator[Row]]] = {
    "moa_files*.json": _moa_files,
    "moa-signatures.csv": _signatures,
    "moa-addenda.csv": _addenda,
    "signing-date-corrections.csv": _corrections,
    "moa_after*.csv": _posted,
}
