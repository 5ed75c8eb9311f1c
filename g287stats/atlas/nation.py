"""The national page: every month since 2002 on one map."""

from __future__ import annotations

import json
from html import escape as e
from typing import Any

import numpy as np
import pandas as pd

from g287stats.atlas.facts import month_ends, places, spells_by_county, state_codes
from g287stats.atlas.links import ROOT, Links, foot
from g287stats.atlas.records import NationFacts, Spell
from g287stats.atlas.sources import Sources
from g287stats.geography import STATE_FIPS, STATE_NAMES, STATES
from g287stats.palette import CLASSES
from g287stats.report.areas import areas, sentence, years_under
from g287stats.report.maps import borders, centre, path, state_rings
from g287stats.report.page import page, swatch, table
from g287stats.report.shapes import county_rings
from g287stats.report.words import count, day, join, month

MODELS = ("WSO", "JEM", "TFM")
LEVELS = ("county", "local", "state")


def nation_page(
    facts: NationFacts, sources: Sources, links: Links, *, downloads: tuple[tuple[str, str], ...] = ()
) -> str:
    """Return the national page; ``downloads`` are (words, address) of the files written beside it."""
    from importlib.resources import files

    drawn = tuple(c for c in places(sources) if c in county_rings())
    data = page_data(facts, sources, drawn, links)
    said = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    script = files("g287stats").joinpath("atlas/atlas.js").read_text("utf-8")
    body = (
        f'<h1 class="nat">{e(facts.headline)}</h1><p class="lede nat">{e(facts.sentence)}</p>{_controls(facts)}'
        f'<div class="split"><div class="nation">{_map(sources, drawn)}<div id="tip" class="tip" hidden></div></div>'
        f'<div>{_key(facts)}{_filters(facts)}</div></div><div id="card" class="card" aria-live="polite" hidden></div>'
        f'<p class="note" style="max-width:none">{e(facts.after)}</p>'
        f"{_states(facts, links)}{_notes(facts)}{_files(downloads)}"
    )
    text = page(
        f"{ROOT}: {facts.headline}",
        body,
        description=facts.sentence,
        list_date=facts.list_date,
        crumbs=[(ROOT, None), ("States", "#states"), ("Data notes", "#notes")],
        styles=("atlas/atlas.css", "atlas/nation.css"),
        script=script,
        foot=foot(
            facts.data_version, facts.list_date, facts.pending_date, "national page", "g287stats atlas --out DIR"
        ),
    )
    text = text.replace('<html lang="en">', '<html lang="en" class="no-js">', 1)
    return text.replace("<script>", f'<script type="application/json" id="data">{said}</script><script>', 1)


def page_data(facts: NationFacts, sources: Sources, drawn: tuple[str, ...], links: Links) -> dict[str, Any]:
    """What the script needs: names, agencies, spells with their months on both bases, days of the lists."""
    months, ends = month_ends(sources)
    at = {c: i for i, c in enumerate(drawn)}
    known = places(sources)
    agencies = sorted({s.agency for s in facts.spells})
    number = {a: i for i, a in enumerate(agencies)}
    lists = sources.agreements.lists
    lists = lists[lists["kind"].eq("participating")].sort_values("seq")
    first = int(np.searchsorted(ends, sources.first_list))
    in_force = lists["list_date"].searchsorted(ends[first:], side="right") - 1
    seqs = lists["seq"].to_numpy(int)[in_force]
    runs = sources.agreements.presence
    runs = runs[runs["kind"].eq("participating")]
    listed: dict[str, list[int]] = {}
    for record, a, b in zip(runs["record_id"], runs["first_seq"].astype(int), runs["last_seq"].astype(int)):
        low, high = int(np.searchsorted(seqs, a)), int(np.searchsorted(seqs, b, side="right")) - 1
        if low <= high:
            listed.setdefault(str(record), []).extend((first + low, first + high))
    return {
        "months": [month(m) for m in months],
        "keys": [str(m) for m in months],
        "firstListed": first,
        "firstList": day(facts.first_list),
        "lists": [day(d) for d in lists["list_date"].iloc[in_force]],
        "words": [k.words for k in CLASSES],
        "fips": drawn,
        "names": [known[c].name.replace(" County", "_") for c in drawn],
        "usps": STATES,
        "pages": "".join("1" if links.county(c) else "0" for c in drawn),
        "agencies": agencies,
        "spells": [_row(s, number, at, ends, listed) for s in facts.spells],
    }


def _row(
    s: Spell, number: dict[str, int], at: dict[str, int], ends: pd.DatetimeIndex, listed: dict[str, list[int]]
) -> list[Any]:
    """Agency, model, level, first month, month after the last, counties, duplicate?, months listed, state."""
    start = int(ends.searchsorted(pd.Timestamp(s.signed)))
    end = s.ended or s.gone_by
    stop = int(ends.searchsorted(pd.Timestamp(end))) if end else 999
    counties = [at[c] for c in s.county_fips.split(";") if c in at]
    return [
        number[s.agency],
        MODELS.index(s.model),
        LEVELS.index(s.level),
        start,
        stop,
        counties,
        int(bool(s.duplicate_of)),
        listed.get(s.agreement_id, []),
        *([s.state] if s.level == "state" else []),
    ]


def _controls(facts: NationFacts) -> str:
    months = facts.months.index
    now = sentence(facts.months, months[-1])
    label = f"Agreements signed and not ended, {months[0].year} to {months[-1].year}, by model; {now}"
    chart = areas(facts.months, label, height=60)
    return (
        f'<div class="ctl"><output id="month" for="slider">{month(months[-1])}</output>'
        f'<input id="slider" class="js" type="range" min="0" max="{len(months) - 1}" '
        f'value="{len(months) - 1}" step="1" '
        f'aria-label="Month" aria-valuetext="{month(months[-1])}: '
        f'{count(int(facts.months["total"].iloc[-1]), "agreement")}">'
        f'<button id="play" class="js" type="button">Play from 2025</button><div class="under"><div class="in">{chart}'
        f'<span id="pin" class="pin" style="left:100%"></span><div '
        f'class="axis">{years_under(months, 4)}</div></div></div>'
        f'</div><p id="say" class="say" aria-live="polite">{now}</p>'
    )


def _map(sources: Sources, drawn: tuple[str, ...]) -> str:
    rings = {c: [r * [1, -1] for r in county_rings()[c]] for c in drawn}
    points = np.vstack([r for parts in rings.values() for r in parts])
    low, high = points.min(axis=0) - 8, points.max(axis=0) + 8
    box = f"{low[0]:.0f} {low[1]:.0f} {high[0] - low[0]:.0f} {high[1] - low[1]:.0f}"
    known = places(sources)
    shapes = "".join(f'<path{_kind(known[c].kind)} d="{path(rings[c])}"/>' for c in drawn)
    edges = path([b * [1, -1] for b in borders({c: county_rings()[c] for c in drawn})], closed=False)
    spells = spells_by_county(sources)
    dots = []
    for i, c in enumerate(drawn):
        if any(s.level == "local" for s in spells.get(c, ())):
            x, y = centre(rings[c])
            on = f"on k{known[c].local_kind}" if known[c].local_only else "k0"
            dots.append(f'<circle data-i="{i}" class="{on}" cx="{x:.0f}" cy="{y:.0f}" r="15"/>')
    outlines, clips = [], []
    frame = sources.agreements.frame
    wide = frame[frame["jurisdiction"].eq("state")]
    live = set(wide.loc[wide["agreement_id"].isin(sources.listed), "state"])
    for state in sorted(set(wide["state"])):
        lines = [r * [1, -1] for r in state_rings(STATE_FIPS[state])]
        if lines:
            clips.append(f'<clipPath id="c{state}"><path id="o{state}" d="{path(lines)}"/></clipPath>')
            outlines.append(
                f'<use class="st{" on" if state in live else ""}" data-s="{state}" href="#o{state}" '
                f'clip-path="url(#c{state})"/>'
            )
    return (
        f'<svg id="map" class="map" viewBox="{box}" role="img" aria-label="Counties of the United States by '
        f"what county "
        f'agencies have signed; the sentence above, the legend and the table of states say the same in words">'
        f'<defs>{"".join(clips)}</defs><g id="cs">{shapes}</g><path class="bd" '
        f'd="{edges}"/>{"".join(outlines)}{"".join(dots)}</svg>'
    )


def _kind(kind: int) -> str:
    return f' class="k{kind}"' if kind else ""


def _key(facts: NationFacts) -> str:
    plain = facts.counts | {0: facts.counts[0] - facts.local_only}
    items = [f'<li>{swatch(k.number)}{k.words} <b id="n{k.number}">{plain[k.number]:,}</b></li>' for k in CLASSES[1:]]
    items.append(
        f'<li>{swatch(3, dot=True)}dot: towns, campuses, constables only <b id="nd">{facts.local_only:,}</b></li>'
    )
    items.append(f'<li>{swatch(0)}none <b id="n0">{plain[0]:,}</b></li>')
    wide = len({s.state for s in facts.spells if s.level == "state" and s.listed})
    items.append(
        f'<li><span class="sw stl"></span>outline: states whose own agencies signed <b id="ns">{wide}</b></li>'
    )
    return (
        f'<p class="note hd"><b>Counties by what county agencies have signed</b></p><ul class="key '
        f'col">{"".join(items)}</ul>'
    )


def _filters(facts: NationFacts) -> str:
    def select(name: str, words: str, options: list[tuple[str, str]]) -> str:
        rows = "".join(f'<option value="{v}">{w}</option>' for v, w in options)
        return f'<label>{words}<select id="{name}">{rows}</select></label>'

    models = [("", "all models"), ("0", "warrant service"), ("1", "jail enforcement"), ("2", "task force")]
    levels = [
        ("", "all agencies"),
        ("0", "sheriffs and county agencies"),
        ("1", "towns, campuses, constables"),
        ("2", "agencies of the state"),
    ]
    basis = [("signed", "signed and not ended"), ("listed", f"as listed, from {day(facts.first_list)}")]
    return (
        f'<div class="flt js">{select("model", "Model", models)}{select("level", "Agencies", levels)}'
        f'{select("basis", "Counted", basis)}</div><form id="find" class="find js"><label>Find a county'
        '<input id="county" type="search" list="names" autocomplete="off" placeholder="Gaston County, NC"></label>'
        '<datalist id="names"></datalist><button>Open</button></form><p id="found" class="note" aria-live="polite"></p>'
    )


def _states(facts: NationFacts, links: Links) -> str:
    lines = []
    for r in sorted(facts.rows, key=lambda r: (-r.agreements, r.name)):
        if not (r.agreements or r.ended or r.pending):
            continue
        to = links.state(r.state)
        name = f'<a href="{to}">{e(r.name)}</a>' if to else e(r.name)
        lines.append(
            (
                name,
                f"{r.agreements:,}",
                f"{r.agencies:,}",
                f"{r.tfm:,}",
                f"{r.jem:,}",
                f"{r.wso:,}",
                f"{r.statewide:,}",
                f"{r.ended:,}",
                f"{r.first_signed.year if r.first_signed else '–'}",
                f"{r.pending:,}",
            )
        )
    head = [
        "state",
        "agreements",
        "agencies",
        "task force",
        "jail enforcement",
        "warrant service",
        "by the state’s own",
        "ended",
        "earliest",
        "pending",
    ]
    grid = table(
        f"Agreements on ICE’s list of {day(facts.list_date)}; pending: list of {day(facts.pending_date)}",
        head,
        lines,
        numbers=tuple(range(1, 10)),
        tight=True,
        attributes=' id="states-table"',
    )
    quiet = [s for s in facts.none_listed if s != "DC"]
    names = join([_state_name(s, links) for s in quiet])
    others = [
        s for s in state_codes() if s not in {r.state for r in facts.rows if r.agreements or r.ended or r.pending}
    ]
    dc = " and the District of Columbia" if "DC" in facts.none_listed else ""
    words = f"<p><b>None on the list:</b> {names}{dc}.</p>"
    words += (
        f"<p class='note'>Of these, {join([STATE_NAMES[s] for s in others])} "
        f"{'has' if len(others) == 1 else 'have'} none in the record at any time.</p>"
        if others
        else ""
    )
    return f'<section id="states"><h2>States</h2>{grid}{words}</section>'


def _state_name(state: str, links: Links) -> str:
    to = links.state(state)
    return f'<a href="{to}">{STATE_NAMES[state]}</a>' if to else STATE_NAMES[state]


def _notes(facts: NationFacts) -> str:
    hidden = "".join(f"<li>{e(t)}</li>" for t in facts.withheld)
    left = sum(a.outcome == "left the list" for a in facts.applications)
    unknown = sum(not a.model for a in facts.applications)
    nowhere = [s for s in facts.spells if not s.county_fips and s.level != "state"]
    real = sum(s.really_ended for s in facts.spells)
    fixed = sum(bool(s.exit) and not s.really_ended for s in facts.spells)
    wide = sum(s.level == "state" for s in facts.spells)
    items = [
        f"<b>Signed and listed.</b> A month on the map counts agreements signed and not ended at its end; "
        f"an end that lies "
        f"between two lists counts from the first list without it. “As listed” counts what ICE printed on "
        f"the last list of "
        f"the month; no list is in hand before {day(facts.first_list)} or after {day(facts.list_date)}.",
        *([f"<b>After the last list.</b> {e(facts.after)}"] if facts.after else []),
        "<b>Fill and dots.</b> A county is filled by what its sheriff, county police, county or regional "
        "jail has signed. A "
        "town, campus or constable puts a dot in the middle of the county and fills nothing.",
        f"<b>Agencies of the state.</b> {count(wide, 'agreement')} of state agencies since 2002 colour no "
        f"county; a dark "
        "line inside a state’s border marks a month in which one of its own agencies had an agreement.",
        f"<b>Ended.</b> {count(real, 'agreement')} ended in fact; {fixed} lines that left a list were "
        f"corrections by ICE "
        "and are not counted as ended.",
        f"<b>Applications.</b> Lists of applications end {day(facts.pending_date)}; {left} left them "
        f"without an agreement "
        f"in the record; the model of {unknown} was not printed.",
        "<b>Not known.</b> The day an agreement began to operate: no source has it.",
    ]
    if nowhere:
        items.append(
            "<b>Not on the map.</b> " + e("; ".join(f"{s.agency}, {s.state}" for s in nowhere)) + ": county not known."
        )
    if facts.territories:
        where = join([STATE_NAMES[t] for t in facts.territories])
        items.append(f"<b>Territories.</b> {where}: in the table, not on the map.")
    rows = "".join(f"<li>{i}</li>" for i in items)
    closed = f"<li><b>Withheld.</b><ul>{hidden}</ul></li>" if hidden else ""
    return f'<section id="notes"><h2>Data notes</h2><ul>{rows}{closed}</ul></section>'


def _files(downloads: tuple[tuple[str, str], ...]) -> str:
    if not downloads:
        return ""
    links = "".join(f'<a class="btn" href="{e(to)}" download>{e(words)}</a>' for words, to in downloads)
    return f'<section id="downloads"><h2>Downloads</h2><div class="btns">{links}</div></section>'
