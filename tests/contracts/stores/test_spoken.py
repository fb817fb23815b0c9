"""Servers of every kind are told apart by what they answer."""

from __future__ import annotations

import socket
from pathlib import Path

from own_servers import free_port, http_server
from storekeeper.servers import RunningStack
from storekeeper.settings import ClientPool
from storekeeper.stores.mongo.client import client_options as of_mongo
from storekeeper.stores.redis.client import client_options as of_redis
from storekeeper.stores.spoken import spoken_at, spoken_at_async
from storekeeper.stores.sql.urls import psycopg_dsn


async def test_each_kind(stack: RunningStack) -> None:
    assert spoken_at(of_redis(stack.urls.redis, ClientPool()).address) == "Redis"
    assert spoken_at(of_mongo(stack.urls.mongo, ClientPool()).addresses[0]) == "MongoDB"
    assert await spoken_at_async(of_redis(stack.urls.redis, ClientPool()).address) == "Redis"
    with http_server() as port:
        assert spoken_at(("127.0.0.1", port)) == "HTTP"


def test_postgresql(stack: RunningStack) -> None:
    (folder,) = {
        part.removeprefix("host=") for part in psycopg_dsn(stack.urls.postgres).split() if part.startswith("host=")
    }
    (path,) = Path(folder).glob(".s.PGSQL.*[0-9]")
    assert spoken_at(str(path)) == "PostgreSQL"


def test_nobody_and_somebody_who_says_nothing(tmp_path: Path) -> None:
    assert spoken_at(("127.0.0.1", free_port())) is None
    assert spoken_at(str(tmp_path / "none.sock")) is None
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert spoken_at(silent.getsockname(), patience=0.05) == "unknown"
