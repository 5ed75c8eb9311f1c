"""Published counts of agreements, on the released table."""

import pandas as pd
import pytest

from g287stats.agreements.table import load_agreements
from g287stats.catalog import released_dir
from g287stats.errors import DataWarning, UnavailableError


@pytest.fixture(scope="module")
def agreements():
    return load_agreements()


def models(frame):
    return frame["model"].value_counts().to_dict()


@pytest.mark.parametrize(
    ("day", "total"),
    [
        ("2021-01-13", 150),
        ("2024-12-15", 135),
        ("2025-01-20", 135),
        ("2025-02-26", 239),
        ("2025-04-08", 444),
        ("2025-04-11", 445),
        ("2025-04-29", 506),
        ("2025-04-30", 517),
        ("2025-05-30", 635),
        ("2025-06-06", 649),
        ("2025-07-18", 832),
        ("2025-08-26", 896),
        ("2025-08-27", 896),
        ("2025-08-28 10:00", 896),
        ("2025-08-29", 956),
        ("2025-09-02", 957),
        ("2025-10-17", 1096),
        ("2025-12-31", 1274),
        ("2026-01-31", 1371),
        ("2026-02-27", 1492),
        ("2026-05-18", 1843),
    ],
)
def test_active_agreements_by_list(agreements, day, total):
    assert len(agreements.active(on=day)) == total


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2021-01-13", {"JEM": 74, "WSO": 76}),
        ("2025-01-20", {"JEM": 60, "WSO": 75}),
        ("2025-05-30", {"JEM": 100, "WSO": 228, "TFM": 307}),
        ("2025-08-27", {"JEM": 122, "WSO": 331, "TFM": 443}),
        ("2026-05-18", {"JEM": 182, "WSO": 499, "TFM": 1162}),
    ],
)
def test_models(agreements, day, expected):
    assert models(agreements.active(on=day)) == expected


def test_january_2025(agreements):
    now = agreements.active(on="2025-01-20")
    assert now["agency_id"].nunique() == 133
    assert now["state"].nunique() == 21


def test_june_2025(agreements):
    now = agreements.active(on="2025-06-06")
    assert (now["state"] == "FL").sum() == 277
    assert now["state"].nunique() == 40
    assert (now["signed_date"] >= "2025-01-20").sum() == 514


@pytest.mark.parametrize(
    ("day", "states"), [("2025-04-08", 38), ("2025-04-29", 38), ("2025-08-27", 40), ("2026-05-18", 40)]
)
def test_states(agreements, day, states):
    assert agreements.active(on=day)["state"].nunique() == states


def test_new_york(agreements):
    def ny(day):
        now = agreements.active(on=day)
        now = now[now["state"] == "NY"]
        return now["agency_id"].nunique(), now["county_fips"].str.split(";").str[0].nunique()

    assert ny("2024-12-15")[0] == 1
    assert ny("2025-07-18") == (7, 6)
    assert ny("2025-07-23") == (8, 7)


def test_every_florida_county(agreements):
    def florida(day, level):
        now = agreements.active(on=day)
        now = now[(now["state"] == "FL") & now["jurisdiction"].isin(level)]
        return len({f for c in now["county_fips"].dropna() for f in c.split(";")})

    assert florida("2025-02-26", ["county", "municipal"]) == 67
    assert florida("2025-02-26", ["county"]) == 67
    assert florida("2025-06-06", ["county"]) == 67
    assert florida("2026-05-18", ["county"]) == 67


@pytest.mark.parametrize(
    ("day", "agencies"),
    [
        ("2007-09-18", 29),
        ("2008-03-10", 47),
        ("2009-02-01", 67),
        ("2009-10-28", 69),
        ("2010-08-01", 71),
        ("2010-10-29", 71),
        ("2011-06-01", 69),
        ("2012-08-01", 64),
        ("2012-10-02", 63),
        ("2012-10-16", 57),
        ("2012-12-31", 40),
        ("2015-01-15", 34),
        ("2015-07-31", 32),
        ("2016-11-21", 34),
        ("2016-12-11", 35),
    ],
)
def test_historical_agencies(agreements, day, agencies):
    now = agreements.active(on=day)
    assert now.attrs["basis"] == "signed"
    assert now["agency_id"].nunique() == agencies


def test_joint_agreements_of_august_2010(agreements):
    now = agreements.active(on="2010-08-01").groupby("agency_id")["model"].agg(lambda m: "+".join(sorted(m)))
    assert now.value_counts().to_dict() == {"TFM": 26, "JEM": 32, "JEM+TFM": 13}


def test_task_force_parts_of_august_2012(agreements):
    now = agreements.active(on="2012-08-01").groupby("agency_id")["model"].agg(lambda m: "+".join(sorted(m)))
    assert now.value_counts().to_dict() == {"JEM": 35, "TFM": 20, "JEM+TFM": 9}


@pytest.mark.parametrize(
    ("day", "pending"),
    [
        ("2025-04-11", 75),
        ("2025-04-19", 75),
        ("2025-04-28", 65),
        ("2025-04-29", 74),
        ("2025-04-30", 62),
        ("2025-08-29", 20),
    ],
)
def test_pending(agreements, day, pending):
    assert len(agreements.pending(on=day)) == pending


def test_no_pending_list_before_2025(agreements):
    with pytest.raises(UnavailableError, match="the first is of 2025-02-21"):
        agreements.pending(on="2025-01-20")


def test_a_day_after_the_last_list_is_said_so(agreements):
    with pytest.warns(DataWarning, match="the last participating list in hand is of 2026-05-18"):
        assert len(agreements.active(on="2026-09-01")) == 1843


def test_every_list_day_is_exact(agreements):
    counts = pd.read_csv(released_dir() / "qa" / "list_counts.csv", dtype={"time": str})
    assert len(counts) == 977
    assert counts["table"].nunique() == 177
    assert not counts["explanation"].fillna("").str.contains("UNEXPLAINED").any()
    assert counts.loc[counts["difference"].ne(0), "explanation"].notna().all()
    assert (counts["agreements"] == counts["table_rows"]).all()
    for seq in (1, 300, 700, 800, 977):
        row = counts.set_index("seq").loc[seq]
        moment = f"{row['list_date']} {row['time'][:2]}:{row['time'][2:]}"
        assert len(agreements.active(moment, "listed")) == row["agreements"]


@pytest.mark.parametrize("basis", ["signed", "listed"])
def test_adoption_curve_is_active_at_each_period_end(agreements, basis):
    curve = agreements.adoption_curve("Q", basis=basis)
    assert curve.index[0] == pd.Period("2002Q3" if basis == "signed" else "2021Q1")
    for period in ("2010Q4", "2012Q4", "2020Q2", "2021Q1", "2022Q3", "2025Q1", "2025Q3", "2026Q1"):
        if pd.Period(period) not in curve.index:
            continue
        day = min(pd.Period(period).end_time.normalize(), pd.Timestamp("2026-05-18"))
        now = agreements.active(day, basis)
        assert curve.loc[period, "total"] == len(now)
        assert curve.loc[period, ["JEM", "TFM", "WSO"]].to_dict() == {
            m: int(now["model"].eq(m).sum()) for m in ("JEM", "TFM", "WSO")
        }


def test_adoption_curve_by_another_column(agreements):
    curve = agreements.adoption_curve("Y", by="state")
    assert curve.loc["2025", "FL"] == agreements.active("2025-12-31", "signed")["state"].eq("FL").sum()
    assert curve.loc["2010", "total"] == len(agreements.active("2010-12-31"))


def test_the_curve_goes_on_with_ices_counts(agreements):
    """Totals of the lists of 9 June, 14 July, 8 September and 9 October 2026, which are not in hand."""
    curve = agreements.adoption_curve()
    last = curve.loc["2026-10", ["TFM", "WSO", "JEM", "total"]]
    assert last.tolist() == [1902, 569, 183, 2654]
    assert curve.loc[["2026-06", "2026-07", "2026-09"], "total"].tolist() == [1934, 2127, 2466]
    assert (curve["named"] + curve["counted_only"] == curve["total"]).all()
    assert not curve.loc[:"2026-05", "counted_only"].any() and (curve.loc["2026-06":, "counted_only"] > 0).all()
    assert curve.attrs["last_certain_day"] == pd.Timestamp("2026-05-18")
    by_state = agreements.adoption_curve(by="state")
    assert by_state.loc["2026-10", "NY"] == 1 and by_state.loc["2026-10", "total"] == 2654
    assert by_state.index.equals(curve.index)


def test_what_is_known_after_the_last_list_is_in_no_listed_count(agreements):
    later = agreements.later
    assert later["standing"].eq("gone between two dates").all()
    gone = later.groupby(["state", "model"]).size().to_dict()
    assert gone == {("NE", "WSO"): 1, ("NY", "TFM"): 7, ("NY", "WSO"): 6, ("PA", "JEM"): 1, ("VA", "JEM"): 1}
    broome = later.set_index("agreement_id").loc["NY-broome-county-sheriff.WSO.2025-03-10"]
    assert (broome["not_before"], broome["by"]) == (pd.Timestamp("2026-05-18"), pd.Timestamp("2026-09-08"))
    with pytest.warns(DataWarning):
        listed = agreements.active("2026-10-09")
    assert len(listed) == 1843 and listed.attrs["last_certain_day"] == pd.Timestamp("2026-05-18")
    before, after = (agreements.active(day, "signed") for day in ("2026-05-18", "2026-10-09"))
    assert set(before["agreement_id"]) - set(after["agreement_id"]) == set(later["agreement_id"])


def test_counts_are_forgotten_with_the_lists_they_come_from(agreements):
    assert agreements.as_known("2026-05-18").later.empty
    assert len(agreements.as_known("2026-07-20").later) == 2
