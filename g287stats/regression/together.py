"""Several regressions of one panel as one estimate, their small-sample factors carried by the influence functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from g287stats.design.prepare import Design
from g287stats.errors import DesignError
from g287stats.estimate.covariance import Clustered, Influence, SmallSample
from g287stats.estimate.estimate import Estimate


@dataclass(frozen=True)
class Together(Clustered):
    """Clustered covariance of parameters from separate regressions; each one's factor is in its influence."""

    convention: SmallSample = "nonnested"

    @property
    def label(self) -> str:
        """Words for tables."""
        counts = ", ".join(f"{self.n_clusters.get(v, '?')} {v} clusters" for v in self.levels)
        return f"cluster-robust ({counts}; small-sample: {self.convention}, by regression)"


def unit_codes(design: Design, level: str) -> dict[str, np.ndarray]:
    """Codes by unit of the unit and of ``level``; a level that changes within units is an error."""
    codes = {design.unit_name: np.arange(design.n_units)}
    if level != design.unit_name:
        by_unit = design.unit_level(level)
        if by_unit is None:
            raise DesignError(f"cluster {level!r} changes within units; give one that does not")
        codes[level] = by_unit
    return codes


def together(
    design: Design, level: str, fits: Sequence[tuple[Estimate, np.ndarray]], small_sample: SmallSample
) -> tuple[Influence, Together]:
    """Stack the influence functions of ``fits`` by unit of ``design``.

    Each fit comes with the design's unit code of every row of its influence. Its rule must be
    :class:`~g287stats.estimate.covariance.Clustered` by ``level``.
    """
    columns = []
    for estimate, units in fits:
        assert isinstance(estimate.rule, Clustered)
        root = np.sqrt(estimate.rule.factor())
        columns += [root * np.bincount(units, psi, design.n_units) for psi in estimate.influence.psi.T]
    codes = unit_codes(design, level)
    sizes = {v: int(c.max()) + 1 for v, c in codes.items()}
    rule = Together((level,), "unadjusted", design.n, {}, sizes, convention=small_sample)
    return Influence(np.array(columns).T, codes, design.unit_labels), rule
