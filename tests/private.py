"""Where tests hold on to a private name, or find a helper by another way: ``python tests/private.py``.

A name with an underscore may be renamed, cut in two or dropped by whoever writes the file; a test that imports it,
reads it or replaces it forbids that. Tests go through a public function, or through one that a room offers. Helpers are
imported by their own name (``from reference_did import …``), never through the folder they lie in.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PROTOCOLS = {"_repr_html_", "_exit"}  # Jupyter's, and os._exit
_PRIVATE = re.compile(r"_[A-Za-z]\w*(?<!__)")
_IN_TEXT = re.compile(r"[A-Za-z_)\]]\.(_[A-Za-z]\w*)")  # a target of monkeypatch by its path, a program to run


def pinned(text: str) -> Iterator[tuple[int, str]]:
    """Line and name of every private name that a test imports, reads or replaces, and of helpers by another way."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.level or str(node.module).split(".")[0] == "tests"):
            yield node.lineno, "." * node.level + (node.module or "")
        for name in _names(node):
            if _PRIVATE.fullmatch(name) and name not in PROTOCOLS:
                yield getattr(node, "lineno", 0), name


def _names(node: ast.AST) -> list[str]:
    match node:
        case ast.ImportFrom(names=names):
            return [a.name for a in names]
        case ast.Attribute(value=ast.Name(id="self")):
            return []
        case ast.Attribute(attr=name):
            return [name]
        case ast.Constant(value=str(text)):
            return _IN_TEXT.findall(text)
        case ast.Call(func=ast.Attribute(attr="setattr" | "delattr") | ast.Name(id="getattr" | "setattr" | "hasattr")):
            return [a.value for a in node.args[1:2] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return []


def main(root: Path) -> int:
    """Print every place; returns their number."""
    files = sorted({*root.rglob("*.py")} - {root / "test_private_names.py"})  # which makes some up
    found = [(f, *where) for f in files for where in pinned(f.read_text("utf-8"))]
    for file, line, name in found:
        print(f"{file.relative_to(root)}:{line}: {name}")
    print(f"private names in tests: {len(found)}")
    return len(found)


if __name__ == "__main__":
    main(Path(__file__).parent)
