"""A NACJD file is believed only when name, records, totals and size agree; otherwise one clear message, no cache."""

import zipfile

import pandas as pd
import pytest
from fixtures import nacjd

from g287stats import catalog
from g287stats.catalog import store
from g287stats.errors import SourceError
from g287stats.outcomes.nacjd.files import ARREST_FIELDS, CRIME_FIELDS, study_of

TABLE = "icpsr-county-crimes"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(store.DATA_DIR_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


def refused(paths, table=TABLE) -> str:
    with pytest.raises(SourceError) as caught:
        catalog.data_add(table, paths)
    assert store.kept(table) == {}
    return str(caught.value)


def test_layouts_are_as_long_as_the_codebooks_say():
    assert CRIME_FIELDS[-1].last == 97
    assert (len(ARREST_FIELDS), ARREST_FIELDS[-1].last) == (56, 246)


@pytest.mark.parametrize(
    ("name", "study"),
    [
        ("03451-0004-Data.txt", 3451),
        ("ICPSR_23780/DS0004/23780-0004-Data.tsv", 23780),
        ("ICPSR_35019-V1.zip", 35019),
        ("da25114-0004.txt", 25114),
        ("27644.txt", 27644),
        ("crimes.txt", None),
    ],
)
def test_study_number_is_read_from_the_name(name, study):
    assert study_of(name) == study


def as_zip(tmp_path, files, name="ICPSR_24567-V1.zip"):
    path = tmp_path / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for inside, content in files.items():
            z.writestr(inside, content)
    return path


def test_zip_as_downloaded_gives_the_right_member(tmp_path):
    text = nacjd.fixed(nacjd.crimes(2006))
    path = as_zip(
        tmp_path,
        {
            "ICPSR_23780/DS0004/23780-0004-Data.txt": text,
            "ICPSR_23780/DS0001/23780-0001-Data.txt": "x",
            "ICPSR_23780/DS0004/23780-0004-Codebook.pdf": "x",
            "ICPSR_23780/manifest.txt": "x",
        },
        "ICPSR_23780-V1.zip",
    )
    report = catalog.data_add(TABLE, [path])
    assert report.parts["part"].tolist() == ["2006"]
    kept = catalog.read_kept(TABLE)["2006"]
    pd.testing.assert_frame_equal(kept.astype("float64"), nacjd.crimes(2006).astype("float64"))


def write(frame, path):
    if path.suffix == ".tsv":
        frame.to_csv(path, sep="\t", index=False)
    elif path.suffix == ".dta":
        frame.to_stata(path, write_index=False)
    elif path.suffix == ".sav":
        pytest.importorskip("pyreadstat").write_sav(frame, str(path))
    elif path.suffix == ".rda":
        pytest.importorskip("rdata").write_rda(path, {"da33523.0004": frame})
    return path


@pytest.mark.parametrize("suffix", [".tsv", ".dta", ".sav", ".rda"])
def test_other_formats_hold_the_same_figures(tmp_path, suffix):
    frame = nacjd.crimes(2010).sample(frac=1, axis=1, random_state=1)  # named columns may come in any order
    frame = frame.rename(columns={"T1": "VIOL", "T2": "PROPERTY"}).astype("float64")
    catalog.data_add(TABLE, [write(frame, tmp_path / f"33523-0004-Data{suffix}")])
    kept = catalog.read_kept(TABLE)["2010"]
    pd.testing.assert_frame_equal(kept.astype("float64"), nacjd.crimes(2010).astype("float64"))


def test_text_is_preferred_to_copies_in_other_formats(tmp_path):
    first = nacjd.write_crimes(tmp_path, 2010)
    report = catalog.data_add(TABLE, [write(nacjd.crimes(2010), tmp_path / "33523-0004-Data.tsv"), first])
    assert report.parts["source"].tolist() == [first.name]


def test_missing_reader_names_what_to_install(tmp_path, monkeypatch):
    import sys

    from g287stats.errors import UnavailableError

    path = tmp_path / "33523-0004-Data.rda"
    path.write_bytes(b"RDX3")
    monkeypatch.setitem(sys.modules, "rdata", None)
    with pytest.raises(UnavailableError, match=r'pip install "g287stats\[statfiles\]"'):
        catalog.data_add(TABLE, [path])


def test_truncated_line_and_truncated_file(tmp_path):
    text = nacjd.fixed(nacjd.crimes(2006))
    cut = tmp_path / "23780-0004-Data.txt"
    cut.write_text(text[:-30])
    assert "records are not 97 characters long (1): line 3147 has 68" in refused([cut])
    cut.write_text("".join(text.splitlines(keepends=True)[:1500]))
    assert "1,500 records; a complete file has at least 3,100" in refused([cut])
    (tmp_path / "33523-0004-Data.dta").write_bytes(b"nonsense")
    assert "33523-0004-Data.dta: cannot be read as .dta" in refused([tmp_path / "33523-0004-Data.dta"])


def test_empty_file(tmp_path):
    path = tmp_path / "23780-0004-Data.txt"
    path.write_text("")
    assert "23780-0004-Data.txt: the file is empty" in refused([path])


def test_wrong_study_and_no_study(tmp_path):
    path = nacjd.write_crimes(tmp_path, 2006, study=36120)
    assert "is of study 36120; county studies are 06669" in refused([path])


def test_wrong_year_by_record_number_by_totals_and_by_repetition(tmp_path):
    early = nacjd.write_crimes(tmp_path, 2004, nacjd.crimes(2003))
    assert "the name says study 04466 (2004), the records say 4360 (2003)" in refused([early])
    late = nacjd.write_crimes(tmp_path, 2007, nacjd.crimes(2011))
    assert "the name says 2007, but the printed totals follow the files of 2009 and later" in refused([late])
    late.unlink()
    other = nacjd.write_crimes(tmp_path, 2011, nacjd.crimes(2006))
    assert "follow the files of 2008 and before: wrong year" in refused([other])
    twins = [nacjd.write_crimes(tmp_path, 2006), nacjd.write_crimes(tmp_path, 2007, nacjd.crimes(2006))]
    assert "holds the same figures as 23780-0004-Data.txt (2006)" in refused(twins)


def test_shuffled_columns(tmp_path):
    frame = nacjd.crimes(2006)
    order = [*frame.columns[:11], *frame.columns[11:][::-1]]
    swapped = frame[order].set_axis(frame.columns, axis=1)
    swapped[["MURDER", "RAPE"]] = swapped[["MURDER", "RAPE"]].clip(upper=9999)
    swapped[["ROBBERY", "AGASSLT"]] = swapped[["ROBBERY", "AGASSLT"]].clip(upper=9999)
    swapped["ARSON"] = swapped["ARSON"].clip(upper=999)
    text = refused([nacjd.write_crimes(tmp_path, 2006, swapped)])
    assert "printed totals agree with the sum of their parts in only" in text
    absent = frame.rename(columns={"MURDER": "HOMICIDE"})
    assert "columns are absent" in refused([write(absent, tmp_path / "23780-0004-Data.tsv")])


def test_letters_in_numeric_fields_and_impossible_values(tmp_path):
    lines = nacjd.fixed(nacjd.crimes(2006)).splitlines()
    lines[2] = lines[2][:57] + "  1O" + lines[2][61:]
    path = tmp_path / "23780-0004-Data.txt"
    path.write_text("\n".join(lines) + "\n")
    assert "column MURDER holds what is not a number (1): row 3 '1O'" in refused([path])
    frame = nacjd.crimes(2006)
    frame.loc[4, "COVIND"] = 101.5
    frame.loc[5, "FIPS_ST"] = 3
    frame.loc[6, ["FIPS_ST", "FIPS_CTY"]] = frame.loc[7, ["FIPS_ST", "FIPS_CTY"]]
    text = refused([write(frame, tmp_path / "23780-0004-Data.tsv")])
    for part in ("rows without a state and county code", "counties occur twice", "COVIND is not between 0 and 100"):
        assert part in text


def test_the_other_file_of_the_study(tmp_path):
    path = tmp_path / "23780-0004-Data.tsv"
    nacjd.crimes(2006).assign(PART=1).to_csv(path, sep="\t", index=False)
    assert "PART reads [1], not 4: this is another file of the study" in refused([path])


def test_all_problems_of_all_files_at_once(tmp_path):
    bad = nacjd.crimes(2004)
    bad.loc[3, "COVIND"] = 200
    text = refused(
        [
            nacjd.write_crimes(tmp_path, 2003, nacjd.crimes(2003)[:100]),
            nacjd.write_crimes(tmp_path, 2004, bad),
            nacjd.write_crimes(tmp_path, 2005),
        ]
    )
    assert "2 problems" in text
    assert "04360-0004-Data.txt: 100 records" in text
    assert "04466-0004-Data.txt: COVIND" in text


def test_two_different_files_of_one_year(tmp_path):
    one = nacjd.write_crimes(tmp_path, 2006)
    other = tmp_path / "again"
    other.mkdir()
    two = nacjd.write_crimes(other, 2006, nacjd.crimes(2006, seed=1))
    assert "two different files for 2006" in refused([one, two])
    two.write_bytes(one.read_bytes())
    assert len(catalog.data_add(TABLE, [one, two]).parts) == 1


def test_zip_with_a_path_outside(tmp_path):
    text = nacjd.fixed(nacjd.crimes(2006))
    path = as_zip(tmp_path, {"../23780-0004-Data.txt": text})
    assert "entries point outside the archive (1): ../23780-0004-Data.txt" in refused([path])


def test_arrests_have_the_same_guards(tmp_path):
    table = "icpsr-county-arrests"
    good = nacjd.write_arrests(tmp_path, 2006)
    report = catalog.data_add(table, [good])
    assert report.parts["part"].tolist() == ["2006"]
    frame = nacjd.arrests(2006)
    frame["P1VLNT"] = frame["DUI"].clip(upper=99999)
    store_before = store.kept(table)
    with pytest.raises(SourceError, match="violent arrests agree with the sum of their parts in only"):
        catalog.data_add(table, [nacjd.write_arrests(tmp_path, 2007, frame)])
    assert store.kept(table) == store_before
