"""Where tables are and how they are read, written, added, fetched and verified.

Released tables live in ``data/`` of the repository and in ``g287stats/_released`` of an installed wheel; the
user's own tables in the user's data directory (``G287STATS_DATA`` overrides it). Everything else a table may
come from is declared in :mod:`g287stats.catalog.tables`.
"""

from __future__ import annotations

from g287stats.catalog.commands import (
    AddReport,
    DataDescription,
    DataList,
    VerifyReport,
    data_add,
    data_describe,
    data_fetch,
    data_list,
    data_verify,
    missing,
    table,
)
from g287stats.catalog.fields import released_dir
from g287stats.catalog.origins import raw_files
from g287stats.catalog.record import Record, current_record, keep_record, read_released, record_folder, undo_record
from g287stats.catalog.released import analyses_dir, codebook, schema, write_released, write_tables
from g287stats.catalog.store import read_kept, user_data_dir
from g287stats.catalog.writing import changing, write

__all__ = [
    "AddReport",
    "DataDescription",
    "DataList",
    "Record",
    "VerifyReport",
    "analyses_dir",
    "changing",
    "codebook",
    "current_record",
    "data_add",
    "data_describe",
    "data_fetch",
    "data_list",
    "data_verify",
    "keep_record",
    "missing",
    "raw_files",
    "read_kept",
    "read_released",
    "record_folder",
    "released_dir",
    "schema",
    "table",
    "undo_record",
    "user_data_dir",
    "write",
    "write_released",
    "write_tables",
]
