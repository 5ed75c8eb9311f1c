"""The numbers that the methods pages print and no other test asserts.

pytest tests/test_numbers_on_pages.py -m "slow or not slow" -s      prints them
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from reference_did import expected, load_panel

import g287stats as g
from g287stats.did.group_time import att_gt
from g287stats.did.switching import switching_did
from g287stats.did.twfe import twfe
from g287stats.errors import DesignWarning, InferenceWarning
from g287stats.inference.spatial import conley, distances_km

AGGREGATES = {"simple": "simple", "event": "dynamic", "cohort": "group", "calendar": "calendar"}
CONLEY = pd.DataFrame(  # docs/methods/spatial.md: mean standard error over the spread of the estimates
    {
        60: [0.49, 0.83, 0.91, 0.81, 0.64, 0.79, 0.82],
        120: [0.38, 0.77, 0.96, 0.84, 0.56, 0.75, 0.83],
        200: [0.34, 0.74, 1.00, 0.86, 0.52, 0.75, 0.84],
    },
    index=["county", *(f"{kernel} {cutoff}" for kernel in ("uniform", "bartlett") for cutoff in (100, 200, 400))],
)


@pytest.mark.parametrize(("normalize", "low", "high"), [(False, -9, 4), (True, -3, 11)])
def test_switching_standard_errors_beside_those_of_the_authors_software(reference, normalize, low, high):
    """switching.md: effects and placebos; normalised, effects only, because the software scales placebos too."""
    data = pd.read_csv(reference / "switching" / "panel.csv")
    rows = pd.read_csv(reference / "switching" / "expected.csv")
    ratios = []
    for kind, switchers in (("start", "in"), ("first_switch", "all")):
        keys = {"unit": "county", "time": "year", "treatment": "d", "effects": kind, "window": (-3, 3)}
        e = switching_did(data, "y", normalize=normalize, **keys)
        ours = e.labels.assign(se=e.se.to_numpy()).set_index("event_time")["se"]
        theirs = rows[(rows["switchers"] == switchers) & (rows["normalized"] == normalize)]
        theirs = theirs.set_index("event_time")["se"]
        ratios += [theirs[t] / ours[t] for t in theirs.index if t >= 0 or not normalize]
    print(f"\nswitching, normalize={normalize}: errors of the authors' software over ours {np.round(ratios, 3)}")
    assert round(100 * (min(ratios) - 1)) == low
    assert round(100 * (max(ratios) - 1)) == high


def test_did_bootstrap_is_5_to_12_percent_above_the_analytic_error():
    """att_gt.md and bands.md: the stored interquartile-range errors, 12 clusters."""
    data = load_panel("panel_small")
    keys = {"unit": "county", "time": "year", "cohort": "g", "control": "never", "cluster": "state"}
    data["g"] = data["g"].where(data["g"] > 0)
    ratios = []
    for name, covariates in (("none", []), ("x1x2", ["x1", "x2"])):
        gt = att_gt(data, "y", covariates=covariates, **keys)
        for kind, estimator in AGGREGATES.items():
            overall = gt.aggregate(kind) if kind == "simple" else gt.aggregate(kind).overall
            stored = expected("panel_small", f"cs.{estimator}", f"dr.never.{name}.state_bootstrap").loc["overall"]
            ratios.append(stored["se"] / overall.se.iloc[0])
    print(f"\nR did's bootstrap error over the analytic one: {np.round(ratios, 3)}")
    assert round(100 * (min(ratios) - 1)) == 5
    assert round(100 * (max(ratios) - 1)) == 12


@pytest.mark.slow
def test_conley_errors_beside_the_spread_of_estimates():
    """spatial.md: the table of standard errors over the truth."""
    n, periods, draws = 400, 4, 500
    grid = np.array([(i // 20, i % 20) for i in range(n)])
    xy = pd.DataFrame({"latitude": 35 + grid[:, 0] * 0.5, "longitude": -100 + grid[:, 1] * 0.6}, index=range(n))
    km = distances_km(xy).to_numpy()
    cohort = np.repeat(np.where(grid[:, 1] % 10 >= 5, 2003.0, np.nan), periods)
    keys = pd.DataFrame({"county": np.repeat(np.arange(n), periods), "year": np.tile(range(2001, 2005), n)})
    for reach in CONLEY:
        rng = np.random.default_rng(4)
        root = np.linalg.cholesky(np.exp(-km / reach) + 1e-9 * np.eye(n))
        points, errors = [], {name: [] for name in CONLEY.index}
        for _ in range(draws):
            data = keys.assign(y=(root @ rng.normal(size=(n, periods))).ravel(), cohort=cohort)
            e = twfe(data, "y", unit="county", time="year", cohort="cohort")
            points.append(e.point[0])
            errors["county"].append(e.se.iloc[0])
            for name in CONLEY.index[1:]:
                kernel, cutoff = name.split()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", InferenceWarning)
                    errors[name].append(conley(e, xy, float(cutoff), kernel=kernel).se.iloc[0])
        ratio = pd.Series({name: np.nanmean(v) / np.std(points) for name, v in errors.items()})
        negative = {name: int(np.isnan(v).sum()) for name, v in errors.items() if np.isnan(v).any()}
        print(f"\nnoise that falls by e every {reach} km, {draws} draws; negative variances {negative}")
        print(ratio.round(2).to_string())
        assert (ratio - CONLEY[reach]).abs().max() < 0.01, ratio
        assert set(negative) == {"uniform 400"}
        assert 20 < negative["uniform 400"] < 45


@pytest.mark.slow
def test_counties_kept_with_gaps_in_the_fbi_table():
    """att_gt.md: counties of the released table of 2006–2016 that each way of treating gaps keeps."""
    panel = g.county_panel("fbi_table10", (2006, 2016))
    seen = panel.frame.dropna(subset=["violent_ex_rape_rate"])[panel.unit].nunique()
    kept = {}
    for how in ("balanced_only", "pairwise"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DesignWarning)
            sample = g.att_gt(panel, "violent_ex_rape_rate", panel=how).sample
        kept[how] = (sample["n_units"], sample["n_treated"])
    print(f"\n{seen} counties; kept, treated: {kept}")
    assert (seen, kept) == (2901, {"balanced_only": (1355, 21), "pairwise": (2852, 37)})


@pytest.mark.slow
def test_incidental_parameters_bias_a_logit_and_not_a_poisson():
    """survey_glm.md: 400 counties of fifty interviews, 8 % with an event, four or five events a county; 200 samples."""
    n, size, effect = 400, 50, 0.75
    rng = np.random.default_rng(1)
    county = np.repeat(np.arange(n), size)
    found = {"logit": [], "poisson": []}
    for _ in range(200):
        x = (rng.random(n * size) < 0.5).astype(float)
        data = pd.DataFrame({"county": county, "x": x, "w": 1.0})
        for family, probability in (
            ("logit", 1 / (1 + np.exp(2.79 - effect * x))),
            ("poisson", 0.054 * np.exp(effect * x)),
        ):
            data["y"] = (rng.random(n * size) < probability).astype(float)
            sample = g.survey.sample(data, weights="w", psu="county")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                e = g.survey.glm(sample, "y", ["x"], family=family, fixed_effects="county")
            found[family].append(e.params["x"])
    bias = {k: 100 * (np.mean(v) / effect - 1) for k, v in found.items()}
    error = {k: 100 * np.std(v) / effect / np.sqrt(len(v)) for k, v in found.items()}
    print(f"\nbias in percent of the coefficient {bias}, Monte-Carlo errors {error}")
    assert 1.5 < bias["logit"] < 4.5
    assert abs(bias["poisson"]) < 2.5 * error["poisson"]
