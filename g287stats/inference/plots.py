"""Plots of tests: each function draws on matplotlib axes it is given (or makes) and returns them."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from g287stats.palette import ACCENT
from g287stats.shown import GREY, INK, clean


def plot_honest(
    ax: Axes | None, frame: pd.DataFrame, original: tuple[float, float], *, value: float, name: str, outcome: str
) -> Axes:
    """Draw robust intervals against the bound on violations, called ``name``, the ``original`` one at left."""
    ax = ax or plt.subplots(figsize=(6.5, 4))[1]
    step = float(frame["bound"].diff().median()) if len(frame) > 1 else 1.0
    ax.vlines(frame["bound"], frame["conf_low"], frame["conf_high"], color=ACCENT, lw=3)
    ax.vlines(float(frame["bound"].min()) - step, *original, color=INK, lw=3, label="exact parallel trends")
    ax.axhline(value, color=INK, lw=0.8)
    ax.set_xlabel(name)
    ax.set_ylabel(f"effect on {outcome.replace('_', ' ')}")
    ax.legend(frameon=False)
    return clean(ax)


def plot_specification_curve(
    frame: pd.DataFrame, dimensions: Sequence[str], *, level: float, width: float = 9.0
) -> Figure:
    """Draw all specifications in order of the estimate above the choices that make them.

    Bars are pointwise intervals; filled points differ from zero after Romano–Wolf correction.
    """
    choices = [(d, str(v)) for d in dimensions for v in sorted(frame[d].astype(str).unique())]
    heights = (3, max(1.0, 0.22 * len(choices)))
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(width, 1.1 * sum(heights)), height_ratios=heights, sharex=True, layout="constrained"
    )
    x = np.arange(len(frame))
    top.vlines(x, frame["conf_low"], frame["conf_high"], color=GREY, lw=2)
    kept = (frame["p_value_romano_wolf"] < 1 - level).to_numpy()
    top.plot(x[~kept], frame["estimate"][~kept], "o", mfc="white", mec=ACCENT, ms=4)
    top.plot(x[kept], frame["estimate"][kept], "o", color=ACCENT, ms=4)
    top.axhline(0, color=INK, lw=0.8)
    top.set_ylabel("estimate")
    for line, (dimension, value) in enumerate(choices):
        on = (frame[dimension].astype(str) == value).to_numpy()
        bottom.plot(x[on], np.full(on.sum(), -line), "|", color=INK, ms=7)
    bottom.set_yticks([-i for i in range(len(choices))], [f"{d}: {v}" for d, v in choices], fontsize=7)
    bottom.set_xticks([])
    for ax in (top, bottom):
        clean(ax)
    return figure
