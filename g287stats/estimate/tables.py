"""Tables of estimates to Markdown, LaTeX (booktabs) and HTML."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from g287stats.errors import DesignError
from g287stats.estimate.estimate import Estimate
from g287stats.shown import Format, cell, frame_table, number, render


def table(
    estimates: Estimate | Sequence[Estimate] | Mapping[str, Estimate] | Mapping[str, Sequence[Estimate]],
    *,
    names: str | Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
    keep: Sequence[str] | None = None,
    interval: bool = False,
    notes: Sequence[str] = (),
    format: Format = "markdown",
    digits: int = 3,
    stars: bool = False,
    caption: str = "",
) -> str:
    """Put estimates side by side: point over (standard error), then sample sizes and clusters; inference in a note.

    Parameters
    ----------
    estimates
        One estimate, several, several by name, or panels by name, each a list of as many estimates, one over the other.
    names
        One name for each column (default: method and outcome).
    rename
        Words for terms: ``{"att": "Agreement in force"}``.
    keep
        Terms shown, in this order, as the estimates name them (default: all, event times in the order of time).
    interval
        Show the 95 % interval under the point instead of the standard error.
    notes
        Lines under the table, before the line on inference.
    format
        ``markdown``, ``latex`` (booktabs), ``html`` or ``typst``; the numbers are the same in all.
    digits
        As in :func:`~g287stats.shown.frame_table`.
    stars
        Add ``*`` p<.10, ``**`` p<.05, ``***`` p<.01; off by default, because a star hides the size of the effect.
    caption
        Title of the table.

    Raises
    ------
    DesignError
        Without estimates, for anything that is not one, when names are not one for each, for terms that no estimate
        has, for an unknown format.

    Examples
    --------
    >>> panel = g.county_panel("fbi_table10", (2005, 2012)).balanced(["property_rate"])
    >>> two = [g.twfe(panel, "property_rate"), g.imputation(panel, "property_rate").aggregate("simple")]
    >>> print(g.table(two, names=["two-way", "imputation"], rename={"att": "agreement"}).splitlines()[2][:11])
    | agreement
    """
    panels, names = _panels(estimates, names)
    columns = next(iter(panels.values()))
    titles = [f"{e.method.key}: {e.outcome}" for e in columns]
    if names is not None:
        titles = [names] if isinstance(names, str) else [str(n) for n in names]
        if len(titles) != len(columns):
            raise DesignError(f"names= has {len(titles)} for {len(columns)} estimates: {titles}; give one for each")
    every = [e for row in panels.values() for e in row]
    known = list(dict.fromkeys(t for e in every for t in e.terms))
    for argument, asked in (("keep", keep or ()), ("rename", rename or ())):
        if absent := [t for t in asked if t not in known]:
            raise DesignError(f"{argument}= names {absent}, which no estimate has; terms are {known[:15]}")
    body: list[list[str]] = []
    for name, row in panels.items():
        if name:
            body.append([name, *[""] * len(row)])
        for term in keep or _rows_in_order(row):
            body += _lines(term, (rename or {}).get(term, term), row, interval, digits, stars)
        body += [[label, *[pick(e) for e in row]] for label, pick in _FOOT]
    rules = dict.fromkeys(e.rule.label for e in every)
    foot = [*notes, ("95 % intervals" if interval else "Standard errors") + f" in brackets: {'; '.join(rules)}."]
    if stars:
        foot.append("* p < .10, ** p < .05, *** p < .01.")
    return render(["", *titles], body, [False] + [True] * len(columns), format, caption, foot)


def _panels(estimates: Any, names: Any) -> tuple[dict[str, list[Estimate]], Any]:
    """Rows of estimates by the name of their panel (empty for a single one), and the names of the columns."""
    if isinstance(estimates, Mapping) and all(isinstance(v, (list, tuple)) for v in estimates.values()) and estimates:
        panels = {str(k): list(v) for k, v in estimates.items()}
    elif isinstance(estimates, Mapping):
        panels, names = {"": list(estimates.values())}, names or [str(k) for k in estimates]
    else:
        panels = {"": [estimates] if isinstance(estimates, Estimate) else list(estimates)}
    every = [e for row in panels.values() for e in row]
    other = sorted({type(e).__name__ for e in every if not isinstance(e, Estimate)})
    if other or not every:
        found = f"found {', '.join(other)}" if other else "found none"
        raise DesignError(f"a table takes estimates: {found}. g.table([one, two], names=['a', 'b'])")
    if len({len(row) for row in panels.values()}) > 1:
        raise DesignError(f"panels have {[len(row) for row in panels.values()]} estimates: give as many in each")
    return panels, names


def _lines(
    term: str, shown: str, row: Sequence[Estimate], interval: bool, digits: int, stars: bool
) -> tuple[list[str], list[str]]:
    """The two lines of a term: points, and what is in brackets under them."""
    points, under = [shown], [""]
    for e in row:
        if term not in e.terms:
            points.append("")
            under.append("")
            continue
        i = e.terms.index(term)
        p = float(e.p_values().iloc[i])
        points.append(cell(float(e.point[i]), digits) + ("*" * sum(p < a for a in (0.10, 0.05, 0.01)) if stars else ""))
        if not np.isfinite(e.se.iloc[i]):
            under.append("(fixed)")
        elif interval:
            low, high = e.conf_int().iloc[i]
            under.append(f"[{cell(float(low), digits)}, {cell(float(high), digits)}]")
        else:
            under.append(f"({cell(float(e.se.iloc[i]), digits)})")
    return points, under


def _rows_in_order(estimates: Sequence[Estimate]) -> list[str]:
    """Terms of all estimates, each once; event times sorted when one series of them is shared."""
    terms = list(dict.fromkeys(t for e in estimates for t in e.terms))
    time: dict[str, float] = {}
    for e in estimates:
        if "event_time" in e.labels and e.labels["event_time"].is_unique:
            time |= dict(zip(e.terms, e.labels["event_time"].astype(float)))
    places = [i for i, t in enumerate(terms) if t in time]
    for i, t in zip(places, sorted((terms[i] for i in places), key=time.__getitem__)):
        terms[i] = t
    return terms


def estimate_html(estimate: Estimate) -> str:
    """Rich display of one estimate for notebooks."""
    table = estimate.tidy().drop(columns=["n_units"])
    sizes = ", ".join(f"{k.removeprefix('n_')} {v:,}" for k, v in estimate.sample.items() if k.startswith("n_"))
    notes = "".join(f"<li>{html.escape(n)}</li>" for n in estimate.notes)
    overall = ""
    if estimate.overall is not None:
        o = estimate.overall
        named = [f"{t}: " if len(o.point) > 1 else "" for t in o.terms]
        parts = [f"{html.escape(t)}{number(b)} (se {number(s)})" for t, b, s in zip(named, o.point, o.se)]
        overall = f"<p>Overall: {', '.join(parts)}</p>"
    return (
        f"<div><p><b>{html.escape(estimate.method.title)}</b>: {html.escape(estimate.outcome)}<br>"
        f"{html.escape(sizes)}<br>{html.escape(estimate.rule.label)}</p>{overall}"
        f"{frame_table(table, 'html')}<ul>{notes}</ul></div>"
    )


def _clusters(estimate: Estimate) -> str:
    counted: Mapping[str, int] = getattr(estimate.rule, "n_clusters", {})
    return " × ".join(f"{counted[v]:,} {v}" for v in getattr(estimate.rule, "levels", ()) if v in counted)


_FOOT: tuple[tuple[str, Callable[[Any], str]], ...] = (
    ("Observations", lambda e: f"{e.sample.get('n_obs', ''):,}" if e.sample.get("n_obs") else ""),
    ("Units", lambda e: f"{e.sample.get('n_units', ''):,}" if e.sample.get("n_units") else ""),
    ("Treated units", lambda e: f"{e.sample['n_treated']:,}" if "n_treated" in e.sample else ""),
    ("Clusters", lambda e: _clusters(e)),
)
