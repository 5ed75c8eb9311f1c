"""Plots of tests show the numbers they were given."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def effects():
    from reference_did import load_panel

    import g287stats as g

    return g.att_gt(load_panel("panel_small"), "y", unit="county", time="year", cohort="g")


def test_honest_plot_has_an_interval_a_bound_and_the_original(effects):
    import g287stats as g

    event = g.event_study(_small(), "y", unit="county", time="year", cohort="g", window=(-4, 3), ends="drop")
    result = g.honest_did(event, kind="smoothness")
    ax = result.plot()
    assert len(ax.collections[0].get_segments()) == len(result.frame)


def test_specification_curve_marks_the_choices():
    import g287stats as g

    curve = g.specification_curve(
        _small(), ["y"], {"twfe": g.twfe, "imputation": g.imputation}, unit="county", time="year", cohort="g"
    )
    figure = curve.plot()
    assert len(figure.axes[0].collections[0].get_segments()) == len(curve.frame) == 2


def _small():
    from reference_did import load_panel

    return load_panel("panel_small")
