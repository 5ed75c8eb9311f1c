"""Readers: the same table out of every format, only the columns asked for, and every bad cell named."""

import numpy as np
import pandas as pd
import pytest

from g287stats.catalog.archives import Member, sha256
from g287stats.catalog.readers import as_numbers, fields_from_widths, read_fixed, read_named
from g287stats.errors import Problems, SourceError

FRAME = pd.DataFrame({"A": [1.0, 2.0], "B": [3.0, 4.0], "C": [5.0, 6.0]})


def member(path):
    return Member(path.name, path, path, sha256(path))


def write(path):
    if path.suffix == ".csv":
        FRAME.to_csv(path, index=False)
    elif path.suffix == ".tsv":
        FRAME.to_csv(path, index=False, sep="\t")
    elif path.suffix == ".parquet":
        FRAME.to_parquet(path)
    elif path.suffix == ".dta":
        FRAME.to_stata(path, write_index=False)
    elif path.suffix == ".sav":
        pytest.importorskip("pyreadstat").write_sav(FRAME, str(path))
    elif path.suffix == ".rds":
        pytest.importorskip("rdata").write_rds(path, FRAME)
    else:
        pytest.importorskip("rdata").write_rda(path, {"x": FRAME})
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".dta", ".sav", ".rds", ".rda"])
def test_every_format_gives_the_columns_asked_for(tmp_path, suffix):
    got = read_named(member(write(tmp_path / f"x{suffix}")), ["C", "A", "absent"])
    assert list(got.columns) == ["A", "C"]
    pd.testing.assert_frame_equal(got.astype("float64"), FRAME[["A", "C"]])


@pytest.mark.parametrize("suffix", [".parquet", ".dta", ".sav", ".rds"])
def test_truncated_file_is_named(tmp_path, suffix):
    path = write(tmp_path / f"x{suffix}")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(SourceError, match=rf"x\{suffix}: cannot be read as \{suffix}.*download it again"):
        read_named(member(path))


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_text_that_ends_inside_a_row_is_named(tmp_path, suffix):
    path = write(tmp_path / f"x{suffix}")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(SourceError, match=r"the last line has 2 of 3 cells\. Truncated"):
        read_named(member(path))
    path.write_bytes(write(path).read_bytes()[:-1])  # only the last line feed is gone: complete
    assert len(read_named(member(path))) == 2


def test_unknown_format(tmp_path):
    (tmp_path / "x.pdf").write_text("x")
    with pytest.raises(SourceError, match=r"\.pdf is not a format"):
        read_named(member(tmp_path / "x.pdf"))


def test_fixed_width_keeps_leading_zeros_and_names_odd_lines(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"01 ab\r\n 2cde\r\n\x1a")
    fields = fields_from_widths(("N", "T"), (2, 3))
    got = read_fixed(path, fields, "x.txt")
    assert got.to_numpy().tolist() == [["01", "ab"], ["2", "cde"]]
    path.write_bytes(b"01 ab\n2cde\n")
    with pytest.raises(SourceError, match=r"not 5 characters long \(1\): line 2 has 4"):
        read_fixed(path, fields, "x.txt")


def test_numbers_blank_missing_and_wrong():
    frame = pd.DataFrame({"A": ["1", " ", "NA", "x"], "B": [1.5, np.nan, 2, 3]})
    problems = Problems("t")
    out = as_numbers(frame, ["A", "B"], problems, integer=["B"])
    assert out["A"].tolist()[0] == 1
    assert out["A"].isna().sum() == 3
    text = "\n".join(problems.lines)
    assert "column A holds what is not a number (1): row 4 'x'" in text
    assert "column B holds fractions where counts belong (1): row 1" in text
