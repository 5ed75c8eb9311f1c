"""Everything a page is made from, read once and lined up by county."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from g287stats.agreements.removals import load_removals
from g287stats.agreements.table import Agreements, load_agreements
from g287stats.catalog import read_released, released_dir
from g287stats.catalog.writing import changing
from g287stats.geography import load_counties, neighbours
from g287stats.outcomes.context.population import load_population
from g287stats.palette import MODEL_WORDS
from g287stats.policies import load_policy_events, load_secure_communities
from g287stats.report.words import day

CRIME = "fbi_county_sums"
OFFENCES = ("violent_ex_rape", "property")
MIN_COVERAGE = 0.8
LIKENESS = (
    "log_population",
    "hispanic_pct_2013",
    "foreign_born_pct_2012",
    "poverty_pct_2012",
    "log_income",
    "bachelors_pct_2012",
    "rucc_2013",
)
"""What similar counties are alike in: residents 2012 (log), shares Hispanic, born abroad, poor, with a degree, median
household income (log), rural-urban code. Crime is not among them."""


@dataclass(frozen=True)
class Crime:
    """Recorded crime of every county: arrays (counties, years), missing where not shown.

    ``rates`` and ``counts`` by offence; ``reasons`` and ``marks`` say in a sentence and in a word why a county-year is
    not shown (empty where it is); ``coverage`` is the panel's.
    """

    counties: tuple[str, ...]
    years: tuple[int, ...]
    counts: dict[str, np.ndarray]
    rates: dict[str, np.ndarray]
    coverage: np.ndarray
    reasons: dict[str, np.ndarray]
    marks: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Sources:
    """The record and the released tables behind the pages; ``min_coverage`` decides which crime rates are shown."""

    agreements: Agreements
    min_coverage: float = MIN_COVERAGE

    @cached_property
    def counties(self) -> pd.DataFrame:
        """Harmonised counties by code: name, state, lat, lon."""
        return load_counties().set_index("county_fips", drop=False)

    @cached_property
    def list_date(self) -> pd.Timestamp:
        """Day of the last list of participating agencies."""
        return self._last("participating")

    @cached_property
    def pending_date(self) -> pd.Timestamp:
        """Day of the last list of applications."""
        return self._last("pending")

    def _last(self, kind: str, end: str = "max") -> pd.Timestamp:
        lists = self.agreements.lists
        return getattr(lists.loc[lists["kind"].eq(kind), "list_date"], end)()

    @cached_property
    def first_list(self) -> pd.Timestamp:
        """Day of the first list of participating agencies in hand."""
        return self._last("participating", "min")

    @cached_property
    def first_pending(self) -> pd.Timestamp:
        """Day of the first list of applications in hand."""
        return self._last("pending", "min")

    @cached_property
    def data_version(self) -> str:
        """Version of the released tables."""
        return str(json.loads((released_dir() / "package.json").read_text("utf-8"))["version"])

    @cached_property
    def applications_by_county(self) -> dict[str, pd.DataFrame]:
        """Applications by county."""
        return _split(self.agreements.applications)

    @cached_property
    def removals_by_county(self) -> dict[str, pd.DataFrame]:
        """Identifications and removals of local agencies by county."""
        return _split(load_removals())

    @cached_property
    def listed(self) -> frozenset[str]:
        """Identifiers of the agreements on the last list."""
        return frozenset(self.agreements.active(self.list_date)["agreement_id"])

    @cached_property
    def later(self) -> dict[str, str]:
        """Agreement → what is known of it after the last list, in words."""
        out = {}
        for r in self.agreements.later.to_dict("records"):
            gone = str(r["standing"]).startswith("gone")
            when = f"gone between {day(r['not_before'])} and {day(r['by'])} by ICE’s counts"
            out[str(r["agreement_id"])] = when if gone else str(r["standing"])
        return out

    @lru_cache(maxsize=128)  # noqa: B019 (sources live as long as the process)
    def after(self, state: str | None = None) -> str:
        """Say what ICE counted after the last list in hand; empty where nothing is known."""
        counts = self.agreements.counts
        if state is not None:
            counts = counts[counts["state"].eq(state)]
        counts = counts[counts["list_date"] > self.list_date] if len(counts) else counts
        if not len(counts):
            return ""
        when = self.agreements.counts["list_date"].max()
        last = counts[counts["list_date"].eq(when)]
        parts = [f"{int(last.loc[last['model'].eq(m), 'agreements'].sum()):,} {MODEL_WORDS[m]}" for m in MODEL_WORDS]
        return (
            f"After the list of {day(self.list_date)} only counts that ICE published are in hand: "
            f"{int(last['agreements'].sum()):,} agreements on {day(when)} ({', '.join(parts)}). Which agencies "
            "signed since is not known; they are in no map, curve or table here."
        )

    @cached_property
    def withheld(self) -> dict[tuple[str, str], str]:
        """Agency and model → why a date is not released."""
        table = read_released("qa_withheld")
        return {(str(a), str(m)): str(r) for a, m, r in zip(table["agency_id"], table["model"], table["reason"])}

    @cached_property
    def neighbours(self) -> dict[str, tuple[str, ...]]:
        """County → adjacent counties, in order of their codes."""
        pairs = neighbours()
        grouped = pairs.groupby("county_fips")["neighbour_fips"]
        return {str(k): tuple(sorted(v)) for k, v in grouped}

    @cached_property
    def residents(self) -> pd.DataFrame:
        """Last population in hand by county: ``year``, ``population``."""
        table = load_population().sort_values("year")
        return table.groupby("county_fips")[["year", "population"]].last().astype("int64")

    @cached_property
    def secure_communities(self) -> pd.DataFrame:
        """Activation month and its status by county."""
        return load_secure_communities().set_index("county_fips")

    @cached_property
    def events(self) -> pd.DataFrame:
        """State and federal policy events."""
        return load_policy_events()

    @cached_property
    def profile(self) -> pd.DataFrame:
        """What counties are compared in, by county: columns of :data:`LIKENESS` and ``population``."""
        table = read_released("county_profile").set_index("county_fips")
        people = load_population(years=(2012, 2012)).set_index("county_fips")["population"].astype("float64")
        rural = read_released("rural_urban").set_index("county_fips")["rucc_2013"].astype("float64")
        table = table.astype("float64").assign(population=people, rucc_2013=rural)
        table["log_population"] = np.log(table["population"])
        table["log_income"] = np.log(table["median_household_income_2012"])
        return table.sort_index()

    def similar(self, fips: str, number: int = 10) -> list[tuple[str, float]]:
        """Return the nearest counties with their distance in standard deviations, nearest first."""
        names, table = self._standardised
        if fips not in names:
            return []
        away = np.sqrt(((table - table[names[fips]]) ** 2).sum(axis=1)).round(12)
        order = np.argsort(away, kind="stable")[: number + 1]  # rows are in order of codes
        codes = list(names)
        return [(codes[i], float(away[i])) for i in order if codes[i] != fips][:number]

    @cached_property
    def _standardised(self) -> tuple[dict[str, int], np.ndarray]:
        """Rows by county and the traits in standard deviations."""
        table = self.profile[list(LIKENESS)].dropna()
        standard = ((table - table.mean()) / table.std(ddof=0)).to_numpy(float)
        return {str(c): i for i, c in enumerate(table.index)}, standard

    @cached_property
    def crime(self) -> Crime:
        """Recorded crime, lined up once; kept in the user's cache between runs because it takes seconds to sum."""
        return _arrays(kept_crime_frame(self.min_coverage))


@lru_cache(maxsize=4)
def load_sources(min_coverage: float = MIN_COVERAGE) -> Sources:
    """Return the released record and tables."""
    return Sources(load_agreements(), min_coverage)


def _split(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    long = frame.dropna(subset=["county_fips"])
    long = long.assign(_county=long["county_fips"].str.split(";")).explode("_county")
    return {str(k): v.drop(columns="_county") for k, v in long.groupby("_county", sort=True)}


# ---------------------------------------------------------------- recorded crime


def kept_crime_frame(min_coverage: float) -> pd.DataFrame:
    """Return :func:`crime_frame`, read from the user's cache where it is kept and sound."""
    path = _cache_path(min_coverage)
    if path is not None and path.is_file():
        try:
            return pd.read_parquet(path)
        except Exception:  # a damaged cache is made anew
            path.unlink(missing_ok=True)
    frame = crime_frame(min_coverage)
    if path is not None:
        _keep(frame, path)
    return frame


def crime_frame(min_coverage: float = MIN_COVERAGE) -> pd.DataFrame:
    """Return what pages show of recorded crime: one row a county and year of the panel.

    Counts and rates are those of ``g.county_panel("fbi_county_sums")``. A rate that the panel leaves missing, or whose
    coverage is below ``min_coverage``, is not shown; ``reason_…`` says why in the panel's words and ``mark_…`` in one.
    """
    from g287stats.outcomes.coverage import apply_coverage
    from g287stats.panel import county_panel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        panel = county_panel(CRIME).frame
    low = apply_coverage(panel, "coverage", min_coverage, "keep").low
    why = low.set_index(["county_fips", "year"])["reason"]
    keys = pd.MultiIndex.from_frame(panel[["county_fips", "year"]])
    reason = pd.Series(why.reindex(keys).to_numpy(), index=panel.index, dtype="object")
    out = panel[["county_fips", "year", "coverage"]].astype({"coverage": "float64"})
    doubt = panel["doubt"].fillna("").astype(str) if "doubt" in panel else pd.Series("", index=panel.index)
    for offence in OFFENCES:
        rate = panel[f"{offence}_rate"].astype("float64")
        count = panel[offence].astype("float64")
        cause = reason.where(reason.notna(), None)
        silent = rate.isna() & reason.isna()
        told = doubt.where(doubt.ne(""), "rate not given")
        cause = cause.where(~silent, told.where(count.notna(), "not printed"))
        out[offence] = count
        out[f"{offence}_rate"] = rate.where(cause.isna())
        out[f"reason_{offence}"] = cause.fillna("").astype(str)
        out[f"mark_{offence}"] = [_mark(c, v) for c, v in zip(out[f"reason_{offence}"], out["coverage"])]
    return out.sort_values(["county_fips", "year"], ignore_index=True)


def _mark(reason: str, coverage: float) -> str:
    """Shorten a reason to the word printed over a hatched year."""
    if not reason:
        return ""
    if "%" in reason and not np.isnan(coverage):
        return f"{100 * coverage:.0f} %"
    return "n/a" if reason in ("not printed", "coverage unknown") or reason.startswith("nothing") else "doubt"


def _arrays(frame: pd.DataFrame) -> Crime:
    counties = tuple(sorted(frame["county_fips"].unique()))
    years = tuple(int(y) for y in sorted(frame["year"].unique()))
    at = (pd.Index(counties).get_indexer(frame["county_fips"]), pd.Index(years).get_indexer(frame["year"]))

    def grid(values: pd.Series, empty: Any, kind: Any) -> np.ndarray:
        out = np.full((len(counties), len(years)), empty, dtype=kind)
        out[at] = values.to_numpy()
        return out

    return Crime(
        counties,
        years,
        {o: grid(frame[o], np.nan, float) for o in OFFENCES},
        {o: grid(frame[f"{o}_rate"], np.nan, float) for o in OFFENCES},
        grid(frame["coverage"], np.nan, float),
        {o: grid(frame[f"reason_{o}"], "not printed", object) for o in OFFENCES},
        {o: grid(frame[f"mark_{o}"], "n/a", object) for o in OFFENCES},
    )


def _cache_path(min_coverage: float) -> Path | None:
    """Name the cached frame by everything it depends on: released tables, code of outcomes and panel, the threshold."""
    if os.environ.get("G287STATS_NO_CACHE"):
        return None
    import platformdirs

    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256(f"{min_coverage!r} {pd.__version__}".encode())
    code = [p for room in ("outcomes", "panel", "catalog") for p in sorted((package / room).rglob("*.py"))]
    code += [package / "geography.py", Path(__file__).resolve()]
    tables = [p for p in sorted(released_dir().iterdir()) if p.name.startswith(("fbi_", "population", "county_list"))]
    for path in code + tables:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return Path(platformdirs.user_cache_dir("g287stats", appauthor=False)) / f"crime-{digest.hexdigest()[:20]}.parquet"


def _keep(frame: pd.DataFrame, path: Path) -> None:
    """Write the cached frame in one step; a folder that cannot be written only costs time."""
    try:
        with changing(path.parent) as change:
            for old in path.parent.glob("crime-*.parquet"):
                change.remove(old.name)
            change.put(path.name, lambda part: frame.to_parquet(part, index=False))
    except OSError:
        return
