"""Multiplier bootstrap: the multipliers, the critical value, determinism."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from g287stats.errors import DesignError
from g287stats.estimate import bootstrap
from g287stats.estimate.bootstrap import bootstrap_se, draws_of, multiplier_draws, null_draws, sup_t
from g287stats.estimate.covariance import Clustered, Influence
from g287stats.estimate.estimate import Estimate, Method

KINDS = ("rademacher", "mammen", "webb", "gaussian")


def estimate(psi, **keys):
    keys = {"county": np.arange(len(psi)), **keys}
    return Estimate(
        labels=pd.DataFrame({"term": [f"b{j}" for j in range(psi.shape[1])]}),
        point=np.zeros(psi.shape[1]),
        influence=Influence(psi, keys),
        rule=Clustered(tuple(list(keys)[-1:]), small_sample="did"),
        kind="other",
        method=Method("made_up", "Made up"),
        outcome="y",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_multipliers_have_mean_zero_and_variance_one(kind):
    v = multiplier_draws(np.random.default_rng(1), 400, 501, kind)
    assert v.shape == (400, 501)
    assert abs(v.mean()) < 5 / np.sqrt(v.size)
    assert abs((v**2).mean() - 1) < 5 * np.sqrt(3 / v.size)
    third = {"mammen": 1.0}.get(kind, 0.0)
    assert abs((v**3).mean() - third) < 0.05
    points = {"rademacher": 2, "mammen": 2, "webb": 6}
    if kind in points:
        assert len(np.unique(v)) == points[kind]


def test_mammen_points():
    """(1 ∓ √5)/2 with probabilities (√5 ± 1)/(2√5): mean 0, variance 1, third moment 1."""
    root = np.sqrt(5)
    v = multiplier_draws(np.random.default_rng(2), 100, 1000, "mammen")
    assert np.unique(v) == pytest.approx([(1 - root) / 2, (1 + root) / 2])
    assert (v < 0).mean() == pytest.approx((root + 1) / (2 * root), abs=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_independent_parameters_need_the_sidak_value(kind):
    """Five uncorrelated, nearly normal parameters: P(max|z| ≤ c) = (2Φ(c) − 1)^5."""
    rng = np.random.default_rng(3)
    psi = np.linalg.qr(rng.normal(size=(400, 5)))[0]
    exact = stats.norm.ppf(0.5 + 0.5 * 0.95 ** (1 / 5))
    assert sup_t(estimate(psi), draws=40_000, multipliers=kind) == pytest.approx(exact, abs=0.04)


def test_one_parameter_is_pointwise_and_a_copy_adds_nothing():
    psi = np.random.default_rng(4).normal(size=(300, 1))
    one = sup_t(estimate(psi), draws=40_000)
    assert one == pytest.approx(1.96, abs=0.03)
    assert sup_t(estimate(np.hstack([psi, 3 * psi, -psi])), draws=40_000) == pytest.approx(one, abs=1e-9)


def test_exact_quantile_with_three_clusters():
    """Three clusters, one parameter: |v's| / se takes four values, each of probability ¼."""
    psi = np.array([[3.0], [2.0], [1.0]])
    values = np.sort([6.0, 4.0, 2.0, 0.0]) / np.sqrt(14)
    for level, value in ((0.2, values[0]), (0.45, values[1]), (0.7, values[2]), (0.95, values[3])):
        pointwise = stats.norm.ppf(0.5 + level / 2)  # a band is never narrower than the interval
        assert sup_t(estimate(psi), level=level, draws=4000) == pytest.approx(max(value, pointwise))
    assert bootstrap_se(estimate(psi), draws=20_000).iloc[0] == pytest.approx(np.sqrt(14), rel=0.02)


def test_clusters_are_drawn_not_rows():
    psi = np.random.default_rng(5).normal(size=(60, 2)) + 1
    state = np.repeat(np.arange(12), 5)
    by_state = estimate(psi, state=state)
    summed = estimate(np.add.reduceat(psi, np.arange(0, 60, 5)))
    np.testing.assert_allclose(by_state.se, summed.se)
    assert sup_t(by_state) == pytest.approx(sup_t(summed), abs=1e-12)


def test_same_seed_same_bits_whatever_the_chunk(monkeypatch):
    e = estimate(np.random.default_rng(6).normal(size=(64, 3)))
    first = np.vstack(list(draws_of(e, draws=100, seed=1)))
    assert (first == np.vstack(list(draws_of(e, draws=100, seed=1)))).all()
    assert (first != np.vstack(list(draws_of(e, draws=100, seed=2)))).any()
    monkeypatch.setattr(bootstrap, "ELEMENTS", 64 * 16)
    chunks = list(draws_of(e, draws=100, seed=1))
    assert [len(c) for c in chunks] == [16] * 6 + [4]
    np.testing.assert_allclose(np.vstack(chunks), first, rtol=1e-12, atol=1e-12)


def test_parameters_fixed_by_normalisation_take_no_part():
    psi = np.random.default_rng(7).normal(size=(50, 2))
    with_zero = estimate(np.column_stack([psi[:, 0], np.zeros(50), psi[:, 1]]))
    assert sup_t(with_zero) == pytest.approx(sup_t(estimate(psi)), abs=1e-12)
    bands = with_zero.bands()
    assert bands.loc["b1"].isna().all()
    assert np.isnan(bootstrap_se(with_zero)["b1"])
    with pytest.raises(DesignError, match="no parameter has a standard error"):
        sup_t(estimate(np.zeros((50, 2))))


def test_two_way_clusters_are_drawn_from_the_normal_law():
    rng = np.random.default_rng(8)
    psi = rng.normal(size=(2000, 2))
    keys = {"county": np.repeat(np.arange(100), 20), "year": np.tile(np.arange(20), 100)}
    e = estimate(psi, **keys).with_rule(Clustered(("county", "year"), small_sample="did"))
    assert e.rule.scores(e.influence) is None
    draws = np.vstack(list(draws_of(e, draws=60_000)))
    np.testing.assert_allclose(np.cov(draws.T), e.cov().to_numpy(), rtol=0.05, atol=0.02 * e.cov().to_numpy().max())
    assert sup_t(e, draws=20_000) == pytest.approx(2.2, abs=0.1)


def test_refusals():
    e = estimate(np.ones((5, 1)))
    with pytest.raises(DesignError, match="draws=0"):
        sup_t(e, draws=0)
    with pytest.raises(DesignError, match="level=95"):
        sup_t(e, level=95)
    with pytest.raises(DesignError, match="unknown multipliers 'normal'"):
        sup_t(e, multipliers="normal")


def test_no_progress_bar_outside_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "LONG", 0)
    sup_t(estimate(np.random.default_rng(9).normal(size=(50, 2))))
    assert capsys.readouterr().err == ""


def test_few_clusters_have_the_tails_of_t():
    """Many nearly independent parameters of six clusters: the largest |t| has the multivariate t's quantile."""
    rng = np.random.default_rng(8)
    psi = rng.normal(size=(6, 4))
    few = estimate(psi).with_rule(Clustered(("county",), small_sample="did", n_clusters={"county": 6}))
    drawn = np.vstack(list(null_draws(few, draws=40_000, multipliers="gaussian")))
    t = drawn[:, 0] / few.se.iloc[0]
    for level in (0.9, 0.95):
        assert np.quantile(np.abs(t), level) == pytest.approx(stats.t(5).ppf(0.5 + level / 2), rel=0.02)
    assert sup_t(few) > few.critical_value() > sup_t(estimate(psi))
    band, interval = few.bands(), few.conf_int()
    assert (band["band_low"] < interval["conf_low"]).all() and (band["band_high"] > interval["conf_high"]).all()
