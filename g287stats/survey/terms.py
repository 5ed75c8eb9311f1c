"""Covariates by name: columns, products ``a:b`` and indicators ``C(column)``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from g287stats.errors import Problems


def design_matrix(
    frame: pd.DataFrame, terms: Sequence[str], *, intercept: bool
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Return the matrix (n × k), the names of its columns, and which rows are complete.

    ``C(half)`` gives one indicator for each level but the first; in a product it multiplies out.
    """
    problems = Problems("covariates")
    factors = {part for term in terms for part in _parts(term)}
    wanted = {p[2:-1] if p.startswith("C(") else p for p in factors}
    absent = sorted(w for w in wanted if w not in frame.columns)
    if absent:
        problems.add("columns not in the frame", absent, f"Columns are {list(map(str, frame.columns[:20]))}")
    numeric: dict[str, np.ndarray] = {}
    for name in sorted(wanted - set(absent)):
        if f"C({name})" in factors:
            continue
        values = pd.to_numeric(frame[name], errors="coerce")
        if (values.isna() & frame[name].notna()).any():
            problems.add(f"{name!r} is not numeric", frame[name].dropna().unique()[:5], f"Use C({name})")
        numeric[name] = values.to_numpy(dtype=float, na_value=np.nan)
        if np.isinf(numeric[name]).any():
            problems.add(f"{name!r} has infinite values")
    problems.raise_if_any()
    columns: list[np.ndarray] = [np.ones(len(frame))] if intercept else []
    names: list[str] = ["Intercept"] if intercept else []
    complete = np.ones(len(frame), dtype=bool)
    for name in wanted:
        complete &= frame[name].notna().to_numpy()
    for term in terms:
        blocks: list[tuple[str, np.ndarray]] = [("", np.array(1.0))]
        for part in _parts(term):
            blocks = [
                (f"{left}:{name}" if left else name, product * column)
                for left, product in blocks
                for name, column in _block(frame, part, numeric)
            ]
        for name, column in blocks:
            names.append(name)
            columns.append(np.broadcast_to(column, len(frame)))
    matrix = np.column_stack(columns) if columns else np.empty((len(frame), 0))
    return matrix, names, complete


def _parts(term: str) -> list[str]:
    return [p.strip() for p in term.split(":")]


def _block(frame: pd.DataFrame, part: str, numeric: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    if not part.startswith("C("):
        return [(part, numeric[part])]
    codes, labels = pd.factorize(frame[part[2:-1]], sort=True)
    return [(f"{part}[{label}]", (codes == n).astype(float)) for n, label in enumerate(labels) if n > 0]
