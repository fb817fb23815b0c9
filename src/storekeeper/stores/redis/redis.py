# Generated from redis_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The handle of the key store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain
from typing import Any, Self, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from redis.exceptions import NoScriptError, ResponseError

from storekeeper.catalog import Catalog, Keyspace, RateLimit
from storekeeper.clock import Clock
from storekeeper.errors import InputError, StoreError
from storekeeper.settings import ClientPool
from storekeeper.span import Span
from storekeeper.stores.health import Health
from storekeeper.stores.redis.allowance import Allowance, to_allowance
from storekeeper.stores.redis.connection import Connection
from storekeeper.stores.redis.failures import translate
from storekeeper.stores.redis.hashes import from_hash, to_hash
from storekeeper.stores.redis.scripts import script

T = TypeVar("T")

_MILLISECOND = timedelta(milliseconds=1)
_SHORTEST, _LONGEST = timedelta(minutes=1), timedelta(minutes=60)


class Redis:
    """Values of the catalogue's keyspaces; each call is one round trip.

    | call | what it does |
    | --- | --- |
    | `put("session", session, session_id=…)` | writes a hash and its time to live, replacing what was there |
    | `put_newer("stock", [(quote, {"symbol": …})], by="updated_at")` | many hashes, never an older over a newer |
    | `get("session", session_id=…)` | the validated model, or None |
    | `add("subscriptions", user_id, symbol="AAPL")`, `members(…)`, `remove(…)` | sets |
    | `increment("visits", page="/")`, `value(…)` | counters |
    | `hit(limit, user_id=…, endpoint=…)` | counts a call, or refuses it |
    | `cached(key, minutes(5), producer, list[int])` | the value of before, or what the producer returns |

    A keyspace is given by value, or by what the catalogue knows it by. The handle is opened once, and belongs to the
    process (and event loop) that opened it.
    """

    def __init__(self, url: str, *, prefix: str, pool: ClientPool, catalog: Catalog, clock: Clock) -> None:
        self._connection = Connection(url, pool)
        self._prefix = prefix
        self._catalog = catalog
        self._clock = clock

    def open(self) -> None:
        """Connects, and asks the server what it is. Raises UnavailableError, AuthenticationError, WrongServerError."""
        self._connection.open()

    def close(self) -> None:
        """Closes every connection. In a forked child it does nothing: the connections are the parent's."""
        self._connection.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def client(self) -> Any:
        """The driver's client, for what is not here; replies are bytes, errors the driver's: failures.translated."""
        return self._connection.client

    def health(self) -> Health:
        """How the server is, now; a server that does not answer is told of, not raised."""
        begun = time.perf_counter()
        try:
            version = self._connection.version()
        except StoreError as error:
            return Health("redis", False, "", str(error), time.perf_counter() - begun)
        detail = "cluster" if self._connection.clustered else ""
        return Health("redis", True, version, detail, time.perf_counter() - begun)

    def key(self, keyspace: Keyspace | str, /, **parts: object) -> str:
        """The key as it is written: the installation's prefix, then the keyspace's pattern filled in.

        On a Redis Cluster the id that the key is about stands in braces, so that all keys of one id lie on one node.
        """
        space = self._keyspace(keyspace)
        plain = space.key(**parts)
        if self._connection.clustered:
            about = space.owner if space.owner in space.parts else space.parts[0] if space.parts else None
            if about is not None:
                plain = space.key(**{**parts, about: f"{{{parts[about]}}}"})
        return self._prefix + plain

    # Hashes

    def put(self, keyspace: Keyspace | str, value: BaseModel | Mapping[str, Any], /, **parts: object) -> None:
        """Writes a hash with its time to live, as one: nobody sees half of it, nor a rest of what was there before."""
        space = self._of_kind(keyspace, "hash")
        assert space.model is not None  # a keyspace of hashes has one
        key = self.key(space, **parts)
        fields = to_hash(value, space.model, target=space.pattern)
        with (
            self._connection.operation("put", space.pattern) as client,
            client.pipeline(transaction=True) as pipeline,
        ):
            pipeline.delete(key)
            pipeline.hset(key, mapping=fields)
            if space.ttl is not None:
                pipeline.pexpire(key, space.ttl.duration // _MILLISECOND)
            pipeline.execute()

    def put_newer(
        self,
        keyspace: Keyspace | str,
        values: Sequence[tuple[BaseModel | Mapping[str, Any], Mapping[str, object]]],
        /,
        *,
        by: str,
    ) -> list[bool]:
        """`put` for each (value, parts of its key), unless the hash that is there is as new or newer, all in one round
        trip: whether each was written. `by` is the field that says how new a value is, a time. Raises as `put`, and
        InputError where that field is no time."""
        space = self._of_kind(keyspace, "hash")
        assert space.model is not None
        if not values:
            return []
        ttl = 0 if space.ttl is None else space.ttl.duration // _MILLISECOND
        calls = []
        for value, parts in values:
            fields = to_hash(value, space.model, target=space.pattern)
            if not _is_time(fields.get(by, "")):
                raise InputError(f"{by} is no time", operation="put", target=space.pattern)
            calls.append((1, self.key(space, **parts), ttl, by, *chain.from_iterable(fields.items())))
        return [bool(answer) for answer in self._scripted("put_newer", calls, "put", space.pattern)]

    def get(self, keyspace: Keyspace | str, /, **parts: object) -> BaseModel | None:
        """The model of a hash; None where there is none, or no more. Raises StoreError where the model refuses it."""
        space = self._of_kind(keyspace, "hash")
        assert space.model is not None
        with self._connection.operation("get", space.pattern) as client:
            raw = client.hgetall(self.key(space, **parts))
        return from_hash(raw, space.model, target=space.pattern)

    def get_many(self, keyspace: Keyspace | str, parts: Sequence[Mapping[str, object]], /) -> list[BaseModel | None]:
        """`get` for each of the parts, in their order, all in one round trip."""
        space = self._of_kind(keyspace, "hash")
        assert space.model is not None
        if not parts:
            return []
        with (
            self._connection.operation("get", space.pattern) as client,
            client.pipeline(transaction=False) as pipeline,
        ):
            for each in parts:
                pipeline.hgetall(self.key(space, **each))
            found = pipeline.execute()
        return [from_hash(raw, space.model, target=space.pattern) for raw in found]

    def delete(self, keyspace: Keyspace | str, /, **parts: object) -> bool:
        """Whether there was something to delete. For keyspaces of every kind."""
        space = self._keyspace(keyspace)
        with self._connection.operation("delete", space.pattern) as client:
            return bool(client.delete(self.key(space, **parts)))

    # Sets

    def add(self, keyspace: Keyspace | str, /, *members: object, **parts: object) -> int:
        """How many of the members are new. Where the keyspace has a time to live, it begins again."""
        space = self._of_kind(keyspace, "set")
        key = self.key(space, **parts)
        with self._connection.operation("add to", space.pattern) as client:
            if space.ttl is None:
                return int(client.sadd(key, *_texts(members, space)))
            with client.pipeline(transaction=True) as pipeline:
                pipeline.sadd(key, *_texts(members, space))
                pipeline.pexpire(key, space.ttl.duration // _MILLISECOND)
                return int((pipeline.execute())[0])

    def remove(self, keyspace: Keyspace | str, /, *members: object, **parts: object) -> int:
        """How many of the members there were."""
        space = self._of_kind(keyspace, "set")
        with self._connection.operation("remove from", space.pattern) as client:
            return int(client.srem(self.key(space, **parts), *_texts(members, space)))

    def members(self, keyspace: Keyspace | str, /, **parts: object) -> frozenset[str]:
        """All members; none where there is no such set."""
        space = self._of_kind(keyspace, "set")
        with self._connection.operation("read", space.pattern) as client:
            return frozenset(member.decode() for member in client.smembers(self.key(space, **parts)))

    # Counters and rate limits

    def increment(self, keyspace: Keyspace | str, /, by: int = 1, **parts: object) -> int:
        """The counter's value afterwards. It lives for the keyspace's time from its first increment."""
        space = self._of_kind(keyspace, "string")
        key = self.key(space, **parts)
        with self._connection.operation("increment", space.pattern) as client:
            if space.ttl is None:
                return int(client.incrby(key, by))
            with client.pipeline(transaction=True) as pipeline:
                pipeline.incrby(key, by)
                pipeline.pexpire(key, space.ttl.duration // _MILLISECOND, nx=True)
                return int((pipeline.execute())[0])

    def value(self, keyspace: Keyspace | str, /, **parts: object) -> int:
        """A counter's value; 0 where there is none."""
        space = self._of_kind(keyspace, "string")
        with self._connection.operation("read", space.pattern) as client:
            return int(client.get(self.key(space, **parts)) or 0)

    def hit(self, limit: RateLimit, /, **parts: object) -> Allowance:
        """Counts a call, unless its window is full. Decided by the server, at its time, in one step."""
        return (self.hit_many([(limit, parts)]))[0]

    def hit_many(self, hits: Sequence[tuple[RateLimit, Mapping[str, object]]], /) -> list[Allowance]:
        """`hit` for each, in their order, all in one round trip."""
        if not hits:
            return []
        calls = [
            (1, self.key(limit.keyspace, **parts), limit.limit, limit.window.duration // _MILLISECOND)
            for limit, parts in hits
        ]
        answers = self._scripted("rate_limit", calls, "count a call in", hits[0][0].keyspace.pattern)
        return [to_allowance(answer, limit.limit) for answer, (limit, _) in zip(answers, hits, strict=True)]

    def _scripted(self, name: str, calls: Sequence[tuple[Any, ...]], operation: str, target: str) -> list[Any]:
        """What a script answers to each of these calls, all in one round trip."""
        lua = script(name)
        answers = self._run([("EVALSHA", lua.sha, *call) for call in calls], operation, target)
        unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:  # the server was restarted, or is new: it learns the script by the text
            again = dict(
                zip(
                    unknown,
                    self._run([("EVAL", lua.text, *calls[index]) for index in unknown], operation, target),
                    strict=True,
                )
            )
            answers = [again.get(index, answer) for index, answer in enumerate(answers)]
        for answer in answers:
            if isinstance(answer, Exception):
                raise translate(answer, operation=operation, target=target) from answer
        return answers

    def _run(self, commands: Sequence[tuple[Any, ...]], operation: str, target: str) -> list[Any]:
        """The answers; an error that the server gives to one of the commands is its answer."""
        with self._connection.operation(operation, target) as client:
            if len(commands) == 1:
                try:
                    return [client.execute_command(*commands[0])]
                except ResponseError as error:
                    return [error]
            with client.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                return list(pipeline.execute(raise_on_error=False))

    # Query results

    def cached(self, key: str, ttl: Span, producer: Callable[[], T], kind: type[T] | TypeAdapter[T], /) -> T:
        """The value under the key; where there is none, what the producer returns, kept for `ttl` (1 to 60 minutes).

        `kind` is its type: anything that pydantic can turn into JSON and back, or bytes; a TypeAdapter for what is no
        class, such as a union. A stored value of another type is produced anew. Two callers may produce at one time.
        """
        if ttl.calendar or not _SHORTEST <= ttl.duration <= _LONGEST:
            raise InputError(f"a query's result is kept for 1 to 60 minutes, not {ttl}", operation="cache", target=key)
        name = f"{self._prefix}cache:{key}"
        with self._connection.operation("read cache", key) as client:
            raw = client.get(name)
        if raw is not None:
            try:
                stored: T = _decoded(raw, kind)
                return stored
            except ValidationError:
                pass  # of another release's type: as good as not there
        value = producer()
        with self._connection.operation("write cache", key) as client:
            client.set(name, _encoded(value, kind), px=ttl.duration // _MILLISECOND)
        return value

    def forget(self, *keys: str) -> int:
        """Drops cached query results; how many there were."""
        with self._connection.operation("drop cache", ", ".join(keys)) as client:
            return sum([int(client.delete(f"{self._prefix}cache:{key}")) for key in keys])

    def _keyspace(self, keyspace: Keyspace | str) -> Keyspace:
        return self._catalog.keyspace(keyspace) if isinstance(keyspace, str) else keyspace

    def _of_kind(self, keyspace: Keyspace | str, kind: str) -> Keyspace:
        space = self._keyspace(keyspace)
        if space.kind != kind:
            raise InputError(f"holds a {space.kind}, not a {kind}", operation="use", target=space.pattern)
        return space


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _texts(members: Iterable[object], space: Keyspace) -> list[str]:
    texts = [str(member) for member in members]
    if not texts:
        raise InputError("no members are given", operation="change", target=space.pattern)
    return texts


@lru_cache(maxsize=256)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)


def _encoded(value: Any, kind: Any) -> bytes:
    return bytes(value) if kind is bytes else _adapter(kind).dump_json(value)


def _decoded(raw: bytes, kind: Any) -> Any:
    return raw if kind is bytes else _adapter(kind).validate_json(raw)
