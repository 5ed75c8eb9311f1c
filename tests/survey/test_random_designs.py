"""240 random designs against R ``survey`` 4.1.1: estimates, errors, degrees of freedom and intervals, by rule.

Data and values: tests/reference/survey/make_random_designs.R. Counts of agreement: pytest -s -k counts.
"""

import warnings

import numpy as np
import pandas as pd
import pytest

from g287stats import survey as sv

POINTS, ERRORS = 1e-9, 1e-6
COLUMNS = ["estimate", "se", "df", "low", "high"]


@pytest.fixture(scope="module", params=[36, pytest.param(240, marks=pytest.mark.slow)])
def compared(reference, request):
    """One row a number: ours and R's, with the kind of design and the rule for single units."""
    data = pd.read_csv(reference / "survey" / "random_designs.csv.gz").query(f"design <= {request.param}")
    expected = pd.read_csv(reference / "survey" / "random_designs_expected.csv.gz", dtype={"term": str})
    out = []
    for (design, kind, rule), d in data.groupby(["design", "kind", "rule"], sort=True):
        wanted = expected[expected.design == design]
        ours = pd.concat([frame.assign(quantity=q) for q, frame in estimates(d.reset_index(drop=True), kind, rule)])
        for quantity, theirs in wanted.groupby("quantity", sort=False):
            mine = ours[ours.quantity == quantity]
            for column in COLUMNS:
                part = pd.DataFrame({"ours": mine[column].to_numpy(float), "theirs": theirs[column].to_numpy(float)})
                part["apart"] = mine.apart.to_numpy(bool) & (column in ("se", "low", "high"))
                out.append(part.assign(design=design, kind=kind, rule=rule, quantity=quantity, what=column))
    table = pd.concat(out, ignore_index=True)
    return table[table.theirs.notna()]


def described(d, kind, rule):
    how = {"weights": "w", "strata": "stratum", "psu": "psu", "singleton": rule}
    if kind.startswith("two_stage"):
        how |= {"psu": ("psu", "ssu"), "fpc": ("N", "M")}
    elif kind not in ("replacement", "adjust", "average"):
        how["fpc"] = "fpc"
    return sv.sample(d, **how)


def estimates(d, kind, rule):
    s = described(d, kind, rule)
    inside = d.inside == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield "total", row(sv.total(s, "y"))
        yield "total_event", row(sv.total(s, "event"))
        yield "mean", row(sv.mean(s, "y"))
        yield "ratio", row(sv.ratio(s, "y", "x"))
        yield "domain_mean", row(sv.mean(s, "y", domain=inside))
        yield "domain_total", row(sv.total(s, "event", domain=inside))
        yield "by_mean", row(sv.mean(s, "y", by="g"))
        yield "quantile", row(sv.quantile(s, "y", (0.25, 0.5, 0.9)), d.y.min())
        if s.rule(inside.to_numpy()).df > 0:
            quantiles = sv.quantile(s, "y", (0.25, 0.5, 0.9), domain=inside)
            yield "domain_quantile", row(quantiles, d.y[inside].min())
        yield "linear", row(sv.glm(s, "y", ["x", "event"], family="linear"))
        yield "logit", row(sv.glm(s, "event", ["x"]))
        sizes = d.groupby("post").w.sum() * [1.2, 0.9, 1.05]
        post = sv.post_stratify(s, "post", sizes.round())
        yield "post_total", row(sv.total(post, "y"))
        yield "post_mean_domain", row(sv.mean(post, "y", domain=inside))
        aim = {"Intercept": round(d.w.sum() * 1.03), "x": round((d.w * d.x).sum() * 1.06, 1)}
        for method in ("linear", "raking"):
            yield f"calibrated_{method}", row(sv.mean(sv.calibrate(s, ["x"], aim, method=method), "y"))


def row(e, least=None):
    """Numbers of an estimate. ``apart``: ends of a quantile's interval at which R differs on purpose.

    Below the first step of the distribution function R returns the second smallest value, not the smallest; and where
    the interval has no length, rounding decides whether R returns the quantile or the next value.
    """
    out = pd.DataFrame({"estimate": e.point, "se": e.se.to_numpy(), "df": e.df, "apart": False})
    interval = e.labels if "q" in e.labels else e.conf_int() if e.df > 0 else None
    names = ("woodruff_low", "woodruff_high") if "q" in e.labels else ("conf_low", "conf_high")
    for side, name in zip(("low", "high"), names):
        out[side] = np.nan if interval is None else interval[name].to_numpy()
    if least is not None:
        out["apart"] = (out.low == least) | (out.se == 0)
    return out


def agrees(table):
    tolerance = table.what.map({"estimate": POINTS, "df": 0.0}).fillna(ERRORS)
    scale = np.maximum(table.theirs.abs(), np.where(table.what == "se", 1e-9, 1e-6))
    return (table.ours - table.theirs).abs() <= tolerance * scale + 1e-12


def test_every_number_agrees(compared):
    """Print how many numbers were compared and agree, by kind of design and of number."""
    rest = compared[~compared.apart]
    wrong = rest[~agrees(rest)]
    table = rest.assign(agree=agrees(rest)).groupby(["kind", "what"]).agree.agg(["size", "sum"])
    print(table.unstack("what").to_string())
    print(
        f"{compared.design.nunique()} designs, {len(rest):,} numbers; {int(compared.apart.sum())} interval ends apart"
    )
    assert wrong.empty, wrong.head(20).to_string()
    assert compared.apart.mean() < 0.03


def test_zero_is_zero_and_noted(compared, reference):
    """Strata taken whole leave no sampling error: 0, as in R, with a note."""
    whole = compared[(compared.kind == "certain") & (compared.what == "se") & (compared.quantity == "total")]
    assert (whole.theirs == 0).all()
    assert (whole.ours == 0).all()
    data = pd.read_csv(reference / "survey" / "random_designs.csv.gz")
    d = data[data.kind == "certain"].query("design == design.min()").reset_index(drop=True)
    e = sv.total(described(d, "certain", "fail"), "y")
    assert e.notes[-1].startswith("standard error 0 for all: its strata are taken whole")
