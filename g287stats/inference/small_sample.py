"""Bias-reduced cluster-robust inference: CR2 with Bell–McCaffrey degrees of freedom, and CR3 (the jackknife).

With H the hat matrix of the whole regression (fixed effects included) and û_g a cluster's residuals, CR2 replaces û_g
by (I − H_gg)^{-1/2} û_g and CR3 by (I − H_gg)^{-1} û_g. Units lie within clusters, so that on a cluster's rows

    I − H_gg = M_U − Z_g K Z_g',   Z = M_U [dummies of the other effects, regressors],   K = (Z'Z)⁻,

whose root follows from an eigenproblem of the size of Z's columns, not of the cluster's rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from g287stats.errors import DesignError
from g287stats.inference.covariance import Influence
from g287stats.inference.estimate import Estimate
from g287stats.inference.fitted import nested, regression_of

Kind = Literal["CR2", "CR3"]

_LARGEST = 3000
"""Most columns of Z (periods, levels of further effects, regressors) for which the eigenproblems are attempted."""


@dataclass(frozen=True)
class BiasReduced:
    """Covariance rule of influence functions that already carry the cluster adjustment."""

    kind: Kind
    level: str
    n_clusters: int
    freedom: float

    @property
    def label(self) -> str:
        """Words for tables."""
        name = "CR3 (cluster jackknife)" if self.kind == "CR3" else "CR2"
        return f"{name}, {self.n_clusters} {self.level} clusters, Bell–McCaffrey df {self.freedom:.1f}"

    @property
    def df(self) -> float:
        """Bell–McCaffrey degrees of freedom; the smallest over the parameters of a vector."""
        return self.freedom

    def scores(self, influence: Influence) -> np.ndarray:
        """Adjusted cluster scores."""
        return influence.psi

    def matrix(self, influence: Influence) -> np.ndarray:
        """Covariance matrix (k × k)."""
        return influence.psi.T @ influence.psi

    def variances(self, influence: Influence) -> np.ndarray:
        """Diagonal of the covariance."""
        return np.einsum("ij,ij->j", influence.psi, influence.psi)


def bias_reduced(
    est: Estimate, kind: Kind = "CR2", *, terms: Sequence[str] | None = None, cluster: str | None = None
) -> Estimate:
    """Return the estimate with bias-reduced cluster-robust standard errors.

    Parameters
    ----------
    est
        A linear regression estimate. With weights, errors are taken to have variance inverse to the weight (the
        adjustment is made in the transformed regression).
    kind
        ``CR2`` (Bell and McCaffrey 2002), or ``CR3``, which equals the cluster jackknife
        (G−1)/G Σ (b_(g) − b)(b_(g) − b)'.
    terms
        Parameters to keep (default: all of ``est``). Degrees of freedom differ between parameters; a vector
        carries the smallest. Name one term for its own.
    cluster
        Level (default: the estimate's first); units must lie within it.

    Returns
    -------
    Estimate
        Same points; t tests and intervals with Bell–McCaffrey degrees of freedom, in ``options["df"]`` by term.

    References
    ----------
    Bell, R. and McCaffrey, D. (2002). Bias reduction in standard errors for linear regression with multi-stage
    samples. Survey Methodology 28, 169–181. Pustejovsky, J. and Tipton, E. (2018). Small-sample methods for
    cluster-robust variance estimation and hypothesis testing in fixed effects models. Journal of Business &
    Economic Statistics 36, 672–683. MacKinnon, J., Nielsen, M. and Webb, M. (2023). Cluster-robust inference: A
    guide to empirical practice. Journal of Econometrics 232, 272–299.
    """
    if kind not in ("CR2", "CR3"):
        raise DesignError(f"kind={kind!r}: choose 'CR2' or 'CR3'")
    reg = regression_of(est, "bias-reduced inference")
    wanted = list(est.terms if terms is None else terms)
    names = list(reg.names)
    absent = [t for t in wanted if t not in names]
    if absent:
        raise DesignError(
            f"bias-reduced inference takes coefficients of the regression; {absent[:8]} are not: {names[:12]}"
        )
    level = cluster or getattr(est.rule, "levels", (reg.design.unit_name,))[0]
    if level not in reg.design.clusters:
        raise DesignError(f"no cluster level {level!r}: the estimate carries {sorted(reg.design.clusters)}")
    codes = reg.design.clusters[level]
    if not nested(reg.projection.unit, codes):
        raise DesignError(f"units must lie within the clusters {level!r} for CR2 and CR3")
    at = np.array([names.index(t) for t in wanted])
    scores, freedom = adjusted_scores(reg.fit, codes, at, kind)
    g = len(scores)
    if set(wanted) <= set(est.terms):
        labels = est.labels.set_index("term").loc[wanted].reset_index()[est.labels.columns]
    else:
        labels = pd.DataFrame({"term": wanted})
    rule = BiasReduced(kind, level, g, float(freedom.min()))
    return replace(
        est,
        labels=labels,
        point=reg.fit.beta[at],
        influence=Influence(scores, {level: np.arange(g)}),
        rule=rule,
        cells=None,
        overall=None,
        options={**est.options, "df": dict(zip(wanted, freedom.tolist()))},
    )


def adjusted_scores(fit: Any, codes: np.ndarray, at: np.ndarray, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """Adjusted cluster scores (G × k) of coefficients ``at`` and their Bell–McCaffrey degrees of freedom (k,).

    With γ = K e the direction of a coefficient in Z, Gram_g = Z_g'Z_g = S'S and B the (inverse, or inverse root) of
    I − S K S', a score is γ'S'B S^{-T} Z_g'û_g. Under errors of equal variance the variance estimate is a quadratic
    form with matrix diag(p_g'p_g) − a'K a, p_g = Z_g S⁻¹B Sγ, a_g = S'B Sγ; the degrees of freedom are
    trace² / trace of the square.
    """
    p = fit.projection
    root = np.ones(p.n) if p.weights is None else np.sqrt(p.weights)
    r = fit.columns()
    n_levels = sum(p.sizes)
    m = n_levels + r.shape[1]
    if m > _LARGEST:
        raise DesignError(
            f"CR2 and CR3 need an eigenproblem of {m} columns (periods, further effects, regressors); the limit is "
            f"{_LARGEST}. Use fewer effects, or g.wild_bootstrap"
        )
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], np.arange(int(codes.max()) + 2))
    n_clusters = len(ends) - 1
    offsets = np.concatenate([[0], np.cumsum(p.sizes)]).astype(int)
    residual = fit.residual * root
    basis = p._basis()

    def sums(g: int) -> tuple[np.ndarray, np.ndarray]:
        """Gram matrix of a cluster's Z, and Z'û."""
        rows = order[ends[g] : ends[g + 1]]
        z = np.zeros((len(rows), m))
        for j, code in enumerate(p.codes):
            z[np.arange(len(rows)), offsets[j] + code[rows]] = root[rows]
        z[:, n_levels:] = r[rows] * root[rows, None]
        _, unit = np.unique(p.unit[rows], return_inverse=True)
        for b in basis:  # weighted orthonormal unit intercepts (and slopes)
            q = b[rows] * root[rows]
            add = sparse.csr_array((q, (unit, np.arange(len(rows)))), shape=(int(unit.max()) + 1, len(rows)))
            z -= q[:, None] * (add @ z)[unit]
        return z.T @ z, z.T @ residual[rows]

    total = np.zeros((m, m))
    for g in range(n_clusters):
        total += sums(g)[0]
    k = _pseudo_inverse(total)
    gamma = k[:, n_levels + at]
    scores = np.zeros((n_clusters, len(at)))
    lengths = np.zeros((n_clusters, len(at)))
    pull = np.zeros((n_clusters, m, len(at)))
    from tqdm import tqdm

    long = None if n_clusters * float(m) ** 3 > 1e10 else True
    for g in tqdm(range(n_clusters), desc=kind, unit="cluster", disable=long):
        gram, right = sums(g)
        value, vector = np.linalg.eigh(gram)
        keep = value > 1e-11 * max(value[-1], 1e-300)
        s = np.sqrt(value[keep])[:, None] * vector[:, keep].T
        left, base = np.linalg.eigh(np.eye(len(s)) - s @ k @ s.T)
        power = -0.5 if kind == "CR2" else -1.0
        inverse = np.where(left > 1e-9, np.maximum(left, 1e-300) ** power, 0.0)
        adjusted = (base * inverse) @ (base.T @ (s @ gamma))
        scores[g] = (vector[:, keep].T @ right / np.sqrt(value[keep])) @ adjusted
        lengths[g] = (adjusted**2).sum(axis=0)
        pull[g] = s.T @ adjusted
    freedom = np.empty(len(at))
    for j in range(len(at)):
        quadratic = np.diag(lengths[:, j]) - pull[:, :, j] @ k @ pull[:, :, j].T
        freedom[j] = np.trace(quadratic) ** 2 / (quadratic**2).sum()
    if kind == "CR3":
        scores *= np.sqrt((n_clusters - 1) / n_clusters)
    return scores, freedom


def _pseudo_inverse(gram: np.ndarray) -> np.ndarray:
    scale = np.sqrt(np.diag(gram))
    scale = np.where(scale > 0, scale, 1.0)
    value, vector = np.linalg.eigh(gram / scale[:, None] / scale)
    keep = value > 1e-10 * value[-1]
    part = vector[:, keep] / scale[:, None]
    return (part / value[keep]) @ part.T
