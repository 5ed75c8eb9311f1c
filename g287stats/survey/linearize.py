"""Taylor linearisation: the covariance of influence functions under a stratified multistage sample.

With ``z`` the sums of influence functions over primary sampling units (PSUs), the covariance is

    sum over strata h of (1 − f_h) n_h/(n_h − 1) · sum over PSUs i of (z_hi − z̄_h)(z_hi − z̄_h)',

which treats PSUs as drawn with replacement when no sampling fraction ``f_h`` is given (Wolter 2007, chapter 6;
Binder 1983 for estimating equations). With a second stage, PSU i of stratum h adds f_h times the same expression over
its own units and their fraction (Särndal, Swensson and Wretman 1992, section 4.3). A PSU without a single row of a
domain counts with z = 0: domains change the scores, never the sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from g287stats.estimate.covariance import Influence

Singleton = Literal["fail", "remove", "certainty", "adjust", "average"]
PRESENT = 1e-200
"""Stands for a score of zero in a stratum with rows of the domain, so that ``average`` counts it; its square is 0."""


def level_sums(psi: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    """Sum ``psi`` (rows × k) by ``codes``; groups without rows are zero: (n_groups × k)."""
    out = np.empty((n_groups, psi.shape[1]))
    for j in range(psi.shape[1]):
        out[:, j] = np.bincount(codes, psi[:, j], n_groups)
    return out


def design_scores(
    sums: np.ndarray, stratum: np.ndarray, fraction: np.ndarray | None = None, singleton: Singleton = "fail"
) -> np.ndarray:
    """Scale PSU sums to scores S with S'S the design covariance.

    Parameters
    ----------
    sums
        Sums of influence functions by PSU, (n_psu, k).
    stratum
        Stratum code of each PSU, (n_psu,), 0 … H−1.
    fraction
        Sampling fraction of PSUs by stratum, (H,), or None for sampling with replacement. A stratum taken whole
        (fraction 1) contributes nothing, whatever the rule for strata with one PSU.
    singleton
        What a stratum with one PSU contributes: nothing (``remove``, ``certainty``), its uncentred square with
        the stratum's correction (``adjust``), or the average of the other strata that hold rows of the domain
        (``average``, by parameter). ``fail`` expects none.
    """
    n_strata = int(stratum.max()) + 1
    size = np.bincount(stratum, minlength=n_strata)
    left = np.ones(n_strata) if fraction is None else 1 - fraction
    left[left < 1e-7] = 0.0
    centred = sums - (level_sums(sums, stratum, n_strata) / size[:, None])[stratum]
    several = size > 1
    factor = np.where(several, left * size / np.maximum(size - 1, 1), 0.0)
    scores = np.sqrt(factor)[stratum, None] * centred
    if singleton == "adjust":
        alone = ~several[stratum]
        scores[alone] = np.sqrt(left[stratum[alone]])[:, None] * sums[alone]
    if singleton == "average":
        present = level_sums((sums != 0).astype(float), stratum, n_strata) > 0
        known = present & (several | (left == 0))[:, None]
        scores *= np.sqrt(present.sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    return scores


@dataclass(frozen=True, eq=False)
class SecondStage:
    """Units drawn within PSUs: the PSU of each unit (U,), and their sampling fraction by PSU (n_psu,) or None."""

    psu: np.ndarray
    fraction: np.ndarray | None

    def scores(self, sums: np.ndarray, first: np.ndarray, singleton: Singleton) -> np.ndarray:
        """Scores of the second stage (U × k), each PSU's times the root of its first-stage fraction ``first``.

        A PSU has no others to take an average from: under ``average`` one with a single unit adds nothing here.
        """
        rule: Singleton = "remove" if singleton == "average" else singleton
        return np.sqrt(first)[self.psu, None] * design_scores(sums, self.psu, self.fraction, rule)


@dataclass(frozen=True, eq=False)
class SurveyDesign:
    """Covariance rule of a stratified sample of PSUs (implements ``CovarianceRule``).

    Attributes
    ----------
    stratum
        Stratum code of each PSU, (n_psu,).
    cluster
        The influence level whose codes are PSUs: ``psu``, or a county when counties stand in for PSUs.
    degrees
        Degrees of freedom: PSUs minus strata, counted where the domain has rows (as R ``survey::degf``).
        Regressors are not subtracted: with county effects that count would turn negative.
    fraction
        Sampling fraction of PSUs by stratum, or None.
    singleton
        Rule for strata with one PSU.
    second
        Units within PSUs (influence level ``ssu``), or None. Without first-stage fractions they add nothing: the
        squares of PSU sums then hold both stages.
    """

    stratum: np.ndarray
    cluster: str
    degrees: float
    fraction: np.ndarray | None = None
    singleton: Singleton = "fail"
    second: SecondStage | None = None

    zero_is_known = True
    """A variance of zero is a fact of the design (strata taken whole, nothing that varies), not a rounding."""

    @property
    def label(self) -> str:
        """Words for tables."""
        n_strata = int(self.stratum.max()) + 1
        fpc = "" if self.fraction is None else "; finite population correction"
        lonely = int((np.bincount(self.stratum) == 1).sum())
        rule = f"; {lonely} singleton strata: {self.singleton}" if lonely else ""
        unit = "PSUs" if self.cluster == "psu" else f"{self.cluster} clusters"
        second = "" if self.second is None else f", {len(self.second.psu):,} second-stage units"
        return f"design-based, linearised ({len(self.stratum):,} {unit} in {n_strata:,} strata{second}{fpc}{rule})"

    @property
    def levels(self) -> tuple[str, ...]:
        """The level of the sampling units, as other rules name theirs."""
        return (self.cluster,)

    @property
    def df(self) -> float:
        """Degrees of freedom of the t distribution."""
        return float(self.degrees)

    def scores(self, influence: Influence) -> np.ndarray:
        """Scores S (PSUs, then second-stage units, × k) with S'S the covariance."""
        sums = level_sums(influence.psi, influence.codes(self.cluster), len(self.stratum))
        first = design_scores(sums, self.stratum, self.fraction, self.singleton)
        if self.second is None or self.fraction is None:
            return first
        inner = level_sums(influence.psi, influence.codes("ssu"), len(self.second.psu))
        return np.vstack([first, self.second.scores(inner, self.fraction[self.stratum], self.singleton)])

    def matrix(self, influence: Influence) -> np.ndarray:
        """Covariance matrix (k × k)."""
        s = self.scores(influence)
        return s.T @ s

    def variances(self, influence: Influence) -> np.ndarray:
        """Diagonal of the covariance."""
        s = self.scores(influence)
        return np.einsum("ij,ij->j", s, s)
