"""Agency offences and clearances from Kaplan's concatenated Return A files (openICPSR 100707).

One row an agency and month (or year). Counts are as reported, nothing imputed. Which months were reported is the
delicate point: early releases label an unreported month 0, and ``number_of_months_reported`` is in truth the last
month reported. This module takes, in this order, ``month_missing``, the card indicator ``card_actual_pt``, and
only then the last month, and says which rule it used. Yearly files give ``number_of_months_missing`` from V13 on.
Negative counts are corrections of earlier months and are kept.

Citation: Kaplan, Jacob. Uniform Crime Reporting Program Data: Offenses Known and Clearances by Arrest (Return A).
Ann Arbor, MI: ICPSR [distributor]. https://doi.org/10.3886/E100707 (cite the version downloaded).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

import pandas as pd

from g287stats.catalog import missing, read_kept
from g287stats.catalog import table as declared
from g287stats.catalog.archives import Member
from g287stats.catalog.readers import as_numbers, labels, read_named
from g287stats.catalog.store import Part, kept
from g287stats.errors import Problems, SourceError
from g287stats.flow import Flow, Step
from g287stats.geography import harmonise
from g287stats.outcomes.agency.reports import AgencyReports, Rule, county_from_agencies
from g287stats.outcomes.table import OutcomeTable, select_years

TABLE = "kaplan-offenses"
OFFENCES: dict[str, tuple[str, ...]] = {  # ours -> the producer's names, newest first, without actual_ / tot_clr_
    "murder": ("murder",),
    "rape_mixed": ("rape_total",),
    "robbery": ("robbery_total",),
    "assault": ("assault_aggravated", "aggravated_assault"),
    "burglary": ("burglary_total", "burg_total"),
    "larceny": ("theft_total",),
    "motor_vehicle_theft": ("motor_vehicle_theft_total", "mtr_veh_theft_total"),
}
_MONTHS = {
    m: n
    for n, m in enumerate(
        (
            "january",
            "february",
            "march",
            "april",
            "may",
            "june",
            "july",
            "august",
            "september",
            "october",
            "november",
            "december",
        ),
        1,
    )
}
_KEYS = ("ori", "year", "month", "fips_state_county_code", "fips_state_code", "fips_county_code", "population")
_REPORTING = (
    "month_missing",
    "card_actual_pt",
    "number_of_months_missing",
    "number_of_months_reported",
    "last_month_reported",
)
_NAMES = tuple(f"{kind}_{n}" for kind in ("actual", "tot_clr") for names in OFFENCES.values() for n in names)


def parse(members: Sequence[Member]) -> list[Part]:
    """Read monthly and yearly files, one part a year and grain; all problems of all files at once."""
    problems = Problems(TABLE)
    parts: dict[str, Part] = {}
    for member in members:
        own = Problems(member.label)
        try:
            raw = read_named(member, [*_KEYS, *_REPORTING, *_NAMES])
            frame = _standard(raw, member, own)
        except SourceError as error:
            problems.add(str(error))
            continue
        if own:
            problems.lines += [f"{member.label}: {line}" for line in own.lines]
            continue
        grain = "yearly" if "_yearly_" in member.name else "monthly"
        for year in sorted(int(y) for y in frame["year"].unique()):
            rows = frame[frame["year"] == year]
            key = f"{grain}-{year}"
            if key in parts:
                problems.add(f"{member.label} and {parts[key].source.label} both hold {key}", remedy="Name one of them")
            report = {
                "year": year,
                "agencies": rows["agency"].nunique(),
                "without_county": int(rows["fips"].isna().sum()),
            }
            parts[key] = Part(key, rows.reset_index(drop=True), member, report)
    problems.raise_if_any(SourceError)
    return [parts[k] for k in sorted(parts)]


def _standard(raw: pd.DataFrame, member: Member, problems: Problems) -> pd.DataFrame:
    """Bring one file to our names: agency, year, month, fips, population, reported or months, counts, clearances."""
    monthly = "_yearly_" not in member.name
    needed = ["ori", "year", "population", *(["month"] if monthly else [])]
    chosen: dict[str, str] = {}
    absent = [c for c in needed if c not in raw]
    for ours, names in OFFENCES.items():
        for kind, suffix in (("actual", ""), ("tot_clr", "_cleared")):
            found = [f"{kind}_{n}" for n in names if f"{kind}_{n}" in raw]
            if found:
                chosen[ours + suffix] = found[0]
            else:
                absent.append(f"{kind}_{names[0]}")
    if absent:
        problems.add("columns are absent: another layout, or another of Kaplan's files", absent)
        return raw
    numbers = as_numbers(raw, ["year", "population", *chosen.values()], problems, integer=[*chosen.values(), "year"])
    if problems:
        return raw
    said = {int(y) for y in re.findall(r"(?<!\d)((?:19|20)\d\d)(?!\d)", member.name.rsplit("/", 1)[-1])}
    years = {int(y) for y in numbers["year"].dropna().unique()}
    if said and years and (min(years) < min(said) or max(years) > max(said)):
        problems.add(f"the name says {min(said)}–{max(said)}, the rows {min(years)}–{max(years)}: wrong year")
    out = pd.DataFrame({"agency": raw["ori"].astype("string").str.strip().str.upper()})
    bad = ~out["agency"].str.fullmatch(r"[A-Z]{2}[A-Z0-9]{5,7}").fillna(False)
    if bad.any():
        problems.add("ORIs are not two letters and five to seven characters", out.loc[bad, "agency"].astype(str))
    out["year"] = numbers["year"].astype("Int64")
    out["fips"] = _fips(raw)
    out["population"] = numbers["population"]
    if monthly:
        month = raw["month"].astype("string").str.strip().str.lower()
        number = pd.to_numeric(month, errors="coerce").astype("Float64")
        out["month"] = month.map(_MONTHS).astype("Float64").fillna(number).astype("Int64")
        if (~out["month"].between(1, 12)).fillna(True).any():
            problems.add("months that are no months", month[~out["month"].between(1, 12).fillna(False)].unique())
        out["reported"], out["rule"] = _reported(raw, out["month"])
    else:
        out["months_reported"], out["rule"] = _months(raw)
    for ours, theirs in chosen.items():
        out[ours] = numbers[theirs]
    key = ["agency", "year", *(["month"] if monthly else [])]
    twice = out.duplicated(key)
    if twice.any():
        problems.add("agency-periods repeat", labels(out.loc[twice, key]))
    return out


def _fips(raw: pd.DataFrame) -> pd.Series:
    if "fips_state_county_code" in raw:
        text = raw["fips_state_county_code"].astype("string").str.replace(r"\.0$", "", regex=True).str.strip()
        text = text.str.zfill(5)
    elif {"fips_state_code", "fips_county_code"} <= set(raw.columns):
        state, county = (
            raw[c].astype("string").str.replace(r"\.0$", "", regex=True).str.strip().str.zfill(n)
            for c, n in (("fips_state_code", 2), ("fips_county_code", 3))
        )
        text = state + county
    else:
        return pd.Series(pd.NA, index=raw.index, dtype="object")
    return text.where(text.str.fullmatch(r"\d{5}").fillna(False) & ~text.str.endswith(("000", "999"))).astype("object")


def _reported(raw: pd.DataFrame, month: pd.Series) -> tuple[pd.Series, str]:
    if "month_missing" in raw:
        return pd.to_numeric(raw["month_missing"], errors="coerce").eq(0), "month_missing"
    if "card_actual_pt" in raw:
        card = raw["card_actual_pt"].astype("string").str.strip().str.lower().fillna("")
        return ~card.isin(["", "missing", "na", "nan", "not updated"]), "card_actual_pt"
    for column in ("last_month_reported", "number_of_months_reported"):
        if column in raw:
            return month <= _last_month(raw[column]), f"{column} (last month reported; gaps before it are not seen)"
    raise SourceError(
        "no column says which months were reported: one of month_missing, card_actual_pt, last_month_reported"
    )


def _months(raw: pd.DataFrame) -> tuple[pd.Series, str]:
    if "number_of_months_missing" in raw:
        missing_months = pd.to_numeric(raw["number_of_months_missing"], errors="coerce")
        return (12 - missing_months).fillna(0).clip(0, 12).astype("int64"), "number_of_months_missing"
    for column in ("last_month_reported", "number_of_months_reported"):
        if column in raw:
            return _last_month(raw[column]), f"{column} (last month reported; gaps before it are not seen)"
    raise SourceError("no column says how many months were reported: number_of_months_missing is expected")


def _last_month(column: pd.Series) -> pd.Series:
    text = column.astype("string").str.strip().str.lower()
    number = pd.to_numeric(text, errors="coerce").astype("float64")
    return number.fillna(text.map(_MONTHS).astype("float64")).fillna(0).clip(0, 12).astype("int64")


def load_kaplan_reports(
    years: tuple[int, int] | Iterable[int] | None = None, *, grain: Literal["month", "year"] = "month"
) -> AgencyReports:
    """Return what agencies reported, by month (default) or year, from the files added as ``kaplan-offenses``."""
    prefix = {"month": "monthly-", "year": "yearly-"}[grain]
    have = {k.removeprefix(prefix): v for k, v in kept(TABLE).items() if k.startswith(prefix)}
    if not have:
        raise missing(TABLE, f"{grain}ly files")
    chosen = select_years("kaplan_agencies", years, [int(k) for k in have])
    pieces = read_kept(TABLE, [f"{prefix}{y}" for y in chosen])
    frame = pd.concat(pieces.values(), ignore_index=True)
    rules = sorted(frame["rule"].unique())
    counts = [c + s for c in OFFENCES for s in ("", "_cleared")]
    frame["county_fips"] = harmonise(frame["fips"], warn=False)
    flow = [
        Step(f"agency-{grain}s in the files", len(frame), f"{chosen[0]}–{chosen[-1]}"),
        Step("with a county", int(frame["county_fips"].notna().sum()), "no FIPS code, or one without a unit"),
    ]
    if grain == "month":
        frame["period"] = pd.PeriodIndex.from_fields(  # type: ignore[attr-defined]
            year=frame["year"].astype("int64"), month=frame["month"].astype("int64"), freq="M"
        )
        frame["reported"] = frame["reported"].astype(bool)
        frame[counts] = frame[counts].mask(~frame["reported"])
        flow.append(Step("reported", int(frame["reported"].sum()), "; ".join(rules)))
        own = ["period", "reported"]
    else:
        frame[counts] = frame[counts].mask(frame["months_reported"] == 0)
        frame["year"] = frame["year"].astype("int64")
        flow.append(Step("with a month reported", int((frame["months_reported"] > 0).sum()), "; ".join(rules)))
        own = ["year", "months_reported"]
    for suffix in ("", "_cleared"):
        violent = [f"{c}{suffix}" for c in ("murder", "rape_mixed", "robbery", "assault")]
        frame[f"violent{suffix}"] = frame[violent].sum(axis=1, min_count=4)
        frame[f"violent_ex_rape{suffix}"] = frame[[violent[0], *violent[2:]]].sum(axis=1, min_count=3)
        thefts = [f"{c}{suffix}" for c in ("burglary", "larceny", "motor_vehicle_theft")]
        frame[f"property{suffix}"] = frame[thefts].sum(axis=1, min_count=3)
    totals = [f"{t}{s}" for s in ("", "_cleared") for t in ("violent", "violent_ex_rape", "property")]
    names = (*totals, *counts)
    return AgencyReports(
        name="kaplan_agencies",
        frame=frame[["agency", *own, "county_fips", "population", *names]],
        counts=names,
        freq=grain[0].upper(),
        provenance={
            "table": TABLE,
            "citation": declared(TABLE).citation,
            "files": {k: {"file": v.source_member, "sha256": v.source_sha256} for k, v in sorted(have.items())},
            "months_reported_by": rules,
        },
        flow=Flow(tuple(flow)),
    )


def load_kaplan(
    years: tuple[int, int] | Iterable[int] | None = None,
    *,
    grain: Literal["month", "year"] = "month",
    rule: Rule = "full_reporters",
    min_months: int = 12,
    shares: pd.DataFrame | None = None,
) -> OutcomeTable:
    """Return county-years constructed from Kaplan's agency files; see :func:`county_from_agencies` for the rules."""
    reports = load_kaplan_reports(years, grain=grain)
    return county_from_agencies(reports, rule=rule, min_months=min_months, shares=shares)
