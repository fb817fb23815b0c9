"""Documents out of log lines, ndjson, csv and parquet, into a collection.

MongoDB commits no file as a whole. So a file is read twice: the first time all of it is checked, and nothing is sent;
the second time its documents go in, each under an id that is made of the file up to that record. What is there already
under its id is passed over: a run that was killed is finished by the next one, two at once double nothing, and of a log
that has grown only the new lines are added.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from copy import copy
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any

from bson import ObjectId
from pydantic import BaseModel

from storekeeper.catalog.documents import Collection
from storekeeper.errors import (
    ConflictError,
    ConstraintError,
    InputError,
    NaiveTimeError,
    StatementTimeoutError,
    StoreError,
    UnavailableError,
)
from storekeeper.ingest.documents.identity import id_of, seed_of
from storekeeper.ingest.documents.making import DocumentMaker
from storekeeper.ingest.documents.records import Faulty, Record, Records, open_records
from storekeeper.ingest.documents.shape import Shape
from storekeeper.ingest.logs.formats import NAMES, format_of
from storekeeper.ingest.logs.line import Format, LineError
from storekeeper.ingest.moments import check_zone
from storekeeper.ingest.options import Options
from storekeeper.ingest.progress import Ingested, Progress
from storekeeper.ingest.readers.files import Kind, Source, kind_of, name_of
from storekeeper.ingest.readers.held import HeldFile
from storekeeper.ingest.readers.piece import Reject
from storekeeper.ingest.rejects import Rejects, open_rejects
from storekeeper.ingest.rows.ingest_rows import already_ingested
from storekeeper.ledger import files as ledger
from storekeeper.ledger.locks import file_lock
from storekeeper.ledger.tables import ingested_files
from storekeeper.platform import Platform
from storekeeper.stores.mongo.failures import translated
from storekeeper.stores.mongo.mongo import InsertedCounts

#: Documents that are handed to the store at once, and characters of their records.
BATCH_DOCUMENTS = 1_000
_BATCH_WEIGHT = 16 << 20
#: How often a batch is sent in all, and seconds in between. A server that removes thousands of documents which have
#: expired may answer nobody for many times as long as a call may last; one that is gone is soon told of.
_ATTEMPTS: Mapping[type[StoreError], int] = {StatementTimeoutError: 20, ConflictError: 20, UnavailableError: 5}
_PAUSE = 1.0
_BLOCK = 1 << 20


def ingest_documents(
    platform: Platform,
    dataset: str,
    source: Source,
    options: Options,
    *,
    batch_documents: int = BATCH_DOCUMENTS,
    progress: Callable[[Progress], None] | None = None,
) -> Ingested:
    """Puts a file of log lines, ndjson, csv or parquet into a collection: see Options for what may be asked.

    Records that break a rule (their format's, or the collection's model) go to the reject file; the others are taken.
    The file is read twice, and `progress` counts its bytes twice. Memory does not grow with the file.

    Raises InputError and its kinds for what is wrong with the file as a whole, or with a record where `strict`: then
    nothing was sent. NaiveTimeError where already the first record's time needs a zone that is not named. Raises
    DeclarationError, and the stores' own errors: then what was acknowledged stays, and the next run goes on.
    """
    operation = f"ingest {name_of(source)} into"
    _, collection = platform.catalog.collection(dataset)
    _check(options, batch_documents, operation, dataset)
    shape = Shape(
        collection.model,
        options.mapping,
        options.constants,
        skip_unknown=options.skip_unknown,
        time_format=options.time_format,
        zone=options.zone,
        operation=operation,
        target=dataset,
    )
    with ExitStack() as stack:
        file = stack.enter_context(HeldFile(source, operation=operation, target=dataset))
        rejects = stack.enter_context(open_rejects(source, options, operation=operation, target=dataset))
        return _Ingest(platform, dataset, collection, file, options, shape, operation, batch_documents, progress).run(
            rejects
        )


@dataclass(slots=True)
class _Seen:
    """What the first reading of a file found."""

    rows: int = 0
    taken: int = 0
    expiring: int = 0
    continued: int = 0
    unit: str = "line"
    digest: str = ""


@dataclass(slots=True)
class _Batch:
    """Documents that go to the store together, and where in the file they stand."""

    documents: dict[ObjectId, BaseModel] = field(default_factory=dict)
    places: list[int] = field(default_factory=list)
    weight: int = 0


class _Ingest:
    """One file on its way into one collection."""

    def __init__(
        self,
        platform: Platform,
        dataset: str,
        collection: Collection,
        file: HeldFile,
        options: Options,
        shape: Shape,
        operation: str,
        batch_documents: int,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._platform = platform
        self._dataset = dataset
        self._collection = collection
        self._file = file
        self._options = options
        self._shape = shape
        self._operation = operation
        self._batch_documents = batch_documents
        self._progress = progress
        self._begun = monotonic()
        self._kind = self._kind_of_file()
        self._log = self._format()
        self._maker = DocumentMaker(collection, shape)

    def run(self, rejects: Rejects) -> Ingested:
        packed_digest = self._packed_digest()
        if packed_digest is not None and not self._options.again:
            self._known(packed_digest=packed_digest)
        seen = self._check_all(rejects)
        before = self._known(digest=seen.digest)
        inserted = present = 0
        if seen.taken:
            inserted, present = self._send_all(seen, before)
        rejects.publish()
        if seen.taken and not self._options.dry_run:
            self._record(seen, rejects.count, before, packed_digest)
        return Ingested(
            self._dataset,
            seen.rows,
            monotonic() - self._begun,
            inserted=inserted,
            skipped=present,
            rejected=rejects.count,
            expiring=seen.expiring,
            continued=seen.continued,
            files=(rejects.result(self._file.name, seen.rows, seen.unit),),
            dry_run=self._options.dry_run,
        )

    # The first reading: everything is checked, nothing is sent

    def _check_all(self, rejects: Rejects) -> _Seen:
        seen = _Seen()
        drop_after = self._collection.drop_after
        oldest = None if drop_after is None else self._platform.clock.now() - drop_after.duration
        with self._records() as records:
            seen.unit = records.unit
            for item in records.each:
                seen.rows += 1
                reject, fault = item if isinstance(item, Faulty) else (None, None)
                if isinstance(item, Record):
                    seen.continued += item.lines - 1
                    try:
                        _, moment = self._maker.checked(item)
                    except LineError as found:
                        fault = found
                        reject = Reject(item.place, found.reason, item.text(), found.column)
                    else:
                        seen.taken += 1
                        seen.expiring += oldest is not None and moment < oldest
                if reject is not None:
                    if seen.rows == 1 and fault is not None:
                        self._refuse_missing(fault, f"{records.unit} {reject.place}")
                    rejects.add(reject, unit=records.unit)
                if seen.rows % self._batch_documents == 0:
                    self._tell(0, records.reading.position)
            seen.digest = records.reading.digest.hex()
        self._tell(0, self._file.size)
        return seen

    def _refuse_missing(self, fault: LineError, place: str) -> None:
        """What the first record lacks, all lack."""
        if fault.missing == "zone":
            raise self._no_zone(f"{place}: {fault.reason}")
        if fault.missing == "year":
            raise self._no_year(f"{place}: {fault.reason}")

    # The second reading: what is not there yet goes in

    def _send_all(self, seen: _Seen, before: int) -> tuple[int, int]:
        """How many were inserted, and how many were there; of a dry run, how many would be."""
        form = self._kind if self._log is None else self._log.name
        seed = seed_of(self._dataset, form, self._options.mapping, self._options.constants, before=before)
        inserted = present = 0
        with self._records() as records, _naming(self._operation):
            for batch in self._batches(records, seed):
                with _placing(batch.places, records.unit):
                    counts = self._foresee(batch) if self._options.dry_run else self._insert(batch)
                inserted += counts.inserted
                present += counts.present
                self._tell(inserted + present, self._file.size + records.reading.position)
            if records.reading.digest.hex() != seen.digest:
                raise InputError(
                    "the file was changed while it was read",
                    operation=self._operation,
                    target=self._dataset,
                    hint="ingest it again: what is there already is not doubled",
                )
        return inserted, present

    def _insert(self, batch: _Batch) -> InsertedCounts:
        """Inserts, and tries again where the server is busy or away for a while: what a call that was cut off has
        written is passed over, and counts as having been there."""
        failures: Counter[type[StoreError]] = Counter()
        while True:
            try:
                return self._platform.mongo.insert_new(self._dataset, batch.documents)
            except (StatementTimeoutError, UnavailableError, ConflictError) as error:
                failures[type(error)] += 1
                if failures[type(error)] == _ATTEMPTS[type(error)]:
                    raise
            sleep(_PAUSE)

    def _foresee(self, batch: _Batch) -> InsertedCounts:
        with translated(self._operation, self._dataset):
            collection = self._platform.mongo.collection(self._dataset)
            present = collection.count_documents({"_id": {"$in": list(batch.documents)}})
        return InsertedCounts(len(batch.documents) - present, present)

    def _batches(self, records: Records, seed: bytes) -> Iterator[_Batch]:
        batch = _Batch()
        for record in records.each:
            if isinstance(record, Faulty):
                continue
            try:
                made, moment = self._maker.checked(record)
            except LineError:
                continue  # told of at the first reading
            if batch.documents and (
                len(batch.documents) >= self._batch_documents or batch.weight + record.weight > _BATCH_WEIGHT
            ):
                yield batch
                batch = _Batch()
            batch.documents[id_of(seed, record.mark, moment)] = made
            batch.places.append(record.place)
            batch.weight += record.weight
        if batch.documents:
            yield batch

    # What was ingested before

    def _known(self, **digests: str) -> int:
        """How many times this content was ingested. Raises AlreadyIngestedError where it may not be again."""
        with self._platform.postgres.begin(operation=self._operation, target=self._dataset) as connection:
            rows = connection.execute(ledger.known(ingested_files, self._dataset, **digests)).all()
        if rows and not self._options.again:
            raise already_ingested(ledger.decode(rows[0]), operation=self._operation, target=self._dataset)
        return len(rows)

    def _record(self, seen: _Seen, rejected: int, before: int, packed_digest: str | None) -> None:
        """Notes the file, unless another process that took the same documents was first."""
        with self._platform.postgres.begin(operation=self._operation, target=self._dataset) as connection:
            connection.execute(file_lock(self._dataset, seen.digest).in_transaction())
            rows = connection.execute(ledger.known(ingested_files, self._dataset, digest=seen.digest)).all()
            if len(rows) == before:
                connection.execute(
                    ledger.record(
                        ingested_files,
                        self._dataset,
                        file=self._file.name,
                        digest=seen.digest,
                        packed_digest=packed_digest,
                        rows=seen.rows,
                        rejected=rejected,
                    )
                )

    def _packed_digest(self) -> str | None:
        """SHA-256 of the file as it lies; None of what came through a pipe."""
        if not self._file.regular:
            return None
        digest = hashlib.sha256()
        for part in self._file.parts(_BLOCK):
            digest.update(part)
        return digest.hexdigest()

    # How the file is read

    def _kind_of_file(self) -> Kind:
        with self._file.text() as text:
            return kind_of(
                self._file.name, text.peek(4), self._options.form, operation=self._operation, target=self._dataset
            )

    def _format(self) -> Format | None:
        """The format of log lines. Raises InputError where it is not named, or lacks what the caller has to say."""
        if self._kind != "log":
            return None
        form, options = self._options.form, self._options
        if form is None:
            raise self._error("is a log: of which format is not said", f"there are: {', '.join(NAMES)}")
        log = format_of(form, time_format=options.time_format)
        if "service" in self._shape.required and not log.named and "service" not in self._shape.sources:
            raise self._error(
                f"lines of {log.name} name no service",
                "set it for all (service=auth), or map it from what lines say (service={tag})",
            )
        if log.zones == "none" and options.zone is None:
            raise self._no_zone(f"the times of {log.name} lines carry no zone")
        if log.years == "none" and options.year is None:
            raise self._no_year(f"the times of {log.name} lines carry no year")
        return log

    @contextmanager
    def _records(self) -> Iterator[Records]:
        text = self._file.random() if self._kind == "parquet" else self._file.text()
        with text:
            records = open_records(
                text, self._kind, self._log, self._shape, zone=self._options.zone, year=self._options.year
            )
            with closing(records.reading):
                yield records

    def _tell(self, rows: int, position: int) -> None:
        if self._progress is not None:
            self._progress(Progress(rows, position, 2 * self._file.size, monotonic() - self._begun))

    def _no_zone(self, cause: str) -> NaiveTimeError:
        return NaiveTimeError(cause, operation=self._operation, target=self._dataset, hint="name it: zone='UTC'")

    def _no_year(self, cause: str) -> InputError:
        return self._error(cause, "name that of the first line: year=2005")

    def _error(self, cause: str, hint: str) -> InputError:
        return InputError(cause, operation=self._operation, target=self._dataset, hint=hint)


def _check(options: Options, batch_documents: int, operation: str, dataset: str) -> None:
    check_zone(options.zone)
    of_rows = {"round_to": options.round_to, "version": options.version, "on_conflict": options.on_conflict != "error"}
    given = [name for name, value in of_rows.items() if value]
    if given:
        raise InputError(f"{given[0]} is for rows, not for documents", operation=operation, target=dataset)
    if batch_documents < 1:
        raise InputError("batch_documents is at least 1", operation=operation, target=dataset)


@contextmanager
def _naming(operation: str) -> Iterator[None]:
    """What the store refuses or fails by is said of the file, and how to go on."""
    try:
        yield
    except StoreError as error:
        said = copy(error)
        said.operation = operation
        if isinstance(error, tuple(_ATTEMPTS)):
            said.hint = "ingest the file again: it goes on from there, and nothing is doubled"
        raise said from error


@contextmanager
def _placing(places: list[int], unit: str) -> Iterator[None]:
    """Documents that the server refuses are told by where they stand in the file, not by where in their batch."""
    try:
        yield
    except ConstraintError as error:
        if not error.rows:
            raise
        said: Any = copy(error)
        said.rows = {places[index]: reason for index, reason in error.rows.items()}
        first = min(said.rows)
        more = f", and {len(said.rows) - 1} more" if len(said.rows) > 1 else ""
        said.cause = f"the document of {unit} {first} is refused{more}: {said.rows[first]}"
        raise said from error
