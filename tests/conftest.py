"""Real servers for every test that wants one: one embedded stack a test process, fresh databases a test."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql

import series_servers
from command_line import CommandLine
from container_servers import container_servers
from series_servers import SeriesServer
from storekeeper.clock import FixedClock
from storekeeper.servers import StackUrls, running_stack
from storekeeper.servers.recipes import USER
from storekeeper.servers.roles import ROLES, role_name
from wasm_timescale import UnavailableHereError, WasmTimescale, wasm_timescale

TEMPLATE = "storekeeper_template"
#: Holds nothing, where an image of TimescaleDB has put the extension into template1.
EMPTY = "template0"

# A shell without job control starts what is in the background with SIGINT ignored, and every child inherits that:
# the tests' own Ctrl-C would be nobody's.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# a test wants one connection or a few, not the five that a service opens at start: each is a process of the server's
os.environ["STOREKEEPER_POOL__MIN"] = "1"

# how long an example takes says nothing on a shared machine
settings.register_profile("unhurried", max_examples=60, deadline=None)
# `make soak` runs the same properties on many more inputs
settings.register_profile("soak", max_examples=2_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("STOREKEEPER_TEST_PROFILE", "unhurried"))


def database_url(url: str, database: str) -> str:
    """The same server, another database."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{database}"))


def role_urls(stack: Servers, database: str) -> dict[str, Any]:
    """Settings by which every role finds a database: postgres_url, postgres_owner_url, …"""
    urls = {role: database_url(stack.urls.postgres_as(role), database) for role in ROLES}
    return {
        f"{store}_url" if role == "app" else f"{store}_{role}_url": url
        for store in ("postgres", "timescale")
        for role, url in urls.items()
    }


def pytest_report_header() -> str:
    return f"timescaledb: {series_servers.described()}"


class Servers(Protocol):
    """What tests take of the servers."""

    @property
    def urls(self) -> StackUrls: ...


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """PostgreSQL, Valkey and the MongoDB-protocol server, of this test process alone; in containers where so asked."""
    image = os.environ.get("STOREKEEPER_TEST_DOCKER")
    if image:
        with container_servers(image) as containers:
            yield containers
    else:
        with running_stack(tmp_path_factory.mktemp("stack")) as running:
            _hurry(running.urls.postgres)
            yield running


@pytest.fixture(scope="session")
def wasm_server() -> Iterator[WasmTimescale]:
    """The TimescaleDB for where there is no other."""
    try:
        with wasm_timescale() as server:
            yield server
    except UnavailableHereError as reason:
        pytest.skip(f"no TimescaleDB to test with: {reason}; or set {series_servers.URL} to a scratch server's URL")


@pytest.fixture(scope="session")
def series_server(request: pytest.FixtureRequest) -> Iterator[SeriesServer]:
    """The server of a time-series engine. Which engines a test runs on, `parametrize_engines` says."""
    source = series_servers.timescale_source()
    if request.param == "timescale" and source == "wasm":
        server = series_servers.wasm(request.getfixturevalue("wasm_server"))
    elif request.param == "timescale" and source == "url":
        server = series_servers.timescale(os.environ[series_servers.URL])
    elif request.param == "timescale":
        server = series_servers.timescale(request.getfixturevalue("stack").urls.postgres)
    else:
        server = series_servers.plain(request.getfixturevalue("stack").urls.postgres)
    with server as running:
        yield running


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2014, 6, 1, tzinfo=UTC))


@pytest.fixture
def postgres_url(stack: Servers) -> Iterator[str]:
    """An empty database of the test's own."""
    yield from _fresh_database(stack.urls.postgres, template=EMPTY)


@pytest.fixture(scope="session")
def template(stack: Servers) -> str:
    """The name of a database to which all migrations were applied by its owner, once a test process."""
    from storekeeper import connect
    from storekeeper.migrations import apply

    with psycopg.connect(stack.urls.postgres, autocommit=True) as connection:
        _create_database(connection, TEMPLATE, EMPTY)
    with connect(
        role="owner",
        **role_urls(stack, TEMPLATE),
        mongo_url=stack.urls.mongo,
        redis_url=stack.urls.redis,
        mongo_database=TEMPLATE,
    ) as platform:
        apply(platform)
    return TEMPLATE


@pytest.fixture
def migrated_url(stack: Servers, template: str) -> Iterator[str]:
    """A database of the test's own, migrated to head: a clone of the template. The URL is the administrator's, to whom
    row-level security does not apply."""
    yield from _fresh_database(stack.urls.postgres, template=template)


@pytest.fixture
def app_url(stack: Servers, migrated_url: str) -> str:
    """That database as a service logs in to it."""
    return database_url(stack.urls.postgres_as("app"), _database_of(migrated_url))


@pytest.fixture
def owner_url(stack: Servers, migrated_url: str) -> str:
    """That database as migrations log in to it."""
    return database_url(stack.urls.postgres_as("owner"), _database_of(migrated_url))


@pytest.fixture
def analyst_url(stack: Servers, migrated_url: str) -> str:
    """That database as an analyst logs in to it."""
    return database_url(stack.urls.postgres_as("analyst"), _database_of(migrated_url))


@pytest.fixture
def jobs_url(stack: Servers, migrated_url: str) -> str:
    """That database as jobs, ingest and backups log in to it."""
    return database_url(stack.urls.postgres_as("jobs"), _database_of(migrated_url))


@pytest.fixture
def role_settings(stack: Servers, migrated_url: str) -> dict[str, Any]:
    """Settings of a platform on that database, a URL a role; of both SQL stores."""
    return role_urls(stack, _database_of(migrated_url))


@pytest.fixture
def redis_url(stack: Servers) -> str:
    """The stack's Redis, emptied."""
    import redis

    with redis.Redis.from_url(stack.urls.redis) as client:
        client.flushall()
    return stack.urls.redis


@pytest.fixture
def mongo_url(stack: Servers) -> str:
    return stack.urls.mongo


@pytest.fixture
def mongo_prefix(stack: Servers) -> Iterator[str]:
    """A prefix for the names of databases, of the test's own; they are dropped afterwards."""
    import pymongo

    prefix = f"test_{secrets.token_hex(4)}"
    yield prefix
    with pymongo.MongoClient[dict[str, object]](stack.urls.mongo) as client:
        for name in client.list_database_names():
            if name.startswith(prefix):
                client.drop_database(name)


@pytest.fixture
def unmigrated(stack: Servers, postgres_url: str, mongo_prefix: str, redis_url: str, tmp_path: Path) -> CommandLine:
    """The command line on empty stores of the test's own, in a folder of its own."""
    return _command_line(postgres_url, stack.urls.mongo, mongo_prefix, redis_url, tmp_path)


@pytest.fixture
def commands(stack: Servers, migrated_url: str, mongo_prefix: str, redis_url: str, tmp_path: Path) -> CommandLine:
    """The same on a database that is migrated; the collections of MongoDB are not made."""
    return _command_line(migrated_url, stack.urls.mongo, mongo_prefix, redis_url, tmp_path)


def _command_line(postgres: str, mongo: str, mongo_prefix: str, redis: str, folder: Path) -> CommandLine:
    urls = {"POSTGRES_URL": postgres, "MONGO_URL": mongo, "MONGO_DATABASE": mongo_prefix, "REDIS_URL": redis}
    settings = urls | {"BACKUPS": str(folder / "backups")}
    home = folder / "home"
    home.mkdir()
    return CommandLine(home, {f"STOREKEEPER_{name}": value for name, value in settings.items()})


def _fresh_database(url: str, template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as connection:
        _create_database(connection, name, template)
        yield database_url(url, name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _hurry(url: str) -> None:
    """Lets the server leave syncing to the operating system: a database of a test need not outlive the machine, and a
    server that is killed finds what it has written all the same."""
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes"):
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
        connection.execute("SELECT pg_reload_conf()")


def _create_database(connection: psycopg.Connection[tuple[object, ...]], name: str, template: str) -> None:
    """A database of the owner's, as an installation's is: the rights to the database itself are not cloned."""
    # files copied by the server, not page by page through its log: several times as fast
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY file_copy")
    owner = role_name(USER, "owner")
    connection.execute(statement.format(*map(sql.Identifier, (name, template, owner))))


def _database_of(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")
