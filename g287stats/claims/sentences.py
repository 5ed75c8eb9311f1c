"""Plain sentences from the numbers of a grid, by rule: the same frame always gives the same words.

Nothing is called "no effect". A grid that cannot tell says so, with what it could have seen.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from g287stats.claims.judge import CONCORD, GridReading, read_grid

MANY = 6
"""Treated places named in a sentence."""


def headline(words: str, rows: pd.DataFrame, margin: float, axes: pd.DataFrame, unit: str = "%") -> str:
    """First sentence about an outcome: what the grid says, and what that depends on."""
    grid = read_grid(rows, margin, axes)
    words = words[0].upper() + words[1:]
    if grid.n == 0:
        return f"{words}: no specification could be estimated with the data here."
    if grid.reading == "depends":
        return f"{words}: {_direction(rows)} that depend on {_what(grid, axes, margin)}."
    if grid.reading == "uninformative":
        least = float(rows["detectable"].min())
        return (
            f"{words}: most specifications cannot tell a change of {margin:g} {unit} from none; the sharpest of them "
            f"would have seen {least:.1f} {unit}."
        )
    said = {
        "decline": f"a decline of at least {margin:g} {unit}",
        "rise": f"a rise of at least {margin:g} {unit}",
        "negligible": f"changes smaller than {margin:g} {unit} either way",
    }[grid.reading]
    return f"{words}: {said}, in {100 * grid.shares[grid.reading]:.0f} % of specifications."


def spread(rows: pd.DataFrame, margin: float, unit: str = "%") -> str:
    """Second sentence: range, median, how many rows say what."""
    e, n = rows["estimate"], len(rows)
    counts = rows["reading"].value_counts()
    down, up, none = (int(counts.get(k, 0)) for k in ("decline", "rise", "negligible"))
    return (
        f"{n} specifications give {e.min():+.1f} to {e.max():+.1f} {unit}, median {e.median():+.1f}: {down} show a "
        f"decline of at least {margin:g} {unit} that chance does not explain, {up} such a rise, {none} a change "
        f"smaller than that, {n - down - up - none} cannot tell."
    )


def axis_sentence(axes: pd.DataFrame, unit: str = "points") -> str:
    """Third sentence: which choice moves the estimate most, beyond its error; or that none does."""
    moved = axes[axes["p_value"] < 0.05] if len(axes) else axes
    if not len(moved):
        return "No single choice moves the estimate by more than its error."
    a = moved.loc[moved["difference"].abs().idxmax()]
    low, high = (a["level"], a["other"]) if a["difference"] < 0 else (a["other"], a["level"])
    return (
        f"The choice of {a['axis']} moves the estimate most: “{low}” gives {abs(a['difference']):.1f} {unit} less than "
        f"“{high}” (standard error {a['std_error']:.1f})."
    )


def lost_sentence(lost: pd.DataFrame, design: str) -> str:
    """Which treated places a design loses, with their share of identifications."""
    if not len(lost):
        return f"Of the treated places, “{design}” loses none."
    order = lost.sort_values(["identified", "county_fips"], ascending=[False, True])
    named = [f"{r.county}, {r.state}" for r in order.head(MANY).itertuples()]
    more = f" and {len(order) - MANY} more" if len(order) > MANY else ""
    share = 100 * float(order["identified_share"].sum())
    return (
        f"“{design}” loses {len(order)} treated places with {share:.0f} % of the identifications by county agencies in "
        f"fiscal years 2006 to 2013: {'; '.join(named)}{more}."
    )


def strongest(rows: pd.DataFrame) -> pd.DataFrame:
    """The strongest evidence on either side: the lowest upper end, the highest lower end, the shortest interval."""
    if not len(rows):
        return rows.assign(side=[])
    length = rows["conf_high"] - rows["conf_low"]
    picks = {"decline": rows["conf_high"].idxmin(), "rise": rows["conf_low"].idxmax(), "sharpest": length.idxmin()}
    return rows.loc[list(picks.values())].assign(side=list(picks))


def _direction(rows: pd.DataFrame) -> str:
    down = float((rows["estimate"] < 0).mean())
    return "declines" if down >= CONCORD else "rises" if down <= 1 - CONCORD else "declines and rises"


def _what(grid: GridReading, axes: pd.DataFrame, margin: float) -> str:
    if len(axes):
        found = axes[(axes["p_value"] < 0.05) & (axes["difference"].abs() >= margin)]
        if len(found):
            order = np.argsort(-found["difference"].abs().to_numpy(), kind="stable")
            return " and ".join(f"the {found['axis'].iloc[i]}" for i in order)
    return "the design, no single choice deciding"
