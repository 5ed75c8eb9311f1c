"""The sample: strata, primary sampling units, weights, replicate weights.

``sample`` is the one door: labels become codes here, every problem is listed at once, and no row leaves.
Estimates for a part of the population take a mask (``domain=``), because deleting rows deletes sampling units and
with them part of the variance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from g287stats.errors import DesignError, Problems
from g287stats.estimate.covariance import Influence
from g287stats.survey.linearize import Singleton, SurveyDesign
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
            return SurveyDesign(self.stratum, "psu", degrees, self.fraction, self.singleton)
        if cluster not in self.cluster:
            raise DesignError(
                f"cannot cluster by {cluster!r}: the sample keeps {sorted(self.cluster)}. Pass "
                f"cluster=({cluster!r},) to survey_sample"
            )
        codes = self.cluster[cluster]
        groups = np.zeros(int(codes.max()) + 1, dtype=int)
        return SurveyDesign(groups, cluster, self._degrees(rows, codes, groups))

    def influence(self, psi: np.ndarray, rows: np.ndarray | None = None) -> Influence:
        """Collapse row-level influence (n × k, or only the rows in ``rows``) to PSU × cluster cells."""
        psu = self.psu if rows is None else self.psu[rows]
        levels = {k: (v if rows is None else v[rows]) for k, v in self.cluster.items()}
        key = psu.astype(np.int64)
        for codes in levels.values():
            key = key * (int(codes.max(initial=0)) + 1) + codes
        _, first, cell = np.unique(key, return_index=True, return_inverse=True)
        cell = cell.reshape(-1)
        out = np.empty((len(first), psi.shape[1]))
        for j in range(psi.shape[1]):
            out[:, j] = np.bincount(cell, psi[:, j], len(first))
        return Influence(out, {"psu": psu[first], **{k: v[first] for k, v in levels.items()}})

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
    psu: str | None = None,
    fpc: str | None = None,
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
        Column of primary sampling units, numbered within strata; None makes every row its own unit.
    fpc
        Column with the number of PSUs in the stratum's population (values > 1) or the sampling fraction.
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
        One message with every problem: absent columns, missing codes, negative weights, singleton strata,
        pooled years without year groups, a PSU of the roster without a row, rows removed since the file was
        read, or a file that carries no design at all.
    """
    frame: pd.DataFrame = data if isinstance(data, pd.DataFrame) else data.frame
    facts: Mapping[str, Any] = frame.attrs.get(FACTS, {})
    columns = (strata,) if isinstance(strata, str) else tuple(strata or ())
    levels = (cluster,) if isinstance(cluster, str) else tuple(cluster)
    problems = Problems("survey sample")
    if facts.get("no_design"):
        problems.add(str(facts["no_design"]))
        problems.raise_if_any()
    wanted = [*columns, *(c for c in (psu, weights, fpc) if c), *levels]
    absent = [c for c in wanted if c not in frame.columns]
    if absent:
        problems.add("columns not in the file", absent, f"Columns are {list(map(str, frame.columns[:20]))}")
        problems.raise_if_any()
    frame = frame.reset_index(drop=True)
    _no_rows_removed(frame, facts, problems)
    _year_groups(frame, columns, problems)
    for column in wanted:
        gone = frame[column].isna()
        if gone.any():
            problems.add(f"{column!r} is missing in rows", frame.index[gone].tolist(), "Every row has a place")
    w = np.ones(len(frame)) if weights is None else pd.to_numeric(frame[weights]).to_numpy(float)
    if (w < 0).any() or np.isinf(w).any():
        problems.add("weights must be finite and not negative", np.flatnonzero((w < 0) | np.isinf(w)).tolist())
    problems.raise_if_any()

    keys = [*columns, *([psu] if psu else [])]
    stratum_row = _codes(frame, columns)
    psu_row = _codes(frame, keys) if psu else np.arange(len(frame))
    n_psu = int(psu_row.max()) + 1
    stratum = np.zeros(n_psu, dtype=int)
    stratum[psu_row] = stratum_row
    first = np.zeros(n_psu, dtype=int)
    first[psu_row[::-1]] = np.arange(len(frame))[::-1]
    if psu:
        labels = pd.Index(frame.loc[first, keys].astype(str).agg(" ".join, axis=1))
    else:
        labels = pd.RangeIndex(n_psu)
    if roster is not None and psu:
        known = set(labels)
        places = roster[keys].drop_duplicates().astype(frame[keys].dtypes)
        lost = [r for r in places.astype(str).agg(" ".join, axis=1) if r not in known]
        if lost:
            remedy = "Add one dummy record for each: incidents = dummy_records(incidents, roster, …)"
            problems.add(f"PSUs ({' '.join(keys)}) of the sample without a row", lost, remedy)
    size = np.bincount(stratum)
    if singleton == "fail" and (size == 1).any() and replicates is None:
        names = frame.loc[first, list(columns)].astype(str).agg(" ".join, axis=1) if columns else pd.Series(["all"])
        lonely = [n for n, s in zip(names, stratum) if size[s] == 1]
        remedy = 'State what such a stratum contributes: singleton="adjust", "average", "certainty" or "remove"'
        problems.add("strata with only one PSU", lonely, remedy)
    fraction = None
    if fpc:
        value = np.zeros(len(size))
        value[stratum_row] = pd.to_numeric(frame[fpc]).to_numpy(float)
        fraction = np.where(value > 1, size / np.maximum(value, 1), value)
        if (fraction > 1).any():
            problems.add("fpc smaller than the number of sampled PSUs in strata", np.flatnonzero(fraction > 1).tolist())
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
        cluster=coded,
        replicates=replicates,
        simulated=bool(facts.get("simulated", False)),
        notes=tuple(facts.get("notes", ())),
        provenance=dict(facts.get("provenance", {})),
    )


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
