"""The one door through which tables, pages and figures are written: whole or not at all.

Everything the package writes goes through three functions::

    write(path, content)                   # one file: text or bytes, or a function that writes the path it is given

    with changing(folder) as change:       # several files that belong together
        change.put("agreements.csv", text)
        change.put("2006.parquet", lambda path: frame.to_parquet(path, index=False))
        change.put("manifest.json", text)  # what points at the others comes last
        change.remove("2005.parquet")      # a file or a folder

    settle(folder)                         # before reading several files that belong together

``changing`` waits for the folder's lock, so what is read inside it stays true until it is written. New content is
written beside the old, flushed to the disk, and moved into place only when the block ends without an error: an
error, a full disk or a kill before that leaves everything as it was. The decision to move is itself on the disk
(a journal): a process killed between two moves is finished by the next ``changing`` or ``settle`` of the folder,
never left half done. A working folder that a killed process left is removed then.

``working(base)`` lends a folder for intermediate files (unpacked archives), removed at the end and, after a kill,
by the next start.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from g287stats.errors import SchemaError

Content = str | bytes | Callable[[Path], object]

_LOCK, _STAGE, _JOURNAL, _WORKING = ".g287stats-lock", ".g287stats-writing", "journal.json", ".g287stats-working-"
_PAUSE = 0.02
_held: dict[Path, int] = {}


def write(path: str | Path, content: Content) -> Path:
    """Write one file, replacing what was there in one step; returns its path."""
    target = Path(path)
    with changing(target.parent) as change:
        change.put(target.name, content)
    return target


@contextlib.contextmanager
def changing(folder: str | Path, wait: float = 600.0) -> Iterator[Change]:
    """Lend a :class:`Change` of ``folder`` (made if absent) whose files are put in place together when the block ends.

    Holds the folder's lock: raises :class:`TimeoutError` when another process does not give it up in ``wait``
    seconds. An exception inside the block leaves the folder as it was.
    """
    home = Path(folder).absolute()
    with _made(home), _locked(home, wait):
        _recover(home)
        change = Change(home)
        try:
            yield change
            change._commit()
        finally:
            if not (home / _STAGE / _JOURNAL).exists():
                shutil.rmtree(home / _STAGE, ignore_errors=True)


def settle(folder: str | Path) -> None:
    """Finish a change of ``folder`` that a killed process had decided; do nothing (quickly) where there is none."""
    home = Path(folder).absolute()
    if (home / _STAGE / _JOURNAL).exists():
        with _locked(home, 600.0):
            _recover(home)


@contextlib.contextmanager
def working(base: str | Path) -> Iterator[Path]:
    """Lend an empty folder inside ``base``; it is gone afterwards, and those that killed processes left as well."""
    home = Path(base).absolute()
    with _made(home):
        for left in (p for p in home.glob(f"{_WORKING}*") if not p.is_symlink()):
            with contextlib.suppress(OSError, RuntimeError), _locked(left, 0.0):  # in use: not ours
                shutil.rmtree(left, ignore_errors=True)
        mine = Path(tempfile.mkdtemp(prefix=_WORKING, dir=home))
        try:
            with _locked(mine, 60.0):
                inside = mine / "files"
                inside.mkdir()
                yield inside
                shutil.rmtree(inside, ignore_errors=True)
        finally:
            shutil.rmtree(mine, ignore_errors=True)


class Change:
    """Files to be put into one folder together; made by :func:`changing`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._moves: dict[str, str] = {}
        self._removals: list[str] = []

    def put(self, name: str, content: Content) -> Path:
        """Stage a file under its name in the folder (``/`` separates subfolders); returns where it will be.

        ``content`` is text (written as UTF-8), bytes, or a function that writes the path it is given, whose last
        extension is that of ``name``. A name put twice keeps the later content.
        """
        target = _inside(self.folder, name)
        if target.exists() and not target.is_file():
            raise OSError(f"{target} is not a file: nothing written. Choose another name or folder")
        stage = self.folder / _STAGE
        stage.mkdir(exist_ok=True)
        staged = stage / f"{len(self._moves):05d}{target.suffix}"
        while staged.exists():
            staged = staged.with_name("x" + staged.name)
        if callable(content):
            content(staged)
        else:
            staged.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        flush(staged)
        self._moves.pop(name, None)
        self._moves[name] = staged.name
        self._removals = [n for n in self._removals if n != name]
        return target

    def staged(self, name: str) -> Path:
        """Where the content put under ``name`` waits."""
        return self.folder / _STAGE / self._moves[name]

    @property
    def paths(self) -> list[Path]:
        """Where everything put so far will be, in order."""
        return [self.folder / name for name in self._moves]

    def remove(self, name: str) -> None:
        """Take a file or folder away once everything staged is in place; one that is absent is no error."""
        _inside(self.folder, name)
        self._moves.pop(name, None)
        self._removals.append(name)

    def _commit(self) -> None:
        if not self._moves and not self._removals:
            return
        stage = self.folder / _STAGE
        stage.mkdir(exist_ok=True)
        for name in self._moves:
            _inside(self.folder, name).parent.mkdir(parents=True, exist_ok=True)
        journal = stage / "journal.new"
        content = {"put": [[staged, name] for name, staged in self._moves.items()], "remove": self._removals}
        journal.write_text(json.dumps(content), encoding="utf-8")
        flush(journal)
        flush(stage)
        os.replace(journal, stage / _JOURNAL)  # from here on the change is decided
        flush(stage)
        try:
            _recover(self.folder)
        except OSError as error:
            error.add_note(f"The files are written; the next start puts the rest in place in {self.folder}")
            raise


def _recover(folder: Path) -> None:
    """Finish the decided change of ``folder``, or remove what was never decided. The caller holds the lock."""
    stage = folder / _STAGE
    if stage.is_symlink():  # never ours: what it points at is left alone
        stage.unlink()
    if not stage.is_dir():
        return
    journal = stage / _JOURNAL
    if journal.exists():
        try:
            content = json.loads(journal.read_text(encoding="utf-8"))
            puts = [(stage / PurePosixPath(staged).name, _inside(folder, name)) for staged, name in content["put"]]
            removals = [_inside(folder, name) for name in content["remove"]]
        except (ValueError, KeyError, TypeError) as error:
            raise SchemaError(f"{journal}: not a journal of g287stats ({error}). Remove the folder {stage}") from error
        for staged, target in puts:
            if staged.exists():  # else it was moved before the kill
                os.replace(staged, target)
        for parent in {target.parent for _, target in puts}:
            flush(parent)
        for target in removals:
            _discard(target)
        journal.unlink()
    shutil.rmtree(stage, ignore_errors=True)


def _inside(folder: Path, name: str) -> Path:
    """Return the path of ``name`` in ``folder``; refuse one that would leave it."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in name or "\x00" in name:
        raise SchemaError(f"{name!r} is not the name of a file inside {folder}")
    return folder.joinpath(*parts)


def _discard(target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target, ignore_errors=True)
    else:
        target.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Bring a file, or the list of a folder's files, to the disk."""
    if path.is_dir() and sys.platform == "win32":
        return  # Windows cannot open a folder
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make ``folder``; afterwards remove what was made and stayed empty."""
    new = [p for p in (folder, *folder.parents) if not p.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for made in new:
            with contextlib.suppress(OSError):  # not empty: it stays
                made.rmdir()


@contextlib.contextmanager
def _locked(folder: Path, wait: float) -> Iterator[None]:
    """Hold the lock of ``folder``. The operating system frees it when its holder dies."""
    home = folder.resolve()
    if _held.get(home) == threading.get_ident():
        raise RuntimeError(f"{folder} is being changed by the caller already")
    handle = _take(folder / _LOCK, wait)
    _held[home] = threading.get_ident()
    try:
        yield
    finally:
        del _held[home]
        if sys.platform == "win32":
            os.close(handle)
            with contextlib.suppress(OSError):
                (folder / _LOCK).unlink(missing_ok=True)
        else:  # removed while held: who waits for it finds another file under the name, and tries again
            (folder / _LOCK).unlink(missing_ok=True)
            os.close(handle)


def _take(path: Path, wait: float) -> int:
    deadline = time.monotonic() + wait
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)  # its last holder may have removed an empty folder
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except FileNotFoundError:
            continue
        if _try_lock(handle):
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), path.stat()):
                    return handle
        os.close(handle)
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{path.parent} is being written by another g287stats. Wait until it has ended")
        time.sleep(_PAUSE)


def _try_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if isinstance(error, BlockingIOError | PermissionError):
            return False
        raise
    return True
