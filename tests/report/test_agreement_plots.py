"""Curves, maps and tables of the agreement record, against counts that are known."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pytest

import g287stats as g
from g287stats.report import agreement_plots as ap


@pytest.fixture(scope="module")
def record():
    return g.load_agreements()


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_state_table_adds_up_to_the_list(record):
    table = ap.state_table(record, "2025-06-06").set_index("state")
    assert table["agreements"].sum() == 649
    assert table.loc["FL", "agreements"] == 277
    assert table.loc["FL", "counties"] == 67
    assert (table[["JEM", "TFM", "WSO"]].sum(axis=1) == table["agreements"]).all()


def test_counts_by_county_cover_every_florida_county(record):
    counts = ap.agreements_by_county(record, "2025-06-06", "listed")
    assert counts.index.str.startswith("12").sum() == 67


def test_survival_starts_at_one_falls_and_task_forces_end(record):
    table = ap.survival_table(record)
    for _, part in table.groupby("group"):
        assert part["survival"].iloc[0] == 1.0
        assert part["survival"].is_monotonic_decreasing
        assert part["at_risk"].is_monotonic_decreasing
    tfm = table[table["group"] == "TFM"].set_index("years")["survival"]
    assert tfm[tfm.index < 10].min() < 0.1  # every task-force memorandum of the first generation had lapsed by 2012


def test_lag_is_measured_in_days_and_hardly_ever_negative(record):
    days = ap.listing_lag(record).dropna()
    assert len(days) > 1700
    assert (days < 0).mean() < 0.01  # listed before the day printed last, or before the day of the memorandum
    assert days.median() == 1


def test_plots_return_matplotlib_objects(record):
    assert ap.adoption(record).get_ylabel() == "agreements active"
    assert ap.adoption(record, by="agency_type", freq="Y").get_legend() is not None
    assert ap.survival(record, by="all").get_ylim()[0] == 0
    assert ap.lag(record).get_xlabel().startswith("days from signing")
    assert ap.county_map(record, "2026-05-18").get_title() == "Agreements active on 2026-05-18"
    assert len(ap.county_map_series(record, ["2025-01-20", "2026-05-18"]).axes) >= 2
