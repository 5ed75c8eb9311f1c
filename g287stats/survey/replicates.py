"""Replicate weights: Fay's balanced repeated replication and the jackknife.

An estimate is computed once with the full-sample weight and once with each replicate weight; its covariance is

    sum over replicates r of scale · rscale_r · (θ_r − c)(θ_r − c)',

with centre ``c`` the full-sample estimate (``centre="estimate"``) or the mean of the replicates (``"mean"``).
Fay's method with R replicates and factor ρ has scale 1/(R(1 − ρ)²) (Judkins 1990); the delete-one jackknife (JK1)
has (R − 1)/R unless the producer states another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np

from g287stats.errors import Problems, choose
from g287stats.estimate.covariance import Influence

Centre = Literal["estimate", "mean"]
Kind = Literal["fay", "brr", "jk1", "other"]


@dataclass(frozen=True, eq=False)
class ReplicateWeights:
    """Replicate weights (n × R) with the constants that turn replicate estimates into a variance."""

    weights: np.ndarray
    scale: float
    rscales: np.ndarray
    centre: Centre
    kind: str
    degrees: float


def replicate_weights(
    weights: np.ndarray,
    kind: Kind,
    *,
    rho: float | None = None,
    scale: float | None = None,
    rscales: np.ndarray | None = None,
    centre: Centre = "estimate",
    degrees: float | None = None,
) -> ReplicateWeights:
    """Describe replicate weights.

    Parameters
    ----------
    weights
        Complete replicate weights (not factors), (n, R).
    kind
        ``fay`` (give ``rho``), ``brr`` (ρ = 0), ``jk1``, or ``other`` (give ``scale``).
    scale, rscales
        Override the constants where a producer publishes them (MSA file 38321: jk1, 0.96666667).
    degrees
        Degrees of freedom; default rank of the replicate weights minus one.
    """
    choose("kind", kind, get_args(Kind))
    choose("centre", centre, get_args(Centre))
    matrix = np.asarray(weights, dtype=float)
    problems = Problems("replicate weights")
    if matrix.ndim != 2 or matrix.shape[1] < 2:
        problems.add(f"an array of shape {matrix.shape}", (), "Give one column a replicate: (rows, replicates)")
        problems.raise_if_any()
    wrong = np.flatnonzero(~np.isfinite(matrix).all(axis=1) | (matrix < 0).any(axis=1))
    if len(wrong):
        problems.add("missing, infinite or negative weights in rows", wrong.tolist())
    if kind == "fay" and rho is None:
        problems.add("Fay replicates need their factor", (), "rho=0.5 (the producer's documentation states it)")
    if rho is not None and (kind != "fay" or not 0 <= rho < 1):
        problems.add(f'rho={rho} with kind="{kind}"', (), 'Fay\'s factor lies in [0, 1) and belongs to kind="fay"')
    if kind == "other" and scale is None:
        problems.add('replicates of kind "other" need scale=')
    if scale is not None and not (np.isfinite(scale) and scale > 0):
        problems.add(f"scale={scale} is not positive")
    count = matrix.shape[1]
    ones = np.ones(count) if rscales is None else np.asarray(rscales, dtype=float)
    if ones.shape != (count,) or not (ones >= 0).all():
        problems.add(f"rscales of shape {ones.shape}, one value ≥ 0 for each of {count} replicates")
    problems.raise_if_any()
    if scale is None:
        scale = (count - 1) / count if kind == "jk1" else 1 / (count * (1 - (rho or 0.0)) ** 2)
    if degrees is None:
        degrees = float(np.linalg.matrix_rank(matrix.T @ matrix, hermitian=True) - 1)
    return ReplicateWeights(matrix, float(scale), ones, centre, kind if rho is None else f"{kind} ρ={rho}", degrees)


@dataclass(frozen=True, eq=False)
class Replicates:
    """Covariance rule for replicate estimates: influence rows are replicates, ``sqrt(scale_r)(θ_r − c)``."""

    count: int
    kind: str
    centre: Centre
    degrees: float
    levels: ClassVar[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        """Words for tables."""
        return f"replicate weights ({self.kind}, {self.count} replicates, centred on the {self.centre})"

    @property
    def df(self) -> float:
        """Degrees of freedom."""
        return self.degrees

    def scores(self, influence: Influence) -> np.ndarray:
        """Scaled deviations of the replicates; S'S is the covariance."""
        return influence.psi

    def matrix(self, influence: Influence) -> np.ndarray:
        """Covariance matrix (k × k)."""
        return influence.psi.T @ influence.psi

    def variances(self, influence: Influence) -> np.ndarray:
        """Diagonal of the covariance."""
        return np.einsum("ij,ij->j", influence.psi, influence.psi)


def replicate_influence(
    replicates: ReplicateWeights, point: np.ndarray, estimate: Callable[[np.ndarray], np.ndarray]
) -> tuple[Influence, Replicates]:
    """Compute the estimate under every replicate weight; returns scaled deviations and their rule."""
    r = replicates.weights.shape[1]
    each = np.array([estimate(replicates.weights[:, j]) for j in range(r)]).reshape(r, len(point))
    centre = point if replicates.centre == "estimate" else each.mean(axis=0)
    psi = np.sqrt(replicates.scale * replicates.rscales)[:, None] * (each - centre)
    rule = Replicates(r, replicates.kind, replicates.centre, replicates.degrees)
    return Influence(psi, {"replicate": np.arange(r)}), rule
