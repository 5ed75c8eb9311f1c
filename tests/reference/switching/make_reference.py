"""Stored effects of a treatment that switches on and off, by the authors' own software.

``python make_reference.py panel`` draws the panel (authored, seed 287): 60 counties x 8 years, some start, some of
these end, some are treated from the first year and some of these stop. ``python make_reference.py run`` computes
``expected.csv`` with py_did_multiplegt_dyn 0.1.9 (BSD 3-Clause; polars 1.29, Python 3.11), in its own environment.

expected.csv: ``switchers`` (in: starts; all: starts, and stops with the sign reversed), ``normalized``, ``event_time``
(the paper's effect l is event time l - 1, placebo l is -1 - l), ``estimate``, ``se``, ``n_switchers``.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent


def panel() -> None:
    rng = np.random.default_rng(287)
    n, t = 60, 8
    first = rng.choice([2, 3, 5, 99], n, p=[0.25, 0.2, 0.15, 0.4])
    last = np.where(rng.random(n) < 0.5, first + rng.integers(1, 4, n), 99)
    initially = rng.random(n) < 0.3
    clock = np.arange(t)
    d = ((clock >= first[:, None]) & (clock < last[:, None])).astype(int)
    stop = rng.choice([3, 5, 99], n)
    d[initially] = clock[None] < stop[initially][:, None]
    y = rng.normal(size=n)[:, None] + 0.3 * clock + rng.normal(size=(n, t)) + d * 1.0 + 0.3 * np.cumsum(d, 1)
    columns = {"county": np.repeat(np.arange(1, n + 1), t), "year": np.tile(clock + 2000, n)}
    pd.DataFrame(columns | {"d": d.ravel(), "y": y.ravel().round(6)}).to_csv(HERE / "panel.csv", index=False)


def run() -> None:
    import polars as pl
    from did_multiplegt_dyn import DidMultiplegtDyn

    rows = []
    for switchers, name in (("in", "in"), ("", "all")):
        for normalized in (False, True):
            fit = DidMultiplegtDyn(
                pl.read_csv(HERE / "panel.csv"), "y", "county", "year", "d", effects=4, placebo=2, switchers=switchers,
                normalized=normalized,
            )  # fmt: skip
            result = fit.fit()
            found = (result if isinstance(result, dict) else fit.result)["did_multiplegt_dyn"]
            for table, sign in (("Effects", 1), ("Placebos", -1)):
                for label, row in found[table].iterrows():
                    number = int(str(label).split("_")[1])
                    event = number - 1 if sign > 0 else -1 - number
                    rows.append((name, normalized, event, row["Estimate"], row["SE"], int(row["Switchers"])))
    columns = ["switchers", "normalized", "event_time", "estimate", "se", "n_switchers"]
    pd.DataFrame(rows, columns=columns).to_csv(HERE / "expected.csv", index=False)


if __name__ == "__main__":
    {"panel": panel, "run": run}[sys.argv[1]]()
