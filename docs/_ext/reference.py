"""The reference: a page for every public name, made when the site is built.

They are written into ``docs/reference/`` (not in version control) from what the package says of itself, so that
nothing is described twice.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import g287stats as g
from g287stats import words
from g287stats.errors import EQUALS

SPACES = {
    "data": "Tables inside the package and your own",
    "survey": "Complex samples",
    "ncvs": "The National Crime Victimization Survey",
    "simulate": "Data with known effects",
}
HEAD = re.compile(r"^# (?P<title>[^:\n]+)(?:: (?P<rest>.*))?$")
NAME = re.compile(r"^from \.\S* import (\w+) as \1$")


def groups() -> list[tuple[str, str, list[str]]]:
    """Heading, explanation and names of every group of the stub, in its order."""
    found: list[tuple[str, str, list[str]]] = []
    for line in Path(g.__file__).with_suffix(".pyi").read_text("utf-8").splitlines():
        if head := HEAD.match(line):
            found.append((head["title"].capitalize(), head["rest"] or "", []))
        elif (name := NAME.match(line)) and found and name[1] not in SPACES:
            found[-1][2].append(name[1])
    return [group for group in found if group[2]]


def first_line(value: Any) -> str:
    """The first sentence of a docstring."""
    return (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")


def page_of(name: str, value: Any) -> str:
    """One public name: what it is called by users, then its whole docstring."""
    shown = f"g.{name}"
    kind = "class" if inspect.isclass(value) else "function"
    members = "\n   :members:" if kind == "class" else ""
    real = f"{value.__module__}.{value.__qualname__}"
    bar = "=" * len(shown)
    return f".. title:: {shown}\n\n{shown}\n{bar}\n\n.. auto{kind}:: {real}{members}\n"


def write(folder: Path) -> None:
    """Write the reference: one page a name, one index."""
    pages: dict[str, str] = {}
    words = "Every public name, in the order of the sentence: records, panel, design, estimate, finding."
    index = ["# Reference", "", words, ""]
    sections = [(title, rest, [(n, getattr(g, n)) for n in names]) for title, rest, names in groups()]
    for space, title in SPACES.items():
        room = getattr(g, space)
        sections.append((f"`g.{space}`", title, [(f"{space}.{n}", getattr(room, n)) for n in room.__all__]))
    for title, rest, names in sections:
        index += [f"## {title}", "", rest and f"{rest[0].upper()}{rest[1:]}.", "", "| name | what |", "|---|---|"]
        for name, value in names:
            pages[f"{name}.rst"] = page_of(name, value)
            index.append(f"| [`g.{name}`]({name}.rst) | {first_line(value).replace('|', '/')} |")
        index.append("")
    index += ["```{toctree}", ":hidden:", "", *(p.removesuffix(".rst") for p in pages), "```"]
    pages["index.md"] = "\n".join(index) + "\n"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.is_file() or path.read_text("utf-8") != text:  # untouched files are not read again
            path.write_text(text, "utf-8")


class Translations(SphinxDirective):
    """The tables of :mod:`g287stats.words`, as they answer in a session."""

    def run(self) -> list[nodes.Node]:
        """Parse the tables as MyST."""
        lines = []
        for title, table in (
            ("Functions", words.NAMES),
            ("Arguments", words.ARGUMENTS),
            ("Values", {k: repr(v) for k, v in EQUALS.items()}),
            ("On a result", words.ATTRIBUTES),
        ):
            by_answer: dict[str, list[str]] = {}
            for word, answer in table.items():
                by_answer.setdefault(answer, []).append(f"`{word}`")
            lines += [f"**{title}**", "", "| elsewhere | here |", "|---|---|"]
            lines += [f"| {', '.join(found)} | `{answer.replace('|', 'or')}` |" for answer, found in by_answer.items()]
            lines.append("")
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Any) -> dict[str, Any]:
    """Sphinx's entry point."""
    write(Path(app.srcdir) / "reference")
    app.add_directive("translations", Translations)
    return {"version": g.__version__, "parallel_read_safe": True}
