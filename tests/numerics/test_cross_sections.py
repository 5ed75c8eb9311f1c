"""Repeated cross sections: thousands of cells at a time against one cell at a time, written out row by row."""

import numpy as np
import pytest

from g287stats.numerics.cross_sections import Comparisons, Sections, fit, influence
from g287stats.numerics.glm import logit

KEEP = 0.8


def sections(seed, p, weighted, by_unit):
    """Forty units in four groups (0–2 treated, 3 never), five periods, a fifth of the rows missing."""
    rng = np.random.default_rng(seed)
    n_units, n_periods = 80, 5
    group = np.sort(rng.choice([0, 1, 2, 3], size=n_units, p=[0.15, 0.15, 0.2, 0.5]))[::-1]  # never treated first
    unit, time = (a.ravel() for a in np.meshgrid(np.arange(n_units), np.arange(n_periods), indexing="ij"))
    seen = rng.random(len(unit)) < KEEP
    seen &= ~((group[unit] == 0) & (time == 3))  # a group without rows in a period
    unit, time = unit[seen], time[seen]
    order = np.lexsort((unit, time))
    unit, time = unit[order], time[order]
    x = np.vstack([np.ones(len(unit)), rng.normal(size=(p - 1, len(unit))) + 0.3 * (group[unit] == 1)])
    offset = np.searchsorted(time, np.arange(n_periods + 1))
    bounds = [
        [(np.flatnonzero((time == q) & (group[unit] == g)).tolist() or [offset[q], offset[q] - 1]) for g in range(3)]
        for q in range(n_periods)
    ]
    data = Sections(
        y=rng.normal(size=len(unit)) + x.sum(axis=0) + time,
        x=x,
        w=rng.uniform(0.5, 2, len(unit)) if weighted else np.ones(len(unit)),
        offset=offset,
        start=np.array([[b[0] for b in row] for row in bounds]),
        stop=np.array([[b[-1] + 1 for b in row] for row in bounds]),
        target=unit if by_unit else np.arange(len(unit)),
    )
    cells, latest = [], []
    for g in range(3):
        for t in range(1, n_periods):
            for controls in (0, 1, 3):  # groups above ``controls`` are not yet treated
                cells.append((g, t - 1, t))
                latest.append(controls)
    cells = np.array(cells)
    n_control = np.array(
        [[((time == q) & (group[unit] >= c)).sum() for q, c in zip(cells[:, s], latest)] for s in (1, 2)]
    )
    return data, Comparisons(cells[:, 0], cells[:, 1:].T, n_control), group[unit], time, np.array(latest)


def one_cell(y, post, d, x, w, method):
    """Sant'Anna and Zhao's estimators with influence added up term by term; rows of one cell only."""
    psi = np.zeros(len(y))
    rows = {"t1": d & post, "t0": d & ~post, "c1": ~d & post, "c0": ~d & ~post}
    weights = {"t1": w * rows["t1"], "t0": w * rows["t0"], "t": w * d}

    def mean(values, name, sign):
        weight = weights[name]
        centre = weight @ values / weight.sum()
        psi[:] += sign * weight * (values - centre) / weight.sum()
        return sign * centre

    def mean_x(name):
        return x @ weights[name] / weights[name].sum()

    gram = {k: (x[:, r] * w[r]) @ x[:, r].T for k, r in rows.items()}
    line = {k: np.linalg.solve(gram[k], (x[:, r] * w[r]) @ y[r]) @ x for k, r in rows.items()}

    def regression(name, slope):
        psi[:] += w * np.where(rows[name], y - line[name], 0.0) * (np.linalg.solve(gram[name], slope) @ x)

    if method == "reg":
        att = mean(y, "t1", 1) + mean(y, "t0", -1) + mean(line["c1"] - line["c0"], "t", -1)
        regression("c1", -mean_x("t"))
        regression("c0", mean_x("t"))
        return att, psi
    coef, hessian, separated = logit(x, d * 1.0, w)
    assert not separated
    odds = np.exp(coef @ x)
    prob = odds / (1 + odds)
    weights |= {"k1": w * odds * rows["c1"], "k0": w * odds * rows["c0"]}
    r1, r0 = (y - line["c1"], y - line["c0"]) if method == "dr" else (y, y)
    att = mean(r1, "t1", 1) + mean(r0, "t0", -1) + mean(r1, "k1", -1) + mean(r0, "k0", 1)
    slope = 0.0
    for name, r, sign in (("k1", r1, -1), ("k0", r0, 1)):
        k = weights[name]
        slope = slope + sign * x @ (k * (r - k @ r / k.sum())) / k.sum()
    psi += w * (d - prob) * (np.linalg.solve(hessian, slope) @ x)
    if method == "dr":
        gap1, gap0 = line["t1"] - line["c1"], line["t0"] - line["c0"]
        att += mean(gap1, "t", 1) + mean(gap1, "t1", -1) + mean(gap0, "t", -1) + mean(gap0, "t0", 1)
        regression("t1", mean_x("t") - mean_x("t1"))
        regression("t0", mean_x("t0") - mean_x("t"))
        regression("c1", mean_x("k1") - mean_x("t"))
        regression("c0", mean_x("t") - mean_x("k0"))
    return att, psi


@pytest.mark.parametrize("method", ["dr", "ipw", "reg"])
@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("by_unit", [False, True])
@pytest.mark.parametrize("elements", [1, 1 << 17])
def test_all_cells_at_once_are_the_cells_one_by_one(method, p, by_unit, elements, monkeypatch):
    monkeypatch.setattr("g287stats.numerics.glm.BLOCK", elements)
    data, cells, group, time, latest = sections(p, p, weighted=p > 1, by_unit=by_unit)
    found = fit(data, cells, method)
    psi = np.full((len(latest), data.target.max() + 1), np.nan)
    for rows, values in influence(data, cells, found, method):
        psi[rows] = values
    empty = 0
    for j, (g, controls) in enumerate(zip(cells.group, latest)):
        use = np.isin(time, cells.period[:, j]) & ((group == g) | (group >= controls))
        d, post = group[use] == g, time[use] == cells.period[1, j]
        if not all((a & b).any() for a in (d, ~d) for b in (post, ~post)):
            assert found.problem[j] == "empty"
            assert np.isnan(found.att[j])
            assert np.isnan(psi[j]).all()
            empty += 1
            continue
        att, own = one_cell(data.y[use], post, d, data.x[:, use], data.w[use], method)
        assert found.problem[j] == ""
        assert found.att[j] == pytest.approx(att, abs=1e-9)
        expected = np.bincount(data.target[use], own, psi.shape[1])
        np.testing.assert_allclose(psi[j], expected, atol=1e-9)
    assert empty == 6  # a group without rows in one of five periods, which two of the four pairs contain


def test_each_cell_has_its_own_problem():
    data, cells, group, time, _ = sections(5, 3, weighted=False, by_unit=True)
    x = data.x.copy()
    x[1, group == 1] += 100.0  # tells group 1 apart
    x[2, (group == 2) & (time == 2)] = 1.0  # and nothing varies in one period of group 2
    told = Sections(data.y, x, data.w, data.offset, data.start, data.stop, data.target)
    expected = np.where((cells.group == 0) & (cells.period == 3).any(axis=0), "empty", "").astype(object)
    expected[cells.group == 1] = "separated"
    found = fit(told, cells, "ipw")
    assert found.problem.tolist() == expected.tolist()
    expected[(cells.group == 2) & (cells.period == 2).any(axis=0)] = "collinear"
    found = fit(told, cells, "dr")
    assert found.problem.tolist() == expected.tolist()
    assert (np.isnan(found.att) == (expected != "")).all()
    assert sorted(np.concatenate([rows for rows, _ in influence(told, cells, found, "dr")])) == sorted(
        np.flatnonzero(expected == "")
    )
    assert set(fit(told, cells, "reg").problem) == {"", "empty"}
