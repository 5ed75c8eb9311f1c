"""The newer record of agreements: kept whole, read in place of the release, never mixed with another."""

import json
import multiprocessing
import os

import pandas as pd
import pytest

from g287stats import catalog
from g287stats.catalog import manifest, record, released, store
from g287stats.errors import DataWarning, SchemaError

FORK = multiprocessing.get_context("fork")
NAMES = ("agreements", "ice_lists")
DAY = pd.Timestamp("2030-01-02")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(store.DATA_DIR_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home" / "agreements"


def released_tables():
    return {n: released.read_table(n, released.released_dir()) for n in NAMES}


def shorter(n, tables=None):
    return {name: frame.iloc[:-n] for name, frame in (tables or released_tables()).items()}


def keep(tables, before=None, day=DAY):
    return catalog.keep_record(tables, day=day, file="list.xlsx", sha256="ab" * 32, before=before)


def test_nothing_newer_is_the_release():
    assert catalog.current_record() is None
    assert catalog.record_folder(None) == released.released_dir()


def test_a_kept_record_is_read_in_place_of_the_release_and_says_so(home, monkeypatch):
    kept = keep(shorter(1))
    assert catalog.current_record() == kept
    assert kept.tables == NAMES
    assert "list of 2030-01-02: release" in str(kept)
    sizes = {n: len(f) for n, f in released_tables().items()}
    for name in NAMES:
        pd.testing.assert_frame_equal(catalog.read_released(name), shorter(1)[name])
        assert len(catalog.read_released(name, catalog.record_folder(kept))) == sizes[name] - 1
    assert len(catalog.read_released("claims"))  # what a record does not hold is released
    monkeypatch.setenv(record.RECORD_VARIABLE, "released")
    assert len(catalog.read_released("agreements")) == sizes["agreements"]


def test_records_follow_one_another_and_only_some_stay(home, monkeypatch):
    monkeypatch.setattr(record, "KEPT", 1)
    first = keep(shorter(1))
    second = keep(shorter(2), first, DAY + pd.Timedelta(days=7))
    third = keep(shorter(3), second, DAY + pd.Timedelta(days=14))
    assert [day for day, _, _ in third.lists] == ["2030-01-02", "2030-01-09", "2030-01-16"]
    assert {p.name for p in home.iterdir()} == {second.folder.name, third.folder.name, "current"}
    assert keep(shorter(3), third, DAY + pd.Timedelta(days=14)).folder.exists()


def test_updates_are_taken_back_one_by_one():
    sizes = len(released_tables()["agreements"])
    first = keep(shorter(1))
    keep(shorter(2), first, DAY + pd.Timedelta(days=7))
    assert catalog.undo_record() == first
    assert len(catalog.read_released("agreements")) == sizes - 1
    assert catalog.undo_record() is None and catalog.current_record() is None
    assert len(catalog.read_released("agreements")) == sizes
    with pytest.raises(SchemaError, match="no update to take back"):
        catalog.undo_record()


def test_an_update_of_an_older_state_is_refused():
    first = keep(shorter(1))
    for before in (None, first):
        if before is first:
            keep(shorter(2), first)
        with pytest.raises(SchemaError, match="another update was kept meanwhile"):
            keep(shorter(3), before)
    assert len(catalog.read_released("agreements")) == len(released_tables()["agreements"]) - 2


def test_tables_that_break_their_declaration_are_not_kept(home):
    tables = released_tables()
    tables["agreements"] = pd.concat([tables["agreements"]] * 2)
    with pytest.raises(SchemaError, match="primary key repeats"):
        keep(tables)
    assert not home.exists()


def test_a_record_of_another_release_is_not_read(home):
    kept = keep(shorter(1))
    path = kept.folder / manifest.PACKAGE
    content = json.loads(path.read_text("utf-8"))
    content["record"]["base"] = "0" * 64
    path.write_text(json.dumps(content), "utf-8")
    with pytest.warns(DataWarning, match="continues release"):
        assert len(catalog.read_released("agreements")) == len(released_tables()["agreements"])


@pytest.mark.parametrize("name", ["../../x", "/etc", "", ".", "..", "a/b", ".g287stats-writing"])
def test_a_pointer_names_a_record_or_is_refused(home, name):
    keep(shorter(1))
    (home / "current").write_text(name, "utf-8")
    with pytest.raises(SchemaError, match="current"):
        catalog.read_released("agreements")


def test_a_record_altered_on_the_disk_is_an_error(home):
    path = keep(shorter(1)).folder / "agreements.csv"
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(SchemaError, match=r"agreements.csv is not the file that was recorded"):
        catalog.read_released("agreements")
    assert len(catalog.read_released("ice_lists")) == len(released_tables()["ice_lists"]) - 1


def _killed_keeping(n, before):
    done = 0

    def counted(call):
        def run(*args, **kwargs):
            nonlocal done
            done += 1
            if done == n:
                os._exit(9)
            return call(*args, **kwargs)

        return run

    for name in ("fsync", "replace", "mkdir"):
        setattr(os, name, counted(getattr(os, name)))
    keep(shorter(2), before)
    os._exit(0)


def test_killed_at_every_step_of_an_update_all_tables_are_old_or_all_new():
    before = keep(shorter(1))
    seen = []
    for n in range(1, 60):
        child = FORK.Process(target=_killed_keeping, args=(n, before))
        child.start()
        child.join()
        sizes = {len(frame) - len(catalog.read_released(name)) for name, frame in released_tables().items()}
        assert len(sizes) == 1, (n, sizes)
        seen += sizes
        if sizes == {2}:  # decided: the rest of the steps tidy up
            break
    assert seen[-1] == 2
    assert set(seen[:-1]) == {1}
    assert child.exitcode == 9
