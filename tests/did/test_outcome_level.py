"""A noiseless panel gives back its effect to the tenth digit, however far from zero the outcome lies."""

import numpy as np
import pandas as pd
import pytest

from g287stats.did.etwfe import etwfe
from g287stats.did.group_time import att_gt
from g287stats.did.imputation import imputation, two_stage
from g287stats.did.lp_did import lp_did
from g287stats.did.stacked import stacked
from g287stats.did.sun_abraham import sun_abraham
from g287stats.did.twfe import event_study, twfe

pytestmark = pytest.mark.filterwarnings("ignore::g287stats.errors.G287Warning")
KEYS = {"unit": "county", "time": "year", "cohort": "g"}
BY_STATE = {"fixed_effects": [("state", "year")]}
ESTIMATORS = {
    "twfe": lambda f: twfe(f, "y", **KEYS),
    "twfe, state × year": lambda f: twfe(f, "y", **BY_STATE, **KEYS),
    "event_study": lambda f: event_study(f, "y", **KEYS),
    "sun_abraham": lambda f: sun_abraham(f, "y", **KEYS),
    "sun_abraham, state × year": lambda f: sun_abraham(f, "y", **BY_STATE, **KEYS),
    "imputation": lambda f: imputation(f, "y", **KEYS),
    "imputation, state × year": lambda f: imputation(f, "y", **BY_STATE, **KEYS),
    "two_stage": lambda f: two_stage(f, "y", **KEYS),
    "etwfe": lambda f: etwfe(f, "y", **KEYS),
    "stacked": lambda f: stacked(f, "y", window=(-2, 1), **KEYS),
    "lp_did": lambda f: lp_did(f, "y", window=(-2, 1), **KEYS),
    "att_gt": lambda f: att_gt(f, "y", panel="pairwise", **KEYS),
}


def noiseless(level, gaps):
    rng = np.random.default_rng(0)
    n, t = 60, 9
    frame = pd.DataFrame({"county": np.repeat(np.arange(n), t), "year": np.tile(np.arange(2000, 2000 + t), n)})
    frame["g"] = np.repeat(rng.choice([2003.0, 2005.0, 2007.0, np.nan], n), t)
    frame["state"] = frame["county"] // 10
    frame["y"] = level + frame["county"] + (frame["year"] - 2000) + (frame["year"] >= frame["g"])
    return frame[rng.random(len(frame)) >= gaps]


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("gaps", [0.0, 0.1])
@pytest.mark.parametrize("level", [0.0, 1e6, 1e9])
def test_the_truth_comes_back(level, gaps, name):
    e = ESTIMATORS[name](noiseless(level, gaps))
    truth = e.labels["event_time"] >= 0 if "event_time" in e.labels else np.ones(len(e.point))
    np.testing.assert_allclose(e.point, np.asarray(truth, dtype=float), atol=1e-10)
