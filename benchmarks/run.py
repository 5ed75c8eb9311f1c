"""Our estimators beside the installed peers, interleaved in one run, each estimation in a fresh process.

    python benchmarks/make_panels.py FOLDER
    python benchmarks/run.py FOLDER --peers PYTHON [--runs 5] [--tasks twfe bjs …] [--sizes year month] [--threads 1]
    python benchmarks/run.py FOLDER --scaling            # ours alone at 1, 4 and 16 times the month panel

PYTHON is an interpreter that has the peers installed (pyfixest, linearmodels, diff-diff, did-imputation); ours runs
under the interpreter of this script. Writes results.json beside FOLDER's panels and prints the table of README.md:
median [min–max] of the first call, peak resident memory, and the ratio to the fastest peer of the same run.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
PEERS = {
    "twfe": [("twfe", "pyfixest"), ("twfe_absorb", "linearmodels")],
    "fepois": [("fepois", "pyfixest")],
    "bjs": [("bjs", "diffdiff"), ("bjs", "did_imputation")],
    "did2s": [("did2s", "diffdiff")],
    "sa": [("sa", "diffdiff"), ("sa", "pyfixest")],
}
TOO_LARGE = {("sa", "diffdiff", "month"), ("sa", "pyfixest", "month")}  # more than 9 GB


def measure(command: list[str], threads: int, limit: float) -> dict | None:
    """Run one measurement in a fresh process; None when it fails or takes longer than ``limit`` seconds."""
    env = os.environ | {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "OPENBLAS", "RAYON", "NUMBA")}
    env["PYTHONPATH"] = str(HERE.parent)
    try:
        out = subprocess.run(command, env=env, capture_output=True, text=True, timeout=limit, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return None
    return json.loads(out.stdout.strip().splitlines()[-1])


def one_round(task: str, size: str, args: argparse.Namespace) -> list[dict]:
    ours = [sys.executable, str(HERE / "run_ours.py"), task, size, args.folder]
    commands = [ours]
    for name, peer in PEERS.get(task, []) if args.peers else []:
        if (task, peer, size) not in TOO_LARGE:
            commands.append([args.peers, str(HERE / "run_peers.py"), name, peer, size, args.folder])
    found = [measure(c, args.threads, args.limit) for c in commands]
    return [f | {"asked": task} for f in found if f is not None]


def table(rows: list[dict]) -> str:
    """Markdown: wall clock and processor seconds, memory, and the ratio of the fastest peer to ours in both."""
    groups: dict[tuple[str, str], dict[str, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for r in rows:
        groups[r["asked"], r["size"]][r["peer"]].append(r)
    lines = [
        "| task | panel | who | wall s, median [min–max] n | CPU s | MB | fastest peer / ours, wall (CPU) |",
        "|---|---|---|---|---|---|---|",
    ]
    for (task, size), who in groups.items():
        middle = {p: [statistics.median(r[c] for r in rs) for c in ("sec", "cpu")] for p, rs in who.items()}
        others = [m for p, m in middle.items() if p != "g287stats"]
        for p, rs in sorted(who.items(), key=lambda kv: middle[kv[0]]):
            seconds = [r["sec"] for r in rs]
            wall, cpu = middle[p]
            spread = f"{wall:.3f} [{min(seconds):.3f}–{max(seconds):.3f}] {len(rs)}"
            ratio = ""
            if p == "g287stats" and others:
                ratio = f"{min(m[0] for m in others) / wall:.1f} ({min(m[1] for m in others) / cpu:.1f})"
            lines.append(f"| {task} | {size} | {p} | {spread} | {cpu:.3f} | {max(r['rss_mb'] for r in rs)} | {ratio} |")
    return "\n".join(lines)


def scaling_table(rows: list[dict]) -> str:
    """Markdown: the quickest first call at 1, 4 and 16 times the month panel.

    The quickest, because what is asked is how work grows with rows: a virtual machine may have to fetch the pages of a
    large panel from its host, which takes longer than the work, until a run before it has left them there.
    """
    groups: dict[str, dict[str, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for r in rows:
        groups[r["asked"]][r["size"]].append(r)
    lines = ["| task | 1× | 4× | 16× | 4× / 1× | 16× / 1× | MB at 16× |", "|---|---|---|---|---|---|---|"]
    for task, sizes in groups.items():
        least = [min(r["sec"] for r in rs) for rs in sizes.values()]
        shown = " | ".join(
            f"{low:.3f} (median {statistics.median(r['sec'] for r in rs):.3f}, {len(rs)})"
            for low, rs in zip(least, sizes.values())
        )
        memory = max(r["rss_mb"] for r in list(sizes.values())[-1])
        lines.append(f"| {task} | {shown} | {least[1] / least[0]:.1f} | {least[2] / least[0]:.1f} | {memory} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--peers")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", default=list(PEERS))
    parser.add_argument("--sizes", nargs="+", default=["year", "month"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=float, default=300.0)
    parser.add_argument("--scaling", action="store_true")
    args = parser.parse_args()
    if args.scaling:
        args.peers, args.sizes = None, ["month", "month4", "month16"]
    rows: list[dict] = []
    name = "scaling.json" if args.scaling else "results.json"
    cells = [(task, size) for task in args.tasks for size in args.sizes]
    if args.scaling:  # runs of one size follow each other, so that later ones find their memory
        plan = [cell for cell in cells for _ in range(args.runs)]
    else:
        plan = [cell for _ in range(args.runs) for cell in cells]
    for done, (task, size) in enumerate(plan, 1):
        rows += one_round(task, size, args)
        if done % len(cells) == 0:
            print(f"{done} of {len(plan)}", file=sys.stderr, flush=True)
        Path(args.folder, name).write_text(json.dumps(rows, indent=1))
    print(scaling_table(rows) if args.scaling else table(rows))


if __name__ == "__main__":
    main()
