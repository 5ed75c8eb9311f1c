"""All old or all new, at whatever moment a writer fails, is killed or meets another."""

import ast
import errno
import json
import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest

import g287stats
from g287stats.catalog import writing
from g287stats.errors import SchemaError

FORK = multiprocessing.get_context("fork")
OLD = {"a.csv": "old a", "b.csv": "old b", "pointer.json": "old"}
NEW = {"a.csv": "new a", "sub/c.csv": "new c", "pointer.json": "new"}


def content(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file() and ".g287stats" not in str(p))
    return {p.relative_to(folder).as_posix(): p.read_text() for p in files}


def fill(folder, files, remove=()):
    with writing.changing(folder) as change:
        for name in remove:
            change.remove(name)
        for name, text in files.items():
            change.put(name, text)


def hidden(folder):
    return [p.name for p in folder.rglob(".g287stats*")]


def test_files_and_removals_change_together_and_nothing_else_is_left(tmp_path):
    fill(tmp_path / "deep" / "home", OLD)
    home = tmp_path / "deep" / "home"
    assert content(home) == OLD
    fill(home, NEW, remove=["b.csv", "absent.csv"])
    assert content(home) == NEW
    assert hidden(home) == []


def test_a_function_writes_the_path_it_is_given_and_one_file_has_a_short_way(tmp_path):
    with writing.changing(tmp_path) as change:
        change.put("a.parquet", lambda path: path.write_text(path.suffix))
        change.put("a.bin", b"\x00")
    assert content(tmp_path)["a.parquet"] == ".parquet"
    assert writing.write(tmp_path / "a.bin", "again").read_text() == "again"
    assert (tmp_path / "a.bin").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask():
    value = os.umask(0)
    os.umask(value)
    return value


def test_the_later_word_about_a_name_counts(tmp_path):
    with writing.changing(tmp_path) as change:
        change.put("a", "1")
        change.put("b", "1")
        change.put("a", "2")
        change.remove("b")
        change.remove("c")
        change.put("c", "3")
    assert content(tmp_path) == {"a": "2", "c": "3"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_inside_leaves_everything_and_makes_no_folder(tmp_path, error):
    fill(tmp_path / "home", OLD)
    for home in (tmp_path / "home", tmp_path / "new" / "folder"):
        with pytest.raises(error), writing.changing(home) as change:
            change.put("a.csv", "new")
            raise error
    assert content(tmp_path / "home") == OLD
    assert hidden(tmp_path) == []
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", "C:x", "a\\x", "a\x00"])
def test_names_stay_inside_the_folder_also_those_of_a_journal(tmp_path, name):
    with writing.changing(tmp_path / "home") as change:
        with pytest.raises(SchemaError, match="inside"):
            change.put(name, "x")
        with pytest.raises(SchemaError, match="inside"):
            change.remove(name)
    stage = tmp_path / "home" / ".g287stats-writing"
    stage.mkdir(parents=True)
    (stage / "0").write_text("x")
    (tmp_path / "x").write_text("mine")
    for journal in ({"put": [["0", name]], "remove": []}, {"put": [], "remove": [name]}, {"put": 3}, []):
        (stage / "journal.json").write_text(json.dumps(journal))
        with pytest.raises(SchemaError):
            writing.settle(tmp_path / "home")
    assert (tmp_path / "x").read_text() == "mine"


def test_what_is_no_file_is_not_replaced(tmp_path):
    (tmp_path / "a.csv").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("a.csv", "pipe"):
        with pytest.raises(OSError, match="is not a file"):
            writing.write(tmp_path / name, "x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError):
        writing.write(tmp_path / "file" / "a.csv", "x")
    assert hidden(tmp_path) == []


# --- killed, and out of space, at every step ----------------------------------------------------------------

STEPS = (("os", "fsync"), ("os", "replace"), ("os", "open"), ("os", "close"), ("os", "mkdir"), ("os", "unlink"))


def _stopping_at(n, how):
    """Replace the calls by which a change reaches the disk so that ``how`` happens instead of the n-th."""
    done = 0

    def counted(call):
        def run(*args, **kwargs):
            nonlocal done
            done += 1
            if done == n:
                how()
            return call(*args, **kwargs)

        return run

    for _, name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    return lambda: done


def _killed_at(folder, n):
    _stopping_at(n, lambda: os._exit(9))
    fill(folder, NEW, remove=["b.csv"])
    os._exit(0)


def test_killed_at_every_step_it_is_all_old_or_all_new_and_the_next_start_works(tmp_path):
    seen = set()
    for n in range(1, 400):
        home = tmp_path / str(n)
        fill(home, OLD)
        child = FORK.Process(target=_killed_at, args=(home, n))
        child.start()
        child.join()
        writing.settle(home)
        after = content(home)
        assert after in (OLD, NEW), n
        seen.add(after == NEW)
        fill(home, {"next": "works"})
        assert content(home) == after | {"next": "works"}
        assert hidden(home) == []
        if child.exitcode == 0:
            break
    assert child.exitcode == 0
    assert n > 30
    assert seen == {False, True}


def _full_at(folder, n, say):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    steps = _stopping_at(n, full)
    try:
        fill(folder, NEW, remove=["b.csv"])
        told = "done"
    except OSError as error:
        told = error.errno
    say.put((told, steps()))


def test_a_disk_that_fills_at_any_step_tears_nothing(tmp_path):
    for n in range(1, 400):
        home, say = tmp_path / str(n), FORK.SimpleQueue()
        fill(home, OLD)
        child = FORK.Process(target=_full_at, args=(home, n, say))
        child.start()
        child.join()
        told, steps = say.get()
        writing.settle(home)
        after = content(home)
        assert after in (OLD, NEW), n
        if told == "done":
            assert after == NEW
        fill(home, {"next": "works"})
        assert content(home) == after | {"next": "works"}
        if n > steps:
            break
    assert n > 30


# --- two at once --------------------------------------------------------------------------------------------


def _adds_lines(folder, mark, times):
    for _ in range(times):
        with writing.changing(folder) as change:
            path = folder / "lines"
            before = path.read_text() if path.exists() else ""
            time.sleep(0.0005)
            change.put("lines", before + mark)
            change.put("count", str(len(before) + 1))


def test_two_processes_lose_nothing(tmp_path):
    children = [FORK.Process(target=_adds_lines, args=(tmp_path / "home", mark, 20)) for mark in "ab"]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert sorted(content(tmp_path / "home")["lines"]) == ["a"] * 20 + ["b"] * 20
    assert content(tmp_path / "home")["count"] == "40"


def test_two_threads_lose_nothing(tmp_path):
    threads = [threading.Thread(target=_adds_lines, args=(tmp_path / "home", mark, 10)) for mark in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(content(tmp_path / "home")["lines"]) == 20


def test_waiting_has_an_end_and_changing_inside_a_change_is_told(tmp_path):
    with writing.changing(tmp_path):
        with pytest.raises(RuntimeError, match="already"), writing.changing(tmp_path):
            pass
        told = []

        def other():
            try:
                with writing.changing(tmp_path, wait=0.1):
                    pass
            except TimeoutError as error:
                told.append(str(error))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "another g287stats" in told[0]


# --- working folders ----------------------------------------------------------------------------------------


def _dies_working(base):
    with writing.working(base) as folder:
        (folder / "big").write_text("x")
        os._exit(9)


def test_working_folders_end_with_their_block_and_those_of_the_dead_with_the_next(tmp_path):
    base = tmp_path / "home"
    child = FORK.Process(target=_dies_working, args=(base,))
    child.start()
    child.join()
    assert len(hidden(base)) == 2  # the folder and its lock
    with writing.working(base) as one, writing.working(base) as two:
        assert one != two
        assert one.is_dir()
        (two / "x").write_text("x")
        assert len(list(base.iterdir())) == 2
    assert list(base.iterdir()) == []


def test_links_in_place_of_our_folders_are_not_followed(tmp_path):
    """A link under one of our names is removed or left; what it points at is neither written nor emptied."""
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    (other / "mine").write_text("mine")
    (home / ".g287stats-writing").symlink_to(other)
    (home / ".g287stats-working-x").symlink_to(other)
    fill(home, NEW)
    with writing.working(home) as folder:
        assert folder.parent.parent == home
    assert content(other) == {"mine": "mine"}
    (home / ".g287stats-lock").symlink_to(other / "mine")
    with pytest.raises(OSError), writing.changing(home):
        pass
    assert content(other) == {"mine": "mine"}


# --- no other door ------------------------------------------------------------------------------------------

WRITES = {"write_text", "write_bytes", "savefig", "to_parquet", "to_stata", "to_excel", "to_pickle"}
UNPACKING = ("archives.py", "fetching.py")  # into working folders only
DOOR = ("g287stats.catalog.writing", "g287stats.catalog")


def _writes_a_file(call):
    if isinstance(call.func, ast.Attribute):
        if call.func.attr == "to_csv":
            return bool(call.args)
        if call.func.attr == "open" and call.args:
            call = ast.Call(call.func, [None, *call.args], call.keywords)
        elif call.func.attr in WRITES:
            return True
        elif call.func.attr != "open":
            return False
    elif not (isinstance(call.func, ast.Name) and call.func.id == "open"):
        return False
    modes = [*call.args[1:2], *(k.value for k in call.keywords if k.arg == "mode")]
    return any(isinstance(m, ast.Constant) and set(str(m.value)) & set("wax+") for m in modes)


def test_whoever_writes_a_file_goes_through_the_door():
    """A function that writes the path it is given is fine only where the door is at hand."""
    root = Path(g287stats.__file__).parent
    loose = []
    for path in sorted(root.rglob("*.py")):
        if path.parent.name in ("_tests", "_analyses") or "_tests" in path.parts:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        writes = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.Call) and _writes_a_file(n)]
        imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module in DOOR]
        named = {a.name for n in imports for a in n.names}
        if writes and not named & {"write", "changing", "Change"} and path.name not in ("writing.py", *UNPACKING):
            loose.append(f"{path.relative_to(root)}: lines {writes}")
    assert not loose
