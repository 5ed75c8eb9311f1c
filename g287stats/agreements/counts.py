"""What is known after the last list in hand: ICE's counts by state and model, and what follows from them.

A count says how many agreements of a model a state had on a list that is not in hand, not which. Where it is zero,
every agreement of the state and model that stood on the last list in hand has gone by that day. Nothing else is
inferred: an agreement counted but not named is counted only.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from g287stats.agreements.identity import Fixes
from g287stats.agreements.record import MODELS
from g287stats.errors import Problems, SourceError

COLUMNS = ["list_date", "state", "model", "agreements"]
LATER = [
    "agreement_id",
    "agency_id",
    "agency",
    "state",
    "county_fips",
    "model",
    "standing",
    "signed_date",
    "not_before",
    "by",
    "source",
]
GONE = "gone between two dates"
UNSEEN = "signed by memorandum, not yet seen on a list in hand"


def read_counts(path: Path, fixes: Fixes) -> pd.DataFrame:
    """Read counts printed by state and model (columns ``list_date``, ``state``, then the models)."""
    if not path.is_file():
        return pd.DataFrame(columns=COLUMNS)
    raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    problems = Problems(path.name)
    unknown = [s for s in raw["state"].unique() if fixes.state(s) is None]
    if unknown:
        problems.add("states are not known", unknown)
    problems.raise_if_any(SourceError)
    raw["state"] = raw["state"].map(fixes.state)
    long = raw.melt(["list_date", "state"], list(MODELS), "model", "agreements")
    long["list_date"] = pd.to_datetime(long["list_date"])
    # one list may print a state in two spellings: its lines add up
    return long.astype({"agreements": "int64"}).groupby(COLUMNS[:3], as_index=False)["agreements"].sum()


def gone_by_counts(standing: pd.DataFrame, counts: pd.DataFrame, last_day: pd.Timestamp) -> pd.DataFrame:
    """Return the agreements of ``standing`` (those on the list of ``last_day``) that ICE's counts say are gone.

    ``by`` is the first list on which ICE counted none of the state and model. A state that a list's counts leave
    out had none.
    """
    rows = []
    held = standing.groupby(["state", "model"])
    for (state, model), group in held:
        mine = counts[counts["state"].eq(state) & counts["model"].eq(model)].set_index("list_date")["agreements"]
        for day in sorted(counts["list_date"].unique()):
            if mine.get(day, 0) == 0:
                source = f"ICE counted no {model} agreement of {state} on its list of {day:%Y-%m-%d}"
                rows.append(group.assign(standing=GONE, not_before=last_day, by=day, source=source))
                break
    found = pd.concat(rows) if rows else pd.DataFrame(columns=LATER)
    return found.reindex(columns=LATER).sort_values(["state", "agreement_id"], ignore_index=True)


def counted(counts: pd.DataFrame, standing: pd.DataFrame, later: pd.DataFrame, day: pd.Timestamp, by: str) -> pd.Series:
    """ICE's count in force on ``day`` by ``by`` (state or model), with ``total``, ``named`` and ``counted_only``.

    ``named`` are agreements of the last list in hand, or of a memorandum, not known to be gone: at most as many as
    counted, state by state and model by model.
    """
    at = counts.loc[counts["list_date"].le(day), "list_date"].max()
    here = counts[counts["list_date"].eq(at)]
    gone = later.loc[later["standing"].eq(GONE) & later["by"].le(at), "agreement_id"]
    known = standing.loc[~standing["agreement_id"].isin(gone), ["state", "model"]]
    unseen = later.loc[later["standing"].eq(UNSEEN) & later["signed_date"].le(at), ["state", "model"]]
    names = pd.concat([known, unseen]).value_counts()
    totals = here.set_index(["state", "model"])["agreements"]
    named = int(names.clip(upper=totals.reindex(names.index, fill_value=0)).sum()) if len(names) else 0
    out = here.groupby(by)["agreements"].sum()
    out["total"], out["named"], out["counted_only"] = totals.sum(), named, totals.sum() - named
    return out
