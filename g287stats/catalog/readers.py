"""Read a statistical table whatever package wrote it, as text or numbers under its own column names."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from g287stats.catalog.archives import Member
from g287stats.errors import Problems, SourceError, UnavailableError

DELIMITED = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
STATISTICAL = (".dta", ".sav", ".zsav", ".por", ".sas7bdat", ".xpt", ".rda", ".rdata", ".rds", ".parquet")


@dataclass(frozen=True)
class FixedField:
    """One field of a fixed-width record: 1-based first and last character, as codebooks print them."""

    name: str
    first: int
    last: int


def fields_from_widths(names: Sequence[str], widths: Sequence[int]) -> tuple[FixedField, ...]:
    """Lay fields end to end.

    >>> fields_from_widths(("A", "B"), (2, 3))[1]
    FixedField(name='B', first=3, last=5)
    """
    ends = np.cumsum(widths)
    return tuple(FixedField(n, int(e - w + 1), int(e)) for n, w, e in zip(names, widths, ends, strict=True))


def read_fixed(path: Path, fields: Sequence[FixedField], label: str, length: int | None = None) -> pd.DataFrame:
    """Read a fixed-width file as stripped text, one column a field.

    ``length`` is the record length (default: the end of the last field). Raises :class:`SourceError` naming
    the first lines that are shorter or longer: a truncated file, or another layout.
    """
    length = length or max(f.last for f in fields)
    lines = path.read_bytes().replace(b"\r\n", b"\n").split(b"\n")
    while lines and not lines[-1].strip(b"\x1a \x00"):
        lines.pop()
    problems = Problems(label)
    if not lines:
        problems.add("the file holds no records")
    wrong = [f"line {n} has {len(x)}" for n, x in enumerate(lines, 1) if len(x) != length]
    if wrong:
        problems.add(
            f"records are not {length} characters long",
            wrong,
            "Truncated, or not this file: download it again",
        )
    problems.raise_if_any(SourceError)
    block = np.frombuffer(b"".join(lines), dtype="S1").reshape(len(lines), length)
    out: dict[str, Any] = {}
    for f in fields:
        cut = np.ascontiguousarray(block[:, f.first - 1 : f.last])
        text = cut.view(f"S{f.last - f.first + 1}").ravel()
        out[f.name] = np.char.strip(np.char.decode(text, "latin-1"))
    return pd.DataFrame(out)


def read_named(member: Member, columns: Sequence[str] | None = None, **options: Any) -> pd.DataFrame:
    """Read a table with a header: CSV, TSV, Parquet, Stata; SPSS, SAS and R with the extra ``statfiles``.

    ``columns`` restricts what is read where the format allows it (columns absent are left to the caller).
    Delimited text arrives as text; ``options`` are passed to :func:`pandas.read_csv` for it.
    """
    path, suffix = member.path, member.suffix
    try:
        if suffix in DELIMITED:
            check_last_line(path, DELIMITED[suffix], member.label)
            wanted: Any = None if columns is None else (lambda c: c.strip().strip('"') in set(columns))
            settings: dict[str, Any] = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"} | options
            return pd.read_csv(path, sep=DELIMITED[suffix], usecols=wanted, **settings)
        if suffix == ".parquet":
            import pyarrow.parquet as pq

            frame = pd.read_parquet(path, columns=_among(pq.read_schema(path).names, columns))
        elif suffix == ".dta":
            with pd.read_stata(path, iterator=True) as reader:
                names = list(reader.variable_labels())
            frame = pd.read_stata(path, columns=_among(names, columns), convert_categoricals=False)
        elif suffix in (".sav", ".zsav", ".por", ".sas7bdat", ".xpt"):
            pyreadstat = _statfiles("pyreadstat", member)
            others = {".por": "read_por", ".sas7bdat": "read_sas7bdat", ".xpt": "read_xport"}
            read = getattr(pyreadstat, others.get(suffix, "read_sav"))
            names = read(str(path), metadataonly=True)[1].column_names
            frame = read(str(path), usecols=_among(names, columns))[0]
        elif suffix in (".rda", ".rdata", ".rds"):
            frame = _read_r(path, member)
        else:
            raise SourceError(f"{member.label}: {suffix or 'no extension'} is not a format this package reads")
    except (SourceError, UnavailableError):
        raise
    except Exception as error:
        raise SourceError(
            f"{member.label}: cannot be read as {suffix} ({type(error).__name__}: {error}). "
            "Truncated or not this format: download it again"
        ) from error
    if columns is not None:
        frame = frame[[c for c in frame.columns if c in set(columns)]]
    return frame


def check_last_line(path: Path, separator: str, label: str) -> None:
    """Refuse a delimited file that ends inside a row: its last line has fewer cells than its heading."""
    with path.open("rb") as handle:
        head = handle.readline()
        handle.seek(0, 2)
        handle.seek(max(0, handle.tell() - 65_536))
        tail = handle.read()
    if not tail or tail.endswith((b"\n", b"\r")):
        return
    first, last = (
        next(csv.reader([line.decode("utf-8-sig", "replace").rstrip("\r\n")], delimiter=separator), [])
        for line in (head, tail.splitlines()[-1])
    )
    if len(last) < len(first):
        raise SourceError(f"{label}: the last line has {len(last)} of {len(first)} cells. Truncated: download it again")


def _among(have: Sequence[str], wanted: Sequence[str] | None) -> list[str] | None:
    """Return which of a file's columns to read, in its order; None for all."""
    return None if wanted is None else [c for c in have if c in set(wanted)]


def _statfiles(module: str, member: Member) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UnavailableError(
            f"{member.label}: reading {member.suffix} needs the package {module}. "
            'Type: pip install "g287stats[statfiles]", or add the tab-separated or fixed-width file instead'
        ) from error


def _read_r(path: Path, member: Member) -> pd.DataFrame:
    rdata = _statfiles("rdata", member)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = rdata.read_rds(path) if member.suffix == ".rds" else rdata.read_rda(path)
    frames = [content] if isinstance(content, pd.DataFrame) else list(content.values())
    frames = [f for f in frames if isinstance(f, pd.DataFrame)]
    if len(frames) != 1:
        raise SourceError(f"{member.label}: holds {len(frames)} data frames; expected one")
    return frames[0].reset_index(drop=True)


def cells(column: pd.Series, bad: pd.Series, first: int = 2) -> list[str]:
    """Name the cells of ``column`` where ``bad``: ``row 7 'x'``, rows counted from ``first`` (2: after a heading)."""
    where = np.flatnonzero(bad.to_numpy(dtype=bool))
    return [f"row {n + first} {column.iloc[n]!r}" for n in where]


def labels(rows: pd.DataFrame) -> list[str]:
    """Name rows by their cells, joined by blanks, whatever the types."""
    return [" ".join(str(cell) for cell in row) for row in rows.itertuples(index=False, name=None)]


def as_numbers(
    frame: pd.DataFrame, columns: Sequence[str], problems: Problems, *, integer: Sequence[str] = ()
) -> pd.DataFrame:
    """Return ``columns`` of ``frame`` as float64, recording in ``problems`` every cell that is no number.

    Blank, ``NA`` and ``.`` are missing. ``integer`` names the columns that must hold whole numbers.
    """
    out: dict[str, Any] = {}
    for column in columns:
        raw = frame[column]
        if pd.api.types.is_numeric_dtype(raw):
            values = raw.astype("float64")
            blank = raw.isna()
        else:
            text = raw.astype("string").str.strip().fillna("")
            blank = text.isin(["", "NA", ".", "NaN", "nan", "<NA>"])
            values = pd.to_numeric(text.where(~blank), errors="coerce").astype("float64")
        bad = values.isna() & ~blank
        if bad.any():
            cells = [f"row {n + 1} {raw.iloc[n]!r}" for n in np.flatnonzero(bad.to_numpy())]
            problems.add(f"column {column} holds what is not a number", cells, show=4)
        elif column in integer:
            part = values.notna() & (values != values.round())
            if part.any():
                cells = [f"row {n + 1} {raw.iloc[n]!r}" for n in np.flatnonzero(part.to_numpy())]
                problems.add(f"column {column} holds fractions where counts belong", cells, show=4)
        out[column] = values.to_numpy()
    return pd.DataFrame(out, index=frame.index)
