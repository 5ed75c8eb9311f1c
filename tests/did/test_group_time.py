"""Group-time effects: a case by hand, what must not matter, what must be recovered, what is refused."""

import importlib.util
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import reference_did as reference
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from g287stats.did.group_time import att_gt
from g287stats.errors import DesignError, DesignWarning, IdentificationError, InferenceWarning
from g287stats.inference.equivalence import equivalence

KEYS = {"unit": "county", "time": "year", "cohort": "g"}
ROOT = Path(__file__).parents[2]


def quiet(frame, outcome="y", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        return att_gt(frame, outcome, **{**KEYS, **options})


def panel(n=40, periods=7, seed=1, noise=1.0, cohorts=(2003, 2004, 2006)):
    """Counties 'c000' …; cohorts drawn with odds that depend on x; effect 1 + 0.5 e + 0.1 (g − 2003); x matters."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    g = np.full(n, np.nan)
    picked = np.argsort(-(0.5 * x + rng.gumbel(size=n)))[: n // 2]
    g[picked] = np.resize(cohorts, n // 2)
    year = 2000 + np.arange(periods)
    t = np.arange(periods)[None, :]
    effect = np.where(year >= g[:, None], 1 + 0.5 * (year - g[:, None]) + 0.1 * (g[:, None] - 2003), 0.0)
    y = rng.normal(size=(n, 1)) + 0.3 * t + 0.2 * x[:, None] * t + effect + noise * rng.normal(size=(n, periods))
    return pd.DataFrame(
        {
            "county": np.repeat([f"c{i:03d}" for i in range(n)], periods),
            "state": np.repeat([f"s{i % 8}" for i in range(n)], periods),
            "year": np.tile(year, n),
            "g": np.repeat(g, periods),
            "x": np.repeat(x, periods),
            "z": rng.normal(size=n * periods),
            "w": np.repeat(rng.uniform(0.5, 2, size=n), periods),
            "y": y.ravel(),
        }
    )


# ---- by hand ---------------------------------------------------------------------------------------------------------
def test_six_counties_by_hand():
    """Three periods; a, b treated in 2; c in 3; d, e, f never.

             1   2   3      2−1  3−1  3−2
        a    1   5   7       4    6    2
        b    3   5  10       2    7    5
        c    2   3   9       1    7    6
        d    0   1   1       1    1    0
        e    4   4   6       0    2    2
        f    1   3   4       2    3    1

    Controls never treated, varying base:
        att(2,2) = mean(4, 2) − mean(1, 0, 2) = 3 − 1 = 2
        att(2,3) = mean(6, 7) − mean(1, 2, 3) = 6.5 − 2 = 4.5      (base 1)
        att(3,2) = 1 − 1 = 0                                       (base 1: a lead)
        att(3,3) = 6 − mean(0, 2, 1) = 5                           (base 2)
    Not yet treated: c is a control for cohort 2 in period 2, not in period 3:
        att(2,2) = 3 − mean(1, 1, 0, 2) = 2
    Influence of att(2,2), never treated: (Δ − mean)/group size, sign − for controls:
        a (4−3)/2 = ½, b −½, d −(1−1)/3 = 0, e −(0−1)/3 = ⅓, f −⅓;  se² = ½ + 2/9 = 13/18
    Shares 2/6 and 1/6: simple = (2·2 + 2·4.5 + 1·5)/5 = 18/5
    Event time 0: (2·2 + 1·5)/3 = 3; 1: 4.5; −1: 0; overall of events = (3 + 4.5)/2 = 3.75
    Cohort 2: 3.25, cohort 3: 5, overall (2·3.25 + 5)/3 = 23/6
    Calendar 2: 2, calendar 3: (2·4.5 + 5)/3 = 14/3, overall 10/3
    """
    y = {"a": (1, 5, 7), "b": (3, 5, 10), "c": (2, 3, 9), "d": (0, 1, 1), "e": (4, 4, 6), "f": (1, 3, 4)}
    g = {"a": 2, "b": 2, "c": 3}
    rows = [(k, t + 1, g.get(k), v) for k, series in y.items() for t, v in enumerate(series)]
    frame = pd.DataFrame(rows, columns=["county", "year", "g", "y"])
    gt = att_gt(frame, "y", **KEYS)
    assert gt.params.to_dict() == pytest.approx({"att(2,2)": 2, "att(2,3)": 4.5, "att(3,2)": 0, "att(3,3)": 5})
    np.testing.assert_allclose(gt.influence.psi[:, 0], [0.5, -0.5, 0, 0, 1 / 3, -1 / 3], atol=1e-15)
    assert gt.se["att(2,2)"] == pytest.approx(np.sqrt(13 / 18))
    assert att_gt(frame, "y", control="notyet", **KEYS).params["att(2,2)"] == pytest.approx(2)
    assert gt.aggregate("simple").point == pytest.approx([3.6])
    event = gt.aggregate("event")
    assert event.params.to_dict() == pytest.approx({"-1": 0, "0": 3, "1": 4.5})
    assert event.overall.point == pytest.approx([3.75])
    cohort = gt.aggregate("cohort")
    assert cohort.params.to_dict() == pytest.approx({"2": 3.25, "3": 5})
    assert cohort.overall.point == pytest.approx([23 / 6])
    calendar = gt.aggregate("calendar")
    assert calendar.params.to_dict() == pytest.approx({"2": 2, "3": 14 / 3})
    assert calendar.overall.point == pytest.approx([10 / 3])
    # the shares are estimated. Event time 0: θ = (P₂ 2 + P₃ 5)/(P₂ + P₃), dθ/dP₂ = (2 − 3)/½, dθ/dP₃ = (5 − 3)/½
    share = np.array([[4, -1], [4, -1], [-2, 5], [-2, -1], [-2, -1], [-2, -1]]) / 36  # (1{g} − P_g)/6
    psi = gt.influence.psi
    expected = (2 * psi[:, 0] + psi[:, 3]) / 3 + share @ [-2, 4]
    np.testing.assert_allclose(event.influence.psi[:, 1], expected, atol=1e-15)


def test_neyman_is_welch():
    """Without covariates and against the never treated every cell is Welch's t test of the changes, p-value and all."""
    frame = panel(n=30, seed=4)
    gt = quiet(frame, small_sample="neyman")
    wide = frame.pivot(index="county", columns="year", values="y")
    g = frame.groupby("county")["g"].first()
    for row, att, se, p in zip(gt.labels.itertuples(), gt.point, gt.se, gt.p_values()):
        base = row.cohort - 1 if row.event_time >= 0 else row.time - 1
        change = wide[row.time] - wide[base]
        welch = stats.ttest_ind(change[g == row.cohort], change[g.isna()], equal_var=False)
        assert att / se == pytest.approx(welch.statistic, rel=1e-12)
        assert p == pytest.approx(welch.pvalue, rel=1e-9)
        one = gt.select([row.term])
        assert one.df == pytest.approx(welch.df, rel=1e-9)
        interval = welch.confidence_interval()
        np.testing.assert_allclose(one.conf_int().to_numpy()[0], [interval.low, interval.high], rtol=1e-9)
    assert gt.df == pytest.approx(min(gt.select([t]).df for t in gt.terms))
    assert (gt.bands()["band_low"] < gt.conf_int()["conf_low"]).all()
    assert equivalence(gt, 9.0, term=gt.terms[2]).df == pytest.approx(gt.select([gt.terms[2]]).df)
    plain = quiet(frame)
    np.testing.assert_array_equal(gt.point, plain.point)
    assert plain.df == np.inf


def test_neyman_scales_treated_and_controls():
    """With a covariate and not-yet-treated controls: √(n_g/(n_g − 1)) and √(n_c/(n_c − 1 − 1)), cell by cell."""
    frame = panel(n=40, seed=6)
    options = {"control": "notyet", "covariates": ["x"], "base": "universal"}
    did, neyman = (quiet(frame, small_sample=s, **options) for s in ("did", "neyman"))
    g = frame.groupby("county")["g"].first().to_numpy()
    for row, a, b in zip(did.labels.itertuples(), did.influence.psi.T, neyman.influence.psi.T):
        treated = g == row.cohort
        controls = ~treated & ~(g <= max(row.time, row.cohort - 1))
        n_g, n_c = treated.sum(), controls.sum()
        np.testing.assert_allclose(b[treated], a[treated] * np.sqrt(n_g / (n_g - 1)), atol=1e-15)
        np.testing.assert_allclose(b[controls], a[controls] * np.sqrt(n_c / (n_c - 2)), atol=1e-15)
        assert (b[~treated & ~controls] == 0).all()
    np.testing.assert_allclose(neyman.cells.mass_influence, did.cells.mass_influence * np.sqrt(40 / 39))
    assert neyman.aggregate("event").reference == (-1,)
    assert np.isfinite(neyman.aggregate("event").df)  # the base has no variance and no degrees of freedom
    same(neyman, quiet(frame.sample(frac=1, random_state=1), small_sample="neyman", **options))


def test_neyman_refuses_what_it_cannot_estimate():
    frame = panel(seed=7)
    with pytest.raises(DesignError, match="not cluster='state'"):
        quiet(frame, small_sample="neyman", cluster="state")
    with pytest.raises(DesignError, match="not panel='keep_unbalanced'"):
        quiet(frame, small_sample="neyman", panel="keep_unbalanced")
    assert len(quiet(frame, small_sample="neyman", cluster="county").point)
    first = frame.loc[frame["g"] == 2004, "county"].iloc[0]
    alone = frame[(frame["g"] != 2004) | (frame["county"] == first)]
    with pytest.raises(IdentificationError, match=r"cohorts of one unit have no variance within.*2004"):
        quiet(alone, small_sample="neyman")
    never = frame.loc[frame["g"].isna(), "county"].unique()[:2]
    few = frame[frame["g"].notna() | frame["county"].isin(never)]
    with pytest.raises(IdentificationError, match=r"cells with fewer than 3 controls.*\(2003,2001\)"):
        quiet(few, small_sample="neyman", covariates=["x"], method="reg")


# ---- what must be recovered ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["dr", "reg"])
@pytest.mark.parametrize("control", ["never", "notyet"])
@pytest.mark.parametrize("base", ["varying", "universal"])
@pytest.mark.parametrize("mode", ["balanced_only", "keep_unbalanced"])
def test_noiseless_panel_returns_the_truth(method, control, base, mode):
    frame = panel(noise=0.0)
    if mode == "keep_unbalanced":  # levels by county are noise to repeated cross sections unless x explains them
        frame["y"] -= frame.groupby("county")["y"].transform("first")
    gt = quiet(frame, method=method, control=control, base=base, covariates=["x"], panel=mode)
    labels = gt.labels
    truth = np.where(labels["event_time"] >= 0, 1 + 0.5 * labels["event_time"] + 0.1 * (labels["cohort"] - 2003), 0)
    np.testing.assert_allclose(gt.point, truth, atol=1e-10)


def test_time_varying_covariates_are_read_in_the_base_period():
    """Every cell against the plain formulas of the reference implementation with x of the base period."""
    spec = importlib.util.spec_from_file_location("direct", Path(__file__).parents[1] / "reference/did/direct.py")
    direct = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(direct)
    frame = panel(n=60, seed=5)
    for base in ("varying", "universal"):
        gt = quiet(frame, covariates=["x", "z"], control="notyet", base=base, weights="w")
        wide = {k: frame.pivot(index="county", columns="year", values=k) for k in ("y", "x", "z")}
        g = frame.groupby("county")["g"].first().to_numpy()
        w = frame.groupby("county")["w"].first().to_numpy()
        for row, att, psi in zip(gt.labels.itertuples(), gt.point, gt.influence.psi.T):
            if row.reference:
                continue
            b = row.cohort - 1 if row.time >= row.cohort or base == "universal" else row.time - 1
            use = (g == row.cohort) | ~(g <= max(row.time, b))
            x = np.column_stack([np.ones(len(g)), wide["x"][b], wide["z"][b]])[use]
            dy = (wide["y"][row.time] - wide["y"][b]).to_numpy()[use]
            value, influence = direct.did_2x2(dy, (g[use] == row.cohort) * 1.0, x, w[use], "dr")
            assert att == pytest.approx(value, abs=1e-10)
            np.testing.assert_allclose(psi[use], influence / use.sum(), atol=1e-10)
            assert (psi[~use] == 0).all()


@pytest.mark.parametrize("method", ["dr", "ipw", "reg"])
@pytest.mark.parametrize("mode", ["balanced_only", "pairwise", "keep_unbalanced"])
def test_influence_is_the_derivative_in_each_units_weight(method, mode):
    """Infinitesimal jackknife of cells and of aggregates with estimated shares: ψ_i = w_i ∂θ/∂w_i."""
    frame = panel(n=30, seed=3)
    if mode != "balanced_only":
        frame = frame.drop(frame.index[[3, 50, 120]])
    options = {"method": method, "control": "notyet", "covariates": ["x"], "weights": "w", "panel": mode}
    gt = quiet(frame, **options)
    kinds = ("event", "simple", "cohort", "calendar")

    def everything(estimate):
        parts = [estimate, *(estimate.aggregate(k) for k in kinds)]
        return [*parts, *(p.overall for p in parts if p.overall is not None)]

    influence = np.hstack([e.influence.psi for e in everything(gt)])
    h = 1e-5
    for position, name in list(enumerate(sorted(frame["county"].unique())))[::7]:
        sides = []
        for sign in (1, -1):
            moved = frame.copy()
            moved.loc[moved["county"] == name, "w"] *= 1 + sign * h
            sides.append(np.concatenate([e.point for e in everything(quiet(moved, **options))]))
        np.testing.assert_allclose(influence[position], (sides[0] - sides[1]) / (2 * h), atol=2e-8)


OPTIONS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["dr", "ipw", "reg"]),
        "control": st.sampled_from(["never", "notyet"]),
        "base": st.sampled_from(["varying", "universal"]),
        "covariates": st.sampled_from([(), ("x",), ("x", "z")]),
        "weights": st.sampled_from([None, "w"]),
        "anticipation": st.sampled_from([0, 1]),
    }
)


# ---- incomplete panels -----------------------------------------------------------------------------------------------
def test_four_units_with_a_hole_by_hand():
    """Three periods; a, b treated in 2; c, d never; b is not observed in 3, d not in 1.

             1   2   3      2−1  3−1
        a    1   5   7       4    6
        b    3   5           2
        c    0   1   1       1    1
        d        4   6

    Varying base: att(2,2) = mean(4, 2) − 1 = 2, att(2,3) = 6 − 1 = 5; d is in no cell and leaves. Of the three that
    stay two are treated. Influence of att(2,2): a (4 − 3)/2 = ½, b −½, c 0; of att(2,3): 0 (one against one).
    With d observed in 1 as 2 (2−1: 2, 3−1: 4): att(2,2) = 3 − 1.5, att(2,3) = 6 − 2.5, influence of the controls
    ¼ and −¼, then ¾ and −¾. Neyman's variance of att(2,2): s²/n = 2/2 + 0.5/2.
    """
    y = {"a": (1, 5, 7), "b": (3, 5, None), "c": (0, 1, 1), "d": (None, 4, 6)}
    rows = [(k, t + 1, 2.0 if k in "ab" else np.nan, v) for k, series in y.items() for t, v in enumerate(series)]
    frame = pd.DataFrame(rows, columns=["county", "year", "g", "y"]).astype({"y": float}).dropna(subset=["y"])
    with pytest.warns(DesignWarning, match="1 units are not observed in both periods of any cell .*: d"):
        gt = att_gt(frame, "y", panel="pairwise", **KEYS)
    assert gt.params.to_dict() == pytest.approx({"att(2,2)": 2, "att(2,3)": 5})
    np.testing.assert_allclose(gt.influence.psi, [[0.5, 0], [-0.5, 0], [0, 0]], atol=1e-15)
    assert list(gt.influence.labels) == ["a", "b", "c"]
    assert gt.cells.frame["mass"].tolist() == pytest.approx([2 / 3, 2 / 3])
    whole = pd.concat([frame, pd.DataFrame({"county": ["d"], "year": [1], "g": [np.nan], "y": [2.0]})])
    gt = quiet(whole, panel="pairwise")
    assert gt.params.to_dict() == pytest.approx({"att(2,2)": 1.5, "att(2,3)": 3.5})
    expected = np.array([[0.5, 0], [-0.5, 0], [0.25, 0.75], [-0.25, -0.75]])
    np.testing.assert_allclose(gt.influence.psi, expected, atol=1e-15)
    assert gt.sample["n_obs"] == 11
    assert not gt.sample["balanced"]
    with pytest.raises(IdentificationError, match=r"one unit have no variance.*2"):  # att(2,3) rests on a alone
        quiet(whole, panel="pairwise", small_sample="neyman")
    two = quiet(whole[whole["year"] < 3], panel="pairwise", small_sample="neyman")
    assert two.se.tolist() == pytest.approx([np.sqrt(1.25)])


@settings(max_examples=15, deadline=None)
@given(options=OPTIONS)
def test_pairwise_is_balanced_on_a_balanced_panel(options):
    frame = panel(seed=30)
    a, b = quiet(frame, **options), quiet(frame, panel="pairwise", **options)
    np.testing.assert_array_equal(a.point, b.point)
    np.testing.assert_array_equal(a.se.to_numpy(), b.se.to_numpy())


@pytest.mark.parametrize("method", ["dr", "ipw", "reg"])
@pytest.mark.parametrize("covariates", [("x",), ("x", "z")])
def test_pairwise_cells_are_the_balanced_cells_of_their_units(method, covariates):
    """Each cell is that of the two periods alone, on the units observed in both."""
    frame = panel(n=90, seed=31)
    frame = frame[np.random.default_rng(3).random(len(frame)) > 0.1]
    options = {"method": method, "covariates": covariates, "control": "notyet", "weights": "w"}
    gt = quiet(frame, panel="pairwise", cluster="state", **options)
    psi = pd.DataFrame(gt.influence.psi, index=gt.influence.labels, columns=gt.terms)
    for row in gt.labels.itertuples():
        base = row.cohort - 1 if row.event_time >= 0 else row.time - 1
        pair = frame[frame["year"].isin([base, row.time]) & ((frame["g"] == row.cohort) | ~(frame["g"] <= row.time))]
        pair = pair[pair.groupby("county")["year"].transform("size") == 2]
        moved = pair.assign(g=pair["g"].where(pair["g"] == row.cohort).mask(pair["g"] == row.cohort, row.time))
        if row.event_time != 0:  # two periods: treated in the later one
            moved["year"] = moved["year"].map({base: row.time - 1, row.time: row.time})
        one = quiet(moved, **options)
        assert gt.params[row.term] == pytest.approx(one.point[0], abs=1e-10)
        np.testing.assert_allclose(psi.loc[one.influence.labels, row.term], one.influence.psi[:, 0], atol=1e-10)
        assert (psi.drop(one.influence.labels)[row.term] == 0).all()


def test_pairwise_lists_cells_that_nobody_is_observed_for():
    frame = panel(seed=32)
    gone = (frame["g"] == 2004) & (frame["year"] == 2005)
    with pytest.warns(DesignWarning, match=r"1 cohort × time cells have no treated or no controls .*\(2004,2005\)"):
        gt = att_gt(frame[~gone], "y", panel="pairwise", **KEYS)
    refused = gt.sample["refused"]
    assert list(zip(refused["cohort"], refused["time"], refused["reason"])) == [(2004, 2005, "no treated")]
    kept = quiet(frame).select(gt.terms)
    np.testing.assert_allclose(gt.point, kept.point, atol=1e-12)
    shuffled = quiet(frame[~gone].sample(frac=1, random_state=5), panel="pairwise")
    np.testing.assert_array_equal(gt.point, shuffled.point)
    np.testing.assert_array_equal(gt.se.to_numpy(), shuffled.se.to_numpy())


# ---- what must not matter --------------------------------------------------------------------------------------------
def same(a, b, scale=1.0, atol=1e-9):
    assert a.terms == b.terms
    np.testing.assert_allclose(scale * a.point, b.point, atol=atol)
    np.testing.assert_allclose(abs(scale) * a.se.to_numpy(), b.se.to_numpy(), atol=atol)


@settings(max_examples=12, deadline=None)
@given(options=OPTIONS, seed=st.integers(0, 10**6))
def test_row_order_changes_no_bit(options, seed):
    frame = panel(seed=11)
    before = frame.copy(deep=True)
    first = quiet(frame, cluster="state", **options)
    second = quiet(frame.sample(frac=1, random_state=seed), cluster="state", **options)
    pd.testing.assert_frame_equal(frame, before)
    for a, b in ((first, second), (first.aggregate("event"), second.aggregate("event"))):
        assert a.terms == b.terms
        assert (a.point == b.point).all()
        np.testing.assert_array_equal(a.se.to_numpy(), b.se.to_numpy())
        np.testing.assert_array_equal(a.bands().to_numpy(), b.bands().to_numpy())


@settings(max_examples=12, deadline=None)
@given(options=OPTIONS, scale=st.floats(0.01, 100), constant=st.floats(-1e3, 1e3))
def test_scale_constants_and_names(options, scale, constant):
    frame = panel(seed=12)
    first = quiet(frame, **options)
    other = frame.copy()
    other["y"] = scale * other["y"] + constant + 50 * other["state"].str[1:].astype(int)  # any constant by county
    same(first, quiet(other, **options), scale=scale, atol=1e-8 * max(1, scale))
    other = frame.copy()
    other["county"] = other["county"].map(lambda name: f"z{999 - int(name[1:])}")
    same(first, quiet(other, **options))
    other = frame.copy()
    other["x"], other["z"], other["w"] = 3 - 20 * other["x"], 7 + other["z"] + other["x"], 5 * other["w"]
    if options["covariates"] != ("z",):
        same(first, quiet(other, **options))
    other = frame.copy()
    other["year"], other["g"] = other["year"] - 1900, other["g"] - 1900
    np.testing.assert_allclose(first.point, quiet(other, **options).point, atol=1e-12)


@pytest.mark.parametrize("method", ["dr", "ipw", "reg"])
def test_a_county_counted_twice_is_a_weight_of_two(method):
    frame = panel(seed=13)
    twice = frame["county"].isin(["c000", "c007", "c023"])
    copy = frame[twice].assign(county=lambda d: d["county"] + "copy")
    frame["two"] = np.where(twice, 2.0, 1.0)
    a = quiet(pd.concat([frame, copy]), method=method, covariates=["x"])
    b = quiet(frame, method=method, covariates=["x"], weights="two")
    np.testing.assert_allclose(a.point, b.point, atol=1e-10)
    for kind in ("event", "simple", "cohort", "calendar"):
        np.testing.assert_allclose(a.aggregate(kind).point, b.aggregate(kind).point, atol=1e-10)


def test_without_covariates_the_methods_are_one():
    frame = panel(seed=14)
    same(quiet(frame, method="dr"), quiet(frame, method="ipw"), atol=1e-14)
    same(quiet(frame, method="dr"), quiet(frame, method="reg"), atol=1e-14)


def test_base_period_moves_leads_only():
    frame = panel(seed=15)
    a = quiet(frame, covariates=["x"])
    b = quiet(frame, covariates=["x"], base="universal")
    after = a.labels.loc[a.labels["event_time"] >= 0, "term"].tolist()
    np.testing.assert_allclose(a.params[after], b.params[after], atol=1e-12)
    event = b.aggregate("event")
    assert event.reference == (-1,)
    assert event.params["-1"] == 0
    assert np.isnan(event.se["-1"])
    assert set(b.reference) == {f"att({g},{g - 1})" for g in (2003, 2004, 2006)}


def test_hash_seed_changes_no_bit():
    script = """
import numpy as np, pandas as pd
from g287stats.did.group_time import att_gt
rng = np.random.default_rng(1)
frame = pd.DataFrame({"county": np.repeat([f"c{i}" for i in range(30)], 5), "year": np.tile(range(5), 30)})
frame["state"] = "s" + (frame.index // 20).astype(str)
frame["g"] = np.repeat(np.resize([2, 3, np.nan], 30), 5)
frame["x"], frame["y"] = np.repeat(rng.normal(size=30), 5), rng.normal(size=150)
es = att_gt(frame, "y", unit="county", time="year", cohort="g", covariates=["x"], control="notyet", cluster="state")
es = es.aggregate("event")
print(es.point.tobytes().hex(), es.se.to_numpy().tobytes().hex(), es.bands().to_numpy().tobytes().hex())
"""
    outputs = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True, cwd=ROOT)
        outputs.add(run.stdout)
    assert len(outputs) == 1


def test_blocks_are_the_whole():
    """Sums, squares and combinations formed block by block equal those of the dense array."""
    gt = quiet(panel(seed=17), covariates=["x"], control="notyet", base="universal", cluster="state")
    psi = gt.influence.psi
    weights = np.random.default_rng(1).normal(size=(5, psi.shape[1]))
    codes = gt.influence.codes("state")
    sums = np.array([psi[codes == k].sum(axis=0) for k in range(8)])
    np.testing.assert_allclose(gt.influence.sums(codes), sums, atol=1e-14)
    np.testing.assert_allclose(gt.influence.sum_squares(codes), (sums**2).sum(axis=0), atol=1e-14)
    np.testing.assert_allclose(gt.influence.combine(weights).psi, psi @ weights.T, atol=1e-13)
    np.testing.assert_allclose(gt.cov().to_numpy(), sums.T @ sums, atol=1e-13)
    one = np.zeros((1, psi.shape[1]))
    one[0, 3] = 2.0
    np.testing.assert_allclose(gt.influence.combine(one).psi[:, 0], 2 * psi[:, 3], atol=1e-15)


# ---- the calendar ----------------------------------------------------------------------------------------------------
def test_months_are_periods():
    frame = panel(seed=18)
    month = pd.period_range("2012-11", periods=7, freq="M")
    monthly = frame.assign(
        year=[month[y - 2000] for y in frame["year"]],
        g=[pd.NaT if np.isnan(v) else month[int(v) - 2000] for v in frame["g"]],
    )
    a, b = quiet(frame), quiet(monthly)
    np.testing.assert_array_equal(a.point, b.point)
    assert b.terms[2] == "att(2013-02,2013-02)"
    assert list(b.labels["event_time"]) == list(a.labels["event_time"])
    assert b.aggregate("calendar").terms[0] == "2013-02"
    assert b.labels["time"].dtype == "period[M]"


def test_a_gap_keeps_its_place():
    frame = panel(seed=19)
    gap = frame[frame["year"] != 2002]
    gt = quiet(gap)
    assert "att(2003,2002)" not in gt.terms
    wide = frame.pivot(index="county", columns="year", values="y")
    change = (wide[2003] - wide[2001]).groupby(frame.groupby("county")["g"].first(), dropna=False).mean()
    assert gt.params["att(2003,2003)"] == pytest.approx(change[2003] - change[np.nan])  # the base is 2001
    assert set(gt.labels["event_time"]) == {t - g for g in (2003, 2004, 2006) for t in (2001, 2003, 2004, 2005, 2006)}


# ---- who is left out, and what is refused ----------------------------------------------------------------------------
def test_always_treated_and_late_counties():
    frame = panel(seed=20)
    frame.loc[frame["county"].isin(["c001", "c002"]), "g"] = 2000
    frame.loc[frame["county"] == "c003", "g"] = 2050
    with pytest.warns(DesignWarning, match=r"2 units treated from the first period on .* c001, c002"):
        gt = att_gt(frame, "y", **KEYS)
    assert gt.sample["n_units"] == 38
    flow = gt.sample["flow"].to_frame().set_index("step")
    assert flow.loc["always treated", "rows"] == -14
    assert flow.loc["kept", "rows"] == gt.sample["n_obs"] == 38 * 7
    assert 2050 not in set(gt.labels["cohort"])
    never = frame[~frame["county"].isin(["c001", "c002"])].assign(g=lambda d: d["g"].where(d["g"] < 2050))
    np.testing.assert_allclose(gt.point, quiet(never).point, atol=1e-14)


def test_the_first_period_is_that_of_counties_that_can_be_compared():
    """2000 is observed for an always-treated county alone: without it the panel, and cohort 2001, start in 2001."""
    frame = panel(seed=20)
    frame.loc[frame["county"] == "c001", "g"] = 2000
    frame.loc[frame["county"].isin(["c002", "c005"]), "g"] = 2001
    frame = frame[(frame["year"] > 2000) | (frame["county"] == "c001")]
    for mode in ("balanced_only", "keep_unbalanced"):
        gt = quiet(frame, panel=mode)
        flow = gt.sample["flow"].to_frame()
        assert dict(zip(flow["step"], flow["units"]))["always treated"] == 2
        same(gt, quiet(frame[~frame["county"].isin(["c001", "c002", "c005"])], panel=mode))
    with pytest.raises(DesignError, match="always treated"):
        quiet(frame[frame["g"] <= 2001])


def test_counties_with_gaps_are_counted():
    frame = panel(seed=21).drop(index=[3, 10])
    frame.loc[20, "y"] = np.nan
    with pytest.warns(DesignWarning, match=r"3 units not observed in every period .*keep_unbalanced.*c000, c001, c002"):
        gt = att_gt(frame, "y", **KEYS)
    assert gt.sample["n_units"] == 37
    flow = gt.sample["flow"].to_frame()
    assert dict(zip(flow["step"], flow["rows"]))["not in every period"] == -18
    kept = quiet(frame, panel="keep_unbalanced")
    assert kept.sample["n_units"] == 40
    assert kept.sample["n_obs"] == 40 * 7 - 3
    with pytest.raises(DesignError, match="no county is observed in all 7 periods"):
        quiet(frame[(frame["year"] + frame["county"].str[1:].astype(int)) % 2 == 0])


def test_cells_without_controls_are_listed_and_left_out():
    frame = panel(seed=22).dropna(subset=["g"])
    with pytest.raises(IdentificationError, match='control="notyet"'):
        quiet(frame)
    with pytest.warns(DesignWarning, match=r"5 cohort × time cells have no controls .*\(2003,2006\)"):
        gt = att_gt(frame, "y", control="notyet", **KEYS)
    refused = gt.sample["refused"]
    cells = {(2003, 2006), (2004, 2006), (2006, 2004), (2006, 2005), (2006, 2006)}  # leads of 2006: only itself is left
    assert set(zip(refused["cohort"], refused["time"])) == cells
    assert "att(2006,2006)" not in gt.terms
    assert "2006" not in gt.aggregate("cohort").terms  # the last cohort is left out with its weight
    assert gt.aggregate("cohort").overall.point == pytest.approx(gt.aggregate("cohort").point.mean())  # equal shares
    with pytest.raises(IdentificationError, match="no unit is first treated within the panel"):
        quiet(panel(seed=22)[lambda d: d["g"].isna()])


def test_exits_name_counties_and_estimators():
    frame = reference.load_panel("panel_unbalanced")
    with pytest.raises(DesignError, match=r"treatment switches off \(18\).*switching_did") as caught:
        quiet(frame, exit="exit_year")
    first = sorted(frame.loc[frame["exit_year"] > 0, "county"].astype(str).unique())[0]
    assert f": {first}, " in str(caught.value)
    with pytest.raises(DesignError, match=r"treatment switches off \(18\).*on_exit='censor'"):
        quiet(frame, treatment="d_on")
    assert quiet(frame, treatment="d").point.shape == quiet(frame).point.shape
    after = frame.assign(exit_year=np.where(frame["exit_year"] > 0, 2013, 0))
    assert len(quiet(after, exit="exit_year").point)
    with pytest.raises(DesignError, match="no column 'left'"):
        quiet(frame, exit="left")


def test_treatment_is_checked_against_the_cohort():
    frame = panel(seed=22)
    frame["d"] = (frame["year"] >= frame["g"]).astype(float)
    same(quiet(frame, treatment="d"), quiet(frame))
    same(quiet(frame.assign(d=frame["d"].astype(int).astype(str)), treatment="d"), quiet(frame))
    some = frame["d"].where((frame["county"] != "c003") | (frame["year"] != 2002))  # unknown is not off
    same(quiet(frame.assign(d=some), treatment="d"), quiet(frame))
    with pytest.raises(DesignError, match="treatment 'd' is not what the cohort says"):
        quiet(frame.assign(d=0.0), treatment="d")
    early = frame.assign(d=(frame["year"] >= frame["g"] - 2) * 1.0)
    one = early["county"] == early.loc[early["d"] > 0, "county"].iloc[0]
    early["d"] = early["d"].where(one, frame["d"])
    with pytest.raises(
        DesignError, match=r"is not what the cohort says \(2\): c\d+ 20\d\d, c\d+ 20\d\d. Treatment is to be 0"
    ):
        quiet(early, treatment="d")
    with pytest.raises(DesignError, match=r"'d' is not numeric.*'on'"):
        quiet(frame.assign(d="on"), treatment="d")


def test_exit_and_treatment_are_both_looked_at():
    frame = panel(seed=22).assign(exit=np.nan)
    frame["d"] = ((frame["year"] >= frame["g"]) & (frame["year"] < 2005)).astype(float)
    with pytest.raises(DesignError, match="treatment switches off"):
        quiet(frame, exit="exit", treatment="d")
    with pytest.raises(DesignError, match=r"cluster=\['state'\]: att_gt sums influence by one level"):
        quiet(frame, cluster=["state"])


def test_a_cohort_of_little_weight_is_fitted_as_far_as_any():
    """Weights are populations: two small counties, a ten-thousandth of the others."""
    frame = panel(n=150, seed=31)
    small = frame["g"] == 2004
    small &= frame["county"].isin(sorted(frame.loc[small, "county"].unique())[:3])
    frame = frame[small | (frame["g"] != 2004)]
    light = frame.assign(w=np.where(small[frame.index], 1e-4 * frame["w"], frame["w"]))
    frame = frame.assign(w=np.where(small[frame.index], frame["w"], 1e4 * frame["w"]))  # the same ratios
    a, b = (quiet(f, covariates=["x", "z"], weights="w", method="ipw") for f in (light, frame))
    np.testing.assert_allclose(a.point, b.point, rtol=1e-9, atol=1e-11)
    for base, t in ((2003, 2004), (2003, 2006)):
        wide = light.pivot(index="county", columns="year", values="y")
        z = light[light["year"] == base].set_index("county")
        z = z[(z["g"] == 2004) | z["g"].isna()]
        d = (z["g"] == 2004).to_numpy(dtype=float)
        regressors = np.column_stack([np.ones(len(z)), z["x"], z["z"]])
        fit = sm.GLM(d, regressors, family=sm.families.Binomial(), freq_weights=z["w"] / z["w"].mean() * 1e4)
        p = fit.fit(tol=1e-14, maxiter=200).predict()
        change = (wide[t] - wide[base]).loc[z.index].to_numpy()
        w = z["w"].to_numpy()
        k = w * np.where(d > 0, 0, p / (1 - p))
        expected = (w * d) @ change / (w @ d) - k @ change / k.sum()
        assert a.params[f"att(2004,{t})"] == pytest.approx(expected, abs=1e-8)


def test_exits_are_read_on_the_calendar_of_time():
    frame = panel(seed=22)
    last = int(frame["year"].max())
    frame["exit"] = np.where(frame["county"] == "c001", last, np.nan)
    monthly = frame.assign(
        year=pd.PeriodIndex(frame["year"].astype(str), freq="Y"),
        g=[pd.NaT if np.isnan(v) else pd.Period(int(v), freq="Y") for v in frame["g"]],
        exit=[pd.NaT if np.isnan(v) else pd.Period(int(v), freq="Y") for v in frame["exit"]],
    )
    text = frame.assign(exit=[None if np.isnan(v) else str(int(v)) for v in frame["exit"]])
    for data in (frame, monthly, text):
        with pytest.raises(DesignError, match=r"treatment switches off \(1\): c001"):
            quiet(data, exit="exit")
    with pytest.raises(DesignError, match="is a number but time is a Period"):
        quiet(monthly.assign(exit=frame["exit"]), exit="exit")


def test_collinear_covariates_are_named():
    frame = panel(seed=23).assign(twice=lambda d: 2 * d["x"] - 1, flat=4.0)
    with pytest.raises(IdentificationError, match="'twice', 'flat'"):
        quiet(frame, covariates=["x", "twice", "flat"])
    with pytest.raises(IdentificationError, match="'twice'"):
        quiet(frame, covariates=["x", "twice"], panel="keep_unbalanced")


@pytest.mark.parametrize("mode", ["balanced_only", "pairwise", "keep_unbalanced", "cross_section"])
@pytest.mark.parametrize("method", ["dr", "reg", "ipw"])
@pytest.mark.parametrize("covariate", ["x", "z"])  # fixed in units, and not
def test_the_level_and_the_units_of_a_covariate_do_not_matter(mode, method, covariate):
    frame = panel(n=80, seed=26)
    options = {"method": method, "panel": mode, "control": "notyet"}
    here = quiet(frame, covariates=[covariate], **options)
    for level, unit in ((1e6, 1.0), (1e12, 1e6), (-1e-3, 1e-9)):
        moved = frame.assign(**{covariate: level + unit * frame[covariate]})
        there = quiet(moved, covariates=[covariate], **options)
        np.testing.assert_allclose(there.point, here.point, rtol=0, atol=1e-8)
        np.testing.assert_allclose(there.se, here.se, rtol=1e-8)


def test_a_covariate_that_is_constant_up_to_rounding_is_collinear_with_the_constant():
    frame = panel(seed=27)
    frame["flat"] = np.where(frame["x"] > 0, 0.1 + 0.2, 0.3)
    assert frame["flat"].nunique() == 2
    for mode in ("balanced_only", "keep_unbalanced"):
        with pytest.raises(IdentificationError, match="'flat'"):
            quiet(frame, covariates=["x", "flat"], panel=mode)


@pytest.mark.parametrize("mode", ["balanced_only", "keep_unbalanced"])
def test_no_overlap_names_cohort_and_covariate(mode):
    frame = panel(seed=24)
    frame["size"] = frame["x"] + 100 * (frame["g"] == 2004)
    with pytest.raises(
        IdentificationError, match=r"cohort 2004 \(7 units\): no overlap .* told apart by 'size' \(9"
    ) as e:
        quiet(frame, covariates=["size"], panel=mode)
    assert "cohort 2003" not in str(e.value)
    assert len(quiet(frame, covariates=["size"], panel=mode, method="reg").point)  # regression extrapolates
    frame["size"] = np.where(frame["g"] == 2004, 1.0, 0.0)  # quasi: an indicator of the cohort itself
    frame["also"] = frame["x"] + frame["size"]
    with pytest.raises(IdentificationError, match=r"cohort 2004"):
        quiet(frame, covariates=["x", "size"], panel=mode)


@pytest.mark.parametrize("mode", ["balanced_only", "pairwise", "keep_unbalanced", "cross_section"])
@pytest.mark.parametrize("covariates", [[], ["x"]])
def test_everybody_treated_at_once_has_no_comparison(mode, covariates):
    frame = panel(seed=25).assign(g=2003.0)
    with pytest.raises(IdentificationError, match=r"all units start treatment together|no unit is observed"):
        quiet(frame, control="notyet", panel=mode, covariates=covariates)


@pytest.mark.parametrize("seed", [0, 128, 7])
@pytest.mark.parametrize("method", ["ipw", "dr"])
def test_a_cohort_told_apart_in_every_period_gets_no_number(seed, method):
    """One treated county whose covariate, which moves, is outside everybody else's in every year."""
    rng = np.random.default_rng(seed)
    rows = [
        (u, t, 2004.0 if u == 0 else np.nan, 2 * rng.normal() + 20 * (u == 0), rng.normal())
        for u in range(20)
        for t in range(2000, 2006)
    ]
    frame = pd.DataFrame(rows, columns=["county", "year", "g", "x", "y"])
    with pytest.raises(IdentificationError, match="no cohort × time cell has a valid comparison"):
        quiet(frame, covariates=["x"], method=method, on_unidentified="drop")


@pytest.mark.parametrize("mode", ["balanced_only", "keep_unbalanced"])
def test_a_cohort_of_which_only_the_base_is_left_is_left_out(mode):
    """Cohort 2004 is told apart by its size; with a universal base it would have kept its normalised zero."""
    frame = panel(seed=24)
    frame["size"] = frame["x"] + 100 * (frame["g"] == 2004)
    kept = {"covariates": ["size"], "panel": mode, "base": "universal"}
    found = quiet(frame, on_unidentified="drop", **kept)
    alone = quiet(frame[frame["g"] != 2004], **kept)
    assert 2004 not in set(found.labels["cohort"])
    for key in ("n_treated", "n_cohorts"):
        assert found.sample[key] == alone.sample[key]
    only = frame[(frame["g"] == 2004) | frame["g"].isna()]
    with pytest.raises(IdentificationError, match="no cohort × time cell has a valid comparison"):
        quiet(only, on_unidentified="drop", **kept)


@pytest.mark.parametrize("mode", ["balanced_only", "keep_unbalanced", "cross_section"])
@pytest.mark.parametrize("covariates", [[], ["x"]])
def test_standard_errors_that_are_rounding_are_not_reported(mode, covariates):
    frame = panel(seed=25)
    exact = [1.0, frame["year"] * 1.3] + [frame.groupby("county").ngroup() * 3.7 + 0.1] * (mode != "cross_section")
    for y in exact:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InferenceWarning)
            gt = quiet(frame.assign(y=y), panel=mode, covariates=covariates)
            assert gt.se.isna().all() and np.abs(gt.point).max() < 1e-10
            assert np.isnan(gt.aggregate("simple").se.iloc[0])


@pytest.mark.parametrize("mode", ["balanced_only", "keep_unbalanced"])
@pytest.mark.parametrize("method", ["dr", "ipw", "reg"])
def test_where_zero_is_in_a_covariate_does_not_matter(mode, method):
    """Some controls are unlike the one county of a cohort: no reason to refuse, however the covariate is coded."""
    frame = reference.load_panel("panel_unbalanced")
    keys = {"covariates": ["x1", "x2"], "control": "notyet", "method": method, "panel": mode}
    if mode == "keep_unbalanced" and method == "dr":  # fits the cohort's own regression too, of one county
        keys["on_unidentified"] = "drop"
    found = quiet(frame, **keys)
    again = quiet(frame.assign(x2=1 - frame["x2"], x1=40 - 3 * frame["x1"]), **keys)
    np.testing.assert_allclose(again.point, found.point, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(again.se, found.se, rtol=1e-7)


@pytest.mark.parametrize("mode", ["balanced_only", "keep_unbalanced"])
def test_some_units_without_a_like_control_are_no_overlap(mode):
    """Two of seven counties of a cohort have a mark that no other county has: no weighting makes up for them."""
    frame = panel(seed=28)
    marked = frame.loc[frame["g"] == 2004, "county"].unique()[:2]
    frame["mark"] = frame["county"].isin(marked) * 1.0
    with pytest.raises(IdentificationError, match=r"cohort 2004 \(7 units\): no overlap .*'x', 'mark'"):
        quiet(frame, covariates=["x", "mark"], method="ipw", panel=mode)


def test_single_county_cohort_is_refused_or_listed():
    frame = reference.load_panel("panel_unbalanced")
    options = {"covariates": ["x1", "x2"], "panel": "keep_unbalanced"}
    with pytest.raises(IdentificationError, match=r"cohort 2011 \(1 unit\): too few units.*'x1', 'x2'"):
        quiet(frame, **options)
    gt = quiet(frame, on_unidentified="drop", **options)
    assert set(gt.sample["refused"]["cohort"]) == {2011}
    assert any("cohort 2011" in note for note in gt.notes)
    without = quiet(frame[frame["g"] != 2011], **options)
    same(gt, without)
    for kind in ("simple", "event", "cohort", "calendar"):
        same(gt.aggregate(kind), without.aggregate(kind))


def test_overlap_is_reported():
    gt = quiet(panel(seed=25), covariates=["x"], control="never")
    overlap = gt.sample["overlap"].set_index("cohort")
    assert list(overlap.index) == [2003, 2004, 2006]
    assert ((overlap["max_propensity"] > 0.05) & (overlap["max_propensity"] < 1)).all()
    assert ((overlap["effective_controls"] > 2) & (overlap["effective_controls"] < 20)).all()
    plain = quiet(panel(seed=25)).sample["overlap"]
    np.testing.assert_allclose(plain["effective_controls"], 20)


def test_bad_input_says_what_to_type():
    frame = panel(seed=26)
    with pytest.raises(DesignError, match=r"weights change within units \(40\).*transform"):
        quiet(frame.assign(w=np.arange(len(frame)) + 1.0), weights="w")
    with pytest.raises(DesignError, match=r"cluster 'z' changes within units \(40\)"):
        quiet(frame, cluster="z")
    with pytest.raises(DesignError, match="control='all': choose 'never' or 'notyet'"):
        quiet(frame, control="all")
    with pytest.raises(DesignError, match="anticipation=-1"):
        quiet(frame, anticipation=-1)
    with pytest.raises(DesignError, match='cohort="'):
        att_gt(frame, "y", unit="county", time="year")
    with pytest.raises(DesignError, match="one period"):
        quiet(frame[frame["year"] == 2000].assign(g=2001))
    with pytest.raises(DesignError, match="one period"):
        quiet(frame[frame["year"] == 2003])


def test_blocks_of_any_size_give_the_same_numbers(monkeypatch):
    """Cells are handled in blocks that fit in cache; where the cuts fall must not matter."""
    frame = panel(n=60, periods=9, seed=27, cohorts=(2003, 2004, 2006, 2007))
    missing = frame.drop(frame.index[[3, 50, 120]])
    notyet = {"control": "notyet", "base": "universal"}
    for rows, options in (
        (frame, {"control": "never"}),
        (frame, notyet),
        (missing, notyet | {"panel": "pairwise"}),
        (missing, notyet | {"panel": "keep_unbalanced"}),
        (missing, {"panel": "cross_section"}),
    ):
        monkeypatch.undo()
        whole = quiet(rows, covariates=["x"], **options)
        for elements in (1, 60 * 2, 60 * 5):
            monkeypatch.setattr("g287stats.numerics.glm.BLOCK", elements)
            cut = quiet(rows, covariates=["x"], **options)
            same(whole, cut, atol=1e-12)
            same(whole.aggregate("event"), cut.aggregate("event"), atol=1e-12)
