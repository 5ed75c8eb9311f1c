"""Imputation and two-stage estimators against R didimputation, R did2s and direct computations, every stored row.

The stored rows come from samples without always-treated counties and without counties that have no untreated year;
the estimators remove those themselves, so the whole panel goes in.
"""

import pytest
from reference_did import agree, expected, load_panel, variants

from g287stats.did.imputation import imputation, two_stage

pytestmark = pytest.mark.filterwarnings("ignore::g287stats.errors.DesignWarning")
KEYS = {"unit": "county", "time": "year", "cohort": "g"}
VARIANTS = {
    "none": {},
    "state": {"cluster": "state"},
    "weighted": {"weights": "weight"},
    "x1x2_by_year": {"covariates_by_time": ["x1", "x2"]},
}


@pytest.mark.parametrize(("dataset", "variant"), variants("bjs.static"))
def test_static(dataset, variant):
    estimate = imputation(load_panel(dataset), "y", **KEYS, **VARIANTS[variant])
    row = expected(dataset, "bjs.static", variant).loc["att"]
    for overall in (estimate.overall, estimate.aggregate("simple")):
        agree(overall.point[0], overall.se.iloc[0], row)


@pytest.mark.parametrize(("dataset", "variant"), variants("bjs.horizon"))
def test_horizons(dataset, variant):
    estimate = imputation(load_panel(dataset), "y", **KEYS, **VARIANTS[variant]).aggregate("event")
    rows = expected(dataset, "bjs.horizon", variant)
    assert set(estimate.terms) == set(rows.index)
    for term in estimate.terms:
        agree(estimate.params[term], estimate.se[term], rows.loc[term])


def test_leads():
    estimate = imputation(load_panel("panel_small"), "y", **KEYS, leads=3)
    rows = expected("panel_small", "bjs.pretrends", "leads_-3_-1")
    for shown in (estimate, estimate.aggregate("event")):
        for term in rows.index:
            agree(shown.params[term], shown.se[term], rows.loc[term])
    plain = imputation(load_panel("panel_small"), "y", **KEYS)
    assert estimate.overall.point[0] == pytest.approx(plain.overall.point[0], abs=1e-14)
    assert estimate.overall.se.iloc[0] == pytest.approx(plain.overall.se.iloc[0], abs=1e-14)


@pytest.mark.parametrize(("dataset", "variant"), variants("did2s.static"))
def test_two_stage_static(dataset, variant):
    estimate = two_stage(load_panel(dataset), "y", **KEYS, cluster=variant)
    agree(estimate.point[0], estimate.se.iloc[0], expected(dataset, "did2s.static", variant).loc["att"])


@pytest.mark.parametrize(("dataset", "variant"), variants("did2s.event"))
def test_two_stage_event(dataset, variant):
    estimate = two_stage(load_panel(dataset), "y", shape="event", **KEYS, cluster=variant)
    rows = expected(dataset, "did2s.event", variant)
    assert set(estimate.terms) == set(rows.index)
    for term in estimate.terms:
        agree(estimate.params[term], estimate.se[term], rows.loc[term])
