"""Layouts of the NACJD county files and what must hold before one is believed.

The files are fixed-width (or carry the same fields under the same names in TSV, Stata, SPSS and R). Which year a
file belongs to is told by its study number alone, so names, record numbers, totals and sizes are held against
one another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from g287stats.catalog.archives import Member
from g287stats.catalog.readers import FixedField, as_numbers, fields_from_widths, labels, read_fixed, read_named
from g287stats.catalog.store import Part
from g287stats.catalog.tables import NACJD_STUDIES
from g287stats.errors import Problems, SourceError
from g287stats.geography import STATES

CRIMES = "icpsr-county-crimes"
ARRESTS = "icpsr-county-arrests"
YEAR_OF_STUDY = {study: year for year, study in NACJD_STUDIES.items()}
_MINIMUM_ROWS = 3_100
_FORMATS = (".txt", ".tsv", ".csv", ".dta", ".sav", ".por", ".rda")

CRIME_FIELDS = tuple(
    FixedField(n, a, b)
    for n, a, b in (
        ("STUDYNO", 1, 4), ("EDITION", 5, 5), ("PART", 6, 6), ("IDNO", 7, 10), ("FIPS_ST", 11, 12),
        ("FIPS_CTY", 13, 15), ("CPOPARST", 16, 23), ("CPOPCRIM", 24, 31), ("AG_ARRST", 32, 34), ("AG_OFF", 35, 37),
        ("COVIND", 38, 45), ("T1", 46, 51), ("T2", 52, 57), ("MURDER", 58, 61), ("RAPE", 62, 65),
        ("ROBBERY", 66, 70), ("AGASSLT", 71, 75), ("BURGLRY", 76, 81), ("LARCENY", 82, 87), ("MVTHEFT", 88, 93),
        ("ARSON", 94, 97),
    )
)  # fmt: skip
_CRIME_ALIASES: dict[str, tuple[str, ...]] = {
    "T1": ("T1", "INDEX", "VIOL", "VIOLENT"),
    "T2": ("T2", "MODINDX", "PROPERTY", "PROP"),
}
_VIOLENT = ("MURDER", "RAPE", "ROBBERY", "AGASSLT")
_PROPERTY = ("BURGLRY", "LARCENY", "MVTHEFT")
ARREST_NAMES = [
    "STUDYNO",
    "EDITION",
    "PART",
    "IDNO",
    "FIPS_ST",
    "FIPS_CTY",
    "CPOPARST",
    "AG_ARRST",
    "JURFLAG",
    "COVIND",
    "GRNDTOT",
    "P1TOT",
    "P1VLNT",
    "P1PRPTY",
    "MURDER",
    "RAPE",
    "ROBBERY",
    "AGASSLT",
    "BURGLRY",
    "LARCENY",
    "MVTHEFT",
    "ARSON",
    "OTHASLT",
    "FRGYCNT",
    "FRAUD",
    "EMBEZL",
    "STLNPRP",
    "VANDLSM",
    "WEAPONS",
    "COMVICE",
    "SEXOFF",
    "DRUGTOT",
    "DRGSALE",
    "COCSALE",
    "MJSALE",
    "SYNSALE",
    "OTHSALE",
    "DRGPOSS",
    "COCPOSS",
    "MJPOSS",
    "SYNPOSS",
    "OTHPOSS",
    "GAMBLE",
    "BOOKMG",
    "NUMBERS",
    "OTGAMBL",
    "OFAGFAM",
    "DUI",
    "LIQUOR",
    "DRUNK",
    "DISORDR",
    "VAGRANT",
    "ALLOTHR",
    "SUSPICN",
    "CURFEW",
    "RUNAWAY",
]
_ARREST_WIDTHS = (
    4, 1, 1, 4, 2, 3, 8, 3, 1, 8, 6, 6, 5, 5, 4, 4, 5, 5, 5, 5, 5, 3, 5, 4, 5, 3, 4, 5, 5, 4, 4, 5, 5, 5, 4, 4, 5, 5,
    5, 5, 4, 5, 4, 3, 3, 4, 4, 5, 5, 5, 5, 4, 6, 4, 5, 5,
)  # fmt: skip
ARREST_FIELDS = fields_from_widths(ARREST_NAMES, _ARREST_WIDTHS)


def parse_crimes(members: Sequence[Member]) -> list[Part]:
    """Read the county crime files among ``members``, one part a year; all problems of all files at once."""
    return _parse(members, CRIMES, "4", CRIME_FIELDS, _CRIME_ALIASES, _check_crimes)


def parse_arrests(members: Sequence[Member]) -> list[Part]:
    """Read the county arrest files among ``members``, one part a year; all problems of all files at once."""
    return _parse(members, ARRESTS, "1", ARREST_FIELDS, {}, _check_arrests)


def study_of(name: str) -> int | None:
    """Return the ICPSR study number a file name or folder carries, nearest to the file first.

    >>> study_of("ICPSR_23780/DS0004/23780-0004-Data.txt"), study_of("ICPSR_03451-V4.zip"), study_of("x.txt")
    (23780, 3451, None)
    """
    for piece in reversed(name.replace("\\", "/").split("/")):
        found = re.search(r"(?<!\d)(\d{4,5})(?=$|[-_.])", re.sub(r"[-_]000[0-9]\b", "", piece))
        if found:
            return int(found[1])
    return None


def _parse(
    members: Sequence[Member],
    table: str,
    part: str,
    fields: Sequence[FixedField],
    aliases: dict[str, tuple[str, ...]],
    check: Any,
) -> list[Part]:
    problems = Problems(table)
    best: dict[int, Member] = {}
    for member in sorted(members, key=lambda m: (_FORMATS.index(m.suffix), str(m.origin), m.name)):
        study = study_of(member.name) or study_of(member.origin.name)
        if study not in YEAR_OF_STUDY:
            said = "carries no study number" if study is None else f"is of study {study:05d}"
            problems.add(f"{member.label} {said}; county studies are {_known_studies()}")
            continue
        year = YEAR_OF_STUDY[study]
        if year not in best:
            best[year] = member
        elif best[year].suffix == member.suffix and best[year].sha256 != member.sha256:
            problems.add(
                f"two different files for {year}: {best[year].label} and {member.label}", remedy="Name the right one"
            )
    parts: list[Part] = []
    for year, member in sorted(best.items()):
        parsed = _read_member(member, year, part, fields, aliases, check, problems)
        if parsed is not None:
            parts.append(parsed)
    for n, one in enumerate(parts):
        for other in parts[:n]:
            counts = [c for c in one.frame.columns if c not in ("STUDYNO", "IDNO", "EDITION")]
            if len(one.frame) == len(other.frame) and one.frame[counts].equals(other.frame[counts]):
                problems.add(
                    f"{one.source.label} ({one.key}) holds the same figures as {other.source.label} ({other.key})",
                    remedy="One of them is named after the wrong study",
                )
    problems.raise_if_any(SourceError)
    return parts


def _read_member(
    member: Member,
    year: int,
    part: str,
    fields: Sequence[FixedField],
    aliases: dict[str, tuple[str, ...]],
    check: Any,
    problems: Problems,
) -> Part | None:
    """Read and check one file; what is wrong goes to ``problems`` under the file's name."""
    own = Problems(member.label)
    names = [f.name for f in fields]
    try:
        raw = read_fixed(member.path, fields, member.label) if member.suffix == ".txt" else read_named(member)
    except SourceError as error:
        problems.add(str(error))
        return None
    raw = raw.rename(columns={c: str(c).strip().upper() for c in raw.columns})
    for name, known in aliases.items():
        for alias in known:
            if name not in raw and alias in raw:
                raw = raw.rename(columns={alias: name})
    absent = [n for n in names if n not in raw]
    if absent:
        own.add("columns are absent: another layout, or another file of the study", absent)
    else:
        whole = [n for n in names if n != "COVIND"]
        frame = as_numbers(raw, names, own, integer=whole)
        if not own:
            _check_common(frame, year, part, own)
        if not own:
            check(frame, year, own)
    if own:
        problems.lines += [f"{member.label}: {line}" for line in own.lines]
        return None
    frame[whole] = frame[whole].astype("Int64")
    county = ~frame["FIPS_CTY"].isin([777, 999])
    usable = county & reported(frame, part)
    report = {
        "year": year,
        "counties": int(county.sum()),
        "usable": int(usable.sum()),
        "tribal_or_statewide": int((~county).sum()),
    }
    return Part(str(year), frame, member, report)


def _check_common(frame: pd.DataFrame, year: int, part: str, problems: Problems) -> None:
    study = NACJD_STUDIES[year]
    if (frame["PART"] != int(part)).any():
        found = sorted({int(v) for v in frame["PART"].dropna()})
        problems.add(f"PART reads {found}, not {part}: this is another file of the study (or columns are shifted)")
        return
    own = sorted(set(frame["STUDYNO"].dropna().astype(int)) - {9999, 0, study, study % 10000})
    if own:
        belongs = [f"{s} ({YEAR_OF_STUDY[s]})" if s in YEAR_OF_STUDY else str(s) for s in own]
        problems.add(
            f"the name says study {study:05d} ({year}), the records say {', '.join(belongs)}",
            remedy="Restore the file's own name",
        )
    if len(frame) < _MINIMUM_ROWS:
        problems.add(f"{len(frame):,} records; a complete file has at least {_MINIMUM_ROWS:,}. Download it again")
    state = frame["FIPS_ST"].map(lambda v: "" if pd.isna(v) else f"{int(v):02d}")
    bad = ~state.isin(set(STATES)) | ~frame["FIPS_CTY"].between(1, 999)
    if bad.any():
        cells = labels(frame.loc[bad, ["FIPS_ST", "FIPS_CTY"]])
        problems.add("rows without a state and county code", cells)
    twice = frame.duplicated(["FIPS_ST", "FIPS_CTY"], keep=False) & ~frame["FIPS_CTY"].isin([777, 999])
    if twice.any():
        problems.add("counties occur twice", labels(frame.loc[twice, ["FIPS_ST", "FIPS_CTY"]]))
    if not frame["COVIND"].between(0, 100).all():
        problems.add("COVIND is not between 0 and 100", frame.loc[~frame["COVIND"].between(0, 100), "COVIND"])
    counts = [c for c in frame.columns if c not in ("STUDYNO", "EDITION", "PART", "IDNO", "FIPS_ST", "FIPS_CTY")]
    negative = [c for c in counts if (frame[c] < 0).any()]
    if negative:
        problems.add("columns hold negative values", negative)


def _check_crimes(frame: pd.DataFrame, year: int, problems: Problems) -> None:
    """Hold the printed totals against the sums of their parts: finds shifted columns and a file of another era."""
    violent, property_ = frame[list(_VIOLENT)].sum(axis=1), frame[list(_PROPERTY)].sum(axis=1)
    index = violent + property_
    early = ((frame["T1"] - index).abs() <= 20).mean()
    late = (((frame["T1"] - violent).abs() <= 20) & ((frame["T2"] - property_).abs() <= 20)).mean()
    fits, other = (early, late) if year <= 2008 else (late, early)
    if fits < 0.99 and other >= 0.99:
        era = "2009 and later" if year <= 2008 else "2008 and before"
        problems.add(f"the name says {year}, but the printed totals follow the files of {era}: wrong year")
    elif fits < 0.99:
        problems.add(
            f"printed totals agree with the sum of their parts in only {100 * fits:.0f} % of rows",
            remedy="Columns are out of place; take the file from ICPSR unedited",
        )


def _check_arrests(frame: pd.DataFrame, year: int, problems: Problems) -> None:
    parts = frame[["MURDER", "RAPE", "ROBBERY", "AGASSLT"]].sum(axis=1)
    fits = ((frame["P1VLNT"] - parts).abs() <= 20).mean()
    if fits < 0.99:
        problems.add(
            f"violent arrests agree with the sum of their parts in only {100 * fits:.0f} % of rows",
            remedy="Columns are out of place; take the file from ICPSR unedited",
        )


def _known_studies() -> str:
    return ", ".join(f"{s:05d}" for s in YEAR_OF_STUDY)


def reported(frame: pd.DataFrame, part: str) -> pd.Series:
    """Producer's missing rule: which rows hold figures."""
    if part == "4":
        return (frame["COVIND"] > 0) & (frame["CPOPCRIM"] > 0)
    counts = list(ARREST_NAMES[10:])
    return (frame["COVIND"] > 0) | (frame[counts].sum(axis=1) > 0)
