"""CDC WONDER, Open Policing, USA Counties: right figures, and one clear message for a bad file."""

import functools
import http.server
import threading
import zipfile

import pandas as pd
import pytest
from fixtures import county_files as files

import g287stats.outcomes as outcomes
from g287stats import catalog
from g287stats.catalog import store
from g287stats.errors import SourceError, UnavailableError
from g287stats.outcomes.agency.open_policing import load_open_policing
from g287stats.outcomes.context.usa_counties import load_usa_counties


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(store.DATA_DIR_VARIABLE, str(tmp_path / "home"))


def refused(table, paths) -> str:
    with pytest.raises(SourceError) as caught:
        catalog.data_add(table, paths)
    assert store.kept(table) == {}
    return str(caught.value)


def cell(table, county, year):
    return table.frame.set_index(["county_fips", table.time]).loc[(county, year)]


@pytest.mark.parametrize("name", ["cdc_homicide", "open_policing", "usa_counties"])
def test_absent_files_are_explained(name):
    with pytest.raises(UnavailableError, match=r"g287stats data (add|fetch)"):
        outcomes.load_outcome(name)


# ------------------------------------------------------------- CDC WONDER

ROWS = [
    ("37071", 2006, 15, 200_000),
    ("37063", 2006, "Suppressed", 250_000),
    ("51019", 2006, 12, 70_000),
    ("51515", 2006, "Suppressed", 6_000),
    ("99999", 2006, 11, 1_000),
]


def test_wonder_export(tmp_path):
    path = tmp_path / "homicide.txt"
    path.write_text(files.wonder(ROWS))
    report = catalog.data_add("cdc-county-homicide", [path])
    assert report.parts.loc[0, ["counties", "suppressed"]].tolist() == [5, 2]
    table = outcomes.load_outcome("cdc_homicide")
    assert cell(table, "37071", 2006)["homicide_deaths"] == 15
    hidden = cell(table, "37063", 2006)
    assert pd.isna(hidden["homicide_deaths"])
    assert (hidden["homicide_deaths_low"], hidden["homicide_deaths_high"]) == (0, 9)
    assert hidden["doubt"] == "suppressed: 0 to 9 deaths"
    bedford = cell(table, "51019", 2006)  # Bedford city is suppressed: the unit's sum is unknown but bounded
    assert pd.isna(bedford["homicide_deaths"])
    assert (bedford["homicide_deaths_low"], bedford["homicide_deaths_high"]) == (12, 21)
    assert bedford["population"] == 76_000
    assert {s.step: s.listing for s in table.flow}["in a harmonised county"] == ("99999 2006",)


def test_wonder_bad_exports(tmp_path):
    path = tmp_path / "homicide.txt"
    good = files.wonder(ROWS)
    cases = {
        "no closing line '---'": good[: good.index("---")],
        "does not name homicide": files.wonder(ROWS, "---\nInjury Intent: Suicide\n---\n"),
        "columns are absent": good.replace('"Year"', '"Month"', 1).replace('"County Code"', '"State Code"', 1),
        "deaths that are no numbers": files.wonder([("37071", 2006, "many", 1)]),
        "county codes are not five digits": files.wonder([(371, 2006, 12, 1)]),
        "years that are no years": files.wonder([("37071", "June", 12, 1)]),
        "county-years repeat": files.wonder([ROWS[0], ROWS[0]]),
        "is empty": "",
        "another number of cells": good.replace("\t5.0", "\t5.0\textra\textra", 1),
    }
    for message, text in cases.items():
        path.write_text(text)
        assert message in refused("cdc-county-homicide", [path])
    path.write_text(good)
    again = tmp_path / "again.txt"
    again.write_text(files.wonder([("37071", 2006, 15, 200_000)]))
    assert "both hold 2006–2006" in refused("cdc-county-homicide", [path, again])


# ------------------------------------------------------------- Open Policing


def write_stops(tmp_path, frame, name="nc_statewide_2020_04_01.csv"):
    frame.to_csv(tmp_path / name, index=False)
    return tmp_path / name


def test_stops_by_county_year_month_and_race(tmp_path):
    frame = files.stops()
    frame.loc[0, "date"] = "NA"
    frame.loc[1, "county_name"] = "Nowhere County"
    frame.loc[2, "subject_race"] = "NA"
    frame.loc[3, "type"] = "pedestrian"
    report = catalog.data_add("open-policing-stops", [write_stops(tmp_path, frame)])
    assert report.parts.loc[0, ["stops", "without_date"]].tolist() == [24, 1]
    table = load_open_policing()
    first, second = cell(table, "37071", 2010), cell(table, "37071", 2011)
    assert (first["stops"], first["stops_unknown"], first["stops_hispanic"]) == (9, 1, 4)
    assert (second["stops"], second["stops_hispanic"], second["searches"], second["arrests"]) == (12, 6, 4, 0)
    assert (first["doubt"], second["doubt"]) == ("fewer than 12 months in the file", "")
    assert {s.step: s.listing for s in table.flow}["in a county"] == ("nc_statewide Nowhere County: 1",)
    monthly = load_open_policing(freq="M", type="all")
    assert cell(monthly, "37071", pd.Period("2010-04", "M"))["stops"] == 1


def test_missing_columns_are_missing_not_zero_and_city_needs_its_county(tmp_path):
    frame = files.stops().drop(columns=["county_name", "search_conducted"])
    catalog.data_add("open-policing-stops", [write_stops(tmp_path, frame, "nc_gastonia_2020_04_01.csv")])
    with pytest.raises(SourceError, match="City files need places"):
        load_open_policing()
    table = load_open_policing(places={"nc_gastonia": "37071"})
    row = cell(table, "37071", 2010)
    assert row["stops"] == 12
    assert pd.isna(row["searches"])
    assert pd.isna(row["searches_hispanic"])


def test_stops_are_summed_the_same_in_pieces(tmp_path, monkeypatch):
    path = write_stops(tmp_path, files.stops())
    catalog.data_add("open-policing-stops", [path])
    whole = load_open_policing(freq="M").frame
    monkeypatch.setattr("g287stats.outcomes.agency.open_policing.PIECE", 5)
    catalog.data_add("open-policing-stops", [path])
    pd.testing.assert_frame_equal(whole, load_open_policing(freq="M").frame)


def test_bad_stops(tmp_path):
    frame = files.stops()
    cases = {
        "columns are absent: not a stop file": frame.drop(columns="subject_race"),
        "dates that are no dates": frame.assign(date="15/01/2010"),
        "races outside the project's list": frame.rename(columns={"subject_sex": "subject_race", "subject_race": "x"}),
        "search_conducted is neither TRUE nor FALSE": frame.assign(search_conducted="yes"),
        "no stops": frame[:0],
    }
    for message, bad in cases.items():
        assert message in refused("open-policing-stops", [write_stops(tmp_path, bad)])
    path = tmp_path / "nc_statewide_2020_04_01.csv"
    path.write_text('date,subject_race\n"2010-01-01,white\n')
    assert "Truncated" in refused("open-policing-stops", [path])
    path.write_text(write_stops(tmp_path, frame).read_text()[:-20])
    assert "the last line has 6 of 8 cells" in refused("open-policing-stops", [path])
    path.write_text("")
    assert "is empty" in refused("open-policing-stops", [path])
    assert "does not begin with a state: 'zz'" in refused(
        "open-policing-stops", [write_stops(tmp_path, frame, "zz_statewide_2020_04_01.csv")]
    )


# ------------------------------------------------------------- USA Counties

SHEETS = {
    "CRM01": ("violent", "murder", "rape_legacy", "robbery", "assault"),
    "CRM02": ("property", "burglary"),
    "CRM03": ("larceny", "motor_vehicle_theft"),
}


def sheets(folder, years=(1999, 2006), change=None):
    out = []
    for name, measures in SHEETS.items():
        frame = files.usa_counties(measures, years)
        frame = change(name, frame) if change else frame
        out.append(files.write_sheet(folder / f"{name}.xls", frame))
    return out


def test_fetch_from_a_server_then_load(tmp_path):
    www = tmp_path / "www"
    www.mkdir()

    def silent(name, frame):
        counts = [c for c in frame.columns if c.endswith("D")]
        frame.loc[frame["STCOU"] == "17031", counts] = 0
        if name == "CRM01":
            frame.loc[frame["STCOU"] == "37071", ["CRM140206D", "CRM140206F"]] = [0, 3]
        return frame

    sheets(www, change=silent)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(www))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        report = catalog.data_fetch("census-usa-counties-crime", address=address)
        server.shutdown()
    assert report.parts["part"].tolist() == ["CRM01", "CRM02", "CRM03"]
    assert len(report.notes) == 3
    table = load_usa_counties()
    assert table.years == (1999, 2006)
    raw = files.usa_counties(SHEETS["CRM01"], (1999, 2006)).set_index("STCOU")
    row = cell(table, "37119", 2006)
    assert row["violent"] == raw.loc["37119", "CRM110206D"]
    assert row["violent_ex_rape"] == row["murder"] + row["robbery"] + row["assault"]
    assert cell(table, "51019", 1999)["murder"] == raw.loc[["51019", "51515"], "CRM140199D"].sum()
    assert cell(table, "46102", 1999)["murder"] == raw.loc["46113", "CRM140199D"]
    cook = cell(table, "17031", 2006)
    assert pd.isna(cook["violent"])
    assert cook["doubt"] == "no report"
    assert cell(load_usa_counties(all_zero="zero"), "17031", 2006)["violent"] == 0
    assert pd.isna(cell(table, "37071", 2006)["murder"])  # a flagged zero
    assert not table.frame["county_fips"].str.endswith("000").any()
    assert table.provenance["files"]["CRM01"]["url"] == address


def test_sheets_given_by_hand_and_in_a_zip(tmp_path):
    path = tmp_path / "usa.zip"
    with zipfile.ZipFile(path, "w") as z:
        for sheet in sheets(tmp_path, years=(2006,)):
            z.write(sheet, f"excel/{sheet.name}")
    assert len(catalog.data_add("census-usa-counties-crime", [path]).parts) == 3


def test_bad_sheets(tmp_path):
    def swapped(name, frame):
        return frame.rename(columns={"CRM110206D": "CRM140206D", "CRM140206D": "CRM110206D"})

    assert "violent is not the sum of its parts" in refused(
        "census-usa-counties-crime", sheets(tmp_path, (2006,), swapped)
    )
    frame = files.usa_counties(("murder",), (2006,))
    path = tmp_path / "CRM01.xls"
    cases = {
        "not a crime sheet of USA Counties": frame.rename(columns={"CRM140206D": "AGE140206D"}),
        "a complete sheet has at least 3,100": frame[:500],
        "not counts (1): 01001 'x'": frame.astype(object).where(
            frame["STCOU"] != "01001", frame.assign(CRM140206D="x")
        ),
        "STCOU is not five digits": frame.assign(STCOU="Autauga"),
    }
    for message, bad in cases.items():
        files.write_sheet(path, bad)
        assert message in refused("census-usa-counties-crime", [path])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "not a readable workbook" in refused("census-usa-counties-crime", [path])
    path.write_bytes(b"")
    assert "is empty" in refused("census-usa-counties-crime", [path])
    one = files.write_sheet(path, frame)
    two = files.write_sheet(tmp_path / "CRM02.xls", frame)
    assert "two files hold the same item (1): murder 2006" in refused("census-usa-counties-crime", [one, two])


def test_stops_of_troopers_sheriffs_and_cities_are_told_apart(tmp_path):
    names = (
        ["NC State Highway Patrol"] * 3 + ["Alamance County Sheriff's Office"] * 2 + ["Burlington Police Department"]
    )
    frame = pd.DataFrame(
        {
            "date": "2008-03-01",
            "county_name": "Alamance County",
            "subject_race": "white",
            "type": "vehicular",
            "search_conducted": ["TRUE", "FALSE", "FALSE", "TRUE", "TRUE", ""],
            "arrest_made": "FALSE",
            "department_name": names,
        }
    )
    catalog.data_add("open-policing-stops", [write_stops(tmp_path, frame)])
    by_type = {k: load_open_policing(agency_type=k).frame for k in ("state", "county", "city", "all")}
    assert {k: int(f["stops"].item()) for k, f in by_type.items()} == {"state": 3, "county": 2, "city": 1, "all": 6}
    assert by_type["state"]["searches"].item() == 1 and by_type["county"]["searches"].item() == 2
    assert pd.isna(by_type["all"]["searches"].item())  # the city does not record searches: unknown, not none
    one = load_open_policing(departments=["Burlington Police Department"])
    assert one.frame["stops"].item() == 1 and "Burlington" in str(one.provenance["settings"])
    with pytest.raises(SourceError, match="no stops of departments"):
        load_open_policing(departments=["Elon"])
