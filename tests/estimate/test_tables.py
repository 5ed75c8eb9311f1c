"""Tables in three formats, worked by eye."""

import re
from dataclasses import replace
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from g287stats.errors import DesignError
from g287stats.estimate.covariance import Clustered, Influence
from g287stats.estimate.estimate import Estimate, Method
from g287stats.estimate.tables import table
from g287stats.shown import Format, Shown, frame_table, number


def estimate(point=(1.0, -2.0), terms=("a", "b")):
    psi = np.array([[0.1, 0.0], [-0.1, 0.2], [0.0, -0.2]])
    rule = Clustered(("unit",), small_sample="did", normal=True, n_clusters={"unit": 3})
    return Estimate(
        labels=pd.DataFrame({"term": terms}),
        point=np.array(point),
        influence=Influence(psi, {"unit": np.arange(3)}),
        rule=rule,
        kind="other",
        method=Method("m", "A method"),
        outcome="y",
        sample={"n_obs": 12345, "n_units": 3},
    )


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
    text = table([estimate(), estimate((3.0, 4.0), ("a", "c"))], names=["one", "two"])
    lines = text.splitlines()
    assert lines[2].split("|")[1:4] == [" a ", " 1 ", " 3 "]
    assert "(0.141)" in lines[3]
    assert lines[4].split("|")[1:4] == [" b ", " -2 ", "  "]
    assert "12,345" in text
    assert "*" not in text


def test_unknown_format_is_refused():
    for render in (
        lambda f: frame_table(pd.DataFrame({"a": [1]}), f),
        lambda f: table([estimate()], format=f),
    ):
        with pytest.raises(DesignError, match="format='LaTeX': choose 'markdown', 'latex', 'html' or 'typst'"):
            render("LaTeX")


def test_names_are_one_for_each_estimate():
    for names in (["only one"], ["one", "two", "three"], [], "ab"):
        with pytest.raises(DesignError, match=r"names= has . for 2 estimates"):
            table([estimate(), estimate()], names=names)


def test_a_single_estimate_is_a_table_and_anything_else_is_refused():
    assert table(estimate(), names="one") == table([estimate()], names=["one"])
    for given, found in (([], "none"), (["a"], "str"), ({"a": "b"}, "str"), ([estimate(), 1.0], "float")):
        with pytest.raises(DesignError, match=f"takes estimates: found {found}"):
            table(given)


def test_small_effects_keep_their_digits_and_others_stay_as_they_are():
    # se of a: 1.41e-7, of b: 2.83e-7
    small = estimate((1.234567e-6, -4.5678e-4))
    small = replace(small, influence=Influence(small.influence.psi * 1e-6, {"unit": np.arange(3)}))
    lines = table(small).splitlines()
    assert [line.split("|")[2].strip() for line in lines[2:6]] == ["1.23e-06", "(1.41e-07)", "-0.000457", "(2.83e-07)"]
    assert small.summary().splitlines()[5].split()[:3] == ["a", "1.235e-06", "1.414e-07"]
    ordinary = pd.DataFrame({"x": [0.0, 0.001, -0.0012345, 0.9999, 12345.6789, 3.0]})
    cells = [line.split("|")[1].strip() for line in frame_table(ordinary).splitlines()[2:]]
    assert cells == ["0", "0.001", "-0.001", "1.000", "12,345.679", "3"]
    assert number(0.00012) == "0.0001" and number(0.0) == "0.0000" and number(-1234.5) == "-1234.5000"
    assert str(Small()) == "     b\n1.5000\n 2e-07"


class Small(Shown):
    def _table(self):
        return pd.DataFrame({"b": [1.5, 2e-7]})


def test_event_times_of_different_windows_stand_in_the_order_of_time():
    def study(first, last, name=str):
        times = list(range(first, last + 1))
        return replace(
            estimate((1.0, 2.0), ("a", "b")).combine(np.ones((len(times), 2)), [name(t) for t in times]),
            labels=pd.DataFrame({"term": [name(t) for t in times], "event_time": times}),
        )

    def binned(t):
        return "<=-3" if t == -3 else str(t)

    text = table([estimate(), study(-2, 1), study(-3, 2, binned)])
    rows = [line.split("|")[1].strip() for line in text.splitlines()[2:] if line.startswith("|")]
    assert [r for r in rows if r][:8] == ["a", "b", "<=-3", "-2", "-1", "0", "1", "2"]


def test_latex_knows_the_signs_of_labels():
    text = frame_table(pd.DataFrame({"a": ["<=-4", "att×x", "≥ ∞ −1"]}), "latex")
    assert "$<$=-4" in text
    assert "att$\\times$x" in text
    assert "$\\ge$ $\\infty$ $-$1" in text


class Result(Shown):
    def _words(self):
        return "two <lines>\nof words"

    def _table(self):
        return pd.DataFrame({"bound": [0.5]})


def test_results_show_words_and_table_in_a_terminal_and_in_a_notebook():
    assert str(Result()) == "two <lines>\nof words\n bound\n0.5000"
    shown = Result()._repr_html_()
    assert "two &lt;lines&gt;<br>of words" in shown
    assert '<td class="n">0.500</td>' in shown
    assert str(Shown()) == "" and Shown()._repr_html_() == "<div></div>"


def test_every_result_has_a_notebook_display():
    """Whatever a public function of the mathematics wing returns has words."""
    from g287stats.did import diagnostics, matching
    from g287stats.inference import (
        equivalence,
        few_treated,
        honest,
        multiplicity,
        power,
        pretrends,
        randomization,
        specification,
        wild,
    )

    hooks = {name for name in vars(Shown) if re.fullmatch("_[a-z]+", name)}  # what a result says of itself
    for module, names in {
        diagnostics: ("Bacon", "TwfeWeights"),
        matching: ("Balance",),
        specification: ("SpecificationCurve",),
        equivalence: ("Equivalence",),
        few_treated: ("FewTreated",),
        honest: ("HonestDiD",),
        multiplicity: ("MultipleTests",),
        power: ("DetectableEffect", "PowerSimulation"),
        pretrends: ("PretrendPower",),
        randomization: ("RandomizationTest",),
        wild: ("WildBootstrap",),
    }.items():
        for name in names:
            kind = getattr(module, name)
            assert kind._repr_html_ is Shown._repr_html_
            assert kind.__str__ is Shown.__str__
            assert vars(kind).keys() & hooks


def numbers(text):
    """Every number of a table, whatever the format writes around it, without the notes."""
    body = re.split(r"smallskip|#text|<p>|\n\n(?=Sheriffs)", text)[0]
    return re.findall(r"-?\d[\d,]*\.?\d*(?:e-?\d+)?", re.sub(r"columns: \d+|[\d.]+pt|<[^>]*>|\|  \|", " ", body))


def test_every_format_holds_the_same_numbers_words_and_notes():
    given = {"names": ["one", "two"], "rename": {"a": "Agreement & more"}, "notes": ["Sheriffs, 5 %."], "caption": "T"}
    two = [estimate(), estimate((1.5, -2.25), ("a", "c"))]
    texts = {f: table(two, format=f, **given) for f in get_args(Format)}
    assert len({tuple(numbers(t)) for t in texts.values()}) == 1, {f: numbers(t) for f, t in texts.items()}
    for text in texts.values():
        assert "Agreement" in text and "Sheriffs" in text and "Standard errors in brackets" in text


def test_rows_are_renamed_chosen_and_ordered_and_panels_stand_one_over_the_other():
    one, two = estimate((1.0, 2.0)), estimate((3.0, 4.0))
    text = table({"A": [one], "B": [two]}, names=["x"], keep=["b", "a"], interval=True)
    rows = [[c.strip() for c in line.split("|")[1:3]] for line in text.splitlines() if line.startswith("|")][2:]
    assert [r[0] for r in rows if r[0] in "ABab" and r[0]] == ["A", "b", "a", "B", "b", "a"]
    low, high = one.conf_int().iloc[1]
    assert rows[2][1] == f"[{low:.3f}, {high:.3f}]"
    named = table({"x": one, "y": two})
    assert named.splitlines()[0].split("|")[2:4] == [" x ", " y "]
    with pytest.raises(DesignError, match=r"keep= names \['z'\], which no estimate has; terms are \['a', 'b'\]"):
        table(one, keep=["z"])
    with pytest.raises(DesignError, match="panels have"):
        table({"A": [one], "B": [one, two]})
