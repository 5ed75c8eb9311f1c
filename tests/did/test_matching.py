"""Weights for similar units, and the balance they achieve."""

import numpy as np
import pandas as pd
import pytest
from reference_did import load_panel
from scipy import optimize

from g287stats.did.matching import balance_table, balance_weights, match
from g287stats.did.twfe import twfe
from g287stats.errors import DesignError, DesignWarning, IdentificationError

KEYS = {"unit": "county", "time": "year", "cohort": "g"}
X = ["x1", "x2"]
pytestmark = pytest.mark.filterwarnings("ignore::g287stats.errors.DesignWarning")


def small():
    data = load_panel("panel_small")
    data["g"] = data["g"].where(data["g"] > 0)
    return data


def hand():
    """One period before: treated at 2 and 4 (mean 3); controls at 0, 3, 5."""
    x = {"a": 2.0, "b": 4.0, "p": 0.0, "q": 3.0, "r": 5.0}
    rows = [(u, t, v, 1.0 if u in "ab" else np.nan, u in "ap") for u, v in x.items() for t in (0, 1)]
    return pd.DataFrame(rows, columns=["county", "year", "x", "g", "north"])


def test_entropy_by_hand():
    """Two controls at 0 and 5 with mean 3: weights 2/5 and 3/5 of two treated units, whatever the entropy."""
    data = hand()
    b = balance_weights(data[data["county"] != "q"], ["x"], **KEYS)
    assert b.weights.to_dict() == pytest.approx({"a": 1, "b": 1, "p": 0.8, "r": 1.2})
    assert b.effective_n == pytest.approx({"treated": 2, "control": 4 / (0.64 + 1.44)})
    assert b.left_out.empty


def test_nearest_by_hand():
    """a (2) is nearest to q (3), b (4) to q or r at the same distance: q, the first in order. Without replacement
    a-q and b-r: total 2. With two neighbours a: q, p; b: q, r."""
    data = hand()
    assert match(data, ["x"], **KEYS).weights.to_dict() == pytest.approx({"a": 1, "b": 1, "p": 0, "q": 2, "r": 0})
    once = match(data, ["x"], replace=False, **KEYS)
    assert once.weights.to_dict() == pytest.approx({"a": 1, "b": 1, "p": 0, "q": 1, "r": 1})
    two = match(data, ["x"], neighbours=2, **KEYS)
    assert two.weights.to_dict() == pytest.approx({"a": 1, "b": 1, "p": 0.5, "q": 1, "r": 0.5})
    north = match(data, ["x"], exact=["north"], **KEYS)
    assert list(zip(north.pairs["treated"], north.pairs["control"])) == [("a", "p"), ("b", "q")]


def test_balance_table_by_hand():
    """Treated 2, 4: mean 3, variance 1. Controls 0, 3, 5: mean 8/3, variance (64 + 1 + 49)/27 = 38/9."""
    row = balance_table(hand(), ["x"], **KEYS).loc["x"]
    assert row["std_diff"] == pytest.approx((1 / 3) / np.sqrt((1 + 38 / 9) / 2))
    assert row["variance_ratio"] == pytest.approx(9 / 38)


@pytest.mark.parametrize("method", ["entropy", "overlap"])
def test_means_are_equal_to_machine_precision(method):
    b = balance_weights(
        small(), ["y", *X], method=method, on={"y": ("levels", "growth"), "x1": "levels", "x2": "levels"}, **KEYS
    )
    assert b.table.index.tolist() == ["y", "y growth", "x1", "x2"]
    assert np.abs(b.table["std_diff_weighted"]).max() < 1e-10
    assert np.abs(b.table["std_diff"]).max() > 0.05


def test_entropy_minimises_the_divergence_from_equal_weights():
    b = balance_weights(small(), X, **KEYS)
    data = small().drop_duplicates("county").set_index("county")
    x = data[X].to_numpy()
    treated = data["g"].notna().to_numpy()
    goal = x[treated].mean(0)
    z = x[~treated] - goal
    start = np.full(30, 1 / 30)
    loss = lambda w: np.sum(w * np.log(np.maximum(w, 1e-300) * 30))
    meet = [{"type": "eq", "fun": lambda w: w.sum() - 1}, {"type": "eq", "fun": lambda w: w @ z}]
    other = optimize.minimize(loss, start, bounds=[(1e-12, 1)] * 30, constraints=meet, tol=1e-12)
    ours = b.weights[~treated].to_numpy() / 30
    assert loss(ours) <= other.fun + 1e-9
    assert ours == pytest.approx(other.x, abs=1e-4)


def test_overlap_weights_follow_the_logit():
    import statsmodels.api as sm

    data = small().drop_duplicates("county").set_index("county")
    treated = data["g"].notna().to_numpy()
    p = sm.Logit(treated.astype(float), sm.add_constant(data[X].to_numpy())).fit(disp=0, tol=1e-12).predict()
    b = balance_weights(small(), X, method="overlap", **KEYS)
    assert b.weights.to_numpy() == pytest.approx(np.where(treated, 1 - p, p), abs=1e-8)


def test_growth_and_trends():
    data = small()
    table = balance_table(data, ["y"], on=("growth", "trends"), periods=(2006, 2007), **KEYS)
    assert table.index.tolist() == ["y growth", "y 2006", "y 2007"]
    row = table["mean_treated"]
    assert row["y growth"] == pytest.approx(row["y 2007"] - row["y 2006"])


def test_weights_feed_any_estimator():
    data = small()
    b = balance_weights(data, ["y", *X], **KEYS)
    frame = b.attach(data)
    assert len(frame) == 480
    e = twfe(frame, "y", weights="balance_weight", **KEYS)
    assert e.sample["n_units"] == 60
    m = match(data, X, **KEYS)
    assert m.attach(data)["county"].nunique() == (m.weights > 0).sum()
    with pytest.raises(DesignError, match="already in the frame"):
        b.attach(frame)


def test_what_must_not_matter():
    data = small()
    before = data.copy()
    for method in ("entropy", "overlap", "nearest"):
        one = balance_weights(data, ["y", *X], method=method, **KEYS)
        two = balance_weights(data.sample(frac=1, random_state=1), ["y", *X], method=method, **KEYS)
        assert np.array_equal(one.weights, two.weights)
        scaled = data.assign(y=1e4 + 50 * data["y"], county="k" + data["county"].astype(str).str.zfill(3))
        three = balance_weights(scaled, ["y", *X], method=method, **KEYS)
        assert three.weights.to_numpy() == pytest.approx(one.weights.to_numpy(), abs=1e-8)
    pd.testing.assert_frame_equal(data, before)


def test_no_overlap_names_the_covariate():
    data = small()
    data["big"] = np.where(data["g"].notna(), 10.0, 0.0) + data["x1"]
    for method, message in (("entropy", "treated mean of big"), ("overlap", "told apart by big")):
        with pytest.raises(IdentificationError, match=f"no overlap.*{message}"):
            balance_weights(data, ["x2", "big"], method=method, **KEYS)
    with pytest.raises(IdentificationError, match=r"no overlap.*furthest apart in big"):
        match(data, ["x2", "big"], caliper=0.01, **KEYS)
    inside = hand()
    inside["z"] = -inside["x"] + np.where(inside["g"].notna(), 0.5, 0) + 0.01 * inside["x"] ** 2
    with pytest.raises(IdentificationError, match="no overlap"):
        balance_weights(inside, ["x", "z"], **KEYS)


def test_units_of_measurement_do_not_matter():
    """A rate per person beside a population of millions: 1e13 apart."""
    data = small()
    plain = balance_weights(data, ["x1", "x2"], **KEYS)
    scaled = balance_weights(data.assign(x1=1e-6 * data["x1"], x2=1e7 * data["x2"]), ["x1", "x2"], **KEYS)
    np.testing.assert_allclose(scaled.weights, plain.weights, rtol=1e-6)


def test_columns_and_units_that_cannot_be_used_are_named():
    data = small()
    with pytest.raises(DesignError, match="combinations of the ones before them: twice"):
        balance_weights(data.assign(twice=2 * data["x1"] + 1), [*X, "twice"], **KEYS)
    with pytest.raises(DesignError, match="do not vary over units: one"):
        balance_weights(data.assign(one=1.0), ["one", "x1"], **KEYS)
    with pytest.raises(DesignError, match="do not vary over units: x1 growth"):
        balance_weights(data, ["x1"], on="growth", **KEYS)
    with pytest.warns(DesignWarning, match="10 units are left out of balancing"):
        b = balance_weights(data, X, periods=(2006, 2008), **KEYS)
    assert b.left_out["reason"].unique().tolist() == ["treated by 2008"]
    data.loc[data["county"] == 3, "x1"] = np.nan
    b = balance_weights(data, X, **KEYS)
    assert 3 not in b.weights.index
    with pytest.raises(DesignError, match="period 1999 is not on the calendar"):
        balance_weights(data, X, periods=(1999, 2007), **KEYS)


def test_unmatched_treated_units_are_listed():
    b = match(hand(), ["x"], exact=["north"], caliper=0.7, **KEYS)
    assert b.left_out["county"].tolist() == ["a"]
    assert b.estimand == "matched treated"
    assert any("1 treated units have no match" in n for n in b.notes)
    assert b.plot().get_xlabel().startswith("standardised")


def staggered():
    """Twelve units, 2001–2008: cohorts 2004 (0–2) and 2007 (3–5), six never; v is the unit's number in every row."""
    rows = [(f"{i:02d}", t, (2004.0, 2007.0, np.nan, np.nan)[i // 3]) for i in range(12) for t in range(2001, 2009)]
    data = pd.DataFrame(rows, columns=["county", "year", "g"])
    data["v"] = (data["county"].astype(int) * 5) % 12
    return data.assign(d=(data["year"] >= data["g"]) * 1, w=1.0 + data["v"] % 3)


@pytest.mark.parametrize("who", [{"cohort": "g"}, {"treatment": "d"}])
def test_who_is_treated_is_read_from_all_rows(who):
    """v known in 2001 only, or missing once treatment begins: the same weights as with v in every row."""
    data = staggered()
    keys = {"unit": "county", "time": "year", **who}
    whole = balance_weights(data, ["v"], weights="w", **keys)
    controls = [f"{i:02d}" for i in range(6, 12)]
    assert whole.weights.index.tolist() == [f"{i:02d}" for i in range(12)]
    for seen in (data["year"] == 2001, data["d"] == 0, data["year"] <= 2003):
        part = data.assign(v=data["v"].where(seen), w=data["w"].where(seen))
        found = balance_weights(part, ["v"], weights="w", **keys)
        pd.testing.assert_series_equal(found.weights, whole.weights)
        pd.testing.assert_frame_equal(found.table, whole.table)
        assert found.left_out.empty and found.notes == whole.notes
        assert balance_table(part, ["v"], **keys).loc["v", "mean_treated"] == data["v"][data["g"].notna()].mean()
        assert set(match(part, ["v"], **keys).pairs["control"]) <= set(controls)


def test_units_without_a_balancing_value_are_listed_with_the_variable():
    data = staggered()
    data["v"] = data["v"].where(data["county"] != "01")
    data["k"] = data["v"].where(~data["county"].isin(["02", "08"])) ** 2
    data["north"] = (data["county"].astype(int) % 2).where(data["county"] != "09")
    data["w"] = data["w"].where(data["county"] != "10")
    b = match(data, ["v", "k"], weights="w", exact=["north"], **KEYS)
    assert b.left_out["county"].tolist() == ["01", "02", "08", "09", "10"]
    lacks = "not observed enough in the window 2001 to 2003: "
    assert b.left_out["reason"].tolist() == [lacks + "v, k", lacks + "k", lacks + "k", "missing north", "missing w"]
    assert any("5 units are left out of balancing" in note for note in b.notes)
    with pytest.raises(DesignError, match="'k' is not observed in the window 2001 to 2003"):
        balance_weights(data.assign(k=data["v"].where(data["year"] > 2005)), ["v", "k"], **KEYS)
    with pytest.raises(DesignError, match=r"(?s)'a' is not numeric.*'b' is not numeric"):
        balance_weights(data.assign(a="x", b="y"), ["v", "a", "b"], **KEYS)


def test_treatment_that_was_never_seen_off_or_is_unknown():
    """06 enters in 2003 treated: it is no control and does not move the window; 07 has an unknown year."""
    data = staggered()
    data = data[~((data["county"] == "06") & (data["year"] < 2003))]
    data["d"] = data["d"].mask(data["county"] == "06", 1).where(~((data["county"] == "07") & (data["year"] == 2002)))
    data["d"] = data["d"].where(data["county"] != "08")
    b = balance_weights(data, ["v"], unit="county", time="year", treatment="d")
    assert b.left_out.to_numpy().tolist() == [["06", "treated by 2003"], ["08", "missing d in every row"]]
    assert any("missing d in 9 rows of 2 units" in note for note in b.notes)
