"""Small lists and sources authored for the tests, in the layout of the real ones."""

import csv
from pathlib import Path

import openpyxl

HEADER = ["STATE", "LAW ENFORCEMENT AGENCY", "TYPE", "COUNTY", "SUPPORT TYPE", "SIGNED", "MOA", "ADDENDUM"]
PENDING = ["STATE", "LAW ENFORCEMENT AGENCY", "TYPE", "COUNTY", "SUPPORT TYPE"]
MODEL = {"JEM": "Jail Enforcement Model", "TFM": "Task Force Model", "WSO": "Warrant Service Officer"}


def line(state, agency, model, signed, county="", moa="link", kind="County"):
    return [state, agency, kind, county, MODEL.get(model, model), signed, moa, ""]


def workbook(path: Path, rows, header=HEADER, sheets=()):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Sheet1"
    sheet.append(header)
    for row in rows:
        sheet.append(row)
    for name, cells in sheets:
        other = book.create_sheet(name)
        for row in cells:
            other.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)
    return path


def sources(folder: Path, lists, pending=(), history=(), late=(), removals=()):
    """Write a sources folder: ``lists`` is [(file, date, rows)], a table repeated is stored once."""
    agreements = folder / "agreements"
    stored, seen = {}, []
    for file, day, rows in lists:
        key = repr(rows)
        if key not in stored:
            stored[key] = workbook(agreements / "rosters" / file, rows).name
        seen.append([day, file, len(rows), stored[key]])
    _csv(agreements / "list_observations.csv", "list_date file rows same_table_as", seen)
    for file, rows in pending:
        workbook(agreements / "pending" / file, rows, PENDING)
    _csv(
        agreements / "historical_2002_2016.csv",
        "state agency agency_type county_fips model signed_date resigned_dates ended_date end_after end_by "
        "ended_basis source confidence ended_date_source on_2021_01_13_roster task_force_part_ended",
        history,
    )
    _csv(
        agreements / "historical_2017_2020_JEM.csv",
        "state agency county_fips signed_date basis model on_2021_roster_JEM signed_on_2021_roster",
        late,
    )
    _csv(
        agreements / "ice_removals_by_agency_fy2006_2013.csv",
        "state agency fiscal_year identified removed footnoted",
        removals,
    )
    _csv(
        folder / "geography" / "fbi_agencies_latest.csv",
        "ori data_year pub_agency_name state_abbr county_name agency_type_name",
        [
            ["NC0010000", 2025, "Alamance", "NC", "ALAMANCE", "County"],
            ["NC0010200", 2025, "Burlington", "NC", "ALAMANCE, GUILFORD", "City"],
        ],
    )
    return folder


def _csv(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header.split(), *rows])
