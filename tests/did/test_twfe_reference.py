"""Two-way fixed effects against R fixest (and pyfixest, and dummies), every stored row."""

import pytest
from reference_did import agree, expected, load_panel, variants

import g287stats.did.twfe as twfe_module

KEYS = {"unit": "county", "time": "year"}
VARIANTS = {
    "county": {},
    "state": {"cluster": "state"},
    "county_year": {"cluster": ("county", "year")},
    "state_year": {"cluster": ("state", "year")},
    "county.K_full": {"small_sample": "full"},
    "county.K_none": {"small_sample": "none"},
    "county.noadj": {"small_sample": "unadjusted"},
    "iid": {"vcov": "iid"},
    "hetero": {"vcov": "HC1"},
    "county.weighted": {"weights": "weight"},
    "state.weighted": {"weights": "weight", "cluster": "state"},
    "county.x1x2_by_year": {"covariates_by_time": ["x1", "x2"]},
    "state.state_by_year": {"fixed_effects": [("state", "year")]},
    "county.d_on": {"treatment": "d_on"},
}


@pytest.mark.filterwarnings("ignore::g287stats.errors.DesignWarning")
@pytest.mark.parametrize(("dataset", "variant"), variants("twfe"))
def test_agrees_with_stored_rows(dataset, variant):
    frame = load_panel(dataset)
    rows = expected(dataset, "twfe", variant)
    kind, rest = variant.split(".", 1)
    if kind == "event":
        estimate = twfe_module.event_study(frame, "y", cohort="g", **KEYS, **VARIANTS[rest])
        assert sorted(estimate.terms) == sorted(rows.index)
    else:
        estimate = twfe_module.twfe(frame, "y", **KEYS, **{"treatment": "d", **VARIANTS[rest]})
        rows = rows.rename(index=dict.fromkeys(rows.index, estimate.terms[0]))
    for term in estimate.terms:
        agree(estimate.params[term], estimate.se[term], rows.loc[term])
