"""Weights matched to known totals: post-stratification, linear and raking calibration.

With auxiliary variables x and known totals T, weights d become w = d·F(x'λ) with Σ w x = T, where F(u) = 1 + u
(``linear``, the generalized regression estimator) or exp(u) (``raking``); post-strata are indicators (Deville and
Särndal 1992). Estimates then vary only with what x does not explain: influence functions become residuals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import pandas as pd

from g287stats.errors import DesignError, Problems, choose
from g287stats.survey.design import Calibration, SurveySample
from g287stats.survey.terms import design_matrix

CalibrationMethod = Literal["linear", "raking"]


def post_stratify(
    sample: SurveySample, by: str | Sequence[str], totals: pd.Series | Mapping[object, float]
) -> SurveySample:
    """Return the sample with weights that add up to ``totals`` in every cell of ``by``.

    Parameters
    ----------
    by
        Column or columns; every row with a weight belongs to one cell.
    totals
        Population of each cell, indexed by its label (a tuple of labels for several columns).

    Raises
    ------
    DesignError
        Rows without a cell, cells without a total or without rows, totals that are not positive.
    """
    _fresh(sample)
    columns = [by] if isinstance(by, str) else list(by)
    frame, problems = sample.frame, Problems("post-stratification")
    absent = [c for c in columns if c not in frame]
    if absent:
        problems.add("columns are not in the file", absent)
        problems.raise_if_any()
    wanted = pd.Series(totals, dtype=float)
    used = sample.weights > 0
    lost = used & frame[columns].isna().any(axis=1).to_numpy()
    if lost.any():
        problems.add("rows belong to no post-stratum", np.flatnonzero(lost).tolist())
    keys = list(frame[columns[0]]) if len(columns) == 1 else list(frame[columns].itertuples(index=False, name=None))
    cell, labels = pd.factorize(pd.Series(keys, dtype=object))
    held = np.bincount(cell[used & (cell >= 0)], sample.weights[used & (cell >= 0)], len(labels))
    known = {k: float(v) for k, v in wanted.items()}
    without = [k for k, s in zip(labels, held) if s > 0 and k not in known]
    empty = [k for k in known if k not in {k for k, s in zip(labels, held) if s > 0}]
    wrong = [k for k, v in known.items() if not (np.isfinite(v) and v > 0)]
    for what, items in (
        ("cells without a total", without),
        ("totals of cells without rows", empty),
        ("totals that are not positive", wrong),
    ):
        if items:
            problems.add(what, items, "Merge cells, or give their totals")
    problems.raise_if_any()
    ratio = np.array([known.get(k, 0.0) for k in labels]) / np.where(held > 0, held, 1.0)
    weights = np.where(used, sample.weights * ratio[cell], 0.0)
    indicators = (cell[:, None] == np.arange(len(labels))).astype(float)
    return replace(sample, weights=weights, calibration=Calibration(indicators, sample.weights))


def calibrate(
    sample: SurveySample,
    terms: Sequence[str],
    totals: Mapping[str, float],
    *,
    method: CalibrationMethod = "linear",
) -> SurveySample:
    """Return the sample with weights whose totals of ``terms`` are ``totals``.

    Parameters
    ----------
    terms
        Columns, products ``a:b`` and indicators ``C(column)``, as in :func:`~g287stats.survey.regression.glm`.
    totals
        Known total of ``Intercept`` (the population) and of every column the terms give.
    method
        ``linear`` (regression estimator; weights may turn negative, which is refused) or ``raking``.
    """
    choose("method", method, get_args(CalibrationMethod))
    _fresh(sample)
    x, names, complete = design_matrix(sample.frame, terms, intercept=True)
    problems, used = Problems("calibration"), sample.weights > 0
    if (used & ~complete).any():
        problems.add("terms are missing in rows", np.flatnonzero(used & ~complete).tolist())
    if set(names) != set(totals):
        problems.add("totals do not match the terms", sorted(set(names) ^ set(totals)), f"Give totals of {names}")
    problems.raise_if_any()
    x = np.where(used[:, None], x, 0.0)
    aim, d = np.array([float(totals[n]) for n in names]), sample.weights
    slope, w = np.zeros(len(names)), d
    for _ in range(100):
        gap = aim - x.T @ w
        if np.max(np.abs(gap) / np.maximum(np.abs(aim), 1)) < 1e-12:
            break
        curve = d if method == "linear" else w
        slope = slope + np.linalg.lstsq((x * curve[:, None]).T @ x, gap, rcond=1e-12)[0]
        w = d * (1 + x @ slope) if method == "linear" else d * np.exp(np.clip(x @ slope, -50, 50))
    else:
        raise DesignError(f"{method} calibration does not reach the totals: {dict(zip(names, gap))} are left over")
    if (w < 0).any():
        raise DesignError(f'linear calibration makes {int((w < 0).sum())} weights negative: use method="raking"')
    return replace(sample, weights=w, calibration=Calibration(x, d))


def _fresh(sample: SurveySample) -> None:
    if sample.calibration is not None:
        raise DesignError("the sample is calibrated already: calibrate once, to all totals together")
    if sample.replicates is not None:
        raise DesignError("replicate weights carry their own calibration: describe the sample without replicates=")
