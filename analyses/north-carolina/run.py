"""North Carolina: recorded crime after a sheriff's agreement, and in counties next door, over a declared grid."""

CLEARANCES = (
    "clearances by county: the Marshall Project's agency clearances 1970–2020, or Kaplan's Offenses Known (openICPSR "
    "100707) with `g287stats data add kaplan-offenses`; no clearances by county are bundled for North Carolina"
)
OFFICERS = "officers assaulted by agency: FBI LEOKA (Kaplan, openICPSR 102180); no table of them is bundled"


def run(bench):
    bench.county_grid(
        "North Carolina after the first agreements",
        note="Intervals of plain two-way rows invert a permutation test over counties; the wild bootstrap's p-value "
        "stands beside it in the column inference.",
    )
    bench.needs("v-FN-clear", CLEARANCES)
    bench.needs("x-FN-leoka", OFFICERS, note="in the 2018 version only; absent from the 2020 abstract")
