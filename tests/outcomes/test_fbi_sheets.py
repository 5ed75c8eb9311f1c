"""The rules by which FBI sheets are read, on small sheets of our own."""

import csv

import pandas as pd
import pytest

from g287stats.errors import SourceError
from g287stats.outcomes.fbi import sheets

HEAD = [
    "State",
    "County",
    "Violent\ncrime",
    "Murder and\nnonnegligent\nmanslaughter",
    "Forcible\nrape",
    "Robbery",
    "Aggravated\nassault",
    "Property\ncrime",
    "Burglary",
    "Larceny-\ntheft",
    "Motor\nvehicle\ntheft",
    "Arson1",
]
NOTES = [
    ["1 The FBI does not publish arson data unless it receives data for all 12 months of the calendar year."],
    ["2 The FBI determined that the agency's data were overreported.  Consequently, those data are not included."],
    ["3 Because of changes in the agency's reporting practices, figures are not comparable to previous years' data."],
]


def write(path, rows):
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows(rows)
    return path


def sheet(tmp_path, body, head=HEAD, notes=NOTES):
    return sheets.parse(write(tmp_path / "t.csv", [["Table 10"], ["by County, 2009"], head, *body, *notes]))


def test_merged_states_and_both_ways_of_printing_them(tmp_path):
    body = [
        ["ALABAMA\ue83aMetropolitan Counties ", "Autauga", 10, 1, 2, 3, 4, 6, 1, 2, 3, ""],
        ["", "Bibb", "1,010", 1, 2, 3, "1,004", 6, 1, 2, 3, 0],
        ["IOWA7 - Nonmetropolitan Counties3", "Story", 10, 1, 2, 3, 4, 6, 1, 2, 3, ""],
    ]
    frame = sheet(tmp_path, body).frame
    assert frame["state"].tolist() == ["AL", "AL", "IA"]
    assert frame["area"].tolist() == ["metropolitan", "metropolitan", "nonmetropolitan"]
    assert frame["violent"].tolist() == [10, 1010, 10]
    assert frame["notes"].isna().tolist() == [True, True, False]
    assert frame.loc[2, "notes"] == "break"  # the mark on the state cell holds for its rows


def test_footnote_digits_are_not_names_and_blank_is_not_zero(tmp_path):
    body = [
        ["ALABAMA - Metropolitan Counties", "Geneva2,3", "", 0, 3, 0, "", "", "", 116, 9, ""],
        ["", "Abbeville3, 2", 10, 1, 2, 3, 4, 6, 1, 2, 3, ""],
        ["", "District 1", 10, 1, 2, 3, 4, 6, 1, 2, 3, ""],
    ]
    frame = sheet(tmp_path, body).frame
    assert frame["agency"].tolist() == ["Geneva", "Abbeville", "District 1"]
    assert frame["notes"].tolist()[:2] == ["over;break", "break;over"]
    assert pd.isna(frame.loc[0, "violent"]) and pd.isna(frame.loc[0, "property"])
    assert frame.loc[0, "murder"] == 0
    assert frame["arson"].isna().all()


def test_state_headings_as_rows_of_one_column(tmp_path):
    head = ["County by state", *HEAD[2:]]
    body = [
        ["ALABAMA"],
        ["Metropolitan Counties"],
        ["Autauga", 10, 1, 2, 3, 4, 6, 1, 2, 3, ""],
        ["Nonmetropolitan Counties"],
        ["Bullock", 10, 1, 2, 3, 4, 6, 1, 2, 3, ""],
    ]
    frame = sheet(tmp_path, body, head).frame
    assert frame[["state", "area", "agency"]].to_numpy().tolist() == [
        ["AL", "metropolitan", "Autauga"],
        ["AL", "nonmetropolitan", "Bullock"],
    ]


def test_rape_goes_to_the_definition_its_header_names(tmp_path):
    both = HEAD.copy()
    both[4:5] = ["Rape\n(revised\ndefinition)1", "Rape\n(legacy\ndefinition)2"]
    row = ["OHIO - Metropolitan Counties", "Lake", 10, 1, "", 2, 3, 4, 6, 1, 2, 3, ""]
    frame = sheet(tmp_path, [row], both).frame
    assert pd.isna(frame.loc[0, "rape_revised"]) and frame.loc[0, "rape_legacy"] == 2
    later = HEAD.copy()
    later[4] = "Rape1"
    frame = sheet(tmp_path, [["OHIO - Metropolitan Counties", "Lake", 10, 1, 2, 3, 4, 6, 1, 2, 3, ""]], later).frame
    assert frame.loc[0, "rape_revised"] == 2 and pd.isna(frame.loc[0, "rape_legacy"])


def test_all_problems_of_a_file_at_once(tmp_path):
    body = [
        ["ATLANTIS - Metropolitan Counties", "Autauga", 10, 1, 2, 3, 4, 6, 1, 2, 3, ""],
        ["ALABAMA - Metropolitan Counties", "Bibb", "ten", 1, 2, 3, 4, 6, 1, 2, 3, ""],
    ]
    with pytest.raises(SourceError, match=r"ATLANTIS[\s\S]*'ten'"):
        sheet(tmp_path, body)


def test_a_table_without_its_header_or_columns_is_refused(tmp_path):
    with pytest.raises(SourceError, match="'Violent'"):
        sheets.parse(write(tmp_path / "x.csv", [["State", "County"], ["ALABAMA", "Bibb"]]))
    short = [h for h in HEAD if not h.startswith(("Burglary", "Murder"))]
    with pytest.raises(SourceError, match=r"murder, burglary"):
        sheet(tmp_path, [["ALABAMA", "Bibb", 1, 1, 1, 1, 1, 1, 1, 1]], short)


@pytest.mark.parametrize(
    "text, name, marks",
    [
        ("Geneva2,3", "Geneva", ["2", "3"]),
        ("Abbeville3, 4", "Abbeville", ["3", "4"]),
        ("District 1", "District 1", []),
        ("Lake", "Lake", []),
        ("Baltimore County4", "Baltimore County", ["4"]),
    ],
)
def test_strip_marks(text, name, marks):
    assert sheets.strip_marks(text) == (name, marks)
