"""Effects by treatment intensity."""

import numpy as np
import pandas as pd
import pytest
from reference_did import agree, expected, load_panel
from scipy import stats
from simulated_did import staggered

from g287stats.did.intensity import intensity_did
from g287stats.errors import DesignError, DesignWarning, IdentificationError

KEYS = {"unit": "county", "time": "year", "cohort": "g", "dose": "dose"}


def dosed(seed=0, n=60, noise=1.0, curve=lambda d: 0.5 * d, **options):
    data = staggered(seed, n=n, noise=noise, effect=0, **options)
    dose = np.random.default_rng(seed + 1).uniform(1, 5, size=n)[data["county"]]
    return data.assign(dose=np.where(data["g"].notna(), dose, 0), y=data["y"] + curve(dose) * data["d"])


def test_by_hand():
    """a (dose 1) and b (dose 3) treated in 1; n and m never. Changes since period 0, periods 1 and 2:

    a: 2, 4; b: 6, 6; n: 1, 1; m: 1, 3, so the comparison is 1, 2. Δ_a = ((2 - 1) + (4 - 2))/2 = 1.5,
    Δ_b = (5 + 4)/2 = 4.5. Slope (4.5 - 1.5)/(3 - 1) = 1.5; average 3.

    Influence of the average: a (1.5 - 3)/2, b (4.5 - 3)/2; n and m: minus half their deviations from the comparison
    mean summed over the two periods and divided by two: n: -(0 + (-1)/2)/2 = 1/4, m: -1/4.
    """
    y = {"a": (0, 2, 4), "b": (0, 6, 6), "n": (0, 1, 1), "m": (0, 1, 3)}
    rows = [
        (u, t, v, {"a": 1, "b": 1}.get(u), {"a": 1, "b": 3}.get(u, 0)) for u, p in y.items() for t, v in enumerate(p)
    ]
    data = pd.DataFrame(rows, columns=["county", "year", "y", "g", "dose"])
    two = intensity_did(data, "y", bins=[0, 2, 4], **KEYS)
    assert two.params.to_dict() == pytest.approx({"att[0, 2)": 1.5, "att[2, 4]": 4.5})
    line = intensity_did(data, "y", curve="polynomial", at=[1, 2, 3], **KEYS)
    assert line.params.to_dict() == pytest.approx({"att(1)": 1.5, "att(2)": 3, "att(3)": 4.5, "slope": 1.5})
    psi = dict(zip("abmn", line.overall.influence.psi[:, 0]))
    assert psi == pytest.approx({"a": -0.75, "b": 0.75, "n": 0.25, "m": -0.25})


def test_overall_is_callaway_santanna_by_cohort():
    """Averaging each unit over its treated periods weighs cohorts by size: R did's group aggregation."""
    data = load_panel("panel_small")
    data["g"] = data["g"].where(data["g"] > 0)
    for control in ("never", "notyet"):
        e = intensity_did(data.assign(dose=1 + data["x2"]), "y", bins=2, control=control, **KEYS).overall
        agree(
            e.point[0], e.se.iloc[0], expected("panel_small", "cs.group", f"reg.{control}.none.varying").loc["overall"]
        )


def test_noiseless_truth():
    line = intensity_did(dosed(noise=0), "y", curve="polynomial", at=[2, 3], **KEYS)
    assert line.params.to_numpy() == pytest.approx([1, 1.5, 0.5], abs=1e-10)
    data = dosed(noise=0, curve=lambda d: d**2)
    square = intensity_did(data, "y", curve="polynomial", degree=2, at=[2], **KEYS)
    doses = data[data["d"] == 1].drop_duplicates("county")["dose"]
    assert square.params.to_numpy() == pytest.approx([4, 2 * doses.mean()], abs=1e-9)
    binned = intensity_did(dosed(noise=0), "y", bins=3, **KEYS)
    assert binned.point == pytest.approx(0.5 * binned.labels["dose"], abs=1e-10)
    assert binned.labels["n_units"].sum() == binned.sample["n_treated"]


def test_bins_of_doses_with_few_values_are_never_empty():
    data = dosed(1)
    data["dose"] = np.where(data["g"].notna(), 1.0 + data["county"] % 5, 0)
    for bins in (1, 2, 3, 4, 10):
        e = intensity_did(data, "y", bins=bins, **KEYS)
        assert e.labels["n_units"].min() > 0
        assert e.labels["n_units"].sum() == e.sample["n_treated"]
    assert len(intensity_did(data.assign(dose=2.0), "y", **KEYS).point) == 1


def test_what_must_not_matter():
    data = dosed(2)
    for options in ({"bins": 3}, {"curve": "polynomial"}):
        one, before = intensity_did(data, "y", **options, **KEYS), data.copy()
        two = intensity_did(data.sample(frac=1, random_state=1), "y", **options, **KEYS)
        pd.testing.assert_frame_equal(data, before)
        assert np.array_equal(one.point, two.point)
        assert np.array_equal(one.se, two.se)
        moved = intensity_did(data.assign(y=9 - 2 * data["y"], w=4.0), "y", weights="w", **options, **KEYS)
        assert moved.point == pytest.approx(-2 * one.point, abs=1e-10)
        assert moved.se.to_numpy() == pytest.approx(2 * one.se.to_numpy(), abs=1e-10)
    scaled = intensity_did(data.assign(dose=10 * data["dose"]), "y", curve="polynomial", **KEYS)
    plain = intensity_did(data, "y", curve="polynomial", **KEYS)
    assert scaled.params["slope"] == pytest.approx(plain.params["slope"] / 10, abs=1e-12)


def test_refusals_and_notes():
    data = dosed(3)
    bad = data.copy()
    first, second, third = bad.loc[bad["g"].notna(), "county"].unique()[:3]
    bad.loc[(bad["county"] == first) & (bad["year"] == 9), "dose"] = 77
    bad.loc[bad["county"] == second, "dose"] = np.nan
    bad.loc[bad["county"] == third, "dose"] = 0
    with pytest.raises(DesignError) as error:
        intensity_did(bad, "y", **KEYS)
    for unit, words in ((first, "changes while treated"), (second, "no dose"), (third, "not positive")):
        assert words in str(error.value)
        assert str(unit) in str(error.value)
    with pytest.raises(IdentificationError, match="1 different doses cannot carry"):
        intensity_did(data.assign(dose=2.0), "y", curve="polynomial", **KEYS)
    with pytest.raises(DesignError, match="must increase and hold every dose"):
        intensity_did(data, "y", bins=[1, 2], **KEYS)
    with pytest.raises(IdentificationError, match=r"no treated unit has a dose in \[5, 6\]"):
        intensity_did(data, "y", bins=[0, 5, 6], **KEYS)
    with pytest.raises(IdentificationError, match="no treated unit"):
        intensity_did(data[data["g"] == 4], "y", **KEYS)
    alone = data.copy()
    top = alone.loc[alone["d"] == 1, "dose"].max()
    with pytest.warns(match="1 treated units are alone at their dose"):
        intensity_did(alone, "y", bins=[0, top - 1e-6, top], **KEYS)
    ever = data[data["g"].notna()]
    with pytest.warns(match="cohort 6: .* without an untreated comparison"):
        intensity_did(ever, "y", **KEYS)


def test_neyman_variance_is_welch_s_for_one_period_after():
    """One period before and one after: the average effect is a difference of two means of changes."""
    rng = np.random.default_rng(3)
    change = rng.normal(size=15)
    change[:6] *= 3
    frame = {"county": np.repeat(np.arange(15), 2), "year": np.tile([0, 1], 15), "dose": 1.0 + np.arange(30) // 2}
    data = pd.DataFrame(frame).assign(y=np.column_stack([np.zeros(15), change]).ravel())
    data["g"] = np.where(data["county"] < 6, 1.0, np.nan)
    e = intensity_did(data, "y", bins=[0, 20], small_sample="neyman", **KEYS)
    welch = stats.ttest_ind(change[:6], change[6:], equal_var=False).confidence_interval()
    line = intensity_did(data, "y", curve="polynomial", at=[3], small_sample="neyman", **KEYS)
    for one in (e, e.overall, line.overall):
        assert one.conf_int().iloc[0].tolist() == pytest.approx([welch.low, welch.high], abs=1e-10)
    assert line.rule.df == 4  # the smallest any parameter can have: six treated less two terms


def test_neyman_variance_refusals():
    data = dosed(4).assign(state=lambda f: f["county"] // 10)
    with pytest.raises(DesignError, match="takes units as independent; cluster='state'"):
        intensity_did(data, "y", small_sample="neyman", cluster="state", **KEYS)
    with pytest.raises(DesignError, match="choose 'did' or 'neyman'"):
        intensity_did(data, "y", small_sample="hc2", **KEYS)
    three = data[data["g"].isna() | data["county"].isin(data.loc[data["g"] == 4, "county"].unique()[:3])]
    with pytest.raises(IdentificationError, match="needs more than 3 treated"):
        intensity_did(three, "y", curve="polynomial", degree=2, small_sample="neyman", **KEYS)


def test_years_as_text_and_doses_out_of_reach():
    data = dosed(noise=1)
    line = intensity_did(data, "y", curve="polynomial", at=[2], **KEYS)
    text = data.assign(year=data["year"].astype(str))
    assert intensity_did(text, "y", curve="polynomial", at=[2], **KEYS).params.equals(line.params)
    assert not any("beyond" in note for note in line.notes)
    with pytest.warns(
        DesignWarning, match=r"at= asks for 2 doses beyond the treated ones, from 1\.\d+ to 4\.\d+: 0, 1000"
    ):
        far = intensity_did(data, "y", curve="polynomial", at=[0, 2, 1000], **KEYS)
    assert any("extrapolate" in note for note in far.notes)
    assert far.params["att(2)"] == line.params["att(2)"]
