"""One word, one meaning: what the arguments of all public callables are called."""

import inspect
import re
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Union, get_args, get_origin

import numpy as np
import pandas as pd
import pytest
from public import public

COLUMN, COLUMNS = {str, type(None)}, {str, Sequence[str], type(None)}
KEYS = ("unit", "time", "cohort")


def _callables():
    for name, value in public().items():
        if inspect.isclass(value):
            members = ((m, getattr(f, "__func__", f)) for m, f in vars(value).items() if not m.startswith("_"))
            yield from ((f"{name}.{m}", f) for m, f in members if inspect.isfunction(f))
        if callable(value):
            yield name, value


CALLABLES = dict(_callables())


def _types(function):
    """Parameter → the types and literals its annotation allows (its bare text where that cannot be evaluated)."""
    out = {}
    for parameter in inspect.signature(function).parameters.values():
        try:
            hint = eval(str(parameter.annotation), inspect.getmodule(function).__dict__)
        except (NameError, SyntaxError):
            hint = str(parameter.annotation)
        out[parameter.name] = set(get_args(hint)) if get_origin(hint) in (Union, UnionType) else {hint}
    return out


def _uses(word):
    return {name: types[word] for name, f in CALLABLES.items() if word in (types := _types(f))}


@pytest.mark.parametrize(
    ("word", "allowed"),
    [
        ("at_risk", COLUMN),
        ("treatment", COLUMNS),
        ("cohort", COLUMN),
        ("time", COLUMN),
        ("unit", COLUMN),
        ("cluster", COLUMNS | {Mapping[str, np.ndarray]}),  # codes, in a SurveySample
        ("weights", COLUMNS | {np.ndarray, pd.Series}),
        ("fixed_effects", COLUMNS | {Sequence[str | tuple[str, ...]]}),
    ],
)
def test_a_column_is_a_column(word, allowed):
    found = _uses(word)
    assert found and {name: t for name, t in found.items() if not t <= allowed} == {}


def test_level_is_a_confidence_level():
    found = _uses("level")
    assert found.pop("g.Exposure") == {str, tuple[str, ...]}  # the level of government whose agreements count
    assert found and {name: t for name, t in found.items() if t != {float}} == {}


def test_exposure_is_who_is_treated_when():
    found = _uses("exposure")
    assert found and all("Exposure" in repr(t) for t in found.values()), found


@pytest.mark.parametrize(
    ("word", "allowed"),
    [
        ("shape", {"static", "event"}),
        ("multipliers", {"rademacher", "mammen", "webb", "gaussian"}),
        ("scheme", {"synthetic", "uniform", "variance", "equal"}),
    ],
)
def test_a_choice_has_one_set_of_answers(word, allowed):
    found = _uses(word)
    assert found and {name: t for name, t in found.items() if not {v for x in t for v in get_args(x)} <= allowed} == {}


@pytest.mark.parametrize("word", ["clusters", "weighting", "exposure_column", "weight", "n_at_risk", "conf_level"])
def test_no_second_word_for_the_same(word):
    assert _uses(word) == {}


@pytest.mark.parametrize("name", [n for n, f in CALLABLES.items() if {"unit", "time"} <= set(_types(f))])
def test_keys_stand_together_in_one_order(name):
    parameters = list(inspect.signature(CALLABLES[name]).parameters)
    keys = [k for k in KEYS if k in parameters]
    first = parameters.index("unit")
    assert parameters[first : first + len(keys)] == keys


def test_unit_is_a_key_and_not_a_unit_of_measurement():
    parameters = {n: inspect.signature(f).parameters["unit"] for n, f in CALLABLES.items() if "unit" in _types(f)}
    assert parameters and {n: p.default for n, p in parameters.items() if p.default not in (None, "county_fips")} == {}


def _entries(doc):
    """The names that the section on parameters of a docstring has entries for."""
    section = re.search(r"\n( *)Parameters\n *-+\n(.*?)(?=\n\n *[A-Z]\w+\n *-+\n|\Z)", doc, re.S)
    lines = re.findall(rf"^{section[1]}(\w.*)$", section[2], re.M) if section else []
    return {name for line in lines for name in line.split(", ")}


ESTIMATORS = {n: f for n, f in public("did").items() if inspect.isfunction(f) and "data" in _types(f)}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_help_shows_every_argument_whole(name):
    """No argument is left out, none is explained by another function's page."""
    doc = inspect.getdoc(ESTIMATORS[name])
    assert set(_types(ESTIMATORS[name])) - _entries(doc) - {"options"} == set()
    assert not re.search(r"^ +(As|See) (in )?:func:", doc, re.M)


def test_shared_arguments_read_the_same():
    for text in ("Add a linear trend for every unit.", "Further effects beyond unit and period; a tuple is"):
        assert sum(text in f.__doc__ for f in ESTIMATORS.values()) >= 5
