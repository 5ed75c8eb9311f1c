"""list, describe, add, fetch, verify: nothing partial, everything named."""

import contextlib
import dataclasses
import errno
import functools
import http.server
import os
import threading
import time
import warnings
import zipfile

import pandas as pd
import pytest
from fixtures import nacjd

from g287stats import catalog, cli
from g287stats.catalog import commands, fetching, store, tables, writing
from g287stats.errors import DataWarning, SourceError, UnavailableError
from g287stats.outcomes import OUTCOMES


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(store.DATA_DIR_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


def test_list_shows_all_three_tiers_and_what_is_missing():
    frame = catalog.data_list().frame
    assert set(frame["tier"]) == {"bundled", "user-supplied", "downloadable"}
    assert {t.name for t in tables.TABLES} <= set(frame["name"])
    row = frame.set_index("name").loc["icpsr-county-crimes"]
    assert row["status"] == "missing"
    assert "icpsr-county-crimes" in str(catalog.data_list())


def test_describe_says_study_file_address_steps_terms():
    text = str(catalog.data_describe("icpsr-county-crimes"))
    for part in ("23780 (2006)", "DS0004", "https://www.icpsr.umich.edu", "data add icpsr-county-crimes", "terms"):
        assert part in text
    bundled = str(catalog.data_describe("county_list"))
    assert "sha256" in bundled
    assert "Census" in bundled


@pytest.mark.parametrize("entry", tables.TABLES, ids=lambda t: t.name)
def test_every_declared_table_is_complete_and_its_parser_exists(entry):
    assert callable(commands.parser_of(entry))
    for value in (entry.title, entry.terms, entry.citation, entry.address, entry.files, entry.verified):
        assert value
    assert any("g287stats data" in s for s in entry.steps)
    assert entry.outcome in OUTCOMES or entry.name in ("ncvs", "presidential-votes")  # a survey, a control
    if entry.tier == tables.DOWNLOADABLE:
        assert entry.downloads


@pytest.mark.parametrize("entry", tables.TABLES, ids=lambda t: t.name)
def test_every_table_refuses_a_path_outside_an_empty_file_and_no_file(entry, tmp_path, home):
    name = {
        "icpsr-county-crimes": "23780-0004-Data.txt",
        "icpsr-county-arrests": "23780-0001-Data.txt",
        "kaplan-offenses": "offenses_known_monthly_2006.csv",
        "fbi-return-a": "reta-2006.txt",
        "fbi-cde-summarized": "NC0370000_MVT.json",
        "rtci-agency-months": "final_sample.csv",
        "cdc-county-homicide": "export.txt",
        "open-policing-stops": "nc_statewide_2020_04_01.csv",
        "census-usa-counties-crime": "CRM01.xls",
        "ncvs": "38604-0001-Data.tsv",
        "presidential-votes": "countypres_2000-2020.csv",
    }[entry.name]
    assert entry.wanted(name)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as z:
        z.writestr(f"../{name}", "x")
    with pytest.raises(SourceError, match="point outside the archive"):
        catalog.data_add(entry.name, [tmp_path / "a.zip"])
    (tmp_path / name).write_text("")
    with pytest.raises(SourceError, match="the file is empty"):
        catalog.data_add(entry.name, [tmp_path / name])
    with pytest.raises(UnavailableError, match="is not in hand"):
        catalog.data_add(entry.name, [])
    assert not home.exists()


def test_unknown_and_bundled_names():
    with pytest.raises(UnavailableError, match="no table is called 'x'"):
        catalog.data_describe("x")
    with pytest.raises(UnavailableError, match="inside the package already"):
        catalog.data_add("county_list", ["x"])


def test_add_keeps_parts_and_verify_sees_change(tmp_path, home):
    report = catalog.data_add("icpsr-county-crimes", [nacjd.write_crimes(tmp_path, y) for y in (2001, 2009)])
    assert list(report.parts["part"]) == ["2001", "2009"]
    assert list(report.parts["tribal_or_statewide"]) == [4, 6]
    assert "2 parts kept" in str(report)
    listed = catalog.data_list().frame.set_index("name").loc["icpsr-county-crimes"]
    assert (listed["status"], listed["years"]) == ("in hand", "2001, 2009")
    assert catalog.data_verify().frame.query("table == 'icpsr-county-crimes'")["status"].tolist() == ["ok", "ok"]
    file = next((home / "icpsr-county-crimes").glob("2001-*.parquet"))
    file.write_bytes(file.read_bytes() + b"x")
    next((home / "icpsr-county-crimes").glob("2009-*.parquet")).unlink()
    (home / "icpsr-county-crimes" / "other.parquet").write_bytes(b"")
    verify = catalog.data_verify()
    assert not verify.ok
    assert verify.frame.query("table == 'icpsr-county-crimes'")["status"].tolist() == ["changed", "missing", "stray"]
    assert "changed" in str(verify)


def test_same_input_gives_same_cache_bytes(tmp_path, home):
    path = nacjd.write_crimes(tmp_path, 2003)
    first = catalog.data_add("icpsr-county-crimes", [path])
    before = {p.name: p.read_bytes() for p in sorted(first.folder.iterdir())}
    second = catalog.data_add("icpsr-county-crimes", [path])
    assert {p.name: p.read_bytes() for p in sorted(second.folder.iterdir())} == before


def test_one_bad_file_keeps_nothing_and_leaves_what_was_there(tmp_path, home):
    good = nacjd.write_crimes(tmp_path, 2003)
    catalog.data_add("icpsr-county-crimes", [good])
    before = sorted(p.name for p in (home / "icpsr-county-crimes").iterdir())
    bad = tmp_path / "04466-0004-Data.txt"
    bad.write_text(nacjd.fixed(nacjd.crimes(2004))[:5000])
    with pytest.raises(SourceError, match=r"04466-0004-Data.txt.*truncated|Truncated"):
        catalog.data_add("icpsr-county-crimes", [nacjd.write_crimes(tmp_path, 2005), bad])
    assert sorted(p.name for p in (home / "icpsr-county-crimes").iterdir()) == before


def test_failure_while_writing_keeps_nothing(tmp_path, home, monkeypatch):
    def full(path):
        if path.suffix == ".json":  # the list of a table's files, after the files
            raise OSError("disk full")

    monkeypatch.setattr(writing, "flush", full)
    with pytest.raises(OSError, match="disk full"):
        catalog.data_add("icpsr-county-crimes", [nacjd.write_crimes(tmp_path, 2003)])
    assert store.kept("icpsr-county-crimes") == {}
    assert not (home / "icpsr-county-crimes").exists()


def test_no_member_of_the_table_among_the_files(tmp_path):
    (tmp_path / "codebook.pdf").write_text("x")
    with pytest.raises(SourceError, match=r"no file of this table among codebook.pdf"):
        catalog.data_add("icpsr-county-crimes", [tmp_path / "codebook.pdf"])


def test_missing_names_everything_needed():
    text = str(catalog.missing("icpsr-county-crimes", "2006"))
    for part in ("2006 is not in hand", "DS0004", "https://", "1. ", "g287stats data add"):
        assert part in text


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "www"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()


@pytest.fixture
def fetchable(monkeypatch):
    """A downloadable table of one small file, read by a stand-in parser."""
    entry = tables.Table(
        name="small",
        title="Small",
        tier=tables.DOWNLOADABLE,
        producer="p",
        years="2000",
        vintage="v",
        terms="t",
        citation="c",
        address="http://127.0.0.1:9/",
        files="a.csv",
        steps=("g287stats data fetch small",),
        members=r"a\.csv$",
        parser="test:parse",
        verified="no",
        downloads=(tables.Download("a.csv"),),
    )
    monkeypatch.setattr(commands, "TABLES", (entry,))
    monkeypatch.setattr(
        commands, "parser_of", lambda e: lambda ms: [store.Part("all", pd.read_csv(m.path), m) for m in ms]
    )
    return entry


def test_fetch_records_unknown_checksum_then_holds_to_it(server, fetchable):
    folder, url = server
    (folder / "a.csv").write_text("x\n1\n")
    first = catalog.data_fetch("small", address=url)
    assert "checksum was unknown and is now recorded" in first.notes[0]
    assert store.kept("small")["all"].url == url
    assert catalog.data_fetch("small", address=url).notes == ()
    (folder / "a.csv").write_text("x\n2\n")
    with pytest.raises(SourceError, match="the first fetch recorded"):
        catalog.data_fetch("small", address=url)
    assert catalog.read_kept("small")["all"]["x"].tolist() == [1]
    catalog.data_fetch("small", address=url, refresh=True)
    assert catalog.read_kept("small")["all"]["x"].tolist() == [2]


def test_fetch_failure_says_what_to_do_and_keeps_nothing(server, fetchable):
    with pytest.raises(SourceError, match=r"a.csv: not fetched .*saved by hand can be added"):
        catalog.data_fetch("small", address=server[1])
    assert store.kept("small") == {}
    with pytest.raises(SourceError, match="not an http"):
        catalog.data_fetch("small", address="file:///etc/")


def test_user_supplied_table_is_never_fetched():
    with pytest.raises(UnavailableError, match="ICPSR"):
        catalog.data_fetch("icpsr-county-crimes")


# --- hostile answers ----------------------------------------------------------------------------------------


@pytest.fixture
def answering():
    """A server whose answer the test writes: a function of the request handler."""
    servers = []

    def serve(answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                answer(self)

            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def _answers(handler, body=b"", status=200, **headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def _endless(handler):
    _answers(handler)
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b"x" * 65536)


def _drips(handler):
    _answers(handler, Content_Length="50")
    with contextlib.suppress(OSError):
        for _ in range(50):
            handler.wfile.write(b"x")
            time.sleep(0.1)


HOSTILE = {
    "announces too much": (lambda h: _answers(h, b"x", Content_Length=str(1 << 40)), "bytes are announced"),
    "never ends": (_endless, "more than the expected"),
    "drips": (_drips, "arrived in the time allowed"),
    "ends early": (lambda h: _answers(h, b"x\n1\n", Content_Length="500"), "not fetched"),
    "a page": (lambda h: _answers(h, b"\n<!DOCTYPE html><p>log in"), "a page, not the file"),
    "not there": (lambda h: _answers(h, status=404), "Not Found"),
    "sends on to a file": (lambda h: _answers(h, status=302, Location="file:///etc/passwd"), "not fetched"),
    "sends on to ftp": (lambda h: _answers(h, status=302, Location="ftp://127.0.0.1/a"), "sends on to"),
    "sends on for ever": (lambda h: _answers(h, status=302, Location="/again"), "not fetched"),
    "is no server": (lambda h: h.wfile.write(b"\x00" * 200), "not fetched"),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_answer_is_given_up_and_nothing_is_kept(answering, fetchable, home, monkeypatch, capfd, how):
    answer, told = HOSTILE[how]
    small = dataclasses.replace(fetchable.downloads[0], max_bytes=1 << 20)
    monkeypatch.setattr(commands, "TABLES", (dataclasses.replace(fetchable, downloads=(small,)),))
    monkeypatch.setattr(fetching, "PATIENCE", 1)
    with pytest.raises(SourceError, match=told):
        catalog.data_fetch("small", address=answering(answer), timeout=0.8)
    assert not home.exists()
    assert capfd.readouterr() == ("", "")


def test_content_the_parser_refuses_is_not_kept_and_nothing_else_is_said(server, fetchable, home, capfd):
    (server[0] / "a.csv").write_bytes(b'"')
    with pytest.raises(pd.errors.ParserError):
        catalog.data_fetch("small", address=server[1])
    assert not home.exists()
    assert "known_hash" not in "".join(capfd.readouterr())


def test_unpacked_files_of_a_killed_add_are_gone_after_the_next(tmp_path, home):
    left = home / ".g287stats-working-dead"
    (left / "files").mkdir(parents=True)
    (left / "files" / "big.txt").write_text("x")
    catalog.data_add("icpsr-county-crimes", [nacjd.write_crimes(tmp_path, 2003)])
    assert [p.name for p in home.iterdir()] == ["icpsr-county-crimes"]


# --- the command line ---------------------------------------------------------------------------------------


def _fails(capsys, *argv):
    assert cli.main(list(map(str, argv))) == 1
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert "\x1b" not in out + err
    assert err.strip()
    return err


def test_every_command_that_writes_ends_with_a_message_where_it_cannot(tmp_path, capsys, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    crimes = nacjd.write_crimes(tmp_path, 2003)
    assert "file" in _fails(capsys, "export", "--out", blocked / "x", "--tables", "claims")
    assert "file" in _fails(capsys, "export", "--out", blocked, "--tables", "claims")
    assert "file" in _fails(capsys, "replicate", "--out", blocked / "x", "--only", "detainers-by-model")
    monkeypatch.setenv(store.DATA_DIR_VARIABLE, str(blocked))
    _fails(capsys, "data", "add", "icpsr-county-crimes", crimes)
    _fails(capsys, "data", "fetch", "census-usa-counties-crime", "--from", "http://127.0.0.1:9/")
    _fails(capsys, "agreements", "update", tmp_path, "--as-of", "2026-09-01", "--apply")
    _fails(capsys, "build", "--sources", blocked)
    assert blocked.read_text() == "in the way"


def test_a_full_disk_is_one_message(tmp_path, capsys, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(writing, "flush", full)
    crimes = nacjd.write_crimes(tmp_path, 2003)
    assert "No space left on device" in _fails(capsys, "export", "--out", tmp_path / "x", "--tables", "claims")
    assert "No space left on device" in _fails(capsys, "data", "add", "icpsr-county-crimes", crimes)
    assert not (tmp_path / "x").exists()


def test_what_a_file_says_does_not_steer_the_terminal(tmp_path, capsys):
    path = tmp_path / "a\x1b[31m.pdf"
    path.write_text("x")
    assert "\\x1b[31m" in _fails(capsys, "data", "add", "icpsr-county-crimes", path)
    assert "\\x1b" in _fails(capsys, "data", "describe", "\x1b[2J")
    warned = DataWarning("a\x9bb")
    assert str(warned) == "a\\x9bb"
    with pytest.warns(DataWarning):
        warnings.warn(warned, stacklevel=1)


def test_folders_pipes_and_devices_as_input_are_messages(tmp_path, capsys):
    os.mkfifo(tmp_path / "icpsr.txt")
    for path in (tmp_path / "icpsr.txt", "/dev/zero", tmp_path / "none"):
        _fails(capsys, "data", "add", "icpsr-county-crimes", path)
        _fails(capsys, "agreements", "update", path, "--as-of", "2026-09-01")
