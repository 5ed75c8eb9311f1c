"""The replication report: one self-contained page that reads on a phone."""

from __future__ import annotations

import base64
import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import Environment

from g287stats.catalog.writing import write
from g287stats.shown import frame_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Section:
    """One analysis on the page: comparison table, exhibits on disk under ``folder``, explained differences."""

    name: str
    title: str
    comparison: pd.DataFrame
    exhibits: Sequence[Any]
    folder: Path
    differences: str


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>g287stats replication report</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:60rem;margin:0 auto;padding:1rem}
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2.2rem;border-top:1px solid #ccc;padding-top:1rem}h3{font-size:1rem}
img{max-width:100%;height:auto}.wide{overflow-x:auto}.wide table{min-width:44rem}dt{font-weight:600;margin-top:.8rem}
dd{margin:0 0 .4rem 0}.v{background:#eef2f6;border-radius:.3rem;padding:.05rem .4rem;font-size:.85rem}
table{border-collapse:collapse;font-size:.82rem;margin:.5rem 0}td,th{padding:.25rem .5rem;border-bottom:1px solid #ddd;
text-align:left;vertical-align:top}td.n{text-align:right;white-space:nowrap}caption{text-align:left;font-weight:600}
.note{font-size:.85rem;color:#555}.sim{color:#AA3377;font-weight:600}details{margin:.6rem 0}nav a{margin-right:.8rem}
</style></head><body>
<h1>g287stats replication report</h1>
<p class="note">{{ versions }}</p>
{% if interrupted %}<p><b>Interrupted:</b> only the exhibits finished before the interruption are shown.</p>{% endif %}
{% for name, why in failed.items() %}<p><b>{{ name }} did not run:</b> {{ why }}</p>{% endfor %}
<nav>{% for s in sections %}<a href="#{{ s.name }}">{{ s.title }}</a> {% endfor %}
<a href="#findings">All claims</a></nav>
<h2 id="verdicts">What the studies say together</h2>
<dl>{{ verdicts }}</dl>
{% for s in sections %}
<h2 id="{{ s.name }}">{{ s.title }}</h2>
{% if s.results %}<div class="wide">{{ s.results }}</div>{% endif %}
{% for e in s.exhibits %}
<h3>{{ e.title }}</h3>
{% if e.image %}<img alt="{{ e.title }}" src="data:image/png;base64,{{ e.image }}">{% endif %}
{% if e.table %}<div class="wide">{{ e.table }}</div>{% endif %}
{% if e.note %}<p class="note">{{ e.note }}</p>{% endif %}
<p class="note">Files: {{ e.files }}</p>
{% endfor %}
<details><summary>What differs from the published work, and why</summary>{{ s.differences }}</details>
{% endfor %}
<h2 id="findings">Claims without an analysis in this run</h2>
<p class="note">Their published values; nothing here was computed.</p>
<div class="wide">{{ rest }}</div>
</body></html>
"""


def write_report(
    target: Path,
    sections: Sequence[Section],
    *,
    verdicts: pd.DataFrame,
    rest: pd.DataFrame,
    versions: Mapping[str, Any],
    failed: Mapping[str, str],
    interrupted: bool = False,
) -> Path:
    """Write the page to ``target`` from the exhibits on disk; returns the path.

    ``verdicts`` is the table of statements, ``rest`` the claims without an analysis in this run, ``failed`` maps
    an analysis to the error that stopped it.
    """
    shown = [
        {
            "name": s.name,
            "title": html.escape(s.title),
            "results": frame_table(s.comparison.infer_objects(), "html") if len(s.comparison) else "",
            "exhibits": [_exhibit(s.folder, e) for e in s.exhibits],
            "differences": _markdown(s.differences),
        }
        for s in sections
    ]
    page = (
        Environment(autoescape=False)
        .from_string(_PAGE)
        .render(
            versions=html.escape(", ".join(f"{k} {v}" for k, v in versions.items())),
            sections=shown,
            failed={html.escape(k): html.escape(v) for k, v in failed.items()},
            interrupted=interrupted,
            verdicts=_verdicts(verdicts),
            rest=frame_table(rest.infer_objects(), "html"),
        )
    )
    return write(target, page)


def _verdicts(table: pd.DataFrame) -> str:
    return "".join(
        f"<dt>{html.escape(r.statement)}</dt><dd><span class='v'>{html.escape(r.verdict)}</span> "
        f"{html.escape(r.reason)} <span class='note'>({html.escape(r.data_used)})</span></dd>"
        for r in table.itertuples(index=False)
    )


def _exhibit(folder: Path, exhibit: Any) -> dict[str, Any]:
    out = {"title": html.escape(exhibit.title), "note": html.escape(exhibit.note), "files": ", ".join(exhibit.files)}
    if exhibit.kind == "figure":
        out["image"] = base64.b64encode((folder / f"{exhibit.name}.png").read_bytes()).decode("ascii")
    else:
        frame = pd.read_csv(folder / f"{exhibit.name}.csv", dtype={"county_fips": str})
        more = f"<p class='note'>First 60 of {len(frame)} rows; all are in the CSV.</p>" if len(frame) > 60 else ""
        out["table"] = frame_table(frame.head(60), "html") + more
    return out


def _markdown(text: str) -> str:
    """Headings, paragraphs, lists and emphasis of the DIFFERENCES files; nothing else occurs there."""
    blocks = []
    for raw in re.split(r"\n\s*\n", text.strip()):
        block = html.escape(raw.strip())
        block = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", block)
        block = re.sub(r"`(.+?)`", r"<code>\1</code>", block)
        if match := re.match(r"(#+)\s+(.*)", block):
            blocks.append(f"<h4>{match.group(2)}</h4>")
        elif block.startswith("- "):
            items = re.split(r"\n- ", block[2:])
            blocks.append("<ul>" + "".join(f"<li>{i}</li>" for i in items) + "</ul>")
        else:
            blocks.append(f"<p>{block}</p>")
    return "".join(blocks)
