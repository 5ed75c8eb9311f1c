"""Presidential votes: each way the file counts, each place it cannot give, one clear message for a bad file."""

import zipfile

import pandas as pd
import pytest
from fixtures import votes as files

from g287stats import catalog
from g287stats.catalog import store
from g287stats.errors import SourceError, UnavailableError
from g287stats.outcomes.context.votes import TABLE, load_presidential_votes


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(store.DATA_DIR_VARIABLE, str(tmp_path / "home"))


def write(folder, rows, name="countypres_2000-2020.csv"):
    path = folder / name
    files.table(rows).to_csv(path, index=False, sep="," if name.endswith("csv") else "\t")
    return path


@pytest.fixture
def votes(tmp_path):
    catalog.data_add(TABLE, [write(tmp_path, files.trapped())])
    return load_presidential_votes()


def test_absent_file_names_study_file_and_command():
    with pytest.raises(UnavailableError) as caught:
        load_presidential_votes()
    for said in ("doi.org/10.7910/DVN/VOQCHQ", "countypres_2000-20XX", "g287stats data add presidential-votes"):
        assert said in str(caught.value)


def test_report_of_the_import(tmp_path):
    report = catalog.data_add(TABLE, [write(tmp_path, files.trapped())]).parts.set_index("part")
    assert report["places"].tolist() == [57, 67]
    assert report["summed_over_modes"].tolist() == [0, 3]  # Bibb, Gaston, Wake
    assert report["set_aside"].tolist() == [4, 7]  # Connecticut's region is found when counties are harmonised
    assert report["doubtful"].tolist() == [0, 2]
    assert report["repeated_rows"].tolist() == [0, 3]
    assert report["version"].tolist() == ["20250101", "20250101"]


@pytest.mark.parametrize(
    ("county", "democratic", "republican", "counted", "doubt"),
    [
        ("13021", 30, 70, "sum over modes", ""),
        ("49005", 60, 40, "printed total", ""),
        ("49011", 60, 40, "printed total", "modes do not add up to the printed total"),
        ("48029", 70, 30, "printed total", ""),
        ("48113", 30, 70, "printed total", ""),
        ("37071", 15, 45, "sum over modes", ""),  # equal rows of a blank mode are three modes, not one row
        ("37183", 15, 35, "sum over modes", ""),
        ("20051", 25, 75, "printed total", ""),
        ("39003", 40, 60, "printed total", "two-party votes exceed the printed total of votes"),
    ],
)
def test_how_votes_are_counted(votes, county, democratic, republican, counted, doubt):
    row = votes.frame.set_index(["county_fips", "year"]).loc[(county, 2020)]
    assert (row["votes_democratic"], row["votes_republican"]) == (democratic, republican)
    assert row["republican_share"] == pytest.approx(republican / (democratic + republican), rel=1e-15)
    assert (row["counted"], row["doubt"]) == (counted, doubt)


def test_counties_are_harmonised_and_what_has_none_is_listed(votes):
    table = votes.frame.set_index(["county_fips", "year"])
    assert table.loc[("51019", 2016), ["votes_democratic", "votes_republican"]].tolist() == [150, 350]  # with 51515
    assert table.loc[("46102", 2016), "republican_share"] == 0.1  # printed as 46113
    assert table.loc[("01001", 2016), "republican_share"] == 0.6  # printed as 1001
    assert not votes.frame["county_fips"].str.startswith("02").any()
    listed = votes.set_aside.set_index(["year", "county_name"])["reason"]
    assert listed.to_dict() == {
        (2016, "DISTRICT 13"): "Alaska counts by district",
        (2016, "MAINE UOCAVA"): "no county code",
        (2016, "KANSAS CITY"): "a city printed apart from its county",
        (2016, "JACKSON"): "a city of the county is printed apart",
        (2020, "DISTRICT 13"): "Alaska counts by district",
        (2020, "KANSAS CITY"): "a city printed apart from its county",
        (2020, "SHARP"): "code bears two county names",
        (2020, "ST FRANCIS"): "code bears two county names",
        (2020, "FORD"): "two totals for one party",
        (2020, "LEA"): "no figure for one party",
        (2020, "LAKE"): "no vote for either party",
        (2020, "CAPITOL"): "code without a harmonised county",
    }
    codes = set(votes.set_aside.loc[votes.set_aside["year"] == 2020, "code"])
    assert not codes & set(votes.frame.loc[votes.frame["year"] == 2020, "county_fips"])  # absent, not zero
    assert len(votes.frame) + len(votes.set_aside) == 57 + 67 - 1  # Bedford's two places are one county


def test_a_set_aside_part_takes_its_county_along(tmp_path):
    rows = files.plain(2012) + files.place(2012, "VA", "BEDFORD", "51019", 100, 300)
    rows += files.place(2012, "VA", "BEDFORD CITY", "51515", None, 50)
    catalog.data_add(TABLE, [write(tmp_path, rows)])
    votes = load_presidential_votes()
    assert "51019" not in set(votes.frame["county_fips"])
    assert votes.set_aside["county_name"].tolist() == ["DISTRICT 13", "BEDFORD CITY"]


def test_zip_and_tab_as_downloaded_give_the_same_votes(votes, tmp_path):
    tab = write(tmp_path, files.trapped(), "countypres_2000-2020.tab")
    archive = tmp_path / "dataverse_files.zip"
    with zipfile.ZipFile(archive, "w") as z:
        z.write(tab, "dataverse/countypres_2000-2020.tab")
    catalog.data_add(TABLE, [archive])
    pd.testing.assert_frame_equal(load_presidential_votes().frame, votes.frame)


def test_row_order_does_not_matter(votes, tmp_path):
    shuffled = files.table(files.trapped()).sample(frac=1, random_state=3).to_dict("records")
    catalog.data_add(TABLE, [write(tmp_path, shuffled)])
    again = load_presidential_votes()
    pd.testing.assert_frame_equal(again.frame, votes.frame)
    pd.testing.assert_frame_equal(again.set_aside, votes.set_aside)


def test_bad_files(tmp_path):
    good = files.table(files.plain(2016) + files.plain(2020))
    shifted = good.assign(county_fips=good["county_fips"].sample(frac=1, random_state=1).to_numpy())
    cases = {
        r"columns are absent \(2\): version, mode": good.drop(columns=["version", "mode"]),
        "no rows": good.iloc[:0],
        "2020: states are absent .*: WI, WY": good[~good["state_po"].isin(["WI", "WY"]) | (good["year"] == 2016)],
        "2016: no rows of party .*REPUBLICAN": good[(good["party"] != "REPUBLICAN") | (good["year"] == 2020)],
        "years that are no presidential election": good.replace({"year": {2020: 2018}}),
        "states that are none of the 50 and DC": good.replace({"state_po": {"TX": "TEX"}}),
        "offices other than the presidency": good.assign(office="US SENATE"),
        "candidatevotes holds what is not a number": good.replace({"candidatevotes": {400: "many"}}),
        "candidatevotes holds negative values": good.replace({"candidatevotes": {400: -4}}),
        "totalvotes holds fractions": good.replace({"totalvotes": {1010: 10.5}}),
        "county codes that are no numbers": good.replace({"county_fips": {"1001": "Autauga"}}),
        "county code of another state: columns are shifted": shifted,
    }
    path = tmp_path / "countypres_2000-2020.csv"
    for message, frame in cases.items():
        frame.to_csv(path, index=False)
        with pytest.raises(SourceError, match=message):
            catalog.data_add(TABLE, [path])
    text = good.to_csv(index=False)
    path.write_text(text[: text.rindex("US PRESIDENT")])
    with pytest.raises(SourceError, match="Truncated"):
        catalog.data_add(TABLE, [path])
    assert store.kept(TABLE) == {}


def test_all_problems_are_named_at_once(tmp_path):
    rows = files.table(files.plain(2020)).replace({"state_po": {"TX": "TEX"}, "candidatevotes": {400: "many"}})
    path = tmp_path / "countypres_2000-2020.csv"
    rows.to_csv(path, index=False)
    with pytest.raises(SourceError, match=r"2 problems[\s\S]*states that are[\s\S]*not a number"):
        catalog.data_add(TABLE, [path])


def test_two_releases_are_refused(tmp_path):
    paths = [write(tmp_path, files.plain(2016), f"countypres_2000-{y}.csv") for y in (2020, 2024)]
    with pytest.raises(SourceError, match="more than one release"):
        catalog.data_add(TABLE, paths)
