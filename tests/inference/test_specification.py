"""Specification curves: every cell is the estimator's own number; joint inference has the right size."""

import numpy as np
import pandas as pd
import pytest
from reference_did import load_panel

from g287stats.design.keys import KeyedFrame
from g287stats.did.group_time import att_gt
from g287stats.did.imputation import imputation
from g287stats.did.sun_abraham import sun_abraham
from g287stats.did.twfe import event_study, twfe
from g287stats.errors import DesignError, DesignWarning
from g287stats.inference.specification import specification_curve

KEYS = {"unit": "county", "time": "year", "cohort": "cohort", "cluster": "county"}


def panel():
    d = load_panel("panel_small")
    return d.assign(cohort=d["g"].where(d["g"] > 0), y2=d["y"] + np.sin(np.arange(len(d))))


def curve(d=None, **changes):
    arguments = {
        "estimators": {"TWFE": twfe, "event study": event_study, "imputation": imputation, "CS": att_gt},
        "samples": {"all": None, "late": lambda f: f[f["year"] >= 2007]},
        "choices": {"weights": {"none": {}, "population": {"weights": "weight"}}},
        "draws": 499,
    } | changes
    return specification_curve(panel() if d is None else d, ["y", "y2"], **arguments, **KEYS)


def test_every_cell_is_the_estimate():
    r = curve()
    assert len(r.frame) == 2 * 4 * 2 * 2
    assert r.failed.empty
    assert r.skipped.empty
    assert r.frame["estimate"].is_monotonic_increasing
    cell = r.frame.set_index(list(r.dimensions))
    late = panel()[lambda f: f["year"] >= 2007]
    one = att_gt(late, "y2", weights="weight", **KEYS).aggregate("simple")
    row = cell.loc[("y2", "CS", "late", "population")]
    assert row["estimate"] == pytest.approx(one.point[0], rel=1e-12)
    assert row["std_error"] == pytest.approx(one.se.iloc[0], rel=1e-12)
    two = event_study(panel(), "y", **KEYS).overall
    assert cell.loc[("y", "event study", "all", "none"), "estimate"] == pytest.approx(two.point[0], rel=1e-12)
    assert (r.frame["p_value_romano_wolf"] >= r.frame["p_value"] - 0.05).all()
    assert (r.frame["band_low"] <= r.frame["conf_low"] + 1e-12).all()
    assert "32 specifications" in r.sentence


def test_estimators_may_leave_units_out():
    """A county treated throughout: TWFE keeps it, imputation and group-time effects leave it out."""
    d = panel()
    d.loc[d["county"] == 7, "cohort"] = d["year"].min()
    with pytest.warns(DesignWarning, match="no untreated period"):
        one = att_gt(d, "y", **KEYS).aggregate("simple")
    estimators = {"TWFE": twfe, "imputation": imputation, "CS": att_gt, "SA": sun_abraham}
    r = specification_curve(d, ["y"], estimators, draws=199, **KEYS)
    assert r.failed.empty
    row = r.frame.set_index("estimator")
    assert row["n_units"].to_dict() == {"TWFE": 60, "imputation": 59, "CS": 59, "SA": 59}
    assert row.loc["CS", "std_error"] == pytest.approx(one.se.iloc[0], rel=1e-12)
    assert (r.estimate.cov().to_numpy() > 0).all()


def test_skipped_failed_and_preferred():
    d = panel()
    r = curve(
        d,
        estimators={"TWFE": twfe, "CS": att_gt},
        choices={"control": {"never": {}, "notyet": {"control": "notyet"}}},
        samples={"all": None, "nobody treated": lambda f: f[f["cohort"].isna()]},
        preferred={"estimator": "CS", "control": "never", "sample": "all", "outcome": "y"},
    )
    assert set(r.skipped["message"]) == {"TWFE does not take control"}
    assert len(r.skipped) == 4
    assert set(r.failed["sample"]) == {"nobody treated"}
    assert len(r.failed) == 6
    assert len(r.frame) == 6
    assert r.frame["preferred"].sum() == 1
    assert "10 more failed or do not apply" in r.sentence
    assert "6 failed, see .failed; first (" in str(r)
    assert r.failed["message"].iloc[0] in str(r)


def test_rows_do_not_matter():
    a, b = curve(), curve(panel().sample(frac=1, random_state=4))
    columns = ["spec", "estimate", "std_error", "p_value_romano_wolf", "band_low"]
    pd.testing.assert_frame_equal(a.frame[columns], b.frame[columns], rtol=1e-9)
    pd.testing.assert_frame_equal(a.tests, b.tests, rtol=1e-9)


@pytest.mark.slow
def test_joint_tests_have_their_size():
    rng = np.random.default_rng(8)
    rejected = np.zeros(3)
    draws = 500
    base = pd.DataFrame({"county": np.repeat(np.arange(60), 6), "year": np.tile(range(2001, 2007), 60)})
    base["cohort"] = np.where(base["county"] < 25, 2004.0, np.nan)
    for _ in range(draws):
        base["a"] = rng.normal(size=len(base))
        base["b"] = base["a"] + 0.5 * rng.normal(size=len(base))
        r = specification_curve(
            base,
            ["a", "b"],
            {"TWFE": twfe},
            samples={"all": None, "short": lambda f: f[f["year"] > 2001]},
            draws=199,
            **KEYS,
        )
        rejected += (r.tests["p_value"] <= 0.05).to_numpy()
    assert (rejected / draws < 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)).all(), rejected / draws


def test_an_effect_is_found():
    d = panel()
    r = curve(d)
    assert r.tests.set_index("test").loc["average z", "p_value"] < 0.05


def test_a_panel_object_and_refusals():
    held = KeyedFrame(panel(), {"unit": "county", "time": "year", "cohort": "cohort"})
    late = {"all": None, "late": lambda f: f[f["year"] >= 2007]}
    r = specification_curve(held, "y", {"TWFE": twfe}, samples=late, draws=99, cluster="county")
    assert len(r.frame) == 2
    with pytest.raises(DesignError, match="none of 2"):
        specification_curve(panel(), ["y", "y2"], {"TWFE": twfe}, nonsense=1, **KEYS)
    with pytest.raises(DesignError, match="cannot be named"):
        specification_curve(panel(), "y", {"TWFE": twfe}, choices={"sample": {}}, **KEYS)
    with pytest.raises(DesignError, match="preferred"):
        specification_curve(panel(), "y", {"TWFE": twfe}, preferred={"colour": "red"}, draws=99, **KEYS)


def singular(data, outcome, **keys):
    raise np.linalg.LinAlgError("Singular matrix")


def test_an_error_of_any_kind_is_listed_by_name_and_the_rest_stays():
    def mine(data, outcome, **keys):
        raise ValueError("no such thing")

    estimators = {"TWFE": twfe, "mine": mine, "theirs": singular, "number": lambda data, outcome, **keys: 1.0}
    r = specification_curve(panel(), ["y", "y2"], estimators, draws=99, **KEYS)
    assert r.failed["estimator"].tolist() == ["mine", "theirs", "number"] * 2
    assert r.failed["message"].iloc[:2].tolist() == ["ValueError: no such thing", "LinAlgError: Singular matrix"]
    assert "2 specifications (6 more failed or do not apply)" in r.sentence
    alone = specification_curve(panel(), ["y", "y2"], {"TWFE": twfe}, draws=99, **KEYS)
    pd.testing.assert_frame_equal(r.tests, alone.tests)
    with pytest.raises(DesignError, match=r"none of 1 .* LinAlgError: Singular matrix") as caught:
        specification_curve(panel(), "y", {"theirs": singular}, **KEYS)
    assert isinstance(caught.value.__cause__, np.linalg.LinAlgError)

    def stopped(data, outcome, **keys):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        specification_curve(panel(), "y", {"TWFE": twfe, "stopped": stopped}, **KEYS)


def test_specifications_that_cannot_be_joined_are_set_aside_with_their_estimate():
    iid = lambda data, outcome, **keys: twfe(data, outcome, **(keys | {"cluster": None, "vcov": "iid"}))
    by_state = lambda data, outcome, **keys: twfe(data, outcome, **(keys | {"cluster": "state"}))
    d = panel()
    estimators = {"iid": iid, "by state": by_state, "TWFE": twfe, "CS": att_gt}
    r = specification_curve(d, "y", estimators, draws=199, **KEYS)
    assert r.failed["estimator"].tolist() == ["iid", "by state"]
    one, two = r.failed["message"]
    point = twfe(d, "y", **KEYS).point[0]
    assert one.startswith(f"estimate {point:.4g} (se ") and two.startswith(f"estimate {point:.4g} (se ")
    assert "joint inference needs clustering by one level" in one and "Pass cluster=" not in one
    assert "clustered by 'state', not 'county' like 2 of the specifications" in two
    assert "2 failed, see .failed" in str(r)
    alone = specification_curve(d, "y", {"TWFE": twfe, "CS": att_gt}, draws=199, **KEYS)
    pd.testing.assert_frame_equal(r.frame.drop(columns="spec"), alone.frame.drop(columns="spec"))
    pd.testing.assert_frame_equal(r.tests, alone.tests)
    with pytest.raises(DesignError, match="none of 1 specifications can be joined"):
        specification_curve(d, "y", {"iid": iid}, draws=99, **KEYS)
