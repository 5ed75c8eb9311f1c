"""What an estimator refuses directly it refuses whatever was done to the panel before."""

import functools
import warnings

import numpy as np
import pandas as pd
import pytest

import g287stats as g
from g287stats.errors import DataWarning, DesignError
from g287stats.inference.specification import specification_curve


@pytest.fixture(scope="module")
def switching():
    warnings.simplefilter("ignore")
    panel = g.county_panel(years=(2007, 2014), exposure=g.Exposure(models=("TFM",), on_exit="switching"))
    panel = panel.query("state in ['NC', 'VA', 'GA']")
    rng = np.random.default_rng(287)
    keys = panel.frame.set_index(["county_fips", "year"]).index
    y = pd.Series(rng.normal(size=len(keys)), index=keys)
    return panel.with_column("y", y, description="simulated outcome", source="simulated")


def _weights(panel):
    features = g.balance_weights(panel, ["log_population"], periods=(2007, 2007), method="overlap")
    return features.attach(panel)


def _matched(panel):
    return g.match(panel, ["log_population"], periods=(2007, 2007)).attach(panel)


def _merged(panel):
    own = pd.DataFrame({"county_fips": panel.frame["county_fips"].unique()}).assign(beds=1)
    return panel.merge(own)


def _column(panel):
    fips = panel.frame["county_fips"].unique()
    return panel.with_column("x", pd.Series(1.0, index=fips), description="one")


def _neighbours(panel):
    pairs = g.geography.neighbours()[["county_fips", "neighbour_fips"]]
    return g.exposure_map(panel, pairs, "treated", unknown="untreated")


WAYS = {
    "directly": lambda p: p,
    "balanced": lambda p: p.balanced(),
    "query": lambda p: p.query("population > 0"),
    "with_column": _column,
    "merge": _merged,
    "weights": _weights,
    "matching": _matched,
    "neighbours": _neighbours,
    "all of them": lambda p: _weights(_merged(_column(p.balanced().query("population > 0")))),
}
COHORTS = (
    g.twfe,
    g.event_study,
    g.att_gt,
    g.sun_abraham,
    g.imputation,
    g.etwfe,
    g.two_stage,
    functools.partial(g.stacked, window=(-2, 2)),
    functools.partial(g.lp_did, window=(-2, 2)),
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", WAYS)
def test_a_panel_whose_treatment_ends_is_refused_through_every_way_that_keeps_what_it_knows(switching, way):
    panel = WAYS[way](switching)
    for estimator in COHORTS:
        with pytest.raises(DesignError, match="switches off"):
            estimator(panel, "y")
    assert panel.keys == {"unit": "county_fips", "time": "year", "cohort": "cohort"}
    assert panel.provenance == switching.provenance
    assert set(panel.frame.columns) <= set(panel.codebook)
    assert panel.exits["cohort"] and set(panel.exits["cohort"]) <= set(switching.exits["cohort"])
    assert panel.flow[: len(switching.flow)] == switching.flow or panel.flow[0] == switching.flow[0]


@pytest.mark.filterwarnings("ignore")
def test_a_sample_of_a_specification_curve_is_refused_like_the_panel(switching):
    with pytest.raises(DesignError, match="switches off"):
        specification_curve(
            switching, "y", estimators={"twfe": g.twfe}, samples={"NC": lambda f: f[f["state"] == "NC"]}
        )


@pytest.mark.filterwarnings("ignore")
def test_a_named_exposure_that_ends_is_refused_like_the_only_one():
    exposure = {"tfm": g.Exposure(models=("TFM",), on_exit="switching"), "jem": g.Exposure(models=("JEM",))}
    panel = g.county_panel(years=(2007, 2014), exposure=exposure).query("state in ['NC', 'VA', 'GA']")
    assert panel.exits["cohort_tfm"] and not panel.exits["cohort_jem"]
    with pytest.raises(DesignError, match="switches off"):
        g.twfe(panel, "log_population", cohort="cohort_tfm")
    g.twfe(panel, "log_population", cohort="cohort_jem")


@pytest.mark.filterwarnings("ignore")
def test_the_flow_runs_from_the_source_to_the_estimate():
    panel = g.county_panel(years=(2007, 2014)).query("state == 'NC'")
    flow = g.twfe(panel, "log_population").sample["flow"]
    table = flow.to_frame()
    assert table["step"].tolist()[-2:] == ["found", "kept"]
    assert "spells in the table" in set(table["step"])
    assert any("not in: state == 'NC'" in s for s in table["step"])
    assert "kept" in str(flow) and "<table" in flow._repr_html_()


# ---- own data, joined on labels --------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def panel():
    return g.county_panel(years=(2005, 2008)).query("state in ['AL', 'CA', 'NC']")


def _own(panel):
    return panel.frame[["county_fips", "year"]].assign(arrests=np.arange(len(panel.frame), dtype=float))


AS = {
    "as in the panel": lambda f: f,
    "integer FIPS": lambda f: f.assign(county_fips=f["county_fips"].astype(int)),
    "float FIPS": lambda f: f.assign(county_fips=f["county_fips"].astype(float)),
    "unpadded text": lambda f: f.assign(county_fips=f["county_fips"].astype(int).astype(str)),
    "year as text": lambda f: f.assign(year=f["year"].astype(str)),
    "year as float": lambda f: f.assign(year=f["year"].astype(float)),
    "another row order": lambda f: f.sample(frac=1, random_state=1),
}


@pytest.mark.parametrize("form", AS)
@pytest.mark.parametrize("order", [["county_fips", "year"], ["year", "county_fips"]])
def test_own_data_reach_their_rows_whatever_the_type_and_order_of_keys(panel, form, order):
    own = _own(panel)
    given = AS[form](own)
    expected = own["arrests"].tolist()
    column = panel.with_column("arrests", given.set_index(order)["arrests"], description="arrests")
    assert column.frame["arrests"].tolist() == expected
    assert panel.merge(given).frame["arrests"].tolist() == expected
    assert panel.merge(given.set_index(order)).frame["arrests"].tolist() == expected


def test_nothing_matched_is_an_error_that_shows_keys_of_both_sides(panel):
    own = _own(panel).assign(year=lambda f: f["year"] - 100)
    with pytest.raises(DesignError, match=r"0 of \d+ rows .* has 01001/2005, .*; the table has 01001/1905"):
        panel.merge(own)


def test_little_matched_is_a_warning_and_what_is_missing_is_listed(panel):
    with pytest.warns(DataWarning, match="find a row"):
        out = panel.merge(_own(panel).query("county_fips >= '02'"))
    assert out.frame.loc[out.frame["state"] == "AL", "arrests"].isna().all()
    assert "01001" in out.flow.listed("panel rows without a value")


def test_columns_are_not_overwritten_unless_asked_for(panel):
    own = _own(panel).rename(columns={"arrests": "population"})
    with pytest.raises(DesignError, match="overwrite=True"):
        panel.merge(own)
    assert panel.merge(own, overwrite=True).frame["population"].tolist() == own["population"].tolist()
    with pytest.raises(DesignError, match="say what a row is"):
        panel.merge(own.rename(columns={"population": "state"}), overwrite=True)


def test_repeated_keys_and_absent_columns_are_refused(panel):
    own = _own(panel)
    with pytest.raises(DesignError, match="name the year"):
        panel.merge(own.rename(columns={"year": "yr"}), columns=["arrests"])
    with pytest.raises(DesignError, match=r"no column \['FIPS'\]"):
        panel.merge(own, "FIPS")
    with pytest.raises(DesignError, match="without labels"):
        panel.with_column("x", own["arrests"].to_numpy(), description="x")


def test_old_county_codes_are_put_in_todays_units_and_said():
    panel = g.county_panel(years=(2005, 2006)).query("state == 'SD'")
    own = pd.DataFrame({"county_fips": [46113], "beds": [12]})
    with pytest.warns(DataWarning):
        out = panel.merge(own)
    assert out.frame.loc[out.frame["county_fips"] == "46102", "beds"].tolist() == [12, 12]
    assert "46113->46102" in out.flow.to_frame()["reason"].str.cat()


def test_a_year_goes_to_each_of_its_months():
    panel = g.county_panel(years=(2007, 2008), freq="M").query("county_fips == '37001'")
    own = pd.DataFrame({"fips": [37001, 37001], "yr": ["2007", "2008"], "beds": [1, 2]})
    assert panel.merge(own, "fips", year="yr").frame["beds"].tolist() == [1] * 12 + [2] * 12
    months = pd.DataFrame({"fips": 37001, "m": pd.period_range("2007-01", "2008-12", freq="M").astype(str)})
    assert panel.merge(months.assign(n=range(24)), "fips", period="m").frame["n"].tolist() == list(range(24))


@pytest.mark.filterwarnings("ignore")
def test_neighbours_of_any_treatment_are_a_described_column():
    panel = g.county_panel(years=(2009, 2010), controls=["secure_communities"]).query("state in ['NC', 'SC']")
    pairs = g.data.neighbours()[["county_fips", "neighbour_fips"]]
    near = g.exposure_map(panel, pairs, "secure_communities", rings=1, unknown="untreated")
    assert near.frame["ring_1"].isin([0, 1]).all() and "secure_communities" in near.codebook["ring_1"]["description"]
