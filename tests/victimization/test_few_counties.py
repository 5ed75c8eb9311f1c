"""Few treated counties: who they are, leaving one out, dealing histories to other counties."""

import numpy as np
import pandas as pd
import pytest

from g287stats.errors import DesignError
from g287stats.panel.exposure import Exposure
from g287stats.victimization.did import treated_sample, victimization_did
from g287stats.victimization.extract import agreement_days
from g287stats.victimization.few_counties import county_randomization, leave_one_out, treated_counties
from g287stats.victimization.interviews import person_interviews

OTHERS = ("JEM", "SC")


@pytest.fixture(scope="module")
def treated(simulated):
    interviews = person_interviews(simulated.person, simulated.incident, simulated.household)
    return treated_sample(interviews, simulated.treatments, singleton="adjust")


def test_treated_counties_and_their_effective_number(treated):
    table = treated_counties(treated, "TFM")
    assert table.share.sum() == pytest.approx(1)
    assert table.share.is_monotonic_decreasing
    assert table.attrs["effective_number"] == pytest.approx(1 / (table.share**2).sum())
    f, w = treated.sample.frame, treated.sample.weights
    first = ((f.county_fips == table.county[0]) & (f.group == "latino")).to_numpy()
    assert table.exposure[0] == pytest.approx((w * f.TFM)[first].sum())
    with pytest.raises(DesignError, match="not among the treatments"):
        treated_counties(treated, "WSO")


def test_leaving_a_county_out_is_near_the_refit(treated):
    e = victimization_did(treated, leverage=True)
    table = leave_one_out(e, "TFM")
    county = table.county[0]
    refit = victimization_did(treated, domain=(treated.sample.frame.county_fips != county).to_numpy())
    assert table.estimate_without[0] == pytest.approx(refit.params["TFM"], abs=0.35 * abs(table.change[0]) + 1e-3)
    with pytest.raises(DesignError, match="leverage=True"):
        leave_one_out(victimization_did(treated), "TFM")


def test_the_score_statistic_is_that_of_the_projection_with_all_dummies(treated):
    null = victimization_did(treated, treatments=OTHERS)
    result = county_randomization(null, treated, "TFM", draws=1)
    fit = null.model
    frame = fit.sample.frame.iloc[fit.rows]
    w = fit.sample.weights[fit.rows]
    working = (fit.working / np.bincount(fit.cell, w))[fit.cell] * w
    dummies = pd.get_dummies(frame.county_fips.astype(str), dtype=float).to_numpy()
    x = np.column_stack([dummies, pd.get_dummies(frame.half, dtype=float).to_numpy()[:, 1:], fit.x[fit.cell]])
    d = frame.TFM.to_numpy(float)
    root = np.sqrt(working)
    left = d - x @ np.linalg.lstsq(x * root[:, None], d * root, rcond=None)[0]
    parts = np.bincount(pd.factorize(frame.county_fips)[0], left * fit.score)
    assert result.statistic == pytest.approx(parts.sum() / np.sqrt((parts**2).sum()), rel=1e-6)


def test_deals_are_reproducible_and_find_an_effect(treated):
    null = victimization_did(treated, treatments=OTHERS)
    a, b = (county_randomization(null, treated, "TFM", draws=199, seed=3) for _ in range(2))
    assert a == b
    assert a.p_plain < 0.1  # the planted ratio is 2.11 in a survey with four times the violence
    with pytest.raises(DesignError, match="without 'TFM'"):
        county_randomization(victimization_did(treated), treated, "TFM")


def test_statewide_agencies_treat_every_county_of_their_state():
    days = agreement_days(Exposure(models=("TFM",), level="state"), before="2013-01-01")
    assert (days.county_fips.str[:2] == "04").sum() == 15  # Arizona's counties
    assert days.county_fips.str[:2].nunique() == 10
