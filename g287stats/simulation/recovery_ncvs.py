"""Are planted effects recovered? Bias and coverage over many simulated surveys, SIMULATED.

    python -m g287stats.simulation.recovery_ncvs --seeds 200
    python -m g287stats.simulation.recovery_ncvs --seeds 200 --shocks

By default the survey of the study: its size, its violent rates, the real activation dates of task forces, jail
agreements and Secure Communities, and the rows of one group only (a seventh of the file, which is all a subgroup
estimate uses; about three seconds a seed). Effects are planted on the scale of the model that is to recover them:
odds ratios for the logit, risk ratios for the Poisson. With ``--rate 10 --size 0.15`` the same number of events comes
from fewer rows. A logit with county effects has an incidental-parameter bias, which rare events keep below what 200
seeds can show.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from g287stats.catalog.writing import write
from g287stats.simulation.ncvs import CountyShocks, PlantedEffects, simulate_ncvs
from g287stats.survey.effects import both_errors
from g287stats.survey.regression import FamilyName, GlmEstimate
from g287stats.victimization.did import Comparison, TreatedSample, treated_sample, victimization_did
from g287stats.victimization.few_counties import county_randomization, treated_counties
from g287stats.victimization.interviews import person_interviews

PLANTED: Mapping[tuple[str, str], float] = {("TFM", "latino"): 2.11, ("SC", "latino"): 1.16, ("JEM", "latino"): 1.5}
COUNTY = "county_fips"


def recover(
    seeds: Sequence[int],
    *,
    family: FamilyName = "logit",
    comparison: Comparison = "subgroup",
    planted: Mapping[tuple[str, str], float] = PLANTED,
    size: float = 1.0,
    rate: float = 1.0,
    n_counties: int = 600,
    dates: str = "agreements",
    only_group: str | None = "latino",
    leverage: bool = False,
) -> pd.DataFrame:
    """Estimate the planted effects once per seed.

    Returns one row per seed and treatment: ``truth`` and ``estimate`` (logarithms), ``design_se``,
    ``county_se``, ``df_design``, ``df_county``, treated rows and victims of the group.
    """
    out = []
    scale = "risk_ratio" if family == "poisson" else "odds_ratio"
    group = next(iter(planted))[1]
    for seed in seeds:
        s = simulate_ncvs(
            seed=seed,
            size=size,
            rate=rate,
            n_counties=n_counties,
            only_group=only_group,
            dates=dates,  # type: ignore[arg-type]
            effects=PlantedEffects(planted, scale=scale),  # type: ignore[arg-type]
        )
        interviews = person_interviews(s.person, s.incident, s.household)
        treated = treated_sample(interviews, s.treatments, singleton="adjust")
        e = victimization_did(treated, group=group, comparison=comparison, family=family, leverage=leverage)
        table = both_errors(e, COUNTY)
        frame = treated.sample.frame
        inside = (frame["group"] == group).to_numpy() & (treated.sample.weights > 0)
        for (name, who), ratio in planted.items():
            term = {"subgroup": name, "contrast": f"{name}:{who}", "triple": f"{who}:{name}"}[comparison]
            row = table.loc[term]
            on = inside & (frame[name].to_numpy() > 0)
            out.append(
                {
                    "seed": seed,
                    "treatment": name,
                    "truth": float(np.log(ratio)),
                    "estimate": row["estimate"],
                    "design_se": row["design_se"],
                    "county_se": row[f"{COUNTY}_se"],
                    "df_design": row["df_design"],
                    "df_county": row[f"df_{COUNTY}"],
                    "treated_rows": int(on.sum()),
                    "treated_victims": int((on & (frame["victim"].to_numpy() > 0)).sum()),
                }
            )
    return pd.DataFrame(out)


def size_study(
    sds: Sequence[float] = (0.0, 0.3, 0.6),
    *,
    draws: int = 200,
    surveys: int = 4,
    deals: int = 199,
    persistence: float = 0.8,
    **survey: Any,
) -> pd.DataFrame:
    """Test a true null of the task forces under shocks by county and half-year, SIMULATED.

    On each of ``surveys`` samples of the study's size and dates outcomes are drawn again ``draws / surveys`` times for
    each standard deviation of the shocks. Returns one row a draw: the two-sided p-values by the design's error, the
    county's, the larger, the county's and the larger with leverage corrected (t with counties less one, or the
    design's, degrees of freedom), and randomisation over counties (studentised, plain).
    """
    from scipy import stats

    out = []
    for seed in range(1, surveys + 1):
        s = simulate_ncvs(seed=seed, only_group="latino", **survey)
        base = treated_sample(person_interviews(s.person, s.incident, s.household), s.treatments, singleton="adjust")
        effective = treated_counties(base, "TFM").attrs
        for sd in sds:
            rng = np.random.Generator(np.random.PCG64([seed, round(1000 * sd)]))
            for draw in range(draws // surveys):
                victim = s.latent.redraw(rng, CountyShocks(sd, persistence)).astype(float)
                treated = replace(base, sample=replace(base.sample, frame=base.sample.frame.assign(victim=victim)))
                row: dict[str, Any] = {"seed": seed, "draw": draw, "sd": sd, **effective}
                plain, corrected = (both_errors(_did(treated, leverage=v), COUNTY).loc["TFM"] for v in (False, True))
                row |= {"estimate": plain["estimate"], "design_se": plain["design_se"]}
                row["county_se"], row["corrected_se"] = plain[f"{COUNTY}_se"], corrected[f"{COUNTY}_se"]
                for name, table in (("", plain), ("corrected_", corrected)):
                    for kind in ("design", COUNTY, "headline"):
                        df = table[f"df_{COUNTY}"] if kind == COUNTY else table["df_design"]
                        t = abs(table["estimate"] / table[f"{kind}_se"])
                        row[f"{name}{'county' if kind == COUNTY else kind}"] = 2 * stats.t(df).sf(t)
                null = _did(treated, treatments=[t for t in treated.treatments if t != "TFM"])
                test = county_randomization(null, treated, "TFM", draws=deals, seed=draw)
                out.append(row | {"randomised": test.p_value, "randomised_plain": test.p_plain})
    return pd.DataFrame(out)


def _did(treated: TreatedSample, **how: Any) -> GlmEstimate:
    return victimization_did(treated, group="latino", **how)  # type: ignore[return-value]


def summarize_size(runs: pd.DataFrame, level: float = 0.05) -> pd.DataFrame:
    """Share of draws that reject at ``level`` by test and size of the shocks, with its Monte-Carlo error, percent."""
    tests = ["design", "county", "headline", "corrected_county", "corrected_headline", "randomised", "randomised_plain"]
    rows = []
    for sd, part in runs.groupby("sd", sort=True):
        for test in tests:
            rate = float((part[test] <= level).mean())
            error = np.sqrt(rate * (1 - rate) / len(part))
            row = {"shock_sd": sd, "test": test, "rejects": 100 * rate, "mc_error": 100 * error, "draws": len(part)}
            rows.append(row | {"spread": part["estimate"].std(ddof=1), "mean_county_se": part["county_se"].mean()})
    return pd.DataFrame(rows)


def summarize(runs: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Bias in Monte-Carlo errors, spread against mean standard errors, coverage, by treatment."""
    from scipy import stats

    rows = []
    for name, g in runs.groupby("treatment", sort=False):
        n, error = len(g), g["estimate"] - g["truth"]
        mc = error.std(ddof=1) / np.sqrt(n)
        row: dict[str, object] = {
            "treatment": name,
            "seeds": n,
            "truth": g["truth"].iloc[0],
            "mean": g["estimate"].mean(),
            "bias": error.mean(),
            "mc_error": mc,
            "bias_in_mc_errors": error.mean() / mc,
            "spread": error.std(ddof=1),
            "treated_victims": g["treated_victims"].mean(),
        }
        columns = {"design": g["design_se"], "county": g["county_se"]}
        columns["headline"] = np.fmax(g["design_se"], g["county_se"])
        for kind, se in columns.items():
            df = g["df_county"] if kind == "county" else g["df_design"]
            inside = error.abs() <= stats.t(df).ppf(0.5 + level / 2) * se
            row[f"mean_{kind}_se"] = se.mean()
            row[f"coverage_{kind}"] = 100 * inside.mean()
            row[f"significant_{kind}"] = 100 * (g["estimate"].abs() > stats.t(df).ppf(0.5 + level / 2) * se).mean()
        rows.append(row)
    return pd.DataFrame(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the recovery table."""
    parser = argparse.ArgumentParser(description="Recovery of planted effects (SIMULATED)")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--family", choices=("logit", "poisson", "both"), default="both")
    parser.add_argument("--comparison", choices=("subgroup", "contrast", "triple"), default="subgroup")
    parser.add_argument("--dates", choices=("assumed", "agreements"), default="agreements")
    parser.add_argument("--everybody", action="store_true", help="simulate all groups, not the studied one only")
    parser.add_argument("--leverage", action="store_true", help="correct errors for the leverage of counties")
    parser.add_argument("--shocks", action="store_true", help="size of the tests under shocks by county and half-year")
    parser.add_argument("--null", action="store_true", help="plant nothing: size of the tests")
    parser.add_argument("--save", help="write one row per seed and treatment to this CSV")
    parser.add_argument("--size", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=1.0)
    chosen = parser.parse_args(arguments)
    if chosen.shocks:
        runs = size_study(draws=chosen.seeds)
        if chosen.save:
            runs.to_csv(chosen.save, index=False)
        print("SIMULATED. True nulls rejected at 5 %, by sd of shocks by county and half-year")
        print(summarize_size(runs).round(3).to_string(index=False))
        return
    for family in ("logit", "poisson") if chosen.family == "both" else (chosen.family,):
        seeds = range(chosen.first, chosen.first + chosen.seeds)
        runs = recover(
            seeds,
            family=family,
            comparison=chosen.comparison,
            planted=dict.fromkeys(PLANTED, 1.0) if chosen.null else PLANTED,
            size=chosen.size,
            rate=chosen.rate,
            dates=chosen.dates,
            only_group=None if chosen.everybody else "latino",
            leverage=chosen.leverage,
        )
        if chosen.save:
            write(chosen.save, runs.assign(family=family).to_csv(index=False))
        print(f"SIMULATED. {family}, {chosen.comparison}, truth and estimates in logarithms")
        print(summarize(runs).round(4).T.to_string(header=False), flush=True)


if __name__ == "__main__":
    main()
