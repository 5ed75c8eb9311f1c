"""Released tables leave in three formats and come back the same."""

import pandas as pd
import pytest

import g287stats as g
from g287stats.catalog import read_released
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


def test_refusals(tmp_path):
    with pytest.raises(SchemaError, match="csv, parquet or dta"):
        g.data.export(tmp_path, format="xls")
    with pytest.raises(SchemaError, match="no_such"):
        g.data.export(tmp_path, tables=["no_such"])
