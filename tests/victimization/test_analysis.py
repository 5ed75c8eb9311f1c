"""The analysis of the +111 % runs unchanged on an extract and on the simulation."""

import numpy as np
import pytest

import g287stats as g
from g287stats.claims.analyses import analyses
from g287stats.claims.exhibits import Exhibits
from g287stats.errors import SourceError
from g287stats.victimization.extract import CountyNcvs, agreement_days, county_ncvs

NAME = "baumer-xie-2023"


def test_extract_and_memory_agree(simulated, extract):
    data = county_ncvs(extract)
    assert data.simulated  # the marker column travels
    assert set(data.treatments) == {"TFM", "JEM", "SC"}
    memory = g.ncvs.person_interviews(simulated.person, simulated.incident, simulated.household)
    how = {"singleton": "adjust"}
    a = g.ncvs.did(g.ncvs.treated_sample(data.interviews(), simulated.treatments, **how))
    b = g.ncvs.did(g.ncvs.treated_sample(memory, simulated.treatments, **how))
    np.testing.assert_allclose(a.point, b.point, rtol=1e-9)
    np.testing.assert_allclose(a.se, b.se, rtol=1e-9)


def test_real_dates_are_the_agreement_table(extract):
    days = county_ncvs(extract).treatments["TFM"]
    assert (
        days.county_fips.nunique()
        == agreement_days(g.Exposure(models=("TFM",)), before="2015-01-01").county_fips.nunique()
    )
    maricopa = days[days.county_fips == "04013"].iloc[0]
    assert str(maricopa.start.date()) == "2007-02-07"


def test_the_analysis_runs_and_marks_everything(simulated, tmp_path, monkeypatch):
    small = CountyNcvs(
        simulated.person, simulated.incident, simulated.household, simulated.treatments, True, "simulation, seed 287"
    )
    monkeypatch.setattr(g, "county_ncvs", lambda **_: small, raising=False)
    analysis = analyses()[NAME]
    bench = Exhibits(NAME, tmp_path, analysis.claims, analysis.differences)
    analysis.load()(bench)
    assert {e.name for e in bench.written} == {
        "main",
        "counties",
        "leave_one_out",
        "sensitivity",
        "event_study",
        "power",
        "stars",
        "tension",
        "wedge",
        "draws",
        "recovery",
    }
    from_survey = [e for e in bench.written if e.name not in ("stars", "tension", "wedge")]
    assert all(e.simulated for e in from_survey)
    assert all("simulated" in e.title for e in from_survey)
    assert {r["claim_id"] for r in bench.results} == set(analysis.claims)
    assert all(r["status"].startswith("not testable with public data") for r in bench.results)
    assert all(r["ours"].startswith("simulated:") for r in bench.results)


def test_county_on_the_household_table_in_two_columns(simulated, extract):
    """State and county as numbers in two columns of the household table: the same county of every interview."""
    import pandas as pd

    person = pd.read_csv(extract / "p.tsv", sep="\t", dtype={"IDHH": str, "IDPER": str, "GEO": str})
    household = pd.read_csv(extract / "h.tsv", sep="\t", dtype={"IDHH": str, "GEO": str})
    household["ST"], household["CO"] = (household.GEO.str[a:b].astype(int) for a, b in ((0, 2), (2, 5)))
    person.drop(columns="GEO").to_csv(extract / "p.tsv", sep="\t", index=False)
    household.drop(columns="GEO").to_csv(extract / "h.tsv", sep="\t", index=False)
    card = extract / "extract.toml"
    card.write_text(card.read_text().replace('"GEO"', '["ST", "CO"]'))
    frame = county_ncvs(extract).interviews().frame
    assert frame.county_fips.tolist() == simulated.person.frame.county_fips.tolist()
    card.write_text(card.read_text().replace("[rename]", "[renames]"))
    with pytest.raises(SourceError, match=r"unknown entries \(1\): \[renames\]"):
        county_ncvs(extract)


def test_an_extract_must_say_what_it_is(tmp_path):
    with pytest.raises(SourceError, match=r"no extract\.toml"):
        county_ncvs(tmp_path)
    (tmp_path / "extract.toml").write_text('[files]\nperson = "p.tsv"\n')
    with pytest.raises(SourceError, match="names no incident table") as error:
        county_ncvs(tmp_path)
    assert "names no column for county_fips" in str(error.value)
    assert "files are not there" in str(error.value)
