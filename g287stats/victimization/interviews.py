"""From NCVS files to one row per person-interview: victimizations counted as the producer counts them.

    series = 1 if V4017 in (1, 8) or V4018 in (2, 8) or V4019 in (1, 8), else 2 (a series)
    n10    = min(V4016, 10), missing if V4016 is 997 or 998
    times  = 1 if series == 1, else 6 if n10 is missing, else n10
    n      = sum over the interview's records of times · [type] · [V4022 ≠ 1]
    A      = WGTVICCY / WGTPERCY: twice the bounding factor; 0 without a record

so that the rate is 1000 · Σ w·A·n / Σ w with w = WGTPERCY (BJS, direct-variance guide).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from g287stats import survey
from g287stats.errors import DesignError, Problems, SourceError
from g287stats.outcomes.ncvs.codes import ALL_TYPES, TYPES, crimes_of
from g287stats.outcomes.ncvs.files import FACTS, NcvsFile, require_years
from g287stats.survey.design import SurveySample, dummy_records, year_group
from g287stats.survey.linearize import Singleton
from g287stats.survey.replicates import ReplicateWeights

AGE_BANDS = (18, 25, 35, 50, 65)
"""First ages of the bands after 12–17; ``age_band`` is 1 … 6, as ``ager`` in the producer's tables."""
GROUPS = ("latino", "black", "white", "other")
ASKED = (1, 2, 3, 8)
"""Answers of V4399 that stay in the denominator of shares reported: yes, no, do not know, residue."""


@dataclass(frozen=True)
class Interviews:
    """Person-interviews ready for estimation.

    ``frame`` has one row per person-interview, non-interviews included (weight zero): the file's columns and
    ``year``, ``quarter``, ``half`` (calendar half-year), ``yr_grp``, ``weight``, ``n`` (victimizations of the
    chosen type, series counted), ``adjusted`` (A·n), ``victim`` (n > 0), ``reported`` and ``known`` (A·n
    reported to police; A·n with a known answer), ``age``, ``age_band``, ``female``, ``group`` (latino, black, white,
    other), and ``month`` and ``incoming`` where the household file has them.
    ``flow`` lists what was matched and what was not.
    """

    frame: pd.DataFrame = field(repr=False)
    types: str
    flow: pd.DataFrame
    simulated: bool = False


def series_times(incidents: pd.DataFrame, rows: np.ndarray | None = None) -> np.ndarray:
    """Return how many victimizations each record stands for: 1, or the times of a series, at most 10.

    Of ``rows`` (a mask; default all) the answers that decide must be there: V4017 of every record, V4018 and V4019
    where they were asked, V4016 of a series; do not know and residue (8, 997, 998) are answers.

    Raises
    ------
    SourceError
        Records without those answers, or with a count of times below one.
    """
    v = {c: incidents[c].to_numpy(float) for c in ("V4016", "V4017", "V4018", "V4019")}
    used = np.ones(len(incidents), dtype=bool) if rows is None else rows
    single = np.isin(v["V4017"], (1, 8)) | np.isin(v["V4018"], (2, 8)) | np.isin(v["V4019"], (1, 8))
    unknown = np.isin(v["V4016"], (997, 998))
    problems, remedy = Problems("series incidents"), "Give 8 (residue) where the producer's rule counts the record once"
    for name in ("V4017", "V4018", "V4019"):
        gone = used & ~single & np.isnan(v[name])
        if gone.any():
            problems.add(f"{name} is missing in records", np.flatnonzero(gone).tolist(), remedy)
    for what, bad in (("is missing in series", np.isnan(v["V4016"])), ("is below one in series", v["V4016"] < 1)):
        bad = used & ~single & bad
        if bad.any():
            remedy = "Give 998 (residue), which counts as six"
            problems.add(f"the number of times V4016 {what}", np.flatnonzero(bad).tolist(), remedy)
    problems.raise_if_any(SourceError)
    return np.where(single, 1.0, np.where(unknown, 6.0, np.minimum(np.nan_to_num(v["V4016"], nan=0), 10)))


def type_codes(types: str | Sequence[int], level: str) -> tuple[int, ...]:
    """Return the V4529 codes of ``types``, all of which must be crimes against ``level`` (person or household)."""
    if isinstance(types, str) and types not in TYPES:
        raise DesignError(f"types={types!r}: choose one of {', '.join(sorted(TYPES))}; or give V4529 codes")
    codes = TYPES[types] if isinstance(types, str) else tuple(int(c) for c in types)
    unknown = sorted(set(codes) - ALL_TYPES)
    if unknown or not codes:
        raise DesignError(f"types={types}: {unknown or 'no codes'} are not V4529 codes; those are {sorted(ALL_TYPES)}")
    other = sorted(set(codes) - crimes_of(level))
    if other:
        instead = "household_interviews" if level == "person" else "person_interviews"
        whom = "households" if level == "person" else "persons"
        raise DesignError(f"types={types!r}: V4529 {other} are crimes against {whom}; count them with {instead}(…)")
    return codes


def in_types(incidents: pd.DataFrame, types: str | Sequence[int], level: str = "person") -> np.ndarray:
    """Whether each record is of the type asked for and happened in the United States (V4022 is not 1)."""
    code = incidents["V4529"].to_numpy(float)
    strange = np.unique(code[~np.isnan(code) & ~np.isin(code, sorted(ALL_TYPES))])
    if len(strange):
        raise SourceError(
            f"V4529 holds {strange.tolist()}, which are no types of crime; map them with rename= or leave"
        )
    inside = np.isin(code, type_codes(types, level))
    return inside & (incidents["V4022"].to_numpy(float) != 1 if "V4022" in incidents else True)


def person_interviews(
    person: NcvsFile,
    incident: NcvsFile,
    household: NcvsFile | None = None,
    *,
    types: str | Sequence[int] = "violent",
    weights: str = "WGTPERCY",
) -> Interviews:
    """Put incidents to person-interviews.

    Parameters
    ----------
    person, incident
        Tables of the same release, with ``YEARQ`` and ``IDPER`` as keys.
    household
        Needed when the person table carries no V2117 and V2118 (annual files); it also gives the interview month
        (V2130) and whether the household is in its first interview (V2124: ``incoming``).
    types
        A name of :data:`~g287stats.outcomes.ncvs.codes.TYPES` or V4529 codes.
    weights
        Person weight: WGTPERCY (collection year).

    Raises
    ------
    SourceError
        Duplicate person-interviews, incidents without a person-interview, persons without a stratum.
    """
    problems = Problems("person-interviews")
    out, flow = _counted(person, incident, "person", "IDPER", weights, types, problems)
    matched = _add_household(out, household, problems)
    problems.raise_if_any(SourceError)
    _add_calendar(out)
    _add_person(out)
    flow.append(("person rows matched to the household file", matched))
    return _interviews(out, person, incident, types, flow, "person")


def household_interviews(
    household: NcvsFile,
    incident: NcvsFile,
    *,
    types: str | Sequence[int] = "property",
    weights: str = "WGTHHCY",
) -> Interviews:
    """Put incidents to household interviews, for property crime: rates are per 1,000 households.

    Keys are ``YEARQ`` and ``IDHH``; otherwise as :func:`person_interviews`.
    """
    problems = Problems("household interviews")
    out, flow = _counted(household, incident, "household", "IDHH", weights, types, problems)
    _add_household(out, None, problems)
    problems.raise_if_any(SourceError)
    _add_calendar(out)
    return _interviews(out, household, incident, types, flow, "household")


def _counted(
    whole: NcvsFile,
    incident: NcvsFile,
    level: str,
    key: str,
    weight: str,
    types: str | Sequence[int],
    problems: Problems,
) -> tuple[pd.DataFrame, list[tuple[str, int]]]:
    """Count victimizations of the types to the interviews of ``whole``; list every row's fate."""
    for file, expected in ((whole, level), (incident, "incident")):
        if file.table != expected:
            problems.add(f"expected a {expected} table, found {file.table!r}")
    problems.raise_if_any(SourceError)
    p, i = whole.frame, incident.frame
    keys = ["YEARQ", key]
    lacking = [c for c in (weight, *keys) if c not in p] + [c for c in ("V4529", "WGTVICCY", *keys) if c not in i]
    if lacking:
        problems.add("columns are absent", lacking, "Read the file again with columns=(…)")
        problems.raise_if_any(SourceError)
    twice = _repeats(p, key)
    if len(twice):
        problems.add(f"{level}-interviews (YEARQ, {key}) repeat", twice)
    place = _locate(p, i, key)
    orphans = place < 0
    if orphans.any():
        listed = [f"{q} {d}" for q, d in zip(i["YEARQ"][orphans], i[key][orphans])]
        remedy = f"The {level} and the incident file must be of one release and the same quarters"
        problems.add(f"incidents without a {level}-interview", listed, remedy)
    problems.raise_if_any(SourceError)
    chosen = in_types(i, types, level)
    times = series_times(i, chosen) * chosen
    w = p[weight].to_numpy(float)
    for name, values, of in ((weight, w, None), ("WGTVICCY", i["WGTVICCY"].to_numpy(float), chosen)):
        bad = ~(np.isfinite(values) & (values >= 0)) & (True if of is None else of)
        if bad.any():
            problems.add(
                f"{name} is missing or negative in rows", np.flatnonzero(bad).tolist(), "Non-interviews weigh 0"
            )
    problems.raise_if_any(SourceError)
    ratio = np.divide(i["WGTVICCY"].to_numpy(float), w[place], out=np.zeros(len(i)), where=w[place] > 0)
    told = i["V4399"].to_numpy(float) if "V4399" in i else np.full(len(i), np.nan)
    untyped = int(i["V4529"].isna().sum())
    out = p.copy()
    n = len(p)
    out["weight"] = w
    out["n"] = np.bincount(place, times, n)
    out["adjusted"] = np.bincount(place, times * ratio, n)
    out["reported"] = np.bincount(place, times * ratio * (told == 1), n)
    out["known"] = np.bincount(place, times * ratio * np.isin(told, (1, 2)), n)
    out["victim"] = (out["n"] > 0).astype(float)
    flow = [
        (f"{level} rows", n),
        ("interviews (weight > 0)", int((w > 0).sum())),
        ("incident records", len(i)),
        ("records of the type, in the United States", int(chosen.sum())),
        ("records without a type of crime", untyped),
        ("series records among them", int((times > 1).sum())),
        ("records of non-interviews (no weight, no effect)", int((chosen & (w[place] <= 0)).sum())),
    ]
    return out, flow


def _interviews(
    out: pd.DataFrame,
    whole: NcvsFile,
    incident: NcvsFile,
    types: str | Sequence[int],
    flow: list[tuple[str, int]],
    level: str,
) -> Interviews:
    facts = dict(whole.frame.attrs.get(FACTS, {}))
    name = types if isinstance(types, str) else "V4529 " + ", ".join(map(str, types))
    out.attrs[FACTS] = facts | {"rows": len(out), "unit": level, "types": name}
    table = pd.DataFrame(flow, columns=["step", "rows"])
    return Interviews(out, name, table, whole.simulated or incident.simulated)


def ncvs_sample(
    interviews: Interviews,
    *,
    strata: str | Sequence[str] = ("yr_grp", "V2117"),
    psu: str = "V2118",
    cluster: str | Sequence[str] = (),
    singleton: Singleton = "fail",
    replicates: ReplicateWeights | None = None,
) -> SurveySample:
    """Describe the survey's sample of person-interviews: strata within year groups, half-samples, weights.

    Replicate weights do not exist before 2011; asking for them in earlier years raises
    :class:`~g287stats.errors.UnavailableError`.
    """
    if replicates is not None:
        require_years("PERREPWGT1", sorted(interviews.frame["year"].unique()))
    return survey.sample(
        interviews.frame,
        weights="weight",
        strata=strata,
        psu=psu,
        cluster=cluster,
        singleton=singleton,
        replicates=replicates,
    )


def incident_sample(
    interviews: Interviews,
    incident: NcvsFile,
    *,
    types: str | Sequence[int] = "violent",
    dummies: bool = True,
    singleton: Singleton = "fail",
) -> SurveySample:
    """Describe the incident file as a sample: design and weights, and one dummy record for each PSU without one.

    ``weight`` is the series-adjusted victimization weight; ``reported`` 1, 0 (not reported, do not know, residue: as
    in the bureau's tables) or missing; ``victimizations`` 1 for the type asked for. For totals and percentages from
    the incident file (the dummy-record rule of the direct-variance guide); ``dummies=False`` raises when a PSU is
    absent.
    """
    p, i = interviews.frame, incident.frame
    level = p.attrs.get(FACTS, {}).get("unit", "person")
    place = _locate(p, i, "IDPER" if level == "person" else "IDHH")
    if (place < 0).any():
        raise SourceError(f"{int((place < 0).sum())} incidents have no {level}-interview: tables of two releases?")
    keep = [c for c in ("yr_grp", "V2117", "V2118", "year", "half", "age", "female", "group") if c in p]
    out = p[keep].iloc[place].reset_index(drop=True)
    out.attrs = {}
    told = i["V4399"].to_numpy(float)
    inside = in_types(i, types, level)
    out["V4529"] = i["V4529"].to_numpy(float)
    out["victimizations"] = np.where(inside, 1.0, 0.0)
    out["reported"] = np.where(inside & np.isin(told, ASKED), (told == 1) * 1.0, np.nan)
    out["weight"] = np.where(inside, i["WGTVICCY"].to_numpy(float) * series_times(i, inside), 0.0)
    if interviews.simulated:
        out.attrs[FACTS] = {"rows": len(out), "simulated": True}
    design = ["yr_grp", "V2117", "V2118"]
    roster = p[design].drop_duplicates()
    if dummies:
        out = dummy_records(out, roster, keys=design, weights="weight")
    return survey.sample(out, weights="weight", strata=design[:2], psu=design[2], roster=roster, singleton=singleton)


def _quarter(yearq: pd.Series) -> np.ndarray:
    """Return YYYY.Q as the integer YYYYQ, so that keys compare exactly."""
    return np.round(yearq.to_numpy(float) * 10).astype(int)


def _coded(frame: pd.DataFrame, name: str, labels: pd.Index) -> np.ndarray:
    """Code interview keys (identifier, quarter) as one integer; -1 where the identifier is not in ``labels``."""
    code = labels.get_indexer(pd.Index(frame[name]))
    return np.where(code < 0, -1, code.astype(np.int64) * 100_000 + _quarter(frame["YEARQ"]))


def _repeats(frame: pd.DataFrame, name: str) -> list[str]:
    code, labels = pd.factorize(frame[name])
    key = code.astype(np.int64) * 100_000 + _quarter(frame["YEARQ"])
    ordered = np.sort(key)
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    return [f"{k % 100_000 / 10} {labels[k // 100_000]}" for k in again]


def _locate(whole: pd.DataFrame, part: pd.DataFrame, name: str) -> np.ndarray:
    """Position in ``whole`` of the interview of each row of ``part``; -1 where there is none."""
    labels = pd.Index(pd.unique(whole[name]))
    key, wanted = _coded(whole, name, labels), _coded(part, name, labels)
    order = np.argsort(key, kind="stable")
    spot = np.minimum(np.searchsorted(key[order], wanted), len(key) - 1)
    found = order[spot]
    return np.where((key[found] == wanted) & (wanted >= 0), found, -1)


def _add_household(out: pd.DataFrame, household: NcvsFile | None, problems: Problems) -> int:
    """Give every row its stratum, interview month and rotation from the household table; count rows matched."""
    matched = 0
    incomplete = not {"V2117", "V2118"} <= set(out.columns) or bool(out["V2117"].isna().any())
    if household is not None:
        h = household.frame
        if len(_repeats(h, "IDHH")):
            problems.add("household interviews (YEARQ, IDHH) repeat in the household table", _repeats(h, "IDHH"))
            return 0
        place = _locate(h, out, "IDHH")
        matched = int((place >= 0).sum())
        for name in ("V2117", "V2118", "V2130", "V2124"):
            if name not in h:
                continue
            value = pd.Series(np.where(place >= 0, h[name].to_numpy(float)[place], np.nan), index=out.index)
            out[name] = out[name].fillna(value) if name in out else value
        for name in [c for c in h if h[c].dtype == object and c not in out]:  # places, where this table has them
            out[name] = np.where(place >= 0, h[name].to_numpy(dtype=object)[place], None)
    elif incomplete:
        remedy = "Annual files carry them on the household table: person_interviews(person, incident, household)"
        problems.add("the table has rows without V2117 and V2118", (), remedy)
        return 0
    gone = out["V2117"].isna() | out["V2118"].isna()
    key = "IDPER" if "IDPER" in out else "IDHH"
    if gone.any():
        problems.add("rows have no stratum or sampling unit", out.loc[gone, key].tolist())
    if "V2130" in out:
        out["month"] = out["V2130"]
    if "V2124" in out:
        out["incoming"] = (out["V2124"] == 1).astype(float).where(out["V2124"].notna())
    return matched


def _add_calendar(out: pd.DataFrame) -> None:
    code = _quarter(out["YEARQ"])
    out["year"], out["quarter"] = code // 10, code
    out["half"] = code // 10 * 10 + (code % 10 + 1) // 2
    out["yr_grp"] = year_group(out["year"])


def _add_person(out: pd.DataFrame) -> None:
    if "V3014" in out:
        out["age"] = out["V3014"]
        band = 1.0 + np.digitize(out["age"].to_numpy(float), AGE_BANDS)
        out["age_band"] = pd.Series(band, index=out.index).where(out["age"].notna())
    if "V3018" in out:
        out["female"] = (out["V3018"] == 2).astype(float).where(out["V3018"].notna())
    if "V3024" not in out and "V3024A" not in out:
        return
    origin = out["V3024A"] if "V3024A" in out else pd.Series(np.nan, index=out.index)
    origin = origin.fillna(out["V3024"]) if "V3024" in out else origin
    race = next((out[c] for c in ("V3023A", "V3023") if c in out), pd.Series(np.nan, index=out.index))
    group = np.select(
        [origin == 1, (origin == 2) & (race == 2), (origin == 2) & (race == 1), (origin == 2) & race.notna()],
        list(GROUPS[:2]) + ["white", "other"],
        default="",
    )
    out["group"] = pd.Series(group, index=out.index, dtype=object).where(group != "", None)
    out["latino"] = (origin == 1).astype(float).where(origin.notna())
