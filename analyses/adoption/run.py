"""The adoption curve by model with published counts marked, and a county map of first adoption."""

import matplotlib.pyplot as plt
import pandas as pd

import g287stats as g
from g287stats.report import plots

PUBLISHED = {  # agreements active, as published, where a list of the day is in hand
    "2025-01-20": "count-2025-01-20-active",
    "2025-04-15": "count-2025-04-mid-active",
    "2025-08-29": "count-2025-08-29-active",
}


def run(bench):
    a = g.load_agreements()
    curve = a.adoption_curve(freq="M")
    claims = g.findings("count").set_index("claim_id")["estimate"]
    marks = pd.DataFrame(
        {"date": pd.to_datetime(list(PUBLISHED)), "value": claims[list(PUBLISHED.values())].to_numpy()}
    )
    figure, (whole, recent) = plt.subplots(1, 2, figsize=(12, 4.5), width_ratios=(3, 2))
    plots.plot_adoption(curve, whole, published=marks, gap=(pd.Timestamp("2017-08-01"), pd.Timestamp("2021-01-13")))
    plots.plot_adoption(a.adoption_curve(freq="D").loc["2025-01-01":], recent, published=marks)
    recent.tick_params(axis="x", rotation=45)
    note = "Open circles: published counts. Shaded: no list in hand. Right: daily since January 2025."
    bench.figure("adoption", figure, title="Active agreements by model", note=note, provenance=a.provenance)
    bench.table(
        "adoption_monthly", curve.reset_index(), title="Active agreements at month ends", provenance=a.provenance
    )

    panel = g.county_panel(years=(2002, 2026), exposure=g.Exposure(models="any", level="county"), agreements=a)
    first = panel.treated_units()
    edges, names = (
        (2002, 2007, 2009, 2017, 2021, 2025, 2026, 2027),
        ("2002–06", "2007–08", "2009–16", "2017–20", "2021–24", "2025", "2026"),
    )
    figure, ax = plt.subplots(figsize=(10, 6.2))
    plots.plot_county_map(first.set_index("county_fips")["cohort"].astype(float), ax, bounds=edges, labels=names)
    bench.figure(
        "first_adoption",
        figure,
        title="Year of the first agreement of a county-level agency",
        note=f"{len(first)} counties ever; grey: none.",
        provenance=panel.provenance,
    )
    bench.table("first_adoption", first, title="Counties by first agreement", provenance=panel.provenance)
