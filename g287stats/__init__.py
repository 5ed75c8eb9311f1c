"""Section 287(g) agreements, county crime and victimization, and what the agreements did.

Records: what was signed, what was measured.
    Agreements, load_agreements, load_outcome

Panel: who is treated, when.
    CountyPanel, Exposure, county_panel

Designs: comparable places, and what a regression compares.
    balance_table, balance_weights, match, bacon, cohort_sizes, twfe_weights, contamination, exposure_map

Estimators: each returns one Estimate.
    att_gt, etwfe, event_study, twfe, imputation, two_stage, intensity_did, iv_did, lp_did,
    multiple_treatments, poisson, spillover_did, spillover_event_study, stacked, sun_abraham, switching_did,
    synthetic_control, synthetic_did, triple_difference

Estimates: how sure we are.
    Estimate, bootstrap_se, coefficients, equivalence, conley_taber, ferman_pinto, honest_did, holm, joint,
    multiple_testing, romano_wolf, minimum_detectable_effect, power_simulation, pretrend_power, placebo_test,
    randomization_test, bias_reduced, conley, specification_curve, from_moments, wild_bootstrap,
    plot, plot_group_time, table

Atlas: what was signed and recorded in a county, a state, the nation.
    county_facts, state_facts, nation_facts, write_atlas, county_map, timeline, adoption

Findings: what was published, and how our answers stand beside it.
    evidence, finding, findings, replicate, statements, cite

Rooms of their own.
    g.data      tables inside the package and your own: list, add, fetch, verify, counties, policies, population
    g.survey    complex samples: means, ratios, totals, regressions, replicate weights
    g.ncvs      the National Crime Victimization Survey: reading, rates, designs, leaving a data center
    g.simulate  surveys with planted effects

Start with ``panel = g.county_panel(...)``; ``help(g.att_gt)`` and its siblings name their paper.
"""

from __future__ import annotations

import lazy_loader

from g287stats._version import __version__ as __version__

_import, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    if name in __all__:
        return _import(name)
    from g287stats.words import NAMES, no_attribute

    raise no_attribute(f"module {__name__!r}", name, NAMES, __all__, "g.")
