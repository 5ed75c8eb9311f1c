"""Released tables leave in three formats and come back the same."""

import hashlib
import json

import pandas as pd
import pytest

import g287stats as g
from g287stats.catalog import read_released, writing
from g287stats.catalog.text import neutral
from g287stats.errors import SchemaError


@pytest.mark.parametrize(
    ("format", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet), ("dta", pd.read_stata)]
)
def test_round_trip(tmp_path, format, read):
    g.data.export(tmp_path, format=format, tables=["population", "claims"])
    back = read(tmp_path / f"population.{format}")
    released = read_released("population")
    assert len(back) == len(released)
    assert back["population"].sum() == released["population"].sum()
    assert "county_fips" in (tmp_path / "codebook.csv").read_text()


def test_county_codes_stay_text_in_stata(tmp_path):
    g.data.export(tmp_path, format="dta", tables=["county_list"])
    assert "01001" in set(pd.read_stata(tmp_path / "county_list.dta")["county_fips"])


def test_the_folder_is_a_data_package_that_reads_back_with_its_checksums(tmp_path):
    written = g.data.export(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in written)
    package = json.loads((tmp_path / "datapackage.json").read_text("utf-8"))
    assert {r["path"] for r in package["resources"]} == {p.name for p in written} - {"datapackage.json"}
    for resource in package["resources"]:
        raw = (tmp_path / resource["path"]).read_bytes()
        assert resource["bytes"] == len(raw)
        assert resource["hash"] == "sha256:" + hashlib.sha256(raw).hexdigest()
        if resource["name"] == "codebook":
            continue
        assert resource["sources"]
        frame = pd.read_csv(tmp_path / resource["path"], dtype=str, keep_default_na=False)
        assert len(frame) == resource["rows"]
        fields = resource["schema"]["fields"]
        assert list(frame) == [f["name"] for f in fields]
        for f in fields:
            if f["type"] == "boolean":
                assert set(frame[f["name"]]) <= {"true", "false", ""}
        assert not neutral(frame).ne(frame).any().any()


@pytest.mark.parametrize("format", ["parquet", "dta"])
def test_other_formats_are_described_with_checksum_and_source(tmp_path, format):
    g.data.export(tmp_path, format=format, tables=["ncvs_gvf"])
    resource = json.loads((tmp_path / "datapackage.json").read_text("utf-8"))["resources"][0]
    raw = (tmp_path / resource["path"]).read_bytes()
    assert resource["hash"] == "sha256:" + hashlib.sha256(raw).hexdigest()
    assert (resource["format"], resource["bytes"]) == (format, len(raw))
    assert resource["sources"]


def test_an_export_that_fails_leaves_the_former_one(tmp_path, monkeypatch):
    g.data.export(tmp_path, tables=["ncvs_gvf", "claims"])
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(path):
        if path.suffix == ".json":  # the description, after the tables
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "flush", full)
    with pytest.raises(OSError, match="No space"):
        g.data.export(tmp_path, tables=["claims", "statements"])
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_refusals(tmp_path):
    with pytest.raises(SchemaError, match="csv, parquet or dta"):
        g.data.export(tmp_path, format="xls")
    with pytest.raises(SchemaError, match="no_such"):
        g.data.export(tmp_path, tables=["no_such"])
