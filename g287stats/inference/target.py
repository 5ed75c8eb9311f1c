"""Pick the scalar a test is about, and bring published coefficients into the same type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from g287stats.errors import DesignError, first_of
from g287stats.estimate.covariance import Given, Influence, symmetric_root
from g287stats.estimate.degenerate import EXACT
from g287stats.estimate.estimate import Estimate, Method


@dataclass(frozen=True)
class Scalar:
    """One parameter with its standard error and reference distribution (``df`` infinite: normal)."""

    term: str
    outcome: str
    estimate: float
    std_error: float
    df: float


def position(est: Estimate, term: str | int | None) -> int:
    """Index of ``term``, a name or an event time; with None the only parameter, and an error when there are several."""
    if term is None:
        if len(est.point) == 1:
            return 0
        also = ", or pass its .overall" if est.overall is not None else ""
        raise DesignError(f"the estimate has {len(est.point)} parameters; name one with term= {est.terms[:12]}{also}")
    known = isinstance(term, str) or (isinstance(term, (int, np.integer)) and bool(est._event_times))
    if not known:
        raise DesignError(f"term={term!r} is no name; terms are {est.terms[:12]}")
    return int(est._positions([term])[0])


def scalar(est: Estimate, term: str | int | None = None) -> Scalar:
    """Return the parameter ``term`` of ``est``; an error when its standard error is not defined.

    The outcome of one parameter among several is told with its term, for the sentences that are made of it.
    """
    k = position(est, term)
    se = float(est.se.iloc[k])
    if not np.isfinite(se) or se <= 0:
        why = EXACT if np.isinf(est.floor) else "it is fixed by normalisation, or there is one cluster"
        raise DesignError(f"{est.terms[k]!r} has no standard error: {why}")
    df = est.df if est._freedom is None else est._freedom[k]
    which = f"event time {est._event_times[k]}" if est._event_times else est.terms[k]
    outcome = est.outcome if len(est.point) == 1 else f"{est.outcome} ({which})"
    return Scalar(est.terms[k], outcome, float(est.point[k]), se, float(df))


def unit_labels(est: Estimate) -> pd.Index:
    """Labels of the units of an estimate, in the order of its influence codes."""
    if est.influence.labels is None:
        raise DesignError(f"{est.method.title} does not carry the labels of its units")
    return est.influence.labels


def from_moments(
    point: Sequence[float] | np.ndarray,
    cov: Any,
    *,
    labels: pd.DataFrame | Sequence[str] | None = None,
    outcome: str = "published",
    df: float = np.inf,
    kind: str = "other",
    reference: tuple[Any, ...] = (),
    title: str = "Given estimates and covariance",
    references: tuple[str, ...] = (),
) -> Estimate:
    """Build an :class:`Estimate` from point estimates and a covariance, as printed in a paper.

    Parameters
    ----------
    point
        Estimates (k,), in units of the outcome.
    cov
        Covariance (k × k), or standard errors (k,) when nothing is known of the correlations; then joint tests
        and combinations assume independence, and the note says so.
    labels
        Frame with ``term`` (and ``event_time`` for an event study) or the names.
    df
        Degrees of freedom of the reference distribution.

    Raises
    ------
    DesignError
        When shapes disagree or the covariance is not positive semi-definite.
    """
    b = np.atleast_1d(np.asarray(point, dtype=float))
    v = np.asarray(cov, dtype=float)
    notes: tuple[str, ...] = ()
    if v.ndim < 2:
        if v.ndim == 1 and len(v) > 1:
            notes = ("only standard errors were given: parameters are treated as independent",)
        v = np.diag(np.atleast_1d(v) ** 2)
    if labels is None:
        labels = [f"b{j + 1}" for j in range(len(b))] if len(b) > 1 else ["estimate"]
    frame = labels if isinstance(labels, pd.DataFrame) else pd.DataFrame({"term": list(labels)})
    if "term" not in frame or len(frame) != len(b):
        lack = "lack the column 'term'" if "term" not in frame else f"are {len(frame)}"
        raise DesignError(f"labels {lack}: give one name for each of the {len(b)} estimates")
    fits = v.shape == (len(b), len(b))
    known = np.isfinite(b) & np.isfinite(np.diag(v)) if fits else np.isfinite(b)
    if blank := frame["term"][~known].tolist():
        raise DesignError(
            f"no estimate or no standard error for {first_of(blank)}: a reference period has estimate 0 and standard "
            "error 0, and reference=(-1,) names it"
        )
    if not fits or not np.allclose(v, v.T, rtol=1e-8, atol=1e-14):
        raise DesignError(f"covariance of shape {v.shape} does not fit {len(b)} estimates, or is not symmetric")
    values = np.linalg.eigvalsh((v + v.T) / 2)
    if values.min() < -1e-10 * max(values.max(), 1e-300):
        raise DesignError(f"covariance has a negative eigenvalue ({values.min():.3g})")
    return Estimate(
        labels=frame.reset_index(drop=True),
        point=b,
        influence=Influence(symmetric_root(v), {"score": np.arange(len(b))}),
        rule=Given(df),
        kind=kind,
        method=Method("given", title, references),
        outcome=outcome,
        reference=reference,
        notes=notes,
    )
