"""Errors and warnings: what was found, where, how much, and what to type next.

Every error of the package is a :class:`G287Error`. A check that finds several problems raises one error
that lists them all; use :class:`Problems` to collect them.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar, cast

Choice = TypeVar("Choice")

_PACKAGE = str(Path(__file__).resolve().parent) + "/"
_GUESTS = (f"{_PACKAGE}_tests/", f"{_PACKAGE}_analyses/")  # callers of the package that an installed wheel holds

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return text that steers no terminal: control characters are spelled out.

    >>> printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)


class G287Error(Exception):
    """Base of all errors raised on purpose by g287stats."""

    def __str__(self) -> str:
        return printable(super().__str__())


class SourceError(G287Error):
    """A raw input file is not what it says it is (wrong columns, dates, models, layout, study, year).

    Remedy: the message names file, sheet, rows and the expected layout; fetch the file again or add the
    documented correction row.
    """


class IdentityError(G287Error):
    """A printed agency or place matches nothing, or more than one candidate.

    Remedy: add an evidence-bearing row to the alias table under ``data/fixes``.
    """


class SchemaError(G287Error):
    """A table does not satisfy its declaration in ``datapackage.json``."""


class DesignError(G287Error):
    """A data set does not fit the stated design (duplicate keys, infinite values, exits under absorption …).

    Remedy: the message names the rows and the line of pandas or the argument that resolves it.
    """


class IdentificationError(DesignError):
    """A parameter is not identified: rank deficiency, no valid comparison, no overlap.

    Remedy: the message names the columns, cohorts or covariates; drop them or change the comparison.
    """


class CoverageError(G287Error):
    """Cells fall below the coverage the design asks for.

    Remedy: lower ``min_coverage`` or pass ``on_low_coverage="drop"`` (drops are listed in the result).
    """


class UnavailableError(G287Error):
    """Data that must be supplied by the user, or a method that needs them, are not in hand.

    Remedy: the message names study, file, address and the command that adds it.
    """


class G287Warning(UserWarning):
    """Base of all warnings: something was counted and listed rather than silently changed."""

    def __str__(self) -> str:
        return printable(super().__str__())


class DataWarning(G287Warning):
    """Rows were repaired, set aside or left unmatched, with their count and where they are listed."""


class DesignWarning(G287Warning):
    """A design choice has a consequence the user should know (exits, overlap, gaps, small cohorts)."""


class FewTreatedWarning(DesignWarning):
    """Fewer than ten clusters hold a treated unit: clustered standard errors reject too often.

    Remedy: ``g.randomization_test``, ``g.ferman_pinto``, ``g.wild_bootstrap``. Where one of them stands beside the
    estimate, ``warnings.simplefilter("ignore", FewTreatedWarning)`` silences this kind alone; the note stays in
    ``notes``.
    """


class InferenceWarning(G287Warning):
    """The requested uncertainty is unreliable here (few clusters, few treated, unidentified variance)."""


def caution(message: str, kind: type[G287Warning]) -> None:
    """Warn at the line that called the package: the user's, however deep the reason lies."""
    frame, level = sys._getframe(1), 2
    while (
        frame.f_back is not None
        and (at := frame.f_code.co_filename).startswith(_PACKAGE)
        and not at.startswith(_GUESTS)
    ):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, kind, stacklevel=level)


def _inside(file: str) -> bool:
    return file.startswith(_PACKAGE) and not file.startswith(_GUESTS)


EQUALS = {  # values of R did, csdid and others that mean one of ours
    "nevertreated": "never",
    "never_treated": "never",
    "notyettreated": "notyet",
    "not_yet_treated": "notyet",
    "dynamic": "event",
    "group": "cohort",
}


def choose(name: str, value: Choice, allowed: Iterable[Choice]) -> Choice:
    """Return a value that is among the choices of an argument, by their names or :data:`EQUALS`; else list them."""
    *first, last = choices = tuple(allowed)
    if value in choices:
        return value
    if isinstance(value, str) and (ours := EQUALS.get(value)) in choices:
        return cast(Choice, ours)
    listed = f"{', '.join(map(repr, first))} or {last!r}" if first else repr(last)
    raise DesignError(f"{name}={value!r}: choose {listed}")


def first_of(names: Iterable[object], count: int = 8) -> str:
    """Return the first names, and how many more there are.

    >>> first_of(["01001", "01003", "01005"], 2)
    '01001, 01003, … 1 more'
    """
    listed = list(names)
    more = [f"… {len(listed) - count} more"] if len(listed) > count else []
    return ", ".join([*map(str, listed[:count]), *more])


def check_level(level: float) -> None:
    """Refuse a confidence level that is not a share."""
    if not 0 < level < 1:
        raise DesignError(f"level={level}: a confidence level lies between 0 and 1, level=0.95")


def check_draws(draws: int) -> None:
    """Refuse fewer than one draw."""
    if draws < 1:
        raise DesignError(f"draws={draws}: ask for at least one, usually 999")


class Problems:
    """Collect every problem of one input, then raise them together.

    >>> p = Problems("panel.csv")
    >>> p.add("duplicate unit-period", ["01001 2006", "01003 2007"], "df.drop_duplicates([...])")
    >>> bool(p)
    True
    """

    def __init__(self, where: str):
        self.where = where
        self.lines: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.lines)

    def add(self, what: str, items: Iterable[object] = (), remedy: str = "", *, show: int = 8) -> None:
        """Record one kind of problem with its count, the first ``show`` offenders and the remedy."""
        listed = [str(i) for i in items]
        line = what
        if listed:
            line += f" ({len(listed)}): " + first_of(listed, show)
        if remedy:
            line += f". {remedy}"
        self.lines.append(line)

    def raise_if_any(self, kind: type[G287Error] = DesignError) -> None:
        """Raise ``kind`` with all recorded problems, or return when there are none."""
        if self.lines:
            head = f"{self.where}: {len(self.lines)} problem{'s' if len(self.lines) > 1 else ''}"
            raise kind(head + "".join(f"\n  {n}. {line}" for n, line in enumerate(self.lines, 1)))
