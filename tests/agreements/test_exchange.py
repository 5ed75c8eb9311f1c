"""Reading a release in the layout of ice-287g, and comparing two records. The release is authored here."""

import pandas as pd
import pytest

from g287stats.agreements.compare import compare_agreements
from g287stats.agreements.table import Agreements, load_agreements
from g287stats.errors import SourceError, UnavailableError

# agency, support type, status, signed, first appeared, last appeared, removed by, state, county, level
ROWS = [
    (
        "Alamance County Sheriff's Office",
        "Warrant Service Officer",
        "Active",
        "2020-05-21",
        "2021-01-13",
        "2026-05-18",
        None,
        "NORTH CAROLINA",
        "37001",
        "County",
    ),
    (
        "Cobb County Sheriff's Office",
        "Jail Enforcement Model",
        "Superseded",
        "2007-02-13",
        "2008-04-01",
        "2016-06-29",
        None,
        "GEORGIA",
        "13067",
        "County",
    ),
    (
        "Cobb County Sheriff's Office",
        "Jail Enforcement Model",
        "Superseded",
        "2016-06-30",
        "2016-07-05",
        "2020-06-08",
        None,
        "GEORGIA",
        "13067",
        "County",
    ),
    (
        "Cobb County Sheriff's Office",
        "Jail Enforcement Model",
        "Removed",
        "2020-06-09",
        "2021-01-13",
        "2021-01-13",
        "2021-01-16",
        "GEORGIA",
        "13067",
        "County",
    ),
    (
        "Collier County Sheriff's Office",
        "Jail Enforcement Model & Task Force Model",
        "Removed",
        "2007-08-06",
        "2008-04-01",
        "2013-01-18",
        "2013-04-02",
        "FLORIDA",
        "12021",
        "County",
    ),
    (
        "Carrollton Police Department",
        "Task Force Model",
        "Active",
        "2025-05-01",
        "2025-05-05",
        "2026-05-18",
        None,
        "TEXAS",
        "48113; 48121",
        "Municipal",
    ),
    (
        "Springdale Police Department",
        "Task Force Model",
        "Removed",
        "2007-09-26",
        None,
        None,
        None,
        "ARKANSAS",
        "5143",
        "Municipal",
    ),
    (
        "Texas National Guard",
        "Task Force Model",
        "Active",
        "2025-04-10",
        "2025-04-11",
        "2026-05-18",
        None,
        "TEXAS",
        None,
        "State",
    ),
]
COLUMNS = [
    "agency",
    "support_type",
    "status",
    "signed",
    "first_appeared",
    "last_appeared",
    "removed_by",
    "state",
    "county_fips",
    "jurisdiction_level",
]


def release(dates=True):
    frame = pd.DataFrame(ROWS, columns=COLUMNS)
    frame["agency_id"] = [f"their-{a.lower().replace(' ', '-')}" for a in frame["agency"]]
    frame["agreement_id"] = [
        f"{a}#{s[:3]}#{d}" for a, s, d in zip(frame["agency_id"], frame["support_type"], frame["signed"])
    ]
    frame["ORI9"] = "XX0000000"
    for c in ("signed", "first_appeared", "last_appeared", "removed_by") if dates else ():
        frame[c] = pd.to_datetime(frame[c])
    agencies = frame[["agency_id", "agency", "state"]].drop_duplicates()
    return frame, agencies.assign(first_signed=pd.Timestamp("2007-01-01"))


def write(folder, kind, frame, agencies):
    for name, table in (("agreements", frame), ("agencies", agencies)):
        if kind == "parquet":
            table.to_parquet(folder / f"{name}.parquet")
        elif kind == "xlsx":
            table.to_excel(folder / f"{name}.xlsx", index=False)
        else:
            text = table.copy()
            for c in text.columns[text.dtypes.ne("datetime64[ns]")]:
                if not str(text[c].dtype).startswith("datetime"):
                    text[c] = text[c].fillna("").astype(str)
            text.to_stata(folder / f"{name}.dta", write_index=False, version=118)
    return folder


@pytest.fixture(params=["parquet", "xlsx", "dta"])
def theirs(request, tmp_path):
    return load_agreements(source=write(tmp_path, request.param, *release()))


def test_reads_all_three_formats(theirs):
    assert theirs.frame["agreement_id"].tolist() == [
        "AR-springdale-police-department.TFM.2007-09-26",
        "FL-collier-county-sheriff.JEM.2007-08-06",
        "FL-collier-county-sheriff.TFM.2007-08-06",
        "GA-cobb-county-sheriff.JEM.2007-02-13",
        "NC-alamance-county-sheriff.WSO.2020-05-21",
        "TX-carrollton-police-department.TFM.2025-05-01",
        "TX-texas-national-guard.TFM.2025-04-10",
    ]
    assert theirs.release == "ice-287g"
    assert theirs.frame.columns.tolist() == load_agreements().frame.columns.tolist()


def test_superseded_agreements_are_one_spell(theirs):
    cobb = theirs.frame.set_index("agency_id").loc["GA-cobb-county-sheriff"]
    assert cobb["signed_date"] == pd.Timestamp("2007-02-13")
    assert cobb["resigned_dates"] == "2016-06-30;2020-06-09"
    assert (cobb["last_listed"], cobb["gone_by"]) == (pd.Timestamp("2021-01-13"), pd.Timestamp("2021-01-16"))


def test_counties_and_hybrids(theirs):
    f = theirs.frame.set_index("agreement_id")
    assert f.loc["AR-springdale-police-department.TFM.2007-09-26", "county_fips"] == "05143"
    assert f.loc["TX-carrollton-police-department.TFM.2025-05-01", "county_fips"] == "48113;48121"
    assert pd.isna(f.loc["TX-texas-national-guard.TFM.2025-04-10", "county_fips"])
    assert f[f["agency_id"].eq("FL-collier-county-sheriff")]["moa_id"].nunique() == 1


def test_active_by_appearance_and_by_signing(theirs):
    assert len(theirs.active("2021-01-13")) == 2
    assert theirs.active("2021-01-13").attrs["basis"] == "listed, by first and last appearance"
    assert len(theirs.active("2021-01-16")) == 1
    assert len(theirs.active("2025-05-03", basis="signed")) == 4  # Springdale has no end in this release


def test_compare_lists_every_disagreement_by_kind(tmp_path):
    frame, agencies = release()
    a = load_agreements(source=write(tmp_path, "parquet", frame, agencies))
    frame = frame.copy()
    frame.loc[0, "signed"] = pd.Timestamp("2020-05-23")  # date
    frame.loc[5, "county_fips"] = "48113"  # county
    frame.loc[5, "status"], frame.loc[5, "removed_by"] = "Removed", pd.Timestamp("2026-05-18")  # exit
    frame.loc[7, "support_type"] = "Warrant Service Officer"  # model
    frame = frame.drop(index=6)  # missing
    other = tmp_path / "b"
    other.mkdir()
    b = load_agreements(source=write(other, "parquet", frame, agencies))
    found = compare_agreements(a, b)
    assert found.counts["spells"].to_dict() == {
        "matched": 5,
        "missing in a": 0,
        "missing in b": 1,
        "model": 1,
        "date": 1,
        "county": 1,
        "exit": 1,
    }
    date = found.rows[found.rows["kind"].eq("date")].iloc[0]
    assert (date["a_value"], date["b_value"], date["days"]) == ("2020-05-21", "2020-05-23", 2)
    assert compare_agreements(a, b, tolerance_days=2).counts.loc["date", "spells"] == 0
    mirrored = compare_agreements(b, a)
    assert mirrored.counts.loc["missing in a", "spells"] == 1
    assert "missing in b" in repr(found)


def test_a_record_agrees_with_itself():
    ours = load_agreements()
    same = compare_agreements(ours, ours)
    assert len(same.rows) == 0
    assert same.counts.loc["matched", "spells"] == ours.frame["duplicate_of"].isna().sum()


def test_row_order_does_not_matter(tmp_path):
    ours = load_agreements()
    shuffled = Agreements(
        ours.frame.sample(frac=1, random_state=1), ours.applications, ours.lists, ours.presence, ours.release
    )
    a = load_agreements(source=write(tmp_path, "parquet", *release()))
    pd.testing.assert_frame_equal(compare_agreements(a, ours).rows, compare_agreements(a, shuffled).rows)


def test_their_record_against_ours(tmp_path):
    theirs = load_agreements(source=write(tmp_path, "parquet", *release()))
    rows = compare_agreements(theirs, load_agreements()).rows
    mine = rows[rows["a_id"].ne("")]
    kinds = mine.groupby("a_id", observed=True)["kind"].agg(lambda k: "+".join(sorted(k))).to_dict()
    assert kinds == {
        "AR-springdale-police-department.TFM.2007-09-26": "county+exit",
        "FL-collier-county-sheriff.JEM.2007-08-06": "exit",
        "FL-collier-county-sheriff.TFM.2007-08-06": "exit",
        "TX-carrollton-police-department.TFM.2025-05-01": "missing in b",
    }


def test_every_bad_row_is_named(tmp_path):
    frame, agencies = release(dates=False)
    frame.loc[0, "state"] = "ATLANTIS"
    frame.loc[1, "support_type"] = "Tribal Model"
    frame.loc[2, "status"] = "Paused"
    frame.loc[3, "signed"] = "soon"
    with pytest.raises(SourceError) as caught:
        load_agreements(source=write(tmp_path, "parquet", frame, agencies))
    for part in ("4 problems", "'ATLANTIS'", "'Tribal Model'", "'Paused'", "signed cannot be read"):
        assert part in str(caught.value)


def test_missing_columns_and_files(tmp_path):
    frame, agencies = release()
    with pytest.raises(SourceError, match="'support_type'"):
        load_agreements(source=write(tmp_path, "parquet", frame.drop(columns="support_type"), agencies))
    with pytest.raises(UnavailableError, match="no such file or folder"):
        load_agreements(source=tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UnavailableError, match="holds no agreements"):
        load_agreements(source=empty)
