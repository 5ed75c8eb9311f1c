"""Complex samples: design, ratios, weighted regression, replicate weights, generalized variance functions."""

from g287stats.survey.calibration import calibrate, post_stratify
from g287stats.survey.design import SurveySample, dummy_records, sample, year_group
from g287stats.survey.effects import average_effect, both_errors, headline_error, percent_change, ratios
from g287stats.survey.gvf import GvfParameters, gvf_se_percent, gvf_se_rate, gvf_se_total
from g287stats.survey.linearize import SurveyDesign
from g287stats.survey.moments import (
    design_effect,
    log_transform,
    mean,
    proportion_interval,
    ratio,
    reliability,
    total,
)
from g287stats.survey.quantiles import quantile
from g287stats.survey.regression import glm
from g287stats.survey.replicates import Replicates, ReplicateWeights, replicate_weights

__all__ = [
    "GvfParameters",
    "ReplicateWeights",
    "Replicates",
    "SurveyDesign",
    "SurveySample",
    "average_effect",
    "both_errors",
    "calibrate",
    "design_effect",
    "dummy_records",
    "glm",
    "gvf_se_percent",
    "gvf_se_rate",
    "gvf_se_total",
    "headline_error",
    "log_transform",
    "mean",
    "percent_change",
    "post_stratify",
    "proportion_interval",
    "quantile",
    "ratio",
    "ratios",
    "reliability",
    "replicate_weights",
    "sample",
    "total",
    "year_group",
]
