"""What was measured: one module a producer, one way in, :func:`load_outcome`."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from g287stats.errors import SourceError
from g287stats.outcomes.table import COUNTS, OutcomeTable

__all__ = ["COUNTS", "OUTCOMES", "OutcomeTable", "load_outcome"]

OUTCOMES: dict[str, str] = {  # outcome name -> "module:function"; the function takes years= and returns OutcomeTable
    "fbi_table10": "g287stats.outcomes.fbi.table10:load_fbi_table10",
    "fbi_msa": "g287stats.outcomes.fbi.msa:load_fbi_msa",
    "fbi_county_sums": "g287stats.outcomes.fbi.county_sums:load_fbi_county_sums",
    "fbi_murders": "g287stats.outcomes.fbi.murders:load_fbi_murders",
    "california": "g287stats.outcomes.state.california:load_california",
    "maryland": "g287stats.outcomes.state.maryland:load_maryland",
    "icpsr_county": "g287stats.outcomes.nacjd.county:load_icpsr_county",
    "icpsr_arrests": "g287stats.outcomes.nacjd.county:load_icpsr_arrests",
    "kaplan_agencies": "g287stats.outcomes.agency.kaplan:load_kaplan",
    "fbi_return_a": "g287stats.outcomes.agency.cde:load_return_a",
    "fbi_cde": "g287stats.outcomes.agency.cde:load_cde",
    "rtci": "g287stats.outcomes.agency.rtci:load_rtci",
    "cdc_homicide": "g287stats.outcomes.context.cdc_homicide:load_cdc_homicide",
    "open_policing": "g287stats.outcomes.agency.open_policing:load_open_policing",
    "usa_counties": "g287stats.outcomes.context.usa_counties:load_usa_counties",
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
