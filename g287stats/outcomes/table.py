"""The one shape in which every outcome reaches the panel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from g287stats import labels
from g287stats.errors import Problems, SchemaError, SourceError
from g287stats.flow import EMPTY, Flow

Years = int | tuple[int, int] | Iterable[int] | None
"""One year, first and last, or a list."""

COUNTS = (  # offence names shared by all producers; a loader gives those its source has
    "violent",
    "violent_ex_rape",
    "property",
    "murder",
    "rape_legacy",
    "rape_revised",
    "rape_mixed",
    "robbery",
    "assault",
    "burglary",
    "larceny",
    "motor_vehicle_theft",
    "arson",
)


@dataclass(frozen=True)
class OutcomeTable:
    """Counts by county and period, with their denominator, coverage and history.

    ``frame`` is long: ``county_fips`` (harmonised unit), ``year`` (or ``period``, a pandas Period), the
    columns named in ``counts`` (offences; missing where the producer gives none, never zero for that), and
    further columns described in ``codebook``. ``denominator`` names the column of residents the counts belong
    to, where the source has one; ``coverage`` the column (0 to 1) with the share of the county behind the counts.
    """

    name: str
    frame: pd.DataFrame
    counts: tuple[str, ...]
    codebook: dict[str, dict[str, str]]
    provenance: dict[str, Any]
    coverage: str | None = None
    denominator: str | None = None
    freq: str = "Y"
    flow: Flow = EMPTY

    def __post_init__(self) -> None:
        problems = Problems(f"outcome table {self.name}")
        key = ["county_fips", self.time]
        absent = [
            c for c in [*key, *self.counts, *filter(None, [self.coverage, self.denominator])] if c not in self.frame
        ]
        if absent:
            problems.add("columns are absent", absent)
        else:
            twice = self.frame.duplicated(key)
            if twice.any():
                problems.add("county-periods repeat", self.frame.loc[twice, key].astype(str).agg(" ".join, axis=1))
            undescribed = [c for c in self.frame.columns if c not in self.codebook]
            if undescribed:
                problems.add("columns are not described in the codebook", undescribed)
        problems.raise_if_any(SchemaError)

    @property
    def time(self) -> str:
        """Name of the time column: ``year`` for annual tables, else ``period``."""
        return "year" if self.freq == "Y" else "period"

    @property
    def years(self) -> tuple[int, ...]:
        """Calendar years with at least one row, ascending."""
        column = self.frame[self.time]
        values = column if self.freq == "Y" else column.dt.year
        return tuple(sorted(int(v) for v in values.unique()))


def select_years(name: str, years: Years, available: Iterable[int]) -> tuple[int, ...]:
    """Resolve the ``years`` argument of a loader (see :func:`g287stats.labels.years`) against the years a table has.

    Gaps inside a (first, last) tuple are left to the table (an absent year is missing data); a first or last
    year outside the table is refused, and so is any listed year it lacks.
    """
    have = sorted({int(y) for y in available})
    asked = labels.years(years, f"{name}: years")
    if asked is None:
        return tuple(have)
    if isinstance(asked, tuple):
        first, last = asked
        if first < have[0] or last > have[-1]:
            raise SourceError(f"{name} covers {have[0]}–{have[-1]}; years {first}–{last} were asked for")
        return tuple(y for y in have if first <= y <= last)
    absent = [y for y in asked if y not in have]
    if absent:
        raise SourceError(f"{name} has no year {absent}; it has {have}")
    return tuple(asked)
