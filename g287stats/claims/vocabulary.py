"""The fixed vocabularies: what became of a published number, what a row says, what studies say together."""

from __future__ import annotations

STATUS = (
    "reproduced",
    "consistent",
    "uninformative",
    "different, explained",
    "different, unexplained",
    "depends on the design",
    "needs data",
    "not testable with public data (shown by calibrated simulation)",
)
"""What became of a published number here."""

NOT_YET = "not yet run"
"""Shown for claims whose analysis did not run: the absence of a status, not a status."""

READINGS = ("decline", "negligible", "rise", "uninformative")
"""What one specification says, given the smallest effect worth speaking of."""

VERDICTS = (
    "supported",
    "supported with qualification",
    "mixed",
    "contested",
    "not checkable without restricted data",
)
"""What the studies together say about a statement. A single claim carries none of these."""

STANDINGS = (
    "as published",
    "contested",
    "narrowed",
    "not on 287(g)",
    "input",
    "recalled",
    "context",
)
"""How a published number itself stands, apart from what became of it here."""
