"""Unit × period matrices from a prepared design, for estimators that compare whole paths of units."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from g287stats.did.design import NEVER, Design, prepare
from g287stats.errors import DesignError, DesignWarning


def matrix(design: Design, values: np.ndarray | None = None) -> np.ndarray:
    """Return ``values`` (default: the outcome) as units × calendar positions, NaN where there is no row."""
    out = np.full((design.n_units, design.n_periods), np.nan)
    out[design.unit, design.time] = design.y if values is None else values
    return out


def unit_weights(design: Design, problems_to: list[str] | None = None) -> np.ndarray:
    """Return one weight per unit, (N,): the mean of its observation weights; ones when there are none.

    Weights that change within units are averaged, and counted in ``problems_to``.
    """
    if design.weights is None:
        return np.ones(design.n_units)
    rows = np.bincount(design.unit, minlength=design.n_units)
    mean = np.bincount(design.unit, design.weights, design.n_units) / rows
    moving = np.zeros(design.n_units, dtype=bool)
    moving[design.unit[~np.isclose(design.weights, mean[design.unit], rtol=1e-12, atol=0)]] = True
    if moving.any() and problems_to is not None:
        problems_to.append(f"weights change within {int(moving.sum())} units; their mean over the unit's rows is used")
    return mean


def labelled(design: Design, units: np.ndarray, show: int = 8) -> str:
    """Return the first ``show`` labels of ``units`` (codes or mask) for a message."""
    codes = np.flatnonzero(units) if units.dtype == bool else units
    names = [str(v) for v in design.unit_labels[codes[:show]]]
    return ", ".join(names) + (f", … {len(codes) - show} more" if len(codes) > show else "")


def absorbing_cohort(design: Design, fits: str) -> np.ndarray:
    """Return each unit's cohort: the design's, or the first treated position of a 0/1 treatment that never ends.

    Raises
    ------
    DesignError
        A treatment that is not 0/1, or that switches off, naming the units and ``fits``: what to use instead.
    """
    if design.treatment is None:
        return design.cohort
    values = np.unique(design.treatment)
    if not np.isin(values, (0.0, 1.0)).all():
        raise DesignError(f"treatment must be 0 or 1 here; found {values[:6].tolist()}. For doses use g.intensity_did")
    status = matrix(design, design.treatment)
    on = status == 1
    first = np.where(on.any(1), on.argmax(1), NEVER)
    after = np.arange(design.n_periods)[None, :] > first[:, None]
    ends = (after & (status == 0)).any(1)
    if ends.any():
        raise DesignError(
            f"treatment switches off in {int(ends.sum())} units: {labelled(design, ends)}. "
            f"This estimator assumes it stays on; {fits}, or recode it as absorbing (ever treated) and say so"
        )
    return first


def quiet_prepare(data: Any, outcome: str, **keys: Any) -> Design:
    """Prepare a second column of the same frame without repeating the warnings of the first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        return prepare(data, outcome, **keys)
