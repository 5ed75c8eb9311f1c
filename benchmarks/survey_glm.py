"""Time and memory of a logit with county and quarter effects on 1.46 million simulated interviews; equality with
statsmodels (all dummies) on a subsample of counties.

    python benchmarks/survey_glm.py
"""

import resource
import time

import numpy as np
import pandas as pd
import statsmodels.api as sm

import g287stats as g

COVARIATES = ["TFM", "JEM", "SC", "latino", "latino:TFM", "C(age_band)", "female", "incoming"]


def clock():
    return time.perf_counter(), time.process_time()


def since(start):
    wall, cpu = (b - a for a, b in zip(start, clock()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return f"{wall:6.1f} s wall, {cpu:6.1f} s CPU, peak so far {peak:.2f} GB"


def main():
    start = clock()
    data = g.simulate.ncvs(seed=1, effects=g.simulate.PlantedEffects({("TFM", "latino"): 2.11}))
    print(f"simulate {len(data.person.frame):,} person rows (SIMULATED)   {since(start)}")
    start = clock()
    interviews = g.ncvs.person_interviews(data.person, data.incident, data.household)
    treated = g.ncvs.treated_sample(interviews, data.treatments, singleton="adjust")
    print(f"join incidents, households, treatments             {since(start)}")
    sample = treated.sample
    start = clock()
    fit = g.survey.glm(sample, "victim", COVARIATES, fixed_effects=("county_fips", "quarter"))
    print(f"logit, {fit.sample['n_obs']:,} rows, {fit.options['iterations']} iterations          {since(start)}")
    start = clock()
    g.survey.both_errors(fit, "county_fips")
    print(f"design and county errors                           {since(start)}")
    start = clock()
    g.survey.average_effect(fit, "TFM", over="latino == 1 and TFM > 0")
    print(f"average effect with its error                      {since(start)}")

    frame = sample.frame
    few = frame.loc[frame["TFM"] > 0, "county_fips"].value_counts().index[:6].tolist()
    few += frame.loc[~frame["county_fips"].isin(few), "county_fips"].value_counts().index[:6].tolist()
    inside = (frame["county_fips"].isin(few) & (sample.weights > 0)).to_numpy()
    ours = g.survey.glm(sample, "victim", COVARIATES, fixed_effects=("county_fips", "quarter"), domain=inside)
    rows = frame[inside]
    x = pd.DataFrame({c: rows[c].astype(float) for c in ("TFM", "JEM", "SC", "latino", "female", "incoming")})
    x["latino:TFM"] = x["latino"] * x["TFM"]
    x = x.join(pd.get_dummies(rows["age_band"], prefix="C(age_band)[", prefix_sep="", dtype=float).iloc[:, 1:])
    x.columns = [c + "]" if c.startswith("C(") else c for c in x]
    wide = pd.concat(
        [x, *(pd.get_dummies(rows[e], dtype=float).iloc[:, k:] for k, e in ((0, "county_fips"), (1, "quarter")))],
        axis=1,
    )
    start = clock()
    theirs = sm.GLM(
        rows["victim"].to_numpy(), wide.to_numpy(), family=sm.families.Binomial(), freq_weights=rows["weight"]
    )
    beta = pd.Series(theirs.fit(tol=1e-14, maxiter=100).params, index=wide.columns.map(str))
    print(f"statsmodels, {len(rows):,} rows, {wide.shape[1]} columns       {since(start)}")
    gap = np.abs(ours.params - beta[ours.terms]).max()
    print(f"largest difference in {len(ours.point)} coefficients: {gap:.1e}")


if __name__ == "__main__":
    main()
