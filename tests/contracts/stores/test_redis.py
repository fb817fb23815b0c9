# Generated from test_redis_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The key store, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
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
from storekeeper.stores.redis.redis import Redis

NOON = datetime(2014, 6, 1, 12, tzinfo=UTC)
QUOTED = Quote(price=Decimal("64.56"), volume=100, side=Side.SELL, updated_at=NOON)
SEEN = Session(user_id=UUID(int=1), refresh_token="d1", device_info={"os": "x"}, created_at=NOON)


def made(url: str, prefix: str = "") -> Redis:
    return Redis(url, prefix=prefix, pool=ClientPool(connect=2), catalog=CATALOG, clock=SystemClock())


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with made(redis_url) as store:
        yield store


def test_a_hash_is_written_as_the_contract_says(redis: Redis) -> None:
    redis.put(SESSION, SEEN, session_id="s1")
    assert redis.client.keys("*") == [b"session:s1"]
    assert redis.client.hgetall("session:s1") == {
        b"user_id": b"00000000-0000-0000-0000-000000000001",
        b"refresh_token": b"d1",
        b"device_info": b'{"os":"x"}',
        b"created_at": b"2014-06-01T12:00:00Z",
    }
    month = 30 * 24 * 3600 * 1000
    assert month - 5000 < redis.client.pttl("session:s1") <= month


def test_what_was_put_is_got_by_value_or_by_name(redis: Redis) -> None:
    redis.put(QUOTE, QUOTED, symbol="MSFT")
    assert redis.get(QUOTE, symbol="MSFT") == QUOTED
    assert redis.get("stock", symbol="MSFT") == QUOTED
    assert redis.get("stock", symbol="IBM") is None
    with pytest.raises(DeclarationError):
        redis.get("stocks", symbol="MSFT")


def test_put_leaves_nothing_of_what_was_there(redis: Redis) -> None:
    redis.put(QUOTE, QUOTED, symbol="MSFT")
    plain = {"price": "1.5", "volume": 1, "updated_at": NOON}
    redis.put(QUOTE, plain, symbol="MSFT")
    assert redis.get(QUOTE, symbol="MSFT") == Quote.model_validate(plain)
    assert 0 < redis.client.pttl("stock:MSFT:quote") <= 60_000


def test_a_refused_value_leaves_what_was_there(redis: Redis) -> None:
    redis.put(QUOTE, QUOTED, symbol="MSFT")
    with pytest.raises(InputError):
        redis.put(QUOTE, {"price": "dear"}, symbol="MSFT")
    assert redis.get(QUOTE, symbol="MSFT") == QUOTED


def test_many_are_got_in_order(redis: Redis) -> None:
    for volume, symbol in enumerate(("A", "B", "C")):
        redis.put(QUOTE, QUOTED.model_copy(update={"volume": volume}), symbol=symbol)
    found = redis.get_many(QUOTE, [{"symbol": symbol} for symbol in ("C", "none", "A")])
    assert [getattr(quote, "volume", None) for quote in found] == [2, None, 0]
    assert redis.get_many(QUOTE, []) == []


def test_put_and_get_many_take_one_round_trip(redis: Redis) -> None:
    def trips() -> int:
        # reads of the socket: one a request, however many commands it holds
        return int((redis.client.info("stats"))["total_reads_processed"])

    before = trips()
    redis.put(QUOTE, QUOTED, symbol="A")
    assert trips() - before == 2
    before = trips()
    redis.get_many(QUOTE, [{"symbol": "A"}] * 20)
    assert trips() - before == 2
    redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")
    before = trips()
    redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")
    assert trips() - before == 2


def test_delete(redis: Redis) -> None:
    redis.put(QUOTE, QUOTED, symbol="A")
    assert redis.delete(QUOTE, symbol="A") is True
    assert redis.delete(QUOTE, symbol="A") is False
    assert redis.get(QUOTE, symbol="A") is None


def test_sets(redis: Redis) -> None:
    assert redis.add("subscriptions", UUID(int=1), UUID(int=2), symbol="A") == 2
    assert redis.add("subscriptions", UUID(int=2), symbol="A") == 0
    assert redis.members("subscriptions", symbol="A") == {str(UUID(int=1)), str(UUID(int=2))}
    assert redis.client.pttl("subscriptions:A") == -1
    assert redis.remove("subscriptions", UUID(int=1), "other", symbol="A") == 1
    assert redis.members("subscriptions", symbol="B") == frozenset()
    assert redis.add("watchers", "u", symbol="A") == 1
    assert 0 < redis.client.pttl("watchers:A") <= 300_000
    with pytest.raises(InputError, match="no members"):
        redis.add("subscriptions", symbol="A")


def test_counters(redis: Redis) -> None:
    assert redis.value("visits", page="/") == 0
    assert redis.increment("visits", page="/") == 1
    redis.client.pexpire("visits:/", 100_000)
    assert redis.increment("visits", 4, page="/") == 5
    assert redis.value("visits", page="/") == 5
    assert 0 < redis.client.pttl("visits:/") <= 100_000  # the first increment's time goes on
    assert redis.increment("totals", page="/") == 1
    assert redis.client.pttl("totals:/") == -1


def test_each_kind_has_its_calls(redis: Redis) -> None:
    with pytest.raises(InputError, match="holds a set"):
        redis.get("subscriptions", symbol="A")
    with pytest.raises(InputError, match="holds a hash"):
        redis.add(QUOTE, "x", symbol="A")
    with pytest.raises(InputError, match="takes symbol"):
        redis.get(QUOTE, name="A")


def test_a_key_of_another_type_is_told(redis: Redis) -> None:
    redis.client.set("stock:A:quote", "text")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        redis.get(QUOTE, symbol="A")
    redis.put(QUOTE, QUOTED, symbol="A")
    assert redis.get(QUOTE, symbol="A") == QUOTED


def test_what_another_program_wrote_is_told(redis: Redis) -> None:
    redis.client.hset("stock:A:quote", mapping={"price": "dear"})
    with pytest.raises(StoreError, match="price") as caught:
        redis.get(QUOTE, symbol="A")
    assert "dear" not in str(caught.value)


def test_the_prefix_stands_before_every_key(redis_url: str) -> None:
    with made(redis_url, "shop:") as redis:
        redis.put(QUOTE, QUOTED, symbol="A")
        redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")
        redis.cached("k", minutes(1), produced, list[int])
        redis.add("subscriptions", "u", symbol="A")
        keys = sorted(redis.client.keys("*"))
        assert keys == [b"shop:cache:k", b"shop:ratelimit:u:e", b"shop:stock:A:quote", b"shop:subscriptions:A"]
        assert redis.key(QUOTE, symbol="A") == "shop:stock:A:quote"


def test_a_limit_lets_so_many_through_and_says_when_to_come_back(redis: Redis) -> None:
    answers = [redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e") for _ in range(12)]
    assert [answer.allowed for answer in answers] == [True] * 10 + [False] * 2
    assert [answer.count for answer in answers] == [*range(1, 11), 10, 10]
    assert [answer.remaining for answer in answers] == [*range(9, -1, -1), 0, 0]
    assert answers[0].retry_after == timedelta(0)
    assert timedelta(seconds=50) < answers[-1].retry_after <= timedelta(minutes=1)
    assert redis.client.get("ratelimit:u:e") == b"10"
    assert (redis.hit(TEN_A_MINUTE, user_id="v", endpoint="e")).allowed
    assert (redis.hit(TEN_A_MINUTE, user_id="u", endpoint="f")).allowed


def test_a_refused_call_does_not_lengthen_the_window(redis: Redis) -> None:
    once = RateLimit(LIMITED, 1, minutes(1))
    redis.hit(once, user_id="u", endpoint="e")
    redis.client.pexpire("ratelimit:u:e", 5000)
    refused = redis.hit(once, user_id="u", endpoint="e")
    assert not refused.allowed
    assert refused.retry_after <= timedelta(seconds=5)
    assert redis.client.pttl("ratelimit:u:e") <= 5000


def test_a_window_ends(redis: Redis) -> None:
    short = RateLimit(LIMITED, 1, seconds(0.05))
    assert (redis.hit(short, user_id="u", endpoint="e")).allowed
    refused = redis.hit(short, user_id="u", endpoint="e")
    while not (redis.hit(short, user_id="u", endpoint="e")).allowed:
        assert not refused.allowed
    assert redis.client.get("ratelimit:u:e") == b"1"


@pytest.mark.parametrize("left_ms", [None, 10**9])
def test_a_counter_without_an_end_is_healed(redis: Redis, left_ms: int | None) -> None:
    redis.client.set("ratelimit:u:e", 10, px=left_ms)
    refused = redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")
    assert not refused.allowed
    assert refused.retry_after == timedelta(minutes=1)
    assert 0 < redis.client.pttl("ratelimit:u:e") <= 60_000


def test_many_limits_are_asked_in_one_go(redis: Redis) -> None:
    two = RateLimit(LIMITED, 2, minutes(1))
    hits: list[tuple[RateLimit, dict[str, object]]] = [
        (two if user == "u" else TEN_A_MINUTE, {"user_id": user, "endpoint": "e"}) for user in ("u", "u", "v", "u")
    ]
    redis.client.script_flush()
    answers = redis.hit_many(hits)
    assert [answer.allowed for answer in answers] == [True, True, True, False]
    assert [answer.limit for answer in answers] == [2, 2, 10, 2]
    assert redis.hit_many([]) == []


def test_a_server_that_forgot_the_script_learns_it_again(redis: Redis) -> None:
    redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")
    redis.client.script_flush()
    assert (redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")).count == 2


def test_a_counter_that_is_no_number_is_told(redis: Redis) -> None:
    redis.client.set("ratelimit:u:e", "text")
    with pytest.raises(StoreError, match="not an integer"):
        redis.hit(TEN_A_MINUTE, user_id="u", endpoint="e")
    with pytest.raises(StoreError, match="not an integer"):
        redis.hit_many([(TEN_A_MINUTE, {"user_id": "u", "endpoint": "e"})] * 2)


calls: list[int] = []


def produced() -> list[int]:
    calls.append(1)
    return [1, 2]


def test_a_query_is_run_once_while_its_result_lives(redis: Redis) -> None:
    calls.clear()
    for _ in range(3):
        assert redis.cached("bars", minutes(5), produced, list[int]) == [1, 2]
    assert len(calls) == 1
    assert redis.client.get("cache:bars") == b"[1,2]"
    assert 290_000 < redis.client.pttl("cache:bars") <= 300_000
    assert redis.forget("bars", "other") == 1
    redis.cached("bars", minutes(5), produced, list[int])
    assert len(calls) == 2


def test_results_of_any_type_come_back_as_they_were(redis: Redis) -> None:
    def model() -> dict[str, Quote]:
        return {"A": QUOTED}

    def nothing() -> int | None:
        return None

    def raw() -> bytes:
        return b"\x00\xff"

    for _ in range(2):
        assert redis.cached("model", minutes(1), model, dict[str, Quote]) == {"A": QUOTED}
        assert redis.cached("nothing", minutes(1), nothing, TypeAdapter(int | None)) is None
        assert redis.cached("raw", minutes(1), raw, bytes) == b"\x00\xff"


def test_a_cached_result_of_another_type_is_produced_anew(redis: Redis) -> None:
    calls.clear()
    redis.client.set("cache:bars", '{"of": "an older release"}')
    assert redis.cached("bars", hours(1), produced, list[int]) == [1, 2]
    assert len(calls) == 1


@pytest.mark.parametrize("ttl", [seconds(59), minutes(61), days(1), months(1)])
def test_results_live_for_one_to_sixty_minutes(redis: Redis, ttl: Any) -> None:
    with pytest.raises(InputError, match="1 to 60"):
        redis.cached("bars", ttl, produced, list[int])


def test_a_producer_that_fails_leaves_nothing(redis: Redis) -> None:
    def failing() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        redis.cached("k", minutes(1), failing, int)
    assert redis.client.exists("cache:k") == 0


def test_health(redis: Redis) -> None:
    health = redis.health()
    assert health.ok
    assert health.version.split()[0] in ("valkey", "redis")
    assert 0 < health.seconds < 5


def test_it_is_used_between_open_and_close(redis_url: str) -> None:
    redis = made(redis_url)
    with pytest.raises(StoreError, match="not open"):
        redis.get(QUOTE, symbol="A")
    redis.open()
    with pytest.raises(StoreError, match="open already"):
        redis.open()
    redis.close()
    redis.close()
    with pytest.raises(StoreError, match="not open"):
        redis.get(QUOTE, symbol="A")
    assert not (redis.health()).ok
    redis.open()
    redis.close()


def test_the_pool_opens_its_least_and_leaves_none_behind(redis_url: str) -> None:
    mark = "&" if "?" in redis_url else "?"
    with made(redis_url) as watcher:

        def connections() -> int:
            return sum(client["name"] == "storekeeper" for client in watcher.client.client_list())

        before = connections()
        assert before == 5
        with made(f"{redis_url}{mark}pool_min=3&pool_size=4"):
            assert connections() == before + 3
        while connections() > before:  # the server notices a little later
            pass


def test_wrong_password_and_none(redis_url: str) -> None:
    scheme, _, rest = redis_url.partition("://")
    credentials, _, address = rest.rpartition("@")
    user = credentials.partition(":")[0]
    for url in (f"{scheme}://{user}:wrong@{address}", f"{scheme}://{address}"):
        with pytest.raises(AuthenticationError) as caught:
            made(url).open()
        assert "wrong" not in str(caught.value)


def test_what_a_user_may_not_do(redis: Redis, redis_url: str) -> None:
    redis.client.execute_command("ACL SETUSER reader on >r ~* +@read +info +ping +client")
    try:
        scheme, _, rest = redis_url.partition("://")
        with made(f"{scheme}://reader:r@{rest.rpartition('@')[2]}") as reader:
            assert reader.get(SESSION, session_id="s") is None
            with pytest.raises(PermissionDeniedError) as caught:
                reader.put(SESSION, SEEN, session_id="s")
            assert "d1" not in f"{caught.value}{caught.value.__cause__}"
            with pytest.raises(PermissionDeniedError):
                reader.hit(TEN_A_MINUTE, user_id="u", endpoint="e")
    finally:
        redis.client.acl_deluser("reader")


def test_a_server_that_is_not_there(redis_url: str) -> None:
    with pytest.raises(UnavailableError, match="Error 111"):
        made("redis://127.0.0.1:1/0").open()
    with pytest.raises(UnavailableError):
        made("unix:///nowhere/redis.sock?db=0").open()


def test_a_parameter_that_the_driver_does_not_know(redis_url: str) -> None:
    mark = "&" if "?" in redis_url else "?"
    with pytest.raises(SettingsError, match="nonsense"):
        made(f"{redis_url}{mark}nonsense=1").open()


def test_a_server_of_another_kind(stack: RunningStack) -> None:
    with http_server() as port, pytest.raises(WrongServerError):
        made(f"redis://127.0.0.1:{port}/0").open()
    address = stack.urls.mongo.rpartition("@")[2].partition("/")[0]
    with pytest.raises(WrongServerError, match="MongoDB"):
        made(f"redis://{address}/0").open()
