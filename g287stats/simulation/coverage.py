"""Do the intervals of every estimator cover? SIMULATED.

    python -m g287stats.simulation.coverage [--draws 1000] [--counties 60 3100] [--only twfe imputation …] [--out FILE]
    python -m g287stats.simulation.coverage --stored FILE

A study is an estimator, a panel that satisfies its assumptions (:mod:`g287stats.simulation.panels`) and a call. Each
runs on its own stream of random numbers, so that a study's row does not depend on which others run, and a short run
is the beginning of a long one. Rows are written as they come: an interrupted run keeps what it has, and ``--only``
replaces the rows of the estimators named.
"""

from __future__ import annotations

import argparse
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from g287stats.catalog.writing import write
from g287stats.did.etwfe import etwfe
from g287stats.did.group_time import att_gt
from g287stats.did.imputation import imputation, two_stage
from g287stats.did.intensity import intensity_did
from g287stats.did.iv import iv_did
from g287stats.did.lp_did import lp_did
from g287stats.did.matching import Balance, balance_weights, match
from g287stats.did.multiple import multiple_treatments
from g287stats.did.poisson import poisson
from g287stats.did.spillover import spillover_did, spillover_event_study
from g287stats.did.stacked import stacked
from g287stats.did.sun_abraham import sun_abraham
from g287stats.did.switching import switching_did
from g287stats.did.synthetic import SyntheticEstimate, synthetic_control, synthetic_did
from g287stats.did.triple import triple_difference
from g287stats.did.twfe import event_study, twfe
from g287stats.errors import DesignWarning, InferenceWarning
from g287stats.estimate.estimate import Estimate
from g287stats.inference.small_sample import bias_reduced
from g287stats.simulation import panels
from g287stats.simulation.panels import Drawn, Rng

SEED = 287
Interval = tuple[float, float, float, float]
"""Point, standard error (NaN: none), lower and upper bound."""


@dataclass(frozen=True)
class Study:
    """One estimator on one kind of panel.

    Attributes
    ----------
    estimator
        Public name.
    variant
        What is particular about the panel or the call; empty for the plain one.
    inference
        Words for the table: what makes the interval.
    draw
        (generator, counties) → panel and truths.
    fit
        Panel → interval of every parameter of the truth that is looked at.
    falls_short
        Numbers of counties at which the inference is shown to cover less than 93 %; another row has the remedy.
    sizes
        Numbers of counties it is about; empty for any.
    """

    estimator: str
    variant: str
    inference: str
    draw: Callable[[Rng, int], Drawn]
    fit: Callable[[pd.DataFrame], Mapping[str, Interval]]
    falls_short: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Estimator and variant."""
        return f"{self.estimator} ({self.variant})" if self.variant else self.estimator


def read(estimate: Estimate, **terms: str) -> dict[str, Interval]:
    """Intervals of the parameters ``label=term``; a term ``overall`` is that of ``estimate.overall``."""
    out = {}
    for label, term in terms.items():
        e, row = (estimate.overall, 0) if term == "overall" else (estimate, estimate.terms.index(term))
        assert e is not None
        low, high = e.conf_int().to_numpy()[row]
        out[label.replace("_", " ")] = (float(e.point[row]), float(e.se.iloc[row]), float(low), float(high))
    return out


def _first(estimate: Estimate, label: str) -> dict[str, Interval]:
    return read(estimate, **{label: estimate.terms[0]})


KEYS: dict[str, Any] = {"unit": "county", "time": "year"}
COHORT: dict[str, Any] = {**KEYS, "cohort": "g"}
BY_EVENT = {"event_0": "0", "event_2": "2"}
CLUSTERED = "clustered by county, t(G − 1)"
NEYMAN = 'small_sample="neyman", t(Satterthwaite)'


def _aggregated(estimate: Estimate) -> dict[str, Interval]:
    """Average over treated rows and two event times."""
    return _first(estimate.aggregate("simple"), "rows") | read(estimate.aggregate("event"), **BY_EVENT)


def _instrumented(estimate: Estimate) -> dict[str, Interval]:
    """The Wald interval and the Anderson–Rubin set, from its first to its last value."""
    pieces = estimate.sample["anderson_rubin"]["set"]
    bounds = (float(estimate.point[0]), np.nan, float(pieces["conf_low"].iloc[0]), float(pieces["conf_high"].iloc[-1]))
    return _first(estimate, "overall") | {"overall, Anderson–Rubin": bounds}


def _after(estimate: Estimate) -> dict[str, Interval]:
    """Averages after treatment, one by exposure."""
    assert estimate.overall is not None
    return read(estimate.overall, **{t: t for t in estimate.overall.terms})


def _corrected(estimate: Estimate) -> dict[str, Interval]:
    """The same with CR2, each with its own degrees of freedom."""
    assert estimate.overall is not None
    parts = [read(bias_reduced(estimate.overall, terms=[t]), **{t: t}) for t in estimate.overall.terms]
    return {k: v for part in parts for k, v in part.items()}


def _weighted(frame: pd.DataFrame, weigh: Callable[..., Balance], **options: Any) -> dict[str, Interval]:
    weighted = weigh(frame, ["x"], **COHORT).attach(frame)
    return _first(twfe(weighted, "y", weights="balance_weight", **options, **COHORT), "overall")


def _placebo(estimate: Estimate) -> dict[str, Interval]:
    """The t interval and the inverted placebo test; the share of draws in which the latter misses is its size."""
    assert isinstance(estimate, SyntheticEstimate)
    fit = estimate.synthetic
    low, high = fit.conf_int_placebo().to_numpy()[0]
    inverted = (fit.estimate, np.nan, float(low), float(high))
    return _first(estimate, "overall") | {"overall, placebo test inverted": inverted}


def _switches(frame: pd.DataFrame, **options: Any) -> dict[str, Interval]:
    e = switching_did(frame, "y", treatment="d", window=(0, 1), **options, **KEYS)
    terms = {f"{g}_{t}": name for g, t, name in zip(e.labels["group"], e.labels["event_time"], e.terms)}
    return read(e, **terms)


STAGGERED = {k: partial(panels.staggered, effect=getattr(panels, k)) for k in ("constant", "dynamic", "by_cohort")}
STUDIES = (
    Study("twfe", "", CLUSTERED, STAGGERED["constant"], lambda f: _first(twfe(f, "y", **COHORT), "overall")),
    Study(
        "event_study", "", CLUSTERED, STAGGERED["dynamic"],
        lambda f: read(event_study(f, "y", **COHORT), **BY_EVENT, overall="overall"),
    ),
    Study(
        "poisson", "", CLUSTERED, partial(panels.counts, spread=1.0),
        lambda f: _first(poisson(f, "y", at_risk="people", **COHORT), "rows"), falls_short=(60,),
    ),
    Study(
        "poisson", "few counties have most people", "CR2, t(Bell–McCaffrey): g.bias_reduced",
        partial(panels.counts, spread=1.0),
        lambda f: _first(bias_reduced(poisson(f, "y", at_risk="people", **COHORT)), "rows"), sizes=(60,),
    ),
    Study(
        "att_gt", "", NEYMAN, panels.covariate_trends,
        lambda f: read(
            att_gt(f, "y", control="notyet", covariates=["x"], small_sample="neyman", **COHORT).aggregate("event"),
            **BY_EVENT, overall="overall",
        ),
    ),
    Study(
        "sun_abraham", "", CLUSTERED, STAGGERED["by_cohort"], lambda f: _aggregated(sun_abraham(f, "y", **COHORT)),
    ),
    Study(
        "imputation", "", 'clustered by county, small_sample="leave_out", t(G − 1)', STAGGERED["by_cohort"],
        lambda f: _aggregated(imputation(f, "y", small_sample="leave_out", **COHORT)),
    ),
    Study(
        "imputation", "default", "clustered by county, normal", STAGGERED["by_cohort"],
        lambda f: _aggregated(imputation(f, "y", **COHORT)),
    ),
    Study(
        "two_stage", "", "GMM by county, normal", STAGGERED["dynamic"],
        lambda f: read(two_stage(f, "y", shape="event", **COHORT), **BY_EVENT, overall="overall"),
    ),
    Study("etwfe", "", CLUSTERED, STAGGERED["by_cohort"], lambda f: _aggregated(etwfe(f, "y", **COHORT))),
    Study(
        "etwfe", "Poisson", CLUSTERED, partial(panels.counts, spread=0.25),
        lambda f: _aggregated(etwfe(f, "y", model="poisson", at_risk="people", **COHORT)),
    ),
    Study(
        "stacked", "", CLUSTERED, STAGGERED["constant"],
        lambda f: read(stacked(f, "y", window=(-3, 2), **COHORT), **BY_EVENT, overall="overall"),
    ),
    Study(
        "stacked", "corrective weights", CLUSTERED, STAGGERED["constant"],
        lambda f: read(
            stacked(f, "y", window=(-3, 2), corrective="aggregate", **COHORT), **BY_EVENT, overall="overall"
        ),
    ),
    Study(
        "lp_did", "", CLUSTERED, STAGGERED["dynamic"],
        lambda f: read(lp_did(f, "y", window=(-2, 2), **COHORT), **BY_EVENT)
    ),
    Study(
        "lp_did", "equal weights", CLUSTERED, STAGGERED["dynamic"],
        lambda f: read(lp_did(f, "y", window=(-2, 2), scheme="equal", **COHORT), **BY_EVENT),
    ),
    Study("switching_did", "", NEYMAN, panels.switching, partial(_switches, small_sample="neyman")),
    Study("switching_did", "default", CLUSTERED, panels.switching, _switches, sizes=(60,)),
    Study(
        "multiple_treatments", "", CLUSTERED, panels.two_treatments,
        lambda f: read(multiple_treatments(f, "y", ["a", "b"], **KEYS), a="a", b="b"),
    ),
    Study(
        "multiple_treatments", "one at a time", CLUSTERED, panels.two_treatments,
        lambda f: read(multiple_treatments(f, "y", ["a", "b"], method="one_at_a_time", **KEYS), a="a", b="b"),
    ),
    Study(
        "triple_difference", "", CLUSTERED, panels.groups,
        lambda f: _first(
            triple_difference(f, "y", eligible="eligible", place="place", treatment="d", **KEYS), "overall"
        ),
    ),
    Study(
        "intensity_did", "", NEYMAN, panels.doses,
        lambda f: read(
            intensity_did(f, "y", dose="dose", curve="polynomial", at=[2, 4], small_sample="neyman", **COHORT),
            **{"att(2)": "att(2)", "att(4)": "att(4)", "slope": "slope", "overall": "overall"},
        ),
    ),
    Study(
        "spillover_did", "", CLUSTERED, panels.neighbours,
        lambda f: read(spillover_did(f, "y", exposures=["own", "near"], **KEYS), own="own", near="near"),
    ),
    Study(
        "spillover_event_study", "", CLUSTERED, panels.neighbours,
        lambda f: _after(spillover_event_study(f, "y", exposures=["own", "near"], window=(-3, 2), **KEYS)),
        falls_short=(60,),
    ),
    Study(
        "spillover_event_study", "few treated", "CR2, t(Bell–McCaffrey): g.bias_reduced", panels.neighbours,
        lambda f: _corrected(spillover_event_study(f, "y", exposures=["own", "near"], window=(-3, 2), **KEYS)),
        sizes=(60,),
    ),
    Study(
        "iv_did", "", CLUSTERED, panels.endogenous,
        lambda f: _instrumented(iv_did(f, "y", treatment="d", instruments="z", covariates=["x"], **KEYS)),
    ),
    Study(
        "balance_weights", "entropy, then twfe", CLUSTERED + ", weights as given", panels.similar,
        lambda f: _weighted(f, balance_weights),
    ),
    Study(
        "balance_weights", "overlap, then twfe", CLUSTERED + ", weights as given", panels.similar,
        lambda f: _weighted(f, partial(balance_weights, method="overlap")),
    ),
    Study(
        "match", "nearest, then twfe with the covariate by year", CLUSTERED + ", weights as given", panels.similar,
        lambda f: _weighted(f, match, covariates_by_time=["x"]),
    ),
    Study(
        "synthetic_did", "a fifth treated by loading (2 % of 3,100)", "jackknife, t(Satterthwaite)",
        partial(panels.factor, cohorts=(30, 35), treated=12, selected=True, periods=40),
        lambda f: _first(synthetic_did(f, "y", **COHORT), "overall"),
    ),
    Study(
        "synthetic_did", "the same with 6 to 8 earlier years", "jackknife, t(Satterthwaite)",
        partial(panels.factor, cohorts=(6, 8), treated=12, selected=True, periods=12),
        lambda f: _first(synthetic_did(f, "y", **COHORT), "overall"), falls_short=(3100,),
    ),
    Study(
        "synthetic_did", "5 treated", "placebo (19 placements), t(18)",
        partial(panels.factor, cohorts=(18,), treated=5),
        lambda f: _placebo(synthetic_did(f, "y", inference="placebo", draws=19, **COHORT)),
    ),
    Study(
        "synthetic_did", "1 treated", "placebo (19 placements), t(18)",
        partial(panels.factor, cohorts=(18,), treated=1),
        lambda f: _placebo(synthetic_did(f, "y", draws=19, **COHORT)),
    ),
    Study(
        "synthetic_control", "1 treated", "placebo (19 placements), t(18)",
        partial(panels.factor, cohorts=(18,), treated=1),
        lambda f: _placebo(synthetic_control(f, "y", draws=19, **COHORT)),
    ),
)  # fmt: skip


def run(study: Study, counties: int, draws: int, seed: int = SEED, progress: bool | None = None) -> pd.DataFrame:
    """Coverage of one study: one row per parameter (see :func:`table` for the columns).

    ``progress``: None shows a bar on a terminal, True never.
    """
    rng = np.random.default_rng([seed, zlib.crc32(study.name.encode()), counties])
    seen: dict[str, list[tuple[float, ...]]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        warnings.simplefilter("ignore", InferenceWarning)
        for _ in tqdm(range(draws), desc=f"{study.name}, {counties} counties", disable=progress, leave=False):
            data, truth = study.draw(rng, counties)
            for label, interval in study.fit(data).items():
                seen.setdefault(label, []).append((*interval, float(truth[label.split(", ")[0]])))
    rows = []
    for label, values in seen.items():
        point, se, low, high, true = np.array(values).T
        error = point - true
        spread = error.std(ddof=1)
        share = float(((low <= true) & (true <= high)).mean())
        rows.append(
            {
                "estimator": study.estimator,
                "variant": study.variant,
                "counties": counties,
                "draws": len(values),
                "parameter": label,
                "coverage": 100 * share,
                "monte_carlo_se": 100 * np.sqrt(share * (1 - share) / len(values)),
                "bias_in_monte_carlo_se": error.mean() / (spread / np.sqrt(len(values))),
                "se_over_sd": se.mean() / spread,
                "inference": study.inference,
            }
        )
    return pd.DataFrame(rows)


def chosen(only: Sequence[str] | None = None) -> tuple[Study, ...]:
    """Return the studies of the estimators named (all without names); an unknown name is an error."""
    known = dict.fromkeys(s.estimator for s in STUDIES)
    unknown = [name for name in only or () if name not in known]
    if unknown:
        raise SystemExit(f"no study of {', '.join(unknown)}. Estimators: {', '.join(known)}")
    return tuple(s for s in STUDIES if not only or s.estimator in only)


HEAD = ("estimator", "counties", "parameter", "coverage %", "Monte-Carlo se", "bias", "se / sd", "inference")


def table(rows: pd.DataFrame) -> str:
    """Rows of coverage as a Markdown table, in percent, rounded for reading; outside 93 to 97 % in bold."""
    out = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    for r in rows.itertuples():
        share = f"{r.coverage:.1f}" if 93 <= r.coverage <= 97 else f"**{r.coverage:.1f}**"
        cells = (
            f"{r.estimator}, {r.variant}" if r.variant else r.estimator,
            f"{r.counties:,}",
            r.parameter,
            share,
            f"{r.monte_carlo_se:.1f}",
            f"{r.bias_in_monte_carlo_se:+.1f}",
            "" if np.isnan(r.se_over_sd) else f"{r.se_over_sd:.2f}",
            r.inference,
        )
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out)


def stored(path: Path) -> pd.DataFrame:
    """Read rows that a run wrote."""
    return pd.read_csv(path, keep_default_na=False, na_values={"se_over_sd": [""]})


def _write(rows: pd.DataFrame, path: Path) -> None:
    """Put ``rows`` in the file in the order of the registry, in place of older rows of the same study and size."""
    if path.exists():
        old = stored(path)
        key = ["estimator", "variant", "counties"]
        new = set(map(tuple, rows[key].to_numpy().tolist()))
        rows = pd.concat([old[[tuple(k) not in new for k in old[key].to_numpy().tolist()]], rows])
    order = {(s.estimator, s.variant): i for i, s in enumerate(STUDIES)}
    place = [
        (order.get((e, v), len(order)), c) for e, v, c in zip(rows["estimator"], rows["variant"], rows["counties"])
    ]
    rows = rows.iloc[sorted(range(len(rows)), key=lambda i: (*place[i], i))]
    write(path, rows.to_csv(index=False, float_format="%.4f", lineterminator="\n"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the coverage table."""
    parser = argparse.ArgumentParser(description="Coverage of 95 %% intervals (SIMULATED)")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--counties", type=int, nargs="+", default=[60, 3100])
    parser.add_argument("--only", nargs="+", metavar="ESTIMATOR")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, metavar="FILE", help="CSV, written as rows come")
    parser.add_argument(
        "--stored", type=Path, metavar="FILE", help="print the table of an earlier run, simulate nothing"
    )
    options = parser.parse_args(arguments)
    print("SIMULATED.", flush=True)
    if options.stored:
        print(table(stored(options.stored)))
        return
    print(table(pd.DataFrame()), flush=True)
    for study in chosen(options.only):
        for n in (n for n in options.counties if not study.sizes or n in study.sizes):
            rows = run(study, n, options.draws, options.seed)
            print(*table(rows).splitlines()[2:], sep="\n", flush=True)
            if options.out:
                _write(rows, options.out)


if __name__ == "__main__":
    main()
