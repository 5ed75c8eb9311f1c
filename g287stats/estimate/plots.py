"""Plots of estimates: each function draws on matplotlib axes it is given (or makes) and returns them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from g287stats.errors import DesignError
from g287stats.palette import ACCENT, SERIES_COLORS
from g287stats.shown import GREY, INK, clean

if TYPE_CHECKING:
    from g287stats.estimate.estimate import Estimate


def plot_estimate(
    estimate: Estimate,
    ax: Axes | None = None,
    *,
    level: float = 0.95,
    bands: bool = True,
    color: str = ACCENT,
    label: str | None = None,
    offset: float = 0.0,
    draws: int = 999,
    seed: int = 287,
) -> Axes:
    """Draw parameters against event time (or their order) with pointwise intervals and simultaneous bands.

    The thick bar is the pointwise interval, the thin one the simultaneous band; a hollow point is normalised to
    zero by construction. Event times of several treatments, exposures or cohorts are drawn side by side, one colour
    each (``color`` and ``label`` are then not used); the band covers all of them at once.
    """
    ax = ax or plt.subplots(figsize=(7, 4))[1]
    table = estimate.tidy(level=level, bands=bands, draws=draws, seed=seed)
    series = _series(table)
    if series is None:
        return _plot_effects(ax, estimate, table, bands=bands, color=color, label=label, offset=offset)
    groups = _groups(table, series)
    for n, (name, part) in enumerate(groups):
        step = 0.6 / len(groups) * (n - (len(groups) - 1) / 2)
        hue = SERIES_COLORS[n % len(SERIES_COLORS)]
        _plot_effects(ax, estimate, part, bands=bands, color=hue, label=name, offset=offset + step)
    ax.legend(frameon=False)
    return ax


def _series(table: pd.DataFrame) -> str | None:
    """The label column that tells apart effects at the same event time, if there is one."""
    if "event_time" not in table or table["event_time"].is_unique:
        return None
    named = ("treatment", "group", "effect", "cohort")
    return next((c for c in named if c in table and not table.duplicated([c, "event_time"]).any()), None)


def _groups(table: pd.DataFrame, series: str) -> list[tuple[str, pd.DataFrame]]:
    """Name and rows of each value of a label column, in order; rows without a value concern all of them."""
    known = table[series].notna()
    rows = {} if known.all() else {f"every {series}": ~known}
    rows |= {str(v): table[series] == v for v in dict.fromkeys(table[series][known])}
    return [(name, table[some].reset_index(drop=True)) for name, some in rows.items()]


def _plot_effects(
    ax: Axes,
    estimate: Estimate,
    table: pd.DataFrame,
    *,
    bands: bool,
    color: str,
    label: str | None,
    offset: float,
) -> Axes:
    """Draw the rows of a tidy table on the axes."""
    axis = next((c for c in ("event_time", "time") if c in table and table[c].notna().all()), None)
    if axis and table[axis].is_unique:
        x = np.asarray([float(getattr(v, "ordinal", v)) for v in table[axis]])
    else:
        axis, x = None, np.arange(len(table), dtype=float)
    estimated = table["std_error"].notna().to_numpy()
    y = table["estimate"].to_numpy()
    if bands and estimated.sum() > 1:
        ax.vlines(x[estimated] + offset, table["band_low"][estimated], table["band_high"][estimated], color=color, lw=1)
    ax.vlines(
        x[estimated] + offset,
        table["conf_low"][estimated],
        table["conf_high"][estimated],
        color=color,
        lw=3,
        alpha=0.55,
    )
    ax.plot(x[estimated] + offset, y[estimated], "o", color=color, ms=5, label=label)
    times = [v for v in estimate.reference if isinstance(v, (int, np.integer))]  # others are rows without an error
    fixed = [(float(v), 0.0) for v in times] if axis == "event_time" else []
    fixed += list(zip(x[~estimated], y[~estimated]))
    if fixed:
        ax.plot([f[0] + offset for f in fixed], [f[1] for f in fixed], "o", mfc="white", mec=color, ms=5)
    ax.axhline(0, color=INK, lw=0.8)
    if axis == "event_time":
        ax.axvline(-0.5, color=GREY, lw=0.8, ls="--")
        ax.set_xlabel("periods since the first treated period")
    elif axis == "time":
        ax.set_xlabel("calendar time")
        ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        freq = getattr(table[axis].iloc[0], "freqstr", None)
        if freq is not None:
            ax.xaxis.set_major_formatter(lambda v, _: str(pd.Period(ordinal=round(v), freq=freq)))
    else:
        ax.set_xticks(x, [str(t) for t in table["term"]], rotation=45, ha="right")
    ax.set_ylabel(f"effect on {estimate.outcome.replace('_', ' ')}")
    return clean(ax)


def plot_group_time(estimate: Estimate, *, columns: int = 3, level: float = 0.95) -> Figure:
    """Draw cohort × time effects, one panel a cohort; leads hollow, effects filled.

    Leads that all cohorts share (``g.imputation(leads=)``) have a panel of their own. An estimate without cohorts and
    event times is a ``DesignError``.
    """
    table = estimate.tidy(level=level, bands=False)
    if not {"cohort", "event_time"} <= set(table):
        raise DesignError(
            "plot_group_time draws cohort × time effects (g.att_gt, g.sun_abraham, g.imputation, g.etwfe); this is the "
            f"{estimate.kind!r} estimate of {estimate.method.title}: use .plot()"
        )
    panels = _groups(table.sort_values("cohort", kind="stable", na_position="first"), "cohort")
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns, 2.6 * rows), squeeze=False, sharey=True)
    for ax, (cohort, part) in zip(axes.flat, panels):
        x = np.asarray([float(getattr(v, "ordinal", v)) for v in part["event_time"]])
        ax.vlines(x, part["conf_low"], part["conf_high"], color=GREY, lw=2)
        after = x >= 0
        ax.plot(x[after], part["estimate"][after], "o", color=ACCENT, ms=4)
        ax.plot(x[~after], part["estimate"][~after], "o", mfc="white", mec=ACCENT, ms=4)
        ax.axhline(0, color=INK, lw=0.8)
        ax.set_title(cohort, fontsize=10)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        clean(ax)
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    figure.supxlabel("periods since the first treated period")
    figure.tight_layout()
    return figure
