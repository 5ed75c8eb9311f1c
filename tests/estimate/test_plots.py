"""Plots of estimates show the numbers they were given."""

import matplotlib
from battery import KEYS, panel

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import g287stats as g
from g287stats.errors import DesignError
from g287stats.estimate import plots


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def effects():
    from reference_did import load_panel

    import g287stats as g

    return g.att_gt(load_panel("panel_small"), "y", unit="county", time="year", cohort="g")


def test_group_time_on_one_pair_of_axes_has_a_colour_a_cohort(effects):
    ax = effects.plot(bands=False)
    drawn = [line for line in ax.lines if len(line.get_xdata()) > 2]
    cohorts = effects.labels["cohort"].unique()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [str(c) for c in cohorts]
    assert len({line.get_color() for line in drawn}) == len(cohorts)
    assert sum(len(line.get_xdata()) for line in drawn) == len(effects.point)


def test_group_time_has_a_panel_a_cohort(effects):
    figure = plots.plot_group_time(effects)
    assert [ax.get_title() for ax in figure.axes[:3]] == ["2008", "2010", "2012"]


def _dots(ax, hollow):
    dots = [line for line in ax.lines if line.get_marker() == "o" and (line.get_markerfacecolor() == "white") == hollow]
    return sorted(float(x) for line in dots for x in np.atleast_1d(line.get_xdata()))


def test_references_of_a_universal_base_are_drawn_hollow_once_a_cohort():
    import g287stats as g

    effects = g.att_gt(_small(), "y", unit="county", time="year", cohort="g", base="universal")
    hollow = _dots(effects.plot(bands=False), hollow=True)
    assert len(hollow) == effects.labels["reference"].sum() == effects.labels["cohort"].nunique()
    assert {round(x) for x in hollow} == {-1}


def test_leads_that_all_cohorts_share_are_drawn_and_have_a_panel():
    import g287stats as g

    effects = g.imputation(_small(), "y", unit="county", time="year", cohort="g", leads=2)
    ax = effects.plot(bands=False)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["every cohort", "2008", "2010", "2012"]
    assert len(_dots(ax, hollow=False)) == len(effects.point)
    figure = plots.plot_group_time(effects)
    assert [ax.get_title() for ax in figure.axes[:4]] == ["every cohort", "2008", "2010", "2012"]
    assert _dots(figure.axes[0], hollow=True) == [-2.0, -1.0]
    assert sum(len(_dots(ax, h)) for ax in figure.axes for h in (True, False)) == len(effects.point)


def test_group_time_of_anything_else_is_refused_with_what_to_do(effects):
    for other in (effects.aggregate("event"), effects.aggregate("cohort")):
        with pytest.raises(DesignError, match=f"this is the '{other.kind}' estimate of .*: use .plot"):
            plots.plot_group_time(other)


@pytest.mark.parametrize("freq", [None, "Y", "Q"])
def test_calendar_effects_stand_over_the_labels_of_their_periods(freq):
    import g287stats as g

    panel = _small()
    if freq:
        for name in ("year", "g"):
            panel[name] = pd.Series([pd.Period(ordinal=int(v) - 1970, freq=freq) if v else pd.NaT for v in panel[name]])
    effects = g.att_gt(panel, "y", unit="county", time="year", cohort="g").aggregate("calendar")
    ax = effects.plot(bands=False)
    assert ax.get_xlabel() == "calendar time"
    low, high = ax.get_xlim()
    shown = [t.get_text() for t in ax.get_xticklabels() if low <= t.get_position()[0] <= high]
    assert len(shown) > 3 and set(shown) <= {str(t) for t in effects.labels["time"]}


def test_event_plot_shows_every_estimated_point(effects):
    event = effects.aggregate("event")
    ax = event.plot()
    drawn = [x for line in ax.lines for x in np.atleast_1d(line.get_xdata()) if line.get_marker() == "o"]
    assert sorted(drawn) == sorted(event.labels["event_time"])


def _small():
    from reference_did import load_panel

    return load_panel("panel_small")


def test_several_estimates_on_one_figure_say_what_their_leads_are_measured_from():
    d = panel()
    window = {"window": (-2, 2)}
    shown = {
        "regression": g.event_study(d, "y", **window, **KEYS),
        "group-time": g.att_gt(d, "y", **KEYS).aggregate("event", **window),
    }
    ax = g.plot(shown, ylabel="offences per 100,000 residents")
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts == [
        "regression: leads measured from event time -1 (hollow)",
        "group-time: leads each measured from the period before it",
    ]
    drawn = [line for line in ax.get_lines() if line.get_marker() not in ("None", "")]
    assert len({line.get_marker() for line in drawn}) == 2  # reads in grey
    for line, e in zip((drawn[0], drawn[2]), shown.values()):
        np.testing.assert_array_equal(line.get_ydata(), e.point[np.isfinite(e.se)])
    assert ax.get_ylabel() == "offences per 100,000 residents"
    plt.close("all")


def test_figures_of_several_refuse_what_cannot_stand_together():
    d = panel()
    static, event = g.twfe(d, "y", **KEYS), g.event_study(d, "y", **KEYS)
    with pytest.raises(DesignError, match="Two-way fixed effects have no event times, the others do"):
        g.plot([static, event])
    with pytest.raises(DesignError, match="labels= has 1 for 2"):
        g.plot([static, static], labels=["a"])
    with pytest.raises(DesignError, match="same names"):
        g.plot([static, static])
