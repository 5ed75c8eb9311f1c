"""How to cite: every format says the same, every table has its producer, every paper of a method is read."""

import importlib
import json
import pkgutil
import re
import warnings

import pytest

import g287stats as g
import g287stats.did
import g287stats.inference
from g287stats.citation import paper, works
from g287stats.cli import main
from g287stats.errors import DesignError
from g287stats.estimate.estimate import Method


def methods():
    for room in (g287stats.did, g287stats.inference):
        for info in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            for value in vars(importlib.import_module(info.name)).values():
                if isinstance(value, Method):
                    yield from value.references


REFERENCES = sorted(set(methods()))


def test_a_paper_by_hand():
    read = paper(
        "Sun, L., and Abraham, S. (2021). Estimating dynamic treatment effects in event studies with heterogeneous "
        "treatment effects. Journal of Econometrics 225(2), 175–199. doi:10.1016/j.jeconom.2020.09.006"
    )
    assert (read.key, read.kind, read.year) == ("sun2021", "article", "2021")
    assert read.fields["journal"] == "Journal of Econometrics"
    assert (read.fields["volume"], read.fields["number"], read.fields["pages"]) == ("225", "2", "175–199")
    entry = read.bibtex()
    assert "author = {Sun, L. and Abraham, S.}" in entry
    assert "pages = {175--199}" in entry
    assert "doi = {10.1016/j.jeconom.2020.09.006}" in entry
    assert [a["family"] for a in read.csl()["author"]] == ["Sun", "Abraham"]
    assert read.apa().endswith(
        "Journal of Econometrics, 225(2), 175–199. https://doi.org/10.1016/j.jeconom.2020.09.006"
    )


@pytest.mark.parametrize("text", REFERENCES, ids=lambda t: t[:30])
def test_every_reference_keeps_author_year_and_identifier(text):
    read = paper(text)
    assert read.year == re.search(r"\((\d{4})", text)[1]
    assert text.startswith(read.author)
    doi = re.search(r"doi:(\S+?)\.?(?:\s|$)", text)
    assert read.fields.get("doi") == (doi[1] if doi else None)
    assert read.bibtex().count("{") == read.bibtex().count("}")


def test_formats_hold_the_same_works():
    own, data, _ = works()
    expected = len(own) + len(data)
    assert len(g.cite(format="apa").splitlines()) == expected
    items = json.loads(g.cite(format="csl"))
    keys = re.findall(r"^@\w+\{(\w+),", g.cite(format="bibtex"), re.M)
    assert [i["id"] for i in items] == keys
    assert len(set(keys)) == len(keys) == expected
    with pytest.raises(DesignError, match="choose 'text', 'bibtex', 'apa' or 'csl'"):
        g.cite(format="ris")


def test_a_result_cites_what_is_behind_it():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        panel = g.county_panel("fbi_table10", (2009, 2012))
        estimate = g.twfe(panel.balanced(["property_rate"]), "property_rate")
    text = g.cite(estimate)
    assert "Table 10" in text and "287(g) participating" in text and "Goodman-Bacon" in text
    assert "Maryland" in g.cite() and "Maryland" not in text


def test_the_command(capsys):
    assert main(["cite", "--format", "bibtex"]) == 0
    assert capsys.readouterr().out.startswith("@misc{g287stats,")
