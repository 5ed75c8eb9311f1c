"""A panel may not say more than the record: periods that end after its last certain day, and ends known to a window."""

import pandas as pd
import pytest

from g287stats.errors import DataWarning
from g287stats.panel import county_panel
from g287stats.panel.exposure import Exposure

BROOME, NASSAU, MONROE = "36007", "36059", "36055"  # two that had agreements on 18 May 2026, and one that never had
NEW_YORK = (BROOME, NASSAU, MONROE)


def rows(**exposure):
    with pytest.warns(DataWarning, match="is known to 2026-05-18"):
        frame = county_panel(years=(2024, 2026), exposure=Exposure(**exposure)).frame
    return frame[frame["county_fips"].isin(NEW_YORK)].set_index(["county_fips", "year"])


def test_the_year_in_which_the_record_ends_is_not_a_whole_year():
    frame = rows()
    assert frame.xs(2026, level="year")["exposure_share"].isna().all()
    assert not frame.xs(2026, level="year")["exposure_known"].any()
    assert frame.xs(2025, level="year")[["exposure_share", "treated", "exposure_known"]].notna().all().all()
    assert frame.loc[(BROOME, 2026), "treated"] and frame.loc[(NASSAU, 2026), "treated"]  # begun in 2025: settled
    assert pd.isna(frame.loc[(MONROE, 2026), "treated"])  # who signed after May is not known
    assert not frame.loc[(MONROE, 2025), "treated"]


@pytest.mark.parametrize("county", NEW_YORK)
def test_switching_off_is_not_known_beyond_the_last_certain_day(county):
    assert pd.isna(rows(on_exit="switching").loc[(county, 2026), "treated"])


def test_months_as_years():
    with pytest.warns(DataWarning, match="2026-05 is known to 2026-05-18"):
        frame = county_panel(years=(2026, 2026), freq="M", exposure=Exposure(on_exit="switching")).frame
    frame = frame[frame["county_fips"].isin(NEW_YORK)].set_index(["county_fips", "period"])
    assert frame.index.get_level_values("period").max() == pd.Period("2026-05")
    april, may = (frame.xs(pd.Period(p), level="period") for p in ("2026-04", "2026-05"))
    assert april["exposure_share"].to_dict() == {BROOME: 1.0, NASSAU: 1.0, MONROE: 0.0}
    assert may["exposure_share"].isna().all() and may["treated"].isna().all()


def test_the_share_of_the_certain_days_is_kept_on_request(recwarn):
    panel = county_panel(years=(2025, 2026), exposure=Exposure(beyond="flag"))
    assert not [w for w in recwarn if issubclass(w.category, DataWarning)]
    frame = panel.frame[panel.frame["county_fips"].isin(NEW_YORK)].set_index(["county_fips", "year"])
    last = frame.xs(2026, level="year")
    assert last["exposure_share"].to_dict() == {BROOME: 1.0, NASSAU: 1.0, MONROE: 0.0}
    assert not last["exposure_known"].any() and last["treated"].dtype == bool


def test_a_panel_that_ends_before_is_as_it_was():
    frame = county_panel(years=(2010, 2025)).frame
    assert "exposure_known" not in frame and frame["treated"].dtype == bool


def test_both_ends_of_a_window():
    panel = county_panel(years=(2017, 2021), exposure=Exposure(models=("JEM",), end_window="both"))
    williamson = panel.frame[panel.frame["county_fips"].eq("48491")].set_index("year")
    # signed 8 February 2018, a modification of 23 June 2020, not on the list of 13 January 2021
    assert williamson.loc[2020, "exposure_share_first"] == pytest.approx(175 / 366)
    assert williamson.loc[2020, "exposure_share_last"] == 1
    assert williamson.loc[2021, "exposure_share_first"] == 0
    assert williamson.loc[2021, "exposure_share_last"] == pytest.approx(12 / 365)
    low, mid, high = (panel.frame[f"exposure_share{e}"] for e in ("_first", "", "_last"))
    assert (low <= mid + 1e-12).all() and (mid <= high + 1e-12).all()
