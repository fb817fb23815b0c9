"""The key store, on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import TypeAdapter

from own_servers import http_server
from store_models import CATALOG, LIMITED, QUOTE, SESSION, TEN_A_MINUTE, Quote, Session, Side
from storekeeper.catalog import RateLimit
from storekeeper.clock import SystemClock
from storekeeper.errors import (
    AuthenticationError,
    DeclarationError,
    InputError,
    PermissionDeniedError,
    SettingsError,
    StoreError,
    UnavailableError,
    WrongServerError,
)
from storekeeper.servers import RunningStack
from storekeeper.settings import ClientPool
from storekeeper.span import days, hours, minutes, months, seconds
from storekeeper.stores.redis.redis_async import AsyncRedis

NOON = datetime(2014, 6, 1, 12, tzinfo=UTC)
QUOTED = Quote(price=Decimal("64.56"), volume=100, side=Side.SELL, updated_at=NOON)
SEEN = Session(user_id=UUID(int=1), refresh_token="d1", device_info={"os": "x"}, created_at=NOON)


def made(url: str, prefix: str = "") -> AsyncRedis:
    return AsyncRedis(url, prefix=prefix, pool=ClientPool(connect=2), catalog=CATALOG, clock=SystemClock())


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[AsyncRedis]:
    async with made(redis_url) as store:
        yield store


async def test_a_hash_is_written_as_the_contract_says(redis: AsyncRedis) -> None:
    await redis.put(SESSION, SEEN, session_id="s1")
    assert await redis.client.keys("*") == [b"session:s1"]
    assert await redis.client.hgetall("session:s1") == {
        b"user_id": b"00000000-0000-0000-0000-000000000001",
        b"refresh_token": b"d1",
        b"device_info": b'{"os":"x"}',
        b"created_at": b"2014-06-01T12:00:00Z",
    }
    month = 30 * 24 * 3600 * 1000
    assert month - 5000 < await redis.client.pttl("session:s1") <= month


async def test_what_was_put_is_got_by_value_or_by_name(redis: AsyncRedis) -> None:
    await redis.put(QUOTE, QUOTED, symbol="MSFT")
    assert await redis.get(QUOTE, symbol="MSFT") == QUOTED
    assert await redis.get("stock", symbol="MSFT") == QUOTED
    assert await redis.get("stock", symbol="IBM") is None
    with pytest.raises(DeclarationError):
        await redis.get("stocks", symbol="MSFT")


async def test_put_leaves_nothing_of_what_was_there(redis: AsyncRedis) -> None:
    await redis.put(QUOTE, QUOTED, symbol="MSFT")
    plain = {"price": "1.5", "volume": 1, "updated_at": NOON}
    await redis.put(QUOTE, plain, symbol="MSFT")
    assert await redis.get(QUOTE, symbol="MSFT") == Quote.model_validate(plain)
    assert 0 < await redis.client.pttl("stock:MSFT:quote") <= 60_000


async def test_a_refused_value_leaves_what_was_there(redis: AsyncRedis) -> None:
    await redis.put(QUOTE, QUOTED, symbol="MSFT")
    with pytest.raises(InputError):
        await redis.put(QUOTE, {"price": "dear"}, symbol="MSFT")
    assert await redis.get(QUOTE, symbol="MSFT") == QUOTED


async def test_many_are_got_in_order(redis: AsyncRedis) -> None:
    for volume, symbol in enumerate(("A", "B", "C")):
        await redis.put(QUOTE, QUOTED.model_copy(update={"volume": volume}), symbol=symbol)
    found = await redis.get_many(QUOTE, [{"symbol": symbol} for symbol in ("C", "none", "A")])
    assert [getattr(quote, "volume", None) for quote in found] == [2, None, 0]
    assert await redis.get_many(QUOTE, []) == []


async def test_put_and_get_many_take_one_round_trip(redis: AsyncRedis) -> None:
    async def trips() -> int:
        # reads of the socket: one a request, however many commands it holds
        return int((await redis.client.info("stats"))["total_reads_processed"])

    before = await trips()
    await redis.put(QUOTE, QUOTED, symbol="A")
    assert await trips() - before == 2
    before = await trips()
    await redis.get_many(QUOTE, [{"symbol": "A"}] * 20)
    assert await trips() - before == 2
    await redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")
    before = await trips()
    await redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")
    assert await trips() - before == 2


async def test_delete(redis: AsyncRedis) -> None:
    await redis.put(QUOTE, QUOTED, symbol="A")
    assert await redis.delete(QUOTE, symbol="A") is True
    assert await redis.delete(QUOTE, symbol="A") is False
    assert await redis.get(QUOTE, symbol="A") is None


async def test_sets(redis: AsyncRedis) -> None:
    assert await redis.add("subscriptions", UUID(int=1), UUID(int=2), symbol="A") == 2
    assert await redis.add("subscriptions", UUID(int=2), symbol="A") == 0
    assert await redis.members("subscriptions", symbol="A") == {str(UUID(int=1)), str(UUID(int=2))}
    assert await redis.client.pttl("subscriptions:A") == -1
    assert await redis.remove("subscriptions", UUID(int=1), "other", symbol="A") == 1
    assert await redis.members("subscriptions", symbol="B") == frozenset()
    assert await redis.add("watchers", "u", symbol="A") == 1
    assert 0 < await redis.client.pttl("watchers:A") <= 300_000
    with pytest.raises(InputError, match="no members"):
        await redis.add("subscriptions", symbol="A")


async def test_counters(redis: AsyncRedis) -> None:
    assert await redis.value("visits", page="/") == 0
    assert await redis.increment("visits", page="/") == 1
    await redis.client.pexpire("visits:/", 100_000)
    assert await redis.increment("visits", 4, page="/") == 5
    assert await redis.value("visits", page="/") == 5
    assert 0 < await redis.client.pttl("visits:/") <= 100_000  # the first increment's time goes on
    assert await redis.increment("totals", page="/") == 1
    assert await redis.client.pttl("totals:/") == -1


async def test_each_kind_has_its_calls(redis: AsyncRedis) -> None:
    with pytest.raises(InputError, match="holds a set"):
        await redis.get("subscriptions", symbol="A")
    with pytest.raises(InputError, match="holds a hash"):
        await redis.add(QUOTE, "x", symbol="A")
    with pytest.raises(InputError, match="takes symbol"):
        await redis.get(QUOTE, name="A")


async def test_a_key_of_another_type_is_told(redis: AsyncRedis) -> None:
    await redis.client.set("stock:A:quote", "text")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        await redis.get(QUOTE, symbol="A")
    await redis.put(QUOTE, QUOTED, symbol="A")
    assert await redis.get(QUOTE, symbol="A") == QUOTED


async def test_what_another_program_wrote_is_told(redis: AsyncRedis) -> None:
    await redis.client.hset("stock:A:quote", mapping={"price": "dear"})
    with pytest.raises(StoreError, match="price") as caught:
        await redis.get(QUOTE, symbol="A")
    assert "dear" not in str(caught.value)


async def test_the_prefix_stands_before_every_key(redis_url: str) -> None:
    async with made(redis_url, "shop:") as redis:
        await redis.put(QUOTE, QUOTED, symbol="A")
        await redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")
        await redis.cached("k", minutes(1), produced, list[int])
        await redis.add("subscriptions", "u", symbol="A")
        keys = sorted(await redis.client.keys("*"))
        assert keys == [b"shop:cache:k", b"shop:ratelimit:u:e", b"shop:stock:A:quote", b"shop:subscriptions:A"]
        assert redis.key(QUOTE, symbol="A") == "shop:stock:A:quote"


async def test_a_limit_lets_so_many_through_and_says_when_to_come_back(redis: AsyncRedis) -> None:
    answers = [await redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e") for _ in range(12)]
    assert [answer.allowed for answer in answers] == [True] * 10 + [False] * 2
    assert [answer.count for answer in answers] == [*range(1, 11), 10, 10]
    assert [answer.remaining for answer in answers] == [*range(9, -1, -1), 0, 0]
    assert answers[0].retry_after == timedelta(0)
    assert timedelta(seconds=50) < answers[-1].retry_after <= timedelta(minutes=1)
    assert await redis.client.get("ratelimit:u:e") == b"10"
    assert (await redis.hit(TEN_A_MINUTE, user_id="v", endpoint="e")).allowed
    assert (await redis.hit(TEN_A_MINUTE, user_id="u", endpoint="f")).allowed


async def test_a_refused_call_does_not_lengthen_the_window(redis: AsyncRedis) -> None:
    once = RateLimit(LIMITED, 1, minutes(1))
    await redis.hit(once, user_id="u", endpoint="e")
    await redis.client.pexpire("ratelimit:u:e", 5000)
    refused = await redis.hit(once, user_id="u", endpoint="e")
    assert not refused.allowed
    assert refused.retry_after <= timedelta(seconds=5)
    assert await redis.client.pttl("ratelimit:u:e") <= 5000


async def test_a_window_ends(redis: AsyncRedis) -> None:
    short = RateLimit(LIMITED, 1, seconds(0.05))
    assert (await redis.hit(short, user_id="u", endpoint="e")).allowed
    refused = await redis.hit(short, user_id="u", endpoint="e")
    while not (await redis.hit(short, user_id="u", endpoint="e")).allowed:
        assert not refused.allowed
    assert await redis.client.get("ratelimit:u:e") == b"1"


@pytest.mark.parametrize("left_ms", [None, 10**9])
async def test_a_counter_without_an_end_is_healed(redis: AsyncRedis, left_ms: int | None) -> None:
    await redis.client.set("ratelimit:u:e", 10, px=left_ms)
    refused = await redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")
    assert not refused.allowed
    assert refused.retry_after == timedelta(minutes=1)
    assert 0 < await redis.client.pttl("ratelimit:u:e") <= 60_000


async def test_many_limits_are_asked_in_one_go(redis: AsyncRedis) -> None:
    two = RateLimit(LIMITED, 2, minutes(1))
    hits: list[tuple[RateLimit, dict[str, object]]] = [
        (two if user == "u" else TEN_A_MINUTE, {"user_id": user, "endpoint": "e"}) for user in ("u", "u", "v", "u")
    ]
    await redis.client.script_flush()
    answers = await redis.hit_many(hits)
    assert [answer.allowed for answer in answers] == [True, True, True, False]
    assert [answer.limit for answer in answers] == [2, 2, 10, 2]
    assert await redis.hit_many([]) == []


async def test_a_server_that_forgot_the_script_learns_it_again(redis: AsyncRedis) -> None:
    await redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")
    await redis.client.script_flush()
    assert (await redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")).count == 2


async def test_a_counter_that_is_no_number_is_told(redis: AsyncRedis) -> None:
    await redis.client.set("ratelimit:u:e", "text")
    with pytest.raises(StoreError, match="not an integer"):
        await redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")
    with pytest.raises(StoreError, match="not an integer"):
        await redis.hit_many([(TEN_A_MINUTE, {"user_id": "u", "endpoint": "e"})] * 2)


calls: list[int] = []


async def produced() -> list[int]:
    calls.append(1)
    return [1, 2]


async def test_a_query_is_run_once_while_its_result_lives(redis: AsyncRedis) -> None:
    calls.clear()
    for _ in range(3):
        assert await redis.cached("bars", minutes(5), produced, list[int]) == [1, 2]
    assert len(calls) == 1
    assert await redis.client.get("cache:bars") == b"[1,2]"
    assert 290_000 < await redis.client.pttl("cache:bars") <= 300_000
    assert await redis.forget("bars", "other") == 1
    await redis.cached("bars", minutes(5), produced, list[int])
    assert len(calls) == 2


async def test_results_of_any_type_come_back_as_they_were(redis: AsyncRedis) -> None:
    async def model() -> dict[str, Quote]:
        return {"A": QUOTED}

    async def nothing() -> int | None:
        return None

    async def raw() -> bytes:
        return b"\x00\xff"

    for _ in range(2):
        assert await redis.cached("model", minutes(1), model, dict[str, Quote]) == {"A": QUOTED}
        assert await redis.cached("nothing", minutes(1), nothing, TypeAdapter(int | None)) is None
        assert await redis.cached("raw", minutes(1), raw, bytes) == b"\x00\xff"


async def test_a_cached_result_of_another_type_is_produced_anew(redis: AsyncRedis) -> None:
    calls.clear()
    await redis.client.set("cache:bars", '{"of": "an older release"}')
    assert await redis.cached("bars", hours(1), produced, list[int]) == [1, 2]
    assert len(calls) == 1


@pytest.mark.parametrize("ttl", [seconds(59), minutes(61), days(1), months(1)])
async def test_results_live_for_one_to_sixty_minutes(redis: AsyncRedis, ttl: Any) -> None:
    with pytest.raises(InputError, match="1 to 60"):
        await redis.cached("bars", ttl, produced, list[int])


async def test_a_producer_that_fails_leaves_nothing(redis: AsyncRedis) -> None:
    async def failing() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await redis.cached("k", minutes(1), failing, int)
    assert await redis.client.exists("cache:k") == 0


async def test_health(redis: AsyncRedis) -> None:
    health = await redis.health()
    assert health.ok
    assert health.version.split()[0] in ("valkey", "redis")
    assert 0 < health.seconds < 5


async def test_it_is_used_between_open_and_close(redis_url: str) -> None:
    redis = made(redis_url)
    with pytest.raises(StoreError, match="not open"):
        await redis.get(QUOTE, symbol="A")
    await redis.open()
    with pytest.raises(StoreError, match="open already"):
        await redis.open()
    await redis.close()
    await redis.close()
    with pytest.raises(StoreError, match="not open"):
        await redis.get(QUOTE, symbol="A")
    assert not (await redis.health()).ok
    await redis.open()
    await redis.close()


async def test_the_pool_opens_its_least_and_leaves_none_behind(redis_url: str) -> None:
    mark = "&" if "?" in redis_url else "?"
    async with made(redis_url) as watcher:

        async def connections() -> int:
            return sum(client["name"] == "storekeeper" for client in await watcher.client.client_list())

        before = await connections()
        assert before == 5
        async with made(f"{redis_url}{mark}pool_min=3&pool_size=4"):
            assert await connections() == before + 3
        while await connections() > before:  # the server notices a little later
            pass


async def test_wrong_password_and_none(redis_url: str) -> None:
    scheme, _, rest = redis_url.partition("://")
    credentials, _, address = rest.rpartition("@")
    user = credentials.partition(":")[0]
    for url in (f"{scheme}://{user}:wrong@{address}", f"{scheme}://{address}"):
        with pytest.raises(AuthenticationError) as caught:
            await made(url).open()
        assert "wrong" not in str(caught.value)


async def test_what_a_user_may_not_do(redis: AsyncRedis, redis_url: str) -> None:
    await redis.client.execute_command("ACL SETUSER reader on >r ~* +@read +info +ping +client")
    try:
        scheme, _, rest = redis_url.partition("://")
        async with made(f"{scheme}://reader:r@{rest.rpartition('@')[2]}") as reader:
            assert await reader.get(SESSION, session_id="s") is None
            with pytest.raises(PermissionDeniedError) as caught:
                await reader.put(SESSION, SEEN, session_id="s")
            assert "d1" not in f"{caught.value}{caught.value.__cause__}"
            with pytest.raises(PermissionDeniedError):
                await reader.hit(TEN_A_MINUTE, user_id="u", endpoint="e")
    finally:
        await redis.client.acl_deluser("reader")


async def test_a_server_that_is_not_there(redis_url: str) -> None:
    with pytest.raises(UnavailableError, match="Error 111"):
        await made("redis://127.0.0.1:1/0").open()
    with pytest.raises(UnavailableError):
        await made("unix:///nowhere/redis.sock?db=0").open()


async def test_a_parameter_that_the_driver_does_not_know(redis_url: str) -> None:
    mark = "&" if "?" in redis_url else "?"
    with pytest.raises(SettingsError, match="nonsense"):
        await made(f"{redis_url}{mark}nonsense=1").open()


async def test_a_server_of_another_kind(stack: RunningStack) -> None:
    with http_server() as port, pytest.raises(WrongServerError):
        await made(f"redis://127.0.0.1:{port}/0").open()
    address = stack.urls.mongo.rpartition("@")[2].partition("/")[0]
    with pytest.raises(WrongServerError, match="MongoDB"):
        await made(f"redis://{address}/0").open()
