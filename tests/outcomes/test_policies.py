"""Secure Communities and state events: status travels with every date."""

import pandas as pd
import pytest

from g287stats import policies
from g287stats.catalog import released_dir
from g287stats.errors import SourceError


def test_secure_communities_months_and_the_absent_counties():
    table = policies.load_secure_communities().set_index("county_fips")
    assert len(table) == 3142
    month = table["month"]
    for county, said in {"48201": "2008-10", "48113": "2008-11", "06037": "2009-08", "17031": "2013-01"}.items():
        assert str(month[county]) == said
    absent = table.index[table["month"].isna()]
    assert len(absent) == 41
    assert {c for c in absent if c[:2] not in ("02", "15")} == {
        "46102",
        "51595",
        "51600",
        "51683",
        "51685",
        "51735",
        "54017",
    }
    assert set(table.loc[absent, "status"]) == {"absent from source"}
    assert set(table["status"]) == {"unverified", "absent from source"}  # never shown as verified
    assert month.min() == pd.Period("2008-10") and month.max() == pd.Period("2013-01")


def test_months_active_in_a_year_by_hand():
    # Harris: from October 2008 through October 2014, again from February 2017
    out = policies.secure_communities_by_year([2007, 2008, 2009, 2014, 2015, 2017, 2018]).set_index("county_fips")
    harris = out.loc["48201"].set_index("year")["months"].to_dict()
    assert harris == {2007: 0, 2008: 3, 2009: 12, 2014: 10, 2015: 0, 2017: 11, 2018: 12}
    assert out.loc["51600", "months"].isna().all()  # Fairfax city: not in the source, so not zero
    off = policies.secure_communities_by_year([2018], restored=False).set_index("county_fips")
    assert off.loc["48201", "months"] == 0


def test_events_carry_their_status():
    events = policies.load_policy_events()
    assert len(events) == 41
    assert (events["status"] == "unverified").sum() >= 19
    georgia = events[(events["state"] == "GA") & (events["name"] == "HB 1105")]
    assert georgia["status"].item() == "partly"
    assert georgia["effective_alternative"].item() == pd.Timestamp("2024-07-01")
    florida = policies.load_policy_events("mandate_287g", states=("FL",), min_status="verified")
    assert florida["signed"].dt.strftime("%Y-%m-%d").tolist() == ["2022-06-17"]
    best_efforts = events[(events["state"] == "FL") & events["name"].str.contains("SB 168")]
    assert best_efforts["kind"].item() != "mandate_287g"
    texas = events[(events["state"] == "TX") & (events["kind"] == "mandate_287g")]
    assert texas["effective"].item() == pd.Timestamp("2026-01-01")


def test_unknown_kinds_and_statuses_are_refused():
    with pytest.raises(SourceError, match="anti_sanctuary"):
        policies.load_policy_events("mandates")
    with pytest.raises(SourceError, match="partly"):
        policies.load_policy_events(min_status="sure")


def test_bad_files_are_refused_with_every_reason(tmp_path):
    path = tmp_path / "sc.csv"
    path.write_text("fips,ym\n01001,2011-13\n99999,2011-04\n")
    with pytest.raises(SourceError, match=r"rows \(1\): 2[\s\S]*99999"):
        policies.read_secure_communities(path)
    path.write_text("county,month\n01001,2011-04\n")
    with pytest.raises(SourceError, match="fips, ym"):
        policies.read_secure_communities(path)
    path.write_text(
        "state,kind,name,signed,effective,ended,checked,note\nZZ,ban_287g,x,2017-5-1,,,maybe,\n", encoding="utf-8"
    )
    with pytest.raises(SourceError, match=r"signed[\s\S]*ZZ[\s\S]*maybe"):
        policies.read_events(path)


@pytest.mark.private_data
def test_rebuild_gives_the_released_bytes(sources, tmp_path):
    for path in policies.build(sources, tmp_path):
        assert path.read_bytes() == (released_dir() / path.name).read_bytes(), path.name


@pytest.mark.private_data
def test_first_year_by_state_agrees_with_the_urban_institute(sources):
    urban = pd.read_csv(sources / "policies" / "urban_state_immigration_policies_2000_2020.csv", dtype=str)
    on = urban[urban["enf_secure_comms"].isin(["1", "2"])].groupby("id")["year"].min().astype(int)
    table = policies.load_secure_communities().dropna(subset=["month"])
    table["state"] = [policies.STATES[c[:2]] for c in table["county_fips"]]
    first = table.groupby("state")["month"].min().dt.year
    both = first.index.intersection(on.index)
    assert len(both) == 49
    assert (first[both] == on[both]).all()
