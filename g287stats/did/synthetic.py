"""Synthetic control and synthetic difference-in-differences, for one or few treated units.

Weights solve their quadratic programs exactly (:mod:`g287stats.numerics.simplex`), so they depend on no stopping rule.
Uncertainty comes from placebo assignment among the controls or from the jackknife over units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import pandas as pd

from g287stats.arguments import documented
from g287stats.design.keys import Data
from g287stats.design.prepare import Design, prepare
from g287stats.design.wide import dated, labelled, matrix
from g287stats.did.synthetic_predictors import Predictor, given, predictor_block, predictor_means, predictor_table
from g287stats.did.synthetic_weights import (
    Block,
    Fitter,
    Kind,
    block,
    effects,
    jackknife,
    jackknife_df,
    placebo_blocks,
    placements,
    rmspe_ratio,
)
from g287stats.errors import DesignError, DesignWarning, IdentificationError, caution, choose
from g287stats.estimate.covariance import Influence
from g287stats.estimate.estimate import Estimate, Method
from g287stats.numerics.inversion import warn_unbounded

Inference = Literal["auto", "placebo", "jackknife", "none"]
Distribution = Literal["t", "normal"]


_ABADIE = (
    "Abadie, A., Diamond, A. and Hainmueller, J. (2010). Synthetic control methods for comparative case studies. "
    "Journal of the American Statistical Association 105(490), 493–505. doi:10.1198/jasa.2009.ap08746"
)
_ARKHANGELSKY = (
    "Arkhangelsky, D., Athey, S., Hirshberg, D. A., Imbens, G. W. and Wager, S. (2021). Synthetic "
    "difference-in-differences. American Economic Review 111(12), 4088–4118. doi:10.1257/aer.20190159"
)
_CLARKE = (
    "Clarke, D., Pailañir, D., Athey, S. and Imbens, G. (2024). On synthetic difference-in-differences and related "
    "estimation methods in Stata. Stata Journal 24(4), 557–598. doi:10.1177/1536867X241297914"
)


_PLACEMENTS = "Placebo placements drawn when there are more than ``draws`` of them; otherwise each is used once."
_SHARED = {
    "data": "A DataFrame, or a ``CountyPanel``; balanced. Never modified.",
    "shape": "``static``: one parameter; ``event``: the gap at every event time, with the ATT as ``overall``.",
    "inference": "``placebo``: each control (or set of controls) in place of the treated; ``jackknife``: leave one "
    "unit out,\nweights held, needs two treated units in every cohort; ``auto``: jackknife where it is possible and "
    "placebo\notherwise; ``none``.",
    "distribution": "Of intervals and p-values: ``normal`` as in the paper, or ``t`` with the degrees of freedom of "
    "the variance\nestimate: controls (or placements, when fewer) less one with ``placebo``, Satterthwaite's "
    "approximation with\n``jackknife``.",
    "draws": _PLACEMENTS,
    "seed": _PLACEMENTS,
}
"""What the two estimators say about their arguments."""


@dataclass(frozen=True)
class Placebo:
    """Covariance from recomputed estimates: placebo assignments or leave-one-out.

    The rows of the influence are deviations of the recomputed estimates from their mean, scaled so that their
    squares add up to the variance. Clustering does not apply.

    Attributes
    ----------
    kind
        ``placebo`` (variance of the placebo estimates, divided by their number), ``jackknife``, or ``none``.
    replicates
        Number of recomputed estimates.
    enumerated
        Whether they are all possible ones.
    df
        Degrees of freedom of the t distribution of intervals; infinite: normal.
    """

    kind: Literal["placebo", "jackknife", "none"]
    replicates: int
    enumerated: bool = True
    df: float = np.inf
    levels: ClassVar[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        """Words for tables."""
        if self.kind == "none":
            return "no inference"
        how = "" if self.kind == "jackknife" else ", all" if self.enumerated else ", drawn"
        law = f"t({self.df:.1f})" if np.isfinite(self.df) else "normal"
        return f"{self.kind} ({self.replicates} replicates{how}; {law})"

    def matrix(self, influence: Influence) -> np.ndarray:
        """Covariance matrix (k × k)."""
        return influence.psi.T @ influence.psi

    def variances(self, influence: Influence) -> np.ndarray:
        """Diagonal of the covariance."""
        return np.einsum("ij,ij->j", influence.psi, influence.psi)

    def scores(self, influence: Influence) -> np.ndarray | None:
        """Return None: recomputed estimates are not independent scores."""
        return None


@dataclass(frozen=True)
class SyntheticFit:
    """What stands behind the estimate (``SyntheticEstimate.synthetic``).

    Attributes
    ----------
    unit_weights
        One row per cohort and control: ``cohort``, unit label, ``weight`` (sums to one within the cohort).
    time_weights
        One row per cohort and earlier period: ``cohort``, time label, ``weight``.
    path
        One row per cohort and period: ``treated``, ``synthetic`` (outcome units), ``gap``; for synthetic DiD the
        synthetic path is shifted by the weighted earlier gap.
    placebos
        Recomputed estimates: ``left_out`` or ``treated_as`` labels, ``estimate``, ``rmspe_ratio`` (root mean
        square gap after over before); empty without inference.
    p_value
        Share of placements, the actual one included, with an absolute estimate at least as large; None when not
        by placebo.
    p_value_rmspe
        The same for the ratio of root mean square gaps after and before (Abadie, Diamond and Hainmueller 2010).
    pre_rmspe
        Root mean square gap before treatment by cohort, outcome units.
    estimate
        The ATT, outcome units.
    predictors
        With ``predictors``: one row per cohort and predictor: ``weight`` (V, sums to one within the cohort),
        ``treated``, ``synthetic``, ``controls`` (plain mean); else empty.
    """

    unit_weights: pd.DataFrame
    time_weights: pd.DataFrame
    path: pd.DataFrame
    placebos: pd.DataFrame
    p_value: float | None
    p_value_rmspe: float | None
    pre_rmspe: Mapping[Any, float]
    estimate: float
    predictors: pd.DataFrame

    def conf_int_placebo(self, level: float = 0.95) -> pd.DataFrame:
        """Return the values of the ATT that the placebo test does not reject: one row, ``conf_low`` and ``conf_high``.

        Inverts ``p_value``: a value is rejected when the estimate lies at least as far from it as all but a share
        1 − level of the placebo estimates lie from zero. Presumes no shape of the noise, only that it is alike in
        treated and controls. Unbounded with fewer than 1/(1 − level) − 1 placebos: 19 for 95 %.
        """
        if self.p_value is None:
            raise DesignError('the placebo interval needs inference="placebo"')
        size = np.sort(np.abs(self.placebos["estimate"].to_numpy()))
        allowed = int(np.floor((1 - level) * (1 + len(size)) + 1e-9))
        half = float(size[-allowed]) if allowed else np.inf
        warn_unbounded((-half, half), "ATT", f"a placebo test with {len(size)} placements", level)
        ends = {"conf_low": self.estimate - half, "conf_high": self.estimate + half}
        return pd.DataFrame(ends, index=pd.Index(["ATT"], name="term"))


@dataclass(frozen=True, eq=False, kw_only=True)
class SyntheticEstimate(Estimate):
    """An estimate with the weights, paths and placebo tests behind it."""

    synthetic: SyntheticFit = field(repr=False)


@documented(**_SHARED)
def synthetic_did(
    data: Data,
    outcome: str,
    *,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    scheme: Literal["synthetic", "uniform"] = "synthetic",
    shape: Literal["static", "event"] = "static",
    inference: Inference = "auto",
    distribution: Distribution = "t",
    draws: int = 499,
    seed: int = 287,
) -> SyntheticEstimate:
    """Synthetic difference-in-differences (Arkhangelsky, Athey, Hirshberg, Imbens and Wager 2021).

    For each cohort, unit weights ω make the weighted never-treated units run parallel to the treated before
    treatment, time weights λ make the weighted earlier periods predict the later ones among controls, and

        τ = (mean treated after − Σ λ treated before) − Σ ω (mean control after − Σ λ control before).

    Assumes no anticipation and that units without treatment share a low-rank structure with the treated, so that
    the weighted controls reproduce their untreated path. Several cohorts are averaged by treated unit-periods.

    Parameters
    ----------
    scheme
        ``uniform`` gives plain difference-in-differences with the same placebo or jackknife inference.

    Returns
    -------
    Estimate
        ``.synthetic`` is a :class:`SyntheticFit`: weights, paths, placebos and permutation p-values.

    Raises
    ------
    DesignError
        Holes in the panel, treatment that switches off.
    IdentificationError
        No never-treated control, nobody treated inside the panel, fewer controls than a placebo needs.
    """
    choose("scheme", scheme, ("synthetic", "uniform"))
    kind: Kind = "sdid" if scheme == "synthetic" else "did"
    title = "Synthetic difference-in-differences" if kind == "sdid" else "Difference-in-differences, uniform weights"
    method = Method("synthetic_did", title, (_ARKHANGELSKY, _CLARKE))
    keys = {"unit": unit, "time": time, "cohort": cohort, "treatment": treatment}
    how = _Choices(kind, method, shape, inference, distribution, draws, seed)
    return _estimate(data, outcome, keys, how)


@documented(**_SHARED)
def synthetic_control(
    data: Data,
    outcome: str,
    *,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    predictors: Sequence[Predictor] = (),
    predictor_weights: Literal["data", "equal"] | Sequence[float] = "data",
    shape: Literal["static", "event"] = "static",
    inference: Inference = "placebo",
    distribution: Distribution = "t",
    draws: int = 499,
    seed: int = 287,
) -> SyntheticEstimate:
    """Synthetic control (Abadie, Diamond and Hainmueller 2010), on all earlier outcomes or on predictors.

    Non-negative weights that add up to one make the weighted controls match the level of the treated in every
    period before treatment; the effect is the later gap. No intercept and no time weights; a ridge of (1e-6 × the
    standard deviation of the controls' yearly changes)² as in the synthetic DiD paper's implementation. With more
    controls than earlier periods and a perfect fit the weights are not unique; the result then carries a note.

    Several treated units of one cohort are averaged first. With ``predictors`` the weights match predictor means X
    instead,

        W(V) = argmin Σ_k v_k (X_1k − Σ_j w_j X_jk)²,
        V = argmin mean over earlier periods of (Y_1t − Σ_j w_j(V) Y_jt)²,

    predictors in standard deviations over the treated's mean and the controls. List earlier outcomes among them to
    match those too. Placebos choose V anew.

    Parameters
    ----------
    predictors
        Columns, averaged over all periods before the cohort's treatment in which the unit has a value; or
        ``(column, first, last)``, averaged over that window, both ends included.
    predictor_weights
        V: ``data`` as above (searched globally, the same way at every call), ``equal``, or one number of 0 or more for
        each predictor.

    Raises
    ------
    DesignError
        Predictors that are absent, unobserved in some unit, constant, or measured after treatment began, all at once;
        also as :func:`synthetic_did`.
    """
    method = Method("synthetic_control", "Synthetic control", (_ABADIE, _ARKHANGELSKY))
    keys = {"unit": unit, "time": time, "cohort": cohort, "treatment": treatment}
    matching = (tuple(predictors), predictor_weights) if len(predictors) else None
    how = _Choices("sc", method, shape, inference, distribution, draws, seed, matching)
    return _estimate(data, outcome, keys, how)


@dataclass(frozen=True)
class _Choices:
    """What the caller chose; ``matching``: predictors and their weights, where weights match predictors."""

    kind: Kind
    method: Method
    shape: Literal["static", "event"]
    inference: Inference
    distribution: Distribution
    draws: int
    seed: int
    matching: tuple[tuple[Predictor, ...], Any] | None = None


@dataclass(frozen=True)
class _Fitted:
    """Outcomes ``y`` (units × periods) and what weights make of them.

    ``treated`` holds units by the position of their first treated period, ``x`` the predictor means by the same;
    ``fit`` makes the ``blocks``, and those of placebos; ``point`` is the ATT and the effects at ``events``.
    """

    design: Design
    y: np.ndarray
    treated: Mapping[int, np.ndarray]
    controls: np.ndarray
    x: Mapping[int, np.ndarray]
    fit: Fitter
    blocks: list[Block]
    events: np.ndarray
    point: np.ndarray

    @property
    def n_treated(self) -> int:
        """Number of treated units."""
        return sum(map(len, self.treated.values()))


@dataclass(frozen=True)
class _Again:
    """Recomputed estimates (replicates × parameters), their influence, and what the placebo test says."""

    by: Literal["placebo", "jackknife", "none"]
    replicates: np.ndarray
    psi: np.ndarray
    df: np.ndarray
    names: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=object))
    ratios: np.ndarray = field(default_factory=lambda: np.empty(0))
    p_value: float | None = None
    p_value_rmspe: float | None = None
    enumerated: bool = True

    def rule(self, parameters: slice) -> Placebo:
        """Covariance of some parameters, with the fewest of their degrees of freedom."""
        return Placebo(self.by, len(self.replicates), self.enumerated, float(np.nanmin(self.df[parameters])))

    def influence(self, parameters: slice) -> Influence:
        """Influence of some parameters, by replicate."""
        return Influence(self.psi[:, parameters], {"replicate": np.arange(len(self.psi))})


def _estimate(data: Data, outcome: str, keys: Mapping[str, str | None], how: _Choices) -> SyntheticEstimate:
    """Weights, then estimates, then the same estimates on placebo or reduced panels."""
    choose("distribution", how.distribution, get_args(Distribution))
    choose("inference", how.inference, get_args(Inference))
    choose("shape", how.shape, ("static", "event"))
    design = prepare(data, outcome, clustered=False, **keys)  # type: ignore[arg-type]
    y, cohorts, notes = _admit(design)
    fitted = _fit(data, design, keys, y, cohorts, how)
    if how.kind == "sc" and not how.matching:
        notes += _fitted_exactly(fitted)
    table = predictor_table(design, fitted.blocks, fitted.x, how.matching[0] if how.matching else ())
    notes += _matched_in_several_ways(table, len(fitted.controls))
    again = _recompute(fitted, how)
    overall = SyntheticEstimate(
        labels=pd.DataFrame({"term": ["ATT"]}),
        point=fitted.point[:1],
        influence=again.influence(slice(1)),
        rule=again.rule(slice(1)),
        kind="static",
        method=how.method,
        outcome=outcome,
        sample=_sample(fitted, again),
        floor=design.rounding,
        options=_options(how, again),
        notes=tuple(notes),
        provenance=design.provenance,
        synthetic=_behind(fitted, again, table),
    )
    return overall if how.shape == "static" else _by_event_time(overall, fitted, again)


def _by_event_time(overall: SyntheticEstimate, fitted: _Fitted, again: _Again) -> SyntheticEstimate:
    """The gap at every event time, with the ATT beside it."""
    events, each = fitted.events, slice(1, None)
    return replace(
        overall,
        labels=pd.DataFrame({"term": [f"event {e:+d}" for e in events], "event_time": events}),
        point=fitted.point[each],
        influence=again.influence(each),
        rule=again.rule(each),
        kind="event",
        overall=overall,
    )


def _fit(
    data: Data, design: Design, keys: Mapping[str, str | None], y: np.ndarray, cohorts: np.ndarray, how: _Choices
) -> _Fitted:
    """Unit and time weights of every cohort on its earlier outcomes, or on predictors, and the gaps they leave."""
    controls = np.flatnonzero(cohorts >= design.n_periods)
    starts = [int(c) for c in np.unique(cohorts) if 0 < c < design.n_periods]
    treated = {c: np.flatnonzero(cohorts == c) for c in starts}
    x: dict[int, np.ndarray] = {}
    if how.matching:
        v = given(*how.matching)
        x = predictor_means(data, design, keys, how.matching[0], treated, controls)
        fit: Fitter = lambda own, pool, start: predictor_block(y, x[start], own, pool, start, v)
    else:
        fit = lambda own, pool, start: block(y, own, pool, start, how.kind)
    blocks = [fit(treated[c], controls, c) for c in starts]
    events = np.arange(-max(starts), design.n_periods - min(starts))
    return _Fitted(design, y, treated, controls, x, fit, blocks, events, effects(y, blocks, events))


def _recompute(fitted: _Fitted, how: _Choices) -> _Again:
    """Estimates again, in the way asked for; with normal intervals degrees of freedom are infinite."""
    by, k = how.inference, len(fitted.point)
    if by == "auto":
        by = "jackknife" if all(len(v) > 1 for v in fitted.treated.values()) else "placebo"
    if by == "none":
        return _Again("none", np.empty((0, k)), np.zeros((1, k)), np.full(k, np.inf))
    again = _by_placebo(fitted, how.draws, how.seed) if by == "placebo" else _by_jackknife(fitted)
    return again if how.distribution == "t" else replace(again, df=np.full(k, np.inf))


def _by_placebo(fitted: _Fitted, draws: int, seed: int) -> _Again:
    """Controls in the place of the treated."""
    y, controls, n_treated = fitted.y, fitted.controls, fitted.n_treated
    if len(controls) <= n_treated:
        raise IdentificationError(
            f"{len(controls)} controls cannot stand in for {n_treated} treated units and leave a control: "
            'use inference="jackknife"'
        )
    places, enumerated = placements(len(controls), n_treated, draws, seed)
    fits = [placebo_blocks(fitted.fit, controls, place, fitted.treated) for place in places]
    replicates = np.array([effects(y, f, fitted.events) for f in fits])
    ratios = np.array([rmspe_ratio(y, f) for f in fits])
    labels = fitted.design.unit_labels
    names = np.array(["+".join(map(str, labels[controls[np.sort(p)]])) for p in places], dtype=object)
    size = abs(fitted.point[0])  # ties count as larger, up to rounding
    larger = np.abs(replicates[:, 0]) >= size - 1e-9 * size
    farther = ratios >= rmspe_ratio(y, fitted.blocks) * (1 - 1e-9)
    p_value, p_ratio = (float((1 + as_large.sum()) / (1 + len(places))) for as_large in (larger, farther))
    psi = (replicates - replicates.mean(0)) / np.sqrt(len(replicates))
    freedom = np.full(len(fitted.point), min(len(controls), len(places)) - 1.0)
    return _Again("placebo", replicates, psi, freedom, names, ratios, p_value, p_ratio, enumerated)


def _by_jackknife(fitted: _Fitted) -> _Again:
    """One unit left out at a time, the weights held."""
    design, blocks = fitted.design, fitted.blocks
    alone = [str(design.calendar[c]) for c, members in fitted.treated.items() if len(members) < 2]
    if alone:
        raise IdentificationError(
            f"the jackknife leaves out one unit at a time and cohorts {', '.join(alone)} have only one: "
            'use inference="placebo"'
        )
    if any((b.omega > 0).sum() < 2 for b in blocks):
        raise IdentificationError('one control carries all weight: the jackknife cannot leave it out; use "placebo"')
    replicates, left = jackknife(fitted.y, blocks, fitted.events)
    psi = (replicates - replicates.mean(0)) * np.sqrt((len(left) - 1) / len(left))
    freedom = jackknife_df(psi, left, blocks, design.n_periods)
    return _Again("jackknife", replicates, psi, freedom, design.unit_labels[left].to_numpy(dtype=object))


def _sample(fitted: _Fitted, again: _Again) -> dict[str, Any]:
    """Counts, and the placebo test's p-values where there are any."""
    sample = fitted.design.sample() | {"n_treated": fitted.n_treated, "n_controls": len(fitted.controls)}
    if again.p_value is not None:
        sample |= {"p_value_placebo": again.p_value, "p_value_rmspe": again.p_value_rmspe}
    return sample


def _options(how: _Choices, again: _Again) -> dict[str, Any]:
    """Choices that the numbers depend on: draws and seed only where placements were drawn."""
    options: dict[str, Any] = {"weights": how.kind, "inference": again.by, "distribution": how.distribution}
    if how.matching:
        options |= {"predictors": how.matching[0], "predictor_weights": how.matching[1]}
    return options if again.enumerated else options | {"draws": how.draws, "seed": how.seed}


def _behind(fitted: _Fitted, again: _Again, predictors: pd.DataFrame) -> SyntheticFit:
    """Weights, paths and placebos, labelled."""
    design, y = fitted.design, fitted.y
    which = "treated_as" if again.by == "placebo" else "left_out"
    placebos = pd.DataFrame({which: again.names, "estimate": again.replicates[:, 0]})
    if again.by == "placebo":
        placebos["rmspe_ratio"] = again.ratios
    before = {b.cohort: b.gap(y)[: b.cohort] for b in fitted.blocks}
    return SyntheticFit(
        *_tables(design, y, fitted.blocks),
        placebos=placebos,
        p_value=again.p_value,
        p_value_rmspe=again.p_value_rmspe,
        pre_rmspe={design.calendar[c]: float(np.sqrt(np.mean(gap**2))) for c, gap in before.items()},
        estimate=float(fitted.point[0]),
        predictors=predictors,
    )


def _fitted_exactly(fitted: _Fitted) -> list[str]:
    """Warn of cohorts whose earlier periods the controls fit without error."""
    design, y, controls = fitted.design, fitted.y, fitted.controls
    scale = float(np.abs(y[controls]).max()) or 1.0
    notes = []
    for one in fitted.blocks:
        if np.sqrt(np.mean(one.gap(y)[: one.cohort] ** 2)) < 1e-5 * scale:
            notes.append(
                f"cohort {design.calendar[one.cohort]}: {len(controls)} controls fit {one.cohort} earlier periods "
                "without error, so the weights and the estimate are not unique. Use g.synthetic_did or fewer controls"
            )
            caution(f"{design.outcome}: {notes[-1]}", DesignWarning)
    return notes


def _matched_in_several_ways(table: pd.DataFrame, n_controls: int) -> list[str]:
    """Note cohorts whose predictors more than one set of weights matches."""
    notes = []
    for cohort, part in table.groupby("cohort", sort=False):
        close = np.abs(part["treated"] - part["synthetic"]) <= 1e-5 * (1 + part["controls"].abs())
        if close[part["weight"] > 0].all() and n_controls > (part["weight"] > 0).sum() + 1:
            notes.append(
                f"cohort {cohort}: {n_controls} controls match {len(part)} predictors without error in more than "
                "one way; the least unequal weights are taken"
            )
    return notes


def _admit(design: Design) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return outcome matrix, cohorts and notes; refuse panels with holes or without either side."""
    design = dated(design, "use g.switching_did")
    notes, cohorts = list(design.notes), design.cohort
    y = matrix(design)
    observed = np.unique(design.time)
    if len(observed) < design.n_periods:
        raise DesignError("the calendar has gaps: synthetic weights need every period, from first to last")
    holes = np.isnan(y).any(1)
    if holes.any():
        raise DesignError(
            f"{int(holes.sum())} units are not observed in every period: {labelled(design, holes)}. "
            f'Keep complete units: df = df[df.groupby("{design.unit_name}")["{design.outcome}"]'
            f'.transform("count") == {design.n_periods}]'
        )
    always = cohorts <= 0
    if always.any():
        notes.append(f"{int(always.sum())} units treated in every period are left out: {labelled(design, always)}")
    if not ((cohorts > 0) & (cohorts < design.n_periods)).any():
        raise IdentificationError(f"{design.outcome}: no unit starts treatment inside the panel")
    if not (cohorts >= design.n_periods).any():
        raise IdentificationError(
            f"{design.outcome}: every unit is treated by the end of the panel, so no unit is left to build the "
            "synthetic path from. End the panel before the last cohort, or use g.att_gt with control='notyet'"
        )
    return y, cohorts, notes


def _tables(design: Design, y: np.ndarray, blocks: Sequence[Block]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Labelled unit weights, time weights and paths."""
    units, times, paths = [], [], []
    for one in blocks:
        name = design.calendar[one.cohort]
        labels = design.unit_labels[one.controls]
        units.append(pd.DataFrame({"cohort": name, design.unit_name: labels, "weight": one.omega}))
        before = design.calendar[: one.cohort]
        times.append(pd.DataFrame({"cohort": name, design.time_name: before, "weight": one.lam}))
        mean, gap = y[one.treated].mean(0), one.gap(y)
        columns = {"cohort": name, design.time_name: design.calendar, "treated": mean, "synthetic": mean - gap}
        paths.append(pd.DataFrame(columns | {"gap": gap}))
    return tuple(pd.concat(part, ignore_index=True) for part in (units, times, paths))  # type: ignore[return-value]
