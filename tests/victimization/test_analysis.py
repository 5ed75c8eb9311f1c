"""The analysis of the +111 % runs unchanged on an extract and on the simulation."""

import numpy as np
import pytest

import g287stats as g
from g287stats.claims.analyses import analyses
from g287stats.claims.exhibits import Exhibits
from g287stats.errors import SourceError
from g287stats.victimization.extract import CountyNcvs, agreement_days, county_ncvs

NAME = "baumer-xie-2023"


@pytest.fixture
def extract(simulated, tmp_path):
    """The small simulation on disk, with names of its own, as a data center would hand it out."""
    folder = tmp_path / "extract"
    folder.mkdir()
    person = simulated.person.frame.drop(columns="year").rename(columns={"county_fips": "GEO", "WGTPERCY": "PWGT"})
    person.to_csv(folder / "p.tsv", sep="\t", index=False)
    household = simulated.household.frame.drop(columns="year").rename(columns={"county_fips": "GEO"})
    household.to_csv(folder / "h.tsv", sep="\t", index=False)
    simulated.incident.frame.drop(columns="year").to_csv(folder / "i.tsv", sep="\t", index=False)
    (folder / "extract.toml").write_text(
        '[files]\nperson = "p.tsv"\nincident = "i.tsv"\nhousehold = "h.tsv"\n'
        '[geography]\ncounty_fips = "GEO"\n[rename]\nPWGT = "WGTPERCY"\n'
    )
    return folder


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
        "main", "sensitivity", "event_study", "power", "tension", "wedge", "recovery",
    }  # fmt: skip
    from_survey = [e for e in bench.written if e.name not in ("tension", "wedge")]
    assert all(e.simulated for e in from_survey)
    assert all("simulated" in e.title for e in from_survey)
    assert {r["claim_id"] for r in bench.results} == set(analysis.claims)
    assert all(r["status"].startswith("not testable with public data") for r in bench.results)
    assert all(r["ours"].startswith("simulated:") for r in bench.results)


def test_an_extract_must_say_what_it_is(tmp_path):
    with pytest.raises(SourceError, match=r"no extract\.toml"):
        county_ncvs(tmp_path)
    (tmp_path / "extract.toml").write_text('[files]\nperson = "p.tsv"\n')
    with pytest.raises(SourceError, match="names no incident table") as error:
        county_ncvs(tmp_path)
    assert "names no column for county_fips" in str(error.value)
    assert "files are not there" in str(error.value)
