"""The adoption curve by model with published counts marked, and a county map of first adoption."""

import matplotlib.pyplot as plt
import pandas as pd

import g287stats as g
from g287stats.report import plots

PUBLISHED = {  # agreements active as published, and the day they are drawn at
    "count-2025-01-20-active": "2025-01-20",
    "count-2025-04-mid-active": "2025-04-15",
    "count-2025-08-29-active": "2025-08-28",
}
GAP = (pd.Timestamp("2017-08-01"), pd.Timestamp("2021-01-13"))
EDGES = (2002, 2007, 2009, 2017, 2021, 2025, 2026, 2027)
CLASSES = ("2002–06", "2007–08", "2009–16", "2017–20", "2021–24", "2025", "2026")


def run(bench):
    a = g.load_agreements()
    record = {"record": a.release, "spells": len(a)}
    signed = a.adoption_curve(freq="M", basis="signed").query("counted_only == 0")  # to the last list in hand
    listed = a.adoption_curve(freq="W", basis="listed").loc["2025-01":]
    claims = g.findings("count").set_index("claim_id")["estimate"]
    days = pd.to_datetime(list(PUBLISHED.values()))
    marks = pd.DataFrame({"date": days, "value": claims[list(PUBLISHED)].to_numpy()})
    figure, (whole, recent) = plt.subplots(1, 2, figsize=(12, 4.5), width_ratios=(3, 2))
    plots.plot_adoption(dated(signed), whole, gap=GAP)
    plots.plot_adoption(dated(listed), recent, published=marks)
    whole.set_title("signed and not ended, by month")
    recent.set_title("printed on the list in force, by week")
    recent.tick_params(axis="x", rotation=45)
    note = "Open circles: published counts. Shaded: no list in hand, ends known to a window only."
    bench.figure("adoption", figure, title="Active agreements by model", note=note, provenance=record)
    monthly = signed.drop(columns=["named", "counted_only"]).rename_axis("month").reset_index().astype({"month": str})
    bench.table("adoption_monthly", monthly, title="Agreements signed and not ended, at month ends", provenance=record)

    panel = g.county_panel(
        years=(2002, 2026), exposure=g.Exposure(models="any", level="county", beyond="flag"), agreements=a
    )
    first = panel.treated_units()
    figure, ax = plt.subplots(figsize=(10, 6.2))
    years = first.set_index("county_fips")["cohort"].astype(float)
    plots.plot_county_map(years, ax, bounds=EDGES, labels=CLASSES)
    title = "Year of the first agreement of a county-level agency"
    bench.figure(
        "first_adoption",
        figure,
        title=title,
        note=f"{len(first)} counties ever; grey: none.",
        provenance=panel.provenance,
    )
    bench.table("first_adoption_counties", first, title=title, provenance=panel.provenance)


def dated(curve):
    return curve.drop(columns=["total", "named", "counted_only"]).set_axis(curve.index.to_timestamp(how="end"))
