"""Fixed-effects Poisson against R fixest (and pyfixest), every stored row."""

import pytest
from reference_did import agree, expected, load_panel, variants

from g287stats.did.poisson import poisson

VARIANTS = {
    "offset.county": {"at_risk": "exposure"},
    "offset.state": {"at_risk": "exposure", "cluster": "state"},
    "nooffset.county": {},
    "offset.event.county": {"at_risk": "exposure", "shape": "event"},
}


@pytest.mark.filterwarnings("ignore::g287stats.errors.DesignWarning")
@pytest.mark.parametrize(("dataset", "variant"), variants("poisson"))
def test_agrees_with_stored_rows(dataset, variant):
    estimate = poisson(load_panel(dataset), "count", unit="county", time="year", cohort="g", **VARIANTS[variant])
    rows = expected(dataset, "poisson", variant)
    if "event" not in variant:
        rows = rows.rename(index={"d": "att"})
    assert set(estimate.terms) == set(rows.index)
    for term in estimate.terms:
        agree(estimate.params[term], estimate.se[term], rows.loc[term])
