"""g287stats: Section 287(g) agreements, county crime and victimization, and what the agreements did."""

from __future__ import annotations

import importlib
from typing import Any

from g287stats._version import __version__

_ROOMS: dict[str, tuple[str, ...]] = {  # module -> its public names; imported when a name is first used
    # records
    "agreements.table": ("Agreements", "load_agreements"),
    "agreements.compare": ("compare_agreements",),
    "agreements.removals": ("apportion_removals", "load_removals"),
    "agreements.update": ("update_agreements",),
    "catalog": ("data_add", "data_describe", "data_fetch", "data_list", "data_verify"),
    "citation": ("cite",),
    "exporting": ("export",),
    "geography": ("county_distances", "harmonise", "load_counties", "neighbours"),
    "policies": ("load_policy_events", "load_secure_communities"),
    "outcomes": ("load_outcome",),
    "outcomes.agency.reports": ("compare_constructions", "county_from_agencies"),
    "outcomes.coverage": ("apply_coverage", "coverage_by_period"),
    "outcomes.ncvs.files": ("load_ncvs", "ncvs_from_frame", "read_ncvs"),
    "outcomes.context.population": ("load_hispanic", "load_population"),
    # panel
    "panel": ("CountyPanel", "Exposure", "county_panel", "known_controls"),
    # designs and estimates
    "did.diagnostics": ("bacon", "cohort_sizes", "twfe_weights"),
    "did.etwfe": ("etwfe",),
    "did.group_time": ("att_gt",),
    "did.imputation": ("imputation", "two_stage"),
    "did.intensity": ("intensity_did",),
    "did.iv": ("iv_did",),
    "did.lp_did": ("lp_did",),
    "did.matching": ("balance_table", "balance_weights", "match"),
    "did.multiple": ("contamination", "multiple_treatments"),
    "did.poisson": ("poisson",),
    "inference.coefficients": ("coefficients",),
    "inference.specification": ("specification_curve",),
    "did.spillover": ("exposure_map", "spillover_did", "spillover_event_study"),
    "did.stacked": ("stacked",),
    "did.sun_abraham": ("sun_abraham",),
    "did.switching": ("switching_did",),
    "did.synthetic": ("synthetic_control", "synthetic_did"),
    "did.triple": ("triple_difference",),
    "did.twfe": ("event_study", "twfe"),
    # inference
    "estimate.estimate": ("Estimate",),
    "estimate.bootstrap": ("bootstrap_se",),
    "inference.equivalence": ("equivalence",),
    "inference.few_treated": ("conley_taber", "ferman_pinto"),
    "inference.honest": ("honest_did",),
    "inference.multiplicity": ("holm", "joint", "multiple_testing", "romano_wolf"),
    "inference.power": ("minimum_detectable_effect", "power_simulation"),
    "inference.pretrends": ("pretrend_power",),
    "inference.randomization": ("placebo_test", "randomization_test"),
    "inference.small_sample": ("bias_reduced",),
    "inference.spatial": ("conley",),
    "inference.target": ("from_moments",),
    "inference.wild": ("wild_bootstrap",),
    # tables and plots
    "estimate.plots": ("plot_group_time",),
    "estimate.tables": ("regression_table",),
    # surveys and victimization
    "survey": (
        "average_effect",
        "both_errors",
        "gvf_se_rate",
        "percent_change",
        "ratios",
        "reliability",
        "replicate_weights",
        "survey_glm",
        "survey_mean",
        "survey_ratio",
        "survey_sample",
        "survey_total",
        "year_group",
    ),
    "outcomes.ncvs.select": ("fetch_select",),
    "victimization.did": ("treated_sample", "victimization_did", "victimization_event_study"),
    "victimization.disclosure": ("disclosure_check",),
    "victimization.extract": ("agreement_days", "county_ncvs"),
    "victimization.interviews": ("household_interviews", "incident_sample", "ncvs_sample", "person_interviews"),
    "victimization.msa": ("msa_sample", "msa_treated"),
    "victimization.power": ("detectable_ratio", "exaggeration", "meaning_of_ratio", "tension"),
    "victimization.published": ("gvf_parameters", "published_rates"),
    "victimization.rates": (
        "change",
        "linear_trend",
        "prevalence",
        "select_rate",
        "share_reported",
        "victimization_rate",
    ),
    "victimization.wedge": ("log_ratio", "reporting_wedge"),
    "simulation.ncvs": ("PlantedEffects", "simulate_ncvs"),
    # findings
    "claims": ("finding", "findings", "replicate", "statements"),
}
_PUBLIC = {name: f"g287stats.{room}" for room, names in _ROOMS.items() for name in names}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'g287stats' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
