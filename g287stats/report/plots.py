"""Plots: each function draws on matplotlib axes it is given (or makes) and returns them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from g287stats.errors import DesignError
from g287stats.report.shapes import county_rings

if TYPE_CHECKING:
    from g287stats.estimate.estimate import Estimate

MODEL_COLORS = {"JEM": "#4477AA", "TFM": "#CC6677", "WSO": "#DDCC77", "all": "#333333"}
"""Colours of the models (Tol's colour-blind safe scheme)."""

SERIES_COLORS = ("#4477AA", "#CC6677", "#117733", "#DDCC77", "#882255", "#44AA99")
"""Colours of several effects in one plot (the same scheme)."""

INK, GREY = "#222222", "#BBBBBB"


def plot_estimate(
    estimate: Estimate,
    ax: Axes | None = None,
    *,
    level: float = 0.95,
    bands: bool = True,
    color: str = "#4477AA",
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
    return _clean(ax)


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
    return _clean(ax)


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
    return _clean(ax)


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
    return _clean(ax)


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
        ax.plot(x[after], part["estimate"][after], "o", color="#4477AA", ms=4)
        ax.plot(x[~after], part["estimate"][~after], "o", mfc="white", mec="#4477AA", ms=4)
        ax.axhline(0, color=INK, lw=0.8)
        ax.set_title(cohort, fontsize=10)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        _clean(ax)
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    figure.supxlabel("periods since the first treated period")
    figure.tight_layout()
    return figure


def plot_honest(result: Any, ax: Axes | None = None) -> Axes:
    """Draw robust intervals against the bound on violations (a result of ``g.honest_did``), the original at left."""
    ax = ax or plt.subplots(figsize=(6.5, 4))[1]
    frame = result.frame
    step = float(frame["bound"].diff().median()) if len(frame) > 1 else 1.0
    ax.vlines(frame["bound"], frame["conf_low"], frame["conf_high"], color="#4477AA", lw=3)
    ends = (result.conf_low_original, result.conf_high_original)
    ax.vlines(float(frame["bound"].min()) - step, *ends, color=INK, lw=3, label="exact parallel trends")
    ax.axhline(result.value, color=INK, lw=0.8)
    name = (
        "M: largest change of slope" if result.kind == "smoothness" else "Mbar: multiple of the largest lead violation"
    )
    ax.set_xlabel(name)
    ax.set_ylabel(f"effect on {result.outcome.replace('_', ' ')}")
    ax.legend(frameon=False)
    return _clean(ax)


def plot_specification_curve(result: Any, *, width: float = 9.0) -> Figure:
    """Draw all specifications in order of the estimate above the choices that make them (``g.specification_curve``).

    Bars are pointwise intervals; filled points differ from zero after Romano–Wolf correction.
    """
    frame = result.frame
    choices = [(d, str(v)) for d in result.dimensions for v in sorted(frame[d].astype(str).unique())]
    heights = (3, max(1.0, 0.22 * len(choices)))
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(width, 1.1 * sum(heights)), height_ratios=heights, sharex=True, layout="constrained"
    )
    x = np.arange(len(frame))
    top.vlines(x, frame["conf_low"], frame["conf_high"], color=GREY, lw=2)
    kept = (frame["p_value_romano_wolf"] < 1 - result.level).to_numpy()
    top.plot(x[~kept], frame["estimate"][~kept], "o", mfc="white", mec="#4477AA", ms=4)
    top.plot(x[kept], frame["estimate"][kept], "o", color="#4477AA", ms=4)
    top.axhline(0, color=INK, lw=0.8)
    top.set_ylabel("estimate")
    for line, (dimension, value) in enumerate(choices):
        on = (frame[dimension].astype(str) == value).to_numpy()
        bottom.plot(x[on], np.full(on.sum(), -line), "|", color=INK, ms=7)
    bottom.set_yticks([-i for i in range(len(choices))], [f"{d}: {v}" for d, v in choices], fontsize=7)
    bottom.set_xticks([])
    for ax in (top, bottom):
        _clean(ax)
    return figure


def _clean(ax: Axes) -> Axes:
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax
