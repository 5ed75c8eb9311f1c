"""The registry of claims and the rules that judge a number."""

import numpy as np
import pandas as pd
import pytest

import g287stats as g
from g287stats.claims.judge import judge_number
from g287stats.claims.registry import published_text
from g287stats.claims.vocabulary import STANDINGS, STATUS, VERDICTS
from g287stats.errors import UnavailableError


def claim(**kw):
    row = {"claim_id": "x", "estimate": np.nan, "estimate_low": np.nan, "estimate_high": np.nan, "scale": "count"}
    return pd.Series(row | {"expected_sign": None} | kw)


def test_registry_holds_all_claims_with_a_statement_and_a_verdict():
    table = g.findings()
    assert len(table) == 125
    assert (table["seed_statement"] == "count").sum() == 22
    assert "statement_verdict" not in table  # a verdict belongs to a statement, never to one of its claims
    assert g.statements()["statement_id"].is_unique
    assert set(g.statements()["verdict"]) <= set(VERDICTS)


def test_no_published_standard_error_is_pretended():
    # no published standard error of a 287(g) crime estimate is in hand: any se says whether it is derived or printed
    table = g.findings()
    told = table[table["se"].notna()]
    assert told["note"].str.contains("derived|SE as printed by the author").all()


def test_each_claim_has_a_standing_of_its_own():
    table = g.findings().set_index("claim_id")
    assert set(table["standing"]) <= set(STANDINGS)
    assert table.loc["count-2025-08-29-tfm", "standing"] == "contested"  # its statement is supported, it is not
    assert "withdrew its appeal" in table.loc["iii-DOJ-ALA", "note"]
    assert "after the agreement had ended" in table.loc["iii-INDY", "finding"]
    assert table.loc["iv-GK-CAP", "standing"] == "not on 287(g)"
    assert table.loc["iii-DOJ-MAR", "estimate_high"] == 9


@pytest.mark.parametrize(
    ("published", "ours", "status"),
    [
        ({"estimate": 135}, 135, "reproduced"),
        ({"estimate": 434}, 443, "different, unexplained"),
        ({"estimate_high": 149}, 135, "consistent"),
        ({"estimate_high": 149}, 150, "different, unexplained"),
        ({"estimate_low": 7}, 7, "consistent"),
        ({"estimate": 456}, (445, 506), "consistent"),
        ({"estimate": 456}, (460, 506), "different, unexplained"),
        ({"estimate": 0.698, "scale": "share"}, 164 / 235, "reproduced"),
        ({"estimate": 0.698, "scale": "share"}, 0.6996, "different, unexplained"),
        ({"estimate": 563, "scale": "pct_change"}, 563.7, "different, unexplained"),
        # mirrored: the same distance on the other side, and far away on either side, is as different
        ({"estimate": 434}, 425, "different, unexplained"),
        ({"estimate": 434}, 12, "different, unexplained"),
        ({"estimate": 12}, 434, "different, unexplained"),
        ({"estimate": 434}, -434, "different, unexplained"),
        ({"estimate": -434}, 434, "different, unexplained"),
        ({"estimate": -434}, -434, "reproduced"),
        ({"estimate_low": 7}, 6, "different, unexplained"),
        ({"estimate_high": 149}, 149, "consistent"),
        ({"estimate_low": 52, "estimate_high": 62}, 51.9, "different, unexplained"),
        ({"estimate_low": 52, "estimate_high": 62}, 62.1, "different, unexplained"),
        ({"estimate_low": 52, "estimate_high": 62}, 57, "consistent"),
        ({"estimate": 456}, (506, 445), "consistent"),
        ({"estimate": 456}, (400, 455), "different, unexplained"),
        ({"estimate_high": 149}, (100, 120), "different, unexplained"),
    ],
)
def test_numbers_are_judged_at_the_precision_printed(published, ours, status):
    assert judge_number(claim(**published), ours).status == status


def test_an_explanation_turns_different_unexplained_into_explained():
    verdict = judge_number(claim(estimate=434), 443, explained="443, not 434")
    assert verdict.status == "different, explained"
    assert "443, not 434" in verdict.reason


def test_statuses_stay_in_the_vocabulary():
    assert judge_number(claim(estimate=1), 1).status in STATUS


def test_published_text_names_bounds_and_signs():
    assert published_text(claim(estimate_low=52, estimate_high=62, scale="pct_change")) == "52 to 62 %"
    assert published_text(claim(estimate_high=149)) == "at most 149"
    assert published_text(claim(scale="direction_only", expected_sign="0")) == "no significant effect"
    assert published_text(claim(estimate=0.5, scale="share")) == "0.5 (share)"


def test_unknown_claim_offers_similar_ones():
    with pytest.raises(UnavailableError, match="ii-BX-TFM-LAT"):
        g.finding("BX-TFM")
    assert g.finding("ii-BX-TFM-LAT").published == "111 %"
