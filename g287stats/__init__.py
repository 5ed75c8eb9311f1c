"""g287stats: Section 287(g) agreements, county crime and victimization, and what the agreements did."""

from __future__ import annotations

import importlib
from typing import Any

from g287stats._version import __version__

_PUBLIC = {  # public name -> module that defines it; imported when first used
    "Agreements": "g287stats.agreements.table",
    "load_agreements": "g287stats.agreements.table",
    "data_add": "g287stats.catalog",
    "data_describe": "g287stats.catalog",
    "data_fetch": "g287stats.catalog",
    "data_list": "g287stats.catalog",
    "data_verify": "g287stats.catalog",
    "cite": "g287stats.citation",
    "export": "g287stats.exporting",
    "att_gt": "g287stats.did.group_time",
    "event_study": "g287stats.did.twfe",
    "twfe": "g287stats.did.twfe",
    "finding": "g287stats.claims",
    "findings": "g287stats.claims",
    "replicate": "g287stats.claims",
    "statements": "g287stats.claims",
    "harmonise": "g287stats.geography",
    "load_counties": "g287stats.geography",
    "neighbours": "g287stats.geography",
    "Estimate": "g287stats.inference",
    "balance_weights": "g287stats.did.matching",
    "balance_table": "g287stats.did.matching",
    "match": "g287stats.did.matching",
    "load_hispanic": "g287stats.outcomes.population",
    "load_population": "g287stats.outcomes.population",
    "equivalence": "g287stats.inference.equivalence",
    "minimum_detectable_effect": "g287stats.inference.power",
    "load_outcome": "g287stats.outcomes",
    "CountyPanel": "g287stats.panel",
    "Exposure": "g287stats.panel",
    "county_panel": "g287stats.panel",
    "known_controls": "g287stats.panel",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'g287stats' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
