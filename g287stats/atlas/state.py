"""The page of a state, from its facts."""

from __future__ import annotations

from datetime import date
from html import escape as e

import pandas as pd

from g287stats.atlas.county import AGREEMENT_COLUMNS, first_year, place_cell
from g287stats.atlas.links import ROOT, Links, foot
from g287stats.atlas.records import Place, Spell, StateFacts
from g287stats.geography import STATE_FIPS
from g287stats.palette import CLASSES
from g287stats.report.areas import adoption_figure, sentence
from g287stats.report.maps import county_map, frame_around
from g287stats.report.page import XLSX, download, page, swatch, table
from g287stats.report.shapes import county_rings
from g287stats.report.timeline import axis, legend, rows
from g287stats.report.words import count, day
from g287stats.report.workbook import Sheet, csv_bytes, xlsx_bytes


def state_page(facts: StateFacts, links: Links, *, downloads: bool = True) -> str:
    """Return the page of a state."""
    head = (
        f'<h1>{e(facts.name)}</h1><p class="lede">{e(facts.sentence)}</p>'
        f'<div class="split"><div>{_map(facts)}</div><div>{_key(facts)}'
        f"{_downloads(facts, links) if downloads else ''}</div></div>"
    )
    parts = (head, _adoption(facts), _statewide(facts), _laws(facts), _counties(facts, links), _elsewhere(facts))
    crumbs = [(ROOT, links.index), (facts.name, None)]
    again = f"g287stats state {facts.state} --out page.html"
    return page(
        f"{facts.name}: 287(g) agreements",
        "".join(parts),
        description=facts.sentence,
        crumbs=crumbs,
        list_date=facts.list_date,
        styles=("atlas/atlas.css",),
        foot=foot(facts.data_version, facts.list_date, facts.pending_date, f"state {facts.state}", again),
    )


def _map(facts: StateFacts) -> str:
    mine = [p.county_fips for p in facts.counties if p.county_fips in county_rings()]
    if not mine:
        return ""
    frame = frame_around(mine, width=720, pad=0.02, tallest=0.95)
    return county_map(
        frame,
        {p.county_fips: p.kind for p in facts.counties},
        only=mine,
        dots={p.county_fips: p.local_kind for p in facts.counties if p.local_only},
        label=f"Counties of {facts.name} by what county agencies have on the list of {day(facts.list_date)}; "
        "the table of counties below says the same in words",
    )


def _key(facts: StateFacts) -> str:
    kinds = [sum(p.kind == k.number and not p.local_only for p in facts.counties) for k in CLASSES]
    items = [f"<li>{swatch(k.number)}{k.words} <b>{kinds[k.number]:,}</b></li>" for k in CLASSES[1:]]
    towns = sum(p.local_only for p in facts.counties)
    items.append(f"<li>{swatch(3, dot=True)}dot: towns, campuses or constables only <b>{towns:,}</b></li>")
    items.append(f"<li>{swatch(0)}none <b>{kinds[0]:,}</b></li>")
    gone = sum(p.ended > 0 and not p.agreements for p in facts.counties)
    live = sum(s.listed for s in facts.statewide)
    note = f"{count(gone, 'county has', 'counties have')} none now but had one that ended. " if gone else ""
    note += (
        f"{count(live, 'agreement')} of agencies of the state {'works' if live == 1 else 'work'} statewide and "
        f"{'colours' if live == 1 else 'colour'} no county."
        if live
        else "No agency of the state is on the last list."
    )
    return (
        f'<p class="note"><b>Counties by what county agencies have on the list of '
        f'{day(facts.list_date)}</b></p><ul class="key col">{"".join(items)}</ul><p class="note">{note}</p>'
    )


def _downloads(facts: StateFacts, links: Links) -> str:
    agreements = state_table(facts)
    sheets = {"agreements": agreements, "counties": county_table(facts), "months": month_table(facts.curve)}
    book = xlsx_bytes(sheets)
    name = f"{facts.state.lower()}-agreements"
    plain = (
        f'<a class="btn" download href="{links.up}data/{name}.csv">Agreements, CSV</a>'  # beside the page in an atlas
        if links.home
        else download("Agreements, CSV", f"{name}.csv", csv_bytes(agreements))
    )
    button = download(f"XLSX ({len(book) / 1024:.0f} KB)", f"{name}.xlsx", book, XLSX)
    return f'<div class="btns">{button}{plain}</div>'


def state_table(facts: StateFacts) -> Sheet:
    """Agreements of the state, a row each, for the downloads."""
    return Sheet.from_records(facts.agreements, AGREEMENT_COLUMNS)


def county_table(facts: StateFacts) -> Sheet:
    """Counties of the state with their words at the last list."""
    rows = [
        (p.county_fips, p.name, p.words, p.agreements, "; ".join(p.agencies), p.first_signed, p.ended)
        for p in facts.counties
    ]
    head = ["county_fips", "county", "on_the_last_list", "agreements", "agencies", "first_signed", "ended"]
    return Sheet(head, rows)


def month_table(curve: pd.DataFrame) -> Sheet:
    """Months of an adoption curve, month as text."""
    return Sheet.of(curve.rename_axis("month").reset_index().assign(month=lambda f: f["month"].astype(str)))


def _adoption(facts: StateFacts) -> str:
    if not facts.curve["total"].max():
        return ""
    now = sentence(facts.curve, facts.curve.index[-1])
    return (
        f'<section id="adoption"><h2>Agreements by '
        f"month</h2><p>{now}</p>{legend(facts_models(facts.agreements))}"
        f"{adoption_figure(facts.curve, facts.name)}</section>"
    )


def facts_models(spells: tuple[Spell, ...]) -> set[str]:
    """Models among spells."""
    return {s.model for s in spells}


def _statewide(facts: StateFacts) -> str:
    mine = [s for s in facts.statewide if not s.duplicate_of]
    title = (
        f'<section id="statewide"><h2>Agencies of the state</h2><p class="note">They work across '
        f"{e(facts.name)} and colour no county.</p>"
    )
    if not mine:
        return f"{title}<p>No agency of the state has signed.</p></section>"
    span = (date(first_year([s.signed for s in mine]), 1, 1), facts.list_date)
    return f"{title}{rows(mine, [], span)}{axis(span)}</section>"


def _laws(facts: StateFacts) -> str:
    mine = [m for m in facts.marks if m.kind != "federal program"]
    items = "".join(
        f"<li>{e(m.words)}{f'. Note: {e(m.note)}' if m.note and m.note != 'verify' else ''}</li>" for m in mine
    )
    body = f"<ul>{items}</ul>" if mine else "<p>None in the table of state laws, which is not complete.</p>"
    return f'<section id="laws"><h2>State laws that meet the agreements</h2>{body}</section>'


def _counties(facts: StateFacts, links: Links) -> str:
    if not facts.counties:
        return ""
    known = {s for a in facts.applications if not a.agreement_id for s in a.county_fips.split(";")}
    met = [p for p in facts.counties if p.first_signed or p.county_fips in known]
    rest = [p for p in facts.counties if p not in met]
    lines = [_line(p, facts, links, p.county_fips in known) for p in sorted(met, key=lambda p: p.name)]
    grid = table(
        "Counties with an agreement or an application, now or before",
        ["county", "on the last list", "agreements", "agencies", "first signed", "ended"],
        lines,
        numbers=(2, 4, 5),
        tight=True,
        hide_caption=True,
    )
    others = ", ".join(_name(p, links) for p in rest)
    tail = (
        f"<details><summary>{count(len(rest), 'county', 'counties')} with no agreement in the "
        f"record</summary><p style='max-width:none'>{others}</p></details>"
        if rest
        else ""
    )
    return f'<section id="counties"><h2>Counties</h2>{grid if lines else ""}{tail}</section>'


def _line(p: Place, facts: StateFacts, links: Links, applied: bool) -> tuple[str, ...]:
    agencies = e(", ".join(p.agencies[:4])) + (f" and {len(p.agencies) - 4} more" if len(p.agencies) > 4 else "")
    if not p.first_signed and applied:
        agencies = "application only"
    return (_name(p, links), place_cell(p), f"{p.agreements:,}", agencies, day(p.first_signed), f"{p.ended:,}")


def _name(p: Place, links: Links) -> str:
    to = links.county(p.county_fips)
    return f'<a href="{to}">{e(p.name)}</a>' if to else e(p.name)


def _elsewhere(facts: StateFacts) -> str:
    """What the map cannot show: agreements in no county, withheld dates, applications still pending."""
    nowhere = [s for s in facts.agreements if not s.county_fips and s.level != "state"]
    items = [f"{s.agency} ({s.model_words}): its county is not known" for s in nowhere]
    items += [f"Not released: {text}" for text in facts.withheld]
    pending = [a for a in facts.applications if a.pending]
    items += (
        [
            f"{count(len(pending), 'application')} pending on the last such list, of {day(facts.pending_date)}: "
            + ", ".join(sorted({a.agency for a in pending}))
        ]
        if pending
        else []
    )
    if facts.after:
        items.append(facts.after)
    items.append(f"No list is in hand before {day(facts.first_list)}; none after {day(facts.list_date)}.")
    if facts.state not in STATE_FIPS or not facts.counties:
        items.append("This place is not on the map of counties.")
    return f'<section id="notes"><h2>Not on the map</h2><ul>{"".join(f"<li>{e(i)}</li>" for i in items)}</ul></section>'
