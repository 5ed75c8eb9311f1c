"""Controls and policies beside the exposure, each with its source in the codebook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from g287stats import policies
from g287stats.catalog import schema
from g287stats.errors import DesignError
from g287stats.flow import Step
from g287stats.outcomes.context import controls
from g287stats.outcomes.context.population import load_hispanic
from g287stats.outcomes.context.votes import load_presidential_votes


@dataclass(frozen=True)
class _Control:
    """How a control reaches the panel: ``value(keys, year)`` and its codebook entry."""

    value: Callable[[pd.DataFrame, pd.Series], np.ndarray]
    description: str
    unit: str
    source: str


def add_controls(
    frame: pd.DataFrame, time: str, names: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, dict[str, str]], list[Step]]:
    """Add the named controls to a county × period frame; returns frame, codebook entries and flow steps.

    A value that does not exist for a county-year stays missing and is counted; nothing is carried over,
    interpolated or extrapolated, except the vote, which is that of the last election held by the year (missing when
    that election is not in hand). ``republican_share`` needs the table ``presidential-votes`` the user adds; without
    it :class:`UnavailableError` says which file and how.
    """
    known = _controls()
    unknown = [n for n in names if n not in known]
    if unknown:
        raise DesignError(f"no controls called {unknown}. Known: {', '.join(known)}")
    year = frame[time] if time == "year" else frame[time].dt.year
    book, steps, new = {}, [], {}
    for name in names:
        entry = known[name]
        new[name] = entry.value(frame, year)
        gone = pd.isna(new[name])
        listing = tuple((frame["county_fips"] + " " + frame[time].astype(str))[gone])
        steps.append(
            Step("county-periods without a value", int(gone.sum()), "missing", listing, kind="noted", block=name)
        )
        book[name] = {"description": entry.description, "unit": entry.unit, "source": entry.source}
    return frame.assign(**new), book, steps


def known_controls() -> pd.DataFrame:
    """Return the controls that :func:`county_panel` can add: name, description, unit, source."""
    rows = [
        {"control": k, "description": c.description, "unit": c.unit, "source": c.source} for k, c in _controls().items()
    ]
    return pd.DataFrame(rows)


def _controls() -> dict[str, _Control]:
    def fields(table: str) -> dict[str, dict[str, str]]:
        return {f["name"]: f for f in schema(table)["schema"]["fields"]}

    out = {
        "unemployment_rate": _Control(
            _yearly(controls.load_unemployment, "unemployment_rate"), "Unemployment rate, annual average", "percent",
            "BLS, Local Area Unemployment Statistics",
        ),
        "income_per_capita": _Control(
            _yearly(controls.load_income, "income_per_capita"),
            "Personal income per resident, nominal; some Virginia cities share the figure of their combined area",
            "dollars", "BEA, CAINC1",
        ),
        "hispanic_share": _Control(
            _yearly(load_hispanic, "hispanic_share"), "Hispanic share, five years ending in the year", "0 to 1",
            "US Census Bureau, ACS B03002",
        ),
        "republican_share": _Control(
            _last_election, "Republican share of the two-party vote at the last presidential election",
            "0 to 1", "MIT Election Data and Science Lab, doi:10.7910/DVN/VOQCHQ; added by the user",
        ),
        "secure_communities": _Control(
            _secure_communities,
            "Share of the period's months in which Secure Communities was active (months unverified against ICE)",
            "0 to 1", "compiled activation months; see the table secure_communities",
        ),
        "mandate_287g": _Control(
            _mandate, "State law requiring agreements in effect on any day of the period (any verification status)",
            "true/false", "state_policy_events",
        ),
    }  # fmt: skip
    for table, load in (("rural_urban", controls.load_rural_urban), ("county_profile", controls.load_profile)):
        for name, f in fields(table).items():
            if name != "county_fips" and f["type"] in ("number", "integer"):
                title = schema(table)["sources"][0]["title"]
                out[name] = _Control(_fixed(load, name), f["description"], f.get("unit", ""), title)
    return out


def _yearly(load: Callable[[], pd.DataFrame], column: str) -> Callable[[pd.DataFrame, pd.Series], np.ndarray]:
    def value(frame: pd.DataFrame, year: pd.Series) -> np.ndarray:
        table = load().astype({"year": int}).set_index(["county_fips", "year"])[column].astype(float)
        return table.reindex(pd.MultiIndex.from_arrays([frame["county_fips"], year.astype(int)])).to_numpy()

    return value


def _fixed(load: Callable[[], pd.DataFrame], column: str) -> Callable[[pd.DataFrame, pd.Series], np.ndarray]:
    def value(frame: pd.DataFrame, year: pd.Series) -> np.ndarray:
        table = load().set_index("county_fips")[column].astype(float)
        return table.reindex(frame["county_fips"]).to_numpy()

    return value


def _last_election(frame: pd.DataFrame, year: pd.Series) -> np.ndarray:
    table = load_presidential_votes().frame.set_index(["county_fips", "year"])["republican_share"]
    election = year.astype(int) // 4 * 4
    return table.reindex(pd.MultiIndex.from_arrays([frame["county_fips"], election])).to_numpy()


def _secure_communities(frame: pd.DataFrame, year: pd.Series) -> np.ndarray:
    """Share of months active: from the county's month to October 2014, everywhere again from February 2017."""
    start = policies.load_secure_communities().set_index("county_fips")["month"]
    keys = _keys(frame, year)
    share = {}
    for period in keys.get_level_values(1).unique():
        months = pd.period_range(period.start_time, period.end_time, freq="M")
        on = [(start <= m) & (m < policies.SC_ENDED) | (m >= policies.SC_RESTORED) for m in months]
        share[period] = (sum(o.astype(float) for o in on) / len(months)).where(start.notna())
    table = pd.DataFrame(share).stack()
    return table.reindex(keys).to_numpy(dtype=float)


def _mandate(frame: pd.DataFrame, year: pd.Series) -> np.ndarray:
    events = policies.load_policy_events("mandate_287g")
    periods = _months(frame, year)
    ends = {p: p.end_time.normalize() for p in periods}
    on = {
        (state, p): bool(((rows["effective"] <= ends[p]) & ~(rows["ended"] <= p.start_time).fillna(False)).any())
        for state, rows in events.groupby("state")
        for p in periods
    }
    keys = _keys(frame, year)
    return np.array([on.get((s, p), False) for s, p in zip(frame["state"], keys.get_level_values(1))])


def _months(frame: pd.DataFrame, year: pd.Series) -> list[pd.Period]:
    return sorted(set(_keys(frame, year).get_level_values(1)))


def _keys(frame: pd.DataFrame, year: pd.Series) -> pd.MultiIndex:
    periods = frame["period"] if "period" in frame else pd.PeriodIndex(year.astype(int).astype(str), freq="Y")
    return pd.MultiIndex.from_arrays([frame["county_fips"], periods], names=["county_fips", "period"])
