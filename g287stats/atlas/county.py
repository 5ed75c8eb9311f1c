"""The page of a county, from its facts."""

from __future__ import annotations

from datetime import date
from html import escape as e

import numpy as np

from g287stats.atlas.links import ROOT, Links, foot
from g287stats.atlas.records import CountyFacts, CrimeYear, Place, Spell
from g287stats.palette import CLASSES, MODEL_WORDS
from g287stats.report.maps import county_map, frame_around
from g287stats.report.page import XLSX, download, page, swatch, table
from g287stats.report.shapes import county_rings
from g287stats.report.timeline import axis, legend, rows
from g287stats.report.words import count, day
from g287stats.report.workbook import Sheet, csv_bytes, xlsx_bytes

OFFENCE_WORDS = {"violent_ex_rape": "Violent offences without rape", "property": "Property offences"}


def county_page(facts: CountyFacts, links: Links, around: dict[str, Place], *, downloads: bool = True) -> str:
    """Return the page of a county; ``around`` says where every county stands, for the map."""
    file = f"{facts.county_fips}-{facts.name.lower().replace(' ', '-')}-{facts.state.lower()}"
    lead = (
        f'<div class="lead"><div class="a-head"><h1>{e(facts.title)}</h1><p class="lede">{e(facts.sentence)}</p></div>'
        f'<div class="a-tile">{_tiles(facts)}</div>{_time(facts)}<div class="a-map">{_map(facts, around)}</div>'
        f'<div class="a-down">{_downloads(facts, file) if downloads else ""}</div></div>'
    )
    parts = (lead, _neighbours(facts, links), _crime(facts), _removals(facts), _similar(facts, links), _origin(facts))
    crumbs = [(ROOT, links.index), (facts.state_name, links.state(facts.state)), (facts.name, None)]
    again = f'g287stats county "{facts.county_fips}" --out page.html'
    return page(
        f"{facts.title}: 287(g) agreements",
        "".join(parts),
        description=facts.sentence,
        crumbs=crumbs,
        list_date=facts.list_date,
        foot=foot(facts.data_version, facts.list_date, facts.pending_date, f"county {facts.county_fips}", again),
    )


def _tiles(facts: CountyFacts) -> str:
    signed = [s.signed for s in facts.agreements]
    cells = [
        (
            f"{len(facts.listed):,}",
            f"{'agreement' if len(facts.listed) == 1 else 'agreements'} on the list of {day(facts.list_date)}",
        ),
        (str(min(signed).year) if signed else "–", "first signed"),
        (f"{len(facts.ended):,}", "agreement ended" if len(facts.ended) == 1 else "agreements ended"),
        (f"{facts.residents:,}", f"residents, {facts.residents_year}"),
    ]
    return '<dl class="tiles">' + "".join(f"<div><dt>{w}</dt><dd>{n}</dd></div>" for n, w in cells) + "</dl>"


def _map(facts: CountyFacts, around: dict[str, Place]) -> str:
    if facts.county_fips not in county_rings():
        return ""
    near = [facts.county_fips, *(p.county_fips for p in facts.neighbours if p.county_fips in county_rings())]
    frame = frame_around(near)
    kinds = {c: p.kind for c, p in around.items()}
    dots = {c: p.local_kind for c, p in around.items() if p.local_only}
    short = {p.county_fips: _short(p.name) for p in (facts.place, *facts.neighbours)}
    said = [f"{p.name}: {p.words}" for p in (facts.place, *facts.neighbours)]
    drawing = county_map(
        frame,
        kinds,
        dots=dots,
        names=short,
        focus=[facts.county_fips],
        label=f"Map of {facts.name} and its neighbours on the list of {day(facts.list_date)}. " + "; ".join(said) + ".",
    )
    seen = sorted({around[c].kind for c in near} | {0})
    dotted = any(around[c].local_only for c in near)
    keys = [f"<li>{swatch(k)}{CLASSES[k].words}</li>" for k in seen]
    keys += [f"<li>{swatch(3, dot=True)}dot: towns, campuses or constables only</li>"] if dotted else []
    return (
        f'{drawing}<ul class="key">{"".join(keys)}</ul><p class="note">Fill: what sheriffs and other county agencies '
        f"have on the list of {day(facts.list_date)}. Agencies of the state colour no county.</p>"
    )


def _short(name: str) -> str:
    for word in (" County", " Parish", " Borough", " Census Area", " Municipality"):
        name = name.removesuffix(word)
    return name


def _downloads(facts: CountyFacts, file: str) -> str:
    sheets = sheets_of(facts)
    book = xlsx_bytes(sheets)
    return (
        '<div class="btns">'
        + "".join(
            [
                download(f"Download all as XLSX ({len(book) / 1024:.0f} KB)", f"{file}.xlsx", book, XLSX),
                download("Agreements, CSV", f"{file}-agreements.csv", csv_bytes(sheets["agreements"])),
                download("Recorded crime, CSV", f"{file}-recorded-crime.csv", csv_bytes(sheets["recorded_crime"])),
            ]
        )
        + "</div>"
    )


AGREEMENT_COLUMNS = [
    "agency",
    "agency_type",
    "jurisdiction",
    "state",
    "county_fips",
    "model",
    "signed",
    "signed_not_before",
    "resigned",
    "first_listed",
    "last_listed",
    "gone_by",
    "ended",
    "end_precision",
    "end_basis",
    "exit",
    "duplicate_of",
    "listed",
    "withheld",
    "confidence",
    "sources",
    "agreement_id",
]
_CRIME = [
    "offence",
    "year",
    "count",
    "rate",
    "coverage",
    "reason",
    "similar_low",
    "similar_median",
    "similar_high",
    "similar_reporting",
]
_SIMILAR = [
    "county_fips",
    "name",
    "state",
    "distance",
    "residents",
    "hispanic",
    "foreign_born",
    "poverty",
    "on_the_last_list",
    "agencies",
    "first_signed",
    "ended",
]


def sheets_of(facts: CountyFacts) -> dict[str, Sheet]:
    """Return the tables behind a county's downloads: agreements, recorded_crime, similar_counties, notes."""
    crime = [
        (
            c.offence,
            c.year,
            c.count,
            *(_round(v, d) for v, d in ((c.rate, 2), (c.coverage, 4))),
            c.reason,
            *(_round(v, 2) for v in (c.similar_low, c.similar_median, c.similar_high)),
            c.similar_reporting,
        )
        for c in facts.crime
    ]
    similar = [
        (
            s.place.county_fips,
            s.place.name,
            s.place.state,
            round(s.distance, 3),
            s.residents,
            s.hispanic,
            s.foreign_born,
            s.poverty,
            s.place.words,
            "; ".join(s.place.agencies),
            s.place.first_signed,
            s.place.ended,
        )
        for s in facts.similar
    ]
    return {
        "agreements": Sheet.from_records(facts.agreements, AGREEMENT_COLUMNS),
        "recorded_crime": Sheet(_CRIME, crime),
        "similar_counties": Sheet(_SIMILAR, similar),
        "notes": Sheet(["what", "meaning"], _notes(facts)),
    }


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _notes(facts: CountyFacts) -> list[tuple[str, str]]:
    return [
        ("county", f"{facts.title}, FIPS {facts.county_fips}"),
        ("data version", f"g287stats {facts.data_version}"),
        ("ICE lists to", day(facts.list_date)),
        ("lists of applications to", day(facts.pending_date)),
        ("model", "; ".join(f"{m}: {w}" for m, w in MODEL_WORDS.items())),
        ("signed", "first signing; resigned: later signings of the same agreement; signed_not_before: of a window"),
        ("last_listed, gone_by", "last list that prints it, first list without it: an end between two lists"),
        ("listed", "on the last list in hand"),
        ("exit", "real, or a correction of a list (re-dated, corrected, artefact)"),
        ("count, rate", "offences known to police; per 100,000 residents. An empty rate is not shown: see reason"),
        ("coverage", f"share of residents whose police are in the count; rates are shown from {facts.min_coverage:g}"),
        ("similar_low, _median, _high", "quartiles of the similar counties with a rate that year, five or more"),
        ("similar counties", facts.similar_rule),
        ("terms", "facts from US government records, CC0; cite g287stats with the data version"),
        *(("not known", text) for text in facts.not_known),
    ]


def _time(facts: CountyFacts) -> str:
    spells = [s for s in facts.agreements if not s.duplicate_of]
    open_applications = [a for a in facts.applications if a.outcome != "signed"]
    body = ""
    if spells or open_applications:
        start = first_year([s.signed for s in spells] + [a.first_pending for a in open_applications])
        span = (date(start, 1, 1), facts.list_date)
        body = (
            f'<p class="note">Bars run from the first signing to the last list (open end) or to the end. Black ticks: '
            f"signed again. Hatched: the end lies between two lists. Dashed box: an application. The axis begins in "
            f"{start}.</p>{legend({s.model for s in spells})}{rows(spells, open_applications, span)}{axis(span)}"
        )
    pending = [a for a in open_applications if a.pending]
    seen = f"Lists of applications are in hand from {day(facts.first_pending)} to {day(facts.pending_date)}"
    told = (
        f"{count(len(pending), 'application')} pending on the last." if pending else "none is pending here on the last."
    )
    if not spells and not open_applications:
        body = "<p>No agreement and no application in the record.</p>"
    state = _statewide(facts)
    marks = "".join(
        f"<li>{e(m.words)}{f'. Note: {e(m.note)}' if m.note and m.note != 'verify' else ''}</li>" for m in facts.marks
    )
    return (
        f'<section class="a-time" id="who"><h2>Who signed, when, which model</h2>{body}<p '
        f'class="note">{seen}; {told}</p>'
        f"{state}<details><summary>Laws and federal programs of these "
        f"years</summary><ul>{marks}</ul></details></section>"
    )


def first_year(days: list[date]) -> int:
    """Year the axis begins: 2002, 2015 or 2022 by the first day shown."""
    first = min(days).year
    return 2022 if first >= 2023 else 2015 if first >= 2016 else 2002


def _statewide(facts: CountyFacts) -> str:
    mine = facts.state_agreements
    if not mine:
        return f'<p class="note">No agency of the state of {e(facts.state_name)} has signed.</p>'
    items = "".join(f"<li>{e(_spell_words(s))}</li>" for s in mine)
    live = sum(s.listed for s in mine)
    return (
        f"<details><summary>Agencies of the state: {count(live, 'agreement')} on the last list, "
        f"{len(mine) - live} not</summary><p class='note'>They work across {e(facts.state_name)} and colour no county."
        f"</p><ul>{items}</ul></details>"
    )


def _spell_words(s: Spell) -> str:
    return f"{s.agency}: {s.model_words}, {s.signed_words}, {s.end_words}"


def place_cell(place: Place) -> str:
    """Return the class of a county as a swatch and its words."""
    mark = swatch(place.local_kind, dot=True) if place.local_only else swatch(place.kind)
    return f"<span>{mark}{e(place.words)}</span>"


def place_link(place: Place, links: Links, state: str | None = None) -> str:
    """Return a county's name, linked where its page is written; its state is added unless it is ``state``."""
    to = links.county(place.county_fips)
    name = f'<a href="{to}">{e(place.name)}</a>' if to else e(place.name)
    return name if place.state == state else f"{name}, {place.state}"


def _neighbours(facts: CountyFacts, links: Links) -> str:
    lines = [
        (place_link(p, links, facts.state), place_cell(p), _agencies(p.agencies), day(p.first_signed))
        for p in facts.neighbours
    ]
    if not lines:
        return ""
    grid = table(
        f"Counties that touch {e(facts.name)} on land",
        ["county", "on the last list", "agencies", "first signed"],
        lines,
        numbers=(3,),
        hide_caption=True,
    )
    return f'<section id="neighbours"><h2>Neighbours</h2>{grid}</section>'


def _agencies(names: tuple[str, ...]) -> str:
    if len(names) <= 3:
        return e(", ".join(names))
    return e(", ".join(names[:2])) + f" and {len(names) - 2} more"


# ---------------------------------------------------------------- recorded crime


def _crime(facts: CountyFacts) -> str:
    if not facts.crime:
        return (
            '<section id="crime"><h2>Recorded crime</h2><p>The FBI’s tables of cities and county agencies print no '
            f"agency of {e(facts.name)}: nothing is known here, which is not zero.</p></section>"
        )
    years = [c.year for c in facts.crime]
    first, last = min(years), max(years)
    panels = "".join(
        f"<figure style='margin:0'><h3>{OFFENCE_WORDS[o]}</h3>"
        f"{_panel(facts, [c for c in facts.crime if c.offence == o])}"
        "</figure>"
        for o in OFFENCE_WORDS
    )
    masked = sorted({c.year for c in facts.crime if c.reason})
    shown = len(set(years)) - len({y for y in masked if all(c.reason for c in facts.crime if c.year == y)})
    return (
        f'<section id="crime"><h2>Recorded crime, {first}–{last}</h2><p class="note">Offences known to '
        f"police per 100,000 "
        "residents: cities, sheriffs and county police added up as the FBI printed them, nothing estimated. "
        "Rape is left "
        "out because its definition changed.</p>"
        f'<ul class="key"><li><svg width="30" height="12" aria-hidden="true"><path d="M0 6h30" stroke="#1d1d1f" '
        f'stroke-width="2"/><circle cx="15" cy="6" r="3.6"/></svg>{e(facts.name)}</li><li><svg width="30" height="12" '
        'aria-hidden="true"><path fill="#d8d6cd" d="M0 0h30v12H0z"/><path d="M0 6h30" stroke="#6d6d72" '
        'stroke-width="1.6" '
        'stroke-dasharray="5 4"/></svg>ten similar counties: median and middle half, where five or more report</li>'
        f'<li><span class="sw hat"></span>not shown, with the reason on it: under {100 * facts.min_coverage:.0f} % of '
        f"residents covered, doubtful, or not printed ({count(shown, 'year')} of {last - first + 1} shown "
        f"in part or whole)"
        f'</li><li>strip on top: a county agency’s agreement in force</li></ul><div class="two">{panels}</div>'
        f"{_crime_table(facts)}</section>"
    )


W, H, LEFT, TOP, FOOT = 440, 250, 52, 20, 24


def _panel(facts: CountyFacts, years: list[CrimeYear]) -> str:
    """Draw one offence: county line broken over masked years, band of similar counties, hatched years, strip."""
    by_year = {c.year: c for c in years}
    hatching = f"h-{years[0].offence}"
    first, last = min(by_year), max(by_year)
    top = _nice(max([v for c in years for v in (c.rate, c.similar_high) if v is not None], default=1.0))
    step = (W - LEFT - 6) / (last - first + 1)

    def x(year: float) -> float:
        return LEFT + (year - first + 0.5) * step

    def y(value: float | None) -> float:
        return TOP + (H - TOP - FOOT) * (1 - (value or 0.0) / top)

    grid = "".join(
        f'<path class="g" d="M{LEFT} {y(v):.0f}H{W - 6}"/><text class="ax" x="{LEFT - 6}" y="{y(v) + 5:.0f}" '
        f'text-anchor="end">{v:,.0f}</text>'
        for v in np.linspace(0, top, 5)
    )
    hatch = "".join(
        f'<rect fill="url(#{hatching})" x="{x(t) - step / 2:.1f}" y="{TOP}" width="{step:.1f}" '
        f'height="{H - TOP - FOOT}"/>'
        for t in range(first, last + 1)
        if t not in by_year or by_year[t].mark
    )
    marks = "".join(
        f'<text class="mk" transform="translate({x(t) + 5:.1f} {TOP + 6}) rotate(-90)" '
        f'text-anchor="end">{e(mark)}</text>'
        for t in range(first, last + 1)
        if (mark := by_year[t].mark if t in by_year else "n/a")
    )
    band = "".join(
        f'<path class="bn" d="M{_line([(x(c.year), y(c.similar_high)) for c in run])}L'
        f'{_line([(x(c.year), y(c.similar_low)) for c in reversed(run)])}z"/><path class="md" d="M'
        f'{_line([(x(c.year), y(c.similar_median)) for c in run])}"/>'
        for run in _runs(by_year, lambda c: c.similar_median is not None)
    )
    line = "".join(
        f'<path class="ln" d="M{_line([(x(c.year), y(c.rate)) for c in run])}"/>'
        + "".join(f'<circle class="pt" cx="{x(c.year):.1f}" cy="{y(c.rate):.1f}" r="4"/>' for c in run)
        for run in _runs(by_year, lambda c: c.rate is not None)
    )
    gap = 4 if last - first > 8 else 2
    ticks = "".join(
        f'<text class="ax" x="{x(t):.0f}" y="{H - 5}" text-anchor="middle">{t}</text>'
        for t in range(first, last + 1, gap)
    )
    words = OFFENCE_WORDS[years[0].offence].lower()
    told = [f"{c.year} {c.rate:,.0f}" for c in years if c.rate is not None]
    label = f"{words.capitalize()} per 100,000 in {facts.name}: {', '.join(told) if told else 'no year shown'}"
    return (
        f'<svg class="chart" viewBox="0 0 {W} {H}" role="img" aria-label="{e(label)}; the rest is in the table below.">'
        f'<defs><pattern id="{hatching}" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)">'
        f'<path d="M0 0V6" stroke="#cfccc3" stroke-width="2"/></pattern></defs>{grid}{hatch}{band}{line}{marks}'
        f"{_strip(facts, first, last, x, step)}{ticks}</svg>"
    )


def _strip(facts: CountyFacts, first: int, last: int, x, step: float) -> str:  # type: ignore[no-untyped-def]
    """Bars on top: when county agencies had an agreement, one height a model."""
    low, high = date(first, 1, 1), date(last, 12, 31)
    out = []
    for spell in facts.agreements:
        end = spell.ended or spell.gone_by or facts.list_date
        if spell.level != "county" or spell.duplicate_of or spell.signed > high or end < low:
            continue
        a, b = (
            x(d.year) - step / 2 + step * (d.timetuple().tm_yday - 1) / 366
            for d in (max(spell.signed, low), min(end, high))
        )
        rise = {"JEM": 10, "TFM": 5, "WSO": 0}[spell.model]
        kind = {"WSO": 1, "JEM": 2, "TFM": 3}[spell.model]
        out.append(
            f'<rect class="k{kind}" stroke="#2b2b2e" stroke-width=".6" x="{a:.1f}" y="{rise + 1}" '
            f'width="{max(b - a, 1.5):.1f}" height="4"/>'
        )
    return "".join(out)


def _runs(by_year: dict[int, CrimeYear], shown) -> list[list[CrimeYear]]:  # type: ignore[no-untyped-def]
    """Stretches of consecutive years that are shown: a line is never drawn across a year that is not."""
    runs: list[list[CrimeYear]] = []
    for year in sorted(by_year):
        if shown(by_year[year]):
            if runs and runs[-1][-1].year == year - 1:
                runs[-1].append(by_year[year])
            else:
                runs.append([by_year[year]])
    return runs


def _line(points) -> str:  # type: ignore[no-untyped-def]
    return "L".join(f"{a:.1f} {b:.1f}" for a, b in points)


def _nice(value: float) -> float:
    """Least of 1, 2, 4, 5, 6, 8 × 10^k above a value: four steps give round labels."""
    size = 10 ** np.floor(np.log10(max(value, 1e-9)))
    return float(next(m for m in (1, 2, 4, 6, 8, 10) if m * size >= value) * size)


def _crime_table(facts: CountyFacts) -> str:
    by_key = {(c.offence, c.year): c for c in facts.crime}
    lines = []
    for year in sorted({c.year for c in facts.crime}, reverse=True):
        violent, theft = by_key["violent_ex_rape", year], by_key["property", year]
        reasons = list(dict.fromkeys(r for r in (violent.reason, theft.reason) if r))
        cover = "n/a" if violent.coverage is None else f"{100 * violent.coverage:.0f} %"
        lines.append(
            (
                str(year),
                _int(violent.count),
                _rate(violent.rate),
                _int(theft.count),
                _rate(theft.rate),
                cover,
                e("; ".join(reasons)) or "shown",
            )
        )
    head = ["year", "violent, number", "per 100,000", "property, number", "per 100,000", "covered", "why not shown"]
    grid = table(
        "Recorded crime, every year printed; numbers of years not shown are incomplete",
        head,
        lines,
        numbers=(1, 2, 3, 4, 5),
    )
    return f"<details><summary>The same figures as a table, with the years not shown</summary>{grid}</details>"


def _int(value: int | None) -> str:
    return "n/a" if value is None else f"{value:,}"


def _rate(value: float | None) -> str:
    return "not shown" if value is None else f"{value:,.0f}"


# ---------------------------------------------------------------- removals, similar counties, sources


def _removals(facts: CountyFacts) -> str:
    known = [r for r in facts.removals if r.removed is not None or r.identified is not None]
    if not known:
        return ""
    most = max([r.removed or 0 for r in known] + [1])
    lines = []
    for r in facts.removals:
        if r.removed is None and r.identified is None:
            bar = "n/a"
        else:
            width = 100 * (r.removed or 0) / most
            bar = f'<span class="hb" style="width:{width:.0f}%" aria-hidden="true"></span>{_int(r.removed)}'
        lines.append((str(r.fiscal_year), e(r.agency), _int(r.identified), bar))
    grid = table(
        "Identified and removed by fiscal year",
        ["fiscal year", "agency", "identified", "removed"],
        lines,
        numbers=(2,),
        tight=True,
        hide_caption=True,
    )
    return (
        '<section id="removals"><h2>Removals under the agreement, fiscal years 2006–2013</h2><p '
        'class="note">People whom '
        "officers under the agreement identified, and people then removed, as ICE counted them, October to September. "
        f"n/a: ICE printed a blank, which is neither zero nor proof that nothing was done.</p>{grid}</section>"
    )


def _similar(facts: CountyFacts, links: Links) -> str:
    if not facts.similar:
        return ""
    me = facts.place
    head = ["county", "residents 2012", "Hispanic %", "foreign-born %", "poverty %", "on the last list", "first signed"]
    lines = [
        (
            place_link(s.place, links, None),
            f"{s.residents:,}",
            f"{s.hispanic:.1f}",
            f"{s.foreign_born:.1f}",
            f"{s.poverty:.1f}",
            place_cell(s.place),
            day(s.place.first_signed),
        )
        for s in facts.similar
    ]
    own = facts.traits
    lines.insert(
        0,
        (
            f"{e(me.name)}, {me.state}",
            f"{own['residents']:,.0f}",
            f"{own['hispanic']:.1f}",
            f"{own['foreign_born']:.1f}",
            f"{own['poverty']:.1f}",
            place_cell(me),
            day(me.first_signed),
        ),
    )
    grid = table("Similar counties", head, lines, numbers=(1, 2, 3, 4, 6), me=0, tight=True, hide_caption=True)
    return (
        f'<section id="similar"><h2>Similar counties</h2><p class="note">{e(facts.similar_rule)} For estimates: '
        f"<code>g.county_panel(…)</code>.</p>{grid}</section>"
    )


def _origin(facts: CountyFacts) -> str:
    records = e("; ".join(facts.sources)) or "no agreement in the record"
    unknown = "".join(f"<li>{e(t)}</li>" for t in facts.not_known)
    return (
        f'<section id="origin"><h2>Where this comes from</h2><div class="box"><p><b>Agreements.</b> '
        f"{records}. Laws and "
        "programs: state and federal acts; a day that was not checked against the statute is called unverified.</p>"
        "<p><b>Recorded crime.</b> FBI, Crime in the United States, Tables 8 and 10. <b>Residents.</b> US "
        "Census Bureau, "
        f"population estimates. <b>Outlines.</b> US Census Bureau, 2017.</p><p><b>Not known.</b></p><ul>{unknown}</ul>"
        f"<p><b>In Python.</b> <code>import g287stats as g; "
        f'g.county_facts("{facts.county_fips}")</code></p></div></section>'
    )
