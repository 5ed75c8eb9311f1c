"""Effects of task forces, jail agreements and Secure Communities on violent victimization, by ethnicity.

Runs on a restricted, county-coded extract (folder named in G287STATS_NCVS), and then everything written passes the
rules for leaving a data center; or, without one, on the simulation."""

from pathlib import Path

import pandas as pd

import g287stats as g

PLANTED = g.simulate.PlantedEffects({("TFM", "latino"): 2.11, ("SC", "latino"): 1.16})  # simulation only
TRUTHS, PUBLISHED, SECURE = (1.0, 1.2, 1.5, 2.11), 2.11, 1.86  # ratios; the scale (odds or risk) is not stated
MARGIN = 20  # percent: the smallest effect worth speaking of; the survey of one group cannot see less
CLAIMS = {"ii-BX-TFM-LAT": "TFM", "ii-BX-SC-LAT": "SC", "ii-BX-JEM": "JEM"}


def run(bench):
    data = g.ncvs.county_ncvs(effects=PLANTED, only_group="latino")
    mark = {"simulated": data.simulated, "provenance": {"data": data.source, "agreements": "signing dates"}}
    if not data.simulated:
        bench.confidential(g.ncvs.release)
    interviews = data.interviews()
    treated = g.ncvs.treated_sample(interviews, data.treatments, singleton="adjust")
    main = g.ncvs.did(treated)
    corrected = g.ncvs.did(treated, leverage=True)
    dealt = g.ncvs.county_randomization(g.ncvs.did(treated, treatments=("JEM", "SC")), treated, "TFM", draws=999)
    carriers = g.ncvs.treated_counties(treated, "TFM")
    who = f"{carriers.attrs['effective_number']:.1f} effective counties of {carriers.attrs['counties']} treated"
    others = () if data.simulated else ("black", "white")  # in the simulation nothing happens to them
    rows = [g.ncvs.effects_table(main, "latino", corrected)]
    rows += [g.ncvs.effects_table(g.ncvs.did(treated, group=name), name) for name in others]
    bench.table("main", pd.concat(rows), title="Effects of a full window of treatment on the odds of victimization",
                note=f"{who}. Task forces: {dealt}.", **mark)  # fmt: skip
    bench.table("counties", carriers, title="Who carries the task-force estimate", note=who, **mark)
    bench.table("leave_one_out", g.ncvs.leave_one_out(corrected, "TFM").head(13), note=who,
                title="Task forces and Latinos without each county (log odds)", **mark)  # fmt: skip
    models = g.ncvs.other_models(data, interviews, treated)
    rows = [task_force(main, "logit"), *(task_force(e, name) for name, e in models)]
    bench.table("sensitivity", pd.concat(rows), title="Task forces and Latinos: other models, samples, codings",
                note=who, **mark)  # fmt: skip
    event = g.ncvs.event_study(treated, "TFM", group="latino", window=(-3, 3), width=12)
    note = f"Years since activation; joint test of the leads p = {event.pretrend_test().p_value:.2f}; {who}."
    bench.figure("event_study", event.plot().figure, title="Task forces: leads and lags, Latinos", note=note, **mark)
    se = g.survey.both_errors(main, "county_fips").loc["TFM", "headline_se"]
    seen = f"Smallest ratio found with 80 % probability {g.ncvs.detectable_ratio(se):.2f} (error {se:.3f} of the log)"
    bench.table("power", g.ncvs.meaning_of_ratio(PUBLISHED, se, TRUTHS), note=f"{seen}; {who}.",
                title="What +111 % would mean if the truth were smaller", **mark)  # fmt: skip
    published_alone(bench)
    if data.simulated:
        record = g.ncvs.agreement_days(g.Exposure(models=("TFM",)), before="2013-01-01")
        drawn = g.simulate.treated_draws(record.county_fips.unique(), draws=200).describe(percentiles=[0.1, 0.5, 0.9])
        bench.table("draws", drawn.drop("count").rename_axis("statistic").reset_index(), simulated=True,
                    title="Task-force counties in 200 samples of 600 counties, of the 18 in the record")  # fmt: skip
    recovery = pd.read_csv(Path(__file__).parent / "recovery.csv")
    bench.table("recovery", recovery, title="Bias and coverage over simulated surveys", simulated=True)
    for claim, name in CLAIMS.items():
        effect = g.survey.headline_error(main, name, "county_fips")
        note = f"larger of two errors; smallest ratio detected {g.ncvs.detectable_ratio(float(effect.se.iloc[0])):.2f}"
        bench.result(claim, g.survey.percent_change(effect), data=data.source, simulated=data.simulated,
                     margin=MARGIN, note=note)  # fmt: skip


def task_force(estimate, model):
    row = g.ncvs.effects_table(estimate, "latino").query("term in ['TFM', 'latino:TFM']")
    return row.tail(1).assign(model=model)


def published_alone(bench):
    """What follows from the printed numbers alone."""
    errors = {p: g.ncvs.implied_error(PUBLISHED, p) for p in (0.05, 0.01, 0.001)}
    stars = [g.ncvs.meaning_of_ratio(PUBLISHED, se, (1.5,)).assign(p_below=p, error=se) for p, se in errors.items()]
    bench.table("stars", pd.concat(stars), title="What the paper's stars imply, if the truth were +50 %",
                note="Largest error of the log at which +111 % is significant at the level printed.")  # fmt: skip
    gap = g.ncvs.tension(SECURE, g.ncvs.log_ratio(86, p_value=0.05)[1], 1.16, g.ncvs.log_ratio(16, p_value=0.05)[1])
    bench.table("tension", gap.to_frame().T, title="Secure Communities: +86 % against +16 % in the same survey",
                note="Errors are upper bounds: both papers print p < 0.05 only.")  # fmt: skip
    wedge = g.ncvs.reporting_wedge(g.ncvs.log_ratio(16, p_value=0.05), g.ncvs.log_ratio(-30, p_value=0.05))
    bench.table("wedge", wedge.frame, title="What a victimization effect implies for recorded crime",
                note="Victimization +16 %, reporting -30 % (Goncalves et al.); errors are upper bounds.")  # fmt: skip
