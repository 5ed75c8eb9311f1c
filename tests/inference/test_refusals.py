"""Arguments that cannot mean anything are refused with what to type instead."""

import pytest
from simulated_did import staggered

import g287stats as g
from g287stats.errors import DesignError, IdentificationError

pytestmark = pytest.mark.filterwarnings("ignore::g287stats.errors.G287Warning")
KEYS = {"unit": "county", "time": "year", "cohort": "g"}
FRAME = staggered(4, n=30, t=6, cohorts=(3,))
STATIC = g.twfe(FRAME, "y", **KEYS)
EVENTS = g.event_study(FRAME, "y", **KEYS)

REFUSED = {
    "wild draws": (lambda: g.wild_bootstrap(STATIC, draws=0), "draws=0: ask for at least one"),
    "wild level": (lambda: g.wild_bootstrap(STATIC, level=95), "a confidence level lies between 0 and 1"),
    "randomisation draws": (lambda: g.randomization_test(STATIC, draws=0), "draws=0: ask for at least one"),
    "randomisation level": (lambda: g.randomization_test(STATIC, level=95), "a confidence level lies between"),
    "interval level": (lambda: STATIC.conf_int(95), "a confidence level lies between"),
    "band level": (lambda: EVENTS.bands(level=0), "a confidence level lies between"),
    "band draws": (lambda: EVENTS.bands(draws=0), "draws=0"),
    "honest bound": (lambda: g.honest_did(EVENTS, M=[0.1]), "add kind='smoothness'"),
    "honest kind": (lambda: g.honest_did(EVENTS, kind="smooth"), "kind='smooth': choose 'smoothness' or"),
    "honest leads": (lambda: g.honest_did(g.att_gt(FRAME, "y", **KEYS).aggregate("event")), "found none"),
    "curve": (lambda: g.specification_curve(FRAME, "y", {"a": "twfe"}), "'twfe' is not an estimator"),
    "weights": (lambda: g.synthetic_did(FRAME, "y", weights="w", **KEYS), "choose 'synthetic' or 'uniform'"),
    "inference": (lambda: g.synthetic_did(FRAME, "y", inference="bootstrap", **KEYS), "choose 'auto'"),
    "effects": (lambda: g.synthetic_control(FRAME, "y", effects="static", **KEYS), "choose 'att' or 'event'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, words = REFUSED[name]
    with pytest.raises(DesignError, match=words):
        call()


def test_one_bound_is_a_number():
    assert len(g.honest_did(EVENTS, Mbar=1.0).frame) == len(g.honest_did(EVENTS, Mbar=[1.0]).frame)


def test_an_error_after_a_drop_names_the_drop():
    gaps = FRAME[~(FRAME["g"].notna() & (FRAME["year"] == 1))]
    with pytest.raises(IdentificationError, match=r"units left before: not in every period.*pairwise"):
        g.att_gt(gaps, "y", **KEYS)
    everybody = FRAME.assign(g=3.0)
    with pytest.raises(IdentificationError, match="all take up at once has no comparison"):
        g.twfe(everybody, "y", **KEYS)
