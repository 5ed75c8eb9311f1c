"""Multiplier bootstrap of influence functions: simultaneous bands and bootstrap standard errors.

The draws perturb the independent scores of a covariance rule (sums of influence over clusters), never the data:
with ``S`` the scores (G × k, ``S'S`` the covariance) and ``v`` a vector of G independent multipliers with mean
zero and variance one, ``v'S`` is one draw of *estimate − truth*.

Sup-t bands (Callaway and Sant'Anna 2021, algorithm 1; Montiel Olea and Plagborg-Møller 2019) take the quantile of
the largest |t| over the parameters as critical value, so that all intervals cover together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from g287stats.arguments import documented
from g287stats.errors import DesignError, check_draws, check_level
from g287stats.estimate.covariance import symmetric_root
from g287stats.numerics.memory import room
from g287stats.numerics.threads import one_thread

if TYPE_CHECKING:
    from g287stats.estimate.estimate import Estimate

Multiplier = Literal["rademacher", "mammen", "webb", "gaussian"]

ELEMENTS = 1 << 18
"""Elements of the largest array a chunk of draws needs, unless one draw is larger (2 MB: stays in cache)."""
_SIGNS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) * 2.0 - 1.0
"""Eight signs for each value of a byte."""
_SHARED_OUT = 2e8
"""Multiplications in one product from which threads are worth waiting for."""
LONG = 2e11
"""Multiplications from which a progress bar is shown."""


def multiplier_draws(
    rng: np.random.Generator, draws: int, size: int, kind: Multiplier, out: np.ndarray | None = None
) -> np.ndarray:
    """Draw ``draws`` × ``size`` independent multipliers with mean zero and variance one.

    ``rademacher``: ±1, written to the memory of ``out`` (eight more than their number) when given. ``mammen``: the
    two-point law of Mammen (1993), third moment one. ``webb``: the six-point law of Webb (2023), for few clusters.
    ``gaussian``: standard normal.
    """
    shape = (draws, size)
    if kind == "rademacher":
        octets = np.frombuffer(rng.bytes(-(-draws * size // 8)), dtype=np.uint8)
        signs = np.empty(8 * len(octets)) if out is None else out[: 8 * len(octets)]
        np.take(_SIGNS, octets, axis=0, out=signs.reshape(-1, 8), mode="clip")
        return signs[: draws * size].reshape(shape)
    if kind == "mammen":
        root = np.sqrt(5.0)
        low = rng.random(shape) < (root + 1) / (2 * root)
        return np.where(low, (1 - root) / 2, (1 + root) / 2)
    if kind == "webb":
        points = np.sqrt([0.5, 1.0, 1.5])
        return np.concatenate([-points, points])[rng.integers(0, 6, shape)]
    if kind == "gaussian":
        return rng.standard_normal(shape)
    raise DesignError(f"unknown multipliers {kind!r}; choose rademacher, mammen, webb or gaussian")


def draws_of(
    estimate: Estimate, *, draws: int = 999, seed: int = 287, multipliers: Multiplier = "rademacher"
) -> Iterator[np.ndarray]:
    """Yield draws of *estimate − truth* in chunks (rows × k).

    Chunks depend on the shape of the scores only, so the draws are a function of scores and seed. A rule without
    independent scores (two-way clustering, moments as printed) is drawn from the normal law with its covariance;
    ``multipliers`` does not matter then.
    """
    check_draws(draws)
    rng = np.random.default_rng(seed)
    scores = estimate.rule.scores(estimate.influence)
    if scores is None:
        scores = symmetric_root(estimate.cov().to_numpy())
        multipliers = "gaussian"
    size, k = scores.shape
    chunk = max(1, min(draws, ELEMENTS // max(size, k, 1)))
    todo: Iterable[int] = range(0, draws, chunk)
    if float(draws) * size * k > LONG:
        from tqdm import tqdm

        todo = tqdm(todo, desc="bootstrap", unit="chunk", disable=None)  # silent when not a terminal
    signs = room(chunk * size + 8)
    small = chunk * size * k < _SHARED_OUT
    for done in todo:
        v = multiplier_draws(rng, min(chunk, draws - done), size, multipliers, signs)
        with one_thread() if small else nullcontext():
            drawn = v @ scores
        yield drawn


def sup_t(
    estimate: Estimate,
    *,
    level: float = 0.95,
    draws: int = 999,
    seed: int = 287,
    multipliers: Multiplier = "rademacher",
) -> float:
    """Critical value of simultaneous bands: quantile ``level`` of max |t| over the parameters, from :func:`null_draws`.

    Parameters without a standard error (fixed by normalisation) take no part. The quantile is the smallest order
    statistic with at least the share ``level`` of draws at or below it, and never below the pointwise critical value.
    """
    check_level(level)
    se = estimate.se.to_numpy()
    finite = np.isfinite(se)
    if not finite.any():
        raise DesignError("no parameter has a standard error, so there is no band")
    largest = [
        np.abs(chunk[:, finite] / se[finite]).max(axis=1)
        for chunk in null_draws(estimate, draws=draws, seed=seed, multipliers=multipliers)
    ]
    ordered = np.sort(np.concatenate(largest))
    found = float(ordered[int(np.ceil(level * len(ordered) - 1e-9)) - 1])
    return found if estimate._freedom is not None else max(found, estimate.critical_value(level))


def null_draws(
    estimate: Estimate, *, draws: int = 999, seed: int = 287, multipliers: Multiplier = "rademacher"
) -> Iterator[np.ndarray]:
    """Yield draws of *estimate − truth* in chunks (rows × k), with the tails of the rule's reference distribution.

    Where the rule has few degrees of freedom (clusters less one) the standard errors are themselves uncertain, for all
    parameters alike: each of :func:`draws_of` is then divided by the root of an independent chi-squared over its
    degrees of freedom, so that draws over standard errors are multivariate t. A rule with degrees of freedom by
    parameter (Neyman's) is left normal; ``Estimate.bands`` maps its critical value.
    """
    df, scale = estimate.rule.df, np.ones(draws)
    if np.isfinite(df) and estimate._freedom is None:
        scale = np.sqrt(df / np.random.default_rng([seed, 1]).chisquare(df, draws))
    done = 0
    for chunk in draws_of(estimate, draws=draws, seed=seed, multipliers=multipliers):
        yield chunk * scale[done : done + len(chunk), None]
        done += len(chunk)


@documented()
def bootstrap_se(
    estimate: Estimate, *, draws: int = 999, seed: int = 287, multipliers: Multiplier = "rademacher"
) -> pd.Series:
    """Standard deviation of the multiplier draws, by term.

    It estimates the analytic standard error of the same rule and differs from it by simulation noise only
    (relative size about 1/√(2·draws)); it is not the interquartile range, which is 5–12 % off with 12 clusters.
    """
    total = np.zeros(len(estimate.point))
    count = 0
    for chunk in draws_of(estimate, draws=draws, seed=seed, multipliers=multipliers):
        total += np.einsum("ij,ij->j", chunk, chunk)
        count += len(chunk)
    se = np.sqrt(total / count)
    return pd.Series(np.where(se > 0, se, np.nan), index=estimate.params.index, name="bootstrap_se")
