"""Take ICE's next list in: what is new, gone, changed and unresolved, and, on request, the updated tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from g287stats import catalog, labels
from g287stats.agreements import spells
from g287stats.agreements.assemble import check_dates
from g287stats.agreements.build import resolve
from g287stats.agreements.identity import Counties, FbiAgencies, Fixes, classify, locate, match_name, name_key
from g287stats.agreements.record import REJOIN_DAYS
from g287stats.agreements.rosters import name_date, read_list
from g287stats.errors import Problems, SourceError

Row = dict[Any, Any]

_TABLES = ("agreements", "agencies", "applications", "ice_lists", "list_presence", "qa_exits", "qa_list_counts")


@dataclass(frozen=True)
class ListDifference:
    """What a new list changes.

    ``new``, ``gone``, ``changed`` and ``unresolved`` are frames, one row an agreement or agency, each with the
    column ``what``. ``before`` and ``after`` count agreements on the latest list in hand and on the new one.
    ``tables`` are the released tables as they would be written.
    """

    file: str
    as_of: pd.Timestamp
    previous: pd.Timestamp
    before: int
    after: int
    new: pd.DataFrame
    gone: pd.DataFrame
    changed: pd.DataFrame
    unresolved: pd.DataFrame
    repairs: tuple[str, ...]
    applied: bool = False
    tables: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    @property
    def unchanged(self) -> bool:
        """Is the list line for line the latest one in hand?"""
        return not (len(self.new) or len(self.gone) or len(self.changed))

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        before = f"{self.before} on {self.previous:%Y-%m-%d}"
        yield f"{self.file}, list of {self.as_of:%Y-%m-%d}: {self.after} agreements ({before})"
        if self.unchanged:
            yield "Nothing new: the table of the latest list in hand."
        for title, frame in (("New", self.new), ("Gone", self.gone), ("Changed", self.changed),
                             ("To look at", self.unresolved)):  # fmt: skip
            if len(frame):
                yield f"{title} ({len(frame)}):"
                yield from (f"  {r.state} {r.agency} {r.model}: {r.what}" for r in spells.lines(frame))
        if self.repairs:
            yield f"Repaired in reading ({len(self.repairs)}):"
            yield from (f"  {r}" for r in self.repairs)
        yield "Written." if self.applied else "Nothing written. Add --apply to write the tables."


def update_agreements(
    workbook: Path | str,
    as_of: str | dt.date | pd.Timestamp,
    *,
    apply: bool = False,
    folder: Path | None = None,
    explain: str = "",
) -> ListDifference:
    """Compare ICE's participating-agencies workbook with the released record and return the difference.

    ``as_of`` is the day of the list. With ``apply`` the tables in ``folder`` (default: those in use) are rewritten;
    a list already in hand changes nothing. Raises :class:`SourceError` for a pending list, a list that is not of
    the day its name says, one that repeats an earlier list, one older than the latest in hand, and one whose
    counts jump: more than 40 + 5 % a week new or 15 + 1 % a week gone; ``explain="why"`` lets the last two kinds
    through.
    """
    path = Path(workbook)
    day = labels.day(as_of, "as_of")
    base = folder or catalog.released_dir()
    fixes = Fixes.load(base / "fixes" if (base / "fixes" / "agency_aliases.csv").is_file() else None)
    released = {name: catalog.read_released(name, base) for name in _TABLES}
    printed = read_list(path)
    _check_day(path.name, day, fixes)
    rows = spells.mark_doubled(resolve({path.name: printed}, fixes, dated=True))
    lists = released["ice_lists"]
    lists = lists[lists["kind"].eq("participating")]
    check_dates(rows, pd.DataFrame({"table": [path.name], "list_date": [day]}))
    state = _Record(released, lists, rows, path.name, day, fixes, base)
    state.check_age(explain)
    difference = state.compare()
    repairs = (*printed.repairs, *sorted(set(rows.loc[rows["repair"].ne(""), "repair"])))
    result = ListDifference(
        file=path.name, as_of=day, previous=lists["list_date"].max(), before=len(state.held), after=len(rows),
        repairs=repairs, applied=apply, tables=difference.pop("tables"), **difference,
    )  # fmt: skip
    state.check_jump(result, explain)
    if apply and not (result.unchanged and day == result.previous):
        for name in _TABLES:
            catalog.write_released(result.tables[name], name, base)
    return result


def _check_day(name: str, day: pd.Timestamp, fixes: Fixes) -> None:
    said, _ = name_date(name)
    corrected = fixes.list_dates.get(("participating", name))
    if corrected:
        said = pd.Timestamp(corrected)
    if said is not None and said != day:
        raise SourceError(
            f"{name} is a list of {said:%Y-%m-%d}{' (corrected name)' if corrected else ''}, not of {day:%Y-%m-%d}. "
            f"Use --as-of {said:%Y-%m-%d}, or rename the file if its name is wrong"
        )


class _Record:
    """The released record while one list is held against it."""

    def __init__(self, released: dict[str, pd.DataFrame], lists: pd.DataFrame, rows: pd.DataFrame, file: str,
                 day: pd.Timestamp, fixes: Fixes, base: Path):  # fmt: skip
        self.released, self.lists, self.rows, self.file, self.day = released, lists, rows, file, day
        self.fixes, self.base = fixes, base
        self.seq = int(lists["seq"].max())
        self.day_of = dict(zip(lists["seq"], lists["list_date"]))
        frame = released["agreements"]
        self.agreements: dict[str, Row] = {r["agreement_id"]: r for r in frame.to_dict("records")}
        runs = released["list_presence"]
        self.runs = runs[runs["kind"].eq("participating")]
        self.shown: dict[str, list[Row]] = {}
        for run in self.runs.sort_values("last_seq", kind="stable").to_dict("records"):
            self.shown.setdefault(run["record_id"], []).append(run)
        self.by_model: dict[tuple[str, str], list[str]] = {}
        for name, a in self.agreements.items():
            if pd.isna(a["duplicate_of"]):
                self.by_model.setdefault((a["agency_id"], a["model"]), []).append(name)
        now = self.runs[self.runs["last_seq"].eq(self.seq)]
        self.held: dict[str, Row] = {r["record_id"]: r for r in now.to_dict("records")}

    def _keys(self, runs: pd.DataFrame) -> list[tuple[Any, ...]]:
        found = (self.agreements[i] for i in runs["record_id"])
        return [(a["agency_id"], a["model"], d) for a, d in zip(found, runs["signed_date"])]

    def check_age(self, explain: str) -> None:
        """Refuse a list older than the latest in hand, equal to an earlier one, or nearer to it by five lines."""
        latest = self.lists["list_date"].max()
        if self.day < latest:
            raise SourceError(
                f"{self.file}: a list of {self.day:%Y-%m-%d} is older than the latest in hand ({latest:%Y-%m-%d}). "
                "Earlier lists enter through g287stats build --sources"
            )
        mine = set(zip(self.rows["agency_id"], self.rows["model"], self.rows["signed_date"]))
        shared, size = np.zeros(self.seq + 2, int), np.zeros(self.seq + 2, int)
        for key, first, last in zip(self._keys(self.runs), self.runs["first_seq"], self.runs["last_seq"]):
            size[first : last + 1] += 1
            if key in mine:
                shared[first : last + 1] += 1
        apart = len(mine) + size - 2 * shared
        nearest = int(np.flatnonzero(apart[1 : self.seq + 1] == apart[1 : self.seq + 1].min())[-1]) + 1
        same, nearer = apart[nearest] == 0 < apart[self.seq], apart[nearest] + 5 <= apart[self.seq]
        if (same or nearer) and not explain:
            other = self.lists.set_index("seq").loc[nearest]
            raise SourceError(
                f"{self.file} is older than its name says: it differs in {apart[nearest]} lines from the list of "
                f"{other['list_date']:%Y-%m-%d} ({other['file']}) and in {apart[self.seq]} from the latest. "
                "If ICE did print an earlier table again, pass explain='why'"
            )

    def check_jump(self, d: ListDifference, explain: str) -> None:
        """Refuse counts that move more than the programme ever has in the time between the lists."""
        weeks = max((d.as_of - d.previous).days / 7, 1)
        most_new, most_gone = 40 + 0.05 * d.before * weeks, 15 + 0.01 * d.before * weeks
        problems = Problems(d.file)
        if len(d.new) > most_new:
            problems.add(f"{len(d.new)} new agreements since {d.previous:%Y-%m-%d}; at most {most_new:.0f} expected")
        if len(d.gone) > most_gone:
            problems.add(f"{len(d.gone)} agreements gone since {d.previous:%Y-%m-%d}; at most {most_gone:.0f} expected")
        if problems and not explain:
            problems.add("Is the file whole, and of this day? If the jump is real, pass explain='why'")
            problems.raise_if_any(SourceError)

    # --- comparison ---------------------------------------------------------------------------------------

    def compare(self) -> dict[str, Any]:
        """Match every line to an agreement, and return the four frames and the updated tables."""
        self.renamed_ids: dict[str, str] = {}
        self.exits: list[Row] = []
        agencies = self._agencies()
        new: list[Row] = []
        changed: list[Row] = []
        kept: dict[str, Any] = {}
        second: list[tuple[Any, str]] = []
        for line in spells.lines(self.rows.sort_values(["slot", "agency_id", "model", "signed_date"])):
            if line.slot.startswith("line"):
                second.append((line, line.slot))
                continue
            found = self._match(line, kept)
            if found is None:
                record = self._start(line, agencies, "")
                new.append(record | {"what": f"signed {line.signed_date:%Y-%m-%d}"})
                kept[record["agreement_id"]] = line
                continue
            what = self._continue(found, line)
            name = self.renamed_ids.get(found, found)
            kept[name] = line
            if what:
                changed.append(self.agreements[name] | {"what": what})
        for line, slot in second:
            main = next(i for i, k in kept.items() if (k.agency_id, k.model) == (line.agency_id, line.model))
            name = f"{main}.{slot}"
            if name not in self.held:
                record = self._start(line, agencies, main, slot)
                new.append(record | {"what": f"printed a second time (line {line.row})"})
            kept[name] = line
        stays = {(k.agency_id, k.model) for k in kept.values()}
        gone = [self._end(i, stays) for i in self.held if self.renamed_ids.get(i, i) not in kept]
        tables = self._write(kept, agencies)
        columns = ["state", "agency", "model", "agreement_id", "what"]
        frames = {n: pd.DataFrame(r, columns=columns) for n, r in (("new", new), ("gone", gone), ("changed", changed))}
        return frames | {"unresolved": self._unresolved(new, gone, agencies), "tables": tables}

    def _match(self, line: Any, kept: dict[str, Any]) -> str | None:
        names = [i for i in self.by_model.get((line.agency_id, line.model), ()) if i not in kept]
        now = [i for i in names if i in self.held]
        if now:
            dated = [i for i in now if self.held[i]["signed_date"] == line.signed_date]
            return (dated or now)[0]
        left = [i for i in names if i in self.shown and pd.notna(self.agreements[i]["gone_by"])]
        if left:
            last = max(left, key=lambda i: self.agreements[i]["gone_by"])
            same = self.shown[last][-1]["signed_date"] == line.signed_date
            if same or (self.day - self.agreements[last]["gone_by"]).days <= REJOIN_DAYS:
                return last
        return None

    def _start(self, line: Any, agencies: dict[str, Row], main: str, slot: str = "") -> dict[str, Any]:
        agency = agencies[line.agency_id]
        signed = f"{line.signed_date:%Y-%m-%d}"
        name = f"{main}.{slot}" if main else f"{line.agency_id}.{line.model}.{signed}"
        record: Row = dict.fromkeys(self.released["agreements"].columns, pd.NA)
        record |= {
            c: agency[c] for c in ("agency_id", "agency", "agency_type", "jurisdiction", "state", "county_fips", "ori")
        }
        record |= {
            "agreement_id": name, "moa_id": name, "model": line.model, "signed_date": line.signed_date,
            "signed_precision": "day", "signed_not_before": pd.NaT, "signed_basis": "ICE list",
            "first_listed": self.day, "last_listed": self.day, "gone_by": pd.NaT, "ended_date": pd.NaT,
            "end_precision": "open", "duplicate_of": main or pd.NA, "confidence": "high", "sources": "ICE lists",
        }  # fmt: skip
        self.agreements[name] = record
        return record

    def _continue(self, name: str, line: Any) -> str:
        record = self.agreements[name]
        runs = self.shown[name]
        what = []
        if name not in self.held:
            what.append("listed again")
            record |= {
                "gone_by": pd.NaT,
                "end_precision": "open",
                "end_basis": pd.NA,
                "exit": pd.NA,
                "confidence": "high",
            }
        before = runs[-1]
        if name in self.held:
            self._note_change(record, before, line)
        if before["agency_printed"] != line.agency_printed:
            what.append(f"printed as {line.agency_printed!r} (was {before['agency_printed']!r})")
        if (before["county_printed"] if pd.notna(before["county_printed"]) else "") != line.county_printed:
            what.append(f"county printed as {line.county_printed!r}")
        if before["signed_date"] != line.signed_date:
            what.append(f"signing date printed as {line.signed_date:%Y-%m-%d} (was {before['signed_date']:%Y-%m-%d})")
        record["last_listed"] = self.day
        dates = list(dict.fromkeys([*(r["signed_date"] for r in runs), line.signed_date]))
        if str(record["signed_basis"]).startswith("ICE list"):
            first = self.day_of[min(r["first_seq"] for r in runs)]
            signed, again, _ = spells.first_signing(dates, first, pd.isna(record["first_listed"]))
        else:
            signed = record["signed_date"]
            old = record["resigned_dates"].split(";") if pd.notna(record["resigned_dates"]) else []
            again = sorted({*map(pd.Timestamp, old), *(d for d in dates if d > signed)})
        record["resigned_dates"] = ";".join(f"{d:%Y-%m-%d}" for d in again) or pd.NA
        if signed != record["signed_date"]:
            fresh = f"{record['agency_id']}.{record['model']}.{signed:%Y-%m-%d}"
            if record["moa_id"] == name:
                record["moa_id"] = fresh
            record |= {"signed_date": signed, "agreement_id": fresh}
            self.agreements[fresh] = self.agreements.pop(name)
            self.renamed_ids[name] = fresh
        return "; ".join(what)

    def _note_change(self, record: Row, before: Row, line: Any) -> None:
        """Adjudicate a printed line that is replaced by another of the same agreement."""
        renamed = before["agency_printed"] != line.agency_printed
        dated = before["signed_printed"] != line.signed_printed
        if not (renamed or dated):
            return
        was = self.fixes.agency(record["state"], before["agency_printed"], record["model"], before["signed_printed"])
        if not renamed:
            kind, why = "re-dated", f"printed as signed {line.signed_printed} on the next list"
        else:
            kind = "renamed" if "renamed" in (was.kind, line.alias) else "corrected"
            why = f"printed as {line.agency_printed!r} on the next list"
            why += f", signed {line.signed_printed}" if dated else ""
        self._note(record, before, kind, why, ends=False)

    def _note(self, record: Row, before: Row, kind: str, why: str, ends: bool) -> None:
        last = self.lists[self.lists["seq"].eq(self.seq)].iloc[0]
        self.exits.append(
            {
                "exit": kind, "ends_spell": ends, "agreement_id": record["agreement_id"],
                "state_printed": record["state"], "agency_printed": before["agency_printed"],
                "model": record["model"], "signed_printed": before["signed_printed"],
                "last_list": last["list_date"], "last_file": last["file"], "gone_list": self.day,
                "gone_file": self.file, "linked": bool(before["linked"]), "reason": why,
            }
        )  # fmt: skip

    def _end(self, name: str, stays: set[tuple[str, str]]) -> Row:
        record = self.agreements[name]
        linked = bool(self.held[name]["linked"])
        if pd.notna(record["duplicate_of"]):
            kind, basis = "artefact", "second line removed by ICE"
            why = "second line of an agreement printed twice"
        elif (record["agency_id"], record["model"]) in stays:
            kind, basis = "re-dated", "superseded by the same model's other listing"
            why = "the agency holds this model under another signing date on the next list"
        elif not linked and record["agency_id"] in {agency for agency, _ in stays}:
            kind, basis = "corrected", "listing withdrawn by ICE"
            why = "no memorandum was ever linked; the agency stays listed under another model"
        else:
            kind, basis = "real", "gone from ICE's lists"
            why = "memorandum linked while listed, then gone" if linked else "gone; no memorandum was ever linked"
        self._note(record, self.held[name], kind, why, ends=True)
        record |= {"gone_by": self.day, "end_precision": "window", "end_basis": basis, "exit": kind}
        record |= {} if linked else {"confidence": "medium"}
        return record | {"what": f"last listed {record['last_listed']:%Y-%m-%d}; {kind}: {basis}"}

    # --- agencies and tables ------------------------------------------------------------------------------

    def _agencies(self) -> dict[str, Row]:
        known = {r["agency_id"]: r for r in self.released["agencies"].to_dict("records")}
        counties = Counties(
            catalog.read_released("county_list", self.base if (self.base / "county_list.csv").is_file() else None)
        )
        empty = pd.DataFrame(columns=["ori", "pub_agency_name", "state_abbr", "county_name", "agency_type_name"])
        fbi = FbiAgencies(empty, counties)
        for name, group in self.rows.groupby("agency_id", sort=True):
            if name in known:
                agency = known[name]
                agency |= {"ever_listed": True, "agency": group["agency"].iloc[-1]}
                cell = group["county_printed"].iloc[-1]
                fips = counties.find(
                    agency["state"], self.fixes.county_names.get((agency["state"], cell.upper()), cell)
                )
                if fips and agency["county_basis"] in ("printed county", "FBI agency list"):
                    others = [f for f in agency["county_fips"].split(";") if f != fips]
                    kept = others if fips in agency["county_fips"] else []
                    agency |= {
                        "county_fips": ";".join([fips, *kept]),
                        "county_printed": fips,
                        "county_basis": "printed county",
                    }
                continue
            line = group.iloc[-1]
            key = name_key(line["agency"])
            kind, where = classify(key, line["type_printed"])
            place = locate(
                str(name), line["state"], key, kind, where, group["county_printed"], self.fixes, counties, fbi
            )
            known[name] = {
                "agency_id": name, "agency": line["agency"], "agency_type": kind, "jurisdiction": where,
                "state": line["state"], "county_fips": place.county_fips or pd.NA, "county_basis": place.basis,
                "ori": pd.NA, "county_printed": place.printed or pd.NA, "county_in_name": place.named or pd.NA,
                "county_fbi": pd.NA, "ever_listed": True, "in_history": False,
                "spellings": group["agency_printed"].nunique(),
            }  # fmt: skip
        return known

    def _unresolved(self, new: list[Any], gone: list[Any], agencies: dict[str, Row]) -> pd.DataFrame:
        old = set(self.released["agencies"]["agency_id"])
        keys = {
            (r["state"], name_key(r["agency"])): r["agency_id"] for r in self.released["agencies"].to_dict("records")
        }
        out = []
        for r in new:
            a = agencies[r["agency_id"]]
            for g in gone:
                if (g["state"], g["model"], g["signed_date"]) == (r["state"], r["model"], r["signed_date"]):
                    out.append(r | {"what": f"same model and signing date as {g['agency']}, gone: renamed?"})
            if a["agency_id"] in old:
                continue
            near = match_name(a["state"], a["agency"], keys)
            if near:
                out.append(r | {"what": f"agency never seen; near {', '.join(near)}"})
            if pd.isna(a["county_fips"]) and a["jurisdiction"] != "state":
                out.append(r | {"what": "no county: add a row to data/fixes/agency_counties.csv"})
        return pd.DataFrame(out, columns=["state", "agency", "model", "agreement_id", "what"])

    def _write(self, kept: dict[str, Any], agencies: dict[str, Row]) -> dict[str, pd.DataFrame]:
        tables = dict(self.released)
        seq = self.seq + 1
        size = len(self.rows)
        row = {
            "kind": "participating", "seq": seq, "list_date": self.day, "time": name_date(self.file)[1],
            "file": self.file, "table": self.file, "printed_rows": size, "table_rows": size,
        }  # fmt: skip
        tables["ice_lists"] = _append(tables["ice_lists"], [row])
        runs = tables["list_presence"].copy()
        runs["record_id"] = runs["record_id"].replace(self.renamed_ids)
        form_columns = ["agency_printed", "county_printed", "signed_printed"]
        open_runs = runs[runs["kind"].eq("participating") & runs["last_seq"].eq(self.seq)]
        ends = {r: (i, form) for i, r, *form in open_runs[["record_id", *form_columns]].fillna("").itertuples()}
        ever = set(runs.loc[runs["linked"], "record_id"])
        fresh, extended, now_linked = [], [], []
        for name, line in kept.items():
            linked = bool(line.linked) or name in ever
            form = [line.agency_printed, line.county_printed, line.signed_printed]
            at, old = ends.get(name, (None, None))
            if at is not None and old == form:
                extended.append(at)
                now_linked.append(linked)
                continue
            fresh.append(
                {
                    "kind": "participating", "record_id": name, "first_seq": seq, "last_seq": seq,
                    "agency_printed": form[0], "county_printed": form[1] or pd.NA,
                    "signed_printed": form[2] or pd.NA, "signed_date": line.signed_date, "linked": linked,
                }
            )  # fmt: skip
        runs.loc[extended, "last_seq"] = seq
        runs.loc[extended, "linked"] = now_linked
        tables["list_presence"] = _append(runs, fresh)
        count = {k: row[k] for k in ("seq", "list_date", "time", "file", "table", "printed_rows", "table_rows")}
        counts = [count | {"agreements": len(kept), "difference": size - len(kept), "explanation": pd.NA}]
        tables["qa_list_counts"] = _append(tables["qa_list_counts"], counts)
        noted = tables["qa_exits"].copy()
        noted["agreement_id"] = noted["agreement_id"].replace(self.renamed_ids)
        back = set(kept) - {self.renamed_ids.get(i, i) for i in self.held}
        again = noted["agreement_id"].isin(back) & noted["ends_spell"]
        noted.loc[again, "exit"] = "artefact"
        noted.loc[again, "ends_spell"] = False
        noted.loc[again, "reason"] = "omitted, and printed again later"
        fresh_exits = [
            e | {"agreement_id": self.renamed_ids.get(e["agreement_id"], e["agreement_id"])} for e in self.exits
        ]
        noted = _append(noted, fresh_exits)
        noted["linked"] |= noted["agreement_id"].isin({n for n, k in kept.items() if k.linked})
        tables["qa_exits"] = noted
        frame = self.released["agreements"]
        for r in self.agreements.values():
            if pd.notna(r["duplicate_of"]):
                r["duplicate_of"] = self.renamed_ids.get(r["duplicate_of"], r["duplicate_of"])
            r |= {c: agencies[r["agency_id"]][c] for c in ("agency", "county_fips")}
        tables["agreements"] = _append(frame.iloc[:0], list(self.agreements.values()))
        tables["agencies"] = _append(self.released["agencies"].iloc[:0], list(agencies.values()))
        applications = self.released["applications"].copy()
        applications["agreement_id"] = applications["agreement_id"].replace(self.renamed_ids)
        for name in self.renamed_ids.values():
            applications.loc[applications["agreement_id"].eq(name), "signed_date"] = self.agreements[name][
                "signed_date"
            ]
        today = {
            (r["agency_id"], r["model"]): r for r in self.agreements.values() if r["first_listed"] is not pd.NaT
            and r["first_listed"] == self.day and pd.isna(r["duplicate_of"])
        }  # fmt: skip
        waiting = applications["outcome"].ne("signed") & applications["model"].notna()
        for i, key in zip(
            applications.index[waiting], zip(*(applications.loc[waiting, c] for c in ("agency_id", "model")))
        ):
            if key in today:
                r = today[key]
                applications.loc[i, ["outcome", "agreement_id", "signed_date"]] = [
                    "signed",
                    r["agreement_id"],
                    r["signed_date"],
                ]
        tables["applications"] = applications
        return tables


def _append(frame: pd.DataFrame, records: list[Row]) -> pd.DataFrame:
    """Return ``frame`` with ``records`` below it, types kept."""
    if not records:
        return frame
    more = pd.DataFrame(records, columns=frame.columns).astype(frame.dtypes.to_dict())
    return more if frame.empty else pd.concat([frame, more], ignore_index=True)
