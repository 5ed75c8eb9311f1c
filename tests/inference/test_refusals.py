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
    "wild term": (lambda: g.wild_bootstrap(EVENTS, 0), r"term=0 is no name; .* term='0'"),
    "contamination": (lambda: g.contamination(STATIC, ["d"], FRAME[["y"]].to_numpy()), "the table is in est.sample"),
    "curve": (lambda: g.specification_curve(FRAME, "y", {"a": "twfe"}), "'twfe' is not an estimator"),
    "scheme": (lambda: g.synthetic_did(FRAME, "y", scheme="w", **KEYS), "choose 'synthetic' or 'uniform'"),
    "inference": (lambda: g.synthetic_did(FRAME, "y", inference="bootstrap", **KEYS), "choose 'auto'"),
    "shape": (lambda: g.synthetic_control(FRAME, "y", shape="att", **KEYS), "choose 'static' or 'event'"),
}


COVARIATES = {"covariates": ["x"]}, {"covariates_by_time": ["x"]}, {}


@pytest.mark.parametrize("inference", [g.wild_bootstrap, g.bias_reduced])
@pytest.mark.parametrize("options", COVARIATES, ids=("covariates", "by time", "none"))
def test_imputation_has_no_regression_for_clustered_small_samples(inference, options):
    frame = FRAME.assign(x=[float(c) % 7 for c in FRAME["county"].factorize()[0]])
    if "covariates" in options:
        frame["x"] = frame["x"] * frame["year"] ** 2
    cells = g.imputation(frame, "y", **options, **KEYS)
    event = cells.aggregate("event")
    for e in (cells, cells.overall, event, event.overall, cells.aggregate("simple")):
        with pytest.raises(DesignError, match=r"needs a linear regression with absorbed effects .* is not one"):
            inference(e)


def test_effects_of_starting_and_ending_are_told_apart_as_the_message_says():
    first = FRAME["g"]
    late = FRAME["county"].factorize()[0] % 2
    on = ((FRAME["year"] >= first) & ~((FRAME["year"] >= first + 2) & (late == 1))).astype(int)
    es = g.switching_did(
        FRAME.assign(on=on), "y", unit="county", time="year", treatment="on", window=(-2, 1), effects=("start", "end")
    )
    with pytest.raises(DesignError, match=r"several effects are in the estimate \(start, end\)") as caught:
        g.honest_did(es)
    chosen = eval(str(caught.value).partition("choose one, ")[2], {"es": es})
    assert set(chosen.labels["group"]) == {"start"}


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
