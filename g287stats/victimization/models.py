"""The +111 % study's other models, and the table of its effects: one task, one row or one estimate each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from g287stats import survey
from g287stats.estimate.estimate import Estimate
from g287stats.panel.exposure import Exposure
from g287stats.victimization.did import treated_sample, victimization_did
from g287stats.victimization.extract import agreement_days


def other_models(data: Any, interviews: Any, treated: Any) -> Iterator[tuple[str, Estimate]]:
    """Other families, samples and codings of who is treated, by name, one fit at a time.

    Parameters
    ----------
    data
        What :func:`~g287stats.victimization.extract.county_ncvs` gives: files and days of treatment.
    interviews, treated
        Its interviews, and the sample of :func:`~g287stats.victimization.did.treated_sample` on them.
    """
    frame = treated.sample.frame
    yield from {
        "linear": victimization_did(treated, family="linear"),
        "Poisson": victimization_did(treated, family="poisson"),
        "complementary log-log": victimization_did(treated, family="cloglog"),
        "task forces alone": victimization_did(treated, treatments=("TFM",)),
        "to 2012, before the exits": victimization_did(treated, domain="year <= 2012"),
        "windows wholly treated or not": victimization_did(treated, domain=frame["TFM"].isin([0, 1])),
        "bounded interviews only": victimization_did(
            treated, domain="incoming == 0", controls=("C(age_band)", "female")
        ),
    }.items()
    late = {name: d.assign(start=d["start"] + pd.Timedelta(days=90)) for name, d in data.treatments.items()}
    yield "90 days after signing", _again(interviews, {k: d[d.start < d.end] for k, d in late.items()})
    cities, states = (agreement_days(Exposure(models=("TFM",), level=v), before="2013-01-01")
                      for v in ("municipal", "state"))  # fmt: skip
    own = data.treatments["TFM"]
    yield "cities count too", _again(interviews, {**data.treatments, "TFM": pd.concat([own, cities])})
    everyone = {**data.treatments, "TFM": pd.concat([own, cities, states])}
    yield "cities and state agencies count too", _again(interviews, everyone)
    touched = set(cities.county_fips) | set(states.county_fips)
    clean = frame["county_fips"].isin(set(own.county_fips)) | ~frame["county_fips"].isin(touched)
    yield "controls without a city or state task force", victimization_did(treated, domain=clean)
    if not data.simulated:
        yield "triple difference", victimization_did(treated, comparison="triple")


def _again(interviews: Any, treatments: Mapping[str, pd.DataFrame]) -> Estimate:
    return victimization_did(treated_sample(interviews, treatments, singleton="adjust"))


def effects_table(estimate: Estimate, group: str, corrected: Estimate | None = None) -> pd.DataFrame:
    """One row per treatment: coefficient, errors by design and by county, the larger, ratio, events, interviews.

    Parameters
    ----------
    estimate
        Of :func:`~g287stats.victimization.did.victimization_did`.
    group
        Written into the column of that name.
    corrected
        The same fit with leverage corrections, for a column of its own.
    """
    errors = survey.both_errors(estimate, "county_fips")[["estimate", "design_se", "county_fips_se", "headline_se"]]
    if corrected is not None:
        errors["corrected_county_se"] = survey.both_errors(corrected, "county_fips")["county_fips_se"]
    keep = estimate.labels.set_index("term")["treatment"] != ""
    out = errors[keep.to_numpy()].reset_index().assign(group=group)
    if estimate.options["family"] != "linear":
        out["ratio"] = survey.ratios(estimate).loc[out["term"], "ratio"].to_numpy()
    return out.assign(events=estimate.sample["n_events"], interviews=estimate.sample["n_obs"])
