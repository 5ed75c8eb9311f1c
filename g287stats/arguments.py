"""What arguments shared by many functions mean, written once and put whole into the docstring of each."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from itertools import groupby
from typing import TypeVar, cast

from g287stats.words import explain_call

C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., object])

_KEYS = "Key columns (default: those of the panel)."
_TREATED = (
    "One of the two: the first treated period (missing: never treated), or the column of the treatment in force, 0\n"
    "until it starts. Treatment that ends is an error that names the units."
)
TEXTS = {
    "data": "A DataFrame, or a ``CountyPanel``. Never modified. Rows with a missing value in a column used are set "
    "aside and\ncounted.",
    "outcome": "Column of the dependent variable; effects are in its units.",
    "unit": _KEYS,
    "time": _KEYS,
    "cohort": _TREATED,
    "treatment": _TREATED,
    "covariates": "Columns that enter linearly.",
    "covariates_by_time": "Columns with a coefficient of their own in every period.",
    "fixed_effects": 'Further effects beyond unit and period; a tuple is an interaction, ``[("state", "year")]``.',
    "unit_trends": "Add a linear trend for every unit.",
    "window": "First and last event time, ``(-4, 4)``; default all.",
    "ends": "What happens to treated rows outside the window: ``bin`` gives them the first or last event time of the\n"
    "window (then named ``<=-4``, ``>=4``), ``drop`` sets the rows aside (counted in the sample flow).",
    "reference": "Event time normalised to zero, or several; each must occur.",
    "weights": "Column of positive weights by row.",
    "cluster": "Column, or two columns, of the clusters of the standard errors; default the unit.",
    "small_sample": "``nonnested`` (fixest, reghdfe), ``full``, ``none`` or ``unadjusted``; see\n"
    ":class:`~g287stats.estimate.covariance.Clustered`.",
    "vcov": "``cluster``, or ``iid`` or ``HC1`` for comparison with printed results.",
    "est": "The estimate the question is about.",
    "estimate": "The estimate the question is about.",
    "level": "Confidence level of intervals.",
    "alpha": "Significance level of the test.",
    "draws": "Number of draws; all are taken instead where there are no more than that.",
    "seed": "Seed of the draws: the same seed gives the same numbers.",
    "multipliers": "Law of the random multipliers, one by cluster: ``rademacher`` (±1), ``mammen``, ``webb`` (six "
    "points) or\n``gaussian``.",
    "term": "Which parameter, by name; may be left out when there is one.",
}

_SECTION = re.compile(r"\n    (?:Returns|Raises|Yields|Notes|References|Examples|Warns)\n    -{3,}\n|\Z")
_HEADING = "\n    Parameters\n    ----------\n"


def documented(**texts: str) -> Callable[[F], F]:
    """Add the arguments that a docstring does not describe to it, from a room's own ``texts`` or from :data:`TEXTS`.

    What a function says itself is kept and stands first. Consecutive arguments with one text share an entry.
    """

    def fill(function: F) -> F:
        doc = function.__doc__
        if doc is None:  # python -OO
            return function
        start = doc.find(_HEADING)
        end = _SECTION.search(doc, max(start + len(_HEADING), 0)).start()  # type: ignore[union-attr]
        said = {n for line in re.findall(r"^    (\w.*)$", doc[start:end], re.M) for n in line.split(", ")}
        code = function.__code__  # type: ignore[attr-defined]
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        told = {n: text for n in names if n not in said and (text := texts.get(n) or TEXTS.get(n))}
        lines = [] if start >= 0 or not told else ["", *_HEADING.strip("\n").splitlines()]
        for text, group in groupby(told, told.__getitem__):
            lines += [f"    {', '.join(group)}", *(f"        {line}" for line in text.splitlines())]
        function.__doc__ = "\n".join([doc[:end].rstrip(), *lines]) + (doc[end:] and "\n" + doc[end:])
        return function

    return lambda function: guided(fill(function))


def guided(function: F) -> F:
    """Answer arguments that the function does not have with what to type instead (:mod:`g287stats.words`)."""

    @wraps(function)
    def call(*args: object, **kwargs: object) -> object:
        try:
            return function(*args, **kwargs)
        except TypeError:
            explain_call(function, args, kwargs)
            raise

    return cast(F, call)


def guided_class(kind: type[C]) -> type[C]:
    """:func:`guided` for what makes an object of a class."""
    kind.__init__ = guided(kind.__init__)  # type: ignore[method-assign]
    return kind
