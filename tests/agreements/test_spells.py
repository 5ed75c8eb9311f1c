"""Spells and exits, worked by hand, and what must not matter."""

import random

import pandas as pd
import pytest
from authored_agreements import MODEL
from hypothesis import given, settings
from hypothesis import strategies as st

from g287stats import catalog
from g287stats.agreements import history, spells
from g287stats.agreements.assemble import assemble
from g287stats.agreements.build import resolve
from g287stats.agreements.identity import Counties, FbiAgencies, Fixes
from g287stats.agreements.rosters import ROW_FIELDS, PrintedList
from g287stats.errors import SourceError

# Seven lists. A stays throughout; its name is respelt on list 4 and its county cell filled.
# B is on the first list with a signing of 2020, reprinted as 2024-07-01 on list 5: a re-signing.
# C is gone from list 2 on.
# D is listed on 3, omitted on 4, back on 5 with the same date (an artefact), gone on 6, and back on 7 with a new
#   date 92 days later: a second spell.
# E is printed twice on list 5. F is listed without a memorandum on list 3 as TFM and WSO, and as WSO alone from 4.
DAYS = ["2021-01-13", "2021-01-16", "2025-02-20", "2025-02-25", "2025-03-01", "2025-05-01", "2025-08-01"]
A = ("NORTH CAROLINA", "Alamance County Sheriff's Office", "WSO", "2020-05-21", "", "link")
A2 = (
    "NORTH CAROLINA ",
    "Alamance County Sheriff’s Department (Addendum)",
    "WSO",
    "2020-05-21",
    "Alamance County",
    "link",
)
B = ("TEXAS", "Tarrant County Sheriff's Office", "JEM", "2020-06-16", "", "link")
B2 = ("TEXAS", "Tarrant County Sheriff's Office", "JEM", "2024-07-01", "", "link")
C = ("GEORGIA", "Cobb County Sheriff's Office", "JEM", "2020-06-09", "", "link")
D = ("NORTH CAROLINA", "Burlington Police Department", "TFM", "2025-02-18", "", "link")
D2 = ("NORTH CAROLINA", "City of Burlington Police Department", "TFM", "2025-07-30", "Alamance County", "link")
E = ("FLORIDA", "Volusia County Sheriff's Office", "TFM", "2025-02-26", "Volusia County", "link pending")
F1 = ("NEVADA", "Douglas County Sheriff's Office", "TFM", "2025-02-19", "Douglas County", "link pending")
F2 = ("NEVADA", "Douglas County Sheriff's Office", "WSO", "2025-02-19", "Douglas County", "link pending")
LISTS = [[A, B, C], [A, B], [A, B, D, F1, F2], [A2, B, F2], [A2, B2, D, E, E, F2], [A2, B2, E, F2], [A2, B2, D2, E, F2]]

FIXES = Fixes.load()
COUNTIES = Counties(catalog.read_released("county_list"))
FBI = FbiAgencies(
    pd.DataFrame(
        [
            ["NC0010200", "Burlington", "NC", "ALAMANCE, GUILFORD", "City"],
            ["NC0010000", "Alamance", "NC", "ALAMANCE", "County"],
        ],
        columns=["ori", "agency", "state", "counties", "kind"],
    ),
    COUNTIES,
)
PENDING = {"p": [("NORTH CAROLINA", "Burlington Police Department", "TFM", "", "", "")]}


def printed(name, rows, kind="participating"):
    records = [
        (n, state, agency, "County", county, MODEL[model], signed, moa, "")
        for n, (state, agency, model, signed, county, moa) in enumerate(rows, 2)
    ]
    return PrintedList(name, kind, pd.DataFrame(records, columns=ROW_FIELDS, dtype=object))


def assembled(lists=LISTS, days=DAYS):
    tables, seen = {}, []
    for n, (day, rows) in enumerate(zip(days, lists)):
        name = f"list{n}"
        tables[name] = printed(name, rows)
        seen.append(("participating", pd.Timestamp(day), "0900", name, name, len(rows)))
    columns = ["kind", "list_date", "time", "file", "table", "printed_rows"]
    ordered = spells.order_lists(pd.DataFrame(seen, columns=columns))
    waiting = pd.DataFrame([("pending", pd.Timestamp("2025-02-15"), "0900", "p", "p", 1)], columns=columns)
    return assemble(
        ordered,
        resolve(tables, FIXES, dated=True),
        spells.order_lists(waiting),
        resolve({"p": printed("p", PENDING["p"], "pending")}, FIXES, dated=False),
        pd.DataFrame(columns=history.COLUMNS).astype({"continues": bool}),
        FIXES,
        COUNTIES,
        FBI,
    )


@pytest.fixture(scope="module")
def tables():
    return assembled()


def spell(tables, name):
    return tables["agreements"].set_index("agreement_id").loc[name]


def test_the_spells(tables):
    assert sorted(tables["agreements"]["agreement_id"]) == [
        "FL-volusia-county-sheriff.TFM.2025-02-26",
        "FL-volusia-county-sheriff.TFM.2025-02-26.line2",
        "GA-cobb-county-sheriff.JEM.2020-06-09",
        "NC-alamance-county-sheriff.WSO.2020-05-21",
        "NC-burlington-police-department.TFM.2025-02-18",
        "NC-burlington-police-department.TFM.2025-07-30",
        "NV-douglas-county-sheriff.TFM.2025-02-19",
        "NV-douglas-county-sheriff.WSO.2025-02-19",
        "TX-tarrant-county-sheriff.JEM.2020-06-16",
    ]


def test_exit_between_two_lists(tables):
    cobb = spell(tables, "GA-cobb-county-sheriff.JEM.2020-06-09")
    assert (cobb["last_listed"], cobb["gone_by"]) == (pd.Timestamp("2021-01-13"), pd.Timestamp("2021-01-16"))
    assert (cobb["end_precision"], cobb["exit"]) == ("window", "real")


def test_standing_on_the_first_list_is_censored(tables):
    assert pd.isna(spell(tables, "TX-tarrant-county-sheriff.JEM.2020-06-16")["first_listed"])


def test_resigning_is_not_an_agreement(tables):
    assert spell(tables, "TX-tarrant-county-sheriff.JEM.2020-06-16")["resigned_dates"] == "2024-07-01"


def test_omission_is_no_exit_and_return_is_a_second_spell(tables):
    first = spell(tables, "NC-burlington-police-department.TFM.2025-02-18")
    assert (first["first_listed"], first["last_listed"]) == (pd.Timestamp("2025-02-20"), pd.Timestamp("2025-03-01"))
    assert first["gone_by"] == pd.Timestamp("2025-05-01")
    second = spell(tables, "NC-burlington-police-department.TFM.2025-07-30")
    assert second["first_listed"] == pd.Timestamp("2025-08-01")
    gap = tables["qa_interruptions"].iloc[0]
    assert (gap["last_list"], gap["back_on"], gap["days"]) == (
        pd.Timestamp("2025-02-20"),
        pd.Timestamp("2025-03-01"),
        4,
    )


def test_county_of_a_city_in_two_counties(tables):
    assert spell(tables, "NC-burlington-police-department.TFM.2025-07-30")["county_fips"] == "37001;37081"


def test_exits_are_adjudicated(tables):
    exits = tables["qa_exits"]
    kinds = exits.groupby("agreement_id")["exit"].agg(list).to_dict()
    assert kinds == {
        "GA-cobb-county-sheriff.JEM.2020-06-09": ["real"],
        "NC-alamance-county-sheriff.WSO.2020-05-21": ["corrected"],
        "NC-burlington-police-department.TFM.2025-02-18": ["artefact", "real"],
        "NV-douglas-county-sheriff.TFM.2025-02-19": ["corrected"],
        "TX-tarrant-county-sheriff.JEM.2020-06-16": ["re-dated"],
        "FL-volusia-county-sheriff.TFM.2025-02-26.line2": ["artefact"],
    }
    assert exits.loc[exits["ends_spell"] & exits["exit"].eq("real"), "agreement_id"].nunique() == 2


def test_every_line_is_counted(tables):
    counts = tables["qa_list_counts"]
    assert counts["agreements"].tolist() == [3, 2, 5, 3, 6, 4, 5]
    assert not counts["explanation"].str.contains("UNEXPLAINED").any()
    assert "both counted" in counts["explanation"].iloc[4]


def test_application_finds_its_agreement(tables):
    application = tables["applications"].iloc[0]
    assert application["outcome"] == "signed"
    assert application["agreement_id"] == "NC-burlington-police-department.TFM.2025-02-18"


def same(a, b, names=("agreements", "agencies", "list_presence", "qa_exits")):
    for name in names:
        x, y = a[name], b[name]
        keys = [c for c in x.columns if c not in ("last_file", "gone_file")]
        x = x[keys].astype(str).sort_values(keys).reset_index(drop=True)
        y = y[keys].astype(str).sort_values(keys).reset_index(drop=True)
        pd.testing.assert_frame_equal(x, y)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_order_of_rows_and_files_does_not_matter(tables, seed):
    rng = random.Random(seed)
    lists = [rng.sample(rows, len(rows)) for rows in LISTS]
    order = rng.sample(range(len(DAYS)), len(DAYS))
    same(tables, assembled([lists[i] for i in order], [DAYS[i] for i in order]))


@settings(max_examples=4, deadline=None)
@given(twice=st.lists(st.integers(0, len(LISTS) - 1), min_size=1, max_size=3))
def test_a_list_replayed_changes_nothing(tables, twice):
    lists, days = list(LISTS), list(DAYS)
    for i in twice:
        lists.append(LISTS[i])
        days.append(DAYS[i])
    same(tables, assembled(lists, days), ("agreements", "agencies"))


@settings(max_examples=4, deadline=None)
@given(where=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1)), min_size=1, max_size=4))
def test_doubled_lines_add_no_agreement(tables, where):
    lists = [list(rows) for rows in LISTS]
    for i, j in where:
        lists[i].append(lists[i][j])
    found = assembled(lists)["agreements"]
    expected = tables["agreements"]
    columns = [c for c in expected.columns if c != "duplicate_of"]
    same(
        {"agreements": expected.loc[expected["duplicate_of"].eq(""), columns]},
        {"agreements": found.loc[found["duplicate_of"].eq(""), columns]},
        ("agreements",),
    )


SPELLINGS = [
    "TARRANT COUNTY SHERIFF'S OFFICE",
    "Tarrant County Sheriff’s Office ",
    "Tarrant  County Sheriffs Office",
    "Tarrant County Sheriff's Department",
    "Tarrant Co. Sheriff's Office (Addendum)",
    "Tarrant\xa0County Sheriff Office",
]


@settings(max_examples=5, deadline=None)
@given(names=st.lists(st.sampled_from(SPELLINGS), min_size=7, max_size=7))
def test_a_respelled_name_makes_no_exit(tables, names):
    lists = [[r if r[0] != "TEXAS" else (r[0], names[i], *r[2:]) for r in rows] for i, rows in enumerate(LISTS)]
    found = assembled(lists)
    texas = found["agreements"][found["agreements"]["state"].eq("TX")]
    assert texas["agreement_id"].tolist() == ["TX-tarrant-county-sheriff.JEM.2020-06-16"]
    assert texas["gone_by"].isna().all()
    assert not found["qa_exits"].loc[lambda e: e["state_printed"].eq("TX"), "ends_spell"].any()


def test_all_bad_cells_are_named_at_once():
    rows = [
        ("TEXAZ", "X County Sheriff's Office", "JEM", "2025-01-30", "", ""),
        ("TEXAS", "Y County Sheriff's Office", "JEM", "soon", "", ""),
        ("TEXAS", "", "JEM", "2025-01-30", "", ""),
    ]
    table = printed("list", rows)
    table.rows.loc[3] = {**table.rows.loc[1].to_dict(), "row": 5, "signed": "2025-01-30", "model": "Tribal Model"}
    with pytest.raises(SourceError) as caught:
        resolve({"list": table}, FIXES, dated=True)
    text = str(caught.value)
    for part in (
        "4 problems",
        "'TEXAZ' is not known",
        "cannot be read: text 'soon'",
        "agency is blank",
        "'Tribal Model' was never seen",
        "list row 2",
    ):
        assert part in text


@settings(max_examples=60, deadline=None)
@given(
    cell=st.one_of(st.text(max_size=20), st.integers(), st.floats(), st.dates(), st.none(), st.booleans()),
    column=st.sampled_from(["state", "agency", "model", "signed", "county", "type", "moa"]),
)
def test_a_fuzzed_cell_is_refused_or_resolved(cell, column):
    table = printed("list", LISTS[0])
    table.rows.at[1, column] = cell
    try:
        rows = resolve({"list": table}, FIXES, dated=True)
    except SourceError as error:
        assert "list row 3" in str(error)
        return
    assert len(rows) == 3
    assert rows["agency_id"].ne("").all() and rows["signed_date"].notna().all()
    if column == "agency":
        assert rows["agency_printed"].iloc[1]


def test_a_date_after_the_list_is_refused():
    lists = [[("TEXAS", "Tarrant County Sheriff's Office", "JEM", "2021-06-30", "", "")]]
    with pytest.raises(SourceError, match="signed after the day of the list"):
        assembled(lists, DAYS[:1])


@pytest.mark.parametrize(
    ("printed", "linked", "expected"),
    [
        (["2025-07-07", "2025-06-25"], True, ("2025-06-25", [], ["2025-07-07"])),  # corrected downwards
        (["2025-02-19", "2025-02-26"], True, ("2025-02-26", [], ["2025-02-19"])),  # listed before it was signed
        (["2025-02-07", "2025-02-17", "2025-02-07"], True, ("2025-02-07", [], ["2025-02-17"])),  # taken back
        (["2016-06-08", "2020-06-09"], True, ("2016-06-08", ["2020-06-09"], [])),  # signed again when it ran out
        (["2016-06-08", "2020-06-09"], False, ("2020-06-09", [], ["2016-06-08"])),  # no memorandum to show for it
        (["2016-06-08", "2020-06-12", "2020-06-09"], True, ("2016-06-08", ["2020-06-09"], ["2020-06-12"])),
        (["2025-03-05"], False, ("2025-03-05", [], [])),
    ],
)
def test_first_signing(printed, linked, expected):
    signed, again, taken_back = spells.first_signing(map(pd.Timestamp, printed), linked)
    assert (f"{signed:%Y-%m-%d}", *([f"{d:%Y-%m-%d}" for d in ds] for ds in (again, taken_back))) == expected
