"""The National Crime Victimization Survey: reading, rates, designs, and what may leave a data center."""

from g287stats.outcomes.ncvs.files import load_ncvs as load
from g287stats.outcomes.ncvs.files import ncvs_from_frame as from_frame
from g287stats.outcomes.ncvs.files import read_ncvs as read
from g287stats.outcomes.ncvs.select import fetch_select
from g287stats.victimization.did import treated_sample
from g287stats.victimization.did import victimization_did as did
from g287stats.victimization.did import victimization_event_study as event_study
from g287stats.victimization.extract import agreement_days, county_ncvs
from g287stats.victimization.few_counties import county_randomization, leave_one_out, treated_counties
from g287stats.victimization.interviews import household_interviews, incident_sample, person_interviews
from g287stats.victimization.interviews import ncvs_sample as sample
from g287stats.victimization.models import effects_table, other_models
from g287stats.victimization.msa import msa_sample, msa_treated
from g287stats.victimization.power import detectable_ratio, exaggeration, implied_error, meaning_of_ratio, tension
from g287stats.victimization.published import gvf_parameters, published_rates
from g287stats.victimization.rates import change, linear_trend, prevalence, select_rate, share_reported
from g287stats.victimization.rates import victimization_rate as rate
from g287stats.victimization.release import ReleaseRules, release
from g287stats.victimization.wedge import log_ratio, reporting_wedge

__all__ = [
    "ReleaseRules",
    "agreement_days",
    "change",
    "county_ncvs",
    "county_randomization",
    "detectable_ratio",
    "did",
    "effects_table",
    "event_study",
    "exaggeration",
    "fetch_select",
    "from_frame",
    "gvf_parameters",
    "household_interviews",
    "implied_error",
    "incident_sample",
    "leave_one_out",
    "linear_trend",
    "load",
    "log_ratio",
    "meaning_of_ratio",
    "msa_sample",
    "msa_treated",
    "other_models",
    "person_interviews",
    "prevalence",
    "published_rates",
    "rate",
    "read",
    "release",
    "reporting_wedge",
    "sample",
    "select_rate",
    "share_reported",
    "tension",
    "treated_counties",
    "treated_sample",
]
