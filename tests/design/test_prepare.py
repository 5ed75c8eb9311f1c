"""The one door: what it admits, what it counts, what it refuses, and that it never changes its input."""

import warnings

import numpy as np
import pandas as pd
import pytest

from g287stats.design.prepare import NEVER, prepare
from g287stats.errors import DesignError, DesignWarning, FewTreatedWarning

KEYS = {"unit": "county", "time": "year", "cohort": "g"}


def frame(**changes):
    data = pd.DataFrame(
        {
            "county": np.repeat(["01001", "01003", "01005"], 4),
            "year": np.tile([2005, 2006, 2007, 2008], 3),
            "g": np.repeat([2007.0, np.nan, np.nan], 4),
            "y": np.arange(12.0),
            "state": "01",
            "x": 1.0,
        }
    )
    return data.assign(**changes)


def quiet(*args, **kw):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return prepare(*args, **kw)


def test_labels_become_sorted_codes_and_never_is_missing():
    design = prepare(frame(), "y", **KEYS)
    assert design.unit_labels.tolist() == ["01001", "01003", "01005"]
    assert design.cohort.tolist() == [2, NEVER, NEVER]  # 2007 is the third period of a calendar from 2005
    assert design.calendar.tolist() == [2005, 2006, 2007, 2008]
    assert design.balanced
    assert design.flow.to_frame()["rows"].tolist() == [12, 12]


def test_row_order_and_input_do_not_matter_or_change():
    data = frame()
    kept = data.copy(deep=True)
    shuffled = data.sample(frac=1, random_state=1)
    one, two = prepare(data, "y", **KEYS), prepare(shuffled, "y", **KEYS)
    for name in ("y", "unit", "time", "cohort"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    pd.testing.assert_frame_equal(data, kept)


def test_all_problems_are_told_at_once():
    bad = pd.concat([frame(y=np.r_[np.inf, np.arange(11.0)]), frame().iloc[[5]]])
    bad.loc[bad["county"].eq("01005") & bad["year"].eq(2008), "g"] = 2006.0
    with pytest.raises(DesignError) as caught:
        prepare(bad, "y", **KEYS)
    text = str(caught.value)
    assert "infinite values in 'y' (1): 01001 2005" in text
    assert "duplicate unit-periods (1): 01003 2006" in text
    assert "cohort 'g' changes within units (1): 01005" in text
    assert "drop_duplicates" in text


def test_missing_outcomes_are_counted_and_listed_not_filled():
    design = quiet(frame(y=[np.nan, *range(11)]), "y", **KEYS)
    (step,) = design.flow.dropped("design")
    reason, rows, units, listing = step.step, step.rows, step.units, step.listing
    assert (reason, rows, units, listing) == ("missing y", 1, 1, ("01001 2005",))
    assert not design.balanced


def test_a_unit_without_a_complete_row_is_noted():
    design = quiet(frame(y=[np.nan] * 4 + list(range(8))), "y", **KEYS)
    assert "1 of 3 units have no complete row" in design.notes


@pytest.mark.parametrize("never", [0, np.inf])
def test_cohort_zero_or_infinity_is_read_as_never_with_a_count(never):
    with pytest.warns(DesignWarning, match="in 2 units is read as never treated"):
        design = prepare(frame(g=np.repeat([2007, never, never], 4)), "y", **KEYS)
    assert (design.cohort[1:] == NEVER).all()


def test_gaps_in_the_calendar_stay_gaps():
    with pytest.warns(DesignWarning, match="1 gaps, kept as gaps: 2006"):
        design = prepare(frame().query("year != 2006"), "y", **KEYS)
    assert design.calendar.tolist() == [2005, 2006, 2007, 2008]
    assert sorted(set(design.time)) == [0, 2, 3]
    assert design.cohort[0] == 2  # event time still counts calendar years


def test_months_as_periods_count_months():
    data = frame(year=np.tile(pd.period_range("2012-11", periods=4, freq="M"), 3))
    data["g"] = pd.PeriodIndex(
        [pd.Period("2013-01", "M") if c == "01001" else pd.NaT for c in data["county"]], freq="M"
    )
    design = prepare(data, "y", **KEYS)
    assert design.cohort[0] == 2  # November, December, January: not 201301 - 201211 = 90
    assert design.calendar[2] == pd.Period("2013-01", "M")
    assert design.period_label(5) == pd.Period("2013-04", "M")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"year": np.tile([201211, 201212, 201301, 201302], 3), "g": np.nan}, "looks like YYYYMM"),
        ({"year": np.tile(pd.date_range("2005-01-01", periods=4, freq="YS"), 3), "g": np.nan}, "to_period"),
        ({"year": np.tile(["a", "b", "c", "d"], 3)}, "not a calendar"),
        ({"y": ["1", "2", "x"] * 4}, "not numeric"),
        ({"g": np.repeat([2007.5, np.nan, np.nan], 4)}, "not a whole period"),
        ({"x": -1.0}, "must be positive"),
        ({"county": [None, *["01001"] * 11]}, "key 'county' is missing"),
    ],
)
def test_refusals_name_the_column_and_the_remedy(changes, words):
    with pytest.raises(DesignError, match=words):
        quiet(frame(**changes), "y", weights="x", **KEYS)


def test_absent_columns_and_absent_keys():
    with pytest.raises(DesignError, match=r"columns not in the frame \(1\): z"):
        prepare(frame(), "z", **KEYS)
    with pytest.raises(DesignError, match='unit="county_fips"'):
        prepare(frame(), "y")
    with pytest.raises(DesignError, match="no complete rows"):
        prepare(frame(y=np.nan), "y", **KEYS)


def test_interacted_effects_and_clusters_are_coded_in_label_order():
    design = prepare(
        frame(state=np.repeat(["B", "A", "A"], 4)), "y", cluster="state", fixed_effects=[("state", "year")], **KEYS
    )
    assert design.clusters["state"].tolist() == [1] * 4 + [0] * 8
    assert len(set(design.effects["state×year"])) == 8
    assert design.unit_level("state").tolist() == [1, 0, 0]


def test_treatment_before_and_after_the_panel_is_noted():
    with pytest.warns(DesignWarning) as caught:
        design = prepare(frame(g=np.repeat([2004.0, 2010.0, np.nan], 4)), "y", **KEYS)
    told = " ".join(str(w.message) for w in caught)
    assert "treated from the first period on or earlier" in told
    assert "first treated after the last period 2008" in told
    assert design.cohort.tolist() == [-1, 5, NEVER]


def test_a_frame_changed_afterwards_does_not_change_the_design():
    data = frame().astype({"y": float})
    design = prepare(data, "y", cluster="state", **KEYS)
    before = design.y.copy()
    data.loc[3, "y"] = 99.0
    data["y"] += 1.0
    data.iloc[0] = data.iloc[5]
    np.testing.assert_array_equal(design.y, before)
    given = np.arange(12.0)
    aliased = prepare(frame().assign(y=given), "y", **KEYS)
    given[:] = -1.0
    np.testing.assert_array_equal(aliased.y, np.arange(12.0))


def test_a_column_that_occurs_twice_is_refused():
    twice = pd.concat([frame(), frame()[["y"]]], axis=1)
    with pytest.raises(DesignError, match=r"occur more than once \(1\): y"):
        prepare(twice, "y", **KEYS)


def test_a_complete_panel_in_order_equals_the_same_rows_shuffled_or_with_text_keys():
    rng = np.random.default_rng(3)
    n, t = 12, 6
    county = np.repeat(np.sort(rng.choice(1000, n, replace=False)), t)
    data = pd.DataFrame({"county": county, "year": np.tile(np.arange(2001, 2001 + t), n), "y": rng.normal(size=n * t)})
    data["g"] = np.repeat(rng.choice([2003.0, 2005.0, np.nan], n), t)
    data["state"], data["moving"] = data["county"] // 100, rng.integers(0, 3, n * t)
    data["d"] = (data["year"] >= data["g"]).astype(int)
    keys = KEYS | {"treatment": "d", "cluster": ["state", "moving"], "fixed_effects": [("state", "year")]}
    ordered = quiet(data, "y", **keys)
    assert ordered.rows.complete
    texts = data.assign(county=data["county"].map("{:05d}".format), state=data["state"].map("{:02d}".format))
    for other in (
        data.sample(frac=1, random_state=2),
        texts,
        texts.astype({"county": "category"}),
        data.assign(g=data["g"].astype("Float64"), d=data["d"].astype("boolean")),
    ):
        design = quiet(other, "y", **keys)
        for name in ("y", "unit", "time", "cohort", "treatment"):
            np.testing.assert_array_equal(getattr(design, name), getattr(ordered, name))
        for level in ordered.clusters:
            np.testing.assert_array_equal(design.clusters[level], ordered.clusters[level])
            np.testing.assert_array_equal(design.unit_level(level), ordered.unit_level(level))
        np.testing.assert_array_equal(design.effects["state×year"], ordered.effects["state×year"])
        assert len(design.notes) == len(ordered.notes)


def test_every_kind_of_problem_is_in_one_message():
    bad = pd.concat([frame(), frame().iloc[[5]]], ignore_index=True).assign(
        w=1.0, z="a", when=pd.Timestamp("2005-01-01")
    )
    bad.loc[0, "y"], bad.loc[1, "w"] = np.inf, -1.0
    bad.loc[2, "g"] = 2001.0
    with pytest.raises(DesignError) as caught:
        prepare(bad, "y", weights="w", covariates=["z", "when"], **KEYS)
    text = str(caught.value)
    assert "6 problems" in text
    for words in (
        "'z' is not numeric (1): 'a'",
        "'when' is not numeric but datetime64",
        "infinite values in 'y' (1)",
        "'w' must be positive; it is not at (1): 01001 2006",
        "duplicate unit-periods (1): 01003 2006",
        "changes within units (1): 01001",
    ):
        assert words in text
    with pytest.raises(DesignError) as caught:
        prepare(bad.assign(year=bad["year"] + 0.5), "y", weights="w", covariates=["z"], **KEYS)
    for words in (
        "'z' is not numeric",
        "infinite values",
        "must be positive",
        "not a calendar",
        "duplicate unit-periods",
    ):
        assert words in str(caught.value)


def test_cohort_zero_on_a_calendar_with_zero_is_refused():
    moved = frame(year=np.tile([-1, 0, 1, 2], 3), g=np.repeat([0.0, 1.0, np.nan], 4))
    with pytest.raises(DesignError, match=r"is 0, which is a period, in units \(1\): 01001"):
        quiet(moved, "y", **KEYS)


def test_columns_named_unit_and_time_are_no_keys_of_a_panel():
    """A frame has columns as attributes; only a panel object names its keys."""
    data = frame().rename(columns={"county": "unit", "year": "time"})
    with pytest.raises(DesignError, match="name the keys of the frame"):
        prepare(data, "y")
    assert prepare(data, "y", unit="unit", time="time", cohort="g").n == len(data)


def test_a_cohort_that_would_have_to_be_dated_is_refused_and_a_finer_one_is_told():
    months = frame(year=np.tile(pd.period_range("2002-11", periods=4, freq="M"), 3))
    first = np.repeat(["01001", "01003", "01005"], 4) == "01001"
    for coarse in (pd.Period("2003", "Y"), pd.Period("2003Q1", "Q"), "2003"):
        with pytest.raises(DesignError, match=r"spans several periods of time \(M\)"):
            prepare(months.assign(g=[coarse if c else None for c in first]), "y", **KEYS)
    with pytest.warns(DesignWarning, match="frequency D is read as the period"):
        design = prepare(months.assign(g=["2003-01-15" if c else None for c in first]), "y", **KEYS)
    assert design.cohort[0] == 2


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_a_missing_time_is_told_with_the_other_problems_whatever_holds_the_integers(backend):
    bad = frame(y=np.r_[np.inf, np.arange(11.0)]).convert_dtypes(dtype_backend=backend)
    bad.loc[3, "year"] = pd.NA
    with pytest.raises(DesignError) as caught:
        prepare(bad, "y", **KEYS)
    assert "key 'year' is missing in rows (1): 3" in str(caught.value)
    assert "infinite values in 'y' (1)" in str(caught.value)
    assert "not a calendar" not in str(caught.value)  # what is missing is told once


def years(freq="Y"):
    return [pd.Period(str(v), "Y").asfreq(freq) for v in frame()["year"]]


def test_an_infinite_time_is_told_beside_a_missing_one():
    times = frame()["year"].astype(float)
    times[[3, 5, 7]] = np.inf, 2005.5, np.nan
    with pytest.raises(DesignError, match="2 problems") as caught:
        prepare(frame(year=times), "y", **KEYS)
    assert "'year' is not a calendar (2): inf, 2005.5" in str(caught.value)
    assert "key 'year' is missing in rows (1): 7" in str(caught.value)


def test_periods_of_two_frequencies_are_told():
    times = years()
    times[0] = pd.Period("2005Q1", "Q")
    with pytest.raises(DesignError, match=r"mixes Periods of several frequencies \(2\): .*asfreq"):
        prepare(frame(year=pd.Series(times, dtype=object), g=pd.NaT), "y", **KEYS)


def test_categories_of_periods_are_periods():
    first = pd.Series([pd.Period("2007", "Y")] * 4 + [pd.NaT] * 8)
    plain = prepare(frame(year=pd.Series(years()), g=first), "y", **KEYS)
    coded = prepare(frame(year=pd.Series(years()).astype("category"), g=first.astype("category")), "y", **KEYS)
    assert coded.calendar.tolist() == plain.calendar.tolist() == years()[:4]
    assert coded.cohort.tolist() == plain.cohort.tolist() == [2, NEVER, NEVER]


@pytest.mark.parametrize(
    ("stamps", "words"),
    [
        ([20130101, 20130201, 20130301, 20130401], r'looks like YYYYMMDD.*format="%Y%m%d"'),
        (["20130101", "20130201", "20130301", "20130401"], "looks like YYYYMMDD"),
        ([1356998400, 1388534400, 1420070400, 1451606400], "rows in 4 of the 94,608,001 periods it spans"),
        ([pd.Period(f"{y}-01-01", "D") for y in (2005, 2006, 2007, 2008)], r"rows in 4 of the 1,096 periods \(D\)"),
    ],
)
def test_a_calendar_that_is_nearly_all_gaps_counts_something_finer(stamps, words):
    with pytest.raises(DesignError, match=words):
        prepare(frame(year=stamps * 3, g=pd.NaT), "y", **KEYS)


def test_census_years_are_a_calendar():
    assert quiet(frame(year=[1900, 1950, 2000, 2020] * 3), "y", **KEYS).n_periods == 121


def test_a_dated_cohort_on_a_calendar_of_numbers_is_refused_and_the_remedy_works():
    as_periods = pd.Series([pd.Period("2007", "Y")] * 4 + [pd.NaT] * 8)
    kinds = {
        "Period": [
            as_periods,
            as_periods.astype("category"),
            as_periods.astype(object).where(as_periods.notna(), None),
        ],
        "date": [as_periods.dt.to_timestamp(), as_periods.dt.to_timestamp().dt.date],
    }
    for kind, columns in kinds.items():
        for column in columns:
            df = frame(g=column)
            with pytest.raises(DesignError, match=f"cohort 'g' is a {kind} but time is a number") as caught:
                prepare(df, "y", **KEYS)
            typed = str(caught.value).partition("Where time is a year: df['g'] = ")[2].partition("; else")[0]
            df["g"] = eval(typed, {"df": df})
            assert quiet(df, "y", **KEYS).cohort.tolist() == [2, NEVER, NEVER]
    assert quiet(frame(g=pd.NaT), "y", **KEYS).cohort.tolist() == [NEVER] * 3


def test_texts_where_lists_belong_and_data_that_are_no_frame():
    with pytest.raises(DesignError, match=r"covariates='x' takes a list of columns: covariates=\['x'\]"):
        prepare(frame(), "y", covariates="x", **KEYS)
    with pytest.raises(DesignError, match=r"Write 'state\^year' as \('state', 'year'\)"):
        prepare(frame(), "y", fixed_effects=["state^year"], **KEYS)
    with pytest.raises(DesignError, match="data is a ndarray: give a pandas DataFrame"):
        prepare(np.zeros((3, 3)), "y", **KEYS)


@pytest.mark.parametrize(("effect", "inside"), [("state", "county"), ("decade", "year")])
def test_an_effect_that_adds_nothing_is_told(effect, inside):
    data = frame(state=np.repeat([1, 1, 2], 4), decade=np.tile([0, 0, 1, 1], 3))
    with pytest.warns(DesignWarning, match=f"'{effect}' does not change within '{inside}'"):
        prepare(data, "y", fixed_effects=[effect], **KEYS)
    quiet_one = quiet(data, "y", fixed_effects=[("state", "year")], **KEYS)
    assert not any("adds nothing" in n for n in quiet_one.notes)


@pytest.mark.parametrize(("n_treated", "told"), [(9, True), (10, False), (0, False)])
def test_few_treated_clusters_are_told(n_treated, told):
    n = 40
    data = pd.DataFrame({"county": np.repeat(np.arange(n), 3), "year": np.tile([2001, 2002, 2003], n)})
    data["g"] = np.where(data["county"] < n_treated, 2002.0, np.nan)
    data["d"], data["y"] = (data["year"] >= data["g"]).astype(int), 1.0
    for key in ({"cohort": "g"}, {"treatment": "d"}):
        notes = quiet(data, "y", unit="county", time="year", **key).notes
        assert any(f"only {n_treated} treated clusters ('county')" in n for n in notes) == told
        with warnings.catch_warnings():
            warnings.simplefilter("error", DesignWarning)
            warnings.simplefilter("ignore", FewTreatedWarning)  # the one kind that is told here
            prepare(data, "y", unit="county", time="year", **key)
            warnings.simplefilter("error", FewTreatedWarning)
            prepare(data, "y", unit="county", time="year", clustered=False, **key)
            if told:
                with pytest.raises(FewTreatedWarning, match=f"only {n_treated} treated clusters"):
                    prepare(data, "y", unit="county", time="year", **key)
    by_state = quiet(
        data.assign(state=data["county"] // 20), "y", unit="county", time="year", cohort="g", cluster="state"
    )
    assert any("treated clusters ('state')" in n for n in by_state.notes) == (n_treated > 0)
