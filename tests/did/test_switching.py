"""Treatments that switch on and off."""

import numpy as np
import pandas as pd
import pytest
from reference_did import agree, expected, load_panel

from g287stats.did.group_time import att_gt
from g287stats.did.switching import switching_did
from g287stats.errors import DesignError, IdentificationError

KEYS = {"unit": "county", "time": "year", "treatment": "d"}


def frame(paths, outcomes):
    rows = [(u, k, paths[u][k], outcomes[u][k]) for u in paths for k in range(len(paths[u]))]
    return pd.DataFrame(rows, columns=["county", "year", "d", "y"])


HAND = frame(
    {"a": (0, 1, 1, 0), "b": (0, 1, 1, 1), "c": (0, 0, 1, 1), "n": (0, 0, 0, 0), "o": (1, 1, 0, 0), "s": (1, 1, 1, 1)},
    {"a": (1, 4, 6, 5), "b": (2, 5, 6, 9), "c": (0, 1, 5, 6), "n": (3, 4, 4, 5), "o": (7, 8, 6, 7), "s": (9, 9, 9, 9)},
)


def test_starts_by_hand():
    """a and b start in 1, c in 2, n never; o and s are treated from the first period, so never compared with starts.

    e = 0: a 4-1 = 3, b 5-2 = 3, each minus the mean of c (1-0) and n (4-3) = 1: 2, 2. c 5-1 = 4 minus n 4-4 = 0: 4.
           Mean (2 + 2 + 4) / 3 = 8/3.
    e = 1: a 6-1 = 5, b 6-2 = 4, minus n 4-3 = 1 (c has switched by period 2): 4, 3. c 6-1 = 5 minus n 5-4 = 1: 4.
           Mean 11/3.
    e = 2: a 5-1 = 4, b 9-2 = 7, minus n 5-3 = 2: 2, 5. Mean 7/2. Doses: a 1+1+0 = 2, b 3: mean 5/2.
    e = -2: only c has a period before F - 1: 0-1 = -1 minus n (F' > 2): 3-4 = -1: 0.
    """
    e = switching_did(HAND, "y", effects="start", **KEYS)
    assert e.labels["event_time"].tolist() == [-2, 0, 1, 2]
    assert e.point == pytest.approx([0, 8 / 3, 11 / 3, 7 / 2])
    assert e.labels["n_switchers"].tolist() == [1, 3, 3, 2]
    assert e.labels["dose"].tolist()[1:] == pytest.approx([1, 2, 2.5])
    assert e.overall.point[0] == pytest.approx((8 / 3 + 11 / 3 + 7 / 2) / 3)
    normal = switching_did(HAND, "y", effects="start", normalize=True, **KEYS)
    assert normal.point == pytest.approx([0, 8 / 3, 11 / 6, 7 / 5])


def test_influence_by_hand():
    """e = 0 of the starts above: psi_i = (own effect - mean)/3 for switchers, with effects 2, 2, 4 and mean 8/3.

    Controls: c and n serve a and b (change 1 each, mean 1: no deviation); n alone serves c. Only switchers vary, but c
    is a switcher too: psi = -2/9, -2/9, 4/9.
    """
    e = switching_did(HAND, "y", effects="start", **KEYS)
    assert e.influence.psi[:, 1] == pytest.approx([-2 / 9, -2 / 9, 4 / 9, 0, 0, 0])
    assert e.se.iloc[1] == pytest.approx(np.sqrt(24) / 9)


def test_ends_by_hand():
    """a ends in 3: same history is b (started in 1 too): (5-6) - (9-6) = -4. o ends in 2, treated since first seen:
    compared with s: (6-8) - (9-9) = -2 at e = 0, (7-8) - (9-9) = -1 at e = 1. c has nobody with its history, and does
    not end.

    history="any" at e = 0: a against all still treated with treatment in 2: b +3, c 6-5 = 1, s 0: mean 4/3, so -7/3;
    o in 2 against a 6-4, b 6-5 (c starts in 2), s 0: mean 1, so -2 - 1 = -3. Mean -8/3.
    """
    same = switching_did(HAND, "y", effects="end", **KEYS)
    points = dict(zip(same.labels["event_time"], same.point))
    assert points[0] == pytest.approx((-4 - 2) / 2)
    assert points[1] == pytest.approx(-1)
    any_history = switching_did(HAND, "y", effects="end", history="any", **KEYS)
    assert dict(zip(any_history.labels["event_time"], any_history.point))[0] == pytest.approx(-8 / 3)


def test_first_switch_is_the_paper_s_did_l():
    """Starts of a, b, c (2, 2, 4) and the end of o with the sign reversed (+2): mean 10/4 at e = 0."""
    e = switching_did(HAND, "y", effects="first_switch", **KEYS)
    assert dict(zip(e.labels["event_time"], e.point))[0] == pytest.approx(10 / 4)


def test_several_kinds_share_one_covariance():
    both = switching_did(HAND, "y", **KEYS)
    assert set(both.labels["group"]) == {"start", "end"}
    assert both.overall is None
    assert both.cov().shape == (len(both.point),) * 2


@pytest.mark.parametrize("base", ["varying", "universal"])
def test_absorbing_treatment_equals_callaway_santanna_with_not_yet_treated(base):
    """Points and standard errors of the event-time aggregation, as stored from R did."""
    rows = expected("panel_small", "cs.dynamic", f"reg.notyet.none.{base}")
    e = switching_did(load_panel("panel_small"), "y", effects="start", **KEYS)
    for term, time in zip(e.terms, e.labels["event_time"]):
        if time >= 0:
            agree(e.params[term], e.se[term], rows.loc[str(time)])
    agree(e.overall.point[0], e.overall.se.iloc[0], rows.loc["overall"])


@pytest.mark.parametrize(("kind", "switchers"), [("start", "in"), ("first_switch", "all")])
@pytest.mark.parametrize("normalize", [False, True])
def test_matches_the_authors_software(reference, kind, switchers, normalize):
    """Points to 1e-10, placebos included. Standard errors are ours: see docs/methods/switching.md."""
    data = pd.read_csv(reference / "switching" / "panel.csv")
    rows = pd.read_csv(reference / "switching" / "expected.csv")
    rows = rows[(rows["switchers"] == switchers) & (rows["normalized"] == normalize)].set_index("event_time")
    e = switching_did(data, "y", effects=kind, window=(-3, 3), normalize=normalize, **KEYS)
    table = e.labels.assign(point=e.point).set_index("event_time")
    shown = [t for t in rows.index if t >= 0 or not normalize]  # the software scales placebos too, ours does not
    assert len(shown) == (4 if normalize else 6)
    assert table.loc[shown, "n_switchers"].tolist() == rows.loc[shown, "n_switchers"].tolist()
    assert table.loc[shown, "point"].to_numpy() == pytest.approx(rows.loc[shown, "estimate"].to_numpy(), abs=1e-10)


def simulate(seed, n=60, t=10, start=1.0, end=-0.4, noise=1.0):
    """Counties start at 3, 5 or never; a third of the starters end three periods on and keep `start + end`."""
    rng = np.random.default_rng(seed)
    first = rng.choice([3, 5, 99], size=n, p=[0.35, 0.25, 0.4])
    last = np.where(rng.random(n) < 0.4, first + 3, 99)
    clock = np.arange(t)
    d = (clock >= first[:, None]) & (clock < last[:, None])
    gone = clock >= last[:, None]
    y = rng.normal(size=n)[:, None] + 0.3 * clock + noise * rng.normal(size=(n, t))
    y = y + start * (d | gone) + end * gone
    units = np.repeat(np.arange(n), t)
    return pd.DataFrame({"county": units, "year": np.tile(clock, n), "d": d.ravel() * 1, "y": y.ravel()})


def test_noiseless_truth():
    e = switching_did(simulate(1, noise=0), "y", window=(-3, 2), **KEYS)
    table = e.labels.assign(point=e.point)
    start = table[table["group"] == "start"].set_index("event_time")["point"]
    end = table[table["group"] == "end"].set_index("event_time")["point"]
    assert start.loc[[0, 1, 2]].to_numpy() == pytest.approx([1, 1, 1], abs=1e-10)
    assert start.loc[[-3, -2]].to_numpy() == pytest.approx([0, 0], abs=1e-10)
    assert end.loc[[0, 1, 2]].to_numpy() == pytest.approx([-0.4] * 3, abs=1e-10)


def test_what_must_not_matter():
    data = simulate(2)
    one = switching_did(data, "y", **KEYS)
    before = data.copy()
    two = switching_did(data.sample(frac=1, random_state=0), "y", **KEYS)
    pd.testing.assert_frame_equal(data, before)
    assert np.array_equal(one.point, two.point)
    assert np.array_equal(one.se, two.se, equal_nan=True)
    moved = data.assign(y=7 - 2 * data["y"], year=data["year"] + 1990, county="k" + data["county"].astype(str))
    three = switching_did(moved, "y", **KEYS)
    assert three.point == pytest.approx(-2 * one.point, abs=1e-12)
    heavy = switching_did(data.assign(w=3.0), "y", weights="w", **KEYS)
    assert heavy.point == pytest.approx(one.point, abs=1e-12)
    assert heavy.se.to_numpy() == pytest.approx(one.se.to_numpy(), abs=1e-12, nan_ok=True)


def test_weights_are_copies_of_units():
    data = simulate(3, n=40)
    w = data["county"] % 3 + 1
    weighted = switching_did(data.assign(w=w), "y", weights="w", **KEYS)
    copies = [data[w > k].assign(county=lambda x, k=k: x["county"] + 1000 * k) for k in range(3)]
    copied = switching_did(pd.concat(copies), "y", **KEYS)
    assert weighted.point == pytest.approx(copied.point, abs=1e-12)


def test_missing_outcomes_and_unknown_treatment_are_counted():
    data = simulate(4)
    data.loc[(data["county"] == 0) & (data["year"] == 4), "y"] = np.nan
    partial = switching_did(data, "y", **KEYS)
    assert partial.sample["flow"].to_frame()["rows"].tolist() == [600, -1, 599]
    hole = data.assign(d=data["d"].astype(float))
    hole.loc[(hole["county"] == 1) & (hole["year"] == 2), "d"] = np.nan
    with pytest.warns(match="unknown in some period of 1 units"):
        e = switching_did(hole, "y", **KEYS)
    assert "used up to that period: 1" in e.notes[-1] or any("used up to that period: 1" in n for n in e.notes)


def test_clusters_of_units():
    data = simulate(5)
    data["state"] = data["county"] // 6
    unit, state = switching_did(data, "y", **KEYS), switching_did(data, "y", cluster="state", **KEYS)
    assert state.point == pytest.approx(unit.point)
    sums = np.add.reduceat(unit.influence.psi, np.arange(0, 60, 6))
    assert state.se.to_numpy() == pytest.approx(np.sqrt((sums**2).sum(0)))


def test_refusals():
    data = simulate(6)
    with pytest.raises(IdentificationError, match="never starts"):
        switching_did(data.assign(d=0), "y", effects="start", **KEYS)
    with pytest.raises(IdentificationError, match="never ends"):
        switching_did(load_panel("panel_small"), "y", effects="end", **KEYS)
    with pytest.raises(DesignError, match=r"must be 0 or 1.*intensity_did"):
        switching_did(data.assign(d=data["d"] * 2.5), "y", **KEYS)
    with pytest.raises(DesignError, match="effects are"):
        switching_did(data, "y", effects="both", **KEYS)
    everyone = frame({"a": (0, 1), "b": (0, 1)}, {"a": (0, 1), "b": (0, 2)})
    with pytest.raises(IdentificationError, match="has a comparable unit"):
        switching_did(everyone, "y", effects="start", **KEYS)


def test_a_cohort_without_comparison_is_listed():
    data = frame({"a": (0, 1, 1), "b": (0, 0, 1), "c": (0, 0, 1)}, {"a": (0, 1, 2), "b": (0, 0, 1), "c": (1, 1, 3)})
    e = switching_did(data, "y", effects="start", **KEYS)
    assert any("start in 2: no comparable unit" in n for n in e.notes)


def test_neyman_variance_is_that_of_callaway_santanna():
    """Treatment that stays on: the same comparisons, so the same scaled influence and degrees of freedom."""
    data = load_panel("panel_small").assign(g=lambda f: f["g"].where(f["g"] > 0))
    ours = switching_did(data, "y", effects="start", window=(0, 3), small_sample="neyman", **KEYS)
    keys = {"unit": "county", "time": "year", "cohort": "g"}
    theirs = att_gt(data, "y", control="notyet", small_sample="neyman", **keys).aggregate("event", window=(0, 3))
    assert ours.point == pytest.approx(theirs.point, abs=1e-10)
    assert ours.se.to_numpy() == pytest.approx(theirs.se.to_numpy(), abs=1e-10)
    assert ours.conf_int().to_numpy() == pytest.approx(theirs.conf_int().to_numpy(), abs=1e-10)
    plain = switching_did(data, "y", effects="start", window=(0, 3), **KEYS)
    assert (ours.se > plain.se).all()


def test_neyman_variance_refusals():
    with pytest.raises(IdentificationError, match=r"a single unit has no variance .*start in 2, event time 0"):
        switching_did(HAND, "y", effects="start", small_sample="neyman", **KEYS)
    data = simulate(6).assign(state=lambda f: f["county"] // 10)
    with pytest.raises(DesignError, match="takes units as independent; cluster='state'"):
        switching_did(data, "y", small_sample="neyman", cluster="state", **KEYS)
    with pytest.raises(DesignError, match="choose 'did' or 'neyman'"):
        switching_did(data, "y", small_sample="hc2", **KEYS)


def test_what_can_be_estimated_is_said():
    """a and b end together and nobody who started with them stays treated: starts remain."""
    ends = HAND[HAND["county"].isin(["a", "b", "c", "n"])]
    lonely = ends.assign(d=ends["d"].mask((ends["county"] == "b") & (ends["year"] == 3), 0))
    with pytest.raises(IdentificationError, match=r'switch \(end\).*What can be estimated here: effects="start"$'):
        switching_did(lonely, "y", **KEYS)
    assert switching_did(lonely, "y", effects="start", **KEYS).labels["group"].unique().tolist() == ["start"]
    never = ends[ends["county"].isin(["b", "n"])]
    with pytest.raises(IdentificationError, match=r'treatment never ends.*effects="start"$'):
        switching_did(never, "y", **KEYS)
    left = HAND[HAND["county"].isin(["o", "s"])]
    with pytest.raises(IdentificationError, match=r'treatment never starts.*effects=\("end", "first_switch"\)$'):
        switching_did(left, "y", effects=("start", "end", "first_switch"), **KEYS)
    with pytest.raises(IdentificationError, match=r"never starts.*; y: treatment never ends[^.]*$"):
        switching_did(HAND[HAND["county"].isin(["n", "s"])], "y", **KEYS)
