"""What a caller may ask of an ingest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from storekeeper.ingest.mapping import ColumnSource

OnConflict: TypeAlias = Literal["error", "skip", "update"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How files become rows or documents of a dataset.

    `mapping`, `constants`: what columns come from, see mapping.resolve; columns of the same name map themselves.
    `round_to`: columns that may be rounded, half to even, and to how many decimals.
    `skip_unknown`: columns of the file that the dataset has not are left out.
    `form`: csv, ndjson, parquet, or a format of log lines (logs.formats); None: what the file's name and content say.
    `time_format`: strptime's; without it times are ISO 8601. `zone`: that of times which carry none.
    `year`: of log lines that carry none.
    `on_conflict`: by the natural key of a hypertable, the primary key of a table.
    `version`: a column of the file; of several rows with one key the one with the greatest value is taken.
    `strict`: the first row that breaks a rule ends it, and nothing is left.
    `dry_run`: everything is read and checked, nothing is written.
    `again`: a file whose content was ingested before is taken once more.
    `rejects`: where rows that break a rule go. A folder, or None for the working directory: FILE.rejects.csv in it, or
    FILE.rejects.2.csv and so on where that is there already; a file: that one, replaced.
    """

    mapping: Mapping[str, ColumnSource] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    round_to: Mapping[str, int] = field(default_factory=dict)
    skip_unknown: bool = False
    form: str | None = None
    time_format: str | None = None
    zone: str | None = None
    year: int | None = None
    on_conflict: OnConflict = "error"
    version: str | None = None
    strict: bool = False
    dry_run: bool = False
    again: bool = False
    rejects: Path | None = None
