"""Turn the raw sources into the released tables: ``g287stats build --sources DIR``.

Maintainers run this; users never need it. Rebuilding from the same sources writes the same bytes.
"""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from g287stats import catalog
from g287stats.catalog import manifest, origins
from g287stats.catalog.released import read_unrecorded
from g287stats.catalog.writing import changing, working
from g287stats.errors import Problems, SchemaError, SourceError

STEPS = (  # in the order in which rooms build on one another
    ("geography", "g287stats.geography"),
    ("agreements", "g287stats.agreements.build"),
    ("population", "g287stats.outcomes.context.population"),
    ("fbi_table10", "g287stats.outcomes.fbi.table10"),
    ("fbi_msa", "g287stats.outcomes.fbi.msa"),
    ("fbi_cities", "g287stats.outcomes.fbi.cities"),
    ("fbi_murders", "g287stats.outcomes.fbi.murders"),
    ("fbi_other", "g287stats.outcomes.fbi.other"),
    ("fbi_estimates", "g287stats.outcomes.fbi.estimates"),
    ("california", "g287stats.outcomes.state.california"),
    ("maryland", "g287stats.outcomes.state.maryland"),
    ("controls", "g287stats.outcomes.context.controls"),
    ("policies", "g287stats.policies"),
    ("ncvs", "g287stats.victimization.published"),
    ("claims", "g287stats.claims.registry"),
    ("shapes", "g287stats.report.shapes"),
)
BESIDE = ("claims", "victimization")  # folders beside that of the sources which steps read as well


def build(sources: Path, out: Path | None = None, only: tuple[str, ...] = ()) -> list[Path]:
    """Build the released tables from the folder ``sources`` into ``out`` (default: the source tree's ``data``).

    ``only`` restricts to the named steps (see :data:`STEPS`). A folder without declarations, corrections and the
    tables kept by hand gets those of the release. Returns the files written, ending with ``datapackage.json``.
    """
    if not sources.is_dir():
        raise SourceError(f"--sources {sources}: no such folder. Name the folder that holds agreements/, crime/, …")
    out = out or catalog.released_dir()
    unknown = set(only) - {name for name, _ in STEPS}
    if unknown:
        raise SourceError(f"unknown build step {sorted(unknown)}; steps are {[n for n, _ in STEPS]}")
    with working(out) as stage:
        shutil.copytree(out, stage, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*", manifest.PACKAGE))
        written = _given(stage)
        read: dict[str, set[Path]] = {}
        for name, module in STEPS:
            if not only or name in only:
                with origins.opened([sources, *(sources.parent / b for b in BESIDE)]) as read[name]:
                    made = importlib.import_module(module).build(sources, stage)
                written += _claimed(name, made, stage)
        written.append(origins.record(sources, read, stage))
        return _move(stage, out, [p.relative_to(stage).as_posix() for p in written])


def _given(stage: Path) -> list[Path]:
    """Put what no step builds, and the folder lacks, beside the tables: the files of the release that people edit."""
    home = catalog.released_dir()
    byhand = [p for folder in ("schema", "fixes") for p in (home / folder).iterdir()]
    byhand += [home / n for n in ("fields.json", "package.json", "NOTICE.md", "CHANGELOG.md")]
    declared = [catalog.schema(p.stem) for p in sorted((home / "schema").glob("*.json"))]
    byhand += [home / d["path"] for d in declared if "step" not in d]
    absent = [p for p in sorted(byhand) if not (stage / p.relative_to(home)).exists()]
    for path in absent:
        target = stage / path.relative_to(home)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
    return [stage / p.relative_to(home) for p in absent]


def _claimed(step: str, made: list[Path], stage: Path) -> list[Path]:
    """Return what a step made, if it is what the declarations say the step makes; raise :class:`SchemaError` if not."""
    declared = [json.loads(p.read_text("utf-8")) for p in sorted((stage / "schema").glob("*.json"))]
    tables = {d["path"]: d.get("step", "nobody") for d in declared}
    found = {p.relative_to(stage).as_posix() for p in made}
    problems = Problems(f"build step {step}")
    others = sorted(f"{p} ({tables[p]})" for p in found & set(tables) if tables[p] != step)
    if others:
        problems.add("it made tables declared to be another's", others, 'Correct "step" in data/schema/*.json')
    if absent := sorted(p for p, by in tables.items() if by == step and p not in found):
        problems.add("it did not make tables declared to be its own", absent)
    problems.raise_if_any(SchemaError)
    return made


def write_datapackage(out: Path) -> list[Path]:
    """Assemble ``datapackage.json`` and ``codebook.md`` of the tables in ``out``, checking every table on the way."""
    with changing(out) as change:
        return [change.put(name, text) for name, text in _package_files(out).items()]


def _move(stage: Path, out: Path, written: list[str]) -> list[Path]:
    """Put what was built, and the manifest of the whole, in place together."""
    package = _package_files(stage)
    with changing(out) as change:
        for name in dict.fromkeys(written):
            change.put(name, (stage / name).read_bytes())
        for name, text in package.items():
            change.put(name, text)
    return [out / name for name in (*dict.fromkeys(written), *package)]


def _package_files(out: Path) -> dict[str, str]:
    """Return the manifest and the codebook of the tables in ``out``: size, checksum and rows of each, checked."""
    resources = []
    read = read_unrecorded("source_files", out) if (out / "source_files.csv").is_file() else pd.DataFrame({"step": []})
    for path in sorted((out / "schema").glob("*.json")):
        resource = catalog.schema(path.stem, out)
        table = out / resource["path"]
        if not table.is_file():
            raise SourceError(f"{path.name} declares {resource['path']}, which is not built. Run the full build")
        rows = len(read_unrecorded(path.stem, out))
        if "step" in resource and (mine := read["step"].eq(resource["step"])).any():
            resource["raw_files"] = origins.summary(read[mine])
        resources.append(
            resource | {"profile": "tabular-data-resource", **manifest.entry(table.read_bytes()), "rows": rows}
        )
    listed = {r["path"] for r in resources} | {manifest.PACKAGE, "codebook.md"}
    package = json.loads((out / "package.json").read_text(encoding="utf-8")) | {"resources": resources}
    book = codebook(package)
    names = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    others = [n for n in names if n not in listed and not n.startswith(".")]
    files = [{"path": n, **manifest.entry((out / n).read_bytes())} for n in others]
    files.append({"path": "codebook.md", **manifest.entry(book.encode("utf-8"))})
    return {"codebook.md": book, manifest.PACKAGE: manifest.text(package | {"files": files})}


def codebook(package: dict[str, Any]) -> str:
    """Render the data package as a Markdown page: every table with its source, every column with its meaning."""
    lines = [f"# Codebook of the released tables, version {package['version']}", ""]
    lines += ["Generated by `g287stats build`; edit `data/fields.json` and `data/schema/*.json` instead.", ""]
    lines += ["Raw files: how many the table's step of the build read, the SHA-256 of the file (of several: of their"]
    lines += ["sorted SHA-256s, one a line), and the day they were taken from their producers; see `source_files`.", ""]
    for resource in package["resources"]:
        fields = resource["schema"]["fields"]
        key = resource["schema"].get("primaryKey", [])
        lines += [f"## {resource['name']}", "", f"{resource['title']}. {resource.get('description', '')}".strip(), ""]
        lines += [f"- File: `{resource['path']}` ({resource['bytes']:,} bytes)"]
        lines += [f"- Key: {', '.join(f'`{k}`' for k in ([key] if isinstance(key, str) else key)) or 'none'}"]
        lines += [f"- Source: {s['title']}" for s in resource["sources"]]
        lines += [f"- Raw files: {_told(resource)}"]
        lines += [f"- Terms: {s.get('title') or s['name']}" for s in resource["licenses"]]
        lines += ["", "| column | type | unit | meaning |", "|---|---|---|---|"]
        for f in fields:
            meaning = f["description"] + (f". Empty: {f['missing']}" if "missing" in f else "")
            cells = (f"`{f['name']}`", f["type"], f.get("unit", ""), meaning)
            lines.append("| " + " | ".join(str(c).replace("|", "\\|").replace("\n", " ") for c in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _told(resource: dict[str, Any]) -> str:
    """Say in one line which raw files a table comes from."""
    raw = resource.get("raw_files")
    if raw is None:
        return "none, written by the build itself" if "step" in resource else "none, kept by hand"
    return f"{raw['files']}, read by step `{raw['step']}`; sha256 `{raw['sha256']}`; accessed: {raw['accessed']}"
