"""Two-way fixed effects worked by hand, and how the event study is cut."""

import numpy as np
import pandas as pd
import pytest
from panels_by_hand import table
from reference_did import load_panel
from simulated_did import staggered

from g287stats.did.twfe import event_study, twfe
from g287stats.errors import DesignError, DesignWarning, IdentificationError
from g287stats.inference.coefficients import coefficients

KEYS = {"unit": "county", "time": "year", "cohort": "g"}


def four_counties():
    return table({"a": [0, 3], "b": [1, 6], "c": [2, 2], "d": [5, 7]}, {"a": 2002, "b": 2002})


def test_two_periods_by_hand():
    # changes: treated 3 and 5 (mean 4), controls 0 and 2 (mean 1): effect 3.
    # With two periods the influence of a county is ± (its change − its group's mean) / group size:
    #   a −1/2, b +1/2, c +1/2, d −1/2, squares add up to 1.
    # factor G/(G−1) · (n−1)/(n−K) = 4/3 · 7/(8−3), K = one regressor + two years (counties are nested): 28/15.
    estimate = twfe(four_counties(), "y", **KEYS)
    assert estimate.point[0] == pytest.approx(3.0, abs=1e-14)
    assert estimate.influence.psi[:, 0] == pytest.approx([-0.5, 0.5, 0.5, -0.5], abs=1e-14)
    assert estimate.se.iloc[0] == pytest.approx(np.sqrt(28 / 15), abs=1e-14)
    assert estimate.df == 3
    full = twfe(four_counties(), "y", **KEYS, small_sample="full")  # K = 1 + 4 + 2 − 1 = 6
    assert full.se.iloc[0] == pytest.approx(np.sqrt(4 / 3 * 7 / 2), abs=1e-14)
    # residuals ±1/4 · 2 …: a's change misses by −1, half in each year: u² = 1/4 in 8 rows, RSS 2, σ² = 2/(8−6) = 1,
    # and the residualised treatment is ±1/4 in every row, sum of squares 1/2: variance 2
    iid = twfe(four_counties(), "y", **KEYS, vcov="iid")
    assert iid.se.iloc[0] == pytest.approx(np.sqrt(2), abs=1e-14)
    # HC1: sum of x²u² = 8 · 1/16 · 1/4 = 1/8, over (1/2)² is 1/2, times n/(n−K) = 4: variance 2
    assert twfe(four_counties(), "y", **KEYS, vcov="HC1").se.iloc[0] == pytest.approx(np.sqrt(2), abs=1e-14)


def test_event_study_by_hand():
    # a adopts in 2003: event times −2 −1 0 1; control changes from 2002: −1, 0, +2, +3; a's: −4, 0, +5, +10
    paths = {"a": [1, 5, 10, 15], "c": [2, 3, 5, 6]}
    frame = table({**paths, "b": paths["a"], "d": paths["c"]}, {"a": 2003, "b": 2003})
    estimate = event_study(frame, "y", **KEYS)
    assert dict(estimate.params) == pytest.approx({"-2": -3.0, "0": 3.0, "1": 7.0})
    assert estimate.overall.point[0] == pytest.approx(5.0)
    assert estimate.reference == (-1,)
    moved = event_study(frame, "y", **KEYS, reference=0)
    assert dict(moved.params) == pytest.approx({"-2": -6.0, "-1": -3.0, "1": 4.0})


def test_window_bins_or_drops_the_ends():
    frame = load_panel("panel_small")
    binned = event_study(frame, "y", **KEYS, window=(-3, 2))
    assert binned.terms == ["<=-3", "-2", "0", "1", ">=2"]
    by_hand = frame.assign(rel=(frame["year"] - frame["g"]).clip(-3, 2).where(frame["g"] > 0, -1))
    dummies = pd.get_dummies(by_hand["rel"], prefix="e", dtype=float).drop(columns="e_-1")
    static = twfe(
        pd.concat([by_hand, dummies], axis=1),
        "y",
        unit="county",
        time="year",
        treatment="e_0",
        covariates=[c for c in dummies if c != "e_0"],
    )
    assert static.point[0] == pytest.approx(binned.params["0"], abs=1e-12)
    assert static.se.iloc[0] == pytest.approx(binned.se["0"], abs=1e-12)
    dropped = event_study(frame, "y", **KEYS, window=(-3, 2), ends="drop")
    inside = by_hand[(frame["g"] == 0) | ((frame["year"] - frame["g"]).between(-3, 2))]
    again = event_study(inside, "y", **KEYS)
    assert dropped.terms == again.terms
    np.testing.assert_array_equal(dropped.point, again.point)
    assert "event time outside -3…2" in set(dropped.sample["flow"].to_frame()["step"])


def test_window_and_reference_must_fit():
    frame = load_panel("panel_small")
    with pytest.raises(DesignError, match="contain the reference"):
        event_study(frame, "y", **KEYS, window=(-4, -2))
    with pytest.raises(IdentificationError, match="reference event times"):
        event_study(frame, "y", **KEYS, reference=-40)
    with pytest.raises(DesignError, match="choose 'bin' or 'drop'"):
        event_study(frame, "y", **KEYS, window=(-2, 2), ends="keep")


def test_treatment_column_is_the_cohort_rule():
    frame = load_panel("panel_small")
    by_treatment = event_study(frame, "y", unit="county", time="year", treatment="d")
    np.testing.assert_array_equal(by_treatment.point, event_study(frame, "y", **KEYS).point)


def test_two_way_clusters_keep_rows_and_unit_clusters_keep_units():
    frame = load_panel("panel_small")
    assert twfe(frame, "y", **KEYS, cluster="state").influence.psi.shape[0] == 60
    both = twfe(frame, "y", **KEYS, cluster=("state", "year"))
    assert both.influence.psi.shape[0] == 480
    state = both.with_rule(twfe(frame, "y", **KEYS, cluster="state").rule)
    assert state.se.iloc[0] == pytest.approx(twfe(frame, "y", **KEYS, cluster="state").se.iloc[0], abs=1e-14)
    with pytest.raises(DesignError, match="cannot cluster by 'region'"):
        state.with_rule(type(state.rule)(("region",), "unadjusted")).summary()


def test_cluster_that_moves_within_a_county_is_told():
    frame = load_panel("panel_small")
    frame.loc[frame["county"].eq(frame["county"].iloc[0]) & frame["year"].eq(2010), "state"] = 99
    with pytest.warns(DesignWarning, match="cluster 'state' changes within 1 units"):
        estimate = twfe(frame, "y", **KEYS, cluster="state")
    assert np.isfinite(estimate.se.iloc[0])


def test_singletons_are_told_and_change_nothing():
    frame = load_panel("panel_small")
    lone = pd.DataFrame([{"county": 9001, "year": 2010, "y": 3.0, "g": 0}])
    more = twfe(pd.concat([frame, lone]), "y", **KEYS)
    assert any("1 units are observed once" in n and "9001" in n for n in more.notes)
    assert more.point[0] == pytest.approx(twfe(frame, "y", **KEYS).point[0], abs=1e-13)


def test_few_observations_for_the_convention():
    frame = four_counties().query("county in ['a', 'c']")
    with pytest.raises(DesignError, match="counts 4 parameters on 4 observations"):
        twfe(frame, "y", **KEYS, small_sample="full")
    assert twfe(frame, "y", **KEYS).point[0] == pytest.approx(3.0)


def test_treated_units_are_counted_either_way():
    frame = load_panel("panel_small")
    assert twfe(frame, "y", **KEYS).sample["n_treated"] == 30
    assert twfe(frame, "y", unit="county", time="year", treatment="d").sample["n_treated"] == 30


def test_coefficients_shows_covariates_with_the_same_errors():
    frame = staggered(4, n=40, t=6, cohorts=(3,))
    frame["x"] = np.random.default_rng(1).normal(size=len(frame))
    e = twfe(frame, "y", unit="county", time="year", treatment="d", covariates=["x"], cluster="state")
    every = coefficients(e)
    assert every.terms == ["d", "x"]
    assert every.point[0] == e.point[0] and every.se.iloc[0] == pytest.approx(e.se.iloc[0], rel=1e-14)
    swapped = twfe(frame, "y", unit="county", time="year", treatment="x", covariates=["d"], cluster="state")
    assert every.point[1] == pytest.approx(swapped.point[0], rel=1e-12)
    assert every.se.iloc[1] == pytest.approx(swapped.se.iloc[0], rel=1e-12)
    plain = twfe(frame, "y", unit="county", time="year", treatment="d", covariates=["x"], vcov="iid")
    assert coefficients(plain).se.iloc[0] == pytest.approx(plain.se.iloc[0], rel=1e-12)
    with pytest.raises(DesignError, match="no single regression"):
        coefficients(e.combine([[1.0]], ["a"], regression=None))


def test_conventions_that_contradict_each_other_are_refused():
    frame = staggered(4, n=40, t=6, cohorts=(3,))
    keys = {"unit": "county", "time": "year", "treatment": "d"}
    with pytest.raises(DesignError, match="vcov='iid' does not use clusters"):
        twfe(frame, "y", vcov="iid", cluster="state", **keys)
    four = frame[frame["county"].isin([0, 1]) & frame["year"].isin([2, 3])].assign(d=[0, 0, 0, 1])
    with pytest.raises(DesignError, match="4 parameters on 4 observations leave no residual variance"):
        twfe(four, "y", vcov="HC1", **keys)
    for window in (3, (1, -2), (-2.5, 2)):
        with pytest.raises(DesignError, match="window="):
            event_study(frame, "y", unit="county", time="year", cohort="g", window=window)


def test_a_joint_test_and_a_table_are_shown_in_words():
    frame = staggered(4, n=40, t=6, cohorts=(3,))
    e = event_study(frame, "y", unit="county", time="year", cohort="g")
    test = e.pretrend_test()
    assert str(test).startswith(f"F(2, 39) = {test.statistic / 2:.3f}, p = {test.p_value:.4f}: -3, -2")
    assert test._repr_html_().startswith("<div>")
    assert f"overall: {e.overall.point[0]:.4f}" in e.summary()
    assert "<table" in e.to_html() and "event_study" in e.to_html()
