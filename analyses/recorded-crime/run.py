"""Violent and property offences after a county's first agreement, over the grid declared in grid.toml."""

import matplotlib.pyplot as plt

import g287stats as g
from g287stats.claims.county import CountyDesigns
from g287stats.claims.plots import forest


def run(bench):
    found = bench.county_grid(
        "Recorded crime after the first agreements",
        note="Percent of the treated counties' rate before treatment (log points for Poisson). Decline and rise: the "
        "interval excludes zero and the estimate is at least the margin; negligible: the interval lies inside it.",
    )
    first = found.frame[(found.frame["state"] == "estimated") & (found.frame["sample"] == "all")]
    for outcome, words in found.grid.outcomes.items():
        rows = first[(first["outcome"] == outcome) & (first["trends"] == "none")]
        if len(rows):
            axes = forest(rows, found.grid.axes)
            bench.figure(
                f"forest_{outcome}",
                axes.figure,
                title=f"Without trends, whole sample: {words}",
                provenance={"declared in": "grid.toml"},
            )
    event_studies(bench, CountyDesigns(found.grid))


def event_studies(bench, designs):
    """Leads and lags on the first data set at hand, against all counties and against similar ones."""
    data = next(d for d in designs.grid.levels["data"] if available(designs, d))
    figure, axes = plt.subplots(2, 2, figsize=(11, 7.5), sharey="row", layout="constrained")
    keys = {"unit": "county_fips", "time": "year", "cohort": "cohort"}
    for line, outcome in zip(axes, ("violent", "property")):
        for ax, comparison in zip(line, ("all counties", "similar counties")):
            spec = {"data": data, "outcome": outcome, "comparison": comparison}
            frame = designs.sample(spec)
            weights = "balance_weight" if comparison == "similar counties" else None
            rate = {"violent": "violent_ex_rape_rate"}.get(outcome, f"{outcome}_rate")
            effects = g.att_gt(frame, rate, weights=weights, on_unidentified="drop", **keys)
            effects.aggregate("event", window=(-3, 4)).plot(ax=ax)
            ax.set_title(f"{designs.grid.outcomes[outcome]}, against {comparison}")
    note = "Thick: pointwise 95 % intervals; thin: simultaneous bands. Rates per 100,000 county residents."
    bench.figure(
        "event_study",
        figure,
        title=f"Event study: {data}",
        note=note,
        provenance=designs.panel(data, "any agreement").provenance,
    )


def available(designs, data):
    try:
        designs.panel(data, "any agreement")
    except g.errors.G287Error:
        return False
    return True
