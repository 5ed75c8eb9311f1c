"""Spillovers through exposure maps."""

import numpy as np
import pandas as pd
import pytest

from g287stats.did.spillover import exposure_map, spillover_did
from g287stats.did.twfe import twfe
from g287stats.errors import DesignError, IdentificationError

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
