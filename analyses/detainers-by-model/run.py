"""Shares of the persons identified under 287(g) by the model of the agency, fiscal year 2010."""

import g287stats as g

YEAR, DAY, FIRST_DAY = 2010, "2010-03-31", "2009-10-01"
KINDS = {"JEM": "jail", "JEM+TFM": "hybrid", "TFM": "task force"}
CLAIMS = {"jail": "iv-MPI-JAIL", "hybrid": "iv-MPI-HYB", "task force": "iv-MPI-TFM"}
SOURCE = "ICE identifications by agency, fiscal year 2010"


def run(bench):
    record = g.load_agreements()
    counts = g.data.load_removals()
    counts = counts[counts["fiscal_year"] == YEAR]
    table = by_model(counts, record, DAY)
    table["identified_share_if_models_of_first_day"] = by_model(counts, record, FIRST_DAY)["identified_share"]
    for name, claim in CLAIMS.items():
        note = f"{int(table.loc[name, 'identified']):,} of {int(table['identified'].sum()):,} identified"
        bench.result(claim, float(table.loc[name, "identified_share"]), data=SOURCE, note=note, related=True)
    identified = counts.set_index("agency_id")["identified"].dropna().sort_values(ascending=False)
    largest = float(identified.head(12).sum() / identified.sum())
    bench.result("iv-MPI-12", largest, data=SOURCE, related=True, note="identified persons, twelve largest agencies")
    two = float(identified[["AZ-maricopa-county-sheriff", "TX-harris-county-sheriff"]].sum() / identified.sum())
    bench.result("iv-MPI-2", two, data=SOURCE, related=True, note="identified persons, sheriffs of Maricopa and Harris")
    state = g.data.load_removals().query("state == 'NC'")["removed"].sum()
    bench.result(
        "iv-FN-count",
        int(state),
        data="ICE removals by agency, fiscal years 2006 to 2013",
        explained="North Carolina, 2003 to 2013",
    )
    bench.table(
        "by_model",
        table.reset_index(),
        title=f"Persons identified and removed by model, fiscal year {YEAR}",
        provenance={"record": record.release, "counts": SOURCE, "models on": DAY},
    )


def by_model(counts, record, day):
    active = record.active(on=day, basis="signed")
    models = active.groupby("agency_id")["model"].agg(lambda m: "+".join(sorted(set(m))))
    kind = counts["agency_id"].map(models).map(KINDS).fillna("none that day").rename("model")
    table = counts.groupby(kind)[["identified", "removed"]].agg(["sum", "count"])
    table.columns = ["identified", "agencies_with_identified", "removed", "agencies_with_removed"]
    for count in ("identified", "removed"):
        table[f"{count}_share"] = (table[count] / table[count].sum()).astype(float)
    return table
