"""From source rows to the rows of an estimate: one record of what was found, matched, dropped and kept.

Loaders begin it, a panel appends to it, the design appends what an estimator could not use, and the estimate carries
it whole under ``sample["flow"]``. Whatever leaves is named in full: :attr:`Step.listing` is never cut.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar, overload

import pandas as pd

Kind = Literal["found", "kept", "dropped", "noted"]


class Step(NamedTuple):
    """One line of the road.

    ``kind`` says what ``rows`` counts: ``found`` and ``kept`` the rows there are after the step, ``dropped`` the rows
    that leave in it, ``noted`` rows that stay and should be known about. ``listing`` names them, or what the step
    lost; ``units`` how many units they belong to; ``block`` the table, exposure or design whose rows are counted.
    """

    step: str
    rows: int
    reason: str = ""
    listing: tuple[str, ...] = ()
    kind: Kind = "kept"
    units: int | None = None
    block: str = ""


@dataclass(frozen=True)
class Flow:
    """Steps in order. Iterates, adds and indexes like a tuple of :class:`Step`; :meth:`to_frame` shows it."""

    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    @overload
    def __getitem__(self, at: int) -> Step: ...
    @overload
    def __getitem__(self, at: slice) -> Flow: ...
    def __getitem__(self, at: int | slice) -> Step | Flow:
        return Flow(self.steps[at]) if isinstance(at, slice) else self.steps[at]

    def __add__(self, more: Iterable[Step]) -> Flow:
        return Flow((*self.steps, *more))

    def dropping(self, step: Step) -> Flow:
        """Return the flow after ``step``, whose rows leave those last kept or found in its block."""
        before = [s for s in self.steps if s.block == step.block and s.kind in ("found", "kept")]
        left = Step("kept", before[-1].rows - step.rows, block=step.block)
        kept_last = (
            self.steps[:-1] if self.steps[-1].kind == "kept" and self.steps[-1].block == step.block else self.steps
        )
        return Flow((*kept_last, step._replace(kind="dropped"), left))

    def dropped(self, block: str) -> Flow:
        """Return the steps of one block in which rows leave."""
        return Flow(tuple(s for s in self.of(block) if s.kind == "dropped"))

    def under(self, block: str) -> Flow:
        """Return the steps with those of no block put under ``block``."""
        return Flow(tuple(s if s.block else s._replace(block=block) for s in self.steps))

    def of(self, block: str) -> Flow:
        """Return the steps of one block."""
        return Flow(tuple(s for s in self.steps if s.block == block))

    def listed(self, words: str) -> tuple[str, ...]:
        """Return everything listed in the steps whose text holds ``words``."""
        return tuple(item for s in self.steps if words in f"{s.step} {s.reason}" for item in s.listing)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a step: block, step, kind, rows (negative where they leave), units, reason, and what it lists.

        ``listed`` counts what the step names, ``first_listed`` shows five of it; :meth:`listed` gives all.
        """
        signed = [-s.rows if s.kind == "dropped" else s.rows for s in self.steps]
        columns = {
            "block": [s.block for s in self.steps],
            "step": [s.step for s in self.steps],
            "kind": [s.kind for s in self.steps],
            "rows": pd.array(signed, dtype="int64"),
            "units": pd.array([s.units for s in self.steps], dtype="Float64").astype("float64"),
            "reason": [s.reason for s in self.steps],
            "listed": [len(s.listing) for s in self.steps],
            "first_listed": [", ".join(s.listing[:5]) + (", …" if len(s.listing) > 5 else "") for s in self.steps],
        }
        return pd.DataFrame(columns)

    def _shown(self) -> pd.DataFrame:
        table = self.to_frame()
        table["units"] = table["units"].map(lambda n: "" if pd.isna(n) else f"{n:.0f}")
        table["listed"] = table["listed"].map(lambda n: str(n) if n else "")
        return table

    def __str__(self) -> str:
        return self._shown().to_string(index=False, na_rep="")

    def _repr_html_(self) -> str:
        return self._shown().to_html(index=False, na_rep="")


EMPTY = Flow()


D = TypeVar("D")


def holding(
    data: D, frame: pd.DataFrame, steps: Iterable[Step] = (), codebook: Mapping[str, Mapping[str, str]] | None = None
) -> D:
    """Return ``frame`` as what ``data`` is: a panel keeps all it knows and what it refuses, a DataFrame stays one."""
    if isinstance(data, pd.DataFrame):
        return frame  # type: ignore[return-value]
    if hasattr(data, "holding"):
        return data.holding(frame, steps, codebook)
    held = copy.copy(data)  # an object of the caller's own with a frame and keys
    object.__setattr__(held, "frame", frame)
    return held
