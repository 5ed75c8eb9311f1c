"""Figures of a grid: a forest, and a specification curve whose axes are named."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from g287stats.palette import INK

BAND, QUIET = "#DDDDDD", "#999999"


def forest(rows: pd.DataFrame, axes: Sequence[str], *, unit: str = "percent", ax: Axes | None = None) -> Axes:
    """Estimates with intervals, one line a specification, the margin as a band, hollow dots where leads differ.

    A dot is hollow where the joint test of the leads of its sample has p < 0.05: treated places already moved
    otherwise before treatment, so the row cannot be read as an effect.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(8, 1.2 + 0.2 * len(rows)), layout="constrained")
    at = np.arange(len(rows))[::-1]
    margin = float(rows["margin"].max())
    ax.axvspan(-margin, margin, color=BAND, lw=0)
    ax.axvline(0, color=QUIET, lw=0.8)
    ax.hlines(at, rows["conf_low"], rows["conf_high"], color=INK, lw=1.2)
    led = (rows["leads_p"] < 0.05).to_numpy()
    ax.plot(rows["estimate"], at, "o", color=INK, ms=4, ls="none")
    ax.plot(rows["estimate"][led], at[led], "o", color=INK, mfc="white", ms=4, ls="none")
    varying = [a for a in axes if rows[a].nunique() > 1] or list(axes[:1])
    ax.set_yticks(at, rows[varying].agg(" · ".join, axis=1), fontsize=7)
    ax.set_xlabel(f"{unit}; 95 % intervals; band: smaller than the margin; hollow: leads differ from zero")
    return ax


def specification_curve(rows: pd.DataFrame, axes: Sequence[str], *, unit: str = "percent") -> Figure:
    """Estimates in order above the choices that make them, every axis and level named."""
    rows = rows.sort_values(["estimate", "spec"], kind="stable")
    varying = [a for a in axes if rows[a].nunique() > 1]
    levels = [(a, v) for a in varying for v in sorted(rows[a].unique())]
    figure, (top, bottom) = plt.subplots(
        2,
        1,
        figsize=(9, 3 + 0.22 * len(levels)),
        sharex=True,
        height_ratios=(3, 0.24 * len(levels) + 0.1),
        layout="constrained",
    )
    x = np.arange(len(rows))
    margin = float(rows["margin"].max())
    top.axhspan(-margin, margin, color=BAND, lw=0)
    top.axhline(0, color=QUIET, lw=0.8)
    top.vlines(x, rows["conf_low"], rows["conf_high"], color=INK, lw=0.8, alpha=0.6)
    top.plot(x, rows["estimate"], "o", color=INK, ms=3)
    low, high = rows["estimate"].min(), rows["estimate"].max()
    pad = max(2 * margin, high - low)
    top.set_ylim(low - pad, high + pad)
    top.set_ylabel(unit)
    for line, (axis, level) in enumerate(levels):
        on = (rows[axis] == level).to_numpy()
        bottom.plot(x[on], np.full(on.sum(), line), "|", color=INK, ms=5)
    bottom.set_yticks(range(len(levels)), [f"{a}: {v}" for a, v in levels], fontsize=7)
    bottom.invert_yaxis()
    bottom.set_xlabel(f"{len(rows)} specifications, in order of the estimate")
    return figure
