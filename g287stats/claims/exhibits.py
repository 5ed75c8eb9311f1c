"""What an analysis writes: exhibits with their provenance, and results held against published claims.

Every exhibit is on disk when the call returns, so an interrupted run loses none that were finished.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
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
from g287stats.claims.judge import Verdict, judge_effect, judge_number
from g287stats.claims.registry import findings, published_text
from g287stats.claims.vocabulary import STATUS
from g287stats.errors import G287Error
from g287stats.estimate.estimate import Estimate
from g287stats.inference.power import minimum_detectable_effect
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
    written: list[Exhibit] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)

    def table(
        self, name: str, frame: pd.DataFrame, *, title: str, note: str = "", digits: int = 3,
        provenance: Mapping[str, Any] | None = None, simulated: bool = False,
    ) -> None:  # fmt: skip
        """Write ``frame`` as CSV (full precision), Markdown and LaTeX, and its provenance as JSON."""
        caption = _marked(title, simulated)
        files: dict[str, Content] = {
            "csv": csv(frame),
            "md": frame_table(frame, "markdown", digits=digits, caption=caption),
            "tex": frame_table(frame, "latex", digits=digits, caption=caption),
        }
        self._finish(name, "table", caption, note, files, provenance, simulated)

    def figure(
        self, name: str, figure: Figure, *, title: str, note: str = "",
        provenance: Mapping[str, Any] | None = None, simulated: bool = False,
    ) -> None:  # fmt: skip
        """Write ``figure`` as PNG and PDF, and its provenance as JSON."""
        import matplotlib.pyplot as plt

        if simulated:
            figure.text(0.99, 0.01, "simulated", ha="right", va="bottom", color="#AA3377", fontsize=9)
        files: dict[str, Content] = {
            "png": lambda path: figure.savefig(path, dpi=150, bbox_inches="tight", metadata={"Software": None}),
            "pdf": lambda path: figure.savefig(path, bbox_inches="tight", metadata={"CreationDate": None}),
        }
        self._finish(name, "figure", _marked(title, simulated), note, files, provenance, simulated)
        plt.close(figure)

    def result(
        self, claim_id: str, ours: float | tuple[float, float] | Estimate, *, data: str, explained: str = "",
        note: str = "", simulated: bool = False, related: bool = False,
    ) -> Verdict:  # fmt: skip
        """Hold ``ours`` (a number, a bracket of two, or an estimate of one parameter) against a published claim.

        ``explained`` must be a heading of the analysis's DIFFERENCES.md: a difference without a written
        explanation stays unexplained. ``related`` says that ours is a related quantity, not the published one.
        """
        if claim_id not in self.claims:
            raise G287Error(f"{self.analysis}: claim {claim_id!r} is not listed in published.toml")
        if explained and f"# {explained}" not in self.differences:
            raise G287Error(f"{self.analysis}: DIFFERENCES.md has no heading {explained!r}")
        claim = findings().set_index("claim_id", drop=False).loc[claim_id]
        row: dict[str, Any] = {"claim_id": claim_id, "finding": claim["finding"], "published": published_text(claim)}
        if isinstance(ours, Estimate):
            if len(ours.point) != 1:
                raise G287Error(f"{claim_id}: an effect is one parameter; aggregate or select first")
            point, se = float(ours.point[0]), float(ours.se.iloc[0])
            verdict = judge_effect(claim, point, se, ours.critical_value(), explained=explained)
            mde = minimum_detectable_effect(ours)
            row |= {"ours": f"{point:.3g} (se {se:.3g})", "value": point, "std_error": se}
            row |= {"minimum_detectable_effect": float(mde.exact)}
        else:
            verdict = judge_number(claim, ours, explained=explained, related=related)
            text = " to ".join(f"{v:,g}" for v in sorted(ours)) if isinstance(ours, tuple) else f"{ours:,.6g}"
            row |= {"ours": text, "value": np.nan if isinstance(ours, tuple) else float(ours)}
        if simulated:  # planted, not found: never judged against the published number
            verdict = Verdict(STATUS[-1], "the data are simulated; the number shows what was planted")
            row["ours"] = f"simulated: {row['ours']}"
        row |= {
            "distance_se": verdict.distance_se, "status": verdict.status, "reason": verdict.reason,
            "statement_verdict": claim["statement_verdict"], "data": data, "note": note,
            "check_tier": claim["check_tier"], "simulated": simulated, "analysis": self.analysis,
        }  # fmt: skip
        self.results.append(row)
        return verdict

    def _finish(
        self, name: str, kind: str, title: str, note: str, contents: Mapping[str, Content],
        provenance: Mapping[str, Any] | None, simulated: bool,
    ) -> None:  # fmt: skip
        """Write the files of one exhibit and its provenance together."""
        files = tuple(f"{name}.{s}" for s in contents)
        record = {
            "analysis": self.analysis, "exhibit": name, "title": title, "note": note, "files": list(files),
            "simulated": simulated, "versions": versions(), "provenance": dict(provenance or {}),
        }  # fmt: skip
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
