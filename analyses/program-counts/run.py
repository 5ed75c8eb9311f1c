"""Programme counts: what newspapers and ICE stated, and what the dated lists say."""

import pandas as pd

import g287stats as g

LISTS = "ICE lists of participating agencies, 2021 to 2026"
PENDING = "ICE lists of pending agencies, 2025 to 2026"


def run(bench):
    a = g.load_agreements()

    def active(day, **where):
        listed = a.active(on=day, basis="listed")
        return listed[(listed[list(where)] == pd.Series(where)).all(axis=1)]

    january, june, august = active("2025-01-20"), active("2025-06-06"), active("2025-08-27")
    bench.result("count-2025-01-20-active", len(january), data=LISTS, note=models(january))
    bench.result("count-2024-12-active", len(active("2024-12-15")), data=LISTS)
    around = (len(active("2025-04-11")), len(active("2025-04-29")))
    bench.result("count-2025-04-mid-active", around, data=LISTS, note="lists of 11 and 29 April; none between")
    waiting = tuple(len(a.pending(on=day)) for day in ("2025-04-19", "2025-04-30"))
    bench.result("count-2025-04-mid-pending", waiting, data=PENDING, note="lists of 19 and 30 April")
    bench.result("count-2025-04-24-active", around[1], data=LISTS, note=f"29 April; {around[0]} on 11 April")
    bench.result("count-2025-04-24-states", active("2025-04-29").state.nunique(), data=LISTS)
    bench.result("count-2025-06-active", len(june), data=LISTS, note="list of 6 June")
    bench.result("count-2025-06-new", int((june.signed_date >= "2025-01-20").sum()), data=LISTS)
    bench.result("count-2025-06-states", june.state.nunique(), data=LISTS)
    bench.result("count-2025-06-florida", len(active("2025-06-06", state="FL")), data=LISTS)
    bench.result("count-2025-08-29-active", len(august), data=LISTS, note="lists of 26 to 28 August (morning)")
    bench.result("count-2025-08-29-states", august.state.nunique(), data=LISTS)
    bench.result("count-2025-08-29-pending", len(a.pending(on="2025-08-29")), data=PENDING)
    tfm = int((august.model == "TFM").sum())
    bench.result("count-2025-08-29-tfm", tfm, data=LISTS, explained="443, not 434", note=models(august))
    growth = 100 * (len(august) / len(january) - 1)
    bench.result("count-2025-growth", growth, data=LISTS, explained="563 is cut off, not rounded")
    bench.result("count-2024-ny", len(active("2024-12-15", state="NY")), data=LISTS)
    york = active("2025-07-18", state="NY")
    bench.result("count-2025-07-ny-agencies", york.agency_id.nunique(), data=LISTS)
    bench.result("count-2025-07-ny-counties", counties(york), data=LISTS)
    florida = active("2025-06-06", state="FL")
    bench.result("count-2025-fl-coverage", counties(florida) / 67, data=LISTS, note="67 counties")

    shown = ["claim_id", "finding", "published", "ours", "status", "reason", "note"]
    table, record = pd.DataFrame(bench.results)[shown], {"record": a.release, "spells": len(a)}
    bench.table("counts", table, title="Programme counts, published against ours", provenance=record)


def models(frame):
    return ", ".join(f"{n} {m}" for m, n in frame.model.value_counts().sort_index().items())


def counties(frame):
    return frame.county_fips.dropna().str.split(";").explode().nunique()
