"""The main job: analyses run, exhibits land with provenance, the report is self-contained."""

import json
import tomllib

import pytest

import g287stats as g
from g287stats.claims.analyses import analyses
from g287stats.claims.exhibits import Exhibits
from g287stats.claims.vocabulary import NOT_YET, STATUS
from g287stats.errors import G287Error, UnavailableError


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    return g.replicate("program-counts", out=tmp_path_factory.mktemp("out"))


def test_counts_are_reproduced_or_explained(counts):
    assert not counts.failed
    table = counts.table.set_index("claim_id")
    assert len(table) == 22
    assert set(table["status"]) <= set(STATUS)
    assert not (table["status"] == "different, unexplained").any()
    assert table.loc["count-2025-08-29-tfm", "value"] == 443
    assert table.loc["count-2025-08-29-tfm", "status"] == "different, explained"


def test_every_exhibit_has_its_files_and_provenance(counts):
    for exhibit in counts.exhibits:
        folder = counts.out / exhibit.analysis
        assert all((folder / f).stat().st_size > 0 for f in exhibit.files)
        record = json.loads((folder / f"{exhibit.name}.json").read_text())
        assert record["versions"]["g287stats"] == g.__version__
        assert record["provenance"]


def test_report_is_one_file_that_asks_for_nothing(counts):
    page = counts.report.read_text()
    assert 'name="viewport"' in page
    assert 'src="http' not in page and 'href="http' not in page and "<script" not in page
    assert "count-2025-01-20-active" in page


def test_same_run_twice_writes_the_same_bytes(counts, tmp_path):
    again = g.replicate("program-counts", out=tmp_path)
    for name in ("report.html", "findings.csv", "program-counts/counts.csv"):
        assert (again.out / name).read_bytes() == (counts.out / name).read_bytes()


def test_a_claim_without_an_analysis_says_so():
    homes = {c for a in analyses().values() for c in a.claims}
    orphan = next(c for c in g.findings()["claim_id"] if c not in homes)
    with pytest.raises(UnavailableError, match="no analysis in this version"):
        g.replicate(orphan)


def test_every_analysis_names_real_claims_and_fits_the_screen():
    known = set(g.findings()["claim_id"])
    for analysis in analyses().values():
        card = tomllib.loads((analysis.folder / "published.toml").read_text())
        assert set(card["claims"]) <= known
        assert (analysis.folder / "run.py").read_text().count("\n") <= 80, analysis.name
        assert analysis.differences.strip()


def test_bench_refuses_unlisted_claims_and_unwritten_explanations(tmp_path):
    bench = Exhibits("x", tmp_path, ("count-2025-01-20-active",), "# Written\n")
    with pytest.raises(G287Error, match="not listed"):
        bench.result("count-2024-ny", 1, data="")
    with pytest.raises(G287Error, match="no heading"):
        bench.result("count-2025-01-20-active", 1, data="", explained="Unwritten")
    assert bench.result("count-2025-01-20-active", 135, data="").status == "reproduced"


def test_interruption_keeps_what_is_finished(tmp_path, monkeypatch):
    from g287stats.claims import running as room

    first, second = (a for a in analyses().values() if a.name in ("program-counts", "adoption"))

    def stop(self):
        if self.name == second.name:
            raise KeyboardInterrupt
        return original(self)

    original = room.Analysis.load
    monkeypatch.setattr(room.Analysis, "load", stop)
    done = g.replicate([first.name, second.name], out=tmp_path)
    assert done.interrupted
    assert {e.analysis for e in done.exhibits} == {first.name}
    assert "Interrupted" in done.report.read_text()


def test_claims_not_run_are_shown_as_not_run(counts):
    everything = g.findings()
    done = counts.table
    assert (done["status"] != NOT_YET).all()  # only the chosen analysis's claims are in the table
    assert len(done) < len(everything)


@pytest.mark.parametrize("name", [a.name for a in analyses().values() if a.default])
def test_every_default_analysis_runs_on_bundled_data(name, tmp_path):
    done = g.replicate(name, out=tmp_path)
    assert not done.failed, done.failed
    assert done.exhibits
    assert NOT_YET not in set(done.table["status"])


def test_report_says_how_to_run_what_was_not_run(tmp_path):
    done = g.replicate(["program-counts"], out=tmp_path)
    everything = g.replicate(out=tmp_path / "all")
    notes = everything.table.set_index("claim_id")["note"]
    assert notes["ii-BX-TFM-LAT"] == "g287stats replicate --only baumer-xie-2023"
    assert "--only baumer-xie-2023" in everything.report.read_text()
    assert len(done.table) < len(everything.table) == 125


def test_an_analysis_pinned_to_other_data_does_not_run(tmp_path, monkeypatch):
    from dataclasses import replace

    from g287stats.claims import running

    pinned = replace(analyses()["program-counts"], data_version="1999.1")
    monkeypatch.setattr(running, "analyses", lambda: {"program-counts": pinned})
    done = g.replicate("program-counts", out=tmp_path)
    assert "pinned to data 1999.1" in done.failed["program-counts"]
    assert not done.exhibits
