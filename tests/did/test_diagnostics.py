"""Goodman-Bacon decomposition, weights of two-way fixed effects, cohort sizes."""

import warnings

import numpy as np
import pandas as pd
import pytest
from reference_did import agree, expected, load_panel

from g287stats.did.diagnostics import bacon, cohort_sizes, twfe_weights
from g287stats.did.matching import balance_weights
from g287stats.errors import DesignError, DesignWarning, IdentificationError

KEYS = {"unit": "county", "time": "year", "cohort": "g"}


def panel(name):
    data = load_panel(name)
    data["g"] = data["g"].where(data["g"] > 0)
    return data


@pytest.mark.parametrize("name", ["panel_small", "panel_null"])
def test_bacon_matches_r_bacondecomp(name):
    b = bacon(panel(name), "y", **KEYS)
    keys = b.frame["treated"].astype(str) + "_vs_" + b.frame["control"].astype(str)
    for column in ("estimate", "weight"):
        rows = expected(name, f"bacon.{column}", "nocov")
        assert set(keys) == set(rows.index)
        for key, value in zip(keys, b.frame[column]):
            agree(value, None, rows.loc[key])
    agree(b.estimate, None, expected(name, "bacon.sum", "nocov").loc["weighted_sum"])
    types = expected(name, "bacon.type_weight", "nocov")
    assert set(types.index) == set(b.by_type.index)
    for kind, row in types.iterrows():
        agree(b.by_type.loc[kind, "weight"], None, row)


def test_without_standard_errors_few_treated_clusters_are_not_told():
    data = panel("panel_null")
    data["g"] = data["g"].where(data["county"].isin(data.loc[data["g"].notna(), "county"].unique()[:3]))
    with warnings.catch_warnings():
        warnings.simplefilter("error", DesignWarning)
        for diagnose in (bacon, twfe_weights, cohort_sizes):
            diagnose(data, "y", **KEYS)
        assert balance_weights(data, ["y"], exact=["state"], **KEYS).notes == ()


def dummies_coefficient(data, treatment):
    """Least squares with explicit dummies."""
    x = pd.get_dummies(data[["county", "year"]].astype(str), drop_first=True).to_numpy(float)
    x = np.column_stack([treatment, np.ones(len(data)), x])
    return np.linalg.lstsq(x, data["y"].to_numpy(), rcond=None)[0][0]


def test_bacon_with_always_treated_units_still_adds_up_to_the_coefficient():
    data = panel("panel_small")
    data.loc[data["county"].isin([1, 2, 3]), "g"] = 2006
    data.loc[data["county"].isin([4, 5]), "g"] = 2030
    with pytest.warns(match="treated from the first period"):
        b = bacon(data, "y", **KEYS)
    on = (data["year"] >= data["g"]).to_numpy(float)
    assert b.estimate == pytest.approx(dummies_coefficient(data, on), abs=1e-12)
    assert b.frame["weight"].sum() == pytest.approx(1, abs=1e-12)
    assert "Later vs Always Treated" in b.by_type.index
    assert b.forbidden_weight == pytest.approx(
        b.by_type["weight"].reindex(["Later vs Earlier Treated"]).sum()
        + b.by_type.loc["Later vs Always Treated", "weight"]
    )


def test_bacon_by_hand():
    """Units a (treated from period 1), b (never); y_a = 0, 3 and y_b = 1, 2: (3 - 0) - (2 - 1) = 2 with weight 1."""
    data = pd.DataFrame({"u": list("aabb"), "t": [0, 1, 0, 1], "y": [0.0, 3, 1, 2], "g": [1, 1, None, None]})
    b = bacon(data, "y", unit="u", time="t", cohort="g")
    assert b.frame[["treated", "control", "estimate", "weight"]].to_numpy().tolist() == [[1, "never", 2.0, 1.0]]


def test_bacon_ignores_row_order_and_accepts_a_treatment_column():
    data = panel("panel_small")
    one, two = bacon(data, "y", **KEYS), bacon(data.sample(frac=1, random_state=2), "y", **KEYS)
    pd.testing.assert_frame_equal(one.frame, two.frame)
    three = bacon(data, "y", unit="county", time="year", treatment="d")
    pd.testing.assert_frame_equal(one.frame, three.frame)
    assert one.plot().get_ylabel() == "2×2 estimate: y"


def test_bacon_refusals():
    data = panel("panel_small")
    with pytest.raises(DesignError, match=r"1 units are not observed in every period: 7\b"):
        bacon(data.drop(index=data.index[(data["county"] == 7) & (data["year"] == 2008)]), "y", **KEYS)
    with pytest.raises(IdentificationError, match="does not vary"):
        bacon(data.assign(g=np.nan), "y", **KEYS)
    with pytest.raises(DesignError, match="switches off in 60 units"):
        bacon(data.assign(d=(data["year"] == 2008)), "y", unit="county", time="year", treatment="d")


def test_cohort_sizes():
    sizes = cohort_sizes(panel("panel_small"), "y", weights="weight", **KEYS).set_index("cohort")
    assert sizes["n_units"].to_dict() == {2008: 10, 2010: 12, 2012: 8, "never": 30}
    assert sizes["n_treated_obs"].to_dict() == {2008: 60, 2010: 48, 2012: 16, "never": 0}
    assert sizes["periods_before"].to_dict() == {2008: 2, 2010: 4, 2012: 6, "never": 8}
    assert sizes["weight_share"].sum() == pytest.approx(1)
    with pytest.warns(match="treated from the first period"):
        unbalanced = cohort_sizes(panel("panel_unbalanced"), "y", **KEYS).set_index("cohort")
    assert unbalanced.loc["always", "n_units"] == 6
    assert unbalanced["n_obs"].sum() == panel("panel_unbalanced")["y"].notna().sum()


def test_twfe_weights_by_hand():
    """Units e (treated in periods 1 and 2), l (treated in 2), three periods: the known negative weight.

    D = e: 0 1 1, l: 0 0 1. Unit means 2/3, 1/3; period means 0, 1/2, 1; grand mean 1/2.
    Residuals: e: -1/6, 1/3, -1/6; l: 1/6, -1/3, 1/6. Sum of residual times D = 1/3 - 1/6 + 1/6 = 1/3, so the weights
    are (e,1) 1, (e,2) -1/2, (l,2) 1/2.
    """
    data = pd.DataFrame({"u": list("eeelll"), "t": [0, 1, 2] * 2, "d": [0, 1, 1, 0, 0, 1], "y": [0.0, 1, 4, 0, 0, 1]})
    w = twfe_weights(data, "y", unit="u", time="t", treatment="d")
    assert w.frame["weight"].tolist() == pytest.approx([1, -0.5, 0.5])
    assert w.estimate == pytest.approx(1 * 1 - 0.5 * 4 + 0.5 * 1)
    assert (w.negative_share, w.negative_sum) == (pytest.approx(1 / 3), pytest.approx(-0.5))
    # W = 3 w = 3, -1.5, 1.5: mean 1, standard deviation sqrt((4 + 6.25 + 0.25) / 3) = sqrt(3.5)
    assert w.sigma_to_zero == pytest.approx(0.5 / np.sqrt(3.5))


@pytest.mark.parametrize("weights", [None, "weight"])
def test_twfe_weights_return_the_coefficient_when_the_effects_are_known(weights):
    data = panel("panel_unbalanced")
    rng = np.random.default_rng(5)
    effect = rng.normal(size=len(data))
    on = (data["year"] >= data["g"]).to_numpy()
    rows = data["y"].notna()
    data["y"] = np.where(rows, data["county"] * 0.1 + (data["year"] - 2000) ** 2 * 0.01 + on * effect, np.nan)
    with pytest.warns(match="treated from the first period"):
        w = twfe_weights(data, "y", weights=weights, **KEYS)
    merged = w.frame.merge(data.assign(effect=effect), on=["county", "year"], suffixes=("", "_col"))
    own = merged["weight"] if weights is None else w.frame["weight"]
    assert w.estimate == pytest.approx(own.to_numpy() @ merged["effect"].to_numpy(), abs=1e-10)
    assert w.by_cohort["weight"].sum() == pytest.approx(1, abs=1e-12)


def test_twfe_weights_refuse_treatment_without_variation():
    with pytest.raises(IdentificationError, match="does not vary"):
        twfe_weights(panel("panel_small").assign(d=1), "y", unit="county", time="year", treatment="d")
