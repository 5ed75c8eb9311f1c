"""How a result is shown: its words, its table (Markdown, LaTeX booktabs, HTML), and the look of plots."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from g287stats.errors import choose
from g287stats.palette import GREY as GREY
from g287stats.palette import INK as INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Format = Literal["markdown", "latex", "html", "typst"]


def number(value: float, decimals: int = 4) -> str:
    """A number to ``decimals`` places, or to that many significant digits where places would show next to nothing."""
    small = 0 < abs(value) < 10.0**-decimals
    return f"{value:.{decimals}g}" if small else f"{value:.{decimals}f}"


class Shown:
    """A result in words and numbers; all results have the same short list of methods.

    ``str()``, :meth:`summary` and the notebook show its words and its table; :meth:`tidy` has the numbers, which
    ``to_markdown``, ``to_latex`` and ``to_html`` print (options of :func:`frame_table`). ``plot`` is there where there
    is a picture.
    """

    def _words(self) -> str:
        return ""

    def _table(self) -> pd.DataFrame | None:
        return None

    def tidy(self) -> pd.DataFrame:
        """The numbers: the table shown, or one row of all there is."""
        table = self._table()
        if table is None:
            named = {f.name: getattr(self, f.name) for f in fields(self) if f.repr}  # type: ignore[arg-type]
            table = pd.DataFrame([{k: v for k, v in named.items() if v is None or np.isscalar(v)}])
        return table

    def summary(self) -> str:
        """Return the words and the table as text."""
        return str(self)

    def to_markdown(self, **options: Any) -> str:
        """Return the numbers as a Markdown table."""
        return frame_table(self.tidy(), "markdown", **options)

    def to_latex(self, **options: Any) -> str:
        """Return the numbers as a LaTeX (booktabs) table."""
        return frame_table(self.tidy(), "latex", **options)

    def to_html(self, **options: Any) -> str:
        """Return the numbers as an HTML table."""
        return frame_table(self.tidy(), "html", **options)

    def __str__(self) -> str:
        table = self._table()
        parts = [self._words(), "" if table is None else table.to_string(index=False, float_format=number)]
        return "\n".join(p for p in parts if p)

    def _repr_html_(self) -> str:
        return result_html(self._words(), self._table())


def frame_table(frame: pd.DataFrame, format: Format = "markdown", *, digits: int = 3, caption: str = "") -> str:
    """Render a frame; missing cells are left empty.

    Numbers are rounded to ``digits`` decimals; those that would show as next to nothing, below 10^−digits, to
    ``digits`` significant digits instead.
    """
    head = [str(c).replace("_", " ") for c in frame.columns]
    body = [[cell(v, digits) for v in row] for row in frame.itertuples(index=False)]
    numeric = [frame.dtypes.iloc[j].kind in "iuf" for j in range(frame.shape[1])]
    return render(head, body, numeric, format, caption)


def result_html(words: str, table: pd.DataFrame | None) -> str:
    """Rich display of a result for notebooks: its words, and its table under them."""
    told = "<br>".join(html.escape(line) for line in words.splitlines())
    shown = "" if table is None else frame_table(table, "html")
    return f"<div>{f'<p>{told}</p>' if told else ''}{shown}</div>"


def cell(value: Any, digits: int) -> str:
    """One value as a cell of a table; missing is empty."""
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, (float, np.floating)):
        value = float(value)
        if np.isnan(value):
            return ""
        if np.isinf(value):
            return "∞" if value > 0 else "−∞"
        if value == round(value) and abs(value) < 1e15:
            return f"{value:,.0f}"
        return number(value, digits) if abs(value) < 1 else f"{value:,.{digits}f}"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d")
    return f"{value:,}" if isinstance(value, (int, np.integer)) and abs(int(value)) >= 10_000 else str(value)


def render(
    head: list[str],
    body: list[list[str]],
    numeric: list[bool],
    format: Format,
    caption: str,
    notes: Sequence[str] = (),
) -> str:
    """A table in one of the formats; ``numeric`` columns are aligned right; ``notes`` are lines under it."""
    choose("format", format, get_args(Format))
    if format == "markdown":
        clean = [[c.replace("|", "\\|").replace("\n", " ") for c in row] for row in [head, *body]]
        rule = ["---:" if n else "---" for n in numeric]
        lines = ["| " + " | ".join(row) + " |" for row in [clean[0], rule, *clean[1:]]]
        under = "".join(f"\n{note}\n" for note in notes)
        return (f"**{caption}**\n\n" if caption else "") + "\n".join(lines) + "\n" + under
    if format == "typst":
        return _typst([head, *body], numeric, caption, notes)
    if format == "latex":
        spec = "".join("r" if n else "l" for n in numeric)
        rows = [" & ".join(_tex(c) for c in row) + r" \\" for row in body]
        title = f"\\caption{{{_tex(caption)}}}\n" if caption else ""
        return (
            "\\begin{table}\n\\centering\n"
            + title
            + f"\\begin{{tabular}}{{{spec}}}\n\\toprule\n"
            + " & ".join(_tex(c) for c in head)
            + " \\\\\n\\midrule\n"
            + "\n".join(rows)
            + "\n\\bottomrule\n\\end{tabular}\n"
            + "".join(f"\n\\smallskip\n{{\\footnotesize {_tex(note)}}}\n" for note in notes)
            + "\\end{table}\n"
        )
    top = "".join(f"<th>{html.escape(c)}</th>" for c in head)
    align = [' class="n"' if n else "" for n in numeric]
    rows = ["<tr>" + "".join(f"<td{a}>{html.escape(c)}</td>" for a, c in zip(align, r)) + "</tr>" for r in body]
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    whole = f"<table>{title}<thead><tr>{top}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return whole + "".join(f"<p>{html.escape(note)}</p>" for note in notes)


def _typst(rows: list[list[str]], numeric: list[bool], caption: str, notes: Sequence[str]) -> str:
    """A Typst figure; every cell is content, special characters escaped."""
    escape = lambda text: re.sub(r"([\\#$*_`<>@\[\]~=])", r"\\\1", text)
    align = ", ".join("right" if n else "left" for n in numeric)
    cells = "".join("  " + ", ".join(f"[{escape(c)}]" for c in row) + ",\n" for row in rows)
    rule = "  table.hline(stroke: 0.5pt),\n"
    head, rest = cells.split("\n", 1)
    body = f"table(columns: {len(numeric)}, align: ({align},), stroke: none,\n{rule}{head}\n{rule}{rest}{rule})"
    title = f", caption: [{escape(caption)}]" if caption else ""
    return f"#figure({body}{title})\n" + "".join(f"\n#text(size: 8pt)[{escape(note)}]\n" for note in notes)


_TEX = str.maketrans(
    {
        "\\": "\\textbackslash{}",
        "&": "\\&",
        "%": "\\%",
        "#": "\\#",
        "_": "\\_",
        "$": "\\$",
        "{": "\\{",
        "}": "\\}",
        "~": "\\textasciitilde{}",
        "^": "\\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
        "≤": "$\\le$",
        "≥": "$\\ge$",
        "×": "$\\times$",
        "·": "$\\cdot$",
        "−": "$-$",
        "∞": "$\\infty$",
    }
)


def _tex(text: str) -> str:
    return text.translate(_TEX)


"""Colours of lines and of what stands behind them."""


def clean(ax: Axes) -> Axes:
    """Axes without the box's upper and right side."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax
