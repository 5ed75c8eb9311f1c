"""``g287stats export``: the released tables for users of R, Stata and others, each with its labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from g287stats.catalog import read_released, released_dir, schema
from g287stats.errors import SchemaError

_STATA_NAME, _STATA_LABEL, _STATA_STRING = 32, 80, 2045


def export(
    out: str | Path, *, format: Literal["csv", "parquet", "dta"] = "csv", tables: Sequence[str] = ()
) -> list[Path]:
    """Write released tables into the folder ``out`` and ``codebook.csv`` beside them.

    Parameters
    ----------
    out
        Folder, made if absent.
    format
        ``csv``; ``parquet``; ``dta`` (Stata 14 and later: names cut to 32 characters, labels to 80, missing text
        is the empty string, true/false are 1/0).
    tables
        Names of tables; default: all.

    Returns
    -------
    list of Path
        The files written.
    """
    if format not in ("csv", "parquet", "dta"):
        raise SchemaError(f"format={format!r}; choose csv, parquet or dta")
    known = sorted(p.stem for p in (released_dir() / "schema").glob("*.json"))
    unknown = sorted(set(tables) - set(known))
    if unknown:
        raise SchemaError(f"no released tables called {unknown}. Tables: {', '.join(known)}")
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    written, book = [], []
    for name in tables or known:
        frame, fields = read_released(name), schema(name)["schema"]["fields"]
        target = folder / f"{name}.{format}"
        if format == "csv":
            frame.to_csv(target, index=False, lineterminator="\n", date_format="%Y-%m-%d")
        elif format == "parquet":
            frame.to_parquet(target, index=False)
        else:
            _to_stata(frame, target, {f["name"]: f.get("description", "") for f in fields}, schema(name)["title"])
        written.append(target)
        book += [{"table": name, **{k: f.get(k, "") for k in ("name", "type", "unit", "description")}} for f in fields]
    target = folder / "codebook.csv"
    pd.DataFrame(book).rename(columns={"name": "column"}).to_csv(target, index=False, lineterminator="\n")
    provenance = folder / "datapackage.json"
    package = json.loads((released_dir() / "package.json").read_text("utf-8"))
    provenance.write_text(json.dumps(package, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return [*written, target, provenance]


def _to_stata(frame: pd.DataFrame, target: Path, labels: dict[str, str], title: str) -> None:
    out: dict[str, Any] = {}
    long: list[str] = []
    for name in frame:
        column, short = frame[name], str(name)[:_STATA_NAME]
        if column.dtype.kind == "M":
            out[short] = column
        elif column.dtype.name in ("boolean", "bool", "Int64", "Float64") or column.dtype.kind in "iuf":
            out[short] = column.astype("Float64").astype(float)
        else:
            out[short] = column.astype(object).where(column.notna(), "").astype(str)
            if out[short].str.len().max() > _STATA_STRING:
                long.append(short)
    pd.DataFrame(out).to_stata(
        target,
        write_index=False,
        version=118,
        data_label=title[:_STATA_LABEL],
        variable_labels={k[:_STATA_NAME]: v[:_STATA_LABEL] for k, v in labels.items()},
        convert_strl=long,
    )
