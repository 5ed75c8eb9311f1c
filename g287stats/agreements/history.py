"""The record before ICE's lists: agency records of 2002–2016 and first jail signings of 2017–2020 → spells.

Both files were compiled from ICE's archived lists, audits and press releases; their rows are facts restated in
our layout. Records whose only source forbids redistribution are left out and listed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from g287stats.agreements.identity import Fixes, agency_id, classify, name_key
from g287stats.agreements.spells import lines
from g287stats.errors import Problems, SourceError

FIRST_LIST = pd.Timestamp("2021-01-13")
LAST_OLD_LIST = pd.Timestamp("2017-08-01")
"""The last of ICE's undated fact-sheet lists behind the record of 2002–2016."""

SOURCES_2002 = "ICE agency lists 2007-2017; CRS RL32270; DHS OIG-10-63; compiled after deportationdata/ice-287g"
SOURCES_2017 = "ICE memorandum index and lists; compiled after deportationdata/ice-287g"

_ENDS = (  # opening words of the compiled note → our words, and whether the day itself is confirmed
    ("3-yr MOA expiry", "three-year memorandum expired", False),
    ("DHS rescinded AZ task-force", "task-force memoranda in Arizona rescinded by DHS", True),
    ("DHS terminated jail MOA", "jail memorandum terminated by DHS", True),
    ("DHS terminated after DOJ findings", "terminated by DHS after findings of the Department of Justice", False),
    ("ICE let all task-force MOAs expire", "ICE let all task-force memoranda lapse", True),
    ("Board of Supervisors vote", "county board voted to end it", False),
    ("SB 54 effective", "state law took effect (month approximate)", False),
    ("sheriff let MOA expire", "sheriff let the memorandum expire", False),
    ("sheriff ended", "sheriff ended it", False),
    ("new sheriff ended", "new sheriff ended it", True),
    ("jail board let MOA expire", "jail board let the memorandum expire", False),
    ("rescinded by Gov. Patrick", "rescinded by the governor before operating", True),
    ("absent from OIG list 2009-10-28", "absent from the audit's list of 2009-10-28", True),
    ("on CRS Feb 2009; absent OIG", "listed in February 2009, absent from the audit's list of 2009-10-28", True),
    ("on NCLR 2010-08-02; absent ICE", "absent from ICE's list of 2010-10-29", True),
    ("69 MOAs at 2011-06-01", "bounded by the audit's count of 69 on 2011-06-01", True),
)
COLUMNS = [
    "agency_id",
    "agency",
    "state",
    "agency_type",
    "jurisdiction",
    "county_fips",
    "model",
    "moa_id",
    "signed_date",
    "signed_precision",
    "signed_not_before",
    "signed_basis",
    "resigned",
    "ended_date",
    "end_not_before",
    "end_by",
    "end_basis",
    "confidence",
    "sources",
    "continues",
]
_TYPES = {"sheriff": "sheriff", "police": "municipal_police", "jail": "county_jail", "county police": "county_police"}


def read_history(folder: Path, fixes: Fixes) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read both historical files into spells; return ``(spells, withheld)``.

    Spells have agency_id, agency, state, agency_type, county_fips, model, signed_date, signed_precision,
    signed_not_before, signed_basis, resigned (list), ended_date, end_not_before, end_by, end_basis, confidence,
    moa_id, sources, continues (stood on ICE's list of 13 January 2021 under this model).
    """
    problems = Problems("historical records")
    early = _early(folder / "historical_2002_2016.csv", fixes, problems)
    late, withheld = _late(folder / "historical_2017_2020_JEM.csv", fixes, problems)
    problems.raise_if_any(SourceError)
    return pd.DataFrame(early + late, columns=COLUMNS), withheld


def _early(path: Path, fixes: Fixes, problems: Problems) -> list[dict[str, Any]]:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    spells = []
    for r in lines(frame):
        alias = fixes.agency(r.state, r.agency)
        key = name_key(alias.agency)
        kind, where = classify(key, "State" if r.agency_type == "state" else "")
        if r.agency_type != "state" and kind not in (_TYPES[r.agency_type], "county_police"):
            problems.add(f"{r.state} {r.agency}: typed {r.agency_type} here and {kind} by its name")
        basis, confirmed = "", True
        if r.ended_basis:
            hits = [(b, c) for start, b, c in _ENDS if r.ended_basis.startswith(start)]
            if len(hits) != 1:
                problems.add(f"{r.state} {r.agency}: end basis {r.ended_basis!r} is not known", [], "Add it to _ENDS")
                continue
            basis, confirmed = hits[0]
        identifier = agency_id(alias.state, alias.agency)
        base = {
            "agency_id": identifier,
            "agency": alias.agency,
            "state": alias.state,
            "agency_type": kind,
            "jurisdiction": where,
            "county_fips": r.county_fips,
            "signed_date": pd.Timestamp(r.signed_date),
            "signed_precision": "day",
            "signed_not_before": pd.NaT,
            "signed_basis": "record of 2002-2016",
            "resigned": [pd.Timestamp(d) for d in r.resigned_dates.split(";") if d],
            "ended_date": pd.Timestamp(r.ended_date) if r.ended_date else pd.NaT,
            "end_not_before": pd.Timestamp(r.end_after) if r.end_after else pd.NaT,
            "end_by": pd.Timestamp(r.end_by) if r.end_by else pd.NaT,
            "end_basis": basis,
            "confidence": r.confidence if confirmed else "medium",
            "sources": SOURCES_2002,
            "continues": False,
        }
        moa = f"{identifier}.{r.signed_date}"
        open_end = not r.ended_date and not r.end_by
        if r.model in ("JEM", "TFM"):
            spells.append(base | {"model": r.model, "moa_id": "", "continues": open_end})
        elif r.model == "HYBRID":
            spells += [base | {"model": m, "moa_id": moa} for m in ("JEM", "TFM")]
        elif r.model.startswith("HYBRID") and r.model.endswith("->JEM") and r.task_force_part_ended:
            stop = pd.Timestamp(r.task_force_part_ended)
            why = {
                "2012-12-31": "ICE let all task-force memoranda lapse",
                "2012-06-25": "task-force memoranda in Arizona rescinded by DHS",
                "2009-10-16": "task-force part not renewed by ICE",
            }.get(r.task_force_part_ended, "task-force part ended")
            spells.append(base | {"model": "JEM", "moa_id": moa, "continues": open_end})
            spells.append(
                base
                | {
                    "model": "TFM",
                    "moa_id": moa,
                    "ended_date": stop,
                    "end_not_before": pd.NaT,
                    "end_by": pd.NaT,
                    "end_basis": why,
                    "resigned": [d for d in base["resigned"] if d < stop - pd.Timedelta(days=7)],
                }
            )
        else:
            problems.add(f"{r.state} {r.agency}: model {r.model!r} is not known")
    return spells


def _late(path: Path, fixes: Fixes, problems: Problems) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    spells: list[dict[str, Any]] = []
    withheld: list[dict[str, str]] = []
    for r in lines(frame):
        alias = fixes.agency(r.state, r.agency)
        identifier = agency_id(alias.state, alias.agency)
        kind, where = classify(name_key(alias.agency), "State" if not r.county_fips else "")
        stays = r.on_2021_roster_JEM == "True"
        reprinted = pd.Timestamp(r.signed_on_2021_roster) if r.signed_on_2021_roster else pd.NaT
        if r.basis == "wapo":
            known = {"agency_id": identifier, "agency": alias.agency, "state": alias.state}
            unnamed = {"agency_id": f"withheld-{len(withheld) + 1}", "agency": "not named", "state": ""}
            what = "signing year" if stays else "agreement"
            done = "released with the date ICE printed in 2021 and the window it leaves" if stays else "not released"
            reason = f"the only source of this {what} forbids redistribution; {done}"
            dated = any(s.kind == "first" for s in fixes.signings.get((identifier, r.model), ()))
            if not (stays and dated):  # a memorandum gives the day: nothing rests on that source any more
                withheld.append((known if stays else unnamed) | {"model": r.model, "reason": reason})
            if not stays:
                continue
            signed, precision = reprinted, "window"
        else:
            signed, precision = pd.to_datetime(r.signed_date, errors="coerce"), "day"
            if pd.isna(signed):
                problems.add(f"{r.state} {r.agency}: signing date {r.signed_date!r} cannot be read")
                continue
        spells.append(
            {
                "agency_id": identifier,
                "agency": alias.agency,
                "state": alias.state,
                "agency_type": kind,
                "jurisdiction": where,
                "county_fips": r.county_fips,
                "model": r.model,
                "signed_date": signed,
                "signed_precision": precision,
                "signed_not_before": LAST_OLD_LIST if precision == "window" else pd.NaT,
                "signed_basis": "ICE list of 2021-01-13" if precision == "window" else "ICE memorandum index and lists",
                "resigned": [reprinted] if pd.notna(reprinted) and reprinted != signed else [],
                "ended_date": pd.NaT,
                "end_not_before": pd.NaT,
                "end_by": pd.NaT if stays else FIRST_LIST,
                "end_basis": "",
                "confidence": "medium" if precision == "window" else "high",
                "moa_id": "",
                "sources": "ICE lists" if precision == "window" else SOURCES_2017,
                "continues": stays,
            }
        )
    return spells, pd.DataFrame(withheld, columns=["agency_id", "agency", "state", "model", "reason"])
