"""Several estimates at once: joint influence, and p-values corrected for having looked at all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from g287stats.arguments import documented
from g287stats.errors import DesignError
from g287stats.estimate.bootstrap import Multiplier, null_draws
from g287stats.estimate.covariance import Clustered, Influence
from g287stats.estimate.estimate import Estimate, Method, WaldTest
from g287stats.inference.target import position, unit_labels
from g287stats.shown import Shown

METHOD = Method(
    "joint",
    "Several estimates on joint influence functions",
    (
        "Romano, J. and Wolf, M. (2005). Stepwise multiple testing as formalized data snooping. "
        "Econometrica 73, 1237–1282. doi:10.1111/j.1468-0262.2005.00615.x",
        "Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of "
        "Statistics 6, 65–70.",
    ),
)


def holm(p_values: Sequence[float] | pd.Series) -> pd.Series:
    """Holm's step-down adjusted p-values, in the order given; missing p-values stay missing and do not count."""
    if isinstance(p_values, Estimate):
        raise DesignError("holm takes p-values: g.holm(est.p_values()), or g.multiple_testing([est])")
    p = pd.Series(p_values, dtype=float)
    known = p.dropna()
    order = np.argsort(known.to_numpy(), kind="stable")
    m = len(known)
    stepped = known.to_numpy()[order] * (m - np.arange(m))
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    out = pd.Series(np.nan, index=p.index, name="p_value_holm")
    out[p.notna()] = adjusted
    return out


def joint(estimates: Mapping[str, Estimate] | Sequence[Estimate], *, cluster: str | None = None) -> Estimate:
    """Stack estimates into one whose covariance knows that they share units.

    Influence functions are matched by unit label, so that samples may differ; clusters are matched through their
    units. Each parameter keeps the standard error of its own estimate (its small-sample factor included).

    Parameters
    ----------
    estimates
        Names → estimates, or a list (named by outcome and method). Estimates with several parameters contribute
        all of them, as ``name: term``.
    cluster
        Cluster level, when the estimates' own differ; an estimate with another rule then gets G/(G − 1).

    Raises
    ------
    DesignError
        When cluster levels differ, are two-way, or cut across units, or when an estimate does not carry its unit
        labels.
    """
    named = dict(estimates) if isinstance(estimates, Mapping) else _named(estimates)
    if not named:
        raise DesignError("no estimates were given")
    levels = {name: _level(name, e, cluster) for name, e in named.items()}
    if len(set(levels.values())) > 1:
        raise DesignError(f"the estimates are clustered at different levels {levels}: name one with cluster=")
    level = next(iter(levels.values()))
    parts = [(name, e, *_by_unit(name, e, level)) for name, e in named.items()]
    kinds = {name: units.inferred_type for name, _, _, units, _ in parts}
    if len(set(kinds.values())) > 1:
        raise DesignError(f"unit labels differ in type, so that units cannot be matched: {kinds}")
    labels = parts[0][3]
    for part in parts[1:]:
        labels = labels.union(part[3], sort=False)
    labels = labels.sort_values()
    blocks, rows, codes, offset = [], [], [], len(labels)
    for _, e, psi, units, cluster_of in parts:
        at = labels.get_indexer(units)
        block = np.zeros((len(labels), psi.shape[1]))
        block[at] = psi * np.sqrt(_factor(e, level, int(cluster_of.max()) + 1))
        blocks.append(block)
        rows.append(at)
        codes.append(offset + cluster_of)
        offset += int(cluster_of.max()) + 1
    i, j = np.concatenate(rows), np.concatenate(codes)
    graph = sparse.csr_array((np.ones(len(i)), (i, j)), shape=(offset, offset))
    component = sparse.csgraph.connected_components(graph, directed=False)[1][: len(labels)]
    _, first = np.unique(component, return_index=True)
    rank = np.empty(int(component.max()) + 1, dtype=np.int64)
    rank[component[np.sort(first)]] = np.arange(len(first))
    clusters = rank[component]
    frame = pd.DataFrame(
        [
            {"term": name if len(e.point) == 1 else f"{name}: {t}", "estimate_name": name, "outcome": e.outcome}
            for name, e in named.items()
            for t in e.terms
        ]
    )
    n_clusters = int(clusters.max()) + 1
    freedom = min(_freedom(e, level, n_clusters) for e in named.values())
    rule = Clustered(
        (level,),
        "unadjusted",
        n_clusters={level: int(freedom) + 1 if np.isfinite(freedom) else n_clusters},
        normal=not np.isfinite(freedom),
    )
    unit = parts[0][1].influence.unit
    keys = {unit: np.arange(len(labels))} if level == unit else {unit: np.arange(len(labels)), level: clusters}
    outcomes = list(dict.fromkeys(e.outcome for e in named.values()))
    return Estimate(
        labels=frame,
        point=np.concatenate([e.point for e in named.values()]),
        influence=Influence(np.hstack(blocks), keys, labels),
        rule=rule,
        kind="other",
        method=METHOD,
        outcome=outcomes[0] if len(outcomes) == 1 else " and ".join(outcomes[:3]) + (" …" if outcomes[3:] else ""),
        sample={"n_units": len(labels), "n_clusters": n_clusters},
        options={"estimates": list(named)},
    )


def _named(estimates: Sequence[Estimate]) -> dict[str, Estimate]:
    out: dict[str, Estimate] = {}
    for e in estimates:
        name = f"{e.outcome} ({e.method.key})"
        out[name if name not in out else f"{name} {len(out) + 1}"] = e
    return out


def _level(name: str, e: Estimate, cluster: str | None) -> str:
    if cluster is not None:
        return cluster
    unit_labels(e)
    if not isinstance(e.rule, Clustered) or len(e.rule.levels) != 1:
        raise DesignError(
            f"{name}: joint inference needs clustering by one level; it has {e.rule.label}. Pass cluster="
        )
    return e.rule.levels[0]


def _factor(e: Estimate, level: str, n_clusters: int) -> float:
    """Small-sample factor of the estimate's own rule, or G/(G − 1) when it clusters otherwise."""
    if isinstance(e.rule, Clustered) and e.rule.levels == (level,):
        return e.rule.factor()
    return n_clusters / (n_clusters - 1)


def _freedom(e: Estimate, level: str, n_clusters: int) -> float:
    """Degrees of freedom of the estimate's own rule, or G − 1 when it clusters otherwise; normal stays normal."""
    own = isinstance(e.rule, Clustered) and e.rule.levels == (level,)
    return e.df if own or not np.isfinite(e.df) else float(n_clusters - 1)


def _by_unit(name: str, e: Estimate, level: str) -> tuple[np.ndarray, pd.Index, np.ndarray]:
    """Influence summed by unit, unit labels and cluster codes by unit."""
    codes = e.influence.codes(e.influence.unit)
    cluster = e.influence.codes(level)
    of_unit = np.zeros(int(codes.max()) + 1, dtype=np.int64)
    of_unit[codes] = cluster
    if (of_unit[codes] != cluster).any():
        raise DesignError(f"{name}: clusters {level!r} cut across units; joint inference needs units within clusters")
    return e.influence.sums(codes), unit_labels(e), of_unit


@dataclass(frozen=True)
class MultipleTests(Shown):
    """Corrected p-values of several estimates.

    Attributes
    ----------
    frame
        One row per parameter: ``term``, ``outcome``, ``estimate``, ``std_error``, ``statistic``, ``p_value``,
        ``p_value_holm``, ``p_value_romano_wolf``.
    estimate
        The joint estimate (covariance across all of them, ``.test()``, ``.bands()``).
    wald
        Joint test that all are zero; None when their covariance is singular.
    draws, seed
        Multiplier bootstrap of the Romano–Wolf step-down.
    """

    frame: pd.DataFrame
    estimate: Estimate
    wald: WaldTest | None
    draws: int
    seed: int

    def _table(self) -> pd.DataFrame:
        return self.frame


@documented()
def multiple_testing(
    estimates: Mapping[str, Estimate] | Sequence[Estimate],
    *,
    term: str | int | None = None,
    cluster: str | None = None,
    draws: int = 9999,
    seed: int = 287,
    multipliers: Multiplier = "rademacher",
) -> MultipleTests:
    """Correct the p-values of several estimates for multiple testing.

    Holm's correction holds under any dependence. Romano and Wolf's step-down uses the dependence: in each step the
    null distribution of the largest ``|t|`` among the hypotheses not yet passed, from multiplier draws of the joint
    influence functions; adjusted p = (1 + #{max ``|t*| ≥ |t|``})/(1 + draws), made monotone.

    Parameters
    ----------
    estimates
        Names → estimates, or a list. Family-wise error is controlled over all their parameters.
    term
        Take only this parameter of each.
    cluster
        Cluster level, when the estimates' own differ.

    References
    ----------
    Romano and Wolf (2005, 2016); Holm (1979).
    """
    estimates = [estimates] if isinstance(estimates, Estimate) else estimates
    named = dict(estimates) if isinstance(estimates, Mapping) else _named(estimates)
    if term is not None:
        named = {n: e.select([e.terms[position(e, term)]]) for n, e in named.items()}
    whole = joint(named, cluster=cluster)
    se = whole.se.to_numpy()
    t = whole.point / se
    frame = whole.labels[["term", "outcome"]].copy()
    frame["estimate"], frame["std_error"], frame["statistic"] = whole.point, se, t
    frame["p_value"] = whole.p_values().to_numpy()
    frame["p_value_holm"] = holm(frame["p_value"]).to_numpy()
    frame["p_value_romano_wolf"] = romano_wolf(whole, draws=draws, seed=seed, multipliers=multipliers)
    try:
        wald = whole.test(np.isfinite(se))
    except DesignError:
        wald = None
    return MultipleTests(frame, whole, wald, draws, seed)


@documented()
def romano_wolf(
    est: Estimate, *, draws: int = 9999, seed: int = 287, multipliers: Multiplier = "rademacher"
) -> np.ndarray:
    """Romano–Wolf step-down adjusted p-values of all parameters of ``est`` being zero, (k,).

    The null distribution is that of :func:`~g287stats.estimate.bootstrap.null_draws`; an adjusted p-value is never
    below the unadjusted one.
    """
    se = est.se.to_numpy()
    known = np.flatnonzero(np.isfinite(se))
    t = np.abs(est.point[known] / se[known])
    order = np.argsort(-t, kind="stable")
    counts = np.zeros(len(known))
    total = 0
    for chunk in null_draws(est, draws=draws, seed=seed, multipliers=multipliers):
        starred = np.abs(chunk[:, known] / se[known])[:, order]
        largest = np.maximum.accumulate(starred[:, ::-1], axis=1)[:, ::-1]  # max over this and later hypotheses
        counts += (largest >= t[order] * (1 - 1e-12)).sum(axis=0)
        total += len(chunk)
    single = est.p_values().to_numpy()[known[order]]
    stepped = np.maximum.accumulate(np.maximum((1 + counts) / (1 + total), single))
    out = np.full(len(se), np.nan)
    out[known[order]] = stepped
    return out
