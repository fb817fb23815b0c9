"""MongoDB: every collection of the installation's databases, in the layout of mongodump, in `dump/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

import pymongo
from bson import Timestamp
from bson.binary import UUID_SUBTYPE
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.json_util import CANONICAL_JSON_OPTIONS, dumps
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure

from storekeeper.backups.mongo_files import bson_path, document_count, metadata_path
from storekeeper.backups.running import Errand
from storekeeper.backups.taken import Taken
from storekeeper.settings import ClientPool, without_password
from storekeeper.stores.mongo.client import client_options
from storekeeper.stores.mongo.failures import translated

DUMP = "dump"
# A server that answers nothing for so long is gone. It is the longest that a batch of 16 MB may take.
_POOL = ClientPool(min=0, size=2, connect=10, operation=300)
_SNAPSHOT_GONE = (239, 246)  # SnapshotTooOld, SnapshotUnavailable
# As it is stored: any date, standard UUIDs, the order of fields.
_EXACT = CodecOptions[dict[str, Any]](tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_Client = pymongo.MongoClient[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class MongoServer:
    """What is known of a running server. `bytes` is the size of the documents of those databases."""

    version: str
    set_name: str
    databases: tuple[str, ...]
    documents: int
    bytes: int


def inspect_mongo(url: str, prefix: str) -> MongoServer:
    """Asks the server behind a URL for the databases whose names begin with prefix_. Raises the stores' errors."""
    with translated("inspect", without_password(url)), _client(url) as client:
        databases = tuple(sorted(name for name in client.list_database_names() if name.startswith(f"{prefix}_")))
        sizes = [client[name].command("dbStats") for name in databases]
        return MongoServer(
            version=str(client.server_info()["version"]),
            set_name=str(client.admin.command("hello").get("setName", "")),
            databases=databases,
            documents=sum(int(size["objects"]) for size in sizes),
            bytes=sum(int(size["dataSize"]) for size in sizes),
        )


def take_dump(url: str, server: MongoServer, folder: Path, errand: Errand) -> Taken:
    """Writes the documents as they are stored, and what each collection was made with. Raises the stores' errors."""
    with translated("back up", errand.target), _client(url) as client:
        begun = _operation_time(client)
        counts, consistency = _dump_all(client, server, folder / DUMP, errand)
        return Taken(
            engine="mongodb",
            server_version=server.version,
            identity=server.set_name,
            consistency=consistency,
            position={"operation_time_at_start": begun, "operation_time_at_end": _operation_time(client)},
            counts=counts,
            details={"databases": list(server.databases)},
            tools={"pymongo": pymongo.version},
            notes=() if server.databases else ("there was no database of this installation",),
        )


def _dump_all(client: _Client, server: MongoServer, dump: Path, errand: Errand) -> tuple[dict[str, int], str]:
    """All documents as of one moment, where the server keeps that moment for as long as it takes."""
    if _keeps_snapshots(client, server.databases):
        try:
            with client.start_session(snapshot=True) as session:
                return _dump(client, server, dump, errand, session), "one moment: a snapshot session"
        except OperationFailure as error:
            if error.code not in _SNAPSHOT_GONE:
                raise
        rmtree(dump)
        why = "the server gave up its snapshot before the end"
    else:
        why = "the server keeps no snapshots"
    counts = _dump(client, server, dump, errand, None)
    return counts, f"each collection by its own cursor, what is written meanwhile may or may not be in it: {why}"


def _keeps_snapshots(client: _Client, databases: tuple[str, ...]) -> bool:
    """Whether a read as of a moment is one. Asked for 1970, an honest server says that this is too long ago; a server
    that takes the wish and ignores it answers."""
    for database in databases:
        for collection in client[database].list_collection_names(filter={"type": "collection"}):
            concern = {"level": "snapshot", "atClusterTime": Timestamp(1, 1)}
            try:
                client[database].command("find", collection, limit=1, singleBatch=True, readConcern=concern)
            except OperationFailure as error:
                return error.code in _SNAPSHOT_GONE
            return False
    return False


def _dump(
    client: _Client, server: MongoServer, dump: Path, errand: Errand, session: ClientSession | None
) -> dict[str, int]:
    """Documents by "database.collection"."""
    dump.mkdir(mode=0o700)
    counts: dict[str, int] = {}
    for name in server.databases:
        database = client.get_database(name, codec_options=_EXACT)
        folder = dump / name
        folder.mkdir(mode=0o700)
        for collection in sorted(database.list_collections(), key=lambda found: str(found["name"])):
            if collection["name"].startswith("system.") and collection["name"] != "system.js":
                continue  # the server's own: views, and the buckets that belong to a time-series collection
            kind = collection.get("type", "collection")
            if kind != "view":
                source = f"system.buckets.{collection['name']}" if kind == "timeseries" else collection["name"]
                counts[f"{name}.{collection['name']}"] = _write_documents(
                    client, name, source, bson_path(folder, source), errand, session
                )
            metadata_path(folder, collection["name"]).write_text(_metadata(database, collection, kind))
    return counts


def _write_documents(
    client: _Client, database: str, collection: str, path: Path, errand: Errand, session: ClientSession | None
) -> int:
    count = 0
    with path.open("xb") as file, client[database][collection].find_raw_batches({}, session=session) as batches:
        batch: Any  # the driver's stubs promise documents; they are bytes
        for batch in batches:
            errand.deadline.check(target=errand.target)
            file.write(batch)
            count += document_count(batch)
    return count


def _metadata(database: pymongo.database.Database[dict[str, Any]], collection: Mapping[str, Any], kind: str) -> str:
    """What mongorestore makes the collection and its indexes from."""
    uuid = collection.get("info", {}).get("uuid")
    metadata = {
        "options": collection.get("options", {}),
        "indexes": [] if kind == "view" else list(database[collection["name"]].list_indexes()),
        "uuid": uuid.hex() if uuid is not None and getattr(uuid, "subtype", None) == UUID_SUBTYPE else "",
        "collectionName": collection["name"],
        "type": kind,
    }
    return dumps(metadata, json_options=CANONICAL_JSON_OPTIONS)


def _operation_time(client: _Client) -> dict[str, int] | None:
    """From where on a change stream would show what came later; None where the server keeps no log."""
    moment = client.admin.command("ping").get("operationTime")
    return {"seconds": moment.time, "increment": moment.inc} if moment is not None else None


@contextmanager
def _client(url: str) -> Iterator[_Client]:
    told = client_options(url, _POOL)
    client: _Client = pymongo.MongoClient(told.url, **told.options)
    try:
        yield client
    finally:
        client.close()
