"""Query plans that matter: newest rows by index from the newest chunk backward, bars only from chunks in question."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest
import sqlalchemy as sa

from storekeeper.catalog import Range
from storekeeper.span import hours
from storekeeper.stores.timescale.timescale import Timescale
from storekeeper.timescale.bars import select_bars
from storekeeper.timescale.calendars import Calendar
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.hypertables import HypertablesEngine
from storekeeper.timescale.levels import Level
from storekeeper.timescale.routing import Route, level_for
from storekeeper.timescale.rows import select_latest
from storekeeper.timescale.shapes import shape_of
from storekeeper.timescale.statement import Statement
from timescale_series import TICKS, moment
from timescale_stores import opened

START = moment("2014-05-01 00:00")


@pytest.fixture
def store(series_url: str, engine: Engine) -> Iterator[Timescale]:
    with opened(series_url, engine) as store:
        rows = [
            {"time": START + timedelta(minutes=10 * step), "symbol": f"S{symbol}", "price": 1, "volume": 1}
            for step in range(144 * 6)
            for symbol in range(20)
        ]
        store.append("lab.ticks", rows)
        with psycopg.connect(series_url, autocommit=True) as psql:
            psql.execute("ANALYZE lab.ticks")
        yield store


def plan(store: Timescale, statement: Statement, **local: str) -> str:
    with store.pool.begin(local=local) as connection:
        explained = sa.text(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF, SUMMARY OFF) {statement.sql}")
        return "\n".join(connection.execute(explained.bindparams(**statement.parameters)).scalars())


def test_the_newest_row_of_a_key_is_looked_up(store: Timescale) -> None:
    found = plan(store, select_latest(TICKS, ["S1", "S2"]))
    assert "Seq Scan" not in found
    read = [line for line in found.splitlines() if "Index Scan" in line and "never executed" not in line]
    assert len(read) == 1, "the newest chunk has it: no other is opened"


def test_older_chunks_are_not_planned_for_where_the_newest_rows_are_recent(store: Timescale) -> None:
    found = plan(store, select_latest(TICKS, ["S1", "S2"], earliest=START + timedelta(days=4)))
    chunks = {chunk.name: chunk.range.lower for chunk in store.chunks("lab.ticks")}
    planned = {chunks[name] for name in re.findall(r" on (?:\w+\.)?(\w+)", found) if name in chunks}
    assert planned == {START + timedelta(days=4), START + timedelta(days=5)}


@pytest.mark.timescale
def test_rollups_are_verified_without_sorting_rows(store: Timescale, engine: Engine) -> None:
    """What takes a third of the time otherwise: rows come in groups, by the index. (These few would be sorted.)"""
    assert isinstance(engine, HypertablesEngine)
    if engine.version < (2, 25):
        pytest.skip(f"the planner of {engine.label} knows no order of a chunk's rows within their group")
    store.refresh("lab.ticks", as_of=START + timedelta(days=30))
    rollup = Level(TICKS, 1)
    statement = engine.verify(rollup, Range(START, START + timedelta(days=1))).statement
    found = plan(store, statement, enable_seqscan="off", enable_bitmapscan="off")
    assert "Sort" not in found
    assert "idx_ticks_symbol_time" in found


@pytest.mark.partitions
def test_the_newest_rows_of_all_keys_are_looked_up_too(store: Timescale) -> None:
    found = plan(store, select_latest(TICKS, None))
    assert "Seq Scan" not in found
    read = [int(rows) for rows in re.findall(r"Index.*? Scan .*rows=(\d+)", found)]
    assert max(read) == 1, "one row of each key, however many there are"


def test_bars_read_rows_only_where_the_rollup_is_behind(store: Timescale) -> None:
    store.refresh("lab.ticks", as_of=START + timedelta(days=30))
    window = Range(START, START + timedelta(days=6))
    stale = Range(START + timedelta(days=2, hours=3), START + timedelta(days=2, hours=5))
    route = Route(level_for(TICKS, hours(1)), Calendar(hours(1)), shape_of(TICKS), window, (stale,))
    found = plan(store, select_bars(route, ["S1"], exact=False))
    chunks = {chunk.name: chunk.range.lower for chunk in store.chunks("lab.ticks")}
    read = {chunks[name] for name in re.findall(r" on (\w+)", found) if name in chunks}
    assert read == {START + timedelta(days=2)}


@pytest.mark.timescale
def test_bars_are_read_in_order(store: Timescale) -> None:
    store.refresh("lab.ticks", as_of=START + timedelta(days=30))
    window = Range(START, START + timedelta(days=6))
    route = Route(level_for(TICKS, hours(1)), Calendar(hours(1)), shape_of(TICKS), window)
    found = plan(store, select_bars(route, None, exact=False), enable_seqscan="off", enable_bitmapscan="off")
    assert "Sort" not in found
    assert "_in_order" in found
