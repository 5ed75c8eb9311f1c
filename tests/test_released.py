"""Every released table against its declaration: checksum, types, keys, constraints, canonical bytes."""

import hashlib
import json

import pytest

from g287stats.build import codebook
from g287stats.catalog import read_released, released_dir, schema, write_released

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
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / f"{name}.json").write_text(json.dumps(schema(name)))
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
