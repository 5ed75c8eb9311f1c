"""Bias-reduced cluster-robust inference: CR2 with Bell–McCaffrey degrees of freedom, and CR3 (the jackknife).

With H the hat matrix of the whole regression (fixed effects included) and û_g a cluster's residuals, CR2 replaces û_g
by (I − H_gg)^{-1/2} û_g and CR3 by (I − H_gg)^{-1} û_g. Units lie within clusters, so that on a cluster's rows

    I − H_gg = M_U − Z_g K Z_g',   Z = M_U [dummies of the other effects, regressors],   K = (Z'Z)⁻,

and its root times a vector takes a few products with that matrix (Lanczos), each a sum by period and a solve of the
kernel: clusters are worked on together and nothing of the size of a cluster squared is formed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
from scipy import linalg, sparse

from g287stats.errors import DesignError
from g287stats.estimate.covariance import Influence
from g287stats.estimate.estimate import Estimate
from g287stats.estimate.fit import Averages
from g287stats.numerics.least_squares import LeastSquares
from g287stats.numerics.within import Projection
from g287stats.regression.fitted import loadings, nested, regression_of

Kind = Literal["CR2", "CR3"]

LARGEST = 50_000_000
"""Most clusters × columns of Z (periods, levels of further effects, regressors) kept at once."""
_BATCH = 1 << 17
"""Rows of the clusters worked on together."""
PASS = 60.0
"""Operations of a matrix product that take the time of a pass over the rows, and passes a coefficient takes."""


@dataclass(frozen=True)
class BiasReduced:
    """Covariance rule of influence functions that already carry the cluster adjustment."""

    kind: Kind
    level: str
    n_clusters: int
    freedom: float

    @property
    def levels(self) -> tuple[str, ...]:
        """The cluster level, as other rules name theirs."""
        return (self.level,)

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
        A regression estimate. With weights, errors are taken to have variance inverse to the weight (the adjustment is
        made in the transformed regression). For Poisson the regression is the weighted one of the last step, whose
        leverage is that of the counts (Kauermann and Carroll 2001 for CR2, Mancl and DeRouen 2001 for CR3).
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
    guide to empirical practice. Journal of Econometrics 232, 272–299. Kauermann, G. and Carroll, R. (2001). A note on
    the efficiency of sandwich covariance matrix estimation. Journal of the American Statistical Association 96,
    1387–1396. Mancl, L. and DeRouen, T. (2001). A covariance estimator for GEE with improved small-sample properties.
    Biometrics 57, 126–134.
    """
    if kind not in ("CR2", "CR3"):
        raise DesignError(f"kind={kind!r}: choose 'CR2' or 'CR3'")
    reg = regression_of(est, "bias-reduced inference", working=True)
    wanted = list(est.terms if terms is None else terms)
    combined = loadings(est, reg, wanted)
    level = cluster or (*est.rule.levels, reg.design.unit_name)[0]
    if level not in reg.design.clusters:
        raise DesignError(f"no cluster level {level!r}: the estimate carries {sorted(reg.design.clusters)}")
    codes = reg.design.clusters[level]
    if not nested(reg.fit.projection.unit, codes):
        raise DesignError(f"units must lie within the clusters {level!r} for CR2 and CR3")
    scores, freedom = adjusted_scores(reg.fit, codes, combined, kind)
    g = len(scores)
    if set(wanted) <= set(est.terms):
        labels = est.labels.set_index("term").loc[wanted].reset_index()[est.labels.columns]
    else:
        labels = pd.DataFrame({"term": wanted})
    rule = BiasReduced(kind, level, g, float(freedom.min()))
    return replace(
        est,
        labels=labels,
        point=reg.fit.beta @ combined,
        averages=Averages(reg.names, combined.T),
        influence=Influence(scores, {level: np.arange(g)}),
        rule=rule,
        cells=None,
        overall=None,
        options={**est.options, "df": dict(zip(wanted, freedom.tolist()))},
    )


def adjusted_scores(
    fit: LeastSquares, codes: np.ndarray, combined: np.ndarray, kind: Kind
) -> tuple[np.ndarray, np.ndarray]:
    """Adjusted cluster scores (G × k) of combinations of coefficients and their Bell–McCaffrey degrees of freedom (k,).

    ``combined`` (coefficients × k) holds the combinations. The regressors are off the effects, so a coefficient's row
    of K is the bread's, and its score in a cluster is p'û_g,
    p = f(I − H_gg) r with r the cluster's rows of the direction of the coefficient and f the inverse root or inverse
    (zero where a cluster fits its own outcome). Under errors of equal variance the variance estimate is a quadratic
    form with matrix diag(p_g'p_g) − a'Ka, a_g = Z_g'p_g; the degrees of freedom are trace² / trace of the square.
    """
    p = fit.projection
    order = np.argsort(codes, kind="stable")
    n_clusters = int(codes.max()) + 1
    ends = np.searchsorted(codes[order], np.arange(n_clusters + 1))
    m, n_terms = sum(p.sizes) + len(fit.beta), combined.shape[1]
    if n_clusters * m > LARGEST:
        raise DesignError(
            f"CR2 and CR3 keep {n_clusters} clusters × {m} columns (periods, further effects, regressors); the limit "
            f"is {LARGEST:,}. Cluster by a larger level, use fewer effects, or g.wild_bootstrap"
        )
    columns = fit.columns()
    residual = fit.residual if p.weights is None else fit.residual * np.sqrt(p.weights)
    scores = np.zeros((n_clusters, n_terms))
    lengths, leaned = np.zeros_like(scores), np.zeros_like(scores)
    squares, left = np.zeros((n_terms, 2)), [np.zeros((n_clusters, m)) for _ in range(n_terms)]

    def rows_of(first: int, last: int) -> _Rows:
        return _Rows(p, columns, fit.bread, order[ends[first] : ends[last]], ends[first : last + 1] - ends[first])

    keys = [rows_of(g, g + 1).fingerprint() for g in range(n_clusters)] if n_terms > 3 else []
    distinct = len(set(keys)) if keys else n_clusters
    apart = n_terms * p.n * (PASS + len(fit.beta)) * PASS
    many = apart > distinct * (10.0 * m**3 + 2.0 * p.n / n_clusters * m**2)
    root = _root(p, fit.bread) if many else None
    known: dict[bytes | None, list[np.ndarray]] = {}
    for first, last in _batches(ends, 1 if many else _BATCH):
        z = rows_of(first, last)
        key = keys[first] if many and keys else None  # counties of one cohort have one Z
        parts: Iterable[np.ndarray] = known.get(key) or adjusted_directions(z, combined, _POWER[kind], root)
        if key is not None:
            parts = known[key] = list(parts)
        for j, adjusted in enumerate(parts):
            scores[first:last, j] = z.sums(adjusted * residual[z.rows])
            lengths[first:last, j] = z.sums(adjusted**2)
            left[j][first:last] = z.transpose(adjusted)
    for j, pull in enumerate(left):
        solved = _times_inverse(p, fit.bread, pull)
        leaned[:, j] = np.einsum("gm,gm->g", pull, solved)
        cross = solved.T @ pull if m < n_clusters else pull @ solved.T
        quadratic = (lengths[:, j] ** 2).sum() - 2 * lengths[:, j] @ leaned[:, j] + (cross * cross.T).sum()
        squares[j] = (lengths[:, j] - leaned[:, j]).sum() ** 2, quadratic
    if kind == "CR3":
        scores *= np.sqrt((n_clusters - 1) / n_clusters)
    return scores, squares[:, 0] / squares[:, 1]


_POWER = {"CR2": -0.5, "CR3": -1.0}


def _batches(ends: np.ndarray, size: int) -> list[tuple[int, int]]:
    """Runs of clusters of about ``size`` rows, at least one cluster each."""
    out, first = [], 0
    while first < len(ends) - 1:
        last = max(first + 1, int(np.searchsorted(ends, ends[first] + size, "right")) - 1)
        out.append((first, last))
        first = last
    return out


class _Rows:
    """Z and H of a run of clusters, as operators on their rows (sorted by cluster), each on its own cluster."""

    def __init__(
        self, projection: Projection, columns: np.ndarray, bread: np.ndarray, rows: np.ndarray, ends: np.ndarray
    ):
        p = projection
        self.projection, self.bread, self.rows, self.ends = p, bread, rows, ends
        self.root = None if p.weights is None else np.sqrt(p.weights[rows])
        self.columns = columns[rows].T.copy()  # regressors by row: long runs in memory
        if self.root is not None:
            self.columns *= self.root
        self.scale = np.sqrt(1 / np.diag(bread))[:, None]
        self.cluster = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
        _, self.unit = np.unique(p.unit[rows], return_inverse=True)
        basis = p._basis()
        self.basis = [b[rows] if self.root is None else b[rows] * self.root for b in basis]
        self.cells = [self.cluster * size + code[rows] for code, size in zip(p.codes, p.sizes)]

    def fingerprint(self) -> bytes:
        """Digest of all that Z is made of; clusters that share it share Z, to the twelfth digit of its columns."""
        digest = hashlib.blake2b(digest_size=16)
        columns = np.round(self.columns / self.scale, 12) + 0.0  # no negative zeros
        for part in (columns, *self.basis, self.unit, *self.cells, *([] if self.root is None else [self.root])):
            digest.update(str(part.shape).encode())
            digest.update(np.ascontiguousarray(part).data)
        return digest.digest()

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum an (n,) array by cluster."""
        return np.add.reduceat(values, self.ends[:-1])

    def transpose(self, x: np.ndarray) -> np.ndarray:
        """Z_g'x_g of every cluster, for x off the units: (G, m)."""
        n = len(self.ends) - 1
        weighted = x if self.root is None else x * self.root
        parts = [
            np.bincount(cell, weighted, n * size).reshape(n, size)
            for cell, size in zip(self.cells, self.projection.sizes)
        ]
        pairs = pairwise(self.ends)
        return np.hstack([*parts, np.array([self.columns[:, a:b] @ x[a:b] for a, b in pairs])])

    def hat(self, x: np.ndarray) -> np.ndarray:
        """H_gg x_g of every cluster, for x off the units: (n,)."""
        solved = _times_inverse(self.projection, self.bread, self.transpose(x))
        out, start = np.zeros(len(x)), 0
        for cell, size in zip(self.cells, self.projection.sizes):
            out += np.ascontiguousarray(solved[:, start : start + size]).reshape(-1)[cell]
            start += size
        if self.root is not None:
            out *= self.root
        for b in self.basis:
            out -= b * np.bincount(self.unit, b * out)[self.unit]
        for a, b, slope in zip(self.ends[:-1], self.ends[1:], np.ascontiguousarray(solved[:, start:])):
            out[a:b] += slope @ self.columns[:, a:b]
        return out

    def dense(self) -> np.ndarray:
        """Z of the run as a matrix, (n, m)."""
        sizes = self.projection.sizes
        n_levels = sum(sizes)
        z = np.zeros((len(self.rows), n_levels + len(self.columns)))
        at, start = np.arange(len(self.rows)), 0
        for cell, size in zip(self.cells, sizes):
            z[at, start + cell - self.cluster * size] = 1.0 if self.root is None else self.root
            start += size
        for b in self.basis:
            add = sparse.csr_array((b, (self.unit, at)), shape=(int(self.unit.max()) + 1, len(at)))
            z[:, :n_levels] -= b[:, None] * (add @ z[:, :n_levels])[self.unit]
        z[:, n_levels:] = self.columns.T
        return z

    def part(self, keep: np.ndarray) -> _Rows:
        """The same for the clusters ``keep`` (boolean)."""
        out = object.__new__(_Rows)
        inside = keep[self.cluster]
        out.projection, out.bread, out.rows, out.scale = self.projection, self.bread, self.rows[inside], self.scale
        out.root = None if self.root is None else self.root[inside]
        out.columns, out.basis = self.columns[:, inside], [b[inside] for b in self.basis]
        out.ends = np.concatenate([[0], np.cumsum(np.diff(self.ends)[keep])])
        out.cluster = np.repeat(np.arange(int(keep.sum())), np.diff(out.ends))
        out.unit = np.unique(self.unit[inside], return_inverse=True)[1]
        out.cells = [
            out.cluster * size + (cell - self.cluster * size)[inside]
            for cell, size in zip(self.cells, self.projection.sizes)
        ]
        return out


def _times_inverse(projection: Projection, bread: np.ndarray, pulls: np.ndarray) -> np.ndarray:
    """K a for rows a of ``pulls`` (G × m): the effects by the projection's factor, the regressors by the bread."""
    offsets = np.concatenate([[0], np.cumsum(projection.sizes)]).astype(int)
    levels = tuple(np.ascontiguousarray(pulls[:, a:b].T) for a, b in pairwise(offsets))
    solved = projection.solve_levels(levels)
    return np.hstack([*(v.T for v in solved), pulls[:, offsets[-1] :] @ bread])


def adjusted_directions(z: _Rows, combined: np.ndarray, power: float, root: np.ndarray | None) -> Iterator[np.ndarray]:
    """f(I − H_gg) r of a run of clusters, one coefficient after another: (n,) each.

    For few coefficients by products with H; for many, of one cluster, with ``root`` C (K = CC') and the
    eigenvectors of C'Z'ZC, which serve them all.
    """
    if root is None:
        for direction in (z.bread @ combined).T:
            start = direction @ z.columns
            yield _function(z, start, power)
        return
    dense = z.dense()
    value, vector = np.linalg.eigh(root.T @ (dense.T @ dense) @ root)
    f = np.where(1 - value > 1e-9, np.maximum(1 - value, 1e-300) ** power, 0.0)
    first = sum(z.projection.sizes)
    yield from (dense @ (root @ ((vector * f) @ (vector.T @ root[first:].T @ combined)))).T


def _root(projection: Projection, bread: np.ndarray) -> np.ndarray:
    """C with CC' = K, (m, q): the effects' part and the regressors' part."""
    sizes = projection.sizes
    ends = np.cumsum(sizes)
    levels = projection.solve_levels(tuple(np.eye(ends[-1])[e - s : e] for s, e in zip(sizes, ends)))
    inverse = np.vstack(levels)
    value, vector = np.linalg.eigh((inverse + inverse.T) / 2)
    keep = value > 1e-13 * value[-1]
    return linalg.block_diag(vector[:, keep] * np.sqrt(value[keep]), np.linalg.cholesky(bread))


def _function(z: _Rows, start: np.ndarray, power: float) -> np.ndarray:
    """(I − H_gg)^power start_g of every cluster at once, zero on eigenvalues below 1e-9: Lanczos, reorthogonalised.

    H_gg has few distinct large eigenvalues, so a handful of steps is exact; a cluster leaves when four more steps
    change nothing, or when its Krylov space is exhausted.
    """
    out, where = np.zeros(len(start)), np.arange(len(start))
    length = np.sqrt(z.sums(start**2))
    keep = length > 0
    if not keep.all():
        where = where[keep[z.cluster]]
        start, length, z = start[where], length[keep], z.part(keep)
    vectors = [start / length[z.cluster]] if len(where) else []
    alpha: list[np.ndarray] = []
    beta: list[np.ndarray] = []
    before = np.zeros((len(length), 0))
    limit = sum(z.projection.sizes) + len(z.columns)  # no Krylov space has more dimensions
    while len(where):
        step = z.hat(vectors[-1])
        alpha.append(z.sums(step * vectors[-1]))
        for _ in range(2):
            for v in vectors:
                step -= v * z.sums(step * v)[z.cluster]
        left = np.sqrt(z.sums(step**2))
        left[left < 1e-13] = 0.0  # the space is exhausted
        beta.append(left)
        done = left == 0
        if len(alpha) % 4 == 0 or done.any():
            weights = _first_column(np.array(alpha), np.array(beta[:-1]), power)
            change = weights.copy()
            change[:, : before.shape[1]] -= before
            if len(alpha) % 4 == 0:
                before = weights
                done |= np.abs(change).max(axis=1) <= 1e-13 * np.abs(weights).max(axis=1)
                done |= len(alpha) >= limit
            if done.any():
                rows = done[z.cluster]
                mix = (weights * length[:, None])[z.cluster[rows]]
                out[where[rows]] = sum(mix[:, k] * v[rows] for k, v in enumerate(vectors))
                on = ~done
                where, step, vectors = where[~rows], step[~rows], [v[~rows] for v in vectors]
                alpha, beta = [a[on] for a in alpha], [b[on] for b in beta]
                before, length, left, z = before[on], length[on], left[on], z.part(on)
        if len(where):
            vectors.append(step / left[z.cluster])
    return out


def _first_column(alpha: np.ndarray, beta: np.ndarray, power: float) -> np.ndarray:
    """First column of (I − T)^power for tridiagonal matrices T: ``alpha`` (k, G), ``beta`` (k − 1, G) → (G, k)."""
    k, n = alpha.shape
    t = np.zeros((n, k, k))
    i = np.arange(k)
    t[:, i, i] = 1.0 - alpha.T
    if k > 1:
        t[:, i[1:], i[:-1]] = t[:, i[:-1], i[1:]] = -beta.T
    value, vector = np.linalg.eigh(t)
    f = np.where(value > 1e-9, np.maximum(value, 1e-300) ** power, 0.0)
    return np.einsum("gij,gj,gj->gi", vector, f, vector[:, 0, :])
