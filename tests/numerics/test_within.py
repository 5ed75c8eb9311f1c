"""The kernel against explicit dummies and least squares; what it reports as not identified."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import linalg

from g287stats.numerics import schur
from g287stats.numerics.least_squares import Collinear, Factor, least_squares
from g287stats.numerics.schur import Block, Components
from g287stats.numerics.within import absorb

N, T = 20, 7


def panel(balanced, seed=1):
    rng = np.random.default_rng(seed)
    unit, time = np.repeat(np.arange(N), T), np.tile(np.arange(T), N)
    keep = np.ones(N * T, bool) if balanced else rng.random(N * T) < 0.7
    return unit[keep], time[keep], rng


def dummies(codes):
    return np.eye(int(codes.max()) + 1)[codes]


def weighted_residual(f, a, w):
    root = np.ones(len(f)) if w is None else np.sqrt(w)
    return a - f @ np.linalg.lstsq(f * root[:, None], a * root[:, None], rcond=None)[0]


def cases():
    weights = ("none", "by unit", "by row")
    effects = ("none", "state×year", "state×year + parity×year", "noise")
    trends = ("none", "linear", "quadratic")
    return list(itertools.product((True, False), weights, effects, trends))


@pytest.mark.parametrize(("balanced", "weighting", "effects", "trends"), cases())
def test_equals_dummies(balanced, weighting, effects, trends):
    unit, time, rng = panel(balanced)
    n, state = len(unit), unit // 5
    w = {"none": None, "by unit": np.exp(rng.normal(size=N))[unit], "by row": np.exp(rng.normal(size=n))}[weighting]
    more = {
        "none": [],
        "state×year": [state * T + time],
        "state×year + parity×year": [state * T + time, unit % 2 * T + time],
        "noise": [rng.integers(0, 4, n)],
    }[effects]
    slopes = {"none": None, "linear": time * 1.0, "quadratic": np.column_stack([time, time**2.0])}[trends]
    p = absorb(unit, time, n_units=N, n_periods=T, weights=w, effects=more, trends=slopes)

    f = [dummies(unit), dummies(time), *(dummies(e) for e in more)]
    if slopes is not None:
        f += [dummies(unit) * z[:, None] for z in np.atleast_2d(slopes.T)]
    f = np.hstack(f)
    root = np.ones(n) if w is None else np.sqrt(w)
    assert p.rank == np.linalg.matrix_rank(f * root[:, None])
    a = rng.normal(size=(n, 3))
    left = weighted_residual(f, a, w)
    np.testing.assert_allclose(root[:, None] * p.residualize(a), root[:, None] * left, atol=1e-11)
    np.testing.assert_array_equal(p.residualize(a[:, 0]), p.residualize(a)[:, 0])
    np.testing.assert_allclose(a - p.evaluate(p.coefficients(a)), p.residualize(a), atol=1e-12)
    assert p.identified(unit, time, more, slopes).all()

    factors = [Factor(rng.integers(-1, 3, n), 3), Factor(rng.integers(0, 2, n), 2, rng.normal(size=n))]
    x = np.zeros((n, 5))
    for column, (factor, j) in enumerate((f_, j) for f_ in factors for j in range(f_.n_levels)):
        x[:, column] = (factor.codes == j) * (1.0 if factor.values is None else factor.values)
    x = np.hstack([x, a[:, 1:]])
    x_left = weighted_residual(f, x, w)
    beta = np.linalg.lstsq(x_left * root[:, None], left[:, 0] * root, rcond=None)[0]
    error = left[:, 0] - x_left @ beta
    scores = np.zeros((N, x.shape[1]))
    np.add.at(scores, unit, x_left * (error * root**2)[:, None])
    fit = least_squares(p, a[:, 0], a[:, 1:], factors)
    np.testing.assert_allclose(fit.beta, beta, atol=1e-10)
    np.testing.assert_allclose(root * fit.residual, root * error, atol=1e-10)
    np.testing.assert_allclose(fit.unit_scores(), scores, atol=1e-10)
    np.testing.assert_allclose(root[:, None] * fit.columns(), root[:, None] * x_left, atol=1e-10)


def test_by_hand():
    # units a: 1, 3   b: 2, 8; period means 1.5, 5.5; unit means 2, 5; grand mean 3.5
    # residual a1 = 1 − 2 − 1.5 + 3.5 = 1, a2 = 3 − 2 − 5.5 + 3.5 = −1, b the reverse
    y = np.array([1.0, 3.0, 2.0, 8.0])
    p = absorb(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), n_units=2, n_periods=2)
    assert p.residualize(y).tolist() == pytest.approx([1.0, -1.0, -1.0, 1.0], abs=1e-14)
    assert p.rank == 3
    assert y.tolist() == [1.0, 3.0, 2.0, 8.0]


@pytest.mark.parametrize(("each", "kind"), [(3, Components), (30, Block)])
def test_many_levels_take_the_sparse_way(each, kind):
    """State × year in many states: too wide for one dense table; small states through their units, all at once."""
    rng = np.random.default_rng(3)
    n_units, n_periods = 900, 10
    unit, time = np.repeat(np.arange(n_units), n_periods), np.tile(np.arange(n_periods), n_units)
    keep = (rng.random(len(unit)) < 0.8) & ~((unit < each) & (time == 4))  # in the first state nobody in period 4
    keep[10 : 2 * n_periods] = False
    keep[10] = True  # a unit seen once
    keep[each * n_periods : (each + 1) * n_periods] = False  # a unit never seen
    unit, time = unit[keep], time[keep]
    state = unit // each
    a, w = rng.normal(size=len(unit)), np.exp(rng.normal(size=len(unit)))
    parity = unit % 2 * n_periods + time
    for more in ([], [parity]):
        p = absorb(
            unit,
            time,
            n_units=n_units,
            n_periods=n_periods,
            weights=w,
            effects=[state * n_periods + time, *more],
            sizes=[n_units // each * n_periods, *(2 * n_periods for _ in more)],
        )
        assert isinstance(p.blocks[0], kind)
        left = p.residualize(a)
        assert p.weighted(left) @ left < w @ a**2
        for codes in (unit, state * n_periods + time, *more):  # the normal equations of weighted least squares
            np.testing.assert_allclose(np.bincount(codes, w * left), 0, atol=1e-11)
        rest = a - left  # and what was taken is a combination of the effects
        np.testing.assert_allclose(p.residualize(rest), 0, atol=1e-11)
        np.testing.assert_allclose(p.evaluate(p.coefficients(a))[:, 0], rest, atol=1e-11)
        assert p.identified(unit, time, [state * n_periods + time, *more]).all()
        lone = np.array([0, 0, each])  # no level of that period; the unit never seen
        when = np.array([4, 0, 0])
        known = p.identified(
            lone, when, [lone // each * n_periods + when, *([lone % 2 * n_periods + when] if more else [])]
        )
        assert known.tolist() == [False, (0, 0) in set(zip(unit.tolist(), time.tolist())), False]
        if not more:  # within a state the problem stands alone
            rank = 0
            for s in range(n_units // each):
                here = state == s
                f = np.hstack([dummies(unit[here] - unit[here].min()), dummies(time[here])])
                rank += np.linalg.matrix_rank(f)
                np.testing.assert_allclose(
                    left[here], weighted_residual(f, a[here][:, None], w[here])[:, 0], atol=1e-10
                )
            assert p.rank == rank


def test_levels_through_units_are_the_pivoted_blocks(monkeypatch):
    """The two ways of the Schur complement leave the same, know the same and span the same."""
    rng = np.random.default_rng(8)
    unit, time = np.repeat(np.arange(600), 12), np.tile(np.arange(12), 600)
    keep = (rng.random(len(unit)) < 0.5) & (unit != 7)
    unit, time = unit[keep], time[keep]
    a, w = rng.normal(size=(len(unit), 2)), rng.uniform(0.1, 5, len(unit))
    effects = [unit // 2 * 12 + time, unit % 2 * 12 + time]
    kw = {"n_units": 600, "n_periods": 12, "weights": w, "effects": effects, "sizes": [3600, 24]}
    found = []
    for few in (16, 0):
        monkeypatch.setattr(schur, "FEW", few)
        p = absorb(unit, time, **kw)
        assert isinstance(p.blocks[0], Components if few else Block)
        everywhere = np.repeat(np.arange(600), 12), np.tile(np.arange(12), 600)
        codes = [everywhere[0] // 2 * 12 + everywhere[1], everywhere[0] % 2 * 12 + everywhere[1]]
        known = p.identified(*everywhere, codes)
        fitted = p.evaluate(p.coefficients(a), *everywhere, codes)[known]
        found.append((p.rank, p.residualize(a), known, fitted, p.linked(3)))
    one, other = found
    assert one[0] == other[0]
    np.testing.assert_allclose(one[1], other[1], atol=1e-12)
    np.testing.assert_array_equal(one[2], other[2])
    assert 0 < one[2].sum() < len(one[2])
    np.testing.assert_allclose(one[3], other[3], atol=1e-11)
    np.testing.assert_array_equal(one[4], other[4])


@pytest.mark.parametrize("effects", ["none", "state×year", "place×year", "trends"])
@pytest.mark.parametrize("heavy", [0.03, 0.5])
def test_weights_over_twelve_orders_of_magnitude_decide_nothing(effects, heavy):
    """What is identified is what is without weights; residuals are those of orthogonal least squares."""
    rng = np.random.default_rng(12)
    many = effects == "place×year"
    n_units, n_periods = (400, 8) if many else (40, 6)
    unit, time = np.repeat(np.arange(n_units), n_periods), np.tile(np.arange(n_periods), n_units)
    keep = (rng.random(len(unit)) < 0.8) & (unit != 3) & ((unit % 4 > 1) | (time < 4))
    everywhere = unit, time
    w = np.where(rng.random(len(unit)) < heavy, 1e6, 1e-6)
    more = {
        "none": [],
        "trends": [],
        "state×year": [unit // 8 * n_periods + time],
        "place×year": [unit // 2 * n_periods + time, unit % 2 * n_periods + time],
    }[effects]
    sizes = [int(e.max()) + 1 for e in more]
    kw = {"n_units": n_units, "n_periods": n_periods, "effects": [e[keep] for e in more], "sizes": sizes}
    slopes = time.astype(float) if effects == "trends" else None
    kw["trends"] = None if slopes is None else slopes[keep]
    plain = absorb(unit[keep], time[keep], **kw)
    p = absorb(unit[keep], time[keep], weights=w[keep], **kw)
    assert p.rank == plain.rank
    known = plain.identified(*everywhere, more, slopes)
    assert (~known).any()
    np.testing.assert_array_equal(p.identified(*everywhere, more, slopes), known)
    np.testing.assert_array_equal(p.linked(2), plain.linked(2))
    truth = rng.normal(size=n_units)[unit] + rng.normal(size=n_periods)[time] + 50
    for e, size in zip(more, sizes):
        truth += rng.normal(size=size)[e]
    assert np.abs(p.residualize(truth[keep])).max() < 1e-10
    fitted = p.evaluate(p.coefficients(truth[keep]), *everywhere, more, slopes)[:, 0]
    np.testing.assert_allclose(fitted[known], truth[known], atol=1e-10)
    if not many:
        a = rng.normal(size=keep.sum())
        f = [dummies(unit)[keep], dummies(time)[keep], *(dummies(e)[keep] for e in more)]
        f = np.hstack([*f, *([] if slopes is None else [dummies(unit)[keep] * slopes[keep][:, None]])])
        root = np.sqrt(w[keep])
        basis, _, _ = linalg.qr(f * root[:, None], mode="economic", pivoting=True)
        basis = basis[:, : plain.rank]
        left = root * a
        for _ in range(2):
            left = left - basis @ (basis.T @ left)
        np.testing.assert_allclose(root * p.residualize(a), left, atol=1e-7 * np.abs(root * a).max())


def test_any_row_order():
    unit, time, rng = panel(False)
    a, shuffle = rng.normal(size=len(unit)), rng.permutation(len(unit))
    p = absorb(unit, time, n_units=N, n_periods=T)
    q = absorb(unit[shuffle], time[shuffle], n_units=N, n_periods=T)
    np.testing.assert_allclose(p.residualize(a)[shuffle], q.residualize(a[shuffle]), atol=1e-13)


def test_reports_what_is_not_identified():
    # units 0, 1 in periods 0, 1; units 2, 3 in periods 2, 3: two islands; unit 4 once; unit 5 never
    unit = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4])
    time = np.array([0, 1, 0, 1, 2, 3, 2, 3, 0])
    p = absorb(unit, time, n_units=6, n_periods=5)
    assert p.singletons.tolist() == [4]
    assert p.rank == 5 + 4 - 2
    ask_unit, ask_time = np.array([0, 0, 2, 4, 5, 0]), np.array([1, 2, 3, 1, 0, 4])
    assert p.identified(ask_unit, ask_time).tolist() == [True, False, True, True, False, False]
    assert p.linked(0).tolist() == [True, True, False, False, False]


def test_unit_trend_needs_two_periods():
    unit, time = np.array([0, 0, 0, 1, 2, 2, 2]), np.array([0, 1, 2, 1, 0, 1, 2])
    p = absorb(unit, time, n_units=3, n_periods=3, trends=time.astype(float))
    assert p.flat_units.tolist() == [1]


def test_collinear_columns_are_named_by_position():
    unit, time, rng = panel(True)
    p = absorb(unit, time, n_units=N, n_periods=T)
    x = rng.normal(size=(len(unit), 2))
    with pytest.raises(Collinear) as caught:
        least_squares(p, x[:, 0], np.column_stack([x, x[:, 0] - x[:, 1] + unit]))
    assert caught.value.columns.tolist() == [2]
    with pytest.raises(Collinear) as caught:
        least_squares(p, x[:, 0], np.column_stack([unit * 1e6, x[:, 1]]))
    assert caught.value.absorbed.tolist() == [0]


def test_small_variation_on_a_large_level_survives():
    """Populations of a million that move by a hundred: the within variation is what counts."""
    unit, time, rng = panel(True)
    x = 1e6 * (1 + unit) + 100 * rng.normal(size=len(unit))
    p = absorb(unit, time, n_units=N, n_periods=T)
    fit = least_squares(p, 2.0 * x + unit - time, x[:, None])
    assert fit.beta[0] == pytest.approx(2.0, rel=1e-9)


def test_digits_do_not_depend_on_threads():
    code = (
        "import numpy as np; from g287stats.numerics.within import absorb; r = np.random.default_rng(0);"
        "u = np.repeat(np.arange(700), 90); t = np.tile(np.arange(90), 700); k = r.random(63000) < .9;"
        "p = absorb(u[k], t[k], n_units=700, n_periods=90, weights=np.exp(r.normal(size=k.sum())));"
        "print(*[repr(float(v)) for v in p.residualize(r.normal(size=k.sum()))[::5000]])"
    )
    runs = []
    for threads in ("1", "2"):
        env = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        runs.append(np.array(out.stdout.split(), dtype=float))
    np.testing.assert_allclose(*runs, rtol=1e-12)
