"""What may leave a research data center, by one door."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import g287stats as g
from g287stats.claims.analyses import analyses
from g287stats.claims.exhibits import Exhibits
from g287stats.errors import DesignError
from g287stats.survey import glm, mean, quantile, sample
from g287stats.victimization.release import ReleaseRules, names_a_place, release


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


def test_rounding_and_withholding(table):
    d = release(table)
    assert d.frame.group.tolist() == ["latino", "white"]  # "other" is small, "black" complementary
    assert d.frame.rate.tolist() == [18.23, 19.3]
    assert d.frame.cases.tolist() == [250, 1200]
    assert d.frame.weighted.tolist() == [1235000.0, 3.0]
    assert d.withheld.reason.str.contains("fewer than 15|complementary").all()
    assert table.rate[0] == 18.23456  # not modified


def test_rules_are_arguments(table):
    d = release(table, ReleaseRules(significant_digits=2, min_cell=5, count_rounding=((1e6, 5),)))
    assert d.frame.cases.tolist() == [240, 95, 1235, 10]
    assert d.frame.rate.tolist() == [18.0, 23.0, 19.0, 0.00012]
    assert d.withheld.empty
    alone = release(table, ReleaseRules(complementary=False))
    assert alone.frame.group.tolist() == ["latino", "black", "white"]


@pytest.mark.parametrize(
    "count, shown",
    [
        (14, "<15"),
        (15, 20),
        (25, 20),
        (97, 100),
        (149, 150),
        (125, 100),
        (175, 200),
        (1049, 1000),
        (1050, 1000),
        (1150, 1200),
        (12749, 12500),
        (12750, 13000),
        (123456, 123000),
        (122500, 122000),
        (1458868, 1459000),
    ],
)
def test_counts_by_size_half_to_even(count, shown):
    assert ReleaseRules().count(count) == shown


@pytest.mark.parametrize(
    "value, shown",
    [(0.0123456, 0.01235), (0.012345, 0.01234), (0.012355, 0.01236), (-2.00049, -2.0), (98765.4, 98770.0), (0, 0)],
)
def test_four_digits_half_to_even(value, shown):
    assert ReleaseRules().digits(value) == shown


def survey(n=600):
    rng = np.random.default_rng(0)
    d = pd.DataFrame({"county_fips": rng.choice(["01001", "06037", "37119", "48201"], n), "x": rng.normal(size=n)})
    d["y"] = (rng.random(n) < 0.3) * 1.0
    d.loc[d.county_fips == "48201", "y"] = 0.0
    return sample(d, psu="county_fips", cluster="county_fips")


def test_estimates_lose_their_counties_and_exact_counts():
    s = survey()
    fit = glm(s, "y", ["x"], fixed_effects="county_fips")
    assert any("48201" in n for n in fit.notes)
    out = release(fit)
    text = str(out)
    assert "48201" not in text
    assert (out.changes.what == "note").any()
    assert out.frame.term.tolist() == ["x"]
    assert out.frame.estimate.iloc[0] == float(f"{fit.point[0]:.3e}")
    counts = out.facts.set_index("fact").value
    for name in ("n_obs", "n_rows", "n_events"):
        assert counts[name] == str(ReleaseRules().count(fit.sample[name]))
    by = release(mean(s, "y", by="county_fips"))
    assert by.frame.empty or "county_fips" not in by.frame
    assert "identifies places" in by.withheld.reason.tolist()


def test_order_statistics_are_withheld():
    out = release(quantile(survey(), "x", 0.5))
    assert out.frame.empty
    table = release(pd.DataFrame({"rate": [1.0, 2.0], "max_rate": [3.0, 4.0], "median": [1.0, 1.5], "p95": [2.0, 2.2]}))
    assert list(table.frame) == ["rate"]


def test_places_by_name_and_by_code():
    assert names_a_place("the sheriff of Maricopa County")
    assert names_a_place("Maricopa")
    assert names_a_place("county 04013 alone")
    assert not names_a_place("TFM, percent change of the odds")
    assert not names_a_place("12,345 interviews")
    out = release(pd.DataFrame({"who": ["all", "without Maricopa County", "04013"], "estimate": [0.1, 0.2, 0.3]}))
    assert out.frame.who.tolist() == ["all"]
    named = release(pd.DataFrame({"term": ["TFM"], "county_fips_se": [0.2345678]}))  # an error, not a place
    assert named.frame.county_fips_se.tolist() == [0.2346]


def test_texts_mappings_and_figures():
    assert release("330 PSUs in 160 strata, 2005-2014, t 1.23456").value == "350 PSUs in 150 strata, 2005-2014, t 1.235"
    assert release("in Pima County").value is None
    out = release({"n_psu": 330, "rate": 1.234567, "inner": {"rows": 1457348, "county_fips": "04013"}, "seed": 287})
    assert out.value == {"n_psu": 350, "rate": 1.235, "inner": {"rows": 1457000}, "seed": 287}
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    axes.plot([1, 2], [0.123456, 0.98765])
    axes.set_title("1,457,348 interviews")
    left = release(figure).value
    assert left.axes[0].get_lines()[0].get_ydata().tolist() == [0.1235, 0.9876]
    assert left.axes[0].get_title() == "1,457,000 interviews"
    assert axes.get_title() == "1,457,348 interviews"  # the figure given is untouched
    plt.close("all")


def test_the_whole_analysis_leaves_without_an_exact_count(simulated, extract, tmp_path, monkeypatch):
    """No whole number of the size of the confidential frame, and no place, in what the analysis writes."""
    monkeypatch.setenv("G287STATS_NCVS", str(extract))
    analysis = analyses()["baumer-xie-2023"]
    bench = Exhibits(analysis.name, tmp_path / "out", analysis.claims, analysis.differences)
    real = g.ncvs.county_ncvs()
    monkeypatch.setattr(g.ncvs, "county_ncvs", lambda **_: _as_real(real, simulated.treatments))
    analysis.load()(bench)
    assert bench.door is not None
    frame = real.interviews().frame
    secret = {len(frame), int((frame.weight > 0).sum()), frame.county_fips.nunique(), len(real.incident.frame)}
    secret |= {
        len(frame[["yr_grp", "V2117", "V2118"]].drop_duplicates()),
        len(frame[["yr_grp", "V2117"]].drop_duplicates()),
    }
    for who in ("latino", "black", "white"):
        inside = (frame.group == who) & (frame.weight > 0)
        secret |= {int(inside.sum()), int(frame.victim[inside].sum()), frame.county_fips[inside].nunique()}
    secret = {s for s in secret if s > 20 and ReleaseRules().count(s) != s}
    written = "\n".join(
        p.read_text("utf-8")
        for p in sorted((tmp_path / "out").iterdir())
        if p.suffix in (".csv", ".md", ".json", ".tex")
    )
    written += str(bench.results)
    numbers = {int(n.replace(",", "")) for n in re.findall(r"(?<![\w.])\d[\d,]*(?![\w.]|\.\d)", written)}
    assert not numbers & secret
    assert not any(code in written for code in frame.county_fips.unique())
    main = pd.read_csv(tmp_path / "out" / "main.csv")
    assert {"TFM", "SC", "JEM"} <= set(main.term)


def _as_real(data, treatments):
    """The extract as if its rows were real, under dates at which its small sample has treated victims."""
    return replace(data, simulated=False, treatments=treatments)


def test_refusals(table):
    with pytest.raises(DesignError, match=r"columns are not in the table \(1\): nope"):
        release(table, counts=("nope",))
    with pytest.raises(DesignError, match="not int"):
        release(3)
