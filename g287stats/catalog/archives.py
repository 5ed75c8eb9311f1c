"""Take files out of what a user downloaded, without trusting it.

Nothing is written under a name an archive chose, and nothing is written at all before every entry of the
archive has been looked at. One bad entry refuses the whole archive.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import lzma
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from g287stats.errors import Problems, SourceError

MAX_ENTRIES = 20_000
MAX_MEMBER_BYTES = 12 << 30
MAX_TOTAL_BYTES = 32 << 30
MAX_RATIO = 200
RATIO_FLOOR_BYTES = 10 << 20
"""Below this unpacked size an entry's compression ratio is not judged: small text packs very well."""
MAX_DEPTH = 2
"""Archives inside archives are opened to this depth (openICPSR projects are zips of zips)."""

_CHUNK = 1 << 20
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What reading a damaged archive, or one packed by a method unknown here, raises."""


@dataclass(frozen=True)
class Member:
    """One file taken out of what the user supplied.

    ``name`` is its path inside the archive or folder (for recognition only), ``origin`` the file the user
    named, ``path`` where its bytes are now, ``sha256`` their checksum.
    """

    name: str
    origin: Path
    path: Path
    sha256: str

    @property
    def label(self) -> str:
        """How the file is named in messages: ``archive.zip: folder/member.txt``."""
        return self.name if self.origin.name == self.name else f"{self.origin.name}: {self.name}"

    @property
    def suffix(self) -> str:
        """Last extension in lower case, e.g. ``.tsv``."""
        return PurePosixPath(self.name).suffix.lower()


def sha256(path: Path) -> str:
    """SHA-256 of a file as hexadecimal text."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def regular(path: Path) -> Path:
    """Return ``path`` if it is a file with an end; raise :class:`OSError` for a folder, pipe, socket or device."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))
    return path


def collect(paths: list[Path], into: Path, wanted: Callable[[str], bool]) -> list[Member]:
    """Gather the wanted files of ``paths`` (files, folders, zip archives), unpacking into ``into``.

    ``wanted`` judges a member by its path inside the archive or folder. Raises :class:`SourceError` listing
    every path that does not exist, is empty, or holds an archive that may not be unpacked: entries that
    point outside, links, encrypted or duplicate entries, more than :data:`MAX_TOTAL_BYTES` unpacked, or a
    compression ratio above :data:`MAX_RATIO`.
    """
    problems = Problems("files to add")
    found: list[Member] = []
    for path in paths:
        try:
            if not path.exists():
                problems.add(f"{path}: no such file or folder")
            elif path.is_dir():
                for file in sorted(p for p in path.rglob("*") if p.is_file() and not p.is_symlink()):
                    name = file.relative_to(path).as_posix()
                    found += list(_take(file, name, file, into, wanted, problems, 0))
            else:
                found += list(_take(regular(path), path.name, path, into, wanted, problems, 0))
        except OSError as error:
            problems.add(f"{path}: cannot be read ({error.strerror or error})")
    problems.raise_if_any(SourceError)
    return found


def _take(
    file: Path,
    name: str,
    origin: Path,
    into: Path,
    wanted: Callable[[str], bool],
    problems: Problems,
    depth: int,
) -> Iterator[Member]:
    """Yield the wanted members of one file, opening it when it is an archive."""
    lower = name.lower()
    if lower.endswith((".tar", ".tgz", ".tar.gz", ".7z", ".rar")):
        problems.add(f"{name}: only zip archives are opened. Unpack it and name the folder")
    elif lower.endswith(".zip"):
        yield from _unzip(file, name, origin, into, wanted, problems, depth)
    elif lower.endswith(".gz") and wanted(name[:-3]):
        target = _target(into, name[:-3])
        try:
            with gzip.open(file, "rb") as source:
                _copy(source, target, file.stat().st_size, name)
        except _DAMAGE as error:
            problems.add(f"{name}: cannot be decompressed ({error}). Download it again")
            return
        yield Member(name[:-3], origin, target, sha256(target))
    elif wanted(name):
        if file.stat().st_size == 0:
            problems.add(f"{name}: the file is empty. Download it again")
            return
        yield Member(name, origin, file, sha256(file))


def _unzip(
    file: Path,
    name: str,
    origin: Path,
    into: Path,
    wanted: Callable[[str], bool],
    problems: Problems,
    depth: int,
) -> Iterator[Member]:
    if file.stat().st_size == 0:
        problems.add(f"{name}: the file is empty. Download it again")
        return
    try:
        archive = zipfile.ZipFile(file)
    except _DAMAGE as error:
        problems.add(f"{name}: not a complete zip archive ({error}). Download it again")
        return
    with archive:
        entries = [e for e in archive.infolist() if not e.is_dir()]
        refused = check_entries(entries, name)
        if refused:
            problems.lines += refused
            return
        nested = depth < MAX_DEPTH
        take = [e for e in entries if wanted(e.filename) or _packed(e.filename, wanted, nested)]
        need = sum(e.file_size for e in take)
        free = shutil.disk_usage(into).free
        if need > min(MAX_TOTAL_BYTES, free):
            problems.add(f"{name}: unpacks to {need:,} bytes; the limit is {MAX_TOTAL_BYTES:,} and {free:,} are free")
            return
        for entry in take:
            target = _target(into, entry.filename)
            try:
                with archive.open(entry) as source:
                    _copy(source, target, entry.compress_size, entry.filename)
            except _DAMAGE as error:
                problems.add(f"{name}: {entry.filename} cannot be unpacked ({error}). Download it again")
                continue
            if entry.filename.lower().endswith((".zip", ".gz")) and not wanted(entry.filename):
                yield from _take(target, entry.filename, origin, into, wanted, problems, depth + 1)
            elif entry.file_size == 0:
                problems.add(f"{name}: {entry.filename} is empty. Download it again")
            else:
                yield Member(entry.filename, origin, target, sha256(target))


def check_entries(entries: list[zipfile.ZipInfo], name: str) -> list[str]:
    """Return why a zip archive may not be unpacked; an empty list when it may."""
    problems = Problems(name)
    if len(entries) > MAX_ENTRIES:
        problems.add(f"{name}: {len(entries):,} entries; the limit is {MAX_ENTRIES:,}")
    outside = [e.filename for e in entries if _escapes(e.filename)]
    if outside:
        problems.add(
            f"{name}: entries point outside the archive",
            outside,
            "Not unpacked: take the file from the producer",
        )
    links = [e.filename for e in entries if stat.S_ISLNK(e.external_attr >> 16)]
    if links:
        problems.add(f"{name}: entries are symbolic links", links, "Not unpacked")
    locked = [e.filename for e in entries if e.flag_bits & 0x1]
    if locked:
        problems.add(f"{name}: entries are encrypted", locked, "Unpack it yourself and name the folder")
    seen: dict[str, int] = {}
    for e in entries:
        seen[e.filename.lower()] = seen.get(e.filename.lower(), 0) + 1
    twice = sorted(n for n, k in seen.items() if k > 1)
    if twice:
        problems.add(f"{name}: names occur twice", twice, "Not unpacked: which is meant is unclear")
    bombs = [
        f"{e.filename} ({e.file_size:,} bytes from {e.compress_size:,})"
        for e in entries
        if e.file_size > MAX_MEMBER_BYTES
        or (e.file_size > RATIO_FLOOR_BYTES and e.file_size > MAX_RATIO * max(e.compress_size, 1))
    ]
    if bombs:
        problems.add(
            f"{name}: entries unpack to far more than they hold (limit {MAX_RATIO} to 1, "
            f"{MAX_MEMBER_BYTES:,} bytes each)",
            bombs,
            "Not unpacked",
        )
    return problems.lines


def _escapes(name: str) -> bool:
    plain = name.replace("\\", "/")
    return (
        plain.startswith("/")
        or bool(re.match(r"^[A-Za-z]:", plain))
        or ".." in PurePosixPath(plain).parts
        or "\x00" in plain
    )


def _packed(name: str, wanted: Callable[[str], bool], nested: bool) -> bool:
    lower = name.lower()
    return (lower.endswith(".zip") and nested) or (lower.endswith(".gz") and wanted(name[:-3]))


def _target(into: Path, name: str) -> Path:
    """Return a fresh path in ``into`` that keeps only the extension of ``name``."""
    suffix = re.sub(r"[^.a-z0-9]", "", PurePosixPath(name.replace("\\", "/")).suffix.lower())
    return into / f"member-{sum(1 for _ in into.iterdir()):05d}{suffix}"


def _copy(source: IO[bytes] | gzip.GzipFile, target: Path, packed: int, name: str) -> None:
    """Copy a decompressing stream, counting what really comes out (declared sizes can lie)."""
    total = 0
    with target.open("wb") as out:
        while chunk := source.read(_CHUNK):
            total += len(chunk)
            if total > MAX_MEMBER_BYTES or (total > RATIO_FLOOR_BYTES and total > MAX_RATIO * max(packed, 1)):
                raise OSError(f"{name} unpacks to more than {MAX_RATIO} times its size")
            out.write(chunk)
