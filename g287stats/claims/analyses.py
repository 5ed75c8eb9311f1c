"""The analyses under ``analyses/``: one folder a finding, with its script, its declaration and its differences."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from g287stats.catalog import analyses_dir
from g287stats.errors import G287Error


@dataclass(frozen=True)
class Analysis:
    """One folder under ``analyses/``: its script, the claims it bears on, the data version it is pinned to."""

    name: str
    folder: Path
    title: str
    order: int
    claims: tuple[str, ...]
    data_version: str
    differences: str
    default: bool = True
    tables: tuple[str, ...] = ()

    def load(self) -> Any:
        """Import the analysis's ``run.py`` and return its ``run`` function."""
        spec = importlib.util.spec_from_file_location(f"g287stats_analysis_{self.name}", self.folder / "run.py")
        if spec is None or spec.loader is None:
            raise G287Error(f"{self.folder}: no run.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module.run


@cache
def analyses() -> dict[str, Analysis]:
    """Return every analysis by name, in the order of the report."""
    found = []
    for path in sorted(analyses_dir().glob("*/published.toml")):
        card = tomllib.loads(path.read_text("utf-8"))
        text = (path.parent / "DIFFERENCES.md").read_text("utf-8")
        found.append(
            Analysis(
                path.parent.name,
                path.parent,
                card["title"],
                int(card.get("order", 99)),
                tuple(card["claims"]),
                str(card["data_version"]),
                text,
                bool(card.get("default", True)),
                tuple(card.get("tables", ())),
            )
        )
    return {a.name: a for a in sorted(found, key=lambda a: (a.order, a.name))}
