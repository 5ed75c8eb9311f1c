"""Shared fixtures: where the raw sources and the stored reference outputs are."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def sources() -> Path:
    """Folder of the raw inputs; tests that ask for it must be marked ``private_data``."""
    folder = os.environ.get("G287STATS_SOURCES")
    if not folder:
        pytest.skip("set G287STATS_SOURCES to the folder of the raw inputs")
    return Path(folder)


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of stored outputs of other software on authored data."""
    return Path(__file__).parent / "reference"
