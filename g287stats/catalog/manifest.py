"""What ``datapackage.json`` promises of each file of a folder of tables, and whether a file keeps it.

A file is hashed once a process, until its size or time changes; what was hashed is what is read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g287stats.errors import SchemaError

PACKAGE = "datapackage.json"
_seen: dict[Path, tuple[tuple[int, int, int], str]] = {}


@dataclass(frozen=True)
class Promise:
    """What is recorded of one file: checksum, size in bytes and, of a table, its rows."""

    sha256: str
    bytes: int | None = None
    rows: int | None = None


def package(folder: Path) -> dict[str, Any]:
    """Read the manifest of ``folder``; raise :class:`SchemaError` when it is missing or broken."""
    path = folder / PACKAGE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for resource in content["resources"]:
            _promise(resource)
    except FileNotFoundError:
        raise SchemaError(f"{path} is missing, so nothing beside it can be checked. {remedy(folder)}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SchemaError(f"{path} cannot be read ({type(error).__name__}: {error}). {remedy(folder)}") from error
    return content


def promises(folder: Path) -> dict[str, Promise]:
    """Return what the manifest of ``folder`` says of each file, by its path in the folder."""
    path = folder / PACKAGE
    stamp = _stamp(path) if path.is_file() else None
    if stamp is None or _promised.get(folder, (None, {}))[0] != stamp:
        content = package(folder)
        entries = [*content["resources"], *content.get("files", ())]
        _promised[folder] = (stamp, {entry["path"]: _promise(entry) for entry in entries})
    return _promised[folder][1]


_promised: dict[Path, tuple[tuple[int, int, int] | None, dict[str, Promise]]] = {}


def entry(raw: bytes) -> dict[str, Any]:
    """Return the properties ``bytes`` and ``hash`` of a file's content, as a manifest records them."""
    return {"bytes": len(raw), "hash": "sha256:" + hashlib.sha256(raw).hexdigest()}


def read(path: Path, promise: Promise, cure: str) -> bytes:
    """Return the content of ``path`` if it is what was promised; raise :class:`SchemaError` with ``cure`` if not."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise SchemaError(f"{path} is missing. {cure}") from None
    except OSError as error:
        raise SchemaError(f"{path} cannot be read ({error.strerror or error}). {cure}") from error
    check(path, raw, promise, cure)
    return raw


def check(path: Path, raw: bytes, promise: Promise, cure: str) -> None:
    """Hold the content of ``path`` against its promise; hashed once, until the file's size or time changes."""
    stamp = _stamp(path)
    known = _seen.get(path)
    if known is None or known[0] != stamp or len(raw) != stamp[1]:
        _seen[path] = known = (stamp, hashlib.sha256(raw).hexdigest())
    if known[1] == promise.sha256:
        return
    lines = "" if path.suffix != ".csv" or promise.rows is None else f" and {max(raw.count(10) - 1, 0):,} lines"
    was = "" if promise.rows is None else f" and {promise.rows:,} rows"
    size = "" if promise.bytes is None else f" where {promise.bytes:,} bytes{was} were"
    raise SchemaError(
        f"{path} is not the file that was recorded: {len(raw):,} bytes{lines}{size}. "
        f"It is cut, doubled or otherwise altered. {cure}"
    )


def forget() -> None:
    """Forget what was hashed: every file is hashed again when it is next read."""
    _seen.clear()
    _promised.clear()


def status(path: Path, promise: Promise) -> str:
    """Return ``ok``, ``missing`` or ``changed`` for a file, hashed now."""
    if not path.is_file():
        return "missing"
    try:
        with path.open("rb") as handle:
            found = hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError:
        return "unreadable"
    return "ok" if found == promise.sha256 else "changed"


def remedy(folder: Path) -> str:
    """Say how a folder of released tables is made whole."""
    if folder.name == "_released":
        return "Reinstall the package: pip install --force-reinstall g287stats"
    return f"Take the file again from where {folder} came; if the change is yours, record it: g287stats build"


def _promise(entry: Mapping[str, Any]) -> Promise:
    return Promise(str(entry["hash"]).removeprefix("sha256:"), int(entry["bytes"]), entry.get("rows"))


def _stamp(path: Path) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size, status.st_ino


def updated(content: dict[str, Any], tables: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a manifest with the properties of the named tables replaced; all others stay as promised."""
    resources: Iterable[dict[str, Any]] = content["resources"]
    return content | {"resources": [r | tables.get(r["name"], {}) for r in resources]}


def text(content: Mapping[str, Any]) -> str:
    """Render a manifest: one spelling, so that the same content is the same bytes."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
