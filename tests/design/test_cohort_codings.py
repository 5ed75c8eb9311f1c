"""Whoever reads cohorts answers as the door does: the same treated units or the same refusal, whatever the coding."""

import re

import numpy as np
import pandas as pd
import pytest

import g287stats as g
from g287stats.design.prepare import prepare
from g287stats.errors import DesignError

pytestmark = pytest.mark.filterwarnings("ignore::g287stats.errors.G287Warning")
KEYS = {"unit": "county", "time": "year", "cohort": "g"}


def panel() -> pd.DataFrame:
    """Forty-eight counties in eight states, 2001–2008: eight start in 2004, eight in 2006, 32 never."""
    rng = np.random.default_rng(287)
    d = pd.DataFrame({"county": np.repeat(np.arange(48), 8), "year": np.tile(np.arange(2001, 2009), 48)})
    start = np.where(d["county"] < 8, 2004.0, np.where(d["county"] < 16, 2006.0, np.nan))
    d["y"] = rng.normal(size=len(d)) + (d["year"] >= start)
    d["x"], d["dose"], d["count"] = rng.normal(size=len(d)), 1.0 + d["county"] % 3, rng.poisson(9, len(d))
    d["eligible"], d["state"] = d["county"] % 2, d["county"] // 2
    d["d"] = (d["year"] >= start).astype(float)
    return d.assign(g=start)


PANEL = panel()
KNOWN = PANEL["g"].notna()
YEARS = pd.PeriodIndex(PANEL["year"].astype(str), freq="Y")


def as_periods(freq: str, form: str = "{:.0f}"):
    return [pd.Period(form.format(v), freq) if v == v else None for v in PANEL["g"]]


def as_dates():
    return pd.to_datetime(PANEL["g"].map("{:.0f}-07-04".format).where(KNOWN))


CODINGS = {
    "missing": {},
    "zero": {"g": PANEL["g"].fillna(0)},
    "infinity": {"g": PANEL["g"].fillna(np.inf)},
    "nullable integers": {"g": PANEL["g"].astype("Int64")},
    "text of years": {"g": PANEL["g"].map("{:.0f}".format).where(KNOWN)},
    "categories of years": {"g": PANEL["g"].astype("category")},
    "after the last period": {"g": PANEL["g"].where(PANEL["county"] != 20, 2050.0)},
    "before the first period": {"g": PANEL["g"].where(PANEL["county"] > 1, 1990.0)},
    "periods on periods": {"year": YEARS, "g": as_periods("Y")},
    "months on years": {"year": YEARS, "g": as_periods("M", "{:.0f}-07")},
    "dates on periods": {"year": YEARS, "g": as_dates()},
    "text on periods": {"year": YEARS, "g": PANEL["g"].map("{:.0f}".format).where(KNOWN)},
    "never as text": {"g": PANEL["g"].map("{:.0f}".format).where(KNOWN, "never")},
    "never as text on periods": {"year": YEARS, "g": PANEL["g"].map("{:.0f}".format).where(KNOWN, "never")},
    "numbers on periods": {"year": YEARS},
    "zeros on periods": {"year": YEARS, "g": PANEL["g"].fillna(0)},
    "dates on numbers": {"g": as_dates()},
    "periods on numbers": {"g": as_periods("Y")},
    "years on months": {"year": [pd.Period(f"2010-{v - 2000:02d}", "M") for v in PANEL["year"]], "g": as_periods("Y")},
    "half a year": {"g": PANEL["g"] + 0.5},
    "moving": {"g": PANEL["g"].where(PANEL["year"] < 2005, PANEL["g"] + 1)},
    "zero that is a period": {"year": PANEL["year"] - 2004, "g": (PANEL["g"] - 2004)},
}
READERS = {
    "twfe": lambda d: g.twfe(d, "y", **KEYS),
    "event_study": lambda d: g.event_study(d, "y", window=(-2, 2), **KEYS),
    "poisson": lambda d: g.poisson(d, "count", **KEYS),
    "att_gt": lambda d: g.att_gt(d, "y", **KEYS),
    "sun_abraham": lambda d: g.sun_abraham(d, "y", **KEYS),
    "imputation": lambda d: g.imputation(d, "y", **KEYS),
    "two_stage": lambda d: g.two_stage(d, "y", **KEYS),
    "etwfe": lambda d: g.etwfe(d, "y", **KEYS),
    "stacked": lambda d: g.stacked(d, "y", window=(-1, 1), **KEYS),
    "lp_did": lambda d: g.lp_did(d, "y", window=(-1, 1), **KEYS),
    "intensity_did": lambda d: g.intensity_did(d, "y", dose="dose", **KEYS),
    "triple_difference": lambda d: g.triple_difference(d, "y", eligible="eligible", place="state", **KEYS),
    "synthetic_did": lambda d: g.synthetic_did(d, "y", inference="none", **KEYS),
    "bacon": lambda d: g.bacon(d, "y", **KEYS),
    "twfe_weights": lambda d: g.twfe_weights(d, "y", **KEYS),
    "cohort_sizes": lambda d: g.cohort_sizes(d, "y", **KEYS),
    "balance_weights": lambda d: g.balance_weights(d, ["x"], **KEYS),
    "balance_table": lambda d: g.balance_table(d, ["x"], **KEYS),
    "placebo_test": lambda d: g.placebo_test(d, fit, draws=2, **KEYS),
    "power_simulation": lambda d: g.power_simulation(d, fit, [1.0], outcome="y", units="all", draws=2, **KEYS),
    "specification_curve": lambda d: g.specification_curve(d, "y", {"twfe": g.twfe}, draws=9, **KEYS),
}


def fit(d):
    return g.twfe(d, "y", **KEYS)


def told(error: Exception) -> str:
    """The refusal without what it heads."""
    return str(error).partition("\n")[2].strip()


def refusal(read, d) -> str | None:
    try:
        read(d)
    except DesignError as error:
        return told(error)
    return None


def never(d) -> int:
    sizes = g.cohort_sizes(d, "y", **KEYS)
    return int(sizes.loc[sizes["cohort"] == "never", "n_units"].sum())


@pytest.mark.parametrize("coding", CODINGS)
def test_every_reader_of_cohorts_answers_or_refuses_like_the_door(coding):
    d = PANEL.assign(**CODINGS[coding])
    want = refusal(lambda d: prepare(d, "y", **KEYS), d)
    got = {name: refusal(read, d) for name, read in READERS.items()}
    assert got == dict.fromkeys(READERS, want)
    if want is not None:
        assert re.search("cohort 'g' (is|spans|changes|cannot be read)", want)
        return
    n = prepare(d, "y", **KEYS).sample()["n_treated"]
    assert n == 16
    numbers = {
        "twfe": fit(d).sample["n_treated"],
        "event_study": READERS["event_study"](d).sample["n_treated"],
        "cohort_sizes": len(PANEL["county"].unique()) - never(d),
        "placebo_test": READERS["placebo_test"](d).n_treated,
        "power_simulation": READERS["power_simulation"](d).n_treated,
        "specification_curve": READERS["specification_curve"](d).estimates[0].sample["n_treated"],
    }
    assert numbers == dict.fromkeys(numbers, n)


def test_refused_codings_are_refused_and_the_others_are_one_estimate():
    refused = {c for c in CODINGS if refusal(lambda d: prepare(d, "y", **KEYS), PANEL.assign(**CODINGS[c]))}
    assert refused == {*list(CODINGS)[list(CODINGS).index("never as text") :]}
    same = [c for c in CODINGS if c not in refused and not c.startswith(("after", "before"))]
    points = [fit(PANEL.assign(**CODINGS[c])).point[0] for c in same]
    assert len(set(points)) == 1
    drawn = [READERS["placebo_test"](PANEL.assign(**CODINGS[c])).drawn.tobytes() for c in same]
    assert len(set(drawn)) == 1
    power = [READERS["power_simulation"](PANEL.assign(**CODINGS[c])).frame.to_csv() for c in same]
    assert len(set(power)) == 1
