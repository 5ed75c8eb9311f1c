"""Released tables: declared once, read and written by their declaration.

Released tables live in ``data/`` of the repository and in ``g287stats/_released`` of an installed wheel. Each
is declared once in ``data/schema/<name>.json``, its columns in ``data/fields.json``; reading, writing, validation
and the codebooks all follow these declarations.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from g287stats.catalog import archives, fields, manifest
from g287stats.catalog.fields import released_dir
from g287stats.catalog.text import controls, runs
from g287stats.catalog.writing import changing
from g287stats.errors import Problems, SchemaError

_PANDAS_TYPE = {"string": "string", "integer": "Int64", "number": "float64", "boolean": "boolean"}


def analyses_dir() -> Path:
    """Return the folder of the analysis scripts (installed wheel first, then the source tree)."""
    here = Path(__file__).resolve().parent.parent
    installed = here / "_analyses"
    return installed if installed.is_dir() else here.parent / "analyses"


@cache
def schema(name: str, folder: Path | None = None) -> dict[str, Any]:
    """Return the declaration of table ``name`` as a dictionary (a Frictionless tabular resource).

    That of ``folder`` where it has one, else that of the release.
    """
    path = (folder or released_dir()) / "schema" / f"{name}.json"
    if not path.is_file() and folder is not None:
        return schema(name)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.json")))
        raise SchemaError(f"no released table is called {name!r}. Known tables: {known}")
    content = json.loads(path.read_text(encoding="utf-8"))
    columns = fields.declared(path.parent.parent)
    content["schema"]["fields"] = [fields.merged(f, columns, path.name) for f in content["schema"]["fields"]]
    return content


def codebook(
    columns: Iterable[Any], source: str = "", table: str = "", /, **particular: Any
) -> dict[str, dict[str, str]]:
    """Return description, unit and source of columns for a panel or an outcome table.

    ``source`` is that of every column that does not declare its own; columns of the released ``table`` are described
    as there. ``particular`` says for a column which entry describes it where that has another name (text), or what
    differs: a mapping with any of ``is``, ``note``, ``unit`` and ``source``.

    >>> codebook(["county_fips"])["county_fips"]["description"]
    'County: five-digit FIPS code of the harmonised unit'
    """
    known, book = fields.declared(released_dir()), {}
    printed = {f["name"]: f for f in schema(table)["schema"]["fields"]} if table else {}
    for column in columns:
        own = particular.get(column)
        if own is None and column in printed:
            found = printed[column]
        else:
            line = {"name": column} | ({"is": own} if isinstance(own, str) else dict(own or {}))
            found = fields.merged(line, known, f"codebook of {column}")
        book[str(column)] = {
            "description": found["description"],
            "unit": found.get("unit", ""),
            "source": found.get("source", source),
        }
    return book


def read_table(name: str, folder: Path) -> pd.DataFrame:
    """Read table ``name`` from ``folder``, checked against its manifest or, without one, against its declaration.

    Raises :class:`SchemaError` naming the file and the remedy for a table that is missing, cut, doubled, of other
    columns or types, not UTF-8 or altered in any other way.
    """
    declaration = schema(name, folder)
    path = folder / declaration["path"]
    cure = manifest.remedy(folder)
    if not (folder / manifest.PACKAGE).is_file() and folder != released_dir():
        return read_unrecorded(name, folder)
    promise = manifest.promises(folder).get(declaration["path"])
    if promise is None:
        raise SchemaError(f"{path} is not recorded in {folder / manifest.PACKAGE}. {cure}")
    frame = _parse(manifest.read(path, promise, cure), path, declaration, cure)
    if promise.rows is not None and len(frame) != promise.rows:
        raise SchemaError(f"{path} holds {len(frame):,} rows where {promise.rows:,} are recorded. {cure}")
    return frame


def read_unrecorded(name: str, folder: Path) -> pd.DataFrame:
    """Read table ``name`` from ``folder`` whatever a manifest says of it; every rule of its declaration is checked."""
    declaration = schema(name, folder)
    path, cure = folder / declaration["path"], manifest.remedy(folder)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SchemaError(f"{path} cannot be read ({error.strerror or error}). {cure}") from error
    frame = _parse(raw, path, declaration, cure)
    _checked_text(frame, declaration, str(path))
    return frame


def _unpacked(raw: bytes) -> bytes:
    """Return the content of a packed table; refuse one that unpacks to far more than it holds."""
    limit = max(archives.MAX_RATIO * len(raw), archives.RATIO_FLOOR_BYTES)
    with gzip.GzipFile(fileobj=io.BytesIO(raw)) as stream:
        plain = stream.read(limit + 1)
    if len(plain) > limit:
        raise ValueError(f"it unpacks to more than {archives.MAX_RATIO} times its size")
    return plain


def _parse(raw: bytes, path: Path, declaration: dict[str, Any], cure: str) -> pd.DataFrame:
    """Turn the bytes of a table into a frame of the declared columns and types."""
    columns = declaration["schema"]["fields"]
    dtypes: dict[str, Any] = {f["name"]: _PANDAS_TYPE[f["type"]] for f in columns if f["type"] in _PANDAS_TYPE}
    dates = [f["name"] for f in columns if f["type"] == "date"]
    try:
        plain = _unpacked(raw) if path.suffix == ".gz" else raw
        if not plain.endswith(b"\n"):
            raise ValueError("its last line has no end: it is cut")
        heading = plain[: plain.index(b"\n")].decode("utf-8").split(",")
        names = [f["name"] for f in columns]
        if heading != names:
            raise ValueError(f"its columns are {heading}, not {names}")
        frame = pd.read_csv(io.BytesIO(plain), dtype=dtypes, keep_default_na=False, na_values=[""], encoding="utf-8")
        for column in dates:
            frame[column] = pd.to_datetime(frame[column], format="%Y-%m-%d")
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise SchemaError(f"{path} is not the table it is declared to be: {error}. {cure}") from error
    return frame


def write_released(frame: pd.DataFrame, name: str, out: Path) -> Path:
    """Write ``frame`` as released table ``name`` into folder ``out``: same content, same bytes.

    Columns, their order and types come from the declaration; rows are sorted by primary key. Raises
    :class:`SchemaError` listing every violation (missing columns, undeclared columns, duplicate keys, empty
    required cells, values outside an enumeration).
    """
    return write_tables({name: frame}, out)[0]


def write_tables(frames: Mapping[str, pd.DataFrame], out: Path) -> list[Path]:
    """Write several released tables into folder ``out`` together, all or none, and record them in its manifest."""
    raw = {name: render(frame, name, out) for name, frame in frames.items()}
    with changing(out) as change:
        written = [change.put(schema(name, out)["path"], content) for name, content in raw.items()]
        if (out / manifest.PACKAGE).is_file():
            tables = {name: manifest.entry(raw[name]) | {"rows": len(frames[name])} for name in raw}
            change.put(manifest.PACKAGE, manifest.text(manifest.updated(manifest.package(out), tables)))
    return written


def render(frame: pd.DataFrame, name: str, folder: Path | None = None) -> bytes:
    """Return the bytes of ``frame`` as released table ``name``; the errors of :func:`write_released`."""
    declaration = schema(name, folder)
    text = _checked_text(frame, declaration, declaration["path"])
    raw = text.to_csv(index=False, lineterminator="\n").encode("utf-8")
    return gzip.compress(raw, mtime=0) if declaration["path"].endswith(".gz") else raw


def _checked_text(frame: pd.DataFrame, declaration: dict[str, Any], where: str) -> pd.DataFrame:
    """Return ``frame`` as canonical text in the order of the primary key, or raise with everything that is wrong."""
    columns = declaration["schema"]["fields"]
    names = [f["name"] for f in columns]
    problems = Problems(where)
    absent = [n for n in names if n not in frame.columns]
    if absent:
        problems.add("declared columns are absent", absent)
    extra = [c for c in frame.columns if c not in names]
    if extra:
        problems.add("columns are not declared", extra, f"Declare them in data/schema/{declaration['name']}.json")
    problems.raise_if_any(SchemaError)
    text = pd.DataFrame({f["name"]: _as_text(frame[f["name"]], f) for f in columns})
    for f in columns:
        _check_column(text[f["name"]], f.get("constraints", {}), problems)
        if f["type"] == "string":
            _check_text(text[f["name"]], problems)
    key = declaration["schema"].get("primaryKey", [])
    if key:
        twice = text.duplicated(key, keep=False)
        if twice.any():
            problems.add("primary key repeats", text.loc[twice, key].agg(" ".join, axis=1).unique().tolist())
        text = text.sort_values(key, kind="mergesort")
    problems.raise_if_any(SchemaError)
    return text


def _check_text(column: pd.Series, problems: Problems) -> None:
    """Refuse text that a spreadsheet would run, or that steers a terminal."""
    for found, what in ((runs(column), "text a spreadsheet would run"), (controls(column), "control characters")):
        if found.any():
            problems.add(f"column {column.name} holds {what}", sorted(set(column[found]))[:8], "Correct the source")


def _check_column(column: pd.Series, rules: Mapping[str, Any], problems: Problems) -> None:
    name, full = column.name, column[column != ""]
    if rules.get("required") and len(full) < len(column):
        problems.add(f"column {name} is required but empty in rows", list(column.index[column == ""]))
    if "enum" in rules:
        bad = sorted(set(full) - set(map(str, rules["enum"])))
        if bad:
            problems.add(f"column {name} has values outside its list", bad)
    if "pattern" in rules:
        bad = sorted(set(full[~full.str.fullmatch(rules["pattern"])]))
        if bad:
            problems.add(f"column {name} does not match {rules['pattern']}", bad)
    for word, over in (("minimum", False), ("maximum", True)):
        if word in rules:
            values = full.astype("float64")
            out = full[(values > rules[word]) if over else (values < rules[word])]
            if len(out):
                problems.add(f"column {name} goes beyond its {word} {rules[word]}", sorted(set(out)))


def _as_text(column: pd.Series, field: dict[str, Any]) -> pd.Series:
    """Render one column as canonical text; missing is the empty string."""
    gone = column.isna()
    kind = field["type"]
    if kind == "date":
        out = pd.to_datetime(column).dt.strftime("%Y-%m-%d")
    elif kind == "integer":
        out = column.astype("Int64").astype("string")
    elif kind == "number":
        digits = field.get("decimals")
        values = column.astype("float64")
        out = values.map(lambda v: repr(float(v)) if digits is None else f"{v:.{digits}f}").astype("string")
    elif kind == "boolean":
        out = column.astype("boolean").map({True: "true", False: "false"}).astype("string")
    else:
        out = column.astype("string")
    return out.astype("object").where(~gone, "").fillna("")
