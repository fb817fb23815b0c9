"""Collections: documents of the mongo store."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import BaseModel

from storekeeper.errors import DeclarationError
from storekeeper.span import Span


@dataclass(frozen=True, slots=True)
class DocumentIndex:
    """An index of a collection: (field, 1 or -1) pairs, in order."""

    keys: tuple[tuple[str, int], ...]
    unique: bool = False

    @property
    def name(self) -> str:
        """The name that MongoDB gives it: service_1_timestamp_-1."""
        return "_".join(f"{key}_{order}" for key, order in self.keys)


@dataclass(frozen=True)
class Collection:
    """Documents of one pydantic model, in the database of their domain; `drop_after` is kept by a TTL index on `time`.

    Fields are stored by alias. The server's $jsonSchema validator is derived from the model.
    """

    name: str
    model: type[BaseModel]
    time: str
    drop_after: Span | None = None
    indexes: tuple[DocumentIndex, ...] = field(default=())

    def __post_init__(self) -> None:
        aliases = {info.alias or name for name, info in self.model.model_fields.items()}
        for name in (self.time, *(key.split(".")[0] for index in self.indexes for key, _ in index.keys)):
            if name not in aliases:
                raise DeclarationError(f"no field {name!r}", operation="declare", target=self.name)
        if self.drop_after is not None and self.drop_after.calendar:
            raise DeclarationError("a TTL index counts seconds: give days", operation="declare", target=self.name)
