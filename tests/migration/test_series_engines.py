"""Series migrated on each engine: up, down and up again; what was made is as declared, and is seen where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from series_servers import SeriesServer, parametrize_engines
from storekeeper import Catalog, Platform
from storekeeper.domains import CATALOG
from storekeeper.migrations import apply, drift, plan, rollback

Opened = Callable[..., Platform]

pytestmark = pytest.mark.one_backend

INVEST = Catalog((CATALOG.domain("invest"),), backups=CATALOG.backups)
SERIES = {h.table.name for h in INVEST.hypertables}
SERIES |= {rollup.name for h in INVEST.hypertables for rollup in h.rollups}

#: Hypertables, continuous aggregates and what they show, partitioned tables: by name.
_MADE = """
SELECT relname FROM pg_catalog.pg_class
WHERE relnamespace::regnamespace::text = 'invest' AND relkind IN ('r', 'p', 'v', 'm')
  AND NOT relispartition
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize_engines(metafunc)


@pytest.fixture
def empty_url(series_server: SeriesServer) -> Iterator[str]:
    with series_server.database("SELECT 1") as url:
        yield url


@pytest.fixture
def platform(opened: Opened, postgres_url: str, empty_url: str) -> Platform:
    return opened(postgres_url, empty_url, catalog=INVEST)


def made(platform: Platform) -> set[str]:
    with psycopg.connect(platform.url("timescale"), autocommit=True) as connection:
        return {str(name) for (name,) in connection.execute(_MADE)}


def test_series_go_up_and_down_and_up_again(platform: Platform, series_server: SeriesServer) -> None:
    apply(platform)
    full = made(platform)
    assert full >= SERIES
    with psycopg.connect(platform.url("timescale"), autocommit=True) as connection:
        chosen = connection.execute("SELECT engine FROM storekeeper.engines").fetchall()
    assert chosen == [(series_server.engine.name,)]
    assert plan(platform).steps == ()
    assert drift(platform) == ()

    rollback(platform, "invest", None)
    assert made(platform) == set()
    apply(platform)
    assert made(platform) == full
    assert drift(platform) == ()
