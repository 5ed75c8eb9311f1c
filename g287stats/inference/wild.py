"""Wild cluster bootstrap with exactly absorbed fixed effects (Cameron, Gelbach and Miller 2008).

A draw replaces the residuals u of cluster k by v_k u_k and refits, fixed effects included. The refit is linear, so
that with ``x`` the regressor of interest off everything else, ``q = x'x`` and ``M`` the residual maker of the whole
regression,

    b* − null = Σ_k v_k x'u_k / q,      score of cluster g = Σ_k v_k x_g' M u_k:

every cluster's residual is projected once and a draw is a signed sum. ``x_g' M u_k`` is a diagonal minus a product of
sums by period (and by regressor), because units lie within clusters: no draw touches the rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from g287stats.arguments import documented
from g287stats.errors import DesignError, InferenceWarning, caution, check_draws, check_level
from g287stats.estimate.bootstrap import multiplier_draws
from g287stats.estimate.estimate import Estimate
from g287stats.numerics.inversion import invert
from g287stats.numerics.within import Moments
from g287stats.regression.fitted import Fitted, fitted, nested
from g287stats.shown import Shown

Multipliers = Literal["rademacher", "webb"]

_TIES = 1e-9
"""Two statistics closer than this share of their size are tied."""
_CHUNK = 1 << 22


@dataclass(frozen=True)
class WildBootstrap(Shown):
    """Result of a wild cluster bootstrap.

    Attributes
    ----------
    term, outcome, estimate
        The coefficient, in units of the outcome.
    null
        Value tested.
    statistic
        t statistic with the cluster-robust sandwich without its constant factor (it cancels in the comparison).
    p_value
        Symmetric p-value: share of draws with |t*| ≥ |t|, ties counted (so that under full enumeration the draw
        that reproduces the data is in).
    p_value_strict
        The same with |t*| > |t|, the convention of Stata's boottest.
    p_value_equal_tail
        2·min(share t* ≥ t, share t* ≤ t), at most 1.
    conf_low, conf_high
        Values not rejected by the symmetric test at 1 − ``level``; infinite where no value is rejected, missing when
        not asked for.
    draws, enumerated, multipliers, impose_null, seed
        How it was done.
    level, cluster, n_clusters, bootstrap_level, n_groups
        Confidence level; clusters of the t statistic; level at which signs are drawn.
    drawn
        The bootstrap statistics at the null, (draws,).
    """

    term: str
    outcome: str
    estimate: float
    null: float
    statistic: float
    p_value: float
    p_value_strict: float
    p_value_equal_tail: float
    conf_low: float
    conf_high: float
    draws: int
    enumerated: bool
    multipliers: Multipliers
    impose_null: bool
    seed: int
    level: float
    cluster: str
    n_clusters: int
    bootstrap_level: str
    n_groups: int
    drawn: np.ndarray = field(repr=False)

    def _words(self) -> str:
        how = f"all {self.draws:,}" if self.enumerated else f"{self.draws:,}"
        p = f"= {self.p_value:.4g}" if self.p_value > 0 else f"< {1 / self.draws:.2g}"
        restricted = "null imposed" if self.impose_null else "unrestricted"
        interval = (
            ""
            if np.isnan(self.conf_low)
            else (f", {100 * self.level:g} % interval [{self.conf_low:.4g}, {self.conf_high:.4g}]")
        )
        return (
            f"{self.term}: {self.estimate:.4g}, wild cluster bootstrap p {p}{interval} "
            f"({how} {self.multipliers} draws by {self.bootstrap_level}, {self.n_clusters} {self.cluster} clusters, "
            f"{restricted})"
        )


@documented()
def wild_bootstrap(
    est: Estimate,
    term: str | Mapping[str, float] | None = None,
    *,
    draws: int = 9999,
    multipliers: Multipliers = "rademacher",
    impose_null: bool = True,
    null: float = 0.0,
    seed: int = 287,
    ci: bool = True,
    level: float = 0.95,
    cluster: str | None = None,
    draw_by: str | None = None,
) -> WildBootstrap:
    """Test a coefficient of a fixed-effects regression by the wild cluster bootstrap.

    Parameters
    ----------
    est
        A linear regression estimate (``g.twfe``, ``g.event_study`` …).
    term
        Coefficient, or a combination ``{name: weight}``; may be omitted when there is one.
    draws
        Number of draws. When all sign patterns are at most that many they are enumerated (12 clusters: 4,096).
    multipliers
        ``rademacher`` (±1), or ``webb`` (six points) when clusters are fewer than about 12.
    impose_null
        Draw from residuals that impose the null (recommended), or from unrestricted residuals.
    null
        Value tested.
    ci
        Also invert the test into a confidence interval.
    cluster
        Level of the t statistic (default: the estimate's first).
    draw_by
        Level at which signs are drawn: the cluster, or a level inside it — the unit, say — for the subcluster
        bootstrap of MacKinnon and Webb (2018), meant for few treated clusters.

    Raises
    ------
    DesignError
        When the estimate is not a linear regression, the level is unknown or ``draw_by`` cuts across clusters.

    References
    ----------
    Cameron, C., Gelbach, J. and Miller, D. (2008). Bootstrap-based improvements for inference with clustered
    errors. Review of Economics and Statistics 90, 414–427. Roodman, D., MacKinnon, J., Nielsen, M. and Webb, M.
    (2019). Fast and wild: Bootstrap inference in Stata using boottest. Stata Journal 19, 4–60. MacKinnon, J. and
    Webb, M. (2018). The wild bootstrap for few (treated) clusters. Econometrics Journal 21, 114–135.
    """
    if multipliers not in ("rademacher", "webb"):
        raise DesignError(f"multipliers={multipliers!r}: choose 'rademacher' or 'webb'")
    check_level(level)
    check_draws(draws)
    f = fitted(est, term, "the wild bootstrap")
    name, codes = f.codes(cluster)
    drawn_name, drawn = (name, codes) if draw_by is None else f.codes(draw_by)
    if not nested(drawn, codes):
        raise DesignError(f"draw_by={drawn_name!r} cuts across the clusters {name!r}; draw by a level inside them")
    _warn_few(f, codes, name)
    n_groups = int(drawn.max()) + 1
    points = 2 if multipliers == "rademacher" else 6
    enumerated = n_groups * np.log(points) <= np.log(draws) + 1e-9
    b, moments, error = _quadratics(f, codes, drawn, sign_patterns(n_groups, draws, multipliers, seed, enumerated))

    def statistics(value: float) -> tuple[float, np.ndarray]:
        gap = f.estimate - value
        c = gap if impose_null else 0.0
        top = b[0] + c * b[1]
        spread = moments[0] + 2 * c * moments[1] + c * c * moments[2]
        with np.errstate(divide="ignore", invalid="ignore"):
            t = top / np.sqrt(np.maximum(spread, 0.0))
        return gap * f.scale / error, np.where(np.isnan(t), 0.0, t)

    def p_value(value: float) -> float:
        t, t_draws = statistics(value)
        return float((np.abs(t_draws) >= abs(t) - _TIES * abs(t)).mean())

    t, t_draws = statistics(null)
    tie = _TIES * abs(t)
    interval = (np.nan, np.nan)
    if ci:
        interval = (
            invert(p_value, f.estimate, -error / f.scale, 1 - level),
            invert(p_value, f.estimate, error / f.scale, 1 - level),
        )
        if not np.isfinite(interval).all():
            caution(
                f"wild bootstrap interval for {f.term!r} is unbounded: no value on one side is rejected at "
                f"{1 - level:.3g} ({n_groups} groups allow {points}^{n_groups} draws). Use multipliers='webb', "
                "or draw_by= a level inside the clusters",
                InferenceWarning,
            )
    return WildBootstrap(
        term=f.term,
        outcome=est.outcome,
        estimate=f.estimate,
        null=null,
        statistic=float(t),
        p_value=p_value(null),
        p_value_strict=float((np.abs(t_draws) > abs(t) + tie).mean()),
        p_value_equal_tail=float(min(1.0, 2 * min((t_draws >= t - tie).mean(), (t_draws <= t + tie).mean()))),
        conf_low=interval[0],
        conf_high=interval[1],
        draws=len(t_draws),
        enumerated=bool(enumerated),
        multipliers=multipliers,
        impose_null=impose_null,
        seed=seed,
        level=level,
        cluster=name,
        n_clusters=int(codes.max()) + 1,
        bootstrap_level=drawn_name,
        n_groups=n_groups,
        drawn=t_draws,
    )


def _warn_few(f: Fitted, codes: np.ndarray, name: str) -> None:
    """Warn when the variation of the regressor sits in few clusters (inverse Herfindahl below 5)."""
    share = np.bincount(codes, f.weighted_direction * f.direction) / f.scale
    effective = 1 / float((share**2).sum())
    if effective < min(5.0, len(share) / 2):
        caution(
            f"the variation of {f.term!r} comes from effectively {effective:.1f} of {len(share)} {name} clusters: the "
            "wild bootstrap rejects too rarely with the null imposed and too often without. See "
            "g.randomization_test, g.conley_taber, g.ferman_pinto, or draw_by=",
            InferenceWarning,
        )


def sign_patterns(
    n_groups: int, draws: int, multipliers: Multipliers, seed: int, enumerated: bool
) -> Iterator[np.ndarray]:
    """Draws × groups of multipliers, in chunks."""
    if enumerated:
        points = [1.0, -1.0] if multipliers == "rademacher" else np.sqrt([0.5, 1.0, 1.5]).tolist()
        points = points if multipliers == "rademacher" else [*points, *(-p for p in points)]
        yield np.array(list(itertools.product(points, repeat=n_groups)))
        return
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK // n_groups)
    for done in range(0, draws, chunk):
        yield multiplier_draws(rng, min(chunk, draws - done), n_groups, multipliers)


def _quadratics(
    f: Fitted, codes: np.ndarray, drawn: np.ndarray, signs: Iterator[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, float]:
    """What every null needs from every draw.

    With residuals ``e + c·x`` (c the estimate minus the null), numerators and squared scores of a draw are
    polynomials in c. Returns (2, draws) numerators times q, (3, draws) coefficients of Σ_g score², and the
    statistic's own root of Σ_g (x_g'e)².
    """
    n_clusters, n_groups = int(codes.max()) + 1, int(drawn.max()) + 1
    wx = f.weighted_direction
    left = _projected_scores(f, codes, n_clusters)
    group_of = np.zeros(n_groups, dtype=np.int64)
    group_of[drawn] = codes
    add = np.zeros((n_groups, n_clusters)) if n_groups != n_clusters else None
    if add is not None:
        add[np.arange(n_groups), group_of] = 1.0
    own, factors = [], []
    small = n_groups * n_clusters <= len(left.matrix) * (n_groups + n_clusters)
    for u in (f.fit.residual, f.direction):
        own.append(np.bincount(drawn, wx * u, n_groups))
        right = left.right(u, drawn, n_groups)
        factors.append(right @ left.matrix if small else right)
    tops, squares = [], []
    for v in signs:
        tops.append(np.stack([v @ o for o in own]))
        scores = []
        for o, r in zip(own, factors):
            mine = v * o if add is None else (v * o) @ add
            scores.append(mine - (v @ r if small else (v @ r) @ left.matrix))
        squares.append(np.stack([np.einsum("ij,ij->i", scores[a], scores[b]) for a, b in ((0, 0), (0, 1), (1, 1))]))
    error = float(np.sqrt((np.bincount(codes, wx * f.fit.residual, n_clusters) ** 2).sum()))
    return np.hstack(tops), np.hstack(squares), error


@dataclass(frozen=True)
class _Projected:
    """``x_g'(I − M)u_k = right(u)_k @ matrix[:, g]``: what projection takes from the scores."""

    matrix: np.ndarray
    f: Fitted

    def right(self, u: np.ndarray, drawn: np.ndarray, n_groups: int) -> np.ndarray:
        """Sums of u_k over the levels of the effects and over the regressors: (groups, m)."""
        p, f = self.f.projection, self.f
        w = u if p.weights is None else u * p.weights
        parts = []
        for code, size in zip(p.codes, p.sizes):
            parts.append(np.bincount(drawn * size + code, w, n_groups * size).reshape(n_groups, size))
        for column in f.others.T:
            parts.append(np.bincount(drawn, w * column, n_groups)[:, None])
        return np.hstack(parts)


def _projected_scores(f: Fitted, codes: np.ndarray, n_clusters: int) -> _Projected:
    """Solve the effects for each cluster's part of x, through sums by level only (units lie within clusters)."""
    p, wx = f.projection, f.weighted_direction
    if not f.nests_units(codes):
        raise DesignError(
            "the wild bootstrap draws whole units: the cluster level must be constant within units "
            f"({f.design.unit_name})"
        )
    levels = tuple(
        np.bincount(code * n_clusters + codes, wx, size * n_clusters).reshape(size, n_clusters)
        for code, size in zip(p.codes, p.sizes)
    )
    slopes = len(p._basis())
    solved = p.solve(Moments(np.zeros((slopes, p.n_units, n_clusters)), levels))
    regressors = [np.bincount(codes, wx * column, n_clusters) for column in f.others.T]
    return _Projected(np.vstack([*solved.levels, *regressors]), f)
