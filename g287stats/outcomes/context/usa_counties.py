"""County offences 1981–2008 from the Census Bureau's *USA Counties*, sheets CRM01–CRM03.

Columns are ``Areaname``, ``STCOU`` and items such as ``CRM110206D``: a measure (CRM110), a year (the three digits
before D: 1yy is 19yy, 2yy is 20yy) and a kind (D data; F, N1, N2 flags and notes). Rows are the nation, states
(code ending 000) and counties. The figures come from the FBI through NACJD's county files, so the imputation and
the break of 1994 are theirs, and an area without reports prints zeros: a county-year in which every offence is zero
is taken as not reported unless asked otherwise. A zero that carries a flag is missing. No denominator is printed.

The layout has not been checked on the files themselves; one that departs from it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats.catalog import codebook, missing, read_kept
from g287stats.catalog import table as declared
from g287stats.catalog.archives import Member
from g287stats.catalog.readers import labels
from g287stats.catalog.store import Part, kept
from g287stats.catalog.workbooks import rows_of_xls
from g287stats.errors import Problems, SourceError
from g287stats.flow import Flow, Step
from g287stats.geography import harmonise
from g287stats.outcomes.coverage import break_labels
from g287stats.outcomes.table import OutcomeTable, select_years

TABLE = "census-usa-counties-crime"
ITEMS = {
    "CRM110": "violent",
    "CRM140": "murder",
    "CRM150": "rape_legacy",
    "CRM160": "robbery",
    "CRM170": "assault",
    "CRM210": "property",
    "CRM240": "burglary",
    "CRM250": "larceny",
    "CRM260": "motor_vehicle_theft",
}
_ITEM = re.compile(r"^(CRM\d{3})([12]\d\d)([A-Z]\d?)$")
_MINIMUM_COUNTIES = 3_100
_SUMS = {
    "violent": ("murder", "rape_legacy", "robbery", "assault"),
    "property": ("burglary", "larceny", "motor_vehicle_theft"),
}


def parse(members: Sequence[Member]) -> list[Part]:
    """Read the workbooks, one part each; all problems of all files at once, sums of parts over all of them."""
    problems = Problems(TABLE)
    parts: list[Part] = []
    for member in members:
        own = Problems(member.label)
        frame = _read(member, own)
        if own or frame is None:
            problems.lines += [f"{member.label}: {line}" for line in own.lines]
            continue
        years = sorted(frame["year"].unique())
        report = {
            "years": f"{years[0]}–{years[-1]}",
            "measures": ", ".join(sorted(frame["measure"].unique())),
            "counties": frame["code"].nunique(),
            "flagged": int((frame["flag"] != "").sum()),
        }
        key = re.sub(r"\.xlsx?$", "", member.name.rsplit("/", 1)[-1], flags=re.IGNORECASE).upper()
        parts.append(Part(key, frame, member, report))
    if parts and not problems:
        _check_together(parts, problems)
    problems.raise_if_any(SourceError)
    return parts


def item_year(item: str) -> tuple[str, int] | None:
    """Split an item code into measure and year; None for other columns and other kinds than data.

    >>> item_year("CRM110206D"), item_year("CRM260181D"), item_year("CRM110206F")
    (('CRM110', 2006), ('CRM260', 1981), None)
    """
    found = _ITEM.match(item)
    if not found or found[3] != "D":
        return None
    century, yy = divmod(int(found[2]), 100)
    return found[1], {1: 1900, 2: 2000}[century] + yy


def _read(member: Member, problems: Problems) -> pd.DataFrame | None:
    try:
        sheets = rows_of_xls(member.path, member.label).items()
    except SourceError as error:
        problems.add(str(error))
        return None
    pieces = []
    for name, cells in sheets:
        head = next((n for n, row in enumerate(cells) if "STCOU" in {_text(c).upper() for c in row}), None)
        if head is not None:
            pieces += _sheet(name, [_text(c).upper() for c in cells[head]], cells[head + 1 :], problems)
    if not pieces and not problems:
        problems.add(f"no sheet with STCOU and items {', '.join(sorted(ITEMS))}: not a crime sheet of USA Counties")
    if problems:
        return None
    frame = pd.concat(pieces, ignore_index=True)
    twice = frame.duplicated(["code", "measure", "year"])
    if twice.any():
        problems.add("items repeat", labels(frame.loc[twice, ["code", "measure", "year"]]))
    return frame


def _sheet(name: str, head: list[str], rows: list[list[Any]], problems: Problems) -> list[pd.DataFrame]:
    where = head.index("STCOU")
    rows = [r for r in rows if len(r) > where and _text(r[where])]
    code = [_text(r[where]).removesuffix(".0").zfill(5) for r in rows]
    bad = [c for c in code if not re.fullmatch(r"\d{5}", c)]
    if bad:
        problems.add(f"sheet {name}: STCOU is not five digits", bad)
        return []
    county = [n for n, c in enumerate(code) if not c.endswith("000")]
    if len(county) < _MINIMUM_COUNTIES:
        problems.add(f"sheet {name}: {len(county):,} counties; a complete sheet has at least {_MINIMUM_COUNTIES:,}")
        return []
    out = []
    for column, item in enumerate(head):
        split = item_year(item)
        if split is None or split[0] not in ITEMS:
            continue
        cells = [rows[n][column] if column < len(rows[n]) else "" for n in county]
        text = pd.Series([_text(c).replace(",", "") for c in cells])
        values = pd.to_numeric(text.where(text != ""), errors="coerce")
        wrong = [f"{code[n]} {c!r}" for n, c, v in zip(county, cells, values, strict=True) if pd.isna(v) and _text(c)]
        wrong += [f"{code[n]} {c!r}" for n, c, v in zip(county, cells, values, strict=True) if v < 0]
        if wrong:
            problems.add(f"sheet {name}, {item}: not counts", wrong, show=4)
        flag_at = head.index(item[:-1] + "F") if item[:-1] + "F" in head else None
        flags = [_text(rows[n][flag_at]).removesuffix(".0") if flag_at is not None else "" for n in county]
        out.append(
            pd.DataFrame(
                {
                    "code": [code[n] for n in county],
                    "measure": ITEMS[split[0]],
                    "year": split[1],
                    "value": values,
                    "flag": ["" if f in ("", "0") else f for f in flags],
                }
            )
        )
    return out


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()


def _check_together(parts: Sequence[Part], problems: Problems) -> None:
    """Hold totals against the sum of their parts wherever all are in the files added together."""
    long = pd.concat([p.frame for p in parts], ignore_index=True)
    twice = long.duplicated(["code", "measure", "year"], keep=False)
    if twice.any():
        clash = long[twice].groupby(["measure", "year"]).size()
        problems.add("two files hold the same item", [f"{m} {y}" for m, y in clash.index])
        return
    wide = long.pivot(index=["code", "year"], columns="measure", values="value")
    for total, of in _SUMS.items():
        if {total, *of} <= set(wide.columns):
            whole = wide[[total, *of]].dropna()
            off = (whole[total] - whole[list(of)].sum(axis=1)).abs() > 20
            if len(whole) and off.mean() > 0.01:
                problems.add(
                    f"{total} is not the sum of its parts in {100 * off.mean():.0f} % of county-years",
                    remedy="Columns are out of place; take the files from the Census Bureau unedited",
                )


def load_usa_counties(
    years: tuple[int, int] | Iterable[int] | None = None, *, all_zero: Literal["missing", "zero"] = "missing"
) -> OutcomeTable:
    """Return county offences 1981–2008 from the Census Bureau's sheets.

    ``all_zero`` says what a county-year without a single offence is: ``"missing"`` (no agency reported; the default)
    or ``"zero"``. Coverage is unknown: the sheets print none, so ``min_coverage`` cannot be applied to this table.
    """
    have = kept(TABLE)
    if not have:
        raise missing(TABLE)
    if all_zero not in ("missing", "zero"):
        raise SourceError(f"all_zero={all_zero!r}; it is 'missing' or 'zero'")
    long = pd.concat(read_kept(TABLE).values(), ignore_index=True)
    chosen = select_years("usa_counties", years, long["year"].unique())
    long = long[long["year"].isin(chosen)]
    flow = [Step("county items", len(long), f"{len(chosen)} years")]
    flagged = long["flag"] != ""
    unsure = flagged & (long["value"] == 0)
    long = long.assign(value=long["value"].mask(unsure))
    flow.append(Step("items flagged", int(flagged.sum()), f"{int(unsure.sum())} flagged zeros set to missing"))
    wide = long.pivot(index=["code", "year"], columns="measure", values="value").reset_index()
    measures = [m for m in ITEMS.values() if m in wide]
    silent = wide[measures].fillna(0).sum(axis=1) == 0
    if all_zero == "missing":
        wide[measures] = wide[measures].mask(silent)
    listing = tuple((wide["code"] + " " + wide["year"].astype(str))[silent])
    flow.append(Step("county-years without any offence", int(silent.sum()), f"taken as {all_zero}", listing))
    wide["county_fips"] = harmonise(wide["code"], wide["year"], warn=False)
    unknown = wide["county_fips"].isna()
    listing = tuple((wide["code"] + " " + wide["year"].astype(str))[unknown])
    wide = wide[~unknown]
    flow.append(Step("in a harmonised county", len(wide), "codes without a unit", listing))
    groups = wide.groupby(["county_fips", "year"])
    told = wide[measures].notna().groupby([wide["county_fips"], wide["year"]]).all()
    frame = groups[measures].sum().where(told)  # a unit of two codes is missing where one of them is
    partial = (
        groups["code"].size().gt(1)
        & wide[measures].isna().all(axis=1).groupby([wide["county_fips"], wide["year"]]).any()
    )
    frame["doubt"] = np.where(
        frame[measures].isna().all(axis=1), "no report", np.where(partial, "part of the unit did not report", "")
    )
    frame = frame.reset_index()
    parts = ("murder", "robbery", "assault")
    if set(parts) <= set(measures):
        frame["violent_ex_rape"] = frame[list(parts)].sum(axis=1, min_count=3)
        measures = [*measures, "violent_ex_rape"]
    frame[measures] = frame[measures].astype("Int64")
    frame["year"] = frame["year"].astype("int64")
    frame["imputed"] = "unknown"
    frame["break_in_series"] = break_labels("nacjd", frame["year"])
    flow.append(Step("county-years", len(frame)))
    source = "US Census Bureau, USA Counties"
    columns = ["county_fips", "year", *measures, "imputed", "break_in_series", "doubt"]
    book = codebook(
        columns,
        source,
        **{m: {"is": "known_to_police", "note": m.replace("_", " ")} for m in measures},
        imputed={"note": "probably NACJD's imputation; the sheets do not say"},
    )
    return OutcomeTable(
        name="usa_counties",
        frame=frame[columns],
        counts=tuple(measures),
        codebook=book,
        provenance={
            "table": TABLE,
            "citation": declared(TABLE).citation,
            "files": {k: {"file": v.source_member, "sha256": v.source_sha256, "url": v.url} for k, v in have.items()},
            "settings": {"all_zero": all_zero},
            "caveats": ["Layout and imputation are not verified on the producer's documentation."],
        },
        flow=Flow(tuple(flow)),
    )
