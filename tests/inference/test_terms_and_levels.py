"""Which parameter is meant, and which clusters: what a later step inherits from the estimate."""

import warnings

import numpy as np
import pandas as pd
import pytest
from simulated_did import staggered

from g287stats.did.group_time import att_gt
from g287stats.did.twfe import event_study, twfe
from g287stats.errors import DesignError
from g287stats.inference.coefficients import coefficients
from g287stats.inference.equivalence import equivalence
from g287stats.inference.multiplicity import multiple_testing
from g287stats.inference.power import minimum_detectable_effect
from g287stats.inference.small_sample import bias_reduced
from g287stats.inference.spatial import conley
from g287stats.inference.target import from_moments
from g287stats.inference.wild import wild_bootstrap

KEYS = {"unit": "county", "time": "year", "cohort": "g"}
pytestmark = pytest.mark.filterwarnings("ignore::g287stats.errors.G287Warning")


def frame():
    data = staggered(3, n=40, t=9, cohorts=(3, 5))
    return data.assign(state=data["county"] % 8, x=np.random.default_rng(0).normal(size=len(data)))


def events():
    times = np.array([-3, -2, 0, 1, 2])
    labels = pd.DataFrame({"term": times.astype(str), "event_time": times})
    return from_moments(np.array([0.1, -0.2, 1.0, 2.0, 3.0]), np.diag([1.0, 2, 3, 4, 5]), labels=labels)


def test_integers_are_event_times_where_there_are_any():
    es = events()
    assert es.test([0, 1, 2]).terms == ("0", "1", "2")
    assert es.select([-2, 2]).point.tolist() == [-0.2, 3.0]
    assert equivalence(es, 9.0, term=0).estimate == 1.0 == equivalence(es, 9.0, term="0").estimate
    assert "(event time 0)" in equivalence(es, 9.0, term=0).sentence
    assert minimum_detectable_effect(es, term=-3).std_error == 1.0
    with pytest.raises(DesignError, match=r"no such terms: \[-1\]. Terms are \[-3, -2, 0"):
        es.test([-1])
    with pytest.raises(DesignError, match="a mask of 2 for 5 parameters"):
        es.test([True, False])
    plain = from_moments([1.0, 2.0], np.eye(2), labels=["a", "b"])
    assert plain.select([1]).terms == ["b"] and plain.test("b").terms == ("b",)
    with pytest.raises(DesignError, match=r"no such terms: \[2\]. Terms are \[0, 1\]"):
        plain.select([2])
    with pytest.raises(DesignError, match="term=0 is no name"):
        equivalence(plain, 1.0, term=0)
    assert "on y below" not in equivalence(plain, 9.0, term="b").sentence


def test_integers_are_refused_where_event_times_are_shared():
    cells = att_gt(frame(), "y", **KEYS)
    with pytest.raises(DesignError, match="term=0 is no name"):
        equivalence(cells, 1.0, term=0)
    with pytest.raises(DesignError, match=r"term=\[0\] is no name"):
        minimum_detectable_effect(events(), term=[0])
    assert f"({cells.terms[3]})" in equivalence(cells, 9.0, term=cells.terms[3]).sentence
    assert events().select(0).terms == ["0"]


def test_a_joint_test_is_free_of_units():
    """A total in dollars beside a rate: standard errors 5e9 apart."""
    correlation = np.array([[1.0, 0.4], [0.4, 1.0]])
    for scale in (1.0, 5e9, 1e-9):
        s = np.array([1.0, scale])
        est = from_moments(np.array([1.0, 2.0]) * s, correlation * s[:, None] * s)
        assert est.test().statistic == pytest.approx(np.array([1, 2]) @ np.linalg.solve(correlation, [1, 2]), rel=1e-10)
    with pytest.raises(DesignError, match="rank 1"):
        from_moments([1.0, 1.0], np.ones((2, 2))).test()
    with pytest.raises(DesignError, match="rank 1"):
        from_moments([1.0, 0.0], np.diag([1.0, 0.0])).test()


def test_the_joint_test_of_several_outcomes_is_free_of_units():
    data = frame()
    first = twfe(data, "y", **KEYS)
    second = {u: twfe(data.assign(z=u * (data["y"] + data["x"])), "z", **KEYS) for u in (1.0, 1e9)}
    tests = [multiple_testing({"a": first, "b": e}).wald.statistic for e in second.values()]
    assert tests[0] == pytest.approx(tests[1], rel=1e-8)


def test_later_inference_keeps_the_clusters():
    data = frame()
    places = pd.DataFrame({"latitude": 0.0, "longitude": np.arange(40.0)}, index=pd.unique(data["county"]))
    e = event_study(data, "y", **KEYS, covariates=["x"], cluster="state")
    term = e.terms[-1]
    expected = wild_bootstrap(e, term=term, draws=99, ci=False)
    again = bias_reduced(e)
    for changed in (again, conley(e, places, 10.0)):
        found = wild_bootstrap(changed, term=term, draws=99, ci=False)
        assert (found.n_clusters, found.p_value) == (expected.n_clusters, expected.p_value) and found.n_clusters == 8
        np.testing.assert_array_equal(bias_reduced(changed).se, again.se)


def test_coefficients_keep_the_errors_of_the_estimate():
    data = frame()
    places = pd.DataFrame({"latitude": 0.0, "longitude": np.arange(40.0)}, index=pd.unique(data["county"]))
    e = twfe(data, "y", **KEYS, covariates=["x"], cluster="state")
    for changed in (e, bias_reduced(e), bias_reduced(e, kind="CR3"), conley(e, places, 400.0)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            all_ = coefficients(changed)
        assert all_.terms == ["att", "x"]
        assert all_.se["att"] == pytest.approx(changed.se["att"], rel=1e-12)
        assert type(all_.rule) is type(changed.rule)
