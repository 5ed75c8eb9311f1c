"""How long the checks of all bundled tables take: ``python benchmarks/tables.py``."""

from __future__ import annotations

import time

from g287stats import catalog
from g287stats.catalog import manifest


def checks() -> float:
    """Return the processor seconds that the manifest and hashing every bundled table take, reading left out."""
    folder = catalog.released_dir()
    manifest.forget()
    start = time.process_time()
    promised = manifest.promises(folder)
    spent = time.process_time() - start
    for path in sorted(p for p in promised if ".csv" in p and not p.startswith("fixes/")):
        raw = (folder / path).read_bytes()
        start = time.process_time()
        manifest.check(folder / path, raw, promised[path], "")
        spent += time.process_time() - start
    return spent


if __name__ == "__main__":
    runs = sorted(checks() for _ in range(15))
    print(f"checks of all bundled tables: fastest {runs[0] * 1000:.1f} ms, median {runs[7] * 1000:.1f} ms of 15 runs")
