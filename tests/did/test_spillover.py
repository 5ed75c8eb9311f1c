"""Spillovers through exposure maps."""

import numpy as np
import pandas as pd
import pytest

from g287stats.did.spillover import exposure_map, spillover_did, spillover_event_study
from g287stats.did.twfe import event_study, twfe
from g287stats.errors import DesignError, DesignWarning, IdentificationError
from g287stats.inference.honest import honest_did
from g287stats.inference.small_sample import bias_reduced
from g287stats.inference.wild import wild_bootstrap
from g287stats.palette import SERIES_COLORS

KEYS = {"unit": "county", "time": "year"}


def line(n=40, t=6, seed=0, noise=1.0, effects=(2.0, 1.0, 0.5)):
    """Counties on a line; every tenth treated from period 3; effects on itself, at one step and at two."""
    rng = np.random.default_rng(seed)
    names = np.array([f"c{i:02d}" for i in range(n)])
    treated = np.arange(n) % 10 == 4
    d = (treated[:, None] & (np.arange(t) >= 3)) * 1
    near = np.zeros((2, n), dtype=bool)
    for k in (1, 2):
        for i in np.flatnonzero(treated):
            near[k - 1, [j for j in (i - k, i + k) if 0 <= j < n]] = True
    y = rng.normal(size=n)[:, None] + 0.2 * np.arange(t) + noise * rng.normal(size=(n, t))
    after = np.arange(t) >= 3
    y = y + effects[0] * d + effects[1] * near[0][:, None] * after + effects[2] * near[1][:, None] * after
    frame = pd.DataFrame(
        {"county": np.repeat(names, t), "year": np.tile(np.arange(t), n), "own": d.ravel(), "y": y.ravel()}
    )
    pairs = pd.DataFrame({"county": names[:-1], "neighbour": names[1:]})
    return frame, pairs


def test_rings_by_hand():
    """c04 is treated: ring 1 of c03 and c05 holds it, ring 2 of c02 and c06."""
    frame, pairs = line(n=10)
    out = exposure_map(frame, pairs, "own", rings=2, **KEYS)
    last = out[out["year"] == 5].set_index("county")
    assert last.index[last["ring_1"] == 1].tolist() == ["c03", "c05"]
    assert last.index[last["ring_2"] == 1].tolist() == ["c02", "c06"]
    assert (out[out["year"] < 3][["ring_1", "ring_2"]] == 0).all().all()
    share = exposure_map(frame, pairs, "own", rings=1, how="share", **KEYS)
    assert share[share["year"] == 5].set_index("county").loc[["c03", "c00"], "ring_1"].tolist() == [0.5, 0.0]


def test_members_outside_the_frame_are_unknown_unless_said_otherwise():
    frame, pairs = line(n=10)
    part = frame[frame["county"] != "c06"]
    out = exposure_map(part, pairs, "own", rings=1, **KEYS).set_index(["county", "year"])["ring_1"]
    assert np.isnan(out["c07", 5])
    assert out["c05", 5] == 1  # decided by c04
    assert np.isnan(out["c05", 0])
    filled = exposure_map(part, pairs, "own", rings=1, unknown="untreated", **KEYS)
    assert filled["ring_1"].notna().all()


def test_pairs_that_are_not_in_the_frame_are_counted_and_listed():
    frame, pairs = line(n=10)
    assert exposure_map(frame, pairs, "own", **KEYS).attrs == {"notes": (), "pairs_not_in_frame": ()}
    lost = pairs.copy()
    lost.iloc[:3] = lost.iloc[:3].apply(lambda c: c.str.replace("c0", "c"))  # both labels misspelt
    lost.iloc[5, 1] = "elsewhere"
    with pytest.warns(DesignWarning, match=r"4 of 9 pairs of neighbours name a unit.*3 of them two.*c0 c1, c1 c2"):
        out = exposure_map(frame, lost, "own", **KEYS)
    assert out.attrs["pairs_not_in_frame"] == ("c0 c1", "c1 c2", "c2 c3", "c05 elsewhere")
    assert "4 of 9 pairs" in out.attrs["notes"][0]
    lost.iloc[0, 0] = None
    with pytest.warns(DesignWarning, match="1 of 9 pairs of neighbours have a missing label"):
        exposure_map(frame, lost, "own", **KEYS)


def test_labels_are_read_as_the_estimators_read_them():
    frame, pairs = line(n=10)
    text = frame.assign(year=(2000 + frame["year"]).astype(str))
    expected = exposure_map(frame, pairs, "own", **KEYS)["ring_1"]
    pd.testing.assert_series_equal(exposure_map(text, pairs, "own", **KEYS)["ring_1"], expected)
    periods = frame.assign(year=pd.PeriodIndex((2000 + frame["year"]).astype(str), freq="Y"))
    pd.testing.assert_series_equal(exposure_map(periods, pairs, "own", **KEYS)["ring_1"], expected)
    number = lambda c: c.str[1:].astype(int)
    with pytest.raises(DesignError, match=r"'neighbour' holds numbers \(1\), the units 'county' text \(c00\).*zfill"):
        exposure_map(frame, pairs.assign(neighbour=number(pairs["neighbour"])), "own", **KEYS)
    coded = exposure_map(frame.assign(county=number(frame["county"])), pairs.apply(number), "own", **KEYS)
    pd.testing.assert_series_equal(coded["ring_1"], expected)
    with pytest.raises(DesignError, match=r"'county' holds text \(c00\), the units 'county' numbers \(0\)"):
        exposure_map(frame.assign(county=number(frame["county"])), pairs, "own", **KEYS)


def test_noiseless_truth_and_the_bias_of_ignoring_neighbours():
    frame, pairs = line(noise=0)
    data = exposure_map(frame, pairs, "own", rings=2, **KEYS)
    e = spillover_did(data, "y", exposures=("own", "ring_1", "ring_2"), **KEYS)
    assert e.point == pytest.approx([2, 1, 0.5], abs=1e-10)
    naive = twfe(data, "y", treatment="own", **KEYS).point[0]
    # controls: 36, of which 8 at one step (+1) and 8 at two (+0.5): 2 - 12/36
    assert naive == pytest.approx(2 - (8 * 1 + 8 * 0.5) / 36, abs=1e-10)
    assert e.sample["n_clean_units"] == 20
    assert e.sample["exposed"]["n_units"].tolist() == [4, 8, 8]


def test_what_must_not_matter():
    frame, pairs = line(seed=1)
    data = exposure_map(frame, pairs, "own", **KEYS)
    mixed = exposure_map(frame.sample(frac=1, random_state=1), pairs.sample(frac=1, random_state=2), "own", **KEYS)
    pd.testing.assert_frame_equal(data, mixed.sort_index())
    both_ways = pd.concat([pairs, pairs.rename(columns={"county": "neighbour", "neighbour": "county"})])
    pd.testing.assert_frame_equal(data, exposure_map(frame, both_ways[["county", "neighbour"]], "own", **KEYS))
    names = ("own", "ring_1", "ring_2")
    one, two = (spillover_did(d, "y", exposures=names, **KEYS) for d in (data, mixed))
    assert np.array_equal(one.point, two.point)
    assert np.array_equal(one.se, two.se)


def test_refusals_and_notes():
    frame, pairs = line(n=10, seed=2)
    data = exposure_map(frame, pairs, "own", **KEYS)
    with pytest.raises(IdentificationError, match="no valid control"):
        spillover_did(
            data.assign(wide=(data["year"] >= 3) * (data["own"] == 0)), "y", exposures=("own", "wide"), **KEYS
        )
    with pytest.raises(IdentificationError, match="twice"):
        spillover_did(data.assign(twice=2 * data["own"]), "y", exposures=("own", "twice"), **KEYS)
    with pytest.raises(IdentificationError, match="'far' is 0 in every row"):
        spillover_did(data.assign(far=0), "y", exposures=("own", "far"), **KEYS)
    with pytest.raises(DesignError, match="rings=0"):
        exposure_map(frame, pairs, "own", rings=0, **KEYS)
    full = data.assign(wide=((data["year"] == 5) & (data["own"] == 0)) * 1)
    with pytest.warns(match="1 periods have no row without exposure: 5"):
        spillover_did(full, "y", exposures=("own", "wide"), **KEYS)


def staggered_line(n=60, t=9, noise=0.0, seed=0):
    """Counties on a line, every tenth treated from period 3 or 5; effects grow with the time since each began."""
    rng = np.random.default_rng(seed)
    names = np.array([f"c{i:02d}" for i in range(n)])
    start = np.where(np.arange(n) % 20 == 4, 3, np.where(np.arange(n) % 20 == 14, 5, 99))
    frame = pd.DataFrame({"county": np.repeat(names, t), "year": np.tile(np.arange(t), n)})
    frame["own"] = (frame["year"] >= np.repeat(start, t)) * 1
    pairs = pd.DataFrame({"county": names[:-1], "neighbour": names[1:]})
    data = exposure_map(frame, pairs, "own", rings=2, **KEYS)
    y = rng.normal(size=n).repeat(t) + 0.2 * data["year"] + noise * rng.normal(size=n * t)
    for name, level, growth in (("own", 2.0, 0.5), ("ring_1", 1.0, 0.25), ("ring_2", -0.5, 0.125)):
        since = data.groupby("county")[name].cumsum() - 1
        y = y + np.where(since >= 0, level + growth * since, 0.0)
    return data.assign(y=y)


NAMES = ("own", "ring_1", "ring_2")


def test_dynamic_effects_of_every_exposure_are_recovered_without_noise():
    e = spillover_event_study(staggered_line(), "y", exposures=NAMES, **KEYS)
    assert list(e.labels.columns) == ["term", "treatment", "event_time"]
    since = e.labels["event_time"].to_numpy()
    level = e.labels["treatment"].map({"own": 2.0, "ring_1": 1.0, "ring_2": -0.5}).to_numpy()
    growth = e.labels["treatment"].map({"own": 0.5, "ring_1": 0.25, "ring_2": 0.125}).to_numpy()
    assert e.point == pytest.approx(np.where(since >= 0, level + growth * since, 0.0), abs=1e-10)
    # event times 0 … 5: means 2 + 0.5·2.5, 1 + 0.25·2.5, -0.5 + 0.125·2.5
    assert e.overall.params.to_dict() == pytest.approx({"own": 3.25, "ring_1": 1.625, "ring_2": -0.1875}, abs=1e-10)
    assert e.sample["n_treated"] == 6
    assert e.sample["n_clean_units"] == 30
    assert e.reference == (-1,)


@pytest.mark.parametrize("window", [None, (-3, 3)])
@pytest.mark.parametrize("ends", ["bin", "drop"])
def test_one_exposure_is_the_event_study(window, ends):
    data = staggered_line(noise=1.0)
    one = spillover_event_study(data, "y", exposures=["own"], window=window, ends=ends, **KEYS)
    two = event_study(data, "y", treatment="own", window=window, ends=ends, **KEYS)
    assert np.array_equal(one.point, two.point)
    assert np.array_equal(one.se, two.se)
    assert one.terms == [f"own: {t}" for t in two.terms]
    assert one.overall.point[0] == pytest.approx(two.overall.point[0], abs=1e-14)
    assert one.overall.se.iloc[0] == pytest.approx(two.overall.se.iloc[0], abs=1e-14)
    assert one.sample["n_treated"] == two.sample["n_treated"]


def test_dynamic_effects_are_least_squares_on_their_dummies():
    data = staggered_line(noise=1.0, seed=3)
    e = spillover_event_study(data, "y", exposures=NAMES, window=(-2, 2), cluster="county", **KEYS)
    columns = []
    for name, event in zip(e.labels["treatment"], e.labels["event_time"]):
        on = data[data[name] == 1].groupby("county")["year"].min()
        since = (data["year"] - data["county"].map(on)).clip(-2, 2)
        columns.append((since == event).astype(float))
    dummies = pd.get_dummies(data[["county", "year"]].astype(str), drop_first=True).to_numpy(float)
    x = np.column_stack([*columns, dummies, np.ones(len(data))])
    assert e.point == pytest.approx(np.linalg.lstsq(x, data["y"], rcond=None)[0][: len(columns)], abs=1e-10)


def test_dropping_rows_outside_the_window_of_any_exposure():
    data = staggered_line(noise=1.0)
    e = spillover_event_study(data, "y", exposures=NAMES, window=(-3, 2), ends="drop", **KEYS)
    first = {k: data["county"].map(data[data[k] == 1].groupby("county")["year"].min()) for k in NAMES}
    outside = sum(((data["year"] - g) < -3) | ((data["year"] - g) > 2) for g in first.values()) > 0
    assert e.sample["n_obs"] == len(data) - outside.sum()
    assert "event time of an exposure outside -3…2" in str(e.sample["flow"])


def test_the_plot_has_a_line_for_every_exposure():
    e = spillover_event_study(staggered_line(noise=1.0), "y", exposures=NAMES, window=(-3, 3), **KEYS)
    ax = e.plot()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == list(NAMES)
    drawn = {line.get_label(): line for line in ax.lines}
    for name, color in zip(NAMES, SERIES_COLORS):
        assert drawn[name].get_color() == color
        assert drawn[name].get_ydata() == pytest.approx(e.point[e.labels["treatment"] == name])


def test_corrections_and_bootstrap_take_each_exposures_average():
    e = spillover_event_study(staggered_line(noise=1.0), "y", exposures=NAMES, window=(-3, 3), **KEYS)
    own = e.labels["treatment"] == "ring_1"
    weights = {t: 1 / 4 for t, on, when in zip(e.terms, own, e.labels["event_time"]) if on and when >= 0}
    assert wild_bootstrap(e.overall, "ring_1", draws=99).p_value == wild_bootstrap(e, weights, draws=99).p_value
    assert bias_reduced(e.overall).point == pytest.approx(e.overall.point, abs=1e-12)


def test_row_order_changes_no_bit_and_scale_only_the_scale():
    data = staggered_line(noise=1.0)
    one, two, big = (
        spillover_event_study(d, "y", exposures=NAMES, window=(-3, 3), **KEYS)
        for d in (data, data.sample(frac=1, random_state=1), data.assign(y=7 + 100 * data["y"]))
    )
    assert np.array_equal(one.point, two.point)
    assert np.array_equal(one.se, two.se)
    assert big.point == pytest.approx(100 * one.point, rel=1e-9)
    assert big.se.to_numpy() == pytest.approx(100 * one.se.to_numpy(), rel=1e-9)


def test_sensitivity_takes_one_exposure_at_a_time():
    e = spillover_event_study(staggered_line(noise=1.0), "y", exposures=NAMES, window=(-3, 3), ends="drop", **KEYS)
    with pytest.raises(DesignError, match=r'choose one, es.select\(es.labels\["treatment"\] == \'own\'\)'):
        honest_did(e)
    ring = e.select(e.labels["treatment"] == "ring_1")
    ours = honest_did(ring, kind="smoothness", M=[0.0])
    low, high = ours.conf_low_original, ours.conf_high_original
    after = e.combine(
        ((e.labels["treatment"] == "ring_1") & (e.labels["event_time"] >= 0)).to_numpy()[None, :] / 4, ["m"]
    )
    assert (low + high) / 2 == pytest.approx(after.point[0], abs=1e-10)
    binned = spillover_event_study(staggered_line(noise=1.0), "y", exposures=NAMES, window=(-3, 3), **KEYS)
    with pytest.warns(match="<=-3"):
        honest_did(binned.select(binned.labels["treatment"] == "own"), kind="smoothness", M=[0.0])


def test_dynamic_refusals():
    data = staggered_line(noise=1.0)
    with pytest.raises(DesignError, match=r"exposure 'share'.*must be 0 or 1"):
        spillover_event_study(data.assign(share=data["ring_1"] / 2), "y", exposures=("own", "share"), **KEYS)
    ends = data["ring_1"].where(data["year"] < 8, 0)
    with pytest.raises(DesignError, match=r"exposure 'ends'.*switches off in 12 units: c03, c05"):
        spillover_event_study(data.assign(ends=ends), "y", exposures=("own", "ends"), **KEYS)
    unexposed = data.groupby("county")[list(NAMES)].transform("max").max(axis=1) == 0
    everyone = data.assign(rest=(unexposed & (data["year"] >= 6)) * 1)
    with pytest.raises(IdentificationError, match=r"every unit is exposed at some time.*second reference"):
        spillover_event_study(everyone, "y", exposures=(*NAMES, "rest"), **KEYS)
    with pytest.raises(
        IdentificationError, match=r"exposure 'late': every exposed unit \(1\) is exposed in its first row"
    ):
        always = data.assign(late=(data["county"] == "c00") * 1)
        spillover_event_study(always, "y", exposures=("own", "late"), **KEYS)
