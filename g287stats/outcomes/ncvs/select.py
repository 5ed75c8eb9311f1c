"""NCVS Select tables from the Bureau of Justice Statistics' open API, page by page, every row accounted for.

The API answers at most 1,000 rows unless told otherwise and does not say that it stopped; so the count is asked
first and held against what arrived.
"""

from __future__ import annotations

import io
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pandas as pd

from g287stats.catalog.text import csv
from g287stats.catalog.writing import write
from g287stats.errors import DesignError, UnavailableError
from g287stats.outcomes.ncvs.files import NcvsFile, ncvs_from_frame

ADDRESS = "https://api.ojp.gov/bjsdataset/v1"
SELECT = {  # our name -> identifier of the data set
    "personal_victimization": "gcuy-rt5g",
    "personal_population": "r4j4-fdwx",
    "household_victimization": "gkck-euys",
    "household_population": "ya4e-n9zp",
}


def fetch_select(
    table: str,
    *,
    where: str = "",
    save: str | Path | None = None,
    page: int = 50_000,
    address: str = ADDRESS,
    timeout: float = 120.0,
) -> NcvsFile:
    """Download an NCVS Select table (no login), on request only.

    Parameters
    ----------
    table
        ``personal_victimization``, ``personal_population``, ``household_victimization``,
        ``household_population``.
    where
        A filter in the API's language, ``"year >= 2010 and year <= 2014"``.
    save
        CSV file to keep; it can be read later with ``read_ncvs``.
    page
        Rows a request asks for.

    Raises
    ------
    UnavailableError
        No connection, an answer that is not CSV, or fewer rows than the API counts.
    """
    if table not in SELECT:
        raise DesignError(f"no Select table is called {table!r}; choose one of {sorted(SELECT)}")
    url = f"{address}/{SELECT[table]}.csv"
    condition = {"$where": where} if where else {}
    count = _ask(url, {"$select": "count(*) as rows", **condition}, timeout)
    try:
        expected = int(count.iloc[0, 0])
    except (IndexError, ValueError) as error:
        raise UnavailableError(f"{url}: the API did not answer with a count") from error
    parts = []
    for offset in range(0, max(expected, 1), page):
        asked = {"$limit": str(page), "$offset": str(offset), "$order": ":id", **condition}
        parts.append(_ask(url, asked, timeout))
    frame = pd.concat(parts, ignore_index=True)
    if len(frame) != expected:
        raise UnavailableError(f"{url}: {len(frame):,} rows arrived of {expected:,}; try again with a smaller page=")
    if save is not None:
        write(save, csv(frame))
    return ncvs_from_frame(frame, columns="all", provenance={"address": url, "where": where, "rows": expected})


def _ask(url: str, parameters: dict[str, str], timeout: float) -> pd.DataFrame:
    full = f"{url}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(full, timeout=timeout) as answer:
            text = answer.read().decode("utf-8")
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        raise UnavailableError(f"{full}: {error}. Save the table's CSV by hand and use read_ncvs(path)") from error
    try:
        return pd.read_csv(io.StringIO(text), dtype={"idper": str, "idhh": str}, low_memory=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UnavailableError(f"{full}: the answer is not CSV ({error})") from error
