"""The National Crime Victimization Survey: reading, rates, designs, and what may leave a data center."""

from g287stats.outcomes.ncvs.files import load_ncvs as load
from g287stats.outcomes.ncvs.files import ncvs_from_frame as from_frame
from g287stats.outcomes.ncvs.files import read_ncvs as read
from g287stats.outcomes.ncvs.select import fetch_select
from g287stats.victimization.did import treated_sample
from g287stats.victimization.did import victimization_did as did
from g287stats.victimization.did import victimization_event_study as event_study
from g287stats.victimization.disclosure import disclosure_check
from g287stats.victimization.extract import agreement_days, county_ncvs
from g287stats.victimization.interviews import household_interviews, incident_sample, person_interviews
from g287stats.victimization.interviews import ncvs_sample as sample
from g287stats.victimization.msa import msa_sample, msa_treated
from g287stats.victimization.power import detectable_ratio, exaggeration, meaning_of_ratio, tension
from g287stats.victimization.published import gvf_parameters, published_rates
from g287stats.victimization.rates import change, linear_trend, prevalence, select_rate, share_reported
from g287stats.victimization.rates import victimization_rate as rate
from g287stats.victimization.wedge import log_ratio, reporting_wedge

__all__ = [
    "agreement_days",
    "change",
    "county_ncvs",
    "detectable_ratio",
    "did",
    "disclosure_check",
    "event_study",
    "exaggeration",
    "fetch_select",
    "from_frame",
    "gvf_parameters",
    "household_interviews",
    "incident_sample",
    "linear_trend",
    "load",
    "log_ratio",
    "meaning_of_ratio",
    "msa_sample",
    "msa_treated",
    "person_interviews",
    "prevalence",
    "published_rates",
    "rate",
    "read",
    "reporting_wedge",
    "sample",
    "select_rate",
    "share_reported",
    "tension",
    "treated_sample",
]
