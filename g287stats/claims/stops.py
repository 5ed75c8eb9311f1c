"""Hispanic share of traffic stops after an agreement or Secure Communities, by county and month.

    100 · hispanic_ct / (hispanic_ct + white_ct) = τ D_ct + α_c + λ_t + ε_ct,   weighted by the stops of both groups,

errors clustered by county: with these weights it is the regression over single stops of "the driver is Hispanic" on
county, month and treatment. τ is in percentage points. Fewer stops of Hispanic drivers and less driving look the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from g287stats.claims.grid import Cell
from g287stats.claims.recommended import effective_number
from g287stats.did.twfe import twfe
from g287stats.errors import IdentificationError, UnavailableError
from g287stats.estimate.estimate import Estimate
from g287stats.outcomes import load_outcome
from g287stats.panel import Exposure, county_panel
from g287stats.policies import load_secure_communities

AGENCY = (
    "stops by agency: the reader of Stanford Open Policing files sums all agencies of a county, so state troopers, "
    "sheriffs and city police of North Carolina cannot be told apart yet (column department_name)"
)


def hispanic_share(stops: pd.DataFrame, *, time: str = "period", treatment: str = "active") -> Estimate:
    """Effect of a treatment on the Hispanic share of stops, in percentage points.

    Parameters
    ----------
    stops
        One row a county and period: ``county_fips``, ``time``, ``stops_hispanic``, ``stops_white``, ``treatment``.
        Rows without a stop of either group are left out.
    """
    both = stops["stops_hispanic"].astype(float) + stops["stops_white"].astype(float)
    frame = stops[both > 0].assign(both=both, share=100 * stops["stops_hispanic"].astype(float) / both.where(both > 0))
    return twfe(frame, "share", unit="county_fips", time=time, treatment=treatment, weights="both")


def estimate(card: Mapping[str, Any], policy: str) -> Cell:
    """Estimate one specification: the stops of ``card`` (states, years, agency), the policy, by month."""
    stops = load_outcome("open_policing", tuple(card["years"]), freq="M").frame
    if card.get("agency"):
        raise UnavailableError(AGENCY)
    stops = stops[stops["county_fips"].str[:2].isin(card["state_codes"])]
    if stops.empty:
        raise UnavailableError(f"no stops of {', '.join(card['states'])} among the files added")
    frame = stops.assign(active=_active(stops, policy, tuple(card["years"])))
    frame = frame.dropna(subset=["active"])
    if frame["active"].nunique() < 2:
        raise IdentificationError(f"{policy}: every county-month has the same treatment")
    fit = hispanic_share(frame)
    treated = tuple(sorted(frame.loc[frame["active"] > 0, "county_fips"].unique()))
    size = frame.groupby("county_fips")["stops"].sum().reindex(list(treated)).to_numpy(dtype=float)
    return Cell(fit, 100.0, treated, effective_number(size))  # points, not percent of a base


def _active(stops: pd.DataFrame, policy: str, years: tuple[int, int]) -> np.ndarray:
    if policy == "Secure Communities":
        first = stops["county_fips"].map(load_secure_communities().set_index("county_fips")["month"])
        known = first.notna().to_numpy()
        on = np.zeros(len(stops))
        on[known] = (stops["period"].to_numpy()[known] >= first.to_numpy()[known]).astype(float)
        return np.where(known, on, np.nan)
    panel = county_panel(years=years, freq="M", exposure=Exposure(level=("county", "municipal"))).frame
    keyed = panel.set_index(["county_fips", "period"])["treated"].astype(float)
    return keyed.reindex(pd.MultiIndex.from_frame(stops[["county_fips", "period"]])).to_numpy()
