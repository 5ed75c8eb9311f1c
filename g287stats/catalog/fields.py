"""What a column is, said once: ``data/fields.json``.

Every column of a released table or of a panel has one entry: type, unit, description, what a missing cell means,
and, where they are the same in every table, its constraints and source. A table's schema lists its columns by name;
``is`` names another entry (two tables may both have a ``kind``), ``note`` adds what is particular to the table, and
a constraint or source of the table's own stands beside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from g287stats.errors import SchemaError


def released_dir() -> Path:
    """Return the folder of the released tables (installed wheel first, then the source tree)."""
    here = Path(__file__).resolve().parent.parent
    for folder in (here / "_released", here.parent / "data"):
        if (folder / "schema").is_dir():
            return folder
    raise SchemaError(
        f"no released tables beside {here}; reinstall the package: pip install --force-reinstall g287stats"
    )


@cache
def declared(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the declarations in ``folder``, by identifier; those of the release where the folder has none."""
    path = folder / "fields.json"
    if not path.is_file():
        if folder == released_dir():
            raise SchemaError(f"{path} is missing. Reinstall the package: pip install --force-reinstall g287stats")
        return declared(released_dir())
    return json.loads(path.read_text(encoding="utf-8"))


def merged(field: str | Mapping[str, Any], columns: Mapping[str, Mapping[str, Any]], where: str) -> dict[str, Any]:
    """Return the whole declaration of one column of a table from its line in the schema."""
    own: dict[str, Any] = {"name": field} if isinstance(field, str) else dict(field)
    name = own.pop("is", own["name"])
    if name not in columns:
        raise SchemaError(f"{where}: column {name!r} is not declared in fields.json")
    base: dict[str, Any] = dict(columns[name])
    rules = {**base.pop("constraints", {}), **own.pop("constraints", {})}
    rules = {rule: value for rule, value in rules.items() if value is not None}  # null in a schema lifts a rule
    note = own.pop("note", "")
    text = f"{base['description']}; {note}" if note else base["description"]
    whole = {"name": own.pop("name")} | base | {"description": text} | own
    return whole | {"constraints": rules} if rules else whole
