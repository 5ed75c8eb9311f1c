"""Text that a spreadsheet would run, and the one way a frame becomes CSV.

A cell that starts with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return is run as a formula when a CSV file
is opened in a spreadsheet, unless it is a number or a list of numbers. Released tables refuse such text; tables
written for the user (exports, panels, exhibits) put an apostrophe before it.
"""

from __future__ import annotations

import pandas as pd

_RUNS = r"\s*[=+\-@\t\r\n＝＋－＠]"
_HARMLESS = r"[-+]?(?:[-+0-9.,;:/ %]|[0-9]e[-+]?[0-9])*"
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"


def runs(column: pd.Series) -> pd.Series:
    """Return which cells of a text column a spreadsheet would run as a formula."""
    text = column.astype("string").fillna("")
    return text.str.match(_RUNS) & ~text.str.fullmatch(_HARMLESS)


def controls(column: pd.Series) -> pd.Series:
    """Return which cells of a text column hold characters that steer a terminal or turn the direction of text."""
    return column.astype("string").fillna("").str.contains(_CONTROL)


def neutral(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` with an apostrophe before every text cell that a spreadsheet would run."""
    out = {}
    for name in frame:
        column = frame[name]
        if column.dtype.kind in "OUS" or column.dtype.name in ("string", "category"):
            text = column.map(lambda cell: cell if isinstance(cell, str) else "").astype("string")
            bad = runs(text).to_numpy(dtype=bool)
            if bad.any():
                marked = ("'" + text).str.replace(r"\r\n?", "\n", regex=True)
                out[name] = column.astype(object).where(~bad, marked.astype(object))
    return frame.assign(**out) if out else frame


def csv(frame: pd.DataFrame, *, index: bool = False) -> str:
    """Return ``frame`` as CSV text whose cells no spreadsheet runs: full precision, plain line ends."""
    table = frame.reset_index() if index else frame
    heading = [str(name) for name in table.columns]
    table = neutral(table).set_axis(["'" + h if runs(pd.Series([h])).iloc[0] else h for h in heading], axis=1)
    return table.to_csv(index=False, lineterminator="\n")
