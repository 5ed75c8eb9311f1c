"""Run the Python blocks of README and docs: ``python -m pytest README.md docs``."""

import matplotlib
import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _quiet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()], patterns=["README.md", "docs/**/*.md", "docs/*.md"], fixtures=["_quiet"]
).pytest()
