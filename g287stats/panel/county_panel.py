"""``county_panel``: outcomes, population and exposure lined up by county and period."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from g287stats import labels
from g287stats.agreements.table import Agreements, load_agreements
from g287stats.arguments import guided
from g287stats.catalog import codebook, raw_files
from g287stats.errors import DataWarning, DesignError, SourceError, caution, choose
from g287stats.flow import Flow, Step
from g287stats.geography import county_distances, load_counties, neighbours, state_of
from g287stats.outcomes import OutcomeTable, load_outcome
from g287stats.outcomes.context.population import load_population
from g287stats.outcomes.coverage import OnLowCoverage, apply_coverage, kept_message
from g287stats.panel.controls import add_controls
from g287stats.panel.exposure import Exposure, exposure_shares, intervals, spread, treatment_table
from g287stats.panel.municipal import policed_shares, policed_weights
from g287stats.panel.panel import CountyPanel

PER = 100_000
Freq = Literal["Y", "Q", "M"]


@guided
def county_panel(
    outcomes: str | Sequence[str] = (),
    years: tuple[int, int] | Iterable[int] | None = None,
    *,
    freq: Freq = "Y",
    exposure: Exposure | Mapping[str, Exposure] | None = None,
    agreements: Agreements | None = None,
    min_coverage: float | None = 0.8,
    on_low_coverage: OnLowCoverage = "missing",
    on_doubt: Literal["keep", "missing"] = "keep",
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
        Smallest share of the county behind the counts, and what becomes of cells below it or of unknown coverage:
        ``"missing"``, no count and no rate, since the police who did not report are no county without crime;
        ``"error"``; ``"drop"``, no row; ``"keep"``, with a warning that names the counties. ``None`` asks for
        nothing. All of them are listed in the flow. An outcome whose coverage is not known says so in the flow.
    on_doubt
        What becomes of cells that report far below their own history (column ``doubt``, see
        :func:`g287stats.outcomes.coverage.doubt`): ``"keep"`` or ``"missing"``. They are counted in the flow.
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
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise DesignError(f"outcomes name {', '.join(twice)} twice; name each once")
    years = labels.years(years)
    _check_exposure(exposure)
    record = agreements if agreements is not None else load_agreements()
    last_day = record.last_day
    exposures: Mapping[str, Exposure] = (
        exposure if isinstance(exposure, Mapping) else {"": exposure if exposure is not None else Exposure()}
    )
    tables = [_load(n, years, freq) for n in names]
    time = "year" if freq == "Y" else "period"
    flow: list[Step] = []
    book: dict[str, Mapping[str, str]] = {}

    frame = _skeleton(tables, years, freq, time, last_day)
    if not tables and years is not None:
        flow.append(
            Step(
                "county × period rows",
                len(frame),
                f"to the last period begun by {last_day:%Y-%m-%d}",
                block="panel",
                kind="found",
            )
        )
    book |= codebook(
        ["county_fips", time, "state"], **{time: {"unit": {"Y": "year", "Q": "quarter", "M": "month"}[freq]}}
    )
    frame.insert(0, "state", frame["county_fips"].map(state_of))
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
        table, steps = _trusted(table, min_coverage, on_low_coverage, on_doubt)
        frame, more = _add_outcome(frame, time, table, prefix, covered, book)
        steps += more
        flow += steps
    frame = frame.sort_values(["county_fips", time], kind="mergesort", ignore_index=True)
    flow.append(Step("rows kept", len(frame), block="panel"))
    provenance = {
        "outcomes": {t.name: dict(t.provenance) for t in tables},
        "exposure": {k or "treated": v.describe() for k, v in exposures.items()},
        "agreements": {"record": record.release, "spells": len(record.frame), "covers to": f"{last_day:%Y-%m-%d}"},
        "raw_files": raw_files(_tables_read(record, tables)),
        "freq": freq,
        "denominator": denominator,
    }
    return CountyPanel(frame, book, provenance, Flow(tuple(flow)), time=time)


def _tables_read(record: Agreements, tables: Sequence[OutcomeTable]) -> list[str]:
    """Names of the released tables behind a panel, and of those the user brought."""
    named = [n for t in tables for n in str(t.provenance.get("table", "")).split(", ")]
    return [*(["agreements"] if record.release.startswith("g287stats") else []), "population", *named]


def _check_exposure(exposure: Any) -> None:
    named = exposure.values() if isinstance(exposure, Mapping) else () if exposure is None else (exposure,)
    wrong = [repr(e) for e in named if not isinstance(e, Exposure)]
    if wrong:
        raise DesignError(
            f"exposure={', '.join(wrong)}: give an Exposure, exposure=g.Exposure(models=('TFM',)), or several by name, "
            "exposure={'tfm': g.Exposure(models=('TFM',))}"
        )


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
        span = years if isinstance(years, tuple) else (min(years), max(years))
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
) -> tuple[pd.DataFrame, list[Step]]:
    tail = f"_{suffix}" if suffix else ""
    span = frame[time].drop_duplicates()
    wanted = pd.PeriodIndex(span.astype(str) if freq == "Y" else span, freq=freq).sort_values()
    first, last = record.frame["signed_date"].min(), record.last_day
    if wanted[-1].start_time > last:
        raise SourceError(
            f"the agreement record ends {last:%Y-%m-%d}; the panel asks for {wanted[0]}–{wanted[-1]}. "
            f"Narrow years=, or update the record: g287stats agreements update NEW.xlsx --as-of DATE"
        )
    block = f"exposure{tail}"
    steps: list[Step] = []
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
            Step("share of residents policed unknown", len(unknown), "policed_share is a lower bound", unknown, "noted")
        )
    if freq == "Y":
        long["period"] = long["period"].dt.year
        long["cohort"] = long["cohort"].dt.year.where(long["cohort"].notna()).astype("Int64")
    long = long.rename(columns={"period": time})
    ends = _both_ends(record, definition, until, periods) if definition.end_window == "both" else {}
    for name, wide in ends.items():
        long[name] = wide.reindex(long[place].unique(), fill_value=0.0).to_numpy().ravel()
    shares = ["exposure_share", *ends, *(["policed_share"] if part else [])]
    columns = [*shares, "treated", "cohort", "first_share", "after_exit"]
    keys = ["county_fips", time, "state"]
    merged = frame[keys].merge(long[[place, time, *columns]], on=[place, time], how="left", validate="many_to_one")
    merged[shares] = merged[shares].fillna(0.0)
    merged["treated"] = merged["treated"].fillna(False).astype(bool)
    merged["after_exit"] = merged["after_exit"].fillna(False).astype(bool)
    steps += found.flow
    outside = sorted(set(long.loc[long["cohort"].notna(), place]) - set(frame[place]))
    if outside:
        steps.append(Step(f"treated {place} not among the panel's counties", len(outside), "", tuple(outside), "noted"))
    exits = merged.loc[merged["after_exit"], ["county_fips"]].drop_duplicates()["county_fips"]
    ended = f"counties whose agreements ended within the panel ({definition.on_exit})"
    steps.append(Step(ended, len(exits), "", tuple(exits), "noted"))
    if definition.on_exit == "censor":
        gone = merged["after_exit"]
        listing = tuple(merged.loc[gone, "county_fips"] + " " + merged.loc[gone, time].astype(str))
        steps.append(Step("rows censored after exit", int(gone.sum()), "", listing, "dropped"))
        merged = merged[~gone].reset_index(drop=True)
    ever = merged.loc[merged["cohort"].notna(), "county_fips"].nunique()
    steps.append(Step("treated counties in the panel", int(ever), kind="noted"))
    sentence = definition.describe()
    order = ["cohort", "treated", *shares, "first_share", "after_exit"]
    if wanted[-1].end_time.normalize() > last:
        merged["exposure_known"] = merged[time].astype(str).ne(str(wanted[-1]))
        order.append("exposure_known")
        steps.append(_beyond(merged, time, shares, definition, last))
    words = {name: {"note": sentence} for name in ("cohort", "treated", *shares)}
    entries = codebook(order, **words)
    book |= {name + tail: entry for name, entry in entries.items()}
    merged = merged[[*keys, *order]].rename(columns={c: c + tail for c in order})
    return frame.merge(merged, on=keys, how="inner", validate="one_to_one"), list(Flow(tuple(steps)).under(block))


def _both_ends(
    record: Agreements, definition: Exposure, until: pd.Timestamp, periods: pd.PeriodIndex
) -> dict[str, pd.DataFrame]:
    """Shares with every windowed end on the first and on the last day possible."""
    out = {}
    ends: tuple[tuple[Literal["first", "last"], str], ...]
    ends = ("first", "exposure_share_first"), ("last", "exposure_share_last")
    for end, name in ends:
        found = intervals(record.frame, replace(definition, end_window=end), until)
        days = found.frame if definition.of == "own" else spread(found.frame, _links(definition))
        out[name] = exposure_shares(days, found.frame.columns[0], periods, until)
    return out


def _beyond(merged: pd.DataFrame, time: str, shares: list[str], definition: Exposure, last: pd.Timestamp) -> Step:
    """Blank, or only flag, the exposure of the period that ends after the last certain day; say so in a step."""
    unknown = ~merged["exposure_known"]
    period = merged.loc[unknown, time].iloc[0]
    what = f"{period} is known to {last:%Y-%m-%d}"
    if definition.beyond == "flag":
        note = "exposure_known is false; shares are of the days to then, and who signed later counts as untreated"
        return Step(what, int(unknown.sum()), note, kind="noted")
    merged.loc[unknown, shares] = np.nan
    settled = merged["treated"] & (definition.on_exit == "absorbing")
    if (unknown & ~settled).any():
        merged["treated"] = merged["treated"].astype("boolean").mask(unknown & ~settled)
    caution(
        f"{what}: exposure of that period is missing in {int(unknown.sum()):,} rows, and whether it is treated in "
        f"{int((unknown & ~settled).sum()):,}. Estimators that read cohorts need the rows left out: "
        'panel.query("exposure_known"). Exposure(beyond="flag") keeps the share of the certain days',
        DataWarning,
    )
    return Step(what, int(unknown.sum()), "exposure missing in these rows; exposure_known is false", kind="noted")


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
        flow.append(
            Step("no population in hand", int(absent.sum()), "rates missing", listing, "noted", None, "population")
        )
    when = f"of {fixed}" if fixed else "of the year"
    told = {"note": when, "source": "US Census Bureau estimates"}
    book |= codebook(["population", "log_population"], population=told)
    frame["log_population"] = np.log(frame["population"])
    return frame


def _trusted(
    table: OutcomeTable,
    min_coverage: float | None,
    on_low_coverage: OnLowCoverage,
    on_doubt: Literal["keep", "missing"],
) -> tuple[OutcomeTable, list[Step]]:
    """Apply the rules of coverage and of doubt to the cells of an outcome; all that fall under them are listed."""
    choose("on_doubt", on_doubt, ("keep", "missing"))
    steps, cells = list(table.flow), table.frame
    if table.coverage is None:
        steps.append(Step("coverage not known", len(cells), "the producer does not say who reported", kind="noted"))
    elif min_coverage is not None:
        names = load_counties().set_index("county_fips")["name"].to_dict()
        cells, low = apply_coverage(
            cells, table.coverage, min_coverage, on_low_coverage, counts=table.counts, time=table.time, names=names
        )
        if on_low_coverage == "keep" and len(low):
            caution(kept_message(low, min_coverage, time=table.time), DataWarning)
        listing = tuple(f"{c} {t}: {why}" for c, t, why in zip(low["county_fips"], low[table.time], low["reason"]))
        steps.append(Step(f"coverage below {min_coverage:.0%}", len(low), on_low_coverage, listing, "noted"))
    if on_doubt == "missing" and "doubt" in cells:
        doubted = cells["doubt"].fillna("").ne("")
        cells = cells.copy()
        cells[list(table.counts)] = cells[list(table.counts)].mask(doubted)
        listing = tuple(cells.loc[doubted, "county_fips"] + " " + cells.loc[doubted, table.time].astype(str))
        steps.append(Step("in doubt", int(doubted.sum()), "missing", listing, "noted"))
    return replace(table, frame=cells), list(Flow(tuple(steps)).under(table.name))


def _add_outcome(
    frame: pd.DataFrame, time: str, table: OutcomeTable, prefix: str, covered: bool, book: dict[str, Mapping[str, str]]
) -> tuple[pd.DataFrame, list[Step]]:
    steps: list[Step] = []
    cells = table.frame
    names = [c for c in cells.columns if c not in ("county_fips", time, "population")]
    renamed = cells.rename(columns={c: prefix + c for c in names}).drop(columns=["population"], errors="ignore")
    if table.denominator == "population":
        renamed[f"{prefix}covered_population"] = cells["population"]
        source = table.codebook.get("population", {}).get("source", table.name)
        book[f"{prefix}covered_population"] = codebook(["producer_population"], source)["producer_population"]
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
    steps.append(Step("county-periods with a figure", int(found.sum())))
    steps.append(Step("county-periods without a figure", int((~found).sum()), "missing, never zero", listing, "noted"))
    return merged, list(Flow(tuple(steps)).under(table.name))
