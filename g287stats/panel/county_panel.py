"""``county_panel``: outcomes, population and exposure lined up by county and period."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats.agreements.table import Agreements, load_agreements
from g287stats.errors import DesignError, SourceError
from g287stats.geography import county_distances, load_counties, neighbours, state_of
from g287stats.outcomes import OutcomeTable, load_outcome
from g287stats.outcomes.context.population import load_population
from g287stats.outcomes.coverage import apply_coverage
from g287stats.panel.controls import add_controls
from g287stats.panel.exposure import Exposure, exposure_shares, intervals, spread, treatment_table
from g287stats.panel.municipal import policed_shares, policed_weights

PER = 100_000
Freq = Literal["Y", "Q", "M"]


@dataclass(frozen=True)
class CountyPanel:
    """County × period frame with its keys, codebook, provenance and the flow of rows that made it.

    Attributes
    ----------
    frame
        One row per county and period: ``county_fips``, ``year`` (or ``period``), ``state``, ``cohort`` (first
        treated period; missing: never), ``treated``, ``exposure_share``, ``first_share``, ``population``,
        ``log_population``, then for each outcome its counts, rates per 100,000 residents and coverage.
    codebook
        Column → {description, unit, source}.
    provenance
        Where every block of columns came from, the package and data versions, the exposure in words.
    flow
        (block, step, rows, listing): what was found, matched, dropped and why.
    """

    frame: pd.DataFrame
    codebook: Mapping[str, Mapping[str, str]]
    provenance: Mapping[str, Any]
    flow: tuple[tuple[str, str, int, tuple[str, ...]], ...] = field(default_factory=tuple)
    unit: str = "county_fips"
    time: str = "year"

    def describe(self, column: str) -> pd.Series:
        """Say what a column is: description, unit, source, range and missing cells."""
        if column not in self.frame:
            raise DesignError(f"no column {column!r}; columns are {list(self.frame.columns)}")
        values = self.frame[column]
        facts: dict[str, Any] = dict(self.codebook.get(column, {}))
        facts |= {"rows": len(values), "missing": int(values.isna().sum())}
        if values.dtype.kind in "iuf" and values.notna().any():
            facts |= {"minimum": values.min(), "median": values.median(), "maximum": values.max()}
        return pd.Series(facts, name=column)

    def flow_table(self) -> pd.DataFrame:
        """Return the flow from source rows to panel rows: block, step, rows, number of listed items."""
        rows = [(b, s, n, len(listing), ", ".join(listing[:5])) for b, s, n, listing in self.flow]
        return pd.DataFrame(rows, columns=["block", "step", "rows", "listed", "first_listed"])

    def treated_units(self) -> pd.DataFrame:
        """Return the treated counties with name, state, cohort and the treated share of their first period."""
        ever = self.frame[self.frame["cohort"].notna()]
        out = ever.groupby("county_fips", as_index=False)[["state", "cohort", "first_share"]].first()
        names = load_counties().set_index("county_fips")["name"]
        out.insert(1, "name", out["county_fips"].map(names))
        return out.sort_values(["cohort", "county_fips"], ignore_index=True)

    def balanced(self, columns: Sequence[str] = ()) -> CountyPanel:
        """Keep the counties observed (in ``columns``) in every period; the others are counted in the flow."""
        present = self.frame.dropna(subset=list(columns)) if columns else self.frame
        periods = self.frame[self.time].nunique()
        counts = present.groupby("county_fips")[self.time].nunique()
        keep = set(counts.index[counts == periods])
        dropped = sorted(set(self.frame["county_fips"]) - keep)
        frame = self.frame[self.frame["county_fips"].isin(keep)].reset_index(drop=True)
        step = ("balance", f"not observed in all {periods} periods: counties dropped", len(frame), tuple(dropped))
        return CountyPanel(frame, self.codebook, self.provenance, (*self.flow, step), self.unit, self.time)

    def query(self, expression: str) -> CountyPanel:
        """Keep the rows that satisfy a pandas query; the rest are counted in the flow."""
        frame = self.frame.query(expression).reset_index(drop=True)
        step = ("query", f"kept where {expression}", len(frame), ())
        return CountyPanel(frame, self.codebook, self.provenance, (*self.flow, step), self.unit, self.time)

    def with_column(
        self, name: str, values: pd.Series, *, description: str, unit: str = "", source: str = ""
    ) -> CountyPanel:
        """Add a column from ``values``, indexed by county, or by county and period; counties without one are counted.

        The column enters the codebook with its description, unit and source.
        """
        if name in self.frame:
            raise DesignError(f"column {name!r} is already in the panel; choose another name")
        if not values.index.is_unique:
            raise DesignError(f"{name!r}: the index repeats; give one value per county (or county and period)")
        keys = self.frame["county_fips"] if values.index.nlevels == 1 else pd.MultiIndex.from_frame(
            self.frame[["county_fips", self.time]]
        )  # fmt: skip
        frame = self.frame.assign(**{name: values.reindex(keys).to_numpy()})
        gone = frame[name].isna()
        lost = tuple(frame.loc[gone, "county_fips"].unique())
        book = {**self.codebook, name: {"description": description, "unit": unit, "source": source}}
        step = (name, "rows without a value", int(gone.sum()), lost)
        return CountyPanel(frame, book, self.provenance, (*self.flow, step), self.unit, self.time)

    def to_long(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return ``columns`` in long form: county, period, variable, value."""
        return self.frame.melt([self.unit, self.time], list(columns), var_name="variable", value_name="value")

    def to_wide(self, column: str) -> pd.DataFrame:
        """Return one column as a county × period table."""
        return self.frame.pivot(index=self.unit, columns=self.time, values=column)

    def to_csv(self, path: str | Path) -> list[Path]:
        """Write ``path`` and the codebook beside it; returns both paths."""
        return self._write(path, lambda frame, target: frame.to_csv(target, index=False, lineterminator="\n"))

    def to_parquet(self, path: str | Path) -> list[Path]:
        """Write ``path`` and the codebook beside it; returns both paths."""
        return self._write(path, lambda frame, target: frame.to_parquet(target, index=False))

    def to_stata(self, path: str | Path) -> list[Path]:
        """Write ``path`` (Stata 14, column names cut to 32 characters) and the codebook beside it."""

        def save(frame: pd.DataFrame, target: Path) -> None:
            labels = {c[:32]: self.codebook.get(c, {}).get("description", "")[:80] for c in frame}
            short = frame.rename(columns=lambda c: c[:32])
            for c in short:
                if short[c].dtype.name in ("boolean", "bool"):
                    short[c] = short[c].astype("Float64").astype(float)
                elif short[c].dtype.name in ("Int64", "Float64"):
                    short[c] = short[c].astype(float)
                elif short[c].dtype.kind not in "iufM":
                    short[c] = short[c].astype(object).where(short[c].notna(), "").astype(str)
            short.to_stata(target, write_index=False, version=118, variable_labels=labels)

        return self._write(path, save)

    def _write(self, path: str | Path, save: Any) -> list[Path]:
        target = Path(path)
        frame = self.frame.copy()
        for c in frame:
            if isinstance(frame[c].dtype, pd.PeriodDtype):
                frame[c] = frame[c].astype(str).where(frame[c].notna(), None)
        save(frame, target)
        book = target.with_suffix(".codebook.csv")
        pd.DataFrame.from_dict(self.codebook, orient="index").rename_axis("column").to_csv(book, lineterminator="\n")
        return [target, book]

    def _repr_html_(self) -> str:
        head = f"<p>CountyPanel: {len(self.frame):,} rows, {self.frame[self.unit].nunique():,} counties</p>"
        return head + self.frame.head(10).to_html(index=False)

    def __repr__(self) -> str:
        years = self.frame[self.time]
        return (
            f"<CountyPanel {len(self.frame):,} rows: {self.frame[self.unit].nunique():,} counties, "
            f"{years.min()}–{years.max()}, {self.treated_units().shape[0]} treated>"
        )


def county_panel(
    outcomes: str | Sequence[str] = (),
    years: tuple[int, int] | Iterable[int] | None = None,
    *,
    freq: Freq = "Y",
    exposure: Exposure | Mapping[str, Exposure] | None = None,
    agreements: Agreements | None = None,
    min_coverage: float | None = None,
    on_low_coverage: Literal["error", "drop", "keep"] = "error",
    denominator: int | Literal["current", "covered"] = "current",
    controls: Sequence[str] = (),
) -> CountyPanel:
    """Line up outcomes, population and 287(g) exposure by county and period.

    Parameters
    ----------
    outcomes
        Name or names known to ``g.load_outcome``. With several, their columns carry the name as prefix. With
        none, the panel holds every county and its exposure.
    years
        First and last year (a tuple) or a list of years; needed without outcomes.
    freq
        ``"Y"``, ``"Q"`` or ``"M"``; an outcome measured by year cannot be asked for by month.
    exposure
        One :class:`Exposure`, or several by name: ``{"tfm": Exposure(models=("TFM",)), "jem": …}``, whose
        columns then carry the name as suffix (``cohort_tfm``). Default: any county-level agreement, by signing.
    agreements
        The record to use (default: the released table).
    min_coverage, on_low_coverage
        Smallest share of the county behind the counts, and what becomes of cells below it.
    denominator
        Residents that rates are per: ``"current"``, the county's residents of the year; a year, whose residents
        are used throughout (agreements may move people, so the current denominator is itself an outcome);
        ``"covered"``, the residents the producer says its counts belong to (county files with partial coverage),
        which an outcome without that column refuses.
    controls
        Controls and policies to add: ``hispanic_share``, ``unemployment_rate``, ``secure_communities``,
        ``mandate_287g``, … (see :func:`known_controls`). A value not in hand stays missing and is counted.

    Returns
    -------
    CountyPanel
        Rates are offences per 100,000 residents of the county.

    Raises
    ------
    DesignError, SourceError, CoverageError
        Years outside the data, a frequency an outcome does not have, coverage below the limit: what, where,
        how much.
    """
    names = (outcomes,) if isinstance(outcomes, str) else tuple(outcomes)
    record = agreements if agreements is not None else load_agreements()
    last_day = _last_day(record)
    exposures: Mapping[str, Exposure] = (
        exposure if isinstance(exposure, Mapping) else {"": exposure if exposure is not None else Exposure()}
    )
    tables = [_load(n, years, freq) for n in names]
    time = "year" if freq == "Y" else "period"
    flow: list[tuple[str, str, int, tuple[str, ...]]] = []
    book: dict[str, Mapping[str, str]] = {}

    frame = _skeleton(tables, years, freq, time, last_day)
    if not tables and years is not None:
        flow.append(("panel", f"county × period rows, to the last period begun by {last_day:%Y-%m-%d}", len(frame), ()))
    book["county_fips"] = {
        "description": "County, harmonised 2010–2019 unit",
        "unit": "5-character FIPS",
        "source": "county_list",
    }
    book[time] = {
        "description": "Calendar period",
        "unit": {"Y": "year", "Q": "quarter", "M": "month"}[freq],
        "source": "",
    }
    frame.insert(0, "state", frame["county_fips"].map(state_of))
    book["state"] = {"description": "State (USPS code)", "unit": "", "source": "county_list"}
    frame = frame[["county_fips", time, "state"]]

    for suffix, definition in exposures.items():
        frame, steps = _add_exposure(frame, time, freq, record, definition, suffix, book)
        flow += steps
    frame = _add_population(frame, time, denominator if isinstance(denominator, int) else None, book, flow)
    frame, entries, steps = add_controls(frame, time, controls)
    book |= entries
    flow += steps
    for table in tables:
        prefix = "" if len(tables) == 1 else f"{table.name}_"
        covered = denominator == "covered"
        frame, steps = _add_outcome(frame, time, table, prefix, min_coverage, on_low_coverage, covered, book)
        flow += steps
    frame = frame.sort_values(["county_fips", time], kind="mergesort", ignore_index=True)
    flow.append(("panel", "rows kept", len(frame), ()))
    provenance = {
        "outcomes": {t.name: dict(t.provenance) for t in tables},
        "exposure": {k or "treated": v.describe() for k, v in exposures.items()},
        "agreements": {"record": record.release, "spells": len(record.frame), "covers to": f"{last_day:%Y-%m-%d}"},
        "freq": freq,
        "denominator": denominator,
    }
    return CountyPanel(frame, book, provenance, tuple(flow), time=time)


def _last_day(record: Agreements) -> pd.Timestamp:
    """Day of the last list of participating agencies, or of the last dated event of a record without lists."""
    lists = record.lists
    if len(lists):
        return lists.loc[lists["kind"].eq("participating"), "list_date"].max()
    return record.frame[["signed_date", "last_listed", "gone_by", "ended_date"]].max().max()


def _load(name: str, years: Any, freq: Freq) -> OutcomeTable:
    table = load_outcome(name, years)
    if table.freq != freq:
        raise DesignError(
            f"{name} is measured at frequency {table.freq!r}, the panel asks for {freq!r}. "
            f'Use freq="{table.freq}"; exposure alone is available at any frequency (outcomes=())'
        )
    return table


def _skeleton(tables: list[OutcomeTable], years: Any, freq: Freq, time: str, last: pd.Timestamp) -> pd.DataFrame:
    """County × period rows: every county any outcome has, in every period any outcome has.

    Without outcomes: every county, in the periods of ``years`` that begin by ``last`` when the last year of the
    panel is the year in which the record ends.
    """
    if tables:
        counties = sorted(set().union(*(t.frame["county_fips"] for t in tables)))
        periods = sorted(set().union(*(t.frame[time] for t in tables)))
    else:
        if years is None:
            raise DesignError("a panel without outcomes needs years=(first, last)")
        span = years if isinstance(years, tuple) and len(years) == 2 else (min(years), max(years))
        all_counties = load_counties()
        counties = all_counties.loc[all_counties["unit_fips"].eq(all_counties["county_fips"]), "county_fips"].tolist()
        if freq == "Y":
            periods = list(range(span[0], span[1] + 1)) if isinstance(years, tuple) else sorted(years)
        else:
            months = pd.period_range(f"{span[0]}-01", f"{span[1]}-12", freq="M").asfreq(freq).unique()
            periods = [p for p in months if p.start_time <= last or p.year > last.year]
    frame = pd.DataFrame(
        {
            "county_fips": np.repeat(np.array(counties, dtype=object), len(periods)),
        }
    )
    values = pd.Series(periods * len(counties))
    frame[time] = values.astype("int64") if freq == "Y" else values.astype(f"period[{freq}]")
    return frame


def _add_exposure(
    frame: pd.DataFrame,
    time: str,
    freq: Freq,
    record: Agreements,
    definition: Exposure,
    suffix: str,
    book: dict[str, Mapping[str, str]],
) -> tuple[pd.DataFrame, list[tuple[str, str, int, tuple[str, ...]]]]:
    tail = f"_{suffix}" if suffix else ""
    span = frame[time].drop_duplicates()
    wanted = pd.PeriodIndex(span.astype(str) if freq == "Y" else span, freq=freq).sort_values()
    first, last = record.frame["signed_date"].min(), _last_day(record)
    if wanted[-1].start_time > last:
        raise SourceError(
            f"the agreement record ends {last:%Y-%m-%d}; the panel asks for {wanted[0]}–{wanted[-1]}. "
            f"Narrow years=, or update the record: g287stats agreements update NEW.xlsx --as-of DATE"
        )
    block = f"exposure{tail}"
    steps: list[tuple[str, str, int, tuple[str, ...]]] = []
    if wanted[-1].end_time > last:
        steps.append((block, f"record ends {last:%Y-%m-%d}: the share of {wanted[-1]} is of the days to then", 0, ()))
    # cohorts look back to the first agreement, also before the panel starts
    periods = pd.period_range(min(first.to_period(freq), wanted[0]), wanted[-1], freq=freq)
    until = last + pd.Timedelta(days=1)
    found = intervals(record.frame, definition, until)
    place = found.frame.columns[0]
    days = found.frame if definition.of == "own" else spread(found.frame, _links(definition))
    long = treatment_table(exposure_shares(days, place, periods, until), definition)
    part = "municipal" in definition.level and place == "county_fips"
    if part:
        weights = policed_weights(days)
        wide = policed_shares(days, weights, periods, until).reindex(long[place].unique(), fill_value=0.0)
        long["policed_share"] = wide.to_numpy().ravel()
        unknown = tuple(sorted(days.loc[weights.isna(), "agreement_id"].unique()))
        steps.append(
            (block, "share of residents policed unknown: policed_share is a lower bound", len(unknown), unknown)
        )
    if freq == "Y":
        long["period"] = long["period"].dt.year
        long["cohort"] = long["cohort"].dt.year.where(long["cohort"].notna()).astype("Int64")
    long = long.rename(columns={"period": time})
    columns = ["exposure_share", "treated", "cohort", "first_share", "after_exit", *(["policed_share"] if part else [])]
    keys = ["county_fips", time, "state"]
    merged = frame[keys].merge(long[[place, time, *columns]], on=[place, time], how="left", validate="many_to_one")
    merged["exposure_share"] = merged["exposure_share"].fillna(0.0)
    if part:
        merged["policed_share"] = merged["policed_share"].fillna(0.0)
    merged["treated"] = merged["treated"].fillna(False).astype(bool)
    merged["after_exit"] = merged["after_exit"].fillna(False).astype(bool)
    steps += [(block, s, n, listing) for s, n, listing in found.flow]
    outside = sorted(set(long.loc[long["cohort"].notna(), place]) - set(frame[place]))
    if outside:
        steps.append((block, f"treated {place} not among the panel's counties", len(outside), tuple(outside)))
    exits = merged.loc[merged["after_exit"], ["county_fips"]].drop_duplicates()["county_fips"]
    steps.append(
        (block, f"counties whose agreements ended within the panel ({definition.on_exit})", len(exits), tuple(exits))
    )
    if definition.on_exit == "censor":
        gone = merged["after_exit"]
        listing = tuple(merged.loc[gone, "county_fips"] + " " + merged.loc[gone, time].astype(str))
        steps.append((block, "rows censored after exit", int(gone.sum()), listing))
        merged = merged[~gone].reset_index(drop=True)
    ever = merged.loc[merged["cohort"].notna(), "county_fips"].nunique()
    steps.append((block, "treated counties in the panel", int(ever), ()))
    unit = {"Y": "year", "Q": "quarter", "M": "month"}[freq]
    sentence = definition.describe()
    texts = {
        "cohort": (f"First treated {unit}; missing: never. {sentence}", unit),
        "treated": (f"Treated in the {unit}. {sentence}", "true/false"),
        "exposure_share": (f"Share of the {unit}'s days under an agreement. {sentence}", "0 to 1"),
        "first_share": (f"exposure_share of the first treated {unit}", "0 to 1"),
        "after_exit": ("The first run of treated periods has ended", "true/false"),
        "policed_share": (f"Share of residents × days policed by an agency under an agreement. {sentence}", "0 to 1"),
    }
    order = ["cohort", "treated", "exposure_share", "first_share", "after_exit", *(["policed_share"] if part else [])]
    for name, (text, measure) in texts.items():
        if name not in order:
            continue
        book[name + tail] = {"description": text, "unit": measure, "source": "agreements"}
    merged = merged[[*keys, *order]].rename(columns={c: c + tail for c in order})
    return frame.merge(merged, on=keys, how="inner", validate="one_to_one"), steps


def _links(definition: Exposure) -> pd.DataFrame:
    """Pairs (county, county whose agreements count for it) of a neighbour exposure."""
    if isinstance(definition.of, tuple):
        low, high = definition.of
        pairs = county_distances(max_km=high)
        pairs = pairs[pairs["km"] > low].rename(columns={"other_fips": "source_fips"})
    else:
        pairs = neighbours(water=definition.of == "adjacent_or_water").rename(columns={"neighbour_fips": "source_fips"})
    return pairs[["county_fips", "source_fips"]]


def _add_population(
    frame: pd.DataFrame, time: str, fixed: int | None, book: dict[str, Mapping[str, str]], flow: list[Any]
) -> pd.DataFrame:
    population = load_population()
    residents = population.astype({"year": int, "population": float}).set_index(["county_fips", "year"])["population"]
    year = frame[time] if time == "year" else frame[time].dt.year
    if fixed is not None:
        have = population["year"].unique()
        if fixed not in have:
            raise DesignError(f"denominator={fixed}: population is in hand for {min(have)}–{max(have)}")
        year = pd.Series(fixed, index=frame.index)
    keys = pd.MultiIndex.from_arrays([frame["county_fips"], year.astype(int)])
    frame = frame.assign(population=residents.reindex(keys).to_numpy())
    absent = frame["population"].isna()
    if absent.any():
        listing = tuple(frame.loc[absent, "county_fips"] + " " + year[absent].astype(str))
        flow.append(("population", "no population in hand: rates missing", int(absent.sum()), listing))
    when = f"of {fixed}" if fixed else "of the year"
    book["population"] = {"description": f"Residents {when}", "unit": "persons", "source": "US Census Bureau estimates"}
    frame["log_population"] = np.log(frame["population"])
    book["log_population"] = {
        "description": "Natural logarithm of population",
        "unit": "log persons",
        "source": "derived",
    }
    return frame


def _add_outcome(
    frame: pd.DataFrame,
    time: str,
    table: OutcomeTable,
    prefix: str,
    min_coverage: float | None,
    on_low_coverage: Literal["error", "drop", "keep"],
    covered: bool,
    book: dict[str, Mapping[str, str]],
) -> tuple[pd.DataFrame, list[tuple[str, str, int, tuple[str, ...]]]]:
    steps = [(table.name, f"{s.step}{': ' + s.reason if s.reason else ''}", s.rows, s.listing) for s in table.flow]
    cells = table.frame.copy()
    if min_coverage is not None:
        if table.coverage is None:
            raise DesignError(f"{table.name} has no coverage column, so min_coverage={min_coverage} cannot be applied")
        cells, drops = apply_coverage(
            cells, table.coverage, min_coverage, on_low_coverage, time=time,
            names=load_counties().set_index("county_fips")["name"].to_dict(),
        )  # fmt: skip
        if len(drops):
            listing = tuple(drops["county_fips"] + " " + drops[time].astype(str) + ": " + drops["reason"])
            steps.append((table.name, f"coverage below {min_coverage:.0%} ({on_low_coverage})", len(drops), listing))
    names = [c for c in cells.columns if c not in ("county_fips", time, "population")]
    renamed = cells.rename(columns={c: prefix + c for c in names}).drop(columns=["population"], errors="ignore")
    if table.denominator == "population":
        renamed[f"{prefix}covered_population"] = cells["population"]
        book[f"{prefix}covered_population"] = {
            **table.codebook.get("population", {}),
            "description": "Residents behind the counts, as the producer gives them",
        }
    merged = frame.merge(renamed, on=["county_fips", time], how="left", validate="one_to_one")
    if table.coverage and table.coverage != "coverage":
        merged[f"{prefix}coverage"] = merged[prefix + table.coverage]
        book[f"{prefix}coverage"] = table.codebook[table.coverage]
    for c in names:
        book[prefix + c] = table.codebook[c]
    if covered and table.denominator is None:
        raise DesignError(f'{table.name} states no residents behind its counts; use denominator="current" or a year')
    column = f"{prefix}covered_population" if covered else "population"
    base, whose = merged[column].astype("float64"), "residents covered" if covered else "county residents"
    base = base.where(base > 0)
    for c in table.counts:
        merged[f"{prefix}{c}_rate"] = PER * merged[prefix + c].astype("float64") / base
        book[f"{prefix}{c}_rate"] = {
            "description": f"{table.codebook[c]['description']}, per 100,000 {whose}",
            "unit": "offences per 100,000 residents",
            "source": table.codebook[c].get("source", table.name),
        }
    found = merged[[prefix + c for c in table.counts]].notna().any(axis=1)
    listing = tuple(merged.loc[~found, "county_fips"] + " " + merged.loc[~found, time].astype(str))
    steps.append((table.name, "county-periods with a figure", int(found.sum()), ()))
    steps.append((table.name, "county-periods without a figure (missing, never zero)", int((~found).sum()), listing))
    return merged, steps
