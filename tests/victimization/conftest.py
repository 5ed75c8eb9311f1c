"""A small authored survey in the schema of the files, and a small simulation."""

import pandas as pd
import pytest

from g287stats.simulation.ncvs import PlantedEffects, simulate_ncvs


@pytest.fixture
def tables():
    """Two strata × two half-samples, one person a half-sample and quarter; worked by hand in the tests."""
    ids = [f"{n:025d}" for n in (1, 2, 3, 4)]
    person = pd.DataFrame(
        {
            "V3001": 3,
            "YEARQ": [2008.1, 2008.1, 2008.1, 2008.1, 2008.3, 2008.3, 2008.3, 2008.3],
            "IDHH": ids * 2,
            "IDPER": [i + "01" for i in ids] * 2,
            "V3014": [20, 30, 40, 99, 20, 30, 40, 50],
            "V3018": [1, 2, 1, 2, 1, 2, 1, 2],
            "V3023A": [1, 2, 1, 98, 1, 2, 1, 4],
            "V3024": [1, 2, 2, 2, 1, 2, 2, 2],
            "V3024A": -1,
            "WGTPERCY": [100.0, 100, 200, 0, 100, 100, 200, 200],
        }
    )
    household = pd.DataFrame(
        {
            "V2001": 2,
            "YEARQ": person.YEARQ,
            "IDHH": person.IDHH,
            "V2117": [1, 1, 2, 2] * 2,
            "V2118": [1, 2, 1, 2] * 2,
            "V2124": [1] * 4 + [2] * 4,
            "V2130": [1, 2, 3, 1, 7, 8, 9, 7],
        }
    )
    incident = pd.DataFrame(
        {
            "V4001": 4,
            "YEARQ": [2008.1, 2008.3, 2008.3, 2008.1],
            "IDHH": [ids[0], ids[1], ids[2], ids[2]],
            "IDPER": [ids[0] + "01", ids[1] + "01", ids[2] + "01", ids[2] + "01"],
            "V4012": 1,
            "V4016": [1, 997, 8, 1],
            "V4017": [1, 2, 2, 1],
            "V4018": [-1, 1, 1, -1],
            "V4019": [-1, 2, 2, -1],
            "V4022": [3, 3, 3, 1],
            "V4399": [1, 2, 1, 1],
            "V4529": [20, 11, 5, 20],
            "WGTVICCY": [130.0, 200, 400, 400],
        }
    )
    return person, incident, household


@pytest.fixture(scope="session")
def simulated():
    return simulate_ncvs(
        seed=287,
        size=0.05,
        rate=4.0,
        dates="assumed",
        n_counties=150,
        effects=PlantedEffects({("TFM", "latino"): 2.11, ("SC", "latino"): 1.16}, {("TFM", "latino"): 0.7}),
    )


@pytest.fixture
def extract(simulated, tmp_path):
    """The small simulation on disk, with names of its own, as a data center would hand it out."""
    folder = tmp_path / "extract"
    folder.mkdir()
    person = simulated.person.frame.drop(columns="year").rename(columns={"county_fips": "GEO", "WGTPERCY": "PWGT"})
    person.to_csv(folder / "p.tsv", sep="\t", index=False)
    household = simulated.household.frame.drop(columns="year").rename(columns={"county_fips": "GEO"})
    household.to_csv(folder / "h.tsv", sep="\t", index=False)
    simulated.incident.frame.drop(columns="year").to_csv(folder / "i.tsv", sep="\t", index=False)
    (folder / "extract.toml").write_text(
        '[files]\nperson = "p.tsv"\nincident = "i.tsv"\nhousehold = "h.tsv"\n'
        '[geography]\ncounty_fips = "GEO"\n[rename]\nPWGT = "WGTPERCY"\n'
    )
    return folder
