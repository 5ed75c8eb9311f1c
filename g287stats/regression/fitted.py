"""The regression behind an estimate, for inference that needs more than influence functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from g287stats.design.prepare import Design
from g287stats.errors import DesignError
from g287stats.estimate.degenerate import EXACT
from g287stats.estimate.estimate import Estimate
from g287stats.estimate.fit import RegressionFit
from g287stats.numerics.least_squares import LeastSquares
from g287stats.numerics.within import Projection


@dataclass(frozen=True)
class Fitted:
    """One linear combination c'β of a least-squares regression with absorbed effects.

    Attributes
    ----------
    term
        Name of the combination.
    estimate
        c'β.
    fit, projection
        Least squares and fixed effects.
    direction
        The regressor of interest off all other regressors and effects, (n,), scaled so that
        ``estimate = direction'W y / scale``; for a single coefficient, Frisch–Waugh–Lovell residuals.
    scale
        ``direction'W direction``.
    design
        The prepared panel (units, periods, clusters by row).
    level
        Default cluster level.
    """

    term: str
    estimate: float
    fit: LeastSquares
    projection: Projection
    direction: np.ndarray
    scale: float
    design: Design
    level: str

    @cached_property
    def weighted_direction(self) -> np.ndarray:
        """Direction times weight, (n,)."""
        w = self.projection.weights
        return self.direction if w is None else self.direction * w

    @cached_property
    def others(self) -> np.ndarray:
        """Residualised regressors, (n, r), an orthonormal basis (weighted) of all of them."""
        if self.fit.bread.shape == (1, 1):
            return (self.direction / np.sqrt(self.scale))[:, None]
        return self.fit.columns() @ np.linalg.cholesky(self.fit.bread)

    def codes(self, level: str | None = None) -> tuple[str, np.ndarray]:
        """Name and row codes of a cluster level (default: the estimate's first)."""
        level = level or self.level
        if level in ("unit", "county") and level not in self.design.clusters:
            level = self.design.unit_name
        known = self.design.clusters
        if level not in known:
            raise DesignError(
                f"no cluster level {level!r}: the estimate carries {sorted(known)}. Pass cluster={level!r} "
                "to the estimator so that the level is kept"
            )
        return level, known[level]

    def nests_units(self, codes: np.ndarray) -> bool:
        """Whether units lie within the groups of ``codes``."""
        return nested(self.projection.unit, codes)


def nested(inner: np.ndarray, outer: np.ndarray) -> bool:
    """Whether ``outer`` takes one value within each level of ``inner``."""
    value = np.zeros(int(inner.max()) + 1, dtype=np.int64)
    value[inner] = outer
    return bool((value[inner] == outer).all())


def regression_of(est: Estimate, what: str, *, working: bool = False) -> RegressionFit:
    """The fitted regression that ``est`` carries; an error naming what to use instead when it has none.

    ``working``: the weighted regression of the last step of a count model will do.
    """
    reg = est.regression
    if reg is not None and reg.kind == "instrumented":
        raise DesignError(
            f"{what} is not defined for two-stage least squares; it takes the reduced form and the first stages: "
            'est.sample["reduced_form"], est.sample["first_stage"]'
        )
    if reg is None or (reg.kind == "working" and not working):
        raise DesignError(
            f"{what} needs a linear regression with absorbed effects (g.twfe, g.event_study, g.stacked …); "
            f"{est.method.title} is not one. Its influence functions serve .bands(), .test() and g.multiple_testing"
        )
    return reg


def static_effect(est: Estimate, what: str, instead: str) -> None:
    """Refuse anything but the static two-way fixed effects coefficient of a treatment."""
    if est.method.key != "twfe" or est.kind != "static":
        raise DesignError(f"{what} takes the static effect of g.twfe, not {est.method.title} ({est.kind}); {instead}")


def loadings(est: Estimate, reg: RegressionFit, terms: Sequence[str | Mapping[str, float]]) -> np.ndarray:
    """Each term as a combination of the regression's coefficients: (coefficients × terms).

    A term is a parameter of the estimate, which states what it averages (the effect after treatment of an event study,
    an aggregate of cohort × period effects), a coefficient, or a combination ``{name: weight}`` of coefficients.
    """
    place = {name: j for j, name in enumerate(reg.names)}
    own = {name: j for j, name in enumerate(est.terms)}
    out = np.zeros((len(place), len(terms)))
    absent: list[str] = []
    for k, term in enumerate(terms):
        parts = {term: 1.0} if isinstance(term, str) else term
        if isinstance(term, str) and est.averages is not None and term in own:
            parts = est.averages.parts(own[term])
        for name, weight in parts.items():
            if name in place:
                out[place[name], k] = weight
            else:
                absent.append(name)
    if absent:
        raise DesignError(
            f"no such coefficients: {absent[:8]}; those of the regression are {list(place)[:12]}. "
            "An average of them is a combination {name: weight}"
        )
    return out


def fitted(est: Estimate, term: str | Mapping[str, float] | None, what: str) -> Fitted:
    """Return the combination ``term`` of the regression behind ``est``."""
    reg = regression_of(est, what)
    names = list(reg.names)
    if term is None:
        if len(est.terms) != 1:
            raise DesignError(
                f"name one coefficient with term=, or a combination {{name: weight}}; coefficients are {names[:12]}"
            )
        term = est.terms[0]
    if not isinstance(term, (str, Mapping)):
        raise DesignError(f"term={term!r} is no name; coefficients are {names[:12]}: term={str(term)!r}")
    c = loadings(est, reg, [term])[:, 0]
    if reg.exact:
        raise DesignError(f"{what}: {EXACT}")
    fit = reg.fit
    loading = fit.bread @ c
    spread = float(c @ loading)
    if len(names) == 1 and fit.dense.shape[1] == 1:
        direction = np.ascontiguousarray(fit.dense[:, 0]) / c[0]
    else:
        direction = fit.columns() @ (loading / spread)
    level = (*est.rule.levels, reg.design.unit_name)[0]
    name = term if isinstance(term, str) else " + ".join(f"{w:g}·{t}" for t, w in term.items())
    return Fitted(
        term=name,
        estimate=float(c @ fit.beta),
        fit=fit,
        projection=fit.projection,
        direction=direction,
        scale=1 / spread,
        design=reg.design,
        level=level,
    )
