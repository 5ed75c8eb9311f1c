"""The methods registry is complete: every page, every public name, every reference of the code."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from public import public

import g287stats.did
import g287stats.inference
import g287stats.survey
import g287stats.victimization
from g287stats.estimate.estimate import Method

DOCS = Path(__file__).parents[1] / "docs"
METHODS = DOCS / "methods"
pytestmark = pytest.mark.skipif(not METHODS.exists(), reason="installed without the documentation")

HEADINGS = ("Equation", "Assumptions", "Edge cases", "References")
NOT_METHODS = {"index", "conventions", "coverage_of_intervals"}  # about all methods, not one of them
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
IDENTIFIER = re.compile(r"https://(?:doi\.org/10\.\d{4,}/\S+?|arxiv\.org/abs/\d{4}\.\d{4,5})\)")
ROOMS = (  # rooms of g287stats whose public names estimate or test
    "did.",
    "inference",
    "survey",
    "victimization.did",
    "victimization.power",
    "victimization.rates",
    "victimization.wedge",
)
NOT_DOI = (  # books and articles whose journal gives none, or whose identifier could not be confirmed
    "Econometric Analysis of Cross Section",
    "The Design of Experiments",
    "Generalized Variance Function Parameters",
    "Pseudo maximum likelihood methods",
    "Simulated power analyses",
    "with several treatments",
    "in the presence of spillovers",
    "Fay's method for variance estimation",
    "Bias reduction in standard errors",
    "Immigration enforcement and public safety",
)


def text(page):
    return (METHODS / f"{page}.md").read_text("utf-8") if METHODS.exists() else ""


def pages():
    return sorted(p.stem for p in METHODS.glob("*.md") if p.stem not in NOT_METHODS)


def references(page):
    """The entries of every list under **References.**"""
    blocks = re.findall(r"^\*\*References\.\*\*\n\n((?:- .*\n?)+)", text(page), flags=re.M)
    return [line[2:] for block in blocks for line in block.splitlines()]


def test_index_lists_every_page_once():
    listed = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\)", text("index"), flags=re.M)
    assert all(name == target for name, target in listed)
    assert sorted(target for _, target in listed) == pages()


@pytest.mark.parametrize("page", pages())
def test_page_has_equation_assumptions_edge_cases_and_references(page):
    missing = [h for h in HEADINGS if not re.search(rf"^\*\*{h}\.\*\*", text(page), flags=re.M)]
    assert not missing, f"{page}.md lacks {missing}"
    entries = references(page)
    assert entries, f"{page}.md: no list under **References.**"
    assert any(IDENTIFIER.search(e) for e in entries), f"{page}.md: no reference has a DOI or arXiv number"


def test_nothing_is_said_twice_on_a_page():
    for page in pages():
        said = [p for p in text(page).split("\n\n") if len(p) > 40]
        assert len(said) == len(set(said)), page


@pytest.mark.parametrize("page", pages())
def test_every_reference_has_author_year_and_identifier(page):
    for entry in references(page):
        assert re.match(r"[^.]+.*?(\(\d{4}(; first version \d{4})?\)\.|\. \*NCVS)", entry), entry
        found = IDENTIFIER.search(entry) or "jstor.org/stable/" in entry
        assert found or any(name in entry for name in NOT_DOI), f"{page}.md: no identifier in: {entry}"


def test_a_work_is_cited_the_same_way_everywhere():
    by_identifier = {}
    for page in pages():
        for entry in references(page):
            found = IDENTIFIER.search(entry)
            by_identifier.setdefault(found.group() if found else entry, set()).add(entry)
    assert not {k: v for k, v in by_identifier.items() if len(v) > 1}


@pytest.mark.parametrize("page", sorted(p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md")))
def test_every_page_linked_exists(page):
    targets = [t.split("#")[0] for t in LINK.findall((DOCS / page).read_text("utf-8")) if "://" not in t]
    lost = [t for t in targets if t and not ((DOCS / page).parent / t).exists()]
    assert not lost, f"{page} links to {lost}"


@pytest.mark.parametrize("page", [*pages(), "conventions"])
def test_every_file_and_module_named_exists(page):
    root = DOCS.parent
    for name in re.findall(r"`(?:tests/)?((?:did|inference|survey|simulation)?/?test_\w+\.py)", text(page)):
        assert (root / "tests" / name).exists(), name
    for name in re.findall(r"`g287stats\.([\w.]+)`", text(page)):
        path = root / "g287stats" / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or path.is_dir() or path.parent.with_suffix(".py").exists(), name


def test_every_public_method_is_on_a_page():
    spans = re.findall(r"`[^`\n]+`", "\n".join(text(p) for p in pages()))
    shown = set(re.findall(r"\w+", " ".join(spans)))
    found = {n: f for n, f in public(*ROOMS).items() if inspect.isfunction(f)}
    assert len(found) > 60
    lost = sorted(f"{n} ({f.__module__})" for n, f in found.items() if n.rpartition(".")[2] not in shown)
    assert not lost, f"no page under docs/methods shows {lost}"


WORK = re.compile(  # Surname, I. … (year). Title. Journal volume(issue), page — or a number of arXiv or a series
    r"(?P<name>[A-Z][\w'’]+(?:-[A-Z]\w+)?), (?:[A-Z]\.[ -]?)+[^()]*?\((?P<year>\d{4})(?:; first version \d{4})?\)\. "
    r"(?P<rest>.*?)(?=[A-Z][\w'’-]+, [A-Z]\.|$)"
)
PLACE = re.compile(r"\b(\d+)(?:\((\d+)\))?, (C?\d+)\b")
NUMBER = re.compile(r"(?:arXiv:|Paper )([\d.]*\d)")


def cited(string):
    """(family name of the first author, year, volume, issue or None, first page) of every work cited in full."""
    for work in WORK.finditer(re.sub(r"\s+", " ", string.replace("*", ""))):
        rest = re.sub(r"\[?(doi:|https?:)\S+", "", work["rest"])
        if place := PLACE.search(rest):
            yield work["name"], work["year"], *place.groups()
        elif number := NUMBER.search(work["rest"]):
            yield work["name"], work["year"], "", None, number[1]


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, Method):
        yield from value.references
    elif isinstance(value, dict):
        for entry in value.values():
            yield from strings(entry)
    elif isinstance(value, tuple | list):
        for entry in value:
            yield from strings(entry)
    elif inspect.isfunction(value) and "References\n" in (value.__doc__ or ""):
        yield value.__doc__.split("References\n", 1)[1]


def modules():
    for package in (g287stats.did, g287stats.inference, g287stats.survey, g287stats.victimization):
        for info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            yield info.name, vars(importlib.import_module(info.name))


def code_references():
    """Works cited by the constants and the public docstrings of the rooms that hold methods."""
    for module, names in modules():
        for name, value in names.items():
            if not name.startswith("__"):
                yield from ((module, work) for string in strings(value) for work in cited(string))


def test_references_of_the_code_are_those_of_the_pages():
    """Same year, volume, issue where one is given, and first page."""
    on_pages = {work for page in pages() for entry in references(page) for work in cited(entry)}
    known = on_pages | {(*work[:3], None, work[4]) for work in on_pages}
    in_code = set(code_references())
    assert len({work for _, work in in_code}) > 50, "the pattern no longer finds the references of the code"
    assert not sorted((module, work) for module, work in in_code if work not in known)


JOURNALS_WITHOUT = (  # the journal gives none (JSTOR does), or it could not be confirmed
    "The incidence of mandated maternity benefits",
    "A simple sequentially rejective multiple test procedure",
    "with several treatments",
)


def printed_references():
    """The references that ``cite`` prints: of every Method, and of the constants from which methods are made."""
    for module, names in modules():
        for value in names.values():
            if not inspect.isfunction(value):
                yield from ((module, text) for text in strings(value) if any(cited(text)))


def test_every_journal_reference_that_is_printed_carries_its_doi():
    doi = {
        work: unquote(found.group()[:-1].removeprefix("https://doi.org/"))
        for page in pages()
        for entry in references(page)
        if (found := IDENTIFIER.search(entry))
        for work in cited(entry)
    }
    doi |= {(*work[:3], None, work[4]): found for work, found in doi.items()}
    in_journals = sorted({(m, text) for m, text in printed_references() if PLACE.search(text)})
    assert len(in_journals) > 35
    for module, text in in_journals:
        found = re.search(r"doi:(10\.\d{4,}/\S+)$", text)
        assert found or any(title in text for title in JOURNALS_WITHOUT), f"{module}: no DOI in {text!r}"
        for work in cited(text) if found else ():
            assert doi.get(work, found[1]) == found[1], f"{module}: not the DOI of the page: {text!r}"
    unused = [title for title in JOURNALS_WITHOUT if not any(title in text for _, text in in_journals)]
    assert not unused, f"no longer exceptions: {unused}"
