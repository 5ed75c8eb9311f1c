"""Commands for newsrooms: ``g287stats county|state|atlas`` and ``g287stats agreements list|show|changes``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("table", "csv", "xlsx")


def add_pages(commands: Any) -> None:
    """Add ``county``, ``state`` and ``atlas`` to the command line."""
    p = commands.add_parser("county", help="write the page of a county as one file")
    p.add_argument("county", help='name and state, or code: "Gaston, NC", 37071')
    p.add_argument("--out", type=Path, default=Path("."), help="file or folder (default: here)")
    p.add_argument("--min-coverage", type=float, default=0.8, help="coverage below which a crime rate is not shown")
    p.set_defaults(run=_county)
    p = commands.add_parser("state", help="write the page of a state as one file")
    p.add_argument("state", help="code or name: NC")
    p.add_argument("--out", type=Path, default=Path("."), help="file or folder (default: here)")
    p.set_defaults(run=_state)
    p = commands.add_parser("atlas", help="write the national page, states, counties and tables into a folder")
    p.add_argument("--out", type=Path, required=True, help="folder to write")
    p.add_argument("--states", help="some states only: NC,SC")
    p.add_argument("--counties", choices=("signed", "all"), default="signed", help="with an agreement ever, or all")
    p.add_argument("--no-downloads", action="store_true", help="leave embedded files out")
    p.add_argument("--min-coverage", type=float, default=0.8, help="coverage below which a crime rate is not shown")
    p.set_defaults(run=_atlas)


def add_record_verbs(verbs: Any) -> None:
    """Add ``list``, ``show`` and ``changes`` to ``g287stats agreements``."""
    q = verbs.add_parser("list", help="agreements active on a day")
    q.add_argument("--on", metavar="DATE", help="day, YYYY-MM-DD (default: the last list)")
    q.add_argument("--state", help="code or name")
    q.add_argument("--county", help='name and state, or code: "Gaston, NC"')
    q.add_argument("--model", choices=("JEM", "TFM", "WSO"))
    q.add_argument("--basis", choices=("listed", "signed"), default="listed", help="on ICE's list, or signed")
    _output(q, _list)
    q = verbs.add_parser("show", help="all the record knows of an agency")
    q.add_argument("agency", help='name, or part of it: "Gaston County Sheriff"')
    q.add_argument("--state", help="code or name")
    _output(q, _show)
    q = verbs.add_parser("changes", help="agreements signed, listed and ended since a day")
    q.add_argument("--since", required=True, metavar="DATE", help="day, YYYY-MM-DD")
    q.add_argument("--state", help="code or name")
    _output(q, _changes)


def _output(parser: Any, run: Callable[[argparse.Namespace], int]) -> None:
    parser.add_argument("--format", choices=FORMATS, default="table")
    parser.add_argument("--out", type=Path, help="file to write (needed for xlsx)")
    parser.set_defaults(run=run)


def _county(options: argparse.Namespace) -> int:
    from g287stats.atlas.write import write_county

    print(write_county(options.county, options.out, min_coverage=options.min_coverage))
    return 0


def _state(options: argparse.Namespace) -> int:
    from g287stats.atlas.write import write_state

    print(write_state(options.state, options.out))
    return 0


def _atlas(options: argparse.Namespace) -> int:
    from g287stats.atlas.write import write_atlas

    states = [s for s in options.states.split(",") if s] if options.states else None
    written = write_atlas(
        options.out,
        states=states,
        counties=options.counties,
        downloads=not options.no_downloads,
        min_coverage=options.min_coverage,
    )
    size = sum(p.stat().st_size for p in written) / 1e6
    print(f"{options.out / 'index.html'}: {len(written):,} files, {size:.1f} MB")
    return 0


# ---------------------------------------------------------------- the record


def _list(options: argparse.Namespace) -> int:
    from g287stats.agreements.table import load_agreements
    from g287stats.atlas.facts import find_county, find_state, load_sources

    record = load_agreements()
    on = options.on or load_sources().list_date
    frame = record.active(on, options.basis)
    said = f"{frame.attrs['basis']}, {_on(on)}"
    if frame.attrs.get("list_date") is not None:
        said = f"on ICE's list of {frame.attrs['list_date']:%Y-%m-%d}"
    if options.state:
        frame = frame[frame["state"].eq(find_state(options.state))]
    if options.county:
        code = find_county(options.county)
        frame = frame[frame["county_fips"].fillna("").str.split(";").map(lambda codes: code in codes)]
    if options.model:
        frame = frame[frame["model"].eq(options.model)]
    return _give(_named(frame), options, f"{len(frame):,} agreements {said}")


def _on(day: Any) -> str:
    import pandas as pd

    return f"{pd.Timestamp(day):%Y-%m-%d}"


def _show(options: argparse.Namespace) -> int:
    import difflib

    from g287stats.agreements.table import load_agreements
    from g287stats.atlas.facts import find_state
    from g287stats.errors import SourceError

    frame = load_agreements().frame
    if options.state:
        frame = frame[frame["state"].eq(find_state(options.state))]
    plain = frame["agency"].map(_plain)
    wanted = _plain(options.agency)
    hit = frame[plain.eq(wanted) | frame["agency_id"].eq(options.agency)]
    hit = hit if len(hit) else frame[plain.str.contains(wanted, regex=False)]
    if hit.empty:
        near = difflib.get_close_matches(wanted, sorted(set(plain)), n=6, cutoff=0.6)
        names = frame.loc[plain.isin(near), ["agency", "state"]].drop_duplicates()
        listed = "; ".join(f"{a}, {s}" for a, s in names.itertuples(index=False))
        raise SourceError(
            f"no agency in the record is called {options.agency!r}" + (f". Near: {listed}" if listed else "")
        )
    agencies = hit["agency_id"].nunique()
    return _give(_named(hit), options, f"{len(hit):,} agreements of {agencies:,} agencies, since 2002")


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _changes(options: argparse.Namespace) -> int:
    import pandas as pd

    from g287stats.agreements.table import load_agreements
    from g287stats.atlas.facts import find_state

    record = load_agreements()
    since = pd.Timestamp(options.since)
    frame = record.frame
    if options.state:
        frame = frame[frame["state"].eq(find_state(options.state))]
    ended = frame["ended_date"].fillna(frame["gone_by"])
    parts = [
        frame.assign(change="signed", day=frame["signed_date"]),
        frame.assign(change="first listed", day=frame["first_listed"]),
        frame[frame["exit"].eq("real")].assign(change="ended", day=ended),
        frame[frame["exit"].notna() & frame["exit"].ne("real")].assign(change="corrected by ICE", day=ended),
    ]
    found = pd.concat([p[p["day"] > since] for p in parts], ignore_index=True)
    found = found.sort_values(["day", "state", "agency", "model", "change"], kind="stable", ignore_index=True)
    counts = found["change"].value_counts()
    told = ", ".join(
        f"{counts[c]:,} {c}" for c in ("signed", "first listed", "ended", "corrected by ICE") if c in counts
    )
    shown = _named(found)
    shown.insert(0, "day", found["day"].dt.strftime("%Y-%m-%d"))
    shown.insert(1, "change", found["change"])
    return _give(shown, options, f"since {_on(since)}: {told or 'nothing'}")


COLUMNS = (
    "state",
    "county_fips",
    "county",
    "agency",
    "model",
    "model_name",
    "signed_date",
    "resigned_dates",
    "last_listed",
    "gone_by",
    "ended_date",
    "end_precision",
    "exit",
    "agreement_id",
)


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """Put names beside codes: counties and models."""
    from g287stats.geography import load_counties
    from g287stats.palette import MODEL_WORDS

    names = load_counties().set_index("county_fips")["name"].to_dict()
    codes = frame["county_fips"].fillna("")
    counties = ["; ".join(names.get(c, c) for c in text.split(";") if c) for text in codes]
    out = frame.assign(county=counties, model_name=frame["model"].map(MODEL_WORDS), county_fips=codes)
    for column in ("signed_date", "last_listed", "gone_by", "ended_date"):
        out[column] = out[column].dt.strftime("%Y-%m-%d")
    return out[list(COLUMNS)].reset_index(drop=True)


_SHOWN = ("day", "change", "state", "county", "agency", "model", "signed_date", "gone_by")


def _give(frame: pd.DataFrame, options: argparse.Namespace, title: str) -> int:
    """Print or write a table in the format asked for."""
    from g287stats.errors import UnavailableError
    from g287stats.report.workbook import Sheet, csv_bytes, xlsx_bytes

    if options.format == "table":
        text = title + "\n" + _table(frame[[c for c in _SHOWN if c in frame]])
        content = text.encode("utf-8")
    elif options.format == "csv":
        content = csv_bytes(Sheet.of(frame))
    else:
        if options.out is None:
            raise UnavailableError("a workbook needs a file: add --out agreements.xlsx")
        content = xlsx_bytes({"agreements": Sheet.of(frame), "notes": Sheet(["note"], [[title]])})
    if options.out is None:
        sys.stdout.write(content.decode("utf-8-sig"))
        return 0
    from g287stats.catalog.writing import write

    write(options.out, content)
    print(f"{options.out}: {title}")
    return 0


def _table(frame: pd.DataFrame) -> str:
    """Lay a frame out in columns as wide as their longest cell, at most 44 characters."""
    import pandas as pd

    cells = [list(frame.columns)] + [
        ["" if pd.isna(v) else str(v) for v in row] for row in frame.itertuples(index=False)
    ]
    cells = [[c if len(c) <= 44 else c[:43] + "…" for c in row] for row in cells]
    widths = [max(len(row[j]) for row in cells) for j in range(len(frame.columns))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in cells) + "\n"
