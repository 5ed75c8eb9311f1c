"""Published claims and the statements they bear on, read from the released tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from g287stats.catalog import read_released, schema, write_released
from g287stats.claims.vocabulary import VERDICTS
from g287stats.errors import Problems, SourceError, UnavailableError

_NUMBERS = ("year", "estimate", "estimate_low", "estimate_high", "se", "ci_low", "ci_high")


def build(sources: Path, out: Path) -> list[Path]:
    """Write ``claims`` from ``claims/claims.csv`` beside the sources; every cell is checked against the schema."""
    path = sources.parent / "claims" / "claims.csv"
    if not path.is_file():
        raise SourceError(f"{path} is absent: the claims file lies beside the sources folder")
    raw = pd.read_csv(path, dtype="string", keep_default_na=False, na_values=[""])
    fields = [f["name"] for f in schema("claims", out)["schema"]["fields"]]
    problems = Problems(path.name)
    if list(raw.columns) != fields:
        odd = sorted(set(raw.columns) ^ set(fields))
        problems.add("columns are not those of the schema", odd or list(raw.columns))
        problems.raise_if_any(SourceError)
    frame = raw.copy()
    for name in _NUMBERS:
        values = pd.to_numeric(raw[name], errors="coerce")
        bad = values.isna() & raw[name].notna()
        if bad.any():
            problems.add(f"{name} is not a number", raw.loc[bad, "claim_id"] + "=" + raw.loc[bad, name])
        frame[name] = values
    problems.raise_if_any(SourceError)
    return [write_released(frame, "claims", out)]


def findings(statement: str | None = None, *, policy: str | None = None, tier: str | None = None) -> pd.DataFrame:
    """Return the published claims, one row each.

    ``standing`` says how a published number itself stands (contested, narrowed, recalled …). The verdict on a
    statement, over all studies, belongs to the statement: :func:`statements`.

    Parameters
    ----------
    statement
        ``"i"`` … ``"v"`` (crime, victimization, profiling, detainers, reporting) or ``"count"``.
    policy
        ``287g_any``, ``287g_jem``, ``287g_tfm``, ``287g_city``, ``sc``, ``anti_detainer``, ``other``.
    tier
        ``A`` arithmetic on published counts, ``B`` re-estimable on public or registration data, ``C``
        restricted data.
    """
    table = read_released("claims")
    for column, value in (("seed_statement", statement), ("policy", policy), ("check_tier", tier)):
        if value is not None:
            known = sorted(table[column].dropna().unique())
            if value not in known:
                raise UnavailableError(f"no claims with {column}={value!r}; values are {known}")
            table = table[table[column] == value]
    return table.reset_index(drop=True)


def statements() -> pd.DataFrame:
    """Return the statements under test with the verdict over all studies and the reasons for it."""
    table = read_released("statements")
    wrong = sorted(set(table["verdict"].dropna()) - set(VERDICTS))
    if wrong:
        raise SourceError(f"statements.csv: verdicts outside the vocabulary: {wrong}")
    return table


@dataclass(frozen=True)
class Finding:
    """One published claim: ``claim`` (a row of :func:`findings`) and the analysis that bears on it, if any."""

    claim: pd.Series
    analysis: str | None

    @property
    def id(self) -> str:
        """Identifier of the claim."""
        return str(self.claim["claim_id"])

    @property
    def published(self) -> str:
        """The published number or sign, in words, on its own scale."""
        return published_text(self.claim)

    def cite(self) -> str:
        """Reference of the study, with the address and whether the number was verified there."""
        c = {k: ("" if pd.isna(v) else v) for k, v in self.claim.items()}
        doi = f" https://doi.org/{c['doi']}" if c["doi"] else ""
        return (
            f"{c['authors']} ({c['year']}). {c['title']}. {c['venue']}.{doi} "
            f"[claim {c['claim_id']}; verified: {c['verified']}; seen at {c['source_url'] or 'no address'}]"
        )

    def __repr__(self) -> str:
        return f"<Finding {self.id}: {self.claim['finding']} Published: {self.published}>"


def finding(claim_id: str) -> Finding:
    """Return one claim by its identifier."""
    from g287stats.claims.analyses import analyses

    table = findings()
    row = table[table["claim_id"] == claim_id]
    if row.empty:
        near = [c for c in table["claim_id"] if claim_id.lower() in c.lower()]
        raise UnavailableError(f"no claim is called {claim_id!r}. Similar: {near[:8] or list(table['claim_id'][:8])}")
    home = next((a.name for a in analyses().values() if claim_id in a.claims), None)
    return Finding(row.iloc[0], home)


def published_text(claim: pd.Series) -> str:
    """Render the published value of a claim: number with its scale, bound, or sign."""

    def show(value: Any) -> str:
        number = float(value)
        return f"{number:,.0f}" if number == int(number) and abs(number) >= 2 else f"{number:g}"

    scale, sign = str(claim["scale"]), claim["expected_sign"]
    point, low, high = claim["estimate"], claim["estimate_low"], claim["estimate_high"]
    unit = {"pct_change": " %", "pp_change": " percentage points"}.get(scale, "")
    kind = "" if scale in ("pct_change", "pp_change", "count", "direction_only") else f" ({scale.replace('_', ' ')})"
    if pd.notna(point):
        return f"{show(point)}{unit}{kind}"
    if pd.notna(low) and pd.notna(high):
        return f"{show(low)} to {show(high)}{unit}{kind}"
    if pd.notna(low):
        return f"at least {show(low)}{unit}{kind}"
    if pd.notna(high):
        return f"at most {show(high)}{unit}{kind}"
    return {"0": "no significant effect", "+": "increase", "-": "decrease"}.get(str(sign), "not stated")
