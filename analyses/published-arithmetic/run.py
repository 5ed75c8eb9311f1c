"""Do published shares, sums and ratios follow from the counts printed beside them?"""

import tomllib
from pathlib import Path

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

PRINTED = tomllib.loads(Path(__file__).with_name("published.toml").read_text("utf-8"))["printed"]
SOURCE = "counts printed in the source of the claim"


def run(bench):
    p = PRINTED
    share = p["alamance_traffic"] / p["alamance_detainers"]
    low, high = proportion_confint(p["alamance_traffic"], p["alamance_detainers"], method="wilson")
    bench.result("iv-ALA-2008", share, data=SOURCE, note=f"Wilson 95 % interval {low:.3f} to {high:.3f}")
    driving = p["nc_impaired_driving"] + p["nc_other_driving"]
    bench.result("iv-NCSA-2008", driving, data=SOURCE, note="23 % + 33 %; base not stated")
    bench.result("iv-NCSA-crim", 1 - driving, data=SOURCE, note="remainder; base not stated")
    bench.result("iii-INDY", p["indy_latino"] / p["indy_other"], data=SOURCE, note="18.7 / 4.5")
    extra = p["gjw_monthly_rate"] * p["gjw_months"] * p["gjw_residents"]
    bench.result("v-GJW-extra", extra, data=SOURCE, explained="Rounded inputs")
    shown = ["claim_id", "finding", "published", "ours", "status", "reason", "note"]
    table = pd.DataFrame(bench.results)[shown]
    bench.table("arithmetic", table, title="Published figures and what follows from them", provenance={"printed": p})
