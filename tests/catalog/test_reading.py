"""A table that is not what was released is never read, and verify finds what a reader would."""

import gzip
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from g287stats import build, catalog
from g287stats.catalog import archives, manifest, record, released, store
from g287stats.errors import SchemaError, SourceError

TABLES = ("ncvs_gvf", "county_changes", "california_agencies")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(store.DATA_DIR_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of released tables of its own, in place of the package's."""
    folder, whole = tmp_path / "data", released.released_dir()
    (folder / "schema").mkdir(parents=True)
    for name in ("fields.json", "package.json", *(f"schema/{n}.json" for n in TABLES)):
        shutil.copy(whole / name, folder / name)
    for name in TABLES:
        shutil.copy(whole / catalog.schema(name)["path"], folder)
    build.write_datapackage(folder)
    for module in (released, record, build.catalog, catalog):
        monkeypatch.setattr(module, "released_dir", lambda: folder)
    return folder


def lines(path):
    return path.read_bytes().split(b"\n")


ALTERED = {
    "cut in a row": lambda raw: raw[: len(raw) * 2 // 3],
    "cut between rows": lambda raw: raw[: raw.rindex(b"\n", 0, len(raw) // 2) + 1],
    "one row less": lambda raw: raw[: raw.rindex(b"\n", 0, -1) + 1],
    "doubled": lambda raw: raw + raw[raw.index(b"\n") + 1 :],
    "emptied": lambda raw: b"",
    "header only": lambda raw: raw[: raw.index(b"\n") + 1],
    "renamed column": lambda raw: raw.replace(b"event_date", b"event_day", 1).replace(b"effective", b"effect", 1),
    "columns swapped": lambda raw: b",".join(reversed(raw.split(b"\n")[0].split(b","))) + raw[raw.index(b"\n") :],
    "not UTF-8": lambda raw: raw[:-4] + b"\xff\xfe\n",
    "one bad date": lambda raw: raw.replace(b"2001-", b"20x1-", 1).replace(b"2022-", b"2o22-", 1),
    "one figure": lambda raw: raw.replace(b"1", b"2", 1),
    "zeros": lambda raw: bytes(len(raw)),
}


@pytest.mark.parametrize("how", ALTERED)
def test_an_altered_table_names_file_and_remedy(data, how):
    path = data / "county_changes.csv"
    raw = path.read_bytes()
    path.write_bytes(ALTERED[how](raw))
    assert path.read_bytes() != raw
    with pytest.raises(SchemaError, match=r"county_changes\.csv is not the file that was recorded.*g287stats build"):
        catalog.read_released("county_changes")
    assert len(catalog.read_released("ncvs_gvf"))
    verified = catalog.data_verify()
    assert not verified.ok
    assert verified.frame.query("status != 'ok'")["file"].tolist() == ["county_changes.csv"]


@pytest.mark.parametrize(
    "how", [h for h in ALTERED if h not in ("one row less", "cut between rows", "header only", "one figure")]
)
def test_without_a_manifest_the_declaration_still_holds(data, how, tmp_path):
    """Of tables nobody recorded, what a declaration can tell is told: columns, types, keys, an end in the middle."""
    loose = tmp_path / "loose"
    shutil.copytree(data, loose)
    (loose / manifest.PACKAGE).unlink()
    path = loose / "county_changes.csv"
    assert len(catalog.read_released("county_changes", loose))
    path.write_bytes(ALTERED[how](path.read_bytes()))
    with pytest.raises(SchemaError, match=r"county_changes\.csv"):
        catalog.read_released("county_changes", loose)


def test_a_packed_table_altered_or_damaged_is_told(data):
    path = data / "california_agencies.csv.gz"
    raw = path.read_bytes()
    rows = gzip.decompress(raw)
    for altered in (gzip.compress(rows[: len(rows) // 2], mtime=0), raw[:-20], raw[:200] + bytes(50) + raw[250:], b""):
        path.write_bytes(altered)
        with pytest.raises(SchemaError, match=r"california_agencies\.csv\.gz is not the file"):
            catalog.read_released("california_agencies")


def test_a_packed_table_that_unpacks_to_far_more_is_refused(data):
    (data / manifest.PACKAGE).unlink()
    loose = data.rename(data.with_name("loose"))
    (loose / "california_agencies.csv.gz").write_bytes(gzip.compress(b"0" * (archives.RATIO_FLOOR_BYTES + 2), mtime=0))
    with pytest.raises(SchemaError, match="unpacks to more than 200 times"):
        catalog.read_released("california_agencies", loose)


def test_a_missing_table_and_a_folder_in_its_place(data):
    (data / "ncvs_gvf.csv").unlink()
    with pytest.raises(SchemaError, match=r"ncvs_gvf\.csv is missing"):
        catalog.read_released("ncvs_gvf")
    (data / "ncvs_gvf.csv").mkdir()
    with pytest.raises(SchemaError, match=r"ncvs_gvf\.csv cannot be read"):
        catalog.read_released("ncvs_gvf")


@pytest.mark.parametrize(
    ("content", "status"),
    [(None, "missing"), ("", "broken"), ("{}", "broken"), ("[]", "broken"), ('{"resources": [{"path": 3}]}', "broken")],
)
def test_a_manifest_missing_or_broken_is_no_pass(data, content, status):
    path = data / manifest.PACKAGE
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(
        SchemaError, match=rf"datapackage\.json {'is missing' if content is None else 'cannot be read'}"
    ):
        catalog.read_released("ncvs_gvf")
    verified = catalog.data_verify()
    assert not verified.ok
    assert verified.frame.query("file == 'datapackage.json'")["status"].tolist() == [status]


def test_verify_covers_schemas_and_corrections_and_tells_strays(data):
    assert catalog.data_verify().ok
    assert {"schema/ncvs_gvf.json", "fields.json", "package.json", "codebook.md"} <= set(
        catalog.data_verify().frame["file"]
    )
    (data / "schema" / "ncvs_gvf.json").write_text("{}")
    (data / "other.csv").write_text("x")
    (data / "package.json").unlink()
    bad = catalog.data_verify().frame.query("status != 'ok'").set_index("file")["status"].to_dict()
    assert bad == {"schema/ncvs_gvf.json": "changed", "package.json": "missing", "other.csv": "stray"}


def test_verify_knows_an_update_from_tampering(data):
    frame = catalog.read_released("county_changes")
    released.write_tables({"county_changes": frame.iloc[:-1]}, data)
    assert catalog.data_verify().ok
    assert len(catalog.read_released("county_changes")) == len(frame) - 1
    path = data / "county_changes.csv"
    path.write_bytes(path.read_bytes() + b"x")
    assert not catalog.data_verify().ok


def test_the_repository_and_its_record_verify(home):
    whole = released.released_dir()
    tables = {n: released.read_table(n, whole) for n in ("agreements", "ice_lists")}
    kept = catalog.keep_record(tables, day=pd.Timestamp("2030-01-02"), file="a.xlsx", sha256="0" * 64, before=None)
    assert catalog.data_verify().ok, str(catalog.data_verify())
    path = kept.folder / "agreements.csv"
    path.write_bytes(path.read_bytes()[:-1])
    (home / "agreements" / "current").write_text("../x")
    verified = catalog.data_verify()
    assert verified.frame.query("status != 'ok'")["status"].tolist() == ["broken"]
    (home / "agreements" / "current").write_text(kept.folder.name)
    assert catalog.data_verify().frame.query("status != 'ok'")["file"].tolist() == ["agreements.csv"]


def test_text_a_spreadsheet_runs_and_characters_that_steer_are_refused_at_intake(data, tmp_path):
    frame = catalog.read_released("county_changes")
    for cell, what in (('=HYPERLINK("http://a","x")', "spreadsheet would run"), ("a\x1b[31m", "control characters")):
        bad = frame.copy()
        bad.loc[0, "note"] = cell
        with pytest.raises(SchemaError, match=f"column note holds.*{what}") as caught:
            released.render(bad, "county_changes")
        assert "\x1b" not in str(caught.value)


# --- user caches --------------------------------------------------------------------------------------------


def part(tmp_path, key, rows):
    source = tmp_path / "source.csv"
    source.write_text("x\n1\n")
    member = archives.Member("source.csv", source, source, archives.sha256(source))
    return store.Part(key, pd.DataFrame({"x": range(rows)}), member)


def test_a_part_altered_cut_or_gone_is_not_read(tmp_path, home):
    store.keep("ncvs", [part(tmp_path, "2001", 5), part(tmp_path, "2002", 6)])
    file = next((home / "ncvs").glob("2001-*"))
    raw = file.read_bytes()
    for altered in (raw[:-10], raw + b"x", b"", next((home / "ncvs").glob("2002-*")).read_bytes()):
        file.write_bytes(altered)
        with pytest.raises(SchemaError, match=r"2001-\w+\.parquet is not the file.*Add ncvs again"):
            store.read_kept("ncvs")
        assert len(store.read_kept("ncvs", ["2002"])["2002"]) == 6
    file.unlink()
    with pytest.raises(SchemaError, match="is missing"):
        store.read_kept("ncvs")


@pytest.mark.parametrize(
    "file",
    ["../../other.txt", "/etc/passwd", "a/b.parquet", "..", "", ".parquet", "a\\b.parquet", "C:x.parquet", "x.txt", 3],
)
def test_a_manifest_that_names_files_elsewhere_is_refused_and_nothing_is_deleted(tmp_path, home, file):
    store.keep("ncvs", [part(tmp_path, "2001", 5)])
    path = home / "ncvs" / "manifest.json"
    other = tmp_path / "other.txt"
    other.write_text("mine")
    content = json.loads(path.read_text())
    content["parts"][0]["file"] = file
    path.write_text(json.dumps(content))
    for act in (lambda: store.read_kept("ncvs"), lambda: store.keep("ncvs", [part(tmp_path, "2001", 6)])):
        with pytest.raises(SchemaError, match=r"manifest\.json"):
            act()
    assert other.read_text() == "mine"
    assert not catalog.data_verify().ok


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"manifest": 1, "parts": [3]}', '{"manifest": 1, "parts": {}}'])
def test_a_broken_manifest_is_told(tmp_path, home, content):
    store.keep("ncvs", [part(tmp_path, "2001", 5)])
    (home / "ncvs" / "manifest.json").write_text(content)
    if content == '{"manifest": 1, "parts": {}}':
        assert store.kept("ncvs") == {}
        return
    with pytest.raises(SchemaError, match=r"manifest\.json: not readable"):
        store.read_kept("ncvs")


def test_a_key_that_is_no_name_is_not_kept(tmp_path, home):
    for key in ("../x", "a/b", ".hidden", "a\x1b"):
        with pytest.raises((SchemaError, SourceError)):
            store.keep("ncvs", [part(tmp_path, key, 1)])
    assert not home.exists()


def test_left_over_folders_of_the_killed_are_told_by_verify(home):
    (home / "ncvs" / ".g287stats-writing").mkdir(parents=True)
    assert catalog.data_verify().frame.query("status == 'left over'")["file"].tolist() == ["ncvs/.g287stats-writing"]
    assert Path(home / "ncvs").is_dir()
