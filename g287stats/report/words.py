"""Words of the pages: days, lists, counts and the states of knowledge, said the same way everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

_SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def day(value: Any) -> str:
    """Say a day as "18 May 2026"; missing is an en dash.

    >>> day("2026-05-08"), day(None)
    ('8 May 2026', '–')
    """
    if value is None or pd.isna(value):
        return "–"
    when = pd.Timestamp(value)
    return f"{when.day} {when:%b %Y}"


def month(value: Any) -> str:
    """Say a month as "May 2026"."""
    return f"{pd.Period(value, 'M').to_timestamp():%B %Y}"


def join(items: Sequence[str], last: str = "and") -> str:
    """Join words as a sentence does.

    >>> join(["a", "b", "c"])
    'a, b and c'
    """
    items = list(items)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else ""


def count(number: int, one: str, many: str | None = None, *, spell: bool = False) -> str:
    """Say a number with its noun.

    >>> count(1, "agency", "agencies", spell=True), count(1843, "agreement")
    ('one agency', '1,843 agreements')
    """
    said = _SMALL[number] if spell and number < len(_SMALL) else f"{number:,}"
    return f"{said} {one if number == 1 else many or one + 's'}"
