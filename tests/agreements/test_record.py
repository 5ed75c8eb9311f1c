"""The released record: named facts, exits, the two clocks, what was known when."""

import pandas as pd
import pytest

from g287stats import catalog
from g287stats.agreements.table import load_agreements


@pytest.fixture(scope="module")
def agreements():
    return load_agreements()


@pytest.fixture(scope="module")
def frame(agreements):
    return agreements.frame.set_index("agreement_id")


def test_sixty_one_counties_before_2017(agreements):
    early = agreements.frame[agreements.frame["signed_date"].lt("2017-01-01")]
    codes = {f for c in early["county_fips"].dropna() for f in c.split(";")}
    assert len(codes) == 61


@pytest.mark.parametrize(
    ("name", "signed", "ended"),
    [
        ("NC-mecklenburg-county-sheriff.JEM.2006-02-27", "2006-02-27", "2018-12-05"),
        ("NC-alamance-county-sheriff.JEM.2007-01-10", "2007-01-10", "2012-09-18"),
        ("AZ-maricopa-county-sheriff.TFM.2007-02-07", "2007-02-07", "2009-10-16"),
        ("AZ-maricopa-county-sheriff.JEM.2007-02-07", "2007-02-07", "2011-12-15"),
        ("TN-davidson-county-sheriff.JEM.2007-02-21", "2007-02-21", "2012-10-08"),
        ("VA-prince-william-manassas-regional-adult-detention-center.JEM.2007-07-09", "2007-07-09", "2020-06-30"),
        ("VA-prince-william-county-police-department.TFM.2008-02-26", "2008-02-26", "2012-12-31"),
        ("VA-prince-william-county-sheriff.TFM.2008-02-26", "2008-02-26", "2012-12-31"),
    ],
)
def test_named_agreements(frame, name, signed, ended):
    spell = frame.loc[name]
    assert (spell["signed_date"], spell["ended_date"]) == (pd.Timestamp(signed), pd.Timestamp(ended))
    assert spell["end_precision"] == "day"


def test_hybrids_are_two_rows_of_one_memorandum(frame):
    shared = frame.reset_index().groupby("moa_id")["model"].agg(lambda m: "+".join(sorted(m)))
    assert (shared[shared.str.contains(r"\+")] == "JEM+TFM").all()
    assert shared.str.contains(r"\+").sum() == 14
    maricopa = frame[frame["moa_id"].eq("AZ-maricopa-county-sheriff.2007-02-07")]
    assert maricopa["model"].tolist() == ["JEM", "TFM"]


def test_no_task_force_agreement_between_2013_and_2025(agreements):
    assert "TFM" not in set(agreements.active("2013-01-01")["model"])
    assert "TFM" not in set(agreements.active("2025-02-16")["model"])
    assert "TFM" in set(agreements.active("2025-02-21")["model"])


def test_resignings_are_not_starts(frame):
    etowah = frame.loc["AL-etowah-county-sheriff.JEM.2008-07-08"]
    assert etowah["resigned_dates"] == "2013-06-28;2016-06-08;2020-06-09"
    assert pd.isna(etowah["first_listed"])


@pytest.mark.parametrize(
    ("agency", "spells"),
    [("OH-butler-county-sheriff", 2), ("TN-bradley-county-sheriff", 2), ("MA-barnstable-county-sheriff", 2)],
)
def test_left_and_came_back(agreements, agency, spells):
    mine = agreements.frame[agreements.frame["agency_id"].eq(agency) & agreements.frame["model"].eq("JEM")]
    assert len(mine) == spells


def test_spells_of_one_agency_and_model_do_not_overlap(agreements):
    once = agreements.frame[agreements.frame["duplicate_of"].isna()].sort_values("signed_date")
    overlapping = []
    for key, group in once.groupby(["agency_id", "model"]):
        end = group["ended_date"].fillna(group["gone_by"]).tolist()
        start = group["signed_date"].tolist()
        if any(pd.isna(e) or e > s for e, s in zip(end, start[1:])):
            overlapping.append(key)
    # two memoranda were replaced by a later one and stood beside it on the lists for some days
    assert overlapping == [
        ("FL-florida-department-of-financial-services-criminal-investigation-division", "TFM"),
        ("FL-university-of-central-florida-police-department", "TFM"),
    ]


def test_dates_are_in_order(agreements):
    f = agreements.frame
    early = f["first_listed"].lt(f["signed_date"])
    assert f.loc[early, "signed_basis"].eq("ICE list, re-dated after listing").all() and early.sum() == 11
    assert (f["last_listed"].isna() | f["first_listed"].isna() | f["last_listed"].ge(f["first_listed"])).all()
    assert (f["gone_by"].isna() | f["last_listed"].isna() | f["gone_by"].ge(f["last_listed"])).all()
    assert (f["ended_date"].isna() | f["ended_date"].gt(f["signed_date"])).all()
    assert f.loc[f["end_precision"].eq("open"), ["ended_date", "gone_by"]].isna().all().all()
    assert f.loc[f["end_precision"].eq("window"), "gone_by"].notna().all()


FIFTEEN = {
    "GA-cobb-county-sheriff": ("2021-01-13", "2021-01-16"),
    "GA-gwinnett-county-sheriff": ("2021-01-13", "2021-01-16"),
    "MA-bristol-county-sheriff": ("2021-05-20", "2021-05-20"),  # two lists that day; on the first only
    "OH-butler-county-sheriff": ("2021-06-09", "2021-06-10"),
    "NC-brunswick-county-sheriff": ("2021-07-23", "2021-07-26"),
    "MA-plymouth-county-sheriff": ("2021-09-12", "2021-09-15"),
    "NJ-cape-may-county-sheriff": ("2021-11-17", "2021-11-20"),
    "NJ-monmouth-county-sheriff": ("2021-11-17", "2021-11-20"),
    "LA-ouachita-parish-sheriff": ("2022-08-08", "2022-08-11"),
    "FL-pasco-county-sheriff": ("2022-10-04", "2022-10-07"),
    "MA-barnstable-county-sheriff": ("2023-01-05", "2023-01-08"),
    "NV-nye-county-sheriff": ("2023-04-26", "2023-04-29"),
    "WI-lafayette-county-sheriff": ("2023-06-14", "2023-06-17"),
    "VA-culpeper-county-sheriff": ("2024-02-01", "2024-02-05"),
    "LA-east-baton-rouge-parish-sheriff": ("2024-06-27", "2024-06-30"),
}


def test_the_fifteen_exits(agreements):
    f = agreements.frame
    gone = f[f["gone_by"].between("2021-01-14", "2025-01-20") & f["exit"].eq("real")]
    found = {r.agency_id: (f"{r.last_listed:%Y-%m-%d}", f"{r.gone_by:%Y-%m-%d}") for r in gone.itertuples()}
    assert found == FIFTEEN
    assert not f["first_listed"].between("2021-01-14", "2025-02-16").any()


def test_every_disappearance_is_adjudicated(agreements):
    exits = catalog.read_released("qa_exits")
    assert exits["exit"].notna().all()
    assert exits.loc[exits["ends_spell"], "agreement_id"].nunique() == exits["ends_spell"].sum()
    ended = agreements.frame[agreements.frame["gone_by"].gt("2021-01-13")]
    assert set(ended["agreement_id"]) == set(exits.loc[exits["ends_spell"], "agreement_id"])
    for name in ("TN-knox", "TX-montgomery", "AL-etowah", "WI-manitowoc", "FL-walton"):
        assert not exits.loc[exits["agreement_id"].str.startswith(name), "ends_spell"].any()


def test_signing_years_are_days_since_the_memoranda_are_cited(frame):
    assert not frame["signed_precision"].eq("window").any()
    assert len(catalog.read_released("qa_withheld")) == 3


@pytest.mark.parametrize(
    ("name", "agency", "ice"),
    [
        ("GA-floyd-county-sheriff.JEM.2018-02-02", "2018-01-30", "2018-02-02"),
        ("TX-nueces-county-sheriff.JEM.2018-02-08", "2018-01-18", "2018-02-08"),
        ("MA-barnstable-county-sheriff.JEM.2018-01-25", "2018-01-10", "2018-01-25"),
        ("WI-waukesha-county-sheriff.JEM.2018-02-22", "2018-02-16", "2018-02-22"),
        ("AR-benton-county-sheriff.JEM.2009-10-15", "2009-10-08", "2009-10-15"),
        ("AR-washington-county-sheriff.JEM.2009-10-07", "2009-10-07", None),
    ],
)
def test_first_signings_by_memorandum(frame, name, agency, ice):
    spell = frame.loc[name]
    assert spell["signed_basis"] == "memorandum" and spell["signed_precision"] == "day"
    assert spell["signed_agency"] == pd.Timestamp(agency)
    assert pd.isna(spell["signed_ice"]) if ice is None else spell["signed_ice"] == pd.Timestamp(ice)


@pytest.mark.parametrize(
    ("name", "dates"),
    [
        ("NC-gaston-county-sheriff.JEM.2007-02-22", "2009-10-15;2013-06-28;2016-06-13;2020-06-09"),
        ("OK-tulsa-county-sheriff.TFM.2007-08-06", "2009-10-15"),
        ("SC-charleston-county-sheriff.JEM.2009-11-09", "2013-06-28;2016-06-23;2020-06-09"),
        ("TX-kendall-county-sheriff.JEM.2018-03-26", "2020-03-13"),
        ("TX-williamson-county-sheriff.JEM.2018-02-08", "2020-05-04"),
        ("FL-jacksonville-sheriff.JEM.2008-07-08", "2009-11-12;2013-06-28;2016-06-30;2020-06-09;2026-04-05"),
        ("NJ-monmouth-county-sheriff.JEM.2009-10-15", "2013-06-28;2014-05-21;2016-06-08"),
    ],
)
def test_signings_again(frame, name, dates):
    assert frame.loc[name, "resigned_dates"] == dates


def test_a_neighbours_date_is_corrected_by_the_memorandum(frame):
    assert frame.loc["FL-melbourne-beach-police-department.TFM.2025-05-13", "signed_basis"] == "memorandum"


def test_an_extension_is_no_signing(frame):
    assert frame.loc["NJ-monmouth-county-sheriff.JEM.2009-10-15", "expires"] == pd.Timestamp("2029-06-30")
    assert pd.isna(frame.loc["GA-floyd-county-sheriff.JEM.2018-02-02", "expires"])  # signed again since


THIRTEEN = {  # spells whose first signing was a date that ICE printed for a while and took back
    "AL-lawrence-county-sheriff.JEM": "2025-06-30",
    "AL-lawrence-county-sheriff.WSO": "2025-06-30",
    "FL-florida-department-of-highway-safety-motor-vehicles-division-of-highway-patrol.TFM": "2025-02-07",
    "FL-fort-walton-beach-police-department.TFM": "2025-08-04",
    "FL-hardee-county-sheriff.TFM": "2025-05-08",
    "FL-northwest-florida-state-college-police-department.TFM": "2025-05-08",
    "FL-saint-lucie-county-sheriff.TFM": "2025-02-26",
    "KS-rooks-county-sheriff.WSO": "2025-09-09",
    "MO-comet-drug-task-force.TFM": "2026-03-13",
    "NH-hillsborough-county-sheriff.TFM": "2025-05-22",
    "PA-stowe-township-police-department.TFM": "2025-12-11",
    "TX-parker-county-district-attorneys-office.TFM": "2026-04-30",
    "TX-webb-county-sheriff.JEM": "2025-12-02",
}


def test_a_date_ice_took_back_is_no_signing(frame):
    for name, day in THIRTEEN.items():
        spell = frame.loc[f"{name}.{day}"]
        assert pd.isna(spell["resigned_dates"])
        later = pd.notna(spell["first_listed"]) and spell["first_listed"] < spell["signed_date"]
        assert spell["signed_basis"] == ("ICE list, re-dated after listing" if later else "ICE list")


def test_the_signing_of_a_listed_agreement_is_the_date_printed_last(agreements, frame):
    printed = agreements.presence[agreements.presence["kind"].eq("participating")].sort_values("last_seq")
    last = printed.groupby("record_id")["signed_date"].last()
    mine = frame.loc[last.index]
    again = mine["resigned_dates"].str.split(";").str[-1]
    latest = pd.to_datetime(again).fillna(mine["signed_date"])
    moved = latest.ne(last) & mine["signed_basis"].str.startswith("ICE list")
    assert not moved.any()


def test_no_window_contains_a_signing(agreements):
    """A window of an end that begins before a later signing contradicts it (Charleston "gone after 2017")."""
    f = agreements.frame[agreements.frame["end_precision"].eq("window")]
    for r in f.itertuples():
        known = [
            r.signed_date,
            *(pd.Timestamp(d) for c in (r.resigned_dates, r.moa_dates) if pd.notna(c) for d in c.split(";")),
        ]
        inside = [d for d in known if d < r.gone_by]
        redated = r.signed_basis == "ICE list, re-dated after listing"
        assert redated or pd.isna(r.last_listed) or max(inside) <= r.last_listed, r.agreement_id


def test_two_clocks_differ_as_said(agreements):
    listed, signed = agreements.active("2025-05-15"), agreements.active("2025-05-15", basis="signed")
    assert listed.attrs["basis"] == "listed" and signed.attrs["basis"] == "signed"
    late = signed[~signed["agreement_id"].isin(listed["agreement_id"])]
    assert len(late) > 0
    assert (late["first_listed"] > pd.Timestamp("2025-05-15")).all()
    with pytest.raises(ValueError, match="'listed' or 'signed'"):
        agreements.active("2025-05-15", basis="operational")


def test_time_of_day(agreements):
    assert len(agreements.active("2025-08-28 10:00")) == 896
    assert len(agreements.active("2025-08-28 16:00")) == 897
    assert len(agreements.active("2025-08-28")) == 897


def test_second_lines_are_flagged(agreements):
    now = agreements.active("2025-08-27")
    assert now["duplicate_of"].notna().sum() == 1
    assert now.loc[now["duplicate_of"].notna(), "duplicate_of"].isin(now["agreement_id"]).all()


@pytest.mark.parametrize("day", ["2010-10-29", "2021-01-13", "2022-09-01", "2025-06-06", "2025-08-27", "2026-05-18"])
def test_as_known_gives_the_same_active_agreements(agreements, day):
    known = agreements.as_known(day)
    assert set(known.active(day)["agreement_id"]) == set(agreements.active(day)["agreement_id"])
    f = known.frame
    for column in ("signed_date", "first_listed", "last_listed", "gone_by", "ended_date"):
        assert not f[column].gt(day).any(), column


def test_as_known_forgets_later_corrections(agreements):
    known = agreements.as_known("2025-07-01").frame.set_index("agreement_id")
    before = known.loc["AL-lawrence-county-sheriff.JEM.2025-06-30"]  # the identifier is today's
    assert before["signed_date"] == pd.Timestamp("2025-05-20") and pd.isna(before["gone_by"])
    after = agreements.frame.set_index("agreement_id").loc["AL-lawrence-county-sheriff.JEM.2025-06-30"]
    assert after["signed_date"] == pd.Timestamp("2025-06-30") and after["exit"] == "real"
    seen_then = known.loc["AL-franklin-county-sheriff.JEM.2025-06-11"]
    assert seen_then["signed_date"] == pd.Timestamp("2025-06-12")  # ICE printed the 12th until August 2025


def test_as_known_on_the_last_day_is_the_record(agreements):
    pd.testing.assert_frame_equal(agreements.as_known("2026-05-18").frame, agreements.frame)


def test_results_do_not_alias_the_record(agreements):
    now = agreements.active("2026-05-18")
    now["model"] = "X"
    assert set(agreements.frame["model"]) == {"JEM", "TFM", "WSO"}
