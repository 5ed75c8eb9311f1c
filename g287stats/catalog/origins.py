"""Which raw files the released tables were built from: noted while the build reads, kept in ``source_files``."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from g287stats.catalog import manifest
from g287stats.catalog.fields import released_dir
from g287stats.catalog.released import read_unrecorded, write_released
from g287stats.errors import Problems, SourceError

_reading: list[tuple[tuple[str, ...], set[Path]]] = []
_hooked = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note a file of a folder of sources that is opened, here or by a process started to read it."""
    if not _reading or event not in ("open", "subprocess.Popen"):
        return
    for named in arguments[:1] if event == "open" else arguments[1]:
        if isinstance(named, str | bytes | os.PathLike):
            path = os.path.abspath(os.fsdecode(named))
            for folders, found in _reading:
                if path.startswith(folders) and os.path.isfile(path):
                    found.add(Path(path))


@contextlib.contextmanager
def opened(folders: list[Path]) -> Iterator[set[Path]]:
    """Collect every file of ``folders`` that is opened inside the block, whoever opens it."""
    global _hooked
    if not _hooked:
        sys.addaudithook(_watch)  # for good: Python takes no hook off again
        _hooked = True
    found: set[Path] = set()
    ways = {os.path.join(way(f), "") for f in folders for way in (os.path.abspath, os.path.realpath)}
    _reading.append((tuple(ways), found))
    try:
        yield found
    finally:
        _reading.pop()


def record(sources: Path, read: dict[str, set[Path]], stage: Path) -> Path:
    """Write ``source_files``: each file a step read, by published name, with checksum and, if known, day taken.

    The day comes from a column ``accessed`` of ``MANIFEST.csv`` in the folder of sources. Raises
    :class:`SourceError` for a file that ``PRIVATE.sha256`` keeps out of released tables.
    """
    listed, private = sources / "MANIFEST.csv", sources / "PRIVATE.sha256"
    index = pd.read_csv(listed, dtype=str) if listed.is_file() else pd.DataFrame()
    days = dict(zip(index["sha256"], index["accessed"], strict=True)) if "accessed" in index else {}
    withheld = set(private.read_text("utf-8").split()) if private.is_file() else set()
    rows, problems = [], Problems("sources of the released tables")
    for step, files in read.items():
        for path in sorted(files):
            raw = path.read_bytes()
            digest = manifest.entry(raw)["hash"].removeprefix("sha256:")
            if digest in withheld:
                problems.add(f"step {step} reads a file that may not be released", [path.name])
            accessed = days.get(digest)
            rows.append({"step": step, "file": path.name, "bytes": len(raw), "sha256": digest, "accessed": accessed})
    problems.raise_if_any(SourceError)
    frame = pd.DataFrame(rows, columns=["step", "file", "bytes", "sha256", "accessed"]).drop_duplicates()
    if (stage / "source_files.csv").is_file():
        before = read_unrecorded("source_files", stage)
        frame = pd.concat([before[~before["step"].isin(read)].astype(object), frame.astype(object)], ignore_index=True)
    return write_released(frame, "source_files", stage)


def summary(files: pd.DataFrame) -> dict[str, Any]:
    """Say of the raw files of a step how many they are, what their checksums add up to, and when they were taken."""
    sums = sorted(files["sha256"])
    together = sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode("ascii")).hexdigest()
    days = sorted({f"{d:%Y-%m-%d}" for d in files["accessed"].dropna()})
    parts = [" to ".join(dict.fromkeys((days[0], days[-1])))] if days else []
    if unknown := int(files["accessed"].isna().sum()):
        parts.append("not recorded" if not days else f"not recorded of {unknown} files")
    accessed = "; ".join(parts)
    return {"step": files["step"].iloc[0], "files": len(files), "sha256": together, "accessed": accessed}


def raw_files(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return what is recorded of the raw files of each named table of the release that a build makes.

    ``step`` of the build, number of ``files`` it read, ``sha256`` of the file or, of several, of their sorted checksums
    (one a line), and the day they were ``accessed``. The table ``source_files`` lists them one by one. Other names are
    left out.
    """
    recorded = {r["name"]: r["raw_files"] for r in manifest.package(released_dir())["resources"] if "raw_files" in r}
    return {name: dict(recorded[name]) for name in dict.fromkeys(names) if name in recorded}
