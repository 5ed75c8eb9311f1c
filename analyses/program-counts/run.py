"""Programme counts: what newspapers and ICE stated, and what the dated lists say."""

import pandas as pd

import g287stats as g
from g287stats.catalog import read_released

LISTS = "ICE lists of participating agencies, 2021 to 2026"
PENDING = "ICE lists of pending agencies, 2025 to 2026"


def run(bench):
    a = g.load_agreements()

    def active(day, **where):
        listed = a.active(on=day, basis="listed")
        return listed[(listed[list(where)] == pd.Series(where)).all(axis=1)]

    january, june, august = active("2025-01-20"), active("2025-06-06"), active("2025-08-29")
    printed = active("2025-08-27")  # the last list with 896 rows
    bench.result("count-2025-01-20-active", len(january), data=LISTS, note=models(january))
    bench.result("count-2024-12-active", len(active("2024-12-15")), data=LISTS)
    around = (len(active("2025-04-11")), len(active("2025-04-29")))
    bench.result("count-2025-04-mid-active", around, data=LISTS, note="lists of 11 and 29 April; none between")
    waiting = tuple(len(a.pending(on=day)) for day in ("2025-04-19", "2025-04-30"))
    bench.result("count-2025-04-mid-pending", waiting, data=PENDING, note="lists of 19 and 30 April")
    bench.result("count-2025-04-24-active", len(active("2025-04-24")), data=LISTS, explained="24 April 2025",
                 note=f"list in force: 11 April; {around[1]} on 29 April")  # fmt: skip
    bench.result("count-2025-04-24-states", active("2025-04-24").state.nunique(), data=LISTS)
    bench.result("count-2025-06-active", len(june), data=LISTS, note="list of 6 June")
    bench.result("count-2025-06-new", int((june.signed_date >= "2025-01-20").sum()), data=LISTS)
    bench.result("count-2025-06-states", june.state.nunique(), data=LISTS)
    bench.result("count-2025-06-florida", len(active("2025-06-06", state="FL")), data=LISTS)
    note = f"list in force: 29 August, afternoon; {len(printed)} from 26 August to the morning of the 28th"
    bench.result("count-2025-08-29-active", len(august), data=LISTS, explained="29 August 2025", note=note)
    note = f"{printed.state.nunique()} on the lists with {len(printed)} agreements"
    bench.result("count-2025-08-29-states", august.state.nunique(), data=LISTS, explained="29 August 2025", note=note)
    bench.result("count-2025-08-29-pending", len(a.pending(on="2025-08-29")), data=PENDING)
    tfm = int((printed.model == "TFM").sum())  # the claim is a part of 896: the list that has 896
    note = f"{models(printed)}; {int((august.model == 'TFM').sum())} on the list in force on 29 August"
    bench.result("count-2025-08-29-tfm", tfm, data=LISTS, explained="443, not 434", note=note)
    growth, to_day = (100 * (len(x) / len(january) - 1) for x in (printed, august))
    note = f"135 to 896 as printed; {to_day:.0f} to the list in force on 29 August"
    bench.result("count-2025-growth", growth, data=LISTS, explained="563 is cut off, not rounded", note=note)
    bench.result("count-2024-ny", len(active("2024-12-15", state="NY")), data=LISTS)
    york = active("2025-07-18", state="NY")
    bench.result("count-2025-07-ny-agencies", york.agency_id.nunique(), data=LISTS)
    bench.result("count-2025-07-ny-counties", counties(york), data=LISTS)
    florida = active("2025-06-06", state="FL")
    bench.result("count-2025-fl-coverage", counties(florida) / 67, data=LISTS, note="67 counties")

    deputized(bench, active("2026-02-27"))
    shown = ["claim_id", "finding", "published", "ours", "status", "reason", "note"]
    table, record = pd.DataFrame(bench.results)[shown], {"record": a.release, "spells": len(a)}
    bench.table("counts", table, title="Programme counts, published against ours", provenance=record)


def deputized(bench, listed):
    """Counts of a report of March 2026, its day not stated, on the last list of February."""
    people = g.data.load_population()
    people = people[people["year"] == people["year"].max()].set_index("county_fips")["population"]
    places = listed.county_fips.dropna().str.split(";").explode().unique()
    residents = int(people.reindex(places).sum())
    note = f"list in force: 27 February 2026; {len(places)} counties, residents of 2024"
    agencies = listed.agency_id.nunique()
    bench.result("count-2026-aclu-agencies", agencies, data=LISTS, note=note, explained="Deputized for disaster")
    connecticut = read_released("population_connecticut_regions")  # its counties are not in the table for 2024
    everyone = people.sum() + connecticut.loc[connecticut["year"] == 2024, "population"].sum()
    share = residents / int(everyone)
    bench.result("count-2026-aclu-share", round(share, 3), data=LISTS, note=note, explained="Deputized for disaster")
    bench.result("count-2026-aclu-residents", residents, data=LISTS, note=note, explained="Deputized for disaster")


def models(frame):
    return ", ".join(f"{n} {m}" for m, n in frame.model.value_counts().sort_index().items())


def counties(frame):
    return frame.county_fips.dropna().str.split(";").explode().nunique()
