"""Effects of task forces, jail agreements and Secure Communities on violent victimization, by ethnicity.

Runs on a restricted, county-coded extract (folder named in G287STATS_NCVS), and then everything written passes the
rules for leaving a data center; or, without one, on the simulation.
"""

from itertools import chain
from pathlib import Path

import matplotlib.pyplot as plt
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
    rows = [describe(main, "latino", corrected)] + [describe(e, name) for name, e in other_groups(data, treated)]
    bench.table("main", pd.concat(rows), title="Effects of a full window of treatment on the odds of victimization",
                note=f"{who}. Task forces: {dealt}.", **mark)  # fmt: skip
    bench.table("counties", carriers, title="Who carries the task-force estimate: treated Latino interviews by county",
                note=f"{who}; the smallest share of them decides little.", **mark)  # fmt: skip
    bench.table("leave_one_out", g.ncvs.leave_one_out(corrected, "TFM").head(13), note=who,
                title="Task forces and Latinos without each county (log odds)", **mark)  # fmt: skip
    models = chain([("logit", main)], sensitivity(data, interviews, treated))
    task_force = "term in ['TFM', 'latino:TFM']"
    rows = [describe(e, "latino").query(task_force).tail(1).assign(model=n) for n, e in models]
    bench.table("sensitivity", pd.concat(rows), title="Task forces and Latinos: other models, samples, codings",
                note=who, **mark)  # fmt: skip
    event = g.ncvs.event_study(treated, "TFM", group="latino", window=(-3, 3), width=12)
    figure, axes = plt.subplots(figsize=(7, 4))
    event.plot(ax=axes)
    note = f"Years since activation; joint test of the leads p = {event.pretrend_test().p_value:.2f}; {who}."
    bench.figure("event_study", figure, title="Task forces: leads and lags, Latinos", note=note, **mark)
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


def other_groups(data, treated):
    """Black and White residents in the same design, on an extract; in the simulation nothing happens to them."""
    return [] if data.simulated else [(name, g.ncvs.did(treated, group=name)) for name in ("black", "white")]


def sensitivity(data, interviews, treated):
    """Other families, samples and codings of who is treated."""
    frame = treated.sample.frame
    yield from {
        "linear": g.ncvs.did(treated, family="linear"),
        "Poisson": g.ncvs.did(treated, family="poisson"),
        "complementary log-log": g.ncvs.did(treated, family="cloglog"),
        "task forces alone": g.ncvs.did(treated, treatments=("TFM",)),
        "to 2012, before the exits": g.ncvs.did(treated, domain="year <= 2012"),
        "windows wholly treated or not": g.ncvs.did(treated, domain=frame["TFM"].isin([0, 1])),
        "bounded interviews only": g.ncvs.did(treated, domain="incoming == 0", controls=("C(age_band)", "female")),
    }.items()
    late = {name: d.assign(start=d["start"] + pd.Timedelta(days=90)) for name, d in data.treatments.items()}
    yield "90 days after signing", again(interviews, {k: d[d.start < d.end] for k, d in late.items()})
    cities, states = (g.ncvs.agreement_days(g.Exposure(models=("TFM",), level=v), before="2013-01-01")
                      for v in ("municipal", "state"))  # fmt: skip
    own = data.treatments["TFM"]
    yield "cities count too", again(interviews, {**data.treatments, "TFM": pd.concat([own, cities])})
    everyone = {**data.treatments, "TFM": pd.concat([own, cities, states])}
    yield "cities and state agencies count too", again(interviews, everyone)
    touched = set(cities.county_fips) | set(states.county_fips)
    clean = frame["county_fips"].isin(set(own.county_fips)) | ~frame["county_fips"].isin(touched)
    yield "controls without a city or state task force", g.ncvs.did(treated, domain=clean)
    if not data.simulated:
        yield "triple difference", g.ncvs.did(treated, comparison="triple")


def again(interviews, treatments):
    return g.ncvs.did(g.ncvs.treated_sample(interviews, treatments, singleton="adjust"))


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


def describe(estimate, group, corrected=None):
    """One row per treatment: coefficient, errors, ratio."""
    errors = g.survey.both_errors(estimate, "county_fips")[["estimate", "design_se", "county_fips_se", "headline_se"]]
    if corrected is not None:
        errors["corrected_county_se"] = g.survey.both_errors(corrected, "county_fips")["county_fips_se"]
    keep = estimate.labels.set_index("term")["treatment"] != ""
    out = errors[keep.to_numpy()].reset_index().assign(group=group)
    if estimate.options["family"] != "linear":
        out["ratio"] = g.survey.ratios(estimate).loc[out["term"], "ratio"].to_numpy()
    return out.assign(events=estimate.sample["n_events"], interviews=estimate.sample["n_obs"])
