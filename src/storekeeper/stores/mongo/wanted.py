"""What a collection should be on the server, as values; what is there is read as such values, so they compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from storekeeper.catalog import Catalog, documents
from storekeeper.stores.mongo.schema import validator


@dataclass(frozen=True, slots=True)
class WantedIndex:
    """An index but for that on _id: (field, 1 or -1) pairs, in order; a TTL index where documents expire."""

    name: str
    keys: tuple[tuple[str, int], ...]
    unique: bool = False
    expire_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class WantedCollection:
    """A collection's validator and indexes, by name. `validator` is empty where there is none."""

    database: str
    name: str
    validator: Mapping[str, Any] = field(default_factory=dict)
    indexes: tuple[WantedIndex, ...] = ()

    def index(self, name: str) -> WantedIndex | None:
        return next((index for index in self.indexes if index.name == name), None)


def database_name(prefix: str, domain: str) -> str:
    """storekeeper_invest."""
    return f"{prefix}_{domain}"


def wanted_collection(prefix: str, domain: str, collection: documents.Collection) -> WantedCollection:
    """What a declaration asks for. They expire by an index on their time alone: the declared one, else one more."""
    seconds = None if collection.drop_after is None else collection.drop_after.duration // timedelta(seconds=1)
    indexes = [WantedIndex(index.name, index.keys, index.unique) for index in collection.indexes]
    if seconds is not None:
        # the server expires by an index of one field alone, in either direction
        names = [[key for key, _ in index.keys] for index in indexes]
        alone = names.index([collection.time]) if [collection.time] in names else None
        if alone is None:
            indexes.append(WantedIndex(f"{collection.time}_1", ((collection.time, 1),), False, seconds))
        else:
            found = indexes[alone]
            indexes[alone] = WantedIndex(found.name, found.keys, found.unique, seconds)
    return WantedCollection(
        database_name(prefix, domain),
        collection.name,
        validator(collection.model),
        tuple(sorted(indexes, key=lambda index: index.name)),
    )


def wanted_collections(prefix: str, catalog: Catalog) -> tuple[WantedCollection, ...]:
    """What the catalogue asks for, in its order."""
    return tuple(wanted_collection(prefix, domain.name, collection) for domain, collection in catalog.collections)


def actual_collection(
    database: str, listed: Mapping[str, Any], indexes: Iterable[Mapping[str, Any]]
) -> WantedCollection:
    """What is there, from the server's answers to listCollections and listIndexes."""
    read = (
        WantedIndex(
            index["name"],
            # a direction is a number of any kind, or a word where the index is of another sort (text, hashed): then 0
            tuple((key, int(order) if isinstance(order, (int, float)) else 0) for key, order in index["key"].items()),
            bool(index.get("unique", False)),
            None if index.get("expireAfterSeconds") is None else int(index["expireAfterSeconds"]),
        )
        for index in indexes
        if index["name"] != "_id_"
    )
    return WantedCollection(
        database,
        listed["name"],
        dict(listed.get("options", {}).get("validator", {})),
        tuple(sorted(read, key=lambda index: index.name)),
    )
