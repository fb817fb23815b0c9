"""The suite of time-series engines: every engine, and each through the async and the sync store."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from series_servers import SeriesServer, parametrize_engines
from storekeeper.timescale.engine import Engine
from timescale_series import script


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize_engines(metafunc)


@pytest.fixture(scope="session")
def engine(series_server: SeriesServer) -> Engine:
    return series_server.engine


@pytest.fixture(scope="session")
def series_script(engine: Engine) -> str:
    """What makes the tests' series."""
    return script(engine)


@pytest.fixture
def series_url(series_server: SeriesServer, series_script: str) -> Iterator[str]:
    """A database of the test's own with the tests' series in it."""
    with series_server.database(series_script) as url:
        yield url


@pytest.fixture
def psql(series_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Somebody who writes past the platform."""
    with psycopg.connect(series_url, autocommit=True) as connection:
        yield connection
