"""What must not matter, and what must be recovered, for every regression estimator."""

import numpy as np
import pandas as pd
import pytest
from reference_did import load_panel

from g287stats.design.keys import KeyedFrame
from g287stats.did.imputation import imputation, two_stage
from g287stats.did.poisson import poisson
from g287stats.did.sun_abraham import sun_abraham
from g287stats.did.twfe import event_study, twfe
from g287stats.errors import DesignError, DesignWarning, IdentificationError

pytestmark = pytest.mark.filterwarnings("ignore::g287stats.errors.DesignWarning")
KEYS = {"unit": "county", "time": "year", "cohort": "g"}
LINEAR = {
    "twfe": twfe,
    "event_study": event_study,
    "sun_abraham": sun_abraham,
    "imputation": lambda *a, **k: imputation(*a, leads=2, **k),
    "two_stage": lambda *a, **k: two_stage(*a, shape="event", **k),
}
COUNTS = {
    "poisson": lambda frame, outcome, **k: poisson(frame, "count", at_risk="exposure", **k),
    "poisson_event": lambda frame, outcome, **k: poisson(frame, "count", shape="event", **k),
}
EVERY = LINEAR | COUNTS
every = pytest.mark.parametrize("name", EVERY)
linear = pytest.mark.parametrize("name", LINEAR)


def panel(name="panel_unbalanced"):
    frame = load_panel(name)
    frame["g"] = frame["g"].where(frame["g"] > 0)
    return frame


def both(estimate):
    return np.r_[estimate.point, estimate.se.to_numpy()]


# ---- what must not matter -------------------------------------------------------------------------------------------
@every
@pytest.mark.parametrize("more", [{}, {"weights": "weight", "cluster": "state", "covariates_by_time": ["x1"]}])
def test_row_order_changes_no_bit_and_input_is_not_mutated(name, more):
    frame = panel()
    shuffled = frame.sample(frac=1, random_state=3)
    before = shuffled.copy()
    a, b = EVERY[name](frame, "y", **KEYS, **more), EVERY[name](shuffled, "y", **KEYS, **more)
    assert both(a).tobytes() == both(b).tobytes()
    pd.testing.assert_frame_equal(shuffled, before)


@every
def test_names_of_counties_and_years_do_not_matter(name):
    frame = panel("panel_small")
    rng = np.random.default_rng(5)
    new = dict(zip(frame["county"].unique(), rng.permutation([f"{k:05d}" for k in range(60)])))
    renamed = frame.assign(county=frame["county"].map(new), state="s" + frame["state"].astype(str))
    periods = renamed.assign(year=pd.PeriodIndex(renamed["year"].astype(str), freq="Y"))
    periods["g"] = [pd.NaT if np.isnan(v) else pd.Period(str(int(v)), freq="Y") for v in renamed["g"]]
    a = EVERY[name](frame, "y", **KEYS, cluster="state")
    for other in (renamed, periods):
        b = EVERY[name](other, "y", **KEYS, cluster="state")
        np.testing.assert_allclose(both(a), both(b), atol=1e-10)
        assert len(a.terms) == len(b.terms)


@linear
def test_unit_and_period_constants_drop_out(name):
    frame = panel()
    moved = frame.assign(y=frame["y"] + 100 + 3 * frame["county"] - 7 * (frame["year"] - 2005) ** 2)
    np.testing.assert_allclose(
        both(LINEAR[name](frame, "y", **KEYS)), both(LINEAR[name](moved, "y", **KEYS)), atol=1e-9
    )


@linear
def test_scale_passes_through(name):
    frame = panel()
    scaled = frame.assign(y=-7 * frame["y"])
    a, b = LINEAR[name](frame, "y", **KEYS), LINEAR[name](scaled, "y", **KEYS)
    np.testing.assert_allclose(b.point, -7 * a.point, atol=1e-10)
    np.testing.assert_allclose(b.se, 7 * a.se, atol=1e-10)


@every
def test_weights_matter_by_their_ratios_and_stand_for_copies(name):
    frame = panel("panel_small")
    frame["w"] = 1 + frame["county"] % 3
    a = EVERY[name](frame, "y", **KEYS, weights="w")
    b = EVERY[name](frame.assign(w=11 * frame["w"]), "y", **KEYS, weights="w")
    np.testing.assert_allclose(both(a), both(b), atol=1e-10)
    copies = pd.concat([frame[frame["w"] > k].assign(county=lambda d, k=k: d["county"] + 1000 * k) for k in range(3)])
    np.testing.assert_allclose(a.point, EVERY[name](copies, "y", **KEYS).point, atol=1e-10)


@every
def test_splitting_a_weight_in_two_clusters_of_copies(name):
    """A county of weight w is two copies of weight w/2, as long as the copies stay in one cluster."""
    frame = panel("panel_small")
    half = frame.assign(weight=frame["weight"] / 2, home=frame["county"])
    split = pd.concat([half, half.assign(county=half["county"] + 1000)])
    a = EVERY[name](frame.assign(home=frame["county"]), "y", **KEYS, weights="weight", cluster="home")
    b = EVERY[name](split, "y", **KEYS, weights="weight", cluster="home")
    a, b = (e.with_rule(type(e.rule)(e.rule.levels, "unadjusted", 0, {}, e.rule.n_clusters)) for e in (a, b))
    if name == "imputation":  # leads carry their regression's factor, in which n counts copies
        keep = a.labels["event_time"].to_numpy() >= 0
        a, b = a.select(keep), b.select(keep)
    np.testing.assert_allclose(both(a), both(b), atol=1e-10)


@every
def test_exposure_and_panel_objects(name):
    frame = panel("panel_small")
    keys = {"unit": "county", "time": "year", "cohort": "cohort"}
    held = KeyedFrame(frame.rename(columns={"g": "cohort"}), keys, {"y": {"source": "made up"}})
    a, b = EVERY[name](frame, "y", **KEYS), EVERY[name](held, "y")
    assert both(a).tobytes() == both(b).tobytes()
    assert b.provenance == held.provenance


# ---- what must be recovered -----------------------------------------------------------------------------------------
def noiseless(effect):
    frame = panel()
    frame = frame[frame["g"].isna() | (frame["g"] > 2000)].copy()
    event = frame["year"] - frame["g"]
    on = event >= 0
    frame["y"] = 5 + 0.1 * frame["county"] + np.sin(frame["year"]) * 3 + np.where(on, effect(frame, event), 0.0)
    rate = np.exp(0.01 * frame["county"] + 0.1 * np.cos(frame["year"]) + np.where(on, effect(frame, event) / 5, 0.0))
    frame["count"] = rate * frame["exposure"]
    return frame


def test_noiseless_static_effect():
    frame = noiseless(lambda f, e: 2.5)
    for estimate in (twfe(frame, "y", **KEYS), two_stage(frame, "y", **KEYS)):
        assert estimate.point[0] == pytest.approx(2.5, abs=1e-10)
    assert poisson(frame, "count", at_risk="exposure", **KEYS).point[0] == pytest.approx(0.5, abs=1e-10)


def test_noiseless_effects_by_event_time():
    frame = noiseless(lambda f, e: 1.0 + 0.2 * e)
    for estimate in (
        event_study(frame, "y", **KEYS),
        two_stage(frame, "y", shape="event", **KEYS),
        sun_abraham(frame, "y", **KEYS),
        imputation(frame, "y", **KEYS),
    ):
        event = estimate.labels["event_time"].to_numpy()
        np.testing.assert_allclose(estimate.point, np.where(event >= 0, 1 + 0.2 * event, 0), atol=1e-10)
    counts = poisson(frame, "count", at_risk="exposure", shape="event", **KEYS)
    event = counts.labels["event_time"].to_numpy()
    np.testing.assert_allclose(counts.point, np.where(event >= 0, (1 + 0.2 * event) / 5, 0), atol=1e-10)


@pytest.mark.parametrize("estimator", [sun_abraham, imputation])
def test_noiseless_effects_by_cohort_and_time(estimator):
    frame = noiseless(lambda f, e: (f["g"] - 2000) * 0.3 + 0.1 * e**2)
    estimate = estimator(frame, "y", **KEYS)
    cohort, event = estimate.labels["cohort"].to_numpy(dtype=float), estimate.labels["event_time"].to_numpy()
    truth = np.where(event >= 0, (cohort - 2000) * 0.3 + 0.1 * event**2, 0)
    np.testing.assert_allclose(estimate.point, truth, atol=1e-10)


def test_noiseless_trends_covariates_and_state_years():
    frame = noiseless(lambda f, e: 2.5)
    t = frame["year"] - 2000
    frame["z"] = np.cos(frame["county"] * t)
    frame["y"] += 0.05 * frame["county"] * t + 4 * frame["z"] + np.sin(frame["state"] * t) + frame["x1"] * np.sqrt(t)
    more = {
        "unit_trends": True,
        "covariates": ["z"],
        "covariates_by_time": ["x1"],
        "fixed_effects": [("state", "year")],
    }
    assert twfe(frame, "y", **KEYS, **more).point[0] == pytest.approx(2.5, abs=1e-9)
    frame = frame[frame["g"].isna() | (frame["g"] >= 2004)]
    for estimate in (imputation(frame, "y", **KEYS, **more), two_stage(frame, "y", shape="event", **KEYS, **more)):
        event = estimate.labels["event_time"].to_numpy()
        np.testing.assert_allclose(estimate.point, np.where(event >= 0, 2.5, 0), atol=1e-8)


# ---- refusals -------------------------------------------------------------------------------------------------------
@every
def test_every_problem_of_a_frame_at_once(name):
    frame = panel("panel_small")
    frame["count"] = frame["count"].astype(float)
    frame.loc[3, ["y", "count"]] = np.inf
    frame = pd.concat([frame, frame.iloc[[7]]])
    frame.loc[20, "weight"] = 0.0
    with pytest.raises(DesignError) as caught:
        EVERY[name](frame, "y", **KEYS, weights="weight")
    message = str(caught.value)
    assert all(word in message for word in ("infinite", "duplicate unit-periods", "must be positive", "3 problems"))


@every
def test_treatment_that_ends(name):
    """An estimator that assumes absorption refuses and names the counties; the static ones count and warn."""
    frame = panel()
    keys = {k: v for k, v in KEYS.items() if k != "cohort"}
    ends = sorted(frame.loc[frame["exit_year"] > 0, "county"].unique())
    if name in ("twfe", "poisson"):
        with pytest.warns(DesignWarning, match=r"switches off in .* units"):
            estimate = EVERY[name](frame, "y", treatment="d_on", **keys)
        note = next(n for n in estimate.notes if "switches off" in n)
        assert "switching_did" in note and str(ends[0]) in note
    else:
        with pytest.raises(DesignError, match=f"switches off in .*{ends[0]}.*switching_did"):
            EVERY[name](frame, "y", treatment="d_on", **keys)


@every
def test_who_is_treated_must_be_said_once(name):
    frame = panel("panel_small")
    with pytest.raises(DesignError, match="say who is treated"):
        EVERY[name](frame, "y", unit="county", time="year")
    with pytest.raises(DesignError, match="not both"):
        EVERY[name](frame, "y", treatment="d", **KEYS)


def test_rank_deficiency_names_the_columns():
    frame = panel("panel_small")
    frame["twice"] = 2 * frame["d"]
    with pytest.raises(IdentificationError, match="x1 do not vary after the fixed effects"):
        twfe(frame, "y", **KEYS, covariates=["x1"])
    with pytest.raises(IdentificationError, match="rank deficiency: twice are combinations"):
        twfe(frame, "y", **KEYS, covariates=["twice"])
    with pytest.raises(IdentificationError, match="rank deficiency on the untreated rows: x1"):
        imputation(frame, "y", **KEYS, covariates=["x1"])


def test_nothing_to_compare():
    frame = panel("panel_small")
    never = frame[frame["g"].isna()]
    treated = frame[frame["g"].notna()]
    for estimator in EVERY.values():
        with pytest.raises(IdentificationError):
            estimator(never, "y", **KEYS)
    with pytest.raises(IdentificationError, match="all cohorts are apart: give more references"):
        event_study(treated, "y", **KEYS)
    with pytest.raises(IdentificationError, match="repeat every 2 periods"):
        event_study(treated, "y", **KEYS, reference=(-1, -6))  # cohorts two years apart: odd and even times are free
    wide = panel()
    wide = wide[wide["g"].notna()]
    assert len(event_study(wide, "y", **KEYS, reference=(-1, -11)).terms) == 22
    with pytest.raises(IdentificationError, match='control="last"'):
        sun_abraham(treated, "y", **KEYS)
    last = sun_abraham(treated, "y", **KEYS, control="last")
    assert last.labels["time"].max() == 2011 and set(last.labels["cohort"]) == {2008, 2010}
    only = imputation(treated, "y", **KEYS)  # after 2011 nobody is left untreated
    assert only.labels["time"].max() == 2011
    assert any("no untreated comparison" in n for n in only.notes)
    flow = only.sample["flow"].to_frame().set_index("step")["rows"]
    assert flow["no untreated comparison"] == -30 * 2 and flow["kept"] == only.sample["n_obs"]


def test_missing_outcomes_are_counted():
    estimate = twfe(panel(), "y", **KEYS)
    flow = estimate.sample["flow"].to_frame()
    assert flow["step"].tolist() == ["found", "missing y", "kept"]
    assert flow["rows"].sum() == 2 * estimate.sample["n_obs"]
