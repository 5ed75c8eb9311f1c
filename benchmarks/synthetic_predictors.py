"""Synthetic control on fourteen predictors, and its sixteen placebos, on the data of Abadie and Gardeazabal (2003).

Prints seconds of processor time and the mean squared gap before treatment: python benchmarks/synthetic_predictors.py
"""

import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "did"))
import pandas as pd
from test_synthetic_predictors import BASQUE, PREDICTORS

import g287stats as g


def main() -> None:
    data = pd.read_csv(Path(__file__).parents[1] / "tests/reference/synthetic/basque.csv")
    data["on"] = ((data["region"] == BASQUE) & (data["year"] >= 1970)).astype(int)
    keys = {"unit": "region", "time": "year", "treatment": "on", "predictors": PREDICTORS}
    warnings.simplefilter("ignore")
    for inference in ("none", "none", "placebo"):
        start = time.process_time()
        e = g.synthetic_control(data, "gdpcap", inference=inference, **keys)
        error = next(iter(e.design.pre_rmspe.values())) ** 2
        print(f"{inference:8} {time.process_time() - start:6.2f} s  effect {e.point[0]:.3f}  error before {error:.5f}")


if __name__ == "__main__":
    main()
