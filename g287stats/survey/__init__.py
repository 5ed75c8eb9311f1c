"""Complex samples: design, ratios, weighted regression, replicate weights, generalized variance functions."""

from g287stats.survey.design import SurveySample, dummy_records, survey_sample, year_group
from g287stats.survey.effects import average_effect, both_errors, percent_change, ratios
from g287stats.survey.glm import survey_glm
from g287stats.survey.gvf import GvfParameters, gvf_se_percent, gvf_se_rate, gvf_se_total
from g287stats.survey.linearize import SurveyDesign
from g287stats.survey.ratios import (
    design_effect,
    log_transform,
    proportion_interval,
    reliability,
    survey_mean,
    survey_ratio,
    survey_total,
)
from g287stats.survey.replicates import Replicates, ReplicateWeights, replicate_weights

__all__ = [
    "GvfParameters",
    "ReplicateWeights",
    "Replicates",
    "SurveyDesign",
    "SurveySample",
    "average_effect",
    "both_errors",
    "design_effect",
    "dummy_records",
    "gvf_se_percent",
    "gvf_se_rate",
    "gvf_se_total",
    "log_transform",
    "percent_change",
    "proportion_interval",
    "ratios",
    "reliability",
    "replicate_weights",
    "survey_glm",
    "survey_mean",
    "survey_ratio",
    "survey_sample",
    "survey_total",
    "year_group",
]
