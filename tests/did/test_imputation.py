"""Imputation worked by hand, and what it cannot impute."""

import numpy as np
import pandas as pd
import pytest
from panels_by_hand import table
from reference_did import load_panel
from simulated_did import staggered

from g287stats.did.imputation import imputation, two_stage
from g287stats.errors import DesignError, DesignWarning, IdentificationError

KEYS = {"unit": "county", "time": "year", "cohort": "g"}


def three_counties():
    # a adopts in 2002, b in 2003, n never; untreated rows are a2001, b2001, b2002, n2001, n2002, n2003.
    # λ_2002 − λ_2001 is the mean change of b (3) and n (1): 2.  With λ_2001 = 0: α_n = mean(1, 2 − 2) = 1/2,
    # α_b = mean(0, 3 − 2) = 1/2, α_a = 5; only n informs 2003: λ_2003 = 4 − 1/2 = 3.5.
    # effects: a2002 9 − 5 − 2 = 2, a2003 11 − 5 − 3.5 = 2.5, b2003 9 − 0.5 − 3.5 = 5.
    return table({"a": [5, 9, 11], "b": [0, 3, 9], "n": [1, 2, 4]}, {"a": 2002, "b": 2003})


def test_effects_by_hand():
    estimate = imputation(three_counties(), "y", **KEYS)
    assert dict(estimate.params) == pytest.approx({"att(2002,2002)": 2, "att(2002,2003)": 2.5, "att(2003,2003)": 5})
    assert estimate.overall.point[0] == pytest.approx(9.5 / 3)
    event = estimate.aggregate("event")
    assert dict(event.params) == pytest.approx({"0": 3.5, "1": 2.5})
    assert two_stage(three_counties(), "y", **KEYS).point[0] == pytest.approx(9.5 / 3)


def test_influence_by_hand():
    # The weights of att(2002,2002) on untreated rows: −1 on a2001 and −(λ_2002 − λ_2001), i.e. b and n −1/2 on 2002
    # and +1/2 on 2001. Residuals: b2001 0 − 1/2, b2002 3 − 2.5, n2001 1/2, n2002 −1/2, a2001 0, n2003 0.
    # b: −1/2 · 1/2 + 1/2 · (−1/2) = −1/2;  n: +1/2;  a: its cohort × period mean is itself, 0. Variance 1/2.
    estimate = imputation(three_counties(), "y", **KEYS)
    assert estimate.influence.psi[:, 0] == pytest.approx([0, -0.5, 0.5], abs=1e-14)
    assert estimate.se.iloc[0] == pytest.approx(np.sqrt(0.5), abs=1e-14)
    assert estimate.df == np.inf


def test_two_stage_influence_by_hand():
    # τ = mean(2, 2.5, 5) = 19/6; the second stage adds Σ (effect − τ)/3: a (2 + 2.5 − 19/3)/3 = −11/18, b +11/18.
    # First stage, functional (1/3)(λ2 + λ3 + λ3 + 2α_a + α_b) of residual weights. Row n2003 fits exactly. The slopes
    # in λ2: ∂λ2 = ½(b2 − b1) + ½(n2 − n1); λ3 = −α_n, α_n = ½(n1 + n2 − λ2), α_b = ½(b1 + b2 − λ2).
    # functional/… = (1/3)[λ2 − 2α_n + α_b] = (1/3)[λ2 − n1 − n2 + λ2 + ½(b1 + b2) − ½λ2] = (1/3)[1.5λ2 − … ]
    # b: −(1/3)[¾(e_b2 − e_b1) + ½(e_b1 + e_b2)] = −(1/3)(¾) = −¼ with e_b1 = −½, e_b2 = ½
    # n: −(1/3)[¾(e_n2 − e_n1) − (e_n1 + e_n2)] = −(1/3)(−¾) = ¼
    estimate = two_stage(three_counties(), "y", **KEYS)
    assert estimate.influence.psi[:, 0] == pytest.approx([-11 / 18, 11 / 18 - 0.25, 0.25], abs=1e-14)


def test_points_of_both_agree():
    frame = load_panel("panel_unbalanced")
    with pytest.warns(Warning):
        a = imputation(frame, "y", **KEYS, weights="weight")
        b = two_stage(frame, "y", **KEYS, weights="weight")
        c = two_stage(frame, "y", shape="event", **KEYS, weights="weight")
    assert a.overall.point[0] == pytest.approx(b.point[0], abs=1e-12)
    event = a.aggregate("event").params
    assert all(c.params[t] == pytest.approx(event[t], abs=1e-12) for t in event.index)


def test_leaves_out_and_names_what_it_cannot_impute():
    frame = load_panel("panel_unbalanced")
    with pytest.warns(Warning):
        estimate = imputation(frame, "y", **KEYS)
    always = sorted(frame.loc[frame["g"] == 2000, "county"].unique())
    note = next(n for n in estimate.notes if "no untreated row" in n)
    assert all(str(c) in note for c in always[:3])
    flow = estimate.sample["flow"].to_frame().set_index("step")
    assert flow.loc["unit has no untreated row", "units"] >= len(always)
    assert estimate.sample["n_units"] == frame["county"].nunique() - flow.loc["unit has no untreated row", "units"]


def test_islands_of_untreated_rows_are_not_bridged():
    # early counties are untreated in 2001–2002, late ones only observed from 2003 on: no untreated county links the
    # periods, so the early counties' 2003 cannot be imputed, although 2003 has untreated rows
    early = table({"a": [1, 2, 5], "b": [2, 3, 7]}, {"a": 2003, "b": 2003})
    late = table({"c": [1, 2], "d": [4, 9]}, {}, first=2003)
    with pytest.raises(IdentificationError, match="no treated row has an untreated comparison"):
        imputation(pd.concat([early, late]), "y", **KEYS)


def test_clusters_must_contain_units():
    with pytest.raises(DesignError, match="changes within units"):
        imputation(load_panel("panel_small"), "y", **KEYS, cluster=("state", "year"))


def test_aggregating_factored_influence_equals_aggregating_the_whole():
    from dataclasses import replace

    from g287stats.estimate.covariance import Influence

    frame = load_panel("panel_small")
    estimate = imputation(frame, "y", **KEYS, cluster="state", covariates_by_time=["x1"], leads=2)
    whole = replace(estimate, influence=Influence(estimate.influence.psi, estimate.influence.keys))
    for kind in ("simple", "event", "cohort", "calendar"):
        if kind in ("cohort", "calendar"):
            estimate = imputation(frame, "y", **KEYS, cluster="state", covariates_by_time=["x1"])
            whole = replace(estimate, influence=Influence(estimate.influence.psi, estimate.influence.keys))
        a, b = estimate.aggregate(kind), whole.aggregate(kind)
        np.testing.assert_allclose(a.se, b.se, atol=1e-13)
        np.testing.assert_allclose(a.point, b.point, atol=1e-13)
    np.testing.assert_allclose(estimate.se, whole.se, atol=1e-13)
    np.testing.assert_allclose(estimate.cov(), whole.cov(), atol=1e-13)


def test_leaving_a_unit_out_of_its_mean_by_hand():
    """Two periods, treated a, b, c and never n, m: deviations of the treated grow by 3/(3 − 1), the others stay."""
    paths = {"a": [1, 2], "b": [2, 5], "c": [0, 9], "n": [4, 5], "m": [3, 1]}
    data = table(paths, dict.fromkeys("abc", 2002), first=2001)
    plain = imputation(data, "y", **KEYS)
    left = imputation(data, "y", small_sample="leave_out", **KEYS)
    assert left.point == pytest.approx(plain.point)
    psi, ours = plain.influence.psi[:, 0], left.influence.psi[:, 0]
    change = np.array([1, 3, 9])
    assert psi[:3] == pytest.approx((change - change.mean()) / 3)
    assert ours[:3] == pytest.approx(1.5 * psi[:3])
    assert ours[3:] == pytest.approx(psi[3:])
    assert plain.df == np.inf
    assert left.df == 4
    average = imputation(load_panel("panel_small"), "y", small_sample="leave_out", **KEYS).aggregate("event")
    assert average.df == 59


def test_leaving_a_unit_out_needs_another():
    with pytest.raises(IdentificationError, match=r"cells of one unit have no other to centre at"):
        imputation(three_counties(), "y", small_sample="leave_out", **KEYS)
    with pytest.raises(DesignError, match="choose 'unadjusted' or 'leave_out'"):
        imputation(three_counties(), "y", small_sample="loo", **KEYS)


@pytest.mark.parametrize("swap", [False, True])
def test_a_level_of_an_effect_without_untreated_rows_is_told_whatever_its_label(swap):
    """County × year cells by state: in the last (or first) state every row of the last years is treated."""
    rows = [(c, t) for c in range(6) for t in range(2000, 2005)]
    frame = pd.DataFrame(rows, columns=["county", "year"])
    frame["g"] = frame["county"].map({1: 2003.0, 4: 2003.0, 5: 2004.0})
    frame["state"] = np.where(frame["county"] < 4, 1, 2)
    if swap:
        frame["state"] = 3 - frame["state"]
    frame["y"] = np.random.default_rng(1).normal(size=len(frame))
    with pytest.warns(DesignWarning, match="1 periods|have no untreated comparison"):
        e = imputation(frame, "y", unit="county", time="year", cohort="g", fixed_effects=[("state", "year")])
    assert np.isfinite(e.point).all()


@pytest.mark.parametrize("estimator", [imputation, two_stage])
def test_only_units_treated_throughout_is_an_error_that_names_them(estimator):
    frame = pd.DataFrame({"county": np.repeat(np.arange(4), 3), "year": np.tile([2000, 2001, 2002], 4)})
    frame["g"] = frame["county"].map({0: 2000.0, 1: 1999.0})
    frame["y"] = np.arange(12.0) ** 1.5
    with pytest.raises(IdentificationError, match="nothing to impute; 2 units have no untreated row"):
        estimator(frame, "y", unit="county", time="year", cohort="g")


@pytest.mark.parametrize("by", [(), (("state", "year"),)])
def test_weights_over_twelve_orders_of_magnitude_do_not_move_identification(by):
    """A few rows that outweigh all others a million million times: same cells, same truth."""
    frame = staggered(3, n=40, t=8, effect=2.0, noise=0.0)
    rng = np.random.default_rng(4)
    frame["y"] = rng.normal(size=40)[frame["county"]] + 0.3 * frame["year"] + 2 * frame["d"] + 50
    frame["w"] = np.where(rng.random(len(frame)) < 0.08, 1e6, 1e-6)
    kw = {"unit": "county", "time": "year", "cohort": "g", "fixed_effects": by}
    plain, weighted = imputation(frame, "y", **kw), imputation(frame, "y", weights="w", **kw)
    assert weighted.terms == plain.terms
    assert len(weighted.terms) > 5
    np.testing.assert_allclose(weighted.point, 2, atol=1e-10)
