"""No workbook brings the process down, however its cells are written; ordinary ones pass."""

import subprocess
import sys
import zipfile

import openpyxl
import pytest

from g287stats.catalog.workbooks import Limits, checked, rows_of_xls
from g287stats.errors import SourceError

LIMITS = Limits()
SHEET = "xl/worksheets/sheet1.xml"
HEAD = '<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'


def book(path, rows=(("A", "B"), (1, "x"))):
    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.active.append(row)
    workbook.save(path)
    return path


def altered(path, parts, drop=()):
    """Save an ordinary workbook with parts replaced, added or dropped."""
    book(path)
    with zipfile.ZipFile(path) as archive:
        content = {n: archive.read(n) for n in archive.namelist() if n not in drop}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (content | parts).items():
            archive.writestr(name, text)
    return path


def sheet(cells):
    return f"{HEAD}<sheetData>{cells}</sheetData></worksheet>"


def test_an_ordinary_workbook_passes_whole(tmp_path):
    path = book(tmp_path / "a.xlsx")
    assert checked(path, LIMITS) == path.read_bytes()


FAR = {
    "single quotes": "<row r='1'><c r='XFD1048576'><v>1</v></c></row>",
    "blanks around": '<row r="1"><c  t="n"   r = "XFD1048576"  ><v>1</v></c></row>',
    "a line in the tag": '<row r="1"><c\nr="XFD1048576"\n><v>1</v></c></row>',
    "entity in the reference": '<row r="1"><c r="XFD&#49;048576"><v>1</v></c></row>',
    "lower case": '<row r="1"><c r="xfd1048576"><v>1</v></c></row>',
    "row number only": '<row r="1048576"><c><v>1</v></c></row>',
    "another prefix": '<x:row xmlns:x="urn:x" r="1"><x:c r="XFD1048576"/></x:row>',
    "no reference, many cells": '<row r="1">' + "<c/>" * 70 + "</row>",
    "attribute before": '<row r="1"><c s="1" r="XFD9"><v>1</v></c></row>',
}


@pytest.mark.parametrize("how", FAR)
def test_cells_far_outside_are_refused_in_every_spelling(tmp_path, how):
    with pytest.raises(SourceError, match="reaches row"):
        checked(altered(tmp_path / "a.xlsx", {SHEET: sheet(FAR[how])}), LIMITS)


@pytest.mark.parametrize("name", ["xl/other/part.dat", "xl/worksheets/SHEET1.XML2", "xl\\worksheets\\sheet9.xml"])
def test_a_sheet_under_any_name_is_looked_at(tmp_path, name):
    with pytest.raises(SourceError, match="reaches row"):
        checked(altered(tmp_path / "a.xlsx", {name: sheet(FAR["lower case"])}), LIMITS)


def test_a_sheet_in_another_encoding_is_looked_at(tmp_path):
    text = sheet(FAR["lower case"]).replace('version="1.0"', 'version="1.0" encoding="UTF-16"')
    with pytest.raises(SourceError, match="reaches row"):
        checked(altered(tmp_path / "a.xlsx", {SHEET: text.encode("utf-16")}), LIMITS)


@pytest.mark.parametrize(
    "cell",
    ["<c r='A2'><f>1+1</f></c>", '<c r="A2"><v>1</v><f t="shared" si="0"/></c>', "<c>\n <f\n>1</f></c>", "<c><f/></c>"],
)
def test_formulas_in_any_spelling_are_refused_by_cell(tmp_path, cell):
    path = altered(tmp_path / "a.xlsx", {SHEET: sheet(f'<row r="2">{cell}</row>')})
    with pytest.raises(SourceError, match=r"holds formulas \(1\): A2"):
        checked(path, LIMITS)
    assert checked(path, Limits(formulas=True))


@pytest.mark.parametrize("reference", ["A0", "$A$1", "A", "1", "", "AAAA1", "A99999999", "A1:B2", "R1C1"])
def test_references_that_are_none_are_refused(tmp_path, reference):
    with pytest.raises(SourceError, match="out of place"):
        checked(altered(tmp_path / "a.xlsx", {SHEET: sheet(f'<row r="1"><c r="{reference}"/></row>')}), LIMITS)


def test_more_cells_and_strings_than_are_read(tmp_path):
    few = Limits(cells=100, strings=100)
    with pytest.raises(SourceError, match="more than is read"):
        checked(altered(tmp_path / "a.xlsx", {SHEET: sheet('<row><c r="A1"/></row>' * 200)}), few)
    strings = f"{HEAD.replace('worksheet', 'sst')}{'<si><t>x</t></si>' * 200}</sst>"
    with pytest.raises(SourceError, match="more than is read"):
        checked(altered(tmp_path / "b.xlsx", {"xl/sharedStrings.xml": strings}), few)


def test_entities_and_broken_parts_are_refused(tmp_path):
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><worksheet>&b;</worksheet>'
    for text in (bomb, sheet("<row>").replace("</row>", ""), "<worksheet", "\x00"):
        with pytest.raises(SourceError, match="not well-formed"):
            checked(altered(tmp_path / "a.xlsx", {SHEET: text}), LIMITS)


def test_other_kinds_of_workbook_and_doubled_parts_are_refused(tmp_path):
    with pytest.raises(SourceError, match=r"not an \.xlsx workbook"):
        checked(altered(tmp_path / "a.xlsx", {}, drop=["xl/workbook.xml"]), LIMITS)
    with pytest.raises(SourceError, match=r"not an \.xlsx workbook"):
        checked(altered(tmp_path / "b.xlsx", {"content.xml": "<x/>"}), LIMITS)
    path = book(tmp_path / "c.xlsx")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr(SHEET, sheet(FAR["lower case"]))
    with pytest.raises(SourceError, match="occur twice"):
        checked(path, LIMITS)


def test_size_damage_and_what_is_no_file(tmp_path):
    path = book(tmp_path / "a.xlsx")
    raw = path.read_bytes()
    with pytest.raises(SourceError, match="at most 10 are read"):
        checked(path, Limits(packed=10))
    with pytest.raises(SourceError, match="unpacks to"):
        checked(path, Limits(unpacked=10))
    for damaged in (raw[:-30], raw[: len(raw) // 2], b"", b"PK", raw[:60] + bytes(40) + raw[100:]):
        path.write_bytes(damaged)
        with pytest.raises(SourceError, match=r"a\.xlsx"):
            checked(path, LIMITS)
    with pytest.raises(SourceError, match="cannot be read"):
        checked(tmp_path, LIMITS)
    with pytest.raises(SourceError, match="pipe, socket or device"):
        checked(type(path)("/dev/zero"), LIMITS)


def test_a_method_of_packing_unknown_here_is_told(tmp_path):
    path = book(tmp_path / "a.xlsx")
    raw = bytearray(path.read_bytes())
    for start, where in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        at = raw.find(start)
        while at >= 0:
            raw[at + where : at + where + 2] = (97).to_bytes(2, "little")
            at = raw.find(start, at + 4)
    path.write_bytes(raw)
    with pytest.raises(SourceError, match="not an intact"):
        checked(path, LIMITS)


def test_old_workbooks_are_read_apart_and_their_crash_is_a_message(tmp_path, monkeypatch):
    path = book(tmp_path / "a.xlsx")
    assert rows_of_xls(path, "a")["Sheet"] == [["A", "B"], [1.0, "x"]]
    (tmp_path / "b.xls").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))
    with pytest.raises(SourceError, match="b: not a readable workbook"):
        rows_of_xls(tmp_path / "b.xls", "b")
    with pytest.raises(SourceError, match="c: not a readable workbook"):
        rows_of_xls(altered(tmp_path / "c.xlsx", {SHEET: sheet(FAR["single quotes"])}), "c")


def test_the_far_cell_would_abort_without_the_check(tmp_path):
    """The reason for all this, so that it is noticed when the reader learns better."""
    path = altered(
        tmp_path / "a.xlsx", {SHEET: sheet("<row r='1'><c r='A1'><v>1</v></c></row>" + FAR["single quotes"])}
    )
    code = (
        "import resource, sys, python_calamine as p; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)); "
        "b = p.CalamineWorkbook.from_path(sys.argv[1]); b.get_sheet_by_index(0).to_python(skip_empty_area=False)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=False)
    assert done.returncode != 0
    with pytest.raises(SourceError, match="reaches row"):
        checked(path, LIMITS)
