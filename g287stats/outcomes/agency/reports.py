"""From agencies to counties, the way the literature asks for it.

Counties do not report; agencies do. A county figure is therefore a construction, and this module states each
step: which agency-years count (full reporters, or those with enough months, scaled), how an agency that polices
several counties is divided, and what the figure could have been had every month been reported. It stands next to
producers' own imputed county files so that a reader sees how much of a result is imputation.

Following Maltz and Targonski (2002), "A note on the use of county-level UCR data", Journal of Quantitative
Criminology 18, 297–318, the default keeps full reporters only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats.catalog import codebook
from g287stats.catalog.readers import labels
from g287stats.errors import DataWarning, Problems, SourceError, caution, first_of
from g287stats.flow import EMPTY, Flow, Step
from g287stats.geography import harmonise
from g287stats.outcomes.coverage import break_labels
from g287stats.outcomes.table import OutcomeTable, select_years

Rule = Literal["full_reporters", "balanced", "weighted"]


@dataclass(frozen=True)
class AgencyReports:
    """What agencies reported, before anything is summed.

    ``frame`` has one row an agency and month (``freq="M"``: ``period``, ``reported``) or year (``freq="Y"``:
    ``year``, ``months_reported``), with ``agency``, ``county_fips`` (harmonised, missing where unknown),
    ``population`` (residents of the agency; missing where unknown) and the columns named in ``counts``. A count in
    a month that was not reported is missing.
    """

    name: str
    frame: pd.DataFrame
    counts: tuple[str, ...]
    freq: str
    provenance: dict[str, Any]
    flow: Flow = EMPTY

    def __post_init__(self) -> None:
        own = ("period", "reported") if self.freq == "M" else ("year", "months_reported")
        needed = ["agency", "county_fips", "population", *own, *self.counts]
        problems = Problems(f"agency reports {self.name}")
        absent = [c for c in needed if c not in self.frame]
        if absent:
            problems.add("columns are absent", absent)
        elif self.frame.duplicated(["agency", own[0]]).any():
            twice = self.frame.loc[self.frame.duplicated(["agency", own[0]]), ["agency", own[0]]]
            problems.add("agency-periods repeat", labels(twice))
        problems.raise_if_any(SourceError)

    def years(self) -> tuple[int, ...]:
        """Calendar years with at least one row, ascending."""
        values = self.frame["period"].dt.year if self.freq == "M" else self.frame["year"]
        return tuple(sorted(int(v) for v in values.unique()))


def agency_years(reports: AgencyReports) -> pd.DataFrame:
    """Sum months to agency-years.

    For each count: the sum over the months it is known for, ``<count>_months`` (how many those are; a reported month
    may lack one figure) and ``<count>_top``, the highest month (missing where only years are known).
    """
    counts = list(reports.counts)
    if reports.freq == "Y":
        out = reports.frame.copy()
        for c in counts:
            out[f"{c}_months"] = out["months_reported"].where(out[c].notna(), 0)
            out[f"{c}_top"] = np.nan
        return out
    frame = reports.frame.assign(year=reports.frame["period"].dt.year)
    frame[counts] = frame[counts].astype("float64").mask(~frame["reported"].astype(bool))
    groups = frame.groupby(["agency", "year"], sort=True)
    out = groups[counts].sum(min_count=1)
    out = out.join(groups[counts].count().add_suffix("_months")).join(groups[counts].max().add_suffix("_top"))
    out["months_reported"] = groups["reported"].sum().astype("int64")
    out["county_fips"] = _county_of_year(frame)
    out["population"] = groups["population"].max()
    return out.reset_index()


def _county_of_year(frame: pd.DataFrame) -> pd.Series:
    """County of each agency and year: the one with most months, the later of two; moves within a year are told."""
    key = ["agency", "year"]
    known = frame.dropna(subset=["county_fips"])
    months = known.groupby([*key, "county_fips"])["period"].agg(["size", "max"]).reset_index()
    moved = months[months.duplicated(key)]
    if len(moved):
        listed = labels(moved[key].drop_duplicates())
        caution(
            f"agencies with two counties within a year are placed where they have most months ({len(listed)}): "
            f"{first_of(listed)}",
            DataWarning,
        )
    return months.sort_values(["size", "max"]).drop_duplicates(key, keep="last").set_index(key)["county_fips"]


def county_from_agencies(
    reports: AgencyReports,
    years: tuple[int, int] | Iterable[int] | None = None,
    *,
    rule: Rule = "full_reporters",
    min_months: int = 12,
    shares: pd.DataFrame | None = None,
) -> OutcomeTable:
    """Construct county-years from agency reports.

    Parameters
    ----------
    reports
        Agency-months or agency-years of one producer.
    years
        First and last year, or a list; default all.
    rule
        ``"full_reporters"``: an agency-year counts when ``min_months`` months were reported, as reported.
        ``"balanced"``: only agencies that are full reporters in every year chosen, so that a county's sum never
        changes because its agencies do. ``"weighted"``: an agency-year with at least ``min_months`` months is
        scaled by 12 over its months (NACJD's rule from 3 months on); no agency is filled from its neighbours.
    min_months
        Months out of 12 that make an agency-year count.
    shares
        Division of agencies over counties: ``agency``, ``county_fips``, ``share`` (summing to 1 by agency). Agencies
        not named go whole to their own county.

    Returns
    -------
    OutcomeTable
        Counts of the agencies that count, missing where one of them lacks the figure for some month;
        ``<count>_low`` and ``<count>_high`` bound what all expected agencies
        together can have recorded: low takes unreported months as nothing, high as the agency's own highest month
        of the year, and is missing where an expected agency reported no month or only years are known.
        ``coverage`` is the share of the expected agencies' residents that counts; an agency of unknown population
        makes it, and the denominator, unknown (where no population is known at all, it is the share of agencies, see
        ``coverage_of``). An agency is placed by year; a year it did not report takes its last known county. An agency
        is expected in every year chosen if it appears in the source in any.
    """
    if rule not in ("full_reporters", "balanced", "weighted"):
        raise SourceError(f"rule={rule!r}; it is one of 'full_reporters', 'balanced', 'weighted'")
    if not 1 <= min_months <= 12:
        raise SourceError(f"min_months={min_months}; it is a number of months from 1 to 12")
    chosen = select_years(reports.name, years, reports.years())
    flow = [*reports.flow]
    table = agency_years(reports)
    table = table[table["year"].isin(chosen)]
    flow.append(Step("agency-years", len(table), f"{chosen[0]}–{chosen[-1]}"))
    table = _expected(table, chosen)
    flow.append(Step("agency-years expected", len(table), "every agency in every year chosen"))
    placed = _place(table, shares, flow)
    placed["counts_in"] = placed["months_reported"] >= min_months
    if rule == "balanced":
        placed["counts_in"] = placed.groupby("agency")["counts_in"].transform("all")
    left_out = placed[~placed["counts_in"]]
    listing = tuple(
        f"{a} {y}: {int(m)} months"
        for a, y, m in zip(left_out["agency"], left_out["year"], left_out["months_reported"], strict=True)
    )
    flow.append(
        Step("agency-years that count", int(placed["counts_in"].sum()), f"{rule}, {min_months} months", listing)
    )
    frame = _sum(placed, reports.counts, rule, min_months)
    frame["break_in_series"] = break_labels("fbi", frame["year"])
    frame["imputed"] = "none" if rule != "weighted" else "weighted to 12 months"
    unknown = frame["unknown"].astype(str) + " of " + frame["agencies_expected"].astype(str)
    frame["doubt"] = np.where(frame["unknown"] > 0, "population unknown of " + unknown + " agencies", "")
    frame["doubt"] = np.where(frame["coverage"] == 0, "no agency that counts", frame["doubt"])
    flow.append(Step("county-years", len(frame), "agencies summed"))
    bounds = [f"{c}_{end}" for c in reports.counts for end in ("low", "high")]
    columns = [
        "county_fips",
        "year",
        *reports.counts,
        *bounds,
        "population",
        "expected_population",
        "agencies_expected",
        "agencies_reporting",
        "months_reported",
        "coverage",
        "coverage_of",
        "imputed",
        "break_in_series",
        "doubt",
    ]
    return OutcomeTable(
        name=reports.name,
        frame=frame[columns].sort_values(["county_fips", "year"], ignore_index=True),
        counts=tuple(reports.counts),
        codebook=_codebook(reports, columns),
        provenance=reports.provenance
        | {"settings": {"rule": rule, "min_months": min_months, "shares": shares is not None}},
        coverage="coverage",
        denominator="population",
        flow=Flow(tuple(flow)),
    )


def compare_constructions(tables: Mapping[str, OutcomeTable], count: str) -> pd.DataFrame:
    """Set constructions of the same count side by side by county and year.

    Columns: ``county_fips``, ``year``, one column a table under its key, and ``ratio_<key>`` of every further table
    to the first. Rows where a table has no figure keep a missing value.
    """
    lacking = [k for k, t in tables.items() if count not in t.frame]
    if lacking:
        raise SourceError(f"{count} is not in {lacking}; choose a count all tables have")
    first, *others = tables
    out: pd.DataFrame | None = None
    for key, table in tables.items():
        piece = table.frame[["county_fips", "year", count]].rename(columns={count: key})
        piece[key] = piece[key].astype("float64")
        out = piece if out is None else out.merge(piece, on=["county_fips", "year"], how="outer")
    assert out is not None
    for key in others:
        out[f"ratio_{key}"] = out[key] / out[first].where(out[first] > 0)
    return out.sort_values(["county_fips", "year"], ignore_index=True)


def attach_counties(agency: pd.Series, agencies: pd.DataFrame | None, what: str) -> pd.Series:
    """Map agency identifiers to harmonised counties by a table of ``agency`` and ``county_fips``.

    An agency named more than once in ``agencies`` must name one county; divisions go to ``shares``.
    """
    if agencies is None:
        return pd.Series(pd.NA, index=agency.index, dtype="object")
    lacking = [c for c in ("agency", "county_fips") if c not in agencies]
    if lacking:
        raise SourceError(f"agencies: columns {lacking} are absent; give agency ({what}) and county_fips")
    known = agencies[["agency", "county_fips"]].dropna().drop_duplicates()
    twice = known[known["agency"].duplicated(keep=False)]
    if len(twice):
        problems = Problems("agencies")
        problems.add("agencies are in several counties", sorted(set(twice["agency"])), "Divide them with shares=")
        problems.raise_if_any(SourceError)
    units = harmonise(known["county_fips"], warn=False)
    return agency.map(dict(zip(known["agency"], units, strict=True)))


def _expected(table: pd.DataFrame, years: Iterable[int]) -> pd.DataFrame:
    """Give every agency a row in every year; years it did not report have 0 months and its nearest population."""
    grid = pd.MultiIndex.from_product([sorted(table["agency"].unique()), sorted(years)], names=["agency", "year"])
    out = table.set_index(["agency", "year"]).reindex(grid).reset_index()
    place = out["county_fips"].groupby(out["agency"])  # by year: a county may be founded around an agency
    out["county_fips"] = place.ffill().fillna(place.bfill())
    people = out["population"].astype("float64").groupby(out["agency"]).ffill()
    out["population"] = people.groupby(out["agency"]).bfill()
    months = [c for c in out.columns if c.endswith("_months")]
    out[["months_reported", *months]] = out[["months_reported", *months]].fillna(0).astype("int64")
    return out


def _place(table: pd.DataFrame, shares: pd.DataFrame | None, flow: list[Step]) -> pd.DataFrame:
    """Put agencies into counties, dividing those named in ``shares``; agencies without a county are listed."""
    table = table.assign(share=1.0)
    if shares is not None:
        lacking = [c for c in ("agency", "county_fips", "share") if c not in shares]
        if lacking:
            raise SourceError(f"shares: columns {lacking} are absent; give agency, county_fips, share")
        total = shares.groupby("agency")["share"].sum()
        off = total[(total - 1).abs() > 1e-6]
        if len(off) or (shares["share"] < 0).any():
            problems = Problems("shares")
            problems.add("shares of an agency must be positive and sum to 1", [f"{a}: {v:g}" for a, v in off.items()])
            problems.raise_if_any(SourceError)
        divided = table[table["agency"].isin(set(shares["agency"]))]
        pieces = divided.drop(columns=["county_fips", "share"]).merge(
            shares[["agency", "county_fips", "share"]], on="agency", how="left"
        )
        pieces["county_fips"] = harmonise(pieces["county_fips"], warn=False)
        table = pd.concat([table[~table["agency"].isin(set(shares["agency"]))], pieces], ignore_index=True)
        flow.append(Step("agencies divided over counties", divided["agency"].nunique(), "by shares"))
    nowhere = table["county_fips"].isna()
    listing = tuple(sorted(set(table.loc[nowhere, "agency"])))
    flow.append(Step("agency-years in a county", int((~nowhere).sum()), "no county known", listing))
    if nowhere.all():
        raise SourceError(
            "no agency has a county. Pass agencies= (agency, county_fips), for instance from the Law Enforcement "
            "Agency Identifiers Crosswalk (ICPSR 35158) or the FBI agency list"
        )
    return table[~nowhere].copy()


def _sum(placed: pd.DataFrame, counts: Iterable[str], rule: Rule, min_months: int) -> pd.DataFrame:
    inside = placed["counts_in"]
    months = placed["months_reported"].astype("float64")
    share = placed["share"]
    people = placed["population"].astype("float64")
    work = placed[["county_fips", "year"]].copy()
    for c in counts:
        value, known = placed[c].astype("float64"), placed[f"{c}_months"].astype("float64")
        enough = inside & (known >= min_months)
        scale = 12 / known.where(known > 0) if rule == "weighted" else 1.0
        work[c] = (value * scale * share).where(enough)
        work[f"{c}_lacking"] = inside & ~enough
        work[f"{c}_low"] = (value * share).fillna(0)
        top = placed[f"{c}_top"].astype("float64").clip(lower=0)
        work[f"{c}_high"] = (value + (12 - known) * top).where(known < 12, value) * share
    work["population"] = (people * share).where(inside, 0.0)
    work["expected_population"] = people * share
    work["unknown"] = people.isna().astype("int64")
    work["agencies_expected"] = 1
    work["agencies_reporting"] = (months > 0).astype("int64")
    work["_months"] = months * people * share
    work["_counts_in"] = inside.astype("int64")
    work["_any_months"] = months
    groups = work.groupby(["county_fips", "year"], sort=True)
    out = groups[[f"{c}_low" for c in counts]].sum()
    for c in counts:
        out[c] = groups[c].sum(min_count=1).mask(groups[f"{c}_lacking"].any())
        missing_high = work[f"{c}_high"].isna().groupby([work["county_fips"], work["year"]]).any()
        out[f"{c}_high"] = groups[f"{c}_high"].sum().mask(missing_high)
    for c in ("agencies_expected", "agencies_reporting", "unknown"):
        out[c] = groups[c].sum()
    for c in ("population", "expected_population"):  # unknown residents are not none
        told = work[c].notna().groupby([work["county_fips"], work["year"]]).all()
        out[c] = groups[c].sum().where(told)
    peopled = out["expected_population"] > 0
    none_known = out["unknown"].eq(out["agencies_expected"]) | out["expected_population"].eq(0)
    by_number = groups["_counts_in"].sum() / out["agencies_expected"]
    out["coverage"] = (out["population"] / out["expected_population"].where(peopled)).where(~none_known, by_number)
    out["coverage_of"] = np.where(none_known, "agencies", "residents")
    by_people = groups["_months"].sum() / out["expected_population"].where(peopled)
    out["months_reported"] = by_people.where(~none_known, groups["_any_months"].mean())
    return out.reset_index()


def _codebook(reports: AgencyReports, columns: Iterable[str]) -> dict[str, dict[str, str]]:
    kinds = {"": "count_of_reporting", "_low": "count_low", "_high": "count_high"}
    particular: dict[str, Any] = {
        c + tail: {"is": kind, "note": c.replace("_", " ")} for c in reports.counts for tail, kind in kinds.items()
    }
    return codebook(columns, reports.name, **particular, population={"note": "of the agencies that count"})
