"""What a two-way fixed-effects coefficient is made of: cohorts, 2×2 comparisons, weights on effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from g287stats.arguments import documented
from g287stats.design.keys import Data
from g287stats.design.prepare import NEVER, Design, prepare
from g287stats.design.wide import dated, labelled, matrix
from g287stats.errors import DesignError, IdentificationError
from g287stats.numerics.within import absorb
from g287stats.shown import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NEVER, _ALWAYS = "never", "always"
_TYPES = ("Treated vs Untreated", "Earlier vs Later Treated", "Later vs Earlier Treated", "Later vs Always Treated")

BACON_REFERENCE = (
    "Goodman-Bacon, A. (2021). Difference-in-differences with variation in treatment timing. "
    "Journal of Econometrics 225(2), 254–277. doi:10.1016/j.jeconom.2021.03.014"
)
WEIGHTS_REFERENCE = (
    "de Chaisemartin, C. and D'Haultfœuille, X. (2020). Two-way fixed effects estimators with heterogeneous "
    "treatment effects. American Economic Review 110(9), 2964–2996. doi:10.1257/aer.20181169"
)


@dataclass(frozen=True)
class Bacon(Shown):
    """Goodman-Bacon decomposition of the static two-way fixed-effects coefficient.

    Attributes
    ----------
    frame
        One row per 2×2 comparison: ``treated`` and ``control`` (cohort labels, ``never``, ``always``), ``type``,
        ``estimate`` (outcome units), ``weight`` (the weights add up to one).
    estimate
        Σ weight · estimate, equal to the two-way fixed-effects coefficient.
    outcome
        Name of the outcome.
    """

    frame: pd.DataFrame
    estimate: float
    outcome: str

    @property
    def by_type(self) -> pd.DataFrame:
        """Weight and weighted mean estimate of each type of comparison present."""
        product = self.frame["weight"] * self.frame["estimate"]
        table = pd.DataFrame({"type": self.frame["type"], "weight": self.frame["weight"], "product": product})
        total = table.groupby("type").sum().reindex([t for t in _TYPES if t in set(table["type"])])
        return pd.DataFrame({"weight": total["weight"], "estimate": total["product"] / total["weight"]})

    @property
    def forbidden_weight(self) -> float:
        """Share of weight on comparisons with already treated controls."""
        bad = self.frame["type"].isin(["Later vs Earlier Treated", "Later vs Always Treated"])
        return float(self.frame.loc[bad, "weight"].sum())

    def _words(self) -> str:
        return (
            f"two-way fixed effects of {self.outcome}: {self.estimate:.4g} from {len(self.frame)} comparisons; "
            f"{100 * self.forbidden_weight:.3g} % of the weight has controls already treated"
        )

    def _table(self) -> pd.DataFrame:
        return self.by_type.reset_index()

    def plot(self, ax: Axes | None = None) -> Axes:
        """Scatter of 2×2 estimates against their weights, by type; returns the matplotlib axes."""
        import matplotlib.pyplot as plt

        ax = ax or plt.subplots()[1]
        for kind, marker in zip(_TYPES, "os^D"):
            part = self.frame[self.frame["type"] == kind]
            if len(part):
                ax.scatter(
                    part["weight"], part["estimate"], marker=marker, label=f"{kind} ({part['weight'].sum():.2f})"
                )
        ax.axhline(self.estimate, color="0.4", linewidth=1, linestyle="--")
        ax.set_xlabel("weight")
        ax.set_ylabel(f"2×2 estimate: {self.outcome}")
        ax.legend(frameon=False)
        return ax


@documented()
def bacon(
    data: Data,
    outcome: str,
    *,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
) -> Bacon:
    """Decompose the static two-way fixed-effects coefficient into 2×2 comparisons (Goodman-Bacon 2021).

    With D̄_k the share of periods in which cohort k is treated, n_k its share of units and V the variance of the
    treatment net of unit and period means, the comparison of k with

    - units never treated (or always treated) weighs n_k n_u D̄_k (1 − D̄_k) / V, over all periods;
    - a later cohort l, before l's treatment, weighs n_k n_l (D̄_k − D̄_l)(1 − D̄_k) / V;
    - an earlier cohort l, after l's treatment, weighs n_k n_l D̄_k (D̄_l − D̄_k) / V.

    No covariates, no observation weights, balanced
    panel; treatment absorbing.

    Raises
    ------
    DesignError
        Holes in the panel or treatment that switches off, naming the units.
    IdentificationError
        Treatment does not vary net of unit and period effects.
    """
    design = prepare(data, outcome, unit=unit, time=time, cohort=cohort, treatment=treatment, clustered=False)
    start, label = _groups(design)
    y = matrix(design)[:, np.unique(design.time)]
    holes = np.isnan(y).any(1)
    if holes.any():
        raise DesignError(
            f"{int(holes.sum())} units are not observed in every period: {labelled(design, holes)}. The decomposition "
            "is exact for balanced panels only; keep complete units, or see g.twfe_weights"
        )
    times = np.unique(design.time)
    position, n_periods = start, len(times)
    starts = np.unique(position)
    mean = np.array([y[position == s].mean(0) for s in starts])
    share = np.array([(position == s).mean() for s in starts])
    treated = (starts > 0) & (starts < n_periods)
    dbar = np.where(starts >= n_periods, 0.0, 1 - np.clip(starts, 0, n_periods) / n_periods)
    d = np.arange(n_periods)[None, :] >= starts[:, None]
    net = d - d.mean(1, keepdims=True) - share @ d + share @ d.mean(1)
    variance = float((share @ net**2).mean())
    if not treated.any() or variance < 1e-14:
        raise IdentificationError(f"{outcome}: treatment does not vary net of unit and period effects")

    rows = []
    clock = np.arange(n_periods)
    for k in np.flatnonzero(treated):
        for other in range(len(starts)):
            if other == k:
                continue
            before, after = clock < starts[k], clock >= starts[k]
            product = share[k] * share[other]
            if not treated[other]:
                weight = product * dbar[k] * (1 - dbar[k])
                kind = _TYPES[0] if starts[other] >= n_periods else _TYPES[3]
            elif starts[other] > starts[k]:
                weight = product * (dbar[k] - dbar[other]) * (1 - dbar[k])
                after, kind = after & (clock < starts[other]), _TYPES[1]
            else:
                weight = product * dbar[k] * (dbar[other] - dbar[k])
                before, kind = before & (clock >= starts[other]), _TYPES[2]
            gap = mean[k] - mean[other]
            estimate = gap[after].mean() - gap[before].mean()
            rows.append((label[starts[k]], label[starts[other]], kind, estimate, weight / variance))
    frame = pd.DataFrame(rows, columns=["treated", "control", "type", "estimate", "weight"])
    total = frame["weight"].to_numpy() @ frame["estimate"].to_numpy()
    return Bacon(frame, float(total), outcome)


@dataclass(frozen=True)
class TwfeWeights(Shown):
    """Weights of the treated cells' effects in the static two-way fixed-effects coefficient.

    Attributes
    ----------
    frame
        One row per unit and period with treatment other than zero: the keys, ``treatment``, ``weight`` (they add up to
        one: the coefficient is Σ weight · effect of a unit of treatment there, under parallel trends).
    by_cohort
        The same summed over units of a cohort (as given, or the first row of the frame with treatment other than
        zero) and period, with ``n_obs`` and ``event_time``.
    estimate
        The coefficient, outcome units per unit of treatment.
    negative_share
        Share of treated cells with a negative weight.
    negative_sum
        Sum of the negative weights (zero or below).
    sigma_to_zero
        Smallest standard deviation of effects across treated cells with which the average effect could be zero
        (|estimate| / standard deviation of the weights; infinite when all weights are equal).
    """

    frame: pd.DataFrame
    by_cohort: pd.DataFrame
    estimate: float
    negative_share: float
    negative_sum: float
    sigma_to_zero: float

    def _words(self) -> str:
        return (
            f"two-way fixed effects: {self.estimate:.4g}; {100 * self.negative_share:.3g} % of treated cells have a "
            f"negative weight (sum {self.negative_sum:.4g}); effects with a standard deviation of "
            f"{self.sigma_to_zero:.4g} across cells could hide an average of zero"
        )

    def _table(self) -> pd.DataFrame:
        return self.by_cohort


@documented()
def twfe_weights(
    data: Data,
    outcome: str,
    *,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    weights: str | None = None,
) -> TwfeWeights:
    """Weights de Chaisemartin and D'Haultfœuille (2020) show behind a two-way fixed-effects coefficient.

    With D̃ the residual of the treatment after unit and period effects (and observation weights n), the coefficient is
    Σ w · effect over treated cells, w = n D̃ D / Σ n D̃ D. Negative weights mean that the coefficient can be negative
    while every effect is positive. Any treatment, absorbing, switching or continuous; unbalanced panels allowed.

    Raises
    ------
    IdentificationError
        Treatment does not vary net of unit and period effects.
    """
    design = prepare(
        data, outcome, unit=unit, time=time, cohort=cohort, treatment=treatment, weights=weights, clustered=False
    )
    on = design.treatment
    d = (design.time >= design.cohort[design.unit]).astype(float) if on is None else on
    projection = absorb(
        design.unit, design.time, n_units=design.n_units, n_periods=design.n_periods, weights=design.weights
    )
    net = projection.residualize(d)
    n = np.ones(design.n) if design.weights is None else design.weights
    denominator = float(n @ (net * d))
    if denominator < 1e-12 * float(n @ (d * d)) or not d.any():
        raise IdentificationError(f"{outcome}: treatment does not vary net of unit and period effects")
    weight = n * net * d / denominator
    cell = d != 0
    per_unit = weight[cell] / n[cell] * n[cell].sum()
    spread = float(np.sqrt(n[cell] @ (per_unit - 1) ** 2 / n[cell].sum()))
    estimate = float(n @ (net * design.y)) / denominator

    first = design.cohort
    if design.path is not None:  # also of rows set aside
        seen, dose = design.path.rows, design.path.values
        on = ~np.isnan(dose) & (dose != 0)
        offered = np.full(len(design.path.unit_labels), NEVER)
        np.minimum.at(offered, seen.unit[on], seen.time[on] + design.path.first)
        first = offered[design.path.unit_labels.get_indexer(design.unit_labels)]
    codes = pd.DataFrame({"cohort": first[design.unit], "time": design.time, "weight": weight})[cell]
    table = codes.groupby(["cohort", "time"])["weight"].agg(["size", "sum"]).reset_index()
    by_cohort = pd.DataFrame(
        {
            "cohort": [design.period_label(c) for c in table["cohort"]],
            "time": [design.calendar[t] for t in table["time"]],
            "event_time": table["time"] - table["cohort"],
            "n_obs": table["size"],
            "weight": table["sum"],
        }
    )
    frame = pd.DataFrame(
        {
            design.unit_name: design.unit_labels[design.unit[cell]],
            design.time_name: design.calendar[design.time[cell]],
            "treatment": d[cell],
            "weight": weight[cell],
        }
    )
    negative = weight[cell] < -1e-12 / cell.sum()
    return TwfeWeights(
        frame=frame,
        by_cohort=by_cohort,
        estimate=estimate,
        negative_share=float(negative.mean()),
        negative_sum=float(weight[cell][negative].sum()),
        sigma_to_zero=abs(estimate) / spread if spread > 1e-12 else np.inf,
    )


@documented()
def cohort_sizes(
    data: Data,
    outcome: str,
    *,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    weights: str | None = None,
) -> pd.DataFrame:
    """Return units, observations and periods before and after treatment of each cohort in the estimation sample.

    One row per cohort (``never`` includes units first treated after the panel, ``always`` those treated from its first
    period): ``n_units``, ``share`` of units, ``n_obs``, ``n_treated_obs``, ``periods_before``, ``periods_after`` and,
    with ``weights``, ``weight_share``.
    """
    design = prepare(
        data, outcome, unit=unit, time=time, cohort=cohort, treatment=treatment, weights=weights, clustered=False
    )
    start, label = _groups(design)
    times = np.unique(design.time)
    w = np.ones(design.n) if design.weights is None else design.weights
    rows = []
    for s in np.unique(start):
        mine = start[design.unit] == s
        on = mine & (design.time >= _first(s, times))
        before = int(np.clip(s, 0, len(times)))
        row = {
            "cohort": label[s],
            "n_units": int((start == s).sum()),
            "share": float((start == s).mean()),
            "n_obs": int(mine.sum()),
            "n_treated_obs": int(on.sum()),
            "periods_before": before,
            "periods_after": len(times) - before,
        }
        if weights:
            row["weight_share"] = float(w[mine].sum() / w.sum())
        rows.append(row)
    return pd.DataFrame(rows)


def _first(position: int, times: np.ndarray) -> float:
    """Calendar position of the observed period number ``position``."""
    return -np.inf if position <= 0 else np.inf if position >= len(times) else times[position]


def _groups(design: Design) -> tuple[np.ndarray, dict[int, Any]]:
    """Return each unit's first treated observed period (0 always, T never) and the labels of these groups."""
    cohorts = dated(design, "use g.switching_did").cohort
    times = np.unique(design.time)
    start = np.searchsorted(times, np.clip(cohorts, times[0], times[-1] + 1))
    names = {int(s): design.calendar[times[s]] for s in np.unique(start) if 0 < s < len(times)}
    return start, names | {0: _ALWAYS, len(times): _NEVER}
