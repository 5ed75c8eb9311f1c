"""Check a release before it is tagged: ``python .ci/release.py [TAG]``; prints what disagrees, exit status 1 then.

The version, the data version, the changelog, the text of the tag, ``CITATION.cff`` and ``.zenodo.json`` must say the
same; wheel and sdist must build, install and run outside the source tree. Needs ``pip install ".[release]"``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENTRY = re.compile(r"^## (\S+) \((\d{4}-\d\d-\d\d|unreleased)\), data (\S+)$", re.M)


def facts(root: Path) -> dict[str, str]:
    """What each place says, keyed by place and fact."""
    read = lambda name: (root / name).read_text("utf-8")
    entry = ENTRY.search(read("CHANGELOG.md"))
    if entry is None:
        raise SystemExit("CHANGELOG.md: no entry like '## 0.1.0 (2026-12-01), data 2026.1'")
    cff = dict(re.findall(r'^([\w-]+): "?([^"\n]*)"?$', read("CITATION.cff"), re.M))
    zenodo = json.loads(read(".zenodo.json"))
    return {
        "g287stats/_version.py version": re.findall(r'__version__ = "(.*)"', read("g287stats/_version.py"))[0],
        "CHANGELOG.md version": entry[1],
        "CHANGELOG.md date": entry[2],
        "CHANGELOG.md data": entry[3],
        "CITATION.cff version": cff.get("version", ""),
        "CITATION.cff date": cff.get("date-released", "unreleased"),
        "CITATION.cff title": cff.get("title", ""),
        ".zenodo.json version": zenodo.get("version", ""),
        ".zenodo.json title": zenodo.get("title", ""),
        "data/package.json data": json.loads(read("data/package.json"))["version"],
    }


def disagreements(root: Path, tag: str | None = None) -> list[str]:
    """One line for every fact on which two places disagree; with a tag, also what a release may not leave open."""
    found = facts(root)
    if tag is not None:
        found["tag version"] = tag.removeprefix("v")
    lines = []
    for fact in ("version", "date", "data", "title"):
        said = {place: value for place, value in found.items() if place.endswith(f" {fact}")}
        if len(set(said.values())) > 1:
            lines.append(f"{fact}: " + "; ".join(f"{p.removesuffix(f' {fact}')} says {v!r}" for p, v in said.items()))
    if tag is not None and found["CHANGELOG.md date"] == "unreleased":
        lines.append("date: CHANGELOG.md says unreleased; write the day of the release there and in CITATION.cff")
    return lines


def built_and_run(root: Path, version: str) -> list[str]:
    """Build wheel and sdist, install each in an environment of its own, run it outside the tree; returns problems."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        subprocess.check_call([sys.executable, "-m", "build", "--outdir", work / "dist", root])
        for file in sorted((work / "dist").iterdir()):
            home = work / file.suffix.lstrip(".")
            venv.create(home, with_pip=True)
            subprocess.check_call([home / "bin" / "python", "-m", "pip", "install", "-q", file])
            for command in (["--version"], ["cite"], ["data", "verify"], ["replicate", "--only", "program-counts"]):
                done = subprocess.run([home / "bin" / "g287stats", *command], cwd=home, capture_output=True, text=True)
                if done.returncode or (command == ["--version"] and version not in done.stdout):
                    lines.append(f"{file.name}: g287stats {' '.join(command)}: {(done.stderr or done.stdout)[-500:]}")
    return lines


if __name__ == "__main__":
    tag = sys.argv[1] if len(sys.argv) > 1 else None
    problems = disagreements(ROOT, tag)
    problems += built_and_run(ROOT, facts(ROOT)["g287stats/_version.py version"])
    print("\n".join(problems) or "everything agrees; wheel and sdist install and run")
    sys.exit(bool(problems))
