"""Similar units: weights that balance what was measured before treatment, and tables that show it.

Three steps, each visible: features of units in a stated window before treatment (:func:`_features`), weights from
features (:func:`entropy_weights`, :func:`overlap_weights`, :func:`nearest_weights`), balance before and after. The
weights feed any estimator as a column: ``b = g.balance_weights(…)``, then ``g.att_gt(b.attach(panel), …,
weights="balance_weight")``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize

from g287stats.did.coding import whole
from g287stats.did.design import NEVER, Design, prepare
from g287stats.did.wide import UNDATED, matrix, place_of, quiet_prepare, unit_weights
from g287stats.errors import DesignError, DesignWarning, IdentificationError
from g287stats.inference.shown import Shown
from g287stats.numerics.glm import logit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Kind = Literal["levels", "growth", "trends"]
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

    def attach(self, data: Any, name: str = "balance_weight") -> pd.DataFrame:
        """Return the rows of weighted units with their weight in column ``name``; units with weight zero leave."""
        frame = data if isinstance(data, pd.DataFrame) else data.frame
        key = str(self.weights.index.name)
        if key not in frame:
            raise DesignError(f"column {key!r} of the units is not in the frame")
        if name in frame:
            raise DesignError(f"column {name!r} is already in the frame; choose another name=")
        out = frame.assign(**{name: frame[key].map(self.weights)})
        return out[out[name] > 0].copy()

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


def balance_weights(
    data: Any,
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
    variables
        Columns to balance; they may be missing outside the window.
    on
        What about them, for all or by variable (a mapping): ``levels`` the mean over the window; ``growth`` the slope
        of a straight line through the window, per period; ``trends`` the value in every period of the window.
    periods
        First and last period of the window, both included. Default: all periods before anyone's treatment. Units
        treated within the window are left out and listed.
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
    keys = {"unit": unit, "time": time, "cohort": cohort, "treatment": treatment, "weights": weights}
    design, names, x, treated, labels, base, groups, left_out, notes = _features(
        data, variables, on, periods, keys, exact
    )
    _independent(names, x)
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
            note = f"{len(alone)} treated units have no match: {', '.join(map(str, alone[:8]))}"
            warnings.warn(note, DesignWarning, stacklevel=2)
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


def match(data: Any, variables: Sequence[str], **options: Any) -> Balance:
    """Nearest-neighbour matching: :func:`balance_weights` with ``method="nearest"``; same arguments."""
    return balance_weights(data, variables, method="nearest", **options)


def balance_table(
    data: Any,
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
    difference keeps the unweighted denominator, so that it only changes because the means do). Arguments as
    :func:`balance_weights`.
    """
    keys = {"unit": unit, "time": time, "cohort": cohort, "treatment": treatment, "weights": weights}
    found = _features(data, variables, on, periods, keys, ())
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


class _Features(NamedTuple):
    """Units that can be balanced: their codes ``labels`` in ``design``, features (units × p), base weights …"""

    design: Design
    names: list[str]
    x: np.ndarray
    treated: np.ndarray
    labels: np.ndarray
    base: np.ndarray
    groups: np.ndarray
    left_out: pd.DataFrame
    notes: list[str]


def _features(
    data: Any,
    variables: Sequence[str],
    on: Kind | Sequence[Kind] | Mapping[str, Kind | Sequence[Kind]],
    periods: tuple[Any, Any] | None,
    keys: Mapping[str, str | None],
    exact: Sequence[str],
) -> _Features:
    """Read who is treated when from all rows of the frame, and each feature from the rows that have its variable."""
    variables = [variables] if isinstance(variables, str) else list(variables)
    if not variables:
        raise DesignError("name the variables to balance")
    frame, keys = _rows(data, keys)
    every = next(name for k in range(len(frame.columns) + 1) if (name := f"balance{k or ''}") not in frame.columns)
    frame = frame.assign(**{every: 1.0})
    weights = keys.pop("weights")
    design = prepare(frame, every, clustered=False, **keys)  # type: ignore[arg-type]
    notes = list(design.notes)
    for reason, rows, units, _ in design.flow.steps:
        notes.append(f"{reason} in {rows} rows of {units} units, whose treatment is read from their other rows")
        warnings.warn(notes[-1], DesignWarning, stacklevel=4)
    cohort = design.cohort if design.treatment is None else _first_treated(design)
    t = design.n_periods
    starts = cohort[(cohort > 0) & (cohort < t)]
    if not len(starts):
        raise IdentificationError("no unit starts treatment inside the panel")
    first, last = (0, int(starts.min()) - 1) if periods is None else (_position(design, p) for p in periods)
    if first > last:
        raise DesignError(f"periods={periods}: the first comes after the last")
    early = cohort <= last
    reasons = np.where(early, f"treated by {design.calendar[last]}", "").astype(object)
    columns: list[np.ndarray] = []
    names: list[str] = []
    levels = _matrices(frame, design, variables)[:, :, first : last + 1]
    window = f"{design.calendar[first]} to {design.calendar[last]}"
    lacks: list[list[str]] = [[] for _ in range(design.n_units)]
    for n, variable in enumerate(variables):
        before = len(columns)
        kinds = on.get(variable, ()) if isinstance(on, Mapping) else on
        kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        if not kinds or any(k not in ("levels", "growth", "trends") for k in kinds):
            raise DesignError(f"on={kinds!r} for {variable!r}: choose from 'levels', 'growth', 'trends'")
        there = ~np.isnan(levels[n]).all(axis=0)
        if not there.any():
            raise DesignError(f"{variable!r} is not observed in the window {window}: choose periods=")
        value, clock = levels[n][:, there], first + np.flatnonzero(there)
        seen = ~np.isnan(value)
        count = seen.sum(1)
        filled = np.where(seen, value, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = filled.sum(1) / count
            if "levels" in kinds:
                columns.append(mean)
                names.append(variable)
            if "growth" in kinds:
                centre = np.where(seen, clock - (seen * clock).sum(1, keepdims=True) / count[:, None], 0.0)
                columns.append((centre * filled).sum(1) / (centre**2).sum(1))
                names.append(f"{variable} growth")
            if "trends" in kinds:
                columns += list(value.T)
                names += [f"{variable} {design.calendar[int(p)]}" for p in clock]
        for i in np.flatnonzero(np.isnan(np.column_stack(columns[before:])).any(1)):
            lacks[i].append(variable)
    for i in np.flatnonzero(reasons == ""):
        if lacks[i]:
            reasons[i] = f"not observed enough in the window {window}: {', '.join(lacks[i])}"
    x = np.column_stack(columns)
    base = np.ones(design.n_units)
    if weights:
        seen = quiet_prepare(frame, every, unit=design.unit_name, time=design.time_name, weights=weights)
        base = _at_units(design, seen, unit_weights(seen, notes))
        reasons[np.isnan(base) & (reasons == "")] = f"missing {weights}"
    groups = np.zeros(design.n_units, dtype=int)
    for column in exact:
        seen = quiet_prepare(frame, every, unit=design.unit_name, time=design.time_name, cluster=(column,))
        codes = seen.unit_level(column)
        if codes is None:
            raise DesignError(f"exact column {column!r} changes within units")
        of_unit = _at_units(design, seen, codes)
        reasons[np.isnan(of_unit) & (reasons == "")] = f"missing {column}"
        pairs = np.column_stack([groups, np.nan_to_num(of_unit, nan=-1).astype(int)])
        groups = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    kept = np.flatnonzero(reasons == "")
    gone = np.flatnonzero(reasons != "")
    left_out = pd.DataFrame({design.unit_name: design.unit_labels[gone], "reason": reasons[gone]})
    unknown = pd.Index(frame[design.unit_name].unique()).difference(design.unit_labels)
    if len(unknown):
        bare = pd.DataFrame({design.unit_name: unknown, "reason": f"missing {keys['treatment']} in every row"})
        left_out = pd.concat([left_out, bare], ignore_index=True)
    if len(left_out):
        listed = ", ".join(map(str, left_out[design.unit_name][:8]))
        more = f", … {len(left_out) - 8} more" if len(left_out) > 8 else ""
        note = f"{len(left_out)} units are left out of balancing (see .left_out): {listed}{more}"
        warnings.warn(note, DesignWarning, stacklevel=3)
        notes.append(note)
    treated = cohort[kept] < t
    if not treated.any() or treated.all():
        raise IdentificationError(
            f"after leaving out {len(left_out)} units no {'treated' if not treated.any() else 'control'} is left"
        )
    return _Features(design, names, x[kept], treated, kept, base[kept], groups[kept], left_out, notes)


def _rows(data: Any, keys: Mapping[str, str | None]) -> tuple[pd.DataFrame, dict[str, str | None]]:
    """Return the frame of a panel, and the keys with the panel's own where none is given."""
    if isinstance(data, pd.DataFrame):
        return data, dict(keys)
    frame = getattr(data, "frame", None)
    if not isinstance(frame, pd.DataFrame):
        raise DesignError(f"data is a {type(data).__name__}: give a pandas DataFrame or a CountyPanel")
    own = {key: keys[key] or getattr(data, key, None) for key in ("unit", "time")}
    cohort = keys["cohort"] or (None if keys["treatment"] else "cohort")
    return frame, {**keys, **own, "cohort": cohort}


def _first_treated(design: Design) -> np.ndarray:
    """First position with treatment by unit, (N,); treated before the panel when never seen otherwise."""
    status = matrix(design, design.treatment)
    on = status > 0
    first = np.where(on.any(1), on.argmax(1), NEVER)
    return np.where(first == (~np.isnan(status)).argmax(1), UNDATED, first)


def _matrices(frame: pd.DataFrame, design: Design, variables: Sequence[str]) -> np.ndarray:
    """Variables × units × periods of the design, NaN where missing; the problems of all variables in one message."""
    out = np.full((len(variables), design.n_units, design.n_periods), np.nan)
    problems = []
    for values, variable in zip(out, variables):
        try:
            seen = quiet_prepare(frame, variable, unit=design.unit_name, time=design.time_name)
        except DesignError as problem:
            problems.append(str(problem))
            continue
        unit = design.unit_labels.get_indexer(seen.unit_labels)[seen.unit]
        time = seen.time + place_of(design, seen)
        inside = (unit >= 0) & (time >= 0) & (time < design.n_periods)
        values[unit[inside], time[inside]] = seen.y[inside]
    if problems:
        raise DesignError("\n".join(problems))
    return out


def _at_units(design: Design, seen: Design, values: np.ndarray) -> np.ndarray:
    """Values by unit of another reading of the frame, as numbers by unit of the design (NaN: not there)."""
    place = seen.unit_labels.get_indexer(design.unit_labels)
    return np.where(place >= 0, values[place].astype(float), np.nan)


def _position(design: Design, label: Any) -> int:
    """Calendar position of a period label."""
    where = np.flatnonzero(design.calendar == label)
    if not len(where):
        raise DesignError(f"period {label!r} is not on the calendar {design.calendar[0]} … {design.calendar[-1]}")
    return int(where[0])


def _independent(names: Sequence[str], x: np.ndarray) -> None:
    """Refuse features that do not vary or are combinations of earlier ones, by name."""
    still = [n for n, s in zip(names, x.std(0)) if s <= 1e-12 * (1 + np.abs(x).max())]
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
