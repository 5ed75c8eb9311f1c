"""Dated documents of a user's folder, on authored files; the figures of the real ones where they are at hand."""

import json

import pytest

from g287stats.agreements.evidence import compare_evidence, read_evidence, with_evidence
from g287stats.agreements.table import load_agreements
from g287stats.errors import UnavailableError

FILES = {
    "NC|gaston county sheriffs office": ["GastonCoNC_JEM_MOA_06132016.pdf"],
    "NC|cleveland county sheriffs office": ["ClevelandCoNC_JEM_MOA_121020225.pdf"],  # no date
    "FL|saint lucie county sheriffs office": ["StLucieFL_TFM_MOA_022625.pdf", "StLucieFL_TFM_MOA_02192025.pdf"],
}
POSTED = """state,agency,model,file_date,file
Alabama,Brookside Police Department,TFM,2026-06-14,BrooksidePoliceDeptAL_TFM_MOA_06142026.pdf
New York,Broome County Sheriff's Office,WSO,2026-06-01,BroomeNY_WSO_MOA_06012026.pdf
Arkansas,Alexander Police Department,TFM,bad:062632026,AlexanderPoliceDeptAR_TFM_MOA_062632026.pdf
"""
SIGNATURES = """agency_id,doc_kind,functions,ice_signed,agency_signed,file,agency_named,state
x,MOA,jail; task force,2026-05-04,2026-04-30,X.pdf,Winkler County Sheriff's Office,Texas
x,not an MOA,,,,Y.pdf,Town of Morristown,New Jersey
"""


@pytest.fixture(scope="module")
def agreements():
    return load_agreements()


@pytest.fixture
def folder(tmp_path):
    files = {
        k: [{"model": f.split("_")[1], "filename": f, "date_filename": ""} for f in names] for k, names in FILES.items()
    }
    (tmp_path / "moa_files_2026.json").write_text(json.dumps(files), encoding="utf-8")
    (tmp_path / "moa_after_2026.csv").write_text(POSTED, encoding="utf-8")
    (tmp_path / "moa-signatures.csv").write_text(SIGNATURES, encoding="utf-8")
    return tmp_path


def test_documents_become_rows(folder):
    evidence = read_evidence(folder)
    assert evidence["kind"].value_counts().to_dict() == {"file": 3, "memorandum": 2, "posted": 2}
    assert set(evidence.loc[evidence["kind"].eq("memorandum"), "model"]) == {"JEM", "TFM"}
    assert "NC-cleveland-county-sheriff" not in set(evidence["agency_id"])  # its digits are no date


def test_differences_carry_their_reading(folder, agreements):
    found = compare_evidence(agreements, read_evidence(folder))
    rows = found.rows.set_index("document")
    assert rows.loc["GastonCoNC_JEM_MOA_06132016.pdf", "days"] == 0  # a cited re-signing
    assert rows.loc["StLucieFL_TFM_MOA_022625.pdf", "days"] == 0
    taken_back = rows.loc["StLucieFL_TFM_MOA_02192025.pdf"]
    assert taken_back["days"] == -7 and taken_back["reading"] == "a day ICE printed and took back"
    assert found.differing(7)["document"].tolist() == ["BroomeNY_WSO_MOA_06012026.pdf", "X.pdf", "X.pdf"]
    assert "AL-brookside-police-department" in set(found.unmatched["agency_id"])


def test_memoranda_not_on_a_list_stand_apart(folder, agreements):
    more = with_evidence(agreements, read_evidence(folder))
    assert more.memoranda["agency_id"].tolist() == ["AL-brookside-police-department"]
    assert len(more.frame) == len(agreements.frame)
    later = more.later["standing"].value_counts().to_dict()
    assert later == {"gone between two dates": 16, "signed by memorandum, not yet seen on a list in hand": 1}
    named, before = (a.adoption_curve()["named"] for a in (more, agreements))
    assert named["2026-06"] == before["2026-06"] and named["2026-07"] == before["2026-07"] + 1
    assert len(more.active("2026-05-18")) == 1843


def test_an_unknown_folder_is_named(tmp_path):
    with pytest.raises(UnavailableError, match="holds none of moa_files"):
        read_evidence(tmp_path)


@pytest.mark.private_data
def test_the_record_against_names_of_memorandum_files(sources, agreements):
    found = compare_evidence(agreements, read_evidence(sources / "agreements" / "evidence"))
    files = found.rows[found.rows["kind"].eq("file")]
    assert len(files) > 1300 and files["agreement_id"].nunique() > 1150
    early = files["date"].between("2025-02-01", "2025-03-31")
    assert files.loc[early, "days"].eq(0).mean() < 0.6  # names of these months often carry another day
    assert files.loc[~early, "days"].eq(0).mean() >= 0.97
    other = "misprinted|took back|LEA|agency's signature|later document"  # shown not to be the countersignature
    dated = files[~early & ~files["reading"].str.contains(other)]
    assert dated["days"].eq(0).mean() >= 0.98
    assert files.loc[files["days"].ne(0), "reading"].ne("").all()
    signed = found.rows[found.rows["kind"].eq("memorandum")]
    assert signed["days"].eq(0).mean() > 0.9
    assert len(with_evidence(agreements, read_evidence(sources / "agreements" / "evidence")).memoranda) > 130
