"""The words for estimates that no test can start from: one reason, one sentence, wherever it is met."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from g287stats.errors import DesignError, first_of

EXACT = "the regression fits the outcome exactly (residuals are zero), so that there is no noise to test against"
ALONE = "all units start treatment together, so that none is comparison"


def low_rank(names: Sequence[object], rank: int) -> str:
    """Words for parameters whose covariance leaves some of them without a direction of their own."""
    return f"{len(names)} terms have a covariance of rank {rank}: {first_of(names)}"


def rank_of(cov: np.ndarray) -> int:
    """Rank of a covariance (k × k), whatever the units of the parameters."""
    spread = np.sqrt(np.maximum(np.diag(cov), 0.0))
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
    return int(np.linalg.matrix_rank(cov * scale[:, None] * scale, hermitian=True)) if len(cov) else 0


def refuse_low_rank(cov: np.ndarray, names: Sequence[object], what: str) -> None:
    """Refuse a covariance that does not have full rank."""
    if (rank := rank_of(cov)) < len(cov):
        raise DesignError(
            f"{what} needs errors of full rank; {low_rank(names, rank)}. Use fewer event times (window=), or more "
            "clusters than event times"
        )
