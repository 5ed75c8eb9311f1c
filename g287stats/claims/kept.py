"""What a run leaves behind: the record of a finished analysis, the exhibit map, the manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

import g287stats
from g287stats.catalog import current_record, released_dir, user_data_dir
from g287stats.catalog.text import csv
from g287stats.catalog.writing import write
from g287stats.claims.analyses import Analysis
from g287stats.claims.exhibits import Exhibit, Exhibits, versions

if TYPE_CHECKING:
    from collections.abc import Iterable

DONE = "done.json"
"""File in an analysis's folder that lists what it wrote, and what it was made from."""


def fingerprint(analysis: Analysis) -> str:
    """Sha256 over everything an analysis can depend on: the code, its folder, the tables, versions, user files."""
    hashed = hashlib.sha256(_code().encode())
    for path in sorted(p for p in analysis.folder.iterdir() if p.is_file()):
        hashed.update(path.name.encode() + path.read_bytes())
    for path in sorted(p for p in user_data_dir().glob("*/manifest.json") if p.parent.name != "replication"):
        hashed.update(str(path.parent.name).encode() + path.read_bytes())
    hashed.update(json.dumps(versions(), sort_keys=True).encode())
    return hashed.hexdigest()


@cache
def _code() -> str:
    hashed = hashlib.sha256()
    for path in _files(Path(g287stats.__file__).parent, ("*.py",)):
        hashed.update(path.name.encode() + path.read_bytes())
    for path in _files(released_dir(), ("*.csv", "*.gz", "*.json")):
        hashed.update(path.name.encode() + path.read_bytes())
    hashed.update(str(current_record()).encode())
    return hashed.hexdigest()


def _files(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return sorted({p for pattern in patterns for p in folder.rglob(pattern)})


def read_done(folder: Path, made_from: str) -> tuple[list[Exhibit], list[dict[str, Any]]] | None:
    """Exhibits and results of a finished analysis made from the same inputs, if all its files are as it wrote them."""
    path = folder / DONE
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError:
        return None
    if record["made_from"] != made_from:
        return None
    for name, sha256 in record["files"].items():
        if not (folder / name).is_file() or _sha256(folder / name) != sha256:
            return None
    exhibits = [Exhibit(**{**e, "files": tuple(e["files"])}) for e in record["exhibits"]]
    return exhibits, record["results"]


def write_done(folder: Path, bench: Exhibits, made_from: str) -> None:
    """Record what an analysis wrote; an unfinished one (empty ``made_from``) is run again next time."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted({f for e in bench.written for f in (*e.files, f"{e.name}.json")})
    record = {
        "made_from": made_from,
        "files": {n: _sha256(folder / n) for n in names},
        "exhibits": [asdict(e) for e in bench.written],
        "results": bench.results,
    }
    text = json.dumps(record, indent=1, ensure_ascii=False, default=_plain)
    write(folder / DONE, text + "\n")


def remove_written(folder: Path) -> None:
    """Remove the files that an earlier run lists as its own, and the folder when nothing else is in it."""
    path = folder / DONE
    if not path.is_file():
        return
    try:
        names = list(json.loads(path.read_text("utf-8"))["files"])
    except (json.JSONDecodeError, KeyError):
        names = []
    for name in [n for n in names if Path(n).name == n]:
        (folder / name).unlink(missing_ok=True)
    path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def write_manifest(folder: Path, chosen: Sequence[Analysis], table: pd.DataFrame, exhibits: Sequence[Exhibit]) -> None:
    """Write ``exhibits.csv`` (claim → exhibit → data with sha256 → command) and ``manifest.json`` (every file)."""
    rows = []
    for analysis in chosen:
        data = "; ".join(f"{t} {_sha256(p)}" for t, p in _tables(analysis))
        command = f"g287stats replicate --only {analysis.name}"
        mine = [e for e in exhibits if e.analysis == analysis.name]
        claims = table.loc[table["analysis"] == analysis.name, "claim_id"].tolist() or [""]
        rows += [
            {
                "claim_id": c,
                "analysis": analysis.name,
                "exhibit": e.name,
                "title": e.title,
                "files": "; ".join(f"{analysis.name}/{f}" for f in e.files),
                "data": data,
                "command": command,
            }
            for c in claims
            for e in mine
        ]
    columns = ["claim_id", "analysis", "exhibit", "title", "files", "data", "command"]
    write(folder / "exhibits.csv", csv(pd.DataFrame(rows, columns=columns)))
    names = [f"{e.analysis}/{f}" for e in exhibits for f in (*e.files, f"{e.name}.json")]
    names += ["exhibits.csv", "findings.csv", "report.html"]
    files = {n: {"bytes": (folder / n).stat().st_size, "sha256": _sha256(folder / n)} for n in sorted(set(names))}
    text = json.dumps({"versions": versions(), "files": files}, indent=1)
    write(folder / "manifest.json", text + "\n")


def _tables(analysis: Analysis) -> list[tuple[str, Path]]:
    found = []
    for name in analysis.tables:
        for path in (
            released_dir() / f"{name}.csv",
            released_dir() / f"{name}.csv.gz",
            user_data_dir() / name / "manifest.json",
        ):
            if path.is_file():
                found.append((name, path))
                break
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
