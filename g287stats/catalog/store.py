"""The user's own tables: parsed once, kept as Parquet, named by a manifest.

A table is a folder with one Parquet file per part (a year, a state, …) and a ``manifest.json``. A part counts
only when the manifest names it; parts and manifest change together (:mod:`g287stats.catalog.writing`).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from g287stats.catalog.archives import Member
from g287stats.catalog.writing import Change, changing, settle
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
    settle(path.parent)
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
    with changing(user_data_dir() / name) as change:
        before = kept(name)
        new = [_put(change, part, url) for part in parts]
        after = before | {k.key: k for k in new}
        change.put("manifest.json", _manifest(name, after))
        for old in {k.file for k in before.values()} - {k.file for k in after.values()}:
            change.remove(old)
    return new


def _put(change: Change, part: Part, url: str) -> Kept:
    """Stage one part under a name that holds its checksum: a changed part never stands under the old name."""
    content = io.BytesIO()
    part.frame.to_parquet(content, index=False)
    raw = content.getvalue()
    digest = hashlib.sha256(raw).hexdigest()
    file = f"{part.key}-{digest[:12]}.parquet"
    change.put(file, raw)
    return Kept(
        key=part.key,
        file=file,
        sha256=digest,
        rows=len(part.frame),
        source_file=part.source.origin.name,
        source_member=part.source.name,
        source_sha256=part.source.sha256,
        report=dict(part.report),
        url=url,
    )


def _manifest(name: str, parts: Mapping[str, Kept]) -> str:
    content = {
        "manifest": MANIFEST_VERSION,
        "table": name,
        "parts": [asdict(parts[k]) for k in sorted(parts)],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
