"""County designs of a declared grid: from the words of a specification to one estimate.

A specification names the data, the treatment, the outcome, the comparison, the trends, the weights, the estimator and
the sample; this file says what each word does. Analyses declare which of them they use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd

from g287stats.agreements.removals import apportion_removals, load_removals
from g287stats.catalog import user_data_dir
from g287stats.claims.grid import Cell, Grid
from g287stats.claims.recommended import FEW, effective_number, permuted
from g287stats.did.group_time import att_gt
from g287stats.did.imputation import imputation
from g287stats.did.matching import balance_weights
from g287stats.did.poisson import poisson
from g287stats.did.twfe import twfe
from g287stats.errors import DesignError, G287Error, IdentificationError
from g287stats.estimate.estimate import Estimate
from g287stats.geography import load_counties, neighbours, state_of
from g287stats.outcomes.context.population import load_hispanic
from g287stats.panel import CountyPanel, Exposure, county_panel
from g287stats.policies import load_secure_communities

OUTCOMES = {  # name in a declaration -> count
    "violent": "violent_ex_rape",
    "property": "property",
    "index": "index",
    "murder": "murder",
    "robbery": "robbery",
    "assault": "assault",
}
TREATMENTS = {
    "any agreement": Exposure(),
    "jail agreements": Exposure(models=("JEM",)),
    "task forces": Exposure(models=("TFM",)),
    "city police agreements": Exposure(level="municipal"),
    "agreement next door": Exposure(of="adjacent"),
}


@dataclass(frozen=True)
class Dose:
    """A treatment with a size: its column, the columns beside it, the errors' cluster, what makes the columns."""

    column: str
    beside: tuple[str, ...]
    cluster: str
    make: str


DOSES = {
    "Secure Communities": Dose("active", (), "state", "secure"),
    "own, neighbours active": Dose("own_with", ("own_without", "near"), "state", "secure"),
    "own, neighbours not active": Dose("own_without", ("own_with", "near"), "state", "secure"),
    "neighbours active": Dose("near", ("own_with", "own_without"), "state", "secure"),
    "identified per 1,000 residents": Dose("identified", (), "county_fips", "identified"),
    "20 points Hispanic after 2016": Dose("hispanic", ("signed",), "county_fips", "hispanic"),
    "20 points Hispanic after 2016, more under an agreement": Dose(
        "hispanic_signed", ("hispanic", "signed"), "county_fips", "hispanic"
    ),
}
OWN = ("any agreement", "jail agreements", "task forces", "city police agreements")
"""Treatments by a place's own agreement, of which a design can lose treated places."""
KEYS: dict[str, Any] = {"unit": "county_fips", "time": "year", "cohort": "cohort"}
LOS_ANGELES = "06037"
SAMPLE = ("data", "treatment", "outcome", "comparison", "sample")
"""What decides which rows a specification uses."""
_KEPT = ("county_fips", "year", "state", "cohort", "population", "log_population")


class CountyDesigns:
    """Estimates specifications of a grid of county designs; panels and matches are made once.

    ``grid.options["data"]`` holds the data sets by name: ``table``, ``years``, ``coverage`` (cells below it are left
    out), ``loader`` (options of the table), ``window`` (first and last year that similar counties are matched on),
    ``states``.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._made: dict[tuple[Any, ...], Any] = {}

    def __call__(self, spec: Mapping[str, Any]) -> Cell:
        """Estimate one specification."""
        if spec.get("treatment") in DOSES:
            return self._dosed(spec)
        frame = self.sample(spec)
        rate, count = f"{OUTCOMES[spec['outcome']]}_rate", OUTCOMES[spec["outcome"]]
        weights = _weights(spec)
        estimator, trends = spec.get("estimator", "two-way"), _trends(spec.get("trends", "none"))
        scale = spec.get("scale", "rate")
        outcome = count if estimator == "Poisson" else rate if scale == "rate" else "log_outcome"
        if outcome == "log_outcome":
            frame = _logged(frame, rate)
        common: dict[str, Any] = {**KEYS, **({"weights": weights} if weights else {})}
        if estimator == "two-way":
            estimate = twfe(frame, outcome, **common, **trends)
        elif estimator == "imputation":
            estimate = _imputed(frame, outcome, {**common, **trends})
        elif estimator == "Poisson":
            estimate = poisson(frame, outcome, at_risk="population", **common, **trends)
        elif estimator == "group-time":
            if trends:
                raise DesignError("group-time effects take no trends")
            estimate = _group_time(frame, outcome, common)
        else:
            raise DesignError(f"no estimator is called {estimator!r}")
        treated = _used(frame)
        base = 1.0 if outcome != rate else _base(frame, rate, weights)
        at_risk = frame["population"] if estimator == "Poisson" else 1.0
        mass = (frame[weights] if weights else 1.0) * at_risk * pd.Series(1.0, index=frame.index)
        by_unit = mass.groupby(frame["county_fips"]).mean().reindex(treated)
        interval = None
        if len(treated) < FEW and estimator == "two-way" and not weights and not trends:
            interval = permuted(estimate)
        leads = self.leads(spec) if not trends else float("nan")
        return Cell(estimate, base, tuple(treated), effective_number(by_unit.to_numpy()), interval, leads)

    def _dosed(self, spec: Mapping[str, Any]) -> Cell:
        """Effect of one unit of a dose: a two-way regression of the log rate, or Poisson of the counts."""
        dose = DOSES[spec["treatment"]]
        frame, rate = self.sample(spec), f"{OUTCOMES[spec['outcome']]}_rate"
        options: dict[str, Any] = {"unit": "county_fips", "time": "year", "treatment": dose.column}
        options |= {"cluster": dose.cluster, "covariates": dose.beside, **_trends(spec.get("trends", "none"))}
        weighted = spec.get("weights") == "population"
        if spec["estimator"] == "Poisson":
            estimate = poisson(frame, OUTCOMES[spec["outcome"]], at_risk="population", **options)
        else:
            frame = _logged(frame, rate)
            estimate = twfe(frame, "log_outcome", weights="population" if weighted else None, **options)
        used = sorted(frame.loc[frame[dose.column] > 0, "county_fips"].unique())
        moving = frame[frame["county_fips"].isin(used)]
        by = moving.groupby(dose.cluster)["population"]
        size = by.sum() if weighted or spec["estimator"] == "Poisson" else by.size()
        return Cell(estimate, 1.0, tuple(used), effective_number(size.to_numpy(dtype=float)))

    def panel(self, data: str, treatment: str) -> CountyPanel:
        """County panel of a data set of the declaration, with its treatment and the features of similar counties."""
        return self._once(("panel", data, treatment), lambda: self._panel(data, treatment))

    def _once(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """Make something once; what could not be made fails in the same words without being tried again."""
        if key not in self._made:
            try:
                self._made[key] = make()
            except G287Error as error:
                self._made[key] = error
        if isinstance(self._made[key], G287Error):
            raise self._made[key]
        return self._made[key]

    def _panel(self, data: str, treatment: str) -> CountyPanel:
        card = self.grid.options["data"][data]
        first, last = card["years"]
        exposed = treatment if treatment in TREATMENTS else "any agreement"
        panel = _county_panel(
            card["table"], first, last, exposed, card.get("coverage"), card.get("denominator", "current"), _here()
        )
        if states := card.get("states"):
            panel = panel.query(f"state in {list(states)!r}")
        if treatment in DOSES:
            panel = replace(panel, frame=_DOSED[DOSES[treatment].make](panel.frame))
        if treatment == "agreement next door":
            signers = set(_cohorts("any agreement", first, last).index)
            panel = panel.query(f"county_fips not in {sorted(signers)!r}")
        return panel

    def sample(self, spec: Mapping[str, Any]) -> pd.DataFrame:
        """Rows of a specification: counties seen in every year, its sample, its comparison with match weights."""
        key = tuple(spec.get(k) for k in SAMPLE)
        return self._once(("sample", *key), lambda: self._sample(spec))

    def leads(self, spec: Mapping[str, Any]) -> float:
        """Joint p-value of the leads of group-time effects on the rows of a specification (missing without leads)."""

        def test() -> float:
            frame, weights = self.sample(spec), _weights({**spec, "weights": "none"})
            rate = f"{OUTCOMES[spec['outcome']]}_rate"
            effects = att_gt(frame, rate, weights=weights, on_unidentified="drop", **KEYS)
            return float(effects.aggregate("event", window=(-3, 3)).pretrend_test().p_value)

        try:
            return self._once(("leads", *(spec.get(k) for k in SAMPLE)), test)
        except G287Error:
            return float("nan")

    def _sample(self, spec: Mapping[str, Any]) -> pd.DataFrame:
        panel = self.panel(spec["data"], spec.get("treatment", "any agreement"))
        count = OUTCOMES[spec["outcome"]]
        if count not in panel.frame or f"{count}_rate" not in panel.frame:
            raise IdentificationError(f"{spec['data']} has no column {count!r}")
        frame = panel.balanced([f"{count}_rate"]).frame
        sample = spec.get("sample", "all")
        if sample == "without Los Angeles":
            frame = frame[frame["county_fips"] != LOS_ANGELES]
        elif sample == "without the five largest":
            size = frame[frame["county_fips"].isin(_used(frame))].groupby("county_fips")["population"].mean()
            frame = frame[~frame["county_fips"].isin(size.nlargest(5).index)]
        elif sample != "all":
            raise DesignError(f"no sample is called {sample!r}")
        comparison = spec.get("comparison", "all counties")
        if comparison == "all counties":
            return frame.reset_index(drop=True)
        return self._similar(frame, spec["data"], count, exact=["state"] if comparison == "similar, same state" else [])

    def _similar(self, frame: pd.DataFrame, data: str, count: str, exact: list[str]) -> pd.DataFrame:
        """Nearest untreated counties on log population, Hispanic share and the rates in the first years."""
        card = self.grid.options["data"][data]
        rates = [f"{c}_rate" for c in ("violent_ex_rape", "property") if f"{c}_rate" in frame]
        rates = rates if count in ("violent_ex_rape", "property", "index") else [*rates, f"{count}_rate"]
        rates = [r for r in rates if frame[r].notna().any()]
        matched = balance_weights(
            frame.dropna(subset=[*rates, "hispanic_share_2009"]),
            ["log_population", "hispanic_share_2009", *rates],
            method="nearest",
            neighbours=card.get("neighbours", 5),
            periods=tuple(card["window"]),
            exact=exact,
            unit="county_fips",
            time="year",
            cohort="cohort",
        )
        frame = frame.assign(balance_weight=frame["county_fips"].map(matched.weights).astype(float))
        return frame[frame["balance_weight"] > 0].reset_index(drop=True)

    @cached_property
    def identified(self) -> pd.Series:
        """Persons identified under 287(g) by county, fiscal years 2006 to 2013 (blanks are missing, and left out)."""
        found = load_removals().dropna(subset=["county_fips", "identified"])
        return found.groupby("county_fips")["identified"].sum()

    def lost(self, treated: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
        """Treated places that each design loses, by name.

        Returns
        -------
        DataFrame
            One row a data set, treatment, outcome, comparison and sample, and county: ``reason`` (not in the data, not
            seen in every year, treated before the data begin, no similar county, left out by the sample),
            ``identified`` (FY2006–2013) and ``identified_share`` of all county agencies' identifications.
        """
        names = load_counties().set_index("county_fips")
        total = float(self.identified.sum())
        rows = []
        for spec, used in self._one_by_design(treated).items():
            keys = dict(zip(SAMPLE, spec))
            if keys["treatment"] not in OWN:
                continue
            try:
                panel = self.panel(keys["data"], keys["treatment"])
            except G287Error:  # a data set that is not here has no rows to lose
                continue
            for county, reason in self._reasons(panel, keys, set(used)).items():
                rows.append(
                    {
                        **keys,
                        "county_fips": county,
                        "county": names["name"].get(county, county),
                        "state": names["state"].get(county, ""),
                        "reason": reason,
                        "identified": self.identified.get(county, np.nan),
                    }
                )
        out = pd.DataFrame(rows)
        return out.assign(identified_share=out["identified"] / total) if len(out) else out

    def _one_by_design(self, treated: Mapping[str, tuple[str, ...]]) -> dict[tuple[str, ...], tuple[str, ...]]:
        specs = self.grid.specifications.set_index("spec")
        out: dict[tuple[str, ...], tuple[str, ...]] = {}
        for spec, used in treated.items():
            row = specs.loc[spec]
            key = tuple(
                row.get(k, d)
                for k, d in (
                    ("data", ""),
                    ("treatment", "any agreement"),
                    ("outcome", ""),
                    ("comparison", "all counties"),
                    ("sample", "all"),
                )
            )
            out.setdefault(key, used)
        return out

    def _reasons(self, panel: CountyPanel, keys: Mapping[str, str], used: set[str]) -> dict[str, str]:
        years = panel.frame["year"]
        ever = _cohorts(keys["treatment"], int(years.min()), int(years.max()))
        if states := self.grid.options["data"][keys["data"]].get("states"):
            ever = ever[[state_of(c) in states for c in ever.index]]
        rate = f"{OUTCOMES[keys['outcome']]}_rate"
        present = panel.frame.dropna(subset=[rate])
        seen = present.groupby("county_fips")["year"].nunique()
        out = {}
        for county, cohort in ever.items():
            if county in used:
                continue
            if county not in seen.index:
                out[county] = "not in the data"
            elif seen[county] < years.nunique():
                out[county] = f"reported in {seen[county]} of {years.nunique()} years"
            elif cohort <= years.min():
                out[county] = "treated from the first year on"
            elif keys["sample"] != "all":
                out[county] = f"left out: {keys['sample']}"
            else:
                out[county] = "no similar county, or no match feature"
        return out


@lru_cache(maxsize=16)
def _county_panel(
    table: str, first: int, last: int, treatment: str, coverage: float | None, denominator: Any, here: str
) -> CountyPanel:
    """Slim panel of a table; made once for all analyses of a run (``here`` is the folder of the user's tables)."""
    options: dict[str, Any] = {"min_coverage": coverage, "on_low_coverage": "drop"} if coverage else {}
    panel = county_panel(table, (first, last), exposure=TREATMENTS[treatment], denominator=denominator, **options)
    return _slim(panel)


@lru_cache(maxsize=32)
def _cohorts(treatment: str, first: int, last: int) -> pd.Series:
    """First treated year of every county treated by ``last``, whatever the crime data hold."""
    wide = county_panel(years=(first, last), exposure=TREATMENTS[treatment]).frame
    return wide[wide["cohort"].notna()].drop_duplicates("county_fips").set_index("county_fips")["cohort"]


def _here() -> str:
    return str(user_data_dir())


def _slim(panel: CountyPanel) -> CountyPanel:
    """The columns that designs use, with the index of offences and the Hispanic share of 2005–2009."""
    frame = panel.frame
    counts = [c for c in OUTCOMES.values() if c in frame and f"{c}_rate" in frame]
    slim = frame[[*_KEPT, *counts, *(f"{c}_rate" for c in counts)]].copy()
    if {"violent_ex_rape", "property"} <= set(counts):
        for column in ("", "_rate"):
            slim[f"index{column}"] = slim[f"violent_ex_rape{column}"] + slim[f"property{column}"]
    hispanic = load_hispanic((2009, 2009)).set_index("county_fips")["hispanic_share"]
    slim["hispanic_share_2009"] = slim["county_fips"].map(hispanic)
    return replace(panel, frame=slim)


def _with_secure_communities(frame: pd.DataFrame) -> pd.DataFrame:
    """Share of the year's months with Secure Communities: own, mean over adjacent counties, own by neighbours'."""
    first = load_secure_communities().set_index("county_fips")["month"]
    years = sorted(frame["year"].unique())
    begun = (first.dt.year * 12 + first.dt.month - 1).astype(float)
    share = pd.DataFrame({y: ((12 * (y + 1) - begun) / 12).clip(0, 1) for y in years})
    pairs = neighbours()
    near = share.reindex(pairs["neighbour_fips"]).set_axis(pairs["county_fips"]).groupby(level=0).mean()
    keys = pd.MultiIndex.from_frame(frame[["county_fips", "year"]])
    own, beside = (table.stack().reindex(keys).to_numpy() for table in (share, near))
    out = frame.assign(active=own, near=beside, own_with=own * beside, own_without=own * (1 - beside))
    return out.dropna(subset=["active", "near"]).reset_index(drop=True)


def _with_identified(frame: pd.DataFrame) -> pd.DataFrame:
    """Persons identified under 287(g) per 1,000 residents, counties with a count only; a blank year is missing.

    Fiscal years are spread over calendar years by days. Years before a county's first count are without a dose.
    """
    counts = apportion_removals(load_removals()).dropna(subset=["county_fips"])
    counts = counts.assign(year=counts["period"].dt.year)
    by = counts.groupby(["county_fips", "year"])["identified"].agg(lambda v: v.sum(skipna=False))
    out = frame[frame["county_fips"].isin(by.index.get_level_values(0))]
    value = by.reindex(pd.MultiIndex.from_frame(out[["county_fips", "year"]])).to_numpy(dtype=float)
    first = by.dropna().reset_index().groupby("county_fips")["year"].min()
    before = (out["year"] < out["county_fips"].map(first)).to_numpy()
    return out.assign(identified=np.where(before, 0.0, 1000 * value / out["population"].to_numpy(dtype=float)))


def _with_hispanic(frame: pd.DataFrame) -> pd.DataFrame:
    """Hispanic share (of 2005–2009, in units of 20 points) after 2016, and the same under an agreement."""
    after = (frame["year"] > 2016).astype(float)
    signed = frame["cohort"].notna() & (frame["cohort"].astype("Float64") <= 2017).fillna(False)
    share = after * frame["hispanic_share_2009"].astype(float) / 0.2
    out = frame.assign(hispanic=share, signed=after * signed, hispanic_signed=share * signed)
    return out.dropna(subset=["hispanic"]).reset_index(drop=True)


_DOSED = {"secure": _with_secure_communities, "identified": _with_identified, "hispanic": _with_hispanic}


def _weights(spec: Mapping[str, Any]) -> str | None:
    weighted = spec.get("weights", "none") == "population"
    if spec.get("comparison", "all counties") != "all counties":
        if weighted:
            raise DesignError("match weights and population weights are not combined")
        return "balance_weight"
    return "population" if weighted else None


def _trends(words: str) -> dict[str, Any]:
    kinds: dict[str, dict[str, Any]] = {
        "none": {},
        "county trends": {"unit_trends": True},
        "state by year": {"fixed_effects": [("state", "year")]},
    }
    if words not in kinds:
        raise DesignError(f"no trends are called {words!r}")
    return kinds[words]


def _group_time(frame: pd.DataFrame, outcome: str, options: dict[str, Any]) -> Estimate:
    """Simple average of group-time effects; cohorts of one county have no variance of their own and take R's rule."""
    try:
        effects = att_gt(frame, outcome, small_sample="neyman", on_unidentified="drop", **options)
        return effects.aggregate("simple")
    except DesignError:
        return att_gt(frame, outcome, on_unidentified="drop", **options).aggregate("simple")


def _imputed(frame: pd.DataFrame, outcome: str, options: dict[str, Any]) -> Estimate:
    """Average imputed effect; a cohort of one county cannot leave itself out and keeps the paper's main variance."""
    try:
        return _one(imputation(frame, outcome, small_sample="leave_out", **options))
    except DesignError:
        return _one(imputation(frame, outcome, **options))


def _one(estimate: Estimate) -> Estimate:
    return estimate.overall if estimate.overall is not None else estimate.aggregate("simple")


def _used(frame: pd.DataFrame) -> list[str]:
    """Counties whose treatment begins after the first year of the frame, and within it."""
    first, last = frame["year"].min(), frame["year"].max()
    cohort = frame["cohort"].astype("Float64")
    return sorted(frame.loc[((cohort > first) & (cohort <= last)).fillna(False), "county_fips"].unique())


def _base(frame: pd.DataFrame, rate: str, weights: str | None) -> float:
    """Mean rate of the treated counties before treatment, with the weights of the estimate."""
    before = frame[frame["county_fips"].isin(_used(frame))]
    before = before[before["year"] < before["cohort"].astype(int)]
    w = before[weights] if weights else pd.Series(1.0, index=before.index)
    value = float(np.average(before[rate].astype(float), weights=w.astype(float))) if len(before) else np.nan
    if not value > 0:
        raise IdentificationError(f"the treated counties' mean of {rate} before treatment is {value}: no percent of it")
    return value


def _logged(frame: pd.DataFrame, rate: str) -> pd.DataFrame:
    """Log of a rate for counties where it is positive in every year (the others leave)."""
    positive = frame.groupby("county_fips")[rate].transform("min") > 0
    kept = frame[positive.astype(bool)]
    return kept.assign(log_outcome=np.log(kept[rate].astype(float)))
