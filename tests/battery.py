"""Numbers of every procedure on small authored panels, as JSON: ``python tests/battery.py``.

Run under other processors' code paths, thread counts, hash seeds and row orders by ``test_machines.py``.
"""

import json
import sys
import warnings

import numpy as np
import pandas as pd

import g287stats as g

KEYS = {"unit": "county", "time": "year", "cohort": "g"}


def panel(shuffle: int = 0) -> pd.DataFrame:
    """48 counties in 12 states over 9 years, two cohorts, unequal weights."""
    rng = np.random.default_rng(287)
    n, periods = 48, 9
    d = pd.DataFrame({"county": np.repeat(np.arange(n), periods), "year": np.tile(np.arange(2001, 2001 + periods), n)})
    d["state"] = d["county"] // 4
    d["g"] = np.where(d["county"] < 8, 2005.0, np.where(d["county"] < 20, 2006.0, np.nan))
    d["d"] = (d["year"] >= d["g"]).astype(float)
    d["x"] = np.repeat(rng.normal(size=n), periods)
    d["w"] = np.repeat(rng.lognormal(size=n), periods)
    noise = rng.normal(size=(n, periods)).cumsum(axis=1).ravel()
    d["y"] = noise + 0.7 * d["d"] + 0.2 * d["x"] * d["year"] % 3
    d["z"] = rng.normal(size=len(d)) - 0.3 * d["d"]
    d["k"] = rng.poisson(np.exp(2 + 0.1 * d["x"] + 0.2 * d["d"]))
    return d.sample(frac=1, random_state=shuffle) if shuffle else d


def battery(d: pd.DataFrame) -> dict[str, list[float]]:
    """Points, errors, p-values and critical values by procedure."""
    static, other = g.twfe(d, "y", **KEYS), g.twfe(d, "z", **KEYS)
    event = g.event_study(d, "y", window=(-3, 3), cluster="state", **KEYS)
    both = g.twfe(d, "y", weights="w", cluster=["county", "year"], **KEYS)
    gt = g.att_gt(d, "y", covariates=["x"], **KEYS)
    es = gt.aggregate("event")
    long = g.att_gt(d, "y", base="universal", **KEYS).aggregate("event")
    equal = g.from_moments([1.9, 2.1, 2.3, 2.5], np.eye(4) + 0.2)  # equal eigenvalues: eigenvectors are arbitrary
    one = d[(d["county"] == 3) | d["g"].isna()]
    tests = g.multiple_testing({"y": static, "z": other}, draws=199).frame
    out = {
        "twfe": [*static.point, *static.se, *both.point, *both.se],
        "event_study": [*event.point, *event.se, *event.bands(draws=199).to_numpy().ravel()],
        "two_way_bands": both.bands(draws=199).to_numpy().ravel(),
        "moments": [*g.romano_wolf(equal, draws=199), *equal.bands(draws=199).to_numpy().ravel()],
        "multiple_testing": tests.select_dtypes("number").to_numpy().ravel(),
        "att_gt": [*gt.point, *gt.se, *es.bands(draws=199).to_numpy().ravel()],
        "bias_reduced": [*(e := g.bias_reduced(event)).se, *e.conf_int().to_numpy().ravel()],
        "honest": g.honest_did(long).frame.select_dtypes("number").to_numpy().ravel(),
    }
    for name in ("imputation", "sun_abraham", "etwfe", "stacked", "two_stage", "lp_did"):
        window = {"window": (-2, 2)} if name in ("stacked", "lp_did") else {}
        e = getattr(g, name)(d, "y", **window, **KEYS)
        out[name] = [*e.point, *e.se]
    e = g.poisson(d, "k", **KEYS)
    out["poisson"] = [*e.point, *e.se]
    for name in ("synthetic_control", "synthetic_did"):
        e = getattr(g, name)(one, "y", draws=19, **KEYS)
        out[name] = [*e.point, *e.se]
    r = g.randomization_test(static, draws=199)
    w = g.wild_bootstrap(static, draws=199)
    early = d[d["g"] != 2006]
    f = g.ferman_pinto(g.twfe(early, "y", **KEYS), early.groupby("county")["w"].mean(), draws=199)
    out["tests"] = [r.p_value, w.p_value, w.conf_low, w.conf_high, f.p_value, f.conf_low, f.conf_high]
    out["balance"] = g.balance_weights(d, ["x", "y"], **KEYS).weights.sort_index().to_numpy()
    return {k: [float(v) for v in values] for k, values in out.items() if len(values)}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(battery(panel(int(sys.argv[1]) if len(sys.argv) > 1 else 0))))
