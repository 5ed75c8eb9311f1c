"""Do published shares, sums and ratios follow from the figures printed beside them? A check of sums, no replication."""

import tomllib
from pathlib import Path

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

PRINTED = tomllib.loads(Path(__file__).with_name("published.toml").read_text("utf-8"))["printed"]
SOURCE = "figures printed in the source of the claim"


def run(bench):
    p = PRINTED

    def follows(claim, ours, note, explained=""):
        bench.result(claim, ours, data=SOURCE, note=f"follows from: {note}", related=True, explained=explained)

    low, high = proportion_confint(p["alamance_traffic"], p["alamance_detainers"], method="wilson")
    follows("iv-ALA-2008", p["alamance_traffic"] / p["alamance_detainers"], f"164 of 235; Wilson {low:.3f}–{high:.3f}")
    driving = p["nc_impaired_driving"] + p["nc_other_driving"]
    follows("iv-NCSA-2008", driving, "23 % + 33 %; base not stated")
    follows("iv-NCSA-crim", 1 - driving, "the remainder; base not stated")
    follows(
        "iii-INDY", round(p["indy_latino"] / p["indy_other"], 2), "18.7 / 4.5, two months after the agreement ended"
    )
    follows("iv-MPI-US", round(p["mpi_low"] / p["mpi_total"], 1), "about 20,000 of 39,772; other totals are in print")
    follows("iv-FHP", p["fhp_record"] / p["fhp_detained"], "nearly 900 of more than 4,900")
    follows("iv-FHP-op", round(p["fhp_op_record"] / p["fhp_op_detained"], 3), "45 of 461")
    follows("v-GJW-vict-pct", round(100 * p["gjw_points"] / p["gjw_base"]), "0.15 / 0.9 points", "Rounded inputs")
    follows("v-GJW-elas", -p["gjw_victims"] / p["gjw_reporting"], "16 % / 30 %, another version", "Two versions")
    extra = p["gjw_monthly_rate"] * p["gjw_months"] * p["gjw_residents"]
    follows("v-GJW-extra", extra, "0.15 points × 24 months × 38 million", "Rounded inputs")
    shown = ["claim_id", "finding", "published", "ours", "status", "reason", "note"]
    table = pd.DataFrame(bench.results)[shown]
    bench.table("arithmetic", table, title="Published figures and what follows from them", provenance={"printed": p})
