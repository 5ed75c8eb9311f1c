"""The door: what a survey sample refuses, and what it keeps."""

import numpy as np
import pandas as pd
import pytest

from g287stats import survey as sv
from g287stats.errors import DesignError
from g287stats.survey.design import FACTS


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "V2117": [1, 1, 1, 1, 2, 2, 2, 2],
            "V2118": [1, 1, 2, 2, 1, 1, 2, 2],
            "w": [1.0, 2, 3, 4, 1, 1, 2, 0],
            "y": [1.0, 0, 1, 0, 0, 1, 1, 1],
            "year": [2007] * 8,
            "g": list("abababab"),
        }
    )


def test_by_hand(frame):
    """Total of y: PSU sums 1, 3 | 1, 2; deviations from stratum means ±1 | ±0.5; variance 2·(1+1) + 2·(.25+.25)."""
    s = sv.sample(frame, weights="w", strata="V2117", psu="V2118")
    e = sv.total(s, "y")
    assert e.point[0] == 7
    assert e.se.iloc[0] ** 2 == pytest.approx(5)
    assert e.df == 2
    # mean: 7/14 = 0.5; influence w(y − .5)/14 by PSU: (.5 − 1)/14, (1.5 − 2)/14 | 0, 1/14
    m = sv.mean(s, "y")
    assert m.point[0] == 0.5
    assert m.se.iloc[0] ** 2 == pytest.approx((2 * 0 + 2 * (0.5**2 + 0.5**2)) / 14**2)


def test_all_problems_at_once(frame):
    frame.loc[0, "V2118"] = np.nan
    frame.loc[1, "w"] = -1
    with pytest.raises(DesignError, match=r"2 problems") as error:
        sv.sample(frame, weights="w", strata="V2117", psu="V2118")
    assert "'V2118' is missing" in str(error.value)
    assert "not negative" in str(error.value)
    with pytest.raises(DesignError, match=r"columns not in the file \(1\): nope"):
        sv.sample(frame, weights="nope")


def test_a_filtered_frame_is_refused_as_a_domain(frame):
    s = sv.sample(frame, weights="w", strata="V2117", psu="V2118")
    part = frame[frame.g == "a"]
    for wrong in (part, part.g == "a", np.array([True, False])):
        with pytest.raises(DesignError, match=r"without removing rows|must not be removed"):
            sv.mean(s, "y", domain=wrong)
    with pytest.raises(DesignError, match="missing values"):
        sv.mean(s, "y", domain=pd.Series([True, None] * 4, dtype="boolean"))
    a = sv.mean(s, "y", domain=frame.g == "a")
    b = sv.mean(s, "y", domain="g == 'a'")
    assert a.se.iloc[0] == b.se.iloc[0]


def test_rows_removed_since_reading(frame):
    frame.attrs[FACTS] = {"rows": len(frame)}
    sv.sample(frame, weights="w", strata="V2117", psu="V2118")
    with pytest.raises(DesignError, match=r"4 of 8 rows were removed since the file was read"):
        sv.sample(frame[frame.g == "a"], weights="w", strata="V2117", psu="V2118")


def test_pooled_years_need_year_groups(frame):
    frame["year"] = [2005] * 4 + [2006] * 4
    frame["V2117"], frame["V2118"] = 1, [1, 1, 2, 2, 1, 1, 2, 2]
    with pytest.raises(
        DesignError, match=r"2005–2006 are pooled, but the strata V2117 were redrawn in 1997, 2006, 2016"
    ):
        sv.sample(frame, weights="w", strata="V2117", psu="V2118")
    frame["yr_grp"] = sv.year_group(frame.year)
    assert frame.yr_grp.unique().tolist() == [2, 3]
    s = sv.sample(frame, weights="w", strata=("yr_grp", "V2117"), psu="V2118")
    assert (s.n_psu, s.n_strata, s.df) == (4, 2, 2)


def test_year_groups():
    assert sv.year_group(np.array([1994, 1996, 1997, 2005, 2006, 2015, 2016, 2024])).tolist() == [
        1,
        1,
        2,
        2,
        3,
        3,
        4,
        4,
    ]
    assert sv.year_group(pd.Series([2005.4, 2006.1])).tolist() == [2, 3]


def test_absent_psu_and_dummy_records(frame):
    incidents = frame[~((frame.V2117 == 2) & (frame.V2118 == 2))].drop(columns="year").reset_index(drop=True)
    with pytest.raises(DesignError, match=r"PSUs \(V2117 V2118\) of the sample without a row \(1\): 2 2"):
        sv.sample(incidents, weights="w", strata="V2117", psu="V2118", roster=frame, singleton="adjust")
    full = sv.dummy_records(incidents, frame, keys=("V2117", "V2118"), weights="w")
    assert full.dummy.tolist() == [False] * 6 + [True]
    assert full.y.isna().tolist() == [False] * 6 + [True]
    assert full.w.iloc[-1] == 1
    s = sv.sample(full, weights="w", strata="V2117", psu="V2118", roster=frame)
    e = sv.total(s, "y")
    # by hand: PSU sums 1, 3 | 1, 0
    assert e.point[0] == 5
    assert e.se.iloc[0] ** 2 == pytest.approx(2 * (1 + 1) + 2 * (0.25 + 0.25))
    assert e.sample["n_missing"] == 1


def test_a_file_without_design(frame):
    frame.attrs[FACTS] = {"no_design": "NCVS Select carries no strata"}
    with pytest.raises(DesignError, match="Select carries no strata"):
        sv.sample(frame, weights="w")


def test_reliability_flags(frame):
    s = sv.sample(frame, weights="w", strata="V2117", psu="V2118")
    flags = sv.reliability(sv.mean(s, "y"))
    assert flags.n_cases.iloc[0] == 4
    assert flags.caution.iloc[0]
    big = sv.sample(
        pd.concat([frame.assign(V2118=frame.V2118 + 2 * n) for n in range(300)]),
        weights="w",
        strata="V2117",
        psu="V2118",
    )
    assert not sv.reliability(sv.mean(big, "y")).caution.iloc[0]
    percent = sv.reliability(sv.mean(big, "y", scale=100), percent=True)
    p, se = percent.estimate.iloc[0] / 100, percent.std_error.iloc[0] / 100
    assert percent.rse_percent.iloc[0] == pytest.approx(100 * se / p / abs(np.log(p)))


def test_replicates_by_hand():
    """Jackknife of a mean of n values equals s²/n."""
    y = np.array([1.0, 2, 4, 7, 11])
    n = len(y)
    w = (np.ones((n, n)) - np.eye(n)) * n / (n - 1)
    s = sv.sample(pd.DataFrame({"y": y}), replicates=sv.replicate_weights(w, "jk1"))
    e = sv.mean(s, "y", variance="replicates")
    assert e.se.iloc[0] == pytest.approx(y.std(ddof=1) / np.sqrt(n), rel=1e-12)
    assert e.df == n - 1
    e = sv.mean(
        sv.sample(pd.DataFrame({"y": y}), replicates=sv.replicate_weights(w, "jk1", scale=0.96666667)),
        "y",
        variance="replicates",
    )
    assert e.se.iloc[0] ** 2 == pytest.approx(y.var(ddof=1) / n / 0.8 * 0.96666667, rel=1e-12)
    with pytest.raises(DesignError, match=r"rho=0\.5"):
        sv.replicate_weights(w, "fay")
    with pytest.raises(DesignError, match="no replicate weights"):
        sv.mean(sv.sample(pd.DataFrame({"y": y})), "y", variance="replicates")


def test_scalar_transforms(frame):
    s = sv.sample(frame, weights="w", strata="V2117", psu="V2118")
    e = sv.mean(s, "y", by="g")
    log = sv.log_transform(e)
    np.testing.assert_allclose(log.se, e.se.to_numpy() / e.point)
    interval = sv.proportion_interval(e)
    assert ((interval.conf_low > 0) & (interval.conf_high < 1)).all()


def test_splitting_weights_changes_nothing(frame):
    """A row with weight w is two rows with weight w/2."""
    half = pd.concat([frame.assign(w=frame.w / 2)] * 2, ignore_index=True)
    how = {"weights": "w", "strata": "V2117", "psu": "V2118"}
    a, b = (sv.mean(sv.sample(d, **how), "y", by="g") for d in (frame, half))
    np.testing.assert_allclose(a.point, b.point, rtol=1e-14)
    np.testing.assert_allclose(a.cov(), b.cov(), rtol=1e-12)
