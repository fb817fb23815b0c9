"""Raw log files, plain or gzip, into a collection of documents."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from storekeeper.errors import InputError, NaiveTimeError, ValueFitError
from storekeeper.ingest.logs import LogLineError, parse_log
from storekeeper.ingest.moments import check_zone
from storekeeper.ingest.progress import Ingested, Progress
from storekeeper.ingest.text_input import TextInput
from storekeeper.platform import Platform

#: Documents that are handed to the store at once.
BATCH_DOCUMENTS = 2_000
_BLOCK = 1 << 20


def ingest_logs(
    platform: Platform,
    dataset: str,
    path: Path,
    *,
    zone: str | None,
    service: str,
    batch_documents: int = BATCH_DOCUMENTS,
    progress: Callable[[Progress], None] | None = None,
) -> Ingested:
    """Puts the messages of a log4j file into a collection such as invest.logs; see logs.parse_log for what they become.

    The file is read twice: checked whole, by the collection's model too, before its first document is sent. MongoDB has
    no transaction here: a server that fails half-way keeps the batches that it had acknowledged.

    Raises InputFileError and ValueFitError, which name the line or message, NaiveTimeError without a zone, InputError,
    DeclarationError, and the store's own errors.
    """
    begun = monotonic()
    operation = f"ingest {path.name} into"
    _, collection = platform.catalog.collection(dataset)
    if zone is None:
        raise NaiveTimeError(
            "the times of log lines carry no zone", operation=operation, target=dataset, hint="name it: zone='UTC'"
        )
    check_zone(zone)
    if not service:
        raise InputError("no service is named", operation=operation, target=dataset)
    for number, document in enumerate(_documents(path, zone, service, operation, dataset)[0]):
        try:
            collection.model.model_validate(document)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            name = ".".join(map(str, problem["loc"]))
            raise ValueFitError(
                f"message {number}, {name}: {problem['msg']}",
                operation=operation,
                target=dataset,
                row=number,
                column=name,
            ) from error
    rows = 0
    documents, text = _documents(path, zone, service, operation, dataset)
    while batch := list(islice(documents, batch_documents)):
        rows += platform.mongo.insert(dataset, batch)
        if progress is not None:
            progress(Progress(rows, text.position, text.size, monotonic() - begun))
    return Ingested(dataset, rows, monotonic() - begun, inserted=rows)


def _documents(
    path: Path, zone: str, service: str, operation: str, dataset: str
) -> tuple[Iterator[dict[str, Any]], TextInput]:
    text = TextInput(path, operation=operation, target=dataset)

    def parsed() -> Iterator[dict[str, Any]]:
        with text:
            try:
                yield from parse_log(_lines(text), zone=ZoneInfo(zone), service=service)
            except LogLineError as error:
                raise text.error(str(error)) from error

    return parsed(), text


def _lines(text: TextInput) -> Iterator[str]:
    """The file's lines without their ends."""
    if not text.head(_BLOCK).strip():
        raise text.error("is empty")
    decoder = codecs.getincrementaldecoder("utf-8")()
    number, rest = 1, ""
    while True:
        block = text.read(_BLOCK)
        try:
            decoded = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            line = number + error.object[: error.start].count(b"\n")
            raise text.error(f"line {line} is not UTF-8", hint="convert it: iconv -f LATIN1 -t UTF-8") from error
        *lines, rest = (rest + decoded).split("\n")
        number += len(lines)
        yield from (line.removesuffix("\r") for line in lines)
        if not block:
            if rest:
                yield rest.removesuffix("\r")
            return
