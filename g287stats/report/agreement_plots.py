"""What the agreement record looks like: curves, maps, survival, lag. Each returns a matplotlib object or a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from statsmodels.duration.survfunc import SurvfuncRight

from g287stats.report import plots
from g287stats.shown import clean

if TYPE_CHECKING:
    from g287stats.agreements.table import Agreements

DAYS_PER_YEAR = 365.2425


def adoption(
    record: Agreements, ax: Axes | None = None, *, by: Literal["model", "agency_type"] = "model", freq: str = "M"
) -> Axes:
    """Draw active agreements at period ends by model or by type of agency."""
    curve = record.adoption_curve(freq=freq, by=by)
    curve = curve.drop(columns=["total", "named", "counted_only"], errors="ignore")
    curve.index = curve.index.to_timestamp(how="end")
    if by == "model":
        return plots.plot_adoption(curve, ax)
    largest = curve.max().sort_values(ascending=False).index
    ax = ax or plots.plt.subplots(figsize=(9, 4.5))[1]
    ax.stackplot(curve.index, *[curve[c] for c in largest], labels=[c.replace("_", " ") for c in largest])
    ax.set_ylabel("agreements active")
    ax.legend(frameon=False, loc="upper left", fontsize=8)
    return clean(ax)


def agreements_by_county(record: Agreements, on: str | pd.Timestamp, basis: Literal["listed", "signed"]) -> pd.Series:
    """Number of agreements active on a day by county (agencies in several counties count in each)."""
    active = record.active(on=on, basis=basis)
    return active["county_fips"].dropna().str.split(";").explode().value_counts().sort_index()


def county_map(
    record: Agreements, on: str | pd.Timestamp, ax: Axes | None = None, *, basis: Literal["listed", "signed"] = "listed"
) -> Axes:
    """Map the number of active agreements by county on a day; statewide agencies are on no county."""
    counts = agreements_by_county(record, on, basis)
    return plots.plot_county_map(counts, ax, bounds=_EDGES, labels=_LABELS, title=f"Agreements active on {on}")


def county_map_series(
    record: Agreements, days: Sequence[str], *, basis: Literal["listed", "signed"] = "listed", columns: int = 2
) -> Figure:
    """Map the number of active agreements by county on several days, on one scale."""
    maps = {str(day): agreements_by_county(record, day, basis) for day in days}
    return plots.plot_map_series(maps, columns=columns, bounds=_EDGES, labels=_LABELS)


def state_table(
    record: Agreements, on: str | pd.Timestamp, basis: Literal["listed", "signed"] = "listed"
) -> pd.DataFrame:
    """Agreements active on a day by state and model, with agencies and counties; largest first."""
    active = record.active(on=on, basis=basis)
    table = pd.crosstab(active["state"], active["model"])
    table["agreements"] = table.sum(axis=1)
    table["agencies"] = active.groupby("state")["agency_id"].nunique()
    counties = active.assign(county=active["county_fips"].str.split(";")).explode("county")
    table["counties"] = counties.groupby("state")["county"].nunique()
    table.columns.name = None
    return table.reset_index().sort_values(["agreements", "state"], ascending=[False, True], ignore_index=True)


def survival_table(record: Agreements, by: Literal["model", "all"] = "model", level: float = 0.95) -> pd.DataFrame:
    """Kaplan–Meier share of agreements still in force by years since signing.

    An agreement in force when the record ends is censored there; an end known to a window counts at its
    midpoint. Spells ended by a correction of the record, not in fact, are left out. Columns ``group``,
    ``years``, ``survival``, ``conf_low``, ``conf_high`` (pointwise, Greenwood), ``at_risk``.
    """
    spells = record.frame[record.frame["exit"].isna() | record.frame["exit"].eq("real")]
    middle = spells["last_listed"] + (spells["gone_by"] - spells["last_listed"]) / 2
    end = spells["ended_date"].fillna(middle).fillna(spells["gone_by"])
    ended = ~spells["end_precision"].eq("open") & end.notna()
    last = record.lists.loc[record.lists["kind"].eq("participating"), "list_date"].max()
    stop = end.where(ended, last)
    years = (stop - spells["signed_date"]).dt.days / DAYS_PER_YEAR
    parts = []
    for name in ["all"] if by == "all" else sorted(spells["model"].unique()):
        mine = (years.notna() & (years > 0)) & ((spells["model"] == name) | (by == "all"))
        curve = SurvfuncRight(years[mine].to_numpy(float), ended[mine].to_numpy(int))
        half = _quantile(level) * curve.surv_prob_se
        parts.append(
            pd.DataFrame(
                {
                    "group": name,
                    "years": np.r_[0.0, curve.surv_times],
                    "survival": np.r_[1.0, curve.surv_prob],
                    "conf_low": np.r_[1.0, np.clip(curve.surv_prob - half, 0, 1)],
                    "conf_high": np.r_[1.0, np.clip(curve.surv_prob + half, 0, 1)],
                    "at_risk": np.r_[mine.sum(), curve.n_risk].astype(int),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def survival(record: Agreements, ax: Axes | None = None, *, by: Literal["model", "all"] = "model") -> Axes:
    """Draw :func:`survival_table`."""
    return plots.plot_survival(survival_table(record, by), ax)


def listing_lag(record: Agreements) -> pd.Series:
    """Days from signing to the first list that prints the agreement, signings since 20 January 2025.

    Earlier agreements were listed before the lists in hand begin, or at unknown dates. Indexed by agreement_id.
    """
    spells = record.frame[record.frame["signed_date"] >= "2025-01-20"].set_index("agreement_id")
    return (spells["first_listed"] - spells["signed_date"]).dt.days.rename("days")


def lag(record: Agreements, ax: Axes | None = None) -> Axes:
    """Draw the distribution of :func:`listing_lag`."""
    return plots.plot_lag(listing_lag(record), ax)


_EDGES = (0.5, 1.5, 2.5, 4.5, 8.5, 40.5)
_LABELS = ("1", "2", "3–4", "5–8", "9+")


def _quantile(level: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf(0.5 + level / 2))
