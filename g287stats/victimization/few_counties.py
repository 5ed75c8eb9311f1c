"""When few counties carry the treatment: who they are, what each decides, and randomisation over counties.

The effective number of treated counties is (Σ e)²/Σ e², with e the weight of a county's interviews times their treated
share. The randomisation test deals the treatment histories to other counties of about the same number of interviews and
asks how often a statistic as large results. It uses the score of the model without the treatment, so that nothing is
fitted again: with s the score residuals, D̃ the treatment less its projection on covariates and effects, the statistic
is Σ D̃ s over the root of the sum of its squared county parts (Rao's score, clustered by county).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from g287stats.errors import DesignError, check_draws
from g287stats.survey.regression import GlmEstimate
from g287stats.victimization.did import TreatedSample


def treated_counties(treated: TreatedSample, treatment: str, *, group: str = "latino") -> pd.DataFrame:
    """Counties with the treatment, by their share of the group's treated interviews.

    Returns
    -------
    DataFrame
        ``county``, ``interviews`` (treated at all), ``victims`` among them, ``exposure`` (weights times treated share),
        ``share`` of it; ``.attrs`` has ``effective_number`` and ``counties``.
    """
    frame, w = treated.sample.frame, treated.sample.weights
    if treatment not in treated.treatments:
        raise DesignError(f"{treatment!r} is not among the treatments {treated.treatments}")
    inside = w > 0
    if group != "all":
        inside = inside & (frame["group"] == group).to_numpy(dtype=bool, na_value=False)
    dose = np.nan_to_num(frame[treatment].to_numpy(float))
    on = inside & (dose > 0)
    part = pd.DataFrame(
        {
            "county": frame[treated.county].to_numpy()[on],
            "interviews": 1,
            "victims": frame["victim"].to_numpy()[on],
            "exposure": (w * dose)[on],
        }
    )
    out = part.groupby("county", sort=True).sum().sort_values("exposure", ascending=False, kind="stable").reset_index()
    out["share"] = out["exposure"] / out["exposure"].sum()
    out.attrs |= {"counties": len(out), "effective_number": float(1 / (out["share"] ** 2).sum()) if len(out) else 0.0}
    return out


def leave_one_out(estimate: GlmEstimate, term: str, county: str = "county_fips") -> pd.DataFrame:
    """Estimate of ``term`` without each county in turn, by one corrected step (see ``leverage`` of ``survey.glm``).

    ``estimate`` is fitted with ``leverage``. Counties that move nothing have no row; the largest moves come first.
    """
    if not estimate.options.get("leverage"):
        raise DesignError("fit with leverage=True (or leverage=county): only then influence is that of leaving out")
    if estimate.model is None:
        raise DesignError("pass the fit itself, not a combination of it")
    codes = estimate.influence.codes(county)
    moves = estimate.influence.sums(codes)[:, estimate.terms.index(term)]
    at = estimate.model.sample.cluster[county]
    first = np.zeros(int(at.max()) + 1, dtype=np.int64)
    first[at[::-1]] = np.arange(len(at) - 1, -1, -1)
    names = estimate.model.sample.frame[county].to_numpy()[first][: len(moves)]
    out = pd.DataFrame({"county": names, "change": -moves, "estimate_without": estimate.params[term] - moves})
    out = out[np.abs(out["change"]) > 1e-12]
    return out.reindex(out["change"].abs().sort_values(ascending=False, kind="stable").index).reset_index(drop=True)


@dataclass(frozen=True)
class CountyRandomization:
    """Result of :func:`county_randomization`: two-sided p-values of the studentised and of the plain statistic."""

    p_value: float
    p_plain: float
    statistic: float
    draws: int
    seed: int
    strata: int

    def __str__(self) -> str:
        return (
            f"randomisation over counties: p = {self.p_value:.3f} (t of the score {self.statistic:.2f}; without "
            f"studentising p = {self.p_plain:.3f}; {self.draws} deals within {self.strata} strata of size)"
        )


def county_randomization(
    restricted: GlmEstimate, treated: TreatedSample, treatment: str, *, draws: int = 999, seed: int = 287
) -> CountyRandomization:
    """Test that ``treatment`` has no effect by dealing its county histories to other counties.

    Parameters
    ----------
    restricted
        The fit without the treatment: ``victimization_did(treated, treatments=(the others))``.
    treatment
        Name of a treatment of ``treated``.
    draws, seed
        Deals; same seed, same deals. The p-value is (1 + deals as extreme)/(1 + draws).

    Counties are dealt within strata of interviews used: ranks 1–20, 21–60, 61–140, the rest.
    """
    check_draws(draws)
    if restricted.model is None or treatment in restricted.terms:
        raise DesignError(f"pass the fit without {treatment!r}: victimization_did(treated, treatments=(…))")
    grid = _Grid(restricted, treated, treatment)
    rng = np.random.Generator(np.random.PCG64(seed))
    observed = grid.statistics(np.arange(grid.n))
    stratum = np.searchsorted((20, 60, 140), np.argsort(np.argsort(-grid.interviews, kind="stable")), side="right")
    groups = [np.flatnonzero(stratum == s) for s in np.unique(stratum)]
    extreme = np.zeros(2)
    for _ in range(draws):
        deal = np.arange(grid.n)
        for members in groups:
            deal[members] = rng.permutation(members)
        extreme += np.abs(grid.statistics(deal)) >= np.abs(observed) * (1 - 1e-12)
    p = (1 + extreme) / (1 + draws)
    return CountyRandomization(float(p[0]), float(p[1]), float(observed[0]), draws, seed, len(groups))


class _Grid:
    """Score residuals and working weights summed over county and interview month, for any deal of histories."""

    def __init__(self, restricted: GlmEstimate, treated: TreatedSample, treatment: str):
        fit = restricted.model
        assert fit is not None
        frame = fit.sample.frame.iloc[fit.rows]
        code = fit.sample.cluster[treated.county][fit.rows]
        used, county = np.unique(code, return_inverse=True)
        self.n = len(used)
        moment = frame["half"].to_numpy() * 10 + (frame["month"].to_numpy(int) - 1) % 6
        months, month = np.unique(moment, return_inverse=True)
        half = np.unique(months // 10, return_inverse=True)[1]
        shape, at = (self.n, len(months)), county * len(months) + month
        size = self.n * len(months)
        w = fit.sample.weights[fit.rows]
        working = (fit.working / np.bincount(fit.cell, w, len(fit.x)))[fit.cell] * w
        dose = frame[treatment].to_numpy(float)
        self.known = ~np.isnan(dose)
        total = np.bincount(at, np.where(self.known, 1.0, 0.0), size)
        own = np.divide(np.bincount(at, np.nan_to_num(dose), size), total, out=np.zeros(size), where=total > 0)
        self.dose = _filled(own.reshape(shape), total.reshape(shape) > 0)
        self.interviews = np.bincount(county, minlength=self.n)
        self.score = np.bincount(at, fit.score, size).reshape(shape)
        self.weight = np.bincount(at, working, size).reshape(shape)
        x = fit.projected[fit.cell]
        self.cross = np.stack([np.bincount(at, working * v, size).reshape(shape) for v in x.T])
        self.by_county = np.stack([np.bincount(county, fit.score * v, self.n) for v in x.T])
        self.bread = fit.bread
        self.halves = (half[:, None] == np.arange(half.max() + 1)).astype(float)  # months × halves
        self.half_weight = self.weight @ self.halves
        self.half_score = self.score @ self.halves
        mass = self.half_weight.sum(axis=1)
        schur = np.diag(self.half_weight.sum(axis=0)) - self.half_weight.T @ (self.half_weight / mass[:, None])
        self.mass, self.inverse = mass, np.linalg.pinv(schur, hermitian=True)

    def statistics(self, deal: np.ndarray) -> np.ndarray:
        """Studentised and plain statistic when county c has the history of county ``deal[c]``."""
        d = self.dose[deal]
        moved = (self.weight * d) @ self.halves
        a = moved.sum(axis=1) / self.mass
        b = self.inverse @ (moved.sum(axis=0) - self.half_weight.T @ a)
        a = a - self.half_weight @ b / self.mass
        fitted = a[:, None] + b
        slopes = self.bread @ np.tensordot(self.cross, d, axes=2)
        parts = (d * self.score).sum(axis=1) - (fitted * self.half_score).sum(axis=1) - slopes @ self.by_county
        total = parts.sum()
        information = (
            (self.weight * d * d).sum() - (fitted * moved).sum() - slopes @ np.tensordot(self.cross, d, axes=2)
        )
        return np.array([total / np.sqrt((parts**2).sum()), total / max(information, 1e-300)])


def _filled(dose: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Histories by month: a month without an interview takes the nearest month before, else after, that has one."""
    out = dose.copy()
    for c in np.flatnonzero(~known.all(axis=1) & (dose.max(axis=1) > 0)):
        have = np.flatnonzero(known[c])
        out[c] = dose[c, have[np.clip(np.searchsorted(have, np.arange(dose.shape[1]), side="right") - 1, 0, None)]]
    return out
