"""California's agencies with clearances and Maryland's counties."""

import pandas as pd
import pytest

from g287stats.catalog import released_dir
from g287stats.errors import SourceError
from g287stats.outcomes import checks, load_outcome
from g287stats.outcomes.state import california, maryland

CALIFORNIA = dict(
    zip([f"{old}_sum" for old in california.OFFENCES.values()], [10, 1, 2, 3, 4, 60, 10, 20, 30])
) | dict.fromkeys([f"{old}Clr_sum" for old in california.OFFENCES.values()], 1)


def california_file(tmp_path, rows):
    path = tmp_path / "ca.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def row(county="Alameda County", agency="Oakland", year=2010, **change):
    return {"Year": year, "County": county, "NCICCode": agency} | CALIFORNIA | change


def test_california_counties_are_named_and_zero_rows_of_busy_agencies_are_silent(tmp_path):
    zeros = dict.fromkeys(CALIFORNIA, 0)
    rows = [row(), row(year=2011, **zeros), row(agency="Union Pacific RR", **zeros)]
    out = california.read(california_file(tmp_path, rows))
    assert out["county_fips"].unique().tolist() == ["06001"]
    assert out["silent"].tolist() == [False, True, False]  # a railway police in an empty county is not silent


def test_california_corrections_below_zero_are_kept(tmp_path):
    rows = [row(ForRape_sum=-1, Violent_sum=7)]
    assert california.read(california_file(tmp_path, rows))["rape"].item() == -1


def test_california_refuses_bad_files_with_every_reason(tmp_path):
    with pytest.raises(SourceError, match=r"counties unknown[\s\S]*Nowhere[\s\S]*Robbery_sum"):
        california.read(california_file(tmp_path, [row(county="Nowhere County"), row(Robbery_sum="x")]))
    with pytest.raises(SourceError, match="sum of its parts"):
        california.read(california_file(tmp_path, [row(Robbery_sum=4)]))
    with pytest.raises(SourceError, match="NCICCode"):
        california.read(california_file(tmp_path, [{"Year": 2000}]))


def test_california_released():
    table = load_outcome("california")
    assert table.years == tuple(range(1985, 2023))
    assert len(california.load_california_agencies()) == 27_853
    assert table.frame["county_fips"].nunique() == 58
    assert set(table.frame.columns) == set(table.codebook)
    by_year = table.frame.groupby("year")[["rape_legacy", "rape_mixed", "rape_revised"]].count() > 0
    assert by_year.loc[2013].tolist() == [True, False, False]
    assert by_year.loc[2014].tolist() == [False, True, False]
    assert by_year.loc[2016].tolist() == [False, False, True]
    state = table.frame.groupby("year")[["violent", "violent_cleared"]].sum().loc[2010]
    assert 0.4 < state["violent_cleared"] / state["violent"] < 0.5


def test_maryland_released():
    table = load_outcome("maryland")
    assert len(table.frame) == 24 * 45
    assert {"24005", "24510"} <= set(table.frame["county_fips"])  # Baltimore County and Baltimore city
    assert table.denominator == "population"
    assert set(table.frame.columns) == set(table.codebook)


def test_maryland_refuses_bad_files(tmp_path):
    path = tmp_path / "md.csv"
    good = {"JURISDICTION": "Allegany County", "YEAR": 1975}
    good |= dict(zip(maryland.COLUMNS.values(), [79655, 142, 3, 5, 20, 114, 2187, 669, 1425, 93]))
    pd.DataFrame([good]).to_csv(path, index=False)
    assert maryland.read(path)["county_fips"].tolist() == ["24001"]
    pd.DataFrame([good | {"MURDER": "three"}, good | {"JURISDICTION": "Atlantis"}]).to_csv(path, index=False)
    with pytest.raises(SourceError, match=r"Atlantis[\s\S]*MURDER"):
        maryland.read(path)


@pytest.mark.private_data
def test_states_agree_with_the_private_county_files(nacjd_crimes):
    found = checks.compare_states().set_index(["state", "offence"])
    # documented: California .998 of both, 97.7 % within 2 %; Maryland median 1.000 and 1.002 (the other way round)
    assert found.loc["california", "ratio"].round(3).tolist() == [0.998, 0.998]
    assert found.loc["california", "within_2pct"].between(0.975, 0.98).all()
    assert found.loc["california", "county_years"].tolist() == [754, 754]
    assert found.loc["maryland", "county_years"].tolist() == [312, 312]
    assert found.loc["maryland", "median_ratio"].round(3).tolist() == [1.0, 0.998]


@pytest.mark.private_data
def test_rebuild_gives_the_released_bytes(sources, tmp_path):
    for module in (california, maryland):
        for path in module.build(sources, tmp_path):
            assert path.read_bytes() == (released_dir() / path.name).read_bytes(), path.name
