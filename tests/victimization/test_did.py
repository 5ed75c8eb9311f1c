"""Victimization DiD on the simulated file: same numbers whichever way they are asked, truth within reach."""

import numpy as np
import pytest

from g287stats import survey
from g287stats.errors import DesignError
from g287stats.survey import average_effect, both_errors, ratios
from g287stats.victimization.did import treated_sample, victimization_did, victimization_event_study
from g287stats.victimization.interviews import person_interviews

TRUTH = np.log(2.11)


@pytest.fixture(scope="module")
def treated(simulated):
    interviews = person_interviews(simulated.person, simulated.incident, simulated.household)
    return treated_sample(interviews, simulated.treatments)


def test_subgroup_is_a_survey_glm_on_a_domain(treated):
    e = victimization_did(treated)
    direct = survey.glm(
        treated.sample,
        "victim",
        ["TFM", "JEM", "SC", "C(age_band)", "female", "incoming"],
        fixed_effects=("county_fips", "half"),
        domain=(treated.sample.frame.group == "latino").to_numpy(),
    )
    np.testing.assert_allclose(e.point, direct.point)
    assert e.sample["simulated"]
    assert "victimization" in e.method.key


def test_planted_effect_within_three_errors(treated):
    e = victimization_did(treated)
    table = both_errors(e, "county_fips")
    assert abs(e.params["TFM"] - TRUTH) < 3 * table.headline_se["TFM"]
    assert abs(e.params["SC"] - np.log(1.16)) < 3 * table.headline_se["SC"]
    assert abs(e.params["JEM"]) < 3 * table.headline_se["JEM"]


def test_contrasts_between_groups_carry_their_covariance(treated):
    e = victimization_did(treated, comparison="contrast")
    names = [f"TFM:{g}" for g in ("latino", "black", "white", "other")]
    assert e.terms[:4] == names
    difference = e.combine(np.eye(1, len(e.point)) - np.eye(1, len(e.point), 2), ["latino - white"])
    v = e.cov()
    expected = v.loc[names[0], names[0]] + v.loc[names[2], names[2]] - 2 * v.loc[names[0], names[2]]
    assert difference.se.iloc[0] ** 2 == pytest.approx(expected)
    triple = victimization_did(treated, comparison="triple")
    assert "latino:TFM" in triple.terms
    assert abs(triple.params["latino:TFM"] - TRUTH) < 3.5 * triple.se["latino:TFM"]


def test_families_tell_one_story(treated):
    odds = ratios(victimization_did(treated), ["TFM"]).ratio.iloc[0]
    rate = ratios(victimization_did(treated, family="poisson"), ["TFM"]).ratio.iloc[0]
    logit = victimization_did(treated)
    risk = np.exp(average_effect(logit, "TFM", over="group == 'latino' and TFM > 0", quantity="risk_ratio").point[0])
    assert 1 < rate < odds
    assert 1 < risk < odds
    assert risk == pytest.approx(rate, rel=0.15)
    linear = victimization_did(treated, family="linear")
    effect = average_effect(logit, "TFM", over="group == 'latino' and TFM > 0")
    assert linear.params["TFM"] * effect.point[0] > 0


def test_event_study(treated):
    e = victimization_event_study(treated, "TFM", window=(-3, 3))
    assert e.kind == "event"
    assert e.reference == (-1,)
    assert e.labels.event_time.tolist() == [-3, -2, 0, 1, 2, 3]
    assert 0 <= e.pretrend_test().p_value <= 1
    with pytest.raises(DesignError, match="no lead"):
        victimization_event_study(treated, "TFM", window=(-1, 3))
    with pytest.raises(DesignError, match="not among the treatments"):
        victimization_event_study(treated, "WSO")


def test_bins_of_the_event_study_add_up(treated):
    """Leads, lags, the reference and the time after the end cover every window of an ever-treated county."""
    days = treated.days["TFM"]
    e = victimization_event_study(treated, "TFM", window=(-2, 2), family="linear", controls=("female",))
    assert e.sample["n_obs"] > 0
    wide = victimization_event_study(
        treated, "TFM", window=(-2, 2), family="linear", controls=("female",), after_end=False
    )
    assert len(e.point) == len(wide.point)
    assert len(days)


def test_placebo_dates_find_nothing(simulated, treated):
    interviews = person_interviews(simulated.person, simulated.incident, simulated.household)
    moved = treated_sample(interviews, {"TFM": simulated.treatments["TFM"]}, shift=-48)
    pre = moved.sample.frame
    early = (treated.sample.frame.TFM == 0).to_numpy()
    e = victimization_did(moved, domain=early)
    assert abs(e.point[0]) < 3 * e.se.iloc[0]
    assert len(pre)


def test_names_of_columns_are_protected(simulated):
    interviews = person_interviews(simulated.person, simulated.incident, simulated.household)
    with pytest.raises(DesignError, match="names of columns"):
        treated_sample(interviews, {"age": simulated.treatments["TFM"]})


@pytest.mark.parametrize("comparison", ["subgroup", "contrast", "triple"])
def test_leverage_reaches_every_comparison(treated, comparison):
    plain = victimization_did(treated, comparison=comparison)
    corrected = victimization_did(treated, comparison=comparison, leverage=True)
    assert corrected.options["leverage"] == "county_fips"
    np.testing.assert_array_equal(plain.point, corrected.point)
    a, b = (both_errors(e, "county_fips")["county_fips_se"] for e in (plain, corrected))
    assert (b > a).all()
