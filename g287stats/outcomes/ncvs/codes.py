"""Codes of the National Crime Victimization Survey: types of crime, labels, missing codes, first years.

From the ICPSR codebooks of the concatenated and annual files. A code that means "not answered" is missing; a code
that a rule needs (do not know, residue of the series items) stays. ``-1`` and ``-2`` mean that the question was
not yet, or no longer, asked.
"""

from __future__ import annotations

TYPES: dict[str, tuple[int, ...]] = {  # V4529
    "violent": tuple(range(1, 21)),
    "serious_violent": (*range(1, 14), 15, 16, 18, 19),
    "rape_sexual_assault": (1, 2, 3, 4, 15, 16, 18, 19),
    "robbery": tuple(range(5, 11)),
    "aggravated_assault": (11, 12, 13),
    "simple_assault": (14, 17, 20),
    "personal_theft": (21, 22, 23),
    "burglary": (31, 32, 33),
    "motor_vehicle_theft": (40, 41),
    "theft": tuple(range(54, 60)),
    "property": (31, 32, 33, 40, 41, *range(54, 60)),
}

ALL_TYPES = frozenset(TYPES["violent"]) | frozenset(TYPES["personal_theft"]) | frozenset(TYPES["property"])


def crimes_of(level: str) -> frozenset[int]:
    """V4529 codes of crimes against persons, or against households."""
    household = frozenset(TYPES["property"])
    return household if level == "household" else ALL_TYPES - household


LABELS: dict[str, dict[int, str]] = {
    "V3018": {1: "male", 2: "female"},
    "V3015": {1: "married", 2: "widowed", 3: "divorced", 4: "separated", 5: "never married"},
    "V3023A": {1: "White", 2: "Black", 3: "American Indian, Alaska Native", 4: "Asian", 5: "Native Hawaiian, Pacific"},
    "V3024": {1: "Hispanic", 2: "not Hispanic"},
    "V3024A": {1: "Hispanic", 2: "not Hispanic"},
    "V2127B": {1: "Northeast", 2: "Midwest", 3: "South", 4: "West"},
    "V2129": {1: "principal city", 2: "metropolitan, outside principal city", 3: "not metropolitan"},
    "V4017": {1: "1-5 incidents", 2: "6 or more", 8: "residue"},
    "V4018": {1: "similar", 2: "different", 8: "residue"},
    "V4019": {1: "enough detail", 2: "not enough detail", 8: "residue"},
    "V4022": {1: "outside US", 2: "not in a place", 3: "same place as now", 4: "other place", 5: "unknown"},
    "V4399": {1: "reported", 2: "not reported", 3: "do not know", 8: "residue"},
    "V4529": {
        **dict.fromkeys(TYPES["rape_sexual_assault"], "rape or sexual assault"),
        **dict.fromkeys(TYPES["robbery"], "robbery"),
        **dict.fromkeys(TYPES["aggravated_assault"], "aggravated assault"),
        **dict.fromkeys(TYPES["simple_assault"], "simple assault"),
        **dict.fromkeys(TYPES["personal_theft"], "personal theft"),
        **dict.fromkeys(TYPES["burglary"], "burglary or trespass"),
        **dict.fromkeys(TYPES["motor_vehicle_theft"], "motor-vehicle theft"),
        **dict.fromkeys(TYPES["theft"], "theft"),
    },
    "ager": {1: "12-17", 2: "18-24", 3: "25-34", 4: "35-49", 5: "50-64", 6: "65 or older"},
    "hispanic": {1: "Hispanic", 2: "not Hispanic"},
    "race_ethnicity": {
        1: "non-Hispanic White", 2: "non-Hispanic Black", 3: "non-Hispanic American Indian, Alaska Native",
        4: "non-Hispanic Asian, Pacific", 5: "non-Hispanic, several races", 6: "Hispanic",
    },
    "citizen": {1: "born US citizen", 2: "naturalized", 3: "not a citizen"},
    "newcrime": {1: "violent", 2: "personal theft"},
    "newoff": {1: "rape or sexual assault", 2: "robbery", 3: "aggravated assault", 4: "simple assault", 5: "theft"},
    "notify": {1: "reported", 2: "not reported", 3: "do not know"},
    "series": {1: "not a series", 2: "series"},
}  # fmt: skip

MISSING: dict[str, frozenset[int]] = {  # besides -1 and -2; codes that rules need (8, 997, 998) stay
    "V2117": frozenset({999}),
    "V2118": frozenset({9}),
    "V3014": frozenset({98, 99}),
    "V3015": frozenset({8, 9}),
    "V3018": frozenset({8, 9}),
    "V3023": frozenset({8, 9}),
    "V3023A": frozenset({98, 99}),
    "V3024": frozenset({8, 9}),
    "V3024A": frozenset({8, 9}),
    "V2126B": frozenset({98, 99}),
    "V2127B": frozenset({8, 9}),
    "V2129": frozenset({8, 9}),
    "V4016": frozenset({999}),
    "V4017": frozenset({9}),
    "V4018": frozenset({9}),
    "V4019": frozenset({9}),
    "V4022": frozenset({8, 9}),
    "V4399": frozenset({9}),
    "V4529": frozenset({98, 99}),
    **dict.fromkeys(("hispanic", "race_ethnicity", "notify", "citizen", "region"), frozenset({98, 99})),
}

FIRST_ASKED: dict[str, float] = {  # first quarter, YYYY.Q
    "V2117": 1994.1,
    "V2118": 1994.1,
    "V2127B": 1995.3,
    "V3023A": 2003.1,
    "V3024A": 2014.1,
    "PER_TIS": 2015.1,
    "PERBOUNDED": 2015.1,
    "HHREPWGT": 2011.1,
    "PERREPWGT": 2011.1,
    "VICREPWGT": 2011.1,
    "INCREPWGT": 2011.1,
    "SERIESVICREPWGT": 2017.1,
    "SERIESINCREPWGT": 2017.1,
    "citizen": 2017.1,
    "citizenship": 2017.1,
    "nativity": 2017.1,
    "V3083": 2017.1,
}

LAST_ASKED: dict[str, float] = {"V3023": 2002.4}

CITIZENSHIP = frozenset({"citizen", "citizenship", "nativity", "V3083"})

IDENTIFIERS = ("IDHH", "IDPER")

LEVEL_MARKS: tuple[tuple[str, frozenset[str]], ...] = (  # the first whose columns are all there
    ("incident", frozenset({"V4001"})),
    ("person", frozenset({"V3001"})),
    ("household", frozenset({"V2001"})),
    ("msa_incident", frozenset({"MSAIND", "TOC_RECODE"})),
    ("msa_person", frozenset({"MSAIND", "WGTPER"})),
    ("select_personal", frozenset({"idper", "newoff"})),
    ("select_personal_population", frozenset({"idper", "wgtpercy"})),
    ("select_household", frozenset({"idhh", "newoff"})),
    ("select_household_population", frozenset({"idhh", "wgthhcy"})),
)

KEEP: dict[str, tuple[str, ...]] = {
    "household": (
        "V2001",
        "YEARQ",
        "IDHH",
        "V2008",
        "V2015",
        "V2026",
        "SC214A",
        "V2124",
        "V2126B",
        "V2127B",
        "V2129",
        "V2130",
        "V2143",
        "V2116",
        "WGTHHCY",
        "V2117",
        "V2118",
    ),
    "person": (
        "V3001",
        "YEARQ",
        "IDHH",
        "IDPER",
        "V3014",
        "V3015",
        "V3018",
        "V3023",
        "V3023A",
        "V3024",
        "V3024A",
        "V3080",
        "WGTPERCY",
        "V3081",
        "PER_TIS",
        "PERINTVNUM",
        "PERBOUNDED",
        "V2117",
        "V2118",
    ),
    "incident": (
        "V4001",
        "YEARQ",
        "IDHH",
        "IDPER",
        "V4012",
        "V4016",
        "V4017",
        "V4018",
        "V4019",
        "V4022",
        "V4399",
        "V4526",
        "V4527",
        "V4529",
        "WGTVICCY",
        "SERIES_WEIGHT",
        "SERIES_IWEIGHT",
        "V2117",
        "V2118",
    ),
}
"""Variables read by default at each level (those the file has); ``columns`` adds others."""
