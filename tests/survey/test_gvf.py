"""Generalized variance functions against the errors BJS printed, 1993–2012, and its worked examples."""

import numpy as np
import pytest

from g287stats.errors import DesignError, UnavailableError
from g287stats.survey import GvfParameters, gvf_se_percent, gvf_se_rate, gvf_se_total
from g287stats.victimization.published import gvf_parameters, published_rates

# Residents 12 or older in millions. Inputs of the variance function, not benchmarks: 2007–2009 and 2012 are in the
# released table; the others are the populations of the annual bulletins to one decimal, from memory. An error of
# one percent in them moves no standard error by more than 0.01.
POPULATION = dict(
    zip(
        range(1993, 2013),
        [211.5, 213.1, 215.1, 217.2, 219.8, 221.9, 224.6, 226.8, 229.2, 231.6]
        + [239.3, 241.7, 244.5, 247.2, 250.3, 252.2, 254.1, 256.0, 257.5, 262.0],
    )
)
PUBLISHED = 0.01


@pytest.mark.parametrize(
    "measure, which", [("violent_rate", "overall_person"), ("violent_reported_rate", "person_crime_domain")]
)
def test_published_standard_errors(measure, which):
    """The overall set gives the errors of violence; the crime-domain set those of violence reported to police."""
    table = published_rates(measure).set_index("year").loc[1993:2012]
    assert len(table) == 20
    ours = [gvf_se_rate(table.value[y], POPULATION[y] * 1e6, gvf_parameters(y, which)) for y in table.index]
    np.testing.assert_allclose(ours, table.std_error, rtol=0, atol=PUBLISHED)


def test_the_verified_populations_are_those_used():
    known = published_rates("population_12plus").set_index("year").value / 1e6
    for year in known.index:
        assert POPULATION[year] == pytest.approx(known[year], abs=0.06)


def test_worked_examples():
    assert gvf_se_total(6842593, gvf_parameters(2012)) == pytest.approx(313834.091, abs=1e-3)
    assert gvf_se_total(5812523, gvf_parameters(2011)) == pytest.approx(356534.327, abs=1e-3)
    assert gvf_se_rate(18.2, 262.0e6, gvf_parameters(2012)) == pytest.approx(0.961, abs=1e-3)
    pooled = gvf_parameters((2010, 2011, 2012), "overall_property")
    assert pooled.b == pytest.approx(5336, abs=0.5)
    assert pooled.c == pytest.approx(2.39, abs=0.005)
    # the worked example's households are not printed beside it; three years of 123 million each
    assert gvf_se_rate(50.9, 3 * 123.0e6, pooled) == pytest.approx(1.34, abs=0.005)


def test_percentages_and_refusals():
    p = gvf_parameters(2012, "person_crime_domain")
    assert gvf_se_percent(44.1, 6842593, p) > 0
    assert gvf_se_percent(0, 6842593, p) == 0
    with pytest.raises(UnavailableError, match="2013"):
        gvf_parameters(2013)
    with pytest.raises(DesignError, match="negative"):
        gvf_se_total(1e12, GvfParameters(-1, 1, 0))
