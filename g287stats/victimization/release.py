"""Leaving a research data center: one door for every table, note, figure and JSON, and a list of what it changed.

The rules are arguments because the center's prevail. Defaults are those of the Census Bureau's disclosure review for
its research data centers: unweighted counts rounded by size, everything estimated to four significant digits, no order
statistics, no places; confirm them with the center. Rounding is half to even. Nothing here replaces its review.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from g287stats.catalog import read_released
from g287stats.errors import DesignError, Problems
from g287stats.estimate.estimate import Estimate

CountRules = Sequence[tuple[float, float]]
CENSUS_COUNTS: CountRules = ((100, 10), (1_000, 50), (10_000, 100), (100_000, 500), (1_000_000, 1_000))
"""Counts below the first number are rounded to the nearest second; above the last, to four significant digits."""
COUNT = re.compile(
    r"^(n|count|events|interviews|cases|victims|persons|people|households|rows|records|observations|incidents|"
    r"counties|clusters|strata|psus?|units|df|n_.*|.*_(count|n)|df_.*|degrees_of_freedom|treated_(rows|victims))$",
    re.IGNORECASE,
)
ORDER = re.compile(
    r"(^|[^a-z])(max(imum)?|min(imum)?|median|quantile|percentile|quartile|decile|woodruff|[pq]\d\d?)([^a-z]|$)",
    re.IGNORECASE,
)
PLACE_NAME = re.compile(r"^(county(_fips|_name)?|fips|geo(id|code)?|tract|block|msa(ind|_.*)?|place|state_code)$", re.I)
_FIPS = re.compile(r"(?<![\d.,])\d{5}(?![\d.,])")
_NUMBER = re.compile(r"(?<![\w.,])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\w)")
_OPEN = frozenset({"seed", "draws", "year", "years", "level", "iterations", "event_time", "schema", "half", "quarter"})


@dataclass(frozen=True)
class ReleaseRules:
    """What the center asks: digits of estimates, smallest cell, rounding of counts, complementary suppression."""

    significant_digits: int = 4
    min_cell: int = 15
    count_rounding: CountRules = CENSUS_COUNTS
    complementary: bool = True

    def __post_init__(self) -> None:
        if self.significant_digits < 1 or self.min_cell < 0:
            raise DesignError("significant_digits is at least 1 and min_cell not negative")

    def count(self, value: float) -> Any:
        """Round a count by size; below ``min_cell`` only that."""
        if pd.isna(value) or not np.isfinite(value):
            return value
        if value < self.min_cell:
            return f"<{self.min_cell}"
        for below, nearest in self.count_rounding:
            if value < below:
                step = Decimal(str(nearest))
                return int((Decimal(str(value)) / step).quantize(Decimal(1), ROUND_HALF_EVEN) * step)
        return int(self.digits(float(value)))

    def digits(self, value: float) -> float:
        """Round to significant digits, half to even."""
        if pd.isna(value) or not np.isfinite(value) or value == 0:
            return value
        exact = Decimal(repr(float(value)))
        unit = Decimal(1).scaleb(exact.adjusted() - self.significant_digits + 1)
        return float(
            exact.quantize(unit, ROUND_HALF_EVEN)
            if unit < 1
            else (exact / unit).quantize(Decimal(1), ROUND_HALF_EVEN) * unit
        )


@dataclass(frozen=True, eq=False)
class Released:
    """What may leave, and the list of what was changed.

    ``value`` is the table, text, mapping or figure that may leave; ``facts`` (for an estimate) rounded counts and notes
    about it; ``changes`` lists what was rounded or withheld, with the reason. The list stays inside the center: it
    names what was withheld.
    """

    value: Any
    facts: pd.DataFrame
    changes: pd.DataFrame
    rules: ReleaseRules

    @property
    def frame(self) -> pd.DataFrame:
        """The released table."""
        if not isinstance(self.value, pd.DataFrame):
            raise DesignError(f"what was released is a {type(self.value).__name__}, not a table")
        return self.value

    @property
    def withheld(self) -> pd.DataFrame:
        """What does not leave at all."""
        return self.changes[self.changes["done"] == "withheld"].reset_index(drop=True)

    def __str__(self) -> str:
        shown = self.value.to_string(index=False) if isinstance(self.value, pd.DataFrame) else str(self.value)
        return "\n".join([shown, self.facts.to_string(index=False), f"withheld: {len(self.withheld)}"])


class _Log:
    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str]] = []

    def add(self, what: str, name: object, done: str, reason: str) -> None:
        self.rows.append((what, str(name), done, reason))

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows, columns=["what", "name", "done", "reason"]).drop_duplicates(ignore_index=True)


def release(
    result: Any,
    rules: ReleaseRules | None = None,
    *,
    counts: Sequence[str] = (),
    places: Sequence[str] = (),
) -> Released:
    """Make a result fit to leave a research data center.

    Parameters
    ----------
    result
        An estimate (its table, counts and notes; influence functions and rows never leave), a table, a text, a
        mapping (JSON), or a matplotlib figure (its data and texts; a copy is returned).
    rules
        See :class:`ReleaseRules`.
    counts
        Columns of unweighted counts whose name does not say so. Names that do: ``n``, ``n_…``, ``events``,
        ``interviews``, ``victims``, ``df``, ``counties`` and the like.
    places
        Further columns that identify places. Columns and cells that hold county codes or names always count.

    Counts are rounded by size or shown as "<15"; a row with a smaller count is withheld, and with it the next smallest
    when a total would give it away. Other numbers are rounded to four significant digits. Maxima, medians and other
    order statistics, and names and codes of places, are withheld.

    Examples
    --------
    >>> import pandas as pd
    >>> out = release(pd.DataFrame({"group": ["a", "b"], "rate": [18.23456, 2.0], "n": [238, 1249]}))
    >>> out.frame.values.tolist()
    [['a', 18.23, 250], ['b', 2.0, 1200]]
    """
    rules, log = rules or ReleaseRules(), _Log()
    facts: list[tuple[str, str]] = []
    value: Any
    if isinstance(result, Estimate):
        table = result.tidy(bands=False)
        if result.method.key == "survey_quantile":
            log.add("estimate", result.method.title, "withheld", "order statistics are values of single respondents")
            table = table.iloc[:0]
        if "n_units" in table:
            log.add("column", "n_units", "withheld", "counts sampling units, not cases")
            table = table.drop(columns="n_units")
        value = _table(table, rules, log, (), places)
        facts = _facts(result, rules, log)
    elif isinstance(result, pd.DataFrame):
        value = _table(result, rules, log, counts, places)
    elif isinstance(result, pd.Series):
        value = _mapping(result.to_dict(), rules, log)
    elif isinstance(result, str):
        value = _text(result, rules, log, "text")
    elif isinstance(result, Mapping):
        value = _mapping(result, rules, log)
    elif hasattr(result, "savefig"):
        value = _figure(result, rules, log)
    else:
        raise DesignError(f"release takes an estimate, table, text, mapping or figure, not {type(result).__name__}")
    return Released(value, pd.DataFrame(facts, columns=["fact", "value"]), log.frame(), rules)


def _facts(estimate: Estimate, rules: ReleaseRules, log: _Log) -> list[tuple[str, str]]:
    out = []
    known = {k: v for k, v in estimate.sample.items() if np.isscalar(v)}
    for name, value in {**known, "outcome": estimate.outcome, "inference": estimate.rule.label}.items():
        kept = _mapping({name: value}, rules, log)
        out += [(str(k), str(v)) for k, v in kept.items()]
    for note in estimate.notes:
        words = _text(note, rules, log, "note")
        out += [("note", words)] if words is not None else []
    return out


def _table(
    table: pd.DataFrame, rules: ReleaseRules, log: _Log, counts: Sequence[str], places: Sequence[str]
) -> pd.DataFrame:
    problems = Problems("release")
    absent = [c for c in (*counts, *places) if c not in table]
    if absent:
        problems.add("columns are not in the table", absent, f"It has {list(map(str, table.columns))}")
    problems.raise_if_any()
    out = table.copy()
    for column in list(out.columns):
        if column in places or (PLACE_NAME.match(str(column)) and not _statistic(out[column])):
            log.add("column", column, "withheld", "identifies places")
            out = out.drop(columns=column)
        elif ORDER.search(str(column)) and pd.api.types.is_numeric_dtype(out[column]):
            log.add("column", column, "withheld", "order statistics are values of single respondents")
            out = out.drop(columns=column)
    for column in out.columns:
        if not pd.api.types.is_numeric_dtype(out[column]):
            placed = out[column].map(lambda v: isinstance(v, str) and names_a_place(v))
            for i in out.index[placed.astype(bool)]:
                log.add("row", f"{column}, row {out.index.get_loc(i)}", "withheld", "names a place")
            out = out[~placed.astype(bool)]
    number = [c for c in out if c in counts or (COUNT.match(str(c)) and pd.api.types.is_numeric_dtype(out[c]))]
    out = _small(out, [c for c in number if not str(c).lower().startswith("df")], rules, log)
    rounded = out.astype(dict.fromkeys(number, object))
    for column in out:
        if column in number:
            rounded[column] = [rules.count(v) for v in out[column]]
            log.add("column", column, "rounded", "unweighted count")
        elif pd.api.types.is_bool_dtype(out[column]) or str(column) in _OPEN:
            continue
        elif pd.api.types.is_numeric_dtype(out[column]):
            rounded[column] = [rules.digits(float(v)) for v in out[column]]
            log.add("column", column, "rounded", f"{rules.significant_digits} significant digits")
        else:
            rounded[column] = [_text(v, rules, log, "cell") if isinstance(v, str) else v for v in out[column]]
    return rounded.reset_index(drop=True)


def _statistic(column: pd.Series) -> bool:
    """Whether numbers under a place's name are estimates, not codes: some are not whole."""
    if not pd.api.types.is_numeric_dtype(column):
        return False
    values = column.dropna().to_numpy(float)
    return bool(len(values)) and not (values == np.round(values)).all()


def _small(table: pd.DataFrame, number: Sequence[Any], rules: ReleaseRules, log: _Log) -> pd.DataFrame:
    if not number:
        return table
    least = table[list(number)].apply(pd.to_numeric, errors="coerce").min(axis=1)
    small = least < rules.min_cell
    for i in table.index[small]:
        log.add("row", _name(table, i), "withheld", f"fewer than {rules.min_cell} cases")
    if rules.complementary and small.sum() == 1 and (~small).any():
        partner = least[~small].idxmin()
        log.add("row", _name(table, partner), "withheld", "complementary: a total would give away the row above")
        small = small | (table.index == partner)
    return table[~small]


def _name(table: pd.DataFrame, index: Any) -> str:
    row = table.loc[index]
    return str(row["term"]) if "term" in table else f"row {index}"


def _mapping(given: Mapping[Any, Any], rules: ReleaseRules, log: _Log) -> dict[Any, Any]:
    out: dict[Any, Any] = {}
    for key, value in given.items():
        name = str(key)
        if PLACE_NAME.match(name) or names_a_place(name):
            log.add("fact", name, "withheld", "identifies places")
        elif isinstance(value, Mapping):
            out[key] = _mapping(value, rules, log)
        elif isinstance(value, str):
            kept = _text(value, rules, log, name)
            out |= {} if kept is None else {key: kept}
        elif isinstance(value, (list, tuple)):
            inner = _mapping({f"{name} {i}": v for i, v in enumerate(value)}, rules, log)
            out[key] = list(inner.values())
        elif isinstance(value, (bool, np.bool_)) or value is None or name in _OPEN:
            out[key] = value
        elif ORDER.search(name):
            log.add("fact", name, "withheld", "order statistics are values of single respondents")
        elif isinstance(value, (int, np.integer)) or COUNT.match(name):
            out[key] = rules.count(float(value))
            log.add("fact", name, "rounded", "unweighted count")
        elif isinstance(value, (float, np.floating)):
            out[key] = rules.digits(float(value))
        else:
            kept = _text(str(value), rules, log, name)
            out |= {} if kept is None else {key: kept}
    return out


def _text(text: str, rules: ReleaseRules, log: _Log, name: str) -> str | None:
    """A text with its whole numbers rounded as counts; one that names places is withheld."""
    if names_a_place(text):
        log.add(name, text[:40] + ("…" if len(text) > 40 else ""), "withheld", "names a place")
        return None

    def rounded(match: re.Match[str]) -> str:
        token = match.group(0)
        plain = token.replace(",", "")
        if "." in plain:
            return f"{rules.digits(float(plain)):g}"
        value = int(plain)
        if value < 15 or (1900 <= value <= 2100 and "," not in token):  # small ordinals; years
            return token
        kept = rules.count(value)
        if kept != value:
            log.add(name, "a number in its words", "rounded", "may be an unweighted count")
        return f"{kept:,}" if isinstance(kept, int) else str(kept)

    return _NUMBER.sub(rounded, text)


def names_a_place(text: str) -> bool:
    """Whether a text holds a county code or the name of a county ("Maricopa County", or a cell that is the name)."""
    if any(code in _codes() for code in _FIPS.findall(text)):
        return True
    names = _names()
    if text.strip() in names - {"White"}:  # a county of Arkansas, and a group of people
        return True
    return any(m.group(1).strip() in names for m in re.finditer(r"((?:[A-Z][\w.'-]+ ?){1,3}) ?(?:County|Parish)", text))


@cache
def _codes() -> frozenset[str]:
    return frozenset(read_released("county_list")["county_fips"].astype(str))


@cache
def _names() -> frozenset[str]:
    full = read_released("county_list")["name"].astype(str)
    kinds = "County|Parish|Borough|Census Area|Municipality|city|City and Borough"
    bare = full.str.replace(rf" ({kinds})$", "", regex=True)
    return frozenset(full) | frozenset(bare)


def _figure(figure: Any, rules: ReleaseRules, log: _Log) -> Any:
    """A copy of a figure with its lines, points and words rounded; words that name places are blank."""
    from matplotlib.text import Text

    out = pickle.loads(pickle.dumps(figure))
    for axes in out.axes:
        for line in axes.get_lines():
            line.set_data(*(np.array([rules.digits(float(v)) for v in np.ravel(d)]) for d in line.get_data(orig=False)))
        for collection in axes.collections:
            offsets = np.ma.filled(np.asarray(collection.get_offsets(), dtype=float), np.nan)
            collection.set_offsets([[rules.digits(float(v)) for v in row] for row in offsets])
    log.add("figure", "data", "rounded", f"{rules.significant_digits} significant digits")
    for text in out.findobj(Text):
        if text.get_text():
            text.set_text(_text(text.get_text(), rules, log, "words of a figure") or "")
    return out
