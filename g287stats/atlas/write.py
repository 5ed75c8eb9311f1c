"""``write_atlas``: the whole atlas as files that open from disk."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from g287stats.agreements.table import Agreements
from g287stats.atlas.county import AGREEMENT_COLUMNS, county_page
from g287stats.atlas.facts import (
    county_record,
    find_county,
    find_state,
    nation_record,
    places,
    signed_counties,
    state_codes,
    state_record,
)
from g287stats.atlas.links import ROOT, Links
from g287stats.atlas.nation import nation_page
from g287stats.atlas.sources import MIN_COVERAGE, Sources, load_sources
from g287stats.atlas.state import month_table, state_page, state_table
from g287stats.catalog.writing import write
from g287stats.report.workbook import Sheet, csv_bytes


def write_county(
    county: str, out: str | Path, *, agreements: Agreements | None = None, min_coverage: float = MIN_COVERAGE
) -> Path:
    """Write the page of one county as one file that needs no other; returns its path.

    ``county`` as in :func:`g287stats.county_facts`; ``out`` is the file, or a folder to put ``37071.html`` in.
    """
    sources = _sources(agreements, min_coverage)
    fips = find_county(county, sources)
    page = county_page(county_record(sources, fips), Links(), places(sources))
    return _write(_target(out, f"{fips}.html"), page)


def write_state(state: str, out: str | Path, *, agreements: Agreements | None = None) -> Path:
    """Write the page of one state as one file that needs no other; returns its path."""
    code = find_state(state)
    page = state_page(state_record(_sources(agreements, MIN_COVERAGE), code), Links())
    return _write(_target(out, f"{code.lower()}.html"), page)


def write_atlas(
    out: str | Path,
    *,
    states: Iterable[str] | None = None,
    counties: Literal["signed", "all"] = "signed",
    downloads: bool = True,
    min_coverage: float = MIN_COVERAGE,
    agreements: Agreements | None = None,
    progress: bool | None = None,
) -> list[Path]:
    """Write the atlas into folder ``out``: the national page, pages of states and counties, tables; returns the paths.

    ``states`` restricts pages of states and counties to some states; ``counties="signed"`` writes every county that
    has, had or applied for an agreement, ``"all"`` every county. ``downloads=False`` leaves embedded files out.
    ``min_coverage`` is the coverage below which a crime rate is not shown. Pages link to each other and to nothing
    else; the same inputs give the same bytes. An interrupted build keeps the pages it finished.
    """
    sources = _sources(agreements, min_coverage)
    folder = Path(out)
    codes = tuple(find_state(s) for s in states) if states is not None else state_codes()
    chosen = _chosen(sources, codes if states is not None else None, counties)
    links = Links("../", frozenset(chosen), frozenset(codes), home=True)
    facts = nation_record(sources)
    known = places(sources)
    written = _tables(folder / "data", sources, codes)
    files = (
        ("Agreements, CSV", "data/agreements.csv"),
        ("Applications, CSV", "data/applications.csv"),
        ("Months, CSV", "data/months.csv"),
        ("Counties, CSV", "data/counties.csv"),
        ("Read me", "README.txt"),
    )
    top = Links("", links.counties, links.states, home=True)
    written.append(_write(folder / "index.html", nation_page(facts, sources, top, downloads=files)))
    written.append(_write(folder / "README.txt", _readme(sources, len(chosen), len(codes))))
    for code in codes:
        page = state_page(state_record(sources, code), links, downloads=downloads)
        written.append(_write(folder / "states" / f"{code.lower()}.html", page))
    show = sys.stderr.isatty() if progress is None else progress
    for fips in tqdm(chosen, disable=not show, unit="county"):
        page = county_page(county_record(sources, fips), links, known, downloads=downloads)
        written.append(_write(folder / "counties" / f"{fips}.html", page))
    return written


def _sources(agreements: Agreements | None, min_coverage: float) -> Sources:
    return load_sources(min_coverage) if agreements is None else Sources(agreements, min_coverage)


def _chosen(sources: Sources, states: tuple[str, ...] | None, counties: str) -> tuple[str, ...]:
    if counties not in ("signed", "all"):
        raise ValueError(f"counties={counties!r}; use 'signed' or 'all'")
    every = tuple(sources.counties["county_fips"]) if counties == "all" else signed_counties(sources)
    return tuple(c for c in every if states is None or sources.counties.at[c, "state"] in states)


def _tables(folder: Path, sources: Sources, codes: tuple[str, ...]) -> list[Path]:
    """Tables beside the pages: agreements, applications, months, counties, and agreements by state."""
    facts = nation_record(sources)
    place = ("county_fips", "name", "state", "words", "agreements", "agencies", "first_signed", "ended")
    applied = (
        "agency",
        "agency_type",
        "jurisdiction",
        "county_fips",
        "model",
        "first_pending",
        "last_pending",
        "gone_by",
        "outcome",
        "agreement_id",
    )
    tables = {
        "agreements": Sheet.from_records(facts.spells, AGREEMENT_COLUMNS),
        "applications": Sheet.from_records(facts.applications, applied),
        "counties": Sheet.from_records(facts.places, place),
        "months": month_table(facts.months),
    } | {f"{c.lower()}-agreements": state_table(state_record(sources, c)) for c in codes}
    return [_write(folder / f"{name}.csv", csv_bytes(sheet)) for name, sheet in tables.items()]


def _readme(sources: Sources, counties: int, states: int) -> str:
    from g287stats.citation import cite

    return (
        f"{ROOT}\n\nOpen index.html. {states} pages of states, {counties} of counties; nothing is fetched "
        f"from a network.\n"
        f"data/ holds the tables behind the pages: agreements.csv (a row an agreement), applications.csv, months.csv\n"
        "(agreements at month ends, signed and listed), counties.csv, and the agreements of each state.\n\n"
        f"Data version {sources.data_version}; ICE lists to {sources.list_date:%Y-%m-%d}, lists of applications to "
        f"{sources.pending_date:%Y-%m-%d}.\nTerms: facts from US government records, CC0. Outlines: US "
        f"Census Bureau 2017.\n\n"
        "Columns: signed is the first signing, resigned later signings of the same agreement; last_listed "
        "and gone_by are\n"
        "the last list with it and the first without it; end_precision says how an end is known; exit is real or a\n"
        "correction of a list; listed is on the last list in hand. Missing is not zero.\n\n" + cite() + "\n"
    )


def _target(out: str | Path, name: str) -> Path:
    path = Path(out)
    return path / name if path.is_dir() or not path.suffix else path


def _write(path: Path, content: str | bytes) -> Path:
    return write(path, content)
