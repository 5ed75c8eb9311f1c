"""Shared fixtures, markers and what is skipped by default: private inputs and slow simulations."""

import os
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
sys.path.insert(0, str(_HERE))  # helpers beside the tests, also in an installed wheel

MARKERS = {
    "browser": "needs Chromium and the extra 'browser'; run with: g287stats test -m browser",
    "private_data": "needs the raw inputs, named by the environment variable G287STATS_SOURCES",
    "slow": "long simulation; run with: g287stats test -m slow",
}


def pytest_configure(config: pytest.Config) -> None:
    for name, text in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {text}")
    config.addinivalue_line("filterwarnings", "error::FutureWarning")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for kind in ("slow", "browser"):
        if kind in (config.option.markexpr or ""):
            continue
        skip = pytest.mark.skip(reason=f"{kind}; run with: g287stats test -m {kind}")
        for item in items:
            if kind in item.keywords:
                item.add_marker(skip)


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
