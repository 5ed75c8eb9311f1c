"""Synthetic control on predictors."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from g287stats.did.synthetic import synthetic_control
from g287stats.errors import DesignError

KEYS = {"unit": "county", "time": "year", "treatment": "d"}
PATHS = {"a": (0, 0, 0, 8), "b": (4, 8, 4, 0), "t": (3, 6, 3, 9)}  # before: t = a/4 + 3b/4
X1 = {"a": 0.0, "b": 2.0, "t": 1.5}
X2 = {"a": 0.0, "b": 4.0, "t": 1.0}


def hand():
    """Treated in the last of four years; x1 says a quarter of a, x2 three quarters."""
    rows = [(u, 2000 + k, v, int(u == "t" and k == 3), X1[u], X2[u]) for u, p in PATHS.items() for k, v in enumerate(p)]
    return pd.DataFrame(rows, columns=["county", "year", "y", "d", "x1", "x2"])


def weights(estimate):
    return estimate.synthetic.unit_weights.set_index("county")["weight"]


def fit(data, predictors=("x1", "x2"), **options):
    return synthetic_control(data, "y", predictors=predictors, inference="none", **options, **KEYS)


def test_given_weights_by_hand():
    """x1 alone: 2 w_b = 1.5. x2 alone: 4 w_b = 1. Both: least squares of (1.5, 1) on (2, 4) w_b, each over its sd."""
    assert weights(fit(hand(), predictor_weights=[1, 0])).to_dict() == pytest.approx({"a": 0.25, "b": 0.75}, abs=1e-6)
    assert weights(fit(hand(), predictor_weights=[0, 3])).to_dict() == pytest.approx({"a": 0.75, "b": 0.25}, abs=1e-6)
    s1, s2 = np.var([0, 2, 1.5], ddof=1), np.var([0, 4, 1], ddof=1)
    both = (1.5 * 2 / s1 + 1 * 4 / s2) / (4 / s1 + 16 / s2)
    e = fit(hand(), predictor_weights="equal")
    assert weights(e)["b"] == pytest.approx(both, abs=1e-6)
    table = e.synthetic.predictors
    assert table["weight"].tolist() == [0.5, 0.5]
    assert table["treated"].tolist() == [1.5, 1.0]
    assert table["synthetic"].tolist() == pytest.approx([2 * both, 4 * both], abs=1e-5)
    assert table["controls"].tolist() == [1.0, 2.0]
    assert e.point[0] == pytest.approx(9 - (1 - both) * 8, abs=1e-5)


def test_the_data_choose_the_predictor_that_fits_the_earlier_outcomes():
    """Only x1 gives the weights with which the earlier outcomes fit without error."""
    e = fit(hand())
    assert e.synthetic.predictors.set_index("predictor")["weight"]["x1"] > 0.999
    assert weights(e)["a"] == pytest.approx(0.25, abs=1e-3)
    assert e.synthetic.pre_rmspe[2003] < 1e-2
    assert e.point[0] == pytest.approx(9 - 0.25 * 8, abs=1e-2)


def test_windows_are_averages_by_hand():
    """y over 2001–2002: a 0, b 6, t 4.5: three quarters of b again."""
    e = fit(hand(), [("y", 2001, 2002)])
    row = e.synthetic.predictors.iloc[0]
    assert row["predictor"] == "y 2001–2002"
    assert (row["treated"], row["controls"]) == (4.5, 3.0)
    assert weights(e)["b"] == pytest.approx(0.75, abs=1e-6)
    gaps = hand()
    gaps.loc[(gaps["county"] == "b") & (gaps["year"] == 2000), "x1"] = np.nan  # b's mean is that of 2001–2002
    assert weights(fit(gaps, ["x1"]))["b"] == pytest.approx(0.75, abs=1e-6)
    late = hand()
    late.loc[late["year"] == 2003, "x1"] = 1e6  # after treatment began
    assert weights(fit(late, ["x1"]))["b"] == pytest.approx(0.75, abs=1e-6)


def states(seed=1, n=12, t=14):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    y = x @ rng.normal(size=(2, t)).cumsum(1) + 0.1 * rng.normal(size=(n, t))
    frame = {"county": np.repeat(np.arange(n), t), "year": np.tile(np.arange(1990, 1990 + t), n), "y": y.ravel()}
    data = pd.DataFrame(frame).assign(x1=np.repeat(x[:, 0], t), x2=np.repeat(x[:, 1], t))
    return data.assign(d=((data["county"] == 4) & (data["year"] >= 2000)).astype(int))


def test_what_must_not_matter():
    data = states()
    predictors = ["x1", "x2", ("y", 1995, 1995)]
    one = synthetic_control(data, "y", predictors=predictors, draws=3, **KEYS)
    before = data.copy()
    two = synthetic_control(data.sample(frac=1, random_state=0), "y", predictors=predictors, draws=3, **KEYS)
    assert np.array_equal(one.point, two.point)
    assert np.array_equal(one.synthetic.placebos["estimate"], two.synthetic.placebos["estimate"])
    pd.testing.assert_frame_equal(data, before)
    other = fit(data.assign(x1=100 * data["x1"] - 7, county=data["county"] + 100), predictors)
    assert other.point[0] == pytest.approx(one.point[0], abs=1e-4)
    turned = fit(data, predictors[::-1], predictor_weights=[1, 2, 3])
    assert turned.point[0] == pytest.approx(fit(data, predictors, predictor_weights=[3, 2, 1]).point[0], abs=1e-9)


def test_chosen_weights_fit_the_earlier_outcomes_no_worse_than_any_given_ones():
    data = states(2)
    chosen = fit(data).synthetic.pre_rmspe[2000]
    for first in np.linspace(0, 1, 41):
        assert chosen <= fit(data, predictor_weights=[first, 1 - first]).synthetic.pre_rmspe[2000] + 1e-6


def test_weights_in_more_than_one_way_are_said():
    e = fit(states(3), ["x1"])
    assert any("match 1 predictors without error in more than one way" in n for n in e.notes)


def test_refusals():
    data = hand()
    data["same"] = 1.0
    data.loc[data["county"] == "b", "x2"] = np.nan
    with pytest.raises(DesignError) as error:
        fit(data, ["x1", "x2", "same", ("x1", 2002, 2003)])
    for words in ("'x2' has no value before 2003 in units (1): b", "'same' is the same", "measured after treatment"):
        assert words in str(error.value)
    with pytest.raises(DesignError, match="x9"):
        fit(data, ["x9"])
    for wrong in ([1.0], [1.0, -1.0], [0.0, 0.0], "best"):
        with pytest.raises(DesignError, match="predictor_weights"):
            fit(hand(), predictor_weights=wrong)


BASQUE = "Basque Country (Pais Vasco)"
SCHOOL = ["school.illit", "school.prim", "school.med", "school.high", "school.post.high", "invest"]
SECTORS = ["agriculture", "energy", "industry", "construction", "services.venta", "services.nonventa"]
PREDICTORS = [
    *((c, 1964, 1969) for c in SCHOOL),
    ("gdpcap", 1960, 1969),
    *((f"sec.{c}", 1961, 1969) for c in SECTORS),
    ("popdens", 1969, 1969),
]


@pytest.fixture(scope="module")
def basque():
    data = pd.read_csv(Path(__file__).parents[1] / "reference/synthetic/basque.csv")
    return data.assign(on=((data["region"] == BASQUE) & (data["year"] >= 1970)).astype(int))


def fit_basque(data, **options):
    keys = {"unit": "region", "time": "year", "treatment": "on"}
    return synthetic_control(data, "gdpcap", predictors=PREDICTORS, inference="none", **options, **keys)


def test_no_published_weights_fit_the_basque_country_better(basque):
    """R Synth's weights leave a mean squared gap of 0.00821, the best found by anyone 0.00577."""
    paths = basque.pivot(index="year", columns="region", values="gdpcap").loc[:1969]
    published = 0.8508 * paths["Cataluna"] + 0.1492 * paths["Madrid (Comunidad De)"]
    theirs = float(((paths[BASQUE] - published) ** 2).mean())
    assert theirs == pytest.approx(0.00821, abs=5e-6)
    e = fit_basque(basque)
    assert e.synthetic.pre_rmspe[1970] ** 2 <= 0.00577
    assert e.point[0] == pytest.approx(-0.88, abs=0.006)
    again = fit_basque(basque, predictor_weights=e.synthetic.predictors["weight"].tolist())
    assert again.point[0] == pytest.approx(e.point[0], abs=1e-9)


def test_no_drawn_predictor_weights_fit_better(basque):
    """Not the Basque Country alone: the placebo with the most room, and an authored panel."""
    best = fit_basque(basque).synthetic.pre_rmspe[1970]
    rng = np.random.default_rng(3)
    for _ in range(40):
        v = np.exp(rng.uniform(-12, 0, len(PREDICTORS)))
        assert best <= fit_basque(basque, predictor_weights=v).synthetic.pre_rmspe[1970]
