"""Published claims and the statements they bear on, read from the released tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from g287stats.catalog import read_released, schema, write_released
from g287stats.claims.vocabulary import STANDINGS, VERDICTS
from g287stats.errors import Problems, SourceError, UnavailableError

_NUMBERS = ("year", "estimate", "estimate_low", "estimate_high", "se", "ci_low", "ci_high")


def build(sources: Path, out: Path) -> list[Path]:
    """Write ``claims``: the compiled file beside the sources, corrected and added to from ``fixes/``.

    ``fixes/claims.csv`` corrects cells, keyed on the value that is corrected and with its evidence;
    ``claims_added.csv`` holds further claims; ``claim_standings.csv`` how a published number itself stands. Every cell
    is checked against the schema.
    """
    path = sources.parent / "claims" / "claims.csv"
    if not path.is_file():
        raise SourceError(f"{path} is absent: the claims file lies beside the sources folder")
    problems = Problems(path.name)
    raw = _text(path)
    fields = [f["name"] for f in schema("claims", out)["schema"]["fields"]]
    expected = [f for f in fields if f != "standing"]
    if list(raw.columns) != expected:
        odd = sorted(set(raw.columns) ^ set(expected))
        problems.add("columns are not those of the schema", odd or list(raw.columns))
        problems.raise_if_any(SourceError)
    frame = _corrected(raw, _text(out / "fixes" / "claims.csv"), problems)
    frame = pd.concat([frame, _text(out / "fixes" / "claims_added.csv")], ignore_index=True)
    standings = _text(out / "fixes" / "claim_standings.csv").set_index("claim_id")["standing"]
    problems_of(standings, frame, problems)
    frame["standing"] = frame["claim_id"].map(standings).fillna("as published")
    for name in _NUMBERS:
        values = pd.to_numeric(frame[name], errors="coerce")
        bad = values.isna() & frame[name].notna()
        if bad.any():
            problems.add(f"{name} is not a number", frame.loc[bad, "claim_id"] + "=" + frame.loc[bad, name])
        frame[name] = values
    problems.raise_if_any(SourceError)
    return [write_released(frame[fields].sort_values("claim_id", ignore_index=True), "claims", out)]


def problems_of(standings: pd.Series, frame: pd.DataFrame, problems: Problems) -> None:
    """Note standings outside the vocabulary, of no claim, and claims that are there twice."""
    if odd := sorted(set(standings) - set(STANDINGS)):
        problems.add("standings outside the vocabulary", odd, f"use one of {', '.join(STANDINGS)}")
    if lost := sorted(set(standings.index) - set(frame["claim_id"])):
        problems.add("standings of no claim", lost)
    twice = frame["claim_id"][frame["claim_id"].duplicated()]
    if len(twice):
        problems.add("claims repeat", twice)


def _text(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype="string", keep_default_na=False, na_values=[""])


def _corrected(raw: pd.DataFrame, fixes: pd.DataFrame, problems: Problems) -> pd.DataFrame:
    """Apply corrections in order; one whose wrong value is not there any more is a problem."""
    frame = raw.set_index("claim_id", drop=False)
    for r in fixes.itertuples(index=False):
        if r.claim_id not in frame.index or r.column not in frame:
            problems.add("correction of an unknown cell", [f"{r.claim_id}.{r.column}"])
            continue
        here, wrong = frame.loc[r.claim_id, r.column], r.printed
        if not (here == wrong if pd.notna(here) and pd.notna(wrong) else pd.isna(here) and pd.isna(wrong)):
            problems.add("correction of a value that is not there", [f"{r.claim_id}.{r.column}"])
            continue
        frame.loc[r.claim_id, r.column] = r.corrected
    return frame.reset_index(drop=True)


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
