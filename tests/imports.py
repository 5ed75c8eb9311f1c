"""Who imports whom, and how large the house is: ``python tests/imports.py [folder of the package]``."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = "g287stats"
FLOORS = (  # rooms from the ground up; those of a floor keep to themselves unless they are named below
    ("_version", "arguments", "errors", "flow", "labels", "palette", "shown", "words"),
    ("catalog", "numerics"),
    ("build", "citation", "exporting", "geography"),
    ("agreements", "design", "policies"),
    ("estimate", "outcomes"),
    ("panel", "regression"),
    ("did", "inference", "report", "survey"),
    ("simulation", "victimization"),
    ("atlas", "claims"),
    ("cli", "data", "ncvs", "simulate"),
    ("__main__",),
)
TOGETHER = (set(FLOORS[0]), {"simulation", "victimization"})  # may import each other, where files form no circle
FACADE = f"{PACKAGE}.estimate.estimate"  # Estimate offers what is written beside it as its own methods


class Import(NamedTuple):
    """One name that a file takes from another file of the package."""

    by: str
    of: str
    name: str


def files_of(root: Path) -> list[Path]:
    """The package's own files, without the tests, analyses and tables that an installed wheel holds beside them."""
    guests = {"_tests", "_analyses", "_released"}
    return [f for f in sorted(root.rglob("*.py")) if f.relative_to(root).parts[0] not in guests]


def imports(root: Path) -> list[Import]:
    """Every import of the package within itself, those in functions and for type checking too."""
    modules = {_name(root, f): f for f in files_of(root)}
    found = []
    for by, file in modules.items():
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == PACKAGE:
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    found.append(Import(by, whole if whole in modules else str(node.module), alias.name))
    return found


def _name(root: Path, file: Path) -> str:
    return ".".join([PACKAGE, *file.relative_to(root).with_suffix("").parts]).removesuffix(".__init__")


def room(module: str) -> str:
    """The room of a file: the folder, or the file at the top."""
    return (module.split(".") + [""])[1]


def between_rooms(found: list[Import]) -> dict[str, set[str]]:
    """Rooms that each room takes from; the front door lists names and imports them when they are used."""
    out: dict[str, set[str]] = {}
    for i in found:
        if room(i.by) and room(i.of) != room(i.by):
            out.setdefault(room(i.by), set()).add(room(i.of))
    return out


def upward(rooms: dict[str, set[str]]) -> list[str]:
    """Imports that do not go down: to a higher floor, or to a room of the same floor that keeps to itself."""
    floor = {name: n for n, names in enumerate(FLOORS) for name in names}
    new = sorted({*rooms, *(of for others in rooms.values() for of in others)} - set(floor))
    if new:
        return [f"{name} has no floor: say in FLOORS where it belongs" for name in new]
    return [
        f"{by} imports {of}"
        for by, others in sorted(rooms.items())
        for of in sorted(others)
        if floor[of] >= floor[by] and not any({by, of} <= group for group in TOGETHER)
    ]


def circles(found: list[Import], without: str = FACADE) -> list[list[str]]:
    """Files that reach themselves, by strongly connected group; ``without`` the imports of one file."""
    graph: dict[str, set[str]] = {}
    for i in found:
        if i.by != without and i.of != i.by:
            graph.setdefault(i.by, set()).add(i.of)
    reach = {module: _reached(graph, module) for module in graph}
    groups = {tuple(sorted({a, *(b for b in reach[a] if a in reach.get(b, ()))})) for a in graph if a in reach[a]}
    return [list(g) for g in sorted(groups)]


def _reached(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        for other in graph.get(todo.pop(), ()):
            if other not in seen:
                seen.add(other)
                todo.append(other)
    return seen


def private(found: list[Import]) -> list[Import]:
    """Names with an underscore that cross from one room to another."""
    return [i for i in found if i.name.startswith("_") and not i.name.startswith("__") and room(i.by) != room(i.of)]


def functions(root: Path) -> Iterator[tuple[int, str]]:
    """Lines of every function without its docstring and its arguments, and its name."""
    for file in files_of(root):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                if body:
                    yield int(node.end_lineno or 0) - body[0].lineno + 1, f"{_name(root, file)}.{node.name}"


def main(root: Path) -> None:
    """Print the graph and the sizes."""
    found = imports(root)
    for by, others in sorted(between_rooms(found).items()):
        print(f"{by:14} -> {', '.join(sorted(others))}")
    print("\nup or sideways:", *(upward(between_rooms(found)) or ["none"]), sep="\n  ")
    print(f"circles without those of {FACADE}:", *(circles(found) or ["none"]), sep="\n  ")
    print(
        f"private names across rooms: {len(private(found))}",
        *(f"{i.by} {i.of}.{i.name}" for i in private(found)),
        sep="\n  ",
    )
    files = sorted(((len(f.read_text("utf-8").splitlines()), _name(root, f)) for f in files_of(root)), reverse=True)
    longest = sorted(functions(root), reverse=True)
    print(f"lines: {sum(n for n, _ in files):,} in {len(files)} files; longest file: {files[0][0]} {files[0][1]}")
    print(f"functions of over 60 lines: {sum(n > 60 for n, _ in longest)}, over 30: {sum(n > 30 for n, _ in longest)}")
    print("longest functions:", *(f"{n:4} {name}" for n, name in longest[:8]), sep="\n  ")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / PACKAGE)
