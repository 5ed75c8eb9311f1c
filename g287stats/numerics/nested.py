"""Least squares inside least squares: the weights of predictors under which matched weights fit outcomes best.

    w(v) = argmin_w Σ_k v_k (d_k'w)² + ρ |w|²,   v = argmin_v |z'w(v)|²,   both on the simplex,

d and z what each column is short of the goal. w(v) is smooth but where a column enters or leaves its support, and the
outer problem has many local minima. Hence: the exact gradient of each smooth piece (the conditions of the inner
optimum, differentiated), quasi-Newton steps that are not stopped by kinks, and many starts, each cheap because the
inner problem goes on from the last support.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import optimize
from scipy.linalg.lapack import dposv, dpotrs

from g287stats.numerics.simplex import simplex_least_squares

Objective = Callable[[np.ndarray], tuple[float, Callable[[], np.ndarray]]]
"""Place → value there, and the gradient there for who asks."""

_STARTS = 12
_SEARCHES = 1500, 200
"""Evaluations of the outer problem: at all, and more for each predictor."""
_SPREAD = 13.0
"""Starts draw the logarithms of v from a range as wide as this: predictors that only break ties need small weights."""
_LEAST, _REACH = -60.0, 25.0
"""Logarithm of a weight that counts for nothing beside the ridge; how low one may be for a slope to bring it back."""


class _Matched:
    """w(v), the outer loss at it and the loss's gradient in log v; remembers the support it ended with."""

    def __init__(self, d: np.ndarray, z: np.ndarray, ridge: float, support: np.ndarray) -> None:
        """``d`` (columns × predictors), ``z`` (columns × periods), over the root of their number."""
        self.d, self.z, self.ridge, self.support = d, z, ridge, support
        self.ones, self.evaluations = np.ones(len(d)), 0

    def _affine(self, v: np.ndarray, support: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights on a support, of either sign, that add up to one, and the Cholesky factor behind them."""
        d = self.d[support]
        gram = (d * v) @ d.T
        gram.flat[:: len(support) + 1] += self.ridge
        factor, w, _ = dposv(gram, self.ones[: len(support)], lower=1)
        return w / w.sum(), factor

    def _weights(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Wolfe's active sets from the last support; leaves the new one in ``self.support``."""
        support = self.support
        w, factor = self._affine(v, support)
        while w.min() <= 0:
            support = support[w > 0]
            w, factor = self._affine(v, support)
        for _ in range(5 * len(self.d)):
            slack = self.d @ (v * (w @ self.d[support]))
            slack[support] += self.ridge * w
            best = int(slack.argmin())
            if slack[best] >= (w @ slack[support]) * (1 - 1e-9) or best in support:
                break
            support, w = np.append(support, best), np.append(w, 0.0)
            while (target := self._affine(v, support))[0].min() <= 0:
                blocked = np.flatnonzero(target[0] <= 0)
                ratio = w[blocked] / (w[blocked] - target[0][blocked])
                w = w + ratio.min() * (target[0] - w)
                stay = np.arange(len(support)) != blocked[ratio.argmin()]
                support, w = support[stay], w[stay]
            w, factor = target
        self.support = support
        return w, factor

    def __call__(self, log_v: np.ndarray) -> tuple[float, Callable[[], np.ndarray]]:
        self.evaluations += 1
        v = shares(log_v)
        w, factor = self._weights(v)
        d, z = self.d[self.support], self.z[self.support]
        gap = w @ z

        def gradient() -> np.ndarray:
            pull = dpotrs(factor, 2 * (z @ gap), lower=1)[0]
            adjoint = pull - pull.sum() * w
            slope = -(adjoint @ d) * (w @ d)
            return v * (slope - v @ slope)

        return float(gap @ gap), gradient


def shares(log_v: np.ndarray) -> np.ndarray:
    """Weights on the simplex with these logarithms, up to a constant."""
    v = np.exp(log_v - log_v.max())
    return v / v.sum()


def descend(fun: Objective, x: np.ndarray, *, gain: float = 1e-4, steps: int = 60) -> tuple[float, np.ndarray]:
    """Return value and place of a local minimum of a function smooth almost everywhere.

    BFGS with bisection to weak Wolfe conditions (Lewis and Overton 2013, Mathematical Programming 141, 135–163): its
    matrix learns the kinks, where a strong Wolfe search stops. Ends when a step gains less than a share ``gain``.
    """
    value, slopes = fun(x)
    gradient = slopes()
    inverse = np.eye(len(x))
    for step in range(steps):
        direction = -inverse @ gradient
        if gradient @ direction >= 0:
            inverse, direction = np.eye(len(x)), -gradient
        found = _weak_wolfe(fun, x, value, gradient, direction, first=step == 0)
        if found is None:
            break
        length, new, new_gradient = found
        s, y = length * direction, new_gradient - gradient
        if (curvature := s @ y) > 0:
            if step == 0:
                inverse *= curvature / (y @ y)
            by = inverse @ y
            half = ((1 + y @ by / curvature) / 2 * s - by) / curvature
            change = np.outer(s, half)
            inverse += change + change.T
        small = value - new < gain * value
        x, value, gradient = x + s, new, new_gradient
        if small:
            break
    return value, x


def _weak_wolfe(
    fun: Objective, x: np.ndarray, value: float, gradient: np.ndarray, direction: np.ndarray, *, first: bool
) -> tuple[float, float, np.ndarray] | None:
    """Length of a step with enough decrease and a flatter slope, and value and gradient there; None without one."""
    slope, reach = gradient @ direction, np.abs(direction).max()
    if reach == 0 or not np.isfinite(reach):
        return None
    length = 2 / reach if first else min(1.0, 4 / reach)
    low, high, found = 0.0, np.inf, None
    for _ in range(25):
        new, slopes = fun(x + length * direction)
        if new > value + 1e-4 * length * slope:
            high = length
        else:
            new_gradient = slopes()
            found = length, new, new_gradient
            if new_gradient @ direction >= 0.9 * slope or length * reach > 3 * _SPREAD:
                return found
            low = length
        length = 2 * low if np.isinf(high) else (low + high) / 2
    return found


def matching_weights(a: np.ndarray, b: np.ndarray, goal: np.ndarray, paths: np.ndarray, ridge: float) -> np.ndarray:
    """Return the v (predictors) on the simplex under which matching ``b`` by columns of ``a`` fits ``goal`` best.

    ``a`` is predictors × columns, ``goal`` (periods,), ``paths`` columns × periods; ``ridge`` as in
    :func:`simplex_least_squares`. A global search that is the same at every call: local descents from equal weights,
    from those that favour the weights that fit ``goal`` best of all, and from drawn ones; then from the best places
    with a few predictors drawn anew. It ends early where no weights at all fit better.
    """
    k = len(a)
    d, z = (a - b[:, None]).T, (paths - goal) / np.sqrt(paths.shape[1])
    ideal = simplex_least_squares(paths.T, goal, ridge=ridge)
    floor = float(np.sum((ideal @ z) ** 2)) * (1 + 1e-6)
    first = simplex_least_squares(a, b, ridge=k * ridge)  # all predictors alike: v = 1/k
    loss = _Matched(np.ascontiguousarray(d), z, k * ridge, np.flatnonzero(first))
    rng = np.random.default_rng(0)
    drawn = (rng.uniform(-_SPREAD, 0, k) for _ in range(_STARTS - 2))
    best: list[tuple[float, np.ndarray]] = []  # at most six, the lowest first

    def search(start: np.ndarray, **how: float) -> None:
        value, place = descend(loss, start, **how)  # type: ignore[arg-type]
        if all(abs(value - other) > 1e-6 * value for other, _ in best):
            best.append((value, np.maximum(place - place.max(), _LEAST)))
            best.sort(key=lambda pair: pair[0])
            del best[6:]

    for start in (np.zeros(k), _towards(d, ideal), *drawn):
        search(start)
    while loss.evaluations < _SEARCHES[0] + _SEARCHES[1] * k and best[0][0] > floor:
        start = best[0 if rng.random() < 0.75 else int(rng.integers(min(3, len(best))))][1]
        start = np.maximum(start, -_REACH)
        anew = rng.choice(k, rng.integers(1, min(5, k + 1)), replace=False)
        start[anew] = rng.uniform(-_SPREAD, 0, len(anew))
        search(start)
    for _, place in best[:3]:
        for _ in range(6):  # a descent that ends on a kink goes on along it with a matrix that knows no slope yet
            before = best[0][0]
            search(place, gain=1e-9, steps=200)
            if best[0][0] > before * (1 - 1e-7):
                break
            place = best[0][1]
    return shares(best[0][1])


def _towards(d: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Log weights of predictors under which ``w`` is nearest to the conditions of the inner optimum.

    Those are linear in v: Σ_k v_k r_k (d_jk − r_k), r = w'd, is zero in the support of ``w`` and not negative outside.
    """
    r = w @ d
    rows = (d - r) * r
    outside = np.flatnonzero(w == 0)
    spare = np.zeros((len(d), len(outside)))
    spare[outside, np.arange(len(outside))] = -1.0
    size = max(float(np.abs(rows).max()), np.finfo(float).tiny)
    system = np.vstack([np.hstack([rows / size, spare]), np.r_[np.ones(d.shape[1]), np.zeros(len(outside))]])
    v = optimize.nnls(system, np.r_[np.zeros(len(d)), 1.0])[0][: d.shape[1]]
    return np.log(np.maximum(v / max(v.max(), np.finfo(float).tiny), np.exp(-_SPREAD)))
