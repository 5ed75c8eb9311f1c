"""Hispanic share of traffic stops after agreements and Secure Communities: ready for the Stanford files."""

from g287stats.claims.grid import estimate_grid
from g287stats.claims.stops import estimate


def run(bench):
    grid = bench.declared()
    found = estimate_grid(grid, lambda spec: estimate(grid.options["data"][spec["data"]], spec["policy"]))
    bench.grid(grid, found, title="Hispanic share of stops", note="Percentage points; counties by month.")
