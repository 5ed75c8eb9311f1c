"""Instrumental variables with fixed effects: two-stage least squares, strength and weak-instrument inference."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from g287stats.did.design import prepare
from g287stats.did.regression import Block, Regression, absorb_design, regress
from g287stats.errors import DesignError, IdentificationError, InferenceWarning
from g287stats.inference.covariance import Influence, SmallSample
from g287stats.inference.estimate import Estimate, Method
from g287stats.numerics.least_squares import LeastSquares

METHOD = Method(
    "iv_did",
    "Instrumented two-way fixed effects (2SLS)",
    (
        "Angrist, J. D. and Imbens, G. W. (1995). Two-stage least squares estimation of average causal effects in "
        "models with variable treatment intensity. Journal of the American Statistical Association 90(430), 431–442.",
        "Montiel Olea, J. L. and Pflueger, C. (2013). A robust test for weak instruments. Journal of Business & "
        "Economic Statistics 31(3), 358–369.",
        "Anderson, T. W. and Rubin, H. (1949). Estimation of the parameters of a single equation in a complete system "
        "of stochastic equations. Annals of Mathematical Statistics 20(1), 46–63.",
    ),
)


def iv_did(
    data: Any,
    outcome: str,
    *,
    treatment: str,
    instruments: str | Sequence[str],
    unit: str | None = None,
    time: str | None = None,
    covariates: Sequence[str] = (),
    fixed_effects: Sequence[str | tuple[str, ...]] = (),
    weights: str | None = None,
    cluster: str | Sequence[str] | None = None,
    small_sample: SmallSample = "nonnested",
    level: float = 0.95,
) -> Estimate:
    """Two-stage least squares of the outcome on an instrumented treatment, with unit and period effects.

        y_it = τ D_it + x_it'β + α_i + λ_t + ε_it,    D_it = z_it'π + x_it'γ + a_i + l_t + v_it

    τ averages the effects of treatment on units whose treatment the instruments move, if the instruments are as good as
    random given the effects and covariates (in a difference-in-differences: outcome and treatment would have moved in
    parallel across values of z), reach the outcome through D only, and move D in one direction.

    Parameters
    ----------
    treatment
        The endogenous column; it may be continuous.
    instruments
        One column or more.
    covariates, fixed_effects, weights, cluster, small_sample
        As in :func:`g287stats.did.twfe.twfe`.
    level
        Of the Anderson–Rubin confidence set.

    Returns
    -------
    Estimate
        One parameter. ``sample["first_stage"]``: coefficients with standard errors, robust ``F`` and ``p_value``,
        ``effective_F`` (Montiel Olea and Pflueger; equal to F for one instrument). ``sample["anderson_rubin"]``:
        ``p_value`` of τ = 0, valid however weak the instruments, and with one instrument the ``set`` of values not
        rejected (an interval, two rays, or everything). ``sample["overidentification"]`` (several instruments):
        Sargan's statistic, which presumes homoskedastic errors. The projection is ours, two-stage least squares
        ``linearmodels``'.

    Raises
    ------
    IdentificationError
        Instruments or covariates that are combinations, by name; instruments that do not move the treatment at all.
    """
    names = (instruments,) if isinstance(instruments, str) else tuple(dict.fromkeys(instruments))
    if not names or treatment in names:
        raise DesignError(f"instruments={names}: name at least one column other than the treatment")
    design = prepare(
        data, outcome, unit=unit, time=time, covariates=(treatment, *names, *covariates), weights=weights,
        cluster=cluster, fixed_effects=fixed_effects,
    )  # fmt: skip
    d, z = design.covariates[:, 0], design.covariates[:, 1 : 1 + len(names)]
    projection = absorb_design(design)
    stage = {
        name: regress(design, [Block(names, columns=z)], covariates=covariates, y=y, projection=projection)
        for name, y in (("first", d), ("reduced", design.y))
    }
    fits = {
        k: f.estimate(names, kind="other", method=METHOD, cluster=cluster, small_sample=small_sample)
        for k, f in stage.items()
    }
    left = projection.residualize(np.column_stack([design.y, d, z, design.covariates[:, 1 + len(names) :]]))
    y, x, instrument, controls = left[:, 0], left[:, 1], left[:, 2 : 2 + len(names)], left[:, 2 + len(names) :]
    fitted = x - stage["first"].fit.residual
    moved = float(np.var(fitted)) / max(float(np.var(x)), np.finfo(float).tiny)
    if moved < 1e-14:
        raise IdentificationError(f"{', '.join(names)} do not move {treatment!r} at all given the effects")
    beta, overid = _two_stage(y, x, instrument, controls, design.weights)
    dense = np.column_stack([fitted, controls])
    w = np.ones(design.n) if design.weights is None else design.weights
    bread = np.linalg.inv((dense * w[:, None]).T @ dense)
    residual = y - np.column_stack([x, controls]) @ beta
    fit = LeastSquares(projection, (), dense, beta, bread, residual, None)
    second = Regression(design, projection, fit, (treatment, *covariates), design.y)

    first = fits["first"]
    wald = first.test()
    v = first.cov().to_numpy()
    q = np.linalg.inv(stage["first"].fit.bread[: len(names), : len(names)])
    effective = float(first.point @ q @ first.point / np.trace(v @ q))
    notes = []
    if effective < 10:
        notes.append(
            f"weak instruments: effective first-stage F = {effective:.1f} < 10; standard errors of 2SLS are "
            "unreliable, use the Anderson–Rubin test in sample['anderson_rubin']"
        )
        warnings.warn(f"{outcome}: {notes[0]}", InferenceWarning, stacklevel=2)
    estimate = second.estimate(
        [treatment], kind="static", method=METHOD, cluster=cluster, small_sample=small_sample, notes=notes,
        options={"instruments": names, "covariates": tuple(covariates), "weights": weights},
    )  # fmt: skip
    facts = {
        "first_stage": {
            "table": pd.DataFrame({"instrument": names, "estimate": first.point, "std_error": first.se.to_numpy()}),
            "F": wald.statistic / len(names),
            "p_value": wald.p_value,
            "effective_F": effective,
        },
        "anderson_rubin": {"p_value": fits["reduced"].test().p_value},
    }
    if len(names) == 1:
        facts["anderson_rubin"] |= {"level": level, "set": _fieller(first, fits["reduced"], level)}
    else:
        facts["overidentification"] = overid
    return replace(estimate, sample={**estimate.sample, **facts})


def _two_stage(
    y: np.ndarray, x: np.ndarray, z: np.ndarray, controls: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, dict[str, float]]:
    """Coefficients of x and the controls by linearmodels, and Sargan's overidentification test."""
    from linearmodels.iv import IV2SLS

    exog = controls if controls.shape[1] else None
    fit: Any = IV2SLS(y, exog, x, z, weights=weights).fit(cov_type="unadjusted")
    params = fit.params.to_numpy()
    overid = {}
    if z.shape[1] > 1:
        overid = {"sargan": float(fit.sargan.stat), "df": int(fit.sargan.df), "p_value": float(fit.sargan.pval)}
    return np.r_[params[-1], params[:-1]], overid


def _fieller(first: Estimate, reduced: Estimate, level: float) -> tuple[tuple[float, float], ...]:
    """Values b for which (reduced form − b · first stage) is not rejected: one or two intervals."""
    both = Influence(np.hstack([reduced.influence.psi, first.influence.psi]), first.influence.keys)
    v = first.rule.matrix(both)
    r, f = float(reduced.point[0]), float(first.point[0])
    c = first.critical_value(level) ** 2
    # (r − b f)² ≤ c (v00 − 2 b v01 + b² v11)  ⇔  a b² − 2 h b + k ≤ 0
    a, h, k = f * f - c * v[1, 1], r * f - c * v[0, 1], r * r - c * v[0, 0]
    inside = h * h - a * k
    if inside <= 0:
        return ((-np.inf, np.inf),)
    low, high = sorted(((h - np.sqrt(inside)) / a, (h + np.sqrt(inside)) / a))
    return ((low, high),) if a > 0 else ((-np.inf, low), (high, np.inf))
