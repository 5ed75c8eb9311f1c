"""The main job: analyses run, exhibits land with provenance, the report is self-contained."""

import json
import tomllib

import pandas as pd
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


def test_every_claim_has_an_analysis_and_only_one():
    homes = [c for a in analyses().values() for c in a.claims]
    assert sorted(homes) == sorted(g.findings()["claim_id"])
    with pytest.raises(UnavailableError, match="neither an analysis"):
        g.replicate("no-such-claim")


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


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """One run of everything that needs bundled data alone, without the user's tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("G287STATS_DATA", str(tmp_path_factory.mktemp("user")))
        yield g.replicate(out=tmp_path_factory.mktemp("all"))


def test_every_default_analysis_runs_on_bundled_data(everything):
    assert not everything.failed, everything.failed
    assert {e.analysis for e in everything.exhibits} == {a.name for a in analyses().values() if a.default}


def test_every_claim_ends_with_a_status(everything):
    done = everything.table
    assert len(done) == 125 and done["claim_id"].is_unique
    later = {c for a in analyses().values() if not a.default for c in a.claims}
    waiting = done[done["status"] == NOT_YET]
    assert set(waiting["claim_id"]) == later
    assert all(
        f"--only {a.name}" in everything.report.read_text() for a in analyses().values() if set(a.claims) & later
    )
    named = done[done["status"] == "needs data"]
    assert named["reason"].str.len().min() > 20


def test_the_exhibit_map_and_the_manifest_name_every_file(everything):
    import hashlib

    files = json.loads((everything.out / "manifest.json").read_text())["files"]
    on_disk = {p.relative_to(everything.out).as_posix() for p in everything.out.rglob("*") if p.is_file()}
    assert set(files) == on_disk - {"manifest.json"} - {p for p in on_disk if p.endswith("done.json")}
    for name, entry in files.items():
        assert hashlib.sha256((everything.out / name).read_bytes()).hexdigest() == entry["sha256"], name
    mapped = pd.read_csv(everything.out / "exhibits.csv")
    judged = everything.table[everything.table["ours"].notna()]
    assert set(judged["claim_id"]) <= set(mapped["claim_id"].dropna())
    assert mapped["command"].str.startswith("g287stats replicate --only ").all()


def test_a_second_run_reads_back_and_removes_what_is_not_its_own(counts, tmp_path):
    old = g.replicate(["program-counts", "adoption"], out=tmp_path)
    assert (tmp_path / "adoption" / "adoption.png").exists()
    (tmp_path / "adoption" / "notes.txt").write_text("the user's own")
    from g287stats.claims.running import remove_others

    remove_others(tmp_path, [analyses()["program-counts"]])
    assert not (tmp_path / "adoption" / "adoption.png").exists()
    assert (tmp_path / "adoption" / "notes.txt").exists()  # never a file that no run lists
    assert (tmp_path / "program-counts" / "counts.csv").exists()
    assert old.report.exists()


def test_an_analysis_pinned_to_other_data_does_not_run(tmp_path, monkeypatch):
    from dataclasses import replace

    from g287stats.claims import running

    pinned = replace(analyses()["program-counts"], data_version="1999.1")
    monkeypatch.setattr(running, "analyses", lambda: {"program-counts": pinned})
    done = g.replicate("program-counts", out=tmp_path)
    assert "pinned to data 1999.1" in done.failed["program-counts"]
    assert not done.exhibits
