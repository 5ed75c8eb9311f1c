"""Warnings point at the line of the user, once a fact there, and can be silenced by kind."""

import re
import warnings
from pathlib import Path

import pytest
from battery import KEYS, panel

import g287stats as g
from g287stats.errors import DesignWarning, G287Warning, InferenceWarning

CALLS = {  # calls that have something to tell
    "twfe": lambda d: g.twfe(d, "y", **KEYS),
    "att_gt": lambda d: g.att_gt(d, "y", **KEYS),
    "imputation": lambda d: g.imputation(d, "y", **KEYS),
    "event_study": lambda d: g.event_study(d, "y", **KEYS),
    "sun_abraham": lambda d: g.sun_abraham(d, "y", **KEYS),
    "balance_weights": lambda d: g.balance_weights(d, ["y"], **KEYS),
    "wild_bootstrap": lambda d: g.wild_bootstrap(g.twfe(d, "y", **KEYS), draws=99),
    "tidy": lambda d: g.att_gt(d, "y", **KEYS).aggregate("event").tidy(),
    "active": lambda d: g.load_agreements().active(on="2027-01-01", basis="listed"),
}


@pytest.fixture(scope="module")
def early():
    """Few treated counties, of which one is treated from the first year on."""
    d = panel()
    d.loc[d["county"] > 4, "g"] = float("nan")
    d.loc[d["county"] == 0, "g"] = 2001.0
    d["d"] = (d["year"] >= d["g"]).astype(float)
    return d


@pytest.mark.parametrize("name", CALLS)
def test_the_line_is_the_users(name, early):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        CALLS[name](early)
    ours = [w for w in told if issubclass(w.category, G287Warning)]
    assert ours
    assert {Path(w.filename).name for w in ours} == {Path(__file__).name}
    texts = [str(w.message) for w in ours]
    assert len(texts) == len(set(texts))


def test_kinds_are_silenced_by_the_standard_filters(early):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DesignWarning)
        warnings.simplefilter("ignore", InferenceWarning)
        g.twfe(early, "y", **KEYS)


def test_every_warning_goes_through_one_function():
    package = Path(g.__file__).parent
    files = {str(p.relative_to(package)) for p in package.rglob("*.py") if not p.parts[-2].startswith("_")}
    direct = {f for f in files if re.search(r"\bwarnings\.warn\(", (package / f).read_text("utf-8"))}
    assert {f for f in direct if not f.startswith(("_tests", "_analyses"))} == {"errors.py"}
