"""Small simulated panels with known effects."""

import numpy as np
import pandas as pd


def staggered(seed, n=60, t=10, cohorts=(4, 6), share=0.25, effect=1.0, growth=0.0, noise=1.0):
    """Counties, ten to a state; cohorts start at ``cohorts``, the rest never; effect ``effect + growth · event time``.

    Serially correlated noise (a county shock that decays by half each period plus white noise).
    """
    rng = np.random.default_rng(seed)
    g = rng.choice([*cohorts, 0], size=n, p=[*(share for _ in cohorts), 1 - share * len(cohorts)])
    clock = np.arange(t)
    event = clock - np.where(g > 0, g, 10_000)[:, None]
    shock = np.zeros((n, t))
    for k in clock:
        shock[:, k] = 0.5 * shock[:, k - 1] * (k > 0) + rng.normal(size=n)
    y = rng.normal(size=n)[:, None] + 0.2 * clock + noise * (0.5 * shock + rng.normal(size=(n, t)))
    y = y + (event >= 0) * (effect + growth * event)
    frame = pd.DataFrame({"county": np.repeat(np.arange(n), t), "year": np.tile(clock, n), "y": y.ravel()})
    frame["g"] = np.repeat(np.where(g > 0, g.astype(float), np.nan), t)
    frame["d"] = (frame["year"] >= frame["g"]).astype(int)
    frame["state"] = frame["county"] // 10
    return frame
