"""Aggregation on ``Estimate.cells`` alone: any estimator's cells, fixed or estimated masses."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from g287stats.errors import DesignError
from g287stats.estimate.covariance import Clustered, Influence
from g287stats.estimate.estimate import Cells, Estimate, Method

COHORT = [2, 2, 2, 3, 3, 3]
TIME = [1, 2, 3, 1, 2, 3]
ATT = [0.0, 4.0, 6.0, 1.0, -1.0, 10.0]
MASS = [2.0, 2.0, 1.0, 1.0, 1.0, 1.0]  # one observation of cohort 2 is missing in period 3


def cells_of(mass=MASS, influence=None, group=None, reference=None):
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"cohort": COHORT, "time": TIME, "event_time": np.subtract(TIME, COHORT), "mass": mass})
    if reference is not None:
        frame["reference"] = reference
    labels = frame.assign(term=[f"att({g},{t})" for g, t in zip(COHORT, TIME)])[["term", "cohort", "time"]]
    return Estimate(
        labels=labels,
        point=np.array(ATT),
        influence=Influence(rng.normal(size=(20, 6)), {"county": np.arange(20)}),
        rule=Clustered(("county",), small_sample="did"),
        kind="group_time",
        method=Method("made_up", "Made up"),
        outcome="y",
        cells=Cells(frame, group, influence),
    )


def test_fixed_masses_by_hand():
    """Masses 2, 1 for cohort 2 after treatment (periods 2, 3), 1 for cohort 3 (period 3)."""
    gt = cells_of()
    psi = gt.influence.psi
    simple = gt.aggregate("simple")
    assert simple.point == pytest.approx([(2 * 4 + 6 + 10) / 4])
    np.testing.assert_allclose(simple.influence.psi[:, 0], (2 * psi[:, 1] + psi[:, 2] + psi[:, 5]) / 4)
    event = gt.aggregate("event")
    assert event.params.to_dict() == pytest.approx({"-2": 1, "-1": (2 * 0 - 1) / 3, "0": (2 * 4 + 10) / 3, "1": 6})
    assert event.labels["event_time"].tolist() == [-2, -1, 0, 1]
    assert event.overall.point == pytest.approx([(6 + 6) / 2])
    np.testing.assert_allclose(event.overall.influence.psi[:, 0], event.influence.psi[:, 2:].mean(axis=1))
    cohort = gt.aggregate("cohort")
    assert cohort.params.to_dict() == pytest.approx({"2": (2 * 4 + 6) / 3, "3": 10})
    assert cohort.overall.point == pytest.approx([(1.5 * 14 / 3 + 10) / 2.5])  # mean masses 1.5 and 1
    calendar = gt.aggregate("calendar")
    assert calendar.params.to_dict() == pytest.approx({"2": 4, "3": 8})
    assert calendar.overall.point == pytest.approx([6])
    assert calendar.kind == "calendar"
    assert calendar.overall.kind == "simple"
    assert simple.overall is None


def test_window_and_balance():
    gt = cells_of()
    event = gt.aggregate("event", window=(-1, 0))
    assert event.terms == ["-1", "0"]
    assert event.overall.point == pytest.approx([6])
    balanced = gt.aggregate("event", balance=1)  # cohort 3 has no event time 1
    assert balanced.params.to_dict() == {"-1": 0, "0": 4, "1": 6}
    assert gt.aggregate("event", balance=0).terms == ["-2", "-1", "0"]
    assert gt.aggregate("event", window=(-2, -1)).overall is None


def test_estimated_masses_add_their_influence():
    group, influence = np.array([0, 0, 0, 1, 1, 1]), np.random.default_rng(6).normal(size=(20, 2))
    mass = np.array([0.4, 0.4, 0.4, 0.1, 0.1, 0.1])
    gt = cells_of(mass, influence, group)
    event = gt.aggregate("event")
    theta = (0.4 * 4 + 0.1 * 10) / 0.5
    slope = np.array([4 - theta, 10 - theta]) / 0.5
    expected = gt.influence.psi[:, [1, 5]] @ [0.8, 0.2] + influence @ slope
    np.testing.assert_allclose(event.influence.psi[:, 2], expected)
    # numerically: move the masses along their influence
    for kind in ("simple", "event", "cohort", "calendar"):
        fixed, moving = cells_of(mass).aggregate(kind), gt.aggregate(kind)
        h = 1e-6
        for unit in (0, 7):
            ends = [cells_of(mass + s * h * influence[unit][group]).aggregate(kind) for s in (1, -1)]
            for one, two, ends_of in (
                (fixed, moving, ends),
                (fixed.overall, moving.overall, [e.overall for e in ends]),
            ):
                if one is None:
                    continue
                added = (two.influence.psi - one.influence.psi)[unit]
                np.testing.assert_allclose(added, (ends_of[0].point - ends_of[1].point) / (2 * h), atol=1e-8)


def test_reference_cells_stay_reference():
    fixed = [True, False, False, False, True, False]  # event time −1 of both cohorts
    gt = cells_of(reference=fixed)
    assert gt.aggregate("event").reference == (-1,)
    assert cells_of(reference=[True] + [False] * 5).aggregate("event").reference == ()


def test_refusals():
    gt = cells_of()
    with pytest.raises(DesignError, match="no cohort × time cells"):
        gt.aggregate("event").aggregate("simple")
    with pytest.raises(DesignError, match="kind='events': choose 'simple', 'event', 'cohort' or 'calendar'"):
        gt.aggregate("events")
    with pytest.raises(DesignError, match="go with 'event'"):
        gt.aggregate("simple", window=(0, 1))
    with pytest.raises(DesignError, match="first event time comes after the last"):
        gt.aggregate("event", window=(1, 0))
    with pytest.raises(DesignError, match=r"event times run from -2 to 1"):
        gt.aggregate("event", window=(5, 9))
    empty = replace(gt, cells=Cells(gt.cells.frame.assign(mass=[0, 0, 0, 1, 1, 1.0])))
    with pytest.raises(DesignError, match="behind '2' have no mass"):
        empty.aggregate("calendar")
