"""No cell of a CSV is run, and numbers stay numbers."""

import io

import pandas as pd
import pytest

from g287stats.catalog import text

RUN = [
    '=HYPERLINK("http://a","x") Police Department',
    "+cmd|' /C calc'!A0",
    "@SUM(1)",
    "-x",
    "\t=1",
    " =1",
    "＝1",
    "\r=1",
    "-2+cmd",
    "=1",
]
STAY = ["-1922,-1420 -1921", "+", "-", "-3.5e-05", "a=b", "", "Police", "-0.12; -0.3", "(a) -x"]


@pytest.mark.parametrize("cell", RUN)
def test_text_a_spreadsheet_runs_is_told(cell):
    assert text.runs(pd.Series([cell])).tolist() == [True]


@pytest.mark.parametrize("cell", STAY)
def test_other_text_and_numbers_stay(cell):
    assert text.runs(pd.Series([cell])).tolist() == [False]


@pytest.mark.parametrize("dtype", ["string", "object", "category"])
def test_csv_marks_what_would_run_and_nothing_else(dtype):
    frame = pd.DataFrame({"name": pd.Series([*RUN, *STAY, None], dtype=dtype), "=n": -1.5})
    back = pd.read_csv(io.StringIO(text.csv(frame)), keep_default_na=False)
    assert back["name"].tolist() == ["'" + r.replace("\r", "\n") for r in RUN] + STAY + [""]
    assert back["'=n"].eq(-1.5).all()


def test_csv_of_plain_frames_is_what_pandas_writes():
    frame = pd.DataFrame({"a": [1.5, None], "b": pd.to_datetime(["2020-01-02", None]), "c": [True, False]})
    assert text.csv(frame) == frame.to_csv(index=False, lineterminator="\n")
    named = frame.set_index("a")
    assert text.csv(named, index=True) == named.to_csv(lineterminator="\n")


def test_characters_that_steer_a_terminal_are_told():
    bad = ["a\x1b[31m", "a\x00", "a\x9b", "a\u202eb", "a\x7f"]
    assert text.controls(pd.Series([*bad, "Doña Ana\n", "a\tb", None])).tolist() == [True] * 5 + [False] * 3
