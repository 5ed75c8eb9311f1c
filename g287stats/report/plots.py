"""Plots: each function draws on matplotlib axes it is given (or makes) and returns them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure

from g287stats.palette import MODEL_COLORS
from g287stats.report.shapes import county_rings
from g287stats.shown import GREY, INK, clean


def plot_adoption(
    curve: pd.DataFrame, ax: Axes | None = None, *, published: pd.DataFrame | None = None, gap: Sequence[Any] = ()
) -> Axes:
    """Draw active agreements over time by model.

    Parameters
    ----------
    curve
        Index or column ``date``, one column per model (JEM, TFM, WSO): agreements active on that day.
    published
        Published counts to mark: columns ``date``, ``value``, ``label``.
    gap
        (first, last) day of a stretch without lists, shaded.
    """
    ax = ax or plt.subplots(figsize=(9, 4.5))[1]
    data = curve.set_index("date") if "date" in curve else curve
    models = [m for m in ("JEM", "WSO", "TFM") if m in data]
    ax.stackplot(
        data.index, *[data[m] for m in models], labels=models, colors=[MODEL_COLORS[m] for m in models], alpha=0.85
    )
    if len(gap) == 2:
        ax.axvspan(*gap, color=GREY, alpha=0.35, lw=0, label="no lists in hand")
    if published is not None and len(published):
        ax.plot(
            published["date"], published["value"], "o", mfc="white", mec=INK, ms=5, ls="none", label="published count"
        )
    ax.set_ylabel("agreements active")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, loc="upper left")
    return clean(ax)


def plot_county_map(
    values: Mapping[str, float] | pd.Series,
    ax: Axes | None = None,
    *,
    bounds: Sequence[float] | None = None,
    labels: Sequence[str] | None = None,
    cmap: str = "viridis",
    title: str = "",
) -> Axes:
    """Fill counties by value; counties without a value are light grey.

    ``bounds`` are the edges of classes (len(labels) + 1 of them); without them the scale is continuous.
    """
    ax = ax or plt.subplots(figsize=(10, 6.2))[1]
    rings = county_rings()
    known = {str(k): float(v) for k, v in dict(values).items() if pd.notna(v) and str(k) in rings}
    blank = [ring for fips, parts in rings.items() if fips not in known for ring in parts]
    ax.add_collection(PolyCollection(blank, facecolor="#EEEEEE", edgecolor="white", linewidth=0.15))
    fips = sorted(known)
    shapes = [ring for f in fips for ring in rings[f]]
    numbers = np.array([known[f] for f in fips for _ in rings[f]])
    norm = BoundaryNorm(list(bounds), plt.get_cmap(cmap).N) if bounds is not None else None
    filled = PolyCollection(shapes, array=numbers, cmap=cmap, norm=norm, edgecolor="white", linewidth=0.15)
    ax.add_collection(filled)
    ax.autoscale()
    ax.set_aspect("equal")
    ax.axis("off")
    if len(known):
        bar = plt.colorbar(filled, ax=ax, shrink=0.6, pad=0.01)
        if bounds is not None and labels is not None:
            middle = [(a + b) / 2 for a, b in pairwise(bounds)]
            bar.set_ticks(middle, labels=list(labels))
            bar.ax.tick_params(length=0)
    if title:
        ax.set_title(title)
    return ax


def plot_map_series(
    maps: Mapping[str, Mapping[str, float] | pd.Series], *, columns: int = 3, cmap: str = "viridis", **kw: Any
) -> Figure:
    """Draw small multiples of county maps, one per entry of ``maps`` (title → county values), on one scale."""
    rows = -(-len(maps) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.2 * columns, 2.8 * rows), squeeze=False)
    for ax, (title, values) in zip(axes.flat, maps.items()):
        plot_county_map(values, ax, cmap=cmap, title=title, **kw)
    for ax in axes.flat[len(maps) :]:
        ax.axis("off")
    figure.tight_layout()
    return figure


def plot_survival(curve: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw survival of agreements: ``years``, ``survival``, ``conf_low``, ``conf_high`` and optional ``group``."""
    ax = ax or plt.subplots(figsize=(6.5, 4))[1]
    groups = curve.groupby("group", sort=True) if "group" in curve else [("all", curve)]
    for name, part in groups:
        color = MODEL_COLORS.get(str(name), "#117733")
        ax.step(part["years"], part["survival"], where="post", color=color, label=str(name))
        ax.fill_between(part["years"], part["conf_low"], part["conf_high"], step="post", color=color, alpha=0.2, lw=0)
    ax.set_xlabel("years since signing")
    ax.set_ylabel("share still in force")
    ax.set_ylim(0, 1.02)
    ax.legend(frameon=False)
    return clean(ax)


def plot_lag(days: pd.Series, ax: Axes | None = None, *, longest: int = 60) -> Axes:
    """Draw the distribution of days from signing to first listing; lags over ``longest`` are counted in the label."""
    ax = ax or plt.subplots(figsize=(6.5, 3.6))[1]
    known = days.dropna()
    beyond = int((known > longest).sum())
    ax.hist(known[known.between(0, longest)], bins=[float(b) for b in range(longest + 2)], color=MODEL_COLORS["JEM"])
    ax.set_xlabel(
        f"days from signing to first list ({beyond} longer than {longest} days, {int((known < 0).sum())} negative)"
    )
    ax.set_ylabel("agreements")
    return clean(ax)
