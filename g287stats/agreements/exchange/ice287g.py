"""Read a release of the Deportation Data Project's ``ice-287g`` into agreement spells.

Their record has one row an agreement (a support model signed on a day, linked to the one it superseded); ours has
one row a spell. A chain of superseded agreements of one agency and model becomes one spell whose later signings
are re-signings; a hybrid becomes a jail row and a task-force row that share ``moa_id``. Agency identifiers are
derived from their agency names by our rules, so that the two records can be compared.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd

from g287stats import catalog
from g287stats.agreements.identity import Fixes, agency_id, classify, name_key
from g287stats.catalog.workbooks import Limits, checked
from g287stats.errors import Problems, SourceError, UnavailableError

REQUIRED = {
    "agreements": (
        "agency",
        "agency_id",
        "agreement_id",
        "support_type",
        "status",
        "signed",
        "first_appeared",
        "last_appeared",
        "removed_by",
        "state",
        "county_fips",
        "jurisdiction_level",
        "ORI9",
    ),
    "agencies": ("agency_id", "first_signed"),
}
STATUSES = ("Active", "Superseded", "Removed")
LEVELS = {
    "State": "state",
    "County": "county",
    "Municipal": "municipal",
    "Regional": "regional",
    "Campus": "campus",
    "Port": "special",
    "Constable District": "constable",
    "Judicial District": "regional",
}
SUFFIXES = (".parquet", ".xlsx", ".dta")


def read_ice287g(path: Path) -> dict[str, pd.DataFrame]:
    """Read the release in ``path`` (its folder, or its agreements file) into the tables of our record.

    Needs ``agreements`` and takes ``agencies`` when it is there, each as Parquet, XLSX or Stata. Returns frames
    ``agreements``, ``applications``, ``ice_lists`` and ``list_presence`` with our columns; their release holds no
    pending lists and no list-by-list record, so the last three are empty. Raises :class:`SourceError` with every
    missing column and every row that cannot be read.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    source = _find(folder, "agreements") if path.is_dir() else path
    if source is None:
        raise UnavailableError(
            f"{folder} holds no agreements{'/'.join(SUFFIXES)}: name the folder of an ice-287g release"
        )
    raw = _read(source, "agreements")
    agencies = _find(folder, "agencies")
    first_signed: dict[str, Any] = {}
    if agencies is not None:
        table = _read(agencies, "agencies")
        dates = pd.to_datetime(table["first_signed"], errors="coerce")
        first_signed = dict(zip(table["agency_id"], dates))
    tables = {
        n: catalog.read_released(n).iloc[:0] for n in ("agreements", "applications", "ice_lists", "list_presence")
    }
    model = tables["agreements"]
    frame = pd.DataFrame(_spells(raw, source.name, first_signed), columns=model.columns)
    tables["agreements"] = frame.astype(model.dtypes.to_dict()).sort_values("agreement_id", ignore_index=True)
    return tables


def _find(folder: Path, name: str) -> Path | None:
    return next((folder / f"{name}{s}" for s in SUFFIXES if (folder / f"{name}{s}").is_file()), None)


def _read(path: Path, name: str) -> pd.DataFrame:
    readers = {".parquet": pd.read_parquet, ".dta": pd.read_stata}
    if path.suffix == ".xlsx":
        frame = pd.read_excel(io.BytesIO(checked(path, Limits(rows=1_000_000, columns=256))), engine="calamine")
    elif path.suffix in readers:
        frame = readers[path.suffix](path)  # type: ignore[operator]
    else:
        raise SourceError(f"{path.name}: not one of {', '.join(SUFFIXES)}")
    missing = [c for c in REQUIRED[name] if c not in frame]
    if missing:
        raise SourceError(f"{path.name}: columns {missing} are missing; is this the {name} table of ice-287g?")
    return frame


def _models(support: str) -> tuple[str, ...]:
    text = support.lower()
    found = tuple(m for m, word in (("JEM", "jail"), ("TFM", "task"), ("WSO", "warrant")) if word in text)
    return ("JEM", "TFM") if not found and "hybrid" in text else found


def _text(value: Any) -> str:
    return "" if value is None or value is pd.NaT or pd.isna(value) else str(value).strip()


def _county(value: Any) -> str:
    """Return codes as ours: five digits each (a spreadsheet drops leading zeros), semicolons between."""
    text = _text(value)
    parts = [p.strip().removesuffix(".0") for p in text.split(";") if p.strip()]
    return ";".join(p.zfill(5) for p in parts)


def _spells(raw: pd.DataFrame, file: str, first_signed: dict[str, Any]) -> list[dict[str, Any]]:
    fixes = Fixes.load()
    problems = Problems(file)
    bad: dict[str, list[str]] = {}
    dates = {}
    for column in ("signed", "first_appeared", "last_appeared", "removed_by"):
        read = pd.to_datetime(raw[column], errors="coerce")
        lost = raw[column].notna() & raw[column].astype(str).str.strip().ne("") & read.isna()
        for name in raw.loc[lost, "agreement_id"]:
            bad.setdefault(f"{column} cannot be read", []).append(str(name))
        dates[column] = read
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for i, row in enumerate(raw.to_dict("records")):
        state = fixes.state(_text(row["state"]))
        models = _models(_text(row["support_type"]))
        level = LEVELS.get(_text(row["jurisdiction_level"]))
        status = _text(row["status"])
        for wrong, what in (
            (state is None, f"state {row['state']!r} is not known"),
            (not models, f"support type {row['support_type']!r} is not known"),
            (
                level is None and _text(row["jurisdiction_level"]) != "",
                f"level {row['jurisdiction_level']!r} is not known",
            ),
            (status not in STATUSES, f"status {row['status']!r} is not one of {STATUSES}"),
        ):
            if wrong:
                bad.setdefault(what, []).append(str(row["agreement_id"]))
        if state is None or not models or status not in STATUSES:
            continue
        alias = fixes.agency(state, _text(row["agency"]))
        key = name_key(alias.agency)
        kind, where = classify(key, "State" if level == "state" else "")
        line = {c: v.iloc[i] for c, v in dates.items()}
        for m in models:
            line_id = agency_id(alias.state, alias.agency)
            groups.setdefault((line_id, m), []).append(
                line
                | {
                    "agency": alias.agency,
                    "state": alias.state,
                    "kind": kind,
                    "level": level or where,
                    "status": status,
                    "theirs": str(row["agreement_id"]),
                    "their_agency": _text(row["agency_id"]),
                    "ori": _text(row["ORI9"]),
                    "county_fips": _county(row["county_fips"]),
                    "hybrid": len(models) > 1,
                }
            )
    for what, where_bad in bad.items():
        problems.add(what, where_bad)
    problems.raise_if_any(SourceError)
    out = []
    for (agency, m), rows in sorted(groups.items()):
        chain: list[dict[str, Any]] = []
        for row in sorted(rows, key=lambda r: (r["signed"], r["first_appeared"], r["theirs"])):
            chain.append(row)
            if row["status"] != "Superseded":
                out.append(_spell(agency, m, chain, first_signed))
                chain = []
        if chain:  # superseded by an agreement of another model
            out.append(_spell(agency, m, chain, first_signed))
    return out


def _spell(agency: str, model: str, chain: list[dict[str, Any]], first_signed: dict[str, Any]) -> dict[str, Any]:
    first, last = chain[0], chain[-1]
    signed = first["signed"]
    basis = "ice-287g: signed"
    if pd.isna(signed):
        signed, basis = first_signed.get(first["their_agency"], pd.NaT), "ice-287g: first_signed of the agency"
    if pd.isna(signed):
        signed, basis = first["first_appeared"], "ice-287g: first appearance"
    name = f"{agency}.{model}.{signed:%Y-%m-%d}" if pd.notna(signed) else f"{agency}.{model}.{first['theirs']}"
    ended = last["status"] != "Active"
    return {
        "agreement_id": name,
        "agency_id": agency,
        "agency": last["agency"],
        "agency_type": last["kind"],
        "jurisdiction": last["level"],
        "state": last["state"],
        "county_fips": last["county_fips"] or pd.NA,
        "ori": last["ori"] or pd.NA,
        "model": model,
        "moa_id": first["theirs"] if first["hybrid"] else name,
        "signed_date": signed,
        "signed_precision": "day",
        "signed_not_before": pd.NaT,
        "signed_basis": basis,
        "resigned_dates": ";".join(f"{r['signed']:%Y-%m-%d}" for r in chain[1:] if pd.notna(r["signed"])) or pd.NA,
        "first_listed": first["first_appeared"],
        "last_listed": last["last_appeared"],
        "gone_by": last["removed_by"] if ended else pd.NaT,
        "ended_date": pd.NaT,
        "end_precision": "window" if ended else "open",
        "end_basis": f"ice-287g: {last['status']}" if ended else pd.NA,
        "exit": "real" if last["status"] == "Removed" else ("re-dated" if ended else pd.NA),
        "duplicate_of": pd.NA,
        "confidence": "high",
        "sources": "ice-287g " + ";".join(r["theirs"] for r in chain),
    }
