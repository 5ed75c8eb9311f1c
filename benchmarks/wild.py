"""Wild cluster bootstrap, 9,999 draws by 51 states, county and period effects absorbed: ours beside a peer.

    python benchmarks/wild.py FOLDER [--size year month] [--peers PYTHON] [--runs 5]

FOLDER holds ``panel_year.parquet`` and ``panel_month.parquet`` (3,100 counties × 25 years, × 180 months). Each
measurement is one fresh process, ours and the peer's in turn. Ours refits the fixed effects in every draw (exactly,
through sums by cluster and period) and inverts the test into an interval; seconds are given for the bootstrap alone
and with the regression before it. The peer, wildboottest, is a proxy for speed only: it is given data demeaned once
by county and period and does not demean its draws again. MB is the peak resident memory of the process.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
import warnings

import pandas as pd

DRAWS = 9999


def g287stats_(frame: pd.DataFrame) -> dict[str, float]:
    from g287stats.did.twfe import twfe
    from g287stats.inference.wild import wild_bootstrap

    start = time.perf_counter()
    est = twfe(frame, "y", unit="county", time="t", treatment="d", cluster="state")
    middle = time.perf_counter()
    r = wild_bootstrap(est, draws=DRAWS)
    end = time.perf_counter()
    return {"bootstrap": end - middle, "with_fit": end - start, "t": r.statistic, "p": r.p_value}


def wildboottest_(frame: pd.DataFrame) -> dict[str, float]:
    import statsmodels.api as sm
    from wildboottest.wildboottest import wildboottest

    start = time.perf_counter()
    columns = frame[["y", "d"]]
    columns = (
        columns
        - frame.groupby("county")[["y", "d"]].transform("mean")
        - frame.groupby("t")[["y", "d"]].transform("mean")
        + columns.mean()
    )
    model = sm.OLS(columns["y"], columns[["d"]])
    middle = time.perf_counter()
    options = {"param": "d", "cluster": frame["state"], "B": DRAWS, "bootstrap_type": "11", "seed": 1, "show": False}
    r = wildboottest(model, **options)
    end = time.perf_counter()
    t, p = (float(r[c].iloc[0]) for c in ("statistic", "p-value"))
    return {"bootstrap": end - middle, "with_fit": end - start, "t": t, "p": p}


PEERS = {"g287stats": g287stats_, "wildboottest": wildboottest_}


def measure(peer: str, size: str, folder: str) -> None:
    """One estimation in this process; prints one JSON line."""
    warnings.simplefilter("ignore")
    frame = pd.read_parquet(f"{folder}/panel_{size}.parquet")
    found = PEERS[peer](frame)
    print(json.dumps(found | {"mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--size", nargs="+", default=["year", "month"])
    parser.add_argument("--peers", default=None, help="python interpreter that has wildboottest")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--one", nargs=2, metavar=("PEER", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(*options.one, options.folder)
        return
    for size in options.size:
        found: dict[str, list[dict]] = {}
        for _ in range(options.runs):
            for peer in ["g287stats", *(["wildboottest"] if options.peers else [])]:
                python = sys.executable if peer == "g287stats" else options.peers
                command = [python, __file__, options.folder, "--one", peer, size]
                line = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
                found.setdefault(peer, []).append(json.loads(line))
        for peer, rows in found.items():
            middle = {k: statistics.median(r[k] for r in rows) for k in ("bootstrap", "with_fit")}
            spread = [r["bootstrap"] for r in rows]
            print(
                f"{size:6} {peer:13} bootstrap {middle['bootstrap']:.3f} s [{min(spread):.3f}-{max(spread):.3f}] "
                f"n={len(rows)}, with the regression {middle['with_fit']:.3f} s, {max(r['mb'] for r in rows):.0f} MB, "
                f"t {rows[0]['t']:.6f}, p {rows[0]['p']:.4f}"
            )


if __name__ == "__main__":
    main()
