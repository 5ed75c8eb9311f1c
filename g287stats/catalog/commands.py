"""What ``g287stats data list | describe | add | fetch | verify`` do, as functions returning frozen results."""

from __future__ import annotations

import importlib
import json
import re
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from g287stats.catalog import archives, released, store
from g287stats.catalog.tables import BUNDLED, TABLES, Table
from g287stats.errors import Problems, SchemaError, SourceError, UnavailableError


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
        return "\n".join(
            [
                f"{self.name}: {len(self.parts)} part{'s' if len(self.parts) != 1 else ''} kept",
                *("  " + x for x in shown.to_string(index=False).splitlines()),
                *("note: " + n for n in self.notes),
            ]
        )


@dataclass(frozen=True)
class VerifyReport:
    """Checksums against what was recorded: columns table, part, file, status (ok, changed, missing, stray)."""

    frame: pd.DataFrame

    @property
    def ok(self) -> bool:
        """Whether every file is there and unchanged."""
        return bool((self.frame["status"] == "ok").all())

    def __str__(self) -> str:
        bad = self.frame[self.frame["status"] != "ok"]
        head = f"{len(self.frame)} files checked, {len(bad)} not as recorded"
        return "\n".join([head, *("  " + x for x in bad.to_string(index=False).splitlines() if len(bad))])


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
    with tempfile.TemporaryDirectory(prefix="g287stats-add-") as temporary:
        members = archives.collect(given, Path(temporary), entry.wanted)
        if not members:
            named = ", ".join(p.name for p in given[:5])
            raise SourceError(
                f"{name}: no file of this table among {named}. Expected {entry.files}. "
                f"What it is: g287stats data describe {name}"
            )
        return _parse_and_keep(entry, members)


def data_fetch(name: str, *, address: str | None = None, refresh: bool = False, timeout: float = 60.0) -> AddReport:
    """Download, check, parse and keep a downloadable table.

    ``address`` replaces the folder the files are fetched from (a mirror). A file whose checksum is not known to
    the package is recorded when first fetched; a later download that differs is refused unless ``refresh=True``,
    which records the new one. Nothing is fetched except by this function.
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
    with tempfile.TemporaryDirectory(prefix="g287stats-fetch-") as temporary:
        files = []
        for download in entry.downloads:
            expected = download.sha256 or (None if refresh else recorded.get(download.name))
            file = _download(base + download.name, download.name, Path(temporary), timeout, problems)
            if file is None:
                continue
            found = archives.sha256(file)
            if expected and found != expected:
                whose = "this package" if download.sha256 else "the first fetch"
                problems.add(
                    f"{download.name}: sha256 is {found}, {whose} recorded {expected}",
                    remedy="The producer changed the file; to accept it: refresh=True (--refresh)",
                )
            elif not expected:
                notes.append(f"{download.name}: checksum was unknown and is now recorded: {found}")
            files.append(file)
        problems.raise_if_any(SourceError)
        with tempfile.TemporaryDirectory(prefix="g287stats-add-") as unpacked:
            members = archives.collect(files, Path(unpacked), entry.wanted)
            return _parse_and_keep(entry, members, url=base, notes=tuple(notes))


def data_verify() -> VerifyReport:
    """Hash every bundled table and every kept part again and compare with what was recorded."""
    rows: list[dict[str, str]] = []
    folder = released.released_dir()
    package = folder / "datapackage.json"
    if package.is_file():
        for resource in json.loads(package.read_text(encoding="utf-8"))["resources"]:
            status = _status(folder / resource["path"], resource["hash"].removeprefix("sha256:"))
            rows.append({"table": resource["name"], "part": "", "file": resource["path"], "status": status})
    for entry in TABLES:
        home = store.user_data_dir() / entry.name
        try:
            have = store.kept(entry.name)
        except SchemaError:
            rows.append({"table": entry.name, "part": "", "file": "manifest.json", "status": "changed"})
            continue
        for k in have.values():
            status = _status(home / k.file, k.sha256)
            rows.append({"table": entry.name, "part": k.key, "file": k.file, "status": status})
        if home.is_dir():
            for stray in sorted({p.name for p in home.glob("*.parquet")} - {k.file for k in have.values()}):
                rows.append({"table": entry.name, "part": "", "file": stray, "status": "stray"})
    return VerifyReport(pd.DataFrame(rows, columns=["table", "part", "file", "status"]))


def _parse_and_keep(
    entry: Table, members: list[archives.Member], url: str = "", notes: tuple[str, ...] = ()
) -> AddReport:
    parts: list[store.Part] = _parser(entry)(members)
    kept = store.keep(entry.name, parts, url)
    rows = [
        {"part": k.key, "rows": k.rows, "source": k.source_member, **k.report, "source_sha256": k.source_sha256}
        for k in kept
    ]
    return AddReport(entry.name, pd.DataFrame(rows), store.user_data_dir() / entry.name, notes)


def _parser(entry: Table) -> Callable[[list[archives.Member]], list[store.Part]]:
    module, function = entry.parser.split(":")
    return getattr(importlib.import_module(module), function)


def _download(url: str, name: str, folder: Path, timeout: float, problems: Problems) -> Path | None:
    import pooch

    try:
        got = pooch.retrieve(
            url,
            known_hash=None,
            fname=name,
            path=folder,
            downloader=pooch.HTTPDownloader(timeout=timeout),
        )
    except Exception as error:  # requests raises many kinds; each means the file did not arrive
        problems.add(
            f"{name}: not fetched ({type(error).__name__}: {error})",
            remedy="Check the address in a browser; a file saved by hand can be added: g287stats data add",
        )
        return None
    return Path(got)


def _status(path: Path, recorded: str) -> str:
    if not path.is_file():
        return "missing"
    return "ok" if archives.sha256(path) == recorded else "changed"


def _bundled_names() -> list[str]:
    return sorted(p.stem for p in (released.released_dir() / "schema").glob("*.json"))


def _describe_bundled(name: str) -> DataDescription:
    declaration = released.schema(name)
    path = released.released_dir() / declaration["path"]
    sources = "; ".join(f"{s.get('title', '')} {s.get('path', '')}".strip() for s in declaration.get("sources", []))
    licences = "; ".join(x.get("title", x.get("name", "")) for x in declaration.get("licenses", []))
    facts = (
        ("title", declaration.get("title", "")),
        ("tier", BUNDLED),
        ("about", declaration.get("description", "")),
        ("years", str(declaration.get("temporal", "see the table's year column"))),
        ("producer", sources),
        ("terms", licences),
        ("file", declaration["path"]),
        ("sha256", archives.sha256(path) if path.is_file() else "not built: g287stats build --sources DIR"),
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
