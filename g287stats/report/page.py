"""The shell of every page: one file, no network, complete without a script, readable on a phone and on paper."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache
from html import escape as e
from importlib.resources import files
from typing import Any

from g287stats.report.words import day

CSP = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
STALE = (
    "(function(){var b=document.getElementById('old');if(b&&Date.now()-Date.parse(b.dataset.day)>31*864e5)"
    "b.hidden=false})();"
)


@cache
def css(*names: str) -> str:
    """Return style sheets of the package, squeezed."""
    text = "".join(files("g287stats").joinpath(n).read_text("utf-8") for n in ("report/page.css", *names))
    return re.sub(r"\s*\n\s*", "", text)


def page(
    title: str,
    body: str,
    *,
    description: str,
    crumbs: Sequence[tuple[str, str | None]],
    list_date: date | None = None,
    foot: Sequence[str] = (),
    styles: Sequence[str] = (),
    script: str = "",
) -> str:
    """Return a whole document. ``crumbs`` are (words, address or None); ``foot`` the footer's paragraphs (HTML)."""
    trail = "".join(f'<a href="{e(to)}">{e(w)}</a>' if to else f"<span>{e(w)}</span>" for w, to in crumbs)
    old = ""
    if list_date is not None:
        old = (
            f'<p class="banner" id="old" data-day="{list_date}" hidden>Last list here: {day(list_date)}, '
            f"more than 31 days "
            "ago.</p>"
        )
    closing = "".join(f"<p>{p}</p>" for p in foot)
    code = (STALE if old else "") + script
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{CSP}"><meta name="viewport" content="width=device-width,initial-scale=1"><title>{e(title)}</title>'
        f'<meta name="description" content="{e(description)}"><style>{css(*styles)}</style></head><body>'
        f'<a class="skip" href="#main">Skip to content</a><header class="top"><nav class="wrap" aria-label="Pages">'
        f'{trail}</nav></header><main id="main" class="wrap">{old}{body}</main><footer class="wrap">{closing}</footer>'
        f'<div class="run" '
        f'aria-hidden="true">{e(title)}</div>{f"<script>{code}</script>" if code else ""}</body></html>\n'
    )


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    numbers: Sequence[int] = (),
    me: int = -1,
    stack: bool = True,
    tight: bool = False,
    attributes: str = "",
    hide_caption: bool = False,
) -> str:
    """Return a table; cells are HTML already. ``numbers`` are the columns set flush right, ``me`` the marked row."""
    n = set(numbers)
    top = "".join(f'<th scope="col"{_n(j in n)}>{h}</th>' for j, h in enumerate(head))
    lines = []
    for i, row in enumerate(rows):
        first, *rest = row
        cells = f'<th scope="row">{first}</th>' + "".join(
            f'<td{_n(j in n)} data-l="{e(re.sub("<[^>]+>", "", head[j]))}">{c}</td>' for j, c in enumerate(rest, 1)
        )
        lines.append(f"<tr{' class=me' if i == me else ''}>{cells}</tr>")
    kind = f' class="stack{" tight" if tight else ""}"' if stack else ""
    said = f"<caption{' class=skip' if hide_caption else ''}>{caption}</caption>"
    return f"<table{kind}{attributes}>{said}<thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _n(number: bool) -> str:
    return ' class="n"' if number else ""


def swatch(kind: int | str, dot: bool = False) -> str:
    """Return the coloured square (or dot) of a class or model; always beside words."""
    name = f"k{kind}" if isinstance(kind, int) else f"m-{kind}"
    return f'<span class="sw {name}{" dot" if dot else ""}"></span>'


def data_uri(content: bytes, kind: str) -> str:
    """Return content as an address that needs no file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def download(words: str, name: str, content: bytes, kind: str = "text/csv") -> str:
    """Return a button that saves ``content`` under ``name``."""
    return f'<a class="btn" download="{e(name)}" href="{data_uri(content, kind)}">{e(words)}</a>'


XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
