"""One palette for pages and matplotlib: classes of agreements, models, states of a claim, ink and paper.

Luminance of the classes falls in even steps (L* 93, 78, 60, 37, 14), so a grey print can be read. Amber on white is
faint: every swatch and bar has the dark border ``EDGE``. No red, no green.
"""

from __future__ import annotations

from typing import NamedTuple

INK, MUTED, RULE, PAPER, WASH = "#1d1d1f", "#57575c", "#d9d7d0", "#ffffff", "#f7f6f3"
LINK, EDGE, GREY, ACCENT = "#174a86", "#2b2b2e", "#BBBBBB", "#2B6CA3"


class Kind(NamedTuple):
    """One class of a county: number, colour, short words."""

    number: int
    color: str
    words: str


CLASSES: tuple[Kind, ...] = (
    Kind(0, "#ECEBE7", "none"),
    Kind(1, "#EDB93F", "warrant service only"),
    Kind(2, "#3D9AC4", "jail enforcement"),
    Kind(3, "#7A3B94", "task force only"),
    Kind(4, "#33134F", "task force and a jail model"),
)
"""What the county-level agencies of a county have signed; jail enforcement with or without warrant service."""

MODEL_COLORS = {"WSO": CLASSES[1].color, "JEM": CLASSES[2].color, "TFM": CLASSES[3].color, "all": INK}
"""Colours of the models."""

MODEL_WORDS = {"WSO": "warrant service", "JEM": "jail enforcement", "TFM": "task force"}
"""Words for the models; ICE's full names are Warrant Service Officer, Jail Enforcement Model, Task Force Model."""

SERIES_COLORS = ("#3D9AC4", "#7A3B94", "#EDB93F", "#33134F", "#6B7A90", "#8C6D1F")
"""Colours of several series in one plot."""

STATUS_COLORS = {
    "reproduced": INK,
    "consistent": "#6B7A90",
    "different, explained": "#E0A458",
    "different, unexplained": "#E0A458",
}
"""Fill of a claim's square; every other status is drawn by hatching or outline, never by colour alone."""


def class_of(models: set[str] | frozenset[str]) -> int:
    """Return the class of a set of models.

    >>> class_of({"WSO"}), class_of({"JEM", "WSO"}), class_of({"TFM"}), class_of({"TFM", "WSO"}), class_of(set())
    (1, 2, 3, 4, 0)
    """
    if "TFM" in models:
        return 4 if models & {"JEM", "WSO"} else 3
    if "JEM" in models:
        return 2
    return 1 if "WSO" in models else 0
