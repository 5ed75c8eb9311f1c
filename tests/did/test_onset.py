"""A treatment column dates its onset from every row in which treatment is known, as a cohort column would."""

import numpy as np
import pandas as pd
import pytest

import g287stats as g
from g287stats.errors import DesignError, DesignWarning, IdentificationError

K = {"unit": "u", "time": "t"}
pytestmark = pytest.mark.filterwarnings("ignore::g287stats.errors.DesignWarning")


def panel(effect=lambda e: 1.0 + e):
    """Thirty units, years 2001–2010; cohorts 2004, 2006, 2008 and never; ``z`` is noise."""
    noise = np.random.default_rng(5)
    rows = [
        (f"{1000 + i:05d}", t, (2004, 2006, 2008, np.nan, np.nan)[i % 5], i)
        for i in range(30)
        for t in range(2001, 2011)
    ]
    d = pd.DataFrame(rows, columns=["u", "t", "g", "i"])
    d["d"] = (d.t >= d.g) * 1
    d["z"] = noise.normal(size=len(d))
    d["y"] = d.t * 0.1 + d.i * 0.01 + np.where(d.d == 1, effect(d.t - d.g.fillna(0)), 0)
    return d


def holes():
    """The outcome is missing in the year treatment starts of every other treated unit, and in other rows."""
    d = panel()
    d["y"] = d.y + d.z
    return d.assign(y=d.y.mask((d.t == d.g) & (d.i % 2 == 0)).mask((d.i % 7 == 3) & (d.t == 2002)))


ESTIMATORS = {
    "event_study": lambda d, **k: g.event_study(d, "y", **K, **k),
    "imputation": lambda d, **k: g.imputation(d, "y", **K, **k).aggregate("event"),
    "two_stage": lambda d, **k: g.two_stage(d, "y", **K, **k, shape="event"),
    "sun_abraham": lambda d, **k: g.sun_abraham(d, "y", **K, **k),
    "etwfe": lambda d, **k: g.etwfe(d, "y", **K, **k),
    "lp_did": lambda d, **k: g.lp_did(d, "y", **K, **k, window=(-2, 2)),
    "stacked": lambda d, **k: g.stacked(d, "y", **K, **k, window=(-2, 2)),
    "poisson": lambda d, **k: g.poisson(d.assign(y=np.exp(d.y)), "y", **K, **k, shape="event"),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_missing_outcome_does_not_date_the_treatment_anew(name):
    by_cohort, by_treatment = (ESTIMATORS[name](holes(), **k) for k in ({"cohort": "g"}, {"treatment": "d"}))
    assert by_treatment.terms == by_cohort.terms
    np.testing.assert_array_equal(by_treatment.point, by_cohort.point)
    np.testing.assert_array_equal(by_treatment.se, by_cohort.se)


def test_exposures_are_dated_from_all_rows():
    d = holes()
    d["own"] = d.d
    event = g.spillover_event_study(d, "y", **K, exposures=["own"])
    np.testing.assert_allclose(event.point, g.event_study(d, "y", **K, cohort="g").point, rtol=1e-10, atol=1e-12)


def test_tables_of_cohorts_are_dated_from_all_rows():
    d = holes()
    by_cohort, by_treatment = (g.cohort_sizes(d, "y", **K, **k) for k in ({"cohort": "g"}, {"treatment": "d"}))
    pd.testing.assert_frame_equal(by_treatment, by_cohort)
    by_cohort, by_treatment = (
        g.twfe_weights(d, "y", **K, **k).by_cohort for k in ({"cohort": "g"}, {"treatment": "d"})
    )
    pd.testing.assert_frame_equal(by_treatment, by_cohort)
    assert by_treatment.groupby("cohort")["n_obs"].sum().tolist() == [6 * 7 - 3, 6 * 5 - 3, 6 * 3 - 3]


def always():
    """Two more units treated since 1997 and one that enters in 2005 treated; effects min(1 + e, 3), without noise."""
    d = panel(lambda e: np.minimum(1.0 + e, 3))
    more = []
    for i, (u, first) in enumerate({"x1": 2001, "x2": 2001, "x3": 2005}.items()):
        rows = pd.DataFrame({"u": u, "t": range(first, 2011), "g": 1997.0, "i": 90 + i, "d": 1})
        rows["y"] = rows.t * 0.1 + 3 + i
        more.append(rows)
    return pd.concat([d, *more], ignore_index=True)


def test_units_never_seen_untreated_have_no_event_time():
    with pytest.warns(DesignWarning, match="3 units are treated in their first row"):
        event = g.event_study(always(), "y", **K, treatment="d")
    after = event.params[[str(e) for e in range(7)]].to_numpy()
    np.testing.assert_allclose(after, [1, 2, 3, 3, 3, 3, 3], atol=1e-9)
    assert "3 units are treated from the first period on or earlier" in event.notes
    assert any("3 units treated in their first row have no event time" in note for note in event.notes)
    flow = event.sample["flow"].to_frame().set_index("step")
    assert flow.loc["treated in its first row: event time unknown", ["rows", "units"]].tolist() == [-26, 3]
    spill = g.spillover_event_study(always().assign(own=lambda f: f.d), "y", **K, exposures=["own"])
    np.testing.assert_allclose(spill.point, event.point, atol=1e-9)
    assert any(note.startswith("exposure 'own': 3 units are treated") for note in spill.notes)


@pytest.mark.parametrize("name", ["imputation", "two_stage", "sun_abraham", "etwfe", "lp_did", "stacked"])
def test_units_treated_from_the_first_period_on_are_read_as_with_cohort(name):
    """Cohort 1997 and a treatment that is on in every row: no unit of them informs an effect."""
    by_cohort, by_treatment = (ESTIMATORS[name](always(), **k) for k in ({"cohort": "g"}, {"treatment": "d"}))
    assert by_treatment.terms == by_cohort.terms
    np.testing.assert_array_equal(by_treatment.point, by_cohort.point)
    assert "3 units are treated from the first period on or earlier" in by_treatment.notes
    assert any("since when is unknown: x1, x2, x3" in note for note in by_treatment.notes)


def test_all_treated_since_before_the_panel_is_refused():
    d = always()
    with pytest.raises(IdentificationError, match=r"every treated unit \(3\) is treated in its first row"):
        g.event_study(d[d.g.isna() | (d.g == 1997)], "y", **K, treatment="d")


def test_a_gap_before_the_first_treated_row_is_told():
    d = panel()
    d["v"] = d.d.astype(float).mask((d.t == 2003) & (d.u == "01000"))
    d = d[~((d.t == 2003) & (d.u == "01005"))]
    event = g.event_study(d, "y", **K, treatment="v")
    told = [note for note in event.notes if "not known in the period before" in note]
    assert len(told) == 1 and "2 units" in told[0] and "01000, 01005" in told[0]
    assert not any("not known" in note for note in g.event_study(panel(), "y", **K, treatment="d").notes)


def test_the_end_of_a_treatment_is_seen_in_all_rows_up_to_the_last_one_used():
    d = panel()
    off = (d.u == "01000") & (d.t == 2007)
    with pytest.raises(DesignError, match="switches off in 1 units: 01000"):
        g.event_study(d.assign(d=d.d.mask(off, 0), y=d.y.mask(off)), "y", **K, treatment="d")
    end = (d.u == "01000") & (d.t >= 2007)  # a unit that is cut off where its treatment ends
    cut = g.event_study(d.assign(d=d.d.mask(end, 0), y=d.y.mask(end)), "y", **K, treatment="d")
    np.testing.assert_allclose(cut.params[["0", "1", "2"]], [1, 2, 3], atol=1e-9)
    before = (d.u == "01003") & (d.t <= 2002)  # treated in rows without outcome, then never again
    with pytest.raises(DesignError, match="switches off in 1 units: 01003"):
        g.event_study(d.assign(d=d.d.mask(before, 1), y=d.y.mask(before)), "y", **K, treatment="d")


def test_treatment_after_the_last_outcome_is_told():
    d = panel()
    d["y"] = d.y.mask(d.t >= 2008)
    by_cohort, by_treatment = (g.event_study(d, "y", **K, **k) for k in ({"cohort": "g"}, {"treatment": "d"}))
    assert by_treatment.terms == by_cohort.terms
    assert "6 units are first treated after the last period 2007" in by_treatment.notes
