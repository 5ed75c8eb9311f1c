"""The public names, in the order of the sentence: records, panel, design, estimate, finding.

The one list: at run time a name is imported from here when it is first used; type checkers read the same lines.
"""

from ._version import __version__ as __version__

# records: what was signed, what was measured
from .agreements.table import Agreements as Agreements
from .agreements.table import load_agreements as load_agreements
from .outcomes import load_outcome as load_outcome

# panel: who is treated, when
from .panel import CountyPanel as CountyPanel
from .panel import Exposure as Exposure
from .panel import county_panel as county_panel

# designs: comparable places, and what a regression compares
from .did.matching import balance_table as balance_table
from .did.matching import balance_weights as balance_weights
from .did.matching import match as match
from .did.diagnostics import bacon as bacon
from .did.diagnostics import cohort_sizes as cohort_sizes
from .did.diagnostics import twfe_weights as twfe_weights
from .did.multiple import contamination as contamination
from .did.spillover import exposure_map as exposure_map

# estimators: each returns one Estimate
from .did.group_time import att_gt as att_gt
from .did.etwfe import etwfe as etwfe
from .did.twfe import event_study as event_study
from .did.twfe import twfe as twfe
from .did.imputation import imputation as imputation
from .did.imputation import two_stage as two_stage
from .did.intensity import intensity_did as intensity_did
from .did.iv import iv_did as iv_did
from .did.lp_did import lp_did as lp_did
from .did.multiple import multiple_treatments as multiple_treatments
from .did.poisson import poisson as poisson
from .did.spillover import spillover_did as spillover_did
from .did.spillover import spillover_event_study as spillover_event_study
from .did.stacked import stacked as stacked
from .did.sun_abraham import sun_abraham as sun_abraham
from .did.switching import switching_did as switching_did
from .did.synthetic import synthetic_control as synthetic_control
from .did.synthetic import synthetic_did as synthetic_did
from .did.triple import triple_difference as triple_difference

# estimates: how sure we are
from .estimate.estimate import Estimate as Estimate
from .estimate.bootstrap import bootstrap_se as bootstrap_se
from .inference.coefficients import coefficients as coefficients
from .inference.equivalence import equivalence as equivalence
from .inference.few_treated import conley_taber as conley_taber
from .inference.few_treated import ferman_pinto as ferman_pinto
from .inference.honest import honest_did as honest_did
from .inference.multiplicity import holm as holm
from .inference.multiplicity import joint as joint
from .inference.multiplicity import multiple_testing as multiple_testing
from .inference.multiplicity import romano_wolf as romano_wolf
from .inference.power import minimum_detectable_effect as minimum_detectable_effect
from .inference.power import power_simulation as power_simulation
from .inference.pretrends import pretrend_power as pretrend_power
from .inference.randomization import placebo_test as placebo_test
from .inference.randomization import randomization_test as randomization_test
from .inference.small_sample import bias_reduced as bias_reduced
from .inference.spatial import conley as conley
from .inference.specification import specification_curve as specification_curve
from .inference.target import from_moments as from_moments
from .inference.wild import wild_bootstrap as wild_bootstrap
from .estimate.plots import plot as plot
from .estimate.plots import plot_group_time as plot_group_time
from .estimate.tables import table as table

# atlas: what was signed and recorded in a county, a state, the nation
from .atlas.facts import county_facts as county_facts
from .atlas.facts import nation_facts as nation_facts
from .atlas.facts import state_facts as state_facts
from .atlas.write import write_atlas as write_atlas
from .atlas.figures import adoption as adoption
from .atlas.figures import county_map as county_map
from .atlas.figures import timeline as timeline

# findings: what was published, and how our answers stand beside it
from .claims import evidence as evidence
from .claims import finding as finding
from .claims import findings as findings
from .claims import replicate as replicate
from .claims import statements as statements
from .citation import cite as cite

# rooms of their own
from . import data as data
from . import ncvs as ncvs
from . import simulate as simulate
from . import survey as survey
