"""Marks of the evidence report as SVG: status squares, forests, published against ours, all specifications in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape as e

import numpy as np

from g287stats.palette import EDGE, INK, STATUS_COLORS

SHOWN_ORDER = (
    "reproduced",
    "consistent",
    "different, explained",
    "different, unexplained",
    "depends on the design",
    "uninformative",
    "not testable with public data (shown by calibrated simulation)",
    "needs data",
    "not yet run",
)
_HATCHED = ("depends on the design", "uninformative")


def _square(status: str, x: int, y: int, number: int) -> str:
    """One claim: filled, hatched or dashed by status; never red or green."""
    at = f'x="{x}" y="{y}" width="14" height="14" rx="2"'
    if status in STATUS_COLORS:
        cross = f'<path d="M{x} {y + 14}l14-14" stroke="{INK}" stroke-width="1.6"/>' if "unexpl" in status else ""
        edge = INK if "unexpl" in status else EDGE
        return f'<rect {at} fill="{STATUS_COLORS[status]}" stroke="{edge}"/>{cross}'
    fill = "url(#hs)" if status in _HATCHED else "#fff"
    dash = ' stroke-dasharray="2.5 2"' if status not in _HATCHED else ""
    dot = f'<circle cx="{x + 7}" cy="{y + 7}" r="2" fill="{EDGE}"/>' if status.startswith("not testable") else ""
    return f'<rect {at} fill="{fill}" stroke="{EDGE}"{dash}/>{dot}'


_PATTERN = (
    '<pattern id="hs" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="4" '
    'height="4" fill="#fff"/><path d="M0 0V4" stroke="#6d6d72" stroke-width="1.6"/></pattern>'
)


def ordered(counts: dict[str, int]) -> list[tuple[str, int]]:
    """Statuses that occur with their counts, in the order they are shown."""
    known = [s for s in SHOWN_ORDER if counts.get(s)] + sorted(s for s in counts if s not in SHOWN_ORDER)
    return [(s, counts[s]) for s in known]


def squares(counts: dict[str, int], across: int = 34) -> str:
    """Draw one square a claim, in order of status, with a key that gives the counts."""
    seats = [s for s, n in ordered(counts) for _ in range(n)]
    rows = -(-len(seats) // across)
    marks = "".join(_square(s, 1 + 18 * (i % across), 1 + 18 * (i // across), i) for i, s in enumerate(seats))
    said = "; ".join(f"{s} {n}" for s, n in ordered(counts))
    keys = "".join(
        f'<li><svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">{_square(s, 1, 1, 0)}</svg>{e(s)} '
        f"<b>{n}</b></li>"
        for s, n in ordered(counts)
    )
    return (
        f'<svg class="sq" viewBox="0 0 {18 * across} {18 * rows}" role="img" aria-label="One square a '
        f'claim: {e(said)}">'
        f'<defs>{_PATTERN}</defs>{marks}</svg><ul class="key">{keys}</ul>'
    )


@dataclass(frozen=True)
class ForestRow:
    """One line of a forest: the analysis, words, an estimate with its interval in percent, whether leads differ."""

    group: str
    label: str
    estimate: float
    low: float
    high: float
    hollow: bool


def forest(rows: Sequence[ForestRow], margin: float, label: str) -> str:
    """Draw estimates with 95 % intervals over the band of the margin; a dot is hollow where leads differ from zero.

    Lines are HTML with a small drawing each, so that words keep their size on a phone.
    """
    reach = max([margin * 1.6, *(min(abs(v), 60.0) for r in rows for v in (r.low, r.high))])
    reach = float(np.ceil(reach / 10) * 10)

    def x(value: float) -> float:
        return 50 + 50 * max(-reach, min(reach, value)) / reach

    lines: list[str] = []
    groups = len({r.group for r in rows})
    for i, r in enumerate(rows):
        if groups > 1 and (i == 0 or rows[i - 1].group != r.group):
            lines.append(f'<div class="fh">{e(r.group)}</div>')
        cut = [f'<path d="M{x(v):.1f} 2v8" stroke="{INK}"/>' for v in (r.low, r.high) if abs(v) > reach]
        lines.append(
            f'<div class="fr"><span>{e(r.label)}</span><svg viewBox="0 0 100 12" preserveAspectRatio="none" '
            f'aria-hidden="true">'
            f'<rect x="{x(-margin):.1f}" width="{x(margin) - x(-margin):.1f}" height="12" fill="#e9e7e0"/>'
            f'<path d="M50 0v12" stroke="#77777d" vector-effect="non-scaling-stroke"/><path '
            f'd="M{x(r.low):.1f} 6H{x(r.high):.1f}" '
            f'stroke="{INK}" stroke-width="1.6" vector-effect="non-scaling-stroke"/>{"".join(cut)}</svg>'
            f'<i class="{"ho" if r.hollow else "so"}" style="--x:{x(r.estimate):.1f}%"></i>'
            f"<b>{signed(r.estimate)} [{signed(r.low)}, {signed(r.high)}]</b></div>"
        )
    marks = (-reach, -reach / 2, 0, reach / 2, reach)
    ticks = "".join(f'<span style="left:{x(v):.0f}%">{f"{v:+.0f}".replace("-", "−") if v else 0}</span>' for v in marks)
    return (
        f'<div class="forest" role="img" aria-label="{e(label)}">{"".join(lines)}<div class="fr ax"><span></span>'
        f'<div class="axis">{ticks}</div><b></b></div></div>'
    )


def signed(value: float) -> str:
    """Say a percentage with its sign, one decimal below ten."""
    return f"{value:+.0f}".replace("-", "−") if abs(value) >= 9.95 else f"{value:+.1f}".replace("-", "−")


def in_order(
    estimates: Sequence[float], lows: Sequence[float], highs: Sequence[float], margin: float, label: str
) -> str:
    """Draw every specification of a grid in order of its estimate, intervals in grey, the margin as a band."""
    order = np.argsort(estimates, kind="stable")
    reach = float(max(margin * 1.6, np.nanquantile(np.abs([*lows, *highs]), 0.95)))

    def y(value: float) -> float:
        return 50 - 48 * max(-reach, min(reach, value)) / reach

    step = 100 / max(len(order), 1)
    bars = "".join(f"M{(i + 0.5) * step:.2f} {y(lows[j]):.1f}V{y(highs[j]):.1f}" for i, j in enumerate(order))
    line = "L".join(f"{(i + 0.5) * step:.2f} {y(estimates[j]):.1f}" for i, j in enumerate(order))
    return (
        f'<svg class="ord" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{e(label)}"><rect '
        f'y="{y(margin):.1f}" width="100" height="{y(-margin) - y(margin):.1f}" fill="#e9e7e0"/><path d="{bars}" '
        f'stroke="#b5b3ab" stroke-width="1.2" vector-effect="non-scaling-stroke"/><path d="M0 50H100" stroke="#77777d" '
        f'vector-effect="non-scaling-stroke"/><path d="M{line}" fill="none" stroke="{INK}" stroke-width="2" '
        'vector-effect="non-scaling-stroke"/></svg>'
    )


@dataclass(frozen=True)
class Compared:
    """A published number or bound beside ours (a number, or the lists around its day)."""

    label: str
    published_low: float | None
    published_high: float | None
    ours_low: float
    ours_high: float
    words: str


def compared(rows: Sequence[Compared], label: str) -> str:
    """Draw published numbers (ring or bound) against ours (dot, or bar between the lists around the day)."""
    known = [v for r in rows for v in (r.published_low, r.published_high, r.ours_low, r.ours_high) if v is not None]
    top = max(known) * 1.05 if known else 1.0

    def x(value: float) -> float:
        return 100 * value / top

    lines = []
    for r in rows:
        low, high = r.published_low, r.published_high
        if low is not None and low == high:
            mark = f'<i class="ring" style="--x:{x(low):.1f}%"></i>'
        else:
            a, b = x(low or 0.0), 100.0 if high is None else x(high)
            mark = f'<i class="bound" style="left:{a:.1f}%;width:{b - a:.1f}%"></i>'
        if r.ours_low == r.ours_high:
            ours = f'<i class="so sm" style="--x:{x(r.ours_low):.1f}%"></i>'
        else:
            ours = (
                f'<i class="lists" style="left:{x(r.ours_low):.1f}%;width:{x(r.ours_high) - x(r.ours_low):.1f}%"></i>'
            )
        lines.append(
            f'<div class="fr"><span>{e(r.label)}</span><div class="track">{mark}{ours}</div><b>{e(r.words)}</b></div>'
        )
    return f'<div class="forest cmp" role="img" aria-label="{e(label)}">{"".join(lines)}</div>'
