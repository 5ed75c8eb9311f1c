"""Effects of task forces, jail agreements and Secure Communities on violent victimization, by ethnicity.

Runs on a restricted, county-coded extract (folder named in G287STATS_NCVS) or, without one, on the simulation.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import g287stats as g

PLANTED = g.simulate.PlantedEffects({("TFM", "latino"): 2.11, ("SC", "latino"): 1.16})  # simulation only
GROUPS, TRUTHS = ("latino", "black", "white"), (1.0, 1.2, 1.5, 2.11)
PUBLISHED, SECURE = 2.11, 1.86  # ratios; the scale (odds or risk) is not stated
MARGIN = 20  # percent: the smallest effect worth speaking of; the survey of one group cannot see less
CLAIMS = {"ii-BX-TFM-LAT": "TFM", "ii-BX-SC-LAT": "SC", "ii-BX-JEM": "JEM"}


def run(bench):
    data = g.ncvs.county_ncvs(effects=PLANTED)
    interviews = data.interviews()
    treated = g.ncvs.treated_sample(interviews, data.treatments, singleton="adjust")
    mark = {"simulated": data.simulated, "provenance": {"data": data.source, "agreements": "signing dates"}}
    main = {who: g.ncvs.did(treated, group=who) for who in GROUPS}
    bench.table("main", pd.concat([describe(e, who) for who, e in main.items()]),
                title="Effects of a full window of treatment on the odds of violent victimization", **mark)  # fmt: skip

    before_2013, bounded = "year <= 2012", "incoming == 0"
    whole = treated.sample.frame["TFM"].isin([0, 1])
    late = {name: days.assign(start=days["start"] + pd.Timedelta(days=90)) for name, days in data.treatments.items()}
    delayed = g.ncvs.treated_sample(interviews, {k: d[d.start < d.end] for k, d in late.items()}, singleton="adjust")
    others = {
        "linear": g.ncvs.did(treated, family="linear"),
        "Poisson": g.ncvs.did(treated, family="poisson"),
        "complementary log-log": g.ncvs.did(treated, family="cloglog"),
        "task forces alone": g.ncvs.did(treated, treatments=("TFM",)),
        "to 2012, before the exits": g.ncvs.did(treated, domain=before_2013),
        "windows wholly treated or not": g.ncvs.did(treated, domain=whole),
        "bounded interviews only": g.ncvs.did(treated, domain=bounded, controls=("C(age_band)", "female")),
        "90 days after signing": g.ncvs.did(delayed),
        "triple difference": g.ncvs.did(treated, comparison="triple"),
    }
    rows = [describe(e, "latino").query("term in ['TFM', 'latino:TFM']").tail(1).assign(model=name)
            for name, e in {"logit": main["latino"], **others}.items()]  # fmt: skip
    bench.table("sensitivity", pd.concat(rows), title="Task forces and Latinos: other models and samples", **mark)
    event = g.ncvs.event_study(treated, "TFM", group="latino", window=(-3, 3), width=12)
    figure, axes = plt.subplots(figsize=(7, 4))
    event.plot(ax=axes)
    note = f"Years since activation; joint test of the leads p = {event.pretrend_test().p_value:.2f}."
    bench.figure("event_study", figure, title="Task forces: leads and lags, Latinos", note=note, **mark)

    se = g.survey.both_errors(main["latino"], "county_fips").loc[["TFM", "SC"], "headline_se"]
    power = g.ncvs.meaning_of_ratio(PUBLISHED, se["TFM"], TRUTHS)
    note = (
        f"Standard error {se['TFM']:.2f} of the log; smallest ratio detected with 80 % probability "
        f"{g.ncvs.detectable_ratio(se['TFM']):.2f}. Percent changes; exaggeration and wrong sign given significance."
    )
    bench.table("power", power, title="What +111 % would mean if the truth were smaller", note=note, **mark)
    gap = g.ncvs.tension(SECURE, g.ncvs.log_ratio(86, p_value=0.05)[1], 1.16, g.ncvs.log_ratio(16, p_value=0.05)[1])
    bench.table("tension", gap.to_frame().T, title="Secure Communities: +86 % against +16 % in the same survey",
                note="Errors are upper bounds: both papers print p < 0.05 only.")  # fmt: skip
    wedge = g.ncvs.reporting_wedge(g.ncvs.log_ratio(16, p_value=0.05), g.ncvs.log_ratio(-30, p_value=0.05))
    bench.table("wedge", wedge.frame, title="What a victimization effect implies for recorded crime",
                note="Victimization +16 %, reporting -30 % (Goncalves et al.); errors are upper bounds.")  # fmt: skip
    recovery = pd.read_csv(Path(__file__).parent / "recovery.csv")
    bench.table("recovery", recovery, title="Bias and coverage over simulated surveys", simulated=True)
    for claim, name in CLAIMS.items():
        bench.result(claim, g.survey.percent_change(main["latino"], [name]), data=data.source, simulated=data.simulated,
                     margin=MARGIN)  # fmt: skip


def describe(estimate, group):
    """One row per treatment: coefficient, both errors, ratio, percent."""
    errors = g.survey.both_errors(estimate, "county_fips")[["estimate", "design_se", "county_fips_se", "headline_se"]]
    keep = estimate.labels.set_index("term")["treatment"] != ""
    out = errors[keep.to_numpy()].reset_index().assign(group=group)
    if estimate.options["family"] != "linear":
        out["ratio"] = g.survey.ratios(estimate).loc[out["term"], "ratio"].to_numpy()
    return out.assign(events=estimate.sample["n_events"], interviews=estimate.sample["n_obs"])
