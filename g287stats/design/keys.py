"""Data and their keys: a DataFrame whose keys are named, or a panel that knows its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

import pandas as pd

from g287stats.errors import DesignError, Problems
from g287stats.flow import EMPTY, Flow


@runtime_checkable
class Panel(Protocol):
    """What an estimator takes beside a plain DataFrame.

    ``keys`` names the columns ``unit``, ``time`` and ``cohort`` of ``frame``; ``provenance`` says where columns come
    from; ``exits`` holds, by column of cohorts, the units whose treatment ends though the cohort goes on.
    """

    @property
    def frame(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def keys(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def provenance(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def exits(self) -> Mapping[str, tuple[str, ...]]: ...  # noqa: D102


Data: TypeAlias = pd.DataFrame | Panel


@dataclass(frozen=True)
class KeyedFrame:
    """A frame with what a panel knows of it; see :class:`Panel`."""

    frame: pd.DataFrame
    keys: Mapping[str, str]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    exits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Keys:
    """A frame and the names of its keys; ``exits`` as in :class:`Panel`, of the cohorts that are read."""

    frame: pd.DataFrame
    unit: str
    time: str
    cohort: str | None
    treatment: str | None
    provenance: Mapping[str, Any]
    exits: tuple[str, ...]
    flow: Flow

    def level(self, column: str) -> str:
        """A level by its name; ``unit`` and ``county`` mean the unit where no column is called so."""
        return self.unit if column in ("unit", "county") and column not in self.frame else column


def frame_of(data: object) -> pd.DataFrame:
    """The rows of the data; what is neither a DataFrame nor a :class:`Panel` is refused."""
    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, Panel):
        return data.frame
    if isinstance(data, str):
        raise DesignError(
            f"data is the text {data!r}: formulas are not read; name the columns: "
            'g.twfe(frame, "y", unit="county_fips", time="year", treatment="d", covariates=("x",))'
        )
    lacks = [f".{a}" for a in ("frame", "keys", "provenance", "exits") if not hasattr(data, a)]
    told = f" (it lacks {', '.join(lacks)})" if len(lacks) < 4 else ""
    raise DesignError(f"data is a {type(data).__name__}: give a pandas DataFrame or a CountyPanel{told}")


def read_keys(
    data: Data,
    *,
    unit: str | None = None,
    time: str | None = None,
    cohort: str | None = None,
    treatment: str | None = None,
) -> Keys:
    """Name the keys of the data: those given, or the panel's own where none is given."""
    own: Mapping[str, str] = {}
    exits: Mapping[str, tuple[str, ...]] = {}
    frame = frame_of(data)
    if not isinstance(data, pd.DataFrame):  # where .unit may be a column
        own, exits = data.keys, data.exits
    unit, time = unit or own.get("unit"), time or own.get("time")
    if cohort is None and treatment is None:
        cohort = own.get("cohort")
    if unit is None or time is None:
        raise DesignError('name the keys of the frame: unit="county_fips", time="year"')
    ended = exits.get(cohort) or exits.get(own.get("cohort", "")) if cohort else None
    known = {} if isinstance(data, pd.DataFrame) else dict(data.provenance)
    return Keys(frame, unit, time, cohort, treatment, known, ended or (), getattr(data, "flow", EMPTY))


def refuse_exits(exits: tuple[str, ...], where: str, fits: str) -> None:
    """Refuse cohorts of a panel whose own treatment switches off, naming units and what ``fits`` them instead."""
    if exits:
        problems = Problems(where)
        remedy = (
            f"Cohorts say that treatment stays on; {fits}, end each unit's record at its exit "
            "(g.Exposure(on_exit='censor')), or state that exposure is absorbing (g.Exposure(on_exit='absorbing'))"
        )
        problems.add("treatment switches off", exits, remedy)
        problems.raise_if_any()
