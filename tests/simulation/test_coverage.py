"""Coverage of the intervals of every estimator: quickly that each is simulated, slowly that each covers.

The table: python -m g287stats.simulation.coverage
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from public import public

from g287stats.catalog import analyses_dir
from g287stats.simulation.coverage import STUDIES, chosen, main, run, stored, table

STORED = "coverage-of-intervals/coverage.csv"
NOT_ESTIMATORS = {
    "bacon": "decomposes an estimate",
    "balance_table": "describes a sample",
    "cohort_sizes": "describes a sample",
    "contamination": "weights of an estimate",
    "exposure_map": "builds columns",
    "twfe_weights": "weights of an estimate",
}
CASES = [(s, n) for s in STUDIES for n in (60, 3100) if not s.sizes or n in s.sizes]
NAMES = [f"{s.name}-{n}" for s, n in CASES]


def verdict(rows: pd.DataFrame, falls_short: bool) -> list[str]:
    """Rows whose coverage is not what the study says: 93 to 97 %, or below 93 % somewhere where it falls short."""
    share = rows["coverage"]
    if falls_short:
        return [] if (share < 93).any() else [f"{rows['estimator'].iloc[0]}: nothing below 93 % {share.tolist()}"]
    wrong = rows[(share < 93) | (share > 97)]
    return [f"{r.estimator} {r.variant} {r.counties} {r.parameter}: {r.coverage:.1f} %" for r in wrong.itertuples()]


@pytest.mark.slow
@pytest.mark.parametrize(("study", "counties"), CASES, ids=NAMES)
def test_intervals_cover(study, counties):
    """1,000 panels; the Monte-Carlo error of a coverage of 95 % is 0.7 points."""
    rows = run(study, counties, 1000, progress=True)
    print("\n" + table(rows))
    assert not verdict(rows, counties in study.falls_short)


def test_every_estimator_has_a_simulation():
    names = {n.removeprefix("g.") for n in public("did")}
    assert names - set(NOT_ESTIMATORS) == {s.estimator for s in STUDIES}
    assert set(NOT_ESTIMATORS) < names


@pytest.mark.parametrize("study", STUDIES, ids=[s.name for s in STUDIES])
def test_simulations_run(study):
    rows = run(study, 60, 3, progress=True)
    assert (rows["draws"] == 3).all()
    assert rows["parameter"].is_unique
    assert np.isfinite(rows["bias_in_monte_carlo_se"]).all()
    inverted = rows["parameter"].str.contains(", ")
    assert (rows["se_over_sd"].isna() == inverted).all()


def test_a_run_is_a_function_of_its_seed():
    """Also the hashes of names, which Python draws anew in every process, do not enter."""
    study = chosen(["twfe"])[0]
    a, b = run(study, 60, 5, progress=True), run(study, 60, 5, progress=True)
    pd.testing.assert_frame_equal(a, b)
    assert a["bias_in_monte_carlo_se"].iloc[0] != run(study, 60, 5, seed=1, progress=True).iloc[0, 7]


def test_intervals_that_are_too_short_or_too_long_are_found():
    study = chosen(["twfe"])[0]
    factors = {"overall, short": 0.7, "overall, long": 1.6}

    def fit(frame):
        point, se, low, high = study.fit(frame)["overall"]
        return {k: (point, se, point + f * (low - point), point + f * (high - point)) for k, f in factors.items()}

    rows = run(replace(study, fit=fit), 60, 150, progress=True).set_index("parameter", drop=False)
    short, long = rows.loc[["overall, short"]], rows.loc[["overall, long"]]
    assert verdict(short, False)
    assert verdict(long, False)
    assert not verdict(short, True)
    assert verdict(long, True)


def test_the_command_writes_rows_as_they_come_and_replaces_its_own(tmp_path, capsys):
    out = tmp_path / "coverage.csv"
    main(["--draws", "3", "--counties", "60", "--only", "twfe", "poisson", "--out", str(out)])
    first = stored(out)
    assert first["estimator"].tolist() == ["twfe", "poisson", "poisson"]
    assert "SIMULATED" in capsys.readouterr().out
    main(["--draws", "4", "--counties", "60", "70", "--only", "twfe", "--out", str(out)])
    second = stored(out)
    assert second["estimator"].tolist() == ["twfe", "twfe", "poisson", "poisson"]
    assert second["draws"].tolist() == [4, 4, 3, 3]
    assert second["counties"].tolist() == [60, 70, 60, 60]
    main(["--stored", str(out)])
    assert table(second) in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no study of ols"):
        main(["--only", "ols"])


def test_the_stored_table_is_complete_and_keeps_what_it_claims():
    rows = stored(analyses_dir() / STORED)
    assert (rows["draws"] >= 1000).all()
    groups = dict(list(rows.groupby(["estimator", "variant", "counties"])))
    assert set(groups) == {(s.estimator, s.variant, n) for s, n in CASES}
    wrong = [v for s, n in CASES for v in verdict(groups[s.estimator, s.variant, n], n in s.falls_short)]
    assert not wrong


def test_the_page_shows_the_stored_table():
    page = Path(__file__).parents[2] / "docs/methods/coverage_of_intervals.md"
    if not page.exists():
        pytest.skip("the documentation is not beside the tests")
    assert table(stored(analyses_dir() / STORED)) in page.read_text(encoding="utf-8")
