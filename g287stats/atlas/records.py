"""What pages state, as frozen records: no HTML, no numbers that a table does not hold."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import date

import pandas as pd

from g287stats.palette import CLASSES, MODEL_WORDS
from g287stats.report.words import day

COUNTY_LEVEL = ("county", "regional")
"""Jurisdictions that fill a county: sheriffs, county police, county and regional jails."""


@dataclass(frozen=True)
class Spell:
    """One agreement: an agency, a model, an uninterrupted period (a row of ``g.load_agreements().frame``)."""

    agreement_id: str
    agency_id: str
    agency: str
    agency_type: str
    jurisdiction: str
    state: str
    county_fips: str
    model: str
    signed: date
    signed_not_before: date | None
    resigned: tuple[date, ...]
    first_listed: date | None
    last_listed: date | None
    gone_by: date | None
    ended: date | None
    end_precision: str
    end_basis: str
    exit: str
    duplicate_of: str
    confidence: str
    sources: str
    listed: bool
    withheld: str
    later: str = ""

    @property
    def level(self) -> str:
        """``county``, ``state`` or ``local`` (towns, campuses, constables, ports)."""
        if self.jurisdiction in ("state", "territory"):
            return "state"
        return "county" if self.jurisdiction in COUNTY_LEVEL else "local"

    @property
    def really_ended(self) -> bool:
        """Ended in fact, not by a correction of a list."""
        return self.exit == "real"

    @property
    def model_words(self) -> str:
        """The model in words."""
        return MODEL_WORDS[self.model]

    @property
    def signed_words(self) -> str:
        """When it was signed, as precisely as it is known."""
        if self.withheld:
            return f"signed by {day(self.signed)}; first signing not released: source forbids it"
        if self.signed_not_before:
            return f"signed after {day(self.signed_not_before)}, by {day(self.signed)}"
        return f"signed {day(self.signed)}"

    @property
    def end_words(self) -> str:
        """How it stands or ended, as precisely as it is known."""
        if self.end_precision == "open":
            after = f"; {self.later}" if self.later else ""
            return ("on the last list" if self.listed else "no end in the record") + after
        if self.exit == "corrected":
            return f"listing withdrawn by ICE, gone from the list of {day(self.gone_by)}"
        if self.exit in ("re-dated", "artefact"):
            return f"a second line of the same agreement, gone from the list of {day(self.gone_by)}"
        basis = f" ({self.end_basis})" if self.end_basis and not self.end_basis.startswith("gone from") else ""
        if self.ended:
            return f"ended {day(self.ended)}{basis}"
        if self.end_precision == "year":
            return f"ended by {day(self.gone_by)}, known to the year{basis}"
        if basis:
            return f"ended between {day(self.last_listed)} and {day(self.gone_by)}{basis}"
        return f"last on the list of {day(self.last_listed)}, gone from the list of {day(self.gone_by)}"

    def active(self, on: date) -> bool:
        """Signed and not ended at the end of a day: the ``signed`` basis of ``Agreements.active``."""
        end = self.ended or self.gone_by
        return not self.duplicate_of and self.signed <= on and not (end and end <= on)


@dataclass(frozen=True)
class Application:
    """An application printed on ICE's pending lists (a row of ``g.load_agreements().applications``)."""

    agency: str
    agency_type: str
    jurisdiction: str
    county_fips: str
    model: str
    first_pending: date
    last_pending: date
    gone_by: date | None
    outcome: str
    agreement_id: str

    @property
    def pending(self) -> bool:
        """On the last pending list in hand."""
        return self.outcome == "pending"

    @property
    def words(self) -> str:
        """The application in words."""
        model = MODEL_WORDS.get(self.model, "model not printed")
        seen = f"pending from the list of {day(self.first_pending)} to that of {day(self.last_pending)}"
        if self.outcome == "left the list":
            return f"{model}, {seen}, then gone; no agreement in the record"
        return f"{model}, {seen}" + ("; signed" if self.outcome == "signed" else "")


@dataclass(frozen=True)
class Place:
    """Where a county stands at the last list: its class, whether towns alone signed, agencies, first signing."""

    county_fips: str
    name: str
    state: str
    kind: int
    local_only: bool
    local_kind: int
    agencies: tuple[str, ...]
    agreements: int
    first_signed: date | None
    ended: int
    local: int = 0

    @property
    def words(self) -> str:
        """Its state at the last list in words."""
        if self.local_only:
            return f"towns only: {CLASSES[self.local_kind].words}"
        if self.kind:
            return CLASSES[self.kind].words + (" + towns" if self.local else "")
        return "none now; ended" if self.ended else "none"


@dataclass(frozen=True)
class Similar:
    """A county alike in the traits of ``LIKENESS``, with its distance in standard deviations."""

    place: Place
    distance: float
    residents: int
    hispanic: float
    foreign_born: float
    poverty: float


@dataclass(frozen=True)
class CrimeYear:
    """One year of one kind of offence: what is shown, or why it is not; similar counties where five or more report."""

    offence: str
    year: int
    count: int | None
    rate: float | None
    coverage: float | None
    reason: str
    mark: str
    similar_low: float | None
    similar_median: float | None
    similar_high: float | None
    similar_reporting: int


@dataclass(frozen=True)
class Removals:
    """Identified and removed under an agency's agreement in a federal fiscal year; a blank is missing, not zero."""

    agency: str
    fiscal_year: int
    identified: int | None
    removed: int | None


@dataclass(frozen=True)
class Mark:
    """A dated policy that meets the agreements, with how far it is verified."""

    when: str
    name: str
    kind: str
    status: str
    note: str

    @property
    def words(self) -> str:
        """The event in words, its verification status always said."""
        status = {"verified": "verified", "partly": "partly verified"}.get(self.status, "unverified")
        return f"{self.name} ({self.kind}), {self.when}, {status}"


@dataclass(frozen=True)
class CountyFacts:
    """Everything the page of a county states. Tuples of records; :meth:`frame` gives each as a table."""

    county_fips: str
    name: str
    state: str
    state_name: str
    list_date: date
    first_list: date
    pending_date: date
    first_pending: date
    data_version: str
    residents: int
    residents_year: int
    place: Place
    agreements: tuple[Spell, ...]
    state_agreements: tuple[Spell, ...]
    applications: tuple[Application, ...]
    neighbours: tuple[Place, ...]
    crime: tuple[CrimeYear, ...]
    min_coverage: float
    removals: tuple[Removals, ...]
    traits: dict[str, float]
    similar: tuple[Similar, ...]
    similar_rule: str
    marks: tuple[Mark, ...]
    sources: tuple[str, ...]
    not_known: tuple[str, ...]
    sentence: str

    @property
    def title(self) -> str:
        """Name of the county with its state."""
        return f"{self.name}, {self.state_name}"

    @property
    def listed(self) -> tuple[Spell, ...]:
        """Agreements on the last list."""
        return tuple(s for s in self.agreements if s.listed)

    @property
    def ended(self) -> tuple[Spell, ...]:
        """Agreements that ended in fact."""
        return tuple(s for s in self.agreements if s.really_ended)

    def frame(self, part: str) -> pd.DataFrame:
        """Return ``agreements``, ``applications``, ``neighbours``, ``crime``, ``removals``, ``similar`` as a table."""
        return frame_of(getattr(self, part))

    def __repr__(self) -> str:
        return f"<CountyFacts {self.county_fips} {self.title}: {self.sentence}>"


@dataclass(frozen=True)
class StateFacts:
    """Everything the page of a state states."""

    state: str
    name: str
    list_date: date
    first_list: date
    pending_date: date
    data_version: str
    agreements: tuple[Spell, ...]
    applications: tuple[Application, ...]
    counties: tuple[Place, ...]
    curve: pd.DataFrame
    marks: tuple[Mark, ...]
    withheld: tuple[str, ...]
    after: str
    sentence: str

    @property
    def listed(self) -> tuple[Spell, ...]:
        """Agreements on the last list."""
        return tuple(s for s in self.agreements if s.listed)

    @property
    def statewide(self) -> tuple[Spell, ...]:
        """Agreements of state agencies."""
        return tuple(s for s in self.agreements if s.level == "state")

    def frame(self, part: str) -> pd.DataFrame:
        """Return ``agreements``, ``applications`` or ``counties`` as a table."""
        return frame_of(getattr(self, part))

    def __repr__(self) -> str:
        return f"<StateFacts {self.state}: {self.sentence}>"


@dataclass(frozen=True)
class StateRow:
    """One line of the table of states."""

    state: str
    name: str
    agreements: int
    agencies: int
    jem: int
    tfm: int
    wso: int
    statewide: int
    ended: int
    first_signed: date | None
    pending: int


@dataclass(frozen=True)
class NationFacts:
    """Everything the national page states; ``months`` has one row a month with the counts on both bases."""

    list_date: date
    first_list: date
    pending_date: date
    data_version: str
    agreements: int
    agencies: int
    states: tuple[str, ...]
    territories: tuple[str, ...]
    by_model: dict[str, int]
    places: tuple[Place, ...]
    rows: tuple[StateRow, ...]
    none_listed: tuple[str, ...]
    months: pd.DataFrame
    spells: tuple[Spell, ...]
    applications: tuple[Application, ...]
    withheld: tuple[str, ...]
    after: str
    headline: str
    sentence: str

    @property
    def counts(self) -> dict[int, int]:
        """Counties by class at the last list (0 = none by a county agency, towns-only counties among them)."""
        return {k.number: sum(p.kind == k.number for p in self.places) for k in CLASSES}

    @property
    def local_only(self) -> int:
        """Counties where only towns, campuses, constables or ports are on the last list."""
        return sum(p.local_only for p in self.places)

    def frame(self, part: str) -> pd.DataFrame:
        """Return ``rows``, ``places``, ``spells`` or ``applications`` as a table."""
        return frame_of(getattr(self, part))

    def __repr__(self) -> str:
        return f"<NationFacts: {self.headline}>"


def frame_of(records: tuple[object, ...]) -> pd.DataFrame:
    """Turn records into a table, one row each; a record within a record is spread over its fields."""
    rows = []
    for record in records:
        row = {f.name: getattr(record, f.name) for f in fields(record)}  # type: ignore[arg-type]
        if "place" in row:
            row = asdict(row.pop("place")) | row
        rows.append({k: "; ".join(map(str, v)) if isinstance(v, tuple) else v for k, v in row.items()})
    return pd.DataFrame(rows)
