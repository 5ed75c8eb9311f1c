"""One way to the county-coded survey: a restricted extract when there is one, the simulation when not.

In a research data center, put the three tables in a folder with ``extract.toml`` and name the folder in
``G287STATS_NCVS`` (or pass it). Nothing is downloaded.

    [files]
    person = "person.tsv"
    incident = "incident.tsv"
    household = "household.tsv"
    secure_communities = "secure_communities.csv"   # optional, instead of the released months: county_fips, month
    [geography]
    county_fips = "GEOCNTY"          # the column with the county, of the person or of the household table;
                                     # or ["STATE", "COUNTY"] where the code is in two columns
    [rename]
    PWGT = "WGTPERCY"                # only where the extract has names of its own
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from g287stats.catalog import read_released
from g287stats.errors import Problems, SourceError
from g287stats.outcomes.ncvs.files import NcvsFile, read_ncvs
from g287stats.panel.exposure import Exposure, intervals
from g287stats.policies import SECURE_COMMUNITIES_END, load_secure_communities
from g287stats.victimization.interviews import Interviews, person_interviews
from g287stats.victimization.window import month_intervals

if TYPE_CHECKING:
    from g287stats.simulation.ncvs import PlantedEffects

FOLDER_VARIABLE = "G287STATS_NCVS"
HORIZON = pd.Timestamp("2026-01-01")


@dataclass(frozen=True)
class CountyNcvs:
    """Person, incident and household tables with counties, and days under each treatment."""

    person: NcvsFile = field(repr=False)
    incident: NcvsFile = field(repr=False)
    household: NcvsFile = field(repr=False)
    treatments: Mapping[str, pd.DataFrame] = field(repr=False)
    simulated: bool
    source: str

    def interviews(self, types: str = "violent") -> Interviews:
        """Person-interviews with victimizations of a type: see ``person_interviews``."""
        return person_interviews(self.person, self.incident, self.household, types=types)


def agreement_days(exposure: Exposure, before: str | None = None) -> pd.DataFrame:
    """Days under agreements by county (``county_fips``, ``start``, ``end``), from the released agreement table.

    ``before`` drops agreements that start on that day or later.
    """
    days = intervals(read_released("agreements"), exposure, HORIZON).frame
    if "county_fips" not in days:  # agreements of statewide agencies treat every county of their state
        counties = read_released("county_list")[["county_fips", "state"]].drop_duplicates()
        days = days.merge(counties, on="state")
    if before is not None:
        days = days[days["start"] < pd.Timestamp(before)]
    return days[["county_fips", "start", "end"]].reset_index(drop=True)


def county_ncvs(
    folder: str | Path | None = None,
    *,
    effects: PlantedEffects | None = None,
    seed: int = 287,
    **simulation: object,
) -> CountyNcvs:
    """Return the county-coded survey: the extract in ``folder`` (or ``$G287STATS_NCVS``), else a SIMULATED one.

    Parameters
    ----------
    folder
        Folder with the tables and ``extract.toml`` (see the module's documentation).
    effects, seed, simulation
        Passed to :func:`~g287stats.simulation.ncvs.simulate_ncvs` when there is no extract.

    Notes
    -----
    Treatments are TFM and JEM of county agencies from the signing date, and SC (Secure Communities, from the first
    of the activation month to 20 November 2014). Counties without a month have a missing share of SC, and their
    rows leave models with SC, counted.
    """
    named = folder or os.environ.get(FOLDER_VARIABLE)
    if named is None:
        from g287stats.simulation.ncvs import simulate_ncvs  # above this room; asked only without an extract

        s = simulate_ncvs(seed=seed, effects=effects, **simulation)  # type: ignore[arg-type]
        return CountyNcvs(s.person, s.incident, s.household, s.treatments, True, f"simulation, seed {seed}")
    home = Path(named).expanduser()
    card = home / "extract.toml"
    if not card.is_file():
        raise SourceError(f"{home}: no extract.toml. It names the tables and the county column; see county_ncvs")
    told = tomllib.loads(card.read_text(encoding="utf-8"))
    problems = Problems(str(card))
    known = {"files": {"person", "incident", "household", "secure_communities"}, "geography": None, "rename": None}
    strange = [f"[{section}]" for section in told if section not in known]
    strange += [f"[files] {k}" for k in told.get("files", {}) if k not in (known["files"] or ())]
    if strange:
        problems.add("unknown entries", strange, f"Sections are {sorted(known)}, files {sorted(known['files'] or ())}")
    files: dict[str, Path] = {k: home / v for k, v in told.get("files", {}).items()}
    for level in ("person", "incident", "household"):
        if level not in files:
            problems.add(f"[files] names no {level} table")
    gone = [p.name for p in files.values() if not p.is_file()]
    if gone:
        problems.add("files are not there", gone)
    geography = dict(told.get("geography", {}))
    if "county_fips" not in geography:
        problems.add("[geography] names no column for county_fips")
    problems.raise_if_any(SourceError)
    rename = dict(told.get("rename", {}))

    wanted = [c for v in geography.values() for c in ([v] if isinstance(v, str) else v)]

    def read(level: str) -> NcvsFile:
        header = read_ncvs_columns(files[level])
        places = geography if level != "incident" and header.issuperset(wanted) else {}
        if level == "person" and not places and not read_ncvs_columns(files["household"]).issuperset(wanted):
            raise SourceError(f"{card}: neither the person nor the household table has the columns {wanted}")
        mine = {k: v for k, v in rename.items() if k in header}
        return read_ncvs(files[level], table=level, geography=places, rename=mine)

    treatments = {m: agreement_days(Exposure(models=(m,)), before="2015-01-01") for m in ("TFM", "JEM")}
    if "secure_communities" in files:
        months = pd.read_csv(files["secure_communities"], dtype=str)
    else:
        months = load_secure_communities()
    treatments["SC"] = month_intervals(months, "county_fips", "month", SECURE_COMMUNITIES_END)
    person = read("person")
    return CountyNcvs(person, read("incident"), read("household"), treatments, person.simulated, f"extract {home.name}")


def read_ncvs_columns(path: Path) -> set[str]:
    """Return the column names of a table without reading its rows where the format allows it."""
    from g287stats.catalog.archives import Member
    from g287stats.catalog.readers import DELIMITED, read_named

    if path.suffix.lower() in DELIMITED:
        sep = DELIMITED[path.suffix.lower()]
        return set(pd.read_csv(path, sep=sep, nrows=0, encoding="utf-8-sig").columns)
    return set(read_named(Member(path.name, path, path, "")).columns)
