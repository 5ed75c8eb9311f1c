"""Similar units: weights that balance what was measured before treatment, and tables that show it.

Three steps, each visible: features of units in a stated window before treatment
(:func:`~g287stats.did.features.read_features`), weights from features (:func:`entropy_weights`,
:func:`overlap_weights`, :func:`nearest_weights`), balance before and after. The weights feed any estimator as a column:
``b = g.balance_weights(…)``, then ``g.att_gt(b.attach(panel), …, weights="balance_weight")``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import pandas as pd
from scipy import optimize

from g287stats.arguments import documented
from g287stats.design.coding import whole
from g287stats.design.keys import Data, frame_of
from g287stats.did.features import Kind, read_features
from g287stats.errors import DesignError, DesignWarning, IdentificationError, caution, first_of
from g287stats.flow import Step, holding
from g287stats.numerics.glm import logit
from g287stats.shown import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

D = TypeVar("D")
FEATURES = {
    "variables": "Columns to balance; they may be missing outside the window.",
    "on": "What about them, for all or by variable (a mapping): ``levels`` the mean over the window; ``growth`` the "
    "slope\nof a straight line through the window, per period; ``trends`` the value in every period of the window.",
    "periods": "First and last period of the window, both included. Default: all periods before anyone's treatment. "
    "Units\ntreated within the window are left out and listed.",
}
"""What balancing and its table say about their arguments."""

Balancing = Literal["entropy", "overlap", "nearest"]

REFERENCES = {
    "entropy": "Hainmueller, J. (2012). Entropy balancing for causal effects. Political Analysis 20(1), 25–46. "
    "doi:10.1093/pan/mpr025",
    "overlap": "Li, F., Morgan, K. L. and Zaslavsky, A. M. (2018). Balancing covariates via propensity score "
    "weighting. Journal of the American Statistical Association 113(521), 390–400. doi:10.1080/01621459.2016.1260466",
    "nearest": "Stuart, E. A. (2010). Matching methods for causal inference: a review and a look forward. "
    "Statistical Science 25(1), 1–21. doi:10.1214/09-STS313",
}


@dataclass(frozen=True)
class Balance(Shown):
    """Weights by unit, and the balance they achieve.

    Attributes
    ----------
    method
        ``entropy``, ``overlap`` or ``nearest``.
    estimand
        Whose average the weights represent: ``treated``, ``overlap`` population, ``matched treated``.
    weights
        One weight per unit of the window, indexed by unit label; zero: not used. Controls add up to the treated, except
        for overlap weights.
    table
        Balance of every feature, see :func:`balance_table`.
    pairs
        Matches: ``treated``, ``control``, ``distance``, ``rank`` (nearest only, else None).
    effective_n
        Kish's effective number of treated and of control units.
    left_out
        Units of the data without a weight, with the reason.
    notes
        Counted warnings.
    """

    method: Balancing
    estimand: str
    weights: pd.Series
    table: pd.DataFrame
    pairs: pd.DataFrame | None
    effective_n: Mapping[str, float]
    left_out: pd.DataFrame
    notes: tuple[str, ...] = ()

    def attach(self, data: D, name: str = "balance_weight") -> D:
        """Return the rows of weighted units with their weight in column ``name``; units with weight zero leave.

        A panel stays one, with its keys, provenance and exits; its flow names the units that leave.
        """
        frame = frame_of(data)
        key = str(self.weights.index.name)
        if key not in frame:
            raise DesignError(f"column {key!r} of the units is not in the frame")
        if name in frame:
            raise DesignError(f"column {name!r} is already in the frame; choose another name=")
        values = frame[key].map(self.weights)
        used = (values > 0).to_numpy()
        lost = sorted(set(frame[key]) - set(frame.loc[used, key]), key=str)
        steps = [
            Step(
                f"rows of units without a {self.method} weight",
                int((~used).sum()),
                "",
                tuple(map(str, lost)),
                "dropped",
                len(lost),
                "weights",
            ),
            Step("rows of weighted units", int(used.sum()), block="weights"),
        ]
        book = {
            name: {"description": f"{self.method} weight for the {self.estimand}", "unit": "", "source": "computed"}
        }
        return holding(data, frame.assign(**{name: values})[used].copy(), steps, book)

    def _words(self) -> str:
        left = f"; {len(self.left_out)} units left out" if len(self.left_out) else ""
        return (
            f"{self.method} weights for the {self.estimand}: effectively {self.effective_n['treated']:.1f} treated and "
            f"{self.effective_n['control']:.1f} control units{left}"
        )

    def _table(self) -> pd.DataFrame:
        return self.table.reset_index()

    def plot(self, ax: Axes | None = None) -> Axes:
        """Standardised differences before (hollow) and after (filled) weighting; returns the matplotlib axes."""
        import matplotlib.pyplot as plt

        ax = ax or plt.subplots(figsize=(6, 0.35 * len(self.table) + 1))[1]
        place = np.arange(len(self.table))[::-1]
        ax.scatter(self.table["std_diff"], place, facecolors="none", edgecolors="0.2", label="before")
        ax.scatter(self.table["std_diff_weighted"], place, color="0.2", label="after")
        ax.axvline(0, color="0.6", linewidth=1)
        ax.set_yticks(place, self.table.index)
        ax.set_xlabel("standardised difference, treated − control")
        ax.legend(frameon=False)
        return ax

    def cite(self) -> str:
        """Return the reference of the method."""
        return REFERENCES[self.method]


@documented(**FEATURES)
def balance_weights(
    data: Data,
    variables: Sequence[str],
    *,
    method: Balancing = "entropy",
    on: Kind | Sequence[Kind] | Mapping[str, Kind | Sequence[Kind]] = "levels",
    periods: tuple[Any, Any] | None = None,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    weights: str | None = None,
    distance: Literal["mahalanobis", "propensity"] = "mahalanobis",
    neighbours: int = 1,
    replace: bool = True,
    caliper: float | None = None,
    exact: Sequence[str] = (),
) -> Balance:
    """Weights that make untreated units look like the treated before treatment.

    Who is treated when is read from all rows of the frame, each feature from the rows that have its variable.

    Parameters
    ----------
    method
        ``entropy``: controls weighted as little unequal as possible such that the means of all features equal those
        of the treated. ``overlap``: treated weigh 1 − p, controls p, with p a logit of the features; means are equal
        too, about the units that could have been either. ``nearest``: the ``neighbours`` closest controls of each
        treated unit.
    unit, time, cohort, treatment, weights
        Columns; ``weights`` are base weights (their mean by unit).
    distance, neighbours, replace, caliper, exact
        For ``nearest``: Mahalanobis distance of the features, or difference in the logit's index in standard
        deviations; with ``replace=False`` the assignment with the smallest total distance; a largest distance allowed;
        columns that must agree.

    Returns
    -------
    Balance
        Weights are data for the next step: standard errors of that step take them as given.

    Raises
    ------
    DesignError
        Columns that do not vary or are combinations of others, by name.
    IdentificationError
        No overlap, naming the covariates: treated means outside what weighted controls can reach, groups told apart
        by the logit, no control within the caliper.
    """
    if method not in REFERENCES:
        raise DesignError(f"method={method!r}: choose 'entropy', 'overlap' or 'nearest'")
    neighbours = whole("neighbours", neighbours, 1)
    design, names, x, size, treated, labels, base, groups, left_out, notes = read_features(
        data,
        variables,
        on,
        periods,
        unit=unit,
        time=time,
        cohort=cohort,
        treatment=treatment,
        weights=weights,
        exact=exact,
    )
    _independent(names, x, size)
    pairs = None
    if method == "entropy":
        w = base.copy()
        w[~treated] = entropy_weights(names, x, treated, base)
        estimand = "treated"
    elif method == "overlap":
        w = overlap_weights(names, x, treated, base)
        estimand = "overlap population"
    else:
        w, links = nearest_weights(names, x, treated, base, groups, distance, neighbours, replace, caliper)
        unit_names = design.unit_labels[labels]
        pairs = pd.DataFrame(links, columns=["treated", "control", "distance", "rank"])
        alone = unit_names[treated & (w == 0)]
        if len(alone):
            note = f"{len(alone)} treated units have no match: {first_of(alone)}"
            caution(
                note,
                DesignWarning,
            )
            notes.append(note)
            gone = pd.DataFrame({design.unit_name: alone, "reason": "no control within the caliper and exact columns"})
            left_out = pd.concat([left_out, gone], ignore_index=True)
        for side in ("treated", "control"):
            pairs[side] = unit_names[pairs[side]]
        estimand = "matched treated" if len(alone) else "treated"
    index = pd.Index(design.unit_labels[labels], name=design.unit_name)
    kish = lambda v: float(v.sum() ** 2 / (v**2).sum())
    return Balance(
        method=method,
        estimand=estimand,
        weights=pd.Series(w, index=index, name="balance_weight"),
        table=_table(names, x, treated, base, w),
        pairs=pairs,
        effective_n={"treated": kish(w[treated]), "control": kish(w[~treated])},
        left_out=left_out,
        notes=tuple(notes),
    )


@documented(**FEATURES)
def match(data: Data, variables: Sequence[str], **options: Any) -> Balance:
    """Nearest-neighbour matching: :func:`balance_weights` with ``method="nearest"``.

    Parameters
    ----------
    options
        Any other argument of :func:`balance_weights`.
    """
    return balance_weights(data, variables, method="nearest", **options)


@documented(**FEATURES)
def balance_table(
    data: Data,
    variables: Sequence[str],
    *,
    on: Kind | Sequence[Kind] | Mapping[str, Kind | Sequence[Kind]] = "levels",
    periods: tuple[Any, Any] | None = None,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    weights: str | None = None,
) -> pd.DataFrame:
    """Return means of treated and control units before treatment, without and with ``weights``.

    One row per feature: ``mean_treated``, ``mean_control``, ``std_diff`` (difference over the root of the average of
    the two groups' variances), ``variance_ratio``, and the same with weights (``…_weighted``; the standardised
    difference keeps the unweighted denominator, so that it only changes because the means do).
    """
    found = read_features(
        data,
        variables,
        on,
        periods,
        unit=unit,
        time=time,
        cohort=cohort,
        treatment=treatment,
        weights=weights,
        exact=(),
    )
    return _table(found.names, found.x, found.treated, np.ones(len(found.x)), found.base)


def entropy_weights(names: Sequence[str], x: np.ndarray, treated: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Return control weights q exp(x'λ) whose feature means are the treated's; they add up to the treated's weight.

    ``x`` is units × features. Newton's method on the convex dual, to 1e-12 of a standard deviation.
    """
    goal = np.average(x[treated], axis=0, weights=base[treated])
    scale = x[~treated].std(axis=0)
    z = (x[~treated] - goal) / scale
    q = base[~treated] / base[~treated].sum()
    reach = (z.min(0) > 0) | (z.max(0) < 0)
    if reach.any():
        raise IdentificationError(_no_overlap([n for n, r in zip(names, reach) if r]))
    lam = np.zeros(z.shape[1])

    def dual(v: np.ndarray) -> float:
        index = z @ v
        top = index.max()
        return float(top + np.log(q @ np.exp(index - top)))

    for _ in range(200):
        index = z @ lam
        w = q * np.exp(index - index.max())
        w /= w.sum()
        gradient = w @ z
        if np.abs(gradient).max() < 1e-13:
            break
        hessian = (z * w[:, None]).T @ z - np.outer(gradient, gradient)
        try:
            step = -np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            break
        size, value = 1.0, dual(lam)
        while size > 1e-10 and dual(lam + size * step) > value + 1e-4 * size * float(gradient @ step) + 1e-15:
            size /= 2
        lam = lam + size * step
    if np.abs(gradient).max() > 1e-9:
        raise IdentificationError(_no_overlap(_unreachable(names, z)))
    return w * base[treated].sum()


def overlap_weights(names: Sequence[str], x: np.ndarray, treated: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Return overlap weights: base × (1 − p) for the treated and base × p for controls, p a logit of the features."""
    return base * np.where(treated, 1 - (p := propensity(names, x, treated, base)), p)


def propensity(names: Sequence[str], x: np.ndarray, treated: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Return the fitted probability of treatment of a logit on the (standardised) features."""
    z = (x - x.mean(0)) / x.std(0)
    rows = np.vstack([np.ones(len(z)), z.T])
    coef, _, separated = logit(rows, treated.astype(float), base)
    if separated:
        apart = (x[treated].min(0) > x[~treated].max(0)) | (x[treated].max(0) < x[~treated].min(0))
        told = [n for n, a in zip(names, apart) if a] or list(names)
        raise IdentificationError(
            f"no overlap: treated and controls are told apart by {', '.join(told)}. Leave one out, coarsen it, or use "
            'method="nearest" with a caliper'
        )
    return 1 / (1 + np.exp(-(coef @ rows)))


def nearest_weights(
    names: Sequence[str],
    x: np.ndarray,
    treated: np.ndarray,
    base: np.ndarray,
    groups: np.ndarray,
    distance: str,
    neighbours: int,
    replace: bool,
    caliper: float | None,
) -> tuple[np.ndarray, list[tuple[int, int, float, int]]]:
    """Return weights and the links (treated, control, distance, rank); ties go to the first unit in label order."""
    t, c = np.flatnonzero(treated), np.flatnonzero(~treated)
    if distance == "propensity":
        p = propensity(names, x, treated, base)
        index = np.log(p / (1 - p))
        index = index / np.sqrt((index[t].var() + index[c].var()) / 2)
        gap = np.abs(index[t][:, None] - index[c][None, :])
    elif distance == "mahalanobis":
        root = np.linalg.cholesky(np.linalg.inv(np.atleast_2d(np.cov(x.T))))
        z = x @ root
        gap = np.sqrt(np.maximum(((z[t][:, None, :] - z[c][None, :, :]) ** 2).sum(2), 0))
    else:
        raise DesignError(f"distance={distance!r}: choose 'mahalanobis' or 'propensity'")
    gap = np.round(gap, 10)
    allowed = groups[t][:, None] == groups[c][None, :]
    if caliper is not None:
        allowed &= gap <= caliper
    if not allowed.any():
        worst = np.argsort(-np.abs((x[t].mean(0) - x[c].mean(0)) / x.std(0)))[:3]
        raise IdentificationError(
            f"no overlap: no treated unit has a control within the caliper {caliper} and the exact columns; the groups "
            f"are furthest apart in {', '.join(names[k] for k in worst)}"
        )
    links: list[tuple[int, int, float, int]] = []
    if replace:
        for i in range(len(t)):
            candidates = np.flatnonzero(allowed[i])
            near = gap[i, candidates]
            if len(near) > neighbours:  # sort only those that can be chosen, ties at the edge among them
                within = near <= np.partition(near, neighbours - 1)[neighbours - 1]
                candidates, near = candidates[within], near[within]
            best = candidates[np.argsort(near, kind="stable")[:neighbours]]
            links += [(int(t[i]), int(c[j]), float(gap[i, j]), r + 1) for r, j in enumerate(best)]
    else:
        if len(c) < neighbours * len(t):
            raise DesignError(f"{len(t)} treated need {neighbours * len(t)} different controls; there are {len(c)}")
        far = 1e6 * (gap.max() + 1)
        cost = np.repeat(np.where(allowed, gap, far), neighbours, axis=0)
        rows, columns = optimize.linear_sum_assignment(cost)
        chosen = [(int(r // neighbours), int(j)) for r, j in zip(rows, columns) if cost[r, j] < far]
        for i in range(len(t)):
            mine = sorted((gap[i, j], j) for r, j in chosen if r == i)
            links += [(int(t[i]), int(c[j]), float(d), n + 1) for n, (d, j) in enumerate(mine)]
    w = np.zeros(len(x))
    found = np.bincount([k[0] for k in links], minlength=len(x))
    for i, j, _, _ in links:
        w[i] = base[i]
        w[j] += base[i] / found[i]
    return w, links


def _independent(names: Sequence[str], x: np.ndarray, size: np.ndarray) -> None:
    """Refuse features that do not vary or are combinations of earlier ones, by name."""
    still = [n for n, s, most in zip(names, x.std(0), size) if s <= 1e-12 * most]
    if still:
        raise DesignError(f"features do not vary over units: {', '.join(still)}. Drop them from variables or on=")
    z = (x - x.mean(0)) / x.std(0)
    r = np.abs(np.diag(np.linalg.qr(z, mode="r"))) / np.sqrt(len(z))
    if len(z) <= z.shape[1] or (r < 1e-7).any():
        bad = [n for n, s in zip(names, r) if s < 1e-7] or list(names[len(z) - 1 :])
        raise DesignError(f"features are combinations of the ones before them: {', '.join(bad)}. Drop them")


def _unreachable(names: Sequence[str], z: np.ndarray) -> list[str]:
    """Features whose treated mean no weighting of the controls reaches (smallest total miss, by linear programming)."""
    n, p = z.shape
    cost = np.r_[np.zeros(n), np.ones(2 * p)]
    equal = np.vstack([np.hstack([z.T, np.eye(p), -np.eye(p)]), np.r_[np.ones(n), np.zeros(2 * p)]])
    solved = optimize.linprog(cost, A_eq=equal, b_eq=np.r_[np.zeros(p), 1.0], bounds=(0, None), method="highs")
    miss = solved.x[n : n + p] + solved.x[n + p :]
    return [m for m, v in zip(names, miss) if v > 1e-9] or list(names)


def _no_overlap(names: Sequence[str]) -> str:
    return (
        f"no overlap: no weighting of the controls reaches the treated mean of {', '.join(names)}. Leave one out, "
        'balance fewer moments, or use method="overlap"'
    )


def _table(names: Sequence[str], x: np.ndarray, treated: np.ndarray, base: np.ndarray, w: np.ndarray) -> pd.DataFrame:
    """Means, standardised differences and variance ratios without and with weights."""

    def moments(v: np.ndarray, on: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = np.average(x[on], axis=0, weights=v[on])
        return mean, np.average((x[on] - mean) ** 2, axis=0, weights=v[on])

    m1, v1 = moments(base, treated)
    m0, v0 = moments(base, ~treated)
    k1, s1 = moments(w, treated)
    k0, s0 = moments(w, ~treated)
    spread = np.sqrt((v1 + v0) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = {
            "mean_treated": m1,
            "mean_control": m0,
            "std_diff": (m1 - m0) / spread,
            "variance_ratio": v1 / v0,
            "mean_treated_weighted": k1,
            "mean_control_weighted": k0,
            "std_diff_weighted": (k1 - k0) / spread,
            "variance_ratio_weighted": s1 / s0,
        }
    return pd.DataFrame(columns, index=pd.Index(names, name="feature"))
