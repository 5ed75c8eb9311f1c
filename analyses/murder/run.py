"""Murder after the first agreements: nearly immune to what people report to police."""


def run(bench):
    bench.county_grid("Murder after the first agreements")
