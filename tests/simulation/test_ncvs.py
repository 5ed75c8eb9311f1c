"""The simulated survey: moments, schema, determinism, and that nothing hides that it is simulated."""

import numpy as np
import pandas as pd
import pytest

from g287stats import survey
from g287stats.errors import DesignError
from g287stats.outcomes.ncvs.codes import KEEP
from g287stats.simulation.ncvs import PlantedEffects, conditional_intercept, simulate_ncvs
from g287stats.victimization.interviews import incident_sample, ncvs_sample, person_interviews
from g287stats.victimization.rates import share_reported, victimization_rate


@pytest.fixture(scope="module")
def small():
    return simulate_ncvs(seed=1, size=0.1, n_counties=200)


@pytest.fixture(scope="module")
def interviews(small):
    return person_interviews(small.person, small.incident, small.household)


def test_schema_of_the_real_file(small):
    assert (small.person.table, small.incident.table, small.household.table) == ("person", "incident", "household")
    for file in (small.person, small.incident, small.household):
        extra = set(file.frame) - set(KEEP[file.table]) - {"SIMULATED", "county_fips", "year"}
        assert not extra
        assert file.simulated
        assert (file.frame.SIMULATED == 1).all()
    person = small.person.frame
    assert person.IDPER.str.len().eq(27).all()
    assert person.IDHH.str.len().eq(25).all()
    assert not person.duplicated(["YEARQ", "IDPER"]).any()
    assert person.county_fips.str.fullmatch(r"\d{5}").all()


def test_every_estimate_says_simulated(interviews):
    e = survey.mean(ncvs_sample(interviews), "victim")
    assert any("SIMULATED" in n for n in e.notes)
    assert e.sample["simulated"]
    assert "SIMULATED" in e.summary()


def test_moments_are_met_or_listed(small, interviews):
    m = small.moments.set_index("moment")
    target = pd.to_numeric(m.target, errors="coerce")
    assert set(m.status) == {"sourced", "derived", "assumption"}
    for y in range(2005, 2015):
        assert m.simulated[f"persons_interviewed_{y}"] == pytest.approx(
            0.1 * target[f"persons_interviewed_{y}"], rel=1e-3
        )
        assert m.simulated[f"population_12plus_{y}"] == pytest.approx(target[f"population_12plus_{y}"], rel=1e-6)
    for name, tolerance in (
        ("persons_per_household", 0.01),
        ("six_month_prevalence_violent_2005_2014", 0.0006),
        ("share_reported_to_police", 0.04),
        ("male_share", 0.01),
        ("n_pseudo_strata", 0),
    ):
        assert m.simulated[name] == pytest.approx(target[name], abs=tolerance), name
    rates = [f"violent_rate_{y}" for y in range(2005, 2015)]
    z = (m.simulated[rates] - target[rates]) / victimization_rate(
        ncvs_sample(interviews), by="year", include_2006=True
    ).se.to_numpy()
    assert (z.abs() < 3.5).all()  # ten years, sampling error of a tenth of the file
    assert abs(z.mean()) < 1


def test_the_reader_and_the_producer_agree(small, interviews):
    """The rate from the tables through the reader is the rate the simulation reports about itself."""
    e = victimization_rate(ncvs_sample(interviews), by="year", include_2006=True)
    own = small.moments.set_index("moment").simulated[[f"violent_rate_{y}" for y in range(2005, 2015)]]
    np.testing.assert_allclose(e.point, own.to_numpy(float), rtol=1e-4)  # weights are written to four decimals


def test_the_sample_is_redrawn_in_2006(interviews):
    sample = ncvs_sample(interviews)
    groups = interviews.frame.groupby("yr_grp").year.agg(["min", "max"])
    assert groups.loc[2].tolist() == [2005, 2005]
    assert groups.loc[3].tolist() == [2006, 2014]
    assert sample.n_strata == 320
    assert set(interviews.frame.V2118.unique()) == {1, 2, 3}


def test_rotation(small):
    waves = small.household.frame.groupby("IDHH").size()
    assert waves.max() == 7
    gaps = small.household.frame.sort_values(["IDHH", "YEARQ"]).groupby("IDHH").V2130.agg(lambda m: (m % 6).nunique())
    assert (gaps == 1).all()  # six months apart
    assert (small.household.frame.groupby("IDHH").V2124.sum() <= waves * 2).all()


def test_zero_weight_rows_and_incidents_of_interviews_only(small, interviews):
    assert (interviews.frame.weight == 0).mean() == pytest.approx(0.01, abs=0.003)
    assert interviews.frame.n[interviews.frame.weight == 0].sum() == 0
    assert incident_sample(interviews, small.incident).n_psu == ncvs_sample(interviews).n_psu


def test_same_seed_same_tables():
    a, b, c = (simulate_ncvs(seed=s, size=0.01, n_counties=60) for s in (5, 5, 6))
    pd.testing.assert_frame_equal(a.person.frame, b.person.frame)
    pd.testing.assert_frame_equal(a.incident.frame, b.incident.frame)
    assert not a.incident.frame.equals(c.incident.frame)


def test_real_dates(small):
    from g287stats.catalog import read_released

    tf = small.treatments["TFM"]
    signed = read_released("agreements").query("model == 'TFM'")
    for fips, start in zip(tf.county_fips, tf.start):
        assert ((signed.county_fips == fips) & (signed.signed_date == start)).any()
    assert (tf.end <= pd.Timestamp("2013-01-01")).all()


def test_marginal_intercept():
    """Averaging the conditional probability over the random effects returns the marginal one."""
    rng = np.random.default_rng(0)
    for logit in (-5.0, -3.0, 0.0):
        kappa = conditional_intercept(np.array([logit]), 1.53)[0]
        draw = 1 / (1 + np.exp(-(kappa + 1.53 * rng.normal(size=2_000_000))))
        assert draw.mean() == pytest.approx(1 / (1 + np.exp(-logit)), rel=5e-3)


def test_reporting_effects_are_planted(simulated_reporting):
    assert simulated_reporting == pytest.approx(0.5, abs=0.12)


@pytest.fixture(scope="module")
def simulated_reporting():
    s = simulate_ncvs(
        seed=2,
        size=0.1,
        rate=8,
        dates="assumed",
        n_counties=100,
        effects=PlantedEffects(reporting={("SC", "latino"): 0.5}),
    )
    from g287stats.victimization.did import treated_sample

    t = treated_sample(person_interviews(s.person, s.incident, s.household), {"SC": s.treatments["SC"]})
    f = t.sample.frame
    on = share_reported(t.sample, domain=(f.group == "latino") & (f.SC == 1), include_2006=True)
    off = share_reported(t.sample, domain=(f.group == "latino") & (f.SC == 0), include_2006=True)
    return on.point[0] / off.point[0]


def test_refusals():
    with pytest.raises(DesignError, match="is not understood"):
        PlantedEffects({("WSO", "latino"): 2})
    with pytest.raises(DesignError, match="choose 'agreements' or 'assumed'"):
        simulate_ncvs(seed=1, size=0.01, dates="guessed", n_counties=60)
