"""Take ICE's next lists in: what is new, gone, changed and doubtful, and, on request, the updated record."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from g287stats import catalog, labels
from g287stats.agreements import spells
from g287stats.agreements.assemble import (
    NO_TYPE,
    agency_row,
    agreements_table,
    check_dates,
    declared,
    exits_table,
    interruptions_table,
    list_counts,
    presence_table,
    with_outcomes,
)
from g287stats.agreements.build import resolve
from g287stats.agreements.identity import Counties, FbiAgencies, Fixes, KnownNames, classify, name_key
from g287stats.agreements.record import CapturedList, Record, advance, fold, verdict
from g287stats.agreements.replay import history_of, printed_lists
from g287stats.agreements.rosters import LIMITS, PrintedList, list_day, name_date, read_list
from g287stats.catalog.writing import working
from g287stats.errors import Problems, SourceError

TABLES = (
    "agreements",
    "agencies",
    "applications",
    "ice_lists",
    "list_presence",
    "qa_exits",
    "qa_list_counts",
    "qa_signing_dates",
    "qa_interruptions",
    "qa_doubled_rows",
)
_FRAME = ["state", "agency", "model", "agreement_id", "what"]


@dataclass(frozen=True)
class ListDifference:
    """What a new list changes.

    ``new``, ``gone``, ``changed`` and ``unresolved`` are frames, one row an agreement or agency, each with the
    column ``what``. ``before`` and ``after`` count agreements on the latest list in hand and on the new one.
    ``tables`` are the tables as they would be written, ``applied`` where they were.
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
    applied: Path | None = None
    tables: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    @property
    def unchanged(self) -> bool:
        """Is the list line for line the latest one in hand?"""
        return not (len(self.new) or len(self.gone) or len(self.changed))

    def __str__(self) -> str:
        return "\n".join(self._summary())

    def details(self) -> str:
        """Every agreement that is new, gone, changed or doubtful, and every repair, one a line."""
        return "\n".join(self._details()) + "\n"

    def _head(self) -> Iterator[str]:
        before = f"{self.before:,} on {self.previous:%Y-%m-%d}"
        yield f"{self.file}, list of {self.as_of:%Y-%m-%d}: {self.after:,} agreements ({before})"
        if self.unchanged:
            yield "Nothing new: the table of the latest list in hand."

    def _summary(self) -> Iterator[str]:
        yield from self._head()
        for title, frame in (("New", self.new), ("Gone", self.gone)):
            if len(frame):
                yield f"{title}: {len(frame):,} ({_counts(frame['model'])})"
                yield f"  by state: {_counts(frame['state'])}"
        for title, frame in (("Changed", self.changed), ("To look at", self.unresolved)):
            if len(frame):
                yield f"{title}: {len(frame):,}"
        few = [f for f in (self.new, self.gone, self.changed) if 0 < len(f) <= SHOWN]
        for frame in (*few, self.unresolved.head(SHOWN)):
            yield from _rows(frame)
        if self.repairs:
            yield f"Repaired in reading: {len(self.repairs):,} cells"
        yield f"Written to {self.applied}." if self.applied else "Nothing written. Add --apply to keep the new record."

    def _details(self) -> Iterator[str]:
        yield from self._head()
        for title, frame in (
            ("New", self.new),
            ("Gone", self.gone),
            ("Changed", self.changed),
            ("To look at", self.unresolved),
        ):
            if len(frame):
                yield f"{title} ({len(frame)}):"
                yield from _rows(frame)
        if self.repairs:
            yield f"Repaired in reading ({len(self.repairs)}):"
            yield from (f"  {r}" for r in self.repairs)


SHOWN = 12
"""A summary names agreements one by one up to this many of a kind."""


def _rows(frame: pd.DataFrame) -> Iterator[str]:
    yield from (f"  {r.state} {r.agency} {r.model}: {r.what}" for r in spells.lines(frame))


def _counts(column: pd.Series) -> str:
    counts = column.value_counts()
    ordered = sorted(counts.items(), key=lambda c: (-c[1], str(c[0])))
    return ", ".join(f"{name} {n:,}" for name, n in ordered)


def update_agreements(
    workbook: Path | str,
    as_of: str | dt.date | pd.Timestamp | None = None,
    *,
    apply: bool = False,
    folder: Path | None = None,
    explain: str = "",
) -> ListDifference:
    """Compare ICE's participating-agencies workbook with the record and return the difference.

    ``as_of`` is the day of the list; without it the file's name must say it. With ``apply`` the record one list
    further is kept in the user's data folder (:func:`g287stats.catalog.keep_record`; ``g287stats agreements undo``
    takes it back), or written into ``folder``, a folder of tables named instead of those in use. A list already in
    hand changes nothing. Raises :class:`SourceError` for a pending list, a list that is not of the day its name
    says, one that repeats an earlier list, one older than the latest in hand, and one whose counts jump: more than
    40 + 5 % a week new or 15 + 1 % a week gone; ``explain="why"`` lets the last two kinds through.
    """
    path = Path(workbook)
    kept = None if folder else catalog.current_record()
    base = Path(folder) if folder else catalog.record_folder(kept)
    difference = _difference(path, as_of, base, explain)
    if not apply or (difference.unchanged and difference.as_of == difference.previous):
        return difference
    if folder:
        catalog.write_tables(difference.tables, Path(folder))
        return replace(difference, applied=Path(folder))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    now = catalog.keep_record(difference.tables, day=difference.as_of, file=path.name, sha256=sha256, before=kept)
    return replace(difference, applied=now.folder)


def update_all(
    paths: Sequence[Path | str], as_of: str | None = None, *, apply: bool = False, explain: str = ""
) -> list[ListDifference]:
    """Take several lists in, the oldest first: workbooks, folders of workbooks, and https addresses of workbooks.

    Files of a folder that are not newer than the record are passed over. Without ``apply`` only the next list can be
    compared, because the ones after it build on it. An address is fetched because it was named; nothing else is.
    """
    addresses = [str(p) for p in paths if re.match(r"https?:/", str(p))]
    if addresses:
        with working(catalog.user_data_dir()) as folder:
            fetched = [_fetched(a, folder) for a in addresses]
            local = [p for p in paths if str(p) not in addresses]
            return update_all([*local, *fetched], as_of, apply=apply, explain=explain)
    named = [p for p in map(Path, paths) if not p.is_dir()]
    found = [f for p in map(Path, paths) if p.is_dir() for f in sorted(p.glob("*articipating*.xlsx"))]
    if as_of is not None and len(named) + len(found) != 1:
        raise SourceError(f"--as-of names the day of one list; {len(named) + len(found)} files are given")
    latest = _latest()
    fixes = Fixes.load()
    days = {p: labels.day(as_of, "as_of") if as_of else list_day(p.name, fixes.list_dates) for p in (*named, *found)}
    ordered = sorted((d, name_date(p.name)[1], p.name, p) for p, d in days.items() if p in named or d > latest)
    if not ordered:
        raise SourceError(f"no list newer than {latest:%Y-%m-%d} in {', '.join(map(str, paths))}")
    done = []
    for day, _, _, path in ordered if apply else ordered[:1]:
        done.append(update_agreements(path, day, apply=apply, explain=explain))
    return done


def _fetched(address: str, folder: Path) -> Path:
    """Fetch one workbook, of bounded size, into ``folder``."""
    name = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rsplit("/", 1)[-1]) or "list.xlsx"
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            data = answer.read(LIMITS.packed + 1)
    except (OSError, ValueError) as error:
        raise SourceError(f"{address} cannot be fetched ({error}). Save the file, and name it instead") from error
    if len(data) > LIMITS.packed:
        raise SourceError(f"{address}: more than {LIMITS.packed:,} bytes; a list has fewer. Not read")
    return catalog.write(folder / name, data)


def _latest() -> pd.Timestamp:
    lists = catalog.read_released("ice_lists")
    return lists.loc[lists["kind"].eq("participating"), "list_date"].max()


def _difference(path: Path, as_of: str | dt.date | pd.Timestamp | None, base: Path, explain: str) -> ListDifference:
    fixes = Fixes.load(base / "fixes" if (base / "fixes" / "agency_aliases.csv").is_file() else None)
    printed = read_list(path)
    said = list_day(path.name, fixes.list_dates) if as_of is None else None
    day = said if said is not None else _checked_day(path.name, labels.day(as_of, "as_of"), fixes)
    rows = spells.mark_doubled(resolve({path.name: printed}, fixes, dated=True))
    check_dates(rows, pd.DataFrame({"table": [path.name], "list_date": [day]}))
    step = _Step({name: catalog.read_released(name, base) for name in TABLES}, rows, path.name, day, fixes, base)
    step.check_age(explain)
    result = step.difference(printed)
    step.check_jump(result, explain)
    return result


def _checked_day(name: str, day: pd.Timestamp, fixes: Fixes) -> pd.Timestamp:
    corrected = fixes.list_dates.get(("participating", name))
    said = pd.Timestamp(corrected) if corrected else name_date(name)[0]
    if said is not None and said != day:
        raise SourceError(
            f"{name} is a list of {said:%Y-%m-%d}{' (corrected name)' if corrected else ''}, not of {day:%Y-%m-%d}. "
            f"Use --as-of {said:%Y-%m-%d}, or rename the file if its name is wrong"
        )
    return day


class _Step:
    """The record in hand, and one list further."""

    def __init__(
        self,
        tables: dict[str, pd.DataFrame],
        rows: pd.DataFrame,
        file: str,
        day: pd.Timestamp,
        fixes: Fixes,
        base: Path,
    ):
        self.released, self.rows, self.file, self.day, self.fixes, self.base = tables, rows, file, day, fixes, base
        lists = tables["ice_lists"]
        self.lists = lists[lists["kind"].eq("participating")]
        frame, presence = tables["agreements"], tables["list_presence"]
        self.before: Record = fold(printed_lists(frame, presence, lists, fixes))
        self.seq = self.before.seq + 1
        columns = zip(*(rows[c].astype(object) for c in ("agency_id", "model", "slot", *_LINE)))
        self.list = CapturedList.of(self.seq, day, (spells.Line(*cells) for cells in columns))
        self.after = advance(self.before, self.list)
        self.history = history_of(frame, presence)

    # --- checks -------------------------------------------------------------------------------------------

    def check_age(self, explain: str) -> None:
        """Refuse a list older than the latest in hand, equal to an earlier one, or nearer to it by five lines."""
        latest = self.lists["list_date"].max()
        if self.day < latest:
            raise SourceError(
                f"{self.file}: a list of {self.day:%Y-%m-%d} is older than the latest in hand ({latest:%Y-%m-%d}). "
                "Earlier lists enter through g287stats build --sources"
            )
        mine = {(x.agency_id, x.model, x.signed_date) for x in self.list.lines}
        held = self.seq - 1
        shared, size = np.zeros(self.seq + 2, int), np.zeros(self.seq + 2, int)
        for _, run, last in self.before.runs():
            size[run.first_seq : last + 1] += 1
            if (run.line.agency_id, run.line.model, run.line.signed_date) in mine:
                shared[run.first_seq : last + 1] += 1
        apart = len(mine) + size - 2 * shared
        nearest = int(np.flatnonzero(apart[1 : held + 1] == apart[1 : held + 1].min())[-1]) + 1
        same, nearer = apart[nearest] == 0 < apart[held], apart[nearest] + 5 <= apart[held]
        if (same or nearer) and not explain:
            other = self.lists.set_index("seq").loc[nearest]
            raise SourceError(
                f"{self.file} is older than its name says: it differs in {apart[nearest]} lines from the list of "
                f"{other['list_date']:%Y-%m-%d} ({other['file']}) and in {apart[held]} from the latest. "
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

    # --- what changed -------------------------------------------------------------------------------------

    def difference(self, printed: PrintedList) -> ListDifference:
        """Render the record after the list, and say what the list changed."""
        agencies = self._agencies()
        found, dates = agreements_table(self.after, self.history, agencies, self.fixes.signings)
        tables = self._tables(found, dates, agencies)
        by_spell = found[found["spell"].ge(0)].set_index("spell").to_dict("index")
        told_of: dict[str, list[dict[Any, Any]]] = {"new": [], "gone": [], "changed": []}
        for number, spell in enumerate(self.after.spells):
            told = self._told(number, spell)
            if told is not None:
                kind, what = told
                told_of[kind].append(by_spell[number] | {"what": what})
        told_of["unresolved"] = self._unresolved(told_of["new"], told_of["gone"], agencies)
        repairs = (*printed.repairs, *sorted(set(self.rows.loc[self.rows["repair"].ne(""), "repair"])))
        frames = {name: pd.DataFrame(rows, columns=_FRAME) for name, rows in told_of.items()}
        return ListDifference(
            self.file,
            self.day,
            self.lists["list_date"].max(),
            len(self.before.lines),
            len(self.list.lines),
            repairs=repairs,
            tables=tables,
            **frames,
        )

    def _told(self, number: int, spell: Any) -> tuple[str, str] | None:
        line, here = spell.runs[-1].line, self.seq
        if spell.first_seq == here:
            if spell.key[2]:
                return "new", "printed a second time"
            return "new", f"signed {line.signed_date:%Y-%m-%d}"
        if spell.last_seq == here - 1:
            event = next(e for e in reversed(self.after.exits) if e.spell == number and e.after is None)
            found = verdict(event, self.after)
            return "gone", f"last listed {self.after.day[here - 1]:%Y-%m-%d}; {found.exit}: {found.reason}"
        if spell.runs[-1].first_seq != here:
            return None
        before = spell.runs[-2]
        what = ["listed again"] if before.last_seq != here - 1 else []
        if before.line.agency_printed != line.agency_printed:
            what.append(f"printed as {line.agency_printed!r} (was {before.line.agency_printed!r})")
        if before.line.county_printed != line.county_printed:
            what.append(f"county printed as {line.county_printed!r}")
        if before.line.signed_date != line.signed_date:
            dates = f"{line.signed_date:%Y-%m-%d} (was {before.line.signed_date:%Y-%m-%d})"
            what.append(f"signing date printed as {dates}")
        return ("changed", "; ".join(what)) if what else None

    def _unresolved(
        self, new: list[dict[Any, Any]], gone: list[dict[Any, Any]], agencies: pd.DataFrame
    ) -> list[dict[Any, Any]]:
        old = self.released["agencies"]
        names = KnownNames(old["state"], old["agency"], old["agency_id"])
        known = set(old["agency_id"])
        basis, number = (agencies.set_index("agency_id")[c] for c in ("county_basis", "ori"))
        out = []
        for r in new:
            for g in gone:
                if (g["state"], g["model"], g["signed_date"]) == (r["state"], r["model"], r["signed_date"]):
                    out.append(r | {"what": f"same model and signing date as {g['agency']}, gone: renamed?"})
            if r["agency_id"] in known:
                continue
            near = [n for n in names.near(r["state"], r["agency"]) if not _numbered_apart(n, r["agency_id"])]
            mine = number[r["agency_id"]]  # two agencies of the FBI's list are no misspelling of one another
            near = [n for n in near if not mine or number[n] in ("", mine)]
            if near:
                out.append(r | {"what": f"agency never seen; near {', '.join(near)}"})
            if basis[r["agency_id"]] == "none":
                out.append(r | {"what": "no county: add a row to data/fixes/agency_counties.csv"})
        return out

    # --- agencies and tables ------------------------------------------------------------------------------

    def _agencies(self) -> pd.DataFrame:
        """Agencies after the list: those whose lines changed are placed anew, by the rules of a build."""
        old = {r["agency_id"]: r for r in _plain(self.released["agencies"]).to_dict("records")}
        touched = {run.line.agency_id for _, run, _ in self.after.runs() if run.first_seq == self.seq}
        if not touched:
            return pd.DataFrame(list(old.values()))
        counties = Counties(_place_table("county_list", self.base))
        fbi_list = _place_table("fbi_agencies", self.base)
        here = {str(x.agency_id)[:2] for x in self.list.lines if x.agency_id in touched}
        fbi = FbiAgencies(fbi_list[fbi_list["state"].isin(here)], counties)
        seen = self._forms(touched)
        home = self.history.groupby("agency_id")["county_fips"].first().fillna("")
        groups: dict[str, list[tuple[str, str, str]]] = {}
        columns = ["agency_id", "state", "agency", "type_printed"]
        for identifier, *line in zip(*(self.rows[c].astype(object) for c in columns)):
            if identifier in touched:
                groups.setdefault(identifier, []).append(tuple(line))
        for identifier, group in sorted(groups.items()):
            before = old.get(identifier)
            state, agency, _ = group[-1]
            types = [t for *_, t in group if t not in NO_TYPE]
            kind = classify(name_key(agency), types[-1] if types else "")
            if before is not None and not types:
                kind = before["agency_type"], before["jurisdiction"]
            cells = [c for c, _ in seen.get(identifier, ())]
            place = agency_row(
                identifier, state, agency, kind, cells, str(home.get(identifier, "")), self.fixes, counties, fbi
            )
            old[identifier] = place | {
                "ever_listed": True,
                "in_history": bool(before["in_history"]) if before is not None else False,
                "spellings": len({a for _, a in seen.get(identifier, ())}),
            }
        return pd.DataFrame(list(old.values()))

    def _forms(self, agencies: set[str]) -> dict[str, list[tuple[str, str]]]:
        """County cell and name in every printed form of some agencies, pending lists first, the latest last."""
        who = {
            i: a
            for t, k in (("agreements", "agreement_id"), ("applications", "application_id"))
            for i, a in zip(self.released[t][k], self.released[t]["agency_id"])
        }
        runs = self.released["list_presence"]
        pending = _plain(runs[runs["kind"].eq("pending")]).sort_values("last_seq", kind="stable")
        forms: dict[str, list[tuple[str, str]]] = {}
        for record, county, name in zip(pending["record_id"], pending["county_printed"], pending["agency_printed"]):
            if who[record] in agencies:
                forms.setdefault(who[record], []).append((county, name))
        for _, run, _ in sorted(self.after.runs(), key=lambda r: (r[2], r[1].first_seq)):
            if run.line.agency_id in agencies:
                forms.setdefault(run.line.agency_id, []).append((run.line.county_printed, run.line.agency_printed))
        return forms

    def _tables(self, found: pd.DataFrame, dates: pd.DataFrame, agencies: pd.DataFrame) -> dict[str, pd.DataFrame]:
        held, size = self.released, len(self.rows)
        row = {
            "kind": "participating",
            "seq": self.seq,
            "list_date": self.day,
            "time": name_date(self.file)[1],
            "file": self.file,
            "table": self.file,
            "printed_rows": size,
            "table_rows": size,
        }
        lists = pd.concat([self.lists, pd.DataFrame([row])], ignore_index=True)
        runs = held["list_presence"]
        presence = presence_table(self.after, found)
        doubled = self.rows[self.rows["slot"].ne("")].assign(kind="participating")
        count = list_counts(lists.tail(1), doubled, presence, pd.Series({self.file: size}))
        waiting = _plain(held["applications"])
        out = {
            "agreements": found,
            "agencies": agencies,
            "applications": with_outcomes(waiting, found, agencies),
            "ice_lists": pd.concat([held["ice_lists"], pd.DataFrame([row])], ignore_index=True),
            "list_presence": pd.concat([presence, _plain(runs[runs["kind"].eq("pending")])], ignore_index=True),
            "qa_exits": exits_table(self.after, found, lists),
            "qa_list_counts": pd.concat([_plain(held["qa_list_counts"]), count], ignore_index=True),
            "qa_signing_dates": dates,
            "qa_interruptions": interruptions_table(self.after),
            "qa_doubled_rows": pd.concat([_plain(held["qa_doubled_rows"]), doubled], ignore_index=True),
        }
        return {name: declared(name, frame) for name, frame in out.items()}


_LINE = spells.Line._fields[3:]


def _place_table(name: str, base: Path) -> pd.DataFrame:
    """Read a table of places from the folder being updated, where it holds one, else from the release."""
    held = (base / catalog.schema(name)["path"]).is_file()
    return catalog.read_released(name, base if held else catalog.released_dir())


def _numbered_apart(a: str, b: str) -> bool:
    """Do two names differ in their numbers (precincts, districts, wards)? Then they are different agencies."""
    return bool(re.findall(r"\d+", a) != re.findall(r"\d+", b))


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a released table with missing text as empty text, as the build has it."""
    text = frame.select_dtypes("string").columns
    return frame.assign(**{c: frame[c].fillna("").astype(object) for c in text})
