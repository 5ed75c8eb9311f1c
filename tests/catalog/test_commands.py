"""list, describe, add, fetch, verify: nothing partial, everything named."""

import functools
import http.server
import threading
import zipfile

import pandas as pd
import pytest
from fixtures import nacjd

from g287stats import catalog
from g287stats.catalog import commands, store, tables
from g287stats.errors import SourceError, UnavailableError
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
    assert callable(commands._parser(entry))
    for value in (entry.title, entry.terms, entry.citation, entry.address, entry.files, entry.verified):
        assert value
    assert any("g287stats data" in s for s in entry.steps)
    assert entry.outcome in OUTCOMES or entry.name in ("ncvs", "presidential-votes")  # a survey, a control
    if entry.tier == tables.DOWNLOADABLE:
        assert entry.downloads


@pytest.mark.parametrize("entry", tables.TABLES, ids=lambda t: t.name)
def test_every_table_refuses_a_path_outside_an_empty_file_and_no_file(entry, tmp_path, home):
    name = {
        "icpsr-county-crimes": "23780-0004-Data.txt", "icpsr-county-arrests": "23780-0001-Data.txt",
        "kaplan-offenses": "offenses_known_monthly_2006.csv", "fbi-return-a": "reta-2006.txt",
        "fbi-cde-summarized": "NC0370000_MVT.json", "rtci-agency-months": "final_sample.csv",
        "cdc-county-homicide": "export.txt", "open-policing-stops": "nc_statewide_2020_04_01.csv",
        "census-usa-counties-crime": "CRM01.xls", "ncvs": "38604-0001-Data.tsv",
        "presidential-votes": "countypres_2000-2020.csv",
    }[entry.name]  # fmt: skip
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
    monkeypatch.setattr(store, "_manifest", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
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
        name="small", title="Small", tier=tables.DOWNLOADABLE, producer="p", years="2000", vintage="v", terms="t",
        citation="c", address="http://127.0.0.1:9/", files="a.csv", steps=("g287stats data fetch small",),
        members=r"a\.csv$", parser="test:parse", verified="no", downloads=(tables.Download("a.csv"),),
    )  # fmt: skip
    monkeypatch.setattr(commands, "TABLES", (entry,))
    monkeypatch.setattr(
        commands, "_parser", lambda e: lambda ms: [store.Part("all", pd.read_csv(m.path), m) for m in ms]
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
