"""The coverage rule drops nothing silently and says it in the words of the design."""

import pandas as pd
import pytest

from g287stats.errors import CoverageError, DesignError
from g287stats.outcomes.coverage import apply_coverage, break_labels, coverage_by_period

NAMES = {"01003": "Baldwin County", "01001": "Autauga County"}


def frame():
    """Made-up cells."""
    return pd.DataFrame(
        {
            "county_fips": ["01003", "01003", "01001", "01001", "01005"],
            "year": [2009, 2010, 2007, 2008, 2008],
            "coverage": [1.0, 0.61, None, 0.0, 0.8],
            "doubt": ["", "", "", "no report", ""],
            "violent": [1, 2, 3, None, 5],
        }
    )


def test_message_is_the_one_the_design_prints():
    with pytest.raises(CoverageError) as caught:
        apply_coverage(frame()[:2], "coverage", 0.8, names=NAMES)
    assert str(caught.value) == (
        "01003 Baldwin 2010: 61.0 % of the county's agencies reported; the design asks for 80 %. "
        'Use min_coverage=0.6, or set it missing: on_low_coverage="missing".'
    )


def test_several_cells_are_listed_together():
    with pytest.raises(CoverageError) as caught:
        apply_coverage(frame(), "coverage", 0.8, names=NAMES)
    text = str(caught.value)
    assert "3 county-periods are below" in text
    assert "01001 Autauga 2007: coverage unknown" in text
    assert "01001 Autauga 2008: nothing reported (no report)" in text
    assert 'Set them missing: on_low_coverage="missing".' in text


def test_drop_lists_every_cell_and_leaves_the_input_alone():
    given = frame()
    kept, low = apply_coverage(given, "coverage", 0.8, "drop", names=NAMES)
    assert kept["county_fips"].tolist() == ["01003", "01005"]
    assert low[["county_fips", "year"]].to_numpy().tolist() == [["01001", 2007], ["01001", 2008], ["01003", 2010]]
    assert set(low["action"]) == {"dropped"}
    pd.testing.assert_frame_equal(given, frame())
    summary = apply_coverage(given, "coverage", 0.8, "drop").summary()
    assert summary["cells"].sum() == 3


def test_keep_lists_and_none_asks_for_nothing():
    kept, low = apply_coverage(frame(), "coverage", 0.8, "keep")
    assert (len(kept), len(low), set(low["action"])) == (5, 3, {"kept"})
    kept, low = apply_coverage(frame(), "coverage", None)
    assert (len(kept), len(low)) == (5, 0)


def test_threshold_is_inclusive_and_arguments_are_checked():
    assert len(apply_coverage(frame()[4:], "coverage", 0.8).kept) == 1
    with pytest.raises(DesignError, match="a share between 0 and 1"):
        apply_coverage(frame(), "coverage", 80)
    with pytest.raises(DesignError, match="choose 'missing', 'error'"):
        apply_coverage(frame(), "coverage", 0.8, "ignore")
    with pytest.raises(DesignError, match=r"columns \['cover'\]"):
        apply_coverage(frame(), "cover", 0.8)
    with pytest.raises(DesignError, match=r"01003 2009: coverage 61"):
        apply_coverage(frame().assign(coverage=61.0), "coverage", 0.8)


def test_row_order_does_not_matter():
    shuffled = frame().sample(frac=1, random_state=3)
    a = apply_coverage(frame(), "coverage", 0.8, "drop").low
    b = apply_coverage(shuffled, "coverage", 0.8, "drop").low
    pd.testing.assert_frame_equal(a, b)


def test_by_period_and_breaks():
    table = coverage_by_period(frame())
    row = table.set_index("year").loc[2008]
    assert (row["cells"], row["no_report"], row["mean_coverage"], row["at_least_80"]) == (2, 1, 0.4, 0.5)
    assert break_labels("fbi", pd.Series([2020, 2021])).tolist()[0] == ""
    assert "NIBRS" in break_labels("fbi", pd.Series([2020, 2021])).tolist()[1]


def test_low_cells_lose_their_counts_and_keep_their_row_and_coverage():
    given = frame().assign(murder=7)
    kept, low = apply_coverage(given, "coverage", 0.8, "missing", counts=["murder"])
    assert len(kept) == 5 and kept["murder"].isna().sum() == len(low) == 3
    pd.testing.assert_series_equal(kept["coverage"], given["coverage"])
    assert given["murder"].tolist() == [7] * 5
    with pytest.raises(DesignError, match="name the columns"):
        apply_coverage(given, "coverage", 0.8, "missing")
