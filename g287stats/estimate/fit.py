"""What stands behind an estimate that is made of regression coefficients, for tests that go back to its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
from scipy import sparse

from g287stats.design.prepare import Design
from g287stats.numerics.least_squares import LeastSquares

Matrix: TypeAlias = np.ndarray | sparse.csr_matrix


class RegressionFit(Protocol):
    """A least-squares regression with absorbed effects."""

    @property
    def names(self) -> tuple[str, ...]:
        """One name per coefficient, in the order of ``fit``."""

    @property
    def fit(self) -> LeastSquares:
        """Coefficients, bread, residuals and the absorbed effects."""

    @property
    def design(self) -> Design:
        """The rows: units, periods, treatment and clusters."""

    @property
    def kind(self) -> Literal["linear", "working", "instrumented"]:
        """Of the outcome; the weighted one of a count model's last step; or of two-stage least squares."""

    @property
    def exact(self) -> bool:
        """Whether the residuals are zero, up to rounding."""


@dataclass(frozen=True)
class Averages:
    """Parameters as combinations of a regression's coefficients.

    ``weights`` (parameters × coefficients) of the coefficients called ``names``; None: the parameters are these.
    """

    names: tuple[str, ...]
    weights: Matrix | None = None

    def through(self, matrix: Matrix) -> Averages:
        """Combinations ``matrix`` (m × parameters) of the parameters."""
        return Averages(self.names, matrix if self.weights is None else matrix @ self.weights)

    def parts(self, at: int) -> dict[str, float]:
        """Weight by coefficient of the parameter at a position."""
        if self.weights is None:
            return {self.names[at]: 1.0}
        row = sparse.csr_matrix(self.weights[[at]])
        return {self.names[j]: float(w) for j, w in zip(row.indices, row.data)}
