"""Tables of estimates to Markdown, LaTeX (booktabs) and HTML."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from g287stats.errors import DesignError
from g287stats.estimate.estimate import Estimate
from g287stats.shown import Format, cell, frame_table, number, render


def regression_table(
    estimates: Estimate | Sequence[Estimate],
    *,
    names: str | Sequence[str] | None = None,
    format: Format = "markdown",
    digits: int = 3,
    stars: bool = False,
    caption: str = "",
) -> str:
    """Put estimates side by side: point over (standard error), then sample sizes and the kind of inference.

    Event times of different estimates are put in the order of time, everything else in the order it comes. ``stars``
    adds ``*`` p<.10, ``**`` p<.05, ``***`` p<.01; off by default, because a star hides the size of the effect.
    ``digits`` as in
    :func:`frame_table`; ``format`` is markdown, latex or html; a single estimate makes a table of one column.

    Raises
    ------
    DesignError
        Without estimates, for anything that is not one, when ``names`` are not one for each, for an unknown format.
    """
    estimates = [estimates] if isinstance(estimates, Estimate) else list(estimates)
    other = sorted({type(e).__name__ for e in estimates if not isinstance(e, Estimate)})
    if other or not estimates:
        found = f"found {', '.join(other)}" if other else "found none"
        raise DesignError(f"regression_table takes estimates: {found}. regression_table([one, two], names=['a', 'b'])")
    titles = [f"{e.method.key}: {e.outcome}" for e in estimates]
    if names is not None:
        titles = [names] if isinstance(names, str) else [str(n) for n in names]
        if len(titles) != len(estimates):
            raise DesignError(f"names= has {len(titles)} for {len(estimates)} estimates: {titles}; give one for each")
    terms = _rows_in_order(estimates)
    body: list[list[str]] = []
    for term in terms:
        points, errors = [term], [""]
        for e in estimates:
            if term not in e.terms:
                points.append("")
                errors.append("")
                continue
            i = e.terms.index(term)
            p = float(e.p_values().iloc[i])
            mark = "*" * sum(p < a for a in (0.10, 0.05, 0.01)) if stars else ""
            points.append(cell(float(e.point[i]), digits) + mark)
            se = float(e.se.iloc[i])
            errors.append(f"({cell(se, digits)})" if np.isfinite(se) else "(fixed)")
        body += [points, errors]
    for label, pick in _FOOT:
        body.append([label, *[pick(e) for e in estimates]])
    return render(["", *titles], body, [False] + [True] * len(estimates), format, caption)


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


_FOOT: tuple[tuple[str, Callable[[Any], str]], ...] = (
    ("Observations", lambda e: f"{e.sample.get('n_obs', ''):,}" if e.sample.get("n_obs") else ""),
    ("Units", lambda e: f"{e.sample.get('n_units', ''):,}" if e.sample.get("n_units") else ""),
    ("Treated units", lambda e: f"{e.sample['n_treated']:,}" if "n_treated" in e.sample else ""),
    ("Inference", lambda e: e.rule.label),
)
