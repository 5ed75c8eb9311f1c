"""Building from workbooks, and taking the next one in: on authored sources."""

import datetime as dt
import functools
import http.server
import shutil
import threading

import pandas as pd
import pytest
from authored_agreements import PENDING, line, sources, workbook

from g287stats import catalog
from g287stats.agreements.build import build
from g287stats.agreements.identity import STATE_NAMES
from g287stats.agreements.table import load_agreements
from g287stats.agreements.update import update_agreements, update_all
from g287stats.cli import main
from g287stats.errors import DataWarning, IdentityError, SourceError

A = line("NORTH CAROLINA", "Alamance County Sheriff's Office", "WSO", dt.date(2020, 5, 21), "Alamance County")
B = line("TEXAS", "Tarrant County Sheriff's Office", "JEM", dt.date(2020, 6, 16), "Tarrant County")
C = line(
    "GEORGIA", "Whitfield County Sheriff's Office", "JEM", dt.date(2020, 6, 9), "Whitfield County", moa="link pending"
)
D = line("NORTH CAROLINA", "Burlington Police Department", "TFM", dt.date(2025, 2, 18), "", kind="Municipality")
D2 = line(
    "NORTH CAROLINA", "City of Burlington PD", "TFM", dt.date(2025, 2, 18), "Alamance County", kind="Municipality"
)
B2 = line("TEXAS", "Tarrant County Sheriff's Department", "JEM", dt.date(2025, 3, 1), "Tarrant County")
E = line(
    "FLORIDA", "Volusia County Sheriff's Office", "TFM", dt.date(2025, 2, 26), "Volusia County", moa="link pending"
)
E2 = line("FLORIDA", "Volusia County Sheriff's Office", "TFM", dt.date(2025, 2, 25), "Volusia County")

LISTS = [
    ("ParticipatingEntities-20210113002027.xlsx", "2021-01-13", [A, B, C]),
    ("participatingAgencies02202025am.xlsx", "2025-02-20", [A, B, D]),
    ("participatingAgencies02272025am.xlsx", "2025-02-27", [A, B, D, E]),
    ("participatingAgencies03042025am.xlsx", "2025-03-04", [A, B2, D2, E2]),
    ("participatingAgencies03062025am.xlsx", "2025-03-06", [A, B2, C, E2]),
]
PENDING_ROWS = [["FLORIDA", "Volusia County Sheriff's Office", "County", "", "Task Force Model"]]
WHITFIELD = [
    "GA",
    "Whitfield County Sheriff's Office",
    "sheriff",
    "13313",
    "JEM",
    "2008-02-04",
    "2009-10-15",
    "",
    "2017-08-01",
    "",
    "",
    "x",
    "high",
    "",
    "True",
    "",
]
TABLES = (
    "agreements",
    "applications",
    "ice_lists",
    "list_presence",
    "agencies",
    "qa_exits",
    "qa_list_counts",
    "qa_signing_dates",
    "qa_interruptions",
    "qa_doubled_rows",
)


def out_folder(path):
    released = catalog.released_dir()
    shutil.copytree(released / "schema", path / "schema")
    shutil.copytree(released / "fixes", path / "fixes")
    shutil.copy(released / "county_list.csv", path)
    return path


def built(folder, lists):
    src = sources(
        folder / "src",
        lists,
        [("pendingAgencies02212025am.xlsx", PENDING_ROWS)],
        [WHITFIELD],
        removals=[["GA", "Whitfield County Sheriff Office", 2010, 5, "", "FALSE"]],
    )
    out = out_folder(folder / "out")
    build(src, out)
    return src, out


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """Sources, and the record built from the first three lists."""
    return built(tmp_path_factory.mktemp("three"), LISTS[:3])


@pytest.fixture
def fresh(record, tmp_path):
    return shutil.copytree(record[1], tmp_path / "out")


def snapshot(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*.csv"))}


def new_list(folder, n, rows=None, name=None):
    file, day, printed = LISTS[n]
    return workbook(folder / (name or file), printed if rows is None else rows), day


def test_build_writes_the_same_bytes_again(record, tmp_path):
    again = out_folder(tmp_path / "again")
    for path in build(record[0], again):
        assert path.read_bytes() == (record[1] / path.relative_to(again)).read_bytes(), path.name


def test_history_and_lists_are_one_spell(record):
    frame = load_agreements(record[1]).frame.set_index("agency_id")
    whitfield = frame.loc["GA-whitfield-county-sheriff"]
    assert whitfield["signed_date"] == pd.Timestamp("2008-02-04")
    assert whitfield["resigned_dates"] == "2009-10-15;2020-06-09"
    assert whitfield["gone_by"] == pd.Timestamp("2025-02-20")


def test_difference_is_reported_and_nothing_written(fresh, tmp_path):
    before = snapshot(fresh)
    d = update_agreements(*new_list(tmp_path, 3), folder=fresh)
    assert (len(d.new), len(d.gone), len(d.changed)) == (0, 0, 3)
    assert d.before == d.after == 4
    text = str(d)
    assert 'printed as "Tarrant County Sheriff\'s Department"' in text
    assert "signing date printed as 2025-03-01 (was 2020-06-16)" in text
    assert "county printed as 'Alamance County'" in text
    assert "Nothing written. Add --apply" in text
    assert snapshot(fresh) == before


def test_applying_lists_one_by_one_equals_building_from_all(fresh, tmp_path):
    for n in (3, 4):
        d = update_agreements(*new_list(tmp_path, n), apply=True, folder=fresh)
    assert d.applied and len(d.gone) == 1 and len(d.changed) == 1
    assert "listed again" in str(d)
    _, whole = built(tmp_path / "whole", LISTS)
    for name in TABLES:
        ours, theirs = catalog.read_released(name, fresh), catalog.read_released(name, whole)
        pd.testing.assert_frame_equal(ours, theirs, obj=name)


def test_corrected_signing_renames_the_agreement(fresh, tmp_path):
    update_agreements(*new_list(tmp_path, 3), apply=True, folder=fresh)
    frame = load_agreements(fresh).frame
    assert "FL-volusia-county-sheriff.TFM.2025-02-25" in set(frame["agreement_id"])
    assert "FL-volusia-county-sheriff.TFM.2025-02-26" not in set(frame["agreement_id"])


def test_replaying_the_latest_list_changes_nothing(fresh, tmp_path):
    before = snapshot(fresh)
    d = update_agreements(*new_list(tmp_path, 2), apply=True, folder=fresh)
    assert d.unchanged and "Nothing new" in str(d)
    assert snapshot(fresh) == before


def test_a_respelled_agency_is_offered_as_unresolved(fresh, tmp_path):
    typo = [*E[:1], "Volussia County Sheriff's Office", *E[2:4], *E[4:]]
    path, day = new_list(tmp_path, 3, [A, B, D, typo])
    d = update_agreements(path, day, folder=fresh)
    assert len(d.new) == len(d.gone) == 1
    assert "near FL-volusia-county-sheriff" in str(d)
    assert "same model and signing date as Volusia County Sheriff's Office, gone: renamed?" in str(d)


def test_refuses_a_list_of_another_day_than_its_name(fresh, tmp_path):
    path, _ = new_list(tmp_path, 3)
    with pytest.raises(SourceError, match="is a list of 2025-03-04, not of 2025-03-05"):
        update_agreements(path, "2025-03-05", folder=fresh)


def test_refuses_a_name_known_to_be_wrong(fresh, tmp_path):
    path = workbook(tmp_path / "participatingAgencies01052025pm.xlsx", [A])
    with pytest.raises(SourceError, match=r"2026-01-05 \(corrected name\)"):
        update_agreements(path, "2025-01-05", folder=fresh)


def test_refuses_an_older_list(fresh, tmp_path):
    path = workbook(tmp_path / "participatingAgencies02202025am.xlsx", [A, B, D])
    with pytest.raises(SourceError, match="older than the latest in hand"):
        update_agreements(path, "2025-02-20", folder=fresh)


def test_refuses_an_earlier_table_under_a_new_name(fresh, tmp_path):
    path, day = new_list(tmp_path, 3, [A, B, D])
    with pytest.raises(SourceError, match=r"older than its name says.*from the list of 2025-02-20"):
        update_agreements(path, day, folder=fresh)
    assert len(update_agreements(path, day, folder=fresh, explain="ICE printed it again").gone) == 1


def test_refuses_a_date_after_the_list(fresh, tmp_path):
    late = line("TEXAS", "Smith County Sheriff's Office", "JEM", dt.date(2025, 5, 1))
    with pytest.raises(SourceError, match="signed after the day of the list"):
        update_agreements(*new_list(tmp_path, 3, [A, B, D, E, late]), folder=fresh)


def test_refuses_a_pending_list(fresh, tmp_path):
    path = workbook(tmp_path / "participatingAgencies03042025am.xlsx", PENDING_ROWS, PENDING)
    with pytest.raises(SourceError, match="pending list offered as participating"):
        update_agreements(path, "2025-03-04", folder=fresh)


def test_refuses_a_jump_unless_explained(fresh, tmp_path):
    counties = catalog.read_released("county_list").query("state == 'TX'")["name"].head(60)
    many = [line("TEXAS", f"{c} Sheriff's Office", "WSO", dt.date(2025, 3, 3), c) for c in counties]
    path, day = new_list(tmp_path, 3, [A, B, D, E, *many])
    with pytest.raises(SourceError, match="60 new agreements since 2025-02-27; at most 40 expected"):
        update_agreements(path, day, folder=fresh)
    assert len(update_agreements(path, day, folder=fresh, explain="mandate").new) == 60


def test_refuses_an_unreadable_year(fresh, tmp_path):
    strange = line("TEXAS", "Smith County Sheriff's Office", "JEM", "5025-03-01")
    with pytest.raises(SourceError, match="cannot be read: text '5025-03-01'"):
        update_agreements(*new_list(tmp_path, 3, [A, B, D, E, strange]), folder=fresh)


def test_agency_without_a_county_is_counted(tmp_path):
    unknown = line("TEXAS", "Nowhere Police Department", "TFM", dt.date(2025, 2, 18))
    lists = [LISTS[0], (LISTS[1][0], LISTS[1][1], [A, B, D, unknown])]
    src = sources(tmp_path / "src", lists, [("pendingAgencies02212025am.xlsx", PENDING_ROWS)], [WHITFIELD])
    with pytest.warns(DataWarning, match="1 of 6 non-state agencies have no county: TX-nowhere-police-department"):
        build(src, out_folder(tmp_path / "out"))
    doubt = catalog.read_released("qa_agency_counties", tmp_path / "out")
    assert doubt["agency_id"].tolist() == ["TX-nowhere-police-department"]


def test_removals_of_an_unknown_agency(tmp_path):
    src = sources(
        tmp_path / "src",
        LISTS[:2],
        [("pendingAgencies02212025am.xlsx", PENDING_ROWS)],
        [WHITFIELD],
        removals=[["TX", "Atlantis Police", 2010, 5, 1, "FALSE"]],
    )
    with pytest.raises(IdentityError, match="TX Atlantis Police"):
        build(src, out_folder(tmp_path / "out"))


def test_missing_and_unlisted_workbooks_are_named(record, tmp_path):
    src = shutil.copytree(record[0], tmp_path / "src")
    (src / "agreements/rosters" / LISTS[1][0]).rename(src / "agreements/rosters/other.xlsx")
    with pytest.raises(
        SourceError, match=r"(?s)not in rosters/ \(1\): participatingAgencies02202025am.*on no list day \(1\): other"
    ):
        build(src, out_folder(tmp_path / "out"))


# --- the record in the user's folder --------------------------------------------------------------------------


def next_list(folder, name, more=()):
    """The released record's last list with one agreement more, and one that is gone."""
    presence = catalog.read_released("list_presence", catalog.released_dir())
    record = catalog.read_released("agreements", catalog.released_dir()).set_index("agreement_id")
    last = presence[presence["kind"].eq("participating") & presence["last_seq"].eq(977)]
    full = {code: words for words, code in STATE_NAMES.items()}
    rows = [
        line(
            full[r.state_printed],
            r.agency_printed,
            record.at[r.record_id, "model"],
            r.signed_date.date(),
            "" if pd.isna(r.county_printed) else r.county_printed,
        )
        for r in last.itertuples()
        if r.record_id != "NY-broome-county-sheriff.WSO.2025-03-10"
    ]
    return workbook(folder / name, [*rows, *more])


ANNISTON = line("ALABAMA", "Anniston Police Department", "TFM", dt.date(2026, 6, 1), "Calhoun County")
BONHAM = line("TEXAS", "Celina Police Department", "TFM", dt.date(2026, 6, 10), "", kind="Municipality")


def test_lists_of_a_folder_are_kept_in_order_and_taken_back(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("G287STATS_DATA", str(tmp_path / "home"))
    lists = tmp_path / "lists"
    next_list(lists, "participatingAgencies06162026am.xlsx", [ANNISTON, BONHAM])
    next_list(lists, "participatingAgencies 2026-06-02.xlsx", [ANNISTON])
    workbook(lists / "participatingAgencies05182026am.xlsx", [A])  # not newer: passed over
    assert len(update_all([lists])) == 1  # without apply, the next list only
    assert catalog.current_record() is None

    assert main(["agreements", "update", str(lists), "--apply", "--details", str(tmp_path / "all.txt")]) == 0
    printed = capsys.readouterr().out
    assert "New: 1 (TFM 1)" in printed and "by state: AL 1" in printed and "Gone: 1 (WSO 1)" in printed
    assert "To look at" not in printed
    assert "AL Anniston Police Department TFM: signed 2026-06-01" in (tmp_path / "all.txt").read_text()
    agreements = load_agreements()
    assert len(agreements.active("2026-06-16")) == 1844
    anniston = agreements.agency("AL-anniston-police-department").iloc[0]
    assert (anniston["county_fips"], anniston["county_name"], anniston["ori"]) == (
        "01015",
        "Calhoun County",
        "AL0110100",
    )
    celina = agreements.agency("TX-celina-police-department").iloc[0]
    assert celina["county_fips"] == "48085;48121" and celina["ori"]  # the FBI's counties, ICE prints none
    gone = agreements.frame.set_index("agreement_id").loc["NY-broome-county-sheriff.WSO.2025-03-10"]
    assert gone["gone_by"] == pd.Timestamp("2026-06-02")
    assert agreements.counts["list_date"].min() == pd.Timestamp("2026-07-14")  # the count of 9 June is behind us

    assert main(["agreements", "undo"]) == 0
    assert load_agreements().last_day == pd.Timestamp("2026-06-02")
    assert main(["agreements", "undo"]) == 0
    assert load_agreements().last_day == pd.Timestamp("2026-05-18")


def test_an_address_is_fetched_when_named(tmp_path, monkeypatch):
    monkeypatch.setenv("G287STATS_DATA", str(tmp_path / "home"))
    path = next_list(tmp_path, "participatingAgencies06022026am.xlsx", [ANNISTON])
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = update_all([f"http://127.0.0.1:{server.server_port}/{path.name}"])[0]
        with pytest.raises(SourceError, match="cannot be fetched"):
            update_all([f"http://127.0.0.1:{server.server_port}/other.xlsx"])
        server.shutdown()
    assert len(found.new) == 1 and found.as_of == pd.Timestamp("2026-06-02")


def test_numbered_precincts_are_no_misspellings(tmp_path, monkeypatch):
    monkeypatch.setenv("G287STATS_DATA", str(tmp_path / "home"))
    precinct = line("TEXAS", "Bexar County Constable Precinct 4", "TFM", dt.date(2026, 6, 1), "Bexar County")
    typo = line("FLORIDA", "Volussia County Sheriff's Office", "JEM", dt.date(2026, 6, 1), "Volusia County")
    path = next_list(tmp_path, "participatingAgencies06022026am.xlsx", [precinct, typo])
    doubtful = update_agreements(path).unresolved
    assert doubtful["agency"].tolist() == ["Volussia County Sheriff's Office"]


# --- on the real lists ----------------------------------------------------------------------------------------


@pytest.mark.private_data
def test_released_tables_rebuild_to_the_same_bytes(sources, tmp_path):
    out = out_folder(tmp_path / "out")
    with pytest.warns(DataWarning, match="have no county"):
        written = build(sources, out)
    for path in written:
        assert path.read_bytes() == (catalog.released_dir() / path.relative_to(out)).read_bytes(), path.name
    first = catalog.read_released("list_presence", out).query("kind == 'participating' and first_seq == 1")
    table = pd.read_csv(sources / "agreements" / "roster_2021_01_13.csv")
    assert len(first) == len(table) == 150
    assert sorted(first["signed_printed"]) == sorted(table["signed"])


@pytest.mark.private_data
def test_the_last_six_lists_one_by_one(sources, tmp_path):
    seen = pd.read_csv(sources / "agreements" / "list_observations.csv", dtype=str)
    short = tmp_path / "src"
    (short / "agreements" / "rosters").mkdir(parents=True)
    for part in ("agreements/pending", "geography"):
        (short / part).symlink_to(sources / part)
    for file in (sources / "agreements").glob("*.csv"):
        shutil.copy(file, short / "agreements")
    seen.iloc[:-6].to_csv(short / "agreements" / "list_observations.csv", index=False)
    for table in seen["same_table_as"].iloc[:-6].unique():
        (short / "agreements" / "rosters" / table).symlink_to(sources / "agreements" / "rosters" / table)
    out = out_folder(tmp_path / "out")
    with pytest.warns(DataWarning):
        build(short, out)
    for row in seen.iloc[-6:].itertuples():
        update_agreements(sources / "agreements/rosters" / row.same_table_as, row.list_date, apply=True, folder=out)
    for name in TABLES:
        ours, whole = catalog.read_released(name, out), catalog.read_released(name, catalog.released_dir())
        pd.testing.assert_frame_equal(ours, whole, obj=name)
    assert len(load_agreements(out).active("2026-05-18")) == 1843
