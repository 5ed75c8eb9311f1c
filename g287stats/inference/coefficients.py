"""The coefficients of the regression behind an estimate."""

from __future__ import annotations

from typing import Any

from g287stats.errors import DesignError
from g287stats.estimate.covariance import Clustered, Heteroskedastic, Homoskedastic
from g287stats.estimate.estimate import Estimate
from g287stats.inference.small_sample import BiasReduced, bias_reduced
from g287stats.inference.spatial import Spatial
from g287stats.regression.regression import Regression


def coefficients(estimate: Estimate) -> Estimate:
    """All coefficients of the regression behind an estimate, those of covariates too.

    Parameters
    ----------
    estimate
        From ``twfe``, ``event_study``, ``poisson``, ``stacked``, ``triple_difference``, ``spillover_did`` or
        ``multiple_treatments``.

    Returns
    -------
    Estimate
        One parameter per regressor, with the clusters and the small-sample convention of ``estimate``, or its CR2, CR3
        or Conley errors. Covariates are there to make treated and comparison units alike; their own coefficients are
        not effects.

    Raises
    ------
    DesignError
        No single regression stands behind the estimate, or its covariance rule is made for its own parameters.
    """
    fit, rule = estimate.regression, estimate.rule
    if not isinstance(fit, Regression):
        raise DesignError(f"no single regression stands behind {estimate.method.key!r}: it has no coefficients to show")
    how: dict[str, Any]
    if isinstance(rule, Clustered):
        how = {"cluster": rule.levels, "small_sample": rule.small_sample}
    elif isinstance(rule, (Homoskedastic, Heteroskedastic)):
        how = {"vcov": "iid" if isinstance(rule, Homoskedastic) else "HC1"}
    elif isinstance(rule, (BiasReduced, Spatial)):
        how = {"cluster": rule.levels}
    else:
        raise DesignError(f"no coefficients with errors that are {rule.label}: ask before the rule was changed")
    out = fit.estimate(fit.names, kind="other", method=estimate.method, options=estimate.options, **how)
    if isinstance(rule, BiasReduced):
        return bias_reduced(out, kind=rule.kind, cluster=rule.level)
    return out.with_rule(rule) if isinstance(rule, Spatial) else out
