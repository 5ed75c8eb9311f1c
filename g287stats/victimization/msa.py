"""The public 52-MSA file (ICPSR 38321): the only public survey file with places in the task-force years.

Rates with the file's jackknife, and the county design carried to metropolitan areas: an area is treated by the share
of its residents whose county is under an agreement. The file is not in hand; layout and targets are the producer's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from g287stats import survey
from g287stats.catalog import read_released
from g287stats.errors import DesignError
from g287stats.outcomes.ncvs.files import NcvsFile
from g287stats.survey.design import SurveySample
from g287stats.survey.replicates import replicate_weights
from g287stats.victimization.did import TreatedSample
from g287stats.victimization.window import window_shares


def msa_sample(
    person: NcvsFile,
    incident: NcvsFile,
    *,
    violent: Sequence[int],
    keys: Sequence[str] = ("YEARQ", "IDPER"),
    victimization_weight: str = "SERIESWGT",
    scale: float = 0.96666667,
) -> SurveySample:
    """Join the two tables of the public 52-MSA file (ICPSR 38321) into a sample with its jackknife.

    Parameters
    ----------
    violent
        Codes of ``TOC_RECODE`` that are violent, from the codebook that comes with the file.
    keys
        Columns that identify a person-interview in both tables.
    victimization_weight
        Series-adjusted victimization weight of the incident table.
    scale
        Of the JK1 replicates ``PERREPWGT*``, as published: 0.96666667.

    ``adjusted`` is the weighted number of violent victimizations relative to the person's weight, so that
    ``victimization_rate(sample, by="MSAIND", variance="replicates")`` is the published rate. To check a file: New
    York 14.040496 (SE 2.3261798), Chicago 11.661543 (1.8437806), Los Angeles 14.395164 (1.8155317) in 2014–15.
    """
    for file, level in ((person, "msa_person"), (incident, "msa_incident")):
        if file.table != level:
            raise DesignError(f"expected the {level} table, found {file.table!r}")
    p, i = person.frame, incident.frame
    columns = list(keys)
    absent = [f"{n}: {c}" for n, f in (("person", p), ("incident", i)) for c in columns if c not in f]
    absent += [f"incident: {victimization_weight}"] if victimization_weight not in i else []
    if absent:
        raise DesignError(f"columns are absent: {absent}; name the file's own with keys= and victimization_weight=")
    replicated = sorted((str(c) for c in p if str(c).startswith("PERREPWGT")), key=lambda c: int("0" + c[9:]))
    if not replicated:
        raise DesignError('the person table has no PERREPWGT columns; read it with columns="all"')
    index = pd.MultiIndex.from_frame(p[columns])
    if index.has_duplicates:
        raise DesignError(f"person rows repeat in {columns}")
    counted = i[i["TOC_RECODE"].isin(list(violent))]
    place = index.get_indexer(pd.MultiIndex.from_frame(counted[columns]))
    if (place < 0).any():
        raise DesignError(f"{int((place < 0).sum())} incidents have no person row: tables of two releases?")
    weight = p["WGTPER"].to_numpy(float)
    number = np.bincount(place, counted[victimization_weight].to_numpy(float), len(p))
    frame = p.drop(columns=replicated).assign(
        weight=weight,
        adjusted=np.divide(number, weight, out=np.zeros(len(p)), where=weight > 0),
        victim=(number > 0) * 1.0,
    )
    jackknife = replicate_weights(p[replicated].to_numpy(float), "jk1", scale=scale, degrees=len(replicated) - 1)
    frame.attrs.update(p.attrs)
    return survey.sample(frame, weights="weight", replicates=jackknife)


def msa_treated(
    sample: SurveySample,
    counties: pd.DataFrame,
    treatments: Mapping[str, pd.DataFrame],
    *,
    population_year: int = 2010,
    recall: int = 6,
) -> TreatedSample:
    """Give every interview of the MSA file the treated share of its area and reference window.

    Parameters
    ----------
    sample
        From :func:`msa_sample`; its frame has ``MSAIND`` and ``YEARQ``.
    counties
        ``MSAIND`` and ``county_fips``: the counties of each area, from the codebook of the file.
    treatments
        Name → days under treatment (``county_fips``, ``start``, ``end``).
    population_year
        Residents that weight the counties of an area.

    The share is the residents-weighted average over counties of the treated share of the six months before the
    interview, averaged over the quarter's months (the file has no month). Estimate with
    ``victimization_did(treated, group="all", period="quarter", controls=(…), variance="replicates")``.
    """
    frame = sample.frame
    absent = [c for c in ("MSAIND", "YEARQ") if c not in frame]
    absent += [f"counties: {c}" for c in ("MSAIND", "county_fips") if c not in counties]
    if absent:
        raise DesignError(f"columns are absent: {absent}")
    areas = np.unique(frame["MSAIND"])
    missing = sorted(set(areas) - set(counties["MSAIND"]))
    if missing:
        raise DesignError(f"no counties are given for areas {missing}; take them from the codebook of the file")
    people = read_released("population")
    people = people[people["year"] == population_year].set_index("county_fips")["population"].astype(float)
    weight = people.reindex(counties["county_fips"]).to_numpy()
    if np.isnan(weight).any():
        lost = counties["county_fips"].to_numpy()[np.isnan(weight)].tolist()
        raise DesignError(f"no residents in {population_year} for counties {lost}: harmonise the codes first")
    code = np.round(frame["YEARQ"].to_numpy(float) * 10).astype(int)
    year, quarter = code // 10, code % 10
    months = pd.period_range(f"{year.min()}-01", f"{year.max()}-12", freq="M")
    area = np.searchsorted(areas, counties["MSAIND"].to_numpy())
    total = np.bincount(area, weight, len(areas))
    columns: dict[str, np.ndarray] = {}
    for name, days in treatments.items():
        known = window_shares(days[days["start"].notna()], months, recall)
        shares = known.reindex(counties["county_fips"], fill_value=0.0).to_numpy()
        by_area = np.vstack([np.bincount(area, weight * column, len(areas)) for column in shares.T]) / total
        first = (year - year.min()) * 12 + 3 * (quarter - 1)
        here = np.searchsorted(areas, frame["MSAIND"])
        columns[name] = (by_area[first, here] + by_area[first + 1, here] + by_area[first + 2, here]) / 3
    added = frame.assign(year=year, quarter=code, half=year * 10 + (quarter + 1) // 2, **columns)
    if "group" not in added:
        added["group"] = "all"
    added.attrs.update(frame.attrs)
    clusters = {**sample.cluster, "MSAIND": np.searchsorted(areas, frame["MSAIND"])}
    moved = replace(sample, frame=added, cluster=clusters)
    return TreatedSample(moved, tuple(columns), dict(treatments), "MSAIND", None)
