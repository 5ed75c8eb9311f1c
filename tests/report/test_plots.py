"""Plots return axes that show the numbers they were given."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from g287stats.report import plots
from g287stats.report.shapes import county_rings, simplify


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_county_shapes_cover_the_fifty_states_and_close_their_rings():
    rings = county_rings()
    assert len({f[:2] for f in rings}) == 51
    assert len(rings) > 3100
    assert all((ring[0] == ring[-1]).all() for parts in rings.values() for ring in parts)


def test_simplification_keeps_what_is_far_and_drops_what_is_near():
    line = np.array([[0, 0], [1, 0.1], [2, 3], [3, 0.1], [4, 0]], dtype=float)
    assert simplify(line, 1.0).tolist() == [[0, 0], [2, 3], [4, 0]]
    assert len(simplify(line, 0.01)) == 5


def test_map_leaves_counties_without_a_value_blank():
    ax = plots.plot_county_map({"37001": 1.0, "99999": 2.0, "37003": float("nan")})
    blank, filled = ax.collections[:2]
    assert len(filled.get_array()) == len(county_rings()["37001"])
    assert len(blank.get_paths()) + len(filled.get_paths()) == sum(map(len, county_rings().values()))


def test_adoption_marks_published_counts():
    dates = pd.date_range("2025-01-31", periods=3, freq="ME")
    curve = pd.DataFrame({"JEM": [1, 2, 3], "TFM": [0, 5, 9], "WSO": [1, 1, 1]}, index=dates)
    marks = pd.DataFrame({"date": dates[:1], "value": [2]})
    ax = plots.plot_adoption(curve, published=marks)
    assert ax.get_ylim()[0] == 0
    assert ax.lines[0].get_ydata().tolist() == [2]
