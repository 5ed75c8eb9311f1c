"""County outlines for maps: decoded, projected and simplified once, drawn many times.

Source: US Census Bureau cartographic boundary file 2017, 1:10,000,000, in the topology published as ``us-atlas``
3.0.1 (ISC licence). Outlines serve maps only; neighbour relations come from the adjacency files.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from g287stats.catalog import read_released, write_released

TOLERANCE_KM = 1.5
"""Largest distance by which a simplified border may leave the published one, before insets are scaled."""

_INSET = {  # state: (scale, x, y of the centre in km, projection)
    "02": (0.35, -1800.0, -1130.0, (55.0, 65.0, 62.5, -154.0)),
    "15": (1.0, -950.0, -1280.0, (8.0, 18.0, 20.5, -157.0)),
}
_LOWER_48 = (29.5, 45.5, 37.5, -96.0)
_EARTH_KM = 6371.0


def build(sources: Path, out: Path) -> list[Path]:
    """Write ``county_shapes``: one row per county and ring, vertices in kilometres on an Albers map."""
    topology = json.loads((sources / "geography" / "us_atlas_counties_10m.json").read_text(encoding="utf-8"))
    scale, shift = np.array(topology["transform"]["scale"]), np.array(topology["transform"]["translate"])
    arcs = [np.cumsum(np.array(arc, dtype=float), axis=0) * scale + shift for arc in topology["arcs"]]
    rows = []
    for county in topology["objects"]["counties"]["geometries"]:
        fips = str(county["id"]).zfill(5)
        if fips[:2] > "56":
            continue
        polygons = [county["arcs"]] if county["type"] == "Polygon" else county["arcs"]
        for number, ring in enumerate(r for polygon in polygons for r in polygon):
            border = _ring(ring, arcs, fips[:2])
            if len(border) >= 4:
                path = " ".join(f"{x:.0f},{y:.0f}" for x, y in border)
                rows.append({"county_fips": fips, "ring": number, "path": path})
    return [write_released(pd.DataFrame(rows), "county_shapes", out)]


@cache
def county_rings() -> dict[str, tuple[np.ndarray, ...]]:
    """Return the rings of each county, arrays (vertices, 2) in kilometres; Alaska and Hawaii as insets."""
    table = read_released("county_shapes")
    rings: dict[str, list[np.ndarray]] = {}
    for fips, path in zip(table["county_fips"], table["path"]):
        points = np.array([p.split(",") for p in str(path).split(" ")], dtype=float)
        rings.setdefault(str(fips), []).append(points)
    return {k: tuple(v) for k, v in rings.items()}


def _ring(numbers: list[int], arcs: list[np.ndarray], state: str) -> np.ndarray:
    """Join arcs (a negative number runs backwards), each projected and simplified so that borders still meet."""
    pieces = []
    for n in numbers:
        line = simplify(_project(arcs[~n if n < 0 else n], state), TOLERANCE_KM)
        pieces.append(line[::-1] if n < 0 else line)
    joined = np.vstack([p if i == 0 else p[1:] for i, p in enumerate(pieces)])
    return np.round(joined)


def _project(lonlat: np.ndarray, state: str) -> np.ndarray:
    """Albers equal-area conic in kilometres (Snyder 1987, section 14), with insets for Alaska and Hawaii."""
    south, north, middle, meridian = _INSET[state][3] if state in _INSET else _LOWER_48
    p1, p2, p0 = np.radians([south, north, middle])
    longitude = np.where((lonlat[:, 0] > 0) & (state == "02"), lonlat[:, 0] - 360, lonlat[:, 0])
    n = (np.sin(p1) + np.sin(p2)) / 2
    c = np.cos(p1) ** 2 + 2 * n * np.sin(p1)
    rho = np.sqrt(c - 2 * n * np.sin(np.radians(lonlat[:, 1]))) / n
    rho0 = np.sqrt(c - 2 * n * np.sin(p0)) / n
    theta = n * np.radians(longitude - meridian)
    xy = _EARTH_KM * np.column_stack([rho * np.sin(theta), rho0 - rho * np.cos(theta)])
    if state in _INSET:
        factor, x, y, _ = _INSET[state]
        xy = xy * factor + np.array([x, y])
    return xy


def simplify(line: np.ndarray, tolerance: float) -> np.ndarray:
    """Douglas–Peucker: keep end points and every vertex farther than ``tolerance`` from the simplified line."""
    keep = np.zeros(len(line), dtype=bool)
    keep[[0, -1]] = True
    stack: list[Any] = [(0, len(line) - 1)]
    while stack:
        a, b = stack.pop()
        if b - a < 2:
            continue
        chord, offset = line[b] - line[a], line[a + 1 : b] - line[a]
        length = np.hypot(*chord)
        if length == 0:
            distance = np.hypot(offset[:, 0], offset[:, 1])
        else:
            distance = np.abs(chord[0] * offset[:, 1] - chord[1] * offset[:, 0]) / length
        far = int(distance.argmax())
        if distance[far] > tolerance:
            keep[a + 1 + far] = True
            stack += [(a, a + 1 + far), (a + 1 + far, b)]
    return line[keep]
