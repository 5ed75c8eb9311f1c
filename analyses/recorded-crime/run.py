"""Violent and property offences after a county's first agreement, against all counties and against similar ones."""

import matplotlib.pyplot as plt
import pandas as pd

import g287stats as g

RATES = {"violent_ex_rape_rate": "violent offences (without rape)", "property_rate": "property offences"}
MATCH_ON = ("log_population", "hispanic_share", *RATES)
DATA = {  # outcome table: (title, years, matching window, neighbours, event window)
    "fbi_table10": ("sheriffs and county police", (2005, 2012), (2005, 2005), 5, (-3, 4)),
    "fbi_msa": ("county totals, single-county metropolitan areas", (2003, 2012), (2003, 2004), 3, (-4, 4)),
}
MARGIN = 0.10  # equivalence margin: a tenth of the treated counties' rate in the first years


def run(bench):
    hispanic = g.data.load_hispanic((2009, 2009)).set_index("county_fips")["hispanic_share"]
    rows, overall = [], {}
    for name, (title, years, before, neighbours, window) in DATA.items():
        panel = g.county_panel(name, years, exposure=g.Exposure(models="any", level="county", date="signed"))
        panel = panel.balanced(list(RATES)).with_column(
            "hispanic_share", hispanic, description="Hispanic share, ACS 2005–2009", source="US Census Bureau"
        )
        similar = g.balance_weights(panel, MATCH_ON, method="nearest", neighbours=neighbours, periods=before)
        keys = {"unit": "county_fips", "time": "year", "cohort": "cohort"}
        samples = {"all counties": (panel.frame, None), "similar counties": (similar.attach(panel), "balance_weight")}
        figure, axes = plt.subplots(2, 2, figsize=(11, 7.5), sharey="row")
        for line, (rate, words) in zip(axes, RATES.items()):
            start = panel.frame[panel.frame["cohort"].notna() & (panel.frame["year"] == years[0])][rate].mean()
            for ax, (controls, (frame, weights)) in zip(line, samples.items()):
                effects = g.att_gt(frame, rate, control="never", weights=weights, **keys)
                event = effects.aggregate("event", window=window)
                event.plot(ax)
                ax.set_title(f"{words}, against {controls}")
                overall[name, rate, controls] = event.overall
                rows.append(describe(title, words, controls, event, start))
        figure.tight_layout()
        note = "Thick: pointwise 95 % intervals; thin: simultaneous bands. Rates per 100,000 county residents."
        bench.figure(f"event_study_{name}", figure, title=f"Event study: {title}", note=note,
                     provenance=panel.provenance)  # fmt: skip
        balance = similar.table.reset_index(names="feature")
        bench.table(f"balance_{name}", balance, title=f"Balance of similar counties: {title}",
                    provenance=panel.provenance)  # fmt: skip
        bench.table(f"flow_{name}", panel.flow.to_frame(), title=f"From source rows to panel rows: {title}",
                    provenance=panel.provenance)  # fmt: skip
    note = (
        "Average over the years since the first agreement. Detectable: with 80 % probability at 5 %. Smallest margin: "
        "the bound within which equivalence to zero can be claimed at 5 %. Percent: of the treated counties' rate in "
        "the first year. With seven treated counties the clustered standard errors of county totals are too small."
    )
    bench.table("effects", pd.DataFrame(rows), title="Effects, with what could have been detected", note=note,
                digits=1, provenance={"method": "Callaway and Sant'Anna (2021)", "margin": MARGIN})  # fmt: skip
    sheriff = "FBI Table 10, sheriffs and county police 2005–2012, similar counties"
    for claim, rate in (("i-UC-violent", 0), ("i-CS-violent", 0), ("i-CS-property", 1)):
        note = "" if claim.startswith("i-UC") else "not the published sample: see Not the applicants"
        bench.result(claim, overall["fbi_table10", list(RATES)[rate], "similar counties"], data=sheriff, note=note)


def describe(data, outcome, controls, event, start):
    effect, se = float(event.overall.point[0]), float(event.overall.se.iloc[0])
    detectable = g.minimum_detectable_effect(event.overall).exact
    smallest = g.equivalence(event.overall, margin=MARGIN * start).smallest_margin
    return {
        "data": data, "outcome": outcome, "controls": controls, "treated": event.sample["n_treated"],
        "units": event.sample["n_units"], "effect": effect, "std_error": se, "percent": 100 * effect / start,
        "p_value_leads": f"{event.pretrend_test().p_value:.3f}", "detectable": detectable,
        "detectable_percent": 100 * detectable / start, "smallest_margin_percent": 100 * smallest / start,
    }  # fmt: skip
