"""``g287stats export``: the released tables for users of R, Stata and others, as a data package."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from g287stats.catalog import current_record, manifest, read_released, released_dir, schema
from g287stats.catalog.text import csv, neutral
from g287stats.catalog.writing import Content, changing
from g287stats.errors import SchemaError

_STATA_NAME, _STATA_LABEL, _STATA_STRING = 32, 80, 2045


def export(
    out: str | Path, *, format: Literal["csv", "parquet", "dta"] = "csv", tables: Sequence[str] = ()
) -> list[Path]:
    """Write released tables into the folder ``out``, with ``codebook.csv`` and ``datapackage.json`` beside them.

    All of them are written or none. ``datapackage.json`` is a data package (Frictionless): every file with its
    columns, checksum, size, rows and sources. A CSV cell that a spreadsheet would run as a formula gets an
    apostrophe before it; how many did stands beside the table.

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
    resources, book = [], []
    with changing(out) as change:
        for name in tables or known:
            frame, fields = read_released(name), schema(name)["schema"]["fields"]
            written = change.put(f"{name}.{format}", _content(frame, name, format))
            raw = change.staged(written.name).read_bytes()
            resources.append(_resource(frame, schema(name), written.name, format, raw))
            book += [
                {"table": name, **{k: f.get(k, "") for k in ("name", "type", "unit", "description")}} for f in fields
            ]
        raw = csv(pd.DataFrame(book).rename(columns={"name": "column"})).encode("utf-8")
        change.put("codebook.csv", raw)
        resources.append({"name": "codebook", "path": "codebook.csv", "format": "csv", **manifest.entry(raw)})
        change.put(manifest.PACKAGE, manifest.text(_package(resources)))
        return change.paths


def _package(resources: list[dict[str, Any]]) -> dict[str, Any]:
    record = current_record()
    package = json.loads((released_dir() / "package.json").read_text("utf-8"))
    newer = {"description": str(record)} if record else {}
    return package | {"profile": "data-package"} | newer | {"resources": resources}


def _resource(frame: pd.DataFrame, declaration: dict[str, Any], path: str, format: str, raw: bytes) -> dict[str, Any]:
    """Declare one exported file: a table of named columns as CSV, a file with a described origin otherwise."""
    about: dict[str, Any] = {
        k: declaration[k] for k in ("name", "title", "description", "sources", "licenses") if k in declaration
    }
    about |= {"path": path, "format": format, **manifest.entry(raw), "rows": len(frame)}
    if format != "csv":
        return about | {"profile": "data-resource"}
    changed = neutral(frame)
    cells = sum(int((changed[c] != frame[c]).fillna(False).sum()) for c in frame if changed[c] is not frame[c])
    marked = {"apostrophes": cells} if cells else {}
    return about | {"profile": "tabular-data-resource", "encoding": "utf-8", "schema": declaration["schema"]} | marked


def _content(frame: pd.DataFrame, name: str, format: str) -> Content:
    if format == "csv":
        return csv(_plain(frame))
    if format == "parquet":
        return lambda path: frame.to_parquet(path, index=False)
    labels = {f["name"]: f.get("description", "") for f in schema(name)["schema"]["fields"]}
    return lambda path: _to_stata(frame, path, labels, schema(name)["title"])


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Spell true and false as the schema of a data package reads them."""
    flags = [c for c in frame if frame[c].dtype.name == "boolean"]
    return frame.assign(**{c: frame[c].map({True: "true", False: "false"}) for c in flags})


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
