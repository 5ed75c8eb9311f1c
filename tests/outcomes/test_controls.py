"""Controls: the traps of each file."""

import pandas as pd
import pytest

from g287stats.catalog import released_dir
from g287stats.errors import SourceError
from g287stats.outcomes.context import controls

LAUS = "CN{st}{cty}00000000   {st}     {cty}   Some County, XX       {year}     {lf}     20,846     {un}     4.0\n"


def test_unemployment_not_available_is_missing(tmp_path):
    path = tmp_path / "2005.txt"
    path.write_text(
        "   Labor Force Data by County, 2005 Annual Averages\n\n"
        + LAUS.format(st="01", cty="001", year=2005, lf="21,720", un="874")
        + LAUS.format(st="22", cty="071", year=2005, lf="N.A.", un="N.A.")
        + LAUS.format(st="72", cty="001", year=2005, lf="5", un="1")
        + "\nSOURCE:  BLS, LAUS\n"
    )
    out = controls.read_laus(path)
    assert out["county_fips"].tolist() == ["01001", "22071"]
    assert out.loc[0, ["labor_force", "unemployed"]].tolist() == [21720, 874]
    assert out.loc[1, ["labor_force", "unemployed"]].isna().all()


def test_unemployment_file_of_another_year_or_layout_is_refused(tmp_path):
    path = tmp_path / "2006.txt"
    path.write_text(LAUS.format(st="01", cty="001", year=2005, lf="1", un="1") + "CN01 broken line\n")
    with pytest.raises(SourceError, match=r"layout \(1\): 2[\s\S]*2006"):
        controls.read_laus(path)


def test_unemployment_released():
    table = controls.load_unemployment()
    assert sorted(table["year"].unique()) == list(range(2000, 2021))
    gone = table[table["labor_force"].isna()]
    assert len(gone) == 14 and set(gone["county_fips"].str[:2]) == {"22"} and set(gone["year"]) == {2005, 2006}
    assert table["unemployment_rate"].dropna().between(0, 45).all()


def test_income_layout(tmp_path):
    path = tmp_path / "CAINC1_VA.csv"
    path.write_text(
        "GeoFIPS,GeoName,LineCode,1999,2000,2001\n"
        ' "51000","Virginia",3,1,2,3\n "51901","Albemarle + Charlottesville, VA*",3,1,30000,(NA)\n'
        ' "51901","Albemarle + Charlottesville, VA*",1,1,2,3\n"Note: See the included footnote file."\n'
    )
    out = controls.read_bea(path)
    assert out["bea_fips"].tolist() == ["51901", "51901"]
    assert out["year"].tolist() == [2000, 2001]
    assert out["income_per_capita"].tolist()[0] == 30000 and pd.isna(out["income_per_capita"].tolist()[1])


def test_income_of_combined_areas_says_so():
    table = controls.load_income((2010, 2010)).set_index("county_fips")
    assert (
        table.loc["51153", "income_per_capita"] == table.loc["51683", "income_per_capita"]
    )  # Prince William, Manassas
    assert table.loc["51153", "combined"] and not table.loc["37119", "combined"]
    assert table.loc["51600", "bea_fips"] == table.loc["51059", "bea_fips"] == "51919"
    assert table["combined"].sum() == 55


def test_rural_urban_codes():
    table = controls.load_rural_urban().set_index("county_fips")
    assert table["rucc_2013"].between(1, 9).all()
    assert table.loc["01001", ["rucc_2003", "rucc_2013"]].tolist() == [2, 2]
    assert len(table) == 3142


def test_profile_and_the_list_of_what_was_dropped():
    profile = controls.load_profile().set_index("county_fips")
    assert profile.notna().all().all() and len(profile) == 3142
    dropped = pd.read_csv(released_dir() / "qa" / "controls_dropped.csv", dtype={"code": str})
    assert "51515" in set(dropped.loc[dropped["table"] == "county_profile", "code"])


@pytest.mark.private_data
def test_rebuild_gives_the_released_bytes(sources, tmp_path):
    for path in controls.build(sources, tmp_path):
        assert path.read_bytes() == (released_dir() / path.relative_to(tmp_path)).read_bytes(), path.name
