"""The two fixed vocabularies: replication status of a number, verdict on a statement."""

from __future__ import annotations

STATUS = (
    "reproduced",
    "consistent",
    "different, explained",
    "different, unexplained",
    "not testable with public data (shown by calibrated simulation)",
)
"""What became of a published number here."""

NOT_YET = "not yet run"
"""Shown for claims whose analysis is not in this version: the absence of a status, not a status."""

VERDICTS = (
    "supported",
    "supported with qualification",
    "mixed",
    "contested",
    "not checkable without restricted data",
)
"""What the studies together say about a statement."""
