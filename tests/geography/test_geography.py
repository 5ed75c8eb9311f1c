"""County units, changes and neighbours: the released tables and the mapping rules."""

import warnings

import pandas as pd
import pytest

from g287stats import geography as geo
from g287stats.catalog import read_released
from g287stats.errors import DataWarning, DesignError, SourceError


def test_units_are_the_3142_counties_of_2010_2019():
    units = geo.load_counties()
    assert len(units) == 3142
    assert units["county_fips"].is_unique
    assert set(units["state"]) == {geo.STATES[s] for s in geo.STATES if s < "60"}
    for gone in ("51515", "51560", "46113", "02270", "02063", "09110", "02231"):
        assert gone not in set(units["county_fips"])
    for present in ("51019", "46102", "02158", "02261", "09001", "08014", "12086"):
        assert present in set(units["county_fips"])
    # every unit has a centre of population, Kusilvak and Oglala Lakota those of the codes before them
    assert units[["lat", "lon"]].notna().all().all()


def test_all_codes_lists_successors_without_unit():
    codes = geo.load_counties(all_codes=True).set_index("county_fips")
    assert codes.loc["51515", "unit_fips"] == "51019"
    assert pd.isna(codes.loc["09110", "unit_fips"])
    assert codes.loc["46102", "valid_from"] == pd.Timestamp("2015-05-01")
    assert codes.loc["46113", "valid_to"] == pd.Timestamp("2015-04-30")


def test_harmonise_counts_what_it_did():
    given = pd.Series(
        ["51515", "51560", "46113", "02270", "02158", "37119", None, "09110", "99999"], index=range(9, 0, -1)
    )
    with pytest.warns(DataWarning, match=r"09110 \(1\), 99999 \(1\)"):
        out = geo.harmonise(given)
    assert out.index.equals(given.index)
    assert out.tolist()[:6] == ["51019", "51005", "46102", "02158", "02158", "37119"]
    assert out.isna().tolist()[6:] == [True, True, True]
    assert out.attrs["harmonised"]["recoded"] == {
        "02270->02158": 1,
        "46113->46102": 1,
        "51515->51019": 1,
        "51560->51005": 1,
    }
    assert out.attrs["harmonised"]["unknown"] == {"09110": 1, "99999": 1}
    assert given.tolist()[0] == "51515"  # input untouched


def test_harmonise_counts_codes_outside_their_years():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = geo.harmonise(pd.Series(["08014", "08014", "46102"]), pd.Series([2000, 2001, 2000]))
    assert out.attrs["harmonised"]["outside_validity"] == {"08014": 1, "46102": 1}
    assert out.tolist() == ["08014", "08014", "46102"]


def test_harmonise_refuses_numbers_and_short_text():
    with pytest.raises(SourceError, match="zfill"):
        geo.harmonise(pd.Series([1001, "1001"], dtype=object))


def test_neighbours_published_counts_and_symmetry():
    pairs = read_released("county_neighbours")
    assert pairs.groupby("vintage").size().to_dict() == {2010: 9289, 2024: 9287}
    # measured on the 2017 shapes (2010: 158 water pairs; the finer 1:500,000 shapes give 176, corners included)
    assert pairs.groupby("vintage")["touches_land"].sum().to_dict() == {2010: 9131, 2024: 9129}
    assert not (pairs["shares_edge"] & ~pairs["touches_land"]).any()
    both = geo.neighbours(2010, water=True)
    forward = set(zip(both["county_fips"], both["neighbour_fips"]))
    assert forward == {(b, a) for a, b in forward}
    assert not any(a == b for a, b in forward)


def test_water_links_are_off_by_default():
    land = geo.neighbours()
    pairs = set(zip(land["county_fips"], land["neighbour_fips"]))
    water = geo.neighbours(water=True)
    every = set(zip(water["county_fips"], water["neighbour_fips"]))
    assert ("17031", "26021") in every and ("17031", "26021") not in pairs  # Cook IL, Berrien MI: Lake Michigan
    assert ("37119", "37025") in pairs  # Mecklenburg, Cabarrus
    assert ("51019", "51009") in pairs  # Bedford's neighbours survive the merge with the city inside it


def test_distances_by_hand():
    # 2010 centres of population of Mecklenburg and Union NC, haversine on a 6371.0088 km sphere
    d = geo.county_distances(["37119"], 60).set_index("other_fips")["km"]
    at = geo.load_counties().set_index("county_fips")[["lat", "lon"]]
    import math

    (p1, l1), (p2, l2) = (map(math.radians, at.loc[c]) for c in ("37119", "37179"))
    h = math.sin((p2 - p1) / 2) ** 2 + math.cos(p1) * math.cos(p2) * math.sin((l2 - l1) / 2) ** 2
    assert d["37179"] == pytest.approx(2 * 6371.0088 * math.asin(math.sqrt(h)), abs=1e-9)
    assert "37119" not in d.index
    assert (d <= 60).all()
    with pytest.raises(SourceError, match="99999"):
        geo.county_distances(["99999"])


def test_state_of():
    assert geo.state_of("11001") == "DC"
    with pytest.raises(SourceError):
        geo.state_of("03001")


def test_unknown_vintage_names_the_known_ones():
    with pytest.raises(SourceError, match="2010, 2024"):
        geo.neighbours(1990)


@pytest.mark.private_data
def test_rebuild_gives_the_released_bytes(sources, tmp_path):
    from g287stats.catalog import released_dir

    for path in geo.build(sources, tmp_path):
        assert path.read_bytes() == (released_dir() / path.name).read_bytes(), path.name


def test_years_of_codes_are_put_in_the_order_of_the_codes():
    codes = pd.Series(["46113", "46102"], index=["a", "b"])
    told = {"46102": 1}
    years = pd.Series([2008, 2008], index=["b", "a"])
    assert geo.harmonise(codes, years).attrs["harmonised"]["outside_validity"] == told
    assert geo.harmonise(codes, [2008, 2008]).attrs["harmonised"]["outside_validity"] == told
    with pytest.raises(DesignError, match="no value under their label"):
        geo.harmonise(codes, pd.Series([2008, 2008]))
