"""The user's own tables: parsed once, kept as Parquet, named by a manifest.

A table is a folder with one Parquet file per part (a year, a state, …) and a ``manifest.json``. A part counts
only when the manifest names it; parts and manifest change together (:mod:`g287stats.catalog.writing`).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from g287stats.catalog import manifest
from g287stats.catalog.archives import Member
from g287stats.catalog.writing import Change, changing, settle
from g287stats.errors import SchemaError, SourceError

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
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["manifest"] != MANIFEST_VERSION:
            raise SchemaError(
                f"{path}: written by another version of g287stats. Remove the folder and add {name} again"
            )
        parts = {p["key"]: Kept(**p) for p in content["parts"]}
        strange = [f"{k.key!r} {k.file!r}" for k in parts.values() if not _ours(k)]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SchemaError(f"{path}: not readable ({error}). Remove the folder and add {name} again") from error
    if strange:
        raise SchemaError(f"{path} names what is no part of it: {', '.join(strange)}. Remove the folder and add again")
    return parts


def _ours(part: Kept) -> bool:
    """Whether a manifest's entry is one this package writes: a file of the folder itself, a checksum, a count."""
    names = part.key, part.file, part.sha256
    if not all(isinstance(n, str) for n in names) or not isinstance(part.rows, int):
        return False
    return bool(re.fullmatch(r"[^/\\:\x00-\x1f.][^/\\:\x00-\x1f]*\.parquet", part.file) and _SHA.fullmatch(part.sha256))


_SHA = re.compile(r"[0-9a-f]{64}")


def read_kept(name: str, keys: Iterable[str] | None = None) -> dict[str, pd.DataFrame]:
    """Read parts of table ``name`` (all, or those named), by key in key order.

    Raises :class:`SchemaError` for a part that is gone or is not what was kept.
    """
    for last in (False, True):
        have = kept(name)
        try:
            return {key: _read_part(name, have[key]) for key in sorted(have) if keys is None or key in set(keys)}
        except SchemaError:
            if last or kept(name) == have:  # else another process replaced the part between manifest and file
                raise
    raise AssertionError


def _read_part(name: str, part: Kept) -> pd.DataFrame:
    path = user_data_dir() / name / part.file
    cure = f"Add {name} again: g287stats data describe {name}"
    raw = manifest.read(path, manifest.Promise(part.sha256), cure)
    try:
        frame = pd.read_parquet(io.BytesIO(raw))
    except Exception as error:  # pyarrow raises its own kinds
        raise SchemaError(f"{path} cannot be read ({error}). {cure}") from error
    if len(frame) != part.rows:
        raise SchemaError(f"{path} holds {len(frame):,} rows where {part.rows:,} are recorded. {cure}")
    return frame


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
    kept_as = Kept(
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
    if not _ours(kept_as):
        raise SourceError(f"{part.source.label}: {part.key!r} cannot be the name of a part")
    change.put(kept_as.file, raw)
    return kept_as


def _manifest(name: str, parts: Mapping[str, Kept]) -> str:
    content = {
        "manifest": MANIFEST_VERSION,
        "table": name,
        "parts": [asdict(parts[k]) for k in sorted(parts)],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
