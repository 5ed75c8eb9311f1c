"""Published vectors as estimates: Wald tests and combinations against closed forms."""

import numpy as np
import pandas as pd
import pytest
from reference_did import FOLDER, agree, expected, load_panel

from g287stats.errors import DesignError
from g287stats.inference.target import from_moments


def event_vector():
    b = load_panel("es_betahat")
    sigma = np.loadtxt(FOLDER / "data" / "es_sigma.csv", delimiter=",")
    labels = pd.DataFrame({"term": [f"event {e}" for e in b["rel"]], "event_time": b["rel"]})
    return from_moments(b["beta"], sigma, labels=labels, outcome="y", kind="event", reference=(-1,))


def test_covariance_is_returned():
    est = event_vector()
    sigma = np.loadtxt(FOLDER / "data" / "es_sigma.csv", delimiter=",")
    np.testing.assert_allclose(est.cov().to_numpy(), sigma, atol=1e-15)


@pytest.mark.parametrize(("name", "keep"), [("pretest_wald", lambda e: e < 0), ("posttest_wald", lambda e: e >= 0)])
def test_wald(name, keep):
    est = event_vector()
    rows = expected("es_vector", name, "joint")
    r = est.test(keep(est.labels["event_time"].to_numpy()))
    agree(r.statistic, None, rows.loc["W"])
    agree(r.p_value, None, rows.loc["p"])


def test_linear_combination():
    est = event_vector()
    post = (est.labels["event_time"].to_numpy() >= 0).astype(float)
    mean = est.combine(post[None, :] / post.sum(), ["mean_post"])
    agree(mean.point[0], mean.se.iloc[0], expected("es_vector", "linear_combination", "mean_post").loc["estimate"])


def test_refusals():
    with pytest.raises(DesignError, match="negative eigenvalue"):
        from_moments([1, 2], [[1, 2], [2, 1]])
    with pytest.raises(DesignError, match="does not fit"):
        from_moments([1, 2], np.eye(3))
    assert "independent" in from_moments([1, 2], [1, 1]).notes[0]
