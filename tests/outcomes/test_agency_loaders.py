"""Kaplan, Return A, API answers, Real-Time Crime Index: right figures, and one clear message for a bad file."""

import zipfile

import numpy as np
import pandas as pd
import pytest
from fixtures import agency_files as files

import g287stats.outcomes as outcomes
from g287stats import catalog
from g287stats.catalog import store
from g287stats.errors import SourceError, UnavailableError
from g287stats.outcomes.agency import cde, kaplan, rtci

ORIS = pd.DataFrame({"agency": ["NC0370000", "NC0370100"], "county_fips": ["37071", "37071"]})


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(store.DATA_DIR_VARIABLE, str(tmp_path / "home"))


def refused(table, paths) -> str:
    with pytest.raises(SourceError) as caught:
        catalog.data_add(table, paths)
    assert store.kept(table) == {}
    return str(caught.value)


def cell(table, county="37071", year=2006):
    return table.frame.set_index(["county_fips", "year"]).loc[(county, year)]


@pytest.mark.parametrize("name", ["kaplan_agencies", "fbi_return_a", "fbi_cde", "rtci"])
def test_absent_files_are_explained(name):
    with pytest.raises(UnavailableError, match="g287stats data add"):
        outcomes.load_outcome(name)


# ------------------------------------------------------------- Kaplan


def write_kaplan(tmp_path, frame, name="offenses_known_monthly_2006.csv"):
    frame.to_csv(tmp_path / name, index=False)
    return tmp_path / name


def test_kaplan_monthly_by_card(tmp_path):
    inner = tmp_path / "monthly.zip"
    with zipfile.ZipFile(inner, "w") as z:
        z.writestr("offenses_known_monthly_2006.csv", files.kaplan_monthly().to_csv(index=False))
    outer = tmp_path / "100707-V16.zip"
    with zipfile.ZipFile(outer, "w") as z:
        z.write(inner, "offenses_known_csv.zip")
    report = catalog.data_add("kaplan-offenses", [outer])
    assert report.parts["part"].tolist() == ["monthly-2006"]
    given = kaplan.load_kaplan_reports()
    assert given.provenance["months_reported_by"] == ["card_actual_pt"]
    november = given.frame[(given.frame["agency"] == "NC03701") & (given.frame["period"] == "2006-11")].iloc[0]
    assert not november["reported"]
    assert np.isnan(november["murder"])  # the file prints 0 there: an unreported month is not zero
    table = outcomes.load_outcome("kaplan_agencies")
    row = cell(table)
    assert (row["murder"], row["violent"], row["property"]) == (12, 12 * (1 + 2 + 3 + 4), 12 * (5 + 6 + 7))
    assert (row["violent_cleared"], row["coverage"]) == (12 * 4, 0.25)
    assert (row["murder_low"], row["murder_high"]) == (22, 24)


def test_kaplan_rules_for_months_in_order(tmp_path):
    frame = files.kaplan_monthly()
    path = write_kaplan(tmp_path, frame.drop(columns="card_actual_pt"))
    catalog.data_add("kaplan-offenses", [path])
    given = kaplan.load_kaplan_reports()
    assert "last month reported; gaps" in given.provenance["months_reported_by"][0]
    assert given.frame["reported"].sum() == 22
    frame["month_missing"] = 0
    catalog.data_add("kaplan-offenses", [write_kaplan(tmp_path, frame)])
    assert kaplan.load_kaplan_reports().frame["reported"].sum() == 24
    bare = frame.drop(columns=["card_actual_pt", "month_missing", "number_of_months_reported"])
    with pytest.raises(SourceError, match="no column says which months were reported"):
        catalog.data_add("kaplan-offenses", [write_kaplan(tmp_path, bare)])


def test_kaplan_yearly(tmp_path):
    path = tmp_path / "offenses_known_yearly_2006_2007.dta"
    files.kaplan_yearly().to_stata(path, write_index=False)
    catalog.data_add("kaplan-offenses", [path])
    table = kaplan.load_kaplan(grain="year")
    assert (cell(table)["murder"], cell(table, year=2007)["murder"]) == (10, 20)
    assert pd.isna(cell(table)["murder_high"])  # only years are known
    weighted = kaplan.load_kaplan(grain="year", rule="weighted", min_months=3)
    assert cell(weighted)["murder"] == 10 + 10 * 12 / 10
    with pytest.raises(UnavailableError, match="monthly files"):
        kaplan.load_kaplan()


def test_kaplan_bad_files(tmp_path):
    frame = files.kaplan_monthly()
    cases = {
        "the name says 2006–2006, the rows 2007–2007: wrong year": frame.assign(year=2007),
        "columns are absent: another layout": frame.drop(columns="actual_murder"),
        "column actual_murder holds what is not a number": frame.assign(actual_murder="x"),
        "ORIs are not two letters": frame.assign(ori=frame["population"]),
        "agency-periods repeat": pd.concat([frame, frame]),
        "months that are no months": frame.assign(month="smarch"),
        "no column says": frame.drop(columns=["card_actual_pt", "number_of_months_reported"]),
    }
    for message, bad in cases.items():
        assert message in refused("kaplan-offenses", [write_kaplan(tmp_path, bad)])
    (tmp_path / "offenses_known_monthly_2006.csv").write_text("")
    assert "is empty" in refused("kaplan-offenses", [tmp_path / "offenses_known_monthly_2006.csv"])
    (tmp_path / "offenses_known_monthly_2006.dta").write_bytes(b"cut")
    assert "cannot be read as .dta" in refused("kaplan-offenses", [tmp_path / "offenses_known_monthly_2006.dta"])
    evil = tmp_path / "e.zip"
    with zipfile.ZipFile(evil, "w") as z:
        z.writestr("../offenses_known_monthly_2006.csv", frame.to_csv(index=False))
    assert "point outside" in refused("kaplan-offenses", [evil])


# ------------------------------------------------------------- Return A


def write_return_a(tmp_path, text, name="reta-2006.txt"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_return_a_record(tmp_path):
    catalog.data_add("fbi-return-a", [write_return_a(tmp_path, files.return_a())])
    table = cde.load_return_a(agencies=ORIS)
    row = cell(table)
    # Aggravated assault is the four armed and aggravated parts, 1 + 2 + 3 + 4; simple assault (5) stays out.
    assert (row["murder"], row["rape_mixed"], row["robbery"], row["assault"]) == (12, 36, 72, 120)
    assert row["violent"] == 12 * (1 + 3 + 6 + 10)
    assert (row["burglary"], row["larceny"], row["motor_vehicle_theft"]) == (108, 240, 72)
    assert (row["murder_cleared"], row["assault_cleared"]) == (12, 48)
    assert (row["population"], row["coverage"], row["murder_low"]) == (1000, 0.5, 22)
    with pytest.raises(SourceError, match="Pass agencies="):
        cde.load_return_a()


def test_return_a_signs_on_the_last_digit(tmp_path):
    text = files.return_a()
    first = 305 + 17 + 140  # January, card 'actual', murder
    text = text[:first] + "0000K" + text[first + 5 :]
    catalog.data_add("fbi-return-a", [write_return_a(tmp_path, text)])
    assert cell(cde.load_return_a(agencies=ORIS))["murder"] == 12 - 1 - 2


def test_return_a_bad_files(tmp_path):
    good = files.return_a()
    cases = {
        "records are not 7385 characters long": good[:-40],
        "the name says 2006, the records say year ['07']: wrong year": files.return_a(2007),
        "without an ORI in characters 4–10": good.replace("NC03700", "1234567"),
        "agencies occur twice": files.return_a(oris=("NC03700", "NC03700")),
        "holds what is not a number": good[: 305 + 17 + 140] + "0x000" + good[305 + 17 + 145 :],
        "offences in detail add up to their totals in only": files.return_a(card=files.CARD[::-1]),
        "is empty": "",
    }
    for message, text in cases.items():
        assert message in refused("fbi-return-a", [write_return_a(tmp_path, text)])


# ------------------------------------------------------------- API


def months(n=12, value=2):
    return {f"{m:02d}-2006": value for m in range(1, n + 1)}


def test_answers_by_offence_become_agency_months(tmp_path):
    files.write_answer(tmp_path, "NC0370000", "MVT", files.answer(months(), months(12, 1)))
    files.write_answer(tmp_path, "NC0370000", "HOM", files.answer(months(12, 0)))
    gap = months() | {"05-2006": None}
    files.write_answer(tmp_path, "NC0370100", "MVT", files.answer(gap))
    report = catalog.data_add("fbi-cde-summarized", [tmp_path])
    assert report.parts.set_index("part").loc["NC0370100", "reported_months"] == 11
    row = cell(cde.load_cde(agencies=ORIS))
    assert (row["motor_vehicle_theft"], row["motor_vehicle_theft_cleared"], row["murder"]) == (24, 12, 0)
    assert (row["motor_vehicle_theft_low"], row["motor_vehicle_theft_high"]) == (24 + 22, 48)


def test_no_participating_population_is_not_reported(tmp_path):
    part = dict.fromkeys(months(), 5000) | {"05-2006": 0}
    files.write_answer(tmp_path, "NC0370000", "MVT", files.answer(months(), part=part))
    catalog.data_add("fbi-cde-summarized", [tmp_path / "NC0370000_MVT.json"])
    given = cde.load_cde_reports(agencies=ORIS).frame
    assert given["reported"].sum() == 11


def test_bad_answers(tmp_path):
    path = files.write_answer(tmp_path, "NC0370000", "XYZ", files.answer(months()))
    assert "no offence is called 'XYZ'" in refused("fbi-cde-summarized", [path])
    cases = {
        "not a complete JSON answer": '{"offenses": {"actu',
        "no offenses.actuals": '{"error": {"code": "OVER_RATE_LIMIT"}}',
        "is empty": "",
    }
    path = tmp_path / "NC0370000_MVT.json"
    for message, text in cases.items():
        path.write_text(text)
        assert message in refused("fbi-cde-summarized", [path])
    letters = files.write_answer(tmp_path, "NC0370000", "MVT", files.answer(months() | {"05-2006": "many"}))
    assert "holds what is not a number (05-2006: 'many')" in refused("fbi-cde-summarized", [letters])
    shuffled = files.write_answer(tmp_path, "NC0370000", "MVT", files.answer({"2006-05": 1}))
    assert "months are not MM-YYYY" in refused("fbi-cde-summarized", [shuffled])


# ------------------------------------------------------------- Real-Time Crime Index


def test_rtci_aggregates_are_left_out_and_counted(tmp_path):
    files.rtci().to_csv(tmp_path / "final_sample.csv", index=False)
    report = catalog.data_add("rtci-agency-months", [tmp_path / "final_sample.csv"])
    assert report.parts.loc[0, ["agencies", "aggregates", "aggregate_rows"]].tolist() == [2, 2, 48]
    agencies = pd.DataFrame({"agency": ["Anchorage, AK", "Bethel, AK"], "county_fips": ["02020", "02050"]})
    table = rtci.load_rtci(agencies=agencies)
    step = {s.step: s for s in table.flow}["without national aggregates"]
    assert step.listing == ("Cities of 1M+, Nationwide", "Full Sample, Nationwide")
    assert cell(table, "02020", 2019)["violent"] == 120
    assert pd.isna(cell(table, "02050", 2020)["violent"])
    assert cell(table, "02050", 2020)["violent_ex_rape"] == 96
    assert cell(table, "02050", 2020)["murder"] == 12


def test_rtci_bad_files(tmp_path):
    frame = files.rtci()
    path = tmp_path / "final_sample.csv"
    cases = {
        "not the agency file of the Real-Time Crime Index": frame.drop(columns="theft"),
        "violent is not the sum of its parts": frame.rename(
            columns={"violent_crime": "theft", "theft": "violent_crime"}
        ),
        "column murder holds what is not a number": frame.astype({"murder": object}).assign(murder="one"),
        "dates that are no dates": frame.assign(date="Jan 2018"),
        "agency-months repeat": pd.concat([frame, frame]),
    }
    for message, bad in cases.items():
        bad.to_csv(path, index=False)
        assert message in refused("rtci-agency-months", [path])
    frame.to_csv(path, index=False)
    path.write_text(path.read_text()[:-20])
    assert "Truncated" in refused("rtci-agency-months", [path])
    path.write_text("")
    assert "is empty" in refused("rtci-agency-months", [path])


@pytest.mark.private_data
def test_private_rtci(sources):
    report = catalog.data_add("rtci-agency-months", [sources / "crime" / "rtci_agency_months_2018_2024.csv"])
    row = report.parts.iloc[0]
    assert (row["rows"], row["agencies"], row["aggregates"], row["without_violent"]) == (28_531, 358, 5, 4_831)
