"""Documents out of records: as the model of their collection has them, and as the server can hold them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Final

from pydantic import BaseModel, ValidationError

from storekeeper.catalog.documents import Collection
from storekeeper.clock import as_utc
from storekeeper.errors import InputError
from storekeeper.ingest.documents.records import Record
from storekeeper.ingest.documents.shape import Shape
from storekeeper.ingest.logs.line import LineError
from storekeeper.stores.mongo.documents import encoded_size, to_document

#: Bytes of a document, at most; its id takes some.
_MOST_BYTES: Final = 16 * 1024 * 1024 - 64
#: pydantic's word for what is wrong with a document, in ours.
_PLAIN: Final = {"missing": "is missing", "extra_forbidden": "is no field of the dataset"}


class DocumentMaker:
    """Makes the documents of one collection."""

    def __init__(self, collection: Collection, shape: Shape) -> None:
        self._model = collection.model
        self._shape = shape
        self._time_field = next(
            name for name, info in self._model.model_fields.items() if (info.alias or name) == collection.time
        )

    def checked(self, record: Record) -> tuple[BaseModel, datetime]:
        """The document of a record, which can be stored, and its time. Raises LineError."""
        made = self.made(record)
        try:
            size = encoded_size(to_document(made, self._model))
        except InputError as error:
            raise LineError(error.cause) from error
        if size > _MOST_BYTES:
            raise LineError("is longer than the 16 MB that a document holds")
        return made, self.moment(made)

    def made(self, record: Record) -> BaseModel:
        """The document of a record. Raises LineError, which names the field."""
        document = self._shape.document(record.fields, said=record.said)
        try:
            return self._model.model_validate(document)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
            column = ".".join(map(str, problem["loc"])) or None
            raise LineError(_PLAIN.get(problem["type"], problem["msg"]), column=column) from error

    def moment(self, made: BaseModel) -> datetime:
        """The time of a document, by which it expires, in UTC."""
        value = getattr(made, self._time_field)
        if isinstance(value, datetime):
            return as_utc(value)
        return datetime.combine(value, time(), UTC) if isinstance(value, date) else datetime.fromtimestamp(0, UTC)
