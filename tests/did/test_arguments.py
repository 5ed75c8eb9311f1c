"""Arguments of estimators: numpy's integers are integers; what is none is refused in words."""

import numpy as np
import pandas as pd
import pytest
from simulated_did import staggered

import g287stats as g
from g287stats.errors import DesignError, IdentificationError

K = {"unit": "county", "time": "year", "cohort": "g"}
pytestmark = pytest.mark.filterwarnings("ignore::g287stats.errors.G287Warning")


@pytest.fixture(scope="module")
def data():
    d = staggered(0, n=60, noise=1.0, effect=1)
    d["on"] = (d["year"] >= d["g"]) * 1
    d["dose"] = 1.0 + d["county"] % 7
    d["count"] = np.exp(d["y"] / 4)
    d["eligible"], d["place"] = d["county"] % 2, d["county"] // 2
    d["g2"] = d.groupby("place")["g"].transform("min")
    return d


TRIPLE = {"unit": "county", "time": "year", "cohort": "g2", "eligible": "eligible", "place": "place"}
SWITCH = {"unit": "county", "time": "year", "treatment": "on", "effects": "start"}
REFERENCE = {
    "event_study": lambda d, **k: g.event_study(d, "y", **K, **k),
    "poisson": lambda d, **k: g.poisson(d, "count", **K, shape="event", **k),
    "sun_abraham": lambda d, **k: g.sun_abraham(d, "y", **K, **k),
    "two_stage": lambda d, **k: g.two_stage(d, "y", **K, shape="event", **k),
    "spillover_event_study": lambda d, **k: g.spillover_event_study(
        d, "y", unit="county", time="year", exposures=["on"], **k
    ),
    "triple_difference": lambda d, **k: g.triple_difference(d, "y", **TRIPLE, shape="event", **k),
}
WINDOW = {
    **{k: v for k, v in REFERENCE.items() if k not in ("sun_abraham", "two_stage")},
    "stacked": lambda d, **k: g.stacked(d, "y", **K, **k),
    "lp_did": lambda d, **k: g.lp_did(d, "y", **K, **k),
    "switching_did": lambda d, **k: g.switching_did(d, "y", **SWITCH, **k),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_reference(data, name):
    run, plain = REFERENCE[name], REFERENCE[name](data)
    for same in (np.int64(-1), np.array([-1]), [np.int32(-1)], (-1, -1)):
        e = run(data, reference=same)
        assert e.reference == (-1,) and e.terms == plain.terms and e.options == plain.options
        np.testing.assert_array_equal(e.point, plain.point)
    for wrong in (-1.0, True, None, "-1", (-1, "a")):
        with pytest.raises(DesignError, match=r"reference=.*whole numbers: reference=\(-1, -4\)"):
            run(data, reference=wrong)
    if name != "sun_abraham":  # which leaves out cohorts without the reference period
        with pytest.raises(IdentificationError, match=r"reference event times \[-99\] do not occur; choose reference="):
            run(data, reference=-99)


@pytest.mark.parametrize("name", WINDOW)
def test_window(data, name):
    run, plain = WINDOW[name], WINDOW[name](data, window=(-2, 2))
    for same in ((np.int64(-2), np.int64(2)), np.array([-2, 2]), [-2, 2]):
        e = run(data, window=same)
        assert e.terms == plain.terms and e.options == plain.options
        np.testing.assert_array_equal(e.point, plain.point)
    for wrong in ((-2.0, 2.0), (-2,), (-2, 0, 2), 2, "ab", (None, 2)):
        with pytest.raises(
            DesignError, match=r"window=.*first and the last event time, whole numbers: window=\(-4, 4\)"
        ):
            run(data, window=wrong)
    with pytest.raises(DesignError, match="first event time comes after the last"):
        run(data, window=(2, -2))


def test_counts(data):
    leads = lambda k: g.imputation(data, "y", **K, leads=k)
    assert leads(np.int64(2)).terms == leads(2).terms
    pairs = pd.DataFrame({"a": range(59), "b": range(1, 60)})
    rings = lambda k: g.exposure_map(data, pairs, "on", unit="county", time="year", rings=k)
    pd.testing.assert_frame_equal(rings(np.int64(1)), rings(1))
    near = lambda k: g.match(data, ["y"], **K, periods=(1, 2), neighbours=k)
    many = lambda k: g.intensity_did(data, "y", **K, dose="dose", bins=k)
    assert many(np.int64(2)).terms == many(2).terms
    power = lambda k: g.intensity_did(data, "y", **K, dose="dose", curve="polynomial", degree=k)
    for run, name, least, wrong in (
        (leads, "leads", 0, (-2, 1.5, None, True)),
        (rings, "rings", 1, (0, 1.5, "2")),
        (near, "neighbours", 1, (0, 1.5)),
        (many, "bins", 1, (0, 2.5)),
        (power, "degree", 1, (0, 1.5)),
    ):
        for value in wrong:
            with pytest.raises(DesignError, match=f"{name}={value!r}: give a whole number, {least} or more"):
                run(value)
