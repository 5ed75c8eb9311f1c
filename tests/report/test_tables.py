"""Tables in three formats, worked by eye."""

import numpy as np
import pandas as pd
import pytest

from g287stats.inference import Clustered, Estimate, Influence, Method
from g287stats.report.tables import frame_table, regression_table


def estimate(point=(1.0, -2.0), terms=("a", "b")):
    psi = np.array([[0.1, 0.0], [-0.1, 0.2], [0.0, -0.2]])
    rule = Clustered(("unit",), small_sample="did", normal=True, n_clusters={"unit": 3})
    return Estimate(
        labels=pd.DataFrame({"term": terms}), point=np.array(point), influence=Influence(psi, {"unit": np.arange(3)}),
        rule=rule, kind="other", method=Method("m", "A method"), outcome="y", sample={"n_obs": 12345, "n_units": 3},
    )  # fmt: skip


def test_missing_cells_stay_empty_and_are_not_zero():
    frame = pd.DataFrame({"x": [1.0, np.nan], "d": [pd.Timestamp("2007-01-10"), pd.NaT], "k": ["a|b", None]})
    text = frame_table(frame)
    assert "| 1 | 2007-01-10 | a\\|b |" in text
    assert "|  |  |  |" in text
    assert "∞" in frame_table(pd.DataFrame({"ratio": [np.inf, 1.5]}))


def test_latex_escapes_what_latex_would_eat():
    text = frame_table(pd.DataFrame({"a_b": ["50 % & $1 {x} ~ \\"]}), "latex")
    assert "50 \\% \\& \\$1 \\{x\\} \\textasciitilde{} \\textbackslash{}" in text
    assert "\\toprule" in text


def test_html_escapes():
    assert "&lt;b&gt;" in frame_table(pd.DataFrame({"a": ["<b>"]}), "html")


def test_side_by_side_has_points_errors_and_samples():
    # se of a: sqrt(.01 + .01) = .141; of b: sqrt(.04 + .04) = .283
    text = regression_table([estimate(), estimate((3.0, 4.0), ("a", "c"))], names=["one", "two"])
    lines = text.splitlines()
    assert lines[2].split("|")[1:4] == [" a ", " 1 ", " 3 "]
    assert "(0.141)" in lines[3]
    assert lines[4].split("|")[1:4] == [" b ", " -2 ", "  "]
    assert "12,345" in text
    assert "*" not in text


def test_unknown_format_is_refused():
    with pytest.raises(ValueError, match="markdown, latex or html"):
        frame_table(pd.DataFrame({"a": [1]}), "word")
