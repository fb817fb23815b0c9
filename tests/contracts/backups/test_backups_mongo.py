"""MongoDB: every document as it is stored, and what its collection was made with."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pymongo
import pytest
from bson import Decimal128, Int64, ObjectId, Timestamp
from bson.json_util import CANONICAL_JSON_OPTIONS, loads

from storekeeper.backups import Repository, Sources, back_up, check_backup, mongo as mongo_backup
from storekeeper.backups.mongo_files import bson_path, metadata_path
from storekeeper.clock import FixedClock
from storekeeper.errors import BackupError, UnavailableError
from storekeeper.servers import RunningStack

Client = pymongo.MongoClient[dict[str, Any]]

AS_OF = datetime(2014, 6, 8, 2, tzinfo=UTC)
VALIDATOR = {"$jsonSchema": {"bsonType": "object", "required": ["n"]}}
DOCUMENTS = 300
ODD_NAME = "odd/name with % and ü"
ODD = {
    "_id": ObjectId(),
    "id": uuid.UUID(int=7),
    "price": Decimal128("1.10"),
    "long": Int64(5),
    "int": 5,
    "float": -0.0,
    "at": datetime(2014, 6, 8, 1, 2, 3, 4000, tzinfo=UTC),
    "stamp": Timestamp(1, 2),
    "none": None,
    "nested": {"b": [1, {"a": "é"}], "a": {}},
}


@pytest.fixture(scope="module")
def client(stack: RunningStack) -> Iterator[Client]:
    with Client(stack.urls.mongo, tz_aware=True, uuidRepresentation="standard") as client:
        yield client


@pytest.fixture(scope="module")
def filled(client: Client) -> Iterator[str]:
    """The prefix of two databases with documents, and of one that is another installation's."""
    prefix = f"test_{secrets.token_hex(4)}"
    invest = client[f"{prefix}_invest"]
    logs = invest.create_collection("logs", validator=VALIDATOR)
    logs.insert_many([{"n": n, "message": "x" * 50} for n in range(DOCUMENTS)])
    logs.create_index([("n", 1), ("message", -1)], unique=True)
    logs.create_index("at", expireAfterSeconds=2592000)
    invest[ODD_NAME].insert_one(dict(ODD))
    client[f"{prefix}_deals"].create_collection("empty")
    client[f"{prefix}x_invest"]["logs"].insert_one({"n": 1})
    yield prefix
    for database in ("_invest", "_deals", "x_invest"):
        client.drop_database(prefix + database)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "backups")


def test_every_document_is_there_byte_for_byte(
    client: Client, filled: str, mongo_url: str, repository: Repository, clock: FixedClock
) -> None:
    sources = Sources(mongo=mongo_url, mongo_prefix=filled)
    made = back_up("mongo", sources=sources, repository=repository, clock=clock, as_of=AS_OF)

    manifest = check_backup(repository, "mongo", "20140608T020000Z-full")
    assert manifest == made.manifest
    invest, deals = f"{filled}_invest", f"{filled}_deals"
    assert manifest.counts == {f"{deals}.empty": 0, f"{invest}.logs": DOCUMENTS, f"{invest}.{ODD_NAME}": 1}
    assert manifest.position["operation_time_at_start"]["seconds"] > 0

    dump = repository.path("mongo", made.label) / "dump"
    assert sorted(path.name for path in dump.iterdir()) == [deals, invest]
    with bson_path(dump / invest, "logs").open("rb") as file:
        stored = {document["_id"]: document for document in bson.decode_file_iter(file)}
    assert stored == {document["_id"]: document for document in client[invest]["logs"].find()}
    raw: Any = next(iter(client[invest][ODD_NAME].find_raw_batches()))
    assert bson_path(dump / invest, ODD_NAME).read_bytes() == raw
    assert bson_path(dump / deals, "empty").read_bytes() == b""


def test_the_metadata_are_what_mongorestore_reads(
    client: Client, filled: str, mongo_url: str, repository: Repository, clock: FixedClock
) -> None:
    sources = Sources(mongo=mongo_url, mongo_prefix=filled)
    made = back_up("mongo", sources=sources, repository=repository, clock=clock, as_of=AS_OF)
    folder = repository.path("mongo", made.label) / "dump" / f"{filled}_invest"

    text = metadata_path(folder, "logs").read_text()
    metadata = loads(text, json_options=CANONICAL_JSON_OPTIONS)
    assert metadata["collectionName"] == "logs"
    assert metadata["type"] == "collection"
    assert metadata["options"]["validator"] == VALIDATOR
    indexes = {index["name"]: index for index in metadata["indexes"]}
    assert list(indexes["n_1_message_-1"]["key"].items()) == [("n", 1), ("message", -1)]
    assert indexes["n_1_message_-1"]["unique"] is True
    assert indexes["at_1"]["expireAfterSeconds"] == 2592000
    assert "_id_" in indexes
    # types are written out, so that an integer stays one
    assert json.loads(text)["indexes"][0]["v"] == {"$numberInt": "2"}
    (found,) = client[f"{filled}_invest"].list_collections(filter={"name": "logs"})
    assert metadata["uuid"] == bytes(found["info"]["uuid"]).hex()


def test_the_consistency_is_the_servers_own(
    client: Client, filled: str, mongo_url: str, repository: Repository, clock: FixedClock
) -> None:
    """Whether a snapshot session is one is seen by writing into it; the manifest must claim no more than that."""
    logs = client[f"{filled}_invest"]["logs"]
    with client.start_session(snapshot=True) as session:
        before = len(list(logs.find({}, session=session)))
        logs.insert_one({"n": -1})
        kept = len(list(logs.find({}, session=session))) == before
    logs.delete_one({"n": -1})
    sources = Sources(mongo=mongo_url, mongo_prefix=filled)
    made = back_up("mongo", sources=sources, repository=repository, clock=clock, as_of=AS_OF)
    assert made.manifest is not None
    assert made.manifest.consistency.startswith("one moment" if kept else "each collection by its own cursor")


def test_an_installation_without_databases_is_backed_up_as_such(
    mongo_url: str, mongo_prefix: str, repository: Repository, clock: FixedClock
) -> None:
    sources = Sources(mongo=mongo_url, mongo_prefix=mongo_prefix)
    made = back_up("mongo", sources=sources, repository=repository, clock=clock, as_of=AS_OF)
    manifest = check_backup(repository, "mongo", made.label)
    assert manifest.counts == {}
    assert manifest.notes == ("there was no database of this installation",)


def test_a_dry_run_counts_and_writes_nothing(
    filled: str, mongo_url: str, repository: Repository, clock: FixedClock
) -> None:
    sources = Sources(mongo=mongo_url, mongo_prefix=filled)
    planned = back_up("mongo", sources=sources, repository=repository, clock=clock, as_of=AS_OF, dry_run=True)
    assert planned.bytes > DOCUMENTS * 50
    assert planned.detail.startswith(f"{DOCUMENTS + 1} documents")
    assert not repository.root.exists()


def test_a_server_that_is_down_leaves_nothing(repository: Repository, clock: FixedClock) -> None:
    sources = Sources(mongo="mongodb://user:secret@127.0.0.1:1/?serverSelectionTimeoutMS=200")
    with pytest.raises(UnavailableError) as caught:
        back_up("mongo", sources=sources, repository=repository, clock=clock, as_of=AS_OF)
    assert "secret" not in str(caught.value)
    assert not repository.root.exists()


def test_what_fails_in_the_middle_leaves_nothing(
    filled: str, mongo_url: str, repository: Repository, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(_batch: bytes) -> int:
        raise BackupError("a batch of documents is cut off")

    monkeypatch.setattr(mongo_backup, "document_count", cut)
    sources = Sources(mongo=mongo_url, mongo_prefix=filled)
    with pytest.raises(BackupError):
        back_up("mongo", sources=sources, repository=repository, clock=clock, as_of=AS_OF)
    assert repository.labels("mongo") == repository.leftovers("mongo") == ()
