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
from storekeeper.timescale.bars import level_for, select_bars
from storekeeper.timescale.engine import Engine
from storekeeper.timescale.rows import select_latest
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


def plan(store: Timescale, statement: Statement) -> str:
    with store.pool.begin() as connection:
        explained = sa.text(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF, SUMMARY OFF) {statement.sql}")
        return "\n".join(connection.execute(explained.bindparams(**statement.parameters)).scalars())


def test_the_newest_row_of_a_key_is_looked_up(store: Timescale) -> None:
    found = plan(store, select_latest(TICKS, ["S1", "S2"], exact=True))
    assert "Seq Scan" not in found
    read = [line for line in found.splitlines() if "Index Scan" in line and "never executed" not in line]
    assert len(read) == 1, "the newest chunk has it: no other is opened"


def test_bars_read_rows_only_where_the_rollup_is_behind(store: Timescale) -> None:
    store.refresh("lab.ticks", as_of=START + timedelta(days=30))
    window = Range(START, START + timedelta(days=6))
    stale = [Range(START + timedelta(days=2, hours=3), START + timedelta(days=2, hours=5))]
    found = plan(store, select_bars(level_for(TICKS, hours(1)), hours(1), window, stale, None, ["S1"], exact=False))
    assert set(re.findall(r"on (ticks_p\d+)", found)) == {"ticks_p20140503"}
