"""The sample: strata, primary sampling units, weights, replicate weights.

``sample`` is the one door: labels become codes here, every problem is listed at once, and no row leaves.
Estimates for a part of the population take a mask (``domain=``), because deleting rows deletes sampling units and
with them part of the variance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args

import numpy as np
import pandas as pd
from scipy import sparse

from g287stats.errors import DesignError, Problems, choose
from g287stats.estimate.covariance import Influence
from g287stats.survey.linearize import PRESENT, SecondStage, Singleton, SurveyDesign, level_sums
from g287stats.survey.replicates import ReplicateWeights

FACTS = "survey_design"
"""Key of ``frame.attrs`` under which a reader states facts about the sample (see :func:`sample`)."""

YEAR_BREAKS: dict[str, tuple[int, ...]] = {"V2117": (1997, 2006, 2016)}
"""First years of a new sample of PSUs, by stratum variable: NCVS pseudo-strata are redrawn in these years
(BJS direct-variance guide for 1997 and 2006; 2016 inferred). Codes are not comparable across a break."""


def year_group(years: pd.Series | np.ndarray, breaks: Sequence[int] = YEAR_BREAKS["V2117"]) -> np.ndarray:
    """Return the year group (1, 2, …) of each year: a new group starts in each year of ``breaks``."""
    return 1 + np.searchsorted(np.asarray(breaks), np.asarray(years, dtype=float).astype(int), side="right")


@dataclass(frozen=True, eq=False)
class Calibration:
    """Auxiliary variables (n × q) whose totals were matched, and the weights before (n,).

    Only what they do not explain varies from sample to sample: scores are residuals of their regression on ``x``
    with the weights before (Deville and Särndal 1992; post-strata are the case of indicators).
    """

    x: np.ndarray
    before: np.ndarray

    def coefficients(self, psi: np.ndarray, weights: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Coefficients (q × k) of the regression of the influence by unit weight of rows ``index``."""
        ratio = np.divide(self.before, weights, out=np.zeros_like(weights), where=weights != 0)[index]
        gram = (self.x * self.before[:, None]).T @ self.x
        return np.linalg.lstsq(gram, (self.x[index] * ratio[:, None]).T @ psi, rcond=1e-12)[0]


@dataclass(frozen=True, eq=False)
class Cells:
    """PSU × cluster cells that occur, their code by row (n,), and the codes of each level by cell."""

    row: np.ndarray
    levels: Mapping[str, np.ndarray]

    @property
    def count(self) -> int:
        """Number of cells."""
        return len(next(iter(self.levels.values())))


@dataclass(frozen=True, eq=False)
class SurveySample:
    """A sample with its design, coded; made by :func:`sample`. All rows stay.

    Attributes
    ----------
    frame
        The rows, index reset.
    weights
        Sampling weights, (n,), zero for non-interviews.
    psu
        PSU code of each row, (n,); ``stratum`` is the stratum of each PSU, (n_psu,).
    psu_labels
        Label of each PSU: stratum columns and PSU.
    fraction
        Sampling fraction of PSUs by stratum, or None.
    ssu, second
        Code of the second-stage unit of each row, (n,), and those units with their fractions; or None.
    calibration
        What the weights were calibrated to (:func:`~g287stats.survey.calibration.calibrate`), or None.
    cluster
        Codes by row of further levels at which errors may be clustered (``county_fips``).
    replicates
        Replicate weights, or None.
    notes
        Counted remarks that travel with every estimate.
    """

    frame: pd.DataFrame = field(repr=False)
    weights: np.ndarray = field(repr=False)
    psu: np.ndarray = field(repr=False)
    stratum: np.ndarray = field(repr=False)
    psu_labels: pd.Index = field(repr=False)
    n_strata: int
    singleton: Singleton
    fraction: np.ndarray | None = field(repr=False, default=None)
    ssu: np.ndarray | None = field(repr=False, default=None)
    second: SecondStage | None = field(repr=False, default=None)
    calibration: Calibration | None = field(repr=False, default=None)
    cluster: Mapping[str, np.ndarray] = field(repr=False, default_factory=dict)
    replicates: ReplicateWeights | None = field(repr=False, default=None)
    simulated: bool = False
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.frame)

    @property
    def n_psu(self) -> int:
        """Number of PSUs."""
        return len(self.stratum)

    @property
    def df(self) -> int:
        """PSUs minus strata of the whole sample (PSUs with at least one positive weight)."""
        return self._degrees(self.weights != 0, self.psu, self.stratum)

    @staticmethod
    def _degrees(rows: np.ndarray, psu: np.ndarray, stratum: np.ndarray) -> int:
        present = np.unique(psu[rows])
        return len(present) - len(np.unique(stratum[present]))

    def domain(self, mask: Any = None) -> np.ndarray:
        """Check a domain mask and return it as a boolean array (n,); None is every row.

        Raises :class:`DesignError` for anything that is not one truth value per row of the sample: a filtered
        frame or a shorter mask would delete sampling units before the variance step.
        """
        if mask is None:
            return np.ones(self.n, dtype=bool)
        if isinstance(mask, str):
            mask = self.frame[mask] if mask in self.frame else self.frame.eval(mask)
        if isinstance(mask, pd.DataFrame):
            raise DesignError(
                f"domain is a frame of {len(mask):,} rows; rows must not be removed before a variance (sampling "
                "units would be lost). Give a mask over all rows: domain=sample.frame['group'] == 'latino'"
            )
        array = np.asarray(mask)
        if array.shape != (self.n,):
            raise DesignError(
                f"domain has {array.shape[0] if array.ndim else 0:,} values for {self.n:,} rows. Build the mask "
                "from sample.frame, without removing rows"
            )
        if pd.isna(array).any():
            raise DesignError(
                f"domain has {int(pd.isna(array).sum()):,} missing values: say whether these rows belong. "
                "Missing is not False: mask.fillna(False) if they do not"
            )
        return array.astype(bool)

    def rule(self, rows: np.ndarray | None = None, cluster: str = "psu") -> SurveyDesign:
        """Return the covariance rule: the design's own, or clusters of ``cluster`` (counties) as one stratum.

        Counties within strata are another sample: ``sample(…, strata=…, psu="county_fips")``.
        """
        rows = self.weights != 0 if rows is None else rows & (self.weights != 0)
        if cluster == "psu":
            degrees = self._degrees(rows, self.psu, self.stratum)
            return SurveyDesign(self.stratum, "psu", degrees, self.fraction, self.singleton, self.second)
        if cluster not in self.cluster:
            raise DesignError(
                f"cannot cluster by {cluster!r}: the sample keeps {sorted(self.cluster)}. Pass "
                f"cluster=({cluster!r},) to survey_sample"
            )
        codes = self.cluster[cluster]
        groups = np.zeros(int(codes.max()) + 1, dtype=int)
        return SurveyDesign(groups, cluster, self._degrees(rows, codes, groups))

    @cached_property
    def cells(self) -> Cells:
        """The cells to which row-level influence is summed."""
        levels = {"psu": self.psu} | ({} if self.ssu is None else {"ssu": self.ssu}) | dict(self.cluster)
        key = np.zeros(self.n, dtype=np.int64)
        for codes in levels.values():
            width = int(codes.max(initial=0)) + 1
            key = key * width + codes
            if key.max(initial=0) > 50_000_000:
                key = np.unique(key, return_inverse=True)[1].reshape(-1)
        occurs = np.bincount(key) > 0
        row = (np.cumsum(occurs) - 1)[key]
        first = np.empty(int(occurs.sum()), dtype=np.int64)
        first[row[::-1]] = np.arange(self.n)[::-1]
        return Cells(row, {name: codes[first] for name, codes in levels.items()})

    def influence(self, psi: np.ndarray, rows: np.ndarray | None = None, column: np.ndarray | None = None) -> Influence:
        """Sum row-level influence to PSU × cluster cells.

        Parameters
        ----------
        psi
            Influence by row (m × k); with ``column``, one value a row (m,) that belongs to that column alone.
        rows
            Positions of the m rows in the sample; None for all.
        column
            Column of each value, 0 … k−1.
        """
        index = np.arange(self.n) if rows is None else rows
        at, count = self.cells.row[index], self.cells.count
        if column is None:
            out = np.column_stack([np.bincount(at, part, count) for part in psi.T])
        else:
            k = int(column.max()) + 1
            out = np.bincount(at * k + column, psi, count * k).reshape(count, k)
        if self.calibration is not None:
            wide = psi if column is None else np.where(column[:, None] == np.arange(out.shape[1]), psi[:, None], 0.0)
            fitted = self.calibration.x * self.weights[:, None]
            explained = np.column_stack([np.bincount(self.cells.row, part, count) for part in fitted.T])
            out -= explained @ self.calibration.coefficients(wide, self.weights, index)
        elif self.singleton == "average":
            self._mark(out, index, column)
        return Influence(out, self.cells.levels)

    def influence_of_cells(self, x: np.ndarray, cell: np.ndarray, score: np.ndarray, rows: np.ndarray) -> Influence:
        """Influence of rows ``score · x[cell]``, summed by one sparse product without an array of rows × k."""
        if self.calibration is not None:
            return self.influence(x[cell] * score[:, None], rows)
        part = sparse.csr_array((score, (self.cells.row[rows], cell)), shape=(self.cells.count, len(x)))
        out = part @ x
        if self.singleton == "average":
            self._mark(out, rows, None)
        return Influence(out, self.cells.levels)

    def _mark(self, out: np.ndarray, index: np.ndarray, column: np.ndarray | None) -> None:
        """Mark strata that hold rows of the domain where all their scores are zero (see ``PRESENT``)."""
        k, of = out.shape[1], self.stratum[self.cells.levels["psu"]]
        rows = self.stratum[self.psu[index]]
        if column is None:
            held = np.repeat((np.bincount(rows, minlength=self.n_strata) > 0)[:, None], k, axis=1)
        else:
            held = np.bincount(rows * k + column, minlength=self.n_strata * k).reshape(-1, k) > 0
        silent = held & (level_sums((out != 0).astype(float), of, self.n_strata) == 0)
        first = np.zeros(self.n_strata, dtype=int)
        first[of[::-1]] = np.arange(len(of))[::-1]
        for h, j in np.argwhere(silent):
            out[first[h], j] = PRESENT

    def counts(self, rows: np.ndarray) -> dict[str, Any]:
        """Counts for ``Estimate.sample``."""
        used = rows & (self.weights != 0)
        out: dict[str, Any] = {
            "n_obs": int(used.sum()),
            "n_rows": self.n,
            "n_psu": self.n_psu,
            "n_strata": self.n_strata,
            "n_units": len(np.unique(self.psu[used])),
        }
        return out | ({"simulated": True} if self.simulated else {})


def sample(
    data: Any,
    *,
    weights: str | None = None,
    strata: str | Sequence[str] | None = None,
    psu: str | Sequence[str] | None = None,
    fpc: str | Sequence[str] | None = None,
    cluster: str | Sequence[str] = (),
    singleton: Singleton = "fail",
    roster: pd.DataFrame | None = None,
    replicates: ReplicateWeights | None = None,
) -> SurveySample:
    """Describe a complex sample.

    Parameters
    ----------
    data
        All rows of the file, also those outside the population of interest: a frame, or anything with
        ``.frame``. Never modified.
    weights
        Column of sampling weights (zero for non-interviews); None gives every row weight one.
    strata
        Stratum column or columns; None for one stratum. When the strata were redrawn between years (NCVS
        ``V2117``) the year group must be among them: see :func:`year_group`.
    psu
        Column of primary sampling units, numbered within strata; two columns for PSUs and the units drawn within
        them; None makes every row its own unit.
    fpc
        Column with the number of PSUs in the stratum's population, or the sampling fraction (all values above
        one, or none); one value a stratum. A second column corrects the second stage, one value a PSU.
    cluster
        Further columns at which errors may be clustered later (``county_fips``).
    singleton
        A stratum with one PSU: ``fail`` (default), ``remove``, ``certainty``, ``adjust``, ``average``.
    roster
        All PSUs of the sample (the stratum and PSU columns, one row each), for files that need not have a row
        in each of them, such as incident files.
    replicates
        See :func:`~g287stats.survey.replicates.replicate_weights`.

    Raises
    ------
    DesignError
        One message with every problem: absent columns, missing codes, weights that are missing, negative or not
        numbers, corrections that vary within a stratum or fall below the units drawn, singleton strata, pooled
        years without year groups, a PSU of the roster without a row, rows removed since the file was read, or a
        file that carries no design at all.
    """
    choose("singleton", singleton, get_args(Singleton))
    frame: pd.DataFrame = data if isinstance(data, pd.DataFrame) else data.frame
    facts: Mapping[str, Any] = frame.attrs.get(FACTS, {})
    columns, stages, corrections, levels = (_names(v) for v in (strata, psu, fpc, cluster))
    problems = Problems("survey sample")
    if facts.get("no_design"):
        problems.add(str(facts["no_design"]))
        problems.raise_if_any()
    if len(stages) > 2 or len(corrections) > max(len(stages), 1):
        problems.add(
            f"psu={stages} with fpc={corrections}", (), "At most two stages, and no more corrections than stages"
        )
    wanted = [*columns, *stages, *corrections, *([weights] if weights else []), *levels]
    absent = [c for c in wanted if c not in frame.columns]
    if absent:
        problems.add("columns not in the file", absent, f"Columns are {list(map(str, frame.columns[:20]))}")
    problems.raise_if_any()
    if not len(frame):
        problems.add("the file has no rows")
    frame = frame.reset_index(drop=True)
    _no_rows_removed(frame, facts, problems)
    _year_groups(frame, columns, problems)
    for column in wanted:
        gone = frame[column].isna()
        if gone.any():
            problems.add(f"{column!r} is missing in rows", frame.index[gone].tolist(), "Every row has a place")
    w = np.ones(len(frame)) if weights is None else as_numbers(frame[weights], problems)
    if (w < 0).any() or np.isinf(w).any():
        problems.add("weights must be finite and not negative", np.flatnonzero((w < 0) | np.isinf(w)).tolist())
    if replicates is not None and len(replicates.weights) != len(frame):
        problems.add(f"replicate weights have {len(replicates.weights):,} rows for {len(frame):,} of the file")
    problems.raise_if_any()

    keys = [*columns, *stages[:1]]
    stratum_row = _codes(frame, columns)
    psu_row = _codes(frame, keys) if stages else np.arange(len(frame))
    stratum = _of_group(stratum_row, psu_row)
    first = _of_group(np.arange(len(frame)), psu_row)
    labels: pd.Index = pd.RangeIndex(len(stratum))
    if stages:
        labels = pd.Index(frame.loc[first, keys].astype(str).agg(" ".join, axis=1))
    if roster is not None and stages:
        known = set(labels)
        places = roster[keys].drop_duplicates().astype(frame[keys].dtypes)
        lost = [r for r in places.astype(str).agg(" ".join, axis=1) if r not in known]
        if lost:
            remedy = "Add one dummy record for each: incidents = dummy_records(incidents, roster, …)"
            problems.add(f"PSUs ({' '.join(keys)}) of the sample without a row", lost, remedy)
    names = frame.loc[first, list(columns)].astype(str).agg(" ".join, axis=1) if columns else pd.Series(["all"])
    fraction = _fractions(frame, corrections[:1], stratum_row, stratum, "strata", problems)
    size = np.bincount(stratum)
    alone = (size == 1) & (True if fraction is None else fraction < 1)
    if singleton == "fail" and alone.any() and replicates is None:
        lonely = [n for n, s in zip(names, stratum) if alone[s]]
        remedy = 'State what such a stratum contributes: singleton="adjust", "average", "certainty" or "remove"'
        problems.add("strata with only one PSU", lonely, remedy)
    ssu_row, second = None, None
    if len(stages) > 1:
        ssu_row, second = _second_stage(frame, [*keys, stages[1]], corrections, psu_row, singleton, problems)
    problems.raise_if_any()
    coded = {c: pd.factorize(frame[c], sort=True)[0].astype(np.int64) for c in levels}
    return SurveySample(
        frame=frame,
        weights=w,
        psu=psu_row,
        stratum=stratum,
        psu_labels=labels,
        n_strata=len(size),
        singleton=singleton,
        fraction=fraction,
        ssu=ssu_row,
        second=second,
        cluster=coded,
        replicates=replicates,
        simulated=bool(facts.get("simulated", False)),
        notes=tuple(facts.get("notes", ())),
        provenance=dict(facts.get("provenance", {})),
    )


def _names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def as_numbers(column: pd.Series, problems: Problems) -> np.ndarray:
    """Numbers of a column; text is a problem with its first values."""
    values = pd.to_numeric(column, errors="coerce")
    wrong = column[values.isna() & column.notna()]
    if len(wrong):
        problems.add(f"{column.name!r} is not numeric", wrong.unique().tolist())
    return values.to_numpy(dtype=float, na_value=np.nan)


def _of_group(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Value of the first row of each group."""
    out = np.zeros(int(group.max()) + 1, dtype=values.dtype)
    out[group[::-1]] = values[::-1]
    return out


def _fractions(
    frame: pd.DataFrame,
    correction: Sequence[str],
    group_row: np.ndarray,
    group: np.ndarray,
    what: str,
    problems: Problems,
) -> np.ndarray | None:
    """Sampling fraction by group (stratum, or PSU at the second stage) from counts or fractions; None without."""
    if not correction:
        return None
    value = as_numbers(frame[correction[0]], problems)
    by_group = _of_group(value, group_row)
    uneven = np.unique(group_row[value != by_group[group_row]])
    if len(uneven):
        problems.add(f"{correction[0]!r} varies within {what}", uneven.tolist(), "A correction is one number for each")
    if (value < 0).any():
        problems.add(f"{correction[0]!r} is negative in rows", np.flatnonzero(value < 0).tolist())
    if ((value > 1).any()) and ((value < 1) & (value > 0)).any():
        problems.add(f"{correction[0]!r} mixes counts and fractions", (), "Give all as counts, or all as fractions")
    size = np.bincount(group, minlength=len(by_group))
    counts = bool((value > 1).any())
    out = size / np.where(by_group > 0, by_group, np.inf) if counts else by_group
    if (out > 1).any():
        problems.add(f"fpc smaller than the number of units drawn in {what}", np.flatnonzero(out > 1).tolist())
    return out


def _second_stage(
    frame: pd.DataFrame,
    keys: Sequence[str],
    corrections: Sequence[str],
    psu: np.ndarray,
    singleton: Singleton,
    problems: Problems,
) -> tuple[np.ndarray, SecondStage]:
    """Code the units within PSUs, with their fractions."""
    row = _codes(frame, keys)
    inside = _of_group(psu, row)
    fraction = _fractions(frame, corrections[1:2], psu, inside, "PSUs", problems)
    single = (np.bincount(inside) == 1) & (True if fraction is None else fraction < 1)
    if singleton == "fail" and corrections and single.any():
        remedy = 'State what they contribute: singleton="adjust" or "remove"'
        problems.add("PSUs with only one second-stage unit", np.flatnonzero(single).tolist(), remedy)
    return row, SecondStage(inside, fraction)


def dummy_records(
    incidents: pd.DataFrame, roster: pd.DataFrame, *, keys: Sequence[str], weights: str | Sequence[str]
) -> pd.DataFrame:
    """Append one record for every PSU of ``roster`` without an incident: weight 1, everything else missing.

    The column ``dummy`` marks them (BJS, direct-variance guide). Estimates leave them out of every numerator
    and denominator, because their outcomes are missing, and keep their PSU in the variance.
    """
    columns = list(keys)
    places = roster[columns].drop_duplicates().astype(incidents[columns].dtypes)
    have = pd.MultiIndex.from_frame(incidents[columns].drop_duplicates())
    lost = places[~pd.MultiIndex.from_frame(places).isin(have)]
    extra = lost.reindex(columns=incidents.columns).astype(
        {c: incidents[c].dtype for c in incidents if incidents[c].dtype.kind == "f" or c in columns}
    )
    for name in (weights,) if isinstance(weights, str) else weights:
        extra[name] = 1.0
    out = pd.concat([incidents.assign(dummy=False), extra.assign(dummy=True)], ignore_index=True)
    facts = dict(incidents.attrs.get(FACTS, {}))
    out.attrs[FACTS] = facts | {"rows": len(out)} if facts else {}
    return out


def _codes(frame: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Code rows by the sorted combinations of ``columns``."""
    if not columns:
        return np.zeros(len(frame), dtype=int)
    code = np.zeros(len(frame), dtype=np.int64)
    for column in columns:
        part, labels = pd.factorize(frame[column], sort=True)
        code = code * len(labels) + part
    return np.unique(code, return_inverse=True)[1].reshape(-1)


def _no_rows_removed(frame: pd.DataFrame, facts: Mapping[str, Any], problems: Problems) -> None:
    rows = facts.get("rows")
    if rows is not None and len(frame) < rows:
        remedy = "Keep the whole file and give the group as domain=mask"
        problems.add(f"{rows - len(frame):,} of {rows:,} rows were removed since the file was read", (), remedy)


def _year_groups(frame: pd.DataFrame, columns: Sequence[str], problems: Problems) -> None:
    """Refuse strata redrawn between years when rows of several samples are pooled under the same codes."""
    for column in columns:
        if column not in YEAR_BREAKS:
            continue
        years = next((frame[c] for c in ("year", "YEARQ", "YEAR") if c in frame), None)
        if years is None:
            continue
        known = years.notna()
        group = pd.Series(year_group(pd.to_numeric(years[known]), YEAR_BREAKS[column]))
        others = [frame.loc[known, c].reset_index(drop=True) for c in columns if c != column]
        pooled = group.nunique() > 1 if not others else (group.groupby(others).nunique() > 1).any()
        if pooled:
            breaks = ", ".join(str(b) for b in YEAR_BREAKS[column])
            problems.add(
                f"years {int(years.astype(float).min())}–{int(years.astype(float).max())} are pooled, but the strata "
                f"{column} were redrawn in {breaks}",
                (),
                f'frame["yr_grp"] = year_group(frame["year"]); strata=("yr_grp", {column!r})',
            )
