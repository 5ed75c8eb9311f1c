"""Local-projections difference-in-differences."""

import numpy as np
import pandas as pd
import pytest
from reference_did import agree, expected, load_panel
from simulated_did import staggered

from g287stats.did.lp_did import lp_did
from g287stats.errors import DesignError, IdentificationError

KEYS = {"unit": "county", "time": "year", "cohort": "g"}


def small():
    data = load_panel("panel_small")
    data["g"] = data["g"].where(data["g"] > 0)
    return data


def test_matches_pyfixest():
    e = lp_did(small(), "y", window=(-2, 3), **KEYS)
    rows = expected("panel_small", "lpdid", "county")
    assert set(e.terms) == set(rows.index)
    for term, row in rows.iterrows():
        agree(e.params[term], e.se[term], row)


def test_equal_weighting_equals_callaway_santanna():
    e = lp_did(small(), "y", window=(0, 5), scheme="equal", **KEYS)
    rows = expected("panel_small", "cs.dynamic", "reg.notyet.none.varying")
    for term in e.terms:
        agree(e.params[term], None, rows.loc[term])


def test_never_treated_controls_only():
    e = lp_did(small(), "y", window=(0, 2), control="never", scheme="equal", **KEYS)
    rows = expected("panel_small", "cs.dynamic", "reg.never.none.varying")
    for term in e.terms:
        agree(e.params[term], None, rows.loc[term])


def test_noiseless_truth_and_what_must_not_matter():
    for scheme in ("variance", "equal"):
        e = lp_did(staggered(1, noise=0, growth=0.5), "y", window=(-3, 2), scheme=scheme, **KEYS)
        assert e.point == pytest.approx([0, 0, 1, 1.5, 2], abs=1e-10)
    data = staggered(2)
    one, before = lp_did(data, "y", window=(-3, 2), **KEYS), data.copy()
    two = lp_did(data.sample(frac=1, random_state=1), "y", window=(-3, 2), **KEYS)
    pd.testing.assert_frame_equal(data, before)
    assert np.array_equal(one.point, two.point)
    assert np.array_equal(one.se, two.se)
    moved = data.assign(y=1 - 4 * data["y"], county=[f"c{i:03d}" for i in data["county"]])
    three = lp_did(moved, "y", window=(-3, 2), **KEYS)
    assert three.point == pytest.approx(-4 * one.point, abs=1e-11)
    assert three.se.to_numpy() == pytest.approx(4 * one.se.to_numpy(), abs=1e-11)
    heavy = lp_did(data.assign(w=2.5), "y", window=(-3, 2), weights="w", **KEYS)
    assert heavy.point == pytest.approx(one.point, abs=1e-11)
    assert heavy.se.to_numpy() == pytest.approx(one.se.to_numpy(), abs=1e-11)


def test_covariates_and_clusters():
    data = small()
    rng = np.random.default_rng(0)
    data["trend"] = rng.normal(size=60)[data["county"] - 1]
    tilted = data.assign(y=data["y"] + data["trend"] * (data["year"] - 2006))
    with_x = lp_did(tilted, "y", window=(0, 0), covariates=["trend"], **KEYS)
    without = lp_did(data, "y", window=(0, 0), covariates=["trend"], **KEYS)
    assert with_x.point == pytest.approx(without.point, abs=1e-10)
    state = lp_did(data, "y", window=(-2, 3), cluster="state", **KEYS)
    assert state.rule.df == 11
    assert set(state.influence.keys) == {"county", "state"}


def test_refusals_and_notes():
    data = small()
    with pytest.raises(IdentificationError, match="at horizon 6, with both periods observed, nobody starts"):
        lp_did(data, "y", window=(0, 6), **KEYS)
    with pytest.raises(IdentificationError, match="units starting in 2008 have no clean control"):
        lp_did(data[data["g"] == 2008], "y", window=(0, 1), **KEYS)
    with pytest.raises(DesignError, match="must end at 0 or later"):
        lp_did(data, "y", window=(-3, -2), **KEYS)
    with pytest.raises(IdentificationError, match="twice"):
        lp_did(
            data.assign(x1b=2 * data["x1"], twice=3 * data["x1"]),
            "y",
            window=(0, 1),
            covariates=["x1b", "twice"],
            **KEYS,
        )
    ever = data[data["g"].notna()]
    e = lp_did(ever, "y", window=(0, 1), **KEYS)
    assert any("horizon 0: no clean control for units starting in 2012" in n for n in e.notes)
