"""``replicate``: run the analyses, hold their numbers against the published ones, write the report."""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from g287stats.catalog import user_data_dir
from g287stats.catalog.record import released_only
from g287stats.catalog.text import csv
from g287stats.catalog.writing import write
from g287stats.claims.analyses import Analysis, analyses
from g287stats.claims.evidence import Evidence, assemble
from g287stats.claims.exhibits import Exhibit, Exhibits, versions
from g287stats.claims.kept import DONE, fingerprint, read_done, remove_written, write_done, write_manifest
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
        shown = self.table[["claim_id", "finding", "published", "ours", "status"]]
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
        replication status with its reason, how the published number itself stands.

    Notes
    -----
    Interrupting keeps every finished exhibit and still writes the report on those. An analysis that fails is
    reported with its error; the others run. An analysis that finished in ``out`` with the same code, data and inputs
    is read back, not run again; files of older runs are removed. ``exhibits.csv`` maps each claim to its exhibits,
    data with their sha256 and the command; ``manifest.json`` lists every file with its sha256.
    """
    chosen = _choose(only)
    folder = Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="g287stats-"))
    run = run_analyses(chosen, folder, progress=progress)
    if only is None and not run.interrupted:
        remove_others(folder, chosen)
    claims = findings()
    if only is not None:
        claims = claims[claims["claim_id"].isin({c for a in chosen for c in a.claims})]
    table = claims_table(run.results, claims)
    write(folder / "findings.csv", csv(table))
    done = Replication(table, tuple(run.exhibits), folder, run.seconds, run.failed, run.interrupted)
    _report(done, chosen)
    write_manifest(folder, chosen, table, run.exhibits)
    return done


@dataclass
class Run:
    """What running analyses gave: exhibits, results, seconds, failures."""

    exhibits: list[Exhibit] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


def run_analyses(chosen: Sequence[Analysis], folder: Path, *, progress: bool | None = None) -> Run:
    """Run analyses into ``folder``; those that finished there with the same code, data and inputs are read back."""
    show = sys.stderr.isatty() if progress is None else progress
    run = Run()
    with released_only(), tqdm(chosen, disable=not show, unit="analysis") as bar:
        for analysis in bar:
            bar.set_description(analysis.name)
            start = time.perf_counter()
            _run_one(analysis, folder / analysis.name, run)
            run.seconds[analysis.name] = time.perf_counter() - start
            if run.interrupted:
                break
    return run


def _run_one(analysis: Analysis, folder: Path, run: Run) -> None:
    if analysis.data_version != versions()["data"]:
        run.failed[analysis.name] = (
            f"pinned to data {analysis.data_version}, the released tables are {versions()['data']}: install "
            "the version of g287stats that holds them, or review the analysis and its published.toml"
        )
        return
    print_of_inputs = fingerprint(analysis)
    if (before := read_done(folder, print_of_inputs)) is not None:
        run.exhibits += before[0]
        run.results += before[1]
        return
    remove_written(folder)
    bench = Exhibits(analysis.name, folder, analysis.claims, analysis.differences, analysis.folder)
    complete = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # every warning's content travels in Estimate.notes and flows
            analysis.load()(bench)
        complete = True
    except KeyboardInterrupt:
        run.interrupted = True
    except Exception as error:  # one analysis that fails must not lose the exhibits of the others
        run.failed[analysis.name] = f"{type(error).__name__}: {error}"
    write_done(folder, bench, print_of_inputs if complete else "")
    run.exhibits += bench.written
    run.results += bench.results


def evidence(
    about: str, *, margin: float | None = None, out: str | Path | None = None, progress: bool | None = None
) -> Evidence:
    """Return the evidence on a statement or a claim.

    Parameters
    ----------
    about
        A statement (``"i"`` … ``"v"``, ``"count"``) or a claim (``"i-FN-crime"``).
    margin
        Smallest effect worth speaking of, in percent, in place of the declared one: what would change?
    out
        Folder of a run of :func:`g287stats.replicate` to read and, where analyses are missing or out of date, to
        write (default: a folder in the user's data directory). Analyses that are done are not run again.
    progress
        Show progress; default only at a terminal.

    Returns
    -------
    Evidence
        Frames, figures and sentences; every sentence is made by rule from the frames beside it.

    Examples
    --------
    >>> import g287stats as g
    >>> e = g.evidence("count")
    >>> e.claims["status"].value_counts()  # doctest: +SKIP
    """
    table = findings()
    chosen = table[(table["seed_statement"] == about) | (table["claim_id"] == about)]
    if chosen.empty:
        raise UnavailableError(
            f"{about!r} is neither a statement ({', '.join(statements()['statement_id'])}) nor a claim id"
        )
    ids = set(chosen["claim_id"])
    homes = [a for a in analyses().values() if ids & set(a.claims) and a.default]
    folder = Path(out) if out is not None else user_data_dir() / "replication"
    run = run_analyses(homes, folder, progress=progress)
    claims = claims_table([r for r in run.results if r["claim_id"] in ids], chosen)
    return assemble(about, claims, homes, folder, margin)


def remove_others(folder: Path, chosen: Sequence[Analysis]) -> None:
    """Remove what older runs wrote for analyses that are not in this one (only files that a run lists as its own)."""
    for path in sorted(folder.glob(f"*/{DONE}")):
        if path.parent.name not in {a.name for a in chosen}:
            remove_written(path.parent)


QUESTIONS = {  # in the order of the report
    "i": "Did recorded crime change?",
    "ii": "Did violent victimization of Latinos change?",
    "iii": "Did stops and arrests change by ethnicity?",
    "iv": "What were the detainers for?",
    "v": "Did people report less, and were fewer crimes cleared?",
    "count": "How many agreements, on which day?",
}


def _report(run: Replication, chosen: list[Analysis]) -> None:
    from g287stats.report.html import Differences, Question, numbers_of, write_report

    published = findings()
    said = statements().set_index("statement_id")
    questions = []
    for key, title in QUESTIONS.items():
        claims = run.table[run.table["seed_statement"] == key].reset_index(drop=True)
        if claims.empty:
            continue
        found = assemble(key, claims, chosen, run.out)
        numbers = numbers_of(published, claims)
        homes = set(claims["analysis"].dropna()) | {a.name for a in chosen if set(a.claims) & set(claims["claim_id"])}
        exhibits = [x for x in run.exhibits if x.analysis in homes]
        about = said.loc[key]
        questions.append(
            Question(
                key,
                title,
                about["statement"],
                about["verdict"],
                about["reason"],
                claims.join(numbers),
                found.grid,
                found.choices,
                found.sentences,
                found.strongest,
                exhibits,
            )
        )
    write_report(
        run.report,
        questions,
        differences=[Differences(a.name, a.title, a.differences) for a in chosen],
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


def claims_table(results: list[dict[str, Any]], claims: pd.DataFrame) -> pd.DataFrame:
    """One row per result, then those of ``claims`` that got none."""
    columns = [
        "claim_id",
        "seed_statement",
        "finding",
        "published",
        "ours",
        "value",
        "std_error",
        "distance_se",
        "minimum_detectable_effect",
        "margin",
        "status",
        "reason",
        "standing",
        "check_tier",
        "data",
        "note",
        "simulated",
        "analysis",
    ]
    table = pd.DataFrame(results).reindex(columns=columns)
    rest = claims[~claims["claim_id"].isin(table["claim_id"])]
    home = {c: a.name for a in analyses().values() for c in a.claims}
    how = [f"g287stats replicate --only {home[c]}" if c in home else "no analysis yet" for c in rest["claim_id"]]
    extra = rest.assign(
        note=how, published=[published_text(row) for _, row in rest.iterrows()], status=NOT_YET
    ).reindex(columns=columns)
    parts = [p for p in (table, extra) if len(p)]
    return pd.concat([p.astype(object) for p in parts], ignore_index=True) if parts else table
