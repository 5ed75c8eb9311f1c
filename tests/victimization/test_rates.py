"""Rates, prevalence and shares worked by hand on the authored tables of conftest."""

import numpy as np
import pandas as pd
import pytest

from g287stats.errors import DesignError
from g287stats.outcomes.ncvs.files import ncvs_from_frame
from g287stats.victimization.interviews import incident_sample, ncvs_sample, person_interviews, series_times
from g287stats.victimization.msa import msa_sample, msa_treated
from g287stats.victimization.published import gvf_parameters
from g287stats.victimization.rates import (
    change,
    linear_trend,
    prevalence,
    select_rate,
    share_reported,
    victimization_rate,
)


@pytest.fixture
def interviews(tables):
    return person_interviews(*(ncvs_from_frame(t) for t in tables))


@pytest.fixture
def sample(interviews):
    return ncvs_sample(interviews)


def test_series_rule():
    """Series when not 1-5, similar and not distinguishable; times capped at ten, six when unknown."""
    v = pd.DataFrame(
        {
            "V4016": [3, 8, 14, 997, 998, 8, 8, 8],
            "V4017": [1, 2, 2, 2, 2, 8, 2, 2],
            "V4018": [np.nan, 1, 1, 1, 1, 1, 2, 1],
            "V4019": [np.nan, 2, 2, 2, 2, 2, 2, 1],
        }
    )
    assert series_times(v).tolist() == [1, 8, 10, 6, 6, 1, 1, 1]


def test_interviews_by_hand(interviews):
    f = interviews.frame
    # person 1: one assault, A = 130/100; person 2: series, times unknown = 6, A = 2; person 3: series of 8, A = 2;
    # person 3's record of quarter 1 was outside the United States
    assert f.n.tolist() == [1, 0, 0, 0, 0, 6, 8, 0]
    assert f.adjusted.tolist() == [1.3, 0, 0, 0, 0, 12, 16, 0]
    assert f.reported.tolist() == [1.3, 0, 0, 0, 0, 0, 16, 0]
    assert f.group.where(f.group.notna(), "").tolist() == [
        "latino",
        "black",
        "white",
        "",
        *["latino", "black", "white", "other"],
    ]
    assert f.month.tolist() == [1, 2, 3, 1, 7, 8, 9, 7]
    assert f.incoming.tolist() == [1.0] * 4 + [0.0] * 4
    assert f.half.tolist() == [20081] * 4 + [20082] * 4
    flow = interviews.flow.set_index("step").rows
    assert flow["records of the type, in the United States"] == 3
    assert flow["series records among them"] == 2


def test_rate_and_shares_by_hand(sample):
    # sum w·A·n = 100·1.3 + 100·12 + 200·16 = 4530; sum w = 1000
    rate = victimization_rate(sample)
    assert rate.point[0] == pytest.approx(4530)
    # influence 1000·w(A n − 4.53)/1000 by PSU: 1.1: 130 − 906 = −776; 1.2: 1200 − 906 = 294; 2.1: 3200 − 1812 = 1388;
    # 2.2: −906. With two half-samples a stratum adds the square of their difference: 1070² and 2294²
    assert rate.se.iloc[0] ** 2 == pytest.approx(1070**2 + 2294**2)
    share = share_reported(sample)
    assert share.point[0] == pytest.approx(100 * (130 + 3200) / 4530)
    assert "six months" in prevalence(sample, "six_month").outcome
    assert prevalence(sample, "six_month").point[0] == pytest.approx(100 * (100 + 100 + 200) / 1000)
    # in the year persons 1, 2 and 3 are victims on both their interviews: 200 + 200 + 400 of 1000
    assert prevalence(sample, "annual").point[0] == pytest.approx(80)
    assert "older BJS definition" in prevalence(sample, "annual").outcome
    with pytest.raises(DesignError, match="six_month"):
        prevalence(sample, "monthly")


def test_incident_file_totals_with_the_dummy_record(interviews, tables):
    incident = ncvs_from_frame(tables[1])
    s = incident_sample(interviews, incident)
    from g287stats import survey

    total = survey.total(s, "victimizations")
    assert total.point[0] == pytest.approx(130 + 6 * 200 + 8 * 400)
    # PSU sums 130, 1200 | 3200, 0 (the dummy)
    assert total.se.iloc[0] ** 2 == pytest.approx(1070**2 + 3200**2)
    reported = survey.ratio(s, "reported", "victimizations", domain=s.frame.reported.notna())
    assert reported.point[0] == pytest.approx(3330 / 4530)


def test_changes_carry_the_covariance(simulated):
    s = ncvs_sample(person_interviews(simulated.person, simulated.incident, simulated.household))
    years = victimization_rate(s, by="year", domain="year > 2006")
    d = change(years, 2013, 2014)
    v = years.cov().to_numpy()
    i, j = (years.labels.year.tolist().index(y) for y in (2013, 2014))
    assert d.se.iloc[0] ** 2 == pytest.approx(v[i, i] + v[j, j] - 2 * v[i, j])
    assert v[i, j] != 0  # years of one sample share sampling units
    pct = change(years, 2013, 2014, percent=True)
    assert pct.point[0] == pytest.approx(100 * (years.point[j] / years.point[i] - 1))
    slope = linear_trend(years)
    assert slope.point[0] == pytest.approx(np.polyfit(years.labels.year, years.point, 1)[0])
    both = victimization_rate(s, by="year", domain="year != 2006")
    assert both.cov().loc["year=2005", "year=2007"] == pytest.approx(0, abs=1e-12)  # independent samples


def test_select_uses_the_variance_function():
    victims = ncvs_from_frame(
        pd.DataFrame(
            {"idper": ["a", "b"], "yearq": 2012.1, "newoff": 4, "newcrime": [1, 2], "newwgt": [6842593.0, 9e5]}
        )
    )
    people = ncvs_from_frame(pd.DataFrame({"idper": ["a"], "yearq": [2012.1], "wgtpercy": [262.0e6]}))
    got = select_rate(victims, people, gvf_parameters(2012)).iloc[0]
    assert got.rate == pytest.approx(26.117, abs=1e-3)
    assert got.std_error == pytest.approx(1.20, abs=0.005)
    assert got.error == "generalized variance function"


def test_msa_file_design():
    """The layout of ICPSR 38321 on authored rows: jackknife with the published scale."""
    rng = np.random.default_rng(3)
    n, r = 60, 30
    ids = [f"{k:027d}" for k in range(n)]
    drop = np.arange(n) % r
    w = np.full(n, 10.0)
    reps = {f"PERREPWGT{j + 1}": np.where(drop == j, 0, w * r / (r - 1)) for j in range(r)}
    person = pd.DataFrame({"MSAIND": np.repeat([1, 2], n // 2), "YEARQ": 2014.1, "IDPER": ids, "WGTPER": w} | reps)
    hit = rng.choice(n, 12, replace=False)
    incident = pd.DataFrame(
        {
            "MSAIND": person.MSAIND[hit],
            "YEARQ": 2014.1,
            "IDPER": [ids[k] for k in hit],
            "TOC_RECODE": 1,
            "SERIESWGT": 20.0,
        }
    )
    p, i = ncvs_from_frame(person, columns="all"), ncvs_from_frame(incident, columns="all")
    assert (p.table, i.table) == ("msa_person", "msa_incident")
    s = msa_sample(p, i, violent=(1,))
    e = victimization_rate(s, by="MSAIND", variance="replicates")
    count = np.bincount(person.MSAIND[hit], minlength=3)[1:]
    np.testing.assert_allclose(e.point, 1000 * 20 * count / (10 * n / 2))
    assert s.replicates.scale == 0.96666667
    with pytest.raises(DesignError, match="tables of two releases"):
        msa_sample(p, ncvs_from_frame(incident.assign(IDPER="9" * 27), columns="all"), violent=(1,))


def test_msa_design_by_hand():
    """Area 1 is half under an agreement (by residents) from 1 April 2008; area 2 never."""
    from g287stats.catalog import read_released
    from g287stats.victimization.did import victimization_did

    people = read_released("population").query("year == 2010").set_index("county_fips").population
    rng = np.random.default_rng(5)
    n, r = 1200, 20
    person = pd.DataFrame(
        {
            "MSAIND": np.arange(n) % 4 + 1,
            "YEARQ": rng.choice([2007.2, 2008.1, 2008.3, 2009.1], n),
            "IDPER": [f"{k:027d}" for k in range(n)],
            "WGTPER": 10.0,
        }
    )
    drop = np.arange(n) // 4 % r
    for j in range(r):
        person[f"PERREPWGT{j + 1}"] = np.where(drop == j, 0.0, 10 * r / (r - 1))
    hit = np.flatnonzero(rng.random(n) < 0.3)
    incident = person.loc[hit, ["MSAIND", "YEARQ", "IDPER"]].assign(TOC_RECODE=1, SERIESWGT=10.0)
    p, i = ncvs_from_frame(person, columns="all"), ncvs_from_frame(incident, columns="all")
    counties = pd.DataFrame({"MSAIND": [1, 1, 2, 3, 4], "county_fips": ["37119", "37025", "06037", "48201", "17031"]})
    days = pd.DataFrame(
        {"county_fips": ["37119"], "start": [pd.Timestamp("2008-04-01")], "end": [pd.Timestamp("2012-12-31")]}
    )
    treated = msa_treated(msa_sample(p, i, violent=(1,)), counties, {"TFM": days})
    f = treated.sample.frame
    part = people["37119"] / (people["37119"] + people["37025"])
    assert f.TFM[(f.MSAIND == 1) & (f.YEARQ == 2009.1)].unique() == pytest.approx(part)
    # third quarter of 2008: interviews in July, August, September look back 182, 182 and 184 days, of which 91, 122
    # and 153 lie after 1 April
    expected = part * np.mean([91 / 182, 122 / 182, 153 / 184])
    assert f.TFM[(f.MSAIND == 1) & (f.YEARQ == 2008.3)].unique() == pytest.approx(expected)
    assert f.TFM[f.MSAIND > 1].max() == 0
    e = victimization_did(treated, group="all", period="quarter", controls=(), variance="replicates", family="linear")
    assert e.terms == ["TFM"]
    assert "jk1" in e.rule.label
    assert e.se.iloc[0] > 0
    with pytest.raises(DesignError, match="no counties are given for areas"):
        msa_treated(msa_sample(p, i, violent=(1,)), counties[counties.MSAIND != 3], {"TFM": days})


def test_household_rates_by_hand(tables):
    from g287stats.victimization.interviews import household_interviews

    _, incident, household = tables
    household["WGTHHCY"] = [100.0, 100, 200, 200] * 2
    incident["V4529"] = [31, 40, 20, 55]
    incident.loc[3, "V4022"] = 3
    h = household_interviews(ncvs_from_frame(household), ncvs_from_frame(incident))
    # burglary 130·1; motor-vehicle theft, series of unknown times 6 · 200; an assault does not count; theft 400
    s = ncvs_sample(h)
    assert victimization_rate(s).point[0] == pytest.approx(1000 * (130 + 1200 + 400) / 1200)
    assert h.types == "property"
    vehicles = household_interviews(ncvs_from_frame(household), ncvs_from_frame(incident), types="motor_vehicle_theft")
    assert vehicles.frame.n.sum() == 6
