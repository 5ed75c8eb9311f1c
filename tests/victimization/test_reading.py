"""Reading NCVS files: levels, text identifiers, missing codes, years; every refusal of the reference list."""

import numpy as np
import pandas as pd
import pytest

from g287stats import survey
from g287stats.errors import DesignError, SourceError, UnavailableError
from g287stats.outcomes.ncvs.files import ncvs_from_frame, read_ncvs, require_years
from g287stats.survey import replicate_weights
from g287stats.victimization.interviews import incident_sample, ncvs_sample, person_interviews
from g287stats.victimization.rates import victimization_rate


def files(tables):
    return tuple(ncvs_from_frame(t) for t in tables)


def test_levels_are_told_by_columns(tables):
    person, incident, household = files(tables)
    assert [f.table for f in (person, incident, household)] == ["person", "incident", "household"]
    assert person.years == (2008,)


def test_missing_codes_by_variable(tables):
    person, incident, _ = files(tables)
    assert person.frame.V3014.isna().sum() == 1
    assert person.frame.V3023A.isna().sum() == 1
    assert person.frame.V3024A.isna().all()  # -1: not asked before 2014
    assert incident.frame.V4016.tolist()[1] == 997  # "do not know" stays: the series rule needs it
    assert set(person.report.variable) == {"V3014", "V3023A", "V3024A"}
    assert person.report.set_index("variable").cells["V3024A"] == 8
    assert person.labelled("V3018").tolist()[:2] == ["male", "female"]
    assert incident.labelled("V4529").tolist()[0] == "simple assault"


@pytest.mark.parametrize("suffix", ["tsv", "csv", "dta", "sav", "parquet"])
def test_formats_agree(tables, tmp_path, suffix):
    raw = tables[0].astype({"V3001": float})
    path = tmp_path / f"38604-0002-Data.{suffix}"
    if suffix in ("tsv", "csv"):
        raw.to_csv(path, sep="\t" if suffix == "tsv" else ",", index=False)
    elif suffix == "dta":
        raw.to_stata(path, write_index=False)
    elif suffix == "sav":
        pytest.importorskip("pyreadstat").write_sav(raw, str(path))
    else:
        raw.to_parquet(path)
    ours, expected = read_ncvs(path), ncvs_from_frame(raw)
    assert ours.frame.IDPER.tolist() == raw.IDPER.tolist()
    for column in expected.frame:
        assert ours.frame[column].tolist() == pytest.approx(expected.frame[column].tolist(), nan_ok=True)


def test_r_factor_levels(tables):
    person = tables[0].assign(V3018=pd.Categorical(["(1) Male", "(2) Female"] * 4))
    assert ncvs_from_frame(person).frame.V3018.tolist() == [1.0, 2.0] * 4


def test_extract_with_geography_and_names_of_its_own(tables):
    raw = tables[0].rename(columns={"WGTPERCY": "PWGT"}).assign(GEO=[1001, 6037] * 4)
    file = ncvs_from_frame(raw, geography={"county_fips": "GEO"}, rename={"PWGT": "WGTPERCY"})
    assert file.frame.county_fips.tolist()[:2] == ["01001", "06037"]
    with pytest.raises(SourceError, match=r"GEO \(county_fips\) is not a five-digit county code"):
        ncvs_from_frame(raw.assign(GEO="Autauga"), geography={"county_fips": "GEO"})


# ---- the nine hard errors ------------------------------------------------------------------------------------
def select_tables():
    victims = pd.DataFrame({"idper": ["a"], "yearq": [2019.1], "newoff": [4], "newcrime": [1], "newwgt": [3000.0]})
    people = pd.DataFrame({"idper": ["a", "b"], "yearq": [2019.1] * 2, "wgtpercy": [1.5e8, 1.2e8]})
    return ncvs_from_frame(victims), ncvs_from_frame(people)


def test_1_design_errors_asked_of_select_files():
    victims, people = select_tables()
    assert (victims.table, people.table) == ("select_personal", "select_personal_population")
    with pytest.raises(DesignError, match=r"no strata or sampling units.*generalized variance"):
        survey.sample(people.frame, weights="wgtpercy")


def test_2_pooled_years_without_year_groups(tables):
    for t in tables:
        t["YEARQ"] = np.where(t.YEARQ == 2008.1, 2005.1, 2006.3)
    interviews = person_interviews(*files(tables))
    with pytest.raises(DesignError, match=r"2005–2006 are pooled.*redrawn"):
        ncvs_sample(interviews, strata="V2117")
    sample = ncvs_sample(interviews)  # the default strata hold the year group
    assert sample.n_strata == 4


@pytest.mark.parametrize("value", [np.arange(8) + 1e24, np.arange(8)])
def test_3_identifiers_read_as_numbers(tables, value):
    with pytest.raises(SourceError, match="IDPER is stored as numbers"):
        ncvs_from_frame(tables[0].assign(IDPER=value))


def test_3_identifiers_written_as_numbers_before(tables):
    with pytest.raises(SourceError, match="written as a number before"):
        ncvs_from_frame(tables[0].assign(IDHH="1.23456E+24"))


def test_4_2006_in_a_trend_without_a_flag(tables):
    for t in tables:
        t["YEARQ"] = np.where(t.YEARQ == 2008.1, 2006.1, 2007.3)
    sample = ncvs_sample(person_interviews(*files(tables)))
    with pytest.raises(DesignError, match="2006 is in the years"):
        victimization_rate(sample, by="year")
    assert len(victimization_rate(sample, by="year", include_2006=True).point) == 2
    assert len(victimization_rate(sample, by="year", domain="year != 2006").point) == 1


def test_5_replicate_weights_before_2011(tables):
    interviews = person_interviews(*files(tables))
    with pytest.raises(UnavailableError, match=r"replicate weights PERREPWGT.*2011\.1"):
        ncvs_sample(interviews, replicates=replicate_weights(np.ones((8, 4)), "fay", rho=0.5))
    with pytest.raises(UnavailableError, match="replicate weights"):
        ncvs_from_frame(tables[0], columns=("PERREPWGT1",))


def test_6_totals_with_a_psu_absent_and_no_dummy_record(tables):
    person, incident, household = files(tables)
    interviews = person_interviews(person, incident, household)
    with pytest.raises(DesignError, match=r"PSUs .* without a row \(1\): 3 2.0 2.0"):
        incident_sample(interviews, incident, dummies=False, singleton="adjust")
    sample = incident_sample(interviews, incident)
    assert sample.frame.dummy.sum() == 1
    assert sample.n_psu == 4


@pytest.mark.parametrize("name", ["V3083", "citizen"])
def test_7_citizenship_before_2017(tables, name):
    with pytest.raises(UnavailableError, match=r"citizenship.*2017\.1.*Latino origin"):
        ncvs_from_frame(tables[0], columns=(name,))
    sample = ncvs_sample(person_interviews(*files(tables)))
    with pytest.raises(UnavailableError, match="citizenship"):
        victimization_rate(sample, by="citizen")
    require_years(name, [2017, 2018])


def test_8_rows_removed_before_the_variance_step(tables):
    interviews = person_interviews(*files(tables))
    latino = interviews.frame[interviews.frame.group == "latino"]
    with pytest.raises(DesignError, match="6 of 8 rows were removed"):
        survey.sample(latino, weights="weight", strata=("yr_grp", "V2117"), psu="V2118", singleton="adjust")
    sample = ncvs_sample(interviews)
    with pytest.raises(DesignError, match="must not be removed"):
        survey.mean(sample, "victim", domain=latino)


def test_9_a_level_that_does_not_match_its_columns(tables):
    with pytest.raises(SourceError, match=r"read as 'person', but its columns are those of 'incident'"):
        ncvs_from_frame(tables[1], table="person")
    with pytest.raises(SourceError, match="belong to no NCVS table"):
        ncvs_from_frame(pd.DataFrame({"x": [1]}))


def test_incidents_of_another_release(tables):
    person, incident, household = tables
    incident.loc[0, "IDPER"] = "9" * 27
    with pytest.raises(SourceError, match=r"incidents without a person-interview \(1\)"):
        person_interviews(*files((person, incident, household)))
    person = pd.concat([person, person.iloc[:1]])
    with pytest.raises(SourceError, match="repeat"):
        person_interviews(*files((person, incident, household)))


def test_annual_person_files_need_the_household_file(tables):
    person, incident, _ = files(tables)
    with pytest.raises(SourceError, match="Annual files carry them on the household table"):
        person_interviews(person, incident)


def test_data_add_keeps_the_tables_by_level(tables, tmp_path, monkeypatch):
    from g287stats.catalog import data_add
    from g287stats.outcomes.ncvs.files import load_ncvs

    monkeypatch.setenv("G287STATS_DATA", str(tmp_path / "kept"))
    with pytest.raises(UnavailableError, match="g287stats data add ncvs"):
        load_ncvs("person")
    paths = []
    for part, table in zip((2, 3, 1), tables):
        paths.append(tmp_path / f"38604-000{part}-Data.tsv")
        table.to_csv(paths[-1], sep="\t", index=False)
    report = data_add("ncvs", paths)
    assert sorted(report.parts.part) == ["household.38604", "incident.38604", "person.38604"]
    person, incident, household = (load_ncvs(v) for v in ("person", "incident", "household"))
    assert person.frame.IDPER.tolist() == tables[0].IDPER.tolist()
    expected = person_interviews(*files(tables)).frame
    pd.testing.assert_series_equal(person_interviews(person, incident, household).frame.n, expected.n)
    tables[0].to_csv(tmp_path / "38603-0003-Data.tsv", sep="\t", index=False)
    data_add("ncvs", [tmp_path / "38603-0003-Data.tsv"])
    with pytest.raises(SourceError, match=r"year 2008 is in person\.38603 and in person\.38604"):
        load_ncvs("person")
