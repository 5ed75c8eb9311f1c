"""Usage: python run_ours.py TASK SIZE FOLDER  ->  one JSON line, the counterpart of run_peers.py for this package.

Seconds (wall clock, and processor time) of the first estimation call in a fresh process, with data loaded and package
imported beforehand; of the second call; and peak resident memory in MB. SIZE is year, month, or month4 / month16: the
month panel with 4 or 16 times the counties, made in memory. TASK: twfe, fepois, bjs, did2s, sa (names of
run_peers.py), cs, cs_analytic.
"""

import json
import os
import resource
import sys
import time
import warnings

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")


def load(size: str, folder: str) -> pd.DataFrame:
    base = "month" if size.startswith("month") else size
    frame = pd.read_parquet(os.path.join(folder, f"panel_{base}.parquet"))
    times = int(size.removeprefix("month") or 1) if base == "month" else 1
    if times == 1:
        return frame
    shift = int(frame["county"].max()) + 1
    noise = np.random.default_rng(287)
    copies = [
        frame.assign(county=frame["county"] + k * shift, y=frame["y"] + noise.normal(size=len(frame)))
        for k in range(times)
    ]
    return pd.concat(copies, ignore_index=True)


def task(name: str):
    by_treatment = {"unit": "county", "time": "t", "treatment": "d", "cluster": "state"}
    by_cohort = {"unit": "county", "time": "t", "cohort": "g", "cluster": "state"}
    if name == "twfe":
        from g287stats.did.twfe import twfe

        return lambda df: twfe(df, "y", **by_treatment)
    if name == "fepois":
        from g287stats.did.poisson import poisson

        return lambda df: poisson(df, "cnt", **by_treatment)
    if name == "bjs":
        from g287stats.did.imputation import imputation

        return lambda df: with_events(imputation(df, "y", **by_cohort))
    if name == "did2s":
        from g287stats.did.imputation import two_stage

        return lambda df: two_stage(df, "y", **by_cohort)
    if name == "sa":
        from g287stats.did.sun_abraham import sun_abraham

        return lambda df: with_events(sun_abraham(df, "y", **by_cohort))
    from g287stats.did.group_time import att_gt

    keys = {"unit": "county", "time": "t", "cohort": "g", "covariates": ("x",), "control": "notyet", "method": "dr"}
    if name == "cs_analytic":
        return lambda df: with_events(att_gt(df, "y", **keys))
    return lambda df: with_bands(with_events(att_gt(df, "y", **keys)))


def with_events(cells):
    """Overall and event study with standard errors, which the peers also compute."""
    events = cells.aggregate("event")
    events.se  # noqa: B018
    simple = cells.overall if cells.overall is not None else cells.aggregate("simple")
    simple.se  # noqa: B018
    return simple if cells.method.key != "att_gt" else (simple, events)


def with_bands(pair):
    simple, events = pair
    events.bands(draws=999, seed=1)
    return simple


if __name__ == "__main__":
    name, size, folder = sys.argv[1:4]
    frame = load(size, folder)
    call = task(name)
    seconds, processor = [], []
    for _ in range(2):
        start, start_cpu = time.perf_counter(), time.process_time()
        out = call(frame)
        out = out[0] if isinstance(out, tuple) else out
        result = (float(out.point[0]), float(out.se.iloc[0]))
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_cpu)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "task": name,
                "peer": "g287stats",
                "size": size,
                "sec": round(seconds[0], 4),
                "cpu": round(processor[0], 4),
                "again": round(seconds[1], 4),
                "rss_mb": round(peak),
                "rows": len(frame),
                "res": str(result),
            }
        )
    )
