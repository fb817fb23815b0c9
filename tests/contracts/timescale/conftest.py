"""The suite of time-series engines: every engine, and each through the async and the sync store."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from storekeeper.servers import RunningStack
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.partitions import PartitionsEngine
from timescale_series import in_database, prepare


@pytest.fixture(scope="session", params=[PartitionsEngine()], ids=lambda engine: engine.name)
def engine(request: pytest.FixtureRequest) -> Engine:
    engine: Engine = request.param
    return engine


@pytest.fixture(scope="session")
def series_template(stack: RunningStack, engine: Engine) -> str:
    """The name of a database with the tests' series in it."""
    name = f"series_{engine.name}"
    with psycopg.connect(stack.urls.postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    prepare(in_database(stack.urls.postgres, name), engine)
    return name


@pytest.fixture
def series_url(stack: RunningStack, series_template: str) -> Iterator[str]:
    """A database of the test's own with the tests' series in it."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(stack.urls.postgres, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(series_template)
            )
        )
        yield in_database(stack.urls.postgres, name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def psql(series_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Somebody who writes past the platform."""
    with psycopg.connect(series_url, autocommit=True) as connection:
        yield connection
