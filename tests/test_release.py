"""The release check notices when two places disagree."""

import importlib.util
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / ".ci" / "release.py"
pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="installed without the source tree")
FILES = ("CHANGELOG.md", "CITATION.cff", ".zenodo.json", "data/package.json", "g287stats/_version.py")


@pytest.fixture(scope="module")
def release():
    spec = importlib.util.spec_from_file_location("release", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_this_tree_agrees(release):
    assert release.disagreements(ROOT) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("g287stats/_version.py", '"0.', '"9.', "g287stats/_version.py says '9."),
        ("CITATION.cff", "\nversion: ", "\nversion: 9", "CITATION.cff says '9"),
        (".zenodo.json", '"version": "', '"version": "9', ".zenodo.json says '9"),
        (".zenodo.json", '"title": "', '"title": "Other ', ".zenodo.json says 'Other "),
        ("data/package.json", '"version": "', '"version": "1', "data/package.json says '1"),
        ("CITATION.cff", "license:", "date-released: 2001-01-01\nlicense:", "CITATION.cff says '2001-01-01'"),
    ],
)
def test_each_place_that_differs_is_named(release, copy, file, old, new, told):
    text = (copy / file).read_text("utf-8")
    assert old in text
    (copy / file).write_text(text.replace(old, new, 1), "utf-8")
    (line,) = release.disagreements(copy)
    assert told in line


def test_a_tag_must_be_the_version_and_dated(release, copy):
    version = release.facts(copy)["g287stats/_version.py version"]
    assert any("tag says '9.9'" in line for line in release.disagreements(copy, "v9.9"))
    changelog = copy / "CHANGELOG.md"
    changelog.write_text(changelog.read_text("utf-8").replace("(2", "(unreleased", 1), "utf-8")
    changelog.write_text(
        release.ENTRY.sub(r"## \1 (unreleased), data \3", changelog.read_text("utf-8"), count=1), "utf-8"
    )
    assert any("unreleased" in line for line in release.disagreements(copy, f"v{version}"))
    dated = release.ENTRY.sub(r"## \1 (2026-12-01), data \3", changelog.read_text("utf-8"), count=1)
    changelog.write_text(dated, "utf-8")
    cff = copy / "CITATION.cff"
    cff.write_text(cff.read_text("utf-8") + "date-released: 2026-12-01\n", "utf-8")
    assert release.disagreements(copy, f"v{version}") == []
