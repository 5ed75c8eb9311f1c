"""The agreements as users meet them: :func:`load_agreements` and :class:`Agreements`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from g287stats import catalog
from g287stats.errors import DataWarning, UnavailableError

Basis = Literal["listed", "signed"]
STALE_DAYS = 31
"""Asking for a day further than this after the last list in hand warns."""


@dataclass(frozen=True)
class Agreements:
    """Agreement spells with the lists behind them.

    ``frame`` has one row per spell and the columns of the released table ``agreements``. ``lists`` are the
    captured lists in order and ``presence`` says on which each agreement or application is printed; ``release`` says
    whose record this is.
    """

    frame: pd.DataFrame
    applications: pd.DataFrame
    lists: pd.DataFrame
    presence: pd.DataFrame
    release: str = "g287stats"
    _cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        days = self.lists.loc[self.lists["kind"].eq("participating"), "list_date"]
        seen = f"; lists {days.min():%Y-%m-%d} to {days.max():%Y-%m-%d}" if len(days) else ""
        agencies = self.frame["agency_id"].nunique()
        return f"<Agreements: {len(self.frame):,} spells of {agencies:,} agencies ({self.release}){seen}>"

    def _repr_html_(self) -> str:
        columns = ["agency", "state", "model", "signed_date", "gone_by", "end_precision", "county_fips"]
        shown = [c for c in columns if c in self.frame]
        return f"<p>{self!r}</p>".replace("<Agreements", "&lt;Agreements") + self.frame[shown].head(8).to_html()

    def list_in_force(self, on: Any, kind: str = "participating") -> pd.Series:
        """Return the captured list in force at ``on`` (a row of ``lists``).

        A day means its end: the last list captured on or before it. A time of day means that moment; ICE's am, mid
        and pm lists count from 09:00, 12:00 and 15:00. Raises :class:`UnavailableError` before the first list.
        """
        moment = pd.Timestamp(on)
        lists = self.lists[self.lists["kind"].eq(kind)]
        when = lists["list_date"]
        if moment != moment.normalize():
            hour = lists["time"].str.slice(0, 4)
            when = when + pd.to_timedelta(hour.str[:2] + ":" + hour.str[2:] + ":00")
        before = lists[when <= moment]
        if before.empty:
            first = f"{lists['list_date'].min():%Y-%m-%d}" if len(lists) else "none in hand"
            raise UnavailableError(f"no {kind} list on or before {moment:%Y-%m-%d}; the first is of {first}")
        found = before.sort_values("seq").iloc[-1]
        age = (moment.normalize() - lists["list_date"].max()).days
        if age > STALE_DAYS:
            warnings.warn(
                f"the last {kind} list in hand is of {lists['list_date'].max():%Y-%m-%d}, {age} days before "
                f"{moment:%Y-%m-%d}: the answer is that list",
                DataWarning,
                stacklevel=3,
            )
        return found

    def active(self, on: Any, basis: Basis = "listed") -> pd.DataFrame:
        """Return the agreements active at ``on``, one row each, with the columns of ``frame``.

        ``basis="listed"``: printed on ICE's list in force at ``on``; before the first list in hand (13 January
        2021) no list can be asked and the signed basis is used. ICE has at times printed an agreement on two lines
        and counted both: both are returned, the second with ``duplicate_of`` filled.

        ``basis="signed"``: signed on or before ``on`` and not ended. An end known to the day counts from that day,
        one known as a window from its last day (``gone_by``).

        The two differ: ICE lists most agreements within days of signing and some after months, and an agreement
        that ended between two lists is seen gone only on the second. ``attrs["basis"]`` of the result says which
        was used and ``attrs["list"]`` which list.

        >>> import g287stats.agreements.table as t
        >>> agreements = t.load_agreements()
        >>> agreements.active(on="2025-01-20").model.value_counts().sort_index().tolist()
        [60, 75]
        """
        if basis not in ("listed", "signed"):
            raise ValueError(f"basis={basis!r}; use 'listed' or 'signed'")
        moment = pd.Timestamp(on)
        lists = self.lists[self.lists["kind"].eq("participating")]
        if basis == "listed" and len(lists) and moment.normalize() >= lists["list_date"].min():
            in_force = self.list_in_force(moment)
            held = self._on_list("participating", int(in_force["seq"]))
            found = self.frame[self.frame["agreement_id"].isin(held)]
            attrs: dict[Any, Any] = {"basis": "listed", "list": in_force["file"], "list_date": in_force["list_date"]}
        else:
            day = moment.normalize()
            ended = self.frame["ended_date"].fillna(self.frame["gone_by"])
            once = self.frame["duplicate_of"].isna()
            found = self.frame[once & self.frame["signed_date"].le(day) & ~ended.le(day).fillna(False)]
            attrs = {"basis": "signed", "list": None, "list_date": None}
        found = found.reset_index(drop=True)
        found.attrs = {"on": str(on)} | attrs
        return found

    def pending(self, on: Any) -> pd.DataFrame:
        """Return the applications on ICE's pending list in force at ``on`` (columns of ``applications``).

        Pending lists are in hand from 21 February 2025; earlier days raise :class:`UnavailableError`.
        """
        in_force = self.list_in_force(on, "pending")
        held = self._on_list("pending", int(in_force["seq"]))
        found = self.applications[self.applications["application_id"].isin(held)].reset_index(drop=True)
        found.attrs = {"on": str(on), "list": in_force["file"], "list_date": in_force["list_date"]}
        return found

    def adoption_curve(self, freq: str = "M", basis: Basis = "signed", by: str = "model") -> pd.DataFrame:
        """Return active agreements at the end of each period, one column per value of ``by`` and ``total``.

        ``freq`` is a pandas period code (``"D"``, ``"M"``, ``"Q"``, ``"Y"``); rows are a ``PeriodIndex`` from the first
        signing to the last list in hand. ``by`` is a column of ``frame`` (``model``, ``agency_type``, ``state``, …).
        ``basis`` as in :meth:`active`; with ``"listed"`` the curve starts with the first list in hand.
        """
        lists = self.lists[self.lists["kind"].eq("participating")]
        last = lists["list_date"].max() if len(lists) else self.frame[["signed_date", "gone_by"]].max().max()
        first = self.frame["signed_date"].min() if basis == "signed" else lists["list_date"].min()
        periods = pd.period_range(first, last, freq=freq)
        counts = []
        for period in periods:
            day = min(period.end_time.normalize(), last)
            counts.append(self.active(day, basis)[by].value_counts())
        curve = pd.DataFrame(counts, index=periods).fillna(0).astype("int64").sort_index(axis=1)
        curve.columns.name = by
        return curve.assign(total=curve.sum(axis=1))

    def _on_list(self, kind: str, seq: int) -> set[str]:
        runs = self.presence
        here = runs["kind"].eq(kind) & runs["first_seq"].le(seq) & runs["last_seq"].ge(seq)
        return set(runs.loc[here, "record_id"])


def load_agreements(folder: Path | None = None) -> Agreements:
    """Load the released agreement record (``folder``: another folder of released tables)."""
    return Agreements(
        frame=catalog.read_released("agreements", folder),
        applications=catalog.read_released("applications", folder),
        lists=catalog.read_released("ice_lists", folder),
        presence=catalog.read_released("list_presence", folder),
    )
