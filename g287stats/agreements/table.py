"""The agreements as users meet them: :func:`load_agreements` and :class:`Agreements`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats import catalog, labels
from g287stats.agreements.counts import COLUMNS as COUNTS
from g287stats.agreements.counts import LATER, counted, gone_by_counts
from g287stats.agreements.views import Timeline, changes, of_agency, of_county, timeline
from g287stats.arguments import guided
from g287stats.errors import DataWarning, DesignError, UnavailableError, caution

Basis = Literal["listed", "signed"]
STALE_DAYS = 31
"""Asking for a day further than this after the last list in hand warns."""


@dataclass(frozen=True)
class Agreements:
    """Agreement spells with the lists behind them.

    ``frame`` has one row per spell and the columns of the released table ``agreements``. ``lists`` are the
    captured lists in order and ``presence`` says on which each agreement or application is printed; ``release`` says
    whose record this is. ``counts`` are ICE's counts by state and model on lists that are not in hand, ``memoranda``
    agreements signed by a memorandum that no list in hand prints (:meth:`with_evidence`).
    """

    frame: pd.DataFrame
    applications: pd.DataFrame
    lists: pd.DataFrame
    presence: pd.DataFrame
    release: str = "g287stats"
    counts: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=COUNTS))
    memoranda: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=LATER))

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

    # --- as a frame -------------------------------------------------------------------------------------------

    @property
    def columns(self) -> pd.Index:
        """The columns of ``frame``."""
        return self.frame.columns

    def __iter__(self) -> Iterator[Any]:
        return iter(self.frame)

    def __getitem__(self, key: Any) -> Any:
        return self.frame[key]

    def head(self, n: int = 5) -> pd.DataFrame:
        """Return the first ``n`` spells."""
        return self.frame.head(n)

    def query(self, expression: str) -> pd.DataFrame:
        """Return the spells for which ``expression`` is true, as :meth:`pandas.DataFrame.query`."""
        return self.frame.query(expression).reset_index(drop=True)

    def to_csv(self, path: Path | str) -> Path:
        """Write ``frame`` as CSV; returns the path."""
        return catalog.write(path, self.frame.to_csv(index=False, date_format="%Y-%m-%d"))

    # --- one county, one agency -------------------------------------------------------------------------------

    def county(self, county: str) -> pd.DataFrame:
        """Return the spells of a county's agencies: ``"Gaston, NC"`` or its code; cities over its line included.

        >>> load_agreements().county("Gaston, NC")["agency"].unique().tolist()
        ["Gaston County Sheriff's Office"]
        """
        return of_county(self.frame, county)

    def agency(self, agency: str) -> pd.DataFrame:
        """Return the spells of an agency: its identifier, or name and state, ``"Gaston County Sheriff, NC"``."""
        return of_agency(self.frame, agency)

    def history(self, who: str) -> Timeline:
        """Return the timeline of a county, an agency or an agreement, which prints itself.

        >>> print(load_agreements().history("NC-gaston-county-sheriff"))  # doctest: +ELLIPSIS
        NC-gaston-county-sheriff
          2007-02-22  signed       JEM  Gaston County Sheriff's Office (record of 2002-2016)
          2009-10-15  signed again JEM  Gaston County Sheriff's Office
          ...
        """
        mine = self.frame[self.frame["agreement_id"].eq(who)]
        if not len(mine):
            try:
                mine = self.agency(who)
            except UnavailableError as error:
                try:
                    mine = self.county(who)
                except (UnavailableError, DesignError):
                    raise error from None
        return timeline(mine, self.later, who)

    def changes(self, since: Any, until: Any = None) -> pd.DataFrame:
        """Return what was signed, listed and ended after ``since`` (and up to ``until``), the latest first."""
        return changes(self.frame, since, until)

    @property
    def last_day(self) -> pd.Timestamp:
        """The last day the record is certain of: that of the last list in hand, or of the last dated event."""
        if len(self.lists):
            return self.lists.loc[self.lists["kind"].eq("participating"), "list_date"].max()
        return self.frame[["signed_date", "last_listed", "gone_by", "ended_date"]].max().max()

    @property
    def later(self) -> pd.DataFrame:
        """What is known after :attr:`last_day`, one row an agreement; no listed count includes any of it.

        ``standing`` is *gone between two dates* (after ``not_before``, by ``by``; the counts of ICE's later lists say
        so) or *signed by memorandum, not yet seen on a list in hand*; ``source`` says how it is known.
        """
        parts = [p for p in (gone_by_counts(self._standing(), self.counts, self.last_day), self.memoranda) if len(p)]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=LATER)

    def _standing(self) -> pd.DataFrame:
        """Agreements on the last list in hand."""
        lists = self.lists[self.lists["kind"].eq("participating")] if len(self.lists) else self.lists
        if not len(lists):
            return self.frame[self.frame["end_precision"].eq("open")]
        return self.frame[self.frame["agreement_id"].isin(self._on_list("participating", int(lists["seq"].max())))]

    def list_in_force(self, on: Any, kind: str = "participating") -> pd.Series:
        """Return the captured list in force at ``on`` (a row of ``lists``).

        A day means its end: the last list captured on or before it. A time of day means that moment; ICE's am, mid
        and pm lists count from 09:00, 12:00 and 15:00. Raises :class:`UnavailableError` before the first list.
        """
        moment = labels.moment(on, "on")
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
            caution(
                f"the last {kind} list in hand is of {lists['list_date'].max():%Y-%m-%d}, {age} days before "
                f"{moment:%Y-%m-%d}: the answer is that list",
                DataWarning,
            )
        return found

    @guided
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
        moment = labels.moment(on, "on")
        lists = self.lists[self.lists["kind"].eq("participating")]
        if basis == "listed" and len(lists) and moment.normalize() >= lists["list_date"].min():
            in_force = self.list_in_force(moment)
            held = self._on_list("participating", int(in_force["seq"]))
            found = self.frame[self.frame["agreement_id"].isin(held)]
            attrs: dict[Any, Any] = {"basis": "listed", "list": in_force["file"], "list_date": in_force["list_date"]}
        elif basis == "listed" and not len(lists) and self.frame["first_listed"].notna().any():
            day = moment.normalize()
            seen, gone = self.frame["first_listed"].le(day), self.frame["gone_by"].le(day)
            found = self.frame[seen & ~gone.fillna(False)]
            attrs = {"basis": "listed, by first and last appearance", "list": None, "list_date": None}
        else:
            day = moment.normalize()
            ended = self.frame["ended_date"].fillna(self.frame["gone_by"])
            once = self.frame["duplicate_of"].isna()
            found = self.frame[once & self.frame["signed_date"].le(day) & ~ended.le(day).fillna(False)]
            if day > self.last_day:
                later = self.later
                found = found[~found["agreement_id"].isin(later.loc[later["by"].le(day), "agreement_id"])]
            attrs = {"basis": "signed", "list": None, "list_date": None}
        found = found.reset_index(drop=True)
        found.attrs = {"on": str(on), "last_certain_day": self.last_day} | attrs
        return found

    @guided
    def pending(self, on: Any) -> pd.DataFrame:
        """Return the applications on ICE's pending list in force at ``on`` (columns of ``applications``).

        Pending lists are in hand from 21 February 2025; earlier days raise :class:`UnavailableError`.
        """
        in_force = self.list_in_force(on, "pending")
        held = self._on_list("pending", int(in_force["seq"]))
        found = self.applications[self.applications["application_id"].isin(held)].reset_index(drop=True)
        found.attrs = {"on": str(on), "list": in_force["file"], "list_date": in_force["list_date"]}
        found.attrs["last_certain_day"] = self.lists.loc[self.lists["kind"].eq("pending"), "list_date"].max()
        return found

    @guided
    def as_known(self, on: Any) -> Agreements:
        """Return the record as it could be known at the end of day ``on``: for replicating a dated claim.

        Lists, signings and ends after ``on`` are gone; ends found later are open again; signing dates are those
        printed by then, before ICE corrected them. An agreement omitted from the list in force counts as gone, as
        it would have then. Names, counties and the identity of agencies stay as corrected here, and historical
        records count as known from their dates.
        """
        day = labels.day(on, "on")
        lists = self.lists[self.lists["list_date"].le(day)].reset_index(drop=True)
        last = {str(k): int(v) for k, v in lists.groupby("kind")["seq"].max().items()}
        limit = self.presence["kind"].map(last)
        runs = self.presence[self.presence["first_seq"].le(limit).fillna(False)].copy()
        runs["last_seq"] = runs["last_seq"].clip(upper=runs["kind"].map(last))
        frame = self._folded(runs, lists, day)
        return Agreements(
            frame,
            self._applications_as_known(runs, lists, set(frame["agreement_id"])),
            lists,
            runs.reset_index(drop=True),
            f"{self.release} as known on {day:%Y-%m-%d}",
            self.counts[self.counts["list_date"].le(day)].reset_index(drop=True),
        )

    def _folded(self, runs: pd.DataFrame, lists: pd.DataFrame, day: pd.Timestamp) -> pd.DataFrame:
        """Fold the record over ``lists`` alone; agreements keep the identifiers of the whole record."""
        from g287stats.agreements.assemble import agreements_table
        from g287stats.agreements.identity import Fixes
        from g287stats.agreements.record import fold
        from g287stats.agreements.replay import history_of, printed_lists

        record = fold(printed_lists(self.frame, runs, lists))
        known = {k: [s for s in rows if s.date <= day] for k, rows in Fixes.load().signings.items()}
        places = ["agency_id", "agency", "agency_type", "jurisdiction", "state", "county_fips", "county_name", "ori"]
        agencies = self.frame[places].drop_duplicates("agency_id", keep="last")
        found, _ = agreements_table(record, history_of(self.frame, self.presence, day), agencies, known)
        mine = runs[runs["kind"].eq("participating")]
        starts = mine.groupby("record_id")["first_seq"].min()
        who = self.frame.set_index("agreement_id").loc[starts.index]
        second = who["duplicate_of"].notna()
        name = dict(zip(zip(who["agency_id"], who["model"], second, starts), starts.index))
        keys = zip(found["agency_id"], found["model"], found["duplicate_of"].ne(""), found["first_seq"])
        renamed = dict(zip(found["agreement_id"], (name.get(k, i) for k, i in zip(keys, found["agreement_id"]))))
        for column in ("agreement_id", "moa_id", "duplicate_of"):
            found[column] = found[column].replace(renamed)
        found = found.sort_values("agreement_id", ignore_index=True)
        text = found.select_dtypes(["object", "str"]).columns
        found[text] = found[text].astype(object).where(found[text].ne(""), pd.NA)
        return found[list(self.frame.columns)].astype(self.frame.dtypes.to_dict())

    def _applications_as_known(self, runs: pd.DataFrame, lists: pd.DataFrame, known: set[str]) -> pd.DataFrame:
        day = lists[lists["kind"].eq("pending")].set_index("seq")["list_date"]
        pending = dict(iter(runs[runs["kind"].eq("pending")].groupby("record_id")))
        applications = []
        for r in self.applications.to_dict("records"):
            seen = pending.get(r["application_id"])
            if seen is None:
                continue
            left = int(seen["last_seq"].max())
            gone = left < int(day.index.max())
            r["last_pending"] = day[left]
            r["gone_by"] = day[left + 1] if gone else pd.NaT
            r["lists"] = int((seen["last_seq"] - seen["first_seq"] + 1).sum())
            if pd.isna(r["agreement_id"]) or r["agreement_id"] not in known:
                r |= {"agreement_id": pd.NA, "signed_date": pd.NaT}
                r["outcome"] = "left the list" if gone else "pending"
            applications.append(r)
        return _like(applications, self.applications)

    def adoption_curve(self, freq: str = "M", basis: Basis = "signed", by: str = "model") -> pd.DataFrame:
        """Return active agreements at the end of each period, one column per value of ``by`` and ``total``.

        ``freq`` is a pandas period code (``"D"``, ``"M"``, ``"Q"``, ``"Y"``); rows are a ``PeriodIndex`` from the first
        signing on. ``by`` is a column of ``frame`` (``model``, ``agency_type``, ``state``, …);
        rows where it is missing are not counted.
        ``basis`` as in :meth:`active`; with ``"listed"`` the curve starts with the first list in hand.

        After the last list in hand the curve of models or states goes on with ICE's counts (``counts``), whatever the
        basis: nothing else is known then. Two columns tell apart what is ``named``, agreements of a list in hand or a
        memorandum not known to be gone, and what is ``counted_only``; ``attrs["last_certain_day"]`` says from when.
        """
        lists = self.lists[self.lists["kind"].eq("participating")].sort_values("seq")
        frame = self.frame
        last = lists["list_date"].max() if len(lists) else frame[["signed_date", "gone_by"]].max().max()
        first = frame["signed_date"].min()
        if basis == "listed":
            first = lists["list_date"].min() if len(lists) else frame["first_listed"].min()
        periods = pd.period_range(first, last, freq=freq)
        days = pd.DatetimeIndex([min(p.end_time.normalize(), last) for p in periods])
        if basis == "listed" and len(lists):
            runs = self.presence[self.presence["kind"].eq("participating")]
            group = runs["record_id"].map(frame.set_index("agreement_id")[by])
            start, stop = runs["first_seq"].to_numpy(int), runs["last_seq"].to_numpy(int) + 1
            at = lists["seq"].to_numpy(int)[lists["list_date"].searchsorted(days, side="right") - 1]
        else:
            ended = frame["ended_date"].fillna(frame["gone_by"])
            begun, kept = frame["signed_date"], frame["duplicate_of"].isna()
            if basis == "listed":
                begun, ended, kept = frame["first_listed"], frame["gone_by"], frame["first_listed"].notna()
            group = frame.loc[kept, by]
            start = begun[kept].to_numpy("datetime64[D]").astype("int64")
            stop = ended[kept].fillna(pd.Timestamp.max.normalize()).to_numpy("datetime64[D]").astype("int64")
            at = days.to_numpy("datetime64[D]").astype("int64")
        counts = {}
        for value in sorted(group.dropna().unique()):
            mine = group.eq(value).fillna(False).to_numpy(bool)
            begun_by = np.searchsorted(np.sort(start[mine]), at, side="right")
            counts[value] = begun_by - np.searchsorted(np.sort(stop[mine]), at, side="right")
        curve = pd.DataFrame(counts, index=periods).astype("int64")
        curve.columns.name = by
        curve = curve.assign(total=curve.sum(axis=1))
        if by in ("model", "state") and len(self.counts):
            curve = self._counted_on(curve.assign(named=curve["total"], counted_only=0), freq, by)
        curve.attrs = {"basis": basis, "last_certain_day": self.last_day}
        return curve

    def _counted_on(self, curve: pd.DataFrame, freq: str, by: str) -> pd.DataFrame:
        """Continue a curve with ICE's counts, to the period of the last one."""
        days = self.counts["list_date"]
        standing, later = self._standing(), self.later
        rows = {
            p: counted(self.counts, standing, later, min(p.end_time.normalize(), days.max()), by)
            for p in pd.period_range(self.last_day, days.max(), freq=freq)
            if p.end_time >= days.min()
        }
        more = pd.DataFrame(rows).T.reindex(columns=curve.columns, fill_value=0)
        new = [c for c in pd.DataFrame(rows).T.columns if c not in curve.columns]
        if new:  # a state without an agreement before
            extra = pd.DataFrame(rows).T[new]
            keep = [c for c in curve.columns if c not in ("total", "named", "counted_only")]
            order = [*sorted([*keep, *new]), "total", "named", "counted_only"]
            curve, more = curve.reindex(columns=order, fill_value=0), more.join(extra)[order]
        more.index = pd.PeriodIndex(more.index, freq=curve.index.freq)
        out = pd.concat([curve[~curve.index.isin(more.index)], more.fillna(0)]).astype("int64")
        out.columns.name = by
        return out

    def _on_list(self, kind: str, seq: int) -> set[str]:
        runs = self.presence
        here = runs["kind"].eq(kind) & runs["first_seq"].le(seq) & runs["last_seq"].ge(seq)
        return set(runs.loc[here, "record_id"])


def _like(records: list[Any], model: pd.DataFrame) -> pd.DataFrame:
    """Build a frame with the columns and types of ``model``."""
    return pd.DataFrame(records, columns=model.columns).astype(model.dtypes.to_dict())


def load_agreements(source: Path | str | None = None) -> Agreements:
    """Load an agreement record.

    ``source=None`` is the released record. A folder of released tables (``agreements.csv`` and its ``schema``, as
    ``g287stats build`` writes them) is read as such; any other path is read as a release of the Deportation Data
    Project's ``ice-287g``: its folder, or its ``agreements`` file as Parquet, XLSX or Stata.
    """
    path = None if source is None else Path(source)
    if path is not None and not (path / "schema").is_dir():
        from g287stats.agreements.exchange.ice287g import read_ice287g

        if not path.exists():
            raise UnavailableError(f"{path}: no such file or folder. Name a release of ice-287g, or leave source out")
        tables, release = read_ice287g(path), "ice-287g"
    else:
        names = ("agreements", "applications", "ice_lists", "list_presence")
        tables, release = {n: catalog.read_released(n, path) for n in names}, "g287stats"
    days = tables["ice_lists"].loc[tables["ice_lists"]["kind"].eq("participating"), "list_date"]
    counts = catalog.read_released("ice_counts") if release == "g287stats" else pd.DataFrame(columns=COUNTS)
    counts = counts[counts["list_date"].gt(days.max())].reset_index(drop=True)
    return Agreements(
        tables["agreements"],
        tables["applications"],
        tables["ice_lists"],
        tables["list_presence"],
        release,
        counts,
    )
