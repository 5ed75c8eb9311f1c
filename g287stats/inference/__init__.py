"""How sure we are: one Estimate, its covariance, bands and tests."""

from g287stats.inference import aggregate as aggregate
from g287stats.inference import bootstrap as bootstrap
from g287stats.inference.covariance import Clustered, CovarianceRule, Influence
from g287stats.inference.estimate import Cells, Estimate, Method, WaldTest

__all__ = ["Cells", "Clustered", "CovarianceRule", "Estimate", "Influence", "Method", "WaldTest"]
