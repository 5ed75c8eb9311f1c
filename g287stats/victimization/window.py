"""Treatment of the reference window: the share of its days under an agreement, to the day.

An interview in month m asks about the six months before m. When an agreement starts inside that window, part of
what the respondent reports happened before it. The share of the window's days under treatment, not a 0/1 flag, is
what an effect per day of exposure multiplies.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from g287stats.errors import DesignError
from g287stats.panel.exposure import exposure_shares


def window_shares(days: pd.DataFrame, months: pd.PeriodIndex, recall: int = 6) -> pd.DataFrame:
    """Share of the ``recall`` months before each interview month that was under treatment.

    Parameters
    ----------
    days
        Intervals with ``county_fips``, ``start`` (first day) and ``end`` (first day after), one row each; may overlap.
    months
        Interview months (frequency ``M``).

    Returns
    -------
    DataFrame
        Counties with any interval × interview months; values from 0 to 1. Counties not listed have no treatment.
    """
    first, last = months.min() - recall, months.max() - 1
    span = pd.period_range(first, last, freq="M")
    if days.empty:
        return pd.DataFrame(np.empty((0, len(months))), index=pd.Index([], name="county_fips"), columns=months)
    shares = exposure_shares(days, "county_fips", span)
    length = span.days_in_month.to_numpy().astype(float)
    under = np.column_stack([np.zeros(len(shares)), np.cumsum(shares.to_numpy() * length, axis=1)])
    total = np.concatenate([[0.0], np.cumsum(length)])
    stop = (months.asi8 if hasattr(months, "asi8") else np.array([m.ordinal for m in months])) - first.ordinal
    out = (under[:, stop] - under[:, stop - recall]) / (total[stop] - total[stop - recall])
    return pd.DataFrame(np.clip(out, 0, 1), index=shares.index, columns=months)


def treatment_share(
    frame: pd.DataFrame,
    days: pd.DataFrame,
    *,
    county: str = "county_fips",
    month: str | None = "month",
    recall: int = 6,
    shift: int = 0,
) -> np.ndarray:
    """Return the treated share of each interview's reference window, (n,).

    Parameters
    ----------
    frame
        Interviews with ``year``, the county column and, where known, the interview month (1–12). Without a month
        (``month=None``, or missing in a row) the share is the average over the three months of the quarter.
    days
        See :func:`window_shares`.
    shift
        Months by which treatment is moved later (negative: a lead, for placebo tests).

    A missing county gives a missing share: nobody knows whether that interview was treated. So does a county
    whose row of ``days`` has no start: treated some day, but not known when.
    """
    if county not in frame:
        raise DesignError(
            f"no column {county!r}: the public files carry no county. Read a restricted extract with "
            f"geography={{{county!r}: <column of the extract>}}, or use the simulation"
        )
    undated = set(days.loc[days["start"].isna(), "county_fips"])
    days = days[days["start"].notna()]
    if shift:
        moved = pd.DateOffset(months=shift)
        days = days.assign(start=days["start"] + moved, end=days["end"] + moved)
    years = frame["year"].to_numpy(int)
    months = pd.period_range(f"{years.min()}-01", f"{years.max()}-12", freq="M")
    table = window_shares(days, months, recall)
    values = np.vstack([table.to_numpy(), np.zeros(len(months))])
    row = table.index.get_indexer(pd.Index(frame[county].astype(object)))
    row = np.where(row < 0, len(table), row)
    january = (years - years.min()) * 12
    quarter = np.round(frame["YEARQ"].to_numpy(float) * 10).astype(int) % 10 if "YEARQ" in frame else None
    known = frame[month].to_numpy(float) if month is not None and month in frame else np.full(len(frame), np.nan)
    if quarter is None and np.isnan(known).any():
        raise DesignError("interviews need their month (1–12) or their quarter (YEARQ)")
    exact = values[row, january + np.nan_to_num(known, nan=1).astype(int) - 1]
    if np.isnan(known).any() and quarter is not None:
        start = january + 3 * (quarter - 1)
        average = (values[row, start] + values[row, start + 1] + values[row, start + 2]) / 3
        exact = np.where(np.isnan(known), average, exact)
    unknown = frame[county].isna() | frame[county].isin(undated)
    return np.where(unknown.to_numpy(), np.nan, exact)


def month_intervals(months: pd.DataFrame, county: str, start: str, end: str | pd.Timestamp | None) -> pd.DataFrame:
    """Turn one activation month per county into intervals from its first day to ``end`` (first day after).

    For programmes known to the month only (Secure Communities: ended 2014-11-20). A missing month stays as a row
    without a start, which makes the county's shares missing.
    """
    known = months[start].notna()
    first = pd.Series(pd.NaT, index=months.index, dtype="datetime64[ns]")
    first[known] = pd.PeriodIndex(months.loc[known, start].astype(str), freq="M").to_timestamp()
    stop = pd.Timestamp(end) if end is not None else pd.Timestamp.max.normalize()
    out = pd.DataFrame({"county_fips": months[county].to_numpy(), "start": first.to_numpy(), "end": stop})
    return out[out["start"].isna() | (out["start"] < out["end"])].reset_index(drop=True)
