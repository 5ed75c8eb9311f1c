"""More persons identified, less crime? Dose among the counties that signed, within county and year."""


def run(bench):
    bench.county_grid(
        "Identifications and recorded crime",
        note="Log points × 100 for one more person identified per 1,000 residents.",
    )
