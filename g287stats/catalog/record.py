"""The newer record of agreements: tables that an update wrote, read in place of the released ones.

An update never touches the installed package. It writes all its tables at once into the user's data folder
(``$G287STATS_DATA/agreements/<list day>-<checksum>/``, a data package of its own) and then points ``current`` at
them; :func:`g287stats.catalog.read_released` reads the tables a record holds from there. For an update::

    before = catalog.current_record()                       # None: nothing newer than the release
    tables = {name: catalog.read_released(name) for name in NAMES}
    ...
    catalog.keep_record(after, day=day, file=name, sha256=checksum, before=before)

for a reader::

    record = catalog.current_record()                       # str(record) says what was taken in, and when to ignore it
    frames = {name: catalog.read_released(name, catalog.record_folder(record)) for name in NAMES}

where naming the folder keeps several tables of one reader together while another process updates. A record made
from another release of the package is not read: current_record warns and returns None. :func:`undo_record` goes
back one update. ``G287STATS_RECORD=released`` leaves the record aside, for results that must not depend on the
user's folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from g287stats.catalog import manifest
from g287stats.catalog.fields import released_dir
from g287stats.catalog.released import read_table, render, schema
from g287stats.catalog.store import user_data_dir
from g287stats.catalog.writing import changing, settle
from g287stats.errors import DataWarning, SchemaError, caution

RECORD_VARIABLE = "G287STATS_RECORD"
_HOME, _POINTER = "agreements", "current"
KEPT = 12
"""Records kept in the user's folder: how many updates can be undone."""


@dataclass(frozen=True)
class Record:
    """The newer record in hand: its folder, the day of its latest list, the release it continues, what it took in.

    ``lists`` holds (day, file, sha256) of every list taken in since the release, oldest first.
    """

    folder: Path
    day: pd.Timestamp
    release: str
    tables: tuple[str, ...]
    lists: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        return (
            f"Agreements as of the list of {self.day:%Y-%m-%d}: release {self.release} and {len(self.lists)} "
            f"newer list{'s' if len(self.lists) != 1 else ''} from {self.folder}. "
            f"{RECORD_VARIABLE}=released leaves them out"
        )


def current_record() -> Record | None:
    """Return the newer record in the user's data folder; None where there is none or it continues another release."""
    home = user_data_dir() / _HOME
    if os.environ.get(RECORD_VARIABLE) == "released" or not home.is_dir():
        return None
    settle(home)
    try:
        name = (home / _POINTER).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    if not name or PurePosixPath(name).name != name or name.startswith("."):
        raise SchemaError(f"{home / _POINTER} names {name!r}, which is no record. Remove {home}, and update again")
    content = manifest.package(home / name)
    try:
        about = content["record"]
        record = Record(
            home / name,
            pd.Timestamp(about["day"]),
            str(about["release"]),
            tuple(r["name"] for r in content["resources"]),
            tuple((day, file, checksum) for day, file, checksum in about["lists"]),
        )
        base = about["base"]
    except (KeyError, TypeError, ValueError) as error:
        where = home / name / manifest.PACKAGE
        raise SchemaError(f"{where} is not of a record ({error}). Remove {home}, and update again") from error
    if base != _base(record.tables):
        caution(
            f"{home} continues release {record.release} of the agreements, not the one installed: it is not read. "
            "Take its lists in again: g287stats agreements update",
            DataWarning,
        )
        return None
    return record


@contextlib.contextmanager
def released_only() -> Iterator[None]:
    """Leave the newer record aside inside the block: results pinned to a data version must not depend on it."""
    before = os.environ.get(RECORD_VARIABLE)
    os.environ[RECORD_VARIABLE] = "released"
    try:
        yield
    finally:
        if before is None:
            del os.environ[RECORD_VARIABLE]
        else:
            os.environ[RECORD_VARIABLE] = before


def record_folder(record: Record | None) -> Path:
    """Return the folder whose tables make up ``record``; that of the released tables for None."""
    return released_dir() if record is None else record.folder


def keep_record(
    tables: Mapping[str, pd.DataFrame], *, day: pd.Timestamp, file: str, sha256: str, before: Record | None
) -> Record:
    """Write the tables after list ``file`` of ``day`` into the user's data folder, all or nothing, and point at them.

    ``before`` is the record they were made from: raises :class:`SchemaError` when another update has been kept
    since it was read, and for tables that break their declaration.
    """
    raw = {name: render(frame, name) for name, frame in tables.items()}
    lists = [*(before.lists if before else ()), (f"{day:%Y-%m-%d}", file, sha256)]
    resources = [
        schema(name) | {"profile": "tabular-data-resource", **manifest.entry(raw[name]), "rows": len(tables[name])}
        for name in sorted(raw)
    ]
    released = manifest.package(released_dir())
    about = {
        "day": f"{day:%Y-%m-%d}",
        "release": before.release if before else released["version"],
        "base": _base(tuple(sorted(raw))),
        "lists": lists,
        "before": before.folder.name if before else "",
    }
    package = {k: v for k, v in released.items() if k not in ("resources", "files")}
    text = manifest.text(package | {"record": about, "resources": resources})
    name = f"{day:%Y-%m-%d}-{hashlib.sha256(text.encode('utf-8')).hexdigest()[:12]}"
    home = user_data_dir() / _HOME
    with changing(home) as change:
        now = current_record()
        if (now.folder if now else None) != (before.folder if before else None):
            raise SchemaError("another update was kept meanwhile; nothing of this one is. Run it again")
        for resource in resources:
            change.put(f"{name}/{resource['path']}", raw[resource["name"]])
        change.put(f"{name}/{manifest.PACKAGE}", text)
        change.put(_POINTER, name + "\n")
        keep = {name, *_chain(home, before.folder.name if before else "")}
        for old in home.iterdir():
            if old.is_dir() and not old.name.startswith(".") and old.name not in keep:
                change.remove(old.name)
    kept = current_record()
    if kept is None:
        raise SchemaError(f"the record was written into {home} but is not read: {RECORD_VARIABLE} is set to released")
    return kept


def undo_record() -> Record | None:
    """Point at the record before the last update again; return it, or None where the release is in use again.

    Raises :class:`SchemaError` where there is no update to take back. What was undone stays in its folder until the
    next update.
    """
    home = user_data_dir() / _HOME
    now = current_record()
    if now is None:
        raise SchemaError("no update to take back: the released record is in use")
    before = _chain(home, now.folder.name)[1:2]
    with changing(home) as change:
        if before:
            change.put(_POINTER, before[0] + "\n")
        else:
            change.remove(_POINTER)
    return current_record()


def _chain(home: Path, name: str) -> list[str]:
    """Return record ``name`` and those before it, newest first, as far back as they are kept."""
    found: list[str] = []
    while name and (home / name / manifest.PACKAGE).is_file() and len(found) < KEPT:
        found.append(name)
        name = str(manifest.package(home / name)["record"].get("before", ""))
    return found


def read_released(name: str, folder: Path | None = None) -> pd.DataFrame:
    """Read a released table with the types its declaration states.

    Text stays text (county codes keep their leading zero), empty cells are missing, dates are ``datetime64``,
    integers are nullable ``Int64``. ``folder`` names another folder of tables; without it a table that the newer
    record holds is read from there (:func:`current_record`). Raises :class:`SchemaError` naming file and remedy for
    a table that is not what its manifest promises.
    """
    if folder is None:
        record = current_record()
        folder = record.folder if record and name in record.tables else released_dir()
    return read_table(name, folder)


def _base(tables: tuple[str, ...]) -> str:
    """Return a checksum of the released tables a record continues."""
    promised = manifest.promises(released_dir())
    return hashlib.sha256("".join(promised[schema(n)["path"]].sha256 for n in tables).encode()).hexdigest()
