"""What ``g287stats data list | describe | add | fetch | verify`` do, as functions returning frozen results."""

from __future__ import annotations

import base64
import importlib
import importlib.metadata
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from g287stats.catalog import archives, manifest, released, store
from g287stats.catalog.fetching import fetch
from g287stats.catalog.origins import raw_files
from g287stats.catalog.record import current_record
from g287stats.catalog.tables import BUNDLED, TABLES, Table
from g287stats.catalog.writing import working
from g287stats.errors import Problems, SchemaError, SourceError, UnavailableError, first_of, printable


@dataclass(frozen=True)
class DataList:
    """Every table and whether it is in hand: columns name, tier, status, parts, years, title."""

    frame: pd.DataFrame

    def __str__(self) -> str:
        lines = []
        for tier, rows in self.frame.groupby("tier", sort=False):
            lines.append(f"{tier}")
            width = max(len(n) for n in rows["name"])
            lines += [f"  {r.name:<{width}}  {r.status:<9}  {r.title}" for r in rows.itertuples(index=False)]
        lines.append("g287stats data describe NAME says where a table comes from and how to get what is missing.")
        return "\n".join(lines)


@dataclass(frozen=True)
class DataDescription:
    """One table in full. ``facts`` is (label, text) in reading order; ``parts`` what is in hand."""

    name: str
    facts: tuple[tuple[str, str], ...]
    parts: pd.DataFrame

    def __str__(self) -> str:
        lines = [self.name]
        for label, text in self.facts:
            wrapped = textwrap.wrap(text, 96) or [""]
            lines.append(f"  {label + ':':<12}{wrapped[0]}")
            lines += [" " * 14 + w for w in wrapped[1:]]
        if len(self.parts):
            lines.append("  in hand:")
            lines += ["    " + x for x in self.parts.to_string(index=False).splitlines()]
        return "\n".join(lines)


@dataclass(frozen=True)
class AddReport:
    """What an ``add`` or ``fetch`` kept: one row a part, with the parser's coverage report."""

    name: str
    parts: pd.DataFrame
    folder: Path
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = self.parts.drop(columns=["source_sha256"])
        lines = [
            f"{self.name}: {len(self.parts)} part{'s' if len(self.parts) != 1 else ''} kept",
            *("  " + x for x in shown.to_string(index=False).splitlines()),
            *("note: " + n for n in self.notes),
        ]
        return printable("\n".join(lines))


@dataclass(frozen=True)
class VerifyReport:
    """Checksums against what was recorded: columns table, part, file, status (ok, changed, missing,
    unreadable, broken, stray, left over)."""

    frame: pd.DataFrame

    @property
    def ok(self) -> bool:
        """Whether every file is there and unchanged."""
        return bool((self.frame["status"] == "ok").all())

    def __str__(self) -> str:
        bad = self.frame[self.frame["status"] != "ok"]
        head = f"{len(self.frame)} files checked, {len(bad)} not as recorded"
        lines = [head, *("  " + x for x in bad.to_string(index=False).splitlines() if len(bad))]
        return printable("\n".join(lines))


def table(name: str) -> Table:
    """Return the declaration of a user-supplied or downloadable table."""
    for entry in TABLES:
        if entry.name == name:
            return entry
    bundled = _bundled_names()
    if name in bundled:
        raise UnavailableError(f"{name} is inside the package already; nothing to add or fetch")
    known = ", ".join(t.name for t in TABLES)
    raise UnavailableError(f"no table is called {name!r}. Tables to add or fetch: {known}")


def missing(name: str, wanted: str = "") -> UnavailableError:
    """Return the error that says exactly how to get table ``name`` (``wanted``: the part that is missing)."""
    entry = table(name)
    what = f"{entry.title}{f', {wanted}' if wanted else ''} is not in hand"
    steps = "".join(f"\n  {n}. {s}" for n, s in enumerate(entry.steps, 1))
    return UnavailableError(f"{what}. Files: {entry.files}. From: {entry.address}{steps}")


def data_list() -> DataList:
    """List every table: bundled, user-supplied, downloadable; in hand or not."""
    rows: list[dict[str, Any]] = []
    for name in _bundled_names():
        declaration = released.schema(name)
        there = (released.released_dir() / declaration["path"]).is_file()
        rows.append(
            {
                "name": name,
                "tier": BUNDLED,
                "status": "in hand" if there else "not built",
                "parts": int(there),
                "years": declaration.get("temporal", ""),
                "title": declaration.get("title", ""),
            }
        )
    for entry in TABLES:
        have = store.kept(entry.name)
        rows.append(
            {
                "name": entry.name,
                "tier": entry.tier,
                "status": "in hand" if have else "missing",
                "parts": len(have),
                "years": _span(list(have)) or entry.years,
                "title": entry.title,
            }
        )
    return DataList(pd.DataFrame(rows))


def data_describe(name: str) -> DataDescription:
    """Say what table ``name`` is, whence, under what terms, what is in hand and how to get the rest."""
    if name in _bundled_names():
        return _describe_bundled(name)
    entry = table(name)
    have = store.kept(name)
    facts = [
        ("title", entry.title),
        ("tier", entry.tier),
        ("producer", entry.producer),
        ("years", entry.years),
        ("vintage", entry.vintage),
        ("terms", entry.terms),
        ("cite", entry.citation),
        ("address", entry.address),
        ("files", entry.files),
        ("verified", entry.verified),
        ("outcome", entry.outcome or "none"),
        *((f"step {n}", s) for n, s in enumerate(entry.steps, 1)),
    ]
    if entry.downloads:
        known = [f"{d.name} {d.sha256 or 'unknown until first fetched'}" for d in entry.downloads]
        facts.append(("sha256", "; ".join(known)))
    parts = pd.DataFrame(
        [{"part": k.key, "rows": k.rows, "source": k.source_member, "sha256": k.source_sha256} for k in have.values()]
    )
    return DataDescription(name, tuple(facts), parts)


def data_add(name: str, paths: Sequence[str | Path]) -> AddReport:
    """Check, parse and keep a user-supplied table.

    ``paths`` are the files as downloaded: zip archives, unpacked folders, or the data files themselves. All of
    them are checked before anything is kept; on any problem nothing is. Raises :class:`SourceError` listing
    every problem of every file.
    """
    entry = table(name)
    given = [Path(p).expanduser() for p in paths]
    if not given:
        raise missing(name)
    with working(store.user_data_dir()) as folder:
        members = archives.collect(given, folder, entry.wanted)
        if not members:
            named = first_of((p.name for p in given), 5)
            raise SourceError(
                f"{name}: no file of this table among {named}. Expected {entry.files}. "
                f"What it is: g287stats data describe {name}"
            )
        return _parse_and_keep(entry, members)


def data_fetch(name: str, *, address: str | None = None, refresh: bool = False, timeout: float = 60.0) -> AddReport:
    """Download, check, parse and keep a downloadable table.

    ``address`` replaces the folder the files are fetched from (a mirror). A file whose checksum is not known to
    the package is recorded when first fetched; a later download that differs is refused unless ``refresh=True``,
    which records the new one. ``timeout`` is the longest silence of the server in seconds; a file that is larger
    than the catalog says, or takes longer than ten times that, is given up. Nothing is kept that the table's parser
    does not accept, and nothing is fetched except by this function.
    """
    entry = table(name)
    if not entry.downloads:
        raise missing(name)
    base = (address or entry.address).rstrip("/") + "/"
    if urlsplit(base).scheme not in ("http", "https"):
        raise SourceError(f"{name}: {base} is not an http or https address")
    recorded = {k.source_member: k.source_sha256 for k in store.kept(name).values()}
    notes: list[str] = []
    problems = Problems(f"fetching {name} from {base}")
    with working(store.user_data_dir()) as folder:
        files = []
        for download in entry.downloads:
            file = fetch(base + download.name, folder / download.name, download.max_bytes, timeout, problems)
            if file is None:
                continue
            files.append(file)
            expected = download.sha256 or (None if refresh else recorded.get(download.name))
            found = archives.sha256(file)
            if expected and found != expected:
                whose = "this package" if download.sha256 else "the first fetch"
                problems.add(
                    f"{download.name}: sha256 is {found}, {whose} recorded {expected}",
                    remedy="The producer changed the file; to accept it: refresh=True (--refresh)",
                )
            elif not expected:
                notes.append(f"{download.name}: checksum was unknown and is now recorded: {found}")
        problems.raise_if_any(SourceError)
        with working(store.user_data_dir()) as unpacked:
            members = archives.collect(files, unpacked, entry.wanted)
            return _parse_and_keep(entry, members, url=base, notes=tuple(notes))


def data_verify() -> VerifyReport:
    """Hash again every file of the installed package, every released table, the newer record and every kept part.

    A manifest that is missing or broken is a row of its own, never a pass.
    """
    rows = [*_installed(), *_verified(released.released_dir(), "")]
    home = store.user_data_dir()
    if (home / "agreements").is_dir():
        rows += _verified_record(home / "agreements")
    for entry in TABLES:
        rows += _verified_parts(entry.name, home / entry.name)
    rows += [_row("", "", p.relative_to(home).as_posix(), "left over") for p in sorted(home.glob("**/.g287stats-w*"))]
    return VerifyReport(pd.DataFrame(rows, columns=["table", "part", "file", "status"]))


def _row(name: str, part: str, file: str, status: str) -> dict[str, str]:
    return {"table": name, "part": part, "file": file, "status": status}


def _installed() -> list[dict[str, str]]:
    """Hold every file of the wheel against the record its installer wrote; nothing for a source tree."""
    try:
        wheel = importlib.metadata.distribution("g287stats")
    except importlib.metadata.PackageNotFoundError:
        return []
    here = Path(__file__).resolve().parent.parent
    rows = []
    for file in wheel.files or ():
        path = Path(str(wheel.locate_file(file)))
        if file.hash is None or file.hash.mode != "sha256" or here not in path.resolve().parents:
            continue
        digest = base64.urlsafe_b64decode(file.hash.value + "=" * (-len(file.hash.value) % 4)).hex()
        rows.append(_row("package", "", file.as_posix(), manifest.status(path, manifest.Promise(digest))))
    return rows


def _verified(folder: Path, part: str) -> list[dict[str, str]]:
    """Hold the files of a data package against its manifest."""
    try:
        content = manifest.package(folder)
    except SchemaError:
        status = "broken" if (folder / manifest.PACKAGE).exists() else "missing"
        return [_row("", part, manifest.PACKAGE, status)]
    promised = manifest.promises(folder)
    named = {r["path"]: r["name"] for r in content["resources"]}
    rows = [_row(named.get(p, ""), part, p, manifest.status(folder / p, k)) for p, k in promised.items()]
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    strays = sorted(p for p in present - set(promised) - {manifest.PACKAGE} if not p.startswith("."))
    return rows + [_row("", part, p, "stray") for p in strays if "__pycache__" not in p]


def _verified_record(home: Path) -> list[dict[str, str]]:
    try:
        record = current_record()
    except SchemaError:
        return [_row("agreements", "record", "current", "broken")]
    return [] if record is None else _verified(record.folder, record.folder.name)


def _verified_parts(name: str, home: Path) -> list[dict[str, str]]:
    try:
        have = store.kept(name)
    except SchemaError:
        return [_row(name, "", "manifest.json", "changed")]
    rows = [
        _row(name, k.key, k.file, manifest.status(home / k.file, manifest.Promise(k.sha256))) for k in have.values()
    ]
    strays = sorted({p.name for p in home.glob("*.parquet")} - {k.file for k in have.values()})
    return rows + [_row(name, "", p, "stray") for p in strays]


def _parse_and_keep(
    entry: Table, members: list[archives.Member], url: str = "", notes: tuple[str, ...] = ()
) -> AddReport:
    parts: list[store.Part] = parser_of(entry)(members)
    kept = store.keep(entry.name, parts, url)
    rows = [
        {"part": k.key, "rows": k.rows, "source": k.source_member, **k.report, "source_sha256": k.source_sha256}
        for k in kept
    ]
    return AddReport(entry.name, pd.DataFrame(rows), store.user_data_dir() / entry.name, notes)


def parser_of(entry: Table) -> Callable[[list[archives.Member]], list[store.Part]]:
    """Return the function that reads the files of a table, imported when it is asked for."""
    module, function = entry.parser.split(":")
    return getattr(importlib.import_module(module), function)


def _bundled_names() -> list[str]:
    return sorted(p.stem for p in (released.released_dir() / "schema").glob("*.json"))


def _describe_bundled(name: str) -> DataDescription:
    declaration = released.schema(name)
    path = released.released_dir() / declaration["path"]
    sources = "; ".join(f"{s.get('title', '')} {s.get('path', '')}".strip() for s in declaration.get("sources", []))
    licences = "; ".join(x.get("title", x.get("name", "")) for x in declaration.get("licenses", []))
    raw = raw_files([name]).get(name)
    told = "{files}, read by step {step}; sha256 {sha256}; accessed: {accessed}".format(**raw) if raw else "none"
    facts = (
        ("title", declaration.get("title", "")),
        ("tier", BUNDLED),
        ("about", declaration.get("description", "")),
        ("years", str(declaration.get("temporal", "see the table's year column"))),
        ("producer", sources),
        ("terms", licences),
        ("file", declaration["path"]),
        ("sha256", archives.sha256(path) if path.is_file() else "not built: g287stats build --sources DIR"),
        ("raw files", told),
        ("columns", ", ".join(f["name"] for f in declaration["schema"]["fields"])),
    )
    return DataDescription(name, facts, pd.DataFrame())


def _span(keys: list[str]) -> str:
    """Years in part keys, contracted: ``2000–2005, 2007``."""
    years = sorted({int(k) for k in keys if re.fullmatch(r"\d{4}", k)})
    runs: list[list[int]] = []
    for y in years:
        if runs and y == runs[-1][-1] + 1:
            runs[-1].append(y)
        else:
            runs.append([y])
    return ", ".join(f"{r[0]}–{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs)
