"""A complete panel known by its shape equals the same panel given by its codes."""

import numpy as np
import pytest

from g287stats.numerics.memory import room
from g287stats.numerics.rows import Levels, Rows

N, T = 5, 4
UNIT, TIME = np.repeat(np.arange(N), T), np.tile(np.arange(T), N)


@pytest.mark.parametrize("rows", [Rows(N, T), Rows(N, T, UNIT, TIME)])
def test_a_complete_panel_is_recognised(rows):
    assert rows.complete and rows.n == N * T and rows.shape == (N, T)
    np.testing.assert_array_equal(rows.unit, UNIT)
    np.testing.assert_array_equal(rows.time, TIME)


@pytest.mark.parametrize(
    ("unit", "time"), [(UNIT[1:], TIME[1:]), (UNIT[::-1], TIME), (UNIT, TIME[::-1]), (np.r_[UNIT[:-1], 0], TIME)]
)
def test_other_rows_are_not(unit, time):
    assert not Rows(N, T, unit, time).complete


def test_sums_and_spreads_agree_with_codes():
    rng = np.random.default_rng(1)
    keep = rng.random(N * T) < 0.8
    for rows, some in ((Rows(N, T), slice(None)), (Rows(N, T, UNIT[keep], TIME[keep]), keep)):
        unit, time = UNIT[some], TIME[some]
        values, at_unit = rng.normal(size=len(unit)), rng.normal(size=N)
        np.testing.assert_allclose(rows.unit_sums(values), np.bincount(unit, values, N), rtol=1e-14)
        np.testing.assert_array_equal(rows.unit_sums(), np.bincount(unit, minlength=N))
        np.testing.assert_array_equal(rows.per_period, np.bincount(time, minlength=T))
        np.testing.assert_array_equal(rows.spread(at_unit), at_unit[unit])
        high = np.where(values > 1, values, 0.0)
        np.testing.assert_array_equal(rows.nonzero_units(high), np.bincount(unit, values > 1, N) > 0)
        np.testing.assert_array_equal(rows.at_units(at_unit[unit]), at_unit)
        assert rows.at_units(values) is None
        opening = np.array([values[unit == u][0] for u in range(N)])
        np.testing.assert_array_equal(rows.less_first(values), values - opening[unit])
    shuffle = rng.permutation(N * T)
    mixed, values = Rows(N, T, UNIT[shuffle], TIME[shuffle]), rng.normal(size=N * T)
    opening = np.array([values[UNIT[shuffle] == u][0] for u in range(N)])
    np.testing.assert_array_equal(mixed.less_first(values), values - opening[UNIT[shuffle]])


def test_levels_are_the_same_by_unit_and_by_row():
    state, month = np.array([0, 0, 1, 1, 2]), TIME % 2
    rows = Rows(N, T)
    levels = Levels(rows, {"state": state, "month": month}, frozenset(["state"]))
    np.testing.assert_array_equal(levels["state"], state[UNIT])
    assert levels.at_units("month") is None and levels.size("state") == 3 and list(levels) == ["state", "month"]
    by_row = Levels(rows, {"state": state[UNIT], "month": month})
    np.testing.assert_array_equal(by_row.at_units("state"), state)


@pytest.mark.parametrize("shape", [(3,), (2, 77_500), (3, 600_000), (0, 10)])
def test_room_is_a_writable_float_array(shape):
    a = room(*shape)
    assert a.shape == shape and a.dtype == float and a.flags.c_contiguous
    a[:] = 1.0
    assert a.sum() == a.size
