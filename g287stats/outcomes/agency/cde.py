"""Agency offences and clearances from the FBI itself: Return A master files and the Crime Data Explorer's API.

**Return A master file** (``reta-YYYY.zip``): one record of 7,385 characters an agency and year; a header of 305 and
twelve blocks of 590, each with the month's indicators and four cards of 28 fields of 5 characters (unfounded,
actual, cleared, cleared under 18) and officers assaulted. A month counts as reported when the indicator of the
card "actual" reads P (offences in detail) or T (totals only). The card's assault total holds simple assault;
aggravated assault is the sum of its four parts. Negative figures are signed on the last digit (J = −1 … R = −9,
} = −0). Robbery, assault, burglary and vehicle theft must add up from their parts in at least half the agency-months
that give them, or the file is refused. County numbers in the record are the FBI's, not FIPS.

**API, summarized agency answers** (JSON): counts by month under ``offenses.actuals`` as "… Offenses" and "…
Clearances"; null, an absent month, or no participating population is a month not reported. An answer does not name
its ORI or offence, so the file must: ``<ORI>_<offence>.json``.

Neither layout has been checked on the producer's own file by this package's authors; a file that departs from it is
refused. From 2021 the FBI takes incident reports only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from g287stats.catalog import missing, read_kept
from g287stats.catalog import table as declared
from g287stats.catalog.archives import Member
from g287stats.catalog.readers import FixedField, read_fixed
from g287stats.catalog.store import Part, kept
from g287stats.errors import Problems, SourceError
from g287stats.flow import Flow, Step
from g287stats.outcomes.agency.reports import AgencyReports, Rule, attach_counties, county_from_agencies
from g287stats.outcomes.table import OutcomeTable, select_years

RETURN_A = "fbi-return-a"
SUMMARIZED = "fbi-cde-summarized"
RECORD = 7_385
_HEADER, _BLOCK, _INDICATORS, _FIELD, _CARD = 305, 590, 17, 5, 140
_ACTUAL, _CLEARED = 1, 2
_LINES: dict[str, tuple[int, ...]] = {  # fields of a card, counted from 0
    "murder": (0,),
    "rape_mixed": (2,),
    "robbery": (5,),
    "assault": (11, 12, 13, 14),
    "burglary": (16,),
    "larceny": (20,),
    "motor_vehicle_theft": (21,),
}
_SUBTOTALS = {5: (6, 7, 8, 9), 10: (11, 12, 13, 14, 15), 16: (17, 18, 19), 21: (22, 23, 24)}  # total: its parts
_USED = {n for lines in _LINES.values() for n in lines} | {n for t, of in _SUBTOTALS.items() for n in (t, *of)}
_OVERPUNCH = {c: str(n) for n, c in enumerate("}JKLMNOPQR")}
OFFENCE_OF = {  # last part of the address -> our name
    "V": "violent",
    "P": "property",
    "HOM": "murder",
    "RPE": "rape_mixed",
    "ROB": "robbery",
    "ASS": "assault",
    "BUR": "burglary",
    "LAR": "larceny",
    "MVT": "motor_vehicle_theft",
    "ARS": "arson",
}


def _fields() -> tuple[FixedField, ...]:
    out = [
        FixedField("ori", 4, 10),
        FixedField("year", 14, 15),
        FixedField("pop1", 45, 53),
        FixedField("pop2", 60, 68),
        FixedField("pop3", 75, 83),
    ]
    for month in range(12):
        start = _HEADER + _BLOCK * month
        out.append(FixedField(f"card_{month + 1}", start + 15, start + 15))  # P/T of the card "actual"
        for card in (_ACTUAL, _CLEARED):
            for n in sorted(_USED):
                first = start + _INDICATORS + card * _CARD + n * _FIELD + 1
                out.append(FixedField(f"{card}_{month + 1}_{n}", first, first + _FIELD - 1))
    return tuple(out)


def parse_return_a(members: Sequence[Member]) -> list[Part]:
    """Read Return A master files, one part a year; all problems of all files at once."""
    problems = Problems(RETURN_A)
    parts: dict[str, Part] = {}
    for member in members:
        own = Problems(member.label)
        try:
            raw = read_fixed(member.path, _fields(), member.label, RECORD)
        except SourceError as error:
            problems.add(str(error))
            continue
        said = re.findall(r"(?<!\d)((?:19|20)\d\d)(?!\d)", member.name)
        frame = _months(raw, int(said[-1]), own)
        if own:
            problems.lines += [f"{member.label}: {line}" for line in own.lines]
            continue
        key = said[-1]
        if key in parts:
            problems.add(f"{member.label} and {parts[key].source.label} are both {key}", remedy="Name one of them")
        report = {
            "year": int(key),
            "agencies": frame["agency"].nunique(),
            "reported_months": int(frame["reported"].sum()),
        }
        parts[key] = Part(key, frame, member, report)
    problems.raise_if_any(SourceError)
    return [parts[k] for k in sorted(parts)]


def _months(raw: pd.DataFrame, year: int, problems: Problems) -> pd.DataFrame:
    """Turn one record an agency into one row a month."""
    bad = ~raw["ori"].str.fullmatch(r"[A-Z]{2}[A-Z0-9]{5}")
    if bad.any():
        problems.add("records without an ORI in characters 4–10: another layout", raw.loc[bad, "ori"])
    wrong = raw["year"] != f"{year % 100:02d}"
    if wrong.any():
        problems.add(f"the name says {year}, the records say year {sorted(set(raw.loc[wrong, 'year']))}: wrong year")
    twice = raw["ori"].duplicated()
    if twice.any():
        problems.add("agencies occur twice", raw.loc[twice, "ori"])
    if problems:
        return raw
    population = sum(_numbers(raw[c], c, problems) for c in ("pop1", "pop2", "pop3"))
    pieces, detailed, adding = [], 0, 0
    for month in range(1, 13):
        card = {
            (c, n): _numbers(raw[f"{c}_{month}_{n}"], f"{n} of card {c} in month {month}", problems)
            for c in (_ACTUAL, _CLEARED)
            for n in sorted(_USED)
        }
        piece = pd.DataFrame({"agency": raw["ori"], "year": year, "month": month, "population": population})
        piece["reported"] = raw[f"card_{month}"].isin(["P", "T"])
        for kind, c in (("", _ACTUAL), ("_cleared", _CLEARED)):
            for name, lines in _LINES.items():
                piece[name + kind] = sum(card[c, n] for n in lines)
        pieces.append(piece)
        in_detail = (raw[f"card_{month}"] == "P").to_numpy()
        for total, of in _SUBTOTALS.items():
            here = in_detail & (card[_ACTUAL, total] > 0)
            detailed += int(here.sum())
            adding += int((here & (card[_ACTUAL, total] == sum(card[_ACTUAL, n] for n in of))).sum())
    if adding < 0.5 * detailed:
        problems.add(
            f"offences in detail add up to their totals in only {adding:,} of {detailed:,} agency-months",
            remedy="Columns are out of place: another layout",
        )
    return pd.concat(pieces, ignore_index=True)


def _numbers(text: pd.Series, name: str, problems: Problems) -> np.ndarray:
    """Read figures that sign negatives on the last digit; blanks are 0, as the producer fills the record."""
    signed = text.str.endswith(tuple(_OVERPUNCH))
    plain = text.replace("", "0")
    if signed.any():
        plain = plain.where(~signed, text.str[:-1] + text.str[-1:].map(_OVERPUNCH).fillna(""))
    values = pd.to_numeric(plain, errors="coerce")
    bad = values.isna()
    if bad.any():
        cells = [f"record {n + 1} {text.iloc[n]!r}" for n in np.flatnonzero(bad.to_numpy())]
        problems.add(f"field {name} holds what is not a number", cells, show=4)
    return values.where(~signed, -values).to_numpy(dtype="float64")


def parse_summarized(members: Sequence[Member]) -> list[Part]:
    """Read saved API answers, one part an agency; all problems of all files at once."""
    problems = Problems(SUMMARIZED)
    found: dict[str, list[tuple[Member, pd.DataFrame]]] = {}
    for member in members:
        stem = member.name.rsplit("/", 1)[-1].removesuffix(".json")
        ori, _, code = stem.upper().partition("_")
        if code not in OFFENCE_OF:
            problems.add(f"{member.label}: no offence is called {code!r}; one of {', '.join(OFFENCE_OF)}")
            continue
        try:
            answer = json.loads(member.path.read_text(encoding="utf-8"))
            frame = _series(answer, OFFENCE_OF[code])
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            problems.add(f"{member.label}: not a complete JSON answer ({error}). Save it again")
            continue
        except SourceError as error:
            problems.add(f"{member.label}: {error}")
            continue
        found.setdefault(ori, []).append((member, frame))
    parts = []
    for ori, answers in sorted(found.items()):
        whole: pd.DataFrame | None = None
        for member, frame in answers:
            if whole is None:
                whole = frame
                continue
            same = [c for c in frame.columns if c in whole.columns and c not in ("period", "population", "reported")]
            if same:
                problems.add(
                    f"{member.label}: {same[0]} of {ori} is in another file already", remedy="Name one of them"
                )
                continue
            whole = whole.merge(
                frame.drop(columns=["population", "reported"]), on="period", how="outer", validate="one_to_one"
            )
        assert whole is not None
        whole.insert(0, "agency", ori)
        report = {"months": len(whole), "reported_months": int(whole["reported"].fillna(False).sum())}
        parts.append(Part(ori, whole.sort_values("period", ignore_index=True), answers[0][0], report))
    problems.raise_if_any(SourceError)
    return parts


def _series(answer: Any, offence: str) -> pd.DataFrame:
    """Take the agency's counts by month out of one answer."""
    try:
        actuals = answer["offenses"]["actuals"]
        populations = answer.get("populations") or {}
    except (KeyError, TypeError, AttributeError) as error:
        raise SourceError("no offenses.actuals: not a summarized agency answer (an error message, perhaps)") from error
    columns: dict[str, dict[str, Any]] = {}
    for kind, name in (("Offenses", offence), ("Clearances", f"{offence}_cleared")):
        keys = [k for k in actuals if k.endswith(f" {kind}") or k == kind]
        if len(keys) > 1:
            raise SourceError(f"{len(keys)} series of {kind.lower()} ({', '.join(keys)}); expected the agency's alone")
        columns[name] = actuals[keys[0]] if keys else {}
    if not columns[offence]:
        raise SourceError("no series of offenses for the agency")
    months = sorted({m for s in columns.values() for m in s}, key=lambda m: (m[3:], m[:2]))
    wrong = [m for m in months if not re.fullmatch(r"(0[1-9]|1[0-2])-(19|20)\d\d", m)]
    if wrong:
        raise SourceError(f"months are not MM-YYYY: {wrong[:3]}")
    frame = pd.DataFrame({"period": [f"{m[3:]}-{m[:2]}" for m in months]})
    for name, values in columns.items():
        bad = [f"{m}: {values[m]!r}" for m in values if not isinstance(values[m], (int, float, type(None)))]
        if bad:
            raise SourceError(f"{name} holds what is not a number ({', '.join(bad[:3])})")
        frame[name] = pd.array([values.get(m) for m in months], dtype="Float64").to_numpy("float64", na_value=np.nan)
    for ours, theirs in (("population", "population"), ("_taking_part", "participated_population")):
        series = list((populations.get(theirs) or {}).values())
        values = series[0] if len(series) == 1 else {}
        frame[ours] = pd.array([values.get(m) for m in months], dtype="Float64").to_numpy("float64", na_value=np.nan)
    frame["reported"] = frame[offence].notna()
    if frame["_taking_part"].notna().any():
        frame["reported"] &= frame["_taking_part"].fillna(0) > 0
    return frame.drop(columns="_taking_part")


def load_return_a_reports(
    years: tuple[int, int] | Iterable[int] | None = None, *, agencies: pd.DataFrame | None = None
) -> AgencyReports:
    """Return agency-months of Return A. ``agencies`` maps ``agency`` (ORI, 7 or 9 characters) to ``county_fips``."""
    have = kept(RETURN_A)
    if not have:
        raise missing(RETURN_A)
    chosen = select_years("fbi_return_a", years, [int(k) for k in have])
    frame = pd.concat(read_kept(RETURN_A, [str(y) for y in chosen]).values(), ignore_index=True)
    frame["period"] = pd.PeriodIndex.from_fields(year=frame["year"], month=frame["month"], freq="M")  # type: ignore[attr-defined]
    return _reports("fbi_return_a", RETURN_A, frame, [n + k for k in ("", "_cleared") for n in _LINES], agencies)


def load_cde_reports(
    years: tuple[int, int] | Iterable[int] | None = None, *, agencies: pd.DataFrame | None = None
) -> AgencyReports:
    """Return agency-months of the API answers added. ``agencies`` maps ``agency`` (ORI) to ``county_fips``."""
    have = kept(SUMMARIZED)
    if not have:
        raise missing(SUMMARIZED)
    frame = pd.concat(read_kept(SUMMARIZED).values(), ignore_index=True)
    frame["period"] = pd.PeriodIndex(frame["period"], freq="M")
    chosen = select_years("fbi_cde", years, frame["period"].dt.year.unique())
    frame = frame[frame["period"].dt.year.isin(chosen)].reset_index(drop=True)
    frame["agency"] = frame["agency"].str[:7]
    order = [n + k for k in ("", "_cleared") for n in OFFENCE_OF.values()]
    return _reports("fbi_cde", SUMMARIZED, frame, [c for c in order if c in frame], agencies)


def _reports(
    name: str, table: str, frame: pd.DataFrame, counts: list[str], agencies: pd.DataFrame | None
) -> AgencyReports:
    reported = frame["reported"].fillna(False).astype(bool)
    frame["reported"] = reported
    frame[counts] = frame[counts].astype("float64").mask(~reported)
    for kind in ("", "_cleared"):
        sums = {
            "violent": ("murder", "rape_mixed", "robbery", "assault"),
            "violent_ex_rape": ("murder", "robbery", "assault"),
            "property": ("burglary", "larceny", "motor_vehicle_theft"),
        }
        for total, of in sums.items():
            own = [f"{c}{kind}" for c in of]
            if total + kind not in frame and set(own) <= set(counts):
                frame[total + kind] = frame[own].sum(axis=1, min_count=len(own))
                counts = [*counts, total + kind]
    if agencies is not None:
        agencies = agencies.assign(agency=agencies["agency"].astype(str).str.upper().str[:7])
    frame["county_fips"] = attach_counties(frame["agency"], agencies, "ORI")
    have = kept(table)
    return AgencyReports(
        name=name,
        frame=frame[["agency", "period", "reported", "county_fips", "population", *counts]],
        counts=tuple(counts),
        freq="M",
        provenance={
            "table": table,
            "citation": declared(table).citation,
            "files": {k: {"file": v.source_member, "sha256": v.source_sha256} for k, v in sorted(have.items())},
        },
        flow=Flow(
            (
                Step("agency-months in the files", len(frame)),
                Step("reported", int(reported.sum()), "month not reported"),
            )
        ),
    )


def load_return_a(
    years: tuple[int, int] | Iterable[int] | None = None,
    *,
    agencies: pd.DataFrame | None = None,
    rule: Rule = "full_reporters",
    min_months: int = 12,
    shares: pd.DataFrame | None = None,
) -> OutcomeTable:
    """Return county-years constructed from Return A; see :func:`county_from_agencies` for the rules."""
    reports = load_return_a_reports(years, agencies=agencies)
    return county_from_agencies(reports, rule=rule, min_months=min_months, shares=shares)


def load_cde(
    years: tuple[int, int] | Iterable[int] | None = None,
    *,
    agencies: pd.DataFrame | None = None,
    rule: Rule = "full_reporters",
    min_months: int = 12,
    shares: pd.DataFrame | None = None,
) -> OutcomeTable:
    """Return county-years constructed from API answers; see :func:`county_from_agencies` for the rules."""
    reports = load_cde_reports(years, agencies=agencies)
    return county_from_agencies(reports, rule=rule, min_months=min_months, shares=shares)
