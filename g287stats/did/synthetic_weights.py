"""Weights, effects and recomputed estimates of synthetic control and synthetic DiD, on units × periods arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np

from g287stats.numerics.simplex import simplex_least_squares

Kind = Literal["sdid", "sc", "did"]


@dataclass(frozen=True)
class Block:
    """One cohort: its treated and control rows, first treated position, unit, time and predictor weights."""

    cohort: int
    treated: np.ndarray
    controls: np.ndarray
    omega: np.ndarray
    lam: np.ndarray
    v: np.ndarray | None = None

    def gap(self, y: np.ndarray) -> np.ndarray:
        """Treated minus synthetic by period, net of the weighted earlier gap."""
        raw = y[self.treated].mean(0) - self.omega @ y[self.controls]
        return raw - self.lam @ raw[: self.cohort]


Fitter = Callable[[np.ndarray, np.ndarray, int], Block]
"""Treated rows, control rows, first treated position → fitted block."""


def block(y: np.ndarray, treated: np.ndarray, controls: np.ndarray, cohort: int, kind: Kind) -> Block:
    """Fit the weights of one cohort on ``y`` (units × periods): synthetic DiD, synthetic control or uniform."""
    n0, n_after = len(controls), y.shape[1] - cohort
    before, after = y[controls, :cohort], y[controls, cohort:]
    if kind == "did":
        return Block(cohort, treated, controls, np.full(n0, 1 / n0), np.full(cohort, 1 / cohort))
    changes = np.diff(before, axis=1)
    noise = float(np.std(changes, ddof=1)) if changes.size > 1 else 0.0
    small = (1e-6 * noise) ** 2
    goal = y[treated, :cohort].mean(0)
    if kind == "sc":
        return Block(cohort, treated, controls, simplex_least_squares(before.T, goal, ridge=small), np.zeros(cohort))
    zeta = (len(treated) * n_after) ** 0.25 * noise
    omega = simplex_least_squares(before.T, goal, ridge=zeta**2, intercept=True)
    lam = simplex_least_squares(before, after.mean(1), ridge=small, intercept=True)
    return Block(cohort, treated, controls, omega, lam)


def effects(y: np.ndarray, blocks: Sequence[Block], events: np.ndarray) -> np.ndarray:
    """Return [ATT, effect by event time]: averages over treated units (and periods, for the ATT) of the gaps."""
    total = sum(len(b.treated) * _sums(b.gap(y)[None, :], b.cohort, events)[0] for b in blocks)
    return total / sum(len(b.treated) * _counts(y.shape[1], b.cohort, events) for b in blocks)


def _sums(gaps: np.ndarray, cohort: int, events: np.ndarray) -> np.ndarray:
    """Gaps (rows × periods) added up over treated periods, then at every event time: rows × (1 + events)."""
    position = events + cohort
    inside = (position >= 0) & (position < gaps.shape[1])
    out = np.zeros((len(gaps), 1 + len(events)))
    out[:, 0] = gaps[:, cohort:].sum(1)
    out[:, 1:][:, inside] = gaps[:, position[inside]]
    return out


def _counts(n_periods: int, cohort: int, events: np.ndarray) -> np.ndarray:
    """Numbers of periods behind :func:`_sums`, (1 + events,)."""
    position = events + cohort
    return np.r_[n_periods - cohort, (position >= 0) & (position < n_periods)].astype(float)


def jackknife(y: np.ndarray, blocks: Sequence[Block], events: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave-one-unit-out estimates with the weights held (Arkhangelsky et al. 2021, algorithm 3), and the units."""
    units = np.unique(np.concatenate([np.r_[b.treated, b.controls] for b in blocks]))
    total = np.zeros((len(units), 1 + len(events)))
    mass = np.zeros_like(total)
    for one in blocks:
        n1, counts = len(one.treated), _counts(y.shape[1], one.cohort, events)
        mean, synthetic = y[one.treated].mean(0), one.omega @ y[one.controls]

        def sums(raw: np.ndarray, one: Block = one) -> np.ndarray:
            gaps = raw - (raw[:, : one.cohort] @ one.lam)[:, None]
            return _sums(gaps, one.cohort, events)

        part = np.repeat(n1 * sums((mean - synthetic)[None, :]), len(units), axis=0)
        weight = np.repeat(n1 * counts[None, :], len(units), axis=0)
        own, others = np.searchsorted(units, one.treated), np.searchsorted(units, one.controls)
        part[own] = (n1 - 1) * sums((n1 * mean - y[one.treated]) / (n1 - 1) - synthetic)
        weight[own] = (n1 - 1) * counts
        w = one.omega[:, None]
        part[others] = n1 * sums(mean - (synthetic - w * y[one.controls]) / (1 - w))
        total += part
        mass += weight
    return total / mass, units


def jackknife_df(psi: np.ndarray, units: np.ndarray, blocks: Sequence[Block], n_periods: int) -> np.ndarray:
    """Satterthwaite's degrees of freedom by parameter, (Σ_g V_g)²/Σ_g V_g²/d_g, of the jackknife variance.

    V_g is the variance that a group contributes: the treated of each cohort, with d one less than their number, and
    the controls, with d one less than the effective number (Σ c)²/Σ c² of squared weights c.
    """
    shares = np.array([len(b.treated) * (n_periods - b.cohort) for b in blocks], dtype=float)
    c = (shares / shares.sum() @ np.stack([b.omega for b in blocks])) ** 2
    groups = [(b.treated, len(b.treated) - 1.0) for b in blocks]
    groups.append((blocks[0].controls, max(1.0, c.sum() ** 2 / (c**2).sum() - 1)))
    part = np.stack([(psi[np.searchsorted(units, g)] ** 2).sum(0) for g, _ in groups])
    with np.errstate(invalid="ignore"):
        return part.sum(0) ** 2 / (part**2 / np.array([[d] for _, d in groups])).sum(0)


def rmspe_ratio(y: np.ndarray, blocks: Sequence[Block]) -> float:
    """Root mean square gap after treatment over that before, all cohorts together."""
    squares = [b.gap(y) ** 2 for b in blocks]
    before = sum(float(s[: b.cohort].sum()) * len(b.treated) for s, b in zip(squares, blocks))
    after = sum(float(s[b.cohort :].sum()) * len(b.treated) for s, b in zip(squares, blocks))
    n_before = sum(b.cohort * len(b.treated) for b in blocks)
    n_after = sum((y.shape[1] - b.cohort) * len(b.treated) for b in blocks)
    return float(np.sqrt(after / n_after) / np.sqrt(before / n_before)) if before > 0 else np.inf


def placements(n_controls: int, n_treated: int, draws: int, seed: int) -> tuple[list[np.ndarray], bool]:
    """Return the placements of the treated among the controls: all of them, or ``draws`` when they are more."""
    if comb(n_controls, n_treated) <= draws:
        return [np.array(c) for c in combinations(range(n_controls), n_treated)], True
    rng = np.random.default_rng(seed)
    if n_treated == 1:
        return list(rng.permutation(n_controls)[:draws, None]), False
    return [rng.permutation(n_controls)[:n_treated] for _ in range(draws)], False


def placebo_blocks(
    fit: Fitter, controls: np.ndarray, place: np.ndarray, treated: Mapping[int, np.ndarray]
) -> list[Block]:
    """Blocks with the controls at ``place`` in the roles of the treated, cohort sizes kept."""
    chosen = controls[place]
    stays = np.ones(len(controls), dtype=bool)
    stays[place] = False
    rest = controls[stays]
    out, start = [], 0
    for c, members in treated.items():
        out.append(fit(chosen[start : start + len(members)], rest, c))
        start += len(members)
    return out
