"""The level of assignment: whole clusters exchange their treatments when treatment was given to whole clusters."""

import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytest

from g287stats.design.keys import KeyedFrame
from g287stats.did.imputation import imputation
from g287stats.did.twfe import twfe
from g287stats.errors import DesignError, FewTreatedWarning, InferenceWarning
from g287stats.inference.assignment import all_arrangements
from g287stats.inference.few_treated import conley_taber, ferman_pinto
from g287stats.inference.power import power_simulation
from g287stats.inference.randomization import placebo_test, randomization_test
from g287stats.inference.small_sample import bias_reduced

pytestmark = pytest.mark.filterwarnings("ignore::g287stats.errors.DesignWarning")
KEYS = {"unit": "county", "time": "year"}


def states(sizes, first, seed=0, periods=6, shock=1.0):
    """Counties in states that are treated as a whole from ``first`` on (missing: never), with shocks by state."""
    rng = np.random.default_rng(seed)
    state = np.repeat(np.arange(len(sizes)), sizes)
    n = len(state)
    d = pd.DataFrame({"county": np.repeat(np.arange(n), periods), "year": np.tile(2001 + np.arange(periods), n)})
    d["code"] = np.repeat(state, periods)
    d["state"] = "S" + d["code"].astype(str).str.zfill(2)
    d["g"] = np.asarray(first, dtype=float)[d["code"]]
    d["d"] = (d["year"] >= d["g"]).astype(float)
    d["y"] = shock * rng.normal(size=(len(sizes), periods))[d["code"], d["year"] - 2001] + rng.normal(size=len(d))
    return d


NAN = np.nan
UNEVEN = states([1, 4, 2, 7, 3, 2], [NAN, 2003, NAN, NAN, 2005, NAN])


@pytest.mark.parametrize("statistic", ["coefficient", "t"])
@pytest.mark.parametrize("cluster", ["state", "county"])
@pytest.mark.parametrize("drop", [0, 2])
def test_every_exchange_of_states_is_a_refit(statistic, cluster, drop):
    """Thirty ways to give the two paths to six states of different size, each regression run again."""
    d = UNEVEN.drop(index=[8, 50][:drop])
    est = twfe(d, "y", cohort="g", cluster="state", **KEYS)
    r = randomization_test(est, statistic=statistic, cluster=cluster)
    assert (r.assign_by, r.n_treated, r.n_assigned, r.enumerated, r.draws) == ("state", 2, 6, True, 30)
    path = np.array([NAN, 2005, 2003])  # never, then in the order of the paths' zeros and ones
    wanted = []
    for row in all_arrangements(np.array([0, 2, 0, 0, 1, 0])):
        again = d.assign(g=path[row][d["code"]])
        refit = twfe(again, "y", cohort="g", cluster=cluster, small_sample="unadjusted", **KEYS)
        wanted.append(refit.point[0] if statistic == "coefficient" else refit.point[0] / refit.se.iloc[0])
    np.testing.assert_allclose(r.drawn, wanted, rtol=1e-8)
    assert r.p_value == np.mean(np.abs(wanted) >= abs(r.statistic) * (1 - 1e-9))
    assert "2 of 6 'state' treated" in str(r)


def test_counties_exchange_where_treatment_differs_within_states():
    d = UNEVEN.assign(g=UNEVEN["g"].where(UNEVEN["county"] % 2 == 0))
    with warnings.catch_warnings():
        warnings.simplefilter("error", InferenceWarning)
        r = randomization_test(twfe(d, "y", cohort="g", cluster="state", **KEYS), draws=29, ci=False)
    assert (r.assign_by, r.n_assigned) == ("county", 19)
    mostly = UNEVEN.assign(g=UNEVEN["g"].where(UNEVEN["county"] != 16))
    with pytest.warns(
        InferenceWarning, match="all units of 1 of 2 treated 'state' but not of the others, so that single"
    ):
        refit = twfe(mostly, "y", cohort="g", cluster="state", **KEYS)
        assert randomization_test(refit, draws=29, ci=False).assign_by == "county"
    with pytest.raises(DesignError, match=r"treatment differs between the units of 2 of 6 groups \(units 1, 2"):
        randomization_test(twfe(d, "y", cohort="g", cluster="state", **KEYS), assign_by="state")


def test_a_finer_level_than_that_of_treatment_is_told():
    est = twfe(UNEVEN, "y", treatment="d", cluster="state", **KEYS)
    told = "same in all units of every 'state' .* between 19 'county' is not valid .* assign_by='state'"
    for test in (randomization_test, conley_taber):
        with pytest.warns(InferenceWarning, match=told):
            assert test(est, draws=29, assign_by="county").assign_by == "county"
    with pytest.warns(InferenceWarning, match=told):
        refit = lambda f: twfe(f, "y", cohort="g", cluster="state", **KEYS)
        assert placebo_test(UNEVEN, refit, cohort="g", **KEYS, draws=3, assign_by="unit").n_assigned == 19
    with warnings.catch_warnings():
        warnings.simplefilter("error", InferenceWarning)
        assert randomization_test(est, ci=False, assign_by="state").draws == 30
    with pytest.raises(DesignError, match="no cluster level 'region'"):
        randomization_test(est, assign_by="region")


def test_strata_hold_whole_groups():
    d = UNEVEN.assign(half=np.where(UNEVEN["code"] < 3, "A", "B"))
    est = twfe(d, "y", cohort="g", cluster=["state", "half"], **KEYS)
    r = randomization_test(est, within="half", ci=False)
    assert (r.assign_by, r.draws) == ("state", 9)  # three places for each path
    with pytest.raises(DesignError, match="leaves nothing to exchange: in each of its groups all 'state' are treated"):
        randomization_test(est, within="state")
    with pytest.raises(DesignError, match="within='county' changes within 'state', whose whole paths are exchanged"):
        randomization_test(est, within="county")


def test_one_treated_state_is_placed_in_every_state():
    d = UNEVEN.assign(g=UNEVEN["g"].where(UNEVEN["state"] == "S01"))
    r = randomization_test(twfe(d, "y", cohort="g", cluster="state", **KEYS), level=0.8)
    assert r.frame["county"].tolist() == [0, 1, 5, 7, 14, 17]  # the first county of each state
    one = placebo_test(d, lambda f: twfe(f, "y", cohort="g", cluster="state", **KEYS), cohort="g", **KEYS, draws=9)
    assert one.frame["state"].tolist() == ["S00", "S01", "S02", "S03", "S04", "S05"]
    np.testing.assert_allclose(one.drawn, r.drawn, rtol=1e-9)
    given = randomization_test(twfe(d, "y", cohort="g", cluster="state", **KEYS), assignments=[[6], [18]], ci=False)
    np.testing.assert_allclose(given.drawn, r.drawn[[2, 5]], rtol=1e-12)


def test_states_of_equal_size_are_a_panel_of_states():
    """Where every state has five counties, inference on counties is that on the panel of state means."""
    d = states([5] * 12, [2004] * 3 + [NAN] * 9, seed=1)
    means = d.groupby(["state", "year"], as_index=False)[["y", "g"]].mean()
    fine = twfe(d, "y", cohort="g", cluster="state", **KEYS)
    coarse = twfe(means, "y", unit="state", time="year", cohort="g")
    size = pd.Series(1.0 + np.arange(60) % 7, index=range(60))
    by_state = pd.Series(size.to_numpy().reshape(12, 5).sum(axis=1), index=sorted(d["state"].unique()))
    pairs = [
        (randomization_test(fine, draws=99), randomization_test(coarse, draws=99)),
        (randomization_test(fine, draws=99, statistic="t"), randomization_test(coarse, draws=99, statistic="t")),
        (conley_taber(fine, draws=200), conley_taber(coarse, draws=200)),
        (conley_taber(fine), conley_taber(coarse)),
        (ferman_pinto(fine, size, draws=99), ferman_pinto(coarse, by_state, draws=99)),
        (ferman_pinto(fine, draws=99), ferman_pinto(coarse, by_state * 0 + 5, draws=99)),
    ]
    for a, b in pairs:
        np.testing.assert_allclose(a.drawn, b.drawn, rtol=1e-8, atol=1e-12)
        assert (a.assign_by, a.p_value) == ("state", b.p_value)
        assert (a.conf_low, a.conf_high) == pytest.approx((b.conf_low, b.conf_high), rel=1e-6)
    assert "(3 'state' treated, all 9 controls)" in str(conley_taber(fine))


def test_conley_taber_of_states_by_the_formula():
    """All 16 pairs of controls for two treated states of four and three counties, from county residuals."""
    est = twfe(UNEVEN, "y", cohort="g", cluster="state", **KEYS)
    with pytest.warns(InferenceWarning, match="with 2 treated and 4 control 'state' a 5 % test rejects about 26 %"):
        r = conley_taber(est)
    dummies = pd.get_dummies(UNEVEN[["county", "year"]].astype(str)).to_numpy(float)
    x = np.column_stack([UNEVEN["d"], dummies])
    left = UNEVEN["y"] - x @ np.linalg.lstsq(x, UNEVEN["y"], rcond=None)[0]
    noise = left.groupby([UNEVEN["state"], UNEVEN["year"]]).mean().unstack()
    path = UNEVEN.groupby(["state", "year"])["d"].mean().unstack().loc[["S01", "S04"]]
    path = path.sub(path.mean(axis=1), axis=0).to_numpy() * np.sqrt([[4], [3]])
    weight = path * np.sqrt([[4], [3]])
    controls = noise.loc[["S00", "S02", "S03", "S05"]].to_numpy()
    wanted = [
        (weight[0] @ controls[a] + weight[1] @ controls[b]) / (path**2).sum()
        for a, b in itertools.product(range(4), repeat=2)
    ]
    assert r.enumerated
    np.testing.assert_allclose(r.drawn, wanted, atol=1e-10)


def test_ferman_pinto_weighs_states_as_the_estimate_does():
    d = UNEVEN.assign(g=UNEVEN["g"].where(UNEVEN["g"] != 2005).where(UNEVEN["state"] != "S04", 2003.0))
    est = twfe(d, "y", cohort="g", cluster="state", **KEYS)
    r = ferman_pinto(est, draws=50, ci=False)
    assert (r.assign_by, r.n_treated, r.n_controls) == ("state", 2, 4)
    assert r.estimate == pytest.approx(est.point[0], rel=1e-10)
    # the fit of squared changes on the number of counties, by hand
    post = d["year"] >= 2003
    change = d[post].groupby("state")["y"].mean() - d[~post].groupby("state")["y"].mean()
    n = d.groupby("state")["county"].nunique()
    w = change - (change * n).sum() / n.sum()
    a, b = np.polynomial.polynomial.polyfit(1 / n, w**2, 1)
    if b < 0:
        a, b = (w**2).mean(), 0.0
    elif a < 0:
        a, b = 0.0, (w**2 / n).sum() / (1 / n**2).sum()
    assert r.variance == pytest.approx({"A": a, "B": b})
    with pytest.raises(DesignError, match="Series by unit"):
        ferman_pinto(twfe(d, "y", cohort="g", **KEYS))


def test_the_coarsest_of_two_levels_and_that_of_cr2():
    d = UNEVEN.assign(pair=UNEVEN["code"] // 2)
    est = twfe(d, "y", cohort="g", cluster=["state", "year"], **KEYS)
    assert randomization_test(est, ci=False).assign_by == "state"
    refit = lambda f: bias_reduced(twfe(f, "y", cohort="g", cluster="state", **KEYS))
    assert placebo_test(d, refit, cohort="g", **KEYS, draws=3).assign_by == "state"


# any estimator: what is exchanged in the frame


def by_cohort(f):
    return twfe(f, "y", cohort="g", cluster="state", **KEYS)


def by_treatment(f):
    return twfe(f, "y", treatment="d", cluster="state", **KEYS)


def test_placebo_exchanges_states_and_what_the_estimator_reads():
    a = randomization_test(by_cohort(UNEVEN))
    b = placebo_test(UNEVEN, by_cohort, cohort="g", **KEYS, draws=99)
    c = placebo_test(UNEVEN, by_treatment, unit="county", time="year", treatment="d", draws=99)
    both = lambda f: by_treatment(f).point[0] + imputation(f, "y", cohort="g", **KEYS).overall.point[0]
    e = placebo_test(UNEVEN, both, cohort="g", **KEYS, treatment="d", assign_by="state", draws=30)
    for r in (b, c, e):
        assert (r.assign_by, r.n_treated, r.n_assigned, r.draws) == ("state", 2, 6, 30)
    for r in (b, c):
        np.testing.assert_allclose(np.sort(r.drawn), np.sort(a.drawn), rtol=1e-9)
        assert r.p_value == a.p_value
    assert np.isclose(e.drawn, e.estimate, rtol=1e-10).sum() == 1  # the actual assignment, in both columns
    assert str(c).count("2 of 6 'state' treated")


def test_an_estimator_that_does_not_read_what_is_exchanged():
    told = r"of 'g' gave the same estimate to the last bit .*does not read 'g'.*treatment=\"treated\""
    with pytest.raises(DesignError, match=told):
        placebo_test(UNEVEN, by_treatment, cohort="g", **KEYS, draws=5)
    with pytest.raises(DesignError, match=told):
        power_simulation(UNEVEN, by_treatment, [1.0], outcome="y", cohort="g", units="all", draws=5, **KEYS)
    r = power_simulation(UNEVEN, by_treatment, [1.0], outcome="y", treatment="d", units="all", draws=20, **KEYS)
    s = power_simulation(UNEVEN, by_cohort, [1.0], outcome="y", cohort="g", units="all", draws=20, **KEYS)
    assert r.frame["mean_estimate"].diff().iloc[1] == pytest.approx(1)
    assert s.frame["mean_estimate"].diff().iloc[1] == pytest.approx(1)
    assert (r.assign_by, r.n_treated, r.n_units) == ("state", 2, 6)


def test_power_plants_effects_in_whole_states():
    d = states([1, 4, 2, 7, 3, 2, 5, 2], [2004, 2004] + [NAN] * 6)
    frames = []

    def spy(f):
        frames.append(f)
        return by_cohort(f)

    r = power_simulation(d, spy, [3.0], outcome="y", cohort="g", draws=6, **KEYS)
    assert "2 of 6 'state' treated" in str(r)
    assert len(frames) == 13  # one look at the data, then six draws of two effects
    seen = set()
    for zero, planted in zip(frames[1::2], frames[2::2]):
        assert set(zero["state"]) == {f"S{s:02d}" for s in range(2, 8)}
        given = planted.groupby("state")["g"]
        assert (given.nunique(dropna=False) == 1).all()
        assert given.first().notna().sum() == 2
        on = (planted["year"] >= planted["g"]).to_numpy()
        np.testing.assert_allclose(planted["y"] - zero["y"], 3.0 * on, atol=1e-12)
        seen.add(tuple(given.first().dropna().index))
    assert len(seen) > 2
    with pytest.raises(DesignError, match="4 never-treated 'state' cannot stand in for 4 treated"):
        more = d.assign(g=d["g"].where(d["code"] > 3, 2004.0))
        power_simulation(more, by_cohort, [1.0], outcome="y", cohort="g", **KEYS)


def test_cohorts_coded_zero_or_infinite_are_never_treated():
    zero, infinite = (UNEVEN.assign(g=UNEVEN["g"].fillna(v)) for v in (0, np.inf))
    mixed = UNEVEN.assign(g=UNEVEN["g"].where(UNEVEN["code"] != 2, 0).where(UNEVEN["code"] != 3, np.inf))
    want = placebo_test(UNEVEN, by_cohort, cohort="g", **KEYS, draws=30)
    power = power_simulation(UNEVEN, by_cohort, [1.0], outcome="y", cohort="g", units="all", draws=4, **KEYS)
    for d, words in ((zero, "0 in 12 units"), (infinite, "infinity in 12 units"), (mixed, "0 in 2 units")):
        with pytest.warns(UserWarning, match=f"cohort coded {words} is read as never treated"):
            r = placebo_test(d, by_cohort, cohort="g", **KEYS, draws=30)
        np.testing.assert_allclose(r.drawn, want.drawn, rtol=1e-12)
        p = power_simulation(d, by_cohort, [1.0], outcome="y", cohort="g", units="all", draws=4, **KEYS)
        pd.testing.assert_frame_equal(p.frame, power.frame)
        assert p.n_treated == 2


def test_years_written_as_text_and_as_periods():
    want = power_simulation(UNEVEN, by_cohort, [1.0], outcome="y", cohort="g", units="all", draws=4, **KEYS).frame
    text = UNEVEN.assign(g=UNEVEN["g"].map("{:.0f}".format).where(UNEVEN["g"].notna()))
    period = UNEVEN.assign(
        year=pd.PeriodIndex(UNEVEN["year"].astype(str), freq="Y"),
        g=[None if np.isnan(v) else pd.Period(str(int(v)), "Y") for v in UNEVEN["g"]],
    )
    for d in (text, text.assign(year=text["year"].astype(str)), period):
        r = power_simulation(d, by_cohort, [1.0], outcome="y", cohort="g", units="all", draws=4, **KEYS)
        pd.testing.assert_frame_equal(r.frame, want)


def test_cohorts_after_the_last_period_are_never_treated_and_dates_are_read_as_periods():
    later = UNEVEN.assign(g=UNEVEN["g"].where(UNEVEN["code"] != 2, 2050))
    want = placebo_test(UNEVEN, by_cohort, cohort="g", draws=30, **KEYS)
    with pytest.warns(UserWarning, match="first treated after the last period: never, in these data"):
        r = placebo_test(later, by_cohort, cohort="g", draws=30, **KEYS)
    assert (r.n_treated, r.draws, r.p_value) == (want.n_treated, want.draws, want.p_value)
    dates = pd.to_datetime(UNEVEN["g"].map("{:.0f}-07-04".format).where(UNEVEN["g"].notna()))
    dated = UNEVEN.assign(year=pd.PeriodIndex(UNEVEN["year"].astype(str), freq="Y"), g=dates)
    power = {"outcome": "y", "cohort": "g", "units": "all", "draws": 4, **KEYS}
    want = power_simulation(UNEVEN, by_cohort, [1.0], **power).frame
    pd.testing.assert_frame_equal(power_simulation(dated, by_cohort, [1.0], **power).frame, want)


def test_strata_may_be_given_by_unit():
    d = UNEVEN.assign(half=np.where(UNEVEN["code"] < 3, "A", "B"))
    strata = d.drop_duplicates("county").set_index("county")["half"]
    e = twfe(d, "y", cohort="g", cluster="state", **KEYS)
    named = twfe(d, "y", cohort="g", cluster=["state", "half"], **KEYS)
    a, b = randomization_test(e, within=strata, ci=False), randomization_test(named, within="half", ci=False)
    np.testing.assert_array_equal(np.sort(a.drawn), np.sort(b.drawn))
    with pytest.raises(
        DesignError, match=r"carries \['county', 'state'\]. Give the strata as a Series by unit: within=df"
    ):
        randomization_test(e, within="half")
    with pytest.raises(DesignError, match="no single stratum for 1 units"):
        randomization_test(e, within=strata.iloc[1:])


MOVING = UNEVEN.assign(h=np.where(UNEVEN["year"] > 2003, UNEVEN["g"] + 1, UNEVEN["g"]))
MOVING["k"] = np.where(UNEVEN["year"] > 2003, UNEVEN["state"], "X")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cohort": "h"}, "cohort 'h' changes within units .7.: 1, 2, 3"),
        ({"within": "k"}, "within='k' changes within 19 units: 0, 1"),
        ({"assign_by": "k"}, "assign_by='k' changes within 19 units"),
        ({"unit": "nope"}, r"columns not in the frame .1.: nope.*Columns are county"),
        ({"cohort": "nope", "within": "no"}, "columns not in the frame .2.: no, nope"),
        ({"cohort": None, "treatment": "nope"}, "columns not in the frame .1.: nope"),
        ({"cohort": None}, "say who is treated when: cohort="),
        ({"treatment": "state"}, "'state' is not numeric .6.: 'S00'"),
    ],
)
def test_refused_by_placebo_and_power(options, words):
    given = {"cohort": "g", **KEYS, **options}
    with pytest.raises(DesignError, match=words):
        placebo_test(MOVING, by_cohort, draws=5, **given)
    with pytest.raises(DesignError, match=words):
        power_simulation(MOVING, by_cohort, [1.0], outcome="y", units="all", draws=2, **given)


def test_a_panel_knows_its_keys():
    frame = UNEVEN.rename(columns={"g": "cohort"})
    panel = KeyedFrame(frame, {**KEYS, "cohort": "cohort"})
    refit = lambda f: twfe(f, "y", cohort="cohort", cluster="state", **KEYS)
    a = placebo_test(panel, refit, draws=30)
    np.testing.assert_array_equal(a.drawn, placebo_test(frame, refit, cohort="cohort", draws=30, **KEYS).drawn)
    b = power_simulation(panel, refit, [1.0], outcome="y", units="all", draws=2)
    assert b.assign_by == "state"
    with pytest.raises(DesignError, match="name the keys of the frame"):
        placebo_test(frame.assign(unit=1, time=1), refit, cohort="cohort")


def test_refused_otherwise():
    with pytest.raises(DesignError, match=r"columns not in the frame .1.: nope"):
        power_simulation(UNEVEN, by_cohort, [1.0], outcome="nope", cohort="g", **KEYS)
    with pytest.raises(DesignError, match="give a pandas DataFrame"):
        placebo_test([1, 2], by_cohort, cohort="g", **KEYS)
    with pytest.raises(DesignError, match='name the keys of the frame: unit="county_fips", time="year"'):
        placebo_test(UNEVEN, by_treatment, unit="county", treatment="d")
    with pytest.raises(DesignError, match=r"paths of 'd' are unknown in units .1.: 1.*name cohort="):
        placebo_test(UNEVEN.drop(index=8), by_treatment, treatment="d", **KEYS)
    with pytest.raises(DesignError, match="never-treated units: all 19 units are treated"):
        placebo_test(UNEVEN.assign(g=2003), by_cohort, cohort="g", **KEYS)
    with pytest.raises(DesignError, match="cohort 'g' is 0, which is a period"):
        placebo_test(UNEVEN.assign(year=UNEVEN["year"] - 2003, g=0), by_cohort, cohort="g", **KEYS)
    with pytest.raises(DesignError, match="draws=0"):
        placebo_test(UNEVEN, by_cohort, cohort="g", **KEYS, draws=0)


# sizes, simulated: 20 states, shocks by state and year, no effect

UNEQUAL = np.round(np.geomspace(1, 40, 20)).astype(int)
DESIGNS = {  # counties of each state, share of noise that a state's counties share, which states are treated
    "10 counties each": (np.full(20, 10), 1.0, "random"),
    "1 to 40 counties": (UNEQUAL, 1.0, "random"),
    "1 to 40, small shocks, smallest treated": (UNEQUAL, 0.1, "smallest"),
}


def rejected(design: str, draws: int, seed: int = 287) -> pd.Series:
    """Share of *simulated* null panels rejected at 5 %: 5 of 20 states treated, 8 years, AR(1) state shocks (0.5)."""
    sizes, shock, which = DESIGNS[design]
    rng = np.random.default_rng(seed)
    count: dict[str, list[bool]] = {}
    for _ in range(draws):
        treated = np.arange(5) if which == "smallest" else rng.choice(20, 5, replace=False)
        d = states(sizes, np.where(np.isin(np.arange(20), treated), 2005.0, NAN), periods=8, shock=0.0)
        e = rng.normal(size=(20, 8))
        for t in range(1, 8):
            e[:, t] = 0.5 * e[:, t - 1] + math.sqrt(0.75) * e[:, t]
        d["y"] = shock * e[d["code"], d["year"] - 2001] + 0.5 * rng.normal(size=len(d))
        est = twfe(d, "y", cohort="g", cluster="state", **KEYS)
        means = pd.DataFrame(
            {"state": d["state"], "year": d["year"], "g": d["g"], "change": d["y"] * np.where(d["year"] < 2005, -1, 1)}
        )
        p = {
            "cluster-robust t (CRV1)": est.p_values().iloc[0],
            "CR2 with Bell–McCaffrey df": bias_reduced(est).p_values().iloc[0],
            "randomisation of states, coefficient": randomization_test(est, draws=199, ci=False).p_value,
            "randomisation of states, t": randomization_test(est, draws=199, ci=False, statistic="t").p_value,
            "placebo test, 19 draws": placebo_test(
                means.assign(county=d["county"]),
                lambda f: f["change"][f["g"].notna()].mean() - f["change"][f["g"].isna()].mean(),
                **KEYS,
                cohort="g",
                assign_by="state",
                draws=19,
                seed=int(rng.integers(2**31)),
            ).p_value,
            "Conley–Taber, states": conley_taber(est, draws=399).p_value,
            "Ferman–Pinto, states": ferman_pinto(est, draws=399, ci=False).p_value,
            "randomisation of counties, coefficient": randomization_test(
                est, draws=199, ci=False, assign_by="county"
            ).p_value,
        }
        if design == "10 counties each":  # in the others most counties may be treated, which it refuses
            p["Conley–Taber, counties"] = conley_taber(est, draws=399, assign_by="county").p_value
        for name, value in p.items():
            count.setdefault(name, []).append(value <= 0.05)
    return pd.Series({name: float(np.mean(v)) for name, v in count.items()})


def size_table(draws: int) -> pd.DataFrame:
    """Sizes in percent, *simulated*, that the methods registry quotes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewTreatedWarning)
        warnings.simplefilter("ignore", InferenceWarning)
        return 100 * pd.DataFrame({name: rejected(name, draws) for name in DESIGNS})


@pytest.mark.slow
def test_simulated_sizes_when_states_are_treated():
    """Exchanging states keeps the size; counties do not, nor Conley–Taber, which leaves out the controls' mean."""
    found = size_table(1000)
    print("\nsimulated\n" + found.round(1).to_string())
    even, uneven, small = (found[name] for name in DESIGNS)
    for name in ("randomisation of states, coefficient", "randomisation of states, t", "placebo test, 19 draws"):
        assert 3 <= even[name] <= 7, (name, even[name])
        assert 3 <= uneven[name] <= 7, (name, uneven[name])
    assert 3 <= even["Ferman–Pinto, states"] <= 7
    assert 7 < even["Conley–Taber, states"] < 15
    for name in ("randomisation of counties, coefficient", "Conley–Taber, counties"):
        assert even[name] > 30
    for name in ("Ferman–Pinto, states", "randomisation of states, t", "CR2 with Bell–McCaffrey df"):
        assert 3 <= small[name] <= 7, (name, small[name])
    for name in ("Conley–Taber, states", "randomisation of states, coefficient"):
        assert small[name] > 15


def power_table(panels: int) -> pd.DataFrame:
    """*Simulated* rejections in percent at effects 0 and 0.5: in fresh panels, and by ``power_simulation`` on 50."""
    rng = np.random.default_rng(287)
    first = np.where(np.arange(30) < 6, 2004.0, NAN)
    fresh, told = [], {"state": [], "county": []}
    plan = {"outcome": "y", "cohort": "g", "units": "all", "draws": 20, **KEYS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(panels):
            d = states([6] * 30, first[rng.permutation(30)], seed=i)
            fresh.append([by_cohort(d.assign(y=d["y"] + v * d["d"])).p_values().iloc[0] < 0.05 for v in (0.0, 0.5)])
        for i in range(50):
            d = states([6] * 30, first[rng.permutation(30)], seed=10_000 + i)
            for level, rows in told.items():
                rows.append(power_simulation(d, by_cohort, [0.5], assign_by=level, **plan).frame["power"])
    runs = {"fresh panels": fresh} | {f"power_simulation by {level}": rows for level, rows in told.items()}
    table = pd.DataFrame({name: np.mean(rows, axis=0) for name, rows in runs.items()}, index=[0.0, 0.5])
    errors = pd.DataFrame({f"{n} (error)": np.std(r, axis=0) / np.sqrt(len(r)) for n, r in runs.items()}, table.index)
    return 100 * table.join(errors)


@pytest.mark.slow
def test_simulated_power_of_a_design_with_states():
    found = power_table(1000)
    print("\nsimulated\n" + found.round(1).to_string())
    for level in ("state", "county"):
        gap = found[f"power_simulation by {level}"] - found["fresh panels"]
        error = np.hypot(found[f"power_simulation by {level} (error)"], found["fresh panels (error)"])
        if level == "state":
            assert (abs(gap) < 3 * error).all()
            assert error.max() < 5  # else agreement means nothing
        else:
            assert gap[0.5] > 20 + 3 * error[0.5]


if __name__ == "__main__":
    print("simulated sizes in percent\n", size_table(1000).round(1).to_string())
    print("simulated power in percent, effects 0 and 0.5\n", power_table(1000).round(1).to_string())
