"""Real servers for every test that wants one: one embedded stack a test process, fresh databases a test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from storekeeper.clock import FixedClock
from storekeeper.servers import RunningStack, running_stack

TEMPLATE = "storekeeper_template"


def database_url(url: str, database: str) -> str:
    """The same server, another database."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{database}"))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """PostgreSQL, Valkey and the MongoDB-protocol server, of this test process alone."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2014, 6, 1, tzinfo=UTC))


@pytest.fixture
def postgres_url(stack: RunningStack) -> Iterator[str]:
    """An empty database of the test's own."""
    yield from _fresh_database(stack.urls.postgres, template="template1")


@pytest.fixture(scope="session")
def template(stack: RunningStack) -> str:
    """The name of a database to which all migrations were applied, once a test process."""
    from storekeeper import connect
    from storekeeper.migrations import apply

    with psycopg.connect(stack.urls.postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    url = database_url(stack.urls.postgres, TEMPLATE)
    with connect(
        postgres_url=url,
        timescale_url=url,
        mongo_url=stack.urls.mongo,
        redis_url=stack.urls.redis,
        mongo_database=TEMPLATE,
    ) as platform:
        apply(platform)
    return TEMPLATE


@pytest.fixture
def migrated_url(stack: RunningStack, template: str) -> Iterator[str]:
    """A database of the test's own, migrated to head: a clone of the template."""
    yield from _fresh_database(stack.urls.postgres, template=template)


@pytest.fixture
def redis_url(stack: RunningStack) -> str:
    """The stack's Redis, emptied."""
    import redis

    with redis.Redis.from_url(stack.urls.redis) as client:
        client.flushall()
    return stack.urls.redis


@pytest.fixture
def mongo_url(stack: RunningStack) -> str:
    return stack.urls.mongo


@pytest.fixture
def mongo_prefix(stack: RunningStack) -> Iterator[str]:
    """A prefix for the names of databases, of the test's own; they are dropped afterwards."""
    import pymongo

    prefix = f"test_{secrets.token_hex(4)}"
    yield prefix
    with pymongo.MongoClient[dict[str, object]](stack.urls.mongo) as client:
        for name in client.list_database_names():
            if name.startswith(prefix):
                client.drop_database(name)


def _fresh_database(url: str, template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        yield database_url(url, name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
