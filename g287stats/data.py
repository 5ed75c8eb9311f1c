"""Tables inside the package and the user's own, and the places and periods they are about."""

from g287stats.agreements.compare import compare_agreements
from g287stats.agreements.removals import apportion_removals, load_removals
from g287stats.agreements.update import update_agreements
from g287stats.catalog import data_add as add
from g287stats.catalog import data_describe as describe
from g287stats.catalog import data_fetch as fetch
from g287stats.catalog import data_list as list
from g287stats.catalog import data_verify as verify
from g287stats.exporting import export
from g287stats.geography import county_distances, harmonise, load_counties, neighbours
from g287stats.outcomes.agency.reports import compare_constructions, county_from_agencies
from g287stats.outcomes.context.population import load_hispanic, load_population
from g287stats.outcomes.coverage import apply_coverage, coverage_by_period
from g287stats.outcomes.fbi.county_sums import agency_coverage
from g287stats.panel import known_controls
from g287stats.panel.dose import removals_dose
from g287stats.policies import load_policy_events, load_secure_communities

__all__ = [
    "add",
    "agency_coverage",
    "apply_coverage",
    "apportion_removals",
    "compare_agreements",
    "compare_constructions",
    "county_distances",
    "county_from_agencies",
    "coverage_by_period",
    "describe",
    "export",
    "fetch",
    "harmonise",
    "known_controls",
    "list",
    "load_counties",
    "load_hispanic",
    "load_policy_events",
    "load_population",
    "load_removals",
    "load_secure_communities",
    "neighbours",
    "removals_dose",
    "update_agreements",
    "verify",
]
