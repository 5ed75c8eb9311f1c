"""County outlines as SVG: compact paths, state borders, and frames turned so that north is up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from itertools import pairwise

import numpy as np

from g287stats.report.shapes import _INSET, _LOWER_48, county_rings


def path(rings: Iterable[np.ndarray], closed: bool = True) -> str:
    """Write rings of whole numbers as the shortest relative SVG path."""
    out: list[str] = []
    for ring in rings:
        points = np.asarray(np.round(ring), dtype=int)
        steps = np.diff(points, axis=0)
        steps = steps[(steps != 0).any(axis=1)]
        if closed and len(steps) > 2:
            steps = steps[:-1]  # z draws the last one
        if not len(steps):
            continue
        text = f"m{points[0][0]} {points[0][1]}l" if not out else f"M{points[0][0]} {points[0][1]}l"
        numbers = [str(n) for n in steps.ravel()]
        text = text.replace("m", "M", 1) + numbers[0]
        text += "".join(n if n.startswith("-") else f" {n}" for n in numbers[1:])
        out.append(text + ("z" if closed else ""))
    return "".join(out)


def centre(rings: Sequence[np.ndarray]) -> tuple[float, float]:
    """Centre of area of the largest ring."""
    ring = max(rings, key=lambda r: abs(_area(r)))
    x, y = ring[:, 0], ring[:, 1]
    cross = x[:-1] * y[1:] - x[1:] * y[:-1]
    total = cross.sum()
    if abs(total) < 1e-9:
        return float(x.mean()), float(y.mean())
    return float(((x[:-1] + x[1:]) * cross).sum() / (3 * total)), float(((y[:-1] + y[1:]) * cross).sum() / (3 * total))


def _area(ring: np.ndarray) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)


def borders(rings: dict[str, tuple[np.ndarray, ...]]) -> list[np.ndarray]:
    """Lines along which counties of different states meet, among the counties given."""
    owners: dict[tuple[tuple[int, int], tuple[int, int]], set[str]] = defaultdict(set)
    for fips, parts in rings.items():
        for edge in _edges(parts):
            owners[edge].add(fips[:2])
    return _chain([e for e, states in owners.items() if len(states) > 1])


@cache
def state_rings(state_fips: str) -> tuple[np.ndarray, ...]:
    """Outline of a state: the edges that only one of its counties has."""
    seen: Counter[tuple[tuple[int, int], tuple[int, int]]] = Counter()
    for fips, parts in county_rings().items():
        if fips[:2] == state_fips:
            seen.update(_edges(parts))
    return tuple(_chain([e for e, n in seen.items() if n == 1]))


def _edges(parts: Sequence[np.ndarray]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    out = []
    for ring in parts:
        points = [(int(x), int(y)) for x, y in ring]
        out += [(a, b) if a < b else (b, a) for a, b in pairwise(points) if a != b]
    return out


def _chain(edges: list[tuple[tuple[int, int], tuple[int, int]]]) -> list[np.ndarray]:
    """Join edges into lines, in an order that the edges alone decide."""
    ends: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for a, b in sorted(edges):
        ends[a].append(b)
        ends[b].append(a)
    lines = []
    for start in sorted(ends, key=lambda p: (len(ends[p]) == 2, p)):  # open ends and junctions first
        while ends[start]:
            line = [start]
            while ends[line[-1]]:
                here = line[-1]
                there = ends[here].pop()
                ends[there].remove(here)
                line.append(there)
                if len(ends[there]) != 1:
                    break
            lines.append(np.array(line, dtype=float))
    return lines


@dataclass(frozen=True)
class Frame:
    """A window on the map: turned so that north is up, scaled to ``width`` units."""

    turn: np.ndarray
    low: np.ndarray
    scale: float
    width: float
    height: float

    def place(self, ring: np.ndarray) -> np.ndarray:
        """Put vertices in kilometres into the window, y downwards."""
        moved = (ring @ self.turn.T - self.low) * self.scale
        moved[:, 1] = self.height - moved[:, 1]
        return moved

    def sees(self) -> list[str]:
        """Counties whose box may lie in the window, in order of their codes."""
        names, boxes = _boxes()
        corners = self.place(boxes.reshape(-1, 2)).reshape(-1, 4, 2)
        low, high = corners.min(axis=1), corners.max(axis=1)
        seen = (high >= 0).all(axis=1) & (low[:, 0] <= self.width) & (low[:, 1] <= self.height)
        return [names[i] for i in np.flatnonzero(seen)]


@cache
def _boxes() -> tuple[tuple[str, ...], np.ndarray]:
    """Corners (counties, 4, 2) of the box around every county."""
    names = tuple(sorted(county_rings()))
    out = []
    for name in names:
        points = np.vstack(county_rings()[name])
        (a, b), (c, d) = points.min(axis=0), points.max(axis=0)
        out.append([(a, b), (a, d), (c, b), (c, d)])
    return names, np.array(out, dtype=float)


def frame_around(counties: Sequence[str], *, width: float = 360, pad: float = 0.06, tallest: float = 1.15) -> Frame:
    """Return the window that holds the counties with a margin, north up at their middle."""
    rings = [r for c in counties for r in county_rings()[c]]
    points = np.vstack(rings)
    turn = _north(counties[0][:2], (points.min(axis=0) + points.max(axis=0)) / 2)
    points = points @ turn.T
    low, high = points.min(axis=0), points.max(axis=0)
    size = high - low
    low, high = low - pad * size, high + pad * size
    size = high - low
    least = np.array([size[0], size[1]])
    if size[1] > tallest * size[0]:
        least[0] = size[1] / tallest
    if size[1] < 0.6 * size[0]:
        least[1] = 0.6 * size[0]
    low = low - (least - size) / 2
    scale = width / least[0]
    return Frame(turn, low, scale, width, float(least[1] * scale))


def _north(state: str, middle: np.ndarray) -> np.ndarray:
    """Rotation by the convergence of meridians: Albers tilts what lies east or west of its central meridian."""
    if state in _INSET:
        return np.eye(2)
    south, north, origin, _ = np.radians(_LOWER_48)
    n = (np.sin(south) + np.sin(north)) / 2
    rho0 = 6371.0 * np.sqrt(np.cos(south) ** 2 + 2 * n * np.sin(south) - 2 * n * np.sin(origin)) / n
    theta = np.arctan2(middle[0], rho0 - middle[1])
    return np.array([[np.cos(theta), np.sin(theta)], [-np.sin(theta), np.cos(theta)]])


def county_map(
    frame: Frame,
    kinds: dict[str, int],
    *,
    dots: dict[str, int],
    label: str,
    names: dict[str, str] | None = None,
    focus: Sequence[str] = (),
    links: dict[str, str] | None = None,
    only: Sequence[str] | None = None,
) -> str:
    """Draw the counties in a window: fill by class, dot where towns alone signed, the ``focus`` outlined.

    ``names`` are labels, the first given winning where two would overlap; ``only`` draws no county beyond these.
    """
    drawn = [c for c in sorted(only) if c in county_rings()] if only is not None else frame.sees()
    rings = {c: [frame.place(r) for r in county_rings()[c]] for c in drawn}
    shapes = "".join(f'<path{_kind(kinds.get(c, 0))} d="{path(rings[c])}"/>' for c in drawn)
    lines = [frame.place(line) for line in borders({c: county_rings()[c] for c in drawn})]
    edge = f'<path class="bd" d="{path(lines, closed=False)}"/>' if lines else ""
    around = "".join(f'<path class="fo" d="{path(rings[c])}"/>' for c in focus if c in rings)
    marks = "".join(
        f'<circle class="k{dots[c]}" cx="{x:.0f}" cy="{y:.0f}" r="{frame.width / 80:.1f}"/>'
        for c in drawn
        if c in dots
        for x, y in [centre(rings[c])]
    )
    text = _labels(frame, {c: n for c, n in (names or {}).items() if c in rings}, rings, focus)
    return (
        f'<svg class="map" viewBox="0 0 {frame.width:.0f} {frame.height:.0f}" role="img" aria-label="{escape(label)}">'
        f"{shapes}{edge}{around}{marks}{text}</svg>"
    )


def _kind(kind: int) -> str:
    return f' class="k{kind}"' if kind else ""  # none is the fill of the map itself


def _labels(frame: Frame, names: dict[str, str], rings: dict[str, list[np.ndarray]], focus: Sequence[str]) -> str:
    """Place names at the middle of what is seen of a county, leaving out those that would overlap others."""
    taken: list[tuple[float, float, float, float]] = []
    out = []
    for fips, name in names.items():
        x, y = centre(rings[fips])
        wide = 4.2 * len(name) + 4
        x = min(max(x, wide), frame.width - wide)
        y = min(max(y, 14), frame.height - 8)
        box = (x - wide, y - 11, x + wide, y + 7)
        if any(box[0] < t[2] and t[0] < box[2] and box[1] < t[3] and t[1] < box[3] for t in taken):
            continue
        taken.append(box)
        strong = ' class="me"' if fips in focus else ""
        out.append(f'<text{strong} x="{x:.0f}" y="{y + 4:.0f}">{escape(name)}</text>')
    return "".join(out)
