"""Controls and policies beside the exposure, each with its source in the codebook."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from g287stats import policies
from g287stats.catalog import codebook, schema
from g287stats.errors import DesignError
from g287stats.flow import Step
from g287stats.outcomes.context import controls
from g287stats.outcomes.context.population import load_hispanic
from g287stats.outcomes.context.votes import load_presidential_votes

Value = Callable[[pd.DataFrame, pd.Series], np.ndarray]


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
    book: dict[str, dict[str, str]] = {}
    steps, new = [], {}
    for name in names:
        new[name] = known[name](frame, year)
        gone = pd.isna(new[name])
        listing = tuple((frame["county_fips"] + " " + frame[time].astype(str))[gone])
        steps.append(
            Step("county-periods without a value", int(gone.sum()), "missing", listing, kind="noted", block=name)
        )
        book |= _described(name)
    return frame.assign(**new), book, steps


def known_controls() -> pd.DataFrame:
    """Return the controls that :func:`county_panel` can add: name, description, unit, source."""
    rows = [{"control": name, **_described(name)[name]} for name in _controls()]
    return pd.DataFrame(rows)


def _controls() -> dict[str, Value]:
    out: dict[str, Value] = {
        "unemployment_rate": _yearly(controls.load_unemployment, "unemployment_rate"),
        "income_per_capita": _yearly(controls.load_income, "income_per_capita"),
        "hispanic_share": _yearly(load_hispanic, "hispanic_share"),
        "republican_share": _last_election,
        "secure_communities": _secure_communities,
        "mandate_287g": _mandate,
    }
    for table, load in _FIXED.items():
        for f in schema(table)["schema"]["fields"]:
            if f["name"] != "county_fips" and f["type"] in ("number", "integer"):
                out[f["name"]] = _fixed(load, f["name"])
    return out


_FIXED = {"rural_urban": controls.load_rural_urban, "county_profile": controls.load_profile}


def _described(name: str) -> dict[str, dict[str, str]]:
    """Return the codebook entry of a control: that of its own table where it comes from one."""
    for table in _FIXED:
        if any(f["name"] == name for f in schema(table)["schema"]["fields"]):
            return codebook([name], schema(table)["sources"][0]["title"], table)
    shared = "nominal; some Virginia cities share the figure of their combined area"
    return codebook([name], income_per_capita={"note": shared, "source": "BEA, CAINC1"})


def _yearly(load: Callable[[], pd.DataFrame], column: str) -> Value:
    def value(frame: pd.DataFrame, year: pd.Series) -> np.ndarray:
        table = load().astype({"year": int}).set_index(["county_fips", "year"])[column].astype(float)
        return table.reindex(pd.MultiIndex.from_arrays([frame["county_fips"], year.astype(int)])).to_numpy()

    return value


def _fixed(load: Callable[[], pd.DataFrame], column: str) -> Value:
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
