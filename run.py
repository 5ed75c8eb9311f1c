#!/usr/bin/env python3
"""The two commands of the README, from a fresh clone and nothing but Python.

    python3 run.py report [--out DIR] ...     install, run every analysis, write replication/report.html
    python3 run.py tests [PYTEST ARGUMENTS]   install, run the package's own tests

Both make a virtual environment of their own (``.venv``; another with ``--venv DIR``), install this clone into it as
users install it, and run the installed package outside the source tree. Running one again installs what changed.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def main(arguments: list[str]) -> int:
    """Run one of the two commands; returns its exit status."""
    folder = ROOT / ".venv"
    if "--venv" in arguments[:-1]:
        at = arguments.index("--venv")
        folder = Path(arguments[at + 1]).resolve()
        arguments = arguments[:at] + arguments[at + 2 :]
    if not arguments or arguments[0] not in ("report", "tests"):
        print(__doc__)
        return 2
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python may well read this file
        print(f"g287stats needs Python 3.11 or newer; this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    command, *rest = arguments
    if command == "tests":
        programs = installed(folder, "[test,statfiles]")
        return subprocess.call([programs / "g287stats", "test", *(rest or ["-n", "2"])], cwd=folder)
    return subprocess.call([installed(folder, "") / "g287stats", "replicate", *rest])


def installed(folder: Path, extra: str) -> Path:
    """Make the environment where there is none, install this clone into it; returns the folder of its programs."""
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    if not (folder / "pyvenv.cfg").is_file():
        print(f"making {folder} …", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True)
    print("installing g287stats and what it needs (a minute the first time) …", file=sys.stderr, flush=True)
    pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.check_call([*pip, f"{ROOT}{extra}"])
    return programs


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
