"""One county, one agency, a timeline, what changed: the record as people ask for it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from g287stats import catalog, labels
from g287stats.agreements.identity import USPS, Counties, KnownNames, name_key
from g287stats.errors import DesignError, UnavailableError

EVENTS = ["date", "event", "agreement_id", "agency", "state", "model", "detail"]


@dataclass(frozen=True)
class Timeline:
    """What the record knows of some agreements, in order: ``frame`` has one row an event; printing shows it."""

    title: str
    frame: pd.DataFrame

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<p>{self.title}</p>{self.frame[['date', 'event', 'agency', 'model', 'detail']].to_html(index=False)}"

    def _lines(self) -> Iterator[str]:
        yield self.title
        for r in self.frame.itertuples():
            detail = f" ({r.detail})" if r.detail else ""
            yield f"  {r.date:%Y-%m-%d}  {r.event:<12} {r.model}  {r.agency}{detail}"


def of_county(frame: pd.DataFrame, county: str) -> pd.DataFrame:
    """Return the spells of agencies of a county: ``"Gaston, NC"``, ``"Gaston County, NC"`` or ``"37071"``."""
    code = _county_code(county)
    return frame[frame["county_fips"].fillna("").str.split(";").map(lambda codes: code in codes)].reset_index(drop=True)


def _county_code(county: str) -> str:
    table = catalog.read_released("county_list")
    text = str(county).strip()
    if re.fullmatch(r"\d{5}", text):
        if text not in set(table["county_fips"]):
            raise UnavailableError(f"{text} is not a county code of the county list")
        return text
    name, _, state = (p.strip() for p in text.rpartition(","))
    if state.upper() not in USPS or not name:
        raise DesignError(f"county {county!r}: name and state are wanted, as 'Gaston, NC', or a code, as '37071'")
    code = Counties(table).find(state.upper(), name)
    if code is None:
        here = table.loc[table["state"].eq(state.upper()), "name"].tolist()
        near = difflib.get_close_matches(name, here, n=3, cutoff=0.5)
        raise UnavailableError(f"no county {name!r} in {state.upper()}. Near: {', '.join(near) or 'none'}")
    return code


def of_agency(frame: pd.DataFrame, agency: str) -> pd.DataFrame:
    """Return the spells of an agency: its identifier, or its name with the state, ``"Gaston County Sheriff, NC"``."""
    text = str(agency).strip()
    if text in set(frame["agency_id"]):
        return frame[frame["agency_id"].eq(text)].reset_index(drop=True)
    name, _, state = (p.strip() for p in text.rpartition(","))
    named = bool(name) and state.upper() in USPS
    pool = frame[frame["state"].eq(state.upper())] if named else frame
    key = name_key(name if named else text)
    found = pool[pool["agency"].map(name_key).eq(key)]
    if not len(found):
        found = pool[pool["agency_id"].str.slice(3).eq(key.replace(" ", "-"))]
    if found["agency_id"].nunique() == 1:
        return found.reset_index(drop=True)
    if len(found):
        raise DesignError(f"agency {agency!r}: {', '.join(sorted(found['agency_id'].unique()))}. Say which")
    near: list[str] = []
    if named:
        near = KnownNames(pool["state"], pool["agency"], pool["agency_id"]).near(state.upper(), name)
    hint = f"Near: {', '.join(near)}" if near else "Name and state are wanted, as 'Gaston County Sheriff, NC'"
    raise UnavailableError(f"no agency {agency!r} in the record. {hint}")


def timeline(frame: pd.DataFrame, later: pd.DataFrame, title: str) -> Timeline:
    """Return the events of the spells in ``frame``, and of what is known after the last list, in order."""
    return Timeline(
        title,
        pd.concat([events(frame), _later_events(later, frame)]).sort_values(
            ["date", "agreement_id"], kind="stable", ignore_index=True
        ),
    )


def events(frame: pd.DataFrame) -> pd.DataFrame:
    """One row an event of each spell: signed, listed, signed again, ended (with how it is known)."""
    rows: list[tuple[Any, ...]] = []
    for r in frame[frame["duplicate_of"].isna()].itertuples():
        who = (r.agreement_id, r.agency, r.state, r.model)
        rows.append((r.signed_date, "signed", *who, r.signed_basis))
        for day in r.resigned_dates.split(";") if pd.notna(r.resigned_dates) else ():
            rows.append((pd.Timestamp(day), "signed again", *who, ""))
        if pd.notna(r.first_listed):
            rows.append((r.first_listed, "listed", *who, ""))
        if pd.notna(r.ended_date):
            rows.append((r.ended_date, "ended", *who, _text(r.end_basis)))
        elif pd.notna(r.gone_by):
            after = f"after {r.last_listed:%Y-%m-%d}; " if pd.notna(r.last_listed) else ""
            rows.append((r.gone_by, "gone by", *who, after + _text(r.end_basis)))
    return pd.DataFrame(rows, columns=EVENTS)


def _later_events(later: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    mine = later[later["agreement_id"].isin(frame["agreement_id"]) | later["agency_id"].isin(frame["agency_id"])]
    rows = [
        (r.by, "gone by", r.agreement_id, r.agency, r.state, r.model, r.source)
        if pd.notna(r.by)
        else (r.signed_date, "signed", "", r.agency, r.state, r.model, r.source)
        for r in mine.itertuples()
    ]
    return pd.DataFrame(rows, columns=EVENTS)


def changes(frame: pd.DataFrame, since: Any, until: Any = None) -> pd.DataFrame:
    """Return the events after ``since`` and up to ``until``, the latest first."""
    found = events(frame)
    keep = found["date"].gt(labels.day(since, "since"))
    if until is not None:
        keep &= found["date"].le(labels.day(until, "until"))
    return found[keep].sort_values(["date", "agreement_id", "event"], ascending=[False, True, True], ignore_index=True)


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
