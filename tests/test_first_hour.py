"""Wrong things people type in the first hour: answered by doing what was meant, or by what to type instead."""

import re
import warnings

import pandas as pd
import pytest

import g287stats as g
from g287stats.errors import EQUALS, G287Error
from g287stats.words import ARGUMENTS, ATTRIBUTES, FRAME, NAMES

OWN = pd.DataFrame({"fips": [37001, 37003] * 2, "year": [2010, 2010, 2011, 2011], "own": [1.0, 2.0, 3.0, 4.0]})
MEANT = None  # done as it was meant
WRONG = {  # what is typed → None where it is done, or words of the answer
    'g.county_panel("fbi_table10", years=2010)': MEANT,
    'g.county_panel("fbi_table10", years="2005-2012")': r"years=\(2005, 2012\)",
    'g.county_panel("fbi_table10", (2010, 2012), exposure="TFM")': r"g\.Exposure\(models=\('TFM',\)\)",
    'g.Exposure(model="TFM")': r'models=\("TFM",\)',
    'g.Exposure(models=("tfm",))': "JEM",
    'g.county_panel("fbi_tabel10", (2010, 2012))': "fbi_table10",
    'g.county_panel("violent_rate", (2010, 2012))': "no outcome is called 'violent_rate'",
    'g.county_panel(outcome="fbi_table10", years=(2010, 2012))': "outcomes=",
    'g.county_panel(["fbi_table10", "fbi_table10"], (2010, 2012))': "twice",
    'panel.merge(OWN, fips="fips", year="year")': MEANT,
    "panel.head()": MEANT,
    'panel["property_rate"]': MEANT,
    "panel.groupby('state')": r"panel\.frame",
    'g.twfe(panel.frame, "property_rate")': 'cohort="first_year"|unit="county_fips"',
    "agreements.active(on=2012)": '"2012-06-30"',
    'agreements.active(on="03/04/2025")': '"2025-03-04" or "2025-04-03"',
    "agreements.active()": "'on'",
    "agreements.active(on=None)": "write it as",
    'g.att_gt(yname="y", tname="t", idname="i", gname="g", data=panel)': "time=(.|\n)*unit=(.|\n)*cohort=",
    'g.att_gt(panel, "property_rate", control_group="nevertreated")': 'control="never"',
    'g.att_gt(panel, "property_rate", control="nevertreated")': MEANT,
    'g.att_gt(panel, "property_rate", est_method="dr")': 'method="dr"',
    'g.att_gt(panel, "property_rate", xformla="~log_population")': r'covariates=\("log_population",\)',
    'g.att_gt(panel, "property_rate", covariates="log_population")': MEANT,
    'g.twfe("y ~ d | county_fips + year", data=panel)': "formulas are not read",
    'g.twfe("y ~ d | county_fips + year", panel)': "formulas are not read",
    "g.feols": r"g\.twfe",
    "g.sunab": r"g\.sun_abraham",
    "g.did_imputation": r"g\.imputation",
    "g.aggte": r"\.aggregate",
    'cells.aggregate("dynamic")': MEANT,
    'cells.aggregate("group")': MEANT,
    'cells.aggregate("event", window=4)': r"window=\(-4, 4\)",
    'g.event_study(panel, "property_rate", window=4)': r"window=\(-4, 4\)",
    'g.twfe(panel, "property_rate", cluster=["state"])': MEANT,
    'g.twfe(panel.frame.assign(c=0), "property_rate", cohort="c", **KEYS)': "nothing to compare",
    'g.twfe(panel.frame.assign(c=10000), "property_rate", cohort="c", **KEYS)': "nothing to compare",
    'g.twfe(panel.frame.assign(c=float("inf")), "property_rate", cohort="c", **KEYS)': "nothing to compare",
    'g.twfe(panel.frame.assign(year="2010-05"), "property_rate", cohort="cohort", **KEYS)': "Period",
    'g.twfe(panel, "propertyrate")': "property_rate",
    "estimate.coef()": r"est\.params",
    "estimate.confint()": r"est\.conf_int",
    "estimate.vcov()": r"est\.cov\(\)",
    "estimate.summary(level=0.9)": MEANT,
    "g.etable([estimate])": r"g\.table",
    "g.iplot(estimate)": r"est\.plot\(\)",
    "g.modelsummary": r"g\.table",
    'g.specification_curve(panel, "property_rate", [g.twfe, g.imputation])': MEANT,
}


@pytest.fixture(scope="module")
def at_hand():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        panel = g.county_panel("fbi_table10", (2009, 2012)).balanced(["property_rate"])
        made = {"estimate": g.twfe(panel, "property_rate"), "cells": g.att_gt(panel, "property_rate")}
        keys = {"unit": "county_fips", "time": "year"}
        return {"g": g, "panel": panel, "OWN": OWN, "agreements": g.load_agreements(), "KEYS": keys, **made}


@pytest.mark.parametrize("typed", WRONG)
@pytest.mark.filterwarnings("ignore::g287stats.errors.G287Warning")
def test_answered(typed, at_hand):
    answer = WRONG[typed]
    if answer is None:
        assert eval(typed, at_hand) is not None
        return
    with pytest.raises((G287Error, AttributeError)) as told:
        eval(typed, at_hand)
    assert re.search(answer, str(told.value)), str(told.value)


@pytest.mark.parametrize("word", NAMES)
def test_every_foreign_function_is_answered_with_one_of_ours(word):
    with pytest.raises(AttributeError) as told:
        getattr(g, word)
    named = re.findall(r"\bg\.((?:survey\.)?\w+)", NAMES[word]) or re.findall(r"\best\.(\w+)", NAMES[word])
    assert named
    for name in named:
        owner, _, rest = name.rpartition(".")
        place = getattr(g, owner) if owner else (g if f"g.{name}" in NAMES[word] else g.Estimate)
        assert hasattr(place, rest or name)
    assert NAMES[word] in str(told.value)


@pytest.mark.parametrize("word", ARGUMENTS)
def test_every_foreign_argument_is_answered(word):
    with pytest.raises(G287Error, match=re.escape(ARGUMENTS[word])):
        g.balance_table(None, **{word: "x"})


@pytest.mark.parametrize("word", ATTRIBUTES)
def test_every_foreign_attribute_is_answered_with_one_that_is_there(word, at_hand):
    with pytest.raises(AttributeError, match=re.escape(ATTRIBUTES[word])):
        getattr(at_hand["estimate"], word)
    for name in re.findall(r"\best\.(\w+)", ATTRIBUTES[word]):
        assert hasattr(at_hand["estimate"], name)


def test_what_frames_have_is_sent_to_the_frame(at_hand):
    for word in FRAME:
        with pytest.raises(AttributeError, match=r"panel\.frame"):
            getattr(at_hand["panel"], word)


def test_equal_values_are_values():
    assert set(EQUALS.values()) <= {"never", "notyet", "event", "cohort"}
