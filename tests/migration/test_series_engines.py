"""Series migrated on each engine: up, down and up again; what was made is as declared, and is seen where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from series_servers import SeriesServer, parametrize_engines
from storekeeper import Catalog, Platform
from storekeeper.domains import CATALOG
from storekeeper.migrations import apply, drift, plan, rollback
from storekeeper.timescale.adjusting import wants_capture
from storekeeper.timescale.capture import NOTE_CHANGES, NOTE_ROW, capture_names
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.hypertables import HypertablesEngine
from storekeeper.timescale.levels import levels

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


_BODIES = "SELECT prosrc FROM pg_proc WHERE proname = %s AND pronamespace = 'storekeeper'::regnamespace"
#: Of tables that the platform knows by name: not of chunks, nor of what continuous aggregates are kept in.
_WATCHED = """
SELECT c.relname, array_agg(t.tgname::text ORDER BY t.tgname) FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace::regnamespace::text = 'invest' AND NOT c.relispartition
  AND t.tgfoid IN ('storekeeper.note_changes()'::regprocedure, 'storekeeper.note_row()'::regprocedure) GROUP BY 1
"""
_MARKS = "SELECT dataset, rolled_up FROM storekeeper.watermarks"


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


def assert_as_the_code_expects(platform: Platform, engine: Engine) -> None:
    """Frozen functions are those of the code; every series is watched; what has a rollup notes its changes."""
    with psycopg.connect(platform.url("timescale"), autocommit=True) as connection:
        for name, text in (("note_changes", NOTE_CHANGES), ("note_row", NOTE_ROW)):
            assert connection.execute(_BODIES, (name,)).fetchone() == (text.split("$body$")[1],)
        watched: dict[str, list[str]] = dict(connection.execute(_WATCHED).fetchall())
        marks: dict[str, bool] = dict(connection.execute(_MARKS).fetchall())
    made = {level.table_name: level for h in INVEST.hypertables for level in levels(h)}
    if isinstance(engine, HypertablesEngine):
        names = sorted(capture_names(engine.words))
        assert watched == {name: names for name, level in made.items() if wants_capture(level)}
    else:
        names = [f"storekeeper_note_{event}" for event in ("delete", "insert", "update")]
        assert watched == dict.fromkeys(made, names)
    assert marks == {level.name: bool(level.coarser) for level in made.values()}


def test_series_go_up_and_down_and_up_again(platform: Platform, series_server: SeriesServer) -> None:
    apply(platform)
    full = made(platform)
    assert full >= SERIES
    with psycopg.connect(platform.url("timescale"), autocommit=True) as connection:
        chosen = connection.execute("SELECT engine FROM storekeeper.engines").fetchall()
    assert chosen == [(series_server.engine.name,)]
    assert plan(platform).steps == ()
    assert drift(platform) == ()
    assert_as_the_code_expects(platform, series_server.engine)

    rollback(platform, "invest", None)
    assert made(platform) == set()
    apply(platform)
    assert made(platform) == full
    assert drift(platform) == ()
