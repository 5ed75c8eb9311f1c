"""g287stats: Section 287(g) agreements, county crime and victimization, and what the agreements did."""

from __future__ import annotations

import importlib
from typing import Any

from g287stats._version import __version__

_PUBLIC = {  # public name -> module that defines it; imported when first used
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'g287stats' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
