"""Check a built site or atlas: every local link and anchor exists, nothing is fetched from a network.

python .ci/check_site.py FOLDER
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """Links, resources and anchors of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.resources: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what a tag refers to and what it can be referred to by."""
        given = {k: v for k, v in attrs if v}
        self.anchors |= {given[k] for k in ("id", "name") if k in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and "href" in given and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.resources.append(given["href"])
        elif tag in ("script", "img", "iframe", "source") and "src" in given:
            self.resources.append(given["src"])


def read(path: Path) -> Page:
    """Parse one page."""
    page = Page()
    page.feed(path.read_text("utf-8"))
    return page


def problems(folder: Path) -> list[str]:
    """One line for every link that leads nowhere and every resource from a network."""
    pages = {path.resolve(): read(path) for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts}
    lines = []
    for path, page in pages.items():
        here = path.relative_to(folder.resolve())
        lines += [
            f"{here}: fetches {r}" for r in page.resources if urlsplit(r).scheme in ("http", "https") or r[:2] == "//"
        ]
        for link in [*page.links, *page.resources]:
            parts = urlsplit(link)
            if parts.scheme or link.startswith("//"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                lines.append(f"{here}: {link} does not exist")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                lines.append(f"{here}: {link} has no such anchor")
    return lines


if __name__ == "__main__":
    root = Path(sys.argv[1])
    found = problems(root)
    print("\n".join(found) or f"{len(list(root.rglob('*.html')))} pages: every local link exists, nothing is fetched")
    sys.exit(bool(found))
