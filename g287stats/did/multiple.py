"""Several treatments at once, and how much each coefficient is contaminated by the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats.arguments import documented
from g287stats.design.keys import Data
from g287stats.design.prepare import Design, prepare
from g287stats.errors import DesignError, IdentificationError, choose
from g287stats.estimate.covariance import SmallSample
from g287stats.estimate.estimate import Estimate, Method
from g287stats.regression.regression import Block, Regression, regress, tell
from g287stats.regression.together import together, unit_codes

METHOD = Method(
    "multiple_treatments",
    "Several treatments with two-way fixed effects",
    (
        "Goldsmith-Pinkham, P., Hull, P. and Kolesár, M. (2024). Contamination bias in linear regressions. "
        "American Economic Review 114(12), 4015–4051. doi:10.1257/aer.20221116",
        "de Chaisemartin, C. and D'Haultfœuille, X. (2023). Two-way fixed effects and differences-in-differences "
        "estimators with several treatments. Journal of Econometrics 236(2), 105480.",
    ),
)


@documented()
def multiple_treatments(
    data: Data,
    outcome: str,
    treatments: Sequence[str],
    *,
    unit: str | None = None,
    time: str | None = None,
    method: Literal["regression", "one_at_a_time"] = "regression",
    coding: Literal["additive", "exclusive"] = "additive",
    covariates: Sequence[str] = (),
    fixed_effects: Sequence[str | tuple[str, ...]] = (),
    weights: str | None = None,
    cluster: str | None = None,
    small_sample: SmallSample = "nonnested",
) -> Estimate:
    """Two-way fixed effects with several treatments, each coefficient's contamination shown.

        y_it = Σ_k τ_k D_k,it + x_it'β + α_i + λ_t + ε_it

    The coefficient of treatment k equals Σ_j Σ_it a_k,it D_j,it · effect_j,it with known a_k: weights on its own
    effects add up to one, weights on the effects of every other treatment add up to zero — but are not zero, so
    where another treatment's effects vary, they leak into this coefficient. ``contamination`` in ``.sample`` has one
    row per coefficient and treatment: ``weight_sum``, ``negative_sum``, ``absolute_sum``, and ``largest_leak``: the
    most that the coefficient can move when the effects of that treatment range over an interval of length one (half
    the absolute sum).

    Parameters
    ----------
    treatments
        Columns: 0/1, or numeric with ``coding="additive"``; they may switch on and off.
    method
        ``regression``: all at once; ``one_at_a_time``: each treatment on the rows without any other, which has no
        contamination by construction (rows left out are counted under ``rows``).
    coding
        ``additive``: effects of treatments in force together add up. ``exclusive``: one dummy for every combination
        that occurs (``jem``, ``tfm``, ``jem+tfm``), relative to none.
    cluster
        Column of the clusters; default the unit. ``one_at_a_time`` clusters by one level fixed within units.

    Raises
    ------
    DesignError
        Fewer than two treatments; exclusive coding of treatments other than 0/1.
    IdentificationError
        Treatments that are combinations of each other or of the fixed effects, by name.
    """
    names = list(dict.fromkeys(treatments))
    if len(names) < 2:
        raise DesignError(f"name at least two treatments; got {names}. For one use g.twfe or g.att_gt")
    choose("method", method, ("regression", "one_at_a_time"))
    choose("coding", coding, ("additive", "exclusive"))
    design = prepare(
        data,
        outcome,
        unit=unit,
        time=time,
        covariates=(*names, *covariates),
        weights=weights,
        cluster=cluster,
        fixed_effects=fixed_effects,
    )
    dose = design.covariates[:, : len(names)]
    if coding == "exclusive":
        names, dose = _combinations(names, dose)
    for name, column in zip(names, dose.T):
        if not (column != column[0]).any():
            raise IdentificationError(f"{name!r} is {column[0]:g} in every row: nothing to compare")
    options = {"method": method, "coding": coding, "covariates": tuple(covariates), "weights": weights}
    if method == "regression":
        fit = regress(design, [Block(tuple(names), columns=dose)], covariates=covariates)
        estimate = fit.estimate(
            names,
            kind="other",
            method=METHOD,
            labels=pd.DataFrame({"term": names, "treatment": names}),
            cluster=cluster,
            small_sample=small_sample,
            options=options,
        )
        return replace(estimate, sample={**estimate.sample, "contamination": contamination(fit, names, dose)})
    return _one_at_a_time(design, names, dose, covariates, cluster, small_sample, options)


def contamination(fit: Regression, names: Sequence[str], dose: np.ndarray) -> pd.DataFrame:
    """Weights of every treatment's effects in every coefficient, summed over rows (see :func:`multiple_treatments`).

    ``fit`` is the regression (``est.regression``), ``dose`` the treatments by row in its order (n × treatments). The
    table of an estimate by :func:`multiple_treatments` is in its ``sample["contamination"]``.
    """
    if not isinstance(fit, Regression):
        raise DesignError(
            f"contamination takes the regression behind an estimate, not a {type(fit).__name__}: the table is in "
            'est.sample["contamination"], with est = g.multiple_treatments(data, outcome, [...])'
        )
    n = fit.design.weights if fit.design.weights is not None else np.ones(fit.design.n)
    coefficient = (fit.fit.columns() @ fit.fit.bread[:, fit.position(names)]) * n[:, None]
    rows = []
    for k, name in enumerate(names):
        for j, other in enumerate(names):
            weight = coefficient[:, k] * dose[:, j]
            size = float(np.abs(weight).sum())
            rows.append(
                {
                    "coefficient": name,
                    "effects_of": other,
                    "weight_sum": float(weight.sum()),
                    "negative_sum": float(weight[weight < 0].sum()),
                    "absolute_sum": size,
                    "largest_leak": np.nan if j == k else size / 2,
                }
            )
    return pd.DataFrame(rows)


def _combinations(names: Sequence[str], dose: np.ndarray) -> tuple[list[str], np.ndarray]:
    if not np.isin(dose, (0.0, 1.0)).all():
        bad = [n for n, c in zip(names, dose.T) if not np.isin(c, (0.0, 1.0)).all()]
        raise DesignError(f"exclusive coding needs treatments of 0 or 1; not so: {', '.join(bad)}")
    code = dose @ 2.0 ** np.arange(len(names))
    order = sorted((int(c) for c in np.unique(code) if c > 0), key=lambda c: (bin(c).count("1"), c))
    labels = ["+".join(n for k, n in enumerate(names) if c >> k & 1) for c in order]
    return labels, np.column_stack([code == c for c in order]).astype(float)


def _one_at_a_time(
    design: Design,
    names: Sequence[str],
    dose: np.ndarray,
    covariates: Sequence[str],
    cluster: str | None,
    small_sample: SmallSample,
    options: dict[str, Any],
) -> Estimate:
    level = cluster or design.unit_name
    unit_codes(design, level)
    fits, rows, notes = [], [], []
    for k, name in enumerate(names):
        others = [n for n in names if n != name]
        alone = (np.delete(dose, k, axis=1) == 0).all(1)
        part = design.restrict(alone, f"under {' or '.join(others)}")
        column = dose[alone, k]
        if not (column != column[0]).any():
            raise IdentificationError(f"{name!r} does not vary on the rows without {', '.join(others)}")
        fit = regress(part, [Block((name,), columns=column[:, None])], covariates=covariates)
        one = fit.estimate([name], kind="static", method=METHOD, cluster=level, small_sample=small_sample)
        of_unit = design.unit_labels.get_indexer(part.unit_labels)
        units = of_unit if len(one.influence.psi) == part.n_units else of_unit[part.unit]
        fits.append((one, units))
        rows.append({"treatment": name, "n_obs": part.n, "n_left_out": design.n - part.n, "n_units": part.n_units})
        notes += [n for n in one.notes if n not in design.notes]
    influence, rule = together(design, level, fits, small_sample)
    tell(design, notes)
    return Estimate(
        labels=pd.DataFrame({"term": list(names), "treatment": list(names)}),
        point=np.array([one.point[0] for one, _ in fits]),
        influence=influence,
        rule=rule,
        kind="other",
        method=METHOD,
        outcome=design.outcome,
        sample={**design.sample(), "rows": pd.DataFrame(rows)},
        floor=max(one.floor for one, _ in fits),
        options=options,
        notes=(*design.notes, *dict.fromkeys(notes)),
        provenance=design.provenance,
    )
