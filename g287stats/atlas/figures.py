"""Figures of the record for notebooks and papers, in the colours of the pages: maps, timelines, adoption.

Each returns a matplotlib object: ``.figure.savefig("x.pdf")`` (or ``.png``, ``.svg``) writes it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from g287stats.agreements.table import Agreements, load_agreements
from g287stats.atlas.facts import county_facts, find_state
from g287stats.atlas.records import COUNTY_LEVEL, Spell
from g287stats.errors import DesignError
from g287stats.geography import STATE_FIPS, STATE_NAMES, load_counties
from g287stats.palette import CLASSES, EDGE, GREY, INK, MODEL_COLORS, MODEL_WORDS, SERIES_COLORS, class_of
from g287stats.report.maps import borders, centre, frame_around
from g287stats.report.shapes import county_rings
from g287stats.report.words import day
from g287stats.shown import clean

Basis = Literal["listed", "signed"]


def county_map(
    state: str | None = None,
    on: Any = None,
    *,
    names: bool | None = None,
    basis: Basis = "listed",
    agreements: Agreements | None = None,
    ax: Axes | None = None,
    columns: int = 3,
) -> Axes | Figure:
    """Map what county agencies have signed, by county: of one state with north up, or of the country.

    ``on`` is a day (default: the last list) or several, which are drawn as small multiples on one legend (then a figure
    is returned). ``names`` writes county names where they fit (default: for a state). A dot marks a county where only
    towns, campuses or constables have signed; agencies of the state colour no county. ``basis`` as in
    ``Agreements.active``.

    >>> import g287stats.atlas.figures as f
    >>> f.county_map(state="NC", on="2025-08-27").get_title()
    'North Carolina, 27 Aug 2025'
    """
    record = agreements or load_agreements()
    days = [_last(record)] if on is None else list(on) if isinstance(on, (list, tuple)) else [on]
    code = find_state(state) if state is not None else None
    if len(days) == 1:
        return _draw_map(
            record, code, days[0], basis, ax or _map_axes(code), code is not None if names is None else names
        )
    if ax is not None:
        raise DesignError("several days are small multiples in a figure of their own: leave ax out")
    lines = -(-len(days) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(4.4 * columns, 3.2 * lines), squeeze=False)
    for one, when in zip(axes.flat, days):
        _draw_map(record, code, when, basis, one, bool(names), legend=False)
    for one in axes.flat[len(days) :]:
        one.axis("off")
    figure.legend(handles=_keys(), loc="lower center", ncols=len(CLASSES), frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    return figure


def _last(record: Agreements) -> pd.Timestamp:
    return record.lists.loc[record.lists["kind"].eq("participating"), "list_date"].max()


def _map_axes(code: str | None) -> Axes:
    if code is None:
        return plt.subplots(figsize=(10, 6.6), layout="constrained")[1]
    mine = sorted(c for c in county_rings() if c[:2] == STATE_FIPS[code])
    shape = frame_around(mine, pad=0.02, tallest=1.0) if mine else None
    tall = 8 * shape.height / shape.width if shape else 4
    return plt.subplots(figsize=(8, tall + 1.0), layout="constrained")[1]


def kinds_on(record: Agreements, on: Any, basis: Basis = "listed") -> tuple[dict[str, int], dict[str, int]]:
    """Return the class of every county with an agreement on a day, and of those where only towns signed."""
    active = record.active(on, basis).dropna(subset=["county_fips"])
    long = active.assign(county=active["county_fips"].str.split(";")).explode("county")
    own = long["jurisdiction"].isin(COUNTY_LEVEL)
    kinds = {str(c): class_of(set(m)) for c, m in long[own].groupby("county")["model"]}
    towns = {str(c): class_of(set(m)) for c, m in long[~own].groupby("county")["model"] if c not in kinds}
    return kinds, towns


def _draw_map(
    record: Agreements, code: str | None, on: Any, basis: Basis, ax: Axes, names: bool, legend: bool = True
) -> Axes:
    kinds, towns = kinds_on(record, on, basis)
    rings = {c: r for c, r in county_rings().items() if code is None or c[:2] == STATE_FIPS[code]}
    if not rings:
        raise DesignError(f"{STATE_NAMES[str(code)]} is not on the map of counties")
    if code is not None:
        frame = frame_around(sorted(rings), width=1000, pad=0.02, tallest=1.0)
        rings = {c: tuple(frame.place(r) * [1, -1] for r in parts) for c, parts in rings.items()}
    shapes = [ring for parts in rings.values() for ring in parts]
    colors = [CLASSES[kinds.get(c, 0)].color for c, parts in rings.items() for _ in parts]
    ax.add_collection(
        PolyCollection(shapes, facecolors=colors, edgecolors="white", linewidths=0.25 if code is None else 0.6)
    )
    if code is None:
        ax.add_collection(LineCollection(borders(county_rings()), colors="#55555a", linewidths=0.5))
    middles = {c: centre(rings[c]) for c in rings}
    dotted = [c for c in sorted(towns) if c in rings]
    if dotted:
        xs, ys = zip(*(middles[c] for c in dotted))
        ax.scatter(
            xs,
            ys,
            s=9 if code is None else 42,
            zorder=3,
            linewidths=0.6,
            c=[CLASSES[towns[c]].color for c in dotted],
            edgecolors="white",
        )
    if names:
        _names(ax, rings, middles)
    ax.autoscale()
    ax.set_aspect("equal")
    ax.axis("off")
    ax.set_title(f"{STATE_NAMES[code] if code else 'United States'}, {day(on)}", fontsize=11, color=INK)
    if legend:
        ax.legend(handles=_keys(), loc="upper left", frameon=False, fontsize=8, bbox_to_anchor=(0, 0.02), ncols=3)
    return ax


def _keys() -> list[Any]:
    from matplotlib.lines import Line2D

    keys: list[Any] = [Patch(facecolor=k.color, edgecolor=EDGE, linewidth=0.7, label=k.words) for k in CLASSES]
    dot = Line2D([], [], marker="o", ls="none", mfc=CLASSES[3].color, mec="white", label="dot: towns, campuses only")
    return [*keys, dot]


def _names(ax: Axes, rings: dict[str, tuple[np.ndarray, ...]], middles: dict[str, tuple[float, float]]) -> None:
    """Write names of counties at their middle where the county is wide enough for them."""
    from matplotlib.patheffects import withStroke

    known = load_counties().set_index("county_fips")["name"]
    for c, (x, y) in middles.items():
        name = str(known.get(c, "")).removesuffix(" County").removesuffix(" Parish")
        widest = max(float(np.ptp(r[:, 0])) for r in rings[c])
        if name and widest > 8.6 * len(name):
            ax.text(
                x,
                y,
                name,
                fontsize=6.2,
                ha="center",
                va="center",
                color=INK,
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )


def timeline(county: str, ax: Axes | None = None, *, agreements: Agreements | None = None) -> Axes:
    """Draw who signed in a county, when and which model: one row an agency and model.

    A bar runs from the first signing to the end or the last list (no right edge); black ticks are later signings; a
    hatched tail is an end known only to lie between two lists.

    >>> import g287stats.atlas.figures as f
    >>> [t.get_text() for t in f.timeline("Gaston, NC").get_yticklabels()]
    ["Gaston County Sheriff's Office, jail enforcement"]
    """
    facts = county_facts(county, agreements=agreements)
    spells = [s for s in facts.agreements if not s.duplicate_of]
    if not spells:
        raise DesignError(f"{facts.title}: {facts.sentence}")
    rows = list(dict.fromkeys((s.agency, s.model) for s in spells))
    ax = ax or plt.subplots(figsize=(9, 1.2 + 0.42 * len(rows)), layout="constrained")[1]
    for spell in spells:
        _bar(ax, spell, rows.index((spell.agency, spell.model)), facts.list_date)
    ax.set_yticks(range(len(rows)), [f"{agency}, {MODEL_WORDS[model]}" for agency, model in rows], fontsize=8)
    ax.invert_yaxis()
    ax.xaxis_date()
    ax.set_xlim(right=float(date2num(facts.list_date)))
    ax.set_title(f"{facts.title}: lists to {day(facts.list_date)}", fontsize=11, loc="left", color=INK)
    ax.tick_params(axis="y", length=0)
    return clean(ax)


def _bar(ax: Axes, spell: Spell, row: int, last: Any) -> None:
    live = spell.end_precision == "open"
    window = not live and spell.ended is None and spell.last_listed is not None and spell.last_listed >= spell.signed
    stop = last if live else spell.last_listed if window else spell.ended or spell.gone_by or last
    start = float(date2num(spell.signed))
    style: dict[str, Any] = {"facecolor": MODEL_COLORS[spell.model], "edgecolor": EDGE, "linewidth": 0.9}
    ax.barh(row, float(date2num(stop)) - start, left=start, height=0.55, **style)
    if window and spell.gone_by:
        at = float(date2num(stop))
        ax.barh(
            row,
            float(date2num(spell.gone_by)) - at,
            left=at,
            height=0.55,
            facecolor="white",
            edgecolor=EDGE,
            hatch="////",
            linewidth=0.9,
        )
    again = [float(date2num(d)) for d in spell.resigned]
    if again:
        ax.vlines(again, row - 0.275, row + 0.275, color="black", linewidth=2)


def adoption(
    by: Literal["model", "agency_type", "state"] = "model",
    *,
    state: str | None = None,
    basis: Basis = "signed",
    freq: str = "M",
    largest: int = 12,
    agreements: Agreements | None = None,
    ax: Axes | None = None,
) -> Axes | Figure:
    """Draw agreements in force over time, by model, by type of agency, or in a panel a state.

    ``state`` restricts to one state; ``by="state"`` draws the ``largest`` states at the last period as small multiples
    on one scale, the others as one panel (a figure is returned). ``basis`` and ``freq`` as in
    ``Agreements.adoption_curve``; the axis begins at zero.
    """
    record = agreements or load_agreements()
    record = replace(record, counts=record.counts.iloc[:0])  # to the last list: counts name no agency
    if state is not None:
        keep = record.frame["state"].eq(find_state(state))
        record = replace(record, frame=record.frame[keep])
    if by == "state":
        if ax is not None:
            raise DesignError("a panel a state is a figure of its own: leave ax out")
        return _by_state(record.adoption_curve(freq, basis, by="state"), largest)
    curve = record.adoption_curve(freq, basis, by=by).drop(columns="total")
    order = (
        [m for m in ("WSO", "JEM", "TFM") if m in curve]
        if by == "model"
        else list(curve.iloc[-1].sort_values(ascending=False, kind="stable").index)
    )
    colors = [MODEL_COLORS[c] for c in order] if by == "model" else _shades(len(order))
    words = [MODEL_WORDS.get(c, c.replace("_", " ")) for c in order]
    ax = ax or plt.subplots(figsize=(9, 4.5), layout="constrained")[1]
    when = curve.index.to_timestamp(how="end")  # type: ignore[attr-defined]
    ax.stackplot(when, *[curve[c] for c in order], labels=words, colors=colors)
    ax.set_ylim(bottom=0)
    ax.set_ylabel(f"agreements {'listed' if basis == 'listed' else 'signed and not ended'}")
    ax.legend(frameon=False, loc="upper left", fontsize=9)
    return clean(ax)


def _shades(number: int) -> list[str]:
    return [(*SERIES_COLORS, "#B9B6AC", "#8A8F98", GREY, "#D8D6CD", INK)[i % 11] for i in range(number)]


def _by_state(curve: pd.DataFrame, largest: int) -> Figure:
    states = list(curve.drop(columns="total").iloc[-1].sort_values(ascending=False, kind="stable").index)
    panels = {STATE_NAMES[s]: curve[s] for s in states[:largest]}
    if rest := states[largest:]:
        panels[f"{len(rest)} others"] = curve[rest].sum(axis=1)
    columns = min(4, len(panels))
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(3 * columns, 1.9 * lines),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    when = curve.index.to_timestamp(how="end")  # type: ignore[attr-defined]
    for one, (name, values) in zip(axes.flat, panels.items()):
        one.fill_between(when, 0, values, color=MODEL_COLORS["TFM"], linewidth=0)
        one.set_title(f"{name}: {int(values.iloc[-1]):,}", fontsize=9, loc="left")
        one.set_ylim(bottom=0)
        clean(one)
    for one in axes.flat[len(panels) :]:
        one.axis("off")
    return figure
