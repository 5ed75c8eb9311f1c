"""One two-group, two-period comparison of repeated cross sections (Sant'Anna and Zhao 2020).

Rows are observations: ``y`` the outcome, ``post`` period, ``d`` group, ``x`` regressors (first one constant), ``w``
weights. With weighted means over the treated (t₁ = w d post, t₀ = w d (1 − post), t = w d) and over controls
reweighted by the odds o of the propensity (k₁ = w o (1 − d) post, k₀ = w o (1 − d)(1 − post)),

    reg   att = t₁y − t₀y − t(c₁ − c₀)
    ipw   att = t₁y − t₀y − (k₁y − k₀y)
    dr    att = t₁(y − c₁) − t₀(y − c₀) − (k₁(y − c₁) − k₀(y − c₀))
                + t(a₁ − c₁) − t₁(a₁ − c₁) − (t(a₀ − c₀) − t₀(a₀ − c₀))      locally efficient

where c₁, c₀ (a₁, a₀) are least-squares predictions fitted on controls (treated) after and before. The influence
function is the derivative of the estimate in each row's weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from g287stats.numerics.glm import deficient, shared_logits

Method = Literal["dr", "ipw", "reg"]


@dataclass(frozen=True)
class CrossSection:
    """Estimate ``att``, influence ``psi`` (n,) with att − truth ≈ Σ psi, and the overlap of the comparison.

    ``problem`` is empty, or says why the comparison is not identified (``att`` is then NaN).
    """

    att: float
    psi: np.ndarray
    max_propensity: float = 0.0
    effective_controls: float = 0.0
    problem: Literal["", "empty", "collinear", "separated"] = ""


def compare(
    y: np.ndarray, post: np.ndarray, d: np.ndarray, x: np.ndarray, w: np.ndarray, method: Method
) -> CrossSection:
    """Estimate one comparison; ``x`` is (p, n), ``post`` and ``d`` are boolean."""
    n, p = len(y), len(x)
    cells = {"t1": d & post, "t0": d & ~post, "c1": ~d & post, "c0": ~d & ~post}

    def refuse(problem: Literal["empty", "collinear", "separated"]) -> CrossSection:
        return CrossSection(np.nan, np.zeros(n), problem=problem)

    if not all(rows.any() for rows in cells.values()):
        return refuse("empty")
    psi = np.zeros(n)
    weights = {"t1": w * cells["t1"], "t0": w * cells["t0"], "t": w * d}

    def mean(values: np.ndarray, name: str, sign: float) -> float:
        """Weighted mean; its influence, times ``sign``, is added to psi."""
        weight = weights[name]
        total = weight.sum()
        centre = float(weight @ values / total)
        psi[:] += sign * weight * (values - centre) / total
        return sign * centre

    def mean_x(name: str) -> np.ndarray:
        return x @ weights[name] / weights[name].sum()

    prediction: dict[str, np.ndarray] = {}
    residual: dict[str, np.ndarray] = {}
    if method != "ipw":
        fits = {"c1": cells["c1"], "c0": cells["c0"]}
        if method == "dr" and p > 1:
            fits |= {"a1": cells["t1"], "a0": cells["t0"]}
        grams = {k: (x[:, rows] * w[rows]) @ x[:, rows].T for k, rows in fits.items()}
        if deficient(np.array(list(grams.values())), 1e-12).any():
            return refuse("collinear")
        for k, rows in fits.items():
            beta = np.linalg.solve(grams[k], (x[:, rows] * w[rows]) @ y[rows])
            prediction[k] = beta @ x
            residual[k] = np.where(rows, y - prediction[k], 0.0)

    def add_regression(name: str, slope: np.ndarray) -> None:
        """Add ``slope`` · influence of the coefficients of regression ``name``."""
        psi[:] += w * residual[name] * (np.linalg.solve(grams[name], slope) @ x)

    if method == "reg":
        change = prediction["c1"] - prediction["c0"]
        att = mean(y, "t1", 1) + mean(y, "t0", -1) + mean(change, "t", -1)
        add_regression("c1", -mean_x("t"))
        add_regression("c0", mean_x("t"))
        share = w[d].sum() / w.sum()
        return CrossSection(att, psi, share, _kish(w[cells["c1"]]))

    treated = np.flatnonzero(d)
    fitted = shared_logits(x, w, n, np.zeros(len(treated), dtype=int), treated, 1)
    if fitted.separated[0]:
        return refuse("separated")
    odds = np.exp(fitted.coef[0] @ x)
    prob = odds / (1 + odds)
    hessian = (x * (w * prob * (1 - prob))) @ x.T
    weights |= {"k1": w * odds * cells["c1"], "k0": w * odds * cells["c0"]}
    r1 = y - prediction["c1"] if method == "dr" else y
    r0 = y - prediction["c0"] if method == "dr" else y
    att = mean(r1, "t1", 1) + mean(r0, "t0", -1) + mean(r1, "k1", -1) + mean(r0, "k0", 1)
    centred = [
        (weights[k] * (r - weights[k] @ r / weights[k].sum())) / weights[k].sum() for k, r in (("k1", r1), ("k0", r0))
    ]
    slope = -(x @ centred[0]) + x @ centred[1]
    psi += w * (d - prob) * (np.linalg.solve(hessian, slope) @ x)
    if method == "dr" and p > 1:  # with a constant alone these terms are identically zero
        gap1, gap0 = prediction["a1"] - prediction["c1"], prediction["a0"] - prediction["c0"]
        att += mean(gap1, "t", 1) + mean(gap1, "t1", -1) + mean(gap0, "t", -1) + mean(gap0, "t0", 1)
        add_regression("a1", mean_x("t") - mean_x("t1"))
        add_regression("a0", mean_x("t0") - mean_x("t"))
        add_regression("c1", mean_x("k1") - mean_x("t"))
        add_regression("c0", mean_x("t") - mean_x("k0"))
    return CrossSection(att, psi, float(prob[~d].max()), min(_kish(weights["k1"]), _kish(weights["k0"])))


def _kish(weight: np.ndarray) -> float:
    """Effective number of observations behind a weighted mean."""
    return float(weight.sum() ** 2 / (weight @ weight))
