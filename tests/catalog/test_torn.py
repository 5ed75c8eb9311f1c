"""Kill -9 at random moments, a disk that is full at every tenth, two processes at once: all old or all new.

The quick tests run a few rounds of the real commands; the slow ones the full number, and print what they found
(``g287stats test -m slow -s -k torn``).
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

import g287stats
from g287stats import catalog
from g287stats.catalog import released, store

TABLES = ("agreements", "agencies", "applications", "ice_lists", "list_presence", "qa_exits", "qa_list_counts")
ROOT = Path(g287stats.__file__).parent.parent

SETUP = f"""
import os, sys
import pandas as pd
from g287stats import catalog
from g287stats.catalog import archives, released, store
from pathlib import Path

NAMES = {TABLES!r}

def tables(less):
    folder = released.released_dir()
    return {{n: released.read_table(n, folder).iloc[: -less or None] for n in NAMES}}

def update(less, day):
    before = catalog.current_record()
    catalog.keep_record(tables(less), day=pd.Timestamp(day), file="list.xlsx", sha256="0" * 64, before=before)

def add(keys, rows):
    source = Path(__file__ if "__file__" in globals() else sys.executable)
    member = archives.Member("source", source, source, "0" * 64)
    frame = pd.DataFrame({{"x": range(rows), "text": [f"row {{n}}" for n in range(rows)]}})
    store.keep("ncvs", [store.Part(key, frame.assign(key=key), member) for key in keys])
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(store.DATA_DIR_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


def start(code, home):
    environment = os.environ | {store.DATA_DIR_VARIABLE: str(home), "PYTHONPATH": str(ROOT)}
    text = SETUP + "print('ready', flush=True)\nsys.stdin.readline()\n" + code + "\nprint('kept', flush=True)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", text], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def go(process):
    process.stdin.write("\n")
    process.stdin.flush()


def said(process):
    """Whether the process reported its work as kept before it ended."""
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    text = process.stdout.read()
    process.wait()
    process.stdout.close()
    return "kept" in text


def shortfalls():
    """How many rows fewer than released each table of the record has: one number when nothing is torn."""
    folder = released.released_dir()
    return {len(released.read_table(n, folder)) - len(catalog.read_released(n)) for n in TABLES}


def hidden(home):
    return [p.name for p in home.rglob(".g287stats-w*")]


def duration(code, home):
    process = start(code, home)
    begun = time.monotonic()
    go(process)
    assert said(process)
    return time.monotonic() - begun


def killed_updates(rounds, home, seed):
    """Kill an update at random moments; returns how often the old and how often the new record was found."""
    random, found = Random(seed), {"old": 0, "new": 0, "kept": 0}
    takes = duration("update(1, '2030-01-01')", home)
    now = 1
    for n in range(rounds):
        process = start(f"update({now % 3 + 1}, '2030-01-02')", home)
        go(process)
        time.sleep(random.uniform(0, 1.1 * takes))
        process.send_signal(signal.SIGKILL)
        kept = said(process)
        (after,) = shortfalls()
        assert after in (now, now % 3 + 1), n
        assert after == now % 3 + 1 or not kept, "reported kept, and lost"
        found["new" if after != now else "old"] += 1
        found["kept"] += kept
        now = after
    assert duration(f"update({now % 3 + 1}, '2030-01-03')", home) > 0  # the next start works
    assert shortfalls() == {now % 3 + 1}
    assert hidden(home) == []
    return found


def killed_adds(rounds, home, seed):
    random, found = Random(seed), {"old": 0, "new": 0, "kept": 0}
    takes = duration("add(['a', 'b', 'c'], 20000)", home)
    rows = 20000
    for n in range(rounds):
        process = start(f"add(['a', 'b', 'c'], {rows + 1})", home)
        go(process)
        time.sleep(random.uniform(0, 1.1 * takes))
        process.send_signal(signal.SIGKILL)
        kept = said(process)
        (after,) = {len(frame) for frame in store.read_kept("ncvs").values()}
        assert after in (rows, rows + 1), n
        assert after == rows + 1 or not kept, "reported kept, and lost"
        found["new" if after != rows else "old"] += 1
        found["kept"] += kept
        rows = after
    assert duration("add(['d'], 10)", home) > 0
    assert sorted(store.read_kept("ncvs")) == ["a", "b", "c", "d"]
    assert catalog.data_verify().frame.query("table == 'ncvs' and status != 'ok'").empty
    assert hidden(home) == []
    return found


def full_disks(home, tenths=10):
    """Fill the disk at every tenth of what an update writes; returns the sizes of record found after each."""
    process = start("update(1, '2030-01-01')", home)
    go(process)
    assert said(process)
    whole = sum(p.stat().st_size for p in catalog.current_record().folder.rglob("*") if p.is_file())
    code = """
from g287stats.catalog import writing
import errno
room, flush = [{room}], writing.flush
def counted(path):
    if path.is_file():
        room[0] -= path.stat().st_size
        if room[0] < 0:
            path.write_bytes(path.read_bytes()[: max(room[0], 0)])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
    flush(path)
writing.flush = counted
try:
    update(2, '2030-01-02')
except OSError as error:
    print('full')
    sys.exit(0)
"""
    sizes = []
    for tenth in range(tenths + 1):
        process = start(code.format(room=whole * tenth // tenths + 20_000 * (tenth == tenths)), home)
        go(process)
        kept = said(process)
        (after,) = shortfalls()
        assert after == (2 if kept else 1)
        sizes.append(after)
    assert hidden(home) == []
    return sizes


def races(rounds, home):
    """Two processes add different parts of one table at once; returns in how many rounds a part was lost."""
    lost = 0
    for n in range(rounds):
        pair = [start(f"add(['{n}{mark}'], 500)", home) for mark in "ab"]
        for process in pair:
            go(process)
        kept = [said(process) for process in pair]  # both are waited for
        assert kept == [True, True]
        lost += not {f"{n}a", f"{n}b"} <= set(store.read_kept("ncvs"))
    assert len(store.read_kept("ncvs")) == 2 * rounds - lost
    assert hidden(home) == []
    return lost


def test_killed_updates_are_old_or_new(home):
    assert killed_updates(2, home, seed=1)["new"] >= 0


def test_killed_adds_are_old_or_new(home):
    assert killed_adds(2, home, seed=2)["new"] >= 0


def test_a_disk_full_at_every_tenth_is_old_or_new(home):
    sizes = full_disks(home, tenths=2)
    assert sizes[0] == 1
    assert sizes[-1] == 2


def test_two_at_once_lose_nothing(home):
    assert races(1, home) == 0


@pytest.mark.slow
def test_all_of_it_a_hundred_times(home, tmp_path, capsys, monkeypatch):
    found = {}
    for name, act in (
        ("kill -9 during agreements update, 100 moments", lambda h: killed_updates(100, h, seed=3)),
        ("kill -9 during data add, 100 moments", lambda h: killed_adds(100, h, seed=4)),
        ("disk full at every tenth of an update: rows missing from the release after each", full_disks),
        ("two processes adding at once, 100 runs: runs that lost a part", lambda h: races(100, h)),
    ):
        folder = tmp_path / str(len(found))
        monkeypatch.setenv(store.DATA_DIR_VARIABLE, str(folder))
        found[name] = act(folder)
    with capsys.disabled():
        print()
        for name, figure in found.items():
            print(f"{name}: {figure}")
    assert found["two processes adding at once, 100 runs: runs that lost a part"] == 0
