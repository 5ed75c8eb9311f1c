"""Targets on the public-use file of 2021 (ICPSR 38429), for whoever has added it: g287stats data add ncvs …"""

import pytest

from g287stats import survey
from g287stats.errors import UnavailableError
from g287stats.outcomes.ncvs.files import load_ncvs
from g287stats.victimization.interviews import household_interviews, incident_sample, ncvs_sample, person_interviews
from g287stats.victimization.rates import share_reported, victimization_rate


@pytest.fixture(scope="module")
def files():
    try:
        person, incident, household = (load_ncvs(v) for v in ("person", "incident", "household"))
    except UnavailableError:
        pytest.skip("add ICPSR 38429: g287stats data add ncvs ~/Downloads/ICPSR_38429*.zip")
    if person.years != (2021,):
        pytest.skip("targets are for 2021 alone")
    return person, incident, household


@pytest.mark.private_data
def test_violence_2021(files):
    interviews = person_interviews(*files)
    sample = ncvs_sample(interviews)
    assert (sample.n_psu, sample.df) == (330, 170)
    total = survey.total(sample, "adjusted")
    assert total.point[0] == pytest.approx(4_598_306, abs=1)
    assert total.se.iloc[0] == pytest.approx(198_115, abs=1)
    share = share_reported(sample)
    assert share.point[0] == pytest.approx(45.65, abs=0.01)
    assert share.se.iloc[0] == pytest.approx(1.97, abs=0.01)
    assert incident_sample(interviews, files[1]).frame.dummy.sum() == 1


@pytest.mark.private_data
def test_property_2021(files):
    _, incident, household = files
    for types, rate, error in (("motor_vehicle_theft", 4.320, 0.290), ("property", 90.335, 1.948)):
        e = victimization_rate(ncvs_sample(household_interviews(household, incident, types=types)))
        assert e.point[0] == pytest.approx(rate, abs=0.001)
        assert e.se.iloc[0] == pytest.approx(error, abs=0.001)
