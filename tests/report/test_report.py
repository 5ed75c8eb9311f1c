"""The evidence report: from frames to a page that says every claim once, fetches nothing and hides no lead."""

import re

import numpy as np
import pandas as pd
import pytest

from g287stats.report.claim_marks import SHOWN_ORDER, ForestRow, forest, signed, squares
from g287stats.report.html import FOREST, Differences, Question, comparable, first_rows, numbers_of, write_report


def claims(n=15, status="reproduced"):
    return pd.DataFrame(
        {
            "claim_id": [f"c{i:02d}" for i in range(n)],
            "finding": [f"Finding {i} <b>" for i in range(n)],
            "published": "10",
            "ours": "10",
            "status": status,
            "reason": "because",
            "standing": "as published",
            "note": "",
            "published_low": 10.0,
            "published_high": 10.0,
            "ours_low": 10.0,
            "ours_high": 10.0,
        }
    )


def grid(leads=(0.01, 0.5, np.nan)):
    return pd.DataFrame(
        {
            "analysis": "recorded-crime",
            "outcome": ["violent", "property", "violent"],
            "data": ["a", "a", "b"],
            "comparison": "all",
            "estimate": [-5.0, 2.0, 1.0],
            "conf_low": [-9.0, -3.0, -1.0],
            "conf_high": [-1.0, 7.0, 3.0],
            "margin": 5.0,
            "leads_p": leads,
            "n_treated": [24, 24, 7],
            "state": "estimated",
        }
    )


@pytest.fixture
def page(tmp_path):
    one = Question(
        "i",
        "Did recorded crime change?",
        "A statement",
        "mixed",
        "One sentence. And more.",
        claims(),
        grid(),
        ("data", "comparison"),
    )
    two = Question("count", "How many?", "Counts", "supported", "Counts agree.", claims(4, "different, unexplained"))
    two.claims["claim_id"] = [f"k{i}" for i in range(4)]
    differences = [Differences("x", "A title", "# Heading\n\nText with **weight** and `code`.\n\n- one\n- two")]
    target = tmp_path / "report.html"
    write_report(target, [one, two], differences=differences, versions={"g287stats": "0"}, failed={"y": "Error: <z>"})
    return target.read_text("utf-8")


def test_every_claim_is_there_once_and_can_be_linked(page):
    for name in [*claims()["claim_id"], "k0", "k3"]:
        assert page.count(f'id="claim-{name}"') == 1
    assert "19 published claims" in page
    assert "Finding 3 &lt;b&gt;" in page and "y did not run:</b> Error: &lt;z&gt;" in page


def test_first_comes_the_squares_then_crime_then_versions_at_the_foot(page):
    assert page.index('class="sq"') < page.index('id="i"') < page.index('id="count"') < page.index('id="differences"')
    assert page.index("g287stats 0.") > page.index('id="methods"')
    assert page.index("One sentence.") < page.index('class="forest"') < page.index("And more.")


def test_it_fetches_nothing_and_is_small(page):
    assert "default-src 'none'" in page and "<script" not in page and not re.search(r'(href|src)="https?:', page)
    assert len(page.encode("utf-8")) < 400_000


def test_long_tables_are_folded(page):
    assert "<details><summary>The 15 claims one by one</summary>" in page


def test_a_dot_is_hollow_where_leads_reject_at_five_percent(page):
    assert page.count('<i class="ho"') == 1 and page.count('<i class="so"') == 2
    assert "Of all 3 specifications, 1 have leads that differ" in page


def test_rows_of_the_forest_are_chosen_by_declaration_not_by_result():
    rows = pd.concat([grid(), grid().assign(estimate=-99.0, comparison="similar")], ignore_index=True)
    shown = first_rows(rows, ("data", "comparison"))
    assert len(shown) == 3 and (shown["estimate"] > -99).all() and len(shown) <= FOREST


def test_squares_count_what_they_show_and_use_no_red_or_green():
    counts = {s: i + 1 for i, s in enumerate(SHOWN_ORDER)}
    drawn = squares(counts)
    body = drawn.split("<ul")[0]
    assert body.count('width="14"') == sum(counts.values())
    assert all(f"<b>{n}</b>" in drawn for n in counts.values())
    assert set(re.findall(r"#[0-9A-Fa-f]{6}", drawn)) <= {"#1d1d1f", "#6B7A90", "#E0A458", "#2b2b2e", "#6d6d72"}


def test_intervals_beyond_the_axis_are_marked():
    drawn = forest([ForestRow("a", "b", 5.0, -400.0, 9.0, False)], 5.0, "words")
    assert drawn.count('<path d="M0.0 2v8"') == 1 and "[−400, +9.0]" in drawn
    assert (signed(-5.04), signed(12.6), signed(0.0)) == ("−5.0", "+13", "+0.0")


def test_numbers_of_claims_are_read_from_frames():
    published = pd.DataFrame(
        {
            "claim_id": ["a", "b", "c"],
            "estimate": [1.0, np.nan, np.nan],
            "estimate_low": [np.nan, 2.0, np.nan],
            "estimate_high": [np.nan, np.nan, np.nan],
        }
    )
    ours = pd.DataFrame(
        {"claim_id": ["b", "a", "c"], "value": [np.nan, 1.5, np.nan], "ours": ["1,445 to 1,506", "1.5", None]}
    )
    found = numbers_of(published, ours)
    assert found.loc[0, ["ours_low", "ours_high", "published_low"]].tolist() == [1445, 1506, 2.0]
    assert found.loc[1, ["ours_low", "published_low", "published_high"]].tolist() == [1.5, 1.0, 1.0]
    assert found.loc[2].isna().all()


def test_shares_and_counts_never_share_an_axis():
    frame = claims(6)
    frame.loc[:3, ["published_low", "published_high", "ours_low", "ours_high"]] = 0.5
    assert list(comparable(frame)["claim_id"]) == ["c00", "c01", "c02", "c03"]
    frame = claims(4)
    frame.loc[0, ["published_low", "published_high", "ours_low", "ours_high"]] = 1e6
    assert "c00" not in set(comparable(frame)["claim_id"])
