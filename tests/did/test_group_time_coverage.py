"""Coverage of 95 % intervals and bands by simulation, 1,000 panels each; slow.

Standard error of a coverage of 95 % over 1,000 panels: 0.7 points. Half of the units are treated, so that the claim
tested is the estimator's, not that of inference with few treated (docs/methods/few_treated.md).
"""

import warnings

import numpy as np
import pandas as pd
import pytest

from g287stats.did.group_time import att_gt
from g287stats.errors import DesignWarning

pytestmark = pytest.mark.slow
DRAWS = 1000
PERIODS = 5
COHORTS = (2, 3)
TREND = 0.2


def simulate(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Cohorts 2, 3 (a quarter each, likelier with larger x) and never; trends depend on x; errors are AR(1)."""
    x = rng.normal(size=n)
    score = 0.5 * x[:, None] + rng.gumbel(size=(n, 3)) + np.log([1, 1, 2])
    score[:, 2] -= 0.5 * x
    g = np.array([*COHORTS, np.nan])[np.argmax(score, axis=1)]
    e = rng.normal(size=(n, PERIODS))
    for t in range(1, PERIODS):
        e[:, t] = 0.5 * e[:, t - 1] + np.sqrt(0.75) * e[:, t]
    time = np.arange(PERIODS)
    effect = np.where(time >= g[:, None], truth_of(g[:, None], time), 0.0)
    y = rng.normal(size=(n, 1)) + TREND * x[:, None] * time + effect + e
    frame = {"unit": np.repeat(np.arange(n), PERIODS), "time": np.tile(time, n), "g": np.repeat(g, PERIODS)}
    return pd.DataFrame({**frame, "x": np.repeat(x, PERIODS), "y": y.ravel()})


def truth_of(g, t):
    return 0.5 + 0.25 * (t - g) + 0.5 * (g - 2)


def truth() -> dict[str, float]:
    """Cohorts are not equally likely by chance only: their shares are P(2) = P(3) by symmetry of the design."""
    cells = {(g, t): truth_of(g, t) for g in COHORTS for t in range(g, PERIODS)}
    event = {e: np.mean([v for (g, t), v in cells.items() if t - g == e]) for e in range(3)}
    return {"simple": np.mean(list(cells.values())), "event": np.mean(list(event.values())), "0": event[0]}


@pytest.mark.parametrize(
    ("n", "method", "covariates", "conventions", "holes"),
    [
        (60, "dr", (), ("did", "neyman"), 0.0),
        (60, "reg", ("x",), ("did", "neyman"), 0.0),
        (60, "dr", ("x",), ("did", "neyman"), 0.0),
        (60, "ipw", ("x",), ("did", "neyman"), 0.0),
        (60, "dr", (), ("did", "neyman"), 0.1),
        (60, "dr", ("x",), ("did", "neyman"), 0.1),
        (3100, "dr", ("x",), ("did",), 0.0),
        (3100, "ipw", ("x",), ("did",), 0.0),
        (3100, "reg", ("x",), ("did",), 0.0),
    ],
)
def test_intervals_cover(n, method, covariates, conventions, holes):
    """Neyman's variance with 60 units (15 in a cohort), either convention with 3,100.

    With ``holes`` that share of rows is missing at random and cells are pairwise. With 60 units R ``did``'s
    convention covers 92.1 to 94.6 % (docs/methods/att_gt.md): shown, not held to 93 %.
    """
    rng = np.random.default_rng(287)
    target = truth()
    hits = {c: dict.fromkeys((*target, "band"), 0) for c in conventions}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        for draw in range(DRAWS):
            frame = simulate(rng, n)
            if not covariates:  # trends that differ with x would bias; take them out
                frame["y"] -= TREND * frame["x"] * frame["time"]
            if holes:
                frame = frame[rng.random(len(frame)) >= holes]
            for convention in conventions:
                gt = att_gt(
                    frame,
                    "y",
                    unit="unit",
                    time="time",
                    cohort="g",
                    covariates=covariates,
                    control="notyet",
                    method=method,
                    small_sample=convention,
                    panel="pairwise" if holes else "balanced_only",
                )
                for name, covered in covers(gt, target, draw).items():
                    hits[convention][name] += covered
    coverage = {c: {k: float(v / DRAWS) for k, v in counts.items()} for c, counts in hits.items()}
    print(n, method, covariates, holes, coverage)
    held = coverage[conventions[-1]]
    assert all(0.93 <= share <= 0.97 for share in held.values()), coverage
    assert all(0.91 <= share <= 0.97 for share in coverage["did"].values()), coverage


def covers(gt, target, draw) -> dict[str, bool]:
    """Whether each interval holds its truth, and the band over the two leads zero."""
    simple, event = gt.aggregate("simple"), gt.aggregate("event")
    places = {"simple": (simple, 0), "event": (event.overall, 0), "0": (event, event.terms.index("0"))}
    out = {}
    for name, (estimate, row) in places.items():
        interval = estimate.conf_int().iloc[row]
        out[name] = interval["conf_low"] <= target[name] <= interval["conf_high"]
    bands = event.select(event.labels["event_time"] < 0).bands(draws=499, seed=draw)
    return out | {"band": ((bands["band_low"] <= 0) & (bands["band_high"] >= 0)).all()}
