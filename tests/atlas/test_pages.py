"""Pages as text: complete, neutral, self-contained, the same bytes twice, every local link there."""

import io
import re
import subprocess
import sys
from html.parser import HTMLParser

import openpyxl
import pandas as pd
import pytest

import g287stats as g
from g287stats import palette
from g287stats.atlas import county, facts, links, write
from g287stats.atlas.sources import load_sources
from g287stats.cli import main
from g287stats.report import workbook

FORBIDDEN = (
    "crackdown",
    "sanctuary",
    "surge",
    "safe",
    "safer",
    "effective",
    "ineffective",
    "illegal",
    "alien",
    "aliens",
    "refused",
    "terminated",
    "success",
    "failed",
    "better",
    "worse",
    "best",
    "worst",
    "ranked",
    "rank",
    "spike",
    "soar",
    "plunge",
)
QUOTED = ("terminated by DHS", "best-efforts", "sanctuary")  # what a source itself says; names of laws


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas")
    return folder, write.write_atlas(folder, states=["NC", "SC"], progress=False)


@pytest.fixture(scope="module")
def pages():
    sources = load_sources()
    around = facts.places(sources)
    codes = ["37071", "37119", "12086", "48301", "09001", "37061", "13115", "06037", "04013", "02150"]
    return {c: county.county_page(facts.county_record(sources, c), links.Links(), around) for c in codes}


class Reader(HTMLParser):
    """Words, addresses and images of a page, and whether every element closes."""

    VOID = frozenset({"meta", "input", "br", "link", "img"})

    def __init__(self, text):
        super().__init__()
        self.words, self.links, self.ids, self.open, self.tags = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.links += [v for k, v in attrs if k in ("href", "src") and v]
        self.ids += [v for k, v in attrs if k == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.links += [v for k, v in attrs if k in ("href", "src") and v]
        self.ids += [v for k, v in attrs if k == "id"]

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)


def test_pages_are_whole_and_ask_no_network(pages, atlas):
    _, written = atlas
    for text in [*pages.values(), *(p.read_text("utf-8") for p in written if p.suffix == ".html")]:
        page = Reader(text)
        assert page.open == []
        assert len(page.ids) == len(set(page.ids))
        assert [t for t, _ in page.tags].count("h1") == 1
        assert "default-src 'none'" in text and ("html", {"lang": "en"}) in [
            (t, {"lang": a.get("lang")}) for t, a in page.tags
        ]
        assert not [a for a in page.links if re.match(r"(?i)(https?:)?//", a)]
        assert all("aria-label" in a for t, a in page.tags if t == "svg" and a.get("role") == "img")
        assert all(a.get("scope") for t, a in page.tags if t == "th")


def test_every_local_link_is_there(atlas):
    _, written = atlas
    for path in (p for p in written if p.suffix == ".html"):
        page = Reader(path.read_text("utf-8"))
        for address in page.links:
            if address.startswith("data:"):
                continue
            name, _, anchor = address.partition("#")
            target = (path.parent / name).resolve() if name else path
            assert target.is_file(), f"{path.name}: {address}"
            if anchor and not name:
                assert anchor in page.ids, f"{path.name}: {address}"


def test_words_are_neutral(pages, atlas):
    _, written = atlas
    texts = [*pages.values(), *(p.read_text("utf-8") for p in written if p.suffix == ".html")]
    for text in texts:
        words = " ".join(Reader(text).words).lower()
        for quoted in QUOTED:
            words = words.replace(quoted.lower(), "")
        found = [w for w in FORBIDDEN if re.search(rf"\b{w}\b", words)]
        assert not found, found
        assert not re.search(r"[↑↓▲▼]|[+−-]\d+(\.\d+)? ?%", " ".join(Reader(text).words))


def test_no_red_and_no_green():
    import colorsys

    used = [k.color for k in palette.CLASSES] + list(palette.STATUS_COLORS.values()) + list(palette.SERIES_COLORS)
    styles = (write.Path(county.__file__).parent.parent / "report" / "page.css").read_text("utf-8")
    used += re.findall(r"#[0-9A-Fa-f]{6}\b", styles)
    for color in set(used):
        red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
        hue, _, vivid = colorsys.rgb_to_hsv(red, green, blue)[0] * 360, 0, colorsys.rgb_to_hsv(red, green, blue)[1]
        if vivid > 0.25 and max(red, green, blue) > 0.25:
            assert 25 < hue < 60 or 180 < hue < 320, f"{color}: hue {hue:.0f}"


def test_every_year_not_shown_has_its_reason(pages):
    for code, text in pages.items():
        for year in g.county_facts(code).crime:
            assert (year.rate is None) == bool(year.reason)
        assert "not shown" in text or "nothing is known here" in text


def test_ended_pending_withheld_and_unknown_are_in_words(pages):
    assert "ended 5 Dec 2018 (new sheriff ended it)" in pages["37119"]
    assert "model not printed" in pages["37061"]
    assert "no agreement in the record" in pages["37061"]
    assert "Note: " in pages["12086"]


def test_downloads_open_and_equal_the_facts(pages):
    import base64

    for code, text in pages.items():
        record = g.county_facts(code)
        uris = dict(re.findall(r'download="([^"]+)" href="data:[^;]+;base64,([^"]+)"', text))
        (book,) = [base64.b64decode(v) for k, v in uris.items() if k.endswith(".xlsx")]
        sheets = openpyxl.load_workbook(io.BytesIO(book))
        assert sheets.sheetnames == ["agreements", "recorded_crime", "similar_counties", "notes"]
        rows = list(sheets["agreements"].iter_rows(values_only=True))
        assert len(rows) - 1 == len(record.agreements)
        for row, spell in zip(rows[1:], record.agreements):
            cells = dict(zip(rows[0], row))
            assert (cells["agency"], cells["model"], cells["signed"].date()) == (
                spell.agency,
                spell.model,
                spell.signed,
            )
            assert cells["county_fips"] == spell.county_fips
        assert sheets["recorded_crime"].max_row - 1 == len(record.crime)
        crime = next(v for k, v in uris.items() if k.endswith("recorded-crime.csv"))
        frame = pd.read_csv(io.BytesIO(base64.b64decode(crime)))
        assert list(frame["rate"].isna()) == [c.rate is None for c in record.crime]
        notes = "\n".join(str(r) for r in sheets["notes"].iter_rows(values_only=True))
        assert record.data_version in notes and "18 May 2026" in notes


def test_workbooks_keep_codes_and_formulas_as_text_and_bytes_the_same():
    from datetime import date

    sheet = workbook.Sheet(
        ["code", "n", "day", "none", "yes", "formula"], [["01001", 2.5, date(2026, 5, 18), None, True, "=1+1"]]
    )
    first, second = workbook.xlsx_bytes({"a": sheet}), workbook.xlsx_bytes({"a": sheet})
    assert first == second
    _, row = openpyxl.load_workbook(io.BytesIO(first))["a"].iter_rows(values_only=True)
    assert (row[0], row[1], row[2].date(), row[3], row[4], row[5]) == (
        "01001",
        2.5,
        date(2026, 5, 18),
        None,
        True,
        "=1+1",
    )


def test_sizes_are_within_budget(pages, atlas):
    folder, _ = atlas
    assert (folder / "index.html").stat().st_size < 700_000
    assert max(len(t.encode("utf-8")) for t in pages.values()) < 80_000


def test_a_second_build_gives_the_same_bytes_whatever_the_hash_seed(atlas, tmp_path):
    folder, written = atlas
    code = (
        "from g287stats.atlas.write import write_atlas; import sys;"
        "write_atlas(sys.argv[1], states=['SC','NC'][::-1], progress=False)"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, env={**__import__("os").environ, "PYTHONHASHSEED": "7"}
    )
    for path in written:
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes(), path.name


def test_one_file_pages_have_no_links_to_other_files(tmp_path, capsys):
    assert main(["county", "Gaston, NC", "--out", str(tmp_path / "page.html")]) == 0
    assert main(["state", "NC", "--out", str(tmp_path)]) == 0
    for name in ("page.html", "nc.html"):
        page = Reader((tmp_path / name).read_text("utf-8"))
        assert all(a.startswith(("#", "data:")) for a in page.links)
    assert main(["county", "Gastn, NC", "--out", str(tmp_path / "x.html")]) == 1
    assert "Gaston County, NC (37071)" in capsys.readouterr().err


def test_the_record_without_python(tmp_path, capsys):
    assert main(["agreements", "list", "--state", "NC", "--on", "2025-08-27"]) == 0
    out = capsys.readouterr().out
    active = g.load_agreements().active("2025-08-27")
    assert out.startswith(f"{(active.state == 'NC').sum()} agreements on ICE's list of 2025-08-27")
    assert main(["agreements", "list", "--state", "NC", "--format", "xlsx", "--out", str(tmp_path / "a.xlsx")]) == 0
    rows = list(openpyxl.load_workbook(tmp_path / "a.xlsx")["agreements"].iter_rows(values_only=True))
    assert len(rows) - 1 == (g.load_agreements().active("2026-05-18").state == "NC").sum()
    assert (
        main(["agreements", "list", "--county", "Gaston, NC", "--format", "csv", "--out", str(tmp_path / "a.csv")]) == 0
    )
    frame = pd.read_csv(tmp_path / "a.csv", dtype=str)
    assert frame[["county_fips", "county", "model", "model_name"]].iloc[0].tolist() == [
        "37071",
        "Gaston County",
        "JEM",
        "jail enforcement",
    ]
    capsys.readouterr()
    assert main(["agreements", "show", "Gaston County Sheriff"]) == 0
    assert "2007-02-22" in capsys.readouterr().out
    assert main(["agreements", "changes", "--since", "2026-05-10", "--state", "NC"]) == 0
    assert "Albemarle District Jail" in capsys.readouterr().out
    assert main(["agreements", "show", "Gastn County Sherif"]) == 1
    assert "Gaston County Sheriff's Office, NC" in capsys.readouterr().err
    assert main(["agreements", "list", "--format", "xlsx"]) == 1
    assert "--out" in capsys.readouterr().err
