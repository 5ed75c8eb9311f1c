"""Tests leave whoever writes the code free to rename: none holds on to a private name."""

from pathlib import Path

from private import pinned

MADE_UP = """
from g287stats.inference.honest import _rejects, flci
from .helper import panel
from tests.helper import panel
honest._rejects = stub
self._own, os._exit(0), kind.__mro__, word._repr_html_()
monkeypatch.setattr(honest, "_solved", stub)
monkeypatch.setattr("g287stats.inference.honest._CHUNK", 5)
run("flush = writing._flush")
"""


def test_no_test_pins_a_private_name():
    root = Path(__file__).parent
    files = [f for f in sorted(root.rglob("*.py")) if f != Path(__file__)]
    assert len(files) > 100
    assert [(str(f.relative_to(root)), *where) for f in files for where in pinned(f.read_text("utf-8"))] == []


def test_what_is_looked_for_is_found():
    assert [name for _, name in sorted(pinned(MADE_UP))] == [
        "_rejects",
        ".helper",
        "tests.helper",
        "_rejects",
        "_solved",
        "_CHUNK",
        "_flush",
    ]
