"""Where pages are, seen from each other: a page alone has no links to pages that were not written."""

from __future__ import annotations

from dataclasses import dataclass

from g287stats.report.words import day

ROOT = "Atlas of 287(g) agreements"


@dataclass(frozen=True)
class Links:
    """Addresses of other pages from a page that lies ``up`` above them; counties and states written in this build."""

    up: str = ""
    counties: frozenset[str] = frozenset()
    states: frozenset[str] = frozenset()
    home: bool = False

    def county(self, fips: str) -> str | None:
        """Address of a county's page, if it is written."""
        return f"{self.up}counties/{fips}.html" if fips in self.counties else None

    def state(self, state: str) -> str | None:
        """Address of a state's page, if it is written."""
        return f"{self.up}states/{state.lower()}.html" if state in self.states else None

    @property
    def index(self) -> str | None:
        """Address of the national page, if it is written."""
        return f"{self.up}index.html" if self.home else None


def foot(version: str, list_date: object, pending: object, key: str, again: str) -> list[str]:
    """Paragraphs at the foot of every page: what it is, cite, corrections."""
    return [
        "This page was written by a program. It describes what was signed and what was recorded; it does not say what "
        "caused what.",
        f"<b>Cite.</b> The g287stats developers (2026). g287stats, data {version}, {key}; ICE lists to "
        f"{day(list_date)}, lists of applications to {day(pending)}. Terms: facts from US government records, CC0.",
        "<b>Corrections.</b> A row that is wrong is put right with its evidence in <code>data/fixes</code>, and every "
        "correction is listed with its reason. To report one, open an issue at the project’s repository "
        "with the name of "
        "the agency, what the page says, what is right, and a document or address that shows it.",
        f"<b>This page again.</b> <code>{again}</code>",
    ]
