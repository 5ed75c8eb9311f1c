"""One vocabulary on results: a number that means the same has the same name wherever it stands.

``estimate``, ``std_error``, ``statistic``, ``p_value``, ``conf_low``, ``conf_high``, ``level``; another of the kind is
qualified after the name (``p_value_holm``, ``conf_low_95``). The vectors of an ``Estimate`` are methods of these words
(``se``, ``p_values()``, ``conf_int()``). Every public result of the two rooms is made, and everything on it looked at.
"""

import dataclasses
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from public import public

import g287stats as g
import g287stats.did
import g287stats.inference
from g287stats.did.synthetic import SyntheticFit
from g287stats.shown import Shown

pytestmark = pytest.mark.filterwarnings("ignore::g287stats.errors.G287Warning")

KEYS = {"unit": "county", "time": "year", "cohort": "g"}
ROOMS = ("g287stats.did", "g287stats.inference")
RIGHT = r"p_value(_[a-z0-9_]+)?|conf_(low|high)(_[a-z0-9]+)?"
INSTEAD = {  # how else such a number might be called → how it is called
    r"p|p_.*|.*_p|pvals?|pvalues?|.*_p_values?": "p_value, p_value_<which>",
    r"(.*_)?(ci|conf|interval)\d*(_.*)?|low|high|lower|upper|lo|hi|lb|ub": "conf_low, conf_high",
    r"se|.*_se|se_.*|stderr|std_err|standard_error|bse": "std_error",
    r"[tz]|[tz]_?(stat|value|statistic)|observed": "statistic",
    r"coef(ficient)?|beta|point|effect_size": "estimate",
    r"n_draws|.*_draws": "draws (how many), drawn (their values)",
    r"confidence|conf_level": "level",
}
VECTORS = {"point", "se", "p_values", "conf_int"}
THEIR_OWN = {  # words that mean something else, and the methods of vectors
    "Estimate": VECTORS,
    "SyntheticEstimate": VECTORS,
    "SyntheticFit": {"conf_int_placebo"},
    "PowerSimulation": {"mc_se", "n_draws"},  # Monte-Carlo error of a power; the runs of an effect that succeeded
}


def panel():
    rng = np.random.default_rng(287)
    n, periods = 30, 8
    d = pd.DataFrame({"county": np.repeat(np.arange(n), periods), "year": np.tile(np.arange(2001, 2001 + periods), n)})
    d["g"] = np.where(d["county"] < 6, 2005.0, np.where(d["county"] < 11, 2006.0, np.nan))
    d["d"] = (d["year"] >= d["g"]).astype(float)
    d["z"], d["z2"], d["x"] = (rng.normal(size=len(d)) for _ in range(3))
    d["dose"] = d["z"] + d["z2"] + rng.normal(size=len(d))
    d["y"] = rng.normal(size=len(d)) + d["d"] + 0.3 * d["dose"] + d["x"]
    return d


@pytest.fixture(scope="module")
def results():
    d = panel()
    twfe = lambda f: g.twfe(f, "y", **KEYS)
    static, events = twfe(d), g.event_study(d, "y", **KEYS)
    one = d.assign(g=d["g"].where(d["g"] == 2005))
    few, size = twfe(one), d.groupby("county")["x"].mean().abs() + 1
    single = d.assign(g=d["g"].where(d["county"] == 0))
    instrumented = g.iv_did(d, "y", treatment="dose", instruments=["z", "z2"], unit="county", time="year")
    curve = {"estimators": {"twfe": g.twfe, "imputation": g.imputation}, "draws": 99}
    return {
        "Estimate": [static, events, instrumented],
        "SyntheticEstimate": [g.synthetic_did(single, "y", **KEYS)],
        "SyntheticFit": [g.synthetic_did(single, "y", **KEYS).synthetic],
        "WaldTest": [events.test()],
        "RandomizationTest": [
            g.randomization_test(static, draws=49, level=0.8),
            g.randomization_test(static, statistic="t", draws=49, level=0.8),
            g.placebo_test(d, twfe, draws=19, **KEYS),
        ],
        "WildBootstrap": [g.wild_bootstrap(static, draws=199)],
        "FewTreated": [g.conley_taber(static, draws=199), g.ferman_pinto(few, size, draws=199)],
        "Equivalence": [g.equivalence(static, 0.5)],
        "HonestDiD": [g.honest_did(events, Mbar=[0.5]), g.honest_did(events, kind="smoothness", M=[0.1])],
        "PretrendPower": [g.pretrend_power(events)],
        "DetectableEffect": [g.minimum_detectable_effect(static)],
        "PowerSimulation": [g.power_simulation(one, twfe, [1], outcome="y", draws=5, **KEYS)],
        "MultipleTests": [g.multiple_testing({"y": static, "x": g.twfe(d, "x", **KEYS)}, draws=99)],
        "SpecificationCurve": [g.specification_curve(d, ["y", "x"], **curve, **KEYS)],
        "Bacon": [g.bacon(d, "y", **KEYS)],
        "TwfeWeights": [g.twfe_weights(d, "y", **KEYS)],
        "Balance": [g.balance_weights(d, ["x"], **KEYS)],
    }


def public_results():
    """Dataclasses that a public function of the rooms returns, or a method of one of these, and what shows itself."""
    for room in (g287stats.did, g287stats.inference):
        for info in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            importlib.import_module(info.name)
    found = {k for k in Shown.__subclasses__() if k.__module__.startswith(ROOMS)}
    todo = [f for f in public("did", "estimate", "inference", "regression").values() if inspect.isfunction(f)]
    while todo:
        function = todo.pop()
        words = re.findall(r"\w+", str(inspect.signature(function).return_annotation))
        for kind in (getattr(sys.modules[function.__module__], w, None) for w in words):
            if dataclasses.is_dataclass(kind) and kind not in found:
                found.add(kind)
                todo += [m for n, m in inspect.getmembers(kind, inspect.isfunction) if not n.startswith("_")]
    return found | {SyntheticFit}  # what stands behind an estimate with placebo tests


def names(value):
    if isinstance(value, pd.DataFrame):
        yield from (c for c in value.columns if isinstance(c, str))
    elif isinstance(value, pd.Series):
        yield from (k for k in value.index if isinstance(k, str))
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from [key] if isinstance(key, str) else []
            yield from names(part)


def own_names(result):
    """Every name a user meets on a result: attributes, columns, index names and keys, as deep as they go."""
    yield from (n for n in dir(type(result)) if not n.startswith("_"))
    for field in dataclasses.fields(result):
        yield field.name
        yield from names(getattr(result, field.name))
    for frame in [result.tidy()] if hasattr(result, "tidy") else []:
        yield from frame.columns


KINDS = public_results()


def test_every_public_result_is_looked_at(results):
    assert {type(r) for made in results.values() for r in made} == KINDS
    assert all(type(r).__name__ == name for name, made in results.items() for r in made)


LIST = ("summary", "tidy", "to_markdown", "to_latex", "to_html", "_repr_html_")


def test_the_short_list_of_methods_is_the_same_on_all_results(results):
    for kind, made in results.items():
        for result in (r for r in made if kind != "SyntheticFit"):  # a record that an estimate holds
            numbers = result.tidy()
            assert isinstance(numbers, pd.DataFrame) and len(numbers)
            assert result.summary() == str(result)
            for method in LIST[2:]:
                assert str(getattr(result, method)()).strip(), (kind, method)
            assert (
                result.to_markdown().startswith("|") and "tabular" in result.to_latex() and "<table" in result.to_html()
            )


def instead(name):
    """What a name should be, or nothing."""
    return [] if re.fullmatch(RIGHT, name) else [i for pattern, i in INSTEAD.items() if re.fullmatch(pattern, name)]


@pytest.mark.parametrize(
    "name",
    ["p", "p_right", "p_holm", "conditional_p", "sargan_p_value", "conf_int", "interval95", "placebo_interval"]
    + ["conf95_low", "high", "t", "t_draws", "n_draws", "log_se"],
)
def test_other_names_are_refused(name):
    assert instead(name)


def test_what_means_the_same_is_called_the_same(results):
    wrong = {}
    for kind, made in results.items():
        for name in {n for result in made for n in own_names(result)} - THEIR_OWN.get(kind, set()):
            wrong |= {f"{kind}.{name}": i for i in instead(name)}
    assert not wrong, wrong


def tables(result):
    """Tables of numbers by name: the result itself as one row, what it says tidily, and its frames."""
    values = {f.name: getattr(result, f.name) for f in dataclasses.fields(result)}
    yield pd.DataFrame([{k: v for k, v in values.items() if isinstance(v, int | float)}])
    yield from (v for v in values.values() if isinstance(v, pd.DataFrame))
    yield from [result.tidy()] if hasattr(result, "tidy") else []


def test_the_names_hold_what_they_say(results):
    """p-values are shares, intervals are in order, hold their estimate and know their level; none hides in a pair."""
    seen = set()
    for made in results.values():
        for result in made:
            for f in dataclasses.fields(result):
                pair = getattr(result, f.name)
                hidden = isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], float)
                assert not hidden or f.name == "margin", f"{type(result).__name__}.{f.name} is two numbers"
                if f.name == "conf_low":
                    assert 0 < result.level < 1
            for table in tables(result):
                for name in (c for c in table.columns if isinstance(c, str)):
                    column = table[name]
                    if name.startswith("p_value"):
                        assert column.dropna().between(0, 1).all(), (type(result), name)
                    if name.startswith("conf_low"):
                        high = table[name.replace("low", "high")]
                        known = column.notna()
                        assert (column[known] <= high[known]).all()
                        if name == "conf_low" and "estimate" in table:
                            assert table["estimate"][known].between(column[known], high[known]).all()
                    seen.add(name)
    assert {"p_value", "p_value_holm", "conf_low", "conf_low_95", "conf_low_original", "std_error", "statistic"} <= seen
