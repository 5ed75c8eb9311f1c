"""Stacked difference-in-differences."""

import numpy as np
import pandas as pd
import pytest
from reference_did import agree, expected, load_panel, variants
from simulated_did import staggered

from g287stats.did.stacked import stacked
from g287stats.errors import DesignError, IdentificationError

KEYS = {"unit": "county", "time": "year", "cohort": "g"}
WINDOW = {"panel_small": (-2, 1), "panel_unbalanced": (-3, 2)}


def panel(name):
    data = load_panel(name)
    data["g"] = data["g"].where(data["g"] > 0)
    return data


@pytest.mark.filterwarnings("ignore::g287stats.errors.DesignWarning")
@pytest.mark.parametrize(("name", "variant"), variants("stacked.static"))
def test_matches_fixest(name, variant):
    control, cluster = variant.split(".")
    fit = {"window": WINDOW[name], "control": control, "cluster": cluster, **KEYS}
    static = stacked(panel(name), "y", shape="static", **fit)
    agree(static.point[0], static.se.iloc[0], expected(name, "stacked.static", variant).loc["att"])
    event = stacked(panel(name), "y", **fit)
    rows = expected(name, "stacked.event", variant)
    assert set(event.terms) == set(rows.index)
    for term, row in rows.iterrows():
        agree(event.params[term], event.se[term], row)


def corrected(kind, data=None):
    data = panel("panel_small") if data is None else data
    return stacked(data, "y", window=(-2, 1), corrective=kind, **KEYS)


def test_aggregate_weights_match_the_direct_average():
    row = expected("panel_small", "stacked.weighted", "wing_freedman_hollingsworth.aggregate").loc["att"]
    agree(corrected("aggregate").overall.point[0], None, row)


@pytest.mark.xfail(strict=True, reason="diff-diff leaves treated weights at 1: see the test of calendar shocks below")
def test_sample_share_weights_match_diff_diff():
    row = expected("panel_small", "stacked.weighted", "wing_freedman_hollingsworth.sample_share").loc["att"]
    e = corrected("sample_share")
    agree(e.overall.point[0], None, row)


@pytest.mark.parametrize("kind", ["none", "aggregate", "sample_share"])
def test_calendar_shocks_do_not_move_the_estimate(kind):
    """A shock to every county in 2009 is in the window of cohorts 2008 and 2010 only. It cancels when treated and
    controls have the same composition over data sets, and does not when only the controls are reweighted."""
    data = panel("panel_small")
    shocked = data.assign(y=data["y"] + 5.0 * (data["year"] == 2009))
    assert corrected(kind, shocked).point == pytest.approx(corrected(kind).point, abs=1e-10)


def test_reweighting_controls_alone_does_not_cancel_calendar_shocks():
    """Composition over data sets 10:12:8 of treated against 60:50:38 of controls: what diff-diff's weights compare."""
    treated, everyone = np.array([10, 12, 8]) / 30, np.array([60, 50, 38]) / 148
    # Year 2009 is event time 1 of cohort 2008, -1 of cohort 2010, outside the window of 2012. At e = 1 the shock enters
    # through cohort 2008 (after) and cohort 2010 (reference): share(2008) - share(2010), for either side.
    gap = (treated[0] - treated[1]) - (everyone[0] - everyone[1])
    assert abs(5.0 * gap) > 0.6


def test_sample_share_by_hand():
    """Effects of cohort data sets averaged with shares 60, 50, 38 of 148."""
    data = panel("panel_small")
    single = []
    for g in (2008, 2010, 2012):
        clean = data[(data["g"] == g) | data["g"].isna() | (data["g"] > g + 1)].copy()
        clean["g"] = clean["g"].where(clean["g"] == g)
        single.append(stacked(clean, "y", window=(-2, 1), **KEYS).params["1"])
    ours = corrected("sample_share").params["1"]
    assert ours == pytest.approx(np.array([60, 50, 38]) / 148 @ single, abs=1e-12)
    ours = corrected("aggregate").params["1"]
    assert ours == pytest.approx(np.array([10, 12, 8]) / 30 @ single, abs=1e-12)


def test_influence_is_by_unit():
    e = stacked(panel("panel_small"), "y", window=(-2, 1), cluster="state", **KEYS)
    assert e.influence.unit == "county"
    assert e.influence.psi.shape == (60, 3)
    assert set(e.influence.keys) == {"county", "state"}
    assert e.sample["n_units"] == 60
    assert e.sample["stacks"]["n_control"].tolist() == [50, 38, 30]


def test_noiseless_truth_and_what_must_not_matter():
    clean = stacked(staggered(1, noise=0, growth=0.5), "y", window=(-3, 2), **KEYS)
    assert clean.point == pytest.approx([0, 0, 1, 1.5, 2], abs=1e-10)
    data = staggered(2)
    one, before = stacked(data, "y", window=(-3, 2), **KEYS), data.copy()
    two = stacked(data.sample(frac=1, random_state=1), "y", window=(-3, 2), **KEYS)
    pd.testing.assert_frame_equal(data, before)
    assert np.array_equal(one.point, two.point)
    assert np.array_equal(one.se, two.se)
    moved = data.assign(y=1 - 4 * data["y"], county=[f"c{i:03d}" for i in data["county"]])
    three = stacked(moved, "y", window=(-3, 2), **KEYS)
    assert three.point == pytest.approx(-4 * one.point, abs=1e-11)
    assert three.se.to_numpy() == pytest.approx(4 * one.se.to_numpy(), abs=1e-11)
    heavy = stacked(data.assign(w=2.5), "y", window=(-3, 2), weights="w", **KEYS)
    assert heavy.point == pytest.approx(one.point, abs=1e-11)


def test_cohorts_left_out_are_listed_and_refusals():
    data = panel("panel_small")
    with pytest.warns(match=r"cohort 2012 \(8 units\) is left out: its window"):
        e = stacked(data, "y", window=(-2, 2), **KEYS)
    assert any("cohort 2012 (8 units)" in n for n in e.notes)
    with pytest.raises(IdentificationError, match="no cohort has the window"):
        stacked(data, "y", window=(-7, 1), **KEYS)
    with pytest.raises(DesignError, match="a period before and one after"):
        stacked(data, "y", window=(0, 2), **KEYS)
    with pytest.raises(DesignError, match="switches off in 60 units"):
        ends = data.assign(d=(data["year"] == 2009).astype(int))
        stacked(ends, "y", window=(-2, 1), unit="county", time="year", treatment="d")
