"""Reading workbooks: what is accepted, repaired, refused."""

import datetime as dt
import time
import zipfile

import openpyxl
import pandas as pd
import pytest
from authored_agreements import HEADER, PENDING, line, workbook
from hypothesis import given, settings
from hypothesis import strategies as st

from g287stats.agreements.rosters import name_date, parse_date, read_list
from g287stats.errors import SourceError

ROWS = [
    line("NORTH CAROLINA", "Alamance County Sheriff’s Office", "WSO", dt.date(2025, 3, 1), "Alamance County"),
    line("TEXAS", "Tarrant County Sheriff's Office", "JEM", "2025-03-02", "Tarrant County"),
]


def test_reads_rows_as_printed(tmp_path):
    table = read_list(workbook(tmp_path / "a.xlsx", ROWS))
    assert table.rows["agency"].tolist() == ["Alamance County Sheriff’s Office", "Tarrant County Sheriff's Office"]
    assert table.rows["row"].tolist() == [2, 3]
    assert table.repairs == ()


def test_column_order_does_not_matter(tmp_path):
    order = [4, 0, 1, 5, 2, 3, 6, 7]
    shuffled = workbook(tmp_path / "a.xlsx", [[r[i] for i in order] for r in ROWS], [HEADER[i] for i in order])
    pd.testing.assert_frame_equal(read_list(shuffled).rows, read_list(workbook(tmp_path / "b.xlsx", ROWS)).rows)


def test_second_sheet_is_left_out_and_said(tmp_path):
    path = workbook(tmp_path / "a.xlsx", ROWS, sheets=[("Sheet2", [["Total", 41]])])
    table = read_list(path)
    assert len(table.rows) == 2
    assert "'Sheet2' left out" in table.repairs[0]


def test_two_lists_in_one_workbook_are_refused(tmp_path):
    with pytest.raises(SourceError, match="2 of the sheets"):
        read_list(workbook(tmp_path / "a.xlsx", ROWS, sheets=[("Sheet2", [HEADER, *ROWS])]))


def test_unknown_and_missing_columns_are_named_together(tmp_path):
    header = ["STATE", "AGENCY NAME", "TYPE", "COUNTY", "SUPPORT TYPE", "SIGNED", "MOA", "ADDENDUM"]
    with pytest.raises(
        SourceError, match=r"(?s)unknown columns \(1\): AGENCY NAME.*missing \(1\): LAW ENFORCEMENT AGENCY"
    ):
        read_list(workbook(tmp_path / "a.xlsx", ROWS, header))


def test_pending_offered_as_participating(tmp_path):
    with pytest.raises(SourceError, match="pending list offered as participating"):
        read_list(workbook(tmp_path / "a.xlsx", [r[:5] for r in ROWS], PENDING))


def test_participating_offered_as_pending(tmp_path):
    with pytest.raises(SourceError, match="participating list offered as pending"):
        read_list(workbook(tmp_path / "a.xlsx", ROWS), "pending")


def test_ten_thousand_blank_rows_are_dropped_and_counted(tmp_path):
    blank = [" "] + [""] * 7
    path = workbook(tmp_path / "a.xlsx", [ROWS[0], *[blank] * 10_000, ROWS[1]])
    start = time.perf_counter()
    table = read_list(path)
    assert time.perf_counter() - start < 5
    assert len(table.rows) == 2
    assert table.repairs == ("10000 blank rows dropped",)


def test_formula_is_refused_by_cell(tmp_path):
    path = workbook(tmp_path / "a.xlsx", ROWS)
    book = openpyxl.load_workbook(path)
    book.active["F3"] = "=TODAY()"
    book.save(path)
    with pytest.raises(SourceError, match=r"holds formulas \(1\): F3"):
        read_list(path)


def test_far_cell_is_refused_before_parsing(tmp_path):
    path = workbook(tmp_path / "a.xlsx", ROWS)
    book = openpyxl.load_workbook(path)
    book.active.cell(1_048_576, 16_384, "x")
    book.save(path)
    start = time.perf_counter()
    with pytest.raises(SourceError, match="reaches row 1,048,576 and column 16,384"):
        read_list(path)
    assert time.perf_counter() - start < 5


def test_truncated_archive(tmp_path):
    path = workbook(tmp_path / "a.xlsx", ROWS)
    for keep in (0, 10, 200, len(path.read_bytes()) // 2, len(path.read_bytes()) - 30):
        short = tmp_path / f"{keep}.xlsx"
        short.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(SourceError, match="Fetch the file again"):
            read_list(short)


def test_archive_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * (120 << 20))
    with pytest.raises(SourceError, match="unpacks to"):
        read_list(path)


@settings(max_examples=25, deadline=None)
@given(at=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused(tmp_path_factory, at, value):
    folder = tmp_path_factory.getbasetemp() / "bytes"
    path = folder / "whole.xlsx"
    if not path.exists():
        workbook(path, ROWS)
    data = bytearray(path.read_bytes())
    data[at % len(data)] = value
    broken = folder / "broken.xlsx"
    broken.write_bytes(data)
    try:
        table = read_list(broken)
    except SourceError:
        return
    assert len(table.rows) <= 2


@pytest.mark.parametrize(
    ("cell", "day"),
    [
        (dt.date(2025, 5, 8), "2025-05-08"),
        (dt.datetime(2025, 5, 8), "2025-05-08"),
        ("2025-05-08", "2025-05-08"),
        ("05/082025", "2025-05-08"),
        ("7/72025", "2025-07-07"),
        ("8/282025", "2025-08-28"),
        ("8/28/2025", "2025-08-28"),
        (45785, "2025-05-08"),
    ],
)
def test_dates(cell, day):
    assert parse_date(cell)[0] == pd.Timestamp(day)


@pytest.mark.parametrize(
    "cell", ["", "soon", "5025-07-07", dt.date(5025, 7, 7), "2025-13-01", "13/45/2025", 12, True, None]
)
def test_unreadable_dates(cell):
    assert parse_date(cell)[0] is None


@given(
    st.one_of(st.text(max_size=30), st.floats(), st.integers(), st.dates(), st.datetimes(), st.none(), st.booleans())
)
def test_any_cell_gives_a_date_or_none(cell):
    day, _ = parse_date(cell)
    assert day is None or 1900 <= day.year <= 2200


@pytest.mark.parametrize(
    ("name", "day", "time_of_day"),
    [
        ("participatingAgencies05182026am.xlsx", "2026-05-18", "0900"),
        ("participatingAgencies12042025pm2.xlsx", "2025-12-04", "15002"),
        ("participatingAgencies07242025pm_b.xlsx", "2025-07-24", "1500_b"),
        ("participatingAgencies-20250226183301.xlsx", "2025-02-26", "1833"),
        ("participatingAgencies04232026.xlsx", "2026-04-23", "1200"),
    ],
)
def test_names(name, day, time_of_day):
    assert name_date(name) == (pd.Timestamp(day), time_of_day)


def test_malformed_name_has_no_date():
    assert name_date("participatingAgencies090022025am.xlsx")[0] is None
