"""Plots of estimates: each function draws on matplotlib axes it is given (or makes) and returns them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from g287stats.errors import DesignError
from g287stats.estimate.estimate import Estimate
from g287stats.palette import ACCENT, SERIES_COLORS
from g287stats.shown import GREY, INK, clean

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""Markers of several estimates in one plot, so that it reads in grey."""


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
    marker: str = "o",
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
    ax.plot(x[estimated] + offset, y[estimated], marker, color=color, ms=5, label=label)
    times = [v for v in estimate.reference if isinstance(v, (int, np.integer))]  # others are rows without an error
    fixed = [(float(v), 0.0) for v in times] if axis == "event_time" else []
    fixed += list(zip(x[~estimated], y[~estimated]))
    if fixed:
        ax.plot([f[0] + offset for f in fixed], [f[1] for f in fixed], marker, mfc="white", mec=color, ms=5)
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


def plot(
    estimates: Estimate | Sequence[Estimate] | Mapping[str, Estimate],
    *,
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
    level: float = 0.95,
    bands: bool = False,
    title: str = "",
    ylabel: str | None = None,
    draws: int = 999,
    seed: int = 287,
) -> Axes:
    """Draw several estimates on one figure, side by side, and say under it what each lead is measured from.

    Parameters
    ----------
    estimates
        One estimate, several, or several by name. All have event times, or all have none.
    labels
        One name for each (default: the method's title).
    ax
        Axes to draw on (default: new ones, 7 × 4.5 inches).
    level
        Level of the intervals (thick bars).
    bands
        Also draw simultaneous bands (thin bars).
    title, ylabel
        Words above the figure and beside it (default: the outcome).
    draws, seed
        Of the bands.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DesignError
        When estimates with and without event times are mixed, or labels are not one for each.

    Examples
    --------
    >>> panel = g.county_panel("fbi_table10", (2005, 2012)).balanced(["property_rate"])
    >>> both = {"group-time": g.att_gt(panel, "property_rate").aggregate("event", window=(-3, 3)),
    ...         "imputation": g.imputation(panel, "property_rate", leads=3).aggregate("event", window=(-3, 3))}
    >>> axes = g.plot(both, ylabel="property offences per 100,000 residents")
    """
    named = _by_name(estimates, labels)
    timed = {name: "event_time" in e.labels for name, e in named.items()}
    if any(timed.values()) and not all(timed.values()):
        without = [name for name, has in timed.items() if not has]
        raise DesignError(
            f"{', '.join(without)} have no event times, the others do: aggregate them, .aggregate('event')"
        )
    origins = {name: measured_from(e) for name, e in named.items()}
    one = len(set(origins.values())) == 1
    ax = ax or plt.subplots(figsize=(7, 4 + 0.2 * len(named)), layout="constrained")[1]
    for n, (name, e) in enumerate(named.items()):
        step = 0.6 / len(named) * (n - (len(named) - 1) / 2)
        hue, marker = SERIES_COLORS[n % len(SERIES_COLORS)], MARKERS[n % len(MARKERS)]
        table = e.tidy(level=level, bands=bands, draws=draws, seed=seed)
        told = f"{name}: leads {origins[name]}" if origins[name] and not one else name
        _plot_effects(ax, e, table, bands=bands, color=hue, label=told, offset=step, marker=marker)
    shared = f"leads {origins.popitem()[1]}" if one and any(origins.values()) else None
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(0, -0.14),
        frameon=False,
        fontsize=8,
        title=shared,
        title_fontsize=8,
        alignment="left",
        borderaxespad=0,
    )
    outcomes = {e.outcome.replace("_", " ") for e in named.values()}
    ax.set_ylabel(ylabel or (f"effect on {outcomes.pop()}" if len(outcomes) == 1 else "effect"))
    ax.set_title(title, loc="left", fontsize=11)
    return ax


def measured_from(estimate: Estimate) -> str:
    """What the leads of an event study are measured from, in words; empty where there are none."""
    if "event_time" not in estimate.labels or not (estimate.labels["event_time"] < 0).any():
        return ""
    times = [int(v) for v in estimate.reference if isinstance(v, (int, np.integer))]
    if times:
        return f"measured from event time {', '.join(map(str, times))} (hollow)"
    if estimate.options.get("base") == "varying":
        return "each measured from the period before it"
    if estimate.method.key in ("imputation", "two_stage"):
        return "measured from the untreated periods before them"
    return "as the estimator defines them"


def _by_name(
    estimates: Estimate | Sequence[Estimate] | Mapping[str, Estimate], labels: Sequence[str] | None
) -> dict[str, Estimate]:
    """Estimates by the names they are shown under, each once."""
    if isinstance(estimates, Mapping):
        return {str(name): e for name, e in estimates.items()}
    several = [estimates] if isinstance(estimates, Estimate) else list(estimates)
    names = [e.method.title for e in several] if labels is None else [str(name) for name in labels]
    if len(names) != len(several):
        raise DesignError(f"labels= has {len(names)} for {len(several)} estimates: give one for each")
    if len(set(names)) < len(names):
        names = [f"{n}: {e.outcome.replace('_', ' ')}" for n, e in zip(names, several)]
    if len(set(names)) < len(names):
        raise DesignError(f"estimates have the same names: {names}; give labels=, one for each")
    return dict(zip(names, several))


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
