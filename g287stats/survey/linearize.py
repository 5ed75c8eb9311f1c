"""Taylor linearisation: the covariance of influence functions under a stratified multistage sample.

With ``z`` the sums of influence functions over primary sampling units (PSUs), the covariance is

    sum over strata h of (1 − f_h) n_h/(n_h − 1) · sum over PSUs i of (z_hi − z̄_h)(z_hi − z̄_h)',

which treats PSUs as drawn with replacement when no sampling fraction ``f_h`` is given (Wolter 2007, chapter 6;
Binder 1983 for estimating equations). A PSU without a single row of a domain counts with z = 0: domains change
the scores, never the sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from g287stats.estimate.covariance import Influence

Singleton = Literal["fail", "remove", "certainty", "adjust", "average"]


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
        Sampling fraction of PSUs by stratum, (H,), or None for sampling with replacement.
    singleton
        What a stratum with one PSU contributes: nothing (``remove``, ``certainty``), its uncentred square
        (``adjust``), or the average of the other strata that hold rows of the domain (``average``, by
        parameter). ``fail`` expects none.
    """
    n_strata = int(stratum.max()) + 1
    size = np.bincount(stratum, minlength=n_strata)
    centred = sums - (level_sums(sums, stratum, n_strata) / size[:, None])[stratum]
    factor = np.zeros(n_strata)
    several = size > 1
    factor[several] = size[several] / (size[several] - 1)
    if fraction is not None:
        factor *= 1 - fraction
    scores = np.sqrt(factor)[stratum, None] * centred
    if singleton == "adjust":
        alone = ~several[stratum]
        scores[alone] = sums[alone]
    if singleton == "average":
        present = level_sums((sums != 0).astype(float), stratum, n_strata) > 0
        scores *= np.sqrt(present.sum(axis=0) / np.maximum((present & several[:, None]).sum(axis=0), 1))
    return scores


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
    """

    stratum: np.ndarray
    cluster: str
    degrees: float
    fraction: np.ndarray | None = None
    singleton: Singleton = "fail"

    @property
    def label(self) -> str:
        """Words for tables."""
        n_strata = int(self.stratum.max()) + 1
        fpc = "" if self.fraction is None else "; finite population correction"
        lonely = int((np.bincount(self.stratum) == 1).sum())
        rule = f"; {lonely} singleton strata: {self.singleton}" if lonely else ""
        unit = "PSUs" if self.cluster == "psu" else f"{self.cluster} clusters"
        return f"design-based, linearised ({len(self.stratum):,} {unit} in {n_strata:,} strata{fpc}{rule})"

    @property
    def levels(self) -> tuple[str, ...]:
        """The level of the sampling units, as other rules name theirs."""
        return (self.cluster,)

    @property
    def df(self) -> float:
        """Degrees of freedom of the t distribution."""
        return float(self.degrees)

    def scores(self, influence: Influence) -> np.ndarray:
        """Scores S (n_psu × k) with S'S the covariance."""
        sums = level_sums(influence.psi, influence.codes(self.cluster), len(self.stratum))
        return design_scores(sums, self.stratum, self.fraction, self.singleton)

    def matrix(self, influence: Influence) -> np.ndarray:
        """Covariance matrix (k × k)."""
        s = self.scores(influence)
        return s.T @ s

    def variances(self, influence: Influence) -> np.ndarray:
        """Diagonal of the covariance."""
        s = self.scores(influence)
        return np.einsum("ij,ij->j", s, s)
