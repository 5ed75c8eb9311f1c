"""Every defensible specification in one call, with inference for all of them together.

Simonsohn, Simmons and Nelson (2020) ask three questions of a set of specifications: what is the median estimate, what
share is significant in the dominant direction, and are all of them together distinguishable from no effect? Their null
distribution permutes the data and refits; here it comes from multiplier draws of the joint influence functions, which
know how the estimates move together and cost no refit.
"""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from g287stats.arguments import documented
from g287stats.design.keys import Data, frame_of
from g287stats.errors import DesignError, G287Error
from g287stats.estimate.bootstrap import null_draws, sup_t
from g287stats.estimate.estimate import Estimate, reference_distribution
from g287stats.flow import holding
from g287stats.inference.multiplicity import _level, joint, romano_wolf
from g287stats.inference.target import unit_labels
from g287stats.shown import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Estimator = Callable[..., Estimate]
Specifications = list[tuple[int, tuple[str, ...], Estimate]]


@dataclass(frozen=True)
class SpecificationCurve(Shown):
    """Estimates of all specifications and their joint inference.

    Attributes
    ----------
    frame
        One row per specification, in order of the estimate: ``rank``, ``spec`` (number in the order given), one
        column per choice (``outcome``, ``estimator``, ``sample``, and those of ``choices``), ``estimate``,
        ``std_error``, ``statistic``, ``p_value``, ``conf_low``, ``conf_high``, ``p_value_romano_wolf``, ``band_low``,
        ``band_high`` (simultaneous), ``n_units``, ``n_obs``, ``preferred``.
    tests
        Joint tests of no effect anywhere: ``test``, ``statistic``, ``p_value``.
    estimate
        The joint estimate, parameters named by specification number.
    failed
        Specifications whose estimator raised an error, with the message, and those that cannot be joined with the
        others (no clustering by one level, another level than most), with their estimate and the reason.
    skipped
        Combinations an estimator does not take, with the reason.
    notes
        Warnings of the estimators, counted: ``message``, ``n``.
    dimensions
        The columns of ``frame`` that are choices.
    """

    frame: pd.DataFrame
    tests: pd.DataFrame
    estimate: Estimate
    failed: pd.DataFrame
    skipped: pd.DataFrame
    notes: pd.DataFrame
    dimensions: tuple[str, ...]
    level: float
    draws: int
    seed: int
    estimates: tuple[Estimate, ...] = field(repr=False, default=())

    @property
    def sentence(self) -> str:
        """The sentence to write."""
        f = self.frame
        low, high = f["estimate"].iloc[0], f["estimate"].iloc[-1]
        share = (f["p_value"] < 1 - self.level).mean()
        left = len(self.failed) + len(self.skipped)
        rest = f" ({left} more failed or do not apply)" if left else ""
        together = self.tests.set_index("test")["p_value"]
        return (
            f"{len(f)} specifications{rest}: estimates from {low:.4g} to {high:.4g}, "
            f"median {f['estimate'].median():.4g}; "
            f"{100 * share:.0f} % significant at {100 * (1 - self.level):g} %, "
            f"{100 * (f['p_value_romano_wolf'] < 1 - self.level).mean():.0f} % after correction; "
            f"no effect in any: p = {together['average z']:.3g}."
        )

    def plot(self, *, width: float = 9.0) -> Figure:
        """Estimates in order above the choices that make them; returns the matplotlib figure."""
        from g287stats.inference.plots import plot_specification_curve

        return plot_specification_curve(self.frame, self.dimensions, level=self.level, width=width)

    def _words(self) -> str:
        if self.failed.empty:
            return self.sentence
        first = self.failed.iloc[0]
        what = ", ".join(str(first[d]) for d in self.dimensions)
        return f"{self.sentence}\n{len(self.failed)} failed, see .failed; first ({what}): {first['message']}"

    def _table(self) -> pd.DataFrame:
        return self.frame


@documented()
def specification_curve(
    data: Data,
    outcome: str | Sequence[str],
    estimators: Mapping[str, Estimator] | Sequence[Estimator],
    *,
    samples: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame] | None] | None = None,
    choices: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
    summary: Callable[[Estimate], Estimate] | None = None,
    preferred: Mapping[str, str] | None = None,
    level: float = 0.95,
    draws: int = 9999,
    seed: int = 287,
    **keys: Any,
) -> SpecificationCurve:
    """Run the product of outcomes, estimators, samples and choices.

    Parameters
    ----------
    data
        A DataFrame or a ``CountyPanel``.
    outcome
        One column or several (of comparable units, or read the t statistics only).
    estimators
        Label → estimator: ``{"TWFE": g.twfe, "CS": g.att_gt}``.
    samples
        Label → function from frame to frame (None keeps all rows).
    choices
        Dimension → label → keyword arguments: ``{"weights": {"none": {}, "population": {"weights": "population"}}}``.
        A combination with an argument that an estimator does not take is skipped and listed.
    summary
        From an estimate to one parameter. Default: the only parameter, ``.overall`` when there is one, and the
        simple aggregate of cohort × time cells.
    preferred
        Labels of the preferred specification by dimension, marked in the frame: ``{"estimator": "CS", …}``.
    draws, seed
        Multiplier draws for the joint tests, Romano–Wolf p-values and the simultaneous band.
    keys
        Passed to every estimator (``unit=``, ``time=``, ``cohort=``, ``cluster=`` …).

    Raises
    ------
    DesignError
        When no specification can be estimated or joined. Errors of single specifications, of whatever kind, are
        collected in ``failed``, as are specifications that cannot be joined with the others; the curve and its joint
        inference are over the rest, and the count is in ``sentence``.

    References
    ----------
    Simonsohn, U., Simmons, J. and Nelson, L. (2020). Specification curve analysis. Nature Human Behaviour 4,
    1208–1214. Romano, J. and Wolf, M. (2005). Econometrica 73, 1237–1282.
    """
    outcomes = (outcome,) if isinstance(outcome, str) else tuple(outcome)
    if not isinstance(estimators, Mapping):
        estimators = {getattr(e, "__name__", str(e)): e for e in estimators}
    samples = samples or {"all": None}
    choices = choices or {}
    reserved = {"outcome", "estimator", "sample"} & set(choices)
    if reserved:
        raise DesignError(f"choices cannot be named {sorted(reserved)}")
    dimensions = ("outcome", "estimator", "sample", *choices)
    grid = list(itertools.product(outcomes, estimators, samples, *(choices[c] for c in choices)))
    if not grid:
        raise DesignError("no specification: outcomes, estimators, samples and choices must not be empty")
    frame = frame_of(data)
    drawn = {label: holding(data, how(frame)) if how else data for label, how in samples.items()}
    done: Specifications = []
    failed: list[tuple[Any, ...]] = []
    skipped = []
    said: dict[str, int] = {}
    raised: Exception | None = None
    from tqdm import tqdm

    for number, spec in enumerate(tqdm(grid, desc="specifications", unit="spec", disable=None)):
        estimator = estimators[spec[1]]
        arguments = dict(keys)
        for dimension, label in zip(choices, spec[3:]):
            arguments |= choices[dimension][label]
        unknown = _unknown(estimator, arguments)
        if unknown:
            skipped.append((number, *spec, f"{spec[1]} does not take {', '.join(unknown)}"))
            continue
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                result = (summary or _summary)(estimator(drawn[spec[2]], spec[0], **arguments))
            if len(result.point) != 1 or not np.isfinite(result.se.iloc[0]):
                raise DesignError(f"summary= must give one parameter with a standard error; got {len(result.point)}")
            done.append((number, spec, result))
        except Exception as error:
            raised = raised or error
            what = str(error) if isinstance(error, G287Error) else f"{type(error).__name__}: {error}"
            failed.append((number, *spec, what))
            continue
        for warning in caught:
            said[str(warning.message)] = said.get(str(warning.message), 0) + 1
    if not done:
        first = (failed or skipped)[0][-1]
        raise DesignError(f"none of {len(grid)} specifications could be estimated; first: {first}") from raised
    together, done, apart = _joined(done)
    failed = sorted([*failed, *apart], key=lambda row: row[0])
    columns = ["spec", *dimensions, "message"]
    return SpecificationCurve(
        frame=_frame(done, dimensions, together, preferred, level, draws, seed),
        tests=_tests(together, level, draws, seed),
        estimate=together,
        failed=pd.DataFrame(failed, columns=columns),
        skipped=pd.DataFrame(skipped, columns=columns),
        notes=pd.DataFrame(sorted(said.items()), columns=["message", "n"]),
        dimensions=dimensions,
        level=level,
        draws=draws,
        seed=seed,
        estimates=tuple(e for _, _, e in done),
    )


def _unknown(estimator: Estimator, arguments: Mapping[str, Any]) -> list[str]:
    """Arguments the estimator has no parameter for."""
    if not callable(estimator):
        raise DesignError(f"{estimator!r} is not an estimator: give the function, {{'twfe': g.twfe}}")
    parameters = inspect.signature(estimator).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return []
    return [a for a in arguments if a not in parameters]


def _summary(estimate: Estimate) -> Estimate:
    """The only parameter, the overall effect, or the simple aggregate."""
    if len(estimate.point) == 1:
        return estimate
    if estimate.overall is not None:
        return estimate.overall
    if estimate.cells is not None:
        return estimate.aggregate("simple")
    raise DesignError(f"{estimate.method.title} has {len(estimate.point)} parameters: pick one with summary=")


def _joined(done: Specifications) -> tuple[Estimate, Specifications, list[tuple[Any, ...]]]:
    """The joint estimate, the specifications in it, and a row of ``failed`` for each that cannot be joined.

    Those clustered at another level than most (the first such level, in a tie) stay apart.
    """
    try:
        return joint({str(n): e for n, _, e in done}), done, []
    except G287Error:
        pass
    apart: dict[int, str] = {}
    kinds: dict[int, tuple[str, str]] = {}
    for n, _, e in done:
        try:
            alone = joint({str(n): e})
            kinds[n] = (_level(str(n), alone, None), unit_labels(alone).inferred_type)
        except G287Error as error:
            apart[n] = str(error).removeprefix(f"{n}: ").removesuffix(" Pass cluster=")
    if not kinds:
        raise DesignError(f"none of {len(done)} specifications can be joined; first: {next(iter(apart.values()))}")
    (usual, count), *_ = Counter(kinds.values()).most_common()
    for n, kind in kinds.items():
        if kind != usual:
            what = f"clustered by {kind[0]!r}" if kind[0] != usual[0] else f"its unit labels are of type {kind[1]}"
            than = repr(usual[0]) if kind[0] != usual[0] else usual[1]
            apart[n] = f"{what}, not {than} like {count} of the specifications"
    rows = [
        (n, *spec, f"estimate {e.point[0]:.4g} (se {e.se.iloc[0]:.4g}) cannot be joined with the others: {apart[n]}")
        for n, spec, e in done
        if n in apart
    ]
    kept = [one for one in done if one[0] not in apart]
    return joint({str(n): e for n, _, e in kept}), kept, rows


def _frame(
    done: Specifications,
    dimensions: Sequence[str],
    together: Estimate,
    preferred: Mapping[str, str] | None,
    level: float,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    unknown = set(preferred or {}) - set(dimensions)
    if unknown:
        raise DesignError(f"preferred= names {sorted(unknown)}; dimensions are {list(dimensions)}")
    rows = []
    for number, spec, e in done:
        interval = e.conf_int(level).iloc[0]
        se = float(e.se.iloc[0])
        rows.append(
            {
                "spec": number,
                **dict(zip(dimensions, spec)),
                "estimate": float(e.point[0]),
                "std_error": se,
                "statistic": float(e.point[0]) / se,
                "p_value": float(e.p_values().iloc[0]),
                "conf_low": float(interval["conf_low"]),
                "conf_high": float(interval["conf_high"]),
                "n_units": e.sample.get("n_units"),
                "n_obs": e.sample.get("n_obs"),
            }
        )
    out = pd.DataFrame(rows)
    out["p_value_romano_wolf"] = romano_wolf(together, draws=draws, seed=seed)
    half = sup_t(together, level=level, draws=draws, seed=seed) * out["std_error"]
    out["band_low"], out["band_high"] = out["estimate"] - half, out["estimate"] + half
    chosen = np.full(len(out), bool(preferred))
    for dimension, label in (preferred or {}).items():
        chosen &= (out[dimension] == label).to_numpy()
    out["preferred"] = chosen
    out = out.sort_values(["estimate", "spec"], kind="stable").reset_index(drop=True)
    out.insert(0, "rank", np.arange(1, len(out) + 1))
    return out


def _tests(together: Estimate, level: float, draws: int, seed: int) -> pd.DataFrame:
    """Three joint tests against the distribution of the same statistics when no specification has an effect."""
    se = together.se.to_numpy()
    critical = float(reference_distribution(together.df).ppf(0.5 + level / 2))

    def statistics(points: np.ndarray) -> np.ndarray:
        z = points / se
        # significant in the direction most estimates have
        up, down = (z > critical).mean(axis=1), (z < -critical).mean(axis=1)
        dominant = np.where((z > 0).mean(axis=1) >= 0.5, up, down)
        return np.column_stack([np.abs(np.median(points, axis=1)), dominant, np.abs(z.mean(axis=1))])

    observed = statistics(together.point[None, :])[0]
    counts = np.zeros(3)
    total = 0
    for chunk in null_draws(together, draws=draws, seed=seed):
        counts += (statistics(chunk) >= observed - 1e-12 * np.abs(observed)).sum(axis=0)
        total += len(chunk)
    names = ["median estimate", "share significant, dominant sign", "average z"]
    values = [float(np.median(together.point)), float(observed[1]), float((together.point / se).mean())]
    return pd.DataFrame({"test": names, "statistic": values, "p_value": (1 + counts) / (1 + total)})
