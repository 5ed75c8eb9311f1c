"""``evidence``: everything the grids say about a statement or a claim, in frames, figures and plain sentences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from g287stats.claims import plots, sentences
from g287stats.claims.grid import Grid, load_grid
from g287stats.claims.judge import claimed_margin, judge_grid, read_row
from g287stats.claims.registry import findings
from g287stats.errors import UnavailableError
from g287stats.shown import Shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from g287stats.claims.analyses import Analysis


@dataclass(frozen=True)
class Evidence(Shown):
    """What the package's grids say about a statement or a claim.

    Attributes
    ----------
    about
        The statement (``"i"``) or claim (``"i-FN-crime"``).
    claims
        One row a claim: published, ours (the row nearest to the published study), status, reason.
    grid
        One row a specification: ``analysis``, ``outcome``, the choices, ``estimate``, ``std_error``, ``conf_low``,
        ``conf_high`` (percent, 95 %), ``detectable``, ``margin``, ``reading``, ``leads_p``, ``n_treated``,
        ``effective_treated``, ``inference``, ``state`` (``estimated``, ``needs data``, ``not identified``) and why.
    axes
        How far each choice moves the estimate, pairs that differ in it alone: ``analysis``, ``outcome``, ``axis``,
        ``level``, ``other``, ``pairs``, ``difference``, ``std_error``, ``p_value``.
    lost
        Treated places that each design loses, by name, with their identifications and the share of them.
    strongest
        The strongest specification on either side and the sharpest, by analysis and outcome.
    sentences
        One row a sentence: ``analysis``, ``outcome``, ``kind`` (headline, spread, axis, lost), ``sentence``.
    choices
        Names of the columns of ``grid`` that are choices.
    """

    about: str
    claims: pd.DataFrame
    grid: pd.DataFrame
    axes: pd.DataFrame
    lost: pd.DataFrame
    strongest: pd.DataFrame
    sentences: pd.DataFrame
    choices: tuple[str, ...]

    def tidy(self) -> pd.DataFrame:
        """The grid, one row a specification."""
        return self.grid

    def rows(self, outcome: str | None = None, analysis: str | None = None) -> pd.DataFrame:
        """Estimated rows of the grid, of one outcome or analysis."""
        rows = self.grid[self.grid["state"] == "estimated"] if len(self.grid) else self.grid
        for column, value in (("outcome", outcome), ("analysis", analysis)):
            if value is not None:
                known = sorted(rows[column].unique())
                if value not in known:
                    raise UnavailableError(f"no {column} {value!r} in this evidence; there are {known}")
                rows = rows[rows[column] == value]
        return rows

    def forest(self, outcome: str, *, analysis: str | None = None, ax: Axes | None = None) -> Axes:
        """Forest plot of one outcome (see :func:`g287stats.claims.plots.forest`)."""
        return plots.forest(self.rows(outcome, analysis), self._used(outcome, analysis), ax=ax)

    def curve(self, outcome: str, *, analysis: str | None = None) -> Figure:
        """Specification curve of one outcome, every choice named."""
        return plots.specification_curve(self.rows(outcome, analysis), self._used(outcome, analysis))

    def _used(self, outcome: str, analysis: str | None) -> list[str]:
        rows = self.rows(outcome, analysis)
        return [c for c in self.choices if c in rows and rows[c].notna().all()]

    def _words(self) -> str:
        return "\n".join(self.sentences["sentence"]) if len(self.sentences) else "No grid bears on this."

    def _table(self) -> pd.DataFrame:
        return self.claims[["claim_id", "published", "ours", "status"]]


def assemble(
    about: str, claims: pd.DataFrame, homes: Sequence[Analysis], folder: Path, margin: float | None = None
) -> Evidence:
    """Put together what analyses that ran in ``folder`` say about the claims of a table."""
    ids = set(claims["claim_id"])
    parts = [p for a in homes if (p := _part(folder / a.name, a.folder, ids, margin)) is not None]
    if margin is not None:
        claims = _judged_again(claims, parts, margin)
    return Evidence(about, claims, *_together(parts))


@dataclass(frozen=True)
class _Part:
    """What one analysis says about the claims asked for."""

    name: str
    declared: Grid
    grid: pd.DataFrame
    axes: pd.DataFrame
    lost: pd.DataFrame


def _part(folder: Path, source: Path, ids: set[str], margin: float | None) -> _Part | None:
    if not (source / "grid.toml").is_file() or not (folder / "grid.csv").is_file():
        return None
    declared = load_grid(source / "grid.toml")
    mine = [c for c in declared.claims if c in ids]
    if not mine:
        return None
    whole = tuple(declared.outcomes)
    outcomes = set(whole) if len(ids) > 1 else set(declared.claims[mine[0]].where.get("outcome", whole))
    read = {n: _read(folder / f"{n}.csv") for n in ("grid", "axes", "lost")}
    kept = {n: f[f["outcome"].isin(outcomes)] if len(f) else f for n, f in read.items()}
    grid = kept["grid"].assign(analysis=source.name)
    if margin is not None:
        numbers = zip(grid["estimate"], grid["conf_low"], grid["conf_high"])
        said = [read_row(*n, margin) if s == "estimated" else "" for n, s in zip(numbers, grid["state"])]
        grid = grid.assign(margin=margin, reading=said)
    return _Part(source.name, declared, grid, kept["axes"], kept["lost"])


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame()
    return pd.read_csv(path, dtype={"county_fips": str}, keep_default_na=True)


def _together(parts: list[_Part]) -> tuple[Any, ...]:
    grids, axes, lost, strong, said = [], [], [], [], []
    for p in parts:
        grids.append(p.grid)
        axes.append(p.axes.assign(analysis=p.name))
        lost.append(p.lost.assign(analysis=p.name))
        for outcome, words in p.declared.outcomes.items():
            rows = p.grid[(p.grid["outcome"] == outcome) & (p.grid["state"] == "estimated")]
            if not len(p.grid[p.grid["outcome"] == outcome]):
                continue
            mine = p.axes[p.axes["outcome"] == outcome] if len(p.axes) else p.axes
            strong.append(sentences.strongest(rows).assign(analysis=p.name))
            said += [
                {"analysis": p.name, "outcome": outcome, "kind": kind, "sentence": text}
                for kind, text in write(words, rows, mine, p.lost, p.declared.axes).items()
            ]
    choices = tuple(dict.fromkeys(a for p in parts for a in p.declared.axes))
    frames = [pd.concat(f, ignore_index=True) if f else pd.DataFrame() for f in (grids, axes, lost, strong)]
    return (*frames, pd.DataFrame(said, columns=["analysis", "outcome", "kind", "sentence"]), choices)


def write(
    words: str, rows: pd.DataFrame, axes: pd.DataFrame, lost: pd.DataFrame, choices: tuple[str, ...]
) -> dict[str, str]:
    """Write the sentences on one outcome of one analysis from its frames.

    ``lost`` is cut to the design that keeps most treated places: the sentence names what even that one loses.
    """
    if not len(rows):
        return {"headline": sentences.headline(words, rows, 0.0, axes)}
    margin = float(rows["margin"].iloc[0])
    out = {
        "headline": sentences.headline(words, rows, margin, axes),
        "spread": sentences.spread(rows, margin),
        "axis": sentences.axis_sentence(axes),
    }
    design = [c for c in ("data", "treatment", "comparison", "sample") if c in choices]
    if len(lost) and design:
        best = rows.loc[rows["n_treated"].idxmax(), design]
        mine = lost[(lost["outcome"] == rows["outcome"].iloc[0]) & (lost[design] == best).all(axis=1)]
        out["lost"] = sentences.lost_sentence(mine, ", ".join(best[c] for c in design if c in ("data", "comparison")))
    return out


def _judged_again(claims: pd.DataFrame, parts: list[_Part], margin: float) -> pd.DataFrame:
    """Statuses of the claims of grids under another margin."""
    table = findings().set_index("claim_id", drop=False)
    out = claims.copy()
    for p in parts:
        for claim_id in set(p.declared.claims) & set(claims["claim_id"]):
            rows = p.declared.rows_of(claim_id, p.grid)
            if rows.empty:
                continue
            mine = p.axes[p.axes["outcome"].isin(rows["outcome"])] if len(p.axes) else None
            at = claimed_margin(table.loc[claim_id], margin)
            verdict = judge_grid(table.loc[claim_id], rows, at, mine)
            out.loc[out["claim_id"] == claim_id, ["status", "reason"]] = [verdict.status, verdict.reason]
    return out
