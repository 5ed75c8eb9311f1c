"""Leaving a research data center: round, suppress, and list what may not leave.

The rules are arguments because the center's prevail. Defaults follow the rounding of unweighted counts and the four
significant digits that the Census Bureau's disclosure review asks of its research data centers; confirm both with
the center before relying on them. Nothing here replaces its review.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from g287stats.errors import DesignError
from g287stats.estimate.estimate import Estimate

CountRules = Sequence[tuple[float, float]]
CENSUS_COUNTS: CountRules = ((100, 10), (1_000, 50), (10_000, 100), (100_000, 500), (1_000_000, 1_000))
"""Counts below the first number are rounded to the nearest second; above the last, to four significant digits."""
_FIPS = re.compile(r"(?<![\d.])\d{5}(?![\d.])")
_PLACE = re.compile(r"county|fips|tract|block|geo(id|code)?$|^msa|state_code", re.IGNORECASE)


@dataclass(frozen=True)
class Disclosure:
    """What may leave, and what may not.

    ``frame`` is the rounded table; ``facts`` rounded counts and texts about it; ``suppressed`` lists every row, column
    or note held back with its reason (kept inside the center: it names what was removed); ``rules`` the rules.
    """

    frame: pd.DataFrame
    facts: pd.DataFrame
    suppressed: pd.DataFrame
    rules: Mapping[str, Any] = field(default_factory=dict)

    @property
    def nothing_suppressed(self) -> bool:
        """Whether everything may leave, rounded."""
        return self.suppressed.empty

    def __str__(self) -> str:
        lines = [self.frame.to_string(index=False), self.facts.to_string(index=False)]
        lines += [f"suppressed ({len(self.suppressed)}):", self.suppressed.to_string(index=False)]
        return "\n".join([*lines, "rules: " + ", ".join(f"{k}={v}" for k, v in self.rules.items())])


def disclosure_check(
    result: Estimate | pd.DataFrame,
    *,
    counts: Sequence[str] = (),
    significant_digits: int = 4,
    min_cell: int = 15,
    count_rounding: CountRules = CENSUS_COUNTS,
    complementary: bool = True,
    places: Sequence[str] = (),
) -> Disclosure:
    """Make an estimate or a table fit to leave a research data center.

    Parameters
    ----------
    result
        An estimate (its tidy table and counts; influence functions, rows and notes with places never leave), or
        a table.
    counts
        Columns of a table that hold unweighted counts. For estimates ``n_…`` columns and facts are counts.
    significant_digits
        For every number that is not a count.
    min_cell
        Rows whose smallest unweighted count is below it are suppressed, zero included; facts below it are shown as
        "<15".
    count_rounding
        Pairs (below, nearest).
    complementary
        When exactly one row of a table is suppressed, a total would give it away: the row with the next
        smallest count goes too.
    places
        Further columns that identify places. Columns named after counties, tracts or geocodes and terms or
        labels that hold five-digit codes are always suppressed.
    """
    if significant_digits < 1 or min_cell < 0:
        raise DesignError("significant_digits is at least 1 and min_cell not negative")
    held: list[tuple[str, str, str]] = []
    if isinstance(result, Estimate):
        table = result.tidy(bands=False)
        facts = {k: v for k, v in result.sample.items() if np.isscalar(v)}
        facts |= {"outcome": result.outcome, "inference": result.rule.label}
        texts = [*result.notes]
        table = table.drop(columns=[c for c in ("n_units",) if c in table])
    elif isinstance(result, pd.DataFrame):
        table, facts, texts = result.copy(), {}, []
    else:
        raise DesignError(f"disclosure_check takes an Estimate or a DataFrame, not {type(result).__name__}")
    absent = [c for c in (*counts, *places) if c not in table]
    if absent:
        raise DesignError(f"columns {absent} are not in the table; it has {list(map(str, table.columns))}")

    for column in list(table.columns):
        if column in places or _PLACE.search(str(column)):
            held.append(("column", str(column), "identifies places"))
            table = table.drop(columns=column)
    words = table.select_dtypes(exclude="number")
    coded = words.apply(lambda c: c.astype(str).str.contains(_FIPS)).any(axis=1) if len(words.columns) else None
    if coded is not None and coded.any():
        held += [("row", _name(table, i), "names a place by code") for i in table.index[coded]]
        table = table[~coded]
    number = [c for c in table if c in counts or re.match(r"n(_|$)", str(c))]
    if number:
        least = table[number].apply(pd.to_numeric, errors="coerce").min(axis=1)
        small = least < min_cell
        held += [("row", _name(table, i), f"fewer than {min_cell} cases") for i in table.index[small]]
        if complementary and small.sum() == 1 and (~small).any():
            partner = least[~small].idxmin()
            held.append(("row", _name(table, partner), "complementary: a total would give away the row above"))
            small = small | (table.index == partner)
        table = table[~small]
    rounded = table.copy()
    for column in table:
        if column in number:
            rounded[column] = [_count(v, min_cell, count_rounding) for v in table[column]]
        elif pd.api.types.is_float_dtype(table[column]):
            rounded[column] = [_digits(v, significant_digits) for v in table[column]]
    lines = []
    for name, value in facts.items():
        if isinstance(value, str):
            if _FIPS.search(value):
                held.append(("fact", name, "names a place by code"))
                continue
            lines.append((name, value))
        elif name.startswith("n_") and not isinstance(value, bool):
            if _PLACE.search(name):
                held.append(("fact", name, "counts places"))
                continue
            lines.append((name, str(_count(float(str(value)), min_cell, count_rounding))))
        else:
            lines.append((name, str(value)))
    for text in texts:
        if _FIPS.search(text) or _PLACE.search(text):
            held.append(("note", text[:60] + ("…" if len(text) > 60 else ""), "names or counts places"))
        else:
            lines.append(("note", text))
    rules = {
        "significant_digits": significant_digits,
        "min_cell": min_cell,
        "count_rounding": tuple(count_rounding),
        "complementary": complementary,
    }
    return Disclosure(
        rounded.reset_index(drop=True),
        pd.DataFrame(lines, columns=["fact", "value"]),
        pd.DataFrame(held, columns=["what", "name", "reason"]),
        rules,
    )


def _name(table: pd.DataFrame, index: Any) -> str:
    row = table.loc[index]
    return str(row["term"]) if "term" in table else f"row {index}"


def _count(value: float, min_cell: int, rules: CountRules) -> Any:
    if pd.isna(value):
        return value
    if value < min_cell:
        return f"<{min_cell}"
    for below, nearest in rules:
        if value < below:
            return int(np.floor(value / nearest + 0.5) * nearest)
    return int(_digits(float(value), 4))


def _digits(value: float, digits: int) -> float:
    if pd.isna(value) or not np.isfinite(value) or value == 0:
        return value
    return float(f"{value:.{digits - 1}e}")
