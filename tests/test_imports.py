"""The order of the rooms: imports run downward, files form no circle, siblings and reports keep to themselves."""

from pathlib import Path

from imports import PACKAGE, Import, between_rooms, circles, functions, imports, private, upward

import g287stats

ROOT = Path(g287stats.__file__).parent
FOUND = imports(ROOT)
ROOMS = between_rooms(FOUND)


def test_no_import_runs_up():
    assert upward(ROOMS) == []


def test_files_form_no_circle_but_the_facade_of_the_estimate():
    assert circles(FOUND) == []
    facade = {i for group in circles(FOUND, without="") for i in group}
    assert all(i.startswith(f"{PACKAGE}.estimate.") for i in facade), facade


def test_estimators_and_tests_of_estimates_are_siblings():
    assert "inference" not in ROOMS["did"] and "did" not in ROOMS["inference"]


def test_reports_know_no_estimate():
    assert not {"estimate", "regression", "did", "inference", "survey"} & ROOMS["report"]


def test_nothing_private_crosses_from_room_to_room():
    assert private(FOUND) == []


def test_what_is_looked_for_is_found():
    """The graph of made-up imports: up, sideways, in a circle and private."""
    made = [
        Import("g287stats.design.a", "g287stats.did.b", "x"),
        Import("g287stats.did.b", "g287stats.design.a", "_y"),
        Import("g287stats.inference.c", "g287stats.did.b", "z"),
    ]
    assert upward(between_rooms(made)) == ["design imports did", "inference imports did"]
    assert circles(made) == [["g287stats.design.a", "g287stats.did.b"]]
    assert [i.name for i in private(made)] == ["_y"]
    assert len(FOUND) > 500 and max(functions(ROOT))[0] > 30
