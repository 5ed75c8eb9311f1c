"""How to cite: the software version, the data version, and the producers of every released table."""

from __future__ import annotations

import json

from g287stats._version import __version__
from g287stats.catalog import released_dir


def cite() -> str:
    """Return the citation of software and data, and the producers of the released tables, as plain text."""
    package = json.loads((released_dir() / "package.json").read_text("utf-8"))
    lines = [
        f"The g287stats developers (2026). g287stats: Section 287(g) agreements, county crime and victimization "
        f"(version {__version__}) [software].",
        f"The g287stats developers (2026). g287stats released tables (data version {package['version']}, schema "
        f"{package['schema_version']}) [data].",
        "",
        "Producers of the released tables (cite those you use):",
    ]
    for path in sorted((released_dir() / "schema").glob("*.json")):
        resource = json.loads(path.read_text("utf-8"))
        titles = "; ".join(s["title"] for s in resource.get("sources", []))
        lines.append(f"- {resource['name']}: {titles}")
    return "\n".join(lines)
