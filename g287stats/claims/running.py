"""``replicate``: run the analyses, hold their numbers against the published ones, write the report."""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from g287stats.catalog.text import csv
from g287stats.catalog.writing import write
from g287stats.claims.analyses import Analysis, analyses
from g287stats.claims.exhibits import Exhibit, Exhibits, versions
from g287stats.claims.registry import findings, published_text, statements
from g287stats.claims.vocabulary import NOT_YET
from g287stats.errors import UnavailableError


@dataclass(frozen=True)
class Replication:
    """What a run found: ``table`` (one row per claim), ``exhibits``, the folder, and what failed or was skipped."""

    table: pd.DataFrame
    exhibits: tuple[Exhibit, ...]
    out: Path
    seconds: dict[str, float]
    failed: dict[str, str]
    interrupted: bool = False

    @property
    def report(self) -> Path:
        """Path of the self-contained report."""
        return self.out / "report.html"

    def _repr_html_(self) -> str:
        shown = self.table[["claim_id", "finding", "published", "ours", "status", "statement_verdict"]]
        return shown.to_html(index=False)


def replicate(
    only: str | Sequence[str] | None = None, *, out: str | Path | None = None, progress: bool | None = None
) -> Replication:
    """Run analyses and report published against ours.

    Parameters
    ----------
    only
        Names of analyses or identifiers of claims; default: every analysis that needs bundled data alone.
    out
        Folder for exhibits and ``report.html`` (default: a temporary folder, named in the result).
    progress
        Show a progress bar; default: only at a terminal.

    Returns
    -------
    Replication
        ``.table`` has one row per claim that was run: published, ours, the difference in standard errors, the
        replication status, the verdict on the statement.

    Notes
    -----
    Interrupting keeps every finished exhibit and still writes the report on those. An analysis that fails is
    reported with its error; the others run.
    """
    chosen = _choose(only)
    folder = Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="g287stats-"))
    folder.mkdir(parents=True, exist_ok=True)
    show = sys.stderr.isatty() if progress is None else progress
    exhibits: list[Exhibit] = []
    results: list[dict[str, Any]] = []
    seconds: dict[str, float] = {}
    failed: dict[str, str] = {}
    interrupted = False
    with tqdm(chosen, disable=not show, unit="analysis") as bar:
        for analysis in bar:
            bar.set_description(analysis.name)
            bench = Exhibits(analysis.name, folder / analysis.name, analysis.claims, analysis.differences)
            start = time.perf_counter()
            if analysis.data_version != versions()["data"]:
                failed[analysis.name] = (
                    f"pinned to data {analysis.data_version}, the released tables are {versions()['data']}: install "
                    "the version of g287stats that holds them, or review the analysis and its published.toml"
                )
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # every warning's content travels in Estimate.notes and flows
                    analysis.load()(bench)
            except KeyboardInterrupt:
                interrupted = True
            except Exception as error:  # one analysis that fails must not lose the exhibits of the others
                failed[analysis.name] = f"{type(error).__name__}: {error}"
            exhibits += bench.written
            results += bench.results
            seconds[analysis.name] = time.perf_counter() - start
            if interrupted:
                break
    table = _table(results, chosen, only)
    write(folder / "findings.csv", csv(table))
    done = Replication(table, tuple(exhibits), folder, seconds, failed, interrupted)
    _report(done, chosen)
    return done


def _report(run: Replication, chosen: list[Analysis]) -> None:
    from g287stats.report.html import Section, write_report

    shown = ["claim_id", "finding", "published", "ours", "minimum_detectable_effect", "status", "reason", "note"]
    sections = []
    for analysis in chosen:
        rows = run.table[run.table["analysis"] == analysis.name]
        comparison = rows[[c for c in shown if rows[c].notna().any()]]
        mine = [e for e in run.exhibits if e.analysis == analysis.name]
        folder = run.out / analysis.name
        sections.append(Section(analysis.name, analysis.title, comparison, mine, folder, analysis.differences))
    write_report(
        run.report,
        sections,
        verdicts=statements()[["statement", "verdict", "reason", "data_used"]],
        rest=run.table.loc[run.table["status"] == NOT_YET, ["claim_id", "finding", "published", "check_tier", "note"]],
        versions=versions(),
        failed=run.failed,
        interrupted=run.interrupted,
    )


def _choose(only: str | Sequence[str] | None) -> list[Analysis]:
    known = analyses()
    if only is None:
        return [a for a in known.values() if a.default]
    names = [only] if isinstance(only, str) else list(only)
    chosen: dict[str, Analysis] = {}
    for name in names:
        hits = [a for a in known.values() if name in (a.name, *a.claims)]
        if not hits:
            claims = set(findings()["claim_id"])
            if name in claims:
                raise UnavailableError(
                    f"claim {name!r} has no analysis in this version; g.finding({name!r}) shows what was published"
                )
            raise UnavailableError(f"{name!r} is neither an analysis ({', '.join(known)}) nor a claim id")
        chosen |= {a.name: a for a in hits}
    return [a for a in known.values() if a.name in chosen]


def _table(results: list[dict[str, Any]], chosen: list[Analysis], only: Any) -> pd.DataFrame:
    """One row per result, then the claims of the chosen analyses (or all claims) that got none."""
    columns = [
        "claim_id", "finding", "published", "ours", "value", "std_error", "distance_se",
        "minimum_detectable_effect", "status", "reason", "statement_verdict", "check_tier", "data", "note",
        "simulated", "analysis",
    ]  # fmt: skip
    table = pd.DataFrame(results).reindex(columns=columns)
    claims = findings()
    if only is not None:
        claims = claims[claims["claim_id"].isin({c for a in chosen for c in a.claims})]
    rest = claims[~claims["claim_id"].isin(table["claim_id"])]
    home = {c: a.name for a in analyses().values() for c in a.claims}
    how = [f"g287stats replicate --only {home[c]}" if c in home else "no analysis yet" for c in rest["claim_id"]]
    extra = pd.DataFrame(
        {
            "claim_id": rest["claim_id"],
            "note": how,
            "finding": rest["finding"],
            "published": [published_text(row) for _, row in rest.iterrows()],
            "status": NOT_YET,
            "statement_verdict": rest["statement_verdict"],
            "check_tier": rest["check_tier"],
        }
    ).reindex(columns=columns)
    parts = [p for p in (table, extra) if len(p)]
    return pd.concat([p.astype(object) for p in parts], ignore_index=True) if parts else table
