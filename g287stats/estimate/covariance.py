"""Influence functions and the rules that turn them into covariances.

Convention: ``psi`` is scaled so that *estimate − truth ≈ the column sums of psi*. A cluster-robust covariance is
then ``sum over clusters of s s'`` with ``s`` the cluster's sum of ``psi``, times a small-sample factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, get_args

import numpy as np
import pandas as pd

from g287stats.errors import DesignError
from g287stats.numerics.memory import room

SmallSample = Literal["nonnested", "full", "none", "did", "unadjusted"]


@dataclass(frozen=True)
class Influence:
    """Influence functions: ``psi`` (rows × parameters) and ``keys``, integer codes of each row by level.

    ``keys`` maps a level ("county", "state", "year" …) to an integer array with one code per row, coded in the
    sorted order of the level's labels so that results cannot depend on the order of input rows. The first
    level is the unit. Rows are units unless a cluster cuts across units; then they are observations.
    ``labels`` names the codes of the unit, so that estimates on different samples can be matched; None when rows
    are not of named units (replicates, published moments).
    """

    psi: np.ndarray
    keys: Mapping[str, np.ndarray]
    labels: pd.Index | None = None

    @property
    def n_params(self) -> int:
        """Number of parameters (columns)."""
        return self.psi.shape[1]

    @property
    def unit(self) -> str:
        """Name of the first level."""
        return next(iter(self.keys))

    def codes(self, level: str) -> np.ndarray:
        """Return the codes of ``level``; an error names the levels that are available."""
        if level not in self.keys:
            raise DesignError(
                f"cannot cluster by {level!r}: the estimate carries {sorted(self.keys)}. "
                f"Pass cluster={level!r} to the estimator so that the level is kept"
            )
        return self.keys[level]

    def sums(self, codes: np.ndarray) -> np.ndarray:
        """Sum ``psi`` over rows with the same code: (groups × parameters), groups in code order."""
        n_groups = int(codes.max()) + 1 if len(codes) else 0
        if len(codes) == n_groups and (codes == np.arange(n_groups)).all():
            return self.psi
        out = np.empty((n_groups, self.n_params))
        for j in range(self.n_params):
            out[:, j] = np.bincount(codes, self.psi[:, j], n_groups)
        return out

    def sum_squares(self, codes: np.ndarray) -> np.ndarray:
        """Sum over groups of the squared :meth:`sums`, (k,)."""
        s = self.sums(codes)
        return np.einsum("ij,ij->j", s, s)

    def combine(self, weights: np.ndarray, extra: np.ndarray | None = None) -> Influence:
        """Influence of ``weights @ params`` (weights m × k), plus ``extra`` (rows × m) when given."""
        psi = self.psi @ weights.T
        return Influence(psi if extra is None else psi + extra, self.keys, self.labels)


class CovarianceRule(Protocol):
    """How influence becomes a covariance. Frozen; estimators choose one, ``Estimate.with_rule`` swaps it."""

    @property
    def label(self) -> str:
        """Words for tables: what was clustered, which small-sample convention."""

    @property
    def df(self) -> float:
        """Degrees of freedom of the reference distribution; infinite means normal."""

    @property
    def levels(self) -> tuple[str, ...]:
        """Levels that errors are clustered by; none when they are not."""

    def matrix(self, influence: Influence) -> np.ndarray:
        """Covariance matrix (k × k)."""

    def variances(self, influence: Influence) -> np.ndarray:
        """Diagonal of the covariance, (k,), without forming the matrix."""

    def scores(self, influence: Influence) -> np.ndarray | None:
        """Independent scores S (G × k) with S'S equal to the covariance; None when no such form exists."""


@dataclass(frozen=True)
class Clustered:
    """Cluster-robust (CRV1) covariance by one level or two.

    Parameters
    ----------
    levels
        One level, or two for two-way clustering (Cameron, Gelbach and Miller 2011).
    small_sample
        ``nonnested``: G/(G−1) · (n−1)/(n−K), K counting regressors and fixed effects not nested in the cluster
        (fixest's and reghdfe's default). ``full``: all fixed effects count. ``none``: no fixed effect counts.
        ``did``: no factor (Callaway–Sant'Anna). ``unadjusted``: no factor, kept apart in labels.
        Two-way clustering uses the smaller G in every term.
    n_obs
        Observations n.
    k_by_level
        K for each small-sample convention and cluster level: ``{"nonnested": {"county": 9, …}, "full": …}``.
        For two-way, the key is ``"a&b"``.
    n_clusters
        Number of clusters by level.
    normal
        Use the normal distribution instead of t with G − 1 degrees of freedom.
    """

    levels: tuple[str, ...]
    small_sample: SmallSample = "nonnested"
    n_obs: int = 0
    k_by_level: Mapping[str, int] = field(default_factory=dict)
    n_clusters: Mapping[str, int] = field(default_factory=dict)
    normal: bool = False

    def __post_init__(self) -> None:
        if self.small_sample not in get_args(SmallSample):
            raise DesignError(f"small_sample={self.small_sample!r}: choose one of {', '.join(get_args(SmallSample))}")
        for level in self.levels:
            if self.n_clusters.get(level, 2) < 2:
                raise DesignError(f"only {self.n_clusters[level]} cluster in {level!r}: cluster by a finer level")

    @property
    def label(self) -> str:
        """Words for tables."""
        counts = ", ".join(f"{self.n_clusters.get(v, '?')} {v} clusters" for v in self.levels)
        return f"cluster-robust ({counts}; small-sample: {self.small_sample})"

    @property
    def df(self) -> float:
        """G − 1 with G the smaller number of clusters, or infinite."""
        if self.normal or not self.n_clusters:
            return np.inf
        return float(min(self.n_clusters[v] for v in self.levels) - 1)

    def factor(self) -> float:
        """Small-sample factor applied to every term."""
        if self.small_sample in ("did", "unadjusted"):
            return 1.0
        g = min(self.n_clusters[v] for v in self.levels)
        k = self.k_by_level["&".join(self.levels)]
        return g / (g - 1) * (self.n_obs - 1) / (self.n_obs - k)

    def _terms(self, influence: Influence) -> list[tuple[float, np.ndarray]]:
        """Signed groupings whose cross products of sums add up to the covariance before the factor."""
        codes = [influence.codes(v) for v in self.levels]
        terms = [(1.0, c) for c in codes]
        if len(codes) == 2:
            both = codes[0].astype(np.int64) * (int(codes[1].max()) + 1) + codes[1]
            terms.append((-1.0, np.unique(both, return_inverse=True)[1].reshape(-1)))
        return terms

    def matrix(self, influence: Influence) -> np.ndarray:
        """Covariance matrix (k × k)."""
        total = np.zeros((influence.n_params, influence.n_params))
        for sign, codes in self._terms(influence):
            s = influence.sums(codes)
            total += sign * (s.T @ s)
        return self.factor() * total

    def variances(self, influence: Influence) -> np.ndarray:
        """Diagonal of the covariance."""
        total = sum(sign * influence.sum_squares(codes) for sign, codes in self._terms(influence))
        return self.factor() * np.asarray(total)

    def scores(self, influence: Influence) -> np.ndarray | None:
        """Cluster sums scaled by the factor; None for two-way clustering."""
        if len(self.levels) > 1:
            return None
        sums = influence.sums(influence.codes(self.levels[0]))
        return np.multiply(sums, np.sqrt(self.factor()), out=room(*sums.shape))


@dataclass(frozen=True)
class Neyman(Clustered):
    """Independent units in groups: small-sample factors are in the influence, the reference distribution is t.

    With ψ̂ the influence of a parameter, V_g = Σ_{i ∈ g} ψ̂_i² the part of its variance that group g contributes and
    d_g the degrees of freedom behind V_g, Satterthwaite's approximation is

        df = (Σ_g V_g)² / Σ_g V_g²/d_g,

    Welch's for a difference of two means. It lies between the smallest d_g and their sum.

    Parameters
    ----------
    groups
        Group of each influence row, (n,).
    group_df
        Degrees of freedom d_g, (groups,).
    """

    groups: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    group_df: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def label(self) -> str:
        """Words for tables."""
        level = self.levels[0]
        return f"{self.n_clusters[level]} independent {level} units (small-sample: neyman; Satterthwaite's t)"

    @property
    def df(self) -> float:
        """The smallest the degrees of freedom of any parameter can be."""
        return float(self.group_df.min())

    def freedom(self, influence: Influence) -> np.ndarray:
        """Satterthwaite's degrees of freedom by parameter, (k,); NaN where the influence is zero."""
        squares = influence.psi**2
        part = np.stack([squares[self.groups == g].sum(axis=0) for g in range(len(self.group_df))])
        with np.errstate(invalid="ignore"):
            return part.sum(axis=0) ** 2 / (part**2 / self.group_df[:, None]).sum(axis=0)


@dataclass(frozen=True)
class Homoskedastic:
    """Covariance under independent errors of equal variance (inverse to the weights), from row influence.

    The influence of a row is its residual times fixed coefficients; dividing by the residual and multiplying by
    the error's standard deviation leaves σ (X'WX)⁻¹ x √w, whose squares add up to σ² (X'WX)⁻¹. So it holds for
    linear combinations too.

    Attributes
    ----------
    error
        Weight × residual by row, (n,), none of them exactly zero.
    deviation
        Standard deviation of each row's weighted error, σ √w, (n,).
    df_residual
        Observations less parameters.
    """

    error: np.ndarray
    deviation: np.ndarray
    df_residual: int
    levels: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_residuals(cls, residual: np.ndarray, weights: np.ndarray | None, df_residual: int) -> Homoskedastic:
        """Estimate σ² as the weighted residual sum of squares over ``df_residual``."""
        w = np.ones(len(residual)) if weights is None else weights
        sigma2 = float(residual @ (w * residual)) / df_residual
        error = w * residual
        return cls(np.where(error == 0, np.finfo(float).tiny, error), np.sqrt(sigma2 * w), df_residual)

    @property
    def label(self) -> str:
        """Words for tables."""
        return "homoskedastic, independent errors"

    @property
    def df(self) -> float:
        """Residual degrees of freedom."""
        return float(self.df_residual)

    def scores(self, influence: Influence) -> np.ndarray:
        """Rows of σ (X'WX)⁻¹ x √w for the influence's parameters."""
        if influence.psi.shape[0] != len(self.error):
            raise DesignError("homoskedastic standard errors need the influence of observations, not of units")
        return influence.psi * (self.deviation / self.error)[:, None]

    def matrix(self, influence: Influence) -> np.ndarray:
        """Covariance matrix (k × k)."""
        s = self.scores(influence)
        return s.T @ s

    def variances(self, influence: Influence) -> np.ndarray:
        """Diagonal of the covariance."""
        return np.einsum("ij,ij->j", *(self.scores(influence),) * 2)


def symmetric_root(cov: np.ndarray) -> np.ndarray:
    """The one symmetric positive semi-definite S with S S equal to ``cov`` (k × k).

    Eigenvectors alone are arbitrary where eigenvalues are equal, and differ from one processor to the next; S does not.
    """
    value, vector = np.linalg.eigh((cov + cov.T) / 2)
    return (vector * np.sqrt(np.maximum(value, 0.0))) @ vector.T


@dataclass(frozen=True)
class Given:
    """A covariance as printed: the influence is its symmetric root, which are not scores of anything independent.

    Bands and joint draws are therefore taken from the normal (or t) law with this covariance.

    Attributes
    ----------
    df
        Degrees of freedom of the reference distribution, also fractional; infinite means normal.
    """

    df: float = np.inf
    levels: ClassVar[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        """Words for tables."""
        return "as given" if np.isinf(self.df) else f"as given ({self.df:g} degrees of freedom)"

    def matrix(self, influence: Influence) -> np.ndarray:
        """Covariance matrix (k × k)."""
        return influence.psi.T @ influence.psi

    def variances(self, influence: Influence) -> np.ndarray:
        """Diagonal of the covariance."""
        return np.einsum("ij,ij->j", influence.psi, influence.psi)

    def scores(self, influence: Influence) -> None:
        """None: nothing is known of what was independent."""


@dataclass(frozen=True)
class Heteroskedastic:
    """Heteroskedasticity-robust covariance (HC1), n/(n − K), from the influence of observations."""

    n_obs: int
    k: int
    levels: ClassVar[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        """Words for tables."""
        return "heteroskedasticity-robust (HC1)"

    @property
    def df(self) -> float:
        """n − K."""
        return float(self.n_obs - self.k)

    def scores(self, influence: Influence) -> np.ndarray:
        """Row influence scaled by the factor."""
        if influence.psi.shape[0] != self.n_obs:
            raise DesignError("HC1 standard errors need the influence of observations, not of units")
        return influence.psi * np.sqrt(self.n_obs / (self.n_obs - self.k))

    def matrix(self, influence: Influence) -> np.ndarray:
        """Covariance matrix (k × k)."""
        s = self.scores(influence)
        return s.T @ s

    def variances(self, influence: Influence) -> np.ndarray:
        """Diagonal of the covariance."""
        return np.einsum("ij,ij->j", *(self.scores(influence),) * 2)
