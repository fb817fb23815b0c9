"""The handle of the document store."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from bson import ObjectId
from pydantic import BaseModel
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError

from storekeeper.catalog import Catalog
from storekeeper.clock import Clock
from storekeeper.errors import InputError, NotMigratedError, StoreError
from storekeeper.settings import ClientPool
from storekeeper.stores.health import Health
from storekeeper.stores.mongo.connection_async import AsyncConnection, Document
from storekeeper.stores.mongo.documents import to_documents, to_filter
from storekeeper.stores.mongo.failures import only_known_ids
from storekeeper.stores.mongo.wanted import (
    WantedCollection,
    WantedIndex,
    actual_collection,
    database_name,
    wanted_collections,
)


@dataclass(frozen=True, slots=True)
class CollectionStatistics:
    """What a collection holds: documents, and bytes on the disk of documents and of indexes."""

    dataset: str
    documents: int
    bytes: int
    index_bytes: int


@dataclass(frozen=True, slots=True)
class InsertedCounts:
    """What became of documents that were given with their ids: written, or left out for they were there already."""

    inserted: int
    present: int


class AsyncMongo:
    """Documents of the catalogue's collections, each in the database of its domain: PREFIX_DOMAIN.

    | call | what it does |
    | --- | --- |
    | `insert("invest.logs", documents)` | checks all by the model, then writes them; acknowledged means durable |
    | `insert_new("invest.logs", {id: document})` | the same, of those whose id is not there yet |
    | `find("invest.logs", start=, end=, where={"level": "error"}, limit=20)` | newest first, within the range |
    | `collection("invest.logs")` | the driver's own collection |

    It is opened once, and belongs to the process (and event loop) that opened it.
    """

    def __init__(self, url: str, *, prefix: str, pool: ClientPool, catalog: Catalog, clock: Clock) -> None:
        self._connection = AsyncConnection(url, pool)
        self._prefix = prefix
        self._catalog = catalog
        self._clock = clock
        self._present: set[tuple[str, str]] = set()

    async def open(self) -> None:
        """Connects, and asks the server what it is. Raises UnavailableError, AuthenticationError, WrongServerError."""
        await self._connection.open()

    async def close(self) -> None:
        """Closes every connection. In a forked child it does nothing: the connections are the parent's."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def health(self) -> Health:
        """How the server is, now; a server that does not answer is told of, not raised."""
        begun = time.perf_counter()
        try:
            async with self._connection.operation("ask", "mongo") as client:
                about = await client.admin.command("buildInfo")
        except StoreError as error:
            return Health("mongo", False, "", str(error), time.perf_counter() - begun)
        return Health("mongo", True, about["version"], "", time.perf_counter() - begun)

    # Documents

    async def insert(self, dataset: str, given: Iterable[BaseModel | Mapping[str, Any]]) -> int:
        """Writes documents and returns how many. All are checked by the model before the first is sent.

        What the server refuses all the same (UniqueError, CheckError, or ConstraintError where both) does not keep the
        others from being written: the error's `rows` says which, by index, and why. Raises InputError,
        NotMigratedError.
        """
        domain, collection = self._catalog.collection(dataset)
        stored = to_documents(given, collection.model, target=dataset)
        if not stored:
            return 0
        async with self._connection.operation("insert into", dataset) as client:
            await self._require(client, domain.name, collection.name)
            target = client[database_name(self._prefix, domain.name)][collection.name]
            result = await target.insert_many(stored, ordered=False)
            return len(result.inserted_ids)

    async def insert_new(self, dataset: str, given: Mapping[ObjectId, BaseModel | Mapping[str, Any]]) -> InsertedCounts:
        """Writes those documents whose `_id` is not there yet; all are checked by the model before the first is sent.

        So a call that was cut off can be made again, and of two at once each writes what the other has not. A document
        that is there is not looked at. Raises as `insert` does.
        """
        domain, collection = self._catalog.collection(dataset)
        stored = to_documents(given.values(), collection.model, target=dataset)
        if not stored:
            return InsertedCounts(0, 0)
        documents = [{"_id": key, **document} for key, document in zip(given, stored, strict=True)]
        async with self._connection.operation("insert into", dataset) as client:
            await self._require(client, domain.name, collection.name)
            target = client[database_name(self._prefix, domain.name)][collection.name]
            try:
                result = await target.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                if (present := only_known_ids(error)) is None:
                    raise
                return InsertedCounts(len(documents) - present, present)
            return InsertedCounts(len(result.inserted_ids), 0)

    async def find(
        self,
        dataset: str,
        *,
        start: datetime,
        end: datetime,
        where: Mapping[str, Any] | None = None,
        limit: int | None = None,
        newest_first: bool = True,
        with_id: bool = False,
    ) -> list[Document]:
        """Documents with start <= time < end, sorted by time. Keep the range narrow: not every server stops at a limit.

        `where` names fields (dotted where nested) and the values, or sequences of values, that they must have. Times
        come back aware, in UTC. Raises InputError, NaiveTimeError, NotMigratedError, StatementTimeoutError.
        """
        if limit is not None and limit < 1:
            raise InputError(f"a limit of {limit}", operation="read", target=dataset, hint="leave it out for no limit")
        domain, collection = self._catalog.collection(dataset)
        wanted = to_filter(collection, start, end, where or {}, target=dataset)
        async with self._connection.operation("read", dataset) as client:
            await self._require(client, domain.name, collection.name)
            target = client[database_name(self._prefix, domain.name)][collection.name]
            cursor = target.find(wanted, None if with_id else {"_id": False}, limit=limit or 0)
            return await cursor.sort(collection.time, -1 if newest_first else 1).to_list()

    async def count(
        self, dataset: str, *, start: datetime, end: datetime, where: Mapping[str, Any] | None = None
    ) -> int:
        """How many documents `find` would return."""
        domain, collection = self._catalog.collection(dataset)
        wanted = to_filter(collection, start, end, where or {}, target=dataset)
        async with self._connection.operation("count", dataset) as client:
            await self._require(client, domain.name, collection.name)
            return await client[database_name(self._prefix, domain.name)][collection.name].count_documents(wanted)

    def collection(self, dataset: str) -> AsyncCollection[Document]:
        """The driver's collection, for what `find` cannot say. Its errors are the driver's: see failures.translated."""
        domain, collection = self._catalog.collection(dataset)
        return self.database(domain.name)[collection.name]

    def database(self, domain: str) -> AsyncDatabase[Document]:
        """The driver's database of a domain."""
        return self._connection.client[database_name(self._prefix, self._catalog.domain(domain).name)]

    async def stats(self) -> tuple[CollectionStatistics, ...]:
        """Documents and bytes of every declared collection; zeros where it is not there yet."""
        found = []
        async with self._connection.operation("measure", "mongo") as client:
            for domain, collection in self._catalog.collections:
                database = client[database_name(self._prefix, domain.name)]
                # a server may answer for a missing collection with zeros, or with an error
                there = await database.list_collection_names(filter={"name": collection.name})
                told = await database.command("collStats", collection.name) if there else {}
                sizes = (int(told.get(name, 0)) for name in ("count", "storageSize", "totalIndexSize"))
                found.append(CollectionStatistics(f"{domain.name}.{collection.name}", *sizes))
        return tuple(found)

    # What collections are like: read and changed by reconciliation

    def wanted_collections(self) -> tuple[WantedCollection, ...]:
        """What the catalogue asks for, in its order."""
        return wanted_collections(self._prefix, self._catalog)

    async def actual_collections(self) -> tuple[WantedCollection, ...]:
        """What is there in the databases of the catalogue's domains, declared or not."""
        found = []
        async with self._connection.operation("inspect", "mongo") as client:
            for domain in self._catalog.domains:
                database = client[database_name(self._prefix, domain.name)]
                async for listed in await database.list_collections(filter={"type": "collection"}):
                    if listed["name"].startswith("system."):
                        continue
                    indexes = await (await database[listed["name"]].list_indexes()).to_list()
                    found.append(actual_collection(database.name, listed, indexes))
        return tuple(sorted(found, key=lambda collection: (collection.database, collection.name)))

    async def create_collection(self, wanted: WantedCollection) -> None:
        """Makes a collection with its validator, without its indexes."""
        async with self._connection.operation("create", f"{wanted.database}.{wanted.name}") as client:
            await client[wanted.database].create_collection(wanted.name, validator=dict(wanted.validator))

    async def set_validator(self, database: str, collection: str, validator: Mapping[str, Any]) -> None:
        """Checks what is written from now on; what is there already is not looked at. An empty one checks nothing."""
        async with self._connection.operation("set validator of", f"{database}.{collection}") as client:
            await client[database].command(
                "collMod",
                collection,
                validator=dict(validator),
                validationLevel="strict",
                validationAction="error",
            )

    async def create_index(self, database: str, collection: str, index: WantedIndex) -> None:
        """Builds an index. Raises UniqueError where documents that are there break it."""
        options: dict[str, Any] = {"unique": True} if index.unique else {}
        if index.expire_after_seconds is not None:
            options["expireAfterSeconds"] = index.expire_after_seconds
        async with self._connection.operation("index", f"{database}.{collection}") as client:
            await client[database][collection].create_index(list(index.keys), name=index.name, **options)

    async def drop_index(self, database: str, collection: str, name: str) -> None:
        async with self._connection.operation("drop index of", f"{database}.{collection}") as client:
            await client[database][collection].drop_index(name)

    async def set_ttl(self, database: str, collection: str, name: str, seconds: int) -> None:
        """Documents expire that many seconds after the time under this index, which is of one field. An index that is
        none for expiry yet becomes one; the way back is to drop and create it."""
        async with self._connection.operation("set expiry of", f"{database}.{collection}") as client:
            await client[database].command("collMod", collection, index={"name": name, "expireAfterSeconds": seconds})

    async def drop_collection(self, database: str, collection: str) -> None:
        async with self._connection.operation("drop", f"{database}.{collection}") as client:
            await client[database].drop_collection(collection)
        self._present.discard((database, collection))

    async def _require(self, client: AsyncMongoClient[Document], domain: str, collection: str) -> None:
        """MongoDB would make a missing collection at the first insert, without validator and expiry."""
        key = (database_name(self._prefix, domain), collection)
        if key in self._present:
            return
        if not await client[key[0]].list_collection_names(filter={"name": collection}):
            raise NotMigratedError(
                f"there is no collection {collection} in database {key[0]}",
                operation="find collection",
                target=f"{domain}.{collection}",
                hint="run storekeeper migrate",
            )
        self._present.add(key)
