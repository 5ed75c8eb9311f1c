"""Look a workbook over before anything that could be brought down by it reads it.

The reader of workbooks lays out every cell up to the outermost one, so that one cell at ``XFD1048576`` aborts the
process. Every part of an .xlsx archive is therefore parsed first, as XML and not by patterns: where its cells are,
however they are written, how many there are, whether any holds a formula. An .xls file has no such parts; it is
read by a process of its own (:func:`rows_of_xls`).
"""

from __future__ import annotations

import io
import pickle
import re
import subprocess
import sys
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from g287stats.catalog.archives import check_entries, regular
from g287stats.errors import Problems, SourceError

_REFERENCE = re.compile(r"([A-Za-z]{1,3})([1-9][0-9]{0,6})")
_CHUNK = 1 << 16
_XLS_SECONDS, _XLS_BYTES = 120, 4 << 30


@dataclass(frozen=True)
class Limits:
    """What a workbook may hold: bytes packed and unpacked, rows, columns, cells, shared strings, formulas or none."""

    packed: int = 16 << 20
    unpacked: int = 96 << 20
    rows: int = 100_000
    columns: int = 64
    cells: int = 2_000_000
    strings: int = 1_000_000
    formulas: bool = False


def checked(path: Path, limits: Limits) -> bytes:
    """Return the bytes of an intact .xlsx workbook within ``limits``; raise :class:`SourceError` with all that is not.

    Refused: what is no archive or a damaged one, parts named twice or encrypted, other kinds of workbook (.xlsb,
    .ods), a part that is not well-formed or declares entities, cells beyond the limits wherever and however they
    are written, formulas.
    """
    data = _bytes(path, limits)
    problems = Problems(path.name)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            problems.lines += check_entries(entries, path.name)
            unpacked = sum(e.file_size for e in entries)
            if unpacked > limits.unpacked:
                problems.add(f"unpacks to {unpacked:,} bytes; at most {limits.unpacked:,} are read")
            names = {e.filename.lower() for e in entries}
            if "xl/workbook.xml" not in names or "xl/workbook.bin" in names or "content.xml" in names:
                problems.add("is not an .xlsx workbook")
            problems.raise_if_any(SourceError)
            for entry in entries:
                part = _walk(archive, entry, limits)
                for what, where in part.problems(limits):
                    problems.add(f"{entry.filename} {what}", where, show=4)
    except SourceError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise SourceError(f"{path.name}: not an intact .xlsx archive ({error}). Fetch the file again") from error
    problems.raise_if_any(SourceError)
    return data


def _bytes(path: Path, limits: Limits) -> bytes:
    try:
        size = regular(path).stat().st_size
        if size > limits.packed:
            raise SourceError(f"{path.name}: {size:,} bytes; at most {limits.packed:,} are read")
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from error


@dataclass
class _Part:
    """What one part of the archive holds, counted while it is parsed."""

    row: int = 0
    column: int = 0
    rows: int = 0
    columns: int = 0
    cells: int = 0
    strings: int = 0
    inside: list[str] = field(default_factory=list)
    formulas: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    broken: str = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        plain = name.rpartition(":")[2]
        if plain == "row":
            self._row(attributes.get("r"))
        elif plain == "c":
            self._cell(attributes.get("r"))
        elif plain == "f" and self.inside and self.inside[-1] == "c":
            self.formulas.append(f"{_letters(self.column)}{self.row}")
        elif plain == "si":
            self.strings += 1
        self.inside.append(plain)

    def end(self, _: str) -> None:
        self.inside.pop()

    def _row(self, said: str | None) -> None:
        if said is not None and not re.fullmatch(r"[1-9][0-9]{0,9}", said):
            self.strange.append(f"row {said!r}")
        else:
            self.row = int(said) if said else self.row + 1
        self.column, self.rows = 0, max(self.rows, self.row)

    def _cell(self, said: str | None) -> None:
        self.cells += 1
        match = _REFERENCE.fullmatch(said) if said is not None else None
        if match:
            self.column, self.row = _number(match.group(1)), int(match.group(2))
        elif said is None:
            self.column += 1
        else:
            self.strange.append(f"cell {said!r}")
        self.rows, self.columns = max(self.rows, self.row), max(self.columns, self.column)

    def problems(self, limits: Limits) -> list[tuple[str, list[str]]]:
        found: list[tuple[str, list[str]]] = []
        if self.broken:
            found.append((f"is not well-formed ({self.broken}). Fetch the file again", []))
        if self.rows > limits.rows or self.columns > limits.columns:
            far = f"reaches row {self.rows:,} and column {self.columns:,}"
            found.append((f"{far}; at most {limits.rows:,} × {limits.columns} are read", []))
        if self.cells > limits.cells or self.strings > limits.strings:
            found.append((f"holds {self.cells:,} cells and {self.strings:,} strings, more than is read", []))
        if self.strange:
            found.append(("has cells or rows out of place", self.strange))
        if self.formulas and not limits.formulas:
            found.append(("holds formulas", self.formulas))
        return found


def _walk(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limits: Limits) -> _Part:
    """Parse one entry if it is XML, whatever its name; the checksum of every entry is verified on the way."""
    part = _Part()
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = part.start, part.end
    parser.StartDoctypeDeclHandler = _no_doctype
    with archive.open(entry) as stream:
        chunk = stream.read(_CHUNK)
        start = chunk.lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")
        xml = start.startswith(b"<") or entry.filename.lower().endswith(".xml")
        while chunk:
            if xml and not part.broken:
                try:
                    parser.Parse(chunk, False)
                except (expat.ExpatError, ValueError) as error:
                    part.broken = str(error)
                if part.cells > limits.cells or part.strings > limits.strings or len(part.strange) > 100:
                    return part
            chunk = stream.read(_CHUNK)
        if xml and not part.broken:
            try:
                parser.Parse(b"", True)
            except expat.ExpatError as error:
                part.broken = str(error)
    return part


def _no_doctype(*_: Any) -> None:
    raise ValueError("it declares a document type or entities")


def _number(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number


def _letters(number: int) -> str:
    text = ""
    while number > 0:
        number, rest = divmod(number - 1, 26)
        text = chr(65 + rest) + text
    return text


_XLS = """
import pickle, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
except ImportError:
    pass
import python_calamine
book = python_calamine.CalamineWorkbook.from_filelike(open(sys.argv[1], "rb"))
rows = {s: book.get_sheet_by_name(s).to_python(skip_empty_area=False) for s in book.sheet_names}
pickle.dump(rows, sys.stdout.buffer)
"""


def rows_of_xls(path: Path, label: str) -> dict[str, list[list[Any]]]:
    """Return the rows of every sheet of a workbook, read by a process of its own with bounded memory and time.

    A file that brings its reader down raises :class:`SourceError`, and nothing else happens.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _XLS, str(regular(path).resolve()), str(_XLS_BYTES)],
            capture_output=True,
            timeout=_XLS_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SourceError(f"{label}: not read in {_XLS_SECONDS} seconds. Is this the file?") from None
    if done.returncode:
        why = (done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit {done.returncode}"])[-1]
        raise SourceError(f"{label}: not a readable workbook ({why}). Fetch the file again")
    return pickle.loads(done.stdout)
