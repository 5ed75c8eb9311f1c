"""Secure Communities and recorded crime: with and without trends, own activation and the neighbours'."""

DETENTIONS = (
    "county-month counts of Secure Communities detentions (ICE FOIA; TRAC, https://trac.syr.edu, by licence); none is "
    "bundled"
)


def run(bench):
    bench.county_grid(
        "Recorded crime under Secure Communities",
        note="Log points × 100 for a whole year active. Errors clustered by state.",
    )
    for claim in ("i-MC-elas0", "i-MC-elas1"):
        bench.needs(claim, DETENTIONS)
