"""Single-county metropolitan areas: parsing rules and the released table."""

import csv

import pandas as pd
import pytest

from g287stats.catalog import released_dir
from g287stats.errors import IdentityError, SourceError
from g287stats.outcomes import checks, load_outcome
from g287stats.outcomes.fbi import msa as fbi_msa

HEAD = [
    "Metropolitan Statistical Area",
    "Counties/principal cities",
    "Population",
    "Violent crime",
    "Murder",
    "Forcible rape",
    "Robbery",
    "Aggravated assault",
    "Property crime",
    "Burglary",
    "Larceny-theft",
    "Motor vehicle theft",
]


def write(tmp_path, year, rows, head=HEAD):
    path = tmp_path / f"FBI_Crime_{year}.csv"
    group = ["", "", "", "Violent crime", "", "", "", "", "Property crime"]  # 2003 prints a heading over the header
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([["Table 6"], group, head, *rows])
    return path


def area(name, includes, share=1.0, estimated=False, year_2005=False):
    figures = [10, 1, 2, 3, 4, 60, 10, 20, 30]
    rows = [[name, includes if year_2005 else "", 100000, "", ""]]
    if not year_2005:
        rows.append(["", includes])
    rows.append(["", "City of Somewhere", 5000, *[1] * 9])
    rows.append(["", "Total area actually reporting", share, *figures])
    if estimated:
        rows.append(["", "Estimated total", 1.0, *[2 * f for f in figures]])
    return [*rows, ["", "Rate per 100,000 inhabitants", "", *[0.1] * 9]]


def test_the_county_comes_from_the_includes_text(tmp_path):
    rows = [
        *area("Abilene, TX M.S.A.", "Includes Taylor County"),
        *area("Akron, OH M.S.A.2", "Includes Portage4 and Summit Counties"),
        *area("Albany, OR M.S.A.2", "Includes Linn County2", 0.9, True),
        *area("Bangor, ME M.S.A.", "(Includes part of Penobscot County.)"),
        *area("Carson City, NV M.S.A.", "Includes Carson City"),
        *area("Monroe, LA M.S.A.", "(Includes Ouachita Parish.)"),
        *area("Yauco, Puerto Rico M.S.A.", "Includes Yauco County"),
        *area("Warren-Troy-Farmington Hills, MI M.D.", "Includes Oakland County"),
    ]
    frame = fbi_msa.read_year(write(tmp_path, 2009, rows)).set_index("county_fips")
    assert sorted(frame.index) == ["22073", "26125", "32510", "41043", "48441"]
    assert frame.loc["41043", ["violent", "estimated", "reporting_share"]].tolist() == [20, True, 0.9]
    assert frame.loc["48441", ["violent", "estimated", "population"]].tolist() == [10, False, 100000]
    assert frame.loc["26125", "kind"] == "division"


def test_2005_prints_counties_in_the_second_column(tmp_path):
    rows = [
        *area("Altoona, PA M.S.A.", "Blair", year_2005=True),
        *area("Bay City, MI M.S.A.", "Bay and Tuscola", year_2005=True),
        *area("Boston, MA-NH M.S.A.", "Metropolitan Divisions of Boston-Quincy, MA; Essex", year_2005=True),
    ]
    frame = fbi_msa.read_year(write(tmp_path, 2005, rows))
    assert frame["county_fips"].tolist() == ["42013"]


def test_rape_is_kept_by_definition(tmp_path):
    for year, column in ((2012, "rape_legacy"), (2014, "rape_mixed"), (2017, "rape_revised")):
        frame = fbi_msa.read_year(write(tmp_path, year, area("Abilene, TX M.S.A.", "Includes Taylor County")))
        assert frame[["rape_legacy", "rape_mixed", "rape_revised"]].notna().sum(axis=1).item() == 1
        assert frame[column].item() == 2


def test_a_dash_is_zero_only_where_the_table_says_so(tmp_path):
    rows = area("Abilene, TX M.S.A.", "Includes Taylor County")
    rows[3][4] = "-"
    assert pd.isna(fbi_msa.read_year(write(tmp_path, 2001, rows))["murder"].item())
    said = [*rows, ["  Dashes (-) indicate a zero report."]]
    assert fbi_msa.read_year(write(tmp_path, 2001, said))["murder"].item() == 0


def test_unknown_county_and_wrong_table_are_refused(tmp_path):
    with pytest.raises(IdentityError, match="Nowhere"):
        fbi_msa.read_year(write(tmp_path, 2009, area("Abilene, TX M.S.A.", "Includes Nowhere County")))
    with pytest.raises(SourceError, match="no single-county area"):
        fbi_msa.read_year(write(tmp_path, 2009, [["x"]]))


def test_released_table():
    out = load_outcome("fbi_msa")
    assert out.years == tuple(range(2000, 2018))
    areas = out.frame[out.frame["kind"] == "area"].groupby("year").size()
    assert areas.between(110, 142).all()
    assert out.frame["coverage"].between(0, 1).all()
    parts = out.frame["violent_ex_rape"] + out.frame[["rape_legacy", "rape_mixed", "rape_revised"]].sum(axis=1)
    assert ((parts - out.frame["violent"]).abs().fillna(0) <= 1).all()  # estimates are rounded one by one


@pytest.mark.private_data
def test_totals_agree_with_the_private_county_files(nacjd_crimes):
    found = checks.compare_msa().set_index("offence")
    assert found["median_ratio"].round(3).tolist() == [1.0, 1.0]
    assert found["within_2pct"].between(0.83, 0.87).all()
    assert found["within_5pct"].between(0.92, 0.95).all()


@pytest.mark.private_data
def test_rebuild_gives_the_released_bytes(sources, tmp_path):
    (path,) = fbi_msa.build(sources, tmp_path)
    assert path.read_bytes() == (released_dir() / path.name).read_bytes()
