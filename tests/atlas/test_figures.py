"""Figures of the record in the colours of the pages, equal to the facts."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_hex

import g287stats as g
from g287stats.atlas import figures
from g287stats.errors import DesignError
from g287stats.palette import CLASSES, MODEL_COLORS


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_the_map_of_a_state_has_the_classes_of_its_facts():
    ax = g.county_map(state="NC")
    state = g.state_facts("NC")
    kinds, towns = figures.kinds_on(g.load_agreements(), "2026-05-18")
    assert {p.county_fips: p.kind for p in state.counties if p.kind} == {
        k: v for k, v in kinds.items() if k[:2] == "37"
    }
    assert {p.county_fips for p in state.counties if p.local_only} == {c for c in towns if c[:2] == "37"}
    drawn = {to_hex(c).upper() for c in ax.collections[0].get_facecolors()}
    assert drawn == {k.color.upper() for k in CLASSES if k.number in {p.kind for p in state.counties}}
    assert "Gaston" in {t.get_text() for t in ax.texts}


def test_several_days_are_small_multiples(tmp_path):
    figure = g.county_map(on=["2012-06-30", "2025-01-20", "2026-05-18"])
    assert [a.get_title() for a in figure.axes] == [
        "United States, 30 Jun 2012",
        "United States, 20 Jan 2025",
        "United States, 18 May 2026",
    ]
    for kind in ("png", "svg", "pdf"):
        figure.savefig(tmp_path / f"map.{kind}")
        assert (tmp_path / f"map.{kind}").stat().st_size > 10_000
    with pytest.raises(DesignError, match="leave ax out"):
        g.county_map(on=["2025-01-20", "2026-05-18"], ax=plt.gca())
    with pytest.raises(DesignError, match="Guam"):
        g.county_map(state="GU")


def test_a_timeline_has_a_row_an_agency_and_model_and_says_when_there_is_none():
    ax = g.timeline("Miami-Dade, FL")
    assert len(ax.get_yticklabels()) == 13
    assert to_hex(ax.patches[0].get_facecolor()).upper() in {c.upper() for c in MODEL_COLORS.values()}
    with pytest.raises(DesignError, match="no agency in Loving County"):
        g.timeline("Loving, TX")


def test_adoption_ends_at_the_counts_of_the_record():
    active = g.load_agreements().active("2026-05-18", "signed")
    figure = g.adoption(by="state", largest=4)
    titles = [a.get_title(loc="left") for a in figure.axes if a.get_title(loc="left")]
    counts = active.state.value_counts()
    assert titles[0] == f"Texas: {counts['TX']:,}" and len(titles) == 5
    assert sum(int(t.rsplit(": ", 1)[1].replace(",", "")) for t in titles) == len(active)
    words = [t.get_text() for t in g.adoption().get_legend().get_texts()]
    assert words == ["warrant service", "jail enforcement", "task force"]
    assert g.adoption(by="agency_type", state="TX").get_ylim()[0] == 0
