"""The one result type: labelled parameters with their influence functions.

Every estimator returns an :class:`Estimate`. With ``psi`` the influence functions, one row per unit (a county,
an observation when a cluster cuts across units, a sampling unit in surveys) and one column per parameter,

    estimate - truth  ≈  psi.sum(axis=0),

so a covariance is a quadratic form in sums of ``psi`` over clusters, a linear combination of parameters is the
same combination of columns, and everything downstream — bands, joint tests, aggregation, equivalence,
sensitivity — is written once, here and in the modules beside this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import scipy
from scipy import special, stats

from g287stats._version import __version__
from g287stats.errors import DesignError, InferenceWarning, caution, check_level, first_of
from g287stats.estimate.covariance import CovarianceRule, Influence, Neyman
from g287stats.estimate.fit import Averages, RegressionFit
from g287stats.shown import Shown, number
from g287stats.words import ATTRIBUTES, no_attribute

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Aggregation = Literal["simple", "event", "cohort", "calendar"]


@cache
def versions() -> str:
    """Versions that a result was computed with."""
    return f"g287stats {__version__} (numpy {np.__version__}, pandas {pd.__version__}, scipy {scipy.__version__})"


@dataclass(frozen=True)
class Cells:
    """What aggregation over cohort × time cells needs, row-aligned with the parameters of an estimate.

    Attributes
    ----------
    frame
        One row per parameter with ``cohort`` and ``time`` (labels), ``event_time`` (periods since the cohort's
        first treated period) and ``mass`` (weight of the cell in an aggregate: the cohort's share of units, or
        the weighted number of treated observations, as the estimator's paper prescribes).
    mass_group
        Integer group of each cell whose mass is one estimated quantity (the cohort), or None.
    mass_influence
        Units × groups influence of the group masses, rows aligned with the estimate's ``psi``. None when the
        weights are treated as fixed (regression-based estimators).
    """

    frame: pd.DataFrame
    mass_group: np.ndarray | None = None
    mass_influence: np.ndarray | None = None


@dataclass(frozen=True)
class Method:
    """Which method made an estimate: key into the methods registry, human title, references for ``cite``."""

    key: str
    title: str
    references: tuple[str, ...] = ()


class _Labels:
    """The field ``labels``: a frame, or its columns, or terms alone; the frame is made when somebody looks at it."""

    def __get__(self, estimate: Any, _: Any = None) -> pd.DataFrame:
        if estimate is None:
            raise AttributeError  # so that the field has no default
        held = vars(estimate)["labels"]
        if not isinstance(held, pd.DataFrame):
            held = vars(estimate)["labels"] = pd.DataFrame(held)
        return held

    def __set__(self, estimate: Any, value: pd.DataFrame | Mapping[str, Any] | Sequence[str]) -> None:
        whole = isinstance(value, (pd.DataFrame, Mapping))
        vars(estimate)["labels"] = value if whole else {"term": list(value)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Estimate:
    """Labelled point estimates with influence functions; frozen.

    Attributes
    ----------
    labels
        One row per parameter: ``term`` (text, unique) and, where they apply, typed columns ``cohort``,
        ``time``, ``event_time``, ``treatment``, ``group``. Its columns as a mapping, or the terms alone, may
        be given.
    point
        Point estimates, shape (k,), in units of the outcome (log points for Poisson).
    influence
        Influence functions (see :class:`~g287stats.estimate.covariance.Influence`).
    rule
        How influence becomes a covariance: clusters, small-sample convention, survey design.
    kind
        What the parameters are: ``static``, ``event``, ``group_time``, ``cohort``, ``calendar``, ``simple``,
        ``other``.
    method
        The method and its references.
    outcome
        Name of the outcome.
    sample
        Counts and choices of the sample: ``n_obs``, ``n_units``, ``n_treated``, ``n_periods``, … and the flow of
        rows from source to estimate under ``flow``.
    options
        The design choices that made the estimate (control group, base period, weights …).
    cells
        Present when the parameters are cohort × time cells that can be aggregated.
    overall
        The scalar summary that accompanies a vector of effects (the average over non-negative event times).
    reference
        Event times (or other labels) normalised to zero by construction, for plots and tables.
    notes
        Every counted warning raised on the way.
    provenance
        Where the data came from.
    regression, averages
        The regression whose coefficients the parameters are or average, and the weights of these averages; None where
        there is no single one.
    software
        Versions of the package and of the libraries that computed it.
    floor
        Standard errors up to this size are rounding, as is one of 1e-13 of its estimate: none is reported.
    """

    labels: _Labels = _Labels()
    point: np.ndarray
    influence: Influence
    rule: CovarianceRule
    kind: str
    method: Method
    outcome: str
    sample: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    cells: Cells | None = None
    overall: Estimate | None = None
    reference: tuple[Any, ...] = ()
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    regression: RegressionFit | None = field(default=None, repr=False)
    averages: Averages | None = field(default=None, repr=False)
    software: str = field(default_factory=versions)
    floor: float = 0.0

    def __post_init__(self) -> None:
        point = np.array(self.point, dtype=float)
        point.flags.writeable = False
        object.__setattr__(self, "point", point)
        n_labels = len(vars(self)["labels"]["term"])
        if n_labels != len(point) or self.influence.n_params != len(point):
            raise DesignError(
                f"labels ({n_labels}), points ({len(point)}) and influence columns "
                f"({self.influence.n_params}) do not agree in number"
            )

    # ---- numbers ------------------------------------------------------------------------------------------
    def __getattr__(self, name: str) -> Any:
        raise no_attribute("an Estimate", name, ATTRIBUTES, dir(type(self)), ".")

    @property
    def terms(self) -> list[str]:
        """Names of the parameters, in order."""
        return list(vars(self)["labels"]["term"])

    @property
    def params(self) -> pd.Series:
        """Point estimates indexed by term."""
        return pd.Series(self.point, index=self._index, name="estimate")

    @cached_property
    def _index(self) -> pd.Index:
        return pd.Index(self.terms, dtype=object, name="term")

    @cached_property
    def _matrix(self) -> np.ndarray:
        return self.rule.matrix(self.influence)

    @cached_property
    def _se(self) -> np.ndarray:
        """Standard errors; NaN where a parameter is fixed by normalisation or (with a warning) none is known."""
        variance = self.rule.variances(self.influence)
        negative = variance < 0
        if negative.any():
            self._warn(negative, "have a negative two-way clustered variance: cluster by one level, or more of them")
        se = np.sqrt(np.where(variance > 0, variance, np.nan))
        rounding = se <= np.maximum(1e-13 * np.abs(self.point), self.floor)
        if getattr(self.rule, "zero_is_known", False):  # a census, or strata that contribute nothing by rule
            return np.where(rounding | (variance == 0), 0.0, se)
        if rounding.any():
            self._warn(rounding, "have a standard error of zero up to rounding: the fit is exact, or nothing varies")
        return np.where(rounding, np.nan, se)

    def _warn(self, which: np.ndarray, what: str) -> None:
        names = [t for t, w in zip(self.terms, which) if w]
        caution(
            f"{self.outcome}: {first_of(names)} {what}; none is reported",
            InferenceWarning,
        )

    @property
    def se(self) -> pd.Series:
        """Standard errors indexed by term."""
        return pd.Series(self._se, index=self._index, name="std_error")

    @property
    def df(self) -> float:
        """Degrees of freedom of the reference distribution (infinite: normal); the smallest when they differ."""
        return self.rule.df if self._freedom is None else float(np.nanmin(self._freedom))

    @cached_property
    def _freedom(self) -> np.ndarray | None:
        """Degrees of freedom by parameter, where the rule tells them apart."""
        return self.rule.freedom(self.influence) if isinstance(self.rule, Neyman) else None

    def cov(self) -> pd.DataFrame:
        """Covariance matrix of the parameters (k × k)."""
        return pd.DataFrame(self._matrix, index=self._index, columns=self._index)

    def with_rule(self, rule: CovarianceRule) -> Estimate:
        """Return the same estimate with another covariance rule (other clusters, other convention)."""
        overall = None if self.overall is None else self.overall.with_rule(rule)
        return replace(self, rule=rule, overall=overall)

    def critical_value(self, level: float = 0.95) -> float:
        """Two-sided pointwise critical value at confidence ``level``."""
        check_level(level)
        q = 0.5 + level / 2
        return float(stats.t.ppf(q, self.df) if np.isfinite(self.df) else special.ndtri(q))

    def conf_int(self, level: float = 0.95) -> pd.DataFrame:
        """Pointwise confidence intervals, columns ``conf_low`` and ``conf_high``."""
        check_level(level)
        critical = self.critical_value(level) if self._freedom is None else stats.t.ppf(0.5 + level / 2, self._freedom)
        half = critical * self._se
        return pd.DataFrame({"conf_low": self.point - half, "conf_high": self.point + half}, index=self._index)

    def bands(
        self,
        *,
        level: float = 0.95,
        draws: int = 999,
        seed: int = 287,
        multipliers: Literal["rademacher", "mammen", "webb", "gaussian"] = "rademacher",
    ) -> pd.DataFrame:
        """Simultaneous (sup-t) confidence bands by multiplier bootstrap of the influence functions.

        Returns a frame with ``band_low``, ``band_high``; the critical value is in ``.attrs["critical_value"]``.
        See :func:`g287stats.estimate.bootstrap.sup_t`: with clusters less one degrees of freedom the draws have the
        tails of a multivariate t. Where degrees of freedom differ between parameters, each takes its t quantile at the
        pointwise level of a normal critical value. A band is never narrower than the interval.
        """
        from g287stats.estimate.bootstrap import sup_t

        critical = sup_t(self, level=level, draws=draws, seed=seed, multipliers=multipliers)
        half = (critical if self._freedom is None else stats.t.isf(stats.norm.sf(critical), self._freedom)) * self._se
        out = pd.DataFrame({"band_low": self.point - half, "band_high": self.point + half}, index=self._index)
        out.attrs.update(critical_value=critical, level=level, draws=draws, seed=seed, multipliers=multipliers)
        return out

    def p_values(self) -> pd.Series:
        """Two-sided p-values of the hypothesis that each parameter is zero."""
        with np.errstate(divide="ignore", invalid="ignore"):  # a known standard error of zero
            t = np.abs(self.point / self._se)
        p = 2 * (reference_distribution(self.df).sf(t) if self._freedom is None else stats.t.sf(t, self._freedom))
        return pd.Series(p, index=self._index, name="p_value")

    # ---- new estimates from this one ------------------------------------------------------------------------
    def combine(
        self,
        matrix: np.ndarray,
        labels: pd.DataFrame | Mapping[str, Any] | Sequence[str],
        *,
        kind: str = "other",
        extra: np.ndarray | None = None,
        **changes: Any,
    ) -> Estimate:
        """Return linear combinations ``matrix @ params`` (matrix: m × k) as an estimate with m parameters.

        ``extra`` (rows × m) is added to the combined influence: the part that comes from estimated weights.
        """
        matrix = np.atleast_2d(np.asarray(matrix, dtype=float))
        averages = None if self.averages is None or extra is not None else self.averages.through(matrix)
        fields: dict[str, Any] = {"cells": None, "overall": None, "reference": (), "averages": averages} | changes
        return replace(
            self,
            labels=labels.reset_index(drop=True) if isinstance(labels, pd.DataFrame) else labels,
            point=matrix @ self.point,
            influence=self.influence.combine(matrix, extra),
            kind=kind,
            floor=self.floor * float(np.abs(matrix).sum(axis=1).min()) if self.floor else 0.0,
            **fields,
        )

    def select(self, terms: Sequence[str] | np.ndarray) -> Estimate:
        """Return the estimate restricted to ``terms``: names, event times, or a boolean mask.

        Integers are event times where every parameter has its own, and positions elsewhere.
        """
        index = self._positions(terms)
        rows = np.zeros((len(index), len(self.point)))
        rows[np.arange(len(index)), index] = 1.0
        return self.combine(rows, self.labels.iloc[index], kind=self.kind, reference=self.reference)

    def aggregate(
        self,
        kind: Aggregation = "simple",
        *,
        window: tuple[int, int] | None = None,
        balance: int | None = None,
    ) -> Estimate:
        """Aggregate cohort × time effects: ``simple``, ``event`` time, ``cohort`` or ``calendar`` time.

        ``window`` keeps event times in the closed interval, ``balance=e`` the cohorts observed at least ``e``
        periods after treatment (event aggregation only). See :func:`g287stats.estimate.aggregate.aggregate`.
        """
        from g287stats.estimate.aggregate import aggregate

        return aggregate(self, kind, window=window, balance=balance)

    def test(self, terms: Sequence[str] | np.ndarray | None = None, *, value: float | np.ndarray = 0.0) -> WaldTest:
        """Joint Wald test that the parameters ``terms`` (as in :meth:`select`; default: all) equal ``value``.

        Reports chi-squared and, with finite degrees of freedom, F(q, df). A singular covariance (as many
        restrictions as clusters, or parameters fixed by normalisation) is an error naming the terms.
        """
        index = np.arange(len(self.point)) if terms is None else self._positions(terms)
        names = [self.terms[i] for i in index]
        gap = self.point[index] - value
        v = self._matrix[np.ix_(index, index)]
        spread = np.sqrt(np.maximum(np.diag(v), 0.0))
        scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
        correlation = v * scale[:, None] * scale  # so that units of the parameters do not matter
        rank = int(np.linalg.matrix_rank(correlation, hermitian=True))
        if rank < len(index):
            raise DesignError(
                f"joint test of {len(index)} terms has a covariance of rank {rank}: {', '.join(names[:8])}. "
                "Test fewer terms, or use more clusters; terms fixed at zero cannot be tested"
            )
        chi2 = float((gap * scale) @ np.linalg.solve(correlation, gap * scale))
        q = len(index)
        p = stats.chi2.sf(chi2, q) if not np.isfinite(self.df) else stats.f.sf(chi2 / q, q, self.df)
        return WaldTest(statistic=chi2, restrictions=q, df=self.df, p_value=float(p), terms=tuple(names))

    def pretrend_test(self, *, anticipation: int | None = None) -> WaldTest:
        """Joint test that the leads are zero: event times before −``anticipation`` other than the reference.

        In the ``anticipation`` periods before treatment a response is allowed, so that they say nothing of parallel
        trends. Default: what the estimate was made with (``att_gt(anticipation=)``), else 0. ``anticipation=0`` tests
        all leads, as the Wald pre-test of R ``did`` does whatever its anticipation.
        """
        if "event_time" not in self.labels:
            raise DesignError("a pre-trend test needs event times; use .aggregate('event') first")
        ahead = self.options.get("anticipation", 0) if anticipation is None else anticipation
        if ahead < 0:
            raise DesignError(f"anticipation={ahead}: a number of periods, 0 or more")
        lead = (self.labels["event_time"].to_numpy() < -ahead) & np.isfinite(self._se)
        if not lead.any():
            earlier = f" before event time {-ahead} (anticipation={ahead})" if ahead else ""
            ask = "window=, leads= or base= of the estimator decide which there are"
            raise DesignError(f"no estimated leads{earlier}: {ask}")
        return self.test(lead)

    @property
    def _event_times(self) -> list[int]:
        """Event times by parameter where each has its own, otherwise nothing."""
        times = self.labels["event_time"].tolist() if "event_time" in self.labels else []
        return times if len(set(times)) == len(self.point) else []

    def _positions(self, terms: Any) -> np.ndarray:
        given = [terms] if isinstance(terms, (str, int, np.integer)) else list(terms)
        array, k = np.asarray(given), len(self.point)
        if array.dtype == bool:
            if len(array) != k:
                raise DesignError(f"a mask of {len(array)} for {k} parameters")
            return np.flatnonzero(array)
        names: Sequence[Any] = self.terms
        if len(array) and array.dtype.kind in "iu":
            names = self._event_times or range(k)
        lookup = {name: n for n, name in enumerate(names)}
        absent = [t for t in given if t not in lookup]
        if absent:
            raise DesignError(f"no such terms: {absent[:8]}. Terms are {list(names[:12])}")
        return np.array([lookup[t] for t in given], dtype=int)

    # ---- to read ----------------------------------------------------------------------------------------------
    def tidy(self, *, level: float = 0.95, bands: bool = True, draws: int = 999, seed: int = 287) -> pd.DataFrame:
        """One row per parameter: labels, estimate, std_error, statistic, p_value, intervals, bands, n_units.

        Bands are computed for vectors only; a single parameter's band is its interval.
        """
        out = self.labels.reset_index(drop=True).copy()
        out["estimate"] = self.point
        out["std_error"] = self._se
        with np.errstate(divide="ignore", invalid="ignore"):  # a known standard error of zero
            out["statistic"] = self.point / self._se
        out["p_value"] = self.p_values().to_numpy()
        interval = self.conf_int(level)
        out["conf_low"], out["conf_high"] = interval["conf_low"].to_numpy(), interval["conf_high"].to_numpy()
        if bands and np.isfinite(self._se).sum() > 1:
            band = self.bands(level=level, draws=draws, seed=seed)
        else:
            band = interval.rename(columns={"conf_low": "band_low", "conf_high": "band_high"})
        out["band_low"], out["band_high"] = band["band_low"].to_numpy(), band["band_high"].to_numpy()
        out["n_units"] = self.sample.get("n_units")
        return out

    def glance(self) -> pd.Series:
        """One line about the whole estimate: method, outcome, sample sizes, inference."""
        facts: dict[str, Any] = {"method": self.method.title, "outcome": self.outcome, "kind": self.kind}
        facts |= {k: v for k, v in self.sample.items() if np.isscalar(v)}
        facts |= {"inference": self.rule.label, "df": self.df, "software": self.software}
        return pd.Series(facts)

    def summary(self, *, level: float = 0.95) -> str:
        """Return a plain-text account: what was estimated, on whom, how sure, with every counted warning."""
        sizes = ", ".join(f"{k.removeprefix('n_')} {v:,}" for k, v in self.sample.items() if k.startswith("n_"))
        table = self.tidy(level=level).drop(columns=["n_units"]).to_string(index=False, float_format=number)
        lines = [f"{self.method.title}: {self.outcome} ({self.kind})", sizes, f"inference: {self.rule.label}"]
        if self.options:
            lines.append("options: " + ", ".join(f"{k}={v}" for k, v in self.options.items()))
        if self.overall is not None:
            named = zip(self.overall.terms, self.overall.point, self.overall._se)
            many = len(self.overall.point) > 1
            words = [(f"{t} " if many else "") + f"{number(b)} (se {number(s)})" for t, b, s in named]
            lines.append("overall: " + ", ".join(words))
        lines += ["", table, *(f"note: {n}" for n in self.notes), f"software: {self.software}"]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Estimate {self.method.key} of {self.outcome}: {len(self.point)} {self.kind} parameters>"

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from g287stats.estimate.tables import estimate_html

        return estimate_html(self)

    def to_markdown(self, **kw: Any) -> str:
        """Return a Markdown table of the parameters."""
        from g287stats.estimate.tables import table

        return table([self], format="markdown", **kw)

    def to_latex(self, **kw: Any) -> str:
        """Return a LaTeX (booktabs) table of the parameters."""
        from g287stats.estimate.tables import table

        return table([self], format="latex", **kw)

    def to_html(self, **kw: Any) -> str:
        """Return an HTML table of the parameters."""
        from g287stats.estimate.tables import table

        return table([self], format="html", **kw)

    def plot(self, ax: Axes | None = None, **kw: Any) -> Axes:
        """Draw point estimates with intervals and simultaneous bands; returns the matplotlib axes."""
        from g287stats.estimate.plots import plot_estimate

        return plot_estimate(self, ax=ax, **kw)

    def cite(self) -> str:
        """Return the references of the method, one per line."""
        return "\n".join(self.method.references)


@dataclass(frozen=True)
class WaldTest(Shown):
    """Joint test of linear restrictions: chi-squared ``statistic`` on ``restrictions``; F when ``df`` is finite."""

    statistic: float
    restrictions: int
    df: float
    p_value: float
    terms: tuple[str, ...]

    def _words(self) -> str:
        finite = np.isfinite(self.df)
        named = f"F({self.restrictions}, {self.df:.0f})" if finite else f"chi-squared({self.restrictions})"
        value = self.statistic / self.restrictions if finite else self.statistic
        shown = first_of(self.terms)
        return f"{named} = {value:.3f}, p = {number(self.p_value)}: {shown}"


def reference_distribution(df: float) -> Any:
    """The t distribution with ``df`` degrees of freedom; the normal one when they are infinite."""
    return stats.t(df) if np.isfinite(df) else stats.norm()
