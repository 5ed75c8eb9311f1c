"""Timelines as HTML bars placed in percent: their text keeps its size on a phone, where SVG text would shrink.

The bars are hidden from screen readers; the words of each row say all they show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from html import escape as e
from itertools import groupby
from typing import Any

from g287stats.palette import MODEL_WORDS
from g287stats.report.words import join

Span = tuple[date, date]


def rows(spells: Sequence[Any], applications: Sequence[Any], span: Span, *, state: bool = False) -> str:
    """Return one row an agency and model, then one an application that was not signed."""
    key = lambda s: (s.agency, s.model)
    groups = [(k, list(v)) for k, v in groupby(sorted(spells, key=_order), key=key)]
    out = [_row(agency, model, mine, span) for (agency, model), mine in groups]
    for a in applications:
        if a.outcome != "signed":
            out.append(_line(a.agency, "", e(a.words), _box(a, span), span))
    return "".join(out)


def _order(s: Any) -> tuple[Any, ...]:
    return ({"county": 0, "local": 1, "state": 2}[s.level], s.agency, s.model, s.signed)


def _row(agency: str, model: str, spells: list[Any], span: Span) -> str:
    parts = []
    for s in spells:
        again = f"; signed again {join([str(d.year) for d in s.resigned])}" if s.resigned else ""
        parts.append(f"{s.signed_words}{again}; {s.end_words}")
    words = f'<span class="sw m-{model}"></span> {MODEL_WORDS[model]}: {e(". Then ".join(parts))}'
    return _line(agency, model, words, "".join(_bar(s, span) for s in spells), span)


def _line(agency: str, model: str, words: str, marks: str, span: Span) -> str:
    grid = "".join(f'<i class="yr" style="left:{_at(date(y, 1, 1), span):.2f}%"></i>' for y in _years(span))
    return (
        f'<div class="row"><div><b>{e(agency)}</b><small>{words}</small></div>'
        f'<div class="trk" aria-hidden="true">{grid}{marks}</div></div>'
    )


def _bar(s: Any, span: Span) -> str:
    """A bar from signing to the end: open on the last list, hatched where the end lies between two lists."""
    live = s.end_precision == "open"
    window = not live and s.ended is None and s.last_listed and s.gone_by and s.last_listed >= s.signed
    stop = span[1] if live else (s.last_listed if window else s.ended or s.gone_by or span[1])
    style = f"bar m-{s.model}{' open' if live else ''}{' med' if s.confidence == 'medium' else ''}"
    out = _piece(style, s.signed, stop, span)
    if s.signed_not_before:
        out = _piece("bar hat med", s.signed_not_before, s.signed, span) + out
    if window:
        out += _piece("tail hat", stop, s.gone_by, span)
    ticks = (d for d in s.resigned if span[0] <= d <= stop)
    return out + "".join(f'<i class="tick" style="left:{_at(d, span):.2f}%"></i>' for d in ticks)


def _box(a: Any, span: Span) -> str:
    return _piece("pend", a.first_pending, a.gone_by or a.last_pending, span)


def _piece(style: str, start: date, stop: date, span: Span) -> str:
    left, right = _at(start, span), _at(stop, span)
    return f'<i class="{style}" style="left:{left:.2f}%;width:{max(right - left, 0.4):.2f}%"></i>'


def _at(when: date, span: Span) -> float:
    return min(max(100 * (when - span[0]).days / (span[1] - span[0]).days, 0.0), 100.0)


def _years(span: Span) -> list[int]:
    length = span[1].year - span[0].year
    step = 4 if length > 12 else 2 if length > 6 else 1
    return list(range(span[0].year, span[1].year + 1, step))


def axis(span: Span) -> str:
    """Return the years under the bars."""
    years = "".join(f'<span style="left:{_at(date(y, 1, 1), span):.2f}%">{y}</span>' for y in _years(span))
    return (
        f'<div class="row" style="border:0;padding:0" aria-hidden="true"><div></div><div '
        f'class="axis">{years}</div></div>'
    )


def legend(models: Iterable[str]) -> str:
    """Return the key of the models shown."""
    have = set(models)
    keys = (f'<li><span class="sw m-{m}"></span>{MODEL_WORDS[m]}</li>' for m in ("WSO", "JEM", "TFM") if m in have)
    return f'<ul class="key">{"".join(keys)}</ul>'


def said(spell: Any) -> str:
    """Return a spell as a sentence: agency, model, signing and end."""
    return f"{spell.agency}: {spell.model_words}, {spell.signed_words}, {spell.end_words}"


__all__ = ["axis", "legend", "rows", "said"]
