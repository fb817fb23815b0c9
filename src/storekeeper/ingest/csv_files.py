"""Csv files into hypertables and tables: read as text, derived, checked and cast by column, written by COPY.

A file is one transaction: what is wrong with its last line leaves nothing of the first. Reading and checking go on in a
thread while the store takes the rows before; memory holds two pieces of the file, whatever its size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from copy import copy
from pathlib import Path
from time import monotonic

import pyarrow as pa
import sqlalchemy as sa

from storekeeper.errors import CheckError, InputError, LifecycleError, StoreError
from storekeeper.ingest.ahead import one_ahead
from storekeeper.ingest.csv_input import CsvInput, open_csv
from storekeeper.ingest.csv_lines import line_of_row
from storekeeper.ingest.derive import derive
from storekeeper.ingest.mapping import Source, resolve
from storekeeper.ingest.moments import check_zone
from storekeeper.ingest.progress import Ingested, Progress
from storekeeper.ingest.sink import OnConflict, open_sink, table_of
from storekeeper.platform import Platform
from storekeeper.stores.sql.failures import server_detail
from storekeeper.stores.sql.intake import Intake, Misfit, as_error, check_names, rules_of, to_batches

#: Rows that are handed to the store at once.
BATCH_ROWS = 131_072


def ingest_csv(
    platform: Platform,
    dataset: str,
    path: Path,
    *,
    mapping: Mapping[str, Source] | None = None,
    constants: Mapping[str, str] | None = None,
    round_to: Mapping[str, int] | None = None,
    skip_unknown: bool = False,
    time_format: str | None = None,
    zone: str | None = None,
    on_conflict: OnConflict = "error",
    batch_rows: int = BATCH_ROWS,
    progress: Callable[[Progress], None] | None = None,
) -> Ingested:
    """Puts a csv file (plain or gzip, UTF-8, with a header) into a hypertable or a relational table, or nothing of it.

    `mapping` and `constants` say what columns come from, see mapping.resolve; columns of the same name map themselves.
    Times are ISO 8601 with an offset, or as `time_format` says (strptime's); `zone` is that of times without an offset.
    `round_to` names columns that may be rounded, half to even, and to how many decimals; nothing else is ever changed.
    `on_conflict` goes by the natural key of a hypertable and the primary key of a table.

    Raises InputFileError, ColumnError, ValueFitError and NaiveTimeError, which name the line, InputError,
    DeclarationError, and the store's own errors.
    """
    begun = monotonic()
    operation = f"ingest {path.name} into"
    table = table_of(platform, dataset)
    check_zone(zone)
    if batch_rows < 1:
        raise InputError("batch_rows is at least 1", operation=operation, target=dataset)
    text, csv = open_csv(path, operation=operation, target=dataset)
    with text:
        rules = rules_of(table)
        sources = resolve(
            csv.header,
            [rule.name for rule in rules.values() if not rule.generated],
            mapping or {},
            constants or {},
            skip_unknown=skip_unknown,
            operation=operation,
            target=dataset,
        )
        check_names(sources, rules, operation=operation, target=dataset)
        reading = _Reading(csv, path, table, sources, round_to or {}, time_format, zone, operation, dataset, batch_rows)
        rows = 0
        rounded: Counter[str] = Counter()
        with (
            _naming(operation),
            open_sink(platform, dataset, on_conflict=on_conflict, operation=operation) as sink,
            closing(one_ahead(reading.pieces())) as pieces,
        ):
            for piece in pieces:
                sink.write(piece.table)
                rows += piece.table.num_rows
                rounded.update(piece.rounded)
                if progress is not None:
                    progress(Progress(rows, text.position, text.size, monotonic() - begun))
    return Ingested(
        dataset,
        rows,
        monotonic() - begun,
        inserted=sink.inserted,
        updated=sink.updated,
        skipped=sink.skipped,
        rounded=dict(rounded),
    )


@contextmanager
def _naming(operation: str) -> Iterator[None]:
    """What the store refuses or fails by is said of the file; of a broken check, the row too.

    The server's detail holds the row's values. Whoever reads this error has the file.
    """
    try:
        yield
    except (StoreError, LifecycleError) as error:
        said = copy(error)
        said.operation = operation
        if isinstance(error, CheckError) and (detail := server_detail(error)):
            said.cause = f"{error.cause}: {detail}"
        raise said from error


class _Reading:
    """A csv file's rows as the table's: derived and checked piece by piece."""

    def __init__(
        self,
        csv: CsvInput,
        path: Path,
        table: sa.Table,
        sources: Mapping[str, Source],
        round_to: Mapping[str, int],
        time_format: str | None,
        zone: str | None,
        operation: str,
        dataset: str,
        batch_rows: int,
    ) -> None:
        self._csv = csv
        self._path = path
        self._table = table
        self._sources = sources
        self._kinds = {rule.name: rule.kind for rule in rules_of(table).values()}
        self._round_to = round_to
        self._time_format = time_format
        self._zone = zone
        self._operation = operation
        self._dataset = dataset
        self._batch_rows = batch_rows

    def pieces(self) -> Iterator[Intake]:
        needed = [name for name in self._csv.header if any(name in s.needs for s in self._sources.values())]
        row = 0
        for batch in self._csv.batches(needed):
            for start in range(0, batch.num_rows, self._batch_rows):
                part = batch.slice(start, self._batch_rows)
                yield self._piece(part, row)
                row += part.num_rows

    def _piece(self, batch: pa.RecordBatch, first_row: int) -> Intake:
        columns = {}
        for name, source in self._sources.items():
            try:
                columns[name] = derive(batch, source, self._kinds[name], time_format=self._time_format, zone=self._zone)
            except Misfit as misfit:
                raise as_error(
                    misfit,
                    column=name,
                    operation=self._operation,
                    target=self._dataset,
                    first_row=first_row,
                    locate=self._locate,
                ) from misfit
        return to_batches(
            pa.table(columns),
            self._table,
            operation=self._operation,
            target=self._dataset,
            round_to=self._round_to,
            first_row=first_row,
            locate=self._locate,
        )

    def _locate(self, row: int) -> str:
        line = line_of_row(self._path, row)
        return f"row {row}" if line is None else f"line {line}"
