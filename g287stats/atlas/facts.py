"""Facts apart from pages: ``county_facts``, ``state_facts``, ``nation_facts``.

Each returns a frozen record with everything the page states. What a page says about agreements is what
``g.load_agreements()`` says, what it says about crime is what ``g.county_panel`` says; tests hold them together.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from g287stats.agreements.table import Agreements
from g287stats.atlas.records import (
    Application,
    CountyFacts,
    CrimeYear,
    Mark,
    NationFacts,
    Place,
    Removals,
    Similar,
    Spell,
    StateFacts,
    StateRow,
)
from g287stats.atlas.sources import MIN_COVERAGE, OFFENCES, Sources, load_sources
from g287stats.errors import SourceError
from g287stats.geography import STATE_NAMES, UNIT_OF, name_key
from g287stats.palette import MODEL_WORDS, class_of
from g287stats.report.words import count, day, join

TERRITORIES = ("AS", "GU", "MP", "PR", "VI")
SIMILAR = 10
LEAST_SIMILAR = 5
"""Similar counties that must report before their median and middle half are shown."""

SIMILAR_RULE = (
    "The ten counties nearest in residents, Hispanic and foreign-born shares, poverty, household income, schooling "
    "(2012–13) and rurality, wherever they are: straight-line distance in standard deviations, income and residents in "
    "logarithms. Chosen without looking at crime; a description, not an estimate of an effect."
)
POLICY_WORDS = {
    "ban_287g": "state law that bars agreements",
    "limit": "state limits on cooperation",
    "mandate_287g": "state law that asks for agreements",
    "detainer_mandate": "state law on detainers",
    "anti_sanctuary": "state law on cooperation with ICE",
    "omnibus": "state immigration law",
    "enforcement": "state immigration law",
    "everify_all": "state law on E-Verify",
    "everify_private": "state law on E-Verify",
    "everify_public": "state law on E-Verify",
    "grants_287g": "state grants for agreements",
    "federal": "federal program",
}


def county_facts(
    county: str, *, agreements: Agreements | None = None, min_coverage: float = MIN_COVERAGE
) -> CountyFacts:
    """Return everything the page of a county states, as one frozen record.

    ``county`` is a name with its state (``"Gaston, NC"``, ``"Gaston County, North Carolina"``) or a FIPS code
    (``"37071"``); an unclear name raises :class:`SourceError` listing the candidates. ``agreements`` is another record
    than the released one. Rates of county-years with coverage below ``min_coverage`` are not shown, with the reason.

    >>> import g287stats.atlas.facts as f
    >>> gaston = f.county_facts("Gaston, NC")
    >>> gaston.name, [s.model for s in gaston.listed], gaston.listed[0].signed.isoformat()
    ('Gaston County', ['JEM'], '2007-02-22')
    """
    sources = _sources(agreements, min_coverage)
    return county_record(sources, find_county(county, sources))


def state_facts(state: str, *, agreements: Agreements | None = None) -> StateFacts:
    """Return everything the page of a state states; ``state`` is a USPS code or a name (``"NC"``, ``"Texas"``)."""
    return state_record(_sources(agreements, MIN_COVERAGE), find_state(state))


def nation_facts(*, agreements: Agreements | None = None) -> NationFacts:
    """Return everything the national page states: counts, months since 2002, states, counties by class."""
    return nation_record(_sources(agreements, MIN_COVERAGE))


def _sources(agreements: Agreements | None, min_coverage: float) -> Sources:
    return load_sources(min_coverage) if agreements is None else Sources(agreements, min_coverage)


# ---------------------------------------------------------------- names


def find_state(name: str) -> str:
    """Return the USPS code of a state or territory given by code or name."""
    text = name.strip()
    by_name = {v.lower(): k for k, v in STATE_NAMES.items()}
    found = text.upper() if text.upper() in STATE_NAMES else by_name.get(text.lower())
    if found is None:
        near = difflib.get_close_matches(text.lower(), by_name, n=3)
        hint = f" Did you mean {join([STATE_NAMES[by_name[n]] for n in near], 'or')}?" if near else ""
        raise SourceError(f"no state is called {name!r}; give a code such as NC or a name.{hint}")
    return found


def find_county(name: str, sources: Sources | None = None) -> str:
    """Return the code of a county given by name and state, or by code; list the candidates of an unclear name."""
    sources = sources or load_sources()
    text = name.strip()
    if re.fullmatch(r"\d{5}", text):
        code = UNIT_OF.get(text, text)
        if code not in sources.counties.index:
            raise SourceError(f"{text} is no county of 2010–2019; see g.load_counties(all_codes=True)")
        return code
    place, _, state = text.rpartition(",") if "," in text else (text, "", "")
    table = sources.counties
    if state:
        table = table[table["state"] == find_state(state)]
    wanted = name_key(place or text)
    short = table["name"].map(_short)
    full = table["name"].map(name_key)
    hits = table[(full == wanted) | ((short == wanted) & (full != wanted))]
    exact = table[full == wanted]
    if len(exact) == 1:
        hits = exact
    if len(hits) == 1:
        return str(hits["county_fips"].iloc[0])
    shown = hits if len(hits) else table[full.isin(difflib.get_close_matches(wanted, list(full), n=6, cutoff=0.55))]
    listed = [f"{n}, {s} ({c})" for c, n, s in shown[["county_fips", "name", "state"]].itertuples(index=False)]
    more = f" and {len(listed) - 12} more" if len(listed) > 12 else ""
    what = "is the name of several counties" if len(hits) else "is the name of no county"
    tell = f": {'; '.join(listed[:12])}{more}" if listed else ""
    raise SourceError(f'{name!r} {what}{tell}. Give name and state, as "Gaston, NC", or a code')


def _short(name: str) -> str:
    word = r"\s+(County|Parish|Borough|City and Borough|Municipality|Census Area|city)$"
    return name_key(re.sub(word, "", name))


# ---------------------------------------------------------------- records


def _day(value: Any) -> date | None:
    return None if value is None or pd.isna(value) else pd.Timestamp(value).date()


def _text(value: Any) -> str:
    return "" if value is None or pd.isna(value) else str(value)


def _whole(value: Any) -> int | None:
    return None if pd.isna(value) else int(value)


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def spells_of(frame: pd.DataFrame, sources: Sources) -> tuple[Spell, ...]:
    """Turn rows of the record into spells, by agency and first signing."""
    out = []
    for r in frame.to_dict("records"):
        again = _text(r["resigned_dates"])
        out.append(
            Spell(
                r["agreement_id"],
                r["agency_id"],
                r["agency"],
                r["agency_type"],
                r["jurisdiction"],
                r["state"],
                _text(r["county_fips"]),
                r["model"],
                pd.Timestamp(r["signed_date"]).date(),
                _day(r["signed_not_before"]),
                tuple(date.fromisoformat(d) for d in again.split(";") if d),
                _day(r["first_listed"]),
                _day(r["last_listed"]),
                _day(r["gone_by"]),
                _day(r["ended_date"]),
                r["end_precision"],
                _text(r["end_basis"]),
                _text(r["exit"]),
                _text(r["duplicate_of"]),
                r["confidence"],
                r["sources"],
                r["agreement_id"] in sources.listed,
                sources.withheld.get((r["agency_id"], r["model"]), ""),
                sources.later.get(r["agreement_id"], ""),
            )
        )
    order = {"county": 0, "local": 1, "state": 2}
    return tuple(sorted(out, key=lambda s: (order[s.level], s.agency, s.signed, s.model, s.agreement_id)))


def applications_of(frame: pd.DataFrame) -> tuple[Application, ...]:
    """Turn rows of the pending lists into records, by agency and day."""
    out = [
        Application(
            r["agency"],
            r["agency_type"],
            r["jurisdiction"],
            _text(r["county_fips"]),
            _text(r["model"]),
            pd.Timestamp(r["first_pending"]).date(),
            pd.Timestamp(r["last_pending"]).date(),
            _day(r["gone_by"]),
            r["outcome"],
            _text(r["agreement_id"]),
        )
        for r in frame.to_dict("records")
    ]
    return tuple(sorted(out, key=lambda a: (a.agency, a.first_pending, a.model)))


@lru_cache(maxsize=4)
def spells_by_county(sources: Sources) -> dict[str, tuple[Spell, ...]]:
    """Spells by county; an agency in several counties is in each."""
    out: dict[str, list[Spell]] = {}
    for spell in all_spells(sources):
        for fips in filter(None, spell.county_fips.split(";")):
            out.setdefault(fips, []).append(spell)
    return {k: tuple(v) for k, v in out.items()}


@lru_cache(maxsize=4)
def all_spells(sources: Sources) -> tuple[Spell, ...]:
    """Every spell of the record."""
    return spells_of(sources.agreements.frame, sources)


@lru_cache(maxsize=4)
def places(sources: Sources) -> dict[str, Place]:
    """Say where every county stands at the last list."""
    spells = spells_by_county(sources)
    rows = sources.counties[["county_fips", "name", "state"]].itertuples(index=False)
    return {fips: _place(fips, name, state, spells.get(fips, ())) for fips, name, state in rows}


def _place(fips: str, name: str, state: str, spells: tuple[Spell, ...]) -> Place:
    live = [s for s in spells if s.listed]
    kind = class_of({s.model for s in live if s.level == "county"})
    local = {s.model for s in live if s.level != "county"}
    return Place(
        fips,
        name,
        state,
        kind,
        kind == 0 and bool(local),
        class_of(local),
        tuple(sorted({s.agency for s in live})),
        len(live),
        min((s.signed for s in spells), default=None),
        sum(s.really_ended for s in spells),
        len(local),
    )


def secure_communities_mark(sources: Sources, fips: str) -> Mark:
    """The month in which Secure Communities was switched on in a county."""
    row = sources.secure_communities.loc[fips]
    when = "month not in the source" if pd.isna(row["month"]) else f"from {row['month'].strftime('%b %Y')}"
    return Mark(when, "Secure Communities switched on here", "federal program", row["status"], "")


@lru_cache(maxsize=128)
def marks_of(sources: Sources, state: str) -> tuple[Mark, ...]:
    """Dated policies of a state and of the federal government."""
    marks = []
    table = sources.events[sources.events["state"].isin((state, "US"))]
    for r in table.sort_values(["signed", "name"], na_position="last").to_dict("records"):
        dates = [f"signed {day(r['signed'])}"] if pd.notna(r["signed"]) else ["day of signing not in hand"]
        if r["state"] == "US":
            dates = [day(r["effective"])]
        elif pd.notna(r["effective"]) and r["effective"] != r["signed"]:
            dates.append(f"in effect {day(r['effective'])}")
        if pd.notna(r["ended"]):
            dates.append(f"ended {day(r['ended'])}")
        kind = POLICY_WORDS.get(r["kind"], r["kind"].replace("_", " "))
        marks.append(Mark(", ".join(dates), r["name"], kind, r["status"], _text(r["note"])))
    return tuple(marks)


def county_record(sources: Sources, fips: str) -> CountyFacts:
    """Assemble the facts of a county from the sources."""
    row = sources.counties.loc[fips]
    spells = spells_by_county(sources).get(fips, ())
    known = places(sources)
    applied = applications_of(sources.applications_by_county.get(fips, sources.agreements.applications.iloc[:0]))
    similar = similar_of(sources, fips)
    people = sources.residents.loc[fips]
    return CountyFacts(
        fips,
        row["name"],
        row["state"],
        STATE_NAMES[row["state"]],
        sources.list_date.date(),
        sources.first_list.date(),
        sources.pending_date.date(),
        sources.first_pending.date(),
        sources.data_version,
        int(people["population"]),
        int(people["year"]),
        known[fips],
        spells,
        statewide(sources, row["state"]),
        applied,
        tuple(known[n] for n in sources.neighbours.get(fips, ()) if n in known),
        crime_of(sources, fips, [s.place.county_fips for s in similar]),
        sources.min_coverage,
        removals_of(sources, fips),
        traits_of(sources, fips),
        similar,
        SIMILAR_RULE,
        (secure_communities_mark(sources, fips), *marks_of(sources, row["state"])),
        tuple(sorted({part for s in spells for part in s.sources.split("; ")})),
        not_known(sources, spells, row["state"]),
        county_sentence(row["name"], spells, sources),
    )


def statewide(sources: Sources, state: str) -> tuple[Spell, ...]:
    """Agreements of a state's own agencies."""
    return tuple(s for s in all_spells(sources) if s.state == state and s.level == "state")


def county_sentence(name: str, spells: tuple[Spell, ...], sources: Sources) -> str:
    """One sentence on the last list: agencies by name up to three, by model beyond."""
    listed = [s for s in spells if s.listed and not s.duplicate_of]
    opening = f"On ICE’s list of {day(sources.list_date)}, "
    agencies = list(dict.fromkeys(s.agency for s in listed))
    if not listed:
        gone = [s for s in spells if s.really_ended]
        if not gone:
            return opening + f"no agency in {name} has an agreement, and the record holds none that ended."
        last = max(gone, key=lambda s: (s.ended or s.gone_by or s.signed, s.agreement_id))
        when = f"on {day(last.ended)}" if last.ended else f"by {day(last.gone_by)}"
        number = count(len(gone), "agreement", spell=True).capitalize()
        return opening + f"no agency in {name} has an agreement. {number} ended, {'the last ' * (len(gone) > 1)}{when}."
    if len(agencies) <= 3:
        said = [f"{a} ({join([MODEL_WORDS[m] for m in _models(listed, a)])})" for a in agencies]
        have = "has an agreement" if len(listed) == 1 else "have agreements" if len(agencies) > 1 else "has agreements"
        return opening + f"{count(len(agencies), 'agency', 'agencies', spell=True)} in {name} {have}: {join(said)}."
    models = [f"{sum(s.model == m for s in listed)} {MODEL_WORDS[m]}" for m in ("TFM", "JEM", "WSO")]
    models = [m for m in models if not m.startswith("0 ")]
    county = list(dict.fromkeys(s.agency for s in listed if s.level == "county"))
    own = [f"{a} ({join([MODEL_WORDS[m] for m in _models(listed, a)])})" for a in county]
    tail = f" County agencies: {join(own)}." if own else " None of them is a county agency."
    return opening + (f"{len(agencies)} agencies in {name} have {len(listed)} agreements: {join(models)}.{tail}")


def _models(listed: list[Spell], agency: str) -> list[str]:
    return sorted({s.model for s in listed if s.agency == agency})


def traits_of(sources: Sources, fips: str) -> dict[str, float]:
    """Residents 2012 and the shares Hispanic, foreign-born and poor of a county, in percent; missing is NaN."""
    columns = {
        "residents": "population",
        "hispanic": "hispanic_pct_2013",
        "foreign_born": "foreign_born_pct_2012",
        "poverty": "poverty_pct_2012",
    }
    have = fips in sources.profile.index
    return {k: float(sources.profile.at[fips, c]) if have else float("nan") for k, c in columns.items()}


def similar_of(sources: Sources, fips: str) -> tuple[Similar, ...]:
    """The ten counties most alike, nearest first."""
    out = []
    for other, away in sources.similar(fips, SIMILAR):
        p = sources.profile.loc[other]
        out.append(
            Similar(
                places(sources)[other],
                away,
                int(p["population"]),
                float(p["hispanic_pct_2013"]),
                float(p["foreign_born_pct_2012"]),
                float(p["poverty_pct_2012"]),
            )
        )
    return tuple(out)


def crime_of(sources: Sources, fips: str, similar: list[str]) -> tuple[CrimeYear, ...]:
    """Recorded crime by offence and year, with the middle of the similar counties where enough of them report."""
    crime = sources.crime
    if fips not in crime.counties:
        return ()
    at, others = crime.counties.index(fips), [crime.counties.index(o) for o in similar if o in crime.counties]
    out = []
    for offence in OFFENCES:
        for j, year in enumerate(crime.years):
            rates = crime.rates[offence][others, j] if others else np.array([])
            rates = rates[~np.isnan(rates)]
            low, mid, high = np.quantile(rates, [0.25, 0.5, 0.75]) if len(rates) >= LEAST_SIMILAR else (np.nan,) * 3
            out.append(
                CrimeYear(
                    offence,
                    year,
                    _whole(crime.counts[offence][at, j]),
                    _number(crime.rates[offence][at, j]),
                    _number(crime.coverage[at, j]),
                    crime.reasons[offence][at, j],
                    crime.marks[offence][at, j],
                    _number(low),
                    _number(mid),
                    _number(high),
                    len(rates),
                )
            )
    return tuple(out)


def removals_of(sources: Sources, fips: str) -> tuple[Removals, ...]:
    """Identifications and removals under the agreements of the county's agencies."""
    frame = sources.removals_by_county.get(fips)
    if frame is None:
        return ()
    rows = frame.sort_values(["agency", "fiscal_year"]).to_dict("records")
    return tuple(
        Removals(r["agency"], int(r["fiscal_year"]), _whole(r["identified"]), _whole(r["removed"])) for r in rows
    )


def not_known(sources: Sources, spells: Iterable[Spell], state: str) -> tuple[str, ...]:
    """What the record does not say, for the foot of a page."""
    spells = tuple(spells)
    out = [
        "The day an agreement began to operate: no source has it.",
        f"No list of agencies is in hand before {day(sources.first_list)}, and none after {day(sources.list_date)}; "
        f"lists of applications run from {day(sources.first_pending)} to {day(sources.pending_date)}.",
    ]
    if after := sources.after(state):
        out.append(f"{STATE_NAMES[state]}: {after}")
    if any(s.withheld for s in spells):
        out.append("A first signing is not released: its only source forbids it.")
    if any(s.signed_not_before for s in spells):
        out.append("A signing is known only to lie between two lists.")
    if any(s.confidence == "medium" for s in spells):
        out.append("Bars with a dotted border rest on one source of medium confidence.")
    if any(s.duplicate_of for s in spells):
        out.append("ICE printed an agreement on two lines; the second is in the download, not in the counts.")
    if state == "CT":
        out.append("Connecticut replaced its counties by planning regions in 2022; this page keeps the eight counties.")
    return tuple(out)


# ---------------------------------------------------------------- states and nation


def state_record(sources: Sources, state: str) -> StateFacts:
    """Assemble the facts of a state from the sources."""
    record = sources.agreements
    spells = tuple(s for s in all_spells(sources) if s.state == state)
    here = tuple(p for p in places(sources).values() if p.state == state)
    applied = applications_of(record.applications[record.applications["state"].eq(state)])
    hidden = tuple(f"{s.agency}, {s.model_words}: {s.withheld}" for s in spells if s.withheld)
    return StateFacts(
        state,
        STATE_NAMES[state],
        sources.list_date.date(),
        sources.first_list.date(),
        sources.pending_date.date(),
        sources.data_version,
        spells,
        applied,
        here,
        curve_of(sources, state),
        marks_of(sources, state),
        hidden,
        sources.after(state),
        state_sentence(state, spells, here, sources),
    )


def state_sentence(state: str, spells: tuple[Spell, ...], here: tuple[Place, ...], sources: Sources) -> str:
    """Sentence on the last list: agreements, agencies, models, counties."""
    listed = [s for s in spells if s.listed]
    opening = f"ICE’s list of {day(sources.list_date)}"
    if not listed:
        gone = sum(s.really_ended for s in spells)
        tail = f"; {count(gone, 'agreement')} ended" if gone else "; the record holds none that ended"
        return f"No agency of {STATE_NAMES[state]} is on {opening}{tail}."
    models = [(sum(s.model == m for s in listed), MODEL_WORDS[m]) for m in ("TFM", "JEM", "WSO")]
    said = join([f"{n:,} {w}" for n, w in models if n])
    agencies = len({s.agency_id for s in listed})
    filled, towns = sum(p.kind > 0 for p in here), sum(p.local_only for p in here)
    text = f"{count(len(listed), 'agreement')} of {count(agencies, 'agency', 'agencies')} on {opening}: {said}. "
    if not here:
        return text.strip()
    text += f"A county agency has signed in {filled:,} of {count(len(here), 'county', 'counties')}"
    return text + (f"; in {towns} more, towns only." if towns else ".")


def month_ends(sources: Sources) -> tuple[pd.PeriodIndex, pd.DatetimeIndex]:
    """Months from January 2002 to the last list, and the day each is counted at."""
    months = pd.period_range("2002-01", sources.list_date, freq="M")
    return months, pd.DatetimeIndex([min(m.end_time.normalize(), sources.list_date) for m in months])


def curve_of(sources: Sources, state: str | None = None) -> pd.DataFrame:
    """Agreements by model at month ends since January 2002: signed and not ended, and as listed since 2021.

    Columns ``JEM``, ``TFM``, ``WSO``, ``total`` and ``listed`` (missing before the first list in hand).
    """
    record = replace(sources.agreements, counts=sources.agreements.counts.iloc[:0])  # lists alone name agencies
    if state is not None:
        keep = record.frame["state"].eq(state)
        record = replace(record, frame=record.frame[keep])
    months, _ = month_ends(sources)
    if record.frame.empty:
        empty = pd.DataFrame(0, index=months, columns=["JEM", "TFM", "WSO", "total"]).astype("int64")
        return empty.assign(listed=pd.array([pd.NA] * len(months), dtype="Int64"))
    signed = (
        record.adoption_curve("M")
        .reindex(months, fill_value=0)
        .reindex(columns=["JEM", "TFM", "WSO", "total"], fill_value=0)
    )
    signed.columns.name = None
    listed = record.adoption_curve("M", "listed")["total"].reindex(months)
    return signed.astype("int64").assign(listed=listed.astype("Int64"))


def nation_record(sources: Sources) -> NationFacts:
    """Assemble the facts of the national page from the sources."""
    record = sources.agreements
    spells = all_spells(sources)
    applied = applications_of(record.applications)
    listed = [s for s in spells if s.listed]
    here = sorted({s.state for s in listed})
    states = tuple(s for s in here if s not in TERRITORIES)
    territories = tuple(s for s in here if s in TERRITORIES)
    agencies = len({s.agency_id for s in listed})
    parts = [count(len(listed), "agreement"), count(agencies, "agency", "agencies"), count(len(states), "state")]
    headline = ", ".join(parts[:2]) + f", {parts[2]}"
    if territories:
        headline += f" and {count(len(territories), 'territory', 'territories')}"
    rows = tuple(state_row(s, spells, applied, record) for s in sorted(STATE_NAMES, key=STATE_NAMES.get))  # type: ignore[arg-type]
    quiet = tuple(r.state for r in rows if not r.agreements and r.state not in TERRITORIES)
    hidden = (
        [
            f"{count(sum(k[0].startswith('withheld') for k in sources.withheld), 'agreement')} not released: source "
            "forbids it"
        ]
        if any(k[0].startswith("withheld") for k in sources.withheld)
        else []
    )
    hidden += [f"{s.agency}, {s.state}, {s.model_words}: {s.withheld}" for s in spells if s.withheld]
    return NationFacts(
        sources.list_date.date(),
        sources.first_list.date(),
        sources.pending_date.date(),
        sources.data_version,
        len(listed),
        agencies,
        states,
        territories,
        {m: sum(s.model == m for s in listed) for m in MODEL_WORDS},
        tuple(places(sources).values()),
        rows,
        quiet,
        curve_of(sources),
        spells,
        applied,
        tuple(hidden),
        sources.after(),
        headline,
        f"Agreements that let state and local officers do some of the work of federal immigration officers: ICE’s list "
        f"of {day(sources.list_date)}, and every month back to 2002.",
    )


def state_row(state: str, spells: tuple[Spell, ...], applied: tuple[Application, ...], record: Agreements) -> StateRow:
    """One line of the table of states."""
    mine = [s for s in spells if s.state == state]
    listed = [s for s in mine if s.listed]
    models = {m: sum(s.model == m for s in listed) for m in MODEL_WORDS}
    pending = record.applications
    waiting = int((pending["state"].eq(state) & pending["outcome"].eq("pending")).sum())
    return StateRow(
        state,
        STATE_NAMES[state],
        len(listed),
        len({s.agency_id for s in listed}),
        models["JEM"],
        models["TFM"],
        models["WSO"],
        sum(s.level == "state" for s in listed),
        sum(s.really_ended for s in mine),
        min((s.signed for s in mine), default=None),
        waiting,
    )


def signed_counties(sources: Sources) -> tuple[str, ...]:
    """Codes of the counties that have, had or applied for an agreement."""
    known = set(sources.counties["county_fips"])
    return tuple(sorted(known & (set(spells_by_county(sources)) | set(sources.applications_by_county))))


def state_codes() -> tuple[str, ...]:
    """The fifty states in order of their names; the District and the territories are in words."""
    states = [s for s in STATE_NAMES if s not in TERRITORIES and s != "DC"]
    return tuple(sorted(states, key=lambda s: STATE_NAMES[s]))
