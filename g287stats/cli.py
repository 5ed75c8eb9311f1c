"""The command line: ``g287stats …`` (also ``python -m g287stats``)."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from g287stats._version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 done, 1 something failed, 2 wrong arguments, 130 interrupted)."""
    from g287stats.errors import G287Error

    parser = _parser()
    options, rest = parser.parse_known_args(argv)
    if rest and getattr(options, "run", None) is not _test:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.arguments = rest
    if not hasattr(options, "run"):
        parser.print_help()
        return 2
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            return int(options.run(options) or 0)
    except G287Error as error:
        _say(f"{type(error).__name__}: {error}", sys.stderr)
        return 1
    except KeyboardInterrupt:
        _say("interrupted", sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output (head, less) has enough
        sys.stderr.close()
        return 0
    except OSError as error:  # a full disk, a folder that may not be written, a file where a folder should be
        where = f" {error.filename}" if error.filename else ""
        notes = "".join(f". {note}" for note in getattr(error, "__notes__", ()))
        _say(f"{type(error).__name__}:{where} {error.strerror or error}{notes}", sys.stderr)
        return 1


def _say(what: object, to: TextIO | None = None) -> None:
    """Print without letting text from a file steer the terminal."""
    from g287stats.errors import printable

    print(printable(str(what)), file=to or sys.stdout)


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning in one line."""
    _say(f"{category.__name__}: {message}", sys.stderr)


def _parser() -> argparse.ArgumentParser:
    from g287stats.atlas.commands import add_pages, add_record_verbs

    parser = argparse.ArgumentParser(prog="g287stats", description="Section 287(g) agreements and county crime")
    parser.add_argument("--version", action="version", version=f"g287stats {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    p = commands.add_parser("replicate", help="run the analyses and write report.html")
    p.add_argument("--out", type=Path, default=Path("replication"), help="folder for exhibits and report.html")
    p.add_argument("--only", nargs="+", metavar="ID", help="analyses or claims (default: all on bundled data)")
    p.set_defaults(run=_replicate)

    p = commands.add_parser("findings", help="list the published claims")
    p.add_argument("--statement", help="i, ii, iii, iv, v or count")
    p.set_defaults(run=_findings)

    p = commands.add_parser("agreements", help="the record without Python; take ICE's next lists in")
    verbs = p.add_subparsers(title="agreements commands", metavar="VERB", required=True)
    q = verbs.add_parser("update", help="compare newer ICE workbooks with the record; --apply keeps the new record")
    q.add_argument("lists", nargs="+", metavar="FILE", help="workbooks, folders of workbooks, or an https address")
    q.add_argument("--as-of", metavar="DATE", help="day of the list, YYYY-MM-DD (default: as its name says)")
    q.add_argument("--apply", action="store_true", help="keep the new record in your data folder")
    q.add_argument("--explain", default="", metavar="WHY", help="accept a jump in counts or an older list, and why")
    q.add_argument("--details", type=Path, metavar="FILE", help="write every change to this file")
    q.set_defaults(run=_update)
    q = verbs.add_parser("undo", help="take the last applied update back")
    q.set_defaults(run=_undo)
    q = verbs.add_parser("evidence", help="where dated documents in a folder of yours differ from the record")
    q.add_argument("folder", type=Path)
    q.add_argument("--days", type=int, default=7, help="list differences of more than so many days (default 7)")
    q.add_argument("--out", type=Path, metavar="FILE.csv", help="write every document with its difference")
    q.set_defaults(run=_evidence)
    q = verbs.add_parser("log", help="the lists taken in since the release")
    q.set_defaults(run=_log)

    add_record_verbs(verbs)
    add_pages(commands)

    p = commands.add_parser("data", help="tables: what is inside, what you add, what can be downloaded")
    verbs = p.add_subparsers(title="data commands", metavar="VERB", required=True)
    q = verbs.add_parser("list", help="every table with its tier and whether it is here")
    q.set_defaults(run=_data("data_list"))
    q = verbs.add_parser("describe", help="one table: columns, terms, where to get it")
    q.add_argument("name")
    q.set_defaults(run=_data("data_describe", "name"))
    q = verbs.add_parser("add", help="check, parse and keep files you obtained yourself")
    q.add_argument("name")
    q.add_argument("paths", nargs="+", type=Path)
    q.set_defaults(run=_data("data_add", "name", "paths"))
    q = verbs.add_parser("fetch", help="download an open table")
    q.add_argument("name")
    q.add_argument("--from", dest="address", metavar="ADDRESS", help="another address of the same files")
    q.add_argument("--refresh", action="store_true", help="download again, also what is kept already")
    q.set_defaults(run=_data("data_fetch", "name", address="address", refresh="refresh"))
    q = verbs.add_parser("verify", help="hash again what is kept and what is released")
    q.set_defaults(run=_data("data_verify"))

    p = commands.add_parser("cite", help="how to cite the software, the data and the producers")
    p.add_argument("--format", choices=("text", "apa", "bibtex", "csl"), default="text")
    p.set_defaults(run=_cite)

    p = commands.add_parser("export", help="write the released tables as CSV, Parquet or Stata files")
    p.add_argument("--out", type=Path, default=Path("g287stats-data"))
    p.add_argument("--format", choices=("csv", "parquet", "dta"), default="csv")
    p.add_argument("--tables", nargs="+", default=[], metavar="NAME")
    p.set_defaults(run=_export)

    p = commands.add_parser("test", help="run the package's own tests (needs the extra 'test')")
    p.description = "Arguments are passed to pytest: g287stats test -m slow -n 2"
    p.set_defaults(run=_test)

    p = commands.add_parser("build", help="rebuild the released tables from the raw sources (maintainers)")
    p.add_argument("--sources", type=Path, help="folder of the raw inputs (without: check the tables, record them)")
    p.add_argument("--out", type=Path, help="folder to write (default: the source tree's data/)")
    p.add_argument("--only", nargs="+", default=[], metavar="STEP", help="some steps only")
    p.set_defaults(run=_build)
    return parser


def _replicate(options: argparse.Namespace) -> int:
    from g287stats.claims import replicate

    done = replicate(options.only, out=options.out)
    counts = done.table["status"].value_counts()
    for status, number in counts.items():
        _say(f"{number:4d}  {status}")
    for name, why in done.failed.items():
        _say(f"{name} did not run: {why}", sys.stderr)
    _say(f"exhibits: {len(done.exhibits)}; seconds: {sum(done.seconds.values()):.1f}")
    _say(f"report: {done.report}")
    if done.interrupted:
        return 130
    return 1 if done.failed else 0


def _findings(options: argparse.Namespace) -> int:
    from g287stats.claims import findings
    from g287stats.claims.registry import published_text

    for _, row in findings(options.statement).iterrows():
        _say(f"{row['claim_id']:26s} {published_text(row):38s} {row['finding']}")
    return 0


def _update(options: argparse.Namespace) -> int:
    from g287stats.agreements.update import update_all

    done = update_all(options.lists, options.as_of, apply=options.apply, explain=options.explain)
    _say("\n\n".join(map(str, done)))
    if options.details:
        from g287stats import catalog

        catalog.write(options.details, "\n".join(d.details() for d in done))
        _say(f"Every change: {options.details}")
    return 0


def _undo(options: argparse.Namespace) -> int:
    from g287stats import catalog

    record = catalog.undo_record()
    _say(record or "No update is left: the released record is in use.")
    return 0


def _evidence(options: argparse.Namespace) -> int:
    from g287stats import catalog
    from g287stats.agreements.evidence import compare_evidence, read_evidence
    from g287stats.agreements.table import load_agreements

    found = compare_evidence(load_agreements(), read_evidence(options.folder))
    print(found)
    for r in found.differing(options.days).itertuples():
        print(f"{r.agreement_id}: {r.document} {r.date:%Y-%m-%d}, {r.days:+d} days: {r.reading}")
    print(f"{len(found.unmatched):,} documents are of no agreement in the record")
    if options.out:
        catalog.write(options.out, found.rows.to_csv(index=False))
    return 0


def _log(options: argparse.Namespace) -> int:
    from g287stats import catalog

    record = catalog.current_record()
    if record is None:
        _say("No list taken in since the release.")
        return 0
    _say(record)
    for day, file, sha256 in record.lists:
        _say(f"{day}  {file}  sha256 {sha256[:16]}")
    return 0


def _data(function: str, *names: str, **keywords: str) -> Callable[[argparse.Namespace], int]:
    """Return a command that calls a catalog function with the named options and prints its result."""

    def run(options: argparse.Namespace) -> int:
        from g287stats import catalog

        named = {k: getattr(options, v) for k, v in keywords.items()}
        result = getattr(catalog, function)(*(getattr(options, n) for n in names), **named)
        _say(result)
        return 0 if getattr(result, "ok", True) else 1

    return run


def _cite(options: argparse.Namespace) -> int:
    from g287stats.citation import cite

    _say(cite(format=options.format))
    return 0


def _export(options: argparse.Namespace) -> int:
    from g287stats.exporting import export

    for path in export(options.out, format=options.format, tables=options.tables):
        _say(path)
    return 0


def _test(options: argparse.Namespace) -> int:
    from g287stats.catalog import released_dir
    from g287stats.errors import UnavailableError

    try:
        import pytest
    except ImportError:
        raise UnavailableError('the tests need pytest: pip install "g287stats[test]"') from None
    here = Path(__file__).resolve().parent
    folder = here / "_tests" if (here / "_tests").is_dir() else released_dir().parent / "tests"
    return int(
        pytest.main(["-q", "--import-mode=importlib", "-p", "no:cacheprovider", str(folder), *options.arguments])
    )


def _build(options: argparse.Namespace) -> int:
    from g287stats.build import build, write_datapackage
    from g287stats.catalog import released_dir

    if options.sources is None:
        written = write_datapackage(options.out or released_dir())
    else:
        written = build(options.sources, options.out, tuple(options.only))
    for path in written:
        _say(path)
    return 0
