"""How a result is shown: its words, and its table under them, in a terminal and in a notebook."""

from __future__ import annotations

import pandas as pd


def number(value: float, decimals: int = 4) -> str:
    """A number to ``decimals`` places, or to that many significant digits where places would show next to nothing."""
    small = 0 < abs(value) < 10.0**-decimals
    return f"{value:.{decimals}g}" if small else f"{value:.{decimals}f}"


class Shown:
    """A result with words and perhaps a table; ``str()`` and the notebook show both."""

    def _words(self) -> str:
        return ""

    def _table(self) -> pd.DataFrame | None:
        return None

    def __str__(self) -> str:
        table = self._table()
        parts = [self._words(), "" if table is None else table.to_string(index=False, float_format=number)]
        return "\n".join(p for p in parts if p)

    def _repr_html_(self) -> str:
        from g287stats.report.tables import result_html

        return result_html(self._words(), self._table())
