"""How to cite: software, data, the producers of every table behind a result, and the papers of its method."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from g287stats._version import __version__
from g287stats.catalog import released_dir
from g287stats.errors import choose

Format = Literal["text", "bibtex", "apa", "csl"]

_TITLE = "g287stats: Section 287(g) agreements, county crime and victimization"
_US = "The g287stats developers"
_YEAR = "2026"
_PAPER = re.compile(  # "Surname, I., and Other, J. (2021). Title. Journal 225(2), 175–199. doi:10.1/x"
    r"(?P<author>.+?) \((?P<year>\d{4})[^)]*\)\. (?P<title>.+?[.?!]) (?P<rest>.*)", re.S
)
_JOURNAL = re.compile(r"(?P<journal>[^\d]+?) (?P<volume>\d+)(?:\((?P<number>[^)]+)\))?, (?P<pages>[\w–-]+)")


@dataclass(frozen=True)
class Work:
    """Something to cite.

    Attributes
    ----------
    key
        BibTeX key, plain letters and digits.
    kind
        ``software``, ``dataset``, ``article`` or ``other``.
    author, title, year
        As printed; several authors are joined by "and", an organisation is one.
    fields
        What else is known: ``version``, ``url``, ``doi``, ``journal``, ``volume``, ``number``, ``pages``, ``note``.
    """

    key: str
    kind: Literal["software", "dataset", "article", "other"]
    author: str
    title: str
    year: str
    fields: Mapping[str, str]

    def apa(self) -> str:
        """One line in the style of the American Psychological Association."""
        f = self.fields
        bracket = {"software": " [Computer software]", "dataset": " [Data set]"}.get(self.kind, "")
        version = f" (Version {f['version']})" if "version" in f else ""
        where = ""
        if "journal" in f:
            number = f"({f['number']})" if "number" in f else ""
            where = f" {f['journal']}, {f['volume']}{number}, {f['pages']}."
        link = f" https://doi.org/{f['doi']}" if "doi" in f else f" {f['url']}" if "url" in f else ""
        note = f" {f['note']}" if "note" in f else ""
        title = self.title.rstrip(".")
        return f"{self.author} ({self.year or 'n.d.'}). {title}{version}{bracket}.{where}{note}{link}"

    def bibtex(self) -> str:
        """One BibTeX entry; an organisation stands in double braces so that it is not read as a person."""
        kind = {"article": "article", "software": "misc", "dataset": "misc", "other": "misc"}[self.kind]
        person = self.kind == "article" or re.search(r", [A-Z]\.", self.author)
        author = re.sub(r", and (?=[^,]+, [A-Z]\.)|, (?=[^,]+, [A-Z]\.)", " and ", self.author)
        named = {"author": author if person else f"{{{self.author}}}", "title": f"{{{self.title.rstrip('.')}}}"}
        if self.year:
            named["year"] = self.year
        note = {"software": "Computer software", "dataset": "Data set"}.get(self.kind)
        rest = dict(self.fields) | ({"note": note} if note and "note" not in self.fields else {})
        if "pages" in rest:
            rest["pages"] = rest["pages"].replace("–", "--")
        body = ",\n".join(f"  {name} = {{{_latex(value)}}}" for name, value in {**named, **rest}.items())
        return f"@{kind}{{{self.key},\n{body}\n}}"

    def csl(self) -> dict[str, Any]:
        """An item of the Citation Style Language (JSON)."""
        kind = {"article": "article-journal", "software": "software", "dataset": "dataset", "other": "document"}
        names = re.findall(r"([^,]+), ((?:[A-Z]\.[ -]?)+)", self.author) if self.kind == "article" else []
        people = [{"family": re.sub(r"^\W*and ", "", a).strip(), "given": b.strip()} for a, b in names]
        item: dict[str, Any] = {"id": self.key, "type": kind[self.kind], "title": self.title.rstrip(".")}
        item["author"] = people or [{"literal": self.author}]
        if self.year:
            item["issued"] = {"date-parts": [[int(self.year)]]}
        words = {"url": "URL", "doi": "DOI", "journal": "container-title", "number": "issue", "pages": "page"}
        return item | {words.get(name, name): value for name, value in self.fields.items()}


def cite(result: Any = None, *, format: Format = "text") -> str:
    """Say how to cite the software, the data and the producers of the tables.

    Parameters
    ----------
    result
        A panel or an estimate: only the tables behind it are cited, and the papers of its method. Default: every
        released table.
    format
        ``text`` (APA lines under headings), ``apa`` (lines alone), ``bibtex``, or ``csl`` (a JSON list).

    Returns
    -------
    str

    Examples
    --------
    >>> print(g.cite(format="bibtex").splitlines()[0])
    @misc{g287stats,
    """
    choose("format", format, get_args(Format))
    own, data, papers = works(result)
    if format == "text":
        head = "the tables behind this result" if result is not None else "the released tables (cite those you use)"
        lines = [w.apa() for w in own]
        lines += ["", f"Producers of {head}:", *(f"- {w.apa()}" for w in data)]
        lines += ["", "Methods:", *(f"- {w.apa()}" for w in papers)] if papers else []
        return "\n".join(lines)
    found = (*own, *data, *papers)
    if format == "csl":
        return json.dumps([w.csl() for w in found], ensure_ascii=False, indent=1)
    return "\n\n".join(w.bibtex() for w in found) if format == "bibtex" else "\n".join(w.apa() for w in found)


def works(result: Any = None) -> tuple[tuple[Work, ...], tuple[Work, ...], tuple[Work, ...]]:
    """Software and data of the package; producers of the tables; papers of the method, of a result or of everything."""
    package = json.loads((released_dir() / "package.json").read_text("utf-8"))
    own = (
        Work("g287stats", "software", _US, _TITLE, _YEAR, {"version": __version__}),
        Work("g287statsdata", "dataset", _US, package["title"], _YEAR, {"version": str(package["version"])}),
    )
    method = getattr(result, "method", None)
    papers = tuple(paper(text) for text in method.references) if method is not None else ()
    data, papers = _distinct(_producers(_tables(result)), papers)
    return own, data, papers


def _distinct(*groups: tuple[Work, ...]) -> tuple[tuple[Work, ...], ...]:
    """The groups with letters behind keys that occur twice."""
    seen: dict[str, int] = {}
    out = []
    for group in groups:
        told = []
        for work in group:
            seen[work.key] = seen.get(work.key, 0) + 1
            letter = "" if seen[work.key] == 1 else chr(95 + seen[work.key])
            told.append(replace(work, key=work.key + letter))
        out.append(tuple(told))
    return tuple(out)


def paper(text: str) -> Work:
    """Read a reference as the methods print it; what is no article keeps its words."""
    doi = re.search(r"doi:(\S+?)\.?(?:\s|$)", text)
    fields = {"doi": doi[1]} if doi else {}
    bare = re.sub(r"\s*(?:doi:\S+|https?://\S+)", "", text).strip()
    read = _PAPER.fullmatch(bare)
    if read is None:
        return Work(_key(bare, ""), "other", bare.split(" (")[0], bare, "", fields)
    where = _JOURNAL.match(read["rest"])
    found = {k: v for k, v in where.groupdict().items() if v} if where else {"note": read["rest"]}
    kind: Literal["article", "other"] = "article" if where else "other"
    return Work(_key(read["author"], read["year"]), kind, read["author"], read["title"], read["year"], found | fields)


def _tables(result: Any) -> set[str] | None:
    """Names of the released tables behind a panel or an estimate; None means all."""
    if result is None:
        return None
    texts = re.findall(r"[\w-]+", json.dumps(getattr(result, "provenance", {}), default=str))
    known = {path.stem for path in (released_dir() / "schema").glob("*.json")}
    return known & set(texts)


def _producers(tables: Iterable[str] | None) -> tuple[Work, ...]:
    """One work a source, with the tables made from it."""
    used: dict[tuple[str, str], list[str]] = {}
    for path in sorted((released_dir() / "schema").glob("*.json")):
        if tables is None or path.stem in tables:
            for source in json.loads(path.read_text("utf-8")).get("sources", []):
                used.setdefault((source["title"], source.get("path", "")), []).append(path.stem)
    out = []
    for (title, url), names in used.items():
        author, _, rest = title.partition(", ")
        year = re.findall(r"\b(?:19|20)\d\d\b", title)
        fields = ({"url": url} if url.startswith("http") else {}) | {"note": f"Tables: {', '.join(names)}."}
        out.append(Work(_key(title, ""), "dataset", author, rest or title, year[-1] if year else "", fields))
    return tuple(out)


def _key(author: str, year: str) -> str:
    plain = unicodedata.normalize("NFKD", author).encode("ascii", "ignore").decode()
    words = re.findall(r"[A-Za-z0-9]+", plain)
    return "".join(words[:1] if year else words[:6]).lower() + year


def _latex(text: str) -> str:
    return re.sub(r"(?<!\\)([&%#_])", r"\\\1", text)
