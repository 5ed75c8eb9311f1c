"""North Carolina: recorded crime after a sheriff's agreement, and in counties next door."""

import pandas as pd

import g287stats as g

OUTCOMES = {"violent_rate": "violent", "property_rate": "property"}
DATA = "NACJD county files 2003–2012, supplied by the user"


def run(bench):
    exposure = {"": g.Exposure(), "near": g.Exposure(of="adjacent")}
    panel = g.county_panel("icpsr_county", (2003, 2012), exposure=exposure, denominator="covered",
                           min_coverage=0.8, on_low_coverage="drop").query("state == 'NC'")  # fmt: skip
    outside = panel.query("cohort.isna()")
    rows = []
    for rate, words in OUTCOMES.items():
        own = g.twfe(panel, rate, cohort="cohort")
        near = g.twfe(outside, rate, cohort="cohort_near")
        for label, estimate in (("own agreement", own), ("agreement next door", near)):
            rows.append(describe(words, label, estimate))
        if rate == "violent_rate":
            bench.result("i-FN-crime", own, data=DATA, note=few(rows[-2]))
            bench.result("i-FN-spill", near, data=DATA, note=few(rows[-1]))
    note = "Effect on the rate per 100,000 residents covered; p-values: clustered t, permutation, wild bootstrap."
    title = "North Carolina, effects with three kinds of inference"
    bench.table("effects", pd.DataFrame(rows), title=title, note=note, provenance=panel.provenance)
    bench.table("flow", panel.flow.to_frame(), title="From source rows to panel rows", provenance=panel.provenance)


def describe(outcome, exposure, estimate):
    permuted = g.randomization_test(estimate, statistic="t", draws=1999, ci=False)
    wild = g.wild_bootstrap(estimate, draws=1999)
    return {
        "outcome": outcome, "exposure": exposure, "treated": estimate.sample["n_treated"],
        "counties": estimate.sample["n_units"], "effect": float(estimate.point[0]),
        "std_error": float(estimate.se.iloc[0]), "p_value_clustered": float(estimate.p_values().iloc[0]),
        "p_value_permutation": permuted.p_value, "p_value_wild": wild.p_value,
        "detectable": g.minimum_detectable_effect(estimate).exact,
    }  # fmt: skip


def few(row):
    permutation, wild = row["p_value_permutation"], row["p_value_wild"]
    return f"{row['treated']} treated; permutation p {permutation:.3f}, wild bootstrap p {wild:.3f}"
