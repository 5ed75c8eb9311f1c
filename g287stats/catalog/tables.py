"""What tables exist: which are inside, which the user supplies, which can be fetched, and under what terms.

The parser of a table is named, not imported: the catalog stays below the rooms that read files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

BUNDLED = "bundled"
USER = "user-supplied"
DOWNLOADABLE = "downloadable"

ICPSR_TERMS = (
    "ICPSR: free login and acceptance of terms; no redistribution without written agreement; statistical use only"
)
NACJD_STUDIES = {  # county-level detailed arrest and offense data: year -> ICPSR study
    1994: 6669, 1995: 6850, 1996: 2389, 1997: 2764, 1998: 2910, 1999: 3167, 2000: 3451, 2001: 3721, 2002: 4009,
    2003: 4360, 2004: 4466, 2005: 4717, 2006: 23780, 2007: 25114, 2008: 27644, 2009: 30763, 2010: 33523,
    2011: 34582, 2012: 35019, 2013: 36117, 2014: 36399, 2016: 37059,
}  # fmt: skip


@dataclass(frozen=True)
class Download:
    """One file of a downloadable table, at most ``max_bytes`` long.

    ``sha256`` is missing until somebody has fetched and checked it.
    """

    name: str
    sha256: str | None = None
    max_bytes: int = 64 << 20


@dataclass(frozen=True)
class Table:
    """One table a user may have.

    ``files`` says which files are meant, ``steps`` how to get them, ``members`` (a regular expression on the
    path inside an archive or folder) which of them are read, ``parser`` the function that reads them
    (``module:function``, members to parts), ``outcome`` the name :func:`g287stats.county_panel` knows it by.
    ``verified`` says what of address and layout has been checked, and how.
    """

    name: str
    title: str
    tier: str
    producer: str
    years: str
    vintage: str
    terms: str
    citation: str
    address: str
    files: str
    steps: tuple[str, ...]
    members: str
    parser: str
    verified: str
    outcome: str = ""
    downloads: tuple[Download, ...] = field(default_factory=tuple)

    def wanted(self, name: str) -> bool:
        """Whether the file called ``name`` (path inside an archive or folder) belongs to this table."""
        return re.search(self.members, name, flags=re.IGNORECASE) is not None


def _studies() -> str:
    return ", ".join(f"{study:05d} ({year})" for year, study in NACJD_STUDIES.items())


_NACJD_STEPS = (
    "open https://doi.org/10.3886/ICPSR<study>, the study number of the year written with five digits",
    "log in with a free ICPSR account, accept the terms, press Download and choose Delimited or ASCII",
)

TABLES: tuple[Table, ...] = (
    Table(
        name="icpsr-county-crimes",
        title="County crimes reported (NACJD county-level detailed arrest and offense data, Part 4)",
        tier=USER,
        producer="National Archive of Criminal Justice Data (ICPSR), from FBI Return A",
        years="2000–2012 (1994–1999, 2013, 2014, 2016 where the file keeps the layout; no 2015 study is known)",
        vintage="one ICPSR study a year",
        terms=ICPSR_TERMS,
        citation=(
            "United States Department of Justice, Federal Bureau of Investigation. Uniform Crime Reporting Program "
            "Data [United States]: County-Level Detailed Arrest and Offense Data, <year>. Inter-university "
            "Consortium for Political and Social Research [distributor]. https://doi.org/10.3886/ICPSR<study>"
        ),
        address="https://www.icpsr.umich.edu/web/NACJD (studies " + _studies() + ")",
        files="data set DS0004 of each study: <study>-0004-Data.txt, .tsv, .dta, .sav or .rda, or the whole zip",
        steps=(
            *_NACJD_STEPS,
            "type: g287stats data add icpsr-county-crimes ~/Downloads/ICPSR_*.zip",
        ),
        members=r"(^|/)([a-z]*0*\d{4,5})[-_]0004[-_]data\.(txt|tsv|csv|dta|sav|por|rda)$",
        parser="g287stats.outcomes.nacjd.files:parse_crimes",
        verified="layout measured on the files of 2000–2012; study numbers of other years not checked on a document. "
        "Not checked either: the victims of 11 September 2001 that september_11='subtract' takes off (2,823 in New "
        "York, 40 in Somerset PA)",
        outcome="icpsr_county",
    ),
    Table(
        name="icpsr-county-arrests",
        title="County arrests, all ages (NACJD county-level detailed arrest and offense data, Part 1)",
        tier=USER,
        producer="National Archive of Criminal Justice Data (ICPSR), from FBI arrest reports",
        years="2000–2008 (1999, 2009–2016 where the file keeps the layout)",
        vintage="one ICPSR study a year",
        terms=ICPSR_TERMS,
        citation=(
            "United States Department of Justice, Federal Bureau of Investigation. Uniform Crime Reporting Program "
            "Data [United States]: County-Level Detailed Arrest and Offense Data, <year>. Inter-university "
            "Consortium for Political and Social Research [distributor]. https://doi.org/10.3886/ICPSR<study>"
        ),
        address="https://www.icpsr.umich.edu/web/NACJD (studies " + _studies() + ")",
        files="data set DS0001 of each study: <study>-0001-Data.txt, .tsv, .dta, .sav or .rda, or the whole zip",
        steps=(
            *_NACJD_STEPS,
            "type: g287stats data add icpsr-county-arrests ~/Downloads/ICPSR_*.zip",
        ),
        members=r"(^|/)([a-z]*0*\d{4,5})([-_]0001[-_]data)?\.(txt|tsv|csv|dta|sav|por|rda)$",
        parser="g287stats.outcomes.nacjd.files:parse_arrests",
        verified="layout measured on the files of 2000–2008",
        outcome="icpsr_arrests",
    ),
    Table(
        name="kaplan-offenses",
        title="Offenses Known and Clearances by Arrest (Return A), agency-months or agency-years",
        tier=USER,
        producer="Jacob Kaplan, from FBI Return A master files (openICPSR 100707)",
        years="1960 to the year in the file name",
        vintage="as numbered by openICPSR (V16 covers 1960–2019)",
        terms="openICPSR: free login; licence printed on the project page",
        citation=(
            "Kaplan, Jacob. Uniform Crime Reporting Program Data: Offenses Known and Clearances by Arrest (Return "
            "A). Inter-university Consortium for Political and Social Research [distributor]. "
            "https://doi.org/10.3886/E100707V16 (cite the version you downloaded)"
        ),
        address="https://www.openicpsr.org/openicpsr/project/100707",
        files="offenses_known_monthly_<year>.* or offenses_known_yearly_<first>_<last>.* (csv, dta, rds, rda, parquet)",
        steps=(
            "open the project page, log in, download the monthly files (one archive a format)",
            "type: g287stats data add kaplan-offenses ~/Downloads/<archive>.zip",
        ),
        members=r"offenses_known_(monthly|yearly)_[0-9_]+\.(csv|dta|rda|rdata|rds|parquet)$",
        parser="g287stats.outcomes.agency.kaplan:parse",
        verified="columns from the producer's documentation and public code; not checked on a file",
        outcome="kaplan_agencies",
    ),
    Table(
        name="fbi-return-a",
        title="FBI Return A master files (reta-YYYY.zip), agency-months with clearances",
        tier=USER,
        producer="FBI, Crime Data Explorer, Documents & Downloads",
        years="1985 on; 2021 is the break from summary to incident reporting",
        vintage="as downloaded",
        terms="US government work",
        citation="Federal Bureau of Investigation. Uniform Crime Reporting Program: Return A master file, <year>.",
        address="https://cde.ucr.cjis.gov/LATEST/webapp/ (Documents & Downloads, Master File Downloads)",
        files="reta-<year>.zip holding one text file with records of 7,385 characters",
        steps=(
            "open the address, choose Return A and the year, download",
            "type: g287stats data add fbi-return-a ~/Downloads/reta-*.zip",
        ),
        members=r"reta[^/]*(19|20)\d\d[^/]*\.(txt|dat)$|(19|20)\d\d[^/]*reta[^/]*\.(txt|dat)$",
        parser="g287stats.outcomes.agency.cde:parse_return_a",
        verified="field widths as public code gives them; not checked on a file",
        outcome="fbi_return_a",
    ),
    Table(
        name="fbi-cde-summarized",
        title="FBI Crime Data Explorer API, summarized agency offences and clearances by month (JSON)",
        tier=USER,
        producer="FBI, Crime Data Explorer",
        years="1985 on; 2021 is the break from summary to incident reporting",
        vintage="last refresh date printed in each answer",
        terms="US government work; the API needs a free api.data.gov key",
        citation="Federal Bureau of Investigation. Crime Data Explorer API, summarized agency data, <date>.",
        address="https://api.usa.gov/crime/fbi/cde/summarized/agency/<ORI>/<offense>?from=MM-YYYY&to=MM-YYYY",
        files="one answer a file, named <ORI>_<offense>.json (the answer itself does not name the ORI)",
        steps=(
            "get a key at https://api.data.gov/signup/",
            "save each answer as <ORI>_<offense>.json in one folder, offense as the address spells it (V, P, HOM, …)",
            "type: g287stats data add fbi-cde-summarized <folder>",
        ),
        members=r"(^|/)[a-z0-9]{9}_[a-z-]+\.json$",
        parser="g287stats.outcomes.agency.cde:parse_summarized",
        verified="address and keys seen in public code; not checked on a live answer",
        outcome="fbi_cde",
    ),
    Table(
        name="rtci-agency-months",
        title="Real-Time Crime Index, agency-months",
        tier=USER,
        producer="AH Datalytics",
        years="2018 on",
        vintage="'Last Updated' column",
        terms="terms unclear: private input",
        citation="AH Datalytics. Real-Time Crime Index, data as updated <date>. https://realtimecrimeindex.com",
        address="https://realtimecrimeindex.com (download of the agency data)",
        files="final_sample.csv or any CSV with the same columns",
        steps=("download the agency file", "type: g287stats data add rtci-agency-months <file>.csv"),
        members=r"\.csv$",
        parser="g287stats.outcomes.agency.rtci:parse",
        verified="columns measured on the file updated 2024-09-18",
        outcome="rtci",
    ),
    Table(
        name="cdc-county-homicide",
        title="County homicide deaths by residence (CDC WONDER export)",
        tier=USER,
        producer="National Center for Health Statistics, CDC WONDER",
        years="1999 on",
        vintage="printed at the foot of the export",
        terms="NCHS data use restrictions: statistical use only; counts of nine or fewer are suppressed and may not "
        "be published",
        citation=(
            "Centers for Disease Control and Prevention, National Center for Health Statistics. Underlying Cause of "
            "Death on CDC WONDER. https://wonder.cdc.gov (accession date from the export)"
        ),
        address="https://wonder.cdc.gov/ucd-icd10.html (1999–2020), https://wonder.cdc.gov/ucd-icd10-expanded.html",
        files="tab-separated export by County and Year, injury intent Homicide (ICD-10 X85–Y09, Y87.1, U01–U02)",
        steps=(
            "group results by County and by Year; choose injury intent Homicide; tick Export Results",
            "type: g287stats data add cdc-county-homicide <export>.txt",
        ),
        members=r"\.(txt|tsv|csv)$",
        parser="g287stats.outcomes.context.cdc_homicide:parse",
        verified="layout from exports described in public documentation; not checked on an export",
        outcome="cdc_homicide",
    ),
    Table(
        name="open-policing-stops",
        title="Traffic stops (Stanford Open Policing Project)",
        tier=USER,
        producer="Stanford Open Policing Project",
        years="by state and city, about 2000–2020",
        vintage="date in the file name, 2020_04_01",
        terms="Open Data Commons Attribution; cite the project",
        citation=(
            "Pierson, E., et al. (2020). A large-scale analysis of racial disparities in police stops across the "
            "United States. Nature Human Behaviour 4, 736–745. https://openpolicing.stanford.edu/data/"
        ),
        address="https://openpolicing.stanford.edu/data/",
        files="<state>_statewide_<date>.csv or <state>_<city>_<date>.csv (zip or rds)",
        steps=("download the state's CSV", "type: g287stats data add open-policing-stops nc_statewide_2020_04_01.csv"),
        members=r"(^|/)(yg821jf8611_)?[a-z]{2}_[a-z_]+?_\d{4}_\d\d_\d\d\.(csv|rds)$",
        parser="g287stats.outcomes.agency.open_policing:parse",
        verified="columns from the project's documentation; not checked on a file",
        outcome="open_policing",
    ),
    Table(
        name="presidential-votes",
        title="Presidential votes by county (behind the control republican_share)",
        tier=USER,
        producer="MIT Election Data and Science Lab, from the states' official returns",
        years="2000 to the last election in the file name",
        vintage="column version of the file",
        terms="CC0 1.0 as the producer's page declares it (not checked here); cite the release",
        citation=(
            "MIT Election Data and Science Lab (2018). County Presidential Election Returns 2000-20XX. Harvard "
            "Dataverse. https://doi.org/10.7910/DVN/VOQCHQ (cite the version you downloaded)"
        ),
        address="https://doi.org/10.7910/DVN/VOQCHQ",
        files="countypres_2000-20XX.csv (or .tab), release 2000-2020 or later, or the whole zip",
        steps=(
            "open the address, choose the latest countypres_2000-20XX, press Access File and Original Format (CSV)",
            "type: g287stats data add presidential-votes ~/Downloads/countypres_2000-*",
        ),
        members=r"(^|/)countypres_2000-20\d\d[^/]*\.(csv|tsv|tab)$",
        parser="g287stats.outcomes.context.votes:parse",
        verified="columns, modes and codes as public descriptions and code give them; tested on an authored file, not "
        "checked on the producer's",
    ),
    Table(
        name="ncvs",
        title="National Crime Victimization Survey, public use: household, person and incident files",
        tier=USER,
        producer="Bureau of Justice Statistics (ICPSR)",
        years="1992 on, by study",
        vintage="one ICPSR study a release",
        terms=ICPSR_TERMS,
        citation=(
            "United States Bureau of Justice Statistics. National Crime Victimization Survey, [United States], "
            "<years>. Inter-university Consortium for Political and Social Research [distributor]. "
            "https://doi.org/10.3886/ICPSR<study>"
        ),
        address="https://www.icpsr.umich.edu/web/NACJD (concatenated 1992–2016: 37241; 1992–2022: 38604; "
        "1992–2023: 38963; 52 metropolitan areas 2000–2015: 38321, 1979–2004: 4576)",
        files="<study>-000N-Data.tsv, .dta, .sav or .rda, or the whole zip; the level is told by the columns",
        steps=(
            "open https://doi.org/10.3886/ICPSR38604, log in with a free ICPSR account, accept the terms",
            "press Download and choose Delimited",
            "type: g287stats data add ncvs ~/Downloads/ICPSR_38604-*.zip",
        ),
        members=r"(^|/)\d{5}-000\d-data\.(tsv|csv|dta|sav|por|rda)$|(^|/)ncvs[^/]*\.(tsv|csv|dta|sav|rda|parquet)$",
        parser="g287stats.outcomes.ncvs.files:parse",
        verified="study numbers seen in public code; layout documented by the producer",
    ),
    Table(
        name="census-usa-counties-crime",
        title="USA Counties: county offences known to police 1981–2008 (sheets CRM01–CRM03)",
        tier=DOWNLOADABLE,
        producer="US Census Bureau, from FBI and NACJD county data",
        years="1981–2008",
        vintage="USA Counties 2011 edition",
        terms="US government work, public domain",
        citation="US Census Bureau. USA Counties: 2011. Crime, tables CRM01–CRM03.",
        address="https://www2.census.gov/library/publications/2011/compendia/usa-counties/excel/",
        files="CRM01.xls, CRM02.xls, CRM03.xls",
        steps=(
            "type: g287stats data fetch census-usa-counties-crime",
            "or download the three files and type: g287stats data add census-usa-counties-crime CRM0*.xls",
        ),
        members=r"(^|/)CRM0[123]\.xlsx?$",
        parser="g287stats.outcomes.context.usa_counties:parse",
        verified="address seen in public code; layout from item descriptions; neither checked on the files: the "
        "checksum is recorded when a file is first fetched",
        outcome="usa_counties",
        downloads=(Download("CRM01.xls"), Download("CRM02.xls"), Download("CRM03.xls")),
    ),
)
