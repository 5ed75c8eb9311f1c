"""Released tables: declared once, read and written by their declaration.

Released tables live in ``data/`` of the repository and in ``g287stats/_released`` of an installed wheel. Each
is declared once, as a Frictionless resource in ``data/schema/<name>.json``; reading, writing, validation and
the codebook all follow that declaration.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from g287stats.catalog.writing import write
from g287stats.errors import Problems, SchemaError

_PANDAS_TYPE = {"string": "string", "integer": "Int64", "number": "float64", "boolean": "boolean"}


def released_dir() -> Path:
    """Return the folder of the released tables (installed wheel first, then the source tree)."""
    here = Path(__file__).resolve().parent.parent
    for folder in (here / "_released", here.parent / "data"):
        if (folder / "schema").is_dir():
            return folder
    raise SchemaError(
        f"no released tables beside {here}; reinstall the package: pip install --force-reinstall g287stats"
    )


def analyses_dir() -> Path:
    """Return the folder of the analysis scripts (installed wheel first, then the source tree)."""
    here = Path(__file__).resolve().parent.parent
    installed = here / "_analyses"
    return installed if installed.is_dir() else here.parent / "analyses"


@cache
def schema(name: str, folder: Path | None = None) -> dict[str, Any]:
    """Return the declaration of table ``name`` as a dictionary (a Frictionless tabular resource)."""
    path = (folder or released_dir()) / "schema" / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.json")))
        raise SchemaError(f"no released table is called {name!r}. Known tables: {known}")
    return json.loads(path.read_text(encoding="utf-8"))


def read_released(name: str, folder: Path | None = None) -> pd.DataFrame:
    """Read a released table with the types its declaration states.

    Text stays text (county codes keep their leading zero), empty cells are missing, dates are ``datetime64``,
    integers are nullable ``Int64``.
    """
    base = folder or released_dir()
    declaration = schema(name, base)
    fields = declaration["schema"]["fields"]
    path = base / declaration["path"]
    dtypes: dict[str, Any] = {f["name"]: _PANDAS_TYPE[f["type"]] for f in fields if f["type"] in _PANDAS_TYPE}
    dates = [f["name"] for f in fields if f["type"] == "date"]
    frame = pd.read_csv(path, dtype=dtypes, parse_dates=dates, keep_default_na=False, na_values=[""], encoding="utf-8")
    missing = [f["name"] for f in fields if f["name"] not in frame.columns]
    if missing:
        raise SchemaError(f"{path.name}: columns {missing} are declared but absent. Rebuild: g287stats build")
    return frame[[f["name"] for f in fields]]


def write_released(frame: pd.DataFrame, name: str, out: Path) -> Path:
    """Write ``frame`` as released table ``name`` into folder ``out``: same content, same bytes.

    Columns, their order and types come from the declaration; rows are sorted by primary key. Raises
    :class:`SchemaError` listing every violation (missing columns, undeclared columns, duplicate keys, empty
    required cells, values outside an enumeration).
    """
    declaration = schema(name, out if (out / "schema" / f"{name}.json").is_file() else None)
    fields = declaration["schema"]["fields"]
    key = declaration["schema"].get("primaryKey", [])
    names = [f["name"] for f in fields]
    problems = Problems(f"{declaration['path']}")
    problems.add("declared columns are absent", [n for n in names if n not in frame.columns]) if set(names) - set(
        frame.columns
    ) else None
    extra = [c for c in frame.columns if c not in names]
    if extra:
        problems.add("columns are not declared", extra, f"Declare them in data/schema/{name}.json")
    problems.raise_if_any(SchemaError)
    text = pd.DataFrame({f["name"]: _as_text(frame[f["name"]], f) for f in fields})
    for f in fields:
        rules = f.get("constraints", {})
        column = text[f["name"]]
        if rules.get("required") and (column == "").any():
            problems.add(f"column {f['name']} is required but empty in rows", list(text.index[column == ""]))
        if "enum" in rules:
            bad = sorted(set(column[column != ""]) - set(map(str, rules["enum"])))
            if bad:
                problems.add(f"column {f['name']} has values outside its list", bad)
        if "pattern" in rules:
            bad = sorted(set(column[(column != "") & ~column.str.fullmatch(rules["pattern"])]))
            if bad:
                problems.add(f"column {f['name']} does not match {rules['pattern']}", bad)
    if key:
        twice = text.duplicated(key, keep=False)
        if twice.any():
            problems.add("primary key repeats", text.loc[twice, key].agg(" ".join, axis=1).unique().tolist())
        text = text.sort_values(key, kind="mergesort")
    problems.raise_if_any(SchemaError)
    path = out / declaration["path"]
    raw = text.to_csv(index=False, lineterminator="\n").encode("utf-8")
    return write(path, gzip.compress(raw, mtime=0) if path.suffix == ".gz" else raw)


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
