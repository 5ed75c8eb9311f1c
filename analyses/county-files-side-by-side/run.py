"""One event study, two constructions of county crime: imputed county files and sums of printed agencies."""

import matplotlib.pyplot as plt
import pandas as pd

import g287stats as g
from g287stats.palette import SERIES_COLORS

YEARS = [2006, 2009, 2010, 2011, 2012]
SOURCES = {"icpsr_county": "NACJD county files (imputed)", "fbi_county_sums": "sums of FBI agency tables"}
RATES = ("violent_ex_rape_rate", "property_rate")
KEYS = {"unit": "county_fips", "time": "year", "cohort": "cohort"}


def run(bench):
    panels = {name: g.county_panel(name, YEARS) for name in SOURCES}
    kept = {name: panel.balanced(list(RATES)) for name, panel in panels.items()}
    common = set.intersection(*(set(p.frame["county_fips"]) for p in kept.values()))
    figure, axes = plt.subplots(1, 2, figsize=(11, 4))
    rows = []
    for ax, rate in zip(axes, RATES):
        for shift, (name, words) in enumerate(SOURCES.items()):
            frame = kept[name].frame
            effects = g.att_gt(frame[frame["county_fips"].isin(common)], rate, on_unidentified="drop", **KEYS)
            event = effects.aggregate("event", window=(-4, 5))
            event.plot(ax, color=SERIES_COLORS[shift], label=words, offset=0.15 * shift)
            table = event.tidy(bands=False)[["term", "estimate", "std_error"]]
            rows.append(table.assign(outcome=rate, source=words, treated=event.sample["n_treated"]))
    axes[0].legend(frameon=False)
    figure.tight_layout()
    record = {name: panel.provenance for name, panel in panels.items()}
    bench.figure("event_studies", figure, title="Event studies on both constructions", provenance=record)
    table = pd.concat(rows, ignore_index=True)
    bench.table("event_studies_table", table, title="Event studies on both constructions", digits=1, provenance=record)
    gone = missing(panels["fbi_county_sums"])
    bench.table(
        "dropouts",
        gone,
        title="Treated counties of which a large part is missing from the agency sums",
        provenance=record,
    )


def missing(panel):
    frame = panel.frame[panel.frame["cohort"].notna()]
    short = frame[frame["property_rate"].isna() | (frame["coverage"] < 0.8)]
    names = g.data.load_counties().set_index("county_fips")["name"]
    out = short[["county_fips", "state", "year", "coverage"]].assign(figure=short["property_rate"].notna())
    return out.assign(county=out["county_fips"].map(names)).sort_values(["county_fips", "year"])
