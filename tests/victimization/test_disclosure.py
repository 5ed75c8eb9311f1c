"""What may leave a research data center."""

import numpy as np
import pandas as pd
import pytest

from g287stats import survey
from g287stats.errors import DesignError
from g287stats.victimization.disclosure import disclosure_check


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "group": ["latino", "black", "white", "other"],
            "rate": [18.23456, 22.98765, 19.30001, 0.000123456],
            "cases": [238, 97, 1234, 9],
            "weighted": [1234567.89, 2.0, 3.0, 4.0],
        }
    )


def test_rounding_and_suppression(table):
    d = disclosure_check(table, counts=("cases",))
    assert d.frame.group.tolist() == ["latino", "white"]  # "other" is small, "black" complementary
    assert d.frame.rate.tolist() == [18.23, 19.3]
    assert d.frame.cases.tolist() == [250, 1200]
    assert d.frame.weighted.tolist() == [1235000.0, 3.0]
    assert d.suppressed.reason.str.contains("fewer than 15|complementary").all()
    assert not d.nothing_suppressed
    assert table.rate[0] == 18.23456  # not modified


def test_rules_are_arguments(table):
    d = disclosure_check(table, counts=("cases",), min_cell=5, significant_digits=2, count_rounding=((1e6, 5),))
    assert d.frame.cases.tolist() == [240, 95, 1235, 10]
    assert d.frame.rate.tolist() == [18.0, 23.0, 19.0, 0.00012]
    assert d.nothing_suppressed
    assert d.rules["min_cell"] == 5
    alone = disclosure_check(table, counts=("cases",), complementary=False)
    assert alone.frame.group.tolist() == ["latino", "black", "white"]


@pytest.mark.parametrize(
    "count, shown",
    [(14, "<15"), (15, 20), (97, 100), (149, 150), (1049, 1000), (12749, 12500), (123456, 123000), (1458868, 1459000)],
)
def test_count_rounding(count, shown):
    frame = pd.DataFrame({"x": ["a", "b", "c"], "n": [count, 10**5, 10**5]})
    d = disclosure_check(frame, complementary=False)
    assert (d.frame.n.tolist()[0] if count >= 15 else "<15") == shown
    assert len(d.frame) == (3 if count >= 15 else 2)


def test_estimates_lose_their_counties():
    rng = np.random.default_rng(0)
    n = 600
    d = pd.DataFrame({"county_fips": rng.choice(["01001", "06037", "37119", "48201"], n), "x": rng.normal(size=n)})
    d["y"] = (rng.random(n) < 0.3) * 1.0
    d.loc[d.county_fips == "48201", "y"] = 0.0
    s = survey.sample(d, psu="county_fips", cluster="county_fips")
    fit = survey.glm(s, "y", ["x"], fixed_effects="county_fips")
    assert any("48201" in n for n in fit.notes)
    out = disclosure_check(fit)
    text = str(out.frame) + str(out.facts)
    assert "48201" not in text
    assert "county" not in out.facts.fact.str.cat()
    assert (out.suppressed.what == "note").any()
    by = disclosure_check(survey.mean(s, "y", by="county_fips"))
    assert by.frame.empty or not by.frame.astype(str).apply(lambda c: c.str.contains(r"\b\d{5}\b")).any().any()
    assert "column" in by.suppressed.what.tolist()
    assert out.frame.estimate.iloc[0] == float(f"{fit.point[0]:.3e}")
    counts = out.facts.set_index("fact").value
    assert counts["n_obs"] == str(int(np.floor(fit.sample["n_obs"] / 50 + 0.5) * 50))


def test_refusals(table):
    with pytest.raises(DesignError, match=r"columns \['nope'\]"):
        disclosure_check(table, counts=("nope",))
    with pytest.raises(DesignError, match="not str"):
        disclosure_check("table")
