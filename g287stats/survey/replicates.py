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
from typing import ClassVar, Literal

import numpy as np

from g287stats.errors import DesignError
from g287stats.estimate.covariance import Influence

Centre = Literal["estimate", "mean"]


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
    kind: Literal["fay", "brr", "jk1", "other"],
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
    matrix = np.asarray(weights, dtype=float)
    count = matrix.shape[1]
    if kind == "fay" and rho is None:
        raise DesignError("Fay replicates need their factor: rho=0.5 (the producer's documentation states it)")
    if scale is None:
        if kind == "other":
            raise DesignError('replicates of kind "other" need scale=')
        scale = (count - 1) / count if kind == "jk1" else 1 / (count * (1 - (rho or 0.0)) ** 2)
    ones = np.ones(count) if rscales is None else np.asarray(rscales, dtype=float)
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
