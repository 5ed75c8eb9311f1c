"""CR2 and CR3 of one coefficient, 3,100 counties × 180 months, county and period effects, by county and by state.

    python benchmarks/small_sample.py [--runs 5]

The panel is drawn here; seconds are medians of the runs after one that warms up, without the regression before it.
"""

import argparse
import statistics
import time

import numpy as np
import pandas as pd

from g287stats.did.twfe import twfe
from g287stats.inference.small_sample import bias_reduced


def panel(counties: int = 3100, months: int = 180) -> pd.DataFrame:
    rng = np.random.default_rng(287)
    start = np.where(rng.random(counties) < 0.05, rng.integers(40, 160, counties), months)
    on = (np.arange(months) >= start[:, None]).astype(float)
    y = rng.normal(size=(counties, 1)) + rng.normal(size=months) + 0.1 * on + rng.normal(size=on.shape)
    county, month = np.divmod(np.arange(on.size), months)
    return pd.DataFrame({"county": county, "month": month, "state": county % 51, "d": on.ravel(), "y": y.ravel()})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    data = panel()
    for cluster in ("county", "state"):
        fit = twfe(data, "y", unit="county", time="month", treatment="d", cluster=cluster)
        for kind in ("CR2", "CR3"):
            seconds = []
            for _ in range(runs + 1):
                start = time.perf_counter()
                corrected = bias_reduced(fit, kind=kind)
                se = corrected.se.iloc[0]
                seconds.append(time.perf_counter() - start)
            median = statistics.median(seconds[1:])
            print(f"{kind} {data[cluster].nunique():>5,} clusters: {median:.2f} s, standard error {se:.6f}")


if __name__ == "__main__":
    main()
