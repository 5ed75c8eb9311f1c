"""Spatial standard errors: correlation between units that lie near each other (Conley 1999)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.spatial import cKDTree

from g287stats.errors import DesignError, InferenceWarning, caution, first_of
from g287stats.estimate.covariance import Influence
from g287stats.estimate.estimate import Estimate
from g287stats.inference.target import unit_labels

Kernel = Literal["bartlett", "uniform"]

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the Earth (IUGG)."""


@dataclass(frozen=True)
class Spatial:
    """Covariance rule: Σ_ij K(d_ij) ψ_i ψ_j' over units, ψ summed over each unit's rows.

    Attributes
    ----------
    unit
        Level of the units.
    weights
        Kernel values K(d_ij), sparse (N, N), one on the diagonal.
    cutoff_km, kernel
        Distance at which correlation ends, and its shape.
    levels
        Cluster levels of the rule it replaced, for inference that goes by clusters.
    """

    unit: str
    weights: sparse.csr_array = field(repr=False)
    cutoff_km: float
    kernel: Kernel
    levels: tuple[str, ...]

    @property
    def label(self) -> str:
        """Words for tables."""
        pairs = self.weights.nnz / self.weights.shape[0] - 1
        return f"Conley spatial, {self.kernel} kernel to {self.cutoff_km:g} km ({pairs:.1f} neighbours a unit), any lag"

    @property
    def df(self) -> float:
        """Infinite: normal."""
        return np.inf

    def matrix(self, influence: Influence) -> np.ndarray:
        """Covariance matrix (k × k)."""
        s = influence.sums(influence.codes(self.unit))
        out = s.T @ (self.weights @ s)
        return (out + out.T) / 2

    def variances(self, influence: Influence) -> np.ndarray:
        """Diagonal of the covariance."""
        s = influence.sums(influence.codes(self.unit))
        return np.einsum("ij,ij->j", s, self.weights @ s)

    def scores(self, influence: Influence) -> None:
        """None: there are no independent scores."""


def conley(est: Estimate, coordinates: pd.DataFrame, cutoff_km: float, *, kernel: Kernel = "bartlett") -> Estimate:
    """Return the estimate with standard errors that allow correlation within ``cutoff_km``.

    A unit's influence is summed over its periods first, so that a unit is correlated with itself and with its
    neighbours at any lag: clustering by unit, plus space.

    Parameters
    ----------
    est
        Any estimate whose influence rows can be summed by unit.
    coordinates
        ``latitude`` and ``longitude`` in degrees, indexed by unit label; every unit of the estimate, each once.
    cutoff_km
        Great-circle distance in kilometres beyond which units are independent.
    kernel
        ``bartlett`` (1 − d/cutoff) or ``uniform`` (1 within the cutoff). Neither guarantees a positive variance on
        a map; a parameter whose variance comes out negative has a missing standard error and is warned about.

    References
    ----------
    Conley, T. (1999). GMM estimation with cross sectional dependence. Journal of Econometrics 92, 1–45.
    """
    labels = unit_labels(est)
    if not np.isfinite(cutoff_km) or cutoff_km < 0:
        raise DesignError(f"cutoff_km must be a distance in kilometres; got {cutoff_km}")
    weights = kernel_weights(place(coordinates, labels), cutoff_km, kernel)
    levels = est.rule.levels or (est.influence.unit,)
    out = est.with_rule(Spatial(est.influence.unit, weights, float(cutoff_km), kernel, levels))
    negative = out.rule.variances(est.influence) < 0
    if negative.any():
        names = [t for t, bad in zip(est.terms, negative) if bad]
        caution(
            f"spatial variance is negative for {len(names)} terms ({first_of(names)}): no standard error. Try another "
            "cutoff or kernel",
            InferenceWarning,
        )
    return out


def place(coordinates: pd.DataFrame, labels: pd.Index) -> np.ndarray:
    """Points on the unit sphere (N, 3) in the order of ``labels``; every problem in one message."""
    absent = {"latitude", "longitude"} - set(coordinates.columns)
    if absent:
        raise DesignError(f"coordinates lack columns {sorted(absent)}")
    if not coordinates.index.is_unique:
        raise DesignError("coordinates have repeated unit labels in their index")
    table = coordinates.reindex(labels)
    lat = table["latitude"].to_numpy(dtype=float, na_value=np.nan)
    lon = table["longitude"].to_numpy(dtype=float, na_value=np.nan)
    bad = ~(np.isfinite(lat) & np.isfinite(lon) & (np.abs(lat) <= 90) & (np.abs(lon) <= 360))
    if bad.any():
        names = first_of(labels[bad])
        raise DesignError(f"coordinates are missing or out of range for {int(bad.sum())} units: {names}")
    lat, lon = np.radians(lat), np.radians(lon)
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def kernel_weights(points: np.ndarray, cutoff_km: float, kernel: Kernel) -> sparse.csr_array:
    """Sparse kernel of great-circle distances between points on the unit sphere."""
    if kernel not in ("bartlett", "uniform"):
        raise DesignError(f"kernel={kernel!r}: choose 'bartlett' or 'uniform'")
    n = len(points)
    angle = min(cutoff_km / EARTH_RADIUS_KM, np.pi)
    chord = 2 * np.sin(angle / 2) * (1 + 1e-12)
    pairs = cKDTree(points).query_pairs(chord, output_type="ndarray")
    i, j = pairs[:, 0], pairs[:, 1]
    apart = np.linalg.norm(points[i] - points[j], axis=1)
    distance = 2 * np.arcsin(np.minimum(apart / 2, 1.0)) * EARTH_RADIUS_KM
    value = np.ones(len(i)) if kernel == "uniform" else np.maximum(1 - distance / max(cutoff_km, 1e-300), 0.0)
    rows, columns = np.r_[i, j, np.arange(n)], np.r_[j, i, np.arange(n)]
    return sparse.csr_array((np.r_[value, value, np.ones(n)], (rows, columns)), shape=(n, n))


def distances_km(coordinates: pd.DataFrame, labels: Any = None) -> pd.DataFrame:
    """Great-circle distances between units in kilometres (N × N), for choosing a cutoff."""
    index = coordinates.index if labels is None else pd.Index(labels)
    p = place(coordinates, index)
    apart = np.linalg.norm(p[:, None, :] - p[None, :, :], axis=2)
    km = 2 * np.arcsin(np.minimum(apart / 2, 1.0)) * EARTH_RADIUS_KM
    return pd.DataFrame(km, index=index, columns=index)
