"""What a design could have detected: analytic smallest detectable effects, and power by simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import optimize, stats

from g287stats.arguments import documented
from g287stats.design.keys import Data
from g287stats.errors import DesignError, G287Error, choose
from g287stats.estimate.estimate import Estimate, reference_distribution
from g287stats.inference.assignment import by_group, random_arrangements, strata_of
from g287stats.inference.exchange import read_treatments
from g287stats.inference.target import scalar
from g287stats.shown import Shown


def rejection_probability(effect: float, se: float, df: float = np.inf, alpha: float = 0.05) -> float:
    """Probability that a two-sided test at level ``alpha`` rejects zero when the true effect is ``effect``.

    Noncentral t with ``df`` degrees of freedom (normal when infinite), both tails counted.
    """
    c = float(reference_distribution(df).ppf(1 - alpha / 2))
    shift = abs(effect) / se
    if not np.isfinite(df):
        return float(stats.norm.sf(c - shift) + stats.norm.cdf(-c - shift))
    near, far = stats.nct.cdf(c, df, shift), stats.nct.cdf(-c, df, shift)
    return float(1 - near + (far if np.isfinite(far) else 0.0))


@dataclass(frozen=True)
class DetectableEffect(Shown):
    """Smallest detectable effect of a two-sided test, in units of the outcome.

    ``exact`` solves the power function (noncentral t, both tails); ``two_quantiles`` is the textbook
    (q(1 − alpha/2) + q(power)) · se.
    """

    term: str
    outcome: str
    estimate: float
    std_error: float
    df: float
    power: float
    alpha: float
    exact: float
    two_quantiles: float

    @property
    def sentence(self) -> str:
        """The sentence to write beside a null."""
        return (
            f"The design would have detected an effect of ±{self.exact:.4g} on {self.outcome} with "
            f"probability {100 * self.power:.0f} % (two-sided test at {100 * self.alpha:.0f} %, "
            f"standard error {self.std_error:.4g})."
        )

    def power_at(self, effect: float) -> float:
        """Power against a true effect of ``effect``."""
        return rejection_probability(effect, self.std_error, self.df, self.alpha)

    def _words(self) -> str:
        return self.sentence


@documented()
def minimum_detectable_effect(
    est: Estimate, *, power: float = 0.8, alpha: float = 0.05, term: str | None = None
) -> DetectableEffect:
    """Smallest effect that the design behind ``est`` detects with probability ``power``.

    Uses the standard error and degrees of freedom of the estimate, not the estimate itself: it describes the
    design. With few treated counties the standard error may itself be wrong; see :func:`power_simulation`.

    Parameters
    ----------
    power
        Probability of rejecting no effect at that effect.

    References
    ----------
    Bloom, H. S. (1995). Minimum detectable effects. Evaluation Review 19, 547–556.
    """
    if not (0 < alpha < 1 and alpha < power < 1):
        raise DesignError(f"need 0 < alpha < power < 1; got alpha={alpha}, power={power}")
    s = scalar(est, term)
    dist = reference_distribution(s.df)
    quantiles = float(dist.ppf(1 - alpha / 2) + dist.ppf(power))

    def gap(multiple: float) -> float:
        return rejection_probability(multiple, 1.0, s.df, alpha) - power

    upper = max(1.5 * quantiles, 1.0)
    while gap(upper) < 0:
        upper *= 2
    exact = optimize.brentq(gap, 0.0, upper, xtol=1e-14, rtol=1e-13)
    return DetectableEffect(
        s.term, s.outcome, s.estimate, s.std_error, s.df, power, alpha, exact * s.std_error, quantiles * s.std_error
    )


@dataclass(frozen=True)
class PowerSimulation(Shown):
    """Rejection rates of an estimator on the user's own panel with planted effects.

    Attributes
    ----------
    frame
        One row per planted effect: ``effect``, ``power`` (share of draws rejected), ``mc_se`` (its simulation
        error), ``mean_estimate``, ``sd_estimate``, ``n_draws`` that succeeded. The row of effect 0 is the size.
    detectable
        Smallest positive effect detected with probability ``target``, by linear interpolation between planted
        effects; missing when the largest planted effect does not reach it.
    assign_by, n_treated, n_units
        Level that treatments are handed out at, how many groups of it are treated in each draw, and among how many
        (units, where assignment is by unit).
    failures
        Draws in which the estimator raised an error: ``draw``, ``effect``, ``message``.
    """

    frame: pd.DataFrame
    detectable: float
    target: float
    alpha: float
    assign_by: str
    n_treated: int
    n_units: int
    draws: int
    seed: int
    failures: pd.DataFrame = field(repr=False)

    def _table(self) -> pd.DataFrame:
        return self.frame

    def _words(self) -> str:
        found = "not reached" if np.isnan(self.detectable) else f"{self.detectable:.4g}"
        lines = [
            f"simulated power, {self.n_treated} of {self.n_units} {self.assign_by!r} treated, {self.draws} draws; "
            f"detected with probability {self.target:g}: {found}",
        ]
        if len(self.failures):
            lines.append(f"{len(self.failures)} runs failed, first: {self.failures['message'].iloc[0]}")
        return "\n".join(lines)


@documented()
def power_simulation(
    data: Data,
    estimator: Callable[[pd.DataFrame], Any],
    effects: Sequence[float],
    *,
    outcome: str,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
    units: Literal["never", "all"] = "never",
    scale: Literal["additive", "relative"] = "additive",
    assign_by: str | None = None,
    within: str | None = None,
    draws: int = 200,
    alpha: float = 0.05,
    target: float = 0.8,
    seed: int = 287,
) -> PowerSimulation:
    """Power of an estimator on the user's own panel.

    In each draw the treatments that occurred are handed to random units, or whole groups of units, an effect is added
    to their outcomes while they are treated, and the estimator is run. The same assignments serve every effect.

    Parameters
    ----------
    data
        A DataFrame (keys named) or a ``CountyPanel``; never-treated units have a cohort that is missing, 0 or infinite.
    estimator
        Callable from a frame to an Estimate with one parameter (its p-value decides) or to a result with
        ``.p_value`` and ``.estimate`` (wild bootstrap, randomisation test, Conley–Taber …).
    effects
        Planted effects, in units of the outcome, or as a share of it with ``scale="relative"``. Zero is added.
    cohort, treatment
        The column that the estimator reads, or both columns. Of a ``treatment`` whole paths are handed out, and the
        effect is planted where it is not zero.
    scale
        ``additive``: planted effects in units of the outcome; ``relative``: as a share of it.
    target
        Power whose effect ``detectable`` names.
    units
        ``never``: only never-treated units enter, so that no true effect is in the data. ``all``: every unit, the
        treated ones with their outcomes as they are (the sharp null taken as true).
    assign_by
        Column with the level at which treatment was given, which effects are planted at. Default: the cluster level of
        the estimate when all units of every cluster have the same treatment (the estimator is run once on the data to
        see it), otherwise the unit.
    within
        Column, constant within units, inside whose levels treatments are exchanged (``units="all"`` only).

    Raises
    ------
    DesignError
        When never-treated units (or groups) are fewer than twice the treated, a column is absent, a cohort changes
        within units, every run failed, or no assignment changes the estimate, whose estimator then reads another
        column.

    References
    ----------
    Black, B., Hollingsworth, A., Nunes, L. and Simon, K. (2022). Simulated power analyses for observational
    studies. Journal of Public Economics 213, 104713.
    """
    choose("units", units, ("never", "all"))
    choose("scale", scale, ("additive", "relative"))
    if within is not None and units == "never":
        raise DesignError('within= exchanges the cohorts of all units: use it with units="all"')
    also = (outcome, None if assign_by == "unit" else assign_by, within)
    who = read_treatments(data, "power simulation", unit=unit, time=time, cohort=cohort, treatment=treatment, also=also)
    try:
        seen = estimator(who.frame)
    except G287Error:  # what it cannot do is counted in the draws
        seen = None
    level, group, _ = who.level(assign_by, seen)
    kinds = by_group(who.kinds, group)
    strata = None if within is None else strata_of(within, who.fixed("within", within)[0], group, kinds, level)
    n_treated = int((kinds > 0).sum())
    group_of_row = group[who.code]
    rows = np.arange(len(who.frame))
    pool = kinds
    if units == "never":
        free = np.flatnonzero(kinds == 0)
        if len(free) < 2 * n_treated:
            raise DesignError(
                f"{len(free)} never-treated {level!r} cannot stand in for {n_treated} treated and their controls; "
                'use units="all", which takes the sharp null as true'
            )
        rows = np.flatnonzero(kinds[group_of_row] == 0)
        group_of_row = np.searchsorted(free, group_of_row[rows])
        pool = np.r_[kinds[kinds > 0], np.zeros(len(free) - n_treated, dtype=np.int64)]
    frame = who.frame.iloc[rows]
    planted = sorted({0.0, *map(float, effects)})

    def runs() -> Iterator[tuple[int, float, float, float, str]]:
        draw = 0
        for batch in random_arrangements(pool, draws, seed, strata):
            for assignment in batch:
                kind = assignment[group_of_row]
                on = who.on(kind, rows)
                changed = frame.assign(**who.given(kind, rows))
                for effect in planted:
                    y = frame[outcome] * (1 + effect * on) if scale == "relative" else frame[outcome] + effect * on
                    try:
                        p, b = _p_and_estimate(estimator(changed.assign(**{outcome: y})))
                        yield draw, effect, p, b, ""
                    except G287Error as error:
                        yield draw, effect, np.nan, np.nan, str(error)
                draw += 1

    from tqdm import tqdm

    bar = tqdm(runs(), total=draws * len(planted), desc="power", unit="run", disable=None)
    table = pd.DataFrame(list(bar), columns=["draw", "effect", "p_value", "estimate", "message"])
    failures = table.loc[table["message"] != "", ["draw", "effect", "message"]].reset_index(drop=True)
    good = table[table["message"] == ""]
    if good.empty:
        raise DesignError(
            f"the estimator failed in every run, in which {' and '.join(map(repr, who.columns))} changed: "
            f"{failures['message'].iloc[0]}"
        )
    at_zero = good.loc[good["effect"] == 0, "estimate"]
    if len(at_zero) > 1 and at_zero.nunique() == 1 and len(np.unique(pool)) > 1:
        who.refuse_unread("every assignment", float(at_zero.iloc[0]))
    lines = []
    for effect, part in good.groupby("effect", sort=True):
        share = float((part["p_value"] < alpha).mean())
        error = np.sqrt(share * (1 - share) / len(part))
        lines.append((effect, share, error, part["estimate"].mean(), part["estimate"].std(), len(part)))
    names = ["effect", "power", "mc_se", "mean_estimate", "sd_estimate", "n_draws"]
    out = pd.DataFrame(lines, columns=names)
    return PowerSimulation(
        frame=out,
        detectable=_crossing(out, target),
        target=target,
        alpha=alpha,
        assign_by=level,
        n_treated=n_treated,
        n_units=len(pool),
        draws=draws,
        seed=seed,
        failures=failures,
    )


def _p_and_estimate(result: Any) -> tuple[float, float]:
    if isinstance(result, Estimate):
        s = scalar(result)
        return float(2 * reference_distribution(s.df).sf(abs(s.estimate / s.std_error))), s.estimate
    return float(result.p_value), float(result.estimate)


def _crossing(frame: pd.DataFrame, target: float) -> float:
    """Smallest positive effect with the target power, by linear interpolation."""
    part = frame[frame["effect"] >= 0]
    x, y = part["effect"].to_numpy(), part["power"].to_numpy()
    above = np.flatnonzero(y >= target)
    if len(above) == 0 or above[0] == 0:
        return np.nan
    j = above[0]
    return float(x[j - 1] + (target - y[j - 1]) * (x[j] - x[j - 1]) / (y[j] - y[j - 1]))
