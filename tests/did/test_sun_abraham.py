"""The interacted event study worked by hand, and its choice of controls."""

import numpy as np
import pytest
from panels_by_hand import table
from reference_did import load_panel

from g287stats.did.sun_abraham import sun_abraham
from g287stats.errors import DesignError

KEYS = {"unit": "county", "time": "year", "cohort": "g"}


def six_counties():
    return table(
        {
            "a": [1, 2, 6, 9],
            "b": [3, 4, 8, 9],
            "e": [0, 1, 1, 6],
            "f": [2, 3, 5, 6],
            "m": [1, 1, 2, 2],
            "n": [0, 2, 2, 4],
        },
        {"a": 2003, "b": 2003, "e": 2004, "f": 2004},
    )


def test_effects_by_hand():
    # means  cohort 2003: 2 3 7 9   cohort 2004: 1 2 3 6   never: 0.5 1.5 2 3
    # cohort 2003 relative to 2002: −1 . +4 +6, never −1 . +0.5 +1.5  →  2001: 0, 2003: 3.5, 2004: 4.5
    # cohort 2004 relative to 2003: −2 −1 . +3, never −1.5 −0.5 . +1  →  2001: −0.5, 2002: −0.5, 2004: 2
    estimate = sun_abraham(six_counties(), "y", **KEYS)
    assert dict(estimate.params) == pytest.approx(
        {
            "att(2003,2001)": 0.0,
            "att(2003,2003)": 3.5,
            "att(2003,2004)": 4.5,
            "att(2004,2001)": -0.5,
            "att(2004,2002)": -0.5,
            "att(2004,2004)": 2.0,
        },
        abs=1e-13,
    )
    assert estimate.overall.point[0] == pytest.approx(10 / 3)
    assert dict(estimate.aggregate("event").params) == pytest.approx({"-3": -0.5, "-2": -0.25, "0": 2.75, "1": 4.5})


def test_influence_by_hand():
    # att(2003,2003) is a difference of mean changes from 2002 to 2003: a 4, b 4 (mean 4); m 1, n 0 (mean 0.5);
    # a county's influence is ± (change − mean)/2: a 0, b 0, m −1/4, n +1/4
    estimate = sun_abraham(six_counties(), "y", **KEYS)
    psi = estimate.influence.psi[:, estimate.terms.index("att(2003,2003)")]
    assert psi == pytest.approx([0, 0, 0, 0, -0.25, 0.25], abs=1e-14)


def test_last_cohort_as_control():
    # without m and n, periods before 2004: cohort 2003 from 2002 to 2003 +4, cohort 2004 +1 → 3
    frame = six_counties()
    estimate = sun_abraham(frame[frame["g"].notna()], "y", **KEYS, control="last")
    assert dict(estimate.params) == pytest.approx({"att(2003,2001)": 0.0, "att(2003,2003)": 3.0}, abs=1e-13)
    assert any("is the control" in n for n in estimate.notes)


def test_last_cohort_leaves_never_treated_out():
    frame = six_counties()
    estimate = sun_abraham(frame, "y", **KEYS, control="last")
    assert estimate.params["att(2003,2003)"] == pytest.approx(3.0)
    assert estimate.sample["n_units"] == 4


def test_always_treated_are_left_out_and_named():
    frame = load_panel("panel_unbalanced")
    with pytest.warns(Warning, match="have no period at event time -1"):
        estimate = sun_abraham(frame, "y", **KEYS)
    without = sun_abraham(frame[frame["g"] != 2000], "y", **KEYS)
    np.testing.assert_array_equal(estimate.point, without.point)
    np.testing.assert_array_equal(estimate.se, without.se)


def test_effects_without_comparison_are_listed():
    frame = six_counties()
    frame = frame[~(frame["county"].isin(["m", "n"]) & (frame["year"] == 2004))]
    with pytest.warns(Warning, match="2 cohort × period effects have no valid comparison"):
        estimate = sun_abraham(frame, "y", **KEYS)
    assert "att(2003,2004)" not in estimate.terms and "att(2003,2003)" in estimate.terms


def test_further_fixed_effects_take_the_general_regression():
    frame = load_panel("panel_small")
    frame["region"] = frame["state"] % 2
    estimate = sun_abraham(frame, "y", **KEYS, fixed_effects=[("region", "year")])
    alone = sun_abraham(frame, "y", **KEYS)
    assert estimate.terms == alone.terms
    assert np.abs(estimate.point - alone.point).max() > 1e-3
    doubled = sun_abraham(frame.assign(region=0), "y", **KEYS, fixed_effects=[("region", "year")])
    np.testing.assert_allclose(doubled.point, alone.point, atol=1e-12)
    np.testing.assert_allclose(doubled.se, alone.se, atol=1e-12)


def test_choices_are_checked():
    with pytest.raises(DesignError, match="choose 'never' or 'last'"):
        sun_abraham(six_counties(), "y", **KEYS, control="notyet")
