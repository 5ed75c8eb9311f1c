"""The evidence report: what was published, held against the data, on one page that fetches nothing.

It is written from frames: a question has its verdict, one sentence, one figure, the strongest evidence on either side,
its claims; everything else lies in files beside the page, which it links.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape as e
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from g287stats.catalog.writing import write
from g287stats.report.claim_marks import Compared, ForestRow, compared, forest, in_order, ordered, signed, squares
from g287stats.report.page import page, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FOLD = 12
"""Rows of a table that are shown; longer ones are folded, with the file linked."""
FOREST = 18
"""Rows of a forest; the other specifications are folded and in the file."""


@dataclass(frozen=True)
class Question:
    """One question of the report.

    ``claims`` has a row a claim (``claim_id``, ``finding``, ``published``, ``ours``, ``status``, ``reason``,
    ``standing``, ``note`` and the numbers ``published_low``, ``published_high``, ``ours_low``, ``ours_high``);
    ``grid`` a row a specification; ``choices`` the names of its columns that are choices; ``sentences`` and
    ``strongest`` as in ``g.evidence``; ``exhibits`` what the analyses wrote.
    """

    key: str
    title: str
    statement: str
    verdict: str
    reason: str
    claims: pd.DataFrame
    grid: pd.DataFrame = field(default_factory=pd.DataFrame)
    choices: tuple[str, ...] = ()
    sentences: pd.DataFrame = field(default_factory=pd.DataFrame)
    strongest: pd.DataFrame = field(default_factory=pd.DataFrame)
    exhibits: Sequence[Any] = ()


@dataclass(frozen=True)
class Differences:
    """What an analysis says about differences from the published work (Markdown)."""

    name: str
    title: str
    text: str


def write_report(
    target: Path,
    questions: Sequence[Question],
    *,
    differences: Sequence[Differences],
    versions: Mapping[str, Any],
    failed: Mapping[str, str],
    interrupted: bool = False,
) -> Path:
    """Write the page to ``target``; returns the path. ``failed`` maps an analysis to the error that stopped it."""
    parts = [_first(questions), _troubles(failed, interrupted)]
    parts += [_section(q) for q in questions]
    parts += [_differences(differences), _methods()]
    crumbs = [("287(g) evidence report", None), *((_short(q.key), f"#{q.key}") for q in questions)]
    crumbs += [("Differences", "#differences"), ("Methods", "#methods")]
    foot = [
        ", ".join(f"{e(k)} {e(str(v))}" for k, v in versions.items()) + ".",
        "Every file is listed with its sha256 in <a href='manifest.json'>manifest.json</a>; "
        "<a href='findings.csv'>findings.csv</a> has every claim, <a href='exhibits.csv'>exhibits.csv</a> "
        "the way from a "
        "claim to its exhibits, data and command. Again: <code>g287stats replicate</code>.",
        "This page was written by a program from the files beside it.",
    ]
    number = sum(len(q.claims) for q in questions)
    text = page(
        "287(g) evidence report",
        "".join(parts),
        description=f"{number} published claims, held against the data",
        crumbs=crumbs,
        foot=foot,
        styles=("report/evidence.css",),
    )
    return write(target, text)


SHORT = {
    "i": "Crime",
    "ii": "Victimization",
    "iii": "Profiling",
    "iv": "Detainers",
    "v": "Reporting",
    "count": "Counts",
}


def _short(key: str) -> str:
    return SHORT.get(key, key)


def _first(questions: Sequence[Question]) -> str:
    """The first screen: how many claims, one sentence, one square each."""
    every = [s for q in questions for s in q.claims["status"]]
    counts = {s: every.count(s) for s in dict.fromkeys(every)}
    kept = sum(counts.get(s, 0) for s in ("reproduced", "consistent"))
    differ = sum(n for s, n in counts.items() if s.startswith("different"))
    open_ = len(every) - kept - differ
    return (
        f"<h1>{len(every)} published claim{'' if len(every) == 1 else 's'}, held against the data</h1>"
        f'<p class="lede">Each square is one published number or sign. {kept} come out as printed or within '
        f"the printed "
        f"bound, {differ} differ and the page says how, {open_} are not decided by the data in hand or wait "
        f"for data you "
        f"can add.</p>{squares(counts)}"
    )


def _troubles(failed: Mapping[str, str], interrupted: bool) -> str:
    out = "<p class='banner'><b>Interrupted:</b> only what was finished before is shown.</p>" if interrupted else ""
    return out + "".join(f"<p class='banner'><b>{e(n)} did not run:</b> {e(why)}</p>" for n, why in failed.items())


def _section(q: Question) -> str:
    """Verdict words, one sentence, one figure, the strongest evidence on either side, claims, files."""
    first, _, rest = q.reason.partition(". ")
    first += "." * bool(rest)
    body = [
        f'<section id="{q.key}"><h2>{e(q.title)}</h2><p><span '
        f'class="verdict">{e(q.verdict[:1].upper() + q.verdict[1:])}.'
        f"</span> {e(first)}</p>",
        _figure(q),
        f"<p>{e(rest)}</p>" if rest else "",
        _against(q),
        _words(q),
        _claims(q),
        _files(q),
    ]
    return "".join(body) + "</section>"


# ---------------------------------------------------------------- figures


def _figure(q: Question) -> str:
    """One figure: a forest where there is a grid, else published against ours where numbers allow it."""
    rows = q.grid[q.grid["state"] == "estimated"] if len(q.grid) else q.grid
    if len(rows):
        return _forest(q, rows)
    numbers = comparable(q.claims)
    return _compared(q, numbers) if len(numbers) >= 3 else ""


def comparable(claims: pd.DataFrame) -> pd.DataFrame:
    """Claims whose published number and ours fit on one axis: shares or counts, whichever are more, none far beyond."""
    if "ours_low" not in claims:
        return claims.iloc[:0]
    have = claims.dropna(subset=["ours_low", "ours_high"])
    have = have[have["published_low"].notna() | have["published_high"].notna()]
    size = have[["published_low", "published_high", "ours_high"]].max(axis=1)
    share = size <= 1
    have = have[share] if share.sum() >= (~share).sum() else have[~share]
    size = size.loc[have.index]
    return have[size <= 20 * size.median()].sort_values(["ours_low", "claim_id"], kind="stable")


def first_rows(rows: pd.DataFrame, choices: Sequence[str]) -> pd.DataFrame:
    """Rows of the forest: of every analysis, outcome and level of the first choice, the first as declared.

    The order of the grid is the order in which specifications were declared, so that no row is chosen by its result.
    """
    lead = [c for c in choices if c in rows and rows[c].notna().any()][:1]
    return rows.drop_duplicates(["analysis", "outcome", *lead], keep="first").head(FOREST)


def _forest(q: Question, rows: pd.DataFrame) -> str:
    shown = first_rows(rows, q.choices)
    margin = float(shown["margin"].max())
    lines = [_line(r, q.choices, shown) for r in shown.to_dict("records")]
    hollow = sum(r.hollow for r in lines)
    said = f"{len(lines)} estimates in percent of the base rate; {hollow} hollow; the numbers stand beside each line"
    tests = int((rows["leads_p"] < 0.05).sum())
    caption = (
        f"Dot: change in percent of the base rate; line: 95 % interval; band: the margin of {margin:g} % "
        f"declared before "
        "estimating. Hollow: places that signed were already moving otherwise before (test of leads, p &lt; "
        "0.05), so the "
        "row cannot be read as an effect; a solid dot is not thereby valid. Rows: for every outcome, the first "
        f"specification declared of each {e(q.choices[0])}. Of all {len(rows)} "
        f"specifications, {tests} have leads that differ."
    )
    whole = in_order(
        rows["estimate"].tolist(),
        rows["conf_low"].tolist(),
        rows["conf_high"].tolist(),
        margin,
        f"All {len(rows)} specifications in order: {rows['estimate'].min():.1f} to "
        f"{rows['estimate'].max():.1f} percent",
    )
    links = ", ".join(f'<a href="{a}/grid.csv">{a}/grid.csv</a>' for a in sorted(set(rows["analysis"])))
    return (
        f'<figure id="figure-{q.key}" style="margin:0">{forest(lines, margin, said)}<figcaption '
        f'class="note">{caption} Data: '
        f"{links}.</figcaption></figure><details><summary>All {len(rows)} specifications in order of the "
        f"estimate</summary>"
        f'{whole}<p class="note">Line: estimates; grey: 95 % intervals; band: the margin.</p></details>'
    )


def _line(r: dict[str, Any], choices: Sequence[str], shown: pd.DataFrame) -> ForestRow:
    outcome = str(r["outcome"]).replace("_", " ")
    lead = [c for c in choices if c in shown and isinstance(r.get(c), str)][:2]
    words = ", ".join(str(r[c]) for c in lead if shown[c].nunique() > 1)
    treated = f"{r['n_treated']:.0f} treated" if pd.notna(r.get("n_treated")) else ""
    label = f"{outcome}: {words}" + (f" ({treated})" if treated else "")
    differs = bool(pd.notna(r.get("leads_p")) and r["leads_p"] < 0.05)
    return ForestRow(
        str(r["analysis"]).replace("-", " ").title(),
        label,
        float(r["estimate"]),
        float(r["conf_low"]),
        float(r["conf_high"]),
        differs,
    )


def _compared(q: Question, rows: pd.DataFrame) -> str:
    lines = []
    for r in rows.head(FOLD).to_dict("records"):
        low, high = (None if pd.isna(r[c]) else float(r[c]) for c in ("published_low", "published_high"))
        lines.append(
            Compared(
                r["finding"], low, high, float(r["ours_low"]), float(r["ours_high"]), f"{r['published']} / {r['ours']}"
            )
        )
    said = "Published against ours: " + "; ".join(f"{c.label} {c.words}" for c in lines)
    more = f" {len(rows) - FOLD} more are in the table." if len(rows) > FOLD else ""
    return (
        f'<figure id="figure-{q.key}" style="margin:0">{compared(lines, said)}<figcaption class="note">Ring or line: '
        "published number or bound. Dot: ours; bar: the lists around the day. At the right: published / ours."
        f"{more} Numbers of another kind or size are in the table.</figcaption></figure>"
    )


# ---------------------------------------------------------------- words, claims, files


def _against(q: Question) -> str:
    """The strongest evidence on either side, from the frame of the strongest specifications."""
    if not len(q.strongest) or "side" not in q.strongest:
        return ""
    items = []
    for r in q.strongest.to_dict("records"):
        if r["side"] not in ("decline", "rise") or pd.isna(r.get("estimate")):
            continue
        choices = ", ".join(str(r[c]) for c in q.choices if isinstance(r.get(c), str))
        items.append(
            f"<li>{e(str(r['outcome']).replace('_', ' '))}, furthest towards a {r['side']}: {signed(r['estimate'])} % "
            f"[{signed(r['conf_low'])}, {signed(r['conf_high'])}] ({e(choices)})</li>"
        )
    if not items:
        return ""
    return (
        '<div class="against"><b>Strongest evidence on either side</b> (one specification each, chosen for its '
        f"result)<ul>{''.join(items[:6])}</ul></div>"
    )


def _words(q: Question) -> str:
    if not len(q.sentences):
        return ""
    heads = q.sentences[q.sentences["kind"] == "headline"]["sentence"]
    rest = q.sentences[q.sentences["kind"] != "headline"]["sentence"]
    first = "".join(f"<li>{e(s)}</li>" for s in heads)
    more = "".join(f"<li>{e(s)}</li>" for s in dict.fromkeys(rest))
    folded = (
        f"<details><summary>Spread, choices that matter, places lost</summary><ul>{more}</ul></details>" if more else ""
    )
    return f"<ul>{first}</ul>{folded}"


def _claims(q: Question) -> str:
    order = {s: i for i, (s, _) in enumerate(ordered(q.claims["status"].value_counts().to_dict()))}
    frame = q.claims.assign(_o=q.claims["status"].map(order)).sort_values(["_o", "claim_id"], kind="stable")
    lines = []
    for r in frame.to_dict("records"):
        why = " ".join(str(r[c]) for c in ("reason", "note") if isinstance(r.get(c), str) and r[c])
        stand = r.get("standing")
        mark = (
            f" <b>Published number: {e(str(stand))}.</b>" if isinstance(stand, str) and stand != "as published" else ""
        )
        simulated = " <b>simulated</b>" if r.get("simulated") is True else ""
        name = f'<span id="claim-{e(r["claim_id"])}">{e(str(r["finding"]))}</span> <code>{e(r["claim_id"])}</code>'
        lines.append((name, e(str(r["published"])), _text(r["ours"]) + simulated, e(str(r["status"])), e(why) + mark))
    grid = table(
        f"Claims on: {e(q.statement)}",
        ["claim", "published", "ours", "status", "why, or what to type"],
        lines,
        hide_caption=True,
        attributes=' data-kind="claims"',
    )
    if len(lines) <= FOLD:
        return grid
    return f"<details><summary>The {len(lines)} claims one by one</summary>{grid}</details>"


def _text(value: Any) -> str:
    return e(str(value)) if isinstance(value, str) and value else "–"


def _files(q: Question) -> str:
    if not q.exhibits:
        return ""
    items = "".join(
        f"<li>{e(x.title)}: "
        + ", ".join(f'<a href="{e(x.analysis)}/{e(f)}">{e(f.rsplit(".", 1)[-1])}</a>' for f in x.files)
        + (f'. <span class="note">{e(x.note)}</span>' if x.note else "")
        + "</li>"
        for x in q.exhibits
    )
    return f"<details><summary>Tables and figures ({len(q.exhibits)}), as files</summary><ul>{items}</ul></details>"


def _differences(texts: Sequence[Differences]) -> str:
    items = "".join(
        f"<details><summary>{e(d.title)}</summary>{_markdown(d.text)}</details>" for d in texts if d.text.strip()
    )
    return f'<section id="differences"><h2>What differs from the published work, and why</h2>{items}</section>'


def _methods() -> str:
    return (
        '<section id="methods"><h2>How a claim is judged</h2><p>Every analysis declares its specifications '
        "and the smallest "
        "change worth speaking of before it estimates. One rule reads the whole grid, the same for published nulls and "
        "published effects. <b>Uninformative</b>: neither the claim nor its opposite could have been seen. "
        "<b>Depends on "
        "the design</b>: specifications differ beyond their errors. “Not significant” is never read as “no effect”.</p>"
        "</section>"
    )


def _markdown(text: str) -> str:
    """Headings, paragraphs, lists and emphasis of the DIFFERENCES files; nothing else occurs there."""
    blocks = []
    for raw in re.split(r"\n\s*\n", text.strip()):
        block = e(raw.strip())
        block = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", block)
        block = re.sub(r"`(.+?)`", r"<code>\1</code>", block)
        if match := re.match(r"(#+)\s+(.*)", block):
            blocks.append(f"<h3>{match.group(2)}</h3>")
        elif block.startswith("- "):
            items = re.split(r"\n- ", block[2:])
            blocks.append("<ul>" + "".join(f"<li>{i}</li>" for i in items) + "</ul>")
        else:
            blocks.append(f"<p>{block}</p>")
    return "".join(blocks)


def numbers_of(published: pd.DataFrame, ours: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers a figure compares, by claim: low and high of both, published and ours.

    ``published`` has ``claim_id``, ``estimate``, ``estimate_low``, ``estimate_high``; ``ours`` has ``claim_id``,
    ``value`` and ``ours`` (a number, or two joined by "to").
    """
    low = published["estimate"].fillna(published["estimate_low"])
    high = published["estimate"].fillna(published["estimate_high"])
    left = pd.DataFrame({"claim_id": published["claim_id"], "published_low": low, "published_high": high})
    pairs = [_pair(t, v) for t, v in zip(ours["ours"], ours["value"])]
    right = pd.DataFrame(pairs, columns=["ours_low", "ours_high"], index=ours.index).assign(claim_id=ours["claim_id"])
    return right.merge(left, on="claim_id", how="left").drop(columns="claim_id").set_axis(ours.index)


def _pair(text: Any, value: Any) -> tuple[float, float]:
    if value is not None and pd.notna(value):
        return float(value), float(value)
    found = re.fullmatch(r"\s*([\d,.]+) to ([\d,.]+)\s*", text) if isinstance(text, str) else None
    if found is None:
        return (np.nan, np.nan)
    low, high = (float(g.replace(",", "")) for g in found.groups())
    return low, high
