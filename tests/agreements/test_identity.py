"""Stated rules of identity and place, one test a rule; then the whole released table."""

import pandas as pd
import pytest

from g287stats import catalog
from g287stats.agreements.identity import Counties, FbiAgencies, Fixes, agency_id, classify, locate, name_key

COUNTIES = Counties(catalog.read_released("county_list"))
FIXES = Fixes.load()
FBI = FbiAgencies(
    pd.DataFrame(
        [
            ["TX0570400", "Carrollton", "TX", "COLLIN, DALLAS, DENTON", "City"],
            ["TX0570100", "Addison", "TX", "DALLAS", "City"],
            ["TX0610100", "Denton", "TX", "DENTON", "City"],
            ["TX0430100", "Allen", "TX", "COLLIN", "City"],
            ["FL0010600", "University of Florida", "FL", "ALACHUA", "University or College"],
            ["PA0110800", "Jackson Township", "PA", "CAMBRIA", "City"],
            ["PA0670900", "Jackson Township", "PA", "YORK", "City"],
            ["NB0280000", "Douglas", "NE", "DOUGLAS", "County"],
        ],
        columns=["ori", "agency", "state", "counties", "kind"],
    ),
    COUNTIES,
)


def place(state, name, printed=(), kind=""):
    key = name_key(name)
    agency_type, jurisdiction = classify(key, kind)
    return locate(agency_id(state, name), state, key, agency_type, jurisdiction, printed, FIXES, COUNTIES, FBI)


def test_abbreviated_sheriffs():
    assert name_key("Reno County SO") == name_key("Reno Co. SO") == "reno county sheriff"
    assert name_key("So. Middleton Twp Constable") == "south middleton township constable"


def test_city_in_several_counties_carries_all_the_principal_first():
    found = place("TX", "Carrollton Police Department")
    assert found.county_fips == "48113;48085;48121"  # characters 3-5 of the ORI number Dallas County
    assert place("TX", "Carrollton Police Department", ["Denton County"]).county_fips.startswith("48121;")


def test_namesake_cities_need_the_printed_county():
    assert place("PA", "Jackson Township Police Department").county_fips == ""
    assert "2 FBI agencies" in place("PA", "Jackson Township Police Department").conflict
    assert place("PA", "Jackson Township Police Department", ["York County"]).ori == "PA0670900"


def test_nebraska_is_printed_nb_in_the_fbi_list():
    assert place("NE", "Douglas County Sheriff's Office").ori == "NB0280000"


@pytest.mark.parametrize(
    ("name", "printed", "fips"),
    [
        ("Fairfax County Police Department", (), "51059"),
        ("City of Fairfax Police Department", (), "51600"),
        ("Richmond County Sheriff's Office", (), "51159"),
        ("Roanoke City Sheriff's Office", (), "51770"),
        ("Hopewell County Sheriff's Office", ("Hopewell County",), "51670"),
        ("Manassas Park Police Department", (), "51685"),
    ],
)
def test_virginia_cities_are_counties_of_their_own(name, printed, fips):
    assert place("VA", name, printed).county_fips == fips


@pytest.mark.parametrize(
    ("state", "name", "fips"),
    [
        ("MD", "Baltimore County Police Department", "24005"),
        ("MO", "St. Louis County Police Department", "29189"),
        ("NV", "Carson City Sheriff's Office", "32510"),
    ],
)
def test_city_before_county(state, name, fips):
    assert place(state, name).county_fips == fips


def test_regional_jail_carries_its_members():
    found = place("VA", "Southwest Virginia Regional Jail Authority")
    assert found.county_fips.count(";") == 9
    assert classify(name_key("Southwest Virginia Regional Jail Authority")) == ("county_jail", "regional")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Office of Constable Monroeville 6th Ward", ("constable", "constable")),
        ("Galveston County Constable's Office Pct. 1", ("constable", "constable")),
        ("Polk County Constable District 4", ("constable", "constable")),
        ("Florida A&M University Board of Trustees", ("campus", "campus")),
        ("Caney Valley Public Schools Police Department", ("campus", "campus")),
        ("Indian River Shores Department of Public Safety", ("municipal_police", "municipal")),
        ("Texas Department of Public Safety - Texas Highway Patrol", ("state_police", "state")),
        ("Louisiana Office of the State Fire Marshal", ("state_other", "state")),
        ("Waterloo Marshal's Office", ("municipal_police", "municipal")),
        ("Virginia Department of Corrections", ("state_corrections", "state")),
        ("Wicomico County Corrections Center", ("county_jail", "county")),
        ("Prince William County Police Department", ("county_police", "county")),
        ("Office of the State Attorney 20th Judicial Circuit", ("other", "regional")),
        ("Lee County Port Authority Police", ("other", "special")),
        ("Pinal County Attorney's Office", ("other", "county")),
    ],
)
def test_kinds(name, expected):
    assert classify(name_key(name), "State Agency" if expected[1] == "state" else "County") == expected


def test_territories_are_statewide_and_have_no_county():
    assert classify(name_key("Office of the Attorney General"), "State Agency")[1] == "state"
    assert place("GU", "Office of the Attorney General", ["Kattan District"], "State Agency").county_fips == ""
    assert classify(name_key("CNMI Department of Public Safety"), "State") == ("state_police", "state")


def test_connecticut_keeps_its_counties():
    assert COUNTIES.find("CT", "Fairfield County") == "09001"


def test_campus_by_the_fbi_list():
    assert place("FL", "University of Florida Police Department").county_fips == "12001"


@pytest.mark.parametrize(
    ("state", "printed", "model", "signed", "expected"),
    [
        ("MN", "Freedom County Sheriff’s Office", "WSO", "", "MN-freeborn-county-sheriff"),
        ("MA", "Crow Wing County Sheriff's Office", "WSO", "", "MN-crow-wing-county-sheriff"),
        ("MT", "Cass County Sheriff's Office", "TFM", "", "MN-cass-county-sheriff"),
        ("FL", "Escambia County Sheriff's Office", "TFM", "2025-02-26", "FL-escambia-county-sheriff"),
        (
            "FL",
            "Escambia County Sheriff's Office",
            "WSO",
            "2025-02-26",
            "FL-escambia-county-board-of-county-commissioners-department-of-corrections",
        ),
        ("TX", "Somervill County Sheriff's Office", "WSO", "", "TX-somervell-county-sheriff"),
    ],
)
def test_aliases(state, printed, model, signed, expected):
    alias = FIXES.agency(state, printed, model, signed)
    assert agency_id(alias.state, alias.agency) == expected


@pytest.mark.parametrize("printed", ["PENNSLYVANIA", "Pennsylvania ", "PENNSYLVANIA\xa0", "PA"])
def test_states(printed):
    assert FIXES.state(printed) == "PA"


def test_unknown_state_and_model():
    assert FIXES.state("Puerto Vallarta") is None
    assert FIXES.model("Tribal Model") is None


def test_nearly_every_agency_has_a_county():
    agencies = catalog.read_released("agencies")
    local = agencies[agencies["jurisdiction"].isin(["state", "territory"]).eq(False) & agencies["ever_listed"]]
    missing = local.loc[local["county_fips"].isna(), "agency_id"].tolist()
    assert missing == ["PA-derry-township-constable"]  # four Pennsylvania counties have a Derry Township
    assert 1 - len(missing) / len(local) >= 0.995
    assert agencies.loc[agencies["jurisdiction"].eq("state"), "county_fips"].isna().all()


def test_every_county_exists_in_its_state():
    agencies = catalog.read_released("agencies")
    codes = (
        agencies.dropna(subset=["county_fips"]).assign(fips=lambda a: a["county_fips"].str.split(";")).explode("fips")
    )
    assert (codes["fips"].map(COUNTIES.state) == codes["state"]).all()


def test_corrections_name_their_evidence():
    folder = catalog.released_dir() / "fixes"
    for name in ("signed_dates", "agency_counties", "county_names", "list_dates", "states", "models"):
        table = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
        assert table["evidence"].ne("").all(), name
    aliases = pd.read_csv(folder / "agency_aliases.csv", dtype=str, keep_default_na=False)
    assert set(aliases["kind"]) <= {"typo", "renamed", "relabelled", "state", "artefact"}
    assert aliases.loc[aliases["kind"].isin(["relabelled", "state", "artefact"]), "evidence"].ne("").all()
    assert not aliases.duplicated(["state", "printed", "model", "signed"]).any()
