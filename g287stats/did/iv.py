"""Instrumental variables with fixed effects: two-stage least squares, strength and weak-instrument inference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg, stats

from g287stats.arguments import documented
from g287stats.design.keys import Data
from g287stats.design.prepare import Design, prepare
from g287stats.errors import DesignError, IdentificationError, InferenceWarning, caution
from g287stats.estimate.covariance import Clustered, Influence, SmallSample
from g287stats.estimate.estimate import Estimate, Method
from g287stats.numerics.least_squares import LeastSquares
from g287stats.numerics.within import Projection
from g287stats.regression.event import chosen_options
from g287stats.regression.fitted import regression_of
from g287stats.regression.regression import Block, Regression, absorb_design, regress, row_keys

METHOD = Method(
    "iv_did",
    "Instrumented two-way fixed effects (2SLS)",
    (
        "Angrist, J. D. and Imbens, G. W. (1995). Two-stage least squares estimation of average causal effects in "
        "models with variable treatment intensity. Journal of the American Statistical Association 90(430), 431–442. "
        "doi:10.1080/01621459.1995.10476535",
        "Montiel Olea, J. L. and Pflueger, C. (2013). A robust test for weak instruments. Journal of Business & "
        "Economic Statistics 31(3), 358–369. doi:10.1080/00401706.2013.806694",
        "Sanderson, E. and Windmeijer, F. (2016). A weak instrument F-test in linear IV models with multiple "
        "endogenous variables. Journal of Econometrics 190(2), 212–221. doi:10.1016/j.jeconom.2015.06.004",
        "Anderson, T. W. and Rubin, H. (1949). Estimation of the parameters of a single equation in a complete system "
        "of stochastic equations. Annals of Mathematical Statistics 20(1), 46–63. doi:10.1214/aoms/1177730090",
        "Hansen, L. P. (1982). Large sample properties of generalized method of moments estimators. Econometrica "
        "50(4), 1029–1054. doi:10.2307/1912775",
    ),
)
FIRST = Method("iv_first_stage", "First stage of instrumented two-way fixed effects", METHOD.references)
REDUCED = Method("iv_reduced_form", "Reduced form of instrumented two-way fixed effects", METHOD.references)


@documented()
def iv_did(
    data: Data,
    outcome: str,
    *,
    treatment: str | Sequence[str],
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
    """Two-stage least squares of the outcome on instrumented treatments, with unit and period effects.

        y_it = D_it'τ + x_it'β + α_i + λ_t + ε_it,    D_it = Π z_it + Γ x_it + a_i + l_t + v_it

    With one treatment τ averages its effects on units whose treatment the instruments move, if the instruments are as
    good as random given the effects and covariates (in a difference-in-differences: outcome and treatment would have
    moved in parallel across values of z), reach the outcome through D only, and move D in one direction. With several
    treatments that reading needs constant effects.

    Parameters
    ----------
    treatment
        The endogenous column, or several; they may be continuous.
    instruments
        Columns, at least as many as treatments.
    level
        Of the Anderson–Rubin confidence set.

    Returns
    -------
    Estimate
        One parameter per treatment, named after it. ``sample`` has

        ``first_stage``: an Estimate per treatment, the instruments' coefficients; ``reduced_form``: the Estimate of the
        outcome on the instruments.

        ``strength``: a row per treatment with the robust ``F`` of the instruments and its ``p_value``; ``partial_r2``;
        ``conditional_F`` (Sanderson and Windmeijer: what is left for this treatment once the instruments have served
        the others; equal to F for one treatment) with ``p_value_conditional``; and for one treatment ``effective_F``
        (Montiel Olea and Pflueger; equal to F for one instrument).

        ``anderson_rubin``: ``p_value`` of τ = 0, valid however weak the instruments, and for one treatment the ``set``
        of values not rejected, a row with ``conf_low`` and ``conf_high`` per interval: one, two rays, everything, or,
        with more instruments than treatments, nothing.

        ``overidentification`` (more instruments than treatments): Hansen's ``J`` of two-step GMM with the clusters of
        the estimate, ``df``, ``p_value``; ``sargan`` and ``p_value_sargan`` presume homoskedastic errors.

        The projection is ours, two-stage least squares ``linearmodels``'.

    Raises
    ------
    DesignError
        Fewer instruments than treatments, or a column that is both.
    IdentificationError
        Instruments or covariates that are combinations, by name; instruments that do not move a treatment at all, or
        move several only together.
    """
    endogenous = (treatment,) if isinstance(treatment, str) else tuple(dict.fromkeys(treatment))
    names = (instruments,) if isinstance(instruments, str) else tuple(dict.fromkeys(instruments))
    if not endogenous or not names or set(endogenous) & set(names):
        raise DesignError(f"instruments={names}: name at least one column other than the treatment {endogenous}")
    m, n_z = len(endogenous), len(names)
    if n_z < m:
        raise DesignError(f"{m} treatments ({', '.join(endogenous)}) need {m} instruments or more; given {names}")
    design = prepare(
        data,
        outcome,
        unit=unit,
        time=time,
        covariates=(*endogenous, *names, *covariates),
        weights=weights,
        cluster=cluster,
        fixed_effects=fixed_effects,
    )
    d, z = design.covariates[:, :m], design.covariates[:, m : m + n_z]
    projection = absorb_design(design)

    def stage(y: np.ndarray, name: str, method: Method) -> Estimate:
        on = replace(design, y=np.ascontiguousarray(y), outcome=name)
        fit = regress(on, [Block(names, columns=z)], covariates=covariates, projection=projection)
        return fit.estimate(names, kind="other", method=method, cluster=cluster, small_sample=small_sample)

    first = {name: stage(column, name, FIRST) for name, column in zip(endogenous, d.T)}
    reduced = stage(design.y, outcome, REDUCED)
    left = projection.residualize(np.column_stack([design.y, design.covariates]))
    y, x, instrument, controls = left[:, 0], left[:, 1 : 1 + m], left[:, 1 + m : 1 + m + n_z], left[:, 1 + m + n_z :]
    fitted = x - np.column_stack([regression_of(first[name], "a first stage").fit.residual for name in endogenous])
    moved = np.column_stack([fitted, controls])
    bread = _bread(projection, x, moved, controls, endogenous, names, design.absorbed)
    beta = _second_stage(projection, y, x, instrument, controls)
    residual = y - np.column_stack([x, controls]) @ beta
    fit = LeastSquares(projection, (), moved, beta, bread, residual, None)
    second = Regression(design, projection, fit, (*endogenous, *covariates), design.y, "instrumented")
    strength = _strength(first, stage, d, x, fitted, controls, projection)
    notes = _weakness(strength)
    rubin: dict[str, Any] = {"p_value": reduced.test().p_value}
    if m == 1:
        rubin |= {"level": level, "set": _anderson_rubin(first[endogenous[0]], reduced, level)}
        if rubin["set"].empty:
            notes.append(f"the Anderson–Rubin set is empty: at {level:g} no effect agrees with every instrument")
    for note in notes:
        caution(
            f"{outcome}: {note}",
            InferenceWarning,
        )
    estimate = second.estimate(
        endogenous,
        kind="static",
        method=METHOD,
        cluster=cluster,
        small_sample=small_sample,
        notes=notes,
        options={"instruments": names, **chosen_options(covariates, (), fixed_effects, False, weights)},
    )
    facts: dict[str, Any] = {
        "n_treated": int((np.bincount(design.unit, (d != 0).any(axis=1), design.n_units) > 0).sum()),
        "first_stage": first,
        "reduced_form": reduced,
        "strength": strength,
        "anderson_rubin": rubin,
    }
    if n_z > m:
        off = _off(projection, instrument, controls)
        facts["overidentification"] = _hansen(design, estimate, y, x, off, residual, n_z - m)
        facts["overidentification"] |= _sargan(projection, off, residual, n_z - m)
    return replace(estimate, sample={**estimate.sample, **facts})


def _cross(projection: Projection, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    w = projection.weights
    return (a if w is None else a * w[:, None]).T @ b


def _second_stage(
    projection: Projection, y: np.ndarray, x: np.ndarray, z: np.ndarray, controls: np.ndarray
) -> np.ndarray:
    """Coefficients of x and the controls by linearmodels.

    It gets the triangular factor of the projected columns, a handful of rows with the cross products of all rows.
    """
    from linearmodels.iv import IV2SLS

    columns = np.column_stack([y, x, z, controls])
    if projection.weights is not None:
        columns *= np.sqrt(projection.weights)[:, None]
    size = np.sqrt(np.einsum("ij,ij->j", columns, columns))
    scale = np.where(size > 0, size, 1.0)
    r = np.linalg.qr(columns / scale, mode="r")
    ends = np.cumsum([1, x.shape[1], z.shape[1]])
    dependent, endogenous, instruments, exogenous = np.split(r, ends, axis=1)
    model = IV2SLS(dependent, exogenous if exogenous.shape[1] else None, endogenous, instruments)
    params = model.fit(cov_type="unadjusted").params.to_numpy() * scale[0]
    m = x.shape[1]
    return np.r_[params[-m:], params[:-m]] / np.r_[scale[1 : 1 + m], scale[ends[-1] :]]


def _off(projection: Projection, a: np.ndarray, controls: np.ndarray) -> np.ndarray:
    """Columns (n, k) off the controls."""
    if not controls.shape[1]:
        return a
    slopes = np.linalg.solve(_cross(projection, controls, controls), _cross(projection, controls, a))
    return np.asarray(a - controls @ slopes)


def _bread(
    projection: Projection,
    x: np.ndarray,
    moved: np.ndarray,
    controls: np.ndarray,
    endogenous: tuple[str, ...],
    names: tuple[str, ...],
    absorbed: str,
) -> np.ndarray:
    """Inverse cross product of ``moved``: fitted treatments, then controls.

    Treatments that are not moved apart are an error.
    """
    size = np.sqrt(np.diag(_cross(projection, x, x)))
    own = _off(projection, moved[:, : len(endogenous)], controls) / np.where(size > 0, size, 1.0)
    gram = _cross(projection, own, own)
    still = [name for name, square in zip(endogenous, np.diag(gram)) if square < 1e-14]
    if still:
        raise IdentificationError(
            f"{', '.join(names)} do not move {', '.join(map(repr, still))} at all given the fixed effects ({absorbed})"
        )
    scale = 1 / np.sqrt(np.diag(gram))
    if np.linalg.eigvalsh(gram * scale[:, None] * scale)[0] < 1e-12:
        raise IdentificationError(
            f"{', '.join(names)} move {' and '.join(endogenous)} only together, so their effects cannot be told apart"
        )
    gram = _cross(projection, moved, moved)
    scale = 1 / np.sqrt(np.diag(gram))
    return np.asarray(np.linalg.inv(gram * scale[:, None] * scale) * scale[:, None] * scale)


def _strength(
    first: dict[str, Estimate],
    stage: Callable[[np.ndarray, str, Method], Estimate],
    d: np.ndarray,
    x: np.ndarray,
    fitted: np.ndarray,
    controls: np.ndarray,
    projection: Projection,
) -> pd.DataFrame:
    """How well the instruments move each treatment, alone and given the others."""
    rows, m = [], len(first)
    own, all_of_it = _off(projection, fitted, controls), _off(projection, x, controls)
    for j, (name, estimate) in enumerate(first.items()):
        wald, n_z = estimate.test(), len(estimate.point)
        row = {"treatment": name, "F": wald.statistic / n_z, "p_value": wald.p_value}
        moved, whole = (float(_cross(projection, a[:, [j]], a[:, [j]])[0, 0]) for a in (own, all_of_it))
        row["partial_r2"] = moved / whole
        row |= {"conditional_F": row["F"], "p_value_conditional": row["p_value"]}
        if m == 1:
            v = estimate.cov().to_numpy()
            q = np.linalg.inv(regression_of(estimate, "a first stage").fit.bread[:n_z, :n_z])
            row["effective_F"] = float(estimate.point @ q @ estimate.point / np.trace(v @ q))
        else:
            rest = np.arange(m) != j
            served = np.linalg.solve(
                _cross(projection, own[:, rest], own[:, rest]), _cross(projection, own[:, rest], own[:, [j]])
            )
            test = stage(d[:, j] - d[:, rest] @ served[:, 0], name, FIRST).test()
            free = n_z - m + 1
            f = test.statistic / free
            p = stats.chi2.sf(test.statistic, free) if np.isinf(test.df) else stats.f.sf(f, free, test.df)
            row |= {"conditional_F": f, "p_value_conditional": float(p)}
        rows.append(row)
    return pd.DataFrame(rows)


def _weakness(strength: pd.DataFrame) -> list[str]:
    """A note when an effective or conditional F is below 10."""
    column = "effective_F" if len(strength) == 1 else "conditional_F"
    weak = strength[strength[column] < 10]
    if weak.empty:
        return []
    named = ", ".join(
        f"{f:.1f}" if len(strength) == 1 else f"{t}: {f:.1f}" for t, f in zip(weak["treatment"], weak[column])
    )
    return [
        f"weak instruments: {column.split('_')[0]} first-stage F = {named} < 10; standard errors of 2SLS are "
        "unreliable, use the Anderson–Rubin test in sample['anderson_rubin']"
    ]


def _hansen(
    design: Design, estimate: Estimate, y: np.ndarray, x: np.ndarray, z: np.ndarray, residual: np.ndarray, df: int
) -> dict[str, float]:
    """Hansen's J: two-step GMM weighted by the clustered covariance of the instruments' moments at 2SLS."""
    w = np.ones(len(y)) if design.weights is None else design.weights
    rule = estimate.rule
    assert isinstance(rule, Clustered)
    moments = rule.matrix(Influence(z * (w * residual)[:, None], row_keys(design))) / rule.factor()
    g_y, g_x = z.T @ (w * y), z.T @ (x * w[:, None])
    size = np.sqrt(np.diag(moments))
    scale = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
    correlation = moments * scale[:, None] * scale
    rank = int(np.linalg.matrix_rank(correlation, hermitian=True))
    if rank < len(moments):
        raise DesignError(
            f"{len(moments)} instruments but their clustered moments have rank {rank}: use fewer instruments"
        )
    weight = np.linalg.inv(correlation) * scale[:, None] * scale
    beta = np.linalg.solve(g_x.T @ weight @ g_x, g_x.T @ weight @ g_y)
    gap = g_y - g_x @ beta
    j = float(gap @ weight @ gap)
    return {"J": j, "df": df, "p_value": float(stats.chi2.sf(j, df))}


def _sargan(projection: Projection, z: np.ndarray, residual: np.ndarray, df: int) -> dict[str, float]:
    """Sargan's statistic: n times the share of the squared residuals of 2SLS that the instruments explain."""
    g = _cross(projection, z, residual)
    explained = g @ np.linalg.solve(_cross(projection, z, z), g)
    statistic = float(len(residual) * explained / projection.inner(residual, residual))
    return {"sargan": statistic, "p_value_sargan": float(stats.chi2.sf(statistic, df))}


def _anderson_rubin(first: Estimate, reduced: Estimate, level: float) -> pd.DataFrame:
    """Values b for which (reduced form − b · first stage) is not rejected: intervals in order, exact.

    With r, f the coefficients and V(b) the covariance of r − b f, the test accepts where (r − bf)'V(b)⁻¹(r − bf) ≤ c.
    The border is where the matrix [c, (r − bf)'; r − bf, V(b)] is singular, a quadratic eigenvalue problem in b.
    """
    k = len(first.point)
    both = Influence(np.hstack([reduced.influence.psi, first.influence.psi]), first.influence.keys)
    v = first.rule.matrix(both)
    scale = np.sqrt(np.trace(v[:k, :k]) / np.trace(v[k:, k:]))  # b in units in which both are of one size
    unit = np.trace(v[:k, :k]) / k
    r, f = reduced.point / np.sqrt(unit), first.point * scale / np.sqrt(unit)
    v00, v11, v01 = v[:k, :k] / unit, v[k:, k:] * scale**2 / unit, (v[:k, k:] + v[:k, k:].T) * scale / unit
    c = float(k * stats.f.ppf(level, k, first.df)) if np.isfinite(first.df) else float(stats.chi2.ppf(level, k))

    def accepted(b: float) -> bool:
        gap, at = r - b * f, v00 - b * v01 + b * b * v11
        try:
            return bool(gap @ np.linalg.solve(at, gap) <= c)
        except np.linalg.LinAlgError:  # no error at all: only the exact value is accepted
            return not gap.any()

    zero = np.zeros((k + 1, k + 1))
    m0, m1, m2 = zero.copy(), zero.copy(), zero.copy()
    m0[0, 0], m0[0, 1:], m0[1:, 0], m0[1:, 1:] = c, r, r, v00
    m1[0, 1:], m1[1:, 0], m1[1:, 1:] = -f, -f, -v01
    m2[1:, 1:] = v11
    eye = np.eye(k + 1)
    found = linalg.eig(np.block([[zero, eye], [-m0, -m1]]), linalg.block_diag(eye, m2), right=False)
    found = found[np.isfinite(found)]
    roots = np.unique(found.real[np.abs(found.imag) <= 1e-7 * (1 + np.abs(found))])
    ends = np.r_[-np.inf, roots, np.inf]
    out: list[tuple[float, float]] = []
    for low, high in pairwise(ends.tolist()):
        if not accepted(_between(low, high)):
            continue
        if out and out[-1][1] == low * scale:
            out[-1] = (out[-1][0], float(high * scale))
        else:
            out.append((float(low * scale), float(high * scale)))
    return pd.DataFrame(out, columns=["conf_low", "conf_high"], dtype=float)


def _between(low: float, high: float) -> float:
    if np.isinf(low) and np.isinf(high):
        return 0.0
    if np.isinf(low):
        return high - 1 - abs(high)
    return low + 1 + abs(low) if np.isinf(high) else (low + high) / 2
