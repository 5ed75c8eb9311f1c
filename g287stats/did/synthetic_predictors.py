"""Synthetic control on predictors: their means before treatment, and the weights V they match with."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from g287stats.design.keys import Data
from g287stats.design.prepare import Design
from g287stats.design.wide import matrix, quiet_prepare
from g287stats.did.synthetic_weights import Block
from g287stats.errors import DesignError, Problems
from g287stats.numerics.nested import matching_weights
from g287stats.numerics.simplex import simplex_least_squares

Predictor = str | tuple[str, Any, Any]
"""A column, averaged over all periods before treatment; or with the first and last period of its average."""


def given(predictors: tuple[Predictor, ...], v: Any) -> np.ndarray | None:
    """Predictor weights as given (k,), or None to choose them by the data."""
    if isinstance(v, str):
        if v not in ("data", "equal"):
            raise DesignError(f"predictor_weights={v!r}: choose 'data', 'equal' or one number for each predictor")
        return None if v == "data" else np.ones(len(predictors))
    out = np.asarray(v, dtype=float)
    if out.shape != (len(predictors),) or not np.isfinite(out).all() or (out < 0).any() or not out.any():
        raise DesignError(
            f"predictor_weights={out.tolist()}: give one finite number of 0 or more, not all 0, for each of the "
            f"{len(predictors)} predictors"
        )
    return out


def _predictor_names(predictors: Sequence[Predictor]) -> list[str]:
    return [
        p if isinstance(p, str) else f"{p[0]} {p[1]}–{p[2]}" if p[1] != p[2] else f"{p[0]} {p[1]}" for p in predictors
    ]


def predictor_means(
    data: Data,
    design: Design,
    keys: Mapping[str, str | None],
    predictors: Sequence[Predictor],
    treated: Mapping[int, np.ndarray],
    controls: np.ndarray,
) -> dict[int, np.ndarray]:
    """Predictor means by cohort position: units × predictors."""
    problems = Problems(f"predictors of {design.outcome!r}")
    out = {c: np.full((design.n_units, len(predictors)), np.nan) for c in treated}
    for k, (one, name) in enumerate(zip(predictors, _predictor_names(predictors))):
        column, first, last = (one, None, None) if isinstance(one, str) else one
        seen = quiet_prepare(data, column, unit=keys["unit"], time=keys["time"])
        rows = seen.unit_labels.get_indexer(design.unit_labels)
        values = np.where(rows[:, None] >= 0, matrix(seen)[rows], np.nan)
        for c, members in treated.items():
            start = design.calendar[c]
            inside = seen.calendar < start
            if first is not None:
                if last >= start:
                    problems.add(f"{name!r} is measured after treatment began in {start}")
                inside = (seen.calendar >= first) & (seen.calendar <= last) & inside
            part = values[:, inside]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # units without a value are found below
                out[c][:, k] = np.nanmean(part, axis=1) if part.shape[1] else np.nan
            used = np.r_[members, controls]
            bare = used[np.isnan(out[c][used, k])]
            if len(bare):
                problems.add(f"{name!r} has no value before {start} in units", design.unit_labels[bare])
            elif np.ptp(out[c][used, k]) == 0:
                problems.add(f"{name!r} is the same in all units before {start}")
    problems.raise_if_any()
    return out


def predictor_table(
    design: Design, blocks: Sequence[Block], x: Mapping[int, np.ndarray], predictors: Sequence[Predictor]
) -> pd.DataFrame:
    """Predictors of the treated and of their synthetic control."""
    parts = [
        pd.DataFrame(
            {
                "cohort": design.calendar[b.cohort],
                "predictor": _predictor_names(predictors),
                "weight": b.v,
                "treated": x[b.cohort][b.treated].mean(0),
                "synthetic": b.omega @ x[b.cohort][b.controls],
                "controls": x[b.cohort][b.controls].mean(0),
            }
        )
        for b in (blocks if x else ())
    ]
    columns = ["cohort", "predictor", "weight", "treated", "synthetic", "controls"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def predictor_block(
    y: np.ndarray, x: np.ndarray, treated: np.ndarray, controls: np.ndarray, cohort: int, v: np.ndarray | None
) -> Block:
    """Fit the weights of one cohort on predictors ``x`` (units × k), which weigh ``v`` or as fits ``y`` best before."""
    own, pool = x[treated].mean(0), x[controls]
    scale = np.vstack([own, pool]).std(axis=0, ddof=1)
    scale[scale == 0] = 1.0  # among these units alone
    a, b = (pool / scale).T, own / scale
    goal, paths = y[treated, :cohort].mean(0), y[controls, :cohort]

    def weights(v: np.ndarray) -> np.ndarray:
        root = np.sqrt(v / v.sum())
        return simplex_least_squares(root[:, None] * a, root * b, ridge=PREDICTOR_RIDGE)

    if v is None:
        v = matching_weights(a, b, goal, paths, PREDICTOR_RIDGE)
    return Block(cohort, treated, controls, weights(v), np.zeros(cohort), v / v.sum())


PREDICTOR_RIDGE = 1e-8
"""Ridge on squared standardised predictors: among weights that fit them alike, the least unequal."""
