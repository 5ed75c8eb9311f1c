"""Prince William County, Virginia: assault, robbery and property offences against synthetic comparisons."""

from functools import cache

import matplotlib.pyplot as plt

import g287stats as g
from g287stats.claims.grid import Cell, estimate_grid
from g287stats.claims.recommended import Interval

COUNTY = "51153"
METHODS = {"synthetic control": g.synthetic_control, "synthetic DiD": g.synthetic_did}
KEYS = {"unit": "county_fips", "time": "year", "cohort": "cohort"}


def run(bench):
    grid = bench.declared()
    cards = grid.options["data"]
    paths = {}

    def estimate(spec):
        frame = donors(cards[spec["data"]]["table"], tuple(cards[spec["data"]]["years"]), spec["donors"])
        rate = f"{spec['outcome']}_rate"
        whole = frame.groupby("county_fips")[rate].transform("count") == frame["year"].nunique()
        frame = frame[whole & frame[rate].notna()]
        treated = frame["county_fips"] == COUNTY
        if not treated.any():
            raise g.errors.IdentificationError(f"Prince William County is not in every year of {spec['data']}")
        frame = frame.assign(cohort=treated.map({True: int(spec["start"]), False: None}).astype("Int64"))
        fit = METHODS[spec["method"]](frame, rate, **KEYS)
        base = float(frame.loc[treated & (frame["year"] < int(spec["start"])), rate].mean())
        ends = fit.synthetic.conf_int_placebo().iloc[0]
        how = f"placebo ranks among {frame['county_fips'].nunique() - 1} donors"
        interval = Interval(float(ends["conf_low"]), float(ends["conf_high"]), fit.synthetic.p_value, how)
        paths.setdefault(spec["outcome"], (spec, fit.synthetic.path))
        return Cell(fit, base, (COUNTY,), 1.0, interval)

    found = estimate_grid(grid, estimate)
    bench.grid(grid, found, title="Prince William County after its policy of 2007-2008")
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    for ax, (outcome, (spec, path)) in zip(axes, paths.items()):
        path.set_index("year")[["treated", "synthetic"]].plot(ax=ax, color=["#4477AA", "#999999"])
        ax.axvline(int(spec["start"]) - 0.5, color="#999999", lw=0.8, ls=":")
        ax.set_title(f"{outcome}: {spec['data']}", fontsize=9)
    bench.figure(
        "paths",
        figure,
        title="Prince William County and its synthetic comparison",
        note="First specification of each outcome.",
        provenance={"declared in": "grid.toml"},
    )


@cache
def donors(table, years, which):
    """Prince William County and counties without an agreement through the last year."""
    coverage = {} if table == "fbi_table10" else {"min_coverage": 0.8, "on_low_coverage": "drop"}
    panel = g.county_panel(table, years, **coverage)
    frame = panel.frame[panel.frame["cohort"].isna() | (panel.frame["county_fips"] == COUNTY)]
    size = frame.groupby("county_fips")["population"].transform("mean")
    near = frame["state"].isin(["VA", "MD"]) if which == "Virginia and Maryland" else size.between(2e5, 8e5)
    return frame[near | (frame["county_fips"] == COUNTY)]
