"""Redis and Valkey: the RDB file that the server sends is loaded by another one, with every key."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from own_servers import free_port, own_redis
from restored_servers import restored_redis
from storekeeper.backups import Repository, Sources, back_up, check_backup, redis as redis_backup
from storekeeper.backups.redis import RDB
from storekeeper.backups.running import Errand
from storekeeper.clock import FixedClock
from storekeeper.errors import (
    AuthenticationError,
    BackupError,
    NotSupportedError,
    PermissionDeniedError,
    UnavailableError,
)

AS_OF = datetime(2014, 6, 8, 2, tzinfo=UTC)
RIGHTS = ["+info", "+ping", "+replconf", "+psync"]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "backups")


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def filled_url(client: redis.Redis, redis_url: str) -> str:
    client.mset({f"key:{n}": secrets.token_hex(50) for n in range(2000)})
    client.hset("stock:AAPL:quote", mapping={"price": "92.22", "volume": "1"})
    client.expire("stock:AAPL:quote", 3600)
    client.sadd("subscriptions:AAPL", "a", "b")
    return redis_url


def test_another_server_loads_it_with_every_key(
    client: redis.Redis, filled_url: str, repository: Repository, clock: FixedClock
) -> None:
    made = back_up("redis", sources=Sources(redis=filled_url), repository=repository, clock=clock, as_of=AS_OF)
    position = client.info("replication")

    manifest = check_backup(repository, "redis", "20140608T020000Z-full")
    assert manifest == made.manifest
    assert manifest.counts == {"keys": 2002, "expiring_keys": 1}
    assert manifest.position["replication_id"] == position["master_replid"]
    assert 0 <= manifest.position["offset"] <= position["master_repl_offset"]
    assert list(manifest.tools) == [f"{manifest.engine}-check-rdb"]
    assert [file.path for file in manifest.files] == [RDB]
    with restored_redis(repository.path("redis", made.label) / RDB) as restored:
        assert restored.dbsize() == 2002
        assert restored.mget([f"key:{n}" for n in range(2000)]) == client.mget([f"key:{n}" for n in range(2000)])
        assert restored.hgetall("stock:AAPL:quote") == client.hgetall("stock:AAPL:quote")
        assert 0 < restored.ttl("stock:AAPL:quote") <= 3600
        assert restored.smembers("subscriptions:AAPL") == {b"a", b"b"}


def test_the_server_keeps_no_replica_afterwards(
    client: redis.Redis, filled_url: str, repository: Repository, clock: FixedClock
) -> None:
    back_up("redis", sources=Sources(redis=filled_url), repository=repository, clock=clock, as_of=AS_OF)
    assert client.info("replication")["connected_slaves"] == 0


def test_a_dry_run_counts_and_writes_nothing(filled_url: str, repository: Repository, clock: FixedClock) -> None:
    planned = back_up(
        "redis", sources=Sources(redis=filled_url), repository=repository, clock=clock, as_of=AS_OF, dry_run=True
    )
    assert planned.detail.startswith("RDB of 2002 keys")
    assert planned.bytes > 2000 * 50
    assert not repository.root.exists()


def test_a_user_needs_few_rights_and_is_told_which(
    client: redis.Redis, filled_url: str, repository: Repository, clock: FixedClock
) -> None:
    password = secrets.token_hex(8)
    url = urlsplit(filled_url)._replace(netloc=f"backup:{password}@").geturl()
    sources = Sources(redis=url)
    try:
        client.acl_setuser("backup", enabled=True, reset=True, passwords=[f"+{password}"], commands=RIGHTS)
        made = back_up("redis", sources=sources, repository=repository, clock=clock, as_of=AS_OF)
        assert made.manifest is not None
        assert made.manifest.counts["keys"] == 2002
        client.acl_setuser("backup", enabled=True, reset=True, passwords=[f"+{password}"], commands=RIGHTS[:-1])
        later = AS_OF + timedelta(hours=1)
        with pytest.raises(PermissionDeniedError) as caught:
            back_up("redis", sources=sources, repository=repository, clock=clock, as_of=later)
        assert "+psync" in caught.value.hint
        assert password not in str(caught.value)
        assert repository.labels("redis") == (made.label,)
        assert repository.leftovers("redis") == ()
    finally:
        client.acl_deluser("backup")
    with pytest.raises(AuthenticationError):
        back_up("redis", sources=sources, repository=repository, clock=clock, as_of=AS_OF)


def test_a_node_of_a_cluster_is_refused(repository: Repository, clock: FixedClock, tmp_path: Path) -> None:
    with own_redis(tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        sources = Sources(redis=f"redis://127.0.0.1:{server.port}/0")
        with pytest.raises(NotSupportedError, match="a part of the keys"):
            back_up("redis", sources=sources, repository=repository, clock=clock, as_of=AS_OF)
    with pytest.raises(UnavailableError):
        back_up("redis", sources=sources, repository=repository, clock=clock, as_of=AS_OF)
    assert not repository.root.exists()


def test_a_file_that_the_servers_tool_does_not_like_is_no_backup(
    filled_url: str, repository: Repository, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = redis_backup._receive

    def damaged(url: str, target: Path, errand: Errand) -> dict[str, object]:
        position = received(url, target, errand)
        content = bytearray(target.read_bytes())
        content[len(content) // 2] ^= 1
        target.write_bytes(content)
        return position

    monkeypatch.setattr(redis_backup, "_receive", damaged)
    with pytest.raises(BackupError, match="check-rdb"):
        back_up("redis", sources=Sources(redis=filled_url), repository=repository, clock=clock, as_of=AS_OF)
    assert repository.labels("redis") == repository.leftovers("redis") == ()
