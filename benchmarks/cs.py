"""Callaway–Sant'Anna, doubly robust with one covariate and 999 draws: ours beside the peers, in the same run.

    python benchmarks/cs.py FOLDER [--size year month] [--peers PYTHON] [--runs 5] [--threads 1]

FOLDER holds ``panel_year.parquet`` and ``panel_month.parquet`` (3,100 counties × 25 years with 20 cohorts, × 180
months with 80). Each measurement is one estimation in a fresh process, ours and the peers' in turn: all group-time
effects with standard errors, the event-study aggregate, 999 multiplier draws. Seconds leave out import and reading;
ours include everything between the DataFrame and the bands. Processor seconds of the same call stand beside the
wall clock: on a busy machine only they compare. MB is the peak resident memory of the process, and what
it was before the estimation. PYTHON is an interpreter that has the peers installed; all run on as many threads.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 999
Result = tuple[float, float, float, float]  # wall seconds, processor seconds, overall effect, its standard error


def clock() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def since(start: tuple[float, float]) -> tuple[float, float]:
    return time.perf_counter() - start[0], time.process_time() - start[1]


def memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def g287stats_(frame: pd.DataFrame) -> Result:
    from g287stats.did.group_time import att_gt

    start = clock()
    gt = att_gt(frame, "y", unit="county", time="t", cohort="g", covariates=["x"], control="notyet")
    gt.se  # noqa: B018
    event = gt.aggregate("event")
    event.bands(draws=DRAWS)
    seconds = since(start)
    simple = gt.aggregate("simple")
    return *seconds, float(simple.point[0]), float(simple.se.iloc[0])


def diffdiff(frame: pd.DataFrame) -> Result:
    from diff_diff import CallawaySantAnna

    start = clock()
    fit = CallawaySantAnna(n_bootstrap=DRAWS, seed=1, control_group="not_yet_treated")
    fit = fit.fit(frame, "y", "county", "t", "g", covariates=["x"])
    fit.aggregate("event_study")
    return *since(start), float(fit.overall_att), float(fit.overall_se)


def moderndid(frame: pd.DataFrame) -> Result:
    import moderndid as md

    start = clock()
    names = {"yname": "y", "tname": "t", "idname": "county", "gname": "g", "xformla": "~x"}
    options = {"est_method": "dr", "control_group": "notyettreated", "boot": True, "cband": True}
    fit = md.att_gt(frame, **names, **options, biters=DRAWS, random_state=1)
    md.aggte(fit, type="dynamic", random_state=1)
    seconds = since(start)
    simple = md.aggte(fit, type="simple", random_state=1)
    return *seconds, float(simple.overall_att), float(simple.overall_se)


PEERS = {"g287stats": g287stats_, "diffdiff": diffdiff, "moderndid": moderndid}


def measure(peer: str, size: str, folder: str) -> None:
    """One estimation in this process; prints one JSON line."""
    import pandas as pd

    warnings.simplefilter("ignore")
    frame = pd.read_parquet(f"{folder}/panel_{size}.parquet")
    before = memory()
    seconds, cpu, att, se = PEERS[peer](frame)
    result = {"peer": peer, "size": size, "seconds": seconds, "cpu": cpu, "att": att, "se": se}
    print(json.dumps(result | {"mb": memory(), "mb_before": before}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--size", nargs="+", default=["year", "month"])
    parser.add_argument("--peers", default=None, help="python interpreter with the peers")
    parser.add_argument("--with-peers", nargs="+", default=["diffdiff"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", nargs=2, metavar=("PEER", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in ("OMP", "OPENBLAS", "RAYON", "NUMBA"):  # before numpy is imported, here or in a process started here
        os.environ[f"{name}_NUM_THREADS"] = str(options.threads)
    if options.one:
        measure(*options.one, options.folder)
        return
    for size in options.size:
        found: dict[str, list[dict]] = {}
        for _ in range(options.runs):
            for peer in ["g287stats", *(options.with_peers if options.peers else [])]:
                python = sys.executable if peer == "g287stats" else options.peers
                command = [python, __file__, options.folder, "--threads", str(options.threads), "--one", peer, size]
                line = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
                found.setdefault(peer, []).append(json.loads(line))
        ours, ours_cpu = (statistics.median(r[k] for r in found["g287stats"]) for k in ("seconds", "cpu"))
        for peer, rows in found.items():
            seconds = [r["seconds"] for r in rows]
            middle, cpu = statistics.median(seconds), statistics.median(r["cpu"] for r in rows)
            print(
                f"{size:6} {peer:10} {middle:8.3f} s [{min(seconds):.3f}-{max(seconds):.3f}] n={len(rows)} "
                f"cpu {cpu:.3f} s {max(r['mb'] for r in rows):6.0f} MB (before {rows[0]['mb_before']:.0f})  "
                f"×{middle / ours:.1f} (cpu ×{cpu / ours_cpu:.1f})  att {rows[0]['att']:.8f} se {rows[0]['se']:.8f}"
            )


if __name__ == "__main__":
    main()
