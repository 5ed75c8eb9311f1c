"""``CountyPanel``: county × period rows that keep their keys, codebook, provenance, exits and flow whatever is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from g287stats import labels
from g287stats.catalog.text import csv
from g287stats.catalog.writing import changing
from g287stats.errors import DataWarning, DesignError, caution, first_of
from g287stats.flow import EMPTY, Flow, Step
from g287stats.geography import harmonise, load_counties
from g287stats.words import FRAME, no_attribute


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
        What was found, matched, dropped and kept, and why, from the source rows on: ``panel.flow.to_frame()``.
    """

    frame: pd.DataFrame
    codebook: Mapping[str, Mapping[str, str]]
    provenance: Mapping[str, Any]
    flow: Flow = EMPTY
    unit: str = "county_fips"
    time: str = "year"

    def __getattr__(self, name: str) -> Any:
        raise no_attribute("a CountyPanel", name, FRAME, dir(type(self)), ".")

    def __getitem__(self, column: str) -> pd.Series:
        """Return a column of the frame."""
        if column not in self.frame:
            raise DesignError(f"no column {column!r}; columns are {list(self.frame.columns)}")
        return self.frame[column]

    def head(self, rows: int = 5) -> pd.DataFrame:
        """Return the first rows."""
        return self.frame.head(rows)

    def describe(self, column: str) -> pd.Series:
        """Say what a column is: description, unit, source, range and missing cells."""
        values = self[column]
        facts: dict[str, Any] = dict(self.codebook.get(column, {}))
        facts |= {"rows": len(values), "missing": int(values.isna().sum())}
        if values.dtype.kind in "iuf" and values.notna().any():
            facts |= {"minimum": values.min(), "median": values.median(), "maximum": values.max()}
        return pd.Series(facts, name=column)

    @property
    def keys(self) -> Mapping[str, str]:
        """Columns of the unit, of time and of cohorts, as estimators take them: ``g.twfe(frame, y, **panel.keys)``."""
        return {"unit": self.unit, "time": self.time, "cohort": "cohort"}

    @property
    def exits(self) -> dict[str, tuple[str, ...]]:
        """For each column of cohorts, the counties whose treatment ends within the panel's rows."""
        ordered = self.frame.sort_values([self.unit, self.time])
        same = ordered[self.unit].eq(ordered[self.unit].shift())
        out = {}
        for cohort in (c for c in self.frame if c == "cohort" or c.startswith("cohort_")):
            on = ordered["treated" + cohort.removeprefix("cohort")].astype(bool)
            off = same & on.shift(fill_value=False) & ~on
            out[cohort] = tuple(ordered.loc[off, self.unit].unique())
        return out

    def holding(
        self, frame: pd.DataFrame, steps: Iterable[Step] = (), codebook: Mapping[str, Mapping[str, str]] | None = None
    ) -> CountyPanel:
        """Return the panel on other rows or columns: keys, provenance, codebook and flow go on.

        ``steps`` are added to the flow, ``codebook`` to the codebook.
        """
        book = {**self.codebook, **(codebook or {})}
        return replace(self, frame=frame.reset_index(drop=True), codebook=book, flow=self.flow + steps)

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
        counts = present.groupby(self.unit)[self.time].nunique()
        return self._keeping(
            self.frame[self.unit].isin(counts.index[counts == periods]),
            f"not observed in all {periods} periods",
        )

    def query(self, expression: str) -> CountyPanel:
        """Keep the rows that satisfy a pandas query; the rest are counted in the flow."""
        return self._keeping(self.frame.index.isin(self.frame.query(expression).index), f"not in: {expression}")

    def _keeping(self, keep: Any, reason: str) -> CountyPanel:
        keep = np.asarray(keep)
        lost = self.frame.loc[~keep, self.unit]
        gone = sorted(set(lost) - set(self.frame.loc[keep, self.unit]))
        step = Step(
            reason, len(lost), "listed: counties without a row left", tuple(gone), block="panel", units=lost.nunique()
        )
        return replace(self.holding(self.frame[keep]), flow=self.flow.dropping(step))

    def with_column(
        self,
        name: str,
        values: pd.Series,
        *,
        description: str,
        measured_in: str = "",
        source: str = "",
        overwrite: bool = False,
    ) -> CountyPanel:
        """Add a column from ``values``, indexed by county, by county and period in either order, or as the frame is.

        Keys are read as :meth:`merge` reads them; rows without a value are missing and counted. The column enters the
        codebook with description, unit and source. A column that exists is an error unless ``overwrite=True``.
        """
        if not isinstance(values, pd.Series):
            raise DesignError(
                f"with_column({name!r}): values is a {type(values).__name__}, without labels; give a Series indexed by "
                "county, or by county and period: frame.set_index(['county_fips', 'year'])['x']"
            )
        if values.index.equals(self.frame.index):  # made of the panel's own columns
            values = values.set_axis(pd.MultiIndex.from_frame(self.frame[[self.unit, self.time]]))
        if values.index.nlevels > 2:
            raise DesignError(f"with_column({name!r}): the index has {values.index.nlevels} levels; county and period")
        levels = [values.index.get_level_values(k) for k in range(values.index.nlevels)]
        place, *when = self._in_order(levels)
        table = pd.DataFrame({"fips": np.asarray(place, dtype=object), name: values.array})
        if when:
            table[self.time] = pd.Series(when[0].array)
        book = {name: {"description": description, "unit": measured_in, "source": source}}
        return self._merge(table, "fips", self.time if when else None, self.freq, [name], book, overwrite)

    def merge(
        self,
        frame: pd.DataFrame,
        fips: str = "county_fips",
        *,
        year: str | None = None,
        period: str | None = None,
        columns: Sequence[str] | None = None,
        codebook: Mapping[str, Mapping[str, str]] | None = None,
        source: str = "",
        overwrite: bool = False,
    ) -> CountyPanel:
        """Add the columns of your own table, joined on what its rows are called.

        Parameters
        ----------
        frame
            One row a county, or a county and period. Keys may be columns or index levels.
        fips
            Name of the county code: 5-character text, unpadded text, integers or floats; codes of any vintage are
            put in today's harmonised units.
        year, period
            Name of the year (number or text) or, in a panel of months or quarters, of the period (``"2010-05"``,
            ``"2010Q2"``, ``Period``, first day). Neither: a column called as the panel's own time, if there is one,
            otherwise every period of a county gets its value. A year in a panel of months goes to each of its months.
        columns
            Columns to add; default all but the keys.
        codebook
            Column → {description, unit, source}; a column not described says where it came from, ``source``.
        overwrite
            Whether columns the panel has may be replaced.

        Returns
        -------
        CountyPanel
            Every row of the panel; the columns are missing where the table has no row. Matched and unmatched rows
            of both sides are counted and listed in the flow.

        Raises
        ------
        DesignError
            No row of the panel has one in the table (three keys of each side are shown), keys that repeat, keys that
            are no county or period, columns that exist.

        Warns
        -----
        DataWarning
            Less than 90 % of the panel's rows find a row.

        Examples
        --------
        >>> import pandas as pd, g287stats as g
        >>> panel = g.county_panel(years=(2010, 2011))
        >>> own = pd.DataFrame({"FIPS": [1001, 37119], "yr": ["2010", "2010"], "jail_beds": [60, 1900]})
        >>> import warnings; warnings.simplefilter("ignore")  # two of 3,142 counties
        >>> panel.merge(own, "FIPS", year="yr").frame["jail_beds"].sum()
        1960.0
        """
        if year and period:
            raise DesignError("merge: give year= or period=, not both")
        table = frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()
        clock = year or period or (self.time if self.time in table else None)
        absent = [c for c in (fips, clock) if c and c not in table]
        if absent:
            raise DesignError(
                f"merge: no column {absent} in the table; its columns are {list(map(str, table.columns))}. "
                'Name the keys: panel.merge(frame, fips="FIPS", year="yr")'
            )
        names = [c for c in table if c not in (fips, clock)] if columns is None else list(columns)
        names = [c for c in names if c != "index" or c in frame]
        book = {c: {"description": str(c), "unit": "", "source": source or "merged by the user"} for c in names}
        book |= {c: dict(text) for c, text in (codebook or {}).items() if c in names}
        freq = "Y" if year or clock == "year" else self.freq
        return self._merge(table, fips, clock, freq, names, book, overwrite)

    @property
    def freq(self) -> str:
        """``"Y"``, ``"Q"`` or ``"M"``."""
        return "Y" if self.time == "year" else self.frame[self.time].dtype.name.removeprefix("period[")[0]

    def _merge(
        self,
        table: pd.DataFrame,
        fips: str,
        clock: str | None,
        freq: str,
        names: list[str],
        book: Mapping[str, Mapping[str, str]],
        overwrite: bool,
    ) -> CountyPanel:
        taken = [c for c in names if c in self.frame]
        if taken and not overwrite:
            raise DesignError(f"columns {taken} are already in the panel; rename yours, or overwrite=True")
        if fixed := [c for c in taken if c in (self.unit, self.time, "state")]:
            raise DesignError(f"columns {fixed} say what a row is and cannot be replaced")
        what = f"merge of {', '.join(map(str, names[:4]))}"
        theirs, recoded = self._their_keys(table, fips, clock, freq, what)
        mine = [self.frame[self.unit]]
        if clock:
            when = self.frame[self.time]
            mine.append(when.dt.year if freq == "Y" and self.time != "year" else when)
        own = pd.MultiIndex.from_arrays([np.asarray(m, dtype=object) for m in mine])
        usable = theirs.get_level_values(0).notna()
        place = pd.Series(np.flatnonzero(usable), index=theirs[usable])
        at = place.reindex(own).to_numpy()
        found = ~np.isnan(at)
        _told(what, own, theirs, found)
        used = np.unique(at[found].astype(int))
        unused = np.setdiff1d(np.arange(len(table)), used)
        listing = tuple(" ".join(map(str, theirs[k])) for k in unused)
        lost = pd.Series(self.frame[self.unit])[~found]
        steps = [
            Step("rows of the table", len(table), recoded, kind="found", block=what),
            Step("rows of the table used", len(used), "not among the panel's keys", listing, block=what),
            Step(
                "panel rows without a value", len(lost), "missing", tuple(lost.unique()), "noted", lost.nunique(), what
            ),
        ]
        taker = np.where(found, at, -1).astype(int)
        new = {c: _taken(table[c], taker) for c in names}
        return self.holding(self.frame.assign(**new), steps, book)

    def _their_keys(
        self, table: pd.DataFrame, fips: str, clock: str | None, freq: str, what: str
    ) -> tuple[pd.MultiIndex, str]:
        """Keys of the rows of a table in the panel's own terms, and what was recoded; repeated keys are refused."""
        given = labels.county_codes(table[fips], f"{what}: column {fips!r}")
        codes = harmonise(given, warn=False)
        recoded = codes.attrs["harmonised"]["recoded"]
        parts = [codes.astype(object).to_numpy()]
        if clock:
            parts.append(labels.periods(table[clock], freq, f"{what}: column {clock!r}").astype(object).to_numpy())
        theirs = pd.MultiIndex.from_arrays(parts)
        again = theirs.duplicated() & theirs.get_level_values(0).notna()
        if again.any():
            shown = first_of(dict.fromkeys(" ".join(map(str, k)) for k in theirs[again]), 3)
            remedy = "" if clock else ' If rows are county-years, name the year: year="year".'
            merged = f" Codes put together: {', '.join(recoded)}." if recoded else ""
            raise DesignError(
                f"{what}: keys repeat in {int(again.sum())} rows: {shown}. Give one row a "
                f"{'county and period' if clock else 'county'}.{remedy}{merged}"
            )
        return theirs, "codes put in harmonised units: " + ", ".join(recoded) if recoded else ""

    def _in_order(self, levels: list[pd.Index]) -> list[pd.Index]:
        """Index levels as county, period: the order in which more of them are the panel's."""
        if len(levels) == 1:
            return levels

        def score(place: pd.Index, when: pd.Index) -> float:
            try:
                codes, times = labels.county_codes(place.unique()), labels.periods(when.unique(), self.freq)
            except DesignError:
                return -1.0
            return codes.isin(self.frame[self.unit].unique()).mean() + times.isin(self.frame[self.time].unique()).mean()

        forward, backward = score(*levels), score(*levels[::-1])
        return levels if forward >= backward else levels[::-1]

    def to_long(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return ``columns`` in long form: county, period, variable, value."""
        return self.frame.melt([self.unit, self.time], list(columns), var_name="variable", value_name="value")

    def to_wide(self, column: str) -> pd.DataFrame:
        """Return one column as a county × period table."""
        return self.frame.pivot(index=self.unit, columns=self.time, values=column)

    def to_csv(self, path: str | Path) -> list[Path]:
        """Write ``path`` and the codebook beside it; returns both paths."""
        return self._write(path, lambda frame, target: target.write_text(csv(frame), "utf-8"))

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
        book = pd.DataFrame.from_dict(self.codebook, orient="index").rename_axis("column")
        with changing(target.parent) as change:
            return [
                change.put(target.name, lambda path: save(frame, path)),
                change.put(target.with_suffix(".codebook.csv").name, csv(book, index=True)),
            ]

    def _repr_html_(self) -> str:
        head = f"<p>CountyPanel: {len(self.frame):,} rows, {self.frame[self.unit].nunique():,} counties</p>"
        return head + self.frame.head(10).to_html(index=False)

    def __repr__(self) -> str:
        years = self.frame[self.time]
        return (
            f"<CountyPanel {len(self.frame):,} rows: {self.frame[self.unit].nunique():,} counties, "
            f"{years.min()}–{years.max()}, {self.treated_units().shape[0]} treated>"
        )


def _told(what: str, own: pd.MultiIndex, theirs: pd.MultiIndex, found: np.ndarray) -> None:
    """Refuse a join that matches nothing, warn of one that matches less than 90 % of the panel's rows."""
    share = found.mean() if len(found) else 0.0
    shown = lambda keys: ", ".join("/".join(map(str, k)) for k in keys[:3])
    words = (
        f"{what}: {int(found.sum()):,} of {len(found):,} rows of the panel ({share:.1%}) find a row. The panel has "
        f"{shown(own[~found])}; the table has {shown(theirs)}"
    )
    if not found.any():
        raise DesignError(f"{words}. Keys are county FIPS codes and the panel's periods; are these they?")
    if share < 0.9:
        caution(
            f"{words}. The others are missing, and listed in .flow",
            DataWarning,
        )


def _taken(column: pd.Series, at: np.ndarray) -> Any:
    """Values at the rows ``at``, missing where −1, in a type that can be missing."""
    return column.reset_index(drop=True).reindex(at).array if (at < 0).any() else column.array.take(at)
