"""Files of rows into hypertables and tables: read, derived, checked and cast by column, written by COPY.

A file is one transaction: killed half-way, nothing of it is there. Reading and checking go on in a thread while the
store takes the rows before; memory holds a few pieces of the file, whatever its size.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from storekeeper.errors import AlreadyIngestedError, ConflictError, InputError, LifecycleError, StoreError
from storekeeper.ingest.mapping import resolve
from storekeeper.ingest.moments import check_zone
from storekeeper.ingest.options import Options
from storekeeper.ingest.progress import FileResult, Ingested, Progress
from storekeeper.ingest.readers.files import Source, name_of, open_input
from storekeeper.ingest.readers.held import HeldFile
from storekeeper.ingest.readers.piece import Input
from storekeeper.ingest.rejects import WRITING, Rejects, open_rejects
from storekeeper.ingest.rows.checking import Checked, Checker
from storekeeper.ingest.rows.destinations import Rows, open_rows, table_of
from storekeeper.ingest.rows.sink import Sink
from storekeeper.ledger import files as ledger
from storekeeper.ledger.locks import file_lock
from storekeeper.platform import Platform
from storekeeper.stores.sql.ahead import one_ahead
from storekeeper.stores.sql.failures import RETRIED, sqlstate_of
from storekeeper.stores.sql.intake import rules_of

_BLOCK = 1 << 20


def ingest_rows(
    platform: Platform,
    dataset: str,
    sources: Sequence[Source],
    options: Options,
    *,
    progress: Callable[[Progress], None] | None = None,
) -> Ingested:
    """Puts files into a hypertable or a relational table, in one transaction: see Options for what may be asked.

    Rows that break a rule (their column's, or one that the server keeps) go to the reject file; the others are taken.
    Where no row can be taken, nothing is: the result says so, and the files do not count as ingested.

    Raises InputError and its kinds for what is wrong with a file as a whole, or with a row where `strict`;
    AlreadyIngestedError; ConflictError where another process ingests the same file; DeclarationError; and the store's
    own errors. Nothing is left then but chunks or partitions that were made for rows.
    """
    operation = f"ingest {', '.join(name_of(source) for source in sources)} into"
    table_of(platform.catalog, dataset)
    check_zone(options.zone)
    if options.rejects is not None and len(sources) > 1 and not options.rejects.is_dir():
        raise InputError(
            "is one file, for the rejects of several",
            operation=operation,
            target=str(options.rejects),
            hint="name a folder that is there",
        )
    with ExitStack() as stack:
        files = []
        for source in sources:
            rejects = stack.enter_context(open_rejects(source, options, operation=operation, target=dataset))
            # who writes into a pipe may take his time: no transaction waits for him
            held = None if _is_file(source) else HeldFile(source, operation=operation, target=dataset)
            given = source if held is None else stack.enter_context(held).stream()
            files.append(_File(name_of(source), given, rejects))
        with _naming(operation), open_rows(platform, dataset, operation=operation) as rows:
            return _Ingest(dataset, options, operation, rows, progress).run(files)


@dataclass(slots=True)
class _File:
    """A file on its way in."""

    name: str
    source: Source
    rejects: Rejects
    rows: int = 0
    digest: str = ""
    packed_digest: str | None = None
    unit: str = "line"

    def result(self) -> FileResult:
        return self.rejects.result(self.name, self.rows, self.unit)


class _Ingest:
    """Files into the rows of one dataset, within the transaction in which these are open."""

    def __init__(
        self,
        dataset: str,
        options: Options,
        operation: str,
        rows: Rows,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._dataset = dataset
        self._options = options
        self._operation = operation
        self._rows = rows
        self._sink = Sink(rows, options, operation=operation)
        self._progress = progress
        self._begun = monotonic()
        self._rounded: Counter[str] = Counter()
        self._flagged: Counter[str] = Counter()
        self._digests: set[str] = set()

    def run(self, files: Sequence[_File]) -> Ingested:
        for file in files:
            self._claim_packed(file)
        for number, file in enumerate(files):
            self._read(number, file)
        for number, reject in self._sink.finish():
            files[number].rejects.add(reject, unit=files[number].unit)
        taken = sum(file.rows - file.rejects.count for file in files)
        for file in files:
            if taken and not self._options.dry_run:
                self._record(file)
            file.rejects.publish()
        sink = self._sink
        return Ingested(
            self._dataset,
            sum(file.rows for file in files),
            monotonic() - self._begun,
            inserted=sink.inserted,
            updated=sink.updated,
            skipped=sink.skipped,
            superseded=sink.superseded,
            rejected=sum(file.rejects.count for file in files),
            rounded=dict(self._rounded),
            flagged=dict(self._flagged),
            files=tuple(file.result() for file in files),
            dry_run=self._options.dry_run,
        )

    def _read(self, number: int, file: _File) -> None:
        with closing(
            open_input(file.source, self._options.form, operation=self._operation, target=self._dataset)
        ) as source:
            file.unit = source.unit
            checker = self._checker(source)
            pieces = source.pieces(checker.needs, matters=self._matters)
            with closing(one_ahead(checker.check(piece) for piece in pieces)) as checked:
                for rows in checked:
                    self._take(number, file, rows)
                    self._tell(source, file)
            file.digest = source.digest.hex()
        self._claim_content(file)

    def _take(self, number: int, file: _File, rows: Checked) -> None:
        file.rows += rows.table.num_rows + len(rows.rejects)
        refused = [reject for _, reject in self._sink.write(rows, file=number)]
        for reject in sorted([*rows.rejects, *refused], key=lambda reject: reject.place):
            file.rejects.add(reject, unit=file.unit)
        self._rounded.update(rows.rounded or {})
        self._flagged.update(self._rows.flagged(rows.table))

    def _checker(self, source: Input) -> Checker:
        options = self._options
        rules = rules_of(self._rows.destination.table)
        columns = resolve(
            source.header,
            [rule.name for rule in rules.values() if not rule.generated],
            options.mapping,
            options.constants,
            version=options.version,
            has=source.has,
            skip_unknown=options.skip_unknown,
            operation=self._operation,
            target=self._dataset,
        )
        return Checker(
            self._rows.destination.table,
            columns,
            round_to=options.round_to,
            time_format=options.time_format,
            zone=options.zone,
            version=options.version,
            unit=source.unit,
            operation=self._operation,
            target=self._dataset,
        )

    def _matters(self, name: str) -> bool:
        """Whether a field that only later rows have may not be passed over."""
        options = self._options
        if name in self._rows.destination.table.columns:
            return name not in options.mapping and name not in options.constants
        return not (options.mapping or options.skip_unknown)

    def _claim_packed(self, file: _File) -> None:
        """Refuses a file that is being ingested, or was, before it is read through."""
        file.packed_digest = _packed_digest(file.source)
        if file.packed_digest is None:
            return
        self._claim(file, file.packed_digest)
        self._refuse_known(file, packed_digest=file.packed_digest)

    def _claim_content(self, file: _File) -> None:
        """The same for what is only known at its end: the same rows, packed otherwise.

        Nobody waits: two that wrote the same rows might wait for each other.
        """
        if file.digest in self._digests:
            raise InputError(
                f"{file.name} has the same content as a file before it", operation=self._operation, target=self._dataset
            )
        self._digests.add(file.digest)
        self._claim(file, file.digest)
        self._refuse_known(file, digest=file.digest)

    def _claim(self, file: _File, digest: str) -> None:
        if not self._rows.connection.execute(file_lock(self._dataset, digest).at_once()).scalar_one():
            raise ConflictError(
                f"{file.name} is being ingested by somebody else right now",
                operation=self._operation,
                target=self._dataset,
                hint="wait for its end; then it is recognised as ingested",
            )

    def _refuse_known(self, file: _File, **digests: str) -> None:
        row = self._rows.connection.execute(ledger.known(self._rows.ledger, self._dataset, **digests)).first()
        if row is not None and not self._options.again:
            raise already_ingested(ledger.decode(row), operation=self._operation, target=self._dataset)

    def _record(self, file: _File) -> None:
        self._rows.connection.execute(
            ledger.record(
                self._rows.ledger,
                self._dataset,
                file=file.name,
                digest=file.digest,
                packed_digest=file.packed_digest,
                rows=file.rows,
                rejected=file.rejects.count,
            )
        )

    def _tell(self, source: Input, file: _File) -> None:
        if self._progress is not None:
            self._progress(Progress(file.rows, source.position, source.size, monotonic() - self._begun))


def already_ingested(file: ledger.IngestedFile, *, operation: str, target: str) -> AlreadyIngestedError:
    """What is said of a file whose content is there."""
    return AlreadyIngestedError(
        f"the same content was ingested at {file.ingested_at:%Y-%m-%d %H:%M:%S} UTC, from {file.file}: "
        f"{file.rows - file.rejected:,} rows",
        operation=operation,
        target=target,
        hint="again=True takes it once more",
    )


def _is_file(source: Source) -> bool:
    """Whether it can be read more than once. What is not there is said by who reads it."""
    try:
        return isinstance(source, Path) and (source.is_file() or not source.exists())
    except OSError:
        return True


def _packed_digest(source: Source) -> str | None:
    """SHA-256 of the file as it lies; None of a pipe. What is wrong with the file is said by who reads it next."""
    digest = hashlib.sha256()
    try:
        if not isinstance(source, Path):
            return None
        with source.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


@contextmanager
def _naming(operation: str) -> Iterator[None]:
    """What the store refuses or fails by is said of the file."""
    try:
        yield
    except (StoreError, LifecycleError) as error:
        if error.operation == WRITING:  # another disk, another file
            raise
        said = copy(error)
        said.operation = operation
        if sqlstate_of(error) in RETRIED:
            said.hint = "others wrote the same rows; nothing of it is there: ingest it again"
        raise said from error
