"""What was measured: one module a producer, one way in, :func:`load_outcome`."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from g287stats.errors import SourceError
from g287stats.outcomes.table import COUNTS, FlowStep, OutcomeTable

__all__ = ["COUNTS", "OUTCOMES", "FlowStep", "OutcomeTable", "load_outcome"]

OUTCOMES: dict[str, str] = {  # outcome name -> "module:function"; the function takes years= and returns OutcomeTable
    "fbi_table10": "g287stats.outcomes.fbi_table10:load_fbi_table10",
    "fbi_msa": "g287stats.outcomes.fbi_msa:load_fbi_msa",
    "fbi_county_sums": "g287stats.outcomes.fbi_county_sums:load_fbi_county_sums",
    "california": "g287stats.outcomes.california:load_california",
    "maryland": "g287stats.outcomes.maryland:load_maryland",
    "icpsr_county": "g287stats.outcomes.icpsr_county:load_icpsr_county",
    "icpsr_arrests": "g287stats.outcomes.icpsr_county:load_icpsr_arrests",
    "kaplan_agencies": "g287stats.outcomes.kaplan:load_kaplan",
    "fbi_return_a": "g287stats.outcomes.cde:load_return_a",
    "fbi_cde": "g287stats.outcomes.cde:load_cde",
    "rtci": "g287stats.outcomes.rtci:load_rtci",
    "cdc_homicide": "g287stats.outcomes.cdc_homicide:load_cdc_homicide",
    "open_policing": "g287stats.outcomes.open_policing:load_open_policing",
    "usa_counties": "g287stats.outcomes.usa_counties:load_usa_counties",
}


def load_outcome(name: str, years: tuple[int, int] | Iterable[int] | None = None, **options: Any) -> OutcomeTable:
    """Return outcome ``name`` by county and period.

    ``years`` is a first and last year as a tuple (both included), any other iterable of years (a list, a
    range), or ``None`` for all the table has. Years outside the table raise :class:`SourceError` naming those
    it has. ``options`` go to the loader.
    """
    if name not in OUTCOMES:
        raise SourceError(f"no outcome is called {name!r}. Known outcomes: {', '.join(sorted(OUTCOMES))}")
    module, function = OUTCOMES[name].split(":")
    return getattr(importlib.import_module(module), function)(years=years, **options)


def select_years(name: str, years: tuple[int, int] | Iterable[int] | None, available: Iterable[int]) -> tuple[int, ...]:
    """Resolve the ``years`` argument of a loader against the years a table has.

    Gaps inside a (first, last) tuple are left to the table (an absent year is missing data); a first or last
    year outside the table is refused, and so is any listed year it lacks.
    """
    have = sorted({int(y) for y in available})
    if years is None:
        return tuple(have)
    if isinstance(years, tuple) and len(years) == 2:
        first, last = int(years[0]), int(years[1])
        if first > last:
            raise SourceError(f"{name}: years {years} run backwards; give (first, last)")
        if first < have[0] or last > have[-1]:
            raise SourceError(f"{name} covers {have[0]}–{have[-1]}; years {first}–{last} were asked for")
        return tuple(y for y in have if first <= y <= last)
    wanted = sorted({int(y) for y in years})
    absent = [y for y in wanted if y not in have]
    if absent:
        raise SourceError(f"{name} has no year {absent}; it has {have}")
    return tuple(wanted)
