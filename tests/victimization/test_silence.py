"""Nothing is accepted in silence: every choice is checked against its list, every number against what it must be."""

import inspect
import typing

import numpy as np
import pandas as pd
import pytest

from g287stats import survey as sv
from g287stats.errors import DesignError, SourceError
from g287stats.outcomes.ncvs.files import ncvs_from_frame
from g287stats.simulation import ncvs as simulation
from g287stats.survey import design, quantiles
from g287stats.victimization import did, interviews, published, rates


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "h": [1, 1, 1, 1, 2, 2, 2, 2],
            "u": [1, 1, 2, 2, 1, 1, 2, 2],
            "w": [1.0, 2, 3, 4, 1, 1, 2, 1],
            "y": [1.0, 0, 1, 0, 0, 1, 1, 1],
            "x": [0.3, 1, 2, 0.1, 4, 1, 2, 2],
            "text": list("abcdabcd"),
            "county": list("aabbccdd"), "county_fips": list("aabbccdd"),
            "year": 2008,
            "IDPER": list("abcdefgh"),
            "adjusted": 1.0, "known": 1.0, "reported": 1.0, "victim": [0.0, 1] * 4,
            "group": "latino", "YEARQ": 2008.1, "half": 20081, "age_band": [1, 2] * 4, "female": 1.0, "incoming": 0.0,
        }
    )  # fmt: skip


def sample(frame, **how):
    return sv.sample(frame, weights="w", strata="h", psu="u", cluster="county", **how)


DAYS = pd.DataFrame({"county_fips": ["a"], "start": pd.Timestamp("2007-01-01"), "end": pd.Timestamp("2010-01-01")})
CALLS = {  # every function with a Literal argument, called so that only that argument can be wrong
    sv.sample: lambda f, **k: sample(f, **k),
    sv.replicate_weights: lambda f, **k: sv.replicate_weights(np.ones((8, 4)), **({"kind": "jk1"} | k)),
    sv.ratio: lambda f, **k: sv.ratio(sample(f), "y", "x", **k),
    sv.glm: lambda f, **k: sv.glm(sample(f), "y", ["x"], **k),
    sv.average_effect: lambda f, **k: sv.average_effect(sv.glm(sample(f), "y", ["x"], family="linear"), "x", **k),
    sv.calibrate: lambda f, **k: sv.calibrate(sample(f), ["x"], {"Intercept": 20.0, "x": 25.0}, **k),
    rates.victimization_rate: lambda f, **k: rates.victimization_rate(sample(f), **k),
    rates.prevalence: lambda f, **k: rates.prevalence(sample(f), **k),
    rates.share_reported: lambda f, **k: rates.share_reported(sample(f), **k),
    did.victimization_did: lambda f, **k: did.victimization_did(
        did.TreatedSample(sample(f), ("x",), {"x": DAYS}, "county", None), **k
    ),
    did.victimization_event_study: lambda f, **k: did.victimization_event_study(
        did.TreatedSample(sample(f), ("x",), {"x": DAYS}, "county", None), "x", **k
    ),
    interviews.ncvs_sample: lambda f, **k: interviews.ncvs_sample(_interviews(f), strata="h", psu="u", **k),
    simulation.simulate_ncvs: lambda f, **k: simulation.simulate_ncvs(seed=1, size=0.01, n_counties=60, **k),
    simulation.PlantedEffects: lambda f, **k: simulation.PlantedEffects(**k),
}


def _interviews(frame):
    return interviews.Interviews(frame.assign(weight=frame.w), "violent", pd.DataFrame())


def literals(function):
    hints = typing.get_type_hints(function.__init__ if inspect.isclass(function) else function)
    return [name for name, hint in hints.items() if typing.get_origin(hint) is typing.Literal]


@pytest.mark.parametrize(
    "function, name", [(f, n) for f in CALLS for n in literals(f)], ids=lambda v: getattr(v, "__name__", v)
)
def test_a_misspelt_choice_is_refused(frame, function, name):
    with pytest.raises(DesignError, match=rf"{name}='centered': choose"):
        CALLS[function](frame, **{name: "centered"})


def test_every_function_with_a_choice_is_tested():
    public = [getattr(sv, n) for n in sv.__all__]
    for module in (did, interviews, published, rates, simulation, quantiles, design):
        public += [v for v in vars(module).values() if getattr(v, "__module__", "") == module.__name__]
    made_inside = {sv.SurveyDesign, sv.SurveySample, sv.ReplicateWeights, sv.Replicates}
    untested = (
        {
            f
            for f in public
            if callable(f) and not getattr(f, "__name__", "_").startswith("_") and f not in made_inside and literals(f)
        }
        - set(CALLS)
        - {interviews.incident_sample}
    )
    assert not untested


@pytest.mark.parametrize("kind", ["jkn", "BRR", "bootstrap"])
def test_replicates_of_an_unknown_kind(kind):
    with pytest.raises(DesignError, match="kind="):
        sv.replicate_weights(np.ones((8, 4)), kind)


@pytest.mark.parametrize(
    "how, message",
    [
        ({"kind": "fay", "rho": 1.0}, r"rho=1.0.*\[0, 1\)"),
        ({"kind": "jk1", "rho": 0.5}, "belongs to kind"),
        ({"kind": "jk1", "rscales": np.ones(3)}, "one value ≥ 0 for each of 4"),
        ({"kind": "other", "scale": -1.0}, "not positive"),
        ({"kind": "other"}, "need scale"),
    ],
)
def test_constants_of_replicates(how, message):
    with pytest.raises(DesignError, match=message):
        sv.replicate_weights(np.ones((8, 4)), **how)


def test_weights_and_lengths(frame):
    w = np.ones((8, 4))
    w[2, 1] = np.nan
    with pytest.raises(DesignError, match=r"missing, infinite or negative weights in rows \(1\): 2"):
        sv.replicate_weights(w, "jk1")
    with pytest.raises(DesignError, match="7 rows for 8 of the file"):
        sample(frame, replicates=sv.replicate_weights(np.ones((7, 4)), "jk1"))
    with pytest.raises(DesignError, match="'w' is missing in rows"):
        sample(frame.assign(w=[np.nan, *frame.w[1:]]))
    with pytest.raises(DesignError, match="not negative"):
        sample(frame.assign(w=-frame.w))
    with pytest.raises(DesignError, match="'w' is not numeric"):
        sample(frame.assign(w="one"))


@pytest.mark.parametrize("call", [sv.mean, sv.total, quantiles.quantile])
def test_text_outcomes(frame, call):
    with pytest.raises(DesignError, match=r"'text' is not numeric \(4\): a, b, c, d"):
        call(sample(frame), "text")


@pytest.mark.parametrize(
    "values, message",
    [
        ([10, 12, 10, 10, 20, 20, 20, 20], "varies within strata"),
        ([1.5] * 8, "smaller than the number of units drawn"),
        ([-1] * 8, "negative"),
        ([0.5] * 4 + [10] * 4, "mixes counts and fractions"),
        ([np.nan] * 8, "missing"),
    ],
)
def test_corrections(frame, values, message):
    with pytest.raises(DesignError, match=message):
        sample(frame.assign(N=values), fpc="N")


def test_gvf_years():
    assert published.gvf_parameters([2007, 2008]).b > 0
    with pytest.raises(DesignError, match=r"\[2007\] are given twice"):
        published.gvf_parameters([2007, 2007])
    with pytest.raises(DesignError, match="both sides of the redrawn sample of 2006"):
        published.gvf_parameters([2005, 2006])
    with pytest.raises(DesignError, match="which="):
        published.gvf_parameters(2007, "property")


def test_the_new_questionnaire(frame):
    frame["year"] = [2022, 2022, 2023, 2023, 2024, 2024, 2025, 2025]
    s = sample(frame)
    with pytest.raises(DesignError, match="cross the new questionnaire"):
        rates.victimization_rate(s)
    e = rates.victimization_rate(s, across_instruments=True)
    assert any("stand together" in n for n in e.notes)
    assert any("split sample" in n for n in rates.victimization_rate(s, domain="year == 2024").notes)
    assert any("new questionnaire" in n for n in rates.victimization_rate(s, domain="year == 2025").notes)
    assert not any("questionnaire" in n for n in rates.victimization_rate(s, domain="year < 2024").notes)
    frame["year"] = [2005, 2005, 2006, 2006] * 2
    with pytest.raises(DesignError, match="2006 is in the years"):
        rates.victimization_rate(sample(frame))
    flagged = rates.victimization_rate(sample(frame), include_2006=True)
    assert any("2006 is among the years" in n for n in flagged.notes)


def test_person_rates_of_households_and_the_other_way(tables):
    person, incident, household = (ncvs_from_frame(t) for t in tables)
    for types in ("property", "burglary", (31, 5)):
        with pytest.raises(DesignError, match="crimes against households; count them with household_interviews"):
            interviews.person_interviews(person, incident, household, types=types)
    with pytest.raises(DesignError, match="not V4529 codes"):
        interviews.person_interviews(person, incident, household, types=(99,))
    homes = ncvs_from_frame(tables[2].assign(WGTHHCY=100.0))
    none = ncvs_from_frame(tables[1].assign(V4529=31))
    with pytest.raises(DesignError, match="crimes against persons"):
        interviews.household_interviews(homes, incident, types="violent")
    s = interviews.ncvs_sample(interviews.household_interviews(homes, none))
    assert rates.victimization_rate(s).outcome == "property victimizations per 1,000 households"
    assert "percent of households" in rates.prevalence(s, "annual").outcome


@pytest.mark.parametrize(
    "column, value, message",
    [
        ("V4529", 77, "no types of crime"),
        ("V4017", 9, "V4017 is missing in records"),
        ("V4016", -3, "V4016 is below one"),
        ("V4016", 999, "V4016 is missing in series"),
        ("WGTVICCY", -1.0, "WGTVICCY is missing or negative"),
        ("WGTVICCY", np.nan, "WGTVICCY is missing or negative"),
        ("YEARQ", 2008.7, "no year and quarter"),
    ],
)
def test_incident_answers_that_decide(tables, column, value, message):
    person, incident, household = tables
    incident[column] = incident[column].astype(float)
    incident.loc[1, column] = value
    with pytest.raises(SourceError, match=message):
        interviews.person_interviews(*(ncvs_from_frame(t) for t in (person, incident, household)))


def test_person_weights(tables):
    person, incident, household = tables
    person.loc[0, "WGTPERCY"] = np.nan
    with pytest.raises(SourceError, match="WGTPERCY is missing or negative in rows"):
        interviews.person_interviews(*(ncvs_from_frame(t) for t in (person, incident, household)))


def test_residue_of_reporting_stays_in_the_denominator(tables):
    person, incident, household = tables
    incident.loc[1, "V4399"] = 8
    s = interviews.ncvs_sample(
        interviews.person_interviews(*(ncvs_from_frame(t) for t in (person, incident, household)))
    )
    assert rates.share_reported(s).point[0] == pytest.approx(100 * 3330 / 4530)
    assert rates.share_reported(s, unknown="left_out").point[0] == pytest.approx(100)
    i = ncvs_from_frame(incident)
    whole = interviews.incident_sample(
        interviews.person_interviews(ncvs_from_frame(person), i, ncvs_from_frame(household)), i
    )
    shared = sv.ratio(whole, "reported", "victimizations", domain=whole.frame.reported.notna())
    assert shared.point[0] == pytest.approx(3330 / 4530)


def test_files_of_another_era_and_other_letters(tables):
    person, _, household = tables
    with pytest.raises(SourceError, match=r"V2001 is absent.*household.*table='household'"):
        ncvs_from_frame(household.assign(WGTHHCY=1.0).drop(columns="V2001"))
    assert ncvs_from_frame(household.assign(WGTHHCY=1.0).drop(columns="V2001"), table="household").table == "household"
    lower = person.rename(columns=str.lower)
    with pytest.raises(SourceError, match=r"columns are those of a person table under other letters.*rename=str.upper"):
        ncvs_from_frame(lower)
    assert ncvs_from_frame(lower, rename=str.upper).table == "person"
