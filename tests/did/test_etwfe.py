"""Extended two-way fixed effects."""

import numpy as np
import pandas as pd
import pytest
from reference_did import agree, expected, load_panel
from simulated_did import staggered

from g287stats.did.etwfe import etwfe
from g287stats.errors import DesignError, IdentificationError

KEYS = {"unit": "county", "time": "year", "cohort": "g"}


def small():
    data = load_panel("panel_small")
    data["g"] = data["g"].where(data["g"] > 0)
    return data


def test_cells_match_a_saturated_fixest_regression():
    e = etwfe(small(), "y", **KEYS)
    rows = expected("panel_small", "etwfe.att_gt", "notyet.none")
    assert set(e.terms) == set(rows.index)
    for term, row in rows.iterrows():
        agree(e.params[term], e.se[term], row)


@pytest.mark.parametrize(
    ("variant", "options"),
    [("notyet.none", {}), ("never.none", {"control": "never"}), ("notyet.x1x2_exovar", {"covariates": ["x1", "x2"]})],
)
def test_average_matches_fixest_and_diff_diff(variant, options):
    e = etwfe(small(), "y", **options, **KEYS).aggregate("simple")
    agree(e.point[0], e.se.iloc[0], expected("panel_small", "etwfe.simple", variant).loc["att"])


def test_balanced_panel_equals_imputation():
    """Without covariates the two impute the same untreated outcomes (Wooldridge 2025)."""
    row = expected("panel_small", "bjs.static", "none").loc["att"]
    agree(etwfe(small(), "y", **KEYS).aggregate("simple").point[0], None, row)


def test_never_treated_controls_equal_callaway_santanna_with_universal_base():
    e = etwfe(small(), "y", control="never", **KEYS)
    rows = expected("panel_small", "cs.att_gt", "reg.never.none.universal")
    for term in e.terms:
        agree(e.params[term], None, rows.loc[term])
    leads = e.labels["event_time"] < 0
    assert leads.sum() == 9


def test_noiseless_truth_by_event_time():
    e = etwfe(staggered(3, noise=0, growth=0.5), "y", **KEYS).aggregate("event")
    assert e.params.loc[["0", "1", "2"]].to_numpy() == pytest.approx([1, 1.5, 2], abs=1e-10)


def test_heterogeneous_effects_by_covariate_average_to_the_cohort_effect():
    data = staggered(4, noise=0)
    x = np.random.default_rng(1).normal(size=60)[data["county"]]
    data = data.assign(x=x, y=data["y"] + x * data["year"] * 0.3 + 2.0 * x * data["d"])
    e = etwfe(data, "y", covariates=["x"], **KEYS)
    by_cohort = data[data["d"] == 1].groupby("g")["x"].mean()
    truth = 1 + 2 * by_cohort.loc[e.labels["cohort"]].to_numpy()
    assert e.point == pytest.approx(truth, abs=1e-9)


def test_what_must_not_matter():
    data = staggered(5)
    one, before = etwfe(data, "y", **KEYS), data.copy()
    two = etwfe(data.sample(frac=1, random_state=1), "y", **KEYS)
    pd.testing.assert_frame_equal(data, before)
    assert np.array_equal(one.point, two.point)
    assert np.array_equal(one.se, two.se)
    moved = data.assign(y=3 - 2 * data["y"], year=data["year"] + 1990, g=data["g"] + 1990)
    three = etwfe(moved, "y", **KEYS)
    assert three.point == pytest.approx(-2 * one.point, abs=1e-11)
    assert three.se.to_numpy() == pytest.approx(2 * one.se.to_numpy(), abs=1e-11)


def test_without_never_treated_the_last_cohort_is_comparison():
    data = small()
    ever = data[data["g"].notna()]
    with pytest.warns(match="no unit is untreated from 2012 on"):
        e = etwfe(ever, "y", **KEYS)
    assert e.terms[-1] == "att(2010,2011)"
    cut = ever[ever["year"] < 2012].copy()
    cut["g"] = cut["g"].where(cut["g"] < 2012)
    assert e.point == pytest.approx(etwfe(cut, "y", **KEYS).point, abs=1e-12)
    assert "no untreated unit from 2012 on" in e.sample["flow"].to_frame()["step"].tolist()


def test_refusals():
    data = small()
    with pytest.raises(IdentificationError, match='use control="notyet"'):
        etwfe(data[data["g"].notna()], "y", control="never", **KEYS)
    with pytest.raises(IdentificationError, match="all units start treatment together"):
        etwfe(data[data["g"] == 2008], "y", **KEYS)
    with pytest.raises(IdentificationError, match="no unit starts"):
        etwfe(data[data["g"].isna()], "y", **KEYS)
    with pytest.raises(IdentificationError, match="×twice"):
        etwfe(data.assign(twice=2 * data["x1"]), "y", covariates=["x1", "twice"], **KEYS)
    with pytest.raises(DesignError, match="divide the outcome"):
        etwfe(data, "y", at_risk="exposure", **KEYS)
    with pytest.raises(DesignError, match="switches off in 60 units"):
        etwfe(data.assign(d=(data["year"] == 2009) * 1), "y", unit="county", time="year", treatment="d")


def counts(seed=0, n=60, t=8, effect=0.4):
    """Counts whose mean is multiplied by exp(effect) in treated cells; means are exact when ``seed`` is None."""
    data = staggered(1 if seed is None else seed, n=n, t=t, noise=0, effect=0)
    rng = np.random.default_rng(0 if seed is None else seed)
    people = np.exp(rng.normal(4, 0.5, size=n))[data["county"]]
    mean = people * np.exp(0.3 * rng.normal(size=n)[data["county"]] + 0.1 * np.sin(data["year"]) + effect * data["d"])
    return data.assign(people=people, crimes=mean if seed is None else rng.poisson(mean))


def test_poisson_returns_the_truth_from_exact_means():
    e = etwfe(counts(None), "crimes", model="poisson", at_risk="people", **KEYS)
    assert e.point == pytest.approx(np.full(len(e.point), 0.4), abs=1e-8)


def test_poisson_equals_a_dummy_regression():
    """With unit, period and cell dummies, by statsmodels; standard errors are its clustered ones."""
    import statsmodels.api as sm

    data = counts(3, n=30)
    e = etwfe(data, "crimes", model="poisson", at_risk="people", **KEYS)
    cell = np.where(data["d"] == 1, data["g"].fillna(0).astype(int).astype(str) + "," + data["year"].astype(str), "")
    names = [t.removeprefix("att(").removesuffix(")") for t in e.terms]
    x = np.column_stack(
        [
            *((cell == n).astype(float) for n in names),
            pd.get_dummies(data["county"]).to_numpy(float),
            pd.get_dummies(data["year"]).to_numpy(float)[:, 1:],
        ]
    )
    fit = sm.GLM(data["crimes"], x, family=sm.families.Poisson(), offset=np.log(data["people"]))
    fit = fit.fit(tol=1e-12, cov_type="cluster", cov_kwds={"groups": data["county"], "use_correction": False})
    assert e.point == pytest.approx(fit.params[: len(names)].to_numpy(), abs=1e-7)
    raw = e.se.to_numpy() / np.sqrt(e.rule.factor())
    assert raw == pytest.approx(fit.bse[: len(names)].to_numpy(), abs=1e-6)


@pytest.mark.filterwarnings("ignore::g287stats.errors.DesignWarning")
def test_poisson_cell_without_events_is_separated_and_said():
    data = counts(4)
    data.loc[(data["g"] == 6) & (data["year"] == 7), "crimes"] = 0
    e = etwfe(data, "crimes", model="poisson", at_risk="people", **KEYS)
    assert "att(6,7)" not in e.terms
    assert "att(6,6)" in e.terms
    assert any("separated" in n for n in e.notes)


@pytest.mark.filterwarnings("ignore::g287stats.errors.DesignWarning")
def test_unbalanced_panel_leaves_out_always_treated_counties():
    data = load_panel("panel_unbalanced")
    data["g"] = data["g"].where(data["g"] > 0)
    e = etwfe(data, "y", **KEYS)
    row = expected("panel_unbalanced", "bjs.static", "none").loc["att"]
    assert any("6 units treated from the first period on" in n for n in e.notes)
    assert e.aggregate("simple").point[0] == pytest.approx(row["value"], abs=0.05)
