"""The document store, on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from bson import Binary, Decimal128, ObjectId
from pymongo.errors import WriteError

from own_servers import http_server
from store_models import CATALOG, FORECASTS, Forecast, Log, Range, Side
from storekeeper.clock import SystemClock
from storekeeper.errors import (
    AuthenticationError,
    CheckError,
    ConstraintError,
    DeclarationError,
    InputError,
    NotMigratedError,
    PermissionDeniedError,
    StoreError,
    UnavailableError,
    UniqueError,
    WrongServerError,
)
from storekeeper.servers import RunningStack
from storekeeper.settings import ClientPool
from storekeeper.stores.mongo.mongo_async import AsyncMongo, InsertedCounts
from storekeeper.stores.mongo.wanted import WantedIndex, wanted_collection

NOON = datetime(2014, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def made(url: str, prefix: str) -> AsyncMongo:
    return AsyncMongo(url, prefix=prefix, pool=ClientPool(connect=2), catalog=CATALOG, clock=SystemClock())


@pytest.fixture
async def bare(mongo_url: str, mongo_prefix: str) -> AsyncIterator[AsyncMongo]:
    """An open store without collections."""
    async with made(mongo_url, mongo_prefix) as mongo:
        yield mongo


@pytest.fixture
async def mongo(bare: AsyncMongo) -> AsyncMongo:
    """An open store with the catalogue's collections."""
    for wanted in bare.wanted_collections():
        await bare.create_collection(wanted)
        for index in wanted.indexes:
            await bare.create_index(wanted.database, wanted.name, index)
    return bare


def log(minute: int, **fields: Any) -> Log:
    given = {"level": "info", "service": "auth", "message": f"at {minute}", **fields}
    return Log(timestamp=NOON + timedelta(minutes=minute), **given)


def forecast(symbol: str, **fields: Any) -> Forecast:
    given = {"confidence": 0.5, "target": Decimal("10.25"), "side": Side.BUY, "samples": 3, **fields}
    return Forecast(symbol=symbol, made_at=NOON, **given)


async def test_documents_whose_id_is_there_are_passed_over(mongo: AsyncMongo) -> None:
    ids = [ObjectId() for _ in range(4)]
    documents = {key: log(minute) for minute, key in enumerate(ids)}
    first = {key: documents[key] for key in ids[:3]}
    assert await mongo.insert_new("market.logs", first) == InsertedCounts(3, 0)
    changed = {**documents, ids[0]: log(0, message="another")}
    assert await mongo.insert_new("market.logs", changed) == InsertedCounts(1, 3)
    assert await mongo.insert_new("market.logs", changed) == InsertedCounts(0, 4)
    assert await mongo.insert_new("market.logs", {}) == InsertedCounts(0, 0)
    found = await mongo.find("market.logs", start=NOON, end=NOON + HOUR, newest_first=False, with_id=True)
    assert [document["_id"] for document in found] == ids
    assert found[0]["message"] == "at 0"


async def test_what_else_is_refused_of_new_documents_is_an_error(mongo: AsyncMongo) -> None:
    await mongo.collection("market.logs").create_index("message", unique=True)
    known = ObjectId()
    await mongo.insert_new("market.logs", {known: log(0)})
    with pytest.raises(UniqueError) as caught:
        await mongo.insert_new("market.logs", {known: log(0), ObjectId(): log(0), ObjectId(): log(1)})
    assert 1 in caught.value.rows
    with pytest.raises(InputError, match="nothing is written"):
        await mongo.insert_new("market.logs", {ObjectId(): log(2), ObjectId(): {"message": "no time"}})
    found = await mongo.find("market.logs", start=NOON, end=NOON + HOUR, newest_first=False)
    assert [document["message"] for document in found] == ["at 0", "at 1"]


async def test_documents_come_back_newest_first_within_the_range(mongo: AsyncMongo) -> None:
    user = UUID(int=7)
    lines = [
        log(minute, user_id=user, metadata={"n": minute, "at": NOON, "deep": {"none": None}}) for minute in range(5)
    ]
    assert await mongo.insert("market.logs", lines) == 5
    found = await mongo.find("market.logs", start=NOON, end=NOON + timedelta(minutes=4))
    assert [document["metadata"]["n"] for document in found] == [3, 2, 1, 0]
    assert found[0] == {
        "timestamp": NOON + timedelta(minutes=3),
        "level": "info",
        "service": "auth",
        "message": "at 3",
        "metadata": {"n": 3, "at": NOON, "deep": {"none": None}},
        "userId": user,
    }
    assert found[0]["timestamp"].utcoffset() == timedelta(0)
    assert await mongo.count("market.logs", start=NOON, end=NOON + HOUR) == 5


async def test_find_filters_limits_and_turns_the_order(mongo: AsyncMongo) -> None:
    await mongo.insert("market.logs", [log(m, level="error" if m % 2 else "info", metadata={"n": m}) for m in range(6)])
    errors = {"level": "error"}
    some = await mongo.find("market.logs", start=NOON, end=NOON + HOUR, where=errors, limit=2, newest_first=False)
    assert [document["metadata"]["n"] for document in some] == [1, 3]
    both = {"level": ["error", "info"], "metadata.n": [4, 5, 99]}
    assert await mongo.count("market.logs", start=NOON, end=NOON + HOUR, where=both) == 2
    (one,) = await mongo.find("market.logs", start=NOON, end=NOON + HOUR, limit=1, with_id=True)
    assert "_id" in one
    with pytest.raises(InputError, match="limit"):
        await mongo.find("market.logs", start=NOON, end=NOON + HOUR, limit=0)


async def test_every_sort_of_value_comes_back_as_it_was(mongo: AsyncMongo) -> None:
    whole = forecast(
        "ABC", target=Decimal("123456789.123456789"), within=Range(low=1, high=2.5), steps=[Range(low=3)],
        weights={"a": 1.5}, label=4, blob=b"\x00\xff", horizon="1d",
    )  # fmt: skip
    await mongo.insert("market.forecasts", [whole])
    (found,) = await mongo.find("market.forecasts", start=NOON, end=NOON + HOUR)
    assert Forecast.model_validate(found) == whole
    raw = await mongo.collection("market.forecasts").find_one({"symbol": "ABC"})
    assert raw is not None
    assert str(raw["target"]) == "123456789.123456789"


async def test_a_mapping_is_validated_and_nothing_is_written_if_one_is_bad(mongo: AsyncMongo) -> None:
    good = {"timestamp": NOON, "level": "info", "service": "s", "message": "m"}
    with pytest.raises(InputError, match="1: level"):
        await mongo.insert("market.logs", [good, {**good, "level": "fatal"}])
    assert await mongo.count("market.logs", start=NOON, end=NOON + HOUR) == 0
    assert await mongo.insert("market.logs", (line for line in [good, good])) == 2
    assert await mongo.insert("market.logs", []) == 0


async def test_a_duplicate_is_told_by_index_and_the_others_are_written(mongo: AsyncMongo) -> None:
    await mongo.insert("market.forecasts", [forecast("A")])
    with pytest.raises(UniqueError) as caught:
        await mongo.insert("market.forecasts", [forecast("B"), forecast("A"), forecast("C"), forecast("B")])
    assert set(caught.value.rows) == {1, 3}
    assert caught.value.column == "symbol, madeAt"
    found = await mongo.find("market.forecasts", start=NOON, end=NOON + HOUR)
    assert {document["symbol"] for document in found} == {"A", "B", "C"}


async def test_the_server_refuses_what_the_model_would(mongo: AsyncMongo) -> None:
    logs, forecasts = mongo.collection("market.logs"), mongo.collection("market.forecasts")
    good_log = {"timestamp": NOON, "level": "info", "service": "s", "message": "m"}
    good = {
        "symbol": "A",
        "madeAt": NOON,
        "confidence": 1,
        "target": Decimal128("1"),
        "side": "buy",
        "samples": 1,
        "within": {"low": 1},
        "steps": [{"low": 1.5, "more": "is open"}],
        "weights": {"a": 2},
        "label": "x",
    }
    await logs.insert_one({**good_log, "userId": UUID(int=1), "metadata": {"anything": [1, None]}})
    await forecasts.insert_one({**good, "blob": Binary(b"x")})
    bad_logs: list[dict[str, Any]] = [
        {**good_log, "level": "fatal"},
        {**good_log, "timestamp": "2014-06-01"},
        {**good_log, "userId": str(UUID(int=1))},
        {**good_log, "metadata": "text"},
        {**good_log, "colour": "red"},
        {key: value for key, value in good_log.items() if key != "message"},
    ]
    broken: tuple[dict[str, Any], ...] = (
        *({"symbol": ""}, {"symbol": "a"}, {"symbol": "ABCDEFGHIJK"}, {"confidence": 1.01}, {"confidence": True}),
        *({"target": 0}, {"side": "hold"}, {"samples": 1.5}, {"within": {}}, {"steps": [{"low": "x"}]}),
        *({"weights": {"a": "x"}}, {"label": 1.5}, {"blob": "x"}, {"horizon": "2d"}),
    )
    bad_forecasts = [{**good, **bad} for bad in broken]
    for collection, documents in ((logs, bad_logs), (forecasts, bad_forecasts)):
        for document in documents:
            with pytest.raises(WriteError) as caught:
                await collection.insert_one(document)
            assert caught.value.code == 121, document


async def test_a_document_that_only_the_server_refuses_is_a_check_error(mongo: AsyncMongo, mongo_prefix: str) -> None:
    stricter = {"$jsonSchema": {"properties": {"service": {"enum": ["auth"]}}}}
    await mongo.set_validator(f"{mongo_prefix}_market", "logs", stricter)
    with pytest.raises(CheckError) as caught:
        await mongo.insert("market.logs", [log(0), log(1, service="other")])
    assert caught.value.column == "service"
    assert list(caught.value.rows) == [1]
    assert await mongo.count("market.logs", start=NOON, end=NOON + HOUR) == 1


async def test_refusals_of_two_kinds_are_one_error(mongo: AsyncMongo, mongo_prefix: str) -> None:
    await mongo.insert("market.forecasts", [forecast("A")])
    await mongo.set_validator(
        f"{mongo_prefix}_market", "forecasts", {"$jsonSchema": {"properties": {"samples": {"maximum": 5}}}}
    )
    with pytest.raises(ConstraintError) as caught:
        await mongo.insert("market.forecasts", [forecast("A"), forecast("B", samples=6), forecast("C")])
    assert type(caught.value) is ConstraintError
    assert set(caught.value.rows) == {0, 1}


async def test_what_bson_cannot_hold_is_an_input_error(mongo: AsyncMongo) -> None:
    with pytest.raises(InputError, match="8-byte"):
        await mongo.insert("market.logs", [log(0, metadata={"n": 2**70})])
    with pytest.raises(InputError):
        await mongo.insert("market.logs", [log(0, message="x" * 17_000_000)])


async def test_before_migration_nothing_is_made_by_accident(bare: AsyncMongo, mongo_prefix: str) -> None:
    with pytest.raises(NotMigratedError, match="migrate"):
        await bare.insert("market.logs", [log(0)])
    with pytest.raises(NotMigratedError):
        await bare.find("market.logs", start=NOON, end=NOON + HOUR)
    assert f"{mongo_prefix}_market" not in await bare.database("market").client.list_database_names()
    with pytest.raises(DeclarationError, match="known"):
        await bare.find("market.log", start=NOON, end=NOON + HOUR)


async def test_what_was_made_is_read_as_what_was_wanted(mongo: AsyncMongo) -> None:
    assert await mongo.actual_collections() == tuple(sorted(mongo.wanted_collections(), key=lambda wanted: wanted.name))


async def test_what_nobody_declared_is_read_too(mongo: AsyncMongo) -> None:
    await mongo.database("market").create_collection("stray")
    actual = {collection.name: collection for collection in await mongo.actual_collections()}
    assert set(actual) == {"forecasts", "logs", "stray"}
    assert actual["stray"].validator == {}
    await mongo.drop_collection(actual["stray"].database, "stray")
    assert {collection.name for collection in await mongo.actual_collections()} == {"forecasts", "logs"}


async def test_validator_indexes_and_expiry_can_be_changed(mongo: AsyncMongo, mongo_prefix: str) -> None:
    database = f"{mongo_prefix}_market"

    async def actual() -> Any:
        return {collection.name: collection for collection in await mongo.actual_collections()}

    await mongo.set_ttl(database, "logs", "timestamp_-1", 60)
    assert (await actual())["logs"].index("timestamp_-1").expire_after_seconds == 60
    # an index that is none for expiry becomes one
    await mongo.create_index(database, "logs", WantedIndex("message_1", (("message", 1),)))
    await mongo.set_ttl(database, "logs", "message_1", 5)
    assert (await actual())["logs"].index("message_1").expire_after_seconds == 5
    await mongo.drop_index(database, "logs", "message_1")
    assert (await actual())["logs"].index("message_1") is None
    with pytest.raises(NotMigratedError):
        await mongo.drop_index(database, "logs", "message_1")

    wider = wanted_collection(mongo_prefix, "market", replace(FORECASTS, model=Log, time="timestamp", indexes=()))
    await mongo.set_validator(database, "forecasts", wider.validator)
    assert (await actual())["forecasts"].validator == wider.validator
    with pytest.raises(NotMigratedError):
        await mongo.set_validator(database, "nowhere", wider.validator)


async def test_an_index_that_documents_break_is_not_made(mongo: AsyncMongo, mongo_prefix: str) -> None:
    await mongo.insert("market.logs", [log(0), log(0)])
    with pytest.raises(UniqueError):
        await mongo.create_index(f"{mongo_prefix}_market", "logs", WantedIndex("m", (("message", 1),), unique=True))


async def test_sizes(mongo: AsyncMongo) -> None:
    await mongo.insert("market.logs", [log(minute) for minute in range(10)])
    logs, forecasts = await mongo.stats()
    assert (logs.dataset, logs.documents) == ("market.logs", 10)
    assert logs.bytes > 500
    assert logs.index_bytes > 0
    assert (forecasts.dataset, forecasts.documents) == ("market.forecasts", 0)


async def test_sizes_before_migration_are_zero(bare: AsyncMongo) -> None:
    assert [(found.documents, found.bytes) for found in await bare.stats()] == [(0, 0), (0, 0)]


async def test_health(bare: AsyncMongo, mongo_url: str, mongo_prefix: str) -> None:
    health = await bare.health()
    assert health.ok
    assert int(health.version.split(".")[0]) >= 7
    assert 0 < health.seconds < 5


async def test_it_is_used_between_open_and_close(mongo_url: str, mongo_prefix: str) -> None:
    mongo = made(mongo_url, mongo_prefix)
    with pytest.raises(StoreError, match="not open"):
        await mongo.stats()
    await mongo.open()
    with pytest.raises(StoreError, match="open already"):
        await mongo.open()
    await mongo.close()
    await mongo.close()
    with pytest.raises(StoreError, match="not open"):
        await mongo.stats()
    assert not (await mongo.health()).ok
    await mongo.open()
    await mongo.close()


async def test_the_pool_is_as_wide_as_asked_for(mongo_url: str, mongo_prefix: str) -> None:
    mark = "&" if "?" in mongo_url else "?"
    async with made(f"{mongo_url}{mark}pool_size=7&pool_min=2", mongo_prefix) as mongo:
        options = mongo.database("market").client.options.pool_options
        assert (options.min_pool_size, options.max_pool_size) == (2, 7)


async def test_wrong_password_and_none(mongo_url: str, mongo_prefix: str) -> None:
    scheme, _, rest = mongo_url.partition("://")
    credentials, _, address = rest.rpartition("@")
    user = credentials.partition(":")[0]
    with pytest.raises(AuthenticationError) as caught:
        await made(f"{scheme}://{user}:wrong@{address}", mongo_prefix).open()
    assert "wrong" not in str(caught.value)
    with pytest.raises(AuthenticationError, match="wants a user"):
        await made(f"{scheme}://{address.partition('/')[0]}/", mongo_prefix).open()


async def test_what_a_user_may_not_do(mongo: AsyncMongo, mongo_url: str, mongo_prefix: str) -> None:
    database = mongo.database("market")
    await database.command("createUser", "reader", pwd="r", roles=[{"role": "read", "db": database.name}])
    try:
        scheme, _, rest = mongo_url.partition("://")
        address = rest.rpartition("@")[2].partition("/")[0]
        url = f"{scheme}://reader:r@{address}/?authSource={database.name}"
        async with made(url, mongo_prefix) as reader:
            assert await reader.count("market.logs", start=NOON, end=NOON + HOUR) == 0
            with pytest.raises(PermissionDeniedError):
                await reader.insert("market.logs", [log(0)])
    finally:
        await database.command("dropUser", "reader")


async def test_a_server_that_is_not_there() -> None:
    with pytest.raises(UnavailableError, match="no server listens"):
        await made("mongodb://127.0.0.1:1/", "p").open()


async def test_a_server_of_another_kind(stack: RunningStack) -> None:
    with http_server() as port, pytest.raises(WrongServerError, match="HTTP"):
        await made(f"mongodb://127.0.0.1:{port}/", "p").open()
    path = stack.urls.redis.partition("?")[0].rpartition("@")[2].removeprefix("unix://")
    with pytest.raises(WrongServerError, match="Redis"):
        await made(f"mongodb://{path.replace('/', '%2F')}/", "p").open()
