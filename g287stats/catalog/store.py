"""The user's own tables: parsed once, kept as Parquet, named by a manifest.

A table is a folder with one Parquet file per part (a year, a state, …) and a ``manifest.json``. A part counts
only when the manifest names it, and the manifest is replaced in one step after every part is written: a
failed import leaves what was there before.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from g287stats.catalog.archives import Member, sha256
from g287stats.errors import SchemaError

DATA_DIR_VARIABLE = "G287STATS_DATA"
MANIFEST_VERSION = 1


@dataclass(frozen=True)
class Part:
    """One parsed part of a table, ready to be kept.

    ``key`` names it within the table (``"2006"``), ``frame`` is the parsed content, ``source`` the file it was
    read from, ``report`` what a user wants to know about it (rows, years, usable, set aside, …).
    """

    key: str
    frame: pd.DataFrame
    source: Member
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """A part as the manifest records it."""

    key: str
    file: str
    sha256: str
    rows: int
    source_file: str
    source_member: str
    source_sha256: str
    report: Mapping[str, Any]
    url: str = ""


def user_data_dir() -> Path:
    """Folder of the user's tables: ``$G287STATS_DATA``, else the platform's user data directory."""
    named = os.environ.get(DATA_DIR_VARIABLE)
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("g287stats", appauthor=False))


def kept(name: str) -> dict[str, Kept]:
    """Return the parts of table ``name`` that are in the user's data directory, by key."""
    path = user_data_dir() / name / "manifest.json"
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["manifest"] != MANIFEST_VERSION:
            raise SchemaError(
                f"{path}: written by another version of g287stats. Remove the folder and add {name} again"
            )
        return {p["key"]: Kept(**p) for p in content["parts"]}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise SchemaError(f"{path}: not readable ({error}). Remove the folder and add {name} again") from error


def read_kept(name: str, keys: Iterable[str] | None = None) -> dict[str, pd.DataFrame]:
    """Read parts of table ``name`` (all, or those named), by key in key order."""
    have = kept(name)
    folder = user_data_dir() / name
    wanted = sorted(have) if keys is None else [k for k in sorted(have) if k in set(keys)]
    out = {}
    for key in wanted:
        path = folder / have[key].file
        if not path.is_file():
            raise SchemaError(f"{path} is gone. Add {name} again, or run: g287stats data verify")
        out[key] = pd.read_parquet(path)
    return out


def keep(name: str, parts: Sequence[Part], url: str = "") -> list[Kept]:
    """Write ``parts`` of table ``name`` and name them in its manifest, all or nothing.

    Parts already kept under the same key are replaced; other keys stay.
    """
    folder = user_data_dir() / name
    folder.mkdir(parents=True, exist_ok=True)
    before = kept(name)
    staging = Path(tempfile.mkdtemp(prefix=".adding-", dir=folder))
    moved: list[Path] = []
    try:
        new: list[Kept] = []
        for part in parts:
            file = staging / f"{part.key}.parquet"
            part.frame.to_parquet(file, index=False)
            digest = sha256(file)
            new.append(
                Kept(
                    key=part.key,
                    file=f"{part.key}-{digest[:12]}.parquet",
                    sha256=digest,
                    rows=len(part.frame),
                    source_file=part.source.origin.name,
                    source_member=part.source.name,
                    source_sha256=part.source.sha256,
                    report=dict(part.report),
                    url=url,
                )
            )
        for record in new:
            target = folder / record.file
            if not target.exists():
                moved.append(target)
            os.replace(staging / f"{record.key}.parquet", target)
        _write_manifest(name, before | {k.key: k for k in new})
    except BaseException:
        for path in moved:
            path.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if not any(folder.iterdir()):
            folder.rmdir()
    named = {k.file for k in kept(name).values()}
    for old in before.values():
        if old.file not in named:
            (folder / old.file).unlink(missing_ok=True)
    return new


def _write_manifest(name: str, parts: Mapping[str, Kept]) -> None:
    folder = user_data_dir() / name
    content = {
        "manifest": MANIFEST_VERSION,
        "table": name,
        "parts": [asdict(parts[k]) for k in sorted(parts)],
    }
    temporary = folder / ".manifest.json.new"
    temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, folder / "manifest.json")
