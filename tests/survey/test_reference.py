"""Every value of tests/reference/survey: R 4.2.2, package survey 4.1.1, made by ref.R there.

Tolerances: means, totals and ratios are the same arithmetic, so 1e-12 relative; regressions were run in R to
epsilon 1e-15, so 1e-9 relative for coefficients, and 1e-6 for standard errors (R's default would leave 6.8e-6).
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from g287stats import survey as sv
from g287stats.errors import DesignError

MEANS = 1e-12
COEFFICIENTS = 1e-9
ERRORS = 1e-6
LOGIT_INTERVAL = 1e-9  # absolute: svyciprop ran at R's default epsilon and its own estimate is off by 5e-10
UNTESTABLE = {"strat_ratio": "api.stu, the numerator, is not among the columns of the stored apistrat.csv"}
HALVES = ["agec", "female", "hisp", "tf", "C(half)", "hisp:tf"]
SHORT = ["agec", "hisp", "tf", "hisp:tf"]


@pytest.fixture(scope="module")
def folder(reference):
    return reference / "survey"


@pytest.fixture(scope="module")
def api(folder):
    return json.loads((folder / "api_expected.json").read_text())


@pytest.fixture(scope="module")
def expected(folder):
    return json.loads((folder / "synth_small_expected.json").read_text())


@pytest.fixture(scope="module")
def synth(folder):
    d = pd.read_csv(folder / "synth_small.csv")
    d["y1000"] = d.n_violent * d.adjinc_wt * 1000
    d["victimizations"] = d.n_violent * d.adjinc_wt
    d["reported"] = d.n_violent * (d.IDPER % 2) * d.adjinc_wt
    d["one"], d["agec"], d["log_bf"] = 1.0, (d.age - 38) / 10, np.log(d.bf)
    return d


@pytest.fixture(scope="module")
def regular(synth):
    return synth[synth.V2117 != 41].reset_index(drop=True)


@pytest.fixture(scope="module")
def sample(regular):
    return design(regular, cluster="fips")


def design(frame, **how):
    return sv.sample(frame, **{"strata": "V2117", "psu": "V2118", "weights": "WGTPERCY"} | how)


def same(estimate, wanted, points=MEANS, errors=ERRORS):
    np.testing.assert_allclose(estimate.point, np.atleast_1d(wanted["est"]), rtol=points)
    np.testing.assert_allclose(estimate.se, np.atleast_1d(wanted["se"]), rtol=errors)
    if "vcov" in wanted:
        scale = np.outer(estimate.se, estimate.se)
        np.testing.assert_allclose(estimate.cov() / scale, np.array(wanted["vcov"]) / scale, atol=errors)


def same_model(estimate, wanted, errors=ERRORS):
    """Terms of R in R's order: the interaction comes last there and here."""
    names = {"(Intercept)": "Intercept"}
    terms = [
        names.get(t, t.replace("factor(half)", "C(half)[") + ("]" if "factor" in t else "")) for t in wanted["terms"]
    ]
    assert estimate.terms == terms
    coef, se = np.array(wanted["coef"]), np.array(wanted["se"])
    np.testing.assert_allclose(estimate.point, coef, rtol=COEFFICIENTS, atol=1e-11)
    np.testing.assert_allclose(estimate.se, se, rtol=errors)
    if "vcov" in wanted:
        np.testing.assert_allclose(
            estimate.cov() / np.outer(se, se), np.array(wanted["vcov"]) / np.outer(se, se), atol=errors
        )
    if "nobs" in wanted:
        zero_weight = wanted["nobs"] - estimate.sample["n_obs"]
        assert 0 <= zero_weight < 0.02 * wanted["nobs"]


# ---- api -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def strat(folder):
    d = pd.read_csv(folder / "apistrat.csv").rename(columns={"sch.wide": "sch_wide"})
    return d.assign(wide=(d.sch_wide == "Yes") * 1.0)


@pytest.fixture(scope="module")
def clus1(folder):
    d = pd.read_csv(folder / "apiclus1.csv").rename(columns={"sch.wide": "sch_wide"})
    return d.assign(wide=(d.sch_wide == "Yes") * 1.0)


@pytest.mark.parametrize("fpc, key", [("fpc", "strat_fpc_mean"), (None, "strat_nofpc_mean")])
def test_api_stratified_means_and_their_covariance(strat, api, fpc, key):
    s = sv.sample(strat, strata="stype", weights="pw", fpc=fpc)
    for n, name in enumerate(("api00", "enroll")):
        e = sv.mean(s, name)
        same(e, {"est": api[key]["est"][n], "se": api[key]["se"][n]})


def test_api_totals_groups_ratio_and_clusters(strat, clus1, api):
    s = sv.sample(strat, strata="stype", weights="pw", fpc="fpc")
    same(sv.total(s, "enroll"), api["strat_fpc_total"])
    plain = sv.sample(strat, strata="stype", weights="pw")
    same(sv.mean(plain, "api00", by="stype"), api["strat_by_stype"])
    same(sv.mean(plain, "api00", by="sch_wide"), api["strat_by_schwide"])
    fpc = sv.sample(clus1, psu="dnum", weights="pw", fpc="fpc")
    same(sv.mean(fpc, "api00"), api["clus1_fpc_mean"])
    c = sv.sample(clus1, psu="dnum", weights="pw")
    same(sv.mean(c, "api00"), api["clus1_nofpc_mean"])
    assert plain.df == api["degf"]["strat"]
    assert c.df == api["degf"]["clus1"]


@pytest.mark.parametrize(
    "key, outcome, covariates, family",
    [
        ("strat_logit", "wide", ["ell", "meals", "mobility"], "logit"),
        ("strat_poisson", "enroll", ["ell", "meals"], "poisson"),
        ("strat_gauss", "api00", ["ell", "meals", "mobility"], "linear"),
        ("strat_logit_fpc", "wide", ["ell", "meals", "mobility"], "logit"),
        ("clus1_logit", "wide", ["ell", "meals"], "logit"),
        ("clus1_poisson", "enroll", ["ell", "meals"], "poisson"),
    ],
)
def test_api_models(strat, clus1, api, key, outcome, covariates, family):
    if key.startswith("strat"):
        s = sv.sample(strat, strata="stype", weights="pw", fpc="fpc" if "fpc" in key else None)
    else:
        s = sv.sample(clus1, psu="dnum", weights="pw")
    same_model(sv.glm(s, outcome, covariates, family=family), api[key])


def test_api_domain_model(clus1, api):
    s = sv.sample(clus1, psu="dnum", weights="pw")
    same_model(sv.glm(s, "wide", ["ell", "meals"], domain=clus1.stype == "E"), api["domain_logit_E"])


# ---- synthetic NCVS-like file --------------------------------------------------------------------------------
def test_design(sample, regular, expected):
    assert sample.n == expected["design_regular"]["n"]
    assert sample.df == expected["design_regular"]["degf"]
    np.testing.assert_allclose(sample.weights.sum(), expected["design_regular"]["sumw"], rtol=MEANS)


def test_rates_prevalence_and_totals(sample, expected):
    same(sv.mean(sample, "victimizations", scale=1000), expected["rate"])
    same(sv.mean(sample, "violent"), expected["prev"])
    same(sv.total(sample, "one"), expected["total_pop"])
    same(sv.total(sample, "victimizations"), expected["rate_total"])
    same(sv.mean(sample, "y1000", by="year"), expected["rate_by_year"])
    same(sv.mean(sample, "y1000", by="hisp"), expected["rate_by_hisp"])
    same(sv.ratio(sample, "reported", "victimizations"), expected["ratio_reported"])


def test_cells_with_covariance_and_their_contrast(sample, expected):
    cells = sv.mean(sample, "violent", by=("hisp", "tf"))
    wanted = expected["prev_by_hisp_tf"]
    assert cells.labels.hisp.tolist() == wanted["hisp"]
    assert cells.labels.tf.tolist() == wanted["tf"]
    same(cells, wanted)
    same(cells.combine([[1, -1, -1, 1]], ["did"]), expected["prev_did_contrast"], points=1e-11)


def test_design_effect_interval_and_degrees_of_freedom(sample, expected):
    prevalence = sv.mean(sample, "violent")
    assert sv.design_effect(sample, prevalence, "violent") == pytest.approx(expected["deff_prev"], rel=1e-9)
    interval = sv.proportion_interval(prevalence)
    np.testing.assert_allclose(interval.iloc[0, 1:], expected["ciprop_logit"]["ci"], rtol=0, atol=LOGIT_INTERVAL)
    assert prevalence.df == 41


@pytest.mark.parametrize(
    "key, outcome, covariates, family, offset",
    [
        ("logit", "violent", HALVES, "logit", None),
        ("poisson", "n_violent", HALVES, "poisson", None),
        ("poisson_binary", "violent", HALVES, "poisson", None),
        ("poisson_offset", "n_violent", SHORT, "poisson", "log_bf"),
    ],
)
def test_models(sample, expected, key, outcome, covariates, family, offset):
    same_model(sv.glm(sample, outcome, covariates, family=family, offset=offset), expected[key])


def test_spot_values_of_the_documentation(sample):
    logit = sv.glm(sample, "violent", HALVES)
    assert logit.params["hisp:tf"] == pytest.approx(0.727985516758, abs=1e-11)
    assert logit.se["hisp:tf"] == pytest.approx(0.266089264683, abs=1e-9)


def test_absorbed_county_effects(sample, regular, expected):
    wanted = expected["logit_countyFE"]
    e = sv.glm(sample, "violent", HALVES, fixed_effects="fips")
    terms = [t.replace("factor(half)", "C(half)[") + ("]" if "factor" in t else "") for t in wanted["terms"]]
    keep = [n for n, t in enumerate(terms) if t != "(Intercept)"]
    assert e.terms == [terms[n] for n in keep]
    np.testing.assert_allclose(e.point, np.array(wanted["coef"])[keep], rtol=COEFFICIENTS)
    np.testing.assert_allclose(e.se, np.array(wanted["se"])[keep], rtol=ERRORS)
    assert e.df == 41 or e.df > 0  # R's svyglm would give -82 here
    both = sv.glm(sample, "violent", ["agec", "female", "hisp", "tf", "hisp:tf"], fixed_effects=("fips", "half"))
    keep = [t for t in e.terms if not t.startswith("C(")]
    np.testing.assert_allclose(both.params[keep], e.params[keep], rtol=COEFFICIENTS)
    np.testing.assert_allclose(both.se[keep], e.se[keep], rtol=COEFFICIENTS)


def test_domains_keep_every_psu(sample, regular, expected):
    latino = regular.hisp == 1
    same(sv.mean(sample, "y1000", domain=latino), expected["domain_hisp_rate"])
    e = sv.glm(sample, "violent", ["agec", "female", "tf", "C(half)"], domain=latino)
    same_model(e, expected["domain_hisp_logit"])
    assert (
        e.df == expected["domain_hisp_logit"]["df_resid"] + len(e.point) - 1
    )  # R's domain degf, regressors added back


def test_deleting_rows_first_would_be_wrong(regular, expected):
    naive = design(regular[regular.hisp == 1], singleton="remove")
    same(sv.mean(naive, "y1000"), expected["naive_drop_hisp_rate"])
    assert naive.n_psu == expected["naive_drop_hisp_rate"]["npsu"]
    assert expected["naive_drop_hisp_rate"]["se"] < expected["domain_hisp_rate"]["se"]


def test_wald(sample, expected):
    test = sv.glm(sample, "violent", HALVES).test(["hisp:tf"])
    assert test.statistic == pytest.approx(expected["wald_hisp_tf"]["F"], rel=ERRORS)


def test_county_clusters_instead_of_the_design(sample, regular, expected):
    e = sv.glm(sample, "violent", HALVES)
    county = e.with_rule(sample.rule(cluster="fips"))
    same_model(county, expected["logit_county_cluster"])
    assert county.se["hisp:tf"] == pytest.approx(0.3185, abs=5e-5)
    assert county.df == expected["logit_county_cluster"]["df_resid"] + len(e.point) - 1
    nested = design(regular, psu="fips")
    same_model(sv.glm(nested, "violent", HALVES), expected["logit_strata_county_cluster"])


@pytest.mark.parametrize("rule", ["remove", "certainty", "adjust", "average"])
def test_singletons(synth, expected, rule):
    wanted, s = expected["singleton"][rule], design(synth, singleton=rule)
    assert s.df == wanted["degf"]
    same(sv.mean(s, "y1000"), wanted["rate"])
    same(sv.mean(s, "violent"), wanted["prev"])
    same(sv.total(s, "violent"), wanted["total"])
    same(sv.mean(s, "violent", by="hisp"), wanted["by_hisp"])
    same_model(sv.glm(s, "violent", SHORT), wanted["logit"])


def test_singletons_fail_by_default(synth, expected):
    assert "only one PSU" in expected["singleton"]["fail_message"]
    with pytest.raises(DesignError, match=r"only one PSU \(1\): 41"):
        design(synth)


def test_a_domain_without_rows_in_a_psu(regular, expected):
    s = design(regular, singleton="adjust")
    inside = ~(regular.V2117.isin([5, 6]) & (regular.V2118 == 2))
    same(sv.mean(s, "y1000", domain=inside), expected["domain_lonely"]["rate"])


def test_year_groups_and_changes(regular, expected):
    wanted = expected["yr_grp_strata"]
    d = regular.assign(yr_grp=np.where(regular.year < 2009, 2, 3))
    s = design(d, strata=("yr_grp", "V2117"))
    assert s.df == wanted["degf"]
    same(sv.mean(s, "y1000"), wanted["rate"])
    years = sv.mean(s, "y1000", by="year")
    same(years, wanted["by_year"])
    same(years.combine([[-1, 0, 0, 1]], ["2010 - 2007"]), wanted["change"], points=1e-11)
    shared = sv.mean(design(regular), "y1000", by="year")
    same(shared.combine([[-1, 0, 0, 1]], ["2010 - 2007"]), wanted["change_same_group"], points=1e-11)
    same_model(sv.glm(s, "violent", HALVES), wanted["logit"])


@pytest.fixture(scope="module")
def fay(synth, folder):
    d = synth[synth.V2117 <= 39].reset_index(drop=True)
    factors = pd.read_csv(folder / "synth_small_fay_replicate_factors.csv").set_index(["V2117", "V2118"])
    rows = factors.loc[pd.MultiIndex.from_frame(d[["V2117", "V2118"]])].to_numpy()
    return d, rows * d.WGTPERCY.to_numpy()[:, None]


@pytest.mark.parametrize(
    "centre, rate, logit", [("mean", "rate_default", "logit"), ("estimate", "rate_mse", "logit_mse")]
)
def test_fay_replicates(fay, expected, centre, rate, logit):
    d, weights = fay
    wanted = expected["fay"]
    r = sv.replicate_weights(weights, "fay", rho=0.5, centre=centre)
    assert (weights.shape[1], r.scale) == (wanted["R"], pytest.approx(wanted["scale"]))
    s = design(d, replicates=r)
    same(sv.mean(s, "y1000", variance="replicates"), wanted[rate])
    same_model(sv.glm(s, "violent", SHORT, variance="replicates"), wanted[logit])


def test_the_same_sample_linearised(fay, expected):
    s = design(fay[0])
    same(sv.mean(s, "y1000"), expected["fay"]["taylor_rate"])
    same_model(sv.glm(s, "violent", SHORT), expected["fay"]["taylor_logit"])


def test_every_reference_value_is_used(folder, strat, api, expected):
    """The JSON files hold no key that this module does not compare, but for the one that cannot be."""
    assert "api.stu" not in strat
    source = Path(__file__).read_text()
    for content in (api, expected):
        unused = [k for k in content if source.count(f'"{k}"') < 1 and k not in ("meta", "data", "n")]
        assert not unused
