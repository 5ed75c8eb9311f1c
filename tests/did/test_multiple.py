"""Several treatments and their contamination."""

import numpy as np
import pandas as pd
import pytest

from g287stats.did.multiple import multiple_treatments
from g287stats.did.twfe import twfe
from g287stats.errors import DesignError, IdentificationError

KEYS = {"unit": "county", "time": "year"}


def programs(seed=0, n=80, t=8, noise=1.0, effects=(1.0, -0.5)):
    rng = np.random.default_rng(seed)
    first = rng.choice([2, 4, 99], size=(n, 2), p=[0.3, 0.3, 0.4])
    clock = np.arange(t)
    jem, tfm = (clock >= first[:, [k]] for k in (0, 1))
    y = rng.normal(size=n)[:, None] + 0.3 * clock + noise * rng.normal(size=(n, t))
    y = y + effects[0] * jem + effects[1] * tfm
    return pd.DataFrame(
        {
            "county": np.repeat(np.arange(n), t),
            "year": np.tile(clock, n),
            "y": y.ravel(),
            "jem": jem.ravel() * 1,
            "tfm": tfm.ravel() * 1,
            "state": np.repeat(np.arange(n) // 8, t),
        }
    )


def test_points_are_least_squares_with_dummies():
    data = programs()
    dummies = pd.get_dummies(data[["county", "year"]].astype(str), drop_first=True).to_numpy(float)
    x = np.column_stack([data[["jem", "tfm"]], np.ones(len(data)), dummies])
    e = multiple_treatments(data, "y", ["jem", "tfm"], **KEYS)
    assert e.point == pytest.approx(np.linalg.lstsq(x, data["y"], rcond=None)[0][:2], abs=1e-10)
    one = twfe(data, "y", treatment="jem", covariates=["tfm"], **KEYS)
    assert e.params["jem"] == pytest.approx(one.point[0], abs=1e-12)
    assert e.se["jem"] == pytest.approx(one.se.iloc[0], abs=1e-12)


def test_contamination_by_hand():
    """Two periods, three counties, first differences: n (0, 0), a (1, 0), b (0, 1) in (jem, tfm).

    Differences dy_n, dy_a, dy_b: the coefficients are dy_a - dy_n and dy_b - dy_n, so the weights of jem's coefficient
    are 1 on a's jem effect and nothing on b's tfm effect. With c (1, 1) added, least squares of four differences on two
    dummies and a constant gives jem = [(a - n) + (c - b)]/2: weights 1/2 on a's and on c's jem effect; on tfm effects
    +1/2 for c and -1/2 for b.
    """
    paths = {"n": (0, 0), "a": (1, 0), "b": (0, 1), "c": (1, 1)}
    rows = [(u, t, 0.1 * t * len(u), p[0] * t, p[1] * t) for u, p in paths.items() for t in (0, 1)]
    data = pd.DataFrame(rows, columns=["county", "year", "y", "jem", "tfm"])
    data["y"] += np.random.default_rng(0).normal(size=8)
    table = multiple_treatments(data, "y", ["jem", "tfm"], **KEYS).sample["contamination"]
    row = table.set_index(["coefficient", "effects_of"]).loc[("jem", "tfm")]
    assert row["weight_sum"] == pytest.approx(0, abs=1e-12)
    assert row["negative_sum"] == pytest.approx(-0.5)
    assert row["largest_leak"] == pytest.approx(0.5)
    own = table.set_index(["coefficient", "effects_of"]).loc[("jem", "jem")]
    assert (own["weight_sum"], own["negative_sum"]) == (pytest.approx(1), pytest.approx(0, abs=1e-12))


@pytest.mark.parametrize("weights", [None, "w"])
def test_contamination_weights_return_the_bias(weights):
    """Noiseless outcomes whose tfm effects differ: the coefficient of jem is off by Σ weight × effect, exactly."""
    data = programs(1, noise=0)
    rng = np.random.default_rng(2)
    leak = rng.normal(size=len(data)) * data["tfm"]
    data = data.assign(y=data["y"] + leak, w=1 + data["county"] % 3)
    e = multiple_treatments(data, "y", ["jem", "tfm"], weights=weights, **KEYS)
    table = e.sample["contamination"].set_index(["coefficient", "effects_of"])
    bias = e.params["jem"] - 1
    assert abs(bias) > 1e-3
    assert abs(bias) <= table.loc[("jem", "tfm"), "largest_leak"] * np.ptp(leak[data["tfm"] == 1]) + 1e-9
    assert table.loc[("jem", "tfm"), "weight_sum"] == pytest.approx(0, abs=1e-10)
    assert table.loc[("jem", "jem"), "weight_sum"] == pytest.approx(1, abs=1e-10)


def test_one_at_a_time_is_not_contaminated():
    data = programs(1, noise=0)
    leak = np.random.default_rng(2).normal(size=len(data)) * data["tfm"]
    e = multiple_treatments(data.assign(y=data["y"] + leak), "y", ["jem", "tfm"], method="one_at_a_time", **KEYS)
    assert e.params["jem"] == pytest.approx(1, abs=1e-10)
    noisy = programs(3)
    e = multiple_treatments(noisy, "y", ["jem", "tfm"], method="one_at_a_time", **KEYS)
    alone = twfe(noisy[noisy["tfm"] == 0], "y", treatment="jem", **KEYS)
    assert e.params["jem"] == pytest.approx(alone.point[0], abs=1e-12)
    assert e.se["jem"] == pytest.approx(alone.se.iloc[0], abs=1e-12)
    assert e.sample["rows"].set_index("treatment").loc["jem", "n_left_out"] == (noisy["tfm"] == 1).sum()
    assert e.cov().loc["jem", "tfm"] != 0


def test_exclusive_coding_frees_the_overlap():
    data = programs(4, noise=0)
    data["y"] += 3.0 * data["jem"] * data["tfm"]
    e = multiple_treatments(data, "y", ["jem", "tfm"], coding="exclusive", **KEYS)
    assert e.params.to_dict() == pytest.approx({"jem": 1, "tfm": -0.5, "jem+tfm": 3.5}, abs=1e-9)


def test_what_must_not_matter():
    data = programs(5)
    one, before = multiple_treatments(data, "y", ["jem", "tfm"], cluster="state", **KEYS), data.copy()
    shuffled = data.sample(frac=1, random_state=1)
    two = multiple_treatments(shuffled, "y", ["jem", "tfm"], cluster="state", **KEYS)
    pd.testing.assert_frame_equal(data, before)
    assert np.array_equal(one.point, two.point)
    assert np.array_equal(one.se, two.se)
    swapped = multiple_treatments(data, "y", ["tfm", "jem"], cluster="state", **KEYS)
    assert swapped.params["jem"] == pytest.approx(one.params["jem"], abs=1e-12)


def test_refusals():
    data = programs(6)
    with pytest.raises(DesignError, match="at least two"):
        multiple_treatments(data, "y", ["jem"], **KEYS)
    with pytest.raises(IdentificationError, match="both"):
        multiple_treatments(data.assign(both=data["jem"] + data["tfm"]), "y", ["jem", "tfm", "both"], **KEYS)
    with pytest.raises(IdentificationError, match="'none' is 0 in every row"):
        multiple_treatments(data.assign(none=0), "y", ["jem", "none"], **KEYS)
    with pytest.raises(DesignError, match="exclusive coding needs treatments of 0 or 1; not so: jem"):
        multiple_treatments(data.assign(jem=data["jem"] * 2), "y", ["jem", "tfm"], coding="exclusive", **KEYS)
    with pytest.raises(IdentificationError, match="does not vary on the rows without"):
        multiple_treatments(data.assign(same=data["jem"]), "y", ["jem", "same"], method="one_at_a_time", **KEYS)
