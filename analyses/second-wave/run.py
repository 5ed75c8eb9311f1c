"""Agreements of 2025 and 2026: the declared design, and the effect that it could detect by month."""

import tomllib
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import g287stats as g

DECLARED = tomllib.loads(Path(__file__).with_name("declared.toml").read_text("utf-8"))
RATES = {"violent": "violent_ex_rape_rate", "property": "property_rate", "murder": "murder_rate"}
NOISE, FIRST, DETECT = (2015, 2019), "2023-01", 2.8  # 80 % power at 5 %: 1.96 + 0.84 standard errors


def run(bench):
    crime = g.county_panel("fbi_county_sums", NOISE, min_coverage=0.8, on_low_coverage="drop").frame
    agreements = g.load_agreements()
    exposure = g.Exposure(models=("TFM",))
    panel = g.county_panel(years=(int(FIRST[:4]), 2026), freq="M", exposure=exposure, agreements=agreements)
    months = panel.query("exposure_known").frame  # whole months that the record covers
    rows = []
    for outcome, rate in RATES.items():
        noise, kept = spread(crime, rate)
        here = months[months["county_fips"].isin(kept)]
        treated = here.pivot(index="county_fips", columns="period", values="treated").dropna(axis=1)
        for month in [m for m in treated.columns if m >= pd.Period("2025-02")]:
            d = treated.loc[:, :month].to_numpy(dtype=float)
            left = d - d.mean(1, keepdims=True) - d.mean(0, keepdims=True) + d.mean()
            size = float((left**2).sum())
            error = noise * np.sqrt(12 / size) if size > 0 else np.nan
            rows.append(
                {
                    "outcome": outcome,
                    "month": str(month),
                    "counties": len(d),
                    "treated": int(d[:, -1].sum()),
                    "detectable_percent": DETECT * error,
                    "margin": DECLARED["margins"][outcome],
                }
            )
    table = pd.DataFrame(rows)
    note = (
        "Effect detected with 80 % probability at 5 % by the month, if months are independent and as noisy as a "
        "twelfth of a year of 2015 to 2019: a lower bound; serial correlation and shocks common to states add to it."
    )
    record = {"declared in": "declared.toml", "record": agreements.release}
    bench.table("detectable", table, title="What could be seen by when", note=note, digits=2, provenance=record)
    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    for outcome, part in table.groupby("outcome", sort=False):
        ax.plot(pd.PeriodIndex(part["month"], freq="M").to_timestamp(), part["detectable_percent"], label=outcome)
    ax.set_yscale("log")
    ax.set_ylabel("percent")
    ax.legend(frameon=False)
    bench.figure(
        "detectable_by_month", figure, title="Detectable effect of task forces by month", note=note, provenance=record
    )
    plan = pd.DataFrame([{"item": k, "declared": str(v)} for k, v in DECLARED.items()])
    bench.table("declaration", plan, title="Declared before the data", provenance=record)


def spread(frame, rate):
    """Noise of one county-year in percent of the mean rate, after county and year effects; the counties used."""
    wide = frame.pivot(index="county_fips", columns="year", values=rate).dropna().astype(float)
    y = wide.to_numpy()
    left = y - y.mean(1, keepdims=True) - y.mean(0, keepdims=True) + y.mean()
    freedom = (len(y) - 1) * (y.shape[1] - 1)
    return 100 * float(np.sqrt((left**2).sum() / freedom)) / y.mean(), wide.index
