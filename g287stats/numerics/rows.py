"""The unit and the period of every row of a panel, and what is fixed within units.

A complete panel in order — every unit in every period, sorted by both — is known by its shape alone. Its codes, and
those of a variable that does not move within units, are made when somebody asks for them by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np

from g287stats.numerics.memory import room


class Rows:
    """Unit codes 0 … N−1 and period codes 0 … T−1 of n rows.

    Parameters
    ----------
    n_units, n_periods
        Number of codes, N and T; codes need not all occur.
    unit, time
        Codes by row, (n,); None for the complete panel in order, n = N·T.
    """

    def __init__(
        self, n_units: int, n_periods: int, unit: np.ndarray | None = None, time: np.ndarray | None = None
    ) -> None:
        self.n_units, self.n_periods = n_units, n_periods
        self.complete = unit is None or time is None or _is_complete(unit, time, n_units, n_periods)
        if unit is None or time is None:
            self.n = n_units * n_periods
        else:
            self.n, self.unit, self.time = len(unit), unit, time

    @cached_property
    def unit(self) -> np.ndarray:
        """Unit code by row, (n,)."""
        return np.repeat(np.arange(self.n_units), self.n_periods)

    @cached_property
    def time(self) -> np.ndarray:
        """Period code by row, (n,)."""
        return np.tile(np.arange(self.n_periods), self.n_units)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape that rows can take: (N, T) when complete, otherwise (n,)."""
        return (self.n_units, self.n_periods) if self.complete else (self.n,)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """A variable by unit (N,) as one by row (n,)."""
        return np.repeat(values, self.n_periods) if self.complete else values[self.unit]

    def unit_sums(self, values: np.ndarray | None = None) -> np.ndarray:
        """Sum a variable (n,), or count rows, by unit: (N,)."""
        if not self.complete:
            return np.bincount(self.unit, values, self.n_units)
        if values is None:
            return np.full(self.n_units, self.n_periods)
        return np.einsum("ij->i", values.reshape(self.shape))

    def period_sums(self, values: np.ndarray | None = None) -> np.ndarray:
        """Sum a variable (n,), or count rows, by period: (T,)."""
        if values is None:
            return self.per_period
        if self.complete:
            return np.einsum("ij->j", values.reshape(self.shape))
        return np.bincount(self.time, values, self.n_periods)

    def take_unit(self, values: np.ndarray) -> np.ndarray:
        """A variable by unit (N,) in a form that broadcasts over rows in their :attr:`shape`."""
        return values[:, None] if self.complete else values[self.unit]

    def take_period(self, values: np.ndarray) -> np.ndarray:
        """A variable by period (T,) in a form that broadcasts over rows in their :attr:`shape`."""
        return values[None, :] if self.complete else values[self.time]

    def less_first(self, values: np.ndarray) -> np.ndarray:
        """A variable by row (n,) less its value in the first row of the unit, rows in any order.

        Nothing changes for an estimator that absorbs unit effects, except that small changes of large numbers keep
        their digits.
        """
        if self.complete:
            table = values.reshape(self.shape)
            return np.subtract(table, table[:, :1], out=room(*self.shape)).reshape(-1)
        first = np.zeros(self.n_units)
        first[self.unit[::-1]] = values[::-1]  # the earliest row is written last
        return values - first[self.unit]

    def nonzero_units(self, values: np.ndarray) -> np.ndarray:
        """Which units have a row where a variable (n,) is not zero: boolean (N,)."""
        if self.complete:
            table = values.reshape(self.shape)
            return np.einsum("ij,ij->i", table, table) > 0
        return np.bincount(self.unit, values != 0, self.n_units) > 0

    @cached_property
    def per_period(self) -> np.ndarray:
        """Number of rows by period, (T,)."""
        if self.complete:
            return np.full(self.n_periods, self.n_units)
        return np.bincount(self.time, minlength=self.n_periods)

    def at_units(self, values: np.ndarray) -> np.ndarray | None:
        """A variable by row (n,) as one by unit (N,), or None when it moves within a unit; 0 for units without rows."""
        if self.complete:
            table = values.reshape(self.shape)
            return table[:, 0].copy() if (table == table[:, :1]).all() else None
        out = np.zeros(self.n_units, dtype=values.dtype)
        out[self.unit] = values
        return out if (out[self.unit] == values).all() else None


class Levels(Mapping[str, np.ndarray]):
    """Codes of grouping variables by row, by name; one that is fixed within units is kept by unit.

    Parameters
    ----------
    rows
        The rows.
    codes
        Codes 0 … L−1 by name: (N,) for the names in ``by_unit``, (n,) for the others.
    by_unit
        Names whose codes are by unit.
    """

    def __init__(self, rows: Rows, codes: Mapping[str, np.ndarray], by_unit: frozenset[str] = frozenset()) -> None:
        self.rows, self._given, self._by_unit = rows, dict(codes), by_unit
        self._by_row: dict[str, np.ndarray] = {k: v for k, v in codes.items() if k not in by_unit}
        self._at_units: dict[str, np.ndarray | None] = {k: v for k, v in codes.items() if k in by_unit}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._by_row:
            self._by_row[name] = self.rows.spread(self._given[name])
        return self._by_row[name]

    def __contains__(self, name: object) -> bool:
        return name in self._given

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def size(self, name: str) -> int:
        """Number of codes, L."""
        return int(self._given[name].max()) + 1

    def at_units(self, name: str) -> np.ndarray | None:
        """Codes by unit (N,), or None when the variable moves within units."""
        if name not in self._at_units:
            self._at_units[name] = self.rows.at_units(self._by_row[name])
        return self._at_units[name]


def _is_complete(unit: np.ndarray, time: np.ndarray, n_units: int, n_periods: int) -> bool:
    if len(unit) != n_units * n_periods or not len(unit):
        return False
    return bool(
        (unit.reshape(n_units, n_periods) == np.arange(n_units)[:, None]).all()
        and (time.reshape(n_units, n_periods) == np.arange(n_periods)).all()
    )
