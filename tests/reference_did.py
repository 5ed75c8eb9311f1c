"""Stored outputs of other software for the difference-in-differences estimators, and how to be held to them.

See ``tests/reference/did/README.md``. Each row carries its own tolerances; nothing here loosens them.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(__file__).parent / "reference" / "did"


@cache
def _panel(name: str) -> pd.DataFrame:
    path = FOLDER / "data" / f"{name}.csv"
    return pd.read_csv(path if path.exists() else path.with_suffix(".csv.gz"))


def load_panel(name: str) -> pd.DataFrame:
    """A fresh copy of a stored table: ``panel_small``, ``panel_unbalanced``, ``panel_null``, ``draws_fp``, …"""
    return _panel(name).copy()


@cache
def stored() -> pd.DataFrame:
    rows = pd.read_csv(FOLDER / "expected.csv.gz", dtype={"quantity": str})
    rows.insert(3, "variant", rows["id"].str.split("|").str[2])
    return rows


def expected(dataset: str, estimator: str, variant: str | None = None) -> pd.DataFrame:
    """Reference rows (never empty), indexed by ``quantity`` when one variant is asked for."""
    rows = stored()
    rows = rows[(rows["dataset"] == dataset) & (rows["estimator"] == estimator)]
    if variant is not None:
        rows = rows[rows["variant"] == variant].set_index("quantity", drop=False)
    assert len(rows), f"no reference rows {dataset}|{estimator}|{variant}"
    return rows


def variants(estimator: str) -> list[tuple[str, str]]:
    """Every (dataset, variant) stored for an estimator, in file order."""
    rows = stored()
    return list(dict.fromkeys(zip(*(rows.loc[rows["estimator"] == estimator, c] for c in ("dataset", "variant")))))


def agree(value: float, se: float | None, row: pd.Series) -> None:
    """Assert that a number (and, when both sides have one, its standard error) is within the row's tolerance."""
    gap, allowed = abs(value - row["value"]), max(1.0, abs(row["value"])) * row["tolerance_points"]
    assert gap <= allowed, f"{row['id']}: {value!r} against {row['value']!r}, gap {gap:.3g} > {allowed:.3g}"
    if se is None or np.isnan(row["se"]):
        return
    gap, allowed = abs(se - row["se"]), max(1.0, abs(row["se"])) * row["tolerance_se"]
    assert gap <= allowed, f"{row['id']}: se {se!r} against {row['se']!r}, gap {gap:.3g} > {allowed:.3g}"
