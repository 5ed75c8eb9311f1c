"""Covariates by name: columns, products ``a:b`` and indicators ``C(column)``; codes of rows that agree."""

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


def covariate_columns(frame: pd.DataFrame, terms: Sequence[str]) -> list[str]:
    """Columns that the terms are made of, in order; absent ones are an error."""
    parts = [p[2:-1] if p.startswith("C(") else p for term in terms for p in _parts(term)]
    columns = list(dict.fromkeys(parts))
    absent = sorted(c for c in columns if c not in frame.columns)
    if absent:
        problems = Problems("covariates")
        problems.add("columns not in the frame", absent, f"Columns are {list(map(str, frame.columns[:20]))}")
        problems.raise_if_any()
    return columns


def _parts(term: str) -> list[str]:
    return [p.strip() for p in term.split(":")]


def _block(frame: pd.DataFrame, part: str, numeric: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    if not part.startswith("C("):
        return [(part, numeric[part])]
    codes, labels = pd.factorize(frame[part[2:-1]], sort=True)
    return [(f"{part}[{label}]", (codes == n).astype(float)) for n, label in enumerate(labels) if n > 0]


def combine(codes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Number the combinations of several codes in their order (first code slowest).

    Returns the number of each row, (n,), and the position of one row of each combination.
    """
    key = codes[0].astype(np.int64)
    width = int(key.max(initial=0)) + 1
    for code in codes[1:]:
        size = int(code.max(initial=0)) + 1
        if width * size > 2**62:
            key, _ = ranks(key)
            width = int(key.max(initial=0)) + 1
        key = key * size + code
        width *= size
    number, count = ranks(key)
    first = np.zeros(count, dtype=np.int64)
    first[number[::-1]] = np.arange(len(number) - 1, -1, -1)
    return number, first


def ranks(key: np.ndarray) -> tuple[np.ndarray, int]:
    """Rank of every value among those that occur, and their number."""
    code, values = pd.factorize(key)
    rank = np.empty(len(values), dtype=np.int64)
    rank[np.argsort(values)] = np.arange(len(values))
    return rank[code], len(values)
