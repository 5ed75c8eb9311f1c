"""Facts of counties, states and the nation: checked by hand, and against the record and the panel; no HTML."""

import dataclasses
from datetime import date

import numpy as np
import pandas as pd
import pytest

import g287stats as g
from g287stats.agreements.removals import load_removals
from g287stats.atlas import facts
from g287stats.atlas.sources import OFFENCES, load_sources
from g287stats.errors import SourceError


@pytest.fixture(scope="module")
def record():
    return g.load_agreements()


@pytest.fixture(scope="module")
def nation():
    return g.nation_facts()


def test_gaston_by_hand():
    gaston = g.county_facts("Gaston, NC")
    (spell,) = gaston.agreements
    assert (spell.agency, spell.model, spell.signed) == ("Gaston County Sheriff's Office", "JEM", date(2007, 2, 22))
    assert [d.year for d in spell.resigned] == [2009, 2013, 2016, 2020]
    assert spell.listed and spell.end_words == "on the last list"
    assert [p.name for p in gaston.neighbours] == [
        "Cleveland County",
        "Lincoln County",
        "Mecklenburg County",
        "York County",
    ]
    assert [p.kind for p in gaston.neighbours] == [1, 1, 0, 2]
    assert gaston.place.words == "jail enforcement"
    assert gaston.sentence.endswith(
        "one agency in Gaston County has an agreement: Gaston County Sheriff's Office (jail enforcement)."
    )
    assert not gaston.ended and not gaston.applications
    assert gaston.marks[0].words.startswith("Secure Communities switched on here")
    assert "unverified" in gaston.marks[0].words


def test_mecklenburg_ended_on_a_day():
    county = g.county_facts("37119")
    (spell,) = county.agreements
    assert (spell.signed, spell.ended, spell.listed) == (date(2006, 2, 27), date(2018, 12, 5), False)
    assert spell.end_words == "ended 5 Dec 2018 (new sheriff ended it)"
    assert county.place.words == "none now; ended"
    assert county.sentence.endswith("One agreement ended, on 5 Dec 2018.")


def test_miami_dade_has_thirteen_agencies_and_names_those_of_the_county():
    county = g.county_facts("Miami-Dade, FL")
    assert len({s.agency for s in county.listed}) == 13
    assert county.place.kind == 4 and not county.place.local_only
    assert "13 agencies" in county.sentence and "Miami-Dade Sheriff's Office (task force)" in county.sentence


def test_towns_alone_do_not_colour_a_county():
    county = g.county_facts("Franklin County, MO")
    assert county.place.kind == 0 and county.place.local_only and county.place.words == "towns only: task force only"


def test_a_county_without_an_agreement_says_so():
    county = g.county_facts("Loving, TX")
    assert county.agreements == () and "no agency in Loving County has an agreement" in county.sentence


def test_connecticut_keeps_its_counties_and_says_so():
    county = g.county_facts("Fairfield, CT")
    assert county.county_fips == "09001" and county.residents_year == 2019
    assert any("planning regions" in t for t in county.not_known)
    assert county.agreements[0].end_words.startswith("ended 31 Dec 2012")


def test_withheld_days_and_agreements_are_said(nation):
    (spell,) = g.county_facts("37071").agreements
    hidden = dataclasses.replace(spell, withheld="its only source forbids redistribution")
    assert hidden.signed_words == "signed by 22 Feb 2007; first signing not released: source forbids it"
    assert any("not released" in t for t in facts.not_known(load_sources(), (hidden,), "NC"))
    assert nation.withheld[0] == "3 agreements not released: source forbids it"


def test_an_application_alone_has_a_page_and_no_class():
    sources = load_sources()
    only = set(facts.signed_counties(sources)) - set(facts.spells_by_county(sources))
    assert only
    county = facts.county_record(sources, min(only))
    assert county.applications and county.place.kind == 0 and not county.agreements
    assert "no agreement in the record" in county.applications[0].words


def test_a_model_that_no_list_prints_is_unknown():
    beulaville = g.county_facts("37061")
    assert any(a.words.startswith("model not printed") for a in beulaville.applications)


@pytest.mark.parametrize("end", ["window", "year", "day", "open"])
def test_every_precision_of_an_end_has_words(record, end):
    spells = [s for s in facts.all_spells(load_sources()) if s.end_precision == end]
    for spell in spells:
        assert spell.end_words
        if end == "window":
            assert spell.ended is None and f"{spell.gone_by.year}" in spell.end_words


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("Richmond, VA", ["51159", "51760"]),
        ("Baltimore, MD", ["24005", "24510"]),
        ("Gastn, NC", ["37071"]),
        ("Washington", ["and"]),
    ],
)
def test_unclear_names_list_the_candidates(name, listed):
    with pytest.raises(SourceError) as error:
        g.county_facts(name)
    assert all(word in str(error.value) for word in listed)


@pytest.mark.parametrize(
    "name", ["Gaston, NC", "37071", "Gaston County, North Carolina", "gaston county, nc", "Gaston"]
)
def test_names_that_are_clear(name):
    assert facts.find_county(name) == "37071"


def test_old_codes_find_their_county():
    assert facts.find_county("12025") == "12086" and facts.find_county("Carson City, NV") == "32510"
    assert facts.find_county("Richmond County, VA") == "51159" and facts.find_county("Richmond city, VA") == "51760"
    with pytest.raises(SourceError, match="99999"):
        facts.find_county("99999")
    with pytest.raises(SourceError, match="Texas"):
        facts.find_state("Texs")


def test_spells_are_those_of_the_record(record, nation):
    frame = record.frame.set_index("agreement_id")
    assert len(nation.spells) == len(frame)
    for spell in nation.spells:
        row = frame.loc[spell.agreement_id]
        assert (spell.agency, spell.model, pd.Timestamp(spell.signed)) == (row.agency, row.model, row.signed_date)
        assert (spell.end_precision == "open") == (row.end_precision == "open")


def test_counts_of_the_last_list_are_those_of_the_record(record, nation):
    active = record.active(on="2026-05-18")
    assert nation.agreements == len(active) == 1843
    assert nation.agencies == active.agency_id.nunique() == 1549
    assert (len(nation.states), nation.territories) == (38, ("GU", "MP"))
    assert nation.by_model == active.model.value_counts().to_dict()
    assert nation.headline == "1,843 agreements, 1,549 agencies, 38 states and 2 territories"
    for row in nation.rows:
        assert row.agreements == (active.state == row.state).sum()


@pytest.mark.parametrize(
    "month",
    [
        "2002-09",
        "2006-02",
        "2008-06",
        "2009-12",
        "2011-03",
        "2012-12",
        "2014-11",
        "2017-07",
        "2020-01",
        "2021-06",
        "2025-08",
        "2026-05",
    ],
)
def test_months_are_those_of_the_record(record, nation, month):
    day = min(pd.Period(month, "M").end_time.normalize(), pd.Timestamp("2026-05-18"))
    signed = record.active(day, "signed")
    row = nation.months.loc[month]
    assert row["total"] == len(signed)
    assert [row[m] for m in ("JEM", "TFM", "WSO")] == [(signed.model == m).sum() for m in ("JEM", "TFM", "WSO")]
    assert sum(s.active(day.date()) for s in nation.spells) == len(signed)
    if day >= pd.Timestamp("2021-01-13"):
        assert row["listed"] == len(record.active(day, "listed"))
    else:
        assert pd.isna(row["listed"])


def test_states_add_up_to_the_nation(nation):
    parts = [g.state_facts(r.state) for r in nation.rows]
    assert sum(len(p.listed) for p in parts) == nation.agreements
    total = sum(p.curve["total"] for p in parts)
    assert (total == nation.months["total"]).all()
    assert sum(p.kind > 0 for s in parts for p in s.counties) == sum(n for k, n in nation.counts.items() if k)


def test_statewide_agencies_are_in_no_county(nation):
    assert all(not s.county_fips for s in nation.spells if s.level == "state")
    texas = g.state_facts("TX")
    assert texas.statewide and all(s.level == "state" for s in texas.statewide)


def test_crime_is_the_panel_where_shown_and_has_a_reason_where_not():
    panel = g.county_panel("fbi_county_sums").frame.set_index(["county_fips", "year"])
    for fips in ("37071", "12086", "48301", "09001", "06037"):
        county = facts.county_record(load_sources(), fips)
        for year in county.crime:
            assert (year.rate is None) == bool(year.reason) == bool(year.mark)
            if (fips, year.year) not in panel.index:
                assert year.count is None and year.reason == "not printed"
                continue
            row = panel.loc[(fips, year.year)]
            assert (year.count is None) == pd.isna(row[year.offence])
            if year.rate is not None:
                assert year.rate == pytest.approx(row[f"{year.offence}_rate"], abs=0)
                assert row["coverage"] >= 0.8


def test_similar_counties_are_chosen_without_crime_and_repeat_by_hand():
    sources = load_sources()
    gaston = g.county_facts("37071")
    assert len(gaston.similar) == 10 and "37071" not in {s.place.county_fips for s in gaston.similar}
    table = sources.profile[
        [
            "log_population",
            "hispanic_pct_2013",
            "foreign_born_pct_2012",
            "poverty_pct_2012",
            "log_income",
            "bachelors_pct_2012",
            "rucc_2013",
        ]
    ].dropna()
    z = (table - table.mean()) / table.std(ddof=0)
    away = np.sqrt(((z - z.loc["37071"]) ** 2).sum(axis=1)).drop("37071").sort_values()
    assert [s.place.county_fips for s in gaston.similar] == list(away.index[:10])
    assert gaston.similar[0].distance == pytest.approx(away.iloc[0])


def test_middle_of_similar_counties_needs_five():
    sources = load_sources()
    for fips in ("37071", "48301", "12086"):
        county = facts.county_record(sources, fips)
        for year in county.crime:
            rates = []
            for other in county.similar:
                if other.place.county_fips in sources.crime.counties:
                    at = sources.crime.counties.index(other.place.county_fips)
                    rates.append(sources.crime.rates[year.offence][at, sources.crime.years.index(year.year)])
            known = [r for r in rates if not np.isnan(r)]
            assert year.similar_reporting == len(known)
            assert (year.similar_median is None) == (len(known) < 5)
            if len(known) >= 5:
                assert year.similar_median == pytest.approx(np.median(known))


def test_the_cached_frame_is_the_frame(tmp_path, monkeypatch):
    from g287stats.atlas import sources

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = sources.kept_crime_frame(0.8), sources.kept_crime_frame(0.8)
    pd.testing.assert_frame_equal(first, second, check_dtype=False)
    (kept,) = (tmp_path / "g287stats").glob("crime-*.parquet")
    kept.write_bytes(b"damaged")
    pd.testing.assert_frame_equal(first, sources.kept_crime_frame(0.8), check_dtype=False)


def test_removals_keep_blanks_missing():
    table = load_removals()
    county = g.county_facts("37071")
    mine = table[table.county_fips.eq("37071")]
    assert len(county.removals) == len(mine) > 0
    removed = mine.sort_values("fiscal_year").removed
    assert [r.removed for r in county.removals] == [None if pd.isna(v) else v for v in removed]


def test_records_are_frozen_and_give_tables():
    county = g.county_facts("37119")
    with pytest.raises(dataclasses.FrozenInstanceError):
        county.name = "x"
    assert list(county.frame("neighbours").county_fips) == sorted(county.frame("neighbours").county_fips)
    assert len(county.frame("crime")) == len(OFFENCES) * len(load_sources().crime.years)
    assert {"county_fips", "distance"} <= set(county.frame("similar"))


def test_what_is_known_after_the_last_list_is_in_words_and_in_no_count(record, nation):
    later = record.counts[record.counts["list_date"].eq(record.counts["list_date"].max())]
    assert f"{int(later['agreements'].sum()):,} agreements on" in nation.after
    assert nation.months.index[-1] == pd.Period("2026-05", "M") and nation.months["total"].iloc[-1] == nation.agreements
    gone = record.later[record.later["standing"].str.startswith("gone")]
    words = {s.agreement_id: s.end_words for s in nation.spells}
    assert len(gone) and all("by ICE’s counts" in words[i] for i in gone["agreement_id"])
