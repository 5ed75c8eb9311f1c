"""Words of R, Stata and other Python packages, and what to type instead: one table for every message.

``NAMES`` are functions looked for in ``g``, ``ARGUMENTS`` names of arguments, ``ATTRIBUTES`` what is looked for on a
result, ``FRAME`` what a panel has in its ``.frame``. Values that mean the same are in ``errors.EQUALS``.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping

from g287stats.errors import DesignError


def _table(text: str) -> dict[str, str]:
    """Lines of ``words = what to type`` as a dictionary by word."""
    rows = (line.split(" = ", 1) for line in text.strip().splitlines())
    return {word: answer.strip() for words, answer in rows for word in words.split()}


NAMES = _table("""
feols felm reghdfe xtreg areg xtdidregress = g.twfe(panel, "violent_rate", treatment="treated")
fepois ppmlhdfe = g.poisson(panel, "violent", at_risk="population")
feglm = g.poisson(…); on surveys g.survey.glm(…)
sunab eventstudyinteract = g.sun_abraham(panel, "violent_rate")
event_plot iplot coefplot ggdid = est.plot()
etable esttab modelsummary = g.table([first, second])
coeftable = est.tidy()
aggte csdid_estat = g.att_gt(…).aggregate("simple" | "event" | "cohort" | "calendar")
csdid ATTgt CallawaySantAnna = g.att_gt(panel, "violent_rate")
drdid = g.att_gt(panel, "violent_rate", method="dr", covariates=(…))
conditional_did_pretest = est.pretrend_test()
did_imputation ImputationDiD = g.imputation(panel, "violent_rate")
did2s TwoStageDiD = g.two_stage(panel, "violent_rate")
jwdid = g.etwfe(panel, "violent_rate")
stackedev = g.stacked(panel, "violent_rate", window=(-4, 4))
lpdid = g.lp_did(panel, "violent_rate")
did_multiplegt did_multiplegt_dyn = g.switching_did(panel, "violent_rate", treatment="treated")
bacondecomp bacon_decomp = g.bacon(panel, "violent_rate")
HonestDiD honestdid createSensitivityResults = g.honest_did(est)
pretrends = g.pretrend_power(est)
synthdid_estimate sdid = g.synthetic_did(panel, "violent_rate")
synth = g.synthetic_control(panel, "violent_rate")
boottest = g.wild_bootstrap(est)
ritest = g.randomization_test(est)
rwolf = g.romano_wolf(est)
ebalance = g.balance_weights(panel, ["log_population"])
matchit = g.match(panel, ["log_population"])
svydesign = g.survey.sample(frame, weights=, strata=, psu=)
svymean = g.survey.mean(sample, "y")
svytotal = g.survey.total(sample, "y")
svyratio = g.survey.ratio(sample, "y", "x")
svyglm = g.survey.glm(sample, "y", ["x"])
""")
ARGUMENTS = _table("""
yname depvar = the outcome is the second argument
tname period = time=
idname ivar entity id = unit=
gname gvar first_treat firsttreat cohort_name = cohort=
control_group = control="never" or control="notyet"
notyet = control="notyet"
est_method = method="dr", "reg" or "ipw"
xformla = covariates=("log_population",)
xvar controls = covariates=
weightsname wname pweight = weights=
clustervars cluster_var vce = cluster=
base_period = base="varying" or base="universal"
allow_unbalanced_panel = panel="keep_unbalanced"
bstrap biters cband = est.bands(draws=999)
alp alpha_level = est.conf_int(level=0.95)
fixef absorb = unit=, time= and fixed_effects=
fml formula first_stage second_stage = outcome, treatment and covariates by name: g.twfe(frame, "y", treatment="d")
treat d = treatment=
pretrends = leads=
horizon = window=
ref = reference=
exposure = at_risk= in count models; who is treated is g.county_panel(exposure=g.Exposure(…))
offset = at_risk= (the number at risk, not its logarithm)
model = models=("TFM",)
outcome = outcomes="fbi_table10"
nboot n_boot reps B = draws=
""")
ATTRIBUTES = _table("""
coef coefs coefficients beta betas estimates att = est.params
confint = est.conf_int(level=0.95)
vcov cov_params = est.cov()
pvalues pvalue pval = est.p_values()
tvalues tstat coeftable = est.tidy()
std_errors bse stderr = est.se
nobs n_obs = est.sample["n_obs"]
resid residuals predict = not kept; the influence function of every parameter is est.influence
aggte = est.aggregate("event")
iplot coefplot = est.plot()
etable = g.table([est])
""")
FRAME = _table("""
tail groupby loc iloc columns shape sort_values assign dropna isna = panel.frame, a pandas DataFrame, has it
value_counts info pivot drop rename index dtypes = panel.frame, a pandas DataFrame, has it
to_excel = panel.frame, a pandas DataFrame, has it
""")


def nearest(word: str, known: Iterable[str]) -> str:
    """The one of the ``known`` words that a misspelt one most resembles, or an empty string."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.75)), "")


def no_attribute(thing: str, word: str, table: Mapping[str, str], known: Iterable[str], prefix: str) -> AttributeError:
    """The error for something looked for on ``thing``, which has it under another name or not at all."""
    if word in table:
        hint = f": here it is {table[word]}"
    else:
        hint = f"; did you mean {prefix}{near}?" if not word.startswith("_") and (near := nearest(word, known)) else ""
    return AttributeError(f"{thing} has no attribute {word!r}{hint}")


def explain_call(function: Callable[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
    """Raise a :class:`DesignError` when a call does not fit the function's arguments, with what to type.

    A call that fits returns: the ``TypeError`` came from elsewhere.
    """
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as misfit:
        known = [p.name for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD and p.name != "self"]
        lines = []
        if isinstance(text := next(iter(args), None), str) and "~" in text:
            lines.append(f"formulas are not read ({text!r}): {ARGUMENTS['formula']}")
        for word in (k for k in kwargs if k not in known):
            if word in ARGUMENTS:
                lines.append(f"{word}= is written otherwise here: {ARGUMENTS[word]}")
            else:
                near = nearest(word, known)
                lines.append(f"there is no argument {word!r}" + (f"; did you mean {near}=?" if near else ""))
        if not lines:
            lines.append(str(misfit))
        name = function.__qualname__.removesuffix(".__init__")
        head = f"{name}({', '.join(known[:3])}, …)"
        listed = ", ".join(f"{name}=" for name in known)
        text = "".join(f"\n  {n}. {line}" for n, line in enumerate(lines, 1)) if len(lines) > 1 else f" {lines[0]}"
        raise DesignError(f"{head}:{text}. It takes {listed}") from None
