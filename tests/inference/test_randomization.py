"""Randomisation inference: stored draws, full enumeration, refits, exactness."""

import itertools

import numpy as np
import pandas as pd
import pytest
from reference_did import agree, expected, load_panel

from g287stats.did.twfe import event_study, twfe
from g287stats.errors import DesignError, InferenceWarning
from g287stats.inference.assignment import all_arrangements, count_arrangements, random_arrangements
from g287stats.inference.randomization import placebo_test, randomization_test
from g287stats.numerics.inversion import not_rejected

KEYS = {"unit": "county", "time": "year", "cohort": "cohort"}


def panel(name):
    d = load_panel(name)
    return d.assign(cohort=d["g"].where(d["g"] > 0))


@pytest.fixture(scope="module")
def null():
    return twfe(panel("panel_null"), "y", **KEYS)


def single():
    return twfe(load_panel("single_unit"), "y", unit="county", time="year", treatment="d")


def test_reference_coefficient(null):
    r = randomization_test(null, assignments=load_panel("draws_ri"))
    got = {
        "estimate": r.estimate,
        "p_two_sided": r.p_value,
        "p_share": r.p_value_share,
        "p_right": r.p_value_right,
        "sd_of_draws": r.sd,
    }
    for quantity, row in expected("panel_null", "randomization_inference", "county.coefficient").iterrows():
        agree(got[quantity], None, row)


def test_reference_t(null):
    r = randomization_test(null, statistic="t", assignments=load_panel("draws_ri"))
    rows = expected("panel_null", "randomization_inference", "county.t")
    agree(r.statistic, None, rows.loc["t"])
    agree(r.p_value, None, rows.loc["p_two_sided"])


def test_reference_single_unit():
    r = randomization_test(single())
    assert r.enumerated
    placed = r.frame.set_index("county")["statistic"]
    rows = expected("single_unit", "randomization_inference", "county.coefficient")
    agree(r.estimate, None, rows.loc["estimate"])
    agree(r.p_value, None, rows.loc["p_two_sided"])
    for county, value in placed.items():
        agree(value, None, rows.loc[f"placement_{county}"])


@pytest.mark.parametrize("statistic", ["coefficient", "t"])
@pytest.mark.parametrize(
    "options", [{}, {"weights": "weight"}, {"covariates": ["z"]}, {"fixed_effects": [("region", "year")]}]
)
def test_each_draw_is_a_refit(statistic, options):
    d = panel("panel_unbalanced")
    d = d[(d["g"] != d["year"].min()) & (d["year"] <= 2009)]
    d["z"] = np.sin(np.arange(len(d)))
    d["region"] = d["state"] % 2
    est = twfe(d, "y", cluster="state", **KEYS, **options)
    r = randomization_test(est, statistic=statistic, draws=3, seed=4, null=0.2)
    units = np.sort(d["county"].unique())
    cohort = d.groupby("county")["cohort"].first()
    paths = np.unique(np.where(cohort.isna() | (cohort > 2009), 9999, cohort))
    kinds = np.searchsorted(paths, np.where(cohort.isna() | (cohort > 2009), 9999, cohort))
    kinds = np.where(kinds == len(paths) - 1, 0, kinds + 1)
    # the order of distinct paths: never first, then later adoption before earlier (rows of zeros and ones sorted)
    kinds = np.where(kinds > 0, len(paths) - kinds, 0)
    batch = next(random_arrangements(kinds, 3, 4))
    actual = (d["year"] >= d["cohort"]).to_numpy(float)
    for j in range(3):
        year = np.r_[9999, paths[:-1][::-1]][batch[j]]
        placed = dict(zip(units, year))
        again = d.assign(y=d["y"] - 0.2 * actual, d_new=(d["year"] >= d["county"].map(placed)).astype(float))
        keys = {k: v for k, v in KEYS.items() if k != "cohort"}
        refit = twfe(again, "y", treatment="d_new", cluster="state", small_sample="unadjusted", **keys, **options)
        value = refit.point[0] if statistic == "coefficient" else refit.point[0] / refit.se.iloc[0]
        assert r.drawn[j] == pytest.approx(value, rel=1e-8, abs=1e-10)


def test_complete_panel_shortcut_is_the_projection(null):
    """Weights of one take every treatment through the projection, without the shortcut of a complete panel."""
    fast = randomization_test(null, draws=20, statistic="t")
    weighted = twfe(panel("panel_null").assign(one=1.0), "y", weights="one", **KEYS)
    slow = randomization_test(weighted, draws=20, statistic="t")
    np.testing.assert_allclose(fast.drawn, slow.drawn, rtol=1e-9)


@pytest.mark.parametrize("statistic", ["coefficient", "t"])
@pytest.mark.parametrize("drop", [0, 3])
def test_interval_inverts_the_test(statistic, drop):
    d = panel("panel_null").drop(index=[5, 77, 300][:drop])
    est = twfe(d, "y", cluster="state" if drop else None, **KEYS)
    how = {"statistic": statistic, "draws": 99}
    r = randomization_test(est, **how)
    for end, inward in ((r.conf_low, 1e-6), (r.conf_high, -1e-6)):
        assert randomization_test(est, null=end + inward, ci=False, **how).p_value > 0.05
        assert randomization_test(est, null=end - inward, ci=False, **how).p_value <= 0.05


@pytest.mark.parametrize("statistic", ["coefficient", "t"])
def test_interval_against_refits_of_every_placement_at_every_effect(statistic):
    """Six units, two treated: least squares with dummies for each of 15 placements and 401 constant effects."""
    y = np.random.default_rng(5).standard_t(3, size=(6, 4))
    unit, time = np.repeat(np.arange(6), 4), np.tile(np.arange(4), 6)
    dummies = np.column_stack([unit[:, None] == np.arange(6), time[:, None] == np.arange(1, 4)]).astype(float)

    def compared(outcomes, chosen):
        x = (np.isin(unit, chosen) & (time >= 2)).astype(float)
        x = x - dummies @ np.linalg.lstsq(dummies, x, rcond=None)[0]
        left = outcomes - dummies @ np.linalg.lstsq(dummies, outcomes, rcond=None)[0]
        b = x @ left / (x @ x)
        scores = (unit == np.arange(6)[:, None]) @ (x[:, None] * (left - np.outer(x, b)))
        return np.abs(b if statistic == "coefficient" else b * (x @ x) / np.sqrt((scores**2).sum(axis=0)))

    effects = np.linspace(-10, 10, 401)
    outcomes = y.reshape(-1, 1) - effects * (np.isin(unit, [1, 4]) & (time >= 2))[:, None]
    placed = np.array([compared(outcomes, pair) for pair in itertools.combinations(range(6), 2)])
    p = (placed >= compared(outcomes, [1, 4]) * (1 - 1e-9)).mean(axis=0)
    kept = effects[p > 0.2]

    d = pd.DataFrame(
        {"u": unit, "t": 2000 + time, "y": y.ravel(), "g": np.where(np.isin(unit, [1, 4]), 2002.0, np.nan)}
    )
    r = randomization_test(twfe(d, "y", unit="u", time="t", cohort="g"), statistic=statistic, level=0.8)
    assert r.enumerated and r.draws == 15
    assert kept[0] - 0.05 < r.conf_low <= kept[0] < kept[-1] <= r.conf_high < kept[-1] + 0.05


def test_interval_holds_every_effect_not_rejected_when_they_are_no_interval():
    """Draws whose variance grows slowly with the effect are extreme again far out: counted on a grid."""
    apart = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        b, d = rng.normal(size=40), rng.uniform(-1, 1, 40)
        e, f = rng.normal(size=(2, 40, 3)) * np.array([1.0, 0.2])[:, None, None]
        lines = np.stack([b, d, (e * e).sum(1), (e * f).sum(1), (f * f).sum(1)])
        c = np.linspace(-30, 30, 6001)
        t = np.abs(b[:, None] + c * d[:, None]) / np.linalg.norm(e[:, None] + c[:, None] * f[:, None], axis=2)
        kept = np.flatnonzero((1 + (t >= np.abs(c)).sum(axis=0)) / 41 > 0.1)
        low, high = not_rejected(lines, 1.0, 0.1, added=1)
        assert c[kept[0]] - 0.01 < low <= c[kept[0]] and c[kept[-1]] <= high < c[kept[-1]] + 0.01
        apart += bool((np.diff(kept) > 1).any())
    assert apart >= 2


def coverage(statistic: str, draws: int, *, smallest: bool, n: int = 40, treated: int = 6) -> float:
    """Share of simulated panels whose 95 % interval holds the constant effect of 1: AR(1) noise (0.5) of t(4).

    With ``smallest`` the noise variance is 1 + 3/size, and the smallest units are treated.
    """
    rng = np.random.default_rng(287)
    size = np.sort(np.exp(rng.normal(0, 1, n)))
    scale = np.sqrt(1 + 3 / size) if smallest else np.ones(n)
    d = pd.DataFrame({"u": np.repeat(np.arange(n), 8), "t": np.tile(np.arange(2001, 2009), n)})
    held = 0
    for _ in range(draws):
        e = rng.standard_t(4, size=(n, 8))
        for t in range(1, 8):
            e[:, t] = 0.5 * e[:, t - 1] + np.sqrt(0.75) * e[:, t]
        first = np.full(n, np.nan)
        first[np.arange(treated) if smallest else rng.choice(n, treated, replace=False)] = 2005.0
        d["g"] = first[d["u"]]
        d["y"] = (e * scale[:, None]).ravel() + (d["t"] >= d["g"])
        r = randomization_test(twfe(d, "y", unit="u", time="t", cohort="g"), statistic=statistic, draws=199)
        held += r.conf_low <= 1 <= r.conf_high
    return held / draws


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::g287stats.errors.FewTreatedWarning")
def test_coverage():
    """Six treated of forty: exact under exchangeability; when the treated are noisier only the t statistic holds."""
    found = {(s, k): coverage(s, 2000, smallest=k) for s in ("coefficient", "t") for k in (False, True)}
    print(found)
    assert 0.93 <= found["coefficient", False] <= 0.97
    assert 0.93 <= found["t", False] <= 0.97
    assert 0.93 <= found["t", True] <= 0.97
    assert found["coefficient", True] < 0.9


def test_rows_do_not_matter(null):
    d = panel("panel_null").sample(frac=1, random_state=8)
    a, b = randomization_test(null, draws=50), randomization_test(twfe(d, "y", **KEYS), draws=50)
    np.testing.assert_array_equal(a.drawn, b.drawn)


def test_arrangements():
    labels = np.array([0, 0, 1, 2, 0])
    assert count_arrangements(labels) == 20
    rows = all_arrangements(labels)
    assert len({tuple(r) for r in rows}) == 20
    assert tuple(labels) in {tuple(r) for r in rows}
    strata = np.array([0, 0, 0, 1, 1])
    rows = all_arrangements(labels, strata)
    assert count_arrangements(labels, strata) == len(rows) == 6
    assert {tuple(sorted(r[:3])) for r in rows} == {(0, 0, 1)}
    batch = next(random_arrangements(labels, 50, 1, strata))
    assert {tuple(sorted(r[3:])) for r in batch} == {(0, 2)}


def test_within_strata(null):
    d = panel("panel_null")
    est = twfe(d, "y", cluster="state", **KEYS)
    r = randomization_test(est, within="state", draws=99)
    treated_states = d.loc[d["g"] > 0, "state"].unique()
    assert len(treated_states) == 3
    assert 0 < r.p_value <= 1


def test_any_estimator(null):
    d = panel("panel_null")
    d = d[d["county"] <= 40].assign(cohort=lambda f: f["cohort"].where(f["county"] != f["county"].max()))
    if d["cohort"].notna().sum() == 0:
        d.loc[d["county"] == 7, "cohort"] = 2008.0
    refit = lambda f: twfe(f, "y", **KEYS)
    a = placebo_test(d, refit, unit="county", time="year", cohort="cohort", draws=40, seed=3)
    b = randomization_test(refit(d), draws=40, seed=3)
    np.testing.assert_allclose(np.sort(a.drawn), np.sort(b.drawn), rtol=1e-8)
    assert a.p_value == b.p_value


def test_size_is_exact():
    """With exchangeable units the p-value is uniform on its support: size at 10 % within noise of 10 %."""
    rng = np.random.default_rng(0)
    rejections, draws = 0, 300
    for _ in range(draws):
        y = rng.standard_t(2, size=(20, 6))
        d = pd.DataFrame({"u": np.repeat(np.arange(20), 6), "t": np.tile(np.arange(2000, 2006), 20), "y": y.ravel()})
        d["g"] = np.where(d["u"] == 0, 2003.0, np.nan)
        rejections += randomization_test(twfe(d, "y", unit="u", time="t", cohort="g"), ci=False).p_value <= 0.1
    assert rejections / draws == pytest.approx(0.1, abs=3 * np.sqrt(0.09 / draws))


def test_refusals(null):
    with pytest.raises(DesignError, match="units a row"):
        randomization_test(null, assignments=[[1, 2]])
    with pytest.raises(DesignError, match="not in the panel"):
        randomization_test(null, assignments=[list(range(901, 913))])
    with pytest.raises(DesignError, match="statistic"):
        randomization_test(null, statistic="mean")
    exact = panel("panel_null").assign(y=lambda f: f["year"] + (f["year"] >= f["cohort"]))
    with pytest.raises(DesignError, match="fits the outcome exactly"):
        randomization_test(twfe(exact, "y", **KEYS), statistic="t")
    with pytest.raises(DesignError, match=r"takes the static effect of g\.twfe"):
        randomization_test(event_study(panel("panel_null"), "y", **KEYS))


def test_too_few_placements_are_told():
    d = load_panel("single_unit")
    small = d[d["county"].isin([*range(1, 10), 17])]
    est = twfe(small, "y", unit="county", time="year", treatment="d")
    with pytest.warns(InferenceWarning, match="10 reassignments cannot reject"):
        r = randomization_test(est)
    assert (r.conf_low, r.conf_high) == (-np.inf, np.inf)
    shorter = randomization_test(est, level=0.8)
    assert np.isfinite([shorter.conf_low, shorter.conf_high]).all()
