"""Reading the National Crime Victimization Survey: ICPSR files, the 52-MSA file, a restricted extract.

What a table holds is told by its columns, never by its part number; identifiers are text, always; codes for
"not answered" become missing by variable. A file keeps all its rows: what a row count says about the sample travels
with the frame, so that the survey room can refuse rows removed on the way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from g287stats.catalog.archives import Member, sha256
from g287stats.catalog.readers import DELIMITED, read_named
from g287stats.catalog.store import Part, read_kept
from g287stats.errors import Problems, SourceError, UnavailableError
from g287stats.outcomes.ncvs.codes import (
    CITIZENSHIP,
    FIRST_ASKED,
    IDENTIFIERS,
    KEEP,
    LABELS,
    LAST_ASKED,
    LEVEL_MARKS,
    MISSING,
)

Columns = Sequence[str] | Literal["all"]
Geography = Mapping[str, str | Sequence[str]]
Rename = Mapping[str, str] | Callable[[str], str]
FACTS = "survey_design"  # the key the survey room reads
NO_DESIGN = (
    "NCVS Select tables carry no strata or sampling units (V2117, V2118), so no design-based error exists. Use the "
    "generalized variance functions (gvf_parameters, gvf_se_rate), or the public-use file from ICPSR"
)
SIMULATED = "SIMULATED"
REFERENCE = (
    "United States Bureau of Justice Statistics. National Crime Victimization Survey, [United States]. "
    "Inter-university Consortium for Political and Social Research [distributor]."
)


@dataclass(frozen=True)
class NcvsFile:
    """One table of the survey.

    Attributes
    ----------
    table
        ``household``, ``person``, ``incident``, ``msa_person``, ``msa_incident`` or a ``select_…`` table.
    frame
        All rows; identifiers as text, coded variables as numbers with missing codes removed, ``year`` from
        ``YEARQ``, and the geography columns asked for.
    years
        Collection years present.
    simulated
        Whether the rows were simulated; every exhibit made from them says so.
    report
        Per variable: cells set to missing by code.
    provenance
        File, checksum, producer.
    """

    table: str
    frame: pd.DataFrame = field(repr=False)
    years: tuple[int, ...]
    simulated: bool = False
    report: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def labelled(self, variable: str) -> pd.Series:
        """Return a coded variable as a categorical with its labels; codes without a label keep their number."""
        if variable not in self.frame:
            raise UnavailableError(_absent(variable, self))
        values = self.frame[variable]
        names = {c: LABELS.get(variable, {}).get(int(c), str(int(c))) for c in sorted(values.dropna().unique())}
        return values.map(names).astype(pd.CategoricalDtype(list(dict.fromkeys(names.values()))))


def read_ncvs(
    path: str | Path,
    *,
    table: str | None = None,
    columns: Columns = (),
    geography: Mapping[str, str | Sequence[str]] | None = None,
    rename: Rename | None = None,
) -> NcvsFile:
    """Read one NCVS table: TSV, CSV, Stata, SPSS, R (``.rda``) or Parquet.

    Parameters
    ----------
    path
        The data file (``NNNNN-000D-Data.tsv`` …).
    table
        What the table is expected to be; told by its columns when not given, and an error when they disagree.
    columns
        Variables to read beside the usual ones of the table (replicate weights, further questions), or ``"all"``.
    geography
        New name → column of the file, for restricted extracts: ``{"county_fips": "GTCBSACNTY"}``; or two columns, of
        the state and of the county in it. County codes become five-character text.
    rename
        Column of the file → NCVS name, where an extract uses names of its own (``{"PSTRAT": "V2117"}``), or a
        function of the name (``str.upper``).

    Raises
    ------
    SourceError
        Columns that do not make one table, identifiers that are not text, a county code that is not five digits.
    UnavailableError
        A variable asked for in years in which it did not exist (citizenship before 2017, V3024A before 2014).
    """
    path = Path(path)
    member = Member(path.name, path, path, sha256(path))
    return _read(member, table, columns, dict(geography or {}), rename or {})


def ncvs_from_frame(
    frame: pd.DataFrame,
    *,
    table: str | None = None,
    columns: Columns = (),
    geography: Mapping[str, str | Sequence[str]] | None = None,
    rename: Rename | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> NcvsFile:
    """Take a table already in memory through the same door as :func:`read_ncvs`; never modifies it."""
    names = _renamed(frame.columns, rename or {})
    return _admit(frame, "frame", table, columns, dict(geography or {}), names, provenance or {})


def load_ncvs(table: str) -> NcvsFile:
    """Return a table of the NCVS files added with ``g287stats data add ncvs``.

    Years of several studies are stacked; a year found in two studies is an error naming both.
    """
    parts = read_kept("ncvs")
    mine = {k: v for k, v in parts.items() if k.split(".")[0] == table}
    if not mine:
        from g287stats.catalog import missing

        raise missing("ncvs", f"{table} file")
    seen: dict[int, str] = {}
    problems = Problems(f"ncvs {table}")
    for key, frame in mine.items():
        for year in sorted(frame["year"].unique()) if "year" in frame else []:
            if year in seen:
                problems.add(f"year {year} is in {seen[year]} and in {key}", (), "Add one of them only")
            seen[int(year)] = key
    problems.raise_if_any(SourceError)
    return ncvs_from_frame(pd.concat(mine.values(), ignore_index=True), table=table, columns="all")


def parse(members: Sequence[Member]) -> list[Part]:
    """Read files given to ``g287stats data add ncvs``: one part per file, keyed by table and study."""
    out = []
    for member in members:
        file = _read(member, None, "all", {}, {})
        study = re.search(r"(\d{4,5})[-.]", member.name)
        key = f"{file.table}.{study.group(1) if study else member.sha256[:8]}"
        out.append(
            Part(
                key,
                file.frame,
                member,
                {
                    "table": file.table,
                    "years": f"{min(file.years)}–{max(file.years)}" if file.years else "",
                    "cells_set_missing": int(file.report["cells"].sum()) if len(file.report) else 0,
                },
            )
        )
    return out


def require_years(variable: str, years: Sequence[int]) -> None:
    """Raise :class:`UnavailableError` when ``variable`` was not asked, or not released, in some of ``years``."""
    stem = re.sub(r"(CY)?\d*$", "", variable) if "REPWGT" in variable else variable
    first, last = FIRST_ASKED.get(stem), LAST_ASKED.get(stem)
    early = sorted(y for y in years if first is not None and y < int(first))
    late = sorted(y for y in years if last is not None and y > int(last))
    if not early and not late:
        return
    what, hint = stem, "Choose other years or another variable"
    if "REPWGT" in stem:
        what, hint = f"replicate weights {stem}", "Use Taylor linearisation with V2117 and V2118"
    elif stem in CITIZENSHIP:
        what, hint = f"citizenship ({stem})", "Latino origin (V3024, V3024A) is the only exposure group before 2017"
    when = f"from {first} on" if early else f"up to {last}"
    raise UnavailableError(f"{what}: exists {when} only, and was asked for in {early or late}. {hint}")


def _read(member: Member, table: str | None, columns: Columns, geography: Geography, rename: Rename) -> NcvsFile:
    options: dict[str, Any] = {}
    wanted: list[str] | None = None
    names: dict[str, str] = {}
    if member.suffix in DELIMITED:
        header = pd.read_csv(member.path, sep=DELIMITED[member.suffix], nrows=0, encoding="utf-8-sig").columns
        names = _renamed(header, rename)
        text = [c for c in header if names.get(c, c).upper() in IDENTIFIERS or c in _source_columns(geography)]
        options = {"dtype": dict.fromkeys(text, str), "keep_default_na": True, "low_memory": False}
        wanted = _wanted(header, table, columns, geography, names)
    frame = read_named(member, wanted, **options)
    if wanted is None:
        names = _renamed(frame.columns, rename)
        wanted = _wanted(frame.columns, table, columns, geography, names)
        frame = frame if wanted is None else frame[[c for c in frame.columns if c in set(wanted)]]
    provenance = {"file": member.label, "sha256": member.sha256, "producer": REFERENCE}
    names = {c: n for c, n in names.items() if c in frame.columns or not callable(rename)}
    return _admit(frame, member.label, table, columns, geography, names, provenance)


def _renamed(have: pd.Index, rename: Rename) -> dict[str, str]:
    """Mapping of the file's columns to NCVS names."""
    return {c: rename(c) for c in have if rename(c) != c} if callable(rename) else dict(rename)


def _source_columns(geography: Geography) -> list[str]:
    """Columns of the file that the geography is read from."""
    return [c for old in geography.values() for c in ((old,) if isinstance(old, str) else old)]


def _wanted(
    have: pd.Index, table: str | None, columns: Columns, geography: Geography, rename: dict[str, str]
) -> list[str] | None:
    """Which columns of a file to read: the usual ones of its level and those asked for; None is all."""
    level = next((n for n, marks in LEVEL_MARKS if marks <= {rename.get(c, c) for c in have}), table or "")
    if columns == "all" or level not in KEEP:
        return None
    names = {*KEEP[level], *columns, SIMULATED}
    return [c for c in have if rename.get(c, c) in names or c in _source_columns(geography)]


def _admit(
    raw: pd.DataFrame,
    where: str,
    table: str | None,
    columns: Columns,
    geography: Geography,
    rename: dict[str, str],
    provenance: Mapping[str, Any],
) -> NcvsFile:
    problems = Problems(where)
    frame = raw.rename(columns=rename)
    lost = [c for c in (*rename, *_source_columns(geography)) if c not in raw.columns]
    asked = () if columns == "all" else tuple(columns)
    for name in asked:
        if name not in frame.columns:
            quarters = pd.to_numeric(frame["YEARQ"], errors="coerce").dropna() if "YEARQ" in frame else pd.Series([0.0])
            require_years(name, sorted({int(y) for y in quarters}))
            lost.append(name)
    if lost:
        problems.add("columns asked for are not in the file", lost, f"It has {list(map(str, raw.columns[:15]))}")
        problems.raise_if_any(SourceError)
    found = _level(frame, table, problems)
    problems.raise_if_any(SourceError)
    _identifiers(frame, problems)
    out = pd.DataFrame(index=frame.index)
    report: list[tuple[str, str, int]] = []
    for name in frame.columns:
        if name.upper() in IDENTIFIERS:
            out[name] = frame[name].astype("string").str.strip().astype(object)
        elif name not in _source_columns(geography):
            out[name] = _number(frame[name], name, problems, report)
    for new, old in geography.items():
        out[new] = _place(raw[old] if isinstance(old, str) else _joined(raw, old, problems), new, str(old), problems)
    problems.raise_if_any(SourceError)
    simulated = bool(SIMULATED in out and (out[SIMULATED] == 1).any())
    years: tuple[int, ...] = ()
    stamp = next((c for c in ("YEARQ", "yearq") if c in out), None)
    if stamp:
        _check_quarters(out[stamp], stamp, problems)
        problems.raise_if_any(SourceError)
        out["year"] = np.floor(out[stamp].to_numpy(float) + 1e-9).astype(int)
    elif "YEAR" in out:
        out["year"] = out["YEAR"].astype(int)
    if "year" in out:
        years = tuple(sorted(int(y) for y in out["year"].unique()))
    for name in asked:
        require_years(name, years)
    facts: dict[str, Any] = {"rows": len(out), "simulated": simulated, "provenance": dict(provenance)}
    if found.startswith("select_"):
        facts["no_design"] = NO_DESIGN
    if simulated:
        facts["notes"] = ("SIMULATED: every row was simulated; nothing here is a finding about the United States",)
    out.attrs[FACTS] = facts
    codes = pd.DataFrame(report, columns=["variable", "codes", "cells"])
    return NcvsFile(found, out, years, simulated, codes, provenance)


LIKELY: Mapping[str, frozenset[str]] = {
    "incident": frozenset({"IDPER", "V4529", "WGTVICCY"}),
    "person": frozenset({"IDPER", "WGTPERCY"}),
    "household": frozenset({"IDHH", "WGTHHCY"}),
}
"""Columns that tell a level where the file has lost its record type (V2001, V3001, V4001)."""


def _likely(have: set[str]) -> str:
    return next((name for name, marks in LIKELY.items() if marks <= have), "")


def _level(frame: pd.DataFrame, table: str | None, problems: Problems) -> str:
    have = set(frame.columns)
    fits = [name for name, marks in LEVEL_MARKS if marks <= have]
    if fits and fits[0].startswith("select_") and have & {"v2001", "v3001", "v4001"}:
        fits = []  # a file of the survey itself, in lower case
    if not fits and (likely := _likely(have)):
        if table == likely:
            return likely
        mark = next(iter(dict(LEVEL_MARKS)[likely]))
        problems.add(
            f"{mark} is absent, and the other columns are those of a {likely} table",
            sorted(have & LIKELY[likely]),
            f"Say so: table={likely!r}",
        )
        return ""
    if not fits:
        upper = {str(c).upper() for c in have}
        again = [name for name, marks in LEVEL_MARKS if marks <= upper] or [_likely(upper)] * bool(_likely(upper))
        if again:
            problems.add(
                f"the columns are those of a {again[0]} table under other letters",
                [c for c in map(str, frame.columns) if c != c.upper()],
                "Read it with their NCVS names: rename=str.upper",
            )
            return ""
        problems.add(
            "the columns belong to no NCVS table: none of V2001 (household), V3001 (person), V4001 (incident), "
            "MSAIND with WGTPER or TOC_RECODE, or the Select columns",
            list(map(str, frame.columns[:12])),
            "Data-set numbers differ between releases: choose the file by its columns",
        )
        return ""
    if table is not None and fits[0] != table:
        problems.add(
            f"the table was read as {table!r}, but its columns are those of {fits[0]!r}",
            (),
            "Person is part 3 in annual and part 2 in concatenated releases: give the other file",
        )
    return fits[0]


def _identifiers(frame: pd.DataFrame, problems: Problems) -> None:
    for name in frame.columns:
        if name.upper() not in IDENTIFIERS:
            continue
        column = frame[name]
        remedy = f"Read the file again with {name} as text: pd.read_csv(…, dtype={{{name!r}: str}}), or read_ncvs(path)"
        if pd.api.types.is_numeric_dtype(column):
            problems.add(
                f"{name} is stored as numbers ({column.dtype}): it has 25 digits or more, numbers hold 15, and "
                "different households merge without a trace",
                (),
                remedy,
            )
            continue
        text = pa.array(column.astype("string"), type=pa.string(), from_pandas=True)  # Arrow: millions of texts at once
        squeezed = _true(pc.match_substring_regex(text, r"^\s*\d+(\.\d+)?[eE]\+?\d+\s*$"))
        if squeezed.any():
            problems.add(f"{name} was written as a number before (1.2E+24)", column[squeezed].unique(), remedy)
        empty = text.is_null().to_numpy(zero_copy_only=False) | _true(pc.match_substring_regex(text, r"^\s*$"))
        if empty.any():
            problems.add(f"{name} is empty in rows", list(np.flatnonzero(empty)))


def _true(flags: pa.BooleanArray) -> np.ndarray:
    return pc.fill_null(flags, False).to_numpy(zero_copy_only=False)


def _number(column: pd.Series, name: str, problems: Problems, report: list[tuple[str, str, int]]) -> np.ndarray:
    """Return numbers; parse R's factor levels ``(1) Male``; turn codes for no answer into missing."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype("string")
    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(dtype=float, na_value=np.nan)
    else:
        text = column.astype("string").str.strip()
        parsed = (
            text.str.extract(r"^\((-?\d+)\)", expand=False).fillna(text).replace({"": pd.NA, ".": pd.NA, "NA": pd.NA})
        )
        numbers = pd.to_numeric(parsed, errors="coerce")
        bad = numbers.isna() & parsed.notna()
        if bad.any() and name in {v for kept in KEEP.values() for v in kept}:
            problems.add(f"{name} holds what is not a code", text[bad].unique())
        values = numbers.to_numpy(dtype=float, na_value=np.nan)
    coded = name.startswith(("V2", "V3", "V4")) or name in MISSING
    if coded:
        codes = MISSING.get(name, frozenset()) | {-1, -2}
        gone = np.isin(values, sorted(codes))
        if gone.any():
            listed = ", ".join(str(int(c)) for c in np.unique(values[gone]))
            report.append((name, listed, int(gone.sum())))
            values = np.where(gone, np.nan, values)
    return values


def _check_quarters(column: pd.Series, name: str, problems: Problems) -> None:
    """Year and quarter are written YYYY.Q, the quarter from 1 to 4."""
    value = column.to_numpy(float)
    code = np.round(value * 10)
    good = (np.abs(code - value * 10) < 1e-6) & np.isin(code % 10, (1, 2, 3, 4)) & (code > 19_720) & (code < 21_000)
    if not good.all():
        wrong = [f"row {i}: {value[i]:g}" for i in np.flatnonzero(~good)]
        problems.add(f"{name} is no year and quarter (2021.3 is the third quarter of 2021)", wrong)


def _joined(raw: pd.DataFrame, columns: Sequence[str], problems: Problems) -> pd.Series:
    """Join state (two digits) and county (three) to one county code."""
    if len(columns) != 2:
        problems.add(f"geography {list(columns)}", (), "Give one column, or two: state and county")
        problems.raise_if_any(SourceError)
    parts = []
    for column, width in zip(columns, (2, 3)):
        number = pd.to_numeric(raw[column], errors="coerce")
        wrong = raw[column][number.isna() & raw[column].notna()]
        if len(wrong):
            problems.add(f"{column} holds what is not a code", wrong.unique())
        parts.append(number.map(lambda v, w=width: f"{int(v):0{w}d}", na_action="ignore"))
    problems.raise_if_any(SourceError)
    return parts[0].str.cat(parts[1])


def _place(column: pd.Series, new: str, old: str, problems: Problems) -> pd.Series:
    if "fips" not in new and "county" not in new:
        return column.astype("string").str.strip().astype(object)
    if pd.api.types.is_numeric_dtype(column):
        whole = column.dropna()
        text = column.map(lambda v: f"{int(v):05d}", na_action="ignore") if (whole == whole.round()).all() else column
    else:
        text = column.astype("string").str.strip()
        text = text.where(text.notna() & (text != ""))
    text = text.astype(object).where(pd.notna(text), None)
    present = pd.Series([t for t in text if t is not None], dtype="string")
    wrong = present[~present.str.fullmatch(r"\d{5}")]
    if len(wrong):
        problems.add(f"{old} ({new}) is not a five-digit county code", wrong.unique(), 'County codes are text: "01001"')
    return pd.Series(text, index=column.index, dtype=object)


def _absent(variable: str, file: NcvsFile) -> str:
    try:
        require_years(variable, file.years)
    except UnavailableError as error:
        return str(error)
    return f"{variable} is not in the {file.table} table; read it with columns=({variable!r},)"
