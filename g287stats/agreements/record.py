"""The record of ICE's lists, one step a list: ``advance(record, list)``.

A build is the fold of :func:`advance` over all captured lists, an update is one more step, and the record as known
on a day is the fold over the lists up to that day. Whether a line that is gone ended an agreement is decided in one
place (:func:`verdict`), from what the record knows by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, NamedTuple

import pandas as pd

REJOIN_DAYS = 31
"""An agreement absent from the lists for longer, and back with a new signing date, is a second spell."""

MODELS = ("JEM", "TFM", "WSO")
Key = tuple[str, str, str]


class Line(NamedTuple):
    """One printed line, resolved. ``slot`` is empty, or ``line2`` for an agreement printed a second time."""

    agency_id: str
    model: str
    slot: str
    state_printed: str
    agency_printed: str
    county_printed: str
    signed_printed: str
    signed_date: Any
    linked: bool
    alias: str

    @property
    def key(self) -> Key:
        """Agency, model and slot: what stays when a line is respelt or re-dated."""
        return self[:3]

    @property
    def form(self) -> tuple[str, str, str]:
        """The words whose disappearance is adjudicated: printed state, agency and date."""
        return self.state_printed, self.agency_printed, self.signed_printed

    @property
    def words(self) -> tuple[str, str, str, str]:
        """The words a run of lists has in common: state, agency, county and date."""
        return self.state_printed, self.agency_printed, self.county_printed, self.signed_printed


@dataclass(frozen=True)
class CapturedList:
    """One list as captured: its number and day, and the set of its lines."""

    seq: int
    day: pd.Timestamp
    lines: frozenset[Line]
    models: frozenset[tuple[str, str]]
    agencies: frozenset[str]

    @classmethod
    def of(cls, seq: int, day: pd.Timestamp, lines: Iterable[Line]) -> CapturedList:
        """Return the list ``seq`` of ``day`` with these lines."""
        held = frozenset(lines)
        return cls(seq, day, held, frozenset(x[:2] for x in held), frozenset(x[0] for x in held))


@dataclass(frozen=True)
class Run:
    """Consecutive lists that print an agreement in the same words; ``last_seq`` is missing while it stands."""

    line: Line
    first_seq: int
    last_seq: int | None = None


@dataclass(frozen=True)
class Spell:
    """One agreement on the lists. ``chain`` is the number of the first spell of this agency, model and slot.

    ``dates`` are the signing dates printed, in order of first appearance; ``last_seq`` is missing while it stands.
    """

    key: Key
    chain: int
    first_seq: int
    dates: tuple[Any, ...]
    runs: tuple[Run, ...]
    last_seq: int | None = None


class Exit(NamedTuple):
    """A printed line that is not on the next list: what stood there instead."""

    spell: int
    line: Line
    last_seq: int
    after: Line | None
    model_stays: bool
    agency_stays: bool


class Interruption(NamedTuple):
    """An agreement left out of some lists and printed again, as one spell."""

    agency_id: str
    model: str
    slot: str
    last_seq: int
    back_seq: int
    days: int
    same_date: bool


@dataclass(frozen=True)
class Record:
    """What the lists so far say. Never changed in place: :func:`advance` returns the next one."""

    seq: int = 0
    day: dict[int, pd.Timestamp] = field(default_factory=dict)
    lines: frozenset[Line] = frozenset()
    spells: tuple[Spell, ...] = ()
    of_key: dict[Key, tuple[int, ...]] = field(default_factory=dict)
    linked_since: dict[int, int] = field(default_factory=dict)
    exits: tuple[Exit, ...] = ()
    interruptions: tuple[Interruption, ...] = ()

    def last_seq(self, number: int) -> int:
        """Return the last list that prints spell ``number``."""
        last = self.spells[number].last_seq
        return self.seq if last is None else last

    def linked(self, number: int, by: int | None = None) -> bool:
        """Was a memorandum ever linked to the spell's agreement (``by`` that list)?"""
        since = self.linked_since.get(self.spells[number].chain)
        return since is not None and (by is None or since <= by)

    def runs(self) -> Iterator[tuple[int, Run, int]]:
        """Every run with the number of its spell and its last list."""
        for number, spell in enumerate(self.spells):
            for run in spell.runs:
                yield number, run, self.seq if run.last_seq is None else run.last_seq


def fold(lists: Iterable[CapturedList], record: Record | None = None) -> Record:
    """Return the record after ``lists``, in their order, beginning with ``record``."""
    return reduce(advance, lists, record or Record())


def advance(record: Record, captured: CapturedList) -> Record:
    """Return the record after one more list.

    A line continues the agreement of its agency and model that stood on the list before; one absent meanwhile and
    back with the date it had is the same agreement, and so is one back within :data:`REJOIN_DAYS` days. What
    remains is new, and what no line continues has left the lists.
    """
    step = _Step(record, captured)
    changed = captured.lines ^ record.lines
    lines: dict[Key, list[Line]] = {line.key: [] for line in changed}
    for line in captured.lines if changed else ():
        if line[:3] in lines:
            lines[line[:3]].append(line)
    for key in sorted(lines):
        step.take(key, sorted(lines[key], key=lambda x: (x.signed_date, x.agency_printed, x)))
    return step.result()


class _Step:
    """The tables of a record while one list is taken in (copies: the record before stays as it was)."""

    def __init__(self, record: Record, captured: CapturedList):
        self.before, self.list = record, captured
        self.day = record.day | {captured.seq: captured.day}
        self.spells, self.of_key = list(record.spells), dict(record.of_key)
        self.linked_since = dict(record.linked_since)
        self.exits: list[Exit] = []
        self.interruptions: list[Interruption] = []

    def result(self) -> Record:
        return Record(
            self.list.seq,
            self.day,
            self.list.lines,
            tuple(self.spells),
            self.of_key,
            self.linked_since,
            self.before.exits + tuple(self.exits),
            self.before.interruptions + tuple(self.interruptions),
        )

    def take(self, key: Key, lines: list[Line]) -> None:
        """Match the lines of one agency, model and slot to its spells."""
        standing = [n for n in self.of_key.get(key, ()) if self.spells[n].last_seq is None]
        for number, line in _pairs([(n, self.spells[n].runs[-1].line) for n in standing], lines):
            standing.remove(number)
            lines.remove(line)
            self._continue(number, line)
        for line in lines:
            self._rejoin_or_start(key, line, standing)
        for number in standing:
            self._close(number)

    def _continue(self, number: int, line: Line) -> None:
        spell = self.spells[number]
        before = spell.runs[-1].line
        if before.form != line.form:
            self._note(number, before, line)
        *earlier, last = spell.runs
        if before.words != line.words:
            runs = (*earlier, replace(last, last_seq=self.before.seq), Run(line, self.list.seq))
        else:
            runs = (*earlier, replace(last, line=line))
        spell = replace(spell, runs=runs)
        self._put(number, spell, line)

    def _rejoin_or_start(self, key: Key, line: Line, standing: list[int]) -> None:
        known = self.of_key.get(key, ())
        left = [n for n in known if self.spells[n].last_seq is not None]
        run = Run(line, self.list.seq)
        if not left:
            self._add(key, Spell(key, len(self.spells), run.first_seq, (line.signed_date,), (run,)), line)
            return
        number = max(left, key=lambda n: (self.spells[n].last_seq, n))
        spell = self.spells[number]
        last = int(spell.last_seq or 0)
        days, same = (self.list.day - self.day[last + 1]).days, line.signed_date == spell.dates[-1]
        if same or days <= REJOIN_DAYS:
            self.interruptions.append(Interruption(*key, last, self.list.seq, days, same))
            self._put(number, replace(spell, last_seq=None, runs=(*spell.runs, run)), line)
        else:
            self._add(key, Spell(key, spell.chain, run.first_seq, (line.signed_date,), (run,)), line)

    def _add(self, key: Key, spell: Spell, line: Line) -> None:
        number = len(self.spells)
        self.spells.append(spell)
        self.of_key[key] = (*self.of_key.get(key, ()), number)
        self._put(number, spell, line)

    def _put(self, number: int, spell: Spell, line: Line) -> None:
        if line.signed_date not in spell.dates:
            spell = replace(spell, dates=(*spell.dates, line.signed_date))
        self.spells[number] = spell
        if line.linked:
            self.linked_since.setdefault(spell.chain, self.list.seq)

    def _close(self, number: int) -> None:
        spell = self.spells[number]
        last = self.before.seq
        self._note(number, spell.runs[-1].line, None)
        ended = replace(spell.runs[-1], last_seq=last)
        self.spells[number] = replace(spell, last_seq=last, runs=(*spell.runs[:-1], ended))

    def _note(self, number: int, line: Line, after: Line | None) -> None:
        here = self.list
        self.exits.append(
            Exit(number, line, self.before.seq, after, line[:2] in here.models, line.agency_id in here.agencies)
        )


def _pairs(standing: list[tuple[int, Line]], lines: list[Line]) -> list[tuple[int, Line]]:
    """Pair standing spells with lines: the same date first, then the nearest date."""
    options = sorted(
        (abs((line.signed_date - before.signed_date).days), i, j)
        for i, (_, before) in enumerate(standing)
        for j, line in enumerate(lines)
    )
    pairs: list[tuple[int, Line]] = []
    used: set[tuple[str, int]] = set()
    for _, i, j in options:
        if ("s", i) not in used and ("l", j) not in used:
            used |= {("s", i), ("l", j)}
            pairs.append((standing[i][0], lines[j]))
    return pairs


class Verdict(NamedTuple):
    """What a disappearance was (real, renamed, re-dated, corrected, artefact), why, and whether it ended the spell."""

    exit: str
    reason: str
    ends_spell: bool
    linked: bool


def verdict(event: Exit, record: Record) -> Verdict:
    """Say of one disappearance whether it is real, renamed, re-dated, corrected or an artefact, and why.

    * the agreement stands on the next list under another name: *renamed*, or *corrected* for a misspelling, a
      wrong state or another agency's name; with another signing date: *re-dated*;
    * it was the second line of an agreement printed twice, or returns later with the same date: *artefact*;
    * it ends: *re-dated* if the agency holds the same model under another signing date on that list; *corrected*
      if no memorandum was ever linked and the agency stays listed under another model; otherwise *real*.
    """
    linked = record.linked(event.spell)
    back = record.last_seq(event.spell) > event.last_seq
    if event.after is not None:
        return Verdict(*_replaced(event.line, event.after), ends_spell=False, linked=linked)
    if event.line.slot:
        kind, why = "artefact", "second line of an agreement printed twice"
    elif back:
        kind, why = "artefact", "omitted, and printed again later"
    elif event.model_stays:
        kind, why = "re-dated", "the agency holds this model under another signing date on the next list"
    elif event.agency_stays and not linked:
        kind, why = "corrected", "no memorandum was ever linked; the agency stays listed under another model"
    elif linked:
        kind, why = "real", "memorandum linked while listed, then gone"
    else:
        kind, why = "real", "gone; no memorandum was ever linked"
    return Verdict(kind, why, not back, linked)


def _replaced(line: Line, after: Line) -> tuple[str, str]:
    renamed, dated = line.agency_printed != after.agency_printed, line.signed_printed != after.signed_printed
    if dated and not renamed:
        return "re-dated", f"printed as signed {after.signed_printed} on the next list"
    if not renamed:
        return "corrected", "another cell of the line was corrected on the next list"
    kind = "renamed" if "renamed" in (line.alias, after.alias) else "corrected"
    why = f"printed as {after.agency_printed!r} on the next list"
    return kind, why + (f", signed {after.signed_printed}" if dated else "")
