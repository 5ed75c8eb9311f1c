"""Population and Hispanic origin: vintages, units, fixed denominators, flagged interpolation."""

import pandas as pd
import pytest

from g287stats.catalog import read_released, released_dir
from g287stats.errors import SourceError
from g287stats.outcomes.context import population as pop


def test_vintages_and_published_totals():
    table = pop.load_population()
    totals = table.groupby("year")["population"].sum() / 1e6
    # published: 282.2 (2000), 307.0 (2009), 328,239,523 (2019)
    assert totals.loc[2000].round(1) == 282.2
    assert totals.loc[2009].round(1) == 307.0
    assert table.loc[table["year"] == 2019, "population"].sum() == 328_239_523
    vintage = table.groupby("year")["vintage"].unique().map(list)
    assert vintage.loc[2009] == [2009] and vintage.loc[2010] == [2019] and vintage.loc[2020] == [2024]


def test_units_and_connecticut():
    table = pop.load_population()
    sizes = table.groupby("year").size()
    assert (sizes.loc[:2019] == 3142).all()
    assert (sizes.loc[2020:] == 3134).all()  # without Connecticut's eight counties
    regions = read_released("population_connecticut_regions")
    assert len(regions) == 45
    by_year = table[table["year"] == 2024]["population"].sum() + regions.query("year == 2024")["population"].sum()
    assert round(by_year / 1e6, 1) == 340.1
    bedford = table[(table["county_fips"] == "51019") & (table["year"] == 2005)]
    assert bedford["includes"].item() == "51515"  # Bedford city's residents are in the county


def test_fixed_base_year_repeats_one_year():
    fixed = pop.load_population((2008, 2012), base_year=2006)
    moving = pop.load_population([2006]).set_index("county_fips")["population"]
    wide = fixed.pivot(index="county_fips", columns="year", values="population")
    assert list(wide.columns) == [2008, 2009, 2010, 2011, 2012]
    assert all((wide[y] == moving).all() for y in wide)
    with pytest.raises(SourceError, match="1990"):
        pop.load_population((2008, 2012), base_year=1990)
    with pytest.raises(SourceError, match="2000–2024"):
        pop.load_population((1999, 2012))


def test_hispanic_share_is_what_the_census_prints():
    table = pop.load_hispanic()
    share = table.groupby("year")[["hispanic", "total"]].sum().eval("100 * hispanic / total")
    assert share.loc[2009].round(2) == 15.09
    assert share.loc[2015].round(2) == 17.13
    assert not table["interpolated"].any()


def test_interpolation_is_inside_only_and_flagged():
    frame = pd.DataFrame({"county_fips": "01001", "year": [2009, 2010, 2013, 2014], "x": [None, 1.0, 4.0, None]})
    frame["interpolated"] = False
    out = pop.interpolate_linear(frame, ["x"]).set_index("year")
    assert out.loc[[2010, 2011, 2012, 2013], "x"].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert out["x"].isna().loc[[2009, 2014]].all()
    assert out.index[out["interpolated"]].tolist() == [2011, 2012]
    assert "interpolated" in pop.interpolate_linear(frame.drop(columns="interpolated"), ["x"])


def census(tmp_path, rows, name="co-est2009-alldata.csv"):
    head = ["SUMLEV", "STATE", "COUNTY", "CTYNAME", *[f"POPESTIMATE{y}" for y in range(2000, 2010)]]
    path = tmp_path / name
    pd.DataFrame(rows, columns=head).to_csv(path, index=False, encoding="latin-1")
    return path


def test_census_files_are_latin1_and_state_rows_are_not_counties(tmp_path):
    rows = [[40, 35, 0, "New Mexico", *range(10)], [50, 35, 13, "Doña Ana County", *range(100, 110)]]
    out = pop.read_vintage(census(tmp_path, rows), 2009)
    assert out["county_fips"].unique().tolist() == ["35013"]
    assert out["population"].tolist() == list(range(100, 110))


def test_bad_census_files_are_refused_with_every_reason(tmp_path):
    rows = [[50, 1, 1, "a", "x", *range(9)], [50, 1, 1, "a", *range(10)]]
    with pytest.raises(SourceError, match=r"no whole numbers[\s\S]*repeat"):
        pop.read_vintage(census(tmp_path, rows), 2009)
    with pytest.raises(SourceError, match="POPESTIMATE2010"):
        pop.read_vintage(census(tmp_path, rows), 2019)


def test_acs_second_header_row_and_controlled_margins(tmp_path):
    path = tmp_path / "acs5_b03002_county_2012.csv"
    path.write_text(
        "GEO.id,GEO.id2,HD01_VD01,HD01_VD12,HD02_VD12\nId,Id2,Estimate; Total:,Estimate,Margin\n"
        "x,01001,100,10,*****\nx,35013,200,50,7\nx,72001,5,5,1\n",
        encoding="latin-1",
    )
    out = pop.read_acs(path)
    assert out["county_fips"].tolist() == ["01001", "35013"]
    assert out["hispanic_moe"].isna().tolist() == [True, False]


@pytest.mark.private_data
def test_rebuild_gives_the_released_bytes(sources, tmp_path):
    for path in pop.build(sources, tmp_path):
        assert path.read_bytes() == (released_dir() / path.name).read_bytes(), path.name


@pytest.mark.private_data
def test_independent_copy_agrees(sources):
    """NBER's wide file repeats Vintage 2009 exactly and Vintage 2019 nearly."""
    raw = pd.read_csv(sources / "population" / "nber_county_population_1970_2019.csv", encoding="utf-8-sig")
    wide = raw.assign(county_fips=raw["fips"].astype(str).str.zfill(5)).set_index("county_fips")
    ours = pop.load_population((2000, 2019))
    for year, least in ((2000, 0.999), (2009, 0.999), (2019, 0.99)):
        mine = ours[ours["year"] == year].set_index("county_fips")["population"]
        both = mine.index.intersection(wide.index)
        assert len(both) >= 3138
        equal = mine[both].astype(float) == wide.loc[both, f"pop{year}"]
        assert equal.mean() >= least
