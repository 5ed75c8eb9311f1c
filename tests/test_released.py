"""Every released table against its declaration: checksum, types, keys, constraints, canonical bytes."""

import ast
import hashlib
import json
import subprocess
import sys
import types
import warnings
from pathlib import Path

import pytest

import g287stats
import g287stats as g
from g287stats.build import BESIDE, STEPS, build, codebook
from g287stats.catalog import fields, origins, read_released, released_dir, schema, write_released
from g287stats.catalog.released import read_unrecorded
from g287stats.errors import SchemaError, SourceError

PACKAGE = json.loads((released_dir() / "datapackage.json").read_text("utf-8"))
TABLES = [r["name"] for r in PACKAGE["resources"]]


def test_the_package_lists_every_declared_table_and_every_table_is_declared():
    declared = {p.stem for p in (released_dir() / "schema").glob("*.json")}
    assert set(TABLES) == declared
    paths = {r["path"] for r in PACKAGE["resources"]}
    loose = {p.name for p in released_dir().glob("*.csv*")} - paths
    assert not loose, f"tables without a declaration: {loose}"


@pytest.mark.parametrize("name", TABLES)
def test_table_is_what_it_was_declared_to_be(name, tmp_path):
    resource = next(r for r in PACKAGE["resources"] if r["name"] == name)
    raw = (released_dir() / resource["path"]).read_bytes()
    assert resource["hash"] == "sha256:" + hashlib.sha256(raw).hexdigest(), "stale datapackage.json: g287stats build"
    frame = read_released(name)
    written = write_released(frame, name, tmp_path)  # checks types, keys and constraints
    assert written.read_bytes() == raw


@pytest.mark.parametrize("name", TABLES)
def test_every_column_is_described_and_every_table_has_a_source(name):
    declaration = schema(name)
    assert declaration["sources"], name
    assert declaration["licenses"], name
    assert all(f.get("description") for f in declaration["schema"]["fields"]), name


def test_no_released_file_is_the_size_of_a_raw_input():
    # the released folder holds nothing larger than five megabytes: raw inputs would be
    assert max(p.stat().st_size for p in released_dir().rglob("*") if p.is_file()) < 5_242_880


def test_codebook_is_the_data_package_in_words():
    assert (released_dir() / "codebook.md").read_text("utf-8") == codebook(PACKAGE)


def test_every_built_table_says_which_raw_files_it_was_built_from():
    read = read_released("source_files")
    assert not read["sha256"].isna().any() and not read["file"].str.contains(r"[/\\]").any()
    steps = set()
    for resource in PACKAGE["resources"]:
        raw, step = resource.get("raw_files"), resource.get("step")
        if step in (None, "build"):
            assert raw is None and resource["name"] in ("statements", "source_files"), resource["name"]
            continue
        mine = read[read["step"] == step]
        sums = sorted(mine["sha256"])
        together = hashlib.sha256("\n".join(sums).encode()).hexdigest() if len(sums) > 1 else sums[0]
        assert len(mine) and (raw["step"], raw["files"], raw["sha256"]) == (step, len(mine), together), resource["name"]
        assert ("not recorded" in raw["accessed"]) == bool(mine["accessed"].isna().any())
        steps.add(step)
    assert set(read["step"]) == steps == {name for name, _ in STEPS}


@pytest.mark.private_data
def test_every_raw_file_recorded_is_there_unchanged_and_may_be_released(sources):
    listed = {hashlib.sha256(p.read_bytes()).hexdigest() for p in _files(sources)}
    read = read_released("source_files")
    assert sorted(set(read["file"][~read["sha256"].isin(listed)])) == []
    withheld = {line.split()[0] for line in (sources / "PRIVATE.sha256").read_text("utf-8").splitlines()}
    assert sorted(set(read["file"][read["sha256"].isin(withheld)])) == []


def _files(sources):
    folders = [sources, *(sources.parent / name for name in BESIDE)]
    return [p for folder in folders for p in folder.rglob("*") if p.is_file()]


def test_a_panel_says_which_raw_files_its_tables_come_from():
    panel = g.county_panel(outcomes="fbi_table10", years=(2011, 2012))
    found = panel.provenance["raw_files"]
    assert list(found) == ["agreements", "population", "fbi_table10"]
    assert all(set(f) == {"step", "files", "sha256", "accessed"} for f in found.values())


def test_a_build_knows_every_file_a_step_opens_whoever_opens_it(tmp_path):
    for name in ("own", "child", "untouched"):
        (tmp_path / name).write_text(name)
    with origins.opened([tmp_path]) as read:
        (tmp_path / "own").read_bytes()
        subprocess.run([sys.executable, "-c", "import sys; open(sys.argv[1])", tmp_path / "child"], check=True)
    (tmp_path / "untouched").read_bytes()
    assert {p.name for p in read} == {"own", "child"}


def test_a_build_starts_in_an_empty_folder_and_refuses_a_step_that_makes_what_another_declares(tmp_path, monkeypatch):
    def step(sources, out):
        assert (out / "statements.csv").is_file() and (out / "fixes" / "claims.csv").is_file()
        return [out / "removals.csv"]

    monkeypatch.setitem(sys.modules, "a_step", types.SimpleNamespace(build=step))
    monkeypatch.setattr("g287stats.build.STEPS", (("fbi_murders", "a_step"),))
    with pytest.raises(SchemaError, match=r"(?s)removals\.csv \(agreements\).*fbi_murders\.csv"):
        build(tmp_path, tmp_path / "out")


def test_a_raw_file_is_recorded_by_name_checksum_and_day_unless_it_may_not_be_released(tmp_path):
    secret, digest = tmp_path / "secret.txt", hashlib.sha256(b"secret").hexdigest()
    secret.write_bytes(b"secret")
    (tmp_path / "MANIFEST.csv").write_text(f"path,sha256,accessed\nsecret.txt,{digest},2026-01-31\n")
    origins.record(tmp_path, {"policies": {secret}}, tmp_path)
    row = read_unrecorded("source_files", tmp_path).iloc[0]
    assert (row["file"], row["sha256"], f"{row['accessed']:%Y-%m-%d}") == ("secret.txt", digest, "2026-01-31")
    (tmp_path / "PRIVATE.sha256").write_text(f"{digest}  secret.txt\n")
    with pytest.raises(SourceError, match=r"may not be released.*secret\.txt"):
        origins.record(tmp_path, {"policies": {secret}}, tmp_path)


def test_what_a_column_is_is_said_once():
    """No description stands twice in fields.json, none stands in a schema, and none is repeated in the code."""
    declared = fields.declared(released_dir())
    texts = [f["description"] for f in declared.values()]
    assert sorted({t for t in texts if texts.count(t) > 1}) == []
    for path in (released_dir() / "schema").glob("*.json"):
        for field in json.loads(path.read_text("utf-8"))["schema"]["fields"]:
            allowed = {"name", "is", "note", "constraints", "source"}
            assert isinstance(field, str) or set(field) <= allowed, (path, field)
    long = {t for t in texts if len(t) > 20}
    source = Path(g287stats.__file__).parent
    written = [
        (path.name, node.value)
        for path in source.rglob("*.py")
        if not {"_tests", "_analyses"} & set(path.parts)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and node.value in long
    ]
    assert written == []


def test_every_declaration_is_used_by_a_table_or_a_codebook():
    used = set()
    for path in (released_dir() / "schema").glob("*.json"):
        for field in json.loads(path.read_text("utf-8"))["schema"]["fields"]:
            used.add(field if isinstance(field, str) else field.get("is", field["name"]))
    code = "".join(p.read_text("utf-8") for p in Path(g287stats.__file__).parent.rglob("*.py"))
    unused = [n for n in fields.declared(released_dir()) if n not in used and f'"{n}"' not in code and n not in COUNTED]
    assert unused == []


COUNTED = {f"{c}{t}" for c in ("homicide_deaths",) for t in ("_low", "_high")}


def test_every_column_of_every_panel_is_described():
    for outcome in ("fbi_table10", "fbi_county_sums", "fbi_msa", "california", "maryland"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            panel = g.county_panel(outcomes=outcome, years=(2011, 2012))
        assert [c for c in panel.frame if not panel.codebook.get(c, {}).get("description")] == []


def test_a_schema_may_lift_add_and_rename_what_fields_say():
    known = {"x": {"type": "integer", "description": "X", "unit": "u", "constraints": {"minimum": 0}}}
    assert fields.merged("x", known, "t") == {"name": "x", **known["x"]}
    line = {"name": "y", "is": "x", "note": "of y", "constraints": {"minimum": None, "required": True}}
    assert fields.merged(line, known, "t") == {
        "name": "y",
        "type": "integer",
        "unit": "u",
        "description": "X; of y",
        "constraints": {"required": True},
    }
    with pytest.raises(SchemaError, match="'z' is not declared"):
        fields.merged("z", known, "t")
