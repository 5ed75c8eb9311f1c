"""Fixed-effects Poisson worked by hand, against a dense fit, and its separated rows."""

import numpy as np
import pytest
import statsmodels.api as sm
from panels_by_hand import table
from reference_did import load_panel

from g287stats.did.poisson import poisson
from g287stats.errors import DesignError, IdentificationError

pytestmark = pytest.mark.filterwarnings("ignore::g287stats.errors.DesignWarning")
KEYS = {"unit": "county", "time": "year", "cohort": "g"}


def test_two_by_two_by_hand():
    # saturated: the effect is the log of the ratio of ratios, log((12/3) / (10/5)) = log 2
    frame = table({"a": [3, 12], "b": [3, 12], "c": [5, 10], "d": [5, 10]}, {"a": 2002, "b": 2002})
    assert poisson(frame, "y", **KEYS).point[0] == pytest.approx(np.log(2), abs=1e-12)
    # with exposure: rates 3/1 → 12/2 is ×2, 5 → 10 at constant exposure ×2: no effect
    frame["people"] = [1.0, 2.0] * 2 + [1.0, 1.0] * 2
    assert poisson(frame, "y", at_risk="people", **KEYS).point[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("effects", ["static", "event"])
def test_equals_a_fit_with_dummies(effects):
    frame = load_panel("panel_small").iloc[:400]
    frame = frame[frame["year"] != 2010].assign(z=lambda d: np.cos(np.arange(len(d))))
    ours = poisson(frame, "count", shape=effects, at_risk="exposure", covariates=["z"], weights="weight", **KEYS)
    event = np.where(frame["g"] > 0, frame["year"] - frame["g"], -1)
    d = (frame["year"].ge(frame["g"]) & frame["g"].gt(0)).to_numpy(float)[:, None]
    if effects == "event":
        d = (event[:, None] == ours.labels["event_time"].to_numpy()).astype(float)
    units = (frame["county"].to_numpy()[:, None] == frame["county"].unique()).astype(float)
    years = (frame["year"].to_numpy()[:, None] == frame["year"].unique()[1:]).astype(float)
    dense = sm.GLM(
        frame["count"].to_numpy(),
        np.hstack([d, frame[["z"]].to_numpy(), units, years]),
        family=sm.families.Poisson(),
        exposure=frame["exposure"].to_numpy(),
        freq_weights=frame["weight"].to_numpy(),
    ).fit(tol=1e-13)
    np.testing.assert_allclose(ours.point, dense.params[: d.shape[1]], atol=1e-9)


def test_counties_and_years_without_events_are_named():
    frame = load_panel("panel_small")
    frame.loc[frame["county"] == 3, "count"] = 0
    frame.loc[frame["year"] == 2013, "count"] = 0
    estimate = poisson(frame, "count", **KEYS)
    assert any("levels of county have no event" in n and "3" in n for n in estimate.notes)
    assert any("levels of year have no event" in n and "2013" in n for n in estimate.notes)
    rest = poisson(frame[(frame["county"] != 3) & (frame["year"] != 2013)], "count", **KEYS)
    assert estimate.point[0] == pytest.approx(rest.point[0], abs=1e-12)
    assert estimate.se.iloc[0] == pytest.approx(rest.se.iloc[0], abs=1e-12)
    flow = estimate.sample["flow"].to_frame().set_index("step")["rows"]
    assert flow["county without any event"] == -8 and flow["year without any event"] == -59


def test_zeros_that_a_regressor_predicts_are_left_out_and_named():
    frame = load_panel("panel_small")
    last = frame["year"] - frame["g"] == 5  # one event time, all zero: its coefficient is minus infinity
    frame.loc[last, "count"] = 0
    with pytest.raises(IdentificationError, match=r"hit do not vary.*Before that: .* rows are separated"):
        poisson(frame.assign(hit=last * 1.0), "count", covariates=["hit"], **KEYS)
    estimate = poisson(frame, "count", shape="event", **KEYS)
    without = poisson(frame[~last], "count", shape="event", **KEYS)
    assert any("rows are separated" in n for n in estimate.notes)
    assert estimate.terms == without.terms and "5" not in estimate.terms
    np.testing.assert_allclose(estimate.point, without.point, atol=1e-9)
    np.testing.assert_allclose(estimate.se, without.se, atol=1e-9)


def test_many_zeros_are_not_separation():
    frame = load_panel("panel_small")
    rng = np.random.default_rng(4)
    frame["count"] = rng.poisson(0.3, len(frame))
    estimate = poisson(frame, "count", **KEYS)
    assert not any("predicts" in n for n in estimate.notes)
    assert np.isfinite(estimate.point[0])


def test_treated_counties_without_events_leave_nothing_to_compare():
    frame = load_panel("panel_small")
    frame.loc[(frame["g"] > 0) & (frame["year"] >= frame["g"]), "count"] = 0
    with pytest.raises(IdentificationError, match="nothing to compare"):
        poisson(frame, "count", **KEYS)


def test_negative_counts_are_refused_by_row():
    frame = load_panel("panel_small")
    frame.loc[10, "count"] = -1
    row = frame.loc[10]
    with pytest.raises(DesignError, match=f"negative in 1 rows: {int(row['county'])} {int(row['year'])}"):
        poisson(frame, "count", **KEYS)


def test_scale_of_exposure_does_not_matter():
    frame = load_panel("panel_unbalanced")
    a = poisson(frame, "count", at_risk="exposure", **KEYS)
    b = poisson(frame.assign(exposure=frame["exposure"] / 1e5), "count", at_risk="exposure", **KEYS)
    assert a.point[0] == pytest.approx(b.point[0], abs=1e-10)
    assert a.se.iloc[0] == pytest.approx(b.se.iloc[0], abs=1e-10)
