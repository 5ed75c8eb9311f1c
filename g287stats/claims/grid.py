"""A declared grid of specifications: read from an analysis's ``grid.toml``, estimated row by row, joined.

The declaration is written before anything is estimated and holds everything a reader could object to: the axes and
their levels, which combinations make sense, the smallest effect worth speaking of for each outcome, which rows bear
on which claim, and for each claim the order in which levels are near to the published study. A level whose data are
not here stays in the grid as a row that needs data; no row is dropped for what it says.
"""

from __future__ import annotations

import itertools
import tomllib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from g287stats.claims.judge import contrasts, detectable, read_row
from g287stats.claims.recommended import Interval, recommended
from g287stats.errors import G287Error, Problems, SchemaError, SourceError, UnavailableError
from g287stats.estimate.estimate import Estimate

NUMBERS = ("estimate", "std_error", "conf_low", "conf_high", "p_value", "detectable", "inflation")


@dataclass(frozen=True)
class ClaimRows:
    """Which rows bear on a claim (``where``: column → levels) and what is near to the published study."""

    where: Mapping[str, tuple[str, ...]]
    nearest: Mapping[str, tuple[str, ...]]
    explained: str = ""
    related: str = ""


@dataclass(frozen=True)
class Grid:
    """A declared grid.

    Attributes
    ----------
    axes
        Names of the axes, the most important for nearness first.
    levels
        Levels by axis, the nearest to the published studies first.
    outcomes
        Name → what it is in words.
    margins
        Smallest effect worth speaking of by outcome, in percent (or in the unit the grid names).
    claims
        Rows by claim.
    specifications
        One row a specification: ``spec``, ``outcome`` and the axes.
    options
        The rest of the declaration (data sets, samples …), for the function that estimates a row.
    """

    axes: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]
    outcomes: Mapping[str, str]
    margins: Mapping[str, float]
    claims: Mapping[str, ClaimRows]
    specifications: pd.DataFrame
    unit: str = "percent"
    options: Mapping[str, Any] = field(default_factory=dict)

    def rows_of(self, claim: str, frame: pd.DataFrame) -> pd.DataFrame:
        """Rows of ``frame`` that bear on ``claim`` and were estimated, the nearest to the published study first.

        Nearness reads the declaration only: axis by axis, in the order of ``axes``, the position of the row's level
        in the claim's ``nearest`` list (or in the levels of the axis). Estimates play no part.
        """
        chosen = self.claims[claim]
        keep = pd.Series(frame["state"] == "estimated")
        for column, allowed in chosen.where.items():
            keep &= frame[column].isin(allowed)
        rows = frame[keep]
        order = pd.DataFrame({a: rows[a].map(self._rank(chosen, a)) for a in self.axes}, index=rows.index)
        order["spec"] = rows["spec"]
        return rows.loc[order.sort_values([*self.axes, "spec"], kind="stable").index]

    def margin_of(self, claim: str) -> float:
        """Margin of the outcomes of a claim (the largest when it has several)."""
        outcomes = self.claims[claim].where.get("outcome", tuple(self.outcomes))
        return max(self.margins[o] for o in outcomes)

    def _rank(self, chosen: ClaimRows, axis: str) -> dict[str, int]:
        first = chosen.nearest.get(axis, ())
        order = [*first, *(v for v in self.levels[axis] if v not in first)]
        return {level: i for i, level in enumerate(order)}


def load_grid(path: Path) -> Grid:
    """Read and check a declaration; all problems of the file at once."""
    card = tomllib.loads(path.read_text("utf-8"))
    problems = Problems(str(path))
    levels = {a: tuple(v) for a, v in card["levels"].items()}
    axes = tuple(card.get("axes", levels))
    outcomes = {k: v["words"] for k, v in card["outcomes"].items()}
    margins = {k: float(v["margin"]) for k, v in card["outcomes"].items()}
    known = {**levels, "outcome": tuple(outcomes)}

    def picked(where: str, table: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        out = {}
        for key, values in table.items():
            listed = (values,) if isinstance(values, str) else tuple(values)
            if key not in known:
                problems.add(f"{where}: no axis is called", [key])
            elif bad := [v for v in listed if v not in known[key]]:
                problems.add(f"{where}: not levels of {key}", bad)
            out[key] = listed
        return out

    blocks = [picked(f"block {i + 1}", b) for i, b in enumerate(card["blocks"])]
    claims = {}
    for name, c in card.get("claims", {}).items():
        where = picked(name, {k: v for k, v in c.items() if k not in ("nearest", "explained", "related")})
        nearest = picked(f"{name}, nearest", c.get("nearest", {}))
        claims[name] = ClaimRows(where, nearest, c.get("explained", ""), c.get("related", ""))
    problems.raise_if_any(SchemaError)
    columns = ["outcome", *axes]
    rows = [
        dict(zip(columns, spec))
        for block in blocks
        for spec in itertools.product(*(block.get(c, known[c]) for c in columns))
    ]
    frame = pd.DataFrame(rows).drop_duplicates(ignore_index=True)
    frame.insert(0, "spec", frame.agg(" | ".join, axis=1))
    rest = {k: v for k, v in card.items() if k not in ("levels", "axes", "outcomes", "blocks", "claims", "unit")}
    return Grid(axes, levels, outcomes, margins, claims, frame, card.get("unit", "percent"), rest)


@dataclass(frozen=True)
class Cell:
    """What estimating one specification gives.

    Attributes
    ----------
    estimate
        One parameter.
    base
        What the point estimate is divided by to be in percent: the treated units' mean before treatment for a rate,
        1 for logs and Poisson.
    treated
        Labels of the treated units that the design uses.
    effective
        Effective number of treated units (Kish), their weights counted; default their number.
    interval
        Interval from another inference (a permutation), in units of the estimate.
    """

    estimate: Estimate
    base: float = 1.0
    treated: tuple[str, ...] = ()
    effective: float | None = None
    interval: Interval | None = None
    leads_p: float = float("nan")


@dataclass(frozen=True)
class GridResult:
    """An estimated grid: ``frame`` (one row a specification), ``joint`` covariance of the estimated rows, treated."""

    grid: Grid
    frame: pd.DataFrame
    cov: np.ndarray
    treated: Mapping[str, tuple[str, ...]]

    def axes_of(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Contrasts by axis among ``rows`` (a subset of ``frame``)."""
        rows = rows[rows["joined"]]
        at = self.frame.index[self.frame["joined"]].get_indexer(rows.index)
        return contrasts(rows.reset_index(drop=True), self.cov[np.ix_(at, at)], self.grid.axes)


def estimate_grid(grid: Grid, estimate: Callable[[Mapping[str, Any]], Cell]) -> GridResult:
    """Estimate every specification of a grid with ``estimate``.

    A specification whose data are not in hand becomes a row in state ``needs data`` with the file and the command; one
    that is not identified (no overlap, nobody treated) becomes ``not identified`` with the reason.
    """
    from tqdm import tqdm

    rows: list[dict[str, Any]] = []
    cells: dict[int, Cell] = {}
    for number, spec in enumerate(tqdm(grid.specifications.to_dict("records"), desc="specifications", disable=None)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what they say travels in the estimate's notes
                cell = estimate(spec)
                found = describe(cell, grid.margins[spec["outcome"]])
            cells[number] = cell
        except (UnavailableError, SourceError) as error:
            found = {"state": "needs data", "message": str(error)}
        except G287Error as error:
            found = {"state": "not identified", "message": str(error)}
        rows.append({**spec, **found})
    frame = pd.DataFrame(rows)
    for column in (*NUMBERS, "leads_p", "n_units", "n_treated", "effective_treated"):
        frame[column] = pd.to_numeric(frame[column]) if column in frame else np.nan
    for column in ("reading", "inference", "message"):
        frame[column] = frame[column].fillna("") if column in frame else ""
    frame["margin"] = frame["outcome"].map(dict(grid.margins))
    frame, cov = _joined(frame, cells)
    order = [
        "spec",
        "outcome",
        *grid.axes,
        *NUMBERS,
        "margin",
        "reading",
        "leads_p",
        "n_units",
        "n_treated",
        "effective_treated",
        "inference",
        "state",
        "joined",
        "message",
    ]
    return GridResult(grid, frame[order], cov, {grid.specifications["spec"][n]: c.treated for n, c in cells.items()})


def describe(cell: Cell, margin: float) -> dict[str, Any]:
    """One row of a grid: the estimate in percent, its interval by the recommended inference, and what it says."""
    scale = 100.0 / cell.base
    sample = cell.estimate.sample
    treated = len(cell.treated) or sample.get("n_treated") or np.nan
    interval = cell.interval or recommended(cell.estimate, cell.effective or float(treated))
    point, se = float(cell.estimate.point[0]), float(cell.estimate.se.iloc[0])
    low, high = interval.low * scale, interval.high * scale
    implied = (high - low) / (2 * 1.959963984540054)
    return {
        "estimate": point * scale,
        "std_error": implied,
        "conf_low": low,
        "conf_high": high,
        "p_value": interval.p_value,
        "detectable": detectable(low, high),
        "inflation": implied / abs(se * scale) if se > 0 else np.nan,
        "reading": read_row(point * scale, low, high, margin),
        "leads_p": cell.leads_p,
        "n_units": sample.get("n_units"),
        "n_treated": treated,
        "effective_treated": cell.effective or treated,
        "inference": interval.how,
        "state": "estimated",
        "message": "",
    }


def _joined(frame: pd.DataFrame, cells: Mapping[int, Cell]) -> tuple[pd.DataFrame, np.ndarray]:
    """Joint covariance, in percent, of the rows whose influence is known by unit."""
    from g287stats.inference.multiplicity import joint

    usable: dict[str, Estimate] = {}
    for number, cell in cells.items():
        try:
            joint({str(number): cell.estimate})
        except G287Error:
            continue
        usable[str(number)] = cell.estimate
    frame = frame.assign(joined=[str(n) in usable for n in range(len(frame))])
    if not usable:
        return frame, np.zeros((0, 0))
    scale = np.array([100.0 / cells[int(n)].base for n in usable])
    return frame, joint(usable).cov().to_numpy() * np.outer(scale, scale)
