"""County crimes and county arrests as NACJD imputes them (ICPSR county-level detailed arrest and offense data).

Producer's rules, which this module follows and checks:

- The year is only in the study number; the record's own number reads 9999 from 2006 on.
- Counts are imputed already: agencies with 3–11 months are weighted to 12, agencies with 1–2 months replaced
  by the rate of their stratum, agencies without a month left out of counts and covered population alike.
- ``COVIND`` = 100 · (1 − Σ (agency / county population) · (12 − months) / 12). Missing is COVIND = 0; some rows
  have COVIND above 0 without any covered population and are missing too.
- Crimes belong to the residents in ``CPOPCRIM``, arrests to those in ``CPOPARST`` (cities that cross county
  lines are whole there); the two are never exchanged.
- The printed totals T1 and T2 are index totals to 2008 and violent and property totals from 2009; here
  violent and property are computed from their parts, and the printed totals only check the columns.
- County code 777 (tribal, from 2008) and 999 (statewide agencies) are no counties.
- Rape follows the legacy definition in all years. New York City's five counties are one agency split by
  population.

Codes are harmonised; a unit made of two source rows is their sum, with doubt noted when one did not report.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats import labels
from g287stats.catalog import codebook, missing, read_kept
from g287stats.catalog import table as declared
from g287stats.catalog.store import kept
from g287stats.catalog.tables import NACJD_STUDIES
from g287stats.errors import SourceError
from g287stats.flow import Flow, Step
from g287stats.geography import harmonise
from g287stats.outcomes.context.population import load_population
from g287stats.outcomes.coverage import break_labels
from g287stats.outcomes.nacjd.files import ARRESTS, CRIMES, reported
from g287stats.outcomes.table import OutcomeTable, select_years

CAVEAT = (
    "NACJD's county imputation is disputed: months reported is in truth the last month reported, and Maltz and "
    "Targonski (2002) advise against county-level use. Kaplan withdrew his own county file for these reasons "
    "(openICPSR 108164 V4). Hold results against a series built from full reporters only."
)
CoverageOf = Literal["months", "residents", "both"]
SeptemberEleven = Literal["missing", "subtract", "as_published"]
SEPTEMBER_11 = {"New York City": (("36005", "36047", "36061", "36081", "36085"), 2823), "Somerset": (("42111",), 40)}
"""Victims of 11 September 2001 counted as murders in the 2001 file, by place. **Unverified**: to be checked against
the special report in *Crime in the United States 2001* (Section V). 2,823 is the number the FBI's UCR Data Tool gives
for the events of that day, seen second-hand and without a place (a preliminary release gave 2,830 for New York); the 40
are the dead of the aircraft."""
_UNVERIFIED = (
    "The numbers of victims of 11 September 2001 that were subtracted are not checked against the FBI's report."
)


_CRIME_NAMES = {
    "MURDER": "murder",
    "RAPE": "rape_legacy",
    "ROBBERY": "robbery",
    "AGASSLT": "assault",
    "BURGLRY": "burglary",
    "LARCENY": "larceny",
    "MVTHEFT": "motor_vehicle_theft",
    "ARSON": "arson",
}

_ARREST_COUNTS = {
    "GRNDTOT": "arrests",
    "MURDER": "murder_arrests",
    "RAPE": "rape_arrests",
    "ROBBERY": "robbery_arrests",
    "AGASSLT": "assault_arrests",
    "BURGLRY": "burglary_arrests",
    "LARCENY": "larceny_arrests",
    "MVTHEFT": "motor_vehicle_theft_arrests",
    "OTHASLT": "simple_assault_arrests",
    "DRUGTOT": "drug_arrests",
    "DUI": "dui_arrests",
    "DISORDR": "disorderly_arrests",
    "ALLOTHR": "other_arrests",
}


def load_icpsr_county(
    years: tuple[int, int] | Iterable[int] | None = None,
    *,
    september_11: SeptemberEleven = "missing",
    doubt_below: float = 0.9,
    coverage_of: CoverageOf = "both",
) -> OutcomeTable:
    """Return county crimes as imputed by NACJD, from the files added as ``icpsr-county-crimes``.

    Parameters
    ----------
    years
        First and last year, or a list; default all that are in hand.
    september_11
        2001 counts of murder (and so violent crime) hold the victims of 11 September. ``"missing"`` blanks
        murder and violent crime in New York City's five counties and Somerset PA, ``"subtract"`` takes
        :data:`SEPTEMBER_11` off (unverified numbers; New York's split like the file splits its murders),
        ``"as_published"`` keeps them.
    doubt_below
        Cells with a coverage below this share carry a reason in ``doubt``; nothing is dropped for it.
    coverage_of
        What ``coverage`` is the share of: ``"months"`` = COVIND / 100; ``"residents"`` = covered (CPOPCRIM) over
        resident population, at most 1; ``"both"`` = the lower of the two, since COVIND can stand near 100 with
        most of a county living outside any reporting agency. Before 2000 only months are known.

    Notes
    -----
    A county-year without report keeps its row with missing counts and coverage 0.
    """
    chosen = _choose("icpsr_county", CRIMES, years)
    rows = _stack(CRIMES, chosen)
    flow = [Step("rows of the county files", len(rows), f"{len(chosen)} years")]
    rows = _without_pseudo_counties(rows, flow)
    rows["usable"] = reported(rows, "4")
    rows["doubt"] = _crime_doubt(rows)
    counts = list(_CRIME_NAMES.values())
    rows = rows.rename(columns=_CRIME_NAMES)
    rows = _september_11(rows, september_11, flow)
    frame = _to_units(rows, counts, "CPOPCRIM", flow)
    frame["violent"] = frame[["murder", "rape_legacy", "robbery", "assault"]].sum(axis=1, min_count=4)
    frame["violent_ex_rape"] = frame[["murder", "robbery", "assault"]].sum(axis=1, min_count=3)
    frame["property"] = frame[["burglary", "larceny", "motor_vehicle_theft"]].sum(axis=1, min_count=3)
    named = ("violent", "violent_ex_rape", "property", *counts)
    frame[list(named)] = frame[list(named)].astype("Int64")
    frame = frame.rename(
        columns={"CPOPCRIM": "population", "CPOPARST": "arrest_population", "AG_OFF": "agencies_reporting"}
    )
    frame = _coverage(frame, coverage_of)
    frame["doubt"] = _low_doubt(frame, doubt_below)
    frame["imputed"] = np.where(frame["covind"] >= 100, "none", "producer")
    frame["break_in_series"] = break_labels("nacjd", frame["year"])
    flow.append(Step("county-years with figures", int(frame["usable"].sum()), "COVIND > 0 and CPOPCRIM > 0"))
    columns = [
        "county_fips",
        "year",
        *named,
        "population",
        "arrest_population",
        "agencies_reporting",
        "covind",
        "coverage",
        "coverage_of",
        "usable",
        "imputed",
        "break_in_series",
        "doubt",
    ]
    return OutcomeTable(
        name="icpsr_county",
        frame=frame[columns].sort_values(["county_fips", "year"], ignore_index=True),
        counts=named,
        codebook=_crime_codebook(columns),
        provenance=_provenance(
            CRIMES, chosen, {"september_11": september_11, "doubt_below": doubt_below, "coverage_of": coverage_of}
        ),
        coverage="coverage",
        denominator="population",
        flow=Flow(tuple(flow)),
    )


def load_icpsr_arrests(years: tuple[int, int] | Iterable[int] | None = None) -> OutcomeTable:
    """Return county arrests as imputed by NACJD, from the files added as ``icpsr-county-arrests``.

    Missing is COVIND = 0 with every count 0; COVIND = 0 with counts is fully imputed and kept, flagged. Florida
    reports no arrests in any year. Residents are ``CPOPARST``.
    """
    chosen = _choose("icpsr_arrests", ARRESTS, years)
    rows = _stack(ARRESTS, chosen)
    flow = [Step("rows of the county files", len(rows), f"{len(chosen)} years")]
    rows = _without_pseudo_counties(rows, flow)
    rows["usable"] = reported(rows, "1")
    imputed = rows["usable"] & (rows["COVIND"] == 0)
    rows["doubt"] = np.where(imputed, "fully imputed (COVIND 0 with counts)", "")
    rows = rows.rename(columns=_ARREST_COUNTS)
    counts = list(_ARREST_COUNTS.values())
    frame = _to_units(rows, counts, "CPOPARST", flow)
    frame["violent_arrests"] = frame[["murder_arrests", "rape_arrests", "robbery_arrests", "assault_arrests"]].sum(
        axis=1, min_count=4
    )
    frame["property_arrests"] = frame[["burglary_arrests", "larceny_arrests", "motor_vehicle_theft_arrests"]].sum(
        axis=1, min_count=3
    )
    named = (*counts, "violent_arrests", "property_arrests")
    frame[list(named)] = frame[list(named)].astype("Int64")
    frame = frame.rename(columns={"CPOPARST": "population", "AG_ARRST": "agencies_reporting"})
    frame["imputed"] = np.where(frame["covind"] >= 100, "none", "producer")
    frame["break_in_series"] = break_labels("nacjd", frame["year"])
    flow.append(Step("county-years with figures", int(frame["usable"].sum()), "COVIND > 0 or any count"))
    columns = [
        "county_fips",
        "year",
        *named,
        "population",
        "agencies_reporting",
        "covind",
        "coverage",
        "usable",
        "imputed",
        "break_in_series",
        "doubt",
    ]
    return OutcomeTable(
        name="icpsr_arrests",
        frame=frame[columns].sort_values(["county_fips", "year"], ignore_index=True),
        counts=named,
        codebook=codebook(columns, "NACJD Part 1", population="arrest_population"),
        provenance=_provenance(ARRESTS, chosen, {}),
        coverage="coverage",
        denominator="population",
        flow=Flow(tuple(flow)),
    )


def _choose(outcome: str, table: str, years: tuple[int, int] | Iterable[int] | None) -> tuple[int, ...]:
    """Resolve ``years`` against the files in hand; a year that only has to be added names its study."""
    have = [int(k) for k in kept(table)]
    if not have:
        raise missing(table)
    wanted = labels.years(years, f"{outcome}: years")
    try:
        return select_years(outcome, wanted, have)
    except SourceError as error:
        asked = range(wanted[0], wanted[1] + 1) if isinstance(wanted, tuple) else wanted or ()
        known = [f"{y} (study {NACJD_STUDIES[y]:05d})" for y in asked if y in NACJD_STUDIES and y not in have]
        if known:
            raise missing(table, ", ".join(known)) from error
        raise


def _stack(table: str, years: Sequence[int]) -> pd.DataFrame:
    pieces = [frame.assign(year=int(key)) for key, frame in read_kept(table, [str(y) for y in years]).items()]
    rows = pd.concat(pieces, ignore_index=True)
    rows.insert(
        0,
        "code",
        rows["FIPS_ST"].map(lambda v: f"{int(v):02d}") + rows["FIPS_CTY"].map(lambda v: f"{int(v):03d}"),
    )
    return rows


def _without_pseudo_counties(rows: pd.DataFrame, flow: list[Step]) -> pd.DataFrame:
    for code, what in ((777, "tribal agencies (county code 777)"), (999, "statewide agencies (county code 999)")):
        gone = rows["FIPS_CTY"] == code
        listing = tuple((rows["code"] + " " + rows["year"].astype(str))[gone])
        rows = rows[~gone]
        flow.append(Step(f"without {what}", len(rows), f"{int(gone.sum())} rows are no county", listing))
    return rows.copy()


def _crime_doubt(rows: pd.DataFrame) -> np.ndarray:
    figures = rows[list(_CRIME_NAMES)].sum(axis=1) > 0
    return np.select(
        [
            (rows["COVIND"] > 0) & (rows["CPOPCRIM"] == 0),
            (rows["COVIND"] == 0) & figures,
            rows["COVIND"] == 0,
        ],
        ["COVIND above 0 without covered population", "COVIND 0 although figures are printed", "no report"],
        default="",
    )


def _september_11(rows: pd.DataFrame, rule: SeptemberEleven, flow: list[Step]) -> pd.DataFrame:
    if rule not in ("missing", "subtract", "as_published"):
        raise SourceError(f"september_11={rule!r}; it is one of 'missing', 'subtract', 'as_published'")
    rows = rows.copy()
    touched: list[str] = []
    for place, (codes, victims) in SEPTEMBER_11.items():
        here = (rows["year"] == 2001) & rows["code"].isin(codes) & rows["usable"]
        if not here.any():
            continue
        touched += [f"{c} 2001" for c in rows.loc[here, "code"]]
        if rule == "missing":
            rows.loc[here, "murder"] = pd.NA
        elif rule == "subtract":
            counted = rows.loc[here, "murder"].astype("int64").to_numpy()
            if counted.sum() < victims:
                raise SourceError(
                    f"{place} 2001: {counted.sum()} murders are fewer than the {victims} victims of 11 September, so "
                    "this edition leaves them out; use september_11='as_published'"
                )
            rows.loc[here, "murder"] = counted - split_proportionally(victims, counted)
        rows.loc[here, "doubt"] = f"murders of 11 September 2001: {rule.replace('_', ' ')}"
    if touched:
        flow.append(Step("2001 murders of 11 September", len(touched), rule.replace("_", " "), tuple(touched)))
    return rows


def split_proportionally(total: int, weight: np.ndarray) -> np.ndarray:
    """Split a whole number in proportion to ``weight`` by largest remainders."""
    exact = total * weight / weight.sum()
    whole = np.floor(exact).astype("int64")
    rest = np.argsort(-(exact - whole), kind="stable")[: total - int(whole.sum())]
    whole[rest] += 1
    return whole


def _to_units(rows: pd.DataFrame, counts: Sequence[str], residents: str, flow: list[Step]) -> pd.DataFrame:
    """Sum source rows to harmonised counties; unusable rows lose their counts, not their place."""
    rows = rows.copy()
    rows["county_fips"] = harmonise(rows["code"], rows["year"], warn=False)
    unknown = rows["county_fips"].isna()
    listing = tuple((rows["code"] + " " + rows["year"].astype(str))[unknown])
    rows = rows[~unknown]
    flow.append(Step("in a harmonised county", len(rows), "codes without a unit", listing))
    unusable = ~rows["usable"]
    for c in [*counts, residents]:
        rows[c] = rows[c].astype("float64").mask(unusable)
    others = [c for c in ("CPOPARST", "AG_OFF", "AG_ARRST") if c in rows and c != residents]
    # CPOPARST keeps a value where crimes are missing, so it weighs the parts of a merged unit.
    size = rows["CPOPARST" if "CPOPARST" in rows else residents].astype("float64").fillna(0).clip(lower=1)
    rows["_size"] = size
    rows["_covered"] = np.where(unusable, 0.0, rows["COVIND"].astype("float64")) * size
    rows["_covind"] = rows["COVIND"].astype("float64") * size
    merged = rows.duplicated(["county_fips", "year"], keep=False)
    single = rows[~merged].copy()
    single["covind"] = single["COVIND"].astype("float64")
    single["coverage"] = np.where(single["usable"], single["covind"], 0.0) / 100
    columns = ["county_fips", "year", *counts, residents, *others, "covind", "coverage", "usable", "doubt"]
    pieces = [single[columns]]
    if merged.any():
        pieces.append(_sum_parts(rows[merged], counts, residents, others)[columns])
    frame = pd.concat(pieces, ignore_index=True)
    frame[others] = frame[others].astype("Int64")
    frame[residents] = frame[residents].astype("Int64")
    flow.append(
        Step(
            "harmonised county-years",
            len(frame),
            f"{int(merged.sum())} rows of units the source splits were summed",
            tuple(sorted(set((rows["county_fips"] + " " + rows["year"].astype(str))[merged]))),
        )
    )
    return frame


def _sum_parts(rows: pd.DataFrame, counts: Sequence[str], residents: str, others: Sequence[str]) -> pd.DataFrame:
    groups = rows.groupby(["county_fips", "year"])
    out = groups[[*counts, residents]].sum(min_count=1)
    # A murder blanked in one part blanks the sum; a part that did not report does not, but is named.
    for c in counts:
        blanked = (rows["usable"] & rows[c].isna()).groupby([rows["county_fips"], rows["year"]]).any()
        out[c] = out[c].mask(blanked)
    for c in others:
        out[c] = groups[c].sum()
    total = groups["_size"].sum()
    out["covind"] = groups["_covind"].sum() / total
    out["coverage"] = groups["_covered"].sum() / total / 100
    out["usable"] = groups["usable"].any()
    partial = out["usable"] & ~groups["usable"].all()
    doubt = groups["doubt"].agg(lambda s: "; ".join(dict.fromkeys(x for x in s if x)))
    out["doubt"] = np.where(partial, "part of the unit did not report", doubt)
    return out.reset_index()


def _coverage(frame: pd.DataFrame, of: CoverageOf) -> pd.DataFrame:
    if of not in ("months", "residents", "both"):
        raise SourceError(f"coverage_of={of!r}; it is one of 'months', 'residents', 'both'")
    residents = load_population()[["county_fips", "year", "population"]].rename(columns={"population": "_residents"})
    out = frame.merge(
        residents.astype({"year": "int64"}), on=["county_fips", "year"], how="left", validate="one_to_one"
    )
    share = (out["population"].astype("float64") / out["_residents"].astype("float64")).clip(upper=1.0)
    share = share.mask(~out["usable"].astype(bool), 0.0)
    lower = share < out["coverage"] if of == "both" else pd.Series(of == "residents", index=out.index)
    out["coverage"] = share.where(lower, out["coverage"])
    out["coverage_of"] = np.where(lower, "residents", "months")
    return out.drop(columns="_residents")


def _low_doubt(frame: pd.DataFrame, below: float) -> pd.Series:
    low = frame["usable"] & (frame["coverage"] < below)
    said = frame["doubt"].astype(object)
    text = "coverage " + (100 * frame["coverage"]).map("{:.1f} % of ".format) + frame["coverage_of"]
    joined = said.where(said == "", said + "; ") + text
    return joined.where(low, said)


def _provenance(table: str, years: Sequence[int], settings: dict[str, Any]) -> dict[str, Any]:
    have = kept(table)
    return {
        "table": table,
        "citation": declared(table).citation,
        "terms": declared(table).terms,
        "files": {str(y): {"file": have[str(y)].source_member, "sha256": have[str(y)].source_sha256} for y in years},
        "settings": settings,
        "caveats": [CAVEAT, *([_UNVERIFIED] if settings.get("september_11") == "subtract" else [])],
    }


def _crime_codebook(columns: Sequence[str]) -> dict[str, dict[str, str]]:
    words = dict.fromkeys(
        ("murder", "rape_legacy", "robbery", "assault", "burglary", "larceny", "motor_vehicle_theft", "arson"),
        "imputed by NACJD",
    ) | dict.fromkeys(("violent", "violent_ex_rape", "property"), "summed from parts; imputed by NACJD")
    particular = {name: {"note": text} for name, text in words.items()}
    return codebook(columns, "NACJD Part 4", **particular, population="crime_population")
