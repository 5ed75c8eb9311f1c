"""Planted effects are recovered: bias within two Monte-Carlo errors, 95 % intervals covering 93–97 %.

The table: python -m g287stats.simulation.recovery_ncvs --seeds 200
"""

import numpy as np
import pandas as pd
import pytest

from g287stats.simulation.recovery_ncvs import PLANTED, recover, summarize


def test_summary_by_hand():
    runs = pd.DataFrame(
        {
            "seed": [1, 2],
            "treatment": "TFM",
            "truth": 0.5,
            "estimate": [0.4, 0.8],
            "design_se": [0.1, 0.1],
            "county_se": [0.2, 0.05],
            "df_design": np.inf,
            "df_county": np.inf,
            "treated_rows": 10,
            "treated_victims": 4,
        }
    )
    row = summarize(runs).iloc[0]
    assert row["bias"] == pytest.approx(0.1)
    assert row.mc_error == pytest.approx(0.2)
    assert row.coverage_design == 50
    assert row.coverage_headline == 50
    assert row.mean_headline_se == pytest.approx(0.15)
    assert row.significant_design == 100


def test_one_seed():
    runs = recover([3], size=0.1, rate=8.0, n_counties=200, dates="assumed")
    assert runs.treatment.tolist() == [t for t, _ in PLANTED]
    assert (runs.design_se > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("family", ["logit", "poisson"])
def test_recovery_over_200_seeds(family):
    table = summarize(recover(range(1, 201), family=family)).set_index("treatment")
    assert (table.bias_in_mc_errors.abs() < 2).all(), table
    assert table.coverage_headline.between(93, 97).all(), table
