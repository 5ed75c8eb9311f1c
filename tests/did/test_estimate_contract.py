"""What every estimator of these rooms promises: labels of the calendar, any panel object, one result type."""

import dataclasses
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from simulated_did import staggered

from g287stats.design.keys import KeyedFrame
from g287stats.did.diagnostics import bacon, cohort_sizes, twfe_weights
from g287stats.did.etwfe import etwfe
from g287stats.did.group_time import att_gt
from g287stats.did.imputation import imputation, two_stage
from g287stats.did.intensity import intensity_did
from g287stats.did.iv import iv_did
from g287stats.did.lp_did import lp_did
from g287stats.did.matching import balance_weights
from g287stats.did.multiple import multiple_treatments
from g287stats.did.poisson import poisson
from g287stats.did.spillover import exposure_map, spillover_did, spillover_event_study
from g287stats.did.stacked import stacked
from g287stats.did.sun_abraham import sun_abraham
from g287stats.did.switching import switching_did
from g287stats.did.synthetic import synthetic_control, synthetic_did
from g287stats.did.triple import triple_difference
from g287stats.did.twfe import event_study, twfe
from g287stats.errors import DesignError, IdentificationError, InferenceWarning
from g287stats.estimate.estimate import Estimate

pytestmark = pytest.mark.filterwarnings("ignore::g287stats.errors.G287Warning")


def months():
    """A panel object by county and month whose calendar starts in January 2010."""
    data = staggered(3, n=40, t=9, cohorts=(3, 5))
    rng = np.random.default_rng(0)
    start = pd.Period("2010-01", "M")
    return data.assign(
        county_fips=[f"{c:05d}" for c in data["county"]],
        month=pd.PeriodIndex([start + int(t) for t in data["year"]], freq="M"),
        cohort=pd.PeriodIndex([start + int(g) if g == g else pd.NaT for g in data["g"]], freq="M"),
        other=((data["county"] % 3 == 0) & (data["year"] > 4)) * 1,
        half=data["county"] % 2,
        z=data["d"] + rng.normal(size=len(data)),
        dose=np.where(data["g"].notna(), 1.0 + data["county"] % 4, 0),
        x=rng.normal(size=40)[data["county"]],
    )


ESTIMATORS = {
    "synthetic_did": lambda p, k: synthetic_did(p, "y", shape="event", **k),
    "synthetic_control": lambda p, k: synthetic_control(p, "y", inference="jackknife", **k),
    "stacked": lambda p, k: stacked(p, "y", window=(-2, 2), **k),
    "lp_did": lambda p, k: lp_did(p, "y", window=(-2, 2), **k),
    "etwfe": lambda p, k: etwfe(p, "y", **k),
    "etwfe never": lambda p, k: etwfe(p, "y", control="never", **k).aggregate("event"),
    "intensity": lambda p, k: intensity_did(p, "y", dose="dose", bins=2, **k),
    "switching": lambda p, k: switching_did(p, "y", treatment="d", effects="start", **plain(k)),
    "multiple": lambda p, k: multiple_treatments(p, "y", ["d", "other"], **plain(k)),
    "one at a time": lambda p, k: multiple_treatments(p, "y", ["d", "other"], method="one_at_a_time", **plain(k)),
    "spillover": lambda p, k: spillover_did(p, "y", exposures=("d", "other"), **plain(k)),
    "spillover by event time": lambda p, k: spillover_event_study(
        p, "y", exposures=("d", "other"), window=(-2, 2), **plain(k)
    ),
    "iv": lambda p, k: iv_did(p, "y", treatment="d", instruments="z", **plain(k)),
    "triple": lambda p, k: triple_difference(
        p, "y", eligible="half", place="state", cohort=k.get("cohort", "cohort"), **plain(k)
    ),
}


CORE = {
    "twfe": lambda p, k, **o: twfe(p, "y", **k, **o),
    "event_study": lambda p, k, **o: event_study(p, "y", window=(-2, 2), **k, **o),
    "poisson": lambda p, k, **o: poisson(p, "count", **k, **o),
    "att_gt": lambda p, k, **o: att_gt(p, "y", **k, **o),
    "att_gt neyman": lambda p, k, **o: att_gt(p, "y", **k, **({"small_sample": "neyman"} | o)),
    "att_gt unbalanced": lambda p, k, **o: att_gt(p, "y", panel="keep_unbalanced", **k, **o),
    "sun_abraham": lambda p, k, **o: sun_abraham(p, "y", **k, **o),
    "imputation": lambda p, k, **o: imputation(p, "y", **k, **o),
    "two_stage": lambda p, k, **o: two_stage(p, "y", **k, **o),
    "stacked": lambda p, k, **o: stacked(p, "y", window=(-2, 2), **k, **o),
    "lp_did": lambda p, k, **o: lp_did(p, "y", window=(-2, 2), **k, **o),
    "etwfe": lambda p, k, **o: etwfe(p, "y", **k, **o),
    "intensity": lambda p, k, **o: intensity_did(p, "y", dose="dose", **k, **o),
    "switching": lambda p, k, **o: switching_did(p, "y", treatment="d", effects="start", **plain(k), **o),
    "multiple": lambda p, k, **o: multiple_treatments(p, "y", ["d", "other"], **plain(k), **o),
    "spillover": lambda p, k, **o: spillover_did(p, "y", exposures=("d", "other"), **plain(k), **o),
    "iv": lambda p, k, **o: iv_did(p, "y", treatment="d", instruments="z", **plain(k), **o),
}
KEYS = {"unit": "county_fips", "time": "month", "cohort": "cohort"}


def plain(keys):
    return {k: v for k, v in keys.items() if k != "cohort"}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_months_equal_numbered_periods_and_panels_equal_frames(name):
    frame = months()
    before = frame.copy()
    panel = KeyedFrame(frame, KEYS, {"source": "simulated"})
    fit = ESTIMATORS[name]
    by_month = fit(panel, {})
    by_number = fit(frame, {"unit": "county", "time": "year", "cohort": "g"})
    pd.testing.assert_frame_equal(frame, before)
    assert np.array_equal(by_month.point, by_number.point)
    assert np.array_equal(by_month.se, by_number.se)
    assert by_month.provenance == {"source": "simulated"}
    if "cohort" in by_month.labels:
        assert by_month.labels["cohort"].iloc[0] == pd.Period("2010-04", "M")


@pytest.mark.parametrize("name", ESTIMATORS)
def test_one_result_type(name):
    e = ESTIMATORS[name](months(), {"unit": "county_fips", "time": "month", "cohort": "cohort"})
    assert isinstance(e, Estimate)
    assert (e.se > 0).all()
    assert e.influence.n_params == len(e.point)
    assert np.abs(e.influence.psi.sum(0)).max() < 1e-9
    assert len(e.terms) == len(set(e.terms))
    assert e.method.references
    tidy = e.tidy(draws=99)
    assert {"term", "estimate", "std_error", "conf_low", "band_high"} <= set(tidy.columns)
    assert e.method.title in e.summary()
    assert e.sample["n_obs"] > 0
    assert e.sample["n_units"] <= 40
    if e.kind == "event":
        after = e.labels["event_time"] >= 0
        if "treatment" in e.labels:  # several effects at once: an average of each
            assert e.overall.terms == e.labels["treatment"].unique().tolist()
            after &= e.labels["treatment"] == e.overall.terms[0]
        if not name.startswith("synthetic"):
            assert e.overall.point[0] == pytest.approx(e.point[after].mean())


def test_diagnostics_speak_the_calendar():
    panel = KeyedFrame(months(), KEYS)
    april = pd.Period("2010-04", "M")
    assert set(bacon(panel, "y").frame["treated"]) == {april, pd.Period("2010-06", "M")}
    assert twfe_weights(panel, "y").by_cohort["cohort"].iloc[0] == april
    assert cohort_sizes(panel, "y")["cohort"].tolist()[:1] == [april]
    assert balance_weights(panel, ["y", "x"], periods=(april - 3, april - 1))
    pairs = pd.DataFrame({"a": ["00000"], "b": ["00001"]})
    assert "ring_1" in exposure_map(panel, pairs, "d", rings=1).frame


def counted():
    data = months()
    return data.assign(count=np.random.default_rng(5).poisson(4.0, len(data)), everywhere=1)


@pytest.mark.parametrize("name", CORE)
def test_results_are_frozen_and_can_be_stored(name):
    e = CORE[name](counted(), KEYS)
    with pytest.raises(ValueError, match="read-only"):
        e.point[0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        e.point = e.point
    again = pickle.loads(pickle.dumps(e))
    np.testing.assert_array_equal(again.point, e.point)
    np.testing.assert_array_equal(again.se, e.se)
    pd.testing.assert_frame_equal(again.labels, e.labels)
    assert e.params.index.tolist() == e.labels["term"].tolist() == e.terms
    assert e == e and e != again  # a result is itself; compare its numbers
    assert e.software.startswith("g287stats ") and e.software in e.summary() and e.glance()["software"] == e.software


def test_labels_may_be_terms_alone_but_not_left_out():
    e = twfe(counted(), "y", treatment="d", **plain(KEYS))
    named = dataclasses.replace(e, labels=["effect"])
    assert named.terms == ["effect"]
    pd.testing.assert_frame_equal(named.labels, pd.DataFrame({"term": ["effect"]}))
    with pytest.raises(DesignError, match="do not agree in number"):
        dataclasses.replace(e, labels=["a", "b"])
    fields = {f.name: getattr(e, f.name) for f in dataclasses.fields(e) if f.name != "labels"}
    with pytest.raises(TypeError, match="labels"):
        Estimate(**fields)


@pytest.mark.parametrize("name", [n for n in CORE if n != "att_gt neyman"])
def test_one_cluster_is_refused(name):
    with pytest.raises(DesignError, match="only 1 cluster in 'everywhere'"):
        CORE[name](counted(), KEYS, cluster="everywhere")


@pytest.mark.parametrize("name", [n for n in CORE if n not in ("two_stage", "intensity", "switching")])
def test_an_unknown_convention_is_refused(name):
    with pytest.raises(DesignError, match="small_sample='hc3': choose"):
        CORE[name](counted(), KEYS, small_sample="hc3")


def test_standard_errors_that_are_rounding_are_not_reported():
    exact = pd.DataFrame({"county": [0, 0, 1, 1], "year": [0, 1, 0, 1], "d": [0, 0, 0, 1], "y": [0.3, 1.1, 0.7, 2.9]})
    e = twfe(exact, "y", unit="county", time="year", treatment="d")
    with pytest.warns(InferenceWarning, match="d have a standard error of zero up to rounding"):
        assert np.isnan(e.se.iloc[0])
    assert np.isnan(e.p_values().iloc[0])


def test_a_negative_two_way_variance_is_told():
    data = staggered(0, n=24, t=6, cohorts=(3,))
    for seed in range(40):
        rng = np.random.default_rng(seed)
        crossed = data.assign(a=rng.integers(0, 4, len(data)), b=rng.integers(0, 3, len(data)))
        e = twfe(crossed, "y", unit="county", time="year", treatment="d", cluster=("a", "b"))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            se = e.se.iloc[0]
        assert np.isnan(se) == any("negative two-way clustered variance" in str(w.message) for w in told)
        if np.isnan(se):
            return
    raise AssertionError("no draw had a negative variance")


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("stacked", "control"),
        ("stacked", "corrective"),
        ("lp_did", "scheme"),
        ("etwfe", "model"),
        ("etwfe", "control"),
        ("intensity", "curve"),
        ("switching", "history"),
        ("multiple", "method"),
        ("att_gt", "control"),
        ("att_gt", "base"),
        ("imputation", "small_sample"),
        ("event_study", "ends"),
        ("poisson", "shape"),
        ("two_stage", "shape"),
        ("sun_abraham", "control"),
    ],
)
def test_a_choice_that_does_not_exist_is_refused(name, argument):
    with pytest.raises(DesignError, match=f"{argument}='other': choose '"):
        CORE[name](counted(), KEYS, **{argument: "other"})


def by_cohort_and_ending():
    """A panel object whose own treatment ends in two counties."""
    data = counted()
    on = data.loc[data["d"] > 0, "county_fips"].unique()[:2]
    last = data["month"] == data["month"].max()
    data["treated"] = ((data["d"] > 0) & ~(data["county_fips"].isin(on) & last)).astype(float)
    return KeyedFrame(data, KEYS, exits={"cohort": tuple(on)}), sorted(on)


STAYS = {
    "twfe": lambda p: twfe(p, "y"),
    "event_study": lambda p: event_study(p, "y"),
    "poisson": lambda p: poisson(p, "count"),
    "att_gt": lambda p: att_gt(p, "y"),
    "sun_abraham": lambda p: sun_abraham(p, "y"),
    "imputation": lambda p: imputation(p, "y"),
    "two_stage": lambda p: two_stage(p, "y"),
    "etwfe": lambda p: etwfe(p, "y"),
    "stacked": lambda p: stacked(p, "y", window=(-2, 1)),
    "lp_did": lambda p: lp_did(p, "y", window=(-2, 1)),
    "bacon": lambda p: bacon(p, "y"),
    "synthetic_did": lambda p: synthetic_did(p, "y"),
}


@pytest.mark.parametrize("name", STAYS)
def test_a_panel_whose_treatment_ends_is_refused_by_estimators_of_cohorts(name):
    ending, units = by_cohort_and_ending()
    with pytest.raises(DesignError, match=rf"treatment switches off \(2\): {units[0]}, {units[1]}. .*switching_did"):
        STAYS[name](ending)
    assert STAYS[name](dataclasses.replace(ending, exits={})) is not None


def test_estimators_of_a_treatment_column_take_a_panel_whose_treatment_ends():
    ending, _ = by_cohort_and_ending()
    assert len(twfe(ending, "y", treatment="treated").point) == 1
    assert len(iv_did(ending, "y", treatment="treated", instruments="d").point) == 1


SET_BY_STATE = {
    "twfe": lambda d, k: twfe(d, "y", treatment="by_state", **k),
    "imputation": lambda d, k: imputation(d, "y", treatment="by_state", **k),
    "two_stage": lambda d, k: two_stage(d, "y", treatment="by_state", **k),
    "iv_did": lambda d, k: iv_did(d, "y", treatment="by_state", instruments="z", **k),
}


@pytest.mark.parametrize("name", SET_BY_STATE)
def test_effects_that_leave_nobody_to_compare_with_are_named(name):
    data = counted()
    data["by_state"] = ((data["state"] < 2) & (data["month"] >= pd.Period("2010-05", "M"))).astype(float)
    data["z"] = data["by_state"] + np.random.default_rng(1).normal(size=len(data))
    keys = {"unit": "county_fips", "time": "month", "fixed_effects": [("state", "month")]}
    with pytest.raises(IdentificationError, match=r"fixed effects \(county_fips, month, state×month\)"):
        SET_BY_STATE[name](data, keys)
