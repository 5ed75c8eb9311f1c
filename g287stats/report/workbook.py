"""Tables as CSV and XLSX: quick enough for a thousand pages, and the same bytes for the same content.

The workbook is the least that the format allows (ISO/IEC 29500: sheets with inline strings, one style sheet): openpyxl
takes fifty times as long for the same few cells and stamps the hour into the file.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import pandas as pd

_HOUR = (2002, 1, 1, 0, 0, 0)
_FIRST_DAY = date(1899, 12, 30)  # day zero of a spreadsheet
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_DOC = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PKG = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"


class Sheet(NamedTuple):
    """A table for a file: names of columns and rows of plain values (text, numbers, days, None)."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Sheet:
        """Take a frame; missing cells become None."""
        rows = [[None if pd.isna(v) else v for v in row] for row in frame.itertuples(index=False, name=None)]
        return cls(list(frame.columns), rows)

    @classmethod
    def from_records(cls, records: Iterable[Any], columns: Sequence[str]) -> Sheet:
        """Take attributes of records; tuples are joined by semicolons."""
        rows = [
            ["; ".join(map(str, v)) if isinstance(v, tuple) else v for v in (getattr(r, c) for c in columns)]
            for r in records
        ]
        return cls(columns, rows)


def csv_bytes(sheet: Sheet) -> bytes:
    """Return a table as UTF-8 CSV with a byte-order mark, which spreadsheets need to read accents."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(sheet.columns)
    writer.writerows(["" if v is None else v for v in row] for row in sheet.rows)
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8")


def xlsx_bytes(sheets: Mapping[str, Sheet]) -> bytes:
    """Return tables as one workbook, a sheet each: bold head that stays in sight, columns as wide as their words."""
    names = list(sheets)
    numbers = range(1, len(names) + 1)
    kinds = "".join(
        f'<Override PartName="/xl/worksheets/sheet{i}.xml" ContentType="{_TYPE}.worksheet+xml"/>' for i in numbers
    )
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PKG}/content-types"><Default Extension="rels" '
        f'ContentType="application/'
        f'vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/><Override '
        f'PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>{kinds}</Types>',
        "_rels/.rels": _links([("officeDocument", "xl/workbook.xml")]),
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_DOC}"><sheets>'
        + "".join(f'<sheet name="{escape(n[:31])}" sheetId="{i}" r:id="rId{i}"/>' for i, n in zip(numbers, names))
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": _links(
            [("worksheet", f"worksheets/sheet{i}.xml") for i in numbers] + [("styles", "styles.xml")]
        ),
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><fonts count="2"><font><sz val="11"/><name '
        f'val="Calibri"/></font>'
        '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts><fills count="2"><fill><patternFill '
        'patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills><borders '
        'count="1"><border/>'
        '</borders><cellStyleXfs count="1"><xf/></cellStyleXfs><cellXfs count="3"><xf/><xf fontId="1" applyFont="1"/>'
        '<xf numFmtId="14" applyNumberFormat="1"/></cellXfs><cellStyles count="1"><cellStyle name="Normal" '
        'xfId="0" builtinId="0"/></cellStyles></styleSheet>',
    } | {f"xl/worksheets/sheet{i}.xml": _sheet(sheets[n]) for i, n in zip(numbers, names)}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _HOUR), (_HEAD + text).encode("utf-8"), zipfile.ZIP_DEFLATED, 9)
    return out.getvalue()


def _links(targets: list[tuple[str, str]]) -> str:
    rows = "".join(
        f'<Relationship Id="rId{i}" Type="{_DOC}/{kind}" Target="{to}"/>' for i, (kind, to) in enumerate(targets, 1)
    )
    return f'<Relationships xmlns="{_PKG}/relationships">{rows}</Relationships>'


def _sheet(sheet: Sheet) -> str:
    widths = [len(c) for c in sheet.columns]
    for row in sheet.rows:
        widths = [max(w, len(str(v)) if v is not None else 0) for w, v in zip(widths, row)]
    columns = "".join(
        f'<col min="{j}" max="{j}" width="{min(w + 2, 60)}" customWidth="1"/>' for j, w in enumerate(widths, 1)
    )
    head = "".join(_cell(c, ' s="1"') for c in sheet.columns)
    rows = "".join("<row>" + "".join(map(_cell, row)) + "</row>" for row in sheet.rows)
    return (
        f'<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" '
        f'activePane="bottomLeft" state="frozen"/></sheetView></sheetViews><cols>{columns}</cols><sheetData>'
        f"<row>{head}</row>{rows}</sheetData></worksheet>"
    )


def _cell(value: Any, style: str = "") -> str:
    """Write a cell. Text stays text: a code keeps its zeros and a leading "=" is no formula."""
    if value is None:
        return "<c/>"
    if isinstance(value, bool):
        return f'<c t="b"><v>{int(value)}</v></c>'
    if isinstance(value, (int, float)) or hasattr(value, "dtype"):
        return f"<c><v>{value!r}</v></c>" if isinstance(value, (int, float)) else f"<c><v>{value.item()!r}</v></c>"
    if isinstance(value, datetime):
        value = value.date()
    if isinstance(value, date):
        return f'<c s="2"><v>{(value - _FIRST_DAY).days}</v></c>'
    return f'<c t="inlineStr"{style}><is><t xml:space="preserve">{escape(str(value))}</t></is></c>'
