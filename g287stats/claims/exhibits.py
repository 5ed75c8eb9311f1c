"""What an analysis writes: exhibits with their provenance, and results held against published claims.

Every exhibit is on disk when the call returns, so an interrupted run loses none that were finished.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from g287stats._version import __version__
from g287stats.catalog import released_dir
from g287stats.catalog.text import csv
from g287stats.catalog.writing import Content, changing
from g287stats.claims.grid import Grid, GridResult, estimate_grid, load_grid
from g287stats.claims.judge import Verdict, detectable, judge_grid, judge_number
from g287stats.claims.registry import findings, published_text
from g287stats.claims.vocabulary import STATUS
from g287stats.errors import G287Error
from g287stats.estimate.estimate import Estimate
from g287stats.shown import frame_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Exhibit:
    """One table or figure on disk."""

    analysis: str
    name: str
    kind: str
    title: str
    note: str
    files: tuple[str, ...]
    simulated: bool = False


@dataclass
class Exhibits:
    """The bench an analysis works on: ``table``, ``figure`` and ``result``; collects what was written."""

    analysis: str
    folder: Path
    claims: tuple[str, ...] = ()
    differences: str = ""
    source: Path = Path()
    written: list[Exhibit] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    door: Callable[[Any], Any] | None = None

    def confidential(self, door: Callable[[Any], Any]) -> None:
        """Let every table, figure, text and result pass ``door`` (``g.ncvs.release``) before it is written or kept."""
        self.door = lambda given: door(given).value

    def _leaves(self, given: Any) -> Any:
        return given if self.door is None else self.door(given)

    def table(
        self,
        name: str,
        frame: pd.DataFrame,
        *,
        title: str,
        note: str = "",
        digits: int = 3,
        provenance: Mapping[str, Any] | None = None,
        simulated: bool = False,
    ) -> None:
        """Write ``frame`` as CSV (full precision), Markdown and LaTeX, and its provenance as JSON."""
        frame = self._leaves(frame)
        caption = _marked(title, simulated)
        files: dict[str, Content] = {
            "csv": csv(frame),
            "md": frame_table(frame, "markdown", digits=digits, caption=caption),
            "tex": frame_table(frame, "latex", digits=digits, caption=caption),
        }
        self._finish(name, "table", caption, note, files, provenance, simulated)

    def figure(
        self,
        name: str,
        figure: Figure,
        *,
        title: str,
        note: str = "",
        provenance: Mapping[str, Any] | None = None,
        simulated: bool = False,
    ) -> None:
        """Write ``figure`` as PNG and PDF, and its provenance as JSON."""
        import matplotlib.pyplot as plt

        figure = self._leaves(figure)
        if simulated:
            figure.text(0.99, 0.01, "simulated", ha="right", va="bottom", color="#AA3377", fontsize=9)
        files: dict[str, Content] = {
            "png": lambda path: figure.savefig(path, dpi=150, bbox_inches="tight", metadata={"Software": None}),
            "pdf": lambda path: figure.savefig(path, bbox_inches="tight", metadata={"CreationDate": None}),
        }
        self._finish(name, "figure", _marked(title, simulated), note, files, provenance, simulated)
        plt.close(figure)

    def result(
        self,
        claim_id: str,
        ours: float | tuple[float, float] | Estimate,
        *,
        data: str,
        explained: str = "",
        note: str = "",
        simulated: bool = False,
        related: bool = False,
        margin: float | None = None,
    ) -> Verdict:
        """Hold ``ours`` (a number, a bracket of two, or an effect in percent) against a published claim.

        ``explained`` must be a heading of the analysis's DIFFERENCES.md: a difference without a written
        explanation stays unexplained. ``related`` says that ours is a related quantity, or follows from figures
        printed beside the published one. An effect needs ``margin``, the smallest effect worth speaking of.
        """
        claim = self._claim(claim_id, explained)
        row = self._row(claim, data, note, simulated)
        if isinstance(ours, Estimate):
            if len(ours.point) != 1:
                raise G287Error(f"{claim_id}: an effect is one parameter; aggregate or select first")
            if margin is None and not simulated:
                raise G287Error(f"{claim_id}: an effect needs margin=, the smallest effect worth speaking of")
            ends, point = ours.conf_int().iloc[0], float(ours.point[0])
            rows = pd.DataFrame([{"estimate": point, **ends}])
            verdict = judge_grid(claim, rows, margin or 0.0, explained=explained)
            row |= _shown(rows.iloc[0], "")
        else:
            verdict = judge_number(claim, ours, explained=explained, related=related)
            text = " to ".join(f"{v:,g}" for v in sorted(ours)) if isinstance(ours, tuple) else f"{ours:,.6g}"
            row |= {"ours": text, "value": np.nan if isinstance(ours, tuple) else float(ours)}
        if simulated:  # planted, not found: never judged against the published number
            verdict = Verdict(STATUS[-1], "the data are simulated; the number shows what was planted")
            row["ours"] = f"simulated: {row['ours']}"
        return self._keep(row, verdict)

    def declared(self) -> Grid:
        """The grid that the analysis declares in its ``grid.toml``."""
        return load_grid(self.source / "grid.toml")

    def county_grid(self, title: str, *, note: str = "") -> GridResult:
        """Estimate the declared grid as county designs, write it with a figure an outcome, judge its claims."""
        from g287stats.claims.county import CountyDesigns
        from g287stats.claims.plots import specification_curve

        grid = self.declared()
        designs = CountyDesigns(grid)
        found = estimate_grid(grid, designs)
        for outcome, words in grid.outcomes.items():
            rows = found.frame[(found.frame["outcome"] == outcome) & (found.frame["state"] == "estimated")]
            if len(rows) > 1:
                figure = specification_curve(rows, grid.axes, unit=grid.unit)
                record = {"declared in": "grid.toml"}
                self.figure(f"curve_{outcome}", figure, title=f"{title}: {words}", provenance=record)
        self.grid(grid, found, title=title, lost=designs.lost(found.treated), note=note)
        return found

    def grid(
        self, grid: Grid, found: GridResult, *, title: str, lost: pd.DataFrame | None = None, note: str = ""
    ) -> None:
        """Write an estimated grid, what its axes do, and the treated places it loses; judge its claims."""
        record = {"declared in": "grid.toml", "margins": dict(grid.margins), "unit": grid.unit}
        self.table("grid", found.frame, title=title, note=note, digits=1, provenance=record)
        estimated = found.frame[found.frame["state"] == "estimated"]
        parts = [found.axes_of(rows).assign(outcome=name) for name, rows in estimated.groupby("outcome", sort=False)]
        axes = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
        if len(axes):
            self.table(
                "axes",
                axes,
                title="How far each choice moves the estimate, all else equal",
                digits=2,
                note="Pairs of specifications that differ in this choice alone.",
                provenance=record,
            )
        if lost is not None and len(lost):
            self.table("lost", lost, title="Treated places that each design loses", provenance=record)
        for claim_id in grid.claims:
            self.judge(claim_id, grid, found)

    def judge(self, claim_id: str, grid: Grid, found: GridResult) -> Verdict:
        """Judge one claim over its rows of a grid; the row shown is the nearest to the published study."""
        chosen = grid.claims[claim_id]
        claim = self._claim(claim_id, chosen.explained)
        rows, margin = grid.rows_of(claim_id, found.frame), grid.margin_of(claim_id)
        waiting = found.frame[(found.frame["state"] == "needs data") & _where(found.frame, chosen.where)]
        if rows.empty:
            return self.needs(claim_id, waiting["message"].iloc[0] if len(waiting) else "no row could be estimated")
        first = rows.iloc[0]
        note = chosen.related + (f"; {len(waiting)} specifications need data" if len(waiting) else "")
        row = self._row(claim, str(first["spec"]), note.strip("; "), False)
        row |= _shown(first, grid.unit) | {"margin": margin}
        return self._keep(row, judge_grid(claim, rows, margin, found.axes_of(rows), explained=chosen.explained))

    def needs(self, claim_id: str, what: str, *, note: str = "") -> Verdict:
        """Say which data a claim needs: the file and the command or place to get it."""
        claim = self._claim(claim_id, "")
        return self._keep(self._row(claim, "", note, False), Verdict("needs data", what))

    def _claim(self, claim_id: str, explained: str) -> pd.Series:
        if claim_id not in self.claims:
            raise G287Error(f"{self.analysis}: claim {claim_id!r} is not listed in published.toml")
        if explained and f"# {explained}" not in self.differences:
            raise G287Error(f"{self.analysis}: DIFFERENCES.md has no heading {explained!r}")
        return findings().set_index("claim_id", drop=False).loc[claim_id]

    def _row(self, claim: pd.Series, data: str, note: str, simulated: bool) -> dict[str, Any]:
        return {
            "claim_id": claim["claim_id"],
            "seed_statement": claim["seed_statement"],
            "finding": claim["finding"],
            "published": published_text(claim),
            "standing": claim.get("standing"),
            "check_tier": claim["check_tier"],
            "data": data,
            "note": note,
            "simulated": simulated,
            "analysis": self.analysis,
        }

    def _keep(self, row: dict[str, Any], verdict: Verdict) -> Verdict:
        mine: dict[str, Any] = {
            k: row[k] for k in ("ours", "note", "value", "std_error", "minimum_detectable_effect") if k in row
        }
        mine |= {"reason": verdict.reason, "distance_se": verdict.distance_se}
        self.results.append(row | {"status": verdict.status} | self._leaves(mine))
        return verdict

    def _finish(
        self,
        name: str,
        kind: str,
        title: str,
        note: str,
        contents: Mapping[str, Content],
        provenance: Mapping[str, Any] | None,
        simulated: bool,
    ) -> None:
        """Write the files of one exhibit and its provenance together."""
        files = tuple(f"{name}.{s}" for s in contents)
        record = {
            "analysis": self.analysis,
            "exhibit": name,
            "title": title,
            "note": note,
            "files": list(files),
            "simulated": simulated,
            "versions": versions(),
        } | self._leaves({"note": note, "provenance": dict(provenance or {})})
        note = record.get("note", "")
        text = json.dumps(record, indent=1, ensure_ascii=False, default=str, sort_keys=True)
        with changing(self.folder) as change:
            for suffix, content in contents.items():
                change.put(f"{name}.{suffix}", content)
            change.put(f"{name}.json", text + "\n")
        self.written.append(Exhibit(self.analysis, name, kind, title, note, files, simulated))


def versions() -> dict[str, Any]:
    """Return the versions behind a number: code, data, schema, Python and the numerical libraries."""
    package = json.loads((released_dir() / "package.json").read_text("utf-8"))
    out: dict[str, Any] = {"g287stats": __version__, "data": package["version"], "schema": package["schema_version"]}
    out["python"] = platform.python_version()
    for name in ("numpy", "pandas", "scipy", "matplotlib"):
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            out[name] = "unknown"
    return out


def _marked(title: str, simulated: bool) -> str:
    return f"{title} (simulated)" if simulated and "simulated" not in title.lower() else title


def _where(frame: pd.DataFrame, where: Mapping[str, tuple[str, ...]]) -> pd.Series:
    keep = pd.Series(True, index=frame.index)
    for column, allowed in where.items():
        keep &= frame[column].isin(allowed)
    return keep


def _shown(row: pd.Series, unit: str) -> dict[str, Any]:
    """One row of a grid as the table of claims shows it."""
    point, low, high = float(row["estimate"]), float(row["conf_low"]), float(row["conf_high"])
    sign = " %" if unit == "percent" else f" {unit}" if unit else ""
    return {
        "ours": f"{point:+.1f}{sign} [{low:.1f}, {high:.1f}]",
        "value": point,
        "std_error": (high - low) / 3.919927969,
        "minimum_detectable_effect": detectable(low, high),
    }
