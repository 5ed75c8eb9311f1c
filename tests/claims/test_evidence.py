"""Grids, sentences and evidence: declared before, joined by influence, every sentence regenerated from its frame."""

import re

import numpy as np
import pandas as pd
import pytest

import g287stats as g
from g287stats.claims import sentences
from g287stats.claims.analyses import analyses
from g287stats.claims.evidence import write
from g287stats.claims.grid import Cell, estimate_grid, load_grid
from g287stats.claims.judge import read_row
from g287stats.claims.recommended import Interval, effective_number, permuted, recommended
from g287stats.claims.running import run_analyses
from g287stats.errors import IdentificationError, SchemaError, UnavailableError

DECLARED = """
axes = ["data", "estimator"]
[outcomes.crime]
words = "offences"
margin = 5
[levels]
data = ["near", "far"]
estimator = ["a", "b"]
[[blocks]]
[claims.i-FN-crime]
outcome = "crime"
nearest = { estimator = ["b"] }
[claims.i-FN-spill]
data = "far"
"""
GRIDS = [a for a in analyses().values() if (a.folder / "grid.toml").is_file()]


def panel(seed=0, counties=40, years=8, treated=12, effect=-4.0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"county_fips": np.repeat([f"{i:05d}" for i in range(counties)], years)})
    frame["year"] = np.tile(np.arange(2000, 2000 + years), counties)
    first = np.repeat(np.where(np.arange(counties) < treated, 2004, 0), years)
    frame["cohort"] = pd.array(np.where(first > 0, first, None), dtype="Int64")
    on = (first > 0) & (frame["year"] >= first)
    noise = rng.normal(0, 2, len(frame)) + np.repeat(rng.normal(0, 3, counties), years)
    return frame.assign(rate=50 + noise + effect * on)


KEYS = {"unit": "county_fips", "time": "year", "cohort": "cohort"}


@pytest.fixture
def declared(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(DECLARED)
    return load_grid(path)


def estimated(grid, lost=()):
    def estimate(spec):
        if spec["data"] in lost:
            raise UnavailableError("a file you add: g287stats data add it")
        frame = panel(seed=spec["data"] == "far")
        fit = g.twfe(frame, "rate", **KEYS) if spec["estimator"] == "a" else g.imputation(frame, "rate", **KEYS).overall
        return Cell(fit, 50.0, tuple(f"{i:05d}" for i in range(12)))

    return estimate_grid(grid, estimate)


def test_every_declared_grid_reads_and_names_real_claims():
    for a in GRIDS:
        grid = load_grid(a.folder / "grid.toml")
        assert set(grid.claims) <= set(a.claims), a.name
        assert grid.specifications["spec"].is_unique
        assert all(m > 0 for m in grid.margins.values())
        for chosen in grid.claims.values():
            assert not chosen.explained or f"# {chosen.explained}" in a.differences


def test_all_problems_of_a_declaration_at_once(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(DECLARED + '[claims.x]\ncolour = "red"\n[claims.y]\ndata = "nowhere"\n')
    with pytest.raises(SchemaError, match=r"(?s)no axis is called.*colour.*not levels of data.*nowhere"):
        load_grid(path)


def test_nearness_reads_the_declaration_never_the_estimates(declared):
    found = estimated(declared)
    order = declared.rows_of("i-FN-crime", found.frame)["spec"].tolist()
    assert order[0] == "crime | near | b"
    rng = np.random.default_rng(1)
    for _ in range(5):  # other results in another order of rows: the same row is shown first
        other = found.frame.assign(estimate=rng.normal(0, 50, len(found.frame)))
        other = other.sample(frac=1, random_state=int(rng.integers(1e6)))
        assert declared.rows_of("i-FN-crime", other)["spec"].tolist() == order
    assert set(declared.rows_of("i-FN-spill", found.frame)["data"]) == {"far"}


def test_rows_without_data_stay_in_the_grid(declared):
    found = estimated(declared, lost=("near",))
    waiting = found.frame[found.frame["state"] == "needs data"]
    assert len(waiting) == 2 and waiting["message"].str.contains("g287stats data add").all()
    assert declared.rows_of("i-FN-crime", found.frame)["data"].tolist() == ["far", "far"]


def test_a_percent_row_by_hand(declared):
    row = estimated(declared).frame.iloc[0]
    fit = g.twfe(panel(0), "rate", **KEYS)
    assert row["estimate"] == pytest.approx(100 * fit.point[0] / 50)
    n = 12  # treated side: √(n/(n−1)) and t(n−1)
    half = 2.2009851600916384 * float(fit.se.iloc[0]) * np.sqrt(n / (n - 1)) * 2
    assert row["conf_high"] - row["estimate"] == pytest.approx(half)


def test_contrasts_know_that_specifications_share_counties(declared):
    found = estimated(declared)
    axes = found.axes_of(found.frame).set_index("axis")
    a, b = (found.frame.iloc[i] for i in (0, 1))
    alone = np.hypot(a["std_error"], b["std_error"])
    assert axes.loc["estimator", "std_error"] < 0.5 * alone


def test_the_treated_side_rule_is_near_bell_and_mccaffrey():
    fit = g.twfe(panel(3, counties=150, treated=15), "rate", **KEYS)
    ours, theirs = recommended(fit, 15), g.bias_reduced(fit).conf_int().iloc[0]
    ratio = (ours.high - ours.low) / (theirs["conf_high"] - theirs["conf_low"])
    assert 0.97 < ratio < 1.06


def test_few_treated_units_are_read_by_permutation():
    fit = g.twfe(panel(4, treated=4), "rate", **KEYS)
    interval = permuted(fit, draws=199)
    assert interval.low < fit.point[0] < interval.high
    assert "permutation by county_fips, 4 of 40; wild bootstrap p" in interval.how
    with pytest.raises(IdentificationError, match="synthetic_control"):
        recommended(fit, 1.2)
    assert effective_number(np.array([1, 1, 1, 1])) == 4
    assert effective_number(np.array([100, 1, 1])) < 1.1


def rows_with(estimates, half=1.0, margin=5.0):
    e = np.array(estimates, dtype=float)
    frame = pd.DataFrame({"estimate": e, "conf_low": e - half, "conf_high": e + half, "margin": margin})
    frame["detectable"] = half * 1.4294
    frame["reading"] = [read_row(x, x - half, x + half, margin) for x in e]
    return frame


NO_AXES = pd.DataFrame(columns=["axis", "level", "other", "difference", "std_error", "p_value"])


@pytest.mark.parametrize(
    ("estimates", "half", "words"),
    [
        ([-9, -8, -7], 1, "a decline of at least 5 %, in 100 % of specifications"),
        ([9, 8, 7], 1, "a rise of at least 5 %, in 100 % of specifications"),
        ([0, 1, -1], 1, "changes smaller than 5 % either way, in 100 % of specifications"),
        ([-3, 3, 0], 20, "most specifications cannot tell a change of 5 % from none"),
        ([-9, -9, 0, 0], 1, "declines and rises that depend on the design, no single choice deciding"),
        ([9, 9, 0.5, 0.5], 1, "rises that depend on the design, no single choice deciding"),
    ],
)
def test_headlines_follow_the_numbers_on_both_sides(estimates, half, words):
    said = sentences.headline("offences", rows_with(estimates, half), 5.0, NO_AXES)
    assert words in said
    assert "no effect" not in said and "no reduction" not in said


def test_the_axis_that_decides_is_named():
    axes = pd.DataFrame(
        [
            {
                "axis": "trends",
                "level": "none",
                "other": "county trends",
                "difference": -8.0,
                "std_error": 2.0,
                "p_value": 0.001,
            }
        ]
    )
    rows = rows_with([-9, -9, -9, -1], 6)
    assert sentences.axis_sentence(axes).startswith("The choice of trends moves the estimate most: “none” gives 8.0")
    rows = rows_with([-9, -9, -1, -1], 6)
    assert sentences.headline("offences", rows, 5.0, axes) == "Offences: declines that depend on the trends."


@pytest.fixture(scope="module")
def dose(tmp_path_factory):
    out = tmp_path_factory.mktemp("evidence")
    return g.evidence("i-CS-total", out=out), out


def test_every_sentence_is_regenerated_from_the_frames_beside_it(dose):
    e, _ = dose
    assert len(e.sentences)
    grid = load_grid(analyses()["dose"].folder / "grid.toml")
    for (analysis, outcome), part in e.sentences.groupby(["analysis", "outcome"]):
        rows = e.rows(outcome, analysis)
        axes = e.axes[e.axes["outcome"] == outcome]
        again = write(grid.outcomes[outcome], rows, axes, e.lost, grid.axes)
        assert dict(zip(part["kind"], part["sentence"])) == again
        n = int(re.match(r"(\d+) specifications", again["spread"]).group(1))
        assert n == len(rows)


def test_evidence_has_frames_figures_and_a_margin_of_ones_own(dose, tmp_path):
    import matplotlib.pyplot as plt

    e, out = dose
    assert {"estimate", "conf_low", "margin", "reading", "state"} <= set(e.tidy())
    assert e.forest("index").get_yticklabels()
    assert len(e.curve("index").axes) == 2
    plt.close("all")
    wide = g.evidence("i-CS-total", margin=50, out=out)
    assert set(wide.rows()["reading"]) <= {"negligible", "uninformative"}
    assert wide.claims["status"].tolist() == ["consistent"]
    with pytest.raises(UnavailableError, match="neither a statement"):
        g.evidence("nothing", out=tmp_path)


def test_what_finished_is_read_back_and_what_is_stale_goes(dose, monkeypatch):
    _, out = dose
    analysis = analyses()["dose"]
    monkeypatch.setattr(type(analysis), "load", lambda self: pytest.fail("ran again"))
    again = run_analyses([analysis], out)
    assert not again.failed and again.results
    monkeypatch.undo()
    (out / "dose" / "grid.csv").write_text("tampered")  # a file that is not as it was written is made again
    calls = []
    monkeypatch.setattr(type(analysis), "load", lambda self: calls.append)
    run_analyses([analysis], out)
    assert calls
    assert not (out / "dose" / "grid.csv").exists()


def test_interval_is_frozen():
    with pytest.raises(AttributeError):
        Interval(0, 1, 0.5, "x").low = 2  # type: ignore[misc]
