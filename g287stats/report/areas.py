"""Adoption as stacked areas: zero-based, years said in words under it, drawn once for pages."""

from __future__ import annotations

from html import escape as e

import pandas as pd

from g287stats.palette import MODEL_WORDS
from g287stats.report.words import count, month

ORDER = ("WSO", "JEM", "TFM")
KIND = {"WSO": 1, "JEM": 2, "TFM": 3}


def areas(
    curve: pd.DataFrame, label: str, *, height: int = 60, first: str | None = None, last: str | None = None
) -> str:
    """Draw the months of ``curve`` (columns WSO, JEM, TFM, total) stretched over the width it is given."""
    part = curve.loc[first:last]
    top = max(int(part["total"].max()), 1)
    n = len(part)
    low = pd.Series(0.0, index=part.index)
    out = []
    for model in ORDER:
        high = low + part[model]
        up, down = _bends(high.tolist()), _bends(low.tolist())[::-1]
        line = "L".join(f"{i} {_short(height - height * v / top)}" for i, v in up + down)
        out.append(f'<path class="k{KIND[model]}" d="M{line}z"/>')
        low = high
    return (
        f'<svg class="areas" viewBox="0 0 {n - 1} {height}" preserveAspectRatio="none" role="img" '
        f'aria-label="{e(label)}">{"".join(out)}</svg>'
    )


def _bends(values: list[float]) -> list[tuple[int, float]]:
    """Points without those in the middle of a flat stretch, which draw nothing."""
    last = len(values) - 1
    return [(i, v) for i, v in enumerate(values) if i in (0, last) or not values[i - 1] == v == values[i + 1]]


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def years_under(months: pd.PeriodIndex, every: int) -> str:
    """Return year labels placed in percent under the months."""
    last = len(months) - 1
    spots = [
        (100 * i / last, m.year)
        for i, m in enumerate(months)
        if m.month == 1 and (m.year - months[0].year) % every == 0
    ]
    return "".join(f'<span style="left:{at:.2f}%">{year}</span>' for at, year in spots)


def sentence(curve: pd.DataFrame, when: pd.Period) -> str:
    """Say a month of the curve: agreements signed and not ended, by model."""
    row = curve.loc[when]
    models = ", ".join(f"{int(row[m]):,} {MODEL_WORDS[m]}" for m in ("TFM", "JEM", "WSO"))
    return f"{month(when)}: {count(int(row['total']), 'agreement')} signed and not ended ({models}) in the record."


def adoption_figure(curve: pd.DataFrame, name: str) -> str:
    """Return a figure of adoption: all months, and the months to 2024 enlarged, each with its largest number."""
    months = curve.index
    parts: list[tuple[None, str | None, str, int]] = [(None, None, f"{months[0].year}–{months[-1].year}", 4)]
    early = curve.loc[:"2024-12"]
    if early["total"].max() and curve["total"].max() > 4 * early["total"].max():
        parts.append((None, "2024-12", "to 2024, enlarged", 4))
    out = []
    for first, last, words, every in parts:
        shown = curve.loc[first:last]
        peak = shown["total"].idxmax()
        label = f"Agreements in {name}, {words}: at most {int(shown['total'].max()):,}, in {month(peak)}"
        out.append(
            f'<figure class="adopt"><h3>{e(words)}</h3><div class="peak">{int(shown["total"].max()):,}</div>'
            f"{areas(curve, label, height=110, first=first, last=last)}<div "
            f'class="axis">{years_under(shown.index, every)}</div>'
            f'<figcaption class="note">Signed and not ended, by month; the largest number is '
            f"{count(int(shown['total'].max()), 'agreement')}"
            f", in {month(peak)}.</figcaption></figure>"
        )
    return f'<div class="two">{"".join(out)}</div>'
