"""Private county files, added once for the tests that compare with them."""

import pytest

from g287stats import catalog
from g287stats.catalog import store


@pytest.fixture(scope="session")
def _nacjd_home(sources, tmp_path_factory):
    home = tmp_path_factory.mktemp("nacjd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.DATA_DIR_VARIABLE, str(home))
        catalog.data_add("icpsr-county-crimes", [sources / "crime" / "icpsr_county_crimes"])
    return home


@pytest.fixture
def nacjd_crimes(_nacjd_home, monkeypatch):
    """The NACJD county crime files are in the user's data directory (private)."""
    monkeypatch.setenv(store.DATA_DIR_VARIABLE, str(_nacjd_home))
