"""After 2016: did reported crime fall more where more Hispanic residents live, and more so under an agreement?"""


def run(bench):
    bench.county_grid("Reported crime by Hispanic share after 2016", note="Log points × 100.")
