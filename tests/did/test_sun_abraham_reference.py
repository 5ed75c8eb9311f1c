"""Sun and Abraham's estimator against R fixest ``sunab`` (and diff-diff, and dummies), every stored row."""

import numpy as np
import pytest
from reference_did import agree, expected, load_panel, variants

from g287stats.did import sun_abraham as module
from g287stats.did.sun_abraham import sun_abraham

pytestmark = pytest.mark.filterwarnings("ignore::g287stats.errors.DesignWarning")
KEYS = {"unit": "county", "time": "year", "cohort": "g"}
VARIANTS = {"county": {}, "state": {"cluster": "state"}, "county.weighted": {"weights": "weight"}}
TRENDS = {"unit_trends": True, "reference": (-1, -2), "covariates": ["z"], "covariates_by_time": ["x1"]}
KINDS = {"sunab.att": "simple", "sunab.cohort": "cohort", "sunab.period": "event"}


@pytest.mark.parametrize("estimator", KINDS)
@pytest.mark.parametrize(("dataset", "variant"), variants("sunab.att"))
def test_agrees_with_stored_rows(dataset, variant, estimator):
    cells = sun_abraham(load_panel(dataset), "y", **KEYS, **VARIANTS[variant])
    estimate = cells.aggregate(KINDS[estimator])
    rows = expected(dataset, estimator, variant)
    if estimator == "sunab.att":
        agree(cells.overall.point[0], cells.overall.se.iloc[0], rows.loc["ATT"])
        agree(estimate.point[0], estimate.se.iloc[0], rows.loc["ATT"])
        return
    assert set(estimate.terms) == set(rows.index)
    for term in rows.index:
        agree(estimate.params[term], estimate.se[term], rows.loc[term])


@pytest.mark.parametrize("dataset", ["panel_small", "panel_unbalanced"])
@pytest.mark.parametrize(
    "extra", [{}, {"covariates_by_time": ["x1", "x2"]}, {"weights": "weight", "covariates": ["z"]}, TRENDS]
)
def test_cohort_by_cohort_equals_the_interacted_regression(dataset, extra, monkeypatch):
    frame = load_panel(dataset)
    frame["z"] = np.sin(np.arange(len(frame)))

    def as_written(design, groups, plan, covariates, by_period, trends):
        return module.general(module.Interacted(design, plan, tuple(covariates), tuple(by_period), trends, whole=True))

    fast = sun_abraham(frame, "y", **KEYS, **extra)
    monkeypatch.setattr(module, "by_cohort", as_written)
    slow = sun_abraham(frame, "y", **KEYS, **extra)
    np.testing.assert_allclose(fast.point, slow.point, atol=1e-11)
    np.testing.assert_allclose(fast.influence.psi, slow.influence.psi, atol=1e-11)
    assert fast.rule == slow.rule
